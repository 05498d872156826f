//! What is kept of the past of one probe.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::decision::policy::Regression;
use crate::decision::rule::regression::Before;
use crate::detection::baseline::Baseline;
use crate::detection::glitch;
use crate::detection::history::History;

/// How one probe found the app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// While releases were live that were good, whichever they were.
    lately: History,
    /// Since when that is the last of them.
    since: Moment,
    /// While a release is live of which nobody knows yet whether it is good.
    new: History,
}

impl Past {
    /// Takes a sample of a release that is good.
    pub(super) fn add(&mut self, at: i64, is_bad: bool, interval: i64) {
        self.lately.add(at, is_bad, interval);
    }

    /// Takes a sample of a release of which nobody knows yet.
    pub(super) fn add_new(&mut self, at: i64, is_bad: bool, interval: i64) {
        self.new.add(at, is_bad, interval);
    }

    /// What was sent since then is no way for an app to be.
    pub(super) fn set_aside(&mut self, since: Moment) {
        self.lately.set_aside(since.as_millis());
    }

    /// What was sent since then was another release's.
    pub(super) fn cut(&mut self, from: Moment) {
        self.lately.cut(from.as_millis());
    }

    /// The new release, live since then, is good.
    pub(super) fn accept_new(&mut self, since: Moment) {
        let new = std::mem::take(&mut self.new);
        if !new.is_empty() {
            self.lately.append(new);
            self.since = since;
        }
    }

    /// The new release is gone, or was not good.
    pub(super) fn forget_new(&mut self) {
        self.new = History::default();
    }

    /// What is known of the last good release.
    pub(super) fn before(&self, regression: &Regression, period: Duration) -> Before {
        let rounds = || self.lately.rounds_of(self.since.as_millis());
        let rate = Baseline::of(rounds(), 0.0).rate();
        let (interval, floor) = (period.as_secs_f64(), regression.glitch.as_secs_f64());
        let glitch = glitch::length(self.lately.rounds(), interval, floor, rate + regression.worse_by);
        Before { baseline: Baseline::of(rounds(), glitch), glitch: Some(glitch) }
    }
}
