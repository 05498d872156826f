//! No client holds the surface's resources for long.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::fake::{Running, TOKEN, Trouble, listen, start, start_within};
use crate::server::limits::Limits;

/// Short enough for a test, long enough for a busy machine.
const SHORT: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_body_over_the_limit_is_a_json_413_announced_or_not() {
    let server = start(Trouble::None).await;
    let announced = format!(
        "POST /api/v1/pause HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 20000\r\n\r\n"
    );
    let answer = server.say(&announced).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let chunked = format!(
        "POST /api/v1/pause HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}"
    );
    let answer = server.say(&chunked).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    assert!(server.fake.acts.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let server = start(Trouble::None).await;
    let request = format!("GET / HTTP/1.1\r\nhost: localhost\r\nfiller: {}\r\n\r\n", "x".repeat(32 * 1024));
    assert_eq!(server.say(&request).await.status, 431);
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let server = start(Trouble::None).await;
    assert_eq!(server.say("ssh-2.0 hello\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_head_is_cut_off() {
    let server = start_within(Trouble::None, Limits { head_time: SHORT, ..Limits::default() }).await;
    for begun in ["", "GET / HTTP/1.1\r\nhost:"] {
        let mut stream = server.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        timeout(PATIENCE, listen(&mut stream)).await.expect("the server closes the connection");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = start_within(Trouble::None, Limits { head_time: SHORT, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let heard = timeout(PATIENCE, listen(&mut stream)).await.expect("the server closes the connection");
    assert!(heard.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_body_gets_a_json_408() {
    let server = start_within(Trouble::None, Limits { request_time: SHORT, ..Limits::default() }).await;
    let request = "POST /api/v1/pause HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf";
    let answer = timeout(PATIENCE, server.say(request)).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (408, "slow_body"));
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let limits = Limits { stall_time: SHORT, connections: 1, ..Limits::default() };
    let server = start_within(Trouble::Huge, limits).await;
    let mut stream = server.connect().await;
    let request = b"GET /api/v1/apps HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    // The first byte says that the answer was made; the silence after it is the client's.
    stream.read_u8().await.unwrap();
    until_there_is_room(&server).await;
    let heard = timeout(PATIENCE, listen(&mut stream)).await.expect("the server closes the connection");
    assert!(!heard.ends_with("]}"), "all {} bytes arrived", heard.len());
}

async fn until_there_is_room(server: &Running) {
    let began = Instant::now();
    // Health has connections of its own; this has not.
    while server.get("/api/v1/incidents").await.status != 200 {
        assert!(began.elapsed() < PATIENCE, "the room of an ended connection is not given back");
    }
}

#[tokio::test]
async fn a_journal_or_a_daemon_that_hangs_is_a_json_503() {
    let limits = Limits { journal_time: SHORT, request_time: SHORT * 2, ..Limits::default() };
    let server = start_within(Trouble::JournalHangs, limits).await;
    for path in ["/api/v1/incidents", "/api/v1/incidents/checkout-1a2b3c4d"] {
        let answer = timeout(PATIENCE, server.get(path)).await.unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (503, "journal_unavailable"));
    }
    let server = start_within(Trouble::DaemonHangs, limits).await;
    let answer = timeout(PATIENCE, server.get("/api/v1/apps")).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (503, "timeout"));
}

/// Connections that are kept open after an answer, or without ever asking for one.
async fn held(server: &Running, count: usize, is_silent: bool) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = server.connect().await;
        if !is_silent {
            stream.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            stream.read_u8().await.unwrap();
        }
        held.push(stream);
    }
    held
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_in_words_until_there_is_room() {
    for spare in [0, 4] {
        let limits = Limits { connections: 2, spare, ..Limits::default() };
        let server = start_within(Trouble::None, limits).await;
        let held = held(&server, 2, false).await;
        let answer = server.get("/api/v1/apps").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "too_many_connections"));
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(answer.headers["cache-control"], "no-store");
        drop(held);
        until_there_is_room(&server).await;
    }
}

#[tokio::test]
async fn who_holds_all_connections_keeps_nobody_from_health_metrics_and_a_word_with_the_token() {
    let limits = Limits { connections: 3, spare: 1, ..Limits::default() };
    let server = start_within(Trouble::None, limits).await;
    let _held = held(&server, 3, false).await;
    for path in ["/live", "/ready", "/metrics"] {
        for _ in 0..3 {
            until_status(&server, path, 200).await;
        }
    }
    assert_eq!(server.post("/api/v1/pause", Some(TOKEN)).await.status, 200);
    for token in [None, Some("wrong"), Some("")] {
        let answer = server.post("/api/v1/pause", token).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{token:?}");
    }
    // Nobody keeps one by a body that does not come.
    let withheld = |line: &str| {
        format!("{line} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\nconnection: close\r\n\r\n")
    };
    for (line, status) in [("POST /api/v1/pause", 401), ("GET /live", 200)] {
        let began = Instant::now();
        assert_eq!(server.say(&withheld(line)).await.status, status, "{line}");
        assert!(began.elapsed() < Duration::from_secs(5), "{line}: the body was waited for");
    }
    // How it went is seen by whoever may say it, and streams take no room from orders.
    let with = |token: &str, path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        )
    };
    for (token, path, status) in
        [(TOKEN, "/api/v1/apps", 200), ("wrong", "/api/v1/apps", 503), (TOKEN, "/api/v1/events", 503)]
    {
        assert_eq!(server.say(&with(token, path)).await.status, status, "{path}");
    }
    assert_eq!(*server.fake.acts.lock().unwrap(), ["* paused by somebody"]);
}

#[tokio::test]
async fn on_a_spare_connection_it_is_said_as_on_any_other_why_nobody_has_the_token() {
    for (trouble, status, code) in
        [(Trouble::NoToken, 403, "no_admin_token"), (Trouble::TokenUnreadable, 503, "admin_token_unreadable")]
    {
        let limits = Limits { connections: 1, spare: 1, ..Limits::default() };
        let server = start_within(trouble, limits).await;
        let _held = held(&server, 1, false).await;
        until_status(&server, "/live", 200).await;
        let answer = server.post("/api/v1/pause", Some(TOKEN)).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
}

/// More than there is room for and to spare, and enough for a queue at the listener.
const HOLDERS: usize = 350;

#[tokio::test]
async fn hundreds_that_say_nothing_and_come_back_at_once_keep_nobody_out_for_a_second() {
    let long = 10 * PATIENCE;
    let limits = Limits { head_time: long, spare_head_time: long, spare_time: long, ..Limits::default() };
    let server = start_within(Trouble::None, limits).await;
    let mut holders = JoinSet::new();
    for _ in 0..HOLDERS {
        let at = server.at;
        holders.spawn(async move {
            loop {
                let Ok(mut stream) = TcpStream::connect(at).await else { continue };
                listen(&mut stream).await;
            }
        });
    }
    until_status(&server, "/api/v1/apps", 503).await;
    for n in 0..20 {
        for path in ["/live", "/metrics"] {
            let answer = timeout(Duration::from_secs(1), server.get(path)).await;
            assert_eq!(answer.expect("an answer in time").status, 200, "{path}, {n}");
        }
        let answer = timeout(Duration::from_secs(1), server.post("/api/v1/pause", Some(TOKEN))).await;
        assert_eq!(answer.expect("an answer in time").status, 200, "{n}");
    }
    assert_eq!(server.fake.acts.lock().unwrap().len(), 20);
}

#[tokio::test]
async fn a_spare_connection_is_for_one_answer_and_held_by_nobody_who_says_nothing() {
    let long = 10 * PATIENCE;
    // By either bound alone.
    for (spare_head_time, spare_time) in [(SHORT, long), (long, 5 * SHORT)] {
        let bounds = Limits { head_time: long, spare_head_time, spare_time, ..Limits::default() };
        let server = start_within(Trouble::None, Limits { connections: 1, spare: 2, ..bounds }).await;
        let _held = held(&server, 1, false).await;
        let mut silent = held(&server, 2, true).await;
        until_status(&server, "/live", 200).await;
        for stream in &mut silent {
            timeout(PATIENCE, listen(stream)).await.expect("the server closes what says nothing");
        }
        // Two requests over one connection: the first is answered, and that is all.
        let mut stream = server.connect().await;
        let request = b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n";
        stream.write_all(&[request.as_slice(), request].concat()).await.unwrap();
        let heard = timeout(PATIENCE, listen(&mut stream)).await.expect("the server closes the connection");
        assert_eq!(heard.matches("HTTP/1.1 200").count(), 1, "{heard}");
    }
}

#[tokio::test]
async fn metrics_take_no_more_than_their_share_of_the_spare_connections() {
    let limits = Limits { connections: 1, spare: 3, spare_scrapes: 0, ..Limits::default() };
    let server = start_within(Trouble::None, limits).await;
    let _held = held(&server, 1, false).await;
    assert_eq!(server.get("/metrics").await.code(), "too_many_connections");
    // Nor with the token.
    let asked = format!(
        "GET /metrics HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(server.say(&asked).await.code(), "too_many_connections");
    until_status(&server, "/live", 200).await;
}

async fn until_status(server: &Running, path: &str, status: u16) {
    let began = Instant::now();
    while server.get(path).await.status != status {
        assert!(began.elapsed() < PATIENCE, "{path} is not answered with {status}");
    }
}

#[tokio::test]
async fn a_loopback_listener_is_not_read_by_a_page_whose_name_was_made_to_lead_here() {
    let server = start(Trouble::None).await;
    let asked = |head: String| {
        let server = &server;
        async move { server.say(&format!("{head}connection: close\r\n\r\n")).await }
    };
    for path in ["/", "/api/v1/apps", "/api/v1/incidents", "/incidents/checkout-1a2b3c4d", "/api/v1/events"] {
        let answer = asked(format!("GET {path} HTTP/1.1\r\nhost: rebound.example:9797\r\n")).await;
        assert_eq!((answer.status, answer.code().as_str()), (421, "unknown_host"), "{path}");
        assert!(answer.body.contains("set external_url"), "{}", answer.body);
    }
    let whole = "GET http://rebound.example/api/v1/apps HTTP/1.1\r\nhost: localhost\r\n";
    assert_eq!(asked(whole.to_owned()).await.status, 421);
    let token = format!("authorization: Bearer {TOKEN}\r\n");
    let word = format!("POST /api/v1/pause HTTP/1.1\r\nhost: rebound.example\r\n{token}");
    assert_eq!(asked(word).await.status, 421);
    assert!(server.fake.acts.lock().unwrap().is_empty());
    for path in ["/live", "/ready", "/metrics"] {
        let answer = asked(format!("GET {path} HTTP/1.1\r\nhost: rearguard.ops.svc\r\n")).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    for host in ["127.0.0.1:9797", "[::1]:9797", "localhost", "guard.example.com"] {
        let answer = asked(format!("GET /api/v1/apps HTTP/1.1\r\nhost: {host}\r\n")).await;
        assert_eq!(answer.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_stop_ends_idle_and_silent_connections_within_its_time() {
    let limits = Limits { drain_time: SHORT, ..Limits::default() };
    let server = start_within(Trouble::DaemonHangs, limits).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    idle.read_u8().await.unwrap();
    let mut waiting = server.connect().await;
    waiting.write_all(b"GET /api/v1/apps HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut begun = server.connect().await;
    begun.write_all(b"GET /").await.unwrap();
    server.shutdown.cancel();
    timeout(PATIENCE, server.task).await.expect("the server stops").unwrap();
    assert!(TcpStream::connect(server.at).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_stop() {
    let limits = Limits { journal_time: SHORT, ..Limits::default() };
    let server = start_within(Trouble::JournalHangs, limits).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    stream.read_u8().await.unwrap();
    stream.write_all(b"GET /api/v1/incidents HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    server.fake.asked.notified().await;
    server.shutdown.cancel();
    let heard = timeout(PATIENCE, listen(&mut stream)).await.unwrap();
    assert!(heard.contains("journal_unavailable"), "{heard}");
}
