//! `latency`: a quantile of the time good answers took is too high.

use std::time::Duration;

use super::{Reading, Span, Verdict};
use crate::decision::sample::{SampleResult, Window};

/// Bad when the quantile of the good samples' latency exceeds `above`. Failed samples have no latency: they are
/// the other rules' business. Exact, by the nearest-rank definition, over the window's bounded record.
pub(super) fn read(quantile: f64, above: Duration, min_samples: u32, window: &Window, span: Span) -> Reading {
    let threshold = above.as_secs_f64();
    let limit = u32::try_from(above.as_micros()).unwrap_or(u32::MAX);
    let mut first_failure_at = None;
    let mut micros: Vec<u32> = Vec::new();
    for sample in window.between(span.from, span.to).filter(|sample| sample.result == SampleResult::Good) {
        micros.push(sample.micros);
        if sample.micros > limit {
            first_failure_at = first_failure_at.or(Some(sample.at));
        }
    }
    let samples = u32::try_from(micros.len()).unwrap_or(u32::MAX);
    let value = nearest_rank(&mut micros, quantile).map(|micros| f64::from(micros) / 1e6);
    let verdict = match value {
        Some(_) if samples < min_samples => Verdict::Unknown,
        Some(value) if value > threshold => Verdict::Bad,
        Some(_) => Verdict::Good,
        None => Verdict::Unknown,
    };
    Reading { verdict, value, threshold, samples, first_failure_at, parts: Vec::new(), compared: None }
}

/// The smallest value that at least a share `quantile` of the values does not exceed.
fn nearest_rank(values: &mut [u32], quantile: f64) -> Option<u32> {
    let last = values.len().checked_sub(1)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within the slice")]
    let rank = (quantile * values.len() as f64).ceil() as usize;
    let (_, value, _) = values.select_nth_unstable(rank.saturating_sub(1).min(last));
    Some(*value)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{span, timed};
    use super::*;

    #[test]
    fn the_nearest_rank_is_exact() {
        assert_eq!(nearest_rank(&mut [], 0.5), None);
        assert_eq!(nearest_rank(&mut [7], 0.99), Some(7));
        let mut hundred: Vec<u32> = (1..=100).rev().collect();
        assert_eq!(nearest_rank(&mut hundred, 0.95), Some(95));
        assert_eq!(nearest_rank(&mut hundred, 1.0), Some(100));
        assert_eq!(nearest_rank(&mut hundred, 0.0), Some(1));
    }

    #[test]
    fn a_slow_tail_is_bad_and_a_fast_one_good() {
        let above = Duration::from_millis(800);
        let slow = timed(&[100, 100, 900, 900]);
        let reading = read(0.95, above, 4, &slow, span(&slow));
        assert_eq!((reading.verdict, reading.value), (Verdict::Bad, Some(0.9)));
        assert_eq!(reading.first_failure_at, slow.iter().nth(2).map(|sample| sample.at));
        let fast = timed(&[100, 100, 100, 800]);
        assert_eq!(
            read(0.95, above, 4, &fast, span(&fast)).first_failure_at,
            None,
            "at the limit is not above it"
        );
        assert_eq!(read(0.95, above, 4, &fast, span(&fast)).verdict, Verdict::Good);
        assert_eq!(read(0.95, above, 5, &slow, span(&slow)).verdict, Verdict::Unknown);
    }
}
