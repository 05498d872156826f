//! A hold: what a person has to settle, until they have or say that they will, and pins that turn up without an incident.

use super::super::effect::Reason;
use super::super::incident::caller;
use super::super::observation::{AppView, Artifact, Deployment, Observation, Request};
use super::super::policy::Policy;
use super::super::state::{Hold, Ledger, Live, Lost, Situation, State};
use super::super::story::Event;
use super::super::{Change, Decision, pin};
use super::late;
use super::{is_stale, newly_live, with_what_left};
use crate::clock::Moment;
use crate::ids::DeploymentId;

/// Decides for an app that is held: a person's word, a commit or revert at the platform, or a newer release ends
/// the hold.
pub(in super::super) fn held(
    policy: &Policy,
    state: &State,
    hold: &Hold,
    seen: &Observation<'_>,
) -> Decision {
    if let Some(decision) = pin::let_go(policy, state, seen) {
        return decision;
    }
    // A pause of pushes comes back with the app.
    let is_soft = state.ledger.soft_pin.as_ref().is_some_and(|pin| pin.holds == hold.pin);
    if hold.pin.is_some() && !is_soft && pin::is_gone(seen) {
        return nothing_to_hold(state, hold);
    }
    let resumed = seen.operator.request == Some(Request::Resume);
    let is_another = seen.app.value().is_some_and(|view| view.pinned != hold.pin);
    if let Some(decision) = forgotten_pin(policy, state, seen).filter(|_| is_another && !resumed) {
        // Another pin instead of the one that was held, and this one may be ours as well.
        return decision;
    }
    if let Some(hold) = rollback_went_live(hold, seen) {
        return goes_live(state, hold, seen);
    }
    let settled = match (seen.app.since(hold.since), &hold.pin) {
        (Some(view), Some(pin)) => view.pinned.as_ref() != Some(pin),
        _ => false,
    };
    let is_pinned = seen.app.value().is_some_and(|view| hold.pin.is_some() && view.pinned == hold.pin);
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
            let Some(live) = next.live().cloned() else { return Decision::wait(hold.why, None) };
            return goes_live(state, Hold { live, runs: what_runs(seen), ..hold.clone() }, seen);
        }
        Some(situation) => situation,
        None if resumed || settled => Situation::Learning { live: Some(hold.live.clone()) },
        None => return Decision::wait(hold.why, None),
    };
    let mut ledger = with_what_left(policy, state, &situation, seen);
    leave_unseen(&mut ledger, hold, seen);
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
    let told = Event::Asked { request: Request::Resume, by, live, title: String::new(), target: None };
    Decision::change(Change {
        state: State { situation, ledger },
        effect: None,
        ruling: None,
        closed: None,
        story: if resumed { vec![told] } else { Vec::new() },
        about: resumed.then(|| hold.incident.clone()),
    })
}

/// Something else is live, and the hold goes on. What may be what came of a lost request is told.
fn goes_live(state: &State, hold: Hold, seen: &Observation<'_>) -> Decision {
    let mut ledger = state.ledger.clone();
    let is_new = |active: &&Deployment| state.ledger.made_for(&active.id).is_none();
    let view = seen.app.value();
    let active = view.and_then(|view| view.active.as_ref()).filter(is_new);
    let about = match (view, active) {
        // Its pin was told of.
        (Some(view), Some(active)) if view.pinned.as_ref() == Some(&active.id) => {
            let may_be_of = |lost: &Lost| may_have_made(lost, &active.id, view);
            let place = late::whose(&ledger, Some(active), may_be_of);
            place.map(|place| late::note(&mut ledger, place, active));
            None
        }
        (Some(view), Some(active)) => late::take(&mut ledger, view, active, seen.at),
        _ => None,
    };
    let told = active.filter(|_| about.is_some());
    let told =
        told.map(|active| Event::PerhapsOurs { deployments: vec![active.id.clone()], is_restart: false });
    let state = State { situation: Situation::Held(hold), ledger };
    let story = told.into_iter().collect();
    Decision::change(Change { state, effect: None, ruling: None, closed: None, story, about })
}

/// The app is not there any more, so its pin is not either, and nothing of ours is left to be settled. That a person has
/// not looked yet stays.
fn nothing_to_hold(state: &State, hold: &Hold) -> Decision {
    let situation = Situation::Held(Hold { pin: None, kept: None, ..hold.clone() });
    Decision::change(Change {
        state: State { situation, ledger: state.ledger.clone() },
        effect: None,
        ruling: None,
        closed: None,
        story: vec![Event::AppGone],
        about: Some(hold.incident.clone()),
    })
}

/// What the live deployment runs, as far as a read says.
pub(in super::super) fn what_runs(seen: &Observation<'_>) -> Artifact {
    let active = seen.app.value().and_then(|view| view.active.as_ref());
    active.map(|active| active.artifact.clone()).unwrap_or_default()
}

/// Whether what is live now says nothing of what a person wants: our own rollback, or one that may be ours, or the same
/// release once more.
fn is_nobodys_answer(state: &State, hold: &Hold, seen: &Observation<'_>) -> bool {
    let Some(view) = seen.app.value() else { return false };
    let Some(active) = &view.active else { return false };
    active.repeats(&hold.runs)
        || state.ledger.made_for(&active.id).is_some()
        || late::made_by(&state.ledger, view, active).is_some()
}

/// A pin of ours that no incident answers for, such as one whose rollback was applied long after it was given up
/// on: a pin blocks every deployment, so it is held for a person and never forgotten.
pub(super) fn forgotten_pin(policy: &Policy, state: &State, seen: &Observation<'_>) -> Option<Decision> {
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
    if let Situation::Held(hold) = &state.situation {
        leave_unseen(&mut ledger, hold, seen);
    }
    let (incident, told) = match ledger.made_for(pin) {
        Some(incident) => (incident.clone(), Event::LeftOver { deployment: pin.clone() }),
        None => {
            let live = view.active.as_ref().filter(|active| active.id == *pin);
            let place = late::whose(&ledger, live, |lost| may_have_made(lost, pin, view))?;
            // The pin may have been held, and counted, before.
            if !ledger.settled.iter().any(|(id, _)| id == pin) {
                late::recount(&mut ledger, place, seen.at);
            }
            let incident = match live {
                Some(active) => late::note(&mut ledger, place, active),
                // What it is can be told once it is live.
                None => ledger.lost[place].1.clone(),
            };
            (incident, Event::PerhapsOurs { deployments: vec![pin.clone()], is_restart: false })
        }
    };
    let (why, runs) = (Reason::RollbackFailed, what_runs(seen));
    let hold = Hold { why, incident, since: seen.at, live, runs, pin: Some(pin.clone()), kept: None };
    Some(late::hold(hold, ledger, told))
}

/// A pin that may be ours, and is gone before its rollback was live, is not told from another's any more. What a person
/// ordered to be left is left then.
fn leave_unseen(ledger: &mut Ledger, hold: &Hold, seen: &Observation<'_>) {
    let view = seen.app.value();
    let Some(pin) = hold.pin.as_ref().filter(|_| late::awaits_its_pin(hold)) else { return };
    if view.is_none_or(|view| view.pinned.as_ref() == Some(pin)) {
        return;
    }
    let mut entries =
        seen.history.value().into_iter().flatten().chain(view.and_then(|view| view.active.as_ref()));
    let made = entries.find(|entry| entry.id == *pin);
    let is_of_it = |(_, incident, requests): &Lost| {
        *incident == hold.incident && made.is_none_or(|made| requests.may_have_made(made))
    };
    if let Some(place) = ledger.lost.iter().position(is_of_it) {
        late::leave(ledger, place, made);
    }
}

/// Whether lost requests may have made the deployment that the app is pinned to. What it is can be told once it is
/// live; until then, which may be for ever, it may be ours.
pub(super) fn may_have_made((_, _, requests): &Lost, pin: &DeploymentId, view: &AppView) -> bool {
    if requests.before.contains(pin) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::observation::{Cause, Deployment, Operator, Phase, Reading};
    use crate::decision::scenarios::{World, policy};
    use crate::decision::state::{Live, Requests};
    use crate::ids::IncidentId;

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
        let targets = vec![deployment("good", "none")];
        let requests = Requests { before: ["old".into()].into(), targets, ..Requests::default() };
        let lost = (closed_at, IncidentId::of(&"shop".into(), &"bad".into()), requests);
        let may = |pin: &str, active: Deployment| {
            let view = AppView { active: Some(active), ..AppView::default() };
            may_have_made(&lost, &pin.into(), &view)
        };
        assert!(may("new", deployment("bad", "none")), "what it is can be told once it is live");
        assert!(may("new", deployment("new", "good")));
        assert!(!may("new", deployment("new", "another")));
        let of_untold_origin = Deployment { cloned_from: None, ..deployment("new", "") };
        assert!(may("new", of_untold_origin.clone()), "nothing speaks against it");
        assert!(may("new", deployment("new", "none")), "what the target repeats itself may be named");
        let runs = |code: &[(&str, &str)]| {
            let mut made = of_untold_origin.clone();
            made.artifact.code = code.iter().map(|(name, hash)| ((*name).into(), (*hash).into())).collect();
            made
        };
        let mut listed = lost.clone();
        listed.2.targets[0].artifact = runs(&[("job", "c1"), ("web", "c1")]).artifact;
        let may_run = |code| {
            let view = AppView { active: Some(runs(code)), ..AppView::default() };
            may_have_made(&listed, &"new".into(), &view)
        };
        assert!(may_run(&[("web", "c1")]) && may_run(&[]), "a component that is not listed says nothing");
        assert!(!may_run(&[("job", "c1"), ("web", "c2")]));
        assert!(!may("old", deployment("bad", "none")));
    }

    fn hold(why: Reason) -> Hold {
        let since = Moment::from_millis(1_000);
        Hold {
            why,
            incident: IncidentId::of(&"shop".into(), &"bad".into()),
            since,
            live: Live { id: "old".into(), created_ms: 10, since },
            runs: Artifact::default(),
            pin: Some("gone".into()),
            kept: None,
        }
    }

    #[test]
    fn a_rollback_that_goes_live_is_what_is_held_from_then_on() {
        let held = hold(Reason::RollbackFailed);
        let mut made = deployment("new", "good");
        (made.created_ms, made.artifact.spec) = (20, "spec".into());
        let now = Moment::from_millis(5_000);
        let went_live = |active: Option<&Deployment>, pinned: &str, read_at| {
            let view = AppView { active: active.cloned(), pinned: Some(pinned.into()), ..AppView::default() };
            let seen = Observation {
                at: now,
                app: &Reading::known(read_at, view),
                other_was_live_at: None,
                history: &Reading::never(),
                windows: &[],
                answer: None,
                operator: &Operator::default(),
            };
            rollback_went_live(&held, &seen)
        };
        let live = Live { id: "new".into(), created_ms: 20, since: now };
        let new =
            Hold { live, runs: made.artifact.clone(), pin: Some("new".into()), since: now, ..held.clone() };
        assert_eq!(went_live(Some(&made), "new", now), Some(new));
        assert_eq!(went_live(Some(&made), "other", now), None, "nobody's rollback");
        assert_eq!(went_live(Some(&deployment("old", "good")), "old", now), None, "as before");
        assert_eq!(went_live(None, "new", now), None);
        assert_eq!(went_live(Some(&made), "new", Moment::from_millis(999)), None, "an old read");
        made.created_ms = 5;
        assert_eq!(went_live(Some(&made), "new", now), None, "an old answer");
    }

    #[test]
    fn of_an_app_that_is_gone_nothing_is_left_to_settle() {
        let mut world = World::with_bad_release(policy());
        world.run_to_stage("soaking");
        let kept = Some(Box::new(world.state.incident().expect("an incident").clone()));
        let held = Hold { kept, ..hold(Reason::SoakHealthy) };
        let change = nothing_to_hold(&State::default(), &held).change.expect("a change");
        let Situation::Held(left) = change.state.situation else { panic!("held") };
        assert_eq!(left, Hold { pin: None, kept: None, ..held });
    }

    #[test]
    fn a_pin_that_is_gone_before_it_was_live_is_of_the_incident_it_is_held_for_unless_it_is_known_to_be_another_s()
     {
        let held = hold(Reason::RollbackFailed);
        let lost = |accused: &str| {
            let left = Some((accused.into(), Artifact::default()));
            let requests =
                Requests { targets: vec![deployment("good", "none")], left, ..Requests::default() };
            (Moment::default(), IncidentId::of(&"shop".into(), &accused.into()), requests)
        };
        let left = |listed: Option<Deployment>| {
            let mut ledger = Ledger { lost: vec![lost("other"), lost("bad")], ..Ledger::default() };
            let now = Moment::from_millis(5_000);
            let seen = Observation {
                at: now,
                app: &Reading::known(now, AppView::default()),
                other_was_live_at: None,
                history: &Reading::known(now, listed.into_iter().collect()),
                windows: &[],
                answer: None,
                operator: &Operator::default(),
            };
            leave_unseen(&mut ledger, &held, &seen);
            ledger.condemned.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(left(None), ["bad".into()]);
        assert_eq!(left(Some(deployment("gone", "good"))), ["bad".into()]);
        assert_eq!(left(Some(deployment("gone", "another"))), []);
    }
}
