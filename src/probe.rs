//! Probes: one request, one [`Sample`], never an error.
//!
//! `schedule` says when the next sample of a probe is due, `http` takes it, `expect` reads the answer. A sample
//! that fails is only believed after [`believed`] asked "is it me?": `control` asks places that are up whenever
//! our own network is, `peers` compares with the other apps and the platform where no such place is configured.

use std::future::Future;
use std::pin::Pin;

use crate::config::ProbeConfig;
use crate::decision::sample::{BlindCause, Sample, SampleResult};

pub mod control;
mod expect;
pub mod http;
pub mod peers;
mod resolve;
pub mod schedule;

/// Takes one sample.
pub trait Probe: Send + Sync + 'static {
    /// Sends the request and gives the sample, within the probe's timeout and a little more.
    fn sample<'a>(&'a self, probe: &'a ProbeConfig) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>>;
}

/// The sample as it may be used against the app: a failure becomes Unknown where the fault may be ours.
///
/// The raw sample is recorded with `peer` first, so that the others can see that this app fails as well. Answers
/// at once unless the sample failed and no recent control sample is at hand; then within the controls' longest
/// timeout and [`control::SLACK`].
pub async fn believed(sample: Sample, controls: &control::Controls, peer: &peers::Peer) -> Sample {
    peer.record(&sample);
    if !matches!(sample.result, SampleResult::Bad(_)) {
        return sample;
    }
    let blind = match controls.verdict(&sample).await {
        control::ControlVerdict::Theirs => None,
        control::ControlVerdict::Ours => Some(BlindCause::Control),
        control::ControlVerdict::NotConfigured => match peer.verdict(&sample) {
            peers::PeerVerdict::Theirs => None,
            peers::PeerVerdict::Ours => Some(BlindCause::Peers),
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
    use crate::config::ControlProbe;
    use crate::decision::sample::Failure;

    const BAD: SampleResult = SampleResult::Bad(Failure::Connect);

    /// Gives every probe the same result.
    struct Always(Arc<dyn Clock>, SampleResult);

    impl Probe for Always {
        fn sample<'a>(&'a self, _: &'a ProbeConfig) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>> {
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
            ("bad without a control, alone", None, BAD, BAD),
            ("unknown stays unknown", Some(SampleResult::Good), host, host),
        ] {
            let peer = Peers::new().join(Duration::from_secs(15));
            let sample = Sample { at: clock.now(), micros: 1_000, result: raw };
            let controls = controls(&clock, control);
            assert_eq!(
                believed(sample, &controls, &peer).await,
                Sample { result: expected, ..sample },
                "{what}"
            );
        }
    }

    #[tokio::test]
    async fn without_controls_apps_that_fail_together_with_the_platform_are_not_accused() {
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
        let (peers, controls) = (Peers::new(), controls(&clock, None));
        let apps: Vec<_> = (0..3).map(|_| peers.join(Duration::from_secs(15))).collect();
        let at = |seconds: i64| Moment::from_millis(seconds * 1_000);
        let failed = |seconds| Sample { at: at(seconds), micros: 1_000, result: BAD };
        peers.platform_unreachable(at(99));
        for app in &apps {
            let blind = believed(failed(100), &controls, app).await.result;
            assert_eq!(blind, SampleResult::Unknown(BlindCause::Peers));
        }
        peers.platform_answered(at(101));
        assert_eq!(believed(failed(102), &controls, &apps[0]).await.result, BAD);
    }
}
