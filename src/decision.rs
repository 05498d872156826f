//! The decision core: `decide(policy, state, observation)` says what to do and why, and does nothing itself.
//!
//! # Contract
//!
//! * Pure: no clock, chance, I/O or logging below this module. The same arguments give the same decision, for
//!   ever; that is what makes crash recovery, simulation, `explain` and `backtest` one mechanism.
//! * Level-triggered: it decides from the whole picture (active, in-progress and pinned deployment, samples,
//!   open call), never from "what changed". Calling it once more changes nothing; calling it late loses nothing.
//! * At most one [`Effect`] a decision and one open call an app. While a call is owed and unanswered the incident
//!   stands still. A call whose answer is not conclusive is looked for on the platform before anything is sent.
//! * Three values. What was not measured is Unknown, and Unknown moves an app neither toward a rollback nor
//!   toward a commit.
//! * A person wins: a foreign pin, commit, revert or newer deployment ends the incident without a write.
//!
//! # The course of things
//!
//! ```text
//! Learning ──> Steady ──> Watching ──rule Bad──> Incident ──> closed ──> Steady | Learning
//!                ^            │                     │
//!                └──passed────┘                     └──> Held ──a person acts──> Learning
//!
//! Incident: (AwaitingApproval) ─> Validating ─> Creating ─> RollingBack ─> Soaking ─> Committing | Reverting
//! ```

pub mod capability;
pub mod effect;
pub mod fleet;
pub mod incident;
pub mod limits;
pub mod measuring;
pub mod observation;
mod pin;
pub mod policy;
pub mod prediction;
pub mod quiet;
pub mod readiness;
pub mod rule;
pub mod sample;
pub mod state;
pub mod story;
pub mod target;
pub mod version;

#[cfg(any(test, fuzzing))]
pub(crate) mod made;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
pub(crate) use scenarios::{Records, Tale, told};

use crate::clock::Moment;
use crate::ids::IncidentId;
use effect::{Effect, Reason, Verb};
use observation::Observation;
use policy::Policy;
use state::{Incident, Outcome, Situation, State};
use story::Event;

/// What to do now.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Decision {
    /// The new state with all that belongs to it; `None` when nothing changes.
    pub change: Option<Box<Change>>,
    /// When time alone makes it worth deciding again; always later than the observation.
    pub wake_at: Option<Moment>,
    /// What the app waits for, when it waits for something in particular.
    pub waiting: Option<Reason>,
    /// The app should be read now: what is decided next depends on which deployment is live at this moment.
    pub look: bool,
}

/// A new state, to be journalled whole before its effect is performed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The state.
    pub state: State,
    /// The call that is owed from now on.
    pub effect: Option<Effect>,
    /// What was decided, for the log, the metrics and the journal.
    pub ruling: Option<Ruling>,
    /// The incident that this change closes.
    pub closed: Option<Closed>,
    /// What it adds to the incident's timeline.
    pub story: Vec<Event>,
    /// The incident that the story belongs to, where it is over: what is owed because of it is still told there.
    pub about: Option<IncidentId>,
}

impl Change {
    /// A code that says more of why an incident is closed, where one does.
    pub fn closing_detail(&self) -> Option<String> {
        self.story.iter().find_map(|event| match event {
            Event::Closed { detail, .. } if !detail.is_empty() => Some(detail.clone()),
            _ => None,
        })
    }
}

/// A decision in two words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// What.
    pub verb: Verb,
    /// Why.
    pub reason: Reason,
    /// The incident it belongs to.
    pub incident: Option<IncidentId>,
}

/// An incident at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    /// As it last was.
    pub incident: Incident,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
}

/// Says what to do about one app. See the module's contract.
pub fn decide(policy: &Policy, state: &State, seen: &Observation<'_>) -> Decision {
    let app = pin::shown(state, seen.app);
    let seen = &Observation { app: app.as_ref().unwrap_or(seen.app), ..*seen };
    let asked = incident::begin(policy, state, seen);
    let decision = asked.unwrap_or_else(|| match &state.situation {
        Situation::Incident(open) => incident::decide(policy, state, open, seen),
        Situation::Held(hold) => quiet::held(policy, state, hold, seen),
        Situation::Learning { .. } | Situation::Steady { .. } | Situation::Watching(_) => {
            quiet::decide(policy, state, seen)
        }
    });
    let decision = Decision {
        waiting: match &state.situation {
            Situation::Incident(_) => decision.waiting,
            // What else the app waits for is said rather than that.
            _ => decision.waiting.or_else(|| pin::waits(policy, state, seen)),
        },
        ..decision
    };
    // What changes nothing is none, and would be told again at each look.
    let is_vain =
        |change: &Change| change.effect.is_none() && change.closed.is_none() && change.state == *state;
    let forget = || quiet::forget(state, seen).filter(|_| state.owed().is_none());
    let forgets = || forget().map(|state| Box::new(Change::to(state)));
    let mut change = decision.change.filter(|change| !is_vain(change)).or_else(forgets);
    if let Some(change) = &mut change
        && is_trouble(&state.situation)
        && !is_trouble(&change.state.situation)
    {
        change.state.ledger.quiet_since = seen.at;
    }
    // A time that is over wakes nobody: what is waited for now is a read or a sample.
    Decision { change, wake_at: decision.wake_at.filter(|wake_at| *wake_at > seen.at), ..decision }
}

/// Whether something is the matter with the app, or was and awaits a person.
fn is_trouble(situation: &Situation) -> bool {
    matches!(situation, Situation::Incident(_) | Situation::Held(_))
}

impl Change {
    /// The state and nothing else.
    fn to(state: State) -> Self {
        Self { state, effect: None, ruling: None, closed: None, story: Vec::new(), about: None }
    }
}

impl Decision {
    /// Nothing changes.
    fn stay(wake_at: Option<Moment>) -> Self {
        Self { change: None, wake_at, waiting: None, look: false }
    }

    /// Nothing changes, for this reason.
    fn wait(reason: Reason, wake_at: Option<Moment>) -> Self {
        Self { change: None, wake_at, waiting: Some(reason), look: false }
    }

    /// The state changes and nothing else.
    fn become_state(state: State) -> Self {
        Self::change(Change::to(state))
    }

    fn change(change: Change) -> Self {
        Self { change: Some(Box::new(change)), wake_at: None, waiting: None, look: false }
    }
}
