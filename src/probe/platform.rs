//! What the app's own platform measures of it: whether that is good, and whether it is of the release.
//!
//! Values have times on the platform's clock, and so has the answer; what was measured before the release went live, or
//! before it settled, says nothing of it. Neither does what was as bad before it: nobody reads these figures at rest, so
//! that is looked up in their past. Restarts and exits are counted from the release on; a count that falls was begun anew
//! by somebody, and is no verdict until that is as old as a value may be.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Absent, Figure, PlatformAsk};
use crate::decision::sample::{BlindCause, Failure, SampleResult};
use crate::platform::{Measured, Series};

/// The platform's clock is read from a header with whole seconds, and so is when a release went live.
const GRAIN_MS: i64 = 3_000;

/// Ends of a process that nobody minds: by itself, and because it was asked to stop (128 and SIGTERM).
const ENDED_WELL: [f64; 2] = [0.0, 143.0];

/// The release that is live, as of the question.
#[derive(Clone, Copy, Debug)]
pub struct Lived {
    /// For how long it has been.
    pub time: Duration,
    /// What is measured so soon after it went live is not its doing.
    pub settle: Duration,
    /// Whether what was as bad before it speaks against it.
    pub past: Past,
}

/// What was before the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// It may be at fault before: what was as bad then is not the release's doing.
    Excuses,
    /// What was before is bad, since it was gone back from, or is the same release.
    Ignored,
}

/// What is known of a component. The worst of several counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    /// Nothing was measured.
    Nothing,
    Good,
    /// It cannot be told.
    Unclear,
    Bad,
}

/// The times that matter, in milliseconds on the platform's clock.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// From when on what is measured is the release's.
    from: i64,
    /// Up to when it was surely the one before, and since when that is looked at.
    before: (i64, i64),
    /// What is older is no value any more.
    oldest: i64,
}

/// Holds what was measured against the limits.
pub fn judge(ask: &PlatformAsk, measured: &Measured, lived: Lived) -> SampleResult {
    let unknown = SampleResult::Unknown;
    // Without the platform's clock nobody can tell when anything was.
    let Some(now) = measured.at_ms else { return unknown(BlindCause::Source) };
    let times = Times::of(now, ask.max_age, lived);
    let is_asked_for = |series: &&Series| ask.component.as_ref().is_none_or(|name| series.component == *name);
    let mut components: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
    for series in measured.series.iter().filter(is_asked_for) {
        components.entry(&series.component).or_default().push(series);
    }
    let was_measured = measured
        .series
        .iter()
        .any(|series| series.points.iter().any(|(at, _)| (times.before.0..times.before.1).contains(at)));
    let mut worst = Held::Nothing;
    let mut is_excused = false;
    for series in components.values() {
        let held = now_of(ask, series, times, was_measured);
        if held == Held::Bad && lived.past == Past::Excuses && before_of(ask, series, times) == Held::Bad {
            is_excused = true;
        } else {
            worst = worst.max(held);
        }
    }
    match worst {
        Held::Bad if ask.figure == Figure::Health => SampleResult::Bad(Failure::Unhealthy),
        Held::Bad => SampleResult::Bad(Failure::Value),
        Held::Unclear => unknown(BlindCause::Absent),
        _ if is_excused => unknown(BlindCause::Before),
        Held::Good => SampleResult::Good,
        // There cannot be a value yet.
        Held::Nothing if times.from > times.oldest => unknown(BlindCause::Absent),
        Held::Nothing => match ask.absent {
            Absent::Unknown => unknown(BlindCause::Absent),
            Absent::Good => SampleResult::Good,
            Absent::Bad => SampleResult::Bad(Failure::Absent),
        },
    }
}

impl Times {
    fn of(now: i64, max_age: Duration, lived: Lived) -> Self {
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let live = now.saturating_sub(ms(lived.time));
        let end = live.saturating_sub(GRAIN_MS);
        Self {
            from: live.saturating_add(ms(lived.settle)).saturating_add(GRAIN_MS),
            before: (end.saturating_sub(ms(max_age)), end),
            oldest: now.saturating_sub(ms(max_age)),
        }
    }
}

/// How a component is now.
fn now_of(ask: &PlatformAsk, series: &[&Series], times: Times, was_measured: bool) -> Held {
    let Times { from, oldest, .. } = times;
    let recent = |at| at >= from.max(oldest);
    match ask.figure {
        Figure::ServerErrors => held(ask, share(series, recent)),
        Figure::RestartCount => worst(series, |series| match rise(series, times, was_measured) {
            Rise::Untold => Held::Nothing,
            Rise::Fell => Held::Unclear,
            Rise::By(restarts) => held(ask, Some(restarts)),
        }),
        Figure::ExitCodes => worst(series, |series| held(ask, Some(exits(series, |at| at >= from)))),
        // One that is listed without a word on it: nobody knows.
        Figure::Health => worst(series, |series| match series.points.as_slice() {
            [] => Held::Unclear,
            _ => held(ask, newest(series, recent)),
        }),
        _ => worst(series, |series| held(ask, newest(series, recent))),
    }
}

/// How it was before the release, as far as the platform still knows. Its health has no past.
fn before_of(ask: &PlatformAsk, series: &[&Series], times: Times) -> Held {
    let before = |at| (times.before.0..times.before.1).contains(&at);
    match ask.figure {
        Figure::Health => Held::Nothing,
        Figure::ServerErrors => held(ask, share(series, before)),
        Figure::RestartCount => worst(series, |series| {
            let counts: Vec<f64> = of(series, before).collect();
            let rose = counts.first().zip(counts.last()).map(|(first, last)| last - first);
            held(ask, rose.filter(|rose| *rose >= 0.0))
        }),
        Figure::ExitCodes => worst(series, |series| held(ask, Some(exits(series, before)))),
        _ => worst(series, |series| held(ask, newest(series, before))),
    }
}

fn worst(series: &[&Series], of: impl Fn(&Series) -> Held) -> Held {
    series.iter().map(|series| of(series)).max().unwrap_or(Held::Nothing)
}

fn held(ask: &PlatformAsk, value: Option<f64>) -> Held {
    match value {
        None => Held::Nothing,
        Some(value) if ask.limits.hold(value) => Held::Good,
        Some(_) => Held::Bad,
    }
}

fn of(series: &Series, is_in: impl Fn(i64) -> bool) -> impl Iterator<Item = f64> {
    series.points.iter().filter(move |(at, _)| is_in(*at)).map(|(_, value)| *value)
}

fn newest(series: &Series, is_in: impl Fn(i64) -> bool) -> Option<f64> {
    of(series, is_in).last()
}

/// The share of answers with a status from 500 on, of all of that time. Without an answer there is none.
fn share(series: &[&Series], is_in: impl Fn(i64) -> bool + Copy) -> Option<f64> {
    let count = |series: &&&Series| of(series, is_in).sum::<f64>();
    let is_error = |series: &&&Series| series.label.len() == 3 && series.label.starts_with('5');
    let all: f64 = series.iter().map(|series| count(&series)).sum();
    let errors: f64 = series.iter().filter(is_error).map(|series| count(&series)).sum();
    (all > 0.0).then(|| errors / all)
}

/// How many processes ended badly in that time.
fn exits(series: &Series, is_in: impl Fn(i64) -> bool) -> f64 {
    of(series, is_in).filter(|code| !ENDED_WELL.contains(code)).map(|_| 1.0).sum()
}

/// What became of a count since the release went live.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rise {
    /// No value, or none that is young enough.
    Untold,
    /// It fell of late: somebody began it anew, and whose restarts it counts is not known.
    Fell,
    By(f64),
}

/// A count that was not there before the release, while others were measured, began with it. Any other one counts from the
/// first value that is surely the release's, since an instance keeps its name and not its count.
fn rise(series: &Series, times: Times, was_measured: bool) -> Rise {
    let start = series.points.partition_point(|(at, _)| *at < times.from);
    let points = &series.points[start..];
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Rise::Untold };
    if last.0 < times.oldest {
        return Rise::Untold;
    }
    let fallen = points.windows(2).rfind(|pair| pair[1].1 < pair[0].1).map(|pair| pair[1]);
    let base = match fallen {
        Some((at, _)) if at >= times.oldest => return Rise::Fell,
        Some((_, value)) => value,
        None if start == 0 && was_measured => 0.0,
        None => first.1,
    };
    Rise::By(last.1 - base)
}

#[cfg(test)]
mod tests;
