//! Questions and requests that fail, get lost, come late or are answered with something else.

use std::time::Duration;

use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::{Phase, ReadFault};
use crate::decision::state::{Outcome, Situation};

pub(super) const LOST: Reply = Reply::Lost { applied_after: None };
pub(super) const APPLIED: Reply = Reply::Lost { applied_after: Some(Duration::ZERO) };

pub(super) fn late(seconds: u64) -> Reply {
    Reply::Lost { applied_after: Some(secs(seconds)) }
}

#[test]
fn a_lost_create_that_was_applied_is_found_and_not_repeated() {
    for reply in [APPLIED, late(2), late(20)] {
        let mut world = World::with_bad_release(policy());
        world.reply("create_rollback", reply);
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
        assert_eq!(world.count("create_rollback"), 1, "{}", world.transcript());
    }
}

#[test]
fn a_lost_create_that_was_not_applied_is_repeated_after_the_reconcile_time() {
    let mut world = World::with_bad_release(policy());
    world.reply("create_rollback", LOST);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    assert_eq!(world.count("create_rollback"), 2);
    let sent: Vec<_> =
        world.effects.iter().filter(|(_, effect)| effect.mutates()).map(|(at, _)| *at).collect();
    assert!(sent[1].since(sent[0]) >= policy().reconcile);
}

#[test]
fn creates_that_get_lost_again_and_again_end_in_a_hold() {
    let mut world = World::with_bad_release(policy());
    for _ in 0..3 {
        world.reply("create_rollback", LOST);
    }
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed));
    assert_eq!(world.count("create_rollback"), 3);
}

#[test]
fn a_create_that_is_applied_after_the_reconcile_time_is_adopted_all_the_same() {
    for seconds in [31, 35, 40, 90] {
        for cloned in [true, false] {
            let mut world = World::with_bad_release(policy());
            world.platform.says_cloned_from = cloned;
            world.reply("create_rollback", late(seconds));
            world.reply("create_rollback", LOST);
            world.reply("create_rollback", LOST);
            assert_eq!(
                world.run_to_close(),
                (Outcome::Committed, Reason::SoakHealthy),
                "{}",
                world.transcript()
            );
            assert_eq!(world.platform.our_rollbacks().len(), 1, "{}", world.transcript());
        }
    }
}

#[test]
fn a_create_refused_with_a_client_error_is_not_repeated_for_that_target() {
    let mut world = World::with_bad_release(policy());
    world.reply("create_rollback", Reply::Refused { status: 412, applied: false });
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    assert_eq!(world.platform.deployments[3].cloned_from, Some("d1".into()));
}

#[test]
fn a_create_of_unknown_fate_waits_for_the_reconcile_time_before_it_yields_to_a_newer_release() {
    let mut world = World::with_bad_release(policy());
    world.roll_out = None;
    world.reply("create_rollback", late(20));
    world.run_to_stage("rolling_back");
    world.release();
    world.run(secs(15));
    assert_eq!(world.closed.len(), 0, "{}", world.transcript());
    world.run(minutes(1));
    // Found: it is ours, it is on its way over a person's release, and so a person has to settle it.
    assert_eq!(world.ended(), (Outcome::Held, Reason::Superseded), "{}", world.transcript());
    let Situation::Held(hold) = &world.state.situation else { panic!("not held") };
    assert_eq!(hold.pin, world.platform.pinned);
}

#[test]
fn reads_that_lag_a_minute_behind_neither_repeat_nor_lose_the_rollback() {
    for reply in [Reply::Normal, APPLIED] {
        let mut world = World::with_bad_release(policy());
        world.lag = secs(60);
        world.reply("create_rollback", reply);
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        assert_eq!(world.platform.our_rollbacks().len(), 1);
    }
}

#[test]
fn a_rollback_deployment_that_fails_is_held_with_its_pin() {
    for phase in [Phase::Error, Phase::Canceled] {
        let mut world = World::with_bad_release(policy());
        world.roll_out = None;
        world.run_until(|world| world.platform.rollback_under_way().is_some());
        world.run(secs(10));
        let id = world.platform.rollback_under_way().unwrap();
        let at = world.at;
        world.platform.finish(&id, phase, at);
        assert_eq!(world.run_to_close(), (Outcome::Failed, Reason::RollbackFailed));
        world.run(minutes(60));
        assert_eq!(world.state.word(), "held");
        assert_eq!(world.platform.pinned, Some(id));
        assert_eq!(world.platform.our_writes(), 1);
    }
}

#[test]
fn a_rollback_deployment_that_never_comes_about_is_held() {
    let mut world = World::with_bad_release(policy());
    world.roll_out = None;
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed));
    assert!(world.platform.pinned.is_some());
}

/// The machine slept, or the process was not there, for so long. It decides before anything is read, and then nothing can be
/// read for a while.
pub(super) fn comes_back(world: &mut World, away: Duration, restarts: bool) {
    world.at = world.at + away;
    if restarts {
        world.restart();
    }
    world.step();
    world.fault = Some(ReadFault::Unreachable);
    world.run(minutes(10));
    world.fault = None;
}

#[test]
fn a_rollback_that_went_live_while_we_were_away_is_soaked_however_long_that_was() {
    for away in [45, 70, 600] {
        for restarts in [false, true] {
            let mut world = World::with_bad_release(policy());
            world.run_until(|world| world.platform.rollback_under_way().is_some());
            world.run(secs(6));
            comes_back(&mut world, minutes(away), restarts);
            let said = world.transcript();
            assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{away}: {said}");
        }
    }
}

#[test]
fn a_platform_that_stays_out_of_reach_after_we_were_away_ends_the_wait() {
    let mut world = World::with_bad_release(policy());
    world.run_until(|world| world.platform.rollback_under_way().is_some());
    world.at = world.at + minutes(600);
    world.restart();
    world.step();
    let back = world.at;
    world.fault = Some(ReadFault::Unreachable);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
    assert!(world.at.since(back) >= minutes(30), "{}", world.transcript());
}

#[test]
fn a_create_the_platform_denies_for_a_while_is_not_hammered() {
    let mut world = World::with_bad_release(policy());
    for _ in 0..200 {
        world.reply("create_rollback", Reply::Not(Rejection::Denied, None));
    }
    world.run(minutes(10));
    assert!(world.count("create_rollback") < 20, "{} times", world.count("create_rollback"));
    assert_eq!(world.stage(), "validating");
}

#[test]
fn an_absurd_retry_after_does_not_keep_a_pin_for_ever() {
    let mut world = World::with_bad_release(policy());
    world.reply("commit", Reply::Not(Rejection::RateLimited, Some(secs(1_000_000_000))));
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
}

#[test]
fn a_token_that_is_refused_for_a_while_delays_the_rollback_and_no_more() {
    let mut world = World::with_bad_release(policy());
    for _ in 0..5 {
        world.reply("validate", Reply::Not(Rejection::Denied, None));
    }
    world.run_to_stage("validating");
    world.run(secs(10));
    assert_eq!(world.waiting, Some(Reason::Denied));
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
}

#[test]
fn a_restart_at_any_tick_sends_nothing_twice() {
    for tick in 0..45 {
        let mut world = World::with_bad_release(policy());
        world.latency = secs(3);
        for _ in 0..tick {
            world.tick();
        }
        world.restart();
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        assert_eq!(world.platform.our_rollbacks().len(), 1, "{}", world.transcript());
    }
}

#[test]
fn a_question_without_a_list_of_deployments_is_not_asked_again_and_again() {
    let mut world = World::with_bad_release(policy());
    world.run_until(|world| world.state.word() == "watching");
    world.history = crate::decision::observation::Reading::never();
    for _ in 0..5 {
        let at = world.at;
        world.at = at + secs(2);
        world.take(crate::decision::sample::Sample {
            at: at + secs(1),
            micros: 1_000,
            result: crate::decision::sample::SampleResult::Bad(crate::decision::sample::Failure::Body),
        });
        world.step();
    }
    assert_eq!(world.stage(), "validating");
    assert!(world.count("validate") <= 1);
    assert_eq!(world.run_to_close().0, Outcome::Committed);
}

#[test]
fn an_app_that_is_deleted_while_a_call_is_unanswered_ends_in_a_hold() {
    for (outage, call) in [(false, "create_rollback"), (false, "commit"), (true, "revert")] {
        let mut world = World::with_bad_release(policy());
        world.outage = outage;
        world.reply(call, LOST);
        world.run_until(|world| world.count(call) == 1);
        world.fault = Some(ReadFault::NotFound);
        world.run(minutes(29));
        assert_eq!(world.state.word(), "incident", "{}", world.transcript());
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::Blind), "{call}");
        assert_eq!(world.count(call), 1);
    }
    // A token that is refused heals: that is waited for.
    let mut world = World::with_bad_release(policy());
    world.reply("commit", LOST);
    world.run_until(|world| world.count("commit") == 1);
    world.fault = Some(ReadFault::Denied);
    world.run(minutes(120));
    world.fault = None;
    assert_eq!(world.run_to_close().0, Outcome::Committed);
}

#[test]
fn a_request_counts_as_lost_only_after_it_was_absent_twice() {
    let mut world = World::with_bad_release(policy());
    world.latency = secs(2);
    world.reply("create_rollback", LOST);
    world.run_until(|world| world.count("create_rollback") == 1);
    let sent = world.at;
    world.fault = Some(ReadFault::Unreachable);
    world.run(minutes(1));
    world.fault = None;
    world.run_until(|world| world.app.since(sent + secs(60)).is_some());
    assert_eq!((world.stage(), world.count("validate")), ("rolling_back", 1), "absent once");
    world.run(secs(4));
    assert_eq!((world.stage(), world.count("validate")), ("validating", 2));
    let mut world = World::with_bad_release(policy());
    world.reply("create_rollback", LOST);
    world.run_until(|world| world.count("create_rollback") == 1);
    let sent = world.at;
    world.run(secs(6));
    assert_eq!(world.wake_at, Some(sent + policy().reconcile));
}

#[test]
fn a_rollback_that_is_shown_as_live_is_live_whatever_its_phase_says() {
    let mut world = World::with_bad_release(policy());
    world.roll_out = None;
    world.run_until(|world| world.platform.rollback_under_way().is_some());
    let (id, at) = (world.platform.rollback_under_way().unwrap(), world.at);
    world.platform.finish(&id, Phase::Active, at);
    world.platform.deployments.last_mut().unwrap().phase = Phase::InProgress;
    world.run(secs(8));
    assert_eq!(world.stage(), "soaking");
}

#[test]
fn a_target_that_is_gone_gives_way_to_the_next() {
    for call in ["validate", "create_rollback"] {
        let mut world = World::with_bad_release(policy());
        world.reply(call, Reply::Not(Rejection::NotFound, None));
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
        assert_eq!(world.platform.deployments[3].cloned_from, Some("d1".into()), "{call}");
    }
}

#[test]
fn a_target_that_is_refused_with_a_client_error_gives_way_to_the_next() {
    let mut world = World::with_bad_release(policy());
    world.reply("validate", Reply::Refused { status: 422, applied: false });
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    assert_eq!(world.count("validate"), 2);
    assert_eq!(world.platform.deployments[3].cloned_from, Some("d1".into()));
}

#[test]
fn a_pause_that_only_the_guard_sees_refuses_as_well() {
    for call in ["validate", "create_rollback"] {
        let mut world = World::with_bad_release(policy());
        world.reply(call, Reply::Guarded(Guard::Paused));
        assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Paused), "{call}");
        assert_eq!((world.count(call), world.platform.our_writes()), (1, 0));
    }
    let mut world = World::with_bad_release(policy());
    world.reply("commit", Reply::Guarded(Guard::Paused));
    world.run_until(|world| world.count("commit") == 1);
    assert_eq!(world.waiting, Some(Reason::Paused));
}

#[test]
fn a_request_that_was_surely_not_applied_begins_with_a_first_question_again() {
    let mut world = World::with_bad_release(policy());
    world.reply("create_rollback", Reply::Not(Rejection::NotConnected, None));
    assert_eq!(world.run_to_close().0, Outcome::Committed);
    assert_eq!(world.count("create_rollback"), 2);
    assert!(!world.transcript().contains("(try "), "{}", world.transcript());
}

#[test]
fn a_question_is_asked_again_when_its_wait_is_over_and_says_which_try_it_is() {
    let mut world = World::with_bad_release(policy());
    let waits = [4, 480];
    for seconds in waits {
        world.reply("validate", Reply::Not(Rejection::Denied, Some(secs(seconds))));
    }
    assert_eq!(world.run_to_close().0, Outcome::Committed);
    let sent: Vec<_> = world.effects.iter().filter(|(_, call)| call.word() == "validate").collect();
    let between: Vec<_> = sent.windows(2).map(|pair| pair[1].0.since(pair[0].0).as_secs()).collect();
    assert_eq!(between, waits);
    assert!(world.transcript().contains("rollback to d2 (try 2)\n"));
    assert!(world.transcript().contains("rollback to d2 (try 3)\n"));
}

#[test]
fn a_rollback_under_way_is_looked_at_when_its_time_is_over_and_given_up_unseen_after_as_long_again() {
    let mut world = World::with_bad_release(policy());
    world.roll_out = None;
    world.run_until(|world| world.platform.rollback_under_way().is_some());
    let deadline = world.at + minutes(30);
    world.run(secs(8));
    assert_eq!(world.wake_at, Some(deadline));
    world.fault = Some(ReadFault::Unreachable);
    world.run_until(|world| world.at == deadline);
    assert_eq!(world.wake_at, Some(deadline + minutes(30)));
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed));
    assert_eq!(world.at, deadline + minutes(30));
}

#[test]
fn by_a_list_that_is_minutes_old_nothing_is_asked_for() {
    let mut world = World::steady(policy());
    world.is_listless = true;
    world.run(minutes(2));
    world.release_bad();
    world.run(minutes(2));
    assert_eq!((world.stage(), world.waiting), ("validating", Some(Reason::Blind)), "{}", world.transcript());
    assert!(world.effects.is_empty(), "{}", world.transcript());
    world.is_listless = false;
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}
