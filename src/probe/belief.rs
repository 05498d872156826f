//! Whether a sample is believed: "is it me?", and what else it may be.

use super::needs::{Excuse, Needs};
use super::{Witness, control, peers};
use crate::config::Ask;
use crate::decision::sample::{BlindCause, Sample, SampleResult};

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
/// `needs` are asked meanwhile: what the app depends on may be why it fails or is slow, or what hits its siblings as well,
/// and no release is accused of that.
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
        let Some(needs) = needs.filter(|needs| needs.is_judged) else { return sample };
        let excuse = match sample.result {
            SampleResult::Good if needs.is_slow(&sample) => needs.is_down(sample.at).await,
            // No limit says that these are too many, and a rule may compare them all the same.
            SampleResult::Share(step) if step.share() > 0.0 => needs.excuse(peer, &sample).await,
            _ => None,
        };
        return excuse.map_or(sample, |excuse| excused(needs, excuse, sample));
    }
    let ours = is_ours(ask, sample, controls, peer, witness);
    let Some(needs) = needs else { return ours.await };
    match futures_util::future::join(ours, needs.excuse(peer, &sample)).await {
        (sample, Some(excuse)) if sample.result.has_failed() => excused(needs, excuse, sample),
        (sample, _) => sample,
    }
}

fn excused(needs: Needs<'_>, excuse: Excuse, sample: Sample) -> Sample {
    let result = SampleResult::Unknown(excuse.cause);
    needs.accept(excuse, &sample);
    Sample { result, ..sample }
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
