//! Errors that an app counts itself, a scrape every fifteen seconds.

use super::glitches::glitching;
use super::{accused_after, at_most, defaults, found_within, shipped};
use crate::detection::baseline::Baseline;
use crate::detection::counters::{Counters, Shares, Totals};
use crate::detection::evidence::Question;
use crate::detection::glitch;
use crate::detection::power::Chance;

const INTERVAL: f64 = 15.0;
const WATCH: u32 = 120;
const DAY: u32 = 5_760;
/// Requests between two scrapes.
const REQUESTS: f64 = 300.0;

/// What each scrape shows of an app that fails with a rate a scrape, given by `rate`.
fn shares(count: u32, rate: impl Fn(u32) -> f64, chance: &mut Chance) -> Vec<f64> {
    let mut counters = Counters::default();
    let mut totals = Totals { requests: 0.0, errors: 0.0 };
    counters.take(Some(totals), 1.0);
    let one = |n| {
        totals.requests += REQUESTS;
        totals.errors += errors(REQUESTS * rate(n), chance);
        counters.take(Some(totals), 1.0).expect("there were requests")
    };
    (0..count).map(one).collect()
}

/// Poisson, by the gaps between errors; all of them where it is all.
fn errors(mean: f64, chance: &mut Chance) -> f64 {
    if mean >= REQUESTS {
        return REQUESTS;
    }
    let (mut count, mut left) = (0.0, mean);
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

#[test]
fn an_app_that_has_no_more_errors_is_accused_as_rarely_as_was_said() {
    let mut chance = Chance(29);
    // Spells of half a minute every hour, in which all fail, and a rate that is what it is.
    for (rate, in_spells) in [(0.01, None), (0.001, Some(0.3)), (0.001, Some(1.0))] {
        let (mut tried, mut accused) = (0, 0);
        for _ in 0..40 {
            let mut draw = |count: u32| {
                let spells = glitching(count, INTERVAL, (30.0, 3_600.0), &mut chance);
                let now = |n: u32| match in_spells {
                    Some(spell) if spells[n as usize] => spell,
                    _ => rate,
                };
                shares(count, now, &mut chance)
            };
            let (baseline, question) = learnt(&draw(DAY));
            for _ in 0..12 {
                tried += 1;
                accused += usize::from(accused_after(&baseline, question, INTERVAL, draw(WATCH)).is_some());
            }
        }
        at_most(accused, tried, shipped().probability, &format!("{rate}, spells {in_spells:?}"));
    }
}

#[test]
fn an_app_that_has_more_errors_is_found_as_soon_as_was_said() {
    let mut chance = Chance(31);
    // How long glitches last is learnt, and differs from one day to the next.
    let days: Vec<_> = (0..10).map(|_| learnt(&shares(DAY, |_| 0.001, &mut chance))).collect();
    for (rate, median, late) in [(0.02, 24, 41), (0.03, 12, 16), (0.05, 8, 9), (0.2, 5, 5), (1.0, 3, 4)] {
        let taken = (0..200).map(|n| {
            let (baseline, question) = &days[n % days.len()];
            accused_after(baseline, *question, INTERVAL, shares(WATCH, |_| rate, &mut chance))
        });
        found_within(taken.collect(), median, Some(late), &format!("{rate} fail"));
    }
}
