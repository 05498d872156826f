//! What the core asks of the shell, what can come back, and why: closed lists.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::capability::Support;
use super::observation::{Code, Deployment};
use crate::ids::DeploymentId;

/// A call the shell owes the platform. At most one a decision, and at most one open an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Effect {
    /// Ask whether a rollback to `target` would be accepted. Changes nothing, but needs the right to write.
    Validate {
        /// The deployment that must still be the live one.
        accused: DeploymentId,
        /// The deployment to go back to.
        target: DeploymentId,
    },
    /// Keep pushes from being deployed, where that is the only pin there is.
    Pin {
        /// The deployment that must still be the live one.
        accused: DeploymentId,
    },
    /// Let pushes be deployed again, which we kept from it.
    Unpin,
    /// Restart the live deployment, rolling.
    Restart {
        /// The deployment that must still be the live one.
        accused: DeploymentId,
    },
    /// Roll back to `target`, pinning the app.
    CreateRollback {
        /// The deployment that must still be the live one.
        accused: DeploymentId,
        /// The deployment to go back to.
        target: DeploymentId,
        /// What that one runs, where the platform has to be told so.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        code: Code,
    },
    /// Accept the rollback and unpin.
    Commit {
        /// The rollback deployment the app must still be pinned to.
        rollback: DeploymentId,
    },
    /// Undo the rollback and unpin.
    Revert {
        /// The rollback deployment the app must still be pinned to.
        rollback: DeploymentId,
    },
}

impl Effect {
    /// The fixed word for metrics, logs and the API.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Validate { .. } => "validate",
            Self::Pin { .. } => "pin",
            Self::Unpin => "unpin",
            Self::Restart { .. } => "restart",
            Self::CreateRollback { .. } => "create_rollback",
            Self::Commit { .. } => "commit",
            Self::Revert { .. } => "revert",
        }
    }

    /// Whether the call changes anything on the platform.
    pub fn mutates(&self) -> bool {
        !matches!(self, Self::Validate { .. })
    }
}

/// What came of an effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The platform's word on a rollback.
    Validated(Validation),
    /// Pushes are kept from being deployed.
    Pinned,
    /// Pushes are deployed again.
    Unpinned,
    /// The deployment that restarts the live one.
    Restarted(Deployment),
    /// The rollback deployment the platform made.
    Created(Deployment),
    /// Committed.
    Committed,
    /// Reverted, with the deployment the platform made for it if it said so.
    Reverted(Option<DeploymentId>),
    /// Not sent: a guard right before the write stopped it.
    NotSent(Guard),
    /// Sent and surely not applied; worth trying again after the wait.
    NotApplied {
        /// Why.
        why: Rejection,
        /// What the platform asked us to wait.
        retry_after: Option<Duration>,
    },
    /// Refused with a client error. The platform documents none here, so it is read before it is believed.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The platform's words, shortened, free of secrets.
        message: String,
    },
    /// It may or may not have been applied: timeout, broken connection, 5xx, unreadable answer, crash.
    Unresolved,
}

/// The platform's word on a rollback, or ours where it has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// Whether the rollback would be accepted.
    pub valid: bool,
    /// The condition that fails.
    pub error: Option<Condition>,
    /// What should be known before.
    pub warnings: Vec<Condition>,
    /// Who checked: the platform's own dry run, or we by reading.
    #[serde(default = "natively", skip_serializing_if = "is_native")]
    pub by: Support,
}

impl Default for Validation {
    fn default() -> Self {
        Self { valid: false, error: None, warnings: Vec::new(), by: Support::Native }
    }
}

pub(super) fn natively() -> Support {
    Support::Native
}

pub(super) fn is_native(by: &Support) -> bool {
    *by == Support::Native
}

/// A condition the platform names. The code is an open set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// `app_pinned`, `incompatible_phase`, ...
    pub code: String,
    /// The platform's words, shortened.
    pub message: String,
    /// It is so for this app whatever is gone back to: said, and no reason to refuse.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_advice: bool,
}

/// A guard that stopped an effect right before it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// The fresh read shows another picture; it is in the observation.
    Changed,
    /// The fresh read failed, so nothing was sent.
    Unreadable,
    /// The app was paused.
    Paused,
    /// A freeze window has opened.
    Frozen,
    /// A configuration came into force by which it is not done unasked, or not at all.
    Observe,
    /// Too many apps want a rollback at once.
    Storm,
    /// This process is stopping, or was held up for so long since the decision that what it rests on is not fresh any more.
    Interrupted,
}

impl Guard {
    /// The reason that an incident is refused with where this stopped its first steps: what stands until a person, or its
    /// time, ends it.
    pub fn refuses(self) -> Option<Reason> {
        match self {
            Self::Paused => Some(Reason::Paused),
            Self::Frozen => Some(Reason::Freeze),
            Self::Storm => Some(Reason::Storm),
            Self::Changed | Self::Unreadable | Self::Observe | Self::Interrupted => None,
        }
    }
}

/// Why a call was surely not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// 429.
    RateLimited,
    /// 401 or 403.
    Denied,
    /// No connection was made.
    NotConnected,
    /// 404: the app or the target is gone.
    NotFound,
}

/// Every decision there is, with every reason it can have: the series of `decisions_total`.
pub const DECISIONS: &[(Verb, Reason)] = &[
    (Verb::Rollback, Reason::RuleFired),
    (Verb::Rollback, Reason::Requested),
    (Verb::Observe, Reason::ObserveMode),
    (Verb::Notify, Reason::RuleFired),
    (Verb::Refuse, Reason::Recovered),
    (Verb::Refuse, Reason::BadBeforeDeployment),
    (Verb::Refuse, Reason::Blind),
    (Verb::Refuse, Reason::Paused),
    (Verb::Refuse, Reason::Freeze),
    (Verb::Refuse, Reason::Cooldown),
    (Verb::Refuse, Reason::Budget),
    (Verb::Refuse, Reason::Storm),
    (Verb::Refuse, Reason::Migration),
    (Verb::Refuse, Reason::Warnings),
    (Verb::Refuse, Reason::NotValid),
    (Verb::Refuse, Reason::NoTarget),
    (Verb::Refuse, Reason::ForeignPin),
    (Verb::Refuse, Reason::InProgress),
    (Verb::Refuse, Reason::Denied),
    (Verb::Refuse, Reason::Rejected),
    (Verb::Wait, Reason::InProgress),
    (Verb::Wait, Reason::Blind),
    (Verb::Wait, Reason::Denied),
    (Verb::Wait, Reason::AwaitingApproval),
    (Verb::Wait, Reason::Paused),
    (Verb::Wait, Reason::Freeze),
    (Verb::Wait, Reason::Restarted),
    (Verb::Commit, Reason::SoakHealthy),
    (Verb::Commit, Reason::Requested),
    (Verb::Revert, Reason::SoakUnhealthy),
    (Verb::Revert, Reason::Requested),
    (Verb::Hold, Reason::Migration),
    (Verb::Hold, Reason::Paused),
    (Verb::Hold, Reason::Rejected),
    (Verb::Hold, Reason::Superseded),
    (Verb::Hold, Reason::ForeignPin),
    (Verb::Hold, Reason::WrongTarget),
    (Verb::Hold, Reason::RollbackFailed),
    (Verb::Hold, Reason::SoakHealthy),
    (Verb::Hold, Reason::SoakUnhealthy),
    (Verb::Hold, Reason::SoakUnknown),
    (Verb::Hold, Reason::ApprovalExpired),
    (Verb::Hold, Reason::ObserveMode),
    (Verb::Hold, Reason::Blind),
    (Verb::Hold, Reason::Requested),
    (Verb::Yield, Reason::Superseded),
    (Verb::Yield, Reason::ForeignPin),
];

/// What a decision does, as a fixed word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// An incident was opened that leads to a rollback.
    Rollback,
    /// A rollback that a rule asked for was refused.
    Refuse,
    /// A rollback would have been made.
    Observe,
    /// A rule fired that only tells.
    Notify,
    /// Nothing for now; looked at again.
    Wait,
    /// The rollback is accepted.
    Commit,
    /// The rollback is undone.
    Revert,
    /// Automation is off for the app until a person acts.
    Hold,
    /// A person acted; the incident is theirs.
    Yield,
}

impl Verb {
    /// The fixed word for metrics and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Refuse => "refuse",
            Self::Observe => "observe",
            Self::Notify => "notify",
            Self::Wait => "wait",
            Self::Commit => "commit",
            Self::Revert => "revert",
            Self::Hold => "hold",
            Self::Yield => "yield",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal),* $(,)?) => {
        /// Why: in the log, the metrics, the journal and every notice. A closed list that the operator's
        /// contract fixes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Reason {
            $($(#[$doc])* #[serde(rename = $word)] $name),*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The fixed word.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

reasons! {
    /// A rule is Bad on the candidate.
    RuleFired = "rule_fired",
    /// The app healed before the write.
    Recovered = "recovered",
    /// The rule was Bad before the candidate went live.
    BadBeforeDeployment = "bad_before_deployment",
    /// It cannot be told whether the app is Bad.
    Blind = "blind",
    /// A person paused the app.
    Paused = "paused",
    /// A freeze window.
    Freeze = "freeze",
    /// Too soon after the last rollback.
    Cooldown = "cooldown",
    /// Too many rollbacks in the period.
    Budget = "budget",
    /// Too many apps want a rollback at once.
    Storm = "storm",
    /// A migration job differs.
    Migration = "migration",
    /// The platform warned.
    Warnings = "warnings",
    /// The platform would not accept the rollback.
    NotValid = "not_valid",
    /// There is no deployment to go back to.
    NoTarget = "no_target",
    /// Somebody else's rollback pins the app.
    ForeignPin = "foreign_pin",
    /// Another deployment is under way.
    InProgress = "in_progress",
    /// A person acted, or another deployment took over.
    Superseded = "superseded",
    /// The platform went back to something else.
    WrongTarget = "wrong_target",
    /// The platform refuses our token.
    Denied = "denied",
    /// The app is only observed.
    ObserveMode = "observe_mode",
    /// A person is asked.
    AwaitingApproval = "awaiting_approval",
    /// A person said no.
    Rejected = "rejected",
    /// Nobody answered in time.
    ApprovalExpired = "approval_expired",
    /// The rolled-back app is healthy.
    SoakHealthy = "soak_healthy",
    /// The rolled-back app is not healthy.
    SoakUnhealthy = "soak_unhealthy",
    /// It could not be told whether the rolled-back app is healthy.
    SoakUnknown = "soak_unknown",
    /// The rollback did not come about.
    RollbackFailed = "rollback_failed",
    /// A restart healed the app.
    Restarted = "restarted",
    /// A person asked for it.
    Requested = "requested",
}

impl Reason {
    /// What it means to somebody who has never read the list; reads after a colon.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::RuleFired => "a rule fired on the new deployment",
            Self::Recovered => "the app healed before anything was written",
            Self::BadBeforeDeployment => "the rule was bad already before this deployment went live",
            Self::Blind => "nobody can tell how the app is",
            Self::Paused => "an operator paused it",
            Self::Freeze => "a freeze window is open",
            Self::Cooldown => "too soon after the last rollback",
            Self::Budget => "too many rollbacks in the period",
            Self::Storm => "too many apps want a rollback at once",
            Self::Migration => "a migration job differs between the two specs",
            Self::Warnings => "the platform warns of this rollback",
            Self::NotValid => "the platform would not accept the rollback",
            Self::NoTarget => "there is no deployment to go back to",
            Self::ForeignPin => "somebody else's rollback pins the app",
            Self::InProgress => "another deployment is under way",
            Self::Superseded => "a person acted, or another deployment took over",
            Self::WrongTarget => "the platform went back to something else",
            Self::Denied => "the platform refuses our token",
            Self::ObserveMode => "the app is only observed",
            Self::AwaitingApproval => "a person is asked",
            Self::Rejected => "a person said no",
            Self::ApprovalExpired => "nobody answered in time",
            Self::SoakHealthy => "the rolled-back app stayed healthy",
            Self::SoakUnhealthy => "the rolled-back app is not healthy either",
            Self::SoakUnknown => "nobody could tell whether the rolled-back app is healthy",
            Self::RollbackFailed => "the rollback did not come about",
            Self::Restarted => "a restart healed the app",
            Self::Requested => "a person asked for it",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::capability::PinKind;
    use crate::decision::rule::Verdict;
    use crate::decision::sample::{BlindCause, Failure};
    use crate::decision::state::Outcome;
    use crate::decision::story::Event;

    /// What the journal calls it: the word itself, or the tag or only key of what has more to it.
    fn written(value: &impl Serialize, tag: &str) -> String {
        let value = serde_json::to_value(value).unwrap();
        let tagged = value.get(tag).cloned();
        let word =
            tagged.or_else(|| Some(value.as_object()?.keys().next()?.as_str().into())).unwrap_or(value);
        word.as_str().unwrap().to_owned()
    }

    #[test]
    fn who_validated_is_written_where_it_was_not_the_platform() {
        for (by, is_written) in [(Support::Native, false), (Support::Emulated, true)] {
            let validation = Validation { by, ..Validation::default() };
            let written = serde_json::to_value(&validation).unwrap();
            assert_eq!(written.get("by").is_some(), is_written, "{written}");
            assert_eq!(serde_json::from_value::<Validation>(written).unwrap(), validation);
        }
    }

    #[test]
    fn the_fixed_words_are_the_ones_the_journal_writes() {
        let id = |id: &str| DeploymentId::from(id);
        let effects = [
            Effect::Validate { accused: id("d2"), target: id("d1") },
            Effect::Pin { accused: id("d2") },
            Effect::Unpin,
            Effect::Restart { accused: id("d2") },
            Effect::CreateRollback { accused: id("d2"), target: id("d1"), code: Vec::new() },
            Effect::Commit { rollback: id("d3") },
            Effect::Revert { rollback: id("d3") },
        ];
        for effect in &effects {
            assert_eq!(effect.word(), written(effect, "call"));
            assert_eq!(effect.mutates(), effect.word() != "validate");
        }
        let verbs = [
            Verb::Rollback,
            Verb::Refuse,
            Verb::Observe,
            Verb::Wait,
            Verb::Commit,
            Verb::Revert,
            Verb::Hold,
            Verb::Yield,
        ];
        for verb in verbs {
            assert_eq!(verb.word(), written(&verb, ""));
        }
        for reason in Reason::ALL {
            assert_eq!(reason.word(), written(reason, ""));
        }
        for outcome in Outcome::ALL {
            assert_eq!(outcome.word(), written(&outcome, ""));
        }
        for verdict in Verdict::ALL {
            assert_eq!(verdict.word(), written(&verdict, ""));
        }
        for cause in BlindCause::ALL {
            assert_eq!(cause.word(), written(&cause, ""));
        }
        for failure in [
            Failure::Dns,
            Failure::Tls,
            Failure::Status(500),
            Failure::Protocol,
            Failure::Value,
            Failure::Absent,
            Failure::NotServing,
            Failure::Grpc(14),
            Failure::Untrusted,
            Failure::Expiring,
            Failure::Unhealthy,
        ] {
            assert_eq!(failure.word(), written(&failure, ""));
        }
        let events = [
            Event::AppGone,
            Event::NoTarget { code: "same_artifact".to_owned() },
            Event::NotApplied { call: "commit".to_owned() },
            Event::Restored { after_seconds: 1.0 },
            Event::Call { call: effects[0].clone(), attempt: 1, pin: PinKind::Hard },
            Event::Unarmed,
            Event::Unconfigured,
            Event::Inexact,
            Event::RestartSkipped { restart: Support::Absent, had_one: false },
            Event::RestartJudged {
                rule: "down".into(),
                evidence: String::new(),
                reading: serde_json::from_str(
                    r#"{"verdict":"good","value":0.0,"threshold":3.0,"samples":1,"first_failure_at":null}"#,
                )
                .unwrap(),
            },
            Event::Unprotected,
            Event::LetGoByOthers,
            Event::PausedPerhapsByUs,
            Event::PerhapsOurs { deployments: vec![id("d3")], is_restart: false },
            Event::LeftOver { deployment: id("d3") },
            Event::WrongTarget {
                deployment: id("d3"),
                expected: Vec::new(),
                got: Vec::new(),
                is_accused: false,
            },
        ];
        for event in &events {
            assert_eq!(event.word(), written(event, "event"));
        }
        // An earlier release did not write why a restart was skipped.
        let skipped: Event = serde_json::from_str(r#"{"event":"restart_skipped"}"#).unwrap();
        assert_eq!(skipped, Event::RestartSkipped { restart: Support::Native, had_one: false });
        // Nor by whom a target was named.
        let target = r#"{"event":"target","target":"d1","title":"","seen_good":true}"#;
        let chosen: Event = serde_json::from_str(target).unwrap();
        assert!(matches!(&chosen, Event::Target { named_by: None, was_bad: false, .. }), "{chosen:?}");
        assert_eq!(serde_json::to_string(&chosen).unwrap(), target);
    }

    #[test]
    fn every_reason_has_a_meaning_of_its_own() {
        let meanings: std::collections::BTreeSet<_> =
            Reason::ALL.iter().map(|reason| reason.meaning()).collect();
        assert_eq!(meanings.len(), Reason::ALL.len());
        assert!(meanings.iter().all(|meaning| meaning.contains(' ')));
    }
}
