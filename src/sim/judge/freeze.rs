//! Freeze windows.

use super::broken;
use super::made::{accused_by, judged, ours};
use super::soak::{end_of, is_ordered};
use crate::decision::observation::Request;
use crate::lab::Entry;
use crate::sim::machine::EPOCH_MS;
use crate::sim::run::{Run, Word};

/// Nothing is rolled back in a freeze window, nor a rollback ended, unless a person ordered it or said yes to it.
pub(super) fn nothing_in_a_freeze_window(run: &Run, app: usize) {
    let Some((from, to)) = run.course.frozen else { return };
    let is_within = |at: i64| 60_000 * from < at && at < 60_000 * to;
    let frozen = |entry: &Entry| broken(run, "a write in a freeze window", entry);
    for entry in &judged(run, app) {
        let at = entry.at_ms - EPOCH_MS;
        if !is_within(at) {
            continue;
        }
        let ids = accused_by(run, app, entry);
        let is_yes = |word: &Word| {
            word.app == app
                && word.at_ms < at
                && word.said == Request::Approve
                && ids.iter().any(|id| word.is_about(id))
        };
        if !run.words.iter().any(is_yes) {
            frozen(entry);
        }
    }
    for entry in &ours(run, app) {
        let Some((end, _)) = end_of(run, app, entry) else { continue };
        let at = entry.at_ms - EPOCH_MS;
        if is_within(at) && !is_ordered(run, app, end, 0..=at) {
            frozen(entry);
        }
    }
}
