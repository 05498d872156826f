//! The course of an incident when nobody is in the way.

use super::world::{World, policy};
use crate::decision::effect::Reason;
use crate::decision::state::Outcome;

#[test]
fn a_bad_release_is_rolled_back_soaked_and_committed() {
    let mut world = World::with_bad_release(policy());
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
    insta::assert_snapshot!(world.transcript(), @"");
}
