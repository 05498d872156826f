//! Whole files: what is understood, and how it is told.

mod figures;
mod hostile;
mod mistakes;

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::config::{Ask, ExpectValue, PlatformKind, ProbeConfig, TokenSource, schema, summary};
use crate::decision::policy::{Action, Condition, Mode, OnUnhealthy, Signal};
use crate::decision::sample::Window;

const MINIMAL: &str = include_str!("../../../config/minimal.yaml");
const FULL: &str = include_str!("../../../config/full.yaml");

fn problems(text: &str) -> String {
    parse("f.yaml", text).unwrap_err().to_string()
}

/// The minimal file with one piece replaced.
fn with(from: &str, to: &str) -> String {
    assert!(MINIMAL.contains(from), "{from}");
    MINIMAL.replacen(from, to, 1)
}

/// The minimal file with keys added to its app, probe or platform.
fn added(place: &str, keys: &str) -> String {
    match place {
        "file" => format!("{keys}\n{MINIMAL}"),
        "platform" => with("    kind: digitalocean", &format!("    kind: digitalocean\n    {keys}")),
        "app" => with("    probes:", &format!("    {keys}\n    probes:")),
        "probe" => with("      - name: home", &format!("      - name: home\n        {keys}")),
        "other probe" => with("    probes:", &format!("    probes:\n      - {keys}")),
        "rule" => with("    rules:", &format!("    rules:\n      - {keys}")),
        _ => unreachable!("{place}"),
    }
}

#[test]
fn a_journal_with_a_relative_name_is_in_the_current_folder_and_named_in_full() {
    let config = parse("/etc/rearguard/rearguard.yaml", &format!("state: rearguard.db\n{MINIMAL}")).unwrap();
    assert_eq!(config.state, std::env::current_dir().unwrap().join("rearguard.db"));
    let said = format!("keeps its journal in {} for 90d\n", config.state.display());
    assert!(summary(&config).contains(&said), "{}", summary(&config));
}

#[test]
fn secrets_with_relative_names_are_looked_for_beside_the_file_and_others_are_not() {
    let text = "admin_token_file: admin\nnotify:\n  - { name: ops, kind: webhook, url_file: hook-url, secret_file: /run/hook }\n";
    let mut config = parse("/etc/rearguard/rearguard.yaml", &format!("{text}{MINIMAL}")).unwrap();
    let named = |name: &str| TokenSource::Named { name: name.into(), folder: "/etc/rearguard".into() };
    assert_eq!(config.admin_token_file, Some(named("admin")));
    assert_eq!(config.platforms[0].token, named("do-token"));
    let of_channel: Vec<_> = config.notify[0].carrier.secrets().into_iter().map(|one| one.clone()).collect();
    assert_eq!(of_channel, [named("hook-url"), TokenSource::File("/run/hook".into())]);
}

#[test]
fn what_a_regression_leaves_out_depends_on_what_is_compared() {
    let of = |keys: &str| {
        let rule = format!("{{ name: r, probe: home, regression: {{ {keys} }} }}");
        let config = parse("f.yaml", &added("rule", &rule)).unwrap();
        let (regression, _) = config.apps[0].policy.rules[0].regression().unwrap();
        let glitch = regression.glitch.as_secs();
        (regression.of, regression.worse_by, glitch, regression.probability, regression.min_failures)
    };
    assert_eq!(of(""), (Signal::Failures, 0.02, 5, 0.001, 3));
    assert_eq!(of("of: failures"), of(""));
    assert_eq!(of("of: latency"), (Signal::Latency, 0.5, 10, 0.001, 3));
    assert_eq!(of("of: latency, worse_by: 10, glitch: 0s"), (Signal::Latency, 10.0, 0, 0.001, 3));
}

#[test]
fn counters_are_compared_by_their_share_and_may_have_a_limit() {
    let of = |keys: &str, rule: &str| {
        let probe = format!(
            "prometheus: {{ url: 'http://prom:9090', errors: 'bad{{a=\"b\"}}', requests: all{keys} }}"
        );
        let text = with("url: https://checkout.example.com/healthz", &probe)
            .replace("consecutive_failures: 3", rule);
        parse("f.yaml", &text).unwrap()
    };
    let config = of("", "regression: {}");
    let (app, second) = (&config.apps[0], Duration::from_secs(1));
    let (regression, _) = app.policy.rules[0].regression().unwrap();
    assert_eq!((regression.of, regression.worse_by), (Signal::Shares, 0.01));
    assert_eq!((regression.glitch, regression.min_failures), (second * 5, 3));
    let (probe, policy) = (&app.probes[0], &app.policy.probes[0]);
    let Ask::Counters(ask) = &probe.ask else { panic!("{:?}", probe.ask) };
    assert_eq!((ask.errors.as_str(), ask.requests.as_str()), ("bad{a=\"b\"}", "all"));
    assert_eq!((ask.at_most, ask.min_requests, ask.none_is_good), (None, 1, false));
    assert_eq!((probe.period, probe.settle, policy.lag), (second * 15, second * 60, second * 150));
    for rule in ["regression: {}", "consecutive_failures: 3", "failure_ratio: { above: 0.5, min_samples: 5 }"]
    {
        let config = of(", at_most: 0.05, min_requests: 20, absent: good", rule);
        let Ask::Counters(ask) = &config.apps[0].probes[0].ask else { panic!("{rule}") };
        assert_eq!((ask.at_most, ask.min_requests, ask.none_is_good), (Some(0.05), 20, true));
    }
}

#[test]
fn what_a_minimal_file_leaves_out_has_its_default() {
    let config = parse("f.yaml", MINIMAL).unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(config.listen.to_string(), "127.0.0.1:9797");
    assert_eq!(config.state, Path::new("/var/lib/rearguard/rearguard.db"));
    assert_eq!((config.retention, config.concurrent_rollbacks), (seconds(90 * 86_400), 3));
    assert_eq!((config.admin_token_file, config.control_probes), (None, vec![]));
    let platform = &config.platforms[0];
    assert_eq!(platform.kind, PlatformKind::DigitalOcean);
    assert_eq!(platform.token, TokenSource::Named { name: "do-token".into(), folder: "".into() });
    assert_eq!(platform.api.as_str(), "https://api.digitalocean.com/");
    assert_eq!(
        (platform.poll, platform.timeout, platform.reconcile),
        (seconds(15), seconds(10), seconds(30))
    );
    let app = &config.apps[0];
    let (policy, probe) = (&app.policy, &app.probes[0]);
    assert_eq!((policy.mode, policy.watch, policy.reconcile), (Mode::Observe, seconds(1_800), seconds(30)));
    assert_eq!((probe.period, probe.watch_period, probe.burst), (seconds(5), seconds(2), seconds(1)));
    assert_eq!((probe.timeout, probe.settle), (seconds(2), Duration::ZERO));
    // 60 for the soak's 30 samples, and two polls at the pace of the burst.
    assert_eq!(probe.window, 60 + 31);
    assert_eq!(policy.rules[0].tests[0].condition, Condition::ConsecutiveFailures { count: 3 });
    assert_eq!((policy.soak.period, policy.soak.min_samples), (seconds(600), 30));
    assert_eq!(policy.soak.on_unhealthy, OnUnhealthy::Revert);
    assert_eq!((policy.limits.cooldown, policy.limits.max_rollbacks), (seconds(1_800), 2));
    assert_eq!(policy.limits.per, seconds(86_400));
}

#[test]
fn a_platform_of_another_kind_has_its_own_api() {
    let config = parse("f.yaml", &with("kind: digitalocean", "kind: sevalla")).unwrap();
    let platform = &config.platforms[0];
    assert_eq!((platform.kind, platform.api.as_str()), (PlatformKind::Sevalla, "https://api.sevalla.com/v3"));
    assert!(summary(&config).contains("platform ocean: Sevalla\n  api       https://api.sevalla.com/v3, "));
    assert_eq!((platform.bandwidth, platform.balance), (Duration::ZERO, Duration::ZERO));
    assert!(parse("f.yaml", &with("kind: digitalocean", "kind: sevalla\n    bandwidth: 0s")).is_ok());
    let schema = schema();
    let written: serde_json::Value =
        serde_yaml::from_str(&with("kind: digitalocean", "kind: sevalla")).unwrap();
    assert!(jsonschema::is_valid(&schema, &written));
}

#[test]
fn the_full_file_shows_the_defaults() {
    let full = parse("f.yaml", FULL).unwrap();
    let minimal = parse("f.yaml", MINIMAL).unwrap();
    let (app, default) = (&full.apps[0], &minimal.apps[0]);
    assert_eq!(full.platforms, minimal.platforms);
    assert_eq!(
        (full.listen, &full.state, full.retention),
        (minimal.listen, &minimal.state, minimal.retention)
    );
    assert_eq!(full.concurrent_rollbacks, minimal.concurrent_rollbacks);
    let keys =
        ["    give_up: 3d ", "    api: https://slack.com/api ", "    port: 587 ", "    tls: starttls "];
    let bare = keys.iter().fold(FULL.to_owned(), |text, key| text.replace(key, "    #"));
    assert_eq!(parse("f.yaml", &bare).unwrap().notify, full.notify);
    assert_eq!((full.notify.len(), minimal.notify.len()), (4, 0));
    assert_eq!(app.policy.watch, default.policy.watch);
    assert_eq!(app.policy.probes[0], default.policy.probes[0]);
    let paces =
        |probe: &ProbeConfig| [probe.period, probe.watch_period, probe.burst].map(|pace| pace.as_secs());
    let settles = |text: &str| parse("f.yaml", text).unwrap().apps[0].probes[4].settle.as_secs();
    assert_eq!((settles(FULL), settles(&FULL.replace("settle: 1m", "timeout: 2s"))), (60, 60));
    let older = FULL.replace("settle: 1m", "timeout: 2s").replace("max_age: 1m", "max_age: 10m");
    assert_eq!(settles(&older), 600, "as long as a value may be of the release before");
    let found: Vec<_> = app.probes[1..].iter().map(paces).collect();
    assert_eq!(found, [[5, 2, 1], [60, 15, 15], [5, 2, 1], [15, 15, 15], [15, 15, 15], [15, 15, 15]]);
    let certificates = |text: &str| parse("f.yaml", text).unwrap().apps[0].probes[2].clone();
    let bare =
        FULL.replace("          at_least: 7d ", "          #").replace("        period: 1m ", "        #");
    assert_eq!(certificates(&bare), certificates(FULL));
    let crashes = |text: &str| parse("f.yaml", text).unwrap().apps[0].probes[6].clone();
    let mut bare = FULL.to_owned();
    for key in
        ["watch_period: 15s ", "timeout: 10s ", "settle: 0s                      # as ", "  max_age: 5m "]
    {
        let line = format!("        {key}");
        assert!(bare.contains(&line), "{key}");
        bare = bare.replace(&line, "        #");
    }
    assert_eq!(crashes(&bare), crashes(FULL));
    assert_eq!(app.policy.rollback, default.policy.rollback);
    assert_eq!(app.policy.soak, default.policy.soak);
    assert_eq!(app.policy.limits, default.policy.limits);
    assert_eq!(app.policy.mode, Mode::Enforce);
    assert_eq!(app.policy.rules.len(), 9);
    let bare = parse("f.yaml", &FULL.replace(", worse_by: 0.5, glitch: 10s", "")).unwrap();
    assert_eq!(app.policy.rules, bare.apps[0].policy.rules);
    let Ask::Http(ask) = &app.probes[0].ask else { panic!("{:?}", app.probes[0].ask) };
    assert_eq!(ask.expect.json.as_ref().unwrap().value, ExpectValue::Equals(json!("ok")));
    // 2m of samples at the pace of the burst, twenty at rest, and two polls.
    assert_eq!(app.probes[0].window, 121 + 20 + 31);
}

#[test]
fn a_rule_may_have_several_conditions_and_say_how_far_it_leads() {
    let two = "{ probe: home, consecutive_failures: 2 }, { probe: home, regression: {} }";
    let three = format!("{two}, {{ probe: home, failure_ratio: {{ above: 0.1 }} }}");
    let of = |keys: &str| {
        let config = parse("f.yaml", &added("rule", &format!("{{ name: r, {keys} }}"))).unwrap();
        let rule = config.apps[0].policy.rules[0].clone();
        (rule.needed, rule.tests.len(), rule.action)
    };
    assert_eq!(of("probe: home, consecutive_failures: 2"), (1, 1, Action::Rollback));
    assert_eq!(of(&format!("all: [{three}], action: approve")), (3, 3, Action::Approve));
    assert_eq!(of(&format!("any: [{three}], action: notify")), (1, 3, Action::Notify));
    assert_eq!(of(&format!("at_least: 2, of: [{three}], action: rollback")), (2, 3, Action::Rollback));
}

#[test]
fn the_schema_accepts_the_shipped_files_and_no_unknown_key() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let value = |text: &str| serde_yaml::from_str::<serde_json::Value>(text).unwrap();
    for text in [MINIMAL, FULL] {
        let errors: Vec<String> =
            validator.iter_errors(&value(text)).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
    }
    let refused = [
        added("file", "listn: x"),
        added("app", "wach: 10m"),
        added("app", "watch: 10 parsecs and a half?"),
        added("app", "notify: []"),
        added("platform", "token_env: A"),
        added("rule", "{ name: none, probe: home }"),
        added("rule", "{ name: two, probe: home, consecutive_failures: 3, failure_ratio: { above: 0.5 } }"),
        with("kind: digitalocean", "kind: heroku"),
        with("    id: 4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf", "    x: 1"),
    ];
    for text in refused {
        assert!(!validator.is_valid(&value(&text)), "{text}");
        assert!(parse("f.yaml", &text).is_err(), "{text}");
    }
}

#[test]
fn the_schema_bounds_numbers_as_check_does() {
    let schema = schema();
    let of = |mapping: &str, key: &str| schema["$defs"][mapping]["properties"][key].clone();
    let status = of("Expect", "status")["items"].clone();
    for (number, least, most) in [
        (of("Soak", "min_samples"), 1.0, 2_048.0),
        (of("FailureRatio", "min_samples"), 1.0, 2_048.0),
        (of("Latency", "min_samples"), 1.0, 2_048.0),
        (of("Rule", "consecutive_failures"), 1.0, 1_000.0),
        (of("Regression", "min_failures"), 1.0, 1_000.0),
        (of("Regression", "false_rollback_probability"), 1e-6, 0.1),
        // Of latency three times as long is a thing to say.
        (of("Regression", "worse_by"), 0.0, 10.0),
        (of("Limits", "max_rollbacks"), 1.0, 32.0),
        (of("FleetLimits", "concurrent_rollbacks"), 1.0, 10_000.0),
        (of("Channel", "port"), 1.0, 65_535.0),
        (status, 100.0, 599.0),
    ] {
        let bounds = (number["minimum"].as_f64(), number["maximum"].as_f64());
        assert_eq!(bounds, (Some(least), Some(most)), "{number}");
        assert_eq!(number.get("exclusiveMaximum"), None, "{number}");
    }
    for (mapping, key) in [("FailureRatio", "above"), ("Latency", "quantile")] {
        assert_eq!(of(mapping, key)["exclusiveMaximum"], 1, "{mapping}.{key}");
    }
}

#[test]
fn every_key_of_the_schema_is_described() {
    fn descend(value: &serde_json::Value, path: &str, missing: &mut Vec<String>) {
        for (key, inner) in value.as_object().into_iter().flatten() {
            if key == "properties" {
                for (name, property) in inner.as_object().unwrap() {
                    if property.get("description").is_none() {
                        missing.push(format!("{path}.{name}"));
                    }
                }
            }
            descend(inner, &format!("{path}.{key}"), missing);
        }
    }
    let mut missing = Vec::new();
    descend(&schema(), "", &mut missing);
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn a_short_watch_shortens_the_window_that_nobody_wrote() {
    let rule = "{ name: r, probe: home, failure_ratio: { above: 0.1, min_samples: 5 } }";
    let config = parse("f.yaml", &added("rule", rule).replace("mode: observe", "watch: 30s")).unwrap();
    let conditions: Vec<_> =
        config.apps[0].policy.rules.iter().map(|rule| &rule.tests[0].condition).collect();
    let found = conditions.iter().find_map(|condition| match condition {
        Condition::FailureRatio { over, .. } => Some(*over),
        _ => None,
    });
    assert_eq!(found, Some(Duration::from_secs(30)));
}

#[test]
fn a_window_never_needs_more_samples_than_are_kept() {
    let rule = |over: &str| {
        let text = added(
            "rule",
            &format!("{{ name: r, probe: home, failure_ratio: {{ above: 0.1, over: {over} }} }}"),
        );
        parse("f.yaml", &text.replace("mode: observe", "watch: 3h"))
    };
    let found = rule("2h").unwrap_err().to_string();
    assert!(found.contains("2h at 1s a sample is 7231 samples, more than 4096; allowed is up to"), "{found}");
    let config = rule("1h 7m 44s").unwrap();
    assert_eq!(config.apps[0].probes[0].window, Window::MAX);
    assert!(rule("1h 7m 46s").is_err());
}

#[test]
fn anchors_stand_for_what_they_name_and_a_byte_order_mark_for_nothing() {
    let text = "\u{feff}".to_owned()
        + &added("probe", "period: &p 3s").replace("mode: observe", "mode: observe\n    watch: 10m")
        + "    soak: &s { period: *p }\n";
    assert_eq!(parse("f.yaml", &text).unwrap().apps[0].policy.soak.period, Duration::from_secs(3));
}

#[test]
fn thousands_of_apps_fit_into_a_file() {
    let app = &MINIMAL[MINIMAL.find("  - name: checkout").unwrap()..];
    let lines: Vec<&str> = app.lines().map(|line| line.split(" #").next().unwrap().trim_end()).collect();
    let mut text = MINIMAL.replace(app, "");
    for n in 0..2_500 {
        for line in &lines {
            text.push_str(
                &line.replace("checkout", &format!("app-{n}")).replace("4f6c71e2", &format!("{n:08x}")),
            );
            text.push('\n');
        }
    }
    assert_eq!(parse("f.yaml", &text).unwrap().apps.len(), 2_500);
}

#[test]
fn the_summary_reads_well() {
    let text = FULL
        .replace("https://checkout", "https://user:hunter2@checkout")
        .replace("application/json", "hunter2");
    let summary = summary(&parse("f.yaml", &text).unwrap());
    let expected = r#"listens on 127.0.0.1:9797; API calls that change something need the token in admin-token
keeps its journal in /var/lib/rearguard/rearguard.db for 90d
stops everything when more than 3 apps want a rollback within a minute

platform ocean: DigitalOcean App Platform
  api       https://api.digitalocean.com/, token from file do-token
  paces     poll every 15s, request timeout 10s, unanswered writes looked for 30s
  readiness to roll back asked for every 10m in quiet times
  bandwidth read from the platform every 6h

control probe https://www.example.com/: every 5s, timeout 2s

app checkout: 4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf on ocean
  mode      enforce: acts by itself
  watch     30m after a deployment goes live
  restart   web once before a rollback where the platform can, then 1m 30s to see whether it helped
  freeze    batch: mon, tue, wed, thu, fri 02:00 to 04:00 UTC: no restart, rollback or revert, unless a person orders it
  freeze    weekend: fri 17:00 to mon 08:00 Europe/Berlin: no commit, unless a person orders it
  probe     home: https://checkout.example.com/healthz expects 200 and "ok" in the body and "ok" at "/status" in its JSON
            of the release that is live, by its header x-version
            every 5s, in a watch every 2s, in doubt every 1s; timeout 2s, 1 header; keeps 172 samples
  probe     database: tcp://db.example.com:5432 takes a connection
            every 5s, in a watch every 2s, in doubt every 1s; timeout 2s; keeps 91 samples
  probe     certificate: tls://checkout.example.com:443 has certificates for checkout.example.com that are good for at least 7d
            every 1m, in a watch every 15s, in doubt every 15s; timeout 2s; keeps 63 samples
  probe     cart: https://cart.example.com/ says over gRPC that "shop.v1.Cart" serves
            every 5s, in a watch every 2s, in doubt every 1s; timeout 2s; keeps 91 samples
  probe     errors: http://prometheus.example.com:9090/ says at most 0.05 of
            (sum(rate(http_errors_total[1m])) or vector(0)) / sum(rate(http_requests_total[1m]))
            without a value of the last 1m nobody can tell
            every 15s, in a watch every 15s, in doubt every 15s; timeout 2s, 1m to settle; keeps 63 samples
  probe     counted: http://prometheus.example.com:9090/ says what share of requests failed, at most 5 % in each scrape
            errors http_requests_total{app="shop",code=~"5.."}, requests http_requests_total{app="shop"}
            without two scrapes in the last 2m 30s, or with fewer than 1 request between them, nobody can tell
            every 15s, in a watch every 15s, in doubt every 15s; timeout 2s, 1m to settle; keeps 63 samples
  probe     crashes: the platform says at most 2 of restart_count of "web"
            without a value of the last 5m nobody can tell
            not at rest, in a watch every 15s, in doubt every 15s; timeout 10s; keeps 63 samples
  needs     database: while one of them is not good, no release is accused
  rule      down: bad when home fails 3 times in a row
  rule      flaky: bad when more than 20 % of home's samples fail over 2m, from 20 samples on
  rule      slow: bad when p95 of home's latency is above 800ms over 2m, from 20 samples on
  rule      errors: bad when errors fails 2 times in a row
  rule      crashes: bad when crashes fails 2 times in a row
  rule      worse: bad when home surely fails more often than in the release before, and 2 % more, from 3 failures on;
            glitches of 5s, or as the release before shows them; wrong for at most 1 release in 1000
  rule      slower: bad when home surely takes longer than the release before, and 50 % more, from 3 slow stretches on;
            slow spells of 10s, or as the release before shows them; wrong for at most 1 release in 1000
  rule      erring: bad when counted surely has more errors than the release before, and 1 % more, from 3 bad scrapes on;
            spells of 5s, or as the release before shows them; wrong for at most 1 release in 1000
  rule      overloaded: bad when all of these hold; told, and nothing done
            - p50 of home's latency is above 500ms over 2m, from 20 samples on
            - errors fails once
  rollback  refused when the platform warns of it, held for a person when a migration job changed
  soak      10m and 30 samples of each probe; when healthy commit, when unhealthy revert
  limits    at most 2 rollbacks in 24h, at least 30m between two

channel ops: webhook at https://hooks.example.com, signed with the secret in file hook-secret
  told      of fired, approval_needed, held, closed, as far as it is about checkout
            given up after 3d, in its own words

channel team: slack in C024BE91L, with the token in file slack-token; one thread an incident
  told      of everything
            given up after 3d

channel alerts: alertmanager at http://alertmanager.example.com:9093; one alert an incident
  told      of everything
            given up after 3d

channel mail: smtp by mail.example.com:587 from rearguard <rearguard@example.com> to ops@example.com
  told      of everything
            given up after 3d
"#;
    assert_eq!(summary, expected, "\n{summary}");
}

#[test]
fn freeze_windows_are_understood_as_they_are_written() {
    let text = |freeze: &str| {
        format!(
            "platforms: [{{ name: ocean, kind: digitalocean, token_env: TOKEN }}]\nfreeze: [{freeze}]\napps:\n  - name: shop\n    \
             platform: ocean\n    id: id-shop\n    probes: [{{ name: home, url: 'https://lab.test/' }}]\n"
        )
    };
    let said = |freeze: &str| {
        let config = parse("rearguard.yaml", &text(freeze)).expect(freeze);
        config.apps[0].freeze[0].to_string()
    };
    for (freeze, understood) in [
        (
            "{ name: weekend, from: fri 17:00, to: mon 08:00, zone: Europe/Berlin }",
            "weekend: fri 17:00 to mon 08:00 Europe/Berlin: no restart, rollback, revert or commit",
        ),
        (
            "{ name: night, from: 22:00, to: 06:00, blocks: [rollback] }",
            "night: every day 22:00 to 06:00 UTC: no restart, rollback or revert",
        ),
        (
            "{ name: noon, from: '12:00', to: '13:00', days: [tue, mon], blocks: [commit] }",
            "noon: tue, mon 12:00 to 13:00 UTC: no commit",
        ),
        (
            "{ name: sunday, from: sun 00:00, to: sun 24:00 }",
            "sunday: sun 00:00 to mon 00:00 UTC: no restart, rollback, revert or commit",
        ),
        (
            "{ name: week, from: mon 09:00, to: mon 08:59 }",
            "week: mon 09:00 to mon 08:59 UTC: no restart, rollback, revert or commit",
        ),
    ] {
        assert_eq!(said(freeze), understood);
    }
    let of = |freeze: &str| parse("rearguard.yaml", &text(freeze)).expect(freeze).apps[0].freeze[0].clone();
    assert_eq!(of("{ name: a, from: mon 09:00, to: mon 08:59 }").days, 7);
    assert_eq!(of("{ name: a, from: mon 09:00, to: mon 09:01 }").days, 0);
    assert_eq!(of("{ name: a, from: sat 09:00, to: mon 09:01 }").days, 2);
    assert_eq!(of("{ name: a, from: 09:00, to: 09:00 }").days, 1);
    assert_eq!(of("{ name: a, from: 09:00, to: '24:00' }").days, 1);
}

#[test]
fn listening_to_more_than_this_machine_is_said() {
    let said = |listen: &str| {
        let text = format!(
            "listen: {listen}\nplatforms: [{{ name: ocean, kind: digitalocean, token_env: TOKEN }}]\napps: [{{ name: shop, \
             platform: ocean, id: id-shop, probes: [{{ name: home, url: 'https://lab.test/' }}] }}]\n"
        );
        let config = parse("rearguard.yaml", &text).expect(listen);
        let warned = crate::config::warnings(&config).iter().any(|warning| warning.starts_with("listen: "));
        assert_eq!(warned, summary(&config).contains("warning: listen: "), "{listen}");
        warned
    };
    assert!(said("0.0.0.0:9797") && said("'[::]:9797'") && said("10.0.0.5:9797"));
    assert!(!said("127.0.0.1:9797") && !said("'[::1]:9797'"));
}
