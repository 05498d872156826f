//! `rearguard run`: the daemon, from a configuration file, until a signal ends it.

use std::path::Path;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ExitCode;
use crate::config::reload::{EVERY, Watcher};
use crate::config::{self, Problems};
use crate::daemon::{Daemon, StartError};
use crate::systemd::Notifier;
use crate::telemetry::Chain;

/// Runs until SIGTERM or SIGINT. SIGHUP and a changed file reload the configuration.
pub async fn run(path: &Path) -> ExitCode {
    let text = match config::read(path) {
        Ok(text) => text,
        Err(problems) => return refuse(&problems),
    };
    let config = match config::parse(&path.display().to_string(), &text) {
        Ok(config) => config,
        Err(problems) => return refuse(&problems),
    };
    let signals = Signals::new();
    let (mut signals, daemon) = match signals {
        Ok(signals) => (signals, Daemon::start(config).await),
        Err(error) => {
            tracing::error!("failed to listen for signals: {error}");
            return ExitCode::Internal;
        }
    };
    let mut daemon = match daemon {
        Ok(daemon) => daemon,
        Err(error) => {
            tracing::error!("failed to {}", Chain(&error));
            return code_of(&error);
        }
    };
    let systemd = Notifier::from_env();
    tracing::info!(address = %daemon.address(), version = env!("CARGO_PKG_VERSION"), "rearguard is up");
    systemd.ready(&format!("guarding, listening on {}", daemon.address()));
    let mut changes = watch(path, &text);
    let alive = daemon.pulse();
    tokio::select! {
        () = serve(&mut daemon, path, &mut signals, &mut changes, &systemd) => {}
        () = forever(systemd.watch(alive, CancellationToken::new())) => {}
    }
    systemd.stopping("draining");
    tracing::info!("draining");
    daemon.stop().await;
    tracing::info!("stopped");
    ExitCode::Success
}

/// A service manager without a watchdog ends its part at once, which must not end ours.
async fn forever(pings: impl Future<Output = ()>) {
    pings.await;
    std::future::pending().await
}

/// The life of a daemon: reloads, and the signal that ends it.
async fn serve(
    daemon: &mut Daemon,
    path: &Path,
    signals: &mut Signals,
    changes: &mut mpsc::Receiver<Result<String, Problems>>,
    systemd: &Notifier,
) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hangup.recv() => {
                systemd.reloading();
                reload(daemon, path, config::read(path)).await;
                systemd.ready("guarding");
            }
            Some(text) = changes.recv() => reload(daemon, path, text).await,
        }
    }
}

/// Takes a changed file into force, or says why not.
async fn reload(daemon: &mut Daemon, path: &Path, text: Result<String, Problems>) {
    let config = text.and_then(|text| config::parse(&path.display().to_string(), &text));
    match config {
        Ok(config) => {
            if let Err(error) = daemon.reload(config).await {
                tracing::error!("failed to {}; the old configuration stays in force", Chain(&error));
            }
        }
        Err(problems) => {
            daemon.reload_failed();
            tracing::error!("the new configuration is refused, the old one stays in force:\n{problems}");
        }
    }
}

/// Looks at the file every few seconds, on a thread that may block.
fn watch(path: &Path, text: &str) -> mpsc::Receiver<Result<String, Problems>> {
    let mut watcher = Watcher::new(path, text);
    let (news, changes) = mpsc::channel(1);
    std::thread::spawn(move || {
        while !news.is_closed() {
            std::thread::sleep(EVERY);
            if let Some(text) = watcher.look()
                && news.blocking_send(text).is_err()
            {
                return;
            }
        }
    });
    changes
}

fn refuse(problems: &Problems) -> ExitCode {
    super::complain(&problems.to_string());
    ExitCode::Config
}

/// What a person has to mend is a configuration fault: a restart would not help.
fn code_of(error: &StartError) -> ExitCode {
    match error {
        StartError::Journal(_) | StartError::Platform { .. } => ExitCode::Config,
        StartError::Probe(_) | StartError::Listen { .. } | StartError::Metrics(_) => ExitCode::Internal,
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}
