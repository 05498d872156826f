//! The JSON of the apps endpoints, and what rearguard makes of it.
//!
//! The API writes proto3-style JSON: a field with its zero value is left out, and enums are open. So every field
//! may be missing or null, an unknown word is `Unknown` or a release, and a detail of a wrong type reads as missing.
//! The exceptions are what a wrong guess would be dangerous for: whether an app is pinned or busy, and the answer to
//! a validation. There a wrong type makes the answer unreadable. Source: the OpenAPI description at
//! <https://github.com/digitalocean/openapi>, and for `cause_details` and `last_deployment_active_at`, which it
//! lacks, <https://github.com/digitalocean/godo/blob/main/apps.gen.go>.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::super::json::{Count, Object, detail, lenient, millis, object, text};
use super::canonical::Specs;
use crate::decision::capability::{Capabilities, PinKind, Support, Targeting};
use crate::decision::observation::{self, AppView, Artifact, Cause, Phase};
use crate::ids::{DeploymentId, PlatformAppId};
use crate::platform::http::one_line;

/// The four rollback calls are App Platform's own. A revert deploys the earlier spec, which may mean a new build; and
/// whether a second rollback is refused while the first one pins the app is not documented, so it leads nowhere else at
/// the worst.
const CAPABILITIES: Capabilities = Capabilities {
    targeting: Targeting::ById,
    pin: PinKind::Hard,
    validate: Support::Native,
    commit: Support::Native,
    revert: Support::Native,
    revert_is_exact: false,
    restart: Support::Native,
    resend_is_safe: true,
    signals: super::figures::SIGNALS,
};

/// The most of a deployment's free-text cause that is kept.
const TITLE: usize = 120;

/// Times of the app are in whole seconds, and traffic may change over a little before the last step has ended.
const ROLLED_OUT_GRAIN_MS: i64 = 3_000;

/// `GET /v2/apps`. An app is read on its own, so that a strange one does not hide the others.
#[derive(Deserialize)]
pub(super) struct AppsPage<'a> {
    #[serde(borrow)]
    apps: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    links: Option<&'a RawValue>,
    meta: Option<IgnoredAny>,
}

impl<'a> AppsPage<'a> {
    /// Whether another page follows; `None` where what is said of it cannot be read. Its URL is not looked at: the
    /// page is counted by the one who asks.
    pub(super) fn has_next(&self) -> Option<bool> {
        let Some(links) = &self.links else { return Some(false) };
        let links: Links = object(links)?;
        let next = links.pages.and_then(|Object(pages)| pages.next);
        Some(next.is_some_and(|next| !next.is_empty()))
    }

    /// What stands in the list.
    pub(super) fn entries(self) -> Option<Vec<&'a RawValue>> {
        entries(self.apps, self.links.is_some() || self.meta.is_some())
    }
}

/// An empty list may be left out, as all zero values; an answer without anything is no list.
fn entries(list: Option<Vec<&RawValue>>, is_page: bool) -> Option<Vec<&RawValue>> {
    list.or_else(|| is_page.then(Vec::new))
}

/// `GET /v2/apps/{id}/deployments`.
#[derive(Deserialize)]
pub(super) struct DeploymentsPage<'a> {
    #[serde(borrow)]
    deployments: Option<Vec<&'a RawValue>>,
    links: Option<IgnoredAny>,
    meta: Option<IgnoredAny>,
}

impl<'a> DeploymentsPage<'a> {
    /// What stands in the list.
    pub(super) fn entries(self) -> Option<Vec<&'a RawValue>> {
        entries(self.deployments, self.links.is_some() || self.meta.is_some())
    }
}

/// `GET /v2/apps/{id}`.
#[derive(Deserialize)]
pub(super) struct AppAnswer<'a> {
    #[serde(borrow)]
    pub(super) app: Object<App<'a>>,
}

/// A rollback's or a revert's new deployment.
#[derive(Deserialize)]
pub(super) struct DeploymentAnswer<'a> {
    #[serde(borrow)]
    pub(super) deployment: Object<Deployment<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Links {
    pages: Option<Object<Pages>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pages {
    next: Option<String>,
}

/// An app.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct App<'a> {
    #[serde(borrow, deserialize_with = "text")]
    id: Cow<'a, str>,
    #[serde(borrow)]
    active_deployment: Option<Object<Deployment<'a>>>,
    #[serde(borrow)]
    in_progress_deployment: Option<Object<Brief<'a>>>,
    #[serde(borrow)]
    pending_deployment: Option<Object<Brief<'a>>>,
    #[serde(borrow)]
    pinned_deployment: Option<Object<Brief<'a>>>,
    #[serde(borrow, deserialize_with = "text")]
    last_deployment_active_at: Cow<'a, str>,
}

impl App<'_> {
    /// The app's id and what rearguard sees of it; `None` without an id. `date_ms` is the platform's clock.
    pub(super) fn seen(self, date_ms: Option<i64>, specs: &mut Specs) -> Option<(PlatformAppId, AppView)> {
        if self.id.is_empty() {
            return None;
        }
        let live_since = self.live_since();
        let active = self.active_deployment.and_then(|Object(deployment)| deployment.seen(specs));
        let in_progress = [self.in_progress_deployment, self.pending_deployment]
            .into_iter()
            .flatten()
            .filter(|Object(deployment)| !is_terminal(phase(&deployment.phase)))
            .filter_map(|Object(deployment)| deployment.id())
            .find(|id| active.as_ref().is_none_or(|active| active.id != *id));
        let view = AppView {
            active_age_ms: live_since.zip(date_ms).map(|(since, now)| {
                // A negative age comes from the seconds of `Date`: it went live just now.
                u64::try_from(now.saturating_sub(since)).unwrap_or(0)
            }),
            pinned: self.pinned_deployment.and_then(|Object(deployment)| deployment.id()),
            in_progress,
            active,
            pushes: None,
            capabilities: CAPABILITIES,
            sleeps_after_ms: None,
        };
        Some((PlatformAppId::from(&*self.id), view))
    }

    /// When the live deployment went live. A deployment's `updated_at` moves long after that, so it is no source.
    ///
    /// None did before it was created and rolled out: a time from before that is of the deployment that was live before,
    /// read while the app was shown half changed. So is whatever is told of one that is not said to be active yet.
    fn live_since(&self) -> Option<i64> {
        let is_live = |active: &Deployment| active.id().is_some() && phase(&active.phase) == Phase::Active;
        let Object(active) = self.active_deployment.as_ref().filter(|Object(active)| is_live(active))?;
        let created = millis(&active.created_at);
        let rolled_out = active.rolled_out().map(|at| at - ROLLED_OUT_GRAIN_MS);
        let is_its_own = |at: &i64| *at >= created.max(rolled_out).unwrap_or(i64::MIN);
        let told = [&self.last_deployment_active_at, &active.phase_last_updated_at];
        told.into_iter().filter_map(|at| millis(at)).find(is_its_own)
    }
}

/// A deployment of which only this is needed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Brief<'a> {
    /// As in a whole one.
    id: Option<String>,
    #[serde(borrow, deserialize_with = "text")]
    phase: Cow<'a, str>,
}

impl Brief<'_> {
    fn id(&self) -> Option<DeploymentId> {
        self.id.as_deref().and_then(named)
    }
}

/// A deployment.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Deployment<'a> {
    /// Of a wrong type it makes the deployment unreadable: read as missing, a pin would be none.
    id: Option<String>,
    #[serde(borrow, deserialize_with = "text")]
    phase: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    phase_last_updated_at: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    created_at: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    cause: Cow<'a, str>,
    #[serde(deserialize_with = "detail")]
    cause_details: CauseDetails,
    #[serde(borrow, deserialize_with = "text")]
    cloned_from: Cow<'a, str>,
    #[serde(deserialize_with = "detail")]
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
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
}

impl Deployment<'_> {
    fn id(&self) -> Option<DeploymentId> {
        self.id.as_deref().and_then(named)
    }

    /// What rearguard sees of the deployment; `None` without an id.
    pub(super) fn seen(self, specs: &mut Specs) -> Option<observation::Deployment> {
        let id = self.id()?;
        let phase = phase(&self.phase);
        let digests = self.spec.map(|spec| specs.digests(spec.get())).unwrap_or_default();
        Some(observation::Deployment {
            id,
            phase,
            cause: self.cause_details.cause(),
            created_ms: millis(&self.created_at).unwrap_or(0),
            complete: phase == Phase::Active || self.progress.all_succeeded(),
            cloned_from: named(&self.cloned_from),
            took_ms: self.took_ms(),
            title: one_line(&self.cause, TITLE),
            artifact: Artifact {
                code: self.code(),
                spec: digests.whole,
                migrations: digests.migrations,
                ..Artifact::default()
            },
        })
    }

    /// When its last step ended, where all of them succeeded.
    fn rolled_out(&self) -> Option<i64> {
        let ended = self.progress.steps.iter().filter_map(|step| millis(&step.ended_at)).max();
        ended.filter(|_| self.progress.all_succeeded())
    }

    /// From its creation until it was rolled out.
    fn took_ms(&self) -> Option<u64> {
        u64::try_from(self.rolled_out()?.checked_sub(millis(&self.created_at)?)?).ok()
    }

    fn code(self) -> Vec<(String, String)> {
        let kinds = [self.services, self.static_sites, self.workers, self.jobs, self.functions];
        let code: Option<Vec<_>> = kinds.into_iter().flatten().map(Component::code).collect();
        // One component that may run anything, and nobody can say what the deployment runs.
        let mut code = code.unwrap_or_default();
        code.sort();
        code
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Component {
    #[serde(deserialize_with = "text")]
    name: String,
    #[serde(deserialize_with = "text")]
    source_commit_hash: String,
    /// Of components made from an image; seen in answers, in no description.
    #[serde(deserialize_with = "text")]
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
    #[serde(deserialize_with = "lenient")]
    steps: Vec<Step>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Step {
    #[serde(deserialize_with = "text")]
    ended_at: String,
}

impl Progress {
    fn all_succeeded(&self) -> bool {
        self.total_steps.0 > 0 && self.success_steps == self.total_steps && self.error_steps.0 == 0
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CauseDetails {
    #[serde(rename = "type", deserialize_with = "text")]
    kind: String,
    #[serde(deserialize_with = "detail")]
    digitalocean_user_action: UserAction,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UserAction {
    #[serde(deserialize_with = "text")]
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
            (_, "DEPLOY_ON_PUSH") => Cause::Push,
            _ => Cause::Release,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(json: &str) -> observation::Deployment {
        serde_json::from_str::<Deployment>(json).unwrap().seen(&mut Specs::default()).unwrap()
    }

    fn app(json: &str) -> AppView {
        // 2026-11-21T12:00:00Z
        serde_json::from_str::<App>(json)
            .unwrap()
            .seen(Some(1_795_262_400_000), &mut Specs::default())
            .unwrap()
            .1
    }

    #[test]
    fn a_cause_is_told_by_its_type_and_the_persons_action_never_by_its_text() {
        let table = [
            (r#"{}"#, Cause::Release),
            (r#"{"cause":"rollback"}"#, Cause::Release),
            (r#"{"cause_details":null}"#, Cause::Release),
            (r#"{"cause_details":"MANUAL_ROLLBACK"}"#, Cause::Release),
            (r#"{"cause_details":{"type":"SOMETHING_NEW"}}"#, Cause::Release),
            (r#"{"cause_details":{"type":"MANUAL"}}"#, Cause::Release),
            (r#"{"cause_details":{"type":"DEPLOY_ON_PUSH","git_push":7}}"#, Cause::Push),
            (r#"{"cause_details":{"digitalocean_user_action":{"name":"UPDATE_SPEC"}}}"#, Cause::Release),
            (
                r#"{"cause_details":{"digitalocean_user_action":{"name":"UPGRADE_BUILDPACK"}}}"#,
                Cause::Release,
            ),
            (r#"{"cause_details":{"type":"MANUAL_ROLLBACK"}}"#, Cause::Rollback),
            (r#"{"cause_details":{"type":"AUTO_ROLLBACK"}}"#, Cause::Rollback),
            (r#"{"cause_details":{"digitalocean_user_action":{"name":"ROLLBACK_APP"}}}"#, Cause::Rollback),
            (
                r#"{"cause_details":{"type":"MANUAL_ROLLBACK","digitalocean_user_action":{"name":"REVERT_APP_ROLLBACK"}}}"#,
                Cause::Revert,
            ),
            (
                r#"{"cause_details":{"type":"MANUAL","digitalocean_user_action":{"name":"RESTART"}}}"#,
                Cause::Restart,
            ),
            (r#"{"cause_details":{"type":"MAINTENANCE"}}"#, Cause::Platform),
            (r#"{"cause_details":{"type":"AUTOSCALED","autoscaler":{"autoscaled":true}}}"#, Cause::Platform),
            (r#"{"cause_details":{"type":"UPDATE_DATABASE_TRUSTED_SOURCES"}}"#, Cause::Platform),
            (
                r#"{"cause_details":{"digitalocean_user_action":{"name":"RESET_DATABASE_PASSWORD"}}}"#,
                Cause::Platform,
            ),
        ];
        for (json, cause) in table {
            let named = json.replacen('{', if json == "{}" { r#"{"id":"d""# } else { r#"{"id":"d","# }, 1);
            assert_eq!(deployment(&named).cause, cause, "{json}");
        }
    }

    #[test]
    fn phases_are_an_open_set() {
        let table = [
            ("PENDING_BUILD", Phase::InProgress),
            ("BUILDING", Phase::InProgress),
            ("PENDING_DEPLOY", Phase::InProgress),
            ("DEPLOYING", Phase::InProgress),
            ("ACTIVE", Phase::Active),
            ("SUPERSEDED", Phase::Superseded),
            ("ERROR", Phase::Error),
            ("CANCELED", Phase::Canceled),
            ("UNKNOWN", Phase::Unknown),
            ("HIBERNATED", Phase::Unknown),
            ("", Phase::Unknown),
        ];
        for (word, phase) in table {
            assert_eq!(deployment(&format!(r#"{{"id":"d","phase":"{word}"}}"#)).phase, phase);
        }
        for odd in [r#"{"id":"d"}"#, r#"{"id":"d","phase":null}"#, r#"{"id":"d","phase":5}"#] {
            assert_eq!(deployment(odd).phase, Phase::Unknown);
        }
    }

    #[test]
    fn a_deployment_is_complete_when_all_its_steps_succeeded() {
        let table = [
            (r#""phase":"ACTIVE""#, true),
            (r#""phase":"ACTIVE","progress":{"total_steps":6}"#, true),
            (r#""phase":"SUPERSEDED""#, false),
            (r#""phase":"SUPERSEDED","progress":{}"#, false),
            (r#""phase":"SUPERSEDED","progress":{"total_steps":6,"success_steps":6}"#, true),
            (
                r#""phase":"SUPERSEDED","progress":{"total_steps":"6","success_steps":6,"error_steps":null}"#,
                true,
            ),
            (r#""phase":"SUPERSEDED","progress":{"total_steps":6,"success_steps":6,"error_steps":1}"#, false),
            (r#""phase":"SUPERSEDED","progress":{"total_steps":6,"success_steps":5}"#, false),
            (r#""phase":"SUPERSEDED","progress":{"total_steps":"x","success_steps":"x"}"#, false),
            (r#""phase":"SUPERSEDED","progress":[6,6,0]"#, false),
            (r#""phase":"CANCELED","progress":{"total_steps":10,"success_steps":2}"#, false),
        ];
        for (json, complete) in table {
            assert_eq!(deployment(&format!(r#"{{"id":"d",{json}}}"#)).complete, complete, "{json}");
        }
    }

    #[test]
    fn a_deployment_took_until_the_end_of_its_last_step() {
        let took = |json: &str| {
            let created = r#""id":"d","created_at":"2026-11-21T12:00:00Z""#;
            deployment(&format!("{{{created},{json}}}")).took_ms
        };
        let steps =
            r#""steps":[{"ended_at":"2026-11-21T12:01:40.5Z"},{"ended_at":"2026-11-21T12:00:10Z"},7]"#;
        let done = r#""total_steps":2,"success_steps":2"#;
        assert_eq!(took(&format!(r#""progress":{{{done},{}}}"#, steps.replace(",7", ""))), Some(100_500));
        assert_eq!(
            took(&format!(r#""progress":{{{done},{steps}}}"#)),
            None,
            "a list with something odd says nothing"
        );
        assert_eq!(took(&format!(r#""progress":{{"total_steps":2,{}}}"#, steps.replace(",7", ""))), None);
        assert_eq!(took(&format!(r#""progress":{{{done}}}"#)), None);
        assert_eq!(
            took(&format!(r#""progress":{{{done},"steps":[{{"ended_at":"2026-11-21T11:00:00Z"}}]}}"#)),
            None
        );
    }

    #[test]
    fn the_code_of_a_deployment_is_its_components_with_a_hash_in_order() {
        let seen = deployment(
            r#"{"id":"d","cloned_from":"","workers":[{"name":"z","source_commit_hash":"c2"},"odd"],
                "services":[{"name":"web","source_commit_hash":"c1","buildpacks":[]}],
                "static_sites":null,"jobs":[{"name":"a","source_image_digest":"sha256:d"}],
                "functions":[{"name":"f","source_commit_hash":"c3","namespace":"n"}],
                "spec":{"name":"app","jobs":[{"name":"a","kind":"PRE_DEPLOY"}]}}"#,
        );
        let code = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect()
        };
        // The list with a wrong element reads as missing; the others stand.
        assert_eq!(seen.artifact.code, code(&[("a", "sha256:d"), ("f", "c3"), ("web", "c1")]));
        assert_eq!((seen.artifact.spec.len(), seen.artifact.migrations.len()), (64, 64));
        assert_eq!(seen.cloned_from, None);
        let unsure = deployment(
            r#"{"id":"d","services":[{"name":"web","source_commit_hash":"c1"},{"name":"no-hash"}]}"#,
        );
        assert_eq!(unsure.artifact.code, []);
        let bare = deployment(r#"{"id":"d","cloned_from":"c","spec":null}"#);
        assert_eq!((bare.artifact, bare.cloned_from), (Artifact::default(), Some("c".into())));
    }

    #[test]
    fn the_age_of_the_live_deployment_is_counted_on_the_platforms_clock() {
        let age = |json: &str| app(&format!(r#"{{"id":"a",{json}}}"#)).active_age_ms;
        let live = r#""active_deployment":{"id":"d","phase":"ACTIVE","phase_last_updated_at":"2026-11-21T11:59:00Z"}"#;
        assert_eq!(age(live), Some(60_000));
        let at = |since: &str| age(&format!(r#"{live},"last_deployment_active_at":"{since}""#));
        assert_eq!(at("2026-11-21T11:59:50Z"), Some(10_000));
        assert_eq!(at("2026-11-21T12:00:00.9Z"), Some(0));
        assert_eq!(at("0001-01-01T00:00:00Z"), Some(60_000));
        assert_eq!(age(&live.replace("ACTIVE", "ERROR")), None);
        assert_eq!(age(r#""last_deployment_active_at":"2026-11-21T11:59:50Z""#), None, "nothing is live");
        let undated = format!(r#"{{"id":"a",{live}}}"#);
        let undated = serde_json::from_str::<App>(&undated).unwrap();
        assert_eq!(undated.seen(None, &mut Specs::default()).unwrap().1.active_age_ms, None);
    }

    #[test]
    fn a_time_from_before_the_live_deployment_was_created_is_of_the_one_before() {
        let age = |created: &str, told: &str, entered: &str| {
            let active = format!(
                r#"{{"id":"d","phase":"ACTIVE","created_at":"{created}","phase_last_updated_at":"{entered}"}}"#
            );
            let live = format!(r#""active_deployment":{active},"last_deployment_active_at":"{told}""#);
            app(&format!(r#"{{"id":"a",{live}}}"#)).active_age_ms
        };
        let (created, went_live, before) =
            ("2026-11-21T11:58:00Z", "2026-11-21T11:59:00Z", "2026-11-20T09:00:00Z");
        assert_eq!(age(created, went_live, went_live), Some(60_000));
        assert_eq!(age(created, before, went_live), Some(60_000), "its own phase says when");
        assert_eq!(age(created, before, before), None, "nothing says when");
        assert_eq!(age(created, created, went_live), Some(120_000), "within the same second");
        assert_eq!(age("", before, went_live), Some(97_200_000), "nobody knows when it was created");
    }

    #[test]
    fn a_time_from_before_the_live_deployment_was_rolled_out_is_of_the_one_before() {
        let age = |phase: &str, ended: &str, told: &str, entered: &str| {
            let progress = format!(
                r#"{{"total_steps":1,"success_steps":1,"steps":[{{"status":"SUCCESS","ended_at":"{ended}"}}]}}"#
            );
            let active = format!(
                r#"{{"id":"d","phase":"{phase}","created_at":"2026-11-21T11:50:00Z","progress":{progress},
                    "phase_last_updated_at":"{entered}"}}"#
            );
            let live = format!(r#""active_deployment":{active},"last_deployment_active_at":"{told}""#);
            app(&format!(r#"{{"id":"a",{live}}}"#)).active_age_ms
        };
        let (ended, before) = ("2026-11-21T11:59:00.75Z", "2026-11-21T11:55:00Z");
        assert_eq!(age("ACTIVE", ended, "2026-11-21T11:59:01Z", before), Some(59_000));
        assert_eq!(age("ACTIVE", ended, before, "2026-11-21T11:59:00Z"), Some(60_000), "in whole seconds");
        assert_eq!(age("ACTIVE", ended, "2026-11-21T11:58:57Z", before), None);
        assert_eq!(age("ACTIVE", ended, before, before), None, "nothing says when");
        assert_eq!(age("ACTIVE", "0001-01-01T00:00:00Z", before, before), Some(300_000), "no step says when");
        assert_eq!(age("DEPLOYING", ended, ended, ended), None, "it is shown half changed");
    }

    #[test]
    fn what_is_under_way_is_neither_finished_nor_the_live_one() {
        let under_way = |json: &str| {
            app(&format!(r#"{{"id":"a","active_deployment":{{"id":"live"}},{json}}}"#)).in_progress
        };
        let table = [
            (r#""in_progress_deployment":null"#, None),
            (r#""in_progress_deployment":{}"#, None),
            (r#""in_progress_deployment":{"id":"n","phase":"BUILDING"}"#, Some("n")),
            (r#""in_progress_deployment":{"id":"n"}"#, Some("n")),
            (r#""in_progress_deployment":{"id":"n","phase":"ERROR"}"#, None),
            (r#""in_progress_deployment":{"id":"live","phase":"DEPLOYING"}"#, None),
            (r#""pending_deployment":{"id":"p","phase":"PENDING_BUILD"}"#, Some("p")),
            (r#""pending_deployment":{"id":"p","phase":"SUPERSEDED"}"#, None),
            (
                r#""in_progress_deployment":{"id":"n","phase":"CANCELED"},"pending_deployment":{"id":"p"}"#,
                Some("p"),
            ),
        ];
        for (json, expected) in table {
            assert_eq!(under_way(json), expected.map(DeploymentId::from), "{json}");
        }
    }

    #[test]
    fn a_pin_or_a_busy_deployment_of_a_wrong_type_is_not_read_as_none() {
        for field in ["active", "in_progress", "pending", "pinned"] {
            for odd in ["7", "\"x\"", "[]", "true", r#"{"id":7}"#, r#"{"id":["x"]}"#, r#"{"id":"\ud800"}"#] {
                let json = format!(r#"{{"id":"a","{field}_deployment":{odd}}}"#);
                assert!(serde_json::from_str::<App>(&json).is_err(), "{json}");
            }
        }
        assert!(
            serde_json::from_str::<App>(r#"{"name":"x"}"#)
                .unwrap()
                .seen(None, &mut Specs::default())
                .is_none()
        );
    }

    #[test]
    fn a_title_is_one_short_line() {
        let seen = deployment(&format!(r#"{{"id":"d","cause":"a\nb\u001b{}"}}"#, "x".repeat(500)));
        assert!(seen.title.starts_with("a bx") && seen.title.chars().count() == 120, "{}", seen.title);
    }
}
