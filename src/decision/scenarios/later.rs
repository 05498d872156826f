//! What comes of a request after its incident is over, and of two at a time: told, and never taken for a person's doing.

use super::calls::{APPLIED, LOST, late};
use super::left::with_lost_order;
use super::picks::{BY_CODE, PICKS, accepting, steady, with_bad_release};
use super::platform::Who;
use super::world::{World, minutes, policy, secs};
use crate::decision::capability::{Capabilities, PinKind, Pushes, Targeting};
use crate::decision::effect::Reason;
use crate::decision::observation::{Accepted, Cause, Phase, ReadFault, Request};
use crate::decision::policy::{Mode, OnHealthy, Policy};
use crate::decision::state::{Outcome, Situation};
use crate::ids::DeploymentId;

pub(super) fn runs_what(world: &World, other: &DeploymentId) -> bool {
    let runs = |id| &world.platform.get(id).expect("a deployment").artifact;
    runs(&world.platform.active) == runs(other)
}

#[test]
fn a_rollback_that_is_applied_after_a_person_s_release_ended_the_hold_is_held_once() {
    for (lateness, says_rollback) in [(150, true), (900, true), (900, false)] {
        let mut world = with_bad_release(accepting(), PICKS);
        world.platform.says_rollback = says_rollback;
        let bad = world.platform.active.clone();
        world.reply("create_rollback", late(lateness));
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed));
        world.run(secs(20));
        world.release();
        world.run(secs(20));
        assert_eq!(world.state.word(), "watching", "{}", world.transcript());
        world.run(minutes(20));
        assert!(runs_what(&world, &bad), "{}", world.transcript());
        let Situation::Held(hold) = &world.state.situation else { panic!("{}", world.transcript()) };
        assert_eq!((&hold.live.id, hold.why), (&world.platform.active, Reason::RollbackFailed));
        let told = format!("deployment {} has begun since the rollback was asked for", hold.live.id);
        assert_eq!(world.transcript().matches(&told).count(), 1, "{}", world.transcript());
        assert_eq!(world.state.ledger.rollbacks.len(), 1);
        assert!(!world.state.ledger.good.iter().any(|good| good.id == world.platform.active));
        // A person's word ends it, and it is not held again.
        world.ask(Request::Resume);
        world.run(minutes(5));
        assert_eq!(world.state.word(), "learning", "{}", world.transcript());
        // That one may have been a colleague's, and ours this one. There was one request, and it counts once.
        world.release();
        world.run(minutes(2));
        let (target, at) = (world.platform.deployments[1].id.clone(), world.at);
        world.platform.rollback(Who::Person, &target, at, at).expect("made");
        world.run(minutes(2));
        assert_eq!(world.state.word(), "held", "{}", world.transcript());
        assert_eq!(world.state.ledger.rollbacks.len(), 1);
    }
}

#[test]
fn what_the_platform_picks_late_is_held_although_a_colleague_s_rollback_was_found_for_it() {
    let mut world = with_bad_release(accepting(), PICKS);
    let bad = world.platform.active.clone();
    world.reply("create_rollback", late(1_500));
    world.run_until(|world| world.count("create_rollback") == 1);
    let (target, at) = (world.platform.deployments[1].id.clone(), world.at);
    world.platform.rollback(Who::Person, &target, at, at).expect("made");
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run_until(|world| world.platform.in_progress.is_some());
    world.run(minutes(2));
    assert!(runs_what(&world, &bad), "{}", world.transcript());
    assert_eq!(world.state.word(), "held", "{}", world.transcript());
    assert_eq!(world.state.ledger.rollbacks.len(), 1, "one was asked for");
}

#[test]
fn what_may_be_what_came_of_a_lost_request_during_the_hold_is_told_and_the_request_waited_for_as_before() {
    for capabilities in [PICKS, Capabilities { pin: PinKind::Absent, ..PICKS }] {
        let mut world = with_bad_release(accepting(), capabilities);
        let bad = world.platform.active.clone();
        world.reply("create_rollback", late(600));
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
        // A person goes back by hand, and ten minutes later the platform undoes that.
        let (target, at) = (world.platform.deployments[1].id.clone(), world.at);
        world.platform.rollback(Who::Person, &target, at, at).expect("made");
        world.run(minutes(2));
        let theirs = world.platform.active.clone();
        world.run(minutes(15));
        assert!(world.platform.active != theirs && runs_what(&world, &bad), "{}", world.transcript());
        for made in [&theirs, &world.platform.active] {
            let told = format!("deployment {made} has begun since the rollback");
            assert_eq!(world.transcript().matches(&told).count(), 1, "{}", world.transcript());
        }
        assert_eq!((world.state.word(), world.state.ledger.rollbacks.len()), ("held", 1));
    }
}

#[test]
fn a_hold_that_is_settled_waits_no_longer_for_a_lost_request_than_it_did() {
    let mut policy = accepting();
    policy.soak.on_healthy = OnHealthy::Hold;
    let mut world = with_bad_release(policy, PICKS);
    world.reply("create_rollback", APPLIED);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakHealthy), "{}", world.transcript());
    let lost = world.state.ledger.lost.clone();
    assert_eq!(lost.len(), 1);
    world.run(minutes(20));
    world.ask(Request::Commit);
    world.run_until(|world| world.closed.len() == 2);
    assert_eq!(world.ended(), (Outcome::Committed, Reason::Requested), "{}", world.transcript());
    assert_eq!(world.state.ledger.lost, lost);
}

#[test]
fn a_rollback_that_goes_live_after_a_person_ended_its_hold_is_held_again_where_nothing_pins_it() {
    let mut world = with_bad_release(accepting(), BY_CODE);
    world.roll_out = Some(minutes(40));
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
    // What was settled before is another one.
    world.state.ledger.settled.push(("another".into(), world.at));
    world.ask(Request::Resume);
    world.run(secs(10));
    assert_ne!(world.state.word(), "held");
    world.run(minutes(15));
    assert_eq!(world.state.word(), "held", "{}", world.transcript());
    assert!(world.transcript().contains("is there although its incident is over"), "{}", world.transcript());
    assert_eq!(world.state.ledger.rollbacks.len(), 1);
}

#[test]
fn a_rollback_that_is_applied_after_another_one_was_committed_is_held_until_the_next_release() {
    for says_rollback in [true, false] {
        let mut world = with_bad_release(accepting(), BY_CODE);
        world.platform.says_rollback = says_rollback;
        world.reply("create_rollback", late(1_500));
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
        world.run(secs(20));
        let release = world.release();
        world.run(minutes(30));
        assert_ne!(world.platform.active, release);
        assert_eq!(world.state.word(), "held", "{}", world.transcript());
        assert_eq!(world.state.ledger.rollbacks.len(), 2, "{}", world.transcript());
        world.release();
        world.run(secs(20));
        assert_eq!(world.state.word(), "watching", "{}", world.transcript());
    }
}

#[test]
fn what_goes_live_more_than_an_hour_after_a_request_was_given_up_on_is_a_person_s() {
    for (after, word) in [(minutes(58), "held"), (minutes(64), "learning")] {
        let mut world = with_bad_release(accepting(), PICKS);
        world.reply("create_rollback", LOST);
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed));
        let closed_at = world.at;
        world.run(secs(20));
        world.release();
        world.run(after - secs(80));
        let (target, at) = (world.platform.deployments[1].id.clone(), world.at);
        world.platform.rollback(Who::Person, &target, at, at);
        world.run(secs(80));
        assert!(world.at.since(closed_at) >= after && world.platform.in_progress.is_none());
        assert_eq!(world.state.word(), word, "{}", world.transcript());
    }
}

#[test]
fn what_the_platform_picked_over_a_colleague_s_rollback_is_held_and_no_person_s_doing() {
    // Ours comes while theirs, which was taken for it, is soaking, or before it is live.
    for (lateness, stage) in [(70, "soaking"), (20, "rolling_back")] {
        let mut world = with_bad_release(accepting(), PICKS);
        let bad = world.platform.active.clone();
        world.reply("create_rollback", late(lateness));
        world.run_until(|world| world.count("create_rollback") == 1);
        let (target, at) = (world.platform.deployments[1].id.clone(), world.at);
        let theirs = world.platform.rollback(Who::Person, &target, at, at).expect("made").id;
        if stage == "rolling_back" {
            world.run(secs(8));
            assert_eq!(world.state.incident().and_then(|open| open.stage.rollback()), Some(&theirs));
            world.platform.picks = Some(bad.clone());
        }
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
        assert_eq!(world.closed[0].incident.stage.word(), stage, "{}", world.transcript());
        assert!(runs_what(&world, &bad), "{}", world.transcript());
        let told = format!("deployment {} has begun since the rollback", world.platform.active);
        assert!(world.transcript().contains(&told), "{}", world.transcript());
        world.run(minutes(20));
        assert_eq!((world.state.word(), world.state.ledger.rollbacks.len()), ("held", 1));
    }
}

#[test]
fn a_colleague_s_rollback_to_what_was_wanted_is_not_taken_for_ours_beside_another_one() {
    for (is_the_same, outcome) in [(false, Outcome::Held), (true, Outcome::Committed)] {
        let mut world = with_bad_release(accepting(), PICKS);
        let bad = world.platform.active.clone();
        world.reply("create_rollback", APPLIED);
        world.platform.picks = (!is_the_same).then_some(bad);
        world.run_until(|world| world.count("create_rollback") == 1);
        world.platform.picks = None;
        let (target, at) = (world.platform.deployments[1].id.clone(), world.at);
        world.platform.rollback(Who::Person, &target, at, at).expect("made");
        let (end, reason) = world.run_to_close();
        assert_eq!(end, outcome, "{}", world.transcript());
        assert_eq!(reason == Reason::WrongTarget, !is_the_same);
        assert_eq!(world.transcript().contains("applied after all"), is_the_same, "{}", world.transcript());
    }
}

#[test]
fn a_request_that_was_found_by_reading_is_not_waited_for_after_its_incident() {
    let mut world = with_bad_release(accepting(), BY_CODE);
    world.reply("create_rollback", APPLIED);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(world.state.ledger.lost, []);
    world.run(minutes(5));
    world.release();
    world.run(minutes(5));
    // A colleague goes back to the same.
    let (target, at) = (world.closed[0].incident.stage.target().expect("a target").clone(), world.at);
    world.platform.rollback(Who::Person, &target, at, at).expect("made");
    world.run(minutes(5));
    assert_eq!(world.state.word(), "learning", "{}", world.transcript());
}

#[test]
fn a_restart_that_was_lost_and_comes_in_the_soak_is_the_rollback_under_another_id() {
    for capabilities in [BY_CODE, Capabilities { pin: PinKind::Soft, ..BY_CODE }] {
        let policy = Policy { restart_first: Some(secs(60)), ..accepting() };
        let mut world = with_bad_release(policy, capabilities);
        world.reply("restart", late(150));
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        assert!(world.transcript().contains("restart was applied after all"), "{}", world.transcript());
        let rollback = world.closed[0].incident.stage.rollback();
        assert_eq!(rollback, Some(&world.platform.active), "{}", world.transcript());
        assert_eq!((world.platform.our_rollbacks().len(), world.state.ledger.rollbacks.len()), (1, 1));
        world.run(minutes(2));
        assert_eq!(world.state.ledger.soft_pin, None, "{}", world.transcript());
        assert_eq!(world.state.word(), "steady", "{}", world.transcript());
    }
}

#[test]
fn a_restart_that_was_lost_and_comes_before_the_rollback_is_live_is_told_and_no_person_s_doing() {
    for capabilities in [BY_CODE, Capabilities { pin: PinKind::Soft, ..BY_CODE }] {
        let policy = Policy { restart_first: Some(secs(60)), ..accepting() };
        let mut world = with_bad_release(policy, capabilities);
        let bad = world.platform.active.clone();
        // The rollback is asked for when the restart was looked for in vain.
        world.reply("restart", late(55));
        world.run_to_stage("rolling_back");
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
        assert_eq!(world.closed[0].incident.stage.word(), "rolling_back");
        assert!(runs_what(&world, &bad), "{}", world.transcript());
        let told = format!("deployment {} has begun since the restart", world.platform.active);
        assert!(world.transcript().contains(&told), "{}", world.transcript());
    }
}

#[test]
fn a_restart_in_the_soak_that_does_not_say_what_it_runs_is_a_person_s_to_look_at() {
    let policy = Policy { restart_first: Some(secs(60)), ..accepting() };
    let mut world = with_bad_release(policy, BY_CODE);
    world.reply("restart", late(150));
    world.run_to_stage("soaking");
    world.run_until(|world| world.platform.in_progress.is_some());
    world.platform.deployments.last_mut().expect("a restart").artifact.code.clear();
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
    let told = format!("deployment {} has begun since the restart", world.platform.active);
    assert!(world.transcript().contains(&told), "{}", world.transcript());
}

#[test]
fn a_rollback_that_goes_live_after_somebody_let_pushes_go_is_told() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.roll_out = Some(minutes(5));
    world.run_to_stage("rolling_back");
    world.run(secs(20));
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Deploy, at);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
    assert!(world.platform.in_progress.is_some());
    world.run(minutes(6));
    assert_eq!(world.state.word(), "held", "{}", world.transcript());
    assert!(world.transcript().contains("is there although its incident is over"), "{}", world.transcript());
    assert_eq!(world.state.ledger.rollbacks.len(), 1);
}

#[test]
fn a_return_that_comes_after_a_colleague_deployed_the_same_once_more_is_no_answer_to_the_hold() {
    let mut world = with_bad_release(policy(), Capabilities { targeting: Targeting::ById, ..BY_CODE });
    world.platform.says_rollback = false;
    let bad = world.platform.active.clone();
    world.run_to_stage("soaking");
    let target =
        world.state.incident().and_then(|incident| incident.stage.target().cloned()).expect("a target");
    world.reply("create_rollback", late(600));
    world.bad.insert(world.platform.active.clone());
    world.run_until(|world| world.count("create_rollback") == 2);
    let at = world.at;
    let again = world.platform.make(Cause::Release, Some(&target), at);
    world.platform.finish(&again, Phase::Active, at);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
    world.run(minutes(15));
    assert!(runs_what(&world, &bad), "{}", world.transcript());
    assert_eq!(world.state.word(), "held", "{}", world.transcript());
    let told = format!("deployment {} has begun since the rollback", world.platform.active);
    assert_eq!(world.transcript().matches(&told).count(), 1, "{}", world.transcript());
}

#[test]
fn a_request_whose_hour_ends_in_a_later_incident_is_not_seen_in_a_colleague_s_rollback() {
    let policy = Policy { mode: Mode::Approve, approve_within: minutes(120), ..policy() };
    let (mut world, _) = with_lost_order(policy, 1_000_000);
    world.run(minutes(50));
    world.release_bad();
    world.run_to_stage("awaiting_approval");
    world.run(minutes(25));
    let (target, at) = (world.platform.deployments[2].id.clone(), world.at);
    world.platform.rollback(Who::Person, &target, at, at).expect("made");
    assert_eq!(world.run_to_close().0, Outcome::Superseded, "{}", world.transcript());
    world.run(minutes(5));
    assert_eq!(world.state.word(), "learning", "{}", world.transcript());
}

#[test]
fn a_request_that_was_found_by_reading_is_not_waited_for_after_it_was_undone_either() {
    let mut world = with_bad_release(policy(), BY_CODE);
    world.reply("create_rollback", APPLIED);
    world.run_to_stage("soaking");
    world.bad.insert(world.platform.active.clone());
    assert_eq!(world.run_to_close(), (Outcome::Reverted, Reason::SoakUnhealthy), "{}", world.transcript());
    assert_eq!(world.state.ledger.lost, [], "{}", world.transcript());
}

#[test]
fn of_two_requests_for_different_targets_the_one_that_nothing_was_seen_of_is_waited_for_after_the_other_was_undone()
 {
    let mut world = steady(policy(), BY_CODE);
    world.release();
    world.run(minutes(60));
    world.release_bad();
    let first = world.platform.deployments[2].id.clone();
    world.reply("create_rollback", late(1_500));
    world.run_until(|world| world.count("create_rollback") == 1);
    // The platform does not take that target any more.
    world.platform.not_valid.push(first.clone());
    world.reply("create_rollback", APPLIED);
    world.run_to_stage("soaking");
    assert_eq!(world.count("create_rollback"), 2, "{}", world.transcript());
    assert!(runs_what(&world, &world.platform.deployments[1].id), "{}", world.transcript());
    world.bad.insert(world.platform.active.clone());
    assert_eq!(world.run_to_close(), (Outcome::Reverted, Reason::SoakUnhealthy), "{}", world.transcript());
    let waited_for: Vec<_> = world.state.ledger.lost.iter().flat_map(|lost| &lost.2.targets).collect();
    assert_eq!(
        waited_for.iter().map(|target| &target.id).collect::<Vec<_>>(),
        [&first],
        "{}",
        world.transcript()
    );
    world.run(minutes(30));
    assert!(runs_what(&world, &first), "{}", world.transcript());
    assert_eq!(world.state.word(), "held", "{}", world.transcript());
}

#[test]
fn a_pin_that_comes_about_while_nobody_can_look_for_hours_is_held() {
    // It came at once, or nothing came of it and a colleague pins the app after the time for it.
    for (comes, word) in [(true, "held"), (false, "learning")] {
        let mut world = World::steady(policy());
        world.reply("create_rollback", if comes { late(120) } else { LOST });
        world.ask(Request::Rollback { to: None, accept: Accepted::default() });
        world.run_until(|world| world.count("create_rollback") == 1);
        world.release();
        assert_eq!(world.run_to_close().0, Outcome::Superseded, "{}", world.transcript());
        if comes {
            world.fault = Some(ReadFault::Unreachable);
        }
        world.run(minutes(180));
        world.fault = None;
        if !comes {
            let (target, at) = (world.platform.deployments[0].id.clone(), world.at);
            world.platform.rollback(Who::Person, &target, at, at).expect("made");
        }
        world.run(minutes(5));
        assert!(world.platform.pinned.is_some());
        assert_eq!(world.state.word(), word, "{}", world.transcript());
    }
}
