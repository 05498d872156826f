//! Answers of servers that are gRPC's, and of such that are not, over real sockets on loopback.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use h2::server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::Probe;
use super::super::network::Network;
use super::super::network::tests::asking;
use super::*;
use crate::clock::SteadyClock;
use crate::config::{Ask, Header};

/// How a server answers.
#[derive(Clone, Copy)]
struct Answer {
    status: u16,
    kind: &'static str,
    /// `grpc-status` in the head, without any body.
    only: Option<&'static str>,
    /// Sent in pieces.
    body: &'static [&'static [u8]],
    /// `grpc-status` in the trailers.
    trailer: Option<&'static str>,
}

const SERVES: Answer = Answer {
    status: 200,
    kind: "application/grpc",
    only: None,
    body: &[b"\0\0\0\0\x02\x08\x01"],
    trailer: Some("0"),
};

/// What was asked: method, path and headers, and the body.
type Asked = Arc<Mutex<Vec<(Request<()>, Vec<u8>)>>>;

async fn serving(answer: Answer) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut connection = server::handshake(stream).await.expect("HTTP/2");
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(respond_with(answer, request, respond, Arc::clone(&log)));
                }
            });
        }
    });
    (url, asked)
}

async fn respond_with(
    answer: Answer,
    request: Request<RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    log: Asked,
) {
    let (parts, mut body) = request.into_parts();
    let mut sent = Vec::new();
    while let Some(Ok(piece)) = body.data().await {
        sent.extend_from_slice(&piece);
    }
    log.lock().expect("not poisoned").push((Request::from_parts(parts, ()), sent));
    let mut head = Response::builder().status(answer.status).header(CONTENT_TYPE, answer.kind);
    if let Some(code) = answer.only {
        head = head.header("grpc-status", code);
    }
    let head = head.body(()).expect("a head");
    let Ok(mut stream) = respond.send_response(head, answer.only.is_some()) else { return };
    for piece in answer.body {
        let _ = stream.send_data(Bytes::from_static(piece), false);
        tokio::task::yield_now().await;
    }
    let mut trailers = HeaderMap::new();
    match answer.trailer {
        Some(code) => trailers.insert("grpc-status", HeaderValue::from_static(code)),
        None => trailers.insert("x-none", HeaderValue::from_static("0")),
    };
    let _ = stream.send_trailers(trailers);
}

fn ask(url: &str) -> GrpcAsk {
    GrpcAsk { url: url.parse().expect("a URL"), service: None, headers: BTreeMap::new() }
}

async fn result(ask: GrpcAsk) -> SampleResult {
    let network = Network::new(Arc::new(SteadyClock::resume(None))).expect("a network");
    let mut probe = asking(Ask::Grpc(ask));
    probe.timeout = Duration::from_secs(2);
    network.sample(&probe, Turn::Nth(0)).await.result
}

#[tokio::test]
async fn what_a_server_says_of_itself_is_told_apart_from_what_is_no_such_answer() {
    const LARGE: &[u8] = &[0; 8192];
    let bad = SampleResult::Bad;
    let only = |code| Answer { only: Some(code), body: &[], trailer: None, ..SERVES };
    let body = |body| Answer { body, ..SERVES };
    let trailer = |code| Answer { body: &[], trailer: Some(code), ..SERVES };
    for (what, answer, expected) in [
        ("it serves", SERVES, SampleResult::Good),
        ("in pieces", body(&[b"\0\0", b"\0\0\x02", b"\x08", b"\x01"]), SampleResult::Good),
        ("with what a later version adds", body(&[b"\0\0\0\0\x06\x12\x02ok\x08\x01"]), SampleResult::Good),
        ("a kind with a suffix", Answer { kind: "application/grpc+proto", ..SERVES }, SampleResult::Good),
        ("it does not serve", body(&[b"\0\0\0\0\x02\x08\x02"]), bad(Failure::NotServing)),
        ("it does not know the service", body(&[b"\0\0\0\0\x02\x08\x03"]), bad(Failure::NotServing)),
        ("it does not say", body(&[b"\0\0\0\0\0"]), bad(Failure::NotServing)),
        ("not found, in trailers", trailer("5"), bad(Failure::Grpc(5))),
        ("not found, in the only head", only("5"), bad(Failure::Grpc(5))),
        ("unavailable", only("14"), bad(Failure::Grpc(14))),
        ("a code of nobody", only("99"), bad(Failure::Grpc(2))),
        ("it serves and then fails", Answer { trailer: Some("13"), ..SERVES }, bad(Failure::Grpc(13))),
        ("no health service", only("12"), SampleResult::Unknown(BlindCause::Source)),
        ("no health service, in trailers", trailer("12"), SampleResult::Unknown(BlindCause::Source)),
        ("good without a message", only("0"), bad(Failure::Protocol)),
        ("no status", Answer { trailer: None, ..SERVES }, bad(Failure::Protocol)),
        ("a status that is no number", only("ok"), bad(Failure::Protocol)),
        ("a torn message", body(&[b"\0\0\0\0\x02\x08"]), bad(Failure::Protocol)),
        ("less than announced", body(&[b"\0\0\0\0\x04\x08\x01"]), bad(Failure::Protocol)),
        ("more than announced", body(&[b"\0\0\0\0\x02\x08\x01\x10\x01"]), bad(Failure::Protocol)),
        ("another kind", Answer { kind: "application/json", ..SERVES }, bad(Failure::Protocol)),
        ("a torn field", body(&[b"\0\0\0\0\x02\x08\x81"]), bad(Failure::Protocol)),
        ("a torn head", body(&[b"\0\0\0"]), bad(Failure::Protocol)),
        ("two messages", body(&[b"\0\0\0\0\x02\x08\x01", b"\0\0\0\0\x02\x08\x01"]), bad(Failure::Protocol)),
        ("a compressed one", body(&[b"\x01\0\0\0\x02\x08\x01"]), bad(Failure::Protocol)),
        ("a large one", body(&[b"\0\0\0\x20\0", LARGE]), bad(Failure::Protocol)),
        (
            "a proxy's page",
            Answer { kind: "text/html", body: &[b"<h1>Hello</h1>"], ..SERVES },
            bad(Failure::Protocol),
        ),
        ("a proxy's error", Answer { status: 502, kind: "text/html", ..SERVES }, bad(Failure::Status(502))),
    ] {
        let (url, _) = serving(answer).await;
        assert_eq!(result(ask(&url)).await, expected, "{what}");
    }
}

#[tokio::test]
async fn the_question_is_the_one_of_the_protocol() {
    let (url, asked) = serving(SERVES).await;
    let long = "s".repeat(200);
    for service in [None, Some("shop.Cart".to_owned()), Some(long.clone())] {
        let headers = BTreeMap::from([("X-Api-Key".to_owned(), Header("s3cret".to_owned()))]);
        assert_eq!(result(GrpcAsk { service, headers, ..ask(&url) }).await, SampleResult::Good);
    }
    let asked = asked.lock().expect("not poisoned");
    let bodies: Vec<&[u8]> = asked.iter().map(|(_, body)| body.as_slice()).collect();
    let long = [b"\0\0\0\0\xcb\x0a\xc8\x01", long.as_bytes()].concat();
    assert_eq!(bodies, [b"\0\0\0\0\0", &b"\0\0\0\0\x0b\x0a\x09shop.Cart"[..], &long]);
    let request = &asked[0].0;
    assert_eq!((request.method(), request.uri().path()), (&Method::POST, PATH));
    assert_eq!(request.uri().authority().map(|authority| format!("http://{authority}")), Some(url));
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers"), ("x-api-key", "s3cret")] {
        assert_eq!(request.headers().get(name).map(HeaderValue::as_bytes), Some(value.as_bytes()), "{name}");
    }
}

#[tokio::test]
async fn without_http_2_it_is_judged_as_a_page_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    assert_eq!(result(ask(&url)).await, SampleResult::Bad(Failure::Protocol));
    let secured = url.replace("http:", "https:");
    assert_eq!(result(ask(&secured)).await, SampleResult::Bad(Failure::Tls));
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let closed = format!("http://{}", socket.local_addr().expect("an address"));
    assert_eq!(result(ask(&closed)).await, SampleResult::Bad(Failure::Connect));
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = format!("http://{}", silent.local_addr().expect("an address"));
    assert!(matches!(result(ask(&silent)).await, SampleResult::Bad(_)), "nobody accepts");
}
