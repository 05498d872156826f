//! Each reason not to act, by its name.

use super::platform::Who;
use super::world::{Reply, Sight, World, minutes, policy, secs};
use crate::decision::effect::{Effect, Guard, Reason, Rejection};
use crate::decision::observation::{Cause, Phase, ReadFault, Request};
use crate::decision::policy::{Mode, OnMigrations, OnWarnings};
use crate::decision::state::Outcome;

#[test]
fn what_was_bad_before_the_release_is_not_its_fault() {
    let mut world = World::steady(policy());
    world.outage = true;
    world.run(minutes(1));
    world.release();
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::BadBeforeDeployment));
    assert_eq!(world.effects, []);
}

#[test]
fn a_rule_that_was_good_again_after_the_release_went_live_may_accuse_it() {
    let mut world = World::steady(policy());
    world.outage = true;
    world.run(minutes(1));
    let release = world.release();
    world.outage = false;
    world.run(minutes(1));
    world.bad.insert(release);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
}

#[test]
fn an_app_that_heals_before_the_write_is_left_alone() {
    let mut world = World::with_bad_release(policy());
    world.reply("validate", Reply::Not(Rejection::RateLimited, Some(secs(20))));
    world.run_to_stage("validating");
    world.bad.clear();
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Recovered));
    assert_eq!(world.platform.our_writes(), 0);
}

#[test]
fn a_paused_app_refuses() {
    let mut world = World::with_bad_release(policy());
    world.operator.paused = true;
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Paused));
    assert_eq!(world.effects, []);
}

#[test]
fn a_second_rollback_within_the_cooldown_is_refused_and_a_third_exceeds_the_budget() {
    let mut world = World::with_bad_release(policy());
    assert_eq!(world.run_to_close().0, Outcome::Committed);
    world.release_bad();
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Cooldown));
    world.run(minutes(40));
    let fixed = world.release();
    world.run(minutes(31));
    world.bad.remove(&fixed);
    world.release_bad();
    assert_eq!(world.run_to_close().0, Outcome::Committed);
    world.run(minutes(40));
    world.release_bad();
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Budget));
    assert_eq!(world.platform.our_rollbacks().len(), 2);
}

#[test]
fn a_storm_refuses_before_the_rollback_and_before_the_question() {
    for call in ["validate", "create_rollback"] {
        let mut world = World::with_bad_release(policy());
        world.reply(call, Reply::Guarded(Guard::Storm));
        assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Storm));
        assert_eq!(world.platform.our_writes(), 0);
    }
}

#[test]
fn an_app_that_somebody_pinned_is_not_touched() {
    let mut world = World::steady(policy());
    let bad = world.release_bad();
    world.platform.pinned = Some("theirs".into());
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::ForeignPin));
    assert_eq!(world.effects, []);
    assert_eq!(world.platform.active, bad);
}

#[test]
fn without_a_target_the_rollback_is_refused() {
    let mut world = World::new(policy());
    world.run(secs(4));
    world.release_bad();
    world.platform.deployments[0].phase = Phase::Canceled;
    world.platform.deployments[1].complete = false;
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::NoTarget));
    // Nothing says more than the reason.
    assert!(!world.transcript().contains("none can be gone back to"), "{}", world.transcript());
}

#[test]
fn a_target_that_is_not_valid_gives_way_to_the_next_and_three_tries_are_enough() {
    let mut world = World::steady(policy());
    for _ in 0..4 {
        world.release();
        world.run(minutes(31));
    }
    world.release_bad();
    world.platform.not_valid = (1..=6).map(|n| format!("d{n}").as_str().into()).collect();
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::NotValid));
    assert_eq!(world.count("validate"), 3);
    let mut world = World::with_bad_release(policy());
    world.platform.not_valid = vec!["d2".into()];
    assert_eq!(world.run_to_close().0, Outcome::Committed);
    assert_eq!(world.platform.deployments[3].cloned_from, Some("d1".into()));
}

#[test]
fn warnings_refuse_or_are_accepted_as_the_policy_says() {
    let mut world = World::with_bad_release(policy());
    world.platform.warnings = vec!["image_source_missing_digest"];
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Warnings));
    let mut accepting = policy();
    accepting.rollback.warnings = OnWarnings::Accept;
    let mut world = World::with_bad_release(accepting);
    world.platform.warnings = vec!["image_source_missing_digest"];
    assert_eq!(world.run_to_close().0, Outcome::Committed);
}

#[test]
fn a_changed_migration_holds_unless_the_policy_allows_it() {
    let run = |migrations| {
        let mut policy = policy();
        policy.rollback.migrations = migrations;
        let mut world = World::steady(policy);
        world.release_bad();
        world.platform.deployments[2].artifact.migrations = "job".into();
        world.run_to_close()
    };
    assert_eq!(run(OnMigrations::Hold), (Outcome::Held, Reason::Migration));
    assert_eq!(run(OnMigrations::Allow), (Outcome::Committed, Reason::SoakHealthy));
}

#[test]
fn observe_mode_names_the_target_and_sends_nothing() {
    let mut policy = policy();
    policy.mode = Mode::Observe;
    let mut world = World::with_bad_release(policy);
    assert_eq!(world.run_to_close(), (Outcome::Observed, Reason::ObserveMode));
    assert_eq!(world.closed[0].incident.stage.target(), Some(&"d2".into()));
    assert_eq!(world.effects, []);
}

#[test]
fn a_reload_to_observe_mode_ends_an_incident_before_its_write_and_holds_it_after() {
    let mut world = World::with_bad_release(policy());
    world.reply("validate", Reply::Not(Rejection::Denied, None));
    world.run_to_stage("validating");
    world.policy.mode = Mode::Observe;
    assert_eq!(world.run_to_close(), (Outcome::Observed, Reason::ObserveMode));
    let mut world = World::with_bad_release(policy());
    world.run_to_stage("soaking");
    world.policy.mode = Mode::Observe;
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::ObserveMode));
    assert_eq!(world.platform.our_writes(), 1);
}

fn asking() -> World {
    let mut policy = policy();
    policy.mode = Mode::Approve;
    let mut world = World::with_bad_release(policy);
    world.run_to_stage("awaiting_approval");
    assert_eq!(world.effects, []);
    world
}

#[test]
fn an_app_that_is_only_observed_by_now_is_not_asked_about_again_after_a_lost_request() {
    let mut world = World::with_bad_release(policy());
    world.reply("create_rollback", Reply::Lost { applied_after: None });
    world.run_until(|world| world.count("create_rollback") == 1);
    world.policy.mode = Mode::Observe;
    assert_eq!(world.run_to_close(), (Outcome::Observed, Reason::ObserveMode));
    assert_eq!((world.count("validate"), world.count("create_rollback")), (1, 1));
}

#[test]
fn that_nobody_had_to_be_asked_for_a_moment_is_no_yes() {
    let mut world = asking();
    world.run_to_stage("awaiting_approval");
    (world.policy.mode, world.latency) = (Mode::Enforce, secs(4));
    world.run_until(|world| world.count("validate") == 1);
    world.policy.mode = Mode::Approve;
    world.run_to_stage("awaiting_approval");
    world.run(minutes(2));
    assert_eq!(
        (world.stage(), world.count("create_rollback")),
        ("awaiting_approval", 0),
        "{}",
        world.transcript()
    );
}

#[test]
fn an_approved_rollback_goes_its_way() {
    let mut world = asking();
    world.run(minutes(5));
    world.ask(Request::Approve);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
}

#[test]
fn a_yes_is_for_the_target_that_was_named_and_another_one_is_asked_about() {
    let mut world = asking();
    world.reply("validate", Reply::Not(Rejection::NotFound, None));
    world.ask(Request::Approve);
    world.run(minutes(1));
    assert_eq!(
        (world.stage(), world.count("validate"), world.count("create_rollback")),
        ("awaiting_approval", 1, 0)
    );
    world.ask(Request::Approve);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    assert_eq!(
        world.platform.deployments.last().and_then(|made| made.cloned_from.clone()),
        Some("d1".into())
    );
}

#[test]
fn a_question_is_answered_with_no_or_not_at_all_or_by_events() {
    let mut world = asking();
    world.ask(Request::Reject);
    assert_eq!(world.ended(), (Outcome::Refused, Reason::Rejected));
    let mut world = asking();
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::ApprovalExpired));
    let mut world = asking();
    world.bad.clear();
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Recovered));
    let mut world = asking();
    world.release_bad();
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded));
    let mut world = asking();
    world.platform.rollback(Who::Person, &"d1".into(), world.at, world.at);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::ForeignPin));
    let mut world = asking();
    world.operator.paused = true;
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Paused));
    assert_eq!(world.effects, []);
}

#[test]
fn a_blind_question_waits_for_its_answer() {
    let mut world = asking();
    world.sight = Sight::Blind;
    world.run(minutes(5));
    assert_eq!(world.stage(), "awaiting_approval");
    world.ask(Request::Approve);
    assert_eq!(world.effects, []);
    world.sight = Sight::Clear;
    assert_eq!(world.run_to_close().0, Outcome::Committed);
}

#[test]
fn a_late_approval_still_has_its_time_to_get_through() {
    let mut world = asking();
    world.run(minutes(29));
    world.reply("create_rollback", Reply::Not(Rejection::RateLimited, Some(secs(120))));
    world.ask(Request::Approve);
    assert_eq!(world.run_to_close().0, Outcome::Committed);
}

#[test]
fn a_deployment_under_way_is_waited_for_and_wins_when_it_goes_live() {
    let mut world = World::steady(policy());
    world.release_bad();
    let next = world.platform.make(Cause::Release, None, world.at);
    world.run(minutes(3));
    assert_eq!((world.stage(), world.waiting), ("validating", Some(Reason::InProgress)));
    assert_eq!(world.effects, []);
    world.platform.finish(&next, Phase::Active, world.at);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded));
}

#[test]
fn a_deployment_under_way_that_fails_lets_the_rollback_go_on() {
    let mut world = World::steady(policy());
    world.release_bad();
    let next = world.platform.make(Cause::Release, None, world.at);
    world.run(minutes(3));
    world.platform.finish(&next, Phase::Error, world.at);
    assert_eq!(world.run_to_close().0, Outcome::Committed);
}

#[test]
fn a_deployment_under_way_for_ever_ends_in_a_refusal() {
    let mut world = World::steady(policy());
    world.release_bad();
    world.platform.make(Cause::Release, None, world.at);
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::InProgress));
}

#[test]
fn a_release_that_was_bad_when_the_next_one_came_is_no_target() {
    // The newer release goes live while the older one's incident is open: nothing says that the older one healed.
    let mut world = World::new(policy());
    world.run(secs(4));
    world.bad.insert("d3".into());
    world.release_bad();
    let next = world.platform.make(Cause::Release, None, world.at);
    world.run(minutes(1));
    world.platform.finish(&next, Phase::Active, world.at);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded));
    world.run(minutes(2));
    world.bad.insert(next);
    world.run_to_stage("rolling_back");
    assert_eq!(world.state.incident().unwrap().stage.target(), Some(&"d2".into()), "{}", world.transcript());
}

#[test]
fn observe_mode_tells_what_would_have_refused() {
    let mut policy = policy();
    policy.mode = Mode::Observe;
    let mut world = World::with_bad_release(policy);
    world.operator.paused = true;
    assert_eq!(world.run_to_close(), (Outcome::Observed, Reason::ObserveMode));
    assert!(world.transcript().contains("[refuse paused]"), "{}", world.transcript());
    world.operator.paused = false;
    world.release();
    world.run(secs(20));
    world.release_bad();
    assert_eq!(world.run_to_close(), (Outcome::Observed, Reason::ObserveMode));
    assert!(world.transcript().contains("[observe observe_mode]"), "{}", world.transcript());
}

#[test]
fn a_list_from_before_the_accused_took_over_does_not_say_that_there_is_no_target() {
    let mut world = World::new(policy());
    world.run(secs(4));
    world.platform.deployments[0].phase = Phase::Canceled;
    world.read();
    let before = world.history.value().cloned().unwrap();
    world.release_bad();
    world.run_until(|world| world.state.word() == "watching");
    for _ in 0..4 {
        world.history = crate::decision::observation::Reading::known(world.at, before.clone());
        world.polled_at = world.at;
        world.tick();
    }
    assert_eq!(
        (world.stage(), world.waiting),
        ("validating", Some(Reason::NoTarget)),
        "{}",
        world.transcript()
    );
    world.run_to_stage("rolling_back");
    assert_eq!(world.state.incident().unwrap().stage.target(), Some(&"d2".into()));
}

#[test]
fn what_a_person_approved_is_what_is_asked_for() {
    let mut world = asking();
    let asked = world.state.incident().and_then(|open| open.stage.target()).cloned();
    assert_eq!(asked, Some("d2".into()));
    // The list would give another one by now.
    world.platform.deployments[1].phase = Phase::Error;
    world.platform.not_valid = vec!["d2".into()];
    world.run(secs(8));
    world.ask(Request::Approve);
    let Some((_, Effect::Validate { target, .. })) = world.effects.first() else { panic!("nothing asked") };
    assert_eq!(Some(target), asked.as_ref());
}

#[test]
fn an_incident_that_cannot_see_ends_in_time_unless_it_only_lacks_a_token() {
    let blind = |fault| {
        let mut world = World::with_bad_release(policy());
        world.reply("validate", Reply::Not(Rejection::RateLimited, Some(secs(10))));
        world.run_to_stage("validating");
        world.fault = Some(fault);
        world.sight = Sight::Blind;
        world.run(minutes(29));
        assert_eq!(world.closed.len(), 0, "{}", world.transcript());
        world.run(minutes(1));
        world
    };
    let world = blind(ReadFault::Unreachable);
    assert_eq!(world.ended(), (Outcome::Refused, Reason::Blind));
    let mut world = blind(ReadFault::Denied);
    world.run(minutes(60));
    assert_eq!((world.stage(), world.waiting), ("validating", Some(Reason::Denied)));
}

#[test]
fn a_release_is_condemned_unless_something_speaks_for_it() {
    let condemned = |world: &World| {
        let accused = &world.closed.last().unwrap().incident.accused.id;
        world.state.ledger.condemned.iter().any(|(id, _)| id == accused)
    };
    let mut world = World::with_bad_release(policy());
    assert_eq!(world.run_to_close().0, Outcome::Committed);
    assert!(condemned(&world));
    let mut world = World::with_bad_release(policy());
    world.outage = true;
    assert_eq!(world.run_to_close().0, Outcome::Reverted);
    assert!(!condemned(&world), "going back did not help");
    assert_eq!(world.state.word(), "learning", "whatever comes now is to be learnt");
    let mut world = World::with_bad_release(policy());
    world.operator.paused = true;
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Paused));
    assert!(condemned(&world));
    let mut world = asking();
    world.bad.clear();
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Recovered));
    assert!(!condemned(&world));
    let mut world = asking();
    world.ask(Request::Reject);
    assert!(!condemned(&world));
    world.release();
    world.run(minutes(2));
    assert!(
        !condemned(&world),
        "a person said that it is not bad, so that it fails until it is replaced is no news"
    );
}
