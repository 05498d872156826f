//! Which app a name means: what rearguard knows and has under way belongs to the platform's app, not to its name.

use std::time::Duration;

use rearguard::config::parse;
use rearguard::lab::{Operation, Release};
use serde_json::json;

use crate::world::{APP, Guard, NO_FIGURES, PATIENCE, Settings, World, known};

const OTHER: &str = "other";
const SOAK: Settings = Settings {
    mode: "enforce",
    watch: "4s",
    soak: "{ period: 3s, min_samples: 5 }",
    rollback: "{}",
    limits: "{ cooldown: 1s, max_rollbacks: 5 }",
    rules: "[{ name: down, probe: home, consecutive_failures: 3 }]",
    reconcile: "1s",
    readiness: "0s",
    figures: NO_FIGURES,
};

/// The configuration in which the old name means another app.
fn another(world: &World) -> (String, String) {
    let id = world.lab.create_app(OTHER, Release::good("v1")).unwrap().id;
    let text = world.yaml(&SOAK);
    let sites = |app: &str| format!("/sites/{app}/");
    (text.replace(&world.id, &id).replace(&sites(APP), &sites(OTHER)), id)
}

async fn soaking(world: &World) -> Guard {
    let guard = known(world, &SOAK).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    guard.api.until("the soak", |app| app["stage"] == "soaking").await;
    guard
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_takes_over_a_name_waits_until_the_old_ones_incident_is_over_and_knows_nothing_of_it() {
    let world = World::new().await;
    let mut guard = soaking(&world).await;
    let (text, id) = another(&world);
    guard.daemon.reload(parse("rearguard.yaml", &text).unwrap()).await.unwrap();
    // The name, its series and its pin are the old one's as long as there is something to tell of it.
    assert_eq!(guard.api.app().await["id"], world.id.as_str());
    assert_eq!(guard.api.metric("rearguard_pinned{app=\"shop\"}").await, 1.0);
    let incident = guard.api.until_closed().await;
    assert_eq!(
        (&incident["outcome"], &incident["app_id"]),
        (&json!("committed"), &json!(world.id)),
        "{incident:#}"
    );
    assert_eq!(world.writes(), (1, 1, 0));
    let app =
        guard.api.until("the new app", |app| app["id"] == id.as_str() && app["state"] == "steady").await;
    assert_eq!(app["incident"], json!(null), "{app:#}");
    assert_eq!(guard.api.get("/api/v1/apps").await["apps"].as_array().unwrap().len(), 1);
    assert_eq!(guard.api.metric("rearguard_pinned{app=\"shop\"}").await, 0.0);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_taken_back_at_once_leaves_nobody_unguarded() {
    let world = World::new().await;
    let text = world.yaml(&Settings::default()).replace("poll: 1s", "poll: 10s");
    let (head, app) = text.split_once("apps:\n").unwrap();
    let mut all = text.clone();
    for n in 0..60 {
        let id =
            app.replace(&world.id, &format!("id-{n}")).replace("name: shop\n", &format!("name: app-{n}\n"));
        all += &id.replace("period: 200ms", "period: 60s").replace("watch: 3s", "watch: 60s");
    }
    let one = format!("{head}apps:\n{app}");
    let config = |text: &str| parse("rearguard.yaml", text).unwrap();
    let mut guard = world.daemon_of(&all).await;
    for gap in [0, 0, 0, 1, 2, 5] {
        let (without, with) = (config(&one), config(&all));
        guard.daemon.reload(without).await.unwrap();
        if gap > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(gap)).await;
        }
        guard.daemon.reload(with).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let list = guard.api.get("/api/v1/apps").await;
        assert_eq!(list["apps"].as_array().unwrap().len(), 61, "after a gap of {gap} ms");
        let metrics = guard.api.text("/metrics").await.1;
        let shown = metrics.lines().filter(|line| line.starts_with("rearguard_paused{app=\"")).count();
        assert_eq!(shown, 61, "after a gap of {gap} ms");
    }
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_names_that_are_swapped_take_their_incidents_with_them() {
    let world = World::new().await;
    let text = world.yaml(&Settings::default());
    let id = world.lab.create_app(OTHER, Release::good("v1")).unwrap().id;
    let (_, app) = text.split_once("apps:\n").unwrap();
    let second = app.replace(&world.id, &id).replace("name: shop\n", "name: other\n");
    let both = format!("{text}{}", second.replace("/sites/shop/", "/sites/other/"));
    let mut guard = world.daemon_of(&both).await;
    guard.api.until_state("steady").await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    guard.api.until_closed().await;
    let swapped = both.replace("name: shop\n", "name: TMP\n").replace("name: other\n", "name: shop\n");
    let swapped = swapped.replace("name: TMP\n", "name: other\n");
    guard.daemon.reload(parse("rearguard.yaml", &swapped).unwrap()).await.unwrap();
    guard.api.until("the other app", |app| app["id"] == id.as_str()).await;
    let count = async |app: &str| {
        let incidents = guard.api.get(&format!("/api/v1/incidents?app={app}")).await;
        incidents["incidents"].as_array().unwrap().len()
    };
    assert_eq!((count("shop").await, count("other").await), (0, 1));
    let metrics = guard.api.text("/metrics").await.1;
    for name in ["shop", "other"] {
        let series = format!("rearguard_paused{{app=\"{name}\"}}");
        assert_eq!(metrics.lines().filter(|line| line.starts_with(&series)).count(), 1);
    }
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_takes_over_a_name_during_a_restart_knows_nothing_of_the_old_one() {
    let world = World::new().await;
    let guard = soaking(&world).await;
    guard.daemon.stop().await;
    let (text, id) = another(&world);
    let guard = world.daemon_of(&text).await;
    let app = guard.api.until_state("steady").await;
    assert_eq!((&app["id"], &app["incident"]), (&json!(id), &json!(null)), "{app:#}");
    guard.daemon.stop().await;
    assert_eq!(world.writes(), (1, 0, 0));
    // The name means the old app again: what was under way goes on.
    let guard = world.daemon(&SOAK).await;
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    assert_eq!(world.writes(), (1, 1, 0));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_under_a_new_name_keeps_its_incident_and_its_pause() {
    let world = World::new().await;
    let mut guard = soaking(&world).await;
    assert_eq!(guard.api.post("/api/v1/apps/shop/pause").await, 200);
    let renamed = world.yaml(&SOAK).replace("  - name: shop", "  - name: store");
    guard.daemon.reload(parse("rearguard.yaml", &renamed).unwrap()).await.unwrap();
    let app = loop {
        let app = guard.api.get("/api/v1/apps/store").await;
        if app["stage"] == "soaking" {
            break app;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(app["paused"], true, "{app:#}");
    let metrics = guard.api.text("/metrics").await.1;
    assert!(metrics.contains("app=\"store\"") && !metrics.contains("app=\"shop\""), "{metrics}");
    assert_eq!(guard.api.post("/api/v1/apps/store/resume").await, 200);
    let incident = guard.api.until_closed().await;
    assert_eq!((&incident["outcome"], &incident["app"]), (&json!("committed"), &json!("store")));
    assert_eq!(world.writes(), (1, 1, 0));
    assert_eq!(guard.api.get("/api/v1/incidents?app=store").await["incidents"][0]["id"], incident["id"]);
    assert_eq!(guard.api.metric("rearguard_rollbacks_total{app=\"store\",outcome=\"committed\"}").await, 1.0);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_taken_into_the_configuration_does_not_wait_for_the_next_poll() {
    let world = World::new().await;
    let other = world.lab.create_app("other", Release::good("v1")).unwrap().id;
    let settings = Settings::default();
    let rare = world.yaml(&settings).replace("poll: 1s", "poll: 5m");
    let mut guard = world.daemon_of(&rare).await;
    guard.api.until_state("steady").await;
    let apps = rare.split_once("apps:\n").unwrap().1;
    let both = format!("{rare}{}", apps.replace(APP, "other").replace(&world.id, &other));
    guard.daemon.reload(parse("rearguard.yaml", &both).unwrap()).await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while guard.api.get("/api/v1/apps/other").await["state"] != "steady" {
        assert!(tokio::time::Instant::now() < deadline, "it waits for the next poll");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.lab.ledger().calls(Operation::ListApps), 2, "and there is one poll for it");
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_says_what_its_rules_would_notice_of_a_release() {
    let world = World::new().await;
    let rules = "[{ name: down, probe: home, consecutive_failures: 3 }, { name: worse, probe: home, regression: {} }]";
    let guard = known(&world, &Settings { rules, watch: "10s", ..SOAK }).await;
    let is_there = |app: &serde_json::Value| app["detection"].is_array();
    let app = guard.api.until("what would be noticed", is_there).await;
    let [all, half] = [0, 1].map(|place| app["detection"][0]["shares"][place].clone());
    assert_eq!((&all["failing"], &all["rule"]), (&json!(1.0), &json!("down")), "{app:#}");
    assert!(all["seconds"].as_f64() < half["seconds"].as_f64(), "{app:#}");
    let [probe, action, within] = ["probe", "action", "within_seconds"].map(|key| &app["detection"][0][key]);
    assert_eq!((probe, action, within), (&json!("home"), &json!("rollback"), &json!(10.0)));
    // What is known is in the list at once.
    assert_eq!(guard.api.get("/api/v1/apps").await["apps"][0]["detection"], app["detection"]);
    guard.daemon.stop().await;
}
