//! What is asked besides the app when it fails or is slow, and what is remembered for that.

use std::sync::Arc;
use std::time::Duration;

use super::App;
use crate::decision::policy::{Action, Condition, Signal};
use crate::decision::sample::{BlindCause, Sample, SampleResult};
use crate::ids::DeploymentId;
use crate::probe::needs::Past;

/// A release that has answered well for so long is not a bad one from the beginning.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// What is remembered from one sample to the next.
#[derive(Default)]
pub(super) struct Around {
    /// Of what the app needs.
    pub(super) past: Arc<Past>,
    /// What was live when the app was well, a while after it went live.
    well: Option<DeploymentId>,
}

impl App {
    /// Takes note of a sample of the probe at `place`.
    pub(super) fn note_around(&mut self, place: usize, sample: &Sample) {
        if self.config.depends_on.contains(&place) {
            self.around.past.note(place, sample);
        } else if sample.result == SampleResult::Good
            && self.config.is_of_the_release(place)
            && let Some(live) = self.state.as_ref().and_then(|state| state.live())
            && sample.at >= live.since + WELL_AFTER
            && self.around.well.as_ref() != Some(&live.id)
        {
            self.around.well = Some(live.id.clone());
        }
    }

    /// Whether what is live has been well, a while after it went live.
    pub(super) fn was_well(&self) -> bool {
        let live = self.state.as_ref().and_then(|state| state.live());
        live.is_some_and(|live| self.around.well.as_ref() == Some(&live.id))
    }

    /// From when on an answer to the probe at `place` is slow for a rule that may accuse.
    pub(super) fn slow_from(&self, place: usize) -> Option<Duration> {
        let rules = self.config.policy.rules.iter().filter(|rule| rule.action != Action::Notify);
        let tests = rules.flat_map(|rule| rule.tests.iter().map(move |test| (&rule.name, test)));
        let limits =
            tests.filter(|(_, test)| test.probe == place).filter_map(|(rule, test)| match &test.condition {
                Condition::Latency { above, .. } => Some(*above),
                Condition::Regression(regression) if regression.of == Signal::Latency => {
                    let usual = self.fixed()?.get(rule)?.usual.as_ref()?;
                    Some(usual.slow_from(regression.worse_by))
                }
                _ => None,
            });
        limits.min()
    }

    /// Which of what was asked excuses the app, where one does: a part of a sentence.
    pub(in super::super) fn blind_because(&self) -> Option<String> {
        let cause = self.blindness()?;
        matches!(cause, BlindCause::Dependency | BlindCause::Siblings)
            .then(|| self.around.past.because(cause))
            .flatten()
    }
}
