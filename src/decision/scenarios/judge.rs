//! What must hold whatever happens, judged from the platform's ledger.

use std::time::Duration;

use super::platform::{Who, Write};
use super::world::World;
use crate::clock::Moment;
use crate::decision::Closed;
use crate::decision::capability::Pushes;
use crate::decision::effect::{Effect, Reason};
use crate::decision::observation::{Deployment, Phase, Request};
use crate::decision::policy::{Condition, Mode, Test};
use crate::decision::state::{Incident, Outcome, Situation};
use crate::ids::DeploymentId;

/// How long after it was asked for a pause of pushes may still come about, for all that is known.
const LATEST: Duration = Duration::from_secs(3_600);
/// How far reads may lag behind a write, for all that is known.
const LAG: Duration = Duration::from_secs(90);
/// A pause of pushes is let go within that once nothing is in the way, two waits for an answer included.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// Judges a call that is about to be sent.
pub(super) fn effect(world: &World, effect: &Effect) {
    match effect {
        // Back from our own rollback, which is how some platforms have to be asked for a revert.
        Effect::CreateRollback { accused, .. } if world.platform.our_rollbacks().contains(accused) => {
            let is_asked = world.state.incident().is_some_and(|incident| incident.asked.is_some());
            assert!(is_asked || world.stage() == "reverting", "{}", world.transcript());
        }
        Effect::CreateRollback { accused, target, .. } => {
            never_to_a_barred_target(world, accused, target);
            only_with_a_yes_where_one_is_asked_for(world);
            only_what_failed_to_the_last(world, accused);
        }
        Effect::Commit { rollback } | Effect::Revert { rollback } => only_our_own_pin(world, rollback),
        Effect::Unpin => only_our_own_pause(world),
        Effect::Validate { .. } | Effect::Restart { .. } | Effect::Pin { .. } => {}
    }
}

/// Judges a world at rest.
pub(super) fn at_rest(world: &World) {
    one_incident_a_deployment(world);
    one_create_an_incident(world);
}

/// In mode approve nothing is rolled back without a yes to that incident, nor in any mode after a no to it. A person's order
/// needs no other word.
fn only_with_a_yes_where_one_is_asked_for(world: &World) {
    let incident = world.state.incident().expect("an open incident");
    let has_said = |what: &Request| world.said.iter().any(|(id, said)| *id == incident.id && said == what);
    let is_asked = incident.mode(&world.policy) == Mode::Approve && incident.asked.is_none();
    assert!(!is_asked || has_said(&Request::Approve), "without a yes:\n{}", world.transcript());
    assert!(!has_said(&Request::Reject), "after a no:\n{}", world.transcript());
}

/// What a rule on failures in a row accuses has failed so often, the last time when it was last asked. A person's order
/// accuses nobody of anything.
fn only_what_failed_to_the_last(world: &World, accused: &DeploymentId) {
    let incident = world.state.incident().expect("an open incident");
    let [rule] = &world.policy.rules[..] else { return };
    let [Test { condition: Condition::ConsecutiveFailures { count }, .. }] = rule.tests[..] else { return };
    if incident.asked.is_some() {
        return;
    }
    let failures = world.failures.get(&world.platform.first_of_the_same(accused)).copied().unwrap_or(0);
    let count = usize::try_from(count).expect("a few");
    assert!(failures >= count, "{accused} has failed {failures} times in a row:\n{}", world.transcript());
}

fn never_to_a_barred_target(world: &World, accused: &DeploymentId, target: &DeploymentId) {
    assert_ne!(accused, target, "to the accused deployment");
    if world.state.incident().is_some_and(|incident| incident.named() == Some(target)) {
        // A person's choice.
        return;
    }
    let entry = world.platform.get(target).expect("a target that exists");
    let is_asked_for = |made: &DeploymentId| {
        world.effects.iter().any(|(_, effect)| *effect == Effect::Revert { rollback: made.clone() })
    };
    // What was applied since the last read, or since what that read lagged behind, nobody knows of.
    let read_at = world.app.read_at().unwrap_or_default();
    let is_known = |applied: Moment| applied + world.worst_lag <= read_at;
    for (barred, sent, applied) in &world.created {
        if !is_known(*applied)
            || world.platform.was_reverted(*sent, is_asked_for)
            || is_wanted_back(world, barred)
            || world.refused.contains(sent) && is_ordered(world, barred)
        {
            continue;
        }
        let ran = &world.platform.get(barred).expect("an accused deployment that exists").artifact;
        assert!(
            barred != target && !ran.same_as(&entry.artifact),
            "back to one that was rolled back from:\n{}",
            world.transcript()
        );
    }
    assert!(!matches!(entry.phase, Phase::Error | Phase::Canceled) && entry.complete, "to one that failed");
}

/// Whether that release was to come back, at a person's word or since the rollback did not help: it is none that nobody
/// wants, even where another request for the same was applied as well, or where it did not come back since a colleague had
/// accepted the rollback meanwhile, which cannot be told from a revert that was applied.
fn is_wanted_back(world: &World, barred: &DeploymentId) -> bool {
    let is_over = |rollback: &DeploymentId| {
        let is_it = |who: Who, write: &Write| match write {
            Write::Commit { pin } => pin == rollback && who == Who::Person,
            Write::Revert { pin } => pin == rollback,
            _ => false,
        };
        world.platform.returned.contains(rollback)
            || world.platform.ledger.iter().any(|(_, who, write)| is_it(*who, write))
    };
    closed_about(world, barred).any(|closed| {
        closed.outcome == Outcome::Reverted
            && (closed.reason == Reason::Requested || closed.incident.stage.rollback().is_some_and(is_over))
    })
}

/// Whether a person ordered that release to be left. Where the platform said no to that although it did it, the person was
/// told so, and nothing was left as far as anybody knows.
fn is_ordered(world: &World, barred: &DeploymentId) -> bool {
    closed_about(world, barred).any(|closed| closed.incident.asked.is_some())
}

fn closed_about<'a>(world: &'a World, accused: &'a DeploymentId) -> impl Iterator<Item = &'a Closed> {
    world.closed.iter().filter(|closed| closed.incident.accused.id == *accused)
}

fn only_our_own_pin(world: &World, rollback: &DeploymentId) {
    if world.platform.our_rollbacks().contains(rollback) {
        return;
    }
    let incident = world.state.incident().expect("an open incident");
    // A person who rolls back to our own target while our request is lost cannot be told from us, nor can what they order then.
    let is_found = |of: &Incident| of.stage.rollback() == Some(rollback) && !of.requests.targets.is_empty();
    let target = incident.stage.target().expect("a target");
    let target: &Deployment = world.platform.get(target).expect("a target that exists");
    let pin = world.platform.get(rollback).expect("a rollback that exists");
    assert!(
        incidents(world).any(is_found) && pin.artifact == target.artifact,
        "settles a pin that is not ours: {rollback}\n{}",
        world.transcript()
    );
}

/// Every change of what pushes do.
fn changes_of_pushes(world: &World) -> Vec<(Moment, Who, Pushes)> {
    let changes = world.platform.ledger.iter().filter_map(|(at, who, write)| match write {
        Write::Pushes(pushes) => Some((*at, *who, *pushes)),
        _ => None,
    });
    changes.collect()
}

/// Pushes that a person paused stay paused, wherever anybody could know whose pause it is.
fn only_our_own_pause(world: &World) {
    let changes = changes_of_pushes(world);
    let Some((paused_at, Who::Person, Pushes::Paused)) = changes.last() else { return };
    let read_at = world.app.read_at().unwrap_or_default();
    // What a lost request of ours came to nobody can tell from what a person did.
    let is_unclear = world.lost_pins.iter().any(|lost_at| world.at.since(*lost_at) <= LATEST);
    if is_unclear || *paused_at + world.worst_lag > read_at {
        return;
    }
    let is_ours = |(_, who, pushes): &&_| (*who, *pushes) == (Who::Rearguard, Pushes::Paused);
    let ours = changes.iter().rfind(is_ours);
    let is_known_to_be_over = ours.is_none_or(|(ours, ..)| {
        let over = changes.iter().find(|(at, _, pushes)| at >= ours && *pushes == Pushes::Deploy);
        // A read soon after it may be from before it.
        let from = over.map(|(over, ..)| (*over + world.worst_lag).max(*ours + LAG));
        from.is_some_and(|from| world.shown_deploying.is_some_and(|shown| shown >= from))
    });
    assert!(!is_known_to_be_over, "pushes are let go that a person paused:\n{}", world.transcript());
}

fn one_incident_a_deployment(world: &World) {
    let mut accused: Vec<_> = incidents(world)
        .filter(|incident| incident.asked.is_none())
        .map(|incident| &incident.accused.id)
        .collect();
    let all = accused.len();
    accused.sort();
    accused.dedup();
    assert_eq!(accused.len(), all, "two incidents for one deployment:\n{}", world.transcript());
}

fn incidents(world: &World) -> impl Iterator<Item = &Incident> {
    world.closed.iter().map(|closed| &closed.incident).chain(world.state.incident())
}

/// At most one rollback is applied for an incident, unless an earlier one came to light after its reconcile time. A person
/// may ask for any number.
fn one_create_an_incident(world: &World) {
    let is_asked = |deployment: &DeploymentId| {
        incidents(world).any(|incident| incident.asked.is_some() && incident.accused.id == *deployment)
    };
    for (accused, sent, _) in world.created.iter().filter(|(accused, ..)| !is_asked(accused)) {
        let earlier = world.created.iter().find(|(other, before, _)| other == accused && before < sent);
        let Some((_, sent, applied)) = earlier else { continue };
        let known_after = applied.since(*sent) + world.worst_lag + super::world::TICK * 4;
        assert!(known_after >= world.policy.reconcile, "two rollbacks applied:\n{}", world.transcript());
    }
}

/// The same with nothing in the way any more, and what is under way live.
fn calmed(world: &World) -> World {
    let mut later = world.clone();
    super::walk::calm(&mut later);
    if let Some(id) = later.platform.in_progress.clone() {
        let at = later.at;
        later.platform.finish(&id, Phase::Active, at);
    }
    later
}

/// A pin of ours that is still there belongs to an open incident, or to a hold that a person was told about: at once,
/// or when its deployment has come to its end and was read.
pub(super) fn no_pin_is_forgotten(world: &World) {
    if !has_unknown_pin(world) {
        return;
    }
    let mut later = calmed(world);
    later.run(Duration::from_secs(30));
    assert!(!has_unknown_pin(&later), "a forgotten pin:\n{}", later.transcript());
}

/// A pause of ours that is still there belongs to an open incident or a hold, or is let go within minutes, or a person was
/// told of it.
pub(super) fn no_pause_of_pushes_is_forgotten(world: &World) {
    if !has_unknown_pause(world) {
        return;
    }
    let mut later = calmed(world);
    let until = later.at + FORGOTTEN_AFTER;
    while has_unknown_pause(&later) {
        assert!(later.at < until, "a forgotten pause of pushes:\n{}", later.transcript());
        later.tick();
    }
}

fn has_unknown_pause(world: &World) -> bool {
    let Some((paused_at, Who::Rearguard, Pushes::Paused)) = changes_of_pushes(world).last().copied() else {
        return false;
    };
    let mut asked = world.effects.iter().rev().filter(|(_, effect)| matches!(effect, Effect::Pin { .. }));
    // What comes about so late nobody looks out for any more.
    let is_in_time = asked.any(|(sent, _)| *sent <= paused_at && paused_at.since(*sent) <= LATEST);
    let is_told = world.doubts.iter().any(|told| *told >= paused_at);
    let is_in_hand = matches!(world.state.situation, Situation::Held(_) | Situation::Incident(_));
    is_in_time && !is_told && !is_in_hand
}

fn has_unknown_pin(world: &World) -> bool {
    let ours = world.platform.pinned.as_ref().is_some_and(|pin| world.platform.our_rollbacks().contains(pin));
    ours && !matches!(world.state.situation, Situation::Held(_) | Situation::Incident(_))
}
