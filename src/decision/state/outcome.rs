//! How an incident ends, in the operator's words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an incident ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The rollback is accepted.
    Committed,
    /// The rollback is undone.
    Reverted,
    /// Nothing was done, by our own rules or the platform's.
    Refused,
    /// A person has to act.
    Held,
    /// The rollback did not come about.
    Failed,
    /// A person or another deployment took over.
    Superseded,
    /// Observe mode: this is where a rollback would have begun.
    Observed,
    /// A restart healed the app.
    Restarted,
}

impl Outcome {
    /// Every outcome, in the order metrics show them.
    pub const ALL: [Self; 8] = [
        Self::Committed,
        Self::Reverted,
        Self::Refused,
        Self::Held,
        Self::Failed,
        Self::Superseded,
        Self::Observed,
        Self::Restarted,
    ];

    /// The fixed word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Reverted => "reverted",
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Observed => "observed",
            Self::Restarted => "restarted",
        }
    }
}
