//! Whether what is live came after every incident of the app.

use super::Ledger;
use crate::decision::observation::{Artifact, Deployment};
use crate::ids::DeploymentId;

impl Ledger {
    /// Whether `live` is a release that came after the last incident: neither what one accused or made, nor the same code
    /// under another id, as a restart, the platform's upkeep or the undoing of a rollback has it. What the deployments ran
    /// that it was about is remembered here, or stands in `listed`, the platform's list; where it does not, what brought
    /// `live` about has to do.
    pub fn is_newer_release(&self, live: &Deployment, listed: &[Deployment]) -> bool {
        if self.accused.contains(&live.id) || self.made_for(&live.id).is_some() {
            return false;
        }
        let last = [self.accused.last(), self.ours.last().map(|(id, _)| id)].into_iter().flatten();
        last.map(|id| self.ran(id, listed)).all(|ran| match ran {
            Some(ran) if live.artifact.can_be_held_against(ran) => live.artifact.differs_from(ran),
            _ => live.cause.is_release(),
        })
    }

    /// What a deployment ran, where that is known.
    fn ran<'a>(&'a self, id: &DeploymentId, listed: &'a [Deployment]) -> Option<&'a Artifact> {
        let condemned = self.condemned.iter().find(|(condemned, _)| condemned == id).map(|(_, ran)| ran);
        let mut others = self.good.iter().chain(listed);
        condemned.or_else(|| others.find(|other| other.id == *id).map(|other| &other.artifact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::observation::{Cause, Phase};

    fn deployment(id: &str, code: &str, cause: Cause) -> Deployment {
        let code = if code.is_empty() { Vec::new() } else { vec![("web".to_owned(), code.to_owned())] };
        Deployment {
            id: id.into(),
            phase: Phase::Active,
            cause,
            created_ms: 0,
            complete: true,
            artifact: Artifact { code, ..Artifact::default() },
            cloned_from: None,
            took_ms: None,
            title: String::new(),
        }
    }

    /// After a rollback of d2, which ran c2, to c1 by d3.
    fn rolled_back() -> Ledger {
        let accused = deployment("d2", "c2", Cause::Release);
        Ledger {
            good: vec![deployment("d1", "c1", Cause::Release), deployment("d3", "c1", Cause::Rollback)],
            condemned: vec![(accused.id.clone(), accused.artifact)],
            accused: vec!["d2".into()],
            ours: vec![("d3".into(), "shop-1".into())],
            ..Ledger::default()
        }
    }

    #[test]
    fn another_code_than_an_incident_was_about_is_newer_however_it_was_begun() {
        for cause in [Cause::Release, Cause::Restart, Cause::Platform] {
            assert!(rolled_back().is_newer_release(&deployment("d4", "c4", cause), &[]), "{cause:?}");
        }
    }

    #[test]
    fn what_an_incident_accused_or_made_is_not_newer_under_another_id_either() {
        let ledger = rolled_back();
        for (id, code, cause) in [
            ("d2", "c2", Cause::Release),
            ("d3", "c1", Cause::Rollback),
            ("d4", "c2", Cause::Restart),
            ("d4", "c1", Cause::Platform),
            ("d4", "c2", Cause::Revert),
            // Deployed once more by hand.
            ("d4", "c2", Cause::Release),
        ] {
            assert!(!ledger.is_newer_release(&deployment(id, code, cause), &[]), "{id} {code} {cause:?}");
        }
    }

    #[test]
    fn what_a_revert_brings_back_is_not_newer_though_nothing_is_condemned_any_more() {
        let reverted = Ledger {
            condemned: Vec::new(),
            ours: vec![("d3".into(), "shop-1".into()), ("d4".into(), "shop-1".into())],
            ..rolled_back()
        };
        let back = deployment("d4", "c2", Cause::Release);
        assert!(!reverted.is_newer_release(&back, &[]), "made by us");
        // The platform's own undoing of a rollback, and a restart of that.
        let native = Ledger { ours: vec![("d3".into(), "shop-1".into())], ..reverted };
        for cause in [Cause::Revert, Cause::Restart] {
            let back = deployment("d5", "c2", cause);
            assert!(!native.is_newer_release(&back, &[]), "{cause:?}");
            assert!(!native.is_newer_release(&back, &[deployment("d2", "c2", Cause::Release)]), "{cause:?}");
        }
        let listed = [deployment("d2", "c2", Cause::Release)];
        assert!(native.is_newer_release(&deployment("d6", "c6", Cause::Restart), &listed));
    }

    #[test]
    fn where_the_platform_does_not_say_what_runs_a_release_is_newer_and_a_restart_is_not() {
        for (cause, is_newer) in [(Cause::Push, true), (Cause::Restart, false), (Cause::Platform, false)] {
            assert_eq!(
                rolled_back().is_newer_release(&deployment("d4", "", cause), &[]),
                is_newer,
                "{cause:?}"
            );
        }
    }
}
