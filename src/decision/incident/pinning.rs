//! Pinning: where the platform pins nothing by itself, pushes are kept from being deployed before the rollback is
//! asked for. The request can be repeated without harm, and a rollback without it is better than none.

use super::super::capability::{PinKind, Pushes};
use super::super::effect::{Answer, Effect, Guard, Reason};
use super::super::observation::{Deployment, Observation};
use super::super::policy::Policy;
use super::super::state::{Call, CallStatus, Outcome, SoftPin, Stage};
use super::super::story::Event;
use super::draft::Draft;
use super::{
    Decision, Obstacle, creating, obstacle, refusal, settling, unless_withheld_or_asked, validating,
};
use crate::clock::Moment;

/// How often it is asked for. The bad release is live meanwhile.
const MOST_ASKED: u32 = 3;

/// Asks for the pin where there is one to ask for, and goes on to the rollback where not.
pub(super) fn ask(policy: &Policy, mut draft: Draft, target: Deployment, seen: &Observation<'_>) -> Decision {
    let Stage::Validating { deadline, .. } = draft.incident.stage else { return draft.done(None, None) };
    if draft.incident.capabilities.pin != PinKind::Soft {
        return creating::ask(policy, draft, target, seen);
    }
    if says_paused(seen) {
        go_on_with(&mut draft, seen);
        return creating::ask(policy, draft, target, seen);
    }
    match unless_withheld_or_asked(policy, draft, &target, seen) {
        Ok(draft) => send(draft, target, 1, deadline, seen),
        Err(decision) => decision,
    }
}

pub(super) fn says_paused(seen: &Observation<'_>) -> bool {
    seen.app.value().and_then(|view| view.pushes) == Some(Pushes::Paused)
}

/// Pushes are paused already. Paused for an earlier incident of ours it goes on for this one; paused by a person it is theirs.
fn go_on_with(draft: &mut Draft, seen: &Observation<'_>) {
    let is_ours = |pin: &&mut SoftPin| pin.may_be_ours(seen.at);
    if let Some(pin) = draft.ledger.soft_pin.as_mut().filter(is_ours) {
        pin.see(seen.at);
        (pin.release, pin.tries) = (None, 0);
    }
}

fn send(
    mut draft: Draft,
    target: Deployment,
    attempt: u32,
    deadline: Moment,
    seen: &Observation<'_>,
) -> Decision {
    let incident = draft.incident.id.clone();
    // Remembered before it is asked for: whatever becomes of the request, its end is owed.
    draft.ledger.soft_pin.get_or_insert_with(|| SoftPin::of(incident));
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
    let mine = &draft.incident.id;
    let mut pin = draft.ledger.soft_pin.take();
    match (answer, &mut pin) {
        (Answer::Pinned, Some(pin)) => pin.is_made(mine, seen.at),
        (Answer::NotSent(_) | Answer::NotApplied { .. }, _) => {
            pin = pin.and_then(SoftPin::without_request);
        }
        (Answer::Refused { .. }, Some(pin)) => pin.is_refused(mine, seen.at),
        (_, Some(pin)) => pin.is_lost(mine, seen.at),
        (_, None) => {}
    }
    draft.ledger.soft_pin = pin;
    if let Some(reason) = refusal(answer) {
        return draft.close(Outcome::Refused, reason, seen);
    }
    match answer {
        Answer::Pinned => return create(policy, draft, target, seen),
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
    let unresolved = || CallStatus::unresolved(answer, seen.at);
    let status = draft.setback(answer, seen.at).unwrap_or_else(unresolved);
    draft.stage(Stage::Pinning { target, call: Call { status, ..call }, deadline });
    look(policy, draft, seen)
}

/// Whether there is still a pin to ask for, by the read that was made for it.
pub(super) fn can_pin(seen: &Observation<'_>) -> bool {
    seen.app.value().is_none_or(|view| view.capabilities.pin == PinKind::Soft)
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
        CallStatus::Backoff { until, .. } if says_paused(seen) => {
            if seen.app.since(until).is_none() && seen.at < deadline {
                return Decision { look: true, ..draft.done(Some(deadline), Some(settling::waiting(seen))) };
            }
            go_on_with(&mut draft, seen);
            return create(policy, draft, target, seen);
        }
        CallStatus::Backoff { .. } => {}
        CallStatus::Unresolved { since, .. } => {
            let read = seen.app.last.as_ref().filter(|(read_at, _)| *read_at > since);
            match read.map(|(_, view)| view.pushes) {
                Some(Some(Pushes::Paused)) => {
                    if let Some(pin) = &mut draft.ledger.soft_pin {
                        pin.is_found(seen.at);
                    }
                    return create(policy, draft, target, seen);
                }
                Some(Some(Pushes::Deploy)) => {}
                // Not read since, or by a list that does not tell.
                _ => return draft.done(None, Some(Reason::Blind)),
            }
        }
    }
    draft = match unless_withheld_or_asked(policy, draft, &target, seen) {
        Ok(draft) => draft,
        Err(decision) => return decision,
    };
    if call.attempt >= MOST_ASKED {
        return unprotected(policy, draft, target, seen);
    }
    send(draft, target, call.attempt + 1, deadline, seen)
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
