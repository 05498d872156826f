//! Latencies: log-normal around a tenth of a second, with a deviation of a half.

use std::sync::LazyLock;

use super::glitches::glitching;
use super::{DAY, INTERVAL, Row, WATCH, came_out, defaults, found_within, is_not_twice_as_often, shipped};
use crate::detection::latency::{Latencies, Slower, Usual};
use crate::detection::power::Chance;

/// Seconds, each with so much of the one before in it.
fn latencies(count: u32, like_before: f64, chance: &mut Chance) -> Vec<f64> {
    let mut normal = || {
        let radius = (-2.0 * (1.0 - chance.next()).ln()).sqrt();
        radius * (std::f64::consts::TAU * chance.next()).cos()
    };
    let fresh = (1.0 - like_before * like_before).sqrt();
    let mut state = normal();
    let next = |_| {
        state = like_before * state + fresh * normal();
        0.1 * (0.5 * state).exp()
    };
    (0..count).map(next).collect()
}

fn usual(before: &[f64]) -> Usual {
    let mut known = Latencies::default();
    for (n, latency) in (0..).zip(before) {
        known.add(n * 5_000, Some((latency * 1e6) as u32), 5_000);
    }
    known.usual(0, INTERVAL, defaults::SLOW_SPELL.as_secs_f64()).expect("a day is known")
}

fn slower_after(usual: &Usual, after: &[f64]) -> Option<u32> {
    let question = shipped();
    let mut slower =
        Slower::new(Some(usual), INTERVAL, defaults::SLOWER_BY, question.watch, question.probability);
    (0..).zip(after).find_map(|(n, latency)| {
        slower.take(f64::from(n) * INTERVAL, Some(*latency));
        slower.is_slower(u64::from(defaults::MIN_FAILURES)).then_some(n + 1)
    })
}

/// Watches that a day of the release before is good for.
const WATCHES: usize = 8;

/// How much of the one before is in each, whether there are slow spells of a minute every hour, and what was said.
fn rows<const N: usize>(kinds: [(f64, bool, f64); N], days: usize, chance: &mut Chance) -> Vec<Row> {
    let one = |(alike, spells, said)| {
        let mut draw = |count: u32| {
            let mut drawn = latencies(count, alike, chance);
            if spells {
                let slow = glitching(count, INTERVAL, (60.0, 3_600.0), chance);
                drawn.iter_mut().zip(slow).filter(|(_, slow)| *slow).for_each(|(latency, _)| *latency *= 3.0);
            }
            drawn
        };
        let mut accused = 0;
        for _ in 0..days {
            let usual = usual(&draw(DAY));
            accused += (0..WATCHES).filter(|_| slower_after(&usual, &draw(WATCH)).is_some()).count();
        }
        let what = format!("{alike} of the one before, spells: {spells}");
        Row { what, accused, tried: days * WATCHES, said }
    };
    kinds.map(one).into()
}

/// Where each half minute is as slow as any, or as the one before, what was said is the promise itself.
pub(super) static NO_SLOWER: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let said = shipped().probability;
    rows([(0.0, false, said), (0.8, false, said), (0.95, false, said)], 60, &mut Chance(19))
});

#[test]
fn a_release_that_is_no_slower_is_accused_as_rarely_as_was_said() {
    came_out(&NO_SLOWER, &[0, 0, 0]);
}

#[test]
fn slow_spells_accuse_more_often_than_was_promised() {
    // How long they last is learnt as for glitches, but of half minutes, of which a spell is two: that is roughly known, and
    // no bet is fair that goes by it. What is said of them is what came of 8,000 watches: 14.
    let rows = rows([(0.0, true, 0.002)], 500, &mut Chance(20));
    came_out(&rows, &[7]);
    is_not_twice_as_often(rows.iter());
}

#[test]
fn a_release_that_is_slower_is_found_as_soon_as_was_said() {
    let mut chance = Chance(23);
    let days: Vec<Usual> = (0..10).map(|_| usual(&latencies(DAY, 0.0, &mut chance))).collect();
    // A block is known to be over by the first sample of the next one.
    for (factor, came_out, said) in [
        (2.0, (157, 319), (181, Some(319))),
        (3.0, (37, 61), (37, Some(61))),
        (10.0, (37, 37), (37, Some(37))),
    ] {
        let mut one = |n| {
            let slow =
                latencies(WATCH, 0.0, &mut chance).iter().map(|latency| latency * factor).collect::<Vec<_>>();
            slower_after(&days[n % days.len()], &slow)
        };
        let taken = (0..100).map(&mut one).collect();
        found_within(taken, came_out, said, &format!("{factor} times as slow"));
    }
}
