//! Where the platform picks, pins softly or not at all, and where a restart is tried first.

use std::collections::BTreeSet;

use super::made::{is_shown, ours, runs};
use super::{UNSEEN_MS, broken};
use crate::lab::{AppKind, AppState, Cause, Deployment, Entry, NullImage, Operation, Source, Who};
use crate::server::AppStatus;
use crate::sim::machine::{EPOCH_MS, lock};
use crate::sim::run::Run;

/// A request that is lost is reckoned with for so long: what comes about later nobody looks for any more.
const LATEST_MS: i64 = 3_600_000;
/// How far reads may lag behind a write, for all that is known.
const LAG_MS: i64 = 90_000;
/// What was refused is looked out for no longer than reads may lag, and a little more for what is under way.
const REFUSED_MS: i64 = 180_000;
/// An answer that comes is written down within that.
const ANSWERED_MS: i64 = 10_000;

/// What was done to pushes, by a rollback too, in the order in which it came about.
fn changes(run: &Run, app: usize) -> Vec<Entry> {
    let site = &run.shapes[app].site;
    let entries = run.lab.ledger().entries.into_iter();
    let mut changes: Vec<Entry> = entries
        .filter(|entry| entry.app == *site && entry.auto_deploy.is_some() && entry.applied())
        .collect();
    changes.sort_by_key(|entry| (entry.applied_ms, entry.seq));
    changes
}

/// Whether the guard was told that a request was refused: by the platform, or by a fault that answers with a client error.
/// Of what never arrived and was not answered nobody knows that it will not come about.
fn was_told(asked: &Entry) -> bool {
    let fault = asked.fault.as_deref();
    let says_so = |fault: &str| fault.contains(r#""code":4"#) && !fault.contains(r#""code":408"#);
    asked.refused.is_some() && fault.is_none_or(says_so)
}

/// [I7, I8] Pushes are let go only by whom they were paused: what a person paused stays paused. Where a pause of ours was
/// asked for at the same time nobody can tell whose it is.
pub(super) fn pushes_are_let_go_by_whom_they_were_paused(run: &Run, app: usize) {
    let changes = changes(run, app);
    let pushes_shown = lock(&run.wire.pushes_shown);
    for (n, entry) in changes.iter().enumerate() {
        let is_asked_for = entry.operation == Operation::SetAutoDeploy && entry.who == Who::Guard;
        if !is_asked_for || entry.auto_deploy != Some(true) {
            continue;
        }
        // Whoever asks for a pause that is there already changes nothing that could be seen, nor does who lets pushes
        // go for as long as no read comes back.
        let is_seen = |at: usize| {
            let Some(from) = changes[at].applied_ms else { return false };
            let to = changes[at + 1..].iter().find(|after| after.auto_deploy == Some(false));
            let to = to.and_then(|after| after.applied_ms).map_or(i64::MAX, |to| to + run.lag_ms());
            let mut shown = pushes_shown.iter().filter(|(id, _)| *id == run.shapes[app].id);
            shown.any(|(_, at_ms)| (from..to).contains(at_ms))
        };
        let since = changes[..n]
            .iter()
            .enumerate()
            .rposition(|(at, before)| before.auto_deploy == Some(true) && is_seen(at))
            .map_or(0, |at| at + 1);
        let paused_by = changes[since..n].first();
        let at = entry.at_ms;
        // What was asked for before the state was lost is nobody's to undo any more.
        let is_known = |since_ms: i64| !run.is_lost_between(since_ms, at);
        let is_ours = paused_by.is_some_and(|before| before.who == Who::Guard && is_known(before.at_ms));
        let asked: Vec<_> = ours(run, app)
            .into_iter()
            .filter(|asked| asked.operation == Operation::SetAutoDeploy && asked.auto_deploy == Some(false))
            .collect();
        // What nobody could look at after its hour is still looked out for.
        let is_forgotten = |after_ms: i64| {
            let to = paused_by.and_then(|before| before.applied_ms).unwrap_or(at);
            let mut shown = pushes_shown.iter().filter(|(id, _)| *id == run.shapes[app].id);
            shown.any(|(_, at_ms)| (after_ms..to).contains(at_ms))
        };
        let may_come = |asked_ms: i64, is_refused| {
            let span = if is_refused { REFUSED_MS } else { LATEST_MS };
            asked_ms <= at
                && is_known(asked_ms)
                && (at - asked_ms < span || (!is_refused && !is_forgotten(asked_ms + span)))
        };
        // One that never left is as good: that it did not, nobody knows.
        let meant_one = lock(&run.disk.pauses).iter().any(|(id, asked_ms)| {
            let answer = asked.iter().find(|asked| (0..REFUSED_MS).contains(&(asked.at_ms - asked_ms)));
            let is_refused = answer.is_some_and(was_told);
            *id == run.shapes[app].id && may_come(*asked_ms, is_refused)
        });
        // What was asked for before pushes were let go is over, where it was answered and a read has shown it. That somebody
        // else does is not known while reads may be from before our pause.
        let is_over = |asked_ms: i64| {
            let Some(over) = changes[..since].last() else { return false };
            let is_by_us = over.who == Who::Guard
                && over.operation == Operation::SetAutoDeploy
                && lock(&run.disk.let_go).iter().any(|(id, at_ms)| {
                    *id == run.shapes[app].id && (0..ANSWERED_MS).contains(&(at_ms - over.at_ms))
                });
            let from =
                over.applied_ms.unwrap_or(0).max(asked_ms + if is_by_us { run.lag_ms() } else { LAG_MS });
            let to = paused_by.and_then(|before| before.applied_ms).unwrap_or(at);
            let mut shown = pushes_shown.iter().filter(|(id, _)| *id == run.shapes[app].id);
            shown.any(|(_, at_ms)| (from..to).contains(at_ms))
        };
        let asked_for_one = asked
            .iter()
            .filter(|asked| !is_over(asked.at_ms))
            .any(|asked| may_come(asked.at_ms, was_told(asked)));
        if !is_ours && !asked_for_one && !meant_one {
            broken(run, "pushes are let go that a person paused", entry);
        }
    }
}

/// [I9] Pushes that we paused are let go again, or their pause is in the hands of a person who was told.
pub(super) fn pushes_are_not_forgotten(run: &Run, app: usize, apps: &[AppStatus]) {
    let changes = changes(run, app);
    let Some(last) = changes.last().filter(|last| last.who == Who::Guard) else { return };
    let id = &run.shapes[app].id;
    let status = apps.iter().find(|status| status.id.as_str() == id);
    let known = status.map(|app| app.state.as_str());
    let is_paused = status.is_some_and(|app| app.paused);
    let applied = last.applied_ms.unwrap_or(last.at_ms) - EPOCH_MS;
    let is_new = run.machine.uptime_ms() - applied < UNSEEN_MS + 60_000;
    let is_lost = run.is_lost_between(last.at_ms, i64::MAX);
    // What the rollback did by itself is told.
    let is_told = last.operation == Operation::CreateRollback
        && lock(&run.disk.doubts).iter().any(|(of, at)| of == id && *at >= applied);
    // Somebody's rollback to the same was taken for what came of it, which nobody can tell apart, so nothing more was awaited.
    let stood_in = |other: &Entry| {
        let is_one = other.who == Who::Person && other.operation == Operation::CreateRollback;
        let is_same = other.app == last.app && other.target == last.target;
        let meanwhile = last.at_ms..=last.applied_ms.unwrap_or(last.at_ms);
        is_one && is_same && other.applied_ms.is_some_and(|at| meanwhile.contains(&at))
    };
    let is_taken_for_found =
        last.operation == Operation::CreateRollback && run.lab.ledger().entries.iter().any(stood_in);
    // Pushes are let go again and again, where the platform does not do it.
    let is_tried = run.course.unknowns.patch_ignored && status.is_some_and(|app| app.pushes_paused);
    let is_in_hand =
        matches!(known, Some("held" | "incident")) || is_paused || is_told || is_tried || is_taken_for_found;
    if !is_in_hand && !is_new && !is_lost {
        broken(run, &format!("pushes stay paused, the app is {known:?}"), last);
    }
}

/// Whether the platform never says what such a target of a static site runs. It takes the deployment that it is told, and
/// where it does not, and says of neither what it is, nobody can know.
fn is_untold(run: &Run, state: &AppState, target: &str) -> bool {
    let is_static = matches!(run.course.kind, AppKind::Sevalla { source: Source::StaticSite, .. });
    let is_rollback = |made: &Deployment| {
        matches!(made.cause, Cause::Rollback { .. }) && run.course.unknowns.null_image == NullImage::ForEver
    };
    is_static && state.deployment(target).is_some_and(is_rollback)
}

/// What came back instead of the target is no success.
pub(super) fn what_came_back_instead_is_no_success(run: &Run) {
    let requests = lock(&run.disk.requests);
    for request in requests.iter() {
        let Some(made) = &request.made else { continue };
        let mut records = run.shapes.iter().map(|shape| run.lab.record(&shape.site));
        let Some(state) = records.find(|state| state.id == request.app) else { continue };
        let is_success = run.succeeded.contains(made);
        assert!(
            !is_success
                || is_untold(run, &state, &request.target)
                || runs(&state, made) == runs(&state, &request.target),
            "a rollback to {} ({:?}) made {made} ({:?}), and counts as a success\n{}",
            request.target,
            runs(&state, &request.target),
            runs(&state, made),
            run.story()
        );
    }
}

/// No release is restarted by us more than once. What no read had shown yet nobody could spare.
pub(super) fn no_release_is_restarted_twice(run: &Run, app: usize) {
    let mut restarted = BTreeSet::new();
    for entry in
        ours(run, app).iter().filter(|entry| entry.operation == Operation::Restart && entry.applied())
    {
        let was_lost = restarted.iter().any(|(_, at)| run.is_lost_between(*at, entry.at_ms));
        let is_again = restarted.iter().any(|(made, _)| *made == entry.active_before);
        if is_again && !was_lost && is_shown(run, app, entry) {
            broken(run, "a release is restarted twice", entry);
        }
        // Nor is that one restarted by us which no read had shown in the place of the one that was meant.
        if is_shown(run, app, entry) {
            restarted.insert((entry.active_before.clone(), entry.at_ms));
        }
        restarted.insert((entry.deployment.clone(), entry.at_ms));
    }
}
