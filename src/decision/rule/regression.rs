//! `regression`: the release is provably worse than the one before it.
//!
//! What was measured of the release before ([`Before`]) is fixed when a release goes live. From then on each sample of it
//! goes on the [`Scale`], and what it shows ([`Weighed`]) is what the rule reads. The arithmetic is [`crate::detection`].

mod scale;
mod tally;

use std::collections::BTreeSet;
use std::time::Duration;

pub use scale::Scale;
use serde::{Deserialize, Serialize};

use super::{Compared, Pace, Reading, Span, Verdict, failure_ratio};
use crate::clock::Moment;
use crate::decision::policy::{Policy, ProbePolicy, Regression, Signal};
use crate::decision::sample::{Sample, SampleResult, Window};
use crate::detection::baseline::Baseline;
use crate::detection::latency::Usual;
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
    /// How long it took to answer, where that is asked for. `None` while too little of it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual: Option<Usual>,
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
    /// Samples that counted, or stretches of time.
    pub rounds: u64,
    /// Those of them that failed, or were slow.
    pub failed: u64,
    /// When the first of those was sent, or began.
    pub first_failure_at: Option<Moment>,
    /// When the last sample was sent.
    pub last_at: Option<Moment>,
    /// The share that may fail of a release that is no worse, or from how many seconds on a stretch of time is slow.
    pub allowed: f64,
    /// The share that failed of the release before, or the seconds that most of its stretches of time stayed below.
    #[serde(default)]
    pub usual: f64,
    /// The share that failed, or the seconds of those that were slow.
    #[serde(default)]
    pub seen: f64,
    /// Too little is known of the release before, so that it was well is assumed.
    pub is_assumed: bool,
}

/// How likely it may be that a rule accuses a release that is not worse. What the rules of an app state is for the app and
/// a release of it, so they share it: the kinds of signals that there are by their weights, and those of a kind alike.
/// Whichever of them is wrong, that is no likelier than the most that one of them states. A weighing that has to begin anew, as after a restart, has only a part of what is
/// left: first nine tenths, then half of the rest each time.
pub fn probability(policy: &Policy, regression: &Regression, begun: u32) -> f64 {
    let signals = || policy.rules.iter().filter_map(|rule| Some(rule.regression()?.0.of));
    let alike = signals().filter(|signal| *signal == regression.of).count().max(1);
    let kinds: BTreeSet<Signal> = signals().chain([regression.of]).collect();
    let share = regression.of.weight() / kinds.into_iter().map(Signal::weight).sum::<f64>();
    let part = match begun {
        0 => 0.9,
        again => 0.1 * 0.5_f64.powi(i32::try_from(again).unwrap_or(i32::MAX)),
    };
    regression.probability * part * share / alike as f64
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
        Pace::Rest => {
            let span = span.last(LATELY.max(probe.period * PERIODS));
            match regression.of {
                Signal::Failures => failing(regression, window, span),
                Signal::Latency => slow(rule, regression, window, span),
                Signal::Shares => erring(rule, regression, window, span),
            }
        }
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
        compared: None,
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
        compared: Some(Compared {
            bad: weight.failed,
            usual: weight.usual,
            limit: weight.allowed,
            seen: weight.seen,
        }),
    }
}

/// Whether the app is well while nobody is accused: what fails too often is too unwell to be measured against.
fn failing(regression: &Regression, window: &Window, span: Span) -> Reading {
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

/// Whether the app is as fast as usual while nobody is accused. Where it is not, the release that follows is not slower.
/// What is usual is looked up when another one goes live; until then whatever answers is fast enough.
fn slow(rule: &RuleName, regression: &Regression, window: &Window, span: Span) -> Reading {
    let samples = u32::try_from(span.known(window).filter(|sample| latency(sample).is_some()).count());
    let samples = samples.unwrap_or(u32::MAX);
    let usual = window.gauge(rule).and_then(|gauge| gauge.before.as_ref()?.usual.as_ref());
    let timed = span.known(window).map(|sample| (seconds(sample.at), latency(sample)));
    let (slow, all) = usual.map_or((0, 0), |usual| usual.slow_blocks(regression.worse_by, timed));
    mostly(slow, all, regression, samples)
}

/// Whether the app has no more errors than usual while nobody is accused, as [`slow`].
fn erring(rule: &RuleName, regression: &Regression, window: &Window, span: Span) -> Reading {
    let shares: Vec<f64> = span.known(window).filter_map(|sample| sample.result.share()).collect();
    let before = window.gauge(rule).and_then(|gauge| gauge.before.as_ref());
    let line = before.filter(|before| before.baseline.rounds() > 0);
    let line = line.map_or(1.0, |before| before.baseline.rate() + regression.worse_by);
    let bad = shares.iter().filter(|share| **share > line).count();
    mostly(bad as u64, shares.len() as u64, regression, u32::try_from(shares.len()).unwrap_or(u32::MAX))
}

/// Bad where most of them are, Good where enough says anything.
fn mostly(bad: u64, all: u64, regression: &Regression, samples: u32) -> Reading {
    let verdict = if 2 * bad > all && bad >= u64::from(regression.min_failures) {
        Verdict::Bad
    } else if samples >= ENOUGH {
        Verdict::Good
    } else {
        Verdict::Unknown
    };
    Reading { verdict, samples, ..nothing(regression) }
}

/// How long a good answer took, in seconds. What failed has no latency: it failed.
fn latency(sample: &Sample) -> Option<f64> {
    (sample.result == SampleResult::Good).then(|| f64::from(sample.micros) / 1e6)
}

fn seconds(moment: Moment) -> f64 {
    moment.as_millis() as f64 / 1_000.0
}

#[cfg(test)]
mod tests;
