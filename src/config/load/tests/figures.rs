//! Figures of the app's own platform.

use super::*;
use crate::config::{Absent, Figure, Limits, PlatformAsk};
use crate::decision::policy::Asked;

fn probe(figure: &str) -> String {
    added("other probe", &format!("{{ name: p, platform: {{ {figure} }} }}"))
}

fn on_sevalla(figure: &str) -> String {
    probe(figure).replace("kind: digitalocean", "kind: sevalla")
}

fn understood(text: &str) -> (ProbeConfig, PlatformAsk) {
    let config = parse("f.yaml", text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.apps[0].policy.probes[0].asked, Asked::WhileJudging);
    assert_eq!(config.apps[0].policy.probes[1].asked, Asked::Always);
    let probe = config.apps[0].probes[0].clone();
    let Ask::Platform(ask) = probe.ask.clone() else { panic!("{:?}", probe.ask) };
    (probe, ask)
}

#[test]
fn a_figure_has_paces_and_a_settle_time_of_its_own() {
    let seconds = Duration::from_secs;
    let (probe, ask) = understood(&probe("figure: restart_count, at_most: 2"));
    let limits = Limits { at_least: None, at_most: Some(2.0) };
    let (figure, absent, max_age) = (Figure::RestartCount, Absent::Unknown, seconds(300));
    assert_eq!(ask, PlatformAsk { figure, component: None, limits, absent, max_age });
    assert_eq!([probe.period, probe.watch_period, probe.burst], [seconds(15); 3]);
    assert_eq!((probe.timeout, probe.settle), (seconds(10), Duration::ZERO));
    let (_, of_web) = understood(&super::figures::probe("figure: health, component: web, absent: bad"));
    assert_eq!((of_web.component.as_deref(), of_web.absent), (Some("web"), Absent::Bad));
    assert!(of_web.limits.hold(1.0) && !of_web.limits.hold(0.0));
    for (text, settle) in [
        (super::figures::probe("figure: health"), 60),
        (super::figures::probe("figure: cpu_percentage, at_most: 90"), 120),
        (super::figures::probe("figure: memory_percentage, at_most: 90"), 120),
        (on_sevalla("figure: status_codes_5xx, at_most: 0.05"), 60),
        (on_sevalla("figure: response_time, at_most: 800"), 60),
        (on_sevalla("figure: exit_codes, at_most: 2, component: web"), 60),
        (on_sevalla("figure: cpu_usage, at_most: 0.9"), 60),
        (on_sevalla("figure: memory_usage, at_most: 500000000"), 60),
    ] {
        let (probe, ask) = understood(&text);
        assert_eq!(probe.settle, seconds(settle), "{ask:?}");
        let shown = probe.ask.shown();
        assert!(shown.starts_with(&format!("platform:{}", ask.figure.word())), "{shown}");
    }
    let paced = super::figures::probe("figure: health")
        .replace("name: p,", "name: p, watch_period: 30s, burst: 20s, settle: 5s, timeout: 3s,");
    let (probe, _) = understood(&paced);
    assert_eq!([probe.period, probe.watch_period, probe.burst], [seconds(30), seconds(30), seconds(20)]);
}

#[test]
fn what_a_platform_does_not_have_is_said_with_what_it_has() {
    for (text, expected) in [
        (
            probe("figure: exit_codes, at_most: 2"),
            "platform.figure: exit_codes is no figure of digitalocean; allowed are health, restart_count, \
             cpu_percentage, memory_percentage",
        ),
        (
            on_sevalla("figure: restart_count, at_most: 2"),
            "platform.figure: restart_count is no figure of sevalla; allowed are status_codes_5xx, response_time, \
             exit_codes, cpu_usage, memory_usage",
        ),
        (
            probe("figure: load, at_most: 2"),
            "platform.figure: \"load\" is not a figure of a platform; allowed are",
        ),
        (probe("at_most: 2"), "platform.figure: is missing; allowed is health, restart_count,"),
        (
            probe("figure: restart_count"),
            "platform.at_most: is missing; allowed is a number, here or as at_least",
        ),
        (probe("figure: health, at_most: 1"), "platform.at_most: says nothing of health"),
        (probe("figure: health, max_age: 1m"), "platform.max_age: says nothing of health"),
        (
            probe("figure: restart_count, at_most: 2, at_least: 3"),
            "platform.at_least: 3 is above at_most, 2; allowed is up to 2",
        ),
        (probe("figure: health, component: \"\""), "platform.component: \"\" is not the name of a component"),
        (
            on_sevalla("figure: response_time, at_most: 800, component: web"),
            "platform.component: response_time is of the whole app; allowed is to leave it out",
        ),
        (
            probe("figure: health").replace("name: p,", "name: p, period: 15s,"),
            "period: is for probes that are asked at rest, which a platform is not; allowed is watch_period",
        ),
        (
            probe("figure: health").replace("name: p,", "name: p, tcp: \"a:1\","),
            "platform: is one of 2 things to ask; allowed is exactly one of url, tcp, tls, grpc, prometheus and platform",
        ),
        (
            probe("figure: health").replace("    probes:", "    depends_on: [p]\n    probes:"),
            "depends_on[0]: p is measured of the app itself; allowed are probes of what the app needs",
        ),
        (
            probe("figure: health, colour: red"),
            "platform.colour: unknown key `colour`; allowed are figure, at_least",
        ),
        (
            probe("figure: health")
                .replace("probe: home, consecutive_failures: 3", "probe: p, regression: {}"),
            "regression: would count one failure as often as the platform looks back on it; allowed on such a probe",
        ),
        (
            probe("figure: health").replace(
                "probe: home, consecutive_failures: 3",
                "probe: p, latency: { quantile: 0.9, above: 1s }",
            ),
            "latency: would measure the platform's API, and not the app; allowed on such a probe",
        ),
    ] {
        let found = problems(&text);
        assert!(found.contains(expected), "{found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
}
