//! What `decide` is given: the whole picture at one moment, never "what changed".

mod reading;

use serde::{Deserialize, Serialize};

use super::capability::{Capabilities, Pushes};
use super::effect::Answer;
use super::sample::Window;
use crate::clock::Moment;
use crate::ids::{Caller, DeploymentId};

pub use reading::{Missing, ReadFault, Reading};

/// Everything `decide` may look at besides policy and state.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Now, on the steady clock.
    pub at: Moment,
    /// What the platform says about the app.
    pub app: &'a Reading<AppView>,
    /// When the last read was sent that showed another live deployment than `app` does; `None` when there was no
    /// such read in this process.
    pub other_was_live_at: Option<Moment>,
    /// The app's deployments, newest first. Read only while a deployment is watched or an incident is open.
    pub history: &'a Reading<Vec<Deployment>>,
    /// The latest samples, one window a probe, in the order of the policy's probes.
    pub windows: &'a [Window],
    /// What came of the effect that was owed, the first time `decide` runs after it.
    pub answer: Option<&'a Answer>,
    /// What people asked for.
    pub operator: &'a Operator,
}

/// An [`Observation`] that owns what it shows: what the journal keeps with a decision, so that it can be run again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedObservation {
    /// See [`Observation::at`].
    pub at: Moment,
    /// See [`Observation::app`].
    pub app: Reading<AppView>,
    /// See [`Observation::other_was_live_at`].
    pub other_was_live_at: Option<Moment>,
    /// See [`Observation::history`].
    pub history: Reading<Vec<Deployment>>,
    /// See [`Observation::windows`].
    pub windows: Vec<Window>,
    /// See [`Observation::answer`].
    pub answer: Option<Answer>,
    /// See [`Observation::operator`].
    pub operator: Operator,
}

impl From<&Observation<'_>> for RecordedObservation {
    fn from(seen: &Observation<'_>) -> Self {
        Self {
            at: seen.at,
            app: seen.app.clone(),
            other_was_live_at: seen.other_was_live_at,
            history: seen.history.clone(),
            windows: seen.windows.to_vec(),
            answer: seen.answer.cloned(),
            operator: seen.operator.clone(),
        }
    }
}

impl RecordedObservation {
    /// What `decide` is given to decide the same again.
    pub fn as_seen(&self) -> Observation<'_> {
        Observation {
            at: self.at,
            app: &self.app,
            other_was_live_at: self.other_was_live_at,
            history: &self.history,
            windows: &self.windows,
            answer: self.answer.as_ref(),
            operator: &self.operator,
        }
    }
}

/// What people allow now, and what they asked for that has not been answered yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Operator {
    /// Nothing may be written for this app.
    pub paused: bool,
    /// What a freeze window forbids to do unasked.
    #[serde(default, skip_serializing_if = "Freeze::is_over")]
    pub freeze: Freeze,
    /// The app has left the configuration: what was begun is brought to its end, and nothing else is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_left: bool,
    /// A person's word.
    pub request: Option<Request>,
    /// Whose word that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Caller>,
}

/// What is not done without a person's word for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Freeze {
    /// Nothing that changes what runs: no restart, no rollback, no revert.
    pub rollback: bool,
    /// No commit.
    pub commit: bool,
}

impl Freeze {
    fn is_over(&self) -> bool {
        *self == Self::default()
    }
}

/// A person's word on the app, or on its open incident or hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Go on with the rollback that awaits approval.
    Approve,
    /// Do not roll back.
    Reject,
    /// End a hold: guard the app again.
    Resume,
    /// Roll back what is live, whatever the rules say of it.
    Rollback {
        /// To this deployment; without one to what rearguard would choose.
        to: Option<DeploymentId>,
        /// What would keep rearguard from it, and does not keep the person.
        accept: Accepted,
    },
    /// Accept the rollback now, without waiting for the end of its soak.
    Commit,
    /// Undo the rollback now.
    Revert,
}

/// What a person accepts of a rollback that the configuration would not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Accepted {
    /// Warnings of the platform's validation.
    pub warnings: bool,
    /// A migration job that differs between the two specs.
    pub migrations: bool,
}

impl Request {
    /// The fixed word for logs, the API and the command line.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Resume => "resume",
            Self::Rollback { .. } => "rollback",
            Self::Commit => "commit",
            Self::Revert => "revert",
        }
    }
}

/// An app as its platform shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppView {
    /// The live deployment.
    pub active: Option<Deployment>,
    /// How long ago, on the platform's own clock, the live deployment went live; where the platform says.
    pub active_age_ms: Option<u64>,
    /// A deployment being built or rolled out, or waiting for its turn.
    pub in_progress: Option<DeploymentId>,
    /// The deployment a rollback has pinned the app to.
    pub pinned: Option<DeploymentId>,
    /// What a push does. Only where it can be changed, and only some reads tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushes: Option<Pushes>,
    /// What the platform can do for this app.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// After how long without a request the app is put to sleep, where it is. The next request wakes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleeps_after_ms: Option<u64>,
}

/// A deployment as its platform shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The platform's id.
    pub id: DeploymentId,
    /// The platform's phase.
    pub phase: Phase,
    /// What brought it about.
    pub cause: Cause,
    /// When the platform created it, in milliseconds since the Unix epoch on the *platform's* clock: good for
    /// ordering deployments, never compared with ours. Zero where the platform does not say.
    pub created_ms: i64,
    /// Every step succeeded: it was complete, so it did serve.
    pub complete: bool,
    /// What it runs.
    pub artifact: Artifact,
    /// The deployment it repeats, where the platform says.
    pub cloned_from: Option<DeploymentId>,
    /// How long it took from its creation until it was live, where the platform says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// A person's words for it (`commit 9a4df0b pushed to ...`): shown, never decided by.
    pub title: String,
}

impl Deployment {
    /// Older deployments sort first. Of two that were created at the same moment, by their ids: so that the order is
    /// always the same, not because it says anything.
    pub fn age_key(&self) -> (i64, &DeploymentId) {
        (self.created_ms, &self.id)
    }

    /// Whether this one came after `other`. Where the platform does not say when it created one of them, or created
    /// both at the same moment, another one is taken for news: order cannot speak against what a read shows.
    pub fn came_after(&self, other: (i64, &DeploymentId)) -> bool {
        self.id != *other.1 && (self.created_ms == 0 || other.0 == 0 || self.created_ms >= other.0)
    }
}

/// Component, and the commit or image it was made from; sorted.
pub type Code = Vec<(String, String)>;

/// What a deployment runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// What code. Empty where the platform does not say.
    pub code: Code,
    /// What that was made from, where the platform says that as well. It speaks only where the code of two deployments has
    /// nothing in common: of one of them the platform may not say more than this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Code,
    /// Digest of the app spec it was made with, in canonical form. Empty where the platform does not say.
    pub spec: String,
    /// Digest of the spec's PRE_DEPLOY and POST_DEPLOY jobs, in canonical form. Empty when there are none.
    pub migrations: String,
}

impl Artifact {
    /// Whether both surely run the same code under the same spec. Where the platform does not say what code a
    /// deployment runs this is false: the platform's own validation then has the last word.
    pub fn same_as(&self, other: &Self) -> bool {
        let runs_the_same = match self.shares_code_with(other) {
            true => self.code == other.code,
            false => self.sides(other).next().is_some() && self.sides(other).all(|(a, b)| a == b),
        };
        runs_the_same && self.spec == other.spec
    }

    /// Whether both surely run different code: a component that both name differs. Which of them a platform lists is
    /// its own affair.
    pub fn differs_from(&self, other: &Self) -> bool {
        self.sides(other).any(|(runs, others)| runs != others)
    }

    /// Whether it can be told at all if both run the same: they have something in common that the platform says of both.
    pub fn can_be_held_against(&self, other: &Self) -> bool {
        self.sides(other).next().is_some()
    }

    /// Whether the platform says of both what code a component of theirs runs.
    pub fn shares_code_with(&self, other: &Self) -> bool {
        self.code.iter().any(|(name, _)| other.code.iter().any(|(same, _)| same == name))
    }

    /// What the platform says of both: of their code, or else of all that is said of them.
    fn sides<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a String, &'a String)> {
        let is_by_code = self.shares_code_with(other);
        let said = move |of: &'a Self| of.code.iter().chain(of.source.iter().filter(move |_| !is_by_code));
        said(self).flat_map(move |(name, runs)| {
            said(other).filter(move |(same, _)| same == name).map(move |(_, others)| (runs, others))
        })
    }
}

impl Deployment {
    /// Whether it is the release that runs `artifact`, under another id. A restart that was asked for before that release
    /// was live may bring back the one before it.
    pub fn repeats(&self, artifact: &Artifact) -> bool {
        self.cause.repeats_release() && !self.artifact.differs_from(artifact)
    }
}

/// A deployment's phase, in the platform's words. An open set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waiting, building or rolling out.
    InProgress,
    /// Live.
    Active,
    /// Was live, or at least finished, and another one came after it.
    Superseded,
    /// Failed.
    Error,
    /// Cancelled.
    Canceled,
    /// A word we do not know: never terminal, never eligible.
    Unknown,
}

/// What brought a deployment about. An open set: what we do not know is a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A release to judge.
    Release,
    /// A release that surely nobody asked for: a push to the branch began it.
    Push,
    /// A rollback, by whomever.
    Rollback,
    /// The undoing of a rollback.
    Revert,
    /// A restart of the same release.
    Restart,
    /// The platform's own doing: maintenance, autoscaling, database sources or passwords.
    Platform,
}

impl Cause {
    /// Whether a deployment with this cause is a release that was live before, under another id.
    pub fn repeats_release(self) -> bool {
        matches!(self, Self::Restart | Self::Platform)
    }

    /// Whether a deployment with this cause is a release to judge.
    pub fn is_release(self) -> bool {
        matches!(self, Self::Release | Self::Push)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_date_is_taken_for_news_and_what_has_one_is_ordered_by_it() {
        let came_after = |id: &str, created_ms, other: &str, other_ms| {
            let deployment = Deployment {
                id: id.into(),
                phase: Phase::Active,
                cause: Cause::Release,
                created_ms,
                complete: true,
                artifact: Artifact::default(),
                cloned_from: None,
                took_ms: None,
                title: String::new(),
            };
            deployment.came_after((other_ms, &other.into()))
        };
        assert!(came_after("a", 2, "b", 1));
        assert!(!came_after("b", 1, "a", 2));
        assert!(came_after("b", 1, "a", 1), "dates that are the same say nothing");
        assert!(came_after("a", 1, "b", 1));
        assert!(came_after("a", 0, "b", 2));
        assert!(came_after("a", 1, "b", 0));
        assert!(!came_after("a", 0, "a", 0), "not after itself");
        assert!(!came_after("a", 2, "a", 1));
    }

    #[test]
    fn each_request_has_the_word_that_people_type() {
        use Request::{Approve, Commit, Reject, Resume, Revert};
        let rollback = Request::Rollback { to: None, accept: Accepted::default() };
        let words = [Approve, Reject, Resume, rollback, Commit, Revert].map(|request| request.word());
        assert_eq!(words, ["approve", "reject", "resume", "rollback", "commit", "revert"]);
    }

    #[test]
    fn what_shares_no_code_is_the_same_by_all_that_is_said_of_both() {
        let of = |code: (&str, &str), source: &[(&str, &str)]| {
            let pair = |(name, runs): &(&str, &str)| ((*name).to_owned(), (*runs).to_owned());
            let source = source.iter().map(pair).collect();
            Artifact { code: vec![pair(&code)], source, ..Artifact::default() }
        };
        let built = of(("image", "i1"), &[("commit", "c1")]);
        assert!(built.same_as(&of(("commit", "c1"), &[])));
        assert!(!built.same_as(&of(("commit", "c2"), &[])));
        assert!(!built.same_as(&of(("other", "c1"), &[])), "nothing is said of both");
        assert!(built.same_as(&of(("image", "i1"), &[("commit", "c2")])), "the code itself says it");
    }

    #[test]
    fn a_reading_is_as_old_as_its_sending() {
        let at = Moment::from_millis;
        let reading = Reading::known(at(5), 'x');
        assert_eq!((reading.since(at(5)), reading.since(at(6))), (Some(&'x'), None));
        assert_eq!(reading.read_at(), Some(at(5)));
    }
}
