//! A person acts at each step, and wins.

use super::platform::Who;
use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::effect::{Reason, Rejection};
use crate::decision::observation::{Cause, Phase, Reading, Request};
use crate::decision::state::{Outcome, Situation};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Commit,
    Revert,
    Pin,
    Deploy,
    Restart,
}

fn act(world: &mut World, act: Act) {
    let at = world.at;
    match act {
        Act::Commit => drop(world.platform.commit(Who::Person, at)),
        Act::Revert => drop(world.platform.revert(Who::Person, at)),
        Act::Pin => {
            world.platform.pinned = None;
            world.platform.rollback(Who::Person, &"d1".into(), at, at);
        }
        Act::Deploy => {
            world.platform.pinned = None;
            world.release();
        }
        Act::Restart => {
            let live = world.platform.active.clone();
            let id = world.platform.make(Cause::Restart, Some(&live), at);
            world.platform.finish(&id, Phase::Active, at);
        }
    }
}

#[test]
fn a_person_who_acts_after_the_rollback_ends_the_incident_without_a_write() {
    for stage in ["rolling_back", "soaking"] {
        for deed in [Act::Commit, Act::Revert, Act::Pin, Act::Deploy] {
            let mut world = World::with_bad_release(policy());
            world.run_to_stage(stage);
            world.run(secs(12));
            let writes = world.platform.our_writes();
            act(&mut world, deed);
            assert_eq!(world.run_to_close().0, Outcome::Superseded, "{deed:?} at {stage}");
            assert_eq!(world.platform.our_writes(), writes, "{deed:?} at {stage}:\n{}", world.transcript());
            world.run(minutes(20));
            assert_eq!(world.platform.our_writes(), writes, "{deed:?} at {stage}:\n{}", world.transcript());
        }
    }
}

#[test]
fn a_person_who_pins_or_deploys_before_the_rollback_ends_the_incident_without_a_write() {
    for deed in [Act::Pin, Act::Deploy] {
        let mut world = World::with_bad_release(policy());
        world.run(secs(2));
        world.platform.make(Cause::Platform, Some(&"d3".into()), world.at);
        world.run_to_stage("validating");
        world.platform.in_progress = None;
        act(&mut world, deed);
        assert_eq!(world.run_to_close().0, Outcome::Superseded, "{deed:?}");
        assert_eq!(world.platform.our_writes(), 0);
    }
}

#[test]
fn a_person_who_acts_right_before_the_write_is_noticed_by_the_guard() {
    for deed in [Act::Pin, Act::Deploy] {
        let mut world = World::with_bad_release(policy());
        world.latency = secs(4);
        world.run_until(|world| world.count("validate") == 1);
        act(&mut world, deed);
        assert_eq!(world.run_to_close().0, Outcome::Superseded, "{deed:?}");
        assert_eq!(world.platform.our_writes(), 0);
    }
    let mut world = World::with_bad_release(policy());
    world.run_to_stage("soaking");
    world.run(minutes(10) - secs(4));
    act(&mut world, Act::Commit);
    assert_eq!(world.run_to_close().0, Outcome::Superseded);
    assert_eq!(world.platform.our_writes(), 1);
}

#[test]
fn a_release_takes_over_where_the_platform_does_not_say_when_it_was_created() {
    // Ids sort either way: d10 before d9.
    for count in 2..12 {
        let mut world = World::new(policy());
        world.platform.says_created = false;
        for _ in 2..count {
            world.release();
        }
        world.run(minutes(3));
        world.release_bad();
        world.reply("validate", Reply::Not(Rejection::Denied, Some(secs(30))));
        world.run(secs(12));
        assert_eq!(world.stage(), "validating", "{}", world.transcript());
        world.release_bad();
        assert_eq!(world.run_to_close().0, Outcome::Superseded, "{}", world.transcript());
    }
}

#[test]
fn a_person_s_no_is_heard_while_the_platform_asks_us_to_wait() {
    for deed in [None, Some(Act::Deploy)] {
        let mut world = World::with_bad_release(policy());
        world.reply("validate", Reply::Not(Rejection::RateLimited, Some(minutes(9))));
        world.run(secs(12));
        assert_eq!(world.stage(), "validating");
        match deed {
            Some(deed) => act(&mut world, deed),
            None => world.ask(Request::Reject),
        }
        world.run(secs(8));
        assert_eq!(world.closed.len(), 1, "{}", world.transcript());
    }
}

#[test]
fn a_restart_of_the_rolled_back_app_does_not_end_its_soak_badly() {
    let mut world = World::with_bad_release(policy());
    world.run_to_stage("soaking");
    act(&mut world, Act::Restart);
    let (outcome, _) = world.run_to_close();
    assert!(matches!(outcome, Outcome::Committed | Outcome::Superseded));
}

#[test]
fn a_deployment_over_our_pinned_rollback_leaves_the_pin_to_a_person_and_not_to_nobody() {
    let mut world = World::with_bad_release(policy());
    world.run_to_stage("soaking");
    // The platform's upkeep, which a pin does not keep away here.
    let (live, at) = (world.platform.active.clone(), world.at);
    let id = world.platform.make(Cause::Platform, Some(&live), at);
    world.platform.finish(&id, Phase::Active, at);
    world.run_to_close();
    world.run(minutes(2));
    assert!(world.platform.pinned.is_some());
    let Situation::Held(hold) = &world.state.situation else { panic!("forgotten:\n{}", world.transcript()) };
    assert_eq!(hold.pin, world.platform.pinned);
}

#[test]
fn a_restart_during_a_hold_does_not_make_its_pin_forgotten() {
    let mut policy = policy();
    policy.soak.on_unhealthy = crate::decision::policy::OnUnhealthy::Hold;
    let mut world = World::with_bad_release(policy);
    world.outage = true;
    world.run_to_close();
    world.outage = false;
    let (live, at) = (world.platform.active.clone(), world.at);
    let id = world.platform.make(Cause::Restart, Some(&live), at);
    world.platform.finish(&id, Phase::Active, at);
    world.run(secs(4));
    assert_eq!(world.state.live().map(|live| &live.id), Some(&id));
    assert_eq!(world.state.ledger.settled, [], "its pin is still there");
    world.run(minutes(5));
    let Situation::Held(hold) = &world.state.situation else { panic!("forgotten:\n{}", world.transcript()) };
    assert_eq!((&hold.pin, &hold.live.id), (&world.platform.pinned, &id));
    let at = world.at;
    assert!(world.platform.commit(Who::Person, at));
    world.run(minutes(1));
    assert_ne!(world.state.word(), "held");
}

#[test]
fn a_pin_of_somebody_else_s_ends_the_incident_by_its_name() {
    for stage in ["rolling_back", "soaking"] {
        let mut world = World::with_bad_release(policy());
        world.run_to_stage(stage);
        world.run(secs(12));
        act(&mut world, Act::Pin);
        assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::ForeignPin), "{stage}");
    }
}

#[test]
fn a_pin_that_a_person_settled_is_not_taken_for_a_forgotten_one_by_a_read_that_lags() {
    let mut world = World::with_bad_release(policy());
    world.run_to_stage("soaking");
    world.run(secs(12));
    let before = world.app.value().cloned().unwrap();
    act(&mut world, Act::Commit);
    assert_eq!(world.run_to_close().0, Outcome::Superseded);
    assert_eq!(world.state.word(), "learning", "what is live was not judged to its end");
    let at = world.at;
    world.app = Reading::known(at, before);
    world.step();
    assert_eq!(world.state.word(), "learning", "{}", world.transcript());
}

#[test]
fn a_restart_of_the_accused_release_does_not_end_its_incident() {
    let mut world = World::with_bad_release(policy());
    let release = world.platform.active.clone();
    world.reply("validate", Reply::Not(Rejection::RateLimited, Some(minutes(1))));
    world.run_to_stage("validating");
    act(&mut world, Act::Restart);
    let restart = world.platform.active.clone();
    world.bad.insert(restart.clone());
    // What a restart runs is not said here: it is what was accused.
    let entry = world.platform.deployments.last_mut().unwrap();
    let ran = std::mem::take(&mut entry.artifact);
    assert_eq!(world.run_to_close().0, Outcome::Committed, "{}", world.transcript());
    let accused = &world.closed[0].incident.accused;
    assert_eq!((&accused.id, &accused.artifact), (&restart, &ran));
    assert_eq!(world.state.ledger.accused, [release, restart]);
}

#[test]
fn an_older_answer_about_a_restart_does_not_change_who_is_accused() {
    let mut world = World::steady(policy());
    act(&mut world, Act::Restart);
    world.run(minutes(2));
    let before = world.app.value().cloned().unwrap();
    let release = world.release_bad();
    world.reply("validate", Reply::Not(Rejection::RateLimited, Some(minutes(1))));
    world.run_to_stage("validating");
    let at = world.at;
    world.app = Reading::known(at, before);
    world.step();
    let accused = world.state.incident().map(|incident| &incident.accused.id);
    assert_eq!(accused, Some(&release), "{}", world.transcript());
}
