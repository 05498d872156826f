//! How a soak ends where not everything is known: a rollback is neither kept nor undone for what nobody measured.

use std::time::Duration;

use super::picks::{BY_CODE, PICKS, accepting, with_bad_release};
use super::world::{World, minutes, policy, rule, secs};
use crate::decision::effect::Reason;
use crate::decision::observation::{ReadFault, Reading, Request};
use crate::decision::policy::{Condition, OnUnhealthy, Policy};
use crate::decision::state::Outcome;

/// A condition that never has the samples that it asks for.
const NEVER: Condition =
    Condition::FailureRatio { above: 0.5, over: Duration::from_secs(300), min_samples: 10_000 };

fn soaking(policy: Policy) -> World {
    let mut world = World::with_bad_release(policy);
    world.run_to_stage("soaking");
    world
}

/// How it ends, and how long that takes from now on.
fn ends(world: &mut World) -> ((Outcome, Reason), Duration) {
    let now = world.at;
    let end = world.run_to_close();
    (end, world.at.since(now))
}

/// What exists is not known any more.
fn lose_the_list(world: &mut World) {
    (world.is_listless, world.history) = (true, Reading::never());
}

#[test]
fn a_soak_is_not_healthy_while_a_rule_knows_nothing_and_waits_for_that_as_long_again() {
    for settle in [secs(0), secs(120)] {
        let mut world = soaking(policy());
        world.policy.rules.push(rule("erring", NEVER));
        world.policy.probes[0].settle = settle;
        let (end, after) = ends(&mut world);
        assert_eq!(end, (Outcome::Held, Reason::SoakUnknown), "{}", world.transcript());
        let at_least = world.policy.soak.period * 2 + settle;
        assert!((at_least..at_least + secs(10)).contains(&after), "{after:?}: {}", world.transcript());
    }
}

#[test]
fn that_another_rule_is_bad_is_harm_only_where_the_one_that_fired_is_good() {
    let slow = Condition::Latency { quantile: 0.95, above: secs(1), over: secs(60), min_samples: 20 };
    for (is_known, did_harm) in [(true, true), (false, false)] {
        let mut policy = policy();
        policy.rules.push(rule("slow", slow.clone()));
        let mut world = World::with_bad_release(policy);
        world.run_until(|world| world.platform.rollback_under_way().is_some());
        let rollback = world.platform.rollback_under_way().expect("it is under way");
        world.takes.insert(rollback, 1_500_000);
        world.run_to_stage("soaking");
        if !is_known {
            world.policy.rules[0].tests[0].condition = NEVER;
        }
        assert_eq!(world.run_to_close().0, Outcome::Reverted, "{}", world.transcript());
        let said = world.transcript();
        assert_eq!(said.contains("the rollback did harm"), did_harm, "{said}");
    }
}

#[test]
fn a_revert_of_the_platform_s_own_needs_no_list_of_what_exists() {
    let mut world = soaking(policy());
    lose_the_list(&mut world);
    world.bad.insert(world.platform.active.clone());
    let (end, after) = ends(&mut world);
    assert_eq!(end, (Outcome::Reverted, Reason::SoakUnhealthy), "{}", world.transcript());
    assert!(after < minutes(1), "{after:?}: {}", world.transcript());

    let mut world = soaking(policy());
    lose_the_list(&mut world);
    world.ask(Request::Revert);
    assert_eq!(world.ended(), (Outcome::Reverted, Reason::Requested), "{}", world.transcript());
}

#[test]
fn what_is_only_held_needs_no_list_of_what_exists() {
    let mut policy = accepting();
    policy.soak.on_unhealthy = OnUnhealthy::Hold;
    let mut world = with_bad_release(policy, PICKS);
    world.run_to_stage("soaking");
    lose_the_list(&mut world);
    world.bad.insert(world.platform.active.clone());
    let (end, after) = ends(&mut world);
    assert_eq!(end, (Outcome::Held, Reason::SoakUnhealthy), "{}", world.transcript());
    assert!(after < minutes(1), "{after:?}: {}", world.transcript());
}

#[test]
fn what_answers_after_the_last_read_is_no_healthy_soak_where_there_is_no_commit_to_ask_for() {
    for capabilities in [PICKS, BY_CODE] {
        let mut world = with_bad_release(accepting(), capabilities);
        world.run_to_stage("soaking");
        let rollback =
            world.state.incident().and_then(|open| open.stage.rollback().cloned()).expect("a rollback");
        // Nobody can look, and somebody deploys something good over a rollback that is not.
        world.fault = Some(ReadFault::Denied);
        world.release();
        world.run(minutes(12));
        assert_eq!(
            (world.stage(), world.waiting),
            ("soaking", Some(Reason::Blind)),
            "{}",
            world.transcript()
        );
        world.fault = None;
        assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
        assert!(!world.state.ledger.good.iter().any(|good| good.id == rollback));
        // Where nobody can look for long, a person is told.
        let mut world = with_bad_release(accepting(), capabilities);
        world.run_to_stage("soaking");
        world.fault = Some(ReadFault::Unreachable);
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakUnknown), "{}", world.transcript());
    }
}
