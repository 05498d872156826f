//! Readiness to roll back, asked in quiet times and shown before it is needed.

use rearguard::lab::{Operation, Release};
use serde_json::json;

use crate::world::{APP, Settings, World, known};

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
