//! The JSON of the apps endpoints, and what rearguard makes of it.
//!
//! The API writes proto3-style JSON: a field with its zero value is left out, and enums are open. So every field
//! may be missing or null, an unknown word is `Unknown` or a release, and a detail of a wrong type reads as missing.
//! The exceptions are what a wrong guess would be dangerous for: whether an app is pinned or busy, and the answer to
//! a validation. There a wrong type makes the answer unreadable. Source: the OpenAPI description at
//! <https://github.com/digitalocean/openapi>, and for `cause_details` and `last_deployment_active_at`, which it
//! lacks, <https://github.com/digitalocean/godo/blob/main/apps.gen.go>.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::canonical;
use crate::decision::effect;
use crate::decision::observation::{self, AppView, Artifact, Cause, Phase};
use crate::ids::{DeploymentId, PlatformAppId};
use crate::platform::http::one_line;

/// The most of a deployment's free-text cause that is kept.
const TITLE: usize = 120;

/// `GET /v2/apps`. An app is read on its own, so that a strange one does not hide the others.
#[derive(Deserialize)]
pub(super) struct AppsPage {
    #[serde(deserialize_with = "or_empty")]
    pub(super) apps: Vec<Box<RawValue>>,
    #[serde(default, deserialize_with = "lenient")]
    links: Links,
}

impl AppsPage {
    /// Whether another page follows. Its URL is not looked at: the page is counted by the one who asks.
    pub(super) fn has_next(&self) -> bool {
        !self.links.pages.next.is_empty()
    }
}

/// `GET /v2/apps/{id}/deployments`.
#[derive(Deserialize)]
pub(super) struct DeploymentsPage {
    #[serde(deserialize_with = "or_empty")]
    pub(super) deployments: Vec<Box<RawValue>>,
}

/// `GET /v2/apps/{id}`.
#[derive(Deserialize)]
pub(super) struct AppAnswer {
    pub(super) app: Object<App>,
}

/// A rollback's or a revert's new deployment.
#[derive(Deserialize)]
pub(super) struct DeploymentAnswer {
    pub(super) deployment: Object<Deployment>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Links {
    #[serde(deserialize_with = "lenient")]
    pages: Pages,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pages {
    #[serde(deserialize_with = "lenient")]
    next: String,
}

/// An app.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct App {
    #[serde(deserialize_with = "lenient")]
    id: String,
    active_deployment: Option<Object<Deployment>>,
    in_progress_deployment: Option<Object<Deployment>>,
    pending_deployment: Option<Object<Deployment>>,
    pinned_deployment: Option<Object<Deployment>>,
    #[serde(deserialize_with = "lenient")]
    last_deployment_active_at: String,
}

impl App {
    /// The app's id and what rearguard sees of it; `None` without an id. `date_ms` is the platform's clock.
    pub(super) fn seen(self, date_ms: Option<i64>) -> Option<(PlatformAppId, AppView)> {
        if self.id.is_empty() {
            return None;
        }
        let live_since = self.live_since();
        let active = self.active_deployment.and_then(|Object(deployment)| deployment.seen());
        let in_progress = [self.in_progress_deployment, self.pending_deployment]
            .into_iter()
            .flatten()
            .filter(|Object(deployment)| !is_terminal(phase(&deployment.phase)))
            .filter_map(|Object(deployment)| named(&deployment.id))
            .find(|id| active.as_ref().is_none_or(|active| active.id != *id));
        let view = AppView {
            active_age_ms: live_since.zip(date_ms).map(|(since, now)| {
                // A negative age comes from the seconds of `Date`: it went live just now.
                u64::try_from(now.saturating_sub(since)).unwrap_or(0)
            }),
            pinned: self.pinned_deployment.and_then(|Object(deployment)| named(&deployment.id)),
            in_progress,
            active,
        };
        Some((PlatformAppId::from(self.id), view))
    }

    /// When the live deployment went live. A deployment's `updated_at` moves long after that, so it is no source.
    fn live_since(&self) -> Option<i64> {
        let Object(active) =
            self.active_deployment.as_ref().filter(|Object(active)| !active.id.is_empty())?;
        millis(&self.last_deployment_active_at).or_else(|| {
            let entered = millis(&active.phase_last_updated_at);
            entered.filter(|_| phase(&active.phase) == Phase::Active)
        })
    }
}

/// A deployment.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Deployment {
    #[serde(deserialize_with = "lenient")]
    id: String,
    #[serde(deserialize_with = "lenient")]
    phase: String,
    #[serde(deserialize_with = "lenient")]
    phase_last_updated_at: String,
    #[serde(deserialize_with = "lenient")]
    created_at: String,
    #[serde(deserialize_with = "lenient")]
    cause: String,
    #[serde(deserialize_with = "lenient")]
    cause_details: CauseDetails,
    #[serde(deserialize_with = "lenient")]
    cloned_from: String,
    #[serde(deserialize_with = "lenient")]
    progress: Progress,
    #[serde(deserialize_with = "lenient")]
    services: Vec<Component>,
    #[serde(deserialize_with = "lenient")]
    static_sites: Vec<Component>,
    #[serde(deserialize_with = "lenient")]
    workers: Vec<Component>,
    #[serde(deserialize_with = "lenient")]
    jobs: Vec<Component>,
    #[serde(deserialize_with = "lenient")]
    functions: Vec<Component>,
    /// Kept as text: a poll reads hundreds of specs.
    spec: Option<Box<RawValue>>,
}

impl Deployment {
    /// What rearguard sees of the deployment; `None` without an id.
    pub(super) fn seen(self) -> Option<observation::Deployment> {
        let id = named(&self.id)?;
        let phase = phase(&self.phase);
        let digests = self.spec.as_deref().map(|spec| canonical::spec(spec.get())).unwrap_or_default();
        Some(observation::Deployment {
            id,
            phase,
            cause: self.cause_details.cause(),
            created_ms: millis(&self.created_at).unwrap_or(0),
            complete: phase == Phase::Active || self.progress.all_succeeded(),
            cloned_from: named(&self.cloned_from),
            title: one_line(&self.cause, TITLE),
            artifact: Artifact { code: self.code(), spec: digests.whole, migrations: digests.migrations },
        })
    }

    fn code(self) -> Vec<(String, String)> {
        let kinds = [self.services, self.static_sites, self.workers, self.jobs, self.functions];
        let mut code: Vec<_> = kinds.into_iter().flatten().filter_map(Component::code).collect();
        code.sort();
        code
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Component {
    #[serde(deserialize_with = "lenient")]
    name: String,
    #[serde(deserialize_with = "lenient")]
    source_commit_hash: String,
    /// Of components made from an image; seen in answers, in no description.
    #[serde(deserialize_with = "lenient")]
    source_image_digest: String,
}

impl Component {
    fn code(self) -> Option<(String, String)> {
        let hashes = [self.source_commit_hash, self.source_image_digest];
        hashes.into_iter().find(|hash| !hash.is_empty()).map(|hash| (self.name, hash))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Progress {
    #[serde(deserialize_with = "lenient")]
    total_steps: Count,
    #[serde(deserialize_with = "lenient")]
    success_steps: Count,
    #[serde(deserialize_with = "lenient")]
    error_steps: Count,
}

impl Progress {
    fn all_succeeded(&self) -> bool {
        self.total_steps.0 > 0 && self.success_steps == self.total_steps && self.error_steps.0 == 0
    }
}

/// An int64, which proto3 JSON writes as a number or as a string.
#[derive(Default, PartialEq)]
struct Count(i64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let count = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        count.map(Self).ok_or_else(|| D::Error::custom("not an integer"))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CauseDetails {
    #[serde(rename = "type", deserialize_with = "lenient")]
    kind: String,
    #[serde(deserialize_with = "lenient")]
    digitalocean_user_action: UserAction,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UserAction {
    #[serde(deserialize_with = "lenient")]
    name: String,
}

impl CauseDetails {
    /// The person's action says more than the type: a revert is of type MANUAL or MANUAL_ROLLBACK, nobody knows.
    fn cause(&self) -> Cause {
        match (self.digitalocean_user_action.name.as_str(), self.kind.as_str()) {
            ("REVERT_APP_ROLLBACK", _) => Cause::Revert,
            ("ROLLBACK_APP", _) | (_, "MANUAL_ROLLBACK" | "AUTO_ROLLBACK") => Cause::Rollback,
            ("RESTART", _) => Cause::Restart,
            ("RESET_DATABASE_PASSWORD", _)
            | (_, "MAINTENANCE" | "AUTOSCALED" | "UPDATE_DATABASE_TRUSTED_SOURCES") => Cause::Platform,
            _ => Cause::Release,
        }
    }
}

/// The answer to `rollback/validate`. Strict: a warning that is overlooked is a rollback that should not be.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Validation {
    valid: Option<bool>,
    error: Option<Object<Condition>>,
    warnings: Option<Vec<Object<Condition>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    code: Option<String>,
    message: Option<String>,
}

impl Validation {
    /// The validation, its texts cleaned by `words`. An error beside `valid: true` is an error.
    pub(super) fn seen(self, words: impl Fn(&str) -> String) -> effect::Validation {
        let condition = |Object(condition): Object<Condition>| effect::Condition {
            code: words(&condition.code.unwrap_or_default()),
            message: words(&condition.message.unwrap_or_default()),
        };
        effect::Validation {
            valid: self.valid.unwrap_or(false) && self.error.is_none(),
            error: self.error.map(condition),
            warnings: self.warnings.unwrap_or_default().into_iter().map(condition).collect(),
        }
    }
}

/// A JSON object. By itself serde would also fill a struct from a list, in the order of its fields.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if !raw.get().starts_with('{') {
            return Err(D::Error::custom("not an object"));
        }
        serde_json::from_str(raw.get()).map(Self).map_err(D::Error::custom)
    }
}

fn named(id: &str) -> Option<DeploymentId> {
    (!id.is_empty()).then(|| DeploymentId::from(id))
}

fn phase(word: &str) -> Phase {
    match word {
        "PENDING_BUILD" | "BUILDING" | "PENDING_DEPLOY" | "DEPLOYING" => Phase::InProgress,
        "ACTIVE" => Phase::Active,
        "SUPERSEDED" => Phase::Superseded,
        "ERROR" => Phase::Error,
        "CANCELED" => Phase::Canceled,
        _ => Phase::Unknown,
    }
}

fn is_terminal(phase: Phase) -> bool {
    !matches!(phase, Phase::InProgress | Phase::Unknown)
}

/// RFC 3339 in milliseconds since the Unix epoch. "Never" is absent or the year 1.
fn millis(text: &str) -> Option<i64> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(at.as_millisecond()).filter(|millis| *millis > 0)
}

/// The zero value for null and for a wrong type, so that a detail cannot break what it is a detail of.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

/// The empty list for null; a wrong type and a missing field are errors.
fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
