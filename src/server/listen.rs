//! Takes connections, as many as there is room for and some more for what must not be crowded out, and lets each go in time.

use std::future::pending;
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Surface;
use super::auth::Gate;
use super::host::Hosts;
use super::limits::Limits;
use super::places::{Place, Places};
use super::refusal::refuse;
use super::routes::{Peer, router};
use super::spare::{Spare, only_what_they_are_for};
use super::stall::Stall;

/// Pause after a failed accept: out of file descriptors does not heal by asking again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
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
    let gate = Arc::new(Gate::new(Arc::clone(&surface.admin_token)));
    let kept_back = Spare::new(Arc::clone(&gate), &limits);
    let router = router(surface, gate, limits, hosts, shutdown.clone());
    let spare_router = router.clone().layer(from_fn_with_state(kept_back, only_what_they_are_for));
    let spare_limits = Limits { head_time: limits.spare_head_time, ..limits };
    let room = Arc::new(Semaphore::new(limits.connections));
    let mut places = Places::new(limits.spare, limits.spare_grace);
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
            let talk = Talk { router: router.clone(), limits, shutdown: shutdown.clone(), place: None };
            conversations.spawn(async move {
                converse(stream, peer, talk).await;
                drop(permit);
            });
            continue;
        }
        if !full {
            tracing::warn!(connections = limits.connections, "all connections are taken: refusing more");
        }
        full = true;
        if let Some(place) = places.take().await {
            let (router, shutdown) = (spare_router.clone(), shutdown.clone());
            let talk = Talk { router, limits: spare_limits, shutdown, place: Some(place) };
            let spoken = timeout(limits.spare_time, converse(stream, peer, talk));
            conversations.spawn(async move { drop(spoken.await) });
        } else if let Ok(permit) = refusals.clone().try_acquire_owned() {
            conversations.spawn(async move {
                refuse(stream, limits).await;
                drop(permit);
            });
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
    /// Where it is a spare one: it ends with the first answer, or when its place is lost.
    place: Option<Place>,
}

/// One connection, to its end.
async fn converse(stream: TcpStream, peer: SocketAddr, talk: Talk) {
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
        let place = self.place.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(Some(peer)));
            let is_too_late = place.as_ref().is_some_and(|place| !place.is_heard());
            let answer = routes.call(request);
            async move { if is_too_late { pending().await } else { answer.await } }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(self.place.is_none())
            .header_read_timeout(limits.head_time)
            .max_header_size(limits.head_bytes)
            .serve_connection(TokioIo::new(Stall::new(stream, limits.stall_time)), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.shutdown.cancelled() => None,
            () = lost(self.place.as_ref()) => return,
        };
        if ended.is_none() {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(limits.drain_time, connection).await;
        }
    }
}

/// Waits until the place is somebody else's; for ever where there is none to lose.
async fn lost(place: Option<&Place>) {
    match place {
        Some(place) => place.lost().await,
        None => pending().await,
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
    let gate = Arc::new(Gate::new(Arc::clone(&surface.admin_token)));
    let router = around(router(Arc::new(surface), gate, limits, Hosts::Any, shutdown.clone()));
    Talk { router, limits, shutdown, place: None }.over(stream, peer).await;
}
