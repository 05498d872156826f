//! How the app fared, for the rules that hold a release against the one before: read once, and kept now and then.

use std::collections::BTreeMap;
use std::time::Duration;

use super::App;
use crate::clock::Moment;
use crate::decision::measuring::{Measuring, Past};
use crate::decision::rule::regression::Before;
use crate::decision::state::Situation;
use crate::ids::{ProbeName, RuleName};
use crate::power::known::rounded;

/// What the end of a process may lose of a day. Not kept at a stop: there are five seconds for all apps then.
const KEEP_EVERY: Duration = Duration::from_secs(10 * 60);
/// A process that has just begun may have learnt the most of it.
const KEEP_FIRST: Duration = Duration::from_secs(60);

/// A day of samples is not gone through more often than that because somebody asks.
const KNOWN_FOR: Duration = Duration::from_secs(60);

impl App {
    /// What is known of the release before the one under watch, or, in quiet times, before the next one.
    pub(super) fn known(&mut self) -> BTreeMap<RuleName, Before> {
        let now = self.shell.clock.now();
        let fixed = self.fixed();
        if let (None, Some((at, known))) = (fixed, &self.known)
            && now.since(*at) < KNOWN_FOR
        {
            return known.clone();
        }
        let mut known = fixed.cloned().unwrap_or_else(|| self.measuring.known(&self.config.policy));
        let is_fixed = fixed.is_some();
        known.values_mut().for_each(rounded);
        self.known = (!is_fixed).then(|| (now, known.clone()));
        known
    }

    /// What is known of the release before the one that is judged, as it was when that went live.
    pub(super) fn fixed(&self) -> Option<&BTreeMap<RuleName, Before>> {
        match &self.state.as_ref()?.situation {
            Situation::Watching(watch) => Some(&watch.before),
            Situation::Incident(incident) => Some(&incident.before),
            _ => None,
        }
    }

    /// Reads what the journal has of it, once.
    pub(super) async fn recall_past(&mut self) {
        if self.keep_past_at.is_some() || !Measuring::is_wanted(&self.config.policy) {
            return;
        }
        let text = match self.shell.journal.past(&self.config.id).await {
            Ok(text) => text,
            // It is tried again before it is kept.
            Err(_) => return,
        };
        self.keep_past_at = Some(self.shell.clock.now() + KEEP_FIRST);
        let Some(text) = text else { return };
        match serde_json::from_str::<BTreeMap<ProbeName, Past>>(&text) {
            Ok(pasts) => self.measuring = Measuring::recalled(pasts),
            Err(error) => {
                let app = &self.config.name;
                tracing::warn!(%app, "how the app fared cannot be read and is learnt again: {error}");
            }
        }
    }

    /// Keeps it, when it is time for that; what was not read yet, since the journal failed or no rule asked for it, first.
    pub(super) async fn keep_past(&mut self, now: Moment) {
        if self.state.is_some() {
            self.recall_past().await;
        }
        if self.keep_past_at.is_none_or(|at| now < at) {
            return;
        }
        self.keep_past_at = Some(now + KEEP_EVERY);
        let Ok(text) = serde_json::to_string(self.measuring.pasts()) else { return };
        if let Err(error) = self.shell.journal.keep_past(&self.config.id, text).await {
            tracing::debug!("failed to {error}");
        }
    }
}
