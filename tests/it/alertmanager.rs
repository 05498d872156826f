//! A real Alertmanager that is told of an incident. Skipped, with a note, where there is none.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rearguard::lab::{Fate, Release};
use serde_json::Value;
use tokio::time::Instant;

use crate::world::{APP, PATIENCE, Settings, World};

/// A server of its own, ended when dropped.
struct Alertmanager {
    child: Child,
    url: String,
    client: reqwest::Client,
}

impl Alertmanager {
    /// None where it is not installed.
    async fn start(world: &World) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n";
        std::fs::write(world.path("alertmanager.yml"), text).unwrap();
        // Debian's name for it, and everybody else's.
        let child = ["prometheus-alertmanager", "alertmanager"].iter().find_map(|program| {
            let mut command = Command::new(program);
            command.arg(format!("--config.file={}", world.path("alertmanager.yml").display()));
            command.arg(format!("--storage.path={}", world.path("alerts").display()));
            command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--cluster.listen-address=");
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        });
        let Some(child) = child else {
            // Not by a macro, of which a test that passes keeps what it says back.
            let line = b"SKIPPED: no Alertmanager to tell; install the package prometheus-alertmanager\n";
            let _ = std::io::stderr().write_all(line);
            return None;
        };
        let found = Self { child, url: format!("http://127.0.0.1:{port}"), client: reqwest::Client::new() };
        let deadline = Instant::now() + PATIENCE;
        while found.client.get(format!("{}/-/ready", found.url)).send().await.is_err() {
            assert!(Instant::now() < deadline, "it does not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(found)
    }

    /// The alerts that fire.
    async fn alerts(&self) -> Vec<Value> {
        let answer = self.client.get(format!("{}/api/v2/alerts", self.url)).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    async fn until(&self, what: &str, is_there: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let alerts = self.alerts().await;
            if is_there(&alerts) {
                return alerts;
            }
            assert!(Instant::now() < deadline, "no {what} in time: {alerts:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_fires_in_alertmanager_until_it_is_over_and_a_held_app_goes_on_firing() {
    let world = World::new().await;
    let Some(server) = Alertmanager::start(&world).await else { return };
    let channel = format!("notify:\n  - {{ name: am, kind: alertmanager, url: '{}' }}\n", server.url);
    // Long enough to be seen on a machine that is busy.
    let settings = Settings { soak: "{ period: 12s, min_samples: 5 }", ..Settings::default() };
    let guard = world.daemon_of(&format!("{}{channel}", world.yaml(&settings))).await;
    guard.api.until_state("steady").await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let alerts = server.until("alert", |alerts| !alerts.is_empty()).await;
    let labels = &alerts[0]["labels"];
    assert_eq!(
        (&labels["alertname"], &labels["app"]),
        (&"RearguardIncident".into(), &APP.into()),
        "{alerts:#?}"
    );
    let live = "rollback_live";
    let alerts =
        server.until(live, |alerts| alerts.iter().any(|alert| alert["annotations"]["kind"] == live)).await;
    assert_eq!(alerts.len(), 1, "it is the same alert: {alerts:#?}");
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["id"], alerts[0]["labels"]["incident"]);
    server.until("end of it", <[Value]>::is_empty).await;

    world.lab.set_rollback_fate(APP, Fate::Fails).unwrap();
    guard.api.until_state("steady").await;
    world.lab.push(APP, Release::bad("v3")).unwrap();
    guard.api.until_state("held").await;
    let held = server
        .until("hold", |alerts| alerts.iter().any(|alert| alert["annotations"]["kind"] == "held"))
        .await;
    assert!(held[0]["annotations"]["next"].as_str().unwrap().contains("rearguard resume shop"), "{held:#?}");
    guard.daemon.stop().await;
}
