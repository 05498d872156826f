//! How long the parts of an incident took.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words;
use crate::decision::effect::Effect;
use crate::decision::story::Event;
use crate::journal::{IncidentRecord, TimelineEntry};

/// How long each part took, in seconds; none where it did not come to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Durations {
    /// From the first failing sample to the decision.
    pub detect: Option<f64>,
    /// From the decision to the rollback being asked for: its validation, and a person's word where one is asked.
    pub decide: Option<f64>,
    /// From there to the rollback being live.
    pub execute: Option<f64>,
    /// From there to the end.
    pub verify: Option<f64>,
}

impl Durations {
    pub(super) fn of(record: &IncidentRecord, timeline: &[TimelineEntry]) -> Self {
        let at = |is_it: fn(&Event) -> bool| {
            timeline.iter().find_map(|entry| event(entry).filter(is_it).map(|_| entry.at))
        };
        // The first one: where a revert is emulated, it is a rollback as well.
        let asked = at(|event| matches!(event, Event::Call { call: Effect::CreateRollback { .. }, .. }));
        let live = at(|event| matches!(event, Event::SoakBegan { .. }));
        let between = |from: Option<jiff::Timestamp>, to: Option<jiff::Timestamp>| {
            // A wall clock that was set back in between makes none of them negative.
            Some(to?.duration_since(from?).as_secs_f64().max(0.0))
        };
        Self {
            detect: record.time_to_detect_seconds,
            decide: between(Some(record.opened_at), asked),
            execute: between(asked, live),
            verify: between(live, record.closed_at),
        }
    }

    /// Each with its name, how long it took, in words, and what it is.
    pub(crate) fn parts(self) -> [(&'static str, String, &'static str); 4] {
        let took = |seconds: Option<f64>| match seconds {
            None => "-".to_owned(),
            Some(seconds) if seconds < 1.0 => format!("{:.0}ms", seconds * 1e3),
            Some(seconds) => words::span(seconds),
        };
        let parts = [
            ("detect", self.detect, "first failing sample to decision"),
            ("decide", self.decide, "decision to the rollback being asked for"),
            ("execute", self.execute, "asked for to live"),
            ("verify", self.verify, "live to the end"),
        ];
        parts.map(|(name, seconds, what)| (name, took(seconds), what))
    }
}

/// What a line of a timeline is about; none of a kind that only a newer daemon knows.
pub(super) fn event(entry: &TimelineEntry) -> Option<Event> {
    serde_json::from_value(entry.facts.clone()).ok()
}
