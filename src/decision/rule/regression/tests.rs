//! How rules share the probability, and what an older journal means.

use super::*;
use crate::decision::measuring::Past;
use crate::decision::policy::{Condition, Rule};
use crate::decision::sample::Failure;
use crate::decision::scenarios::policy;
use crate::detection::counters::Step;

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

fn at(seconds: i64) -> Moment {
    Moment::from_millis(seconds * 1_000)
}

/// One sample a second from zero on.
fn window(results: impl IntoIterator<Item = SampleResult>) -> Window {
    let mut window = Window::new(Window::MAX);
    for (n, result) in (0..).zip(results) {
        window.push(Sample { at: at(n), micros: 1_000, result });
    }
    window
}

/// So many samples, of which the last ones failed.
fn failing_at_last(all: usize, failed: usize) -> Window {
    window((0..all).map(|n| match n < all - failed {
        true => SampleResult::Good,
        false => SampleResult::Bad(Failure::Status(500)),
    }))
}

fn at_rest(rule: &Regression, window: &Window) -> Reading {
    let span = Span { from: at(0), to: at(60), pace: Pace::Rest };
    read(&"r".into(), rule, &policy().probes[0], window, span)
}

#[test]
fn at_rest_an_app_is_bad_whose_failures_are_many_and_more_than_a_few() {
    let rule = |min_failures| Regression { min_failures, ..regression(Signal::Failures, 0.001) };
    let said =
        |all, failed, min_failures| at_rest(&rule(min_failures), &failing_at_last(all, failed)).verdict;
    assert_eq!(said(20, 3, 3), Verdict::Bad);
    assert_eq!(said(20, 3, 4), Verdict::Good, "so few may be anything");
    assert_eq!(said(20, 2, 1), Verdict::Good, "one in ten at most");
    assert_eq!(said(9, 0, 3), Verdict::Unknown);
    let reading = at_rest(&rule(3), &failing_at_last(20, 4));
    assert_eq!((reading.samples, reading.first_failure_at, reading.threshold), (20, Some(at(16)), 1_000.0));
}

#[test]
fn at_rest_only_the_last_minutes_count_and_twenty_samples_at_least() {
    let rule = regression(Signal::Failures, 0.001);
    let mut probe = policy().probes[0].clone();
    let early = window((0..1_000).map(|n| match n < 600 {
        true => SampleResult::Bad(Failure::Status(500)),
        false => SampleResult::Good,
    }));
    let span = Span { from: at(0), to: at(1_000), pace: Pace::Rest };
    let said = |probe: &ProbePolicy| read(&"r".into(), &rule, probe, &early, span).samples;
    probe.period = Duration::from_secs(5);
    assert_eq!(said(&probe), 300);
    probe.period = Duration::from_secs(40);
    assert_eq!(said(&probe), 800);
}

#[test]
fn at_rest_an_app_has_more_errors_than_usual_where_most_of_what_it_says_is_so() {
    let rule = regression(Signal::Shares, 0.001);
    let shares = |bad: usize, all: usize, share: f64| {
        let share_of = |n| if n < bad { share } else { 0.0 };
        window((0..all).map(move |n| SampleResult::Share(Step::of(share_of(n)))))
    };
    let with = |mut window: Window, rounds: u64| {
        let mut before = Before::default();
        before.baseline.add(0.0, rounds);
        window.gauge_mut(&"r".into()).before = Some(before);
        let reading = at_rest(&rule, &window);
        (reading.verdict, reading.samples)
    };
    assert_eq!(with(shares(6, 10, 0.5), 60), (Verdict::Bad, 10));
    assert_eq!(with(shares(5, 10, 0.5), 60), (Verdict::Good, 10), "not most");
    assert_eq!(with(shares(3, 10, 0.5), 60), (Verdict::Good, 10));
    assert_eq!(with(shares(2, 3, 0.5), 60), (Verdict::Unknown, 3), "so few may be anything");
    assert_eq!(with(shares(10, 10, 0.01), 60), (Verdict::Good, 10), "nobody minds that");
    // While nothing is known of before, nothing is more than usual.
    assert_eq!(with(shares(10, 10, 1.0), 0), (Verdict::Good, 10));
}

#[test]
fn what_was_weighed_is_bad_good_or_neither_by_all_it_takes() {
    let rule = regression(Signal::Failures, 0.001);
    let weight = |score: f64, failed, rounds| Weight {
        score,
        needed: 1_000.0,
        rounds,
        failed,
        first_failure_at: Some(at(3)),
        last_at: Some(at(9)),
        allowed: 0.03,
        usual: 0.01,
        seen: 0.5,
        is_assumed: false,
    };
    let said = |weight: &Weight| judge(&rule, weight).verdict;
    assert_eq!(said(&weight(1_000.0, 3, 9)), Verdict::Bad);
    assert_eq!(said(&weight(999.0, 3, 9)), Verdict::Unknown);
    assert_eq!(said(&weight(1_000.0, 2, 9)), Verdict::Unknown);
    assert_eq!(said(&weight(19.9, 0, 10)), Verdict::Good);
    assert_eq!(said(&weight(20.0, 0, 10)), Verdict::Unknown, "that is a doubt");
    assert_eq!(said(&weight(1.0, 0, 9)), Verdict::Unknown, "too few say so");
    // What was sent after the end of the span does not count: the former weight stands for it, if it can.
    let read_until = |to, now: i64, confirmed: i64| {
        let mut window = Window::new(1);
        let of =
            |last: i64| Weight { last_at: Some(at(last)), rounds: last.unsigned_abs(), ..weight(1.0, 0, 0) };
        window.gauge_mut(&"r".into()).weighed =
            Some(Weighed { from: at(0), begun: 0, now: of(now), confirmed: of(confirmed) });
        let span = Span { from: at(0), to: at(to), pace: Pace::Watch };
        read(&"r".into(), &rule, &policy().probes[0], &window, span).samples
    };
    assert_eq!((read_until(10, 9, 5), read_until(9, 9, 5), read_until(5, 9, 5)), (9, 5, 0));
}

#[test]
fn each_sample_is_weighed_once_and_confirmed_by_a_read_that_was_sent_no_sooner() {
    let rule = regression(Signal::Failures, 0.001);
    let probe = policy().probes[0].clone();
    let mut before = Before::default();
    before.baseline.add(0.0, 9);
    before.baseline.add(1.0, 1);
    let mut scale = Scale::new(&rule, &before, (0.001, 0), &probe, (at(0), Duration::from_secs(1_800)));
    let first = failing_at_last(10, 4);
    let weighed = scale.weigh(&first, Some(at(5)));
    assert_eq!((weighed.now.rounds, weighed.now.last_at), (10, Some(at(9))));
    assert_eq!((weighed.confirmed.rounds, weighed.confirmed.last_at), (6, Some(at(5))));
    assert_eq!((weighed.now.seen, weighed.now.usual, weighed.now.first_failure_at), (0.4, 0.1, Some(at(6))));
    assert!(weighed.now.allowed > 0.0, "{weighed:?}");
    // Again, with ten more.
    let all = window((0..20).map(|n| match (6..10).contains(&n) {
        true => SampleResult::Bad(Failure::Status(500)),
        false => SampleResult::Good,
    }));
    let weighed = scale.weigh(&all, Some(at(30)));
    assert_eq!((weighed.now.rounds, weighed.now.failed, weighed.now.seen), (20, 4, 0.2));
    assert_eq!((weighed.confirmed.rounds, weighed.confirmed.last_at), (20, Some(at(19))));
    let again = scale.weigh(&all, None);
    assert_eq!(again, weighed);
    // Where nothing is known of before, how it was is assumed.
    let mut scale =
        Scale::new(&rule, &Before::default(), (0.001, 0), &probe, (at(0), Duration::from_secs(1_800)));
    let assumed = scale.weigh(&first, None).now;
    assert!(assumed.is_assumed, "{assumed:?}");
}

#[test]
fn what_takes_longer_is_measured_although_nothing_is_known_of_before() {
    let rule = regression(Signal::Latency, 0.001);
    let probe = policy().probes[0].clone();
    let times = (at(0), Duration::from_secs(1_800));
    let mut scale = Scale::new(&rule, &Before::default(), (0.001, 0), &probe, times);
    let weight = scale.weigh(&failing_at_last(600, 0), None).now;
    assert!(weight.rounds > 0 && weight.is_assumed && weight.failed == 0, "{weight:?}");
}

#[test]
fn a_share_is_a_bad_one_only_where_it_is_more_than_so_much_worse() {
    let rule = Regression { worse_by: 0.5, ..regression(Signal::Shares, 0.001) };
    let mut before = Before::default();
    before.baseline.add(0.0, 10);
    let first_bad_at = |share: f64| {
        let watch = (at(0), Duration::from_secs(1_800));
        let mut scale = Scale::new(&rule, &before, (0.001, 0), &policy().probes[0], watch);
        let shares = window((0..3).map(|_| SampleResult::Share(Step::of(share))));
        scale.weigh(&shares, None).now.first_failure_at
    };
    assert_eq!((first_bad_at(0.5), first_bad_at(0.6)), (None, Some(at(0))));
}
