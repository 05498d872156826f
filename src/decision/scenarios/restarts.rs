//! A restart that is tried before a rollback.

use super::calls::{APPLIED, LOST};
use super::platform::Write;
use super::world::{Reply, World, minutes, policy, secs};
use crate::clock::Moment;
use crate::decision::capability::{Capabilities, Support, Targeting};
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::{Artifact, Cause, Deployment, Phase, Request};
use crate::decision::policy::{Mode, Policy};
use crate::decision::state::{Outcome, Situation};

fn restarting() -> Policy {
    Policy { restart_first: Some(secs(90)), ..policy() }
}

/// The release heals once it is restarted.
fn heals(world: &mut World) {
    world.run_until(|world| world.platform.active.as_str() == "d4");
    world.bad.clear();
}

/// It stays bad, restarted or not.
fn stays_bad(world: &mut World) {
    world.bad.insert("d4".into());
}

#[test]
fn what_a_restart_heals_is_not_rolled_back_and_stays_under_watch() {
    let mut world = World::with_bad_release(restarting());
    heals(&mut world);
    assert_eq!(world.run_to_close(), (Outcome::Restarted, Reason::Restarted), "{}", world.transcript());
    assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 0));
    let Situation::Watching(watch) = &world.state.situation else { panic!("{}", world.transcript()) };
    assert_eq!((watch.live.id.as_str(), watch.candidate.id.as_str()), ("d4", "d4"));
    // It passes its watch, and is what the next incident goes back to.
    world.run(minutes(40));
    assert_eq!(world.state.word(), "steady");
    assert_eq!(world.state.ledger.good.last().map(|good| good.id.as_str()), Some("d4"));
}

#[test]
fn what_a_restart_does_not_heal_is_rolled_back_after_the_wait() {
    let mut world = World::with_bad_release(restarting());
    stays_bad(&mut world);
    world.run_to_stage("restarting");
    world.run_until(|world| world.platform.active.as_str() == "d4");
    let live_at = world.at;
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 1));
    let (asked_at, _) = world.effects.iter().find(|(_, effect)| effect.word() == "validate").expect("asked");
    assert!((secs(90)..secs(100)).contains(&asked_at.since(live_at)), "{}", world.transcript());
    assert_eq!(world.closed[0].incident.accused.id.as_str(), "d4", "what is live is what is accused");
    assert_eq!(
        world.platform.get(&world.platform.active).and_then(|now| now.cloned_from.clone()),
        Some("d2".into())
    );
}

#[test]
fn what_a_restart_did_is_told_with_what_was_measured_and_when_the_app_was_healthy_again() {
    let mut world = World::with_bad_release(restarting());
    heals(&mut world);
    world.run_to_close();
    let said = world.transcript();
    assert!(said.contains("the restart helped: rule down is good (0 failures in a row, limit 3)"), "{said}");
    // Healthy soon after the restart was live, and not only when the wait was over.
    let restored = said.split("healthy again, ").nth(1).and_then(|rest| rest.split(' ').next());
    let restored: f64 = restored.expect(&said).parse().expect("seconds");
    assert!((60.0..80.0).contains(&restored), "{said}");
    // One that does not help, and one that is good for a while and then is not.
    for good_for in [0, 40] {
        let mut world = World::with_bad_release(restarting());
        heals(&mut world);
        world.run(secs(good_for));
        stays_bad(&mut world);
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        let said = world.transcript();
        assert!(said.contains("the restart did not help: rule down is bad"), "{said}");
        assert_eq!(said.matches("healthy again").count(), 1, "{said}");
    }
    let mut world = World::with_bad_release(restarting());
    world.reply("restart", LOST);
    world.run_to_close();
    assert!(world.transcript().contains("restart was not applied"), "{}", world.transcript());
}

#[test]
fn a_release_is_restarted_once_however_often_it_fails() {
    let mut world = World::with_bad_release(restarting());
    heals(&mut world);
    assert_eq!(world.run_to_close(), (Outcome::Restarted, Reason::Restarted));
    world.run(minutes(1));
    stays_bad(&mut world);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 1));
    // The next release has a restart of its own.
    let mut policy = restarting();
    policy.limits.cooldown = secs(0);
    let mut world = World::with_bad_release(policy);
    stays_bad(&mut world);
    world.run_to_close();
    world.release_bad();
    world.outage = true;
    world.run_to_stage("restarting");
    assert_eq!(world.count("restart"), 2);
}

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
fn a_restart_that_is_not_to_be_had_leaves_the_rollback() {
    let replies = [
        Reply::Not(Rejection::Denied, None),
        Reply::Not(Rejection::NotConnected, None),
        Reply::Refused { status: 409, applied: false },
        Reply::Guarded(Guard::Changed),
        Reply::Guarded(Guard::Unreadable),
    ];
    for reply in replies {
        let mut world = World::with_bad_release(restarting());
        world.reply("restart", reply);
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        assert_eq!(world.count("restart"), 1);
    }
    // One that fails, or never comes to its end.
    for is_stuck in [true, false] {
        let mut world = World::with_bad_release(restarting());
        world.run_to_stage("restarting");
        if is_stuck {
            world.roll_out = None;
            world.run(minutes(7));
            assert_eq!((world.stage(), world.waiting), ("validating", Some(Reason::InProgress)));
            world.platform.in_progress = None;
            world.roll_out = Some(secs(60));
        } else {
            let at = world.at;
            world.platform.finish(&"d4".into(), Phase::Error, at);
            world.run(secs(6));
            assert_eq!(world.count("create_rollback"), 1, "{}", world.transcript());
        }
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    }
}

#[test]
fn where_the_platform_picks_or_cannot_restart_no_restart_is_tried() {
    let picks = Capabilities { targeting: Targeting::PlatformPicks, ..Capabilities::default() };
    let cannot = Capabilities { restart: Support::Absent, ..Capabilities::default() };
    let told = [
        (picks, "no restart is tried: the platform would take what was restarted for what to go back to"),
        (cannot, "no restart is tried: the platform has none for this app"),
    ];
    for (capabilities, words) in told {
        let mut world = World::steady(restarting());
        world.platform.capabilities = capabilities;
        world.release_bad();
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        assert_eq!(world.count("restart"), 0);
        assert!(world.transcript().contains(words), "{}", world.transcript());
    }
}

#[test]
fn a_person_is_asked_before_a_restart_and_one_yes_is_for_both() {
    let mut policy = restarting();
    policy.mode = Mode::Approve;
    let mut world = World::with_bad_release(policy);
    stays_bad(&mut world);
    world.run_to_stage("awaiting_approval");
    world.run(minutes(2));
    assert!(world.effects.is_empty());
    world.ask(Request::Approve);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 1));
    assert_eq!(
        world.transcript().matches("[wait awaiting_approval]").count(),
        1,
        "asked and waited for, once"
    );
}

#[test]
fn a_person_stops_a_restart_that_is_waited_for_and_a_newer_release_ends_it() {
    type Then = fn(&mut World);
    let ends: [(Then, (Outcome, Reason)); 3] = [
        (|world| world.operator.paused = true, (Outcome::Refused, Reason::Paused)),
        (|world| world.ask(Request::Reject), (Outcome::Refused, Reason::Rejected)),
        (
            |world| {
                world.platform.in_progress = None;
                world.release();
            },
            (Outcome::Superseded, Reason::Superseded),
        ),
    ];
    for (then, end) in ends {
        let mut world = World::with_bad_release(restarting());
        world.run_to_stage("restarting");
        let closed = world.closed.len();
        then(&mut world);
        world.run_until(|world| world.closed.len() > closed);
        assert_eq!(world.ended(), end, "{}", world.transcript());
        assert_eq!(world.count("create_rollback"), 0);
    }
}

#[test]
fn a_restart_of_an_observed_app_is_not_even_tried() {
    let mut policy = restarting();
    policy.mode = Mode::Observe;
    let mut world = World::with_bad_release(policy);
    assert_eq!(world.run_to_close(), (Outcome::Observed, Reason::ObserveMode));
    assert!(world.effects.is_empty());
}

#[test]
fn a_process_that_dies_during_a_restart_goes_on_with_it() {
    let mut world = World::with_bad_release(restarting());
    world.latency = secs(6);
    world.run_to_stage("restarting");
    world.restart();
    heals(&mut world);
    world.latency = secs(0);
    assert_eq!(world.run_to_close(), (Outcome::Restarted, Reason::Restarted), "{}", world.transcript());
    assert_eq!(world.count("restart"), 1);
}

#[test]
fn a_release_that_the_platform_deployed_again_is_not_gone_back_to_under_its_old_id() {
    for by_restart in [true, false] {
        let policy = if by_restart { restarting() } else { super::world::policy() };
        let mut world = World::steady(policy);
        // Nobody says what runs, and nothing was seen to be good.
        world.platform.says_code = false;
        world.state.ledger.good.clear();
        let bad = world.release();
        if by_restart {
            stays_bad(&mut world);
        } else {
            world.run(secs(6));
            let again = world.platform.upkeep(world.at);
            world.bad.insert(again);
        }
        world.bad.insert(bad.clone());
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        let target = world.closed[0].incident.stage.target().cloned();
        assert!(target.is_some() && target != Some(bad), "{}", world.transcript());
    }
}

#[test]
fn the_platform_s_upkeep_of_a_release_that_was_restarted_earns_it_no_second_restart() {
    let mut world = World::with_bad_release(restarting());
    heals(&mut world);
    assert_eq!(world.run_to_close(), (Outcome::Restarted, Reason::Restarted));
    world.run(minutes(1));
    let again = world.platform.upkeep(world.at);
    world.run(secs(10));
    world.bad.insert(again);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!((world.count("restart"), world.count("create_rollback")), (1, 1));
}

#[test]
fn what_a_restart_healed_has_a_whole_watch_before_it_is_good() {
    let mut world = World::steady(restarting());
    let release = world.release();
    // Nearly all of its watch is over.
    world.run(world.policy.watch - minutes(1));
    world.bad.insert(release);
    heals(&mut world);
    assert_eq!(world.run_to_close(), (Outcome::Restarted, Reason::Restarted), "{}", world.transcript());
    world.run(world.policy.watch - minutes(1));
    assert_eq!(world.state.word(), "watching", "{}", world.transcript());
    world.run(minutes(2));
    assert_eq!(world.state.word(), "steady", "{}", world.transcript());
}

#[test]
fn a_yes_is_for_the_target_that_was_named_also_after_a_restart() {
    let mut world = World::with_bad_release(Policy { mode: Mode::Approve, ..restarting() });
    stays_bad(&mut world);
    world.run_to_stage("awaiting_approval");
    let named = world.state.incident().and_then(|incident| incident.stage.target().cloned());
    world.ask(Request::Approve);
    world.run_to_stage("restarting");
    // Another one would be picked now.
    world.state.ledger.good.clear();
    let other = world.platform.deployments[0].clone();
    world.state.ledger.good.push(other);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(world.closed[0].incident.stage.target().cloned(), named);
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
        assert_eq!(world.state.ledger.lost_restart, None, "what comes next is another one");
        // A release of its own has a restart of its own, which helps.
        let (ends, counts) = match has_own_code {
            true => ((Outcome::Restarted, Reason::Restarted), (2, 0)),
            false => ((Outcome::Committed, Reason::SoakHealthy), (1, 1)),
        };
        assert_eq!(world.run_to_close(), ends, "{}", world.transcript());
        assert_eq!(
            (world.count("restart"), world.count("create_rollback")),
            counts,
            "{}",
            world.transcript()
        );
    }
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
        let after = |time| ledger.may_have_restarted(&later, Moment::from_millis(0) + time);
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
