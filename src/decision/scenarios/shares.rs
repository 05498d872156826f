//! A release is held against the one before it by what share of its requests fail.

use super::course::foretold;
use super::world::{Sight, World, minutes, policy, rule, secs};
use crate::decision::effect::Reason;
use crate::decision::policy::{Condition, OnUnhealthy, Policy, Regression, Signal};
use crate::decision::state::{Outcome, Situation};

fn erring() -> Policy {
    let mut policy = policy();
    let regression = Regression {
        of: Signal::Shares,
        probability: 0.001,
        worse_by: 0.01,
        glitch: secs(5),
        min_failures: 3,
    };
    policy.rules = vec![rule("erring", Condition::Regression(regression))];
    policy
}

/// A steady app of which an hour is known, in which one request of a thousand failed.
fn known() -> World {
    let mut world = World::new(erring());
    world.errs.insert(world.platform.active.clone(), 0.001);
    world.run(minutes(60));
    assert_eq!(world.state.word(), "steady", "{}", world.transcript());
    world
}

fn release_that_fails(world: &mut World, share: f64) {
    let id = world.release();
    world.errs.insert(id, share);
}

#[test]
fn a_release_with_more_errors_is_found_and_gone_and_one_with_as_many_is_not() {
    let mut world = known();
    release_that_fails(&mut world, 0.009);
    world.run(minutes(40));
    assert!(world.closed.is_empty(), "{}", world.transcript());
    assert_eq!(world.state.ledger.good.last().map(|good| good.id.as_str()), Some("d3"));
    let released = world.at;
    release_that_fails(&mut world, 0.2);
    world.run_until(|world| world.state.incident().is_some());
    let seconds = world.at.since(released).as_secs();
    assert!((10..=120).contains(&seconds), "{seconds} s\n{}", world.transcript());
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    let prediction = world.closed.last().and_then(|closed| closed.incident.prediction.clone());
    let from = prediction.expect("it was foretold").from;
    assert!((0.15..=0.25).contains(&from), "it is the share of requests: {from}");
    let told = world.transcript();
    assert!(told.contains("20.") && told.contains(" % of the requests failed on average of "), "{told}");
}

#[test]
fn a_release_that_follows_one_with_errors_is_not_accused_of_what_it_inherits() {
    let mut world = known();
    world.errs.insert(world.platform.active.clone(), 0.3);
    world.run(minutes(6));
    release_that_fails(&mut world, 0.3);
    let closed = world.run_to_close();
    assert_eq!(closed, (Outcome::Refused, Reason::BadBeforeDeployment), "{}", world.transcript());
}

#[test]
fn what_nobody_could_tell_is_no_evidence_either_way() {
    let mut world = known();
    release_that_fails(&mut world, 0.2);
    world.sight = Sight::Blind;
    world.run(minutes(20));
    assert!(matches!(world.state.situation, Situation::Watching(_)), "{}", world.transcript());
    world.run(minutes(20));
    assert_eq!((world.state.word(), world.closed.len()), ("learning", 0), "{}", world.transcript());
}

#[test]
fn what_a_rollback_did_to_the_share_of_errors_is_told_beside_what_was_expected() {
    let table = [
        (
            0.2,
            "the rollback had no effect: the failures of home went from 20.13 % to 20.13 %; expected was at most 1.1 %",
        ),
        (
            0.5,
            "the rollback did harm: the failures of home went from 20.13 % to 50 %; expected was at most 1.1 %",
        ),
    ];
    for (after, judged) in table {
        let mut world = known();
        world.policy.soak.on_unhealthy = OnUnhealthy::Hold;
        release_that_fails(&mut world, 0.2);
        world.run_until(|world| world.platform.rollback_under_way().is_some());
        let rollback = world.platform.rollback_under_way().expect("it is under way");
        world.errs.insert(rollback, after);
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakUnhealthy), "{}", world.transcript());
        let expected = "going back is expected to take the failures of home from 20.13 % to at most 1.1 % within 5m of being live";
        assert_eq!(foretold(&world), [expected, judged]);
    }
}
