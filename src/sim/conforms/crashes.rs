//! The process ends at a step of the story, and another one goes on from what the journal has.

use super::trial::Trial;
use super::{DIGITALOCEAN, SEVALLA_PUSHED, story};
use crate::decision::effect::Reason;
use crate::decision::state::Outcome;
use crate::sim::course::Event;
use crate::sim::machine::{Passage, Point};
use crate::sim::told::PUSHED;

/// Where asking twice leads somewhere else, what was written down and left no trace is a person's to ask for again.
const UNSENT: (Outcome, Reason) = (Outcome::Held, Reason::RollbackFailed);

/// More steps than the story has.
const MOST: u32 = 60;

/// It ends once at each step. Each stage begins with a write of the journal, so to end after each of those is to end at
/// each stage; around each call as well on the two platforms that pin otherwise.
pub(super) fn of_each_step(trial: &mut Trial<'_>) {
    let name = trial.platform.name;
    let pins = name == DIGITALOCEAN[0].name || name == SEVALLA_PUSHED[0].name;
    let around = [Point::BeforeSending, Point::AfterSending].into_iter().filter(|_| pins);
    for point in around.chain([Point::AfterWriting]) {
        for nth in 1..=MOST {
            let dies = Event::Dies(Passage { point, nth, then: None });
            let what = format!("dead at {point:?} number {nth}");
            let Some(tale) = trial.tell(&what, story(trial.platform, vec![(PUSHED, dies)])) else { continue };
            if tale.run.lives == 1 {
                trial.holds(&what, nth > 1, "there is no such step");
                break;
            }
            let end = tale.incidents.last().and_then(|(record, ..)| Some((record.outcome?, record.reason)));
            let is_right =
                end == Some(trial.platform.end) || (end == Some(UNSENT) && tale.may_not_ask_again());
            trial.holds(&what, is_right, &tale.end());
        }
    }
}
