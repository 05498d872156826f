//! What a platform can do for one app. The core reads this, and contains no platform's name.
//!
//! It belongs to the app and not to the platform: what an app is made from decides, on some platforms, whether its
//! target can be named and whether its pushes can be paused.

use serde::{Deserialize, Serialize};

/// What can be done for one app, as its platform stands. The default is a platform that does it all itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Who says what a rollback goes back to.
    pub targeting: Targeting,
    /// What keeps other deployments away from a rollback.
    pub pin: PinKind,
    /// Whether a pin can be told from the platform alone, without the journal.
    pub pin_is_readable: bool,
    /// The dry run.
    pub validate: Support,
    /// Accepting a rollback. Emulated: the pin is let go, and that is all.
    pub commit: Support,
    /// Undoing a rollback. Emulated: a rollback to what was live before.
    pub revert: Support,
    /// Whether what comes back by a revert is what ran before, and not a new build of it.
    pub revert_is_exact: bool,
    /// A rolling restart of what is live.
    pub restart: Support,
    /// Whether a rollback that may have been applied can be asked for again without leading somewhere else.
    pub resend_is_safe: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            targeting: Targeting::ById,
            pin: PinKind::Hard,
            pin_is_readable: true,
            validate: Support::Native,
            commit: Support::Native,
            revert: Support::Native,
            revert_is_exact: true,
            restart: Support::Native,
            resend_is_safe: true,
        }
    }
}

/// Who says what a rollback goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Targeting {
    /// We do, by the deployment's id.
    ById,
    /// We do, by what the deployment runs, an image for example.
    ByCode,
    /// The platform: it goes back to the successful deployment before the live one.
    PlatformPicks,
}

impl Targeting {
    /// Whether what came back has to be held against what was wanted before it counts as a rollback.
    pub fn is_checked(self) -> bool {
        self != Self::ById
    }
}

/// What keeps other deployments away from a rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinKind {
    #[default]
    /// The platform refuses every other deployment until a commit or revert.
    Hard,
    /// Nothing but pushes can be kept from deploying, which has to be asked for before and taken back after.
    Soft,
    /// Nothing does.
    Absent,
}

/// How a platform does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// It cannot be done.
    Absent,
    /// It is made of other calls and of reads.
    Emulated,
    /// The platform has a call for it.
    Native,
}

/// What a push to an app's branch does, where the platform says so and lets it be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pushes {
    /// It is deployed.
    Deploy,
    /// Nothing, for now.
    Paused,
}
