//! What is neither JSON nor a page: metrics and health.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::routes::Shared;
use crate::metrics;

/// The exposition format that every Prometheus reads.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(State(shared): State<Shared>) -> Result<Response, ApiError> {
    let failed =
        || ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the metrics could not be rendered");
    let permit = shared.scrapes.clone().acquire_owned().await.map_err(|_| failed())?;
    // With ten thousand apps this takes long enough to be kept off the threads that watch them.
    let rendered = tokio::task::spawn_blocking(move || {
        let _held_until_rendered = permit;
        metrics::render(&shared.surface.metrics, shared.surface.clock.now())
    });
    match rendered.await {
        Ok(Ok(text)) => Ok(([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response()),
        Ok(Err(error)) => {
            tracing::error!(%error, "the metrics could not be rendered");
            Err(failed())
        }
        Err(_) => Err(failed()),
    }
}

pub(super) async fn live(State(shared): State<Shared>) -> Response {
    health(shared.surface.backend.live())
}

pub(super) async fn ready(State(shared): State<Shared>) -> Response {
    health(shared.surface.backend.ready())
}

fn health(state: Result<(), String>) -> Response {
    match state {
        Ok(()) => "ok\n".into_response(),
        Err(why) => {
            let line = why.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            (StatusCode::SERVICE_UNAVAILABLE, format!("{line}\n")).into_response()
        }
    }
}
