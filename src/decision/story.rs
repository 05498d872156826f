//! What a decision has to tell: the lines of an incident's timeline, as data and as sentences.

mod calls;
mod compared;
mod predicted;
mod rules;
mod targets;

use std::time::Duration;

use calls::{answered, intention, perhaps_ours};
use serde::{Deserialize, Serialize};

use super::capability::{PinKind, Support};
use super::effect::{Answer, Effect, Reason, is_native, natively};
use super::observation::{Code, Request};
use super::prediction::{Efficacy, Prediction};
use super::rule::{Reading, Verdict};
use super::state::Outcome;
use crate::ids::{Caller, DeploymentId, RuleName};

pub(crate) use compared::time;
pub use rules::{condition_in_words, evidence_in_words};
pub(crate) use rules::{one_in, percent, quantile_in_words};
pub(crate) use targets::{misnamed, obstacle, what_is_known, why_not};

/// Why an app is not rolled back where the platform picks what it goes back to.
pub const UNARMED: &str = "the platform picks what it goes back to, and may pick the bad release when asked twice; \
                           accept_platform_choice: true lets rearguard act all the same";

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
        /// What was measured and what it is held to, in words.
        #[serde(default)]
        evidence: String,
        /// The probe's numbers.
        reading: Reading,
        /// The accused deployment.
        accused: DeploymentId,
        /// The platform's words for it.
        title: String,
    },
    /// A rule is Bad that only tells.
    Noticed {
        /// The rule.
        rule: RuleName,
        /// The release.
        deployment: DeploymentId,
        /// What was measured and what it is held to, in words.
        evidence: String,
    },
    /// A person's word.
    Asked {
        /// What.
        request: Request,
        /// Whose.
        by: Caller,
        /// The deployment that is live.
        live: DeploymentId,
        /// The platform's words for it.
        title: String,
        /// What would be gone back to, where that is what they answer about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<DeploymentId>,
    },
    /// While a person was asked, a rule fired that needs no asking.
    Escalated {
        /// The rule.
        rule: RuleName,
        /// What makes it Bad, in words.
        condition: String,
        /// What was measured and what it is held to, in words.
        evidence: String,
        /// The probe's numbers.
        reading: Reading,
    },
    /// A target was chosen.
    Target {
        /// The deployment to go back to.
        target: DeploymentId,
        /// The platform's words for it.
        title: String,
        /// rearguard itself saw it to be good; otherwise the platform's word is all there is.
        seen_good: bool,
        /// The person who named it; nothing where rearguard chose it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        named_by: Option<Caller>,
        /// It is named although it, or what it runs, was found to be bad or rolled back from before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        was_bad: bool,
    },
    /// Nothing can be gone back to.
    NoTarget {
        /// What speaks against the newest deployment that could be, as a code.
        code: String,
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
        /// What keeps other deployments away meanwhile.
        #[serde(default, skip_serializing_if = "is_hard")]
        pin: PinKind,
    },
    /// The app left the configuration before anything was asked for.
    Unconfigured,
    /// The platform picks what it goes back to, and the operator has not accepted that.
    Unarmed,
    /// The rollback is about to be undone, and what comes back by that may be something else than ran before it.
    Inexact,
    /// No restart is tried: the platform has none for the app, or would go back to it, or the release had one.
    RestartSkipped {
        /// How the platform restarts the app.
        #[serde(default = "natively", skip_serializing_if = "is_native")]
        restart: Support,
        /// The release had one, or may be what one made that had no answer.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        had_one: bool,
    },
    /// What the rule that fired reads once a restart had its time.
    RestartJudged {
        /// The rule.
        rule: RuleName,
        /// What was measured and what it is held to, in words.
        evidence: String,
        /// The probe's numbers.
        reading: Reading,
    },
    /// Pushes could not be kept from being deployed.
    Unprotected,
    /// Pushes that we kept from being deployed were let go by somebody else.
    LetGoByOthers,
    /// Pushes are paused, too late for it to be surely what came of a lost request of ours: nobody lets them go.
    PausedPerhapsByUs,
    /// What came back is not what was wanted.
    WrongTarget {
        /// The deployment that came back.
        deployment: DeploymentId,
        /// What it should run.
        expected: Code,
        /// What it runs; nothing where the platform does not say.
        got: Code,
        /// It runs what was rolled back from.
        is_accused: bool,
    },
    /// What came about while an answer was awaited: it may be ours, and nobody can tell.
    PerhapsOurs {
        /// Each of them.
        deployments: Vec<DeploymentId>,
        /// It was the restart that got no answer.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_restart: bool,
    },
    /// A rollback of ours is there although its incident is over.
    LeftOver {
        /// The rollback deployment.
        deployment: DeploymentId,
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
    /// The platform says that there is no such app, and has done so for long.
    AppGone,
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
    /// The rollback could be committed or reverted, and something keeps that from being done.
    EndWaits {
        /// What keeps it.
        reason: Reason,
    },
    /// The soak came to a verdict.
    SoakJudged {
        /// Why.
        reason: Reason,
        /// Samples of the probe with the fewest.
        samples: u32,
    },
    /// What the rollback is expected to do.
    Predicted {
        /// That.
        prediction: Prediction,
    },
    /// What the rollback did, at the end of its soak.
    PredictionJudged {
        /// What was expected.
        prediction: Prediction,
        /// What was measured.
        value: f64,
        /// What that comes to.
        efficacy: Efficacy,
        /// Another rule than the one that fired is Bad now.
        is_other: bool,
    },
    /// The incident is over.
    Closed {
        /// How.
        outcome: Outcome,
        /// Why.
        reason: Reason,
        /// A code that says more of it, where there is one: why what a person named is nothing to go back to.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
}

impl Event {
    /// The fixed word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Fired { .. } => "fired",
            Self::Noticed { .. } => "noticed",
            Self::Asked { .. } => "asked",
            Self::Escalated { .. } => "escalated",
            Self::Target { .. } => "target",
            Self::NoTarget { .. } => "no_target",
            Self::TargetRefused { .. } => "target_refused",
            Self::Call { .. } => "call",
            Self::Unconfigured => "unconfigured",
            Self::Unarmed => "unarmed",
            Self::Inexact => "inexact",
            Self::RestartSkipped { .. } => "restart_skipped",
            Self::RestartJudged { .. } => "restart_judged",
            Self::Unprotected => "unprotected",
            Self::LetGoByOthers => "let_go_by_others",
            Self::PausedPerhapsByUs => "paused_perhaps_by_us",
            Self::WrongTarget { .. } => "wrong_target",
            Self::PerhapsOurs { .. } => "perhaps_ours",
            Self::LeftOver { .. } => "left_over",
            Self::Answered { .. } => "answered",
            Self::Adopted { .. } => "adopted",
            Self::NotApplied { .. } => "not_applied",
            Self::AppGone => "app_gone",
            Self::SoakBegan { .. } => "soak_began",
            Self::Restored { .. } => "restored",
            Self::EndWaits { .. } => "end_waits",
            Self::SoakJudged { .. } => "soak_judged",
            Self::Predicted { .. } => "predicted",
            Self::PredictionJudged { .. } => "prediction_judged",
            Self::Closed { .. } => "closed",
        }
    }

    /// A sentence for people.
    pub fn text(&self) -> String {
        match self {
            Self::Fired { rule, evidence, accused, title, .. } => {
                format!("rule {rule} fired on deployment {accused}{}: {evidence}", in_brackets(title))
            }
            Self::Noticed { rule, deployment, evidence } => {
                format!("rule {rule}, which only tells, is bad on deployment {deployment}: {evidence}")
            }
            Self::Asked { request, by, live, title, target } => asked(request, by, live, title, target.as_ref()),
            Self::Escalated { rule, evidence, .. } => {
                format!("rule {rule} fired as well, which needs no asking: {evidence}")
            }
            Self::Target { target, title, seen_good, named_by, was_bad } => {
                targets::chosen(target, title, *seen_good, named_by.as_ref(), *was_bad)
            }
            Self::NoTarget { code } => targets::none(code),
            Self::TargetRefused { target, reason, detail } => targets::refused(target, *reason, detail),
            Self::Call { call, attempt, pin } => {
                let again = if *attempt > 1 { format!(" (try {attempt})") } else { String::new() };
                format!("{}{again}", intention(call, *pin))
            }
            Self::Unconfigured => "the app is not configured any more, so it is not rolled back".to_owned(),
            Self::Unarmed => UNARMED.to_owned(),
            Self::Inexact => "what comes back by undoing the rollback may not be exactly what ran before it: the \
                              platform may build it anew, pick something else, or take what a tag means by now"
                .to_owned(),
            Self::RestartSkipped { had_one: true, .. } => {
                "no restart is tried: this release was restarted before, or may be what a restart without an answer \
                 made"
                    .to_owned()
            }
            Self::RestartSkipped { restart: Support::Absent, .. } => {
                "no restart is tried: the platform has none for this app".to_owned()
            }
            Self::RestartSkipped { .. } => {
                "no restart is tried: the platform would take what was restarted for what to go back to"
                    .to_owned()
            }
            Self::RestartJudged { rule, evidence, reading } => {
                let came_to = match reading.verdict {
                    Verdict::Good => "the restart helped",
                    Verdict::Bad => "the restart did not help",
                    Verdict::Unknown => "nobody can tell whether the restart helped",
                };
                format!("{came_to}: rule {rule} is {} ({evidence})", reading.verdict.word())
            }
            Self::Unprotected => {
                "pushes could not be kept from being deployed; going on without that".to_owned()
            }
            Self::LetGoByOthers => {
                "somebody has let pushes be deployed again; nothing is left to be done".to_owned()
            }
            Self::PausedPerhapsByUs => {
                "pushes are paused: by somebody, or by what rearguard asked for; they stay so until somebody lets \
                 them be deployed"
                    .to_owned()
            }
            Self::WrongTarget { deployment, expected, got, is_accused } => {
                let what = match (is_accused, got.is_empty()) {
                    (true, _) => "what was to be rolled back from".to_owned(),
                    (_, true) => "something that cannot be told".to_owned(),
                    _ => code_in_words(got),
                };
                format!("deployment {deployment} runs {what} instead of {}", code_in_words(expected))
            }
            Self::PerhapsOurs { deployments, is_restart } => perhaps_ours(deployments, *is_restart),
            Self::LeftOver { deployment } => {
                format!(
                    "deployment {deployment}, which rearguard asked for as far as anybody can tell, is there although \
                     its incident is over"
                )
            }
            Self::Answered { call, answer } => format!("{call}: {}", answered(answer)),
            Self::Adopted { call, deployment } => match deployment {
                Some(id) => format!("{call} was applied after all: the platform shows deployment {id}"),
                None => format!("{call} was applied after all: the platform shows no pin"),
            },
            Self::NotApplied { call } => format!("{call} was not applied: the platform shows no trace of it"),
            Self::AppGone => {
                "the platform has no such app any more, so nothing comes of what was asked of it".to_owned()
            }
            Self::SoakBegan { rollback, seconds, min_samples } => format!(
                "rollback deployment {rollback} is live; it is watched for {} and until each probe has {} (the soak)",
                humantime::format_duration(Duration::from_secs(*seconds)),
                plural(*min_samples, "fresh sample"),
            ),
            Self::Restored { after_seconds } => {
                format!("the app is healthy again, {after_seconds:.1} s after its first failing sample")
            }
            Self::EndWaits { reason } => {
                format!(
                    "the rollback could be settled now, and that waits: {} ({})",
                    reason.meaning(),
                    reason.word()
                )
            }
            Self::SoakJudged { reason, samples } => {
                let samples = plural(*samples, "sample");
                format!("the soak is over: {}; each probe has at least {samples}", reason.meaning())
            }
            Self::Predicted { prediction } => predicted::predicted(prediction),
            Self::PredictionJudged { prediction, value, efficacy, is_other } => {
                predicted::judged(prediction, *value, *efficacy, *is_other)
            }
            Self::Closed { outcome, reason, detail } => {
                format!("closed as {}: {}", outcome.word(), targets::why_closed(*reason, detail))
            }
        }
    }
}

fn asked(
    request: &Request,
    by: &Caller,
    live: &DeploymentId,
    title: &str,
    target: Option<&DeploymentId>,
) -> String {
    let about = target.map(|target| format!(" to {target}")).unwrap_or_default();
    match request {
        Request::Approve => format!("{by} approved the rollback{about}"),
        Request::Reject => format!("{by} said no to the rollback{about}"),
        Request::Resume => format!("{by} ended the hold"),
        Request::Rollback { to, accept } => {
            let to = to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
            let accepted = match (accept.warnings, accept.migrations) {
                (false, false) => "",
                (true, false) => ", whatever the platform warns of",
                (false, true) => ", whatever migrations differ",
                (true, true) => ", whatever the platform warns of and whatever migrations differ",
            };
            format!("{by} asked for a rollback from deployment {live}{}{to}{accepted}", in_brackets(title))
        }
        Request::Commit => format!("{by} asked for the rollback to be committed"),
        Request::Revert => format!("{by} asked for the rollback to be undone"),
    }
}

fn in_brackets(title: &str) -> String {
    if title.is_empty() { String::new() } else { format!(" ({title})") }
}

fn plural(count: u32, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// What a deployment runs, as people read it: a commit by its first letters, an image by its name.
fn code_in_words(code: &Code) -> String {
    let short = |runs: &String| {
        let is_commit = runs.len() == 40 && runs.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_commit { format!("commit {}", &runs[..7]) } else { runs.clone() }
    };
    code.iter().map(|(_, runs)| short(runs)).collect::<Vec<_>>().join(", ")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_hard(pin: &PinKind) -> bool {
    *pin == PinKind::Hard
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::policy::{Condition, Rule, Signal};
    use crate::decision::rule::Compared;

    fn rule(condition: Condition) -> Rule {
        Rule::of("down", 0, condition)
    }

    fn evidence(rule: &Rule, value: Option<f64>, samples: u32) -> String {
        let reading = Reading {
            verdict: Verdict::Bad,
            value,
            threshold: 0.0,
            samples,
            first_failure_at: None,
            parts: Vec::new(),
            compared: None,
        };
        evidence_in_words(rule, &[], &reading)
    }

    #[test]
    fn a_rule_and_what_it_measured_read_as_sentences() {
        let in_a_row = |count| rule(Condition::ConsecutiveFailures { count });
        assert_eq!(condition_in_words(&in_a_row(1), &[]), "bad at 1 failure in a row");
        assert_eq!(condition_in_words(&in_a_row(3), &[]), "bad at 3 failures in a row");
        assert_eq!(evidence(&in_a_row(1), Some(1.0), 1), "1 failure in a row, limit 1");
        assert_eq!(evidence(&in_a_row(2), Some(2.0), 2), "2 failures in a row, limit 2");
        assert_eq!(evidence(&in_a_row(2), Some(0.0), 2), "0 failures in a row, limit 2");
        assert_eq!(evidence(&in_a_row(2), None, 0), "nothing measured");

        let over = Duration::from_secs(60);
        let ratio = rule(Condition::FailureRatio { above: 0.125, over, min_samples: 5 });
        assert_eq!(
            condition_in_words(&ratio, &[]),
            "bad when more than 12.5 % fail over 1m, from 5 samples on"
        );
        assert_eq!(evidence(&ratio, Some(0.2), 10), "20 % of 10 samples failed, limit 12.5 %");

        let above = Duration::from_millis(800);
        let slow = rule(Condition::Latency { quantile: 0.999, above, over, min_samples: 1 });
        assert_eq!(condition_in_words(&slow, &[]), "bad when p99.9 is above 800ms over 1m, from 1 sample on");
        assert_eq!(evidence(&slow, Some(0.9), 1), "p99.9 is 900ms over 1 sample, limit 800ms");
        assert_eq!(evidence(&slow, Some(1.0), 2), "p99.9 is 1.0s over 2 samples, limit 800ms");
        assert_eq!(evidence(&slow, Some(2.34), 2), "p99.9 is 2.3s over 2 samples, limit 800ms");
    }

    #[test]
    fn what_is_usual_of_a_pin_or_a_restart_is_not_written() {
        let call = |pin| Event::Call { call: Effect::Unpin, attempt: 1, pin };
        let skipped = |restart| Event::RestartSkipped { restart, had_one: true };
        for (event, key, is_written) in [
            (call(PinKind::Hard), "pin", false),
            (call(PinKind::Soft), "pin", true),
            (skipped(Support::Native), "restart", false),
            (skipped(Support::Absent), "restart", true),
        ] {
            let written = serde_json::to_value(&event).unwrap();
            let (_, fields) = written.as_object().and_then(|fields| fields.iter().next()).unwrap();
            assert_eq!(written.get(key).or(fields.get(key)).is_some(), is_written, "{written}");
            assert_eq!(serde_json::from_value::<Event>(written).unwrap(), event);
        }
    }

    #[test]
    fn what_a_deployment_runs_reads_short() {
        let runs = |runs: &[&str]| runs.iter().map(|runs| ("web".to_owned(), (*runs).to_owned())).collect();
        let commit = "9a4df0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7";
        assert_eq!(code_in_words(&runs(&[commit, "shop:1.4.2"])), "commit 9a4df0b, shop:1.4.2");
        let no_commit = "9a4df0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6g7";
        assert_eq!(code_in_words(&runs(&[no_commit])), no_commit);
        assert_eq!(code_in_words(&runs(&[&commit[..12]])), commit[..12]);
        assert_eq!(code_in_words(&runs(&[])), "");
    }

    #[test]
    fn what_was_compared_reads_in_its_own_units() {
        let said = |of, value, samples, compared| {
            let regression = crate::decision::policy::Regression {
                of,
                probability: 0.001,
                worse_by: 0.5,
                glitch: Duration::from_secs(5),
                min_failures: 3,
            };
            let reading = Reading {
                verdict: Verdict::Bad,
                value: Some(value),
                threshold: 1_111.0,
                samples,
                first_failure_at: None,
                parts: Vec::new(),
                compared,
            };
            let rule = rule(Condition::Regression(regression));
            (condition_in_words(&rule, &[]), evidence_in_words(&rule, &[], &reading))
        };
        let compared = |bad, usual, limit, seen| Some(Compared { bad, usual, limit, seen });
        let (condition, evidence) =
            said(Signal::Failures, 1_240.0, 37, compared(12, 0.001, 0.024, 12.0 / 37.0));
        assert_eq!(
            condition,
            "bad when it surely fails more often than the release before and 50 % more; wrong for at most 1 release in 1000"
        );
        assert_eq!(evidence, "12 of 37 samples failed, where 2.4 % may; evidence 1240 of the 1111 it takes");
        let (condition, evidence) = said(Signal::Latency, 3.21, 7, compared(6, 0.12, 0.18, 1.31));
        assert_eq!(
            condition,
            "bad when it surely takes longer than the release before and 50 % more; wrong for at most 1 release in 1000"
        );
        assert_eq!(
            evidence,
            "6 of 7 stretches slower than 180ms (1.3s on average), where most of the release before took up to 120ms; \
             evidence 3.2 of the 1111 it takes"
        );
        let (_, evidence) = said(Signal::Latency, 1.0, 1, compared(0, 0.12, 0.18, 0.0));
        assert!(evidence.starts_with("0 of 1 stretch slower than 180ms, where most"), "{evidence}");
        let (_, evidence) = said(Signal::Latency, 1.0, 2, compared(0, 0.0, 0.0, 0.0));
        assert_eq!(
            evidence,
            "2 stretches and no release before to compare them with; evidence 1.0 of the 1111 it takes"
        );
        let (_, evidence) = said(Signal::Failures, 1.0, 2, None);
        assert_eq!(evidence, "evidence 1.0 of the 1111 it takes, from 2 samples", "of an older journal");
    }

    #[test]
    fn a_title_stands_in_brackets_and_a_second_try_is_named() {
        let event = |title: &str| Event::Target {
            target: "d1".into(),
            title: title.to_owned(),
            seen_good: true,
            named_by: None,
            was_bad: false,
        };
        assert_eq!(
            event("commit 1").text(),
            "the deployment to go back to is d1 (commit 1): the newest that rearguard saw to be good"
        );
        assert_eq!(
            event("").text(),
            "the deployment to go back to is d1: the newest that rearguard saw to be good"
        );
        let call = Effect::Validate { accused: "d2".into(), target: "d1".into() };
        let first = "finding out whether the platform would accept a rollback to d1";
        assert_eq!(Event::Call { call: call.clone(), attempt: 1, pin: PinKind::Hard }.text(), first);
        assert_eq!(Event::Call { call, attempt: 2, pin: PinKind::Hard }.text(), format!("{first} (try 2)"));
    }
}
