//! Whether a gRPC server says that it serves: `grpc.health.v1.Health/Check`, over a connection of its own.
//!
//! The answer is the health message together with the status that follows it. Without a message the status alone tells,
//! be it in trailers or in the only head (trailers-only). What is no gRPC at all, as the page of a proxy, is told apart:
//! `Status` for another status of HTTP than 200, `Protocol` for anything else.
//!
//! UNIMPLEMENTED is Unknown: such a server has no health service and does not take the question, which says nothing of how it
//! serves. Clients that check health by themselves go on with such a server too:
//! <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>.
//!
//! The protocol is spoken over the h2 crate, since a gRPC library is a dozen more crates for one message:
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use std::sync::Arc;

use h2::{RecvStream, client};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use rustls::ClientConfig;
use tokio_rustls::TlsConnector;

use super::Turn;
use super::blame::blame_io;
use super::http::{self, driven, headers};
use super::resolve::Resolver;
use super::secure::open;
use crate::config::GrpcAsk;
use crate::decision::sample::{BlindCause, Failure, SampleResult};

/// Where every server has it.
const PATH: &str = "/grpc.health.v1.Health/Check";

/// The most of an answer that is read; one is seven bytes.
const ANSWER_MAX: usize = 4 * 1024;

/// The most of a head or of trailers that is read, in bytes.
const HEAD_MAX: u32 = 16 * 1024;

/// Codes of <https://grpc.github.io/grpc/core/md_doc_statuscodes.html>.
const OK: u8 = 0;
const UNIMPLEMENTED: u8 = 12;
const UNAUTHENTICATED: u8 = 16;

/// `HealthCheckResponse.ServingStatus` of the protocol.
const SERVING: u64 = 1;

/// Asks gRPC servers.
pub(super) struct Grpc {
    connector: TlsConnector,
}

impl Grpc {
    pub(super) fn new(tls: ClientConfig) -> Self {
        Self { connector: TlsConnector::from(Arc::new(tls)) }
    }

    /// Good when it serves.
    pub(super) async fn check(&self, resolver: &Resolver, ask: &GrpcAsk, turn: Turn) -> SampleResult {
        // The configuration lets no such header pass; if one does, it is not the app's fault.
        let Some(request) = request(ask) else { return SampleResult::Unknown(BlindCause::Host) };
        let line = match open(resolver, &self.connector, &ask.url, turn).await {
            Ok(line) => line,
            Err(result) => return result,
        };
        let handshake = client::Builder::new()
            .enable_push(false)
            .max_header_list_size(HEAD_MAX)
            .handshake::<_, Bytes>(line)
            .await;
        let (sender, connection) = match handshake {
            Ok(both) => both,
            Err(error) => return blame(&error),
        };
        let message = message(ask.service.as_deref().unwrap_or_default());
        let exchange = async {
            match exchange(sender, request, message).await {
                Ok(result) => result,
                Err(error) => blame(&error),
            }
        };
        driven(connection, exchange).await
    }
}

fn request(ask: &GrpcAsk) -> Option<Request<()>> {
    let authority = match ask.url.port() {
        Some(port) => format!("{}:{port}", ask.url.host_str()?),
        None => ask.url.host_str()?.to_owned(),
    };
    let uri = format!("{}://{authority}{PATH}", ask.url.scheme());
    let mut request = Request::builder().method(Method::POST).uri(uri).body(()).ok()?;
    *request.headers_mut() = headers(&ask.headers)?;
    let headers = request.headers_mut();
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(http::USER_AGENT));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    Some(request)
}

/// `HealthCheckRequest`, uncompressed and with its length: its only field, 1, is the service's name.
fn message(service: &str) -> Bytes {
    let mut field = Vec::new();
    if !service.is_empty() {
        field.push(0x0a);
        let mut left = service.len();
        while left > 0x7f {
            field.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        field.push(left as u8);
        field.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0][..], &length, &field].concat().into()
}

async fn exchange(
    sender: client::SendRequest<Bytes>,
    request: Request<()>,
    message: Bytes,
) -> Result<SampleResult, h2::Error> {
    let (response, mut body) = sender.ready().await?.send_request(request, false)?;
    body.send_data(message, true)?;
    let response: Response<RecvStream> = response.await?;
    if response.status() != StatusCode::OK {
        return Ok(SampleResult::Bad(Failure::Status(response.status().as_u16())));
    }
    let is_grpc = |kind: &HeaderValue| kind.as_bytes().starts_with(b"application/grpc");
    if !response.headers().get(CONTENT_TYPE).is_some_and(is_grpc) {
        return Ok(SampleResult::Bad(Failure::Protocol));
    }
    if let Some(code) = code(response.headers()) {
        return Ok(judge(code, &[]));
    }
    let mut body = response.into_body();
    let mut answer = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        answer.extend_from_slice(&piece);
        if answer.len() > ANSWER_MAX {
            return Ok(SampleResult::Bad(Failure::Protocol));
        }
        body.flow_control().release_capacity(piece.len())?;
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    Ok(match code(&trailers) {
        Some(code) => judge(code, &answer),
        None => SampleResult::Bad(Failure::Protocol),
    })
}

/// The status, none where there is none or no such one.
fn code(headers: &HeaderMap) -> Option<u8> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    // What is none of them is as good as their "unknown".
    Some(if code > UNAUTHENTICATED { 2 } else { code })
}

fn judge(code: u8, answer: &[u8]) -> SampleResult {
    match code {
        OK => match status(answer) {
            Some(SERVING) => SampleResult::Good,
            Some(_) => SampleResult::Bad(Failure::NotServing),
            None => SampleResult::Bad(Failure::Protocol),
        },
        UNIMPLEMENTED => SampleResult::Unknown(BlindCause::Source),
        code => SampleResult::Bad(Failure::Grpc(code)),
    }
}

/// The status of the one `HealthCheckResponse` there has to be; none where there is anything else.
fn status(answer: &[u8]) -> Option<u64> {
    let (head, mut field) = answer.split_at_checked(5)?;
    let length = u32::from_be_bytes(head[1..].try_into().ok()?);
    // Nobody offered to take a compressed one.
    if head[0] != 0 || usize::try_from(length) != Ok(field.len()) {
        return None;
    }
    // A field that is left out is zero.
    let mut status = 0;
    while !field.is_empty() {
        let key = varint(&mut field)?;
        match key & 7 {
            0 => {
                let value = varint(&mut field)?;
                if key >> 3 == 1 {
                    status = value;
                }
            }
            // What a later version of the protocol adds.
            1 => field = field.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut field)?).ok()?;
                field = field.get(length..)?;
            }
            5 => field = field.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn blame(error: &h2::Error) -> SampleResult {
    error.get_io().and_then(|io| blame_io(io, false)).unwrap_or(SampleResult::Bad(Failure::Protocol))
}

#[cfg(test)]
mod tests;
