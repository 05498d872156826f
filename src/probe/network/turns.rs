//! Names with several addresses, all on loopback, some of which work.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Host;

use super::tests::asking;
use super::*;
use crate::clock::SteadyClock;
use crate::config::{Expect, HttpAsk, TcpAsk};

const REFUSED: SampleResult = SampleResult::Bad(Failure::Connect);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Instances of an app behind one name, and who asked which of them.
struct Instances {
    port: u16,
    asked: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

impl Instances {
    /// Those at these addresses answer, on one port.
    async fn at(answering: &[&str]) -> Self {
        let asked = Arc::new(Mutex::new(BTreeMap::new()));
        let mut port = 0;
        for address in answering.iter().copied().map(ip) {
            let listener = TcpListener::bind((address, port)).await.expect("a port");
            port = listener.local_addr().expect("an address").port();
            let asked = Arc::clone(&asked);
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    *asked.lock().expect("not poisoned").entry(address).or_default() += 1;
                    tokio::spawn(async move {
                        let _ = stream.read(&mut [0; 1024]).await;
                        // It would keep the connection.
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                        let _ = stream.read(&mut [0; 1024]).await;
                    });
                }
            });
        }
        Self { port, asked }
    }

    fn page(&self) -> ProbeConfig {
        let url = format!("http://shop.example:{}/", self.port).parse().expect("a URL");
        let expect = Expect { body_contains: Some("ok".to_owned()), ..Expect::default() };
        asking(Ask::Http(HttpAsk { url, headers: BTreeMap::new(), expect }))
    }

    fn asked(&self) -> Vec<usize> {
        self.asked.lock().expect("not poisoned").values().copied().collect()
    }
}

/// A network in which names have these addresses, in another order each time.
fn knowing(addresses: &[&str]) -> Network {
    let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
    let addresses = Mutex::new(addresses.iter().map(|text| SocketAddr::new(ip(text), 0)).collect::<Vec<_>>());
    let resolver = Resolver::asking(move |name| match name {
        "shop.example" => {
            let mut addresses = addresses.lock().expect("not poisoned");
            addresses.rotate_left(1);
            Ok(addresses.clone())
        }
        _ => Err(io::ErrorKind::NotFound.into()),
    });
    let secure = Arc::new(Secure::new(Arc::clone(&clock)).expect("roots"));
    Network::with(resolver, secure, clock).expect("a network")
}

/// The results of so many samples, each in its turn.
async fn results(network: &Network, probe: &ProbeConfig, samples: u32) -> Vec<SampleResult> {
    let mut results = Vec::new();
    for nth in 0..samples {
        results.push(network.sample(probe, Turn::Nth(nth)).await.result);
    }
    results
}

#[tokio::test]
async fn one_broken_instance_of_three_is_a_third_of_failures() {
    let instances = Instances::at(&["127.0.0.1", "127.0.0.2"]).await;
    let network = knowing(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let round = [SampleResult::Good, SampleResult::Good, REFUSED];
    let tcp = TcpAsk { host: Host::Domain("shop.example".to_owned()), port: instances.port };
    for probe in [instances.page(), asking(Ask::Tcp(tcp))] {
        assert_eq!(results(&network, &probe, 30).await, round.repeat(10), "{:?}", probe.ask);
    }
    assert_eq!(instances.asked(), [20, 20], "each as often as the other, and never in place of the third");
    for _ in 0..9 {
        let sample = network.sample(&instances.page(), Turn::Any).await;
        assert_eq!(sample.result, SampleResult::Good, "out of turn nobody minds");
    }
}

#[tokio::test]
async fn each_of_several_probes_meets_each_instance() {
    let instances = Instances::at(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]).await;
    let network = knowing(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    for probes in 1..=4 {
        let before = instances.asked();
        let page = instances.page();
        for nth in 0..6 {
            for _ in 0..probes {
                assert_eq!(network.sample(&page, Turn::Nth(nth)).await.result, SampleResult::Good);
            }
        }
        let since = |(n, count): (usize, usize)| count - before.get(n).copied().unwrap_or(0);
        let since: Vec<_> = instances.asked().into_iter().enumerate().map(since).collect();
        assert_eq!(since, [2 * probes; 3], "{probes} probes, six samples each");
    }
}

#[tokio::test]
async fn an_address_without_a_way_to_it_is_no_instance() {
    let instances = Instances::at(&["127.0.0.1"]).await;
    // Multicast is no place for a connection: the kernel says "network unreachable" without sending anything. To
    // documentation's addresses there is no route, or nobody answers.
    let network = knowing(&["127.0.0.1", "224.0.0.1", "2001:db8::1"]);
    assert_eq!(results(&network, &instances.page(), 9).await, [SampleResult::Good; 9]);
    assert_eq!(instances.asked(), [9]);
    let network = knowing(&["224.0.0.1", "224.0.0.2"]);
    let blind = SampleResult::Unknown(BlindCause::Host);
    assert_eq!(results(&network, &instances.page(), 2).await, [blind; 2], "nor are several");
}
