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
#[cfg(test)]
pub(crate) use http::answered;

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
        samples.iter().all(|sample| sample.result.is_well())
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
        peer.record(ask, &sample);
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
mod tests;
