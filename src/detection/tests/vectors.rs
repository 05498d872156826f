//! Against figures of an independent implementation: a few that are restated here, and all of them where they are at hand.

use std::io::Write as _;
use std::sync::Once;

use serde_json::Value;

use crate::detection::baseline::Baseline;
use crate::detection::blocks::{Blocks, quantile};
use crate::detection::counters::{Counters, Totals};
use crate::detection::evidence::{Evidence, Question, Stretch};
use crate::detection::{Round, glitch};

/// Groups of rounds by badness and number, a rate, and the logarithm of the bet against it.
type Against = (&'static [(f64, u64)], f64, f64);

/// What the independent implementation has.
const AGAINST: [Against; 8] = [
    (&[(0.0, 1)], 0.001, 0.000_300_255_219_190_415_1),
    (&[(0.0, 720)], 0.001, 0.251_894_061_543_645_9),
    (&[(0.0, 720)], 0.02, 12.300_755_142_541_664),
    (&[(0.0, 713), (1.0, 7)], 0.02, 1.064_215_625_814_892_5),
    (&[(0.0, 3), (1.0, 2)], 0.9, 2.468_845_016_240_650_6),
    (&[(1.0, 5)], 0.2, -0.613_227_557_384_071_6),
    (&[(0.0, 100), (0.01, 40), (0.125, 3)], 0.2, 28.807_685_427_379_44),
    (&[(0.0, 17_280)], 0.02, 346.800_197_353_742_4),
];

/// The figures, or none, which is said once. They are no part of the project, so that is no step that is skipped, and
/// [`AGAINST`] is compared all the same.
fn vectors() -> Option<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/design/vectors.json");
    match std::fs::read_to_string(path) {
        Ok(text) => Some(serde_json::from_str(&text).expect("JSON")),
        Err(error) => {
            static SAID: Once = Once::new();
            // Not by a macro, of which a test that passes keeps what it says back.
            let line = format!(
                "NOT AT HAND: {path} ({error}); detection is held against the figures in its tests alone\n"
            );
            SAID.call_once(|| drop(std::io::stderr().write_all(line.as_bytes())));
            None
        }
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

/// Pairs of a time and a badness; what was not measured is left out.
fn rounds(value: &Value) -> Vec<Round> {
    let measured = list(value).iter().filter(|pair| !pair[1].is_null());
    measured.map(|pair| Round { at: number(&pair[0]), badness: number(&pair[1]) }).collect()
}

fn baseline(groups: &Value) -> Baseline {
    let mut baseline = Baseline::default();
    for group in list(groups) {
        baseline.add(number(&group[0]), group[1].as_u64().expect("a count"));
    }
    baseline
}

/// Within 1e-9 of it, or 1e-12 where it is very small.
fn is_close(mine: f64, theirs: f64) -> bool {
    let limit = if theirs.abs() < 1e-3 { 1e-12 } else { 1e-9 * theirs.abs() };
    (mine - theirs).abs() <= limit
}

#[test]
fn what_a_baseline_has_against_a_rate_by_the_figures_that_stand_here() {
    for (groups, rate, theirs) in AGAINST {
        let mut baseline = Baseline::default();
        groups.iter().for_each(|(badness, count)| baseline.add(*badness, *count));
        let mine = baseline.against(rate);
        assert!(is_close(mine, theirs), "{mine}, not {theirs}: {groups:?} against {rate}");
    }
}

#[test]
fn what_a_baseline_has_against_a_rate() {
    let Some(vectors) = vectors() else { return };
    for case in list(&vectors["baseline_log_e"]) {
        let mine = baseline(&case["groups"]).against(number(&case["p"]));
        assert!(is_close(mine, number(&case["log_e"])), "{mine}: {case}");
    }
}

#[test]
fn how_long_glitches_last_and_what_is_not_in_the_wake_of_one() {
    let Some(vectors) = vectors() else { return };
    for case in list(&vectors["auto_glitch"]) {
        let figure = |name: &str| number(&case[name]);
        let mine =
            glitch::length(rounds(&case["rounds"]), figure("interval"), figure("floor"), figure("bad_line"));
        assert!(is_close(mine, figure("glitch")), "{mine}: {}", case["name"]);
    }
    for case in list(&vectors["fresh"]) {
        let mine = Baseline::of(rounds(&case["rounds"]), number(&case["glitch"]));
        assert_eq!(mine.rounds(), case["n"].as_u64().expect("a count"), "{}", case["name"]);
        assert!(is_close(mine.failed(), number(&case["f"])), "{}", case["name"]);
    }
}

#[test]
fn the_evidence_after_every_round() {
    let Some(vectors) = vectors() else { return };
    for case in list(&vectors["signal"]) {
        let (name, figure) = (&case["name"], |name: &str| number(&case[name]));
        let question = Question {
            worse_by: figure("worse_by"),
            glitch: figure("glitch"),
            watch: figure("window"),
            probability: figure("alpha"),
        };
        let mut evidence = Evidence::new(&baseline(&case["groups"]), question);
        for (pair, score) in list(&case["rounds"]).iter().zip(list(&case["m"])) {
            if !pair[1].is_null() {
                evidence.take(Round { at: number(&pair[0]), badness: number(&pair[1]) });
            }
            let (mine, theirs) = (evidence.score(), number(score));
            assert!(is_close(mine, theirs), "{name} at {}: {mine}, not {theirs}", pair[0]);
        }
        assert_eq!(evidence.rounds(), case["rounds_used"].as_u64().expect("a count"), "{name}");
        assert_eq!(evidence.bad_rounds(), case["bad_rounds"].as_u64().expect("a count"), "{name}");
    }
}

#[test]
fn what_is_known_of_the_release_before() {
    let Some(vectors) = vectors() else { return };
    for case in list(&vectors["cells"]) {
        let question = Question {
            worse_by: number(&case["worse_by"]),
            glitch: 0.0,
            watch: 1_800.0,
            probability: number(&case["alpha"]),
        };
        let evidence = Evidence::new(&baseline(&case["groups"]), question);
        assert_eq!(Value::from(evidence.is_assumed()), case["assumed"], "{}", case["name"]);
        assert!(is_close(evidence.bad_line(), number(&case["bad_line"])), "{}", case["name"]);
        let allowed = evidence.all_allowed();
        assert_eq!(allowed.len(), list(&case["q"]).len(), "{}", case["name"]);
        let is_theirs = allowed.iter().zip(list(&case["q"])).all(|(mine, q)| is_close(*mine, number(q)));
        assert!(is_theirs, "{}", case["name"]);
    }
}

#[test]
fn the_time_of_a_watch() {
    let Some(vectors) = vectors() else { return };
    for case in list(&vectors["clock"]) {
        let mut stretch = Stretch::beginning(number(&case["start"]));
        for (now, at) in list(&case["mono"]).iter().zip(list(&case["t"])) {
            assert!(is_close(stretch.at(number(now)), number(at)), "{case}");
        }
    }
}

#[test]
fn latencies_in_blocks_and_what_most_of_them_do_not_exceed() {
    let Some(vectors) = vectors() else { return };
    for case in list(&vectors["block_medians"]) {
        let (start, mut found) = (number(&case["start"]), Vec::new());
        let mut blocks = Blocks::new(number(&case["length"]), 0.0);
        for sample in list(&case["samples"]) {
            found.extend(blocks.take(number(&sample[0]) - start, sample[1].as_f64()));
        }
        found.extend(blocks.end());
        let theirs = list(&case["out"]);
        assert_eq!(found.len(), theirs.len(), "{found:?}");
        for (block, theirs) in found.iter().zip(theirs) {
            assert!(is_close(block.end + start, number(&theirs[0])), "{block:?}, not {theirs}");
            match (block.median, theirs[1].as_f64()) {
                (Some(mine), Some(theirs)) => assert!(is_close(mine, theirs), "{block:?}, not {theirs}"),
                (mine, theirs) => assert_eq!(mine, theirs, "{block:?}"),
            }
        }
    }
    for case in list(&vectors["latency_threshold"]) {
        let values = list(&case["older_half"]).iter().map(number).collect();
        let mine = quantile(values, number(&case["level"])).expect("there are values");
        assert!(is_close(mine, number(&case["z"])), "{mine}: {case}");
    }
}

#[test]
fn what_counters_say_between_two_scrapes() {
    let Some(vectors) = vectors() else { return };
    for case in list(&vectors["counter_rounds"]) {
        let mut counters = Counters::default();
        for scrape in list(&case["samples"]) {
            let totals = scrape[1].as_f64().zip(scrape[2].as_f64());
            let totals = totals.map(|(requests, errors)| Totals { requests, errors });
            let mine = counters.take(totals, number(&case["min_requests"]));
            // The first one after a gap is not in their list.
            let theirs = list(&case["out"]).iter().find(|pair| pair[0] == scrape[0]);
            match (mine, theirs.and_then(|pair| pair[1].as_f64())) {
                (Some(mine), Some(theirs)) => assert!(is_close(mine, theirs), "{mine}: {scrape}"),
                (mine, theirs) => assert_eq!(mine, theirs, "{scrape}"),
            }
        }
    }
}
