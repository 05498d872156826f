//! What the shipped defaults promise, measured: how often a release is accused that is no worse, and how soon one that is.

use crate::detection::Round;
use crate::detection::baseline::Baseline;
use crate::detection::evidence::{Evidence, Question};
use crate::detection::power::{Chance, time_to_notice};

/// The defaults of a rule, with a watch of half an hour.
const DEFAULTS: Question = Question { worse_by: 0.02, glitch: 5.0, watch: 1_800.0, probability: 0.001 };
const INTERVAL: f64 = 5.0;

fn baseline_of(rounds: u32, rate: f64, chance: &mut Chance) -> Baseline {
    let mut baseline = Baseline::default();
    for _ in 0..rounds {
        baseline.add(f64::from(u8::from(chance.next() < rate)), 1);
    }
    baseline
}

/// After how many samples a release is accused that fails with this rate, if ever.
fn accused_after(baseline: &Baseline, question: Question, rate: f64, chance: &mut Chance) -> Option<u32> {
    let mut evidence = Evidence::new(baseline, question);
    (1..=360).find(|n| {
        let badness = f64::from(u8::from(chance.next() < rate));
        evidence.take(Round { at: f64::from(*n) * INTERVAL, badness }) >= (1.0 - 1e-9) / question.probability
            && evidence.bad_rounds() >= 3
    })
}

#[test]
fn a_release_that_is_no_worse_is_accused_as_rarely_as_was_said() {
    let mut chance = Chance(7);
    for before in [0.0, 0.001, 0.01, 0.05] {
        // The worst that is allowed, and no worse at all.
        for rate in [before, before + DEFAULTS.worse_by] {
            let question = Question { glitch: 0.0, probability: 0.01, ..DEFAULTS };
            let watches = 3_000;
            let accused = (0..watches)
                .filter(|_| {
                    let baseline = baseline_of(720, before, &mut chance);
                    accused_after(&baseline, question, rate, &mut chance).is_some()
                })
                .count();
            // Four standard deviations above the promise are not chance.
            let promised = f64::from(watches) * question.probability;
            assert!(
                (accused as f64) < promised + 4.0 * promised.sqrt(),
                "{before} {rate}: {accused} of {watches}"
            );
        }
    }
}

#[test]
fn a_release_that_is_worse_is_found_as_soon_as_was_said() {
    let mut chance = Chance(11);
    // Median of the samples it takes, with an hour of a release before that never failed.
    for (rate, glitch, median) in
        [(1.0, 5.0, 6), (1.0, 0.0, 3), (0.5, 5.0, 17), (0.5, 0.0, 7), (0.2, 5.0, 49), (0.2, 0.0, 32)]
    {
        let question = Question { glitch, ..DEFAULTS };
        let baseline = baseline_of(720, 0.0, &mut chance);
        let mut taken: Vec<u32> = (0..301)
            .map(|_| accused_after(&baseline, question, rate, &mut chance).unwrap_or(u32::MAX))
            .collect();
        taken.sort_unstable();
        assert!(taken[150] <= median + median / 10, "{rate} {glitch}: {} samples, not {median}", taken[150]);
    }
}

#[test]
fn what_could_be_noticed_is_what_is_noticed() {
    let mut chance = Chance(13);
    let baseline = baseline_of(720, 0.0, &mut chance);
    for rate in [1.0, 0.5, 0.2, 0.1] {
        let said = time_to_notice(&baseline, DEFAULTS, INTERVAL, rate, 3).expect("found");
        let mut taken: Vec<u32> = (0..301)
            .map(|_| accused_after(&baseline, DEFAULTS, rate, &mut chance).unwrap_or(u32::MAX))
            .collect();
        taken.sort_unstable();
        let measured = f64::from(taken[150] - 1) * INTERVAL;
        assert!((said - measured).abs() <= 10.0 + measured * 0.35, "{rate}: {said} s, measured {measured} s");
    }
    assert_eq!(time_to_notice(&baseline, DEFAULTS, INTERVAL, 0.02, 3), None);
}
