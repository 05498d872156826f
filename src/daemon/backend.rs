//! The daemon as the HTTP surface sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{oneshot, watch};

use super::app::{About, Command, Led, Word};
use super::apps::{AppHandle, Apps};
use super::shell::RecallError;
use super::{Shell, pause, status};
use crate::clock::Moment;
use crate::config::{AppConfig, TokenSource};
use crate::decision::fleet::Permit;
use crate::decision::measuring::Measuring;
use crate::decision::observation::Request;
use crate::decision::state::State;
use crate::ids::{AppName, Caller, DeploymentId, IncidentId, PlatformAppId};
use crate::journal::{IncidentRecord, Pause};
use crate::metrics::Heartbeat;
use crate::power::Outlook;
use crate::server::{ActionError, AdminToken, AppStatus, Backend, Reply};
use crate::telemetry::Chain;

/// A loop that has not come round for this long is stuck. Loops come round every ten seconds at the latest, and a
/// journal that is locked may cost one round of five.
const LOOP_WITHIN: Duration = Duration::from_secs(60);
/// An app's task that does not say how it is within this time is shown as it was, and blind.
const STATUS_WITHIN: Duration = Duration::from_secs(1);

/// What could be noticed is waited for so long where one app is asked for: what is known of it may have to be reckoned anew.
const OUTLOOK_WITHIN: Duration = Duration::from_secs(1);
/// And so long for all of them: what is not known by then is at the next call.
const OUTLOOKS_WITHIN: Duration = Duration::from_millis(250);

/// See the module.
#[derive(Clone)]
pub(crate) struct ShellBackend {
    pub(super) shell: Arc<Shell>,
    pub(super) apps: watch::Receiver<Apps>,
    pub(super) loops: watch::Receiver<Arc<BTreeMap<String, Arc<Heartbeat>>>>,
}

impl ShellBackend {
    fn handles(&self) -> Apps {
        Arc::clone(&self.apps.borrow())
    }

    /// The loop that came round longest ago, and when.
    fn slowest(&self) -> Option<(String, Moment)> {
        let loops = Arc::clone(&self.loops.borrow());
        let named = loops.iter().map(|(name, beat)| (name.clone(), beat.last()));
        let handles = self.handles();
        let apps = handles.tasks.values().map(|app| (&app.config.name, app.heartbeat.last()));
        let slowest_app = apps.min_by_key(|(_, at)| *at).map(|(name, at)| (format!("app {name}"), at));
        named.chain(slowest_app).min_by_key(|(_, at)| *at)
    }

    /// Shows when the slowest loop last came round.
    pub(super) fn show_slowest(&self) {
        let ago = self.slowest().map_or(Duration::ZERO, |(_, at)| self.shell.clock.now().since(at));
        let wall = self.shell.clock.wall().as_millisecond() as f64 / 1e3;
        self.shell.metrics.set_last_tick(wall - ago.as_secs_f64());
    }

    /// Whether every loop came round in time.
    pub(super) fn live_now(&self) -> Result<(), String> {
        if !self.shell.controls.borrow().is_running() {
            return Err("the loop of the control probes has ended".to_owned());
        }
        match self.slowest() {
            Some((name, at)) if self.shell.clock.now().since(at) > LOOP_WITHIN => {
                let ago = self.shell.clock.now().since(at).as_secs();
                Err(format!("the loop of {name} last came round {ago} s ago"))
            }
            _ => Ok(()),
        }
    }

    async fn status(&self, handle: &AppHandle) -> AppStatus {
        // The inbox of a task that stands still fills up, so the sending is bounded as well.
        let told = tokio::time::timeout(STATUS_WITHIN, ask_status(handle)).await;
        told.ok().flatten().unwrap_or_else(|| {
            let config = &handle.config;
            let metrics = self.shell.metrics.of_app(&config.name);
            let state = metrics.map_or(State::WORDS[0], |metrics| metrics.state_word());
            status::silent(config, state, self.shell.paused.is_paused(config, self.shell.clock.now()))
        })
    }

    async fn statuses(&self) -> Vec<AppStatus> {
        // Whoever put a file there and asks is told of it.
        self.shell.paused.look_at_files();
        let handles = self.handles();
        let mut statuses = join_all(handles.tasks.values().map(|handle| self.status(handle))).await;
        statuses.sort_by(|a, b| a.name.cmp(&b.name));
        statuses
    }

    /// What could be noticed of a release of this app. Where it is not known yet, this has it reckoned and may not wait
    /// for it.
    async fn outlooks(&self, handle: &AppHandle) -> Option<Vec<Outlook>> {
        let mut before = BTreeMap::new();
        if Measuring::is_wanted(&handle.config.policy) {
            let (reply, answer) = oneshot::channel();
            handle.commands.send(Command::Known(reply)).await.ok()?;
            before = answer.await.ok()?;
        }
        let outlooks = self.shell.outlooks.of(&handle.config, before).await?;
        Some(outlooks.to_vec())
    }

    async fn look_ahead(&self, apps: &mut [AppStatus]) {
        let handles = self.handles();
        let within = if apps.len() == 1 { OUTLOOK_WITHIN } else { OUTLOOKS_WITHIN };
        let each = apps.iter_mut().map(|app| {
            let handle = handles.named(&app.name);
            async move {
                let Some(handle) = handle else { return };
                let told = tokio::time::timeout(within, self.outlooks(handle)).await;
                app.detection = told.ok().flatten();
            }
        });
        join_all(each).await;
    }

    /// The app that is meant; none for all of them.
    fn chosen(&self, name: Option<&AppName>) -> Result<Option<AppHandle>, ActionError> {
        let handles = self.handles();
        let found = name.map(|name| handles.named(name).cloned().ok_or(ActionError::Unknown("app")));
        found.transpose()
    }

    async fn pause_now(
        &self,
        name: Option<&AppName>,
        lasts: Option<Duration>,
        by: Caller,
    ) -> Result<(), ActionError> {
        let handle = self.chosen(name)?;
        self.shell.paused.look_at_files();
        let app = handle.as_ref().map(|handle| &handle.config.id);
        let until = lasts.map(|lasts| self.shell.clock.now() + lasts);
        let pause = Pause { until, by: Some(by.clone()), since: Some(self.shell.clock.wall()), lasts };
        // In force before it is durable: the safe way round. Written one at a time: what is in force and what is in the
        // journal must not part.
        let in_turn = self.shell.paused.pause_in_turn(app, pause.clone(), &*self.shell.clock).await;
        let _turn = in_turn.map_err(|stands| {
            let by = stands.by.as_ref().map_or(String::new(), |by| format!(" by {by}"));
            ActionError::Conflict(format!("a pause{by} stands that lasts longer; allowed is to resume first"))
        })?;
        let key = app.map_or(pause::ALL, PlatformAppId::as_str);
        let written = match self.shell.recall().await {
            Ok(()) => self.shell.journal.pause(key, pause.clone()).await.map_err(RecallError::from),
            Err(error) => Err(error),
        };
        written.map_err(|error| {
            tracing::error!("failed to {error}");
            self.shell.journal_works(false);
            ActionError::NotDurable
        })?;
        self.shell.paused.is_written(app, &pause);
        tracing::info!(app = key, %by, seconds = lasts.map_or(0, |lasts| lasts.as_secs()), "paused by a person's word");
        self.tell(handle.as_ref());
        Ok(())
    }

    async fn resume_now(&self, name: Option<&AppName>, by: Caller) -> Result<(), ActionError> {
        let said_at = self.shell.clock.now();
        let handle = self.chosen(name)?;
        self.shell.paused.look_at_files();
        let _turn = self.shell.paused.turn().await;
        let paused = &self.shell.paused;
        if let (Some(handle), Some(name)) = (&handle, name)
            && !paused.has(&handle.config.id, said_at)
        {
            if paused.is_all(said_at) {
                return Err(ActionError::Conflict(format!(
                    "everything is paused, and {name} with it; allowed is to resume everything"
                )));
            }
            self.not_by_file(&handle.config)?;
            // The end of a pause ends nothing else: what came to be held meanwhile is another word's to end.
            // An app that is not held has nothing to resume.
            return say(handle, Request::Resume, by, About::Hold(said_at)).await.map(drop);
        }
        let app = handle.as_ref().map(|handle| &handle.config.id);
        let (key, wall) = (app.map_or(pause::ALL, PlatformAppId::as_str), self.shell.clock.wall());
        let written = match self.shell.recall().await {
            Ok(()) => {
                self.shell.journal.end_pause(key, Some(by.clone()), wall).await.map_err(RecallError::from)
            }
            Err(error) => Err(error),
        };
        written.map_err(|error| {
            tracing::error!("failed to {error}");
            // Some of it may be gone from the journal: it is written again, since it is still in force.
            paused.is_unwritten();
            self.shell.journal_works(false);
            ActionError::Unavailable
        })?;
        paused.resume(app);
        tracing::info!(app = key, %by, "resumed by a person's word");
        if app.is_none() {
            self.shell.fleet.resume().await;
        }
        self.tell(handle.as_ref());
        Ok(())
    }

    /// Whoever is paused by the file is not resumed by a word.
    fn not_by_file(&self, app: &AppConfig) -> Result<(), ActionError> {
        match self.shell.paused.file_that_pauses(app) {
            Some(file) => Err(ActionError::Conflict(format!(
                "the file {} pauses {}; allowed is to remove it",
                file.display(),
                app.name
            ))),
            None => Ok(()),
        }
    }

    /// Has whom it concerns look at once.
    fn tell(&self, handle: Option<&AppHandle>) {
        let handles = self.handles();
        let all = handles.tasks.values().filter(|_| handle.is_none());
        for handle in all.chain(handle) {
            // One that is busy looks by itself when it comes round.
            let _ = handle.commands.try_send(Command::Look);
        }
    }

    async fn give_order(
        &self,
        name: &AppName,
        request: Request,
        by: Caller,
    ) -> Result<IncidentId, ActionError> {
        let handle = self.chosen(Some(name))?.ok_or(ActionError::Unknown("app"))?;
        self.shell.paused.look_at_files();
        say(&handle, request, by, About::App).await?.incident.ok_or(ActionError::Unsure)
    }

    async fn ask(
        &self,
        incident: &IncidentId,
        request: Request,
        meant: Option<DeploymentId>,
        by: Caller,
    ) -> Result<Option<DeploymentId>, ActionError> {
        let found = async || match self.shell.journal.incident(incident).await {
            Ok(found) => found.map(|(record, _)| record).ok_or(ActionError::Unknown("incident")),
            Err(_) => Err(ActionError::Unavailable),
        };
        let app_id = found().await?.app_id;
        let handles = self.handles();
        let Some(handle) = handles.tasks.get(&app_id) else { return Err(ActionError::Unknown("app")) };
        let led = say(handle, request, by, About::Incident(incident.clone(), meant)).await;
        if let Err(ActionError::Conflict(_)) = led
            && let IncidentRecord { outcome: Some(outcome), reason, .. } = found().await?
        {
            let (outcome, reason) = (outcome.word(), reason.word());
            let why = format!("incident {incident} is closed: {outcome} ({reason})");
            return Err(ActionError::Conflict(why));
        }
        Ok(led?.target)
    }
}

impl Backend for ShellBackend {
    fn apps(&self) -> Reply<'_, Vec<AppStatus>> {
        Box::pin(self.statuses())
    }

    fn storm(&self) -> bool {
        self.shell.fleet.stands() == Permit::Storm
    }

    fn app<'a>(&'a self, name: &'a AppName) -> Reply<'a, Option<AppStatus>> {
        Box::pin(async move {
            let handles = self.handles();
            self.shell.paused.look_at_files();
            Some(self.status(handles.named(name)?).await)
        })
    }

    fn foresee<'a>(&'a self, apps: &'a mut [AppStatus]) -> Reply<'a, ()> {
        Box::pin(self.look_ahead(apps))
    }

    fn app_id(&self, name: &AppName) -> Option<PlatformAppId> {
        self.handles().named(name).map(|handle| handle.config.id.clone())
    }

    fn live(&self) -> Result<(), String> {
        self.live_now()
    }

    fn ready(&self) -> Result<(), String> {
        if self.shell.is_journal_working.load(std::sync::atomic::Ordering::Relaxed) {
            Ok(())
        } else {
            Err("the journal does not take writes".to_owned())
        }
    }

    fn pause<'a>(
        &'a self,
        app: Option<&'a AppName>,
        lasts: Option<Duration>,
        by: Caller,
    ) -> Reply<'a, Result<(), ActionError>> {
        // A task of its own, as below: whoever asks may hang up, and what was begun is finished.
        let (backend, app) = (self.clone(), app.cloned());
        let done = tokio::spawn(async move { backend.pause_now(app.as_ref(), lasts, by).await });
        Box::pin(async { done.await.unwrap_or(Err(ActionError::Unavailable)) })
    }

    fn resume<'a>(&'a self, app: Option<&'a AppName>, by: Caller) -> Reply<'a, Result<(), ActionError>> {
        let (backend, app) = (self.clone(), app.cloned());
        let done = tokio::spawn(async move { backend.resume_now(app.as_ref(), by).await });
        Box::pin(async { done.await.unwrap_or(Err(ActionError::Unavailable)) })
    }

    fn request<'a>(
        &'a self,
        incident: &'a IncidentId,
        request: Request,
        meant: Option<DeploymentId>,
        by: Caller,
    ) -> Reply<'a, Result<Option<DeploymentId>, ActionError>> {
        Box::pin(self.ask(incident, request, meant, by))
    }

    fn order<'a>(
        &'a self,
        app: &'a AppName,
        request: Request,
        by: Caller,
    ) -> Reply<'a, Result<IncidentId, ActionError>> {
        Box::pin(self.give_order(app, request, by))
    }
}

async fn ask_status(handle: &AppHandle) -> Option<AppStatus> {
    let (reply, answer) = oneshot::channel();
    handle.commands.send(Command::Status(reply)).await.ok()?;
    answer.await.ok().map(|status| *status)
}

/// Says a word to an app, and waits for what came of it to be in the journal.
async fn say(handle: &AppHandle, request: Request, by: Caller, about: About) -> Result<Led, ActionError> {
    let (reply, answer) = oneshot::channel();
    let word = Word { request, by, about, replies: vec![reply] };
    let sent = handle.commands.send(Command::Word(Box::new(word))).await;
    sent.map_err(|_| ActionError::Unknown("app"))?;
    answer.await.unwrap_or(Err(ActionError::Unsure))
}

/// Reads the admin token afresh at each use, so that it can be replaced.
pub(super) fn admin_token(file: watch::Receiver<Option<TokenSource>>) -> AdminToken {
    Arc::new(move || {
        let file = file.borrow().clone();
        file.map(|file| file.read().map_err(|error| Chain(&error).to_string())).transpose()
    })
}
