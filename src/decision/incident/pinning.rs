//! Pinning: where the platform pins nothing by itself, pushes are kept from being deployed before the rollback is
//! asked for. The request can be repeated without harm, and a rollback without it is better than none.

use super::super::capability::{PinKind, Pushes};
use super::super::effect::{Answer, Effect, Guard, Reason};
use super::super::observation::{Deployment, Observation};
use super::super::pin::{LAG, LATEST};
use super::super::policy::{Mode, Policy};
use super::super::state::{Call, CallStatus, Outcome, SoftPin, Stage};
use super::super::story::Event;
use super::draft::Draft;
use super::{Decision, Obstacle, creating, is_disarmed, obstacle, refusal, validating};
use crate::clock::Moment;

/// How often it is asked for. The bad release is live meanwhile.
const MOST_ASKED: u32 = 3;

/// Asks for the pin where there is one to ask for, and goes on to the rollback where not.
pub(super) fn ask(policy: &Policy, mut draft: Draft, target: Deployment, seen: &Observation<'_>) -> Decision {
    let Stage::Validating { deadline, .. } = draft.incident.stage else { return draft.done(None, None) };
    let is_paused = seen.app.value().and_then(|view| view.pushes) == Some(Pushes::Paused);
    if draft.incident.capabilities.pin != PinKind::Soft || is_paused {
        // Paused for an earlier incident of ours it goes on for this one; paused by a person it is theirs.
        let is_ours = |pin: &&mut SoftPin| is_paused && pin.may_be_ours(seen.at);
        if let Some(pin) = draft.ledger.soft_pin.as_mut().filter(is_ours) {
            (pin.is_seen, pin.release) = (true, None);
        }
        return creating::ask(policy, draft, target, seen);
    }
    if draft.incident.mode(policy) == Mode::Observe {
        return draft.close(Outcome::Observed, Reason::ObserveMode, seen);
    }
    send(draft, target, 1, deadline, seen)
}

fn send(
    mut draft: Draft,
    target: Deployment,
    attempt: u32,
    deadline: Moment,
    seen: &Observation<'_>,
) -> Decision {
    let incident = draft.incident.id.clone();
    // What is looked out for only to be told of is looked out for beside this one.
    let told_only = draft.ledger.soft_pin.take_if(|pin| !pin.may_be_ours(seen.at));
    let lost_before = told_only.and_then(|pin| pin.lost_at.max(pin.lost_before));
    // Remembered before it is asked for: whatever becomes of the request, its end is owed.
    let new = || SoftPin { lost_before, ..SoftPin::of(incident, seen.at + LATEST) };
    draft.ledger.soft_pin.get_or_insert_with(new);
    let accused = draft.incident.accused.id.clone();
    let call = draft.owe(Effect::Pin { accused }, attempt, seen);
    draft.stage(Stage::Pinning { target, call, deadline });
    draft.done(None, None)
}

/// Takes the platform's answer.
pub(super) fn answered(
    policy: &Policy,
    mut draft: Draft,
    seen: &Observation<'_>,
    answer: &Answer,
) -> Decision {
    let Stage::Pinning { target, call, deadline } = draft.incident.stage.clone() else {
        return draft.done(None, None);
    };
    match answer {
        Answer::Pinned => {
            if let Some(pin) = &mut draft.ledger.soft_pin {
                pin.is_answered = true;
                // What was left of an earlier one is looked out for as long as this one from now on.
                (pin.incident, pin.until) = (draft.incident.id.clone(), pin.until.max(seen.at + LATEST));
                (pin.release, pin.tries, pin.let_go_at) = (None, 0, None);
                (pin.is_app_gone, pin.doubted_at) = (false, None);
            }
            return create(policy, draft, target, seen);
        }
        Answer::NotSent(_) | Answer::NotApplied { .. } => forget_unless_older(&mut draft),
        // Not even a refusal is proof. A pause that comes about later is a person's.
        Answer::Refused { .. } => {
            let mine = draft.incident.id.clone();
            let is_void = |pin: &SoftPin| pin.incident == mine && pin.lost_at.is_none() && !pin.is_there();
            match draft.ledger.soft_pin.as_mut() {
                Some(pin) if is_void(pin) => (pin.until, pin.seen_absent) = (seen.at + LAG, true),
                Some(pin) => pin.until = pin.until.max(seen.at + LAG),
                None => {}
            }
        }
        _ => {}
    }
    if let Some(reason) = refusal(answer) {
        return draft.close(Outcome::Refused, reason, seen);
    }
    match answer {
        // A closer look shows that pushes cannot be kept away from this app.
        Answer::NotSent(Guard::Changed) if !can_pin(seen) => return unprotected(policy, draft, target, seen),
        // The picture is another one: from the start again, with fresh eyes, after a while.
        Answer::NotSent(Guard::Changed) => {
            let call = draft.setback(answer, seen.at).map(|status| Call { attempt: 0, status, ..call });
            draft.stage(Stage::Validating { target: Some(target), call, deadline });
            return validating::look(policy, draft, seen);
        }
        Answer::Refused { .. } => return unprotected(policy, draft, target, seen),
        _ => {}
    }
    let status = draft.setback(answer, seen.at).unwrap_or_else(|| {
        if let Some(pin) = &mut draft.ledger.soft_pin {
            (pin.lost_at, pin.until) = (Some(seen.at), seen.at + LATEST);
            (pin.seen_absent, pin.let_go_at, pin.doubted_at) = (false, None, None);
        }
        CallStatus::Unresolved { since: seen.at, absent_since: None, refused: None }
    });
    draft.stage(Stage::Pinning { target, call: Call { status, ..call }, deadline });
    look(policy, draft, seen)
}

/// Whether there is still a pin to ask for, by the read that was made for it.
fn can_pin(seen: &Observation<'_>) -> bool {
    seen.app.value().is_none_or(|view| view.capabilities.pin == PinKind::Soft)
}

/// A request that was surely not applied, and no earlier one either: nothing is owed for it.
fn forget_unless_older(draft: &mut Draft) {
    let mine = &draft.incident.id;
    let is_void = |pin: &mut SoftPin| pin.incident == *mine && pin.lost_at.is_none() && !pin.is_there();
    let void = draft.ledger.soft_pin.take_if(is_void);
    // What an earlier one may make yet is told of as before.
    let older = void.filter(|pin| pin.lost_before.is_some());
    let told_only = |pin| SoftPin { until: Moment::default(), seen_absent: true, ..pin };
    draft.ledger.soft_pin = draft.ledger.soft_pin.take().or(older.map(told_only));
}

/// Looks what became of it, and asks again.
pub(super) fn look(policy: &Policy, mut draft: Draft, seen: &Observation<'_>) -> Decision {
    let Stage::Pinning { target, call, deadline } = draft.incident.stage.clone() else {
        return draft.done(None, None);
    };
    match obstacle(policy, &draft.incident, seen) {
        Some(Obstacle::Close(outcome, reason)) => return draft.close(outcome, reason, seen),
        Some(Obstacle::Wait(_)) | None => {}
    }
    match call.status {
        CallStatus::Owed => return draft.done(None, None),
        CallStatus::Backoff { until, why } if seen.at < until => return draft.done(Some(until), Some(why)),
        CallStatus::Backoff { .. } => {}
        CallStatus::Unresolved { since, .. } => {
            let read = seen.app.last.as_ref().filter(|(read_at, _)| *read_at > since);
            match read.map(|(_, view)| view.pushes) {
                Some(Some(Pushes::Paused)) => {
                    resolve(&mut draft, &call);
                    return create(policy, draft, target, seen);
                }
                Some(Some(Pushes::Deploy)) => {}
                // Not read since, or by a list that does not tell.
                _ => return draft.done(None, Some(Reason::Blind)),
            }
        }
    }
    if is_disarmed(policy, &draft.incident) {
        return draft.close_unarmed(seen);
    }
    if call.attempt >= MOST_ASKED {
        return unprotected(policy, draft, target, seen);
    }
    send(draft, target, call.attempt + 1, deadline, seen)
}

/// A read shows the pause that was asked for. If that was asked for once, nothing can come of it any more.
fn resolve(draft: &mut Draft, call: &Call) {
    let mine = &draft.incident.id;
    if let Some(pin) = draft.ledger.soft_pin.as_mut() {
        pin.is_seen = true;
        if pin.incident == *mine && call.attempt == 1 {
            pin.lost_at = None;
        }
    }
}

/// Nothing keeps pushes away: said, and no reason to leave the bad release live.
fn unprotected(policy: &Policy, mut draft: Draft, target: Deployment, seen: &Observation<'_>) -> Decision {
    draft.tell(Event::Unprotected);
    create(policy, draft, target, seen)
}

fn create(policy: &Policy, mut draft: Draft, target: Deployment, seen: &Observation<'_>) -> Decision {
    let Stage::Pinning { deadline, .. } = draft.incident.stage else { return draft.done(None, None) };
    draft.stage(Stage::Validating { target: Some(target.clone()), call: None, deadline });
    match obstacle(policy, &draft.incident, seen) {
        Some(Obstacle::Close(outcome, reason)) => draft.close(outcome, reason, seen),
        Some(Obstacle::Wait(reason)) => validating::wait(draft, reason, deadline, None, seen),
        None => creating::ask(policy, draft, target, seen),
    }
}
