//! What is refused, where, in which words, and with what is allowed instead.

mod notify;
mod rules;

use super::*;

/// The minimal file with a probe of counters instead, with more keys.
fn counters(keys: &str) -> String {
    let keys = if keys.is_empty() { String::new() } else { format!(", {keys}") };
    let probe =
        format!("        prometheus: {{ url: 'http://prom:9090', errors: bad, requests: all{keys} }}");
    with("        url: https://checkout.example.com/healthz", &probe)
}

/// A probe that asks a Prometheus server, in place of one that asks a page.
const FIGURE: &str = "        prometheus: { url: http://p.example, query: up, at_least: 1 } #";

/// One that looks at certificates.
const CERTIFICATE: &str = "        tls: { address: \"checkout.example.com:443\" } #";

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
    restart_first: 2h
    accept_platform_choice: sure
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
    limits: { max_rollbacks: -1, cooldown: 3 0m }
  - platform: ocean
notify: []
notify: [hunter2]
"#;
    let expected = r#"f.yaml:1:9: listen: "everywhere" is not an address to listen on; allowed is an address and a port such as 127.0.0.1:9797 or [::1]:9797
f.yaml:2:8: state: a PostgreSQL journal is not available yet; allowed is the path of a SQLite file
f.yaml:3:1: pasword: unknown key `pasword`; allowed are listen, state, retention, admin_token_file, platforms, control_probes, apps, limits, notify, external_url, freeze
f.yaml:7:5: platforms[0].token: secrets do not stand in this file; allowed are token_file and token_env
f.yaml:8:11: platforms[1].name: the name ocean is taken by platforms[0]; allowed is a name of its own
f.yaml:9:11: platforms[1].kind: "heroku" is not a kind of platform; allowed are digitalocean and sevalla
f.yaml:10:16: platforms[1].token_env: is not the name of an environment variable; allowed is the name of one, such as DIGITALOCEAN_TOKEN, with the token in its value
f.yaml:11:10: platforms[1].api: would send the token in clear; allowed is https, or http on a loopback address
f.yaml:14:15: apps[0].platform: there is no platform "ocaen"; allowed is ocean
f.yaml:15:9: apps[0].id: "a/b" is not an app's id; allowed is the platform's id of the app, as in its address in the control panel
f.yaml:17:5: apps[0].wach: unknown key `wach`; did you mean `watch`? allowed are name, platform, id, mode, watch, approve_within, restart_first, restart_components, accept_platform_choice, probes, depends_on, siblings, rules, rollback, soak, limits, freeze
f.yaml:18:20: apps[0].restart_first: 2h is out of range; allowed is 1s to 1h
f.yaml:19:29: apps[0].accept_platform_choice: "sure" is not a flag; allowed are true and false, without quotes
f.yaml:22:14: apps[0].probes[0].url: is a URL of another scheme; allowed is an http or https URL such as https://shop.example.com/healthz
f.yaml:23:9: apps[0].probes[0].perod: unknown key `perod`; did you mean `period`? allowed are name, url, headers, tcp, tls, grpc, prometheus, platform, period, watch_period, burst, timeout, settle, expect, expect_version
f.yaml:25:18: apps[0].probes[0].timeout: 2 is not a duration; allowed is a humantime duration such as 30s, 10m or 1h 30m
f.yaml:26:35: apps[0].probes[0].headers.authorization: a list is not text; allowed is text, in quotes where it looks like something else
f.yaml:27:33: apps[0].probes[0].expect.status[1]: "ok" is not a count; allowed is a positive whole number, without quotes
f.yaml:27:37: apps[0].probes[0].expect.status[2]: 999 is out of range; allowed is 100 to 599
f.yaml:28:9: apps[0].probes[1]: 5 is not a probe; allowed is a mapping with name and url
f.yaml:30:9: apps[0].rules[0]: has no condition; allowed is exactly one of consecutive_failures, failure_ratio, latency and regression, or several conditions under all, under any, or under of with at_least
f.yaml:31:58: apps[0].rules[1].consecutive_failures: 0 is out of range; allowed is 1 to 1000
f.yaml:31:61: apps[0].rules[1].latency: is one of 2 conditions; allowed is exactly one of consecutive_failures, failure_ratio, latency and regression
f.yaml:31:82: apps[0].rules[1].latency.quantile: 95 is out of range; allowed is above 0 to below 1, such as 0.95
f.yaml:33:17: apps[0].rules[3].name: the name down is taken by apps[0].rules[2]; allowed is a name of its own
f.yaml:33:51: apps[0].rules[3].failure_ratio.above: is missing; allowed is a number, 0 to below 1
f.yaml:35:15: apps[0].soak.period: "10 parsecs" is not a duration; allowed is a humantime duration such as 30s, 10m or 1h 30m
f.yaml:36:19: apps[0].soak.on_healthy: "celebrate" is not an end of a healthy soak; allowed are commit and hold
f.yaml:37:30: apps[0].limits.max_rollbacks: -1 is not a count; allowed is a positive whole number, without quotes
f.yaml:37:44: apps[0].limits.cooldown: "3 0m" is not a duration; allowed is a humantime duration such as 30s, 10m or 1h 30m
f.yaml:38:5: apps[1].name: is missing; allowed is 1 to 63 letters, digits, - and _
f.yaml:38:5: apps[1].id: is missing; allowed is the platform's id of the app, as in its address in the control panel
f.yaml:38:5: apps[1].probes: is missing; allowed is a list of at least one probe
f.yaml:40:1: notify: stands twice, first in line 39; allowed is once
f.yaml:40:10: notify[0]: what stands here is not a channel; allowed is a mapping with name and kind"#;
    let found = problems(text);
    assert!(!found.contains("hunter2"), "{found}");
    assert_eq!(found, expected, "\n{found}");
}

#[test]
fn single_mistakes_are_named_with_what_is_allowed() {
    let cases = [
        (
            added("app", "freeze: [{ name: night, from: 22:00 }]"),
            "apps[0].freeze[0].to: is missing; allowed is 00:00 to 24:00, with or without a day before it",
        ),
        (
            added("file", "freeze: [{ name: night, from: 22 h, to: 06:00 }]"),
            "freeze[0].from: \"22 h\" is no time of the week; allowed is 00:00 to 23:59, with or without a day",
        ),
        (
            added("file", "freeze: [{ name: night, from: fry 22:00, to: sat 06:00 }]"),
            "freeze[0].from: \"fry 22:00\" is no time of the week",
        ),
        (
            added("file", "freeze: [{ name: night, from: 24:00, to: 06:00 }]"),
            "freeze[0].from: is the end of a day; allowed is 00:00 of the next one",
        ),
        (
            added("file", "freeze: [{ name: night, from: fri 22:00, to: 06:00 }]"),
            "freeze[0].to: only one of from and to names a day; allowed is a day before both times or before neither",
        ),
        (
            added("file", "freeze: [{ name: night, from: fri 22:00, to: sat 06:00, days: [mon] }]"),
            "freeze[0].days: goes with times that name no day; allowed is to leave it out",
        ),
        (
            added("file", "freeze: [{ name: night, from: 22:00, to: 06:00, days: [mon, mon] }]"),
            "freeze[0].days[1]: mon is there already; allowed is once",
        ),
        (
            added("file", "freeze: [{ name: night, from: 22:00, to: 06:00, days: [] }]"),
            "freeze[0].days: is empty; allowed is a list of days from mon to sun",
        ),
        (
            added("file", "freeze: [{ name: night, from: 22:00, to: 06:00, zone: Berlin }]"),
            "freeze[0].zone: \"Berlin\" is no time zone; allowed is a name of the IANA time zone database",
        ),
        (
            added("file", "freeze: [{ name: night, from: 22:00, to: 06:00, blocks: [] }]"),
            "freeze[0].blocks: is empty; allowed is rollback, commit or both",
        ),
        (
            added("file", "freeze: [{ name: night, from: 22:00, to: 06:00, blocks: [commits] }]"),
            "freeze[0].blocks[0]: \"commits\" is not what a freeze window keeps from; allowed are rollback and commit",
        ),
        (
            added("app", "approve_within: 5s"),
            "apps[0].approve_within: 5s is out of range; allowed is 1m to 24h",
        ),
        (
            added("app", "depends_on: [hom]"),
            "apps[0].depends_on[0]: there is no probe \"hom\"; allowed is home",
        ),
        (
            added("app", "depends_on: [home, home]"),
            "depends_on[1]: the probe home is named twice; allowed is once",
        ),
        (
            added("app", "depends_on: [home]"),
            "depends_on: names every probe, so nothing asks the app itself; allowed is to leave one of them out",
        ),
        (
            added("app", "depends_on: [home]"),
            "depends_on[0]: accuses releases in the rule down, although no release changes it; allowed is action",
        ),
        (
            added("probe", "expect_version: {}"),
            "probes[0].expect_version.header: is missing; allowed is the name of a header, or json with a pointer",
        ),
        (
            added("probe", "expect_version: { header: \"x version\" }"),
            "expect_version.header: is not the name of a header; allowed are letters, digits and -",
        ),
        (
            added("probe", "expect_version: { header: x-version, json: /version }"),
            "expect_version.json: stands beside header; allowed is one of the two",
        ),
        (
            added("probe", "expect_version: { json: version }"),
            "expect_version.json: \"version\" is not a JSON pointer; allowed is one such as /status",
        ),
        (
            added("other probe", "{ name: p, tcp: \"db:1\", expect_version: { header: x-version } }"),
            "expect_version: belongs to url; allowed is to leave it out",
        ),
        (
            added("platform", "readiness: 5s"),
            "platforms[0].readiness: 5s is out of range; allowed is 1m to 24h",
        ),
        (
            added("platform", "bandwidth: 5m"),
            "platforms[0].bandwidth: 5m is out of range; allowed is 10m to 7d",
        ),
        (
            with("kind: digitalocean", "kind: sevalla\n    bandwidth: 6h"),
            "platforms[0].bandwidth: is nothing that sevalla can be asked for; allowed is 0s",
        ),
        (
            with("kind: digitalocean", "kind: sevalla\n    balance: 1d"),
            "platforms[0].balance: is nothing that sevalla can be asked for; allowed is 0s",
        ),
        (
            with("kind: digitalocean", "kind: Sevalla"),
            "platforms[0].kind: \"Sevalla\" is not a kind of platform; allowed are digitalocean and sevalla",
        ),
        (
            added("other probe", "{ name: p, url: http://a.example/, tcp: \"a:1\" }"),
            "tcp: is one of 2 things to ask; allowed is exactly one of url, tcp, tls, grpc, prometheus and platform",
        ),
        (
            with("        url: https://checkout.example.com/healthz", FIGURE)
                .replace("consecutive_failures: 3", "latency: { quantile: 0.9, above: 1s }"),
            "latency: would measure the Prometheus server, and not the app; allowed on such a probe are",
        ),
        (
            with("        url: https://checkout.example.com/healthz", FIGURE)
                .replace("consecutive_failures: 3", "regression: {}"),
            "regression: would count one failure as often as the query looks back on it; allowed on such a",
        ),
        (counters("at_least: 1"), "at_least: stands beside errors and requests; allowed is at_most"),
        (
            counters("query: up"),
            "query: stands beside errors and requests; allowed is either query, or the two of them",
        ),
        (counters("at_most: 1"), "at_most: 1 is out of range; allowed is 0 to below 1, such as 0.05"),
        (
            counters("absent: bad"),
            "absent: bad is no meaning of counters that are not there; allowed are unknown and good",
        ),
        (counters("min_requests: 0"), "min_requests: 0 is out of range; allowed is 1 to 1000000000"),
        (
            counters("").replace("requests: all", "requests: \"rate(all[1m])\""),
            "requests: is not a selector; allowed is one without a range or a function, such as http_requests_total",
        ),
        (
            counters("").replace(", requests: all", ""),
            "requests: is missing; allowed is a selector of counters such as http_requests_total",
        ),
        (
            counters(""),
            "consecutive_failures: has nothing that is bad; allowed on counters is regression, or this with at_most in the",
        ),
        (
            counters("").replace("consecutive_failures: 3", "latency: { quantile: 0.9, above: 1s }"),
            "latency: would measure the Prometheus server, and not the app; allowed on counters is regression",
        ),
        (
            counters("").replace("consecutive_failures: 3", "regression: { of: failures }"),
            "regression.of: is for what the app answers; allowed on counters is to leave it out",
        ),
        (
            counters("").replace("consecutive_failures: 3", "regression: { worse_by: 0.6 }"),
            "regression.worse_by: 0.6 is out of range; allowed is 0 to 0.5, such as 0.01",
        ),
        (added("other probe", "{ name: p, tcp: \"db:+80\" }"), "tcp: \"db:+80\" is not a host and a port"),
        (
            added("other probe", "{ name: p, tcp: db }"),
            "tcp: \"db\" is not a host and a port; allowed are those such as db.example.com:5432",
        ),
        (added("other probe", "{ name: p, tcp: \"db:0\" }"), "tcp: \"db:0\" is not a host and a port"),
        (
            added("other probe", "{ name: p, tcp: \"db:1\", expect: { status: [200] } }"),
            "expect: belongs to url; allowed is to leave it out",
        ),
        (
            added(
                "other probe",
                "{ name: p, tls: { address: \"a.example:443\" }, expect: { status: [200] } }",
            ),
            "expect: belongs to url; allowed is to leave it out",
        ),
        (
            added("other probe", "{ name: p, tls: { at_least: 7d } }"),
            "probes[0].tls.address: is missing; allowed is a host and a port such as shop.example.com:443",
        ),
        (
            added("other probe", "{ name: p, tls: { address: \"a.example:443\", at_least: 2y } }"),
            "tls.at_least: 730d 12h is out of range; allowed is 0s to 365d",
        ),
        (
            added("other probe", "{ name: p, tls: { address: a.example, server_name: \"a b\" } }"),
            "tls.address: \"a.example\" is not a host and a port; allowed are those such as",
        ),
        (
            added("other probe", "{ name: p, tls: { address: a.example, server_name: \"a b\" } }"),
            "tls.server_name: \"a b\" is not the name of a server; allowed is one such as shop.example.com",
        ),
        (
            added("other probe", "{ name: p, tls: { address: \"a..b:443\" } }"),
            "tls.address: is a host that no certificate can be for; allowed is to say which as server_name",
        ),
        (
            added("other probe", "{ name: p, tls: { address: \"https://u:hunter2@a.example\" } }"),
            "tls.address: what stands here is not a host and a port",
        ),
        (
            with("        url: https://checkout.example.com/healthz", CERTIFICATE)
                .replace("consecutive_failures: 3", "latency: { quantile: 0.9, above: 1s }"),
            "rules[0].latency: would measure who presents the certificates, and not the release; allowed on such",
        ),
        (
            with("        url: https://checkout.example.com/healthz", CERTIFICATE)
                .replace("consecutive_failures: 3", "regression: {}"),
            "rules[0].regression: would accuse a release of what it does not change; allowed on such a probe are",
        ),
        (
            added("other probe", "{ name: p, grpc: { url: \"https://u:hunter2@a.example\" } }"),
            "probes[0].grpc.url: is more than a server; allowed is one such as https://shop.example.com:443",
        ),
        (
            added("other probe", "{ name: p, grpc: { url: http://a.example/health } }"),
            "probes[0].grpc.url: is more than a server; allowed is one such as https://shop.example.com:443",
        ),
        (
            added("other probe", "{ name: p, grpc: { service: \"\" } }"),
            "grpc.service: is none, or too long; allowed are 1 to 256 characters, or to leave it out",
        ),
        (
            added("other probe", "{ name: p, grpc: { service: shop.Cart } }"),
            "grpc.url: is missing; allowed is an http or https URL such as",
        ),
        (
            added("other probe", "{ name: p, grpc: { url: http://a.example, headers: { te: x } } }"),
            "grpc.headers.te: belongs to the connection; allowed are other headers",
        ),
        (
            added("other probe", "{ name: p, prometheus: { url: http://p.example, query: up } }"),
            "prometheus.at_most: is missing; allowed is a number, here or as at_least",
        ),
        (
            added(
                "other probe",
                "{ name: p, prometheus: { url: http://p.example, query: \" \", at_most: 1 } }",
            ),
            "prometheus.query: is empty; allowed is a query in PromQL",
        ),
        (
            added("other probe", "{ name: p, prometheus: { query: up, at_least: 2, at_most: 1 } }"),
            "prometheus.at_least: 2 is above at_most, 1; allowed is up to 1",
        ),
        (
            added("other probe", "{ name: p, prometheus: { query: up, at_most: .inf } }"),
            "prometheus.at_most: is not finite; allowed is a number such as 0.05",
        ),
        (
            added("other probe", "{ name: p, prometheus: { query: up, at_most: \"1\" } }"),
            "prometheus.at_most: \"1\" is not a number; allowed is one such as 0.05, without quotes",
        ),
        (
            added("other probe", "{ name: p, prometheus: { query: up, at_most: 1, absent: fine } }"),
            "absent: \"fine\" is not what an absent value means; allowed are unknown, good and bad",
        ),
        (
            added("other probe", "{ name: p, prometheus: { query: up, at_most: 1, max_age: 1s } }"),
            "max_age: 1s is out of range; allowed is 5s to 1h",
        ),
        (
            added("other probe", "{ name: p, url: http://a.example/, expect: { json: { pointer: /n } } }"),
            "json.equals: is missing; allowed is the value that has to stand there, or at_least or at_most",
        ),
        (
            added(
                "other probe",
                "{ name: p, url: http://a.example/, expect: { json: { pointer: /n, equals: 1, at_most: 2 } } }",
            ),
            "json.equals: stands beside limits; allowed is either equals, or at_least and at_most",
        ),
        (
            with("mode: observe", "mode: Enforce"),
            "\"Enforce\" is not a mode; allowed are observe, approve and enforce",
        ),
        (added("platform", "token_env: A"), "token_env: stands beside token_file"),
        (with("token_file: do-token", "x: y"), "platforms[0].token_file: is missing; allowed is either"),
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
            with(
                "    rules:\n      - { name: down, ",
                "    mode: enforce\n    rules:\n      - { action: notify, name: down, ",
            ),
            "rules: all of them only notify, so nothing is ever rolled back; allowed is mode observe",
        ),
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
    are_named(&cases);
}

/// Each text has a problem in which these words stand.
fn are_named(cases: &[(String, &str)]) {
    for (text, expected) in cases {
        let found = problems(text);
        assert!(found.contains(expected), "{expected}\n{found}\n{text}");
    }
}

/// The whole surface of the first release.
const PLANNED: &str = r#"listen: 127.0.0.1:9797
state: /var/lib/rearguard/rearguard.db
admin_token_file: admin-token

platforms:
  - name: ocean
    kind: digitalocean
    token_file: do-token
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
fn components_are_restarted_where_a_restart_is_tried_and_the_platform_knows_them() {
    let with = |first: &str, components: &str| {
        let text = PLANNED
            .replace("    restart_first: 90s\n", first)
            .replace("    watch: 30m\n", &format!("    watch: 30m\n    restart_components: {components}\n"));
        match parse("f.yaml", &text) {
            Ok(config) => config.apps[0].restart_components.join(" "),
            Err(problems) => problems.to_string(),
        }
    };
    let first = "    restart_first: 90s\n";
    assert_eq!(with(first, "[web, worker]"), "web worker");
    for (first, components, why) in [
        ("", "[web]", "no restart is tried without restart_first"),
        (first, "[]", "names no component"),
        (first, "[web, web]", "the component web is named twice"),
        (first, "['']", "is no component's name"),
    ] {
        let said = with(first, components);
        assert!(said.contains(why) && said.contains("apps[0].restart_components"), "{said}");
    }
    let text = "platforms: [{ name: cloud, kind: sevalla, token_file: /t }]\napps: [{ name: a, platform: cloud, id: i, \
                restart_first: 90s, restart_components: [web], probes: [{ name: p, url: 'http://127.0.0.1/' }] }]\n";
    let said = parse("f.yaml", text).unwrap_err().to_string();
    assert!(said.contains("Sevalla restarts an app as a whole"), "{said}");
}

#[test]
fn what_the_first_release_promises_is_understood() {
    let config = parse("f.yaml", PLANNED).unwrap();
    assert_eq!(config.notify[0].name.as_str(), "ops");
    assert_eq!(config.apps[0].policy.rules.len(), 4);
    assert_eq!(config.apps[0].policy.restart_first, Some(std::time::Duration::from_secs(90)));
    assert_eq!(config.control_probes.len(), 1);
    assert_eq!(config.platforms[0].readiness, std::time::Duration::from_secs(600));
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
