//! What a person orders is what is done: to what they named, and once.

use std::collections::BTreeSet;

use super::super::disk::Request as Asked;
use super::made::{asked_for, came_to_light_late, is_shown, rollbacks, runs};
use super::{broken, goes_as_reckoned};
use crate::decision::observation::Request;
use crate::decision::state::Outcome;
use crate::lab::{AppKind, Source};
use crate::sim::machine::{EPOCH_MS, lock};
use crate::sim::run::{Ordered, Run};

/// Holds each incident that was ordered against an order that a person gave, each of which is for one. Whoever heard nothing
/// knows of no incident.
fn each_was_given(run: &Run, app: usize, requests: &[Asked]) {
    let mut unheard: Vec<&Ordered> = run.orders.iter().filter(|order| order.incident.is_none()).collect();
    let mut known = BTreeSet::new();
    let ordered = requests.iter().filter(|asked| asked.app == run.shapes[app].id && asked.ordered.is_some());
    for asked in ordered.filter(|asked| known.insert(asked.incident.clone())) {
        let fits = |order: &Ordered| {
            let names = match &order.said {
                Request::Rollback { to, .. } => Some(to.as_ref().map(ToString::to_string)),
                _ => None,
            };
            order.app == app && order.at_ms <= asked.at_ms - EPOCH_MS && names == asked.ordered
        };
        let is_heard = |order: &Ordered| order.incident.is_some() && order.incident == asked.incident;
        if run.orders.iter().any(|order| is_heard(order) && fits(order)) {
            continue;
        }
        let given = unheard.iter().position(|order| fits(order));
        assert!(given.is_some(), "an order that nobody gave: {asked:?}\n{}", run.story());
        unheard.remove(given.unwrap_or_default());
    }
}

/// Each ordered rollback was ordered by a person, goes to what they named, if anything, and is made once.
pub(super) fn each_was_given_and_heeded(run: &Run, app: usize) {
    let (all, state) = (rollbacks(run, app), run.lab.record(&run.shapes[app].site));
    each_was_given(run, app, &lock(&run.disk.requests).clone());
    for (n, entry) in all.iter().enumerate() {
        let Some(asked) = asked_for(run, app, entry).filter(|asked| asked.ordered.is_some()) else {
            continue;
        };
        let named = asked.ordered.as_ref().and_then(Option::as_ref);
        // Where what it runs is all there is to ask for it by, another one that runs the same is as good.
        let is_same = |named: &String| {
            let by_code = matches!(run.course.kind, AppKind::Sevalla { source: Source::DockerImage, .. });
            by_code && entry.target.as_ref().is_some_and(|went| runs(&state, went) == runs(&state, named))
        };
        let is_heeded = named.is_none_or(|named| entry.target.as_ref() == Some(named) || is_same(named));
        if goes_as_reckoned(run, app, entry) && !is_heeded {
            broken(run, "an order goes to something else than was named", entry);
        }
        let is_same = |first: &&crate::lab::Entry| {
            asked_for(run, app, first).is_some_and(|before| before.incident == asked.incident)
        };
        let mut before = all[..n].iter().filter(is_same);
        if before.any(|first| !came_to_light_late(run, first)) && is_shown(run, app, entry) {
            broken(run, "two rollbacks for one order", entry);
        }
    }
}

/// Who orders a rollback to be kept does not get it undone, nor the other way round.
pub(super) fn none_was_turned_round(run: &Run) {
    for order in &run.orders {
        let Some(outcome) = order.incident.as_ref().and_then(|incident| run.outcomes.get(incident)) else {
            continue;
        };
        let is_turned_round = match order.said {
            Request::Commit => *outcome == Outcome::Reverted,
            Request::Revert => *outcome == Outcome::Committed,
            _ => false,
        };
        let said = order.said.word();
        assert!(!is_turned_round, "the order to {said} ended as {}\n{}", outcome.word(), run.story());
    }
}
