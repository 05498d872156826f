//! A platform in miniature: deployments, what is live, what is under way, one pin, and a ledger of all writes.

use std::time::Duration;

use crate::clock::Moment;
use crate::decision::capability::{Capabilities, PinKind, Pushes, Targeting};
use crate::decision::effect::{Condition, Validation};
use crate::decision::observation::{AppView, Artifact, Cause, Deployment, Phase};
use crate::ids::DeploymentId;

/// The platform's clock is an hour off ours: whoever compares the two is found out.
const SKEW: Duration = Duration::from_secs(3_600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Rearguard,
    Person,
}

/// A write that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    Rollback { target: DeploymentId, made: DeploymentId, asked_at: Moment },
    Commit { pin: DeploymentId },
    Revert { pin: DeploymentId },
    Restart { made: DeploymentId },
    Pushes(Pushes),
}

#[derive(Clone, Debug)]
pub(in crate::decision) struct Platform {
    pub(super) deployments: Vec<Deployment>,
    pub(in crate::decision) active: DeploymentId,
    pub(super) live_at: Moment,
    pub(super) in_progress: Option<DeploymentId>,
    pub(super) pinned: Option<DeploymentId>,
    /// Who wrote what, when.
    pub(super) ledger: Vec<(Moment, Who, Write)>,
    /// Deployments say what they repeat.
    pub(super) says_cloned_from: bool,
    /// Deployments say what code they run.
    pub(super) says_code: bool,
    /// And not before they are live.
    pub(super) says_code_late: bool,
    /// Restarts are told as such.
    pub(super) says_restart: bool,
    /// So are rollbacks.
    pub(super) says_rollback: bool,
    /// The app says how long its live deployment has been live.
    pub(super) says_age: bool,
    /// Deployments say when they were created.
    pub(super) says_created: bool,
    /// A rollback is refused while the app is pinned.
    pub(super) refuses_when_pinned: bool,
    /// What validate warns of.
    pub(super) warnings: Vec<&'static str>,
    /// They are so for this app, whatever is gone back to.
    pub(super) warnings_are_advice: bool,
    /// Targets validate does not accept.
    pub(super) not_valid: Vec<DeploymentId>,
    /// What it can do for the app.
    pub(super) capabilities: Capabilities,
    /// What a push does.
    pub(super) pushes: Option<Pushes>,
    /// Our rollbacks that we went back from, where there is no revert.
    pub(super) returned: Vec<DeploymentId>,
    /// What is picked where the platform picks; the one before the live one where nothing is said.
    pub(super) picks: Option<DeploymentId>,
}

impl Platform {
    /// Two releases, the second of them live for two hours.
    pub(super) fn new(at: Moment) -> Self {
        let mut platform = Self {
            deployments: Vec::new(),
            active: "none".into(),
            live_at: at,
            in_progress: None,
            pinned: None,
            ledger: Vec::new(),
            says_cloned_from: true,
            says_code: true,
            says_code_late: false,
            says_restart: true,
            says_rollback: true,
            says_age: true,
            says_created: true,
            refuses_when_pinned: true,
            warnings: Vec::new(),
            warnings_are_advice: false,
            not_valid: Vec::new(),
            capabilities: Capabilities::default(),
            pushes: None,
            returned: Vec::new(),
            picks: None,
        };
        for hours in [3, 2] {
            let then = at - Duration::from_secs(hours * 3_600);
            let id = platform.make(Cause::Release, None, then);
            platform.finish(&id, Phase::Active, then);
        }
        platform
    }

    pub(super) fn get(&self, id: &DeploymentId) -> Option<&Deployment> {
        self.deployments.iter().find(|entry| entry.id == *id)
    }

    /// The first deployment that runs what this one does.
    pub(super) fn first_of_the_same(&self, id: &DeploymentId) -> DeploymentId {
        let Some(of) = self.get(id) else { return id.clone() };
        let first = self.deployments.iter().find(|entry| entry.artifact == of.artifact);
        first.map_or_else(|| id.clone(), |first| first.id.clone())
    }

    fn get_mut(&mut self, id: &DeploymentId) -> &mut Deployment {
        self.deployments.iter_mut().find(|entry| entry.id == *id).expect("a deployment of the model")
    }

    /// A new deployment, under way. Without a source it runs code of its own.
    pub(super) fn make(&mut self, cause: Cause, source: Option<&DeploymentId>, at: Moment) -> DeploymentId {
        let number = self.deployments.len() + 1;
        let id = DeploymentId::from(format!("d{number}"));
        let own = Artifact {
            code: if self.says_code { vec![("web".into(), format!("c{number}"))] } else { Vec::new() },
            spec: "spec".into(),
            ..Artifact::default()
        };
        let artifact = source.and_then(|id| self.get(id)).map_or(own, |source| source.artifact.clone());
        let repeats = matches!(cause, Cause::Rollback) && self.says_cloned_from;
        self.deployments.push(Deployment {
            id: id.clone(),
            phase: Phase::InProgress,
            cause,
            created_ms: (at + SKEW).as_millis(),
            complete: false,
            artifact,
            cloned_from: source.filter(|_| repeats).cloned(),
            took_ms: None,
            title: String::new(),
        });
        self.in_progress = Some(id.clone());
        id
    }

    /// What is under way comes to an end.
    pub(super) fn finish(&mut self, id: &DeploymentId, phase: Phase, at: Moment) {
        if self.in_progress.as_ref() == Some(id) {
            self.in_progress = None;
        }
        if phase == Phase::Active {
            let old = self.active.clone();
            if let Some(old) = self.deployments.iter_mut().find(|entry| entry.id == old) {
                old.phase = Phase::Superseded;
            }
            self.active = id.clone();
            self.live_at = at;
        }
        let entry = self.get_mut(id);
        entry.phase = phase;
        entry.complete = phase == Phase::Active;
    }

    /// The rollback that is under way, if it is one.
    pub(super) fn rollback_under_way(&self) -> Option<DeploymentId> {
        self.in_progress.clone().filter(|id| self.get(id).is_some_and(|entry| self.is_asked_for(entry)))
    }

    pub(super) fn rollback(
        &mut self,
        who: Who,
        target: &DeploymentId,
        asked_at: Moment,
        at: Moment,
    ) -> Option<Deployment> {
        if self.pinned.is_some() && self.refuses_when_pinned {
            return None;
        }
        let picked = match self.capabilities.targeting {
            Targeting::PlatformPicks => self.picked(),
            Targeting::ById | Targeting::ByCode => target.clone(),
        };
        let cause = if self.says_rollback { Cause::Rollback } else { Cause::Release };
        let made = self.make(cause, Some(&picked), at);
        if self.capabilities.pin == PinKind::Hard {
            self.pinned = Some(made.clone());
        }
        self.ledger.push((at, who, Write::Rollback { target: target.clone(), made: made.clone(), asked_at }));
        self.get(&made).cloned()
    }

    /// The newest one before the live one that was complete.
    fn picked(&self) -> DeploymentId {
        let live = self.deployments.iter().position(|entry| entry.id == self.active).unwrap_or(0);
        let before = self.deployments[..live].iter().rev().find(|entry| entry.complete);
        self.picks.clone().or(before.map(|entry| entry.id.clone())).unwrap_or(self.active.clone())
    }

    pub(super) fn restart(&mut self, who: Who, at: Moment) -> Deployment {
        let live = self.active.clone();
        let cause = if self.says_restart { Cause::Restart } else { Cause::Release };
        let made = self.make(cause, Some(&live), at);
        self.ledger.push((at, who, Write::Restart { made: made.clone() }));
        self.get(&made).cloned().expect("just made")
    }

    /// Whether a rollback, a revert or a restart made it, whatever it is told as.
    pub(super) fn is_asked_for(&self, entry: &Deployment) -> bool {
        let made_it = |write: &Write| match write {
            Write::Restart { made } | Write::Rollback { made, .. } => *made == entry.id,
            _ => false,
        };
        matches!(entry.cause, Cause::Rollback | Cause::Revert)
            || self.ledger.iter().any(|(_, _, write)| made_it(write))
    }

    /// What is live is deployed again by the platform itself, and is live at once.
    pub(super) fn upkeep(&mut self, at: Moment) -> DeploymentId {
        let live = self.active.clone();
        let made = self.make(Cause::Platform, Some(&live), at);
        self.finish(&made, Phase::Active, at);
        made
    }

    pub(super) fn set_pushes(&mut self, who: Who, pushes: Pushes, at: Moment) {
        self.pushes = Some(pushes);
        self.ledger.push((at, who, Write::Pushes(pushes)));
    }

    pub(super) fn commit(&mut self, who: Who, at: Moment) -> bool {
        let Some(pin) = self.pinned.take() else { return false };
        self.ledger.push((at, who, Write::Commit { pin }));
        true
    }

    /// Unpins, and puts the newest release on its way again.
    pub(super) fn revert(&mut self, who: Who, at: Moment) -> Option<DeploymentId> {
        let pin = self.pinned.take()?;
        self.ledger.push((at, who, Write::Revert { pin: pin.clone() }));
        let newest = self.deployments.iter().rev().find(|entry| entry.cause == Cause::Release)?.id.clone();
        Some(self.make(Cause::Revert, Some(&newest), at))
    }

    pub(super) fn validate(&self, target: &DeploymentId) -> Validation {
        let condition =
            |code: &str| Condition { code: code.to_owned(), message: String::new(), is_advice: false };
        let warning = |code: &str| Condition { is_advice: self.warnings_are_advice, ..condition(code) };
        let error = if self.pinned.is_some() {
            Some("app_pinned")
        } else if self.not_valid.contains(target) {
            Some("exceeded_revision_limit")
        } else {
            None
        };
        Validation {
            valid: error.is_none(),
            error: error.map(condition),
            warnings: self.warnings.iter().map(|code| warning(code)).collect(),
            by: self.capabilities.validate,
        }
    }

    pub(super) fn view(&self, at: Moment) -> AppView {
        let age = at.since(self.live_at).as_secs() * 1_000;
        AppView {
            active: self.get(&self.active).cloned().map(|entry| self.shown(entry)),
            active_age_ms: self.says_age.then_some(age),
            in_progress: self.in_progress.clone(),
            pinned: self.pinned.clone(),
            pushes: self.pushes,
            capabilities: self.capabilities,
            sleeps_after_ms: None,
        }
    }

    fn shown(&self, entry: Deployment) -> Deployment {
        let mut shown =
            Deployment { created_ms: if self.says_created { entry.created_ms } else { 0 }, ..entry };
        if self.says_code_late && shown.phase != Phase::Active && !shown.complete {
            shown.artifact.code.clear();
        }
        shown
    }

    /// The list's first page, as many as the adapter asks for, in no particular order.
    pub(super) fn list(&self) -> Vec<Deployment> {
        let newest = &self.deployments[self.deployments.len().saturating_sub(30)..];
        let mut list: Vec<_> = newest.iter().cloned().map(|entry| self.shown(entry)).collect();
        let middle = list.len() / 2;
        list.rotate_left(middle);
        list
    }

    /// The rollbacks that were applied for rearguard.
    pub(super) fn our_rollbacks(&self) -> Vec<DeploymentId> {
        let ours = self.ledger.iter().filter(|(_, who, _)| *who == Who::Rearguard);
        ours.filter_map(|(_, _, write)| match write {
            Write::Rollback { made, .. } => Some(made.clone()),
            _ => None,
        })
        .collect()
    }

    /// Whether rearguard went back on the rollback that it asked for at that time: then the release was not the cause. A
    /// colleague may have been faster than the revert that `is_asked_for`.
    pub(super) fn was_reverted(&self, asked: Moment, is_asked_for: impl Fn(&DeploymentId) -> bool) -> bool {
        let is_reverted = |made| {
            let mut writes = self.ledger.iter().map(|(_, _, write)| write);
            is_asked_for(made) && writes.any(|write| matches!(write, Write::Revert { pin } if pin == made))
        };
        let mut ours = self.ledger.iter().filter(|(_, who, _)| *who == Who::Rearguard);
        ours.any(|(_, _, write)| {
            let Write::Rollback { made, asked_at, .. } = write else { return false };
            *asked_at == asked && (self.returned.contains(made) || is_reverted(made))
        })
    }

    pub(super) fn our_writes(&self) -> usize {
        self.ledger.iter().filter(|(_, who, _)| *who == Who::Rearguard).count()
    }
}
