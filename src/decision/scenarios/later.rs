//! What comes of a request after its incident is over, and of two at a time: told, and never taken for a person's doing.

use super::calls::APPLIED;
use super::picks::{BY_CODE, PICKS, accepting, with_bad_release};
use super::platform::Who;
use super::world::minutes;
use crate::decision::effect::Reason;
use crate::decision::state::Outcome;

#[test]
fn a_request_that_was_found_by_reading_is_not_waited_for_after_its_incident() {
    for capabilities in [PICKS, BY_CODE] {
        let mut world = with_bad_release(accepting(), capabilities);
        world.reply("create_rollback", APPLIED);
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        assert_eq!(world.state.ledger.lost, []);
        world.run(minutes(5));
        world.release();
        world.run(minutes(5));
        // A colleague goes back to the same.
        let (target, at) = (world.closed[0].incident.stage.target().expect("a target").clone(), world.at);
        world.platform.picks = Some(target.clone());
        world.platform.rollback(Who::Person, &target, at, at).expect("made");
        world.run(minutes(5));
        assert_eq!(world.state.word(), "learning", "{}", world.transcript());
    }
}
