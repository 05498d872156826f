//! Close courses: something happens right between two steps of each release.

use std::time::Duration;

use super::super::super::machine::{Passage, Point};
use super::super::{Course, Event};
use super::{BUDGET, Dice};
use crate::lab::{Action, Health, Release};

impl Course {
    /// Bad releases, small budgets, little memory, reads that jump, a network that breaks where nothing else tells, and
    /// with each release something that happens right between two steps.
    pub(super) fn close(&mut self, dice: &mut Dice) {
        self.budget = dice.of(&[2, 3, BUDGET]);
        // Without controls nobody can tell that only the sites are out of reach.
        let needs_controls = self.events.iter().any(|(_, event)| matches!(event, Event::SitesCutOff(_)));
        self.has_controls &= needs_controls || dice.flip();
        self.unknowns.reads_jump = dice.flip();
        // What reads that jump say at the very end is nothing to judge by.
        self.is_liveness |= self.unknowns.reads_jump;
        if dice.flip() {
            self.unknowns.reads_lag_ms = dice.of(&[2_000, 15_000]);
        }
        let pushes = self.events.iter_mut().filter_map(|(at, event)| match event {
            Event::Push(app, release) => Some((*at, *app, release)),
            _ => None,
        });
        let mut places = Vec::new();
        for (at, app, release) in pushes {
            if dice.flip() {
                release.health = Health::Bad { status: 500 };
            }
            places.push((at, app));
        }
        for (at, app) in places {
            let meeting = self.meeting(dice, app, at, 14);
            self.events.push((at, meeting));
            match dice.0.u32(0..16) {
                0..4 => self.accompany(at + dice.0.i64(0..60_000), Event::CutOff(true), dice),
                4 => self.events.push((at, Event::StateLost)),
                5 => self.accompany(at, Event::Region(app, "fra"), dice),
                _ => {}
            }
        }
        for (_, event) in &mut self.events {
            if let Event::Meets(Passage { then: None, .. }, events) = event
                && let [Event::Pause(..)] = events[..]
            {
                // Long enough for nobody to say that the call was on its way.
                events.push(Event::Sleeps(Duration::from_secs(1)));
            }
        }
        if dice.flip() {
            // Whoever begins here has seen nothing that is good.
            self.events.push((2_000, Event::StateLost));
        }
    }

    /// Something that happens between a decision and the read before the write, or between that read and the write.
    pub(super) fn meeting(&mut self, dice: &mut Dice, app: usize, when: i64, most: u32) -> Event {
        let then = dice.flip().then_some(Point::AfterReading);
        let passage = Passage { point: Point::AfterWriting, nth: dice.0.u32(1..most), then };
        let release = || Box::new(Release::good("in between"));
        let person = |action| vec![Event::Person(app, action)];
        let events = match dice.0.u32(0..8) {
            0 | 1 => vec![Event::Push(app, release()), Event::Sleeps(Duration::from_secs(120))],
            2 => person(Action::Rollback { to: None, skip_pin: false }),
            3 => person(Action::Rollback { to: None, skip_pin: true }),
            4 => person(Action::Revert),
            5 => {
                self.events.push((when + 90_000, Event::Pause(Some(app), false)));
                vec![Event::Pause(Some(app), true)]
            }
            6 => {
                self.events.push((when + 90_000, Event::Mode(app, "enforce")));
                vec![Event::Mode(app, "observe")]
            }
            _ => vec![Event::Health(app, Health::Good)],
        };
        Event::Meets(passage, events)
    }
}
