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
            if !self.platform.speaks_for_our_network() || is_for_acting(self.platform.budget()) {
                return;
            }
            match tokio::time::timeout(TESTIFY_WITHIN, self.platform.app(&self.app)).await {
                Err(_) => self.peers.platform_unreachable(sent),
                Ok(asked) => testify(self.platform.as_ref(), &self.peers, sent, asked.as_ref().err()),
            }
        })
    }
}

/// Tells the peers what a call to the platform, sent then, says of our network. One that goes through a proxy says nothing,
/// whatever comes of it: probes take another way.
pub(super) fn testify(platform: &dyn Platform, peers: &Peers, sent: Moment, error: Option<&PlatformError>) {
    if !platform.speaks_for_our_network() {
        return;
    }
    match error {
        Some(PlatformError::NotConnected(_)) => peers.platform_unreachable(sent),
        // A broken answer says nothing, and a wait that we impose on ourselves was no request.
        Some(PlatformError::Ambiguous(_) | PlatformError::RateLimited { .. }) => {}
        _ => peers.platform_answered(sent),
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::clock::SteadyClock;
    use crate::config::{Ask, TcpAsk};
    use crate::decision::effect::Validation;
    use crate::decision::sample::{BlindCause, Failure, Sample, SampleResult};
    use crate::platform::{Budget, Call, Goal, Listed};
    use crate::probe::believed;
    use crate::probe::control::Controls;

    /// A platform that answers or cannot be reached, directly or through a proxy.
    struct Behind {
        is_direct: bool,
        error: Option<PlatformError>,
        asked: AtomicUsize,
    }

    impl Platform for Behind {
        fn list_apps<'a>(&'a self, _: &'a [PlatformAppId]) -> Call<'a, Listed> {
            unreachable!("the poller's")
        }

        fn app<'a>(&'a self, _: &'a PlatformAppId) -> Call<'a, AppView> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let answer = Answered { value: AppView::default(), status: 200, request_id: None };
            let said = self.error.clone().map_or(Ok(answer), Err);
            Box::pin(std::future::ready(said))
        }

        fn deployments<'a>(&'a self, _: &'a PlatformAppId) -> Call<'a, Vec<Deployment>> {
            unreachable!("a witness is asked for the app")
        }

        fn validate_rollback<'a>(&'a self, _: &'a PlatformAppId, _: Goal<'a>) -> Call<'a, Validation> {
            unreachable!("a witness is asked for the app")
        }

        fn create_rollback<'a>(&'a self, _: &'a PlatformAppId, _: Goal<'a>) -> Call<'a, Deployment> {
            unreachable!("a witness writes nothing")
        }

        fn restart<'a>(&'a self, _: &'a PlatformAppId, _: &'a [String]) -> Call<'a, Deployment> {
            unreachable!("a witness writes nothing")
        }

        fn budget(&self) -> Budget {
            Budget::default()
        }

        fn speaks_for_our_network(&self) -> bool {
            self.is_direct
        }

        fn reload_token(&self) {}
    }

    /// What becomes of a failure of one of three apps, the other two of which fail as well or were never heard; and how often
    /// the platform was asked. A poll of it ended the same way just before.
    async fn judged(platform: Behind, all_fail: bool) -> (SampleResult, usize) {
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
        let (peers, platform) = (Peers::new(), Arc::new(platform));
        let controls = Controls::start(Vec::new(), Arc::new(Nobody), Arc::clone(&clock));
        let page = Ask::Tcp(TcpAsk { host: url::Host::Domain("shop.example".to_owned()), port: 80 });
        let apps: Vec<_> = (0..3).map(|_| peers.join(Duration::from_secs(15), None)).collect();
        let now = clock.now();
        let failed = Sample { at: now, micros: 1_000, result: SampleResult::Bad(Failure::Timeout) };
        for app in apps.iter().skip(1).filter(|_| all_fail) {
            app.record(&page, &failed);
        }
        testify(platform.as_ref(), &peers, now, platform.error.as_ref());
        let witness = PlatformWitness { platform: Arc::clone(&platform) as _, app: "a".into(), peers, clock };
        let judged = believed(&page, failed, &controls, &apps[0], Some(&witness), None).await;
        (judged.result, platform.asked.load(Ordering::Relaxed))
    }

    /// There are no controls to ask.
    struct Nobody;

    impl crate::probe::Probe for Nobody {
        fn sample<'a>(
            &'a self,
            _: &'a crate::config::ProbeConfig,
            _: crate::probe::Turn,
        ) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>> {
            unreachable!("nobody is asked")
        }
    }

    #[tokio::test]
    async fn a_platform_behind_a_proxy_says_nothing_of_the_way_that_probes_take() {
        let behind = |is_direct, error| Behind { is_direct, error, asked: AtomicUsize::default() };
        let unreachable = || Some(PlatformError::NotConnected("refused".to_owned()));
        let (bad, blind) = (SampleResult::Bad(Failure::Timeout), SampleResult::Unknown(BlindCause::Peers));
        for all_fail in [false, true] {
            assert_eq!(judged(behind(true, None), all_fail).await, (bad, 0), "it answered");
            assert_eq!(judged(behind(true, unreachable()), all_fail).await.0, blind);
            assert_eq!(judged(behind(false, None), all_fail).await, (blind, 0), "the proxy answered");
            assert_eq!(judged(behind(false, unreachable()), all_fail).await, (blind, 0));
        }
    }

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
