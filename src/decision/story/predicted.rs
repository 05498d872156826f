//! What a rollback is expected to do, and what it did, in words.

use std::time::Duration;

use super::compared::time;
use super::{percent, quantile_in_words};
use crate::decision::prediction::{Efficacy, Measure, Prediction};

/// What is expected.
pub(super) fn predicted(prediction: &Prediction) -> String {
    let Prediction { measure, from, at_most, within_seconds, .. } = prediction;
    format!(
        "going back is expected to take {} from {} to at most {} within {} of being live",
        what(prediction),
        value(*measure, *from),
        value(*measure, *at_most),
        humantime::format_duration(Duration::from_secs(*within_seconds)),
    )
}

/// What came of it.
pub(super) fn judged(prediction: &Prediction, now: f64, efficacy: Efficacy, is_other: bool) -> String {
    let Prediction { measure, from, at_most, .. } = prediction;
    let verdict = match efficacy {
        Efficacy::Helped => "the rollback helped",
        Efficacy::NoEffect => "the rollback had no effect",
        Efficacy::Harmed if is_other => "the rollback did harm, as another rule is bad now",
        Efficacy::Harmed => "the rollback did harm",
    };
    let expected = match now <= *at_most {
        true => "as expected".to_owned(),
        false => format!("expected was at most {}", value(*measure, *at_most)),
    };
    let (from, now) = (value(*measure, *from), value(*measure, now));
    format!("{verdict}: {} went from {from} to {now}; {expected}", what(prediction))
}

fn what(prediction: &Prediction) -> String {
    let probe = &prediction.probe;
    match prediction.measure {
        Measure::Failures => format!("the failures of {probe}"),
        Measure::Latency { quantile } => format!("{} of {probe}", quantile_in_words(quantile)),
    }
}

fn value(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Failures => percent(value),
        Measure::Latency { .. } => time(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_and_its_end_read_well() {
        let failures = Prediction {
            probe: "home".into(),
            measure: Measure::Failures,
            from: 0.124,
            at_most: 0.01,
            within_seconds: 300,
        };
        let slow = Prediction {
            measure: Measure::Latency { quantile: 0.95 },
            from: 2.5,
            at_most: 0.32,
            ..failures.clone()
        };
        for (text, expected) in [
            (
                predicted(&failures),
                "going back is expected to take the failures of home from 12.4 % to at most 1 % within 5m of being live",
            ),
            (
                predicted(&slow),
                "going back is expected to take p95 of home from 2.5s to at most 320ms within 5m of being live",
            ),
            (
                judged(&failures, 0.0, Efficacy::Helped, false),
                "the rollback helped: the failures of home went from 12.4 % to 0 %; as expected",
            ),
            (
                judged(&failures, 0.11, Efficacy::NoEffect, false),
                "the rollback had no effect: the failures of home went from 12.4 % to 11 %; expected was at most 1 %",
            ),
            (
                judged(&slow, 0.2, Efficacy::Harmed, true),
                "the rollback did harm, as another rule is bad now: p95 of home went from 2.5s to 200ms; as expected",
            ),
        ] {
            assert_eq!(text, expected);
        }
    }
}
