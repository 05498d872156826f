//! Name resolution whose failures have a type, and which one dead name server cannot make costly for all.
//!
//! Names are resolved by getaddrinfo, so the operator's `hosts`, `resolv.conf` and `nsswitch.conf` count, and afresh
//! for each probe: a name that stops resolving is a failure of the app too. It blocks a thread for up to tens of
//! seconds where a name server does not answer, long after the probe gave up. Hence two bounds: a name is looked up
//! once at a time, whoever asks, and at most [`LOOKUPS`] names are.
//!
//! Where a name has several addresses, the samples of a probe go round them: an instance that is broken behind one of them
//! shows as a share of failures. Whoever asked the first one always would never see the others, and whoever moves on to the
//! next one on failure would see nothing at all. What is handed out is all of them, the one whose turn it is first.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::Turn;

/// Names looked up at a time. A quarter of tokio's blocking threads, so that files can still be read.
const LOOKUPS: usize = 128;

/// How long a lookup waits for others to end. Longer than a healthy name server takes for a crowd, shorter than any
/// sensible timeout of a probe, so that the wait shows as ours and not as the app's.
const PATIENCE: Duration = Duration::from_millis(500);

/// Why a name has no address.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum LookupError {
    /// The resolver said no, or could not ask.
    #[error("look up the name")]
    Failed(#[source] Arc<io::Error>),
    /// Too many lookups hang already: our own trouble.
    #[error("look up the name: too many lookups are under way")]
    Busy,
}

/// Who knows the addresses of a name. Blocks.
type Ask = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

type Lookup = Shared<BoxFuture<'static, Result<Arc<[SocketAddr]>, LookupError>>>;

/// The resolver all probes share.
#[derive(Clone)]
pub(super) struct Resolver {
    ask: Arc<Ask>,
    /// Lookups that may still begin.
    lookups: Arc<Semaphore>,
    /// Lookups under way, by name. Held for the length of a map access only.
    under_way: Arc<Mutex<HashMap<String, Lookup>>>,
}

impl Resolver {
    pub(super) fn new() -> Self {
        // Port 0 stands for "the scheme's own" with reqwest.
        Self::asking(|name| (name, 0).to_socket_addrs().map(Iterator::collect))
    }

    pub(super) fn asking(ask: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        let lookups = Arc::new(Semaphore::new(LOOKUPS));
        Self { ask: Arc::new(ask), lookups, under_way: Arc::default() }
    }

    fn look_up(&self, name: &str) -> Lookup {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = under_way.get(name) {
            return lookup.clone();
        }
        let (resolver, owned) = (self.clone(), name.to_owned());
        // A task of its own: whoever asked first may give up while others still wait, and the entry has to go
        // even when nobody waits any more.
        let task = tokio::spawn(async move {
            let found = resolver.found(owned.clone()).await;
            resolver.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&owned);
            found
        });
        let lookup = async move { task.await.unwrap_or(Err(LookupError::Busy)) }.boxed().shared();
        under_way.insert(name.to_owned(), lookup.clone());
        lookup
    }

    async fn found(&self, name: String) -> Result<Arc<[SocketAddr]>, LookupError> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.lookups).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(LookupError::Busy) };
        let ask = Arc::clone(&self.ask);
        let found = tokio::task::spawn_blocking(move || {
            // Given back when the thread is, not when somebody stops waiting.
            let _turn = turn;
            ask(&name)
        });
        match found.await {
            Ok(Ok(found)) => Ok(found.into()),
            Ok(Err(error)) => Err(LookupError::Failed(Arc::new(error))),
            Err(_) => Err(LookupError::Busy),
        }
    }

    /// The addresses of a name that are worth a try, in the order in which they are. Their port says nothing.
    pub(super) async fn addresses(&self, name: &str, turn: Turn) -> Result<Vec<SocketAddr>, LookupError> {
        let found = self.look_up(name).await?;
        Ok(in_turn(with_a_route(&found, has_route), turn))
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.addresses(name.as_str(), Turn::Any).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The addresses this host has a route to, when the name has addresses of both families; all of them when it has a
/// route to none.
///
/// Without this a host without IPv6 would never see an app with IPv6 addresses as down: happy eyeballs ends with the
/// last family's error, "network unreachable", which is our own fault, and not with the app's "connection refused".
fn with_a_route(found: &[SocketAddr], has_route: impl Fn(SocketAddr) -> bool) -> Vec<SocketAddr> {
    if found.iter().all(SocketAddr::is_ipv4) || found.iter().all(SocketAddr::is_ipv6) {
        return found.to_vec();
    }
    let reachable: Vec<_> = found.iter().copied().filter(|address| has_route(*address)).collect();
    if reachable.is_empty() { found.to_vec() } else { reachable }
}

/// From the address whose turn it is, round to the one before it.
fn in_turn(mut found: Vec<SocketAddr>, turn: Turn) -> Vec<SocketAddr> {
    let Turn::Nth(nth) = turn else { return found };
    // Name servers shuffle them, and some tell one twice.
    found.sort_unstable();
    found.dedup();
    let first = (nth as usize).checked_rem(found.len()).unwrap_or(0);
    found.rotate_left(first);
    found
}

/// Whether the kernel has a route: "connecting" a datagram socket sends nothing.
fn has_route(address: SocketAddr) -> bool {
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    // Any port will do, and zero is refused by some kernels.
    let target = SocketAddr::new(address.ip(), 9);
    UdpSocket::bind(any).and_then(|socket| socket.connect(target)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_without_a_route_are_left_out_when_others_have_one() {
        let (four, six) = (address("192.0.2.1:0"), address("[2001:db8::1]:0"));
        let only_four = |address: SocketAddr| address.is_ipv4();
        assert_eq!(with_a_route(&[six, four], only_four), [four]);
        assert_eq!(with_a_route(&[six, four], |_| true), [six, four]);
        assert_eq!(with_a_route(&[six, four], |_| false), [six, four], "no route at all shows as such");
        assert_eq!(with_a_route(&[six], only_four), [six]);
        assert_eq!(with_a_route(&[four], |_| false), [four]);
    }

    #[test]
    fn each_address_has_its_turn_and_the_others_stand_behind_it() {
        let [one, two, three] = ["192.0.2.1:0", "192.0.2.2:0", "[2001:db8::1]:0"].map(address);
        let shuffled = [vec![three, one, two, one], vec![two, two, one, three]];
        for found in shuffled {
            for (nth, expected) in [
                (0, [one, two, three]),
                (1, [two, three, one]),
                (2, [three, one, two]),
                (3, [one, two, three]),
            ] {
                assert_eq!(in_turn(found.clone(), Turn::Nth(nth)), expected, "{nth}");
            }
            assert_eq!(in_turn(found.clone(), Turn::Any), found, "as the system prefers them");
        }
        assert_eq!(in_turn(vec![], Turn::Nth(7)), []);
    }

    #[test]
    fn this_host_has_a_route_to_itself() {
        assert!(has_route(address("127.0.0.1:0")));
    }

    #[tokio::test]
    async fn a_name_is_looked_up_once_at_a_time() {
        let resolver = Resolver::new();
        let lookups: Vec<_> = (0..100).map(|_| resolver.look_up("localhost")).collect();
        assert_eq!(resolver.under_way.lock().expect("not poisoned").len(), 1);
        for lookup in lookups {
            assert!(lookup.await.expect("localhost resolves").iter().all(|found| found.ip().is_loopback()));
        }
        assert!(resolver.under_way.lock().expect("not poisoned").is_empty(), "nothing is kept at rest");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_never_gets_its_turn_is_our_own_trouble() {
        let resolver = Resolver::new();
        let _all = resolver.lookups.acquire_many(128).await.expect("open");
        assert!(matches!(resolver.look_up("localhost").await, Err(LookupError::Busy)));
    }
}
