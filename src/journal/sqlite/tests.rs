//! The contract on SQLite, and what can happen to a file.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::super::contract::{self, Bench};
use super::super::made::{entry, id_of, owing, steady, wall};
use super::super::{Entry, Journal, JournalError};
use super::SqliteJournal;
use super::file::Place;
use super::thread::{Access, Request, Store};
use crate::ids::AppName;
use crate::journal::Pause;

mod older;
mod refused;

/// A directory of its own, with a journal in it as soon as one is opened.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("journal.db")
    }

    fn place(&self) -> Place {
        Place { busy_timeout: Duration::from_millis(50), ..Place::new(self.path()) }
    }

    fn journal(&self) -> SqliteJournal {
        SqliteJournal::at(self.place()).expect("opened")
    }

    fn lazy(&self) -> SqliteJournal {
        SqliteJournal::start(Store::new(self.place()), self.place()).expect("started")
    }

    /// A journal that was written and closed.
    async fn with_history() -> Self {
        let disk = Self::new();
        let journal = disk.journal();
        for i in 0..50 {
            journal.record(owing(&format!("app-{i}").into(), i)).await.expect("recorded");
        }
        disk
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).expect("read")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.place().beside(suffix)
    }

    fn look(&self) -> Result<(), String> {
        SqliteJournal::look(self.path()).map_err(|error| error.to_string())
    }

    /// The error of opening what is there, which must leave it as it is.
    fn refusal(&self) -> String {
        let before = self.bytes();
        let error = SqliteJournal::at(self.place()).expect_err("refused");
        assert!(matches!(error, JournalError::Unusable { .. }), "{error:?}");
        assert_eq!(before, self.bytes(), "a file that is refused is not written");
        error.to_string()
    }
}

impl Bench for Disk {
    fn open(&self) -> Arc<dyn Journal> {
        Arc::new(self.journal())
    }
}

contract::tests!(Disk::new());

fn unavailable<T: std::fmt::Debug>(result: Result<T, JournalError>) -> String {
    match result {
        Err(JournalError::Unavailable { detail, .. }) => detail,
        other => panic!("{other:?} instead of Unavailable"),
    }
}

fn web() -> AppName {
    "web".into()
}

fn other_process(path: &Path) -> Connection {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).expect("opened");
    connection.busy_timeout(Duration::ZERO).expect("set");
    connection
}

#[test]
fn a_new_journal_and_its_directory_are_for_the_owner_only() {
    let disk = Disk::new();
    let path = disk.0.path().join("rearguard").join("journal.db");
    let _journal = SqliteJournal::open(&path).expect("opened");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().expect("a directory")), 0o700);
    for name in ["journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"] {
        assert_eq!(mode(&path.with_file_name(name)), 0o600, "{name}");
    }
    assert!(!path.with_file_name("journal.db.new").exists());
}

#[test]
fn a_journal_that_others_could_read_is_closed_to_them() {
    let disk = Disk::new();
    drop(disk.journal());
    fs::set_permissions(disk.path(), fs::Permissions::from_mode(0o644)).expect("set");
    let _journal = disk.journal();
    assert_eq!(fs::metadata(disk.path()).expect("there").permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn an_empty_file_and_a_draft_left_by_a_crash_become_a_journal() {
    let disk = Disk::new();
    fs::write(disk.path(), "").expect("written");
    fs::write(disk.0.path().join("journal.db.new"), "half a dra").expect("written");
    disk.journal().record(owing(&web(), 1)).await.expect("recorded");
}

#[test]
fn every_write_is_flushed_before_it_is_answered() {
    let disk = Disk::new();
    let (connection, _) = disk.place().connect().expect("connected");
    let pragma = |name: &str| -> i64 {
        connection.pragma_query_value(None, name, |row| row.get(0)).expect("a pragma")
    };
    assert_eq!(pragma("synchronous"), 2);
    assert_eq!(pragma("foreign_keys"), 1);
    assert_eq!(pragma("trusted_schema"), 0);
    assert_eq!(pragma("auto_vacuum"), 2);
    let mode: String =
        connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("a pragma");
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn a_crash_image_is_sound_and_has_every_entry_that_was_answered() {
    let disk = Disk::new();
    let journal = disk.journal();
    for i in 0..20 {
        journal.record(owing(&format!("app-{i}").into(), i)).await.expect("recorded");
        let image = Disk::new();
        for name in ["journal.db", "journal.db-wal"] {
            // This gives up SQLite's locks on the file, which nobody else wants. A `cp` would be worse: for as long as
            // it starts, it holds the daemon's lock of every test beside this one.
            fs::copy(disk.0.path().join(name), image.0.path().join(name)).expect("copied");
        }
        let reopened = image.journal();
        for j in 0..=i {
            let (_, open) = reopened.load(&id_of(&format!("app-{j}").into())).await.expect("loaded");
            assert!(open.is_some(), "app-{j} after {i}");
        }
        let found: String = other_process(&image.path())
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .expect("checked");
        assert_eq!(found, "ok");
    }
}

#[tokio::test]
async fn a_full_disk_is_unavailable_until_there_is_room() {
    let disk = Disk::new();
    let place = disk.place();
    let journal = SqliteJournal::at(place.clone()).expect("opened");
    journal.record(owing(&web(), 1)).await.expect("recorded");

    place.page_limit.store(1, Ordering::SeqCst);
    drop(journal);
    let journal = SqliteJournal::at(place.clone()).expect("a full disk can still be read");
    let large = || Entry { app: "api".into(), id: id_of(&"api".into()), ..with_large_decision(10) };
    assert!(unavailable(journal.record(large()).await).contains("full"));
    assert!(unavailable(journal.record(large()).await).contains("full"));
    let (state, open) = journal.load(&id_of(&web())).await.expect("reads go on");
    assert!(state.is_some() && open.is_some());
    assert_eq!(journal.load(&id_of(&"api".into())).await, Ok((None, None)));

    place.page_limit.store(u32::MAX, Ordering::SeqCst);
    // Unlike a disk, the connection that was opened for reading still has the old limit.
    unavailable(journal.record(large()).await);
    journal.record(large()).await.expect("healed");
    assert!(journal.load(&id_of(&"api".into())).await.expect("loaded").0.is_some());
}

fn with_large_decision(seconds: i64) -> Entry {
    let owing = owing(&web(), seconds);
    let decision =
        owing.decision.map(|decision| super::DecisionRecord { observation: "x".repeat(100_000), ..decision });
    Entry { decision, ..entry(&web(), seconds, steady()) }
}

#[tokio::test]
async fn a_journal_that_another_process_holds_is_unavailable_until_it_lets_go() {
    let disk = Disk::new();
    let journal = disk.journal();
    let other = other_process(&disk.path());
    other.execute_batch("BEGIN IMMEDIATE").expect("held");

    assert!(unavailable(journal.record(owing(&web(), 1)).await).contains("locked"));
    assert!(unavailable(journal.check().await).contains("locked"));
    assert_eq!(journal.load(&id_of(&web())).await, Ok((None, None)), "reads go on");
    let second = unavailable(SqliteJournal::at(disk.place()).map(drop));
    assert_eq!(second, "another rearguard uses it", "a failure does not give up the lock");

    other.execute_batch("ROLLBACK").expect("let go");
    journal.check().await.expect("healed");
    journal.record(owing(&web(), 1)).await.expect("recorded");
}

#[tokio::test]
async fn those_who_wait_behind_a_held_file_fail_together() {
    let disk = Disk::new();
    let timeout = Duration::from_millis(300);
    let journal = SqliteJournal::at(Place { busy_timeout: timeout, ..disk.place() }).expect("opened");
    let other = other_process(&disk.path());
    other.execute_batch("BEGIN IMMEDIATE").expect("held");

    let began = tokio::time::Instant::now();
    let calls: futures_util::stream::FuturesUnordered<_> =
        (0..5_000).map(|i| journal.record(owing(&format!("app-{i}").into(), i))).collect();
    let failed: Vec<_> = futures_util::StreamExt::collect(calls).await;
    assert!(failed.iter().all(|result| matches!(result, Err(JournalError::Unavailable { .. }))));
    // 5,000 are twenty batches; one after the other they would wait twenty times.
    assert!(began.elapsed() < timeout * 10, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_second_daemon_is_turned_away_until_the_first_ends() {
    let disk = Disk::new();
    let first = disk.journal();
    let detail = unavailable(SqliteJournal::at(disk.place()).map(drop));
    assert_eq!(detail, "another rearguard uses it");
    let second = disk.lazy();
    unavailable(second.check().await);
    first.record(owing(&web(), 1)).await.expect("the first one is not disturbed");

    drop(first);
    second.check().await.expect("healed");
    assert!(second.load(&id_of(&web())).await.expect("loaded").1.is_some());
}

#[tokio::test]
async fn a_directory_that_comes_later_is_waited_for() {
    let disk = Disk::new();
    let volume = disk.0.path().join("volume");
    let path = volume.join("rearguard").join("journal.db");
    let journal = SqliteJournal::lazy(&path).expect("started");
    assert!(unavailable(journal.check().await).contains("No such file or directory"));
    unavailable(journal.record(owing(&web(), 1)).await);

    fs::create_dir(&volume).expect("mounted");
    journal.check().await.expect("healed");
    assert!(path.exists());
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_unavailable_until_it_can() {
    let disk = Disk::new();
    let set = |mode| fs::set_permissions(disk.0.path(), fs::Permissions::from_mode(mode)).expect("set");
    set(0o500);
    // Nothing is forbidden to root.
    if fs::write(disk.0.path().join("probe"), "").is_ok() {
        return;
    }
    let journal = disk.lazy();
    assert!(unavailable(journal.check().await).contains("Permission denied"));
    set(0o700);
    journal.check().await.expect("healed");
}

#[tokio::test]
async fn a_directory_in_the_place_of_the_file_is_unusable_until_it_is_gone() {
    let disk = Disk::new();
    fs::create_dir(disk.path()).expect("made");
    let journal = disk.lazy();
    let error = journal.check().await.expect_err("refused");
    assert!(matches!(&error, JournalError::Unusable { detail, .. } if detail.contains("directory")));
    assert_eq!(disk.look(), Err(error.to_string()));
    fs::remove_dir(disk.path()).expect("removed");
    journal.check().await.expect("healed");
}

/// Moves a journal with all that belongs to it, as when its volume is not there.
fn moves(from: &Path, to: &Path) {
    for name in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        _ = fs::rename(from.join(name), to.join(name));
    }
}

#[tokio::test]
async fn a_file_that_vanishes_is_missed_until_it_is_put_back() {
    let (disk, elsewhere) = (Disk::new(), Disk::new());
    let journal = disk.journal();
    journal.record(owing(&web(), 1)).await.expect("recorded");
    moves(disk.0.path(), elsewhere.0.path());
    assert!(unavailable(journal.record(entry(&web(), 2, steady())).await).contains("removed"));
    // A new one would know of no incident, and all would go on as if there were none.
    assert!(unavailable(journal.load(&id_of(&web())).await).contains("restart rearguard to begin a new one"));
    assert!(unavailable(journal.check().await).contains("vanished"));
    assert!(!disk.path().exists());
    fs::write(disk.path(), "").expect("made");
    assert!(unavailable(journal.check().await).contains("vanished"));

    moves(elsewhere.0.path(), disk.0.path());
    journal.check().await.expect("healed");
    assert!(journal.load(&id_of(&web())).await.expect("loaded").1.is_some());

    // Whoever starts without one begins anew.
    moves(disk.0.path(), elsewhere.0.path());
    unavailable(journal.check().await);
    drop(journal);
    assert_eq!(disk.journal().load(&id_of(&web())).await, Ok((None, None)));
}

#[tokio::test]
async fn a_folder_that_vanishes_is_not_made_again() {
    let disk = Disk::new();
    let (volume, away) = (disk.0.path().join("volume"), disk.0.path().join("away"));
    let journal = SqliteJournal::open(volume.join("journal.db")).expect("opened");
    journal.record(owing(&web(), 1)).await.expect("recorded");
    fs::rename(&volume, &away).expect("unmounted");
    assert!(unavailable(journal.check().await).contains("removed"));
    assert!(unavailable(journal.check().await).contains("vanished"));
    assert!(!volume.exists());
    fs::rename(&away, &volume).expect("mounted");
    assert!(journal.load(&id_of(&web())).await.expect("loaded").1.is_some());
}

#[tokio::test]
async fn a_journal_by_another_name_is_the_same_one() {
    let (disk, elsewhere) = (Disk::new(), Disk::new());
    let at = |name: &str| elsewhere.0.path().join(name);
    symlink(disk.path(), at("linked.db")).expect("linked");
    symlink(disk.0.path(), at("folder")).expect("linked");
    let names = [at("linked.db"), at("folder").join("journal.db")];
    // The link leads nowhere yet, and is not replaced by a journal.
    assert!(unavailable(SqliteJournal::open(&names[0]).map(drop)).contains("a link to what is not there"));
    let first = disk.journal();
    first.record(owing(&web(), 1)).await.expect("recorded");
    for name in &names {
        assert_eq!(unavailable(SqliteJournal::open(name).map(drop)), "another rearguard uses it");
    }
    drop(first);
    for name in &names {
        let journal = SqliteJournal::open(name).expect("opened");
        assert!(journal.load(&id_of(&web())).await.expect("loaded").1.is_some());
        assert_eq!(unavailable(SqliteJournal::at(disk.place()).map(drop)), "another rearguard uses it");
    }
    // It leads to another one now, while this one is in use.
    let journal = SqliteJournal::open(&names[0]).expect("opened");
    let other = Disk::with_history().await;
    fs::remove_file(&names[0]).expect("removed");
    symlink(other.path(), &names[0]).expect("linked");
    assert!(unavailable(journal.check().await).contains("replaced"));
    assert!(journal.load(&id_of(&"app-7".into())).await.expect("loaded").1.is_some());
    assert_eq!(unavailable(SqliteJournal::at(other.place()).map(drop)), "another rearguard uses it");
    drop(disk.journal());
}

#[tokio::test]
async fn who_has_lost_the_lock_stops_before_the_next_request() {
    let disk = Disk::new();
    let first = disk.journal();
    first.record(owing(&web(), 1)).await.expect("recorded");
    fs::remove_file(disk.beside(".lock")).expect("removed");
    let second = SqliteJournal::at(disk.place()).expect("nobody seems to hold it");
    assert!(unavailable(first.load(&id_of(&web())).await).contains(".lock was removed"));
    assert_eq!(unavailable(first.check().await), "another rearguard uses it");
    second.check().await.expect("the second one is not disturbed");

    drop(second);
    first.check().await.expect("healed");
    fs::remove_file(disk.beside(".lock")).expect("removed");
    unavailable(first.check().await);
    first.check().await.expect("it is nobody else's");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_concerns_its_app_only() {
    let disk = Disk::new();
    let journal = disk.journal();
    for app in ["web", "api"] {
        journal.record(entry(&app.into(), 1, steady())).await.expect("recorded");
    }
    let other = other_process(&disk.path());
    other.execute("UPDATE apps SET state = '{\"later\":1}' WHERE app_id = 'id-of-web'", []).expect("changed");
    let error = journal.load(&id_of(&web())).await.expect_err("unreadable");
    assert!(
        matches!(&error, JournalError::Unusable { detail, .. } if detail.contains("the state of id-of-web"))
    );
    let strange = format!(r#"{{"situation":{{"situation":"a\u0007\n{}"}}}}"#, "x".repeat(1000));
    other.execute("UPDATE apps SET state = ?1 WHERE app_id = 'id-of-web'", [strange]).expect("changed");
    let error = journal.load(&id_of(&web())).await.expect_err("unreadable").to_string();
    assert!(error.len() < 600 && !error.contains(char::is_control), "{error}");
    assert!(journal.load(&id_of(&"api".into())).await.expect("loaded").0.is_some());
}

#[tokio::test]
async fn a_state_and_an_open_effect_that_contradict_each_other_concern_their_app_only() {
    for damage in [
        "DELETE FROM effects",
        "DELETE FROM apps WHERE app_id = 'id-of-web'",
        "UPDATE apps SET app_id = 'id-of-nobody' WHERE app_id = 'id-of-web'",
        "UPDATE apps SET state = (SELECT state FROM apps WHERE app_id = 'id-of-api') WHERE app_id = 'id-of-web'",
        "UPDATE effects SET effect = replace(effect, 'good', 'other')",
    ] {
        let disk = Disk::new();
        let journal = disk.journal();
        journal.record(owing(&web(), 1)).await.expect("recorded");
        journal.record(entry(&"api".into(), 1, steady())).await.expect("recorded");
        assert_eq!(other_process(&disk.path()).execute(damage, []).expect("changed"), 1);
        let error = journal.load(&id_of(&web())).await.expect_err("contradictory");
        assert!(matches!(&error, JournalError::Unusable { .. }), "{damage}: {error:?}");
        assert!(error.to_string().contains("restore a backup"), "{damage}: {error}");
        assert!(journal.load(&id_of(&"api".into())).await.expect("loaded").0.is_some(), "{damage}");
    }
}

#[tokio::test]
async fn a_table_that_is_gone_is_no_passing_trouble() {
    let disk = Disk::with_history().await;
    other_process(&disk.path()).execute_batch("DROP TABLE paused").expect("dropped");
    let error = disk.journal().restore().await.expect_err("refused");
    assert!(matches!(&error, JournalError::Unusable { .. }), "{error:?}");
    assert!(error.to_string().contains("no such table: paused") && !error.to_string().contains('\n'));
}

#[tokio::test]
async fn the_store_itself_allows_one_open_effect_an_app() {
    let disk = Disk::new();
    disk.journal().record(owing(&web(), 1)).await.expect("recorded");
    let again =
        "INSERT INTO effects (app_id, effect, opened_moment, opened_at) VALUES ('id-of-web', '{}', 1, 1)";
    assert!(other_process(&disk.path()).execute(again, []).is_err());
}

#[tokio::test]
async fn an_illegal_entry_leaves_the_others_of_its_transaction_alone() {
    let disk = Disk::new();
    let (sender, requests) = std::sync::mpsc::channel();
    let ask = |entry: Entry| {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let work = move |c: &Connection| super::write::record(c, &entry);
        sender.send(Request::new(Access::Write, work, reply)).expect("sent");
        answer
    };
    let (first, illegal, last) = (ask(owing(&web(), 1)), ask(owing(&web(), 2)), ask(owing(&"api".into(), 3)));
    drop(sender);
    Store::new(disk.place()).serve(&requests);
    assert!(matches!(first.await, Ok(Ok(_))));
    assert!(matches!(illegal.await, Ok(Err(JournalError::Illegal { .. }))));
    assert!(matches!(last.await, Ok(Ok(_))));
    let journal = disk.journal();
    for (app, opened) in [("web", 1), ("api", 3)] {
        let (_, open) = journal.load(&id_of(&app.into())).await.expect("loaded");
        assert_eq!(open.map(|open| open.opened_at.as_millis()), Some(wall(opened).as_millisecond()), "{app}");
    }
}

#[tokio::test]
async fn all_that_waits_is_one_transaction_which_fails_as_one() {
    let disk = Disk::new();
    let (sender, requests) = std::sync::mpsc::channel();
    let ask = |sql: &'static str| {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let work = move |c: &Connection| Ok(c.execute_batch(sql)?);
        sender.send(Request::new(Access::Write, work, reply)).expect("sent");
        answer
    };
    let fine = ask("INSERT INTO paused (app_id) VALUES ('web')");
    let broken = ask("INSERT INTO no_such_table VALUES (1)");
    drop(sender);
    Store::new(disk.place()).serve(&requests);
    for answer in [fine.await, broken.await] {
        let error = answer.expect("answered").expect_err("failed");
        assert!(error.to_string().contains("no such table: no_such_table"), "{error}");
    }
    assert!(disk.journal().restore().await.expect("restored").paused.is_empty());
}

#[tokio::test]
async fn a_policy_is_stored_once() {
    let disk = Disk::new();
    let journal = disk.journal();
    for i in 0..10 {
        journal.record(owing(&format!("app-{i}").into(), i)).await.expect("recorded");
    }
    let count = other_process(&disk.path())
        .query_row("SELECT count(*) FROM policies", [], |row| row.get::<_, i64>(0))
        .expect("counted");
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_pruned_file_becomes_smaller() {
    let disk = Disk::new();
    let journal = disk.journal();
    for i in 0..50 {
        journal.record(with_large_decision(i)).await.expect("recorded");
    }
    let size = || fs::metadata(disk.path()).expect("there").len();
    assert!(size() > 2_000_000);
    journal.prune(wall(1_000)).await.expect("pruned");
    assert!(size() < 400_000, "{}", size());
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_is_skipped() {
    let disk = Disk::new();
    let (sender, requests) = std::sync::mpsc::channel();
    let ask = |app: &'static str| {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let work = move |c: &Connection| super::pauses::begin(c, app, &Pause::default());
        sender.send(Request::new(Access::Write, work, reply)).expect("sent");
        answer
    };
    drop(ask("gave-up"));
    let kept = ask("kept");
    drop(sender);
    Store::new(disk.place()).serve(&requests);
    assert_eq!(kept.await, Ok(Ok(())));
    assert_eq!(
        disk.journal().restore().await.expect("restored").paused,
        [("kept".to_owned(), Pause::default())]
    );
}
