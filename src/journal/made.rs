//! Entries that look like real ones, made for the tests of stores and for the journals that are broken by chance.

use jiff::Timestamp;
use serde_json::json;

use super::{DecisionRecord, Entry, IncidentRecord, Notice, TimelineEntry};
use crate::clock::{Mark, Moment};
use crate::decision::capability::Capabilities;
use crate::decision::effect::{Answer, Effect, Reason, Verb};
pub(crate) use crate::decision::made::deployment;
use crate::decision::rule::{Reading, Verdict};
use crate::decision::state::{Call, CallStatus, Incident, Live, Outcome, Requests, Situation, Stage, State};
use crate::ids::{AppName, IncidentId, PlatformAppId};

/// Seconds after an arbitrary instant.
pub(crate) fn wall(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("in range")
}

pub(crate) fn moment(seconds: i64) -> Moment {
    Moment::from_millis((1_800_000_000 + seconds) * 1000)
}

pub(crate) fn mark(seconds: i64) -> Mark {
    Mark { at: moment(seconds), boottime_ms: seconds * 1000, boot_id: "boot".to_owned() }
}

fn live(id: &str) -> Live {
    Live { id: id.into(), created_ms: 7, since: moment(0) }
}

pub(crate) fn steady() -> State {
    State { situation: Situation::Steady { live: live("good") }, ..State::default() }
}

/// A state whose rollback is as far as `status` says.
pub(crate) fn creating(app: &AppName, status: CallStatus) -> State {
    let incident = Incident {
        id: IncidentId::of(app, &"bad".into()),
        opened_at: moment(10),
        first_failure_at: moment(5),
        rule: Some("errors".into()),
        evidence: Some(Reading {
            verdict: Verdict::Bad,
            value: Some(0.5),
            threshold: 0.25,
            samples: 8,
            first_failure_at: Some(moment(5)),
            parts: Vec::new(),
            compared: None,
        }),
        asked: None,
        ending: None,
        accused: deployment("bad"),
        live: live("bad"),
        former: Vec::new(),
        restart_lost: false,
        before: std::collections::BTreeMap::new(),
        begun: 0,
        bad_before: std::collections::BTreeSet::new(),
        tried: Vec::new(),
        requests: Requests {
            before: ["good".into(), "bad".into()].into(),
            targets: vec![deployment("good")],
            left: Some(("bad".into(), deployment("bad").artifact)),
            counted: vec![moment(11)],
        },
        setbacks: 0,
        approved: true,
        end_waits: None,
        prediction: None,
        capabilities: Capabilities::default(),
        restartable: None,
        stage: Stage::Creating {
            target: deployment("good"),
            deadline: moment(1_800),
            call: Call { attempt: 1, intended_at: moment(10), status },
        },
    };
    State { situation: Situation::Incident(Box::new(incident)), ..State::default() }
}

pub(crate) fn rollback() -> Effect {
    Effect::CreateRollback { accused: "bad".into(), target: "good".into(), code: Vec::new() }
}

/// What the platform calls the app of that name.
pub(crate) fn id_of(app: &AppName) -> PlatformAppId {
    format!("id-of-{app}").into()
}

pub(crate) fn entry(app: &AppName, seconds: i64, state: State) -> Entry {
    Entry {
        app: app.clone(),
        id: id_of(app),
        mark: mark(seconds),
        wall: wall(seconds),
        state,
        answered: None,
        effect: None,
        decision: None,
        incident: None,
        timeline: Vec::new(),
        notices: Vec::new(),
    }
}

/// An entry that owes a rollback, with all that goes with it.
pub(crate) fn owing(app: &AppName, seconds: i64) -> Entry {
    let state = creating(app, CallStatus::Owed);
    Entry {
        effect: Some(rollback()),
        decision: Some(decision(app, &state)),
        incident: Some(incident(app, "bad", seconds, None)),
        timeline: vec![line(seconds, "fired"), line(seconds, "target")],
        ..entry(app, seconds, state)
    }
}

/// The entry after it: the answer is in, nothing is owed.
#[cfg_attr(fuzzing, expect(dead_code, reason = "only tests need it"))]
pub(crate) fn answering(app: &AppName, seconds: i64) -> Entry {
    Entry { answered: Some(Answer::Created(deployment("back"))), ..entry(app, seconds, steady()) }
}

pub(crate) fn decision(app: &AppName, after: &State) -> DecisionRecord {
    DecisionRecord {
        verb: Verb::Rollback,
        reason: Reason::RuleFired,
        incident: Some(IncidentId::of(app, &"bad".into())),
        policy: r#"{"mode":"enforce"}"#.to_owned(),
        before: serde_json::to_string(&steady()).expect("JSON"),
        observation: r#"{"at":1}"#.to_owned(),
        after: serde_json::to_string(after).expect("JSON"),
    }
}

pub(crate) fn incident(app: &AppName, accused: &str, opened: i64, closed: Option<i64>) -> IncidentRecord {
    IncidentRecord {
        id: IncidentId::of(app, &accused.into()),
        app: app.clone(),
        app_id: id_of(app),
        state: if closed.is_some() { "closed" } else { "rolling_back" }.to_owned(),
        outcome: closed.map(|_| Outcome::Committed),
        reason: Reason::RuleFired,
        detail: None,
        rule: Some("errors".into()),
        asked_by: None,
        opened_at: wall(opened),
        closed_at: closed.map(wall),
        approve_by: None,
        bad_deployment: accused.into(),
        target_deployment: Some("good".into()),
        rollback_deployment: None,
        time_to_detect_seconds: Some(4.5),
        time_to_restore_seconds: None,
    }
}

pub(crate) fn line(seconds: i64, event: &str) -> TimelineEntry {
    TimelineEntry {
        at: wall(seconds),
        event: event.to_owned(),
        text: format!("5 of 8 failed, {event}"),
        facts: json!({ "failed": 5, "samples": 8 }),
    }
}

/// Something to be told to `channels`.
#[cfg_attr(fuzzing, expect(dead_code, reason = "only tests need it"))]
pub(crate) fn notice(thread: &str, key: &str, seconds: i64, channels: &[&str]) -> Notice {
    Notice {
        key: key.to_owned(),
        thread: thread.to_owned(),
        made: moment(seconds),
        wall: wall(seconds),
        event: format!("{{\"key\":\"{key}\"}}"),
        channels: channels.iter().map(|name| (*name).into()).collect(),
    }
}
