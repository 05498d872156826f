//! What is written: one entry, the storm breaker, pauses, and what is deleted in the end.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::super::{DecisionRecord, Entry};
use super::fault::Fault;
use super::{outbox, read};
use crate::clock::{Mark, Moment};
use crate::decision::effect::{Answer, Effect};
use crate::decision::state::State;
use crate::ids::{AppName, PlatformAppId};

type Written = Result<(), Fault>;

pub(super) const MARK: &str = "mark";
pub(super) const STORM_SINCE: &str = "storm_since";

/// Writes an entry. The caller's savepoint makes it whole: what is written before an error is undone.
pub(super) fn record(connection: &Connection, entry: &Entry) -> Written {
    steps(connection, entry).map_err(|fault| fault.blame(&entry.app))
}

fn steps(connection: &Connection, entry: &Entry) -> Written {
    if let Some(answer) = &entry.answered {
        close_effect(connection, entry, answer)?;
    }
    write_state(connection, entry)?;
    if let Some(decision) = &entry.decision {
        add_decision(connection, entry, decision)?;
    }
    write_incident(connection, entry)?;
    outbox::add(connection, &entry.notices)?;
    if let Some(effect) = &entry.effect {
        open_effect(connection, entry, effect)?;
    }
    check_owed(connection, entry)?;
    advance_mark(connection, &entry.app, &entry.mark)
}

fn close_effect(connection: &Connection, entry: &Entry, answer: &Answer) -> Written {
    let closed = connection
        .prepare_cached(
            "UPDATE effects SET answer = ?2, answered_at = ?3 WHERE app_id = ?1 AND answer IS NULL",
        )?
        .execute(params![entry.id.as_str(), json(&entry.app, answer)?, entry.wall.as_millisecond()])?;
    if closed == 0 {
        return Err(broken(&entry.app, "an answer, and no effect is open"));
    }
    Ok(())
}

fn write_state(connection: &Connection, entry: &Entry) -> Written {
    let state = json(&entry.app, &entry.state)?;
    // JSON has no infinity and no NaN: a state with one would be written and never loaded again.
    if let Err(error) = serde_json::from_str::<State>(&state) {
        return Err(broken(&entry.app, format!("a state that could not be read back: {error}")));
    }
    connection
        .prepare_cached(
            "INSERT INTO apps (app_id, state, updated_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (app_id) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at",
        )?
        .execute(params![entry.id.as_str(), state, entry.wall.as_millisecond()])?;
    Ok(())
}

fn add_decision(connection: &Connection, entry: &Entry, decision: &DecisionRecord) -> Written {
    let policy = policy_id(connection, &decision.policy)?;
    connection
        .prepare_cached(
            "INSERT INTO decisions
             (app, decided_at, incident, verb, reason, policy, before, observation, after)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            entry.app.as_str(),
            entry.wall.as_millisecond(),
            decision.incident.as_ref().map(|id| id.as_str()),
            decision.verb.word(),
            decision.reason.word(),
            policy,
            decision.before,
            decision.observation,
            decision.after,
        ])?;
    Ok(())
}

/// A policy is the same for thousands of decisions, so its text is stored once.
fn policy_id(connection: &Connection, text: &str) -> Result<i64, Fault> {
    let digest = Sha256::digest(text);
    let known = connection
        .prepare_cached("SELECT id FROM policies WHERE sha256 = ?1")?
        .query_row([digest.as_slice()], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    connection
        .prepare_cached("INSERT INTO policies (sha256, text) VALUES (?1, ?2)")?
        .execute(params![digest.as_slice(), text])?;
    Ok(connection.last_insert_rowid())
}

fn write_incident(connection: &Connection, entry: &Entry) -> Written {
    let Some(incident) = &entry.incident else {
        if entry.timeline.is_empty() {
            return Ok(());
        }
        return Err(broken(&entry.app, "a timeline without its incident"));
    };
    if incident.app_id != entry.id {
        return Err(broken(&entry.app, format!("the incident {} of {}", incident.id, incident.app_id)));
    }
    connection
        .prepare_cached(
            "INSERT INTO incidents (id, app, app_id, opened_at, closed_at, record) VALUES (?1, ?2, ?6, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE
             SET app = excluded.app, closed_at = excluded.closed_at, record = excluded.record",
        )?
        .execute(params![
            incident.id.as_str(),
            incident.app.as_str(),
            incident.opened_at.as_millisecond(),
            incident.closed_at.map(|at| at.as_millisecond()),
            json(&entry.app, incident)?,
            incident.app_id.as_str(),
        ])?;
    let mut add = connection.prepare_cached("INSERT INTO timeline (incident, entry) VALUES (?1, ?2)")?;
    for line in &entry.timeline {
        add.execute(params![incident.id.as_str(), json(&entry.app, line)?])?;
    }
    Ok(())
}

fn open_effect(connection: &Connection, entry: &Entry, effect: &Effect) -> Written {
    if read::open_effect(connection, &entry.id)?.is_some() {
        return Err(broken(&entry.app, "a second effect while one is open"));
    }
    connection
        .prepare_cached(
            "INSERT INTO effects (app_id, incident, effect, opened_moment, opened_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            entry.id.as_str(),
            entry.state.incident().map(|incident| incident.id.as_str()),
            json(&entry.app, effect)?,
            entry.mark.at.as_millis(),
            entry.wall.as_millisecond(),
        ])?;
    Ok(())
}

/// What the state says is owed and what the journal has open must be the same call: a restart reads both.
fn check_owed(connection: &Connection, entry: &Entry) -> Written {
    let open = read::open_effect(connection, &entry.id)?.map(|open| open.effect);
    match (entry.state.owed(), open) {
        (owed, open) if owed == open => Ok(()),
        (Some(owed), Some(open)) => {
            Err(broken(&entry.app, format!("the state owes {owed:?}, open is {open:?}")))
        }
        (Some(owed), None) => {
            Err(broken(&entry.app, format!("the state owes {}, no effect is open", owed.word())))
        }
        (None, open) => {
            let word = open.map_or("", |effect| effect.word());
            Err(broken(&entry.app, format!("{word} is open, the state owes nothing")))
        }
    }
}

/// The clock's mark never goes back, in whichever order the apps' entries arrive.
fn advance_mark(connection: &Connection, app: &AppName, mark: &Mark) -> Written {
    connection
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value
             WHERE json_extract(excluded.value, '$.at') >= json_extract(meta.value, '$.at')",
        )?
        .execute(params![MARK, json(app, mark)?])?;
    Ok(())
}

pub(super) fn set_storm(connection: &Connection, since: Option<Moment>) -> Written {
    match since {
        Some(since) => connection
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
            .execute(params![STORM_SINCE, since.as_millis().to_string()])?,
        None => connection.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([STORM_SINCE])?,
    };
    Ok(())
}

pub(super) fn keep_past(connection: &Connection, app: &PlatformAppId, past: &str) -> Written {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute(params![read::past_of(app), past])?;
    Ok(())
}

/// Writes something that is different each time, so that it does reach the disk.
pub(super) fn touch(connection: &Connection) -> Written {
    connection
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES ('checks', '1')
             ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1",
        )?
        .execute([])?;
    Ok(())
}

pub(super) fn json<T: Serialize>(app: &AppName, value: &T) -> Result<String, Fault> {
    serde_json::to_string(value)
        .map_err(|error| broken(app, format!("something that cannot be written as JSON: {error}")))
}

fn broken(app: &AppName, detail: impl Into<String>) -> Fault {
    Fault::Rule { app: app.clone(), detail: detail.into() }
}
