//! One incident with all there is to tell of it: its decisions are read and made again, off the threads that watch apps.

use axum::http::StatusCode;

use super::IncidentDetail;
use super::api::read;
use super::error::ApiError;
use super::routes::Shared;
use crate::ids::IncidentId;
use crate::journal::{DecisionRecord, IncidentRecord, TimelineEntry};
use crate::telling::{Account, Told, svg};

/// The incident as the API shows it.
pub(super) async fn told(shared: &Shared, id: &IncidentId) -> Result<IncidentDetail, ApiError> {
    work(shared, id, |record, timeline, decisions| {
        let told = Told::with_decisions(&record, &timeline, &decisions);
        IncidentDetail { record, timeline, told }
    })
    .await
}

/// Its signal as a picture.
pub(super) async fn picture(shared: &Shared, id: &IncidentId) -> Result<String, ApiError> {
    let picture = work(shared, id, |record, timeline, decisions| {
        let told = Told::with_decisions(&record, &timeline, &decisions);
        svg::svg(&Account::of(record, &timeline, told, jiff::Timestamp::now()))
    });
    picture.await?.ok_or_else(|| {
        ApiError::new(StatusCode::NOT_FOUND, "no_signal", "no samples were recorded with this incident")
    })
}

/// Reads an incident and works on it. One at a time: whoever waits too long is told so.
async fn work<T: Send + 'static>(
    shared: &Shared,
    id: &IncidentId,
    work: impl FnOnce(IncidentRecord, Vec<TimelineEntry>, Vec<DecisionRecord>) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let failed =
        || ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the incident could not be told");
    let limit = shared.limits.journal_time;
    let found = read(limit, shared.surface.journal.incident(id)).await?;
    let (record, timeline) = found.ok_or_else(|| ApiError::unknown("incident"))?;
    let permit = shared.tellings.clone().acquire_owned().await.map_err(|_| failed())?;
    let decisions = read(limit, shared.surface.journal.decisions(id)).await?;
    let done = tokio::task::spawn_blocking(move || {
        let _held_until_told = permit;
        work(record, timeline, decisions)
    });
    done.await.map_err(|_| failed())
}
