//! Validating: a target is chosen, and the platform asked whether it would go back to it.

use super::super::effect::{Answer, Effect, Guard, Reason, Rejection, Validation};
use super::super::observation::{Accepted, Deployment, Observation, Phase, ReadFault};
use super::super::policy::{OnMigrations, OnWarnings, Policy};
use super::super::state::{Call, CallStatus, Outcome, Stage};
use super::super::story::Event;
use super::super::target::{self, Pick};
use super::draft::Draft;
use super::{
    Decision, Obstacle, creating, obstacle, pinning, refusal, restarting, unless_withheld,
    unless_withheld_or_asked,
};
use crate::clock::Moment;

/// Chooses a target and owes the question, unless something is in the way.
pub(super) fn look(policy: &Policy, mut draft: Draft, seen: &Observation<'_>) -> Decision {
    let Stage::Validating { target, call, deadline } = draft.incident.stage.clone() else {
        return draft.done(None, None);
    };
    if !draft.incident.requests.targets.is_empty() {
        // An earlier request of this incident may have been applied late.
        if let Some((target, rollback)) = creating::find_ours(&draft.incident, |_| true, seen) {
            return creating::adopt(policy, draft, target, rollback, seen);
        }
        if let Some(pin) = seen.app.value().and_then(|view| view.pinned.as_ref()) {
            return creating::foreign_pin(draft, pin, deadline, seen);
        }
    }
    draft = match unless_withheld(policy, draft, seen) {
        Ok(draft) => draft,
        Err(end) => return end,
    };
    // A second question to the same target says which try it is.
    let attempt = call.as_ref().map_or(1, |call| call.attempt + 1);
    let obstacle = obstacle(policy, &draft.incident, seen);
    if let Some(Obstacle::Close(outcome, reason)) = obstacle {
        return draft.close(outcome, reason, seen);
    }
    if let Some(Call { status: CallStatus::Backoff { until, why }, .. }) = call
        && seen.at < until
    {
        return wait(draft, why, deadline, Some(until), seen);
    }
    if let Some(Obstacle::Wait(reason)) = obstacle {
        return wait(draft, reason, deadline, None, seen);
    }
    if restarting::is_due(policy, &draft.ledger, &draft.incident) {
        match restarting::met(&draft, seen) {
            Some(false) => return restarting::ask(draft, seen),
            Some(true) => restarting::skip(&mut draft),
            None => return wait(draft, Reason::Blind, deadline, None, seen),
        }
    }
    // Without the list of what exists, a rollback of ours could not be told from a colleague's.
    let Some(history) = super::returning::fresh_list(seen) else {
        return wait(draft, Reason::Blind, deadline, None, seen);
    };
    // A target that was chosen stays chosen until it is struck out.
    let chosen = match (target, draft.incident.named().cloned()) {
        (Some(target), _) => Pick::Target(target),
        (None, Some(to)) => match target::named(&draft.ledger, (&draft.incident).into(), history, &to) {
            Ok(target) => Pick::Target(target),
            // It may have been tried, which was told.
            Err("tried") => Pick::None,
            Err(why) => {
                draft.tell(Event::TargetRefused {
                    target: to,
                    reason: Reason::NoTarget,
                    detail: why.to_owned(),
                });
                return draft.close(Outcome::Refused, Reason::NoTarget, seen);
            }
        },
        (None, None) => target::pick(&draft.ledger, (&draft.incident).into(), Some(history)),
    };
    let target = match chosen {
        Pick::Target(target) => target,
        Pick::NeedHistory => return wait(draft, Reason::Blind, deadline, None, seen),
        // The list may be from before the accused one took over, when its predecessor was not superseded yet.
        Pick::None if !is_conclusive(&draft, seen) => {
            return wait(draft, Reason::NoTarget, deadline, None, seen);
        }
        Pick::None => {
            let reason = draft.incident.tried.last().map_or(Reason::NoTarget, |(_, why)| *why);
            let code = target::why_none(&draft.ledger, (&draft.incident).into(), history);
            if reason == Reason::NoTarget && !code.is_empty() {
                draft.tell(Event::NoTarget { code: code.to_owned() });
            }
            return draft.close(Outcome::Refused, reason, seen);
        }
    };
    let changed_migrations = target.artifact.migrations != draft.incident.accused.artifact.migrations;
    let is_accepted = draft.incident.accepts().migrations;
    if changed_migrations && policy.rollback.migrations == OnMigrations::Hold && !is_accepted {
        draft.tell_target(&target);
        draft.set_target(target);
        // A person who asked is told at once, and may ask again and accept it.
        let outcome = if draft.incident.asked.is_some() { Outcome::Refused } else { Outcome::Held };
        return draft.close(outcome, Reason::Migration, seen);
    }
    draft = match unless_withheld_or_asked(policy, draft, &target, seen) {
        Ok(draft) => draft,
        Err(decision) => return decision,
    };
    if draft.incident.stage.target() != Some(&target.id) {
        draft.tell_target(&target);
    }
    let effect = Effect::Validate { accused: draft.incident.accused.id.clone(), target: target.id.clone() };
    let call = draft.owe(effect, attempt, seen);
    draft.stage(Stage::Validating { target: Some(target), call: Some(call), deadline });
    draft.done(Some(deadline), None)
}

/// Takes the platform's answer.
pub(super) fn answered(
    policy: &Policy,
    mut draft: Draft,
    seen: &Observation<'_>,
    answer: &Answer,
) -> Decision {
    let Stage::Validating { target: Some(target), deadline, .. } = draft.incident.stage.clone() else {
        return draft.done(None, None);
    };
    if let Some(reason) = refusal(answer) {
        return draft.close(Outcome::Refused, reason, seen);
    }
    match answer {
        Answer::Validated(validation) => match accept(policy, draft.incident.accepts(), validation) {
            Ok(()) => return proceed(policy, draft, target, seen),
            Err((Reason::ForeignPin, _)) if draft.incident.requests.targets.is_empty() => {
                return draft.close(Outcome::Superseded, Reason::ForeignPin, seen);
            }
            // The pin may be our own, of a request that was applied late: reads will tell. What is under way, or is
            // live by now, as well.
            Err((Reason::ForeignPin | Reason::InProgress, _)) => {
                return ask_again(policy, draft, answer, seen);
            }
            Err((reason, detail)) => draft.strike(&target, reason, detail),
        },
        Answer::Refused { status, message } => {
            draft.strike(&target, Reason::NotValid, format!("status {status}: {message}"));
        }
        Answer::NotApplied { why: Rejection::NotFound, .. } => {
            draft.strike(&target, Reason::NotValid, "not found".to_owned());
        }
        _ => return ask_again(policy, draft, answer, seen),
    }
    draft.stage(Stage::Validating { target: None, call: None, deadline });
    look(policy, draft, seen)
}

/// Asking is harmless: whatever became of it, it is done again after a while.
fn ask_again(policy: &Policy, mut draft: Draft, answer: &Answer, seen: &Observation<'_>) -> Decision {
    let Stage::Validating { target, call, deadline } = draft.incident.stage.clone() else {
        return draft.done(None, None);
    };
    let unknown = Answer::NotSent(Guard::Unreadable);
    let status = draft.setback(answer, seen.at).or_else(|| draft.setback(&unknown, seen.at));
    let call = call.zip(status).map(|(call, status)| Call { status, ..call });
    draft.stage(Stage::Validating { target, call, deadline });
    look(policy, draft, seen)
}

/// Whether the policy accepts what the platform says.
pub(in crate::decision) fn accept(
    policy: &Policy,
    accepted: Accepted,
    validation: &Validation,
) -> Result<(), (Reason, String)> {
    if !validation.valid {
        let code = validation.error.as_ref().map_or("", |error| error.code.as_str());
        return Err(match code {
            "app_pinned" => (Reason::ForeignPin, code.to_owned()),
            "deployment_in_progress" | "not_live" => (Reason::InProgress, code.to_owned()),
            "" => (Reason::NotValid, "the platform gives no reason".to_owned()),
            code => (Reason::NotValid, code.to_owned()),
        });
    }
    let grave = validation.warnings.iter().filter(|warning| !warning.is_advice);
    let codes: Vec<&str> = grave.map(|warning| warning.code.as_str()).collect();
    if !codes.is_empty() && policy.rollback.warnings == OnWarnings::Refuse && !accepted.warnings {
        return Err((Reason::Warnings, codes.join(", ")));
    }
    Ok(())
}

/// The target is valid: asks for the rollback if nothing came in the way meanwhile.
fn proceed(policy: &Policy, mut draft: Draft, target: Deployment, seen: &Observation<'_>) -> Decision {
    let Stage::Validating { deadline, .. } = draft.incident.stage else { return draft.done(None, None) };
    match obstacle(policy, &draft.incident, seen) {
        Some(Obstacle::Close(outcome, reason)) => draft.close(outcome, reason, seen),
        Some(Obstacle::Wait(reason)) => {
            draft.stage(Stage::Validating { target: Some(target), call: None, deadline });
            wait(draft, reason, deadline, None, seen)
        }
        None => pinning::ask(policy, draft, target, seen),
    }
}

/// Whether the list of deployments shows the accused one as the live one.
fn is_conclusive(draft: &Draft, seen: &Observation<'_>) -> bool {
    let list = seen.history.value().into_iter().flatten();
    let mut accused = list.filter(|entry| entry.id == draft.incident.accused.id);
    draft.incident.tried.len() >= target::MOST_TRIED || accused.any(|entry| entry.phase == Phase::Active)
}

/// Waits, but not for ever; except for a token that the platform accepts, which is never given up.
pub(super) fn wait(
    draft: Draft,
    reason: Reason,
    deadline: Moment,
    until: Option<Moment>,
    seen: &Observation<'_>,
) -> Decision {
    let reason = match seen.app.fault.or(seen.history.fault) {
        Some(ReadFault::Denied) => Reason::Denied,
        _ => reason,
    };
    if reason == Reason::Denied {
        return draft.done(until, Some(reason));
    }
    if seen.at >= deadline {
        return draft.close(Outcome::Refused, reason, seen);
    }
    draft.done(Some(until.unwrap_or(deadline).min(deadline)), Some(reason))
}
