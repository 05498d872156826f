//! What a person sees in a browser: every app by urgency, and an incident with its timeline and its signal.
//!
//! Everything is made here, from the same facts that the command line prints; the script in the page only notices that there
//! is news, fetches the page again and replaces what has changed, and posts what a person orders. Style and script stand in
//! the page, named by their digests in its Content-Security-Policy: nothing else is loaded, run or framed.

mod view;

use std::sync::LazyLock;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::{AutoEscape, Environment, Value, context};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::AppStatus;
use super::error::ApiError;
use super::incident;
use super::routes::Shared;
use crate::ids::IncidentId;
use crate::journal::IncidentQuery;
use crate::telling::{Account, app, words};

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// Apps in a page at most: more of them are no page for a person.
const MOST_APPS: usize = 500;
/// Incidents in a page.
const INCIDENTS: usize = 20;

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::empty();
    // Whatever comes from elsewhere is text.
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.add_filter("safe", |text: &str| Value::from_safe_string(text.to_owned()));
    for (name, text) in [
        ("frame.html", include_str!("page/frame.html")),
        ("index.html", include_str!("page/index.html")),
        ("incident.html", include_str!("page/incident.html")),
        ("error.html", include_str!("page/error.html")),
    ] {
        // The tests render each of them.
        let _ = templates.add_template(name, text);
    }
    templates
});

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// Every app, and the newest incidents.
pub(super) async fn index(State(shared): State<Shared>) -> Result<Response, ApiError> {
    let backend = &shared.surface.backend;
    let mut apps = backend.apps().await;
    backend.foresee(&mut apps).await;
    let query = IncidentQuery { limit: INCIDENTS, ..IncidentQuery::default() };
    let incidents = timeout(shared.limits.journal_time, shared.surface.journal.incidents(query)).await;
    let incidents = incidents.ok().and_then(Result::ok);
    let (storm, now, can_act) = (backend.storm(), shared.surface.clock.wall(), can_act(&shared));
    render("index.html", move || {
        apps.sort_by(|a, b| (app::urgency(a), &a.name).cmp(&(app::urgency(b), &b.name)));
        let all: Vec<&AppStatus> = apps.iter().collect();
        let summary = app::summary(&all);
        let left_out = apps.len().saturating_sub(MOST_APPS);
        let apps: Vec<Value> = apps.iter().take(MOST_APPS).map(|app| view::app(app, now)).collect();
        let is_silent = incidents.is_none();
        let incidents: Vec<Value> = incidents.iter().flatten().map(view::incident_row).collect();
        context! {
            title => if storm { "STORM · rearguard".to_owned() } else { format!("{summary} · rearguard") },
            subtitle => "guards deployments",
            summary => if left_out > 0 { format!("{summary}; {left_out} more are not shown here") } else { summary.clone() },
            storm, apps, incidents, is_silent, now => words::clock(now), can_act,
        }
    })
    .await
}

/// One incident.
pub(super) async fn incident(
    State(shared): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(id) = id.map_err(|problem| ApiError::bad_request(problem.body_text()))?;
    let detail = incident::told(&shared, &IncidentId::from(id)).await?;
    let (now, can_act) = (shared.surface.clock.wall(), can_act(&shared));
    render("incident.html", move || {
        let account = Account::of(detail.record, &detail.timeline, detail.told, now);
        let page = view::incident(&account);
        context! {
            title => format!("{} {} · rearguard", account.word, account.record.id),
            subtitle => format!("an incident of {}", account.record.app),
            now => words::clock(now), can_act, ..page
        }
    })
    .await
}

/// What is not there, for who asked for a page: the same words in one. What programs ask for is theirs as it is.
pub(super) async fn for_people(request: Request, next: Next) -> Response {
    // Who asks for the headers alone gets those of what they would be given.
    let is_for_a_person = matches!(*request.method(), Method::GET | Method::HEAD)
        && !request.uri().path().starts_with("/api/")
        && wants_a_page(request.headers());
    let mut response = next.run(request).await;
    let error = response.extensions_mut().remove::<ApiError>();
    let Some(error) = error.filter(|_| is_for_a_person) else { return response };
    let status = response.status();
    let what = status.canonical_reason().unwrap_or("Error").to_lowercase();
    let page = render("error.html", move || {
        let title = format!("{what} · rearguard");
        // Under a name that is not served, what it would lead to is not served either.
        let is_elsewhere = status == StatusCode::MISDIRECTED_REQUEST;
        let code = status.as_u16();
        context! { title, subtitle => "guards deployments", code, what, message => error.message, is_elsewhere }
    });
    match page.await {
        Ok(page) => (status, page).into_response(),
        Err(_) => response,
    }
}

/// Browsers name what they would rather have; whatever takes anything gets what programs get.
fn wants_a_page(headers: &HeaderMap) -> bool {
    let named = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    named.flat_map(|accept| accept.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_page = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
        // A weight of nothing says that it is not wanted.
        let is_unwanted = parts.filter_map(|part| part.split_once('=')).any(|(name, weight)| {
            name.trim().eq_ignore_ascii_case("q")
                && weight.trim().parse::<f64>().is_ok_and(|weight| weight <= 0.0)
        });
        is_page && !is_unwanted
    })
}

/// Whether anybody can change anything from here.
fn can_act(shared: &Shared) -> bool {
    !matches!((shared.surface.admin_token)(), Ok(None))
}

/// Makes the page off the threads that watch apps.
async fn render(
    template: &'static str,
    page: impl FnOnce() -> Value + Send + 'static,
) -> Result<Response, ApiError> {
    let failed =
        || ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the page could not be made");
    let made = tokio::task::spawn_blocking(move || {
        let fixed = context! { style => STYLE, script => SCRIPT, version => env!("CARGO_PKG_VERSION") };
        TEMPLATES.get_template(template)?.render(context! { ..page(), ..fixed })
    });
    match made.await {
        Ok(Ok(page)) => {
            let headers = [(header::CONTENT_SECURITY_POLICY, POLICY.clone())];
            Ok((headers, Html(page)).into_response())
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "a page could not be made");
            Err(failed())
        }
        Err(_) => Err(failed()),
    }
}

#[cfg(test)]
mod tests;
