//! The built daemon as a process of its own, for every benchmark that starts one.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rearguard::lab::GUARD_TOKEN;
use tokio::time::{Instant, sleep};

/// The daemon that was built with the benchmark.
pub(crate) const BUILT: &str = env!("CARGO_BIN_EXE_rearguard");

/// A process, killed when dropped.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// CPU seconds so far: fields 14 and 15 of proc(5), in hundredths of a second.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }

    /// A figure of its status, which counts memory in KiB; given in MiB.
    pub(crate) fn memory(&self, key: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running daemon in a folder of its own: `rearguard.yaml`, `rearguard.db`, `token` and `log`.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    pub(crate) folder: tempfile::TempDir,
}

impl Daemon {
    /// Starts `binary` with what `configure` makes of its folder and its port, and waits until it answers.
    pub(crate) async fn start(binary: &str, configure: impl FnOnce(&Path, u16) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        std::fs::write(folder.path().join("token"), GUARD_TOKEN).unwrap();
        let file = folder.path().join("rearguard.yaml");
        std::fs::write(&file, configure(folder.path(), port)).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(binary)
            .args(["run", "--config"])
            .arg(&file)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let base = format!("http://127.0.0.1:{port}");
        let mut daemon = Self { process: Process(child), base, client: reqwest::Client::new(), folder };
        let began = Instant::now();
        while daemon.client.get(format!("{}/live", daemon.base)).send().await.is_err() {
            let ended = daemon.process.0.try_wait().unwrap();
            let log = || std::fs::read_to_string(daemon.folder.path().join("log")).unwrap();
            let is_late = began.elapsed() > Duration::from_secs(60);
            assert!(ended.is_none() && !is_late, "the daemon does not come up:\n{}", log());
            sleep(Duration::from_millis(20)).await;
        }
        daemon
    }
}
