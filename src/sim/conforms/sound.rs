//! What holds however a story ends. Whatever the platform's ledger has against it, the judges have said by now.

use super::Platform;
use super::secrets;
use super::trial::Tale;
use crate::decision::effect::Reason;
use crate::decision::state::Outcome;
use crate::lab::{Entry, NullImage, Operation, Phase};

/// No incident has more to tell, nor more decisions, however long it takes.
const LONGEST: usize = 60;
/// No process decides more often than that in one story: what is decided is counted where it changes something.
const MOST_DECISIONS: f64 = 60.0;

/// What does not hold.
pub(super) fn complaints(tale: &Tale, platform: &Platform) -> Vec<String> {
    let mut found = Vec::new();
    asked_once(tale, &mut found);
    comes_to_an_end(tale, &mut found);
    stands_as_it_ended(tale, platform, &mut found);
    what_is_there_is_seen(tale, &mut found);
    found.extend(secrets::told(tale).map(|place| format!("a secret stands in {place}")));
    found
}

fn rollbacks(tale: &Tale) -> impl Iterator<Item = &Entry> + Clone {
    tale.asked.iter().filter(|entry| entry.operation == Operation::CreateRollback)
}

/// A rollback may be asked for again where that is harmless, and only if nothing came of the first.
fn asked_once(tale: &Tale, found: &mut Vec<String>) {
    let Some((record, ..)) = tale.incidents.last() else {
        if !tale.asked.is_empty() {
            found.push(format!("asked for without an incident: {:?}", tale.asked));
        }
        return;
    };
    let restarts = tale.asked.iter().filter(|entry| entry.operation == Operation::Restart);
    let mut bad: Vec<&str> = restarts.filter_map(|entry| entry.deployment.as_deref()).collect();
    bad.push(record.bad_deployment.as_str());
    let from_bad =
        rollbacks(tale).filter(|entry| entry.active_before.as_deref().is_some_and(|id| bad.contains(&id)));
    if from_bad.clone().filter(|entry| entry.applied()).count() > 1 {
        found.push(format!("rolled back twice: {:?}", tale.asked));
    }
    if tale.run.course.platform_picks() && from_bad.count() > 1 {
        found.push(format!("asked for again: {:?}", tale.asked));
    }
}

/// A rollback that is there is not told to have left no trace, whatever it runs. One that never says what it runs nobody
/// can know again.
fn what_is_there_is_seen(tale: &Tale, found: &mut Vec<String>) {
    if tale.run.course.unknowns.null_image == NullImage::ForEver {
        return;
    }
    for (_, timeline, _) in &tale.incidents {
        let mut asked_at = i64::MAX;
        for line in timeline {
            let at = line.at.as_millisecond();
            if line.event == "call" {
                asked_at = at;
            }
            let is_there = |entry: &Entry| {
                entry.at_ms >= asked_at && entry.applied_ms.is_some_and(|applied| applied < at)
            };
            if line.text.starts_with("create_rollback was not applied") && rollbacks(tale).any(is_there) {
                found.push(format!("of a rollback that is there it is told: {}", line.text));
            }
        }
    }
}

/// Every incident is closed, and none of them tells or decides without end.
fn comes_to_an_end(tale: &Tale, found: &mut Vec<String>) {
    for (record, timeline, decisions) in &tale.incidents {
        if record.outcome.is_none() {
            found.push(format!("still open, as {}", record.state));
        }
        if timeline.len() > LONGEST || *decisions > LONGEST {
            let last = timeline.last().map_or("", |entry| entry.text.as_str());
            found.push(format!("{} entries and {decisions} decisions, the last: {last}", timeline.len()));
        }
    }
    let counts = tale.run.scraped.lines().filter(|line| line.starts_with("rearguard_decisions_total{"));
    let decisions: f64 = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    if decisions > MOST_DECISIONS {
        found.push(format!("{decisions} decisions"));
    }
}

/// What the app is shown as, and what it is, fit how its incident ended. Minutes lie between the two.
fn stands_as_it_ended(tale: &Tale, platform: &Platform, found: &mut Vec<String>) {
    let (status, app) = tale.last();
    let newest = tale.incidents.first().map(|(record, ..)| record);
    let is_held = tale.outcome() == Some(Outcome::Held);
    let is_right = match tale.outcome() {
        Some(Outcome::Held) => status.state == "held" && status.incident.as_ref() == newest.map(|of| &of.id),
        Some(Outcome::Committed) => status.state == "steady",
        _ => matches!(status.state.as_str(), "steady" | "learning"),
    };
    if !is_right {
        found.push(format!("ended as {}", tale.end()));
    }
    // While it is held, a rollback that is there stays protected until a person has looked at it.
    let is_there = rollbacks(tale).any(Entry::applied);
    let may_be_pinned = is_held && is_there;
    let may_be_paused =
        may_be_pinned || (is_held && newest.is_some_and(|of| of.reason == Reason::WrongTarget));
    if (app.pinned.is_some() || status.pinned_deployment.is_some()) && !may_be_pinned {
        found.push(format!("pinned, after {}", tale.end()));
    }
    if (app.auto_deploy != platform.kind.auto_deploy()) != status.pushes_paused {
        found.push(format!("pushes are {:?} and not shown so, after {}", app.auto_deploy, tale.end()));
    }
    if app.auto_deploy != platform.kind.auto_deploy() && !may_be_paused {
        found.push(format!("pushes stay paused, after {}", tale.end()));
    }
    let live = app.deployments.iter().rfind(|deployment| deployment.phase == Phase::Active);
    let version = live.map_or("nothing", |live| live.release.version.as_str());
    let was_said = tale.incidents.iter().any(|(record, ..)| record.outcome == Some(Outcome::Committed));
    if was_said && version != "v1" {
        found.push(format!("a success, and {version} is live"));
    }
}
