//! A platform that picks the target by itself, and whose pin is a pause of pushes.

use super::calls::{APPLIED, LOST};
use super::platform::{Who, Write};
use super::pushes::run_until_let_go;
use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::capability::{Capabilities, PinKind, Pushes, Signals, Support, Targeting};
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::{Accepted, Cause, Phase, Request};
use crate::decision::policy::{Mode, Policy};
use crate::decision::state::{Outcome, Situation};

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

#[test]
fn a_whole_rollback_pauses_pushes_before_it_and_lets_them_go_after_it() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.run_to_stage("soaking");
    assert_eq!((changes(&world), world.platform.pushes), (vec!["pause", "rollback"], Some(Pushes::Paused)));
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert!(
        world.transcript().contains("[commit soak_healthy]"),
        "decided, and so counted: {}",
        world.transcript()
    );
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

type Until = fn(&mut World);

/// Moments at which a rollback is meant and has not been asked for.
const MEANT: [Until; 5] = [
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
    |world| {
        world.reply("create_rollback", Reply::Guarded(Guard::Observe));
        world.run_until(|world| world.count("create_rollback") == 1);
    },
];

/// What was changed by then, and by what was under way.
const DONE: [&[&str]; 5] = [&[], &[], &["pause"], &[], &["pause"]];

#[test]
fn a_word_that_is_withdrawn_counts_from_then_on_until_the_rollback_is_asked_for() {
    for (n, until) in MEANT.into_iter().enumerate() {
        let mut world = with_bad_release(accepting(), PICKS);
        until(&mut world);
        world.policy.accept_platform_choice = false;
        assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::NotValid), "{n}: {}", world.transcript());
        assert!(world.transcript().contains("accept_platform_choice"), "{}", world.transcript());
        world.latency = secs(0);
        world.run(minutes(5));
        assert_eq!(changes(&world), and_let_go(DONE[n]), "{n}: {}", world.transcript());
    }
    // What a person ordered is accepted by that.
    let mut world = with_bad_release(Policy { mode: Mode::Approve, ..policy() }, PICKS);
    let accept = Accepted::default();
    world.run(secs(2));
    world.ask(Request::Rollback { to: None, accept });
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}

fn and_let_go(done: &[&'static str]) -> Vec<&'static str> {
    done.iter().copied().chain((!done.is_empty()).then_some("let go")).collect()
}

#[test]
fn a_mode_that_asks_or_only_observes_counts_from_then_on_until_the_rollback_is_asked_for() {
    for (n, until) in MEANT.into_iter().enumerate() {
        let meant = |mode| {
            let mut world = with_bad_release(accepting(), PICKS);
            until(&mut world);
            world.policy.mode = mode;
            world
        };
        let mut world = meant(Mode::Observe);
        assert_eq!(
            world.run_to_close(),
            (Outcome::Observed, Reason::ObserveMode),
            "{n}: {}",
            world.transcript()
        );
        (world.latency, world.policy.mode) = (secs(0), Mode::Enforce);
        world.run(minutes(5));
        assert_eq!(changes(&world), and_let_go(DONE[n]), "{n}: {}", world.transcript());
        // Nobody answers.
        let mut world = meant(Mode::Approve);
        world.run_to_stage("awaiting_approval");
        assert_eq!(changes(&world), DONE[n], "{n}: {}", world.transcript());
        assert_eq!(
            world.run_to_close(),
            (Outcome::Held, Reason::ApprovalExpired),
            "{n}: {}",
            world.transcript()
        );
        assert_eq!(changes(&world), and_let_go(DONE[n]), "{n}: {}", world.transcript());
        // Somebody does.
        let mut world = meant(Mode::Approve);
        world.run_to_stage("awaiting_approval");
        world.latency = secs(0);
        world.ask(Request::Approve);
        assert_eq!(
            world.run_to_close(),
            (Outcome::Committed, Reason::SoakHealthy),
            "{n}: {}",
            world.transcript()
        );
        run_until_let_go(&mut world);
        assert_eq!(changes(&world), ["pause", "rollback", "let go"], "{n}: {}", world.transcript());
    }
}

#[test]
fn an_app_that_leaves_the_configuration_is_not_rolled_back_and_nothing_of_ours_stays() {
    for (n, until) in MEANT.into_iter().enumerate() {
        let mut world = with_bad_release(accepting(), PICKS);
        until(&mut world);
        world.operator.has_left = true;
        assert_eq!(
            world.run_to_close(),
            (Outcome::Superseded, Reason::Superseded),
            "{n}: {}",
            world.transcript()
        );
        assert!(world.transcript().contains("not configured any more"), "{}", world.transcript());
        world.latency = secs(0);
        world.run(minutes(5));
        assert_eq!(changes(&world), and_let_go(DONE[n]), "{n}: {}", world.transcript());
    }
    // What is asked for is brought to its end, and nobody is accused any more.
    let mut world = with_bad_release(accepting(), PICKS);
    world.run_to_stage("rolling_back");
    world.operator.has_left = true;
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    run_until_let_go(&mut world);
    world.release_bad();
    world.run(minutes(60));
    assert_eq!((changes(&world).len(), world.closed.len()), (3, 1), "{}", world.transcript());
    // Nor is anybody learnt to be good: who may come back was judged by nobody.
    let mut world = steady(accepting(), PICKS);
    world.operator.has_left = true;
    let release = world.release();
    world.run(minutes(60));
    assert!(!world.state.ledger.good.iter().any(|good| good.id == release), "{:?}", world.state.ledger.good);
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
    world.run(minutes(1));
    assert_eq!(changes(&world), ["pause", "let go"]);
    // What it may pause by itself is looked out for as long as it may be carried out.
    world.run(minutes(89));
    assert_eq!(changes(&world), ["pause", "let go"]);
    assert_eq!(world.count("create_rollback"), 1);
    assert_eq!(world.state.ledger.soft_pin, None, "{}", world.transcript());
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
