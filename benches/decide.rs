//! How many decisions one core makes in a second. `cargo bench --bench decide`
#![allow(clippy::print_stdout, missing_docs, reason = "the figures are the output")]

use std::hint::black_box;
use std::time::Duration;

use rearguard::clock::Moment;
use rearguard::decision::decide;
use rearguard::decision::observation::{
    AppView, Artifact, Cause, Deployment, Observation, Operator, Phase, Reading,
};
use rearguard::decision::policy::{
    Asked, Condition, Limits, Mode, OnHealthy, OnMigrations, OnUnhealthy, OnWarnings, Policy, ProbePolicy,
    RollbackPolicy, Rule, SoakPolicy,
};
use rearguard::decision::sample::{Sample, SampleResult, Window};
use rearguard::decision::state::{Live, Situation, State, Watch};
use tokio::time::Instant;

const ROUNDS: u32 = 400_000;

fn main() {
    let policy = policy();
    let view = AppView { active: Some(deployment()), active_age_ms: Some(60_000), ..AppView::default() };
    let app = Reading::known(Moment::from_millis(600_000), view);
    let live = Live { id: "live".into(), created_ms: 1, since: Moment::from_millis(0) };
    let watch = Watch {
        live: live.clone(),
        candidate: deployment(),
        until: Moment::from_millis(1_800_000),
        bad_before: Default::default(),
        former: Vec::new(),
        was_restarted: false,
        before: Default::default(),
        begun: 0,
    };
    let steady = State { situation: Situation::Steady { live }, ..State::default() };
    let watching = State { situation: Situation::Watching(watch), ..State::default() };
    println!("decide, one core, a window of 60 samples and two rules:");
    measure("steady", &policy, &steady, &app);
    measure("watching", &policy, &watching, &app);
}

fn measure(name: &str, policy: &Policy, state: &State, app: &Reading<AppView>) {
    let mut window = Window::new(64);
    for n in 0..60 {
        window.push(Sample {
            at: Moment::from_millis(n * 10_000),
            micros: 9_000,
            result: SampleResult::Good,
        });
    }
    let windows = [window];
    let history = Reading::never();
    let operator = Operator::default();
    let began = Instant::now();
    for _ in 0..ROUNDS {
        let seen = Observation {
            at: Moment::from_millis(600_000),
            app,
            other_was_live_at: None,
            history: &history,
            windows: &windows,
            answer: None,
            operator: &operator,
        };
        let decision = decide(black_box(policy), black_box(state), black_box(&seen));
        assert!(black_box(decision).change.is_none(), "a quiet app stays as it is");
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("  {name:<9} {:>12.0} decisions a second", f64::from(ROUNDS) / seconds);
}

fn deployment() -> Deployment {
    Deployment {
        id: "live".into(),
        phase: Phase::Active,
        cause: Cause::Release,
        created_ms: 1,
        complete: true,
        artifact: Artifact::default(),
        cloned_from: None,
        took_ms: None,
        title: String::new(),
    }
}

fn policy() -> Policy {
    let minute = Duration::from_secs(60);
    Policy {
        app: "shop".into(),
        mode: Mode::Enforce,
        watch: 30 * minute,
        probes: vec![ProbePolicy {
            name: "home".into(),
            period: Duration::from_secs(10),
            watch_period: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            settle: Duration::ZERO,
            lag: Duration::ZERO,
            asked: Asked::Always,
        }],
        rules: vec![
            Rule::of("down", 0, Condition::ConsecutiveFailures { count: 3 }),
            Rule::of("flaky", 0, Condition::FailureRatio { above: 0.2, over: 10 * minute, min_samples: 20 }),
        ],
        rollback: RollbackPolicy { warnings: OnWarnings::Refuse, migrations: OnMigrations::Hold },
        soak: SoakPolicy {
            period: 10 * minute,
            min_samples: 30,
            on_healthy: OnHealthy::Commit,
            on_unhealthy: OnUnhealthy::Revert,
        },
        limits: Limits { cooldown: 30 * minute, max_rollbacks: 2, per: 24 * 60 * minute },
        reconcile: Duration::from_secs(30),
        restart_first: None,
        approve_within: 30 * minute,
        accept_platform_choice: false,
    }
}
