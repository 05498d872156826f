//! What is usual of a release, and what is slower than that.

use crate::detection::latency::{Latencies, Slower, Usual};
use crate::detection::power::Chance;

/// A sample every five seconds, so six of them are a block.
const INTERVAL: i64 = 5_000;
const BLOCK: usize = 6;
const WATCH: f64 = 1_800.0;
/// Seconds of a slow spell, where nothing longer was seen.
const GLITCH: f64 = 10.0;

/// Samples in microseconds; `None` failed.
fn of(samples: impl IntoIterator<Item = Option<u32>>) -> Latencies {
    let mut latencies = Latencies::default();
    for (n, sample) in (0..).zip(samples) {
        latencies.add(n * INTERVAL, sample, INTERVAL);
    }
    latencies
}

fn blocks(count: usize, micros: u32) -> impl Iterator<Item = Option<u32>> {
    std::iter::repeat_n(Some(micros), count * BLOCK)
}

/// What a release was like that took so long for two hours, a tenth more or less.
fn usual(micros: u32) -> Usual {
    let mut chance = Chance(3);
    let samples = (0..240 * BLOCK).map(|_| Some((f64::from(micros) * (0.9 + 0.2 * chance.next())) as u32));
    of(samples).usual(0, 5.0, GLITCH).expect("enough is known")
}

/// The evidence against a release after that.
fn slower(usual: &Usual, slower_by: f64) -> Slower {
    Slower::new(Some(usual), 5.0, slower_by, WATCH, 0.001)
}

/// What is a slow block on the level that says most.
fn limit(slower: &Slower) -> f64 {
    slower.worst(0).expect("something is usual").limit()
}

fn rounds(slower: &Slower) -> (u64, u64) {
    let evidence = slower.worst(0).expect("something is usual").evidence();
    (evidence.rounds(), evidence.bad_rounds())
}

fn score(slower: &Slower) -> f64 {
    slower.worst(0).map_or(1.0, |side| side.evidence().score())
}

/// After how many seconds a release is found to be slower of which `latency` says how long it takes at what second.
fn found(usual: &Usual, slower_by: f64, latency: impl Fn(f64) -> Option<f64>) -> Option<f64> {
    let mut slower = self::slower(usual, slower_by);
    (0..360).map(|n| f64::from(n) * 5.0).find(|at| {
        slower.take(*at, latency(*at));
        slower.is_slower(3)
    })
}

#[test]
fn what_is_slower_by_more_than_is_tolerated_is_found_and_nothing_else() {
    let usual = usual(100_000);
    let soon = found(&usual, 0.5, |_| Some(0.3)).expect("it takes three times as long");
    assert!((120.0..=240.0).contains(&soon), "{soon} s");
    assert!(found(&usual, 0.5, |_| Some(0.19)).is_some());
    for latency in [0.01, 0.1, 0.14] {
        assert_eq!(found(&usual, 0.5, |_| Some(latency)), None, "{latency}");
    }
    assert_eq!(found(&usual, 3.0, |_| Some(0.3)), None, "so much is tolerated");
    assert!(found(&usual, 0.0, |_| Some(0.14)).is_some(), "nothing is tolerated");
    // The two levels share the probability, and fewer blocks than asked for accuse nobody.
    let mut slower = self::slower(&usual, 0.5);
    assert_eq!(slower.needed(), 2_000.0);
    for n in 0..360 {
        slower.take(f64::from(n) * 5.0, Some(0.3));
    }
    assert!(score(&slower) >= 2_000.0 && slower.is_slower(50) && !slower.is_slower(100));
    // Three times of little is little.
    assert_eq!(found(&self::usual(5_000), 0.5, |_| Some(0.015)), None);
    assert!(found(&self::usual(5_000), 0.5, |_| Some(0.05)).is_some());
}

#[test]
fn what_is_usual_is_read_from_the_older_half_and_how_often_it_is_exceeded_from_the_newer_one() {
    let known =
        of(blocks(100, 100_000).chain(blocks(101, 300_000))).usual(0, 5.0, GLITCH).expect("enough is known");
    let slow = slower(&known, 0.5);
    assert!((limit(&slow) - 0.15).abs() < 1e-9, "{}", limit(&slow));
    // The newer half exceeded it always, so one that does so too is no worse.
    assert_eq!(found(&known, 0.5, |_| Some(0.3)), None);
    let known =
        of(blocks(100, 300_000).chain(blocks(101, 100_000))).usual(0, 5.0, GLITCH).expect("enough is known");
    assert!((limit(&slower(&known, 0.5)) - 0.45).abs() < 1e-9);
    assert!(found(&known, 0.5, |_| Some(0.5)).is_some());
}

#[test]
fn most_blocks_stay_below_what_is_usual_on_either_level() {
    // Of the older twenty blocks one in five is slow: usual on the level that all but five percent stay below, and not on
    // the one that three in four do.
    let older =
        (0..20).flat_map(|n| if n % 5 == 0 { blocks(1, 400_000) } else { blocks(1, 100_000 + n * 1_000) });
    let known = of(older.chain(blocks(21, 100_000))).usual(0, 5.0, GLITCH).expect("enough is known");
    let text = serde_json::to_string(&known).expect("JSON");
    assert!(text.contains("\"limit\":0.118") && text.contains("\"limit\":0.4"), "{text}");
    assert_eq!(serde_json::from_str::<Usual>(&text).expect("JSON"), known);
}

#[test]
fn answers_that_fail_are_no_latencies() {
    let usual = usual(100_000);
    assert_eq!(found(&usual, 0.5, |_| None), None);
    let mut slower = self::slower(&usual, 0.5);
    for n in 0..360 {
        // Two of the six of a block succeed, which says nothing.
        slower.take(f64::from(n) * 5.0, (n % 3 == 0).then_some(0.3));
    }
    assert_eq!((rounds(&slower), score(&slower)), ((0, 0), 1.0));
    assert!(of(std::iter::repeat_n(None, 500)).is_empty());
}

#[test]
fn cold_caches_and_samples_that_come_faster_count_for_nothing() {
    let usual = usual(100_000);
    let mut slower = self::slower(&usual, 0.5);
    for at in 0..61 {
        slower.take(f64::from(at), Some(if at < 30 { 9.0 } else { 0.1 }));
    }
    assert_eq!(rounds(&slower), (1, 0));
    // At one a second, five of six are looked over: those in the middle of a block that are slow.
    let mut slower = self::slower(&usual, 0.5);
    for at in 0..600 {
        slower.take(f64::from(at), Some(if at % 5 == 0 { 0.1 } else { 9.0 }));
    }
    assert_eq!(rounds(&slower), (18, 0));
}

#[test]
fn too_little_is_no_way_to_know_what_is_usual() {
    // The last block is not over yet.
    assert_eq!(of(blocks(20, 100_000)).usual(0, 5.0, GLITCH), None);
    assert!(of(blocks(21, 100_000)).usual(0, 5.0, GLITCH).is_some());
    assert_eq!(of(blocks(200, 100_000)).usual(195 * 30_000, 5.0, GLITCH), None, "it went live just now");
}

#[test]
fn what_was_another_release_s_or_is_no_way_to_be_is_not_usual() {
    let limit = |latencies: &Latencies, since: i64| {
        let usual = latencies.usual(since, 5.0, GLITCH).expect("enough is known");
        (self::limit(&slower(&usual, 0.0)) * 1_000.0).round()
    };
    let mut latencies = of(blocks(100, 100_000).chain(blocks(50, 900_000)));
    // In the middle of a block: what is in it may be either's.
    latencies.cut(100 * 30_000 + 15_000);
    assert!(!serde_json::to_string(&latencies).expect("JSON").contains("900000"));
    assert_eq!(limit(&latencies, 0), 120.0);
    let mut later = Latencies::default();
    for n in 0..100 * BLOCK as i64 {
        later.add(5_000_000 + n * INTERVAL, Some(200_000), INTERVAL);
    }
    latencies.append(later.clone());
    assert_eq!(limit(&latencies, 5_000_000), 220.0);
    assert_eq!(limit(&latencies, 0), 120.0);
    // The older half of what is left is the first release's again.
    later.set_aside(5_000_000 + 500_000);
    assert_eq!(later.usual(0, 5.0, GLITCH), None);
    let text = serde_json::to_string(&latencies).expect("JSON");
    assert_eq!(limit(&serde_json::from_str(&text).expect("JSON"), 5_000_000), 220.0);
}

#[test]
fn a_probe_at_another_pace_begins_a_block_anew() {
    let mut latencies = of(blocks(1, 100_000).take(3));
    for n in 0..7 {
        latencies.add(30_000 + n * 60_000, Some(200_000), 60_000);
    }
    let text = serde_json::to_string(&latencies).expect("JSON");
    // Five minutes are a block now, and the three samples of before are in none.
    assert!(text.contains("[200000]") && text.contains("300000"), "{text}");
}
