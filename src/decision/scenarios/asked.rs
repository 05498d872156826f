//! A rollback that a person orders and no rule asks for: to what, whether it fits, and what it is not kept by.

use super::world::{Reply, World, minutes, policy, secs};
use crate::decision::Change;
use crate::decision::effect::Reason;
use crate::decision::incident::{Misfit, fits};
use crate::decision::observation::{Accepted, Cause, Freeze, Phase, Reading, Request};
use crate::decision::policy::{Mode, Policy};
use crate::decision::state::{Outcome, Situation};

pub(super) const BOTH: Freeze = Freeze { rollback: true, commit: true };

pub(super) fn back(to: Option<&str>) -> Request {
    Request::Rollback { to: to.map(Into::into), accept: Accepted::default() }
}

/// A steady app with a new release `d3` that no rule has anything against.
pub(super) fn with_good_release(policy: Policy) -> World {
    let mut world = World::steady(policy);
    world.release();
    world.run(minutes(3));
    assert_eq!(world.state.word(), "watching", "{}", world.transcript());
    world
}

pub(super) fn says(world: &mut World, request: Request) {
    world.operator.by = Some("ada".into());
    world.ask(request);
}

/// Says so, and gives how the incident ends that it is about.
pub(super) fn ends(world: &mut World, request: Request) -> (Outcome, Reason) {
    let before = world.closed.len();
    says(world, request);
    match world.closed.get(before) {
        Some(closed) => (closed.outcome, closed.reason),
        None => world.run_to_close(),
    }
}

pub(super) fn misfit(world: &World, request: &Request) -> Option<Misfit> {
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
