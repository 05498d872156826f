//! A rollback is kept or undone for what it did, after its soak.

use super::made::{is_return, is_shown, ours};
use super::{ON_ITS_WAY_MS, broken, evidence};
use crate::decision::observation::Request;
use crate::lab::{Entry, Operation};
use crate::sim::course::{Event, MIN_SAMPLES, SOAK_MS};
use crate::sim::machine::EPOCH_MS;
use crate::sim::run::Run;

/// What becomes of a rollback.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Kept,
    Undone,
}

/// Which end an entry of the ledger makes, and of which rollback.
pub(super) fn end_of(run: &Run, app: usize, entry: &Entry) -> Option<(End, String)> {
    match entry.operation {
        Operation::CommitRollback => Some((End::Kept, entry.pinned_before.clone()?)),
        Operation::RevertRollback => Some((End::Undone, entry.pinned_before.clone()?)),
        Operation::CreateRollback if is_return(run, app, entry) => {
            Some((End::Undone, entry.active_before.clone()?))
        }
        _ => None,
    }
}

/// [I26] What nobody ordered to be kept is kept after its soak, having answered as often as it has to, and well; what nobody ordered to be undone
/// is undone where that is configured, and having given bad ones.
pub(super) fn each_end_had_its_soak(run: &Run, app: usize) {
    let state = run.lab.record(&run.shapes[app].site);
    let ours = ours(run, app);
    for entry in &ours {
        let Some((end, rollback)) = end_of(run, app, entry) else { continue };
        // Of another one's other judges speak.
        let Some(made) = ours.iter().find(|made| made.deployment.as_ref() == Some(&rollback)) else {
            continue;
        };
        let at = entry.at_ms - EPOCH_MS;
        if is_ordered(run, app, end, made.at_ms - EPOCH_MS..=at) {
            continue;
        }
        // What went live over it, where no read had shown that, gave the answers that came last.
        let is_met = entry.active_before.as_ref() != Some(&rollback) && !is_shown(run, app, entry);
        // Nothing says which pin a commit or revert is for: it takes the one that came after the last read, too.
        let pin = state.deployment(&rollback);
        if is_met || pin.is_none_or(|pin| pin.created_ms + run.lag_ms() + ON_ITS_WAY_MS >= entry.at_ms) {
            continue;
        }
        let Some(live_ms) = pin.and_then(|pin| pin.live_ms) else {
            broken(run, "a rollback that was never live is kept or undone", entry);
        };
        let live = live_ms - EPOCH_MS;
        let (good, bad) = evidence::answers(run, &rollback, live..=at);
        let said = format!("after {} ms with {good} good and {bad} bad answers", at - live);
        match end {
            End::Kept if at - live < SOAK_MS || good + bad < MIN_SAMPLES || good == 0 => {
                broken(run, &format!("a rollback is kept {said}"), entry);
            }
            End::Undone => {
                // What was sent in the moment in which our network came back may be told from its trouble by nobody.
                let returns = run.returns.iter().filter(|back| (live..=at).contains(back)).count();
                if !may_be_undone(run) || bad + returns < 3 {
                    broken(run, &format!("a rollback is undone {said}"), entry);
                }
            }
            End::Kept => {}
        }
    }
}

/// Whether the configuration said at any time that an unhealthy rollback is undone.
fn may_be_undone(run: &Run) -> bool {
    let says_so = |event: &Event| matches!(event, Event::Policy { on_unhealthy: "revert", .. });
    let within = |event: &Event| match event {
        Event::Meets(_, events) => events.iter().any(says_so),
        event => says_so(event),
    };
    run.began_with == "revert" || run.course.events.iter().any(|(_, event)| within(event))
}

/// Whether a person has ordered that end within that time.
pub(super) fn is_ordered(run: &Run, app: usize, end: End, when_ms: std::ops::RangeInclusive<i64>) -> bool {
    run.orders.iter().any(|order| {
        let is_it = match order.said {
            Request::Commit => end == End::Kept,
            Request::Revert => end == End::Undone,
            _ => false,
        };
        is_it && order.app == app && when_ms.contains(&order.at_ms)
    })
}
