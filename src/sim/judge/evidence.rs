//! Who is accused gave bad answers itself, and lately.

use super::broken;
use super::made::{is_shown, prompt};
use crate::lab::{Cause, Deployment, Entry};
use crate::sim::machine::{EPOCH_MS, lock};
use crate::sim::run::Run;

/// What a rule that is Bad when a rollback is asked for has seen: three failures, each no longer before the next one
/// than a sample speaks for the app at rest, the last one no older than it does in a watch, and what writing the decision
/// down may take.
const RECENT_MS: i64 = 2 * 32_000 + 8_000 + 15_000;

/// How many good and bad answers a deployment gave within a time on the machine's clock.
fn answers(run: &Run, deployment: &str, when_ms: std::ops::RangeInclusive<i64>) -> (usize, usize) {
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
    for entry in &prompt(run, app) {
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
    }
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
