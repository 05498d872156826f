//! How soon a bad release is found, and how often one is accused that is no worse: the `regression` rule beside what
//! people use instead. `cargo bench --bench detection`
#![allow(clippy::print_stdout, missing_docs, reason = "the figures are the output")]

use std::hint::black_box;

use rearguard::detection::Round;
use rearguard::detection::baseline::Baseline;
use rearguard::detection::evidence::{Evidence, Question};
use rearguard::detection::glitch;
use tokio::time::Instant;

/// Seconds between two samples, and samples in a watch.
const INTERVAL: f64 = 5.0;
const WATCH: usize = 360;
/// Rounds of the release before: an hour, and a day.
const HOUR: usize = 720;
const DAY: usize = 17_280;
/// Watches simulated for a figure.
const WATCHES: usize = 4_000;
const FEWER: usize = 1_000;

const QUESTION: Question = Question { worse_by: 0.02, glitch: 5.0, watch: 1_800.0, probability: 0.001 };

fn main() {
    cost();
    delays();
    independent();
    glitches();
}

/// What says that a release is bad, sample by sample.
enum Judge {
    Regression(Question),
    InARow(usize),
    HalfOfTen,
    Fisher,
}

const SHIPPED: [(&str, Judge); 6] = [
    ("regression, as shipped", Judge::Regression(QUESTION)),
    ("regression, glitch 0s", Judge::Regression(Question { glitch: 0.0, ..QUESTION })),
    ("regression, probability 0.01", Judge::Regression(Question { probability: 0.01, ..QUESTION })),
    ("3 in a row", Judge::InARow(3)),
    (">= 50 % of 10", Judge::HalfOfTen),
    ("Fisher p < 0.001 at each sample", Judge::Fisher),
];

impl Judge {
    /// After how many samples of `after` it fires; `before` is the release before.
    fn fires(&self, before: &[bool], after: &[bool]) -> Option<usize> {
        match self {
            Self::Regression(question) => {
                let rounds = || (0_u32..).zip(before).map(|(n, bad)| round(n, *bad));
                let rate = before.iter().filter(|bad| **bad).count() as f64 / before.len().max(1) as f64;
                let glitch = glitch::length(rounds(), INTERVAL, question.glitch, rate + question.worse_by);
                let baseline = Baseline::of(rounds(), glitch);
                let mut evidence = Evidence::new(&baseline, Question { glitch, ..*question });
                (0_u32..).zip(after).position(|(n, bad)| {
                    let score = evidence.take(round(n + 1, *bad));
                    score >= (1.0 - 1e-9) / question.probability && evidence.bad_rounds() >= 3
                })
            }
            Self::InARow(count) => {
                let mut streak = 0;
                after.iter().position(|bad| {
                    streak = if *bad { streak + 1 } else { 0 };
                    streak >= *count
                })
            }
            Self::HalfOfTen => (0..after.len())
                .find(|n| *n >= 9 && after[n - 9..=*n].iter().filter(|bad| **bad).count() >= 5),
            Self::Fisher => {
                let (failed_before, all_before) = (count(before), before.len());
                let mut failed = 0;
                after.iter().enumerate().position(|(n, bad)| {
                    failed += usize::from(*bad);
                    *bad && fisher(failed, n + 1, failed_before, all_before) < 0.001
                })
            }
        }
        .map(|place| place + 1)
    }
}

fn round(n: u32, is_bad: bool) -> Round {
    Round { at: f64::from(n) * INTERVAL, badness: f64::from(u8::from(is_bad)) }
}

fn count(samples: &[bool]) -> usize {
    samples.iter().filter(|bad| **bad).count()
}

/// Fisher's exact test, one-sided: how likely it is by chance that so many of the failures are the newer ones.
fn fisher(failed: usize, all: usize, failed_before: usize, all_before: usize) -> f64 {
    let failures = failed + failed_before;
    let choose = |n: usize, k: usize| ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    let whole = choose(all + all_before, failures);
    let most = failures.min(all);
    (failed..=most)
        .filter(|k| failures - k <= all_before)
        .map(|k| (choose(all, k) + choose(all_before, failures - k) - whole).exp())
        .sum()
}

/// Stirling's series, exact enough from 10 on; below it is counted out.
fn ln_factorial(n: usize) -> f64 {
    if n < 10 {
        return (1..=n).map(|k| (k as f64).ln()).sum();
    }
    let x = n as f64;
    x * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI * x).ln() + 1.0 / (12.0 * x)
        - 1.0 / (360.0 * x.powi(3))
}

/// The same numbers every time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn samples(&mut self, count: usize, rate: f64) -> Vec<bool> {
        (0..count).map(|_| self.next() < rate).collect()
    }

    /// Samples of an app that never fails but in glitches, which last `mean` seconds and come every `every` seconds, both
    /// by chance, and in which everything fails.
    fn glitching(&mut self, count: usize, mean: f64, every: f64) -> Vec<bool> {
        let mut is_bad = self.next() < mean / (mean + every);
        let (ends, begins) = ((-INTERVAL / mean).exp(), (-INTERVAL / every).exp());
        (0..count)
            .map(|_| {
                let goes_on = if is_bad { ends } else { begins };
                is_bad ^= self.next() > goes_on;
                is_bad
            })
            .collect()
    }
}

fn cost() {
    let mut chance = Chance(1);
    let mut baseline = Baseline::default();
    baseline.add(0.0, 17_000);
    baseline.add(1.0, 280);
    let mut evidence = Evidence::new(&baseline, QUESTION);
    let samples = chance.samples(1_000_000, 0.01);
    let began = Instant::now();
    for (n, bad) in (0_u32..).zip(&samples) {
        black_box(evidence.take(round(n, *bad)));
    }
    let each = began.elapsed().as_secs_f64() * 1e6 / samples.len() as f64;
    let began = Instant::now();
    for _ in 0..100 {
        black_box(Evidence::new(black_box(&baseline), QUESTION));
    }
    let new = began.elapsed().as_secs_f64() * 1e4;
    println!("cost: {each:.3} microseconds a sample, {new:.0} microseconds a release\n");
}

/// Median / 95th percentile of the samples until it fires, with the share found where that is not all.
fn delays() {
    println!(
        "samples until a release is accused that fails from its first sample on, median/95th percentile"
    );
    println!(
        "(share found within {WATCH} samples where that is not all; an hour of a release before that failed as said)"
    );
    let rates = [1.0, 0.5, 0.2, 0.1, 0.05];
    for before in [0.0, 0.01, 0.05] {
        println!("\nbefore: {:>4} %{:21}", before * 100.0, "");
        print!("{:34}", "fails");
        for rate in rates {
            print!("{:>16}", format!("{} %", rate * 100.0));
        }
        println!();
        print!("{:34}", "bound ln(1000)/KL, worse by 2 %");
        for rate in rates {
            let bound = bound(rate, before + QUESTION.worse_by);
            print!("{:>16}", bound.map_or("-".to_owned(), |bound| format!("{bound:.1}")));
        }
        println!();
        for (name, judge) in &SHIPPED {
            print!("{name:34}");
            for rate in rates {
                let mut chance = Chance(0x51_7C_C1);
                let mut taken: Vec<usize> = (0..FEWER)
                    .filter_map(|_| {
                        let old = chance.samples(HOUR, before);
                        judge.fires(&old, &chance.samples(WATCH, rate))
                    })
                    .collect();
                taken.sort_unstable();
                print!("{:>16}", spread(&taken, FEWER));
            }
            println!();
        }
    }
    println!();
}

/// No rule with that probability can be faster on the average.
fn bound(rate: f64, allowed: f64) -> Option<f64> {
    let part = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
    let divergence = part(rate, allowed) + part(1.0 - rate, 1.0 - allowed);
    (rate > allowed).then(|| 1_000_f64.ln() / divergence)
}

fn spread(taken: &[usize], tried: usize) -> String {
    let share = taken.len() as f64 / tried as f64;
    match taken.len() {
        0 => "no".to_owned(),
        found if found * 2 < tried => format!("({:.0} %)", share * 100.0),
        found => {
            let at = |quantile: f64| taken.get((quantile * tried as f64) as usize);
            let late = at(0.95).map_or("-".to_owned(), usize::to_string);
            let all = if found < tried { format!(" ({:.0} %)", share * 100.0) } else { String::new() };
            format!("{}/{late}{all}", taken[tried / 2])
        }
    }
}

fn rates_of(name: &str, judge: &Judge, columns: &[Column], tried: usize) {
    print!("{name:34}");
    for (_, draw) in columns {
        let mut chance = Chance(0xABCD_1234);
        let fired = (0..tried)
            .filter(|_| {
                let (before, after) = draw(&mut chance);
                judge.fires(&before, &after).is_some()
            })
            .count();
        print!("{:>18}", format!("{:.2}", fired as f64 * 100.0 / tried as f64));
    }
    println!();
}

/// A column of a table: its head, and how the two releases are drawn.
type Column = (String, Box<dyn Fn(&mut Chance) -> (Vec<bool>, Vec<bool>)>);

fn table(title: &str, columns: &[Column], tried: usize) {
    println!("{title}");
    print!("{:34}", "");
    for (head, _) in columns {
        print!("{head:>18}");
    }
    println!();
    for (name, judge) in &SHIPPED {
        rates_of(name, judge, columns, tried);
    }
    println!();
}

fn independent() {
    let columns: Vec<Column> =
        [(0.0, 0.0), (0.001, 0.001), (0.01, 0.01), (0.05, 0.05), (0.0, 0.02), (0.05, 0.07)]
            .into_iter()
            .map(|(before, after)| -> Column {
                let head = format!("{:.1} % -> {:.1} %", before * 100.0, after * 100.0);
                (head, Box::new(move |chance| (chance.samples(HOUR, before), chance.samples(WATCH, after))))
            })
            .collect();
    let title = format!(
        "releases accused that are no worse than allowed, % of {WATCHES} watches, failures by chance"
    );
    table(&title, &columns, WATCHES);
}

fn glitches() {
    let columns: Vec<Column> = [(5.0, 600.0), (15.0, 3_600.0), (30.0, 3_600.0), (30.0, 21_600.0)]
        .into_iter()
        .map(|(mean, every)| -> Column {
            let head = format!("{mean} s / {:.0} min", every / 60.0);
            (
                head,
                Box::new(move |chance: &mut Chance| {
                    (chance.glitching(DAY, mean, every), chance.glitching(WATCH, mean, every))
                }),
            )
        })
        .collect();
    let title = format!(
        "the same, % of {FEWER} watches, all failures in glitches that are nobody's fault (length / every), a day before"
    );
    table(&title, &columns, FEWER);
}
