//! A day of samples in little room: how an app behaved, as runs of good and of bad ones.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Round;

/// Samples that are older than this say nothing of the app of today, in seconds.
pub const KEPT: f64 = 24.0 * 60.0 * 60.0;
/// Runs that are kept at most, the newest: what changes all the time is known well enough by then.
const MOST_RUNS: usize = 512;
/// Samples that were set aside are one run up to a gap of so many milliseconds, as long as the longest glitch.
const JOINED: i64 = 60_000;

/// Samples in a row that were alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Run {
    /// When the first one was sent, in milliseconds.
    from: i64,
    /// When the last one was.
    to: i64,
    count: u32,
    is_bad: bool,
    /// They say how long trouble lasts here, and nothing of how good the release is.
    #[serde(default)]
    is_aside: bool,
}

/// What the samples of a probe were like, at most one every `interval`.
///
/// Samples that come faster than that, such as those after a failure, are left out by their time alone, so that what is
/// left says how the app fares and not how closely it was looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History {
    runs: VecDeque<Run>,
}

impl History {
    /// Adds a sample that was sent at `at` milliseconds, unless one was less than `interval` milliseconds ago.
    pub fn add(&mut self, at: i64, is_bad: bool, interval: i64) {
        // A tenth less: no timer is exact.
        if self.last().is_some_and(|last| at - last < interval - interval / 10) {
            return;
        }
        match self.runs.back_mut() {
            // A gap would be filled with samples that there never were.
            Some(run) if run.is_bad == is_bad && !run.is_aside && at - run.to <= 2 * interval => {
                (run.to, run.count) = (at, run.count.saturating_add(1));
            }
            _ => self.runs.push_back(Run { from: at, to: at, count: 1, is_bad, is_aside: false }),
        }
        while self.runs.len() > MOST_RUNS {
            self.runs.pop_front();
        }
        self.forget(at);
    }

    /// When the last sample was sent.
    fn last(&self) -> Option<i64> {
        self.runs.back().map(|run| run.to)
    }

    /// Forgets what is too old at `now`.
    fn forget(&mut self, now: i64) {
        #[expect(clippy::cast_possible_truncation, reason = "a day")]
        let horizon = now - (KEPT * 1_000.0) as i64;
        while self.runs.front().is_some_and(|run| run.to < horizon) {
            self.runs.pop_front();
        }
        if let Some(run) = self.runs.front_mut()
            && run.from < horizon
        {
            let gone = run.times().take_while(|at| *at < horizon).count();
            let first = run.times().nth(gone).unwrap_or(run.to);
            run.count -= u32::try_from(gone).unwrap_or(u32::MAX).min(run.count - 1);
            run.from = first;
        }
    }

    /// Sets aside what was sent at `since` or later: a rule was Bad then, so it is no way for an app to be.
    pub fn set_aside(&mut self, since: i64) {
        let first = self.runs.partition_point(|run| run.to < since);
        for mut run in self.runs.split_off(first) {
            run.is_aside = true;
            match self.runs.back_mut() {
                // Trouble that lasts is set aside sample by sample, and must not push out what was before it.
                Some(last) if last.is_aside && last.is_bad == run.is_bad && run.from - last.to <= JOINED => {
                    (last.to, last.count) = (run.to, last.count.saturating_add(run.count));
                }
                _ => self.runs.push_back(run),
            }
        }
    }

    /// Forgets what was sent at `from` or later: it was another release's.
    pub fn cut(&mut self, from: i64) {
        while self.runs.back().is_some_and(|run| run.from >= from) {
            self.runs.pop_back();
        }
        if let Some(run) = self.runs.back_mut().filter(|run| run.to >= from) {
            let left = run.times().take_while(|at| *at < from).count();
            let last = run.times().nth(left.saturating_sub(1)).unwrap_or(run.from);
            (run.count, run.to) = (u32::try_from(left).unwrap_or(1).max(1), last);
        }
    }

    /// Takes over what `other` has, which came later.
    pub fn append(&mut self, other: Self) {
        self.runs.extend(other.runs);
        while self.runs.len() > MOST_RUNS {
            self.runs.pop_front();
        }
        if let Some(last) = self.last() {
            self.forget(last);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many samples it has, and how many of them are bad.
    pub fn count(&self) -> (u64, u64) {
        self.runs.iter().fold((0, 0), |(all, bad), run| {
            let count = u64::from(run.count);
            (all + count, bad + if run.is_bad { count } else { 0 })
        })
    }

    /// All samples, oldest first. Within a run they are as far apart as they were on average.
    pub fn rounds(&self) -> impl Iterator<Item = Round> + Clone {
        self.runs.iter().flat_map(|run| run.rounds())
    }

    /// Those that were sent at `since` or later and not set aside.
    pub fn rounds_of(&self, since: i64) -> impl Iterator<Item = Round> + Clone {
        let from = since as f64 / 1_000.0;
        let runs = self.runs.iter().filter(|run| !run.is_aside);
        runs.flat_map(|run| run.rounds()).filter(move |round| round.at >= from)
    }
}

impl Run {
    fn rounds(self) -> impl Iterator<Item = Round> + Clone {
        let badness = if self.is_bad { 1.0 } else { 0.0 };
        self.times().map(move |at| Round { at: at as f64 / 1_000.0, badness })
    }

    fn times(self) -> impl Iterator<Item = i64> + Clone {
        let (from, span, steps) = (self.from, self.to - self.from, i64::from(self.count.max(2) - 1));
        (0..i64::from(self.count)).map(move |n| from + span * n / steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One sample every five seconds.
    fn of(samples: impl IntoIterator<Item = bool>) -> History {
        let mut history = History::default();
        for (n, is_bad) in (0..).zip(samples) {
            history.add(n * 5_000, is_bad, 5_000);
        }
        history
    }

    #[test]
    fn what_comes_out_is_what_went_in() {
        let samples = [false, false, true, true, false, true, false, false];
        let rounds: Vec<Round> = of(samples).rounds().collect();
        let expected = (0..)
            .zip(samples)
            .map(|(n, is_bad)| Round { at: f64::from(n) * 5.0, badness: f64::from(u8::from(is_bad)) });
        assert_eq!(rounds, expected.collect::<Vec<_>>());
        assert_eq!(of(samples).count(), (8, 3));
        assert!(of([]).is_empty() && !of(samples).is_empty());
    }

    #[test]
    fn samples_that_come_faster_are_left_out_by_their_time_alone() {
        for is_bad in [false, true] {
            let mut history = History::default();
            for n in 0..40 {
                history.add(n * 1_000, is_bad, 5_000);
            }
            assert_eq!(history.count().0, 8);
        }
        // A timer that is a little early is none of that.
        let mut history = History::default();
        history.add(0, false, 5_000);
        history.add(4_990, false, 5_000);
        assert_eq!(history.count().0, 2);
    }

    #[test]
    fn a_gap_is_not_filled() {
        let mut history = of([false; 3]);
        history.add(3_600_000, false, 5_000);
        let at: Vec<f64> = history.rounds().map(|round| round.at).collect();
        assert_eq!(at, [0.0, 5.0, 10.0, 3_600.0]);
    }

    #[test]
    fn only_a_day_is_kept_and_only_so_many_changes() {
        let day = 24 * 60 * 60 / 5;
        let history = of((0..day + 1_000).map(|n| n == 10));
        let (all, bad) = history.count();
        assert_eq!((all, bad), (day + 1, 0), "a sample that is a day old still counts");
        assert_eq!(history.rounds().next().map(|round| round.at), Some(999.0 * 5.0));
        let changing = of((0..2_000).map(|n| n % 2 == 0));
        assert_eq!(changing.count(), (512, 256));
    }

    #[test]
    fn what_was_set_aside_is_no_way_to_be_and_says_how_long_trouble_lasts() {
        let mut history = of([false, false, true, true, true]);
        history.set_aside(10_000);
        for n in 5..8 {
            history.add(n * 5_000, n == 5, 5_000);
        }
        let counted: Vec<f64> = history.rounds_of(0).map(|round| round.at).collect();
        assert_eq!(counted, [0.0, 5.0, 25.0, 30.0, 35.0]);
        assert_eq!(history.rounds_of(30_000).count(), 2);
        assert_eq!(history.count(), (8, 4));
    }

    #[test]
    fn trouble_that_lasts_does_not_push_out_what_was_before_it() {
        let mut history = of([false; 100]);
        for n in 100..2_000 {
            history.add(n * 5_000, true, 5_000);
            history.set_aside(500_000);
        }
        assert_eq!((history.rounds_of(0).count(), history.count()), (100, (2_000, 1_900)));
    }

    #[test]
    fn what_was_another_release_s_is_cut_off() {
        let mut history = of([false, false, false, true, true]);
        history.cut(7_000);
        assert_eq!(history.rounds().map(|round| round.at).collect::<Vec<_>>(), [0.0, 5.0]);
        history.cut(0);
        assert!(history.is_empty());
    }

    #[test]
    fn what_is_taken_over_comes_after_what_was_there() {
        let mut history = of([false, true]);
        let mut later = History::default();
        later.add(60_000, false, 5_000);
        history.append(later);
        assert_eq!(history.rounds().map(|round| round.at).collect::<Vec<_>>(), [0.0, 5.0, 60.0]);
    }
}
