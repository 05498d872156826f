//! What somebody recorded of the live release while nobody looked. Where a server keeps what an app counts, a process that
//! has just begun need not learn anew what is usual.
//!
//! It is used as if the samples had been taken then, and by the same rules: of a release that was seen to be good, since it
//! went live and settled, and since the last incident or hold was over. What this process knows itself prevails.

use std::time::Duration;

use super::past::{Past, Wanted};
use super::{Measuring, is_model, set_aside};
use crate::clock::Moment;
use crate::decision::observation::{AppView, Reading};
use crate::decision::policy::Policy;
use crate::decision::rule::regression::PERIODS;
use crate::decision::sample::{Sample, Window};
use crate::decision::state::State;
use crate::ids::DeploymentId;

/// How far back it says something of the app of today, as with what is measured here.
const FURTHEST: Duration = Duration::from_secs(24 * 60 * 60);
/// What the clocks may be apart altogether: the platform's is read from a header without its fractions, as of a read that
/// may take a while, and who records is held to ours by five seconds.
const DOUBT: Duration = Duration::from_secs(8);
/// The platform's dates may differ by so much: two of them are read without their fractions, and reading takes a while.
const CUT_OFF_MS: i64 = 3_000;

/// Time of the live release of which too little is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The release.
    pub of: DeploymentId,
    /// From when on it is surely what was measured, ...
    pub from: Moment,
    /// ... and until when.
    pub to: Moment,
}

/// The time, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Ours.
    pub at: Moment,
    /// The platform's, in milliseconds since the Unix epoch. Without it nobody knows since when a release is live that was
    /// live when it was first seen.
    pub platform_ms: Option<i64>,
}

impl Measuring {
    /// What is worth asking for of the shares that the probe at `place` measures, in quiet times: nothing unless the live
    /// release is known to be good, was seen to be live, and nothing else is on its way.
    pub fn missing(
        &self,
        policy: &Policy,
        state: &State,
        app: &Reading<AppView>,
        now: Now,
        place: usize,
    ) -> Option<Missing> {
        if !Wanted::of(policy, place).shares || !is_model(state) || self.measured_at.is_some() {
            return None;
        }
        let (live, probe) = (state.live()?, policy.probes.get(place)?);
        let (read_at, view) = app.last.as_ref().filter(|_| app.fault.is_none())?;
        let active = view.active.as_ref().filter(|active| active.id == live.id)?;
        if view.in_progress.is_some() {
            return None;
        }
        let went_live = match (view.active_age_ms, now.platform_ms) {
            (Some(age), Some(now_ms)) if active.created_ms != 0 => {
                let went_live = *read_at - Duration::from_millis(age);
                let ago = now.at.as_millis() - went_live.as_millis();
                // It cannot have been live before it was made: another one was.
                if now_ms - ago < active.created_ms - CUT_OFF_MS {
                    return None;
                }
                went_live
            }
            // At a first sight that is now.
            _ => live.since,
        };
        let to = *read_at - DOUBT;
        let from = (went_live + probe.settle).max(state.ledger.quiet_since) + DOUBT;
        let from = from.max(to - FURTHEST);
        let known = self.pasts.get(&probe.name).map_or(0, |past| past.shares_of(from, to));
        let time = to.since(from);
        let is_worth_it = time >= probe.period * PERIODS && probe.period * known < time / 10 * 9;
        is_worth_it.then(|| Missing { of: live.id.clone(), from, to })
    }

    /// Takes over what was recorded of the time that was missing, oldest first, unless another release is live or something
    /// is the matter by now. Says how many shares nobody knew.
    pub fn fill(
        &mut self,
        policy: &Policy,
        state: &State,
        missing: &Missing,
        (place, samples): (usize, &[Sample]),
    ) -> usize {
        let is_its = is_model(state) && state.live().is_some_and(|live| live.id == missing.of);
        let Some(probe) = policy.probes.get(place) else { return 0 };
        if !is_its || self.measured_at.is_some() || !Wanted::of(policy, place).shares {
            return 0;
        }
        let mut recorded = Past::default();
        let mut windows: Vec<Window> = policy.probes.iter().map(|_| Window::new(Window::MAX)).collect();
        // What it took to settle is over by then.
        let live_since = missing.from - probe.settle;
        let mut next = missing.from;
        for sample in samples.iter().filter(|sample| sample.at <= missing.to) {
            // Scraped more often than it is asked for at rest. No timer is exact.
            if sample.at < next {
                continue;
            }
            next = sample.at + probe.period - probe.period / 10;
            windows[place].push(*sample);
            recorded.add(sample, probe.period, Wanted::SHARES);
            set_aside(&mut recorded, policy, &windows, live_since, (place, sample));
        }
        self.pasts.entry(probe.name.clone()).or_default().fill(recorded, probe.period)
    }
}
