//! `consecutive_failures: N`: the last N samples that say anything all failed.

use super::{Pace, Reading, Span, Verdict, patience};
use crate::clock::Moment;
use crate::decision::policy::ProbePolicy;
use crate::decision::sample::Window;

/// Bad after `count` failures in a row, Good after a good sample, Unknown in between and before the first
/// sample. Samples that say nothing are passed over, but a time for which no sample speaks ends a streak: failures
/// from before a blindness do not add up with those after it.
pub(super) fn read(count: u32, probe: &ProbePolicy, window: &Window, span: Span) -> Reading {
    let mut streak = 0_u32;
    let mut first_failure_at: Option<Moment> = None;
    let mut samples = 0_u32;
    for sample in span.known(window).rev() {
        samples += 1;
        let broken =
            first_failure_at.is_some_and(|later| later.since(sample.at) > patience(probe, Pace::Rest));
        if !sample.result.has_failed() || broken {
            break;
        }
        streak += 1;
        first_failure_at = Some(sample.at);
    }
    let verdict = match streak {
        0 if samples == 0 => Verdict::Unknown,
        0 => Verdict::Good,
        _ if streak >= count => Verdict::Bad,
        _ => Verdict::Unknown,
    };
    Reading {
        verdict,
        value: (samples > 0).then_some(f64::from(streak)),
        threshold: f64::from(count),
        samples,
        first_failure_at,
        parts: Vec::new(),
        compared: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{BAD, BLIND, GOOD, probe, span, window};
    use super::*;
    use crate::decision::sample::Sample;

    #[test]
    fn verdicts_follow_the_trailing_streak() {
        let cases = [
            (vec![], Verdict::Unknown, None),
            (vec![GOOD], Verdict::Good, Some(0.0)),
            (vec![GOOD, BAD, BAD], Verdict::Unknown, Some(2.0)),
            (vec![GOOD, BAD, BAD, BAD], Verdict::Bad, Some(3.0)),
            (vec![BAD, BAD, BAD, GOOD], Verdict::Good, Some(0.0)),
            (vec![BAD, BLIND, BAD, BLIND, BAD], Verdict::Bad, Some(3.0)),
            (vec![BLIND, BLIND], Verdict::Unknown, None),
        ];
        for (results, verdict, value) in cases {
            let window = window(&results);
            let reading = read(3, &probe(), &window, span(&window));
            assert_eq!((reading.verdict, reading.value), (verdict, value), "{results:?}");
        }
    }

    #[test]
    fn failures_from_before_a_blindness_do_not_add_up() {
        let mut results = vec![BAD, BAD];
        results.extend([BLIND; 3]);
        results.push(BAD);
        let window = window(&results);
        let reading = read(3, &probe(), &window, span(&window));
        assert_eq!((reading.verdict, reading.value), (Verdict::Unknown, Some(1.0)));
    }

    #[test]
    fn a_streak_ends_where_no_sample_speaks() {
        let gap = 3 * 5_000 + 2_000;
        for (gap, streak) in [(gap, 2.0), (gap + 1, 1.0)] {
            let mut window = Window::new(Window::MAX);
            for at in [0, gap] {
                window.push(Sample { at: Moment::from_millis(at), micros: 1, result: BAD });
            }
            assert_eq!(read(2, &probe(), &window, span(&window)).value, Some(streak), "{gap}");
        }
    }

    #[test]
    fn the_first_failure_of_the_streak_is_named() {
        let window = window(&[BAD, GOOD, BAD, BAD, BAD]);
        let reading = read(3, &probe(), &window, span(&window));
        assert_eq!(reading.first_failure_at, window.iter().nth(2).map(|sample| sample.at));
    }
}
