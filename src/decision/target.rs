//! Picks the deployment to go back to, or says why there is none.
//!
//! In this order: the newest deployment that rearguard itself saw to be good; failing those, the newest one the
//! platform calls superseded and complete. Never the accused one or its artifact, never one that was condemned
//! or its artifact, never one that failed, was cancelled or did not serve, never one that was tried already.
//! Deployments are ordered by creation, not by their place in a list.

use super::observation::{Artifact, Deployment, Phase};
use super::state::{Incident, Ledger};
use crate::ids::DeploymentId;

/// How many targets an incident may try.
pub const MOST_TRIED: usize = 3;

/// What came of looking for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This one.
    Target(Deployment),
    /// None was seen to be good, and the platform's list is not known yet.
    NeedHistory,
    /// There is none.
    None,
}

/// Picks the target for `incident`.
pub fn pick(ledger: &Ledger, incident: &Incident, history: Option<&[Deployment]>) -> Pick {
    if incident.tried.len() >= MOST_TRIED {
        return Pick::None;
    }
    let accused = &incident.accused;
    let barred = |candidate: &Deployment| {
        candidate.id == accused.id
            || candidate.artifact.same_as(&accused.artifact)
            || is_condemned(ledger, &candidate.id, &candidate.artifact)
            || incident.tried.iter().any(|(tried, _)| *tried == candidate.id)
    };
    let known_to_have_failed = |id: &DeploymentId| {
        history.is_some_and(|list| {
            list.iter().any(|entry| entry.id == *id && matches!(entry.phase, Phase::Error | Phase::Canceled))
        })
    };
    let good = ledger.good.iter().rev().find(|good| !barred(good) && !known_to_have_failed(&good.id));
    if let Some(good) = good {
        return Pick::Target(good.clone());
    }
    let Some(history) = history else { return Pick::NeedHistory };
    history
        .iter()
        .filter(|entry| entry.phase == Phase::Superseded && entry.complete)
        .filter(|entry| entry.age_key() < accused.age_key() && !barred(entry))
        .max_by(|a, b| a.age_key().cmp(&b.age_key()))
        .map_or(Pick::None, |entry| Pick::Target(entry.clone()))
}

fn is_condemned(ledger: &Ledger, id: &DeploymentId, artifact: &Artifact) -> bool {
    ledger.condemned.iter().any(|(condemned, ran)| condemned == id || ran.same_as(artifact))
}
