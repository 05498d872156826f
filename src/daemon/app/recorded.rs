//! What somebody recorded of the app before this process began to look: asked for once a probe, in quiet times, for the rules
//! that hold a release against the one before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::App;
use crate::clock::Moment;
use crate::config::Ask;
use crate::decision::measuring::{Missing, Now};
use crate::decision::state::Situation;
use crate::ids::ProbeName;
use crate::probe::{RecordError, Recorded};

/// How often it is looked whether something is missing.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A question that failed is put again after this time, and then after twice as long each time, ...
const AGAIN: Duration = Duration::from_secs(60 * 60);
/// ... so many times.
const DOUBLED: u32 = 4;

/// What an app's task has asked.
#[derive(Default)]
pub(super) struct Records {
    pub(super) under_way: Option<BoxFuture<'static, Answered>>,
    /// What the question that is under way is about.
    about: Option<(ProbeName, Missing)>,
    asked: BTreeMap<ProbeName, Asked>,
    next_look: Moment,
}

/// How the question about a probe stands.
enum Asked {
    /// It is answered, once for all.
    Answered,
    /// It failed so often in a row, and is put again then.
    Failed(u32, Moment),
}

/// What came of a question.
pub(super) struct Answered {
    probe: ProbeName,
    missing: Missing,
    recorded: Recorded,
}

impl Records {
    /// The probe asks something else from now on.
    pub(super) fn forget(&mut self, probe: &ProbeName) {
        self.asked.remove(probe);
        if self.about.as_ref().is_some_and(|(about, _)| about == probe) {
            (self.about, self.under_way) = (None, None);
        }
    }

    fn may_ask(&self, probe: &ProbeName, now: Moment) -> bool {
        match self.asked.get(probe) {
            None => true,
            Some(Asked::Answered) => false,
            Some(Asked::Failed(_, again_at)) => now >= *again_at,
        }
    }

    /// Notes a question that came to nothing; says whether it is the first one.
    fn failed(&mut self, probe: ProbeName, now: Moment) -> bool {
        let times = match self.asked.get(&probe) {
            Some(Asked::Failed(times, _)) => times.saturating_add(1),
            _ => 1,
        };
        let pause = AGAIN * 2_u32.pow((times - 1).min(DOUBLED));
        self.asked.insert(probe, Asked::Failed(times, now + pause));
        times == 1
    }
}

impl App {
    /// Asks for what is missing, if anything. An answer that is not awaited any more, since it is not quiet, is left.
    pub(super) fn ask_records(&mut self, now: Moment) {
        if let Some((probe, missing)) = &self.records.about {
            let is_quiet = self.state.as_ref().is_none_or(
                |state| matches!(&state.situation, Situation::Steady { live } if live.id == missing.of),
            );
            if !is_quiet {
                let probe = probe.clone();
                (self.records.about, self.records.under_way) = (None, None);
                self.records.failed(probe, now);
            }
            return;
        }
        // What the journal has is read first.
        if now < self.records.next_look || self.keep_past_at.is_none() || self.is_retiring {
            return;
        }
        let Some(state) = &self.state else { return };
        for (place, probe) in self.config.probes.iter().enumerate() {
            if !matches!(probe.ask, Ask::Counters(_)) || !self.records.may_ask(&probe.name, now) {
                continue;
            }
            self.records.next_look = now + LOOK_EVERY;
            let clocks = Now { at: now, platform_ms: self.account.platform.clock_ms() };
            let policy = &self.config.policy;
            let Some(missing) = self.measuring.missing(policy, state, &self.view, clocks, place) else {
                continue;
            };
            let (shell, config) = (Arc::clone(&self.shell), Arc::clone(&self.config));
            self.records.about = Some((probe.name.clone(), missing.clone()));
            self.records.under_way = Some(Box::pin(async move {
                let probe = &config.probes[place];
                let recorded = shell.probe.recorded(probe, (missing.from, missing.to)).await;
                Answered { probe: probe.name.clone(), missing, recorded }
            }));
            return;
        }
    }

    pub(super) fn take_recorded(&mut self, Answered { probe, missing, recorded }: Answered) {
        (self.records.about, self.records.under_way) = (None, None);
        let (app, now) = (&self.config.name, self.shell.clock.now());
        let place = self.config.probes.iter().position(|known| known.name == probe);
        let (Some(place), Some(state)) = (place, &self.state) else {
            // The journal has to work first.
            self.records.failed(probe, now);
            return;
        };
        match recorded {
            Ok(samples) => {
                let taken = self.measuring.fill(&self.config.policy, state, &missing, (place, &samples));
                let oldest = samples.first().map_or(missing.to, |sample| sample.at);
                let (read, minutes) = (samples.len(), missing.to.since(oldest).as_secs() / 60);
                tracing::info!(
                    %app, %probe, read, taken, minutes,
                    "asked Prometheus what it recorded of the live release before rearguard measured it"
                );
                self.records.asked.insert(probe, Asked::Answered);
                // Others may have asked a moment ago, and the next process need not ask at all.
                self.known = None;
                self.keep_past_at = self.keep_past_at.map(|at| at.min(now));
            }
            Err(error) => self.not_recorded(probe, &error, now),
        }
    }

    /// Told once: what is usual is learnt from now on, as without such a server.
    fn not_recorded(&mut self, probe: ProbeName, error: &RecordError, now: Moment) {
        let app = &self.config.name;
        let is_first = self.records.failed(probe.clone(), now);
        if is_first {
            tracing::warn!(
                %app, %probe,
                "what Prometheus recorded before is not used, and what is usual is learnt from now on: failed to {error}"
            );
        } else {
            tracing::debug!(%app, %probe, "failed to {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_told_once_and_asked_again_after_an_hour_and_then_ever_more_rarely() {
        let (mut records, probe) = (Records::default(), ProbeName::from("counted"));
        let hours = |hours: u32| Moment::from_millis(0) + AGAIN * hours;
        assert!(records.may_ask(&probe, hours(0)));
        let (mut at, mut pauses) = (0, Vec::new());
        for time in 1..=7 {
            assert_eq!(records.failed(probe.clone(), hours(at)), time == 1, "told once");
            let pause = (1..100).find(|pause| records.may_ask(&probe, hours(at + pause))).expect("some time");
            assert!(!records.may_ask(&probe, hours(at + pause) - Duration::from_millis(1)));
            pauses.push(pause);
            at += pause;
        }
        assert_eq!(
            (pauses.as_slice(), AGAIN),
            ([1, 2, 4, 8, 16, 16, 16].as_slice(), Duration::from_secs(3_600))
        );
        assert!(records.may_ask(&"other".into(), hours(0)), "another probe is another question");
        records.asked.insert(probe.clone(), Asked::Answered);
        assert!(!records.may_ask(&probe, hours(10_000)), "once for all");
        records.forget(&probe);
        assert!(records.may_ask(&probe, hours(0)), "it asks something else now");
    }
}
