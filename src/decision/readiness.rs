//! Readiness to roll back, asked in quiet times: if the live deployment had to go now, to what, and what would be in
//! the way? The same choice and the same bars as in an incident, and nothing is decided by it.

use super::capability::{Capabilities, Support, Targeting};
use super::effect::{Reason, Validation};
use super::fleet::Permit;
use super::incident::accept;
use super::limits;
use super::observation::{Accepted, AppView, Cause, Deployment, Operator, ReadFault, Reading};
use super::policy::{Mode, OnMigrations, Policy};
use super::state::{Situation, SoftPin, State};
use super::story::UNARMED;
use super::target::{self, Pick, Search};
use crate::clock::Moment;
use crate::ids::DeploymentId;

/// Why a rollback would not be made now, or nobody knows: the closed list of the metric's label. What an app may be held
/// for is among them.
pub const REASONS: [Reason; 22] = [
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
    Reason::Storm,
    Reason::Superseded,
    Reason::WrongTarget,
    Reason::Rejected,
    Reason::ApprovalExpired,
    Reason::SoakHealthy,
    Reason::SoakUnhealthy,
    Reason::SoakUnknown,
    Reason::RollbackFailed,
    Reason::Requested,
];

/// Whether nothing is done about the app, nor about pushes that were paused for it. A pause that may yet come about, of
/// a request that was lost, is no reason not to ask for as long as it is looked out for.
pub fn is_quiet(state: &State) -> bool {
    let is_done = |pin: &SoftPin| !pin.is_there && pin.release.is_none();
    matches!(
        state.situation,
        Situation::Learning { live: Some(_) } | Situation::Steady { .. } | Situation::Watching(_)
    ) && state.ledger.soft_pin.as_ref().is_none_or(is_done)
}

/// What is known of an app without a question.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its state.
    pub state: &'a State,
    /// What the platform says of it.
    pub view: &'a Reading<AppView>,
    /// A person paused it.
    pub paused: bool,
    /// What the storm breaker says.
    pub fleet: Permit,
}

/// What is in the way, whatever the platform would answer: true now, and gone as soon as it is over. What only a person
/// ends comes before what ends by itself. With it, words where the reason does not say it all.
///
/// A held app says why it is held, the word that its state says already: until a person resumes, that is what keeps it
/// from being rolled back.
pub fn standing(policy: &Policy, known: Known<'_>, now: Moment) -> Result<(), (Reason, &'static str)> {
    let Known { state, view, paused, fleet } = known;
    let bar = |reason| Err((reason, ""));
    if policy.mode == Mode::Observe {
        return bar(Reason::ObserveMode);
    }
    if paused {
        return bar(Reason::Paused);
    }
    if let Situation::Held(hold) = &state.situation {
        return bar(hold.why);
    }
    if fleet == Permit::Storm {
        return bar(Reason::Storm);
    }
    let view = match (view.fault, view.value()) {
        (Some(ReadFault::Denied), _) => return bar(Reason::Denied),
        (Some(_), _) | (None, None) => return bar(Reason::Blind),
        (None, Some(view)) => view,
    };
    if !policy.arms(view.capabilities) {
        return Err((Reason::NotValid, UNARMED));
    }
    if view.active.is_none() {
        return bar(Reason::Blind);
    }
    // In an incident the pin may be our own.
    if view.pinned.is_some() && state.incident().is_none() {
        return bar(Reason::ForeignPin);
    }
    if view.in_progress.is_some() {
        return bar(Reason::InProgress);
    }
    limits::permit(&policy.limits, &state.ledger, &Operator::default(), now).map_err(|reason| (reason, ""))
}

/// What a rollback would go to, before the platform is asked, or after it refused those that were `tried`. Without one, the
/// code of why, where there is one.
pub fn target(
    state: &State,
    view: &AppView,
    history: &[Deployment],
    tried: &[(DeploymentId, Reason)],
) -> Result<Deployment, &'static str> {
    let Some(live) = &view.active else { return Err("") };
    let former = match &state.situation {
        Situation::Watching(watch) => watch.former.as_slice(),
        _ => &[],
    };
    let search = Search { accused: live, former, tried, capabilities: view.capabilities };
    let Pick::Target(target) = target::pick(&state.ledger, search, Some(history)) else {
        return Err(target::why_none(&state.ledger, search, history));
    };
    Ok(target)
}

/// Whether other migrations than the target's keep what is live from going back to it.
pub fn is_barred(policy: &Policy, live: &Deployment, target: &Deployment) -> bool {
    let differs = target.artifact.migrations != live.artifact.migrations;
    differs && policy.rollback.migrations == OnMigrations::Hold
}

/// What the platform's word on it comes to.
pub fn verdict(policy: &Policy, validation: &Validation) -> Result<(), (Reason, String)> {
    accept(policy, Accepted::default(), validation)
}

/// How long a rollback is expected to take, in milliseconds: as long as half of the app's earlier ones did at most.
///
/// Where we name what is gone back to and the platform has no rollback of its own, none of an app's deployments says that
/// it is one: what brings back the target is an ordinary deployment. There all of them count.
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
    use crate::decision::effect::Verb;
    use crate::decision::observation::{Artifact, Phase};
    use crate::decision::scenarios::{World, policy};
    use crate::decision::state::{Call, CallStatus, Hold, Live, Watch};

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

    #[test]
    fn what_the_platform_says_of_a_target_is_what_an_incident_would_make_of_it() {
        let said = |valid| verdict(&policy(), &Validation { valid, ..Validation::default() });
        let no_reason = (Reason::NotValid, "the platform gives no reason".to_owned());
        assert_eq!((said(true), said(false)), (Ok(()), Err(no_reason)));
    }

    struct Scene {
        policy: Policy,
        state: State,
        view: Reading<AppView>,
        history: Vec<Deployment>,
        paused: bool,
        fleet: Permit,
    }

    impl Scene {
        fn view(&mut self) -> &mut AppView {
            &mut self.view.last.as_mut().unwrap().1
        }

        fn of(change: impl FnOnce(&mut Self)) -> Self {
            let live = deployment("d2", 2, Phase::Active);
            let history = vec![live.clone(), deployment("d1", 1, Phase::Superseded)];
            let view = AppView { active: Some(live), ..AppView::default() };
            let mut scene = Self {
                policy: policy(),
                state: State::default(),
                view: Reading::known(Moment::from_millis(0), view),
                history,
                paused: false,
                fleet: Permit::Granted,
            };
            change(&mut scene);
            scene
        }

        fn stands(&self, now: Moment) -> Result<(), (Reason, &'static str)> {
            let Self { policy, state, view, paused, fleet, .. } = self;
            standing(policy, Known { state, view, paused: *paused, fleet: *fleet }, now)
        }
    }

    fn asked(change: impl FnOnce(&mut Scene)) -> Result<String, (Reason, &'static str)> {
        let scene = Scene::of(change);
        let view = scene.view.value().unwrap();
        let target =
            target(&scene.state, view, &scene.history, &[]).map_err(|code| (Reason::NoTarget, code))?;
        let live = view.active.as_ref().unwrap();
        if is_barred(&scene.policy, live, &target) {
            return Err((Reason::Migration, ""));
        }
        Ok(target.id.to_string())
    }

    fn held(scene: &mut Scene, why: Reason) {
        let at = Moment::from_millis(0);
        let live = Live { id: "d2".into(), created_ms: 2, since: at };
        let runs = crate::decision::observation::Artifact::default();
        let hold = Hold { why, incident: "shop-1".into(), since: at, live, runs, pin: None, kept: None };
        scene.state.situation = Situation::Held(hold);
    }

    fn picks(scene: &mut Scene) {
        let can = &mut scene.view().capabilities;
        (can.targeting, can.resend_is_safe) = (Targeting::PlatformPicks, false);
    }

    #[test]
    fn what_a_release_under_watch_was_called_before_is_nothing_to_go_back_to() {
        let mut world = World::with_bad_release(policy());
        world.run_until(|world| matches!(world.state.situation, Situation::Watching(_)));
        let Situation::Watching(watch) = world.state.situation else { panic!("not watching") };
        let watch = |former: &[&str]| {
            let former = former.iter().map(|id| (*id).into()).collect();
            Situation::Watching(Watch { former, ..watch.clone() })
        };
        assert_eq!(asked(|scene| scene.state.situation = watch(&[])), Ok("d1".to_owned()));
        let none = asked(|scene| scene.state.situation = watch(&["d1"]));
        assert_eq!(none, Err((Reason::NoTarget, "same_artifact")));
    }

    #[test]
    fn an_app_is_quiet_once_nothing_is_done_about_it_nor_about_its_pushes() {
        let with = |pin: Option<SoftPin>| {
            let scene = Scene::of(|_| {});
            let live = Live { id: "d2".into(), created_ms: 2, since: Moment::from_millis(0) };
            let mut state = State { situation: Situation::Steady { live }, ..scene.state };
            state.ledger.soft_pin = pin;
            is_quiet(&state)
        };
        let pin = || SoftPin::of("shop-1".into());
        let status = CallStatus::Owed;
        let release = Some(Call { attempt: 1, intended_at: Moment::from_millis(0), status });
        assert!(with(None) && with(Some(pin())), "it is looked out for, no more");
        assert!(!with(Some(SoftPin { is_there: true, ..pin() })));
        assert!(!with(Some(SoftPin { release, ..pin() })));
    }

    #[test]
    fn what_would_be_in_the_way_of_a_rollback_is_in_the_way_of_readiness() {
        type Case = (Reason, fn(&mut Scene));
        let cases: [Case; 13] = [
            (Reason::ObserveMode, |scene| scene.policy.mode = Mode::Observe),
            (Reason::Paused, |scene| scene.paused = true),
            (Reason::SoakUnknown, |scene| held(scene, Reason::SoakUnknown)),
            (Reason::Storm, |scene| scene.fleet = Permit::Storm),
            (Reason::Denied, |scene| scene.view.fault = Some(ReadFault::Denied)),
            (Reason::Blind, |scene| scene.view.fault = Some(ReadFault::NotFound)),
            (Reason::Blind, |scene| scene.view = Reading::never()),
            (Reason::Blind, |scene| scene.view().active = None),
            (Reason::ForeignPin, |scene| scene.view().pinned = Some("d1".into())),
            (Reason::InProgress, |scene| scene.view().in_progress = Some("d3".into())),
            (Reason::NotValid, picks),
            (Reason::Cooldown, |scene| scene.state.ledger.rollbacks.push(Moment::from_millis(-1))),
            (Reason::Budget, |scene| {
                scene.policy.limits.cooldown = std::time::Duration::ZERO;
                scene.state.ledger.rollbacks = vec![Moment::from_millis(-2), Moment::from_millis(-1)];
            }),
        ];
        assert_eq!(Scene::of(|_| {}).stands(Moment::from_millis(0)), Ok(()));
        for (reason, change) in cases {
            let stands = Scene::of(change).stands(Moment::from_millis(0));
            assert_eq!(stands.map_err(|(reason, _)| reason), Err(reason));
            assert!(REASONS.contains(&reason), "{}", reason.word());
        }
    }

    #[test]
    fn a_limit_is_in_the_way_until_the_moment_it_is_over() {
        let scene = Scene::of(|scene| scene.state.ledger.rollbacks.push(Moment::from_millis(0)));
        let over = Moment::from_millis(0) + scene.policy.limits.cooldown;
        assert_eq!(scene.stands(over - std::time::Duration::from_millis(1)), Err((Reason::Cooldown, "")));
        assert_eq!(scene.stands(over), Ok(()));
    }

    #[test]
    fn an_app_whose_target_the_platform_picks_says_what_is_missing_for_it() {
        let (reason, words) = Scene::of(picks).stands(Moment::from_millis(0)).unwrap_err();
        assert!(reason == Reason::NotValid && words.contains("accept_platform_choice: true"), "{words}");
        let accepted = Scene::of(|scene| {
            picks(scene);
            scene.policy.accept_platform_choice = true;
        });
        assert_eq!(accepted.stands(Moment::from_millis(0)), Ok(()));
    }

    #[test]
    fn whatever_an_app_may_be_held_for_has_a_series() {
        for (verb, reason) in crate::decision::effect::DECISIONS {
            let is_there = *verb != Verb::Hold || REASONS.contains(reason);
            assert!(is_there, "{}", reason.word());
        }
    }

    #[test]
    fn a_target_is_looked_for_as_in_an_incident() {
        assert_eq!(asked(|_| {}), Ok("d1".to_owned()));
        let none = asked(|scene| scene.history.truncate(1));
        assert_eq!(none, Err((Reason::NoTarget, "no_previous_success")));
        let differs = |scene: &mut Scene| scene.history[1].artifact.migrations = "other".into();
        assert_eq!(asked(differs), Err((Reason::Migration, "")));
        let allowed = asked(|scene| {
            differs(scene);
            scene.policy.rollback.migrations = OnMigrations::Allow;
        });
        assert_eq!(allowed, Ok("d1".to_owned()));
        for reason in [Reason::NoTarget, Reason::Migration] {
            assert!(REASONS.contains(&reason), "{}", reason.word());
        }
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
