//! What a person ordered to be left, where the order was lost: it is left once something came of it, and not where it is a
//! colleague's doing.

use super::calls::{LOST, late};
use super::later::runs_what;
use super::picks::{PICKS, accepting};
use super::platform::Who;
use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::capability::Pushes;
use crate::decision::effect::Reason;
use crate::decision::observation::{Accepted, Reading, Request};
use crate::decision::policy::{OnHealthy, Policy};
use crate::decision::state::{Outcome, Situation};
use crate::ids::DeploymentId;

#[test]
fn what_a_person_ordered_to_be_left_is_left_once_something_is_seen_of_it() {
    // Something comes of it after the hold was ended, while it lasts, or never.
    let cases = [(true, 1_200), (true, 600), (true, 0), (false, 1_200), (false, 600), (false, 0)];
    for (hard, lateness) in cases {
        let comes = lateness > 0;
        let mut world = World::steady(if hard { policy() } else { accepting() });
        if !hard {
            world.platform.capabilities = PICKS;
            world.platform.pushes = Some(Pushes::Deploy);
        }
        let left = world.release();
        world.run(minutes(1));
        (0..3).for_each(|_| world.reply("create_rollback", if comes { late(lateness) } else { LOST }));
        world.ask(Request::Rollback { to: None, accept: Accepted::default() });
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
        let is_left = |world: &World| world.state.ledger.condemned.iter().any(|(id, _)| *id == left);
        assert!(!is_left(&world), "it is live");
        world.run(minutes(15));
        world.ask(Request::Resume);
        world.run(minutes(15));
        assert_eq!(is_left(&world), comes, "hard: {hard}: {}", world.transcript());
        let count = usize::from(comes || !hard);
        assert_eq!(world.state.ledger.rollbacks.len(), count, "hard: {hard}: {}", world.transcript());
    }
}

#[test]
fn what_a_person_ordered_to_be_left_is_left_also_where_the_pin_is_gone_before_it_is_live() {
    let (mut world, left) = with_lost_order(policy(), 120);
    world.run_until(|world| world.state.word() == "held");
    assert!(world.platform.in_progress.is_some(), "{}", world.transcript());
    let at = world.at;
    world.platform.revert(Who::Person, at).expect("a pin");
    world.run(minutes(5));
    assert!(world.state.ledger.condemned.iter().any(|(id, _)| *id == left), "{}", world.transcript());
}

#[test]
fn what_a_colleague_goes_back_to_themselves_is_not_left() {
    let mut world = World::steady(accepting());
    world.platform.capabilities = PICKS;
    world.platform.pushes = Some(Pushes::Deploy);
    world.platform.says_cloned_from = false;
    let wanted = world.release();
    world.run(minutes(40));
    world.reply("create_rollback", LOST);
    world.ask(Request::Rollback { to: None, accept: Accepted::default() });
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
    world.ask(Request::Resume);
    world.run(minutes(1));
    world.release();
    world.run(minutes(5));
    let at = world.at;
    world.platform.rollback(Who::Person, &wanted, at, at).expect("made");
    world.run(minutes(5));
    assert!(runs_what(&world, &wanted));
    assert_eq!(world.state.word(), "held", "it may be ours: {}", world.transcript());
    assert_eq!(world.state.ledger.condemned, [], "{}", world.transcript());
}

#[test]
fn what_a_person_ordered_to_be_left_is_left_also_where_a_rollback_that_was_refused_is_there() {
    let mut world = World::steady(policy());
    let left = world.platform.active.clone();
    world.reply("create_rollback", Reply::Refused { status: 409, applied: true });
    world.ask(Request::Rollback { to: None, accept: Accepted::default() });
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::ForeignPin), "{}", world.transcript());
    assert!(world.state.ledger.condemned.iter().any(|(id, _)| *id == left), "{}", world.transcript());
}

#[test]
fn what_a_colleague_goes_back_to_themselves_is_not_left_where_rollbacks_are_pinned() {
    for is_taken_over in [false, true] {
        let mut world = World::steady(policy());
        let left = world.release();
        world.run(minutes(1));
        (0..3).for_each(|_| world.reply("create_rollback", LOST));
        world.ask(Request::Rollback { to: None, accept: Accepted::default() });
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
        world.ask(Request::Resume);
        world.run(secs(20));
        world.release();
        world.run(minutes(5));
        let at = world.at;
        world.platform.rollback(Who::Person, &left, at, at).expect("made");
        world.run(secs(20));
        assert_eq!(world.state.word(), "held", "it may be ours until it is live: {}", world.transcript());
        assert!(world.platform.in_progress.is_some());
        // At rest nobody lists.
        world.is_listless = true;
        world.history = Reading::never();
        if is_taken_over {
            world.ask(Request::Resume);
        }
        world.run(minutes(5));
        assert!(runs_what(&world, &left));
        assert_eq!(world.state.ledger.condemned, [], "{}", world.transcript());
    }
}

/// A person ordered a release to be left, which it gives; that got lost, and is applied so many seconds later. Another release is
/// live.
pub(super) fn with_lost_order(policy: Policy, lateness: u64) -> (World, DeploymentId) {
    let mut world = World::steady(policy);
    let left = world.platform.active.clone();
    world.reply("create_rollback", late(lateness));
    world.ask(Request::Rollback { to: None, accept: Accepted::default() });
    world.run_until(|world| world.count("create_rollback") == 1);
    world.release();
    assert_eq!(world.run_to_close().0, Outcome::Superseded, "{}", world.transcript());
    (world, left)
}

#[test]
fn what_a_person_ordered_to_be_left_is_left_although_its_pin_was_taken_over_before_it_was_live() {
    for is_settled in [false, true] {
        let (mut world, left) = with_lost_order(policy(), 120);
        world.run_until(|world| world.state.word() == "held");
        assert!(world.platform.in_progress.is_some(), "{}", world.transcript());
        world.is_listless = true;
        world.history = Reading::never();
        world.ask(Request::Resume);
        world.run(secs(4));
        if is_settled {
            let at = world.at;
            assert!(world.platform.commit(Who::Person, at));
        }
        world.run(minutes(5));
        let is_left = world.state.ledger.condemned.iter().any(|(id, _)| *id == left);
        assert!(is_left, "settled: {is_settled}: {}", world.transcript());
    }
}

#[test]
fn what_a_person_ordered_to_be_left_is_left_however_long_its_rollback_takes() {
    let (mut world, left) = with_lost_order(policy(), 3_500);
    world.roll_out = Some(minutes(45));
    world.run(minutes(130));
    assert_eq!(world.state.word(), "held", "{}", world.transcript());
    assert!(world.state.ledger.condemned.iter().any(|(id, _)| *id == left), "{}", world.transcript());
}

#[test]
fn what_a_person_takes_back_is_not_left_by_what_comes_of_their_order_late() {
    let mut policy = policy();
    policy.soak.on_healthy = OnHealthy::Hold;
    let mut world = World::steady(policy);
    let left = world.release();
    world.run(minutes(1));
    world.reply("create_rollback", late(2_400));
    world.ask(Request::Rollback { to: None, accept: Accepted::default() });
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakHealthy), "{}", world.transcript());
    assert!(world.state.ledger.condemned.iter().any(|(id, _)| *id == left), "{}", world.transcript());
    world.ask(Request::Revert);
    world.run_until(|world| world.closed.len() == 2);
    assert_eq!(world.ended(), (Outcome::Reverted, Reason::Requested), "{}", world.transcript());
    world.run(minutes(40));
    assert_eq!(world.state.word(), "held", "the first request was applied: {}", world.transcript());
    assert_eq!(world.state.ledger.condemned, [], "{}", world.transcript());
}

#[test]
fn a_person_s_order_that_is_applied_late_is_known_whatever_the_platform_calls_it() {
    for says_rollback in [true, false] {
        let mut world = World::steady(accepting());
        world.platform.capabilities = PICKS;
        world.platform.pushes = Some(Pushes::Deploy);
        world.platform.says_cloned_from = false;
        world.platform.says_rollback = says_rollback;
        let left = world.release();
        world.run(minutes(1));
        world.reply("create_rollback", late(900));
        world.ask(Request::Rollback { to: None, accept: Accepted::default() });
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
        world.run(secs(20));
        world.release();
        world.run(secs(20));
        assert_eq!(world.state.word(), "watching", "{}", world.transcript());
        world.run(minutes(20));
        assert!(runs_what(&world, &left), "{}", world.transcript());
        assert_eq!(world.state.word(), "held", "{says_rollback}: {}", world.transcript());
    }
}

#[test]
fn what_a_lost_order_was_to_leave_is_not_left_by_another_incident_s_rollback() {
    let mut policy = policy();
    policy.soak.on_healthy = OnHealthy::Hold;
    let mut world = World::steady(policy);
    let left = world.release();
    world.run(minutes(1));
    (0..3).for_each(|_| world.reply("create_rollback", LOST));
    world.ask(Request::Rollback { to: None, accept: Accepted::default() });
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
    world.ask(Request::Resume);
    world.run(secs(20));
    let bad = world.release_bad();
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakHealthy), "{}", world.transcript());
    world.ask(Request::Resume);
    world.run(minutes(2));
    let condemned: Vec<_> = world.state.ledger.condemned.iter().map(|(id, _)| id).collect();
    assert_eq!(condemned, [&bad], "and not {left}: {}", world.transcript());
}

#[test]
fn of_two_lost_requests_that_may_have_made_a_pin_it_is_the_order_to_leave_a_release_in_all_that_is_told() {
    for is_resumed in [false, true] {
        let mut world = World::steady(policy());
        world.release_bad();
        (0..3).for_each(|_| world.reply("create_rollback", LOST));
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
        world.ask(Request::Resume);
        world.run(secs(20));
        let left = world.release();
        world.run(minutes(1));
        [late(600), LOST, LOST].into_iter().for_each(|reply| world.reply("create_rollback", reply));
        world.ask(Request::Rollback { to: None, accept: Accepted::default() });
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
        let ordered = world.closed[1].incident.id.clone();
        world.ask(Request::Resume);
        world.run_until(|world| world.state.word() == "held");
        let Situation::Held(hold) = &world.state.situation else { panic!("{}", world.transcript()) };
        assert_eq!(hold.incident, ordered, "{}", world.transcript());
        assert!(world.platform.in_progress.is_some(), "what it is cannot be told yet");
        if is_resumed {
            world.ask(Request::Resume);
        }
        world.run(minutes(5));
        let of = world.state.ledger.made_for(&world.platform.active);
        assert!(is_resumed || of == Some(&ordered), "{}", world.transcript());
        assert!(world.state.ledger.condemned.iter().any(|(id, _)| *id == left), "{}", world.transcript());
    }
}
