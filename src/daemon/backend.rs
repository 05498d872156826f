//! The daemon as the HTTP surface sees it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{oneshot, watch};

use super::app::{Asked, Command};
use super::apps::{AppHandle, Apps};
use super::shell::RecallError;
use super::{Shell, pause, status};
use crate::clock::Moment;
use crate::config::TokenSource;
use crate::decision::fleet::Permit;
use crate::decision::measuring::Measuring;
use crate::decision::observation::Request;
use crate::decision::state::State;
use crate::ids::{AppName, IncidentId, PlatformAppId};
use crate::journal::JournalError;
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
            status::silent(config, state, self.shell.paused.is_paused(&config.id))
        })
    }

    async fn statuses(&self) -> Vec<AppStatus> {
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

    async fn set_paused(&self, name: Option<&AppName>, paused: bool) -> Result<(), ActionError> {
        let said_at = self.shell.clock.now();
        let handles = self.handles();
        let chosen: Vec<&AppHandle> = match name {
            Some(name) => vec![handles.named(name).ok_or(ActionError::Unknown("app"))?],
            None => handles.tasks.values().collect(),
        };
        let app = name.and(chosen.first()).map(|handle| &handle.config.id);
        // One at a time: what is in force and what is in the journal must not part.
        let _turn = self.shell.paused.turn().await;
        // The end of a pause ends nothing else: what came to be held meanwhile is another word's to end.
        if let Some(handle) = chosen.first().filter(|_| name.is_some() && !paused)
            && !self.shell.paused.has(&handle.config.id)
            && !self.shell.paused.is_all()
        {
            return resume(handle, said_at).await;
        }
        if let Some(name) = name.filter(|_| !paused && self.shell.paused.is_all()) {
            return Err(ActionError::Conflict(format!(
                "everything is paused, and {name} with it; allowed is to resume everything"
            )));
        }
        if paused {
            // In force before it is durable: the safe way round.
            self.shell.paused.set(app, true);
        }
        let written = match self.shell.recall().await {
            Ok(()) => self.write_pause(app, paused).await.map_err(RecallError::from),
            Err(error) => Err(error),
        };
        written.map_err(|error| {
            tracing::error!("failed to {error}");
            if paused {
                return ActionError::NotDurable;
            }
            // Some of it may be gone from the journal: it is written again, since it is still in force.
            self.shell.paused.is_unwritten();
            ActionError::Unavailable
        })?;
        if paused {
            self.shell.paused.is_written(app);
        } else {
            self.shell.paused.set(app, false);
        }
        tracing::warn!(app = name.map_or("all apps", AppName::as_str), paused, "an operator's word");
        if !paused && app.is_none() {
            self.shell.fleet.resume().await;
        }
        Ok(())
    }

    async fn write_pause(&self, app: Option<&PlatformAppId>, paused: bool) -> Result<(), JournalError> {
        let journal = &self.shell.journal;
        match app {
            Some(app) => journal.set_paused(app.as_str(), paused).await,
            None if paused => journal.set_paused(pause::ALL, true).await,
            None => {
                for app in self.shell.paused.ids() {
                    journal.set_paused(&app, false).await?;
                }
                Ok(())
            }
        }
    }

    async fn ask(&self, incident: &IncidentId, request: Request) -> Result<(), ActionError> {
        let found = self.shell.journal.incident(incident).await.map_err(|_| ActionError::Unavailable)?;
        let Some((record, _)) = found else { return Err(ActionError::Unknown("incident")) };
        let handles = self.handles();
        let Some(handle) = handles.tasks.get(&record.app_id) else { return Err(ActionError::Unknown("app")) };
        let (reply, answer) = oneshot::channel();
        let asked = Command::Request(Box::new(Asked { incident: incident.clone(), request, reply }));
        handle.commands.send(asked).await.map_err(|_| ActionError::Unknown("app"))?;
        answer.await.unwrap_or(Err(ActionError::Unavailable))
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

    fn pause<'a>(&'a self, app: Option<&'a AppName>, paused: bool) -> Reply<'a, Result<(), ActionError>> {
        // A task of its own: whoever asks may hang up, and what was begun is finished.
        let (backend, app) = (self.clone(), app.cloned());
        let done = tokio::spawn(async move { backend.set_paused(app.as_ref(), paused).await });
        Box::pin(async { done.await.unwrap_or(Err(ActionError::Unavailable)) })
    }

    fn request<'a>(
        &'a self,
        incident: &'a IncidentId,
        request: Request,
    ) -> Reply<'a, Result<(), ActionError>> {
        Box::pin(self.ask(incident, request))
    }
}

async fn ask_status(handle: &AppHandle) -> Option<AppStatus> {
    let (reply, answer) = oneshot::channel();
    handle.commands.send(Command::Status(reply)).await.ok()?;
    answer.await.ok().map(|status| *status)
}

/// Ends a hold. An app that is not held has nothing to resume.
async fn resume(handle: &AppHandle, said_at: Moment) -> Result<(), ActionError> {
    let (reply, answer) = oneshot::channel();
    handle.commands.send(Command::Resume(said_at, reply)).await.map_err(|_| ActionError::Unknown("app"))?;
    let answered = tokio::time::timeout(STATUS_WITHIN, answer).await;
    answered.ok().and_then(Result::ok).unwrap_or(Err(ActionError::Unavailable))
}

/// Reads the admin token afresh at each use, so that it can be replaced.
pub(super) fn admin_token(file: watch::Receiver<Option<PathBuf>>) -> AdminToken {
    Arc::new(move || {
        let file = file.borrow().clone();
        file.map(|file| TokenSource::File(file).read().map_err(|error| Chain(&error).to_string())).transpose()
    })
}
