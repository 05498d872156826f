//! Commits and reverts that fail, get lost, are refused or answered with something else.

use super::calls::{APPLIED, LOST};
use super::platform::{Who, Write};
use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::{Cause, Phase, ReadFault, Request};
use crate::decision::policy::OnUnhealthy;
use crate::decision::state::{Outcome, Situation};

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
fn what_keeps_the_end_of_a_soak_waiting_is_told_once_for_each_cause() {
    let mut world = World::with_bad_release(policy());
    world.run_to_stage("soaking");
    world.operator.paused = true;
    world.run(minutes(20));
    (world.operator.paused, world.operator.freeze.commit) = (false, true);
    world.run(minutes(20));
    world.operator.freeze.commit = false;
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    let told = world.transcript();
    let waits: Vec<&str> = told.lines().filter(|line| line.contains("could be settled now")).collect();
    assert!(waits[0].ends_with("(paused)") && waits[1].ends_with("(freeze)"), "{told}");
    assert_eq!(waits.len(), 2, "{told}");
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
    assert!(world.platform.commit(Who::Person, at));
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded));
}

#[test]
fn a_push_after_a_person_s_commit_is_not_what_our_lost_revert_made() {
    let mut world = World::with_bad_release(policy());
    world.run_to_stage("soaking");
    world.outage = true;
    world.reply("revert", LOST);
    world.run_until(|world| world.count("revert") == 1);
    let at = world.at;
    world.platform.commit(Who::Person, at);
    let pushed = world.platform.make(Cause::Push, None, at);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
    world.outage = false;
    let at = world.at;
    world.platform.finish(&pushed, Phase::Active, at);
    world.run(secs(10));
    assert_eq!(world.state.word(), "watching", "{}", world.transcript());
}

#[test]
fn what_a_revert_made_that_says_not_what_is_no_release_to_judge() {
    let mut world = World::with_bad_release(policy());
    world.policy.limits.cooldown = secs(0);
    world.run_to_stage("soaking");
    (world.outage, world.is_terse) = (true, true);
    world.run_until(|world| world.count("revert") == 1);
    // Nor does the platform say what brought it about.
    let made = world.platform.in_progress.clone().expect("a revert");
    for entry in &mut world.platform.deployments {
        entry.cause = Cause::Release;
    }
    assert_eq!(world.run_to_close(), (Outcome::Reverted, Reason::SoakUnhealthy), "{}", world.transcript());
    let at = world.at;
    world.platform.finish(&made, Phase::Active, at);
    world.run(minutes(60));
    assert_eq!((world.count("revert"), world.count("create_rollback")), (1, 1), "{}", world.transcript());
}

#[test]
fn a_revert_that_is_said_to_be_done_and_was_not_is_not_asked_for_again() {
    let mut world = World::with_bad_release(policy());
    world.run_to_stage("soaking");
    (world.outage, world.is_terse, world.is_lied_to) = (true, true, true);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakUnhealthy), "{}", world.transcript());
    assert_eq!(world.count("revert"), 1);
}
