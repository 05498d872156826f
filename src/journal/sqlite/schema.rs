//! The tables, and how an older file becomes today's.

use rusqlite::{Connection, TransactionBehavior};

/// `RGRD` in the file's header: whether a file is a rearguard journal is read before it is opened.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"RGRD");

/// The steps from an empty file to today's schema. `user_version` counts those that were taken, so a step that
/// was released is never edited; a change is a new step at the end.
pub(super) const STEPS: &[&str] = &[FIRST, PAUSES_THAT_SAY_MORE, OUTBOX, PAUSE_WORDS];

/// The schema this version writes.
pub(crate) const VERSION: i64 = STEPS.len() as i64;

/// Columns named `*_at` are milliseconds since the Unix epoch on the wall clock, except `effects.opened_moment`,
/// which is on the steady clock. What only rearguard reads is JSON; what a query or a rule needs is a column.
const FIRST: &str = "
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE paused (
        app_id TEXT PRIMARY KEY
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE apps (
        app_id TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        updated_at INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE policies (
        id INTEGER PRIMARY KEY,
        sha256 BLOB NOT NULL UNIQUE,
        text TEXT NOT NULL
    ) STRICT;

    CREATE TABLE decisions (
        id INTEGER PRIMARY KEY,
        app TEXT NOT NULL,
        decided_at INTEGER NOT NULL,
        incident TEXT,
        verb TEXT NOT NULL,
        reason TEXT NOT NULL,
        policy INTEGER NOT NULL REFERENCES policies (id),
        before TEXT NOT NULL,
        observation TEXT NOT NULL,
        after TEXT NOT NULL
    ) STRICT;
    CREATE INDEX decisions_of_incident ON decisions (incident) WHERE incident IS NOT NULL;
    CREATE INDEX decisions_by_age ON decisions (decided_at);
    CREATE INDEX decisions_of_policy ON decisions (policy);

    CREATE TABLE effects (
        id INTEGER PRIMARY KEY,
        app_id TEXT NOT NULL,
        incident TEXT,
        effect TEXT NOT NULL,
        opened_moment INTEGER NOT NULL,
        opened_at INTEGER NOT NULL,
        answer TEXT,
        answered_at INTEGER,
        CHECK ((answer IS NULL) = (answered_at IS NULL))
    ) STRICT;
    CREATE UNIQUE INDEX one_open_effect_an_app ON effects (app_id) WHERE answer IS NULL;
    CREATE INDEX effects_by_age ON effects (answered_at) WHERE answered_at IS NOT NULL;

    CREATE TABLE incidents (
        id TEXT PRIMARY KEY,
        app TEXT NOT NULL,
        app_id TEXT NOT NULL,
        opened_at INTEGER NOT NULL,
        closed_at INTEGER,
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX incidents_by_age ON incidents (opened_at);
    CREATE INDEX incidents_of_name ON incidents (app, opened_at);
    CREATE INDEX incidents_of_app ON incidents (app_id, opened_at);
    CREATE INDEX incidents_open ON incidents (opened_at) WHERE closed_at IS NULL;
    CREATE INDEX incidents_closed ON incidents (closed_at) WHERE closed_at IS NOT NULL;

    CREATE TABLE timeline (
        id INTEGER PRIMARY KEY,
        incident TEXT NOT NULL REFERENCES incidents (id),
        entry TEXT NOT NULL
    ) STRICT;
    CREATE INDEX timeline_of_incident ON timeline (incident);
";

/// Until when an app is paused, and by whom.
const PAUSES_THAT_SAY_MORE: &str = "ALTER TABLE paused ADD COLUMN pause TEXT NOT NULL DEFAULT '{}'";

/// What is to be told. A delivery without an outcome is owed to its channel; a mark is what a channel noted of a thread.
/// Columns named `*_moment` are on the steady clock.
const OUTBOX: &str = "
    CREATE TABLE notices (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        thread TEXT NOT NULL,
        made_at INTEGER NOT NULL,
        made_moment INTEGER NOT NULL,
        event TEXT NOT NULL
    ) STRICT;
    CREATE INDEX notices_by_age ON notices (made_at);

    CREATE TABLE deliveries (
        id INTEGER PRIMARY KEY,
        notice INTEGER NOT NULL REFERENCES notices (id),
        channel TEXT NOT NULL,
        thread TEXT NOT NULL,
        due_moment INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        refusals INTEGER NOT NULL DEFAULT 0,
        outcome TEXT,
        UNIQUE (notice, channel)
    ) STRICT;
    CREATE INDEX deliveries_owed ON deliveries (channel, thread, id) WHERE outcome IS NULL;

    CREATE TABLE marks (
        id INTEGER PRIMARY KEY,
        channel TEXT NOT NULL,
        thread TEXT NOT NULL,
        mark TEXT NOT NULL,
        marked_at INTEGER NOT NULL,
        UNIQUE (channel, thread)
    ) STRICT;
";

/// What people said of pauses, kept when the pause itself is over.
const PAUSE_WORDS: &str = "
    CREATE TABLE pause_words (
        id INTEGER PRIMARY KEY,
        app_id TEXT NOT NULL,
        word TEXT NOT NULL,
        said_by TEXT,
        said_at INTEGER NOT NULL,
        lasts_seconds REAL,
        UNIQUE (app_id, said_at, word)
    ) STRICT;
    CREATE INDEX pause_words_by_age ON pause_words (said_at);
";

/// How many steps the file has taken.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Takes the steps that are missing, each whole or not at all.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let taken = usize::try_from(version(connection)?).unwrap_or(0);
    for (step, number) in STEPS.iter().zip(1i64..).skip(taken) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}
