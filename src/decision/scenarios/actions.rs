//! What a rule leads to: a notice, a question, or a rollback.

use std::time::Duration;

use super::world::{Reply, World, minutes, policy, rule, secs};
use crate::decision::effect::{Reason, Rejection};
use crate::decision::observation::Request;
use crate::decision::policy::{Action, Asked, Condition, Mode, Policy, ProbePolicy, Rule, Test};
use crate::decision::rule::{Pace, fewest_samples};
use crate::decision::sample::{Failure, Sample, SampleResult};
use crate::decision::state::{Ledger, Outcome, Situation};

fn in_a_row(name: &str, count: u32, action: Action) -> Rule {
    Rule { action, ..rule(name, Condition::ConsecutiveFailures { count }) }
}

/// Bad whatever is measured.
fn ever_bad(action: Action) -> Rule {
    let (above, over) = (Duration::ZERO, secs(60));
    let condition = Condition::Latency { quantile: 0.5, above, over, min_samples: 1 };
    Rule { action, ..rule("slow", condition) }
}

fn with(rules: Vec<Rule>) -> Policy {
    Policy { rules, ..policy() }
}

fn told(world: &World) -> Vec<&str> {
    world.state.ledger.notices.iter().map(|notice| notice.rule.as_str()).collect()
}

#[test]
fn a_rule_that_only_tells_does_so_once_a_release_and_the_watch_goes_on() {
    let mut world =
        World::steady(with(vec![ever_bad(Action::Notify), in_a_row("down", 3, Action::Rollback)]));
    assert!(told(&world).is_empty(), "there was nothing under watch");
    let release = world.release();
    world.run(minutes(31));
    assert_eq!((world.state.word(), told(&world)), ("steady", vec!["slow"]), "{}", world.transcript());
    assert_eq!(world.state.ledger.notices[0].deployment, release);
    assert!(world.transcript().contains("is bad on deployment d3: p50 is 1ms"), "{}", world.transcript());
    assert_eq!(world.platform.our_writes(), 0);
    assert!(world.state.ledger.good.iter().any(|good| good.id == release), "it speaks against nobody");
    world.release();
    world.run(minutes(1));
    assert_eq!(told(&world), ["slow", "slow"], "another release is told of anew");
}

#[test]
fn a_rule_that_only_tells_leaves_the_release_to_the_rules_that_act() {
    let rules = vec![in_a_row("early", 2, Action::Notify), in_a_row("down", 3, Action::Rollback)];
    let mut world = World::with_bad_release(with(rules));
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(told(&world), ["early"]);
}

#[test]
fn a_rule_that_only_tells_is_not_heard_in_a_soak() {
    let rules = vec![in_a_row("down", 3, Action::Rollback), ever_bad(Action::Notify)];
    let mut world = World::with_bad_release(with(rules));
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    // Where it acts, it is.
    let mut world = World::with_bad_release(with(vec![in_a_row("down", 3, Action::Rollback)]));
    world.run_to_stage("soaking");
    world.policy.rules.push(ever_bad(Action::Rollback));
    assert_eq!(world.run_to_close().0, Outcome::Reverted, "{}", world.transcript());
}

#[test]
fn a_rule_asks_where_it_says_so_and_where_the_app_does() {
    let asked = [
        (Mode::Enforce, Action::Approve, true),
        (Mode::Approve, Action::Rollback, true),
        (Mode::Approve, Action::Approve, true),
        (Mode::Enforce, Action::Rollback, false),
    ];
    for (mode, action, is_asked) in asked {
        let rules = vec![in_a_row("down", 3, action)];
        let mut world = World::with_bad_release(Policy { mode, ..with(rules) });
        if is_asked {
            world.run_to_stage("awaiting_approval");
            world.run(minutes(1));
            assert_eq!((world.stage(), world.platform.our_writes()), ("awaiting_approval", 0));
            world.ask(Request::Approve);
        }
        assert_eq!(world.run_to_close().0, Outcome::Committed, "{mode:?} {action:?}");
    }
    let rules = vec![in_a_row("down", 3, Action::Rollback)];
    let mut world = World::with_bad_release(Policy { mode: Mode::Observe, ..with(rules) });
    assert_eq!(world.run_to_close().0, Outcome::Observed, "no rule goes further than its app");
}

#[test]
fn what_needs_no_asking_is_done_while_a_person_is_asked_for_less() {
    let rules = || vec![in_a_row("early", 2, Action::Approve), in_a_row("down", 8, Action::Rollback)];
    let mut world = World::with_bad_release(with(rules()));
    world.run_to_stage("awaiting_approval");
    assert_eq!(world.state.incident().and_then(|incident| incident.rule.clone()), Some("early".into()));
    // The platform may be asked for as long as ever.
    world.reply("validate", Reply::Not(Rejection::RateLimited, Some(secs(50))));
    world.run_to_stage("rolling_back");
    let incident = world.state.incident().expect("open");
    assert_eq!(
        (incident.rule.clone(), incident.approved),
        (Some("down".into()), false),
        "{}",
        world.transcript()
    );
    assert_eq!(world.run_to_close().0, Outcome::Committed);
    assert!(world.transcript().contains("rule down fired as well"), "{}", world.transcript());
    // Where the app itself asks, nothing is done unasked.
    let mut world = World::with_bad_release(Policy { mode: Mode::Approve, ..with(rules()) });
    world.run_to_stage("awaiting_approval");
    world.run(minutes(10));
    assert_eq!((world.stage(), world.platform.our_writes()), ("awaiting_approval", 0));
}

#[test]
fn the_rule_that_leads_furthest_accuses() {
    let rules = vec![in_a_row("ask", 3, Action::Approve), in_a_row("down", 3, Action::Rollback)];
    let mut world = World::with_bad_release(with(rules));
    assert_eq!(world.run_to_close().0, Outcome::Committed, "{}", world.transcript());
}

#[test]
fn a_rule_that_was_bad_before_does_not_speak_for_one_that_was_not() {
    let share = Condition::FailureRatio { above: 0.0, over: minutes(10), min_samples: 3 };
    let bad_before = |rules: Vec<Rule>| {
        let mut world = World::steady(with(rules));
        let failed = SampleResult::Bad(Failure::Connect);
        world.windows[0].push(Sample {
            at: world.at + Duration::from_millis(100),
            micros: 1,
            result: failed,
        });
        world.run(secs(20));
        world.release_bad();
        let ended = world.run_to_close();
        (ended, world.transcript())
    };
    let alone = vec![rule("flaky", share.clone())];
    let (ended, story) = bad_before(alone);
    assert_eq!(ended, (Outcome::Refused, Reason::BadBeforeDeployment), "{story}");
    let both = vec![rule("flaky", share), in_a_row("down", 3, Action::Rollback)];
    let (ended, story) = bad_before(both);
    assert_eq!(ended.0, Outcome::Committed, "{story}");
}

#[test]
fn what_was_bad_before_the_release_is_not_held_against_the_way_back() {
    let mut world = World::steady(with(vec![in_a_row("down", 3, Action::Rollback)]));
    world.policy.rules.push(ever_bad(Action::Approve));
    world.release_bad();
    world.run_to_stage("soaking");
    let incident = world.state.incident().expect("open");
    assert_eq!(
        (incident.rule.clone(), incident.bad_before.len()),
        (Some("down".into()), 1),
        "{}",
        world.transcript()
    );
    assert_eq!(world.run_to_close().0, Outcome::Committed, "{}", world.transcript());
}

#[test]
fn a_rule_that_asks_does_not_bring_a_bad_release_back() {
    let mut world = World::with_bad_release(with(vec![in_a_row("down", 3, Action::Rollback)]));
    world.run_to_stage("soaking");
    world.policy.rules.push(ever_bad(Action::Approve));
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakUnhealthy), "{}", world.transcript());
}

#[test]
fn a_rule_that_asks_and_was_bad_before_leaves_the_release_to_those_that_act() {
    let mut world = World::steady(with(vec![in_a_row("down", 3, Action::Rollback)]));
    world.policy.rules.push(ever_bad(Action::Approve));
    world.release();
    world.run(minutes(10));
    assert_eq!(world.state.word(), "watching", "{}", world.transcript());
    let live = world.platform.active.clone();
    world.bad.insert(live);
    assert_eq!(world.run_to_close().0, Outcome::Committed, "{}", world.transcript());
}

#[test]
fn rules_that_only_tell_say_of_no_release_that_it_is_good() {
    let mut world = World::steady(policy());
    world.policy.rules = vec![in_a_row("down", 3, Action::Notify)];
    let release = world.release_bad();
    world.run(minutes(90));
    assert_eq!((world.state.word(), told(&world)), ("learning", vec!["down"]), "{}", world.transcript());
    assert!(world.state.ledger.good.iter().all(|good| good.id != release));
}

#[test]
fn however_many_rules_tell_each_does_so_once() {
    let many = |n: usize| Rule { name: format!("r{n}").as_str().into(), ..ever_bad(Action::Notify) };
    let mut rules: Vec<Rule> = (0..40).map(many).collect();
    rules.push(in_a_row("down", 3, Action::Rollback));
    let mut world = World::steady(with(rules));
    world.release();
    world.run(minutes(10));
    let notices = told(&world);
    assert_eq!((notices.len(), notices[0]), (Ledger::KEEP, "r0"), "the first ones are still there");
    let Situation::Watching(watch) = &world.state.situation else { panic!("{}", world.transcript()) };
    assert_eq!(world.wake_at, Some(watch.until), "nothing else is left to be decided");
    assert_eq!(world.state.word(), "watching");
}

#[test]
fn a_probe_that_only_a_telling_rule_names_is_not_waited_for() {
    let mut policy = with(vec![in_a_row("down", 3, Action::Rollback)]);
    policy.probes.push(ProbePolicy { name: "other".into(), ..policy.probes[0].clone() });
    let fewest = |policy: &Policy| {
        let world = World::steady(with(vec![in_a_row("down", 3, Action::Rollback)]));
        fewest_samples(policy, &world.windows, (world.start, world.at), Pace::Watch)
    };
    assert_eq!(fewest(&policy), 0, "one that no rule names is");
    let test = Test { probe: 1, condition: Condition::ConsecutiveFailures { count: 1 } };
    policy.rules.push(Rule { tests: vec![test], ..in_a_row("told", 1, Action::Notify) });
    assert!(fewest(&policy) > 0);
    policy.rules[1].action = Action::Approve;
    assert_eq!(fewest(&policy), 0);
}

#[test]
fn what_is_not_asked_at_rest_keeps_no_app_from_being_known_and_makes_none_known() {
    let mut policy = with(vec![in_a_row("down", 3, Action::Rollback)]);
    let figure =
        ProbePolicy { name: "figure".into(), asked: Asked::WhileJudging, ..policy.probes[0].clone() };
    policy.probes.push(figure);
    let test = Test { probe: 1, condition: Condition::ConsecutiveFailures { count: 2 } };
    policy.rules.push(Rule { tests: vec![test], ..in_a_row("measured", 2, Action::Rollback) });
    let becomes = |policy: &Policy, bad: bool| {
        let mut world = World::new(policy.clone());
        world.windows.truncate(1);
        world.outage = bad;
        world.run(minutes(10));
        world.state.word()
    };
    assert_eq!((becomes(&policy, false), becomes(&policy, true)), ("steady", "learning"));
    let alone = Policy { rules: policy.rules[1..].to_vec(), ..policy.clone() };
    assert_eq!(becomes(&alone, false), "learning", "nothing was measured");
    policy.probes[1].asked = Asked::Always;
    assert_eq!(becomes(&policy, false), "learning", "what is asked at rest is waited for");
}
