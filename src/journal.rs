//! The journal: what rearguard knows and intends, on disk before it acts.
//!
//! One row of state an app, under the platform's id of it: a name is a word of the configuration and may change its
//! meaning. For every decision that changed it: what `decide` was given, what it answered,
//! the incident it belongs to and the effect it owes, in one transaction. An effect without an outcome is open;
//! there is at most one open effect an app, and the store itself enforces that. What is to be told of a decision is in
//! the same transaction, and owed to each channel until it has it.

#[cfg(test)]
mod contract;
#[cfg(any(test, fuzzing))]
pub(crate) mod made;
mod outbox;
mod sqlite;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::{Mark, Moment};
use crate::decision::effect::{Answer, Effect, Reason, Verb};
use crate::decision::state::{Outcome, State};
use crate::decision::story::misnamed;
use crate::ids::{AppName, Caller, ChannelName, DeploymentId, IncidentId, PlatformAppId, RuleName};

pub use self::outbox::{Notice, Outbox, Pending, Settled};
pub use self::sqlite::SqliteJournal;
#[cfg(any(test, fuzzing))]
pub(crate) use self::sqlite::VERSION;

/// Everything one decision leaves behind. Written whole or not at all.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The app's name, for people.
    pub app: AppName,
    /// The app: what its state and its open effect are kept under.
    pub id: PlatformAppId,
    /// The steady clock.
    pub mark: Mark,
    /// The wall clock.
    pub wall: Timestamp,
    /// The state after the decision.
    pub state: State,
    /// The effect that was open before and is answered now. Closes the app's open effect.
    pub answered: Option<Answer>,
    /// The effect that is owed from now on. Opens a new one.
    pub effect: Option<Effect>,
    /// What `decide` was given and answered, for running it again. Absent where nothing was decided.
    pub decision: Option<DecisionRecord>,
    /// The incident as it is shown, when the decision touched one.
    pub incident: Option<IncidentRecord>,
    /// What is added to that incident's timeline.
    pub timeline: Vec<TimelineEntry>,
    /// What is to be told of it.
    pub notices: Vec<Notice>,
}

/// One decision, with all that is needed to make it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// What was decided.
    pub verb: Verb,
    /// Why.
    pub reason: Reason,
    /// The incident it belongs to.
    pub incident: Option<IncidentId>,
    /// The policy, as JSON.
    pub policy: String,
    /// The state before, as JSON.
    pub before: String,
    /// The observation, as JSON.
    pub observation: String,
    /// The state after, as JSON.
    pub after: String,
}

/// An incident as the API shows it, without its timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentRecord {
    /// Its id.
    pub id: IncidentId,
    /// The app's name when it was last written.
    pub app: AppName,
    /// The platform's id of the app.
    pub app_id: PlatformAppId,
    /// The contract's word for its stage, `closed` at the end.
    pub state: String,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The last reason.
    pub reason: Reason,
    /// A code that says more of it, where there is one: why the target that a person named is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The rule that fired; none where a person asked.
    pub rule: Option<RuleName>,
    /// Who asked, where no rule fired.
    #[serde(default)]
    pub asked_by: Option<Caller>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// While it awaits approval: until when. Without an answer it is held then.
    #[serde(default)]
    pub approve_by: Option<Timestamp>,
    /// The accused deployment.
    pub bad_deployment: DeploymentId,
    /// The deployment gone back to.
    pub target_deployment: Option<DeploymentId>,
    /// The deployment that does it.
    pub rollback_deployment: Option<DeploymentId>,
    /// From the first failing sample to the decision.
    pub time_to_detect_seconds: Option<f64>,
    /// From the first failing sample to the first Good verdict after the rollback was live.
    pub time_to_restore_seconds: Option<f64>,
}

impl IncidentRecord {
    /// Why it ended as it did, or what it waits for: a part of a sentence. Where a person named what is nothing to go back
    /// to, that there is nothing is not what it ended for.
    pub fn why(&self) -> &'static str {
        let misnamed = self.detail.as_deref().and_then(|code| misnamed(self.reason, code));
        misnamed.unwrap_or_else(|| self.reason.meaning())
    }

    /// Whether it is a person's order to go back to what is nothing to go back to, which says nothing of the app.
    pub fn is_misnamed(&self) -> bool {
        let code = self.detail.as_deref().filter(|_| self.asked_by.is_some());
        code.is_some_and(|code| misnamed(self.reason, code).is_some())
    }

    /// The same as its fixed words.
    pub fn why_in_codes(&self) -> String {
        let code = self.detail.as_ref().map_or_else(String::new, |code| format!(": {code}"));
        format!("{}{code}", self.reason.word())
    }
}

/// One line of an incident's timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineEntry {
    /// Wall clock.
    pub at: Timestamp,
    /// A fixed word: `fired`, `target`, `call`, `answer`, `live`, `soak`, `restored`, `outcome`, ...
    pub event: String,
    /// A sentence for people, with the numbers.
    pub text: String,
    /// The same facts for programs.
    pub facts: serde_json::Value,
}

/// An effect without an outcome, as a restart finds it.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenEffect {
    /// What was owed.
    pub effect: Effect,
    /// When it was decided.
    pub opened_at: Moment,
}

/// What a start-up reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// Where the steady clock stood at the last write.
    pub mark: Option<Mark>,
    /// The storm breaker is open since then.
    pub storm_since: Option<Moment>,
    /// The platform's ids of the apps that were paused by a person, `*` for all, in order.
    pub paused: Vec<(String, Pause)>,
}

/// A person's word that nothing is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it ends by itself, on the steady clock; never where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// Whose word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Caller>,
    /// Since when, on the wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How long it was to last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// What a person said of a pause, as it was said: kept when the pause is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PauseWord {
    /// When.
    pub at: Timestamp,
    /// `pause` or `resume`.
    pub word: String,
    /// `app`, or `everything`.
    pub scope: String,
    /// Whose word.
    pub by: Option<Caller>,
    /// How long the pause was to last; none where it had no end, and for what is no pause.
    pub lasts_seconds: Option<f64>,
}

impl Pause {
    /// Whether its time has run out.
    pub fn is_over(&self, now: Moment) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

/// Which incidents are asked for.
#[derive(Clone, Debug, Default)]
pub struct IncidentQuery {
    /// Whose.
    pub whose: Whose,
    /// Only those that are not closed.
    pub only_open: bool,
    /// At most so many, newest first. Zero means 100; never more than 1000 are given.
    pub limit: usize,
}

/// Whose incidents are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Whose {
    /// Every app's.
    #[default]
    Everybody,
    /// This app's, whatever its name was.
    App(PlatformAppId),
    /// Those of whoever bore this name when they were last written.
    Named(AppName),
}

/// Why the journal failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The disk is full, the file is locked or an I/O error occurred: worth trying again. After a failed write it
    /// is not known whether the write is there.
    #[error("use the journal {path}: {detail}")]
    Unavailable {
        /// The file.
        path: String,
        /// SQLite's words.
        detail: String,
    },
    /// The file is no journal, damaged, or written by a newer version: a person has to look.
    #[error("open the journal {path}: {detail}")]
    Unusable {
        /// The file.
        path: String,
        /// What is wrong and what helps.
        detail: String,
    },
    /// The entry contradicts itself or the journal: a second open effect for an app, an answer to none, a state
    /// that owes another call than the one that is open. Nothing of it was written; trying again changes nothing.
    #[error("record a decision for {app}: {detail}")]
    Illegal {
        /// The app.
        app: AppName,
        /// Which rule of the journal it breaks.
        detail: String,
    },
}

/// The future of one journal call.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, JournalError>> + Send + 'a>>;

/// A store of decisions.
pub trait Journal: Send + Sync + 'static {
    /// What a start-up needs besides the apps' states.
    fn restore(&self) -> Call<'_, Restored>;
    /// The app's state, and its open effect if there is one.
    fn load<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, (Option<State>, Option<OpenEffect>)>;
    /// How the app fared, as [`Journal::keep_past`] had it last.
    fn past<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, Option<String>>;
    /// Keeps how the app fared. It is no decision: where it is lost, less is known.
    fn keep_past<'a>(&'a self, app: &'a PlatformAppId, past: String) -> Call<'a, ()>;
    /// The apps that have a state, configured or not.
    fn apps(&self) -> Call<'_, Vec<PlatformAppId>>;
    /// Writes an entry durably: when this returns, it survives a power cut. After `Unavailable`, and after a call
    /// that was dropped unanswered, it is not known whether the entry is there: load the app again. The app's
    /// open effect is then exactly what [`State::owed`] says; an entry that would part them is `Illegal`.
    fn record(&self, entry: Entry) -> Call<'_, ()>;
    /// Opens or closes the storm breaker durably.
    fn set_storm(&self, since: Option<Moment>) -> Call<'_, ()>;
    /// Pauses an app (`*` for all) durably. The word stays when the pause is over.
    fn pause<'a>(&'a self, app: &'a str, pause: Pause) -> Call<'a, ()>;
    /// Ends the pause of an app (`*` for all) durably, by a person's word; the one of everything ends each app's with it.
    /// Without a person its time has run out, and it ends alone and without a word.
    fn end_pause<'a>(&'a self, app: &'a str, by: Option<Caller>, at: Timestamp) -> Call<'a, ()>;
    /// What was said of the pauses of an app and of everything, newest first and no more than `limit`.
    fn pause_words<'a>(&'a self, app: &'a PlatformAppId, limit: usize) -> Call<'a, Vec<PauseWord>>;
    /// Incidents, newest first.
    fn incidents(&self, query: IncidentQuery) -> Call<'_, Vec<IncidentRecord>>;
    /// One incident with its timeline, oldest entry first.
    fn incident<'a>(&'a self, id: &'a IncidentId) -> Call<'a, Option<(IncidentRecord, Vec<TimelineEntry>)>>;
    /// The decisions of an incident, oldest first, for running them again.
    fn decisions<'a>(&'a self, id: &'a IncidentId) -> Call<'a, Vec<DecisionRecord>>;
    /// Keeps what is to be told of something that is no decision. Durable like an entry; what is known by its key already
    /// is not kept again.
    fn tell(&self, notices: Vec<Notice>) -> Call<'_, ()>;
    /// What `channel` does not have yet: how much, and the first notice of at most `limit` threads.
    fn outbox<'a>(&'a self, channel: &'a ChannelName, limit: usize) -> Call<'a, Outbox>;
    /// Notes what came of a try to deliver, durably. Where that is over already, nothing changes.
    fn settle(&self, delivery: i64, at: Timestamp, settled: Settled) -> Call<'_, ()>;
    /// The threads that `channel` has a note of, and those notes.
    fn marks<'a>(&'a self, channel: &'a ChannelName) -> Call<'a, Vec<(String, String)>>;
    /// Forgets the note of a thread.
    fn forget_mark<'a>(&'a self, channel: &'a ChannelName, thread: &'a str) -> Call<'a, ()>;
    /// Forgets what is owed to channels other than `kept`; gives how many notices.
    fn keep_channels(&self, kept: Vec<ChannelName>) -> Call<'_, u64>;
    /// Deletes what belongs to incidents closed before `horizon`, and decisions of no incident made before it,
    /// and what was told before it; gives how many rows went. In small steps: writes that are asked for meanwhile are not held up.
    fn prune(&self, horizon: Timestamp) -> Call<'_, u64>;
    /// Whether a durable write works now; reopens a store that failed.
    fn check(&self) -> Call<'_, ()>;
}
