//! The adapter against a server on the loopback that answers byte for byte what a test says.

mod answers;
mod faults;
mod figures;
mod listing;
mod validation;
mod writes;

use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::config::{PlatformKind, TokenSource};
use crate::decision::capability::Pushes;
use crate::decision::observation::{Cause, Phase};
use crate::ids::{DeploymentId, PlatformName};
use crate::platform::scripted::{Act, Server, ok, status};

const TOKEN: &str = "svl_planted_0123456789abcdef";
const SHORT: Duration = Duration::from_millis(400);
const AMPLE: Duration = Duration::from_secs(20);

type Codes = Arc<Mutex<Vec<(&'static str, String)>>>;

fn config(api: &str, timeout: Duration) -> PlatformConfig {
    PlatformConfig {
        name: PlatformName::from("kinsta"),
        kind: PlatformKind::Sevalla,
        token: TokenSource::Env("UNUSED".into()),
        api: Url::parse(api).unwrap(),
        poll: Duration::from_secs(30),
        timeout,
        reconcile: Duration::from_secs(60),
        readiness: Duration::ZERO,
        bandwidth: Duration::ZERO,
        balance: Duration::ZERO,
    }
}

fn within(server: &Server, timeout: Duration) -> (Sevalla, Codes) {
    let codes = Codes::default();
    let told = Arc::clone(&codes);
    let observer: Observer =
        Arc::new(move |operation, code| told.lock().unwrap().push((operation, code.to_owned())));
    let tokens: TokenReader = Box::new(|| Ok(SecretString::from(TOKEN)));
    let config = config(&format!("http://{}/v3", server.address), timeout);
    (Sevalla::new(&config, tokens, observer).unwrap(), codes)
}

fn at(server: &Server) -> Sevalla {
    within(server, AMPLE).0
}

fn app() -> PlatformAppId {
    PlatformAppId::from("app-1")
}

fn accused() -> DeploymentId {
    DeploymentId::from("bad")
}

fn target() -> DeploymentId {
    DeploymentId::from("good")
}

/// An application from this source; its fields may be added to, or said anew.
fn application(source: &str, more: Value) -> Value {
    let app = json!({
        "id": "app-1", "name": "shop", "source": source, "type": "app", "status": "deploymentSuccess",
        "is_suspended": false, "hibernation_enabled": false, "auto_deploy": true, "of_tomorrow": {}
    });
    merged(app, more)
}

/// A deployment of a day of November 2026, of which the platform's clock shows the 21st at noon.
fn row(id: &str, status: &str, day: u32, more: Value) -> Value {
    let row = json!({
        "id": id, "app_id": "app-1", "status": status, "type": "automatic", "trigger": "AUTO_DEPLOY_ON_PUSH",
        "docker_image_url": format!("registry/{id}"), "commit_sha": format!("c-{id}"), "branch": "main",
        "commit_message": "Fix\nthe rest", "author_login": "jane", "steps": ["checkout", "build"],
        "created_at": format!("2026-11-{day:02}T10:00:00.000Z"),
        "finished_at": format!("2026-11-{day:02}T10:05:00.000Z")
    });
    merged(row, more)
}

fn merged(mut value: Value, more: Value) -> Value {
    let fields = value.as_object_mut().unwrap();
    for (name, field) in more.as_object().cloned().unwrap_or_default() {
        fields.insert(name, field);
    }
    value
}

/// A page that is the only one.
fn page(items: &[Value]) -> Act {
    paged(items, items.len())
}

fn paged(items: &[Value], total: usize) -> Act {
    ok(&json!({ "data": items, "total": total, "offset": 0, "limit": 100 }).to_string())
}

/// The bad deployment live, the good one before it.
fn two() -> Vec<Value> {
    vec![row("bad", "success", 20, json!({})), row("good", "success", 19, json!({}))]
}

const APP: &str = "GET /v3/applications/app-1 ";
const APPS: &str = "GET /v3/applications?";
const SITE: &str = "GET /v3/static-sites/app-1 ";
const SITES: &str = "GET /v3/static-sites?";
const ROWS: &str = "GET /v3/applications/app-1/deployments?";
const SITE_ROWS: &str = "GET /v3/static-sites/app-1/deployments?";

/// An application and its deployments, after what a test has to say about other requests.
async fn serving(other: Vec<(&str, Act)>, app: &Value, rows: &[Value]) -> Server {
    let app = ok(&app.to_string());
    Server::routed(other.into_iter().chain([(APP, app), (ROWS, page(rows))])).await
}

/// The view of an application with these deployments.
async fn view_of(rows: &[Value]) -> Result<AppView, PlatformError> {
    let server = serving(vec![], &application("privateGit", json!({})), rows).await;
    at(&server).app(&app()).await.map(|answered| answered.value)
}

/// The requests' first lines, in order.
fn lines(server: &Server) -> Vec<String> {
    let first = |request: String| request.lines().next().unwrap_or_default().replace(" HTTP/1.1", "");
    server.requests().into_iter().map(first).collect()
}

/// The writes: first line and body.
fn writes(server: &Server) -> Vec<(String, String)> {
    let sent = server.requests().into_iter().filter(|request| !request.starts_with("GET "));
    let parts = |request: String| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().replace(" HTTP/1.1", ""), body.to_owned())
    };
    sent.map(parts).collect()
}
