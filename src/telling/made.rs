//! Incidents made up for tests.

use jiff::{SignedDuration, Timestamp};

use crate::decision::effect::Reason;
use crate::decision::state::Outcome;
use crate::decision::story::Event;
use crate::journal::{IncidentRecord, TimelineEntry};

pub(super) const BAD: &str = "b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d";
pub(super) const GOOD: &str = "a1c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d";

pub(super) fn opened() -> Timestamp {
    "2026-11-21T02:13:07Z".parse().unwrap()
}

pub(super) fn entry(after_ms: i64, event: &Event) -> TimelineEntry {
    TimelineEntry {
        at: opened() + SignedDuration::from_millis(after_ms),
        event: event.word().to_owned(),
        text: event.text(),
        facts: serde_json::to_value(event).unwrap(),
    }
}

pub(super) fn record(outcome: Option<Outcome>, reason: Reason) -> IncidentRecord {
    IncidentRecord {
        id: "checkout-1a2b3c4d".into(),
        app: "checkout".into(),
        app_id: "4f6c71e2".into(),
        state: outcome.map_or("awaiting_approval", |_| "closed").to_owned(),
        outcome,
        reason,
        detail: None,
        rule: Some("down".into()),
        asked_by: None,
        opened_at: opened(),
        closed_at: outcome.map(|_| opened() + SignedDuration::from_secs(692)),
        approve_by: None,
        bad_deployment: BAD.into(),
        target_deployment: Some(GOOD.into()),
        rollback_deployment: None,
        time_to_detect_seconds: Some(6.2),
        time_to_restore_seconds: None,
    }
}
