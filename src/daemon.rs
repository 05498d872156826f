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
mod engine;
mod figures;
mod fleet;
mod house;
mod look;
mod outlook;
mod pause;
mod perform;
mod poll;
mod ready;
mod record;
mod shell;
mod status;
mod turns;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, SteadyClock};
use crate::config::Config;
use crate::ids::PlatformName;
use crate::journal::{Journal, JournalError, SqliteJournal};
use crate::metrics::Metrics;
use crate::platform::http::StartError as PlatformStartError;
use crate::probe::Probe;
use crate::probe::network::{Network, NetworkError};
use crate::server::{self, Backend as _, Surface};

pub use account::open_account;
pub(crate) use engine::{Engine, Ground};
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
    Probe(#[source] NetworkError),
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
    engine: Engine,
    address: SocketAddr,
    server: TaskTracker,
    stop_server: CancellationToken,
}

impl Daemon {
    /// Starts everything that `config` asks for. When this returns, the address is listened on.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let metrics = Metrics::new(&[]).map_err(StartError::Metrics)?;
        let (journal, journal_works) = open_journal(&config.state).await?;
        let restored = match journal.restore().await {
            Err(error @ JournalError::Unusable { .. }) => return Err(StartError::Journal(error)),
            restored => restored.ok(),
        };
        let mark = restored.as_ref().and_then(|restored| restored.mark.as_ref());
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(mark));
        let probe: Arc<dyn Probe> = Arc::new(Network::new(Arc::clone(&clock)).map_err(StartError::Probe)?);
        let listener = tokio::net::TcpListener::bind(config.listen).await;
        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = listener.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let open = Box::new(account::open_counted);
        let pause_file = config.state.parent().map(|folder| folder.join(pause::FILE));
        let ground = Ground { clock, journal, journal_works, restored, probe, open, metrics, pause_file };
        let engine = Engine::start(ground, config)?;
        let (server, stop_server) = (TaskTracker::new(), CancellationToken::new());
        let surface = Surface {
            backend: Arc::new(engine.backend()),
            journal: Arc::clone(&engine.shell.journal),
            metrics: engine.shell.metrics.clone(),
            clock: Arc::clone(&engine.shell.clock),
            admin_token: backend::admin_token(engine.admin_file.subscribe()),
            own_name: own_name(&engine),
        };
        server.spawn(server::serve(listener, surface, stop_server.clone()));
        Ok(Self { engine, address, server, stop_server })
    }

    /// The address that is listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes a new configuration into force; on an error the old one stays in force whole.
    pub async fn reload(&mut self, config: Config) -> Result<(), StartError> {
        self.engine.reload(config)
    }

    /// Notes that a new configuration was refused.
    pub fn reload_failed(&self) {
        self.engine.reload_failed();
    }

    /// Waits until this process cannot go on, and a new one can.
    pub fn must_restart(&self) -> impl Future<Output = ()> + use<> {
        self.engine.must_restart()
    }

    /// Whether anything would be done: the journal takes writes. Else why not.
    pub fn ready(&self) -> Result<(), String> {
        self.engine.backend().ready()
    }

    /// Says whether every loop ticked in time; for the watchdog.
    pub fn pulse(&self) -> impl Fn() -> bool + use<> {
        self.engine.pulse()
    }

    /// Stops in order: nothing new is begun, a call that was sent gets its answer recorded, the server goes last.
    pub async fn stop(self) {
        self.engine.stop(DRAIN_WITHIN).await;
        self.stop_server.cancel();
        self.server.close();
        if tokio::time::timeout(FAREWELL, self.server.wait()).await.is_err() {
            tracing::debug!("somebody still talks to the server; it ends with the process");
        }
    }
}

/// Reads what a start reads besides its configuration: whose the journal is and which version wrote it, each platform's token,
/// the authorities that are trusted, and whether this machine has the address. A daemon that runs has journal and port, and is
/// not disturbed.
///
/// # Errors
/// The one that a start would end with.
pub fn read_needs(config: &Config) -> Result<(), StartError> {
    match SqliteJournal::look(&config.state) {
        Err(error @ JournalError::Unusable { .. }) => return Err(StartError::Journal(error)),
        Err(error) => tracing::warn!("failed to {error}; nothing would be done until it works"),
        Ok(()) => {}
    }
    Network::new(Arc::new(SteadyClock::resume(None))).map_err(StartError::Probe)?;
    let mut any_port = config.listen;
    any_port.set_port(0);
    std::net::TcpListener::bind(any_port)
        .map_err(|source| StartError::Listen { address: config.listen, source })?;
    for platform in &config.platforms {
        open_account(platform, Arc::new(|_, _| {}))
            .map_err(|source| StartError::Platform { name: platform.name.clone(), source })?;
    }
    Ok(())
}

/// The host of `external_url`, as it is in force.
fn own_name(engine: &Engine) -> server::OwnName {
    let post = engine.shell.post.clone();
    Arc::new(move || post.board().external_url.as_ref()?.host_str().map(str::to_owned))
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
