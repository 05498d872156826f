//! Apps that are put to sleep when nobody asks them anything: the request that wakes one is answered late or not at
//! all, and says nothing of the release.

use std::time::Duration;

use crate::clock::Moment;
use crate::decision::sample::{BlindCause, Sample, SampleResult};

/// How long an app may take to wake up. What it fails after that is its own.
pub const WAKES_WITHIN: Duration = Duration::from_secs(60);

/// What is known of an app's sleep.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waking {
    /// When it was asked last.
    asked: Option<Moment>,
    /// The request that woke it, if it was asleep, and when the first good answer since then was there.
    woken: Option<(Moment, Option<Moment>)>,
    /// The last good answer was one that woke it.
    was_cold: bool,
}

impl Waking {
    /// The sample as it may be used: one of an app that was asleep, or is waking up, is Unknown.
    ///
    /// `sleeps_after` is how long nobody may ask before the app is put to sleep, where that is done. Other visitors keep
    /// it awake as well; of those nothing is known. An app that is asked so rarely that each request may have to wake it
    /// is judged by its good answers all the same, and by failures that go on.
    pub fn judge(&mut self, sample: Sample, sleeps_after: Option<Duration>) -> Sample {
        let before = self.asked;
        // What may not have left this machine kept nothing awake.
        if !matches!(sample.result, SampleResult::Unknown(_)) {
            self.asked = before.max(Some(sample.at));
        }
        let Some(sleeps_after) = sleeps_after else {
            self.woken = None;
            return sample;
        };
        let is_idle = before.is_none_or(|before| sample.at.since(before) >= sleeps_after);
        let is_still_waking = matches!(self.woken, Some((_, None)));
        if is_idle && !is_still_waking {
            self.woken = Some((sample.at, None));
        }
        let Some((woken, mut awake)) = self.woken else { return sample };
        let is_good = sample.result == SampleResult::Good;
        if is_good && awake.is_none() {
            awake = Some(sample.finished());
            self.woken = Some((woken, awake));
        }
        // Requests of several probes are under way at once.
        let is_awake =
            awake.is_some_and(|awake| sample.at >= awake) || sample.at.since(woken) >= WAKES_WITHIN;
        let is_rare = is_good && std::mem::replace(&mut self.was_cold, !is_awake) && is_idle;
        match sample.result {
            SampleResult::Unknown(_) => sample,
            _ if is_awake || is_rare => sample,
            _ => Sample { result: SampleResult::Unknown(BlindCause::Asleep), ..sample },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::sample::Failure;

    const GOOD: SampleResult = SampleResult::Good;
    const BAD: SampleResult = SampleResult::Bad(Failure::Timeout);
    const AT_REST: SampleResult = SampleResult::Unvouched(Failure::Status(503));
    const COLD: SampleResult = SampleResult::Unknown(BlindCause::Asleep);
    const OURS: SampleResult = SampleResult::Unknown(BlindCause::Control);

    /// What becomes of samples that were sent at these seconds and took two each.
    fn judged(sleeps_after: Option<u64>, samples: &[(i64, SampleResult)]) -> Vec<SampleResult> {
        let mut waking = Waking::default();
        let sleeps_after = sleeps_after.map(Duration::from_secs);
        let sample = |&(at, result): &(i64, SampleResult)| Sample {
            at: Moment::from_millis(at * 1000),
            micros: 2_000_000,
            result,
        };
        samples.iter().map(|given| waking.judge(sample(given), sleeps_after).result).collect()
    }

    #[test]
    fn what_an_app_answers_that_was_asleep_is_no_evidence() {
        let day = [(0, GOOD), (10, GOOD), (20, BAD), (320, BAD), (330, AT_REST), (340, GOOD), (350, BAD)];
        assert_eq!(judged(Some(300), &day), [COLD, GOOD, BAD, COLD, COLD, COLD, BAD]);
        assert_eq!(judged(None, &day), day.map(|(_, result)| result));
        assert_eq!(
            judged(Some(301), &day)[3..],
            [BAD, AT_REST, GOOD, BAD],
            "it was not idle for long enough"
        );
    }

    #[test]
    fn an_app_that_does_not_wake_up_is_at_fault() {
        let never = [(0, BAD), (30, BAD), (59, BAD), (60, BAD), (70, BAD)];
        assert_eq!(judged(Some(300), &never), [COLD, COLD, COLD, BAD, BAD]);
    }

    #[test]
    fn an_app_that_each_request_may_have_to_wake_is_judged_all_the_same() {
        let rare = [(0, GOOD), (60, GOOD), (120, GOOD), (180, BAD), (240, BAD), (300, BAD), (360, GOOD)];
        assert_eq!(judged(Some(60), &rare), [COLD, GOOD, GOOD, COLD, BAD, BAD, GOOD]);
    }

    #[test]
    fn what_was_sent_before_the_first_good_answer_was_there_is_as_cold() {
        // Two probes: the second one is sent while the first one waits, and answers first.
        let both = [(0, GOOD), (10, GOOD), (400, GOOD), (399, GOOD), (401, BAD), (402, BAD)];
        assert_eq!(judged(Some(300), &both), [COLD, GOOD, COLD, COLD, COLD, BAD]);
    }

    #[test]
    fn a_request_that_may_not_have_left_keeps_nothing_awake() {
        let cut_off = [(0, GOOD), (10, GOOD), (20, OURS), (200, OURS), (311, BAD), (320, GOOD), (330, BAD)];
        assert_eq!(judged(Some(300), &cut_off), [COLD, GOOD, OURS, OURS, COLD, COLD, BAD]);
    }
}
