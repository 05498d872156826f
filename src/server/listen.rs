//! Takes connections, as many as there is room for and some more for what must not be crowded out, and lets each go in time.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Surface;
use super::host::Hosts;
use super::limits::Limits;
use super::routes::{Peer, router};
use super::spare::{Spare, only_what_they_are_for};
use super::stall::Stall;

/// Pause after a failed accept: out of file descriptors does not heal by asking again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a refused client has to take its refusal.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
/// What a client is told when there is no room. Written whole, so that it needs no request to be read first.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    content-length: 91\r\nretry-after: 1\r\ncache-control: no-store\r\nconnection: close\r\n\r\n\
    {\"error\":{\"code\":\"too_many_connections\",\"message\":\"all connections are taken; try again\"}}\n";

/// Serves `surface` on `listener` until `shutdown`; then open requests have two seconds to end.
pub async fn serve(listener: TcpListener, surface: Surface, shutdown: CancellationToken) {
    serve_within(listener, surface, Limits::default(), shutdown).await;
}

pub(super) async fn serve_within(
    listener: TcpListener,
    surface: Surface,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let surface = Arc::new(surface);
    // What does not say where it listens is taken for the closest place.
    let address = listener.local_addr().map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip());
    let hosts = Hosts::of(address, Arc::clone(&surface.own_name));
    let kept_back = Spare::new(Arc::clone(&surface), &limits);
    let router = router(surface, limits, hosts, shutdown.clone());
    let spare_router = router.clone().layer(from_fn_with_state(kept_back, only_what_they_are_for));
    let spare_limits = Limits { head_time: limits.spare_head_time, ..limits };
    let room = Arc::new(Semaphore::new(limits.connections));
    let spare = Arc::new(Semaphore::new(limits.spare));
    let refusals = Arc::new(Semaphore::new(limits.refusals));
    let conversations = TaskTracker::new();
    let mut full = false;
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Ok(permit) = room.clone().try_acquire_owned() {
            full = false;
            let talk = Talk { router: router.clone(), limits, shutdown: shutdown.clone(), is_for_one: false };
            conversations.spawn(converse(stream, peer, talk, permit));
            continue;
        }
        if !full {
            tracing::warn!(connections = limits.connections, "all connections are taken: refusing more");
        }
        full = true;
        if let Ok(permit) = spare.clone().try_acquire_owned() {
            let (router, shutdown) = (spare_router.clone(), shutdown.clone());
            let talk = Talk { router, limits: spare_limits, shutdown, is_for_one: true };
            let spoken = timeout(limits.spare_time, converse(stream, peer, talk, permit));
            conversations.spawn(async move { drop(spoken.await) });
        } else if let Ok(permit) = refusals.clone().try_acquire_owned() {
            conversations.spawn(refuse(stream, permit));
        }
    }
    drop(listener);
    conversations.close();
    conversations.wait().await;
}

/// How a conversation is held.
struct Talk {
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
    /// It ends with the first answer.
    is_for_one: bool,
}

/// One connection, to its end.
async fn converse(stream: TcpStream, peer: SocketAddr, talk: Talk, _room: OwnedSemaphorePermit) {
    // An answer is written at once and whole; waiting to fill packets only delays it.
    let _ = stream.set_nodelay(true);
    talk.over(stream, peer).await;
}

impl Talk {
    /// The conversation itself, over whatever carries it.
    async fn over<S>(self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limits = self.limits;
        let routes = TowerToHyperService::new(self.router);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(Some(peer)));
            routes.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(!self.is_for_one)
            .header_read_timeout(limits.head_time)
            .max_header_size(limits.head_bytes)
            .serve_connection(TokioIo::new(Stall::new(stream, limits.stall_time)), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.shutdown.cancelled() => None,
        };
        if ended.is_none() {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(limits.drain_time, connection).await;
        }
    }
}

/// One conversation over `stream`; `around` may put something around every route, to look on.
#[cfg(any(test, fuzzing))]
pub(crate) async fn converse_over<S>(stream: S, surface: Surface, around: impl FnOnce(Router) -> Router)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (limits, shutdown) = (Limits::default(), CancellationToken::new());
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let router = around(router(Arc::new(surface), limits, Hosts::Any, shutdown.clone()));
    Talk { router, limits, shutdown, is_for_one: false }.over(stream, peer).await;
}

/// Says that there is no room. What the client sends meanwhile is read, because closing a socket with unread
/// bytes resets it, and the reset overtakes the answer.
async fn refuse(mut stream: TcpStream, _room: OwnedSemaphorePermit) {
    let told = async {
        stream.write_all(FULL).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = timeout(REFUSAL_TIME, told).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_says_its_own_length() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
