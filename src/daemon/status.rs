//! An app's task as the API shows it.

use jiff::{Timestamp, Unit};

use super::app::App;
use super::pause::Why;
use super::record::approve_by;
use crate::clock::Moment;
use crate::config::freeze::{self, Frozen};
use crate::config::{AppConfig, ProbeConfig};
use crate::decision::capability::{Support, Targeting};
use crate::decision::observation::ReadFault;
use crate::decision::policy::Action;
use crate::decision::rule::{self, Pace};
use crate::decision::sample::{BlindCause, SampleResult, Window};
use crate::decision::state::{Notice, Situation, Stage, State};
use crate::decision::story::{condition_in_words, evidence_in_words, percent};
use crate::ids::RuleName;
use crate::server::{
    AppStatus, FreezeStatus, Obstacle, PauseStatus, ProbeStatus, RollbackStatus, RuleStatus,
};

/// How `app` is now.
pub(super) fn of(app: &App) -> AppStatus {
    let now = app.shell.clock.now();
    let config = &app.config;
    let state = app.state.as_ref();
    let view = app.view.value();
    let incident = state.and_then(|state| state.incident());
    let situation = state.map(|state| &state.situation);
    let wall = |moment: Moment| wall(app, moment);
    AppStatus {
        name: config.name.clone(),
        platform: config.platform.clone(),
        id: config.id.clone(),
        mode: config.policy.mode,
        state: state.map_or(app.metrics.state_word(), |state| state.word()).to_owned(),
        incident: match situation {
            Some(Situation::Held(hold)) => Some(hold.incident.clone()),
            _ => incident.map(|incident| incident.id.clone()),
        },
        stage: incident.map(|incident| incident.stage.word().to_owned()),
        waiting: app.waiting.map(|reason| reason.word().to_owned()),
        approve_by: incident.and_then(|incident| approve_by(&app.shell, incident)),
        target_deployment: incident.and_then(|incident| incident.stage.target().cloned()),
        paused: app.is_paused(),
        pause: pause_of(app),
        pause_words: Vec::new(),
        freeze: freeze_of(app),
        live_deployment: view.and_then(|view| Some(view.active.as_ref()?.id.clone())),
        in_progress_deployment: view.and_then(|view| view.in_progress.clone()),
        failed_deployment: app.failed.newest.clone(),
        pinned_deployment: view.and_then(|view| view.pinned.clone()).or_else(|| {
            let pin = state?.ledger.soft_pin.as_ref().filter(|pin| pin.is_there)?;
            pin.holds.clone()
        }),
        pushes_paused: state
            .is_some_and(|state| state.ledger.soft_pin.as_ref().is_some_and(|pin| pin.is_there)),
        last_good_deployment: state.and_then(|state| state.ledger.last_good()).cloned(),
        left_good_deployment: state.and_then(|state| state.ledger.left_good()).cloned(),
        newer_release: app.is_newer_release(),
        rollback: Some(rollback(app)),
        watch_remaining_seconds: match situation {
            Some(Situation::Watching(watch)) => Some(watch.until.since(now).as_secs_f64()),
            _ => None,
        },
        soak_remaining_seconds: match incident.map(|incident| &incident.stage) {
            Some(Stage::Soaking { until, .. }) => Some(until.since(now).as_secs_f64()),
            _ => None,
        },
        platform_read_at: app.view.read_at().map(wall),
        platform_fault: app.view.fault.map(|fault| fault_word(fault).to_owned()),
        blind: app.blindness().map(|cause| cause.word().to_owned()),
        blind_because: app.blind_because(),
        rules: rules(app, now),
        probes: config
            .probes
            .iter()
            .zip(&app.windows)
            .map(|(probe, window)| probed(app, probe, window))
            .collect(),
        detection: None,
    }
}

/// How an app is whose task does not say: it stands in a call to the journal, the only one it waits for. `state` is
/// what was shown last.
pub(super) fn silent(config: &AppConfig, state: &str, is_paused: bool) -> AppStatus {
    AppStatus {
        name: config.name.clone(),
        platform: config.platform.clone(),
        id: config.id.clone(),
        mode: config.policy.mode,
        state: state.to_owned(),
        incident: None,
        stage: None,
        waiting: None,
        approve_by: None,
        target_deployment: None,
        paused: is_paused,
        pause: None,
        pause_words: Vec::new(),
        freeze: None,
        live_deployment: None,
        in_progress_deployment: None,
        failed_deployment: None,
        pinned_deployment: None,
        pushes_paused: false,
        last_good_deployment: None,
        left_good_deployment: None,
        newer_release: false,
        rollback: None,
        watch_remaining_seconds: None,
        soak_remaining_seconds: None,
        platform_read_at: None,
        platform_fault: None,
        blind: Some(BlindCause::Journal.word().to_owned()),
        blind_because: None,
        rules: Vec::new(),
        probes: Vec::new(),
        detection: None,
    }
}

/// Why the app is paused, and until when.
fn pause_of(app: &App) -> Option<PauseStatus> {
    let why = app.shell.paused.why(&app.config, app.shell.clock.now())?;
    let file = matches!(why, Why::File).then(|| app.shell.paused.file_that_pauses(&app.config)).flatten();
    let (what, pause) = match why {
        Why::Word { pause, all: true } => ("everything", Some(pause)),
        Why::Word { pause, all: false } => ("app", Some(pause)),
        Why::File => ("file", None),
        Why::Unknown => ("unknown", None),
    };
    let until = pause.as_ref().and_then(|pause| pause.until);
    Some(PauseStatus {
        scope: what.to_owned(),
        by: pause.as_ref().and_then(|pause| pause.by.clone()),
        since: pause.as_ref().and_then(|pause| pause.since),
        until: until.map(|until| app.shell.ahead(until)),
        file: file.and_then(|file| Some(file.file_name()?.to_string_lossy().into_owned())),
    })
}

/// The freeze windows that are open.
fn freeze_of(app: &App) -> Option<FreezeStatus> {
    let Frozen { blocks, windows, until } = freeze::at(&app.config.freeze, app.shell.clock.wall());
    let status = FreezeStatus { rollback: blocks.rollback, commit: blocks.commit, windows, until };
    (!status.windows.is_empty()).then_some(status)
}

fn rollback(app: &App) -> RollbackStatus {
    let readiness = app.readiness.as_ref();
    let target = readiness.and_then(|readiness| readiness.target.as_ref());
    let obstacle = app.unreadiness();
    let words = |detail: &str| (!detail.is_empty()).then(|| detail.to_owned());
    RollbackStatus {
        ready: obstacle.is_none(),
        reason: obstacle.map(|(reason, _)| reason.word().to_owned()),
        detail: obstacle.and_then(|(_, detail)| words(detail)),
        beside: app
            .beside_a_limit()
            .map(|(reason, detail)| Obstacle { reason: reason.word().to_owned(), detail: words(detail) }),
        target_deployment: target.map(|target| target.id.clone()),
        target_title: target.map(|target| target.title.clone()).filter(|title| !title.is_empty()),
        picked_by: app.view.value().map(|view| match view.capabilities.targeting {
            Targeting::PlatformPicks => "platform".to_owned(),
            Targeting::ById | Targeting::ByCode => "rearguard".to_owned(),
        }),
        target_created_at: target
            .filter(|target| target.created_ms > 0)
            .and_then(|target| Timestamp::from_millisecond(target.created_ms).ok()),
        warnings: readiness
            .map(|readiness| readiness.warnings.iter().map(|warning| warning.code.clone()).collect())
            .unwrap_or_default(),
        checked_by: readiness.map(|readiness| match readiness.by {
            Support::Native => "platform".to_owned(),
            Support::Emulated | Support::Absent => "rearguard".to_owned(),
        }),
        expected_seconds: readiness.and_then(|readiness| Some(readiness.expected?.as_secs_f64())),
        asked_at: readiness.map(|readiness| wall(app, readiness.asked_at)),
    }
}

fn rules(app: &App, now: Moment) -> Vec<RuleStatus> {
    let policy = &app.config.policy;
    let since = app.state.as_ref().and_then(|state| Some(state.live()?.since)).unwrap_or(now);
    let pace = app.state.as_ref().map_or(Pace::Rest, State::pace);
    let readings = rule::read_all(policy, &app.windows, since, now, pace);
    let rules = policy.rules.iter().zip(readings);
    rules
        .map(|(rule, reading)| RuleStatus {
            name: rule.name.clone(),
            evidence: evidence_in_words(rule, &policy.probes, &reading),
            condition: condition_in_words(rule, &policy.probes),
            verdict: reading.verdict.word().to_owned(),
            value: reading.value,
            threshold: reading.threshold,
            samples: reading.samples,
            only_tells: rule.action == Action::Notify,
            told_at: told_at(app, &rule.name),
        })
        .collect()
}

/// When a rule told of the live release.
fn told_at(app: &App, rule: &RuleName) -> Option<Timestamp> {
    let state = app.state.as_ref()?;
    let live = state.live()?;
    let is_it = |notice: &&Notice| notice.rule == *rule && notice.deployment == live.id;
    let told = state.ledger.notices.iter().rev().find(is_it).map(|notice| wall(app, notice.at))?;
    // To the second: it is no news that the clocks differ by parts of one.
    Some(told.round(Unit::Second).unwrap_or(told))
}

fn probed(app: &App, probe: &ProbeConfig, window: &Window) -> ProbeStatus {
    let last = window.last();
    let (result, detail) = match last.map(|sample| sample.result) {
        None => (None, None),
        Some(SampleResult::Good) => (Some("good"), None),
        Some(SampleResult::Share(step)) => (Some("good"), Some(percent(step.share()))),
        Some(SampleResult::Unknown(cause)) => (Some("unknown"), Some(cause.word().to_owned())),
        Some(SampleResult::Bad(failure) | SampleResult::Unvouched(failure)) => (
            Some(failure.word()),
            match failure {
                crate::decision::sample::Failure::Status(status) => Some(status.to_string()),
                crate::decision::sample::Failure::Grpc(code) => Some(code.to_string()),
                crate::decision::sample::Failure::Share(step) => Some(percent(step.share())),
                _ => None,
            },
        ),
    };
    ProbeStatus {
        name: probe.name.clone(),
        url: probe.ask.shown(),
        result: result.map(str::to_owned),
        detail,
        complaint: last
            .filter(|last| matches!(last.result, SampleResult::Unknown(_)))
            .and_then(|_| app.shell.probe.complaint(probe)),
        latency_seconds: last.map(|sample| sample.latency().as_secs_f64()),
        at: last.map(|sample| wall(app, sample.at)),
    }
}

/// A moment as people read it: so long ago by the wall clock.
fn wall(app: &App, moment: Moment) -> Timestamp {
    let ago = app.shell.clock.now().since(moment);
    app.shell.clock.wall().checked_sub(ago).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn fault_word(fault: ReadFault) -> &'static str {
    match fault {
        ReadFault::Unreachable => "unreachable",
        ReadFault::RateLimited => "rate_limited",
        ReadFault::Denied => "denied",
        ReadFault::NotFound => "not_found",
    }
}
