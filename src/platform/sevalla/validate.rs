//! The dry run that the platform does not have, made of reads.
//!
//! What speaks against this rollback is an error, the gravest one is named. That it cannot be told what would run is a
//! warning. What is so for the app whatever it goes back to is advice: said, and no reason to leave a bad release live.

use serde::Deserialize;

use super::super::http::{ANSWER_LIMIT, Ask, Method, Want};
use super::super::json::{lenient, millis, parse};
use super::super::{Answered, Goal, PlatformError, operation};
use super::image::Address;
use super::nature::{Kind, Sleep};
use super::wire::{self, History};
use super::{Sevalla, without_deployments};
use crate::decision::capability::{Capabilities, PinKind, Support, Targeting};
use crate::decision::effect::{Condition, Validation};
use crate::decision::observation::{Artifact, Deployment};
use crate::decision::target::platforms_choice;
use crate::ids::PlatformAppId;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// A key that expires this soon is to be said: in time for somebody who is on leave.
const KEY_EXPIRES_MS: i64 = 14 * DAY_MS;
/// How long images are kept is not documented; a month is a long time for one that nobody runs.
const TARGET_AGE_MS: i64 = 30 * DAY_MS;

/// What was read.
struct Facts<'a> {
    app: &'a wire::App,
    can: Capabilities,
    history: &'a History,
    /// Whoever has its address can deploy.
    has_hook: bool,
    key_expires_ms: Option<i64>,
}

impl Sevalla {
    pub(super) async fn validate(
        &self,
        app: &PlatformAppId,
        kind: Kind,
        goal: Goal<'_>,
    ) -> Result<Answered<Validation>, PlatformError> {
        let (detail, history, has_hook, key_expires_ms) = tokio::join!(
            self.detail(app, kind),
            self.history(app, kind),
            self.has_hook(app, kind),
            self.key_expires_ms()
        );
        let Answered { value: detail, status, request_id } = detail?;
        let history = &history.map_err(without_deployments)?.value;
        let nature = self.learn(app, kind, &detail);
        let can = Capabilities { pin: detail.pushes(nature).1, ..nature.capabilities() };
        let facts = Facts { app: &detail, can, history, has_hook, key_expires_ms };
        Ok(Answered { value: facts.validation(goal), status, request_id })
    }

    /// Whether there is a deployment hook, as far as that can be told. Its address is a secret: the body is not read.
    async fn has_hook(&self, app: &PlatformAppId, kind: Kind) -> bool {
        if kind == Kind::StaticSite {
            return false;
        }
        let path = [kind.collection(), app.as_str(), "deployment-hook"];
        self.http.call(asking(&path, Want::Status), |_| Ok(())).await.is_ok()
    }

    /// When our key expires, where that can be told. The newer of the two calls is not in every description.
    async fn key_expires_ms(&self) -> Option<i64> {
        let read = async |name| {
            let path = ["api-keys", name];
            self.http
                .call(asking(&path, Want::Body(ANSWER_LIMIT)), |reply| parse::<Key>(reply))
                .await
                .map(|answered| answered.value)
        };
        let key = match read("me").await {
            Err(PlatformError::NotFound | PlatformError::Refused { .. }) => read("validate").await,
            key => key,
        };
        millis(&key.ok()?.expires_at)
    }
}

fn asking<'a>(path: &'a [&'a str], want: Want) -> Ask<'a> {
    Ask { operation: operation::VALIDATE_ROLLBACK, method: Method::Get, path, query: &[], want }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Key {
    #[serde(deserialize_with = "lenient")]
    expires_at: String,
}

impl Facts<'_> {
    fn validation(&self, goal: Goal<'_>) -> Validation {
        let error = self.error(goal);
        Validation {
            valid: error.is_none(),
            error,
            warnings: self
                .unknown(goal)
                .into_iter()
                .chain(self.moved(goal))
                .chain(self.advice(goal))
                .collect(),
            by: Support::Emulated,
        }
    }

    fn entry(&self, goal: Goal<'_>) -> Option<&Deployment> {
        self.history.deployments.iter().find(|entry| entry.id == *goal.target)
    }

    /// What the platform would go back to, where it is the one who picks.
    fn picked(&self) -> Option<Option<&Deployment>> {
        let live = self.history.live().filter(|_| self.can.targeting == Targeting::PlatformPicks)?;
        Some(platforms_choice(live, &self.history.deployments))
    }

    /// The gravest first: each one makes those after it moot.
    fn error(&self, goal: Goal<'_>) -> Option<Condition> {
        let live = self.history.live();
        let says = |code, message| Some(condition(code, message));
        if self.app.is_suspended {
            return says("app_suspended", "the app is suspended: nothing of it runs, whatever is deployed");
        }
        if matches!(self.app.status.as_str(), "deleting" | "appDeletionFailed" | "deletionFailed") {
            return says("app_deleting", "the app is being deleted");
        }
        let Some(live) = live.filter(|live| live.id == *goal.accused) else {
            return says("not_live", "the deployment to roll back from is not the live one any more");
        };
        let target = self.entry(goal);
        let runs_the_same = |entry: &Deployment| entry.artifact.same_as(&live.artifact);
        match self.picked() {
            Some(None) => {
                let message =
                    "no deployment before the live one succeeded, so there is nothing to go back to";
                return says("no_previous_success", message);
            }
            _ if target.is_some_and(runs_the_same) => {
                let message = "the target runs what is live now: a rollback would change nothing";
                return says("same_artifact", message);
            }
            Some(Some(picked)) if picked.id != *goal.target => {
                let is_as_good = target.is_some_and(|target| picked.artifact.same_as(&target.artifact));
                if !is_as_good {
                    let message =
                        "the platform chooses what it goes back to, and would choose another deployment";
                    return says("platform_picks_other", message);
                }
            }
            _ => {}
        }
        self.history.in_progress()?;
        says("deployment_in_progress", "another deployment is waiting or under way")
    }

    /// Where the target is not named by its id, what came of the rollback is told by what it runs.
    fn unknown(&self, goal: Goal<'_>) -> Option<Condition> {
        let live = self.history.live()?;
        let nothing = Artifact::default();
        let target = self.entry(goal).map_or(&nothing, |target| &target.artifact);
        let can_be_told = live.artifact.same_as(target) || live.artifact.differs_from(target);
        let message = "the platform does not say what the live deployment and the target run, so nobody can tell \
                       afterwards whether it went back to the right one";
        (self.can.targeting.is_checked() && !can_be_told).then(|| condition("artifact_unknown", message))
    }

    /// An image without a digest is what its tag means when it is deployed, and no answer shows that it is another one. A
    /// tag is advice and refuses nothing: most are made for one build and never moved, and to leave a bad release live
    /// for all of them would leave them unguarded. `latest` is moved by every build, so there it is a warning.
    fn moved(&self, goal: Goal<'_>) -> Option<Condition> {
        let listed = self.entry(goal).map_or(goal.code, |target| &target.artifact.code);
        let image = wire::image_of(listed).filter(|_| self.can.targeting == Targeting::ByCode)?;
        let (message, is_advice) = match Address::of(image) {
            Address::Digest => return None,
            Address::Tag => {
                let message = "the target's image is named by a tag and not by a digest: if the tag was moved since, \
                               another image comes back, and nobody can tell";
                (message, true)
            }
            Address::Newest => {
                let message = "the target's image has the tag latest, or none: what comes back is the newest build and \
                               not what ran then";
                (message, false)
            }
        };
        Some(Condition { is_advice, ..condition("image_source_missing_digest", message) })
    }

    fn advice(&self, goal: Goal<'_>) -> Vec<Condition> {
        let now = self.history.date_ms;
        let days = |ms: i64| ms.div_euclid(DAY_MS);
        let expires_in = self.key_expires_ms.zip(now).map(|(at, now)| at.saturating_sub(now));
        let created = self.entry(goal).map(|target| target.created_ms).filter(|created| *created != 0);
        let target_age = created.zip(now).map(|(created, now)| now.saturating_sub(created));
        let settings = "what comes back is the code: environment variables, processes and domains stay as they are now, \
                        so what a changed setting broke it does not heal";
        let said = [
            Some(condition("settings_stay", settings)),
            (self.can.pin != PinKind::Soft).then(|| {
                let message = "automatic deployment cannot be paused for this app, so a push or a colleague may \
                               deploy over the rollback";
                condition("auto_deploy_not_pausable", message)
            }),
            self.has_hook.then(|| {
                let message = "a deployment hook is enabled: whoever calls it deploys over the rollback";
                condition("deploy_hook_enabled", message)
            }),
            matches!(self.app.sleep(), Some(Sleep::AfterIdle(_))).then(|| {
                let message = "the app hibernates when it is idle, so a first slow or failed answer says little";
                condition("hibernation_enabled", message)
            }),
            expires_in.filter(|left| *left < KEY_EXPIRES_MS).map(|left| {
                let message = match left {
                    ..=0 => "the API key has expired".to_owned(),
                    left => format!("the API key expires within {} days", days(left) + 1),
                };
                condition("key_expires_soon", &message)
            }),
            target_age.filter(|age| *age > TARGET_AGE_MS).map(|age| {
                let age = days(age);
                let message =
                    format!("the target is {age} days old: the platform may not have its image any more");
                condition("target_age", &message)
            }),
        ];
        said.into_iter().flatten().map(|said| Condition { is_advice: true, ..said }).collect()
    }
}

fn condition(code: &str, message: &str) -> Condition {
    Condition { code: code.to_owned(), message: message.to_owned(), is_advice: false }
}
