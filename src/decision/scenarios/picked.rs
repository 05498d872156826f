//! What a platform picked by itself: found when its answer was lost, and held until a person has acted.

use super::calls::{APPLIED, LOST, late};
use super::picks::{BY_CODE, PICKS, accepting, changes, with_bad_release};
use super::platform::Who;
use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::capability::{Capabilities, PinKind, Pushes, Targeting};
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::{Cause, Phase, ReadFault, Reading, Request};
use crate::decision::policy::OnUnhealthy;
use crate::decision::state::Outcome;

/// Nothing keeps pushes away either.
const UNPINNED: Capabilities = Capabilities { pin: PinKind::Absent, ..PICKS };

fn picks_the_oldest(world: &mut World) {
    world.platform.picks = Some(world.platform.deployments[0].id.clone());
}

#[test]
fn what_came_back_instead_is_held_until_a_person_has_acted_whatever_goes_live_by_itself() {
    for capabilities in [PICKS, UNPINNED] {
        let mut world = with_bad_release(accepting(), capabilities);
        picks_the_oldest(&mut world);
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
        let made = world.platform.rollback_under_way();
        world.run(minutes(10));
        assert_eq!((Some(&world.platform.active), world.state.word()), (made.as_ref(), "held"));
        // The platform's upkeep is nobody's answer.
        world.platform.upkeep(world.at);
        world.run(minutes(10));
        assert_eq!(world.state.word(), "held", "{}", world.transcript());
        // A release is.
        world.release();
        world.run(minutes(1));
        assert_ne!(world.state.word(), "held", "{}", world.transcript());
        // And so is a word.
        let mut world = with_bad_release(accepting(), capabilities);
        picks_the_oldest(&mut world);
        world.run_to_close();
        world.run(minutes(10));
        world.ask(Request::Resume);
        world.run(secs(10));
        assert_ne!(world.state.word(), "held", "{}", world.transcript());
    }
}

#[test]
fn what_is_restarted_with_other_code_is_a_person_s_answer() {
    for (runs_the_same, state) in [(true, "held"), (false, "learning")] {
        let mut world = with_bad_release(accepting(), UNPINNED);
        picks_the_oldest(&mut world);
        world.run_to_close();
        world.run(minutes(10));
        let (live, at) = (world.platform.active.clone(), world.at);
        let made = world.platform.make(Cause::Restart, runs_the_same.then_some(&live), at);
        world.platform.finish(&made, Phase::Active, at);
        world.run(secs(10));
        assert_eq!(world.state.word(), state, "{}", world.transcript());
    }
}

#[test]
fn a_lost_rollback_that_the_platform_led_elsewhere_is_found_and_told_as_such() {
    for (capabilities, says_rollback) in [(PICKS, true), (UNPINNED, true), (PICKS, false), (UNPINNED, false)]
    {
        let mut world = with_bad_release(accepting(), capabilities);
        if says_rollback {
            picks_the_oldest(&mut world);
        } else {
            // It goes "back" to what is live, and calls that a release.
            world.platform.says_rollback = false;
            world.platform.picks = Some(world.platform.active.clone());
        }
        world.reply("create_rollback", APPLIED);
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
        assert!(!world.transcript().contains("no trace"), "{}", world.transcript());
        world.run(minutes(10));
        assert_eq!((world.state.word(), world.count("create_rollback")), ("held", 1));
    }
}

#[test]
fn two_rollbacks_of_which_one_is_a_colleague_s_are_a_person_s_to_settle() {
    let mut world = with_bad_release(accepting(), PICKS);
    picks_the_oldest(&mut world);
    world.reply("create_rollback", APPLIED);
    world.run_until(|world| world.platform.rollback_under_way().is_some());
    let (target, at) = (world.platform.deployments[1].id.clone(), world.at);
    world.platform.rollback(Who::Person, &target, at, at);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
    assert!(!world.transcript().contains("applied after all"), "{}", world.transcript());
    assert_eq!(world.count("create_rollback"), 1);
}

#[test]
fn a_lost_rollback_that_hides_what_it_runs_until_it_is_live_is_waited_for() {
    for capabilities in [UNPINNED, BY_CODE] {
        for says_rollback in [true, false] {
            let mut world = with_bad_release(accepting(), capabilities);
            (world.platform.says_code_late, world.platform.says_rollback) = (true, says_rollback);
            world.roll_out = Some(world.policy.reconcile + minutes(2));
            world.reply("create_rollback", APPLIED);
            let end = world.run_to_close();
            assert_eq!(end, (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
            assert_eq!((changes(&world), world.count("create_rollback")), (vec!["rollback"], 1));
        }
    }
}

#[test]
fn a_lost_rollback_that_failed_before_it_said_what_it_runs_is_not_asked_for_again() {
    let mut world = with_bad_release(accepting(), BY_CODE);
    (world.platform.says_code_late, world.platform.says_rollback) = (true, false);
    world.roll_out = None;
    world.reply("create_rollback", APPLIED);
    world.run_until(|world| world.platform.rollback_under_way().is_some());
    world.run(minutes(5));
    assert_eq!(world.waiting, Some(Reason::InProgress), "{}", world.transcript());
    let (made, at) = (world.platform.rollback_under_way().expect("under way"), world.at);
    world.platform.finish(&made, Phase::Error, at);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
    assert_eq!(world.count("create_rollback"), 1);
    assert_eq!(world.state.ledger.rollbacks.len(), 1, "the next one waits for the cooldown all the same");
}

#[test]
fn a_request_that_may_yet_be_applied_counts_although_nothing_is_seen_of_it() {
    for capabilities in [PICKS, UNPINNED] {
        let mut world = with_bad_release(accepting(), capabilities);
        world.reply("create_rollback", LOST);
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
        assert_eq!(world.state.ledger.rollbacks, [world.at]);
        // A newer release is a person's answer, and is not the next one to be rolled back at once.
        world.release();
        world.run(minutes(5));
        world.release_bad();
        assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Cooldown), "{}", world.transcript());
        assert_eq!(world.count("create_rollback"), 1);
    }
}

#[test]
fn a_request_that_counted_and_comes_to_light_later_counts_from_then_on_and_once() {
    // As no platform is that is known: it picks by itself, and its pin says what it made.
    let mut world = with_bad_release(accepting(), Capabilities { pin: PinKind::Hard, ..PICKS });
    world.reply("create_rollback", late(300));
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
    assert_eq!(world.state.ledger.rollbacks, [world.at]);
    world.run_until(|world| world.platform.pinned.is_some());
    world.run(secs(10));
    let [came_to_light] = world.state.ledger.rollbacks[..] else { panic!("{}", world.transcript()) };
    assert!(world.at.since(came_to_light) <= secs(10), "{}", world.transcript());
}

/// A soak of a rollback that does not help, in a process that has just begun and cannot read what exists.
fn blind_before_a_return() -> World {
    let mut policy = policy();
    policy.soak.on_unhealthy = OnUnhealthy::Revert;
    let mut world = with_bad_release(policy, BY_CODE);
    world.run_to_stage("soaking");
    world.bad.insert(world.platform.active.clone());
    (world.history, world.fault) = (Reading::never(), Some(ReadFault::Unreachable));
    world
}

#[test]
fn a_soak_that_has_to_be_undone_and_cannot_yet_is_told_once() {
    let mut world = blind_before_a_return();
    world.run(minutes(5));
    assert_eq!((world.stage(), world.waiting), ("soaking", Some(Reason::Blind)), "{}", world.transcript());
    world.fault = None;
    assert_eq!(world.run_to_close(), (Outcome::Reverted, Reason::SoakUnhealthy), "{}", world.transcript());
    assert_eq!(world.transcript().matches("the soak is over").count(), 1, "{}", world.transcript());
    assert_eq!(changes(&world), ["rollback", "rollback"]);
}

#[test]
fn a_soak_that_nobody_can_undo_ends_in_a_hold() {
    let mut world = blind_before_a_return();
    let now = world.at;
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakUnhealthy), "{}", world.transcript());
    assert!(world.at.since(now) >= world.policy.soak.period * 2, "{}", world.transcript());
    assert!(!world.transcript().contains("the soak is over"), "{}", world.transcript());
}

#[test]
fn a_lost_return_that_hides_what_it_runs_until_it_is_live_is_waited_for() {
    let mut policy = policy();
    policy.soak.on_unhealthy = OnUnhealthy::Revert;
    for says_rollback in [true, false] {
        let mut world = with_bad_release(policy.clone(), BY_CODE);
        world.run_to_stage("soaking");
        (world.platform.says_code_late, world.platform.says_rollback) = (true, says_rollback);
        world.roll_out = Some(world.policy.reconcile + minutes(2));
        world.reply("create_rollback", APPLIED);
        world.bad.insert(world.platform.active.clone());
        assert_eq!(
            world.run_to_close(),
            (Outcome::Reverted, Reason::SoakUnhealthy),
            "{}",
            world.transcript()
        );
        assert_eq!(world.count("create_rollback"), 2, "{}", world.transcript());
        world.run(minutes(10));
        assert_eq!(world.count("create_rollback"), 2, "{}", world.transcript());
    }
}

#[test]
fn a_lost_rollback_that_comes_late_and_looks_like_the_accused_release_ends_no_hold() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.platform.says_rollback = false;
    world.platform.picks = Some(world.platform.active.clone());
    world.reply("create_rollback", Reply::Lost { applied_after: Some(minutes(10)) });
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
    world.run(minutes(30));
    assert_eq!((world.state.word(), world.count("create_rollback")), ("held", 1), "{}", world.transcript());
}

#[test]
fn a_release_that_runs_what_was_gone_back_to_ends_a_hold_where_rollbacks_are_pinned() {
    let mut world = World::with_bad_release(policy());
    for _ in 0..3 {
        world.reply("create_rollback", LOST);
    }
    let (outcome, _) = world.run_to_close();
    assert_eq!(outcome, Outcome::Held, "{}", world.transcript());
    let (good, at) = (world.platform.deployments[1].id.clone(), world.at);
    world.platform.says_cloned_from = false;
    let made = world.platform.make(Cause::Release, Some(&good), at);
    world.platform.finish(&made, Phase::Active, at);
    world.run(minutes(1));
    assert_ne!(world.state.word(), "held", "{}", world.transcript());
}

#[test]
fn a_pause_that_was_found_is_not_looked_for_any_more() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("pin", APPLIED);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run_until(|world| world.count("unpin") == 1);
    // Whoever pauses pushes then means it.
    world.run(minutes(2));
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Paused, at);
    world.run(minutes(90));
    assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{}", world.transcript());
    assert_eq!(changes(&world), ["pause", "rollback", "let go"]);
}

#[test]
fn a_pause_of_a_person_is_undone_once_at_most_for_requests_that_were_lost() {
    // One was lost, and the next one answered: the pause that was let go is all that came of them.
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("pin", LOST);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run_until(|world| world.count("unpin") == 1);
    let pauses = |world: &mut World| {
        world.run(minutes(2));
        let at = world.at;
        world.platform.set_pushes(Who::Person, Pushes::Paused, at);
        world.run(minutes(70));
        assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{}", world.transcript());
        assert_eq!(world.state.ledger.soft_pin, None);
    };
    pauses(&mut world);
    assert_eq!(changes(&world), ["pause", "rollback", "let go"]);
    // All were lost and nothing was seen of them: the first pause that is seen may be what came of one.
    let mut world = with_bad_release(accepting(), PICKS);
    (0..3).for_each(|_| world.reply("pin", LOST));
    world.run_to_close();
    world.run(minutes(5));
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Paused, at);
    world.run_until(|world| world.platform.pushes == Some(Pushes::Deploy));
    pauses(&mut world);
    assert_eq!(changes(&world), ["rollback", "let go"]);
}

#[test]
fn a_lost_pause_that_comes_soon_after_pushes_were_let_go_is_let_go_as_well() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("pin", late(200));
    world.run_until(|world| world.platform.rollback_under_way().is_some());
    world.release();
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
    world.run(minutes(6));
    assert_eq!(changes(&world), ["pause", "rollback", "let go", "pause", "let go"], "{}", world.transcript());
}

#[test]
fn a_read_from_before_pushes_were_let_go_lets_nothing_go_again() {
    for lag in [secs(0), secs(60)] {
        let mut world = with_bad_release(accepting(), PICKS);
        world.reply("pin", LOST);
        world.reply("pin", APPLIED);
        world.run_to_close();
        world.lag = lag;
        world.run_until(|world| world.count("unpin") == 1);
        world.run(minutes(5));
        assert_eq!(world.count("unpin"), 1, "{}", world.transcript());
    }
}

#[test]
fn an_app_of_which_a_closer_look_shows_that_it_cannot_be_pinned_is_rolled_back_without() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("pin", Reply::Guarded(Guard::Changed));
    world.run_until(|world| world.count("pin") == 1);
    // From here on every read of the app shows it.
    world.platform.capabilities = UNPINNED;
    world.platform.pushes = None;
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(changes(&world), ["rollback"]);
    assert!(world.count("pin") == 2 && world.transcript().contains("pushes could not be kept"));
}

#[test]
fn a_picture_that_keeps_changing_is_looked_at_less_and_less_often() {
    let mut world = with_bad_release(accepting(), PICKS);
    for _ in 0..100 {
        world.reply("pin", Reply::Guarded(Guard::Changed));
    }
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Blind), "{}", world.transcript());
    assert!((3..60).contains(&world.count("pin")), "{}", world.count("pin"));
    assert!(changes(&world).is_empty());
}

#[test]
fn a_pause_of_a_person_after_ours_was_refused_is_left_alone() {
    for after in [minutes(3), minutes(20)] {
        let mut world = with_bad_release(accepting(), PICKS);
        world.reply("pin", Reply::Refused { status: 409, applied: false });
        world.run_to_stage("soaking");
        world.run(after);
        let at = world.at;
        world.platform.set_pushes(Who::Person, Pushes::Paused, at);
        world.run(minutes(90));
        assert_eq!(world.closed[0].outcome, Outcome::Committed, "{}", world.transcript());
        assert_eq!((changes(&world), world.platform.pushes), (vec!["rollback"], Some(Pushes::Paused)));
    }
    // A refusal is no proof: what comes about soon is ours, and let go.
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("pin", Reply::Refused { status: 409, applied: true });
    world.run_to_close();
    world.run(minutes(5));
    assert_eq!(changes(&world), ["pause", "rollback", "let go"], "{}", world.transcript());
}

#[test]
fn the_end_of_a_pause_that_is_refused_for_days_is_told_less_and_less_often() {
    let mut world = with_bad_release(accepting(), PICKS);
    for _ in 0..1_000 {
        world.reply("unpin", Reply::Not(Rejection::Denied, None));
    }
    world.run_to_close();
    world.run(minutes(8 * 60));
    assert!(world.count("unpin") > 400, "{}", world.count("unpin"));
    for line in ["letting pushes be deployed again", "unpin:"] {
        let told = world.transcript().matches(line).count();
        assert!((4..20).contains(&told), "{line}: {told} times");
    }
    world.script.clear();
    world.run(minutes(5));
    assert_eq!(changes(&world), ["pause", "rollback", "let go"]);
}

#[test]
fn what_goes_back_to_the_target_once_more_is_not_the_return() {
    let mut policy = policy();
    policy.soak.on_unhealthy = OnUnhealthy::Revert;
    let mut world = with_bad_release(policy, Capabilities { targeting: Targeting::ById, ..BY_CODE });
    world.reply("create_rollback", APPLIED);
    world.run_to_stage("soaking");
    let target =
        world.state.incident().and_then(|incident| incident.stage.target().cloned()).expect("a target");
    world.reply("create_rollback", LOST);
    world.bad.insert(world.platform.active.clone());
    world.run_to_stage("reverting");
    let at = world.at;
    world.platform.rollback(Who::Person, &target, at, at).expect("made");
    let (outcome, _) = world.run_to_close();
    assert_ne!(outcome, Outcome::Reverted, "{}", world.transcript());
}

#[test]
fn without_a_list_of_what_exists_no_rollback_is_asked_for() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("pin", Reply::Not(Rejection::RateLimited, Some(secs(30))));
    world.run_until(|world| world.count("pin") == 1);
    world.restart();
    world.is_listless = true;
    world.run(minutes(2));
    assert_eq!(
        (world.count("create_rollback"), world.waiting),
        (0, Some(Reason::Blind)),
        "{}",
        world.transcript()
    );
    world.is_listless = false;
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}
