//! The course of an incident when nobody is in the way.

use super::world::{World, policy};
use crate::decision::effect::Reason;
use crate::decision::state::Outcome;

#[test]
fn a_bad_release_is_rolled_back_soaked_and_committed() {
    let mut world = World::with_bad_release(policy());
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    insta::assert_snapshot!(world.transcript(), @r"
      0:02  learning
      1:02  steady
      1:22  watching
      1:26  incident/validating [rollback rule_fired]
             rule down is Bad on deployment d3: value 3 against 3 over 3 samples (Bad at 3 failures in a row)
             target is deployment d2: the newest deployment seen to be good
             asking whether a rollback to d2 would be accepted
      1:26  incident/rolling_back
             validate: the platform would accept it, no warnings
             rolling back from d3 to d2, pinned
      1:26  incident/rolling_back
             create_rollback: the platform makes deployment d4
      1:30  incident/rolling_back
      2:26  incident/soaking
             rollback deployment d4 is live; soaking for 600 s and 30 fresh samples a probe
      2:28  incident/soaking
             the app is healthy again, 66.0 s after its first failing sample
     12:26  incident/committing [commit soak_healthy]
             the soak is over: soak_healthy (300 samples or more a probe)
             committing rollback d4
     12:26  steady
             commit: done, the pin is gone
             committed: soak_healthy
    ");
}
