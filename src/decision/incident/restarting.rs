//! Restarting: one restart is tried before a rollback, where the operator asked for it. What a restart heals was not
//! the release's doing, and the release stays under watch.

use std::time::Duration;

use super::super::effect::{Answer, Effect, Reason};
use super::super::observation::{Cause, Deployment, Observation, Phase};
use super::super::policy::{Mode, Policy};
use super::super::rule::Verdict;
use super::super::state::{Call, CallStatus, Incident, Ledger, Outcome, Stage};
use super::super::story::{Event, evidence_in_words};
use super::draft::Draft;
use super::returning::fresh_list;
use super::{Decision, VALIDATE_WITHIN, no_go, reading_of, refusal, validating, verdict_of};

/// A restart that is not live after this long is given up on. A rolling one takes as long as a rollback, a minute or two.
const RESTART_WITHIN: Duration = Duration::from_secs(5 * 60);

/// Whether a restart is to be tried now: once, and not before a person's yes where that is asked for.
pub(super) fn is_due(policy: &Policy, ledger: &Ledger, incident: &Incident) -> bool {
    let may_act = incident.mode(policy) == Mode::Enforce || incident.approved;
    // One that was meant for the release before, and met this one as it went live, was its chance as well.
    let mut ids = incident.former.iter().chain([&incident.accused.id]);
    let was_restarted = ids.any(|id| ledger.made_for(id).is_some());
    incident.restartable.is_some() && policy.restart_first.is_some() && may_act && !was_restarted
}

/// Whether the accused release may be what a lost restart made that met a newer release than was meant; none where the list
/// that tells is not known.
pub(super) fn met(draft: &Draft, seen: &Observation<'_>) -> Option<bool> {
    if draft.ledger.lost_restart.is_none() {
        return Some(false);
    }
    let listed = fresh_list(seen)?;
    let Incident { accused, live, .. } = &draft.incident;
    Some(draft.ledger.may_have_restarted(accused, live.since, listed))
}

/// It has had one, for all that can be told.
pub(super) fn skip(draft: &mut Draft) {
    draft.incident.restartable = None;
    draft.tell(Event::RestartSkipped { restart: draft.incident.capabilities.restart, had_one: true });
}

/// Asks for it.
pub(super) fn ask(mut draft: Draft, seen: &Observation<'_>) -> Decision {
    let effect = Effect::Restart { accused: draft.incident.accused.id.clone() };
    let call = draft.owe(effect, 1, seen);
    let deadline = seen.at + RESTART_WITHIN;
    let target = match &draft.incident.stage {
        Stage::Validating { target, .. } => target.clone(),
        _ => None,
    };
    draft.stage(Stage::Restarting { target, call, made: None, until: None, deadline, good_since: None });
    draft.done(None, None)
}

/// Takes the platform's answer. There is no second request: one that may have been applied is waited for, and one that
/// was not leaves the rollback.
pub(super) fn answered(
    policy: &Policy,
    mut draft: Draft,
    seen: &Observation<'_>,
    answer: &Answer,
) -> Decision {
    let Stage::Restarting { target, mut call, deadline, .. } = draft.incident.stage.clone() else {
        return draft.done(None, None);
    };
    if let Some(reason) = refusal(answer) {
        return draft.close(Outcome::Refused, reason, seen);
    }
    let made = match answer {
        Answer::Restarted(made) => {
            note(&mut draft, made);
            Some(made.clone())
        }
        Answer::Unresolved => None,
        _ => return go_on(policy, draft, seen),
    };
    call.status = CallStatus::Unresolved { since: seen.at, absent_since: None, refused: None };
    draft.stage(Stage::Restarting { target, call, made, until: None, deadline, good_since: None });
    look(policy, draft, seen)
}

/// Follows it, and looks again once it is over.
pub(super) fn look(policy: &Policy, mut draft: Draft, seen: &Observation<'_>) -> Decision {
    let Stage::Restarting { target, call, mut made, mut until, deadline, mut good_since } =
        draft.incident.stage.clone()
    else {
        return draft.done(None, None);
    };
    if let Some(reason) = no_go(policy, &draft.incident, seen) {
        return draft.close(Outcome::Refused, reason, seen);
    }
    if made.is_none()
        && let Some(found) = find(&draft.incident, seen)
    {
        note(&mut draft, &found);
        made = Some(found);
    }
    if let Some(made) = &made {
        draft.follow(made, seen);
    }
    if let Some(view) = seen.app.since(draft.incident.opened_at) {
        let accused = &draft.incident.accused;
        if view.active.as_ref().is_some_and(|active| active.came_after(accused.age_key())) {
            return draft.close(Outcome::Superseded, Reason::Superseded, seen);
        }
        if view.pinned.is_some() {
            return draft.close(Outcome::Superseded, Reason::ForeignPin, seen);
        }
    }
    let is_live = made.as_ref().is_some_and(|made| made.id == draft.incident.accused.id);
    if is_live && until.is_none() {
        until = Some(seen.at + policy.restart_first.unwrap_or_default());
    }
    // What came about while nobody looked is not given up on.
    let last = deadline + VALIDATE_WITHIN;
    let is_late = seen.app.since(deadline).is_some() || seen.at >= last;
    if !is_live && (is_vain(policy, &call, made.as_ref(), seen) || is_late) {
        if made.is_none() {
            draft.tell(Event::NotApplied { call: "restart".to_owned() });
        }
        return go_on(policy, draft, seen);
    }
    let is_good = is_live && verdict_of(policy, &draft.incident, seen) == Verdict::Good;
    good_since = is_good.then(|| good_since.unwrap_or(seen.at));
    if until.is_none_or(|until| seen.at < until) {
        draft.stage(Stage::Restarting { target, call, made, until, deadline, good_since });
        return draft.done(Some(until.unwrap_or(last)), None);
    }
    tell_what_it_did(policy, &mut draft, seen);
    if let Some(good_since) = good_since {
        let after = good_since.since(draft.incident.first_failure_at);
        draft.tell(Event::Restored { after_seconds: after.as_secs_f64() });
        // What it was before the restart says little of how it fares now.
        if let Some(watch) = &mut draft.incident.restartable {
            watch.until = seen.at + policy.watch;
        }
        return draft.close(Outcome::Restarted, Reason::Restarted, seen);
    }
    go_on(policy, draft, seen)
}

/// What the rule that fired reads once the restart had its time.
fn tell_what_it_did(policy: &Policy, draft: &mut Draft, seen: &Observation<'_>) {
    let Some((rule, reading)) = reading_of(policy, &draft.incident, seen) else { return };
    let evidence = evidence_in_words(rule, &policy.probes, &reading);
    draft.tell(Event::RestartJudged { rule: rule.name.clone(), evidence, reading });
}

/// The restart changed nothing, or nobody can tell: on to the rollback.
fn go_on(policy: &Policy, mut draft: Draft, seen: &Observation<'_>) -> Decision {
    draft.incident.restartable = None;
    let target = match draft.incident.stage.clone() {
        Stage::Restarting { target, .. } => {
            draft.incident.restart_lost = is_lost(&draft.incident);
            target
        }
        _ => None,
    };
    draft.stage(Stage::Validating { target, call: None, deadline: seen.at + VALIDATE_WITHIN });
    validating::look(policy, draft, seen)
}

/// It is ours, and no release of its own.
pub(super) fn note(draft: &mut Draft, made: &Deployment) {
    draft.note_ours(made.id.clone());
    Ledger::note(&mut draft.ledger.accused, made.id.clone());
}

/// The restart that an unanswered request made. Not every platform tells at all times what brought a deployment about:
/// the accused release once more, code and spec, is then what the request asked for. So is, where it is not said what code
/// runs, one of which all that is said is the same.
fn find(incident: &Incident, seen: &Observation<'_>) -> Option<Deployment> {
    let listed = seen.history.value().into_iter().flatten();
    let active = seen.app.value().and_then(|view| view.active.as_ref());
    listed.chain(active).find(|entry| can_be(incident, entry)).cloned()
}

/// Whether a lost request for a restart may have made it.
pub(super) fn can_be(incident: &Incident, entry: &Deployment) -> bool {
    let accused = &incident.accused;
    let is_over = matches!(entry.phase, Phase::Error | Phase::Canceled);
    let runs_the_same = entry.artifact.same_as(&accused.artifact) || entry.artifact == accused.artifact;
    let is_again = entry.cause == Cause::Release && !is_over && runs_the_same;
    entry.came_after(accused.age_key()) && (entry.cause == Cause::Restart || is_again)
}

/// Whether there is a request for a restart without an answer, of which nothing was found.
pub(super) fn is_lost(incident: &Incident) -> bool {
    match &incident.stage {
        Stage::Restarting { call, made, .. } => {
            made.is_none() && matches!(call.status, CallStatus::Unresolved { .. })
        }
        _ => incident.restart_lost,
    }
}

/// Whether nothing comes of the restart: it has failed, or left no trace in the time in which a lost request is looked
/// for. The bad release is live meanwhile.
fn is_vain(policy: &Policy, call: &Call, made: Option<&Deployment>, seen: &Observation<'_>) -> bool {
    let Some(made) = made else {
        let CallStatus::Unresolved { since, .. } = call.status else { return false };
        return seen.history.since(since + policy.reconcile).is_some();
    };
    let listed = seen.history.value().into_iter().flatten().find(|entry| entry.id == made.id);
    listed.is_some_and(|entry| matches!(entry.phase, Phase::Error | Phase::Canceled))
}
