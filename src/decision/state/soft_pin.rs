//! The pause of pushes that stands in for a pin.

use serde::{Deserialize, Serialize};

use super::Call;
use crate::clock::Moment;
use crate::ids::{DeploymentId, IncidentId};

/// Pushes that we keep from being deployed, or may be keeping from it, for the sake of a rollback. The platform does not
/// say whose doing that is, so it is remembered from before it is asked for until it is seen to be over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftPin {
    /// The incident it was for.
    pub incident: IncidentId,
    /// The rollback it protects; without one nothing needs it once the incident is over.
    pub holds: Option<DeploymentId>,
    /// The platform said that it is there.
    pub is_answered: bool,
    /// A read has shown it since.
    pub is_seen: bool,
    /// How long it is looked out for while reads do not show it: they may lag, and a lost request may be applied yet.
    pub until: Moment,
    /// Since it was asked for, a read has shown that it is not there. Until then a pause that is seen is ours, however late:
    /// nobody may have been able to look.
    #[serde(default)]
    pub seen_absent: bool,
    /// When the last request for it was lost.
    pub lost_at: Option<Moment>,
    /// When the last request of an earlier incident was lost that nobody waits for any more: what comes of it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_before: Option<Moment>,
    /// When it was known to be over: what was read before says nothing any more.
    #[serde(default)]
    pub over_at: Moment,
    /// The request to end it.
    pub release: Option<Call>,
    /// How often its end was tried.
    #[serde(default)]
    pub tries: u32,
    /// When pushes were let go for the first time since then: a lost request is not waited for much longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub let_go_at: Option<Moment>,
    /// The platform said for long that there is no such app: nothing is owed to it until a read shows it again.
    #[serde(default)]
    pub is_app_gone: bool,
    /// When pushes were seen to be paused, too late to be surely ours: that is told, and nobody lets them go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubted_at: Option<Moment>,
}

impl SoftPin {
    /// One that is about to be asked for, and is looked out for until then.
    pub fn of(incident: IncidentId, until: Moment) -> Self {
        Self {
            incident,
            holds: None,
            is_answered: false,
            is_seen: false,
            until,
            seen_absent: false,
            lost_at: None,
            lost_before: None,
            over_at: Moment::default(),
            release: None,
            tries: 0,
            let_go_at: None,
            is_app_gone: false,
            doubted_at: None,
        }
    }

    /// Whether a pause that is seen at `now` can be this one. Later it is a person's.
    pub fn may_be_ours(&self, now: Moment) -> bool {
        let is_awaited = self.is_there() || self.release.is_some() || now <= self.until || !self.seen_absent;
        is_awaited && self.doubted_at.is_none()
    }

    /// Whether pushes are paused, as far as anybody knows.
    pub fn is_there(&self) -> bool {
        self.is_answered || self.is_seen
    }
}
