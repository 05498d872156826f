//! What is read: after a restart, and for people.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;

use super::super::{
    DecisionRecord, IncidentQuery, IncidentRecord, OpenEffect, Restored, TimelineEntry, Whose,
};
use super::fault::Fault;
use super::pauses;
use super::write::{MARK, STORM_SINCE};
use crate::clock::Moment;
use crate::decision::state::State;
use crate::ids::{IncidentId, PlatformAppId};

/// How many incidents are given where the query does not say.
const INCIDENTS: usize = 100;
/// How many incidents are given at most: what is read holds up what is written.
const INCIDENTS_AT_MOST: usize = 1000;

pub(super) fn restore(connection: &Connection) -> Result<Restored, Fault> {
    Ok(Restored {
        mark: meta(connection, MARK)?,
        storm_since: meta(connection, STORM_SINCE)?,
        paused: pauses::all(connection)?,
    })
}

fn meta<T: DeserializeOwned>(connection: &Connection, key: &str) -> Result<Option<T>, Fault> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], text)
        .optional()?
        .map(|value| decode(&value, || format!("the entry {key}")))
        .transpose()
}

pub(super) fn load(
    connection: &Connection,
    app: &PlatformAppId,
) -> Result<(Option<State>, Option<OpenEffect>), Fault> {
    let state = connection
        .prepare_cached("SELECT state FROM apps WHERE app_id = ?1")?
        .query_row([app.as_str()], text)
        .optional()?
        .map(|state| decode(&state, || format!("the state of {app}")))
        .transpose()?;
    let open = open_effect(connection, app)?;
    // They are written together, so whoever would go on from one of them alone would forget a call, or a pin.
    if state.as_ref().and_then(State::owed) != open.as_ref().map(|open| open.effect.clone()) {
        return Err(Fault::Torn {
            what: format!("the state of {app} and its open effect contradict each other"),
        });
    }
    Ok((state, open))
}

pub(super) fn past(connection: &Connection, app: &PlatformAppId) -> Result<Option<String>, Fault> {
    let mut rows = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(rows.query_row([past_of(app)], text).optional()?)
}

/// The key of how an app fared.
pub(super) fn past_of(app: &PlatformAppId) -> String {
    format!("past {app}")
}

pub(super) fn apps(connection: &Connection) -> Result<Vec<PlatformAppId>, Fault> {
    let mut rows = connection.prepare_cached("SELECT app_id FROM apps ORDER BY app_id")?;
    let ids = rows.query_map([], text)?.collect::<Result<Vec<String>, _>>()?;
    Ok(ids.into_iter().map(PlatformAppId::from).collect())
}

pub(super) fn open_effect(connection: &Connection, app: &PlatformAppId) -> Result<Option<OpenEffect>, Fault> {
    let found: Option<(String, i64)> = connection
        .prepare_cached("SELECT effect, opened_moment FROM effects WHERE app_id = ?1 AND answer IS NULL")?
        .query_row([app.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found
        .map(|(effect, opened)| {
            let effect = decode(&effect, || format!("the open effect of {app}"))?;
            Ok(OpenEffect { effect, opened_at: Moment::from_millis(opened) })
        })
        .transpose()
}

pub(super) fn incidents(
    connection: &Connection,
    query: &IncidentQuery,
) -> Result<Vec<IncidentRecord>, Fault> {
    let limit = match query.limit {
        0 => INCIDENTS,
        limit => limit.min(INCIDENTS_AT_MOST),
    };
    let (filter, whose) = match &query.whose {
        Whose::Everybody => ("?1 IS NULL", None),
        Whose::App(id) => ("app_id = ?1", Some(id.as_str())),
        Whose::Named(name) => ("app = ?1", Some(name.as_str())),
    };
    let open = if query.only_open { "AND closed_at IS NULL" } else { "" };
    let rows: Vec<String> = connection
        .prepare_cached(&format!(
            "SELECT record FROM incidents WHERE {filter} {open} ORDER BY opened_at DESC, rowid DESC LIMIT ?2"
        ))?
        .query_map(params![whose, limit as i64], text)?
        .collect::<Result<_, _>>()?;
    rows.iter().map(|row| decode(row, || "an incident".to_owned())).collect()
}

pub(super) fn incident(
    connection: &Connection,
    id: &IncidentId,
) -> Result<Option<(IncidentRecord, Vec<TimelineEntry>)>, Fault> {
    let Some(record) = connection
        .prepare_cached("SELECT record FROM incidents WHERE id = ?1")?
        .query_row([id.as_str()], text)
        .optional()?
    else {
        return Ok(None);
    };
    let lines: Vec<String> = connection
        .prepare_cached("SELECT entry FROM timeline WHERE incident = ?1 ORDER BY id")?
        .query_map([id.as_str()], text)?
        .collect::<Result<_, _>>()?;
    let what = || format!("the incident {id}");
    let timeline = lines.iter().map(|line| decode(line, what)).collect::<Result<_, _>>()?;
    Ok(Some((decode(&record, what)?, timeline)))
}

pub(super) fn decisions(connection: &Connection, id: &IncidentId) -> Result<Vec<DecisionRecord>, Fault> {
    let rows: Vec<(String, String, DecisionRow)> = connection
        .prepare_cached(
            "SELECT verb, reason, policies.text, before, observation, after
             FROM decisions JOIN policies ON policies.id = decisions.policy
             WHERE incident = ?1 ORDER BY decisions.id",
        )?
        .query_map([id.as_str()], |row| {
            let rest = DecisionRow {
                policy: row.get(2)?,
                before: row.get(3)?,
                observation: row.get(4)?,
                after: row.get(5)?,
            };
            Ok((row.get(0)?, row.get(1)?, rest))
        })?
        .collect::<Result<_, _>>()?;
    let what = || format!("a decision of the incident {id}");
    rows.into_iter()
        .map(|(verb, reason, DecisionRow { policy, before, observation, after })| {
            let (verb, reason) = (word(verb, what)?, word(reason, what)?);
            Ok(DecisionRecord {
                verb,
                reason,
                incident: Some(id.clone()),
                policy,
                before,
                observation,
                after,
            })
        })
        .collect()
}

/// The columns of a decision that are taken as they are.
struct DecisionRow {
    policy: String,
    before: String,
    observation: String,
    after: String,
}

fn text(row: &Row<'_>) -> rusqlite::Result<String> {
    row.get(0)
}

pub(super) fn decode<T: DeserializeOwned>(json: &str, what: impl Fn() -> String) -> Result<T, Fault> {
    serde_json::from_str(json).map_err(|source| Fault::Unreadable { what: what(), source })
}

/// A fixed word, read as its type.
fn word<T: DeserializeOwned>(word: String, what: impl Fn() -> String) -> Result<T, Fault> {
    serde_json::from_value(word.into()).map_err(|source| Fault::Unreadable { what: what(), source })
}
