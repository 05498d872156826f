//! The shell around the core: it observes, records, then acts.
//!
//! One poller an account hands every app its slice (`poll`). One task an app owns that app's state: it takes
//! samples, decides, writes the decision to the journal, and only then performs what it owes (`app`, `record`,
//! `perform`, `look`). One task owns the storm breaker (`fleet`). Tasks talk through channels; nothing is shared
//! but figures and the set of paused apps. A restart is a start: every state and every call that was not answered
//! is in the journal, and a call that was not answered is looked for on the platform before anything else.

mod account;
mod app;
mod apps;
mod backend;
mod fleet;
mod house;
mod look;
mod pause;
mod perform;
mod poll;
mod record;
mod shell;
mod status;

use std::collections::BTreeMap;
use std::mem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, SteadyClock};
use crate::config::{AppConfig, Config, PlatformConfig};
use crate::ids::PlatformName;
use crate::journal::{Journal, JournalError, SqliteJournal};
use crate::metrics::{Heartbeat, Metrics};
use crate::platform::http::StartError as PlatformStartError;
use crate::probe::Probe;
use crate::probe::control::Controls;
use crate::probe::http::{HttpProbe, HttpProbeError};
use crate::probe::peers::Peers;
use crate::server::{self, Surface};

pub use account::open_account;
use apps::{Roster, Wanted};
use fleet::FleetOwner;
use pause::Paused;
use poll::{Account, Poller};
pub(crate) use shell::Shell;

/// A drain is over after this long, whatever still runs.
const DRAIN_WITHIN: Duration = Duration::from_millis(4_100);
/// How long the server may take to end after that. With the journal's farewell it is five seconds in all.
const FAREWELL: Duration = Duration::from_millis(200);

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal needs a person.
    #[error("use the journal")]
    Journal(#[source] JournalError),
    /// A platform cannot be spoken to at all.
    #[error("set up platform {name}")]
    Platform {
        /// Its name in the configuration.
        name: PlatformName,
        /// Why.
        #[source]
        source: PlatformStartError,
    },
    /// Probes cannot be sent at all.
    #[error("set up probes")]
    Probe(#[source] HttpProbeError),
    /// The address cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// From the configuration.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A metric is defined twice: a defect.
    #[error("set up metrics")]
    Metrics(#[source] prometheus::Error),
}

/// A running daemon.
pub struct Daemon {
    shell: Arc<Shell>,
    /// Without its platforms and apps, which have theirs.
    config: Config,
    address: SocketAddr,
    roster: Roster,
    accounts: BTreeMap<PlatformName, (Account, CancellationToken)>,
    loops: watch::Sender<Arc<BTreeMap<String, Arc<Heartbeat>>>>,
    most_rollbacks: watch::Sender<usize>,
    retention: watch::Sender<Duration>,
    admin_file: watch::Sender<Option<PathBuf>>,
    tasks: TaskTracker,
    server: TaskTracker,
    stop: CancellationToken,
    stop_server: CancellationToken,
}

impl Daemon {
    /// Starts everything that `config` asks for. When this returns, the address is listened on.
    pub async fn start(mut config: Config) -> Result<Self, StartError> {
        let (platforms, apps) = (mem::take(&mut config.platforms), mem::take(&mut config.apps));
        let stop = CancellationToken::new();
        let stop_server = CancellationToken::new();
        let metrics = Metrics::new(&[]).map_err(StartError::Metrics)?;
        let (journal, works) = open_journal(&config.state).await?;
        let restored = match journal.restore().await {
            Err(error @ JournalError::Unusable { .. }) => return Err(StartError::Journal(error)),
            restored => restored.ok(),
        };
        let mark = restored.as_ref().and_then(|restored| restored.mark.as_ref());
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(mark));
        let probe: Arc<dyn Probe> = Arc::new(HttpProbe::new(Arc::clone(&clock)).map_err(StartError::Probe)?);
        let listener = tokio::net::TcpListener::bind(config.listen).await;
        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = listener.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (most_rollbacks, most) = watch::channel(config.concurrent_rollbacks);
        let fleet = FleetOwner {
            since: restored.as_ref().and_then(|restored| restored.storm_since),
            most,
            journal: Arc::clone(&journal),
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            stop: stop.clone(),
        };
        let controls = Controls::start(config.control_probes.clone(), Arc::clone(&probe), Arc::clone(&clock));
        let shell = Arc::new(Shell {
            clock: Arc::clone(&clock),
            journal: Arc::clone(&journal),
            metrics: metrics.clone(),
            probe,
            controls: watch::Sender::new(Arc::new(controls)),
            peers: Peers::new(),
            fleet: fleet.start(),
            paused: Paused::default(),
            is_journal_working: AtomicBool::new(works),
            is_recalled: OnceCell::new_with(restored.as_ref().map(|_| ())),
            must_restart: CancellationToken::new(),
        });
        shell.journal_works(works);
        if let Some(restored) = restored {
            shell.paused.recall(restored.paused);
        }
        let tasks = TaskTracker::new();
        let mut daemon = Self {
            roster: Roster {
                shell: Arc::clone(&shell),
                apps: watch::Sender::new(Arc::default()),
                tasks: tasks.clone(),
                stop: stop.clone(),
            },
            shell,
            address,
            accounts: BTreeMap::new(),
            loops: watch::Sender::new(Arc::default()),
            most_rollbacks,
            retention: watch::Sender::new(config.retention),
            admin_file: watch::Sender::new(config.admin_token_file.clone()),
            tasks,
            server: TaskTracker::new(),
            stop,
            stop_server,
            config,
        };
        let built = build_accounts(&daemon, &platforms)?;
        daemon.take_accounts(&platforms, built);
        daemon.take_apps(apps);
        daemon.shell.metrics.reload_successful.set(1);
        daemon.tasks.spawn(house::keep(daemon.backend(), daemon.retention.subscribe(), daemon.stop.clone()));
        daemon.serve(listener);
        Ok(daemon)
    }

    /// The address that is listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes a new configuration into force; on an error the old one stays in force whole.
    pub async fn reload(&mut self, mut config: Config) -> Result<(), StartError> {
        let (platforms, apps) = (mem::take(&mut config.platforms), mem::take(&mut config.apps));
        let built = match build_accounts(self, &platforms) {
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
        self.take_accounts(&platforms, built);
        tracing::info!(apps = apps.len(), "configuration in force");
        self.take_apps(apps);
        self.config = config;
        self.shell.metrics.reload_successful.set(1);
        Ok(())
    }

    /// Notes that a new configuration was refused.
    pub fn reload_failed(&self) {
        self.shell.metrics.reload_successful.set(0);
    }

    /// Waits until this process cannot go on, and a new one can.
    pub fn must_restart(&self) -> impl Future<Output = ()> + use<> {
        self.shell.must_restart.clone().cancelled_owned()
    }

    /// Says whether every loop ticked in time; for the watchdog.
    pub fn pulse(&self) -> impl Fn() -> bool + use<> {
        let backend = self.backend();
        move || match backend.live_now() {
            Ok(()) => true,
            Err(stuck) => {
                tracing::error!("{stuck}");
                false
            }
        }
    }

    /// Stops in order: nothing new is begun, a call that was sent gets its answer recorded, the server goes last.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN_WITHIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time; the next start resolves what they left open");
        }
        self.stop_server.cancel();
        self.server.close();
        if tokio::time::timeout(FAREWELL, self.server.wait()).await.is_err() {
            tracing::debug!("somebody still talks to the server; it ends with the process");
        }
    }

    fn take_apps(&self, apps: Vec<AppConfig>) {
        let account = |app: &AppConfig| Some(self.accounts.get(&app.platform)?.0.clone());
        let wanted = |app: AppConfig| Some(Wanted { account: account(&app)?, config: Arc::new(app) });
        self.roster.take(apps.into_iter().filter_map(wanted));
    }

    fn backend(&self) -> backend::ShellBackend {
        backend::ShellBackend {
            shell: Arc::clone(&self.shell),
            apps: self.roster.apps.subscribe(),
            loops: self.loops.subscribe(),
        }
    }

    fn serve(&self, listener: tokio::net::TcpListener) {
        let surface = Surface {
            backend: Arc::new(self.backend()),
            journal: Arc::clone(&self.shell.journal),
            metrics: self.shell.metrics.clone(),
            clock: Arc::clone(&self.shell.clock),
            admin_token: backend::admin_token(self.admin_file.subscribe()),
        };
        self.server.spawn(server::serve(listener, surface, self.stop_server.clone()));
    }

    /// Starts pollers for accounts that are new or changed, and stops those that are gone.
    fn take_accounts(&mut self, platforms: &[PlatformConfig], built: BTreeMap<PlatformName, Account>) {
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
            self.tasks.spawn(poller.run());
            self.accounts.insert(name, (account, stop));
        }
        self.loops.send_modify(|loops| {
            let accounts = &self.accounts;
            Arc::make_mut(loops).retain(|name, _| {
                name.strip_prefix("poll of ").is_none_or(|platform| accounts.contains_key(platform))
            });
        });
    }
}

/// Opens the journal. One that cannot be used now is tried again later; one that a person has to look at stops the
/// start. Says whether it works now.
async fn open_journal(path: &PathBuf) -> Result<(Arc<dyn Journal>, bool), StartError> {
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::lazy(path).map_err(StartError::Journal)?);
    match journal.check().await {
        Err(error @ JournalError::Unusable { .. }) => Err(StartError::Journal(error)),
        Err(error) => {
            tracing::error!("failed to {error}; nothing is done until it works");
            Ok((journal, false))
        }
        Ok(()) => Ok((journal, true)),
    }
}

/// Builds the accounts that are new or changed.
fn build_accounts(
    daemon: &Daemon,
    platforms: &[PlatformConfig],
) -> Result<BTreeMap<PlatformName, Account>, StartError> {
    let mut built = BTreeMap::new();
    for platform in platforms {
        let same = daemon.accounts.get(&platform.name).filter(|(account, _)| *account.config == *platform);
        if same.is_none() {
            let account = account::build(platform, &daemon.shell.metrics)
                .map_err(|source| StartError::Platform { name: platform.name.clone(), source })?;
            built.insert(platform.name.clone(), account);
        }
    }
    Ok(built)
}
