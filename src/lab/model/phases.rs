//! How a deployment moves: from its creation through its phases to its end, one at a time in each app.

use std::sync::Arc;

use super::Model;
use crate::lab::app::{Cause, Deployment, Phase, Rendered, Who, uuid};
use crate::lab::kind::AppKind;
use crate::lab::release::{Fate, Release};
use crate::lab::unknowns::{Replaced, RevertTo};

impl Model {
    /// A deployment that has been created and waits for its turn.
    pub(super) fn make(
        &mut self,
        now: i64,
        place: usize,
        release: Arc<Release>,
        cause: Cause,
        who: Who,
    ) -> usize {
        let (durations, app) = (self.durations, &mut self.apps[place]);
        let builds = match cause {
            Cause::Push | Cause::Manual => true,
            Cause::Revert => self.unknowns.revert_to == RevertTo::BranchHead,
            _ => false,
        };
        let build = builds.then(|| (release.build_ms.unwrap_or(durations.build_ms), release.build));
        let rollout = match cause {
            Cause::Rollback { .. } | Cause::Redeploy { .. } => (durations.rollback_ms, app.rollback_fate),
            _ if builds => (release.deploy_ms.unwrap_or(durations.deploy_ms), release.rollout),
            _ => (durations.rollback_ms, Fate::Works),
        };
        // No two are made in the same moment.
        let created_ms = app.deployments.last().map_or(now, |last| now.max(last.created_ms + 1));
        app.deployments.push(Deployment {
            id: uuid(self.seed, &app.name, app.deployments.len() + 1),
            release,
            cause,
            who,
            phase: Phase::PendingBuild,
            created_ms,
            updated_ms: created_ms,
            started_ms: None,
            live_ms: None,
            previous: app.id_at(app.active),
            region: app.region.clone(),
            steps_done: 0,
            build,
            rollout,
            rendered: None,
        });
        app.deployments.len() - 1
    }

    /// Starts a deployment, or lets it wait: one is in progress at a time. On App Platform it waits in the place of
    /// the one that waited before, and only the newest is ever built [inferred: `pending_deployment` is one]; on
    /// Sevalla each has its turn \[inferred\].
    pub(super) fn enqueue(&mut self, now: i64, place: usize, made: usize) -> String {
        let id = self.apps[place].deployments[made].id.clone();
        if self.apps[place].in_progress.is_none() {
            self.start(now, place, made);
            return id;
        }
        let app = &mut self.apps[place];
        let replaced = if app.kind == AppKind::DigitalOcean { app.queue.pop_front() } else { None };
        app.queue.push_back(made);
        if let Some(waited) = replaced {
            let last = match self.unknowns.pending_replaced {
                Replaced::Superseded => Phase::Superseded,
                Replaced::Canceled => Phase::Canceled,
            };
            self.apps[place].deployments[waited].enter(last, now);
            self.unpin_failed(place, waited);
        }
        id
    }

    fn start(&mut self, now: i64, place: usize, which: usize) {
        self.apps[place].in_progress = Some(which);
        self.schedule_from(now, place);
    }

    /// The deployment in progress takes its next step.
    pub(super) fn step(&mut self, at: i64, place: usize) {
        let Some(which) = self.apps[place].in_progress else { return };
        let Some((_, next)) = self.ahead(place, which) else { return };
        self.apps[place].rendered = Rendered::default();
        if next.is_terminal() {
            self.end(at, place, which, next);
            return;
        }
        self.apps[place].deployments[which].enter(next, at);
        if next == Phase::Deploying {
            self.run_jobs(place, which);
        }
        self.schedule_from(at, place);
    }

    /// How long the deployment stays in its phase, and what follows. None: for ever.
    fn ahead(&self, place: usize, which: usize) -> Option<(u64, Phase)> {
        let deployment = &self.apps[place].deployments[which];
        let after = |(span, fate): (u64, Fate), next| match fate {
            Fate::Works => Some((span, next)),
            Fate::Fails => Some((span, Phase::Error)),
            Fate::Sticks => None,
        };
        let pending = self.durations.pending_ms;
        match (deployment.phase, deployment.build) {
            (Phase::PendingBuild, Some(_)) => Some((pending, Phase::Building)),
            (Phase::Building, Some(build)) => after(build, Phase::PendingDeploy),
            // The build is reused [reported: "reuses the already-built container"].
            (Phase::PendingBuild | Phase::Building, None) => Some((pending, Phase::PendingDeploy)),
            (Phase::PendingDeploy, _) => Some((pending, Phase::Deploying)),
            (Phase::Deploying, _) => after(deployment.rollout, Phase::Active),
            (Phase::Active | Phase::Superseded | Phase::Error | Phase::Canceled, _) => None,
        }
    }

    fn run_jobs(&mut self, place: usize, which: usize) {
        let again = self.unknowns.jobs_run_again;
        let app = &mut self.apps[place];
        let deployment = &app.deployments[which];
        if !deployment.release.migrations.is_empty() && (again || deployment.build.is_some()) {
            app.job_runs.push(deployment.id.clone());
        }
    }

    /// A deployment ends, and the next of those that wait starts.
    pub(super) fn end(&mut self, at: i64, place: usize, which: usize, last: Phase) {
        let app = &mut self.apps[place];
        app.deployments[which].enter(last, at);
        if last == Phase::Active {
            if let Some(before) = app.active.replace(which) {
                app.deployments[before].enter(Phase::Superseded, at);
            }
            app.deployments[which].live_ms = Some(at);
            (app.imposed, app.imposed_vitals) = (None, None);
        } else {
            self.unpin_failed(place, which);
        }
        let app = &mut self.apps[place];
        app.queue.retain(|waiting| *waiting != which);
        if app.in_progress == Some(which) {
            app.in_progress = None;
            let waiting = app.queue.pop_front();
            self.schedule(place, None);
            if let Some(waiting) = waiting {
                self.start(at, place, waiting);
            }
        }
    }

    fn schedule_from(&mut self, at: i64, place: usize) {
        let next = self.apps[place].in_progress.and_then(|which| self.ahead(place, which));
        self.schedule(place, next.map(|(span, _)| at.saturating_add_unsigned(span)));
    }

    pub(super) fn schedule(&mut self, place: usize, due: Option<i64>) {
        if let Some(before) = std::mem::replace(&mut self.apps[place].due, due) {
            self.due.remove(&(before, place));
        }
        if let Some(due) = due {
            self.due.insert((due, place));
        }
    }
}
