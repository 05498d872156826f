//! Who is accused gave bad answers itself, and lately.

use super::broken;
use super::made::{asked_for, is_shown, judged};
use crate::lab::{Cause, Deployment, Entry};
use crate::sim::course::RULES;
use crate::sim::machine::{EPOCH_MS, lock};
use crate::sim::run::Run;

/// What a rule that is Bad when a rollback is asked for has seen: three failures, each no longer before the next one
/// than a sample speaks for the app at rest, the last one no older than it does in a watch, and what writing the decision
/// down may take.
const RECENT_MS: i64 = 2 * 32_000 + 8_000 + 15_000;

/// How long after it was decided a rollback may be asked for: its reads and the wait for its turn.
const DECIDED_MS: i64 = 15_000 + 1_000;

/// For so long a release gives good answers before it counts as one that has healed.
const HEALED_MS: i64 = 15_000;

/// How many good and bad answers a deployment gave within a time on the machine's clock.
pub(super) fn answers(run: &Run, deployment: &str, when_ms: std::ops::RangeInclusive<i64>) -> (usize, usize) {
    let answers = lock(&run.wire.answers);
    let recent = answers.get(deployment).into_iter().flatten().filter(|(at, _)| when_ms.contains(at));
    recent
        .fold((0, 0), |(good, bad), (_, is_good)| (good + usize::from(*is_good), bad + usize::from(!is_good)))
}

/// When the rollback that arrived with `entry` was asked for, on the machine's clock.
fn asked_ms(run: &Run, app: usize, entry: &Entry) -> i64 {
    let (id, arrived) = (run.lab.record(&run.shapes[app].site).id, entry.at_ms - EPOCH_MS);
    let asked = lock(&run.wire.asked);
    let of_app = asked.iter().filter(|(of, at)| *of == id && *at <= arrived);
    of_app.map(|(_, at)| *at).max().unwrap_or(arrived)
}

/// [I6, I14, I16, I17] What is rolled back gave bad answers itself just before, as many as the rule asks for.
pub(super) fn no_healthy_release_is_rolled_back(run: &Run, app: usize) {
    for entry in &judged(run, app) {
        let accused = entry.active_before.as_deref().unwrap_or("");
        let at = asked_ms(run, app, entry);
        let recent = at - RECENT_MS..=at;
        let (good, bad) = answers(run, accused, recent.clone());
        // Of what was sent in the very moment in which our network came back, a witness a few milliseconds younger says
        // that it was not the network's doing.
        let returns = run.returns.iter().filter(|at| recent.contains(at)).count();
        if bad + returns < 3 && is_shown(run, app, entry) {
            broken(run, &format!("a release with {good} good and {bad} bad answers is rolled back"), entry);
        }
        if has_healed(run, accused, at) && is_shown(run, app, entry) {
            broken(run, "a release that has healed is rolled back", entry);
        }
    }
}

/// Whether it gave good answers from long before the decision can have been made, and no other ones since.
fn has_healed(run: &Run, accused: &str, asked_ms: i64) -> bool {
    // A share of failures is one for half a minute more.
    let counts_ms = if run.course.rules == RULES[0] { 0 } else { 30_000 };
    let all = asked_ms - DECIDED_MS - counts_ms - HEALED_MS..=asked_ms;
    let (_, bad) = answers(run, accused, all.clone());
    let (good, _) = answers(run, accused, *all.start()..=asked_ms - DECIDED_MS - counts_ms);
    // What our own network swallowed, or what came while the machine slept, nobody has seen.
    let is_seen = !run.returns.iter().any(|at| all.contains(at))
        && run.machine.slept_ms(all.clone()) == 0
        && !run.ends.iter().any(|at| all.contains(at));
    bad == 0 && good >= 3 && is_seen
}

/// [I6] What is rolled back is what was accused, or that under another id, as far as any read has shown.
pub(super) fn only_the_accused_is_rolled_back(run: &Run, app: usize) {
    let state = run.lab.record(&run.shapes[app].site);
    for entry in &judged(run, app) {
        let Some(asked) = asked_for(run, app, entry) else { continue };
        let live = entry.active_before.as_deref().unwrap_or("");
        if !is_same_release(&state.deployments, &asked.accused, live) && is_shown(run, app, entry) {
            broken(run, &format!("{live} is rolled back, and {} was accused", asked.accused), entry);
        }
    }
}

/// Whether one of the two is the other under another id.
pub(super) fn is_same_release(all: &[Deployment], one: &str, other: &str) -> bool {
    let first = |id: &str| {
        let place = all.iter().position(|made| made.id == id)?;
        Some(first_of_the_same(all, place).id.as_str())
    };
    one == other || first(one).is_some() && first(one) == first(other)
}

/// Whether it is the release that was live before, under another id.
fn repeats(made: &Deployment) -> bool {
    matches!(made.cause, Cause::Autoscaled | Cause::Maintenance | Cause::Restart)
}

/// The deployment that the one at `place` repeats, or that one, where it repeats none.
pub(super) fn first_of_the_same(all: &[Deployment], place: usize) -> &Deployment {
    all_of_the_same(all, place).last().unwrap_or(&&all[place])
}

/// The deployment at `place` and those that it repeats, the newest one first.
pub(super) fn all_of_the_same(all: &[Deployment], place: usize) -> Vec<&Deployment> {
    let before = |made: &&Deployment| {
        let id = made.previous.as_ref().filter(|_| repeats(made))?;
        all.iter().take_while(|other| other.id != made.id).find(|other| other.id == *id)
    };
    std::iter::successors(all.get(place), before).collect()
}

/// [I16] Who is accused gave bad answers itself, whether anything comes of it or not. One answer may be on its way.
pub(super) fn nobody_is_accused_of_what_another_did(run: &Run) {
    if run.lag_ms() > 0 {
        return;
    }
    for accused in &run.accused {
        // A restart of the accused and the platform's upkeep are the accused under another id.
        let is_repeated = |made: &Deployment| made.id == *accused && repeats(made);
        let mut records = run.shapes.iter().map(|shape| run.lab.record(&shape.site));
        if records.any(|record| record.deployments.iter().any(is_repeated)) {
            continue;
        }
        let (good, bad) = answers(run, accused, 0..=i64::MAX);
        assert!(bad >= 2, "{accused} is accused with {good} good and {bad} bad answers\n{}", run.story());
    }
}
