//! The evidence that a release is worse than the one before it.

use super::baseline::Baseline;
use super::memory::Memory;
use super::{ASSUMED, Round};

/// How badly a bad release may fail, and how much of the stake is on it.
const SEVERITIES: [(f64, f64); 5] = [(1.0, 0.4), (0.7, 0.15), (0.4, 0.15), (0.15, 0.1), (0.05, 0.1)];
/// The rest of the stake, which is not bet, so the evidence never falls below it.
const NOT_PLAYED: f64 = 0.1;
/// How finely the rates that the release before may have are told apart.
const CELLS: usize = 32;
/// The part of the stake that is on "bad from the start".
const AT_ONCE: f64 = 0.5;
/// Seconds. The rest is on "from t on", about as `1 / (t + 10 s)`.
const ONSET: f64 = 10.0;
/// The highest rate there is.
const ALL: f64 = 1.0 - 1e-9;
/// A stake as large as that is enough for any decision.
const MOST: f64 = 1e200;
/// A stake as small as that is lost. Smaller numbers would lead to ones that a processor takes thirty times as long with.
const LEAST: f64 = 1e-290;
/// How close a rate is reckoned, as a part of it, and how many steps that may take.
const CLOSE: f64 = 1e-14;
const STEPS: u32 = 128;

/// What the evidence is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    /// By how much the share of failures may be higher before anybody minds.
    pub worse_by: f64,
    /// How long a glitch lasts, in seconds.
    pub glitch: f64,
    /// How long the watch is, in seconds.
    pub watch: f64,
    /// How likely it may be to accuse a release that is not worse.
    pub probability: f64,
}

/// Ranges of rates that the release before may have, a column each: one row after the other is what a processor does
/// several columns of at once. What is not used has everything against it.
#[derive(Clone, Debug, PartialEq)]
struct Cells {
    /// How often a release may fail that is no worse than the highest rate of the cell.
    allowed: [f64; CELLS],
    /// What the baseline has against all lower ones.
    against: [f64; CELLS],
    stakes: [[f64; CELLS]; SEVERITIES.len()],
}

#[cfg(test)]
impl Cells {
    fn used(&self) -> usize {
        self.against.iter().take_while(|against| against.is_finite()).count()
    }
}

/// The evidence against one release.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    watch: f64,
    cells: Box<Cells>,
    /// Rates above those of all cells can be no less than this far from enough.
    ceiling: f64,
    memory: Memory,
    /// The part of the stake that is in play.
    played: f64,
    bad_line: f64,
    is_assumed: bool,
    score: f64,
    worst: usize,
    rounds: u64,
    bad_rounds: u64,
}

impl Evidence {
    /// No evidence yet.
    pub fn new(baseline: &Baseline, question: Question) -> Self {
        let Question { worse_by, glitch, watch, probability } = question;
        let is_healthy = baseline.is_healthy();
        let highest = if is_healthy { ASSUMED } else { ALL };
        let from = baseline.against(0.0);
        let to = (1.0 / (probability * NOT_PLAYED)).ln();
        let mut cells = Box::new(Cells {
            allowed: [1.0; CELLS],
            against: [f64::INFINITY; CELLS],
            stakes: [[0.0; CELLS]; SEVERITIES.len()],
        });
        let whole = baseline.against(highest);
        let (mut rate, mut level, mut is_whole, mut used) = (0.0, from, false, 0);
        while used < CELLS && !is_whole {
            cells.against[used] = level.exp();
            let before = level;
            level = from + (to - from) * (used + 1) as f64 / CELLS as f64;
            is_whole = whole <= level;
            rate = if is_whole {
                highest
            } else {
                where_reached(baseline, level, (rate, before), (highest, whole))
            };
            cells.allowed[used] = (rate + worse_by).min(1.0);
            used += 1;
        }
        Self {
            watch,
            cells,
            ceiling: if is_whole { f64::INFINITY } else { 1.0 / probability },
            memory: Memory::new(glitch),
            played: 0.0,
            bad_line: baseline.rate() + worse_by,
            is_assumed: is_whole && is_healthy,
            score: 1.0,
            worst: 0,
            rounds: 0,
            bad_rounds: 0,
        }
    }

    /// Takes the next round, its time counted from the beginning of the watch, and gives the evidence. A round that nobody
    /// could measure is left out.
    pub fn take(&mut self, round: Round) -> f64 {
        let Round { at, badness } = round;
        let played = self.played.max(in_play(at, self.watch));
        let more = played - self.played;
        self.played = played;
        let excuse = self.memory.excuse(at);
        let Cells { allowed, against, stakes } = &mut *self.cells;
        let odds = allowed.map(|allowed| {
            // Against one that may fail always there is nothing to win.
            let is_open = allowed < 1.0;
            if is_open { badness / (allowed + (1.0 - allowed) * excuse) - 1.0 } else { 0.0 }
        });
        let mut sums = [1.0 - played + NOT_PLAYED * played; CELLS];
        for (stakes, (severity, weight)) in stakes.iter_mut().zip(SEVERITIES) {
            // How much of the stake is bet. What is excused is nothing to bet on.
            let bet = if severity > excuse { (severity - excuse) / (1.0 - excuse) } else { 0.0 };
            for ((stake, odds), sum) in stakes.iter_mut().zip(&odds).zip(&mut sums) {
                let now = (*stake + more) * (1.0 + bet * odds);
                *stake = if now < LEAST { 0.0 } else { now.min(MOST) };
                *sum += weight * *stake;
            }
        }
        self.score = self.ceiling;
        for (n, (against, sum)) in against.iter().zip(sums).enumerate() {
            let score = against * sum;
            if score < self.score {
                (self.score, self.worst) = (score, n);
            }
        }
        self.memory.note(at, badness);
        self.rounds += 1;
        self.bad_rounds += u64::from(badness > self.bad_line);
        self.score
    }

    /// How much more likely what was seen is if the release is worse, in terms of a bet: 1 at first.
    pub fn score(&self) -> f64 {
        self.score
    }

    /// How often a release may fail that is no worse, by the rate of its predecessor that speaks best for it.
    pub fn allowed(&self) -> f64 {
        self.cells.allowed[self.worst]
    }

    #[cfg(test)]
    pub(super) fn all_allowed(&self) -> Vec<f64> {
        self.cells.allowed[..self.cells.used()].to_vec()
    }

    #[cfg(test)]
    pub(super) fn all_stakes(&self) -> impl Iterator<Item = f64> {
        self.cells.stakes.iter().flat_map(|stakes| stakes[..self.cells.used()].iter().copied())
    }

    /// Whether the release before was seen too little to know better than to assume that it was well.
    pub fn is_assumed(&self) -> bool {
        self.is_assumed
    }

    /// Rounds that were measured.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Those in which it failed more than the release before and what is tolerated.
    pub fn bad_rounds(&self) -> u64 {
        self.bad_rounds
    }

    /// What makes a round a bad one.
    pub fn bad_line(&self) -> f64 {
        self.bad_line
    }
}

/// How much of the stake is in play after so many seconds of a watch.
fn in_play(at: f64, watch: f64) -> f64 {
    let at = at.clamp(0.0, watch);
    AT_ONCE + (1.0 - AT_ONCE) * (at / ONSET).ln_1p() / (watch / ONSET).ln_1p()
}

/// The rate against which the baseline says as much as `level`. At `low` it says less, at `high` more: rates, and what is
/// said against them. False position that halves what an end says which stays where it is (Illinois): a fifth of the
/// steps that halving the range takes.
fn where_reached(baseline: &Baseline, level: f64, low: (f64, f64), high: (f64, f64)) -> f64 {
    let ((mut low, below), (mut high, above)) = (low, high);
    let (mut below, mut above) = (below - level, above - level);
    let mut was_low = None;
    for step in 0..STEPS {
        let least = CLOSE * high / 2.0;
        if high - low <= 2.0 * least {
            break;
        }
        // A curve that is bent too much for that is halved.
        let is_bent = step >= STEPS / 2;
        let guess =
            if is_bent { f64::midpoint(low, high) } else { low + (high - low) * below / (below - above) };
        let guess = guess.clamp(low + least, high - least);
        let there = baseline.against(guess) - level;
        let is_low = there <= 0.0;
        let kept = if was_low == Some(is_low) { 0.5 } else { 1.0 };
        if is_low {
            (low, below, above) = (guess, there, above * kept);
        } else {
            (high, above, below) = (guess, there, below * kept);
        }
        was_low = Some(is_low);
    }
    high
}

/// Seconds of a watch, by a clock of which a long silence counts only in part: a machine that slept has not watched.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stretch {
    last: f64,
    at: f64,
}

impl Stretch {
    /// No silence counts for more seconds than this.
    const LONGEST_GAP: f64 = 60.0;

    /// A watch that begins now.
    pub fn beginning(now: f64) -> Self {
        Self { last: now, at: 0.0 }
    }

    /// How long it has lasted.
    pub fn at(&mut self, now: f64) -> f64 {
        self.at += (now - self.last).clamp(0.0, Self::LONGEST_GAP);
        self.last = self.last.max(now);
        self.at
    }
}
