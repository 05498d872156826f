//! What was told, what waits to be told, and whether a channel is alive.

use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::Metrics;

/// What can come of telling a channel of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notified {
    /// The channel has it.
    Delivered,
    /// A try failed; it is tried again.
    Failed,
    /// The channel does not want it: given up.
    Refused,
    /// It could not be delivered for too long: given up.
    Expired,
}

impl Notified {
    /// Everything that can come of it.
    pub const ALL: [Self; 4] = [Self::Delivered, Self::Failed, Self::Refused, Self::Expired];

    /// The fixed word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }
}

/// The families, by channel.
#[derive(Clone)]
pub(super) struct Notifications {
    total: IntCounterVec,
    pending: IntGaugeVec,
    last_success: GaugeVec,
}

impl Notifications {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let total =
            "Tries to tell a channel of an event, by what came of them; refused and expired are given up.";
        let last = "Unix time at which the channel last took an event; 0 before the first one.";
        Ok(Self {
            total: IntCounterVec::new(
                Opts::new("rearguard_notifications_total", total),
                &["channel", "result"],
            )?,
            pending: IntGaugeVec::new(
                Opts::new("rearguard_notifications_pending", "Events that the channel does not have yet."),
                &["channel"],
            )?,
            last_success: GaugeVec::new(
                Opts::new("rearguard_notification_last_success_timestamp_seconds", last),
                &["channel"],
            )?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let families: [Box<dyn Collector>; 3] = [
            Box::new(self.total.clone()),
            Box::new(self.pending.clone()),
            Box::new(self.last_success.clone()),
        ];
        families.into_iter().try_for_each(|family| registry.register(family))
    }
}

impl Metrics {
    /// A channel's series, at zero where they are new.
    pub fn add_channel(&self, channel: &str) {
        for result in Notified::ALL {
            self.notifications.total.with_label_values(&[channel, result.word()]);
        }
        self.notifications.pending.with_label_values(&[channel]);
        self.notifications.last_success.with_label_values(&[channel]);
    }

    /// Forgets a channel that left the configuration.
    pub fn forget_channel(&self, channel: &str) {
        // An error means that the series is not there, which is what is wanted.
        for result in Notified::ALL {
            let _ = self.notifications.total.remove_label_values(&[channel, result.word()]);
        }
        let _ = self.notifications.pending.remove_label_values(&[channel]);
        let _ = self.notifications.last_success.remove_label_values(&[channel]);
    }

    /// Something came of telling a channel.
    pub fn notified(&self, channel: &str, result: Notified) {
        self.notifications.total.with_label_values(&[channel, result.word()]).inc();
    }

    /// The channel took an event.
    pub fn notification_succeeded(&self, channel: &str, at: Timestamp) {
        let seconds = at.as_millisecond() as f64 / 1e3;
        self.notifications.last_success.with_label_values(&[channel]).set(seconds);
    }

    /// How many events the channel does not have yet.
    pub fn notifications_waiting(&self, channel: &str, events: u64) {
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        self.notifications.pending.with_label_values(&[channel]).set(events);
    }
}
