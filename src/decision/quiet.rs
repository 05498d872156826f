//! Outside incidents: noticing what goes live, learning what is good, ending a hold. Watching a candidate is in `watching`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::capability::{PinKind, Targeting};
use super::effect::Reason;
use super::incident::caller;
use super::observation::{AppView, Artifact, Deployment, Observation, Reading, Request};
use super::pin;
use super::policy::{self, Policy};
use super::rule::regression::Before;
use super::rule::{self, Pace, Verdict};
use super::state::{Hold, Ledger, Live, Requests, Situation, SoftPin, State, Watch};
use super::story::Event;
use super::{Change, Decision};
use crate::clock::Moment;
use crate::ids::{DeploymentId, IncidentId, RuleName};

mod watching;

pub(super) use watching::confirmed;
use watching::under_watch;

/// How much earlier than computed a deployment may have gone live: the platform's clock is read from a header with
/// whole seconds, cut off, and an age is counted from the sending of a read that may take a while. Samples from
/// this time are nobody's.
const GO_LIVE_GRAIN: Duration = Duration::from_secs(3);
/// How long after the end of its incident a request may still be applied. The longest delay reported is minutes.
const LATEST: Duration = Duration::from_secs(60 * 60);

/// Decides for an app that is learning, steady or watching.
pub(super) fn decide(policy: &Policy, state: &State, seen: &Observation<'_>) -> Decision {
    // While a call is owed nothing else is decided.
    if let Some(decision) = pin::let_go(policy, state, seen) {
        return decision;
    }
    if let Some(situation) = newly_live(policy, state, seen) {
        let ledger = with_what_left(policy, state, &situation, seen);
        return Decision::become_state(State { situation, ledger });
    }
    if let Some(held) = forgotten_pin(policy, state, seen) {
        return Decision::become_state(held);
    }
    match &state.situation {
        Situation::Watching(watch) => under_watch(policy, state, watch, seen),
        Situation::Learning { live: Some(live) } => learning(policy, state, live, seen),
        _ => Decision::stay(None),
    }
}

/// Decides for an app that is held: a person's word, a commit or revert at the platform, or a newer release ends
/// the hold.
pub(super) fn held(policy: &Policy, state: &State, hold: &Hold, seen: &Observation<'_>) -> Decision {
    if let Some(decision) = pin::let_go(policy, state, seen) {
        return decision;
    }
    if hold.pin.is_some() && pin::is_gone(seen) {
        return nothing_to_hold(state, hold);
    }
    if let Some(hold) = rollback_went_live(hold, seen) {
        return Decision::become_state(State {
            situation: Situation::Held(hold),
            ledger: state.ledger.clone(),
        });
    }
    let resumed = seen.operator.request == Some(Request::Resume);
    if let Some(next) = forgotten_pin(policy, state, seen)
        && !resumed
        && matches!(&next.situation, Situation::Held(other) if other.pin != hold.pin)
    {
        // Another pin instead of the one that was held, and this one may be ours as well.
        return Decision::become_state(next);
    }
    let settled = match (seen.app.since(hold.since), &hold.pin) {
        (Some(view), Some(pin)) => view.pinned.as_ref() != Some(pin),
        _ => false,
    };
    let is_pinned = seen.app.value().is_some_and(|view| hold.pin.is_some() && view.pinned == hold.pin);
    let soft = |pin: &SoftPin| pin.holds.is_some() && pin.holds == hold.pin;
    let is_soft = state.ledger.soft_pin.as_ref().is_some_and(soft);
    // A pause of pushes keeps nobody from deploying: a newer release is a person's answer all the same.
    let is_answer = is_soft
        && seen
            .app
            .value()
            .and_then(|view| view.active.as_ref())
            .is_some_and(|active| active.cause.is_release());
    let goes_on = is_pinned && !is_answer || is_nobodys_answer(state, hold, seen);
    let situation = match newly_live(policy, state, seen) {
        // Something else went live, such as a restart or the platform's upkeep, or what we asked for ourselves.
        Some(next) if goes_on && !resumed => {
            let (Some(live), ledger) = (next.live().cloned(), state.ledger.clone()) else {
                return Decision::wait(hold.why, None);
            };
            let runs = what_runs(seen);
            let situation = Situation::Held(Hold { live, runs, ..hold.clone() });
            return Decision::become_state(State { situation, ledger });
        }
        Some(situation) => situation,
        None if resumed || settled => Situation::Learning { live: Some(hold.live.clone()) },
        None => return Decision::wait(hold.why, None),
    };
    let mut ledger = with_what_left(policy, state, &situation, seen);
    if let Some(pin) = ledger.soft_pin.as_mut().filter(|_| is_soft) {
        // Nobody else can know that it is ours, so it is not handed over but let go.
        pin.holds = None;
    }
    if let Some(pin) = &hold.pin {
        // A person took it over, here or at the platform.
        ledger.settled.retain(|(id, _)| id != pin);
        let since = if resumed { Moment::from_millis(i64::MAX) } else { seen.at };
        Ledger::note(&mut ledger.settled, (pin.clone(), since));
    }
    let (live, by) = (hold.live.id.clone(), caller(seen));
    let told = Event::Asked { request: Request::Resume, by, live, title: String::new() };
    Decision::change(Change {
        state: State { situation, ledger },
        effect: None,
        ruling: None,
        closed: None,
        story: if resumed { vec![told] } else { Vec::new() },
        about: resumed.then(|| hold.incident.clone()),
    })
}

/// The app is not there any more, so its pin is not either, and nothing of ours is left to be settled. That a person has
/// not looked yet stays.
fn nothing_to_hold(state: &State, hold: &Hold) -> Decision {
    let mut ledger = state.ledger.clone();
    ledger.soft_pin = None;
    let situation = Situation::Held(Hold { pin: None, kept: None, ..hold.clone() });
    Decision::change(Change {
        state: State { situation, ledger },
        effect: None,
        ruling: None,
        closed: None,
        story: vec![Event::AppGone],
        about: Some(hold.incident.clone()),
    })
}

/// What the live deployment runs, as far as a read says.
pub(super) fn what_runs(seen: &Observation<'_>) -> Artifact {
    let active = seen.app.value().and_then(|view| view.active.as_ref());
    active.map(|active| active.artifact.clone()).unwrap_or_default()
}

/// Whether what is live now says nothing of what a person wants: our own rollback, or one that may be ours, or the same
/// release once more.
fn is_nobodys_answer(state: &State, hold: &Hold, seen: &Observation<'_>) -> bool {
    let Some(view) = seen.app.value() else { return false };
    let Some(active) = &view.active else { return false };
    let can_be = |requests: &Requests, ran: &Artifact| !requests.picked([active].into_iter(), ran).is_empty();
    let may_be_of = |(closed_at, _, requests): &(Moment, IncidentId, Requests)| {
        // What was accused is condemned by then. Who names the deployment may not be heeded.
        let is_picked = view.capabilities.targeting != Targeting::ByCode
            && (can_be(requests, &Artifact::default())
                || state.ledger.condemned.iter().any(|(_, ran)| can_be(requests, ran)));
        seen.at.since(*closed_at) <= LATEST && (is_picked || requests.made(active).is_some())
    };
    // A platform that pins shows its rollbacks by that.
    let is_lost_one = view.capabilities.pin != PinKind::Hard && state.ledger.lost.iter().any(may_be_of);
    active.repeats(&hold.runs) || state.ledger.made_for(&active.id).is_some() || is_lost_one
}

/// A pin of ours that no incident answers for, such as one whose rollback was applied long after it was given up
/// on: a pin blocks every deployment, so it is held for a person and never forgotten.
fn forgotten_pin(policy: &Policy, state: &State, seen: &Observation<'_>) -> Option<State> {
    let live = state.live()?.clone();
    // What was read of an app that is not there any more is no news.
    let view = seen.app.value().filter(|_| !pin::is_gone(seen))?;
    let pin = view.pinned.as_ref()?;
    // What was said to be settled and is pinned all the same was not: an answer may be somebody else's.
    let gone_by = |(id, since): &(DeploymentId, Moment)| (id == pin).then_some(*since + policy.reconcile);
    if let Some(gone_by) = state.ledger.settled.iter().find_map(gone_by)
        && seen.app.since(gone_by).is_none()
    {
        return None;
    }
    let mut ledger = state.ledger.clone();
    let incident = match ledger.made_for(pin) {
        Some(incident) => incident.clone(),
        None => {
            let place = ledger.lost.iter().position(|lost| may_have_made(lost, pin, view, seen.at))?;
            let (closed_at, incident, requests) = &mut ledger.lost[place];
            let (closed_at, incident) = (*closed_at, incident.clone());
            // It counts from when it came to light, and once: it may have counted at the end of its incident, and the pin may
            // have been held before.
            if !ledger.settled.iter().any(|(id, _)| id == pin) {
                ledger.rollbacks.retain(|made| *made != closed_at);
                Ledger::note(&mut ledger.rollbacks, seen.at);
            }
            if view.active.as_ref().is_some_and(|active| active.id == *pin) {
                requests.before.insert(pin.clone());
                Ledger::note(&mut ledger.ours, (pin.clone(), incident.clone()));
            }
            incident
        }
    };
    let (why, runs) = (Reason::RollbackFailed, what_runs(seen));
    let hold = Hold { why, incident, since: seen.at, live, runs, pin: Some(pin.clone()), kept: None };
    Some(State { situation: Situation::Held(hold), ledger })
}

/// Whether lost requests may have made the deployment that the app is pinned to. What it is can be told once it is
/// live; until then, which may be for ever, it may be ours.
fn may_have_made(
    (closed_at, _, requests): &(Moment, IncidentId, Requests),
    pin: &DeploymentId,
    view: &AppView,
    now: Moment,
) -> bool {
    if now.since(*closed_at) > LATEST || requests.before.contains(pin) {
        return false;
    }
    match &view.active {
        Some(active) if active.id == *pin => requests.may_have_made(active),
        _ => true,
    }
}

/// A rollback that went live during the hold, ours that was given up on or lost, or a person's: it is pinned, so
/// there is still something for a person to settle.
fn rollback_went_live(hold: &Hold, seen: &Observation<'_>) -> Option<Hold> {
    let view = seen.app.since(hold.since)?;
    let active = view.active.as_ref().filter(|active| active.id != hold.live.id)?;
    if view.pinned.as_ref() != Some(&active.id) || is_stale(active, &hold.live) {
        return None;
    }
    let live = Live { id: active.id.clone(), created_ms: active.created_ms, since: seen.at };
    let runs = active.artifact.clone();
    Some(Hold { live, runs, pin: Some(active.id.clone()), since: seen.at, ..hold.clone() })
}

/// The situation that follows when another deployment is live than the one we know, or the first one is seen.
fn newly_live(policy: &Policy, state: &State, seen: &Observation<'_>) -> Option<Situation> {
    let (read_at, view) = seen.app.last.as_ref()?;
    let active = view.active.as_ref()?;
    let known = state.live();
    if known.is_some_and(|live| live.id == active.id || is_stale(active, live)) {
        return None;
    }
    let age = view.active_age_ms.map(Duration::from_millis);
    let since = match (known, age) {
        // Never before the one it replaced.
        (Some(old), Some(age)) if !age.is_zero() => (*read_at - age).max(old.since).min(seen.at),
        // The first sight, a platform that does not say, or it went live while the read was under way: it is live from now
        // on. What was sent together with the read may have been answered by the one before.
        _ => seen.at,
    };
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
    let bad_before = known.map(|old| bad_before(policy, old, since, seen)).unwrap_or_default();
    let until = seen.at + (policy.watch - gone);
    Some(Situation::Watching(Watch {
        live,
        candidate: active.clone(),
        until,
        bad_before,
        former: Vec::new(),
        was_restarted: false,
        before: before(policy, seen),
        begun: 0,
    }))
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
    if let (Some(old), Some(new)) = (state.live(), next.live())
        && old.id != new.id
        && !ledger.good.iter().any(|good| good.id == old.id)
        // What had its incident was judged by it.
        && !contains(&ledger.accused, &old.id)
        && failed_until_replaced(policy, old, new.since, seen)
    {
        Ledger::note(&mut ledger.condemned, (old.id.clone(), Artifact::default()));
    }
    ledger
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
    let time = (live.since, seen.at);
    if rule::fewest_samples(policy, seen.windows, time, Pace::Rest) < policy.soak.min_samples {
        return Decision::stay(None);
    }
    let readings = rule::read_all(policy, seen.windows, live.since, seen.at, Pace::Rest);
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
    if !policy.has_judging() || policy.judging(&readings).any(is_in_the_way) || !is_good() {
        return Decision::stay(None);
    }
    let mut ledger = state.ledger.clone();
    if !contains(&ledger.accused, &active.id) {
        ledger.note_good(active.clone());
    }
    Decision::become_state(State { situation: Situation::Steady { live: live.clone() }, ledger })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::observation::{Cause, Phase};

    fn deployment(id: &str, cloned_from: &str) -> Deployment {
        Deployment {
            id: id.into(),
            phase: Phase::Active,
            cause: Cause::Rollback,
            created_ms: 1,
            complete: true,
            artifact: Artifact::default(),
            cloned_from: Some(cloned_from.into()),
            took_ms: None,
            title: String::new(),
        }
    }

    #[test]
    fn lost_requests_may_have_made_a_pin_that_is_new_and_not_known_to_be_another_s() {
        let closed_at = Moment::from_millis(0);
        let requests = Requests { before: ["old".into()].into(), targets: vec![deployment("good", "none")] };
        let lost = (closed_at, IncidentId::of(&"shop".into(), &"bad".into()), requests);
        let may = |pin: &str, active: Deployment, now| {
            let view = AppView { active: Some(active), ..AppView::default() };
            may_have_made(&lost, &pin.into(), &view, closed_at + now)
        };
        let soon = Duration::from_secs(1);
        assert!(may("new", deployment("bad", "none"), soon), "what it is can be told once it is live");
        assert!(may("new", deployment("new", "good"), soon));
        assert!(!may("new", deployment("new", "another"), soon));
        let of_untold_origin = Deployment { cloned_from: None, ..deployment("new", "") };
        assert!(may("new", of_untold_origin.clone(), soon), "nothing speaks against it");
        assert!(may("new", deployment("new", "none"), soon), "what the target repeats itself may be named");
        let runs = |code: &[(&str, &str)]| {
            let mut made = of_untold_origin.clone();
            made.artifact.code = code.iter().map(|(name, hash)| ((*name).into(), (*hash).into())).collect();
            made
        };
        let mut listed = lost.clone();
        listed.2.targets[0].artifact = runs(&[("job", "c1"), ("web", "c1")]).artifact;
        let may_run = |code| {
            let view = AppView { active: Some(runs(code)), ..AppView::default() };
            may_have_made(&listed, &"new".into(), &view, closed_at + soon)
        };
        assert!(may_run(&[("web", "c1")]) && may_run(&[]), "a component that is not listed says nothing");
        assert!(!may_run(&[("job", "c1"), ("web", "c2")]));
        assert!(!may("old", deployment("bad", "none"), soon));
        assert!(may("new", deployment("bad", "none"), LATEST));
        assert!(!may("new", deployment("bad", "none"), LATEST + Duration::from_millis(1)));
        assert_eq!(LATEST, Duration::from_secs(3_600));
    }
}
