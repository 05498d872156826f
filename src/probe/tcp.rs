//! Whether a port takes connections. Nothing is sent: the connection is closed again at once.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::select_ok;
use tokio::net::TcpStream;
use url::Host;

use super::blame::{blame_io, blame_lookup};
use super::resolve::Resolver;
use crate::config::TcpAsk;
use crate::decision::sample::{Failure, SampleResult};

/// The next address is tried this much later, whatever became of the one before: it may be that only our way there is
/// broken. RFC 8305 recommends 250 ms, hyper-util waits as long for a page.
const STAGGER: Duration = Duration::from_millis(300);

/// Good when one of the addresses takes a connection.
pub(super) async fn connect(resolver: &Resolver, ask: &TcpAsk) -> SampleResult {
    let addresses = match &ask.host {
        Host::Ipv4(address) => vec![SocketAddr::from((*address, ask.port))],
        Host::Ipv6(address) => vec![SocketAddr::from((*address, ask.port))],
        Host::Domain(name) => match resolver.addresses(name).await {
            Ok(found) => found.iter().map(|found| SocketAddr::from((found.ip(), ask.port))).collect(),
            Err(error) => return blame_lookup(&error),
        },
    };
    any_of(addresses).await
}

async fn any_of(addresses: Vec<SocketAddr>) -> SampleResult {
    let attempts = addresses.into_iter().zip(0..).map(|(address, nth)| {
        Box::pin(async move {
            tokio::time::sleep(STAGGER * nth).await;
            TcpStream::connect(address).await
        })
    });
    let attempts: Vec<_> = attempts.collect();
    if attempts.is_empty() {
        return SampleResult::Bad(Failure::Dns);
    }
    match select_ok(attempts).await {
        Ok(_) => SampleResult::Good,
        Err(error) => blame_io(&error, false).unwrap_or(SampleResult::Bad(Failure::Connect)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::net::{TcpListener, TcpSocket};

    use super::super::Probe;
    use super::super::network::Network;
    use super::super::network::tests::asking;
    use super::*;
    use crate::clock::SteadyClock;
    use crate::config::Ask;
    use crate::decision::sample::BlindCause;

    async fn result(host: &str, port: u16) -> SampleResult {
        let network = Network::new(Arc::new(SteadyClock::resume(None))).expect("a client");
        let ask = TcpAsk { host: Host::parse(host).expect("a host"), port };
        let mut probe = asking(Ask::Tcp(ask));
        probe.timeout = Duration::from_secs(2);
        network.sample(&probe).await.result
    }

    #[tokio::test]
    async fn a_way_that_is_dead_does_not_hide_one_that_works() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let open = listener.local_addr().expect("an address");
        // Nobody answers there, RFC 5737; or this host has no route, which is as good.
        let dead = SocketAddr::from(([192, 0, 2, 1], 9));
        let result = tokio::time::timeout(Duration::from_secs(2), any_of(vec![dead, open])).await;
        assert_eq!(result, Ok(SampleResult::Good));
        assert_eq!(any_of(vec![]).await, SampleResult::Bad(Failure::Dns));
    }

    #[tokio::test]
    async fn a_port_takes_a_connection_or_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let open = listener.local_addr().expect("an address").port();
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let closed = socket.local_addr().expect("an address").port();
        assert_eq!(result("127.0.0.1", open).await, SampleResult::Good);
        assert_eq!(result("localhost", open).await, SampleResult::Good, "by name");
        assert_eq!(result("127.0.0.1", closed).await, SampleResult::Bad(Failure::Connect));
        assert_eq!(result("nothing.invalid", 80).await, SampleResult::Bad(Failure::Dns));
        // "Network unreachable", without a packet.
        assert_eq!(result("224.0.0.1", 80).await, SampleResult::Unknown(BlindCause::Host));
    }
}
