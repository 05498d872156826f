//! What a client is told for which there is no room at all.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::limits::Limits;

/// Written whole, so that it needs no request to be understood first.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    content-length: 91\r\nretry-after: 1\r\ncache-control: no-store\r\nconnection: close\r\n\r\n\
    {\"error\":{\"code\":\"too_many_connections\",\"message\":\"all connections are taken; try again\"}}\n";
/// How long a refused client has to ask. It is answered then, asked or not.
const ASKING_TIME: Duration = Duration::from_millis(500);
/// How long a refused client has in all, with its refusal to be taken.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// Says that there is no room, once the client has asked: an answer that comes before its question is thrown away with
/// the connection by clients that keep to the protocol. What is sent meanwhile is read, because closing a socket with
/// unread bytes resets it, and the reset overtakes the answer.
pub(super) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, limits: Limits) {
    let told = async {
        if let Ok(asked) = timeout(ASKING_TIME, read_head(&mut stream, limits.head_bytes)).await {
            asked?;
        }
        stream.write_all(FULL).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(REFUSAL_TIME, told).await;
}

/// Reads to the empty line that ends a request's head, or until so many bytes have come.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S, most: usize) -> io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    while head.len() < most && stream.read_buf(&mut head).await? > 0 {
        if head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[test]
    fn the_refusal_says_its_own_length() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_answered_before_it_has_asked_or_had_the_time_to() {
        for (said, ended) in [("GET /api/v1/apps HTTP/1.1\r\nhost: localhost\r\n", "\r\n"), ("", "")] {
            let (mut client, server) = duplex(64);
            let refused = tokio::spawn(refuse(server, Limits::default()));
            client.write_all(said.as_bytes()).await.unwrap();
            let early = timeout(ASKING_TIME / 2, client.read_u8()).await;
            assert!(early.is_err(), "{said:?}: answered before it has asked");
            client.write_all(ended.as_bytes()).await.unwrap();
            let mut heard = String::new();
            client.read_to_string(&mut heard).await.unwrap();
            assert!(heard.starts_with("HTTP/1.1 503 "), "{heard}");
            refused.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_without_an_end_is_read_to_its_bound_and_answered() {
        let (mut client, server) = duplex(64);
        let refused = tokio::spawn(refuse(server, Limits { head_bytes: 100, ..Limits::default() }));
        client.write_all(&[b'x'; 150]).await.unwrap();
        assert_eq!(timeout(ASKING_TIME / 2, client.read_u8()).await.unwrap().unwrap(), b'H');
        drop(client);
        refused.await.unwrap();
    }
}
