//! The simulation: the real tasks, the real core, the real adapter and the real journal, over a platform, probes, a
//! clock and a disk that all follow from one seed.
//!
//! One thread, paused time: an hour takes milliseconds, and a seed always gives the same course. `course` draws what
//! happens from the seed: releases, people, faults of every kind, crashes. `machine` is the host they happen on (its
//! clock, its network, its disk), `wire` the way to the platform and the sites, which are those of the lab, `disk` the
//! way to the journal. `panics` are counted. `life` runs one process from its start to its end, `run` a whole course.
//! `judge` looks at the platform's own ledger, never at what the daemon believes.
//!
//! `told` has courses that are told instead of drawn, to look at one step of the daemon; `conforms` tells one story on
//! every platform. From seed 10,000,000 on courses
//! are *close*: something happens right between two steps of each release. From 20,000,000 on the apps are on Sevalla, made
//! from Git, an image or as a static site, with every rule by which the platform may pick what it goes back to. The last
//! 60,000 seeds of each million draw all there is; what was drawn before something was added is drawn as it was then.
//!
//! Two kinds of course. In *safety* there are faults to the very end, and in one of three half of those that would stop never do. In
//! *liveness* they stop, and everything has to come to its end: every incident closed, every pin of ours settled or in the hands
//! of a person, and a bad release that comes after that rolled back.
//!
//! ```text
//! cargo test --lib sim::every -- --nocapture
//! cargo test --lib sim::close -- --nocapture
//! cargo test --lib sim::other -- --nocapture
//! cargo test --lib sim::right_between -- --nocapture
//! cargo test --lib sim::what_people -- --nocapture
//!
//! REARGUARD_SEEDS=240000   that many courses, a million incidents and more
//! REARGUARD_SECONDS=300    as many as fit into that
//! REARGUARD_FROM=1000000   others; each of the above has a range of its own
//! REARGUARD_SEED=10017     one of them, told step by step, by `sim::every`
//! ```
//!
//! A seed that fails says so, and the others go on.

mod attribution;
mod config;
mod conforms;
mod course;
mod disk;
mod end;
mod happen;
mod judge;
mod life;
mod machine;
mod measured;
mod panics;
mod run;
mod sum;
mod told;
mod wire;

use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{available_parallelism, scope};
use std::time::Duration;

use tokio::time::Instant;

use course::{Course, Event};
use run::{run, through};
use sum::Sum;

/// Seeds that failed once: those at which the product broke a promise, mended since, and those known of at which a judge
/// asked for what nobody could know. What the former showed, and where it is tested for itself, stands in `tests/README.md`.
#[rustfmt::skip]
const REGRESSIONS: &[u64] = &[
    27, 74, 248, 387, 1057, 1576, 1703, 1809, 2510, 2931, 3088, 3154, 4200, 4227, 5124, 7801, 10_309, 13_408,
    112_428, 118_685, 1_001_790, 1_003_527, 10_010_051, 10_011_557, 11_001_744, 21_003_704, 50_000_922,
    110_008_886, 120_000_293, 200_002_020, 12_004_767, 400_001_531, 400_009_379, 400_012_684,
    60_031, 60_192, 201_370, 300_092, 10_001_661, 20_000_121, 20_700_424,
    23_800_184, 22_040_981, 23_700_149, 23_700_199, 23_700_863, 23_000_046, 23_000_246, 23_000_327, 23_000_727, 23_000_956, 23_001_571, 23_002_251, 23_002_647, 23_001_380,
    // The judges'.
    2_003_183, 2_058_385, 12_001_387, 15_509_031, 23_032_913, 22_010_798, 100_003_129, 120_001_912, 200_008_778, 200_008_998, 300_020_186, 400_002_824,
    400_004_029, 400_004_335, 400_016_051, 15_500_501, 15_500_602, 25_500_136, 25_500_751, 25_500_804, 25_501_241, 25_501_311, 25_501_590,
    24_001_162, 24_002_952, 22_850_351, 22_700_065, 24_900_293, 26_810_017, 900_032, 23_900_039, 25_900_058, 26_900_220, 901_566, 21_940_012, 24_940_161, 21_941_813, 12_701_395, 26_940_078,
    // A time of going live that is the former one's.
    900_055, 900_320, 900_328, 900_367, 900_388, 5_940_041, 11_950_021,
];

/// What is drawn is added to from some seed of each million on.
const MILLION: u64 = 1_000_000;

/// Where each kind of course begins that draws all there is.
const KINDS: [u64; 5] = [
    course::ALL,
    course::CLOSE + course::ALL,
    course::OTHER + MILLION + course::ALL,
    course::CLOSE_OTHER + course::ALL,
    course::OTHER + course::ORDERED + course::ALL,
];

/// How many courses are tried where nobody asks for more.
const FEW: u64 = 40;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

fn threads() -> usize {
    available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Runs the seeds on all cores, until they or the time are used up. Gives what they came to, and those that failed.
fn run_all(seeds: impl Fn(u64) -> Option<u64> + Sync, span: Duration) -> (Sum, Vec<u64>) {
    let (began, next) = (Instant::now(), AtomicU64::new(0));
    let worker = || {
        let (mut sum, mut failed) = (Sum::default(), Vec::new());
        while began.elapsed() < span
            && let Some(seed) = seeds(next.fetch_add(1, Ordering::Relaxed))
        {
            match catch_unwind(|| run(seed, false)) {
                Ok(ran) => sum.add(&ran),
                Err(_) => {
                    println!(
                        "seed {seed} failed: REARGUARD_SEED={seed} cargo test --lib sim::every -- --nocapture"
                    );
                    failed.push(seed);
                }
            }
            if seed % 10_000 == 0 {
                println!("seed {seed} after {:.0} s", began.elapsed().as_secs_f64());
            }
        }
        (sum, failed)
    };
    let (mut sum, mut failed) = (Sum::default(), Vec::new());
    scope(|scope| {
        let running: Vec<_> = (0..threads()).map(|_| scope.spawn(worker)).collect();
        for thread in running {
            let (some, some_failed) = thread.join().expect("a thread that ends");
            sum.add(&some);
            failed.extend(some_failed);
        }
    });
    println!("{sum}\n{:.0} s on {} threads", began.elapsed().as_secs_f64(), threads());
    (sum, failed)
}

/// Tries as many courses of a kind as the environment asks for, or a few, from `first` on; the nth of them is so far behind
/// that one.
fn every_promise_holds(kind: Range<u64>, first: u64, place: impl Fn(u64) -> u64 + Sync) {
    let seconds = number("REARGUARD_SECONDS");
    let from = number("REARGUARD_FROM").unwrap_or(first);
    assert!(kind.contains(&from), "seeds from {from} on are another kind of course: {kind:?}");
    let left = kind.end - from;
    let seeds = number("REARGUARD_SEEDS").unwrap_or(if seconds.is_some() { left } else { FEW });
    assert!(seeds <= left, "there are {left} seeds from {from} on of that kind: {kind:?}");
    let span = seconds.map_or(Duration::MAX, Duration::from_secs);
    let (sum, failed) = run_all(|nth| (nth < seeds).then_some(from + place(nth)), span);
    assert!(sum.incidents() > 0, "nothing was tried");
    assert!(failed.is_empty(), "broken promises: {failed:?}");
}

#[test]
fn every_promise_holds_whatever_happens() {
    match number("REARGUARD_SEED") {
        Some(seed) => println!("{}", run(seed, true)),
        None => every_promise_holds(course::NEWEST..course::ORDERED, course::ALL, |nth| nth),
    }
}

#[test]
fn close_courses_keep_every_promise_as_well() {
    let kind = course::CLOSE + course::NEWEST..course::CLOSE + course::ORDERED;
    every_promise_holds(kind, course::CLOSE + course::ALL, |nth| nth);
}

#[test]
fn other_platforms_keep_every_promise_as_well() {
    every_promise_holds(course::OTHER..course::CLOSE_OTHER, course::OTHER + MILLION + course::ALL, |nth| nth);
}

#[test]
fn right_between_two_steps_on_other_platforms_every_promise_holds() {
    let kind = course::CLOSE_OTHER..course::OTHER + course::ORDERED;
    every_promise_holds(kind, course::CLOSE_OTHER + course::ALL, |nth| nth);
}

#[test]
fn what_people_order_keeps_every_promise_as_well() {
    // Each kind of course in turn.
    let first = course::ORDERED + course::ALL;
    every_promise_holds(course::ORDERED..course::CLOSE, first, |nth| nth % 3 * course::CLOSE + nth / 3);
}

/// [I18] The same course with a wall clock that is right, and with one that is not: the same calls, at the same time. What only the
/// wall clock can tell is left out: how long a process that cannot read its journal, or a machine that was started anew, was gone,
/// and when a freeze window is open.
#[test]
fn the_wall_clock_changes_no_call() {
    let is_wall = |event: &Event| matches!(event, Event::Wall(off_ms) if *off_ms != 0);
    let needs_it = |event: &Event| matches!(event, Event::StateLost | Event::Rebooted | Event::Disk(_));
    let has = |course: &Course, which: &dyn Fn(&Event) -> bool| {
        course.events.iter().any(|(_, event)| match event {
            Event::Meets(_, events) => events.iter().any(which),
            event => which(event),
        })
    };
    let calls = |course: Course, seed| -> Vec<_> {
        let entries = through(course, seed, false).lab.ledger().entries;
        entries.into_iter().map(|entry| (entry.at_ms, entry.who, entry.operation, entry.target)).collect()
    };
    let seeds = number("REARGUARD_SEEDS").unwrap_or(3);
    for from in KINDS {
        let wrong = (from..from + 10_000).map(|seed| (seed, Course::draw(seed)));
        let wrong = wrong.filter(|(_, course)| has(course, &is_wall) && !has(course, &needs_it));
        let mut tried = 0;
        for (seed, course) in
            wrong.filter(|(_, course)| course.frozen.is_none()).take(usize::try_from(seeds).expect("few"))
        {
            let mut right = course.clone();
            for (_, event) in right.events.iter_mut().filter(|(_, event)| is_wall(event)) {
                *event = Event::Wall(0);
            }
            let (wrong, right) = (calls(course, seed), calls(right, seed));
            let differ = wrong.iter().zip(&right).find(|(one, other)| one != other);
            assert!(wrong == right, "seed {seed}: {differ:?}");
            tried += 1;
        }
        assert_eq!(tried, seeds, "no such courses from {from} on");
    }
}

#[test]
fn what_once_broke_a_promise_does_so_no_more() {
    let nth = |nth: u64| REGRESSIONS.get(usize::try_from(nth).ok()?).copied();
    let (_, failed) = run_all(nth, Duration::MAX);
    assert!(failed.is_empty(), "broken promises: {failed:?}");
}

#[test]
fn a_seed_always_gives_the_same_course() {
    let kinds = number("REARGUARD_FROM").map_or(KINDS.to_vec(), |from| vec![from]);
    let seeds = number("REARGUARD_SEEDS").unwrap_or(4);
    let story = |seed| through(Course::draw(seed), seed, false).story();
    let all = kinds.into_iter().flat_map(|from| from..from + seeds);
    let differ: Vec<u64> = all.filter(|seed| story(*seed) != story(*seed)).collect();
    assert!(differ.is_empty(), "no course of its own: {differ:?}");
}
