//! What systemd hears of the built binary, on a socket as it makes them, and what the shipped unit gives it.
//! The same under a systemd that runs: `tests/surface/systemd.py`.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::net::UnixDatagram;
use tokio::time::{Instant, timeout};

use crate::binary::rearguard;
use crate::world::{ADMIN, APP, Api, PATIENCE, Settings, World};

const UNIT: &str = include_str!("../../deploy/systemd/rearguard.service");

/// The values of a directive of the shipped unit.
fn directive(name: &str) -> Vec<&'static str> {
    UNIT.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

/// What the unit says of starting, stopping and limits. A slip in one of these shows in no run that goes well.
const WORKING: [(&str, &str); 20] = [
    ("Wants", "network-online.target"),
    ("After", "network-online.target"),
    ("StartLimitIntervalSec", "300"),
    ("StartLimitBurst", "5"),
    ("Type", "notify"),
    ("NotifyAccess", "main"),
    ("EnvironmentFile", "-/etc/default/rearguard"),
    ("ExecStart", "/usr/bin/rearguard run --config /etc/rearguard/rearguard.yaml"),
    ("ExecReload", "/bin/kill -HUP $MAINPID"),
    ("Restart", "on-failure"),
    ("RestartSec", "2s"),
    ("RestartPreventExitStatus", "64 78"),
    ("WatchdogSec", "30s"),
    ("TimeoutStartSec", "90s"),
    ("TimeoutStopSec", "60s"),
    ("KillMode", "mixed"),
    ("OOMPolicy", "stop"),
    ("LimitNOFILE", "65536"),
    ("MemoryMax", "512M"),
    ("TasksMax", "256"),
];

#[test]
fn the_unit_says_how_it_is_started_stopped_and_limited() {
    for (name, value) in WORKING {
        assert_eq!(directive(name), [value], "{name}");
    }
    let (_, service) = UNIT.split_once("[Service]").unwrap();
    assert!(!service.contains("StartLimit"), "these belong to [Unit], and are passed over elsewhere");
}

/// A manager that listens, and the daemon it started. Killed when dropped.
struct Service {
    socket: UnixDatagram,
    child: Child,
    api: Api,
}

/// How the manager's socket is named.
#[derive(Clone, Copy)]
enum Named {
    File,
    Abstract,
}

impl Service {
    fn start(world: &World, named: Named, yaml: &str, environment: &[(&str, &str)]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let yaml = yaml.replace("listen: 127.0.0.1:0", &format!("listen: 127.0.0.1:{port}"));
        std::fs::write(world.path("rearguard.yaml"), yaml).unwrap();
        let (address, name) = match named {
            Named::File => {
                let path = world.path("notify");
                (SocketAddr::from_pathname(&path).unwrap(), path.display().to_string())
            }
            Named::Abstract => {
                let name = format!("rearguard-{port}");
                (SocketAddr::from_abstract_name(&name).unwrap(), format!("@{name}"))
            }
        };
        let socket = StdDatagram::bind_addr(&address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = UnixDatagram::from_std(socket).unwrap();
        let mut command = rearguard();
        command.args(["run", "--config"]).arg(world.path("rearguard.yaml")).stderr(Stdio::null());
        let child = command.env("NOTIFY_SOCKET", name).envs(environment.iter().copied()).spawn().unwrap();
        Self { socket, child, api: world.api(format!("http://127.0.0.1:{port}")) }
    }

    /// The next message.
    async fn hear(&self) -> String {
        timeout(PATIENCE, self.next()).await.expect("it says nothing")
    }

    async fn next(&self) -> String {
        let mut buffer = [0; 1024];
        let length = self.socket.recv(&mut buffer).await.unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// The messages of a time.
    async fn hear_for(&self, span: Duration) -> Vec<String> {
        let mut heard = Vec::new();
        let end = Instant::now() + span;
        while let Ok(message) = tokio::time::timeout_at(end, self.next()).await {
            heard.push(message);
        }
        heard
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn guarding(&self) -> String {
        format!("guarding, listening on {}\n", self.api.base.trim_start_matches("http://"))
    }

    async fn end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn monotonic_micros() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_once_its_journal_takes_writes_and_not_before() {
    let world = World::new().await;
    world.daemon(&Settings::default()).await.daemon.stop().await;
    let other = rusqlite::Connection::open(world.path("rearguard.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let service = Service::start(&world, Named::File, &world.yaml(&Settings::default()), &[]);
    let said = service.hear().await;
    assert!(said.starts_with("STATUS=watching only, nothing is done: the journal does not take"), "{said}");
    // It watches all the same.
    assert_eq!(service.api.text("/live").await.0, 200);
    assert_eq!(service.api.text("/ready").await.0, 503);
    assert_eq!(service.hear_for(Duration::from_secs(2)).await, [""; 0]);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(service.hear().await, format!("READY=1\nSTATUS={}", service.guarding()));
    assert_eq!(service.api.text("/ready").await.0, 200);
    service.api.until_state("steady").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_begins_and_ends_with_a_word_and_so_does_a_stop() {
    let world = World::new().await;
    let mut service = Service::start(&world, Named::Abstract, &world.yaml(&Settings::default()), &[]);
    assert_eq!(service.hear().await, format!("READY=1\nSTATUS={}", service.guarding()));
    let file = world.path("rearguard.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let observing = text.replace("mode: enforce", "mode: observe");
    let refused = "guarding by the old configuration, the new one is refused; ";
    for (text, mode, status) in [
        (observing, "observe", "guarding, "),
        (text.replace("mode: enforce", "mode: enforced"), "observe", refused),
        (text, "enforce", "guarding, "),
    ] {
        std::fs::write(&file, text).unwrap();
        let before = monotonic_micros();
        service.signal("-HUP");
        let said = service.hear().await;
        let stamp = said.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        let stamp: i64 = stamp.unwrap_or_else(|| panic!("{said}")).parse().unwrap();
        // What Type=notify-reload holds it against: a stamp of before the signal is of another reload.
        assert!((before..=monotonic_micros()).contains(&stamp), "{stamp}");
        assert!(said.starts_with("RELOADING=1\n"), "{said}");
        let said = service.hear().await;
        assert!(said.starts_with(&format!("READY=1\nSTATUS={status}listening on ")), "{said}");
        assert_eq!(service.api.app().await["mode"], mode, "at the moment of the word");
    }
    let (asked, limit) = (Instant::now(), directive("TimeoutStopSec")[0]);
    service.signal("-TERM");
    assert_eq!(service.hear().await, "STOPPING=1\nSTATUS=draining\n");
    assert_eq!(service.end().await, Some(0));
    assert!(asked.elapsed() < humantime::parse_duration(limit).unwrap());
    assert_eq!(service.hear_for(Duration::ZERO).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_is_fed_twice_in_its_time_and_only_where_it_is_ours() {
    const LIMIT: Duration = Duration::from_secs(6);
    let world = World::new().await;
    let yaml = world.yaml(&Settings::default());
    let ours = Service::start(&world, Named::File, &yaml, &[("WATCHDOG_USEC", "6000000")]);
    let another = World::new().await;
    let anothers = [("WATCHDOG_USEC", "600000"), ("WATCHDOG_PID", "1")];
    let not_ours = Service::start(&another, Named::File, &another.yaml(&Settings::default()), &anothers);
    assert!(not_ours.hear().await.starts_with("READY=1\n"));
    let mut heard = Vec::new();
    let end = Instant::now() + LIMIT + LIMIT / 2;
    while let Ok(message) = tokio::time::timeout_at(end, ours.next()).await {
        heard.extend((message == "WATCHDOG=1\n").then(Instant::now));
    }
    assert!(heard.len() >= 4, "{heard:?}");
    for pair in heard.windows(2) {
        assert!(pair[1] - pair[0] <= LIMIT / 2, "{:?} between two", pair[1] - pair[0]);
    }
    assert_eq!(not_ours.hear_for(Duration::ZERO).await, [""; 0]);
    // A process that stands still feeds nothing.
    ours.signal("-STOP");
    ours.hear_for(Duration::ZERO).await;
    assert_eq!(ours.hear_for(LIMIT).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_are_read_from_the_credentials_that_the_unit_loads() {
    let world = World::new().await;
    let loaded: Vec<&str> =
        directive("LoadCredential").iter().map(|credential| credential.split_once(':').unwrap().0).collect();
    assert_eq!(loaded, ["do-token", "admin-token"]);
    let credentials = world.path("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::rename(world.path("token"), credentials.join("do-token")).unwrap();
    std::fs::rename(world.path("admin"), credentials.join("admin-token")).unwrap();
    let folder = world.folder.path().display().to_string();
    let mut yaml = world.yaml(&Settings::default());
    for (file, name) in [("token", "do-token"), ("admin", "admin-token")] {
        // As the unit's first lines say it.
        let written = format!("token_file: {name}");
        assert!(UNIT.contains(&written), "{written}");
        yaml = yaml.replace(&format!("token_file: {folder}/{file}"), &written);
    }
    let environment = [("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap())];
    let service = Service::start(&world, Named::File, &yaml, &environment);
    assert!(service.hear().await.starts_with("READY=1\n"));
    service.api.until("the live deployment", |app| app["live_deployment"].is_string()).await;
    assert_eq!(service.api.post(&format!("/api/v1/apps/{APP}/pause")).await, 200, "by {ADMIN}");
}
