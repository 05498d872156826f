//! The JSON routes.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::auth::Admin;
use super::error::ApiError;
use super::incident;
use super::routes::Shared;
use super::said::{Approving, Pausing, Plain, RollingBack, Said};
use super::{AppStatus, Done, IncidentDetail};
use crate::decision::observation::Request;
use crate::ids::{AppName, Caller, DeploymentId, IncidentId};
use crate::journal::{Call, IncidentQuery, Whose};
use crate::telling::Told;

/// Incidents in a list when nobody says how many.
const DEFAULT_INCIDENTS: usize = 50;
/// Incidents in a list at most.
const MOST_INCIDENTS: usize = 1_000;

type Answer<T> = Result<Json<T>, ApiError>;
type Name = Result<Path<String>, PathRejection>;

pub(super) async fn apps(State(shared): State<Shared>) -> Json<Value> {
    let backend = &shared.surface.backend;
    let mut apps = backend.apps().await;
    backend.foresee(&mut apps).await;
    Json(json!({ "apps": apps, "storm": backend.storm() }))
}

pub(super) async fn app(State(shared): State<Shared>, name: Name) -> Answer<AppStatus> {
    let name = AppName::from(text(name)?);
    let mut status = shared.surface.backend.app(&name).await.ok_or_else(|| ApiError::unknown("app"))?;
    shared.surface.backend.foresee(std::slice::from_mut(&mut status)).await;
    // What cannot be read is left out: how the app is matters more.
    let words = read(shared.limits.journal_time, shared.surface.journal.pause_words(&status.id, PAUSE_WORDS));
    status.pause_words = words.await.unwrap_or_default();
    Ok(Json(status))
}

/// How many words on pauses are shown of an app.
const PAUSE_WORDS: usize = 6;

/// What `/api/v1/incidents` can be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    app: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn incidents(
    State(shared): State<Shared>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Answer<Value> {
    let Query(wanted) = wanted.map_err(|problem| ApiError::bad_request(problem.body_text()))?;
    let limit = wanted.limit.unwrap_or(DEFAULT_INCIDENTS);
    if !(1..=MOST_INCIDENTS).contains(&limit) {
        return Err(ApiError::bad_request(format!("limit is {limit}; allowed is 1 to {MOST_INCIDENTS}")));
    }
    // The app that bears the name now, else whoever bore it last.
    let whose = wanted.app.map(AppName::from).map_or(Whose::Everybody, |name| {
        shared.surface.backend.app_id(&name).map_or(Whose::Named(name), Whose::App)
    });
    let query = IncidentQuery { whose, limit, only_open: false };
    let records = read(shared.limits.journal_time, shared.surface.journal.incidents(query)).await?;
    let mut incidents = Vec::with_capacity(records.len());
    for record in records {
        // One that was pruned meanwhile is gone.
        let found = read(shared.limits.journal_time, shared.surface.journal.incident(&record.id)).await?;
        incidents.extend(found.map(|(record, timeline)| {
            let told = Told::without_decisions(&record, &timeline);
            IncidentDetail { record, timeline, told }
        }));
    }
    Ok(Json(json!({ "incidents": incidents })))
}

pub(super) async fn incident(State(shared): State<Shared>, id: Name) -> Answer<IncidentDetail> {
    Ok(Json(incident::told(&shared, &text(id)?.into()).await?))
}

/// The picture stands alone, so it may do nothing but be looked at.
pub(super) async fn signal(State(shared): State<Shared>, id: Name) -> Result<Response, ApiError> {
    const NOTHING: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";
    let picture = incident::picture(&shared, &text(id)?.into()).await?;
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CONTENT_SECURITY_POLICY, NOTHING)];
    Ok((headers, picture).into_response())
}

type Accepted = Result<(StatusCode, Json<Done>), ApiError>;

pub(super) async fn pause_all(
    admin: Admin,
    State(shared): State<Shared>,
    said: Said<Pausing>,
) -> Answer<Done> {
    pause(&admin, &shared, None, said).await
}

pub(super) async fn pause_app(
    admin: Admin,
    State(shared): State<Shared>,
    name: Name,
    said: Said<Pausing>,
) -> Answer<Done> {
    pause(&admin, &shared, Some(text(name)?.into()), said).await
}

pub(super) async fn resume_all(
    admin: Admin,
    State(shared): State<Shared>,
    said: Said<Plain>,
) -> Answer<Done> {
    resume(&admin, &shared, None, said).await
}

pub(super) async fn resume_app(
    admin: Admin,
    State(shared): State<Shared>,
    name: Name,
    said: Said<Plain>,
) -> Answer<Done> {
    resume(&admin, &shared, Some(text(name)?.into()), said).await
}

/// 202: it is in the journal, and the app acts on it.
pub(super) async fn approve(
    admin: Admin,
    State(shared): State<Shared>,
    id: Name,
    Said(said): Said<Approving>,
) -> Accepted {
    let (by, meant) = said.by_and_target()?;
    request(&admin, &shared, text(id)?.into(), (Request::Approve, meant, by)).await
}

/// 202, as for [`approve`].
pub(super) async fn reject(
    admin: Admin,
    State(shared): State<Shared>,
    id: Name,
    Said(said): Said<Plain>,
) -> Accepted {
    request(&admin, &shared, text(id)?.into(), (Request::Reject, None, said.by()?)).await
}

/// 202: it is in the journal, and the incident that came of it shows how it goes on.
pub(super) async fn rollback(
    admin: Admin,
    State(shared): State<Shared>,
    name: Name,
    Said(said): Said<RollingBack>,
) -> Accepted {
    let (by, to, accept) = said.order()?;
    order(&admin, &shared, text(name)?.into(), (Request::Rollback { to, accept }, by)).await
}

/// 202, as for [`rollback`].
pub(super) async fn commit(
    admin: Admin,
    State(shared): State<Shared>,
    name: Name,
    Said(said): Said<Plain>,
) -> Accepted {
    order(&admin, &shared, text(name)?.into(), (Request::Commit, said.by()?)).await
}

/// 202, as for [`rollback`].
pub(super) async fn revert(
    admin: Admin,
    State(shared): State<Shared>,
    name: Name,
    Said(said): Said<Plain>,
) -> Accepted {
    order(&admin, &shared, text(name)?.into(), (Request::Revert, said.by()?)).await
}

async fn pause(
    admin: &Admin,
    shared: &Shared,
    app: Option<AppName>,
    Said(said): Said<Pausing>,
) -> Answer<Done> {
    let (by, lasts) = said.by_and_for()?;
    heard(admin, app.as_ref().map_or("*", AppName::as_str), "pause", &by);
    shared.surface.backend.pause(app.as_ref(), lasts, by).await?;
    Ok(Json(Done { done: "pause".to_owned(), app, incident: None, target_deployment: None }))
}

async fn resume(
    admin: &Admin,
    shared: &Shared,
    app: Option<AppName>,
    Said(said): Said<Plain>,
) -> Answer<Done> {
    let by = said.by()?;
    heard(admin, app.as_ref().map_or("*", AppName::as_str), "resume", &by);
    shared.surface.backend.resume(app.as_ref(), by).await?;
    Ok(Json(Done { done: "resume".to_owned(), app, incident: None, target_deployment: None }))
}

async fn request(
    admin: &Admin,
    shared: &Shared,
    id: IncidentId,
    (request, meant, by): (Request, Option<DeploymentId>, Caller),
) -> Accepted {
    let done = request.word();
    heard(admin, id.as_str(), done, &by);
    let target_deployment = shared.surface.backend.request(&id, request, meant, by).await?;
    let done = Done { done: done.to_owned(), app: None, incident: Some(id), target_deployment };
    Ok((StatusCode::ACCEPTED, Json(done)))
}

async fn order(admin: &Admin, shared: &Shared, app: AppName, (request, by): (Request, Caller)) -> Accepted {
    let done = request.word();
    heard(admin, app.as_str(), done, &by);
    let id = shared.surface.backend.order(&app, request, by).await?;
    let done = Done { done: done.to_owned(), app: Some(app), incident: Some(id), target_deployment: None };
    Ok((StatusCode::ACCEPTED, Json(done)))
}

/// Said before it is done: whoever asks may hang up, or wait longer than allowed. What came of it is in the journal.
fn heard(admin: &Admin, about: &str, action: &str, by: &Caller) {
    tracing::info!(about, action, %by, peer = %admin.peer, "an operator asks for an action");
}

pub(super) async fn read<T>(limit: Duration, call: Call<'_, T>) -> Result<T, ApiError> {
    match timeout(limit, call).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(ApiError::unavailable("journal_unavailable", "the journal did not answer in time")),
    }
}

fn text(path: Name) -> Result<String, ApiError> {
    path.map(|Path(text)| text).map_err(|problem| ApiError::bad_request(problem.body_text()))
}
