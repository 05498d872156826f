//! Soaks, holds, and how they end.

use super::calls::LOST;
use super::picks::{BY_CODE, with_bad_release};
use super::platform::Who;
use super::world::{Reply, Sight, World, minutes, policy, secs};
use crate::decision::capability::Capabilities;
use crate::decision::effect::Reason;
use crate::decision::observation::{Cause, Phase, Request};
use crate::decision::policy::{OnHealthy, OnUnhealthy, Policy};
use crate::decision::state::{Hold, Outcome, Situation};

fn with_unhealthy(on_unhealthy: OnUnhealthy) -> Policy {
    let mut policy = policy();
    policy.soak.on_unhealthy = on_unhealthy;
    policy
}

#[test]
fn a_rollback_that_does_not_help_is_reverted_or_held() {
    let run = |on_unhealthy| {
        let mut world = World::with_bad_release(with_unhealthy(on_unhealthy));
        world.outage = true;
        let end = world.run_to_close();
        world.run(minutes(90));
        assert_eq!(world.closed.len(), 1, "{}", world.transcript());
        (end, world)
    };
    let (end, world) = run(OnUnhealthy::Revert);
    assert_eq!(end, (Outcome::Reverted, Reason::SoakUnhealthy));
    assert_eq!((world.platform.our_writes(), world.platform.pinned.clone()), (2, None));
    let (end, world) = run(OnUnhealthy::Hold);
    assert_eq!(end, (Outcome::Held, Reason::SoakUnhealthy));
    assert!(world.platform.pinned.is_some());
    assert_eq!(world.state.word(), "held");
}

#[test]
fn an_undoing_that_may_bring_back_something_else_says_so_once() {
    for (capabilities, call) in [(Capabilities::default(), "revert"), (BY_CODE, "create_rollback")] {
        for is_exact in [true, false] {
            let capabilities = Capabilities { revert_is_exact: is_exact, ..capabilities };
            let mut world = with_bad_release(with_unhealthy(OnUnhealthy::Revert), capabilities);
            world.run_to_stage("soaking");
            world.outage = true;
            // It is asked for twice.
            world.reply(call, LOST);
            let before = world.count(call);
            assert_eq!(world.run_to_close().0, Outcome::Reverted, "{}", world.transcript());
            assert_eq!(world.count(call), before + 2, "{}", world.transcript());
            let told = world.transcript().matches("may not be exactly what ran before").count();
            assert_eq!(told, usize::from(!is_exact), "{call}: {}", world.transcript());
        }
    }
}

#[test]
fn a_soak_that_stays_blind_ends_in_a_hold_and_never_in_a_commit() {
    for sight in [Sight::Blind, Sight::Silent] {
        let mut world = World::with_bad_release(policy());
        world.run_to_stage("soaking");
        world.sight = sight;
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakUnknown));
    }
}

#[test]
fn a_soak_that_is_blind_in_the_middle_ends_in_a_commit() {
    let mut world = World::with_bad_release(policy());
    world.run_to_stage("soaking");
    world.run(minutes(2));
    world.sight = Sight::Blind;
    world.run(minutes(4));
    world.sight = Sight::Clear;
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
}

#[test]
fn a_soak_goes_on_until_it_has_its_samples() {
    let mut policy = policy();
    policy.watch = minutes(60);
    let mut world = World::with_bad_release(policy.clone());
    policy.soak.min_samples = 400;
    world.policy = policy;
    world.run_to_stage("soaking");
    world.run(minutes(12));
    assert_eq!(world.stage(), "soaking");
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
}

#[test]
fn a_slow_probe_has_the_time_its_samples_need() {
    let mut policy = policy();
    policy.probes[0].period = minutes(1);
    policy.soak.period = minutes(2);
    let mut world = World::with_bad_release(policy);
    world.run_to_stage("soaking");
    // One good sample a minute: thirty of them take half an hour.
    for _ in 0..40 {
        world.sight = Sight::Silent;
        world.run(secs(58));
        world.sight = Sight::Clear;
        world.run(secs(2));
    }
    assert_eq!(world.ended(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}

#[test]
fn an_hour_s_jump_in_a_soak_neither_commits_nor_gives_up_by_itself() {
    let mut world = World::with_bad_release(policy());
    world.run_to_stage("soaking");
    world.run(minutes(1));
    world.at = world.at + minutes(60);
    world.restart();
    world.tick();
    world.tick();
    assert_eq!((world.stage(), world.platform.our_writes()), ("soaking", 1), "{}", world.transcript());
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}

fn held_with_pin() -> World {
    let mut policy = policy();
    policy.soak.on_healthy = OnHealthy::Hold;
    let mut world = World::with_bad_release(policy);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakHealthy));
    world.run(minutes(5));
    assert_eq!(world.state.word(), "held");
    world
}

#[test]
fn a_hold_ends_by_a_person_s_word_commit_or_revert() {
    let mut world = held_with_pin();
    assert!(!world.transcript().contains("ended the hold"));
    world.ask(Request::Resume);
    assert_ne!(world.state.word(), "held");
    assert!(world.transcript().contains("somebody ended the hold"), "{}", world.transcript());
    let mut world = held_with_pin();
    let at = world.at;
    assert!(world.platform.commit(Who::Person, at));
    world.run(secs(8));
    assert_ne!(world.state.word(), "held");
    let mut world = held_with_pin();
    assert!(world.platform.revert(Who::Person, at).is_some());
    world.run(minutes(3));
    assert_eq!(world.state.word(), "learning");
}

#[test]
fn a_hold_ends_by_a_newer_release_which_is_watched() {
    let mut policy = policy();
    policy.rollback.migrations = crate::decision::policy::OnMigrations::Hold;
    let mut world = World::steady(policy);
    world.release_bad();
    world.platform.deployments[2].artifact.migrations = "job".into();
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::Migration));
    world.run(minutes(5));
    world.release();
    world.run(secs(8));
    assert_eq!(world.state.word(), "watching");
}

#[test]
fn a_rollback_of_ours_that_goes_live_after_it_was_given_up_does_not_end_the_hold() {
    let mut world = World::with_bad_release(policy());
    world.roll_out = None;
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed));
    let id = world.platform.rollback_under_way().unwrap();
    let at = world.at;
    world.platform.finish(&id, Phase::Active, at);
    world.run(minutes(5));
    assert_eq!(world.state.word(), "held");
    world.platform.commit(Who::Person, world.at);
    world.run(secs(8));
    assert_ne!(world.state.word(), "held");
}

#[test]
fn a_lost_request_that_is_applied_after_the_hold_does_not_end_it() {
    let mut world = World::with_bad_release(policy());
    world.reply("create_rollback", Reply::Lost { applied_after: Some(minutes(10)) });
    world.reply("create_rollback", Reply::Lost { applied_after: None });
    world.reply("create_rollback", Reply::Lost { applied_after: None });
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed));
    world.run(minutes(15));
    assert!(world.platform.pinned.is_some());
    assert_eq!(world.state.word(), "held", "{}", world.transcript());
    let told = format!("deployment {} has begun", world.platform.active);
    assert_eq!(world.transcript().matches(&told).count(), 1, "{}", world.transcript());
    world.platform.commit(Who::Person, world.at);
    world.run(secs(8));
    assert_ne!(world.state.word(), "held");
}

/// Held without a pin, for a migration that differs.
fn held_without_pin() -> World {
    let mut world = World::steady(policy());
    world.release_bad();
    world.platform.deployments[2].artifact.migrations = "job".into();
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::Migration));
    world
}

fn hold(world: &World) -> &Hold {
    let Situation::Held(hold) = &world.state.situation else { panic!("not held:\n{}", world.transcript()) };
    hold
}

#[test]
fn a_hold_says_why_and_which_pin_stays_from_its_first_moment() {
    let world = held_without_pin();
    assert_eq!((hold(&world).why, &hold(&world).pin), (Reason::Migration, &None));
    let mut world = World::with_bad_release(with_unhealthy(OnUnhealthy::Hold));
    world.outage = true;
    world.run_to_close();
    assert_eq!((hold(&world).why, &hold(&world).pin), (Reason::SoakUnhealthy, &world.platform.pinned));
    assert!(world.platform.pinned.is_some());
}

#[test]
fn a_person_s_rollback_that_goes_live_during_a_hold_is_held_until_it_is_settled() {
    let mut world = held_without_pin();
    let at = world.at;
    world.platform.rollback(Who::Person, &"d1".into(), at, at);
    world.run(minutes(2));
    assert!(world.platform.in_progress.is_none());
    assert_eq!(hold(&world).pin, world.platform.pinned);
    let at = world.at;
    assert!(world.platform.commit(Who::Person, at));
    world.run(secs(8));
    assert_eq!(world.state.word(), "learning");
}

#[test]
fn a_pin_that_may_be_ours_is_named_in_the_hold_before_it_is_live() {
    let mut world = World::with_bad_release(policy());
    for _ in 0..3 {
        world.reply("create_rollback", Reply::Lost { applied_after: None });
    }
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed));
    assert_eq!(hold(&world).pin, None);
    let at = world.at;
    world.platform.rollback(Who::Rearguard, &"d2".into(), at, at);
    world.run(secs(8));
    assert!(world.platform.in_progress.is_some());
    assert_eq!(hold(&world).pin, world.platform.pinned);
    assert_eq!(world.state.ledger.ours, [], "it is not known to be ours");
}

#[test]
fn an_accused_release_that_heals_under_a_hold_is_guarded_again_and_no_target() {
    let mut world = held_without_pin();
    world.bad.clear();
    world.ask(Request::Resume);
    world.run(minutes(40));
    assert_eq!(world.state.word(), "steady");
    assert!(world.state.ledger.good.iter().all(|good| good.id != world.platform.active));
}

#[test]
fn a_blind_soak_is_given_as_long_again_and_no_less_than_its_samples_need() {
    // The soak's minutes, the probe's period and timeout, and when a soak that is blind throughout is given up.
    let cases = [(10, 5, 2, 20), (1, 5, 2, 6), (10, 60, 20, 10 + 40)];
    for (period, probe, timeout, given_up) in cases {
        let mut policy = policy();
        policy.soak.period = minutes(period);
        let mut world = World::with_bad_release(policy);
        world.run_to_stage("soaking");
        world.policy.probes[0].period = secs(probe);
        world.policy.probes[0].timeout = secs(timeout);
        world.sight = Sight::Silent;
        let began = world.at;
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakUnknown));
        assert_eq!(world.at.since(began), minutes(given_up));
    }
}

#[test]
fn a_rollback_that_failed_under_a_hold_until_it_was_replaced_is_nothing_to_go_back_to() {
    let mut policy = policy();
    policy.soak.on_unhealthy = OnUnhealthy::Hold;
    let mut world = World::with_bad_release(policy);
    world.outage = true;
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakUnhealthy));
    let rollback = world.platform.active.clone();
    world.platform.revert(Who::Person, world.at).expect("a revert");
    world.run_until(|world| world.platform.active != rollback);
    world.run(secs(20));
    assert!(world.state.ledger.condemned.iter().any(|(id, _)| *id == rollback), "{}", world.transcript());
}

#[test]
fn whatever_goes_live_while_the_rollback_is_pinned_is_no_answer_to_the_hold() {
    let mut policy = policy();
    policy.soak.on_healthy = OnHealthy::Hold;
    let mut world = World::with_bad_release(policy);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakHealthy), "{}", world.transcript());
    let (pinned, at) = (world.platform.pinned.clone(), world.at);
    let other = world.platform.make(Cause::Release, None, at);
    world.platform.finish(&other, Phase::Active, at);
    world.platform.pinned = pinned;
    world.run(minutes(2));
    let Situation::Held(Hold { why, kept, .. }) = &world.state.situation else {
        panic!("{}", world.transcript())
    };
    assert_eq!((*why, kept.is_some()), (Reason::SoakHealthy, true), "{}", world.transcript());
}
