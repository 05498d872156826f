//! What a decision has to tell: the lines of an incident's timeline, as data and as sentences.

use serde::{Deserialize, Serialize};

use super::effect::{Answer, Effect, Guard, Reason, Rejection};
use super::policy::{Condition, Rule};
use super::rule::Reading;
use super::state::Outcome;
use crate::ids::{DeploymentId, RuleName};

/// One thing that happened in an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A rule fired on a candidate.
    Fired {
        /// The rule.
        rule: RuleName,
        /// What makes it Bad, in words.
        condition: String,
        /// The probe's numbers.
        reading: Reading,
        /// The accused deployment.
        accused: DeploymentId,
        /// The platform's words for it.
        title: String,
    },
    /// A target was chosen.
    Target {
        /// The deployment to go back to.
        target: DeploymentId,
        /// The platform's words for it.
        title: String,
        /// rearguard itself saw it to be good; otherwise the platform's word is all there is.
        seen_good: bool,
    },
    /// A target was not accepted.
    TargetRefused {
        /// The target.
        target: DeploymentId,
        /// Why.
        reason: Reason,
        /// The platform's code or words.
        detail: String,
    },
    /// A call is owed from here on.
    Call {
        /// The call.
        call: Effect,
        /// 1 for the first try.
        attempt: u32,
    },
    /// What came of it.
    Answered {
        /// Which call.
        call: String,
        /// What came back.
        answer: Answer,
    },
    /// The platform was read and shows that an unanswered call was applied.
    Adopted {
        /// Which call.
        call: String,
        /// The deployment that proves it.
        deployment: Option<DeploymentId>,
    },
    /// The platform was read and shows that an unanswered call was not applied.
    NotApplied {
        /// Which call.
        call: String,
    },
    /// The rollback deployment is live; the soak begins.
    SoakBegan {
        /// The rollback deployment.
        rollback: DeploymentId,
        /// Length in seconds.
        seconds: u64,
        /// Samples needed of each probe.
        min_samples: u32,
    },
    /// First Good verdict after the rollback.
    Restored {
        /// Seconds since the first failing sample.
        after_seconds: f64,
    },
    /// The soak came to a verdict.
    SoakJudged {
        /// Why.
        reason: Reason,
        /// Samples of the probe with the fewest.
        samples: u32,
    },
    /// The incident is over.
    Closed {
        /// How.
        outcome: Outcome,
        /// Why.
        reason: Reason,
    },
}

impl Event {
    /// The fixed word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Fired { .. } => "fired",
            Self::Target { .. } => "target",
            Self::TargetRefused { .. } => "target_refused",
            Self::Call { .. } => "call",
            Self::Answered { .. } => "answered",
            Self::Adopted { .. } => "adopted",
            Self::NotApplied { .. } => "not_applied",
            Self::SoakBegan { .. } => "soak_began",
            Self::Restored { .. } => "restored",
            Self::SoakJudged { .. } => "soak_judged",
            Self::Closed { .. } => "closed",
        }
    }

    /// A sentence for people.
    pub fn text(&self) -> String {
        match self {
            Self::Fired { rule, condition, reading, accused, title } => {
                let title = if title.is_empty() { String::new() } else { format!(" ({title})") };
                format!(
                    "rule {rule} is Bad on deployment {accused}{title}: {} over {} ({condition})",
                    value(reading),
                    plural(reading.samples, "sample"),
                )
            }
            Self::Target { target, title, seen_good } => {
                let title = if title.is_empty() { String::new() } else { format!(" ({title})") };
                let why = if *seen_good {
                    "the newest deployment seen to be good"
                } else {
                    "the newest complete deployment that was superseded; rearguard has not judged it itself"
                };
                format!("target is deployment {target}{title}: {why}")
            }
            Self::TargetRefused { target, reason, detail } => {
                format!("target {target} is not accepted: {} ({detail})", reason.word())
            }
            Self::Call { call, attempt } => {
                let again = if *attempt > 1 { format!(", try {attempt}") } else { String::new() };
                format!("{}{again}", intention(call))
            }
            Self::Answered { call, answer } => format!("{call}: {}", answered(answer)),
            Self::Adopted { call, deployment } => match deployment {
                Some(id) => format!("{call} was applied after all: the platform shows deployment {id}"),
                None => format!("{call} was applied after all: the platform shows no pin"),
            },
            Self::NotApplied { call } => format!("{call} was not applied: the platform shows no trace of it"),
            Self::SoakBegan { rollback, seconds, min_samples } => format!(
                "rollback deployment {rollback} is live; soaking for {seconds} s and {min_samples} fresh samples a probe"
            ),
            Self::Restored { after_seconds } => {
                format!("the app is healthy again, {after_seconds:.1} s after its first failing sample")
            }
            Self::SoakJudged { reason, samples } => {
                format!(
                    "the soak is over: {} ({} or more a probe)",
                    reason.word(),
                    plural(*samples, "sample")
                )
            }
            Self::Closed { outcome, reason } => format!("{}: {}", outcome.word(), reason.word()),
        }
    }
}

/// A rule's condition in words, as `explain` and `check` show it.
pub fn condition_in_words(rule: &Rule) -> String {
    match &rule.condition {
        Condition::ConsecutiveFailures { count } => format!("Bad at {count} failures in a row"),
        Condition::FailureRatio { above, over, min_samples } => format!(
            "Bad above {:.1} % failures over {}, from {min_samples} samples on",
            above * 100.0,
            humantime::format_duration(*over)
        ),
        Condition::Latency { quantile, above, over, min_samples } => format!(
            "Bad when p{} exceeds {} over {}, from {min_samples} samples on",
            quantile * 100.0,
            humantime::format_duration(*above),
            humantime::format_duration(*over)
        ),
    }
}

fn value(reading: &Reading) -> String {
    let show = |value: f64| {
        let text = format!("{value:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match reading.value {
        Some(value) => format!("value {} against {}", show(value), show(reading.threshold)),
        None => "no value".to_owned(),
    }
}

fn plural(count: u32, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn intention(call: &Effect) -> String {
    match call {
        Effect::Validate { target, .. } => format!("asking whether a rollback to {target} would be accepted"),
        Effect::CreateRollback { accused, target } => {
            format!("rolling back from {accused} to {target}, pinned")
        }
        Effect::Commit { rollback } => format!("committing rollback {rollback}"),
        Effect::Revert { rollback } => format!("reverting rollback {rollback}"),
    }
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Validated(validation) => {
            let warnings: Vec<&str> =
                validation.warnings.iter().map(|warning| warning.code.as_str()).collect();
            let warned = if warnings.is_empty() {
                "no warnings".to_owned()
            } else {
                format!("warnings: {}", warnings.join(", "))
            };
            match &validation.error {
                _ if validation.valid => format!("the platform would accept it, {warned}"),
                Some(error) => format!("the platform would not accept it: {}", error.code),
                None => "the platform would not accept it".to_owned(),
            }
        }
        Answer::Created(deployment) => format!("the platform makes deployment {}", deployment.id),
        Answer::Committed => "done, the pin is gone".to_owned(),
        Answer::Reverted(Some(id)) => format!("done, the platform makes deployment {id}"),
        Answer::Reverted(None) => "done".to_owned(),
        Answer::NotSent(guard) => format!(
            "not sent: {}",
            match guard {
                Guard::Changed => "a fresh read shows another picture",
                Guard::Unreadable => "the fresh read before it failed",
                Guard::Paused => "paused",
                Guard::Storm => "too many apps want a rollback at once",
            }
        ),
        Answer::NotApplied { why, .. } => format!(
            "not applied: {}",
            match why {
                Rejection::RateLimited => "the platform limits our rate",
                Rejection::Denied => "the platform refuses our token",
                Rejection::NotConnected => "no connection",
                Rejection::NotFound => "the platform does not know it",
            }
        ),
        Answer::Refused { status, message } => format!("refused with status {status}: {message}"),
        Answer::Unresolved => "no conclusive answer; reading the platform before anything else".to_owned(),
    }
}
