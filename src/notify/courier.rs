//! One channel: what is owed to it goes out, in order within each incident, until it is there or given up.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::carrier::{Carrier, Letter, Sent};
use super::event::Event;
use super::office::Ground;
use super::template::Template;
use crate::clock::{Clock, Moment};
use crate::config::notify::ChannelConfig;
use crate::journal::{Journal, Pending, Settled};
use crate::metrics::{Metrics, Notified};

/// How many incidents are looked at together. With more than that waiting, those come first that are due first.
const HEADS: usize = 32;
/// The pause after a first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// An event that was refused so often is refused for good.
const REFUSALS: u32 = 5;
/// The outbox is looked at at least this often, and open alerts are told again.
const ROUND: Duration = Duration::from_secs(60);
/// How soon the journal is tried again.
const JOURNAL_AGAIN: Duration = Duration::from_secs(1);
/// How long a try may go on that is under way when everything stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// The task of one channel.
pub(super) struct Courier {
    config: Arc<ChannelConfig>,
    carrier: Carrier,
    template: Option<Template>,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    bell: watch::Receiver<()>,
    stop: CancellationToken,
    /// The channel asked to be left alone until then.
    quiet_until: Option<Moment>,
    refreshed_at: Option<Moment>,
}

impl Courier {
    /// A courier that has not begun.
    pub(super) fn new(ground: &Ground, config: Arc<ChannelConfig>, stop: CancellationToken) -> Self {
        Self {
            carrier: Carrier::open(&config.carrier),
            // It was tried out with the configuration.
            template: config.template.as_deref().and_then(|text| Template::new(text).ok()),
            journal: Arc::clone(&ground.journal),
            clock: Arc::clone(&ground.clock),
            metrics: ground.metrics.clone(),
            bell: ground.post.bell(),
            stop,
            quiet_until: None,
            refreshed_at: None,
            config,
        }
    }

    /// Runs until stopped.
    pub(super) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            // What is written from here on rings again.
            self.bell.mark_unchanged();
            let nap = self.round().await;
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                Ok(()) = self.bell.changed() => {}
                () = tokio::time::sleep(nap) => {}
            }
        }
    }

    /// Tries what is due; gives how long there is nothing more to be done.
    async fn round(&mut self) -> Duration {
        let Ok(outbox) = self.journal.outbox(&self.config.name, HEADS).await else {
            return JOURNAL_AGAIN;
        };
        self.metrics.notifications_waiting(self.config.name.as_str(), outbox.waiting);
        let mut soonest = ROUND;
        for pending in outbox.heads {
            let now = self.clock.now();
            let due = self.quiet_until.map_or(pending.due, |until| until.max(pending.due));
            if due > now {
                soonest = due.since(now).min(ROUND);
                break;
            }
            // What comes after it in its incident is known at the next look.
            soonest = Duration::ZERO;
            if self.stop.is_cancelled() || !self.attend(pending).await {
                break;
            }
        }
        self.refresh().await;
        soonest
    }

    /// Tries one event, and writes down what came of it. False when it was not written.
    async fn attend(&mut self, pending: Pending) -> bool {
        let now = self.clock.now();
        let settled = if now.since(pending.made) > self.config.give_up {
            self.lost(&pending, Notified::Expired, "it could not be delivered for too long");
            Settled::Expired
        } else {
            let Some(sent) = self.send(&pending).await else { return false };
            self.judge(&pending, sent)
        };
        loop {
            match self.journal.settle(pending.id, self.clock.wall(), settled.clone()).await {
                Ok(()) => return true,
                // Before it is written nothing more goes out: it would go out again and again.
                Err(_) => tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return false,
                    () = tokio::time::sleep(JOURNAL_AGAIN) => {}
                },
            }
        }
    }

    /// Sends it; nothing where everything stops meanwhile.
    async fn send(&self, pending: &Pending) -> Option<Sent> {
        let event: Event = match serde_json::from_str(&pending.event) {
            Ok(event) => event,
            Err(error) => return Some(Sent::Refused(format!("it cannot be read: {error}"))),
        };
        let made = self.template.as_ref().map(|template| template.render(&event));
        if let Some(Err(error)) = &made {
            let (channel, key) = (&self.config.name, &pending.key);
            tracing::warn!(%channel, key, "the template does not fit: {error}; told in our own words");
        }
        let letter = Letter {
            event: &event,
            text: made.and_then(Result::ok),
            mark: pending.mark.as_deref(),
            wall: self.clock.wall(),
        };
        let mut sending = pin!(tokio::time::timeout(self.carrier.limit(), self.carrier.send(&letter)));
        let sent = tokio::select! {
            biased;
            sent = &mut sending => sent,
            () = self.stop.cancelled() => tokio::time::timeout(FAREWELL, sending).await.ok()?,
        };
        let late = || Sent::failed(format!("no answer within {} s", self.carrier.limit().as_secs()));
        Some(sent.unwrap_or_else(|_| late()))
    }

    /// What a try comes to.
    fn judge(&mut self, pending: &Pending, sent: Sent) -> Settled {
        let (channel, now) = (self.config.name.as_str(), self.clock.now());
        let (why, retry_after, is_refusal) = match sent {
            Sent::Delivered { mark } => {
                self.metrics.notified(channel, Notified::Delivered);
                self.metrics.notification_succeeded(channel, self.clock.wall());
                if pending.attempts > 0 {
                    tracing::info!(
                        channel,
                        key = pending.key,
                        attempts = pending.attempts + 1,
                        "told at last"
                    );
                }
                return Settled::Delivered { mark };
            }
            Sent::Refused(why) if pending.refusals + 1 >= REFUSALS => {
                self.lost(pending, Notified::Refused, &why);
                return Settled::Refused;
            }
            Sent::Refused(why) => (why, None, true),
            Sent::Failed { why, retry_after } => (why, retry_after, false),
        };
        self.metrics.notified(channel, Notified::Failed);
        let attempts = pending.attempts.saturating_add(1);
        if attempts.is_power_of_two() {
            tracing::warn!(channel, key = pending.key, attempts, "not told yet: {why}; it is tried again");
        }
        self.quiet_until = retry_after.map(|wait| now + wait.min(LONGEST_PAUSE)).or(self.quiet_until);
        Settled::Later { due: now + pause(pending.attempts, fastrand::f64()), is_refusal }
    }

    fn lost(&self, pending: &Pending, how: Notified, why: &str) {
        let channel = self.config.name.as_str();
        self.metrics.notified(channel, how);
        let (key, attempts, how) = (&pending.key, pending.attempts, how.word());
        tracing::error!(channel, key, attempts, how, "given up on telling: {why}");
    }

    /// Tells open alerts again.
    async fn refresh(&mut self) {
        let now = self.clock.now();
        let Carrier::Alertmanager(alertmanager) = &self.carrier else { return };
        if self.refreshed_at.is_none_or(|at| now.since(at) >= ROUND) {
            self.refreshed_at = Some(now);
            let refreshed = alertmanager.refresh(&*self.journal, &self.config.name, self.clock.wall());
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {}
                () = refreshed => {}
            }
        }
    }
}

/// How long to wait after so many tries before this one. `chance` is between 0 and 1.
fn pause(tries: u32, chance: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1u32.checked_shl(tries.min(16)).unwrap_or(u32::MAX));
    doubled.min(LONGEST_PAUSE).mul_f64(0.8 + 0.4 * chance)
}

#[cfg(test)]
mod tests;
