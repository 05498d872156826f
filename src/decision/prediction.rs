//! What a rollback is expected to do, said before it is asked for, and what it did, judged when its soak is over.
//!
//! The measure is that of the rule that fired, on the probe that it fired on: the share of failures, or a quantile of
//! latency. Expected is what was measured before the accused release went live, and a little more; where nothing is known
//! of that, hardly a failure, or what the rule itself allows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::observation::Observation;
use super::policy::{Condition, Policy, Rule, Signal, Test};
use super::rule::{Pace, Span, Verdict, latency_quantile};
use super::sample::Window;
use super::state::Incident;
use crate::clock::Moment;
use crate::ids::ProbeName;

/// How far back the accused release, and the one before it, are measured.
const LATELY: Duration = Duration::from_secs(2 * 60);
const BEFORE: Duration = Duration::from_secs(10 * 60);

/// Nobody's samples, around a going live: see `quiet`.
const GRAIN: Duration = Duration::from_secs(3);

/// Fewer samples than this say nothing of how an app was.
const ENOUGH: usize = 10;

/// A share of failures this much larger than before is as expected.
const MORE_FAILURES: f64 = 0.01;

/// A latency this much larger than before, and at least so many seconds, is as expected.
const SLOWER: f64 = 1.25;
const SLOWER_SECONDS: f64 = 0.02;

/// From when on the effect is to be seen, at the latest.
const WITHIN: Duration = Duration::from_secs(5 * 60);

/// It helped that took away at least this part of what was wrong.
const PART: f64 = 0.5;

/// It did harm that made things worse by this part, and failures by this share.
const WORSE: f64 = 1.25;
const WORSE_FAILURES: f64 = 0.05;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "measure", rename_all = "snake_case")]
pub enum Measure {
    /// The share of samples that failed.
    Failures,
    /// A quantile of the time that good answers took, in seconds.
    Latency {
        /// Between 0 and 1.
        quantile: f64,
    },
}

/// What a rollback is expected to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The probe that is measured.
    pub probe: ProbeName,
    /// What is measured of it.
    #[serde(flatten)]
    pub measure: Measure,
    /// What it is with the accused release.
    pub from: f64,
    /// What it is to be at most.
    pub at_most: f64,
    /// So many seconds after the rollback is live.
    pub within_seconds: u64,
}

/// What a rollback did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Efficacy {
    /// At least half of what was wrong is gone, and the rule that fired is not bad any more.
    Helped,
    /// It is about as it was, or still bad.
    NoEffect,
    /// It is worse than it was, or something else is bad now.
    Harmed,
}

impl Efficacy {
    /// Every one, in the order metrics show them.
    pub const ALL: [Self; 3] = [Self::Helped, Self::NoEffect, Self::Harmed];

    /// The fixed word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Helped => "helped",
            Self::NoEffect => "no_effect",
            Self::Harmed => "harmed",
        }
    }
}

/// What going back from the accused release is expected to do. `None` where it cannot be measured, as after a restart of
/// rearguard with not one sample yet.
pub(super) fn predict(policy: &Policy, incident: &Incident, seen: &Observation<'_>) -> Option<Prediction> {
    let rule = policy.rules.iter().find(|rule| incident.is_of(rule))?;
    let test = accusing(rule, incident)?;
    let (probe, window) = (policy.probes.get(test.probe)?, seen.windows.get(test.probe)?);
    let measure = measure(&test.condition);
    let accused = (incident.live.since + probe.settle).max(seen.at - LATELY);
    let from = value(measure, window, (accused, seen.at), Pace::Watch, 1)?;
    let gone = incident.live.since - GRAIN;
    let before = value(measure, window, (gone - BEFORE, gone), Pace::Rest, ENOUGH);
    let expected = match (measure, before, &test.condition) {
        (Measure::Failures, before, _) => before.unwrap_or_default() + MORE_FAILURES,
        (Measure::Latency { .. }, Some(before), _) => (before * SLOWER).max(before + SLOWER_SECONDS),
        (Measure::Latency { .. }, None, Condition::Latency { above, .. }) => above.as_secs_f64(),
        (Measure::Latency { .. }, None, _) => from * PART,
    };
    Some(Prediction {
        probe: probe.name.clone(),
        measure,
        from,
        at_most: expected.min(from),
        within_seconds: WITHIN.min(policy.soak.period / 2).as_secs(),
    })
}

/// What came of it in the soak of a rollback that is live since `live_since`, with the value that was measured. `None`
/// where nothing was.
pub(super) fn judge(
    policy: &Policy,
    prediction: &Prediction,
    windows: &[Window],
    (live_since, now): (Moment, Moment),
) -> Option<(f64, Efficacy)> {
    let place = policy.probes.iter().position(|probe| probe.name == prediction.probe)?;
    let (probe, window) = (&policy.probes[place], windows.get(place)?);
    let from = live_since + probe.settle;
    let seen_by = from + Duration::from_secs(prediction.within_seconds);
    let measured = |from, enough| value(prediction.measure, window, (from, now), Pace::Watch, enough);
    // A soak that ended early is judged by what there is.
    let Some(value) = measured(seen_by, ENOUGH).or_else(|| measured(from, 1)) else {
        // How long answers take cannot be told where none is good any more: that is worse than slow.
        let is_dead = value(Measure::Failures, window, (from, now), Pace::Watch, 1).is_some();
        return is_dead.then_some((probe.timeout.as_secs_f64(), Efficacy::Harmed));
    };
    let worse = match prediction.measure {
        Measure::Failures => (prediction.from * WORSE).max(prediction.from + WORSE_FAILURES),
        Measure::Latency { .. } => prediction.from * WORSE,
    };
    let efficacy = if value <= prediction.at_most || value <= prediction.from * PART {
        Efficacy::Helped
    } else if value > worse {
        Efficacy::Harmed
    } else {
        Efficacy::NoEffect
    };
    Some((value, efficacy))
}

/// The test of the rule that was Bad when it fired.
fn accusing<'a>(rule: &'a Rule, incident: &Incident) -> Option<&'a Test> {
    let parts = incident.evidence.as_ref().map_or(&[][..], |evidence| &evidence.parts);
    let bad = |n: usize| parts.get(n).is_some_and(|part| part.verdict == Verdict::Bad);
    let place = (0..rule.tests.len()).find(|n| bad(*n)).unwrap_or_default();
    rule.tests.get(place)
}

fn measure(condition: &Condition) -> Measure {
    match condition {
        Condition::Latency { quantile, .. } => Measure::Latency { quantile: *quantile },
        Condition::Regression(regression) if regression.of == Signal::Latency => {
            Measure::Latency { quantile: 0.75 }
        }
        Condition::ConsecutiveFailures { .. } | Condition::FailureRatio { .. } | Condition::Regression(_) => {
            Measure::Failures
        }
    }
}

/// The measured value, unless there are fewer samples than `enough`.
fn value(
    measure: Measure,
    window: &Window,
    (from, to): (Moment, Moment),
    pace: Pace,
    enough: usize,
) -> Option<f64> {
    let span = Span { from, to, pace };
    match measure {
        Measure::Failures => {
            let samples = span.known(window).count();
            // Of an app's own counts, the share of its requests.
            let failed = span.known(window).map(|sample| sample.result.badness()).sum::<f64>();
            (samples >= enough).then(|| failed / samples as f64)
        }
        Measure::Latency { quantile } => latency_quantile(quantile, enough, window, span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::observation::{Operator, Reading as Observed};
    use crate::decision::policy::Regression;
    use crate::decision::rule::Reading;
    use crate::decision::sample::{Failure, Sample, SampleResult};
    use crate::decision::scenarios::{World, policy};

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1_000)
    }

    /// One sample a second from the beginning, each good or failed, and how long it took in milliseconds.
    fn window(samples: impl IntoIterator<Item = (bool, u32)>) -> Window {
        let mut window = Window::new(Window::MAX);
        for (n, (is_good, millis)) in (0..).zip(samples) {
            let result = if is_good { SampleResult::Good } else { SampleResult::Bad(Failure::Status(500)) };
            window.push(Sample { at: at(n), micros: millis * 1_000, result });
        }
        window
    }

    #[test]
    fn what_a_rollback_did_is_told_by_how_much_of_the_trouble_is_left() {
        let mut policy = policy();
        policy.probes[0].settle = Duration::from_secs(4);
        let probe = policy.probes[0].name.clone();
        let judged = |measure, (from, at_most): (f64, f64), bad: usize, millis| {
            let prediction = Prediction { probe: probe.clone(), measure, from, at_most, within_seconds: 6 };
            // Rough for as long as it may be, then so many of a hundred failures.
            let rough = std::iter::repeat_n((false, 5_000), 10);
            let then = (0..100).map(move |n| (n >= bad, millis));
            let windows = [window(rough.chain(then))];
            judge(&policy, &prediction, &windows, (at(0), at(110)))
        };
        let failures = |from, bad| judged(Measure::Failures, (from, 0.01), bad, 1).expect("samples");
        assert_eq!(failures(1.0, 0), (0.0, Efficacy::Helped));
        assert_eq!(failures(1.0, 1), (0.01, Efficacy::Helped));
        assert_eq!(failures(1.0, 50), (0.5, Efficacy::Helped), "half of it is gone");
        assert_eq!(failures(1.0, 51).1, Efficacy::NoEffect);
        assert_eq!(failures(1.0, 100).1, Efficacy::NoEffect, "no worse than all");
        assert_eq!(failures(0.2, 25).1, Efficacy::NoEffect);
        assert_eq!(failures(0.2, 26).1, Efficacy::Harmed);
        assert_eq!(failures(0.4, 50).1, Efficacy::NoEffect);
        assert_eq!(failures(0.4, 51).1, Efficacy::Harmed);
        assert_eq!(failures(0.02, 7).1, Efficacy::NoEffect, "within what so few failures vary by");
        let latency = |millis| judged(Measure::Latency { quantile: 0.5 }, (1.0, 0.2), 0, millis);
        assert_eq!(latency(200).expect("samples").1, Efficacy::Helped);
        assert_eq!(latency(600).expect("samples").1, Efficacy::NoEffect);
        assert_eq!(latency(1_250).expect("samples").1, Efficacy::NoEffect);
        assert_eq!(latency(1_251).expect("samples").1, Efficacy::Harmed);
        let dead = judged(Measure::Latency { quantile: 0.5 }, (1.0, 0.2), 100, 1).expect("samples");
        assert_eq!(
            dead,
            (policy.probes[0].timeout.as_secs_f64(), Efficacy::Harmed),
            "nothing is answered any more"
        );
        let prediction =
            Prediction { probe, measure: Measure::Failures, from: 1.0, at_most: 0.01, within_seconds: 10 };
        assert_eq!(judge(&policy, &prediction, &[Window::new(1)], (at(0), at(110))), None);
        let other = Prediction { probe: "gone".into(), ..prediction };
        assert_eq!(judge(&policy, &other, &[window([(true, 1)])], (at(0), at(110))), None);
    }

    #[test]
    fn what_is_expected_is_what_was_there_before_and_a_little_more() {
        let mut world = World::with_bad_release(policy());
        world.run_to_stage("rolling_back");
        let incident = world.state.incident().expect("an incident").clone();
        let prediction = incident.prediction.clone().expect("a prediction");
        assert_eq!((prediction.measure, prediction.from), (Measure::Failures, 1.0));
        assert_eq!(prediction.at_most, 0.01, "nothing failed before");
        assert_eq!(Duration::from_secs(prediction.within_seconds), WITHIN.min(policy().soak.period / 2));
    }

    /// What is expected of going back from a release that is live since the second 800, a minute after that. Its samples
    /// took so many milliseconds before and since, and as many of each ten failed.
    fn expected(
        conditions: &[(Condition, Verdict)],
        (before, since): ((u32, i64), (u32, i64)),
        first: i64,
    ) -> (Measure, f64, f64) {
        expected_by(conditions, (first, 860), |second| match second {
            // Right before it and until it has settled nobody's samples are good.
            ..798 => before,
            798..810 => (9_000, 10),
            810.. => since,
        })
    }

    /// The same of samples between those two seconds, of which that is said of each.
    fn expected_by(
        conditions: &[(Condition, Verdict)],
        (first, last): (i64, i64),
        sample: impl Fn(i64) -> (u32, i64),
    ) -> (Measure, f64, f64) {
        let mut world = World::with_bad_release(policy());
        world.run_to_stage("rolling_back");
        let mut incident = world.state.incident().expect("an incident").clone();
        incident.live.since = at(800);
        let evidence = incident.evidence.as_mut().expect("evidence");
        let part = |verdict| Reading { verdict, ..evidence.clone() };
        let parts = conditions.iter().map(|(_, verdict)| part(*verdict)).collect();
        evidence.parts = parts;
        let mut policy = policy();
        policy.probes[0].settle = Duration::from_secs(10);
        policy.soak.period = Duration::from_secs(240);
        let tests = conditions.iter().map(|(condition, _)| Test { probe: 0, condition: condition.clone() });
        policy.rules[0].tests = tests.collect();
        let mut window = Window::new(Window::MAX);
        for second in first..=last {
            let (millis, bad) = sample(second);
            let is_bad = second % 10 < bad;
            let result = if is_bad { SampleResult::Bad(Failure::Status(500)) } else { SampleResult::Good };
            window.push(Sample { at: at(second), micros: millis * 1_000, result });
        }
        let seen = Observation {
            at: at(last),
            app: &Observed::never(),
            other_was_live_at: None,
            history: &Observed::never(),
            windows: &[window],
            answer: None,
            operator: &Operator::default(),
        };
        let predicted = predict(&policy, &incident, &seen).expect("a prediction");
        assert_eq!(predicted.within_seconds, 120);
        (predicted.measure, predicted.from, predicted.at_most)
    }

    #[test]
    fn what_was_lately_is_two_minutes_of_the_release_and_ten_of_what_ran_before() {
        let in_a_row = [(Condition::ConsecutiveFailures { count: 3 }, Verdict::Bad)];
        let (_, from, at_most) = expected_by(&in_a_row, (0, 1_000), |second| match second {
            197..497 => (1, 5),
            497..810 | 880..940 => (1, 0),
            _ => (1, 10),
        });
        assert!((0.49..0.51).contains(&from), "half of two minutes: {from}");
        assert!(
            (0.24..0.27).contains(&at_most),
            "half of a half of ten minutes, and a little more: {at_most}"
        );
    }

    #[test]
    fn what_is_expected_follows_from_what_was_measured_until_the_release_went_live() {
        let over = Duration::from_secs(60);
        let in_a_row = (Condition::ConsecutiveFailures { count: 3 }, Verdict::Bad);
        let slow = |quantile, verdict| {
            (
                Condition::Latency { quantile, above: Duration::from_millis(300), over, min_samples: 1 },
                verdict,
            )
        };
        let regression = |of| {
            let glitch = Duration::from_secs(5);
            let of = Regression { of, probability: 0.001, worse_by: 0.1, glitch, min_failures: 3 };
            (Condition::Regression(of), Verdict::Bad)
        };
        let near = |(measure, from, at_most): (Measure, f64, f64), is: (Measure, f64, f64)| {
            assert_eq!(measure, is.0);
            assert!((from - is.1).abs() < 1e-9 && (at_most - is.2).abs() < 1e-9, "{from} {at_most}, {is:?}");
        };
        let latency = |quantile| Measure::Latency { quantile };
        let failures = [in_a_row.clone()];
        near(expected(&failures, ((1, 1), (1, 10)), 0), (Measure::Failures, 1.0, 0.11));
        near(expected(&failures, ((1, 9), (1, 5)), 0), (Measure::Failures, 0.5, 0.5));
        let median = [slow(0.5, Verdict::Bad)];
        near(expected(&median, ((400, 0), (2_000, 0)), 0), (latency(0.5), 2.0, 0.5));
        near(expected(&median, ((40, 0), (2_000, 0)), 0), (latency(0.5), 2.0, 0.06));
        // Where nothing is known of before, what the rule allows, or the half of it.
        near(expected(&median, ((40, 0), (2_000, 0)), 798), (latency(0.5), 2.0, 0.3));
        let slower = [regression(Signal::Latency)];
        near(expected(&slower, ((40, 0), (2_000, 0)), 798), (latency(0.75), 2.0, 1.0));
        near(expected(&[regression(Signal::Failures)], ((1, 0), (1, 10)), 0), (Measure::Failures, 1.0, 0.01));
        // Of several tests the first one that was bad is measured.
        let tests = [slow(0.5, Verdict::Good), in_a_row, slow(0.9, Verdict::Bad)];
        near(expected(&tests, ((1, 0), (1, 10)), 0), (Measure::Failures, 1.0, 0.01));
        let words: Vec<&str> = Efficacy::ALL.iter().map(|efficacy| efficacy.word()).collect();
        let written: Vec<_> = Efficacy::ALL.iter().map(|of| serde_json::to_value(of).unwrap()).collect();
        assert_eq!(written, words);
    }
}
