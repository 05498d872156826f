//! What could be noticed in how long: the same arithmetic, fed with releases that fail as often as is asked.

use super::Round;
use super::baseline::Baseline;
use super::evidence::{Evidence, Question};

/// Releases that are tried. Odd, so that one of them is in the middle.
const TRIED: usize = 31;

/// How long, in seconds from its first sample, until half of the releases that fail with this `rate` from the start would
/// be accused, at a sample every `interval` seconds; `None` where that takes longer than the watch.
pub fn time_to_notice(
    baseline: &Baseline,
    question: Question,
    interval: f64,
    rate: f64,
    min_failures: u64,
) -> Option<f64> {
    let fresh = Evidence::new(baseline, question);
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    let mut times: Vec<f64> = (0..TRIED)
        .map(|_| accused_at(fresh.clone(), question, interval, rate, min_failures, &mut chance))
        .collect();
    times.sort_by(f64::total_cmp);
    Some(times[TRIED / 2]).filter(|time| time.is_finite())
}

fn accused_at(
    mut evidence: Evidence,
    question: Question,
    interval: f64,
    rate: f64,
    min_failures: u64,
    chance: &mut Chance,
) -> f64 {
    let mut at = 0.0;
    while at <= question.watch {
        let has_failed = chance.next() < rate;
        let score = evidence.take(Round { at, badness: f64::from(u8::from(has_failed)) });
        if score >= (1.0 - 1e-9) / question.probability && evidence.bad_rounds() >= min_failures {
            return at;
        }
        at += interval;
    }
    f64::INFINITY
}

/// Numbers from 0 to 1, the same ones every time (xorshift64*, Vigna, arXiv:1402.6246).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
