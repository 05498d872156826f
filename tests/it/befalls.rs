//! What befalls a process: it is stopped and goes on, is told to end twice, told to reload again and again, has nobody who
//! reads its log, or no descriptors left. Killed it is in `binary.rs`, short of room on the disk in the crash sweep.

use std::io::{PipeReader, PipeWriter, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rearguard::lab::{Fault, Health, Kind, Operation, Release, Target, When};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::binary::{Process, rearguard};
use crate::world::{APP, PATIENCE, Settings, World};

fn once(operation: Operation, kind: Kind) -> Fault {
    Fault::on(Target::Call(operation), kind).when(When::First(1))
}

/// Waits until the platform got the guard's call.
async fn until_received(world: &World, operation: Operation) {
    let deadline = Instant::now() + PATIENCE;
    while world.lab.ledger().received(operation, APP).is_empty() {
        assert!(Instant::now() < deadline, "{operation:?} was not asked for");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A process that knows the app.
async fn knowing(world: &World, settings: &Settings) -> Process {
    let process = Process::start(world, settings).await;
    process.api.until("the live deployment", |app| app["live_deployment"].is_string()).await;
    process
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_before_the_rollback_it_does_not_act_on_what_has_healed_meanwhile() {
    let world = World::new().await;
    let text = world.yaml(&Settings { watch: "60s", ..Settings::default() });
    let text = text.replace("timeout: 1s, reconcile", "timeout: 10s, reconcile");
    assert!(text.contains("timeout: 10s"), "{text}");
    let process = Process::start_with(&world, &text).await;
    process.api.until("the live deployment", |app| app["live_deployment"].is_string()).await;
    world.lab.fault(once(Operation::ValidateRollback, Kind::Delay { ms: 5_000 }));
    world.lab.push(APP, Release::bad("v2")).unwrap();
    process.api.until_state("incident").await;
    process.signal("-STOP");
    world.lab.set_health(APP, Health::Good).unwrap();
    sleep(Duration::from_secs(7)).await;
    process.signal("-CONT");
    let incident = process.api.until_closed().await;
    assert_eq!(incident["reason"], "recovered", "{incident:#}");
    assert_eq!(world.writes(), (0, 0, 0));
    assert_eq!(world.live_version().as_deref(), Some("v2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_while_its_rollback_is_on_the_way_it_finds_that_and_sends_no_other() {
    let world = World::new().await;
    let process = knowing(&world, &Settings::default()).await;
    world.lab.fault(once(Operation::CreateRollback, Kind::Hang { applied: true }));
    world.lab.push(APP, Release::bad("v2")).unwrap();
    until_received(&world, Operation::CreateRollback).await;
    process.signal("-STOP");
    sleep(Duration::from_secs(4)).await;
    process.signal("-CONT");
    let incident = process.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    assert_eq!(world.writes(), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_twice_it_ends_at_once_and_the_next_one_goes_on() {
    let world = World::new().await;
    let settings = Settings::default();
    let text = world.yaml(&settings).replace("timeout: 1s, reconcile", "timeout: 20s, reconcile");
    assert!(text.contains("timeout: 20s"), "{text}");
    let mut process = Process::start_with(&world, &text).await;
    process.api.until_state("steady").await;
    world.lab.fault(once(Operation::CreateRollback, Kind::Hang { applied: true }));
    world.lab.push(APP, Release::bad("v2")).unwrap();
    until_received(&world, Operation::CreateRollback).await;
    process.signal("-TERM");
    sleep(Duration::from_millis(300)).await;
    assert!(process.child.try_wait().unwrap().is_none(), "it waits for the answer");
    let asked = Instant::now();
    process.signal("-TERM");
    assert_eq!(process.end().await, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    let next = Process::start(&world, &settings).await;
    let incident = next.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    assert_eq!(world.writes(), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_reload_again_and_again_it_guards_on() {
    let world = World::new().await;
    let process = knowing(&world, &Settings::default()).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let storm = async {
        loop {
            process.signal("-HUP");
            sleep(Duration::from_millis(10)).await;
        }
    };
    let incident = tokio::select! {
        incident = process.api.until_closed() => incident,
        () = storm => unreachable!("it goes on for ever"),
    };
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    assert_eq!(world.writes(), (1, 1, 0));
    assert_eq!(process.api.text("/ready").await.0, 200);
}

/// A pipe that is full, and whoever does not read it.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut filling = writer.try_clone().unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let taken = Arc::clone(&written);
    // Ends when the reader is gone.
    std::thread::spawn(move || {
        while let Ok(count) = filling.write(&[b'.'; 512]) {
            taken.fetch_add(count, Ordering::Relaxed);
        }
    });
    let mut before = usize::MAX;
    while before != written.load(Ordering::Relaxed) || before == 0 {
        before = written.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(100));
    }
    (reader, writer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_any_more_keeps_it_from_nothing() {
    for is_closed in [true, false] {
        let world = World::new().await;
        let (reader, log) = full_pipe();
        let reader = (!is_closed).then_some(reader);
        let settings = Settings::default();
        let mut process = Process::start_by(rearguard().stderr(log), &world, &world.yaml(&settings)).await;
        process.api.until("the live deployment", |app| app["live_deployment"].is_string()).await;
        world.lab.push(APP, Release::bad("v2")).unwrap();
        let incident = process.api.until_closed().await;
        assert_eq!(incident["outcome"], "committed", "closed {is_closed}: {incident:#}");
        assert_eq!(world.writes(), (1, 1, 0), "closed {is_closed}");
        process.signal("-TERM");
        assert_eq!(process.end().await, Some(0), "closed {is_closed}");
        drop(reader);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_ends_of_is_said_to_nobody_rather_than_not_ended_of() {
    let (reader, log) = full_pipe();
    let mut child = rearguard().args(["run", "--config", "nothing.yaml"]).stderr(log).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it does not end");
        }
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(ended.code(), Some(78));
    drop(reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_nobody_is_accused_and_with_them_it_guards_on() {
    let world = World::new().await;
    let process = knowing(&world, &Settings { watch: "60s", ..Settings::default() }).await;
    world.lab.push(APP, Release::good("v2")).unwrap();
    process.api.until_state("watching").await;
    let pid = process.child.id();
    let limit = |most: usize| {
        let limit = format!("--nofile={most}:");
        assert!(
            Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().unwrap().success()
        );
    };
    // No descriptor that is open now can be opened again.
    let unknown = "rearguard_probes_total{app=\"shop\",probe=\"home\",result=\"unknown\"}";
    let before = process.api.metric(unknown).await;
    limit(3);
    sleep(Duration::from_secs(5)).await;
    limit(1_024);
    assert!(process.api.metric(unknown).await > before, "no probe was without one");
    process.api.until("sight", |app| app["blind"].is_null()).await;
    assert_eq!(process.api.get("/api/v1/incidents").await["incidents"], json!([]));
    assert_eq!(process.api.app().await["state"], "watching");
    world.lab.set_health(APP, Health::Bad { status: 500 }).unwrap();
    let incident = process.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    assert_eq!(world.writes(), (1, 1, 0));
}
