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
