//! A platform that picks the target by itself, and whose pin is a pause of pushes.

use super::calls::{APPLIED, LOST};
use super::platform::{Who, Write};
use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::capability::{Capabilities, PinKind, Pushes, Signals, Support, Targeting};
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::{Accepted, Cause, Phase, ReadFault, Request};
use crate::decision::policy::{Mode, OnHealthy, Policy};
use crate::decision::state::{Outcome, Situation, SoftPin};
use crate::ids::IncidentId;

/// The platform picks, pushes can be paused, and nothing else is there.
pub(super) const PICKS: Capabilities = Capabilities {
    targeting: Targeting::PlatformPicks,
    pin: PinKind::Soft,
    validate: Support::Emulated,
    commit: Support::Emulated,
    revert: Support::Emulated,
    revert_is_exact: false,
    restart: Support::Native,
    resend_is_safe: false,
    signals: Signals::of(&[]),
};
/// The target is named by what it runs, and nothing pins.
pub(super) const BY_CODE: Capabilities = Capabilities {
    targeting: Targeting::ByCode,
    pin: PinKind::Absent,
    resend_is_safe: true,
    revert_is_exact: true,
    ..PICKS
};

pub(super) fn accepting() -> Policy {
    Policy { accept_platform_choice: true, ..policy() }
}

/// A steady app on a platform with these capabilities.
pub(super) fn steady(policy: Policy, capabilities: Capabilities) -> World {
    let samples = policy.soak.min_samples;
    let mut world = World::new(policy);
    world.platform.capabilities = capabilities;
    world.platform.says_cloned_from = false;
    world.platform.pushes = (capabilities.pin == PinKind::Soft).then_some(Pushes::Deploy);
    world.run(secs(20) + super::world::TICK * samples);
    assert!(matches!(world.state.situation, Situation::Steady { .. }), "{}", world.transcript());
    world
}

pub(super) fn with_bad_release(policy: Policy, capabilities: Capabilities) -> World {
    let mut world = steady(policy, capabilities);
    world.release_bad();
    world
}

/// What rearguard changed on the platform.
pub(super) fn changes(world: &World) -> Vec<&'static str> {
    let ours = world.platform.ledger.iter().filter(|(_, who, _)| *who == Who::Rearguard);
    ours.map(|(_, _, write)| match write {
        Write::Rollback { .. } => "rollback",
        Write::Commit { .. } => "commit",
        Write::Revert { .. } => "revert",
        Write::Restart { .. } => "restart",
        Write::Pushes(Pushes::Paused) => "pause",
        Write::Pushes(Pushes::Deploy) => "let go",
    })
    .collect()
}

/// Runs on until pushes are nothing of ours any more.
pub(super) fn run_until_let_go(world: &mut World) {
    world.run_until(|world| world.state.ledger.soft_pin.is_none());
}

#[test]
fn a_whole_rollback_pauses_pushes_before_it_and_lets_them_go_after_it() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.run_to_stage("soaking");
    assert_eq!((changes(&world), world.platform.pushes), (vec!["pause", "rollback"], Some(Pushes::Paused)));
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    run_until_let_go(&mut world);
    assert_eq!(changes(&world), ["pause", "rollback", "let go"], "{}", world.transcript());
    assert_eq!(world.platform.pushes, Some(Pushes::Deploy));
    world.run(minutes(20));
    assert_eq!(changes(&world).len(), 3, "{}", world.transcript());
}

#[test]
fn without_the_operator_s_word_the_platform_s_choice_is_not_relied_on() {
    let mut world = with_bad_release(policy(), PICKS);
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::NotValid));
    assert!(changes(&world).is_empty() && world.transcript().contains("accept_platform_choice"));
    // To observe says so as well.
    let mut world = with_bad_release(Policy { mode: Mode::Observe, ..policy() }, PICKS);
    assert_eq!(world.run_to_close(), (Outcome::Observed, Reason::ObserveMode));
    assert!(world.transcript().contains("accept_platform_choice"), "{}", world.transcript());
    // Where the target is named nobody is asked.
    let mut world = with_bad_release(policy(), BY_CODE);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(changes(&world), ["rollback"]);
}

#[test]
fn a_word_that_is_withdrawn_counts_from_then_on_until_the_rollback_is_asked_for() {
    type Until = fn(&mut World);
    let moments: [Until; 4] = [
        |world| {
            world.policy.mode = Mode::Approve;
            world.run_to_stage("awaiting_approval");
        },
        |world| {
            world.latency = secs(4);
            world.run_until(|world| world.count("validate") == 1);
        },
        |world| {
            world.latency = secs(4);
            world.run_until(|world| world.count("pin") == 1);
        },
        |world| {
            world.reply("pin", Reply::Not(Rejection::RateLimited, Some(secs(30))));
            world.run_until(|world| world.count("pin") == 1);
        },
    ];
    for (n, until) in moments.into_iter().enumerate() {
        let mut world = with_bad_release(accepting(), PICKS);
        until(&mut world);
        world.policy.accept_platform_choice = false;
        assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::NotValid), "{n}: {}", world.transcript());
        assert!(world.transcript().contains("accept_platform_choice"), "{}", world.transcript());
        world.latency = secs(0);
        world.run(minutes(5));
        let asked: &[&str] = if n == 2 { &["pause", "let go"] } else { &[] };
        assert_eq!(changes(&world), asked, "{n}: {}", world.transcript());
    }
    // What a person ordered is accepted by that.
    let mut world = with_bad_release(Policy { mode: Mode::Approve, ..policy() }, PICKS);
    let accept = Accepted::default();
    world.run(secs(2));
    world.ask(Request::Rollback { to: None, accept });
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}

#[test]
fn a_pause_whose_answer_was_lost_is_let_go_however_long_nobody_could_look_or_act() {
    type Trouble = fn(&mut World, bool);
    let troubles: [Trouble; 3] = [
        |world, is_on| world.operator.paused = is_on,
        |world, is_on| world.fault = is_on.then_some(ReadFault::Unreachable),
        |world, is_on| world.policy.mode = if is_on { Mode::Observe } else { Mode::Enforce },
    ];
    for (n, trouble) in troubles.into_iter().enumerate() {
        let mut world = with_bad_release(accepting(), PICKS);
        world.reply("pin", APPLIED);
        world.latency = secs(4);
        world.run_until(|world| world.count("pin") == 1);
        trouble(&mut world, true);
        world.bad.clear();
        world.run(minutes(75));
        assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{n}: {}", world.transcript());
        trouble(&mut world, false);
        world.run(minutes(3));
        assert_eq!(world.platform.pushes, Some(Pushes::Deploy), "{n}: {}", world.transcript());
        // What a person pauses after that is theirs.
        world.run(minutes(70));
        let at = world.at;
        world.platform.set_pushes(Who::Person, Pushes::Paused, at);
        world.run(minutes(10));
        assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{n}: {}", world.transcript());
    }
}

#[test]
fn a_word_that_is_withdrawn_in_the_soak_asks_for_no_second_rollback() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.run_to_stage("soaking");
    world.policy.accept_platform_choice = false;
    world.bad.insert(world.platform.active.clone());
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakUnhealthy), "{}", world.transcript());
    assert_eq!(changes(&world), ["pause", "rollback"], "{}", world.transcript());
    assert!(world.transcript().contains("accept_platform_choice"), "{}", world.transcript());
}

#[test]
fn a_pause_that_was_refused_is_not_told_to_be_there() {
    for (replies, said) in [
        (vec![], "pushes are not deployed meanwhile"),
        (vec![Reply::Refused { status: 403, applied: false }], "nothing keeps other deployments away"),
    ] {
        let mut world = with_bad_release(accepting(), PICKS);
        for reply in replies {
            world.reply("pin", reply);
        }
        world.run_to_stage("soaking");
        assert!(world.transcript().contains(said), "{}", world.transcript());
    }
}

#[test]
fn what_the_platform_would_pick_has_to_be_good_and_another_artifact() {
    // The release was restarted: its own artifact is what came before.
    let mut world = steady(accepting(), PICKS);
    let bad = world.release_bad();
    world.run(secs(2));
    let again = world.platform.make(Cause::Restart, Some(&bad), world.at);
    world.platform.finish(&again, Phase::Active, world.at);
    world.bad.insert(again);
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::NoTarget), "{}", world.transcript());
    assert!(
        changes(&world).is_empty()
            && world.transcript().contains("runs the same as what is live (same_artifact)")
    );
    // Something that nobody judged came between the good one and the accused.
    let mut world = steady(accepting(), PICKS);
    world.release();
    world.release_bad();
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::NoTarget), "{}", world.transcript());
    assert!(changes(&world).is_empty() && world.transcript().contains("(platform_picks_other)"));
}

#[test]
fn what_came_back_instead_is_no_success_whatever_it_is() {
    for takes_the_bad_one in [true, false] {
        let mut world = with_bad_release(accepting(), PICKS);
        let oldest = world.platform.deployments[0].id.clone();
        world.platform.picks = Some(if takes_the_bad_one { world.platform.active.clone() } else { oldest });
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
        assert_eq!(changes(&world), ["pause", "rollback"]);
        let said = world.transcript();
        assert_eq!(said.contains("runs what was to be rolled back from"), takes_the_bad_one, "{said}");
        // Held for a person, with pushes paused; they go on when the person says so.
        world.run(minutes(10));
        assert_eq!(world.platform.pushes, Some(Pushes::Paused));
        world.ask(Request::Resume);
        run_until_let_go(&mut world);
        assert_eq!(changes(&world), ["pause", "rollback", "let go"]);
    }
}

#[test]
fn what_cannot_be_told_to_be_the_target_is_no_success() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.run_to_stage("rolling_back");
    world.run_until(|world| world.platform.rollback_under_way().is_some());
    let made = world.platform.rollback_under_way().expect("under way");
    let entry = world.platform.deployments.iter_mut().find(|entry| entry.id == made).expect("made");
    entry.artifact.code.clear();
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
    assert!(world.transcript().contains("something that cannot be told"));
}

#[test]
fn a_rollback_that_says_no_more_than_what_it_was_made_from_is_told_by_that() {
    for (source, end) in
        [("c2", (Outcome::Committed, Reason::SoakHealthy)), ("c3", (Outcome::Held, Reason::WrongTarget))]
    {
        let mut world = steady(accepting(), PICKS);
        for entry in &mut world.platform.deployments {
            let made_from = entry.artifact.code[0].1.clone();
            entry.artifact.source = vec![("commit".into(), made_from)];
        }
        world.run(minutes(1));
        let bad = world.release_bad();
        let entry = world.platform.deployments.iter_mut().find(|entry| entry.id == bad).expect("made");
        entry.artifact.source = vec![("commit".into(), "c3".into())];
        world.run_until(|world| world.platform.rollback_under_way().is_some());
        let made = world.platform.rollback_under_way().expect("under way");
        let entry = world.platform.deployments.iter_mut().find(|entry| entry.id == made).expect("made");
        entry.artifact.code = vec![("commit".into(), source.into())];
        entry.artifact.source.clear();
        assert_eq!(world.run_to_close(), end, "{}", world.transcript());
    }
}

#[test]
fn a_lost_rollback_is_never_asked_for_again() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("create_rollback", LOST);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
    run_until_let_go(&mut world);
    assert_eq!(changes(&world), ["pause", "let go"]);
    assert_eq!(world.count("create_rollback"), 1);
    // One that was applied is found by what it runs.
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("create_rollback", APPLIED);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(world.count("create_rollback"), 1);
    // Where the target is named it leads nowhere else.
    let mut world = with_bad_release(policy(), BY_CODE);
    world.reply("create_rollback", LOST);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(world.count("create_rollback"), 2);
}

#[test]
fn a_pause_whose_answer_is_lost_is_found_or_asked_for_again() {
    for (replies, asked) in [(vec![APPLIED], 1), (vec![LOST], 2), (vec![LOST, LOST], 3)] {
        let mut world = with_bad_release(accepting(), PICKS);
        for reply in replies {
            world.reply("pin", reply);
        }
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        run_until_let_go(&mut world);
        assert_eq!(world.count("pin"), asked);
        assert_eq!(changes(&world), ["pause", "rollback", "let go"]);
    }
}

#[test]
fn a_pause_that_is_not_to_be_had_leaves_the_rollback() {
    for refusal in [Reply::Refused { status: 403, applied: false }, LOST] {
        let mut world = with_bad_release(accepting(), PICKS);
        for _ in 0..3 {
            world.reply("pin", refusal.clone());
        }
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        assert_eq!((changes(&world), world.platform.pushes), (vec!["rollback"], Some(Pushes::Deploy)));
        assert!(world.transcript().contains("pushes could not be kept from being deployed"));
    }
}

#[test]
fn a_pause_that_comes_about_an_age_later_is_let_go_as_well() {
    let mut world = with_bad_release(accepting(), PICKS);
    for after in [minutes(40), minutes(40), minutes(40)] {
        world.reply("pin", Reply::Lost { applied_after: Some(after) });
    }
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run(minutes(60));
    assert_eq!(world.platform.pushes, Some(Pushes::Deploy), "{}", world.transcript());
    assert_eq!(changes(&world).last(), Some(&"let go"));
}

#[test]
fn pushes_that_somebody_paused_before_are_left_as_they_are() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.platform.pushes = Some(Pushes::Paused);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run(minutes(10));
    assert_eq!((changes(&world), world.platform.pushes), (vec!["rollback"], Some(Pushes::Paused)));
    let said = world.transcript();
    assert!(said.contains("to d2; pushes are not deployed meanwhile"), "{said}");
}

#[test]
fn pushes_that_somebody_lets_go_meanwhile_are_left_alone() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.run_to_stage("soaking");
    world.run(secs(20));
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Deploy, at);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
    run_until_let_go(&mut world);
    // Whatever they do with them from now on is their affair.
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Paused, at);
    world.run(minutes(90));
    assert_eq!((changes(&world), world.platform.pushes), (vec!["pause", "rollback"], Some(Pushes::Paused)));
}

#[test]
fn every_end_of_an_incident_lets_pushes_go() {
    type Then = fn(&mut World);
    let ends: [(&str, Then, (Outcome, Reason)); 4] = [
        (
            "failed",
            |world| {
                let made = world.platform.rollback_under_way().expect("under way");
                let at = world.at;
                world.platform.finish(&made, Phase::Error, at);
            },
            (Outcome::Failed, Reason::RollbackFailed),
        ),
        ("superseded", |world| drop(world.release()), (Outcome::Superseded, Reason::Superseded)),
        (
            "held and then a new release",
            |world| {
                world.roll_out = Some(secs(4));
                world.outage = true;
                world.policy.soak.on_unhealthy = crate::decision::policy::OnUnhealthy::Hold;
            },
            (Outcome::Held, Reason::SoakUnhealthy),
        ),
        ("restart", World::restart, (Outcome::Committed, Reason::SoakHealthy)),
    ];
    for (what, then, end) in ends {
        let mut world = with_bad_release(accepting(), PICKS);
        world.roll_out = Some(secs(30));
        world.run_until(|world| world.platform.rollback_under_way().is_some());
        world.run(secs(8));
        then(&mut world);
        assert_eq!(world.run_to_close(), end, "{what}: {}", world.transcript());
        if end.0 == Outcome::Held {
            world.run(minutes(5));
            assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{what}");
            world.outage = false;
            world.release();
        }
        run_until_let_go(&mut world);
        assert_eq!(world.platform.pushes, Some(Pushes::Deploy), "{what}: {}", world.transcript());
        assert_eq!(changes(&world), ["pause", "rollback", "let go"], "{what}");
    }
}

#[test]
fn a_hold_of_a_healthy_rollback_keeps_pushes_paused_until_a_person_has_acted() {
    let mut policy = accepting();
    policy.soak.on_healthy = OnHealthy::Hold;
    let mut world = with_bad_release(policy, PICKS);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakHealthy));
    world.run(minutes(30));
    world.restart();
    world.run(minutes(5));
    assert_eq!((world.state.word(), world.platform.pushes), ("held", Some(Pushes::Paused)));
    // Letting them go is an answer, as a commit is elsewhere.
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Deploy, at);
    run_until_let_go(&mut world);
    assert_ne!(world.state.word(), "held", "{}", world.transcript());
    assert_eq!(changes(&world), ["pause", "rollback"]);
}

#[test]
fn nothing_is_let_go_while_paused_or_observed_and_all_of_it_afterwards() {
    for observed in [true, false] {
        let mut world = with_bad_release(accepting(), PICKS);
        world.run_to_stage("soaking");
        world.reply("unpin", Reply::Guarded(Guard::Paused));
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
        (world.operator.paused, world.policy.mode) =
            if observed { (false, Mode::Observe) } else { (true, Mode::Enforce) };
        world.run(minutes(10));
        assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{}", world.transcript());
        (world.operator.paused, world.policy.mode) = (false, Mode::Enforce);
        run_until_let_go(&mut world);
        assert_eq!(changes(&world), ["pause", "rollback", "let go"]);
    }
}

#[test]
fn the_end_of_a_pause_is_asked_for_until_it_is_seen() {
    let replies = [
        LOST,
        Reply::Not(Rejection::Denied, None),
        Reply::Not(Rejection::NotConnected, None),
        Reply::Refused { status: 500, applied: false },
        APPLIED,
    ];
    let mut world = with_bad_release(accepting(), PICKS);
    for reply in replies {
        world.reply("unpin", reply);
    }
    world.run_to_close();
    run_until_let_go(&mut world);
    assert_eq!((world.count("unpin"), world.platform.pushes), (5, Some(Pushes::Deploy)));
    assert!(world.transcript().contains("unpin was applied after all"), "{}", world.transcript());
    // A process that dies with the request under way asks again.
    let mut world = with_bad_release(accepting(), PICKS);
    world.latency = secs(4);
    world.reply("unpin", LOST);
    world.run_until(|world| world.count("unpin") == 1);
    world.restart();
    run_until_let_go(&mut world);
    assert_eq!((world.count("unpin"), world.platform.pushes), (2, Some(Pushes::Deploy)));
}

#[test]
fn another_incident_takes_a_pause_over_that_was_not_let_go_yet() {
    let mut policy = accepting();
    policy.limits.cooldown = secs(0);
    let mut world = with_bad_release(policy, PICKS);
    world.run_to_stage("soaking");
    for _ in 0..600 {
        world.reply("unpin", Reply::Not(Rejection::Denied, None));
    }
    world.run_to_close();
    world.run(secs(30));
    world.release_bad();
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.script.clear();
    run_until_let_go(&mut world);
    assert_eq!(changes(&world), ["pause", "rollback", "rollback", "let go"], "{}", world.transcript());
}

#[test]
fn what_is_still_looked_out_for_of_an_earlier_pause_does_not_end_a_later_one() {
    let mut world = steady(accepting(), PICKS);
    // Somebody let an earlier pause go, which is looked out for a little longer.
    let earlier = IncidentId::of(&"shop".into(), &"earlier".into());
    let pin = SoftPin::of(earlier, world.at + secs(90));
    world.state.ledger.soft_pin = Some(SoftPin { over_at: world.at, seen_absent: true, ..pin });
    world.release_bad();
    world.run_to_stage("rolling_back");
    let pin = world.state.ledger.soft_pin.clone().expect("a pause");
    let mine = world.state.incident().expect("open").id.clone();
    assert_eq!((pin.incident, pin.is_answered), (mine, true));
    assert!(pin.until.since(world.at) > minutes(50), "reads may lag: it is looked out for as any other");
}

#[test]
fn going_back_that_does_not_help_is_undone_by_going_back_once_more() {
    for (capabilities, expected) in
        [(PICKS, vec!["pause", "rollback", "rollback", "let go"]), (BY_CODE, vec!["rollback", "rollback"])]
    {
        let mut world = with_bad_release(accepting(), capabilities);
        let accused = world.platform.active.clone();
        world.outage = true;
        world.run_to_stage("reverting");
        world.outage = false;
        world.bad.clear();
        assert_eq!(
            world.run_to_close(),
            (Outcome::Reverted, Reason::SoakUnhealthy),
            "{}",
            world.transcript()
        );
        run_until_let_go(&mut world);
        assert_eq!(changes(&world), expected);
        let ran = |id| &world.platform.get(id).expect("it exists").artifact;
        assert_eq!(ran(&world.platform.active), ran(&accused));
        // What came back is no release to judge.
        world.run(minutes(40));
        assert_eq!(changes(&world), expected, "{}", world.transcript());
    }
}

#[test]
fn an_undoing_that_is_lost_is_found_and_one_that_went_elsewhere_is_a_person_s() {
    let to_reverting = |capabilities| {
        let mut world = with_bad_release(accepting(), capabilities);
        world.outage = true;
        world.run_to_stage("soaking");
        world
    };
    let mut world = to_reverting(PICKS);
    world.reply("create_rollback", APPLIED);
    assert_eq!(world.run_to_close(), (Outcome::Reverted, Reason::SoakUnhealthy), "{}", world.transcript());
    let mut world = to_reverting(PICKS);
    world.reply("create_rollback", LOST);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakUnhealthy), "{}", world.transcript());
    assert_eq!(world.count("create_rollback"), 2);
    let mut world = to_reverting(BY_CODE);
    world.reply("create_rollback", LOST);
    assert_eq!(world.run_to_close(), (Outcome::Reverted, Reason::SoakUnhealthy), "{}", world.transcript());
    assert_eq!(world.count("create_rollback"), 3);
    let mut world = to_reverting(PICKS);
    world.platform.picks = Some(world.platform.deployments[0].id.clone());
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
}

#[test]
fn advice_is_said_and_refuses_nothing() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.platform.warnings = vec!["artifact_unknown"];
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Warnings));
    let mut world = with_bad_release(accepting(), PICKS);
    (world.platform.warnings, world.platform.warnings_are_advice) = (vec!["deploy_hook_enabled"], true);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert!(world.transcript().contains("deploy_hook_enabled"));
}
