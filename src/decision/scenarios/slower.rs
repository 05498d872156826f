//! A release is held against the one before it by how long it takes to answer.

use super::world::{World, minutes, policy, rule, secs};
use crate::decision::effect::Reason;
use crate::decision::policy::{Condition, Policy, Regression, Signal};
use crate::decision::state::{Outcome, Situation};

fn regression(of: Signal, worse_by: f64, glitch: u64) -> Condition {
    let (probability, min_failures) = (0.001, 3);
    Condition::Regression(Regression { of, probability, worse_by, glitch: secs(glitch), min_failures })
}

fn slower() -> Policy {
    let mut policy = policy();
    policy.rules = vec![rule("slower", regression(Signal::Latency, 0.5, 10))];
    policy
}

/// A steady app that takes a tenth of a second, and of which an hour is known.
fn known(policy: Policy) -> World {
    let mut world = World::steady(policy);
    world.takes.insert(world.platform.active.clone(), 100_000);
    world.run(minutes(60));
    world
}

fn release_that_takes(world: &mut World, micros: u32) {
    let id = world.release();
    world.takes.insert(id, micros);
}

#[test]
fn a_release_that_takes_three_times_as_long_is_found_in_minutes_and_gone() {
    let mut world = known(slower());
    let released = world.at;
    release_that_takes(&mut world, 300_000);
    world.run_until(|world| world.state.incident().is_some());
    let seconds = world.at.since(released).as_secs();
    assert!((120..=360).contains(&seconds), "{seconds} s\n{}", world.transcript());
    let incident = world.state.incident().expect("it is open");
    // When the first slow stretch began, which is after the caches have had their time.
    let first = incident.first_failure_at.since(incident.live.since).as_secs();
    assert!((25..=45).contains(&first), "{first} s");
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    let told = world.transcript();
    let said = "slower than 150ms (300ms on average), where most of the release before took up to 100ms";
    assert!(told.contains(said), "{told}");
}

#[test]
fn a_release_that_is_as_fast_passes_its_watch_and_the_next_one_is_held_against_it() {
    let mut world = known(slower());
    release_that_takes(&mut world, 140_000);
    world.run(minutes(45));
    assert_eq!(world.state.ledger.good.last().map(|good| good.id.as_str()), Some("d3"));
    // Three times as slow as the first one, and no more than a half slower than the last.
    release_that_takes(&mut world, 200_000);
    world.run(minutes(40));
    assert!(world.closed.is_empty(), "{}", world.transcript());
    release_that_takes(&mut world, 500_000);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}

#[test]
fn without_a_release_before_nothing_is_slower_and_the_first_one_is_learnt() {
    let mut world = World::new(slower());
    world.run(secs(10));
    release_that_takes(&mut world, 900_000);
    world.run(minutes(40));
    assert!(world.closed.is_empty(), "{}", world.transcript());
    assert_eq!(world.state.word(), "steady", "{}", world.transcript());
    release_that_takes(&mut world, 1_900_000);
    world.run_until(|world| !world.closed.is_empty());
    assert!(world.transcript().contains("took up to 900ms"), "{}", world.transcript());
}

#[test]
fn a_process_that_begins_within_a_watch_weighs_anew_with_less_and_still_finds_it() {
    let mut world = known(slower());
    release_that_takes(&mut world, 400_000);
    world.run(secs(100));
    world.restart();
    world.run(secs(6));
    let Situation::Watching(watch) = &world.state.situation else { panic!("{}", world.transcript()) };
    assert_eq!(watch.begun, 1, "{}", world.transcript());
    assert!(watch.before.values().all(|before| before.usual.is_some()), "what was usual is not forgotten");
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    let needed = world.closed[0].incident.evidence.as_ref().unwrap().threshold;
    assert!((39_999.0..40_001.0).contains(&needed), "half of a twentieth of the probability: {needed}");
}

#[test]
fn a_release_that_follows_a_slow_one_is_not_accused_of_what_it_inherits() {
    let mut world = known(slower());
    // It became slow long after its watch.
    world.takes.insert(world.platform.active.clone(), 600_000);
    world.run(minutes(6));
    release_that_takes(&mut world, 600_000);
    assert_eq!(
        world.run_to_close(),
        (Outcome::Refused, Reason::BadBeforeDeployment),
        "{}",
        world.transcript()
    );
}

#[test]
fn what_is_too_slow_by_another_rule_is_not_what_is_usual() {
    // What was usual, where a rule may say that the app is too slow.
    let usual = |too_slow: Option<u64>| {
        let mut policy = slower();
        policy.rules.extend(too_slow.map(|millis| {
            let above = std::time::Duration::from_millis(millis);
            rule("slow", Condition::Latency { quantile: 0.5, above, over: secs(60), min_samples: 10 })
        }));
        let mut world = known(policy);
        let live = world.platform.active.clone();
        world.takes.insert(live.clone(), 700_000);
        world.run(minutes(120));
        world.takes.insert(live, 100_000);
        world.run(minutes(10));
        world.release();
        world.run(secs(30));
        let Situation::Watching(watch) = &world.state.situation else { panic!("{}", world.transcript()) };
        let before = watch.before.values().next().expect("the rule has a test against it");
        serde_json::to_string(before.usual.as_ref().expect("enough is known")).expect("JSON")
    };
    assert!(!usual(Some(500)).contains("0.7"), "{}", usual(Some(500)));
    assert!(usual(Some(900)).contains("0.7") && usual(None).contains("0.7"), "{}", usual(None));
}

#[test]
fn failures_and_latency_share_the_probability_and_either_accuses() {
    let mut both = slower();
    both.rules.push(rule("worse", regression(Signal::Failures, 0.02, 5)));
    let mut world = known(both.clone());
    release_that_takes(&mut world, 400_000);
    assert_eq!(world.run_to_close().0, Outcome::Committed, "{}", world.transcript());
    let evidence = &world.closed[0].incident;
    // Two parts of seven, of which each level has half.
    let needed = 2.0 / (0.001 * 0.9 * 2.0 / 7.0);
    assert_eq!(evidence.rule, Some("slower".into()));
    assert!(
        (evidence.evidence.as_ref().unwrap().threshold - needed).abs() < 1e-6,
        "{}",
        evidence.evidence.as_ref().unwrap().threshold
    );
    let mut world = known(both);
    world.release_bad();
    assert_eq!(world.run_to_close().0, Outcome::Committed, "{}", world.transcript());
    let evidence = &world.closed[0].incident;
    assert_eq!(evidence.rule, Some("worse".into()));
    assert!((evidence.evidence.as_ref().unwrap().threshold - 7.0 / (0.001 * 0.9 * 5.0)).abs() < 1e-6);
    assert!(world.transcript().contains(" samples failed, where "), "{}", world.transcript());
}

#[test]
fn what_is_too_slow_and_answers_is_how_often_the_app_fails_all_the_same() {
    let rounds = |too_slow: bool| {
        let mut policy = slower();
        policy.rules = vec![rule("worse", regression(Signal::Failures, 0.02, 5))];
        let above = if too_slow { secs(0) } else { secs(9) };
        policy
            .rules
            .push(rule("slow", Condition::Latency { quantile: 0.5, above, over: secs(60), min_samples: 10 }));
        let mut world = World::steady(Policy { rules: policy.rules[..1].to_vec(), ..policy.clone() });
        world.run(minutes(10));
        world.policy = policy;
        world.run(minutes(20));
        world.measuring.known(&world.policy).values().next().expect("it is known").baseline.rounds()
    };
    assert_eq!(rounds(true), rounds(false));
    assert!(rounds(true) > 300, "{}", rounds(true));
}
