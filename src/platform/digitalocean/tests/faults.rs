//! What goes wrong with a call: how it is classed and told, what is sent again, and that the token stays here.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use super::*;
use crate::platform::http::CODES;
use crate::platform::scripted::{Act, Server, answer, head, ok, status};

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
    for name in operations() {
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
    // Bound and never listening: nobody else gets the port meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let closed = socket.local_addr().unwrap();
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
    let is_write = |name: &&str| {
        let reads = [operation::SERIES, operation::BANDWIDTH, operation::BALANCE];
        !reads.contains(name)
    };
    let writes: Vec<&str> = operations().skip(3).filter(is_write).collect();
    for name in writes.iter().chain(&writes) {
        assert_eq!(call(&platform, name).await, Ok(()), "{name}");
    }
    assert_eq!(server.requests().len(), 2 * writes.len());
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_token_stays_here() {
    for name in operations() {
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
