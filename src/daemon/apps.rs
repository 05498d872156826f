//! The apps' tasks: started, reconfigured and retired as the configuration changes.
//!
//! A task belongs to an app of the platform, so the map's key is the platform's id of it: an app that is renamed keeps
//! its task, and another app under an old name gets one of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

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

/// How an app's task is reached.
#[derive(Clone)]
pub(super) struct AppHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) config: Arc<AppConfig>,
    /// It left the configuration, and ends once no incident is open.
    is_leaving: bool,
}

/// Every app that has a task.
pub(super) type Apps = Arc<BTreeMap<PlatformAppId, AppHandle>>;

/// The app that bears `name` in the configuration, else one that bore it and is leaving.
pub(super) fn find<'a>(apps: &'a Apps, name: &AppName) -> Option<&'a AppHandle> {
    let named = apps.values().filter(|handle| handle.config.name == *name);
    named.min_by_key(|handle| handle.is_leaving)
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
    pub(super) fn take(&self, wanted: impl Iterator<Item = (Account, AppConfig)>) {
        self.apps.send_modify(|apps| {
            let apps = Arc::make_mut(apps);
            for handle in apps.values_mut() {
                handle.is_leaving = true;
            }
            for (account, config) in wanted {
                self.take_one(apps, Arc::new(config), account);
            }
            for handle in apps.values().filter(|handle| handle.is_leaving) {
                self.tell(handle, Command::Retire);
            }
        });
    }

    /// Reconfigures an app that has a task, or starts one.
    fn take_one(
        &self,
        apps: &mut BTreeMap<PlatformAppId, AppHandle>,
        config: Arc<AppConfig>,
        account: Account,
    ) {
        match apps.get_mut(&config.id) {
            Some(handle) if !handle.commands.is_closed() => {
                (handle.config, handle.is_leaving) = (Arc::clone(&config), false);
                self.tell(handle, Command::Reconfigure(Box::new((config, account))));
            }
            _ => drop(apps.insert(config.id.clone(), self.start(config, account))),
        }
    }

    fn start(&self, config: Arc<AppConfig>, account: Account) -> AppHandle {
        let (commands, inbox) = mpsc::channel(INBOX);
        let (shell, stop) = (Arc::clone(&self.shell), self.stop.clone());
        let app = App::new(shell, Arc::clone(&config), account, inbox, stop);
        let heartbeat = Arc::clone(&app.heartbeat);
        let handle = AppHandle { commands, heartbeat, config: Arc::clone(&config), is_leaving: false };
        let (shell, apps) = (Arc::clone(&self.shell), self.apps.clone());
        // Boxed, so that the future around it does not keep room for the app twice.
        let run = Box::pin(app.run());
        self.tasks.spawn(async move {
            let metrics = run.await;
            shell.metrics.forget_app(&metrics);
            apps.send_if_modified(|apps| {
                // Another task may have the app already.
                let is_gone = apps.get(&config.id).is_some_and(|handle| handle.commands.is_closed());
                if is_gone {
                    Arc::make_mut(apps).remove(&config.id);
                }
                is_gone
            });
        });
        handle
    }

    fn tell(&self, handle: &AppHandle, command: Command) {
        let (commands, roster) = (handle.commands.clone(), self.clone());
        self.tasks.spawn(async move {
            if let Err(unheard) = commands.send(command).await
                && let Command::Reconfigure(new) = unheard.0
            {
                // It ended when it was wanted back. Unless a later configuration has started it already.
                roster.apps.send_modify(|apps| {
                    let is_started = apps.get(&new.0.id).is_some_and(|handle| !handle.commands.is_closed());
                    if !is_started {
                        roster.take_one(Arc::make_mut(apps), new.0, new.1);
                    }
                });
            }
        });
    }
}
