//! Whole files: what is understood, what is refused, and in which words.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::{PlatformKind, TokenSource, schema, summary, warnings};
use crate::decision::policy::{Condition, Mode, OnUnhealthy};
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
        "rule" => with("    rules:", &format!("    rules:\n      - {keys}")),
        _ => unreachable!("{place}"),
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
    assert_eq!(platform.token, TokenSource::File("/etc/rearguard/do.token".into()));
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
    assert_eq!(policy.rules[0].condition, Condition::ConsecutiveFailures { count: 3 });
    assert_eq!((policy.soak.period, policy.soak.min_samples), (seconds(600), 30));
    assert_eq!(policy.soak.on_unhealthy, OnUnhealthy::Revert);
    assert_eq!((policy.limits.cooldown, policy.limits.max_rollbacks), (seconds(1_800), 2));
    assert_eq!(policy.limits.per, seconds(86_400));
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
    assert_eq!(app.policy.watch, default.policy.watch);
    assert_eq!(app.policy.probes, default.policy.probes);
    assert_eq!(app.policy.rollback, default.policy.rollback);
    assert_eq!(app.policy.soak, default.policy.soak);
    assert_eq!(app.policy.limits, default.policy.limits);
    assert_eq!(app.policy.mode, Mode::Enforce);
    assert_eq!(app.policy.rules.len(), 3);
    assert_eq!(app.probes[0].expect.json.as_ref().unwrap().equals, json!("ok"));
    // 2m of samples at the pace of the burst, and two polls.
    assert_eq!(app.probes[0].window, 121 + 31);
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
        with("kind: digitalocean", "kind: sevalla"),
        with("    id: 4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf", "    x: 1"),
    ];
    for text in refused {
        assert!(!validator.is_valid(&value(&text)), "{text}");
        assert!(parse("f.yaml", &text).is_err(), "{text}");
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

/// One file with many mistakes: all are reported, in the order of the file, and no secret with them.
#[test]
fn all_problems_of_a_file_are_reported_at_once_with_their_places() {
    let text = r#"listen: everywhere
state: postgres://user:hunter2@db/rearguard
pasword: hunter2
platforms:
  - name: ocean
    kind: digitalocean
    token: hunter2
  - name: ocean
    kind: heroku
    token_env: dop_v1_hunter2
    api: http://api.example.com
apps:
  - name: checkout
    platform: ocaen
    id: a/b
    mode: enforce
    wach: 30m
    restart_first: 90s
    probes:
      - name: home
        url: ftp://user:hunter2@example.com/
        perod: 5s
        watch_period: 10s
        timeout: 2
        headers: { authorization: [hunter2] }
        expect: { status: [200, ok, 999] }
      - 5
    rules:
      - { name: none, probe: hom }
      - { name: both, probe: home, consecutive_failures: 0, latency: { quantile: 95, above: 800ms } }
      - { name: down, probe: home, consecutive_failures: 3 }
      - { name: down, probe: home, failure_ratio: { over: 1h } }
    soak:
      period: 10 parsecs
      on_healthy: celebrate
    limits: { max_rollbacks: -1 }
  - platform: ocean
notify: []
notify: [hunter2]
"#;
    let expected = r#"f.yaml:1:9: listen: "everywhere" is not an address to listen on; allowed is an address and a port such as 127.0.0.1:9797 or [::1]:9797
f.yaml:2:8: state: a PostgreSQL journal is not available yet; allowed is the path of a SQLite file
f.yaml:3:1: pasword: unknown key `pasword`; allowed are listen, state, retention, admin_token_file, platforms, control_probes, apps, limits
f.yaml:7:5: platforms[0].token: secrets do not stand in this file; allowed are token_file and token_env
f.yaml:8:11: platforms[1].name: the name ocean is taken by platforms[0]; allowed is a name of its own
f.yaml:9:11: platforms[1].kind: "heroku" is not a kind of platform; allowed is digitalocean
f.yaml:10:16: platforms[1].token_env: is not the name of an environment variable; allowed is the name of one, such as DIGITALOCEAN_TOKEN, with the token in its value
f.yaml:11:10: platforms[1].api: would send the token in clear; allowed is https, or http on a loopback address
f.yaml:14:15: apps[0].platform: there is no platform "ocaen"; allowed is ocean
f.yaml:15:9: apps[0].id: "a/b" is not an app's id; allowed is the platform's id of the app, as in its address in the control panel
f.yaml:17:5: apps[0].wach: unknown key `wach`; did you mean `watch`? allowed are name, platform, id, mode, watch, probes, rules, rollback, soak, limits
f.yaml:18:5: apps[0].restart_first: is not available yet; allowed is to leave it out
f.yaml:21:14: apps[0].probes[0].url: is a URL of another scheme; allowed is an http or https URL such as https://shop.example.com/healthz
f.yaml:22:9: apps[0].probes[0].perod: unknown key `perod`; did you mean `period`? allowed are name, url, headers, period, watch_period, burst, timeout, settle, expect
f.yaml:24:18: apps[0].probes[0].timeout: 2 is not a duration; allowed is a humantime duration such as 30s, 10m or 1h 30m
f.yaml:25:35: apps[0].probes[0].headers.authorization: a list is not text; allowed is text, in quotes where it looks like something else
f.yaml:26:33: apps[0].probes[0].expect.status[1]: "ok" is not a count; allowed is a positive whole number, without quotes
f.yaml:26:37: apps[0].probes[0].expect.status[2]: 999 is out of range; allowed is 100 to 599
f.yaml:27:9: apps[0].probes[1]: 5 is not a probe; allowed is a mapping with name and url
f.yaml:29:9: apps[0].rules[0]: has no condition; allowed is exactly one of consecutive_failures, failure_ratio and latency
f.yaml:30:58: apps[0].rules[1].consecutive_failures: 0 is out of range; allowed is 1 to 1000
f.yaml:30:61: apps[0].rules[1].latency: is one of 2 conditions; allowed is exactly one of consecutive_failures, failure_ratio and latency
f.yaml:30:82: apps[0].rules[1].latency.quantile: 95 is out of range; allowed is above 0 to below 1, such as 0.95
f.yaml:32:17: apps[0].rules[3].name: the name down is taken by apps[0].rules[2]; allowed is a name of its own
f.yaml:32:51: apps[0].rules[3].failure_ratio.above: is missing; allowed is a number, 0 to below 1
f.yaml:34:15: apps[0].soak.period: "10 parsecs" is not a duration; allowed is a humantime duration such as 30s, 10m or 1h 30m
f.yaml:35:19: apps[0].soak.on_healthy: "celebrate" is not an end of a healthy soak; allowed are commit and hold
f.yaml:36:30: apps[0].limits.max_rollbacks: -1 is not a count; allowed is a positive whole number, without quotes
f.yaml:37:5: apps[1].name: is missing; allowed is 1 to 63 letters, digits, - and _
f.yaml:37:5: apps[1].id: is missing; allowed is the platform's id of the app, as in its address in the control panel
f.yaml:37:5: apps[1].probes: is missing; allowed is a list of at least one probe
f.yaml:39:1: notify: stands twice, first in line 38; allowed is once
f.yaml:39:1: notify: is not available yet; allowed is to leave it out"#;
    let found = problems(text);
    assert!(!found.contains("hunter2"), "{found}");
    assert_eq!(found, expected, "\n{found}");
}

#[test]
fn single_mistakes_are_named_with_what_is_allowed() {
    let cases = [
        (added("app", "freeze: {}"), "apps[0].freeze: is not available yet"),
        (added("file", "freeze: {}"), "freeze: is not available yet"),
        (
            added("platform", "readiness: 5m"),
            "platforms[0].readiness: is not available yet; allowed is 0s, 10m",
        ),
        (
            with("kind: digitalocean", "kind: sevalla"),
            "platforms[0].kind: sevalla is not available yet; allowed is digitalocean",
        ),
        (
            added("rule", "{ name: worse, probe: home, regression: {} }"),
            "rules[0].regression: is not available yet",
        ),
        (
            with("mode: observe", "mode: Enforce"),
            "\"Enforce\" is not a mode; allowed are observe, approve and enforce",
        ),
        (added("platform", "token_env: A"), "token_env: stands beside token_file"),
        (
            with("token_file: /etc/rearguard/do.token", "x: y"),
            "platforms[0].token_file: is missing; allowed is either",
        ),
        (added("platform", "api: 'http://10.0.0.1:80'"), "would send the token in clear"),
        (added("platform", "poll: 0s"), "poll: 0s is out of range; allowed is 100ms to 1h"),
        (added("probe", "period: 1d"), "period: 24h is out of range"),
        (
            added("probe", "burst: 3s"),
            "burst: 3s is slower than watch_period; allowed is up to watch_period, 2s",
        ),
        (
            added("probe", "watch_period: 6s"),
            "watch_period: 6s is slower than period; allowed is up to period, 5s",
        ),
        (added("probe", "settle: 30m"), "would set the whole watch aside"),
        (added("probe", "expect: { status: [] }"), "expect.status: is empty"),
        (added("probe", "expect: { json: { pointer: status } }"), "\"status\" is not a JSON pointer"),
        (added("probe", "headers: { \"a b\": x }"), "headers.a b: is not the name of a header"),
        (added("probe", "headers: { a: \"x\\ny\" }"), "headers.a: is not the value of a header"),
        (
            added("rule", "{ name: r, probe: home, failure_ratio: { above: 1.0 } }"),
            "above: 1 is out of range; allowed is 0 to below 1",
        ),
        (
            added("rule", "{ name: r, probe: home, failure_ratio: { above: 0.1, over: 10s } }"),
            "10s never hold 20 samples, at 1s a sample",
        ),
        (
            added("rule", "{ name: r, probe: home, latency: { quantile: 1, above: 1s } }"),
            "quantile: 1 is out of range",
        ),
        (
            added("rule", "{ name: r, probe: home, latency: { quantile: 0.5, above: 2s } }"),
            "less than the probe's timeout, 2s",
        ),
        (added("rule", "{ name: r, probe: home }"), "rules[0]: has no condition; allowed is exactly one of"),
        (with("    rules:\n", "    rules: []\n    x:\n"), "unknown key `x`"),
        (
            added("app", "limits: { per: 91d }"),
            "longer than the journal remembers; allowed is up to retention, 90d",
        ),
        (with("name: checkout", "name: 'check out'"), "\"check out\" is not a name"),
        (with("name: checkout", "name: 7"), "apps[0].name: 7 is not text"),
        (with("mode: observe", "mode: [a]"), "apps[0].mode: a list is not a mode"),
        ("[]".to_owned(), "f.yaml:1:1: (document): what stands here is not a mapping"),
        ("x".to_owned(), "is not a mapping; allowed is a mapping with the keys platforms and apps"),
        ("{}".to_owned(), "f.yaml:1:1: apps: is missing"),
        ("platforms: []\napps: {}".to_owned(), "apps: a mapping is not a list"),
        ("5: x".to_owned(), "unknown key `5`"),
        ("<<: {a: b}".to_owned(), "unknown key `<<`"),
    ];
    for (text, expected) in cases {
        let found = problems(&text);
        assert!(found.contains(expected), "{expected}\n{found}\n{text}");
    }
}

/// The whole surface as it is planned; only what cannot be done yet is refused.
const PLANNED: &str = r#"listen: 127.0.0.1:9797
state: /var/lib/rearguard/rearguard.db
admin_token_file: /etc/rearguard/admin

platforms:
  - name: ocean
    kind: digitalocean
    token_file: /etc/rearguard/do.token
    api: https://api.digitalocean.com
    poll: 15s
    timeout: 10s
    reconcile: 30s
    readiness: 10m

control_probes:
  - url: https://www.example.com/

apps:
  - name: checkout
    platform: ocean
    id: 4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf
    mode: enforce
    watch: 30m
    restart_first: 90s
    probes:
      - name: home
        url: https://checkout.example.com/healthz
        period: 5s
        watch_period: 2s
        burst: 1s
        timeout: 2s
        settle: 0s
        expect: { status: [200], body_contains: ok }
    rules:
      - { name: down,   probe: home, consecutive_failures: 3 }
      - { name: flaky,  probe: home, failure_ratio: { above: 0.2, over: 2m, min_samples: 20 } }
      - { name: slow,   probe: home, latency: { quantile: 0.95, above: 800ms, over: 2m, min_samples: 20 } }
      - { name: worse,  probe: home, regression: { false_rollback_probability: 0.001, worse_by: 0.02, glitch: 5s } }
    rollback:
      warnings: refuse
      migrations: hold
    soak:
      period: 10m
      min_samples: 30
      on_healthy: commit
      on_unhealthy: revert
    limits:
      cooldown: 30m
      max_rollbacks: 2
      per: 24h

limits:
  concurrent_rollbacks: 3

notify:
  - { name: ops, kind: webhook, url: https://hooks.example.com/x }
"#;

#[test]
fn what_is_planned_but_not_done_is_refused_by_name_and_the_rest_is_understood() {
    let found = problems(PLANNED);
    let expected = "\
f.yaml:24:5: apps[0].restart_first: is not available yet; allowed is to leave it out
f.yaml:38:38: apps[0].rules[3].regression: is not available yet; allowed is to leave it out
f.yaml:55:1: notify: is not available yet; allowed is to leave it out";
    assert_eq!(found, expected, "\n{found}");
    let done: Vec<&str> = PLANNED
        .lines()
        .take_while(|line| *line != "notify:")
        .filter(|line| !["restart_first", "regression"].iter().any(|key| line.contains(key)))
        .collect();
    let config = parse("f.yaml", &done.join("\n")).unwrap();
    assert_eq!(config.apps[0].policy.rules.len(), 3);
    assert_eq!(config.control_probes.len(), 1);
    // The default of what is not there yet, spelled out: let through, but not in silence.
    assert_eq!(
        warnings(&config),
        [
            "platform ocean: readiness is not available yet: outside incidents nobody asks whether a rollback would work"
        ]
    );
    assert!(summary(&config).contains("  warning   readiness is not available yet: "));
    assert!(warnings(&parse("f.yaml", FULL).unwrap()).is_empty());
}

#[test]
fn an_app_that_may_act_needs_a_rule() {
    let text = MINIMAL.split("    rules:").next().unwrap();
    assert!(parse("f.yaml", text).is_ok());
    for mode in ["approve", "enforce"] {
        let found = problems(&text.replace("mode: observe", &format!("mode: {mode}")));
        assert!(
            found.contains("apps[0].rules: is missing; allowed is at least one rule, or mode observe"),
            "{found}"
        );
        assert_eq!(found.lines().count(), 1, "{found}");
    }
}

#[test]
fn a_short_watch_shortens_the_window_that_nobody_wrote() {
    let rule = "{ name: r, probe: home, failure_ratio: { above: 0.1, min_samples: 5 } }";
    let config = parse("f.yaml", &added("rule", rule).replace("mode: observe", "watch: 30s")).unwrap();
    let conditions: Vec<_> = config.apps[0].policy.rules.iter().map(|rule| &rule.condition).collect();
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
fn one_mistake_is_one_problem() {
    let cases = [
        with("name: ocean", "nmae: ocean"),
        with("name: home", "nam: home"),
        with("kind: digitalocean", "kind: 5"),
        with("url: https://checkout.example.com/healthz", "url: [x]"),
        with("consecutive_failures: 3", "consecutive_failures: three"),
        with("consecutive_failures: 3", "consecutive_failure: 3"),
        with("platform: ocean", "platform: oceans"),
        added("probe", "period: fast"),
        added("app", "soak: 5"),
        added("platform", "poll: 15"),
        added("platform", "poll: 15s\n    poll: 15s"),
    ];
    for text in cases {
        assert_eq!(problems(&text).lines().count(), 1, "{}", problems(&text));
    }
}

#[test]
fn an_app_is_guarded_once() {
    let app = &MINIMAL[MINIMAL.find("  - name: checkout").unwrap()..];
    let found = problems(&format!("{MINIMAL}{}", app.replace("name: checkout", "name: again")));
    assert!(found.contains("apps[1].id: is guarded by apps[0] already"), "{found}");
    let found = problems(&format!("{MINIMAL}{}", app.replace("4f6c", "5f6c")));
    assert!(found.contains("apps[1].name: the name checkout is taken by apps[0]"), "{found}");
}

#[test]
fn anchors_stand_for_what_they_name_and_a_byte_order_mark_for_nothing() {
    let text = "\u{feff}".to_owned()
        + &added("probe", "period: &p 3s").replace("mode: observe", "mode: observe\n    watch: 10m")
        + "    soak: &s { period: *p }\n";
    assert_eq!(parse("f.yaml", &text).unwrap().apps[0].policy.soak.period, Duration::from_secs(3));
}

#[test]
fn files_that_cannot_be_read_are_problems_with_a_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.yaml");
    let load = || load(&path).unwrap_err().to_string();
    assert!(load().contains("f.yaml:1:1: (document): cannot be read (No such file"));
    std::fs::write(&path, b"a: b\nc: \xff\n").unwrap();
    assert!(load().contains("f.yaml:2:4: (document): is not UTF-8 here"));
    std::fs::write(&path, "#".repeat(16 * 1024 * 1024 + 1)).unwrap();
    assert!(load().contains("is larger than 16 MiB"));
    let error = super::load(directory.path()).unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
}

#[test]
fn a_file_of_nothing_but_mistakes_ends_the_list_somewhere() {
    let text: String = (0..300).map(|n| format!("key{n}: 1\n")).collect();
    assert_eq!(problems(&text).lines().count(), 100);
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
fn text_from_the_file_cannot_make_lines_of_its_own() {
    let found = problems("\"a\\nf.yaml:1:1: x: y\\u202e\": 1\n");
    assert_eq!(found.lines().count(), 3, "{found}");
    assert!(!found.contains('\u{202e}'), "{found}");
    assert!(found.contains("unknown key `a\u{fffd}f.yaml:1:1: x: y\u{fffd}`"), "{found}");
}

#[test]
fn the_summary_reads_well() {
    let text = FULL
        .replace("https://checkout", "https://user:hunter2@checkout")
        .replace("application/json", "hunter2");
    let summary = summary(&parse("f.yaml", &text).unwrap());
    let expected = r#"listens on 127.0.0.1:9797; API calls that change something need the token in /etc/rearguard/admin
keeps its journal in /var/lib/rearguard/rearguard.db for 90d
stops everything when more than 3 apps want a rollback within a minute

platform ocean: DigitalOcean App Platform
  api       https://api.digitalocean.com/, token from file /etc/rearguard/do.token
  paces     poll every 15s, request timeout 10s, unanswered writes looked for 30s

control probe https://www.example.com/: every 5s, timeout 2s

app checkout: 4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf on ocean
  mode      enforce: acts by itself
  watch     30m after a deployment goes live
  probe     home: https://checkout.example.com/healthz expects 200 and "ok" in the body and "ok" at "/status" in its JSON
            every 5s, in a watch every 2s, in doubt every 1s; timeout 2s, 1 header; keeps 152 samples
  rule      down: bad when home fails 3 times in a row
  rule      flaky: bad when more than 20 % of home's samples fail over 2m, from 20 samples on
  rule      slow: bad when p95 of home's latency is above 800ms over 2m, from 20 samples on
  rollback  refused when the platform warns of it, held for a person when a migration job changed
  soak      10m and 30 samples of each probe; when healthy commit, when unhealthy revert
  limits    at most 2 rollbacks in 24h, at least 30m between two
"#;
    assert_eq!(summary, expected, "\n{summary}");
}

/// The lines of the full file in another order, with pieces cut out, doubled or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(String::new()),
        Just("[".to_owned()),
        Just(": ".to_owned()),
        Just("- ".to_owned()),
        Just("{a: &a [*a]}".to_owned()),
        Just("!x".to_owned()),
        Just("|\n".to_owned()),
        Just("\t".to_owned()),
        Just("~".to_owned()),
        Just("-1e999".to_owned()),
        ".{0,8}",
    ];
    let edit = (0..FULL.len(), 0..60_usize, piece);
    proptest::collection::vec(edit, 1..6).prop_map(|edits| {
        edits.into_iter().fold(FULL.to_owned(), |text, (at, length, piece)| {
            let chars: Vec<char> = text.chars().collect();
            let at = at.min(chars.len());
            let end = (at + length).min(chars.len());
            chars[..at].iter().chain(&piece.chars().collect::<Vec<_>>()).chain(&chars[end..]).collect()
        })
    })
}

/// The full file with an unknown key after one of its lines, as deep as that line.
fn with_a_secret() -> impl Strategy<Value = String> {
    let secret = prop_oneof![
        Just("s3cr3tvalue"),
        Just("\"s3cr3tvalue\""),
        Just("[s3cr3tvalue]"),
        Just("{ inner: s3cr3tvalue }"),
        Just("!!int s3cr3tvalue"),
        Just("!tag s3cr3tvalue"),
        Just("https://user:s3cr3tvalue@host/"),
        Just("&s3cr3t s3cr3tvalue"),
        Just("'s3cr3tvalue"),
    ];
    let key = prop_oneof![Just("api_token"), Just("password"), Just("token"), Just("headers"), Just("url")];
    (0..FULL.lines().count(), key, secret).prop_map(|(after, key, secret)| {
        let mut text = String::new();
        for (n, line) in FULL.lines().enumerate() {
            text.push_str(line);
            text.push('\n');
            if n == after {
                let indent = line.len() - line.trim_start_matches([' ', '-']).len();
                text.push_str(&format!("{}{key}: {secret}\n", " ".repeat(indent)));
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_is_refused_and_nothing_more(text in "(?s).{0,200}") {
        prop_assert!(parse("f.yaml", &text).is_err());
    }

    #[test]
    fn a_mutated_file_is_understood_or_refused_line_by_line(text in mutated()) {
        match parse("f.yaml", &text) {
            Ok(config) => prop_assert!(!summary(&config).is_empty()),
            Err(problems) => {
                for line in problems.to_string().lines() {
                    prop_assert!(line.starts_with("f.yaml:"), "{}", line);
                    prop_assert!(!line.contains("cannot be understood"), "{}", text);
                }
            }
        }
    }

    #[test]
    fn a_planted_secret_is_never_shown(text in with_a_secret()) {
        if let Err(problems) = parse("f.yaml", &text) {
            prop_assert!(!problems.to_string().contains("s3cr3tvalue"), "{}", problems);
        }
    }
}

#[test]
fn files_that_are_made_to_be_slow_are_refused() {
    let nasty = [
        "[".repeat(1_000_000),
        "{a: ".repeat(200_000),
        "- ".repeat(500_000),
        "? ".repeat(500_000),
        "&a ".repeat(300_000),
        "--- ".repeat(200_000),
        "%TAG ! a\n".repeat(50_000),
        format!("{}: a", "x".repeat(1_000_000)),
        format!("apps: [{}]", "{},".repeat(100_000)),
        format!("x: &a [1]\ny: [{}]", "*a,".repeat(60_000)),
    ];
    for text in nasty {
        let problems = problems(&text);
        assert!(problems.len() < 40_000, "{}", problems.len());
    }
}

#[test]
fn a_long_text_that_is_repeated_counts_by_its_length() {
    let long = "x".repeat(100_000);
    let texts = [
        format!("a: &a {long}\nb: [{}]\n", "*a, ".repeat(2_000)),
        format!("a: &a {{ {}: 1 }}\nb: [{}]\n", "long-key-".repeat(100), "*a, ".repeat(100_000)),
    ];
    for text in texts {
        let problems = parse("f.yaml", &text).unwrap_err().to_string();
        assert!(problems.contains("stands for too many values"), "{problems}");
    }
    let once = format!("a: {long}\n");
    assert!(parse("f.yaml", &once).unwrap_err().to_string().contains("unknown key `a`"));
}
