//! A rule's measure at each sample, by the rule's own arithmetic.

use std::time::Duration;

use super::super::evidence::Unit;
use super::super::recorded::Recorded;
use crate::clock::Moment;
use crate::decision::policy::{Condition, ProbePolicy, Regression, Signal as Of, Test};
use crate::decision::rule::{Pace, Reading, Span, Verdict, read_test};
use crate::decision::sample::{Sample, SampleResult, Window};
use crate::decision::story::quantile_in_words;
use crate::ids::RuleName;

/// Evidence is no line that people can read, so a regression in failures is shown as the share of so many samples ...
const LATELY: usize = 20;

/// What is measured of which probe, and held against what.
pub(super) struct Measure<'a> {
    pub(super) probe: &'a ProbePolicy,
    pub(super) unit: Unit,
    pub(super) threshold: f64,
    rule: &'a RuleName,
    test: &'a Test,
}

impl<'a> Measure<'a> {
    /// What `rule` measures, of which `reading` is what it read when it fired. None where there is nothing to draw.
    pub(super) fn of(first: &'a Recorded, rule: &'a RuleName, reading: &Reading) -> Option<Self> {
        let tests = &first.rule(rule)?.tests;
        let bad = reading.parts.iter().position(|part| part.verdict == Verdict::Bad).unwrap_or(0);
        let test = tests.get(bad)?;
        let reading = reading.parts.get(bad).unwrap_or(reading);
        let (unit, threshold) = match &test.condition {
            Condition::ConsecutiveFailures { count } => (Unit::Failures, f64::from(*count)),
            Condition::FailureRatio { above, .. } => (Unit::Ratio, *above),
            Condition::Latency { above, .. } => (Unit::Seconds, above.as_secs_f64()),
            // ... against the share that may fail of a release that is no worse, and so on.
            Condition::Regression(Regression { of, .. }) => {
                let unit = if *of == Of::Latency { Unit::Seconds } else { Unit::Ratio };
                (unit, reading.compared?.limit)
            }
        };
        Some(Self { probe: first.policy.probes.get(test.probe)?, unit, threshold, rule, test })
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        let over = |over: &Duration| humantime::format_duration(*over).to_string();
        match &self.test.condition {
            Condition::ConsecutiveFailures { .. } => "failures in a row".to_owned(),
            Condition::FailureRatio { over: span, .. } => format!("share that failed, over {}", over(span)),
            Condition::Latency { quantile, over: span, .. } => {
                format!("{} of the latency, over {}", quantile_in_words(*quantile), over(span))
            }
            Condition::Regression(Regression { of: Of::Failures, .. }) => {
                format!("share of the last {LATELY} samples that failed")
            }
            Condition::Regression(Regression { of: Of::Latency, .. }) => "latency".to_owned(),
            Condition::Regression(Regression { of: Of::Shares, .. }) => {
                "share of requests that failed".to_owned()
            }
        }
    }

    /// The measure at each sample that a decision was given, oldest first. Each sample once, in the light of the first
    /// decision that saw it: that is what was known then.
    pub(super) fn points(
        &self,
        decisions: &[Recorded],
        live: Option<Moment>,
        live_again: Option<Moment>,
    ) -> Vec<(Moment, Option<f64>, Verdict)> {
        let mut points = Vec::new();
        let mut seen_until = None;
        for decision in decisions {
            let Some(window) = decision.seen.windows.get(self.test.probe) else { continue };
            for sample in window.iter().filter(|sample| seen_until.is_none_or(|until| sample.at > until)) {
                let since = [live_again, live].into_iter().flatten().find(|since| sample.at >= *since);
                points.push((sample.at, self.value(window, sample, since), self.verdict(sample)));
            }
            seen_until = seen_until.max(window.last().map(|last| last.at));
        }
        points
    }

    /// The measure as of right after `sample`, over the samples of the deployment that was live then.
    fn value(&self, window: &Window, sample: &Sample, since: Option<Moment>) -> Option<f64> {
        if matches!(sample.result, SampleResult::Unknown(_)) {
            return None;
        }
        let to = sample.at + Duration::from_millis(1);
        let from = since.map_or(Moment::from_millis(i64::MIN), |since| since + self.probe.settle);
        let pace = if since.is_some() { Pace::Watch } else { Pace::Rest };
        let span = Span { from, to, pace };
        match &self.test.condition {
            Condition::Regression(regression) => match regression.of {
                Of::Failures => share_of_the_last(window, span),
                Of::Latency => (sample.result == SampleResult::Good).then(|| sample.latency().as_secs_f64()),
                Of::Shares => sample.result.share(),
            },
            _ => read_test(self.rule, self.test, self.probe, window, span).value,
        }
    }

    fn verdict(&self, sample: &Sample) -> Verdict {
        let is_slow = self.unit == Unit::Seconds && sample.latency().as_secs_f64() > self.threshold;
        match sample.result {
            SampleResult::Unknown(_) => Verdict::Unknown,
            result if result.has_failed() || is_slow => Verdict::Bad,
            _ => Verdict::Good,
        }
    }
}

fn share_of_the_last(window: &Window, span: Span) -> Option<f64> {
    let (mut all, mut failed) = (0_u32, 0_u32);
    for sample in span.known(window).rev().take(LATELY) {
        all += 1;
        failed += u32::from(sample.result.has_failed());
    }
    (all > 0).then(|| f64::from(failed) / f64::from(all))
}
