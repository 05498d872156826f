//! The guarding itself, on whatever ground it is put: the real clock, journal, probes and platforms, or seeded ones.

use std::collections::BTreeMap;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::apps::{Roster, Wanted};
use super::backend::ShellBackend;
use super::figures::Figures;
use super::fleet::FleetOwner;
use super::outlook::Desk;
use super::pause::Paused;
use super::poll::{Account, Poller, Slices};
use super::{Shell, StartError, house};
use crate::clock::Clock;
use crate::config::{AppConfig, Config, PlatformConfig, TokenSource};
use crate::ids::PlatformName;
use crate::journal::{Journal, Restored};
use crate::metrics::{Heartbeat, Metrics};
use crate::notify::office::{self, Office};
use crate::notify::post::Post;
use crate::platform::Platform;
use crate::platform::http::StartError as PlatformStartError;
use crate::probe::Probe;
use crate::probe::control::Controls;
use crate::probe::peers::Peers;

/// How many reads that nobody waits for an account makes at once.
const TURNS: usize = 2;

/// How an account's platform is opened.
pub(crate) type OpenPlatform =
    Box<dyn Fn(&PlatformConfig, &Metrics) -> Result<Arc<dyn Platform>, PlatformStartError> + Send + Sync>;

/// What everything stands on.
pub(crate) struct Ground {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) journal: Arc<dyn Journal>,
    /// Whether it takes writes now.
    pub(crate) journal_works: bool,
    /// What it said at the start, where it could be read.
    pub(crate) restored: Option<Restored>,
    pub(crate) probe: Arc<dyn Probe>,
    pub(crate) open: OpenPlatform,
    pub(crate) metrics: Metrics,
    /// The file that pauses, where there is a place for one.
    pub(crate) pause_file: Option<PathBuf>,
}

impl Ground {
    /// Where things are told, and how they get there.
    fn office(&self, config: &mut Config, tasks: &TaskTracker, stop: &CancellationToken) -> (Office, Post) {
        let (post, handed_in) = Post::open();
        let ground = office::Ground {
            journal: Arc::clone(&self.journal),
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.clone(),
            post: post.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let mut office = Office::open(ground, handed_in);
        office.take(mem::take(&mut config.notify), config.external_url.take());
        (office, post)
    }
}

/// Everything that runs, without its server.
pub(crate) struct Engine {
    pub(super) shell: Arc<Shell>,
    open: OpenPlatform,
    /// Without its platforms and apps, which have theirs.
    config: Config,
    roster: Roster,
    accounts: BTreeMap<PlatformName, (Account, CancellationToken)>,
    loops: watch::Sender<Arc<BTreeMap<String, Arc<Heartbeat>>>>,
    most_rollbacks: watch::Sender<usize>,
    retention: watch::Sender<Duration>,
    office: Office,
    pub(super) admin_file: watch::Sender<Option<TokenSource>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Engine {
    /// Starts everything that `config` asks for.
    pub(crate) fn start(ground: Ground, mut config: Config) -> Result<Self, StartError> {
        let (platforms, apps) = (mem::take(&mut config.platforms), mem::take(&mut config.apps));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        // First of all: the others have something to tell from their first moment on.
        let (office, post) = ground.office(&mut config, &tasks, &stop);
        let Ground { clock, journal, journal_works, restored, probe, open, metrics, pause_file } = ground;
        let (most_rollbacks, most) = watch::channel(config.concurrent_rollbacks);
        let fleet = FleetOwner {
            since: restored.as_ref().and_then(|restored| restored.storm_since),
            most,
            journal: Arc::clone(&journal),
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            post: post.clone(),
            stop: stop.clone(),
        };
        let controls = Controls::start(config.control_probes.clone(), Arc::clone(&probe), Arc::clone(&clock));
        let shell = Arc::new(Shell {
            clock,
            journal,
            metrics,
            probe,
            controls: watch::Sender::new(Arc::new(controls)),
            peers: Peers::new(),
            fleet: fleet.start(),
            paused: pause_file.map_or_else(Paused::default, Paused::with_file),
            post,
            outlooks: Desk::open(),
            is_journal_working: AtomicBool::new(journal_works),
            is_recalled: OnceCell::new_with(restored.as_ref().map(|_| ())),
            must_restart: CancellationToken::new(),
        });
        shell.journal_works(journal_works);
        if let Some(restored) = restored {
            shell.paused.recall(restored.paused);
        }
        let mut engine = Self {
            roster: Roster {
                shell: Arc::clone(&shell),
                apps: watch::Sender::new(Arc::default()),
                tasks: tasks.clone(),
                stop: stop.clone(),
            },
            shell,
            open,
            accounts: BTreeMap::new(),
            loops: watch::Sender::new(Arc::default()),
            most_rollbacks,
            retention: watch::Sender::new(config.retention),
            office,
            admin_file: watch::Sender::new(config.admin_token_file.clone()),
            tasks,
            stop,
            config,
        };
        engine.begin(&platforms, apps)?;
        engine.tasks.spawn(house::keep(engine.backend(), engine.retention.subscribe(), engine.stop.clone()));
        Ok(engine)
    }

    /// Takes the first configuration's platforms and apps.
    fn begin(&mut self, platforms: &[PlatformConfig], apps: Vec<AppConfig>) -> Result<(), StartError> {
        let built = self.build_accounts(platforms)?;
        let pollers = self.take_accounts(platforms, built);
        self.take_apps(apps);
        self.poll(pollers);
        self.shell.metrics.reload_successful.set(1);
        Ok(())
    }

    /// Takes a new configuration into force; on an error the old one stays in force whole.
    pub(crate) fn reload(&mut self, mut config: Config) -> Result<(), StartError> {
        let (platforms, apps) = (mem::take(&mut config.platforms), mem::take(&mut config.apps));
        let built = match self.build_accounts(&platforms) {
            Ok(built) => built,
            Err(error) => {
                self.shell.metrics.reload_successful.set(0);
                return Err(error);
            }
        };
        if config.listen != self.config.listen || config.state != self.config.state {
            tracing::warn!("listen and state are taken from the new configuration at the next start");
        }
        if config.control_probes != self.config.control_probes {
            let probe = Arc::clone(&self.shell.probe);
            let controls =
                Controls::start(config.control_probes.clone(), probe, Arc::clone(&self.shell.clock));
            self.shell.controls.send_replace(Arc::new(controls));
        }
        self.most_rollbacks.send_replace(config.concurrent_rollbacks);
        self.retention.send_replace(config.retention);
        self.admin_file.send_replace(config.admin_token_file.clone());
        self.office.take(mem::take(&mut config.notify), config.external_url.take());
        let pollers = self.take_accounts(&platforms, built);
        tracing::info!(apps = apps.len(), "configuration in force");
        self.take_apps(apps);
        self.poll(pollers);
        self.config = config;
        self.shell.metrics.reload_successful.set(1);
        Ok(())
    }

    /// Notes that a new configuration was refused.
    pub(crate) fn reload_failed(&self) {
        self.shell.metrics.reload_successful.set(0);
    }

    /// Waits until this process cannot go on, and a new one can.
    pub(crate) fn must_restart(&self) -> impl Future<Output = ()> + use<> {
        self.shell.must_restart.clone().cancelled_owned()
    }

    /// Says whether every loop ticked in time; for the watchdog.
    pub(crate) fn pulse(&self) -> impl Fn() -> bool + use<> {
        let backend = self.backend();
        move || match backend.live_now() {
            Ok(()) => true,
            Err(stuck) => {
                tracing::error!("{stuck}");
                false
            }
        }
    }

    /// Ends every task within `limit`: nothing new is begun, a call that was sent gets its answer recorded.
    pub(crate) async fn stop(&self, limit: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(limit, self.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time; the next start resolves what they left open");
        }
    }

    fn take_apps(&self, apps: Vec<AppConfig>) {
        let account = |app: &AppConfig| Some(self.accounts.get(&app.platform)?.0.clone());
        let wanted = |app: AppConfig| Some(Wanted { account: account(&app)?, config: Arc::new(app) });
        self.roster.take(apps.into_iter().filter_map(wanted));
    }

    pub(crate) fn backend(&self) -> ShellBackend {
        ShellBackend {
            shell: Arc::clone(&self.shell),
            apps: self.roster.apps.subscribe(),
            loops: self.loops.subscribe(),
        }
    }

    /// Builds the accounts that are new or changed.
    fn build_accounts(
        &self,
        platforms: &[PlatformConfig],
    ) -> Result<BTreeMap<PlatformName, Account>, StartError> {
        let mut built = BTreeMap::new();
        for config in platforms {
            let same = self.accounts.get(&config.name).filter(|(account, _)| *account.config == *config);
            if same.is_none() {
                let name = config.name.clone();
                let platform = (self.open)(config, &self.shell.metrics)
                    .map_err(|source| StartError::Platform { name: name.clone(), source })?;
                let turns = Arc::new(tokio::sync::Semaphore::new(TURNS));
                let config = Arc::new(config.clone());
                let (slices, questions) = (Slices::default(), Arc::default());
                built.insert(name, Account { platform, config, slices, turns, questions });
            }
        }
        Ok(built)
    }

    /// Makes pollers for accounts that are new or changed, and stops those that are gone.
    fn take_accounts(
        &mut self,
        platforms: &[PlatformConfig],
        built: BTreeMap<PlatformName, Account>,
    ) -> Vec<Poller> {
        let mut pollers = Vec::new();
        let kept: Vec<PlatformName> = platforms.iter().map(|platform| platform.name.clone()).collect();
        self.accounts.retain(|name, (_, stop)| {
            let stays = kept.contains(name) && !built.contains_key(name);
            if !stays {
                stop.cancel();
            }
            if !kept.contains(name) {
                self.shell.metrics.forget_platform(name.as_str());
            }
            stays
        });
        for (name, account) in built {
            let stop = self.stop.child_token();
            let heartbeat = Arc::new(Heartbeat::default());
            heartbeat.beat(self.shell.clock.now());
            self.shell.metrics.add_platform(name.as_str());
            let poller = Poller {
                account: account.clone(),
                clock: Arc::clone(&self.shell.clock),
                metrics: self.shell.metrics.clone(),
                peers: self.shell.peers.clone(),
                heartbeat: Arc::clone(&heartbeat),
                stop: stop.clone(),
            };
            self.loops.send_modify(|loops| {
                Arc::make_mut(loops).insert(format!("poll of {name}"), heartbeat);
            });
            pollers.push(poller);
            let figures = Figures {
                account: account.clone(),
                apps: self.roster.apps.subscribe(),
                clock: Arc::clone(&self.shell.clock),
                metrics: self.shell.metrics.clone(),
                stop: stop.clone(),
            };
            figures.start(&self.tasks);
            self.accounts.insert(name, (account, stop));
        }
        self.loops.send_modify(|loops| {
            let accounts = &self.accounts;
            Arc::make_mut(loops).retain(|name, _| {
                name.strip_prefix("poll of ").is_none_or(|platform| accounts.contains_key(platform))
            });
        });
        pollers
    }

    /// Starts polling, once the apps are there that the first answer is for: where little is left of the rate limit
    /// the next one is minutes away.
    fn poll(&self, pollers: Vec<Poller>) {
        for poller in pollers {
            self.tasks.spawn(poller.run());
        }
    }
}
