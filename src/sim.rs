//! The simulation: the real tasks, the real core, the real adapter and the real journal, over a platform, probes, a
//! clock and a disk that all follow from one seed.
//!
//! One thread, paused time: an hour takes milliseconds, and a seed always gives the same course. `course` draws what
//! happens from the seed: releases, people, faults of every kind, crashes. `machine` is the host they happen on (its
//! clock, its network, its disk), `wire` the way to the platform and the sites, which are those of the lab, `disk` the
//! way to the journal. `life` runs one process from its start to its end, `run` a whole course. `judge` looks at the
//! platform's own ledger, never at what the daemon believes.
//!
//! Two kinds of course. In *safety* the faults never stop. In *liveness* they stop, and everything has to come to
//! its end: every incident closed, every pin of ours settled or in the hands of a person, and a bad release that comes
//! after that rolled back.
//!
//! ```text
//! cargo test --profile sim --lib sim::             as many seeds as fit into a test
//! REARGUARD_SEEDS=50000 cargo test ...             more of them, from REARGUARD_FROM on
//! REARGUARD_SEED=17 cargo test ... -- --nocapture  one of them, told step by step
//! ```

mod course;
mod disk;
mod judge;
mod life;
mod machine;
mod run;
mod wire;

use run::{Sum, run};

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs the seeds from `from` on, on all cores.
fn run_all(from: u64, seeds: u64) -> Sum {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let mut all = Sum::default();
    let sums: Vec<Sum> = std::thread::scope(|scope| {
        let run_some = |thread: u64| {
            let mut some = Sum::default();
            for seed in
                (from..from + seeds).skip(usize::try_from(thread).unwrap_or(0)).step_by(threads as usize)
            {
                let ran = std::panic::catch_unwind(|| run(seed, false));
                let ran = ran.unwrap_or_else(|_| panic!("seed {seed}: run it with REARGUARD_SEED={seed}"));
                some.add(&ran);
            }
            some
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run_some(thread))).collect();
        running.into_iter().map(|thread| thread.join().expect("no broken promise")).collect()
    });
    sums.iter().for_each(|sum| all.add(sum));
    all
}

#[test]
fn every_promise_holds_whatever_happens() {
    if let Some(seed) = number("REARGUARD_SEED") {
        let sum = run(seed, true);
        println!("{sum:#?}");
        return;
    }
    let began = tokio::time::Instant::now();
    let (from, seeds) = (number("REARGUARD_FROM").unwrap_or(0), number("REARGUARD_SEEDS").unwrap_or(60));
    let sum = run_all(from, seeds);
    println!("{sum:#?}\n{:.1} s", began.elapsed().as_secs_f64());
    assert!(sum.incidents.values().sum::<usize>() > 0);
}

#[test]
fn a_seed_always_gives_the_same_course() {
    for seed in 0..8 {
        assert_eq!(run(seed, false), run(seed, false), "seed {seed}");
    }
}
