//! Which release answered: the version that an answer names, held against what deployments run.
//!
//! A sample of another release says nothing of the one that is live: an instance that is on its way out, a cache, a
//! balancer that has not heard of it yet. An answer that names no version counts, as a dead release names none. So does
//! one whose version means nothing to anybody: what apps call their versions is their own affair, and only what has told
//! two releases apart may do so again.

use std::collections::{BTreeSet, VecDeque};

use super::observation::Deployment;
use super::sample::{BlindCause, SampleResult, Window};
use super::state::{Live, Situation, Stage, State};
use crate::clock::Moment;
use crate::ids::DeploymentId;

/// So many versions are kept: those since a release went live have to be at hand until that is noticed.
const KEPT: usize = 256;

/// The longest version that is looked at.
pub const LONGEST: usize = 128;

/// So many characters of a commit name it: what people and tools cut it to.
const SHORT: usize = 7;

/// What one probe was told of late.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    told: VecDeque<(Moment, Box<str>)>,
    /// The deployment whose own version was among them: what was told before it is another release's from then on.
    named: Option<DeploymentId>,
    /// What was told before that deployment, or one that may yet be named, went live.
    earlier: (Option<DeploymentId>, BTreeSet<Box<str>>),
}

impl Versions {
    /// Whether no answer has named one.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Takes note of the version that the answer to the sample sent at `at` named.
    pub fn take(&mut self, at: Moment, version: Box<str>) {
        if self.told.len() >= KEPT {
            self.told.pop_front();
        }
        self.told.push_back((at, version));
    }

    /// Sets aside what other releases than `judged` answered since it went live; `others` are those that are known.
    pub fn set_aside(
        &mut self,
        (judged, live): (&Deployment, &Live),
        others: &[&Deployment],
        window: &mut Window,
    ) {
        if self.earlier.0.as_ref() != Some(&judged.id) {
            let before = self.told.iter().rev().filter(|(at, _)| *at < live.since);
            self.earlier = (Some(judged.id.clone()), before.map(|(_, version)| version.clone()).collect());
        }
        let since = self.told.iter().filter(|(at, _)| *at >= live.since);
        if self.named.as_ref() != Some(&judged.id) && since.clone().any(|(_, version)| names(version, judged))
        {
            self.named = Some(judged.id.clone());
        }
        let is_named = self.named.as_ref() == Some(&judged.id);
        for (at, version) in since {
            // What means nothing to anybody and was not told before, a page of a proxy for example, may be its own end.
            let is_another = !names(version, judged)
                && (is_named && self.earlier.1.contains(version)
                    || others.iter().any(|other| other.id != judged.id && names(version, other)));
            if is_another {
                window.revise(*at, |_| SampleResult::Unknown(BlindCause::Version));
            }
        }
    }
}

/// The release that is judged by what the app answers now, and since when it is live.
pub fn judged(state: &State) -> Option<(&Deployment, &Live)> {
    let deployment = match &state.situation {
        Situation::Watching(watch) => &watch.candidate,
        Situation::Incident(incident) => match &incident.stage {
            Stage::Soaking { rollback, .. }
            | Stage::Committing { rollback, .. }
            | Stage::Reverting { rollback, .. }
            | Stage::Returning { rollback, .. } => rollback,
            _ => &incident.accused,
        },
        _ => return None,
    };
    Some((deployment, state.live()?))
}

/// Whether a version is what a deployment runs: its id, a commit or the beginning of one, an image's digest or tag.
fn names(version: &str, deployment: &Deployment) -> bool {
    let version = version.trim();
    let is_it = |runs: &str| {
        runs.eq_ignore_ascii_case(version)
            || is_short_for(version, runs)
            || is_short_for(runs, version)
            || runs.rsplit_once(['@', ':']).is_some_and(|(_, end)| {
                end.eq_ignore_ascii_case(version)
                        || is_short_for(version, end)
                        // Images are often called by the beginning of their commit, which the app names whole.
                        || is_short_for(end, version)
            })
    };
    !version.is_empty()
        && (deployment.id.as_str().eq_ignore_ascii_case(version)
            || deployment.artifact.code.iter().any(|(_, runs)| is_it(runs)))
}

/// Whether one hash is the beginning of another.
fn is_short_for(short: &str, long: &str) -> bool {
    short.len() >= SHORT
        && short.bytes().all(|byte| byte.is_ascii_hexdigit())
        && long.get(..short.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(short))
        && long.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::decision::observation::{Artifact, Cause, Phase};
    use crate::decision::sample::{Failure, Sample};
    use crate::decision::scenarios::{World, policy};

    const OLD: &str = "1f0e4a9c5d6b7a8c9d0e1f2a3b4c5d6e7f8a9b0c";
    const NEW: &str = "9a4df0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7";

    fn deployment(id: &str, runs: &str) -> Deployment {
        Deployment {
            id: id.into(),
            phase: Phase::Active,
            cause: Cause::Release,
            created_ms: 1,
            complete: true,
            artifact: Artifact { code: vec![("web".into(), runs.into())], ..Artifact::default() },
            cloned_from: None,
            took_ms: None,
            title: String::new(),
        }
    }

    #[test]
    fn a_version_names_what_runs_in_full_or_cut_off() {
        let image = "registry.example/shop:1.4.2";
        let digest = "sha256:9a4df0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f79a4df0b1c2d3e4f5a6b7c8d9";
        for (version, runs, is_it) in [
            (NEW, NEW, true),
            ("9A4DF0B", NEW, true),
            (" 9a4df0b1\n", NEW, true),
            ("9a4df0", NEW, false),
            ("9a4df0c", NEW, false),
            (OLD, NEW, false),
            (NEW, "9a4df0b", true),
            ("1.4.2", NEW, false),
            ("1.4.2", image, true),
            ("1.4", image, false),
            (image, image, true),
            ("9a4df0b1c2d3", digest, true),
            (digest, digest, true),
            (NEW, "registry.example/shop:9a4df0b1c2d3", true),
            (OLD, "registry.example/shop:9a4df0b1c2d3", false),
            ("d-2", NEW, true),
            ("", NEW, false),
            ("é9a4df0b", NEW, false),
        ] {
            assert_eq!(names(version, &deployment("d-2", runs)), is_it, "{version} and {runs}");
        }
    }

    /// What is left of failures at one to four seconds that named these versions, with the release live since the second.
    fn left(versions: [Option<&str>; 4], others: &[&Deployment]) -> Vec<bool> {
        let (judged, mut kept) = (deployment("d-2", NEW), Versions::default());
        let mut window = Window::new(16);
        for (n, version) in (1..).zip(versions) {
            let at = Moment::from_millis(n * 1_000);
            window.push(Sample { at, micros: 1, result: SampleResult::Bad(Failure::Timeout) });
            if let Some(version) = version {
                kept.take(at, version.into());
            }
        }
        let live = Live { id: "d-2".into(), created_ms: 1, since: Moment::from_millis(2_000) };
        kept.set_aside((&judged, &live), others, &mut window);
        window.iter().map(|sample| sample.result.has_failed()).collect()
    }

    #[test]
    fn what_is_judged_is_what_is_accused_and_in_its_soak_what_it_was_gone_back_to() {
        let judged = |world: &World| {
            judged(&world.state).map(|(deployment, live)| (deployment.id.clone(), live.id.clone()))
        };
        let mut world = World::steady(policy());
        assert_eq!(judged(&world), None);
        let accused = world.release_bad();
        for stage in ["watching", "rolling_back"] {
            world.run_until(|world| world.stage() == stage || world.state.word() == stage);
            assert_eq!(judged(&world), Some((accused.clone(), accused.clone())), "{stage}");
        }
        world.latency = Duration::from_secs(4);
        for stage in ["soaking", "committing"] {
            world.run_to_stage(stage);
            let rollback = world.platform.active.clone();
            assert_ne!(rollback, accused);
            assert_eq!(judged(&world), Some((rollback.clone(), rollback)), "{stage}");
        }
    }

    #[test]
    fn what_was_answered_right_when_it_went_live_is_its_own() {
        let (judged, mut kept) = (deployment("d-2", NEW), Versions::default());
        assert!(kept.is_empty());
        let (at, means_nothing) = (Moment::from_millis(2_000), "2026-11-27");
        kept.take(at, means_nothing.into());
        kept.take(at + Duration::from_secs(1), NEW.into());
        assert!(!kept.is_empty());
        let mut window = Window::new(16);
        window.push(Sample { at, micros: 1, result: SampleResult::Bad(Failure::Timeout) });
        let live = Live { id: "d-2".into(), created_ms: 1, since: at };
        kept.set_aside((&judged, &live), &[&judged], &mut window);
        assert!(window.iter().all(|sample| sample.result.has_failed()));
    }

    #[test]
    fn what_another_release_answered_is_set_aside_and_what_names_none_counts() {
        let old = deployment("d-1", OLD);
        assert_eq!(left([Some(OLD), Some(OLD), Some(NEW), None], &[&old]), [true, false, true, true]);
        assert_eq!(left([None; 4], &[&old]), [true; 4]);
        assert_eq!(left([None, Some(OLD), None, None], &[&old]), [true, false, true, true]);
    }

    #[test]
    fn a_version_that_means_nothing_to_anybody_counts_until_the_release_has_named_its_own() {
        let old = deployment("d-1", OLD);
        let other = Some("2026-11-27");
        assert_eq!(left([other, other, other, other], &[&old]), [true; 4]);
        assert_eq!(left([other, other, Some("9a4df0b"), other], &[&old]), [true, false, true, false]);
        let new = Some(NEW);
        assert_eq!(left([Some(OLD), new, other, other], &[&old]), [true; 4], "it was never told before");
        assert_eq!(left([Some(OLD), new, Some(OLD), None], &[]), [true, true, false, true], "it was");
        assert_eq!(left([Some(OLD); 4], &[]), [true; 4], "nobody knows whose that is");
    }

    #[test]
    fn a_release_of_the_same_commit_is_no_other_one() {
        let same = deployment("d-1", NEW);
        assert_eq!(left([Some(NEW); 4], &[&same]), [true; 4]);
    }

    #[test]
    fn only_so_many_versions_are_kept() {
        let mut kept = Versions::default();
        for n in 0..1_000 {
            kept.take(Moment::from_millis(0) + Duration::from_secs(n), "v".into());
        }
        assert_eq!(kept.told.len(), KEPT);
    }
}
