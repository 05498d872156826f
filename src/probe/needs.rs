//! "Is it what the app needs, or everyone?": what else may be the reason that an app fails, or is slow.
//!
//! What an app depends on is asked the moment it fails, and the moment it is slower than a rule puts up with. An app takes its
//! time to recover once that is well again, since whoever tries again waits longer each time, and so about as long as he
//! has waited before: for as long as something was down and a little more, and two minutes at most, what fails afterwards
//! accuses nobody. What is down while the app is well, for longer than that, is not what the app needs (`outage`).
//!
//! Other apps of the account are asked as well (`siblings`).

mod outage;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{join, join_all};
use humantime::format_duration;

use super::peers::Peer;
use super::{Probe, Turn};
use crate::clock::Moment;
use crate::config::AppConfig;
use crate::decision::sample::{BlindCause, Sample, SampleResult};
use outage::Outage;

/// What excuses an app is written to the log so often at most.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// The same once more, so often.
const TOLD_AGAIN: Duration = Duration::from_secs(60 * 60);

/// What an app needs of others, and who shares its account: asked when the app fails, since it may be them and not the
/// release.
#[derive(Clone, Copy)]
pub struct Needs<'a> {
    /// Who asks.
    pub probe: &'a dyn Probe,
    /// The app, with what it depends on.
    pub app: &'a AppConfig,
    /// What was seen before.
    pub past: &'a Past,
    /// A release is judged by it. Otherwise other people's apps are left alone.
    pub is_judged: bool,
    /// When what is live went live: what began after that was well again has nothing to recover from.
    pub since: Option<Moment>,
    /// The release that is judged has been well for a while.
    pub was_well: bool,
    /// From when on a good answer is a slow one, for a rule that accuses.
    pub slow_from: Option<Duration>,
}

/// What was seen of the things that an app needs, from one sample to the next.
#[derive(Debug, Default)]
pub struct Past(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// By the probe's place.
    outages: BTreeMap<usize, Outage>,
    /// What excused the app last.
    because: Option<(BlindCause, String)>,
    told: Option<(Moment, String)>,
}

/// Why a failure accuses nobody.
#[derive(Debug)]
pub(super) struct Excuse {
    pub(super) cause: BlindCause,
    /// Which of them it is, for people: a part of a sentence.
    because: String,
    /// What is down that the app needs.
    down: Vec<(usize, Sample)>,
    /// What of that, and of what was down lately, is the reason.
    felt: Vec<usize>,
}

impl Past {
    /// Takes note of a sample of something the app needs, by its probe's place.
    pub fn note(&self, place: usize, sample: &Sample) {
        let outages = &mut self.seen().outages;
        match outages.get_mut(&place) {
            Some(outage) => *outage = outage.take(sample).unwrap_or(*outage),
            None if sample.result.is_well() => {}
            None => {
                outages.insert(place, Outage::new(sample));
            }
        }
    }

    /// The app was well at `at`.
    pub fn was_well(&self, at: Moment) {
        self.seen().outages.values_mut().for_each(|outage| outage.is_survived(at));
    }

    /// What excused the app last, if it was for this cause: a part of a sentence.
    pub fn because(&self, cause: BlindCause) -> Option<String> {
        self.seen().because.as_ref().filter(|(last, _)| *last == cause).map(|(_, because)| because.clone())
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Needs<'_> {
    /// What else may be the reason for this failure.
    pub(super) async fn excuse(&self, peer: &Peer, failed: &Sample) -> Option<Excuse> {
        let siblings = async { if self.is_judged { peer.siblings_fail(self, failed).await } else { None } };
        let (down, siblings) = join(self.is_down(failed.at), siblings).await;
        down.or_else(|| {
            let because = format!("{} fail as well, without a new release", listed(&siblings?));
            Some(Excuse { cause: BlindCause::Siblings, because, down: Vec::new(), felt: Vec::new() })
        })
    }

    /// Whether it took longer than a rule puts up with.
    pub(super) fn is_slow(&self, sample: &Sample) -> bool {
        self.slow_from.is_some_and(|from| sample.latency() >= from)
    }

    /// What of the things that the app needs is not well now, or was not until lately. Asked together, so it takes as long as
    /// the slowest of them.
    pub(super) async fn is_down(&self, at: Moment) -> Option<Excuse> {
        let needs = self.app.depends_on.iter();
        let needs: Vec<_> = needs.filter_map(|place| Some((*place, self.app.probes.get(*place)?))).collect();
        let samples = join_all(needs.iter().map(|(_, need)| self.probe.sample(need, Turn::Any))).await;
        let (mut down, mut felt) = (Vec::new(), Vec::new());
        let mut reasons = Vec::new();
        for ((place, need), sample) in needs.into_iter().zip(samples) {
            let reason = match sample.result {
                SampleResult::Good | SampleResult::Share(_) => {
                    self.past.note(place, &sample);
                    let lasted = self.recovering(place, at).map(format_duration);
                    lasted.map(|lasted| format!("which failed for {lasted} and is just back"))
                }
                SampleResult::Bad(failure) | SampleResult::Unvouched(failure) => {
                    down.push((place, sample));
                    (!self.is_needless(place)).then(|| format!("which fails ({})", failure.word()))
                }
                SampleResult::Unknown(cause) => {
                    down.push((place, sample));
                    (!self.is_needless(place)).then(|| format!("which cannot be asked ({})", cause.word()))
                }
            };
            if let Some(reason) = reason {
                reasons.push(format!("{}, {reason}", need.name));
                felt.push(place);
            }
        }
        let because = format!("it depends on {}", reasons.join(", and on "));
        (!reasons.is_empty()).then_some(Excuse { cause: BlindCause::Dependency, because, down, felt })
    }

    /// Whether the app was well while it was not.
    fn is_needless(&self, place: usize) -> bool {
        self.past.seen().outages.get(&place).is_some_and(Outage::is_needless)
    }

    /// For how many seconds it was down, where that reaches until `at`.
    fn recovering(&self, place: usize, at: Moment) -> Option<Duration> {
        let seen = self.past.seen();
        let outage = seen.outages.get(&place).filter(|outage| outage.reaches(at, self.since))?;
        Some(Duration::from_secs(outage.lasted().as_secs().max(1)))
    }

    /// It was the reason: that is told, and remembered.
    pub(super) fn accept(&self, excuse: Excuse, failed: &Sample) {
        for (place, sample) in &excuse.down {
            self.past.note(*place, sample);
        }
        let mut seen = self.past.seen();
        for place in &excuse.felt {
            seen.outages.entry(*place).and_modify(|outage| outage.is_felt(failed.at));
        }
        let is_new = seen.told.as_ref().is_none_or(|(at, told)| {
            let pause = if *told == excuse.because { TOLD_AGAIN } else { TOLD_EVERY };
            *at + pause <= failed.at
        });
        if is_new {
            seen.told = Some((failed.at, excuse.because.clone()));
            tracing::info!(app = %self.app.name, "the app fails or is slow, and accuses no release: {}", excuse.because);
        }
        seen.because = Some((excuse.cause, excuse.because));
    }
}

/// Names in a sentence.
fn listed(names: &[String]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        names => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_as_people_do() {
        let names = |names: &[&str]| listed(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            [names(&["a"]), names(&["a", "b"]), names(&["a", "b", "c"])],
            ["a", "a and b", "a, b and c"]
        );
    }
}
