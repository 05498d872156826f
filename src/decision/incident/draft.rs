//! A decision about an incident in the making: what every step adds to, and how an incident ends.

use std::time::Duration;

use super::super::capability::{PinKind, Pushes, Targeting};
use super::super::effect::{Answer, Effect, Guard, Reason, Rejection, Verb};
use super::super::observation::{AppView, Deployment, Observation};
use super::super::quiet::what_runs;
use super::super::state::{
    Asked, Call, CallStatus, Hold, Incident, Ledger, Live, Order, Outcome, Requests, Situation, SoftPin,
    Stage, State, Watch,
};
use super::super::story::Event;
use super::super::target;
use super::super::{Change, Closed, Decision, Ruling};
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
    /// Something differs from the state the decision began with.
    pub(super) changed: bool,
}

impl Draft {
    pub(super) fn new(ledger: Ledger, incident: Incident) -> Self {
        Self { ledger, incident, effect: None, ruling: None, story: Vec::new(), changed: false }
    }

    /// A restart of the accused release, or the platform's own upkeep of it, is the accused release under another
    /// id: it is judged by its own samples from then on.
    pub(super) fn follow_restart(&mut self, seen: &Observation<'_>) {
        let is_open = matches!(
            self.incident.stage,
            Stage::AwaitingApproval { .. } | Stage::Validating { .. } | Stage::Restarting { .. }
        );
        let Some(active) = seen.app.value().and_then(|view| view.active.as_ref()) else { return };
        let repeats = active.repeats(&self.incident.accused.artifact)
            || self.incident.restart_lost && restarting::can_be(&self.incident, active);
        if is_open && self.incident.requests.targets.is_empty() && repeats {
            self.follow(&active.clone(), seen);
        }
    }

    /// Whether a read shows that pushes are paused, which our own request did.
    pub(super) fn see_pin(&mut self, seen: &Observation<'_>) {
        let is_paused = seen.app.value().and_then(|view| view.pushes) == Some(Pushes::Paused);
        let is_new = |pin: &&mut SoftPin| is_paused && !pin.is_seen && pin.may_be_ours(seen.at);
        if let Some(pin) = self.ledger.soft_pin.as_mut().filter(is_new) {
            pin.is_seen = true;
            self.changed = true;
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
            self.changed = true;
        }
    }

    /// Whether we keep pushes from being deployed.
    pub(super) fn keeps_pushes(&self) -> bool {
        self.ledger.soft_pin.as_ref().is_some_and(SoftPin::is_there)
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.story.push(event);
        self.changed = true;
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
            self.changed = true;
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
        self.changed = true;
    }

    /// The stage with what was learnt, if anything was.
    pub(super) fn restage(&mut self, stage: Stage) {
        if self.incident.stage != stage {
            self.stage(stage);
        }
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

    /// The decision so far, without an end of the incident.
    pub(super) fn done(self, wake_at: Option<Moment>, waiting: Option<Reason>) -> Decision {
        if !self.changed {
            return Decision { change: None, wake_at, waiting, look: false };
        }
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
    pub(super) fn settle_found(&mut self) {
        let found = self.found_by_reading();
        let Requests { targets, counted, .. } = &mut self.incident.requests;
        targets.drain(..found.min(targets.len()));
        counted.drain(..found.min(counted.len()));
    }

    /// Of how many requests without an answer it is known what came of them.
    fn found_by_reading(&self) -> usize {
        let is_found = |(id, of): &&(DeploymentId, IncidentId)| *of == self.incident.id && self.is_new(id);
        if self.may_come_late() { 0 } else { self.ledger.ours.iter().filter(is_found).count() }
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

    /// Ends the incident where the operator does not accept what the platform would pick.
    pub(super) fn close_unarmed(mut self, seen: &Observation<'_>) -> Decision {
        self.tell(Event::Unarmed);
        self.close(Outcome::Refused, Reason::NotValid, seen)
    }

    /// Ends the incident.
    pub(super) fn close(mut self, outcome: Outcome, reason: Reason, seen: &Observation<'_>) -> Decision {
        if reason == Reason::Rejected {
            self.tell_word(seen);
        }
        self.tell(Event::Closed { outcome, reason });
        self.judge(outcome, reason);
        if let Some(rollback) = self.incident.stage.rollback_made()
            && (outcome, reason) == (Outcome::Committed, Reason::SoakHealthy)
        {
            // It was live and healthy for a whole soak: a target for the next incident.
            self.ledger.note_good(rollback.clone());
        }
        let rollback = self.incident.stage.rollback();
        // Superseded by another deployment it may still be pinned: then it is not settled, and a person has to.
        let is_pinned = seen.app.value().is_some_and(|view| view.pinned.as_ref() == rollback);
        let is_settled = match outcome {
            Outcome::Committed | Outcome::Reverted => true,
            // What is not live yet may become so, and where nothing pins it nobody would hear of that.
            Outcome::Superseded => !is_pinned && !self.may_go_live(),
            _ => false,
        };
        let returned = match &self.incident.stage {
            Stage::Returning { made, .. } if outcome == Outcome::Reverted => Some(&made.id),
            _ => None,
        };
        for made in rollback.filter(|_| is_settled).into_iter().chain(returned) {
            Ledger::note(&mut self.ledger.settled, (made.clone(), seen.at));
        }
        self.remember_lost(outcome, seen.at);
        if let Some(pin) = self.ledger.soft_pin.as_mut().filter(|_| outcome != Outcome::Held) {
            // Nothing needs it any more.
            pin.holds = None;
        }
        match outcome {
            // Decided, and counted, when the call was asked for.
            Outcome::Committed | Outcome::Reverted => self.ruling = None,
            Outcome::Observed if self.ruling.is_some() => {}
            _ => self.rule(verb_of(outcome), reason),
        }
        let state = State { situation: self.after(outcome, reason, seen), ledger: self.ledger };
        let closed = Closed { incident: self.incident, outcome, reason };
        let change = Change {
            state,
            effect: None,
            ruling: self.ruling,
            closed: Some(closed),
            story: self.story,
            about: None,
        };
        Decision::change(change)
    }

    /// Whether the rollback may become live unnoticed.
    fn may_go_live(&self) -> bool {
        matches!(self.incident.stage, Stage::RollingBack { .. })
            && self.incident.capabilities.pin != PinKind::Hard
    }

    /// Keeps the requests of which nothing was seen: what one of them makes later is ours.
    pub(super) fn remember_lost(&mut self, outcome: Outcome, now: Moment) {
        let incident = &self.incident;
        let mut requests = incident.requests.clone();
        let found = self.found_by_reading();
        requests.before.extend(incident.stage.rollback().cloned());
        // Left once the order is seen to have come about; not where it was undone.
        let is_order =
            |asked: &Asked| matches!(asked.order, Order::Rollback { .. }) && outcome != Outcome::Reverted;
        let accused = incident.asked.as_ref().filter(|asked| is_order(asked)).map(|_| &incident.accused);
        requests.left = accused.map(|accused| (accused.id.clone(), accused.artifact.clone()));
        if requests.targets.len() <= found {
            return;
        }
        let lost = &mut self.ledger.lost;
        lost.push((now, incident.id.clone(), requests));
        if lost.len() > Ledger::KEEP_LOST {
            lost.remove(0);
        }
    }

    /// What the outcome says about the accused deployment: condemned, unless something speaks for it. That another
    /// release came before it was dealt with does not: it was Bad when it was last seen.
    pub(super) fn judge(&mut self, outcome: Outcome, reason: Reason) {
        let accused = &self.incident.accused;
        let fair = matches!(
            reason,
            Reason::BadBeforeDeployment
                | Reason::Recovered
                | Reason::Blind
                | Reason::Rejected
                | Reason::Restarted
        );
        // Going back did not help: the release was not the cause. Or a person, who asked for it, knows better.
        let cleared = outcome == Outcome::Reverted;
        if cleared {
            self.ledger.condemned.retain(|(id, _)| *id != accused.id);
            for (_, _, requests) in &mut self.ledger.lost {
                requests.left.take_if(|(id, _)| *id == accused.id);
            }
        }
        // A person's order that came to nothing says nothing of what is live.
        let fair = fair || self.incident.asked.is_some();
        if !cleared && (!fair || self.came_about()) {
            self.condemn();
        }
    }

    /// Whether there is a rollback of this incident: a person who ordered one left that release then, even where another one
    /// was live, or somebody else had acted, before it was found. One that comes to light later is dealt with then.
    fn came_about(&self) -> bool {
        let is_of_it = |(_, of): &(DeploymentId, _)| *of == self.incident.id;
        self.incident.stage.rollback().is_some()
            || self.incident.asked.is_some() && self.ledger.ours.iter().any(is_of_it)
    }

    /// The situation after the outcome.
    pub(super) fn after(&self, outcome: Outcome, reason: Reason, seen: &Observation<'_>) -> Situation {
        let live = self.live();
        match outcome {
            Outcome::Held | Outcome::Failed => Situation::Held(Hold {
                why: reason,
                incident: self.incident.id.clone(),
                since: seen.at,
                live: live_now(live, seen),
                runs: what_runs(seen),
                pin: seen.app.value().and_then(|view| self.own_pin(view)),
                kept: self.kept(),
            }),
            // The revert's deployment is on its way; whatever comes is to be learnt.
            Outcome::Reverted => Situation::Learning { live: Some(live) },
            // The release stays under watch.
            Outcome::Restarted => match &self.incident.restartable {
                Some(watch) => {
                    let (candidate, former) = (self.incident.accused.clone(), self.incident.former.clone());
                    Situation::Watching(Watch {
                        live,
                        candidate,
                        former,
                        was_restarted: true,
                        ..(**watch).clone()
                    })
                }
                None => Situation::Learning { live: Some(live) },
            },
            // A person's rollback, or ours that a person committed: to be learnt as well.
            Outcome::Superseded => Situation::Learning { live: Some(live) },
            // A person was content with it, which says nothing of how it fares.
            Outcome::Committed if reason == Reason::Requested => Situation::Learning { live: Some(live) },
            _ => match &self.incident.asked {
                // Nothing came of the order.
                Some(Asked { order: Order::Rollback { was, .. }, .. }) if outcome != Outcome::Committed => {
                    (**was).clone()
                }
                _ => Situation::Steady { live },
            },
        }
    }

    /// The incident without what it need not be kept for, where its rollback is live.
    fn kept(&self) -> Option<Box<Incident>> {
        let is_live = matches!(
            self.incident.stage,
            Stage::Soaking { .. } | Stage::Committing { .. } | Stage::Reverting { .. }
        );
        let kept = || Incident { asked: None, ending: None, restartable: None, ..self.incident.clone() };
        is_live.then(|| Box::new(kept()))
    }

    pub(super) fn live(&self) -> Live {
        match &self.incident.stage {
            Stage::Soaking { live, .. }
            | Stage::Committing { live, .. }
            | Stage::Reverting { live, .. }
            | Stage::Returning { live, .. } => live.clone(),
            _ => self.incident.live.clone(),
        }
    }

    pub(super) fn own_pin(&self, view: &AppView) -> Option<DeploymentId> {
        match &self.ledger.soft_pin {
            Some(pin) => pin.holds.clone(),
            None => view.pinned.clone().filter(|pin| self.ledger.made_for(pin).is_some()),
        }
    }
}

/// What is live at the end of an incident, which may be newer than what was accused.
fn live_now(live: Live, seen: &Observation<'_>) -> Live {
    let active = seen.app.value().and_then(|view| view.active.as_ref());
    match active.filter(|active| active.came_after((live.created_ms, &live.id))) {
        Some(active) => Live { id: active.id.clone(), created_ms: active.created_ms, since: seen.at },
        None => live,
    }
}

fn verb_of(outcome: Outcome) -> Verb {
    match outcome {
        Outcome::Committed => Verb::Commit,
        Outcome::Reverted => Verb::Revert,
        Outcome::Refused => Verb::Refuse,
        Outcome::Held | Outcome::Failed => Verb::Hold,
        Outcome::Superseded => Verb::Yield,
        Outcome::Observed => Verb::Observe,
        Outcome::Restarted => Verb::Wait,
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
