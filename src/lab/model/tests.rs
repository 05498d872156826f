//! The model alone, on time handed in.

use proptest::prelude::*;

use super::*;
use crate::lab::app::AppState;
use crate::lab::kind::Source;
use crate::lab::release::Image;
use crate::lab::unknowns::{Busy, Pin, Replaced, RevertTo};

/// One app, `shop`, live with v1 at time 0, and the steps to move it.
pub(super) struct Shop {
    pub(super) model: Model,
    pub(super) now: i64,
}

impl Shop {
    fn new(unknowns: Unknowns) -> Self {
        Self::of(AppKind::DigitalOcean, unknowns)
    }

    pub(super) fn of(kind: AppKind, unknowns: Unknowns) -> Self {
        let durations = Durations { pending_ms: 10, build_ms: 100, deploy_ms: 50, rollback_ms: 40 };
        let mut model = Model::new(7, durations, unknowns, 10);
        model.create_app(0, "shop", kind, Release::good("v1")).expect("a free name");
        Self { model, now: 0 }
    }

    pub(super) fn wait(&mut self, ms: i64) -> &mut Self {
        self.now += ms;
        self.model.advance(self.now);
        self
    }

    pub(super) fn write(&mut self, write: Write) -> Written {
        self.model.write(self.now, 0, Who::Guard, write)
    }

    pub(super) fn push(&mut self, version: &str) -> String {
        self.write(Write::Push(Release::good(version).into())).expect("a push").expect("a deployment")
    }

    /// Pushes a release and waits until it has ended.
    pub(super) fn released(&mut self, release: Release) -> String {
        let id = self.write(Write::Push(release.into())).expect("a push").expect("a deployment");
        self.wait(1000);
        id
    }

    fn roll_back(&mut self, target: &str) -> Written {
        self.write(Write::Rollback { target: target.to_owned(), skip_pin: false })
    }

    pub(super) fn see(&self) -> AppState {
        AppState::from(&self.model.apps[0])
    }

    pub(super) fn phase(&self, id: &str) -> Phase {
        self.see().deployment(id).expect("the deployment").phase
    }

    pub(super) fn version(&self) -> String {
        self.see().version.expect("something live")
    }

    fn error_of(&self, target: &str) -> Option<&'static str> {
        self.model.validate(0, target).expect("a known deployment").error.map(|error| error.code)
    }
}

/// A shop that ran v1, then v2, and was rolled back to v1; with the rollback deployment's id.
fn rolled_back(unknowns: Unknowns) -> (Shop, String) {
    let mut shop = Shop::new(unknowns);
    let v1 = shop.see().active.expect("live");
    shop.released(Release::bad("v2"));
    let rollback = shop.roll_back(&v1).expect("a rollback").expect("a deployment");
    (shop, rollback)
}

#[test]
fn a_push_passes_through_every_phase_and_supersedes_what_was_live() {
    let mut shop = Shop::new(Unknowns::default());
    let v1 = shop.see().active.expect("live");
    let v2 = shop.push("v2");
    let expected = [
        (0, Phase::PendingBuild),
        (10, Phase::Building),
        (110, Phase::PendingDeploy),
        (120, Phase::Deploying),
        (170, Phase::Active),
    ];
    for (at, phase) in expected {
        let wait = at - shop.now;
        assert_eq!(shop.wait(wait).phase(&v2), phase, "at {at}");
        assert_eq!(shop.version(), if phase == Phase::Active { "v2" } else { "v1" }, "at {at}");
    }
    assert_eq!(shop.phase(&v1), Phase::Superseded);
    let made = shop.see().deployment(&v2).cloned().expect("v2");
    assert_eq!((made.live_ms, made.previous.as_deref()), (Some(170), Some(v1.as_str())));
}

#[test]
fn steps_take_place_at_their_own_time_however_seldom_one_looks() {
    let mut shop = Shop::new(Unknowns::default());
    let v2 = shop.push("v2");
    shop.wait(100_000);
    assert_eq!(shop.see().deployment(&v2).and_then(|d| d.live_ms), Some(170));
}

#[test]
fn a_failed_build_and_a_failed_rollout_leave_the_old_release_live() {
    let failing = [
        (Release { build: Fate::Fails, ..Release::good("v2") }, 1),
        (Release { rollout: Fate::Fails, ..Release::good("v2") }, 4),
    ];
    for (release, done) in failing {
        let mut shop = Shop::new(Unknowns::default());
        let v2 = shop.released(release);
        assert_eq!((shop.phase(&v2), shop.version().as_str()), (Phase::Error, "v1"));
        assert_eq!(shop.see().deployment(&v2).map(|d| d.steps_done), Some(done));
        assert_eq!(shop.see().in_progress, None);
        assert_eq!(shop.error_of(&v2), Some("incompatible_result"));
    }
}

#[test]
fn a_stuck_build_stays_until_it_is_cancelled_and_then_the_next_one_starts() {
    let mut shop = Shop::new(Unknowns::default());
    let v2 = shop.released(Release { build: Fate::Sticks, ..Release::good("v2") });
    let v3 = shop.released(Release::good("v3"));
    assert_eq!((shop.phase(&v2), shop.phase(&v3)), (Phase::Building, Phase::PendingBuild));
    assert_eq!(shop.error_of(&v2), Some("incompatible_phase"));
    shop.write(Write::Cancel { deployment: Some(v2.clone()) }).expect("a cancel");
    assert_eq!(shop.wait(170).phase(&v3), Phase::Active);
    assert_eq!(shop.phase(&v2), Phase::Canceled);
    let again = shop.write(Write::Cancel { deployment: Some(v2) });
    assert_eq!(again.expect_err("nothing to cancel").status, 400);
}

#[test]
fn of_pushes_that_wait_only_the_newest_is_built() {
    for (replaced, phase) in
        [(Replaced::Superseded, Phase::Superseded), (Replaced::Canceled, Phase::Canceled)]
    {
        let mut shop = Shop::new(Unknowns { pending_replaced: replaced, ..Unknowns::default() });
        let (v2, v3, v4) = (shop.push("v2"), shop.push("v3"), shop.push("v4"));
        assert_eq!((shop.see().in_progress, shop.see().pending), (Some(v2), Some(v4.clone())));
        shop.wait(1000);
        assert_eq!((shop.phase(&v3), shop.version().as_str()), (phase, "v4"));
        assert_eq!(shop.error_of(&v3), Some("incompatible_result"), "it never was live");
    }
}

#[test]
fn a_rollback_pins_runs_the_target_and_skips_the_build() {
    let (mut shop, rollback) = rolled_back(Unknowns::default());
    assert_eq!(shop.see().pinned.as_deref(), Some(rollback.as_str()));
    assert_eq!(shop.wait(59).phase(&rollback), Phase::Deploying);
    assert_eq!(shop.wait(1).phase(&rollback), Phase::Active);
    assert_eq!(shop.version(), "v1");
    assert_eq!(shop.see().spec_version, "v2", "until it is committed");
}

#[test]
fn a_commit_keeps_the_target_and_makes_no_deployment() {
    let (mut shop, _) = rolled_back(Unknowns::default());
    shop.wait(1000);
    let before = shop.see().deployments.len();
    assert_eq!(shop.write(Write::Commit), Ok(None));
    let after = shop.see();
    assert_eq!((after.pinned, after.deployments.len()), (None, before));
    assert_eq!(after.spec_version, "v1");
    shop.write(Write::Deploy).expect("a deployment");
    assert_eq!(shop.wait(1000).version(), "v2", "the branch still has the bad commit");
}

#[test]
fn a_revert_puts_the_suspect_version_back() {
    let (mut shop, _) = rolled_back(Unknowns::default());
    shop.wait(1000);
    let revert = shop.write(Write::Revert).expect("a revert").expect("a deployment");
    assert_eq!(shop.see().pinned, None);
    assert_eq!(shop.wait(1000).version(), "v2");
    assert_eq!(shop.see().active, Some(revert));
}

#[test]
fn skip_pin_commits_at_once() {
    let mut shop = Shop::new(Unknowns::default());
    let target = shop.see().active.expect("live");
    shop.released(Release::bad("v2"));
    shop.write(Write::Rollback { target, skip_pin: true }).expect("a rollback");
    assert_eq!((shop.see().pinned, shop.see().spec_version.as_str()), (None, "v1"));
    assert_eq!(shop.wait(1000).version(), "v1");
}

#[test]
fn each_code_of_validate_comes_from_a_real_condition() {
    let (mut shop, _) = rolled_back(Unknowns::default());
    let v1 = shop.see().deployments[0].id.clone();
    assert_eq!(shop.error_of(&v1), Some("app_pinned"));
    shop.wait(1000).write(Write::Commit).expect("a commit");
    assert_eq!(shop.error_of(&v1), None);

    shop.model.apps[0].region = "fra".to_owned();
    assert_eq!(shop.error_of(&v1), Some("region_conflict"));
    shop.model.apps[0].region = "ams".to_owned();
    shop.released(Release { database: "postgres 17".to_owned(), ..Release::good("v3") });
    assert_eq!(shop.error_of(&v1), Some("database_config_conflict"));

    shop.released(Release::good("v4"));
    assert_eq!(shop.error_of(&v1), None);
    for nth in 5..11 {
        shop.released(Release::good(&format!("v{nth}")));
    }
    assert_eq!(shop.error_of(&v1), Some("exceeded_revision_limit"));
    let building = shop.push("v20");
    assert_eq!(shop.error_of(&building), Some("incompatible_phase"));
    assert_eq!(shop.model.validate(0, "nobody").map_err(|refusal| refusal.status), Err(404));
}

#[test]
fn the_warnings_of_validate_come_from_the_target() {
    let mut shop = Shop::new(Unknowns::default());
    let image = Some(Image { tag: "latest".to_owned(), digest: None });
    let v2 = shop.released(Release { static_site: true, image, ..Release::good("v2") });
    shop.released(Release::good("v3"));
    let validation = shop.model.validate(0, &v2).expect("a known deployment");
    let codes: Vec<_> = validation.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, ["static_site_requires_rebuild", "image_source_missing_digest"]);
    assert_eq!(validation.error, None);
}

#[test]
fn a_pinned_app_takes_pushes_as_the_switch_says() {
    for (switch, after_commit) in
        [(WhilePinned::Refused, "v1"), (WhilePinned::Dropped, "v1"), (WhilePinned::Queued, "v3")]
    {
        let (mut shop, _) = rolled_back(Unknowns { push_while_pinned: switch, ..Unknowns::default() });
        shop.wait(1000);
        let pushed = shop.write(Write::Push(Release::good("v3").into()));
        assert_eq!(pushed.is_ok(), switch == WhilePinned::Queued);
        assert_eq!(shop.wait(1000).version(), "v1", "{switch:?}");
        shop.write(Write::Commit).expect("a commit");
        assert_eq!(shop.wait(1000).version(), after_commit, "{switch:?}");
    }
}

#[test]
fn a_second_rollback_is_refused_or_moves_the_pin() {
    for (switch, pins) in [(Allowed::Refuses, false), (Allowed::Accepts, true)] {
        let (mut shop, first) = rolled_back(Unknowns { create_when_pinned: switch, ..Unknowns::default() });
        shop.wait(1000);
        let target = shop.see().deployments[0].id.clone();
        let second = shop.roll_back(&target);
        assert_eq!(second.is_ok(), pins);
        assert_eq!(shop.see().pinned == Some(first), !pins);
    }
}

#[test]
fn a_rollback_into_a_deployment_in_progress_does_what_the_switch_says() {
    for switch in [Busy::Queues, Busy::Cancels, Busy::Refuses] {
        let mut shop = Shop::new(Unknowns { create_when_busy: switch, ..Unknowns::default() });
        let v1 = shop.see().active.expect("live");
        shop.released(Release::bad("v2"));
        let v3 = shop.push("v3");
        let rollback = shop.roll_back(&v1);
        assert_eq!(rollback.is_ok(), switch != Busy::Refuses);
        shop.wait(1000);
        let (last, live) = match switch {
            Busy::Queues => (Phase::Superseded, "v1"),
            Busy::Cancels => (Phase::Canceled, "v1"),
            Busy::Refuses => (Phase::Active, "v3"),
        };
        assert_eq!((shop.phase(&v3), shop.version().as_str()), (last, live));
    }
}

#[test]
fn commit_and_revert_of_an_unpinned_or_unfinished_rollback_do_what_the_switches_say() {
    for allowed in [Allowed::Refuses, Allowed::Accepts] {
        let unknowns = Unknowns {
            commit_when_unpinned: allowed,
            revert_when_unpinned: allowed,
            settle_before_terminal: allowed,
            refusal_status: 412,
            ..Unknowns::default()
        };
        for write in [Write::Commit, Write::Revert] {
            let (mut shop, _) = rolled_back(unknowns);
            let early = shop.write(write.clone());
            assert_eq!(early.is_ok(), allowed == Allowed::Accepts, "{write:?} before the end");
            let mut shop = Shop::new(unknowns);
            let unpinned = shop.write(write.clone());
            assert_eq!(unpinned.is_ok(), allowed == Allowed::Accepts, "{write:?} without a pin");
            assert!(unpinned.err().is_none_or(|refusal| refusal.status == 412));
        }
    }
}

#[test]
fn a_failed_rollback_keeps_or_loses_its_pin() {
    for (switch, pinned) in [(Pin::Kept, true), (Pin::Released, false)] {
        let mut shop = Shop::new(Unknowns { pin_after_failure: switch, ..Unknowns::default() });
        shop.model.apps[0].rollback_fate = Fate::Fails;
        let v1 = shop.see().active.expect("live");
        shop.released(Release::bad("v2"));
        let rollback = shop.roll_back(&v1).expect("a rollback").expect("a deployment");
        assert_eq!(shop.wait(1000).phase(&rollback), Phase::Error);
        assert_eq!((shop.see().pinned.is_some(), shop.version().as_str()), (pinned, "v2"));
    }
}

#[test]
fn a_revert_takes_the_old_build_or_the_head_of_the_branch() {
    for (switch, version) in [(RevertTo::SameBuild, "v2"), (RevertTo::BranchHead, "v3")] {
        let (mut shop, _) = rolled_back(Unknowns { revert_to: switch, ..Unknowns::default() });
        shop.wait(1000).write(Write::Push(Release::good("v3").into())).expect_err("pinned");
        shop.write(Write::Revert).expect("a revert");
        assert_eq!(shop.wait(1000).version(), version);
    }
}

#[test]
fn restart_maintenance_and_autoscaling_deploy_the_same_release_again() {
    for write in [Write::Restart, Write::Maintenance, Write::Autoscale] {
        let mut shop = Shop::new(Unknowns::default());
        let again = shop.write(write).expect("a deployment").expect("its id");
        assert_eq!(shop.wait(1000).see().active, Some(again));
        assert_eq!(shop.version(), "v1");
    }
    let (mut shop, _) = rolled_back(Unknowns::default());
    shop.wait(1000).write(Write::Restart).expect_err("pinned");
    shop.model.unknowns.restart_while_pinned = Allowed::Accepts;
    shop.write(Write::Restart).expect("a restart");
    assert!(shop.wait(1000).see().pinned.is_some(), "the pin stays on the rollback deployment");
}

#[test]
fn migrations_run_again_on_a_rollback_only_if_the_switch_says_so() {
    for (switch, runs) in [(true, 2), (false, 1)] {
        let mut shop = Shop::new(Unknowns { jobs_run_again: switch, ..Unknowns::default() });
        let migrations = vec!["migrate up".to_owned()];
        let v2 = shop.released(Release { migrations, ..Release::good("v2") });
        shop.released(Release::bad("v3"));
        shop.roll_back(&v2).expect("a rollback");
        assert_eq!(shop.wait(1000).see().job_runs.len(), runs);
    }
}

#[test]
fn reads_lag_behind_a_write_for_as_long_as_the_switch_says() {
    let (mut shop, _) = rolled_back(Unknowns { reads_lag_ms: 60, ..Unknowns::default() });
    let now = shop.now;
    assert_eq!(shop.model.apps[0].visible(now + 59).pinned, None);
    assert!(shop.model.apps[0].visible(now + 60).pinned.is_some());
}

#[test]
fn reads_lag_behind_the_platform_s_own_steps_where_the_switch_says_so() {
    for steps_lag in [false, true] {
        let mut shop = Shop::new(Unknowns { reads_lag_ms: 60, steps_lag, ..Unknowns::default() });
        let v2 = shop.push("v2");
        shop.wait(100_000);
        let live_ms = shop.see().deployment(&v2).and_then(|made| made.live_ms).expect("live");
        let mut shows = |now: i64| {
            let view = shop.model.apps[0].visible(now);
            view.active.is_some_and(|active| view.deployments[active].id == v2)
        };
        assert_eq!(shows(live_ms + 59), !steps_lag);
        assert!(shows(live_ms + 60));
    }
}

#[test]
fn some_reads_lag_and_others_do_not_where_replicas_answer() {
    let (mut shop, _) = rolled_back(Unknowns { reads_lag_ms: 60, reads_jump: true, ..Unknowns::default() });
    let now = shop.now;
    let pins: Vec<bool> = (0..40).map(|_| shop.model.apps[0].visible(now + 59).pinned.is_some()).collect();
    assert!(pins.windows(2).any(|two| two == [true, false]), "{pins:?}");
    assert!((0..40).all(|_| shop.model.apps[0].visible(now + 60).pinned.is_some()));
}

#[test]
fn a_target_may_not_be_healthy_any_more() {
    use crate::lab::release::Health;
    let mut shop = Shop::new(Unknowns::default());
    let gone = Some(Health::Bad { status: 503 });
    let v2 = shop.released(Release { when_rolled_back: gone, ..Release::good("v2") });
    let status = |shop: &mut Shop| {
        let now = shop.now;
        shop.model.apps[0].serve(now).map(|(reply, _)| reply.status)
    };
    assert_eq!(status(&mut shop), Some(200));
    shop.released(Release::bad("v3"));
    assert_eq!(status(&mut shop), Some(500));
    shop.roll_back(&v2).expect("a rollback");
    shop.wait(1000);
    assert_eq!(status(&mut shop), Some(503));
}

/// What anybody may do at any time; deployments are named by their place.
#[derive(Clone, Debug)]
enum Move {
    Wait(i64),
    Do(Write),
    RollBack { nth: usize, skip_pin: bool },
    AutoRollBack { nth: usize },
    CancelNth { nth: usize },
    RollbacksWill(Fate),
}

fn moves() -> impl Strategy<Value = Move> {
    let fate = || prop_oneof![4 => Just(Fate::Works), 1 => Just(Fate::Fails), 1 => Just(Fate::Sticks)];
    let push = (0..5u32, fate(), fate()).prop_map(|(version, build, rollout)| {
        Move::Do(Write::Push(Release { build, rollout, ..Release::good(&format!("v{version}")) }.into()))
    });
    prop_oneof![
        4 => (0..300i64).prop_map(Move::Wait),
        4 => push,
        3 => (0..12usize, prop::bool::weighted(0.2))
            .prop_map(|(nth, skip_pin)| Move::RollBack { nth, skip_pin }),
        1 => (0..12usize).prop_map(|nth| Move::AutoRollBack { nth }),
        1 => (0..12usize).prop_map(|nth| Move::CancelNth { nth }),
        1 => fate().prop_map(Move::RollbacksWill),
        6 => prop::sample::select(vec![
            Write::Deploy,
            Write::Restart,
            Write::Commit,
            Write::Revert,
            Write::Maintenance,
            Write::Autoscale,
            Write::Cancel { deployment: None },
            Write::PickedRollback,
            Write::Redeploy { image: Release::good("v1").image_url("shop") },
            Write::SetAutoDeploy { on: true },
            Write::SetAutoDeploy { on: false },
        ])
        .prop_map(Move::Do),
    ]
}

fn kinds() -> impl Strategy<Value = AppKind> {
    let made_from = [Source::PrivateGit, Source::PublicGit, Source::DockerImage, Source::StaticSite];
    prop_oneof![
        Just(AppKind::DigitalOcean),
        prop::sample::select(made_from.to_vec()).prop_map(AppKind::sevalla),
    ]
}

fn answers() -> impl Strategy<Value = Unknowns> {
    let allowed = || prop::sample::select(vec![Allowed::Accepts, Allowed::Refuses]);
    let busy = prop::sample::select(vec![Busy::Queues, Busy::Cancels, Busy::Refuses]);
    let pushes = prop::sample::select(vec![WhilePinned::Refused, WhilePinned::Queued, WhilePinned::Dropped]);
    let first = (allowed(), allowed(), allowed(), allowed(), allowed(), allowed());
    let second = (busy, pushes, any::<bool>(), any::<bool>(), any::<bool>(), 0..50u64);
    (first, second).prop_map(|(first, (busy, pushes, kept, head, canceled, lag))| Unknowns {
        create_when_pinned: first.0,
        create_when_invalid: first.1,
        commit_when_unpinned: first.2,
        revert_when_unpinned: first.3,
        settle_before_terminal: first.4,
        restart_while_pinned: first.5,
        platform_while_pinned: first.5,
        create_when_busy: busy,
        push_while_pinned: pushes,
        pin_after_failure: if kept { Pin::Kept } else { Pin::Released },
        revert_to: if head { RevertTo::BranchHead } else { RevertTo::SameBuild },
        pending_replaced: if canceled { Replaced::Canceled } else { Replaced::Superseded },
        reads_lag_ms: lag,
        ..Unknowns::default()
    })
}

impl Shop {
    fn play(&mut self, step: Move) {
        let nth_id = |shop: &Self, nth: usize| {
            let all = &shop.model.apps[0].deployments;
            all[nth % all.len()].id.clone()
        };
        // Refusals are as good as anything else here.
        let _ = match step {
            Move::Wait(ms) => {
                self.wait(ms);
                return;
            }
            Move::RollbacksWill(fate) => {
                self.model.apps[0].rollback_fate = fate;
                return;
            }
            Move::Do(write) => self.write(write),
            Move::RollBack { nth, skip_pin } => {
                self.write(Write::Rollback { target: nth_id(self, nth), skip_pin })
            }
            Move::AutoRollBack { nth } => self.write(Write::AutoRollback { target: nth_id(self, nth) }),
            Move::CancelNth { nth } => self.write(Write::Cancel { deployment: Some(nth_id(self, nth)) }),
        };
    }

    fn holds_together(&self) -> Result<(), TestCaseError> {
        let app = &self.model.apps[0];
        let at_phase = |wanted: fn(Phase) -> bool| -> Vec<usize> {
            (0..app.deployments.len()).filter(|d| wanted(app.deployments[*d].phase)).collect()
        };
        prop_assert_eq!(at_phase(|p| p == Phase::Active), app.active.into_iter().collect::<Vec<_>>());
        let mut moving: Vec<usize> = app.in_progress.into_iter().chain(app.queue.iter().copied()).collect();
        moving.sort_unstable();
        prop_assert_eq!(at_phase(|p| !p.is_terminal()), moving, "each moves in its place");
        prop_assert!(app.kind != AppKind::DigitalOcean || app.queue.len() <= 1, "one waits at most");
        prop_assert!(app.in_progress.is_some() || app.queue.is_empty(), "nothing waits for nothing");
        if let Some(pinned) = app.pinned {
            prop_assert!(app.deployments[pinned].is_rollback(), "a pin is a rollback deployment");
        }
        prop_assert!(app.due.is_none_or(|due| due > self.now), "nothing is overdue");
        prop_assert_eq!(self.model.due.len(), usize::from(app.due.is_some()));
        prop_assert!(app.kind == AppKind::DigitalOcean || app.pinned.is_none(), "nothing pins elsewhere");
        for made in &app.deployments {
            prop_assert!(made.phase != Phase::Active || made.was_live());
            prop_assert_eq!(made.was_live(), made.steps_done == crate::lab::app::STEPS);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_anybody_does_the_platform_holds_together(
        kind in kinds(),
        unknowns in answers(),
        moves in prop::collection::vec(moves(), 1..60),
    ) {
        let mut shop = Shop::of(kind, unknowns);
        for step in moves {
            shop.play(step);
            shop.holds_together()?;
        }
    }
}
