//! A recorded decision, read.

use crate::clock::Moment;
use crate::decision::observation::RecordedObservation;
use crate::decision::policy::Policy;
use crate::decision::state::{Incident, State};
use crate::ids::RuleName;
use crate::journal::DecisionRecord;

/// A decision with what it was made of.
pub(super) struct Recorded {
    pub(super) policy: Policy,
    pub(super) before: State,
    pub(super) seen: RecordedObservation,
    pub(super) after: State,
}

impl Recorded {
    /// None where another version wrote it in a form that this one does not read.
    pub(super) fn read(record: &DecisionRecord) -> Option<Self> {
        let recorded = Self {
            policy: serde_json::from_str(&record.policy).ok()?,
            before: serde_json::from_str(&record.before).ok()?,
            seen: serde_json::from_str(&record.observation).ok()?,
            after: serde_json::from_str(&record.after).ok()?,
        };
        recorded.is_sound().then_some(recorded)
    }

    /// Rules name probes by their position, and nothing but a validated configuration vouches for that.
    fn is_sound(&self) -> bool {
        let probes = self.policy.probes.len();
        let mut tests = self.policy.rules.iter().flat_map(|rule| &rule.tests);
        self.policy.rules.iter().all(|rule| !rule.tests.is_empty()) && tests.all(|test| test.probe < probes)
    }

    /// The incident that it is about, as it stood before or after.
    pub(super) fn incident(&self) -> Option<&Incident> {
        self.before.incident().or_else(|| self.after.incident())
    }

    /// Since when that deployment's samples count, where this decision knew it.
    pub(super) fn live_since(&self, is_it: impl Fn(&crate::ids::DeploymentId) -> bool) -> Option<Moment> {
        let lives = [self.before.live(), self.incident().map(|incident| &incident.live), self.after.live()];
        lives.into_iter().flatten().find(|live| is_it(&live.id)).map(|live| live.since)
    }

    /// The rule of that name.
    pub(super) fn rule(&self, name: &RuleName) -> Option<&crate::decision::policy::Rule> {
        self.policy.rules.iter().find(|rule| rule.name == *name)
    }
}
