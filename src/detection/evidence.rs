//! The evidence that a release is worse than the one before it.

use super::baseline::Baseline;
use super::memory::Memory;
use super::{ASSUMED, Round};

/// How badly a bad release may fail, and how much of the stake is on it. The last stake is not played, so the evidence
/// never falls below it.
const SEVERITIES: [(f64, f64); 6] =
    [(1.0, 0.4), (0.7, 0.15), (0.4, 0.15), (0.15, 0.1), (0.05, 0.1), (0.0, NOT_PLAYED)];
const NOT_PLAYED: f64 = 0.1;
/// How finely the rates that the release before may have are told apart.
const CELLS: u32 = 32;
/// The part of the stake that is on "bad from the start".
const AT_ONCE: f64 = 0.5;
/// Seconds. The rest is on "from t on", about as `1 / (t + 10 s)`.
const ONSET: f64 = 10.0;
/// The highest rate there is.
const ALL: f64 = 1.0 - 1e-9;
/// A stake as large as that is enough for any decision.
const MOST: f64 = 1e200;

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

/// A range of rates that the release before may have.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cell {
    /// How often a release may fail that is no worse than the highest of them.
    allowed: f64,
    /// What the baseline has against all lower ones.
    against: f64,
    /// The stakes, one a severity.
    stakes: [f64; SEVERITIES.len()],
}

/// The evidence against one release.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    watch: f64,
    cells: Vec<Cell>,
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
        let (mut cells, mut level, mut is_whole) = (Vec::new(), from, false);
        for n in 1..=CELLS {
            let against = level.exp();
            level = from + (to - from) * f64::from(n) / f64::from(CELLS);
            is_whole = baseline.against(highest) <= level;
            let rate = if is_whole { highest } else { where_reached(baseline, level, highest) };
            let allowed = (rate + worse_by).min(1.0);
            cells.push(Cell { allowed, against, stakes: [0.0; SEVERITIES.len()] });
            if is_whole {
                break;
            }
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
        // How much of each stake is bet. What is excused is nothing to bet on.
        let bets = SEVERITIES.map(
            |(severity, _)| {
                if severity > excuse { (severity - excuse) / (1.0 - excuse) } else { 0.0 }
            },
        );
        self.score = self.ceiling;
        for (n, cell) in self.cells.iter_mut().enumerate() {
            // Against one that may fail always there is nothing to win.
            let is_open = cell.allowed < 1.0;
            let odds =
                if is_open { badness / (cell.allowed + (1.0 - cell.allowed) * excuse) - 1.0 } else { 0.0 };
            let mut sum = 1.0 - played;
            for ((stake, bet), (_, weight)) in cell.stakes.iter_mut().zip(bets).zip(SEVERITIES) {
                *stake = ((*stake + more) * (1.0 + bet * odds)).min(MOST);
                sum += weight * *stake;
            }
            let score = cell.against * sum;
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
        self.cells.get(self.worst).map_or(1.0, |cell| cell.allowed)
    }

    #[cfg(test)]
    pub(super) fn all_allowed(&self) -> Vec<f64> {
        self.cells.iter().map(|cell| cell.allowed).collect()
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

/// The rate against which the baseline says as much as `level`.
fn where_reached(baseline: &Baseline, level: f64, highest: f64) -> f64 {
    let (mut low, mut high) = (0.0, highest);
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return high;
        }
        if baseline.against(middle) <= level {
            low = middle;
        } else {
            high = middle;
        }
    }
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
