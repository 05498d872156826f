//! What people order, through the built binary: its commands against a daemon in a process of its own.

use std::process::Output;

use rearguard::lab::{Action, Release};

use crate::binary::{Process, rearguard};
use crate::world::{APP, Settings, World};

/// Runs a command against the daemon of this world, as ada.
async fn type_in(world: &World, words: &[&str]) -> Output {
    let mut command = rearguard();
    command.args(words).arg("--config").arg(world.path("rearguard.yaml")).env("REARGUARD_BY", "ada");
    command.env("COLUMNS", "160");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// What it printed, where it was done.
async fn done(world: &World, words: &[&str]) -> String {
    let output = type_in(world, words).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it said, where it could not be done.
async fn failed(world: &World, words: &[&str]) -> String {
    let output = type_in(world, words).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
    said
}

/// A text without what differs from run to run: ids by what they are of, numbers as `#`.
fn plain(world: &World, incident: &str, text: &str) -> String {
    let mut text = text.replace(incident, "INCIDENT");
    for deployment in world.lab.app(APP).unwrap().deployments {
        text = text.replace(&deployment.id, &format!("<{}>", deployment.release.version));
        text = text.replace(&deployment.id[..8], &format!("<{}>", deployment.release.version));
    }
    let (mut plain, mut is_version) = (String::new(), false);
    for c in text.chars() {
        is_version = c == '<' || is_version && c != '>';
        match c {
            c if is_version => plain.push(c),
            '0'..='9' if plain.ends_with('#') => {}
            '0'..='9' => plain.push('#'),
            c => plain.push(c),
        }
    }
    // Fractions, and units that depend on the size.
    while plain.contains("#.#") {
        plain = plain.replace("#.#", "#");
    }
    plain
}

/// A screen without what differs from run to run, and where lines are broken by the length of that.
fn screen(world: &World, incident: &str, text: &str) -> String {
    // The signal is drawn over time; its own tests have it.
    let mut text = text.to_owned();
    for (from, to) in [("\nSignal\n", "\nDurations\n"), ("### Signal\n", "### Evidence")] {
        if let Some((before, rest)) = text.split_once(from)
            && let Some((_, after)) = rest.split_once(to)
        {
            text = format!("{before}{from}  ...\n{to}{after}");
        }
    }
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match lines.last_mut() {
            Some(last) if line.starts_with(&" ".repeat(11)) => *last = format!("{last} {words}"),
            _ => lines.push(words),
        }
    }
    let text = lines.join("\n");
    let requests = text.split("request ").map(|part| {
        let id = part.trim_start_matches('`');
        let end = id.find(|c: char| !c.is_ascii_hexdigit() && c != '-').unwrap_or(id.len());
        // What a platform calls a request; words are shorter.
        if end >= 8 { format!("ID{}", id[end..].trim_start_matches('`')) } else { part.to_owned() }
    });
    let text = plain(world, incident, &requests.collect::<Vec<_>>().join("request "));
    let text = text.replace("#m #s", "#s").replace("#ms", "#s").replace("# ms", "#s");
    // How many decisions there were by now is a matter of when it was looked.
    text.replace("the one decision, made", "all # decisions, made")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_transcript_of_an_incident_that_a_person_approves() {
    let world = World::new().await;
    let settings = Settings { mode: "approve", ..Settings::default() };
    let daemon = Process::start(&world, &settings).await;
    daemon.api.until_state("steady").await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let app = daemon.api.until("a question", |app| app["stage"] == "awaiting_approval").await;
    let id = app["incident"].as_str().unwrap().to_owned();
    let asked = daemon.api.get(&format!("/api/v1/incidents/{id}")).await;
    assert_eq!(app["approve_by"], asked["approve_by"], "one moment, wherever it is asked for");
    let by: jiff::Timestamp = asked["approve_by"].as_str().unwrap().parse().unwrap();
    let opened: jiff::Timestamp = asked["opened_at"].as_str().unwrap().parse().unwrap();
    assert!((1_795..1_860).contains(&by.duration_since(opened).as_secs()), "{by} of {opened}");

    let mut transcript = String::new();
    let mut type_in = async |words: &[&str]| {
        let shown = plain(&world, &id, &words.join(" "));
        let output = type_in(&world, words).await;
        let (said, progress) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(0), "{words:?}: {progress}");
        // Which states are seen on the way is a matter of when it was looked.
        let happened = progress.lines().filter(|line| line.trim_start().starts_with('+'));
        let happened: Vec<String> =
            happened.map(|line| format!("  2> {}\n", screen(&world, &id, line))).collect();
        let screen = screen(&world, &id, &said);
        transcript.push_str(&format!("$ rearguard {shown}\n{}{screen}\n\n", happened.concat()));
        progress
    };
    for words in [&["status"][..], &["status", APP], &["explain", &id]] {
        assert_eq!(type_in(words).await, "", "{words:?}");
    }
    let progress = type_in(&["approve", &id, "--wait"]).await;
    assert!(progress.lines().any(|line| line.trim() == "soaking"), "{progress}");
    for words in [&["incidents"][..], &["explain", &id], &["explain", &id, "--markdown"]] {
        assert_eq!(type_in(words).await, "", "{words:?}");
    }
    insta::assert_snapshot!("approved", transcript);
    let timeline = daemon.api.get(&format!("/api/v1/incidents/{id}")).await;
    assert_eq!(
        (&timeline["outcome"], &timeline["approve_by"]),
        (&"committed".into(), &serde_json::Value::Null)
    );
    assert_eq!(timeline["replay"]["identical"], timeline["replay"]["decisions"], "{:#}", timeline["replay"]);
    assert_eq!(world.writes(), (1, 1, 0));
    // A second word, or one about what is over, changes nothing.
    for words in [["approve", &id], ["reject", &id]] {
        let again = self::type_in(&world, &words).await;
        let said = String::from_utf8_lossy(&again.stderr).into_owned();
        assert_eq!(again.status.code(), Some(1), "{said}");
        assert!(said.contains("is closed"), "{said}");
    }
    assert_eq!(world.writes(), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_resumes_an_app_is_told_what_still_keeps_hands_off_it() {
    let world = World::new().await;
    let daemon = Process::start(&world, &Settings::default()).await;
    daemon.api.until_state("steady").await;
    done(&world, &["pause", APP]).await;
    done(&world, &["pause", "--all"]).await;
    let said = failed(&world, &["resume", APP]).await;
    assert!(said.contains("shop: its pause is over, and it is still paused:\n"), "{said}");
    assert!(said.contains("everything is paused: `rearguard resume --all` ends that"), "{said}");
    let said = done(&world, &["resume", "--all"]).await;
    assert_eq!(said, "the pause of everything is over and the storm breaker is closed\n");
    done(&world, &["pause", APP]).await;
    assert_eq!(done(&world, &["resume", APP]).await, "shop is guarded again: its pause is over\n");
    // A file goes on pausing it, and which one is said.
    for file in ["paused-shop", "paused"] {
        done(&world, &["pause", APP]).await;
        std::fs::write(world.path(file), "").unwrap();
        for (words, begin) in [
            (["resume", APP], "shop: its pause is over, and it is still paused:\n"),
            (["resume", "--all"], "every app is still paused:\n"),
        ] {
            let said = failed(&world, &words).await;
            let why = format!("paused by the file `{file}` beside the journal; remove it");
            assert!(said.contains(begin) && said.contains(&why), "{said}");
        }
        std::fs::remove_file(world.path(file)).unwrap();
        daemon.api.until("no pause", |app| app["paused"] == false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_orders_a_rollback_and_undoes_it_while_it_is_watched() {
    let world = World::new().await;
    let settings = Settings { soak: "{ period: 1h, min_samples: 5 }", ..Settings::default() };
    let daemon = Process::start(&world, &settings).await;
    daemon.api.until_state("steady").await;
    world.lab.push(APP, Release::good("v2")).unwrap();
    daemon.api.until("v2 live", |app| app["state"] == "watching").await;
    let began = done(&world, &["rollback", APP]).await;
    assert!(began.starts_with("rollback of shop is under way"), "{began}");
    daemon.api.until("a soak", |app| app["stage"] == "soaking").await;
    // An open incident takes no other order.
    let twice = type_in(&world, &["rollback", APP]).await;
    assert_eq!(twice.status.code(), Some(1));
    let reverted = done(&world, &["revert", APP, "--wait"]).await;
    assert!(reverted.starts_with("shop reverted after "), "{reverted}");
    assert_eq!(world.writes(), (1, 0, 1));
    let list = daemon.api.get("/api/v1/incidents").await;
    let incident = &list["incidents"][0];
    assert_eq!((&incident["rule"], &incident["asked_by"]), (&serde_json::Value::Null, &"ada".into()));
    assert_eq!(incident["reason"], "requested");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_committed_by_a_person_over_a_restart() {
    let world = World::new().await;
    let settings =
        Settings { soak: "{ period: 1s, min_samples: 5, on_healthy: hold }", ..Settings::default() };
    let daemon = Process::start(&world, &settings).await;
    daemon.api.until_state("steady").await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    daemon.api.until_state("held").await;
    daemon.signal("-KILL");
    drop(daemon);
    let daemon = Process::start(&world, &settings).await;
    daemon.api.until("a held pin", |app| app["state"] == "held" && !app["pinned_deployment"].is_null()).await;
    let committed = done(&world, &["commit", APP, "--wait"]).await;
    assert!(committed.starts_with("shop committed after "), "{committed}");
    assert_eq!(world.writes(), (1, 1, 0));
    daemon.api.until("no pin", |app| app["pinned_deployment"].is_null()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_ends_by_itself_and_a_file_pauses_as_long_as_it_is_there() {
    let world = World::new().await;
    let daemon = Process::start(&world, &Settings::default()).await;
    daemon.api.until_state("steady").await;
    let said = done(&world, &["pause", APP, "--for", "2s"]).await;
    assert!(said.contains("for 2.0s, or until `rearguard resume shop`"), "{said}");
    let paused = daemon.api.app().await;
    assert_eq!((&paused["paused"], &paused["pause"]["by"]), (&true.into(), &"ada".into()));
    daemon.api.until("no pause", |app| app["paused"] == false).await;
    done(&world, &["pause", "--all"]).await;
    done(&world, &["resume", "--all"]).await;
    // Who said what is known when it is over.
    let shown = done(&world, &["status", APP]).await;
    let pauses = ["resumed by ada", "paused by ada", "paused for 2.0s by ada"];
    let at = pauses.map(|said| shown.find(said).unwrap_or_else(|| panic!("{said}: {shown}")));
    assert!(at.is_sorted(), "{shown}");

    // Who has just put it there and asks is told of it.
    std::fs::write(world.path("paused"), "").unwrap();
    let shown = done(&world, &["status", APP]).await;
    assert!(shown.contains("PAUSED"), "{shown}");
    let left = type_in(&world, &["resume", "--all"]).await;
    let said = String::from_utf8_lossy(&left.stderr).into_owned();
    assert_eq!(left.status.code(), Some(1), "{said}");
    assert!(
        said.contains("every app is still paused") && said.contains("the file `paused` beside the journal"),
        "{said}"
    );
    std::fs::write(world.path("paused"), "").unwrap();
    let paused = daemon.api.until("a pause", |app| app["paused"] == true).await;
    assert_eq!(paused["pause"]["scope"], "file");
    assert_eq!(daemon.api.metric("rearguard_paused{app=\"shop\"}").await, 1.0);
    let refused = type_in(&world, &["resume", APP]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("allowed is to remove it"));
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let incident = daemon.api.until_closed().await;
    assert_eq!((&incident["outcome"], &incident["reason"]), (&"refused".into(), &"paused".into()));
    assert_eq!(world.writes(), (0, 0, 0));
    std::fs::remove_file(world.path("paused")).unwrap();
    daemon.api.until("no pause", |app| app["paused"] == false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_carried_out_says_why_and_fails() {
    let world = World::new().await;
    let daemon = Process::start(&world, &Settings { mode: "observe", ..Settings::default() }).await;
    daemon.api.until_state("steady").await;
    for (words, why) in [
        (&["rollback", APP][..], "only observed"),
        (&["commit", APP], "only observed"),
        (&["rollback", "nope"], "there is no such app"),
        (&["approve", "nope-1234"], "there is no such incident"),
    ] {
        let output = type_in(&world, words).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains(why), "{words:?}: {said}");
    }
    assert_eq!(world.writes(), (0, 0, 0));
    drop(daemon);
    let daemon = Process::start(&world, &Settings::default()).await;
    daemon.api.until_state("steady").await;
    // Whether it is waited for or not: what is refused at once is never said to be under way.
    for words in [
        &["rollback", APP, "--to", "no-such-deployment", "--wait"][..],
        &["rollback", APP, "--to", "no-such"],
    ] {
        let unknown = type_in(&world, words).await;
        let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
        assert_eq!(unknown.status.code(), Some(1), "{said}");
        assert!(said.contains("refused") && said.contains("the app has no such deployment"), "{said}");
        assert!(!said.contains("under way"), "{said}");
    }
    // Nor is it said anywhere that there is nothing to go back to.
    let page = daemon.api.text("/").await.1;
    let (list, table) =
        (done(&world, &["incidents"]).await, done(&world, &["incidents", "--markdown"]).await);
    let told = done(&world, &["explain"]).await;
    assert!(list.contains("no_target: unknown_deployment"), "{list}");
    for said in [&page, &table, &told] {
        assert!(said.contains("the app has no such deployment"), "{said}");
    }
    for said in [page, list, table, told] {
        assert!(!said.contains("there is no deployment to go back to"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_incident_stays_in_status_over_a_revert_and_an_upkeep_until_a_newer_release() {
    let world = World::new().await;
    let settings = Settings { soak: "{ period: 1h, min_samples: 5 }", ..Settings::default() };
    let daemon = Process::start(&world, &settings).await;
    daemon.api.until_state("steady").await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let soaking = daemon.api.until("a soak", |app| app["stage"] == "soaking").await;
    let id = soaking["incident"].as_str().unwrap().to_owned();
    done(&world, &["revert", APP, "--wait"]).await;
    let is_bad = |app: &serde_json::Value| {
        app["rules"].as_array().is_some_and(|rules| rules.iter().any(|rule| rule["verdict"] == "bad"))
    };
    let mut live = soaking["live_deployment"].clone();
    for what in ["the revert", "the upkeep"] {
        let app = daemon.api.until(what, |app| app["live_deployment"] != live && is_bad(app)).await;
        assert_eq!(app["newer_release"], false, "{what}");
        let shown = done(&world, &["status", APP]).await;
        assert!(shown.contains(&format!("last     {id}: reverted ")), "{what}: {shown}");
        live = app["live_deployment"].clone();
        world.lab.person(APP, Action::Maintenance).unwrap();
    }
    daemon.api.until("one upkeep more", |app| app["live_deployment"] != live).await;
    world.lab.push(APP, Release::good("v3")).unwrap();
    daemon.api.until("a newer release", |app| app["newer_release"] == true).await;
}
