//! A server on the loopback that answers byte for byte what a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does after it has read a request.
#[derive(Clone)]
pub(super) enum Act {
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

/// Which act answers a request.
#[derive(Clone)]
enum Script {
    InTurn(Vec<Act>),
    Routed(Vec<(String, Act)>),
}

impl Script {
    fn act(&self, number: usize, request: &str) -> Act {
        match self {
            Self::InTurn(acts) => acts.get(number).or(acts.last()).unwrap().clone(),
            Self::Routed(routes) => {
                let route = routes.iter().find(|(begin, _)| request.starts_with(begin.as_str()));
                route.map_or_else(|| status("404 Not Found", "", "{}"), |(_, act)| act.clone())
            }
        }
    }
}

#[derive(Default)]
pub(super) struct Seen {
    pub(super) requests: Vec<String>,
    pub(super) flooded: usize,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<Mutex<Seen>>,
}

impl Server {
    /// Answers the nth request with the nth act, and the rest with the last.
    pub(super) async fn start(acts: Vec<Act>) -> Self {
        Self::of(Script::InTurn(acts)).await
    }

    /// Answers a request by how it begins, as in `GET /apps?`, with the first act that fits; the rest with 404. For
    /// what is asked at the same time.
    pub(super) async fn routed<'a>(routes: impl IntoIterator<Item = (&'a str, Act)>) -> Self {
        let routes = routes.into_iter().map(|(begin, act)| (begin.to_owned(), act));
        Self::of(Script::Routed(routes.collect())).await
    }

    async fn of(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, script.clone(), Arc::clone(&shared)));
            }
        });
        Self { address, seen }
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().requests.clone()
    }
}

async fn serve(mut stream: TcpStream, script: Script, seen: Arc<Mutex<Seen>>) {
    let Some(request) = read_request(&mut stream).await else { return };
    let act = {
        let mut seen = seen.lock().unwrap();
        let act = script.act(seen.requests.len(), &request);
        seen.requests.push(request);
        act
    };
    match &act {
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
pub(super) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nConnection: close\r\n\
         Content-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub(super) fn ok(body: &str) -> Act {
    Act::Send(answer("200 OK", "Content-Type: application/json\r\n", body.as_bytes()))
}

pub(super) fn status(status: &str, headers: &str, body: &str) -> Act {
    Act::Send(answer(status, headers, body.as_bytes()))
}

/// The head of an answer with a body of so many bytes, which is still to come.
pub(super) fn head(status: &str, length: usize) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}
