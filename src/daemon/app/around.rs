//! What is asked besides the app when it fails or is slow, and what is remembered for that.

use std::sync::Arc;
use std::time::Duration;

use super::App;
use crate::clock::Moment;
use crate::decision::policy::{Action, Condition, Signal};
use crate::decision::sample::{BlindCause, Sample, SampleResult};
use crate::decision::state::{Situation, State};
use crate::ids::DeploymentId;
use crate::probe::needs::Past;

/// A release without a failure or a doubt for so long, and live for as long, is not a bad one from the beginning.
const WELL_FOR: Duration = Duration::from_secs(60);
/// For so long a process that has just begun does not know that it was not.
const AT_FIRST: Duration = Duration::from_secs(10 * 60);

/// What is remembered from one sample to the next.
pub(super) struct Around {
    /// Of what the app needs.
    pub(super) past: Arc<Past>,
    /// What was live when the app was well, a while after it went live.
    well: Option<DeploymentId>,
    /// When this process began to look.
    began: Moment,
}

impl Around {
    pub(super) fn new(now: Moment) -> Self {
        Self { past: Arc::default(), well: None, began: now }
    }
}

impl App {
    /// Takes note of a sample of the probe at `place`.
    pub(super) fn note_around(&mut self, place: usize, sample: &Sample) {
        if self.config.depends_on.contains(&place) {
            self.around.past.note(place, sample);
            return;
        }
        if !self.config.depends_on.is_empty() && sample.result.is_well() {
            self.around.past.was_well(sample.at);
        }
        if sample.result != SampleResult::Good || !self.config.is_of_the_release(place) {
            return;
        }
        let live = self.state.as_ref().and_then(|state| state.live());
        let Some(live) = live.filter(|live| sample.at >= live.since + WELL_FOR) else { return };
        let (id, since) = (live.id.clone(), sample.at - WELL_FOR);
        if self.around.well.as_ref() != Some(&id) && !self.was_in_doubt_since(since) {
            self.around.well = Some(id);
        }
    }

    /// Whether anything that the release answers failed, or nobody could tell.
    fn was_in_doubt_since(&self, since: Moment) -> bool {
        let of_it =
            self.windows.iter().enumerate().filter(|(place, _)| self.config.is_of_the_release(*place));
        of_it
            .flat_map(|(_, window)| window.iter().rev().take_while(|sample| sample.at >= since))
            .any(|sample| !sample.result.is_well())
    }

    /// Whether what is live has been well, a while after it went live. What was so before this process is not known, and in
    /// doubt for the release.
    pub(super) fn was_well(&self) -> bool {
        let around = &self.around;
        self.state.as_ref().and_then(|state| state.live()).is_some_and(|live| {
            let is_older = live.since + WELL_FOR <= around.began;
            around.well.as_ref() == Some(&live.id)
                || is_older && around.well.is_none() && self.shell.clock.now() <= around.began + AT_FIRST
        })
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

    /// A watch that ended without a verdict is told: from now on nobody accuses that release.
    pub(super) fn tell_unjudged(&self, live: &DeploymentId) {
        let cause = self.blindness().map_or("too little was seen", BlindCause::word);
        let why = self.blind_because().unwrap_or_else(|| cause.to_owned());
        tracing::warn!(
            app = %self.config.name, deployment = %live,
            "the watch is over, and nobody could tell whether the release is good ({why}): it is not accused any more"
        );
    }

    /// Which of what was asked excuses the app, where one does: a part of a sentence.
    pub(in super::super) fn blind_because(&self) -> Option<String> {
        match self.blindness()? {
            cause @ (BlindCause::Dependency | BlindCause::Siblings) => self.around.past.because(cause),
            BlindCause::Control if self.shell.controls.borrow().is_flaky() => {
                Some("the line to the control probes breaks again and again".to_owned())
            }
            _ => None,
        }
    }
}

/// What was live in a watch that ended without a verdict by this.
pub(super) fn unjudged(before: &State, after: &State) -> Option<DeploymentId> {
    let (Situation::Watching(watch), Situation::Learning { live: Some(live) }) =
        (&before.situation, &after.situation)
    else {
        return None;
    };
    (live.id == watch.live.id).then(|| live.id.clone())
}
