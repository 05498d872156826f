//! Requests and errors that an app counts itself: what share of them failed between two scrapes.
//!
//! The share of a scrape is one round, however many requests it had. Errors wander and come in spells, so a thousand
//! requests of one moment prove little more than one does, and a bet on each would accuse the innocent.

use serde::{Deserialize, Serialize};

use super::Round;
use super::values::Values;

/// Shares are kept as steps of 4 % of themselves, up to the next one: a release before that is made out a little worse
/// than it was accuses nobody more easily.
const STEPS: f64 = 16.0;
/// The smallest share that is kept is 2 to the minus this.
const HALVINGS: f64 = 20.0;

/// What has been counted since the app began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests.
    pub requests: f64,
    /// Those of them that failed.
    pub errors: f64,
}

/// Makes shares of totals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    last: Option<Totals>,
}

impl Counters {
    /// Takes the next scrape, and gives the share of requests since the one before that failed. `None` if that cannot be
    /// said, or there were fewer requests than `min_requests`. A counter that fell began anew from 0; after a scrape that
    /// is missing everything does.
    pub fn take(&mut self, totals: Option<Totals>, min_requests: f64) -> Option<f64> {
        let totals = totals.filter(Totals::is_sound);
        let before = std::mem::replace(&mut self.last, totals)?;
        let now = totals?;
        let requests = increase(before.requests, now.requests);
        let errors = increase(before.errors, now.errors);
        (requests > 0.0 && requests >= min_requests).then(|| (errors / requests).min(1.0))
    }
}

impl Totals {
    fn is_sound(&self) -> bool {
        [self.requests, self.errors].iter().all(|total| total.is_finite() && *total >= 0.0)
    }
}

/// How far a counter rose.
pub fn increase(from: f64, to: f64) -> f64 {
    if to >= from { to - from } else { to }
}

/// A day of shares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    steps: Values,
}

impl Shares {
    /// Adds what a scrape at `at` milliseconds has shown. One comes every `interval` milliseconds.
    pub fn add(&mut self, at: i64, badness: f64, interval: i64) {
        self.steps.add(at, Step::of(badness).0.into(), interval);
    }

    /// As for [`super::history::History`].
    pub fn set_aside(&mut self, since: i64) {
        self.steps.set_aside(since);
    }

    /// As for [`super::history::History`].
    pub fn cut(&mut self, from: i64) {
        self.steps.cut(from);
    }

    /// Takes over what `other` has, which came later.
    pub fn append(&mut self, other: Self) {
        self.steps.append(other.steps);
    }

    /// Takes over what `other` has of times that nothing is known of; says how many shares that is.
    pub fn fill(&mut self, other: Self, apart: i64) -> usize {
        self.steps.fill(other.steps, apart)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// All of them, oldest first.
    pub fn rounds(&self) -> impl Iterator<Item = Round> + Clone {
        self.steps.all().map(round)
    }

    /// Those since then, in milliseconds, that were not set aside.
    pub fn rounds_of(&self, since: i64) -> impl Iterator<Item = Round> + Clone {
        self.steps.of(since).map(round)
    }
}

fn round((at, step): (f64, u32)) -> Round {
    Round { at, badness: Step(u16::try_from(step).unwrap_or(u16::MAX)).share() }
}

/// A share in two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Step(u16);

impl Step {
    /// The first step that is no less than that: 0 for nothing at all, the last for everything.
    pub fn of(share: f64) -> Self {
        if share <= 0.0 {
            return Self(0);
        }
        // What lies on a step must not be lifted to the next one by its last digit.
        let step = ((share.log2() + HALVINGS) * STEPS - 1e-6).ceil() + 1.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the steps")]
        let step = step.clamp(1.0, HALVINGS * STEPS + 1.0) as u16;
        Self(step)
    }

    /// The share.
    pub fn share(self) -> f64 {
        match self.0 {
            0 => 0.0,
            step => ((f64::from(step) - 1.0) / STEPS - HALVINGS).exp2().min(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(requests: f64, errors: f64) -> Option<Totals> {
        Some(Totals { requests, errors })
    }

    #[test]
    fn a_share_is_what_came_since_the_scrape_before() {
        let mut counters = Counters::default();
        assert_eq!(counters.take(totals(100.0, 5.0), 1.0), None, "who knows since when");
        assert_eq!(counters.take(totals(150.0, 10.0), 1.0), Some(0.1));
        assert_eq!(counters.take(totals(150.0, 10.0), 0.0), None, "no request, no share");
        assert_eq!(counters.take(totals(20.0, 5.0), 1.0), Some(0.25), "both began anew");
        assert_eq!(counters.take(totals(30.0, 15.0), 11.0), None, "too few");
        assert_eq!(counters.take(totals(31.0, 90.0), 1.0), Some(1.0), "no more than all");
        for broken in [None, totals(f64::NAN, 1.0), totals(40.0, f64::INFINITY), totals(-1.0, 0.0)] {
            assert_eq!(counters.take(broken, 1.0), None);
            assert_eq!(counters.take(totals(50.0, 90.0), 1.0), None, "since when, after {broken:?}");
            assert_eq!(counters.take(totals(60.0, 90.0), 1.0), Some(0.0));
        }
    }

    #[test]
    fn a_share_is_kept_as_it_was_or_up_to_four_percent_worse() {
        for exact in [0.0, 1.0, 0.5, 0.25] {
            assert_eq!(Step::of(exact).share(), exact);
        }
        for n in 1..2_000 {
            let badness = f64::from(n) / 2_000.0;
            let kept = Step::of(badness).share();
            assert!(kept >= badness * (1.0 - 1e-6) && kept <= badness * 1.045, "{badness}: {kept}");
            assert_eq!(Step::of(kept), Step::of(badness));
        }
        assert!(Step::of(1e-9).share() > 0.0, "little is not nothing");
    }

    #[test]
    fn shares_are_kept_as_samples_are() {
        let mut shares = Shares::default();
        for n in 0..10 {
            shares.add(n * 15_000, if n == 3 { 0.5 } else { 0.0 }, 15_000);
        }
        shares.set_aside(120_000);
        shares.cut(135_000);
        let mut later = Shares::default();
        later.add(200_000, 0.25, 15_000);
        shares.append(later);
        let all: Vec<Round> = shares.rounds().collect();
        assert_eq!((all.len(), all[3].badness, all[9]), (10, 0.5, Round { at: 200.0, badness: 0.25 }));
        let counted = |since| shares.rounds_of(since).map(|round| round.at).collect::<Vec<_>>();
        assert_eq!((counted(0).len(), counted(105_000)), (9, vec![105.0, 200.0]));
        assert!(!shares.is_empty() && Shares::default().is_empty());
    }
}
