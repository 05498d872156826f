//! What courses draw from some seed of each million on, in the order in which it was added.

use std::time::Duration;

use super::super::super::disk::Trouble;
use super::super::super::machine::{Passage, Point};
use super::super::{Course, Event};
use super::Dice;
use crate::decision::observation::Request;
use crate::lab::{Action, ActiveAt, Fault, Health, Hint, Kind, Operation, Target};

impl Course {
    /// The right to act is taken away right between two steps of a release, and the process asked to stop; a disk that is dead;
    /// a platform that refuses a target that is named.
    pub(super) fn withdrawn(&mut self, dice: &mut Dice) {
        if self.unknowns.honour_site_target == Hint::Honoured && dice.once_in(8) {
            self.unknowns.honour_site_target = Hint::Refused;
        }
        if dice.once_in(4) {
            let when = dice.0.i64(1_000..self.length_ms);
            self.accompany(when, Event::Disk(Trouble::Dead), dice);
        }
        let pushes = self.events.iter().filter_map(|(at, event)| match event {
            Event::Push(app, _) => Some((*at, *app)),
            _ => None,
        });
        for (at, app) in pushes.collect::<Vec<_>>() {
            if !dice.once_in(4) {
                continue;
            }
            let then = dice.flip().then_some(Point::AfterReading);
            let passage = Passage { point: Point::AfterWriting, nth: dice.0.u32(1..14), then };
            let (event, end) = match dice.0.u32(0..3) {
                0 => (Event::Mode(app, "approve"), Some(Event::Mode(app, "enforce"))),
                1 => (Event::Leaves(app, true), Some(Event::Leaves(app, false))),
                _ => (Event::Stopped, None),
            };
            // After what a close course has in store for that push, if anything.
            let at = at + dice.0.i64(1_000..30_000);
            if let Some(end) = end {
                self.events.push((at + dice.0.i64(30_000..180_000), end));
            }
            self.events.push((at, Event::Meets(passage, vec![event])));
        }
    }

    /// Releases that heal while the platform cannot be asked, or right before the machine sleeps; a platform that goes back by
    /// itself; reads that lag behind what it does; a machine that is started anew.
    pub(super) fn healing(&mut self, dice: &mut Dice) {
        self.unknowns.steps_lag = dice.flip();
        self.unknowns.active_at = dice.of(&[ActiveAt::Own, ActiveAt::Own, ActiveAt::Former]);
        // Without its state a process has nothing but the wall clock, which may be wrong.
        let loses_state = self.events.iter().any(|(_, event)| matches!(event, Event::StateLost));
        if !loses_state && dice.once_in(3) {
            self.events.push((dice.0.i64(1_000..self.length_ms), Event::Rebooted));
        }
        let pushes = self.events.iter().filter_map(|(at, event)| match event {
            Event::Push(app, _) => Some((*at, *app)),
            _ => None,
        });
        for (at, app) in pushes.collect::<Vec<_>>() {
            let heals = Event::Health(app, Health::Good);
            match dice.0.u32(0..12) {
                0..2 => {
                    let target = Target::Call(Operation::ValidateRollback);
                    let fault = Fault::on(target, Kind::Status { code: 503, applied: false });
                    self.events.push((at, Event::Fault(Box::new(fault))));
                    self.events.push((at + dice.0.i64(15_000..60_000), heals));
                    self.events.push((at + dice.0.i64(60_000..150_000), Event::NoFaults));
                }
                2..4 => {
                    let nth = dice.0.u32(1..8);
                    let passage = Passage { point: Point::AfterWriting, nth, then: None };
                    let span = Duration::from_secs(dice.0.u64(10..180));
                    let at = at + dice.0.i64(1_000..20_000);
                    self.events.push((at, Event::Meets(passage, vec![heals, Event::Sleeps(span)])));
                }
                4 => {
                    let at = at + dice.0.i64(5_000..90_000);
                    self.events.push((at, Event::Person(app, Action::AutoRollback { to: None })));
                }
                _ => {}
            }
        }
    }

    /// What happens right between the read before a write and the write does so while the connection is made, now and then for
    /// as long as a machine sleeps; a freeze window; faults that never stop; a yes that comes after a no.
    pub(super) fn connecting(&mut self, dice: &mut Dice) {
        // By the wall clock, if it is right.
        let is_wrong = self.events.iter().any(|(_, event)| matches!(event, Event::Wall(_)));
        if !is_wrong && dice.once_in(6) {
            let from = dice.0.i64(1..self.length_ms / 60_000 - 3);
            self.frozen = Some((from, from + dice.of(&[1, 1, 2, 3])));
        }
        for (_, event) in &mut self.events {
            let Event::Meets(Passage { then: Some(then), .. }, events) = event else { continue };
            if dice.flip() {
                *then = Point::BeforeSending;
                if dice.once_in(4) {
                    events.push(Event::Sleeps(Duration::from_secs(dice.0.u64(10..300))));
                }
            }
        }
        self.is_endless = !self.is_liveness && dice.once_in(3);
        if self.is_endless {
            let is_end = |event: &Event| {
                matches!(
                    event,
                    Event::NoFaults
                        | Event::CutOff(false)
                        | Event::SitesCutOff(false)
                        | Event::Disk(Trouble::None)
                        | Event::Token(true)
                )
            };
            self.events.retain(|(_, event)| !is_end(event) || dice.flip());
        }
        let pushes = self.events.iter().filter_map(|(at, event)| match event {
            Event::Push(app, _) => Some((*at, *app)),
            _ => None,
        });
        for (at, app) in pushes.collect::<Vec<_>>() {
            if dice.once_in(6) {
                // Whoever said no thinks again.
                let no = at + dice.0.i64(15_000..60_000);
                self.events.push((no, Event::Ask(app, Request::Reject)));
                self.events.push((no + dice.0.i64(2_000..30_000), Event::Ask(app, Request::Approve)));
            }
        }
    }
}
