//! The connections that are kept back for what must not be crowded out.
//!
//! Whoever can reach the port can hold connections: by reading slowly, by listening to events, by opening many. A cap a peer
//! would not help: on loopback, behind a proxy and behind a node's address translation everybody is the same peer. So once the
//! room is full, some more connections are taken for three things only: health (what does not answer is restarted), metrics
//! (so that somebody is told), and whoever has the admin token (so that a pause gets through, and how it went is seen). A
//! spare connection is for one answer and a short time, so it serves no stream of events.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio::sync::Semaphore;

use super::auth::Gate;
use super::error::ApiError;
use super::limits::Limits;
use super::routes::Peer;

/// What spare connections are for, as far as it needs no token.
pub(super) const PATHS: [&str; 3] = ["/live", "/ready", "/metrics"];

/// Goes on for as long as somebody listens.
const EVENTS: &str = "/api/v1/events";

/// What decides whom a spare connection serves.
#[derive(Clone)]
pub(super) struct Spare {
    gate: Arc<Gate>,
    scrapes: Arc<Semaphore>,
}

impl Spare {
    pub(super) fn new(gate: Arc<Gate>, limits: &Limits) -> Self {
        Self { gate, scrapes: Arc::new(Semaphore::new(limits.spare_scrapes)) }
    }
}

/// Lets through what spare connections are for, and says of the rest that there is no room.
pub(super) async fn only_what_they_are_for(
    State(spare): State<Spare>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_post = request.method() == Method::POST;
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
    if is_post {
        // By its head alone: a body may take its time.
        match spare.gate.admit(request.headers(), peer, request.uri().path()) {
            Ok(admitted) => _ = request.extensions_mut().insert(admitted),
            Err(error) => return error.into_response(),
        }
    }
    // Nor is one waited for that nobody reads.
    let request = if is_post { request } else { request.map(|_| Body::empty()) };
    match request.uri().path() {
        _ if is_post => next.run(request).await,
        "/metrics" => {
            let Ok(permit) = spare.scrapes.clone().try_acquire_owned() else { return full() };
            // Held until the last byte is taken.
            next.run(request).await.map(|body| {
                Body::from_stream(body.into_data_stream().map(move |part| {
                    let _held = &permit;
                    part
                }))
            })
        }
        path if PATHS.contains(&path) => next.run(request).await,
        EVENTS => full(),
        path if spare.gate.is_admin(request.headers(), peer, path) => next.run(request).await,
        _ => full(),
    }
}

fn full() -> Response {
    let said = ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too_many_connections",
        "all connections are taken; try again",
    );
    let mut response = said.into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
