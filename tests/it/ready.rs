//! Readiness to roll back, asked in quiet times and shown before it is needed.

use std::time::Duration;

use rearguard::clock::Moment;
use rearguard::config::parse;
use rearguard::journal::{Journal, SqliteJournal};
use rearguard::lab::{AppKind, Fault, Kind, Operation, Release, Source, Target};
use serde_json::{Value, json};

use crate::world::{APP, Guard, PATIENCE, Settings, World, known};

fn asking() -> Settings {
    Settings { readiness: "1m", watch: "1s", ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_says_to_what_it_would_be_rolled_back_and_what_would_be_in_the_way() {
    let world = World::new().await;
    let guard = known(&world, &asking()).await;
    // There is nothing before the first release.
    let app = guard.api.until("an answer", |app| app["rollback"]["asked_at"].is_string()).await;
    assert_eq!((&app["rollback"]["ready"], &app["rollback"]["reason"]), (&json!(false), &json!("no_target")));
    let first = app["live_deployment"].clone();
    let shown = guard.api.text("/metrics").await.1;
    assert!(shown.contains("rearguard_rollback_ready{app=\"shop\"} 0"), "{shown}");
    assert!(shown.contains("rearguard_rollback_not_ready{app=\"shop\",reason=\"no_target\"} 1"), "{shown}");

    world.lab.push(APP, Release::good("v2")).unwrap();
    let app = guard.api.until("a target", |app| app["rollback"]["ready"] == true).await;
    let rollback = &app["rollback"];
    assert_eq!((&rollback["target_deployment"], &rollback["checked_by"]), (&first, &json!("platform")));
    assert!(rollback["target_created_at"].is_string() && rollback["reason"].is_null(), "{rollback}");
    let shown = guard.api.text("/metrics").await.1;
    assert!(shown.contains("rearguard_rollback_ready{app=\"shop\"} 1"), "{shown}");
    assert!(!shown.contains("rearguard_rollback_not_ready{app=\"shop\",reason=\"no_target\"} 1"));

    // What the platform would refuse it says before anybody needs it.
    world.lab.push(APP, Release { database: "postgres 17".to_owned(), ..Release::good("v3") }).unwrap();
    let app = guard.api.until("a refusal", |app| app["rollback"]["reason"] == "not_valid").await;
    assert_eq!(app["rollback"]["detail"], "database_config_conflict");
    // Asking has written nothing.
    assert_eq!(world.writes(), (0, 0, 0));
    assert!(world.lab.ledger().calls(Operation::ValidateRollback) >= 2);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observed_app_is_not_asked_about() {
    let world = World::new().await;
    let guard = known(&world, &Settings { mode: "observe", ..asking() }).await;
    let app = guard.api.app().await;
    assert_eq!(
        (&app["rollback"]["ready"], &app["rollback"]["reason"]),
        (&json!(false), &json!("observe_mode"))
    );
    assert_eq!(world.lab.ledger().calls(Operation::ValidateRollback), 0);
    guard.daemon.stop().await;
}

/// An app that could be rolled back now.
async fn ready(world: &World, settings: &Settings) -> Guard {
    let guard = known(world, settings).await;
    world.lab.push(APP, Release::good("v2")).unwrap();
    guard.api.until("a target", |app| app["rollback"]["ready"] == true).await;
    guard
}

async fn shown(guard: &Guard, reason: &str) -> (f64, f64) {
    let not_ready = format!("rearguard_rollback_not_ready{{app=\"shop\",reason=\"{reason}\"}}");
    (guard.api.metric("rearguard_rollback_ready{app=\"shop\"}").await, guard.api.metric(&not_ready).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_does_not_outlive_the_token_it_was_asked_with() {
    let world = World::new().await;
    let guard = ready(&world, &asking()).await;
    world.lab.fault(Fault::on(Target::Reads, Kind::Status { code: 401, applied: false }));
    let app = guard.api.until("a refusal", |app| app["rollback"]["reason"] == "denied").await;
    assert_eq!(app["rollback"]["ready"], false);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while shown(&guard, "denied").await != (0.0, 1.0) {
        assert!(tokio::time::Instant::now() < deadline, "the metric says something else");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_question_is_asked_at_once_and_the_answer_to_the_old_one_is_forgotten() {
    let world = World::new().await;
    let mut guard = ready(&world, &asking()).await;
    let asked = |world: &World| world.lab.ledger().calls(Operation::ValidateRollback);
    let before = asked(&world);
    let config = |settings: &Settings| parse("rearguard.yaml", &world.yaml(settings)).unwrap();
    guard.daemon.reload(config(&asking())).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(asked(&world), before, "nothing has changed");
    assert_eq!(guard.api.app().await["rollback"]["ready"], true);
    let accepting = Settings { rollback: "{ warnings: accept }", ..asking() };
    guard.daemon.reload(config(&accepting)).await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while asked(&world) == before {
        assert!(tokio::time::Instant::now() < deadline, "nobody asks");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    guard.api.until("an answer", |app| app["rollback"]["ready"] == true).await;
    guard.daemon.reload(config(&Settings { readiness: "0s", ..accepting })).await.unwrap();
    let app = guard.api.until("no answer", |app| app["rollback"]["ready"] == false).await;
    assert_eq!((&app["rollback"]["reason"], &app["rollback"]["asked_at"]), (&json!("blind"), &json!(null)));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_app_is_ready_for_nothing_and_says_why_it_is_held() {
    let world = World::new().await;
    let settings = Settings { soak: "{ period: 1s, min_samples: 5, on_healthy: hold }", ..asking() };
    let settings = Settings { watch: "3s", ..settings };
    let guard = known(&world, &settings).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    guard.api.until_state("held").await;
    let app = guard.api.app().await;
    assert_eq!(
        (&app["rollback"]["ready"], &app["rollback"]["reason"]),
        (&json!(false), &json!("soak_healthy"))
    );
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cooldown_an_app_says_what_an_order_would_meet_all_the_same() {
    let world = World::new().await;
    // A watch in which a bad release can be accused however busy the machine is.
    let settings = Settings { watch: "5s", limits: "{ cooldown: 1h, max_rollbacks: 5 }", ..asking() };
    let guard = known(&world, &settings).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    assert_eq!(guard.api.until_closed().await["outcome"], "committed");
    let beside = |wanted: Value| {
        move |app: &Value| app["rollback"]["reason"] == "cooldown" && app["rollback"]["beside"] == wanted
    };
    world.lab.push(APP, Release { database: "postgres 17".to_owned(), ..Release::good("v3") }).unwrap();
    let refused = json!({ "reason": "not_valid", "detail": "database_config_conflict" });
    guard.api.until("a refusal", beside(refused)).await;
    world.lab.push(APP, Release { database: "postgres 17".to_owned(), ..Release::good("v4") }).unwrap();
    guard.api.until("nothing else", beside(json!(null))).await;
    assert_eq!(shown(&guard, "cooldown").await, (0.0, 1.0));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_platform_refuses_the_first_target_the_next_one_is_asked_about_as_in_an_incident() {
    let world = World::new().await;
    let guard = known(&world, &Settings { watch: "5s", ..asking() }).await;
    let first = guard.api.app().await["live_deployment"].clone();
    world.lab.push(APP, Release { database: "postgres 17".to_owned(), ..Release::good("v2") }).unwrap();
    guard.api.until("a refusal", |app| app["rollback"]["reason"] == "not_valid").await;
    let second = guard.api.until_state("steady").await["live_deployment"].clone();
    world.lab.push(APP, Release::good("v3")).unwrap();
    let app = guard.api.until("the first one", |app| app["rollback"]["ready"] == true).await;
    assert_eq!(app["rollback"]["target_deployment"], first);
    assert_ne!(first, second);
    // And so it is.
    world.lab.push(APP, Release::bad("v4")).unwrap();
    assert_eq!(guard.api.until_closed().await["outcome"], "committed");
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_nobody_is_ready_until_somebody_resumes() {
    let world = World::new().await;
    let guard = ready(&world, &asking()).await;
    assert_eq!(guard.api.get("/api/v1/apps").await["storm"], false);
    guard.daemon.stop().await;
    let journal = SqliteJournal::open(world.path("rearguard.db")).unwrap();
    journal.set_storm(Some(Moment::from_millis(1))).await.unwrap();
    drop(journal);
    let guard = world.daemon(&asking()).await;
    let app = guard.api.until("the storm", |app| app["rollback"]["reason"] == "storm").await;
    assert_eq!(app["rollback"]["ready"], false);
    assert_eq!(guard.api.get("/api/v1/apps").await["storm"], true);
    guard.api.until("an answer", |app| app["rollback"]["asked_at"].is_string()).await;
    assert_eq!(shown(&guard, "storm").await, (0.0, 1.0));
    assert_eq!(guard.api.post("/api/v1/resume").await, 200);
    guard.api.until("the end of it", |app| app["rollback"]["ready"] == true).await;
    assert_eq!(guard.api.get("/api/v1/apps").await["storm"], false);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_platform_picks_the_target_an_app_says_what_is_missing_and_why_there_is_none() {
    let world = World::of(AppKind::Sevalla { source: Source::PrivateGit, auto_deploy: None }).await;
    // Nobody has to be asked whether the operator's word is there.
    let text = world.yaml(&Settings::default()).replace("    accept_platform_choice: true\n", "");
    let mut guard = world.daemon_of(&text).await;
    let app = guard.api.until("the word", |app| app["rollback"]["reason"] == "not_valid").await;
    let detail = app["rollback"]["detail"].as_str().unwrap();
    assert!(detail.contains("accept_platform_choice: true"), "{detail}");
    guard.daemon.reload(parse("rearguard.yaml", &world.yaml(&asking())).unwrap()).await.unwrap();
    let app = guard.api.until("an answer", |app| app["rollback"]["reason"] == "no_target").await;
    assert_eq!(app["rollback"]["detail"], "no_previous_success");
    guard.daemon.stop().await;
}
