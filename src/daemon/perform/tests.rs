//! One call, with all that is around it.

mod answers;
mod guards;

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::apps::Wanted;
use super::super::fleet::FleetOwner;
use super::super::poll::Account;
use super::*;
use crate::clock::Mark;
use crate::decision::effect::Validation;
use crate::decision::observation::{Artifact, Cause, Deployment, Phase};
use crate::ids::DeploymentId;
use crate::journal::{Pause, SqliteJournal};
use crate::metrics::Metrics;
use crate::platform::{Budget, Call, Listed};

const LIMIT: Duration = Duration::from_secs(15);

/// A platform that shows one picture, gives one answer to whatever it is asked for, and counts.
#[derive(Default)]
struct Scripted {
    view: Mutex<AppView>,
    /// Why reads, and why the others, fail.
    read_fails: Option<PlatformError>,
    call_fails: Option<PlatformError>,
    /// How long each takes.
    read_takes: Duration,
    call_takes: Duration,
    /// Done in the middle of the fresh read.
    meanwhile: Option<Box<dyn Fn() + Send + Sync>>,
    /// Done while the connection for the call is made.
    connecting: Option<Box<dyn Fn() + Send + Sync>>,
    sent: Mutex<Vec<&'static str>>,
    reloads: AtomicUsize,
}

impl Scripted {
    fn call<'a, T: Send + 'a>(&'a self, call: &'static str, value: T) -> Call<'a, T> {
        Box::pin(async move {
            if let Some(connecting) = &self.connecting {
                connecting();
            }
            if !leave::ask() {
                return Err(PlatformError::NotConnected("not sent".to_owned()));
            }
            self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(call);
            tokio::time::sleep(self.call_takes).await;
            self.call_fails.clone().map_or(Ok(answered(value)), Err)
        })
    }
}

fn answered<T>(value: T) -> Answered<T> {
    Answered { value, status: 200, request_id: None }
}

impl Platform for Scripted {
    fn list_apps<'a>(&'a self, _: &'a [PlatformAppId]) -> Call<'a, Listed> {
        unreachable!("the poller's")
    }

    fn app<'a>(&'a self, _: &'a PlatformAppId) -> Call<'a, AppView> {
        Box::pin(async {
            tokio::time::sleep(self.read_takes).await;
            if let Some(meanwhile) = &self.meanwhile {
                meanwhile();
            }
            let view = self.view.lock().unwrap_or_else(PoisonError::into_inner).clone();
            self.read_fails.clone().map_or(Ok(answered(view)), Err)
        })
    }

    fn deployments<'a>(&'a self, _: &'a PlatformAppId) -> Call<'a, Vec<Deployment>> {
        unreachable!("not before a write")
    }

    fn validate_rollback<'a>(&'a self, _: &'a PlatformAppId, _: Goal<'a>) -> Call<'a, Validation> {
        self.call("validate", Validation { valid: true, ..Validation::default() })
    }

    fn create_rollback<'a>(&'a self, _: &'a PlatformAppId, _: Goal<'a>) -> Call<'a, Deployment> {
        self.call("create_rollback", deployment("made"))
    }

    fn restart<'a>(&'a self, _: &'a PlatformAppId, components: &'a [String]) -> Call<'a, Deployment> {
        self.call(if components.is_empty() { "restart" } else { "restart some" }, deployment("made"))
    }

    fn pin<'a>(&'a self, _: &'a PlatformAppId) -> Call<'a, ()> {
        self.call("pin", ())
    }

    fn unpin<'a>(&'a self, _: &'a PlatformAppId) -> Call<'a, ()> {
        self.call("unpin", ())
    }

    fn commit_rollback<'a>(&'a self, _: &'a PlatformAppId) -> Call<'a, ()> {
        self.call("commit", ())
    }

    fn revert_rollback<'a>(&'a self, _: &'a PlatformAppId) -> Call<'a, Option<DeploymentId>> {
        self.call("revert", Some("made".into()))
    }

    fn budget(&self) -> Budget {
        Budget::default()
    }

    fn reload_token(&self) {
        self.reloads.fetch_add(1, Ordering::Relaxed);
    }
}

/// A clock that goes with tokio's, and can be put forward, as by a machine that slept.
struct Jumping(Instant, AtomicI64);

impl Clock for Jumping {
    fn now(&self) -> Moment {
        Moment::from_millis(self.1.load(Ordering::Relaxed)) + self.0.elapsed()
    }

    fn wall(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn mark(&self) -> Mark {
        Mark { at: self.now(), boottime_ms: 0, boot_id: String::new() }
    }
}

fn deployment(id: &str) -> Deployment {
    Deployment {
        id: id.into(),
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

fn view(active: &str, pinned: Option<&str>, in_progress: Option<&str>) -> AppView {
    AppView {
        active: Some(deployment(active)),
        active_age_ms: None,
        in_progress: in_progress.map(DeploymentId::from),
        pinned: pinned.map(DeploymentId::from),
        ..AppView::default()
    }
}

fn validate() -> Effect {
    Effect::Validate { accused: "bad".into(), target: "good".into() }
}

fn create() -> Effect {
    Effect::CreateRollback { accused: "bad".into(), target: "good".into(), code: Vec::new() }
}

fn pin() -> Effect {
    Effect::Pin { accused: "bad".into() }
}

fn restart() -> Effect {
    Effect::Restart { accused: "bad".into() }
}

/// Every call there is.
fn every() -> [Effect; 7] {
    [validate(), pin(), Effect::Unpin, restart(), create(), commit(), revert()]
}

fn commit() -> Effect {
    Effect::Commit { rollback: "ours".into() }
}

fn revert() -> Effect {
    Effect::Revert { rollback: "ours".into() }
}

/// What has to be seen for a call to be sent.
fn fitting(effect: &Effect) -> AppView {
    match effect {
        Effect::Validate { .. } | Effect::Restart { .. } | Effect::CreateRollback { .. } => {
            view("bad", None, None)
        }
        Effect::Pin { .. } => AppView { pushes: Some(Pushes::Deploy), ..view("bad", None, None) },
        Effect::Unpin => AppView { pushes: Some(Pushes::Paused), ..view("any", None, Some("newer")) },
        Effect::Commit { .. } | Effect::Revert { .. } => view("ours", Some("ours"), None),
    }
}

/// What is around one call.
struct Scene {
    paused: Paused,
    stop: CancellationToken,
    clock: Arc<Jumping>,
    /// How many apps may want a rollback at once.
    most: usize,
    mandate: Mandate,
    /// It left the configuration since.
    has_left: bool,
    freeze: &'static str,
    /// More keys of the app.
    keys: &'static str,
    mode: &'static str,
    /// What the decision is already old when its call begins.
    written_in: Duration,
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let paused = Paused::default();
        paused.recall(Vec::new());
        Self {
            paused,
            stop: CancellationToken::new(),
            clock: Arc::new(Jumping(Instant::now(), AtomicI64::new(1_000_000))),
            most: 3,
            mandate: Mandate { heeds: Freeze { rollback: true, commit: true }, ..Mandate::default() },
            has_left: false,
            freeze: "",
            keys: "",
            mode: "enforce",
            written_in: Duration::ZERO,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Performs `effect`; gives what came of it, and what was sent.
    async fn perform(&self, effect: Effect, platform: Scripted) -> (Performed, Vec<&'static str>, usize) {
        let platform = Arc::new(platform);
        let text = format!(
            "platforms: [{{ name: ocean, kind: digitalocean, token_file: /the/token }}]\napps:\n  - name: shop\n    \
             platform: ocean\n    id: id-shop\n    mode: {}\n    probes: [{{ name: home, url: 'https://lab.test/' }}]\n    \
             rules: [{{ name: down, probe: home, consecutive_failures: 3 }}]\n{}{}",
            self.mode, self.keys, self.freeze
        );
        let config = crate::config::parse("rearguard.yaml", &text).expect("a configuration");
        let account = Account {
            platform: Arc::clone(&platform) as Arc<dyn Platform>,
            config: Arc::new(config.platforms[0].clone()),
            slices: super::super::poll::Slices::default(),
            turns: Arc::new(tokio::sync::Semaphore::new(1)),
            questions: Arc::default(),
        };
        let seat = Seat::new(Wanted { config: Arc::new(config.apps[0].clone()), account });
        if self.has_left {
            *seat.wanted() = None;
        }
        let (_most, most) = watch::channel(self.most);
        let journal = SqliteJournal::open(self.folder.path().join("rearguard.db")).expect("a journal");
        let owner = FleetOwner {
            since: None,
            most,
            journal: Arc::new(journal),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            metrics: Metrics::new(&[]).expect("metrics"),
            post: crate::notify::post::Post::open().0,
            stop: CancellationToken::new(),
        };
        let order = Order {
            app: "shop".into(),
            id: "id-shop".into(),
            effect,
            config: Arc::new(config.apps[0].clone()),
            mandate: self.mandate.clone(),
            platform: Arc::clone(&platform) as Arc<dyn Platform>,
            fleet: owner.start(),
            paused: self.paused.clone(),
            seat,
            stop: self.stop.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            decided_at: self.clock.now() - self.written_in,
            limit: LIMIT,
        };
        let performed = perform(order).await;
        let sent = platform.sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (performed, sent, platform.reloads.load(Ordering::Relaxed))
    }
}

fn showing(view: AppView) -> Scripted {
    Scripted { view: Mutex::new(view), ..Scripted::default() }
}
