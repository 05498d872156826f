//! The real binary in a process of its own, under a fault or without.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::course::Course;
use crate::strace::Injection;
use crate::world::{APP, Api, PATIENCE, World};

/// A daemon in a process of its own. Killed when dropped.
pub(crate) struct Guard {
    child: Child,
    pub(crate) api: Api,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By SIGKILL.
    Killed,
    /// By itself, with this exit code.
    Exited(Option<i32>),
}

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> Self {
        if status.signal() == Some(9) { Self::Killed } else { Self::Exited(status.code()) }
    }
}

/// Where the tracer writes.
pub(crate) fn trace(world: &World) -> PathBuf {
    world.path("strace")
}

impl Guard {
    /// Starts the daemon and does not wait for anything.
    pub(crate) fn start(world: &World, course: Course, injection: Option<Injection>) -> Self {
        let address = free_address();
        let settings = course.settings();
        let text = world.yaml(&settings).replace("listen: 127.0.0.1:0", &format!("listen: {address}"));
        assert!(text.contains(&address), "{text}");
        let file = world.path("rearguard.yaml");
        std::fs::write(&file, text).unwrap();
        let log = std::fs::File::options().create(true).append(true).open(world.path("log")).unwrap();
        let program = env!("CARGO_BIN_EXE_rearguard");
        let mut command = match injection {
            Some(injection) => injection.command(program, &world.path("rearguard.db"), &trace(world)),
            None => Command::new(program),
        };
        command.env_remove("NOTIFY_SOCKET").env_remove("RUST_LOG").stdin(Stdio::null());
        let child = command.args(["run", "--config"]).arg(&file).stderr(log).spawn().unwrap();
        Self { child, api: world.api(format!("http://{address}")) }
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<End> {
        self.child.try_wait().unwrap().map(End::from)
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        // It may have ended a moment ago.
        let _ = Command::new("kill").args([signal, &pid]).stderr(Stdio::null()).status().unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> End {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.ended() {
                return end;
            }
            assert!(Instant::now() < deadline, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it says at `path`, if it says anything.
    pub(crate) async fn says(&self, path: &str) -> Option<Value> {
        let asked = self.api.client.get(format!("{}{path}", self.api.base));
        let answer = asked.timeout(Duration::from_secs(2)).send().await.ok()?;
        serde_json::from_slice(&answer.bytes().await.ok()?).ok()
    }

    /// Whether it knows what is live.
    pub(crate) async fn knows_the_app(&self) -> bool {
        let app = self.says(&format!("/api/v1/apps/{APP}")).await;
        app.is_some_and(|app| app["live_deployment"].is_string())
    }

    /// The incident of this deployment, if it tells of one.
    pub(crate) async fn incident_of(&self, deployment: &str) -> Option<Value> {
        let list = self.says("/api/v1/incidents").await?;
        let incidents = list["incidents"].as_array()?;
        incidents.iter().find(|incident| incident["bad_deployment"] == deployment).cloned()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address nobody else has: each start of a process gets a loopback address of its own, so that no connection of
/// another run can have taken its port meanwhile.
fn free_address() -> String {
    static STARTS: AtomicU32 = AtomicU32::new(0);
    let nth = STARTS.fetch_add(1, Ordering::Relaxed);
    let port = 20_000 + std::process::id() % 10_000;
    format!("127.{}.{}.{}:{port}", 1 + nth / 62_500 % 250, nth / 250 % 250, 1 + nth % 250)
}
