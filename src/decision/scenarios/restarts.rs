//! A restart that is tried before a rollback.

use super::calls::LOST;
use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::capability::{Capabilities, Support, Targeting};
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::{Phase, ReadFault, Request};
use crate::decision::policy::{Mode, Policy};
use crate::decision::state::{Outcome, Situation, Stage};

pub(super) fn restarting() -> Policy {
    Policy { restart_first: Some(secs(90)), ..policy() }
}

/// The release heals once it is restarted.
pub(super) fn heals(world: &mut World) {
    world.run_until(|world| world.platform.active.as_str() == "d4");
    world.bad.clear();
}

/// It stays bad, restarted or not.
pub(super) fn stays_bad(world: &mut World) {
    world.bad.insert("d4".into());
}

#[test]
fn what_a_restart_heals_is_not_rolled_back_and_stays_under_watch() {
    let mut world = World::with_bad_release(restarting());
    heals(&mut world);
    world.records = true;
    assert_eq!(world.run_to_close(), (Outcome::Restarted, Reason::Restarted), "{}", world.transcript());
    assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 0));
    assert!(!world.transcript().contains("no restart is tried"), "{}", world.transcript());
    let Situation::Watching(watch) = &world.state.situation else { panic!("{}", world.transcript()) };
    assert_eq!((watch.live.id.as_str(), watch.candidate.id.as_str()), ("d4", "d4"));
    let changes = world.recorded.iter().filter_map(|(.., decision)| decision.change.as_deref());
    let [end] = changes.filter(|change| change.closed.is_some()).collect::<Vec<_>>()[..] else {
        panic!("one")
    };
    let Situation::Watching(begun) = &end.state.situation else { panic!("{end:?}") };
    assert_eq!(
        (begun.live.id.as_str(), begun.candidate.id.as_str(), begun.was_restarted),
        ("d4", "d4", true)
    );
    assert_eq!(begun.former, ["d3".into()], "what it restarted is nothing to go back to");
    // It passes its watch, and is what the next incident goes back to.
    world.run(minutes(40));
    assert_eq!(world.state.word(), "steady");
    assert_eq!(world.state.ledger.good.last().map(|good| good.id.as_str()), Some("d4"));
}

#[test]
fn a_restart_that_rolls_out_slowly_has_five_minutes_to_be_live() {
    let mut world = World::with_bad_release(restarting());
    world.roll_out = Some(minutes(4));
    heals(&mut world);
    assert_eq!(world.run_to_close(), (Outcome::Restarted, Reason::Restarted), "{}", world.transcript());
    let mut world = World::with_bad_release(restarting());
    world.roll_out = None;
    world.run_until(|world| world.count("restart") == 1);
    let asked_at = world.at;
    world.run_to_stage("validating");
    assert_eq!(world.at.since(asked_at), minutes(5), "{}", world.transcript());
}

#[test]
fn what_a_restart_does_not_heal_is_rolled_back_after_the_wait() {
    let mut world = World::with_bad_release(restarting());
    stays_bad(&mut world);
    world.run_to_stage("restarting");
    let judged_at = |world: &World| match world.state.incident().map(|incident| &incident.stage) {
        Some(Stage::Restarting { until, .. }) => *until,
        _ => None,
    };
    world.run_until(|world| judged_at(world).is_some());
    let until = judged_at(&world).expect("a time");
    assert_eq!(until, world.at + secs(90), "{}", world.transcript());
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 1));
    let (asked_at, _) = world.effects.iter().find(|(_, effect)| effect.word() == "validate").expect("asked");
    assert_eq!(*asked_at, until, "{}", world.transcript());
    assert_eq!(world.closed[0].incident.accused.id.as_str(), "d4", "what is live is what is accused");
    assert_eq!(
        world.platform.get(&world.platform.active).and_then(|now| now.cloned_from.clone()),
        Some("d2".into())
    );
}

#[test]
fn what_a_restart_did_is_told_with_what_was_measured_and_when_the_app_was_healthy_again() {
    let mut world = World::with_bad_release(restarting());
    heals(&mut world);
    world.run_to_close();
    let said = world.transcript();
    assert!(said.contains("the restart helped: rule down is good (0 failures in a row, limit 3)"), "{said}");
    // Healthy soon after the restart was live, and not only when the wait was over.
    let restored = said.split("healthy again, ").nth(1).and_then(|rest| rest.split(' ').next());
    let restored: f64 = restored.expect(&said).parse().expect("seconds");
    assert!((60.0..80.0).contains(&restored), "{said}");
    // One that does not help, and one that is good for a while and then is not.
    for good_for in [0, 40] {
        let mut world = World::with_bad_release(restarting());
        heals(&mut world);
        world.run(secs(good_for));
        stays_bad(&mut world);
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        let said = world.transcript();
        assert!(said.contains("the restart did not help: rule down is bad"), "{said}");
        assert_eq!(said.matches("healthy again").count(), 1, "{said}");
    }
    let mut world = World::with_bad_release(restarting());
    world.reply("restart", LOST);
    world.run_to_close();
    assert!(world.transcript().contains("restart was not applied"), "{}", world.transcript());
}

#[test]
fn a_release_is_restarted_once_however_often_it_fails() {
    let mut world = World::with_bad_release(restarting());
    heals(&mut world);
    assert_eq!(world.run_to_close(), (Outcome::Restarted, Reason::Restarted));
    world.run(minutes(1));
    stays_bad(&mut world);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 1));
    // The next release has a restart of its own.
    let mut policy = restarting();
    policy.limits.cooldown = secs(0);
    let mut world = World::with_bad_release(policy);
    stays_bad(&mut world);
    world.run_to_close();
    world.release_bad();
    world.outage = true;
    world.run_to_stage("restarting");
    assert_eq!(world.count("restart"), 2);
}

#[test]
fn a_restart_that_is_not_to_be_had_leaves_the_rollback() {
    let replies = [
        Reply::Not(Rejection::Denied, None),
        Reply::Not(Rejection::NotConnected, None),
        Reply::Refused { status: 409, applied: false },
        Reply::Guarded(Guard::Changed),
        Reply::Guarded(Guard::Unreadable),
    ];
    for reply in replies {
        let mut world = World::with_bad_release(restarting());
        world.reply("restart", reply);
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        assert_eq!(world.count("restart"), 1);
    }
    // One that fails, or never comes to its end.
    for is_stuck in [true, false] {
        let mut world = World::with_bad_release(restarting());
        world.run_to_stage("restarting");
        if is_stuck {
            world.roll_out = None;
            world.run(minutes(7));
            assert_eq!((world.stage(), world.waiting), ("validating", Some(Reason::InProgress)));
            world.platform.in_progress = None;
            world.roll_out = Some(secs(60));
        } else {
            let at = world.at;
            world.platform.finish(&"d4".into(), Phase::Error, at);
            world.run(secs(6));
            assert_eq!(world.count("create_rollback"), 1, "{}", world.transcript());
        }
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    }
}

#[test]
fn where_the_platform_picks_or_cannot_restart_no_restart_is_tried() {
    let picks = Capabilities { targeting: Targeting::PlatformPicks, ..Capabilities::default() };
    let cannot = Capabilities { restart: Support::Absent, ..Capabilities::default() };
    let told = [
        (picks, "no restart is tried: the platform would take what was restarted for what to go back to"),
        (cannot, "no restart is tried: the platform has none for this app"),
    ];
    for (capabilities, words) in told {
        let mut world = World::steady(restarting());
        world.platform.capabilities = capabilities;
        world.release_bad();
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        assert_eq!(world.count("restart"), 0);
        assert!(world.transcript().contains(words), "{}", world.transcript());
        // Nothing is said of a restart that nobody asked for.
        world = World::steady(policy());
        world.platform.capabilities = capabilities;
        world.release_bad();
        world.run_to_close();
        assert!(!world.transcript().contains("no restart is tried"), "{}", world.transcript());
    }
}

#[test]
fn a_person_is_asked_before_a_restart_and_one_yes_is_for_both() {
    let mut policy = restarting();
    policy.mode = Mode::Approve;
    let mut world = World::with_bad_release(policy);
    stays_bad(&mut world);
    world.run_to_stage("awaiting_approval");
    world.run(minutes(2));
    assert!(world.effects.is_empty());
    world.ask(Request::Approve);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 1));
    assert_eq!(
        world.transcript().matches("[wait awaiting_approval]").count(),
        1,
        "asked and waited for, once"
    );
}

#[test]
fn a_person_stops_a_restart_that_is_waited_for_and_a_newer_release_ends_it() {
    type Then = fn(&mut World);
    let ends: [(Then, (Outcome, Reason)); 3] = [
        (|world| world.operator.paused = true, (Outcome::Refused, Reason::Paused)),
        (|world| world.ask(Request::Reject), (Outcome::Refused, Reason::Rejected)),
        (
            |world| {
                world.platform.in_progress = None;
                world.release();
            },
            (Outcome::Superseded, Reason::Superseded),
        ),
    ];
    for (then, end) in ends {
        let mut world = World::with_bad_release(restarting());
        world.run_to_stage("restarting");
        let closed = world.closed.len();
        then(&mut world);
        world.run_until(|world| world.closed.len() > closed);
        assert_eq!(world.ended(), end, "{}", world.transcript());
        assert_eq!(world.count("create_rollback"), 0);
    }
}

#[test]
fn a_restart_of_an_observed_app_is_not_even_tried() {
    let mut policy = restarting();
    policy.mode = Mode::Observe;
    let mut world = World::with_bad_release(policy);
    assert_eq!(world.run_to_close(), (Outcome::Observed, Reason::ObserveMode));
    assert!(world.effects.is_empty());
}

#[test]
fn a_process_that_dies_during_a_restart_goes_on_with_it() {
    let mut world = World::with_bad_release(restarting());
    world.latency = secs(6);
    world.run_to_stage("restarting");
    world.restart();
    heals(&mut world);
    world.latency = secs(0);
    assert_eq!(world.run_to_close(), (Outcome::Restarted, Reason::Restarted), "{}", world.transcript());
    assert_eq!(world.count("restart"), 1);
}

#[test]
fn a_release_that_the_platform_deployed_again_is_not_gone_back_to_under_its_old_id() {
    for by_restart in [true, false] {
        let policy = if by_restart { restarting() } else { super::world::policy() };
        let mut world = World::steady(policy);
        // Nobody says what runs, and nothing was seen to be good.
        world.platform.says_code = false;
        world.state.ledger.good.clear();
        let bad = world.release();
        if by_restart {
            stays_bad(&mut world);
        } else {
            world.run(secs(6));
            let again = world.platform.upkeep(world.at);
            world.bad.insert(again);
        }
        world.bad.insert(bad.clone());
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        let target = world.closed[0].incident.stage.target().cloned();
        assert!(target.is_some() && target != Some(bad), "{}", world.transcript());
    }
}

#[test]
fn the_platform_s_upkeep_of_a_release_that_was_restarted_earns_it_no_second_restart() {
    let mut world = World::with_bad_release(restarting());
    heals(&mut world);
    assert_eq!(world.run_to_close(), (Outcome::Restarted, Reason::Restarted));
    world.run(minutes(1));
    let again = world.platform.upkeep(world.at);
    world.run(secs(10));
    world.bad.insert(again);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 1));
}

#[test]
fn what_a_restart_healed_has_a_whole_watch_before_it_is_good() {
    let mut world = World::steady(restarting());
    let release = world.release();
    // Nearly all of its watch is over.
    world.run(world.policy.watch - minutes(1));
    world.bad.insert(release);
    heals(&mut world);
    assert_eq!(world.run_to_close(), (Outcome::Restarted, Reason::Restarted), "{}", world.transcript());
    world.run(world.policy.watch - minutes(1));
    assert_eq!(world.state.word(), "watching", "{}", world.transcript());
    world.run(minutes(2));
    assert_eq!(world.state.word(), "steady", "{}", world.transcript());
}

#[test]
fn a_yes_is_for_the_target_that_was_named_also_after_a_restart() {
    let mut world = World::with_bad_release(Policy { mode: Mode::Approve, ..restarting() });
    stays_bad(&mut world);
    world.run_to_stage("awaiting_approval");
    let named = world.state.incident().and_then(|incident| incident.stage.target().cloned());
    world.ask(Request::Approve);
    world.run_to_stage("restarting");
    // Another one would be picked now.
    world.state.ledger.good.clear();
    let other = world.platform.deployments[0].clone();
    world.state.ledger.good.push(other);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(world.closed[0].incident.stage.target().cloned(), named);
}

#[test]
fn a_restart_that_came_about_while_we_were_away_has_its_time_to_heal_the_release() {
    for restarts in [false, true] {
        let mut world = World::with_bad_release(restarting());
        world.run_until(|world| world.count("restart") == 1);
        world.at = world.at + minutes(20);
        let at = world.at;
        world.platform.finish(&"d4".into(), Phase::Active, at);
        if restarts {
            world.restart();
        }
        world.fault = Some(ReadFault::Unreachable);
        world.step();
        world.run(secs(20));
        world.fault = None;
        assert_eq!(world.run_to_close(), (Outcome::Restarted, Reason::Restarted), "{}", world.transcript());
    }
    // Not for ever.
    let mut world = World::with_bad_release(restarting());
    world.run_until(|world| world.count("restart") == 1);
    world.fault = Some(ReadFault::Unreachable);
    world.run(minutes(60));
    assert_ne!(world.stage(), "restarting", "{}", world.transcript());
}
