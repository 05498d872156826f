//! Is the new release slower than the one before it?
//!
//! Latency comes in spells, so single answers prove little. Half a minute of them is one round ([`super::blocks`]): bad if
//! their median is beyond what is usual. What is usual is what most blocks of the release before stayed below
//! ([`LEVELS`]), read from the older half of them; how often the newer half exceeded it is the baseline. A block of the
//! new release has to exceed it by a part of it and by [`NOTICED`]. A release that is no slower than that does so no
//! more often, and from there on it is the same bet as for failures, once for each level.
//!
//! Answers that fail, time limits among them, are no latencies: they are failures.

use std::time::Duration;

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
/// Seconds. A release that has just begun has cold caches.
pub const WARM_UP: f64 = 30.0;
/// A spell of slow blocks that are more is no spell any more. Of two or three blocks it could not be told how long one lasts.
const LONGEST_SPELL: f64 = 8.0;
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

    /// What was usual since then, in milliseconds, of a probe that is sent every `interval` seconds, where slow spells last
    /// `glitch` seconds or longer. `None` while too little is known.
    pub fn usual(&self, since: i64, interval: f64, glitch: f64) -> Option<Usual> {
        let medians: Vec<(f64, f64)> = self.medians.of(since).map(in_seconds).collect();
        if medians.len() < FEWEST {
            return None;
        }
        let (older, newer) = medians.split_at(medians.len() / 2);
        let begin = newer.first()?.0;
        let spells = (glitch, glitch::LONGEST.max(LONGEST_SPELL * length(interval)));
        let level = |level: f64| {
            let limit = quantile(older.iter().map(|(_, median)| *median).collect(), level)?;
            let round =
                move |(at, median): (f64, f64)| Round { at, badness: f64::from(u8::from(median > limit)) };
            let rounds = newer.iter().copied().map(round);
            // What was set aside says how long spells are as well.
            let all = self.medians.all().map(in_seconds).filter(|(at, _)| *at >= begin).map(round);
            let (baseline, glitch) = glitch::learnt_within(all, rounds, length(interval), spells, WORSE_BY);
            Some(Level { limit, baseline, glitch })
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

impl Usual {
    /// Changes what most blocks stayed below, in seconds, how often later ones did not, and how many seconds spells of that
    /// last, on each level.
    pub fn change(&mut self, change: impl Fn(&mut f64, &mut Baseline, &mut f64)) {
        for Level { limit, baseline, glitch } in &mut self.levels {
            change(limit, baseline, glitch);
        }
    }

    /// How long an answer takes at least that makes a block a slow one, for a release that may be slower by that part.
    pub fn slow_from(&self, slower_by: f64) -> Duration {
        Duration::try_from_secs_f64(slow_from(self.levels[0].limit, slower_by)).unwrap_or(Duration::MAX)
    }

    /// How many of the blocks of `samples`, which are times and latencies in seconds, are slow for a release that may be
    /// slower by that part, and how many there are.
    pub fn slow_blocks(
        &self,
        slower_by: f64,
        samples: impl Iterator<Item = (f64, Option<f64>)>,
    ) -> (u64, u64) {
        let limit = slow_from(self.levels[0].limit, slower_by);
        let mut blocks = Blocks::new(length(self.interval), self.interval);
        let mut medians: Vec<f64> = Vec::new();
        for (at, latency) in samples {
            medians.extend(blocks.take(at, latency).and_then(|block| block.median));
        }
        medians.extend(blocks.end().and_then(|block| block.median));
        let slow = medians.iter().filter(|median| **median > limit).count();
        (slow as u64, medians.len() as u64)
    }
}

/// From where on a block is slow, where most stayed below `limit`, in seconds.
fn slow_from(limit: f64, slower_by: f64) -> f64 {
    (limit * (1.0 + slower_by)).max(limit + NOTICED)
}

/// The evidence that one release is slower.
#[derive(Clone, Debug, PartialEq)]
pub struct Slower {
    blocks: Blocks,
    length: f64,
    /// None where nothing is known of the release before: then nothing speaks against this one.
    sides: Vec<Side>,
    needed: f64,
    /// Blocks that were measured.
    measured: u64,
}

/// The evidence on one of the levels.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    usual: f64,
    limit: f64,
    evidence: Evidence,
    /// The medians of the slow blocks, together.
    slow: f64,
}

/// A block of the release that is over, and was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// When it began, in seconds from the beginning of the watch.
    pub began: f64,
    /// It was slow on one level at least.
    pub is_slow: bool,
}

impl Slower {
    /// No evidence yet against a release that may be slower by a part `slower_by` of what was usual, within a watch of so
    /// many seconds. One that is not is accused with that probability at most. Without anything usual its samples, one
    /// every `interval` seconds at the most, are only counted.
    pub fn new(usual: Option<&Usual>, interval: f64, slower_by: f64, watch: f64, probability: f64) -> Self {
        let share = probability / LEVELS.len() as f64;
        let sides = usual.iter().flat_map(|usual| &usual.levels).map(|level| {
            let Level { limit, baseline, glitch } = level;
            let question = Question { worse_by: WORSE_BY, glitch: *glitch, watch, probability: share };
            Side {
                usual: *limit,
                limit: slow_from(*limit, slower_by),
                evidence: Evidence::new(baseline, question),
                slow: 0.0,
            }
        });
        let interval = usual.map_or(interval, |usual| usual.interval);
        Self {
            blocks: Blocks::new(length(interval), interval),
            length: length(interval),
            sides: sides.collect(),
            needed: 1.0 / share,
            measured: 0,
        }
    }

    /// Takes the next sample, its time in seconds from the beginning of the watch; without a latency, in seconds, it
    /// failed. Gives the block that is over by it.
    pub fn take(&mut self, at: f64, latency: Option<f64>) -> Option<Judged> {
        if at < WARM_UP {
            return None;
        }
        let block = self.blocks.take(at, latency)?;
        let median = block.median?;
        self.measured += 1;
        let mut is_slow = false;
        for side in &mut self.sides {
            let badness = f64::from(u8::from(median > side.limit));
            side.evidence.take(Round { at: block.end, badness });
            side.slow += badness * median;
            is_slow |= badness > 0.0;
        }
        Some(Judged { began: block.end - self.length, is_slow })
    }

    /// How much evidence is enough.
    pub fn needed(&self) -> f64 {
        self.needed
    }

    /// How many blocks were measured.
    pub fn measured(&self) -> u64 {
        self.measured
    }

    /// The level that speaks against the release most, of those that do in so many blocks at least, if there are such.
    pub fn worst(&self, min_blocks: u64) -> Option<&Side> {
        let key = |side: &&Side| (side.evidence.bad_rounds() >= min_blocks, side.evidence.score());
        let is_worse = |a: (bool, f64), b: (bool, f64)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1));
        // Of those that say the same, the first one, which sees more.
        self.sides.iter().rev().max_by(|a, b| is_worse(key(a), key(b)))
    }

    /// Whether the release is slower, seen in so many blocks at least.
    pub fn is_slower(&self, min_blocks: u64) -> bool {
        self.worst(min_blocks).is_some_and(|side| {
            side.evidence.score() >= self.needed * (1.0 - 1e-9) && side.evidence.bad_rounds() >= min_blocks
        })
    }
}

impl Side {
    /// What most blocks of the release before stayed below, in seconds.
    pub fn usual(&self) -> f64 {
        self.usual
    }

    /// What makes a block a slow one, in seconds.
    pub fn limit(&self) -> f64 {
        self.limit
    }

    /// What the slow blocks took on average, in seconds.
    pub fn slow(&self) -> f64 {
        match self.evidence.bad_rounds() {
            0 => 0.0,
            bad => self.slow / bad as f64,
        }
    }

    /// The evidence, with its blocks and how many of them were slow.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }
}
