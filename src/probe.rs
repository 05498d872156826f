//! Probes: one request, one [`Sample`], never an error.
//!
//! `schedule` says when the next sample of a probe is due, `network` takes it: `http` asks for a page, `expect` reads the
//! answer, `tcp` asks for a connection, `tls` for certificates, `grpc` for a server's health, `prometheus` for a figure,
//! `counters` for a share of errors, `platform` says what one of the app's own platform comes to; `resolve`, `connect` and `secure`
//! are the way there, `blame` says whose fault an error is. A sample
//! that fails is only believed after [`believed`] asked "is it me?": `control` asks places that are up whenever
//! our own network is, `peers` compares with the other apps and the platform where no such place is configured, `siblings`
//! with those of the account where that is asked for.
//! `waking` sets aside what an app answers that was asleep.

use std::future::Future;
use std::pin::Pin;

use crate::clock::Moment;
use crate::config::{AppConfig, Ask, ProbeConfig};
use crate::decision::sample::{BlindCause, Sample, SampleResult};

mod blame;
mod connect;
pub mod control;
mod counters;
mod expect;
mod grpc;
mod http;
pub mod network;
pub mod peers;
pub mod platform;
mod prometheus;
mod resolve;
pub mod schedule;
mod secure;
mod siblings;
mod tcp;
mod tls;
pub mod waking;

pub use counters::recorded::RecordError;

/// Which of the addresses of a name is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Any that answers.
    Any,
    /// The nth sample of this probe: each address in its turn. Counted for each probe on its own, since three probes of a
    /// name with three addresses would else meet the same one for ever.
    Nth(u32),
}

/// Takes one sample.
pub trait Probe: Send + Sync + 'static {
    /// Sends the request and gives the sample, within the probe's timeout and a little more.
    fn sample<'a>(
        &'a self,
        probe: &'a ProbeConfig,
        turn: Turn,
    ) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>>;

    /// The same, with the version that the answer named: what asks for none is told none.
    fn versioned<'a>(
        &'a self,
        probe: &'a ProbeConfig,
        turn: Turn,
    ) -> Pin<Box<dyn Future<Output = Versioned> + Send + 'a>> {
        Box::pin(async move { (self.sample(probe, turn).await, None) })
    }

    /// What it would have found of the app from then to then, oldest first, where somebody has recorded that. Waits for its
    /// turn, and takes minutes at the most from then on. Of most kinds nobody has.
    fn recorded<'a>(
        &'a self,
        _probe: &'a ProbeConfig,
        _time: (Moment, Moment),
    ) -> Pin<Box<dyn Future<Output = Recorded> + Send + 'a>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// Samples that were recorded, oldest first.
pub type Recorded = Result<Vec<Sample>, RecordError>;

/// A sample, and the version that the answer named where it was asked for.
pub type Versioned = (Sample, Option<Box<str>>);

/// Somebody who can be asked whether our network works where no control probe is configured.
pub trait Witness: Send + Sync {
    /// Asks the platform, and tells the peers what came of it. Ends within seconds.
    fn ask(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// What an app needs of others, and who shares its account: asked when the app fails, since it may be them and not the
/// release.
#[derive(Clone, Copy)]
pub struct Needs<'a> {
    /// Who asks.
    pub probe: &'a dyn Probe,
    /// The app, with what it depends on.
    pub app: &'a AppConfig,
    /// A release is judged by it. Otherwise other people's apps are left alone.
    pub is_judged: bool,
}

impl Needs<'_> {
    /// What else may be the reason for this failure.
    async fn excuse(&self, peer: &peers::Peer, failed: &Sample) -> Option<BlindCause> {
        let siblings = async {
            match self.app.siblings.filter(|_| self.is_judged) {
                Some(needed) => peer.siblings_fail(self.probe, (self.app, failed), needed as usize).await,
                None => false,
            }
        };
        match futures_util::future::join(self.are_met(), siblings).await {
            (false, _) => Some(BlindCause::Dependency),
            (true, true) => Some(BlindCause::Siblings),
            (true, false) => None,
        }
    }

    /// Whether all of them are good now. Asked together, so it takes as long as the slowest of them.
    async fn are_met(&self) -> bool {
        let asked = self.app.depends_on.iter().filter_map(|place| self.app.probes.get(*place));
        let samples = asked.map(|need| self.probe.sample(need, Turn::Any));
        let samples = futures_util::future::join_all(samples).await;
        samples.iter().all(|sample| sample.result == SampleResult::Good)
    }
}

/// The sample as it may be used against the app: a failure becomes Unknown where the fault may be ours.
///
/// The raw sample is recorded with `peer` first, so that the others can see that this app fails as well. Answers
/// at once unless the sample failed and no recent control sample is at hand; then within the controls' longest
/// timeout and [`control::SLACK`]. Without controls `witness` is asked where nothing else is known; without a witness,
/// which is at rest, the failure is not vouched for.
///
/// What somebody else says of the app needs no vouching by peers, and vouches for nobody: they answered. Control probes are
/// asked all the same, since what measures the app may be where we are, behind the same broken line.
///
/// `needs` are asked meanwhile: what the app depends on may be why it fails, or what hits its siblings as well, and no
/// release is accused of that.
pub async fn believed(
    ask: &Ask,
    sample: Sample,
    controls: &control::Controls,
    peer: &peers::Peer,
    witness: Option<&dyn Witness>,
    needs: Option<Needs<'_>>,
) -> Sample {
    if ask.is_answered_by_the_app() {
        peer.record(&sample);
    }
    if !matches!(sample.result, SampleResult::Bad(_)) {
        return sample;
    }
    let ours = is_ours(ask, sample, controls, peer, witness);
    let Some(needs) = needs else { return ours.await };
    match futures_util::future::join(ours, needs.excuse(peer, &sample)).await {
        (sample, Some(cause)) if sample.result.has_failed() => {
            Sample { result: SampleResult::Unknown(cause), ..sample }
        }
        (sample, _) => sample,
    }
}

/// Whose fault it is as far as our own network goes.
async fn is_ours(
    ask: &Ask,
    sample: Sample,
    controls: &control::Controls,
    peer: &peers::Peer,
    witness: Option<&dyn Witness>,
) -> Sample {
    let is_its_own = ask.is_answered_by_the_app();
    let SampleResult::Bad(failure) = sample.result else { return sample };
    let blind = match controls.verdict(&sample).await {
        control::ControlVerdict::Theirs => None,
        control::ControlVerdict::Ours => Some(BlindCause::Control),
        control::ControlVerdict::NotConfigured if !is_its_own => None,
        control::ControlVerdict::NotConfigured => match (peer.verdict(&sample), witness) {
            (peers::PeerVerdict::Theirs, _) => None,
            (peers::PeerVerdict::Unclear, None) => {
                return Sample { result: SampleResult::Unvouched(failure), ..sample };
            }
            (peers::PeerVerdict::Ours, _) => Some(BlindCause::Peers),
            (peers::PeerVerdict::Unclear, Some(witness)) => {
                let _turn = peer.turn().await;
                if peer.verdict(&sample) == peers::PeerVerdict::Unclear {
                    witness.ask().await;
                }
                (peer.verdict(&sample) != peers::PeerVerdict::Theirs).then_some(BlindCause::Peers)
            }
        },
    };
    match blind {
        Some(cause) => Sample { result: SampleResult::Unknown(cause), ..sample },
        None => sample,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::control::Controls;
    use super::peers::Peers;
    use super::*;
    use crate::clock::{Clock, Moment, SteadyClock};
    use crate::config::{Absent, ControlProbe, Expect, HttpAsk, Limits, PrometheusAsk};
    use crate::decision::sample::Failure;

    const BAD: SampleResult = SampleResult::Bad(Failure::Connect);

    /// Gives every probe the same result.
    struct Always(Arc<dyn Clock>, SampleResult);

    impl Probe for Always {
        fn sample<'a>(
            &'a self,
            _: &'a ProbeConfig,
            _: Turn,
        ) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>> {
            Box::pin(async { Sample { at: self.0.now(), micros: 1, result: self.1 } })
        }
    }

    fn controls(clock: &Arc<dyn Clock>, result: Option<SampleResult>) -> Controls {
        let control = ControlProbe {
            url: "https://up.example/".parse().expect("a URL"),
            period: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
        };
        let configured = result.map(|_| control).into_iter().collect();
        let probe = Arc::new(Always(Arc::clone(clock), result.unwrap_or(SampleResult::Good)));
        Controls::start(configured, probe, Arc::clone(clock))
    }

    #[tokio::test]
    async fn a_failure_is_believed_only_when_our_own_network_is_vouched_for() {
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
        let blind = SampleResult::Unknown(BlindCause::Control);
        let host = SampleResult::Unknown(BlindCause::Host);
        for (what, control, raw, expected) in [
            ("good with a good control", Some(SampleResult::Good), SampleResult::Good, SampleResult::Good),
            ("good with a dead control", Some(BAD), SampleResult::Good, SampleResult::Good),
            ("bad with a good control", Some(SampleResult::Good), BAD, BAD),
            ("bad with a dead control", Some(BAD), BAD, blind),
            ("bad with a blind control", Some(host), BAD, blind),
            ("bad without a control, alone", None, BAD, SampleResult::Unvouched(Failure::Connect)),
            ("unknown stays unknown", Some(SampleResult::Good), host, host),
        ] {
            let peer = Peers::new().join(Duration::from_secs(15), None);
            let sample = Sample { at: clock.now(), micros: 1_000, result: raw };
            let controls = controls(&clock, control);
            assert_eq!(
                believed(&page(), sample, &controls, &peer, None, None).await,
                Sample { result: expected, ..sample },
                "{what}"
            );
        }
    }

    /// Answers for the probes it has a result for, and is good for all others.
    struct Named(Arc<dyn Clock>, Vec<(&'static str, SampleResult)>);

    impl Probe for Named {
        fn sample<'a>(
            &'a self,
            probe: &'a ProbeConfig,
            _: Turn,
        ) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>> {
            let known = self.1.iter().find(|(name, _)| probe.name.as_str() == *name);
            let result = known.map_or(SampleResult::Good, |(_, result)| *result);
            Box::pin(async move { Sample { at: self.0.now(), micros: 1, result } })
        }
    }

    const TWO_NEEDS: &str = "
platforms: [{ name: ocean, kind: digitalocean, token_env: TOKEN }]
apps:
  - name: shop
    platform: ocean
    id: shop-1
    probes:
      - { name: home, url: https://shop.example/ }
      - { name: database, tcp: \"db.example:5432\" }
      - { name: status, url: https://status.example/ }
    depends_on: [database, status]
";

    #[tokio::test]
    async fn a_failure_accuses_nobody_while_something_is_down_that_the_app_needs() {
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
        let app = crate::config::parse("f.yaml", TWO_NEEDS).expect("a configuration").apps.remove(0);
        let (host, down) =
            (SampleResult::Unknown(BlindCause::Host), SampleResult::Unknown(BlindCause::Dependency));
        let ours = SampleResult::Unknown(BlindCause::Control);
        let good = SampleResult::Good;
        for (what, results, control, raw, expected) in [
            ("all is well", vec![], good, BAD, BAD),
            ("one of two is down", vec![("status", BAD)], good, BAD, down),
            ("one of two cannot be asked", vec![("database", host)], good, BAD, down),
            ("what nobody needs is down", vec![("home", BAD)], good, BAD, BAD),
            ("our own network is down as well", vec![("database", BAD)], BAD, BAD, ours),
            ("the app is well all the same", vec![("database", BAD)], good, good, good),
            ("nothing is known of the app", vec![("database", BAD)], good, host, host),
        ] {
            let peer = Peers::new().join(Duration::from_secs(15), None);
            let sample = Sample { at: clock.now(), micros: 1_000, result: raw };
            let controls = controls(&clock, Some(control));
            let probe = Named(Arc::clone(&clock), results);
            let needs = Needs { probe: &probe, app: &app, is_judged: true };
            let judged = believed(&page(), sample, &controls, &peer, None, Some(needs)).await;
            assert_eq!(judged, Sample { result: expected, ..sample }, "{what}");
        }
    }

    fn page() -> Ask {
        Ask::Http(HttpAsk {
            url: "https://shop.example/".parse().expect("a URL"),
            headers: std::collections::BTreeMap::new(),
            expect: Expect::default(),
        })
    }

    #[tokio::test]
    async fn a_figure_is_vouched_for_by_controls_alone_and_vouches_for_nothing() {
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
        let figure = Ask::Prometheus(PrometheusAsk {
            url: "http://prometheus.example/".parse().expect("a URL"),
            headers: std::collections::BTreeMap::new(),
            query: "up".to_owned(),
            limits: Limits { at_least: Some(1.0), at_most: None },
            absent: Absent::Unknown,
            max_age: Duration::from_secs(300),
        });
        let peers = Peers::new();
        let (one, other) =
            (peers.join(Duration::from_secs(15), None), peers.join(Duration::from_secs(15), None));
        let (none, dead) = (controls(&clock, None), controls(&clock, Some(BAD)));
        let sample = |result| Sample { at: clock.now(), micros: 1_000, result };
        let value = SampleResult::Bad(Failure::Value);
        assert_eq!(believed(&figure, sample(value), &none, &one, None, None).await.result, value);
        let blind = SampleResult::Unknown(BlindCause::Control);
        assert_eq!(believed(&figure, sample(value), &dead, &one, None, None).await.result, blind);
        assert_eq!(
            believed(&figure, sample(SampleResult::Good), &dead, &one, None, None).await.result,
            SampleResult::Good
        );
        // Another app's good figure is no sign that apps can be reached.
        let failed = sample(BAD);
        other.record(&failed);
        assert_eq!(other.verdict(&failed), peers::PeerVerdict::Unclear);
    }

    #[tokio::test]
    async fn without_controls_apps_that_fail_together_with_the_platform_are_not_accused() {
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
        let (peers, controls) = (Peers::new(), controls(&clock, None));
        let apps: Vec<_> = (0..3).map(|_| peers.join(Duration::from_secs(15), None)).collect();
        let at = |seconds: i64| Moment::from_millis(seconds * 1_000);
        let failed = |seconds| Sample { at: at(seconds), micros: 1_000, result: BAD };
        peers.platform_unreachable(at(99));
        for app in &apps {
            let blind = believed(&page(), failed(100), &controls, app, None, None).await.result;
            assert_eq!(blind, SampleResult::Unknown(BlindCause::Peers));
        }
        peers.platform_answered(at(102));
        assert_eq!(believed(&page(), failed(102), &controls, &apps[0], None, None).await.result, BAD);
        let unvouched = SampleResult::Unvouched(Failure::Connect);
        assert_eq!(believed(&page(), failed(200), &controls, &apps[0], None, None).await.result, unvouched);
    }

    /// The platform as somebody to ask: it answers, or cannot be reached.
    struct Platform(Peers, bool, std::sync::atomic::AtomicU32);

    impl Witness for Platform {
        fn ask(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            self.2.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let at = Moment::from_millis(100_000);
            if self.1 {
                self.0.platform_answered(at)
            } else {
                self.0.platform_unreachable(at)
            }
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn without_controls_the_platform_is_asked_once_for_all_who_fail() {
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
        let controls = controls(&clock, None);
        for (answers, expected) in [(true, BAD), (false, SampleResult::Unknown(BlindCause::Peers))] {
            let peers = Peers::new();
            let witness = Platform(peers.clone(), answers, 0.into());
            let apps: Vec<_> = (0..3).map(|_| peers.join(Duration::from_secs(15), None)).collect();
            for app in &apps {
                let failed = Sample { at: Moment::from_millis(100_000), micros: 1_000, result: BAD };
                assert_eq!(
                    believed(&page(), failed, &controls, app, Some(&witness), None).await.result,
                    expected
                );
            }
            assert_eq!(witness.2.load(std::sync::atomic::Ordering::Relaxed), 1);
        }
    }
}
