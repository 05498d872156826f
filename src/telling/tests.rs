//! Whole incidents, told in every form.

use jiff::SignedDuration;
use serde_json::json;

use super::made::{BAD, entry, opened, record};
use super::*;
use crate::clock::Moment;
use crate::decision::effect::Reason;
use crate::decision::rule::{Reading, Verdict};
use crate::decision::story::Event;
use crate::decision::{Records, Tale, told};

const TALES: [Tale; 6] =
    [Tale::Committed, Tale::Refused, Tale::WrongTarget, Tale::ApprovalExpired, Tale::Slower, Tale::Observed];

fn account(tale: Tale) -> Account {
    let (record, timeline, decisions) = told(tale);
    let told = Told::with_decisions(&record, &timeline, &decisions);
    Account::of(record, &timeline, told, opened())
}

fn without_decisions(record: IncidentRecord, timeline: &[TimelineEntry]) -> String {
    let told = Told::without_decisions(&record, timeline);
    let account = Account::of(record, timeline, told, opened() + SignedDuration::from_secs(122));
    text::text(&account, Page::plain(100))
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

#[test]
fn a_rollback_that_was_kept_is_told_from_the_first_failure_to_the_commit() {
    let account = account(Tale::Committed);
    insta::assert_snapshot!("committed_text", text::text(&account, Page::plain(100)));
    insta::assert_snapshot!("committed_markdown", markdown::markdown(&account, Some("signal.svg")));
    insta::assert_snapshot!("committed_svg", svg::svg(&account).unwrap());
}

#[test]
fn a_refusal_says_what_was_tried_and_why_not() {
    let account = account(Tale::Refused);
    insta::assert_snapshot!("refused_text", text::text(&account, Page::plain(100)));
    insta::assert_snapshot!("refused_markdown", markdown::markdown(&account, None));
}

#[test]
fn what_came_back_instead_of_the_target_is_told_as_such() {
    let account = account(Tale::WrongTarget);
    insta::assert_snapshot!("wrong_target_text", text::text(&account, Page::plain(100)));
    insta::assert_snapshot!("wrong_target_markdown", markdown::markdown(&account, None));
}

#[test]
fn a_question_that_nobody_answered_is_told_with_what_would_have_been_done() {
    let account = account(Tale::ApprovalExpired);
    insta::assert_snapshot!("approval_expired_text", text::text(&account, Page::plain(100)));
    insta::assert_snapshot!("approval_expired_markdown", markdown::markdown(&account, None));
}

#[test]
fn a_release_that_is_slower_is_shown_in_seconds_against_what_it_may_take() {
    let account = account(Tale::Slower);
    let signal = account.signal().unwrap();
    assert_eq!((signal.unit, signal.measure.as_str()), (Unit::Seconds, "latency"));
    assert!(signal.threshold > 0.0 && signal.threshold < 0.9, "{}", signal.threshold);
    let live = signal.marks.iter().find(|mark| mark.what == Marked::Live).unwrap().at;
    let again = signal.marks.iter().find(|mark| mark.what == Marked::LiveAgain).unwrap().at;
    // Around the change whose sample it is lies in doubt.
    let is_clear = |point: &&Point| point.at.duration_since(again).abs() > SignedDuration::from_secs(5);
    for point in signal.points.iter().filter(|point| point.value.is_some()).filter(is_clear) {
        let is_slow = point.at >= live && point.at < again;
        assert_eq!(point.verdict == Verdict::Bad, is_slow, "{point:?}");
        assert_eq!(point.value.unwrap() > signal.threshold, is_slow, "{point:?}");
    }
}

#[test]
fn an_open_incident_says_what_it_waits_for_and_what_to_type() {
    let approve_by = Some(opened() + SignedDuration::from_secs(1_800));
    let asked = IncidentRecord { approve_by, ..record(None, Reason::AwaitingApproval) };
    let text = without_decisions(asked, &[entry(0, &fired())]);
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
      approve by 2026-11-21 02:43:07 UTC, 27m 58s left; then it is held
      next       rearguard approve checkout-1a2b3c4d --target a1c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d, or
                 rearguard reject checkout-1a2b3c4d

    Durations
      detect     6.2s      first failing sample to decision
      decide     -         decision to the rollback being asked for
      execute    -         asked for to live
      verify     -         live to the end

    Timeline
          +0.0s fired             rule down fired on deployment b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d
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
    let text = without_decisions(record(None, Reason::RuleFired), &[odd]);
    assert!(text.ends_with("+0.0s quarantined       set aside [2J\n"), "{text}");
}

#[test]
fn every_recorded_decision_comes_out_identical() {
    for tale in TALES {
        let (_, _, decisions) = told(tale);
        let (replay, _) = replay::replay(&decisions);
        assert!(replay.is_identical() && replay.decisions > 0, "{tale:?}: {replay:?}");
        assert!(replay.text().contains("came out identical"), "{}", replay.text());
    }
}

#[test]
fn a_decision_that_comes_out_otherwise_is_named_with_both() {
    let (_, _, mut decisions) = told(Tale::Committed);
    // Under a rule that asks for more.
    decisions[0].policy = decisions[0].policy.replace("\"count\":3", "\"count\":30");
    let (replay, _) = replay::replay(&decisions);
    assert_eq!((replay.decisions, replay.identical), (2, 1));
    assert_eq!(
        replay.text(),
        "1 of 2 decisions, made again from what was recorded, came out identical; \
         decision 1 was rollback (rule_fired), and this version decides: nothing"
    );
    // The same words, and another state.
    let (_, _, mut decisions) = told(Tale::Committed);
    decisions[0].after = decisions[1].after.clone();
    let (replay, _) = replay::replay(&decisions);
    assert!(replay.text().ends_with("decides: the same with another state"), "{}", replay.text());
}

#[test]
fn what_another_version_recorded_is_said_and_neither_an_error_nor_identical() {
    let (record, timeline, whole) = told(Tale::Committed);
    let broken: [fn(&mut crate::journal::DecisionRecord); 4] = [
        |decision| decision.observation = "{\"at\":1}".to_owned(),
        |decision| decision.before = String::new(),
        |decision| decision.after = decision.after.replace("\"situation\"", "\"posture\""),
        // A rule on a probe that is not there would end the process.
        |decision| decision.policy = decision.policy.replace("\"probe\":0", "\"probe\":7"),
    ];
    for damage in broken {
        let mut decisions = whole.clone();
        damage(&mut decisions[0]);
        let told = Told::with_decisions(&record, &timeline, &decisions);
        let replay = told.replay.unwrap();
        assert_eq!((replay.decisions, replay.identical, replay.unreadable), (2, 1, 1));
        assert!(!replay.is_identical() && replay.differing.is_empty());
        assert!(replay.text().contains("1 recorded by another version"), "{}", replay.text());
    }
}

#[test]
fn durations_are_there_as_far_as_it_came() {
    let of = |tale| account(tale).told.durations;
    let Durations { detect, decide, execute, verify } = of(Tale::Committed);
    let all = [detect, decide, execute, verify];
    assert!(all.iter().all(|part| part.is_some_and(|seconds| seconds > 0.0)), "{all:?}");
    let record = account(Tale::Committed).record;
    let whole = record.closed_at.unwrap().duration_since(record.opened_at).as_secs_f64();
    let sum: f64 = [decide, execute, verify].into_iter().flatten().sum();
    assert!((sum - whole).abs() < 0.01, "{sum} of {whole}");
    for tale in [Tale::Refused, Tale::ApprovalExpired, Tale::Observed] {
        let Durations { detect, decide, execute, verify } = of(tale);
        assert!(detect.is_some(), "{tale:?}");
        assert_eq!((decide, execute, verify), (None, None, None), "{tale:?}");
    }
}

#[test]
fn the_signal_is_over_its_threshold_when_it_fired_and_below_it_once_rolled_back() {
    let account = account(Tale::Committed);
    let signal = account.signal().unwrap();
    let at = |what| signal.marks.iter().find(|mark| mark.what == what).unwrap().at;
    assert!(at(Marked::Live) < at(Marked::Fired) && at(Marked::Fired) <= at(Marked::RollbackAsked));
    assert!(at(Marked::RollbackAsked) < at(Marked::LiveAgain) && at(Marked::LiveAgain) < at(Marked::Commit));
    let last_before = signal.points.iter().rfind(|point| point.at <= at(Marked::Fired)).unwrap();
    assert!(last_before.value.unwrap() >= signal.threshold, "{last_before:?}");
    let after = signal.points.iter().filter(|point| point.at >= at(Marked::LiveAgain));
    assert!(after.clone().count() > 100);
    assert!(after.clone().all(|point| point.value == Some(0.0) && point.verdict == Verdict::Good));
}

#[test]
fn what_is_told_survives_the_way_over_the_api() {
    for tale in TALES {
        let (record, timeline, decisions): Records = told(tale);
        let told = Told::with_decisions(&record, &timeline, &decisions);
        let json = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<Told>(&json).unwrap(), told, "{tale:?}");
        assert!(json.len() < 64 * 1024, "{tale:?}: {}", json.len());
    }
    // What an older daemon answers, and a newer one.
    assert_eq!(serde_json::from_value::<Told>(json!({})).unwrap(), Told::default());
    let unit: Unit = serde_json::from_value(json!("parsecs")).unwrap();
    assert_eq!((unit, unit.show(1.25)), (Unit::Number, "1.25".to_owned()));
    assert_eq!(serde_json::from_value::<Marked>(json!("eclipse")).unwrap(), Marked::Other);
}

#[test]
fn a_picture_has_no_script_no_reference_and_no_text_that_is_markup() {
    let (mut record, mut timeline, decisions) = told(Tale::Committed);
    record.app = "<script>alert(1)</script>".into();
    timeline[0].facts["title"] = json!("\"><image href=\"https://elsewhere.example/\" onload=\"x\"/>");
    let told = Told::with_decisions(&record, &timeline, &decisions);
    let picture = svg::svg(&Account::of(record, &timeline, told, opened())).unwrap();
    for word in ["<script", "<image", "<a ", "url(", "@import", "<foreignObject"] {
        assert!(!picture.contains(word), "{word}");
    }
    assert_eq!(picture.matches("http").count() - picture.matches("https\u{3a}//elsewhere").count(), 1);
    assert!(picture.contains("<title id=\"title\">&lt;script&gt;"));
    assert!(picture.contains("prefers-color-scheme:dark"));
    let opened_tags = picture.matches('<').count();
    assert_eq!(opened_tags, picture.matches('>').count());
}

#[test]
fn without_samples_there_is_no_picture() {
    let (record, timeline, _) = told(Tale::Committed);
    let told = Told::with_decisions(&record, &timeline, &[]);
    assert_eq!((told.signal.clone(), told.evidence.len()), (None, 0));
    assert_eq!(told.replay.as_ref().map(Replay::text).as_deref(), Some("no decision was recorded"));
    assert!(svg::svg(&Account::of(record, &timeline, told, opened())).is_none());
}

#[test]
fn an_account_fits_the_page_it_is_for_down_to_sixty_columns() {
    for tale in TALES {
        for width in [60, 80, 100] {
            let told = text::text(&account(tale), Page::plain(width));
            // An id is one word, and whoever copies it needs it whole.
            let lines = told.lines().filter(|line| line.split_whitespace().count() > 1);
            let long: Vec<&str> = lines.filter(|line| line.chars().count() > width).collect();
            assert!(long.is_empty(), "{tale:?} at {width}: {long:#?}");
        }
    }
}

#[test]
fn colours_are_only_where_the_page_has_them() {
    let account = account(Tale::Committed);
    assert!(!text::text(&account, Page::plain(80)).contains('\x1b'));
    assert!(text::text(&account, Page { width: 80, colour: true }).contains("\x1b[1m"));
    assert!(!markdown::markdown(&account, None).contains('\x1b'));
}
