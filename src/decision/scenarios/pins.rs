//! Whose pin it is: ours, found late or twice, or a colleague's who did the same.

use super::calls::{APPLIED, LOST, late};
use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::{ReadFault, Request};
use crate::decision::state::{Ledger, Outcome, Situation};

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
fn a_rollback_whose_spec_the_platform_wrote_anew_may_be_ours() {
    let mut world = World::with_bad_release(policy());
    world.platform.says_cloned_from = false;
    world.reply("create_rollback", APPLIED);
    world.run_until(|world| world.count("create_rollback") == 1);
    let made = world.platform.deployments.last_mut().expect("a rollback");
    made.artifact.spec = "with its defaults filled in".to_owned();
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::ForeignPin), "{}", world.transcript());
    assert_eq!(world.platform.our_writes(), 1);
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
            let told = format!("deployment {} has begun", world.platform.pinned.as_ref().expect("a pin"));
            assert_eq!(world.transcript().matches(&told).count(), 1, "{way}: {}", world.transcript());
            // A person settles it, and that is that.
            let at = world.at;
            assert!(world.platform.commit(super::platform::Who::Person, at));
            world.run(minutes(1));
            assert_ne!(world.state.word(), "held", "{way}");
        }
    }
}

#[test]
fn a_rollback_that_comes_to_light_after_its_incident_counts_from_then_on_and_once() {
    let mut world = World::with_bad_release(policy());
    world.reply("create_rollback", late(300));
    world.run_until(|world| world.count("create_rollback") == 1);
    no_by(&mut world, "storm");
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Storm), "{}", world.transcript());
    assert_eq!(world.state.ledger.rollbacks, [], "nothing was seen of it");
    world.run_until(|world| world.state.word() == "held");
    let came_to_light = world.at;
    world.run(minutes(10));
    assert_eq!(world.state.ledger.rollbacks, [came_to_light], "{}", world.transcript());
    let at = world.at;
    assert!(world.platform.commit(super::platform::Who::Person, at));
    world.run(minutes(5));
    world.release_bad();
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Cooldown), "{}", world.transcript());
    assert_eq!(world.state.ledger.rollbacks, [came_to_light], "{}", world.transcript());
}

#[test]
fn a_late_rollback_that_an_old_read_shows_again_does_not_count_twice() {
    let mut world = World::with_bad_release(policy());
    // It never goes live, so nothing says whose it is.
    world.roll_out = None;
    world.reply("create_rollback", late(300));
    world.run_until(|world| world.count("create_rollback") == 1);
    no_by(&mut world, "storm");
    world.run_to_close();
    world.run_until(|world| world.state.word() == "held");
    let came_to_light = world.at;
    world.run(minutes(2));
    world.platform.pinned = None;
    world.run_until(|world| world.state.word() != "held");
    world.lag = secs(100);
    world.run_until(|world| world.state.word() == "held");
    assert_eq!(world.state.ledger.rollbacks, [came_to_light], "{}", world.transcript());
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
fn a_rollback_of_a_person_after_one_of_ours_that_was_answered_is_not_taken_for_ours() {
    let mut world = World::with_bad_release(policy());
    assert_eq!(world.run_to_close().0, Outcome::Committed);
    assert_eq!(world.state.ledger.lost, []);
    let at = world.at;
    world.platform.rollback(super::platform::Who::Person, &"d2".into(), at, at);
    world.run(minutes(5));
    assert_eq!(world.state.word(), "learning", "{}", world.transcript());
}
