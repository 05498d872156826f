//! `rearguard run`: the daemon, from a configuration file, until a signal ends it.

use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{ConfigArgs, Error, proxy};
use crate::config::reload::{EVERY, Watcher};
use crate::config::{self, Config, Problems};
use crate::daemon::{Daemon, StartError};
use crate::systemd::{Notifier, Told};
use crate::telemetry::Chain;

/// How often it is looked whether systemd has to be told something else.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT. SIGHUP and a changed file reload the configuration.
pub(super) async fn run(args: &ConfigArgs) -> Result<String, Error> {
    let path = args.config.as_path();
    let text = config::read(path).map_err(refused)?;
    let config = config::parse(&path.display().to_string(), &text).map_err(refused)?;
    let signals = Signals::new();
    let mut signals =
        signals.map_err(|error| Error::Internal(format!("failed to listen for signals: {error}")))?;
    let warnings = warnings(&config);
    let mut daemon = Daemon::start(config).await.map_err(|error| not_started(&error))?;
    let mut systemd = Told::nothing(Notifier::from_env());
    tracing::info!(address = %daemon.address(), version = env!("CARGO_PKG_VERSION"), "rearguard is up");
    warn(&warnings);
    let mut watch = Watch::start(path, &text);
    drop(text);
    let alive = daemon.pulse();
    let must_restart = daemon.must_restart();
    let watchdog = Notifier::from_env();
    let end = tokio::select! {
        () = serve(&mut daemon, path, &mut signals, &mut watch, &mut systemd) => Ok(String::new()),
        () = must_restart => Err(Error::Internal("ended so that the next start takes over; see above".to_owned())),
        () = forever(watchdog.watch(alive, CancellationToken::new())) => Ok(String::new()),
    };
    systemd.notifier().stopping("draining");
    tracing::info!("draining");
    tokio::select! {
        () = daemon.stop() => tracing::info!("stopped"),
        // The next start takes up what was under way, as after any other end.
        () = signals.ends.recv() => tracing::warn!("told again to stop: ended without waiting for what is under way"),
    }
    end
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
    watch: &mut Watch,
    systemd: &mut Told,
) {
    let mut tick = interval(TELL_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut config = InForce::AsWritten;
    loop {
        tell(daemon, config, systemd);
        tokio::select! {
            () = signals.ends.recv() => return,
            _ = signals.hangup.recv() => {
                systemd.reloading();
                let text = config::read(path);
                // The watcher has ended only when we are about to.
                let _ = watch.seen.send(Some(text.clone()));
                config = reload(daemon, path, text).await;
            }
            Some(news) = watch.changes.recv() => {
                if let Some(text) = watch.still(path, news) {
                    config = reload(daemon, path, text).await;
                }
            }
            _ = tick.tick() => {}
        }
    }
}

/// Which configuration is in force.
#[derive(Clone, Copy)]
enum InForce {
    /// That of the file.
    AsWritten,
    /// The one before: what the file says now was refused.
    Former,
}

/// Tells systemd how it stands. It is up once the journal takes writes, since nothing is done before.
fn tell(daemon: &Daemon, config: InForce, systemd: &mut Told) {
    let address = daemon.address();
    let (is_ready, status) = match (daemon.ready(), config) {
        (Err(why), _) => (false, format!("watching only, nothing is done: {why}; listening on {address}")),
        (Ok(()), InForce::AsWritten) => (true, format!("guarding, listening on {address}")),
        (Ok(()), InForce::Former) => (
            true,
            format!("guarding by the old configuration, the new one is refused; listening on {address}"),
        ),
    };
    systemd.stands(is_ready, &status);
}

/// Takes a changed file into force, or says why not.
async fn reload(daemon: &mut Daemon, path: &Path, text: Result<String, Problems>) -> InForce {
    let config = text.and_then(|text| config::parse(&path.display().to_string(), &text));
    match config {
        Ok(config) => {
            let warnings = warnings(&config);
            match daemon.reload(config).await {
                Ok(()) => {
                    warn(&warnings);
                    InForce::AsWritten
                }
                Err(error) => {
                    tracing::error!("failed to {}; the old configuration stays in force", Chain(&error));
                    InForce::Former
                }
            }
        }
        Err(problems) => {
            daemon.reload_failed();
            tracing::error!("the new configuration is refused, the old one stays in force:\n{problems}");
            InForce::Former
        }
    }
}

/// The watch on the configuration file.
struct Watch {
    /// What the file has become.
    changes: mpsc::Receiver<Result<String, Problems>>,
    /// What was read by other means, which is no news any more; none where what is news was not taken.
    seen: std::sync::mpsc::Sender<Option<Result<String, Problems>>>,
}

impl Watch {
    /// Looks at the file every few seconds, on a thread that may block.
    fn start(path: &Path, text: &str) -> Self {
        let mut watcher = Watcher::new(path, text);
        let (news, changes) = mpsc::channel(1);
        let (seen, elsewhere) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            while !news.is_closed() {
                match elsewhere.recv_timeout(EVERY) {
                    Ok(Some(read)) => {
                        watcher.saw(&read);
                        continue;
                    }
                    Ok(None) => {
                        watcher.forget();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {}
                }
                if let Some(text) = watcher.look()
                    && news.blocking_send(text).is_err()
                {
                    return;
                }
            }
        });
        Self { changes, seen }
    }

    /// What is news, if the file says so still. While it waited another text may have come into force, on SIGHUP; and
    /// what the file says instead may be half written, so that is waited for.
    fn still(&self, path: &Path, news: Result<String, Problems>) -> Option<Result<String, Problems>> {
        if config::read(path) == news {
            return Some(news);
        }
        let _ = self.seen.send(None);
        None
    }
}

/// What is right and may not be meant, where this process runs.
fn warnings(config: &Config) -> Vec<String> {
    config::warnings(config).into_iter().chain(proxy::concerns(config)).collect()
}

/// Says what the configuration asks for that is not done.
fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

fn refused(problems: Problems) -> Error {
    Error::Config(problems.to_string())
}

/// What a person has to mend is a configuration fault: a restart would not help.
pub(super) fn not_started(error: &StartError) -> Error {
    let text = format!("failed to {}", Chain(error));
    match error {
        StartError::Journal(_) | StartError::Platform { .. } => Error::Config(text),
        StartError::Probe(_) | StartError::Listen { .. } | StartError::Metrics(_) => Error::Internal(text),
    }
}

struct Signals {
    ends: Ends,
    hangup: Signal,
}

/// SIGTERM and SIGINT.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let ends =
            Ends { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        Ok(Self { ends, hangup: signal(SignalKind::hangup())? })
    }
}

impl Ends {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_has_not_said_for_a_while_is_not_taken_and_what_it_says_then_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rearguard.yaml");
        let (_news, changes) = mpsc::channel(1);
        let (seen, told) = std::sync::mpsc::channel();
        let watch = Watch { changes, seen };
        std::fs::write(&path, "newer").unwrap();
        assert_eq!(watch.still(&path, Ok("newer".to_owned())), Some(Ok("newer".to_owned())));
        assert!(told.try_recv().is_err());
        assert_eq!(watch.still(&path, Ok("older".to_owned())), None);
        assert_eq!(told.try_recv(), Ok(None));

        std::fs::remove_file(&path).unwrap();
        let gone = config::read(&path);
        assert!(watch.still(&path, gone).is_some_and(|gone| gone.is_err()));
        assert_eq!(watch.still(&path, Ok("newer".to_owned())), None);
    }
}
