//! "Is it what the app needs, or everyone?": what else may be the reason that an app fails, or is slow.
//!
//! What an app depends on is asked the moment it fails, and the moment it is slower than a rule puts up with. An app takes its
//! time to recover once that is well again, since whoever tries again waits longer each time, and so about as long as he
//! has waited before: for as long as something was down, and [`RECOVERY`] at most, what fails afterwards accuses nobody.
//!
//! Other apps of the account are asked as well ([`super::siblings`]).

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

/// An app that takes longer to recover from what it needs is at fault itself.
const RECOVERY: Duration = Duration::from_secs(120);
/// What excuses an app is written to the log so often at most.
const TOLD_EVERY: Duration = Duration::from_secs(60);

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
    told: Option<Moment>,
}

/// When something was down for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outage {
    since: Moment,
    /// The newest sample that failed.
    last: Moment,
    /// The first one after it that did not.
    over: Option<Moment>,
}

impl Outage {
    fn lasted(&self) -> Option<Duration> {
        self.over.map(|over| over.since(self.since))
    }

    /// Whether what failed at `at` may be a consequence.
    fn reaches(&self, at: Moment) -> bool {
        let until = self.over.zip(self.lasted()).map(|(over, lasted)| over + lasted.min(RECOVERY));
        at >= self.since && until.is_some_and(|until| at <= until)
    }
}

/// Why a failure accuses nobody.
#[derive(Debug)]
pub(super) struct Excuse {
    pub(super) cause: BlindCause,
    /// Which of them it is, for people: a part of a sentence.
    because: String,
    /// What is down that the app needs.
    down: Vec<(usize, Sample)>,
}

impl Past {
    /// Takes note of a sample of something the app needs, by its probe's place. What nobody can tell says nothing.
    pub fn note(&self, place: usize, sample: &Sample) {
        let outages = &mut self.seen().outages;
        let open = outages.get_mut(&place).filter(|outage| outage.over.is_none());
        match (open, sample.result) {
            (Some(open), result) if result.has_failed() => open.last = open.last.max(sample.at),
            (Some(open), result) if result.is_well() && sample.at > open.last => open.over = Some(sample.at),
            (None, result) if result.has_failed() => {
                let is_old =
                    outages.get(&place).is_some_and(|last| last.over.is_some_and(|over| sample.at <= over));
                if !is_old {
                    let outage = Outage { since: sample.at, last: sample.at, over: None };
                    outages.insert(place, outage);
                }
            }
            _ => {}
        }
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
            Some(Excuse { cause: BlindCause::Siblings, because, down: Vec::new() })
        })
    }

    /// Why this answer took so long, if it did.
    pub(super) async fn excuse_slow(&self, slow: &Sample) -> Option<Excuse> {
        let is_slow = self.is_judged && self.slow_from.is_some_and(|from| slow.latency() >= from);
        if is_slow { self.is_down(slow.at).await } else { None }
    }

    /// What of the things that the app needs is not well now, or was not until lately. Asked together, so it takes as long as
    /// the slowest of them.
    async fn is_down(&self, at: Moment) -> Option<Excuse> {
        let needs = self.app.depends_on.iter();
        let needs: Vec<_> = needs.filter_map(|place| Some((*place, self.app.probes.get(*place)?))).collect();
        let samples = join_all(needs.iter().map(|(_, need)| self.probe.sample(need, Turn::Any))).await;
        let mut excuse = Excuse { cause: BlindCause::Dependency, because: String::new(), down: Vec::new() };
        let mut reasons = Vec::new();
        for ((place, need), sample) in needs.into_iter().zip(samples) {
            match sample.result {
                SampleResult::Good | SampleResult::Share(_) => {
                    self.past.note(place, &sample);
                    reasons.extend(self.recovering(place, at).map(|lasted| {
                        format!(
                            "{}, which failed for {} and is just back",
                            need.name,
                            format_duration(lasted)
                        )
                    }));
                }
                SampleResult::Bad(failure) | SampleResult::Unvouched(failure) => {
                    excuse.down.push((place, sample));
                    reasons.push(format!("{}, which fails ({})", need.name, failure.word()));
                }
                SampleResult::Unknown(cause) => {
                    reasons.push(format!("{}, which cannot be asked ({})", need.name, cause.word()));
                }
            }
        }
        excuse.because = format!("it depends on {}", reasons.join(", and on "));
        (!reasons.is_empty()).then_some(excuse)
    }

    /// For how many seconds it was down, where that reaches until `at`.
    fn recovering(&self, place: usize, at: Moment) -> Option<Duration> {
        let seen = self.past.seen();
        let outage = seen.outages.get(&place).filter(|outage| outage.reaches(at))?;
        Some(Duration::from_secs(outage.lasted()?.as_secs().max(1)))
    }

    /// It was the reason: that is told, and remembered.
    pub(super) fn accept(&self, excuse: Excuse, failed: &Sample) {
        for (place, sample) in &excuse.down {
            self.past.note(*place, sample);
        }
        let mut seen = self.past.seen();
        let is_new = seen.because.as_ref().is_none_or(|(_, because)| *because != excuse.because);
        if is_new && seen.told.is_none_or(|told| told + TOLD_EVERY <= failed.at) {
            seen.told = Some(failed.at);
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
    use crate::decision::sample::Failure;

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1_000)
    }

    fn sample(seconds: i64, result: SampleResult) -> Sample {
        Sample { at: at(seconds), micros: 1, result }
    }

    const BAD: SampleResult = SampleResult::Bad(Failure::Connect);

    /// From when until when something excuses that had these samples.
    fn reaches(samples: &[(i64, SampleResult)]) -> Option<(i64, i64)> {
        let past = Past::default();
        for (seconds, result) in samples {
            past.note(0, &sample(*seconds, *result));
        }
        let outage = past.seen().outages.get(&0).copied()?;
        let mut reached = (0..1_000).filter(|seconds| outage.reaches(at(*seconds)));
        let first = reached.next()?;
        Some((first, reached.next_back().unwrap_or(first)))
    }

    #[test]
    fn what_was_down_excuses_for_as_long_again() {
        let (good, unknown) = (SampleResult::Good, SampleResult::Unknown(BlindCause::Host));
        for (what, samples, reached) in [
            ("never", vec![(10, good)], None),
            ("still down", vec![(10, BAD), (20, BAD)], None),
            ("once", vec![(10, BAD), (20, BAD), (30, good), (40, good)], Some((10, 50))),
            ("not told", vec![(10, BAD), (30, unknown), (40, good)], Some((10, 70))),
            ("very long", vec![(10, BAD), (400, good)], Some((10, 520))),
            ("again", vec![(10, BAD), (30, good), (35, BAD), (37, good)], Some((35, 39))),
            ("what comes late is old", vec![(10, BAD), (30, good), (29, BAD)], Some((10, 50))),
            ("good before, come late", vec![(10, BAD), (9, good), (14, good)], Some((10, 18))),
            (
                "not vouched for",
                vec![(10, SampleResult::Unvouched(Failure::Dns)), (12, good)],
                Some((10, 14)),
            ),
        ] {
            assert_eq!(reaches(&samples), reached, "{what}");
        }
    }

    #[test]
    fn names_are_listed_as_people_do() {
        let names = |names: &[&str]| listed(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            [names(&["a"]), names(&["a", "b"]), names(&["a", "b", "c"])],
            ["a", "a and b", "a, b and c"]
        );
    }
}
