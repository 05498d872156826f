//! Alertmanager: one alert an incident, which fires for as long as it is open or a person has to act.
//!
//! An alert that is not told again is over for Alertmanager at its `endsAt`, so open ones are told again every minute, as
//! long as the journal says that they are open. When rearguard is down for longer than [`LASTS`], they end by themselves.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::carrier::{Letter, Sent};
use super::event::{Event, Kind};
use super::wire::Wire;
use crate::config::notify::SecretUrl;
use crate::decision::state::Situation;
use crate::ids::{ChannelName, IncidentId};
use crate::journal::{Journal, JournalError};

/// How long an alert lasts that is not told again: five rounds of a courier.
const LASTS: Duration = Duration::from_secs(5 * 60);
/// How long an alert lasts of something that is over as soon as it is told: time enough for any `group_wait`.
const PASSING: Duration = Duration::from_secs(15 * 60);

/// A server.
pub(super) struct Alertmanager {
    url: Url,
    wire: Wire,
}

impl Alertmanager {
    pub(super) fn new(url: &SecretUrl) -> Self {
        let mut url = url.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v2", "alerts"]);
        }
        Self { url, wire: Wire::default() }
    }

    pub(super) async fn send(&self, letter: &Letter<'_>) -> Sent {
        let event = letter.event;
        let alert = alert(event, letter.text.as_deref().unwrap_or(&event.text));
        let (ends, mark) = match event.kind {
            Kind::Closed => (letter.wall, None),
            Kind::Noticed | Kind::DeploymentFailed => (later(letter.wall, PASSING), None),
            _ => (later(letter.wall, LASTS), Some(alert.to_string())),
        };
        self.tell(alert, ends, mark).await
    }

    /// Tells all open alerts again, and the end of those that are over. What fails is tried again the next time.
    pub(super) async fn refresh(&self, journal: &dyn Journal, channel: &ChannelName, wall: Timestamp) {
        let Ok(open) = journal.marks(channel).await else { return };
        for (thread, mark) in open {
            let Ok(alert) = serde_json::from_str::<Value>(&mark) else { continue };
            let Ok(is_open) = is_open(journal, &thread, &alert).await else { return };
            let ends = if is_open { later(wall, LASTS) } else { wall };
            let limit = Duration::from_secs(10);
            match tokio::time::timeout(limit, self.tell(alert, ends, None)).await {
                Ok(Sent::Delivered { .. }) if is_open => {}
                Ok(Sent::Delivered { .. }) => {
                    // Otherwise it is told to be over once more.
                    let _ = journal.forget_mark(channel, &thread).await;
                }
                // The next one would wait for the same.
                Ok(Sent::Failed { .. }) | Err(_) => return,
                Ok(Sent::Refused(_)) => {}
            }
        }
    }

    async fn tell(&self, mut alert: Value, ends: Timestamp, mark: Option<String>) -> Sent {
        alert["endsAt"] = json!(ends);
        match self.wire.post(self.url.clone(), &[], json!([alert]).to_string().into_bytes()).await {
            Ok(answer) => answer.judged(mark),
            Err(why) => Sent::failed(why),
        }
    }
}

/// Whether what an alert is about is still so.
async fn is_open(journal: &dyn Journal, thread: &str, alert: &Value) -> Result<bool, JournalError> {
    if alert["labels"]["alertname"] == NAMES.2 {
        return Ok(journal.restore().await?.storm_since.is_some());
    }
    let id = IncidentId::from(thread);
    let Some((record, _)) = journal.incident(&id).await? else { return Ok(false) };
    if record.closed_at.is_none() {
        return Ok(true);
    }
    let (state, _) = journal.load(&record.app_id).await?;
    let situation = state.map(|state| state.situation);
    Ok(matches!(situation, Some(Situation::Held(hold)) if hold.incident == id))
}

/// What alerts are called: of incidents, of what passes, of storms.
const NAMES: (&str, &str, &str) = ("RearguardIncident", "RearguardNotice", "RearguardStorm");

/// An alert without its end. Its labels are the same for the whole incident: they are what it is known by.
fn alert(event: &Event, text: &str) -> Value {
    let (name, severity) = match event.kind {
        Kind::Noticed | Kind::DeploymentFailed => (NAMES.1, "warning"),
        Kind::Storm => (NAMES.2, "critical"),
        _ => (NAMES.0, "critical"),
    };
    let mut labels = json!({ "alertname": name, "severity": severity });
    let mut label = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            labels[name] = json!(value);
        }
    };
    label("app", event.app.as_ref().map(|app| app.as_str()));
    label("platform", event.platform.as_ref().map(|platform| platform.as_str()));
    match &event.incident {
        Some(case) => {
            label("incident", Some(case.id.as_str()));
            label("rule", case.rule.as_ref().map(|rule| rule.as_str()));
        }
        None => {
            label("event", Some(event.kind.word()));
            label("deployment", event.deployment.as_ref().map(|deployment| deployment.id.as_str()));
            label("rule", event.evidence.as_ref().map(|evidence| evidence.rule.as_str()));
        }
    }
    let mut annotations = json!({ "summary": text });
    let mut note = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            annotations[name] = json!(value);
        }
    };
    note("evidence", event.evidence.as_ref().map(|evidence| evidence.words.as_str()));
    note("next", event.next.as_deref());
    note("kind", Some(event.kind.word()));
    let mut alert = json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": event.incident.as_ref().map_or(event.at, |case| case.opened_at),
    });
    if let Some(link) = event.links.get("incident") {
        alert["generatorURL"] = json!(link);
    }
    alert
}

fn later(wall: Timestamp, span: Duration) -> Timestamp {
    wall.checked_add(span).unwrap_or(wall)
}

#[cfg(test)]
mod tests;
