//! What a sample costs.

use std::hint::black_box;

use rearguard::detection::Round;
use rearguard::detection::baseline::Baseline;
use rearguard::detection::counters::Shares;
use rearguard::detection::evidence::{Evidence, Question};
use tokio::time::Instant;

use crate::draw::Chance;
use crate::table::Table;
use crate::{INTERVAL, WATCH};

/// Prints the table.
pub(crate) fn print(question: Question) {
    let mut chance = Chance(1);
    let mut baseline = Baseline::default();
    baseline.add(0.0, 17_000);
    baseline.add(1.0, 280);
    let fresh = Evidence::new(&baseline, question);
    let badness: Vec<f64> =
        chance.samples(100 * WATCH, 0.01).into_iter().map(|bad| f64::from(u8::from(bad))).collect();
    let take = |evidence: &mut Evidence, samples: &[f64]| {
        for (n, badness) in samples.iter().enumerate() {
            black_box(evidence.take(Round { at: n as f64 * INTERVAL, badness: *badness }));
        }
    };
    let watches = micros(badness.len(), || {
        for samples in badness.chunks(WATCH) {
            take(&mut fresh.clone(), samples);
        }
    });
    let mut old = fresh.clone();
    for _ in 0..30 {
        take(&mut old, &badness);
    }
    let endless = micros(badness.len(), || take(&mut old, &badness));
    let new = micros(20, || {
        for _ in 0..20 {
            black_box(Evidence::new(black_box(&baseline), question));
        }
    });
    let mut shares = Shares::default();
    for n in 0..5_760 {
        shares.add(n * 15_000, 0.02 * chance.next(), 15_000);
    }
    let shares = Baseline::of(shares.rounds(), 0.0);
    let of_shares = micros(1, || {
        black_box(Evidence::new(black_box(&shares), question));
    });
    let mut table = Table::new("What it costs", &["microseconds".to_owned(), "in samples".to_owned()]);
    for (name, cost) in [
        ("a sample within a watch", watches),
        ("a sample a million samples after a watch", endless),
        ("a release, after a day of failures", new),
        ("a release, after a day of error shares that all differ", of_shares),
    ] {
        table.row(name, [format!("{cost:.3}"), format!("{:.1}", cost / watches)]);
    }
    table.print();
}

/// The best of many short ones: the rest is what else the machine does.
fn micros(count: usize, mut work: impl FnMut()) -> f64 {
    let mut once = || {
        let began = Instant::now();
        work();
        began.elapsed().as_secs_f64() * 1e6 / count as f64
    };
    (0..30).map(|_| once()).fold(f64::INFINITY, f64::min)
}
