//! Outside incidents: who is a candidate, who is not, and what is learnt.

use std::time::Duration;

use super::platform::Who;
use super::world::{World, minutes, policy, rule, secs};
use crate::decision::observation::{Cause, Phase, ReadFault, Reading};
use crate::decision::policy::Condition;
use crate::decision::sample::{Failure, Sample, SampleResult};
use crate::decision::state::{Outcome, Situation};

const BAD: SampleResult = SampleResult::Bad(Failure::Connect);

#[test]
fn a_release_that_passes_its_watch_is_good() {
    let mut world = World::steady(policy());
    let id = world.release();
    world.run(secs(6));
    assert_eq!(world.state.word(), "watching");
    world.run(minutes(31));
    assert_eq!(world.state.word(), "steady");
    assert_eq!(world.state.ledger.good.last().map(|good| good.id.clone()), Some(id));
}

#[test]
fn what_was_sent_together_with_the_read_that_shows_a_release_may_be_of_the_one_before() {
    let took = Duration::from_millis(155);
    for (age, since) in [(0, Duration::ZERO), (1, took + Duration::from_millis(1))] {
        let mut world = World::steady(policy());
        world.release();
        let mut view = world.platform.view(world.at);
        view.active_age_ms = Some(age);
        world.app = Reading::known(world.at - took, view);
        world.step();
        let Situation::Watching(watch) = &world.state.situation else { panic!("not watching") };
        assert_eq!(watch.live.since, world.at - since, "{age} ms old when the read was sent");
    }
}

#[test]
fn what_is_not_a_release_is_no_candidate() {
    for cause in [Cause::Rollback, Cause::Revert, Cause::Restart, Cause::Platform] {
        let mut world = World::steady(policy());
        let id = world.platform.make(cause, Some(&"d1".into()), world.at);
        world.platform.finish(&id, Phase::Active, world.at);
        world.bad.insert(id);
        world.run(minutes(5));
        assert_eq!((world.state.word(), world.closed.len()), ("learning", 0), "{cause:?}");
    }
}

/// The daemon starts without a memory while `d2` fails, which `d3` replaces and mends before it fails itself.
#[test]
fn what_failed_until_it_was_replaced_and_was_never_seen_to_be_good_is_nothing_to_go_back_to() {
    for (fails, target) in [(true, "d1"), (false, "d2")] {
        let mut world = World::new(policy());
        if fails {
            world.bad.insert("d2".into());
        }
        world.run(secs(20));
        assert_eq!(world.state.word(), "learning");
        let release = world.release();
        world.run(minutes(5));
        world.bad.insert(release);
        assert_eq!(world.run_to_close().0, Outcome::Committed);
        assert_eq!(world.platform.deployments.last().unwrap().cloned_from, Some(target.into()));
    }
}

#[test]
fn a_restart_of_the_candidate_keeps_its_watch() {
    let mut world = World::steady(policy());
    let release = world.release();
    world.run(minutes(10));
    let Situation::Watching(before) = world.state.situation.clone() else { panic!("not watching") };
    assert_eq!(world.wake_at, Some(before.until));
    let restart = world.platform.make(Cause::Restart, Some(&release), world.at);
    world.platform.finish(&restart, Phase::Active, world.at);
    world.run(secs(6));
    let Situation::Watching(after) = world.state.situation.clone() else { panic!("not watching") };
    assert_eq!((after.until, after.live.id), (before.until, restart.clone()));
    assert_eq!(
        (before.begun, after.begun),
        (0, 1),
        "what was weighed so far is not weighed again for nothing"
    );
    world.bad.insert(restart);
    assert_eq!(world.run_to_close().0, Outcome::Committed);
    assert_eq!(world.platform.deployments.last().unwrap().cloned_from, Some("d2".into()));
}

#[test]
fn a_restart_that_brings_back_an_earlier_release_is_not_the_one_it_replaces() {
    for is_accused in [true, false] {
        let mut world = World::steady(policy());
        let earlier = world.release();
        world.run(secs(10));
        let release = world.release();
        world.run(secs(10));
        // Asked for before that one was live.
        let restart = world.platform.make(Cause::Restart, Some(&earlier), world.at);
        if is_accused {
            world.bad.insert(release);
            world.run_to_stage("validating");
        }
        let at = world.at;
        world.platform.finish(&restart, Phase::Active, at);
        world.bad.insert(restart);
        world.run(minutes(5));
        assert_eq!((world.state.word(), world.effects.len()), ("learning", 0), "{}", world.transcript());
    }
}

#[test]
fn a_release_younger_than_its_watch_at_a_first_start_is_watched_for_the_rest_of_it() {
    let mut world = World::new(policy());
    world.at = world.at + minutes(1);
    world.release();
    world.at = world.at + minutes(20);
    world.run(secs(6));
    let Situation::Watching(watch) = &world.state.situation else { panic!("{}", world.transcript()) };
    let left = watch.until.since(world.at);
    assert!(left > minutes(9) && left < minutes(11), "{left:?}");
}

#[test]
fn an_older_answer_never_moves_the_state_backwards() {
    let mut world = World::steady(policy());
    let old = (world.app.clone(), world.history.clone());
    world.release();
    world.run(minutes(2));
    let state = world.state.clone();
    world.app = Reading::known(world.at, old.0.value().cloned().unwrap());
    world.history = Reading::known(world.at, old.1.value().cloned().unwrap());
    world.step();
    assert_eq!(world.state, state);
}

#[test]
fn a_release_that_nobody_could_judge_does_not_become_good_by_the_clock() {
    let mut world = World::steady(policy());
    let id = world.release();
    world.run(secs(6));
    world.sight = super::world::Sight::Blind;
    world.run(minutes(40));
    assert_eq!(world.state.word(), "learning");
    assert!(world.state.ledger.good.iter().all(|good| good.id != id));
}

#[test]
fn a_release_is_not_good_while_a_rule_says_otherwise_or_nothing() {
    let never = Condition::FailureRatio { above: 0.5, over: minutes(5), min_samples: 10_000 };
    let half = Condition::FailureRatio { above: 0.2, over: minutes(1), min_samples: 1 };
    for (condition, fails) in [(never, 0), (half, 2)] {
        let mut policy = policy();
        policy.rules.push(rule("erring", condition));
        let mut world = World::new(policy);
        let id = world.platform.active.clone();
        for round in 0..150 {
            match round % 4 < fails {
                true => world.bad.insert(id.clone()),
                false => world.bad.remove(&id),
            };
            world.tick();
        }
        assert_eq!(world.state.word(), "learning", "{}", world.transcript());
        world.bad.clear();
        world.policy.rules.pop();
        world.run(minutes(1));
        assert_eq!(world.state.word(), "steady", "{}", world.transcript());
    }
}

#[test]
fn the_platform_s_age_of_the_live_deployment_goes_on_between_reads() {
    let mut world = World::new(policy());
    world.at = world.at + minutes(1);
    world.platform.live_at = world.at - minutes(29);
    world.platform.deployments[1].cause = Cause::Rollback;
    world.run(secs(90));
    assert_eq!(world.state.word(), "steady", "{}", world.transcript());
}

#[test]
fn the_first_failures_of_a_release_are_not_held_against_the_one_before() {
    let mut policy = policy();
    policy.rules[0].tests[0].condition = Condition::ConsecutiveFailures { count: 1 };
    let mut world = World::steady(policy);
    world.release_bad();
    let sample = Sample { at: world.at + Duration::from_millis(500), micros: 1, result: BAD };
    world.windows[0].push(sample);
    assert_eq!(world.run_to_close().0, Outcome::Committed, "{}", world.transcript());
}

#[test]
fn an_app_that_is_learnt_says_when_it_may_be_done() {
    let mut world = World::new(policy());
    world.platform.live_at = world.at - minutes(29);
    world.platform.deployments[1].cause = Cause::Rollback;
    world.run(secs(4));
    let wake_at = world.wake_at.expect("a time");
    assert_eq!(wake_at.since(world.start), secs(60));
    // The reads stop: who answers from then on may be another one, however old this one is.
    world.fault = Some(ReadFault::Unreachable);
    world.run(secs(120));
    assert_eq!(world.state.word(), "learning");
    world.fault = None;
    world.run(secs(4));
    assert_eq!(world.state.word(), "steady");
}

#[test]
fn an_incident_is_opened_once_for_a_deployment() {
    let mut policy = policy();
    policy.limits.max_rollbacks = 0;
    let mut world = World::with_bad_release(policy);
    world.run(minutes(60));
    assert_eq!(world.closed.len(), 1);
}

#[test]
fn a_release_is_not_good_by_what_its_unnoticed_successor_does() {
    // It fails after a while, and a fix is live before anybody can look.
    let bad_and_mended = |reads_return: Option<u64>| {
        let mut world = World::steady(policy());
        let bad = world.release();
        world.run(minutes(5));
        world.fault = Some(ReadFault::Denied);
        world.run(minutes(5));
        world.bad.insert(bad.clone());
        world.run(minutes(5));
        let fix = world.release();
        world.run(minutes(17));
        assert_eq!(world.state.word(), "watching", "{}", world.transcript());
        if let Some(after) = reads_return {
            world.run(secs(after));
            world.fault = None;
        }
        world.run(minutes(40));
        assert!(!world.state.ledger.good.iter().any(|good| good.id == bad), "{}", world.transcript());
        world.fault = None;
        world.run(minutes(60));
        assert!(!world.state.ledger.good.iter().any(|good| good.id == bad), "{}", world.transcript());
        assert!(world.state.ledger.good.iter().any(|good| good.id == fix), "{}", world.transcript());
    };
    bad_and_mended(None);
    bad_and_mended(Some(10));
    bad_and_mended(Some(120));
}

#[test]
fn a_release_is_good_by_a_read_from_the_end_of_its_watch_which_is_asked_for_and_waited_for() {
    let mut world = World::steady(policy());
    let release = world.release();
    world.run(minutes(29));
    // The next poll is long away.
    world.polled_at = world.at + minutes(60);
    world.run(minutes(1) + secs(4));
    assert_eq!(world.state.word(), "steady");
    assert!(world.state.ledger.good.iter().any(|good| good.id == release));
    // Nobody can look for five minutes, or for longer.
    let mut world = World::steady(policy());
    let release = world.release();
    world.run(minutes(29));
    world.fault = Some(ReadFault::Unreachable);
    world.run(minutes(5) + secs(56));
    assert_eq!(world.state.word(), "watching");
    let Situation::Watching(watch) = &world.state.situation else { panic!("{:?}", world.state) };
    assert_eq!(world.wake_at, Some(watch.until + minutes(5)));
    let mut later = world.clone();
    later.run(secs(8));
    assert_eq!(later.state.word(), "learning");
    world.fault = None;
    world.run(secs(4));
    assert_eq!(world.state.word(), "steady");
    assert!(world.state.ledger.good.iter().any(|good| good.id == release));
}

#[test]
fn a_release_is_not_accused_of_what_its_unnoticed_successor_does() {
    let mut world = World::steady(policy());
    let first = world.release();
    world.run(minutes(2));
    assert_eq!(world.state.word(), "watching");
    // The next one goes live and fails, and no poll comes round to notice it.
    world.polled_at = world.at + minutes(60);
    let second = world.release_bad();
    world.run_until(|world| world.state.word() == "incident");
    let accused = world.state.incident().map(|incident| incident.accused.id.clone());
    assert_eq!(accused, Some(second), "{}", world.transcript());
    world.polled_at = world.at;
    world.run_to_close();
    assert!(!world.state.ledger.accused.contains(&first));
}

#[test]
fn a_person_s_rollback_is_no_candidate_whatever_the_platform_calls_it() {
    let mut world = World::steady(policy());
    let at = world.at;
    let id = world.platform.rollback(Who::Person, &"d1".into(), at, at).unwrap().id;
    world.platform.deployments.last_mut().unwrap().cause = Cause::Release;
    world.platform.finish(&id, Phase::Active, at);
    world.bad.insert(id);
    world.run(minutes(5));
    assert_eq!((world.state.word(), world.closed.len()), ("learning", 0));
}

#[test]
fn what_failed_while_a_release_settled_does_not_confirm_that_it_is_bad() {
    let mut world = World::with_bad_release(policy());
    world.policy.probes[0].settle = secs(20);
    world.run(secs(22));
    world.fault = Some(ReadFault::Unreachable);
    world.run(secs(10));
    assert_eq!(world.state.word(), "watching", "{}", world.transcript());
    world.fault = None;
    assert_eq!(world.run_to_close().0, Outcome::Committed);
}

#[test]
fn an_app_that_is_learnt_is_done_by_the_first_read_after_its_watch() {
    let mut policy = policy();
    policy.soak.min_samples = 5;
    let mut world = World::new(policy);
    world.platform.live_at = world.at - minutes(29);
    world.platform.deployments[1].cause = Cause::Rollback;
    world.run_until(|world| world.state.word() == "steady");
    let read_at = world.app.read_at().expect("read").since(world.start);
    assert!((secs(60)..secs(64)).contains(&read_at), "{read_at:?}");
}
