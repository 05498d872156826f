//! The adapter against a server on the loopback that answers byte for byte what a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::*;
use crate::config::{PlatformKind, TokenSource};
use crate::decision::effect::Condition;
use crate::decision::observation::{Cause, Phase};
use crate::ids::PlatformName;
use crate::platform::http::CODES;

const TOKEN: &str = "dop_v1_planted_0123456789abcdef";
const SHORT: Duration = Duration::from_millis(400);
const AMPLE: Duration = Duration::from_secs(20);

/// What the server does after it has read a request.
#[derive(Clone)]
enum Act {
    /// Sends this and closes.
    Send(Vec<u8>),
    /// Sends this, then nothing, and keeps the connection.
    Stall(Vec<u8>),
    /// Sends this, then one byte at a time, for ever.
    Drip(Vec<u8>),
    /// Sends this, then so many zeros, or fewer if nobody takes them.
    Flood(Vec<u8>, usize),
    /// Resets the connection.
    Reset,
}

#[derive(Default)]
struct Seen {
    requests: Vec<String>,
    flooded: usize,
}

struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Server {
    /// Answers the nth request with the nth act, and the rest with the last.
    async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, acts.clone(), Arc::clone(&shared)));
            }
        });
        Self { address, seen }
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().requests.clone()
    }
}

async fn serve(mut stream: TcpStream, acts: Vec<Act>, seen: Arc<Mutex<Seen>>) {
    let Some(request) = read_request(&mut stream).await else { return };
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.requests.push(request);
        seen.requests.len() - 1
    };
    match acts.get(number).or(acts.last()).unwrap() {
        Act::Send(bytes) => {
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
        }
        Act::Stall(bytes) => {
            let _ = stream.write_all(bytes).await;
            std::future::pending::<()>().await;
        }
        Act::Drip(bytes) => {
            let _ = stream.write_all(bytes).await;
            while stream.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Act::Flood(bytes, size) => {
            let _ = stream.write_all(bytes).await;
            let chunk = vec![b'0'; 64 << 10];
            let mut sent = 0;
            while sent < *size && stream.write_all(&chunk).await.is_ok() {
                sent += chunk.len();
                seen.lock().unwrap().flooded = sent;
            }
        }
        Act::Reset => stream.set_zero_linger().unwrap(),
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return Some(text);
            }
        }
    }
}

/// An answer with a status line, some headers, and a body of known length.
fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nConnection: close\r\n\
         Content-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn ok(body: &str) -> Act {
    Act::Send(answer("200 OK", "Content-Type: application/json\r\n", body.as_bytes()))
}

fn status(status: &str, headers: &str, body: &str) -> Act {
    Act::Send(answer(status, headers, body.as_bytes()))
}

/// The head of an answer with a body of so many bytes, which is still to come.
fn head(status: &str, length: usize) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

type Codes = Arc<Mutex<Vec<(&'static str, String)>>>;

fn config(api: &str, timeout: Duration) -> PlatformConfig {
    PlatformConfig {
        name: PlatformName::from("do"),
        kind: PlatformKind::DigitalOcean,
        token: TokenSource::Env("UNUSED".into()),
        api: Url::parse(api).unwrap(),
        poll: Duration::from_secs(30),
        timeout,
        reconcile: Duration::from_secs(60),
        asks_readiness: false,
    }
}

fn account(api: &str, timeout: Duration) -> (DigitalOcean, Codes) {
    let codes = Codes::default();
    let told = Arc::clone(&codes);
    let observer: Observer =
        Arc::new(move |operation, code| told.lock().unwrap().push((operation, code.to_owned())));
    let tokens: TokenReader = Box::new(|| Ok(SecretString::from(TOKEN)));
    (DigitalOcean::new(&config(api, timeout), tokens, observer).unwrap(), codes)
}

fn at(server: &Server, timeout: Duration) -> (DigitalOcean, Codes) {
    account(&format!("http://{}", server.address), timeout)
}

fn app() -> PlatformAppId {
    PlatformAppId::from("app-1")
}

fn target() -> DeploymentId {
    DeploymentId::from("dep-1")
}

/// Makes one call of the trait by its operation, and gives how it failed, if it did.
async fn call(platform: &DigitalOcean, name: &str) -> Result<(), PlatformError> {
    let (app, target) = (app(), target());
    match name {
        operation::LIST_APPS => platform.list_apps().await.map(drop),
        operation::GET_APP => platform.app(&app).await.map(drop),
        operation::LIST_DEPLOYMENTS => platform.deployments(&app).await.map(drop),
        operation::VALIDATE_ROLLBACK => platform.validate_rollback(&app, &target).await.map(drop),
        operation::CREATE_ROLLBACK => platform.create_rollback(&app, &target).await.map(drop),
        operation::COMMIT_ROLLBACK => platform.commit_rollback(&app).await.map(drop),
        operation::REVERT_ROLLBACK => platform.revert_rollback(&app).await.map(drop),
        other => panic!("no such operation: {other}"),
    }
}

/// Runs a check for every operation at the same time, so that what waits for a timeout waits once.
async fn each_operation(check: impl AsyncFn(&'static str)) {
    futures_util::future::join_all(operation::ALL.map(|name| check(name))).await;
}

fn is_ambiguous(result: &Result<(), PlatformError>) -> bool {
    matches!(result, Err(PlatformError::Ambiguous(_)))
}

#[tokio::test]
async fn every_fault_is_classed_told_once_sent_once_and_without_the_token() {
    let echo = format!(r#"{{"id":"bad","message":"Bearer {TOKEN} at https://u:{TOKEN}@h/?k={TOKEN}"}}"#);
    let html = "<html><title>502 Bad Gateway</title></html>";
    let faults: Vec<(&str, Act, &str)> = vec![
        ("HTML from a load balancer", status("502 Bad Gateway", "Content-Type: text/html\r\n", html), "502"),
        ("a JSON 500", status("500 Internal Server Error", "", &echo), "500"),
        ("a timeout's status", status("408 Request Timeout", "", &echo), "408"),
        ("HTML with a 404", status("404 Not Found", "", html), "404"),
        ("a connection reset", Act::Reset, "reset"),
        ("a connection closed", Act::Send(Vec::new()), "reset"),
        ("nothing at all", Act::Stall(Vec::new()), "timeout"),
        ("half a status line", Act::Stall(b"HTTP/1.1 20".to_vec()), "timeout"),
        ("something else than HTTP", Act::Send(TOKEN.as_bytes().to_vec()), "reset"),
    ];
    for (what, act, code) in faults {
        each_operation(async |name| {
            let server = Server::start(vec![act.clone()]).await;
            let (platform, codes) = at(&server, if code == "timeout" { SHORT } else { AMPLE });
            let result = call(&platform, name).await;
            assert!(is_ambiguous(&result), "{name} on {what}: {result:?}");
            assert_eq!(*codes.lock().unwrap(), [(name, code.to_owned())], "{name} on {what}");
            assert_eq!(server.requests().len(), 1, "{name} on {what}");
            let error = result.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("dop_v1"), "{name} on {what}: {error}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_2xx_that_breaks_off_is_ambiguous_unless_the_status_says_all() {
    let faults: Vec<(&str, Act, &str)> = vec![
        ("truncated JSON", ok(r#"{"apps":[{"id":"app-1""#), "decode"),
        ("no JSON", ok("<html>fine</html>"), "decode"),
        ("another JSON", ok("[]"), "decode"),
        (
            "invalid UTF-8",
            Act::Send(answer("200 OK", "", b"{\"apps\":[],\"app\":{\"id\":\"\xff\"}}")),
            "decode",
        ),
        (
            "wrong types",
            ok(r#"{"apps":7,"app":[],"deployments":{},"deployment":"x","valid":"yes"}"#),
            "decode",
        ),
        ("an empty body", status("204 No Content", "", ""), "decode"),
        ("a body that stops", Act::Stall([head("200 OK", 99), b"{\"app".to_vec()].concat()), "timeout"),
        ("a slow loris", Act::Drip(head("200 OK", 1 << 19)), "timeout"),
        ("a body cut short", Act::Send([head("200 OK", 99), b"{\"app".to_vec()].concat()), "reset"),
        ("a body said to be huge", Act::Stall(head("200 OK", 100 << 20)), "too_large"),
    ];
    for (what, act, code) in faults {
        each_operation(async |name| {
            let server = Server::start(vec![act.clone()]).await;
            let late = code == "timeout" && name != operation::COMMIT_ROLLBACK;
            let (platform, codes) = at(&server, if late { SHORT } else { AMPLE });
            let result = call(&platform, name).await;
            if matches!(name, operation::COMMIT_ROLLBACK | operation::REVERT_ROLLBACK) {
                assert_eq!(result, Ok(()), "{name} on {what}");
            } else {
                assert!(is_ambiguous(&result), "{name} on {what}: {result:?}");
                assert_eq!(*codes.lock().unwrap(), [(name, code.to_owned())], "{name} on {what}");
            }
            assert_eq!(server.requests().len(), 1, "{name} on {what}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut_at_the_limit() {
    for name in [operation::GET_APP, operation::LIST_APPS, operation::CREATE_ROLLBACK] {
        let flood = Act::Flood(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{".to_vec(), 100 << 20);
        let server = Server::start(vec![flood]).await;
        let (platform, codes) = at(&server, AMPLE);
        assert!(is_ambiguous(&call(&platform, name).await));
        assert_eq!(*codes.lock().unwrap(), [(name, "too_large".to_owned())]);
        let limit = if name == operation::CREATE_ROLLBACK { ANSWER_LIMIT } else { LIST_LIMIT };
        let flooded = server.seen.lock().unwrap().flooded;
        // What the sockets hold comes on top.
        assert!(flooded < limit + (16 << 20), "{name} took {flooded} bytes");
    }
}

#[tokio::test]
async fn client_errors_keep_their_meaning_and_their_request_id() {
    for name in operation::ALL {
        let echo = format!(r#"{{"id":"conflict","message":"no \u0007 to {TOKEN}"}}"#);
        let acts = [
            status("401 Unauthorized", "", &echo),
            status("403 Forbidden", "", "<html>"),
            status("404 Not Found", "", &echo),
            status("409 Conflict", "X-Request-Id: 0af7\r\n", &echo),
        ];
        let server = Server::start(acts.to_vec()).await;
        let (platform, codes) = at(&server, AMPLE);
        assert_eq!(call(&platform, name).await, Err(PlatformError::Denied { status: 401 }));
        assert_eq!(call(&platform, name).await, Err(PlatformError::Denied { status: 403 }));
        assert_eq!(call(&platform, name).await, Err(PlatformError::NotFound));
        let message = "no to [token] (request 0af7)".to_owned();
        assert_eq!(call(&platform, name).await, Err(PlatformError::Refused { status: 409, message }));
        let told: Vec<String> = codes.lock().unwrap().iter().map(|(_, code)| code.clone()).collect();
        assert_eq!(told, ["401", "403", "404", "409"]);
    }
}

#[tokio::test]
async fn a_connection_that_is_not_made_means_that_nothing_was_sent() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mute = Server::start(vec![Act::Stall(Vec::new())]).await;
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain_address = plain.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = plain.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let mut buffer = [0; 1024];
            while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        }
    });
    let table = [
        (format!("http://{closed}"), vec!["connect"]),
        (format!("https://{plain_address}"), vec!["tls"]),
        // The handshake does not end: the client's hello is no request.
        (format!("https://{}", mute.address), vec!["connect"]),
        ("http://no-such-host.invalid".to_owned(), vec!["dns", "connect"]),
    ];
    for (api, expected) in table {
        let (platform, codes) = account(&api, SHORT);
        let result = call(&platform, operation::CREATE_ROLLBACK).await;
        assert!(matches!(result, Err(PlatformError::NotConnected(_))), "{api}: {result:?}");
        let told = codes.lock().unwrap().clone();
        assert!(told.len() == 1 && expected.contains(&told[0].1.as_str()), "{api}: {told:?}");
        assert!(CODES.contains(&told[0].1.as_str()));
    }
    assert!(mute.requests().is_empty());
}

#[tokio::test]
async fn every_write_has_a_connection_of_its_own() {
    // The server offers to keep the connection, and reads one request on each.
    let body = r#"{"valid":true,"deployment":{"id":"new"}}"#;
    let kept = Act::Stall([head("200 OK", body.len()), body.as_bytes().to_vec()].concat());
    let server = Server::start(vec![kept]).await;
    let (platform, _) = at(&server, AMPLE);
    let writes = &operation::ALL[3..];
    for name in writes.iter().chain(writes) {
        assert_eq!(call(&platform, name).await, Ok(()), "{name}");
    }
    assert_eq!(server.requests().len(), 2 * writes.len());
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_token_stays_here() {
    for name in operation::ALL {
        let elsewhere = Server::start(vec![ok("{}")]).await;
        for code in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
            let location = format!("Location: http://{}/v2/apps\r\n", elsewhere.address);
            let server = Server::start(vec![status(code, &location, "")]).await;
            let (platform, codes) = at(&server, AMPLE);
            assert!(is_ambiguous(&call(&platform, name).await));
            assert_eq!(server.requests().len(), 1);
            assert_eq!(codes.lock().unwrap()[0].1, code[..3]);
        }
        assert!(elsewhere.requests().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_token_read_again_after_401_works_and_one_that_cannot_be_read_is_left() {
    let refused = status("401 Unauthorized", "", "{}");
    let server = Server::start(vec![refused.clone(), refused.clone(), refused, ok(r#"{"apps":[]}"#)]).await;
    let reads = Mutex::new(0);
    let tokens: TokenReader = Box::new(move || {
        let mut reads = reads.lock().unwrap();
        *reads += 1;
        match *reads {
            1 => Ok(SecretString::from("old")),
            2 => Err("read /run/token: no such file".to_owned()),
            3 => Ok(SecretString::from("two\nlines")),
            _ => Ok(SecretString::from("new")),
        }
    });
    let config = config(&format!("http://{}", server.address), AMPLE);
    let platform = DigitalOcean::new(&config, tokens, Arc::new(|_, _| {})).unwrap();
    for _ in 0..3 {
        assert_eq!(call(&platform, operation::LIST_APPS).await, Err(PlatformError::Denied { status: 401 }));
        platform.reload_token();
    }
    assert_eq!(call(&platform, operation::LIST_APPS).await, Ok(()));
    let sent: Vec<bool> =
        server.requests().iter().map(|r| r.contains("authorization: Bearer new\r\n")).collect();
    assert_eq!(sent, [false, false, false, true]);
    assert!(server.requests()[2].contains("authorization: Bearer old\r\n"));
}

#[tokio::test]
async fn a_429_holds_reads_back_for_as_long_as_it_asks_and_lets_writes_through() {
    let table = [
        ("Retry-After: 7\r\n", Some(7)),
        ("Retry-After: 0\r\n", Some(0)),
        ("Retry-After: 1000000000\r\n", Some(300)),
        ("Retry-After: Fri, 20 Nov 2026 12:00:00 GMT\r\n", Some(0)),
        ("Retry-After: soon\r\n", None),
        ("Ratelimit-Reset: 1795262460\r\n", Some(60)),
        ("Retry-After: ?\r\nRatelimit-Reset: 1795262430\r\n", Some(30)),
    ];
    for (headers, seconds) in table {
        let counts = "Ratelimit-Limit: 5000\r\nRatelimit-Remaining: 0\r\n";
        let limited = status("429 Too Many Requests", &format!("{counts}{headers}"), "{}");
        let server = Server::start(vec![limited, status("200 OK", "", "")]).await;
        let (platform, codes) = at(&server, AMPLE);
        let retry_after = seconds.map(Duration::from_secs);
        assert_eq!(
            call(&platform, operation::LIST_APPS).await,
            Err(PlatformError::RateLimited { retry_after }),
            "{headers}"
        );
        let budget = platform.budget();
        assert_eq!((budget.limit, budget.remaining), (Some(5000), Some(0)));
        if seconds.is_some_and(|seconds| seconds > 0) {
            assert!(budget.hold_reads.is_some_and(|left| left <= retry_after.unwrap()));
            let held = call(&platform, operation::GET_APP).await;
            assert!(matches!(held, Err(PlatformError::RateLimited { retry_after: Some(_) })), "{held:?}");
            assert_eq!(server.requests().len(), 1, "a held read is not sent");
        } else {
            assert_eq!(budget.hold_reads, None);
        }
        assert_eq!(call(&platform, operation::COMMIT_ROLLBACK).await, Ok(()));
        assert_eq!(codes.lock().unwrap().len(), server.requests().len());
    }
}

#[tokio::test]
async fn requests_are_what_the_platform_documents_and_never_skip_the_pin() {
    let made = r#"{"deployment":{"id":"new","phase":"PENDING_BUILD"}}"#;
    let body = r#"{"apps":[],"app":{"id":"app-1"},"deployments":[],"valid":true,"deployment":{"id":"new"}}"#;
    let server = Server::start(vec![ok(body)]).await;
    let (platform, _) = at(&server, AMPLE);
    for name in operation::ALL {
        call(&platform, name).await.unwrap();
    }
    let requests = server.requests();
    let lines: Vec<&str> = requests.iter().filter_map(|request| request.lines().next()).collect();
    assert_eq!(
        lines,
        [
            "GET /v2/apps?per_page=200&page=1 HTTP/1.1",
            "GET /v2/apps/app-1 HTTP/1.1",
            "GET /v2/apps/app-1/deployments?per_page=30 HTTP/1.1",
            "POST /v2/apps/app-1/rollback/validate HTTP/1.1",
            "POST /v2/apps/app-1/rollback HTTP/1.1",
            "POST /v2/apps/app-1/rollback/commit HTTP/1.1",
            "POST /v2/apps/app-1/rollback/revert HTTP/1.1",
        ]
    );
    for (request, name) in requests.iter().zip(operation::ALL) {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("authorization: Bearer {TOKEN}")));
        assert!(head.contains(&format!("user-agent: rearguard/{}", env!("CARGO_PKG_VERSION"))));
        if matches!(name, operation::VALIDATE_ROLLBACK | operation::CREATE_ROLLBACK) {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body, json!({"deployment_id": "dep-1", "skip_pin": false}));
        } else {
            assert_eq!(body, "");
        }
    }

    let server = Server::start(vec![ok(made)]).await;
    let (platform, _) = account(&format!("http://{}/base/", server.address), AMPLE);
    let created = platform.create_rollback(&PlatformAppId::from("../a b/é?x#y"), &target()).await.unwrap();
    assert_eq!((created.value.id, created.value.phase), ("new".into(), Phase::InProgress));
    let line = server.requests()[0].lines().next().map(str::to_owned);
    assert_eq!(line.unwrap(), "POST /base/v2/apps/..%2Fa%20b%2F%C3%A9%3Fx%23y/rollback HTTP/1.1");
    let error = platform.commit_rollback(&PlatformAppId::from("..")).await.unwrap_err();
    assert_eq!(error, PlatformError::NotFound);
    assert_eq!(server.requests().len(), 1, "nothing is asked of an app that cannot be");
}

#[tokio::test]
async fn a_web_page_is_no_answer_even_where_the_status_would_do() {
    for name in [operation::COMMIT_ROLLBACK, operation::REVERT_ROLLBACK, operation::CREATE_ROLLBACK] {
        for kind in ["Text/HTML; charset=utf-8", "text/html; charset=\u{e9}"] {
            let head = format!("Content-Type: {kind}\r\n");
            let server = Server::start(vec![status("200 OK", &head, "<html>Sign in</html>")]).await;
            let (platform, _) = at(&server, AMPLE);
            assert!(is_ambiguous(&call(&platform, name).await), "{name}, {kind}");
        }
    }
}

#[tokio::test]
async fn a_list_is_whole_when_it_says_that_nothing_follows_and_not_when_nobody_can_tell() {
    let table = [
        (r#""meta":{"total":1}"#, true),
        (r#""links":null"#, true),
        (r#""links":{"pages":null}"#, true),
        (r#""links":{"pages":{"next":""}}"#, true),
        (r#""links":{"pages":{"next":7}}"#, false),
        (r#""links":{"pages":["https://api.example.com/v2/apps?page=2"]}"#, false),
        (r#""links":"https://api.example.com/v2/apps?page=2""#, false),
    ];
    for (links, is_whole) in table {
        let server = Server::start(vec![ok(&format!(r#"{{"apps":[{{"id":"a"}}],{links}}}"#))]).await;
        let (platform, _) = at(&server, AMPLE);
        let listed = platform.list_apps().await.unwrap().value;
        assert_eq!((listed.apps.len(), listed.is_whole), (1, is_whole), "{links}");
    }
    let empty = ok(r#"{"apps":[],"links":{"pages":{"next":"https://api.example.com/v2/apps?page=2"}}}"#);
    let server = Server::start(vec![empty]).await;
    assert!(!at(&server, AMPLE).0.list_apps().await.unwrap().value.is_whole);
}

#[tokio::test]
async fn pages_are_counted_by_us_and_an_app_is_taken_once() {
    let next = r#""links":{"pages":{"next":"https://evil.example/v2/apps?page=9"}}"#;
    let page = |ids: &str| ok(&format!(r#"{{"apps":[{ids}],{next}}}"#));
    let one = page(
        r#"{"id":"a","active_deployment":{"id":"first"}},{"name":"no id"},"strange",{"id":"b","pinned_deployment":7}"#,
    );
    let two = page(r#"{"id":"a","active_deployment":{"id":"second"}},{"id":"c"}"#);
    let server = Server::start(vec![one, two, page("")]).await;
    let (platform, codes) = at(&server, AMPLE);
    let listed = platform.list_apps().await.unwrap().value;
    assert!(!listed.is_whole);
    let ids: Vec<&str> = listed.apps.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["a", "c"], "an app whose pin cannot be read is left out, not shown without one");
    assert_eq!(listed.apps[0].1.active.as_ref().unwrap().id.as_str(), "first");
    assert_eq!(codes.lock().unwrap().len(), 3);
    assert!(server.requests()[2].starts_with("GET /v2/apps?per_page=200&page=3 "));

    let endless = Server::start(vec![page(r#"{"id":"a"}"#)]).await;
    let (platform, _) = at(&endless, AMPLE);
    assert!(is_ambiguous(&call(&platform, operation::LIST_APPS).await));
    assert_eq!(endless.requests().len(), PAGES);
}

#[tokio::test]
async fn a_fault_on_a_later_page_is_a_fault_of_the_list() {
    let first = ok(r#"{"apps":[{"id":"a"}],"links":{"pages":{"next":"x"}}}"#);
    let server = Server::start(vec![first, status("502 Bad Gateway", "", "")]).await;
    let (platform, _) = at(&server, AMPLE);
    assert!(is_ambiguous(&call(&platform, operation::LIST_APPS).await));
}

#[tokio::test]
async fn an_app_is_seen_with_its_pin_its_age_and_what_is_under_way() {
    let body = r#"{"app":{"id":"app-1","spec":{"name":"web"},"region":7,
        "active_deployment":{"id":"live","phase":"ACTIVE","created_at":"2026-11-21T11:00:00.123456789Z",
            "cause":"commit 9a4df0b\n pushed to github/o/r",
            "cause_details":{"type":"DEPLOY_ON_PUSH","digitalocean_user_action":null}},
        "in_progress_deployment":{"id":"live","phase":"DEPLOYING"},
        "pending_deployment":{"id":"coming","phase":"SOMETHING_NEW"},
        "pinned_deployment":{"id":"pin"},
        "last_deployment_active_at":"2026-11-21T11:59:30.5Z"}}"#;
    let server = Server::start(vec![status("200 OK", "X-Request-Id: r-1\r\n", body)]).await;
    let (platform, _) = at(&server, AMPLE);
    let seen = platform.app(&app()).await.unwrap();
    assert_eq!((seen.status, seen.request_id.as_deref()), (200, Some("r-1")));
    let view = seen.value;
    assert_eq!(view.active_age_ms, Some(29_500));
    assert_eq!(view.in_progress, Some("coming".into()));
    assert_eq!(view.pinned, Some("pin".into()));
    let active = view.active.unwrap();
    assert_eq!((active.phase, active.cause, active.complete), (Phase::Active, Cause::Release, true));
    assert_eq!(active.created_ms, 1_795_258_800_123);
    assert_eq!(active.title, "commit 9a4df0b pushed to github/o/r");
}

#[tokio::test]
async fn an_answer_about_another_app_is_not_believed() {
    let server = Server::start(vec![ok(r#"{"app":{"id":"app-2"}}"#)]).await;
    let (platform, _) = at(&server, AMPLE);
    assert!(is_ambiguous(&call(&platform, operation::GET_APP).await));
}

#[tokio::test]
async fn deployments_come_newest_first_whatever_their_place() {
    let body = r#"{"deployments":[
        {"id":"b","created_at":"2026-11-20T10:00:00Z"},
        {"id":"old","created_at":"2026-11-19T10:00:00Z"},
        {"id":"a","created_at":"2026-11-20T10:00:00Z"},
        {"id":"new","created_at":"2026-11-21T10:00:00Z","phase":"SUPERSEDED"},
        {"id":"new","created_at":"2026-11-01T10:00:00Z"},
        {"created_at":"2026-11-22T10:00:00Z"}, null, "x",
        {"id":"never","created_at":"0001-01-01T00:00:00Z"}]}"#;
    let server = Server::start(vec![ok(body)]).await;
    let (platform, _) = at(&server, AMPLE);
    let list = platform.deployments(&app()).await.unwrap().value;
    let ids: Vec<&str> = list.iter().map(|deployment| deployment.id.as_str()).collect();
    assert_eq!(ids, ["new", "b", "a", "old", "never"]);
    assert_eq!(list[0].phase, Phase::Superseded);
}

#[tokio::test]
async fn a_validation_says_no_unless_it_says_yes() {
    let validate = async |body: &str| {
        let server = Server::start(vec![ok(body)]).await;
        at(&server, AMPLE).0.validate_rollback(&app(), &target()).await.map(|answered| answered.value)
    };
    assert_eq!(validate("{}").await, Ok(Validation::default()));
    assert!(validate(r#"{"valid":true,"error":null,"warnings":null}"#).await.unwrap().valid);
    let told =
        format!(r#"{{"valid":true,"warnings":[{{"code":"new_code","message":"say\n{TOKEN}"}},{{}}]}}"#);
    let seen = validate(&told).await.unwrap();
    let code = |code: &str, message: &str| Condition { code: code.into(), message: message.into() };
    assert_eq!(seen.warnings, [code("new_code", "say [token]"), code("", "")]);
    let contradiction = validate(r#"{"valid":true,"error":{"code":"app_pinned"}}"#).await.unwrap();
    assert_eq!((contradiction.valid, contradiction.error), (false, Some(code("app_pinned", ""))));
    for strange in
        [r#"{"valid":1}"#, r#"{"warnings":"x"}"#, r#"{"warnings":[7]}"#, r#"{"error":["a"]}"#, "[true]"]
    {
        assert!(matches!(validate(strange).await, Err(PlatformError::Ambiguous(_))), "{strange}");
    }
}

#[tokio::test]
async fn a_revert_gives_the_deployment_where_the_answer_names_it() {
    let server = Server::start(vec![ok(r#"{"deployment":{"id":"back"}}"#), ok(r#"{"deployment":{}}"#)]).await;
    let (platform, _) = at(&server, AMPLE);
    assert_eq!(platform.revert_rollback(&app()).await.unwrap().value, Some("back".into()));
    assert_eq!(platform.revert_rollback(&app()).await.unwrap().value, None);
}

#[test]
fn an_account_that_cannot_work_is_refused_at_the_start_without_showing_the_token() {
    let start = |api: &str, token: Result<&'static str, &'static str>| {
        let tokens: TokenReader = Box::new(move || token.map(SecretString::from).map_err(str::to_owned));
        match DigitalOcean::new(&config(api, AMPLE), tokens, Arc::new(|_, _| {})) {
            Ok(platform) => format!("{platform:?}"),
            Err(error) => error.to_string(),
        }
    };
    let api = "http://127.0.0.1:1";
    assert_eq!(start(api, Err("no such file")), "read the token: no such file");
    assert!(start(api, Ok("")).starts_with("use the token"));
    assert!(start(api, Ok("secret\n")).starts_with("use the token"));
    assert_eq!(start("ftp://h", Ok("t")), "use the API's URL: it is not an http or https URL");
    assert_eq!(start("http://u:secret@h", Ok("t")), "use the API's URL: it carries a user name or password");
    let shown = start(api, Ok("secret"));
    assert!(!shown.contains("secret"), "{shown}");
}

/// The other half of the next test, in a process whose environment has no certificates.
const BARE: &str = "REARGUARD_TEST_WITHOUT_CERTIFICATES";

#[test]
fn a_system_without_certificates_is_named_as_such_and_plain_http_needs_none() {
    let name = "platform::digitalocean::tests::a_system_without_certificates_is_named_as_such_and_plain_http_needs_none";
    if std::env::var_os(BARE).is_none() {
        let empty = tempfile::tempdir().unwrap();
        let file = empty.path().join("none.pem");
        std::fs::write(&file, "").unwrap();
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(BARE, "1")
            .env("SSL_CERT_FILE", &file)
            .env("SSL_CERT_DIR", empty.path())
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
        return;
    }
    let start = |api: &str| {
        let tokens: TokenReader = Box::new(|| Ok(SecretString::from(TOKEN)));
        DigitalOcean::new(&config(api, AMPLE), tokens, Arc::new(|_, _| {}))
    };
    assert!(matches!(start("https://api.digitalocean.com"), Err(StartError::NoCertificates)));
    assert!(start("http://127.0.0.1:1").is_ok());
}
