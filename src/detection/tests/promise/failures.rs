//! Failures that have nothing to do with each other.

use super::{DAY, HOUR, INTERVAL, WATCH, accused_after, at_most, found_within, shipped};
use crate::detection::baseline::Baseline;
use crate::detection::evidence::Question;
use crate::detection::power::Chance;

fn samples(count: u32, rate: f64, chance: &mut Chance) -> Vec<f64> {
    (0..count).map(|_| f64::from(u8::from(chance.next() < rate))).collect()
}

fn baseline_of(rounds: u32, rate: f64, chance: &mut Chance) -> Baseline {
    let mut baseline = Baseline::default();
    for badness in samples(rounds, rate, chance) {
        baseline.add(badness, 1);
    }
    baseline
}

fn accused(question: Question, (known, before): (u32, f64), rate: f64, chance: &mut Chance) -> Option<u32> {
    let baseline = baseline_of(known, before, chance);
    accused_after(&baseline, question, INTERVAL, samples(WATCH, rate, chance))
}

#[test]
fn a_release_that_is_no_worse_is_accused_as_rarely_as_was_said() {
    let mut chance = Chance(7);
    let question = shipped();
    let (tried, mut all, mut in_all) = (120, 0, 0);
    for before in [0.0, 0.001, 0.01, 0.05] {
        for known in [0, 12, HOUR, DAY] {
            // No worse at all, and the worst that is allowed.
            for rate in [before, before + question.worse_by] {
                let found =
                    (0..tried).filter(|_| accused(question, (known, before), rate, &mut chance).is_some());
                in_all += found.count();
                all += tried;
            }
        }
    }
    // One in a thousand is promised; a quarter of it was never exceeded.
    at_most(in_all, all, question.probability / 4.0, "as shipped");
    // Where it is closest to what is promised: nothing is excused, and all that is tolerated is used.
    let question = Question { glitch: 0.0, probability: 0.01, ..question };
    for before in [0.0, 0.001, 0.01, 0.05] {
        let rate = before + question.worse_by;
        let found = (0..1_500).filter(|_| accused(question, (HOUR, before), rate, &mut chance).is_some());
        at_most(found.count(), 1_500, question.probability, &format!("on the edge, {before} before"));
    }
}

/// How much of the release before is known, which never failed; the rate of the new one; and after how many samples it is
/// found, half of them and 95 %.
const FOUND: [(u32, f64, u32, Option<u32>); 12] = [
    (0, 1.0, 12, Some(12)),
    (0, 0.5, 113, None),
    (12, 1.0, 11, Some(11)),
    (12, 0.5, 102, None),
    (HOUR, 1.0, 6, Some(6)),
    (HOUR, 0.5, 17, Some(29)),
    (HOUR, 0.2, 49, Some(94)),
    (HOUR, 0.1, 157, Some(303)),
    (DAY, 1.0, 6, Some(6)),
    (DAY, 0.5, 16, Some(29)),
    (DAY, 0.2, 47, Some(94)),
    (DAY, 0.1, 141, Some(303)),
];

#[test]
fn a_release_that_is_worse_is_found_as_soon_as_was_said() {
    let mut chance = Chance(11);
    let found = |question: Question, known: u32, rate: f64, tried: u32, chance: &mut Chance| {
        let baseline = baseline_of(known, 0.0, chance);
        let one = |_| accused_after(&baseline, question, INTERVAL, samples(WATCH, rate, chance));
        (0..tried).map(one).collect::<Vec<_>>()
    };
    for (known, rate, median, late) in FOUND {
        let taken = found(shipped(), known, rate, 301, &mut chance);
        found_within(taken, median, late, &format!("{known} known, {rate} fail"));
    }
    let bare = Question { glitch: 0.0, ..shipped() };
    for (rate, median, late) in [(1.0, 3, 3), (0.5, 7, 16), (0.2, 32, 72), (0.1, 121, 252)] {
        let taken = found(bare, HOUR, rate, 301, &mut chance);
        found_within(taken, median, Some(late), &format!("no glitches, {rate} fail"));
        // Nothing with that probability can be faster on the average than this.
        let allowed = bare.worse_by;
        let part = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
        let divergence = part(rate, allowed) + part(1.0 - rate, 1.0 - allowed);
        let bound = (1.0 / bare.probability).ln() / divergence;
        assert!(f64::from(median) <= 1.0 + 1.6 * bound, "{rate}: {median}, bound {bound}");
    }
}
