//! What is said is held against what the daemon's own pieces find, paced by code of its own and drawn by another chance,
//! and against exact figures where there are any.

use std::time::Duration;

use super::*;
use crate::clock::Moment;
use crate::config::{AppConfig, parse};
use crate::decision::measuring::{Measuring, Shown};
use crate::decision::observation::{AppView, Artifact, Cause, Deployment, Phase, Reading};
use crate::decision::rule::{self, Pace, Verdict};
use crate::decision::sample::{Failure, Sample, SampleResult, Window};
use crate::decision::state::{Live, Situation, State, Watch};

const HOME: &str = "[{ name: home, url: http://a.example/ }]";
const DOWN: &str = "{ name: down, probe: home, consecutive_failures: 3 }";
const FLAKY: &str = "{ name: flaky, probe: home, failure_ratio: { above: 0.2 } }";
const WORSE: &str = "{ name: worse, probe: home, regression: {} }";

/// How far off a time may be that is said: half of what is tried more than a hundred times varies by itself.
const FACTOR: f64 = 1.4;
/// And a share that is found.
const OFF: f64 = 0.12;
/// The first sample comes by chance within one pace of a watch.
const PHASE: f64 = 2.0;

fn app(keys: &str, probes: &str, rules: &str) -> AppConfig {
    let text = format!(
        "platforms: [{{ name: ocean, kind: digitalocean, token_env: T }}]\napps:\n  - name: shop\n    \
         platform: ocean\n    id: x\n    {keys}\n    probes: {probes}\n    rules: {rules}\n"
    );
    parse("f.yaml", &text).expect("it is right").apps.remove(0)
}

fn said(app: &AppConfig) -> Vec<Outlook> {
    outlooks(&app.policy, &app.probes, &known::assumed(&app.policy))
}

fn sentences(app: &AppConfig) -> String {
    said(app).into_iter().map(|outlook| outlook.in_words + "\n").collect()
}

fn deployment(id: &str) -> Deployment {
    Deployment {
        id: id.into(),
        phase: Phase::Active,
        cause: Cause::Release,
        created_ms: 1,
        complete: true,
        artifact: Artifact::default(),
        cloned_from: None,
        took_ms: None,
        title: String::new(),
    }
}

/// When a release of an app with one probe is found to be bad, in seconds: what the app's task does with each sample.
fn found_after(app: &AppConfig, first: Duration, mut fails: impl FnMut() -> bool) -> Option<f64> {
    let live = Live { id: "new".into(), created_ms: 1, since: Moment::from_millis(60_000) };
    let watching = State {
        situation: Situation::Watching(Watch {
            until: live.since + app.policy.watch,
            live: live.clone(),
            candidate: deployment("new"),
            bad_before: Default::default(),
            former: Vec::new(),
            was_restarted: false,
            before: known::assumed(&app.policy),
            begun: 0,
        }),
        ..State::default()
    };
    let mut measuring = Measuring::default();
    measuring.moved(&State::default(), &watching);
    let (probe, seen) = (&app.probes[0], Reading::<AppView>::never());
    let mut windows = vec![Window::new(probe.window)];
    let (mut at, mut streak, mut goods) = (live.since + first, None, 0);
    while at < live.since + app.policy.watch {
        let has_failed = fails();
        let result = if has_failed { SampleResult::Bad(Failure::Connect) } else { SampleResult::Good };
        windows[0].push(Sample { at, micros: 0, result });
        let now = at + Duration::from_millis(1);
        let shown = Shown { app: &seen, other_was_live_at: None };
        measuring.weigh(&app.policy, &watching, shown, &mut windows);
        let readings = rule::read_all(&app.policy, &windows, live.since, now, Pace::Watch);
        if readings.iter().any(|reading| reading.verdict == Verdict::Bad) {
            return Some(at.since(live.since).as_secs_f64());
        }
        // A minute of closer looks from the first failure on, over after ten good ones.
        goods = if has_failed { 0 } else { goods + 1 };
        streak = if has_failed { streak.or(Some(at)) } else { streak.filter(|_| goods < 10) };
        let is_close = streak.is_some_and(|since: Moment| at.since(since) < Duration::from_secs(60));
        at = at + if is_close { probe.burst } else { probe.watch_period };
    }
    None
}

#[test]
fn what_is_said_is_what_is_found() {
    let mut chance = fastrand::Rng::with_seed(7);
    let all = format!("{DOWN}, {FLAKY}, {WORSE}");
    for rules in [DOWN, FLAKY, WORSE, &all] {
        let app = app("watch: 15m", HOME, &format!("[{rules}]"));
        let shares = said(&app).remove(0).shares;
        for share in [1.0, 0.5, 0.2, 0.1] {
            let prospect = shares.iter().find(|prospect| prospect.failing == share);
            let mut times: Vec<f64> = (0..101)
                .map(|_| {
                    let first = Duration::from_secs_f64(chance.f64() * PHASE);
                    found_after(&app, first, || chance.f64() < share).unwrap_or(f64::INFINITY)
                })
                .collect();
            times.sort_by(f64::total_cmp);
            let found = times.iter().filter(|time| time.is_finite()).count() as f64 / 101.0;
            let told = format!("{rules}, {share}: {prospect:?}, measured {} s, {found} found", times[50]);
            match prospect {
                Some(Prospect { seconds, found: said, .. }) => {
                    let (least, most) = (times[50] / FACTOR - PHASE, times[50] * FACTOR + PHASE);
                    assert!((least..=most).contains(seconds) && (said - found).abs() <= OFF, "{told}");
                }
                None => assert!(found < 0.5 + OFF, "{told}"),
            }
        }
    }
}

#[test]
fn a_run_of_failures_comes_as_soon_as_its_exact_distribution_says() {
    // At one pace, so that samples are as good as time.
    let probes = "[{ name: home, url: http://a.example/, burst: 2s }]";
    let app = app("watch: 20m", probes, &format!("[{DOWN}]"));
    // When half of the releases have had three in a row, and how many have at the end.
    let exactly = |fails: f64| {
        let (mut runs, mut median) = ([1.0, 0.0, 0.0, 0.0], f64::INFINITY);
        for sample in 0..600 {
            let [none, one, two, three] = runs;
            runs = [(none + one + two) * (1.0 - fails), none * fails, one * fails, two * fails + three];
            if runs[3] >= 0.5 {
                median = median.min(f64::from(sample) * 2.0);
            }
        }
        (median, runs[3])
    };
    let shares = said(&app).remove(0).shares;
    for Prospect { failing, seconds, found, .. } in &shares {
        let (median, all) = exactly(*failing);
        let told = format!("{failing}: {seconds} s, exactly {median}; {found} found, exactly {all}");
        // Where the median is near the end of the watch, it may be past it.
        let most = if median.is_finite() { median * FACTOR + PHASE } else { 1_200.0 };
        let least = if median.is_finite() { median / FACTOR } else { 1_000.0 };
        assert!((least..=most).contains(seconds) && (found - all).abs() <= OFF, "{told}");
    }
    let smallest = shares.last().map_or(1.0, |last| last.failing);
    assert!(exactly(smallest - 0.01).1 < 0.5 + OFF, "{smallest}");
}

#[test]
fn times_follow_the_pace_the_settle_time_and_the_least_number_of_samples() {
    let soonest = |probe: &str, rules: &str| {
        let probe = format!("[{{ name: home, url: http://a.example/{probe} }}]");
        said(&app("watch: 3m", &probe, rules))[0].shares[0].seconds
    };
    let [down, flaky] = [DOWN, FLAKY].map(|rule| format!("[{rule}]"));
    let table = [
        // Two more after the first one, one second apart, as after any failure in a watch.
        ("", down.as_str(), 2.0),
        (", burst: 2s", &down, 4.0),
        (", settle: 30s", &down, 32.0),
        ("", &flaky, 19.0),
        // A minute of closer looks, and then the pace of the watch.
        ("", "[{ name: down, probe: home, consecutive_failures: 100 }]", 60.0 + 39.0 * 2.0),
    ];
    for (probe, rules, after) in table {
        let seconds = soonest(probe, rules);
        assert!(
            (after..=after + PHASE).contains(&seconds),
            "{probe} {rules}: {seconds} s, and not {after} s"
        );
    }
}

#[test]
fn one_broken_instance_is_noticed_by_what_counts_shares_and_never_by_three_in_a_row() {
    let instances = |rule: &str| -> Vec<u32> {
        let outlooks = said(&app("watch: 10m", HOME, &format!("[{rule}]")));
        let one = |one: &Prospect| (1.0 / one.failing).round() as u32;
        outlooks[0].instances.iter().filter(|one| one.found == 1.0).map(one).collect()
    };
    assert_eq!(instances(DOWN), [0; 0]);
    assert_eq!(instances(WORSE), [2, 3, 5, 10]);
    // One of five is 20 %, and a window is over that where it has the broken one's turn once more.
    assert_eq!(instances(FLAKY), [2, 3, 5]);
}

#[test]
fn slow_answers_are_noticed_by_what_is_about_time_and_by_nothing_else() {
    let of = |rules: &str| said(&app("watch: 10m", HOME, &format!("[{rules}]")));
    let slow = "{ name: slow, probe: home, latency: { quantile: 0.95, above: 800ms } }";
    let slower = "{ name: slower, probe: home, regression: { of: latency } }";
    assert_eq!(of(&format!("{DOWN}, {FLAKY}, {WORSE}"))[0].slow, None);
    for (rule, name, after) in [(slow, "slow", 38.0..=41.0), (slower, "slower", 120.0..=200.0)] {
        let outlooks = of(rule);
        let [Outlook { shares, instances, slow: Some(slow), .. }] = outlooks.as_slice() else {
            panic!("{outlooks:?}")
        };
        assert!(shares.is_empty() && instances.is_empty(), "{outlooks:?}");
        assert!(after.contains(&slow.seconds) && slow.found == 1.0 && slow.rule.as_str() == name, "{slow:?}");
    }
    // A release that nothing is known of is slower than nothing.
    let app = app("watch: 10m", HOME, &format!("[{slower}]"));
    let unknown = outlooks(&app.policy, &app.probes, &BTreeMap::new());
    assert_eq!(unknown[0].in_words, "answers just within the timeout: not within this watch (10m)");
}

#[test]
fn what_the_app_counts_itself_is_noticed_by_the_share_of_its_requests() {
    let counted = "[{ name: counted, prometheus: { url: 'http://p.example/', errors: e, requests: r } }]";
    let erring = "[{ name: erring, probe: counted, regression: {} }]";
    let outlook = said(&app("watch: 10m", counted, erring)).remove(0);
    let after =
        |failing: f64| outlook.shares.iter().find(|one| one.failing == failing).map(|one| one.seconds);
    // A minute to settle, then three scrapes, and five for a fifth of the requests.
    let (all, fifth) = (after(1.0).expect("all"), after(0.2).expect("a fifth"));
    assert!((90.0..=110.0).contains(&all) && (all..=150.0).contains(&fifth), "{outlook:?}");
    assert_eq!((after(0.01), outlook.slow), (None, None), "no more than is tolerated");
}

#[test]
fn what_fails_less_often_is_noticed_no_sooner() {
    let shares = said(&app("watch: 15m", HOME, &format!("[{DOWN}, {FLAKY}, {WORSE}]"))).remove(0).shares;
    assert!(shares.is_sorted_by(|one, next| one.failing > next.failing && one.found >= next.found));
    assert!(shares.is_sorted_by(|one, next| one.seconds <= next.seconds), "{shares:?}");
    assert!(shares.len() > 4 && shares.iter().all(|one| one.found >= 0.5), "{shares:?}");
}

#[test]
fn a_release_that_is_no_worse_is_not_accused_at_the_pace_at_which_the_probe_really_asks() {
    // Closer looks follow failures, so that there are more samples of worse times.
    const WATCHES: usize = 300;
    let app = app("watch: 30m", HOME, &format!("[{WORSE}]"));
    for usual in [0.0, 0.01, 0.05, 0.2] {
        let mut before = known::assumed(&app.policy);
        for before in before.values_mut() {
            before.baseline = Default::default();
            before.baseline.add(1.0, (720.0 * usual) as u64);
            before.baseline.add(0.0, (720.0 * (1.0 - usual)) as u64);
        }
        let ground = Ground::new(&app.policy, &app.probes, &before);
        for more in [0.0, 0.02] {
            let mut chance = Chance::seeded(SEED);
            let failing = Failing::by_chance(&[true], usual + more);
            let accused = (0..WATCHES)
                .filter(|trial| ground.watch(&failing, &[0], *trial, &mut chance).is_some())
                .count();
            assert_eq!(accused, 0, "{accused} of {WATCHES}, where {usual} failed before and {more} more do");
        }
    }
}

#[test]
fn more_known_of_the_release_before_makes_more_noticed() {
    let least = |app: &AppConfig, before| {
        let outlooks = outlooks(&app.policy, &app.probes, &before);
        outlooks[0].shares.last().expect("a dead release is noticed").failing
    };
    let one = app("watch: 5m", HOME, &format!("[{WORSE}]"));
    let [nothing, minutes, hour] = [0, 60, 720].map(|rounds| {
        let mut before = known::assumed(&one.policy);
        for before in before.values_mut() {
            before.baseline = Default::default();
            before.baseline.add(0.0, rounds);
        }
        least(&one, before)
    });
    assert!(nothing > minutes && minutes > hour, "{nothing} {minutes} {hour}");
    // Two rules share the probability of being wrong.
    let two = "[{ name: a, probe: home, regression: {} }, { name: b, probe: home, regression: {} }]";
    let two = app("watch: 5m", HOME, two);
    assert!(hour < least(&two, known::assumed(&two.policy)));
}

#[test]
fn it_is_said_in_words() {
    let of =
        |watch: &str, rules: &str| sentences(&app(&format!("watch: {watch}"), HOME, &format!("[{rules}]")));
    insta::assert_snapshot!(of("30m", &format!("{DOWN}, {FLAKY}, {WORSE}")), @"all requests failing: noticed in about 3s; half of them: 14s; 20 %: 29s; 10 %: 4m 9s; 6 %: 17m 40s, 2 of 10 never; less: not within this watch (30m); one broken instance, asked in turn, of 2: 20s, of 3: 22s, of 5: 25s, of 10: 1m 50s");
    insta::assert_snapshot!(of("5m", DOWN), @"all requests failing: noticed in about 3s; half of them: 13s; 20 %: 1m 56s, 3 of 10 never; 16 %: 4m 26s, 5 of 10 never; less: not within this watch (5m); one broken instance of several, asked in turn: not");
    insta::assert_snapshot!(of("10s", WORSE), @"not even all requests failing would be noticed within this watch (10s)");
    let probes = "[{ name: home, url: http://a.example/ }, { name: port, tcp: a.example:5432 }, \
                   { name: errors, prometheus: { url: 'http://p.example/', query: up, at_least: 1 }, settle: 0s }]";
    let rules = format!(
        "[{DOWN}, {{ name: tells, probe: port, consecutive_failures: 2, action: notify }}, \
         {{ name: asks, probe: port, consecutive_failures: 5, action: approve }}, \
         {{ name: both, all: [{{ probe: home, failure_ratio: {{ above: 0.3 }} }}, {{ probe: port, consecutive_failures: 2 }}] }}, \
         {{ name: slow, probe: home, latency: {{ quantile: 0.95, above: 800ms }} }}, \
         {{ name: figure, all: [{{ probe: home, consecutive_failures: 2 }}, {{ probe: errors, consecutive_failures: 2 }}] }}]"
    );
    let app = app("watch: 5m", probes, &rules);
    insta::assert_snapshot!(sentences(&app), @r#"
    all requests of home failing: noticed in about 3s; half of them: 13s; 20 %: 1m 56s, 3 of 10 never; 16 %: 4m 26s, 5 of 10 never; less: not within this watch (5m); one broken instance of several, asked in turn: not; answers just within the timeout: 39s
    all requests of every probe failing: noticed in about 3s; half of them: 13s; 20 %: 1m 43s, 3 of 10 never; 17 %: 2m 58s, 4 of 10 never; less: not within this watch (5m); one broken instance of several, asked in turn: not; answers just within the timeout: 39s
    all connections of port failing: noticed in about 5s; half of them: 53s, 1 of 10 never; 35 %: 4m 20s, 5 of 10 never; less: not within this watch (5m); one broken instance of several, asked in turn: not; a person is asked then
    "#);
    let silent: Vec<String> = silent(&app.policy, &app.probes).iter().map(ToString::to_string).collect();
    assert_eq!(silent, ["figure"]);
}
