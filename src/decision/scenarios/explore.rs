//! Every order of events, to a depth: a breadth-first search of the core beside the model platform.
//!
//! From each step of an incident, under each behaviour of the platform that nobody has documented, every sequence of
//! so many events is tried: time passes or jumps, deployments end, answers are lost, applied or late, people act, the
//! process dies. Worlds that differ in nothing but the date are one. The judge looks at each of them, and from some
//! of them all faults end and the incident has to come to its end.
//!
//! `REARGUARD_DEPTH` sets the depth.

mod key;

use std::collections::HashSet;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use key::key;

use super::judge;
use super::picks::{BY_CODE, PICKS, steady};
use super::platform::Who;
use super::walk::calm;
use super::world::{Reply, Sight, World, policy, secs};
use crate::decision::capability::{Capabilities, PinKind, Pushes};
use crate::decision::effect::{Effect, Guard, Rejection};
use crate::decision::observation::{Accepted, Cause, Freeze, Phase, ReadFault, Request};
use crate::decision::policy::{Condition, Mode, OnUnhealthy, Policy};
use crate::decision::sample::Window;
use crate::decision::state::Situation;

/// How many events are tried in a row where nobody asks for another number.
const DEPTH: usize = 2;
/// One in so many worlds has to come to an end.
const CALMED: u64 = 512;
/// More deployments than that are no small world.
const DEPLOYMENTS: usize = 6;

/// What may happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    /// Two reads' worth of time.
    Pass,
    /// Longer than a call is looked for.
    Wait,
    /// The machine slept for 31 minutes.
    Jump,
    Release {
        bad: bool,
    },
    Build,
    Ends(Phase),
    /// What the last create asked for is done once more: a duplicate on the wire.
    Duplicate,
    PersonCommits,
    PersonReverts,
    PersonRollsBack,
    PersonRestarts,
    /// A person has pushes not deployed, or deployed again, where that can be had.
    PersonSwitchesPushes,
    Ask(Request),
    Pause,
    /// A freeze window of both kinds opens or ends.
    Freeze,
    /// How the next call fares.
    Next(Fate),
    Heals,
    Outage,
    Blind,
    Unreadable,
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    LostApplied,
    LostLate,
    LostVeryLate,
    Lost,
    Limited,
    RefusedApplied,
    Refused,
    Changed,
}

const EVENTS: [Event; 35] = [
    Event::Pass,
    Event::Wait,
    Event::Jump,
    Event::Release { bad: true },
    Event::Release { bad: false },
    Event::Build,
    Event::Ends(Phase::Active),
    Event::Ends(Phase::Error),
    Event::Duplicate,
    Event::PersonCommits,
    Event::PersonReverts,
    Event::PersonRollsBack,
    Event::PersonRestarts,
    Event::PersonSwitchesPushes,
    Event::Ask(Request::Approve),
    Event::Ask(Request::Reject),
    Event::Ask(Request::Resume),
    Event::Ask(Request::Rollback { to: None, accept: Accepted { warnings: false, migrations: false } }),
    Event::Ask(Request::Commit),
    Event::Ask(Request::Revert),
    Event::Pause,
    Event::Freeze,
    Event::Next(Fate::LostApplied),
    Event::Next(Fate::LostLate),
    Event::Next(Fate::LostVeryLate),
    Event::Next(Fate::Lost),
    Event::Next(Fate::Limited),
    Event::Next(Fate::RefusedApplied),
    Event::Next(Fate::Refused),
    Event::Next(Fate::Changed),
    Event::Heals,
    Event::Outage,
    Event::Blind,
    Event::Unreadable,
    Event::Crash,
];

const CALLS: [&str; 7] = ["validate", "pin", "restart", "create_rollback", "commit", "revert", "unpin"];

fn reply(fate: Fate) -> Reply {
    match fate {
        Fate::LostApplied => Reply::Lost { applied_after: Some(Duration::ZERO) },
        Fate::LostLate => Reply::Lost { applied_after: Some(secs(10)) },
        Fate::LostVeryLate => Reply::Lost { applied_after: Some(secs(50)) },
        Fate::Lost => Reply::Lost { applied_after: None },
        Fate::Limited => Reply::Not(Rejection::RateLimited, Some(secs(8))),
        Fate::RefusedApplied => Reply::Refused { status: 409, applied: true },
        Fate::Refused => Reply::Refused { status: 409, applied: false },
        Fate::Changed => Reply::Guarded(Guard::Changed),
    }
}

/// Does it, unless it cannot happen now.
fn happen(world: &mut World, event: &Event) -> bool {
    let at = world.at;
    let is_small = world.platform.deployments.len() < DEPLOYMENTS;
    // A pinned app takes no new deployments.
    let takes = is_small && world.platform.pinned.is_none();
    match event {
        Event::Pass => world.run(secs(8)),
        Event::Wait => world.run(secs(40)),
        Event::Jump => {
            // What a read that lags shows after it is how the platform stood all the while.
            world.remember();
            world.at = at + secs(31 * 60);
        }
        Event::Release { .. } | Event::Build | Event::PersonRestarts | Event::PersonRollsBack if !takes => {
            return false;
        }
        Event::Release { bad: true } => drop(world.release_bad()),
        Event::Release { bad: false } => drop(world.release()),
        Event::Build => drop(world.platform.make(Cause::Release, None, at)),
        Event::Ends(phase) => {
            let Some(id) = world.platform.in_progress.clone() else { return false };
            // A restart heals nothing by itself.
            let is_restart = world.platform.get(&id).is_some_and(|entry| entry.cause == Cause::Restart);
            if is_restart && world.bad.contains(&world.platform.active) {
                world.bad.insert(id.clone());
            }
            world.platform.finish(&id, *phase, at);
        }
        Event::Duplicate => {
            let last = world.effects.iter().rev().find_map(|(sent, effect)| match effect {
                Effect::CreateRollback { target, .. } => Some((*sent, target.clone())),
                _ => None,
            });
            let Some((sent, target)) = last.filter(|_| is_small) else { return false };
            return world.platform.rollback(Who::Rearguard, &target, sent, at).is_some();
        }
        Event::PersonCommits => return world.platform.commit(Who::Person, at),
        Event::PersonReverts => return is_small && world.platform.revert(Who::Person, at).is_some(),
        Event::PersonRollsBack => {
            return world.platform.rollback(Who::Person, &"d1".into(), at, at).is_some();
        }
        Event::PersonRestarts => {
            let live = world.platform.active.clone();
            let id = world.platform.make(Cause::Restart, Some(&live), at);
            world.platform.finish(&id, Phase::Active, at);
            if world.bad.contains(&live) {
                world.bad.insert(id);
            }
        }
        Event::PersonSwitchesPushes => {
            let pushes = match world.platform.pushes {
                None => return false,
                Some(Pushes::Deploy) => Pushes::Paused,
                Some(Pushes::Paused) => Pushes::Deploy,
            };
            world.platform.set_pushes(Who::Person, pushes, at);
        }
        Event::Ask(request) => world.ask(request.clone()),
        Event::Pause => world.operator.paused = !world.operator.paused,
        Event::Freeze => {
            let is_open = world.operator.freeze.rollback;
            world.operator.freeze = Freeze { rollback: !is_open, commit: !is_open };
        }
        Event::Next(fate) => {
            for call in CALLS {
                world.script.insert(call, [reply(*fate)].into());
            }
        }
        Event::Heals if world.bad.is_empty() => return false,
        Event::Heals => world.bad.clear(),
        Event::Outage => world.outage = !world.outage,
        Event::Blind => {
            world.sight = if world.sight == Sight::Clear { Sight::Blind } else { Sight::Clear };
        }
        Event::Unreadable => {
            world.fault = if world.fault.is_none() { Some(ReadFault::Unreachable) } else { None };
        }
        Event::Crash => world.restart(),
    }
    true
}

#[derive(Clone)]
struct Node {
    world: World,
    path: Vec<Event>,
    /// A pin may be nobody's on the way that led here.
    may_forget: bool,
}

#[derive(Default)]
struct Found {
    worlds: usize,
    tried: usize,
    calmed: usize,
}

/// A platform's behaviour and a policy.
#[derive(Clone, Copy, Debug)]
struct Variant {
    capabilities: Capabilities,
    restart_first: bool,
    mode: Mode,
    refuses_when_pinned: bool,
    says_cloned_from: bool,
    on_unhealthy: OnUnhealthy,
    /// Reads show the platform as it was this long ago.
    lag: Duration,
    /// A call is answered after that.
    latency: Duration,
}

fn variants() -> Vec<Variant> {
    let all = [true, false].into_iter().flat_map(|refuses_when_pinned| {
        [true, false].into_iter().flat_map(move |says_cloned_from| {
            [OnUnhealthy::Revert, OnUnhealthy::Hold].map(|on_unhealthy| Variant {
                capabilities: Capabilities::default(),
                restart_first: false,
                mode: Mode::Enforce,
                refuses_when_pinned,
                says_cloned_from,
                on_unhealthy,
                lag: Duration::ZERO,
                latency: Duration::ZERO,
            })
        })
    });
    let mut all: Vec<Variant> = all.collect();
    let (first, last) = (all[0], all[all.len() - 2]);
    all.push(Variant { mode: Mode::Approve, ..all[1] });
    all.push(Variant { mode: Mode::Approve, ..last });
    all.push(Variant { lag: secs(10), ..first });
    all.push(Variant { lag: secs(10), ..last });
    // A process dies between a call and its answer, too.
    all.push(Variant { latency: secs(4), ..first });
    all.push(Variant { latency: secs(4), ..last });
    all.push(Variant { restart_first: true, ..first });
    // Where nothing says what a rollback repeats, pushes are all that can be kept away, or not even they.
    let [picks, by_code] =
        [PICKS, BY_CODE].map(|capabilities| Variant { capabilities, says_cloned_from: false, ..first });
    all.push(picks);
    all.push(Variant { on_unhealthy: OnUnhealthy::Hold, ..picks });
    all.push(Variant { mode: Mode::Approve, ..picks });
    all.push(Variant { lag: secs(10), ..picks });
    all.push(Variant { latency: secs(4), ..picks });
    all.push(by_code);
    all.push(Variant { restart_first: true, lag: secs(10), ..by_code });
    all
}

impl Variant {
    fn policy(self) -> Policy {
        let mut policy = policy();
        policy.mode = self.mode;
        policy.rules[0].tests[0].condition = Condition::ConsecutiveFailures { count: 2 };
        policy.soak.period = secs(16);
        policy.soak.min_samples = 3;
        policy.soak.on_unhealthy = self.on_unhealthy;
        policy.limits.cooldown = secs(60);
        policy.limits.max_rollbacks = 10;
        policy.accept_platform_choice = true;
        policy.restart_first = self.restart_first.then_some(secs(30));
        policy
    }

    /// The steps of an incident, each as far as it goes by itself.
    fn roots(self) -> Vec<World> {
        let mut world = steady(self.policy(), self.capabilities);
        world.platform.refuses_when_pinned = self.refuses_when_pinned;
        world.platform.says_cloned_from = self.says_cloned_from;
        world.roll_out = None;
        world.is_told = false;
        (world.lag, world.worst_lag, world.latency) = (self.lag, self.lag, self.latency);
        world.windows = vec![Window::new(8)];
        let mut roots = vec![world.clone()];
        world.release_bad();
        roots.push(world.clone());
        world.run(secs(8));
        roots.push(world.clone());
        if self.mode == Mode::Approve {
            world.ask(Request::Approve);
            world.run(secs(4));
        }
        if self.capabilities.pin == PinKind::Soft {
            // Pushes are paused, and nobody heard whether they are.
            for applied_after in [Some(Duration::ZERO), None] {
                let mut world = world.clone();
                world.reply("pin", Reply::Lost { applied_after });
                world.run_until(|world| world.count("pin") > 0);
                roots.push(world);
            }
        }
        if self.restart_first {
            world.run_until(|world| world.platform.in_progress.is_some());
            roots.push(world.clone());
            happen(&mut world, &Event::Ends(Phase::Active));
        }
        world.run_until(|world| world.platform.in_progress.is_some());
        roots.push(world.clone());
        let rollback = world.platform.in_progress.clone().expect("a rollback");
        let at = world.at;
        world.platform.finish(&rollback, Phase::Active, at);
        world.run(secs(8));
        roots.push(world.clone());
        if self.capabilities.pin == PinKind::Soft {
            roots.extend(long_after(&world));
        }
        // What ends it is asked for and not answered: a commit or a revert, where there are such calls, or what they are
        // made of.
        for outage in [false, true] {
            let mut world = world.clone();
            world.outage = outage;
            let before = world.effects.len();
            for call in ["commit", "revert", "unpin", "create_rollback"] {
                world.reply(call, Reply::Lost { applied_after: None });
            }
            world.run_until(|world| world.effects.len() > before || !is_open(world));
            roots.push(world);
        }
        roots
    }
}

/// Long after a pause of pushes that is still there: the rollback does not help, or no end of it is heard of. Then a person lets
/// pushes go.
fn long_after(world: &World) -> Vec<World> {
    let mut roots = Vec::new();
    for outage in [false, true] {
        let mut world = world.clone();
        world.outage = outage;
        for _ in 0..8 {
            world.reply("unpin", Reply::Lost { applied_after: None });
        }
        world.run(secs(100));
        roots.push(world.clone());
        if world.platform.pushes == Some(Pushes::Paused) {
            world.script.clear();
            happen(&mut world, &Event::PersonSwitchesPushes);
            world.run(secs(8));
            roots.push(world);
        }
    }
    roots
}

fn is_open(world: &World) -> bool {
    matches!(world.state.situation, Situation::Incident(_))
}

/// Whether a pin may be nobody's after it: a person who resumes takes the pin over; a duplicate makes one that no call of
/// ours stands for.
fn may_forget(event: &Event) -> bool {
    matches!(event, Event::Ask(Request::Resume) | Event::Duplicate)
}

/// Judges a world that was not there before.
fn judged(world: &World, may_forget: bool) {
    judge::at_rest(world);
    if !may_forget {
        judge::no_pin_is_forgotten(world);
        judge::no_pause_of_pushes_is_forgotten(world);
    }
}

/// All faults end, and the incident has to.
fn comes_to_an_end(world: &World) {
    let mut world = world.clone();
    calm(&mut world);
    world.outage = false;
    for _ in 0..3 * 1_800 {
        if !is_open(&world) {
            return;
        }
        world.tick();
    }
    panic!("no end");
}

fn explore(variant: Variant, depth: usize) -> Found {
    let (mut found, mut seen) = (Found::default(), HashSet::new());
    let mut layer: Vec<Node> = Vec::new();
    for world in variant.roots() {
        if seen.insert((key(&world), false)) {
            layer.push(Node { world, path: Vec::new(), may_forget: false });
        }
    }
    for level in 0..depth {
        let mut next = Vec::new();
        for node in layer {
            for event in EVENTS {
                let mut path = node.path.clone();
                path.push(event.clone());
                let may_forget = node.may_forget || may_forget(&event);
                let step = catch_unwind(AssertUnwindSafe(|| {
                    let mut world = node.world.clone();
                    if !happen(&mut world, &event) {
                        return None;
                    }
                    let key = key(&world);
                    if seen.contains(&(key, may_forget)) {
                        return Some((key, None));
                    }
                    judged(&world, may_forget);
                    if key.is_multiple_of(CALMED) {
                        comes_to_an_end(&world);
                    }
                    Some((key, Some(world)))
                }));
                let Ok(step) = step else {
                    panic!("{variant:?}, after {path:?}:\n{}", retold(&node, &event))
                };
                let Some((key, world)) = step else { continue };
                found.tried += 1;
                let Some(world) = world else { continue };
                seen.insert((key, may_forget));
                found.calmed += usize::from(key.is_multiple_of(CALMED));
                if level + 1 < depth {
                    next.push(Node { world, path, may_forget });
                }
            }
        }
        layer = next;
    }
    found.worlds = seen.into_iter().map(|(key, _)| key).collect::<HashSet<_>>().len();
    found
}

/// The last step once more, with what happens in it.
fn retold(node: &Node, event: &Event) -> String {
    let mut world = node.world.clone();
    world.is_told = true;
    let _ = catch_unwind(AssertUnwindSafe(|| happen(&mut world, event)));
    format!("{:#?}\nthen {event:?}:\n{}", node.world.state, world.transcript())
}

#[test]
fn every_order_of_events_is_survived() {
    let depth = std::env::var("REARGUARD_DEPTH").ok().and_then(|text| text.parse().ok()).unwrap_or(DEPTH);
    let began = tokio::time::Instant::now();
    let mut all = Found::default();
    let found: Vec<Found> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            variants().into_iter().map(|variant| scope.spawn(move || explore(variant, depth))).collect();
        threads.into_iter().map(|thread| thread.join().expect("explored")).collect()
    });
    for found in found {
        all.worlds += found.worlds;
        all.tried += found.tried;
        all.calmed += found.calmed;
    }
    // Past what tests are kept from saying.
    let _ = writeln!(
        std::io::stderr(),
        "explored to depth {depth}: {} worlds, {} steps, {} brought to an end, {:.1} s",
        all.worlds,
        all.tried,
        all.calmed,
        began.elapsed().as_secs_f64()
    );
    assert!(all.worlds > 10_000, "{} worlds", all.worlds);
}
