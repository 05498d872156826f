//! "Is it what the app needs, or everyone?": what else may be the reason that an app fails, or is slow.
//!
//! What an app depends on is asked the moment it fails, and the moment it is slower than a rule puts up with. An app takes its
//! time to recover once that is well again, since whoever tries again waits longer each time, and so about as long as he
//! has waited before: for as long as something was down and a little more, and `RECOVERY` at most, what fails afterwards
//! accuses nobody. What is down while the app is well, for longer than that, is not what the app needs.
//!
//! Other apps of the account are asked as well (`siblings`).

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
/// A little more than as long again.
const A_LITTLE: Duration = Duration::from_secs(15);
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
    told: Option<(Moment, String)>,
}

/// When something was not well for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outage {
    since: Moment,
    /// The newest sample that was not well.
    last: Moment,
    /// It failed, and not only could nobody tell.
    has_failed: bool,
    /// The app failed as well meanwhile.
    is_felt: bool,
    /// The app was well all the same.
    is_needless: bool,
    /// The first sample after it that was well.
    over: Option<Moment>,
}

impl Outage {
    fn lasted(&self) -> Option<Duration> {
        self.over.filter(|_| self.has_failed && !self.is_needless).map(|over| over.since(self.since))
    }

    /// Whether what failed at `at` may be a consequence, though it is over.
    fn reaches(&self, at: Moment) -> bool {
        let until =
            self.over.zip(self.lasted()).map(|(over, lasted)| over + (lasted + A_LITTLE).min(RECOVERY));
        at >= self.since && until.is_some_and(|until| at <= until)
    }

    fn take(&mut self, sample: &Sample) {
        if sample.result.is_well() {
            if sample.at > self.last {
                self.over = Some(sample.at);
            }
            return;
        }
        // Since it failed: what nobody could tell before that reaches nowhere.
        if sample.result.has_failed() && !self.has_failed {
            (self.since, self.has_failed) = (sample.at, true);
        }
        self.last = self.last.max(sample.at);
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
    /// Takes note of a sample of something the app needs, by its probe's place.
    pub fn note(&self, place: usize, sample: &Sample) {
        let outages = &mut self.seen().outages;
        match outages.get_mut(&place) {
            Some(outage) if outage.over.is_none() => outage.take(sample),
            _ if sample.result.is_well() => {}
            Some(last) if last.over.is_some_and(|over| sample.at <= over) => {}
            // It came back for a moment only.
            Some(last) if last.reaches(sample.at) => {
                last.over = None;
                last.take(sample);
            }
            _ => {
                let has_failed = sample.result.has_failed();
                let (since, last) = (sample.at, sample.at);
                outages.insert(
                    place,
                    Outage { since, last, has_failed, is_felt: false, is_needless: false, over: None },
                );
            }
        }
    }

    /// The app was well at `at`.
    pub fn was_well(&self, at: Moment) {
        let outages = &mut self.seen().outages;
        for outage in outages.values_mut().filter(|outage| outage.over.is_none()) {
            outage.is_needless |= !outage.is_felt && at > outage.since + RECOVERY;
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
            if sample.result.is_well() {
                self.past.note(place, &sample);
                reasons.extend(self.recovering(place, at).map(|lasted| {
                    format!("{}, which failed for {} and is just back", need.name, format_duration(lasted))
                }));
                continue;
            }
            excuse.down.push((place, sample));
            if self.is_needless(place) {
                continue;
            }
            reasons.push(match sample.result {
                SampleResult::Bad(failure) | SampleResult::Unvouched(failure) => {
                    format!("{}, which fails ({})", need.name, failure.word())
                }
                SampleResult::Unknown(cause) => {
                    format!("{}, which cannot be asked ({})", need.name, cause.word())
                }
                SampleResult::Good | SampleResult::Share(_) => continue,
            });
        }
        excuse.because = format!("it depends on {}", reasons.join(", and on "));
        (!reasons.is_empty()).then_some(excuse)
    }

    /// Whether the app was well while it was not.
    fn is_needless(&self, place: usize) -> bool {
        let seen = self.past.seen();
        seen.outages.get(&place).is_some_and(|outage| outage.over.is_none() && outage.is_needless)
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
        for (place, _) in &excuse.down {
            seen.outages.entry(*place).and_modify(|outage| outage.is_felt = true);
        }
        let is_new = seen
            .told
            .as_ref()
            .is_none_or(|(at, told)| *told != excuse.because && *at + TOLD_EVERY <= failed.at);
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
            ("once", vec![(10, BAD), (20, BAD), (30, good), (40, good)], Some((10, 65))),
            ("not told", vec![(10, BAD), (30, unknown), (40, good)], Some((10, 85))),
            ("nothing told", vec![(10, unknown), (30, unknown), (40, good)], None),
            ("told later", vec![(10, unknown), (30, BAD), (40, good)], Some((30, 65))),
            ("again, later", vec![(10, BAD), (30, good), (70, BAD), (72, good)], Some((70, 89))),
            ("very long", vec![(10, BAD), (400, good)], Some((10, 520))),
            ("again", vec![(10, BAD), (30, good), (35, BAD), (37, good)], Some((10, 79))),
            ("what comes late is old", vec![(10, BAD), (30, good), (29, BAD)], Some((10, 65))),
            ("good before, come late", vec![(10, BAD), (9, good), (14, good)], Some((10, 33))),
            (
                "not vouched for",
                vec![(10, SampleResult::Unvouched(Failure::Dns)), (12, good)],
                Some((10, 29)),
            ),
        ] {
            assert_eq!(reaches(&samples), reached, "{what}");
        }
    }

    #[test]
    fn what_the_app_did_well_without_is_needless_until_it_is_back() {
        for result in [BAD, SampleResult::Unknown(BlindCause::Absent)] {
            let past = Past::default();
            let is_needless = || past.seen().outages.get(&0).is_some_and(|outage| outage.is_needless);
            past.note(0, &sample(100, result));
            past.was_well(at(220));
            assert!(!is_needless(), "it may take its time to break");
            past.was_well(at(221));
            assert!(is_needless());
            past.note(0, &sample(400, SampleResult::Good));
            assert!(!past.seen().outages[&0].reaches(at(401)), "nor has it to recover");
            past.note(0, &sample(500, result));
            assert!(!is_needless(), "it is another time");
            past.seen().outages.entry(0).and_modify(|outage| outage.is_felt = true);
            past.was_well(at(900));
            assert!(!is_needless(), "the app does not fail each time");
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
