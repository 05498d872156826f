//! The platform as a state machine over explicit time: milliseconds come in, nothing here reads a clock.
//!
//! What is known of App Platform is marked with its source, what we infer with \[inferred\], and what nobody says
//! is a switch in [`Unknowns`].

mod phases;
mod rollback;
mod sevalla;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::app::{App, Cause, Phase, Rendered, Who, uuid};
use super::kind::{AppKind, Shelf};
use super::release::{Fate, Release};
use super::sleep::Sleeper;
use super::traffic::Traffic;
use super::unknowns::{Allowed, Unknowns, WhilePinned};
pub(crate) use rollback::{Condition, Validation};

/// How long things take, in milliseconds. Real rollbacks were seen to take 104 s; these are for demonstrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Durations {
    /// In each of PENDING_BUILD and PENDING_DEPLOY.
    pub pending_ms: u64,
    /// In BUILDING, where the release does not say.
    pub build_ms: u64,
    /// In DEPLOYING, where the release does not say.
    pub deploy_ms: u64,
    /// In DEPLOYING, for rollbacks, reverts of the same build and restarts.
    pub rollback_ms: u64,
}

impl Default for Durations {
    fn default() -> Self {
        Self { pending_ms: 100, build_ms: 3000, deploy_ms: 2000, rollback_ms: 2000 }
    }
}

/// A write, by whomever.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Write {
    Push(Arc<Release>),
    Deploy,
    Cancel {
        deployment: Option<String>,
    },
    Restart,
    Rollback {
        target: String,
        skip_pin: bool,
    },
    /// A rollback whose target the platform picks.
    PickedRollback,
    /// The release of an earlier deployment, by the name of its image.
    Redeploy {
        image: String,
    },
    SetAutoDeploy {
        on: bool,
    },
    Commit,
    Revert,
    Maintenance,
    Autoscale,
    AutoRollback {
        target: String,
    },
}

/// Why a write did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// What a write made: the id of a deployment, where it made one.
pub(crate) type Written = Result<Option<String>, Refusal>;

/// Every app of the account.
pub(crate) struct Model {
    pub(crate) apps: Vec<App>,
    pub(crate) unknowns: Unknowns,
    /// Successful deployments one can roll back to [docs: "the ten most recent successful deployments"].
    pub(crate) revision_limit: usize,
    durations: Durations,
    seed: u64,
    by_id: HashMap<String, usize>,
    by_name: HashMap<String, usize>,
    /// The next step of every app that has one, so that ten thousand idle apps cost nothing.
    due: BTreeSet<(i64, usize)>,
}

impl Model {
    pub(crate) fn new(seed: u64, durations: Durations, unknowns: Unknowns, revision_limit: usize) -> Self {
        Self {
            apps: Vec::new(),
            unknowns,
            revision_limit,
            durations,
            seed,
            by_id: HashMap::new(),
            by_name: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied().filter(|place| !self.apps[*place].deleted)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied().filter(|place| !self.apps[*place].deleted)
    }

    /// The app of this id, as far as it can be seen from that list.
    pub(crate) fn on_shelf(&self, shelf: Shelf, id: &str) -> Option<usize> {
        self.by_id(id).filter(|place| self.apps[*place].kind.shelf() == shelf)
    }

    /// A new app whose first deployment is live already. None if the name is taken.
    pub(crate) fn create_app(
        &mut self,
        now: i64,
        name: &str,
        kind: AppKind,
        release: Release,
    ) -> Option<usize> {
        if self.by_name.contains_key(name) {
            return None;
        }
        let (place, release) = (self.apps.len(), Arc::new(release));
        let id = uuid(self.seed, name, 0);
        self.by_id.insert(id.clone(), place);
        self.by_name.insert(name.to_owned(), place);
        self.apps.push(App {
            id,
            name: name.to_owned(),
            kind: kind.settled(),
            region: "ams".to_owned(),
            created_ms: now,
            deployments: Vec::new(),
            active: None,
            in_progress: None,
            queue: VecDeque::new(),
            pinned: None,
            spec: Arc::clone(&release),
            head: Arc::clone(&release),
            waiting_push: None,
            rollback_fate: Fate::Works,
            imposed: None,
            imposed_vitals: None,
            job_runs: Vec::new(),
            deleted: false,
            served: 0,
            sleeper: Sleeper::default(),
            traffic: Traffic::default(),
            due: None,
            rendered: Rendered::default(),
            stale: Vec::new(),
            jumps: None,
        });
        let first = self.make(now, place, release, Cause::Manual, Who::Person);
        let app = &mut self.apps[place];
        app.deployments[first].enter(Phase::Active, now);
        app.deployments[first].started_ms = Some(now);
        app.deployments[first].live_ms = Some(now);
        app.active = Some(first);
        Some(place)
    }

    /// Forgets an app: from now on it is not found. Its name stays taken.
    pub(crate) fn delete_app(&mut self, place: usize) {
        self.schedule(place, None);
        self.apps[place].deleted = true;
    }

    /// Brings every app to `now`, each step at its own time.
    pub(crate) fn advance(&mut self, now: i64) {
        while let Some((at, place)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.schedule(place, None);
            let before = self.unknowns.steps_lag.then(|| self.view_that_lags(place)).flatten();
            self.step(at, place);
            self.lags_behind(at, place, before);
        }
    }

    /// When something will happen next to the app at `place`.
    pub(crate) fn next_step(&self, place: usize) -> Option<i64> {
        self.apps[place].due
    }

    /// Does what a write asks, or says why not. `now` must not be before the last `advance`.
    pub(crate) fn write(&mut self, now: i64, place: usize, who: Who, write: Write) -> Written {
        let before = self.view_that_lags(place);
        let written = self.carry_out(now, place, who, write);
        self.lags_behind(now, place, before.filter(|_| written.is_ok()));
        self.apps[place].rendered = Rendered::default();
        written
    }

    /// What reads show of the app for a while after something has changed, where they lag.
    fn view_that_lags(&self, place: usize) -> Option<Arc<App>> {
        (self.unknowns.reads_lag_ms > 0).then(|| {
            let mut view = self.apps[place].clone();
            view.stale.clear();
            Arc::new(view)
        })
    }

    fn lags_behind(&mut self, now: i64, place: usize, before: Option<Arc<App>>) {
        let Some(view) = before else { return };
        let app = &mut self.apps[place];
        app.stale.push((now.saturating_add_unsigned(self.unknowns.reads_lag_ms), view));
        app.jumps = if self.unknowns.reads_jump { app.jumps.or(Some(0)) } else { None };
    }

    fn carry_out(&mut self, now: i64, place: usize, who: Who, write: Write) -> Written {
        match self.apps[place].kind {
            AppKind::DigitalOcean => self.on_app_platform(now, place, who, write),
            AppKind::Sevalla { .. } => self.on_sevalla(now, place, who, write),
        }
    }

    fn on_app_platform(&mut self, now: i64, place: usize, who: Who, write: Write) -> Written {
        match write {
            Write::Push(release) => self.push(now, place, who, release),
            Write::Deploy => self.deploy(now, place, who),
            Write::Cancel { deployment } => self.cancel(now, place, deployment),
            Write::Restart => {
                self.same_again(now, place, Cause::Restart, who, self.unknowns.restart_while_pinned)
            }
            Write::Maintenance => {
                self.same_again(now, place, Cause::Maintenance, who, self.unknowns.platform_while_pinned)
            }
            Write::Autoscale => {
                self.same_again(now, place, Cause::Autoscaled, who, self.unknowns.platform_while_pinned)
            }
            Write::Rollback { target, skip_pin } => self.roll_back(now, place, who, &target, skip_pin),
            Write::Commit => self.commit(now, place),
            Write::Revert => self.revert(now, place, who),
            Write::AutoRollback { target } => self.auto_rollback(now, place, &target),
            Write::PickedRollback | Write::Redeploy { .. } | Write::SetAutoDeploy { .. } => {
                Err(no_such_thing())
            }
        }
    }

    /// The newest commit of the branch, built.
    fn deploy(&mut self, now: i64, place: usize, who: Who) -> Written {
        let head = Arc::clone(&self.apps[place].head);
        self.release(now, place, head, Cause::Manual, who)
    }

    fn push(&mut self, now: i64, place: usize, who: Who, release: Arc<Release>) -> Written {
        self.apps[place].head = Arc::clone(&release);
        if !self.apps[place].kind.deploys_pushes() {
            return Ok(None);
        }
        self.release(now, place, release, Cause::Push, who)
    }

    /// A new release goes its way, unless the pin is in it [OAS: "preventing any new deployments from being
    /// created, either manually or through Auto Deploy on Push webhooks"; how is unknown: switch].
    fn release(&mut self, now: i64, place: usize, release: Arc<Release>, cause: Cause, who: Who) -> Written {
        if self.apps[place].pinned.is_some() {
            if self.unknowns.push_while_pinned == WhilePinned::Queued {
                self.apps[place].waiting_push = Some((release, who));
                return Ok(None);
            }
            return Err(self.refusal("the app is pinned by a rollback: commit or revert it to deploy again"));
        }
        self.apps[place].spec = Arc::clone(&release);
        let made = self.make(now, place, release, cause, who);
        Ok(Some(self.enqueue(now, place, made)))
    }

    fn same_again(
        &mut self,
        now: i64,
        place: usize,
        cause: Cause,
        who: Who,
        while_pinned: Allowed,
    ) -> Written {
        if self.apps[place].pinned.is_some() && while_pinned == Allowed::Refuses {
            return Err(self.refusal("the app is pinned by a rollback"));
        }
        let Some(live) = self.apps[place].active() else {
            return Err(self.refusal("the app has no active deployment"));
        };
        let release = Arc::clone(&live.release);
        let made = self.make(now, place, release, cause, who);
        Ok(Some(self.enqueue(now, place, made)))
    }

    /// "Immediately cancel an in-progress deployment." \[OAS\]
    fn cancel(&mut self, now: i64, place: usize, deployment: Option<String>) -> Written {
        let app = &self.apps[place];
        let which = match &deployment {
            Some(id) => Some(app.place_of(id).ok_or_else(|| Refusal::new(404, "deployment does not exist"))?),
            None => app.in_progress.or(app.pending()),
        };
        match which {
            Some(which) if !app.deployments[which].phase.is_terminal() => {
                let id = app.deployments[which].id.clone();
                self.end(now, place, which, Phase::Canceled);
                Ok(Some(id))
            }
            _ => Err(Refusal::new(self.cancel_of_finished(place), "deployment is not in progress")),
        }
    }

    fn cancel_of_finished(&self, place: usize) -> u16 {
        match self.apps[place].kind {
            AppKind::DigitalOcean => 400,
            AppKind::Sevalla { .. } => self.unknowns.cancel_of_finished,
        }
    }

    fn refusal(&self, message: &str) -> Refusal {
        Refusal::new(self.unknowns.refusal_status, message)
    }
}

/// What a person asks for through the control API, and the app's platform does not have.
fn no_such_thing() -> Refusal {
    Refusal::new(400, "the app's platform has nothing like it")
}

#[cfg(test)]
mod tests;
