//! Reverting where the platform knows no revert: a rollback from our rollback to what was live before it, followed until
//! it is live and runs what ran then.

use std::time::Duration;

use super::super::capability::Targeting;
use super::super::effect::{Answer, Reason};
use super::super::observation::{Deployment, Observation, Phase};
use super::super::policy::{Mode, Policy};
use super::super::state::{Call, CallStatus, Outcome, Settle, Stage};
use super::super::story::Event;
use super::super::target;
use super::creating::New;
use super::draft::Draft;
use super::rolling_back::{self, Patience, ROLL_BACK_WITHIN, current};
use super::{Decision, creating, is_disarmed, settling};
use crate::clock::Moment;

/// How old the list of what exists may be when it is asked for.
const FRESH: Duration = Duration::from_secs(60);

/// How often it is asked for, where that leads nowhere else.
const MOST_ASKED: u32 = 3;

/// Owes the request.
pub(super) fn ask(policy: &Policy, draft: Draft, seen: &Observation<'_>) -> Decision {
    send(policy, draft, 1, seen)
}

fn send(policy: &Policy, mut draft: Draft, attempt: u32, seen: &Observation<'_>) -> Decision {
    if policy.mode == Mode::Observe {
        return draft.close(Outcome::Held, Reason::ObserveMode, seen);
    }
    if let Some(reason) = draft.barred(Settle::Revert, seen) {
        return draft.end_waits(reason);
    }
    if draft.incident.ending.is_none() && is_disarmed(policy, &draft.incident) {
        // Going back is a rollback whose target the platform picks as well.
        draft.tell(Event::Unarmed);
        return close(draft, Outcome::Held, seen);
    }
    let until = Some(seen.at + ROLL_BACK_WITHIN);
    let (target, rollback, live, deadline) = match draft.incident.stage.clone() {
        Stage::Soaking { target, rollback, live, .. } => (target, rollback, live, until),
        Stage::Reverting { target, rollback, live, deadline, .. } => {
            (target, rollback, live, deadline.or(until))
        }
        _ => return draft.done(None, None),
    };
    let Some(history) = fresh_list(seen) else {
        return Decision { look: true, ..draft.done(None, Some(Reason::Blind)) };
    };
    let accused = draft.incident.accused.clone();
    if draft.incident.capabilities.targeting == Targeting::PlatformPicks {
        // It has to be what the platform will pick.
        let picked = target::platforms_choice(&rollback, history);
        if picked.is_none_or(|picked| picked.id != accused.id && !picked.artifact.same_as(&accused.artifact))
        {
            return close(draft, Outcome::Held, seen);
        }
    }
    if attempt == 1 {
        draft.settle_found(seen);
        draft.incident.requests.before.extend(history.iter().map(|entry| entry.id.clone()));
    }
    draft.incident.requests.targets.push(accused.clone());
    draft.tell_if_inexact();
    let effect = draft.incident.rollback_to(rollback.id.clone(), &accused);
    let call = draft.owe(effect, attempt, seen);
    draft.stage(Stage::Reverting { target, rollback, live, call, deadline });
    draft.done(None, None)
}

/// What exists now: by an older list a colleague's rollback of the meantime could not be told from ours.
pub(super) fn fresh_list<'a>(seen: &Observation<'a>) -> Option<&'a Vec<Deployment>> {
    seen.history.since(seen.at - FRESH)
}

/// Takes the platform's answer.
pub(super) fn answered(
    policy: &Policy,
    mut draft: Draft,
    seen: &Observation<'_>,
    answer: &Answer,
) -> Decision {
    let Stage::Reverting { call, .. } = draft.incident.stage.clone() else { return draft.done(None, None) };
    if let Answer::Created(made) = answer {
        draft.incident.requests.answered(made.id.clone());
        return begin(draft, made.clone(), seen);
    }
    let status = match draft.setback(answer, seen.at) {
        Some(status) => {
            draft.incident.requests.targets.pop();
            status
        }
        None => CallStatus::unresolved(answer, seen.at),
    };
    set_call(&mut draft, Call { status, ..call });
    look(policy, draft, seen)
}

/// Resolves a request without a conclusive answer, or sends it when its wait is over.
pub(super) fn look(policy: &Policy, mut draft: Draft, seen: &Observation<'_>) -> Decision {
    let Stage::Reverting { rollback, mut call, deadline, .. } = draft.incident.stage.clone() else {
        return draft.done(None, None);
    };
    if let CallStatus::Backoff { why, .. } = call.status
        // A pause and a freeze have their own end, and a token is never given up.
        && !matches!(why, Reason::Paused | Reason::Freeze | Reason::Denied)
        && !seen.operator.paused
        && deadline.is_some_and(|deadline| seen.at >= deadline)
    {
        return close(draft, Outcome::Held, seen);
    }
    let (asked_at, waits) = match call.status {
        CallStatus::Owed => return draft.done(None, None),
        CallStatus::Backoff { until, why } => {
            (until, if seen.at < until { why } else { settling::waiting(seen) })
        }
        CallStatus::Unresolved { since, .. } => (since, Reason::Blind),
    };
    let (Some(view), Some(_)) = (seen.app.since(asked_at), seen.history.since(asked_at)) else {
        return draft.done(None, Some(waits));
    };
    // What goes back to anything else may be ours too, and is not what was asked for now.
    let accused = draft.incident.accused.id.clone();
    if let Some((_, made)) = creating::find_ours(&draft.incident, |target| *target == accused, seen) {
        draft.tell(Event::Adopted { call: "create_rollback".to_owned(), deployment: Some(made.id.clone()) });
        return begin(draft, made, seen);
    }
    let new = match call.status {
        CallStatus::Unresolved { .. } => creating::new_of(&draft, &rollback.artifact, seen),
        _ => New::Nothing,
    };
    match new {
        // What it runs is held against what was wanted.
        New::Picked(made) => return begin(draft, *made, seen),
        New::Unsure(deployments) => {
            // That one of them goes live is no person's answer to the hold.
            deployments.iter().for_each(|made| draft.note_perhaps_ours(made));
            draft.tell(Event::PerhapsOurs { deployments, is_restart: false });
            return draft.close(Outcome::Held, Reason::WrongTarget, seen);
        }
        New::Perhaps(_) | New::Nothing => {}
    }
    if rolling_back::is_overtaken(&rollback, &draft, view) {
        return draft.close(Outcome::Superseded, Reason::Superseded, seen);
    }
    let CallStatus::Unresolved { since, refused, .. } = call.status else {
        return send(policy, draft, call.attempt, seen);
    };
    match new {
        New::Perhaps(phase) if refused.is_none() => {
            return match creating::told_by(phase, since, seen.at) {
                Some(until) => draft.done(Some(until), Some(Reason::InProgress)),
                None => close(draft, Outcome::Held, seen),
            };
        }
        _ => {}
    }
    let read_at = seen.history.read_at().min(seen.app.read_at()).unwrap_or(seen.at);
    if call.status.is_absent(read_at, policy.reconcile) {
        draft.tell(Event::NotApplied { call: "create_rollback".to_owned() });
        let is_spent = call.attempt >= MOST_ASKED || !draft.incident.capabilities.resend_is_safe;
        if is_spent || refused.is_some() {
            return close(draft, Outcome::Held, seen);
        }
        return send(policy, draft, call.attempt + 1, seen);
    }
    set_call(&mut draft, call);
    draft.done(Some(since + policy.reconcile), Some(Reason::Blind))
}

fn set_call(draft: &mut Draft, new: Call) {
    if let Stage::Reverting { call, .. } = &mut draft.incident.stage {
        *call = new;
    }
}

/// The deployment is there.
fn begin(mut draft: Draft, made: Deployment, seen: &Observation<'_>) -> Decision {
    let Stage::Reverting { target, rollback, live, .. } = draft.incident.stage.clone() else {
        return draft.done(None, None);
    };
    draft.note_ours(made.id.clone());
    let deadline = seen.at + ROLL_BACK_WITHIN;
    draft.stage(Stage::Returning { target, rollback, live, made, deadline });
    follow(draft, seen)
}

/// Ends the incident: because of what the soak showed, or at a person's word.
fn close(draft: Draft, outcome: Outcome, seen: &Observation<'_>) -> Decision {
    let is_asked = draft.incident.ending.is_some();
    let why = if is_asked { Reason::Requested } else { Reason::SoakUnhealthy };
    draft.close(outcome, why, seen)
}

/// Follows it to its end.
pub(super) fn follow(mut draft: Draft, seen: &Observation<'_>) -> Decision {
    let Stage::Returning { made, deadline, .. } = draft.incident.stage.clone() else {
        return draft.done(None, None);
    };
    let Some(view) = seen.app.since(draft.incident.opened_at) else {
        return wait(draft, deadline, Some(Reason::Blind), seen);
    };
    let now = current(&made, view, seen);
    let accused = &draft.incident.accused;
    if let Some(wrong) = rolling_back::wrong_target(&draft.incident, &now, accused) {
        draft.tell(wrong);
        return draft.close(Outcome::Held, Reason::WrongTarget, seen);
    }
    match now.phase {
        Phase::Active => close(draft, Outcome::Reverted, seen),
        Phase::Error | Phase::Canceled => close(draft, Outcome::Held, seen),
        Phase::Superseded => draft.close(Outcome::Superseded, Reason::Superseded, seen),
        Phase::InProgress | Phase::Unknown if rolling_back::is_overtaken(&made, &draft, view) => {
            draft.close(Outcome::Superseded, Reason::Superseded, seen)
        }
        Phase::InProgress | Phase::Unknown => wait(draft, deadline, None, seen),
    }
}

fn wait(mut draft: Draft, deadline: Moment, waiting: Option<Reason>, seen: &Observation<'_>) -> Decision {
    match rolling_back::patience(deadline, seen) {
        Patience::Until(wake_at) => draft.done(Some(wake_at), waiting),
        Patience::Over => close(draft, Outcome::Held, seen),
        Patience::Anew => {
            if let Stage::Returning { deadline, .. } = &mut draft.incident.stage {
                *deadline = seen.at;
            }
            draft.done(None, waiting)
        }
    }
}
