//! Creating: the rollback is asked for, once. An answer that is not conclusive is resolved by reading.

use std::collections::BTreeSet;

use super::super::capability::{PinKind, Targeting};
use super::super::effect::{Answer, Reason, Rejection};
use super::super::observation::{Artifact, Cause, Deployment, Observation, Phase};
use super::super::policy::Policy;
use super::super::prediction;
use super::super::state::{Call, CallStatus, Incident, Outcome, SoftPin, Stage};
use super::super::story::Event;
use super::draft::Draft;
use super::{Decision, pinning, refusal, rolling_back, unless_withheld_or_asked, validating};
use crate::clock::Moment;
use crate::ids::DeploymentId;

/// How often an incident asks for its rollback when earlier requests were surely lost.
const MOST_ASKED: usize = 3;

/// Owes the request.
pub(super) fn ask(policy: &Policy, mut draft: Draft, target: Deployment, seen: &Observation<'_>) -> Decision {
    let Stage::Validating { deadline, .. } = draft.incident.stage else { return draft.done(None, None) };
    draft = match unless_withheld_or_asked(policy, draft, &target, seen) {
        Ok(draft) => draft,
        Err(decision) => return decision,
    };
    // By an older list, or none, what comes of it could not be told from what a colleague has made before.
    if super::returning::fresh_list(seen).is_none() {
        draft.stage(Stage::Validating { target: Some(target), call: None, deadline });
        return validating::wait(draft, Reason::Blind, deadline, None, seen);
    }
    if draft.incident.requests.targets.len() >= MOST_ASKED {
        return draft.close(Outcome::Held, Reason::RollbackFailed, seen);
    }
    if draft.incident.requests.targets.is_empty() {
        draft.incident.requests.before = existing(&draft, &target, seen);
    }
    draft.incident.requests.targets.push(target.clone());
    if draft.incident.prediction.is_none()
        && let Some(prediction) = prediction::predict(policy, &draft.incident, seen)
    {
        draft.tell(Event::Predicted { prediction: prediction.clone() });
        draft.incident.prediction = Some(prediction);
    }
    if pinning::can_pin(seen) && !draft.keeps_pushes() && !pinning::says_paused(seen) {
        let before = draft.ledger.soft_pin.take();
        draft.ledger.soft_pin = Some(SoftPin::of_rollback(before, &draft.incident.id, seen.at));
    }
    let accused = draft.incident.accused.id.clone();
    let effect = draft.incident.rollback_to(accused, &target);
    let attempt = u32::try_from(draft.incident.requests.targets.len()).unwrap_or(u32::MAX);
    let call = draft.owe(effect, attempt, seen);
    draft.stage(Stage::Creating { target, call, deadline });
    draft.done(None, None)
}

/// Takes the platform's answer.
pub(super) fn answered(
    policy: &Policy,
    mut draft: Draft,
    seen: &Observation<'_>,
    answer: &Answer,
) -> Decision {
    let Stage::Creating { target, call, .. } = draft.incident.stage.clone() else {
        return draft.done(None, None);
    };
    if let Some(reason) = refusal(answer) {
        draft.incident.requests.targets.pop();
        return draft.close(Outcome::Refused, reason, seen);
    }
    match answer {
        Answer::Created(rollback) => {
            draft.incident.requests.answered(rollback.id.clone());
            count(&mut draft, rollback, seen);
            rolling_back::begin(policy, draft, target, rollback.clone(), seen)
        }
        Answer::NotApplied { why: Rejection::NotFound, .. } => {
            draft.incident.requests.targets.pop();
            draft.strike(&target, Reason::NotValid, "not found".to_owned());
            again(policy, draft, None, None, seen)
        }
        Answer::NotApplied { .. } | Answer::NotSent(_) => {
            // Surely not applied: from the start again, with fresh eyes, after a while. Not counted as asked.
            draft.incident.requests.targets.pop();
            let call = draft.setback(answer, seen.at).map(|status| Call { attempt: 0, status, ..call });
            again(policy, draft, Some(target), call, seen)
        }
        _ => {
            let call = Call { status: CallStatus::unresolved(answer, seen.at), ..call };
            let Stage::Creating { deadline, .. } = draft.incident.stage else {
                return draft.done(None, None);
            };
            draft.stage(Stage::Creating { target, call, deadline });
            look(policy, draft, seen)
        }
    }
}

/// Resolves a request whose answer was not conclusive.
pub(super) fn look(policy: &Policy, mut draft: Draft, seen: &Observation<'_>) -> Decision {
    let Stage::Creating { target, mut call, deadline } = draft.incident.stage.clone() else {
        return draft.done(None, None);
    };
    let CallStatus::Unresolved { since, refused, .. } = call.status else {
        return draft.done(None, None);
    };
    let (Some(view), Some(_)) = (seen.app.since(since), seen.history.since(since)) else {
        return draft.done(None, Some(Reason::Blind));
    };
    if refused.is_none()
        && let Some(deployments) = more_than_asked_for(&draft, seen)
    {
        return unsure(draft, deployments, seen);
    }
    if let Some((target, rollback)) = find_ours(&draft.incident, |_| true, seen) {
        if refused.is_some() && draft.incident.requests.targets.len() == 1 {
            return refused_but_there(draft, &rollback, seen);
        }
        return adopt(policy, draft, target, rollback, seen);
    }
    if let Some(pin) = &view.pinned {
        return foreign_pin(draft, pin, deadline, seen);
    }
    match new_of(&draft, &draft.incident.accused.artifact, seen) {
        New::Picked(made) if refused.is_some() => return refused_but_there(draft, &made, seen),
        // Whatever it runs, it is what the platform picked: that is held against what was wanted.
        New::Picked(made) => return adopt(policy, draft, target, *made, seen),
        New::Unsure(deployments) => return unsure(draft, deployments, seen),
        New::Perhaps(_) | New::Nothing if refused.is_some() => {}
        New::Perhaps(phase) => {
            if let Some(until) = told_by(phase, since, seen.at) {
                return draft.done(Some(until), Some(Reason::InProgress));
            }
            // It failed, or will never say what it is: another one would be the second for this release.
            draft.perhaps_created(seen.at);
            return draft.close(Outcome::Held, Reason::RollbackFailed, seen);
        }
        New::Nothing => {}
    }
    // Absent is what neither the app nor the list shows. Even under a newer release the request may still be
    // applied, so the incident yields only when that is settled.
    let read_at = seen.history.read_at().min(seen.app.read_at()).unwrap_or(seen.at);
    if call.status.is_absent(read_at, policy.reconcile) {
        let others = unheeded(&draft, seen);
        if refused.is_none() && !others.is_empty() {
            return unsure(draft, others, seen);
        }
        return lost(policy, draft, target, refused, seen);
    }
    draft.stage(Stage::Creating { target, call, deadline });
    draft.done(Some(since + policy.reconcile), Some(Reason::Blind))
}

/// What has begun since the request and runs something else, where that may be what came of it: a platform that does not heed the
/// deployment it is told goes back to another one, and says of neither what it is. Asked once more it would do so again.
fn unheeded(draft: &Draft, seen: &Observation<'_>) -> Vec<DeploymentId> {
    let Incident { requests, capabilities, .. } = &draft.incident;
    if capabilities.targeting != Targeting::ById || capabilities.pin == PinKind::Hard {
        return Vec::new();
    }
    let listed = seen.history.value().into_iter().flatten();
    listed.filter(|entry| requests.may_have_begun(entry)).map(|entry| entry.id.clone()).collect()
}

/// What has begun since the request, where that is more than was asked for and not all of it goes back to what was wanted:
/// the one that does may be a colleague's, and ours what the platform picked after it.
fn more_than_asked_for(draft: &Draft, seen: &Observation<'_>) -> Option<Vec<DeploymentId>> {
    let Incident { requests, capabilities, accused, .. } = &draft.incident;
    if capabilities.targeting != Targeting::PlatformPicks || capabilities.pin == PinKind::Hard {
        return None;
    }
    let listed = seen.history.value().into_iter().flatten();
    let active = seen.app.value().and_then(|view| view.active.as_ref());
    let picked = requests.picked(listed.chain(active), &accused.artifact);
    let is_wanted = picked.iter().all(|made| requests.made(made).is_some());
    let wanted = all_ours(&draft.incident, seen).into_iter().map(|(_, made)| made);
    let all: BTreeSet<_> = picked.into_iter().chain(wanted).map(|made| made.id.clone()).collect();
    (!is_wanted && all.len() > requests.targets.len()).then(|| all.into_iter().collect())
}

fn unsure(mut draft: Draft, deployments: Vec<DeploymentId>, seen: &Observation<'_>) -> Decision {
    draft.perhaps_created(seen.at);
    draft.tell(Event::PerhapsOurs { deployments, is_restart: false });
    draft.close(Outcome::Held, Reason::WrongTarget, seen)
}

/// What is there that was not there before an unanswered request, where that cannot be told by what it repeats.
pub(super) enum New {
    /// What the platform picked.
    Picked(Box<Deployment>),
    /// These, some of which or all may be a colleague's, and nobody can tell which.
    Unsure(Vec<DeploymentId>),
    /// Something that may be ours since nothing speaks against it, and where it stands.
    Perhaps(Phase),
    Nothing,
}

/// Until when what may be ours in this phase may say yet what it is, since it was asked for at `since`.
pub(super) fn told_by(phase: Phase, since: Moment, now: Moment) -> Option<Moment> {
    let until = since + rolling_back::ROLL_BACK_WITHIN;
    (matches!(phase, Phase::InProgress | Phase::Unknown) && now < until).then_some(until)
}

/// See [`New`]. A platform that picks by itself, or does not heed the deployment it is told, may have gone back to what
/// `ran` before; one that pins tells by its pin.
pub(super) fn new_of(draft: &Draft, ran: &Artifact, seen: &Observation<'_>) -> New {
    let Incident { requests, capabilities, .. } = &draft.incident;
    let listed = || seen.history.value().into_iter().flatten();
    let is_told_by_code = capabilities.targeting == Targeting::ByCode;
    if capabilities.pin != PinKind::Hard && !is_told_by_code {
        let active = seen.app.value().and_then(|view| view.active.as_ref());
        match requests.picked(listed().chain(active), ran)[..] {
            [] => {}
            // Of a target that was named and not heeded nothing says that it is a rollback, and a colleague may have
            // deployed the same once more.
            [made] if capabilities.targeting == Targeting::PlatformPicks || made.cause == Cause::Rollback => {
                return New::Picked(Box::new(made.clone()));
            }
            ref unsure => return New::Unsure(unsure.iter().map(|made| made.id.clone()).collect()),
        }
    }
    // What it runs may not be told before it is live.
    let perhaps = listed().find(|entry| requests.may_have_made(entry));
    perhaps
        .filter(|_| capabilities.pin != PinKind::Hard)
        .map_or(New::Nothing, |entry| New::Perhaps(entry.phase))
}

/// The platform shows our rollback: goes on as if it had answered.
pub(super) fn adopt(
    policy: &Policy,
    mut draft: Draft,
    target: Deployment,
    rollback: Deployment,
    seen: &Observation<'_>,
) -> Decision {
    draft.tell(Event::Adopted { call: "create_rollback".to_owned(), deployment: Some(rollback.id.clone()) });
    count(&mut draft, &rollback, seen);
    let active = seen.app.value().and_then(|view| view.active.as_ref());
    let accused = &draft.incident.accused;
    if active.is_some_and(|active| active.id != rollback.id && active.came_after(accused.age_key())) {
        // It is on its way over a newer release, which nobody accused: its pin is a person's to settle.
        return draft.close(Outcome::Held, Reason::Superseded, seen);
    }
    rolling_back::begin(policy, draft, target, rollback, seen)
}

/// The platform said no, and shows the very rollback we asked for: a colleague was a moment faster, or something between
/// us and the platform asked twice. Nobody can tell, so a pin is a person's to settle.
fn refused_but_there(mut draft: Draft, rollback: &Deployment, seen: &Observation<'_>) -> Decision {
    draft.perhaps_created(seen.at);
    let is_pinned = seen.app.value().is_some_and(|view| view.pinned.as_ref() == Some(&rollback.id));
    let outcome = if is_pinned { Outcome::Held } else { Outcome::Superseded };
    draft.close(outcome, Reason::ForeignPin, seen)
}

/// The deployment that is the rollback to such a target this incident asked for, and what it goes back to.
pub(super) fn find_ours(
    incident: &Incident,
    is_wanted: impl Fn(&DeploymentId) -> bool,
    seen: &Observation<'_>,
) -> Option<(Deployment, Deployment)> {
    let view = seen.app.value()?;
    let mut ours = all_ours(incident, seen);
    ours.retain(|(target, _)| is_wanted(&target.id));
    let pinned = ours.iter().find(|(_, entry)| view.pinned.as_ref() == Some(&entry.id));
    // One that failed is what came of it only where there is no other.
    let newest = || ours.iter().rfind(|(_, entry)| !matches!(entry.phase, Phase::Error | Phase::Canceled));
    pinned.or_else(newest).or(ours.last()).map(|(target, entry)| ((*target).clone(), (*entry).clone()))
}

/// All that requests of this incident may have made, without one that was answered, and what each goes back to: the oldest
/// first.
pub(super) fn all_ours<'a>(
    incident: &'a Incident,
    seen: &Observation<'a>,
) -> Vec<(&'a Deployment, &'a Deployment)> {
    let listed = seen.history.value().into_iter().flatten();
    let active = seen.app.value().and_then(|view| view.active.as_ref());
    let made = |entry| Some((incident.requests.made(entry)?, entry));
    let mut ours: Vec<_> = listed.chain(active).filter_map(made).collect();
    ours.sort_by(|(_, a), (_, b)| a.age_key().cmp(&b.age_key()));
    ours
}

/// The rollback counts, and so does what else came of earlier requests by now: as many as there were without an answer,
/// the oldest first. Whatever is there beyond that is a colleague's.
pub(super) fn count(draft: &mut Draft, rollback: &Deployment, seen: &Observation<'_>) {
    draft.created(rollback, seen.at);
    let ours: Vec<Deployment> =
        all_ours(&draft.incident, seen).into_iter().map(|(_, made)| made.clone()).collect();
    for made in ours {
        if draft.found(rollback) < draft.incident.requests.targets.len() {
            draft.created(&made, seen.at);
        }
    }
}

/// A pin whose deployment is not ours. One that may be ours for all we can tell is a person's to settle.
pub(super) fn foreign_pin(
    mut draft: Draft,
    pin: &DeploymentId,
    deadline: Moment,
    seen: &Observation<'_>,
) -> Decision {
    let active = seen.app.value().and_then(|view| view.active.as_ref());
    let entry = seen.history.value().into_iter().flatten().chain(active).find(|entry| entry.id == *pin);
    match entry {
        Some(entry) if draft.incident.requests.may_have_made(entry) => {
            draft.perhaps_created(seen.at);
            draft.close(Outcome::Held, Reason::ForeignPin, seen)
        }
        Some(_) => draft.close(Outcome::Superseded, Reason::ForeignPin, seen),
        None if seen.at >= deadline => draft.close(Outcome::Held, Reason::ForeignPin, seen),
        // The list lags behind the app.
        None => draft.done(Some(deadline), Some(Reason::Blind)),
    }
}

/// The request left no trace on the platform.
fn lost(
    policy: &Policy,
    mut draft: Draft,
    target: Deployment,
    refused: Option<u16>,
    seen: &Observation<'_>,
) -> Decision {
    draft.tell(Event::NotApplied { call: "create_rollback".to_owned() });
    if let Some(status) = refused {
        draft.incident.requests.targets.pop();
        draft.strike(&target, Reason::NotValid, format!("refused with status {status}"));
        return again(policy, draft, None, None, seen);
    }
    if !draft.incident.capabilities.resend_is_safe {
        // It may yet be applied, and a second one would then go somewhere else: a person is told. It counts now, since
        // where nothing pins the app what it makes later is not told from another's.
        draft.count_unanswered(seen.at);
        return draft.close(Outcome::Held, Reason::RollbackFailed, seen);
    }
    again(policy, draft, Some(target), None, seen)
}

/// Back to validation.
fn again(
    policy: &Policy,
    mut draft: Draft,
    target: Option<Deployment>,
    call: Option<Call>,
    seen: &Observation<'_>,
) -> Decision {
    let Stage::Creating { deadline, .. } = draft.incident.stage else { return draft.done(None, None) };
    draft.stage(Stage::Validating { target, call, deadline });
    validating::look(policy, draft, seen)
}

/// What is there before the request. What an earlier incident made is, too, where a read that lags behind does not list it.
fn existing(draft: &Draft, target: &Deployment, seen: &Observation<'_>) -> BTreeSet<DeploymentId> {
    let listed = seen.history.value().into_iter().flatten().map(|entry| entry.id.clone());
    let good = draft.ledger.good.iter().map(|entry| entry.id.clone());
    let ours = draft.ledger.ours.iter().map(|(made, _)| made.clone());
    let known = [target.id.clone(), draft.incident.accused.id.clone()];
    listed.chain(good).chain(ours).chain(known).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_may_be_ours_has_as_long_to_say_so_as_a_rollback_takes() {
        let since = Moment::from_millis(1_000);
        let end = since + rolling_back::ROLL_BACK_WITHIN;
        let before = end - Duration::from_millis(1);
        for phase in [Phase::InProgress, Phase::Unknown] {
            assert_eq!(told_by(phase, since, before), Some(end));
            assert_eq!(told_by(phase, since, end), None);
        }
        for phase in [Phase::Active, Phase::Superseded, Phase::Error, Phase::Canceled] {
            assert_eq!(told_by(phase, since, since), None);
        }
    }
}
