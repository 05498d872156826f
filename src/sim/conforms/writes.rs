//! Each write, and what may become of it.

use super::trial::Trial;
use super::{numbered, story};
use crate::lab::{Fault, Kind, NullImage, Operation, RollbackTrigger, Target, Unknowns, When};
use crate::sim::course::Event;
use crate::sim::told::{PUSHED, calls};

/// What may become of a write.
fn fates() -> Vec<Kind> {
    let (yes, no) = (true, false);
    vec![
        Kind::Hang { applied: yes },
        Kind::Hang { applied: no },
        Kind::Reset { applied: yes },
        Kind::Reset { applied: no },
        Kind::Status { code: 500, applied: yes },
        Kind::Status { code: 503, applied: no },
        Kind::AppliedLate { after_ms: 20_000 },
        Kind::Truncated,
        Kind::Empty,
        Kind::Html { code: 502 },
        Kind::WrongTypes,
        Kind::MissingIds,
        Kind::UnknownWords,
    ]
}

/// A call meets a fault, the so-many-th time that it is made.
pub(super) fn meets(call: Operation, kind: Kind, nth: u64) -> (i64, Event) {
    let fault = Fault { on: Target::Call(call), app: None, kind, when: When::Nth(nth) };
    (0, Event::Fault(Box::new(fault)))
}

/// Without a fault.
pub(super) fn are_told_to_their_end(trial: &mut Trial<'_>) {
    let platform = trial.platform;
    let Some(tale) = trial.tell("no fault", story(platform, Vec::new())) else { return };
    trial.holds("no fault", calls(&tale.run, 0) == platform.writes, "other writes");
    let [(record, ..)] = &tale.incidents[..] else {
        return trial.holds("no fault", false, "not one incident");
    };
    let end = (record.outcome, record.reason);
    trial.holds("no fault", end == (Some(platform.end.0), platform.end.1), &tale.end());
    trial.holds("no fault", tale.log.contains("rolling back from"), "nothing is logged");
}

/// Each write meets each fault, once.
pub(super) fn are_found_out_whatever_becomes_of_them(trial: &mut Trial<'_>) {
    for kind in fates() {
        for (write, nth) in numbered(trial.platform) {
            let what = format!("{kind:?} on {write:?} number {nth}");
            let tale = trial.tell(&what, story(trial.platform, vec![meets(write, kind.clone(), nth)]));
            trial.holds(&what, tale.is_none_or(|tale| !tale.incidents.is_empty()), "nothing happened");
        }
    }
}

/// Words that nobody has heard of, in every answer for a while: what is live may not be known meanwhile, and nothing is
/// done that would not have been done anyway.
pub(super) fn survive_words_that_nobody_knows(trial: &mut Trial<'_>) {
    let fault = Fault { on: Target::Reads, app: None, kind: Kind::UnknownWords, when: When::Always };
    for from in [0, PUSHED, PUSHED + 6_000, PUSHED + 12_000] {
        let fault = Event::Fault(Box::new(fault.clone()));
        let events = vec![(from, fault), (PUSHED + 90_000, Event::NoFaults)];
        trial.tell(&format!("unknown words from {from} ms on"), story(trial.platform, events));
    }
}

/// A rollback that does not say what it runs, or is called something else, and whose answer is lost. Not each with each:
/// every answer to either question, and the two together where a rollback looks least like one.
pub(super) fn are_known_again_whatever_they_are_called(trial: &mut Trial<'_>) {
    use NullImage::{ForEver, ImageForEver, Never, UntilItEnds};
    use RollbackTrigger::{ManualDeploy, RollbackDeployment, Unheard};
    let pairs = [
        (Never, ManualDeploy),
        (Never, Unheard),
        (UntilItEnds, RollbackDeployment),
        (UntilItEnds, ManualDeploy),
        (ForEver, RollbackDeployment),
        (ForEver, Unheard),
        (ImageForEver, RollbackDeployment),
        (ImageForEver, Unheard),
    ];
    let lost = [None, Some(Kind::Hang { applied: true }), Some(Kind::Reset { applied: false })];
    for (null_image, rollback_trigger) in pairs {
        for kind in &lost {
            let fault = kind.iter().map(|kind| meets(Operation::CreateRollback, kind.clone(), 1));
            let mut story = story(trial.platform, fault.collect());
            story.unknowns = Unknowns { null_image, rollback_trigger, ..story.unknowns };
            let what = format!("{kind:?}, an image {null_image:?} null, called {rollback_trigger:?}");
            trial.tell(&what, story);
        }
    }
}

/// With a restart before the rollback, whose answer comes, or is lost either way.
pub(super) fn begin_with_a_restart(trial: &mut Trial<'_>) {
    for kind in [None, Some(Kind::Hang { applied: true }), Some(Kind::Reset { applied: false })] {
        let fault = kind.iter().map(|kind| meets(Operation::Restart, kind.clone(), 1));
        let mut story = story(trial.platform, fault.collect());
        story.restart_first = true;
        let what = format!("a restart first, {kind:?}");
        let Some(tale) = trial.tell(&what, story) else { continue };
        let end = tale.incidents.last().and_then(|(record, ..)| Some((record.outcome?, record.reason)));
        trial.holds(&what, end == Some(trial.platform.end), &tale.end());
        let pushed = tale.last().1.deployments.get(1).map(|pushed| pushed.id.as_str());
        let accused = tale.incidents.last().map(|(record, ..)| record.bad_deployment.as_str());
        trial.holds(&what, accused == pushed, "the restart is what is called bad");
    }
}
