//! A file of an earlier schema is brought up to date with everything that is in it.

use rusqlite::Connection;

use super::super::schema::{APPLICATION_ID, STEPS, VERSION, version};
use super::{Disk, other_process, web};
use crate::journal::made::{answering, id_of, moment, owing};
use crate::journal::{IncidentQuery, Journal, Pause};

/// The same journal as the version wrote it that had taken so many steps.
fn as_of(taken: i64, today: &Disk) -> Disk {
    let old = Disk::new();
    let file = Connection::open(old.path()).expect("created");
    for (step, _) in STEPS.iter().zip(0..taken) {
        file.execute_batch(step).expect("a step");
    }
    file.pragma_update(None, "application_id", APPLICATION_ID).expect("set");
    file.pragma_update(None, "user_version", taken).expect("set");
    let names = |sql: &str| -> Vec<String> {
        let mut rows = file.prepare(sql).expect("a query");
        rows.query_map([], |row| row.get(0)).expect("rows").map(|name| name.expect("a name")).collect()
    };
    file.execute("ATTACH ?1 AS today", [today.path().to_str()]).expect("attached");
    file.pragma_update(None, "foreign_keys", false).expect("set");
    for table in names("SELECT name FROM main.sqlite_master WHERE type = 'table'") {
        let columns = names(&format!("SELECT name FROM pragma_table_info('{table}', 'main')")).join(", ");
        let copy = format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM today.{table}");
        file.execute(&copy, []).expect("copied");
    }
    file.execute("DETACH today", []).expect("detached");
    old
}

#[tokio::test]
async fn an_open_incident_its_unanswered_call_and_a_pause_survive_every_update() {
    let today = Disk::new();
    let pause = Pause { until: Some(moment(900)), by: Some("ada".into()), ..Pause::default() };
    let journal = today.journal();
    journal.record(owing(&web(), 1)).await.expect("recorded");
    journal.pause("api", pause.clone()).await.expect("paused");
    drop(journal);
    for taken in 1..VERSION {
        let old = as_of(taken, &today);
        old.look().expect("it can be brought up to date");
        let journal = old.journal();
        assert_eq!(version(&other_process(&old.path())).expect("read"), VERSION);
        let restored = journal.restore().await.expect("restored");
        // The first one kept no more of a pause than that there is one.
        let kept = if taken == 1 { Pause::default() } else { pause.clone() };
        assert_eq!(restored.paused, [("api".to_owned(), kept)], "from {taken}");
        let (state, open) = journal.load(&id_of(&web())).await.expect("loaded");
        assert_eq!(state, Some(owing(&web(), 1).state), "from {taken}");
        assert_eq!(open.map(|open| open.effect), owing(&web(), 1).effect, "from {taken}");
        let incidents = journal.incidents(IncidentQuery { limit: 9, ..IncidentQuery::default() }).await;
        let incident = owing(&web(), 1).incident.expect("an incident");
        assert_eq!(incidents.expect("incidents"), std::slice::from_ref(&incident), "from {taken}");
        let (_, timeline) = journal.incident(&incident.id).await.expect("read").expect("there");
        assert_eq!(timeline, owing(&web(), 1).timeline, "from {taken}");
        // It goes on where it stopped.
        journal.record(answering(&web(), 2)).await.expect("recorded");
        assert!(journal.load(&id_of(&web())).await.expect("loaded").1.is_none(), "from {taken}");
        journal.check().await.expect("sound");
    }
}
