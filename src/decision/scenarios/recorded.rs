//! What somebody recorded of the live release before we began to look: what is asked for, and what it is good for.

use std::time::Duration;

use super::world::{World, minutes, policy, rule, secs};
use crate::clock::Moment;
use crate::decision::effect::Reason;
use crate::decision::measuring::{Measuring, Missing, Now};
use crate::decision::observation::ReadFault;
use crate::decision::policy::{Condition, Policy, Regression, Signal};
use crate::decision::sample::{Failure, Sample, SampleResult};
use crate::decision::state::Outcome;
use crate::detection::counters::Step;

/// What every clock may be off.
const DOUBT: Duration = Duration::from_secs(8);

fn erring() -> Policy {
    let mut policy = policy();
    let regression = Regression {
        of: Signal::Shares,
        probability: 0.001,
        worse_by: 0.01,
        glitch: secs(5),
        min_failures: 3,
    };
    policy.rules = vec![rule("erring", Condition::Regression(regression))];
    policy.probes[0].settle = secs(60);
    policy
}

/// An app that was live for two hours when we came, and that we have just found to be good.
fn met(policy: Policy) -> World {
    let mut world = World::new(policy);
    world.errs.insert(world.platform.active.clone(), 0.0);
    world.run_until(|world| world.state.word() == "steady");
    world
}

fn missing(world: &World) -> Option<Missing> {
    let platform_ms = Some((world.at + secs(3_600)).as_millis());
    let now = Now { at: world.at, platform_ms };
    world.measuring.missing(&world.policy, &world.state, &world.app, now, 0)
}

/// One every five seconds of that time.
fn recorded(from: Moment, to: Moment, result: impl Fn(Moment) -> SampleResult) -> Vec<Sample> {
    let times = (0..).map(|n| from + secs(5) * n).take_while(|at| *at <= to);
    times.map(|at| Sample { at, micros: 0, result: result(at) }).collect()
}

fn without_errors(_: Moment) -> SampleResult {
    SampleResult::Share(Step::of(0.0))
}

fn fill(world: &mut World, missing: &Missing, samples: &[Sample]) -> usize {
    world.measuring.fill(&world.policy, &world.state, missing, (0, samples))
}

/// How many rounds are known of the release, and what they amount to in rounds that failed whole.
fn known(world: &World) -> (u64, f64) {
    let known = world.measuring.known(&world.policy);
    let baseline = known.into_values().next().expect("the rule has a probe that was asked").baseline;
    (baseline.rounds(), baseline.failed())
}

#[test]
fn what_was_recorded_before_finds_a_release_that_would_not_have_been_found() {
    let mut ignorant = met(erring());
    let mut world = ignorant.clone();
    let missing = missing(&world).expect("two hours are missing");
    let samples = recorded(missing.from, missing.to, without_errors);
    let before = samples.iter().filter(|sample| sample.at < world.start).count();
    assert!(before.abs_diff(fill(&mut world, &missing, &samples)) <= 1, "what is known begins there");
    for world in [&mut world, &mut ignorant] {
        let bad = world.release();
        world.errs.insert(bad, 0.15);
    }
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    ignorant.run(minutes(60));
    assert!(ignorant.closed.is_empty(), "{}", ignorant.transcript());
}

#[test]
fn what_is_asked_for_is_the_release_s_own_time_and_no_more_than_a_day() {
    let world = met(erring());
    let live_since = world.start - secs(2 * 3_600);
    let read_at = world.app.read_at().expect("it was read");
    let expected = Missing {
        of: world.platform.active.clone(),
        from: live_since + secs(60) + DOUBT,
        to: read_at - DOUBT,
    };
    assert_eq!(missing(&world), Some(expected));
    let mut old = world.clone();
    let view = &mut old.app.last.as_mut().expect("it was read").1;
    view.active_age_ms = Some(10 * 24 * 3_600_000);
    let active = view.active.as_mut().expect("one is live");
    active.created_ms = 1;
    let unclear = Now { at: old.at, platform_ms: None };
    assert_eq!(old.measuring.missing(&old.policy, &old.state, &old.app, unclear, 0), None, "who knows");
    // Nobody knows of it whether it can have been live for as long as it is said to be.
    let mut undated = old.clone();
    undated.app.last.as_mut().expect("it was read").1.active.as_mut().expect("one is live").created_ms = 0;
    assert_eq!(missing(&undated), None);
    let a_day = missing(&old).expect("days");
    assert_eq!((a_day.from, a_day.to), (read_at - DOUBT - secs(24 * 3_600), read_at - DOUBT));

    // A platform that does not say since when it is live: since we know it, which is known.
    let mut silent = met(erring());
    silent.platform.says_age = false;
    silent.run(minutes(5));
    assert_eq!(missing(&silent), None);
    silent.measuring = Measuring::default();
    let since = silent.state.live().expect("one is live").since;
    assert_eq!(missing(&silent).map(|missing| missing.from), Some(since + secs(60) + DOUBT));
}

#[test]
fn what_is_asked_for_is_more_than_a_few_rounds_of_which_most_are_not_known() {
    // Nothing is known of it, and it is live for so long after it has settled, as far as clocks can be relied on.
    let live_for = |time: Duration| {
        let mut world = met(erring());
        world.measuring = Measuring::default();
        let age = time + secs(60) + 2 * DOUBT;
        world.app.last.as_mut().expect("it was read").1.active_age_ms =
            Some(u64::try_from(age.as_millis()).expect("a short time"));
        world
    };
    let (short, least) = (secs(100) - Duration::from_millis(1), secs(100));
    assert_eq!((missing(&live_for(short)), missing(&live_for(least)).is_some()), (None, true));
    let known = |rounds: u32| {
        let mut world = live_for(secs(500));
        let missing_before = missing(&world).expect("minutes");
        let samples =
            recorded(missing_before.from, missing_before.from + secs(5) * (rounds - 1), without_errors);
        assert_eq!(fill(&mut world, &missing_before, &samples), rounds as usize);
        missing(&world).is_some()
    };
    assert_eq!((known(89), known(90)), (true, false));
}

#[test]
fn a_release_that_was_live_before_it_was_made_is_another_one_by_more_than_dates_may_differ() {
    let world = met(erring());
    let (read_at, view) = world.app.last.as_ref().expect("it was read");
    let created_ms = view.active.as_ref().expect("one is live").created_ms;
    let age = i64::try_from(view.active_age_ms.expect("it says so")).expect("hours");
    let ago = world.at.as_millis() - read_at.as_millis() + age;
    let is_asked = |before_ms: i64| {
        let now = Now { at: world.at, platform_ms: Some(created_ms + ago - before_ms) };
        world.measuring.missing(&world.policy, &world.state, &world.app, now, 0).is_some()
    };
    assert_eq!((is_asked(3_000), is_asked(3_001)), (true, false));
}

#[test]
fn what_is_scraped_a_little_too_soon_counts() {
    let mut world = met(erring());
    world.measuring = Measuring::default();
    let missing = missing(&world).expect("two hours");
    let times = (0..100).map(|n| missing.from + Duration::from_millis(4_500) * n);
    let samples: Vec<Sample> = times.map(|at| Sample { at, micros: 0, result: without_errors(at) }).collect();
    assert_eq!(fill(&mut world, &missing, &samples), 100);
}

#[test]
fn what_was_recorded_of_another_release_is_not_taken() {
    let mut world = met(erring());
    let missing = missing(&world).expect("two hours");
    let samples = recorded(missing.from, missing.to, without_errors);
    let next = world.release();
    world.errs.insert(next, 0.0);
    world.run(minutes(40));
    assert_eq!((world.state.word(), fill(&mut world, &missing, &samples)), ("steady", 0));
}

#[test]
fn nothing_is_asked_for_where_it_could_be_another_release_s_or_is_known() {
    let quiet = met(erring());
    assert!(missing(&quiet).is_some());
    let mut plain = quiet.clone();
    plain.policy.rules = policy().rules;
    assert_eq!(missing(&plain), None, "no rule compares shares");
    let mut dark = quiet.clone();
    dark.fault = Some(ReadFault::Unreachable);
    dark.run(secs(10));
    assert_eq!(missing(&dark), None, "who knows what is live");
    let mut busy = quiet.clone();
    busy.platform.make(crate::decision::observation::Cause::Release, None, busy.at);
    busy.run(secs(10));
    assert_eq!(missing(&busy), None, "another one is on its way");
    let now = Now { at: quiet.at, platform_ms: Some(quiet.at.as_millis()) };
    let impossible = quiet.measuring.missing(&quiet.policy, &quiet.state, &quiet.app, now, 0);
    assert_eq!(impossible, None, "live before it was made");

    let mut watched = quiet.clone();
    let next = watched.release();
    watched.errs.insert(next, 0.0);
    watched.run(secs(20));
    assert_eq!((watched.state.word(), missing(&watched)), ("watching", None));
    watched.run(minutes(35));
    assert_eq!((watched.state.word(), missing(&watched)), ("steady", None), "it was measured all the time");
    // And what is wrong of its age does not make more of it.
    watched.app.last.as_mut().expect("it was read").1.active_age_ms = Some(20 * 3_600_000);
    assert_eq!(missing(&watched), None);
    let unclear = Now { at: watched.at, platform_ms: None };
    assert_eq!(watched.measuring.missing(&watched.policy, &watched.state, &watched.app, unclear, 0), None);

    let mut new = World::new(erring());
    new.run(secs(20));
    assert_eq!((new.state.word(), missing(&new)), ("learning", None));
}

#[test]
fn the_time_of_an_incident_is_never_asked_for() {
    let mut world = met(erring());
    let missing_before = missing(&world).expect("two hours");
    let samples = recorded(missing_before.from, missing_before.to, without_errors);
    fill(&mut world, &missing_before, &samples);
    let bad = world.release();
    world.errs.insert(bad, 0.9);
    world.run_until(|world| world.state.incident().is_some());
    assert_eq!(missing(&world), None);
    world.run_to_close();
    let over_at = world.at;
    world.run_until(|world| world.state.word() == "steady");
    world.run(minutes(5));
    // All that is known of it is lost.
    world.measuring = Measuring::default();
    let live_since = world.state.live().expect("one is live").since;
    assert!(over_at.since(live_since) > minutes(9), "the soak is the rollback's own time");
    assert_eq!(missing(&world).map(|missing| missing.from), Some(over_at + DOUBT));
    // Nor that of a hold.
    let mut world = World::with_bad_release(policy());
    world.policy.soak.on_healthy = crate::decision::policy::OnHealthy::Hold;
    world.run_until(|world| world.state.word() == "held");
    world.run(minutes(40));
    world.ask(crate::decision::observation::Request::Resume);
    assert_eq!((world.state.word(), world.state.ledger.quiet_since), ("steady", world.at));
}

#[test]
fn what_comes_too_late_is_not_taken() {
    let mut world = met(erring());
    let missing = missing(&world).expect("two hours");
    let samples = recorded(missing.from, missing.to, without_errors);
    let before = world.measuring.clone();
    world.release();
    // The next one is seen, and nothing is decided yet.
    let (state, policy) = (world.state.clone(), world.policy.clone());
    world.run(secs(8));
    assert_eq!(world.state.word(), "watching");
    assert_eq!(fill(&mut world, &missing, &samples), 0);
    let shown = crate::decision::measuring::Shown { app: &world.app, other_was_live_at: None };
    let mut seen = before;
    seen.weigh(&policy, &state, shown, &mut world.windows.clone());
    assert_eq!(seen.fill(&policy, &state, &missing, (0, &samples)), 0);
}

#[test]
fn what_is_known_stays_and_what_is_recorded_is_as_if_it_had_been_measured() {
    let mut world = met(erring());
    let mut missing = missing(&world).expect("two hours");
    let (own, _) = known(&world);
    // An hour of it, scraped every second, and half of what was asked for is of other times.
    let from = missing.to - minutes(60);
    missing.from = from;
    let every_second =
        (0..).map(|n| from - minutes(30) + secs(1) * n).take_while(|at| *at < missing.to + minutes(30));
    let one_in_ten =
        |at: Moment| SampleResult::Share(Step::of(if at.as_millis() % 40_000 < 5_000 { 1.0 } else { 0.0 }));
    let samples: Vec<Sample> =
        every_second.map(|at| Sample { at, micros: 0, result: one_in_ten(at) }).collect();
    let filled = fill(&mut world, &missing, &samples);
    // Known for the last minute and a half, and not thinned out.
    assert!((690..=720).contains(&filled), "{filled}");
    assert_eq!(fill(&mut world, &missing, &samples), 0, "it is all known by now");
    let (all, failed) = known(&world);
    assert!(failed > 80.0 && failed < 95.0, "{failed}");
    assert!(all > own + 400, "{all}: those in the wake of a failure do not count");
    world.run(minutes(5));
    assert!(known(&world).0 >= all + 140, "what is measured goes on");
}

#[test]
fn trouble_that_a_rule_would_have_called_bad_is_set_aside() {
    let failed = |rules_too: bool| {
        let mut policy = erring();
        if rules_too {
            policy.rules.push(rule("down", Condition::ConsecutiveFailures { count: 3 }));
        }
        let mut world = met(erring());
        world.policy = policy;
        let missing = missing(&world).expect("two hours");
        // Six times a minute of it, which is no glitch.
        let result = |at: Moment| match at.since(missing.from).as_secs() % 1_000 {
            0..60 => SampleResult::Bad(Failure::Share(Step::of(1.0))),
            _ => SampleResult::Share(Step::of(0.0)),
        };
        let samples = recorded(missing.from, missing.to, result);
        fill(&mut world, &missing, &samples);
        known(&world).1
    };
    assert!(failed(false) >= 5.0, "{}", failed(false));
    assert_eq!(failed(true), 0.0);
}
