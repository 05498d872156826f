//! The probe against real sockets on loopback.

mod bodies;
mod led;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::super::Probe;
use super::super::network::Network;
use super::super::network::tests::asking;
use super::super::secure::Secure;
use super::*;
use crate::clock::{Clock, SteadyClock};
use crate::config::{Ask, ExpectJson, ExpectValue, ProbeConfig};
use crate::decision::sample::Sample;

const GOOD: SampleResult = SampleResult::Good;

const HEAD_OK: &str = "HTTP/1.1 200 OK\r\n";

fn bad(failure: Failure) -> SampleResult {
    SampleResult::Bad(failure)
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SteadyClock::resume(None))
}

fn probe_of(url: &str) -> ProbeConfig {
    asking(Ask::Http(HttpAsk {
        url: url.parse().expect("a URL"),
        headers: BTreeMap::new(),
        expect: Expect::default(),
    }))
}

fn page(probe: &mut ProbeConfig) -> &mut HttpAsk {
    match &mut probe.ask {
        Ask::Http(ask) => ask,
        other => panic!("{other:?}"),
    }
}

fn containing(url: &str, text: &str) -> ProbeConfig {
    let mut probe = probe_of(url);
    page(&mut probe).expect.body_contains = Some(text.to_owned());
    probe
}

fn short(mut probe: ProbeConfig) -> ProbeConfig {
    probe.timeout = Duration::from_millis(200);
    probe
}

/// Takes a sample, again when the machine that runs the tests was too busy to take one.
async fn take(probe: &ProbeConfig) -> Sample {
    let http = Network::new(clock()).expect("a client");
    loop {
        let sample = http.sample(probe, Turn::Nth(0)).await;
        if sample.result != SampleResult::Unknown(BlindCause::Overload) {
            return sample;
        }
    }
}

async fn result(probe: &ProbeConfig) -> SampleResult {
    take(probe).await.result
}

#[tokio::test]
async fn an_answer_names_its_version_whatever_else_it_says() {
    let header = || VersionAt::Header("x-version".to_owned());
    let json = || VersionAt::Json("/build/commit".to_owned());
    let ok =
        |body: &str| format!("{HEAD_OK}X-Version:  9a4df0b \r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let failing = |body: &str| ok(body).replacen("200 OK", "500 Internal Server Error", 1);
    let named = r#"{"build": {"commit": "1f0e4a9"}}"#;
    let long = format!(r#"{{"build": {{"commit": "{}"}}}}"#, "f".repeat(129));
    let broken = bad(Failure::Status(500));
    for (answer, at, result, version) in [
        (ok("x"), header(), GOOD, Some("9a4df0b")),
        (failing("x"), header(), broken, Some("9a4df0b")),
        (HEAD_OK.to_owned() + "\r\n", header(), GOOD, None),
        (ok(named), json(), GOOD, Some("1f0e4a9")),
        (failing(named), json(), broken, Some("1f0e4a9")),
        (ok(r#"{"build": {"commit": 20261127}}"#), json(), GOOD, Some("20261127")),
        (ok(r#"{"build": {"commit": null}}"#), json(), GOOD, None),
        (ok("<html>"), json(), GOOD, None),
        (failing("<html>"), json(), broken, None),
        (ok(&long), json(), GOOD, None),
        (ok(&format!("{named}{}", " ".repeat(70_000))), json(), GOOD, Some("1f0e4a9")),
    ] {
        let mut probe = probe_of(&answering(answer.clone()).await);
        page(&mut probe).expect.version = Some(at);
        let http = Network::new(clock()).expect("a client");
        let (sample, told) = http.versioned(&probe, Turn::Nth(0)).await;
        assert_eq!(
            (sample.result, told.as_deref()),
            (result, version),
            "{}",
            answer.get(..120).unwrap_or(&answer)
        );
    }
    let url = answering("HTTP/1.1 200 OK\r\nX-Version: v7\r\nContent-Length: 9\r\n\r\nnot").await;
    let mut probe = containing(&url, "never");
    page(&mut probe).expect.version = Some(header());
    let http = Network::new(clock()).expect("a client");
    let (sample, told) = http.versioned(&probe, Turn::Nth(0)).await;
    assert_eq!(
        (sample.result, told.as_deref()),
        (bad(Failure::Protocol), Some("v7")),
        "known before it broke off"
    );
}

/// Hands every connection to `talk`, with the request's head, and gives the base URL.
async fn server<F, T>(talk: F) -> String
where
    F: Fn(TcpStream, String) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let talk = Arc::new(talk);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let talk = Arc::clone(&talk);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                talk(stream, String::from_utf8(head).expect("text")).await;
            });
        }
    });
    format!("http://{address}")
}

/// Answers every request with these bytes and closes.
async fn answering(bytes: impl Into<Vec<u8>>) -> String {
    let bytes: Arc<[u8]> = bytes.into().into();
    server(move |mut stream, _| {
        let bytes = Arc::clone(&bytes);
        async move {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

/// Sends the head, then `piece` for ever, and counts the bytes that were taken.
async fn endless(head: &'static str, piece: &'static [u8], taken: Arc<AtomicUsize>) -> String {
    server(move |mut stream, _| {
        let taken = Arc::clone(&taken);
        async move {
            let _ = stream.write_all(head.as_bytes()).await;
            while let Ok(written) = stream.write(piece).await {
                taken.fetch_add(written, Ordering::SeqCst);
            }
        }
    })
    .await
}

/// An address where nobody listens, nor will for as long as the socket is kept.
fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

#[tokio::test]
async fn each_class_of_status_is_told_apart() {
    for (status, expected) in [
        (200, GOOD),
        (204, GOOD),
        (299, GOOD),
        (304, bad(Failure::Status(304))),
        (404, bad(Failure::Status(404))),
        (429, bad(Failure::Status(429))),
        (500, bad(Failure::Status(500))),
        (503, bad(Failure::Status(503))),
    ] {
        let url = answering(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!(result(&probe_of(&url)).await, expected, "{status}");
    }
}

#[tokio::test]
async fn an_expected_status_is_good_and_another_2xx_is_not() {
    let url = answering("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n").await;
    let mut probe = probe_of(&url);
    page(&mut probe).expect.status = vec![503];
    assert_eq!(result(&probe).await, GOOD);
    page(&mut probe).expect.status = vec![204];
    assert_eq!(result(&probe).await, bad(Failure::Status(503)));
}

#[tokio::test]
async fn the_sample_says_when_it_was_sent_and_how_long_it_took() {
    let url = answering(format!("{HEAD_OK}\r\n")).await;
    let clock = clock();
    let probe = Network::new(Arc::clone(&clock)).expect("a client");
    let before = clock.now();
    let sample = probe.sample(&probe_of(&url), Turn::Nth(0)).await;
    assert!(sample.at >= before && sample.at <= clock.now());
    assert!(sample.micros > 0 && sample.latency() < Duration::from_secs(5));
}

#[tokio::test]
async fn the_request_is_a_get_with_our_name_and_the_configured_headers() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heads);
    let url = server(move |mut stream, head| {
        log.lock().expect("not poisoned").push(head);
        async move {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    })
    .await;
    let mut probe = probe_of(&format!("{url}/healthz?a=b"));
    page(&mut probe).headers.insert("X-Api-Key".to_owned(), Header("s3cret".to_owned()));
    assert_eq!(result(&probe).await, GOOD);
    let head = heads.lock().expect("not poisoned")[0].to_lowercase();
    assert!(head.starts_with("get /healthz?a=b http/1.1\r\n"), "{head}");
    for line in [format!("user-agent: {USER_AGENT}"), "x-api-key: s3cret".into(), "connection: close".into()]
    {
        assert!(head.contains(&line), "{head}");
    }
}

#[tokio::test]
async fn each_probe_has_a_connection_of_its_own() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let url = server(move |mut stream, _| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            let _ = stream.read_u8().await;
        }
    })
    .await;
    let http = Network::new(clock()).expect("a client");
    for _ in 0..5 {
        assert_eq!(http.sample(&containing(&url, "ok"), Turn::Nth(0)).await.result, GOOD);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_dns_failure() {
    // Reserved by RFC 6761: no resolver gives it an address.
    let mut probe = probe_of("http://nothing.invalid/");
    // Where no name server answers, the system's resolver takes its time to say so.
    probe.timeout = Duration::from_secs(60);
    assert_eq!(result(&probe).await, bad(Failure::Dns));
}

#[tokio::test]
async fn a_refused_connection_is_a_connect_failure() {
    let (_socket, dead) = nobody();
    let url = format!("http://{dead}/");
    assert_eq!(result(&probe_of(&url)).await, bad(Failure::Connect));
}

#[tokio::test]
async fn an_answer_that_never_begins_times_out_within_the_timeout() {
    let url = server(|stream, _| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let sample = take(&short(probe_of(&url))).await;
    assert_eq!(sample.result, bad(Failure::Timeout));
    assert!(sample.latency() >= Duration::from_millis(200) && sample.latency() < Duration::from_millis(450));
}

#[tokio::test]
async fn a_head_that_drips_times_out() {
    let url = server(|mut stream, _| async move {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        for byte in HEAD_OK.bytes().chain(std::iter::repeat(b'X')) {
            tick.tick().await;
            if stream.write_u8(byte).await.is_err() {
                return;
            }
        }
    })
    .await;
    assert_eq!(result(&short(probe_of(&url))).await, bad(Failure::Timeout));
}

#[tokio::test]
async fn a_head_without_end_is_a_protocol_failure() {
    let url =
        endless(HEAD_OK, b"X-Fill: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", Arc::default())
            .await;
    assert_eq!(result(&probe_of(&url)).await, bad(Failure::Protocol));
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_failure() {
    for answer in [
        "",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "\0\0\0\0\r\n\r\n",
    ] {
        assert_eq!(result(&probe_of(&answering(answer).await)).await, bad(Failure::Protocol), "{answer:?}");
    }
}

#[tokio::test]
async fn a_host_that_has_no_route_is_blind() {
    // Multicast is no place for a connection: the kernel says "network unreachable" without sending anything.
    assert_eq!(result(&probe_of("http://224.0.0.1/")).await, SampleResult::Unknown(BlindCause::Host));
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_not_the_apps_fault() {
    let mut probe = probe_of("http://127.0.0.1/");
    page(&mut probe).headers.insert("X".to_owned(), Header("line\nbreak".to_owned()));
    assert_eq!(result(&probe).await, SampleResult::Unknown(BlindCause::Host));
}
