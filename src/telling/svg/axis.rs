//! Where an axis has its figures.

use jiff::Timestamp;

use super::super::Unit;

/// Steps of time, in seconds.
const STEPS: [i64; 19] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 604_800,
];
/// Figures on the axis of time, at the most.
const MOST_TIMES: f64 = 9.0;
/// Figures on the axis of values, about.
const VALUES: f64 = 4.0;

/// Times that read well, with what stands there.
pub(super) fn times(from: Timestamp, seconds: f64) -> Vec<(Timestamp, String)> {
    let fits = |step: &&i64| seconds / **step as f64 <= MOST_TIMES;
    let step = STEPS.iter().find(fits).copied().unwrap_or(604_800);
    let format = match step {
        0..60 => "%H:%M:%S",
        60..86_400 => "%H:%M",
        _ => "%m-%d",
    };
    let first = from.as_second().div_euclid(step) * step;
    let all = (0..=12).filter_map(|n| Timestamp::from_second(first + n * step).ok());
    let within = all.filter(|at| {
        let after = at.duration_since(from).as_secs_f64();
        (0.0..=seconds).contains(&after)
    });
    within.map(|at| (at, at.strftime(format).to_string())).collect()
}

/// Values that read well, from zero up.
pub(super) fn values(peak: f64, unit: Unit) -> Vec<f64> {
    let rough = peak / VALUES;
    let size = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|n| n * size).find(|step| *step >= rough);
    let mut step = step.unwrap_or(rough);
    if matches!(unit, Unit::Failures | Unit::Tests) {
        step = step.ceil().max(1.0);
    }
    let most = if unit == Unit::Ratio { peak.min(1.0) } else { peak };
    (0..=10).map(|n| f64::from(n) * step).take_while(|value| *value <= most * 1.0001).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_round_and_few() {
        let from: Timestamp = "2026-11-21T02:13:07Z".parse().unwrap();
        let shown = |seconds| times(from, seconds).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(shown(20.0), ["02:13:10", "02:13:15", "02:13:20", "02:13:25"]);
        assert_eq!(shown(700.0), ["02:14", "02:16", "02:18", "02:20", "02:22", "02:24"]);
        assert_eq!(shown(200_000.0), ["12:00", "00:00", "12:00", "00:00"]);
        for seconds in [1.0, 59.0, 3_599.0, 86_399.0, 1e6] {
            assert!((1..=10).contains(&shown(seconds).len()), "{seconds}");
        }
    }

    #[test]
    fn values_are_round_and_none_is_above_what_can_be() {
        assert_eq!(values(3.45, Unit::Failures), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(values(27.0, Unit::Failures), [0.0, 10.0, 20.0]);
        assert_eq!(values(1.15, Unit::Ratio), [0.0, 0.5, 1.0]);
        assert_eq!(values(0.9, Unit::Seconds), [0.0, 0.25, 0.5, 0.75]);
    }
}
