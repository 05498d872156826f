//! Soaking: the rolled-back app is watched for a time *and* over fresh samples, then committed, reverted or held.

use std::time::Duration;

use super::super::capability::{PinKind, Support};
use super::super::effect::{Reason, Verb};
use super::super::observation::{Cause, Deployment, Observation};
use super::super::policy::{Action, Mode, OnHealthy, OnUnhealthy, Policy, Rule};
use super::super::prediction::{self, Efficacy};
use super::super::quiet;
use super::super::rule::{self, Pace, Verdict};
use super::super::state::{Live, Outcome, PinSight, Settle, Stage};
use super::super::story::Event;
use super::draft::Draft;
use super::rolling_back::{Sight, another_of_ours, follow_instead, is_overtaken, sight};
use super::{Decision, asked, restarting, returning, rolling_back, settling};
use crate::clock::Moment;

/// A soak that is still Unknown this long after its time ends in a hold, at the earliest.
const SOAK_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Watches, and judges when the soak is over.
pub(super) fn look(policy: &Policy, mut draft: Draft, seen: &Observation<'_>) -> Decision {
    let Stage::Soaking { target, rollback, live, mut pin, until, mut give_up, mut restored_at } =
        draft.incident.stage.clone()
    else {
        return draft.done(None, None);
    };
    if let Some(view) = seen.app.since(draft.incident.opened_at)
        && let Some((target, other)) = another_of_ours(&draft, &rollback, view, seen)
    {
        return follow_instead(draft, target, other, seen);
    }
    if let Some(made) = restarted_late(&draft, &rollback, seen) {
        return go_on_as(draft, made, seen);
    }
    if let Some(reason) = lost(&draft, &rollback, &mut pin, seen) {
        return rolling_back::lost(draft, reason, seen);
    }
    // Nothing was asked of the platform yet, so the later word counts.
    if let Some(ending) = asked::ending(seen)
        && draft.incident.ending.as_ref().map(|before| before.settle) != Some(ending.settle)
    {
        draft.tell_word(seen);
        draft.incident.ending = Some(ending);
    }
    if let Some(ending) = draft.incident.ending.clone() {
        return end(policy, draft, ending.settle, seen);
    }
    let readings = rule::read_all(policy, seen.windows, live.since, seen.at, Pace::Watch);
    let samples = rule::fewest_samples(policy, seen.windows, (live.since, seen.at), Pace::Watch);
    // Who asks for a commit looks right before that. Where there is none to ask for, what answered may be what somebody has
    // deployed over it.
    let is_accepted_unasked =
        policy.soak.on_healthy == OnHealthy::Commit && draft.incident.capabilities.commit != Support::Native;
    let is_shown = !is_accepted_unasked || quiet::shown_until(&live, seen).is_some_and(|to| to >= until);
    // What was Bad before the release is no fault of it, and going back from it does not mend it.
    let counts = |rule: &Rule| !draft.incident.bad_before.contains(&rule.name);
    let judging = || policy.judging(&readings).filter(|(rule, _)| counts(rule));
    let is_good = policy.has_judging() && judging().all(|(_, reading)| reading.verdict == Verdict::Good);
    let bad: Vec<&Rule> =
        judging().filter(|(_, reading)| reading.verdict == Verdict::Bad).map(|(rule, _)| rule).collect();
    // A rule that asks a person does not decide that a bad release comes back, unless it is what was asked about.
    let may_revert = bad.iter().any(|rule| rule.action == Action::Rollback || draft.incident.is_of(rule));
    let fired_is_good = policy
        .judging(&readings)
        .any(|(rule, reading)| draft.incident.is_of(rule) && reading.verdict == Verdict::Good);
    if restored_at.is_none() && fired_is_good {
        restored_at = Some(seen.at);
        let after = seen.at.since(draft.incident.first_failure_at);
        draft.tell(Event::Restored { after_seconds: after.as_secs_f64() });
    }
    if seen.at >= until && give_up.is_none() {
        give_up = Some(seen.at + patience(policy));
    }
    draft.stage(Stage::Soaking { target, rollback, live, pin, until, give_up, restored_at });
    if !bad.is_empty() {
        let on_unhealthy = if may_revert { policy.soak.on_unhealthy } else { OnUnhealthy::Hold };
        let which = match bad.iter().any(|rule| draft.incident.is_of(rule)) {
            true => Bad::Fired,
            false if fired_is_good => Bad::Other,
            false => Bad::Unclear,
        };
        return unhealthy(policy, draft, samples, (give_up, on_unhealthy, which), seen);
    }
    if is_good && is_shown && seen.at >= until && samples >= policy.soak.min_samples {
        return healthy(policy, draft, samples, seen);
    }
    if give_up.is_some_and(|give_up| seen.at >= give_up) {
        tell_efficacy(policy, &mut draft, Bad::Unclear, seen);
        return draft.close(Outcome::Held, Reason::SoakUnknown, seen);
    }
    let waiting = (seen.at >= until).then_some(Reason::Blind);
    draft.done(Some(give_up.unwrap_or(until)), waiting)
}

/// Ends the soak the way a person asked for.
fn end(policy: &Policy, mut draft: Draft, settle: Settle, seen: &Observation<'_>) -> Decision {
    if let Some(reason) = draft.barred(settle, seen) {
        return draft.end_waits(reason);
    }
    let capabilities = draft.incident.capabilities;
    if settle == Settle::Revert
        && capabilities.revert == Support::Emulated
        && returning::fresh_list(seen).is_none()
    {
        return Decision { look: true, ..draft.done(None, Some(Reason::Blind)) };
    }
    tell_efficacy(policy, &mut draft, Bad::Unclear, seen);
    match settle {
        Settle::Commit => commit(policy, draft, Reason::Requested, seen),
        Settle::Revert => revert(policy, draft, Reason::Requested, seen),
    }
}

/// Our rollback under another id, where a restart that was lost comes only now and meets it. Where the platform pins, that is
/// a person's to settle.
pub(super) fn restarted_late(
    draft: &Draft,
    rollback: &Deployment,
    seen: &Observation<'_>,
) -> Option<Deployment> {
    let may_come = draft.incident.restart_lost && draft.incident.capabilities.pin != PinKind::Hard;
    let view = seen.app.since(draft.incident.opened_at).filter(|_| may_come)?;
    let active = view.active.as_ref().filter(|active| active.came_after(rollback.age_key()))?;
    // It may as well be the release that was rolled back from.
    let is_told_apart = active.artifact.differs_from(&draft.incident.accused.artifact);
    let is_rollback =
        active.artifact.can_be_held_against(&rollback.artifact) && active.repeats(&rollback.artifact);
    (active.cause == Cause::Restart && is_rollback && is_told_apart).then(|| active.clone())
}

/// The incident goes on with it, a soak by its own samples.
pub(super) fn go_on_as(mut draft: Draft, made: Deployment, seen: &Observation<'_>) -> Decision {
    let Some(rollback) = draft.incident.stage.rollback_made().cloned() else { return draft.done(None, None) };
    draft.tell(Event::Adopted { call: "restart".to_owned(), deployment: Some(made.id.clone()) });
    restarting::note(&mut draft, &made);
    draft.incident.restart_lost = false;
    if let Some(pin) = draft.ledger.soft_pin.as_mut().filter(|pin| pin.holds.as_ref() == Some(&rollback.id)) {
        pin.holds = Some(made.id.clone());
    }
    let now = Live { id: made.id.clone(), created_ms: made.created_ms, since: seen.at };
    match &mut draft.incident.stage {
        Stage::RollingBack { rollback, .. } => {
            (rollback.id, rollback.created_ms) = (made.id, made.created_ms)
        }
        Stage::Soaking { rollback, live, .. } => {
            (rollback.id, rollback.created_ms, *live) = (made.id, made.created_ms, now);
        }
        _ => {}
    }
    draft.done(Some(seen.at), None)
}

/// Why the soak is not ours any more: the pin is gone, or something newer is live.
fn lost(draft: &Draft, rollback: &Deployment, pin: &mut PinSight, seen: &Observation<'_>) -> Option<Reason> {
    let (read_at, view) = seen.app.last.as_ref().filter(|(at, _)| *at >= draft.incident.opened_at)?;
    match sight(pin, &rollback.id, view, *read_at) {
        Sight::Lost(reason) => Some(reason),
        Sight::Kept => is_overtaken(rollback, draft, view).then_some(Reason::Superseded),
    }
}

/// How long a soak whose time is over may stay Unknown: as long again, and long enough for its samples once those count.
/// Counted from when that is first noticed, so that a process that was away still gets to measure.
fn patience(policy: &Policy) -> Duration {
    let slowest = policy.probes.iter().map(|probe| probe.period + probe.timeout).max().unwrap_or_default();
    let settles = policy.probes.iter().map(|probe| probe.settle).max().unwrap_or_default();
    SOAK_PATIENCE.max(policy.soak.period).max(slowest * policy.soak.min_samples) + settles
}

fn healthy(policy: &Policy, mut draft: Draft, samples: u32, seen: &Observation<'_>) -> Decision {
    if let Some(reason) = draft.barred(Settle::Commit, seen) {
        return draft.end_waits(reason);
    }
    draft.tell(Event::SoakJudged { reason: Reason::SoakHealthy, samples });
    tell_efficacy(policy, &mut draft, Bad::Unclear, seen);
    match policy.soak.on_healthy {
        OnHealthy::Hold => draft.close(Outcome::Held, Reason::SoakHealthy, seen),
        OnHealthy::Commit => commit(policy, draft, Reason::SoakHealthy, seen),
    }
}

fn unhealthy(
    policy: &Policy,
    mut draft: Draft,
    samples: u32,
    (give_up, on_unhealthy, which): (Option<Moment>, OnUnhealthy, Bad),
    seen: &Observation<'_>,
) -> Decision {
    if let Some(reason) = draft.barred(Settle::Revert, seen) {
        return draft.end_waits(reason);
    }
    let is_rolled_back_again =
        on_unhealthy == OnUnhealthy::Revert && draft.incident.capabilities.revert == Support::Emulated;
    if is_rolled_back_again && returning::fresh_list(seen).is_none() {
        // It is not known what there is: nothing is told before it can be done.
        if give_up.is_some_and(|give_up| seen.at >= give_up) {
            tell_efficacy(policy, &mut draft, which, seen);
            return draft.close(Outcome::Held, Reason::SoakUnhealthy, seen);
        }
        return Decision { look: true, ..draft.done(give_up, Some(Reason::Blind)) };
    }
    draft.tell(Event::SoakJudged { reason: Reason::SoakUnhealthy, samples });
    tell_efficacy(policy, &mut draft, which, seen);
    match on_unhealthy {
        OnUnhealthy::Hold => draft.close(Outcome::Held, Reason::SoakUnhealthy, seen),
        OnUnhealthy::Revert => revert(policy, draft, Reason::SoakUnhealthy, seen),
    }
}

fn commit(policy: &Policy, mut draft: Draft, why: Reason, seen: &Observation<'_>) -> Decision {
    draft.rule(Verb::Commit, why);
    match draft.incident.capabilities.commit {
        Support::Native => settling::begin(policy, draft, Settle::Commit, seen),
        // Nobody may let pushes go that we keep from being deployed: they would stay so, and nobody would know.
        Support::Emulated | Support::Absent if policy.mode == Mode::Observe && draft.keeps_pushes() => {
            draft.close(Outcome::Held, Reason::ObserveMode, seen)
        }
        // All there is to it is to let pushes go again, which is owed once nothing needs their pause.
        Support::Emulated | Support::Absent => accepted(draft, why, seen),
    }
}

fn revert(policy: &Policy, mut draft: Draft, why: Reason, seen: &Observation<'_>) -> Decision {
    draft.rule(Verb::Revert, why);
    match draft.incident.capabilities.revert {
        Support::Native => settling::begin(policy, draft, Settle::Revert, seen),
        Support::Emulated => returning::ask(policy, draft, seen),
        Support::Absent => draft.close(Outcome::Held, why, seen),
    }
}

/// Which rule is Bad in the soak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    /// The one that fired: what was wrong is so again, however the soak began.
    Fired,
    /// Another one, while that one is Good: the rollback did harm, whatever became of what was wrong.
    Other,
    /// None, or it is not known of the one that fired.
    Unclear,
}

/// What the rollback did, beside what it was expected to do.
fn tell_efficacy(policy: &Policy, draft: &mut Draft, which: Bad, seen: &Observation<'_>) {
    let Stage::Soaking { live, .. } = &draft.incident.stage else { return };
    let Some(prediction) = draft.incident.prediction.clone() else { return };
    let span = (live.since, seen.at);
    let Some((value, efficacy)) = prediction::judge(policy, &prediction, seen.windows, span) else { return };
    let is_other = which == Bad::Other;
    let efficacy = match (which, efficacy) {
        (Bad::Other, _) => Efficacy::Harmed,
        (Bad::Fired, Efficacy::Helped) => Efficacy::NoEffect,
        (_, efficacy) => efficacy,
    };
    draft.tell(Event::PredictionJudged { prediction, value, efficacy, is_other });
}

/// The rollback is what the app runs from now on.
fn accepted(draft: Draft, why: Reason, seen: &Observation<'_>) -> Decision {
    draft.close(Outcome::Committed, why, seen)
}
