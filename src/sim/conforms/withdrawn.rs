//! The right to write is taken away at a step of the story, and given back later.

use super::trial::Trial;
use super::{DIGITALOCEAN, SEVALLA_PUSHED, story};
use crate::sim::course::Event;
use crate::sim::machine::{Passage, Point};
use crate::sim::told::PUSHED;

/// More steps than the story has.
const MOST: u32 = 60;

/// After this much of the story it is given back.
const FOR_MS: i64 = 200_000;

/// A pause and mode observe come once at each step: when it is written down, after the read before a write, while the connection
/// for it is made. That nothing is written meanwhile and no pin forgotten the judges see to; on two platforms that pin otherwise.
pub(super) fn at_each_step(trial: &mut Trial<'_>) {
    let name = trial.platform.name;
    if name != DIGITALOCEAN[0].name && name != SEVALLA_PUSHED[0].name {
        return;
    }
    let words = [
        (Event::Pause(Some(0), true), Event::Pause(Some(0), false)),
        (Event::Mode(0, "observe"), Event::Mode(0, "enforce")),
    ];
    for (taken, given) in words {
        for then in [None, Some(Point::AfterReading), Some(Point::BeforeSending)] {
            for nth in 1..=MOST {
                let passage = Passage { point: Point::AfterWriting, nth, then };
                let meets = Event::Meets(passage, vec![taken.clone()]);
                let what = format!("{taken:?} at {passage:?}");
                let events = vec![(PUSHED, meets), (PUSHED + FOR_MS, given.clone())];
                let Some(tale) = trial.tell(&what, story(trial.platform, events)) else { continue };
                if tale.run.met.is_empty() {
                    trial.holds(&what, nth > 1, "there is no such step");
                    break;
                }
                let is_over = tale.last().0.state != "incident";
                trial.holds(&what, is_over, &tale.end());
            }
        }
    }
}
