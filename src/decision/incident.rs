//! An incident, from a rule firing to an outcome. One file a step below this one.
//!
//! Every step is a function of the whole picture; none of them remembers a change. A step that owes a call
//! stands still until the answer is in.

mod approval;
mod creating;
mod rolling_back;
mod settling;
mod soaking;
mod validating;

use std::time::Duration;

use super::effect::{Answer, Effect, Guard, Reason, Rejection, Verb};
use super::limits;
use super::observation::{AppView, Deployment, Observation, ReadFault, Request};
use super::policy::{Mode, Policy, Rule};
use super::rule::{self, Reading, Verdict};
use super::state::{Call, CallStatus, Hold, Incident, Ledger, Live, Outcome, Requests, Situation, Stage, State, Watch};
use super::story::{Event, condition_in_words, evidence_in_words};
use super::target::{self, Pick};
use super::{Change, Closed, Decision, Ruling};
use crate::clock::Moment;
use crate::ids::{DeploymentId, IncidentId};

/// How long a target is looked for, validated and waited for before the incident ends in a refusal. A colleague's
/// deployment may take this long to build; a token may take this long to be replaced.
const VALIDATE_WITHIN: Duration = Duration::from_secs(30 * 60);

/// How long the platform says that there is no such app before nothing more is expected of it.
const GONE_AFTER: Duration = Duration::from_secs(30 * 60);

/// Opens the incident of `watch`'s candidate, which `rule` accuses.
pub(super) fn open(
    policy: &Policy,
    state: &State,
    watch: &Watch,
    rule: &Rule,
    reading: &Reading,
    seen: &Observation<'_>,
) -> Decision {
    let accused = &watch.candidate;
    let incident = Incident {
        id: IncidentId::of(&policy.app, &accused.id),
        opened_at: seen.at,
        first_failure_at: reading.first_failure_at.unwrap_or(seen.at),
        rule: rule.name.clone(),
        evidence: reading.clone(),
        accused: accused.clone(),
        live: watch.live.clone(),
        tried: Vec::new(),
        requests: Requests::default(),
        setbacks: 0,
        approved: false,
        stage: Stage::Validating { target: None, call: None, deadline: seen.at + VALIDATE_WITHIN },
    };
    let mut draft = Draft::new(state.ledger.clone(), incident);
    Ledger::note(&mut draft.ledger.accused, accused.id.clone());
    draft.tell(Event::Fired {
        rule: rule.name.clone(),
        condition: condition_in_words(rule),
        evidence: evidence_in_words(rule, reading),
        reading: reading.clone(),
        accused: accused.id.clone(),
        title: accused.title.clone(),
    });
    if watch.bad_before.contains(&rule.name) {
        return draft.close(Outcome::Refused, Reason::BadBeforeDeployment, seen);
    }
    if policy.mode == Mode::Observe {
        return observed(policy, draft, seen);
    }
    if let Err(reason) = limits::permit(&policy.limits, &draft.ledger, seen.operator, seen.at) {
        return draft.close(Outcome::Refused, reason, seen);
    }
    if seen.app.value().is_some_and(|view| view.pinned.is_some()) {
        return draft.close(Outcome::Refused, Reason::ForeignPin, seen);
    }
    draft.rule(Verb::Rollback, Reason::RuleFired);
    validating::look(policy, draft, seen)
}

/// What observe mode would have done: the same choice of a target, and no call.
fn observed(policy: &Policy, mut draft: Draft, seen: &Observation<'_>) -> Decision {
    let history = seen.history.value().map(Vec::as_slice);
    if let Pick::Target(target) = target::pick(&draft.ledger, &draft.incident, history) {
        draft.tell_target(&target);
        draft.set_target(target);
    }
    if let Err(reason) = limits::permit(&policy.limits, &draft.ledger, seen.operator, seen.at) {
        // Recorded, since enforce would have refused here.
        draft.rule(Verb::Refuse, reason);
    }
    draft.close(Outcome::Observed, Reason::ObserveMode, seen)
}

/// Decides for an app with an open incident.
pub(super) fn decide(
    policy: &Policy,
    state: &State,
    incident: &Incident,
    seen: &Observation<'_>,
) -> Decision {
    let owed = state.owed();
    if owed.is_some() && seen.answer.is_none() {
        return Decision::stay(None);
    }
    let mut draft = Draft::new(state.ledger.clone(), incident.clone());
    let answer = owed.and_then(|call| {
        let answer = seen.answer?;
        draft.tell(Event::Answered { call: call.word().to_owned(), answer: answer.clone() });
        Some(answer)
    });
    let undecided = matches!(incident.stage, Stage::AwaitingApproval { .. } | Stage::Validating { .. });
    if policy.mode == Mode::Observe && undecided {
        // A reload took the right to act away.
        return draft.close(Outcome::Observed, Reason::ObserveMode, seen);
    }
    if answer.is_none() && is_gone(incident, seen) {
        draft.tell(Event::AppGone);
        return draft.close(Outcome::Held, Reason::Blind, seen);
    }
    draft.follow_restart(seen);
    match incident.stage {
        Stage::AwaitingApproval { .. } => approval::look(policy, draft, seen),
        Stage::Validating { .. } => match answer {
            Some(answer) => validating::answered(policy, draft, seen, answer),
            None => validating::look(policy, draft, seen),
        },
        Stage::Creating { .. } => match answer {
            Some(answer) => creating::answered(policy, draft, seen, answer),
            None => creating::look(policy, draft, seen),
        },
        Stage::RollingBack { .. } => rolling_back::look(policy, draft, seen),
        Stage::Soaking { .. } => soaking::look(policy, draft, seen),
        Stage::Committing { .. } | Stage::Reverting { .. } => match answer {
            Some(answer) => settling::answered(policy, draft, seen, answer),
            None => settling::look(policy, draft, seen),
        },
    }
}

/// Whether a call is unanswered and the app it was for is not there any more. The steps without such a call have their
/// own ends.
fn is_gone(incident: &Incident, seen: &Observation<'_>) -> bool {
    let call = match &incident.stage {
        Stage::Creating { call, .. } | Stage::Committing { call, .. } | Stage::Reverting { call, .. } => call,
        _ => return false,
    };
    let last_seen = seen.app.read_at().map_or(call.intended_at, |at| at.max(call.intended_at));
    seen.app.fault == Some(ReadFault::NotFound) && seen.at.since(last_seen) >= GONE_AFTER
}

/// What keeps an incident from going on before its rollback exists.
enum Obstacle {
    /// It is over.
    Close(Outcome, Reason),
    /// Not now.
    Wait(Reason),
}

/// The picture an incident needs in order to go on toward its rollback: the accused deployment is still live and
/// still Bad, nobody pinned the app, nothing is under way, nobody said no.
fn obstacle(policy: &Policy, incident: &Incident, seen: &Observation<'_>) -> Option<Obstacle> {
    if seen.operator.paused {
        return Some(Obstacle::Close(Outcome::Refused, Reason::Paused));
    }
    if seen.operator.request == Some(Request::Reject) {
        return Some(Obstacle::Close(Outcome::Refused, Reason::Rejected));
    }
    let view = seen.app.value();
    let Some((view, active)) = view.and_then(|view| Some((view, view.active.as_ref()?))) else {
        return Some(Obstacle::Wait(Reason::Blind));
    };
    if active.id != incident.accused.id {
        return Some(if active.came_after(incident.accused.age_key()) {
            Obstacle::Close(Outcome::Superseded, Reason::Superseded)
        } else {
            Obstacle::Wait(Reason::Blind)
        });
    }
    if view.pinned.is_some() {
        return Some(Obstacle::Close(Outcome::Superseded, Reason::ForeignPin));
    }
    if view.in_progress.is_some() {
        return Some(Obstacle::Wait(Reason::InProgress));
    }
    match verdict_of(policy, incident, seen) {
        // What healed it may be our own request, applied and not seen yet.
        Verdict::Good if !incident.requests.targets.is_empty() => Some(Obstacle::Wait(Reason::Recovered)),
        Verdict::Good => Some(Obstacle::Close(Outcome::Refused, Reason::Recovered)),
        Verdict::Unknown => Some(Obstacle::Wait(Reason::Blind)),
        Verdict::Bad => None,
    }
}

/// What the rule that fired says now. A rule that a reload removed says nothing.
fn verdict_of(policy: &Policy, incident: &Incident, seen: &Observation<'_>) -> Verdict {
    let readings = rule::read_all(policy, seen.windows, incident.live.since, seen.at);
    let mine = policy.rules.iter().zip(readings).find(|(rule, _)| rule.name == incident.rule);
    mine.map_or(Verdict::Unknown, |(_, reading)| reading.verdict)
}

/// The longest wait a platform may ask for. One that names years keeps a pin for ten minutes, not for ever.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10 * 60);

/// How long to leave the platform alone after this many calls that were surely not applied: what it asked for,
/// else doubling from a second to a minute.
fn backoff(setbacks: u32, asked: Option<Duration>) -> Duration {
    let doubling = Duration::from_secs(1 << setbacks.saturating_sub(1).min(6)).min(Duration::from_secs(60));
    asked.unwrap_or(doubling).clamp(Duration::from_secs(1), LONGEST_BACKOFF)
}

/// A decision about an incident in the making.
struct Draft {
    ledger: Ledger,
    incident: Incident,
    effect: Option<Effect>,
    ruling: Option<Ruling>,
    story: Vec<Event>,
    /// Something differs from the state the decision began with.
    changed: bool,
}

impl Draft {
    fn new(ledger: Ledger, incident: Incident) -> Self {
        Self { ledger, incident, effect: None, ruling: None, story: Vec::new(), changed: false }
    }

    /// A restart of the accused release, or the platform's own upkeep of it, is the accused release under another
    /// id: it is judged by its own samples from then on.
    fn follow_restart(&mut self, seen: &Observation<'_>) {
        let is_open =
            matches!(self.incident.stage, Stage::AwaitingApproval { .. } | Stage::Validating { .. });
        let Some(active) = seen.app.value().and_then(|view| view.active.as_ref()) else { return };
        let accused = &self.incident.accused;
        let is_successor = active.id != accused.id && active.came_after(accused.age_key());
        if is_open && self.incident.requests.targets.is_empty() && is_successor && active.cause.repeats_release() {
            let live = Live { id: active.id.clone(), created_ms: active.created_ms, since: seen.at };
            self.incident.accused = Deployment { artifact: accused.artifact.clone(), ..active.clone() };
            self.incident.live = live;
            Ledger::note(&mut self.ledger.accused, active.id.clone());
            self.changed = true;
        }
    }

    fn tell(&mut self, event: Event) {
        self.story.push(event);
        self.changed = true;
    }

    fn tell_target(&mut self, target: &Deployment) {
        let seen_good = self.ledger.good.iter().any(|good| good.id == target.id);
        self.tell(Event::Target { target: target.id.clone(), title: target.title.clone(), seen_good });
    }

    fn rule(&mut self, verb: Verb, reason: Reason) {
        self.ruling = Some(Ruling { verb, reason, incident: Some(self.incident.id.clone()) });
    }

    fn set_target(&mut self, chosen: Deployment) {
        if let Stage::Validating { target, .. } = &mut self.incident.stage {
            *target = Some(chosen);
            self.changed = true;
        }
    }

    /// The target is not accepted; another one may be.
    fn strike(&mut self, target: &Deployment, reason: Reason, detail: String) {
        self.tell(Event::TargetRefused { target: target.id.clone(), reason, detail });
        self.incident.tried.push((target.id.clone(), reason));
    }

    fn stage(&mut self, stage: Stage) {
        self.incident.stage = stage;
        self.changed = true;
    }

    /// A call was surely not applied: when the next one may be sent. `None` if the answer does not say so.
    fn setback(&mut self, answer: &Answer, now: Moment) -> Option<CallStatus> {
        let status = not_applied(answer, self.incident.setbacks + 1, now)?;
        self.incident.setbacks += 1;
        Some(status)
    }

    /// Owes `effect` from here on; the stage holds the [`Call`] this gives.
    fn owe(&mut self, effect: Effect, attempt: u32, now: Moment) -> Call {
        self.tell(Event::Call { call: effect.clone(), attempt });
        self.effect = Some(effect);
        Call { attempt, intended_at: now, status: CallStatus::Owed }
    }

    /// The decision so far, without an end of the incident.
    fn done(self, wake_at: Option<Moment>, waiting: Option<Reason>) -> Decision {
        if !self.changed {
            return Decision { change: None, wake_at, waiting, look: false };
        }
        let state = State { situation: Situation::Incident(Box::new(self.incident)), ledger: self.ledger };
        let change =
            Change { state, effect: self.effect, ruling: self.ruling, closed: None, story: self.story };
        Decision { change: Some(Box::new(change)), wake_at, waiting, look: false }
    }

    /// The rollback exists: it is ours, and it counts against the budget.
    fn created(&mut self, rollback: &Deployment, now: Moment) {
        self.note_ours(rollback.id.clone());
        Ledger::note(&mut self.ledger.rollbacks, now);
        self.incident.setbacks = 0;
    }

    fn note_ours(&mut self, made: DeploymentId) {
        Ledger::note(&mut self.ledger.ours, (made, self.incident.id.clone()));
    }

    /// Ends the incident.
    fn close(mut self, outcome: Outcome, reason: Reason, seen: &Observation<'_>) -> Decision {
        self.tell(Event::Closed { outcome, reason });
        self.judge(outcome, reason);
        if matches!(outcome, Outcome::Committed | Outcome::Reverted | Outcome::Superseded)
            && let Some(rollback) = self.incident.stage.rollback()
        {
            Ledger::note(&mut self.ledger.settled, rollback.clone());
        }
        self.remember_lost(seen.at);
        match outcome {
            // Decided, and counted, when the call was asked for.
            Outcome::Committed | Outcome::Reverted => self.ruling = None,
            Outcome::Observed if self.ruling.is_some() => {}
            _ => self.rule(verb_of(outcome), reason),
        }
        let state = State { situation: self.after(outcome, reason, seen), ledger: self.ledger };
        let closed = Closed { incident: self.incident, outcome, reason };
        let change =
            Change { state, effect: None, ruling: self.ruling, closed: Some(closed), story: self.story };
        Decision::change(change)
    }

    /// Keeps the requests of which nothing was seen: what one of them makes later is ours.
    fn remember_lost(&mut self, now: Moment) {
        let (incident, lost) = (&self.incident, &mut self.ledger.lost);
        let mut requests = incident.requests.clone();
        let found = incident.stage.rollback();
        if requests.targets.len() <= usize::from(found.is_some()) {
            return;
        }
        requests.before.extend(found.cloned());
        lost.push((now, incident.id.clone(), requests));
        if lost.len() > Ledger::KEEP_LOST {
            lost.remove(0);
        }
    }

    /// What the outcome says about the accused deployment: condemned, unless something speaks for it. That another
    /// release came before it was dealt with does not: it was Bad when it was last seen.
    fn judge(&mut self, outcome: Outcome, reason: Reason) {
        let accused = &self.incident.accused;
        let fair = matches!(
            reason,
            Reason::BadBeforeDeployment | Reason::Recovered | Reason::Blind | Reason::Rejected
        );
        if outcome == Outcome::Reverted {
            // Going back did not help: the release was not the cause.
            self.ledger.condemned.retain(|(id, _)| *id != accused.id);
        } else if !fair || self.incident.stage.rollback().is_some() {
            Ledger::note(&mut self.ledger.condemned, (accused.id.clone(), accused.artifact.clone()));
        }
    }

    /// The situation after the outcome.
    fn after(&self, outcome: Outcome, reason: Reason, seen: &Observation<'_>) -> Situation {
        let live = self.live();
        match outcome {
            Outcome::Held | Outcome::Failed => Situation::Held(Hold {
                why: reason,
                incident: self.incident.id.clone(),
                since: seen.at,
                live: live_now(live, seen),
                pin: seen.app.value().and_then(|view| self.own_pin(view)),
            }),
            // The revert's deployment is on its way; whatever comes is to be learnt.
            Outcome::Reverted => Situation::Learning { live: Some(live) },
            // A person's rollback, or ours that a person committed: to be learnt as well.
            Outcome::Superseded => Situation::Learning { live: Some(live) },
            _ => Situation::Steady { live },
        }
    }

    fn live(&self) -> Live {
        match &self.incident.stage {
            Stage::Soaking { live, .. } | Stage::Committing { live, .. } | Stage::Reverting { live, .. } => {
                live.clone()
            }
            _ => self.incident.live.clone(),
        }
    }

    fn own_pin(&self, view: &AppView) -> Option<DeploymentId> {
        view.pinned.clone().filter(|pin| self.ledger.made_for(pin).is_some())
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
        Answer::NotSent(_) => (None, Reason::Blind),
        _ => return None,
    };
    Some(CallStatus::Backoff { until: now + backoff(setbacks, asked), why })
}
