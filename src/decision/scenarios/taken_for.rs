//! What is taken for the answer to a request that has none, or that was refused, and what is not: a colleague's doing
//! stays a colleague's.

use super::calls::APPLIED;
use super::named::SITE;
use super::picks::{BY_CODE, PICKS, accepting, changes, with_bad_release};
use super::platform::Who;
use super::restarts::restarting;
use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::{Cause, Phase};
use crate::decision::policy::OnUnhealthy;
use crate::decision::state::Outcome;
use crate::ids::DeploymentId;

/// Refused with a client error, which is no proof that it was not done.
fn refused(applied: bool) -> Reply {
    Reply::Refused { status: 409, applied }
}

/// The accused release is deployed once more.
fn deploys_again(world: &mut World) -> DeploymentId {
    let (accused, at) = (DeploymentId::from("d3"), world.at);
    let made = world.platform.make(Cause::Release, Some(&accused), at);
    world.platform.finish(&made, Phase::Active, at);
    world.bad.insert(made.clone());
    made
}

#[test]
fn a_request_that_was_refused_and_seems_to_be_applied_is_left_to_whoever_made_that() {
    for capabilities in [PICKS, BY_CODE] {
        let mut world = with_bad_release(accepting(), capabilities);
        // A platform that picks may have gone back to anything.
        world.platform.picks = (capabilities == PICKS).then(|| world.platform.deployments[0].id.clone());
        world.reply("create_rollback", refused(true));
        assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::ForeignPin), "{}", world.transcript());
        world.run(minutes(5));
        assert_eq!(world.count("create_rollback"), 1, "{}", world.transcript());
    }
}

#[test]
fn what_begins_while_a_request_is_refused_is_not_waited_for() {
    let mut world = with_bad_release(accepting(), BY_CODE);
    world.platform.says_code_late = true;
    world.reply("create_rollback", refused(false));
    world.run_until(|world| world.count("create_rollback") == 1);
    world.platform.make(Cause::Release, None, world.at);
    world.run(minutes(3));
    assert!(world.transcript().contains("(not_valid: refused with status 409)"), "{}", world.transcript());
}

#[test]
fn a_colleague_s_rollback_beside_ours_is_a_person_s_word_where_ours_is_told_by_what_it_runs() {
    let mut world = with_bad_release(accepting(), BY_CODE);
    world.reply("create_rollback", APPLIED);
    world.run_until(|world| world.count("create_rollback") == 1);
    let at = world.at;
    world.platform.rollback(Who::Person, &"d1".into(), at, at);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
}

#[test]
fn the_accused_release_once_more_is_a_colleague_s_where_rollbacks_are_pinned() {
    let mut world = World::with_bad_release(policy());
    world.reply("create_rollback", Reply::Lost { applied_after: None });
    world.run_until(|world| world.count("create_rollback") == 1);
    deploys_again(&mut world);
    assert_eq!(world.run_to_close().0, Outcome::Superseded, "{}", world.transcript());
}

#[test]
fn what_is_called_a_rollback_is_ours_whatever_it_runs() {
    let mut world = with_bad_release(policy(), SITE);
    world.reply("create_rollback", APPLIED);
    world.run_until(|world| world.platform.in_progress.is_some());
    let made = world.platform.in_progress.clone().expect("under way");
    let oldest = world.platform.deployments[0].artifact.clone();
    let entry = world.platform.deployments.iter_mut().find(|entry| entry.id == made).expect("made");
    (entry.artifact, entry.cloned_from) = (oldest, None);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
    assert!(world.transcript().contains("applied after all"), "{}", world.transcript());
}

#[test]
fn a_colleague_s_rollback_to_the_same_is_not_counted_for_ours() {
    let mut world = with_bad_release(policy(), SITE);
    world.reply("create_rollback", APPLIED);
    world.run_until(|world| world.count("create_rollback") == 1);
    let at = world.at;
    world.platform.rollback(Who::Person, &"d2".into(), at, at);
    world.run(minutes(3));
    assert_eq!(world.state.ledger.rollbacks.len(), 1, "{}", world.transcript());
}

#[test]
fn what_an_earlier_incident_made_is_nothing_that_came_of_a_later_request() {
    for capabilities in [SITE, BY_CODE] {
        let mut world = with_bad_release(accepting(), capabilities);
        // The platform answered it, and no read lists it in time.
        let earlier = DeploymentId::from("d4");
        world.state.ledger.ours.push((earlier.clone(), "an earlier one".into()));
        world.reply("create_rollback", Reply::Lost { applied_after: None });
        world.run_until(|world| world.count("create_rollback") == 1);
        let at = world.at;
        let made = world.platform.rollback(Who::Rearguard, &"d2".into(), at, at);
        assert_eq!(made.map(|made| made.id), Some(earlier));
        world.run(minutes(2));
        assert!(!world.transcript().contains("applied after all"), "{}", world.transcript());
    }
}

#[test]
fn that_either_of_two_goes_live_is_no_answer_to_their_hold() {
    let mut policy = accepting();
    policy.soak.on_unhealthy = OnUnhealthy::Revert;
    let mut world = with_bad_release(policy, PICKS);
    world.run_to_stage("soaking");
    world.bad.insert(world.platform.active.clone());
    world.platform.says_code_late = true;
    world.reply("create_rollback", APPLIED);
    world.run_until(|world| world.count("create_rollback") == 2);
    let at = world.at;
    world.platform.rollback(Who::Person, &"d3".into(), at, at);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
    world.run(minutes(10));
    assert_eq!(world.state.word(), "held", "{}", world.transcript());
    assert!(!world.transcript().contains("has begun since"), "both were told of: {}", world.transcript());
}

#[test]
fn the_accused_release_once_more_ends_a_soak_as_any_other_does() {
    let mut world = with_bad_release(accepting(), BY_CODE);
    world.run_to_stage("soaking");
    world.run(secs(10));
    deploys_again(&mut world);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
}

#[test]
fn a_restart_that_was_surely_not_applied_is_not_remembered_as_lost() {
    let mut world = World::with_bad_release(restarting());
    world.reply("restart", Reply::Not(Rejection::RateLimited, None));
    world.run_to_stage("rolling_back");
    assert!(!world.state.incident().expect("open").restart_lost, "{}", world.transcript());
}

#[test]
fn a_restart_that_was_found_is_not_remembered_as_lost() {
    let mut world = World::with_bad_release(restarting());
    world.reply("restart", APPLIED);
    world.run_until(|world| world.platform.active.as_str() == "d4");
    world.run(secs(20));
    assert_eq!(world.stage(), "restarting", "{}", world.transcript());
    world.release();
    assert_eq!(world.run_to_close().0, Outcome::Superseded, "{}", world.transcript());
    assert_eq!(world.state.ledger.lost_restart, None);
    assert_eq!(changes(&world), ["restart"]);
}

#[test]
fn what_came_of_a_pause_is_asked_for_again_in_its_time_and_the_rollback_follows_at_once() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("pin", Reply::Not(Rejection::RateLimited, Some(secs(6))));
    world.run_to_stage("soaking");
    let times = |word: &str| {
        let of_it = world.effects.iter().filter(|(_, effect)| effect.word() == word);
        of_it.map(|(at, _)| *at).collect::<Vec<_>>()
    };
    let [first, second] = times("pin")[..] else { panic!("{}", world.transcript()) };
    assert_eq!((second.since(first), times("create_rollback")), (secs(6), vec![second]));
}

#[test]
fn what_is_validated_anew_after_another_picture_is_a_first_try() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("pin", Reply::Guarded(Guard::Changed));
    world.run_to_stage("soaking");
    assert_eq!(world.count("validate"), 2, "{}", world.transcript());
    assert!(!world.transcript().contains("(try 2)"), "{}", world.transcript());
}
