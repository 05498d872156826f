//! Whether a port takes connections. Nothing is sent: the connection is closed again at once.

use super::Turn;
use super::connect::connect;
use super::resolve::Resolver;
use crate::config::TcpAsk;
use crate::decision::sample::SampleResult;

/// Good when the address whose turn it is takes a connection.
pub(super) async fn ask(resolver: &Resolver, ask: &TcpAsk, turn: Turn) -> SampleResult {
    match connect(resolver, &ask.host, ask.port, turn).await {
        Ok(_) => SampleResult::Good,
        Err(result) => result,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpSocket};
    use url::Host;

    use super::super::Probe;
    use super::super::network::Network;
    use super::super::network::tests::asking;
    use super::*;
    use crate::clock::SteadyClock;
    use crate::config::Ask;
    use crate::decision::sample::{BlindCause, Failure};

    async fn result(host: &str, port: u16) -> SampleResult {
        let network = Network::new(Arc::new(SteadyClock::resume(None))).expect("a client");
        let ask = TcpAsk { host: Host::parse(host).expect("a host"), port };
        let mut probe = asking(Ask::Tcp(ask));
        probe.timeout = Duration::from_secs(2);
        network.sample(&probe, Turn::Any).await.result
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
