//! `regression`: the release is provably worse than the one before it.
//!
//! What was measured of the release before ([`Before`]) is fixed when a release goes live. From then on each sample of it
//! goes on the [`Scale`], and what it shows ([`Weighed`]) is what the rule reads. The arithmetic is [`crate::detection`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Pace, Reading, Span, Verdict, failure_ratio};
use crate::clock::Moment;
use crate::decision::policy::{Policy, ProbePolicy, Regression};
use crate::decision::sample::{SampleResult, Window};
use crate::detection::Round;
use crate::detection::baseline::Baseline;
use crate::detection::evidence::{Evidence, Question, Stretch};
use crate::ids::RuleName;

/// A sum as good as the limit, after a hundred multiplications.
const ROUNDING: f64 = 1e-9;
/// A release is not said to be good on fewer samples than this.
const ENOUGH: u32 = 10;
/// Nor where the evidence against it is more than this: of releases that are no worse one in twenty ever gets there.
const DOUBT: f64 = 20.0;
/// At rest, without a release to accuse, this long is looked back, or so many periods ...
const LATELY: Duration = Duration::from_secs(5 * 60);
/// ... whichever is longer ...
pub const PERIODS: u32 = 20;
/// ... and no more than this share may fail.
const UNHEALTHY: f64 = 0.1;

/// What was known of the release before, when another one went live.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Before {
    /// How often it failed.
    pub baseline: Baseline,
    /// How long trouble lasts that is nobody's fault, in seconds. `None` without a release before: then it is what the
    /// rule says.
    pub glitch: Option<f64>,
}

/// What the samples of one release amount to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weighed {
    /// From when on its samples count.
    pub from: Moment,
    /// How often it had to be begun anew.
    pub begun: u32,
    /// With all of them.
    pub now: Weight,
    /// With those that were sent no later than a read that still showed it as the live one.
    pub confirmed: Weight,
}

/// Evidence, and what it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weight {
    /// The evidence: 1 at first.
    pub score: f64,
    /// How much of it makes the rule Bad.
    pub needed: f64,
    /// Samples that counted.
    pub rounds: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// When the first of those was sent.
    pub first_failure_at: Option<Moment>,
    /// When the last sample was sent.
    pub last_at: Option<Moment>,
    /// The share that may fail of a release that is no worse.
    pub allowed: f64,
    /// Too little is known of the release before, so that it was well is assumed.
    pub is_assumed: bool,
}

/// How likely it may be that `rule` accuses a release that is not worse. What the rules of an app state is for the app and
/// a release of it, so they share it. A weighing that has to begin anew, as after a restart, has only a part of what is
/// left: first nine tenths, then half of the rest each time.
pub fn probability(policy: &Policy, regression: &Regression, begun: u32) -> f64 {
    let rules = policy.rules.iter().filter(|rule| rule.regression().is_some()).count().max(1);
    let part = match begun {
        0 => 0.9,
        again => 0.1 * 0.5_f64.powi(i32::try_from(again).unwrap_or(i32::MAX)),
    };
    regression.probability * part / rules as f64
}

/// Reads the rule.
pub(super) fn read(
    rule: &RuleName,
    regression: &Regression,
    probe: &ProbePolicy,
    window: &Window,
    span: Span,
) -> Reading {
    match span.pace {
        Pace::Watch => {
            let weighed = window.gauge(rule).and_then(|gauge| gauge.weighed.as_ref());
            let weight = weighed.filter(|weighed| weighed.from == span.from).and_then(|weighed| {
                let is_before = |weight: &&Weight| weight.last_at.is_none_or(|last| last < span.to);
                [&weighed.now, &weighed.confirmed].into_iter().find(is_before)
            });
            weight.map_or_else(|| nothing(regression), |weight| judge(regression, weight))
        }
        Pace::Rest => lately(regression, window, span.last(LATELY.max(probe.period * PERIODS))),
    }
}

fn nothing(regression: &Regression) -> Reading {
    Reading {
        verdict: Verdict::Unknown,
        value: None,
        threshold: 1.0 / regression.probability,
        samples: 0,
        first_failure_at: None,
        parts: Vec::new(),
    }
}

fn judge(regression: &Regression, weight: &Weight) -> Reading {
    let is_enough = weight.score >= weight.needed * (1.0 - ROUNDING);
    let verdict = if is_enough && weight.failed >= u64::from(regression.min_failures) {
        Verdict::Bad
    } else if weight.rounds >= u64::from(ENOUGH) && weight.score < DOUBT {
        Verdict::Good
    } else {
        Verdict::Unknown
    };
    Reading {
        verdict,
        value: Some(weight.score),
        threshold: weight.needed,
        samples: u32::try_from(weight.rounds).unwrap_or(u32::MAX),
        first_failure_at: weight.first_failure_at,
        parts: Vec::new(),
    }
}

/// How the app fares while nobody is accused: what makes a release before too unwell to be measured against.
fn lately(regression: &Regression, window: &Window, span: Span) -> Reading {
    let share = failure_ratio::read(UNHEALTHY, ENOUGH, window, span);
    let failed = share.value.unwrap_or_default() * f64::from(share.samples);
    let are_few = failed.round() < f64::from(regression.min_failures);
    let verdict = if share.verdict == Verdict::Bad && are_few { Verdict::Good } else { share.verdict };
    Reading {
        verdict,
        samples: share.samples,
        first_failure_at: share.first_failure_at,
        ..nothing(regression)
    }
}

/// Weighs the samples of one release, each of them once.
#[derive(Clone, Debug)]
pub struct Scale {
    from: Moment,
    begun: u32,
    needed: f64,
    now: Pan,
    confirmed: Pan,
}

#[derive(Clone, Debug)]
struct Pan {
    evidence: Evidence,
    stretch: Stretch,
    first_failure_at: Option<Moment>,
    last_at: Option<Moment>,
}

impl Scale {
    /// A scale for a release whose samples count from `from` on, for `watch`. It accuses one that is no worse with that
    /// probability, having been begun anew so often.
    pub fn new(
        regression: &Regression,
        before: &Before,
        (probability, begun): (f64, u32),
        from: Moment,
        watch: Duration,
    ) -> Self {
        let question = Question {
            worse_by: regression.worse_by,
            glitch: before.glitch.unwrap_or(regression.glitch.as_secs_f64()),
            watch: watch.as_secs_f64(),
            probability,
        };
        let pan = Pan {
            evidence: Evidence::new(&before.baseline, question),
            stretch: Stretch::beginning(seconds(from)),
            first_failure_at: None,
            last_at: None,
        };
        Self { from, begun, needed: 1.0 / probability, confirmed: pan.clone(), now: pan }
    }

    /// Whether it is for a release whose samples count from then on.
    pub fn is_for(&self, from: Moment) -> bool {
        self.from == from
    }

    /// Puts on what is new in `window`. The release was seen to be live by a read that was sent at `seen_live`.
    pub fn weigh(&mut self, window: &Window, seen_live: Option<Moment>) -> Weighed {
        let end = Moment::from_millis(i64::MAX);
        self.now.put_on(window, end, self.from);
        if let Some(read) = seen_live {
            // A sample sent at the very moment of the read is before its answer.
            let to = read + Duration::from_millis(1);
            self.confirmed.put_on(window, to, self.from);
        }
        let weight = |pan: &Pan| pan.weight(self.needed);
        Weighed {
            from: self.from,
            begun: self.begun,
            now: weight(&self.now),
            confirmed: weight(&self.confirmed),
        }
    }
}

impl Pan {
    /// Puts on what was sent before `to` and is new to it.
    fn put_on(&mut self, window: &Window, to: Moment, from: Moment) {
        let new = self.last_at.map_or(from, |last| last + Duration::from_millis(1));
        for sample in window.between(new, to) {
            let badness = match sample.result {
                SampleResult::Good => 0.0,
                SampleResult::Bad(_) => 1.0,
                SampleResult::Unvouched(_) | SampleResult::Unknown(_) => continue,
            };
            self.evidence.take(Round { at: self.stretch.at(seconds(sample.at)), badness });
            self.last_at = Some(sample.at);
            if badness > 0.0 {
                self.first_failure_at = self.first_failure_at.or(Some(sample.at));
            }
        }
    }

    fn weight(&self, needed: f64) -> Weight {
        Weight {
            score: self.evidence.score(),
            needed,
            rounds: self.evidence.rounds(),
            failed: self.evidence.bad_rounds(),
            first_failure_at: self.first_failure_at,
            last_at: self.last_at,
            allowed: self.evidence.allowed(),
            is_assumed: self.evidence.is_assumed(),
        }
    }
}

fn seconds(moment: Moment) -> f64 {
    moment.as_millis() as f64 / 1_000.0
}
