//! What a person orders: a rollback that no rule asks for, the end of a soak, and of a rollback that is held. And freeze
//! windows, which keep from acting whoever was not ordered to.

use super::picks::{PICKS, accepting, changes, with_bad_release};
use super::pushes::run_until_let_go;
use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::Change;
use crate::decision::capability::Support;
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::incident::{Misfit, fits};
use crate::decision::observation::{Accepted, AppView, Cause, Freeze, Phase, ReadFault, Reading, Request};
use crate::decision::policy::{Mode, OnHealthy, OnUnhealthy, Policy};
use crate::decision::state::{Asked, Hold, Incident, Order, Outcome, Situation};

const BOTH: Freeze = Freeze { rollback: true, commit: true };

fn back(to: Option<&str>) -> Request {
    Request::Rollback { to: to.map(Into::into), accept: Accepted::default() }
}

/// A steady app with a new release `d3` that no rule has anything against.
fn with_good_release(policy: Policy) -> World {
    let mut world = World::steady(policy);
    world.release();
    world.run(minutes(3));
    assert_eq!(world.state.word(), "watching", "{}", world.transcript());
    world
}

fn says(world: &mut World, request: Request) {
    world.operator.by = Some("ada".into());
    world.ask(request);
}

/// Says so, and gives how the incident ends that it is about.
fn ends(world: &mut World, request: Request) -> (Outcome, Reason) {
    let before = world.closed.len();
    says(world, request);
    match world.closed.get(before) {
        Some(closed) => (closed.outcome, closed.reason),
        None => world.run_to_close(),
    }
}

fn misfit(world: &World, request: &Request) -> Option<Misfit> {
    fits(&world.policy, &world.state, &world.app, world.operator.paused, request).err()
}

#[test]
fn a_person_s_rollback_takes_the_same_way_without_a_rule() {
    let mut world = with_good_release(policy());
    says(&mut world, back(None));
    let incident = world.state.incident().expect("an incident").clone();
    assert_eq!((&incident.rule, incident.accused.id.as_str()), (&None, "d3"));
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    let words: Vec<&str> = world.effects.iter().map(|(_, effect)| effect.word()).collect();
    assert_eq!(words, ["validate", "create_rollback", "commit"]);
    assert_eq!(world.closed[0].incident.stage.target().map(|id| id.as_str()), Some("d2"));
    assert_eq!(world.state.word(), "steady", "the watch it came from is over");
    assert!(
        world.transcript().contains("ada asked for a rollback from deployment d3"),
        "{}",
        world.transcript()
    );
    let is_condemned = |world: &World| world.state.ledger.condemned.iter().any(|(id, _)| id.as_str() == "d3");
    assert!(is_condemned(&world), "a person does not want it back");
}

#[test]
fn a_person_names_the_target_or_is_told_why_it_is_none() {
    let mut world = with_good_release(policy());
    assert_eq!(
        ends(&mut world, back(Some("d1"))),
        (Outcome::Committed, Reason::SoakHealthy),
        "{}",
        world.transcript()
    );
    assert_eq!(world.closed[0].incident.stage.target().map(|id| id.as_str()), Some("d1"));
    let said = world.transcript();
    assert!(said.contains("the deployment to go back to is d1: named by ada; rearguard "), "{said}");

    let mut world = with_good_release(policy());
    world.records = true;
    assert_eq!(
        ends(&mut world, back(Some("d9"))),
        (Outcome::Refused, Reason::NoTarget),
        "{}",
        world.transcript()
    );
    let said = world.transcript();
    assert!(said.contains("not going back to d9: the app has no such deployment among those"), "{said}");
    assert!(said.contains("(unknown_deployment)"), "{said}");
    // Nothing came of it, so the watch goes on, and what then turns out bad is rolled back.
    assert_eq!(world.state.word(), "watching", "{}", world.transcript());
    world.bad.insert("d3".into());
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(world.closed[1].incident.rule, Some("down".into()));
    assert_ne!(world.closed[0].incident.id, world.closed[1].incident.id);
    // Only the first end has a code that says more than its reason.
    let changes = world.recorded.iter().filter_map(|(.., decision)| decision.change.as_deref());
    let details: Vec<_> =
        changes.filter(|change| change.closed.is_some()).map(Change::closing_detail).collect();
    assert_eq!(details, [Some("unknown_deployment".to_owned()), None]);
}

#[test]
fn a_target_that_was_rolled_back_from_is_named_as_such() {
    let mut world = World::with_bad_release(policy());
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run(minutes(3));
    says(&mut world, back(Some("d3")));
    world.run(secs(20));
    let said = world.transcript();
    let named = "is d3: named by ada; what it runs was found to be bad, or was rolled back from before";
    assert!(said.contains(named), "{said}");
}

#[test]
fn an_order_that_does_not_fit_does_nothing_and_says_why() {
    let observed = Policy { mode: Mode::Observe, ..policy() };
    let mut world = with_good_release(observed);
    assert_eq!(misfit(&world, &back(None)), Some(Misfit::Observed));
    says(&mut world, back(None));
    assert_eq!((world.state.word(), world.effects.len()), ("watching", 0));

    let mut world = with_good_release(policy());
    world.operator.paused = true;
    assert_eq!(misfit(&world, &back(None)), Some(Misfit::Paused));
    says(&mut world, back(None));
    assert_eq!((world.state.word(), world.effects.len()), ("watching", 0));
    world.operator.paused = false;
    assert_eq!(misfit(&world, &back(Some("d3"))), Some(Misfit::IsLive("d3".into())));
    for request in [Request::Commit, Request::Revert] {
        assert_eq!(misfit(&world, &request), Some(Misfit::NothingToSettle));
        says(&mut world, request);
        assert_eq!((world.state.word(), world.effects.len()), ("watching", 0));
    }
    world.platform.rollback(super::platform::Who::Person, &"d1".into(), world.at, world.at);
    world.run(secs(20));
    let pin = world.platform.pinned.clone().expect("a pin");
    assert_eq!(misfit(&world, &back(None)), Some(Misfit::Pinned(pin)));

    let mut world = World::with_bad_release(policy());
    world.run_to_stage("rolling_back");
    let id = world.state.incident().expect("an incident").id.clone();
    for request in [back(None), Request::Commit, Request::Revert] {
        assert_eq!(misfit(&world, &request), Some(Misfit::Open { id: id.clone(), stage: "rolling_back" }));
    }
}

#[test]
fn what_a_person_left_is_no_target_although_another_release_was_live_before_the_rollback_was_found() {
    let mut world = World::steady(policy());
    world.reply("create_rollback", Reply::Lost { applied_after: Some(secs(0)) });
    says(&mut world, back(None));
    world.run_to_stage("rolling_back");
    let at = world.at;
    assert!(world.platform.commit(super::platform::Who::Person, at), "{}", world.transcript());
    world.release();
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::Superseded), "{}", world.transcript());
    let left = world.closed[0].incident.accused.id.clone();
    says(&mut world, back(None));
    world.run(minutes(3));
    let target = |world: &World| world.state.incident().and_then(|open| open.stage.target().cloned());
    assert_ne!(target(&world), Some(left), "{}", world.transcript());
}

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
fn an_order_is_about_what_is_live_by_the_read_that_comes_with_it() {
    let mut world = with_good_release(policy());
    let restart = world.platform.make(Cause::Restart, Some(&"d3".into()), world.at);
    world.platform.finish(&restart, Phase::Active, world.at);
    world.run(secs(10));
    let Situation::Watching(watch) = world.state.situation.clone() else { panic!("{}", world.transcript()) };
    let ordered = |world: &World| world.state.incident().expect("an incident").clone();
    let mut same = world.clone();
    says(&mut same, back(None));
    let incident = ordered(&same);
    assert_eq!((&incident.live, &incident.former), (&watch.live, &watch.former));
    assert_eq!((incident.begun, incident.former.len()), (1, 1));
    // Another one has gone live since.
    let next = world.release();
    let at = world.at;
    world.app = Reading::known(at, world.platform.view(at));
    says(&mut world, back(None));
    let incident = ordered(&world);
    assert_eq!((&incident.accused.id, &incident.live.id, incident.live.since), (&next, &next, at));
    assert_eq!((incident.begun, incident.former.len()), (0, 0));
}

#[test]
fn an_order_has_its_time_to_find_what_there_is_to_go_back_to() {
    let mut world = with_good_release(policy());
    (world.is_listless, world.history) = (true, Reading::never());
    says(&mut world, back(None));
    world.run(secs(30));
    assert_eq!((world.stage(), world.waiting), ("validating", Some(Reason::Blind)), "{}", world.transcript());
    world.is_listless = false;
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
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

#[test]
fn a_person_is_told_of_migrations_and_may_accept_them() {
    let mut world = with_good_release(policy());
    world.platform.deployments[2].artifact.migrations = "job".into();
    world.run(secs(20));
    assert_eq!(ends(&mut world, back(None)), (Outcome::Refused, Reason::Migration), "{}", world.transcript());
    assert_eq!(world.state.word(), "watching");
    let accept = Accepted { warnings: false, migrations: true };
    assert_eq!(
        ends(&mut world, Request::Rollback { to: None, accept }),
        (Outcome::Committed, Reason::SoakHealthy),
        "{}",
        world.transcript()
    );
}

#[test]
fn a_person_is_not_kept_by_limits_and_counts_for_them() {
    let mut policy = policy();
    policy.limits.max_rollbacks = 1;
    let mut world = with_good_release(policy);
    assert_eq!(
        ends(&mut world, back(None)),
        (Outcome::Committed, Reason::SoakHealthy),
        "{}",
        world.transcript()
    );
    world.release_bad();
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Cooldown), "{}", world.transcript());
    assert_eq!(
        ends(&mut world, back(None)),
        (Outcome::Committed, Reason::SoakHealthy),
        "{}",
        world.transcript()
    );
}

#[test]
fn a_freeze_window_refuses_what_nobody_ordered() {
    let mut world = World::with_bad_release(policy());
    world.operator.freeze = Freeze { rollback: true, commit: false };
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Freeze), "{}", world.transcript());
    assert!(world.effects.is_empty());
    // One that opens meanwhile does so as well, also right before the call.
    let mut world = World::with_bad_release(policy());
    world.reply("validate", Reply::Not(Rejection::RateLimited, None));
    world.run_to_stage("validating");
    world.operator.freeze = Freeze { rollback: true, commit: false };
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Freeze), "{}", world.transcript());
    assert_eq!(world.count("create_rollback"), 0);
    let mut world = World::with_bad_release(policy());
    world.reply("create_rollback", Reply::Guarded(Guard::Frozen));
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Freeze), "{}", world.transcript());
    // A person who is asked anyway, or who orders it, is not kept from it.
    let mut world = World::with_bad_release(Policy { mode: Mode::Approve, ..policy() });
    world.operator.freeze = BOTH;
    world.run_to_stage("awaiting_approval");
    says(&mut world, Request::Approve);
    world.run_to_stage("soaking");
    let mut world = with_good_release(policy());
    world.operator.freeze = BOTH;
    says(&mut world, back(None));
    world.run_to_stage("soaking");
}

#[test]
fn the_end_of_a_soak_waits_for_the_end_of_its_freeze_window_or_a_person() {
    let frozen = |freeze, bad: bool| {
        let mut world = World::with_bad_release(policy());
        world.run_to_stage("soaking");
        world.operator.freeze = freeze;
        if bad {
            world.bad.insert(world.platform.active.clone());
        }
        world.run(minutes(40));
        world
    };
    let commit = Freeze { rollback: false, commit: true };
    let rollback = Freeze { rollback: true, commit: false };
    for (freeze, bad, request, end) in [
        (commit, false, Request::Commit, (Outcome::Committed, Reason::SoakHealthy)),
        (rollback, true, Request::Revert, (Outcome::Reverted, Reason::SoakUnhealthy)),
    ] {
        let mut world = frozen(freeze, bad);
        assert_eq!(
            (world.stage(), world.waiting),
            ("soaking", Some(Reason::Freeze)),
            "{}",
            world.transcript()
        );
        world.operator.freeze = Freeze::default();
        assert_eq!(world.run_to_close(), end, "{}", world.transcript());
        let mut world = frozen(freeze, bad);
        assert_eq!(ends(&mut world, request), (end.0, Reason::Requested), "{}", world.transcript());
    }
    // Each kind keeps from its own only.
    let mut world = frozen(rollback, false);
    assert_eq!(world.closed[0].outcome, Outcome::Committed, "{}", world.transcript());
    world = frozen(commit, true);
    assert_eq!(world.closed[0].outcome, Outcome::Reverted, "{}", world.transcript());
}

#[test]
fn a_question_is_no_question_any_more_once_mode_enforce_is_in_force() {
    let mut world = World::with_bad_release(Policy { mode: Mode::Approve, ..policy() });
    world.run_to_stage("awaiting_approval");
    world.policy.mode = Mode::Enforce;
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}

#[test]
fn whoever_approves_or_rejects_stands_in_the_story() {
    for (request, line) in [
        (Request::Approve, "ada approved the rollback to d2"),
        (Request::Reject, "ada said no to the rollback to d2"),
    ] {
        let mut world = World::with_bad_release(Policy { mode: Mode::Approve, ..policy() });
        world.run_to_stage("awaiting_approval");
        says(&mut world, request);
        assert!(world.transcript().contains(line), "{}", world.transcript());
    }
}
