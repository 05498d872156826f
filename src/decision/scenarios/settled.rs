//! What a person orders to be the end of a soak, or of a rollback that is held.

use super::asked::{BOTH, back, ends, misfit, says, with_good_release};
use super::picks::{PICKS, accepting, changes, with_bad_release};
use super::pushes::run_until_let_go;
use super::world::{World, minutes, policy, secs};
use crate::decision::capability::Support;
use crate::decision::effect::Reason;
use crate::decision::incident::{Misfit, fits};
use crate::decision::observation::{AppView, ReadFault, Request};
use crate::decision::policy::{OnHealthy, OnUnhealthy, Policy};
use crate::decision::state::{Asked, Hold, Incident, Order, Outcome, Situation};

#[test]
fn of_two_ends_of_a_soak_the_later_word_counts_while_nothing_was_asked_of_the_platform() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.run_to_stage("soaking");
    // What there is to go back to is not known, so the first word waits.
    world.fault = Some(ReadFault::Unreachable);
    world.run(minutes(2));
    says(&mut world, Request::Revert);
    assert_eq!((world.stage(), world.waiting), ("soaking", Some(Reason::Blind)), "{}", world.transcript());
    assert_eq!(
        ends(&mut world, Request::Commit),
        (Outcome::Committed, Reason::Requested),
        "{}",
        world.transcript()
    );
    assert_eq!(changes(&world).iter().filter(|change| **change == "rollback").count(), 1);
}

#[test]
fn a_person_ends_a_soak_either_way() {
    for (request, outcome, call) in
        [(Request::Commit, Outcome::Committed, "commit"), (Request::Revert, Outcome::Reverted, "revert")]
    {
        let mut world = World::with_bad_release(policy());
        world.run_to_stage("soaking");
        world.run(secs(30));
        assert_eq!(ends(&mut world, request), (outcome, Reason::Requested), "{}", world.transcript());
        assert_eq!(world.effects.last().map(|(_, effect)| effect.word()), Some(call));
        assert!(world.platform.pinned.is_none());
    }
}

#[test]
fn what_a_person_keeps_before_its_soak_is_over_is_not_good_by_that() {
    for capabilities in [None, Some(PICKS)] {
        let mut world = match capabilities {
            Some(capabilities) => with_bad_release(accepting(), capabilities),
            None => World::with_bad_release(policy()),
        };
        world.run_to_stage("soaking");
        assert_eq!(ends(&mut world, Request::Commit), (Outcome::Committed, Reason::Requested));
        let is_good =
            |world: &World| world.state.ledger.good.iter().any(|good| good.id == world.platform.active);
        assert!(!is_good(&world), "{}", world.transcript());
        // It may become so as any other release does.
        world.run(minutes(40));
        assert_eq!(world.state.word(), "steady", "{}", world.transcript());
        assert!(is_good(&world), "{}", world.transcript());
    }
}

#[test]
fn what_is_held_is_settled_by_a_person_s_word() {
    let holding = |policy: Policy| {
        let mut policy = policy;
        (policy.soak.on_healthy, policy.soak.on_unhealthy) = (OnHealthy::Hold, OnUnhealthy::Hold);
        policy
    };
    for (request, outcome) in [(Request::Commit, Outcome::Committed), (Request::Revert, Outcome::Reverted)] {
        let mut world = World::with_bad_release(holding(policy()));
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakHealthy), "{}", world.transcript());
        world.run(minutes(60));
        let asked_at = world.at;
        assert_eq!(ends(&mut world, request.clone()), (outcome, Reason::Requested), "{}", world.transcript());
        assert!(world.platform.pinned.is_none(), "{}", world.transcript());
        // It is an incident of its own, that no rule opened.
        let settled = &world.closed[1].incident;
        assert_eq!((settled.opened_at, settled.first_failure_at), (asked_at, asked_at));
        assert_eq!((&settled.rule, &settled.evidence), (&None, &None));
        let order = Asked { by: "ada".into(), order: Order::Settle };
        assert_eq!(settled.asked, Some(order));
        assert_eq!(world.closed.len(), 2);
        assert_eq!(world.count("create_rollback"), 1);
        world.run(minutes(5));
        assert!(!matches!(world.state.situation, Situation::Held(_)), "{}", world.transcript());
        // There the same is a pause of pushes that ends, and a rollback from the rollback.
        let mut world = with_bad_release(holding(accepting()), PICKS);
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakHealthy), "{}", world.transcript());
        let held = world.platform.active.clone();
        assert_eq!(misfit(&world, &back(None)), Some(Misfit::PushesPaused(held)));
        assert_eq!(ends(&mut world, request), (outcome, Reason::Requested), "{}", world.transcript());
        run_until_let_go(&mut world);
        assert_eq!(changes(&world).last(), Some(&"let go"), "{}", world.transcript());
    }
}

#[test]
fn of_a_rollback_that_is_held_only_what_its_end_needs_is_kept() {
    // Ordered, kept waiting by a freeze, and ended in vain by a person's word.
    let mut world = with_good_release(policy());
    says(&mut world, back(None));
    world.run_to_stage("soaking");
    world.operator.freeze = BOTH;
    world.run(minutes(15));
    for _ in 0..3 {
        world.reply("commit", super::calls::LOST);
    }
    assert_eq!(ends(&mut world, Request::Commit).0, Outcome::Held, "{}", world.transcript());
    let is_all_of_it = |incident: &Incident| {
        incident.asked.is_some() && incident.ending.is_some() && incident.end_waits.is_some()
    };
    let incident = world.closed[0].incident.clone();
    assert!(is_all_of_it(&incident), "{incident:?}");
    let Situation::Held(Hold { kept: Some(kept), .. }) = &world.state.situation else { panic!("held") };
    assert_eq!(**kept, Incident { asked: None, ending: None, end_waits: None, ..incident });
}

#[test]
fn what_is_held_is_settled_while_it_is_live_and_pinned_as_it_was() {
    let mut policy = policy();
    policy.soak.on_healthy = OnHealthy::Hold;
    let mut world = World::with_bad_release(policy);
    world.run_to_close();
    // What the latest read shows, and what the held incident knew of its platform.
    let with = |view: &dyn Fn(&mut AppView), revert, request| {
        let (mut app, mut state) = (world.app.clone(), world.state.clone());
        view(&mut app.last.as_mut().expect("a read").1);
        let Situation::Held(Hold { kept: Some(kept), .. }) = &mut state.situation else { panic!("held") };
        kept.capabilities.revert = revert;
        fits(&world.policy, &state, &app, false, &request).err()
    };
    let is_as_it_was = |_: &mut AppView| {};
    for request in [Request::Commit, Request::Revert] {
        assert_eq!(with(&is_as_it_was, Support::Native, request.clone()), None);
        let is_not_live = |view: &mut AppView| view.active.as_mut().expect("live").id = "other".into();
        assert_eq!(with(&is_not_live, Support::Native, request.clone()), Some(Misfit::NotLive));
        for pin in [None, Some("other".into())] {
            let is_pinned = |view: &mut AppView| view.pinned = pin.clone();
            assert_eq!(with(&is_pinned, Support::Native, request.clone()), Some(Misfit::NotLive));
        }
    }
    assert_eq!(with(&is_as_it_was, Support::Absent, Request::Commit), None);
    assert_eq!(with(&is_as_it_was, Support::Absent, Request::Revert), Some(Misfit::NoRevert));
}

#[test]
fn a_settlement_that_fails_can_be_asked_for_again_and_the_state_does_not_grow() {
    let mut policy = policy();
    policy.soak.on_healthy = OnHealthy::Hold;
    let mut world = World::with_bad_release(policy);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakHealthy));
    let mut sizes = Vec::new();
    for _ in 0..4 {
        for _ in 0..3 {
            world.reply("commit", super::calls::LOST);
        }
        assert_eq!(
            ends(&mut world, Request::Commit),
            (Outcome::Held, Reason::Requested),
            "{}",
            world.transcript()
        );
        sizes.push(serde_json::to_string(&world.state).expect("a state").len());
    }
    assert!(sizes.windows(2).all(|pair| pair[1] <= pair[0] + 64), "{sizes:?}");
    assert_eq!(
        ends(&mut world, Request::Revert),
        (Outcome::Reverted, Reason::Requested),
        "{}",
        world.transcript()
    );
    let mut ids: Vec<_> = world.closed.iter().map(|closed| closed.incident.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6, "each has an id of its own");
    // The release is back at a person's word, and not condemned any more.
    assert!(
        !world.state.ledger.condemned.iter().any(|(id, _)| id.as_str() == "d3"),
        "{}",
        world.transcript()
    );
}
