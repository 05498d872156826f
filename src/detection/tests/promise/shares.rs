//! Errors that an app counts itself, a scrape every fifteen seconds.

use std::sync::LazyLock;

use super::glitches::glitching;
use super::{Row, accused_after, came_out, defaults, every, found_within, shipped};
use crate::detection::baseline::Baseline;
use crate::detection::counters::{Counters, Shares, Totals};
use crate::detection::evidence::Question;
use crate::detection::glitch;
use crate::detection::power::Chance;

const INTERVAL: f64 = 15.0;
const WATCH: u32 = 120;
const HOUR: u32 = 240;
const DAY: u32 = 5_760;
/// Requests between two scrapes.
const REQUESTS: f64 = 300.0;

/// What each scrape shows of an app that fails with a rate a scrape, given by `rate`, of so many requests.
fn shares(count: u32, requests: f64, rate: impl Fn(u32) -> f64, chance: &mut Chance) -> Vec<f64> {
    let mut counters = Counters::default();
    let mut totals = Totals { requests: 0.0, errors: 0.0 };
    counters.take(Some(totals), 1.0);
    let one = |n| {
        totals.requests += requests;
        totals.errors += errors(requests, rate(n), chance);
        counters.take(Some(totals), 1.0).expect("there were requests")
    };
    (0..count).map(one).collect()
}

/// Poisson, by the gaps between errors; all of them where it is all.
fn errors(requests: f64, rate: f64, chance: &mut Chance) -> f64 {
    if rate >= 1.0 {
        return requests;
    }
    let (mut count, mut left) = (0.0, requests * rate);
    loop {
        left += (1.0 - chance.next()).ln();
        if left < 0.0 {
            return count;
        }
        count += 1.0;
    }
}

fn learnt(before: &[f64]) -> (Baseline, Question) {
    let mut kept = Shares::default();
    for (n, badness) in (0..).zip(before) {
        kept.add(n * 15_000, *badness, 15_000);
    }
    let question = Question { worse_by: defaults::MORE_ERRORS, ..shipped() };
    let (baseline, glitch) =
        glitch::learnt(kept.rounds(), kept.rounds_of(0), INTERVAL, question.glitch, question.worse_by);
    (baseline, Question { glitch, ..question })
}

pub(super) static NO_WORSE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let mut chance = Chance(29);
    // Spells of half a minute every hour, in which some or all fail, and a rate that is what it is.
    let kinds = [(0.01, None), (0.001, Some(0.3)), (0.001, Some(1.0))];
    let one = |(rate, in_spells): (f64, Option<f64>)| {
        let mut accused = 0;
        for _ in 0..40 {
            let mut draw = |count: u32| {
                let spells = glitching(count, INTERVAL, (30.0, 3_600.0), &mut chance);
                let now = |n: u32| match in_spells {
                    Some(spell) if spells[n as usize] => spell,
                    _ => rate,
                };
                shares(count, REQUESTS, now, &mut chance)
            };
            let (baseline, question) = learnt(&draw(DAY));
            let mut is_accused =
                || accused_after(&baseline, question, every(INTERVAL, draw(WATCH))).is_some();
            accused += (0..12).filter(|_| is_accused()).count();
        }
        let what = format!("{rate}, spells {in_spells:?}");
        Row { what, accused, tried: 40 * 12, said: shipped().probability }
    };
    kinds.map(one).into()
});

#[test]
fn an_app_that_has_no_more_errors_is_accused_as_rarely_as_was_said() {
    // What was said is the promise itself.
    came_out(&NO_WORSE, &[0, 0, 0]);
}

#[test]
fn an_app_that_has_more_errors_is_found_as_soon_as_was_said() {
    let mut chance = Chance(31);
    // How long glitches last is learnt, and differs from one day to the next.
    let days: Vec<_> = (0..10).map(|_| learnt(&shares(DAY, REQUESTS, |_| 0.001, &mut chance))).collect();
    for (rate, came_out, said) in [
        (0.02, (26, 43), (24, Some(41))),
        (0.03, (12, 16), (12, Some(16))),
        (0.05, (8, 9), (8, Some(9))),
        (0.2, (5, 5), (5, Some(5))),
        (1.0, (3, 4), (3, Some(4))),
    ] {
        let taken = (0..200).map(|n| {
            let (baseline, question) = &days[n % days.len()];
            let after = shares(WATCH, REQUESTS, |_| rate, &mut chance);
            accused_after(baseline, *question, every(INTERVAL, after))
        });
        found_within(taken.collect(), came_out, said, &format!("{rate} fail"));
    }
    // What docs/rules.md says: after an hour of 0.5 % of a hundred requests.
    for (rate, came_out, said) in
        [(1.0, (3, 4), (3, None)), (0.2, (5, 6), (5, None)), (0.1, (7, 10), (7, None))]
    {
        let taken = (0..200).map(|_| {
            let (baseline, question) = learnt(&shares(HOUR, 100.0, |_| 0.005, &mut chance));
            accused_after(&baseline, question, every(INTERVAL, shares(WATCH, 100.0, |_| rate, &mut chance)))
        });
        found_within(taken.collect(), came_out, said, &format!("{rate} of 100 fail"));
    }
}
