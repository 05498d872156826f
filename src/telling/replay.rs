//! The recorded decisions, made again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::recorded::Recorded;
use crate::decision::{Decision, decide};
use crate::journal::DecisionRecord;

/// What came of making the recorded decisions again, with the code that decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replay {
    /// How many were recorded.
    pub decisions: usize,
    /// How many came out the same: verb, reason and every part of the state.
    pub identical: usize,
    /// How many another version wrote in a form that this one does not read.
    pub unreadable: usize,
    /// Those that came out otherwise.
    pub differing: Vec<Differing>,
}

/// A decision that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Differing {
    /// Which one, counted from 1.
    pub decision: usize,
    /// What was recorded: verb and reason.
    pub recorded: String,
    /// What is decided now: verb and reason, or `nothing`; the same words where only the state differs.
    pub now: String,
}

/// Makes the decisions again. Gives those that could be read as well.
pub(super) fn replay(decisions: &[DecisionRecord]) -> (Replay, Vec<Recorded>) {
    let mut replay = Replay { decisions: decisions.len(), ..Replay::default() };
    let mut all = Vec::with_capacity(decisions.len());
    for (place, record) in decisions.iter().enumerate() {
        let Some(recorded) = Recorded::read(record) else {
            replay.unreadable += 1;
            continue;
        };
        let again = decide(&recorded.policy, &recorded.before, &recorded.seen.as_seen());
        if is_same(&again, record, &recorded) {
            replay.identical += 1;
        } else {
            replay.differing.push(Differing {
                decision: place + 1,
                recorded: format!("{} ({})", record.verb.word(), record.reason.word()),
                now: in_words(&again),
            });
        }
        all.push(recorded);
    }
    (replay, all)
}

/// Only what came of it.
#[cfg(test)]
pub(crate) fn replayed(decisions: &[DecisionRecord]) -> Replay {
    replay(decisions).0
}

fn is_same(again: &Decision, record: &DecisionRecord, recorded: &Recorded) -> bool {
    let Some(change) = &again.change else { return false };
    let ruling = change.ruling.as_ref();
    change.state == recorded.after
        && ruling.is_some_and(|ruling| {
            (ruling.verb, ruling.reason, &ruling.incident) == (record.verb, record.reason, &record.incident)
        })
}

fn in_words(decision: &Decision) -> String {
    let ruling = decision.change.as_ref().and_then(|change| change.ruling.as_ref());
    ruling.map_or_else(
        || "nothing".to_owned(),
        |ruling| format!("{} ({})", ruling.verb.word(), ruling.reason.word()),
    )
}

impl Replay {
    /// What came of it, as a sentence.
    pub fn text(&self) -> String {
        let Self { decisions, identical, unreadable, differing } = self;
        let made = match (decisions, identical) {
            (0, _) => return "no decision was recorded".to_owned(),
            (1, 1) => "the one decision, made again from what was recorded, came out identical".to_owned(),
            (all, same) if all == same => {
                format!("all {all} decisions, made again from what was recorded, came out identical")
            }
            (all, same) => {
                format!("{same} of {all} decisions, made again from what was recorded, came out identical")
            }
        };
        let mut parts = vec![made];
        if *unreadable > 0 {
            parts.push(format!(
                "{unreadable} recorded by another version, in a form that this one does not read"
            ));
        }
        parts.extend(differing.iter().map(|differing| {
            let Differing { decision, recorded, now } = differing;
            let now = if now == recorded { "the same with another state" } else { now };
            format!("decision {decision} was {recorded}, and this version decides: {now}")
        }));
        parts.join("; ")
    }

    /// Whether nothing speaks against what was recorded and it could all be read.
    pub fn is_identical(&self) -> bool {
        self.decisions == self.identical
    }
}
