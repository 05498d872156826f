//! The apps' tasks: started, reconfigured and retired as the configuration changes.
//!
//! A task belongs to an app of the platform, so the map's key is the platform's id of it: an app that is renamed keeps
//! its task, and another app under an old name gets one of its own, once no incident bears that name any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shell;
use super::app::{App, Command};
use super::poll::Account;
use crate::config::AppConfig;
use crate::ids::{AppName, PlatformAppId};
use crate::metrics::Heartbeat;

/// How many commands wait for an app's task at most.
const INBOX: usize = 4;

/// What an app is to be.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) config: Arc<AppConfig>,
    pub(super) account: Account,
}

/// Where an app's task finds what it is to be, the newest word last; nothing once it left the configuration.
#[derive(Clone)]
pub(super) struct Seat(Arc<Mutex<Option<Wanted>>>);

impl Seat {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self(Arc::new(Mutex::new(Some(wanted))))
    }

    pub(super) fn wanted(&self) -> MutexGuard<'_, Option<Wanted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an app's task is reached.
#[derive(Clone)]
pub(super) struct AppHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) heartbeat: Arc<Heartbeat>,
    /// What it was to be when it was last in the configuration.
    pub(super) config: Arc<AppConfig>,
    seat: Seat,
}

impl AppHandle {
    /// Tells the task what it is to be; one that is busy looks by itself when it comes round.
    fn seat(&self, wanted: Option<Wanted>) {
        *self.seat.wanted() = wanted;
        let _ = self.commands.try_send(Command::Look);
    }
}

/// Every app that has a task, and those that wait for a name.
#[derive(Clone, Default)]
pub(super) struct Roll {
    pub(super) tasks: BTreeMap<PlatformAppId, AppHandle>,
    waiting: Vec<Wanted>,
}

pub(super) type Apps = Arc<Roll>;

impl Roll {
    /// The app that bears `name`.
    pub(super) fn named(&self, name: &AppName) -> Option<&AppHandle> {
        self.tasks.values().find(|handle| handle.config.name == *name)
    }
}

/// Starts apps, and knows those that were started.
#[derive(Clone)]
pub(super) struct Roster {
    pub(super) shell: Arc<Shell>,
    pub(super) apps: watch::Sender<Apps>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Roster {
    /// Starts, reconfigures and retires apps. An app that left with an open incident ends once it is closed.
    pub(super) fn take(&self, wanted: impl Iterator<Item = Wanted>) {
        let wanted = wanted.map(|wanted| (wanted.config.id.clone(), wanted));
        let mut wanted: BTreeMap<PlatformAppId, Wanted> = wanted.collect();
        self.apps.send_modify(|apps| {
            let roll = Arc::make_mut(apps);
            for (id, handle) in &mut roll.tasks {
                let wanted = wanted.remove(id);
                if let Some(wanted) = &wanted {
                    handle.config = Arc::clone(&wanted.config);
                }
                handle.seat(wanted);
            }
            roll.waiting = wanted.into_values().collect();
            self.start_waiting(roll);
            for wanted in &roll.waiting {
                let (app, id) = (&wanted.config.name, &wanted.config.id);
                tracing::warn!(%app, %id, "not guarded until the incident of the app that bore the name before is over");
            }
        });
    }

    /// Starts the apps whose names are free.
    fn start_waiting(&self, roll: &mut Roll) {
        if roll.waiting.is_empty() {
            return;
        }
        let taken: BTreeSet<AppName> = roll.tasks.values().map(|handle| handle.config.name.clone()).collect();
        let (blocked, free) = std::mem::take(&mut roll.waiting)
            .into_iter()
            .partition(|wanted| taken.contains(&wanted.config.name));
        let free: Vec<Wanted> = free;
        roll.waiting = blocked;
        for wanted in free {
            roll.tasks.insert(wanted.config.id.clone(), self.start(wanted));
        }
    }

    fn start(&self, wanted: Wanted) -> AppHandle {
        let (commands, inbox) = mpsc::channel(INBOX);
        let (config, seat) = (Arc::clone(&wanted.config), Seat::new(wanted.clone()));
        let mut app = App::new(Arc::clone(&self.shell), wanted, seat.clone(), inbox, self.stop.clone());
        let handle = AppHandle { commands, heartbeat: Arc::clone(&app.heartbeat), config, seat };
        let roster = self.clone();
        self.tasks.spawn(async move {
            app.run().await;
            let id = app.config.id.clone();
            roster.shell.metrics.forget_app(&app.metrics);
            drop(app);
            roster.ended(&id);
        });
        handle
    }

    /// A task has ended. What was asked for since it looked last is done now.
    fn ended(&self, id: &PlatformAppId) {
        self.apps.send_modify(|apps| {
            let roll = Arc::make_mut(apps);
            let wanted = roll.tasks.remove(id).and_then(|handle| handle.seat.wanted().clone());
            if !self.stop.is_cancelled() {
                roll.waiting.extend(wanted);
                self.start_waiting(roll);
            }
        });
    }
}
