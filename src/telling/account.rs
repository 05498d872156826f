//! The account of an incident: everything there is to say, not yet said in any form.

mod headline;

use headline::headline;
use jiff::Timestamp;
use serde_json::Value;

use super::durations::event;
use super::{Evidence, Signal, Told, words};
use crate::decision::effect::{Answer, Reason};
use crate::decision::observation::Request;
use crate::decision::state::Outcome;
use crate::decision::story::{Event, misnamed, what_is_known, why_not};
use crate::ids::DeploymentId;
use crate::journal::{IncidentRecord, TimelineEntry};

/// An incident, told.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its record.
    pub record: IncidentRecord,
    /// How it ended, or how far it is: a word or two.
    pub word: String,
    /// The whole of it in a sentence.
    pub headline: String,
    /// How long it took to see, to heal and to close, in a sentence.
    pub summary: String,
    /// What there is to know, each with its name.
    pub facts: Vec<(&'static str, String)>,
    /// What the rules read.
    pub evidence: Vec<Evidence>,
    /// What was not done, or not accepted, and why.
    pub refusals: Vec<String>,
    /// What happened, oldest first.
    pub lines: Vec<Line>,
    /// What else was worked out.
    pub told: Told,
}

/// One line of the timeline.
#[derive(Clone, Debug)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// Seconds after the incident was opened.
    pub after: f64,
    /// A fixed word.
    pub event: String,
    /// A sentence.
    pub text: String,
    /// The calls behind it, in the order they were made.
    pub calls: Vec<CallMade>,
}

/// One call to the platform.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallMade {
    /// Which.
    pub operation: String,
    /// The answer's HTTP status; none where there was no answer.
    pub status: Option<u64>,
    /// The platform's id of it.
    pub request_id: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// How long it took.
    pub seconds: Option<f64>,
}

impl Account {
    /// The account of an incident, as of `now`.
    pub fn of(record: IncidentRecord, timeline: &[TimelineEntry], told: Told, now: Timestamp) -> Self {
        let known = Known::from(timeline);
        let word = record.outcome.map_or(record.state.as_str(), |outcome| outcome.word()).replace('_', " ");
        Self {
            word,
            headline: headline(&record, &known),
            summary: summary(&record, now),
            facts: facts(&record, &known, now),
            evidence: told.evidence.clone(),
            refusals: known.refusals,
            lines: timeline.iter().map(|entry| line(&record, entry)).collect(),
            told,
            record,
        }
    }

    /// Why an incident ended as it did, or what it waits for: a part of a sentence.
    pub fn why(record: &IncidentRecord, timeline: &[TimelineEntry]) -> &'static str {
        Known::from(timeline).why(record)
    }

    /// Whether it is still open.
    pub fn is_open(&self) -> bool {
        self.record.outcome.is_none()
    }

    /// What the rule that fired measured, where that is known.
    pub fn signal(&self) -> Option<&Signal> {
        self.told.signal.as_ref().filter(|signal| !signal.points.is_empty())
    }
}

impl CallMade {
    /// As a sentence; `code` puts what comes from elsewhere into it.
    pub(crate) fn text(&self, code: impl Fn(&str) -> String) -> String {
        let mut parts = Vec::new();
        parts.extend(self.status.map(|status| format!("status {status}")));
        parts.extend(self.request_id.as_ref().map(|id| format!("request {}", code(id))));
        parts.extend(self.error.as_ref().map(|error| code(error)));
        parts.extend(self.seconds.map(|seconds| format!("in {:.0}ms", seconds * 1e3)));
        if parts.is_empty() {
            parts.push("no answer".to_owned());
        }
        format!("{}: {}", self.operation, parts.join(", "))
    }
}

/// What the timeline tells about the deployments, the evidence and the refusals.
#[derive(Default)]
struct Known {
    evidence: Option<String>,
    titles: Vec<(DeploymentId, String)>,
    target: Option<String>,
    /// What a person ordered, of an incident that began so.
    order: Option<Request>,
    /// Why what they named is nothing to go back to.
    misnamed: Option<&'static str>,
    refusals: Vec<String>,
}

impl From<&[TimelineEntry]> for Known {
    fn from(timeline: &[TimelineEntry]) -> Self {
        let mut known = Self::default();
        // An event of a newer daemon still has its sentence in the timeline.
        for event in timeline.iter().filter_map(event) {
            known.learn(event);
        }
        known
    }
}

impl Known {
    fn learn(&mut self, event: Event) {
        match event {
            Event::Fired { condition, evidence, accused, title, .. } => {
                self.evidence = Some(format!("{evidence} ({condition})"));
                self.titles.push((accused, title));
            }
            Event::Asked { request, live, title, .. } => {
                self.titles.push((live, title));
                self.order.get_or_insert(request);
            }
            Event::Target { target, title, seen_good, named_by, was_bad } => {
                self.titles.push((target, title));
                self.target = Some(match named_by {
                    Some(by) => format!("named by {by}; {}", what_is_known(seen_good, was_bad)),
                    None if seen_good => "rearguard saw it to be good".to_owned(),
                    None => "rolled out completely, not judged by rearguard".to_owned(),
                });
            }
            Event::TargetRefused { target, reason, detail } => {
                self.misnamed = misnamed(reason, &detail);
                self.refusals.push(format!("{target}: {}", why_not(reason, &detail)));
            }
            // What was said of the target is all there is to say.
            Event::Closed { reason: Reason::NoTarget, .. } if self.misnamed.is_some() => {}
            Event::Closed {
                outcome: Outcome::Refused | Outcome::Observed | Outcome::Held, reason, ..
            } => {
                self.refusals.push(format!("the rollback: {} ({})", reason.meaning(), reason.word()));
            }
            Event::Unarmed
            | Event::Unconfigured
            | Event::Unprotected
            | Event::Inexact
            | Event::RestartSkipped { .. }
            | Event::WrongTarget { .. }
            | Event::PerhapsOurs { .. }
            | Event::LeftOver { .. }
            | Event::PausedPerhapsByUs
            | Event::Answered {
                answer: Answer::NotSent(_) | Answer::NotApplied { .. } | Answer::Refused { .. },
                ..
            } => self.refusals.push(event.text()),
            _ => {}
        }
    }

    fn titled(&self, id: &DeploymentId) -> String {
        let title = self.titles.iter().rev().find(|(known, title)| known == id && !title.is_empty());
        title.map_or_else(|| id.to_string(), |(id, title)| format!("{id}: {title}"))
    }

    /// Why it ended as it did, or what it waits for.
    fn why(&self, record: &IncidentRecord) -> &'static str {
        // Of an earlier release the record does not say it.
        let misnamed = self.misnamed.filter(|_| record.reason == Reason::NoTarget);
        misnamed.unwrap_or_else(|| record.why())
    }

    /// For a sentence: the beginning of the id, and the title.
    fn named(&self, id: &DeploymentId) -> String {
        let short: String = id.as_str().chars().take(8).collect();
        let title = self.titles.iter().rev().find(|(known, title)| known == id && !title.is_empty());
        title.map_or_else(|| id.to_string(), |(_, title)| format!("{short} ({title})"))
    }
}

fn summary(record: &IncidentRecord, now: Timestamp) -> String {
    let open = record.closed_at.unwrap_or(now).duration_since(record.opened_at).as_secs_f64();
    let open = words::span(open);
    let open =
        if record.closed_at.is_some() { format!("closed after {open}") } else { format!("open for {open}") };
    if record.rule.is_none() {
        return format!("Ordered by a person, {open}.");
    }
    let detected = record.time_to_detect_seconds.map_or("Time to detect not known".to_owned(), |seconds| {
        format!("Detected {} after its first failing sample", words::span(seconds))
    });
    let restored = match record.time_to_restore_seconds {
        Some(seconds) => format!("healthy again after {}", words::span(seconds)),
        None => "not seen healthy since".to_owned(),
    };
    format!("{detected}, {restored}, {open}.")
}

fn facts(record: &IncidentRecord, known: &Known, now: Timestamp) -> Vec<(&'static str, String)> {
    let evidence = known.evidence.as_ref().map_or(String::new(), |evidence| format!(": {evidence}"));
    let mut facts = vec![
        match (&record.rule, &record.asked_by) {
            (Some(rule), _) => ("rule", format!("{rule}{evidence}")),
            (None, by) => ("asked by", by.as_ref().map_or("somebody".to_owned(), ToString::to_string)),
        },
        // Whoever gives an order accuses nobody; what settles a rollback is about that, and tells what was left by it.
        (
            match known.order {
                _ if record.rule.is_some() => "accused",
                Some(Request::Commit | Request::Revert) => "left before",
                _ => "ordered on",
            },
            known.titled(&record.bad_deployment),
        ),
    ];
    if let Some(target) = &record.target_deployment {
        let why = known.target.as_ref().map_or(String::new(), |why| format!(" ({why})"));
        facts.push(("target", format!("{}{why}", known.titled(target))));
    }
    if let Some(rollback) = &record.rollback_deployment {
        facts.push(("rollback", known.titled(rollback)));
    }
    facts.push(("reason", format!("{}: {}", record.why_in_codes(), known.why(record))));
    facts.push(("opened", words::clock(record.opened_at)));
    facts.extend(record.closed_at.map(|at| ("closed", words::clock(at))));
    facts.extend(record.approve_by.map(|at| ("approve by", words::approve_by(at, now))));
    if record.reason == Reason::AwaitingApproval && record.outcome.is_none() {
        let target = record.target_deployment.as_ref();
        let [yes, no] = words::answers(record.id.as_str(), target.map(|target| target.as_str()));
        facts.push(("next", format!("{yes}, or {no}")));
    }
    facts
}

fn line(record: &IncidentRecord, entry: &TimelineEntry) -> Line {
    let calls = entry.facts.get("calls").and_then(Value::as_array);
    Line {
        at: entry.at,
        after: entry.at.duration_since(record.opened_at).as_secs_f64(),
        event: entry.event.clone(),
        text: entry.text.clone(),
        calls: calls.into_iter().flatten().map(call).collect(),
    }
}

fn call(facts: &Value) -> CallMade {
    let text = |key: &str| facts.get(key).and_then(Value::as_str).map(str::to_owned);
    CallMade {
        operation: text("operation").unwrap_or_default(),
        status: facts.get("status").and_then(Value::as_u64),
        request_id: text("request_id"),
        error: text("error"),
        seconds: facts.get("seconds").and_then(Value::as_f64),
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::record;
    use super::*;

    #[test]
    fn whoever_gives_an_order_accuses_nobody() {
        let ruled = record(Some(Outcome::Committed), Reason::SoakHealthy);
        let ordered = IncidentRecord { rule: None, asked_by: Some("ada".into()), ..ruled.clone() };
        let labels = |record: &IncidentRecord| {
            let facts = facts(record, &Known::default(), record.opened_at);
            facts.into_iter().map(|(label, _)| label).take(2).collect::<Vec<_>>()
        };
        assert_eq!(labels(&ruled), ["rule", "accused"]);
        assert_eq!(labels(&ordered), ["asked by", "ordered on"]);
    }
}
