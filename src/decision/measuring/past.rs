//! What is kept of the past of one probe, for what is compared of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::decision::policy::{Policy, Regression, Signal};
use crate::decision::rule::regression::Before;
use crate::decision::sample::{Sample, SampleResult};
use crate::detection::counters::Shares;
use crate::detection::glitch;
use crate::detection::history::History;
use crate::detection::latency::Latencies;

/// How one probe found the app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// While releases were live that were good, whichever they were.
    lately: Kept,
    /// Since when that is the last of them.
    since: Moment,
    /// While a release is live of which nobody knows yet whether it is good.
    new: Kept,
}

/// A day of samples, as far as rules ask for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Kept {
    /// Which of them failed.
    #[serde(rename = "runs")]
    failures: History,
    /// How long good answers took.
    #[serde(default, skip_serializing_if = "Latencies::is_empty")]
    latencies: Latencies,
    /// What share of requests failed.
    #[serde(default, skip_serializing_if = "Shares::is_empty")]
    shares: Shares,
}

/// What rules ask for of a probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    failures: bool,
    latency: bool,
    pub(super) shares: bool,
}

impl Wanted {
    /// Nothing but shares.
    pub(super) const SHARES: Self = Self { failures: false, latency: false, shares: true };

    /// Of the probe at `place`.
    pub(super) fn of(policy: &Policy, place: usize) -> Self {
        let mut wanted = Self::default();
        let regressions = policy.rules.iter().filter_map(|rule| rule.regression());
        for (regression, _) in regressions.filter(|(_, probe)| *probe == place) {
            match regression.of {
                Signal::Failures => wanted.failures = true,
                Signal::Latency => wanted.latency = true,
                Signal::Shares => wanted.shares = true,
            }
        }
        wanted
    }
}

impl Past {
    /// Takes a sample of a release that is good.
    pub(super) fn add(&mut self, sample: &Sample, period: Duration, wanted: Wanted) {
        self.lately.add(sample, period, wanted);
    }

    /// Takes a sample of a release of which nobody knows yet.
    pub(super) fn add_new(&mut self, sample: &Sample, period: Duration, wanted: Wanted) {
        self.new.add(sample, period, wanted);
    }

    /// What was sent since then is no way for an app to be.
    pub(super) fn set_aside(&mut self, since: Moment) {
        self.lately.failures.set_aside(since.as_millis());
        self.lately.latencies.set_aside(since.as_millis());
        self.lately.shares.set_aside(since.as_millis());
    }

    /// How long it took since then is none; that it answered is.
    pub(super) fn set_slow_aside(&mut self, since: Moment) {
        self.lately.latencies.set_aside(since.as_millis());
    }

    /// What was sent since then was another release's.
    pub(super) fn cut(&mut self, from: Moment) {
        self.lately.failures.cut(from.as_millis());
        self.lately.latencies.cut(from.as_millis());
        self.lately.shares.cut(from.as_millis());
    }

    /// The new release, live since then, is good.
    pub(super) fn accept_new(&mut self, since: Moment) {
        let new = std::mem::take(&mut self.new);
        if !new.is_empty() {
            self.lately.failures.append(new.failures);
            self.lately.latencies.append(new.latencies);
            self.lately.shares.append(new.shares);
            self.since = since;
        }
    }

    /// The new release is gone, or was not good.
    pub(super) fn forget_new(&mut self) {
        self.new = Kept::default();
    }

    /// Takes over the shares that were recorded of the last good release where none are known. Says how many.
    pub(super) fn fill(&mut self, recorded: Self, period: Duration) -> usize {
        let Some(first) = recorded.lately.shares.rounds().next() else { return 0 };
        let filled = self.lately.shares.fill(recorded.lately.shares, millis(period) / 2);
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970")]
        let first = Moment::from_millis((first.at * 1_000.0).floor() as i64);
        if filled > 0 {
            self.since = self.since.min(first);
        }
        filled
    }

    /// How many shares are known of that time.
    pub(super) fn shares_of(&self, from: Moment, to: Moment) -> u32 {
        let time = [from, to].map(|moment| moment.as_millis() as f64 / 1_000.0);
        let rounds = self.lately.shares.rounds().filter(|round| (time[0]..=time[1]).contains(&round.at));
        u32::try_from(rounds.count()).unwrap_or(u32::MAX)
    }

    /// What is known of the last good release, of a probe with that period.
    pub fn before(&self, regression: &Regression, period: Duration) -> Before {
        let (interval, floor) = (period.as_secs_f64(), regression.glitch.as_secs_f64());
        let (kept, since) = (&self.lately, self.since.as_millis());
        let of = |(baseline, glitch)| Before { baseline, glitch: Some(glitch), usual: None };
        match regression.of {
            Signal::Failures => {
                let (all, its) = (kept.failures.rounds(), kept.failures.rounds_of(since));
                of(glitch::learnt(all, its, interval, floor, regression.worse_by))
            }
            Signal::Shares => {
                let (all, its) = (kept.shares.rounds(), kept.shares.rounds_of(since));
                of(glitch::learnt(all, its, interval, floor, regression.worse_by))
            }
            Signal::Latency => {
                Before { usual: kept.latencies.usual(since, interval, floor), ..Before::default() }
            }
        }
    }
}

impl Kept {
    fn add(&mut self, sample: &Sample, period: Duration, wanted: Wanted) {
        let (at, interval) = (sample.at.as_millis(), millis(period));
        if wanted.failures {
            self.failures.add(at, sample.result.has_failed(), interval);
        }
        if wanted.latency {
            let latency = (sample.result == SampleResult::Good).then_some(sample.micros);
            self.latencies.add(at, latency, interval);
        }
        if let (true, Some(share)) = (wanted.shares, sample.result.share()) {
            self.shares.add(at, share, interval);
        }
    }

    fn is_empty(&self) -> bool {
        self.failures.is_empty() && self.latencies.is_empty() && self.shares.is_empty()
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detection::counters::Step;

    const EVERY: Duration = Duration::from_secs(5);
    const ALL: Wanted = Wanted { failures: true, latency: true, shares: true };

    fn at(round: i64) -> Moment {
        Moment::from_millis(round * 5_000)
    }

    /// These rounds, of which none failed.
    fn samples(rounds: impl IntoIterator<Item = i64>) -> impl Iterator<Item = Sample> {
        let result = SampleResult::Share(Step::of(0.0));
        rounds.into_iter().map(move |round| Sample { at: at(round), micros: 1_000, result })
    }

    fn known(rounds: impl IntoIterator<Item = i64>) -> Past {
        let mut past = Past::default();
        samples(rounds).for_each(|sample| past.add(&sample, EVERY, ALL));
        past
    }

    /// How many rounds are known by their failures, and when those were whose shares are.
    fn rounds(past: &Past) -> (usize, Vec<f64>) {
        let shares = past.lately.shares.rounds().map(|round| round.at / 5.0);
        (past.lately.failures.rounds().count(), shares.collect())
    }

    #[test]
    fn what_was_sent_since_another_release_was_live_is_cut_off() {
        let mut past = known(0..10);
        past.cut(at(3));
        assert_eq!(rounds(&past), (3, vec![0.0, 1.0, 2.0]));
    }

    #[test]
    fn what_is_known_of_a_new_release_counts_once_it_is_good_and_only_what_was_not_forgotten() {
        let mut past = known(0..3);
        samples(3..6).for_each(|sample| past.add_new(&sample, EVERY, ALL));
        past.forget_new();
        past.accept_new(at(3));
        assert_eq!(past, known(0..3), "nothing is known of it, and so what is known is not of it");
        samples(6..8).for_each(|sample| past.add_new(&sample, EVERY, ALL));
        past.accept_new(at(6));
        assert_eq!((rounds(&past), past.since), ((5, vec![0.0, 1.0, 2.0, 6.0, 7.0]), at(6)));
    }

    #[test]
    fn what_was_recorded_fills_up_to_the_next_round_that_is_known_and_is_the_release_s_own() {
        let mut past = known([10, 14]);
        past.since = at(10);
        assert_eq!(past.fill(known(10..=14), EVERY), 3);
        assert_eq!((rounds(&past).1, past.since), (vec![10.0, 11.0, 12.0, 13.0, 14.0], at(10)));
        assert_eq!((past.fill(known(7..9), EVERY), past.since), (2, at(7)));
        // Of what is known already nothing is taken, and so it says nothing of since when.
        past.since = at(12);
        assert_eq!((past.fill(known(8..9), EVERY), past.since), (0, at(12)));
    }
}
