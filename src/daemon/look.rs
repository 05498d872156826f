//! Reads of one app, and how a new read joins what is known.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::poll::read_fault;
use crate::clock::{Clock, Moment};
use crate::decision::observation::{AppView, Deployment, ReadFault, Reading};
use crate::ids::PlatformAppId;
use crate::platform::pace::is_for_acting;
use crate::platform::{Answered, Platform, PlatformError};
use crate::probe::Witness;
use crate::probe::peers::Peers;

/// What is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// The deployments only.
    History,
    /// The app and its deployments, at the same time.
    AppAndHistory,
}

/// What was read.
pub(super) struct Looked {
    pub(super) view: Option<Reading<AppView>>,
    pub(super) history: Option<Reading<Vec<Deployment>>>,
}

impl Looked {
    /// The platform refused our token.
    pub(super) fn is_denied(&self) -> bool {
        self.faults().contains(&Some(ReadFault::Denied))
    }

    /// Something could not be read.
    pub(super) fn has_failed(&self) -> bool {
        self.faults() != [None, None]
    }

    fn faults(&self) -> [Option<ReadFault>; 2] {
        let view = self.view.as_ref().and_then(|reading| reading.fault);
        [view, self.history.as_ref().and_then(|reading| reading.fault)]
    }
}

/// Reads.
pub(super) async fn look(
    platform: Arc<dyn Platform>,
    app: PlatformAppId,
    clock: Arc<dyn Clock>,
    wants: Wants,
    turns: Arc<Semaphore>,
) -> Looked {
    match wants {
        Wants::History => {
            // Nobody waits for these, and after a restart a thousand apps may want theirs at once.
            let _turn = turns.acquire().await;
            let sent = clock.now();
            let history = platform.deployments(&app).await;
            Looked { view: None, history: Some(reading(sent, history)) }
        }
        Wants::AppAndHistory => {
            let sent = clock.now();
            let (view, history) = tokio::join!(platform.app(&app), platform.deployments(&app));
            let mut view = reading(sent, view);
            if let Some((_, view)) = &mut view.last {
                count_age_from_sending(view, clock.now().since(sent));
            }
            Looked { view: Some(view), history: Some(reading(sent, history)) }
        }
    }
}

/// The platform, asked whether our network works.
pub(super) struct PlatformWitness {
    pub(super) platform: Arc<dyn Platform>,
    pub(super) app: PlatformAppId,
    pub(super) peers: Peers,
    pub(super) clock: Arc<dyn Clock>,
}

/// How long the platform has for that: a sample waits for it.
const TESTIFY_WITHIN: Duration = Duration::from_secs(3);

impl Witness for PlatformWitness {
    fn ask(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            let sent = self.clock.now();
            // What is left of the rate limit is for acting. Without an answer the sample stays unknown.
            if is_for_acting(self.platform.budget()) {
                return;
            }
            let asked = tokio::time::timeout(TESTIFY_WITHIN, self.platform.app(&self.app)).await;
            match asked {
                Err(_) | Ok(Err(PlatformError::NotConnected(_))) => self.peers.platform_unreachable(sent),
                // A broken answer says nothing; a wait that we impose on ourselves neither.
                Ok(Err(PlatformError::Ambiguous(_) | PlatformError::RateLimited { .. })) => {}
                Ok(_) => self.peers.platform_answered(sent),
            }
        })
    }
}

/// The platform's figure of an age is of some instant between sending and answer. Counted from the sending, as reads
/// are dated, it is at least this much smaller: a sample from before the deployment was live must not become its own.
pub(super) fn count_age_from_sending(view: &mut AppView, round_trip: Duration) {
    let round_trip = u64::try_from(round_trip.as_millis()).unwrap_or(u64::MAX);
    view.active_age_ms = view.active_age_ms.map(|age| age.saturating_sub(round_trip));
}

fn reading<T>(sent: Moment, got: Result<Answered<T>, PlatformError>) -> Reading<T> {
    match got {
        Ok(answered) => Reading::known(sent, answered.value),
        Err(error) => {
            tracing::debug!("failed to {error}");
            let mut failed = Reading::never();
            failed.fail(sent, read_fault(&error));
            failed
        }
    }
}

/// Takes a new read into what is known: the read that was sent later wins, and a fault never erases a value.
pub(super) fn merge<T>(known: &mut Reading<T>, new: Reading<T>) {
    let is_newer = match (known.read_at(), new.read_at()) {
        (Some(known), Some(new)) => new > known,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    match (new.fault, new.missing) {
        (None, _) => (known.fault, known.missing) = (None, None),
        (Some(fault), said) => known.fail(said.map_or_else(Moment::default, |said| said.until), fault),
    }
    if is_newer {
        known.last = new.last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_read_wins_and_a_fault_keeps_the_value() {
        let at = Moment::from_millis;
        let mut known = Reading::never();
        merge(&mut known, Reading::known(at(2), 'b'));
        merge(&mut known, Reading::known(at(1), 'a'));
        assert_eq!(known, Reading::known(at(2), 'b'));
        let mut failed = Reading::never();
        failed.fail(at(3), ReadFault::Unreachable);
        merge(&mut known, failed.clone());
        assert_eq!(known, Reading { last: Some((at(2), 'b')), ..failed });
        merge(&mut known, Reading::known(at(3), 'c'));
        assert_eq!(known, Reading::known(at(3), 'c'));
    }
}
