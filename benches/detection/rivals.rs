//! The rule, and what is used instead of it.

use std::f64::consts::PI;

use rearguard::detection::Round;
use rearguard::detection::baseline::Baseline;
use rearguard::detection::evidence::{Evidence, Question};
use rearguard::detection::glitch;

use crate::INTERVAL;

/// What says that a release is bad, sample by sample.
pub(crate) enum Judge {
    Regression(Question, u64),
    InARow(usize),
    /// More than this share of the last so many, of which so many have to be there.
    Share(f64, usize, usize),
    Fisher(f64),
    Bayes(f64),
}

impl Judge {
    /// All of them with their names.
    pub(crate) fn all(question: Question, least: u64) -> Vec<(&'static str, Self)> {
        let probability = question.probability;
        vec![
            ("**`regression`, as shipped**", Self::Regression(question, least)),
            ("`regression`, glitch 0s", Self::Regression(Question { glitch: 0.0, ..question }, least)),
            (
                "`regression`, probability 0.01",
                Self::Regression(Question { probability: 0.01, ..question }, least),
            ),
            ("`consecutive_failures: 3`", Self::InARow(3)),
            // Two minutes at this pace.
            ("`failure_ratio: {above: 0.2}`", Self::Share(0.2, 24, 20)),
            ("5 in a row", Self::InARow(5)),
            // More than 0.45 of ten is half of them.
            ("≥ 50 % of 10", Self::Share(0.45, 10, 10)),
            ("Fisher's test at each sample", Self::Fisher(probability)),
            ("Bayes' posterior at each sample", Self::Bayes(probability)),
        ]
    }

    /// After how many samples of `after` it fires; `before` is the release before.
    pub(crate) fn fires(&self, before: &[bool], after: &[bool]) -> Option<usize> {
        match self {
            Self::Regression(question, least) => regression(question, *least, before, after),
            Self::InARow(count) => {
                let mut streak = 0;
                after.iter().position(|bad| {
                    streak = if *bad { streak + 1 } else { 0 };
                    streak >= *count
                })
            }
            Self::Share(above, over, least) => (*least - 1..after.len()).find(|n| {
                let last = &after[(n + 1).saturating_sub(*over)..=*n];
                count(last) as f64 > above * last.len() as f64
            }),
            Self::Fisher(probability) => compared(before, after, |new, old| fisher(new, old) < *probability),
            Self::Bayes(probability) => {
                compared(before, after, |new, old| posterior(new, old) < *probability)
            }
        }
        .map(|place| place + 1)
    }
}

fn regression(question: &Question, least: u64, before: &[bool], after: &[bool]) -> Option<usize> {
    let rounds = || (0_u32..).zip(before).map(|(n, bad)| round(n, *bad));
    let rate = count(before) as f64 / before.len().max(1) as f64;
    let glitch = glitch::length(rounds(), INTERVAL, question.glitch, rate + question.worse_by);
    let baseline = Baseline::of(rounds(), glitch);
    let mut evidence = Evidence::new(&baseline, Question { glitch, ..*question });
    (0_u32..).zip(after).position(|(n, bad)| {
        let score = evidence.take(round(n + 1, *bad));
        score >= (1.0 - 1e-9) / question.probability && evidence.bad_rounds() >= least
    })
}

fn round(n: u32, is_bad: bool) -> Round {
    Round { at: f64::from(n) * INTERVAL, badness: f64::from(u8::from(is_bad)) }
}

fn count(samples: &[bool]) -> usize {
    samples.iter().filter(|bad| **bad).count()
}

/// The first failure at which `is_worse` of the failures and samples so far, beside those of the release before.
fn compared(
    before: &[bool],
    after: &[bool],
    is_worse: impl Fn((usize, usize), (usize, usize)) -> bool,
) -> Option<usize> {
    let old = (count(before), before.len());
    let mut failed = 0;
    after.iter().enumerate().position(|(n, bad)| {
        failed += usize::from(*bad);
        *bad && is_worse((failed, n + 1), old)
    })
}

/// Fisher's exact test, one-sided: how likely it is by chance that so many of the failures are the newer ones.
fn fisher((failed, all): (usize, usize), (failed_before, all_before): (usize, usize)) -> f64 {
    let failures = failed + failed_before;
    let whole = ln_choose(all + all_before, failures);
    let most = failures.min(all);
    (failed..=most)
        .filter(|k| failures - k <= all_before)
        .map(|k| (ln_choose(all, k) + ln_choose(all_before, failures - k) - whole).exp())
        .sum()
}

/// How likely it is that the newer one fails no more often, both rates drawn evenly from 0 to 1 beforehand.
fn posterior((failed, all): (usize, usize), (failed_before, all_before): (usize, usize)) -> f64 {
    let (good, good_before) = (all - failed + 1, all_before - failed_before + 1);
    let ln_beta = |a: usize, b: usize| ln_factorial(a - 1) + ln_factorial(b - 1) - ln_factorial(a + b - 1);
    let old = ln_beta(failed_before + 1, good_before);
    let worse: f64 = (0..=failed)
        .map(|k| {
            let part = ln_beta(failed_before + 1 + k, good + good_before) - ln_beta(1 + k, good) - old;
            part.exp() / (good + k) as f64
        })
        .sum();
    1.0 - worse
}

fn ln_choose(n: usize, k: usize) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Stirling's series, exact enough from 10 on; below it is counted out.
fn ln_factorial(n: usize) -> f64 {
    if n < 10 {
        return (1..=n).map(|k| (k as f64).ln()).sum();
    }
    let x = n as f64;
    x * x.ln() - x + 0.5 * (2.0 * PI * x).ln() + 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3))
}
