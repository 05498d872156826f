//! What the shipped defaults promise, measured: how often a release is accused that is no worse, and how soon one that is.
//!
//! The figures are for the defaults as they are: who changes one has to measure again (`benches/detection.md`) and to
//! say so here. Seeds are fixed; the margins are what another seed may need.

mod failures;
mod glitches;
mod latency;
mod shares;

use std::time::Duration;

use crate::config::defaults;
use crate::detection::Round;
use crate::detection::baseline::Baseline;
use crate::detection::evidence::{Evidence, Question};

/// Seconds between two samples.
const INTERVAL: f64 = 5.0;
/// Samples in a watch.
const WATCH: u32 = 360;
/// Samples in an hour, and in a day.
const HOUR: u32 = 720;
const DAY: u32 = 17_280;

/// What the product asks where the configuration says nothing.
fn shipped() -> Question {
    assert_eq!(defaults::PERIOD, Duration::from_secs_f64(INTERVAL));
    assert_eq!(defaults::WATCH, Duration::from_secs_f64(INTERVAL * f64::from(WATCH)));
    Question {
        worse_by: defaults::WORSE_BY,
        glitch: defaults::GLITCH.as_secs_f64(),
        watch: defaults::WATCH.as_secs_f64(),
        probability: defaults::FALSE_ROLLBACK_PROBABILITY,
    }
}

/// After how many rounds, as bad as `badness` says, a release is accused, if ever.
fn accused_after(
    baseline: &Baseline,
    question: Question,
    interval: f64,
    badness: impl IntoIterator<Item = f64>,
) -> Option<u32> {
    let mut evidence = Evidence::new(baseline, question);
    (1..).zip(badness).find_map(|(n, badness)| {
        let score = evidence.take(Round { at: f64::from(n) * interval, badness });
        let is_enough = score >= (1.0 - 1e-9) / question.probability;
        (is_enough && evidence.bad_rounds() >= u64::from(defaults::MIN_FAILURES)).then_some(n)
    })
}

/// No more of `tried` than that share, and four standard deviations of chance.
#[track_caller]
fn at_most(accused: usize, tried: usize, share: f64, what: &str) {
    let stated = tried as f64 * share;
    println!("{what}: {accused} of {tried} accused");
    assert!(
        accused as f64 <= stated + 4.0 * stated.sqrt(),
        "{what}: {accused} of {tried}, {share} of them were said"
    );
}

/// Half of them are found after so many samples and a tenth, and 95 % after so many and a fifth; `None` says nothing of it.
#[track_caller]
fn found_within(taken: Vec<Option<u32>>, median: u32, late: Option<u32>, what: &str) {
    let mut taken: Vec<u32> = taken.into_iter().map(|taken| taken.unwrap_or(u32::MAX)).collect();
    taken.sort_unstable();
    let (half, most) = (taken[taken.len() / 2], taken[taken.len() * 95 / 100]);
    println!("{what}: {half} / {most} samples, {median} / {late:?} were said");
    assert!(half <= median + median / 10, "{what}: half of them after {half} samples, not {median}");
    assert!(
        late.is_none_or(|late| most <= late + late / 5),
        "{what}: 95 % after {most} samples, not {late:?}"
    );
}
