//! What a person orders is what is done: to what they named, and once.

use super::super::disk::Request as Asked;
use super::{asked_for, broken, came_to_light_late, goes_as_reckoned, is_shown, rollbacks, runs};
use crate::decision::observation::Request;
use crate::lab::{AppKind, Source};
use crate::sim::machine::{EPOCH_MS, lock};
use crate::sim::run::Run;

/// Whether a person gave the order that `asked` stands for. Whoever heard nothing knows of no incident.
fn was_given(run: &Run, app: usize, asked: &Asked) -> bool {
    run.orders.iter().any(|order| {
        let is_same = order.incident.is_none() || order.incident == asked.incident;
        let names = match &order.said {
            Request::Rollback { to, .. } => Some(to.as_ref().map(ToString::to_string)),
            _ => None,
        };
        order.app == app && order.at_ms <= asked.at_ms - EPOCH_MS && is_same && names == asked.ordered
    })
}

/// Each ordered rollback was ordered by a person, goes to what they named, if anything, and is made once.
pub(super) fn each_was_given_and_heeded(run: &Run, app: usize) {
    let (all, state) = (rollbacks(run, app), run.lab.record(&run.shapes[app].site));
    for asked in lock(&run.disk.requests).iter().filter(|asked| asked.app == run.shapes[app].id) {
        assert!(
            asked.ordered.is_none() || was_given(run, app, asked),
            "an order that nobody gave: {asked:?}\n{}",
            run.story()
        );
    }
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
