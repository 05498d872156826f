//! A connection to the app, by the address whose turn it is, or by whichever takes one.
//!
//! In its turn an address is asked alone, as far as that says something of the app: one that refuses has answered, and is
//! not passed over. One that this host has no way to says nothing: the next one is asked, and has that turn. Where an
//! address is silent, it may be that only this host's way to its family is broken, so that after a moment one address of the
//! other family is tried as well. One that is silent among others of its family is the app's: its users wait as long.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use url::Host;

use super::Turn;
use super::blame::{blame_io, blame_lookup, has_no_way};
use super::resolve::Resolver;
use crate::decision::sample::{Failure, SampleResult};

/// Another address is tried so much later where one is silent: it may be that only our way there is broken. RFC 8305
/// recommends 250 ms.
const STAGGER: Duration = Duration::from_millis(300);

/// A connection, or what it means that there is none.
pub(super) async fn connect(
    resolver: &Resolver,
    host: &Host,
    port: u16,
    turn: Turn,
) -> Result<TcpStream, SampleResult> {
    let addresses = match host {
        Host::Ipv4(address) => vec![SocketAddr::from((*address, port))],
        Host::Ipv6(address) => vec![SocketAddr::from((*address, port))],
        Host::Domain(name) => match resolver.addresses(name, turn).await {
            Ok(found) => found.iter().map(|found| SocketAddr::from((found.ip(), port))).collect(),
            Err(error) => return Err(blame_lookup(&error)),
        },
    };
    let stream = reach(addresses, turn, TcpStream::connect).await?;
    // What is asked is small, and shall not wait for more. An error leaves it as it is.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Connects to the first of these addresses, or to another one where that says nothing against it.
async fn reach<T, F>(
    addresses: Vec<SocketAddr>,
    turn: Turn,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, SampleResult>
where
    F: Future<Output = io::Result<T>>,
{
    let mut left = VecDeque::from(addresses);
    let mut next = left.pop_front();
    // The address whose turn it is.
    let mut asked = next;
    let mut under_way = FuturesUnordered::new();
    let mut patience = Instant::now();
    let mut failure = SampleResult::Bad(Failure::Dns);
    loop {
        if let Some(address) = next.take() {
            let attempt = attempt(address);
            under_way.push(async move { (address, attempt.await) });
            patience = Instant::now() + STAGGER;
        }
        let is_late = tokio::time::sleep_until(patience);
        tokio::select! {
            biased;
            ended = under_way.next() => match ended {
                None => return Err(failure),
                Some((_, Ok(stream))) => return Ok(stream),
                Some((address, Err(error))) => {
                    let is_first = failure == SampleResult::Bad(Failure::Dns);
                    // What speaks against the app is not hidden by an address that this host has no way to.
                    if is_first || matches!(failure, SampleResult::Unknown(_)) {
                        failure = refused(&error);
                    }
                    next = match turn {
                        Turn::Any => left.pop_front(),
                        Turn::Nth(_) if asked != Some(address) => None,
                        Turn::Nth(_) if has_no_way(&error) => left.pop_front(),
                        Turn::Nth(_) => return Err(refused(&error)),
                    };
                    asked = next.or(asked);
                }
            },
            () = is_late, if !left.is_empty() => {
                next = match turn {
                    Turn::Any => left.pop_front(),
                    Turn::Nth(_) => {
                        let of_the_other = |address: &SocketAddr| asked.is_some_and(|asked| asked.is_ipv4() != address.is_ipv4());
                        let other = left.iter().copied().find(of_the_other);
                        // One is enough to tell.
                        left.retain(|address| !of_the_other(address));
                        other
                    }
                };
                patience = Instant::now() + STAGGER;
            }
        }
    }
}

fn refused(error: &io::Error) -> SampleResult {
    blame_io(error, false).unwrap_or(SampleResult::Bad(Failure::Connect))
}

#[cfg(test)]
mod tests;
