//! Calls that fail, get lost, come late or are answered with something else.

use std::time::Duration;

use super::platform::Write;
use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::{Cause, Phase, ReadFault, Request};
use crate::decision::policy::OnUnhealthy;
use crate::decision::state::{Ledger, Outcome, Situation};

const LOST: Reply = Reply::Lost { applied_after: None };
const APPLIED: Reply = Reply::Lost { applied_after: Some(Duration::ZERO) };

fn late(seconds: u64) -> Reply {
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
fn a_rollback_that_is_there_although_ours_was_refused_is_a_person_s_to_settle() {
    // Ours, asked for twice by something on the way, or a colleague's, who was a moment faster.
    for is_ours in [true, false] {
        let mut world = World::with_bad_release(policy());
        world.reply("create_rollback", Reply::Refused { status: 422, applied: is_ours });
        if !is_ours {
            world.run_to_stage("rolling_back");
            let at = world.at;
            world.platform.rollback(super::platform::Who::Person, &"d2".into(), at, at);
        }
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::ForeignPin), "{}", world.transcript());
        assert_eq!(world.count("create_rollback"), 1, "{}", world.transcript());
        assert_eq!(world.count("commit_rollback"), 0, "{}", world.transcript());
        let Situation::Held(hold) = &world.state.situation else { panic!("not held") };
        assert!(hold.pin.is_some() && hold.pin == world.platform.pinned, "{}", world.transcript());
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
fn two_applied_creates_end_with_the_pinned_one() {
    let mut world = World::with_bad_release(policy());
    world.platform.refuses_when_pinned = false;
    world.reply("create_rollback", late(50));
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}

#[test]
fn the_platform_s_word_that_the_app_is_pinned_may_be_about_our_own_late_rollback() {
    let mut world = World::with_bad_release(policy());
    world.lag = secs(20);
    world.reply("create_rollback", late(45));
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(world.platform.our_rollbacks().len(), 1);
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
fn another_pin_instead_of_ours_belongs_to_somebody_else() {
    let mut world = World::with_bad_release(policy());
    world.reply("create_rollback", LOST);
    world.run_to_stage("rolling_back");
    let at = world.at;
    world.platform.rollback(super::platform::Who::Person, &"d1".into(), at, at);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::ForeignPin));
    assert_eq!(world.platform.our_writes(), 0);
}

#[test]
fn without_cloned_from_the_artifact_tells_whose_rollback_it_is() {
    let mut world = World::with_bad_release(policy());
    world.platform.says_cloned_from = false;
    world.reply("create_rollback", APPLIED);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    assert_eq!(world.count("create_rollback"), 1);
}

#[test]
fn a_pin_that_may_be_ours_for_all_we_can_tell_is_held() {
    let mut world = World::new(policy());
    world.platform.says_cloned_from = false;
    world.platform.says_code = false;
    for entry in &mut world.platform.deployments {
        entry.artifact.code.clear();
    }
    world.run(secs(80));
    world.release_bad();
    world.reply("create_rollback", APPLIED);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::ForeignPin), "{}", world.transcript());
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

#[test]
fn a_rollback_that_went_live_while_we_were_away_is_soaked_however_long_that_was() {
    let mut world = World::with_bad_release(policy());
    world.run_until(|world| world.platform.rollback_under_way().is_some());
    world.run(secs(6));
    world.at = world.at + minutes(45);
    world.restart();
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}

#[test]
fn a_lost_commit_is_looked_for_and_repeated_only_when_it_left_no_trace() {
    let mut world = World::with_bad_release(policy());
    world.reply("commit", APPLIED);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    assert_eq!(world.count("commit"), 1);
    let mut world = World::with_bad_release(policy());
    world.reply("commit", LOST);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    assert_eq!(world.count("commit"), 2);
    let mut world = World::with_bad_release(policy());
    for _ in 0..3 {
        world.reply("commit", LOST);
    }
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakHealthy));
    assert_eq!(world.count("commit"), 3);
}

#[test]
fn a_commit_the_platform_denies_for_a_while_does_not_use_up_its_tries() {
    let mut world = World::with_bad_release(policy());
    for _ in 0..6 {
        world.reply("commit", Reply::Not(Rejection::Denied, None));
    }
    world.reply("commit", LOST);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    let sent: Vec<_> =
        world.effects.iter().filter(|(_, effect)| effect.word() == "commit").map(|(at, _)| *at).collect();
    assert!(sent[6].since(sent[5]) >= secs(30), "the wait doubles: {sent:?}");
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
fn a_pause_while_a_commit_is_looked_for_waits_and_goes_on_afterwards() {
    let mut world = World::with_bad_release(policy());
    world.reply("commit", LOST);
    world.run_to_stage("committing");
    world.operator.paused = true;
    world.run(minutes(5));
    assert_eq!(
        (world.stage(), world.waiting),
        ("committing", Some(Reason::Paused)),
        "{}",
        world.transcript()
    );
    world.operator.paused = false;
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
}

#[test]
fn a_guard_that_stops_the_commit_is_followed_by_a_fresh_look() {
    for guard in [Guard::Changed, Guard::Unreadable, Guard::Paused] {
        let mut world = World::with_bad_release(policy());
        world.reply("commit", Reply::Guarded(guard));
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    }
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
fn reads_that_fail_throughout_the_soak_stop_nothing_but_the_commit() {
    let mut world = World::with_bad_release(policy());
    world.run_to_stage("soaking");
    world.fault = Some(ReadFault::Denied);
    world.run(minutes(15));
    assert_eq!((world.stage(), world.platform.our_writes()), ("committing", 1));
    world.fault = None;
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
        for window in &mut world.windows {
            window.push(crate::decision::sample::Sample {
                at: at + secs(1),
                micros: 1_000,
                result: crate::decision::sample::SampleResult::Bad(crate::decision::sample::Failure::Body),
            });
        }
        world.step();
    }
    assert_eq!(world.stage(), "validating");
    assert!(world.count("validate") <= 1);
    assert_eq!(world.run_to_close().0, Outcome::Committed);
}

#[test]
fn a_revert_whose_answer_is_lost_does_not_put_the_old_release_on_trial_again() {
    let mut policy = policy();
    policy.soak.on_unhealthy = OnUnhealthy::Revert;
    let mut world = World::with_bad_release(policy);
    world.outage = true;
    world.reply("revert", APPLIED);
    assert_eq!(world.run_to_close(), (Outcome::Reverted, Reason::SoakUnhealthy));
    // This platform calls it a release.
    let id = world.platform.in_progress.clone().unwrap();
    world.platform.deployments.iter_mut().find(|entry| entry.id == id).unwrap().cause = Cause::Release;
    let at = world.at;
    world.platform.finish(&id, Phase::Active, at);
    world.run(minutes(40));
    assert_eq!(world.closed.len(), 1, "{}", world.transcript());
    let writes = world.platform.ledger.iter().filter(|(_, _, write)| matches!(write, Write::Rollback { .. }));
    assert_eq!(writes.count(), 1);
}

#[test]
fn an_app_that_heals_after_a_lost_request_is_left_alone_once_nothing_came_of_it() {
    let mut world = World::with_bad_release(policy());
    world.reply("create_rollback", LOST);
    world.run_to_stage("rolling_back");
    world.bad.clear();
    world.run(minutes(5));
    assert_eq!((world.stage(), world.waiting), ("validating", Some(Reason::Recovered)));
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Recovered));
    assert_eq!(world.platform.our_writes(), 0);
}

/// How an incident can end while a request of it is lost.
fn no_by(world: &mut World, way: &str) {
    let wait = Reply::Not(Rejection::RateLimited, Some(minutes(8)));
    let refusal = Reply::Refused { status: 422, applied: false };
    world.script.clear();
    match way {
        "storm" => world.reply("validate", Reply::Guarded(Guard::Storm)),
        "storm at the request" => world.reply("create_rollback", Reply::Guarded(Guard::Storm)),
        "no target" => (0..3).for_each(|_| world.reply("validate", refusal.clone())),
        _ => world.reply("validate", wait),
    }
    if !["pause", "reject", "observe"].contains(&way) {
        return;
    }
    world.run_to_stage("validating");
    match way {
        "pause" => world.operator.paused = true,
        "observe" => world.policy.mode = crate::decision::policy::Mode::Observe,
        _ => world.ask(Request::Reject),
    }
    world.run(secs(2));
}

#[test]
fn a_request_that_is_applied_after_the_end_of_its_incident_is_still_ours() {
    for way in ["pause", "reject", "observe", "storm", "storm at the request", "no target"] {
        for says_cloned_from in [true, false] {
            let mut world = World::with_bad_release(policy());
            world.platform.says_cloned_from = says_cloned_from;
            // Lost, looked for in vain, and applied long after.
            world.reply("create_rollback", late(300));
            world.run_until(|world| world.count("create_rollback") == 1);
            no_by(&mut world, way);
            if world.closed.is_empty() {
                world.run_to_close();
            }
            let (outcome, _) = world.ended();
            assert!(matches!(outcome, Outcome::Refused | Outcome::Observed), "{way}: {}", world.transcript());
            world.run(minutes(15));
            let Situation::Held(hold) = &world.state.situation else {
                panic!("{way}: the pin is forgotten:\n{}", world.transcript())
            };
            assert_eq!((&hold.pin, &hold.incident), (&world.platform.pinned, &world.closed[0].incident.id));
            // A person settles it, and that is that.
            let at = world.at;
            assert!(world.platform.commit(super::platform::Who::Person, at));
            world.run(minutes(1));
            assert_ne!(world.state.word(), "held", "{way}");
        }
    }
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
fn a_commit_that_was_said_to_be_done_and_was_not_leaves_its_pin_to_a_person() {
    let mut world = World::with_bad_release(policy());
    world.run_to_stage("soaking");
    world.is_lied_to = true;
    assert_eq!(world.run_to_close().0, Outcome::Committed);
    world.run(minutes(3));
    assert!(world.platform.pinned.is_some());
    let Situation::Held(hold) = &world.state.situation else { panic!("forgotten:\n{}", world.transcript()) };
    assert_eq!(hold.pin, world.platform.pinned);
    // A person who says to go on takes it over, for good.
    world.ask(Request::Resume);
    world.run(minutes(10));
    assert_ne!(world.state.word(), "held", "{}", world.transcript());
}

#[test]
fn a_commit_of_what_is_not_live_any_more_is_not_tried_for_ever() {
    let mut world = World::with_bad_release(policy());
    world.reply("commit", Reply::Not(Rejection::RateLimited, Some(minutes(2))));
    world.run_until(|world| world.count("commit") == 1);
    let (live, at) = (world.platform.active.clone(), world.at);
    let id = world.platform.make(Cause::Restart, Some(&live), at);
    world.platform.finish(&id, Phase::Active, at);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded));
    world.run(minutes(1));
    assert_eq!(world.state.word(), "held", "its pin is a person's to settle:\n{}", world.transcript());
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
fn of_two_rollbacks_of_ours_the_pinned_one_is_adopted_though_it_is_the_older_one() {
    let mut world = World::with_bad_release(policy());
    world.platform.refuses_when_pinned = false;
    world.roll_out = None;
    world.reply("create_rollback", late(60));
    world.reply("create_rollback", late(10));
    world.run_until(|world| world.count("create_rollback") == 2);
    world.fault = Some(ReadFault::Unreachable);
    world.run_until(|world| world.platform.our_rollbacks().len() == 2);
    let older = world.platform.our_rollbacks()[0].clone();
    world.platform.pinned = Some(older.clone());
    world.fault = None;
    world.run(secs(8));
    let incident = world.state.incident().expect("an open incident");
    assert_eq!(incident.stage.rollback(), Some(&older), "{}", world.transcript());
}

#[test]
fn a_pin_whose_deployment_runs_something_else_is_somebody_else_s() {
    let mut world = World::with_bad_release(policy());
    world.platform.says_cloned_from = false;
    world.reply("create_rollback", LOST);
    world.run_to_stage("rolling_back");
    let at = world.at;
    world.platform.rollback(super::platform::Who::Person, &"d1".into(), at, at);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::ForeignPin));
}

#[test]
fn a_pin_whose_deployment_nobody_shows_is_waited_for_and_then_held() {
    let mut world = World::with_bad_release(policy());
    world.reply("create_rollback", LOST);
    world.run_to_stage("rolling_back");
    let opened = world.at;
    world.platform.pinned = Some("unlisted".into());
    world.run(minutes(5));
    assert_eq!((world.stage(), world.waiting), ("rolling_back", Some(Reason::Blind)));
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::ForeignPin));
    assert_eq!(world.at.since(opened), minutes(30));
}

#[test]
fn a_rollback_of_a_person_to_the_same_target_is_not_adopted_beside_the_one_that_was_found() {
    let mut world = World::with_bad_release(policy());
    world.reply("create_rollback", APPLIED);
    world.run_until(|world| world.state.incident().is_some_and(|open| open.stage.rollback().is_some()));
    world.run(secs(8));
    world.platform.pinned = None;
    let at = world.at;
    world.platform.rollback(super::platform::Who::Person, &"d2".into(), at, at);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::ForeignPin), "{}", world.transcript());
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
fn a_commit_is_sent_again_when_its_wait_is_over_and_not_later() {
    let mut world = World::with_bad_release(policy());
    let waits = [4, 480];
    for seconds in waits {
        world.reply("commit", Reply::Not(Rejection::Denied, Some(secs(seconds))));
    }
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    let sent: Vec<_> = world.effects.iter().filter(|(_, call)| call.word() == "commit").collect();
    let between: Vec<_> = sent.windows(2).map(|pair| pair[1].0.since(pair[0].0).as_secs()).collect();
    assert_eq!(between, waits);
}

#[test]
fn a_commit_or_revert_refused_with_a_client_error_is_not_repeated_and_leaves_its_pin_to_a_person() {
    for (outage, call) in [(false, "commit"), (true, "revert")] {
        let mut world = World::with_bad_release(policy());
        world.outage = outage;
        world.reply(call, Reply::Refused { status: 409, applied: false });
        let reason = if outage { Reason::SoakUnhealthy } else { Reason::SoakHealthy };
        assert_eq!(world.run_to_close(), (Outcome::Held, reason), "{}", world.transcript());
        assert_eq!(world.count(call), 1);
    }
}

#[test]
fn a_settled_pin_is_told_by_its_call() {
    let run = |outage, call: &'static str, reply| {
        let mut world = World::with_bad_release(policy());
        world.outage = outage;
        world.reply(call, reply);
        world.run_to_close();
        world.transcript()
    };
    for (outage, call) in [(false, "commit"), (true, "revert")] {
        let applied = format!("{call} was applied after all: the platform shows no pin");
        assert!(run(outage, call, APPLIED).contains(&applied));
        assert!(run(outage, call, LOST).contains(&format!("{call} was not applied")));
        assert!(!run(outage, call, Reply::Normal).contains("after all"));
    }
}

#[test]
fn the_lost_requests_of_the_newest_incidents_are_remembered() {
    let mut world = World::steady(policy());
    for n in 1..=Ledger::KEEP_LOST + 2 {
        world.release_bad();
        world.reply("create_rollback", LOST);
        world.run_until(|world| world.count("create_rollback") == n);
        world.reply("validate", Reply::Guarded(Guard::Storm));
        assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Storm));
        let kept: Vec<_> = world.state.ledger.lost.iter().map(|(_, incident, _)| incident).collect();
        let newest = world.closed.iter().map(|closed| &closed.incident.id).rev().take(Ledger::KEEP_LOST);
        assert_eq!(kept, newest.rev().collect::<Vec<_>>());
        // What was bad before would not be held against the next one.
        world.release();
        world.run(secs(20));
    }
}

#[test]
fn a_commit_or_revert_counts_as_lost_only_after_its_pin_was_there_twice() {
    for (outage, call) in [(false, "commit"), (true, "revert")] {
        let mut world = World::with_bad_release(policy());
        world.outage = outage;
        world.reply(call, LOST);
        world.run_until(|world| world.count(call) == 1);
        let sent = world.at;
        world.run(secs(6));
        assert_eq!((world.waiting, world.wake_at), (Some(Reason::Blind), Some(sent + policy().reconcile)));
        world.run_until(|world| world.count(call) == 2);
        assert!(world.at.since(sent) >= policy().reconcile);
        let mut world = World::with_bad_release(policy());
        world.outage = outage;
        world.run_to_stage("soaking");
        world.latency = secs(2);
        world.reply(call, LOST);
        world.run_until(|world| world.count(call) == 1);
        let sent = world.at;
        world.fault = Some(ReadFault::Denied);
        world.run(minutes(1));
        assert_eq!(world.waiting, Some(Reason::Denied));
        world.fault = None;
        world.run_until(|world| world.app.since(sent + secs(60)).is_some());
        assert_eq!(world.count(call), 1, "there once");
        world.run(secs(4));
        assert_eq!(world.count(call), 2);
    }
}

#[test]
fn a_lost_revert_that_was_applied_is_found_after_its_deployment_went_live() {
    let mut world = World::with_bad_release(policy());
    world.outage = true;
    world.reply("revert", APPLIED);
    world.run_until(|world| world.count("revert") == 1);
    world.fault = Some(ReadFault::Unreachable);
    world.run_until(|world| world.platform.in_progress.is_none());
    world.fault = None;
    assert_eq!(world.run_to_close(), (Outcome::Reverted, Reason::SoakUnhealthy), "{}", world.transcript());
    assert!(world.state.ledger.ours.iter().any(|(id, _)| *id == world.platform.active));
}

#[test]
fn a_pin_that_a_person_committed_while_our_revert_was_lost_is_not_called_reverted() {
    let mut world = World::with_bad_release(policy());
    world.outage = true;
    world.reply("revert", LOST);
    world.run_until(|world| world.count("revert") == 1);
    let at = world.at;
    assert!(world.platform.commit(super::platform::Who::Person, at));
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded));
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
fn the_platform_s_word_that_somebody_pinned_the_app_is_believed_before_a_read_shows_it() {
    let mut world = World::steady(policy());
    world.release_bad();
    world.run_until(|world| world.state.word() == "watching");
    world.lag = secs(20);
    world.platform.pinned = Some("theirs".into());
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::ForeignPin), "{}", world.transcript());
    assert_eq!((world.count("validate"), world.count("create_rollback")), (1, 0));
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
fn a_rollback_of_a_person_after_one_of_ours_that_was_answered_is_not_taken_for_ours() {
    let mut world = World::with_bad_release(policy());
    assert_eq!(world.run_to_close().0, Outcome::Committed);
    assert_eq!(world.state.ledger.lost, []);
    let at = world.at;
    world.platform.rollback(super::platform::Who::Person, &"d2".into(), at, at);
    world.run(minutes(5));
    assert_eq!(world.state.word(), "learning", "{}", world.transcript());
}
