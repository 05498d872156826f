use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::server::limits::Limits;
use crate::server::tests::fake::{Running, Trouble, start, start_within};

const PATIENCE: Duration = Duration::from_secs(20);

async fn listen(server: &Running) -> TcpStream {
    let mut stream = server.connect().await;
    stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    stream
}

/// What is heard until `what` is in it.
async fn heard(stream: &mut TcpStream, what: &str) -> String {
    let mut text = String::new();
    let read = async {
        let mut bytes = [0; 4096];
        while !text.contains(what) {
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "the stream ended: {text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    };
    timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("{what} was not heard"));
    text
}

#[tokio::test]
async fn a_stream_begins_with_everything_and_goes_on_with_what_changes() {
    let server = start(Trouble::None).await;
    let mut stream = listen(&server).await;
    let begun = heard(&mut stream, "\"storm\":false").await;
    assert!(begun.contains("content-type: text/event-stream") && begun.contains("event: apps\n"), "{begun}");
    // Once the first look is over, what changes is news.
    tokio::time::sleep(super::GLANCE).await;
    *server.fake.state.lock().unwrap() = "held";
    let news = heard(&mut stream, "\"state\":\"held\"").await;
    assert!(news.contains("event: app\n") && !news.contains("event: apps"), "{news}");
}

#[tokio::test]
async fn beyond_its_limit_a_stream_is_refused_and_the_rest_is_served() {
    let server = start(Trouble::None).await;
    let mut streams = Vec::new();
    for _ in 0..Limits::default().streams {
        let mut stream = listen(&server).await;
        heard(&mut stream, "event: apps").await;
        streams.push(stream);
    }
    for _ in 0..200 {
        let refused =
            server.say("GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "too_many_streams"));
    }
    assert_eq!(server.get("/live").await.status, 200);
    drop(streams);
    // Their places are free again.
    let again = async {
        loop {
            let mut stream = server.connect().await;
            stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            let mut head = [0; 12];
            stream.read_exact(&mut head).await.unwrap();
            if head == *b"HTTP/1.1 200" {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.expect("a place");
}

#[tokio::test]
async fn a_server_that_ends_does_not_wait_for_those_who_listen() {
    let server = start(Trouble::None).await;
    let mut stream = listen(&server).await;
    heard(&mut stream, "event: apps").await;
    server.shutdown.cancel();
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the stream ends").unwrap();
}

#[tokio::test]
async fn who_listens_and_never_reads_is_dropped_and_the_place_is_free_again() {
    let limits = Limits { streams: 2, stall_time: Duration::from_millis(200), ..Limits::default() };
    // What a stream begins with is more than the sockets between them hold.
    let server = start_within(Trouble::Huge, limits).await;
    let mut deaf = Vec::new();
    for _ in 0..2 {
        let mut stream = listen(&server).await;
        // The first byte says that the stream is served.
        stream.read_u8().await.unwrap();
        deaf.push(stream);
    }
    let again = async {
        loop {
            let mut stream = listen(&server).await;
            let mut head = [0; 12];
            stream.read_exact(&mut head).await.unwrap();
            if head == *b"HTTP/1.1 200" {
                return;
            }
            assert_eq!(head, *b"HTTP/1.1 503");
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.expect("a place");
    for mut stream in deaf {
        let mut rest = Vec::new();
        // Reset or ended, and in either case not whole.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the stream ends");
        assert!(!rest.ends_with(b"\n\n"), "all {} bytes arrived", rest.len());
    }
}
