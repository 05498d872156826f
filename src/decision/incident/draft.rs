//! A decision about an incident in the making: what every step adds to. How an incident ends is in `ending`.

mod ending;

use std::time::Duration;

use super::super::capability::{PinKind, Pushes, Targeting};
use super::super::effect::{Answer, Effect, Guard, Reason, Rejection, Verb};
use super::super::observation::{Deployment, Observation};
use super::super::state::{
    Call, CallStatus, Incident, Ledger, Live, Requests, Settle, Situation, SoftPin, Stage, State,
};
use super::super::story::Event;
use super::super::{Change, Decision, Ruling, pin, target};
use super::restarting;
use crate::clock::Moment;
use crate::ids::{DeploymentId, IncidentId};

/// The longest wait a platform may ask for. One that names years keeps a pin for ten minutes, not for ever.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10 * 60);

/// How long to leave the platform alone after this many calls that were surely not applied: what it asked for,
/// else doubling from a second to a minute.
fn backoff(setbacks: u32, asked: Option<Duration>) -> Duration {
    let doubling = Duration::from_secs(1 << setbacks.saturating_sub(1).min(6)).min(Duration::from_secs(60));
    asked.unwrap_or(doubling).clamp(Duration::from_secs(1), LONGEST_BACKOFF)
}

/// A decision about an incident in the making.
pub(super) struct Draft {
    pub(super) ledger: Ledger,
    pub(super) incident: Incident,
    pub(super) effect: Option<Effect>,
    pub(super) ruling: Option<Ruling>,
    pub(super) story: Vec<Event>,
}

impl Draft {
    pub(super) fn new(ledger: Ledger, incident: Incident) -> Self {
        Self { ledger, incident, effect: None, ruling: None, story: Vec::new() }
    }

    /// A restart of the accused release, or the platform's own upkeep of it, is the accused release under another
    /// id: it is judged by its own samples from then on.
    pub(super) fn follow_restart(&mut self, seen: &Observation<'_>) {
        let is_open = matches!(
            self.incident.stage,
            Stage::AwaitingApproval { .. } | Stage::Validating { .. } | Stage::Restarting { .. }
        );
        let Some(active) = seen.app.value().and_then(|view| view.active.as_ref()) else { return };
        let is_lost_one = self.incident.restart_lost && restarting::can_be(&self.incident, active);
        let repeats = active.repeats(&self.incident.accused.artifact) || is_lost_one;
        if is_open && self.incident.requests.targets.is_empty() && repeats {
            self.follow(&active.clone(), seen);
            // There was one request.
            self.incident.restart_lost &= !is_lost_one;
        }
    }

    /// Takes note of a read that shows whether pushes are paused, which our own request did.
    pub(super) fn see_pin(&mut self, seen: &Observation<'_>) {
        let known = self.ledger.soft_pin.take().map(|pin| pin::unless_over(pin, seen));
        let (left, told) = known.unwrap_or_default();
        self.ledger.soft_pin = left;
        self.story.extend(told);
        let is_paused = seen.app.value().and_then(|view| view.pushes) == Some(Pushes::Paused);
        let is_new = |pin: &&mut SoftPin| is_paused && !pin.is_there && pin.may_be_ours(seen.at);
        if let Some(pin) = self.ledger.soft_pin.as_mut().filter(is_new) {
            pin.see(seen.at);
            // It may have come about after the rollback, which it protects all the same.
            if let Some(rollback) = self.incident.stage.rollback_made() {
                pin.holds = Some(rollback.id.clone());
            }
        }
    }

    /// The accused release goes on as `other`, once that is the live one.
    pub(super) fn follow(&mut self, other: &Deployment, seen: &Observation<'_>) {
        let Some(active) = seen.app.value().and_then(|view| view.active.as_ref()) else { return };
        let accused = &self.incident.accused;
        if active.id == other.id && active.came_after(accused.age_key()) {
            let live = Live { id: active.id.clone(), created_ms: active.created_ms, since: seen.at };
            self.incident.former.push(accused.id.clone());
            self.incident.accused = Deployment { artifact: accused.artifact.clone(), ..active.clone() };
            self.incident.live = live;
            Ledger::note(&mut self.ledger.accused, active.id.clone());
        }
    }

    /// Whether we keep pushes from being deployed.
    pub(super) fn keeps_pushes(&self) -> bool {
        self.ledger.soft_pin.as_ref().is_some_and(|pin| pin.is_there)
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.story.push(event);
    }

    /// Tells, once, that what comes back by undoing the rollback may not be what ran before.
    pub(super) fn tell_if_inexact(&mut self) {
        let is_first = !matches!(self.incident.stage, Stage::Reverting { .. });
        if is_first && !self.incident.capabilities.revert_is_exact {
            self.tell(Event::Inexact);
        }
    }

    pub(super) fn tell_target(&mut self, target: &Deployment) {
        let seen_good = self.ledger.good.iter().any(|good| good.id == target.id);
        let asked = self.incident.asked.as_ref().filter(|_| self.incident.named() == Some(&target.id));
        let named_by = asked.map(|asked| asked.by.clone());
        // Nothing else than a person goes back to what was bad.
        let was_bad = named_by.is_some() && target::is_condemned(&self.ledger, &target.id, &target.artifact);
        self.tell(Event::Target {
            target: target.id.clone(),
            title: target.title.clone(),
            seen_good,
            named_by,
            was_bad,
        });
    }

    pub(super) fn rule(&mut self, verb: Verb, reason: Reason) {
        self.ruling = Some(Ruling { verb, reason, incident: Some(self.incident.id.clone()) });
    }

    pub(super) fn set_target(&mut self, chosen: Deployment) {
        if let Stage::Validating { target, .. } = &mut self.incident.stage {
            *target = Some(chosen);
        }
    }

    /// The target is not accepted; another one may be. A person who said yes said it to the one that was named.
    pub(super) fn strike(&mut self, target: &Deployment, reason: Reason, detail: String) {
        self.tell(Event::TargetRefused { target: target.id.clone(), reason, detail });
        self.incident.tried.push((target.id.clone(), reason));
        self.incident.approved = false;
    }

    pub(super) fn stage(&mut self, stage: Stage) {
        self.incident.stage = stage;
    }

    /// A call was surely not applied: when the next one may be sent. `None` if the answer does not say so.
    pub(super) fn setback(&mut self, answer: &Answer, now: Moment) -> Option<CallStatus> {
        let status = not_applied(answer, self.incident.setbacks + 1, now)?;
        self.incident.setbacks += 1;
        Some(status)
    }

    /// Owes `effect` from here on; the stage holds the [`Call`] this gives.
    pub(super) fn owe(&mut self, effect: Effect, attempt: u32, seen: &Observation<'_>) -> Call {
        let is_paused = seen.app.value().and_then(|view| view.pushes) == Some(Pushes::Paused);
        let pin = match self.incident.capabilities.pin {
            // What was asked for need not be there. A person's own pause does the same.
            PinKind::Soft if !self.keeps_pushes() && !is_paused => PinKind::Absent,
            kind => kind,
        };
        self.tell(Event::Call { call: effect.clone(), attempt, pin });
        self.effect = Some(effect);
        Call { attempt, intended_at: seen.at, status: CallStatus::Owed }
    }

    /// What keeps the rollback from being ended that way now: a pause, or a freeze window where nobody asked for it.
    pub(super) fn barred(&self, settle: Settle, seen: &Observation<'_>) -> Option<Reason> {
        if seen.operator.paused {
            return Some(Reason::Paused);
        }
        let is_frozen = match settle {
            Settle::Commit => seen.operator.freeze.commit,
            Settle::Revert => seen.operator.freeze.rollback,
        };
        (is_frozen && self.incident.ending.is_none()).then_some(Reason::Freeze)
    }

    /// The decision so far, without an end of the incident.
    pub(super) fn done(self, wake_at: Option<Moment>, waiting: Option<Reason>) -> Decision {
        let state = State { situation: Situation::Incident(Box::new(self.incident)), ledger: self.ledger };
        let change = Change {
            state,
            effect: self.effect,
            ruling: self.ruling,
            closed: None,
            story: self.story,
            about: None,
        };
        Decision { change: Some(Box::new(change)), wake_at, waiting, look: false }
    }

    /// The rollback exists: it is ours, and it counts against the budget.
    pub(super) fn created(&mut self, rollback: &Deployment, now: Moment) {
        // The same one may come to light twice.
        if self.ledger.made_for(&rollback.id).is_none() {
            match self.is_new(&rollback.id) {
                true => self.count_unanswered(now),
                false => self.ledger.count_rollback(now),
            }
        }
        self.note_ours(rollback.id.clone());
        self.incident.setbacks = 0;
    }

    /// A rollback exists that may be ours for all that can be told: it counts as well, so that another release waits as long
    /// as after one that surely is, and whoever ordered it has left what was live.
    pub(super) fn perhaps_created(&mut self, now: Moment) {
        self.count_unanswered(now);
        if self.incident.asked.is_some() {
            self.condemn();
        }
    }

    /// What came of a request without an answer counts, or may come of it yet.
    pub(super) fn count_unanswered(&mut self, now: Moment) {
        self.ledger.count_rollback(now);
        self.incident.requests.counted.push(now);
    }

    fn condemn(&mut self) {
        let accused = &self.incident.accused;
        Ledger::note(&mut self.ledger.condemned, (accused.id.clone(), accused.artifact.clone()));
    }

    /// How many deployments were found by reading, `rollback` among them, to be what came of a request of this incident:
    /// one for each request without an answer is ours.
    pub(super) fn found(&self, rollback: &Deployment) -> usize {
        let is_other = |id: &DeploymentId| *id != rollback.id && self.is_new(id);
        let others = self.ledger.ours.iter().filter(|(id, of)| *of == self.incident.id && is_other(id));
        others.count() + usize::from(self.is_new(&rollback.id))
    }

    /// Whether it can be what came of a request without an answer.
    fn is_new(&self, id: &DeploymentId) -> bool {
        // What was restarted is ours as well, and had its incident.
        !self.incident.requests.before.contains(id) && !self.ledger.accused.contains(id)
    }

    pub(super) fn note_ours(&mut self, made: DeploymentId) {
        Ledger::note(&mut self.ledger.ours, (made, self.incident.id.clone()));
    }

    /// What was found by reading is what came of as many requests: from here on another one is awaited.
    pub(super) fn settle_found(&mut self, seen: &Observation<'_>) {
        let found = self.found_by_reading();
        let active = seen.app.value().and_then(|view| view.active.as_ref());
        let listed = seen.history.value().into_iter().flatten().chain(active);
        let known: Vec<&Deployment> = listed.chain(self.incident.stage.rollback_made()).collect();
        let requests = &self.incident.requests;
        let target_of = |id| requests.made(known.iter().find(|entry| entry.id == id)?);
        let wanted: Vec<_> =
            found.iter().map(|id| target_of(id.clone()).map(|target| target.id.clone())).collect();
        let Requests { targets, counted, .. } = &mut self.incident.requests;
        counted.drain(..found.len().min(counted.len()));
        for wanted in wanted {
            let wanted = targets.iter().rposition(|target| Some(&target.id) == wanted.as_ref());
            if let Some(place) = wanted.or(targets.first().map(|_| 0)) {
                targets.remove(place);
            }
        }
    }

    /// What is known to have come of requests without an answer.
    fn found_by_reading(&self) -> Vec<DeploymentId> {
        let is_found = |(id, of): &&(DeploymentId, IncidentId)| *of == self.incident.id && self.is_new(id);
        let found = self.ledger.ours.iter().filter(|entry| !self.may_come_late() && is_found(entry));
        found.map(|(id, _)| id.clone()).collect()
    }

    /// Whether what was found by reading may be somebody else's, who went back to the same, so that ours may still come. A pin
    /// of it would block every deployment, and what a platform picks late may be the bad release; otherwise it is likelier
    /// by far that it was ours.
    fn may_come_late(&self) -> bool {
        let capabilities = &self.incident.capabilities;
        capabilities.pin == PinKind::Hard || capabilities.targeting == Targeting::PlatformPicks
    }

    /// One that may be ours for all that can be told: the request is waited for as before.
    pub(super) fn note_perhaps_ours(&mut self, made: &DeploymentId) {
        self.incident.requests.before.insert(made.clone());
        self.note_ours(made.clone());
    }

    /// The end of the soak is due and waits, which is told once for each thing that keeps it.
    pub(super) fn end_waits(mut self, reason: Reason) -> Decision {
        if self.incident.end_waits != Some(reason) {
            self.incident.end_waits = Some(reason);
            self.tell(Event::EndWaits { reason });
        }
        self.done(None, Some(reason))
    }
}

/// Whether an answer says that a call was surely not applied, and when to try again after `setbacks` like it.
fn not_applied(answer: &Answer, setbacks: u32, now: Moment) -> Option<CallStatus> {
    let (asked, why) = match answer {
        Answer::NotApplied { retry_after, why: Rejection::Denied } => (*retry_after, Reason::Denied),
        Answer::NotApplied { retry_after, .. } => (*retry_after, Reason::Blind),
        Answer::NotSent(Guard::Paused) => (None, Reason::Paused),
        Answer::NotSent(Guard::Frozen) => (None, Reason::Freeze),
        Answer::NotSent(_) => (None, Reason::Blind),
        _ => return None,
    };
    Some(CallStatus::Backoff { until: now + backoff(setbacks, asked), why })
}
