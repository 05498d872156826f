//! `failure_ratio`: too large a share of the samples in a window failed.

use super::{Reading, Span, Verdict};
use crate::decision::sample::Window;

/// Bad when the share of failed samples exceeds `above`, Unknown below `min_samples` samples.
pub(super) fn read(above: f64, min_samples: u32, window: &Window, span: Span) -> Reading {
    let (mut samples, mut failed, mut first_failure_at) = (0_u32, 0_u32, None);
    for sample in span.known(window) {
        samples += 1;
        if sample.result.has_failed() {
            failed += 1;
            first_failure_at = first_failure_at.or(Some(sample.at));
        }
    }
    let value = (samples > 0).then(|| f64::from(failed) / f64::from(samples));
    let verdict = match value {
        Some(_) if samples < min_samples => Verdict::Unknown,
        Some(ratio) if ratio > above => Verdict::Bad,
        Some(_) => Verdict::Good,
        None => Verdict::Unknown,
    };
    Reading { verdict, value, threshold: above, samples, first_failure_at, parts: Vec::new(), compared: None }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{BAD, BLIND, GOOD, span, window};
    use super::*;

    #[test]
    fn a_ratio_needs_its_samples_and_must_exceed_the_threshold() {
        let cases = [
            (vec![], Verdict::Unknown, None),
            (vec![BAD, BAD, BAD], Verdict::Unknown, Some(1.0)),
            (vec![BAD, GOOD, GOOD, GOOD], Verdict::Good, Some(0.25)),
            (vec![BAD, BAD, GOOD, GOOD], Verdict::Bad, Some(0.5)),
            (vec![BAD, BLIND, GOOD, GOOD, BLIND, GOOD], Verdict::Good, Some(0.25)),
        ];
        for (results, verdict, value) in cases {
            let window = window(&results);
            let reading = read(0.25, 4, &window, span(&window));
            assert_eq!((reading.verdict, reading.value), (verdict, value), "{results:?}");
        }
    }
}
