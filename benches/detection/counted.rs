//! Error counts against request counts, a share of errors each scrape.

use rearguard::detection::Round;
use rearguard::detection::baseline::Baseline;
use rearguard::detection::evidence::{Evidence, Question};

use crate::draw::Chance;
use crate::table::{Table, spread};

/// Seconds between two scrapes, and scrapes in a watch of half an hour, an hour and a day.
const SCRAPE: f64 = 15.0;
const WATCH: usize = 120;
const HOUR: usize = 240;
/// By how much the share of errors may be larger, as shipped.
const WORSE_BY: f64 = 0.01;
const LEAST: u64 = 3;
const WATCHES: usize = 1_000;
/// Requests between two scrapes.
const REQUESTS: [usize; 3] = [10, 100, 1_000];

fn share(requests: usize, rate: f64, chance: &mut Chance) -> f64 {
    let errors = (0..requests).filter(|_| chance.next() < rate).count();
    errors as f64 / requests as f64
}

/// How many scrapes it takes, if it is accused.
fn taken(
    question: Question,
    requests: usize,
    (before, after): (f64, f64),
    chance: &mut Chance,
) -> Option<usize> {
    let mut baseline = Baseline::default();
    for _ in 0..HOUR {
        baseline.add(share(requests, before, chance), 1);
    }
    let mut evidence = Evidence::new(&baseline, question);
    let found = (0..WATCH).find(|n| {
        let round = Round { at: *n as f64 * SCRAPE, badness: share(requests, after, chance) };
        let score = evidence.take(round);
        score >= 1.0 / question.probability && evidence.bad_rounds() >= LEAST
    });
    found.map(|n| n + 1)
}

/// Prints the tables.
pub(crate) fn print(shipped: Question) {
    let question = Question { worse_by: WORSE_BY, ..shipped };
    let before = 0.005;
    let rates = [1.0, 0.5, 0.2, 0.1, 0.05];
    let title = format!(
        "Counters: scrapes, one every {SCRAPE} s, until a release is accused of whose requests so many fail, where {} % did \
         for an hour, median / 95th percentile ({WATCHES} watches)",
        before * 100.0
    );
    let mut table = Table::new(&title, &rates.map(|rate| format!("{} %", rate * 100.0)));
    for requests in REQUESTS {
        let row = rates.map(|rate| {
            let mut chance = Chance(0xC0_17);
            let all = (0..WATCHES).filter_map(|_| taken(question, requests, (before, rate), &mut chance));
            spread(all.collect(), WATCHES)
        });
        table.row(&format!("{requests} requests a scrape"), row);
    }
    table.print();
    let olds = [0.0, 0.001, 0.01, 0.05];
    for (worse, what) in [(0.0, "as many"), (WORSE_BY, "as many more as are tolerated")] {
        let title = format!("Counters: releases accused, % of {WATCHES} watches, where {what} requests fail");
        let heads = olds.map(|old| format!("{:.1} % → {:.1} %", old * 100.0, (old + worse) * 100.0));
        let mut table = Table::new(&title, &heads);
        for requests in REQUESTS {
            let row = olds.map(|old| {
                let mut chance = Chance(0xC0_18);
                let accused = (0..WATCHES)
                    .filter(|_| taken(question, requests, (old, old + worse), &mut chance).is_some())
                    .count();
                format!("{:.2}", accused as f64 * 100.0 / WATCHES as f64)
            });
            table.row(&format!("{requests} requests a scrape"), row);
        }
        table.print();
    }
}
