//! The outbox: notices, and for each channel whether it has them.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::outbox::{Notice, Outbox, Pending, Settled};
use super::fault::Fault;
use crate::clock::Moment;
use crate::ids::ChannelName;

type Written = Result<(), Fault>;

/// Keeps notices. One whose key is known is the same one again, and changes nothing.
pub(super) fn add(connection: &Connection, notices: &[Notice]) -> Written {
    for notice in notices.iter().filter(|notice| !notice.channels.is_empty()) {
        let is_new = connection
            .prepare_cached(
                "INSERT OR IGNORE INTO notices (key, thread, made_at, made_moment, event) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                notice.key,
                notice.thread,
                notice.wall.as_millisecond(),
                notice.made.as_millis(),
                notice.event
            ])?;
        if is_new == 0 {
            continue;
        }
        let id = connection.last_insert_rowid();
        let mut add = connection.prepare_cached(
            "INSERT OR IGNORE INTO deliveries (notice, channel, thread, due_moment) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for channel in &notice.channels {
            add.execute(params![id, channel.as_str(), notice.thread, notice.made.as_millis()])?;
        }
    }
    Ok(())
}

pub(super) fn outbox(connection: &Connection, channel: &ChannelName, limit: usize) -> Result<Outbox, Fault> {
    let waiting: i64 = connection
        .prepare_cached("SELECT COUNT(*) FROM deliveries WHERE channel = ?1 AND outcome IS NULL")?
        .query_row([channel.as_str()], |row| row.get(0))?;
    let heads = connection
        .prepare_cached(
            "SELECT deliveries.id, notices.key, notices.thread, notices.made_moment, deliveries.due_moment,
                    deliveries.attempts, deliveries.refusals, notices.event, marks.mark
             FROM (SELECT MIN(id) AS first FROM deliveries WHERE channel = ?1 AND outcome IS NULL GROUP BY thread)
             JOIN deliveries ON deliveries.id = first
             JOIN notices ON notices.id = deliveries.notice
             LEFT JOIN marks ON marks.channel = deliveries.channel AND marks.thread = deliveries.thread
             ORDER BY deliveries.due_moment, deliveries.id LIMIT ?2",
        )?
        .query_map(params![channel.as_str(), limit as i64], pending)?
        .collect::<Result<_, _>>()?;
    Ok(Outbox { waiting: waiting.unsigned_abs(), heads })
}

fn pending(row: &Row<'_>) -> rusqlite::Result<Pending> {
    Ok(Pending {
        id: row.get(0)?,
        key: row.get(1)?,
        thread: row.get(2)?,
        made: Moment::from_millis(row.get(3)?),
        due: Moment::from_millis(row.get(4)?),
        attempts: row.get(5)?,
        refusals: row.get(6)?,
        event: row.get(7)?,
        mark: row.get(8)?,
    })
}

/// Notes what came of a try. One that is over already, or whose channel is gone, stays as it is.
pub(super) fn settle(connection: &Connection, id: i64, at_ms: i64, settled: &Settled) -> Written {
    let over = match settled {
        Settled::Delivered { .. } => "delivered",
        Settled::Refused => "refused",
        Settled::Expired => "expired",
        Settled::Later { due, is_refusal } => {
            connection
                .prepare_cached(
                    "UPDATE deliveries SET attempts = attempts + 1, refusals = refusals + ?3, due_moment = ?2
                     WHERE id = ?1 AND outcome IS NULL",
                )?
                .execute(params![id, due.as_millis(), i64::from(*is_refusal)])?;
            return Ok(());
        }
    };
    let whose: Option<(String, String)> = connection
        .prepare_cached(
            "UPDATE deliveries SET outcome = ?2, attempts = attempts + 1 WHERE id = ?1 AND outcome IS NULL
             RETURNING channel, thread",
        )?
        .query_row(params![id, over], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match (whose, settled) {
        (Some((channel, thread)), Settled::Delivered { mark }) => {
            set_mark(connection, &channel, &thread, mark.as_deref(), at_ms)
        }
        _ => Ok(()),
    }
}

pub(super) fn set_mark(
    connection: &Connection,
    channel: &str,
    thread: &str,
    mark: Option<&str>,
    at_ms: i64,
) -> Written {
    match mark {
        Some(mark) => connection
            .prepare_cached(
                "INSERT INTO marks (channel, thread, mark, marked_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (channel, thread) DO UPDATE SET mark = excluded.mark, marked_at = excluded.marked_at",
            )?
            .execute(params![channel, thread, mark, at_ms])?,
        None => connection
            .prepare_cached("DELETE FROM marks WHERE channel = ?1 AND thread = ?2")?
            .execute(params![channel, thread])?,
    };
    Ok(())
}

pub(super) fn marks(connection: &Connection, channel: &ChannelName) -> Result<Vec<(String, String)>, Fault> {
    let mut rows =
        connection.prepare_cached("SELECT thread, mark FROM marks WHERE channel = ?1 ORDER BY id")?;
    Ok(rows.query_map([channel.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
}

/// Forgets what waits for channels that are not among `kept`; gives how many notices.
pub(super) fn keep_channels(connection: &Connection, kept: &[ChannelName]) -> Result<u64, Fault> {
    let known = connection
        .prepare_cached(
            "SELECT DISTINCT channel FROM deliveries WHERE outcome IS NULL UNION SELECT DISTINCT channel FROM marks",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<Result<Vec<String>, _>>()?;
    let mut gone = 0;
    for channel in known.iter().filter(|known| kept.iter().all(|kept| kept.as_str() != known.as_str())) {
        gone += connection
            .prepare_cached("DELETE FROM deliveries WHERE channel = ?1 AND outcome IS NULL")?
            .execute([channel])?;
        connection.prepare_cached("DELETE FROM marks WHERE channel = ?1")?.execute([channel])?;
    }
    Ok(gone as u64)
}
