//! Latency: log-normal, around a tenth of a second.

use rearguard::detection::evidence::Question;
use rearguard::detection::latency::{Latencies, Slower};

use crate::draw::Chance;
use crate::table::{Table, spread};
use crate::{DAY, FEWER, HOUR, INTERVAL, WATCH, WATCHES};

/// By how much a release may be slower.
const SLOWER_BY: f64 = 0.5;
const SLOW_SPELL: f64 = 10.0;
/// How wide latencies are spread, as the deviation of their logarithm.
const SPREAD: f64 = 0.5;

/// Seconds that the 95th percentile may take, of the last two minutes and no fewer than so many samples.
const LIMIT: f64 = 0.8;
const TWO_MINUTES: usize = 24;
const LEAST: usize = 20;

enum Judge {
    Blocks,
    /// The 95th percentile of the last five minutes above one and a half of what it was.
    Percentile,
    /// The counting rule with its defaults, and the limit that the full configuration shows.
    Limit,
    /// Mann and Whitney's test of the last five minutes, every five minutes.
    Ranks,
}

impl Judge {
    fn fires(&self, before: &[f64], after: &[f64], probability: f64) -> Option<usize> {
        const FIVE_MINUTES: usize = 60;
        let place = match self {
            Self::Blocks => {
                let mut latencies = Latencies::default();
                let interval = (INTERVAL * 1_000.0) as i64;
                for (n, latency) in (0..).zip(before) {
                    latencies.add(n * interval, Some((latency * 1e6) as u32), interval);
                }
                let usual = latencies.usual(0, INTERVAL, SLOW_SPELL)?;
                let mut slower =
                    Slower::new(Some(&usual), INTERVAL, SLOWER_BY, INTERVAL * WATCH as f64, probability);
                after.iter().enumerate().position(|(n, latency)| {
                    slower.take(n as f64 * INTERVAL, Some(*latency));
                    slower.is_slower(3)
                })
            }
            Self::Percentile => {
                let limit = percentile(before) * (1.0 + SLOWER_BY);
                (FIVE_MINUTES..=after.len())
                    .find(|n| percentile(&after[n - FIVE_MINUTES..*n]) > limit)
                    .map(|n| n - 1)
            }
            Self::Limit => (LEAST..=after.len())
                .find(|n| percentile(&after[n.saturating_sub(TWO_MINUTES)..*n]) > LIMIT)
                .map(|n| n - 1),
            Self::Ranks => (1..=after.len() / FIVE_MINUTES)
                .map(|n| n * FIVE_MINUTES)
                .find(|n| is_higher(before, &after[n - FIVE_MINUTES..*n]))
                .map(|n| n - 1),
        };
        place.map(|place| place + 1)
    }
}

fn percentile(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[(values.len() * 95).div_ceil(100) - 1]
}

/// Whether Mann and Whitney's test finds the newer ones higher, at one in a thousand.
fn is_higher(before: &[f64], after: &[f64]) -> bool {
    let mut sorted = before.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below: usize = after.iter().map(|value| sorted.partition_point(|old| old < value)).sum();
    let (n, m) = (before.len() as f64, after.len() as f64);
    let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
    (below as f64 - n * m / 2.0) / deviation > 3.09
}

const JUDGES: [(&str, Judge, usize); 5] = [
    ("**`regression: {of: latency}`, as shipped, a day before**", Judge::Blocks, DAY),
    ("the same, an hour before", Judge::Blocks, HOUR),
    ("`latency: {quantile: 0.95, above: 800ms}`", Judge::Limit, HOUR),
    ("95th percentile of 5 min > 1.5 of what it was", Judge::Percentile, HOUR),
    ("Mann-Whitney of 5 min, every 5 min", Judge::Ranks, HOUR),
];

/// Prints the tables.
pub(crate) fn print(question: Question) {
    let alike = [0.0, 0.8, 0.95];
    let mut heads = alike.map(|alike| format!("{alike} of the one before")).to_vec();
    heads.push("3 × for 60 s, hourly".to_owned());
    let title = format!(
        "Latency: releases accused that are no slower, % of {FEWER} watches, of the first two of {WATCHES} (log-normal, \
         deviation {SPREAD}; each answer by itself, or with so much of the one before in it, or in slow spells)"
    );
    let mut table = Table::new(&title, &heads);
    for (name, judge, known) in &JUDGES {
        let by = |like_before: f64, spells: bool| {
            let mut chance = Chance(0x51_0E);
            let draw = |count: usize, chance: &mut Chance| {
                let mut latencies = chance.latencies(count, SPREAD, like_before);
                if spells {
                    let slow = chance.glitching(count, 60.0, 3_600.0);
                    latencies.iter_mut().zip(slow).filter(|(_, slow)| *slow).for_each(|(x, _)| *x *= 3.0);
                }
                latencies
            };
            let tried = if matches!(judge, Judge::Blocks) { WATCHES } else { FEWER };
            let fired = (0..tried).filter(|_| {
                let old = draw(*known, &mut chance);
                judge.fires(&old, &draw(WATCH, &mut chance), question.probability).is_some()
            });
            format!("{:.1}", fired.count() as f64 * 100.0 / tried as f64)
        };
        let mut row = alike.map(|alike| by(alike, false)).to_vec();
        row.push(by(0.0, true));
        table.row(name, row);
    }
    table.print();
    const FEW: usize = 200;
    let factors = [1.5, 2.0, 3.0, 10.0];
    let title = format!(
        "Latency: samples until a release is accused that is so many times as slow, median / 95th percentile ({FEW} watches)"
    );
    let mut table = Table::new(&title, &factors.map(|factor| format!("{factor} ×")));
    for (name, judge, known) in &JUDGES {
        let row = factors.map(|factor| {
            let mut chance = Chance(0x51_0F);
            let taken = (0..FEW).filter_map(|_| {
                let old = chance.latencies(*known, SPREAD, 0.0);
                let new: Vec<f64> =
                    chance.latencies(WATCH, SPREAD, 0.0).iter().map(|latency| latency * factor).collect();
                judge.fires(&old, &new, question.probability)
            });
            spread(taken.collect(), FEW)
        });
        table.row(name, row);
    }
    table.print();
}
