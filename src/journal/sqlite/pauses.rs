//! The pauses that are in force, and what was ever said of them.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::super::{Pause, PauseWord};
use super::fault::Fault;
use super::read::decode;
use super::write::json;
use crate::ids::{Caller, PlatformAppId};

/// Stands for all apps.
const ALL: &str = "*";

pub(super) fn all(connection: &Connection) -> Result<Vec<(String, Pause)>, Fault> {
    let mut rows = connection.prepare_cached("SELECT app_id, pause FROM paused ORDER BY app_id")?;
    let rows = rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (app, pause) = row?;
        let pause = decode(&pause, || format!("the pause of {app}"))?;
        Ok((app, pause))
    })
    .collect()
}

/// A pause that is written again, since the first time may have failed, is one word.
pub(super) fn begin(connection: &Connection, app: &str, pause: &Pause) -> Result<(), Fault> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO paused (app_id, pause) VALUES (?1, ?2)")?
        .execute(params![app, json(&app.into(), pause)?])?;
    match pause.since {
        Some(since) => {
            say(connection, app, "pause", pause.by.as_ref(), since, pause.lasts.map(|l| l.as_secs_f64()))
        }
        None => Ok(()),
    }
}

pub(super) fn end(
    connection: &Connection,
    app: &str,
    by: Option<&Caller>,
    at: Timestamp,
) -> Result<(), Fault> {
    if app == ALL && by.is_some() {
        connection.prepare_cached("DELETE FROM paused")?.execute([])?;
    } else {
        connection.prepare_cached("DELETE FROM paused WHERE app_id = ?1")?.execute([app])?;
    }
    match by {
        Some(by) => say(connection, app, "resume", Some(by), at, None),
        None => Ok(()),
    }
}

fn say(
    connection: &Connection,
    app: &str,
    word: &str,
    by: Option<&Caller>,
    at: Timestamp,
    lasts_seconds: Option<f64>,
) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO pause_words (app_id, word, said_by, said_at, lasts_seconds)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![app, word, by.map(Caller::as_str), at.as_millisecond(), lasts_seconds])?;
    Ok(())
}

pub(super) fn words(
    connection: &Connection,
    app: &PlatformAppId,
    limit: usize,
) -> Result<Vec<PauseWord>, Fault> {
    let mut rows = connection.prepare_cached(
        "SELECT app_id, word, said_by, said_at, lasts_seconds FROM pause_words
         WHERE app_id IN (?1, ?2) ORDER BY said_at DESC, id DESC LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = rows.query_map(params![app.as_str(), ALL, limit], word)?;
    rows.map(|row| Ok(row?)).collect()
}

fn word(row: &Row<'_>) -> rusqlite::Result<PauseWord> {
    let scope = if row.get::<_, String>(0)? == ALL { "everything" } else { "app" };
    let at: i64 = row.get(3)?;
    let at = Timestamp::from_millisecond(at).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(3, at))?;
    Ok(PauseWord {
        at,
        word: row.get(1)?,
        scope: scope.to_owned(),
        by: row.get::<_, Option<String>>(2)?.map(Caller::from),
        lasts_seconds: row.get(4)?,
    })
}
