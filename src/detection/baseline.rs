//! What is known of the release before: how often it failed, and how sure that is.

use serde::{Deserialize, Serialize};

use super::memory::Memory;
use super::{ASSUMED, Round};

/// A round counts for itself where the past excuses no more than this.
const FRESH: f64 = 0.05;
/// Stakes on "the predecessor fails less often than that", and how much of the money is on each.
const BETS: [(f64, f64); 6] = [(0.0, 0.5), (0.2, 0.1), (0.4, 0.1), (0.6, 0.1), (0.8, 0.1), (1.0, 0.1)];

/// Rounds of the release before that count for themselves: those in the wake of a failure do not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// How bad, and how often so.
    groups: Vec<(f64, u64)>,
}

impl Baseline {
    /// The rounds of `rounds` that are not in the wake of a failure, with glitches of `glitch` seconds.
    pub fn of(rounds: impl IntoIterator<Item = Round>, glitch: f64) -> Self {
        let (mut baseline, mut memory) = (Self::default(), Memory::new(glitch));
        for round in rounds {
            if memory.excuse(round.at) <= FRESH {
                baseline.add(round.badness, 1);
            }
            memory.note(round.at, round.badness);
        }
        baseline
    }

    /// Adds `count` rounds that were as bad as that.
    pub fn add(&mut self, badness: f64, count: u64) {
        if count == 0 {
            return;
        }
        match self.groups.binary_search_by(|(known, _)| known.total_cmp(&badness)) {
            Ok(place) => self.groups[place].1 += count,
            Err(place) => self.groups.insert(place, (badness, count)),
        }
    }

    /// How many rounds it has.
    pub fn rounds(&self) -> u64 {
        self.groups.iter().map(|(_, count)| count).sum()
    }

    /// What they amount to in rounds that failed whole.
    pub fn failed(&self) -> f64 {
        self.groups.iter().map(|(badness, count)| badness * *count as f64).sum()
    }

    /// The share that failed.
    pub fn rate(&self) -> f64 {
        match self.rounds() {
            0 => 0.0,
            rounds => self.failed() / rounds as f64,
        }
    }

    /// Whether it is well enough for it to be assumed that it fails at most [`ASSUMED`] of the time. Also where there is
    /// nothing to know.
    pub fn is_healthy(&self) -> bool {
        self.failed() <= ASSUMED / 2.0 * self.rounds() as f64
    }

    /// The logarithm of the evidence against "it fails at least this often", which rises with `rate`. At 0 nothing can
    /// speak against that.
    pub fn against(&self, rate: f64) -> f64 {
        let terms = BETS.map(|(bet, money)| {
            let won = |&(badness, count): &(f64, u64)| {
                let growth = bet * ((1.0 - badness) / (1.0 - rate) - 1.0);
                // All of the money on a bet that is lost.
                if growth <= -1.0 { f64::NEG_INFINITY } else { count as f64 * growth.ln_1p() }
            };
            money.ln() + self.groups.iter().map(won).sum::<f64>()
        });
        let most = terms.into_iter().fold(f64::NEG_INFINITY, f64::max);
        most + terms.iter().map(|term| (term - most).exp()).sum::<f64>().ln()
    }
}
