//! The course of an incident when nobody is in the way.

use super::picks::{PICKS, with_bad_release};
use super::world::{Reply, World, policy, rule, secs};
use crate::decision::capability::{Capabilities, Signal, Signals, Support, Targeting};
use crate::decision::decide;
use crate::decision::effect::{Reason, Rejection};
use crate::decision::observation::RecordedObservation;
use crate::decision::policy::{Asked, Condition, OnUnhealthy, Policy};
use crate::decision::state::{Outcome, Stage, State};
use crate::decision::story::Event;

#[test]
fn a_bad_release_is_rolled_back_soaked_and_committed() {
    let mut world = World::with_bad_release(policy());
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    insta::assert_snapshot!(world.transcript(), @r"
     0:02  learning
     1:02  steady
     1:22  watching
     1:26  incident/validating [rollback rule_fired]
            rule down fired on deployment d3: 3 failures in a row, limit 3
            the deployment to go back to is d2: the newest that rearguard saw to be good
            finding out whether the platform would accept a rollback to d2
     1:26  incident/rolling_back
            validate: the platform would accept it, no warnings
            going back is expected to take the failures of home from 100 % to at most 1 % within 5m of being live
            rolling back from d3 to d2; new deployments are blocked meanwhile
     1:26  incident/rolling_back
            create_rollback: the platform started deployment d4
     1:30  incident/rolling_back
     2:26  incident/soaking
            rollback deployment d4 is live; it is watched for 10m and until each probe has 30 fresh samples (the soak)
     2:28  incident/soaking
            the app is healthy again, 66.0 s after its first failing sample
    12:26  incident/committing [commit soak_healthy]
            the soak is over: the rolled-back app stayed healthy; each probe has at least 300 samples
            the rollback helped: the failures of home went from 100 % to 0 %; as expected
            committing rollback d4, so that new deployments are possible again
    12:26  steady
            commit: done, the app is not pinned any more
            closed as committed: the rolled-back app stayed healthy (soak_healthy)
    ");
}

/// What was foretold of the last rollback, and what was said of it at the end of its soak.
pub(super) fn foretold(world: &World) -> Vec<&str> {
    let is_of_it =
        |line: &&str| line.starts_with("going back is expected") || line.starts_with("the rollback ");
    world.lines.iter().map(|line| line.trim()).filter(is_of_it).collect()
}

#[test]
fn a_rollback_that_had_no_effect_is_told_as_such_beside_what_was_expected_and_undone() {
    let mut world = World::with_bad_release(policy());
    world.run_until(|world| world.state.incident().is_some());
    // It was not the release: whatever is live fails.
    world.outage = true;
    assert_eq!(world.run_to_close(), (Outcome::Reverted, Reason::SoakUnhealthy), "{}", world.transcript());
    assert_eq!(
        foretold(&world),
        [
            "going back is expected to take the failures of home from 100 % to at most 1 % within 5m of being live",
            "the rollback had no effect: the failures of home went from 100 % to 100 %; expected was at most 1 %",
        ]
    );
}

#[test]
fn a_rollback_that_made_it_worse_is_told_as_such_beside_what_was_expected() {
    let mut policy = policy();
    policy.rules[0].tests[0].condition =
        Condition::FailureRatio { above: 0.3, over: secs(60), min_samples: 20 };
    policy.soak.on_unhealthy = OnUnhealthy::Hold;
    let mut world = World::steady(policy);
    let release = world.release();
    // Every other request fails.
    while world.state.incident().is_none() {
        if !world.bad.remove(&release) {
            world.bad.insert(release.clone());
        }
        world.tick();
    }
    // What it goes back to answers nothing at all.
    world.outage = true;
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakUnhealthy), "{}", world.transcript());
    assert_eq!(
        foretold(&world),
        [
            "going back is expected to take the failures of home from 50 % to at most 1 % within 5m of being live",
            "the rollback did harm: the failures of home went from 50 % to 100 %; expected was at most 1 %",
        ]
    );
}

#[test]
fn a_rollback_after_which_it_is_well_and_then_as_before_had_no_effect() {
    let mut world = World::with_bad_release(policy());
    world.run_until(|world| {
        matches!(world.state.incident().map(|open| &open.stage), Some(Stage::Soaking { .. }))
    });
    for _ in 0..180 {
        world.tick();
    }
    world.outage = true;
    assert_eq!(world.run_to_close(), (Outcome::Reverted, Reason::SoakUnhealthy), "{}", world.transcript());
    let foretold = foretold(&world);
    assert!(foretold[1].starts_with("the rollback had no effect"), "{foretold:?}");
}

#[test]
fn a_rollback_after_which_another_rule_is_bad_did_harm_though_what_was_wrong_is_gone() {
    let mut policy = policy();
    let slow = Condition::Latency { quantile: 0.95, above: secs(1), over: secs(60), min_samples: 20 };
    policy.rules.push(rule("slow", slow));
    let mut world = World::with_bad_release(policy);
    world.run_until(|world| world.platform.rollback_under_way().is_some());
    let rollback = world.platform.rollback_under_way().expect("it is under way");
    world.takes.insert(rollback, 1_500_000);
    assert_eq!(world.run_to_close(), (Outcome::Reverted, Reason::SoakUnhealthy), "{}", world.transcript());
    assert_eq!(
        foretold(&world),
        [
            "going back is expected to take the failures of home from 100 % to at most 1 % within 5m of being live",
            "the rollback did harm, as another rule is bad now: the failures of home went from 100 % to 0 %; as expected",
        ]
    );
}

#[test]
fn a_recorded_decision_that_is_run_again_is_the_same_decision() {
    let mut policy = policy();
    policy.rules[0].tests[0].condition =
        Condition::FailureRatio { above: 0.3, over: secs(60), min_samples: 3 };
    let mut world = World::steady(policy);
    world.records = true;
    world.reply("create_rollback", Reply::Lost { applied_after: Some(secs(6)) });
    world.reply("commit", Reply::Not(Rejection::RateLimited, Some(secs(7))));
    world.release_bad();
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    assert!(world.recorded.len() > 10, "{}", world.recorded.len());
    let first = is_made_again(&world);
    // What says nothing is not written, over and over.
    for nothing in ["freeze", "quiet_since", "signals", "by", "lag", "asked"] {
        assert!(!first.contains(&format!("\"{nothing}\":")), "{nothing}: {first}");
    }
}

#[test]
fn whatever_says_something_is_recorded() {
    // A site that cannot be restarted, whose platform says how it fares and leaves most to us.
    let signals = Signals::of(&[Signal::Health]);
    let site = Capabilities {
        targeting: Targeting::ById,
        resend_is_safe: true,
        restart: Support::Absent,
        signals,
        ..PICKS
    };
    let mut policy = Policy { restart_first: Some(secs(90)), ..policy() };
    policy.probes[0].lag = secs(1);
    let mut world = with_bad_release(policy, site);
    world.policy.probes[0].asked = Asked::WhileJudging;
    world.records = true;
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.operator.freeze.rollback = true;
    world.release_bad();
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Freeze), "{}", world.transcript());
    is_made_again(&world);
}

/// What was recorded comes out of its text as it was, and is decided as it was. Gives the first of the texts.
fn is_made_again(world: &World) -> String {
    let written = world.recorded.iter().map(|(policy, state, seen, decision)| {
        let story = decision.change.as_ref().map(|change| change.story.clone()).unwrap_or_default();
        let given = (policy.clone(), state.clone(), seen.clone(), story);
        let json = serde_json::to_string(&given).unwrap();
        let back: (Policy, State, RecordedObservation, Vec<Event>) = serde_json::from_str(&json).unwrap();
        assert_eq!(back, given);
        assert_eq!(decide(&back.0, &back.1, &back.2.as_seen()), *decision);
        json
    });
    let written: Vec<String> = written.collect();
    written[0].clone()
}

#[test]
fn a_lost_request_is_found_by_reading_and_its_story_says_so() {
    let mut world = World::with_bad_release(policy());
    world.platform.not_valid = vec!["d2".into()];
    world.reply("create_rollback", Reply::Lost { applied_after: Some(secs(40)) });
    world.reply("create_rollback", Reply::Lost { applied_after: None });
    world.reply("commit", Reply::Not(Rejection::Denied, None));
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    insta::assert_snapshot!(world.transcript(), @r"
     0:02  learning
     1:02  steady
     1:22  watching
     1:26  incident/validating [rollback rule_fired]
            rule down fired on deployment d3: 3 failures in a row, limit 3
            the deployment to go back to is d2: the newest that rearguard saw to be good
            finding out whether the platform would accept a rollback to d2
     1:26  incident/validating
            validate: the platform would not accept it: exceeded_revision_limit
            not going back to d2: the platform would not accept the rollback (not_valid: exceeded_revision_limit)
            the deployment to go back to is d1: the newest one that was rolled out completely; rearguard has not judged it itself
            finding out whether the platform would accept a rollback to d1
     1:26  incident/rolling_back
            validate: the platform would accept it, no warnings
            going back is expected to take the failures of home from 100 % to at most 1 % within 5m of being live
            rolling back from d3 to d1; new deployments are blocked meanwhile
     1:26  incident/rolling_back
            create_rollback: no conclusive answer; reading the platform before anything else
     1:26  waits: blind
     1:58  incident/validating
            create_rollback was not applied: the platform shows no trace of it
            finding out whether the platform would accept a rollback to d1
     1:58  incident/rolling_back
            validate: the platform would accept it, no warnings
            rolling back from d3 to d1; new deployments are blocked meanwhile (try 2)
     1:58  incident/rolling_back
            create_rollback: no conclusive answer; reading the platform before anything else
     1:58  waits: blind
     2:06  incident/rolling_back
            create_rollback was applied after all: the platform shows deployment d4
     3:06  incident/soaking
            rollback deployment d4 is live; it is watched for 10m and until each probe has 30 fresh samples (the soak)
     3:08  incident/soaking
            the app is healthy again, 106.0 s after its first failing sample
    13:06  incident/committing [commit soak_healthy]
            the soak is over: the rolled-back app stayed healthy; each probe has at least 300 samples
            the rollback helped: the failures of home went from 100 % to 0 %; as expected
            committing rollback d4, so that new deployments are possible again
    13:06  incident/committing
            commit: not applied: the platform refuses our token
    13:06  waits: denied
    13:08  waits: blind
    13:10  incident/committing
            committing rollback d4, so that new deployments are possible again
    13:10  steady
            commit: done, the app is not pinned any more
            closed as committed: the rolled-back app stayed healthy (soak_healthy)
    ");
}
