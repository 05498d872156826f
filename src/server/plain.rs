//! What is not JSON: metrics, health, and the page that says where things are.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::error::ApiError;
use super::routes::Shared;
use crate::metrics;

/// The exposition format that every Prometheus reads.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

const INDEX: &str = concat!(
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>rearguard</title>",
    "<style>body{font:16px/1.6 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem}",
    "code{font-family:ui-monospace,monospace}@media(prefers-color-scheme:dark)",
    "{body{background:#111;color:#ddd}a{color:#8bf}}</style>",
    "<h1>rearguard ",
    env!("CARGO_PKG_VERSION"),
    "</h1><p>Guards deployments: watches, rolls back, soaks, commits.</p><ul>",
    "<li><a href=\"/api/v1/apps\">/api/v1/apps</a> every app: state, live deployment, evidence</li>",
    "<li><a href=\"/api/v1/incidents\">/api/v1/incidents</a> incidents, newest first</li>",
    "<li>/api/v1/incidents/{id} one of them, its decisions made again; /signal.svg below it is its picture</li>",
    "<li><a href=\"/metrics\">/metrics</a> for Prometheus</li>",
    "<li><a href=\"/live\">/live</a> every loop runs</li>",
    "<li><a href=\"/ready\">/ready</a> configuration in force, journal writable</li>",
    "</ul><p>In a terminal: <code>rearguard status</code>, <code>rearguard incidents</code>, ",
    "<code>rearguard explain ID</code>.</p></html>\n"
);

pub(super) async fn index() -> Html<&'static str> {
    Html(INDEX)
}

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
