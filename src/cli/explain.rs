//! `rearguard explain`: one incident as a story that can be pasted into a channel.

use jiff::Timestamp;
use serde_json::Value;

use super::client::Client;
use super::page::clean;
use super::{Error, ExplainArgs, Page, words};
use crate::decision::effect::Reason;
use crate::decision::state::Outcome;
use crate::decision::story::Event;
use crate::ids::DeploymentId;
use crate::journal::{IncidentRecord, TimelineEntry};
use crate::server::IncidentDetail;

pub(super) async fn run(args: &ExplainArgs, page: Page) -> Result<String, Error> {
    let client = Client::open(&args.server)?;
    let answer = client.get(&["incidents", &args.id], &[]).await?;
    if args.json {
        return Ok(format!("{answer:#}\n"));
    }
    let detail: IncidentDetail = client.understand(answer)?;
    Ok(render(&detail, page, Timestamp::now()))
}

/// Headline, facts, refusals, timeline.
fn render(detail: &IncidentDetail, page: Page, now: Timestamp) -> String {
    let record = &detail.record;
    let known = Known::from(detail.timeline.as_slice());
    let word = record
        .outcome
        .map_or(record.state.as_str(), |outcome| outcome.word())
        .to_uppercase()
        .replace('_', " ");
    let word = if record.outcome.is_none() { page.red(&word) } else { page.bold(&word) };
    let mut text = format!("{word}  {}\n", page.bold(record.id.as_str()));
    text.push_str(&page.hang("", &headline(record, &known)));
    text.push_str(&page.hang("", &durations(record, now)));
    text.push_str("\nFacts\n");
    for (label, value) in facts(record, &known) {
        text.push_str(&page.hang(&format!("  {label:<10} "), &value));
    }
    if !known.refusals.is_empty() {
        text.push_str("\nRefused\n");
        for refusal in &known.refusals {
            text.push_str(&page.hang("  ", refusal));
        }
    }
    text.push_str("\nTimeline\n");
    for entry in &detail.timeline {
        let after = entry.at.duration_since(record.opened_at).as_secs_f64();
        let first = format!("  {:>9} {:<15} ", format!("{after:+.1}s"), clean(&entry.event));
        text.push_str(&page.hang(&first, &format!("{}{}", entry.text, call(&entry.facts))));
    }
    text
}

/// What the timeline tells about the deployments and the evidence.
#[derive(Default)]
struct Known {
    evidence: Option<String>,
    titles: Vec<(DeploymentId, String)>,
    target: Option<&'static str>,
    refusals: Vec<String>,
}

impl From<&[TimelineEntry]> for Known {
    fn from(timeline: &[TimelineEntry]) -> Self {
        let mut known = Self::default();
        // An event of a newer daemon still has its sentence in the timeline.
        for event in timeline.iter().filter_map(|entry| serde_json::from_value(entry.facts.clone()).ok()) {
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
            Event::Target { target, title, seen_good } => {
                self.titles.push((target, title));
                self.target = Some(if seen_good {
                    "rearguard saw it to be good"
                } else {
                    "rolled out completely, not judged by rearguard"
                });
            }
            Event::TargetRefused { target, reason, detail } => {
                self.refusals.push(format!("{target}: {} ({}: {detail})", reason.meaning(), reason.word()));
            }
            Event::Closed { outcome: Outcome::Refused | Outcome::Observed | Outcome::Held, reason } => {
                self.refusals.push(format!("the rollback: {} ({})", reason.meaning(), reason.word()));
            }
            _ => {}
        }
    }

    fn titled(&self, id: &DeploymentId) -> String {
        let title = self.titles.iter().rev().find(|(known, title)| known == id && !title.is_empty());
        title.map_or_else(|| id.to_string(), |(id, title)| format!("{id}: {title}"))
    }

    /// For a sentence: the beginning of the id, and the title.
    fn named(&self, id: &DeploymentId) -> String {
        let short: String = id.as_str().chars().take(8).collect();
        let title = self.titles.iter().rev().find(|(known, title)| known == id && !title.is_empty());
        title.map_or_else(|| id.to_string(), |(_, title)| format!("{short} ({title})"))
    }
}

fn headline(record: &IncidentRecord, known: &Known) -> String {
    let app = &record.app;
    let accused = known.named(&record.bad_deployment);
    let went_bad = match (&record.rule, &record.asked_by) {
        (Some(rule), _) => format!("{app} went bad on deployment {accused} by rule {rule}"),
        (None, Some(by)) => format!("{by} asked to go back from deployment {accused} of {app}; it"),
        (None, None) => format!("somebody asked to go back from deployment {accused} of {app}; it"),
    };
    let target = record.target_deployment.as_ref();
    let to = target.map_or(String::new(), |target| format!(" to {}", known.named(target)));
    let why = record.reason.meaning();
    match record.outcome {
        None => format!("{went_bad}; it is open: {} ({why}).", record.state.replace('_', " ")),
        Some(Outcome::Committed) => {
            format!("{went_bad}, was rolled back{to}, and the rollback was kept: {why}.")
        }
        Some(Outcome::Reverted) => {
            format!("{went_bad}, was rolled back{to}, and the rollback was undone: {why}.")
        }
        Some(Outcome::Refused) => format!("{went_bad}, and no rollback was made: {why}."),
        Some(Outcome::Observed) => format!("{went_bad}; a rollback{to} would have been made, but {why}."),
        Some(Outcome::Held) => format!("{went_bad}; automation stopped and waits for a person: {why}."),
        Some(Outcome::Failed) => format!("{went_bad}, and the rollback{to} failed: {why}."),
        Some(Outcome::Superseded) => format!("{went_bad}, then it was out of rearguard's hands: {why}."),
        Some(Outcome::Restarted) => format!("{went_bad}, and a restart healed it."),
    }
}

fn durations(record: &IncidentRecord, now: Timestamp) -> String {
    let detected = record.time_to_detect_seconds.map_or("Time to detect not known".to_owned(), |seconds| {
        format!("Detected {} after its first failing sample", words::span(seconds))
    });
    let restored = match record.time_to_restore_seconds {
        Some(seconds) => format!("healthy again after {}", words::span(seconds)),
        None => "not seen healthy since".to_owned(),
    };
    let open = record.closed_at.unwrap_or(now).duration_since(record.opened_at).as_secs_f64();
    let open = words::span(open);
    let open =
        if record.closed_at.is_some() { format!("closed after {open}") } else { format!("open for {open}") };
    format!("{detected}, {restored}, {open}.")
}

fn facts(record: &IncidentRecord, known: &Known) -> Vec<(&'static str, String)> {
    let evidence = known.evidence.as_ref().map_or(String::new(), |evidence| format!(": {evidence}"));
    let mut facts = vec![
        match (&record.rule, &record.asked_by) {
            (Some(rule), _) => ("rule", format!("{rule}{evidence}")),
            (None, by) => ("asked by", by.as_ref().map_or("somebody".to_owned(), ToString::to_string)),
        },
        ("accused", known.titled(&record.bad_deployment)),
    ];
    if let Some(target) = &record.target_deployment {
        let why = known.target.map_or(String::new(), |why| format!(" ({why})"));
        facts.push(("target", format!("{}{why}", known.titled(target))));
    }
    if let Some(rollback) = &record.rollback_deployment {
        facts.push(("rollback", known.titled(rollback)));
    }
    facts.push(("reason", format!("{}: {}", record.reason.word(), record.reason.meaning())));
    facts.push(("opened", words::clock(record.opened_at)));
    facts.extend(record.closed_at.map(|at| ("closed", words::clock(at))));
    if record.reason == Reason::AwaitingApproval && record.outcome.is_none() {
        facts.push(("next", format!("rearguard approve {0}, or rearguard reject {0}", record.id)));
    }
    facts
}

/// What the platform's answer can be found by again, where the facts carry it.
fn call(facts: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    // The last of the calls behind an answer is the one that was answered; the ones before it are its guards.
    let last = facts.get("calls").and_then(Value::as_array).and_then(|calls| calls.last());
    let find = |key: &str| last?.get(key).filter(|value| !value.is_null()).map(text);
    let parts: Vec<String> = [("status", find("status")), ("request", find("request_id"))]
        .into_iter()
        .filter_map(|(label, value)| value.map(|value| format!("{label} {value}")))
        .collect();
    if parts.is_empty() { String::new() } else { format!(" [{}]", parts.join(", ")) }
}

#[cfg(test)]
mod tests;
