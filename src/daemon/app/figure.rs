//! What the app's own platform measures of it: read while a release is judged, in turns with the other apps of the account,
//! and never from what is left of the rate limit for acting.
//!
//! A figure that is not to be had says nothing, neither of the app nor of the account: polls know whether the token is good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{App, Probing};
use crate::clock::{Clock, Moment};
use crate::config::{AppConfig, Ask, PlatformAsk, ProbeConfig};
use crate::daemon::Shell;
use crate::daemon::poll::Account;
use crate::daemon::turns::Turns;
use crate::decision::sample::{BlindCause, Sample, SampleResult, Window};
use crate::decision::state::{Attention, Situation, State};
use crate::ids::{AppName, DeploymentId, PlatformAppId, PlatformName};
use crate::platform::pace::is_for_acting;
use crate::platform::{Platform, PlatformError};
use crate::probe::network::taken;
use crate::probe::platform::{Lived, Past, judge};

/// The status of what the token may not see, whoever it is of.
const MAY_NOT: u16 = 403;

/// Time on the platform's clock that its header cuts off.
const CUT_OFF_MS: i64 = 1_000;

/// What reading a figure needs.
pub(super) struct Figure {
    platform: Arc<dyn Platform>,
    clock: Arc<dyn Clock>,
    turns: Arc<Turns>,
    account: PlatformName,
    app: AppName,
    id: PlatformAppId,
    /// It was told that it is not to be had.
    told: Arc<AtomicBool>,
    /// What it is read of, and since when that is live.
    live: DeploymentId,
    since: Moment,
    past: Past,
}

impl App {
    /// Whether this probe is asked now: a platform only while a release is judged.
    pub(super) fn asks(&self, probe: &ProbeConfig) -> bool {
        let judges = |state: &State| state.attention() != Attention::Rest;
        probe.ask.is_asked_at_rest() || self.state.as_ref().is_some_and(judges)
    }

    /// Whether a sample that was taken of this deployment is of the one that is live: a count is held against when that
    /// went live.
    pub(super) fn is_of_what_is_live(&self, of: Option<&DeploymentId>) -> bool {
        of.is_none_or(|of| self.state.as_ref().and_then(State::live).is_some_and(|live| live.id == *of))
    }

    /// What was measured of one deployment says nothing of the next, which may have been live for a moment by then.
    pub(super) fn forget_figures(&mut self, before: &State, after: &State) {
        let live = |state: &State| state.live().map(|live| live.id.clone());
        if live(before) == live(after) {
            return;
        }
        for (probe, window) in self.config.probes.iter().zip(&mut self.windows) {
            if !probe.ask.is_asked_at_rest() {
                *window = Window::new(probe.window);
            }
        }
    }
}

impl Probing {
    /// A figure that nobody needs any more is not read.
    pub(super) fn stop_reading(&mut self) {
        if let Some(reading) = self.reading.take() {
            reading.abort();
            self.is_under_way = false;
        }
    }
}

impl Figure {
    /// What the next sample of this probe needs, where it is the platform that is asked.
    pub(super) fn of(
        shell: &Shell,
        account: &Account,
        (config, n): (&AppConfig, usize),
        state: Option<&State>,
        told: &Arc<AtomicBool>,
    ) -> Option<Self> {
        if config.probes.get(n)?.ask.is_asked_at_rest() {
            return None;
        }
        let state = state?;
        let live = state.live()?;
        // What was before a rollback or a restart is what was bad.
        let past = match &state.situation {
            Situation::Watching(watch) if watch.former.is_empty() => Past::Excuses,
            _ => Past::Ignored,
        };
        Some(Self {
            platform: Arc::clone(&account.platform),
            clock: Arc::clone(&shell.clock),
            turns: Arc::clone(&account.questions),
            account: account.config.name.clone(),
            app: config.name.clone(),
            id: config.id.clone(),
            told: Arc::clone(told),
            live: live.id.clone(),
            since: live.since,
            past,
        })
    }

    /// The deployment that it is read of.
    pub(super) fn live(&self) -> DeploymentId {
        self.live.clone()
    }

    /// Waits for its turn, and reads.
    pub(super) async fn sample(&self, probe: &ProbeConfig) -> Sample {
        let Ask::Platform(ask) = &probe.ask else {
            let result = SampleResult::Unknown(BlindCause::Source);
            return Sample { at: self.clock.now(), micros: 0, result };
        };
        let now = self.clock.now();
        let turn = self.turns.figure(now, self.platform.budget(), ask.figure.reads());
        tokio::time::sleep(turn.since(now)).await;
        taken(&*self.clock, probe, self.read(probe, ask)).await
    }

    async fn read(&self, probe: &ProbeConfig, ask: &PlatformAsk) -> SampleResult {
        let budget = self.platform.budget();
        if is_for_acting(budget) || budget.hold_reads.is_some() {
            return SampleResult::Unknown(BlindCause::RateLimit);
        }
        // The first answer of a poll says it.
        let Some(now_ms) = self.platform.clock_ms() else { return SampleResult::Unknown(BlindCause::Source) };
        let sent = self.clock.now();
        let lived = Lived { time: sent.since(self.since), settle: probe.settle, past: self.past };
        let back = lived.time + ask.max_age;
        let back_ms = i64::try_from(back.as_millis()).unwrap_or(i64::MAX);
        let span = now_ms.saturating_sub(back_ms).max(0)..now_ms.saturating_add(CUT_OFF_MS);
        let signal = ask.figure.signal();
        match self.platform.series(&self.id, signal, span).await {
            Ok(answered) => {
                self.told.store(false, Ordering::Relaxed);
                let took = self.platform.reads_of(signal, answered.value.series.len());
                let more = took.saturating_sub(ask.figure.reads());
                self.turns.figure_took(self.clock.now(), self.platform.budget(), more);
                judge(ask, &answered.value, lived)
            }
            Err(error) => self.not_had(ask, &error),
        }
    }

    /// A token that was rotated is read again, as a poll does it; one that may not see the figure is told of once.
    fn not_had(&self, ask: &PlatformAsk, error: &PlatformError) -> SampleResult {
        if matches!(error, PlatformError::Denied { status } if *status != MAY_NOT) {
            self.platform.reload_token();
        }
        let (app, platform, figure) = (&self.app, &self.account, ask.figure.word());
        let is_refused = matches!(
            error,
            PlatformError::Denied { .. }
                | PlatformError::Refused { .. }
                | PlatformError::NotFound
                | PlatformError::Unsupported(_)
        );
        if is_refused && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(%app, %platform, "no {figure}, guarding goes on without it: failed to {error}");
        } else {
            tracing::debug!(%app, %platform, figure, "failed to {error}");
        }
        SampleResult::Unknown(match error {
            PlatformError::RateLimited { .. } => BlindCause::RateLimit,
            _ => BlindCause::Source,
        })
    }
}
