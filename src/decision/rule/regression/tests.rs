//! How rules share the probability, and what an older journal means.

use super::*;
use crate::decision::measuring::Past;
use crate::decision::policy::{Condition, Rule};
use crate::decision::scenarios::policy;

fn regression(of: Signal, probability: f64) -> Regression {
    Regression { of, probability, worse_by: 0.02, glitch: Duration::from_secs(5), min_failures: 3 }
}

/// What each of the rules may be wrong with, at the first weighing and all of them.
fn shares(rules: &[(Signal, f64)]) -> Vec<f64> {
    let mut policy = policy();
    let regressions: Vec<Regression> =
        rules.iter().map(|(of, probability)| regression(*of, *probability)).collect();
    let rule = |one: &Regression| Rule::of("r", 0, Condition::Regression(one.clone()));
    policy.rules.extend(regressions.iter().map(rule));
    let share = |one: &Regression, begun| probability(&policy, one, begun);
    let all = |one: &Regression| (0..60).map(|begun| share(one, begun)).sum::<f64>();
    for one in &regressions {
        // However often it has to begin anew, no more than nine tenths, and the tenth that is left.
        assert!((share(one, 0) / all(one) - 0.9).abs() < 1e-9, "{one:?}");
    }
    regressions.iter().map(all).collect()
}

#[test]
fn kinds_have_their_parts_of_the_probability_and_rules_of_a_kind_have_as_much() {
    use Signal::{Failures, Latency};
    let p = 0.001;
    // The rules, and what part of its own probability each has.
    let table = [
        vec![(Failures, p, 1.0)],
        vec![(Latency, p, 1.0)],
        vec![(Failures, p, 0.5), (Failures, p, 0.5)],
        vec![(Failures, p, 5.0 / 7.0), (Latency, p, 2.0 / 7.0)],
        vec![(Latency, p, 1.0 / 7.0), (Failures, p, 5.0 / 7.0), (Latency, 0.1, 1.0 / 7.0)],
    ];
    for rules in table {
        let expected: Vec<f64> = rules.iter().map(|(_, probability, part)| probability * part).collect();
        let rules: Vec<(Signal, f64)> =
            rules.iter().map(|(of, probability, _)| (*of, *probability)).collect();
        let got = shares(&rules);
        let is_close = got.iter().zip(&expected).all(|(got, expected)| (got / expected - 1.0).abs() < 1e-9);
        assert!(is_close && got.len() == expected.len(), "{rules:?}: {got:?}");
        let most = rules.iter().map(|(_, probability)| *probability).fold(0.0, f64::max);
        assert!(got.iter().sum::<f64>() <= most * (1.0 + 1e-9), "any of them: {rules:?}");
    }
}

#[test]
fn what_an_older_journal_has_is_of_failures() {
    let text =
        r#"{"lately":{"runs":[{"from":0,"to":5000,"count":2,"is_bad":false}]},"since":0,"new":{"runs":[]}}"#;
    let past: Past = serde_json::from_str(text).expect("a past");
    let before = past.before(&regression(Signal::Failures, 0.001), Duration::from_secs(5));
    assert_eq!((before.baseline.rounds(), before.usual.clone()), (2, None));
    let text = serde_json::to_string(&before).expect("JSON");
    assert!(!text.contains("usual"), "{text}");
    let text = r#"{"probability":0.001,"worse_by":0.02,"glitch":{"secs":5,"nanos":0},"min_failures":3}"#;
    let old: Regression = serde_json::from_str(text).expect("a regression");
    assert_eq!(old, regression(Signal::Failures, 0.001));
    let text = r#"{"verdict":"bad","value":3.0,"threshold":1.0,"samples":3,"first_failure_at":null}"#;
    assert_eq!(serde_json::from_str::<Reading>(text).expect("a reading").compared, None);
}
