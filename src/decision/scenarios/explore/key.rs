//! Which worlds are one: those that differ in nothing but the date.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::io;

use serde::Serialize;

use super::super::world::{Sight, World};
use crate::decision::effect::Effect;
use crate::decision::observation::RecordedObservation;

/// What a world is, whatever the date.
pub(super) fn key(world: &World) -> u64 {
    #[derive(Serialize)]
    struct Key<'a> {
        state: &'a crate::decision::state::State,
        seen: RecordedObservation,
        deployments: &'a [crate::decision::observation::Deployment],
        active: (&'a crate::ids::DeploymentId, crate::clock::Moment),
        progress: &'a Option<crate::ids::DeploymentId>,
        pinned: &'a Option<crate::ids::DeploymentId>,
        pushes: Option<crate::decision::capability::Pushes>,
        shown_deploying: Option<crate::clock::Moment>,
        lost_pins: &'a [crate::clock::Moment],
        doubts: &'a [crate::clock::Moment],
        bad: &'a std::collections::BTreeSet<crate::ids::DeploymentId>,
        flags: (bool, bool, bool),
        polled_at: crate::clock::Moment,
        late: &'a [(crate::clock::Moment, crate::clock::Moment, Effect)],
        outstanding: &'a Option<(crate::clock::Moment, crate::decision::effect::Answer)>,
        past: &'a std::collections::VecDeque<super::super::world::Past>,
    }
    let seen = crate::decision::observation::Observation {
        at: world.at,
        app: &world.app,
        other_was_live_at: world.other_was_live_at,
        history: &world.history,
        windows: &world.windows,
        answer: None,
        operator: &world.operator,
    };
    let platform = &world.platform;
    let key = Key {
        state: &world.state,
        seen: RecordedObservation::from(&seen),
        deployments: &platform.deployments,
        active: (&platform.active, platform.live_at),
        progress: &platform.in_progress,
        pinned: &platform.pinned,
        pushes: platform.pushes,
        shown_deploying: world.shown_deploying,
        lost_pins: &world.lost_pins,
        doubts: &world.doubts,
        bad: &world.bad,
        flags: (world.outage, world.sight == Sight::Blind, world.fault.is_some()),
        polled_at: world.polled_at,
        late: &world.late,
        outstanding: &world.outstanding,
        past: &world.past,
    };
    let mut hash = Hashing(DefaultHasher::new());
    let relative = Relative(world.at.as_millis());
    key.serialize(&mut serde_json::Serializer::with_formatter(&mut hash, relative)).expect("a world is JSON");
    // The ledger of the platform, and how the next calls fare: what is judged later depends on them.
    for (at, who, write) in &platform.ledger {
        hash.0.write(format!("{:?}{who:?}{write:?}", world.at.since(*at)).as_bytes());
    }
    hash.0.write(format!("{:?}", world.script).as_bytes());
    hash.0.finish()
}

struct Hashing(DefaultHasher);

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// JSON in which every signed number, and that is every date, counts from now.
struct Relative(i64);

impl serde_json::ser::Formatter for Relative {
    fn write_i64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        // Beyond a few hours it is long ago.
        writer.write_all(&(value - self.0).max(-4 * 3_600_000).to_le_bytes())
    }
}
