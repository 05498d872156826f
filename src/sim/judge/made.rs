//! Which rollbacks were made, what each came of, and what could be known when it was sent.

use super::super::course::RECONCILE_MS;
use super::super::disk::Request as Asked;
use super::ON_ITS_WAY_MS;
use super::evidence::all_of_the_same;
use crate::lab::{AppKind, AppState, Cause, Entry, Operation, Who};
use crate::sim::machine::lock;
use crate::sim::run::Run;

/// What the guard asked of an app and the platform did, or would have done.
pub(super) fn ours(run: &Run, app: usize) -> Vec<Entry> {
    let site = &run.shapes[app].site;
    let entries = run.lab.ledger().entries;
    entries.into_iter().filter(|entry| entry.who == Who::Guard && entry.app == *site).collect()
}

/// The rollbacks that were asked for, whatever came of them, without those that undo one of ours where there is no other way for
/// that.
fn asked_rollbacks(run: &Run, app: usize) -> Vec<Entry> {
    let all = ours(run, app).into_iter().filter(|entry| entry.operation == Operation::CreateRollback);
    all.filter(|entry| !is_return(run, app, entry)).collect()
}

/// Those of them that the platform made.
pub(super) fn rollbacks(run: &Run, app: usize) -> Vec<Entry> {
    asked_rollbacks(run, app).into_iter().filter(Entry::applied).collect()
}

/// Those that nobody ordered, whether anything came of them or not: what was live when they arrived is what they were to roll back.
pub(super) fn judged(run: &Run, app: usize) -> Vec<Entry> {
    asked_rollbacks(run, app).into_iter().filter(|entry| !is_ordered(run, app, entry)).collect()
}

/// The ids of what it was to go away from: of the release that was live, and of the same before it was restarted or moved.
pub(super) fn accused_by(run: &Run, app: usize, entry: &Entry) -> Vec<String> {
    let state = run.lab.record(&run.shapes[app].site);
    let live =
        entry.active_before.as_deref().and_then(|id| state.deployments.iter().position(|d| d.id == id));
    let all = live.map(|live| all_of_the_same(&state.deployments, live)).unwrap_or_default();
    all.into_iter().map(|made| made.id.clone()).collect()
}

/// Whether it is what a person ordered, and not the undoing of that.
fn is_order(run: &Run, app: usize, entry: &Entry) -> bool {
    let Some(asked) = asked_for(run, app, entry).filter(|asked| asked.ordered.is_some()) else {
        return false;
    };
    let requests = lock(&run.disk.requests);
    let undoes = |earlier: &&Asked| earlier.incident == asked.incident && earlier.accused == asked.target;
    !requests.iter().any(|earlier| undoes(&earlier))
}

/// Whether it was to go back to what a rollback of ours was to go away from, and met that rollback, what passed for it, or what no
/// read had shown yet. Only where there is no revert to ask for; it does not say so itself.
pub(super) fn is_return(run: &Run, app: usize, entry: &Entry) -> bool {
    if run.course.kind == AppKind::DigitalOcean || is_order(run, app, entry) {
        return false;
    }
    // What was asked for before the state was lost is undone by nobody.
    let is_known = |since_ms: i64| !run.is_lost_between(since_ms, entry.at_ms);
    let made = ours(run, app);
    let is_ours = |made: &Entry| made.deployment.is_some() && made.deployment == entry.active_before;
    let meets_ours = || made.iter().any(|made| is_ours(made) && is_known(made.at_ms));
    let requests = lock(&run.disk.requests);
    let mut before =
        requests.iter().filter(|asked| asked.app == run.shapes[app].id && asked.at_ms <= entry.at_ms);
    let Some(asked) = before.next_back() else { return false };
    before.any(|earlier| {
        earlier.accused == asked.target
            && is_known(earlier.at_ms)
            && (meets_ours()
                || !is_shown(run, app, entry)
                || passes_for(run, app, entry.active_before.as_deref(), earlier))
    })
}

/// Whether somebody's rollback may as well be what came of a request of ours that nobody knows the fate of: it went back to
/// the same, and no read before the request can be relied on to have shown it.
fn passes_for(run: &Run, app: usize, live: Option<&str>, request: &Asked) -> bool {
    let state = run.lab.record(&run.shapes[app].site);
    let Some(live) = live.and_then(|id| state.deployment(id)) else { return false };
    let is_same = matches!(&live.cause, Cause::Rollback { target } if *target == request.target);
    let unread = request.at_ms - run.lag_ms() - ON_ITS_WAY_MS..request.at_ms + RECONCILE_MS;
    request.is_unclear && is_same && unread.contains(&live.created_ms)
}

/// Whether what came of a request of ours that nobody knows the fate of was looked for no more, since somebody's rollback passed
/// for it.
pub(super) fn another_passed_for_it(run: &Run, app: usize, entry: &Entry) -> bool {
    let Some(request) = asked_for(run, app, entry) else { return false };
    let state = run.lab.record(&run.shapes[app].site);
    let mut others = state.deployments.iter().filter(|made| Some(&made.id) != entry.deployment.as_ref());
    others.any(|made| passes_for(run, app, Some(&made.id), &request))
}

/// The request that a rollback came of, as it stood in the journal.
pub(super) fn asked_for(run: &Run, app: usize, entry: &Entry) -> Option<Asked> {
    let requests = lock(&run.disk.requests);
    let of_app = |asked: &&Asked| asked.app == run.shapes[app].id && asked.at_ms <= entry.at_ms;
    requests.iter().rfind(of_app).cloned()
}

/// Whether a person ordered it: what they take upon themselves is the judgement, and the limits with it.
pub(super) fn is_ordered(run: &Run, app: usize, entry: &Entry) -> bool {
    asked_for(run, app, entry).is_some_and(|asked| asked.ordered.is_some())
}

/// What a deployment runs by what a platform can tell: two releases under the same tag are the same image to everybody.
pub(super) fn runs(state: &AppState, id: &str) -> Option<String> {
    state.deployment(id).map(|deployment| match &deployment.release.image {
        Some(_) => deployment.release.image_url(&state.id),
        None => deployment.release.commit_hash(),
    })
}

/// How many rollbacks were made for the app.
pub(in crate::sim) fn rollbacks_of(run: &Run, app: usize) -> usize {
    rollbacks(run, app).len()
}

/// Whether a request was carried out so late, or shown so late, that nobody looked for it any more. One whose answer
/// stands in the journal was never looked for.
pub(super) fn came_to_light_late(run: &Run, entry: &Entry) -> bool {
    if lock(&run.disk.requests)
        .iter()
        .any(|request| request.made.is_some() && request.made == entry.deployment)
    {
        return false;
    }
    let applied = entry.applied_ms.unwrap_or(entry.at_ms) - entry.at_ms;
    applied + run.lag_ms() + 6_000 >= RECONCILE_MS
}

/// Whether reads can have shown what was live when the write arrived: what they did not show nobody could know.
pub(super) fn is_shown(run: &Run, app: usize, entry: &Entry) -> bool {
    let state = run.lab.record(&run.shapes[app].site);
    let live = entry.active_before.as_deref().and_then(|id| state.deployment(id));
    live.and_then(|live| live.live_ms).is_some_and(|at| entry.at_ms - at > run.lag_ms() + ON_ITS_WAY_MS)
}
