//! Is the new release slower than the one before it?
//!
//! Latency comes in spells, so single answers prove little. Half a minute of them is one round ([`super::blocks`]): bad if
//! their median is beyond what is usual. What is usual is what most blocks of the release before stayed below
//! ([`LEVELS`]), read from the older half of them; how often the newer half exceeded it is the baseline. A block of the
//! new release has to exceed it by a part of it and by [`NOTICED`]. A release that is no slower than that does so no
//! more often, and from there on it is the same bet as for failures, once for each level.
//!
//! Answers that fail, time limits among them, are no latencies: they are failures.

use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use super::blocks::{Blocks, length, quantile};
use super::evidence::{Evidence, Question};
use super::values::Values;
use super::{Round, glitch};

/// How many blocks of the release before stay below: one that sees early that everything is slower, one that sees that
/// much is.
pub const LEVELS: [f64; 2] = [0.75, 0.95];
/// Seconds. Nobody notices less.
pub const NOTICED: f64 = 0.02;
/// By how much the share of slow blocks may be higher.
pub const WORSE_BY: f64 = 0.02;
/// Seconds. How long a slow spell lasts, where the release before did not show longer ones.
pub const GLITCH: f64 = 10.0;
/// Seconds. A release that has just begun has cold caches.
pub const WARM_UP: f64 = 30.0;
/// With fewer blocks of the release before nothing is known to be usual: ten minutes of them.
const FEWEST: usize = 20;

/// A day of a probe's latencies, as the medians of its blocks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// In microseconds, at the ends of the blocks.
    medians: Values,
    /// The block that is being filled. What the end of a process loses of it is half a minute.
    #[serde(skip)]
    open: Option<Blocks>,
}

impl Latencies {
    /// Adds a sample that was sent at `at` milliseconds, of a probe that is sent every `interval` milliseconds. Without a
    /// latency, in microseconds, it failed.
    pub fn add(&mut self, at: i64, micros: Option<u32>, interval: i64) {
        let every = interval as f64 / 1_000.0;
        // A probe that is sent at another pace from now on begins anew.
        let open = match self.open.take() {
            Some(open) if open.is_every(every) => open,
            _ => Blocks::new(length(every), every),
        };
        let open = self.open.insert(open);
        let Some(block) = open.take(at as f64 / 1_000.0, micros.map(f64::from)) else { return };
        let Some(median) = block.median else { return };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two that fit")]
        self.medians.add((block.end * 1_000.0) as i64, median as u32, (length(every) * 1_000.0) as i64);
    }

    /// Sets aside what was sent at `since` or later, as for [`super::history::History`].
    pub fn set_aside(&mut self, since: i64) {
        self.open = None;
        self.medians.set_aside(since);
    }

    /// Forgets the blocks that are not over at `from`: it was another release's.
    pub fn cut(&mut self, from: i64) {
        self.open = None;
        self.medians.cut(from.saturating_add(1));
    }

    /// Takes over what `other` has, which came later.
    pub fn append(&mut self, other: Self) {
        self.medians.append(other.medians);
        self.open = other.open;
    }

    /// Whether there is no block yet.
    pub fn is_empty(&self) -> bool {
        self.medians.is_empty()
    }

    /// What was usual since then, in milliseconds, of a probe that is sent every `interval` seconds. `None` while too
    /// little is known.
    pub fn usual(&self, since: i64, interval: f64) -> Option<Usual> {
        let medians: Vec<(f64, f64)> = self.medians.of(since).map(in_seconds).collect();
        if medians.len() < FEWEST {
            return None;
        }
        let (older, newer) = medians.split_at(medians.len() / 2);
        let begin = newer.first()?.0;
        let level = |level: f64| {
            let limit = quantile(older.iter().map(|(_, median)| *median).collect(), level)?;
            let round =
                move |(at, median): (f64, f64)| Round { at, badness: f64::from(u8::from(median > limit)) };
            let rounds = newer.iter().copied().map(round);
            let rate = Baseline::of(rounds.clone(), 0.0).rate();
            // What was set aside says how long spells are as well.
            let all = self.medians.all().map(in_seconds).filter(|(at, _)| *at >= begin).map(round);
            let glitch = glitch::length(all, length(interval), GLITCH, rate + WORSE_BY);
            Some(Level { limit, baseline: Baseline::of(rounds, glitch), glitch })
        };
        Some(Usual { levels: [level(LEVELS[0])?, level(LEVELS[1])?], interval })
    }
}

fn in_seconds((at, micros): (f64, u32)) -> (f64, f64) {
    (at, f64::from(micros) / 1e6)
}

/// What was usual of the release before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usual {
    levels: [Level; LEVELS.len()],
    /// Seconds between two of its samples.
    interval: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Level {
    /// Seconds: what most blocks stayed below.
    limit: f64,
    /// How often later ones did not.
    baseline: Baseline,
    /// How long spells of that last.
    glitch: f64,
}

/// The evidence that one release is slower.
#[derive(Clone, Debug, PartialEq)]
pub struct Slower {
    blocks: Blocks,
    sides: [Side; LEVELS.len()],
    needed: f64,
}

#[derive(Clone, Debug, PartialEq)]
struct Side {
    /// Seconds: blocks above are slow.
    limit: f64,
    evidence: Evidence,
}

impl Slower {
    /// No evidence yet against a release that may be slower by a part `slower_by` of what was usual, within a watch of so
    /// many seconds. One that is not is accused with that probability at most.
    pub fn new(usual: &Usual, slower_by: f64, watch: f64, probability: f64) -> Self {
        let share = probability / LEVELS.len() as f64;
        let sides = [0, 1].map(|n| {
            let Level { limit, baseline, glitch } = &usual.levels[n];
            let question = Question { worse_by: WORSE_BY, glitch: *glitch, watch, probability: share };
            Side {
                limit: (limit * (1.0 + slower_by)).max(limit + NOTICED),
                evidence: Evidence::new(baseline, question),
            }
        });
        let blocks = Blocks::new(length(usual.interval), usual.interval);
        Self { blocks, sides, needed: 1.0 / share }
    }

    /// Takes the next sample, its time in seconds from the beginning of the watch; without a latency, in seconds, it
    /// failed. Gives the evidence.
    pub fn take(&mut self, at: f64, latency: Option<f64>) -> f64 {
        if at >= WARM_UP
            && let Some(block) = self.blocks.take(at, latency)
            && let Some(median) = block.median
        {
            for side in &mut self.sides {
                let badness = f64::from(u8::from(median > side.limit));
                side.evidence.take(Round { at: block.end, badness });
            }
        }
        self.score()
    }

    /// The evidence: that of the level that speaks against it most.
    pub fn score(&self) -> f64 {
        self.first().evidence.score()
    }

    /// How much of it is enough.
    pub fn needed(&self) -> f64 {
        self.needed
    }

    /// Whether the release is slower, seen in so many blocks at least.
    pub fn is_slower(&self, min_blocks: u64) -> bool {
        self.sides.iter().any(|side| {
            side.evidence.score() >= self.needed * (1.0 - 1e-9) && side.evidence.bad_rounds() >= min_blocks
        })
    }

    /// What makes a block a slow one there, in seconds.
    pub fn limit(&self) -> f64 {
        self.first().limit
    }

    /// The evidence there, with its blocks and how many of them were slow.
    pub fn evidence(&self) -> &Evidence {
        &self.first().evidence
    }

    fn first(&self) -> &Side {
        let [early, late] = &self.sides;
        if early.evidence.score() >= late.evidence.score() { early } else { late }
    }
}
