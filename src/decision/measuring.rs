//! What is kept between decisions where samples are too many to be kept: how an app was before a release, and what the
//! release's own samples amount to. For the rules that ask for that; without such a rule nothing is kept.
//!
//! The shell owns it, feeds it each sample once, and has the results put into the windows that [`super::decide`] is given.

mod past;
mod recorded;

use std::collections::BTreeMap;
use std::time::Duration;

pub use past::Past;
use past::Wanted;
pub use recorded::{Missing, Now};

use super::observation::{AppView, Deployment, Observation, Reading};
use super::policy::{Action, Condition, Policy, Rule, Test};
use super::quiet;
use super::rule::regression::{Before, Scale, probability};
use super::rule::{self, Pace, Verdict};
use super::sample::{Sample, SampleResult, Window};
use super::state::{Live, Situation, State};
use crate::clock::Moment;
use crate::ids::{DeploymentId, ProbeName, RuleName};

/// What is kept of an app.
#[derive(Clone, Debug, Default)]
pub struct Measuring {
    pasts: BTreeMap<ProbeName, Past>,
    /// One a rule, while a release is weighed.
    scales: Vec<Option<Scale>>,
    /// This process has seen the release under watch go live, and nothing of it was weighed before.
    is_fresh: bool,
    /// What was known when this deployment was seen to be live: measured once.
    measured_at: Option<DeploymentId>,
}

impl Measuring {
    /// Whether anything is to be kept.
    pub fn is_wanted(policy: &Policy) -> bool {
        policy.rules.iter().any(|rule| rule.regression().is_some())
    }

    /// With what the journal has of an app.
    pub fn recalled(pasts: BTreeMap<ProbeName, Past>) -> Self {
        Self { pasts, ..Self::default() }
    }

    /// What the journal is to have of the app.
    pub fn pasts(&self) -> &BTreeMap<ProbeName, Past> {
        &self.pasts
    }

    /// What is known of the live release, as if another one followed it now.
    pub fn known(&self, policy: &Policy) -> BTreeMap<RuleName, Before> {
        let of_it = |rule: &Rule| {
            let (regression, place) = rule.regression()?;
            let probe = policy.probes.get(place)?;
            let before = self.pasts.get(&probe.name)?.before(regression, probe.period);
            Some((rule.name.clone(), before))
        };
        policy.rules.iter().filter_map(of_it).collect()
    }

    /// Takes note of a sample of the probe at `place`, which is in its window already.
    pub fn take(
        &mut self,
        policy: &Policy,
        state: &State,
        windows: &[Window],
        place: usize,
        sample: &Sample,
    ) {
        let wanted = Wanted::of(policy, place);
        if wanted == Wanted::default() || matches!(sample.result, SampleResult::Unknown(_)) {
            return;
        }
        let probe = &policy.probes[place];
        let past = self.pasts.entry(probe.name.clone()).or_default();
        if !is_model(state) {
            // What is held, or has its incident, is no way for an app to be.
            if matches!(state.situation, Situation::Learning { .. } | Situation::Watching(_)) {
                past.add_new(sample, probe.period, wanted);
            }
            return;
        }
        past.add(sample, probe.period, wanted);
        if let Some(live) = state.live() {
            set_aside(past, policy, windows, live.since, (place, sample));
        }
    }

    /// Brings what the windows say up to date, for a decision.
    pub fn weigh(&mut self, policy: &Policy, state: &State, seen: Shown<'_>, windows: &mut [Window]) {
        if !Self::is_wanted(policy) {
            return;
        }
        self.scales.resize(policy.rules.len(), None);
        self.measure(policy, state, seen, windows);
        let was_fresh = self.is_fresh;
        let weighed = weighed(state);
        let seen_live = weighed.as_ref().and_then(|(live, _, _)| {
            let (at, view) = seen.app.last.as_ref()?;
            let is_it = view.active.as_ref().is_some_and(|active| active.id == live.id);
            is_it.then_some(*at)
        });
        for (rule, scale) in policy.rules.iter().zip(&mut self.scales) {
            let Some((regression, probe)) = rule.regression() else { continue };
            let Some(window) = windows.get_mut(probe) else { continue };
            let Some((live, before, begun)) = &weighed else {
                *scale = None;
                window.gauge_mut(&rule.name).weighed = None;
                continue;
            };
            let from = live.since + policy.probes[probe].settle;
            if !scale.as_ref().is_some_and(|scale| scale.is_for(from)) {
                let begun = if was_fresh { *begun } else { *begun + 1 };
                let unknown = Before::default();
                let before = before.get(&rule.name).unwrap_or(&unknown);
                let probability = probability(policy, regression, begun);
                let (probe, times) = (&policy.probes[probe], (from, policy.watch));
                *scale = Some(Scale::new(regression, before, (probability, begun), probe, times));
                self.is_fresh = false;
            }
            if let Some(scale) = scale {
                let weighed = scale.weigh(window, seen_live);
                window.gauge_mut(&rule.name).weighed = Some(weighed);
            }
        }
    }

    /// Rules or probes are other ones from now on: what was weighed by the old ones is not gone on with.
    pub fn begin_anew(&mut self) {
        (self.scales, self.is_fresh, self.measured_at) = (Vec::new(), false, None);
    }

    /// The probe asks something else from now on: what was known of it says nothing any more.
    pub fn forget(&mut self, probe: &ProbeName) {
        self.pasts.remove(probe);
    }

    /// Takes note of what was decided.
    pub fn moved(&mut self, before: &State, after: &State) {
        let id = |state: &State| state.live().map(|live| live.id.clone());
        let is_new = id(before) != id(after);
        if is_new {
            self.is_fresh = matches!(after.situation, Situation::Watching(_));
            for past in self.pasts.values_mut() {
                past.forget_new();
            }
        }
        if is_model(after) && !is_model(before) {
            let since = after.live().map_or(Moment::default(), |live| live.since);
            let is_release = matches!(before.situation, Situation::Watching(_) | Situation::Learning { .. });
            for past in self.pasts.values_mut() {
                if is_release {
                    past.accept_new(since);
                }
                past.forget_new();
            }
        }
    }

    /// What is known of the live release, once another one is seen to have taken over.
    fn measure(&mut self, policy: &Policy, state: &State, seen: Shown<'_>, windows: &mut [Window]) {
        let old = state.live();
        let next = seen.app.value().and_then(|view| view.active.as_ref());
        // An old answer says nothing of what comes next.
        let is_next =
            |next: &&Deployment| old.is_some_and(|old| old.id != next.id && !quiet::is_stale(next, old));
        let Some(next) = next.filter(is_next) else {
            if self.measured_at.take().is_some() {
                for rule in &policy.rules {
                    let window = rule.regression().and_then(|(_, probe)| windows.get_mut(probe));
                    if let Some(window) = window.filter(|window| window.gauge(&rule.name).is_some()) {
                        window.gauge_mut(&rule.name).before = None;
                    }
                }
            }
            return;
        };
        if self.measured_at.as_ref() == Some(&next.id) {
            return;
        }
        self.measured_at = Some(next.id.clone());
        let gone = quiet::replaced_at(seen.app, seen.other_was_live_at);
        for past in self.pasts.values_mut() {
            past.cut(gone);
        }
        for rule in &policy.rules {
            let Some((regression, place)) = rule.regression() else { continue };
            let (probe, Some(window)) = (&policy.probes[place], windows.get_mut(place)) else { continue };
            let before = self.pasts.get(&probe.name).map(|past| past.before(regression, probe.period));
            window.gauge_mut(&rule.name).before = before;
        }
    }
}

/// Sets aside what belongs to trouble that the newest sample of the probe at `place` shows: a rule is Bad of a release
/// that is live since then.
fn set_aside(
    past: &mut Past,
    policy: &Policy,
    windows: &[Window],
    live_since: Moment,
    (place, sample): (usize, &Sample),
) {
    let is_bad = sample.result.has_failed();
    let span = (live_since, sample.at + Duration::from_millis(1));
    // What only tells may be Bad for ever.
    let judging = policy.rules.iter().filter(|rule| rule.action != Action::Notify);
    // What answers can only be too slow.
    let may_be_bad = |test: &Test| is_bad || matches!(test.condition, Condition::Latency { .. });
    let on_it = judging.filter(|rule| rule.tests.iter().any(|test| test.probe == place && may_be_bad(test)));
    // The whole rule: that one of its tests is Bad may be how the app always is.
    let since = on_it
        .map(|rule| (rule, rule::read(rule, policy, windows, span, Pace::Rest)))
        .filter(|(_, reading)| reading.verdict == Verdict::Bad)
        .filter_map(|(rule, reading)| bad_since(rule, &reading, place));
    match since.min() {
        Some(since) if is_bad => past.set_aside(since),
        Some(since) => past.set_slow_aside(since),
        None => {}
    }
}

/// What the platform shows.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The app.
    pub app: &'a Reading<AppView>,
    /// When the last read was sent that showed another live deployment.
    pub other_was_live_at: Option<Moment>,
}

impl<'a> From<&Observation<'a>> for Shown<'a> {
    fn from(seen: &Observation<'a>) -> Self {
        Self { app: seen.app, other_was_live_at: seen.other_was_live_at }
    }
}

/// Whether the live release is one that was seen to be good, and nothing is the matter: what others are held against.
fn is_model(state: &State) -> bool {
    let Situation::Steady { live } = &state.situation else { return false };
    state.ledger.good.iter().any(|good| good.id == live.id)
}

/// The release whose samples are weighed, what is known of the one before, and how often that was begun.
fn weighed(state: &State) -> Option<(&Live, &BTreeMap<RuleName, Before>, u32)> {
    let (before, begun) = match &state.situation {
        Situation::Watching(watch) => (&watch.before, watch.begun),
        Situation::Incident(incident) => (&incident.before, incident.begun),
        _ => return None,
    };
    Some((state.live()?, before, begun))
}

/// Since when a rule that is Bad has been so by what the probe at `place` says.
fn bad_since(rule: &Rule, reading: &rule::Reading, place: usize) -> Option<Moment> {
    if reading.parts.is_empty() {
        return reading.first_failure_at;
    }
    let of_it = rule.tests.iter().zip(&reading.parts).filter(|(test, _)| test.probe == place);
    let bad = of_it.filter(|(_, part)| part.verdict == Verdict::Bad);
    bad.filter_map(|(_, part)| part.first_failure_at).min()
}
