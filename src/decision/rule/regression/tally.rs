//! What the samples of one release amount to, by what of them is compared.

use std::time::Duration;

use super::{Before, Weight, latency};
use crate::decision::policy::{Regression, Signal};
use crate::decision::sample::Sample;
use crate::detection::Round;
use crate::detection::evidence::{Evidence, Question};
use crate::detection::latency::Slower;

/// Makes rounds of samples, and evidence of rounds.
#[derive(Clone, Debug)]
pub(super) enum Tally {
    /// Each sample is a round: it failed or did not, or a share of requests did.
    Each(Shares),
    /// A stretch of time is one.
    Latency(Slower),
}

/// Evidence of shares, with what they were and are.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    evidence: Evidence,
    needed: f64,
    usual: f64,
    sum: f64,
}

impl Tally {
    pub(super) fn new(
        regression: &Regression,
        before: &Before,
        period: Duration,
        watch: Duration,
        probability: f64,
    ) -> Self {
        let (worse_by, watch) = (regression.worse_by, watch.as_secs_f64());
        match regression.of {
            Signal::Failures | Signal::Shares => {
                let glitch = before.glitch.unwrap_or(regression.glitch.as_secs_f64());
                let question = Question { worse_by, glitch, watch, probability };
                Self::Each(Shares {
                    evidence: Evidence::new(&before.baseline, question),
                    needed: 1.0 / probability,
                    usual: before.baseline.rate(),
                    sum: 0.0,
                })
            }
            Signal::Latency => {
                let (usual, interval) = (before.usual.as_ref(), period.as_secs_f64());
                Self::Latency(Slower::new(usual, interval, worse_by, watch, probability))
            }
        }
    }

    /// Takes the next sample, which was sent `at` seconds into the watch. Where it shows something bad, for how long
    /// that has been so.
    pub(super) fn take(&mut self, at: f64, sample: &Sample) -> Option<Duration> {
        match self {
            Self::Each(shares) => shares.take(at, sample.result.badness()).then_some(Duration::ZERO),
            Self::Latency(slower) => {
                let judged = slower.take(at, latency(sample))?;
                judged.is_slow.then(|| Duration::from_secs_f64((at - judged.began).max(0.0)))
            }
        }
    }

    /// What they amount to, where fewer bad rounds than `min_failures` are nothing.
    pub(super) fn weight(&self, min_failures: u32) -> Weight {
        match self {
            Self::Each(shares) => shares.weight(),
            Self::Latency(slower) => {
                let known = slower.worst(min_failures.into()).map(|side| Weight {
                    allowed: side.limit(),
                    usual: side.usual(),
                    seen: side.slow(),
                    ..of(side.evidence(), slower.needed())
                });
                known.unwrap_or(Weight {
                    rounds: slower.measured(),
                    is_assumed: true,
                    ..nothing(slower.needed())
                })
            }
        }
    }
}

impl Shares {
    /// Whether it is bad.
    fn take(&mut self, at: f64, badness: f64) -> bool {
        self.evidence.take(Round { at, badness });
        self.sum += badness;
        badness > self.evidence.bad_line()
    }

    fn weight(&self) -> Weight {
        let rounds = self.evidence.rounds().max(1) as f64;
        Weight { usual: self.usual, seen: self.sum / rounds, ..of(&self.evidence, self.needed) }
    }
}

fn of(evidence: &Evidence, needed: f64) -> Weight {
    Weight {
        score: evidence.score(),
        rounds: evidence.rounds(),
        failed: evidence.bad_rounds(),
        allowed: evidence.allowed(),
        is_assumed: evidence.is_assumed(),
        ..nothing(needed)
    }
}

fn nothing(needed: f64) -> Weight {
    Weight {
        score: 1.0,
        needed,
        rounds: 0,
        failed: 0,
        first_failure_at: None,
        last_at: None,
        allowed: 0.0,
        usual: 0.0,
        seen: 0.0,
        is_assumed: false,
    }
}
