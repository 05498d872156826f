//! `/api/v1/events`: what changes, as it changes, to whoever listens.
//!
//! A stream begins with everything (`apps`) and goes on with what has changed since: `app`, `gone`, `incident`, `storm`.
//! Each event has the whole of what it is about, so whoever misses some has lost nothing but time; one that falls behind, or
//! comes back, begins with everything again. One task looks, for all who listen, and only while somebody does.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::{Instant, sleep};

use super::error::ApiError;
use super::routes::Shared;
use super::{AppStatus, Surface};
use crate::journal::IncidentQuery;

/// How often everything is looked at.
const GLANCE: Duration = Duration::from_secs(1);
/// A look at everything may take this part of the time, at most.
const SHARE: u32 = 10;
/// What one who reads slowly may fall behind by.
const BEHIND: usize = 256;
/// A line without meaning now and then keeps what is in between from closing the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Closed incidents that are looked at for news.
const INCIDENTS: usize = 20;

/// One thing that is told.
type Told = Arc<(&'static str, String)>;

/// Tells everybody who listens.
#[derive(Clone)]
pub(super) struct Feed {
    surface: Arc<Surface>,
    sender: broadcast::Sender<Told>,
    /// Somebody looks.
    is_watched: Arc<Mutex<bool>>,
    room: Arc<Semaphore>,
}

impl Feed {
    /// For so many who listen at once.
    pub(super) fn new(surface: Arc<Surface>, streams: usize) -> Self {
        let (sender, _) = broadcast::channel(BEHIND);
        Self { surface, sender, is_watched: Arc::default(), room: Arc::new(Semaphore::new(streams)) }
    }

    /// Joins those who listen, and has somebody look.
    fn listen(&self) -> broadcast::Receiver<Told> {
        let mut is_watched = self.is_watched.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.sender.subscribe();
        if !*is_watched {
            *is_watched = true;
            tokio::spawn(self.clone().watch());
        }
        receiver
    }

    /// Looks, and tells what has changed, until nobody listens.
    async fn watch(self) {
        let mut before = Picture::default();
        let mut is_first = true;
        loop {
            let begun = Instant::now();
            let picture = self.look(&before).await;
            if !is_first {
                for told in picture.since(&before) {
                    // Nobody may listen any more.
                    let _ = self.sender.send(Arc::new(told));
                }
            }
            (before, is_first) = (picture, false);
            sleep(GLANCE.max(begun.elapsed() * SHARE)).await;
            let mut is_watched = self.is_watched.lock().unwrap_or_else(PoisonError::into_inner);
            if self.sender.receiver_count() == 0 {
                *is_watched = false;
                return;
            }
        }
    }

    async fn look(&self, before: &Picture) -> Picture {
        let statuses = self.surface.backend.apps().await;
        let storm = self.surface.backend.storm();
        let apps: BTreeMap<String, Shown> =
            statuses.iter().map(|app| (app.name.to_string(), Shown::of(app))).collect();
        let stages = |picture: &BTreeMap<String, Shown>| -> Vec<String> {
            picture.values().map(|shown| shown.stage.clone()).collect()
        };
        let is_open = statuses.iter().any(|app| app.state == "incident");
        let mut incidents = before.incidents.clone();
        if is_open || stages(&apps) != stages(&before.apps) {
            let query = IncidentQuery { limit: INCIDENTS, ..IncidentQuery::default() };
            // What the journal does not say now it says at the next glance.
            if let Ok(records) = self.surface.journal.incidents(query).await {
                let each = records.iter().filter_map(|record| serde_json::to_value(record).ok());
                incidents =
                    each.filter_map(|record| Some((record["id"].as_str()?.to_owned(), record))).collect();
            }
        }
        Picture { apps, incidents, storm }
    }
}

/// Everything at one moment.
#[derive(Default)]
struct Picture {
    apps: BTreeMap<String, Shown>,
    incidents: BTreeMap<String, Value>,
    storm: bool,
}

/// An app at one moment.
struct Shown {
    status: Value,
    /// Without what changes all the time and says nothing new.
    essence: Value,
    /// Where it stands.
    stage: String,
}

impl Shown {
    fn of(app: &AppStatus) -> Self {
        let status = serde_json::to_value(app).unwrap_or_default();
        let mut essence = status.clone();
        // An app that is judged is told with each sample; of the others only what is news.
        if !matches!(app.state.as_str(), "incident" | "watching") {
            for key in ["platform_read_at", "watch_remaining_seconds", "soak_remaining_seconds"] {
                essence[key] = Value::Null;
            }
            essence["rollback"]["asked_at"] = Value::Null;
            for probe in essence["probes"].as_array_mut().into_iter().flatten() {
                (probe["at"], probe["latency_seconds"]) = (Value::Null, Value::Null);
            }
            for rule in essence["rules"].as_array_mut().into_iter().flatten() {
                for key in ["value", "samples", "evidence"] {
                    rule[key] = Value::Null;
                }
            }
        }
        let stage = format!("{} {:?} {:?}", app.state, app.incident, app.stage);
        Self { status, essence, stage }
    }
}

impl Picture {
    /// What has changed since `before`.
    fn since(&self, before: &Self) -> Vec<(&'static str, String)> {
        let mut news = Vec::new();
        for (name, shown) in &self.apps {
            if before.apps.get(name).is_none_or(|old| old.essence != shown.essence) {
                news.push(("app", shown.status.to_string()));
            }
        }
        for name in before.apps.keys().filter(|name| !self.apps.contains_key(*name)) {
            news.push(("gone", json!({ "name": name }).to_string()));
        }
        for (id, record) in &self.incidents {
            if before.incidents.get(id) != Some(record) {
                news.push(("incident", record.to_string()));
            }
        }
        if self.storm != before.storm {
            news.push(("storm", json!({ "storm": self.storm }).to_string()));
        }
        news
    }
}

/// A stream that somebody listens to.
struct Stream {
    shared: Shared,
    receiver: broadcast::Receiver<Told>,
    /// Everything is told next.
    is_new: bool,
    _room: OwnedSemaphorePermit,
}

impl Stream {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if self.is_new {
                self.is_new = false;
                // What is told meanwhile is in it, or comes after it.
                let backend = &self.shared.surface.backend;
                let all = json!({ "apps": backend.apps().await, "storm": backend.storm() });
                return Some((Ok(Event::default().event("apps").data(all.to_string())), self));
            }
            match self.receiver.recv().await {
                Ok(told) => return Some((Ok(Event::default().event(told.0).data(&told.1)), self)),
                Err(broadcast::error::RecvError::Lagged(_)) => self.is_new = true,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

pub(super) async fn events(State(shared): State<Shared>) -> Response {
    let Ok(room) = shared.feed.room.clone().try_acquire_owned() else {
        let streams = shared.limits.streams;
        let why =
            format!("{streams} streams of events are open, and no more are served; the lists have the same");
        let mut refused =
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", why).into_response();
        // Whoever wants a stream wants nothing else: the connection is for others.
        refused.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return refused;
    };
    let receiver = shared.feed.listen();
    let stream = Stream { shared, receiver, is_new: true, _room: room };
    let stop = stream.shared.stop.clone();
    let events = unfold(stream, move |stream| {
        let stop = stop.clone();
        async move {
            // A server that ends does not wait for those who only listen.
            tokio::select! {
                biased;
                () = stop.cancelled() => None,
                next = stream.next() => next,
            }
        }
    });
    let alive = KeepAlive::new().interval(KEEP_ALIVE).text("still here");
    Sse::new(events).keep_alive(alive).into_response()
}

#[cfg(test)]
mod tests;
