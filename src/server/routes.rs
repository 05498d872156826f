//! Which path leads where, and what holds for all of them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::auth::Gate;
use super::error::ApiError;
use super::events::{self, Feed};
use super::host::{self, Hosts};
use super::limits::Limits;
use super::{Surface, api, openapi, page, plain};

/// Scrapes rendered at once: each holds the whole text in memory.
const SCRAPES: usize = 2;

/// Incidents told at once with all their decisions: each may hold some megabytes of samples.
const TELLINGS: usize = 1;

/// What every route is given.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) surface: Arc<Surface>,
    pub(super) limits: Limits,
    pub(super) scrapes: Arc<Semaphore>,
    pub(super) tellings: Arc<Semaphore>,
    pub(super) gate: Arc<Gate>,
    pub(super) feed: Feed,
    /// The server ends.
    pub(super) stop: CancellationToken,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer(pub(super) Option<SocketAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_ref().map(SocketAddr::ip) {
            Some(IpAddr::V6(ip)) => write!(f, "{}", ip.to_canonical()),
            Some(ip) => write!(f, "{ip}"),
            None => f.write_str("unknown"),
        }
    }
}

/// Every route, within `limits`, for who asks by one of `hosts`.
pub(super) fn router(
    surface: Arc<Surface>,
    gate: Arc<Gate>,
    limits: Limits,
    hosts: Hosts,
    stop: CancellationToken,
) -> Router {
    let scrapes = Arc::new(Semaphore::new(SCRAPES));
    let tellings = Arc::new(Semaphore::new(TELLINGS));
    let feed = Feed::new(Arc::clone(&surface), limits.streams);
    let shared = Shared { surface, limits, scrapes, tellings, gate, feed, stop };
    Router::new()
        .route("/", get(page::index))
        .route("/incidents/{id}", get(page::incident))
        .route("/metrics", get(plain::metrics))
        .route("/live", get(plain::live))
        .route("/ready", get(plain::ready))
        .route("/api/v1/apps", get(api::apps))
        .route("/api/v1/apps/{name}", get(api::app))
        .route("/api/v1/apps/{name}/pause", post(api::pause_app))
        .route("/api/v1/apps/{name}/resume", post(api::resume_app))
        .route("/api/v1/apps/{name}/rollback", post(api::rollback))
        .route("/api/v1/apps/{name}/commit", post(api::commit))
        .route("/api/v1/apps/{name}/revert", post(api::revert))
        .route("/api/v1/pause", post(api::pause_all))
        .route("/api/v1/resume", post(api::resume_all))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/openapi.json", get(openapi::openapi))
        .route("/api/v1/incidents", get(api::incidents))
        .route("/api/v1/incidents/{id}", get(api::incident))
        .route("/api/v1/incidents/{id}/signal.svg", get(api::signal))
        .route("/api/v1/incidents/{id}/approve", post(api::approve))
        .route("/api/v1/incidents/{id}/reject", post(api::reject))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(shared.clone(), bounded))
        .layer(from_fn_with_state(hosts, host::by_name))
        .layer(from_fn(page::for_people))
        .layer(from_fn(headed))
        .with_state(shared)
}

async fn nothing_here() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path; / lists what there is")
}

async fn wrong_method(method: Method) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{method} is not possible here; the header Allow says what is"),
    )
}

/// Reads the body within its bounds, and bounds the time of the answer.
async fn bounded(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let limits = shared.limits;
    let (parts, body) = request.into_parts();
    let most = limits.body_bytes;
    if body.size_hint().lower() > most as u64 {
        return too_large(most);
    }
    let body = match timeout(limits.request_time, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Body::from(bytes),
        Ok(Err(error)) if is_too_large(&error) => return too_large(most),
        Ok(Err(_)) => return ApiError::bad_request("the body could not be read").into_response(),
        Err(_) => {
            let message = "the body did not arrive in time";
            return ApiError::new(StatusCode::REQUEST_TIMEOUT, "slow_body", message).into_response();
        }
    };
    let changes = parts.method == Method::POST;
    let answer = timeout(limits.request_time, next.run(Request::from_parts(parts, body))).await;
    answer.unwrap_or_else(|_| {
        let message = if changes {
            "no answer in time: whether it was done is not known, so look before asking again"
        } else {
            "no answer in time"
        };
        ApiError::unavailable("timeout", message).into_response()
    })
}

fn too_large(most: usize) -> Response {
    let message = format!("a body may have {most} bytes");
    let mut response =
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message).into_response();
    // The rest of the body is not read, so nothing else can come over this connection.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn is_too_large(error: &axum::Error) -> bool {
    // http-body-util's LengthLimitError, whose crate is not a dependency of ours.
    std::error::Error::source(error).is_some_and(|source| source.to_string().contains("length limit"))
}

/// Headers of every answer: nothing here is to be guessed at, framed, cached or run.
async fn headed(request: Request, next: Next) -> Response {
    const FIXED: [(HeaderName, HeaderValue); 4] = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
        ),
    ];
    let mut response = next.run(request).await;
    for (name, value) in FIXED {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}
