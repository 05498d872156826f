//! Whole incidents without faults: what ends how.

use rearguard::decision::decide;
use rearguard::decision::observation::RecordedObservation;
use rearguard::decision::policy::Policy;
use rearguard::decision::state::State;
use rearguard::journal::{Journal, SqliteJournal};
use rearguard::lab::{AppKind, Fate, Health, Release, Source};
use serde_json::json;

use crate::world::{APP, Settings, World, known};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_release_is_rolled_back_and_the_rollback_committed() {
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    assert_eq!(incident["reason"], "soak_healthy");
    assert!(incident["time_to_detect_seconds"].as_f64().unwrap() > 0.0);
    assert!(incident["time_to_restore_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(world.writes(), (1, 1, 0));
    assert_eq!(world.live_version().as_deref(), Some("v1"));
    guard.api.until("no pin", |app| app["state"] == "steady" && app["pinned_deployment"].is_null()).await;
    assert_eq!(guard.api.metric("rearguard_rollbacks_total{app=\"shop\",outcome=\"committed\"}").await, 1.0);
    assert_eq!(guard.api.metric("rearguard_incidents_total{app=\"shop\",outcome=\"committed\"}").await, 1.0);
    assert_eq!(guard.api.metric("rearguard_rollback_efficacy_total{result=\"helped\"}").await, 1.0);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_release_passes_its_watch_and_is_the_next_target() {
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    let good = world.lab.push(APP, Release::good("v2")).unwrap().unwrap();
    guard.api.until("v2 known to be good", |app| app["last_good_deployment"] == good.as_str()).await;
    world.lab.push(APP, Release::bad("v3")).unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["target_deployment"], good.as_str());
    assert_eq!(world.live_version().as_deref(), Some("v2"));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn observe_writes_nothing_and_asks_for_no_validation() {
    let world = World::new().await;
    let guard = known(&world, &Settings { mode: "observe", ..Settings::default() }).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "observed");
    assert_eq!(world.writes(), (0, 0, 0));
    assert_eq!(world.lab.ledger().calls(rearguard::lab::Operation::ValidateRollback), 0);
    assert_eq!(world.live_version().as_deref(), Some("v2"));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unhealthy_soak_is_reverted_or_held_as_the_policy_says() {
    for (soak, outcome, writes) in [
        ("{ period: 10s, min_samples: 5, on_unhealthy: revert }", "reverted", (1, 0, 1)),
        ("{ period: 10s, min_samples: 5, on_unhealthy: hold }", "held", (1, 0, 0)),
    ] {
        let world = World::new().await;
        let guard = known(&world, &Settings { soak, ..Settings::default() }).await;
        world.lab.push(APP, Release::bad("v2")).unwrap();
        guard.api.until("the soak", |app| app["stage"] == "soaking").await;
        world.lab.set_health(APP, Health::Bad { status: 503 }).unwrap();
        let incident = guard.api.until_closed().await;
        assert_eq!((&incident["outcome"], &incident["reason"]), (&json!(outcome), &json!("soak_unhealthy")));
        assert_eq!(world.writes(), writes);
        guard.daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_fails_is_held_with_its_pin_in_sight() {
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    world.lab.set_rollback_fate(APP, Fate::Fails).unwrap();
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!((&incident["outcome"], &incident["reason"]), (&json!("failed"), &json!("rollback_failed")));
    let app = guard.api.until_state("held").await;
    assert_eq!(app["pinned_deployment"], incident["rollback_deployment"]);
    assert_eq!(guard.api.metric("rearguard_pinned{app=\"shop\"}").await, 1.0);
    assert_eq!(world.writes(), (1, 0, 0));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_migration_is_held_before_anything_is_written() {
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    let migrating = Release { migrations: vec!["migrate".to_owned()], ..Release::bad("v2") };
    world.lab.push(APP, migrating).unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!((&incident["outcome"], &incident["reason"]), (&json!("held"), &json!("migration")));
    assert_eq!(world.writes(), (0, 0, 0));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_was_bad_before_is_not_accused() {
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    world.lab.set_health(APP, Health::Bad { status: 500 }).unwrap();
    guard.api.until("a bad rule", |app| app["rules"][0]["verdict"] == "bad").await;
    // What fails within seconds of going live is nobody's: the platform's clock is read to the second.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!(
        (&incident["outcome"], &incident["reason"]),
        (&json!("refused"), &json!("bad_before_deployment"))
    );
    assert_eq!(world.writes(), (0, 0, 0));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_release_and_a_flaky_one_are_found_by_their_rules() {
    let slow =
        "[{ name: slow, probe: home, latency: { quantile: 0.5, above: 100ms, over: 2s, min_samples: 5 } }]";
    let flaky = "[{ name: flaky, probe: home, failure_ratio: { above: 0.3, over: 2s, min_samples: 6 } }]";
    for (rules, health) in [(slow, Health::Slow { latency_ms: 200 }), (flaky, Health::Failing { ratio: 0.5 })]
    {
        let world = World::new().await;
        let guard = known(&world, &Settings { rules, watch: "10s", ..Settings::default() }).await;
        world.lab.push(APP, Release::with_health("v2", health)).unwrap();
        let incident = guard.api.until_closed().await;
        assert_eq!(incident["outcome"], "committed", "{incident:#}");
        assert_eq!(world.live_version().as_deref(), Some("v1"));
        guard.daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_decision_made_again_is_the_same_decision() {
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let incident = guard.api.until_closed().await;
    guard.daemon.stop().await;
    let deadline = tokio::time::Instant::now() + crate::world::PATIENCE;
    // The daemon's last handle on its journal may be dropped a moment after it stopped.
    let journal = loop {
        match SqliteJournal::open(world.path("rearguard.db")) {
            Ok(journal) => break journal,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let id = incident["id"].as_str().unwrap().into();
    let decisions = journal.decisions(&id).await.unwrap();
    assert!(decisions.len() >= 2, "{decisions:?}");
    for record in decisions {
        let policy: Policy = serde_json::from_str(&record.policy).unwrap();
        let before: State = serde_json::from_str(&record.before).unwrap();
        let seen: RecordedObservation = serde_json::from_str(&record.observation).unwrap();
        let after: State = serde_json::from_str(&record.after).unwrap();
        let change = decide(&policy, &before, &seen.as_seen()).change.unwrap();
        assert_eq!(change.state, after);
        let ruling = change.ruling.unwrap();
        assert_eq!((ruling.verb, ruling.reason), (record.verb, record.reason));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_never_went_live_is_told_and_nothing_is_done() {
    for kind in [AppKind::DigitalOcean, AppKind::sevalla(Source::PrivateGit)] {
        let world = World::of(kind).await;
        // What failed before anybody looked is told by nobody.
        let old = Release { build: Fate::Fails, ..Release::bad("v0") };
        world.lab.push(APP, old).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let guard = known(&world, &Settings::default()).await;
        let broken = Release { build: Fate::Fails, build_ms: Some(2_000), ..Release::bad("v2") };
        let made = world.lab.push(APP, broken).unwrap().unwrap();
        guard.api.until("the failure", |app| app["failed_deployment"] == made.as_str()).await;
        let count = "rearguard_deployments_failed_total{app=\"shop\"}";
        assert_eq!(guard.api.metric(count).await, 1.0);
        // What failed to roll out is no different, and each is counted once.
        let stuck = Release { rollout: Fate::Fails, deploy_ms: Some(2_000), ..Release::bad("v3") };
        let made = world.lab.push(APP, stuck).unwrap().unwrap();
        guard.api.until("the next failure", |app| app["failed_deployment"] == made.as_str()).await;
        assert_eq!(guard.api.metric(count).await, 2.0);
        assert_eq!(guard.api.app().await["state"], "steady");
        // The next one that works takes it off the page.
        world.lab.push(APP, Release::good("v4")).unwrap();
        guard.api.until("v4", |app| app["failed_deployment"].is_null() && app["state"] == "watching").await;
        guard.api.until_state("steady").await;
        assert_eq!(guard.api.metric(count).await, 2.0);
        assert_eq!(world.writes(), (0, 0, 0));
        assert_eq!(guard.api.get("/api/v1/incidents").await["incidents"], json!([]));
        guard.daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_worse_than_the_one_before_is_rolled_back() {
    let world = World::new().await;
    let rules = "[{ name: worse, probe: home, regression: { glitch: 0s } }]";
    let settings = Settings { rules, watch: "6s", ..Settings::default() };
    let guard = known(&world, &settings).await;
    // One that is not passes.
    world.lab.push(APP, Release::good("v2")).unwrap();
    guard.api.until_state("watching").await;
    let app = guard.api.until_state("steady").await;
    assert!(app["rules"][0]["condition"].as_str().unwrap().contains("release before"), "{app:#}");
    world.lab.push(APP, Release::bad("v3")).unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    let fired = incident["timeline"][0]["text"].as_str().unwrap();
    assert!(fired.contains("evidence"), "{fired}");
    assert_eq!(world.live_version().as_deref(), Some("v2"));
    // A process that begins anew knows how the app fared.
    guard.daemon.stop().await;
    let guard = world.daemon(&settings).await;
    guard.api.until_state("steady").await;
    world.lab.push(APP, Release::bad("v4")).unwrap();
    guard.api.until("the next one", |app| app["stage"] == "soaking").await;
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sevalla_pushes_wait_until_the_rollback_is_settled() {
    let world = World::of(AppKind::sevalla(Source::PrivateGit)).await;
    let guard = known(&world, &Settings::default()).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    guard.api.until("the soak", |app| app["stage"] == "soaking").await;
    assert_eq!(world.lab.app(APP).unwrap().auto_deploy, Some(false));
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    assert_eq!(world.live_version().as_deref(), Some("v1"));
    guard.api.until("no pin", |app| app["state"] == "steady" && app["pinned_deployment"].is_null()).await;
    // The incident is closed first, and then pushes are let go.
    guard.api.until("pushes again", |_| world.lab.app(APP).unwrap().auto_deploy == Some(true)).await;
    assert_eq!(world.writes(), (1, 0, 0), "there is nothing to commit there");
    // What is pushed then is deployed, as before.
    world.lab.push(APP, Release::good("v3")).unwrap();
    guard.api.until_state("watching").await;
    guard.api.until_state("steady").await;
    assert_eq!(world.live_version().as_deref(), Some("v3"));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_are_counted_as_they_go_live_and_an_incident_shows_its_stage_while_it_is_open() {
    let world = World::new().await;
    let settings = Settings { soak: "{ period: 3s, min_samples: 5 }", ..Settings::default() };
    let guard = known(&world, &settings).await;
    let released = "rearguard_releases_total{app=\"shop\"}";
    assert_eq!(guard.api.metric(released).await, 0.0, "it went live before anybody looked");
    world.lab.push(APP, Release::good("v2")).unwrap();
    guard.api.until_state("watching").await;
    assert_eq!(guard.api.metric(released).await, 1.0);
    let stages =
        |text: &str| text.lines().filter(|line| line.starts_with("rearguard_incident_stage{")).count();
    let shown = guard.api.text("/metrics").await.1;
    assert!(shown.contains("# TYPE rearguard_incident_stage gauge\n") && stages(&shown) == 0, "{shown}");
    guard.api.until_state("steady").await;
    world.lab.push(APP, Release::bad("v3")).unwrap();
    guard.api.until("the soak", |app| app["stage"] == "soaking").await;
    let shown = guard.api.text("/metrics").await.1;
    assert!(shown.contains("rearguard_incident_stage{app=\"shop\",stage=\"soaking\"} 1\n"), "{shown}");
    assert_eq!(stages(&shown), 1);
    guard.api.until_closed().await;
    guard.api.until_state("steady").await;
    assert_eq!(guard.api.metric(released).await, 2.0, "a rollback is no release");
    assert_eq!(stages(&guard.api.text("/metrics").await.1), 0);
    guard.daemon.stop().await;
}
