//! The JSON routes.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::auth::Admin;
use super::error::ApiError;
use super::routes::Shared;
use super::{AppStatus, Done, IncidentDetail};
use crate::decision::observation::Request;
use crate::ids::{AppName, IncidentId};
use crate::journal::{Call, IncidentQuery, Whose};

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
    Ok(Json(status))
}

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
        incidents.extend(found.map(|(record, timeline)| IncidentDetail { record, timeline }));
    }
    Ok(Json(json!({ "incidents": incidents })))
}

pub(super) async fn incident(State(shared): State<Shared>, id: Name) -> Answer<IncidentDetail> {
    let id = IncidentId::from(text(id)?);
    let found = read(shared.limits.journal_time, shared.surface.journal.incident(&id)).await?;
    let (record, timeline) = found.ok_or_else(|| ApiError::unknown("incident"))?;
    Ok(Json(IncidentDetail { record, timeline }))
}

pub(super) async fn pause_all(admin: Admin, State(shared): State<Shared>) -> Answer<Done> {
    pause(&admin, &shared, None, true).await
}

pub(super) async fn resume_all(admin: Admin, State(shared): State<Shared>) -> Answer<Done> {
    pause(&admin, &shared, None, false).await
}

pub(super) async fn pause_app(admin: Admin, State(shared): State<Shared>, name: Name) -> Answer<Done> {
    pause(&admin, &shared, Some(text(name)?.into()), true).await
}

pub(super) async fn resume_app(admin: Admin, State(shared): State<Shared>, name: Name) -> Answer<Done> {
    pause(&admin, &shared, Some(text(name)?.into()), false).await
}

/// 202: the word is handed to the app, which acts on it at its next round.
pub(super) async fn approve(
    admin: Admin,
    State(shared): State<Shared>,
    id: Name,
) -> Result<(StatusCode, Json<Done>), ApiError> {
    request(&admin, &shared, text(id)?.into(), Request::Approve).await
}

/// 202, as for [`approve`].
pub(super) async fn reject(
    admin: Admin,
    State(shared): State<Shared>,
    id: Name,
) -> Result<(StatusCode, Json<Done>), ApiError> {
    request(&admin, &shared, text(id)?.into(), Request::Reject).await
}

async fn pause(admin: &Admin, shared: &Shared, app: Option<AppName>, paused: bool) -> Answer<Done> {
    shared.surface.backend.pause(app.as_ref(), paused).await?;
    let done = if paused { "pause" } else { "resume" };
    let name = app.as_ref().map_or("*", AppName::as_str);
    tracing::info!(app = name, action = done, peer = %admin.peer, "an operator acted");
    Ok(Json(Done { done: done.to_owned(), app, incident: None }))
}

async fn request(
    admin: &Admin,
    shared: &Shared,
    id: IncidentId,
    request: Request,
) -> Result<(StatusCode, Json<Done>), ApiError> {
    shared.surface.backend.request(&id, request).await?;
    let done = match request {
        Request::Approve => "approve",
        Request::Reject => "reject",
        Request::Resume => "resume",
    };
    tracing::info!(incident = %id, action = done, peer = %admin.peer, "an operator acted");
    Ok((StatusCode::ACCEPTED, Json(Done { done: done.to_owned(), app: None, incident: Some(id) })))
}

async fn read<T>(limit: Duration, call: Call<'_, T>) -> Result<T, ApiError> {
    match timeout(limit, call).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(ApiError::unavailable("journal_unavailable", "the journal did not answer in time")),
    }
}

fn text(path: Name) -> Result<String, ApiError> {
    path.map(|Path(text)| text).map_err(|problem| ApiError::bad_request(problem.body_text()))
}
