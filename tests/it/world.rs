//! A lab, a configuration, and a daemon between them.

use std::path::PathBuf;
use std::time::Duration;

use rearguard::config;
use rearguard::daemon::Daemon;
use rearguard::lab::{
    AppKind, Durations, GUARD_TOKEN, Lab, LabConfig, Operation, Release, RunningLab, Unknowns,
};
use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const APP: &str = "shop";
/// The platform is not asked for its own figures.
pub(crate) const NO_FIGURES: &str = "bandwidth: 0s";
pub(crate) const ADMIN: &str = "open-sesame";

pub(crate) struct World {
    pub(crate) lab: RunningLab,
    kind: AppKind,
    pub(crate) folder: TempDir,
    pub(crate) id: String,
    client: reqwest::Client,
}

/// What a test changes of the configuration.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) mode: &'static str,
    pub(crate) watch: &'static str,
    pub(crate) soak: &'static str,
    pub(crate) rollback: &'static str,
    pub(crate) limits: &'static str,
    pub(crate) rules: &'static str,
    pub(crate) reconcile: &'static str,
    pub(crate) readiness: &'static str,
    /// Keys of the platform.
    pub(crate) figures: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: "enforce",
            watch: "4s",
            soak: "{ period: 1s, min_samples: 5 }",
            rollback: "{}",
            limits: "{ cooldown: 1s, max_rollbacks: 5 }",
            rules: "[{ name: down, probe: home, consecutive_failures: 3 }]",
            reconcile: "1s",
            readiness: "0s",
            figures: NO_FIGURES,
        }
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Unknowns::default()).await
    }

    pub(crate) async fn with(unknowns: Unknowns) -> Self {
        Self::running(Release::good("v1"), unknowns).await
    }

    /// A world whose app is of that kind.
    pub(crate) async fn of(kind: AppKind) -> Self {
        Self::running_as(kind, Release::good("v1"), Unknowns::default()).await
    }

    /// A world whose app runs `release` from the start.
    pub(crate) async fn running(release: Release, unknowns: Unknowns) -> Self {
        Self::running_as(AppKind::DigitalOcean, release, unknowns).await
    }

    async fn running_as(kind: AppKind, release: Release, unknowns: Unknowns) -> Self {
        rearguard::platform::http::install_tls();
        let durations = Durations { pending_ms: 20, build_ms: 150, deploy_ms: 100, rollback_ms: 200 };
        let lab = Lab::start(LabConfig { durations, unknowns, ..LabConfig::default() }).await.unwrap();
        let id = lab.create_app_of(APP, kind, release).unwrap().id;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), GUARD_TOKEN).unwrap();
        std::fs::write(folder.path().join("admin"), ADMIN).unwrap();
        Self { lab, kind, folder, id, client: reqwest::Client::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn yaml(&self, settings: &Settings) -> String {
        let base = self.lab.base_url.as_str().trim_end_matches('/');
        let (platform, consent) = match self.kind {
            AppKind::DigitalOcean => (format!("kind: digitalocean, api: {base}"), ""),
            AppKind::Sevalla { .. } => {
                (format!("kind: sevalla, api: {base}/v3"), "    accept_platform_choice: true\n")
            }
        };
        let folder = self.folder.path().display();
        let Settings { mode, watch, soak, rollback, limits, rules, reconcile, readiness, figures } = settings;
        format!(
            "\
listen: 127.0.0.1:0
state: {folder}/rearguard.db
admin_token_file: {folder}/admin
platforms:
  - {{ name: ocean, {platform}, token_file: {folder}/token, poll: 1s, timeout: 1s, reconcile: {reconcile}, readiness: {readiness}, {figures} }}
control_probes:
  - {{ url: {base}/up, period: 1s, timeout: 500ms }}
apps:
  - name: {APP}
    platform: ocean
    id: {id}
    mode: {mode}
{consent}    watch: {watch}
    probes:
      - {{ name: home, url: {base}/sites/{APP}/healthz, period: 200ms, timeout: 500ms, expect: {{ body_contains: ok }} }}
    rules: {rules}
    rollback: {rollback}
    soak: {soak}
    limits: {limits}
",
            id = self.id,
        )
    }

    pub(crate) async fn daemon(&self, settings: &Settings) -> Guard {
        self.daemon_of(&self.yaml(settings)).await
    }

    pub(crate) async fn daemon_of(&self, text: &str) -> Guard {
        let config = config::parse("rearguard.yaml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let daemon = Daemon::start(config).await.unwrap();
        let api = Api { base: format!("http://{}", daemon.address()), client: self.client.clone() };
        Guard { daemon, api }
    }

    pub(crate) fn api(&self, base: String) -> Api {
        Api { base, client: self.client.clone() }
    }

    /// How often each write was carried out for the guard: rollbacks, commits, reverts.
    pub(crate) fn writes(&self) -> (usize, usize, usize) {
        let ledger = self.lab.ledger();
        let count = |operation| {
            let entries = ledger.applied(operation, APP);
            entries.iter().filter(|entry| entry.who == rearguard::lab::Who::Guard).count()
        };
        (count(Operation::CreateRollback), count(Operation::CommitRollback), count(Operation::RevertRollback))
    }

    pub(crate) fn live_version(&self) -> Option<String> {
        self.lab.app(APP).unwrap().version
    }
}

pub(crate) struct Guard {
    pub(crate) daemon: Daemon,
    pub(crate) api: Api,
}

#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
}

impl Api {
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        let text = answer.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON at {path}: {text}"))
    }

    pub(crate) async fn text(&self, path: &str) -> (u16, String) {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(crate) async fn post(&self, path: &str) -> u16 {
        let asked = self.client.post(format!("{}{path}", self.base)).bearer_auth(ADMIN);
        asked.send().await.unwrap().status().as_u16()
    }

    pub(crate) async fn app(&self) -> Value {
        self.get(&format!("/api/v1/apps/{APP}")).await
    }

    /// Waits until the app's state is `state`.
    pub(crate) async fn until_state(&self, state: &str) -> Value {
        self.until(&format!("state {state}"), |app| app["state"] == state).await
    }

    pub(crate) async fn until(&self, what: &str, is_there: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let app = self.app().await;
            if is_there(&app) {
                return app;
            }
            assert!(tokio::time::Instant::now() < deadline, "no {what} in time: {app:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the newest incident is closed, and gives it with its timeline.
    pub(crate) async fn until_closed(&self) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let list = self.get("/api/v1/incidents").await;
            let newest = &list["incidents"][0];
            if newest["closed_at"].is_string() {
                let id = newest["id"].as_str().unwrap();
                return self.get(&format!("/api/v1/incidents/{id}")).await;
            }
            assert!(tokio::time::Instant::now() < deadline, "no closed incident in time: {list:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The value of one series of /metrics.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.text("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no series {series}")).parse().unwrap()
    }
}

/// Pushes a release once the guard knows the app, and gives the guard.
pub(crate) async fn known(world: &World, settings: &Settings) -> Guard {
    let guard = world.daemon(settings).await;
    guard.api.until_state("steady").await;
    guard
}
