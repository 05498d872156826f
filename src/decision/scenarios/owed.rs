//! A pause of pushes that is owed its end and cannot be ended now: it is said, and ends as soon as it may.

use super::calls::{LOST, late};
use super::picks::{PICKS, accepting, changes, with_bad_release};
use super::platform::Who;
use super::pushes::run_until_let_go;
use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::capability::Pushes;
use crate::decision::effect::{Reason, Rejection};
use crate::decision::observation::{ReadFault, Request};
use crate::decision::policy::{Mode, OnHealthy};
use crate::decision::readiness::is_quiet;
use crate::decision::state::{Outcome, Situation};

/// Pushes stay paused for an hour, which is said all the while, and are let go once rearguard may act again.
fn is_told_until_it_ends(mut world: World) {
    for _ in 0..6 {
        world.run(minutes(10));
        assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{}", world.transcript());
        assert_eq!(world.waiting, Some(Reason::ObserveMode), "{}", world.transcript());
    }
    world.policy.mode = Mode::Enforce;
    run_until_let_go(&mut world);
    assert_eq!(changes(&world), ["pause", "rollback", "let go"], "{}", world.transcript());
}

#[test]
fn a_soak_that_may_not_let_pushes_go_ends_in_a_hold() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.run_to_stage("soaking");
    world.policy.mode = Mode::Observe;
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::ObserveMode), "{}", world.transcript());
    world.run(minutes(60));
    assert_eq!((world.state.word(), world.platform.pushes), ("held", Some(Pushes::Paused)));
    assert_eq!(world.waiting, Some(Reason::ObserveMode));
    // A person ends it once rearguard may act.
    world.policy.mode = Mode::Enforce;
    world.run(minutes(1));
    world.ask(Request::Commit);
    assert_eq!(world.ended(), (Outcome::Committed, Reason::Requested), "{}", world.transcript());
    run_until_let_go(&mut world);
    assert_eq!(changes(&world), ["pause", "rollback", "let go"], "{}", world.transcript());
}

#[test]
fn a_pause_that_is_left_to_mode_observe_is_said_until_it_ends() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.run_to_stage("soaking");
    world.policy.mode = Mode::Observe;
    world.release();
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
    is_told_until_it_ends(world);

    let mut policy = accepting();
    policy.soak.on_healthy = OnHealthy::Hold;
    let mut world = with_bad_release(policy, PICKS);
    world.run_to_close();
    world.policy.mode = Mode::Observe;
    world.run(minutes(1));
    world.ask(Request::Resume);
    is_told_until_it_ends(world);
}

#[test]
fn a_token_that_may_not_let_pushes_go_is_said() {
    let mut world = with_bad_release(accepting(), PICKS);
    for _ in 0..100 {
        world.reply("unpin", Reply::Not(Rejection::Denied, None));
    }
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run(minutes(10));
    assert_eq!((world.state.word(), world.waiting), ("steady", Some(Reason::Denied)));
    // An incident says what it waits for itself, and nothing else.
    let mut again = world.clone();
    (again.policy.limits.cooldown, again.latency) = (secs(0), secs(10));
    again.release_bad();
    again.run_to_stage("validating");
    assert_eq!(again.waiting, None, "{}", again.transcript());
    world.script.clear();
    run_until_let_go(&mut world);
    world.run(secs(4));
    assert_eq!(world.waiting, None, "{}", world.transcript());
}

#[test]
fn an_app_that_is_deleted_is_owed_nothing_after_a_while() {
    let deleted = || {
        let mut world = with_bad_release(accepting(), PICKS);
        world.run_to_stage("soaking");
        for _ in 0..3 {
            world.reply("unpin", Reply::Not(Rejection::NotConnected, None));
        }
        world.run_to_close();
        world.fault = Some(ReadFault::NotFound);
        world.run(minutes(25));
        assert!(world.state.ledger.soft_pin.is_some(), "{}", world.transcript());
        world
    };
    for is_restarted in [true, false] {
        let mut world = deleted();
        let asked = world.count("unpin");
        if is_restarted {
            // A process that begins has heard nothing of that yet.
            world.restart();
            world.run(minutes(25));
            assert!(!world.state.is_gone(), "{}", world.transcript());
        }
        world.run(minutes(10));
        assert!(world.state.is_gone(), "{}", world.transcript());
        world.run(minutes(300));
        assert_eq!(world.transcript().matches("the platform has no such app any more").count(), 1);
        assert_eq!((world.count("unpin"), world.state.owed()), (asked, None), "{}", world.transcript());
        // It comes back after hours, paused as it was.
        world.fault = Some(ReadFault::Unreachable);
        world.run(minutes(5));
        assert!(world.state.is_gone() && world.count("unpin") == asked, "{}", world.transcript());
        world.fault = None;
        run_until_let_go(&mut world);
        assert_eq!(changes(&world), ["pause", "rollback", "let go"], "{}", world.transcript());
    }
    // One that comes back in time is let go of as any other.
    let mut world = deleted();
    world.fault = None;
    world.run(secs(30));
    world.fault = Some(ReadFault::Unreachable);
    world.run(minutes(40));
    world.fault = None;
    run_until_let_go(&mut world);
    assert_eq!(changes(&world), ["pause", "rollback", "let go"], "{}", world.transcript());
}

#[test]
fn a_hold_of_an_app_that_is_deleted_keeps_a_pin_only_where_that_is_a_pause_of_ours() {
    for is_hard in [true, false] {
        let mut policy = accepting();
        policy.soak.on_healthy = OnHealthy::Hold;
        let mut world =
            if is_hard { World::with_bad_release(policy) } else { with_bad_release(policy, PICKS) };
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakHealthy), "{}", world.transcript());
        let pin = |world: &World| match &world.state.situation {
            Situation::Held(hold) => hold.pin.clone(),
            _ => panic!("not held:\n{}", world.transcript()),
        };
        world.fault = Some(ReadFault::NotFound);
        world.run(minutes(29));
        assert!(pin(&world).is_some(), "{}", world.transcript());
        world.run(minutes(60));
        assert_eq!((pin(&world).is_some(), world.state.is_gone()), (!is_hard, !is_hard));
        assert_eq!(world.transcript().matches("the platform has no such app").count(), 1);
        // If it was not so after all, a pin that the platform shows is held again.
        world.fault = None;
        world.run(minutes(1));
        assert!(pin(&world).is_some() && !world.state.is_gone(), "{}", world.transcript());
        world.ask(Request::Resume);
        world.run(minutes(1));
        assert_ne!(world.state.word(), "held", "{}", world.transcript());
        let expected: &[_] = if is_hard { &["rollback"] } else { &["pause", "rollback", "let go"] };
        assert_eq!(changes(&world), expected, "{}", world.transcript());
    }
}

#[test]
fn an_outage_between_two_answers_does_not_tell_that_an_app_is_gone() {
    let answers = |world: &mut World, faults: &[(ReadFault, u64)]| {
        for (fault, lasts) in faults {
            world.fault = Some(*fault);
            world.run(minutes(*lasts));
        }
    };
    let (gone, down) = (ReadFault::NotFound, ReadFault::Unreachable);
    let mut world = with_bad_release(accepting(), PICKS);
    (0..3).for_each(|_| world.reply("unpin", Reply::Not(Rejection::NotConnected, None)));
    world.run_to_close();
    answers(&mut world, &[(gone, 1), (down, 40), (gone, 5)]);
    assert!(world.state.ledger.soft_pin.is_some(), "{}", world.transcript());
    // A failure now and then is no outage.
    answers(&mut world, &[(down, 3), (gone, 10), (down, 3), (gone, 10)]);
    assert!(world.state.is_gone(), "{}", world.transcript());
    // Nor is one answer enough after an outage.
    let mut world = World::with_bad_release(policy());
    world.reply("commit", LOST);
    world.run_until(|world| world.count("commit") == 1);
    answers(&mut world, &[(down, 40), (gone, 5)]);
    assert_eq!(world.state.word(), "incident", "{}", world.transcript());
    answers(&mut world, &[(gone, 30)]);
    assert_eq!(world.ended(), (Outcome::Held, Reason::Blind), "{}", world.transcript());
}

#[test]
fn readiness_is_asked_for_while_a_pause_is_only_looked_out_for() {
    let mut world = with_bad_release(accepting(), PICKS);
    for _ in 0..3 {
        world.reply("pin", LOST);
    }
    world.run_to_stage("soaking");
    assert!(!is_quiet(&world.state));
    world.run_to_close();
    world.run(minutes(1));
    assert!(world.state.ledger.soft_pin.is_some() && is_quiet(&world.state), "{}", world.transcript());
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("unpin", LOST);
    world.run_to_close();
    world.run_until(|world| world.count("unpin") == 1);
    assert!(!is_quiet(&world.state), "{}", world.transcript());
}

#[test]
fn a_pause_that_comes_too_late_to_be_surely_ours_is_told_once_and_stays() {
    for lateness in [400, 900, 1_500] {
        let mut policy = accepting();
        policy.soak.period = minutes(1);
        let mut world = with_bad_release(policy, PICKS);
        world.reply("pin", late(lateness));
        world.run_to_close();
        let until = world.at + minutes(30);
        world.run_until(|world| world.at >= until);
        let told = |world: &World| world.transcript().matches("by what rearguard asked for").count();
        assert_eq!(
            (world.platform.pushes, told(&world)),
            (Some(Pushes::Paused), 1),
            "{}",
            world.transcript()
        );
        assert_eq!(world.waiting, Some(Reason::ForeignPin));
        assert_eq!(changes(&world), ["pause", "rollback", "let go", "pause"], "{}", world.transcript());
        // Somebody lets them go: that pause was theirs, and ours may come yet. It is told again, and stays.
        let at = world.at;
        world.platform.set_pushes(Who::Person, Pushes::Deploy, at);
        world.run(secs(10));
        assert_eq!(world.waiting, None, "{}", world.transcript());
        let at = world.at;
        world.platform.set_pushes(Who::Person, Pushes::Paused, at);
        world.run(minutes(5));
        assert_eq!((told(&world), changes(&world).len()), (2, 4), "{}", world.transcript());
        // After the hour nothing of ours comes any more.
        world.platform.set_pushes(Who::Person, Pushes::Deploy, world.at);
        world.run(minutes(60));
        assert_eq!(world.state.ledger.soft_pin, None, "{}", world.transcript());
    }
}

#[test]
fn what_is_told_of_a_pause_that_may_be_ours_is_told_for_an_hour() {
    let mut policy = accepting();
    policy.soak.period = minutes(1);
    let mut world = with_bad_release(policy, PICKS);
    world.reply("pin", LOST);
    world.run_to_close();
    run_until_let_go_once(&mut world);
    world.run(minutes(40));
    assert_eq!(world.waiting, None);
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Paused, at);
    world.run(minutes(59));
    assert_eq!(world.waiting, Some(Reason::ForeignPin), "{}", world.transcript());
    world.run(minutes(2));
    assert_eq!((&world.state.ledger.soft_pin, world.waiting), (&None, None), "{}", world.transcript());
    // Nothing is told of one that comes when the request is forgotten.
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("pin", LOST);
    world.run_to_close();
    world.run(minutes(61));
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Paused, at);
    world.run(minutes(1));
    assert_eq!((&world.state.ledger.soft_pin, world.waiting), (&None, None), "{}", world.transcript());
}

fn run_until_let_go_once(world: &mut World) {
    world.run_until(|world| changes(world).contains(&"let go"));
}

#[test]
fn a_pause_that_was_lost_is_told_when_it_comes_although_another_incident_has_paused_pushes_since() {
    for reply in [None, Some(LOST), Some(Reply::Not(Rejection::RateLimited, None))] {
        let mut policy = accepting();
        policy.soak.period = minutes(1);
        policy.limits.cooldown = secs(1);
        let mut world = with_bad_release(policy, PICKS);
        world.reply("pin", late(2_400));
        world.run_to_close();
        run_until_let_go_once(&mut world);
        // Until it is only told of.
        world.run(minutes(10));
        let before = world.state.ledger.soft_pin.clone().expect("remembered");
        assert!(!before.may_be_ours(world.at), "{}", world.transcript());
        world.release_bad();
        world.script.clear();
        reply.into_iter().for_each(|reply| world.reply("pin", reply));
        world.run_until(|world| world.closed.len() == 2);
        assert_eq!(world.ended(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        let let_go = |world: &World| changes(world).iter().filter(|change| **change == "let go").count() == 2;
        world.run_until(let_go);
        world.run(minutes(30));
        let told = world.transcript().matches("by what rearguard asked for").count();
        assert_eq!((world.platform.pushes, told), (Some(Pushes::Paused), 1), "{}", world.transcript());
    }
}

#[test]
fn an_old_read_does_not_end_the_showing_of_a_pause_that_may_be_ours() {
    let mut policy = accepting();
    policy.soak.period = minutes(1);
    let mut world = with_bad_release(policy, PICKS);
    world.reply("pin", late(900));
    world.run_to_close();
    world.run_until(|world| world.waiting == Some(Reason::ForeignPin));
    world.platform.pushes = Some(Pushes::Deploy);
    world.run(secs(10));
    world.platform.pushes = Some(Pushes::Paused);
    world.run(minutes(5));
    assert_eq!(world.waiting, Some(Reason::ForeignPin), "{}", world.transcript());
}
