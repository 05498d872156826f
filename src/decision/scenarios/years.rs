//! Hundreds of releases of one app: what is remembered of it stays as large as it was after the first few dozen.

use std::time::Duration;

use super::world::{Reply, World, policy, secs};
use crate::decision::effect::Rejection;
use crate::decision::observation::Request;
use crate::decision::state::{Attention, Ledger, Outcome};

/// A good release, then one that is bad in the way of its `round`.
fn two_releases(world: &mut World, round: usize) {
    world.release();
    world.run(secs(40));
    world.release_bad();
    let create = match round % 5 {
        0 => Reply::Lost { applied_after: None },
        1 => Reply::Lost { applied_after: Some(Duration::ZERO) },
        2 => Reply::Not(Rejection::NotConnected, None),
        _ => Reply::Normal,
    };
    if round.is_multiple_of(11) {
        // Nothing is ever seen of it.
        (0..3).for_each(|_| world.reply("create_rollback", Reply::Lost { applied_after: None }));
    }
    world.reply("create_rollback", create);
    // Going back does not help.
    world.outage = round.is_multiple_of(3);
    if world.run_to_close().0 == Outcome::Held {
        world.ask(Request::Resume);
    }
    world.outage = false;
    world.run(secs(90));
    assert_ne!(world.state.attention(), Attention::Close, "at rest again");
}

#[test]
fn what_is_remembered_of_an_app_does_not_grow_with_its_releases() {
    let mut policy = policy();
    policy.watch = secs(20);
    (policy.soak.period, policy.soak.min_samples) = (secs(10), 5);
    (policy.limits.cooldown, policy.limits.max_rollbacks, policy.limits.per) = (secs(0), 32, secs(60));
    let mut world = World::steady(policy);
    world.is_told = false;
    world.roll_out = Some(secs(4));
    let mut largest = [0; 4];
    for round in 0..160 {
        two_releases(&mut world, round);
        let state = serde_json::to_string(&world.state).expect("a state is JSON");
        largest[round / 40] = largest[round / 40].max(state.len());
    }
    let ledger = &world.state.ledger;
    let Ledger { good, condemned, accused, ours, settled, lost, lost_restart, rollbacks, .. } = ledger;
    let Ledger { soft_pin, notices, quiet_since, .. } = ledger;
    assert_eq!((soft_pin, lost_restart, notices.as_slice()), (&None, &None, [].as_slice()));
    assert!(*quiet_since > world.start && *quiet_since <= world.at);
    assert_eq!(good.len(), Ledger::KEEP_GOOD);
    let full = [condemned.len(), accused.len(), ours.len(), settled.len(), rollbacks.len()];
    assert_eq!((full, lost.len()), ([Ledger::KEEP; 5], Ledger::KEEP_LOST), "each list was filled");
    let [_, second, third, fourth] = largest;
    // Ids get a digit longer.
    assert!(third.max(fourth) <= second + second / 20, "{largest:?} bytes");
}
