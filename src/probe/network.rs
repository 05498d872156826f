//! Takes samples over the network: one clock and one timeout, whatever is asked.
//!
//! The timeout spans everything: name, connection, TLS, redirects, and the answer as far as it is needed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::grpc::Grpc;
use super::http::{self, Http};
use super::prometheus::Prometheus;
use super::resolve::Resolver;
use super::secure::{Secure, SecureError};
use super::tls::Tls;
use super::{Probe, Recorded, Turn, Versioned, counters, tcp};
use crate::clock::{Clock, Moment};
use crate::config::{Ask, ProbeConfig};
use crate::decision::sample::{BlindCause, Failure, Sample, SampleResult};

/// A probe that ends so long after its timeout was held up with the rest of the process, and so was one whose two
/// clocks disagree by as much: only one of them goes on while the machine sleeps.
const HELD_UP: Duration = Duration::from_secs(1);

/// A timer that fires so late is a sign that the answer may be waiting unread: such a timeout accuses nobody. Timers
/// are good to a millisecond; an idle machine stays below ten.
const LATE_TIMER: Duration = Duration::from_millis(250);

/// Why probes cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Most often there are no CA certificates on this system.
    #[error("set up the HTTP client of the probes (are CA certificates installed?)")]
    Client(#[source] reqwest::Error),
    /// There are no CA certificates on this system.
    #[error("set up TLS for the probes")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<SecureError> for NetworkError {
    fn from(error: SecureError) -> Self {
        Self::Tls(Box::new(error))
    }
}

/// What came of a question.
pub(crate) struct Said {
    pub(super) result: SampleResult,
    /// How long ago it was measured, where that is not now.
    pub(super) age: Option<Duration>,
}

impl Said {
    pub(super) fn now(result: SampleResult) -> Self {
        Self { result, age: None }
    }
}

impl From<SampleResult> for Said {
    fn from(result: SampleResult) -> Self {
        Self::now(result)
    }
}

/// Sends probes. One for the whole process, shared behind an `Arc`.
pub struct Network {
    http: Http,
    tls: Tls,
    grpc: Grpc,
    pub(super) prometheus: Prometheus,
    resolver: Resolver,
    clock: Arc<dyn Clock>,
}

impl Network {
    /// One that trusts the system's CA certificates as they are now. Installs ring as the process's TLS provider
    /// unless there is one.
    ///
    /// # Errors
    /// When the client cannot be built, as on a system without CA certificates.
    pub fn new(clock: Arc<dyn Clock>) -> Result<Self, NetworkError> {
        // An error says that somebody installed one before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let secure = Arc::new(Secure::new(Arc::clone(&clock))?);
        Self::with(Resolver::new(), secure, clock)
    }

    fn with(resolver: Resolver, secure: Arc<Secure>, clock: Arc<dyn Clock>) -> Result<Self, NetworkError> {
        let pages = secure.speaking("http/1.1")?;
        let client = http::client(resolver.clone(), pages.clone()).map_err(NetworkError::Client)?;
        let http = Http::new(client.clone(), resolver.clone(), pages);
        let prometheus = Prometheus::new(client);
        let grpc = Grpc::new(secure.speaking("h2")?);
        Ok(Self { http, tls: Tls::new(secure)?, grpc, prometheus, resolver, clock })
    }

    async fn ask(&self, ask: &Ask, turn: Turn, version: &mut Option<Box<str>>) -> Said {
        Said::now(match ask {
            Ask::Http(ask) => self.http.exchange(ask, turn, version).await,
            Ask::Tcp(ask) => tcp::ask(&self.resolver, ask, turn).await,
            Ask::Tls(ask) => self.tls.ask(&self.resolver, ask, turn).await,
            Ask::Grpc(ask) => self.grpc.check(&self.resolver, ask, turn).await,
            Ask::Prometheus(ask) => self.prometheus.query(ask).await,
            Ask::Counters(ask) => return counters::ask(&self.prometheus, ask, &*self.clock).await,
            // The app's task asks its account.
            Ask::Platform(_) => SampleResult::Unknown(BlindCause::Source),
        })
    }
}

impl Probe for Network {
    fn sample<'a>(
        &'a self,
        probe: &'a ProbeConfig,
        turn: Turn,
    ) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>> {
        Box::pin(async move { self.versioned(probe, turn).await.0 })
    }

    fn versioned<'a>(
        &'a self,
        probe: &'a ProbeConfig,
        turn: Turn,
    ) -> Pin<Box<dyn Future<Output = Versioned> + Send + 'a>> {
        Box::pin(async move {
            // Known even where the rest of the answer does not come in time.
            let mut version = None;
            let sample = taken(&*self.clock, probe, self.ask(&probe.ask, turn, &mut version)).await;
            let took = Duration::from_micros(sample.micros.into());
            if sample.result == SampleResult::Unknown(BlindCause::Source) && took >= probe.timeout {
                self.prometheus.was_silent(&probe.ask);
            }
            (sample, version)
        })
    }

    fn complaint(&self, probe: &ProbeConfig) -> Option<String> {
        self.prometheus.complaint(&probe.ask)
    }

    fn recorded<'a>(
        &'a self,
        probe: &'a ProbeConfig,
        time: (Moment, Moment),
    ) -> Pin<Box<dyn Future<Output = Recorded> + Send + 'a>> {
        Box::pin(async move {
            let Ask::Counters(ask) = &probe.ask else { return Ok(Vec::new()) };
            // Nobody closes it.
            let _turn = self.prometheus.turns.acquire().await;
            counters::recorded::recorded(&self.prometheus, ask, time, &*self.clock).await
        })
    }
}

/// The sample that comes of asking so, within the probe's timeout.
pub(crate) async fn taken(
    clock: &dyn Clock,
    probe: &ProbeConfig,
    asking: impl Future<Output = impl Into<Said>>,
) -> Sample {
    let at = clock.now();
    let started = Instant::now();
    let in_time = tokio::time::timeout(probe.timeout, asking).await;
    let Said { result, age } = in_time.map_or_else(
        |_| {
            Said::now(match probe.ask.is_answered_by_the_app() {
                true => SampleResult::Bad(Failure::Timeout),
                false => SampleResult::Unknown(BlindCause::Source),
            })
        },
        Into::into,
    );
    let elapsed = started.elapsed();
    let steady = clock.now().since(at);
    let result = if held_up(result, probe.timeout, elapsed, steady) {
        SampleResult::Unknown(BlindCause::Overload)
    } else {
        result
    };
    // What was measured before it was asked for belongs to then, which is when it was so.
    let (at, took) = match age {
        Some(age) if result.share().is_some() => (clock.now() - age, age),
        _ => (at, elapsed),
    };
    Sample { at, micros: u32::try_from(took.as_micros()).unwrap_or(u32::MAX), result }
}

/// Whether the process was held up while the probe was under way, so that its result says nothing of the app.
fn held_up(result: SampleResult, timeout: Duration, elapsed: Duration, steady: Duration) -> bool {
    let late = elapsed.max(steady).saturating_sub(timeout);
    let timed_out = result == SampleResult::Bad(Failure::Timeout);
    late > HELD_UP || steady.abs_diff(elapsed) > HELD_UP || timed_out && late > LATE_TIMER
}

#[cfg(test)]
mod turns;

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::clock::Mark;
    use crate::config::{Expect, HttpAsk};

    /// A probe that asks this.
    pub(in super::super) fn asking(ask: Ask) -> ProbeConfig {
        ProbeConfig {
            name: "home".into(),
            ask,
            period: Duration::from_secs(5),
            watch_period: Duration::from_secs(2),
            burst: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            settle: Duration::ZERO,
            window: 10,
        }
    }

    #[test]
    fn a_process_that_was_held_up_accuses_nobody() {
        let ms = Duration::from_millis;
        let timeout = SampleResult::Bad(Failure::Timeout);
        for (what, result, elapsed, steady, expected) in [
            ("in time", SampleResult::Good, 100, 100, false),
            ("a timeout on time", timeout, 2_005, 2_006, false),
            ("a timeout whose timer fired late", timeout, 2_400, 2_400, true),
            ("a refusal a little late", SampleResult::Bad(Failure::Connect), 2_400, 2_400, false),
            ("far beyond the timeout", SampleResult::Good, 3_100, 3_100, true),
            ("the machine slept", SampleResult::Bad(Failure::Connect), 50, 600_050, true),
            ("the machine slept shortly", timeout, 2_001, 2_500, true),
            ("the steady clock stood still", SampleResult::Good, 1_500, 0, true),
        ] {
            assert_eq!(held_up(result, ms(2_000), ms(elapsed), ms(steady)), expected, "{what}");
        }
    }

    #[tokio::test]
    async fn a_suspend_during_the_probe_makes_its_sample_unknown() {
        /// Jumps by ten minutes between any two readings.
        struct Sleepy(AtomicUsize);
        impl Clock for Sleepy {
            fn now(&self) -> Moment {
                let naps = u32::try_from(self.0.fetch_add(1, Ordering::SeqCst)).expect("a small number");
                Moment::from_millis(0) + Duration::from_secs(600) * naps
            }
            fn wall(&self) -> jiff::Timestamp {
                jiff::Timestamp::UNIX_EPOCH
            }
            fn mark(&self) -> Mark {
                Mark { at: self.now(), boottime_ms: 0, boot_id: String::new() }
            }
        }
        let network = Network::new(Arc::new(Sleepy(AtomicUsize::new(0)))).expect("a client");
        let ask = HttpAsk {
            // Nobody can listen there.
            url: "http://127.0.0.1:0/".parse().expect("a URL"),
            headers: std::collections::BTreeMap::new(),
            expect: Expect::default(),
        };
        let result = network.sample(&asking(Ask::Http(ask)), Turn::Any).await.result;
        assert_eq!(result, SampleResult::Unknown(BlindCause::Overload));
    }
}
