//! A platform that is told which deployment to go back to, by its id, and pins nothing by itself.

use super::calls::{LOST, late};
use super::picks::{BY_CODE, PICKS, changes, with_bad_release};
use super::platform::Who;
use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::capability::{Capabilities, Support, Targeting};
use crate::decision::effect::Reason;
use crate::decision::observation::{Cause, Phase, ReadFault};
use crate::decision::policy::OnUnhealthy;
use crate::decision::state::Outcome;
use crate::ids::DeploymentId;

/// A static site: pushes can be paused, and there is no restart.
pub(super) const SITE: Capabilities =
    Capabilities { targeting: Targeting::ById, resend_is_safe: true, restart: Support::Absent, ..PICKS };

/// What the rollback that is under way makes runs what another deployment runs.
fn make_it_run(world: &mut World, other: &DeploymentId) {
    world.run_until(|world| world.platform.in_progress.is_some());
    let made = world.platform.in_progress.clone().expect("under way");
    let artifact = world.platform.get(other).expect("a deployment").artifact.clone();
    let entry = world.platform.deployments.iter_mut().find(|entry| entry.id == made).expect("made");
    (entry.artifact, entry.cause) = (artifact, Cause::Release);
}

#[test]
fn a_target_that_is_named_and_not_heeded_is_no_success_whatever_came_back() {
    for place in [0, 2] {
        let mut world = with_bad_release(policy(), SITE);
        let came_back = world.platform.deployments[place].id.clone();
        let is_accused = came_back == world.platform.active;
        make_it_run(&mut world, &came_back);
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
        let said = world.transcript();
        assert_eq!(said.contains("runs what was to be rolled back from"), is_accused, "{said}");
        // Nothing more is tried, and nobody learns that it is good.
        world.run(minutes(60));
        assert_eq!((world.state.word(), changes(&world)), ("held", vec!["pause", "rollback"]));
        assert!(!world.state.ledger.good.iter().any(|good| good.id == world.platform.active));
    }
}

#[test]
fn what_is_named_and_does_not_say_what_it_runs_is_believed() {
    let mut world = with_bad_release(policy(), SITE);
    world.run_until(|world| world.platform.in_progress.is_some());
    let made = world.platform.in_progress.clone().expect("under way");
    let entry = world.platform.deployments.iter_mut().find(|entry| entry.id == made).expect("made");
    entry.artifact.code.clear();
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}

#[test]
fn a_platform_that_says_what_its_rollback_repeats_is_believed() {
    let mut world = World::with_bad_release(policy());
    let oldest = world.platform.deployments[0].id.clone();
    make_it_run(&mut world, &oldest);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}

#[test]
fn a_return_that_is_named_and_not_heeded_is_no_revert() {
    let mut policy = policy();
    policy.soak.on_unhealthy = OnUnhealthy::Revert;
    let mut world = with_bad_release(policy, SITE);
    let oldest = world.platform.deployments[0].id.clone();
    world.run_to_stage("soaking");
    world.bad.insert(world.platform.active.clone());
    make_it_run(&mut world, &oldest);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
}

#[test]
fn a_request_that_is_applied_late_beside_its_repetition_is_ours_and_soaks() {
    for capabilities in [SITE, BY_CODE] {
        for (after, roll_out) in [(60, 60), (60, 10), (200, 60)] {
            let mut world = with_bad_release(policy(), capabilities);
            world.roll_out = Some(secs(roll_out));
            world.reply("create_rollback", late(after));
            let said = |world: &World| world.transcript();
            assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", said(&world));
            assert_eq!(world.count("create_rollback"), 2, "{}", said(&world));
            let soaked = world.closed[0].incident.stage.rollback().cloned();
            assert_eq!(soaked.as_ref(), Some(&world.platform.active), "{}", said(&world));
            assert_eq!(
                said(&world).matches("it is watched for").count(),
                if after > 60 || roll_out < 60 { 2 } else { 1 }
            );
        }
    }
}

/// The request is lost, and meanwhile the accused release is deployed once more.
fn deployed_again_while_a_request_is_lost(cause: Cause) -> (World, DeploymentId) {
    let mut world = with_bad_release(policy(), SITE);
    world.reply("create_rollback", LOST);
    world.run_until(|world| world.count("create_rollback") == 1);
    let (accused, at) = (world.platform.active.clone(), world.at);
    let again = world.platform.make(cause, Some(&accused), at);
    world.bad.insert(again.clone());
    (world, again)
}

#[test]
fn the_accused_release_once_more_may_be_a_colleague_s_while_the_answer_is_awaited() {
    let (mut world, again) = deployed_again_while_a_request_is_lost(Cause::Release);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
    let said = world.transcript();
    assert!(said.contains("or a colleague's, and nobody can tell") && !said.contains("after all"), "{said}");
    assert_eq!((world.state.ledger.rollbacks.len(), &world.state.ledger.ours), (1, &Vec::new()));
    // That it goes live is nobody's answer, and it is not rolled back from.
    world.platform.finish(&again, Phase::Active, world.at);
    world.run(minutes(30));
    assert_eq!((world.state.word(), world.count("create_rollback")), ("held", 1), "{}", world.transcript());
    assert_eq!(world.state.ledger.rollbacks.len(), 1);
    // Another release is.
    world.release();
    world.run(secs(10));
    assert_eq!(world.state.word(), "watching", "{}", world.transcript());
}

#[test]
fn what_a_push_began_while_the_answer_is_awaited_is_surely_a_colleague_s() {
    let (mut world, again) = deployed_again_while_a_request_is_lost(Cause::Push);
    world.run(minutes(2));
    assert_eq!(world.closed.len(), 0, "{}", world.transcript());
    world.platform.finish(&again, Phase::Active, world.at);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
    assert_eq!(world.state.ledger.ours, []);
    world.run(secs(2));
    assert_eq!(world.state.live().map(|live| &live.id), Some(&again));
}

#[test]
fn what_began_since_a_lost_request_and_failed_may_be_what_was_named_and_not_heeded_so_it_is_not_asked_for_again()
 {
    for (cause, capabilities, creates) in [
        (Cause::Release, SITE, 1),
        // Surely a colleague's, and what an image runs tells whose it is.
        (Cause::Push, SITE, 2),
        (Cause::Release, BY_CODE, 2),
    ] {
        let mut world = with_bad_release(policy(), capabilities);
        world.reply("create_rollback", LOST);
        world.run_until(|world| world.count("create_rollback") == 1);
        let other = world.platform.make(cause, None, world.at);
        world.run(secs(5));
        world.platform.finish(&other, Phase::Error, world.at);
        let end = if creates == 1 {
            (Outcome::Held, Reason::WrongTarget)
        } else {
            (Outcome::Committed, Reason::SoakHealthy)
        };
        assert_eq!(world.run_to_close(), end, "{}", world.transcript());
        assert_eq!(world.count("create_rollback"), creates, "{}", world.transcript());
        assert_eq!(world.transcript().contains("or a colleague's, and nobody can tell"), creates == 1);
    }
}

#[test]
fn what_began_since_a_request_that_was_refused_is_a_colleague_s() {
    let mut world = with_bad_release(policy(), SITE);
    world.reply("create_rollback", Reply::Refused { status: 422, applied: false });
    world.run_until(|world| world.count("create_rollback") == 1);
    let other = world.platform.make(Cause::Release, None, world.at);
    world.run(secs(5));
    world.platform.finish(&other, Phase::Error, world.at);
    world.run_to_close();
    let said = world.transcript();
    assert!(said.contains("refused with status 422") && !said.contains("nobody can tell"), "{said}");
}

#[test]
fn of_late_rollbacks_as_many_are_ours_as_requests_were_lost_and_each_of_them_counts() {
    for capabilities in [SITE, BY_CODE] {
        for is_seen_at_once in [false, true] {
            let mut world = with_bad_release(policy(), capabilities);
            world.reply("create_rollback", late(120));
            world.reply("create_rollback", late(150));
            world.run_until(|world| world.count("create_rollback") == 3);
            world.fault = is_seen_at_once.then_some(ReadFault::Unreachable);
            world.run_until(|world| world.platform.our_rollbacks().len() == 3);
            world.fault = None;
            world.run(secs(8));
            let followed =
                |world: &World| world.state.incident().and_then(|open| open.stage.rollback().cloned());
            let ours = world.platform.our_rollbacks();
            assert_eq!(followed(&world).as_ref(), ours.last(), "{}", world.transcript());
            assert!(
                ours.iter().all(|id| world.state.ledger.made_for(id).is_some()),
                "{}",
                world.transcript()
            );
            assert_eq!(world.state.ledger.rollbacks.len(), 3, "{}", world.transcript());
            // Whoever goes back to the same after that is a colleague.
            let at = world.at;
            world.platform.rollback(Who::Person, &"d2".into(), at, at).expect("made");
            let end = world.run_to_close();
            assert_eq!(end, (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
            assert_eq!(world.state.ledger.rollbacks.len(), 3, "{}", world.transcript());
        }
    }
}

#[test]
fn of_late_rollbacks_the_newest_that_did_not_fail_is_adopted_or_followed() {
    // Both come while nobody can look.
    let mut world = with_bad_release(policy(), BY_CODE);
    world.reply("create_rollback", late(70));
    world.reply("create_rollback", late(10));
    world.run_until(|world| world.count("create_rollback") == 2);
    world.fault = Some(ReadFault::Unreachable);
    world.run_until(|world| world.platform.our_rollbacks().len() == 2);
    let (ours, at) = (world.platform.our_rollbacks(), world.at);
    world.platform.finish(&ours[1], Phase::Error, at);
    world.platform.finish(&ours[0], Phase::Active, at);
    world.fault = None;
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(world.closed[0].incident.stage.rollback(), Some(&ours[0]), "{}", world.transcript());
    assert_eq!(world.state.ledger.rollbacks.len(), 2, "{}", world.transcript());
    // One was answered, and two more come.
    let mut world = with_bad_release(policy(), BY_CODE);
    world.reply("create_rollback", late(120));
    world.reply("create_rollback", late(150));
    world.run_until(|world| world.count("create_rollback") == 3);
    world.fault = Some(ReadFault::Unreachable);
    world.run_until(|world| world.platform.our_rollbacks().len() == 3);
    let (ours, at) = (world.platform.our_rollbacks(), world.at);
    world.platform.finish(&ours[2], Phase::Error, at);
    world.platform.finish(&ours[1], Phase::Active, at);
    world.fault = None;
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(world.closed[0].incident.stage.rollback(), Some(&ours[1]), "{}", world.transcript());
}
