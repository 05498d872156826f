//! What the shell around the decisions must not lose, repeat or waste.

use std::time::Duration;

use rearguard::lab::{Action, Fault, Kind, Operation, Release, Target};
use serde_json::json;
use tokio::time::Instant;

use crate::binary::Process;
use crate::world::{APP, Api, PATIENCE, Settings, World, known};

/// The journal's lock, as another guard would hold it: what is locked so can be neither read nor written.
async fn held_by_another(world: &World) -> std::fs::File {
    let lock = std::fs::File::open(world.path("rearguard.db.lock")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while lock.try_lock().is_err() {
        assert!(Instant::now() < deadline, "the first daemon still holds the journal");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lock
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_while_the_platform_is_asked_is_not_lost() {
    let world = World::new().await;
    let guard = known(&world, &Settings { mode: "approve", ..Settings::default() }).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let app = guard.api.until("the question", |app| app["stage"] == "awaiting_approval").await;
    let id = app["incident"].as_str().unwrap().to_owned();
    world.lab.fault(Fault::on(Target::Call(Operation::ValidateRollback), Kind::Delay { ms: 600 }));
    assert_eq!(guard.api.post(&format!("/api/v1/incidents/{id}/approve")).await, 202);
    guard.api.until("validation", |app| app["stage"] == "validating").await;
    assert_eq!(guard.api.post(&format!("/api/v1/incidents/{id}/reject")).await, 202);
    let incident = guard.api.until_closed().await;
    assert_eq!((&incident["outcome"], &incident["reason"]), (&json!("refused"), &json!("rejected")));
    assert_eq!(world.writes(), (0, 0, 0));
    guard.daemon.stop().await;
}

/// An incident that awaits a person's word.
async fn asked(api: &Api) -> String {
    let app = api.until("the question", |app| app["stage"] == "awaiting_approval").await;
    app["incident"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_is_answered_once_it_is_in_the_journal() {
    let world = World::new().await;
    let settings = Settings { mode: "approve", ..Settings::default() };
    let first = Process::start(&world, &settings).await;
    first.api.until_state("steady").await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let id = asked(&first.api).await;
    let other = rusqlite::Connection::open(world.path("rearguard.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let lets_go = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(500));
        other.execute_batch("ROLLBACK").unwrap();
    });
    assert_eq!(first.api.post(&format!("/api/v1/incidents/{id}/reject")).await, 202);
    // Whatever happens from here on.
    first.signal("-KILL");
    drop(first);
    lets_go.await.unwrap();
    let second = Process::start(&world, &settings).await;
    let incident = second.api.until_closed().await;
    assert_eq!((&incident["outcome"], &incident["reason"]), (&json!("refused"), &json!("rejected")));
    assert_eq!(world.writes(), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_words_that_the_journal_does_not_take_a_no_stands_and_a_yes_does_not() {
    let world = World::new().await;
    let guard = known(&world, &Settings { mode: "approve", ..Settings::default() }).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let id = asked(&guard.api).await;
    let word = |word: &str| format!("/api/v1/incidents/{id}/{word}");
    let other = rusqlite::Connection::open(world.path("rearguard.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(guard.api.post(&word("approve")).await, 503);
    other.execute_batch("ROLLBACK").unwrap();
    asked(&guard.api).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(asked(&guard.api).await, id);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(guard.api.post(&word("reject")).await, 503);
    other.execute_batch("ROLLBACK").unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!((&incident["outcome"], &incident["reason"]), (&json!("refused"), &json!("rejected")));
    assert_eq!(world.writes(), (0, 0, 0));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_to_one_target_is_none_to_the_next() {
    let world = World::new().await;
    let guard = known(&world, &Settings { mode: "approve", ..Settings::default() }).await;
    let second = world.lab.push(APP, Release::good("v2")).unwrap().unwrap();
    guard.api.until("v2", |app| app["live_deployment"] == second.as_str() && app["state"] == "steady").await;
    world.lab.push(APP, Release::bad("v3")).unwrap();
    let id = asked(&guard.api).await;
    let refused = Kind::Status { code: 422, applied: false };
    world.lab.fault(Fault::on(Target::Call(Operation::ValidateRollback), refused));
    let approve = format!("/api/v1/incidents/{id}/approve");
    assert_eq!(guard.api.post(&approve).await, 202);
    let path = format!("/api/v1/incidents/{id}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let incident = guard.api.get(&path).await;
        let lines = incident["timeline"].as_array().unwrap();
        if incident["state"] == "awaiting_approval"
            && lines.iter().any(|line| line["event"] == "target_refused")
        {
            break;
        }
        assert!(Instant::now() < deadline, "{incident:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A colleague's yes to the first question.
    assert_eq!(guard.api.post(&approve).await, 409);
    assert_eq!(world.writes(), (0, 0, 0));
    world.lab.clear_faults();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(guard.api.post(&approve).await, 202);
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    assert_eq!(world.live_version().as_deref(), Some("v1"));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_although_the_journal_was_locked_at_the_start() {
    let world = World::new().await;
    let settings = Settings { watch: "60s", ..Settings::default() };
    let guard = world.daemon(&settings).await;
    guard.api.until("the app", |app| app["live_deployment"].is_string()).await;
    assert_eq!(guard.api.post("/api/v1/apps/shop/pause").await, 200);
    guard.daemon.stop().await;
    let other = rusqlite::Connection::open(world.path("rearguard.db")).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    // Another guard of ours holds the journal: it can be neither read nor written.
    let lock = held_by_another(&world).await;
    let guard = world.daemon(&settings).await;
    assert_eq!(guard.api.text("/ready").await.0, 503);
    assert_eq!(guard.api.app().await["paused"], true, "nobody knows, so nobody acts");
    world.lab.push(APP, Release::bad("v2")).unwrap();
    other.execute_batch("ROLLBACK").unwrap();
    drop((other, lock));
    let incident = guard.api.until_closed().await;
    assert_eq!((&incident["outcome"], &incident["reason"]), (&json!("refused"), &json!("paused")));
    assert_eq!(world.writes(), (0, 0, 0));
    assert_eq!(guard.api.post("/api/v1/apps/shop/resume").await, 200);
    assert_eq!(guard.api.app().await["paused"], false);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_clock_cannot_continue_the_journals_asks_for_another() {
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    guard.daemon.stop().await;
    let other = rusqlite::Connection::open(world.path("rearguard.db")).unwrap();
    // As if the last process had begun by a wall clock that was ten minutes ahead.
    let ahead = "UPDATE meta SET value = json_set(value, '$.at', json_extract(value, '$.at') + 600000) WHERE key = 'mark'";
    assert_eq!(other.execute(ahead, []).unwrap(), 1);
    let lock = held_by_another(&world).await;
    let guard = world.daemon(&Settings::default()).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    drop((other, lock));
    tokio::time::timeout(PATIENCE, guard.daemon.must_restart()).await.expect("asked for a restart");
    guard.daemon.stop().await;
    assert_eq!(world.writes(), (0, 0, 0), "nothing is decided by a clock that is off");
    let guard = world.daemon(&Settings::default()).await;
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_stops_its_app_alone() {
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    guard.daemon.stop().await;
    let other = rusqlite::Connection::open(world.path("rearguard.db")).unwrap();
    let broken = "UPDATE apps SET state = '{}' WHERE app_id = ?1";
    assert_eq!(other.execute(broken, [&world.id]).unwrap(), 1);
    let lab = world.lab.create_app("other", Release::good("v1")).unwrap();
    let text = world.yaml(&Settings::default());
    let (head, app) = text.split_once("apps:\n").unwrap();
    let second = app.replace(&world.id, &lab.id).replace("name: shop", "name: other");
    let second = second.replace("/sites/shop/", "/sites/other/");
    let guard = world.daemon_of(&format!("{head}apps:\n{app}{second}")).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while guard.api.get("/api/v1/apps/other").await["state"] != "steady" {
        assert!(Instant::now() < deadline, "the other app does not go on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..20 {
        assert_eq!(guard.api.text("/ready").await.0, 200);
        assert_eq!(guard.api.app().await["blind"], "journal");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.writes(), (0, 0, 0));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_between_the_fresh_read_and_the_write_gives_nothing_up() {
    let world = World::new().await;
    let settings = Settings { watch: "60s", ..Settings::default() };
    let guard = world.daemon(&settings).await;
    guard.api.until("the app", |app| app["live_deployment"].is_string()).await;
    let slow = world.lab.fault(Fault::on(Target::Call(Operation::GetApp), Kind::Delay { ms: 500 }));
    world.lab.push(APP, Release::bad("v2")).unwrap();
    guard.api.until("the incident", |app| app["stage"] == "validating").await;
    guard.daemon.stop().await;
    assert_eq!(world.writes(), (0, 0, 0));
    world.lab.remove_fault(slow);
    let guard = world.daemon(&settings).await;
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    assert_eq!(world.writes(), (1, 1, 0));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_no_call_open_that_was_never_sent() {
    let world = World::new().await;
    let settings = Settings { watch: "60s", ..Settings::default() };
    let guard = world.daemon(&settings).await;
    guard.api.until("the app", |app| app["live_deployment"].is_string()).await;
    let call = Target::Call(Operation::ValidateRollback);
    let slow = world.lab.fault(Fault::on(call, Kind::Delay { ms: 800 }));
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while world.lab.ledger().calls(Operation::ValidateRollback) == 0 {
        assert!(Instant::now() < deadline, "the platform is not asked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    guard.daemon.stop().await;
    world.lab.remove_fault(slow);
    assert_eq!(world.writes(), (0, 0, 0));
    let journal = rusqlite::Connection::open(world.path("rearguard.db")).unwrap();
    let count = |sql: &str| journal.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM effects WHERE answer IS NOT NULL AND effect LIKE '%create%'"), 1);
    assert_eq!(count("SELECT count(*) FROM effects WHERE answer IS NULL"), 0);
    let guard = world.daemon(&settings).await;
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    assert_eq!(world.writes(), (1, 1, 0));
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_the_fresh_read_leaves_no_call_open() {
    let world = World::new().await;
    let settings = Settings { watch: "60s", ..Settings::default() };
    let guard = world.daemon_of(&world.yaml(&settings).replace("timeout: 1s", "timeout: 10s")).await;
    guard.api.until("the app", |app| app["live_deployment"].is_string()).await;
    let call = Target::Call(Operation::ValidateRollback);
    world.lab.fault(Fault::on(call, Kind::Delay { ms: 600 }));
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while world.lab.ledger().calls(Operation::ValidateRollback) == 0 {
        assert!(Instant::now() < deadline, "the platform is not asked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The read before the request hangs for longer than a stop may take.
    world.lab.fault(Fault::on(Target::Call(Operation::GetApp), Kind::Delay { ms: 9_000 }));
    guard.api.until("the request", |app| app["stage"] == "rolling_back").await;
    let began = Instant::now();
    guard.daemon.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(world.lab.ledger().calls(Operation::CreateRollback), 0);
    let journal = rusqlite::Connection::open(world.path("rearguard.db")).unwrap();
    let open = "SELECT count(*) FROM effects WHERE answer IS NULL";
    assert_eq!(journal.query_row(open, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_the_journal_does_not_take_is_in_force_and_written_later() {
    let world = World::new().await;
    let guard = known(&world, &Settings::default()).await;
    let other = rusqlite::Connection::open(world.path("rearguard.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(guard.api.post("/api/v1/apps/shop/pause").await, 503);
    assert_eq!(guard.api.app().await["paused"], true);
    assert_eq!(guard.api.text("/ready").await.0, 503, "a write failed");
    other.execute_batch("ROLLBACK").unwrap();
    let written = "SELECT count(*) FROM paused";
    let deadline = Instant::now() + PATIENCE;
    while other.query_row(written, [], |row| row.get::<_, i64>(0)).unwrap() == 0 {
        assert!(Instant::now() < deadline, "the pause is never written");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    guard.daemon.stop().await;
    let guard = world.daemon(&Settings::default()).await;
    assert_eq!(guard.api.app().await["paused"], true);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_can_be_read_and_not_written_is_not_ready_until_it_can() {
    let world = World::new().await;
    let guard = world.daemon(&Settings { watch: "60s", ..Settings::default() }).await;
    let good = world.lab.push(APP, Release::good("v2")).unwrap().unwrap();
    guard.api.until("v2", |app| app["live_deployment"] == good.as_str()).await;
    let other = rusqlite::Connection::open(world.path("rearguard.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    world.lab.set_health(APP, rearguard::lab::Health::Bad { status: 500 }).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while guard.api.text("/ready").await.0 != 503 {
        assert!(Instant::now() < deadline, "ready all the time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let until = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        assert_eq!(guard.api.text("/ready").await.0, 503, "a read is taken for a write");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    other.execute_batch("ROLLBACK").unwrap();
    guard.api.until_closed().await;
    assert_eq!(guard.api.text("/ready").await.0, 200);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_leaves_and_comes_back_with_other_probes_keeps_its_incident() {
    let world = World::new().await;
    let settings = Settings { soak: "{ period: 4s, min_samples: 5 }", ..Settings::default() };
    let mut guard = known(&world, &settings).await;
    let text = world.yaml(&settings);
    let config = |text: &str| rearguard::config::parse("rearguard.yaml", text).unwrap();
    let another = text.replace("name: shop\n", "name: other\n").replace(&world.id, "no-such-app");
    world.lab.push(APP, Release::bad("v2")).unwrap();
    guard.api.until("the soak", |app| app["stage"] == "soaking").await;
    guard.daemon.reload(config(&another)).await.unwrap();
    assert_eq!(guard.api.app().await["stage"], "soaking", "an open incident is followed to its end");
    let slower = text.replace("timeout: 500ms, expect", "timeout: 400ms, expect");
    guard.daemon.reload(config(&slower)).await.unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    assert_eq!(world.writes(), (1, 1, 0));
    // Gone and back at once: it is guarded again.
    guard.daemon.reload(config(&another)).await.unwrap();
    guard.daemon.reload(config(&text)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    guard.api.until_state("steady").await;
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_behind_by_apps_that_are_not_configured_any_more_is_told_once() {
    let world = World::new().await;
    let settings =
        Settings { soak: "{ period: 1s, min_samples: 2, on_healthy: hold }", ..Settings::default() };
    let second = world.lab.create_app("other", Release::good("v1")).unwrap().id;
    let both = |of: &str| {
        let (head, app) = of.split_once("apps:\n").unwrap();
        let other = app.replace(&world.id, &second).replace("name: shop", "name: other");
        format!("{head}apps:\n{app}{}", other.replace("/sites/shop/", "/sites/other/"))
    };
    let guard = world.daemon_of(&both(&world.yaml(&settings))).await;
    for name in [APP, "other"] {
        let path = format!("/api/v1/apps/{name}");
        let deadline = Instant::now() + PATIENCE;
        let mut is_released = false;
        while guard.api.get(&path).await["state"] != "held" {
            if !is_released && guard.api.get(&path).await["state"] == "steady" {
                world.lab.push(name, Release::bad("v2")).unwrap();
                is_released = true;
            }
            assert!(Instant::now() < deadline, "{name} is not held");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    guard.daemon.stop().await;
    let journal = rusqlite::Connection::open(world.path("rearguard.db")).unwrap();
    let broken = "UPDATE apps SET state = '{}' WHERE app_id = ?1";
    assert_eq!(journal.execute(broken, [&second]).unwrap(), 1);
    drop(journal);
    let third = world.lab.create_app("third", Release::good("v1")).unwrap().id;
    let text = world.yaml(&settings).replace(&world.id, &third).replace("name: shop", "name: third");
    let _process = Process::start_with(&world, &text).await;
    // Longer than it takes to keep house once more.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let log = std::fs::read_to_string(world.path("log")).unwrap();
    let told = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    let pinned = "a held pin of an app that is not configured: a pin blocks every other deployment; configure the app \
                  again: rearguard commit or rearguard revert; or settle it at the platform: commit or revert";
    assert_eq!(told(pinned), 1, "{log}");
    assert_eq!(told("whether it left something behind is not known"), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_pin_is_told_although_its_app_left_the_configuration() {
    let world = World::new().await;
    let settings =
        Settings { soak: "{ period: 1s, min_samples: 2, on_healthy: hold }", ..Settings::default() };
    let mut guard = known(&world, &settings).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    guard.api.until_state("held").await;
    let text = world.yaml(&settings);
    let another = text.replace("name: shop\n", "name: other\n").replace(&world.id, "no-such-app");
    guard.daemon.reload(rearguard::config::parse("rearguard.yaml", &another).unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(guard.api.app().await["state"], "held");
    assert_eq!(guard.api.metric("rearguard_pinned{app=\"shop\"}").await, 1.0);
    // Somebody settles it, and there is nothing left to tell.
    world.lab.person(APP, Action::Commit).unwrap();
    while guard.api.text("/api/v1/apps/shop").await.0 != 404 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    guard.daemon.stop().await;
}
