//! Certificates made for the test, presented over real sockets on loopback.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Host;

use super::super::Probe;
use super::super::network::Network;
use super::super::network::tests::asking;
use super::*;
use crate::clock::{Clock, Mark, Moment, SteadyClock};
use crate::config::Ask;
use crate::decision::sample::Failure;

const DAY: Duration = Duration::from_secs(86_400);
const CLOCK: SampleResult = SampleResult::Unknown(BlindCause::Clock);

fn bad(failure: Failure) -> SampleResult {
    SampleResult::Bad(failure)
}

/// A wall clock that shows this.
struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Moment {
        Moment::from_millis(0)
    }
    fn wall(&self) -> Timestamp {
        self.0
    }
    fn mark(&self) -> Mark {
        Mark { at: self.now(), boottime_ms: 0, boot_id: String::new() }
    }
}

/// Who signs certificates, and the certificate that says so.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    own: CertificateDer<'static>,
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// Valid from 2020 to the first of January of `until`.
fn params(name: &str, until: i32) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
    params
}

impl Authority {
    fn root() -> Self {
        let (params, key) = (Self::params("root.example", 2100), key());
        let own = params.self_signed(&key).expect("a certificate").der().clone();
        Self { issuer: Issuer::new(params, key), own }
    }

    fn below(&self, until: i32) -> Self {
        let (params, key) = (Self::params("below.example", until), key());
        let own = params.signed_by(&key, &self.issuer).expect("a certificate").der().clone();
        Self { issuer: Issuer::new(params, key), own }
    }

    fn params(name: &str, until: i32) -> CertificateParams {
        let mut params = params(name, until);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    /// A certificate for localhost, with those that are sent along.
    fn signs(&self, until: i32, others: &[&CertificateDer<'static>]) -> Arc<CertifiedKey> {
        let key = key();
        let own = params("localhost", until).signed_by(&key, &self.issuer).expect("a certificate");
        let chain = [own.der()].into_iter().chain(others.iter().copied()).cloned().collect();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let key = rustls::crypto::ring::sign::any_supported_type(&key).expect("a key");
        Arc::new(CertifiedKey::new(chain, key))
    }

    fn trusted(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.own.clone()).expect("a certificate");
        roots
    }
}

/// Presents what it was told last.
#[derive(Debug)]
struct Presented(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// A server that speaks TLS 1.2, in which a session can be resumed from the first on. Gives its port.
async fn presenting(certificate: Arc<CertifiedKey>) -> (u16, Arc<Presented>) {
    let presented = Arc::new(Presented(Mutex::new(certificate)));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("TLS 1.2")
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&presented) as Arc<dyn ResolvesServerCert>);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move { acceptor.accept(stream).await.map(drop) });
        }
    });
    (port, presented)
}

fn tls(authority: &Authority, wall: &str) -> Tls {
    let clock = Arc::new(At(wall.parse().expect("a time")));
    Tls::new(Arc::new(Secure::trusting(authority.trusted(), clock).expect("roots"))).expect("TLS")
}

fn asked(port: u16, at_least: Duration) -> TlsAsk {
    TlsAsk { host: Host::Domain("localhost".to_owned()), port, at_least, server_name: None }
}

#[tokio::test]
async fn certificates_are_good_for_as_long_as_they_have_to_be_or_expiring() {
    let root = Authority::root();
    let (port, _) = presenting(root.signs(2030, &[])).await;
    for (wall, at_least, expected) in [
        ("2029-12-01T00:00:00Z", 7 * DAY, SampleResult::Good),
        ("2029-12-24T23:59:59Z", 7 * DAY, SampleResult::Good),
        ("2029-12-25T00:00:01Z", 7 * DAY, bad(Failure::Expiring)),
        ("2029-12-31T23:59:59Z", Duration::ZERO, SampleResult::Good),
        ("2030-01-02T00:00:00Z", Duration::ZERO, bad(Failure::Expiring)),
        ("2030-01-02T00:00:00Z", 7 * DAY, bad(Failure::Expiring)),
        // A machine whose clock begins anew with each start.
        ("1970-01-01T00:00:09Z", 7 * DAY, CLOCK),
        ("1969-12-31T00:00:00Z", 7 * DAY, CLOCK),
        ("2019-12-31T00:00:00Z", 7 * DAY, CLOCK),
    ] {
        let result = tls(&root, wall).ask(&Resolver::new(), &asked(port, at_least), Turn::Nth(0)).await;
        assert_eq!(result, expected, "{wall} {at_least:?}");
    }
}

#[tokio::test]
async fn it_is_the_chain_that_is_needed_that_counts() {
    let (root, wall) = (Authority::root(), "2029-06-01T00:00:00Z");
    let (short, long) = (root.below(2030), root.below(2050));
    let gone = root.below(2025);
    let month = 300 * DAY;
    for (what, certificate, expected) in [
        ("one above it ends first", short.signs(2040, &[&short.own]), bad(Failure::Expiring)),
        ("none does", long.signs(2040, &[&long.own]), SampleResult::Good),
        ("one that nobody needs is gone", long.signs(2040, &[&long.own, &gone.own]), SampleResult::Good),
        ("one above it is gone", gone.signs(2040, &[&gone.own]), bad(Failure::Expiring)),
        ("one above it is missing", long.signs(2040, &[]), bad(Failure::Untrusted)),
    ] {
        let (port, _) = presenting(certificate).await;
        let result = tls(&root, wall).ask(&Resolver::new(), &asked(port, month), Turn::Nth(0)).await;
        assert_eq!(result, expected, "{what}");
    }
}

#[tokio::test]
async fn certificates_have_to_be_trusted_and_for_the_name() {
    let (root, wall) = (Authority::root(), "2029-06-01T00:00:00Z");
    let (port, _) = presenting(root.signs(2040, &[])).await;
    let ask = asked(port, DAY);
    let somebody = tls(&Authority::root(), wall);
    assert_eq!(somebody.ask(&Resolver::new(), &ask, Turn::Nth(0)).await, bad(Failure::Untrusted));
    let by_address = TlsAsk { host: Host::Ipv4([127, 0, 0, 1].into()), ..ask.clone() };
    let tls = tls(&root, wall);
    assert_eq!(
        tls.ask(&Resolver::new(), &by_address, Turn::Nth(0)).await,
        bad(Failure::Untrusted),
        "another name"
    );
    let named = TlsAsk { server_name: Some(ask.host.clone()), ..by_address };
    assert_eq!(tls.ask(&Resolver::new(), &named, Turn::Nth(0)).await, SampleResult::Good);
    let misnamed = TlsAsk { server_name: Some(Host::Domain("shop.example".to_owned())), ..ask };
    assert_eq!(tls.ask(&Resolver::new(), &misnamed, Turn::Nth(0)).await, bad(Failure::Untrusted));
}

#[tokio::test]
async fn what_is_presented_now_counts_and_not_what_an_earlier_session_showed() {
    let (root, wall) = (Authority::root(), "2029-06-01T00:00:00Z");
    let (port, presented) = presenting(root.signs(2040, &[])).await;
    let (tls, ask) = (tls(&root, wall), asked(port, DAY));
    assert_eq!(tls.ask(&Resolver::new(), &ask, Turn::Nth(0)).await, SampleResult::Good);
    for (until, expected) in [(2025, bad(Failure::Expiring)), (2041, SampleResult::Good)] {
        *presented.0.lock().expect("not poisoned") = root.signs(until, &[]);
        assert_eq!(tls.ask(&Resolver::new(), &ask, Turn::Nth(0)).await, expected, "{until}");
    }
}

#[tokio::test]
async fn without_a_session_it_is_judged_as_any_other_probe() {
    let result = async |port, timeout| {
        let network = Network::new(Arc::new(SteadyClock::resume(None))).expect("a client");
        let mut probe = asking(Ask::Tls(asked(port, DAY)));
        probe.timeout = timeout;
        network.sample(&probe, Turn::Nth(0)).await.result
    };
    let second = Duration::from_secs(5);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let silent = result(port, Duration::from_millis(200)).await;
    assert!(matches!(
        silent,
        SampleResult::Bad(Failure::Timeout) | SampleResult::Unknown(BlindCause::Overload)
    ));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-x\r\n").await;
        }
    });
    assert_eq!(result(port, second).await, bad(Failure::Tls));
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let closed = socket.local_addr().expect("an address").port();
    assert_eq!(result(closed, second).await, bad(Failure::Connect));
    let (port, _) = presenting(Authority::root().signs(2040, &[])).await;
    assert_eq!(result(port, second).await, bad(Failure::Untrusted), "the system does not know it");
}
