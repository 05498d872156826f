//! A release is held against the one before it.

use super::world::{World, minutes, policy, rule, secs};
use crate::decision::effect::Reason;
use crate::decision::measuring::{Measuring, Shown};
use crate::decision::policy::{Condition, Policy, Regression, Rule, Signal, Test};
use crate::decision::state::{Outcome, Situation};

fn worse() -> Policy {
    let mut policy = policy();
    let regression = Regression {
        of: Signal::Failures,
        probability: 0.001,
        worse_by: 0.02,
        glitch: secs(5),
        min_failures: 3,
    };
    policy.rules = vec![rule("worse", Condition::Regression(regression))];
    policy
}

/// A steady app of which an hour is known.
fn known(policy: Policy) -> World {
    let mut world = World::steady(policy);
    world.run(minutes(60));
    world
}

#[test]
fn a_release_that_only_fails_is_found_within_half_a_minute_and_gone() {
    let mut world = known(worse());
    let released = world.at;
    world.release_bad();
    world.run_until(|world| world.state.incident().is_some());
    let seconds = world.at.since(released).as_secs();
    assert!((10..=40).contains(&seconds), "{seconds} s\n{}", world.transcript());
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert!(world.transcript().contains("evidence"), "{}", world.transcript());
}

#[test]
fn a_release_that_is_as_good_as_the_one_before_passes_its_watch() {
    let mut world = known(worse());
    world.release();
    world.run(minutes(40));
    assert_eq!(world.state.word(), "steady", "{}", world.transcript());
    assert_eq!(world.state.ledger.good.last().map(|good| good.id.as_str()), Some("d3"));
    // And the next one is held against it.
    world.release_bad();
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}

#[test]
fn a_hiccup_of_a_few_seconds_accuses_nobody() {
    let mut world = known(worse());
    world.release();
    world.run(minutes(2));
    for _ in 0..3 {
        world.outage = true;
        world.run(secs(8));
        world.outage = false;
        world.run(minutes(4));
    }
    assert!(world.closed.is_empty(), "{}", world.transcript());
}

#[test]
fn a_process_that_begins_within_a_watch_weighs_anew_with_less_and_still_finds_it() {
    let mut world = known(worse());
    let bad = world.release_bad();
    world.run(secs(10));
    world.restart();
    world.run(secs(6));
    let Situation::Watching(watch) = &world.state.situation else { panic!("{}", world.transcript()) };
    assert_eq!((watch.begun, watch.live.id.clone()), (1, bad), "{}", world.transcript());
    assert!(!watch.before.is_empty(), "what was known before is not forgotten");
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    let closed = &world.closed[0].incident;
    assert!(
        closed.evidence.as_ref().unwrap().threshold > 10_000.0,
        "a twentieth of the probability was left"
    );
}

#[test]
fn without_a_release_before_a_dead_one_is_found_all_the_same() {
    let mut world = World::new(worse());
    world.run(secs(10));
    // The first one that is seen to go live.
    world.release_bad();
    let (outcome, _) = world.run_to_close();
    assert_ne!(outcome, Outcome::Observed, "{}", world.transcript());
    assert!(world.closed[0].incident.before.values().all(|before| before.baseline.rounds() < 10));
}

#[test]
fn a_release_that_follows_a_broken_one_is_not_accused_of_what_it_inherits() {
    let mut world = known(worse());
    // It broke long after its watch.
    world.bad.insert(world.platform.active.clone());
    world.run(minutes(6));
    world.release_bad();
    assert_eq!(
        world.run_to_close(),
        (Outcome::Refused, Reason::BadBeforeDeployment),
        "{}",
        world.transcript()
    );
}

#[test]
fn what_one_test_of_several_says_leaves_what_is_known_of_an_app_as_it_is() {
    // How often the release before was seen to fail, where another rule has these tests of which so many have to be Bad.
    let failed = |counts: [u32; 2], needed| {
        let mut policy = worse();
        let test = |count| Test { probe: 0, condition: Condition::ConsecutiveFailures { count } };
        let tests = counts.map(test).to_vec();
        policy.rules.push(Rule {
            tests,
            needed,
            ..rule("other", Condition::ConsecutiveFailures { count: 1 })
        });
        let mut world = known(policy);
        for _ in 0..6 {
            let live = world.platform.active.clone();
            world.bad.insert(live.clone());
            world.run(secs(6));
            world.bad.remove(&live);
            world.run(minutes(5));
        }
        world.release();
        world.run(secs(30));
        let Situation::Watching(watch) = &world.state.situation else { panic!("{}", world.transcript()) };
        watch.before.values().next().expect("the rule has a test against it").baseline.failed()
    };
    assert!(failed([1, 900], 2) >= 5.0, "{}", failed([1, 900], 2));
    assert_eq!((failed([1, 900], 1), failed([1, 1], 2)), (0.0, 0.0), "a rule that is Bad says since when");
}

#[test]
fn without_a_rule_that_compares_releases_nothing_is_kept() {
    let world = World::steady(policy());
    assert!(!Measuring::is_wanted(&world.policy) && world.measuring.pasts().is_empty());
    let mut world = known(worse());
    assert!(Measuring::is_wanted(&world.policy) && world.measuring.pasts().len() == 1);
    // And nothing of it once the probe asks something else.
    world.measuring.forget(&"home".into());
    assert!(world.measuring.known(&world.policy).is_empty());
}

#[test]
fn what_is_known_outlives_the_process() {
    let mut world = known(worse());
    let before = world.measuring.known(&world.policy);
    assert!(before.values().any(|before| before.baseline.rounds() > 100), "{before:?}");
    world.restart();
    assert_eq!(world.measuring.known(&world.policy), before);
}

#[test]
fn rules_that_are_other_ones_weigh_anew_with_less() {
    let mut world = known(worse());
    world.release();
    world.run(secs(20));
    world.measuring.begin_anew();
    world.run(secs(6));
    let Situation::Watching(watch) = &world.state.situation else { panic!("{}", world.transcript()) };
    assert_eq!(watch.begun, 1, "{}", world.transcript());
}

#[test]
fn what_is_weighed_is_confirmed_by_reads_that_show_the_release_and_by_no_other() {
    let mut world = known(worse());
    world.release();
    world.run(secs(40));
    let confirmed = |world: &World| {
        let mut windows = world.windows.clone();
        let shown = Shown { app: &world.app, other_was_live_at: world.other_was_live_at };
        let mut measuring = world.measuring.clone();
        measuring.weigh(&world.policy, &world.state, shown, &mut windows);
        let weighed = windows[0].gauge(&"worse".into()).and_then(|gauge| gauge.weighed.clone());
        weighed.expect("it is weighed").confirmed.last_at
    };
    let read_at = world.app.read_at().expect("it was read");
    let last = confirmed(&world).expect("some are confirmed");
    assert!(last < read_at && read_at.since(last) <= secs(2), "{last:?}, {read_at:?}");
    // Another one is seen to be live, and nothing is decided yet.
    world.run_until(|world| world.windows[0].between(read_at, world.at).count() > 2);
    let mut view = world.app.last.clone().expect("it was read").1;
    view.active.as_mut().expect("one is live").id = "another".into();
    world.app = crate::decision::observation::Reading::known(world.at, view);
    let before = confirmed(&world).expect("some are confirmed");
    assert!(world.at.since(before) > secs(2), "{before:?}");
}

#[test]
fn a_bad_release_is_no_way_for_an_app_to_be() {
    let mut world = known(worse());
    world.release_bad();
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run(minutes(40));
    assert_eq!(world.state.word(), "steady", "{}", world.transcript());
    let known = world.measuring.known(&world.policy);
    assert!(known.values().all(|before| before.baseline.failed() == 0.0), "{known:?}");
}

#[test]
fn what_a_rule_says_of_another_probe_leaves_what_is_known_of_this_one_as_it_is() {
    // How often the release before was seen to fail, each time three or four times in a row.
    let failed = |probe, count, in_a_row: u64| {
        let mut policy = worse();
        policy.probes.push(policy.probes[0].clone());
        policy.probes[1].name = "other".into();
        policy.rules.push(Rule::of("down", probe, Condition::ConsecutiveFailures { count }));
        let mut world = known(policy);
        for _ in 0..6 {
            world.outage = true;
            world.run(secs(2 * in_a_row));
            world.outage = false;
            world.run(minutes(5));
        }
        world.measuring.known(&world.policy).values().next().expect("it is known").baseline.failed()
    };
    assert_eq!(failed(0, 3, 3), 0.0, "the last one is what makes it Bad");
    let others = [failed(0, 4, 3), failed(1, 3, 4)];
    assert!(others.iter().all(|failed| *failed >= 5.0), "{others:?}");
}
