//! Incidents of the model as the journal would have them, for those who tell them.

use jiff::Timestamp;
use serde_json::json;

use super::calls::APPLIED;
use super::picks::{self, PICKS, accepting};
use super::world::{World, policy, rule, secs};
use crate::clock::Moment;
use crate::decision::policy::{Condition, Mode, Policy, Regression, Signal};
use crate::decision::story::Event;
use crate::decision::{Change, Closed};
use crate::journal::{DecisionRecord, IncidentRecord, TimelineEntry};

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tale {
    /// Rolled back, with an answer that was lost, and committed.
    Committed,
    /// No target was valid.
    Refused,
    /// The platform went back to something else.
    WrongTarget,
    /// Nobody answered.
    ApprovalExpired,
    /// Slower than the release before.
    Slower,
    /// Only observed.
    Observed,
}

/// An incident's record, timeline and decisions.
pub(crate) type Records = (IncidentRecord, Vec<TimelineEntry>, Vec<DecisionRecord>);

/// The records of one.
pub(crate) fn told(tale: Tale) -> Records {
    let mut world = match tale {
        Tale::WrongTarget => picks::with_bad_release(Policy { rules: rules(), ..accepting() }, PICKS),
        Tale::Slower => World::steady(Policy { rules: vec![slower()], ..policy() }),
        _ => World::steady(Policy { rules: rules(), ..policy() }),
    };
    world.records = true;
    world.latency = secs(2);
    match tale {
        Tale::Committed => world.reply("create_rollback", APPLIED),
        Tale::Refused => world.platform.not_valid = vec!["d1".into(), "d2".into()],
        Tale::WrongTarget => world.platform.picks = Some(world.platform.deployments[0].id.clone()),
        Tale::ApprovalExpired => world.policy.mode = Mode::Approve,
        Tale::Observed => world.policy.mode = Mode::Observe,
        Tale::Slower => {
            world.run(secs(3_600));
            let slow = world.release();
            world.takes.insert(slow, 900_000);
        }
    }
    if !matches!(tale, Tale::WrongTarget | Tale::Slower) {
        world.release_bad();
    }
    world.run_to_close();
    records(&world)
}

fn rules() -> Vec<crate::decision::policy::Rule> {
    let over = secs(120);
    vec![
        rule("down", Condition::ConsecutiveFailures { count: 3 }),
        rule("flaky", Condition::FailureRatio { above: 0.2, over, min_samples: 20 }),
        rule("slow", Condition::Latency { quantile: 0.95, above: secs(1), over, min_samples: 20 }),
    ]
}

fn slower() -> crate::decision::policy::Rule {
    let regression = Regression {
        of: Signal::Latency,
        probability: 0.001,
        worse_by: 0.5,
        glitch: secs(10),
        min_failures: 3,
    };
    rule("slower", Condition::Regression(regression))
}

/// The model's clock as a wall clock.
fn wall(at: Moment) -> Timestamp {
    let begin: Timestamp = "2026-11-21T02:00:00Z".parse().expect("a time");
    begin + jiff::SignedDuration::from_millis(at.as_millis() - 1_000_000_000)
}

fn records(world: &World) -> Records {
    let (mut record, mut timeline, mut decisions) = (None, Vec::new(), Vec::new());
    for (policy, before, seen, decision) in &world.recorded {
        let Some(change) = &decision.change else { continue };
        let incident = change.closed.as_ref().map(|closed| &closed.incident).or(change.state.incident());
        let Some(incident) = incident else { continue };
        record = Some(shown(record, incident, change, wall(seen.at)));
        timeline.extend(change.story.iter().map(|event| entry(event, wall(seen.at))));
        let json = |value: Result<String, serde_json::Error>| value.expect("it is JSON");
        decisions.extend(change.ruling.as_ref().map(|ruling| DecisionRecord {
            verb: ruling.verb,
            reason: ruling.reason,
            incident: ruling.incident.clone(),
            policy: json(serde_json::to_string(policy)),
            before: json(serde_json::to_string(before)),
            observation: json(serde_json::to_string(seen)),
            after: json(serde_json::to_string(&change.state)),
        }));
    }
    (record.expect("an incident"), timeline, decisions)
}

fn shown(
    last: Option<IncidentRecord>,
    incident: &crate::decision::state::Incident,
    change: &Change,
    at: Timestamp,
) -> IncidentRecord {
    let closed: Option<&Closed> = change.closed.as_ref();
    let restored = change.story.iter().find_map(|event| match event {
        Event::Restored { after_seconds } => Some(*after_seconds),
        _ => None,
    });
    let ruled = change.ruling.as_ref().map(|ruling| ruling.reason);
    let reason = closed.map(|closed| closed.reason).or(ruled);
    let reason = reason.or(last.as_ref().map(|last| last.reason)).expect("a ruling opens an incident");
    IncidentRecord {
        id: incident.id.clone(),
        app: "shop".into(),
        app_id: "4f6c71e2".into(),
        state: closed.map_or(incident.stage.word(), |_| "closed").to_owned(),
        outcome: closed.map(|closed| closed.outcome),
        reason,
        detail: change.closing_detail(),
        asked_by: None,
        rule: incident.rule.clone(),
        opened_at: last.as_ref().map_or(at, |last| last.opened_at),
        closed_at: closed.map(|_| at),
        approve_by: None,
        bad_deployment: incident.accused.id.clone(),
        target_deployment: incident.stage.target().cloned(),
        rollback_deployment: incident.stage.rollback().cloned(),
        time_to_detect_seconds: Some(incident.opened_at.since(incident.first_failure_at).as_secs_f64()),
        time_to_restore_seconds: restored.or(last.and_then(|last| last.time_to_restore_seconds)),
    }
}

/// As the shell writes it: with the calls behind an answer.
fn entry(event: &Event, at: Timestamp) -> TimelineEntry {
    let mut facts = serde_json::to_value(event).expect("it is JSON");
    if let Event::Answered { call, answer } = event {
        let lost = *answer == crate::decision::effect::Answer::Unresolved;
        let read = json!({ "operation": "get_app", "status": 200, "request_id": "0c11-4e", "seconds": 0.04 });
        let asked = if lost {
            json!({ "operation": call, "status": null, "error": "failed to get a conclusive answer: no answer in time",
                    "seconds": 2.0 })
        } else {
            json!({ "operation": call, "status": 200, "request_id": "5f2a9c0e-88aa", "seconds": 0.21 })
        };
        facts["calls"] = json!([read, asked]);
    }
    TimelineEntry { at, event: event.word().to_owned(), text: event.text(), facts }
}
