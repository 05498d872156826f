//! Failures that come in bursts and are nobody's fault: the release before had as many, and how long they last is learnt
//! from a day of it.

use super::{DAY, INTERVAL, WATCH, accused_after, at_most, found_within, shipped};
use crate::detection::Round;
use crate::detection::baseline::Baseline;
use crate::detection::evidence::Question;
use crate::detection::glitch;
use crate::detection::power::Chance;

/// Samples that all fail within glitches, which last `mean` seconds and come every `every` seconds, both by chance.
pub(super) fn glitching(
    count: u32,
    interval: f64,
    (mean, every): (f64, f64),
    chance: &mut Chance,
) -> Vec<bool> {
    let mut is_bad = chance.next() < mean / (mean + every);
    let (bad_goes_on, good_goes_on) = ((-interval / mean).exp(), (-interval / every).exp());
    let next = |_| {
        is_bad ^= chance.next() > if is_bad { bad_goes_on } else { good_goes_on };
        is_bad
    };
    (0..count).map(next).collect()
}

fn rounds(samples: &[bool]) -> impl Iterator<Item = Round> + Clone {
    let round =
        |(n, bad): (u32, &bool)| Round { at: f64::from(n) * INTERVAL, badness: f64::from(u8::from(*bad)) };
    (0..).zip(samples).map(round)
}

/// Learns from the release before as the product does.
fn learnt(before: &[bool], question: Question) -> (Baseline, Question) {
    let (all, its) = (rounds(before), rounds(before));
    let (baseline, glitch) = glitch::learnt(all, its, INTERVAL, question.glitch, question.worse_by);
    (baseline, Question { glitch, ..question })
}

#[test]
fn trouble_that_the_release_before_had_too_accuses_nobody() {
    let mut chance = Chance(17);
    let mut without_memory = 0;
    for kind in [(5.0, 600.0), (15.0, 3_600.0), (30.0, 3_600.0)] {
        let (mut tried, mut accused) = (0, 0);
        // A day is good for a few watches.
        for _ in 0..250 {
            let before = glitching(DAY, INTERVAL, kind, &mut chance);
            let (baseline, question) = learnt(&before, shipped());
            for _ in 0..4 {
                let after = glitching(WATCH, INTERVAL, kind, &mut chance);
                let badness = || rounds(&after).map(|round| round.badness);
                tried += 1;
                accused += usize::from(accused_after(&baseline, question, INTERVAL, badness()).is_some());
                if tried <= 100 {
                    let bare = Question { glitch: 0.0, ..question };
                    without_memory +=
                        usize::from(accused_after(&baseline, bare, INTERVAL, badness()).is_some());
                }
            }
        }
        at_most(accused, tried, shipped().probability, &format!("{kind:?}"));
    }
    assert!(without_memory > 20, "without excuses it is another matter: {without_memory} of 300");
}

#[test]
fn what_glitches_excuse_costs_as_long_as_was_said() {
    // A release that never failed before goes down at once, after a minute, and after ten.
    let baseline = {
        let mut baseline = Baseline::default();
        baseline.add(0.0, u64::from(DAY));
        baseline
    };
    for (well, samples) in [(0, 6), (12, 11), (120, 13)] {
        let badness = (0..WATCH).map(|n| f64::from(u8::from(n >= well)));
        let taken = accused_after(&baseline, shipped(), INTERVAL, badness).map(|taken| taken - well);
        found_within(vec![taken], samples, None, &format!("down after {well} samples"));
    }
}
