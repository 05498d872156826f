//! When one deployment took over from another, and what was bad before that.

use super::*;
use crate::decision::made::deployment;
use crate::decision::observation::{Artifact, Operator};
use crate::decision::sample::{Failure, Sample, SampleResult, Window};
use crate::decision::scenarios::policy;
use crate::decision::state::Requests;
use crate::ids::IncidentId;

const NOW: Moment = Moment::from_millis(100_000_000);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn aged(age: Option<Duration>) -> Reading<AppView> {
    let active_age_ms = age.map(|age| age.as_millis() as u64);
    Reading::known(NOW, AppView { active_age_ms, ..AppView::default() })
}

#[test]
fn a_deployment_took_over_when_the_platform_says_or_after_the_last_read_of_the_one_before() {
    assert_eq!(replaced_at(&aged(Some(secs(60))), Some(NOW)), NOW - secs(60) - GO_LIVE_GRAIN);
    assert_eq!(replaced_at(&aged(None), Some(NOW - secs(9))), NOW - secs(9));
    assert_eq!(replaced_at(&aged(None), None), NOW);
    assert_eq!(replaced_at(&Reading::never(), Some(NOW)), Moment::from_millis(i64::MAX));
}

#[test]
fn a_time_at_which_a_read_has_shown_another_one_is_not_when_a_deployment_went_live() {
    let old = Live { id: "old".into(), created_ms: 1, since: NOW - secs(3_600) };
    let state = State { situation: Situation::Steady { live: old }, ledger: Ledger::default() };
    let since = |age: u64, other_was_live_at: Option<Moment>| {
        let view = AppView {
            active: Some(deployment("new")),
            active_age_ms: Some(age * 1_000),
            ..AppView::default()
        };
        let seen = Observation {
            at: NOW + secs(1),
            app: &Reading::known(NOW, view),
            other_was_live_at,
            history: &Reading::never(),
            windows: &[],
            answer: None,
            operator: &Operator::default(),
        };
        newly_live(&policy(), &state, &seen).and_then(|next| next.live().map(|live| live.since))
    };
    for (age, read, expected) in [
        (20, None, NOW - secs(20)),
        (20, Some(NOW - secs(25)), NOW - secs(20)),
        (20, Some(NOW - secs(20)), NOW - secs(20)),
        (20, Some(NOW - secs(19)), NOW + secs(1)),
        // Never before the one it replaced, and not at the moment of the read.
        (7_200, None, NOW - secs(3_600)),
        (0, None, NOW + secs(1)),
    ] {
        assert_eq!(since(age, read), Some(expected), "{age} {read:?}");
    }
}

#[test]
fn what_failed_since_another_one_may_have_been_live_was_not_bad_before_it() {
    let failing_since = |ago: Duration| {
        let mut window = Window::new(600);
        let times = (0..).map(|n| NOW - secs(120) + secs(2) * n).take_while(|at| *at <= NOW);
        for at in times {
            let is_bad = at >= NOW - ago;
            let result = if is_bad { SampleResult::Bad(Failure::Connect) } else { SampleResult::Good };
            window.push(Sample { at, micros: 1_000, result });
        }
        vec![window]
    };
    let old = Live { id: "old".into(), created_ms: 0, since: NOW - secs(3_600) };
    let bad = |windows: &[Window], age, other_was_live_at| {
        let seen = Observation {
            at: NOW,
            app: &aged(age),
            other_was_live_at,
            history: &Reading::never(),
            windows,
            answer: None,
            operator: &Operator::default(),
        };
        !bad_before(&policy(), &old, NOW - secs(20), &seen).is_empty()
    };
    for (ago, age, read, is_bad) in [
        // The platform says that it has been live for twenty seconds.
        (60, Some(secs(20)), None, true),
        (25, Some(secs(20)), None, false),
        // It does not say, and the last read that showed the one before is that old.
        (60, None, Some(NOW - secs(40)), true),
        (60, None, Some(NOW - secs(70)), false),
        (60, None, None, false),
    ] {
        assert_eq!(bad(&failing_since(secs(ago)), age, read), is_bad, "{ago} {age:?} {read:?}");
    }
}

#[test]
fn what_a_person_ordered_to_be_left_is_left_where_what_came_of_it_is_pinned_or_its_pin_was_settled() {
    let made = Deployment { cloned_from: Some("good".into()), ..deployment("new") };
    let is_left = |pinned: Option<&str>, settled: &str| {
        let left = Some(("bad".into(), Artifact::default()));
        let requests = Requests { targets: vec![deployment("good")], left, ..Requests::default() };
        let mut ledger = Ledger {
            lost: vec![(NOW, IncidentId::of(&"shop".into(), &"bad".into()), requests)],
            settled: vec![(settled.into(), NOW)],
            ..Ledger::default()
        };
        let (active, pinned) = (Some(made.clone()), pinned.map(Into::into));
        let seen = Observation {
            at: NOW,
            app: &Reading::known(NOW, AppView { active, pinned, ..AppView::default() }),
            other_was_live_at: None,
            history: &Reading::never(),
            windows: &[],
            answer: None,
            operator: &Operator::default(),
        };
        leave_what_was_ordered(&mut ledger, &seen);
        !ledger.condemned.is_empty()
    };
    assert!(is_left(Some("new"), "other") && is_left(None, "new"));
    assert!(!is_left(None, "other") && !is_left(Some("other"), "other"));
}
