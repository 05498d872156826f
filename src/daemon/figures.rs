//! The platform's own figures, shown beside ours: what the apps sent in a day, and the account's balance.
//!
//! Nothing is decided by them, and they come last: they are asked for after a poll that was answered, of apps that it
//! could read, and never from what is left of the rate limit for acting. A token that may not see a figure is told of
//! once and changes nothing else; after a reload the figure is asked for again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::apps::Apps;
use super::poll::Account;
use crate::clock::{Clock, Moment};
use crate::ids::PlatformAppId;
use crate::metrics::{Metrics, show};
use crate::platform::pace::is_for_acting;
use crate::platform::{Bandwidth, PlatformError};

/// A figure that was not to be had is asked for again this soon: as often as one may ask at all.
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// What the task of an account needs.
pub(super) struct Figures {
    pub(super) account: Account,
    pub(super) apps: watch::Receiver<Apps>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
    pub(super) stop: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    Bandwidth,
    Balance,
}

/// When a figure is asked for.
struct Turn {
    figure: Figure,
    /// Zero is never.
    every: Duration,
    /// None while the token may not see it.
    next: Option<Moment>,
}

impl Figures {
    /// Forgets what the account showed before it was changed, and starts where there is something to ask for.
    pub(super) fn start(self, tasks: &TaskTracker) {
        self.forget(Figure::Bandwidth);
        self.forget(Figure::Balance);
        if !(self.account.config.bandwidth.is_zero() && self.account.config.balance.is_zero()) {
            tasks.spawn(self.run());
        }
    }

    async fn run(mut self) {
        let mut polls = self.account.slices.polls();
        let config = &self.account.config;
        let turn = |figure, every| Turn { figure, every, next: Some(self.clock.now()) };
        let mut turns = [turn(Figure::Bandwidth, config.bandwidth), turn(Figure::Balance, config.balance)];
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                answered = polls.changed() => if answered.is_err() { return },
            }
            // A reload, most likely: there may be new apps, or somebody saw to the token.
            if self.apps.has_changed().unwrap_or(false) {
                self.apps.mark_unchanged();
                turns.iter_mut().for_each(|turn| turn.next = Some(self.clock.now()));
            }
            for turn in &mut turns {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return,
                    () = self.take(turn) => {}
                }
            }
        }
    }

    /// Asks for a figure if it is due and there is something to ask with.
    async fn take(&self, turn: &mut Turn) {
        let (now, budget) = (self.clock.now(), self.account.platform.budget());
        let is_due = !turn.every.is_zero() && turn.next.is_some_and(|next| next <= now);
        if !is_due || is_for_acting(budget) || budget.hold_reads.is_some() {
            return;
        }
        // Where the poll reads no app, the token or the platform is not well, and the poll says so.
        let apps = self.account.slices.readable();
        if apps.is_empty() {
            return;
        }
        let platform = &self.account.config.name;
        turn.next = match self.ask(turn.figure, &apps).await {
            Ok(()) => Some(now + turn.every),
            Err(error @ PlatformError::Denied { .. }) => {
                let figure = turn.figure.word();
                tracing::warn!(%platform, "no {figure} until the next reload, guarding goes on: failed to {error}");
                self.forget(turn.figure);
                None
            }
            Err(error) => {
                tracing::debug!(%platform, figure = turn.figure.word(), "failed to {error}");
                Some(now + turn.every.min(AGAIN))
            }
        };
    }

    async fn ask(&self, figure: Figure, apps: &[PlatformAppId]) -> Result<(), PlatformError> {
        match figure {
            Figure::Bandwidth => self.show_bandwidth(self.account.platform.bandwidth(apps).await?.value),
            Figure::Balance => self.show_balance(Some(self.account.platform.balance().await?.value)),
        }
        Ok(())
    }

    fn forget(&self, figure: Figure) {
        match figure {
            Figure::Bandwidth => self.show_bandwidth(Bandwidth::default()),
            Figure::Balance => self.show_balance(None),
        }
    }

    fn show_balance(&self, dollars: Option<f64>) {
        show(&self.metrics.balance, self.account.config.name.as_str(), dollars);
    }

    /// Shows the figures of one day. An app without one has none: its last one is of another day.
    fn show_bandwidth(&self, bandwidth: Bandwidth) {
        let platform = &self.account.config.name;
        let day = bandwidth.day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
        let day = day.map(|day| day.timestamp().as_duration().as_secs_f64());
        show(&self.metrics.bandwidth_day, platform.as_str(), day);
        let bytes: BTreeMap<PlatformAppId, u64> = bandwidth.apps.into_iter().collect();
        for (id, app) in &self.apps.borrow().tasks {
            if app.config.platform == *platform
                && let Some(metrics) = self.metrics.of_app(&app.config.name)
            {
                metrics.show_bandwidth(bytes.get(id).copied());
            }
        }
    }
}

impl Figure {
    fn word(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth",
            Self::Balance => "balance",
        }
    }
}
