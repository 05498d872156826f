//! Readiness to roll back, asked in quiet times: if the live deployment had to go now, to what, and what would be in
//! the way? The same choice and the same bars as in an incident, and nothing is decided by it.

use super::capability::{Capabilities, Support, Targeting};
use super::effect::{Reason, Validation};
use super::incident::accept;
use super::limits;
use super::observation::{AppView, Cause, Deployment, Operator};
use super::policy::{Mode, OnMigrations, Policy};
use super::state::State;
use super::target::{self, Pick, Search};
use crate::clock::Moment;

/// Why a rollback would not be made now, or nobody knows: the closed list of the metric's label.
pub const REASONS: [Reason; 12] = [
    Reason::Blind,
    Reason::ObserveMode,
    Reason::Paused,
    Reason::Cooldown,
    Reason::Budget,
    Reason::ForeignPin,
    Reason::InProgress,
    Reason::NoTarget,
    Reason::Migration,
    Reason::NotValid,
    Reason::Warnings,
    Reason::Denied,
];

/// What a rollback would go to, before the platform is asked.
pub fn target(
    policy: &Policy,
    state: &State,
    view: &AppView,
    history: &[Deployment],
    now: Moment,
) -> Result<Deployment, Reason> {
    if policy.mode == Mode::Observe {
        return Err(Reason::ObserveMode);
    }
    let Some(live) = &view.active else { return Err(Reason::Blind) };
    if view.pinned.is_some() {
        return Err(Reason::ForeignPin);
    }
    if view.in_progress.is_some() {
        return Err(Reason::InProgress);
    }
    if !policy.arms(view.capabilities) {
        return Err(Reason::NotValid);
    }
    limits::permit(&policy.limits, &state.ledger, Operator::default(), now)?;
    let search = Search { accused: live, tried: &[], capabilities: view.capabilities };
    let Pick::Target(target) = target::pick(&state.ledger, search, Some(history)) else {
        return Err(Reason::NoTarget);
    };
    let differs = target.artifact.migrations != live.artifact.migrations;
    if differs && policy.rollback.migrations == OnMigrations::Hold {
        return Err(Reason::Migration);
    }
    Ok(target)
}

/// What the platform's word on it comes to.
pub fn verdict(policy: &Policy, validation: &Validation) -> Result<(), (Reason, String)> {
    accept(policy, validation)
}

/// How long a rollback is expected to take, in milliseconds: as long as half of the app's earlier ones did at most.
///
/// Where we name what is gone back to and the platform has no rollback of its own, as for an app made from an image and
/// for a static site on Sevalla, none of an app's deployments says that it is one: what brings back the target is an
/// ordinary deployment. There all of them count.
pub fn expected_ms(history: &[Deployment], capabilities: Capabilities) -> Option<u64> {
    let is_told =
        capabilities.targeting == Targeting::PlatformPicks || capabilities.revert == Support::Native;
    let mut took: Vec<u64> = history
        .iter()
        .filter(|entry| !is_told || entry.cause == Cause::Rollback)
        .filter_map(|entry| entry.took_ms)
        .collect();
    took.sort_unstable();
    took.get(took.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::observation::{Artifact, Phase};
    use crate::decision::scenarios::policy;

    fn deployment(id: &str, created_ms: i64, phase: Phase) -> Deployment {
        Deployment {
            id: id.into(),
            phase,
            cause: Cause::Release,
            created_ms,
            complete: true,
            artifact: Artifact { code: vec![("web".into(), id.into())], ..Artifact::default() },
            cloned_from: None,
            took_ms: None,
            title: String::new(),
        }
    }

    struct Scene {
        policy: Policy,
        state: State,
        view: AppView,
        history: Vec<Deployment>,
    }

    fn scene() -> Scene {
        let live = deployment("d2", 2, Phase::Active);
        let history = vec![live.clone(), deployment("d1", 1, Phase::Superseded)];
        let view = AppView { active: Some(live), ..AppView::default() };
        Scene { policy: policy(), state: State::default(), view, history }
    }

    fn asked(change: impl FnOnce(&mut Scene)) -> Result<String, Reason> {
        let mut scene = scene();
        change(&mut scene);
        let Scene { policy, state, view, history } = scene;
        target(&policy, &state, &view, &history, Moment::from_millis(0)).map(|target| target.id.to_string())
    }

    #[test]
    fn what_would_be_in_the_way_of_a_rollback_is_in_the_way_of_readiness() {
        assert_eq!(asked(|_| {}), Ok("d1".to_owned()));
        type Case = (Reason, fn(&mut Scene));
        let cases: [Case; 9] = [
            (Reason::ObserveMode, |scene| scene.policy.mode = Mode::Observe),
            (Reason::Blind, |scene| scene.view.active = None),
            (Reason::ForeignPin, |scene| scene.view.pinned = Some("d1".into())),
            (Reason::InProgress, |scene| scene.view.in_progress = Some("d3".into())),
            (Reason::NotValid, |scene| {
                let picks = Capabilities {
                    targeting: Targeting::PlatformPicks,
                    resend_is_safe: false,
                    ..Capabilities::default()
                };
                scene.view.capabilities = picks;
            }),
            (Reason::Cooldown, |scene| scene.state.ledger.rollbacks.push(Moment::from_millis(-1))),
            (Reason::Budget, |scene| {
                scene.policy.limits.cooldown = std::time::Duration::ZERO;
                scene.state.ledger.rollbacks = vec![Moment::from_millis(-2), Moment::from_millis(-1)];
            }),
            (Reason::NoTarget, |scene| scene.history.truncate(1)),
            (Reason::Migration, |scene| scene.history[1].artifact.migrations = "other".into()),
        ];
        for (reason, change) in cases {
            assert_eq!(asked(change), Err(reason));
            assert!(REASONS.contains(&reason), "{}", reason.word());
        }
        let allowed = asked(|scene| {
            scene.history[1].artifact.migrations = "other".into();
            scene.policy.rollback.migrations = OnMigrations::Allow;
        });
        assert_eq!(allowed, Ok("d1".to_owned()));
    }

    #[test]
    fn a_rollback_is_expected_to_take_as_long_as_the_middle_one_of_those_before() {
        let rollback =
            |took_ms| Deployment { cause: Cause::Rollback, took_ms, ..deployment("r", 1, Phase::Superseded) };
        let release = Deployment { took_ms: Some(1), ..deployment("d", 1, Phase::Superseded) };
        let history =
            [rollback(Some(90)), release.clone(), rollback(None), rollback(Some(100)), rollback(Some(9_000))];
        assert_eq!(expected_ms(&history, Capabilities::default()), Some(100));
        assert_eq!(expected_ms(std::slice::from_ref(&release), Capabilities::default()), None);
        // Where a rollback is an ordinary deployment, each deployment tells how long it takes.
        let emulated = Capabilities { revert: Support::Emulated, ..Capabilities::default() };
        for targeting in [Targeting::ByCode, Targeting::ById] {
            let named = Capabilities { targeting, ..emulated };
            assert_eq!(expected_ms(std::slice::from_ref(&release), named), Some(1));
        }
        let picked = Capabilities { targeting: Targeting::PlatformPicks, ..emulated };
        assert_eq!(expected_ms(&[release], picked), None, "the platform says which ones were rollbacks");
    }
}
