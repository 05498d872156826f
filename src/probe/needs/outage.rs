//! When something that an app needs is not well, and how far that reaches.

use std::time::Duration;

use crate::clock::Moment;
use crate::decision::sample::Sample;

/// An app that takes longer to recover from what it needs is at fault itself. So long that has to be well before its next
/// failure is a trouble of its own, and the app beside it before it is plain that it is not needed.
pub(super) const RECOVERY: Duration = Duration::from_secs(120);
/// A little more than as long again.
const A_LITTLE: Duration = Duration::from_secs(15);

/// A time in which it was down, once or again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outage {
    since: Moment,
    /// When it began to fail, after it was well. None where only nobody could tell.
    began: Option<Moment>,
    /// The newest sample that was not well.
    last: Moment,
    /// The first sample after that which was.
    over: Option<Moment>,
    /// For how long it had failed before it was well in between.
    down: Duration,
    /// For how long it was well in between.
    up: Duration,
    /// When the app failed as well.
    felt: Option<Moment>,
    /// The app was well all the same.
    is_needless: bool,
}

impl Outage {
    /// Begins with a sample that is not well.
    pub(super) fn new(sample: &Sample) -> Self {
        Self {
            since: sample.at,
            began: sample.result.has_failed().then_some(sample.at),
            last: sample.at,
            over: None,
            down: Duration::ZERO,
            up: Duration::ZERO,
            felt: None,
            is_needless: false,
        }
    }

    /// Takes the next sample. Gives the outage that begins with it, if that is another one.
    pub(super) fn take(&mut self, sample: &Sample) -> Option<Self> {
        match (self.over, sample.result.is_well()) {
            (None, true) => {
                if sample.at > self.last {
                    self.over = Some(sample.at);
                }
            }
            (Some(_), true) => {}
            (Some(over), false) if sample.at <= over => {}
            (Some(over), false) if sample.at > over + RECOVERY => return Some(Self::new(sample)),
            (Some(over), false) => {
                self.down = self.lasted();
                self.up += sample.at.since(over);
                (self.over, self.last) = (None, sample.at);
                self.began = None;
                self.fails(sample);
            }
            (None, false) => {
                self.fails(sample);
                self.last = self.last.max(sample.at);
            }
        }
        None
    }

    fn fails(&mut self, sample: &Sample) {
        if self.began.is_some() || !sample.result.has_failed() {
            return;
        }
        self.began = Some(sample.at);
        if self.down.is_zero() {
            // What nobody could tell before that says nothing of it.
            (self.since, self.up, self.felt, self.is_needless) = (sample.at, Duration::ZERO, None, false);
        }
    }

    /// The app failed as well at `at`.
    pub(super) fn is_felt(&mut self, at: Moment) {
        self.felt = self.felt.max(Some(at));
    }

    /// The app was well at `at`.
    pub(super) fn is_survived(&mut self, at: Moment) {
        let since = self.felt.map_or(self.since, |felt| felt.max(self.since));
        self.is_needless |= at > since + RECOVERY;
    }

    /// Whether it is down, and that is no excuse.
    pub(super) fn is_needless(&self) -> bool {
        self.over.is_none() && self.is_needless
    }

    /// For how long it failed.
    pub(super) fn lasted(&self) -> Duration {
        let now = self.began.zip(self.over).map(|(began, over)| over.since(began));
        self.down + now.unwrap_or_default()
    }

    /// Whether what failed at `at` may be a consequence, though it is over. All in all it excuses for as long again as it was
    /// down, and a little: what fails again and again would excuse for ever. And nothing that went live when it was over.
    pub(super) fn reaches(&self, at: Moment, live_since: Option<Moment>) -> bool {
        let Some(over) = self
            .over
            .filter(|over| live_since <= Some(*over) && !self.is_needless && !self.lasted().is_zero())
        else {
            return false;
        };
        let left = (self.lasted() + A_LITTLE).saturating_sub(self.up).min(RECOVERY);
        !left.is_zero() && at >= self.since && at <= over + left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::sample::{BlindCause, Failure, SampleResult};

    const BAD: SampleResult = SampleResult::Bad(Failure::Connect);
    const GOOD: SampleResult = SampleResult::Good;
    const ABSENT: SampleResult = SampleResult::Unknown(BlindCause::Absent);

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1_000)
    }

    fn of(samples: &[(i64, SampleResult)]) -> Outage {
        let sample =
            |(seconds, result): &(i64, SampleResult)| Sample { at: at(*seconds), micros: 1, result: *result };
        let mut outage = Outage::new(&sample(&samples[0]));
        for next in &samples[1..] {
            outage = outage.take(&sample(next)).unwrap_or(outage);
        }
        outage
    }

    #[test]
    fn what_was_down_excuses_for_as_long_again() {
        let unvouched = SampleResult::Unvouched(Failure::Dns);
        for (what, samples, reached) in [
            ("still down", vec![(10, BAD), (20, BAD)], None),
            ("once", vec![(10, BAD), (20, BAD), (30, GOOD), (40, GOOD)], Some((10, 65))),
            ("not told", vec![(10, BAD), (30, ABSENT), (40, GOOD)], Some((10, 85))),
            ("nothing told", vec![(10, ABSENT), (30, ABSENT), (40, GOOD)], None),
            ("told later", vec![(10, ABSENT), (30, BAD), (40, GOOD)], Some((30, 65))),
            ("very long", vec![(10, BAD), (400, GOOD)], Some((10, 520))),
            ("again", vec![(10, BAD), (30, GOOD), (35, BAD), (37, GOOD)], Some((10, 69))),
            ("again for long", vec![(10, BAD), (30, GOOD), (35, BAD), (135, GOOD)], Some((10, 255))),
            ("another time", vec![(10, BAD), (30, GOOD), (151, BAD), (153, GOOD)], Some((151, 170))),
            ("what comes late is old", vec![(10, BAD), (30, GOOD), (29, BAD)], Some((10, 65))),
            ("good before, come late", vec![(10, BAD), (9, GOOD), (14, GOOD)], Some((10, 33))),
            ("not vouched for", vec![(10, unvouched), (12, GOOD)], Some((10, 29))),
        ] {
            let outage = of(&samples);
            let mut reaches = (0..1_000).filter(|seconds| outage.reaches(at(*seconds), None));
            let first = reaches.next();
            let reaches = first.map(|first| (first, reaches.next_back().unwrap_or(first)));
            assert_eq!(reaches, reached, "{what}");
        }
    }

    #[test]
    fn what_went_live_when_it_was_over_has_nothing_to_recover_from() {
        let outage = of(&[(10, BAD), (30, GOOD)]);
        assert!(outage.reaches(at(40), Some(at(30))));
        assert!(!outage.reaches(at(40), Some(at(31))));
    }

    #[test]
    fn what_fails_again_and_again_does_not_excuse_for_ever() {
        // One of three instances is broken: a sample a second, of which each third fails.
        let samples: Vec<_> = (0..600).map(|n| (n, if n % 3 == 0 { BAD } else { GOOD })).collect();
        let excused = (1..600_usize).filter(|n| of(&samples[..=*n]).reaches(at(*n as i64), Some(at(0))));
        assert_eq!(excused.max(), Some(47), "for the little, and for as long as it failed meanwhile");
    }

    #[test]
    fn what_the_app_did_well_without_is_needless_until_it_fails_another_time() {
        for result in [BAD, ABSENT] {
            let mut outage = of(&[(100, result)]);
            outage.is_survived(at(220));
            assert!(!outage.is_needless(), "it may take its time to break");
            outage.is_survived(at(221));
            assert!(outage.is_needless());
            let sample = |seconds, result| Sample { at: at(seconds), micros: 1, result };
            assert_eq!(outage.take(&sample(400, GOOD)), None);
            assert!(!outage.reaches(at(401), None), "nor has the app to recover");
            assert!(outage.clone().take(&sample(521, result)).is_some_and(|next| !next.is_needless()));
            assert_eq!(outage.take(&sample(520, result)), None);
            assert!(outage.is_needless(), "it is the same trouble");
        }
    }

    #[test]
    fn an_app_that_fails_now_and_then_needs_it() {
        let mut outage = of(&[(100, BAD)]);
        outage.is_felt(at(200));
        outage.is_survived(at(320));
        assert!(!outage.is_needless());
        outage.is_survived(at(321));
        assert!(outage.is_needless(), "once is no need");
    }

    #[test]
    fn what_nobody_could_tell_and_then_fails_is_not_known_to_be_needless() {
        let mut outage = of(&[(100, ABSENT)]);
        outage.is_survived(at(300));
        assert!(outage.is_needless());
        outage.take(&Sample { at: at(301), micros: 1, result: BAD });
        assert!(!outage.is_needless());
    }
}
