//! Outside incidents: noticing what goes live, learning what is good. Watching a candidate is in `watching`, a hold in `held`, what
//! comes of a lost request in `late`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Decision;
use super::observation::{AppView, Artifact, Deployment, Observation, Reading};
use super::pin;
use super::policy::{self, Policy};
use super::rule::regression::Before;
use super::rule::{self, Pace, Verdict};
use super::state::{Ledger, Live, Situation, State, Watch};
use crate::clock::Moment;
use crate::ids::{DeploymentId, RuleName};

mod held;
mod late;
mod watching;

use held::forgotten_pin;
pub(super) use held::{held, what_runs};
pub(super) use late::forget;
use watching::under_watch;
pub(super) use watching::{confirmed, shown_until};

/// How much earlier than computed a deployment may have gone live: the platform's clock is read from a header with
/// whole seconds, cut off, and an age is counted from the sending of a read that may take a while. Samples from
/// this time are nobody's.
const GO_LIVE_GRAIN: Duration = Duration::from_secs(3);

/// Decides for an app that is learning, steady or watching.
pub(super) fn decide(policy: &Policy, state: &State, seen: &Observation<'_>) -> Decision {
    // While a call is owed nothing else is decided.
    if let Some(decision) = pin::let_go(policy, state, seen) {
        return decision;
    }
    if let Some(decision) = late::held(policy, state, seen) {
        return decision;
    }
    if let Some(situation) = newly_live(policy, state, seen) {
        let ledger = with_what_left(policy, state, &situation, seen);
        return Decision::become_state(State { situation, ledger });
    }
    if let Some(decision) = forgotten_pin(policy, state, seen) {
        return decision;
    }
    if seen.operator.has_left {
        // Nobody is judged any more, for better or worse.
        return Decision::stay(None);
    }
    match &state.situation {
        Situation::Watching(watch) => under_watch(policy, state, watch, seen),
        Situation::Learning { live: Some(live) } => learning(policy, state, live, seen),
        _ => Decision::stay(None),
    }
}

/// The situation that follows when another deployment is live than the one we know, or the first one is seen.
fn newly_live(policy: &Policy, state: &State, seen: &Observation<'_>) -> Option<Situation> {
    let (_, view) = seen.app.last.as_ref()?;
    let active = view.active.as_ref()?;
    let known = state.live();
    if known.is_some_and(|live| live.id == active.id || is_stale(active, live)) {
        return None;
    }
    let age = view.active_age_ms.map(Duration::from_millis);
    let said = known.and_then(|old| said_since(old, seen));
    // Not where a read has shown another one then: that is when the other one went live, or reads lag.
    let is_its_own = |at: &Moment| seen.other_was_live_at.is_none_or(|other| *at >= other);
    // The first sight, a platform that does not say, or it went live while the read was under way: it is live from now on. What
    // was sent together with the read may have been answered by the one before.
    let since = said.filter(is_its_own).unwrap_or(seen.at);
    let live = Live { id: active.id.clone(), created_ms: active.created_ms, since };
    if let Situation::Watching(watch) = &state.situation
        && active.repeats(&watch.candidate.artifact)
    {
        // The same release under another id, so its watch goes on.
        let mut former = watch.former.clone();
        former.push(watch.live.id.clone());
        let begun = watch.begun + 1;
        let watch = Watch { live, candidate: active.clone(), former, begun, ..watch.clone() };
        return Some(Situation::Watching(watch));
    }
    if !is_candidate(&state.ledger, view, active) {
        return Some(Situation::Learning { live: Some(live) });
    }
    // How much of the watch is over: by the platform's clock at a first sight, by ours later.
    let gone = if known.is_some() { seen.at.since(since) } else { age.unwrap_or(policy.watch) };
    if gone >= policy.watch {
        return Some(Situation::Learning { live: Some(live) });
    }
    let bad_before =
        known.map(|old| bad_before(policy, old, said.unwrap_or(since), seen)).unwrap_or_default();
    let until = seen.at + (policy.watch - gone);
    Some(Situation::Watching(Watch {
        live,
        candidate: active.clone(),
        until,
        bad_before,
        former: Vec::new(),
        was_restarted: state.ledger.may_have_restarted(active, since, &[]),
        before: before(policy, seen),
        begun: 0,
    }))
}

/// When the live deployment went live as the platform says, never before the one it replaced.
fn said_since(old: &Live, seen: &Observation<'_>) -> Option<Moment> {
    let (read_at, view) = seen.app.last.as_ref()?;
    let age = view.active_age_ms.filter(|age| *age > 0)?;
    Some((*read_at - Duration::from_millis(age)).max(old.since).min(seen.at))
}

/// What is known of the release before, for each rule that asks for it.
fn before(policy: &Policy, seen: &Observation<'_>) -> BTreeMap<RuleName, Before> {
    let known = |rule: &policy::Rule| {
        let (_, probe) = rule.regression()?;
        let before = seen.windows.get(probe)?.gauge(&rule.name)?.before.clone()?;
        Some((rule.name.clone(), before))
    };
    policy.rules.iter().filter_map(known).collect()
}

/// When the live deployment took over at the earliest, as far as a read says. What was sent since then may be its own
/// doing. Without a platform that says when, that is all since the last read that showed the one before.
pub(super) fn replaced_at(app: &Reading<AppView>, other_was_live_at: Option<Moment>) -> Moment {
    let Some((read_at, view)) = &app.last else { return Moment::from_millis(i64::MAX) };
    match view.active_age_ms {
        Some(age) => *read_at - Duration::from_millis(age) - GO_LIVE_GRAIN,
        None => other_was_live_at.unwrap_or(*read_at),
    }
}

/// Whether this is an old answer: a newer deployment was live already.
pub(super) fn is_stale(active: &Deployment, live: &Live) -> bool {
    active.id != live.id && !active.came_after((live.created_ms, &live.id))
}

/// Whether the live deployment is a release to judge that has not had its judgement.
fn is_candidate(ledger: &Ledger, view: &AppView, active: &Deployment) -> bool {
    // A rollback, whatever the platform calls it.
    let is_pinned = view.pinned.as_ref() == Some(&active.id);
    active.cause.is_release()
        && !is_pinned
        && ledger.made_for(&active.id).is_none()
        && !contains(&ledger.accused, &active.id)
        && !ledger.good.iter().any(|good| good.id == active.id)
}

fn contains(list: &[DeploymentId], id: &DeploymentId) -> bool {
    list.iter().any(|entry| entry == id)
}

/// What is remembered when another deployment than the known one is live: one that nobody ever saw to be good, and that
/// failed until it was replaced, is nothing to go back to.
fn with_what_left(policy: &Policy, state: &State, next: &Situation, seen: &Observation<'_>) -> Ledger {
    let mut ledger = state.ledger.clone();
    let is_another = state.live().map(|old| &old.id) != next.live().map(|new| &new.id);
    // A release may be what it made, and so may the next one.
    if is_another && !matches!(next, Situation::Watching(_)) {
        // It came, or something else did.
        ledger.lost_restart = None;
    }
    if let (Some(old), Some(new)) = (state.live(), next.live())
        && old.id != new.id
        && !ledger.good.iter().any(|good| good.id == old.id)
        // What had its incident was judged by it.
        && !contains(&ledger.accused, &old.id)
        && failed_until_replaced(policy, old, said_since(old, seen).unwrap_or(new.since), seen)
    {
        Ledger::note(&mut ledger.condemned, (old.id.clone(), Artifact::default()));
    }
    leave_what_was_ordered(&mut ledger, seen);
    ledger
}

/// What a person ordered to be left is left where what may have come of the order is live and pinned, or was pinned until
/// whoever took that pin over settled it.
fn leave_what_was_ordered(ledger: &mut Ledger, seen: &Observation<'_>) {
    let Some(view) = seen.app.value() else { return };
    let is_pinned = |active: &&Deployment| {
        view.pinned.as_ref() == Some(&active.id) || ledger.settled.iter().any(|(id, _)| *id == active.id)
    };
    let Some(active) = view.active.as_ref().filter(is_pinned) else { return };
    if ledger.made_for(&active.id).is_some() {
        return;
    }
    if let Some(place) = late::whose(ledger, Some(active), |(_, _, requests)| requests.may_have_made(active))
    {
        late::leave(ledger, place, Some(active));
    }
}

fn failed_until_replaced(policy: &Policy, old: &Live, replaced_at: Moment, seen: &Observation<'_>) -> bool {
    let bad = bad_before(policy, old, replaced_at, seen);
    policy.judging(&policy.rules).any(|(rule, _)| bad.contains(&rule.name))
}

/// The rules that were Bad while `old` was live, which another deployment replaced at `replaced_at`. What failed since
/// that one may have been live can be its own doing: that speaks for neither. Without a platform that says when, that
/// is all since the last read that showed the old one, or since who knows when.
fn bad_before(
    policy: &Policy,
    old: &Live,
    replaced_at: Moment,
    seen: &Observation<'_>,
) -> BTreeSet<RuleName> {
    let is_dated = seen.app.value().is_some_and(|view| view.active_age_ms.is_some());
    let to = match seen.other_was_live_at {
        _ if is_dated => replaced_at - GO_LIVE_GRAIN,
        Some(read) => read,
        None => return BTreeSet::new(),
    };
    let readings = rule::read_all(policy, seen.windows, old.since, to, Pace::Rest);
    let bad = policy.rules.iter().zip(readings).filter(|(_, reading)| reading.verdict == Verdict::Bad);
    bad.map(|(rule, _)| rule.name.clone()).collect()
}

/// A live deployment that is older than the watch and Good over enough samples is good.
fn learning(policy: &Policy, state: &State, live: &Live, seen: &Observation<'_>) -> Decision {
    let Some(view) = seen.app.value() else { return Decision::stay(None) };
    let Some(active) = view.active.as_ref().filter(|active| active.id == live.id) else {
        return Decision::stay(None);
    };
    // The platform's figure is as old as its read.
    let since_read = seen.app.read_at().map_or(Duration::ZERO, |read_at| seen.at.since(read_at));
    let told = view.active_age_ms.map_or(Duration::ZERO, |age| Duration::from_millis(age) + since_read);
    let age = told.max(seen.at.since(live.since));
    if age < policy.watch {
        return Decision::stay(Some(seen.at + (policy.watch - age)));
    }
    // What answered since the last read may be another one, so that one has to show that it is that old.
    let Some(to) = shown_until(live, seen) else { return Decision::stay(None) };
    if age.saturating_sub(seen.at.since(to)) < policy.watch {
        return Decision::stay(None);
    }
    let time = (live.since, to);
    if rule::fewest_samples(policy, seen.windows, time, Pace::Rest) < policy.soak.min_samples {
        return Decision::stay(None);
    }
    let readings = rule::read_all(policy, seen.windows, live.since, to, Pace::Rest);
    // What is not measured at rest is not waited for. By itself it does not make a release good either.
    let is_in_the_way = |(rule, reading): (&policy::Rule, &rule::Reading)| match reading.verdict {
        Verdict::Good => false,
        Verdict::Bad => true,
        Verdict::Unknown => policy.is_judged_at_rest(rule),
    };
    let is_good = || {
        policy.rules.is_empty()
            || policy.judging(&readings).any(|(_, reading)| reading.verdict == Verdict::Good)
    };
    if policy.judging(&readings).any(is_in_the_way) || !is_good() {
        return Decision::stay(None);
    }
    let mut ledger = state.ledger.clone();
    if !contains(&ledger.accused, &active.id) {
        ledger.note_good(active.clone());
    }
    Decision::become_state(State { situation: Situation::Steady { live: live.clone() }, ledger })
}

#[cfg(test)]
mod tests;
