//! Weighs the samples of one release, each of them once.

use std::time::Duration;

use super::tally::Tally;
use super::{Before, Weighed, Weight, seconds};
use crate::clock::Moment;
use crate::decision::policy::{ProbePolicy, Regression};
use crate::decision::sample::{SampleResult, Window};
use crate::detection::evidence::Stretch;

/// Weighs the samples of one release, each of them once.
#[derive(Clone, Debug)]
pub struct Scale {
    from: Moment,
    begun: u32,
    min_failures: u32,
    now: Pan,
    confirmed: Pan,
}

#[derive(Clone, Debug)]
struct Pan {
    tally: Tally,
    stretch: Stretch,
    first_failure_at: Option<Moment>,
    last_at: Option<Moment>,
}

impl Scale {
    /// A scale for a release whose samples of `probe` count from `from` on, for `watch`. It accuses one that is no worse
    /// with that probability, having been begun anew so often.
    pub fn new(
        regression: &Regression,
        before: &Before,
        (probability, begun): (f64, u32),
        probe: &ProbePolicy,
        (from, watch): (Moment, Duration),
    ) -> Self {
        let pan = Pan {
            tally: Tally::new(regression, before, probe.period, watch, probability),
            stretch: Stretch::beginning(seconds(from)),
            first_failure_at: None,
            last_at: None,
        };
        let min_failures = regression.min_failures;
        Self { from, begun, min_failures, confirmed: pan.clone(), now: pan }
    }

    /// Whether it is for a release whose samples count from then on.
    pub fn is_for(&self, from: Moment) -> bool {
        self.from == from
    }

    /// Puts on what is new in `window`. The release was seen to be live by a read that was sent at `seen_live`.
    pub fn weigh(&mut self, window: &Window, seen_live: Option<Moment>) -> Weighed {
        let end = Moment::from_millis(i64::MAX);
        self.now.put_on(window, end, self.from);
        if let Some(read) = seen_live {
            // A sample sent at the very moment of the read is before its answer.
            let to = read + Duration::from_millis(1);
            self.confirmed.put_on(window, to, self.from);
        }
        let weight = |pan: &Pan| pan.weight(self.min_failures);
        Weighed {
            from: self.from,
            begun: self.begun,
            now: weight(&self.now),
            confirmed: weight(&self.confirmed),
        }
    }
}

impl Pan {
    /// Puts on what was sent before `to` and is new to it.
    fn put_on(&mut self, window: &Window, to: Moment, from: Moment) {
        let new = self.last_at.map_or(from, |last| last + Duration::from_millis(1));
        for sample in window.between(new, to) {
            // What nobody vouched for accuses nobody.
            if matches!(sample.result, SampleResult::Unvouched(_) | SampleResult::Unknown(_)) {
                continue;
            }
            let at = self.stretch.at(seconds(sample.at));
            self.last_at = Some(sample.at);
            if let Some(bad_for) = self.tally.take(at, sample) {
                self.first_failure_at = self.first_failure_at.or(Some(sample.at - bad_for));
            }
        }
    }

    fn weight(&self, min_failures: u32) -> Weight {
        Weight {
            first_failure_at: self.first_failure_at,
            last_at: self.last_at,
            ..self.tally.weight(min_failures)
        }
    }
}
