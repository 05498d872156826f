//! A person always wins, and can stop and approve.

use rearguard::config::parse;
use rearguard::lab::{Action, Fault, Kind, Operation, Release, Target};
use serde_json::{Value, json};

use crate::world::{ADMIN, APP, NO_FIGURES, Settings, World, known};

const LONG_SOAK: Settings = Settings {
    mode: "enforce",
    watch: "4s",
    soak: "{ period: 20s, min_samples: 5 }",
    rollback: "{}",
    limits: "{ cooldown: 1s, max_rollbacks: 5 }",
    rules: "[{ name: down, probe: home, consecutive_failures: 3 }]",
    reconcile: "1s",
    readiness: "0s",
    figures: NO_FIGURES,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_commits_or_reverts_ends_the_incident_without_another_write() {
    for action in [Action::Commit, Action::Revert] {
        let world = World::new().await;
        let guard = known(&world, &LONG_SOAK).await;
        world.lab.push(APP, Release::bad("v2")).unwrap();
        guard.api.until("the soak", |app| app["stage"] == "soaking").await;
        world.lab.person(APP, action).unwrap();
        let incident = guard.api.until_closed().await;
        assert_eq!(incident["outcome"], "superseded", "{incident:#}");
        assert_eq!(world.writes(), (1, 0, 0));
        guard.daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_pin_is_never_touched() {
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    world.lab.push(APP, Release::good("v2")).unwrap();
    guard
        .api
        .until("v2 good", |app| {
            app["state"] == "steady" && app["last_good_deployment"] == app["live_deployment"]
        })
        .await;
    world.lab.person(APP, Action::Rollback { to: Some("v1".to_owned()), skip_pin: false }).unwrap();
    world.lab.settled(APP).await.unwrap();
    let pinned = guard.api.until("the pin", |app| app["pinned_deployment"].is_string()).await;
    world.lab.set_health(APP, rearguard::lab::Health::Bad { status: 500 }).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(world.writes(), (0, 0, 0));
    assert_eq!(guard.api.app().await["pinned_deployment"], pinned["pinned_deployment"]);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_deployment_under_way_is_waited_for_and_wins() {
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    world.lab.fault(Fault::on(Target::Call(Operation::ValidateRollback), Kind::Delay { ms: 800 }));
    world.lab.push(APP, Release::bad("v2")).unwrap();
    guard.api.until("the question", |app| app["stage"] == "validating").await;
    let fix = Release { build_ms: Some(2_000), ..Release::good("v3") };
    world.lab.push(APP, fix).unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "superseded", "{incident:#}");
    assert_eq!(world.writes(), (0, 0, 0));
    assert_eq!(world.live_version().as_deref(), Some("v3"));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_app_is_not_written_to_and_a_pause_survives_a_restart() {
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    assert_eq!(guard.api.post("/api/v1/apps/shop/pause").await, 200);
    guard.daemon.stop().await;
    let guard = known(&world, &Settings::default()).await;
    assert_eq!(guard.api.metric("rearguard_paused{app=\"shop\"}").await, 1.0);
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!((&incident["outcome"], &incident["reason"]), (&json!("refused"), &json!("paused")));
    assert_eq!(world.writes(), (0, 0, 0));
    assert_eq!(guard.api.post("/api/v1/apps/shop/resume").await, 200);
    assert_eq!(guard.api.app().await["paused"], false);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_not_said_to_be_resumed_while_everything_is_paused() {
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    assert_eq!(guard.api.post("/api/v1/pause").await, 200);
    assert_eq!(guard.api.post("/api/v1/apps/shop/resume").await, 409);
    assert_eq!(guard.api.app().await["paused"], true);
    assert_eq!(guard.api.post("/api/v1/resume").await, 200);
    assert_eq!(guard.api.app().await["paused"], false);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_go_on_when_a_rule_changes_and_go_with_the_platform() {
    let world = World::new().await;
    let mut guard = known(&world, &Settings::default()).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    assert_eq!(guard.api.until_closed().await["outcome"], "committed");
    let incidents = "rearguard_incidents_total{app=\"shop\",outcome=\"committed\"}";
    let polls = "rearguard_platform_requests_total{code=\"200\",operation=\"list_apps\",platform=\"ocean\"}";
    assert_eq!(guard.api.metric(incidents).await, 1.0);
    let changed =
        world.yaml(&Settings::default()).replace("consecutive_failures: 3", "consecutive_failures: 4");
    guard.daemon.reload(parse("rearguard.yaml", &changed).unwrap()).await.unwrap();
    while guard.api.metric("rearguard_signal_threshold{app=\"shop\",rule=\"down\"}").await != 4.0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(guard.api.metric(incidents).await, 1.0);
    assert!(guard.api.metric(polls).await > 0.0);
    let moved = changed.replace("name: ocean", "name: sea").replace("platform: ocean", "platform: sea");
    guard.daemon.reload(parse("rearguard.yaml", &moved).unwrap()).await.unwrap();
    let metrics = guard.api.text("/metrics").await.1;
    assert!(metrics.contains("platform=\"sea\"") && !metrics.contains("platform=\"ocean\""));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn approve_mode_waits_for_a_person() {
    for (word, outcome, writes) in [("approve", "committed", (1, 1, 0)), ("reject", "refused", (0, 0, 0))] {
        let world = World::new().await;
        let guard = known(&world, &Settings { mode: "approve", ..Settings::default() }).await;
        world.lab.push(APP, Release::bad("v2")).unwrap();
        let app = guard.api.until("the question", |app| app["stage"] == "awaiting_approval").await;
        assert_eq!(world.writes(), (0, 0, 0));
        let id = app["incident"].as_str().unwrap().to_owned();
        assert_eq!(guard.api.post(&format!("/api/v1/incidents/{id}/{word}")).await, 202);
        let incident = guard.api.until_closed().await;
        assert_eq!(incident["outcome"], outcome, "{incident:#}");
        assert_eq!(world.writes(), writes);
        assert_eq!(guard.api.post(&format!("/api/v1/incidents/{id}/{word}")).await, 409);
        guard.daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_noes_at_once_both_are_what_happened() {
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    world.lab.fault(Fault::on(Target::Call(Operation::ValidateRollback), Kind::Delay { ms: 800 }));
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let app = guard.api.until("validation", |app| app["stage"] == "validating").await;
    let no = format!("/api/v1/incidents/{}/reject", app["incident"].as_str().unwrap());
    let says_no = async |name: &str| {
        let asked = guard.api.client.post(format!("{}{no}", guard.api.base)).bearer_auth(ADMIN);
        asked.json(&json!({ "by": name })).send().await.unwrap().status().as_u16()
    };
    let told = tokio::join!(says_no("ada"), says_no("bob"), says_no("bob"));
    assert_eq!(told, (202, 202, 202));
    let incident = guard.api.until_closed().await;
    assert_eq!((&incident["outcome"], &incident["reason"]), (&json!("refused"), &json!("rejected")));
    let mut asked = incident["timeline"].as_array().unwrap().iter().filter(|entry| entry["event"] == "asked");
    let by = asked.next().map(|asked| asked["facts"]["by"].clone()).unwrap_or_default();
    assert!(by == "ada and bob" || by == "bob and ada", "{incident:#}");
    assert_eq!(asked.next(), None, "{incident:#}");
    assert_eq!(says_no("ada").await, 409, "it is closed by now");
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_says_to_what_it_was_and_may_be_to_that_alone() {
    let world = World::new().await;
    let guard = known(&world, &Settings { mode: "approve", ..Settings::default() }).await;
    let good = guard.api.app().await["live_deployment"].clone();
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let app = guard.api.until("the question", |app| app["stage"] == "awaiting_approval").await;
    let path = format!("{}/api/v1/incidents/{}/approve", guard.api.base, app["incident"].as_str().unwrap());
    let yes = async |target: &Value| {
        let asked = guard.api.client.post(&path).bearer_auth(ADMIN);
        let answer = asked.json(&json!({ "target_deployment": target })).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, told) = yes(&json!("another")).await;
    let why = format!("asks about the target {}, and not about another", good.as_str().unwrap());
    assert_eq!(status, 409);
    assert!(told["error"]["message"].as_str().unwrap().contains(&why), "{told}");
    assert_eq!(guard.api.app().await["stage"], "awaiting_approval");
    let (status, told) = yes(&good).await;
    assert_eq!((status, &told["target_deployment"]), (202, &good), "{told}");
    let incident = guard.api.until_closed().await;
    assert_eq!((&incident["outcome"], &incident["target_deployment"]), (&json!("committed"), &good));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_outranks_what_is_said_after_it() {
    let world = World::new().await;
    let guard = known(&world, &Settings { mode: "approve", ..Settings::default() }).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let app = guard.api.until("the question", |app| app["stage"] == "awaiting_approval").await;
    let id = app["incident"].as_str().unwrap().to_owned();
    world.lab.fault(Fault::on(Target::Call(Operation::ValidateRollback), Kind::Delay { ms: 800 }));
    assert_eq!(guard.api.post(&format!("/api/v1/incidents/{id}/approve")).await, 202);
    guard.api.until("validation", |app| app["stage"] == "validating").await;
    assert_eq!(guard.api.post(&format!("/api/v1/incidents/{id}/reject")).await, 202);
    assert_eq!(guard.api.post("/api/v1/resume").await, 200);
    let incident = guard.api.until_closed().await;
    assert_eq!((&incident["outcome"], &incident["reason"]), (&json!("refused"), &json!("rejected")));
    assert_eq!(world.writes(), (0, 0, 0));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_once_mode_observe_is_in_force() {
    let world = World::new().await;
    let settings = Settings { watch: "60s", ..Settings::default() };
    let mut guard = world.daemon(&settings).await;
    guard.api.until("the app", |app| app["live_deployment"].is_string()).await;
    let slow = world.lab.fault(Fault::on(Target::Call(Operation::GetApp), Kind::Delay { ms: 900 }));
    world.lab.push(APP, Release::bad("v2")).unwrap();
    guard.api.until("the request", |app| app["stage"] == "rolling_back").await;
    let observe = world.yaml(&Settings { mode: "observe", ..settings.clone() });
    guard.daemon.reload(parse("rearguard.yaml", &observe).unwrap()).await.unwrap();
    assert_eq!(world.writes(), (0, 0, 0), "the read before the write is still under way");
    world.lab.remove_fault(slow);
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "observed", "{incident:#}");
    assert_eq!(world.writes(), (0, 0, 0));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_renamed_in_an_incident_is_one_app_to_the_storm_breaker() {
    let world = World::new().await;
    let settings = Settings { watch: "60s", ..Settings::default() };
    let text = world.yaml(&settings) + "limits: { concurrent_rollbacks: 1 }\n";
    let mut guard = world.daemon_of(&text).await;
    guard.api.until("the app", |app| app["live_deployment"].is_string()).await;
    world.lab.fault(Fault::on(Target::Call(Operation::ValidateRollback), Kind::Delay { ms: 800 }));
    world.lab.push(APP, Release::bad("v2")).unwrap();
    guard.api.until("validation", |app| app["stage"] == "validating").await;
    let renamed = text.replace("  - name: shop", "  - name: store");
    guard.daemon.reload(parse("rearguard.yaml", &renamed).unwrap()).await.unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    assert_eq!(guard.api.metric("rearguard_storm").await, 0.0);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_observed_apps_would_have_done_counts_for_the_storm_breaker() {
    let world = World::new().await;
    let base = world.lab.base_url.as_str().trim_end_matches('/').to_owned();
    let mut text = world.yaml(&Settings { mode: "observe", watch: "60s", ..Settings::default() });
    let id = world.lab.create_app("other", Release::good("v1")).unwrap().id;
    text.push_str(&format!(
        "  - {{ name: other, platform: ocean, id: {id}, mode: observe, watch: 60s, \
         probes: [{{ name: home, url: {base}/sites/other/healthz, period: 200ms, timeout: 500ms }}], \
         rules: [{{ name: down, probe: home, consecutive_failures: 3 }}] }}\n\
         limits: {{ concurrent_rollbacks: 1 }}\n"
    ));
    let guard = world.daemon_of(&text).await;
    guard.api.until("the live deployment", |app| app["live_deployment"].is_string()).await;
    for name in [APP, "other"] {
        world.lab.push(name, Release::bad("v2")).unwrap();
    }
    let deadline = tokio::time::Instant::now() + crate::world::PATIENCE;
    while guard.api.metric("rearguard_storm").await != 1.0 {
        assert!(tokio::time::Instant::now() < deadline, "no storm");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(world.writes(), (0, 0, 0));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_stops_everybody_until_a_person_resumes() {
    let world = World::new().await;
    let names: Vec<String> = (0..5).map(|n| format!("app-{n}")).collect();
    let base = world.lab.base_url.as_str().trim_end_matches('/').to_owned();
    let mut text = world.yaml(&Settings { watch: "60s", ..Settings::default() });
    for name in &names {
        let id = world.lab.create_app(name, Release::good("v1")).unwrap().id;
        text.push_str(&format!(
            "  - {{ name: {name}, platform: ocean, id: {id}, mode: enforce, watch: 60s, \
             probes: [{{ name: home, url: {base}/sites/{name}/healthz, period: 200ms, timeout: 500ms }}], \
             rules: [{{ name: down, probe: home, consecutive_failures: 3 }}] }}\n"
        ));
    }
    text.push_str("limits: { concurrent_rollbacks: 1 }\n");
    let guard = world.daemon_of(&text).await;
    guard.api.until("the live deployment", |app| app["live_deployment"].is_string()).await;
    for name in &names {
        world.lab.push(name, Release::bad("v2")).unwrap();
    }
    let deadline = tokio::time::Instant::now() + crate::world::PATIENCE;
    while guard.api.metric("rearguard_storm").await != 1.0 {
        assert!(tokio::time::Instant::now() < deadline, "no storm");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    guard.daemon.stop().await;
    // The breaker is in the journal: a restart does not close it.
    let guard = world.daemon_of(&text).await;
    assert_eq!(guard.api.metric("rearguard_storm").await, 1.0);
    let created = |world: &World| {
        let ledger = world.lab.ledger();
        names
            .iter()
            .map(|name| ledger.applied(rearguard::lab::Operation::CreateRollback, name).len())
            .sum::<usize>()
    };
    // The first one may have been on its way before the others were known.
    assert!(created(&world) <= 1, "{} rollbacks", created(&world));
    assert_eq!(guard.api.post("/api/v1/resume").await, 200);
    assert_eq!(guard.api.metric("rearguard_storm").await, 0.0);
    guard.daemon.stop().await;
}
