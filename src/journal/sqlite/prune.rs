//! What is deleted: everything about incidents that were closed long ago, in steps small enough that a write
//! waits for one of them at most.

use rusqlite::Connection;

use super::fault::Fault;

/// The most rows one step deletes, and the most pages it gives back to the file system.
const STEP: usize = 500;

/// Children before parents; `?1` is the horizon, `?2` the step. What belongs to an open incident stays whatever
/// its age; the state of an app and its open effect are never deleted.
pub(super) const DELETIONS: [&str; 9] = [
    "DELETE FROM timeline WHERE id IN (
        SELECT timeline.id FROM incidents JOIN timeline ON timeline.incident = incidents.id
        WHERE incidents.closed_at < ?1 LIMIT ?2)",
    "DELETE FROM decisions WHERE id IN (
        SELECT id FROM decisions WHERE decided_at < ?1 AND NOT EXISTS (
            SELECT 1 FROM incidents WHERE incidents.id = decisions.incident
            AND (incidents.closed_at IS NULL OR incidents.closed_at >= ?1))
        LIMIT ?2)",
    "DELETE FROM effects WHERE id IN (
        SELECT id FROM effects WHERE answered_at < ?1 AND NOT EXISTS (
            SELECT 1 FROM incidents WHERE incidents.id = effects.incident
            AND (incidents.closed_at IS NULL OR incidents.closed_at >= ?1))
        LIMIT ?2)",
    "DELETE FROM incidents WHERE id IN (
        SELECT id FROM incidents WHERE closed_at < ?1
        AND NOT EXISTS (SELECT 1 FROM timeline WHERE timeline.incident = incidents.id)
        LIMIT ?2)",
    // A policy is as old as its last decision. `?1` is compared with nothing here: it only has to be bound.
    "DELETE FROM policies WHERE id IN (
        SELECT id FROM policies WHERE ?1 IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM decisions WHERE decisions.policy = policies.id)
        LIMIT ?2)",
    // What is still owed is given up on first, which takes three days.
    "DELETE FROM deliveries WHERE id IN (
        SELECT deliveries.id FROM notices JOIN deliveries ON deliveries.notice = notices.id
        WHERE notices.made_at < ?1 AND (outcome IS NOT NULL OR notices.made_at < ?1 - 4 * 86400000)
        LIMIT ?2)",
    "DELETE FROM notices WHERE id IN (
        SELECT id FROM notices WHERE made_at < ?1
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.notice = notices.id)
        LIMIT ?2)",
    "DELETE FROM marks WHERE id IN (
        SELECT id FROM marks WHERE marked_at < ?1
        AND NOT EXISTS (SELECT 1 FROM incidents WHERE incidents.id = marks.thread)
        LIMIT ?2)",
    "DELETE FROM pause_words WHERE id IN (SELECT id FROM pause_words WHERE said_at < ?1 LIMIT ?2)",
];

/// Deletes one step's rows; gives how many, and whether there may be more.
pub(super) fn delete(connection: &Connection, sql: &str, horizon_ms: i64) -> Result<(u64, bool), Fault> {
    let gone = connection.prepare_cached(sql)?.execute((horizon_ms, STEP as i64))?;
    Ok((gone as u64, gone == STEP))
}

/// Gives one step's free pages back to the file system; whether there may be more.
pub(super) fn shrink(connection: &Connection) -> Result<bool, Fault> {
    let free = || connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
    let before = free()?;
    connection.execute_batch(&format!("PRAGMA incremental_vacuum({STEP})"))?;
    let after = free()?;
    Ok(after > 0 && after < before)
}

/// Copies the write-ahead log into the file as far as no reader is in the way, without waiting for one.
pub(super) fn checkpoint(connection: &Connection) -> Result<(), Fault> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    Ok(())
}
