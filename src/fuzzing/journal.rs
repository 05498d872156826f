//! A journal's file: whatever became of it, it is read as it is or refused with a remedy, and what is refused is left
//! alone.
//!
//! An input is a list of things that happened to a sound journal, a line each, and where `file` stands alone, all
//! that follows is the file instead.
//!
//! ```text
//! write db 4096 TEXT        TEXT stands from this byte on (`db` or `wal`, counted around its end)
//! cut wal 700               the rest is missing
//! row apps.state 1 TEXT     the column of that row is TEXT
//! delete effects 0          that row is gone
//! drop paused               that table is gone
//! version 7                 the schema's version
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use futures_util::FutureExt;
use rusqlite::Connection;

use super::line;
use crate::decision::state::State;
use crate::ids::{AppName, IncidentId};
use crate::journal::Pause;
use crate::journal::made::{entry, moment, owing, steady};
use crate::journal::{self, IncidentQuery, Journal, JournalError, OpenEffect, Restored, SqliteJournal};

/// The apps of the sound journal: one owes a rollback, one is at rest, one is paused.
const APPS: [&str; 3] = ["id-of-web", "id-of-api", "id-of-batch"];

/// Columns that are read.
const COLUMNS: [(&str, &str); 14] = [
    ("apps", "state"),
    ("apps", "app_id"),
    ("effects", "effect"),
    ("effects", "answer"),
    ("effects", "app_id"),
    ("incidents", "record"),
    ("incidents", "id"),
    ("timeline", "entry"),
    ("meta", "value"),
    ("meta", "key"),
    ("paused", "app_id"),
    ("decisions", "verb"),
    ("decisions", "reason"),
    ("policies", "text"),
];

/// One of these words stands in every refusal: what a person can do.
const REMEDIES: [&str; 5] = [
    "restore a backup",
    "start that version again",
    "start the version that wrote it",
    "configure another path",
    "configure the path",
];

/// A sound journal.
struct Sound {
    db: Vec<u8>,
    /// What was written last, and is not in the file yet.
    wal: Vec<u8>,
    restored: Restored,
    apps: Vec<Loaded>,
}

type Loaded = (Option<State>, Option<OpenEffect>);

/// A directory for one journal at a time.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let memory = Path::new("/dev/shm");
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("rearguard-fuzzing-{}-{number}", std::process::id());
        let directory = if memory.is_dir() { memory.join(name) } else { std::env::temp_dir().join(name) };
        _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).expect("a directory");
        Self(directory)
    }

    pub(super) fn path(&self, suffix: &str) -> PathBuf {
        self.0.join(format!("journal.db{suffix}"))
    }

    fn bytes(&self) -> [Option<Vec<u8>>; 2] {
        // A log that is not there is as good as an empty one, which reading alone makes.
        ["", "-wal"].map(|suffix| fs::read(self.path(suffix)).ok().filter(|bytes| !bytes.is_empty()))
    }

    fn put(&self, db: &[u8], wal: &[u8]) {
        fs::write(self.path(""), db).expect("written");
        if !wal.is_empty() {
            fs::write(self.path("-wal"), wal).expect("written");
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Any file is a journal or refused.
pub fn journal(data: &[u8]) {
    let scratch = Scratch::new();
    let sound = sound();
    let mut damage = Damage::default();
    let (mut db, mut wal) = (sound.db.clone(), sound.wal.clone());
    let mut rest = data;
    while !rest.is_empty() {
        let (happened, after) = line(rest);
        rest = after;
        if happened == b"file" {
            (db, wal) = (after.to_vec(), Vec::new());
            damage = Damage { bytes: true, is_another: true, ..Damage::default() };
            break;
        }
        damage.happen(happened, &mut db, &mut wal);
    }
    if !damage.rows.is_empty() && !damage.bytes {
        scratch.put(&db, &wal);
        damage.work(&scratch);
    } else {
        scratch.put(&db, &wal);
    }
    judge(&scratch, &damage);
}

/// What happened to the file.
#[derive(Default)]
struct Damage {
    /// Bytes of it, so that anything may be wrong with it.
    bytes: bool,
    /// All of them: it is another file.
    is_another: bool,
    /// Statements that a person with a tool would give.
    rows: Vec<(String, Option<String>)>,
    /// The schema's version that one of them says.
    version: Option<i32>,
    /// The tables that these concern.
    tables: Vec<&'static str>,
}

impl Damage {
    fn happen(&mut self, happened: &[u8], db: &mut Vec<u8>, wal: &mut Vec<u8>) {
        let mut words = happened.splitn(4, |byte| *byte == b' ');
        let mut word = || words.next().unwrap_or_default();
        let (verb, what, number, text) = (word(), word(), word(), word());
        let number = String::from_utf8_lossy(number).parse().unwrap_or(number.len());
        let file = if what == b"wal" { wal } else { db };
        match verb {
            b"write" if !file.is_empty() => {
                self.bytes = true;
                let length = file.len();
                for (place, byte) in (number..).zip(text) {
                    file[place % length] = *byte;
                }
            }
            b"cut" => {
                self.bytes = true;
                file.truncate(number % (file.len() + 1));
                self.is_another |= file.is_empty() && what != b"wal";
            }
            b"row" => {
                let named = |(table, column): &(&str, &str)| format!("{table}.{column}").as_bytes() == what;
                let Some((table, column)) = COLUMNS.iter().copied().find(named) else { return };
                let key = key(table);
                let sql = format!(
                    "UPDATE {table} SET {column} = ?1 \
                     WHERE {key} = (SELECT {key} FROM {table} ORDER BY {key} LIMIT 1 OFFSET {})",
                    number % 4
                );
                self.tables.push(table);
                self.rows.push((sql, Some(String::from_utf8_lossy(text).into_owned())));
            }
            b"delete" | b"drop" => {
                let tables = COLUMNS.iter().map(|(table, _)| *table);
                let Some(table) = tables.into_iter().find(|table| table.as_bytes() == what) else { return };
                let key = key(table);
                let sql = if verb == b"drop" {
                    format!("DROP TABLE {table}")
                } else {
                    format!(
                        "DELETE FROM {table} WHERE {key} = (SELECT {key} FROM {table} ORDER BY {key} LIMIT 1 OFFSET {})",
                        number % 4
                    )
                };
                self.tables.push(if verb == b"drop" { "sqlite_schema" } else { table });
                self.rows.push((sql, None));
            }
            b"version" => {
                let version = String::from_utf8_lossy(what).parse().unwrap_or(2);
                self.version = Some(version);
                self.tables.push("sqlite_schema");
                self.rows.push((format!("PRAGMA user_version = {version}"), None));
            }
            _ => {}
        }
    }

    /// Does to the rows what was to be done.
    fn work(&self, scratch: &Scratch) {
        let tool = Connection::open(scratch.path("")).expect("a sound file");
        _ = tool.pragma_update(None, "foreign_keys", "OFF");
        for (sql, text) in &self.rows {
            // What breaks a rule of the table does not happen.
            _ = match text {
                Some(text) => tool.execute(sql, [text]).map(drop),
                None => tool.execute_batch(sql),
            };
        }
    }

    /// Nothing but rows of these tables.
    fn is_only_of(&self, tables: &[&str]) -> bool {
        !self.bytes && self.tables.iter().all(|table| tables.contains(table))
    }
}

fn key(table: &str) -> &'static str {
    match table {
        "meta" => "key",
        "paused" => "app_id",
        _ => "rowid",
    }
}

fn judge(scratch: &Scratch, damage: &Damage) {
    let sound = sound();
    let before = scratch.bytes();
    let journal = SqliteJournal::inline(scratch.path(""));
    let restored = now(journal.restore());
    if let Err(error) = &restored {
        judge_refusal(error);
        assert_eq!(before, scratch.bytes(), "a file that is refused is not written: {error}");
    }
    let apps = APPS.map(|app| now(journal.load(&app.into())));
    for app in &apps {
        match app {
            Ok((state, open)) => {
                let owed = state.as_ref().and_then(State::owed);
                let open = open.as_ref().map(|open| open.effect.clone());
                assert_eq!(owed, open, "what the state owes is not what is open");
            }
            Err(error) => judge_refusal(error),
        }
    }
    if damage.bytes && !damage.is_another {
        for (id, app) in APPS.iter().zip(&apps) {
            assert!(!matches!(app, Ok((None, _))), "{id} would begin anew, and nobody was told");
        }
    }
    if !damage.bytes && damage.version.is_some_and(|version| i64::from(version) > journal::VERSION) {
        assert!(restored.is_err(), "a newer version's journal is read");
    }
    if damage.is_only_of(&[]) {
        assert_eq!(restored.as_ref(), Ok(&sound.restored));
    }
    if damage.is_only_of(&["meta", "paused", "incidents", "timeline", "decisions", "policies"]) {
        assert_eq!(apps.iter().flatten().collect::<Vec<_>>(), sound.apps.iter().collect::<Vec<_>>());
    }
    let incidents = now(journal.incidents(IncidentQuery::default()));
    incidents.as_ref().map_or_else(judge_refusal, |_| ());
    let id = IncidentId::of(&"web".into(), &"bad".into());
    now(journal.incident(&id)).map_or_else(|error| judge_refusal(&error), |_| ());
    now(journal.decisions(&id)).map_or_else(|error| judge_refusal(&error), |_| ());
    let Ok(restored) = restored else { return };
    // Written to and opened once more, it says the same.
    let written = now(journal.check());
    written.as_ref().map_or_else(judge_refusal, |()| ());
    drop(journal);
    let journal = SqliteJournal::inline(scratch.path(""));
    let again = reopened(&journal);
    if written.is_ok() && !damage.bytes {
        assert_eq!(again, Ok(restored), "opened again it says something else");
        assert_eq!(
            APPS.map(|app| now(journal.load(&app.into()))),
            apps,
            "opened again it says something else"
        );
    }
}

/// What a journal says that was open a moment ago. Whoever starts a process meanwhile, as other tests do, holds its
/// lock for an instant longer.
fn reopened(journal: &SqliteJournal) -> Result<Restored, JournalError> {
    for _ in 0..200 {
        match now(journal.restore()) {
            Err(JournalError::Unavailable { .. }) => std::thread::sleep(std::time::Duration::from_millis(5)),
            answer => return answer,
        }
    }
    now(journal.restore())
}

/// Nothing of this passes with time, so a person is told what helps.
fn judge_refusal(error: &JournalError) {
    let shown = error.to_string();
    assert!(matches!(error, JournalError::Unusable { .. }), "{error:?}");
    assert!(REMEDIES.iter().any(|remedy| shown.contains(remedy)), "no remedy: {shown}");
    assert!(super::is_one_line(&shown) && shown.len() < 2000, "{shown}");
}

/// The answer of a journal that is served by whoever asks.
fn now<T>(call: journal::Call<'_, T>) -> Result<T, JournalError> {
    call.now_or_never().expect("served at once")
}

/// The sound journal, made once.
fn sound() -> &'static Sound {
    static SOUND: OnceLock<Sound> = OnceLock::new();
    SOUND.get_or_init(|| {
        let scratch = Scratch::new();
        fill(&scratch.path(""));
        let journal = SqliteJournal::inline(scratch.path(""));
        // What comes after the file was closed stays in the log while it is open.
        now(journal.pause(APPS[2], Pause::default())).expect("paused");
        now(journal.set_storm(Some(moment(7)))).expect("stormy");
        let [db, wal] = scratch.bytes().map(|bytes| bytes.expect("a file and its log"));
        let restored = now(journal.restore()).expect("restored");
        let apps = APPS.map(|app| now(journal.load(&app.into())).expect("loaded")).into();
        Sound { db, wal, restored, apps }
    })
}

/// A journal in which an app owes a rollback, one is at rest and one was written last.
pub(super) fn fill(path: &Path) {
    let journal = SqliteJournal::inline(path);
    let [web, api, batch] = ["web", "api", "batch"].map(AppName::from);
    for entry in [owing(&web, 10), entry(&api, 20, steady()), entry(&batch, 30, steady())] {
        now(journal.record(entry)).expect("recorded");
    }
}
