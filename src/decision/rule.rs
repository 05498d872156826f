//! A rule's verdict on the samples of one deployment: Good, Bad or Unknown, with the numbers behind it.
//!
//! Each condition is a pure function of the samples of one probe sent within `[from, to)`. Unknown samples are
//! no evidence either way, and a silent probe makes every rule on it Unknown: nothing that was not measured
//! moves an app toward a rollback or toward a commit.

mod consecutive_failures;
mod failure_ratio;
mod latency;
pub mod regression;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::policy::{Asked, Condition, Policy, ProbePolicy, Rule, Test};
use super::sample::{Sample, SampleResult, Window};
use crate::clock::Moment;
use crate::ids::RuleName;

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Measured, and fine.
    Good,
    /// Measured, and over the threshold.
    Bad,
    /// Not measured well enough to say.
    Unknown,
}

impl Verdict {
    /// Every verdict, in the order metrics show them.
    pub const ALL: [Self; 3] = [Self::Good, Self::Bad, Self::Unknown];

    /// The fixed word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
        }
    }
}

/// A verdict with the numbers behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// What the rule says.
    pub verdict: Verdict,
    /// The measured value, in the threshold's unit (failures in a row, a ratio, seconds).
    pub value: Option<f64>,
    /// What the value is held against.
    pub threshold: f64,
    /// How many samples counted.
    pub samples: u32,
    /// When the first of the samples that speak against the app was sent.
    pub first_failure_at: Option<Moment>,
    /// What its tests say, where the rule has several: the value is how many of them are Bad.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Reading>,
    /// What was compared, where a release was held against the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
}

/// A release beside the one before it: shares of samples, or seconds, as the rule has it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// How many of the samples, or stretches of time, were bad.
    pub bad: u64,
    /// How it was in the release before.
    pub usual: f64,
    /// How it may be in one that is no worse.
    pub limit: f64,
    /// How it is in this one: of latencies, in those that are bad.
    pub seen: f64,
}

/// What a verdict is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// How an app is while nothing is accused: samples come at their period, and a failure that nobody vouched for is one.
    Rest,
    /// Whether something is done: samples come at the faster pace of a watch, and what counts is vouched for.
    Watch,
}

/// The samples a rule may look at: one deployment's, within a span of time.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// From when samples count.
    pub from: Moment,
    /// The moment the verdict is for; samples sent later do not exist for it.
    pub to: Moment,
    /// What it is for.
    pub pace: Pace,
}

/// Reads `rule` of `policy` on the deployment that is live since `live_since`, as of `now`.
pub fn read(
    rule: &Rule,
    policy: &Policy,
    windows: &[Window],
    (live_since, now): (Moment, Moment),
    pace: Pace,
) -> Reading {
    let empty = Window::default();
    let read = |test: &Test| {
        let probe = &policy.probes[test.probe];
        let window = windows.get(test.probe).unwrap_or(&empty);
        read_test(&rule.name, test, probe, window, Span { from: live_since + probe.settle, to: now, pace })
    };
    match rule.tests.as_slice() {
        [only] => read(only),
        several => combine(several.iter().map(read).collect(), rule.needed),
    }
}

/// What several tests say together. What cannot be told of some of them does not matter where the others settle it.
fn combine(parts: Vec<Reading>, needed: usize) -> Reading {
    let count = |verdict| parts.iter().filter(|part| part.verdict == verdict).count();
    let (bad, unknown) = (count(Verdict::Bad), count(Verdict::Unknown));
    let verdict = if bad >= needed {
        Verdict::Bad
    } else if bad + unknown < needed {
        Verdict::Good
    } else {
        Verdict::Unknown
    };
    let speak = |part: &&Reading| verdict != Verdict::Bad || part.verdict == Verdict::Bad;
    Reading {
        verdict,
        value: parts.iter().any(|part| part.value.is_some()).then_some(bad as f64),
        threshold: needed as f64,
        samples: parts.iter().fold(0, |sum, part| sum.saturating_add(part.samples)),
        first_failure_at: parts.iter().filter(speak).filter_map(|part| part.first_failure_at).min(),
        parts,
        compared: None,
    }
}

/// Reads one test of the rule of this name on the samples within `span`.
pub fn read_test(rule: &RuleName, test: &Test, probe: &ProbePolicy, window: &Window, span: Span) -> Reading {
    let reading = match &test.condition {
        Condition::ConsecutiveFailures { count } => consecutive_failures::read(*count, probe, window, span),
        Condition::FailureRatio { above, over, min_samples } => {
            failure_ratio::read(*above, *min_samples, window, span.last(*over))
        }
        Condition::Latency { quantile, above, over, min_samples } => {
            latency::read(*quantile, *above, *min_samples, window, span.last(*over))
        }
        Condition::Regression(regression) => regression::read(rule, regression, probe, window, span),
    };
    if is_silent(probe, window, span) { Reading { verdict: Verdict::Unknown, ..reading } } else { reading }
}

/// Reads every rule of `policy` on the deployment that is live since `live_since`, as of `now`.
pub fn read_all(
    policy: &Policy,
    windows: &[Window],
    live_since: Moment,
    now: Moment,
    pace: Pace,
) -> Vec<Reading> {
    policy.rules.iter().map(|rule| read(rule, policy, windows, (live_since, now), pace)).collect()
}

/// How many samples that say something the probe with the fewest has on the deployment live since `live_since`. At rest
/// those that are not asked then have none, and are not waited for.
pub fn fewest_samples(
    policy: &Policy,
    windows: &[Window],
    (live_since, now): (Moment, Moment),
    pace: Pace,
) -> u32 {
    let is_named = |rule: &Rule, n: usize| rule.tests.iter().any(|test| test.probe == n);
    // What is only there for rules that tell is not waited for.
    let only_tells = |n: &usize| {
        policy.rules.iter().any(|rule| is_named(rule, *n))
            && !policy.judging(&policy.rules).any(|(rule, _)| is_named(rule, *n))
    };
    let is_asked = |probe: &ProbePolicy| pace == Pace::Watch || probe.asked == Asked::Always;
    let probes = policy.probes.iter().enumerate();
    let probes = probes.filter(|(n, probe)| is_asked(probe) && !only_tells(n));
    let counts = probes.map(|(n, probe)| {
        let count = windows.get(n).map_or(0, |window| {
            let span = Span { from: live_since + probe.settle, to: now, pace: Pace::Watch };
            span.known(window).count()
        });
        u32::try_from(count).unwrap_or(u32::MAX)
    });
    counts.min().unwrap_or(u32::MAX)
}

impl Span {
    /// The last `length` of this span.
    fn last(self, length: Duration) -> Self {
        Self { from: self.from.max(self.to - length), ..self }
    }

    /// Its samples that say anything, oldest first.
    pub(crate) fn known(self, window: &Window) -> impl DoubleEndedIterator<Item = &Sample> {
        window.between(self.from, self.to).filter(move |sample| match sample.result {
            SampleResult::Good | SampleResult::Share(_) | SampleResult::Bad(_) => true,
            SampleResult::Unvouched(_) => self.pace == Pace::Rest,
            SampleResult::Unknown(_) => false,
        })
    }
}

/// A quantile of the latency of the good samples within `span`, in seconds, unless there are fewer than `enough`.
pub(super) fn latency_quantile(quantile: f64, enough: usize, window: &Window, span: Span) -> Option<f64> {
    let enough = u32::try_from(enough).unwrap_or(u32::MAX);
    let reading = latency::read(quantile, Duration::ZERO, enough, window, span);
    reading.value.filter(|_| reading.samples >= enough)
}

/// Whether the newest sample that says anything is too old to speak for the app now.
fn is_silent(probe: &ProbePolicy, window: &Window, span: Span) -> bool {
    let newest = span.known(window).next_back();
    newest.is_none_or(|sample| span.to.since(sample.at) > patience(probe, span.pace))
}

/// How long a sample speaks for the app. Three periods: one lost sample is not silence.
fn patience(probe: &ProbePolicy, pace: Pace) -> Duration {
    let period = match pace {
        Pace::Rest => probe.period,
        Pace::Watch => probe.watch_period,
    };
    period * 3 + probe.timeout + probe.lag
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::sample::{BlindCause, Failure};

    pub(super) const GOOD: SampleResult = SampleResult::Good;
    pub(super) const BAD: SampleResult = SampleResult::Bad(Failure::Connect);
    pub(super) const BLIND: SampleResult = SampleResult::Unknown(BlindCause::Control);

    pub(super) fn probe() -> ProbePolicy {
        ProbePolicy {
            name: "home".into(),
            period: Duration::from_secs(5),
            watch_period: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            settle: Duration::ZERO,
            lag: Duration::ZERO,
            asked: Asked::Always,
        }
    }

    /// One sample every five seconds, beginning at zero.
    pub(super) fn window(results: &[SampleResult]) -> Window {
        let mut window = Window::new(Window::MAX);
        for (n, result) in (0..).zip(results) {
            window.push(Sample { at: Moment::from_millis(n * 5_000), micros: 1_000, result: *result });
        }
        window
    }

    /// Good samples with these latencies in milliseconds.
    pub(super) fn timed(millis: &[u32]) -> Window {
        let mut window = Window::new(Window::MAX);
        for (n, millis) in (0..).zip(millis) {
            window.push(Sample { at: Moment::from_millis(n * 5_000), micros: millis * 1_000, result: GOOD });
        }
        window
    }

    /// All of the window, as of right after its last sample.
    pub(super) fn span(window: &Window) -> Span {
        let to = window.last().map_or(Moment::default(), |sample| sample.at + Duration::from_millis(1));
        Span { from: Moment::default(), to, pace: Pace::Rest }
    }

    fn read(condition: Condition, window: &Window, span: Span) -> Reading {
        super::read_test(&"down".into(), &Test { probe: 0, condition }, &probe(), window, span)
    }

    #[test]
    fn a_silent_probe_makes_its_rules_unknown() {
        let condition = Condition::ConsecutiveFailures { count: 3 };
        let window = window(&[BAD, BAD, BAD]);
        let span = |to, pace| Span { from: Moment::default(), to, pace };
        let at = |to, pace| read(condition.clone(), &window, span(to, pace)).verdict;
        for (pace, patience) in [(Pace::Rest, 17_000), (Pace::Watch, 8_000)] {
            assert_eq!(at(Moment::from_millis(10_001), pace), Verdict::Bad);
            assert_eq!(at(Moment::from_millis(10_000 + patience), pace), Verdict::Bad);
            assert_eq!(at(Moment::from_millis(10_000 + patience + 1), pace), Verdict::Unknown);
        }
    }

    #[test]
    fn what_was_measured_a_while_ago_speaks_for_as_long_as_it_may_be_old() {
        let window = window(&[BAD, BAD, BAD]);
        let test = Test { probe: 0, condition: Condition::ConsecutiveFailures { count: 3 } };
        let at = |to, lag| {
            let span = Span { from: Moment::default(), to: Moment::from_millis(to), pace: Pace::Rest };
            let probe = ProbePolicy { lag: Duration::from_secs(lag), ..probe() };
            super::read_test(&"down".into(), &test, &probe, &window, span).verdict
        };
        assert_eq!((at(87_000, 60), at(87_001, 60)), (Verdict::Bad, Verdict::Unknown));
        assert_eq!(at(87_000, 0), Verdict::Unknown);
    }

    #[test]
    fn a_failure_that_nobody_vouched_for_says_how_an_app_was_and_accuses_nobody() {
        let unvouched = SampleResult::Unvouched(Failure::Connect);
        let conditions = [
            Condition::ConsecutiveFailures { count: 3 },
            Condition::FailureRatio { above: 0.5, over: Duration::from_secs(60), min_samples: 3 },
        ];
        for condition in conditions {
            let at = |results: &[SampleResult], pace| {
                let window = window(results);
                read(condition.clone(), &window, Span { pace, ..span(&window) }).verdict
            };
            let unasked = [BAD, BAD, unvouched];
            assert_eq!((at(&unasked, Pace::Rest), at(&[BAD; 3], Pace::Watch)), (Verdict::Bad, Verdict::Bad));
            assert_eq!(at(&unasked, Pace::Watch), Verdict::Unknown);
        }
    }

    #[test]
    fn the_settle_time_is_counted_from_when_the_deployment_went_live() {
        let mut policy = crate::decision::scenarios::policy();
        policy.probes = vec![ProbePolicy { settle: Duration::from_secs(10), ..probe() }];
        let windows = [window(&[BAD, BAD, BAD, BAD, BAD, BAD])];
        let (live_since, now) = (Moment::from_millis(5_000), Moment::from_millis(25_001));
        let readings = read_all(&policy, &windows, live_since, now, Pace::Rest);
        assert_eq!((readings[0].samples, readings[0].verdict), (3, Verdict::Bad));
        assert_eq!(readings[0].first_failure_at, Some(Moment::from_millis(15_000)));
        assert_eq!(fewest_samples(&policy, &windows, (live_since, now), Pace::Rest), 3);
    }

    #[test]
    fn samples_of_an_earlier_deployment_or_from_the_settle_time_do_not_count() {
        let condition = Condition::ConsecutiveFailures { count: 2 };
        let window = window(&[BAD, BAD, BAD, GOOD]);
        let to = Moment::from_millis(12_000);
        let span = |ms| Span { from: Moment::from_millis(ms), to, pace: Pace::Rest };
        let from = |ms| read(condition.clone(), &window, span(ms)).verdict;
        assert_eq!(from(5_000), Verdict::Bad);
        assert_eq!(from(5_001), Verdict::Unknown);
    }

    #[test]
    fn several_tests_are_bad_once_enough_of_them_are_and_good_once_enough_cannot_be_any_more() {
        use Verdict::{Bad, Good, Unknown};
        let part = |verdict| Reading {
            verdict,
            value: (verdict != Unknown).then_some(1.0),
            threshold: 1.0,
            samples: 3,
            first_failure_at: Some(Moment::from_millis(if verdict == Bad { 7 } else { 3 })),
            parts: Vec::new(),
            compared: None,
        };
        let table = [
            (1, vec![Good, Good], Good),
            (1, vec![Good, Unknown], Unknown),
            (1, vec![Bad, Unknown], Bad),
            (2, vec![Bad, Good], Good),
            (2, vec![Bad, Unknown], Unknown),
            (2, vec![Unknown, Good], Good),
            (2, vec![Bad, Bad], Bad),
            (2, vec![Bad, Unknown, Good], Unknown),
            (2, vec![Bad, Unknown, Bad], Bad),
            (2, vec![Good, Unknown, Good], Good),
        ];
        for (needed, verdicts, expected) in table {
            let reading = combine(verdicts.iter().map(|verdict| part(*verdict)).collect(), needed);
            assert_eq!(reading.verdict, expected, "{needed} of {verdicts:?}");
            let bad = verdicts.iter().filter(|verdict| **verdict == Bad).count();
            assert_eq!((reading.value, reading.threshold), (Some(bad as f64), needed as f64));
            assert_eq!(reading.samples as usize, 3 * verdicts.len());
            if expected == Bad {
                let at = reading.first_failure_at.map(Moment::as_millis);
                assert_eq!(at, Some(7), "what accuses began with what is Bad");
            }
        }
        assert_eq!(combine(vec![part(Unknown), part(Unknown)], 1).value, None);
    }
}
