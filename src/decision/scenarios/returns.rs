//! A rollback from our own rollback, where the platform knows no revert: what it may go back to, how often it is asked
//! for, and how long it is waited for.

use super::calls::LOST;
use super::picks::{BY_CODE, PICKS, accepting, changes, with_bad_release};
use super::world::{Reply, World, minutes, secs};
use crate::decision::capability::Capabilities;
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::Phase;
use crate::decision::policy::{OnUnhealthy, Policy};
use crate::decision::state::{Hold, Outcome, Situation};

/// A rollback that does not help, and is to be undone.
fn undoing(policy: Policy, capabilities: Capabilities) -> World {
    let mut policy = policy;
    policy.soak.on_unhealthy = OnUnhealthy::Revert;
    let mut world = with_bad_release(policy, capabilities);
    world.run_to_stage("soaking");
    world.bad.insert(world.platform.active.clone());
    world
}

#[test]
fn a_platform_that_picks_is_asked_only_where_it_would_pick_what_ran_before() {
    for (runs_the_same, end) in [(true, Outcome::Reverted), (false, Outcome::Held)] {
        let mut world = undoing(accepting(), PICKS);
        // Made after the accused release and before the rollback.
        let accused = world.platform.get(&"d3".into()).expect("the accused release").clone();
        let rollback = world.platform.deployments.pop().expect("the rollback");
        let mut other = accused.clone();
        (other.id, other.created_ms) = ("other".into(), rollback.created_ms - 1);
        if !runs_the_same {
            other.artifact.code = vec![("web".into(), "other".into())];
        }
        world.platform.deployments.extend([other, rollback]);
        assert_eq!(world.run_to_close(), (end, Reason::SoakUnhealthy), "{}", world.transcript());
        let asked = if runs_the_same { 2 } else { 1 };
        assert_eq!(world.count("create_rollback"), asked, "{}", world.transcript());
    }
}

#[test]
fn it_is_asked_for_three_times_where_that_does_no_harm() {
    let mut world = undoing(accepting(), BY_CODE);
    for _ in 0..5 {
        world.reply("create_rollback", LOST);
    }
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakUnhealthy), "{}", world.transcript());
    assert_eq!((world.count("create_rollback"), changes(&world)), (4, vec!["rollback"]));
}

#[test]
fn a_release_that_goes_live_meanwhile_ends_it() {
    let mut world = undoing(accepting(), BY_CODE);
    world.roll_out = None;
    world.run_until(|world| world.count("create_rollback") == 2);
    world.run(secs(10));
    world.release();
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
}

#[test]
fn what_keeps_it_waiting_is_said_and_a_pause_a_freeze_and_a_token_are_waited_for() {
    for (reply, why) in [
        (Reply::Guarded(Guard::Frozen), Reason::Freeze),
        (Reply::Guarded(Guard::Paused), Reason::Paused),
        (Reply::Not(Rejection::Denied, None), Reason::Denied),
    ] {
        let mut world = undoing(accepting(), BY_CODE);
        for _ in 0..2_000 {
            world.reply("create_rollback", reply.clone());
        }
        world.run(minutes(60));
        assert_eq!((world.stage(), world.waiting), ("reverting", Some(why)), "{}", world.transcript());
        world.script.clear();
        assert_eq!(
            world.run_to_close(),
            (Outcome::Reverted, Reason::SoakUnhealthy),
            "{}",
            world.transcript()
        );
    }
    // Anything else is given up on after half an hour.
    let mut world = undoing(accepting(), BY_CODE);
    for _ in 0..2_000 {
        world.reply("create_rollback", Reply::Guarded(Guard::Changed));
    }
    let now = world.at;
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakUnhealthy), "{}", world.transcript());
    let after = world.at.since(now);
    assert!((minutes(30)..minutes(32)).contains(&after), "{after:?}: {}", world.transcript());
    assert_eq!(changes(&world), ["rollback"]);
    // A person who asks for it again does not wait for what was waited for before.
    assert!(world.closed[0].incident.setbacks > 0);
    let Situation::Held(Hold { kept: Some(kept), .. }) = &world.state.situation else { panic!("held") };
    assert_eq!(kept.setbacks, 0);
}

#[test]
fn what_comes_back_may_be_something_else_which_is_told_once() {
    for (capabilities, setbacks, told) in [(PICKS, 0, 1), (PICKS, 2, 1), (BY_CODE, 2, 0)] {
        let mut world = undoing(accepting(), capabilities);
        for _ in 0..setbacks {
            world.reply("create_rollback", Reply::Not(Rejection::RateLimited, None));
        }
        assert_eq!(
            world.run_to_close(),
            (Outcome::Reverted, Reason::SoakUnhealthy),
            "{}",
            world.transcript()
        );
        let said = world.transcript();
        assert_eq!(said.matches("may not be exactly what ran before").count(), told, "{said}");
    }
}

#[test]
fn what_came_of_it_is_settled_where_it_is_what_was_wanted() {
    let is_settled = |world: &World| {
        let made = &world.platform.deployments.last().expect("one").id;
        world.state.ledger.settled.iter().any(|(id, _)| id == made)
    };
    let mut world = undoing(accepting(), BY_CODE);
    assert_eq!(world.run_to_close().0, Outcome::Reverted, "{}", world.transcript());
    assert!(is_settled(&world), "{}", world.transcript());
    let mut world = undoing(accepting(), BY_CODE);
    world.roll_out = None;
    world.run_until(|world| world.count("create_rollback") == 2);
    let made = world.platform.in_progress.clone().expect("under way");
    let at = world.at;
    world.platform.finish(&made, Phase::Error, at);
    assert_eq!(world.run_to_close().0, Outcome::Held, "{}", world.transcript());
    assert!(!is_settled(&world), "{}", world.transcript());
}
