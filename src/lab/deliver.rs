//! How an answer reaches its caller: whole, or as a fault would have it.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use axum::http::{Response, StatusCode};
use futures_util::stream;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::fault::Kind;
use super::kind::Dialect;

/// An answer before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// In which an error has to be that takes its place.
    pub(crate) dialect: Dialect,
}

/// What goes back, and the fault that happens to it on the way.
pub(crate) type Outgoing = (Answer, Option<Kind>);

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, ..Self::rendered(body.to_string()) }
    }

    /// What is JSON already.
    pub(crate) fn rendered(body: impl Into<String>) -> Self {
        Self::text(200, "application/json; charset=utf-8", body.into())
    }

    pub(crate) fn text(status: u16, content_type: &'static str, body: String) -> Self {
        Self {
            status,
            content_type,
            headers: Vec::new(),
            body: body.into_bytes(),
            dialect: Dialect::default(),
        }
    }

    fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// As a fault would have it that quotes the request, with the token that came with it.
    pub(crate) fn quoting(self, token: Option<&str>, fault: Option<&Kind>) -> Self {
        let (Some(Kind::Echo { code, .. }), Some(token)) = (fault, token) else { return self };
        let is_done = (200..300).contains(code);
        let words = format!("Authorization: Bearer {token} is not accepted here");
        let error =
            || Answer { headers: self.headers.clone(), ..Answer::error(self.dialect, *code, &words, token) };
        let mut answer = if is_done { self } else { error() };
        for (_, value) in answer.headers.iter_mut().filter(|(name, _)| *name == "x-request-id") {
            token.clone_into(value);
        }
        answer
    }

    /// The platform's form of an error.
    pub(crate) fn error(dialect: Dialect, status: u16, message: &str, request_id: &str) -> Self {
        let error = match dialect {
            Dialect::DigitalOcean => Self::error_of_digitalocean(status, message, request_id),
            Dialect::Sevalla => {
                let code = format!("err-{}", request_id.get(..8).unwrap_or_default());
                let data = json!({ "code": code, "message": message });
                Self::json(status, &json!({ "message": message, "status": status, "data": data }))
            }
        };
        Self { dialect, ..error }
    }

    /// [OAS: `shared/models/error.yml`]
    fn error_of_digitalocean(status: u16, message: &str, request_id: &str) -> Self {
        let id = match status {
            400 => "bad_request",
            401 => "unauthorized",
            403 => "forbidden",
            404 => "not_found",
            409 => "conflict",
            412 => "precondition_failed",
            422 => "unprocessable_entity",
            429 => "too_many_requests",
            _ => "server_error",
        };
        Self::json(status, &json!({"id": id, "message": message, "request_id": request_id}))
    }
}

/// Sends the answer as the fault would have it. Ends early when the lab stops.
pub(crate) async fn deliver(answer: Answer, fault: Option<Kind>, stop: &CancellationToken) -> Response<Body> {
    let Some(fault) = fault else { return whole(answer) };
    match fault {
        Kind::Status { code, .. } => whole(replaced(&answer, code, "a fault of the lab")),
        Kind::TooManyRequests { retry_after } => {
            let mut answer = replaced(&answer, 429, "API Rate limit exceeded.");
            spent(&mut answer.headers);
            answer.headers.extend(retry_after.map(|after| ("retry-after", after)));
            whole(answer)
        }
        // It took the answer's place where the request was at hand.
        Kind::Echo { .. } => whole(answer),
        Kind::Html { code } => {
            let page = "<html><head><title>Bad Gateway</title></head><body>nginx</body></html>";
            whole(Answer::text(code, "text/html", page.to_owned()))
        }
        Kind::RedirectLoop => {
            let mut response = whole(Answer::text(302, "text/plain", String::new()));
            response.headers_mut().insert(LOCATION, HeaderValue::from_static("?again"));
            response
        }
        Kind::Hang { .. } | Kind::AppliedLate { .. } => {
            stop.cancelled().await;
            closed()
        }
        Kind::Reset { .. } => closed(),
        Kind::Delay { ms } => {
            tokio::select! {
                () = stop.cancelled() => closed(),
                () = tokio::time::sleep(Duration::from_millis(ms)) => whole(answer),
            }
        }
        Kind::Truncated => truncated(answer),
        Kind::Huge { bytes } => huge(answer, bytes),
        Kind::SlowLoris { every_ms } => slow(answer, Duration::from_millis(every_ms), stop.clone()),
        Kind::Empty => whole(answer.with_body("")),
        Kind::NoContent => whole(Answer { status: 204, ..answer.with_body("") }),
        Kind::InvalidUtf8 => whole(answer.with_body(b"{\"app\":{\"id\":\"\xff\xfe\xc3\x28\"}}".as_slice())),
        Kind::WrongTypes
        | Kind::UnknownFields
        | Kind::UnknownWords
        | Kind::MissingIds
        | Kind::Reordered
        | Kind::Duplicated
        | Kind::WrongTotal => whole(mangled(answer, &fault)),
    }
}

/// An error in the place of an answer, with that answer's headers.
fn replaced(answer: &Answer, status: u16, message: &str) -> Answer {
    let request_id = answer.headers.iter().find(|(name, _)| *name == "x-request-id");
    let error = Answer::error(answer.dialect, status, message, request_id.map_or("", |(_, id)| id));
    Answer { headers: answer.headers.clone(), ..error }
}

/// Sevalla's headers when nothing is left, and again something in two seconds.
fn spent(headers: &mut [(&'static str, String)]) {
    for (name, value) in headers {
        match *name {
            "x-ratelimit-remaining" => "0".clone_into(value),
            "x-ratelimit-reset" => "2".clone_into(value),
            _ => {}
        }
    }
}

/// The `Date` header, on the lab's clock.
pub(crate) fn http_date(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .unwrap_or_default()
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

fn whole(mut answer: Answer) -> Response<Body> {
    let body = Body::from(std::mem::take(&mut answer.body));
    dressed(answer, body)
}

fn dressed(answer: Answer, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::IM_A_TEAPOT);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// The connection breaks before anything is sent: the server gives up on a body that fails at once, and with it
/// on the head it has not written yet.
pub(crate) fn closed() -> Response<Body> {
    let broken = stream::once(async { Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset)) });
    Response::new(Body::from_stream(broken))
}

fn truncated(mut answer: Answer) -> Response<Body> {
    let length = answer.body.len().max(2);
    answer.body.truncate(length / 2);
    let half = Bytes::from(std::mem::take(&mut answer.body));
    let parts = stream::unfold(Some(half), |half| async move {
        if let Some(half) = half {
            return Some((Ok(half), None));
        }
        // The half has to be on its way before the connection breaks.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), None))
    });
    let mut response = dressed(answer, Body::from_stream(parts));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn huge(mut answer: Answer, bytes: u64) -> Response<Body> {
    const CHUNK: u64 = 64 * 1024;
    let last = Bytes::from(std::mem::take(&mut answer.body));
    let space = Bytes::from(vec![b' '; usize::try_from(CHUNK).unwrap_or(0)]);
    let parts = stream::unfold((bytes, Some(last), space), |(left, last, space)| async move {
        if left > 0 {
            let size = left.min(CHUNK);
            let chunk = space.slice(..usize::try_from(size).unwrap_or(0));
            return Some((Ok::<_, Infallible>(chunk), (left - size, last, space)));
        }
        last.map(|last| (Ok(last), (0, None, space)))
    });
    dressed(answer, Body::from_stream(parts))
}

fn slow(mut answer: Answer, pause: Duration, stop: CancellationToken) -> Response<Body> {
    let rest = Bytes::from(std::mem::take(&mut answer.body));
    let parts = stream::unfold((rest, stop), move |(mut rest, stop)| async move {
        if rest.is_empty() {
            return None;
        }
        let byte = tokio::select! {
            () = stop.cancelled() => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            () = tokio::time::sleep(pause) => Ok(rest.split_to(1)),
        };
        Some((byte, (rest, stop)))
    });
    dressed(answer, Body::from_stream(parts))
}

/// The answer's JSON, twisted. An answer that is not JSON stays as it is.
fn mangled(answer: Answer, how: &Kind) -> Answer {
    let Ok(mut value) = serde_json::from_slice::<Value>(&answer.body) else { return answer };
    mangle(&mut value, how);
    answer.with_body(value.to_string())
}

fn mangle(value: &mut Value, how: &Kind) {
    match (how, &mut *value) {
        (Kind::WrongTypes, Value::String(_)) => *value = json!(7),
        (Kind::WrongTypes, Value::Number(number)) => *value = json!(number.to_string()),
        (Kind::WrongTypes, Value::Bool(flag)) => *value = json!(flag.to_string()),
        (Kind::WrongTypes, Value::Array(_)) => *value = json!({"not": "a list"}),
        (Kind::Reordered, Value::Array(list)) => list.reverse(),
        (Kind::Duplicated, Value::Array(list)) => {
            *list = list.iter().flat_map(|item| [item.clone(), item.clone()]).collect();
        }
        (_, Value::Object(object)) => mangle_object(object, how),
        _ => {}
    }
}

/// The keys of words from a closed set, on either platform.
const CLOSED: [&str; 5] = ["phase", "status", "type", "trigger", "source"];

fn mangle_object(object: &mut Map<String, Value>, how: &Kind) {
    if *how == Kind::MissingIds {
        object.remove("id");
    }
    if let (Kind::WrongTotal, Some(total)) = (how, object.get_mut("total")) {
        *total = json!(total.as_u64().unwrap_or(0) + 1);
    }
    for (key, value) in object.iter_mut() {
        if *how == Kind::UnknownWords && value.is_string() && CLOSED.contains(&key.as_str()) {
            *value = json!("NEW_IN_2031");
        }
        // Lists of lists keep their inside: what is tried is the list of apps or deployments.
        if !(matches!(how, Kind::Reordered | Kind::Duplicated) && key == "spec") {
            mangle(value, how);
        }
        if let (Kind::MissingIds | Kind::UnknownFields | Kind::UnknownWords, Value::Array(list)) =
            (how, value)
        {
            list.iter_mut().for_each(|item| mangle(item, how));
        }
    }
    if *how == Kind::UnknownFields {
        object.insert("x_new_in_2031".to_owned(), json!({"nobody": ["has", "heard", 0, null, true]}));
    }
}
