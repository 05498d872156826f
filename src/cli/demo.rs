//! `rearguard demo`: the real daemon against the built-in platform on loopback. A good release, a bad one,
//! detection, rollback, soak, commit; told as it happens, from what the daemon's own API says. What differs between
//! the platforms is how the app is made and configured; the story is the same.

mod narrator;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::{DemoArgs, Error};
use crate::config::{self, PlatformKind};
use crate::daemon::Daemon;
use crate::lab::{
    AppKind, AppState, Durations, GUARD_TOKEN, Lab, LabConfig, Operation, Release, RunningLab, Source,
};
use crate::telemetry::Chain;
use narrator::Narrator;

/// The demo gives up after this long: it must end by itself within a minute.
const WITHIN: Duration = Duration::from_secs(55);
/// How often the API is asked.
const GLANCE: Duration = Duration::from_millis(100);
/// The guarded app.
const APP: &str = "shop";
/// Phases of the built-in platform, shorter than the real one's, where a rollback takes one to two minutes.
const DURATIONS: Durations =
    Durations { pending_ms: 200, build_ms: 1_500, deploy_ms: 1_000, rollback_ms: 2_000 };

/// Why the demo did not come to its end.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    /// Something could not be set up.
    #[error("set up the demo: {0}")]
    SetUp(String),
    /// The story did not go on in time.
    #[error("see {0} within a minute")]
    TimedOut(&'static str),
    /// The daemon's API did not answer.
    #[error("ask the daemon")]
    Api(#[source] reqwest::Error),
    /// Nobody reads the story any more, or it cannot be written.
    #[error("{}", .0.as_deref().unwrap_or("be heard"))]
    NotHeard(Option<String>),
    /// At the end the app was not as it should be.
    #[error("end well: {0}")]
    EndedBadly(String),
}

/// Runs the demo, telling its story on standard output. Ends within a minute.
pub(super) async fn run(args: &DemoArgs) -> Result<String, Error> {
    let story = tell(args.platform, Instant::now());
    let told = tokio::time::timeout(WITHIN, story).await;
    let told = told.unwrap_or(Err(DemoError::TimedOut("the end of the story")));
    match told {
        Ok(()) | Err(DemoError::NotHeard(None)) => Ok(String::new()),
        Err(error) => Err(Error::Failed(Chain(&error).to_string())),
    }
}

async fn tell(platform: PlatformKind, start: Instant) -> Result<(), DemoError> {
    let set_up = |error: &dyn std::fmt::Display| DemoError::SetUp(error.to_string());
    let folder = Scratch::new().map_err(|error| set_up(&error))?;
    let lab = Lab::start(LabConfig { durations: DURATIONS, ..LabConfig::default() });
    let lab = lab.await.map_err(|error| set_up(&error))?;
    let app = lab.create_app_of(APP, kind(platform), Release::good("v1")).map_err(|error| set_up(&error))?;
    let text = configuration(platform, &lab, &app.id, folder.path());
    folder.keep("token", GUARD_TOKEN).map_err(|error| set_up(&error))?;
    let config = config::parse("rearguard.yaml", &text).map_err(|problems| set_up(&problems))?;
    let daemon = Daemon::start(config).await.map_err(|error| set_up(&Chain(&error)))?;
    let mut narrator = Narrator::new(start, lab.handle(), daemon.address());
    narrator.opening(&text);
    let told = chapters(&mut narrator, &lab).await;
    daemon.stop().await;
    let ended = told.and_then(|()| ending(&narrator, &lab));
    lab.stop().await;
    ended
}

async fn chapters(narrator: &mut Narrator, lab: &RunningLab) -> Result<(), DemoError> {
    let push = |release: Release| lab.push(APP, release).map_err(|error| DemoError::SetUp(error.to_string()));
    narrator.chapter("rearguard gets to know the app");
    narrator.until("a live deployment that is known to be good", |app| app.state == "steady").await?;

    narrator.chapter("somebody pushes v2, a good release");
    push(Release::good("v2"))?;
    narrator.until("v2 under watch", |app| app.state == "watching").await?;
    narrator.until("v2 passing its watch", |app| app.state == "steady").await?;

    narrator.chapter("somebody pushes v3, which answers every request with 500");
    push(Release::bad("v3"))?;
    narrator.until("an incident", |app| app.incident.is_some()).await?;
    narrator.until_settled().await
}

fn ending(narrator: &Narrator, lab: &RunningLab) -> Result<(), DemoError> {
    let app = lab.app(APP).map_err(|error| DemoError::EndedBadly(error.to_string()))?;
    let ledger = lab.ledger();
    let rollbacks = ledger.applied(Operation::CreateRollback, APP).len();
    narrator.closing(&app, &ledger);
    narrator.is_heard()?;
    if app.version.as_deref() == Some("v2") && is_free(&app) && rollbacks == 1 {
        return Ok(());
    }
    let version = app.version.as_deref().unwrap_or("nothing");
    let pin = if is_free(&app) { "not pinned" } else { "pinned" };
    Err(DemoError::EndedBadly(format!("{version} is live and {pin} after {rollbacks} rollbacks")))
}

/// The next push is deployed, as far as the platform is concerned.
fn is_free(app: &AppState) -> bool {
    app.pinned.is_none() && app.auto_deploy != Some(false)
}

/// What the app is made as: something that every push is deployed of.
fn kind(platform: PlatformKind) -> AppKind {
    match platform {
        PlatformKind::DigitalOcean => AppKind::DigitalOcean,
        PlatformKind::Sevalla => AppKind::sevalla(Source::PrivateGit),
    }
}

/// The configuration of the demo: what a user would write, with times to fit a minute.
fn configuration(platform: PlatformKind, lab: &RunningLab, id: &str, folder: &Path) -> String {
    let base = lab.base_url.as_str().trim_end_matches('/');
    let folder = folder.display();
    let (kind, api, consent) = match platform {
        PlatformKind::DigitalOcean => ("digitalocean", "", ""),
        PlatformKind::Sevalla => ("sevalla", "/v3", "    accept_platform_choice: true\n"),
    };
    format!(
        "\
listen: 127.0.0.1:0
state: {folder}/rearguard.db
platforms:
  - name: cloud
    kind: {kind}
    token_file: {folder}/token
    api: {base}{api}
    poll: 1s
control_probes:
  - url: {base}/up
apps:
  - name: {APP}
    platform: cloud
    id: {id}
    mode: enforce
{consent}    watch: 5s
    probes:
      - name: home
        url: {base}/sites/{APP}/healthz
        period: 1s
        watch_period: 500ms
        burst: 250ms
        timeout: 1s
        expect: {{ status: [200], body_contains: ok }}
    rules:
      - {{ name: down, probe: home, consecutive_failures: 3 }}
    soak: {{ period: 6s, min_samples: 8 }}
"
    )
}

/// A folder of our own that goes with us.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("rearguard-demo-{:08x}", fastrand::u32(..)));
        std::fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a secret that only we can read.
    fn keep(&self, name: &str, secret: &str) -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(self.0.join(name))?;
        file.write_all(secret.as_bytes())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it, and the system clears its temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
