//! One poller an account: asks for all apps at once and hands each app its own slice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::look::{count_age_from_sending, testify};
use super::turns::Turns;
use crate::clock::{Clock, Moment};
use crate::config::PlatformConfig;
use crate::decision::observation::{AppView, ReadFault, Reading};
use crate::ids::PlatformAppId;
use crate::metrics::{Heartbeat, Metrics};
use crate::platform::pace::{fastest, is_for_acting, next_poll};
use crate::platform::{Listed, Platform, PlatformError};
use crate::probe::peers::Peers;

/// While a deployment is on its way somewhere in the account, the next release is expected: the poll is this
/// fast then, as far as the rate limit allows, since what is not yet known to be live cannot be accused.
const EXPECTING: Duration = Duration::from_secs(3);
/// A token that was refused is tried again this soon, with whatever its file holds then: somebody may be waiting.
const DENIED_AGAIN: Duration = Duration::from_secs(15);
/// The loop comes round at least this often, however long the poll is held back.
const LONGEST_NAP: Duration = Duration::from_secs(10);

/// An account on a platform, as apps use it.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) platform: Arc<dyn Platform>,
    pub(super) config: Arc<PlatformConfig>,
    pub(super) slices: Slices,
    /// Reads that nobody waits for take turns.
    pub(super) turns: Arc<Semaphore>,
    /// So do questions of readiness, and figures of what is judged.
    pub(super) questions: Arc<Turns>,
}

/// The newest picture of each app that somebody asked for.
#[derive(Clone, Default)]
pub(super) struct Slices(Arc<watch::Sender<Pictures>>);

type Pictures = BTreeMap<PlatformAppId, watch::Sender<Reading<AppView>>>;

impl Slices {
    /// Subscribes to an app's picture.
    pub(super) fn of(&self, app: &PlatformAppId) -> watch::Receiver<Reading<AppView>> {
        let mut receiver = None;
        self.0.send_modify(|slices| {
            let sender = slices.entry(app.clone()).or_insert_with(|| watch::Sender::new(Reading::never()));
            receiver = Some(sender.subscribe());
        });
        receiver.unwrap_or_else(|| watch::Sender::new(Reading::never()).subscribe())
    }

    /// The apps that somebody asked for.
    fn wanted(&self) -> Vec<PlatformAppId> {
        let slices = self.0.borrow();
        slices.iter().filter(|(_, sender)| sender.receiver_count() > 0).map(|(id, _)| id.clone()).collect()
    }

    /// Waits for an app that no poll has had a word on.
    async fn newcomer(&self) {
        let is_new = |sender: &watch::Sender<Reading<AppView>>| {
            sender.receiver_count() > 0 && *sender.borrow() == Reading::never()
        };
        // The sender lives as long as this does.
        let _ = self.0.subscribe().wait_for(|slices| slices.values().any(is_new)).await;
    }

    /// Tells of each poll that was answered.
    pub(super) fn polls(&self) -> watch::Receiver<Pictures> {
        self.0.subscribe()
    }

    /// The apps that the last poll could read; none before it had a word on each.
    pub(super) fn readable(&self) -> Vec<PlatformAppId> {
        let slices = self.0.borrow();
        if slices.values().any(|sender| *sender.borrow() == Reading::never()) {
            return Vec::new();
        }
        let read = slices.iter().filter(|(_, sender)| sender.borrow().fault.is_none());
        read.map(|(id, _)| id.clone()).collect()
    }

    /// A list of all apps that was asked for at `sent`. One of the `wanted` that is not in it does not exist, or cannot
    /// be read; of one that came meanwhile it need not say anything.
    pub(super) fn hand_out(&self, sent: Moment, wanted: &[PlatformAppId], list: Listed) -> bool {
        let absent = if list.is_whole { ReadFault::NotFound } else { ReadFault::Unreachable };
        let mut views: BTreeMap<PlatformAppId, _> = list.apps.into_iter().collect();
        let mut is_expecting = false;
        self.0.send_modify(|slices| {
            slices.retain(|_, sender| sender.receiver_count() > 0);
            for (id, sender) in slices {
                match views.remove(id) {
                    Some(Ok(view)) => {
                        is_expecting |= view.in_progress.is_some();
                        sender.send_replace(Reading::known(sent, view));
                    }
                    Some(Err(error)) => {
                        sender.send_modify(|reading| reading.fail(sent, read_fault(&error)));
                    }
                    None if wanted.contains(id) => sender.send_modify(|reading| reading.fail(sent, absent)),
                    None => {}
                }
            }
        });
        is_expecting
    }

    fn fault(&self, at: Moment, fault: ReadFault) {
        for sender in self.0.borrow().values() {
            sender.send_modify(|reading| reading.fail(at, fault));
        }
    }
}

/// What a poller needs.
pub(super) struct Poller {
    pub(super) account: Account,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
    pub(super) peers: Peers,
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) stop: CancellationToken,
}

impl Poller {
    /// Polls until stopped.
    pub(super) async fn run(self) {
        let mut faults = 0_u32;
        let mut is_expecting = false;
        loop {
            let polled = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                polled = self.poll() => polled,
                // Many slow pages are no stuck loop: each request has its limit.
                never = self.beat_for_ever() => match never {},
            };
            let is_denied = matches!(polled, Err(PlatformError::Denied { .. }));
            match polled {
                Ok(expecting) => {
                    if faults > 0 {
                        tracing::info!(platform = %self.account.config.name, "the platform answers again");
                    }
                    (faults, is_expecting) = (0, expecting);
                }
                Err(error) => {
                    faults = faults.saturating_add(1);
                    self.report(&error, faults);
                }
            }
            let poll = self.account.config.poll;
            let budget = self.account.platform.budget();
            let configured = if is_expecting { poll.min(EXPECTING.max(fastest(budget))) } else { poll };
            let wait = next_poll(configured, budget, faults, fastrand::f64());
            let wait = if is_denied { wait.min(DENIED_AGAIN.max(configured)) } else { wait };
            let is_for_acting = is_for_acting(budget) || budget.hold_reads.is_some();
            tokio::select! {
                biased;
                napped = self.nap(wait) => if napped.is_err() { return },
                // An app that was taken into the configuration is not to wait for its first picture.
                () = self.account.slices.newcomer(), if !is_for_acting => {}
            }
        }
    }

    async fn beat_for_ever(&self) -> std::convert::Infallible {
        loop {
            self.heartbeat.beat(self.clock.now());
            tokio::time::sleep(LONGEST_NAP).await;
        }
    }

    async fn poll(&self) -> Result<bool, PlatformError> {
        let sent = self.clock.now();
        let wanted = self.account.slices.wanted();
        let listed = self.account.platform.list_apps(&wanted).await;
        let budget = self.account.platform.budget();
        if let Some(left) = budget.remaining {
            let name = self.account.config.name.as_str();
            self.metrics.rate_limit_remaining.with_label_values(&[name]).set(f64::from(left));
        }
        testify(self.account.platform.as_ref(), &self.peers, sent, listed.as_ref().err());
        let mut list = listed?.value;
        let round_trip = self.clock.now().since(sent);
        for view in list.apps.iter_mut().filter_map(|(_, view)| view.as_mut().ok()) {
            count_age_from_sending(view, round_trip);
        }
        Ok(self.account.slices.hand_out(sent, &wanted, list))
    }

    fn report(&self, error: &PlatformError, faults: u32) {
        let fault = list_fault(error);
        if fault == ReadFault::Denied {
            self.account.platform.reload_token();
        }
        self.account.slices.fault(self.clock.now(), fault);
        let platform = &self.account.config.name;
        // Once loudly, then quietly: the metric counts each.
        if faults == 1 {
            tracing::warn!(%platform, "failed to {error}");
        } else {
            tracing::debug!(%platform, faults, "failed to {error}");
        }
    }

    /// Sleeps, coming round often enough to show that the loop is alive.
    async fn nap(&self, wait: Duration) -> Result<(), ()> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            self.heartbeat.beat(self.clock.now());
            let next = until.min(tokio::time::Instant::now() + LONGEST_NAP);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(()),
                () = tokio::time::sleep_until(next) => {}
            }
            if next == until {
                return Ok(());
            }
        }
    }
}

/// The same of a list of all apps: where that is not found, it says of no app that there is none.
fn list_fault(error: &PlatformError) -> ReadFault {
    match read_fault(error) {
        ReadFault::NotFound => ReadFault::Unreachable,
        fault => fault,
    }
}

/// The class of a failed read.
pub(super) fn read_fault(error: &PlatformError) -> ReadFault {
    match error {
        PlatformError::NotConnected(_)
        | PlatformError::Ambiguous(_)
        | PlatformError::Refused { .. }
        | PlatformError::Unsupported(_) => ReadFault::Unreachable,
        PlatformError::RateLimited { .. } => ReadFault::RateLimited,
        PlatformError::Denied { .. } => ReadFault::Denied,
        PlatformError::NotFound => ReadFault::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_the_list_is_not_found_says_of_no_app_that_it_is_gone() {
        assert_eq!(read_fault(&PlatformError::NotFound), ReadFault::NotFound);
        assert_eq!(list_fault(&PlatformError::NotFound), ReadFault::Unreachable);
        assert_eq!(list_fault(&PlatformError::Denied { status: 401 }), ReadFault::Denied);
    }
}
