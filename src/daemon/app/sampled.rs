//! What becomes of a sample that was taken.

use std::time::Duration;

use super::App;
use crate::decision::sample::{SampleResult, Window};
use crate::ids::DeploymentId;
use crate::probe::{Versioned, waking};

impl App {
    pub(super) fn take_sample(&mut self, n: usize, of: Option<&DeploymentId>, (sample, version): Versioned) {
        let counts = self.is_of_what_is_live(of);
        let now = self.shell.clock.now();
        let is_its_own = self.config.is_of_the_release(n);
        let sample = match self.view.value() {
            _ if !is_its_own => sample,
            Some(view) => self.waking.judge(sample, view.sleeps_after_ms.map(Duration::from_millis)),
            // Nobody knows yet whether it may have been asleep.
            None => match self.waking.judge(sample, Some(waking::WAKES_WITHIN)) {
                _ if sample.result == SampleResult::Good => sample,
                judged => judged,
            },
        };
        let (Some(probing), Some(window)) = (self.probes.get_mut(n), self.windows.get_mut(n)) else { return };
        probing.is_under_way = false;
        probing.schedule.finished(&sample, now);
        // Or nothing was scraped since then.
        if !counts || window.has_share(&sample) {
            return;
        }
        window.push(sample);
        if let (Some(version), Some(versions)) = (version, self.versions.get_mut(n)) {
            versions.take(sample.at, version);
            self.set_aside(n);
        }
        // As it is seen now, where it was not too old to be kept.
        let seen = self.windows.get(n).and_then(Window::last).filter(|last| last.at == sample.at);
        let sample = seen.copied().unwrap_or(sample);
        self.note_around(n, &sample);
        if let Some(state) = &self.state {
            self.measuring.take(&self.config.policy, state, &self.windows, n, &sample);
        }
        self.metrics.sample(n, &sample);
    }
}
