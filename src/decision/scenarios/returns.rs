//! A rollback from our own rollback, where the platform knows no revert: what it may go back to, how often it is asked
//! for, and how long it is waited for.

use super::calls::{LOST, comes_back};
use super::picks::{BY_CODE, PICKS, accepting, changes, with_bad_release};
use super::world::{Reply, World, minutes, secs};
use crate::decision::capability::Capabilities;
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::{Cause, Phase, ReadFault, Request};
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

#[test]
fn what_is_not_waited_for_any_more_is_not_said_while_nobody_can_look() {
    for (fault, why) in [(ReadFault::Unreachable, Reason::Blind), (ReadFault::Denied, Reason::Denied)] {
        let mut world = undoing(accepting(), BY_CODE);
        for _ in 0..2 {
            world.reply("create_rollback", Reply::Guarded(Guard::Paused));
        }
        world.run_until(|world| world.count("create_rollback") == 3);
        assert_eq!(world.waiting, Some(Reason::Paused), "{}", world.transcript());
        world.fault = Some(fault);
        world.read();
        // It waits for two seconds, after the second time.
        world.tick();
        assert_eq!(world.waiting, Some(why), "{}", world.transcript());
    }
}

#[test]
fn what_begins_while_it_is_refused_is_not_waited_for() {
    let mut world = undoing(accepting(), BY_CODE);
    world.platform.says_code_late = true;
    world.reply("create_rollback", Reply::Refused { status: 409, applied: false });
    world.run_until(|world| world.count("create_rollback") == 2);
    world.platform.make(Cause::Release, None, world.at);
    let now = world.at;
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakUnhealthy), "{}", world.transcript());
    assert!(world.at.since(now) < minutes(2), "{}", world.transcript());
}

#[test]
fn one_that_got_lost_is_looked_at_again_when_its_time_is_over() {
    let mut world = undoing(accepting(), BY_CODE);
    world.reply("create_rollback", LOST);
    world.run_until(|world| world.count("create_rollback") == 2);
    let now = world.at;
    world.run(secs(8));
    assert_eq!(world.wake_at, Some(now + world.policy.reconcile), "{}", world.transcript());
}

#[test]
fn what_there_is_to_go_back_to_is_looked_at_as_soon_as_it_is_needed() {
    // The soak's end; a person's word; and a request that waited for the end of a pause.
    for case in 0..3 {
        let mut policy = accepting();
        policy.soak.on_unhealthy = OnUnhealthy::Revert;
        let mut world = with_bad_release(policy, BY_CODE);
        world.run_to_stage("soaking");
        let rollback = world.platform.active.clone();
        if case == 2 {
            world.reply("create_rollback", Reply::Not(Rejection::RateLimited, Some(secs(10))));
            world.bad.insert(rollback.clone());
            world.run_to_stage("reverting");
            world.operator.paused = true;
            world.run(secs(20));
        }
        let sent = world.count("create_rollback");
        // The list is not to be had for a while.
        world.is_listless = true;
        world.run(minutes(2));
        match case {
            0 => drop(world.bad.insert(rollback)),
            1 => world.ask(Request::Revert),
            _ => world.operator.paused = false,
        }
        world.run(secs(10));
        assert_eq!(world.waiting, Some(Reason::Blind), "{case}: {}", world.transcript());
        // Long before the next read that is due by itself.
        world.run_until(|world| world.polled_at == world.at);
        world.is_listless = false;
        world.tick();
        assert_eq!(world.count("create_rollback"), sent + 1, "{case}: {}", world.transcript());
    }
}

#[test]
fn a_return_that_went_live_while_we_were_away_is_seen_to_be_there_however_long_that_was() {
    for away in [45, 70, 600] {
        for restarts in [false, true] {
            let mut world = undoing(accepting(), BY_CODE);
            world.run_until(|world| world.stage() == "reverting" && world.platform.in_progress.is_some());
            world.run(secs(6));
            comes_back(&mut world, minutes(away), restarts);
            let said = world.transcript();
            assert_eq!(world.run_to_close(), (Outcome::Reverted, Reason::SoakUnhealthy), "{away}: {said}");
        }
    }
}
