//! Faults between us and the platform, and faults of our own.

use std::time::Duration;

use rearguard::lab::{
    AppKind, Fault, GUARD_TOKEN, Kind, Operation, Release, Scope, Sleep, Source, Target, Token, When, Who,
};
use serde_json::json;

use crate::world::{APP, Settings, World, known};

fn once(operation: Operation, kind: Kind) -> Fault {
    Fault::on(Target::Call(operation), kind).when(When::First(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_a_conclusive_answer_is_looked_for_and_never_applied_twice() {
    let kinds = [
        (Kind::Hang { applied: true }, 1),
        (Kind::Hang { applied: false }, 2),
        (Kind::Status { code: 502, applied: true }, 1),
        (Kind::Status { code: 500, applied: false }, 2),
        (Kind::Reset { applied: true }, 1),
        (Kind::Truncated, 1),
    ];
    let tries = kinds.into_iter().map(|(kind, received)| async move {
        let world = World::new().await;
        let guard = known(&world, &Settings::default()).await;
        world.lab.fault(once(Operation::CreateRollback, kind.clone()));
        world.lab.push(APP, Release::bad("v2")).unwrap();
        let incident = guard.api.until_closed().await;
        assert_eq!(incident["outcome"], "committed", "{kind:?}: {incident:#}");
        assert_eq!(world.writes(), (1, 1, 0), "{kind:?}");
        let sent = world.lab.ledger().received(Operation::CreateRollback, APP).len();
        assert_eq!(sent, received, "{kind:?}");
        guard.daemon.stop().await;
    });
    futures_util::future::join_all(tries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_a_conclusive_answer_is_looked_for() {
    for kind in [Kind::Hang { applied: true }, Kind::Status { code: 503, applied: false }] {
        let world = World::new().await;
        let guard = known(&world, &Settings::default()).await;
        world.lab.fault(once(Operation::CommitRollback, kind.clone()));
        world.lab.push(APP, Release::bad("v2")).unwrap();
        let incident = guard.api.until_closed().await;
        assert_eq!(incident["outcome"], "committed", "{kind:?}: {incident:#}");
        assert_eq!(world.writes(), (1, 1, 0), "{kind:?}");
        guard.daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_broken_network_accuses_nobody() {
    let world = World::new().await;
    let guard = known(&world, &Settings { watch: "20s", ..Settings::default() }).await;
    world.lab.push(APP, Release::good("v2")).unwrap();
    guard.api.until_state("watching").await;
    world.lab.set_network(false);
    guard.api.until("blindness", |app| app["blind"].is_string()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.lab.set_network(true);
    guard.api.until("sight", |app| app["blind"].is_null()).await;
    let incidents = guard.api.get("/api/v1/incidents").await;
    assert_eq!(incidents["incidents"], json!([]));
    assert_eq!(world.writes(), (0, 0, 0));
    let blind = ["control", "platform"]
        .map(|cause| format!("rearguard_blind_seconds_total{{app=\"shop\",cause=\"{cause}\"}}"));
    assert!(guard.api.metric(&blind[0]).await + guard.api.metric(&blind[1]).await > 1.0);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_fell_asleep_while_our_network_was_broken_is_not_accused_of_waking_up() {
    let world = World::of(AppKind::sevalla(Source::PrivateGit)).await;
    world.lab.set_sleep(APP, Some(Sleep { after_ms: 3_000, wakes_in_ms: 3_000 })).unwrap();
    let guard = world.daemon(&Settings { watch: "60s", ..Settings::default() }).await;
    guard.api.until("the app", |app| app["live_deployment"].is_string()).await;
    let v2 = world.lab.push(APP, Release::good("v2")).unwrap().unwrap();
    guard.api.until("v2", |app| app["live_deployment"] == v2.as_str() && app["state"] == "watching").await;
    world.lab.set_network(false);
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.lab.set_network(true);
    guard.api.until("what wakes it", |app| app["blind"] == "asleep").await;
    guard.api.until("sight", |app| app["blind"].is_null()).await;
    assert_eq!(guard.api.get("/api/v1/incidents").await["incidents"], json!([]));
    assert_eq!(guard.api.app().await["state"], "watching");
    // Once it is awake, what it fails is its own.
    world.lab.push(APP, Release::bad("v3")).unwrap();
    assert_eq!(guard.api.until_closed().await["outcome"], "committed");
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_fell_asleep_while_nobody_guarded_it_is_not_accused_of_waking_up() {
    let world = World::of(AppKind::sevalla(Source::PrivateGit)).await;
    world.lab.set_sleep(APP, Some(Sleep { after_ms: 3_000, wakes_in_ms: 3_000 })).unwrap();
    let settings = Settings { watch: "60s", ..Settings::default() };
    let guard = world.daemon(&settings).await;
    guard.api.until("the app", |app| app["live_deployment"].is_string()).await;
    let v2 = world.lab.push(APP, Release::good("v2")).unwrap().unwrap();
    guard.api.until("v2", |app| app["live_deployment"] == v2.as_str() && app["state"] == "watching").await;
    guard.daemon.stop().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    // It is asked before anybody knows that it may sleep.
    world.lab.fault(Fault::on(Target::Reads, Kind::Delay { ms: 900 }));
    let guard = world.daemon(&settings).await;
    guard.api.until("what wakes it", |app| app["blind"] == "asleep").await;
    guard.api.until("sight", |app| app["blind"].is_null()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(guard.api.get("/api/v1/incidents").await["incidents"], json!([]));
    assert_eq!((guard.api.app().await["state"].clone(), world.writes()), (json!("watching"), (0, 0, 0)));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_stops_acting_and_heals_when_the_file_is_replaced() {
    let world = World::new().await;
    let guard = world.daemon(&Settings { watch: "30s", ..Settings::default() }).await;
    guard.api.until("the app", |app| app["live_deployment"].is_string()).await;
    let fresh = Token { value: "dop_v1_fresh".to_owned(), scope: Scope::Update, who: Who::Guard };
    world.lab.set_tokens(vec![fresh]);
    world.lab.push(APP, Release::bad("v2")).unwrap();
    guard.api.until("the refusal", |app| app["platform_fault"] == "denied").await;
    std::fs::write(world.path("token"), "dop_v1_fresh").unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    let (_, metrics) = guard.api.text("/metrics").await;
    assert!(!metrics.contains(GUARD_TOKEN) && !metrics.contains("dop_v1_fresh"));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_locked_stops_acting_and_heals() {
    let world = World::new().await;
    let guard = world.daemon(&Settings { watch: "60s", ..Settings::default() }).await;
    guard.api.until("the app", |app| app["live_deployment"].is_string()).await;
    let good = world.lab.push(APP, Release::good("v2")).unwrap().unwrap();
    guard.api.until("v2", |app| app["live_deployment"] == good.as_str()).await;
    let other = rusqlite::Connection::open(world.path("rearguard.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    world.lab.set_health(APP, rearguard::lab::Health::Bad { status: 500 }).unwrap();
    let deadline = tokio::time::Instant::now() + crate::world::PATIENCE;
    while guard.api.text("/ready").await.0 != 503 {
        // Who asks while the journal stands still is told of every app, not that there is none.
        let apps = guard.api.get("/api/v1/apps").await;
        let state = apps["apps"][0]["state"].as_str().unwrap_or_else(|| panic!("the app is gone: {apps}"));
        assert!(["steady", "watching", "incident"].contains(&state), "{apps}");
        assert!(tokio::time::Instant::now() < deadline, "ready all the time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(guard.api.text("/live").await.0, 200);
    assert_eq!(world.writes(), (0, 0, 0));
    other.execute_batch("ROLLBACK").unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    assert_eq!(guard.api.text("/ready").await.0, 200);
    assert_eq!(world.writes(), (1, 1, 0));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_vanishes_in_an_incident_is_missed_until_it_is_put_back() {
    let world = World::new().await;
    let guard =
        known(&world, &Settings { soak: "{ period: 4s, min_samples: 5 }", ..Settings::default() }).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    guard.api.until("the soak", |app| app["stage"] == "soaking").await;
    let away = tempfile::tempdir().unwrap();
    let names = ["rearguard.db", "rearguard.db-wal", "rearguard.db-shm"];
    names.iter().for_each(|name| std::fs::rename(world.path(name), away.path().join(name)).unwrap());
    let deadline = tokio::time::Instant::now() + crate::world::PATIENCE;
    while guard.api.text("/ready").await.0 != 503 {
        assert!(tokio::time::Instant::now() < deadline, "ready all the time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Longer than the soak, and than it takes to try the journal again.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!((guard.api.text("/ready").await.0, guard.api.text("/live").await.0), (503, 200));
    assert!(!world.path("rearguard.db").exists(), "a new one would not know whose the pin is");
    assert_eq!(world.writes(), (1, 0, 0));

    names.iter().for_each(|name| drop(std::fs::rename(away.path().join(name), world.path(name))));
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    assert_eq!(world.writes(), (1, 1, 0));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_from_the_platform_changes_nothing() {
    let kinds = [Kind::Html { code: 502 }, Kind::Truncated, Kind::InvalidUtf8, Kind::WrongTypes, Kind::Empty];
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    let before = guard.api.app().await;
    for kind in kinds {
        let fault = world.lab.fault(Fault::on(Target::Reads, kind.clone()));
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        let app = guard.api.app().await;
        assert_eq!(
            (&app["state"], &app["live_deployment"]),
            (&before["state"], &before["live_deployment"]),
            "{kind:?}"
        );
        world.lab.remove_fault(fault);
    }
    guard.api.until("an answer", |app| app["platform_fault"].is_null()).await;
    assert_eq!(world.writes(), (0, 0, 0));
    guard.daemon.stop().await;
}
