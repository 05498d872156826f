//! What a connection is asked before it is used, over a TLS handshake that waits for the test.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Certificate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::super::{leave, operation};
use super::*;
use crate::config::{PlatformKind, TokenSource};
use crate::ids::PlatformName;

const AMPLE: Duration = Duration::from_secs(20);

const LIMITS: Limits = Limits {
    limit: "limit",
    remaining: "remaining",
    reset: "reset",
    reset_in: ResetIn::SecondsLeft,
    window: AMPLE,
    are_apart: false,
};

/// What speaks TLS on the loopback, and the certificate that it shows.
fn acceptor() -> (TlsAcceptor, Certificate) {
    install_tls();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap().der().clone();
    let secret = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let tls = rustls::ServerConfig::builder().with_no_client_auth();
    let tls = tls.with_single_cert(vec![own.clone()], secret).unwrap();
    (TlsAcceptor::from(Arc::new(tls)), Certificate::from_der(&own).unwrap())
}

/// An account whose platform is at `base` and shows that certificate.
fn account(base: &Url, shows: Certificate, observer: Observer) -> Http {
    let config = PlatformConfig {
        name: PlatformName::from("ocean"),
        kind: PlatformKind::DigitalOcean,
        token: TokenSource::Env("UNUSED".into()),
        api: base.clone(),
        poll: AMPLE,
        timeout: AMPLE,
        reconcile: AMPLE,
        readiness: Duration::ZERO,
        bandwidth: Duration::ZERO,
        balance: Duration::ZERO,
    };
    let client = setup::client(base, AMPLE).tls_certs_only([shows]);
    let writes = setup::for_writes(client).build().unwrap();
    let wire = Wire::Net { reads: writes.clone(), writes };
    Http::on(wire, &config, LIMITS, Box::new(|| Ok(SecretString::from("token"))), observer).unwrap()
}

/// Sends a write; once its handshake has begun `meanwhile` is done, and only then the server goes on with it. Gives
/// what came of it, what was told of it, and all that the server was sent.
async fn write(
    given: Arc<AtomicBool>,
    meanwhile: impl FnOnce(),
) -> (Result<u16, PlatformError>, String, String) {
    let (acceptor, certificate) = acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let (begun, has_begun) = oneshot::channel();
    let (go_on, goes_on) = oneshot::channel();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        stream.readable().await.unwrap();
        begun.send(()).unwrap();
        goes_on.await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => seen.extend_from_slice(&buffer[..count]),
            }
        }
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        String::from_utf8(seen).unwrap()
    });
    let told = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&told);
    let http = account(&base, certificate, Arc::new(move |_, code| *kept.lock().unwrap() = code.to_owned()));
    let ask = Ask {
        operation: operation::CREATE_ROLLBACK,
        method: Method::Post(None),
        path: &["v2", "rollback"],
        query: &[],
        want: Want::Status,
    };
    let asks = leave::asking(Arc::new(move || given.load(Ordering::SeqCst)), http.call(ask, |_| Ok(())));
    let (answer, ()) = tokio::join!(asks, async {
        has_begun.await.unwrap();
        meanwhile();
        go_on.send(()).unwrap();
    });
    let told = told.lock().unwrap().clone();
    (answer.map(|answered| answered.status), told, server.await.unwrap())
}

#[tokio::test]
async fn a_write_that_may_not_be_sent_any_more_once_its_handshake_is_done_is_not_sent() {
    let given = Arc::new(AtomicBool::new(true));
    let (answer, told, seen) = write(Arc::clone(&given), || ()).await;
    assert_eq!((answer, told.as_str()), (Ok(204), "204"));
    assert!(seen.starts_with("POST /v2/rollback HTTP/1.1\r\n"), "{seen}");

    let withdrawn = Arc::clone(&given);
    let (answer, told, seen) = write(given, move || withdrawn.store(false, Ordering::SeqCst)).await;
    assert!(
        matches!(&answer, Err(PlatformError::NotConnected(why)) if why.starts_with("not sent")),
        "{answer:?}"
    );
    assert_eq!((told.as_str(), seen.as_str()), (code::WITHHELD, ""));
}

#[tokio::test]
async fn nobody_is_asked_before_there_is_a_connection() {
    let given = Arc::new(AtomicBool::new(false));
    let late = Arc::clone(&given);
    let (answer, _, seen) = write(given, move || late.store(true, Ordering::SeqCst)).await;
    assert_eq!(answer, Ok(204));
    assert!(seen.starts_with("POST "), "{seen}");
}
