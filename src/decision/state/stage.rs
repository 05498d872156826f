//! An open incident: what is being done about a bad release, and how far.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Asked, Ending, Live, Requests, Watch};
use crate::clock::Moment;
use crate::decision::capability::{Capabilities, Support, Targeting};
use crate::decision::effect::{Answer, Effect, Reason};
use crate::decision::observation::Deployment;
use crate::decision::policy::Rule;
use crate::decision::prediction::Prediction;
use crate::decision::rule::Reading as RuleReading;
use crate::decision::rule::regression::Before;
use crate::ids::{DeploymentId, IncidentId, RuleName};

/// From a rule firing to an outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// When the rule fired.
    pub opened_at: Moment,
    /// When the first of the failing samples was sent: time to detect and to restore count from here.
    pub first_failure_at: Moment,
    /// The rule that fired; none where a person asked.
    pub rule: Option<RuleName>,
    /// What it read when it fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<RuleReading>,
    /// What a person asked for, where no rule opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// A person's word that the soak is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// The accused deployment.
    pub accused: Deployment,
    /// When the accused deployment went live, for us.
    pub live: Live,
    /// The ids that the accused release had before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<DeploymentId>,
    /// A restart was asked for and left no trace: it may come yet.
    #[serde(default)]
    pub restart_lost: bool,
    /// What was known of the release before, for each rule that asks for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub before: BTreeMap<RuleName, Before>,
    /// How often the samples of the accused release had been weighed anew.
    #[serde(default)]
    pub begun: u32,
    /// The rules that were Bad already when it went live.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub bad_before: BTreeSet<RuleName>,
    /// Targets that were tried and not accepted, and why.
    pub tried: Vec<(DeploymentId, Reason)>,
    /// The rollbacks that were asked for, without the requests that were surely not applied.
    pub requests: Requests,
    /// How many calls in a row were surely not applied: the next one waits the longer.
    pub setbacks: u32,
    /// A person said yes to the target that was named.
    pub approved: bool,
    /// What was told to keep the end of its soak waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_waits: Option<Reason>,
    /// What the rollback is expected to do, once it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
    /// What the platform can do for the app.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// The watch that the rule fired in, where a restart may be tried before anything else: it goes on when that heals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restartable: Option<Box<Watch>>,
    /// What is being done.
    pub stage: Stage,
}

impl Incident {
    /// Whether this is the rule that fired.
    pub fn is_of(&self, rule: &Rule) -> bool {
        self.rule.as_ref() == Some(&rule.name)
    }

    /// The call that the incident waits for the answer or the outcome of, and how far it is.
    pub fn request(&self) -> Option<(Effect, &Call)> {
        let accused = self.accused.id.clone();
        let effect = match &self.stage {
            Stage::Validating { target: Some(target), .. } => {
                Effect::Validate { accused, target: target.id.clone() }
            }
            Stage::Restarting { .. } => Effect::Restart { accused },
            Stage::Pinning { .. } => Effect::Pin { accused },
            Stage::Creating { target, .. } => self.rollback_to(accused, target),
            Stage::Committing { rollback, .. } => Effect::Commit { rollback: rollback.id.clone() },
            Stage::Reverting { rollback, .. } => match self.capabilities.revert {
                Support::Native => Effect::Revert { rollback: rollback.id.clone() },
                // Back to what the rollback replaced, which is a rollback as well.
                Support::Emulated | Support::Absent => self.rollback_to(rollback.id.clone(), &self.accused),
            },
            _ => return None,
        };
        Some((effect, self.stage.call()?))
    }

    /// The call that goes from the deployment `from` to `target`.
    pub fn rollback_to(&self, from: DeploymentId, target: &Deployment) -> Effect {
        let code = match self.capabilities.targeting {
            Targeting::ByCode => target.artifact.code.clone(),
            Targeting::ById | Targeting::PlatformPicks => Vec::new(),
        };
        Effect::CreateRollback { accused: from, target: target.id.clone(), code }
    }
}

/// What is being done about an incident. The data of each step lives in its variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// A person is asked.
    AwaitingApproval {
        /// What would be gone back to.
        target: Deployment,
        /// Since when.
        #[serde(default)]
        since: Moment,
        /// When the question expires.
        deadline: Moment,
    },
    /// A target is chosen and the platform asked whether it would accept it.
    Validating {
        /// The target, once there is one.
        target: Option<Deployment>,
        /// The question, once it is owed.
        call: Option<Call>,
        /// When this ends in a refusal.
        deadline: Moment,
    },
    /// A restart of the accused deployment is tried before anything else.
    Restarting {
        /// What is to be gone back to if that does not help, where it is chosen already: a person may have said yes to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<Deployment>,
        /// The request.
        call: Call,
        /// The deployment that does it, once that is known.
        made: Option<Deployment>,
        /// When the app is looked at again, once the restart is known to be over or given up on.
        until: Option<Moment>,
        /// When a restart that does not come to an end is given up on.
        deadline: Moment,
        /// Since when the rule that fired is Good, without a break.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        good_since: Option<Moment>,
    },
    /// Pushes are to be kept from being deployed, before the rollback is asked for.
    Pinning {
        /// What is gone back to.
        target: Deployment,
        /// The request.
        call: Call,
        /// When going back to validation ends in a refusal.
        deadline: Moment,
    },
    /// The rollback is asked for.
    Creating {
        /// What is gone back to.
        target: Deployment,
        /// The request.
        call: Call,
        /// When going back to validation ends in a refusal.
        deadline: Moment,
    },
    /// The rollback deployment is on its way.
    RollingBack {
        /// What is gone back to.
        target: Deployment,
        /// The deployment that does it.
        rollback: Deployment,
        /// What is known of its pin.
        pin: PinSight,
        /// When this ends in a hold.
        deadline: Moment,
    },
    /// The rolled-back app is watched.
    Soaking {
        /// What was gone back to.
        target: DeploymentId,
        /// The rollback deployment, live.
        rollback: Deployment,
        /// Since when it is live.
        live: Live,
        /// What is known of its pin.
        pin: PinSight,
        /// When the time part of the soak ends.
        until: Moment,
        /// When a soak that stays Unknown ends in a hold, once its time is over.
        give_up: Option<Moment>,
        /// When the first Good verdict after the rollback was seen.
        restored_at: Option<Moment>,
    },
    /// The commit is asked for.
    Committing {
        /// What was gone back to.
        target: DeploymentId,
        /// The rollback deployment.
        rollback: Deployment,
        /// Since when it is live.
        live: Live,
        /// The request.
        call: Call,
    },
    /// The revert is asked for.
    Reverting {
        /// What was gone back to.
        target: DeploymentId,
        /// The rollback deployment.
        rollback: Deployment,
        /// Since when it is live.
        live: Live,
        /// The request.
        call: Call,
        /// When it is given up, where it is a rollback that has to wait for what others do.
        #[serde(default)]
        deadline: Option<Moment>,
    },
    /// What was live before the rollback is on its way back, where the platform knows no revert.
    Returning {
        /// What was gone back to.
        target: DeploymentId,
        /// The rollback deployment.
        rollback: Deployment,
        /// Since when it is live.
        live: Live,
        /// The deployment that brings the accused one back.
        made: Deployment,
        /// When this ends in a hold.
        deadline: Moment,
    },
}

impl Stage {
    /// Every word of [`Stage::word`], in the order in which an incident passes them.
    pub const WORDS: [&'static str; 7] = [
        "restarting",
        "awaiting_approval",
        "validating",
        "rolling_back",
        "soaking",
        "committing",
        "reverting",
    ];

    /// The word of the operator's contract: asking for the rollback is part of rolling back.
    pub fn word(&self) -> &'static str {
        match self {
            Self::AwaitingApproval { .. } => "awaiting_approval",
            Self::Validating { .. } => "validating",
            Self::Restarting { .. } => "restarting",
            Self::Pinning { .. } | Self::Creating { .. } | Self::RollingBack { .. } => "rolling_back",
            Self::Soaking { .. } => "soaking",
            Self::Committing { .. } => "committing",
            Self::Reverting { .. } | Self::Returning { .. } => "reverting",
        }
    }

    /// The call that is owed or unanswered.
    pub fn call(&self) -> Option<&Call> {
        match self {
            Self::Validating { call, .. } => call.as_ref(),
            Self::Restarting { call, .. }
            | Self::Pinning { call, .. }
            | Self::Creating { call, .. }
            | Self::Committing { call, .. }
            | Self::Reverting { call, .. } => Some(call),
            Self::AwaitingApproval { .. }
            | Self::RollingBack { .. }
            | Self::Soaking { .. }
            | Self::Returning { .. } => None,
        }
    }

    /// What is, or would be, gone back to.
    pub fn target(&self) -> Option<&DeploymentId> {
        match self {
            Self::Validating { target, .. } => target.as_ref().map(|target| &target.id),
            Self::Restarting { .. } => None,
            Self::AwaitingApproval { target, .. }
            | Self::Pinning { target, .. }
            | Self::Creating { target, .. }
            | Self::RollingBack { target, .. } => Some(&target.id),
            Self::Soaking { target, .. }
            | Self::Committing { target, .. }
            | Self::Reverting { target, .. }
            | Self::Returning { target, .. } => Some(target),
        }
    }

    /// The rollback deployment, once there is one.
    pub fn rollback(&self) -> Option<&DeploymentId> {
        self.rollback_made().map(|rollback| &rollback.id)
    }

    /// The same, with all that is known of it.
    pub fn rollback_made(&self) -> Option<&Deployment> {
        match self {
            Self::AwaitingApproval { .. }
            | Self::Validating { .. }
            | Self::Restarting { .. }
            | Self::Pinning { .. }
            | Self::Creating { .. } => None,
            Self::RollingBack { rollback, .. }
            | Self::Soaking { rollback, .. }
            | Self::Committing { rollback, .. }
            | Self::Reverting { rollback, .. }
            | Self::Returning { rollback, .. } => Some(rollback),
        }
    }
}

/// One request to the platform, from the decision to its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// 1 for the first try. One that was surely not applied does not count.
    pub attempt: u32,
    /// When it was decided.
    pub intended_at: Moment,
    /// How far it is.
    pub status: CallStatus,
}

/// How far a request is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum CallStatus {
    /// In the journal, being sent; its answer is not in.
    Owed,
    /// Surely not applied; decided again at `until`.
    Backoff {
        /// When.
        until: Moment,
        /// What is waited for meanwhile.
        why: Reason,
    },
    /// It may have been applied. The platform is read until it is known.
    Unresolved {
        /// Since when nobody knows.
        since: Moment,
        /// When it was first seen to be absent.
        absent_since: Option<Moment>,
        /// The platform refused it with a client error: if it is absent, it is not sent again.
        refused: Option<u16>,
    },
}

impl CallStatus {
    /// After an answer that does not say that the call was surely not applied.
    pub fn unresolved(answer: &Answer, since: Moment) -> Self {
        let refused = match answer {
            Answer::Refused { status, .. } => Some(*status),
            _ => None,
        };
        Self::Unresolved { since, absent_since: None, refused }
    }

    /// A read shows no trace of the call. Whether it counts as not applied: another read showed none before, and `reconcile` is
    /// over, in which an answer may come about late.
    pub fn is_absent(&mut self, read_at: Moment, reconcile: Duration) -> bool {
        let Self::Unresolved { since, absent_since, .. } = self else { return false };
        let first = *absent_since.get_or_insert(read_at);
        read_at > first && read_at.since(*since) >= reconcile
    }
}

/// What is known of a pin that should be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinSight {
    /// Not seen yet: the platform's reads may lag behind its writes.
    Awaited {
        /// Since when.
        since: Moment,
    },
    /// There is none, and nothing but another deployment ends the rollback.
    Absent,
    /// Seen.
    Seen,
    /// Seen before, and not in the last read.
    Missing {
        /// Since when.
        since: Moment,
    },
}
