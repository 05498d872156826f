//! What the app's own platform measures of it: it rolls a bad release back, its silence does not, and it is never asked for
//! at rest nor from what is left of the rate limit for acting.

use std::time::Duration;

use rearguard::lab::{AppKind, Fault, Kind, Operation, RateLimit, Release, Shown, Source, Target, Vitals};

use crate::binary::Process;
use crate::world::{APP, PATIENCE, Settings, World};

/// The configuration with a figure in it, and a rule on that.
fn yaml(world: &World, figure: &str) -> String {
    let rules = "[{ name: down, probe: home, consecutive_failures: 3 }, \
                  { name: measured, probe: figure, consecutive_failures: 2 }]";
    let settings = Settings { rules, watch: "8s", ..Settings::default() };
    let pace = "watch_period: 200ms, burst: 200ms, timeout: 1s, settle: 0s";
    let probe = format!("      - {{ name: figure, {pace}, platform: {{ {figure} }} }}\n    rules: ");
    world.yaml(&settings).replace("    rules: ", &probe)
}

/// A world whose platform measures five times a second.
async fn world_of(kind: AppKind) -> World {
    let world = World::of(kind).await;
    world.lab.set_unknowns(|unknowns| {
        (unknowns.measured_every_ms, unknowns.exit_codes) = (200, Shown::Shown);
    });
    world
}

fn crashing(version: &str) -> Release {
    let vitals = Vitals { restarts_every_ms: Some(300), ..Vitals::default() };
    Release { vitals, ..Release::good(version) }
}

/// How often the platform was asked for a figure.
fn asked(world: &World) -> u64 {
    let ledger = world.lab.ledger();
    ledger.calls(Operation::GetMetrics) + ledger.calls(Operation::GetHealth)
}

/// Waits until it was asked so many times more.
async fn asks(world: &World, more: u64) {
    let (before, deadline) = (asked(world), tokio::time::Instant::now() + PATIENCE);
    while asked(world) < before + more {
        assert!(tokio::time::Instant::now() < deadline, "the platform is not asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A release whose site is well and which the platform sees to be bad is rolled back, and nothing is asked at rest.
async fn is_rolled_back(kind: AppKind, figure: &str, bad: Release, result: &str) {
    let world = world_of(kind).await;
    let guard = world.daemon_of(&yaml(&world, figure)).await;
    guard.api.until_state("steady").await;
    let quiet = asked(&world);
    assert!(quiet > 0, "the first release has its watch");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(asked(&world), quiet, "at rest nobody asks");
    assert!(guard.api.app().await["blind"].is_null());

    world.lab.push(APP, bad).unwrap();
    guard.api.until(result, |app| app["probes"][1]["result"] == result).await;
    let incident = guard.api.until_closed().await;
    let (outcome, rule) = (&incident["outcome"], &incident["rule"]);
    assert_eq!((outcome, rule), (&"committed".into(), &"measured".into()), "{incident:#}");
    assert_eq!(world.live_version().as_deref(), Some("v1"));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_started_again_and_again_is_rolled_back() {
    let figure = "figure: restart_count, at_most: 2, component: web, max_age: 5s";
    is_rolled_back(AppKind::DigitalOcean, figure, crashing("v2"), "value").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_its_platform_holds_to_be_unhealthy_is_rolled_back() {
    let vitals = Vitals { healthy: Some(false), ..Vitals::default() };
    let bad = Release { vitals, ..Release::good("v2") };
    is_rolled_back(AppKind::DigitalOcean, "figure: health", bad, "unhealthy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_processes_end_badly_is_rolled_back_on_sevalla() {
    let figure = "figure: exit_codes, at_most: 2, max_age: 5s";
    is_rolled_back(AppKind::sevalla(Source::PrivateGit), figure, crashing("v2"), "value").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_figure_that_is_not_to_be_had_is_unknown_whatever_the_answer_and_nothing_happens() {
    let world = world_of(AppKind::DigitalOcean).await;
    let figure = "figure: restart_count, at_most: 2, absent: bad, max_age: 5s";
    let text = yaml(&world, figure).replace("watch: 8s", "watch: 2m");
    let refused = |code| Kind::Status { code, applied: false };
    let on = |kind| Fault::on(Target::Call(Operation::GetMetrics), kind);
    let mut fault = world.lab.fault(on(refused(403)));
    let guard = Process::start_with(&world, &text).await;
    guard.api.until_state("watching").await;
    world.lab.push(APP, crashing("v2")).unwrap();
    let is_blind = |app: &serde_json::Value| {
        (&app["probes"][1]["result"], &app["probes"][1]["detail"]) == (&"unknown".into(), &"source".into())
    };
    for kind in [
        refused(403),
        refused(401),
        refused(500),
        refused(404),
        Kind::Html { code: 200 },
        Kind::Html { code: 502 },
        Kind::Empty,
        Kind::Truncated,
        Kind::InvalidUtf8,
        Kind::Reset { applied: false },
        Kind::Hang { applied: false },
    ] {
        world.lab.remove_fault(fault);
        fault = world.lab.fault(on(kind.clone()));
        asks(&world, 2).await;
        let app = guard.api.until(&format!("{kind:?}"), is_blind).await;
        assert_eq!(app["state"], "watching", "{kind:?}: {app:#}");
        assert_eq!(app["rules"][1]["verdict"], "unknown", "{kind:?}: {app:#}");
        assert!(app["platform_fault"].is_null(), "{kind:?}: it says nothing of the account: {app:#}");
    }
    assert_eq!(world.writes(), (0, 0, 0));
    let blind = "rearguard_blind_seconds_total{app=\"shop\",cause=\"source\"}";
    assert!(guard.api.metric(blind).await > 0.0);
    let log = std::fs::read_to_string(world.path("log")).unwrap();
    assert_eq!(log.matches("no restart_count, guarding goes on").count(), 1, "told once: {log}");
    // Nothing but that silence kept it from being seen.
    world.lab.remove_fault(fault);
    guard.api.until("the rollback", |app| app["stage"] == "rolling_back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_the_rate_limit_for_acting_is_not_spent_on_a_figure() {
    let world = world_of(AppKind::DigitalOcean).await;
    world.lab.set_rate_limit(RateLimit { per_hour: 20, ..RateLimit::DOCUMENTED });
    let figure = "figure: restart_count, at_most: 2, max_age: 5s";
    let guard = world.daemon_of(&yaml(&world, figure)).await;
    let app = guard.api.until("a short budget", |app| app["probes"][1]["detail"] == "rate_limit").await;
    assert_eq!((&app["state"], &app["probes"][1]["result"]), (&"watching".into(), &"unknown".into()));
    // Until its watch would be over, and longer.
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_eq!(asked(&world), 0);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_apps_under_watch_take_turns_and_a_bad_release_is_rolled_back_all_the_same() {
    const APPS: usize = 12;
    let world = world_of(AppKind::DigitalOcean).await;
    // A quarter of it is one figure in six seconds.
    world.lab.set_rate_limit(RateLimit { per_hour: 2_400, ..RateLimit::DOCUMENTED });
    world.lab.create_apps("more", APPS).unwrap();
    let text = yaml(&world, "figure: cpu_percentage, at_most: 90, max_age: 5s");
    let text = text.replace("watch: 8s", "watch: 2m");
    let first = text[text.find("  - name: shop").unwrap()..].to_owned();
    let mut all = text;
    for n in 0..APPS {
        let name = format!("more-{n:05}");
        let id = world.lab.app(&name).unwrap().id;
        let site = first.replace(&world.id, &id).replace("sites/shop/", &format!("sites/{name}/"));
        all.push_str(&site.replace("name: shop", &format!("name: {name}")));
    }
    let guard = world.daemon_of(&all).await;
    guard.api.until_state("watching").await;
    asks(&world, 1).await;
    let (before, since) = (asked(&world), tokio::time::Instant::now());
    world.lab.push(APP, Release::bad("v2")).unwrap();
    guard.api.until("the rollback", |app| app["stage"] == "rolling_back").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let most = since.elapsed().as_secs() / 6 + 1;
    assert!(asked(&world) - before <= most, "{} in {:?}", asked(&world) - before, since.elapsed());
    let polls = world.lab.ledger().calls(Operation::ListApps);
    assert!(polls > 5, "{polls} polls");
    guard.daemon.stop().await;
}
