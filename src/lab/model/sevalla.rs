//! Sevalla's verbs, where they differ from App Platform's: nothing pins an app, the platform picks what a rollback
//! goes back to, and pushes can be told not to deploy. A rollback takes the build and nothing else with it
//! \[inferred\]; environment and settings are not part of the model.

use std::sync::Arc;

use super::{Model, Refusal, Write, Written, no_such_thing};
use crate::lab::app::{App, Cause, Who};
use crate::lab::kind::{AppKind, Source};
use crate::lab::release::Release;
use crate::lab::unknowns::{Allowed, RollbackRule};

impl Model {
    pub(super) fn on_sevalla(&mut self, now: i64, place: usize, who: Who, write: Write) -> Written {
        match write {
            Write::Push(release) => self.push(now, place, who, release),
            Write::Deploy => self.deploy(now, place, who),
            Write::Cancel { deployment } => self.cancel(now, place, deployment),
            Write::Restart => self.same_again(now, place, Cause::Restart, who, Allowed::Accepts),
            Write::PickedRollback => {
                let target = self.pick(place)?;
                let cause = Cause::Rollback { target: self.apps[place].deployments[target].id.clone() };
                Ok(Some(self.reuse(now, place, target, cause, who)))
            }
            Write::Rollback { target, .. } => {
                let from = self.named(place, &target)?;
                Ok(Some(self.reuse(now, place, from, Cause::Rollback { target }, who)))
            }
            Write::Redeploy { image } => {
                let from = self.of_image(place, &image)?;
                let target = self.apps[place].deployments[from].id.clone();
                Ok(Some(self.again(now, place, from, Cause::Redeploy { target }, who)))
            }
            Write::SetAutoDeploy { on } => {
                self.set_auto_deploy(place, on);
                Ok(None)
            }
            Write::Commit
            | Write::Revert
            | Write::Maintenance
            | Write::Autoscale
            | Write::AutoRollback { .. } => Err(no_such_thing()),
        }
    }

    /// The rollback, and what it makes of pushes [not documented: switch].
    fn reuse(&mut self, now: i64, place: usize, from: usize, cause: Cause, who: Who) -> String {
        let made = self.again(now, place, from, cause, who);
        if let Some(on) = self.unknowns.rollback_sets_auto_deploy
            && self.apps[place].kind.source().is_some_and(Source::hears_pushes)
        {
            self.set_auto_deploy(place, on);
        }
        made
    }

    fn set_auto_deploy(&mut self, place: usize, on: bool) {
        if let AppKind::Sevalla { auto_deploy, .. } = &mut self.apps[place].kind {
            *auto_deploy = Some(on);
        }
    }

    /// A new row that takes over the build of an earlier one.
    fn again(&mut self, now: i64, place: usize, from: usize, cause: Cause, who: Who) -> String {
        let release = Arc::clone(&self.apps[place].deployments[from].release);
        let made = self.make(now, place, release, cause, who);
        self.enqueue(now, place, made)
    }

    /// What a rollback goes back to [docs: "the most recent successful deployment" and "the build artifact from the
    /// previous successful deployment", which are two things: switch]. What waits or runs does not count.
    fn pick(&self, place: usize) -> Result<usize, Refusal> {
        let nothing = || {
            Refusal::new(
                self.unknowns.nothing_to_roll_back,
                "there is no successful deployment to roll back to",
            )
        };
        let app = &self.apps[place];
        let live = app.active.ok_or_else(nothing)?;
        let older = |wanted: &dyn Fn(&Release) -> bool| {
            (0..live).rev().find(|row| {
                let row = &app.deployments[*row];
                row.was_live() && wanted(&row.release)
            })
        };
        let image = |release: &Release| release.image_url(&app.name);
        let picked = match self.unknowns.rollback_rule {
            RollbackRule::LatestSuccess => Some(live),
            RollbackRule::PreviousRow => older(&|_| true),
            RollbackRule::PreviousDistinct => {
                let now = image(&app.deployments[live].release);
                older(&|release| image(release) != now)
            }
        };
        picked.ok_or_else(nothing)
    }

    /// A target by its id: 404 where there is none, 400 where it never served \[inferred\].
    fn named(&self, place: usize, id: &str) -> Result<usize, Refusal> {
        let app = &self.apps[place];
        let found = app.place_of(id).ok_or_else(|| Refusal::new(404, "deployment not found"))?;
        if app.deployments[found].was_live() {
            Ok(found)
        } else {
            Err(Refusal::new(400, "the deployment was not successful"))
        }
    }

    /// The newest deployment of an image that served. The lab's registry has no others.
    fn of_image(&self, place: usize, image: &str) -> Result<usize, Refusal> {
        let app = &self.apps[place];
        let is_it = |app: &App, row: usize| {
            let row = &app.deployments[row];
            row.was_live() && row.release.image_url(&app.name) == image
        };
        if app.kind.source() != Some(Source::DockerImage) {
            return Err(Refusal::new(400, "docker_image is for applications made from an image"));
        }
        let found = (0..app.deployments.len()).rev().find(|row| is_it(app, *row));
        found.ok_or_else(|| Refusal::new(400, "the image could not be found"))
    }
}

#[cfg(test)]
mod tests;
