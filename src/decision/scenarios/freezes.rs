//! Freeze windows keep from acting whoever was not ordered to.

use super::asked::{BOTH, back, ends, says, with_good_release};
use super::world::{Reply, World, minutes, policy};
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::{Freeze, Request};
use crate::decision::policy::{Mode, Policy};
use crate::decision::state::Outcome;

#[test]
fn a_freeze_window_refuses_what_nobody_ordered() {
    let mut world = World::with_bad_release(policy());
    world.operator.freeze = Freeze { rollback: true, commit: false };
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Freeze), "{}", world.transcript());
    assert!(world.effects.is_empty());
    // One that opens meanwhile does so as well, also right before the call.
    let mut world = World::with_bad_release(policy());
    world.reply("validate", Reply::Not(Rejection::RateLimited, None));
    world.run_to_stage("validating");
    world.operator.freeze = Freeze { rollback: true, commit: false };
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Freeze), "{}", world.transcript());
    assert_eq!(world.count("create_rollback"), 0);
    let mut world = World::with_bad_release(policy());
    world.reply("create_rollback", Reply::Guarded(Guard::Frozen));
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Freeze), "{}", world.transcript());
    // A person who is asked anyway, or who orders it, is not kept from it.
    let mut world = World::with_bad_release(Policy { mode: Mode::Approve, ..policy() });
    world.operator.freeze = BOTH;
    world.run_to_stage("awaiting_approval");
    says(&mut world, Request::Approve);
    world.run_to_stage("soaking");
    let mut world = with_good_release(policy());
    world.operator.freeze = BOTH;
    says(&mut world, back(None));
    world.run_to_stage("soaking");
}

#[test]
fn the_end_of_a_soak_waits_for_the_end_of_its_freeze_window_or_a_person() {
    let frozen = |freeze, bad: bool| {
        let mut world = World::with_bad_release(policy());
        world.run_to_stage("soaking");
        world.operator.freeze = freeze;
        if bad {
            world.bad.insert(world.platform.active.clone());
        }
        world.run(minutes(40));
        world
    };
    let commit = Freeze { rollback: false, commit: true };
    let rollback = Freeze { rollback: true, commit: false };
    for (freeze, bad, request, end) in [
        (commit, false, Request::Commit, (Outcome::Committed, Reason::SoakHealthy)),
        (rollback, true, Request::Revert, (Outcome::Reverted, Reason::SoakUnhealthy)),
    ] {
        let mut world = frozen(freeze, bad);
        assert_eq!(
            (world.stage(), world.waiting),
            ("soaking", Some(Reason::Freeze)),
            "{}",
            world.transcript()
        );
        world.operator.freeze = Freeze::default();
        assert_eq!(world.run_to_close(), end, "{}", world.transcript());
        let mut world = frozen(freeze, bad);
        assert_eq!(ends(&mut world, request), (end.0, Reason::Requested), "{}", world.transcript());
    }
    // Each kind keeps from its own only.
    let mut world = frozen(rollback, false);
    assert_eq!(world.closed[0].outcome, Outcome::Committed, "{}", world.transcript());
    world = frozen(commit, true);
    assert_eq!(world.closed[0].outcome, Outcome::Reverted, "{}", world.transcript());
}
