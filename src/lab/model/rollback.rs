//! Rollback, its validation, commit and revert: App Platform's own verbs.

use std::sync::Arc;

use super::{Model, Refusal, Written};
use crate::lab::app::{App, Cause, Deployment, Phase, Who};
use crate::lab::unknowns::{Allowed, Busy, Pin, RevertTo};

/// A condition of a validation [OAS: `app_rollback_validation_condition.yml`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) components: Vec<&'static str>,
}

/// What validate says. An invalid rollback is still a 200 [OAS: examples].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Validation {
    pub(crate) error: Option<Condition>,
    pub(crate) warnings: Vec<Condition>,
}

fn condition(code: &'static str, message: impl Into<String>) -> Condition {
    Condition { code, message: message.into(), components: Vec::new() }
}

impl Model {
    /// Whether a rollback to `target` would be accepted. Changes nothing. 404 for an unknown deployment.
    pub(crate) fn validate(&self, place: usize, target: &str) -> Result<Validation, Refusal> {
        let app = &self.apps[place];
        let target =
            app.place_of(target).map(|target| &app.deployments[target]).ok_or_else(|| not_found(target))?;
        let error = app_pinned(app)
            .or_else(|| unsuitable(target))
            .or_else(|| self.too_old(app, target))
            .or_else(|| conflict(app, target));
        Ok(Validation { error, warnings: warnings(target) })
    }

    /// Makes the rollback deployment and pins the app to it [OAS: "A new deployment will be created to perform
    /// the rollback. The app will be pinned to the rollback deployment"]. With `skip_pin` it is committed at once.
    pub(super) fn roll_back(
        &mut self,
        now: i64,
        place: usize,
        who: Who,
        target: &str,
        skip_pin: bool,
    ) -> Written {
        if let Some(error) = self.validate(place, target)?.error {
            let allowed = match error.code {
                "app_pinned" => self.unknowns.create_when_pinned,
                _ => self.unknowns.create_when_invalid,
            };
            if allowed == Allowed::Refuses {
                return Err(self.refusal(&error.message));
            }
        }
        let app = &self.apps[place];
        match (app.in_progress, self.unknowns.create_when_busy) {
            (Some(_), Busy::Refuses) => return Err(self.refusal("a deployment is in progress")),
            (Some(busy), Busy::Cancels) => {
                let waiting = self.apps[place].pending();
                for which in waiting.into_iter().chain([busy]) {
                    self.end(now, place, which, Phase::Canceled);
                }
            }
            (Some(_), Busy::Queues) | (None, _) => {}
        }
        let app = &self.apps[place];
        let from = app.place_of(target).ok_or_else(|| not_found(target))?;
        let release = Arc::clone(&app.deployments[from].release);
        let cause = Cause::Rollback { target: target.to_owned() };
        let made = self.make(now, place, Arc::clone(&release), cause, who);
        let id = self.enqueue(now, place, made);
        if skip_pin {
            self.apps[place].spec = release;
        } else {
            self.apps[place].pinned = Some(made);
        }
        Ok(Some(id))
    }

    /// "Permanently applies the rollback and unpins the app" \[OAS\]. The spec becomes the target's and no
    /// deployment is made \[inferred\].
    pub(super) fn commit(&mut self, now: i64, place: usize) -> Written {
        let Some(pinned) = self.apps[place].pinned else {
            return match self.unknowns.commit_when_unpinned {
                Allowed::Accepts => Ok(None),
                Allowed::Refuses => Err(self.refusal("the app is not pinned")),
            };
        };
        self.settled_enough(place, pinned)?;
        let app = &mut self.apps[place];
        app.spec = Arc::clone(&app.deployments[pinned].release);
        app.pinned = None;
        self.release_waiting(now, place);
        Ok(None)
    }

    /// "Reverts the active rollback by creating a new deployment from the latest app spec prior to the rollback
    /// and unpins the app" \[OAS\].
    pub(super) fn revert(&mut self, now: i64, place: usize, who: Who) -> Written {
        match self.apps[place].pinned {
            Some(pinned) => self.settled_enough(place, pinned)?,
            None if self.unknowns.revert_when_unpinned == Allowed::Refuses => {
                return Err(self.refusal("the app is not pinned"));
            }
            None => {}
        }
        let app = &mut self.apps[place];
        app.pinned = None;
        let release = match self.unknowns.revert_to {
            RevertTo::SameBuild => Arc::clone(&app.spec),
            RevertTo::BranchHead => Arc::clone(&app.head),
        };
        app.spec = Arc::clone(&release);
        let made = self.make(now, place, release, Cause::Revert, who);
        let id = self.enqueue(now, place, made);
        self.release_waiting(now, place);
        Ok(Some(id))
    }

    /// The platform goes back by itself [godo: "an automatic rollback deployment created as a result of a
    /// previous deployment failing"]. It pins nothing \[inferred\].
    pub(super) fn auto_rollback(&mut self, now: i64, place: usize, target: &str) -> Written {
        let app = &self.apps[place];
        let from = app.place_of(target).ok_or_else(|| not_found(target))?;
        if app.pinned.is_some() && self.unknowns.platform_while_pinned == Allowed::Refuses {
            return Err(self.refusal("the app is pinned by a rollback"));
        }
        let release = Arc::clone(&app.deployments[from].release);
        let cause = Cause::AutoRollback { target: target.to_owned() };
        let made = self.make(now, place, release, cause, Who::Platform);
        Ok(Some(self.enqueue(now, place, made)))
    }

    /// The pin of a rollback that failed [unknown: switch].
    pub(super) fn unpin_failed(&mut self, place: usize, failed: usize) {
        if self.apps[place].pinned == Some(failed) && self.unknowns.pin_after_failure == Pin::Released {
            self.apps[place].pinned = None;
        }
    }

    fn settled_enough(&self, place: usize, pinned: usize) -> Result<(), Refusal> {
        let terminal = self.apps[place].deployments[pinned].phase.is_terminal();
        if terminal || self.unknowns.settle_before_terminal == Allowed::Accepts {
            Ok(())
        } else {
            Err(self.refusal("the rollback deployment is still in progress"))
        }
    }

    /// The push that waited for the pin to go, if any is kept.
    fn release_waiting(&mut self, now: i64, place: usize) {
        if let Some((release, who)) = self.apps[place].waiting_push.take() {
            self.apps[place].spec = Arc::clone(&release);
            let made = self.make(now, place, release, Cause::Push, who);
            self.enqueue(now, place, made);
        }
    }

    /// [docs: "the ten most recent successful deployments"; OAS: per tier]. The live one counts \[inferred\].
    fn too_old(&self, app: &App, target: &Deployment) -> Option<Condition> {
        let limit = self.revision_limit;
        let recent = app.deployments.iter().rev().filter(|d| d.was_live()).take(limit);
        (!recent.into_iter().any(|d| d.id == target.id)).then(|| {
            let message = format!(
                "the deployment is past the maximum historical revision limit of {limit} for the \"basic\" app tier"
            );
            condition("exceeded_revision_limit", message)
        })
    }
}

fn not_found(target: &str) -> Refusal {
    Refusal::new(404, format!("deployment {target} does not exist"))
}

fn app_pinned(app: &App) -> Option<Condition> {
    app.pinned
        .map(|_| condition("app_pinned", "there is already a rollback in progress and the app is pinned"))
}

/// Not ended: a phase in which one cannot roll back to it. Ended otherwise than live: a result with which one
/// cannot [inferred from the two codes and the example `deployment result "failed" is unsuitable for rollback`].
fn unsuitable(target: &Deployment) -> Option<Condition> {
    let result = match target.phase {
        Phase::Error => "failed",
        Phase::Canceled => "canceled",
        Phase::Superseded if !target.was_live() => "superseded",
        Phase::Active | Phase::Superseded => return None,
        Phase::PendingBuild | Phase::Building | Phase::PendingDeploy | Phase::Deploying => {
            let message =
                format!("deployment phase \"{}\" is unsuitable for rollback", target.phase.as_str());
            return Some(condition("incompatible_phase", message));
        }
    };
    let message = format!("deployment result \"{result}\" is unsuitable for rollback");
    Some(condition("incompatible_result", message))
}

/// [docs: "the deployment must be in the same region as the app and must have the same database resources and
/// configuration"]
fn conflict(app: &App, target: &Deployment) -> Option<Condition> {
    if target.release.database != app.spec.database {
        let message = "the deployment's database config is different than the current config";
        return Some(condition("database_config_conflict", message));
    }
    (target.region != app.region)
        .then(|| condition("region_conflict", "the deployment's region differs from the current app region"))
}

fn warnings(target: &Deployment) -> Vec<Condition> {
    let mut warnings = Vec::new();
    if target.release.static_site {
        let message = "at least one static site will require a rebuild";
        let about = condition("static_site_requires_rebuild", message);
        warnings.push(Condition { components: vec!["site"], ..about });
    }
    if target.release.image.as_ref().is_some_and(|image| image.digest.is_none()) {
        let message = "at least one component with an image source is missing a digest: \
                       it is not guaranteed to roll back to the old version";
        let about = condition("image_source_missing_digest", message);
        warnings.push(Condition { components: vec!["web"], ..about });
    }
    warnings
}
