//! Random walks: everything that can happen, in any order, with the judge watching.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::judge;
use super::platform::Who;
use super::world::{Reply, Sight, World, minutes, policy, rule, secs};
use crate::decision::effect::{Guard, Rejection};
use crate::decision::observation::{Accepted, Cause, Freeze, Phase, ReadFault, Request};
use crate::decision::policy::{Condition, Mode, OnHealthy, OnMigrations, OnUnhealthy, Policy};
use crate::decision::state::Outcome;

#[derive(Clone, Debug)]
enum Move {
    Pass(u64),
    Jump(u64),
    Outage(bool),
    Heal,
    Look(Sight),
    Release { bad: bool },
    Build,
    End(Phase),
    RestartApp,
    Commit,
    Revert,
    RollBack(usize),
    Reply(&'static str, Reply),
    Fault(Option<ReadFault>),
    Lag(u64),
    Latency(u64),
    RollOut(Option<u64>),
    Pause(bool),
    Ask(Request),
    Freeze(Freeze),
    Mode(Mode),
    Crash,
}

const CALLS: [&str; 4] = ["validate", "create_rollback", "commit", "revert"];

fn any_reply() -> impl Strategy<Value = Reply> {
    let rejections =
        [Rejection::RateLimited, Rejection::Denied, Rejection::NotConnected, Rejection::NotFound];
    let guards = [Guard::Changed, Guard::Unreadable, Guard::Paused, Guard::Storm];
    prop_oneof![
        3 => prop::option::of(0_u64..90)
            .prop_map(|after| Reply::Lost { applied_after: after.map(Duration::from_secs) }),
        3 => Just(Reply::Lost { applied_after: Some(Duration::ZERO) }),
        2 => (prop::sample::select(rejections.to_vec()), prop::option::of(0_u64..100_000))
            .prop_map(|(why, after)| Reply::Not(why, after.map(Duration::from_secs))),
        2 => any::<bool>().prop_map(|applied| Reply::Refused { status: 409, applied }),
        1 => prop::sample::select(guards.to_vec()).prop_map(Reply::Guarded),
    ]
}

fn any_move() -> impl Strategy<Value = Move> {
    let faults = [ReadFault::Unreachable, ReadFault::RateLimited, ReadFault::Denied, ReadFault::NotFound];
    let back = |to: Option<&str>| Request::Rollback { to: to.map(Into::into), accept: Accepted::default() };
    let requests = [
        Request::Approve,
        Request::Approve,
        Request::Reject,
        Request::Resume,
        back(None),
        back(Some("d1")),
        Request::Commit,
        Request::Revert,
    ];
    prop_oneof![
        12 => (1_u64..90).prop_map(Move::Pass),
        3 => (90_u64..900).prop_map(Move::Pass),
        1 => (1_u64..90).prop_map(Move::Jump),
        1 => any::<bool>().prop_map(Move::Outage),
        2 => Just(Move::Heal),
        2 => prop::sample::select(vec![Sight::Clear, Sight::Clear, Sight::Blind, Sight::Silent])
            .prop_map(Move::Look),
        6 => prop::bool::weighted(0.8).prop_map(|bad| Move::Release { bad }),
        1 => Just(Move::Build),
        2 => prop::sample::select(vec![Phase::Active, Phase::Error, Phase::Canceled]).prop_map(Move::End),
        1 => Just(Move::RestartApp),
        1 => Just(Move::Commit),
        1 => Just(Move::Revert),
        1 => (0_usize..8).prop_map(Move::RollBack),
        8 => (prop::sample::select(CALLS.to_vec()), any_reply())
            .prop_map(|(call, reply)| Move::Reply(call, reply)),
        2 => prop::option::of(prop::sample::select(faults.to_vec())).prop_map(Move::Fault),
        1 => prop::sample::select(vec![0_u64, 0, 6, 20, 60]).prop_map(Move::Lag),
        1 => prop::sample::select(vec![0_u64, 2, 8]).prop_map(Move::Latency),
        1 => prop::option::of(10_u64..120).prop_map(Move::RollOut),
        1 => prop::bool::weighted(0.3).prop_map(Move::Pause),
        4 => prop::sample::select(requests.to_vec()).prop_map(Move::Ask),
        1 => (prop::bool::weighted(0.3), prop::bool::weighted(0.3))
            .prop_map(|(rollback, commit)| Move::Freeze(Freeze { rollback, commit })),
        1 => prop::sample::select(vec![Mode::Enforce, Mode::Enforce, Mode::Approve, Mode::Observe])
            .prop_map(Move::Mode),
        2 => Just(Move::Crash),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (any::<[bool; 5]>(), 1_u64..15, 5_u32..60).prop_map(|(flags, soak, samples)| {
        let mut policy = policy();
        policy.soak.period = minutes(soak);
        policy.soak.min_samples = samples;
        policy.soak.on_healthy = if flags[0] { OnHealthy::Commit } else { OnHealthy::Hold };
        policy.soak.on_unhealthy = if flags[1] { OnUnhealthy::Revert } else { OnUnhealthy::Hold };
        policy.rollback.migrations = if flags[2] { OnMigrations::Hold } else { OnMigrations::Allow };
        policy.limits.cooldown = minutes(1);
        policy.limits.max_rollbacks = 10;
        if flags[3] {
            policy.mode = Mode::Approve;
        }
        if flags[4] {
            let condition = Condition::FailureRatio { above: 0.3, over: secs(60), min_samples: 7 };
            policy.rules.push(rule("flaky", condition));
        }
        policy
    })
}

fn go(world: &mut World, step: &Move) {
    let at = world.at;
    match step {
        Move::Pass(seconds) => world.run(secs(*seconds)),
        Move::Jump(by) => world.at = at + minutes(*by),
        Move::Outage(on) => world.outage = *on,
        Move::Heal => world.bad.clear(),
        Move::Look(sight) => world.sight = *sight,
        // A pinned app takes no new deployments.
        Move::Release { .. } | Move::Build | Move::RestartApp | Move::RollBack(_)
            if world.platform.pinned.is_some() => {}
        Move::Release { bad: false } => drop(world.release()),
        Move::Release { bad: true } => drop(world.release_bad()),
        Move::Build => drop(world.platform.make(Cause::Release, None, at)),
        Move::End(phase) => {
            if let Some(id) = world.platform.in_progress.clone() {
                world.platform.finish(&id, *phase, at);
            }
        }
        Move::RestartApp => {
            let live = world.platform.active.clone();
            let id = world.platform.make(Cause::Restart, Some(&live), at);
            world.platform.finish(&id, Phase::Active, at);
            if world.bad.contains(&live) {
                world.bad.insert(id);
            }
        }
        Move::Commit => drop(world.platform.commit(Who::Person, at)),
        Move::Revert => drop(world.platform.revert(Who::Person, at)),
        Move::RollBack(to) => {
            let complete: Vec<_> =
                world.platform.deployments.iter().filter(|entry| entry.complete).cloned().collect();
            let target = complete[to % complete.len()].id.clone();
            world.platform.rollback(Who::Person, &target, at, at);
        }
        Move::Reply(call, reply) => world.reply(call, reply.clone()),
        Move::Fault(fault) => world.fault = *fault,
        Move::Lag(seconds) => {
            world.lag = secs(*seconds);
            world.worst_lag = world.worst_lag.max(world.lag);
        }
        Move::Latency(seconds) => world.latency = secs(*seconds),
        Move::RollOut(after) => world.roll_out = after.map(secs),
        Move::Pause(paused) => world.operator.paused = *paused,
        Move::Ask(request) => world.ask(request.clone()),
        Move::Freeze(freeze) => world.operator.freeze = *freeze,
        Move::Mode(mode) => world.policy.mode = *mode,
        Move::Crash => world.restart(),
    }
    judge::at_rest(world);
}

/// Nothing is in the way any more.
pub(super) fn calm(world: &mut World) {
    world.fault = None;
    world.lag = Duration::ZERO;
    world.latency = Duration::ZERO;
    world.roll_out = Some(secs(60));
    world.operator.paused = false;
    world.operator.freeze = Freeze::default();
    world.sight = Sight::Clear;
    world.script.clear();
}

#[derive(Clone, Debug)]
struct Walk {
    policy: Policy,
    says_cloned_from: bool,
    refuses_when_pinned: bool,
    says_age: bool,
    steps: Vec<Move>,
}

fn any_walk() -> impl Strategy<Value = Walk> {
    let steps = prop::collection::vec(any_move(), 10..60);
    (any_policy(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.8), steps).prop_map(
        |(policy, says_cloned_from, refuses_when_pinned, says_age, steps)| Walk {
            policy,
            says_cloned_from,
            refuses_when_pinned,
            says_age,
            steps,
        },
    )
}

/// Walks, then lets everything calm down until no incident is open, for three hours at most.
fn walk(walk: &Walk) -> World {
    let mut world = World::steady(walk.policy.clone());
    world.platform.says_cloned_from = walk.says_cloned_from;
    world.platform.refuses_when_pinned = walk.refuses_when_pinned;
    world.platform.says_age = walk.says_age;
    for step in &walk.steps {
        world.lines.push(format!("       -- {step:?}"));
        go(&mut world, step);
    }
    world.lines.push("       -- calm".to_owned());
    calm(&mut world);
    for _ in 0..3 * 1_800 {
        world.tick();
        if world.state.incident().is_none() {
            break;
        }
    }
    judge::at_rest(&world);
    assert!(world.state.incident().is_none(), "no end:\n{}", world.transcript());
    let resumed = walk.steps.iter().any(|step| matches!(step, Move::Ask(Request::Resume)));
    if !resumed && world.worst_lag.is_zero() {
        judge::no_pin_is_forgotten(&world);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_the_ledger_is_in_order_and_every_incident_ends(steps in any_walk()) {
        walk(&steps);
    }
}

#[test]
fn the_walks_go_everywhere() {
    let mut runner = TestRunner::deterministic();
    let mut ends = BTreeSet::new();
    for _ in 0..300 {
        let steps = any_walk().new_tree(&mut runner).expect("a walk").current();
        let world = walk(&steps);
        ends.extend(world.closed.iter().map(|closed| closed.outcome));
    }
    let missing: Vec<_> = Outcome::ALL.into_iter().filter(|outcome| !ends.contains(outcome)).collect();
    assert_eq!(missing, [Outcome::Restarted], "a restart is not built yet");
}
