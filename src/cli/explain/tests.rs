use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::clock::Moment;
use crate::decision::capability::PinKind;
use crate::decision::effect::{Answer, Effect, Validation};
use crate::decision::rule::{Reading, Verdict};

const BAD: &str = "b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d";
const GOOD: &str = "a1c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d";
const ROLLBACK: &str = "c3c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d";

fn opened() -> Timestamp {
    "2026-11-21T02:13:07Z".parse().unwrap()
}

fn entry(after_ms: i64, event: &Event) -> TimelineEntry {
    TimelineEntry {
        at: opened() + SignedDuration::from_millis(after_ms),
        event: event.word().to_owned(),
        text: event.text(),
        facts: serde_json::to_value(event).unwrap(),
    }
}

fn fired() -> Event {
    let reading = Reading {
        verdict: Verdict::Bad,
        value: Some(3.0),
        threshold: 3.0,
        samples: 3,
        first_failure_at: Some(Moment::from_millis(0)),
        parts: Vec::new(),
        compared: None,
    };
    Event::Fired {
        rule: "down".into(),
        condition: "bad at 3 failures in a row".to_owned(),
        evidence: "3 failures in a row, limit 3".to_owned(),
        reading,
        accused: BAD.into(),
        title: "commit 9a4df0b pushed to shop/checkout".to_owned(),
    }
}

fn target() -> Event {
    let title = "commit 11c2a7e pushed to shop/checkout".to_owned();
    Event::Target { target: GOOD.into(), title, seen_good: true }
}

fn record(outcome: Option<Outcome>, reason: Reason) -> IncidentRecord {
    IncidentRecord {
        id: "checkout-1a2b3c4d".into(),
        app: "checkout".into(),
        app_id: "4f6c71e2".into(),
        state: outcome.map_or("awaiting_approval", |_| "closed").to_owned(),
        outcome,
        reason,
        rule: Some("down".into()),
        asked_by: None,
        opened_at: opened(),
        closed_at: outcome.map(|_| opened() + SignedDuration::from_secs(692)),
        bad_deployment: BAD.into(),
        target_deployment: Some(GOOD.into()),
        rollback_deployment: None,
        time_to_detect_seconds: Some(6.2),
        time_to_restore_seconds: None,
    }
}

fn show(record: IncidentRecord, timeline: Vec<TimelineEntry>) -> String {
    render(&IncidentDetail { record, timeline }, Page::plain(100), opened() + SignedDuration::from_secs(122))
}

#[test]
fn a_rollback_that_was_kept_is_told_from_the_first_failure_to_the_commit() {
    let validate = Effect::Validate { accused: BAD.into(), target: GOOD.into() };
    let create = Effect::CreateRollback { accused: BAD.into(), target: GOOD.into(), code: Vec::new() };
    let commit = Effect::Commit { rollback: ROLLBACK.into() };
    let valid = Answer::Validated(Validation { valid: true, ..Validation::default() });
    let mut created = entry(
        2_310,
        &Event::Adopted { call: "create_rollback".to_owned(), deployment: Some(ROLLBACK.into()) },
    );
    created.facts["calls"] = json!([
        { "operation": "get_app", "status": 200, "request_id": "0c11-4e" },
        { "operation": "create_rollback", "status": 504, "request_id": "5f2a9c0e-88aa" },
    ]);
    let timeline = vec![
        entry(0, &fired()),
        entry(0, &target()),
        entry(12, &Event::Call { call: validate, attempt: 1, pin: PinKind::Hard }),
        entry(640, &Event::Answered { call: "validate".to_owned(), answer: valid }),
        entry(655, &Event::Call { call: create, attempt: 1, pin: PinKind::Hard }),
        entry(1_300, &Event::Answered { call: "create_rollback".to_owned(), answer: Answer::Unresolved }),
        created,
        entry(68_400, &Event::SoakBegan { rollback: ROLLBACK.into(), seconds: 600, min_samples: 30 }),
        entry(68_900, &Event::Restored { after_seconds: 75.1 }),
        entry(690_100, &Event::SoakJudged { reason: Reason::SoakHealthy, samples: 297 }),
        entry(690_120, &Event::Call { call: commit, attempt: 1, pin: PinKind::Hard }),
        entry(691_900, &Event::Answered { call: "commit".to_owned(), answer: Answer::Committed }),
        entry(692_000, &Event::Closed { outcome: Outcome::Committed, reason: Reason::SoakHealthy }),
    ];
    let mut record = record(Some(Outcome::Committed), Reason::SoakHealthy);
    record.rollback_deployment = Some(ROLLBACK.into());
    record.time_to_restore_seconds = Some(75.1);
    insta::assert_snapshot!(show(record, timeline), @r#"
    COMMITTED  checkout-1a2b3c4d
    checkout went bad on deployment b2c53f0e (commit 9a4df0b pushed to shop/checkout) by rule down, was
    rolled back to a1c53f0e (commit 11c2a7e pushed to shop/checkout), and the rollback was kept: the
    rolled-back app stayed healthy.
    Detected 6.2s after its first failing sample, healthy again after 1m 15s, closed after 11m 32s.

    Facts
      rule       down: 3 failures in a row, limit 3 (bad at 3 failures in a row)
      accused    b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d: commit 9a4df0b pushed to shop/checkout
      target     a1c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d: commit 11c2a7e pushed to shop/checkout (rearguard
                 saw it to be good)
      rollback   c3c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d
      reason     soak_healthy: the rolled-back app stayed healthy
      opened     2026-11-21 02:13:07 UTC
      closed     2026-11-21 02:24:39 UTC

    Timeline
          +0.0s fired           rule down fired on deployment b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d
                                (commit 9a4df0b pushed to shop/checkout): 3 failures in a row, limit 3
          +0.0s target          the deployment to go back to is a1c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d
                                (commit 11c2a7e pushed to shop/checkout): the newest that rearguard saw
                                to be good
          +0.0s call            finding out whether the platform would accept a rollback to
                                a1c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d
          +0.6s answered        validate: the platform would accept it, no warnings
          +0.7s call            rolling back from b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d to
                                a1c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d; new deployments are blocked
                                meanwhile
          +1.3s answered        create_rollback: no conclusive answer; reading the platform before
                                anything else
          +2.3s adopted         create_rollback was applied after all: the platform shows deployment
                                c3c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d [status 504, request 5f2a9c0e-88aa]
         +68.4s soak_began      rollback deployment c3c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d is live; it is
                                watched for 10m and until each probe has 30 fresh samples (the soak)
         +68.9s restored        the app is healthy again, 75.1 s after its first failing sample
        +690.1s soak_judged     the soak is over: the rolled-back app stayed healthy; each probe has at
                                least 297 samples
        +690.1s call            committing rollback c3c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d, so that new
                                deployments are possible again
        +691.9s answered        commit: done, the app is not pinned any more
        +692.0s closed          closed as committed: the rolled-back app stayed healthy (soak_healthy)
    "#);
}

#[test]
fn a_refusal_says_what_was_tried_and_why_not() {
    let refused = Event::TargetRefused {
        target: GOOD.into(),
        reason: Reason::Migration,
        detail: "job migrate differs".to_owned(),
    };
    let timeline = vec![
        entry(0, &fired()),
        entry(0, &target()),
        entry(700, &refused),
        entry(700, &Event::Closed { outcome: Outcome::Refused, reason: Reason::NoTarget }),
    ];
    insta::assert_snapshot!(show(record(Some(Outcome::Refused), Reason::NoTarget), timeline), @r#"
    REFUSED  checkout-1a2b3c4d
    checkout went bad on deployment b2c53f0e (commit 9a4df0b pushed to shop/checkout) by rule down, and
    no rollback was made: there is no deployment to go back to.
    Detected 6.2s after its first failing sample, not seen healthy since, closed after 11m 32s.

    Facts
      rule       down: 3 failures in a row, limit 3 (bad at 3 failures in a row)
      accused    b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d: commit 9a4df0b pushed to shop/checkout
      target     a1c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d: commit 11c2a7e pushed to shop/checkout (rearguard
                 saw it to be good)
      reason     no_target: there is no deployment to go back to
      opened     2026-11-21 02:13:07 UTC
      closed     2026-11-21 02:24:39 UTC

    Refused
      a1c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d: a migration job differs between the two specs (migration:
      job migrate differs)
      the rollback: there is no deployment to go back to (no_target)

    Timeline
          +0.0s fired           rule down fired on deployment b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d
                                (commit 9a4df0b pushed to shop/checkout): 3 failures in a row, limit 3
          +0.0s target          the deployment to go back to is a1c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d
                                (commit 11c2a7e pushed to shop/checkout): the newest that rearguard saw
                                to be good
          +0.7s target_refused  not going back to a1c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d: a migration job
                                differs between the two specs (migration: job migrate differs)
          +0.7s closed          closed as refused: there is no deployment to go back to (no_target)
    "#);
}

#[test]
fn an_open_incident_says_what_it_waits_for_and_what_to_type() {
    let text = show(record(None, Reason::AwaitingApproval), vec![entry(0, &fired())]);
    insta::assert_snapshot!(text, @r#"
    AWAITING APPROVAL  checkout-1a2b3c4d
    checkout went bad on deployment b2c53f0e (commit 9a4df0b pushed to shop/checkout) by rule down; it
    is open: awaiting approval (a person is asked).
    Detected 6.2s after its first failing sample, not seen healthy since, open for 2m 02s.

    Facts
      rule       down: 3 failures in a row, limit 3 (bad at 3 failures in a row)
      accused    b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d: commit 9a4df0b pushed to shop/checkout
      target     a1c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d
      reason     awaiting_approval: a person is asked
      opened     2026-11-21 02:13:07 UTC
      next       rearguard approve checkout-1a2b3c4d, or rearguard reject checkout-1a2b3c4d

    Timeline
          +0.0s fired           rule down fired on deployment b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d
                                (commit 9a4df0b pushed to shop/checkout): 3 failures in a row, limit 3
    "#);
}

#[test]
fn an_event_of_a_newer_daemon_still_has_its_sentence() {
    let odd = TimelineEntry {
        at: opened(),
        event: "quarantined".to_owned(),
        text: "set aside\x1b[2J".to_owned(),
        facts: json!({ "event": "quarantined" }),
    };
    let text = show(record(None, Reason::RuleFired), vec![odd]);
    assert!(text.ends_with("+0.0s quarantined     set aside [2J\n"), "{text}");
}

#[test]
fn every_outcome_has_a_headline() {
    for outcome in Outcome::ALL {
        let text = headline(&record(Some(outcome), Reason::RollbackFailed), &Known::default());
        assert!(text.starts_with("checkout went bad on deployment ") && text.ends_with('.'), "{text}");
    }
}
