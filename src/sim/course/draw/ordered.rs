//! What people order of rearguard, and storms.

use super::super::super::machine::{Passage, Point};
use super::super::{Course, Event, Order};
use super::Dice;
use crate::decision::observation::Accepted;
use crate::lab::{Health, Release};

impl Course {
    /// People order rollbacks and their ends, some right between two steps, and now and then every app gets a bad release at
    /// the same time.
    pub(super) fn ordered(&mut self, dice: &mut Dice) {
        let pushes: Vec<(i64, usize)> = self
            .events
            .iter()
            .filter_map(|(at, event)| match event {
                Event::Push(app, _) => Some((*at, *app)),
                _ => None,
            })
            .collect();
        let is_stormy = dice.once_in(3);
        for (at, app) in pushes {
            if dice.flip() {
                let event = Event::Order(app, order(dice));
                if dice.once_in(4) {
                    let then = dice.flip().then_some(Point::AfterReading);
                    let passage = Passage { point: Point::AfterWriting, nth: dice.0.u32(1..14), then };
                    self.events.push((at, Event::Meets(passage, vec![event])));
                } else {
                    self.events.push((at + dice.0.i64(0..90_000), event));
                }
            }
            if is_stormy && dice.once_in(3) {
                for app in 0..self.apps {
                    let bad = Health::Bad { status: 500 };
                    let release = Release { health: bad, ..Release::good(&format!("storm {app}")) };
                    self.events.push((at + dice.0.i64(0..20_000), Event::Push(app, Box::new(release))));
                }
            }
        }
    }
}

fn order(dice: &mut Dice) -> Order {
    match dice.0.u32(0..10) {
        0..6 => Order::Rollback {
            to: dice.flip().then(|| dice.0.usize(0..4)),
            accept: Accepted { warnings: dice.flip(), migrations: dice.flip() },
        },
        6..8 => Order::Commit,
        _ => Order::Revert,
    }
}
