//! Which app a name means: what rearguard knows and has under way belongs to the platform's app, not to its name.

use rearguard::config::parse;
use rearguard::lab::Release;
use serde_json::json;

use crate::world::{APP, Guard, Settings, World, known};

const OTHER: &str = "other";
const SOAK: Settings = Settings {
    mode: "enforce",
    watch: "3s",
    soak: "{ period: 3s, min_samples: 5 }",
    rollback: "{}",
    limits: "{ cooldown: 1s, max_rollbacks: 5 }",
    rules: "[{ name: down, probe: home, consecutive_failures: 3 }]",
    reconcile: "1s",
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
async fn an_app_that_takes_over_a_name_has_its_own_state_and_the_old_ones_incident_goes_on() {
    let world = World::new().await;
    let mut guard = soaking(&world).await;
    let (text, id) = another(&world);
    guard.daemon.reload(parse("rearguard.yaml", &text).unwrap()).await.unwrap();
    let app = guard.api.until_state("steady").await;
    assert_eq!((&app["id"], &app["incident"]), (&json!(id), &json!(null)), "{app:#}");
    let incident = guard.api.until_closed().await;
    assert_eq!(
        (&incident["outcome"], &incident["app_id"]),
        (&json!("committed"), &json!(world.id)),
        "{incident:#}"
    );
    assert_eq!(world.writes(), (1, 1, 0));
    let ended = |list: &serde_json::Value| list["apps"].as_array().unwrap().len() == 1;
    while !ended(&guard.api.get("/api/v1/apps").await) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(guard.api.app().await["id"], id.as_str());
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
async fn an_app_under_a_new_name_keeps_its_incident_its_pause_and_its_counters() {
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
