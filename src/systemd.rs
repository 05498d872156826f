//! What systemd is told: ready, reloading, stopping, and that every loop runs.
//!
//! The protocol is one datagram of `KEY=VALUE` lines (sd_notify(3)). Written here rather than taken from a crate
//! because those read the socket's name from the environment on every call, and know no abstract sockets.
//! Without `$NOTIFY_SOCKET` all of it does nothing. No message is worth failing for: what cannot be told is
//! logged at `debug`, and systemd draws its own conclusion from silence.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// The shortest time between two pings: a watchdog set in milliseconds must not make a busy loop.
const SHORTEST_PING: Duration = Duration::from_millis(100);

/// The line to systemd, or to nobody.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    /// Time without a ping after which systemd ends the process.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The line that the environment names: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub fn from_env() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        let micros = env::var("WATCHDOG_USEC").ok();
        let pid = env::var("WATCHDOG_PID").ok();
        Self::to(&name, watchdog(micros.as_deref(), pid.as_deref(), process::id())).unwrap_or_else(|error| {
            tracing::debug!(%error, "systemd's socket cannot be used");
            Self::default()
        })
    }

    /// The line to the socket with this name (`@` in front: an abstract one).
    pub fn to(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address(name)?)?;
        // A manager that does not read must not stop the daemon.
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Some(socket), watchdog })
    }

    /// Start-up, or a reload, is complete.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}\n", one_line(status)));
    }

    /// One line for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}\n", one_line(status)));
    }

    /// The configuration is being read again; [`Notifier::ready`] ends that.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading the configuration again\n"));
    }

    /// The drain begins.
    pub fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={}\n", one_line(status)));
    }

    /// Pings at a third of the watchdog's time while `alive` says that every loop ticked; ends with `shutdown`,
    /// at once when there is no watchdog.
    pub async fn watch(&self, alive: impl Fn() -> bool, shutdown: CancellationToken) {
        let Some(limit) = self.watchdog else { return };
        let mut tick = interval((limit / 3).max(SHORTEST_PING));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
            if alive() {
                self.tell("WATCHDOG=1\n");
            } else {
                tracing::error!("a loop stands still: the watchdog is not fed");
            }
        }
    }

    fn tell(&self, message: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(message.as_bytes()) {
            tracing::debug!(%error, "systemd could not be told");
        }
    }
}

/// What systemd was told last, so that it is told what is news and nothing else.
#[derive(Debug)]
pub struct Told {
    notifier: Notifier,
    /// Whether it takes the start for complete.
    is_up: bool,
    is_reloading: bool,
    status: String,
}

impl Told {
    /// Nothing was told so far.
    pub fn nothing(notifier: Notifier) -> Self {
        Self { notifier, is_up: false, is_reloading: false, status: String::new() }
    }

    /// The line itself.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Says how it stands. The start is complete with the first `is_ready`, and is not taken back: systemd has no word for
    /// that, so it stands in the status alone. A reload is complete by being told of.
    pub fn stands(&mut self, is_ready: bool, status: &str) {
        if self.is_up && self.is_reloading || is_ready && !self.is_up {
            (self.is_up, self.is_reloading) = (true, false);
            self.notifier.ready(status);
        } else if status != self.status {
            self.notifier.status(status);
        }
        status.clone_into(&mut self.status);
    }

    /// The configuration is being read again, until [`Told::stands`]. Part of the start where that is not complete.
    pub fn reloading(&mut self) {
        if self.is_up {
            self.is_reloading = true;
            self.notifier.reloading();
        }
    }
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.as_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(name)
}

/// The watchdog's time, when it is meant for this process.
fn watchdog(micros: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    let ours = pid.is_none_or(|pid| pid.parse() == Ok(own));
    let micros = micros?.parse().ok().filter(|micros| *micros > 0)?;
    ours.then(|| Duration::from_micros(micros))
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    struct Manager {
        socket: tokio::net::UnixDatagram,
        _dir: tempfile::TempDir,
    }

    fn manager(watchdog: Option<Duration>) -> (Manager, Notifier) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.as_os_str(), watchdog).unwrap();
        (Manager { socket, _dir: dir }, notifier)
    }

    impl Manager {
        async fn hear(&self) -> String {
            let mut buffer = [0; 512];
            let length = self.socket.recv(&mut buffer).await.unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        }
    }

    #[tokio::test]
    async fn systemd_hears_of_every_step_of_a_life() {
        let (manager, notifier) = manager(None);
        notifier.ready("guarding 3 apps\non 1 platform");
        assert_eq!(manager.hear().await, "READY=1\nSTATUS=guarding 3 apps on 1 platform\n");
        notifier.status("1 incident");
        assert_eq!(manager.hear().await, "STATUS=1 incident\n");
        notifier.reloading();
        let heard = manager.hear().await;
        let stamp = heard.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
        assert!(heard.starts_with("RELOADING=1\n"));
        assert!(stamp.parse::<u64>().unwrap() > 0);
        notifier.stopping("draining");
        assert_eq!(manager.hear().await, "STOPPING=1\nSTATUS=draining\n");
    }

    #[tokio::test]
    async fn an_abstract_socket_is_heard_too() {
        let name = format!("rearguard-test-{}", process::id());
        let own = address(OsStr::new(&format!("@{name}"))).unwrap();
        let manager = UnixDatagram::bind_addr(&own).unwrap();
        Notifier::to(OsStr::new(&format!("@{name}")), None).unwrap().status("here");
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"STATUS=here\n");
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_at_a_third_of_its_time_and_only_while_all_loops_tick() {
        let (manager, notifier) = manager(Some(Duration::from_secs(30)));
        let alive = AtomicBool::new(true);
        let shutdown = CancellationToken::new();
        let began = tokio::time::Instant::now();
        let pings = async {
            for n in 0..3 {
                assert_eq!(manager.hear().await, "WATCHDOG=1\n");
                assert_eq!(began.elapsed().as_secs(), n * 10);
            }
            alive.store(false, Ordering::Relaxed);
            let silence = tokio::time::timeout(Duration::from_secs(60), manager.hear()).await;
            assert!(silence.is_err(), "a standing loop is not covered up");
            shutdown.cancel();
        };
        tokio::join!(notifier.watch(|| alive.load(Ordering::Relaxed), shutdown.clone()), pings);
    }

    #[tokio::test]
    async fn ready_is_said_once_and_after_a_reload_and_a_status_where_it_is_news() {
        let (manager, notifier) = manager(None);
        let mut told = Told::nothing(notifier);
        told.stands(false, "waits for the journal");
        told.stands(false, "waits for the journal");
        assert_eq!(manager.hear().await, "STATUS=waits for the journal\n");
        told.reloading();
        told.stands(true, "guarding");
        assert_eq!(manager.hear().await, "READY=1\nSTATUS=guarding\n", "a reload is part of the start");
        told.stands(true, "guarding");
        told.stands(false, "the journal fails");
        assert_eq!(manager.hear().await, "STATUS=the journal fails\n");
        told.reloading();
        assert!(manager.hear().await.starts_with("RELOADING=1\n"));
        // Whatever it came to: systemd waits for it.
        told.stands(false, "the journal fails");
        assert_eq!(manager.hear().await, "READY=1\nSTATUS=the journal fails\n");
    }

    #[tokio::test]
    async fn without_a_manager_nothing_happens() {
        let nobody = Notifier::default();
        nobody.ready("guarding");
        nobody.watch(|| true, CancellationToken::new()).await;
        assert!(Notifier::to(OsStr::new("/no/such/socket"), None).is_err());
    }

    #[test]
    fn a_watchdog_meant_for_another_process_is_not_ours() {
        assert_eq!(watchdog(Some("30000000"), None, 7), Some(Duration::from_secs(30)));
        assert_eq!(watchdog(Some("30000000"), Some("7"), 7), Some(Duration::from_secs(30)));
        assert_eq!(watchdog(Some("30000000"), Some("8"), 7), None);
        for absent in [None, Some("0"), Some("soon")] {
            assert_eq!(watchdog(absent, None, 7), None);
        }
    }
}
