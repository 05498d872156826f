//! Each guard right before a write, and each answer to it.

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

#[tokio::test]
async fn each_call_is_sent_once_and_its_answer_taken() {
    let cases = [
        (validate(), Answer::Validated(Validation { valid: true, ..Validation::default() })),
        (pin(), Answer::Pinned),
        (Effect::Unpin, Answer::Unpinned),
        (restart(), Answer::Restarted(deployment("made"))),
        (create(), Answer::Created(deployment("made"))),
        (commit(), Answer::Committed),
        (revert(), Answer::Reverted(Some("made".into()))),
    ];
    for (effect, answer) in cases {
        let scene = Scene::new();
        let (performed, sent, _) = scene.perform(effect.clone(), showing(fitting(&effect))).await;
        assert_eq!((performed.answer, sent), (answer, vec![effect.word()]));
        let (read_at, seen) = performed.view.expect("a fresh read");
        assert!(seen == fitting(&effect) && read_at <= scene.clock.now());
        let calls: Vec<_> = performed.calls.iter().map(|call| call["operation"].clone()).collect();
        assert_eq!(calls.len(), 2);
        assert_eq!((&calls[0], &performed.calls[1]["status"]), (&json!("get_app"), &json!(200)));
    }
}

#[tokio::test]
async fn a_restart_is_of_the_components_that_the_configuration_names() {
    let keys = "    restart_first: 90s\n    restart_components: [web]\n";
    let scene = Scene { keys, ..Scene::new() };
    let (_, sent, _) = scene.perform(restart(), showing(fitting(&restart()))).await;
    assert_eq!(sent, ["restart some"]);
}

#[tokio::test]
async fn nothing_is_sent_when_the_fresh_read_shows_another_picture() {
    let nothing_live = AppView { active: None, ..view("bad", None, None) };
    let not_live = AppView { active: None, ..view("ours", Some("ours"), None) };
    let before = [
        view("newer", None, None),
        view("bad", Some("theirs"), None),
        view("bad", None, Some("newer")),
        view("newer", Some("newer"), None),
        nothing_live,
    ];
    let after = [
        view("ours", None, None),
        view("ours", Some("theirs"), None),
        view("newer", Some("ours"), None),
        not_live,
    ];
    let paused =
        [AppView { pushes: Some(Pushes::Paused), ..view("bad", None, None) }, view("bad", None, None)];
    let deployed =
        [AppView { pushes: Some(Pushes::Deploy), ..view("bad", None, None) }, view("bad", None, None)];
    let cases = [
        (validate(), &before[..]),
        (restart(), &before),
        (pin(), &before),
        (pin(), &paused),
        (Effect::Unpin, &deployed),
        (create(), &before),
        (commit(), &after),
        (revert(), &after),
    ];
    for (effect, pictures) in cases {
        for picture in pictures {
            let (performed, sent, _) = Scene::new().perform(effect.clone(), showing(picture.clone())).await;
            assert_eq!(performed.answer, Answer::NotSent(Guard::Changed), "{effect:?} at {picture:?}");
            assert_eq!((sent, performed.view.map(|(_, seen)| seen).as_ref()), (vec![], Some(picture)));
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_when_the_fresh_read_fails() {
    let denied = Answer::NotApplied { why: Rejection::Denied, retry_after: None };
    let cases = [
        (PlatformError::Denied { status: 401 }, denied, 1),
        (PlatformError::Ambiguous("503".into()), Answer::NotSent(Guard::Unreadable), 0),
        (PlatformError::NotFound, Answer::NotSent(Guard::Unreadable), 0),
    ];
    for (error, answer, reloads) in cases {
        for effect in every() {
            let platform = Scripted { read_fails: Some(error.clone()), ..showing(fitting(&effect)) };
            let (performed, sent, reloaded) = Scene::new().perform(effect, platform).await;
            assert_eq!((performed.answer, sent, reloaded), (answer.clone(), vec![], reloads), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_stops_what_leads_to_a_rollback_and_nothing_that_settles_one() {
    for effect in every() {
        let scene = Scene { most: 0, ..Scene::new() };
        let (performed, sent, _) = scene.perform(effect.clone(), showing(fitting(&effect))).await;
        if matches!(effect, Effect::Unpin | Effect::Commit { .. } | Effect::Revert { .. }) {
            assert_eq!(sent, [effect.word()]);
        } else {
            assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Storm), vec![]));
        }
        // What undoes a rollback of ours settles it, whatever it is called.
        let scene =
            Scene { most: 0, mandate: Mandate { is_return: true, ..Mandate::default() }, ..Scene::new() };
        let (_, sent, _) = scene.perform(effect.clone(), showing(fitting(&effect))).await;
        assert_eq!(sent, [effect.word()]);
    }
}

#[tokio::test]
async fn what_comes_up_during_the_fresh_read_stops_the_call() {
    for effect in every() {
        let scene = Scene::new();
        let paused = scene.paused.clone();
        let pause = Box::new(move || {
            paused.pause(None, Pause::default(), Moment::from_millis(0)).expect("nothing stands")
        });
        let platform = Scripted { meanwhile: Some(pause), ..showing(fitting(&effect)) };
        let (performed, sent, _) = scene.perform(effect.clone(), platform).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Paused), vec![]));

        let scene = Scene::new();
        let stop = scene.stop.clone();
        let platform =
            Scripted { meanwhile: Some(Box::new(move || stop.cancel())), ..showing(fitting(&effect)) };
        let (performed, sent, _) = scene.perform(effect.clone(), platform).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Interrupted), vec![]));

        let scene = Scene { mode: "observe", ..Scene::new() };
        let (performed, sent, _) = scene.perform(effect.clone(), showing(fitting(&effect))).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Observe), vec![]));

        // The machine slept, and the timers have not noticed.
        let scene = Scene::new();
        let clock = Arc::clone(&scene.clock);
        let sleep = Box::new(move || {
            clock.1.fetch_add(15_001, Ordering::Relaxed);
        });
        let platform = Scripted { meanwhile: Some(sleep), ..showing(fitting(&effect)) };
        let (performed, sent, _) = scene.perform(effect.clone(), platform).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Interrupted), vec![]));

        // It slept while the decision was written down, so that what it rests on is old.
        let scene = Scene { written_in: LIMIT + Duration::from_millis(1), ..Scene::new() };
        let (performed, sent, _) = scene.perform(effect.clone(), showing(fitting(&effect))).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Interrupted), vec![]));
    }
}

#[tokio::test]
async fn what_comes_up_while_the_connection_is_made_stops_the_call() {
    for effect in every() {
        let during = |connecting: Box<dyn Fn() + Send + Sync>| Scripted {
            connecting: Some(connecting),
            ..showing(fitting(&effect))
        };
        let scene = Scene::new();
        let paused = scene.paused.clone();
        let pause = Box::new(move || {
            paused.pause(None, Pause::default(), Moment::from_millis(0)).expect("nothing stands")
        });
        let (performed, sent, _) = scene.perform(effect.clone(), during(pause)).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Paused), vec![]));

        let scene = Scene::new();
        let stop = scene.stop.clone();
        let platform = during(Box::new(move || stop.cancel()));
        let (performed, sent, _) = scene.perform(effect.clone(), platform).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Interrupted), vec![]));

        // The machine slept in the middle of the handshake.
        let scene = Scene::new();
        let clock = Arc::clone(&scene.clock);
        let platform = during(Box::new(move || {
            clock.1.fetch_add(15_001, Ordering::Relaxed);
        }));
        let (performed, sent, _) = scene.perform(effect.clone(), platform).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Interrupted), vec![]));
        assert_eq!(performed.calls.len(), 2, "it is in the timeline that it was about to be sent");
    }
}

#[tokio::test]
async fn a_file_that_was_put_there_during_the_fresh_read_stops_the_call() {
    for effect in every() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("paused");
        let paused = Paused::with_file(path.clone());
        paused.recall(Vec::new());
        let scene = Scene { paused, ..Scene::new() };
        let touch = Box::new(move || std::fs::write(&path, "").expect("touched"));
        let platform = Scripted { meanwhile: Some(touch), ..showing(fitting(&effect)) };
        let (performed, sent, _) = scene.perform(effect, platform).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Paused), vec![]));
    }
}

#[tokio::test]
async fn a_freeze_window_that_opened_since_stops_the_call_unless_it_was_ordered() {
    let always = "freeze: [{ name: always, from: mon 00:00, to: mon 00:00, blocks: [rollback] }]\n";
    let heeds = |rollback, commit| Freeze { rollback, commit };
    for (heeds, stops) in [
        (heeds(true, false), true),
        (heeds(true, true), true),
        (heeds(false, true), false),
        (heeds(false, false), false),
    ] {
        let mandate = Mandate { heeds, ..Mandate::default() };
        let scene = Scene { freeze: always, mandate, ..Scene::new() };
        let (performed, sent, _) = scene.perform(create(), showing(fitting(&create()))).await;
        let is_stopped = performed.answer == Answer::NotSent(Guard::Frozen);
        assert_eq!((is_stopped, sent.is_empty()), (stops, stops), "{heeds:?}");
    }
}

#[tokio::test]
async fn what_a_person_ordered_is_no_sign_of_a_storm() {
    for (is_asked, answer) in [(false, Some(Answer::NotSent(Guard::Storm))), (true, None)] {
        // Not even one app may want a rollback.
        let mandate = Mandate { is_asked, ..Mandate::default() };
        let scene = Scene { most: 0, mandate, ..Scene::new() };
        let (performed, sent, _) = scene.perform(create(), showing(fitting(&create()))).await;
        assert_eq!(sent.is_empty(), answer.is_some());
        assert!(answer.is_none_or(|answer| answer == performed.answer));
    }
}

#[tokio::test]
async fn what_a_configuration_withholds_by_now_stops_what_leads_to_a_rollback_and_nothing_that_ends_one() {
    let unasked = || Mandate { unasked: Some("down".into()), ..Mandate::default() };
    let (asks, leaves) = (
        || Scene { mode: "approve", mandate: unasked(), ..Scene::new() },
        || Scene { has_left: true, mandate: unasked(), ..Scene::new() },
    );
    for effect in every() {
        let is_end = matches!(effect, Effect::Unpin | Effect::Commit { .. } | Effect::Revert { .. });
        for scene in [asks(), leaves()] {
            let (performed, sent, _) = scene.perform(effect.clone(), showing(fitting(&effect))).await;
            let is_stopped = performed.answer == Answer::NotSent(Guard::Observe);
            assert_eq!((is_stopped, sent.is_empty()), (!is_end, !is_end), "{effect:?}");
        }
        // A person has said yes, or the rule needs none.
        for (mode, mandate) in [("approve", Mandate::default()), ("enforce", unasked())] {
            let scene = Scene { mode, mandate, ..Scene::new() };
            let (_, sent, _) = scene.perform(effect.clone(), showing(fitting(&effect))).await;
            assert_eq!(sent.len(), 1, "{effect:?}");
        }
    }
    // A rollback from our own rollback.
    for scene in [asks(), leaves()] {
        let scene = Scene { mandate: Mandate { is_return: true, ..unasked() }, ..scene };
        assert_eq!(scene.perform(create(), showing(fitting(&create()))).await.1, ["create_rollback"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_not_sent_or_not_answered() {
    let slow = Scripted { read_takes: LIMIT + Duration::from_secs(1), ..showing(fitting(&create())) };
    let (performed, sent, _) = Scene::new().perform(create(), slow).await;
    assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Interrupted), vec![]));
    // What the read took is not there for the call any more.
    let slow = |call_takes| Scripted {
        read_takes: Duration::from_secs(10),
        call_takes: Duration::from_secs(call_takes),
        ..showing(fitting(&create()))
    };
    let (performed, sent, _) = Scene::new().perform(create(), slow(6)).await;
    assert_eq!((performed.answer, sent), (Answer::Unresolved, vec!["create_rollback"]));
    let (performed, ..) = Scene::new().perform(create(), slow(4)).await;
    assert_eq!(performed.answer, Answer::Created(deployment("made")));
}

#[tokio::test]
async fn each_failure_of_a_call_says_what_is_sure() {
    let not_applied = |why, retry_after| Answer::NotApplied { why, retry_after };
    let wait = Some(Duration::from_secs(7));
    let refused = |status, message: &str| Answer::Refused { status, message: message.to_owned() };
    for effect in every() {
        let settles = matches!(effect, Effect::Commit { .. } | Effect::Revert { .. });
        let gone = if settles { refused(404, "not found") } else { not_applied(Rejection::NotFound, None) };
        let cases = [
            (PlatformError::NotConnected("no".into()), not_applied(Rejection::NotConnected, None), 0),
            (PlatformError::RateLimited { retry_after: wait }, not_applied(Rejection::RateLimited, wait), 0),
            (PlatformError::Denied { status: 403 }, not_applied(Rejection::Denied, None), 1),
            (PlatformError::NotFound, gone, 0),
            (PlatformError::Refused { status: 422, message: "no".into() }, refused(422, "no"), 0),
            (PlatformError::Ambiguous("reset".into()), Answer::Unresolved, 0),
        ];
        for (error, answer, reloads) in cases {
            let platform = Scripted { call_fails: Some(error.clone()), ..showing(fitting(&effect)) };
            let (performed, sent, reloaded) = Scene::new().perform(effect.clone(), platform).await;
            assert_eq!((performed.answer, sent, reloaded), (answer, vec![effect.word()], reloads), "{error}");
            assert_eq!(performed.calls[1]["status"], json!(error.status()));
        }
    }
}
