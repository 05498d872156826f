//! When the next sample of a probe is due. Pure: the same calls with the same moments give the same answers.
//!
//! At rest a probe keeps to a grid of its own, whose phase follows from its name, so that a thousand probes do
//! not fire together, neither at start-up nor after the process was held up. Under watch the pace is counted from
//! the last sample instead: there are few such probes, and a sample that used up its timeout has already cost the
//! time that a grid would cost again. Either way one probe has one request under way, and slots that were missed
//! are skipped, never made up for.

use std::time::Duration;

use crate::clock::Moment;
use crate::config::ProbeConfig;
use crate::decision::sample::{Sample, SampleResult};
use crate::ids::{AppName, ProbeName};

/// How long a failing probe is asked at the burst pace, from the first failure of the streak: enough for a rule
/// over a minute to fire, short enough that a release that stays bad is not hammered by its own guard.
pub const BURST_FOR: Duration = Duration::from_secs(60);

/// Good samples in a row that end a streak, and with it the burst.
pub const CALM_AFTER: u8 = 10;

/// How closely an app is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// No release is under watch.
    Rest,
    /// A release is under watch.
    Watch,
    /// An incident is open, or a rollback soaks.
    Close,
}

/// The three paces of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Time between samples at rest.
    pub period: Duration,
    /// Time between samples under watch.
    pub watch_period: Duration,
    /// Time between samples while it fails under watch.
    pub burst: Duration,
}

impl From<&ProbeConfig> for Pace {
    fn from(probe: &ProbeConfig) -> Self {
        Self { period: probe.period, watch_period: probe.watch_period, burst: probe.burst }
    }
}

/// What to do about a probe now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Take a sample.
    Now,
    /// Ask again then.
    At(Moment),
}

/// When one probe is due. The caller has at most one sample of the probe under way: after [`Schedule::wake`] said
/// [`Wake::Now`] it takes one and hands the result to [`Schedule::finished`] before it asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    pace: Pace,
    attention: Attention,
    /// Place of the probe on its grid, from its name.
    phase: u64,
    due: Moment,
    last_sent: Option<Moment>,
    streak: Option<Streak>,
}

/// Failures under watch without [`CALM_AFTER`] good samples in a row between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Streak {
    since: Moment,
    goods: u8,
}

impl Schedule {
    /// The schedule of a probe that was never asked; its first sample is due within one step of the pace.
    pub fn new(app: &AppName, probe: &ProbeName, pace: Pace, attention: Attention, now: Moment) -> Self {
        let phase = phase(app.as_str(), probe.as_str());
        let mut schedule = Self { pace, attention, phase, due: now, last_sent: None, streak: None };
        schedule.due = schedule.slot_after(now);
        schedule
    }

    /// When the next sample is due.
    pub fn due(&self) -> Moment {
        self.due
    }

    /// Whether a sample is to be taken at `now`. A probe at rest that is late by more than a whole period waits
    /// for its next slot: after a stall every probe is late, and they would all fire at once.
    pub fn wake(&mut self, now: Moment) -> Wake {
        if self.attention == Attention::Rest && now.since(self.due) > self.step(now) {
            self.due = self.slot_after(now);
        }
        if now >= self.due { Wake::Now } else { Wake::At(self.due) }
    }

    /// Takes note of a sample whose verdict was there at `now`, and places the next one.
    pub fn finished(&mut self, sample: &Sample, now: Moment) {
        // A share is as old as its scrape, and was asked for just now.
        let sent = if sample.result.share().is_some() { sample.finished() } else { sample.at };
        self.last_sent = Some(sent);
        if self.attention != Attention::Rest {
            self.streak = follow(self.streak, sample);
        }
        self.due = match self.attention {
            Attention::Rest => self.slot_after(now),
            Attention::Watch | Attention::Close => (sent + self.step(now)).max(now),
        };
    }

    /// Changes the attention. When it rises from rest the next sample is due within the watch pace of the last
    /// one, at once if that has passed; a streak from before the watch does not count in it.
    pub fn attend(&mut self, attention: Attention, now: Moment) {
        let rises = self.attention == Attention::Rest && attention != Attention::Rest;
        self.attention = attention;
        if attention == Attention::Rest || rises {
            self.streak = None;
        }
        if rises {
            let soonest = self.last_sent.map_or(now, |sent| (sent + self.step(now)).max(now));
            self.due = self.due.min(soonest).max(now);
        }
    }

    /// Another release came under watch: its first failure starts a burst of its own.
    pub fn forget_streak(&mut self) {
        self.streak = None;
    }

    /// Changes the pace, after a reload of the configuration.
    pub fn repace(&mut self, pace: Pace, now: Moment) {
        self.pace = pace;
        self.due = self.due.min(now + self.step(now));
    }

    /// Time from one sample to the next.
    fn step(&self, now: Moment) -> Duration {
        let step = match self.attention {
            Attention::Rest => self.pace.period,
            Attention::Watch | Attention::Close => match self.streak {
                Some(streak) if now < streak.since + BURST_FOR => self.pace.burst.min(self.pace.watch_period),
                _ => self.pace.watch_period,
            },
        };
        // The clock's resolution; a pace of zero would never let anything else run.
        step.max(Duration::from_millis(1))
    }

    /// The first slot of the grid after `now`.
    fn slot_after(&self, now: Moment) -> Moment {
        let step = i64::try_from(self.step(now).as_millis()).unwrap_or(i64::MAX);
        let phase = i64::try_from(self.phase % step.unsigned_abs()).unwrap_or(0);
        let into_slot = (now.as_millis() - phase).rem_euclid(step);
        Moment::from_millis(now.as_millis().saturating_add(step - into_slot))
    }
}

/// The streak after one more sample. An Unknown one neither starts nor ends anything.
fn follow(streak: Option<Streak>, sample: &Sample) -> Option<Streak> {
    match (streak, sample.result) {
        (streak, SampleResult::Unknown(_)) => streak,
        (None, SampleResult::Good | SampleResult::Share(_)) => None,
        (None, SampleResult::Bad(_) | SampleResult::Unvouched(_)) => {
            Some(Streak { since: sample.at, goods: 0 })
        }
        (Some(streak), SampleResult::Bad(_) | SampleResult::Unvouched(_)) => {
            Some(Streak { goods: 0, ..streak })
        }
        (Some(streak), SampleResult::Good | SampleResult::Share(_)) if streak.goods + 1 < CALM_AFTER => {
            Some(Streak { goods: streak.goods + 1, ..streak })
        }
        (Some(_), SampleResult::Good | SampleResult::Share(_)) => None,
    }
}

/// FNV-1a, which never changes: a restart keeps every probe in its place, and so does a new toolchain.
fn phase(app: &str, probe: &str) -> u64 {
    let bytes = app.bytes().chain([0]).chain(probe.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits of FNV barely differ between names that differ in one place; fold the high ones in.
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::sample::{BlindCause, Failure};

    const PACE: Pace = Pace {
        period: Duration::from_secs(15),
        watch_period: Duration::from_secs(2),
        burst: Duration::from_millis(500),
    };
    const BAD: SampleResult = SampleResult::Bad(Failure::Timeout);
    const UNKNOWN: SampleResult = SampleResult::Unknown(BlindCause::Control);

    fn at(millis: i64) -> Moment {
        Moment::from_millis(millis)
    }

    fn schedule(attention: Attention) -> Schedule {
        Schedule::new(&"shop".into(), &"home".into(), PACE, attention, at(1_000_000))
    }

    /// Takes a sample whenever it is due, each lasting `lasts` ms, and gives the times they were sent.
    fn run(schedule: &mut Schedule, results: &[SampleResult], lasts: i64) -> Vec<i64> {
        let mut sent = Vec::new();
        for result in results {
            let at = schedule.due();
            assert_eq!(schedule.wake(at), Wake::Now);
            let micros = u32::try_from(lasts * 1000).expect("a short sample");
            let sample = Sample { at, micros, result: *result };
            schedule.finished(&sample, sample.finished());
            sent.push(at.as_millis());
        }
        sent
    }

    fn gaps(sent: &[i64]) -> Vec<i64> {
        sent.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    #[test]
    fn each_attention_has_its_pace() {
        type Case = (&'static str, Attention, &'static [SampleResult], i64, &'static [i64]);
        let table: [Case; 8] = [
            ("rest, good", Attention::Rest, &[SampleResult::Good; 3], 10, &[15_000, 15_000]),
            ("rest, failing: no burst", Attention::Rest, &[BAD; 3], 10, &[15_000, 15_000]),
            ("watch, good", Attention::Watch, &[SampleResult::Good; 3], 10, &[2_000, 2_000]),
            ("close, good", Attention::Close, &[SampleResult::Good; 3], 10, &[2_000, 2_000]),
            ("watch, failing: burst", Attention::Watch, &[BAD; 3], 10, &[500, 500]),
            ("watch, unknown: no burst", Attention::Watch, &[UNKNOWN; 3], 10, &[2_000, 2_000]),
            ("burst, unknown: it goes on", Attention::Watch, &[BAD, UNKNOWN, UNKNOWN], 10, &[500, 500]),
            ("burst, each lasts longer than the pace", Attention::Watch, &[BAD; 3], 1_900, &[1_900, 1_900]),
        ];
        for (what, attention, results, lasts, expected) in table {
            assert_eq!(gaps(&run(&mut schedule(attention), results, lasts)), expected, "{what}");
        }
    }

    #[test]
    fn a_burst_ends_a_minute_after_the_first_failure_and_is_not_started_again_by_the_same_streak() {
        let sent = run(&mut schedule(Attention::Watch), &[BAD; 140], 1);
        let gaps = gaps(&sent);
        assert!(gaps[..119].iter().all(|gap| *gap == 500), "{gaps:?}");
        assert!(gaps[120..].iter().all(|gap| *gap == 2_000), "{gaps:?}");
    }

    #[test]
    fn ten_good_samples_in_a_row_end_a_burst_and_nine_do_not() {
        let mut calm = vec![BAD];
        calm.extend([SampleResult::Good; 12]);
        assert_eq!(gaps(&run(&mut schedule(Attention::Watch), &calm, 1))[8..], [500, 500, 2_000, 2_000]);

        let mut restless = vec![BAD];
        restless.extend([SampleResult::Good; 9]);
        restless.push(BAD);
        restless.extend([SampleResult::Good; 9]);
        assert!(gaps(&run(&mut schedule(Attention::Watch), &restless, 1)).iter().all(|gap| *gap == 500));
    }

    #[test]
    fn a_new_failure_after_calm_starts_a_new_burst() {
        let mut results = vec![BAD];
        results.extend([SampleResult::Good; 60]);
        results.extend([BAD, BAD]);
        assert_eq!(gaps(&run(&mut schedule(Attention::Watch), &results, 1)).last(), Some(&500));
    }

    #[test]
    fn another_release_gets_a_burst_of_its_own() {
        let mut probe = schedule(Attention::Watch);
        run(&mut probe, &[BAD; 140], 1);
        probe.forget_streak();
        assert_eq!(gaps(&run(&mut probe, &[BAD; 3], 1)), [500, 500]);
    }

    #[test]
    fn a_slow_sample_at_rest_keeps_the_probe_on_its_grid() {
        let mut probe = schedule(Attention::Rest);
        let sent = run(&mut probe, &[SampleResult::Good, BAD], 20_000);
        assert_eq!(gaps(&sent), [30_000], "the slot under the slow sample is skipped");
    }

    #[test]
    fn after_a_stall_one_sample_is_taken_and_no_missed_one_is_made_up_for() {
        let mut rest = schedule(Attention::Rest);
        let due = rest.due();
        let late = due + Duration::from_secs(600) + Duration::from_secs(1);
        let Wake::At(next) = rest.wake(late) else { panic!("fires at once after a stall") };
        assert_eq!(next.since(due).as_millis() % 15_000, 0, "its own slot, so that the fleet stays spread");
        assert!(next.since(late) <= PACE.period);

        let mut watched = schedule(Attention::Watch);
        let late = watched.due() + Duration::from_secs(600);
        assert_eq!(watched.wake(late), Wake::Now);
        watched.finished(&Sample { at: late, micros: 1_000, result: SampleResult::Good }, late);
        assert_eq!(watched.due(), late + PACE.watch_period);
    }

    #[test]
    fn a_sample_a_little_late_is_still_taken() {
        let mut rest = schedule(Attention::Rest);
        assert_eq!(rest.wake(rest.due() + Duration::from_secs(14)), Wake::Now);
    }

    #[test]
    fn rising_attention_brings_the_next_sample_forward() {
        let mut probe = schedule(Attention::Rest);
        let sent = at(run(&mut probe, &[BAD], 10)[0]);
        let table = [(500, sent + PACE.watch_period), (7_000, sent + Duration::from_secs(7))];
        for (after, due) in table {
            let mut probe = probe;
            probe.attend(Attention::Watch, sent + Duration::from_millis(after));
            assert_eq!(probe.due(), due, "{after} ms after the last sample");
        }
        let mut never_asked = schedule(Attention::Rest);
        never_asked.attend(Attention::Watch, at(1_000_001));
        assert_eq!(never_asked.due(), at(1_000_001));
    }

    #[test]
    fn a_failure_at_rest_does_not_use_up_the_burst_of_a_later_watch() {
        let mut probe = schedule(Attention::Rest);
        run(&mut probe, &[BAD; 10], 10);
        probe.attend(Attention::Watch, probe.due());
        assert_eq!(gaps(&run(&mut probe, &[BAD; 3], 10)), [500, 500]);
    }

    #[test]
    fn falling_attention_returns_to_the_grid() {
        let mut probe = schedule(Attention::Watch);
        run(&mut probe, &[BAD, BAD], 10);
        probe.attend(Attention::Rest, probe.due());
        assert_eq!(gaps(&run(&mut probe, &[BAD; 4], 10))[1..], [15_000, 15_000]);
    }

    #[test]
    fn a_shorter_pace_is_in_force_within_one_step() {
        let mut probe = schedule(Attention::Rest);
        run(&mut probe, &[SampleResult::Good], 10);
        let now = probe.due() - Duration::from_secs(14);
        probe.repace(Pace { period: Duration::from_secs(1), ..PACE }, now);
        assert!(probe.due() <= now + Duration::from_secs(1));
    }

    #[test]
    fn a_pace_of_zero_still_moves_on() {
        let zero = Pace { period: Duration::ZERO, watch_period: Duration::ZERO, burst: Duration::ZERO };
        for attention in [Attention::Rest, Attention::Watch] {
            let mut probe = Schedule::new(&"a".into(), &"p".into(), zero, attention, at(0));
            assert!(gaps(&run(&mut probe, &[BAD; 5], 0)).iter().all(|gap| *gap > 0));
        }
    }

    #[test]
    fn a_thousand_probes_spread_over_the_period_and_stay_where_they_are() {
        let now = at(1_763_700_000_000);
        let mut seconds = [0_u32; 15];
        for app in 0..1000 {
            let app = AppName::from(format!("app-{app:03}"));
            let first = Schedule::new(&app, &"home".into(), PACE, Attention::Rest, now);
            let wait = first.due().since(now);
            assert!(wait > Duration::ZERO && wait <= PACE.period);
            seconds[usize::try_from((wait.as_millis() - 1) / 1_000).expect("a small number")] += 1;
            let restarted = Schedule::new(&app, &"home".into(), PACE, Attention::Rest, now + wait);
            assert_eq!(restarted.due(), first.due() + PACE.period);
        }
        assert!(seconds.iter().all(|count| (35..=100).contains(count)), "{seconds:?}");
    }
}
