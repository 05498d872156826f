//! A restart whose answer was lost, or that met something else than was meant: no release is restarted twice.

use super::calls::{APPLIED, LOST, late};
use super::picks::{BY_CODE, accepting, with_bad_release};
use super::platform::{Who, Write};
use super::restarts::{heals, restarting, stays_bad};
use super::world::{Reply, World, minutes, secs};
use crate::clock::Moment;
use crate::decision::effect::{Reason, Rejection};
use crate::decision::observation::{Artifact, Cause, Deployment, Phase, Request};
use crate::decision::policy::Policy;
use crate::decision::state::Outcome;
use crate::ids::DeploymentId;

#[test]
fn an_answer_that_is_lost_leads_to_no_second_restart() {
    let cases = [
        (APPLIED, true, true, true),
        (APPLIED, true, false, true),
        (APPLIED, true, false, false),
        (APPLIED, false, true, true),
        (APPLIED, false, false, true),
        (APPLIED, false, false, false),
        (LOST, false, true, true),
    ];
    for (reply, heals_it, says_restart, says_code) in cases {
        let was_applied = reply == APPLIED;
        let mut world = World::steady(restarting());
        (world.platform.says_restart, world.platform.says_code) = (says_restart, says_code);
        world.release_bad();
        world.reply("restart", reply);
        if heals_it {
            heals(&mut world);
            assert_eq!(
                world.run_to_close(),
                (Outcome::Restarted, Reason::Restarted),
                "{}",
                world.transcript()
            );
        } else {
            if was_applied {
                stays_bad(&mut world);
            }
            assert_eq!(
                world.run_to_close(),
                (Outcome::Committed, Reason::SoakHealthy),
                "{}",
                world.transcript()
            );
        }
        assert_eq!(world.count("restart"), 1);
        let is_restart = |(_, _, write): &(_, _, Write)| matches!(write, Write::Restart { .. });
        assert_eq!(world.platform.ledger.iter().any(is_restart), was_applied);
    }
}

#[test]
fn an_attempt_that_failed_before_is_not_taken_for_a_lost_restart() {
    for phase in [Phase::Error, Phase::Canceled] {
        let mut world = World::steady(restarting());
        world.platform.says_restart = false;
        let bad = world.release();
        // The same release once more, which never went live.
        let again = world.platform.make(Cause::Release, Some(&bad), world.at);
        world.platform.finish(&again, phase, world.at);
        world.bad.insert(bad);
        world.reply("restart", APPLIED);
        world.run_until(|world| world.platform.active.as_str() == "d5");
        assert_eq!(world.run_to_close(), (Outcome::Restarted, Reason::Restarted), "{}", world.transcript());
        assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 0));
    }
}

#[test]
fn a_restart_that_comes_when_it_was_given_up_is_no_new_release() {
    let mut world = World::with_bad_release(restarting());
    world.platform.says_restart = false;
    stays_bad(&mut world);
    let after = world.policy.reconcile + secs(40);
    world.reply("restart", Reply::Lost { applied_after: Some(after) });
    // The rollback has to wait until then.
    for _ in 0..3 {
        world.reply("validate", Reply::Not(Rejection::RateLimited, Some(secs(50))));
    }
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(world.closed[0].incident.accused.id.as_str(), "d4", "{}", world.transcript());
    assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 1));
}

#[test]
fn a_lost_restart_that_met_another_spec_is_judged_as_a_release_that_had_its_restart() {
    for (says_code, has_own_code) in [(true, false), (false, false), (true, true)] {
        let mut world = World::steady(restarting());
        (world.platform.says_restart, world.platform.says_code) = (false, says_code);
        let bad = world.release_bad();
        stays_bad(&mut world);
        world.reply("restart", APPLIED);
        world.run_until(|world| world.platform.get(&"d4".into()).is_some());
        // So that what is live next is not told to have been bad before.
        world.bad.remove(&bad);
        let made = world.platform.deployments.last_mut().expect("the restart");
        made.artifact.spec = "another region".into();
        if has_own_code {
            made.artifact.code = vec![("web".into(), "c9".into())];
        }
        let superseded = (Outcome::Superseded, Reason::Superseded);
        assert_eq!(world.run_to_close(), superseded, "{}", world.transcript());
        world.run_until(|world| world.state.word() == "watching");
        let is_awaited = |world: &World| world.state.ledger.lost_restart.is_some();
        assert!(is_awaited(&world), "what comes next may be it as well, whatever this is");
        // A release of its own has a restart of its own, which helps.
        let (ends, counts) = match has_own_code {
            true => ((Outcome::Restarted, Reason::Restarted), (2, 0)),
            false => ((Outcome::Committed, Reason::SoakHealthy), (1, 1)),
        };
        assert_eq!(world.run_to_close(), ends, "{}", world.transcript());
        assert!(!is_awaited(&world), "what comes next is another one");
        assert_eq!(
            (world.count("restart"), world.count("create_rollback")),
            counts,
            "{}",
            world.transcript()
        );
    }
}

#[test]
fn of_two_that_may_be_what_a_lost_restart_made_neither_is_restarted() {
    let mut world = World::with_bad_release(restarting());
    world.platform.says_restart = false;
    stays_bad(&mut world);
    world.reply("restart", LOST);
    world.reply("create_rollback", LOST);
    world.run_until(|world| world.count("create_rollback") == 1);
    world.reply("validate", Reply::Not(Rejection::RateLimited, Some(secs(50))));
    // A person's, and ours at last.
    for who in [Who::Person, Who::Rearguard] {
        // So that it is not told to have been bad before.
        world.bad.clear();
        world.run(secs(6));
        let at = world.at;
        let made = world.platform.restart(who, at).id;
        world.platform.finish(&made, Phase::Active, at);
        world.bad.insert(made.clone());
        world.run_until(|world| world.state.incident().is_some_and(|it| it.accused.id == made));
    }
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 2), "{}", world.transcript());
}

#[test]
fn a_lost_restart_that_comes_after_its_incident_was_broken_off_is_restarted_no_more() {
    let mut world = World::steady(restarting());
    world.platform.says_restart = false;
    let bad = world.release_bad();
    stays_bad(&mut world);
    world.reply("restart", APPLIED);
    world.run_until(|world| world.platform.get(&"d4".into()).is_some());
    world.bad.remove(&bad);
    world.platform.deployments.last_mut().expect("the restart").artifact.spec = "another region".into();
    world.operator.paused = true;
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Paused), "{}", world.transcript());
    world.operator.paused = false;
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 1), "{}", world.transcript());
    assert_eq!(world.state.ledger.lost_restart, None);
}

#[test]
fn a_restart_that_was_lost_takes_none_from_a_release_that_comes_after_the_rollback_or_much_later() {
    // Whatever is known of what they run.
    for says_code in [true, false] {
        let mut world = World::steady(restarting());
        (world.platform.says_restart, world.platform.says_code) = (false, says_code);
        let bad = world.release_bad();
        world.reply("restart", LOST);
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        world.run(world.policy.limits.cooldown + minutes(1));
        let next = world.release_bad();
        world.run_to_stage("restarting");
        assert_eq!(world.count("restart"), 2, "{}", world.transcript());
        let [lost, later] = [bad, next].map(|id| world.platform.get(&id).cloned().expect("released"));
        let code = lost.artifact.code.clone();
        let later = Deployment { artifact: Artifact { code, ..later.artifact.clone() }, ..later };
        let mut ledger = world.state.ledger.clone();
        ledger.lost_restart = Some((Moment::from_millis(0), lost));
        let after = |time| ledger.may_have_restarted(&later, Moment::from_millis(0) + time, &[]);
        assert_eq!([minutes(60), minutes(61)].map(after), [true, false]);
    }
}

#[test]
fn a_lost_restart_that_came_and_was_followed_is_lost_no_more() {
    let mut world = World::with_bad_release(restarting());
    world.platform.says_restart = false;
    stays_bad(&mut world);
    world.reply("restart", Reply::Lost { applied_after: Some(world.policy.reconcile + secs(40)) });
    for _ in 0..3 {
        world.reply("validate", Reply::Not(Rejection::RateLimited, Some(secs(50))));
    }
    let is_followed = |world: &World| world.state.incident().is_some_and(|it| it.accused.id.as_str() == "d4");
    world.run_until(is_followed);
    world.operator.paused = true;
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Paused), "{}", world.transcript());
    assert_eq!(world.state.ledger.lost_restart, None, "{}", world.transcript());
}

#[test]
fn a_restart_that_meets_a_newer_release_is_the_one_that_release_has() {
    let ids = ["d4", "d5", "d6"];
    // The newer release is accused before that restart is live, as that restart, or after the platform's upkeep of it.
    for first_bad in ids {
        let mut world = World::with_bad_release(restarting());
        world.roll_out = None;
        let is_bad = |id: &&&str| **id >= first_bad && (**id != "d6" || first_bad == "d6");
        world.bad.extend(ids.iter().filter(is_bad).map(|id| (*id).into()));
        world.reply("restart", Reply::Overtaken);
        assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
        world.run(secs(10));
        let at = world.at;
        world.platform.finish(&"d5".into(), Phase::Active, at);
        world.run(secs(4));
        if first_bad == "d6" {
            world.platform.upkeep(world.at);
        }
        world.roll_out = Some(secs(60));
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        assert_eq!(
            (world.count("restart"), world.count("create_rollback")),
            (1, 1),
            "{}",
            world.transcript()
        );
    }
}

#[test]
fn a_restart_that_meets_a_newer_release_and_is_lost_is_the_one_that_release_has() {
    let mut world = World::with_bad_release(restarting());
    world.platform.says_restart = false;
    world.reply("restart", LOST);
    world.run_until(|world| world.count("restart") == 1);
    // No read has shown the newer one before its restart is live.
    let at = world.at;
    let newer = world.platform.make(Cause::Release, None, at - secs(1));
    world.platform.finish(&newer, Phase::Active, at);
    let made = world.platform.restart(Who::Rearguard, at).id;
    world.platform.finish(&made, Phase::Active, at);
    world.bad.insert(made);
    let had_one = "no restart is tried: this release was restarted before";
    assert!(!world.transcript().contains(had_one));
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 1), "{}", world.transcript());
    assert_eq!(world.transcript().matches(had_one).count(), 1, "{}", world.transcript());
}

/// The rollback is live, and the restart that was asked for before it got lost and may still come.
fn soaking_with_a_lost_restart(reply: Reply) -> World {
    let policy = Policy { restart_first: Some(secs(60)), ..accepting() };
    let mut world = with_bad_release(policy, BY_CODE);
    world.reply("restart", reply);
    world.run_to_stage("soaking");
    world.run(secs(10));
    world
}

/// What is live is started again, and is live at once.
fn is_restarted(world: &mut World) -> DeploymentId {
    let at = world.at;
    let made = world.platform.restart(Who::Person, at).id;
    world.platform.finish(&made, Phase::Active, at);
    made
}

#[test]
fn a_colleague_s_restart_of_the_rollback_is_no_lost_one() {
    let mut world = with_bad_release(accepting(), BY_CODE);
    world.run_to_stage("soaking");
    world.run(secs(10));
    is_restarted(&mut world);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
}

#[test]
fn a_release_in_the_soak_is_no_lost_restart_and_neither_is_a_restart_of_it() {
    for (is_seen, end) in [
        (true, (Outcome::Superseded, Reason::Superseded)),
        // Which of them was restarted nobody can tell.
        (false, (Outcome::Held, Reason::WrongTarget)),
    ] {
        let mut world = soaking_with_a_lost_restart(LOST);
        world.release();
        if !is_seen {
            is_restarted(&mut world);
        }
        assert_eq!(world.run_to_close(), end, "{}", world.transcript());
        assert!(!world.transcript().contains("restart was applied after all"), "{}", world.transcript());
    }
}

#[test]
fn a_lost_restart_that_comes_before_the_rollback_is_seen_to_be_live_is_what_is_soaked() {
    let policy = Policy { restart_first: Some(secs(60)), ..accepting() };
    let mut world = with_bad_release(policy, BY_CODE);
    world.reply("restart", LOST);
    world.run_to_stage("rolling_back");
    let (rollback, at) = (world.platform.in_progress.clone().expect("under way"), world.at);
    world.platform.finish(&rollback, Phase::Active, at);
    let made = is_restarted(&mut world);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(world.closed[0].incident.stage.rollback(), Some(&made), "{}", world.transcript());
}

#[test]
fn a_restart_that_came_instead_of_the_rollback_is_the_accused_release_and_never_a_good_one() {
    let policy = Policy { restart_first: Some(secs(60)), ..accepting() };
    let mut world = with_bad_release(policy, BY_CODE);
    world.reply("restart", late(55));
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
    world.ask(Request::Resume);
    world.bad.clear();
    world.run_until(|world| world.state.word() == "steady");
    let live = world.platform.active.clone();
    assert!(!world.state.ledger.good.iter().any(|good| good.id == live), "{}", world.transcript());
}
