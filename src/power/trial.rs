//! One watch, tried out: from the schedule of the probes to the rules, all of it real but the app and the time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Moment;
use crate::config::{Ask, ProbeConfig};
use crate::decision::policy::{Policy, Rule};
use crate::decision::rule::regression::{Before, Scale, probability};
use crate::decision::rule::{self, Pace, Verdict};
use crate::decision::sample::{Failure, Sample, SampleResult, Window};
use crate::detection::power::Chance;
use crate::ids::{AppName, RuleName};
use crate::probe::schedule::{Attention, Pace as Paces, Schedule};

/// When the release goes live; any moment would do.
const LIVE: Moment = Moment::from_millis(1_000_000_000);
/// A watch that would be longer than this at its fastest pace is tried so far: a week at ten samples a second takes an hour.
const MOST_SAMPLES: u32 = 20_000;

/// What fails.
pub(super) struct Failing<'a> {
    probes: &'a [bool],
    how: How,
}

#[derive(Clone, Copy)]
enum How {
    /// This share, by chance.
    Share(f64),
    /// Every so many-th, from some first one on.
    Turn(u32),
    /// Nothing, but no answer could be slower and still be one.
    Slow,
}

impl<'a> Failing<'a> {
    /// This share of the requests of these probes.
    pub(super) fn by_chance(probes: &'a [bool], share: f64) -> Self {
        Self { probes, how: How::Share(share) }
    }

    /// One of so many instances, which are asked in turn.
    pub(super) fn in_turn(probes: &'a [bool], of: u32) -> Self {
        Self { probes, how: How::Turn(of) }
    }

    /// No request of these probes, but all are slow.
    pub(super) fn slow(probes: &'a [bool]) -> Self {
        Self { probes, how: How::Slow }
    }

    pub(super) fn share(&self) -> f64 {
        match self.how {
            How::Share(share) => share,
            How::Turn(of) => 1.0 / f64::from(of),
            How::Slow => 0.0,
        }
    }
}

/// What all watches of an app have in common.
pub(super) struct Ground<'a> {
    pub(super) policy: &'a Policy,
    probes: &'a [ProbeConfig],
    /// One a rule that weighs, before its first sample: made once, since what is known of a day takes a while to reckon.
    scales: Vec<Option<Scale>>,
}

impl<'a> Ground<'a> {
    pub(super) fn new(
        policy: &'a Policy,
        probes: &'a [ProbeConfig],
        before: &BTreeMap<RuleName, Before>,
    ) -> Self {
        let scale = |rule: &Rule| {
            let (regression, probe) = rule.regression()?;
            let unknown = Before::default();
            let before = before.get(&rule.name).unwrap_or(&unknown);
            let probe = &policy.probes[probe];
            let chance = (probability(policy, regression, 0), 0);
            Some(Scale::new(regression, before, chance, probe, (LIVE + probe.settle, policy.watch)))
        };
        Self { policy, probes, scales: policy.rules.iter().map(scale).collect() }
    }

    /// How much of the watch is tried.
    pub(super) fn within(&self) -> Duration {
        let fastest = self.probes.iter().map(|probe| probe.burst.min(probe.watch_period)).min();
        fastest.map_or(self.policy.watch, |fastest| self.policy.watch.min(fastest * MOST_SAMPLES))
    }

    /// How long after going live one of these rules is Bad first, and which; none where none ever is.
    pub(super) fn watch(
        &self,
        failing: &Failing,
        rules: &[usize],
        trial: usize,
        chance: &mut Chance,
    ) -> Option<(Duration, usize)> {
        let is_read = |n: usize| {
            rules.iter().any(|rule| self.policy.rules[*rule].tests.iter().any(|test| test.probe == n))
        };
        // Another name is another place on the grid: when the first sample comes is chance, too.
        let app = AppName::from(trial.to_string());
        let mut probes: Vec<Probing> = (self.probes.iter().enumerate().filter(|(n, _)| is_read(*n)))
            .map(|(place, probe)| Probing {
                place,
                schedule: Schedule::new(&app, &probe.name, Paces::from(probe), Attention::Watch, LIVE),
                turn: trial,
            })
            .collect();
        let mut windows: Vec<Window> = self.probes.iter().map(|probe| Window::new(probe.window)).collect();
        let mut scales = self.scales.clone();
        let end = LIVE + self.within();
        loop {
            let probing = probes.iter_mut().min_by_key(|probing| probing.schedule.due())?;
            let at = probing.schedule.due();
            if at >= end {
                return None;
            }
            let place = probing.place;
            let is_hit = failing.probes[place];
            let has_failed = is_hit
                && match failing.how {
                    How::Share(share) => chance.next() < share,
                    How::Turn(of) => probing.turn % of as usize == 0,
                    How::Slow => false,
                };
            probing.turn += 1;
            let result = match &self.probes[place].ask {
                // Of so many requests that chance does not matter.
                Ask::Counters(counters) => counters.judged(if is_hit { failing.share() } else { 0.0 }),
                _ if has_failed => SampleResult::Bad(Failure::Status(503)),
                _ => SampleResult::Good,
            };
            let timeout = self.policy.probes[place].timeout.as_micros();
            let micros = if matches!(failing.how, How::Slow) { timeout } else { 0 };
            let sample = Sample { at, micros: u32::try_from(micros).unwrap_or(u32::MAX), result };
            probing.schedule.finished(&sample, at);
            windows[place].push(sample);
            for (rule, scale) in self.policy.rules.iter().zip(&mut scales) {
                let Some(scale) = scale.as_mut().filter(|_| is_weighed(rule, place)) else { continue };
                let weighed = scale.weigh(&windows[place], None);
                windows[place].gauge_mut(&rule.name).weighed = Some(weighed);
            }
            let now = at + Duration::from_millis(1);
            for n in rules {
                let rule = &self.policy.rules[*n];
                let is_on_it = rule.tests.iter().any(|test| test.probe == place);
                if is_on_it
                    && rule::read(rule, self.policy, &windows, (LIVE, now), Pace::Watch).verdict
                        == Verdict::Bad
                {
                    return Some((at.since(LIVE), *n));
                }
            }
        }
    }
}

struct Probing {
    place: usize,
    schedule: Schedule,
    /// Which sample comes next, of those that go round the instances.
    turn: usize,
}

fn is_weighed(rule: &Rule, place: usize) -> bool {
    rule.regression().is_some_and(|(_, probe)| probe == place)
}
