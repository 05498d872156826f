//! An incident as people read it: an [`Account`] of what was seen, decided, refused and done, and that account as text,
//! as Markdown and as a picture. Everything here is a function of what the journal recorded.
//!
//! ```text
//! record, timeline ──┐                                ┌─ text       for a terminal
//!                    ├─> Account (facts, refusals,    ├─ markdown   for a ticket
//! decisions ─> Told ─┘   times, evidence, signal) ────┴─ svg        for both, and for the dashboard
//! ```
//!
//! [`Told`] is what has to be worked out of the recorded decisions, which only the daemon has: the API carries it.

mod account;
pub(crate) mod app;
mod durations;
mod evidence;
pub(crate) mod markdown;
pub(crate) mod page;
mod recorded;
mod replay;
mod signal;
pub(crate) mod spark;
pub(crate) mod svg;
pub(crate) mod text;
pub(crate) mod words;

#[cfg(test)]
mod made;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::journal::{DecisionRecord, IncidentRecord, TimelineEntry};

pub use account::{Account, CallMade, Line};
pub use durations::Durations;
pub use evidence::{Evidence, Unit};
pub use page::Page;
#[cfg(test)]
pub(crate) use replay::replayed;
pub use replay::{Differing, Replay};
pub use signal::{Mark, Marked, Point, Signal};

/// Decisions that are looked at of one incident; none has a tenth of that.
const MOST_DECISIONS: usize = 128;

/// What can be told of an incident beyond its record and its timeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Told {
    /// How long each part took.
    #[serde(default)]
    pub durations: Durations,
    /// What each rule read when it was decided to accuse, the one that fired first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// The recorded decisions made again; none where nobody made them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// What the rule that fired measured, over time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
}

impl Told {
    /// What the record and the timeline alone say.
    pub fn without_decisions(record: &IncidentRecord, timeline: &[TimelineEntry]) -> Self {
        Self { durations: Durations::of(record, timeline), ..Self::default() }
    }

    /// All of it. Reads samples by the thousand and makes decisions again: not for a thread that has others waiting.
    pub fn with_decisions(
        record: &IncidentRecord,
        timeline: &[TimelineEntry],
        decisions: &[DecisionRecord],
    ) -> Self {
        let decisions = &decisions[..decisions.len().min(MOST_DECISIONS)];
        let (replay, read) = replay::replay(decisions);
        Self {
            durations: Durations::of(record, timeline),
            evidence: evidence::evidence(record, timeline, &read),
            replay: Some(replay),
            signal: signal::signal(record, timeline, &read),
        }
    }
}
