//! How soon a bad release is found, and how often one is accused that is no worse: the `regression` rule beside the
//! counting rules and what people use instead. `cargo bench --bench detection` prints `benches/detection.md`.
#![allow(clippy::print_stdout, missing_docs, reason = "the figures are the output")]

mod cost;
mod counted;
mod draw;
mod rivals;
mod slow;
mod table;

use draw::Chance;
use rearguard::config;
use rearguard::decision::policy::Condition;
use rearguard::detection::evidence::Question;
use rivals::Judge;
use table::{Table, spread};

/// Seconds between two samples, and samples in a watch of half an hour.
const INTERVAL: f64 = 5.0;
const WATCH: usize = 360;
/// Samples of the release before: a minute, an hour, and a day.
const MINUTE: usize = 12;
const HOUR: usize = 720;
const DAY: usize = 17_280;
/// Watches simulated for a figure.
const WATCHES: usize = 4_000;
const FEWER: usize = 1_000;

/// What is asked and how many failures at least, by the configuration's own defaults.
fn shipped() -> (Question, u64) {
    let file = "platforms: [{ name: ocean, kind: digitalocean, token_env: T }]\napps:\n  - name: shop\n    \
                platform: ocean\n    id: x\n    probes: [{ name: home, url: http://a.example/ }]\n    \
                rules: [{ name: worse, probe: home, regression: {} }]\n";
    let config = config::parse("defaults.yaml", file).expect("the defaults are right");
    let policy = &config.apps[0].policy;
    let Condition::Regression(regression) = &policy.rules[0].tests[0].condition else {
        panic!("it is the only rule")
    };
    let question = Question {
        worse_by: regression.worse_by,
        glitch: regression.glitch.as_secs_f64(),
        watch: policy.watch.as_secs_f64(),
        probability: regression.probability,
    };
    (question, regression.min_failures.into())
}

fn main() {
    let (question, min_failures) = shipped();
    let judges = Judge::all(question, min_failures);
    println!(
        "A sample every {INTERVAL} s, a watch of {WATCH} samples. As shipped: worse by {} %, glitch {} s, \
         probability {}, {min_failures} failures at least.\n",
        question.worse_by * 100.0,
        question.glitch,
        question.probability
    );
    cost::print(question);
    delays(&judges, question);
    late(&judges);
    baselines(question, min_failures);
    independent(&judges, question);
    glitches(&judges);
    slow::print(question);
    counted::print(question);
}

const RATES: [f64; 5] = [1.0, 0.5, 0.2, 0.1, 0.05];

fn rates() -> Vec<String> {
    RATES.iter().map(|rate| format!("{} %", rate * 100.0)).collect()
}

/// How soon a release is found that fails from its first sample on.
fn delays(judges: &[(&'static str, Judge)], question: Question) {
    for before in [0.0, 0.01, 0.05] {
        let title = format!(
            "Samples until a release is accused that fails that often from its first sample on, median / 95th percentile, \
             after an hour of a release before that failed {} % of the time (share found within the watch, where it is \
             not all; {FEWER} watches)",
            before * 100.0
        );
        let mut table = Table::new(&title, &rates());
        let bound = |rate: f64| bound(rate, before + question.worse_by, question.probability);
        table.row(
            "*bound: ln(1/probability) / divergence*",
            RATES.map(|rate| bound(rate).map_or("-".to_owned(), |bound| format!("{bound:.1}"))),
        );
        for (name, judge) in judges {
            table.row(
                name,
                RATES.map(|rate| taken(judge, before, HOUR, |chance| chance.samples(WATCH, rate))),
            );
        }
        table.print();
    }
}

/// The same where it fails later.
fn late(judges: &[(&'static str, Judge)]) {
    let title = format!(
        "Samples from the first bad one on until a release is accused that was well for ten minutes, likewise ({FEWER} watches)"
    );
    let mut table = Table::new(&title, &rates());
    const WELL: usize = 120;
    for (name, judge) in judges {
        let row = RATES.map(|rate| {
            let mut chance = Chance(0x1A7E);
            let taken = (0..FEWER).filter_map(|_| {
                let old = chance.samples(HOUR, 0.0);
                let mut new = vec![false; WELL];
                new.extend(chance.samples(WATCH - WELL, rate));
                judge.fires(&old, &new).map(|samples| samples - WELL)
            });
            spread(taken.collect(), FEWER)
        });
        table.row(name, row);
    }
    table.print();
}

/// The same with more and less of a release before, which never failed.
fn baselines(question: Question, min_failures: u64) {
    let title = format!("The same from the first sample on, as shipped, by what is known ({FEWER} watches)");
    let mut table = Table::new(&title, &rates());
    let judge = Judge::Regression(question, min_failures);
    for (name, before) in [("nothing", 0), ("a minute", MINUTE), ("an hour", HOUR), ("a day", DAY)] {
        table.row(name, RATES.map(|rate| taken(&judge, 0.0, before, |chance| chance.samples(WATCH, rate))));
    }
    table.print();
}

fn taken(judge: &Judge, rate: f64, before: usize, after: impl Fn(&mut Chance) -> Vec<bool>) -> String {
    let mut chance = Chance(0x51_7C_C1);
    let taken = (0..FEWER).filter_map(|_| {
        let old = chance.samples(before, rate);
        judge.fires(&old, &after(&mut chance))
    });
    spread(taken.collect(), FEWER)
}

/// No rule with that probability can be faster on the average.
fn bound(rate: f64, allowed: f64, probability: f64) -> Option<f64> {
    let part = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
    let divergence = part(rate, allowed) + part(1.0 - rate, 1.0 - allowed);
    (rate > allowed).then(|| (1.0 / probability).ln() / divergence)
}

/// How often a release is accused that is no worse: failures by chance.
fn independent(judges: &[(&'static str, Judge)], question: Question) {
    let olds = [0.0, 0.001, 0.01, 0.05];
    for (worse, what) in
        [(0.0, "as often as"), (question.worse_by, "as much more often as is tolerated than")]
    {
        let title = format!(
            "Releases accused, % of {WATCHES} watches: failures by chance, {what} the release before, of which an hour is \
             known"
        );
        let heads = olds.map(|old| format!("{:.1} % → {:.1} %", old * 100.0, (old + worse) * 100.0));
        let mut table = Table::new(&title, &heads);
        for (name, judge) in judges {
            let row = olds.map(|old| {
                accused(judge, WATCHES, |chance| {
                    (chance.samples(HOUR, old), chance.samples(WATCH, old + worse))
                })
            });
            table.row(name, row);
        }
        table.print();
    }
}

/// The same where all failures are in glitches.
fn glitches(judges: &[(&'static str, Judge)]) {
    let kinds = [
        (5.0, 600.0),
        (15.0, 3_600.0),
        (30.0, 3_600.0),
        (30.0, 21_600.0),
        (30.0, 86_400.0),
        (120.0, 86_400.0),
    ];
    let title = format!(
        "Releases accused, % of {WATCHES} watches: all samples fail in glitches that are nobody's fault (how long / how \
         often, by chance), as with the release before, of which a day is known"
    );
    let heads = kinds.map(|(mean, every)| format!("{mean} s / {:.0} min", every / 60.0));
    let mut table = Table::new(&title, &heads);
    for (name, judge) in judges {
        let row = kinds.map(|(mean, every)| {
            accused(judge, WATCHES, |chance| {
                (chance.glitching(DAY, mean, every), chance.glitching(WATCH, mean, every))
            })
        });
        table.row(name, row);
    }
    table.print();
}

fn accused(judge: &Judge, tried: usize, draw: impl Fn(&mut Chance) -> (Vec<bool>, Vec<bool>)) -> String {
    let mut chance = Chance(0xABCD_1234);
    let fired = (0..tried)
        .filter(|_| {
            let (before, after) = draw(&mut chance);
            judge.fires(&before, &after).is_some()
        })
        .count();
    format!("{:.2}", fired as f64 * 100.0 / tried as f64)
}
