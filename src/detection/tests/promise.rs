//! What the shipped defaults promise, measured: how often a release is accused that is no worse, and how soon one that is.
//!
//! The figures are for the defaults as they are: who changes one has to measure again (`benches/detection.md`) and to
//! say so here. Seeds are fixed, so each row has exactly what comes out of it, beside what was said of it. One row of some
//! hundred watches could not show one in a thousand; all of them together do.

mod failures;
mod glitches;
mod latency;
mod shares;

use std::time::Duration;

use crate::config::{self, ProbeConfig, defaults};
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

/// A probe that says nothing but where it asks.
fn probe() -> ProbeConfig {
    let file = "platforms: [{ name: ocean, kind: digitalocean, token_env: T }]\napps: [{ name: shop, platform: ocean, \
                id: x, probes: [{ name: home, url: http://a.example/ }], \
                rules: [{ name: worse, probe: home, regression: {} }] }]\n";
    config::parse("f.yaml", file).expect("it is right").apps.remove(0).probes.remove(0)
}

/// The samples of a release, one every `interval` seconds.
fn every(interval: f64, badness: impl IntoIterator<Item = f64>) -> impl Iterator<Item = Round> {
    (1..).zip(badness).map(move |(n, badness)| Round { at: f64::from(n) * interval, badness })
}

/// After how many rounds a release is accused, if ever.
fn accused_after(
    baseline: &Baseline,
    question: Question,
    rounds: impl IntoIterator<Item = Round>,
) -> Option<u32> {
    let mut evidence = Evidence::new(baseline, question);
    (1..).zip(rounds).find_map(|(n, round)| {
        let score = evidence.take(round);
        let is_enough = score >= (1.0 - 1e-9) / question.probability;
        (is_enough && evidence.bad_rounds() >= u64::from(defaults::MIN_FAILURES)).then_some(n)
    })
}

/// How many of some releases that are no worse were accused, and how many of them it may be.
#[derive(Clone, Debug)]
struct Row {
    what: String,
    accused: usize,
    tried: usize,
    /// The share that was said.
    said: f64,
}

/// What came of it, with these seeds: another figure is another default, or another arithmetic.
#[track_caller]
fn came_out(rows: &[Row], accused: &[usize]) {
    for row in rows {
        println!("{}: {} of {} accused, {} of them were said", row.what, row.accused, row.tried, row.said);
    }
    let got: Vec<usize> = rows.iter().map(|row| row.accused).collect();
    assert_eq!(got, accused, "{rows:#?}");
}

/// All of it together is rarer than was said, and that is not by chance: were it as often as that, so few would come out
/// once in twenty times at most.
#[track_caller]
fn is_rarer_than_was_said<'a>(rows: impl Iterator<Item = &'a Row>) {
    let (accused, said) = together(rows);
    println!("{accused} accused, {said:.1} were said");
    assert!(is_too_few_for(accused, said, 0.05), "{accused} accused, and {said:.1} were said");
}

/// Likewise, but for twice as often as was said, and once in a hundred times.
#[track_caller]
fn is_not_twice_as_often<'a>(rows: impl Iterator<Item = &'a Row>) {
    let (accused, said) = together(rows);
    println!("{accused} accused, {said:.1} were said");
    assert!(is_too_few_for(accused, 2.0 * said, 0.01), "{accused} accused, and {said:.1} were said");
}

/// How many were accused, and how many of them it was said to be.
fn together<'a>(rows: impl Iterator<Item = &'a Row>) -> (usize, f64) {
    rows.fold((0, 0.0), |(accused, said), row| (accused + row.accused, said + row.tried as f64 * row.said))
}

/// Whether it is that unlikely that no more than so many come where `mean` do on the average, each by itself (Poisson).
fn is_too_few_for(count: usize, mean: f64, unlikely: f64) -> bool {
    let mut term = (-mean).exp();
    let mut sum = term;
    for n in 1..=count {
        term *= mean / n as f64;
        sum += term;
    }
    sum <= unlikely
}

/// How many samples it took, half of them and 95 % of them, as it came out with these seeds; and that this is no more than
/// was said, but for what another thousand releases may take: a tenth, and for the late ones 15 %. `None` says nothing.
#[track_caller]
fn found_within(
    taken: Vec<Option<u32>>,
    came_out: (u32, u32),
    (median, late): (u32, Option<u32>),
    what: &str,
) {
    let mut taken: Vec<u32> = taken.into_iter().map(|taken| taken.unwrap_or(u32::MAX)).collect();
    taken.sort_unstable();
    let (half, most) = (taken[taken.len() / 2], taken[taken.len() * 95 / 100]);
    println!("{what}: {half} / {most} samples, {median} / {late:?} were said");
    assert_eq!((half, most), came_out, "{what}");
    assert!(half <= median + median / 10, "{what}: half of them after {half} samples, not {median}");
    assert!(
        late.is_none_or(|late| most <= late + late * 15 / 100),
        "{what}: 95 % after {most} samples, not {late:?}"
    );
}

#[test]
fn all_watches_together_accuse_less_often_than_was_said() {
    let (failures, glitches) = (failures::AS_SHIPPED.iter(), glitches::SEEN_BEFORE.iter());
    is_rarer_than_was_said(
        failures.chain(glitches).chain(latency::NO_SLOWER.iter()).chain(shares::NO_WORSE.iter()),
    );
}

#[test]
fn watches_with_glitches_accuse_less_often_than_was_said() {
    is_rarer_than_was_said(glitches::SEEN_BEFORE.iter());
}

#[test]
fn so_few_is_told_from_so_few_by_chance() {
    // From a table of the Poisson distribution: 4 or fewer of 10 come with 2.9 %, 5 or fewer with 6.7 %; 9 or fewer of 20
    // with 0.5 %, 10 or fewer with 1.1 %.
    assert_eq!([0, 4, 5, 10, 20].map(|n| is_too_few_for(n, 10.0, 0.05)), [true, true, false, false, false]);
    assert_eq!([0, 9, 10, 20].map(|n| is_too_few_for(n, 20.0, 0.01)), [true, true, false, false]);
}
