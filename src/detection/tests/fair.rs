//! The bet is a fair one: counted out over everything that can happen.

use crate::detection::Round;
use crate::detection::baseline::Baseline;
use crate::detection::evidence::{Evidence, Question};
use crate::detection::memory::Memory;

const QUESTION: Question = Question { worse_by: 0.02, glitch: 0.0, watch: 1_800.0, probability: 0.05 };

/// Every course of `rounds` rounds, five seconds apart, of a release that fails as often as `rate`, and as much more often
/// as a glitch excuses. Gives the mean of the evidence at the end, and how likely it is that it ever was enough.
fn all_courses(evidence: &Evidence, rounds: u32, rate: f64, question: Question) -> (f64, f64) {
    let (mut mean, mut accused) = (0.0, 0.0);
    for course in 0..1_u32 << rounds {
        let (mut evidence, mut memory) = (evidence.clone(), Memory::new(question.glitch));
        let (mut likely, mut is_accused) = (1.0, false);
        for n in 0..rounds {
            let (at, has_failed) = (f64::from(n + 1) * 5.0, course >> n & 1 == 1);
            let fails = rate + (1.0 - rate) * memory.excuse(at);
            likely *= if has_failed { fails } else { 1.0 - fails };
            let badness = f64::from(u8::from(has_failed));
            memory.note(at, badness);
            is_accused |= evidence.take(Round { at, badness }) >= 1.0 / question.probability;
        }
        mean += likely * evidence.score();
        accused += if is_accused { likely } else { 0.0 };
    }
    (mean, accused)
}

#[test]
fn against_a_release_that_is_no_worse_nobody_can_expect_to_win() {
    for glitch in [0.0, 5.0, 30.0] {
        let question = Question { glitch, ..QUESTION };
        // Nothing is known of the release before, so one rate is left: the one that is assumed.
        let evidence = Evidence::new(&Baseline::default(), question);
        assert!(evidence.is_assumed());
        let (mean, accused) = all_courses(&evidence, 12, 0.22, question);
        assert!((mean - 1.0).abs() < 1e-12, "{mean}");
        // In a minute, where half of it is excused, nobody can be accused at all.
        assert!(accused <= 0.05 && (accused > 0.0 || glitch > 0.0), "{accused}");
        let (mean, _) = all_courses(&evidence, 12, 0.3, question);
        assert!(mean > 1.05, "one that is worse is found out: {mean}");
    }
}

#[test]
fn whatever_the_release_before_was_like_no_more_are_accused_than_was_said() {
    let question = Question { worse_by: 0.0, ..QUESTION };
    const BEFORE: u32 = 24;
    for rate in [0.01, 0.05, 0.1, 0.3, 0.6] {
        let (mut accused, mut likely) = (0.0, 1.0_f64);
        for _ in 0..BEFORE {
            likely *= 1.0 - rate;
        }
        for failed in 0..=BEFORE {
            let mut baseline = Baseline::default();
            baseline.add(0.0, u64::from(BEFORE - failed));
            baseline.add(1.0, u64::from(failed));
            // Where little is known, no more is promised than for a release before that was well.
            let evidence = Evidence::new(&baseline, question);
            if !evidence.is_assumed() || rate <= 0.2 {
                accused += likely * all_courses(&evidence, 8, rate, question).1;
            }
            likely *= f64::from(BEFORE - failed) / f64::from(failed + 1) * rate / (1.0 - rate);
        }
        assert!(accused <= question.probability, "{rate}: {accused}");
    }
}

#[test]
fn what_counts_is_bounded_whatever_happens() {
    let mut evidence = Evidence::new(&Baseline::default(), QUESTION);
    for n in 0..200_000_u32 {
        let badness = f64::from(u8::from(n % 1_000 < 500));
        let score = evidence.take(Round { at: f64::from(n), badness });
        assert!(score.is_finite() && score >= 0.0);
    }
    assert_eq!((evidence.rounds(), evidence.bad_rounds()), (200_000, 100_000));
}

#[test]
fn a_stake_that_is_lost_is_not_carried_on_in_numbers_that_take_long() {
    // Long after the watch nothing is added any more, and each stake fades at a pace of its own.
    for glitch in [0.0, 5.0] {
        let mut evidence = Evidence::new(&Baseline::default(), Question { glitch, ..QUESTION });
        for n in 0..40_000_u32 {
            evidence.take(Round { at: f64::from(n), badness: 0.0 });
            assert!(!evidence.all_stakes().any(f64::is_subnormal), "after {n} rounds");
        }
        assert!(evidence.all_stakes().all(|stake| stake == 0.0));
        assert!((evidence.score() - 0.1).abs() < 1e-12, "what was not bet is left: {}", evidence.score());
    }
}

#[test]
fn what_is_in_the_wake_of_a_failure_says_nothing_of_the_release_before() {
    // One failure in a hundred, and a burst of twelve.
    let bad = |n: u32| n.is_multiple_of(100) || (250..262).contains(&n);
    let rounds =
        || (0..1_000).map(|n| Round { at: f64::from(n) * 5.0, badness: f64::from(u8::from(bad(n))) });
    let (all, fresh) = (Baseline::of(rounds(), 0.0), Baseline::of(rounds(), 5.0));
    assert_eq!((all.rounds(), all.failed()), (1_000, 22.0));
    assert_eq!(fresh.failed(), 11.0, "the burst is one failure");
    assert!(fresh.rounds() < 980);
}

#[test]
fn the_rate_that_speaks_best_for_a_release_is_looked_for_among_all() {
    let mut baseline = Baseline::default();
    baseline.add(0.0, 285);
    baseline.add(1.0, 15);
    let mut evidence = Evidence::new(&baseline, Question { probability: 0.001, ..QUESTION });
    for n in 0..300 {
        evidence.take(Round { at: f64::from(n) * 5.0, badness: f64::from(u8::from(n % 2 == 0)) });
    }
    let all = evidence.all_allowed();
    let place = all.iter().position(|allowed| *allowed == evidence.allowed()).expect("one of them");
    assert!((2..31).contains(&place), "{place} of {}", all.len());
}
