//! What the rules read when it was decided to accuse: value, threshold, samples, window.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::durations::event;
use super::recorded::Recorded;
use crate::decision::policy::{Condition, Rule};
use crate::decision::rule::{self, Pace, Reading, Verdict};
use crate::decision::story::{Event, condition_in_words, evidence_in_words, percent, time};
use crate::ids::RuleName;
use crate::journal::{IncidentRecord, TimelineEntry};

/// What one rule read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The rule.
    pub rule: RuleName,
    /// Whether it is the one that accuses.
    pub fired: bool,
    /// What makes it Bad, in words.
    pub condition: String,
    /// What it measured beside its limit, in words.
    pub evidence: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The probes it reads, by their names.
    pub probes: Vec<String>,
    /// What was measured, in `unit`.
    pub value: Option<f64>,
    /// What the value is held against, in `unit`.
    #[schemars(with = "Option<f64>")] // what is not finite is null
    pub threshold: f64,
    /// What both are measured in.
    pub unit: Unit,
    /// How many samples counted.
    pub samples: u32,
    /// How far back it looks; none where it looks at the last ones in a row, or at all since the release went live.
    pub window_seconds: Option<f64>,
}

/// What a value is measured in. An open set: a word of a newer daemon is read as a plain number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Failures in a row.
    Failures,
    /// A share between 0 and 1.
    Ratio,
    /// Seconds.
    Seconds,
    /// Tests of a rule that are Bad.
    Tests,
    /// Evidence against a release: how much less likely what was seen would be of one that is no worse.
    Evidence,
    /// A number.
    #[default]
    #[serde(other)]
    Number,
}

impl Unit {
    /// A value as people read it.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => percent(value),
            Self::Seconds => time(value),
            Self::Failures | Self::Tests => format!("{value:.0}"),
            Self::Evidence | Self::Number if value >= 10.0 => format!("{value:.0}"),
            Self::Evidence | Self::Number => {
                format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
            }
        }
    }
}

impl Evidence {
    /// How far back it looks, in words.
    pub(super) fn window(&self) -> String {
        match (self.window_seconds, self.unit) {
            (Some(seconds), _) => whole(seconds),
            (None, Unit::Failures) => "in a row".to_owned(),
            (None, Unit::Evidence) => "since live".to_owned(),
            (None, _) => "-".to_owned(),
        }
    }

    /// The value, or what stands for none.
    pub(super) fn measured(&self) -> String {
        self.value.map_or_else(|| "-".to_owned(), |value| self.unit.show(value))
    }

    /// The threshold with the relation that makes the rule Bad.
    pub(super) fn limit(&self) -> String {
        let threshold = self.unit.show(self.threshold);
        match self.unit {
            Unit::Ratio | Unit::Seconds => format!("> {threshold}"),
            _ => format!(">= {threshold}"),
        }
    }
}

fn whole(seconds: f64) -> String {
    let span = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    humantime::format_duration(span).to_string()
}

/// The unit of what a rule says.
pub(super) fn unit_of(rule: &Rule) -> Unit {
    match rule.tests.as_slice() {
        [only] => unit_of_test(&only.condition),
        _ => Unit::Tests,
    }
}

fn unit_of_test(condition: &Condition) -> Unit {
    match condition {
        Condition::ConsecutiveFailures { .. } => Unit::Failures,
        Condition::FailureRatio { .. } => Unit::Ratio,
        Condition::Latency { .. } => Unit::Seconds,
        Condition::Regression(_) => Unit::Evidence,
    }
}

fn window_of(rule: &Rule) -> Option<f64> {
    let windows = rule.tests.iter().filter_map(|test| match &test.condition {
        Condition::FailureRatio { over, .. } | Condition::Latency { over, .. } => Some(over.as_secs_f64()),
        _ => None,
    });
    windows.reduce(f64::max)
}

/// What the rule that accuses read, as the timeline has it, under which condition.
pub(super) fn accusing(
    record: &IncidentRecord,
    timeline: &[TimelineEntry],
) -> Option<(Reading, String, String)> {
    timeline.iter().rev().filter_map(event).find_map(|event| match event {
        Event::Fired { rule, condition, evidence, reading, .. }
        | Event::Escalated { rule, condition, evidence, reading }
            if Some(&rule) == record.rule.as_ref() =>
        {
            Some((reading, condition, evidence))
        }
        _ => None,
    })
}

/// What the rules read: of the one that accuses exactly what the decision was made of, of the others what the same samples
/// came to.
pub(super) fn evidence(
    record: &IncidentRecord,
    timeline: &[TimelineEntry],
    decisions: &[Recorded],
) -> Vec<Evidence> {
    let Some(first) = decisions.first() else { return Vec::new() };
    let policy = &first.policy;
    let since = first.live_since(|id| *id == record.bad_deployment).unwrap_or_default();
    let readings = rule::read_all(policy, &first.seen.windows, since, first.seen.at, Pace::Watch);
    let accusing = accusing(record, timeline);
    let rows = policy.rules.iter().zip(readings).map(|(rule, reading)| {
        let exact = accusing
            .as_ref()
            .filter(|_| Some(&rule.name) == record.rule.as_ref())
            .map(|(reading, _, _)| reading);
        row(record, policy, rule, exact.unwrap_or(&reading))
    });
    let (mut fired, others): (Vec<_>, Vec<_>) = rows.partition(|row| row.fired);
    fired.extend(others);
    fired
}

fn row(
    record: &IncidentRecord,
    policy: &crate::decision::policy::Policy,
    rule: &Rule,
    reading: &Reading,
) -> Evidence {
    let names = rule.tests.iter().filter_map(|test| policy.probes.get(test.probe));
    let mut probes: Vec<String> = names.map(|probe| probe.name.to_string()).collect();
    probes.dedup();
    Evidence {
        rule: rule.name.clone(),
        fired: Some(&rule.name) == record.rule.as_ref(),
        condition: condition_in_words(rule, &policy.probes),
        evidence: evidence_in_words(rule, &policy.probes, reading),
        verdict: reading.verdict,
        probes,
        value: reading.value,
        threshold: reading.threshold,
        unit: unit_of(rule),
        samples: reading.samples,
        window_seconds: window_of(rule),
    }
}
