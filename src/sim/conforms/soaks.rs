//! The rolled-back app is not healthy either, and the rollback is to be undone.

use super::trial::Trial;
use super::{GOOD, SWITCHED, story};
use crate::decision::state::Outcome;
use crate::lab::{Action, Cause, Health};
use crate::sim::course::{Course, Event};
use crate::sim::machine::{EPOCH_MS, Passage, Point};

/// When the rollback of the plain story goes live.
fn live_ms(trial: &mut Trial<'_>) -> Option<i64> {
    let tale = trial.tell("no fault", story(trial.platform, Vec::new()))?;
    let is_rollback = |cause: &Cause| matches!(cause, Cause::Rollback { .. } | Cause::Redeploy { .. });
    let made = tale.last().1.deployments.iter().rfind(|made| is_rollback(&made.cause))?;
    made.live_ms.map(|at| at - EPOCH_MS)
}

/// The process goes on, ends while it is judged, or at the writes that follow.
pub(super) fn that_are_unhealthy(trial: &mut Trial<'_>) {
    if trial.platform.end != GOOD {
        return;
    }
    let Some(live) = live_ms(trial) else { return trial.holds("a soak", false, "there is none") };
    let fails = live + 4_000;
    let mut troubles = vec![None];
    // Before it fails, while that is found out, after it was judged, and once more.
    troubles.extend(
        [live + 2_000, fails + 1_000, fails + 5_000, fails + 12_000].map(|at| Some((at, Event::Killed))),
    );
    for (point, nth) in [(Point::AfterWriting, 1), (Point::AfterWriting, 2), (Point::AfterSending, 1)] {
        troubles.push(Some((fails, Event::Dies(Passage { point, nth, then: None }))));
    }
    for trouble in troubles {
        let what = format!("an unhealthy soak, {trouble:?}");
        let mut events = vec![(fails, Event::Health(0, Health::Bad { status: 500 }))];
        events.extend(trouble);
        let story = Course { on_unhealthy: "revert", ..story(trial.platform, events) };
        let Some(tale) = trial.tell(&what, story) else { continue };
        // Where asking twice leads somewhere else, a return that was written down and left no trace is a person's.
        let is_unsent = tale.run.course.platform_picks() && tale.rollbacks() == 1 && tale.run.lives > 1;
        let is_held = tale.outcome() == Some(Outcome::Held) && is_unsent;
        trial.holds(&what, tale.outcome() == Some(Outcome::Reverted) || is_held, &tale.end());
        let version = tale.last().1.version.as_deref();
        trial.holds(&what, version == Some("v2") || is_held, "what ran before is not back");
    }
}

/// A person lets pushes go in the middle of a soak, while most reads say nothing of them: the rollback is theirs from then on.
pub(super) fn that_a_person_ends(trial: &mut Trial<'_>) {
    if trial.platform.end != GOOD || trial.platform.writes != SWITCHED {
        return;
    }
    let Some(live) = live_ms(trial) else { return trial.holds("a soak", false, "there is none") };
    let what = "a person who lets pushes go during the soak";
    for poll in ["1s", "2s", "10s"] {
        let mut story = Course { poll, ..story(trial.platform, Vec::new()) };
        // Until a minute and a half after the pause a read may be from before it.
        let longer = 100_000 - story.durations.rollback_ms;
        story.durations.rollback_ms += longer;
        let lets_go = live + i64::try_from(longer).expect("a short time") + 8_000;
        story.events.push((lets_go, Event::Person(0, Action::SetAutoDeploy { on: true })));
        let Some(tale) = trial.tell(what, story) else { continue };
        let is_theirs = tale.outcome() == Some(Outcome::Superseded);
        trial.holds(what, is_theirs, &format!("polled each {poll}: {}", tale.end()));
    }
}
