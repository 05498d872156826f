//! The HTTP surface: metrics, health, API.
//!
//! | route | answers |
//! | --- | --- |
//! | `GET /` | where things are, for people |
//! | `GET /metrics` | Prometheus text 0.0.4 |
//! | `GET /live`, `/ready` | `200 ok`, or 503 and one line that says why |
//! | `GET /api/v1/apps`, `/api/v1/apps/{name}` | [`AppStatus`]; beside the list, `storm`: the breaker is open |
//! | `GET /api/v1/incidents?app=&limit=` | [`IncidentRecord`], newest first |
//! | `GET /api/v1/incidents/{id}` | [`IncidentDetail`]; here alone with `evidence`, `replay` and `signal` |
//! | `GET /api/v1/incidents/{id}/signal.svg` | a picture of the signal against its threshold |
//! | `POST /api/v1/pause`, `/resume`, `/api/v1/apps/{name}/{pause,resume}` | [`Done`] |
//! | `POST /api/v1/apps/{name}/{rollback,commit,revert}` | [`Done`], 202 |
//! | `POST /api/v1/incidents/{id}/{approve,reject}` | [`Done`], 202 |
//!
//! Every POST needs the admin token, and may have a JSON body: `by`, who says it; with a pause `for_seconds`; with a
//! rollback `to`, `accept_warnings`, `accept_migrations`. Every error is `{"error": {"code", "message"}}`, with one exception that
//! hyper makes before any of this code runs: a head that is no HTTP (400) or too large (431) gets an empty body.
//! Nothing a client does can hold this room's resources for long: connections, heads, bodies, handling and
//! unread answers are all bounded in `limits`; what must not be crowded out has connections kept back in `spare`. By which names
//! it may be asked for is in `host`.

mod api;
mod auth;
mod error;
mod events;
mod host;
mod incident;
mod limits;
mod listen;
#[cfg(test)]
pub(crate) mod made;
mod openapi;
mod page;
mod places;
mod plain;
mod refusal;
mod routes;
mod said;
mod spare;
mod stall;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::journal::{IncidentRecord, Journal, PauseWord, TimelineEntry};
use crate::metrics::Metrics;
use crate::power::Outlook;
use crate::telling::Told;

pub use auth::AdminToken;
#[cfg(any(test, fuzzing))]
pub(crate) use listen::converse_over;
pub use listen::serve;
pub(crate) use said::PAUSE_MOST;

use crate::decision::observation::Request;
use crate::decision::policy::Mode;
use crate::ids::{
    AppName, Caller, DeploymentId, IncidentId, PlatformAppId, PlatformName, ProbeName, RuleName,
};

/// Everything the server shows and takes orders for.
#[derive(Clone)]
pub struct Surface {
    /// The daemon.
    pub backend: Arc<dyn Backend>,
    /// Where incidents are read from.
    pub journal: Arc<dyn Journal>,
    /// What is scraped.
    pub metrics: Metrics,
    /// Remaining times in the metrics are as of this clock.
    pub clock: Arc<dyn Clock>,
    /// Reads the admin token anew for each call that changes something.
    pub admin_token: AdminToken,
    /// The host of the URL by which people find this rearguard, where it was given one.
    pub own_name: OwnName,
}

/// Reads a name anew for each request: a changed configuration counts at once.
pub type OwnName = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What the server asks of the daemon behind it.
pub trait Backend: Send + Sync + 'static {
    /// Every app, by name. An app whose task does not answer within a second is shown with its last state,
    /// blind.
    fn apps(&self) -> Reply<'_, Vec<AppStatus>>;
    /// Whether the storm breaker is open: nothing is rolled back until somebody resumes everything.
    fn storm(&self) -> bool;
    /// One app.
    fn app<'a>(&'a self, name: &'a AppName) -> Reply<'a, Option<AppStatus>>;
    /// Adds what could be noticed, as far as it is known or soon reckoned.
    fn foresee<'a>(&'a self, apps: &'a mut [AppStatus]) -> Reply<'a, ()>;
    /// The app that bears `name` now.
    fn app_id(&self, name: &AppName) -> Option<PlatformAppId>;
    /// Whether every loop ticked within its deadline; if not, which did not.
    fn live(&self) -> Result<(), String>;
    /// Whether the configuration is in force and the journal writable; if not, what is wrong.
    fn ready(&self) -> Result<(), String>;
    /// Pauses an app, or all of them, for so long or until resumed; journalled before this returns.
    fn pause<'a>(
        &'a self,
        app: Option<&'a AppName>,
        lasts: Option<Duration>,
        by: Caller,
    ) -> Reply<'a, Result<(), ActionError>>;
    /// Resumes an app, or all of them; journalled before this returns. Resuming all also closes the storm breaker;
    /// resuming an app that is not paused ends its hold.
    fn resume<'a>(&'a self, app: Option<&'a AppName>, by: Caller) -> Reply<'a, Result<(), ActionError>>;
    /// Hands a person's word on an open incident to its app, a yes perhaps to the target `meant` and no other; what came of
    /// it is journalled before this returns. Gives the target that a yes was for.
    fn request<'a>(
        &'a self,
        incident: &'a IncidentId,
        request: Request,
        meant: Option<DeploymentId>,
        by: Caller,
    ) -> Reply<'a, Result<Option<DeploymentId>, ActionError>>;
    /// Has a person's order for an app carried out: a rollback, a commit, a revert. Gives the incident that came of it
    /// once that is in the journal.
    fn order<'a>(
        &'a self,
        app: &'a AppName,
        request: Request,
        by: Caller,
    ) -> Reply<'a, Result<IncidentId, ActionError>>;
}

/// The future of a call to the daemon.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a person's action was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// No such app or incident.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// It does not fit the incident's state.
    #[error("{0}")]
    Conflict(String),
    /// It is done, and a restart would forget it: the journal did not take it yet.
    #[error("the journal does not take writes")]
    NotDurable,
    /// It could not be journalled, so it was not done.
    #[error("the journal does not take writes")]
    Unavailable,
    /// The journal failed as it was written, or the daemon ended: whether it was done is not known.
    #[error("the journal failed as it was written")]
    Unsure,
}

/// An app as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppStatus {
    /// Its name.
    pub name: AppName,
    /// The account.
    pub platform: PlatformName,
    /// Its id there.
    pub id: PlatformAppId,
    /// How far rearguard may go.
    pub mode: Mode,
    /// `learning`, `steady`, `watching`, `incident`, `held`; while the journal does not give it, the last one known.
    pub state: String,
    /// The open incident, or the one a hold came from.
    pub incident: Option<IncidentId>,
    /// The open incident's stage.
    pub stage: Option<String>,
    /// What it waits for, a reason's word.
    pub waiting: Option<String>,
    /// While the open incident awaits approval: until when. Without an answer it is held then.
    #[serde(default)]
    pub approve_by: Option<Timestamp>,
    /// What the open incident goes back to, or would, once that is chosen.
    #[serde(default)]
    pub target_deployment: Option<DeploymentId>,
    /// A person paused it.
    pub paused: bool,
    /// How, by whom and until when.
    #[serde(default)]
    pub pause: Option<PauseStatus>,
    /// What was last said of its pauses and of those of everything, newest first; only where one app is asked for.
    #[serde(default)]
    pub pause_words: Vec<PauseWord>,
    /// The freeze windows that are open for it.
    #[serde(default)]
    pub freeze: Option<FreezeStatus>,
    /// The live deployment.
    pub live_deployment: Option<DeploymentId>,
    /// A deployment under way.
    pub in_progress_deployment: Option<DeploymentId>,
    /// The newest deployment, if it failed before it went live.
    #[serde(default)]
    pub failed_deployment: Option<DeploymentId>,
    /// The rollback deployment the app is pinned to: the platform deploys nothing else meanwhile, or no pushes.
    pub pinned_deployment: Option<DeploymentId>,
    /// rearguard keeps pushes from being deployed, for a rollback or, where none is named, until it may let them go.
    #[serde(default)]
    pub pushes_paused: bool,
    /// The newest deployment that was seen to be good: where a rollback would go first.
    pub last_good_deployment: Option<DeploymentId>,
    /// Where there is none: the newest that was seen to be good, and since was found to be bad, or ordered to be left.
    #[serde(default)]
    pub left_good_deployment: Option<DeploymentId>,
    /// What is live came after the last incident: neither that one's release or rollback, nor the same code under another id,
    /// as far as can be told.
    #[serde(default)]
    pub newer_release: bool,
    /// What a rollback would meet.
    #[serde(default)]
    pub rollback: Option<RollbackStatus>,
    /// Time left of the watch.
    pub watch_remaining_seconds: Option<f64>,
    /// Time left of the soak.
    pub soak_remaining_seconds: Option<f64>,
    /// When the platform last told about the app.
    pub platform_read_at: Option<Timestamp>,
    /// Why reads from the platform fail now: `unreachable`, `rate_limited`, `denied`, `not_found`.
    pub platform_fault: Option<String>,
    /// Why nobody can tell how the app is, a cause's word.
    pub blind: Option<String>,
    /// Which of what the app needs, or which other apps, leave nobody able to tell: a part of a sentence.
    #[serde(default)]
    pub blind_because: Option<String>,
    /// The rules, with what they read now.
    pub rules: Vec<RuleStatus>,
    /// The probes, with their newest sample.
    pub probes: Vec<ProbeStatus>,
    /// What its rules could notice of a bad release, and how soon; none until it is reckoned, which the first call for it
    /// begins.
    #[serde(default)]
    pub detection: Option<Vec<Outlook>>,
}

/// Why an app is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PauseStatus {
    /// `app`, or `everything`; `file`: by the file beside the journal; `unknown`: the journal could not be read yet.
    pub scope: String,
    /// Whose word.
    pub by: Option<Caller>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// The name of the file beside the journal, where one does it.
    #[serde(default)]
    pub file: Option<String>,
}

/// What is not done unasked for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FreezeStatus {
    /// Nothing that changes what runs: no restart, no rollback, no revert.
    pub rollback: bool,
    /// No commit.
    pub commit: bool,
    /// The open windows.
    pub windows: Vec<String>,
    /// When the first of them ends.
    pub until: Option<Timestamp>,
}

/// What a rollback would meet if it were needed now, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RollbackStatus {
    /// There is a target, and nothing is known to be in the way.
    pub ready: bool,
    /// Why not, a reason's word; `blind` while nobody was asked yet, and once the answer is too old to be one.
    pub reason: Option<String>,
    /// A code or words for it, the platform's or our own.
    pub detail: Option<String>,
    /// What is in the way besides, where that is a limit of time (`cooldown`, `budget`): those a person's order does not
    /// heed, and this it does.
    #[serde(default)]
    pub beside: Option<Obstacle>,
    /// The deployment it would go back to.
    pub target_deployment: Option<DeploymentId>,
    /// The platform's words for that one.
    pub target_title: Option<String>,
    /// Who says what a rollback goes back to: `rearguard`, or `platform` where that cannot be told to it.
    #[serde(default)]
    pub picked_by: Option<String>,
    /// When that one was created.
    pub target_created_at: Option<Timestamp>,
    /// Codes of what should be known before.
    pub warnings: Vec<String>,
    /// Who checked it: `platform`, or `rearguard` where the platform has no dry run.
    pub checked_by: Option<String>,
    /// How long a rollback took that the platform still shows, the middle one of them; where it is an ordinary
    /// deployment, how long those took.
    pub expected_seconds: Option<f64>,
    /// When the platform was asked.
    pub asked_at: Option<Timestamp>,
}

/// What is in the way of a rollback, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Obstacle {
    /// A reason's word; `blind` where nothing is known.
    pub reason: String,
    /// A code or words for it, the platform's or our own.
    pub detail: Option<String>,
}

/// A rule as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RuleStatus {
    /// Its name.
    pub name: RuleName,
    /// What makes it Bad, in words.
    pub condition: String,
    /// `good`, `bad`, `unknown`.
    pub verdict: String,
    /// What it measures, in the threshold's unit.
    pub value: Option<f64>,
    /// What the value is held against.
    #[schemars(with = "Option<f64>")] // what is not finite is null
    pub threshold: f64,
    /// How many samples counted.
    pub samples: u32,
    /// The measurement beside its limit, in words.
    #[serde(default)]
    pub evidence: String,
    /// It only tells (`action: notify`): no release is rolled back because of it.
    #[serde(default)]
    pub only_tells: bool,
    /// When it told of the live release, if it is one that only tells.
    #[serde(default)]
    pub told_at: Option<Timestamp>,
}

impl RuleStatus {
    /// Whether a release would be rolled back because of it.
    pub(crate) fn accuses(&self) -> bool {
        self.verdict == "bad" && !self.only_tells
    }
}

/// A probe as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeStatus {
    /// Its name.
    pub name: ProbeName,
    /// What it asks, without user information and query.
    pub url: String,
    /// The newest result: `good`, `unknown`, or how it failed.
    pub result: Option<String>,
    /// More about it: the status that was not expected, the cause of the unknown.
    pub detail: Option<String>,
    /// Why a query of Prometheus comes to nothing, in the server's words where it has some.
    #[serde(default)]
    pub complaint: Option<String>,
    /// How long it took.
    pub latency_seconds: Option<f64>,
    /// When it was sent.
    pub at: Option<Timestamp>,
}

/// An incident with its timeline, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentDetail {
    /// What stands in the list of incidents too.
    #[serde(flatten)]
    pub record: IncidentRecord,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// What can be told of it beyond that: `durations` everywhere, the rest where one incident is asked for.
    #[serde(flatten)]
    pub told: Told,
}

/// The answer to a person's action that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    /// `pause`, `resume`, `approve`, `reject`, `rollback`, `commit`, `revert`.
    pub done: String,
    /// The app; none when all of them.
    pub app: Option<AppName>,
    /// The incident: the one that was meant, or that came of it.
    pub incident: Option<IncidentId>,
    /// Of an approval: the deployment that is gone back to.
    #[serde(default)]
    pub target_deployment: Option<DeploymentId>,
}
