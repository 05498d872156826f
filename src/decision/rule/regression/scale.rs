//! Weighs the samples of one release, each of them once.

use std::time::Duration;

use super::{Before, Weighed, Weight};
use crate::clock::Moment;
use crate::decision::policy::Regression;
use crate::decision::sample::{SampleResult, Window};
use crate::detection::Round;
use crate::detection::evidence::{Evidence, Question, Stretch};

/// Weighs the samples of one release, each of them once.
#[derive(Clone, Debug)]
pub struct Scale {
    from: Moment,
    begun: u32,
    needed: f64,
    now: Pan,
    confirmed: Pan,
}

#[derive(Clone, Debug)]
struct Pan {
    evidence: Evidence,
    stretch: Stretch,
    first_failure_at: Option<Moment>,
    last_at: Option<Moment>,
}

impl Scale {
    /// A scale for a release whose samples count from `from` on, for `watch`. It accuses one that is no worse with that
    /// probability, having been begun anew so often.
    pub fn new(
        regression: &Regression,
        before: &Before,
        (probability, begun): (f64, u32),
        from: Moment,
        watch: Duration,
    ) -> Self {
        let question = Question {
            worse_by: regression.worse_by,
            glitch: before.glitch.unwrap_or(regression.glitch.as_secs_f64()),
            watch: watch.as_secs_f64(),
            probability,
        };
        let pan = Pan {
            evidence: Evidence::new(&before.baseline, question),
            stretch: Stretch::beginning(seconds(from)),
            first_failure_at: None,
            last_at: None,
        };
        Self { from, begun, needed: 1.0 / probability, confirmed: pan.clone(), now: pan }
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
        let weight = |pan: &Pan| pan.weight(self.needed);
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
            let badness = match sample.result {
                SampleResult::Good => 0.0,
                SampleResult::Bad(_) => 1.0,
                SampleResult::Unvouched(_) | SampleResult::Unknown(_) => continue,
            };
            self.evidence.take(Round { at: self.stretch.at(seconds(sample.at)), badness });
            self.last_at = Some(sample.at);
            if badness > 0.0 {
                self.first_failure_at = self.first_failure_at.or(Some(sample.at));
            }
        }
    }

    fn weight(&self, needed: f64) -> Weight {
        Weight {
            score: self.evidence.score(),
            needed,
            rounds: self.evidence.rounds(),
            failed: self.evidence.bad_rounds(),
            first_failure_at: self.first_failure_at,
            last_at: self.last_at,
            allowed: self.evidence.allowed(),
            is_assumed: self.evidence.is_assumed(),
        }
    }
}

fn seconds(moment: Moment) -> f64 {
    moment.as_millis() as f64 / 1_000.0
}
