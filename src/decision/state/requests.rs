//! What is remembered of rollbacks that were asked for, so that what comes of them is known for ours.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::decision::observation::{Artifact, Cause, Deployment};
use crate::ids::DeploymentId;

/// Requests for a rollback that may have been applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Requests {
    /// The deployments that existed before the first of them: whatever is not among them is new.
    pub before: BTreeSet<DeploymentId>,
    /// What each of them was to go back to, the last one last.
    pub targets: Vec<Deployment>,
    /// What a person ordered to be left, and is as long as nothing is seen to have come of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<(DeploymentId, Artifact)>,
    /// When what came of them was counted as a rollback: each counts once, and from when it came to light last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted: Vec<Moment>,
}

impl Requests {
    /// What is new and can be what the platform picked, whatever that is: a rollback, or, since not every platform calls
    /// it so, once more what the `accused` release ran.
    pub fn picked<'a>(
        &'a self,
        entries: impl Iterator<Item = &'a Deployment>,
        accused: &Artifact,
    ) -> Vec<&'a Deployment> {
        let is_new = |entry: &&Deployment| {
            let is_again = entry.cause == Cause::Release && entry.artifact.same_as(accused);
            (entry.cause == Cause::Rollback || is_again) && !self.before.contains(&entry.id)
        };
        let mut new: Vec<&Deployment> = entries.filter(is_new).collect();
        new.sort_by(|a, b| a.age_key().cmp(&b.age_key()));
        new.dedup_by(|a, b| a.id == b.id);
        new
    }

    /// What `entry` goes back to, if one of these requests can have made it: it did not exist before and repeats the
    /// target. Where the platform does not say what it repeats, it has to run what the target runs.
    pub fn made(&self, entry: &Deployment) -> Option<&Deployment> {
        let repeats = |target: &&Deployment| match &entry.cloned_from {
            Some(source) => *source == target.id,
            None => entry.artifact.same_as(&target.artifact),
        };
        // A restart runs the same, and is no rollback; what a push began nobody asked for.
        let can_be = !self.before.contains(&entry.id) && !matches!(entry.cause, Cause::Restart | Cause::Push);
        self.targets.iter().rev().find(repeats).filter(|_| can_be)
    }

    /// Whether nothing that `entry` shows speaks against one of these requests having made it. A platform may name what
    /// the target repeats itself. Where it names nothing only another commit or image of the same component speaks
    /// against it: which of them it lists, and what it writes into a spec, is its own affair.
    pub fn may_have_made(&self, entry: &Deployment) -> bool {
        let may_repeat = |target: &Deployment| match &entry.cloned_from {
            Some(source) => *source == target.id || target.cloned_from.as_ref() == Some(source),
            None => !entry.artifact.differs_from(&target.artifact),
        };
        self.may_have_begun(entry) && self.targets.iter().any(may_repeat)
    }

    /// Whether `entry` was not there before the requests, and nobody else is known to have begun it.
    pub fn may_have_begun(&self, entry: &Deployment) -> bool {
        !self.before.contains(&entry.id) && entry.cause != Cause::Push
    }

    /// The platform answered the last of them with `deployment`: what else is new is another one's.
    pub fn answered(&mut self, deployment: DeploymentId) {
        self.before.insert(deployment);
        self.targets.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::observation::Phase;

    fn runs(id: &str, cause: Cause) -> Deployment {
        let artifact = Artifact { code: vec![("web".to_owned(), "v1".to_owned())], ..Artifact::default() };
        Deployment {
            id: id.into(),
            phase: Phase::Active,
            cause,
            created_ms: 1,
            complete: true,
            artifact,
            cloned_from: None,
            took_ms: None,
            title: String::new(),
        }
    }

    #[test]
    fn a_person_s_restart_of_the_target_is_no_late_rollback_of_ours() {
        let requests = Requests {
            targets: vec![runs("good", Cause::Release)],
            before: ["good".into()].into(),
            ..Requests::default()
        };
        assert!(requests.made(&runs("new", Cause::Rollback)).is_some());
        assert!(requests.made(&runs("new", Cause::Release)).is_some(), "not every platform calls it so");
        assert!(requests.made(&runs("new", Cause::Restart)).is_none());
        assert!(requests.made(&runs("good", Cause::Rollback)).is_none());
    }

    #[test]
    fn what_a_push_began_is_nothing_that_was_asked_for() {
        let requests = Requests {
            targets: vec![runs("good", Cause::Release)],
            before: ["bad".into()].into(),
            ..Requests::default()
        };
        let ran = &runs("bad", Cause::Release).artifact;
        for (cause, may_be) in [(Cause::Release, true), (Cause::Push, false)] {
            let new = runs("new", cause);
            assert_eq!(requests.made(&new).is_some(), may_be);
            assert_eq!(requests.may_have_made(&new), may_be);
            assert_eq!(!requests.picked([&new].into_iter(), ran).is_empty(), may_be);
        }
    }
}
