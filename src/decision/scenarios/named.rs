//! A platform that is told which deployment to go back to, by its id, and pins nothing by itself.

use super::calls::late;
use super::picks::{BY_CODE, PICKS, changes, with_bad_release};
use super::world::{World, minutes, policy, secs};
use crate::decision::capability::{Capabilities, Support, Targeting};
use crate::decision::effect::Reason;
use crate::decision::observation::Cause;
use crate::decision::policy::OnUnhealthy;
use crate::decision::state::Outcome;
use crate::ids::DeploymentId;

/// A static site: pushes can be paused, and there is no restart.
const SITE: Capabilities =
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
