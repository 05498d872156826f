//! What an app's task shows of itself in the metrics.

use super::App;
use crate::clock::Moment;
use crate::decision::effect::{Reason, Verb};
use crate::decision::rule;
use crate::decision::sample::{BlindCause, SampleResult};
use crate::decision::state::Stage;
use crate::metrics::AppMetrics;

impl App {
    pub(super) fn count_blindness(&mut self, now: Moment) {
        let span = now.since(self.last_round);
        self.last_round = now;
        if let Some(cause) = self.blindness() {
            self.metrics.blind(cause, span);
        }
    }

    /// Why nobody can tell how the app is.
    pub(in super::super) fn blindness(&self) -> Option<BlindCause> {
        if self.state.is_none() {
            return Some(BlindCause::Journal);
        }
        if self.view.fault.is_some() {
            return Some(BlindCause::Platform);
        }
        // What is not asked now leaves nobody blind.
        let asked = self.config.probes.iter().zip(&self.windows).filter(|(probe, _)| self.asks(probe));
        asked.map(|(_, window)| window).find_map(|window| match window.last()?.result {
            SampleResult::Unknown(cause) => Some(cause),
            _ => None,
        })
    }

    /// Whether nothing may be written for the app.
    pub(in super::super) fn is_paused(&self) -> bool {
        self.shell.paused.is_paused(&self.config, self.shell.clock.now())
    }

    /// Whether what is live came after the last incident, as far as can be told.
    pub(in super::super) fn is_newer_release(&self) -> bool {
        let live = self.view.value().and_then(|view| view.active.as_ref());
        let listed = self.history.value().map(Vec::as_slice).unwrap_or_default();
        live.zip(self.state.as_ref()).is_some_and(|(live, state)| state.ledger.is_newer_release(live, listed))
    }

    pub(super) fn show(&self) {
        self.metrics.show_unready(self.unreadiness().map(|(reason, _)| reason));
        let Some(state) = &self.state else { return };
        let now = self.shell.clock.now();
        let since = state.live().map_or(now, |live| live.since);
        let readings = rule::read_all(&self.config.policy, &self.windows, since, now, state.pace());
        let soak_until = match state.incident().map(|incident| &incident.stage) {
            Some(Stage::Soaking { until, .. }) => Some(*until),
            _ => None,
        };
        let pinned = self.view.value().is_some_and(|view| view.pinned.is_some())
            || state.ledger.soft_pin.as_ref().is_some_and(|pin| pin.is_there);
        let paused = self.is_paused();
        self.metrics.show(state, &readings, pinned, paused, soak_until);
    }
}

/// Counts a wait when what is waited for changes.
pub(super) fn note_waiting(metrics: &AppMetrics, before: &mut Option<Reason>, now: Option<Reason>) {
    if *before == now {
        return;
    }
    *before = now;
    if let Some(reason) = now
        && super::super::record::is_counted_wait(reason)
    {
        metrics.decision(Verb::Wait, reason);
    }
}
