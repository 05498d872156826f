//! The model as Sevalla's JSON: every key of the OpenAPI document, nulls written.

use std::sync::Arc;

use serde_json::{Value, json};

use super::route::Page;
use crate::lab::app::{App, Cause, Deployment, Phase, Who, uuid};
use crate::lab::kind::{Shelf, Source};
use crate::lab::unknowns::{NullImage, RollbackTrigger, Unknowns};
use crate::lab::{Scope, Token};

/// No list says that it has more.
const MOST: usize = 10_000;

/// One page of a list of which `shown` is the part that is on it, in JSON.
pub(super) fn page(shown: &[Arc<str>], total: usize, page: Page) -> String {
    let (shown, total, Page { offset, limit }) = (shown.join(","), total.min(MOST), page);
    format!("{{\"data\":[{shown}],\"limit\":{limit},\"offset\":{offset},\"total\":{total}}}")
}

/// An application or a static site as a list shows it, made once.
pub(super) fn listed(app: &mut App) -> Arc<str> {
    let kept = app.rendered.listed.take().unwrap_or_else(|| item(app).to_string().into());
    Arc::clone(app.rendered.listed.insert(kept))
}

/// An application or a static site with everything about it, made once.
pub(super) fn whole(app: &mut App) -> Arc<str> {
    let kept = app.rendered.app.take().unwrap_or_else(|| detail(app).to_string().into());
    Arc::clone(app.rendered.app.insert(kept))
}

/// The deployment at `place`, made once.
pub(super) fn row(app: &mut App, place: usize, unknowns: Unknowns) -> Arc<str> {
    app.row(place, |app, row| deployment(app, row, unknowns))
}

fn item(app: &App) -> Value {
    let mut item = json!({
        "id": app.id,
        "name": app.name,
        "display_name": app.name,
        "status": status_of_app(app),
        "source": source(app),
        "created_at": rfc3339(app.created_ms),
        "updated_at": rfc3339(updated_ms(app)),
    });
    if app.kind.shelf() == Shelf::Applications {
        item["type"] = json!("app");
        item["is_suspended"] = json!(false);
    }
    item
}

/// An application or a static site with everything about it.
pub(super) fn detail(app: &App) -> Value {
    match app.kind.shelf() {
        Shelf::StaticSites => static_site(app),
        Shelf::Apps | Shelf::Applications => application(app),
    }
}

fn application(app: &App) -> Value {
    let is_git = is_git(app);
    let image = (!is_git).then(|| app.spec.image_url(&app.name));
    json!({
        "id": app.id,
        "company_id": company(),
        "project_id": null,
        "name": app.name,
        "namespace": format!("{}-lab", app.name),
        "display_name": app.name,
        "source": source(app),
        "type": "app",
        "status": status_of_app(app),
        "build_cache_enabled": true,
        "hibernation_enabled": app.sleeper.habit.is_some(),
        "hibernate_after_seconds": app.sleeper.habit.map(|sleep| sleep.after_ms.div_ceil(1000)),
        "auto_deploy": app.kind.auto_deploy(),
        "is_suspended": false,
        "git_type": is_git.then_some("github"),
        "repo_url": is_git.then(|| repository(app)),
        "default_branch": is_git.then_some("main"),
        "docker_image": image,
        "build_type": "nixpacks",
        "build_path": is_git.then_some("."),
        "pack_builder": null,
        "nixpacks_version": null,
        "dockerfile_path": null,
        "docker_context": null,
        "allow_deploy_paths": [],
        "ignore_deploy_paths": [],
        "buildpacks": [],
        "cluster_id": null,
        "docker_registry_credential_id": null,
        "created_by": null,
        "created_at": rfc3339(app.created_ms),
        "updated_at": rfc3339(updated_ms(app)),
    })
}

/// The keys that the official Terraform client reads: the OpenAPI document we have lacks this path.
fn static_site(app: &App) -> Value {
    json!({
        "id": app.id,
        "company_id": company(),
        "project_id": null,
        "name": app.name,
        "display_name": app.name,
        "status": status_of_app(app),
        "source": source(app),
        "repo_url": repository(app),
        "default_branch": "main",
        "auto_deploy": app.kind.auto_deploy(),
        "is_preview_enabled": false,
        "git_type": "github",
        "hostname": format!("{}.lab.test", app.name),
        "install_command": null,
        "build_command": "npm run build",
        "published_directory": "dist",
        "root_directory": ".",
        "node_version": "22.0.0",
        "index_file": "index.html",
        "error_file": null,
        "allow_deploy_paths": [],
        "ignore_deploy_paths": [],
        "created_at": rfc3339(app.created_ms),
        "updated_at": rfc3339(updated_ms(app)),
    })
}

/// The domain that the platform gave an application.
pub(super) fn domain(app: &App) -> Value {
    json!({
        "id": uuid(0, &app.name, 2),
        "name": format!("{}.lab.test", app.name),
        "status": "ACTIVE",
        "type": "SYSTEM",
        "is_enabled": true,
        "is_wildcard": false,
        "is_primary": true,
        "dns_records": null,
        "errors": null,
        "created_at": rfc3339(app.created_ms),
        "updated_at": rfc3339(app.created_ms),
    })
}

/// A deployment as every call shows it.
pub(super) fn deployment(app: &App, row: &Deployment, unknowns: Unknowns) -> Value {
    let is_git = is_git(app);
    let (hides_image, hides_commit) = hidden(row, unknowns);
    let mut shown = json!({
        "id": row.id,
        "status": status(app, row),
        "type": if row.cause == Cause::Push { "automatic" } else { "manual" },
        "repo_url": is_git.then(|| repository(app)),
        "branch": is_git.then_some("main"),
        "commit_sha": (is_git && !hides_commit).then(|| row.release.commit_hash()),
        "commit_message": is_git.then_some(&row.release.version),
        "author_login": (row.who == Who::Person).then_some("colleague"),
        "author_img": null,
        "started_at": row.started_ms.map(rfc3339),
        "finished_at": ended_ms(row).map(rfc3339),
        "created_at": rfc3339(row.created_ms),
        "updated_at": rfc3339(ended_ms(row).unwrap_or(row.updated_ms)),
    });
    let more = match app.kind.shelf() {
        Shelf::StaticSites => json!({
            "static_site_id": app.id,
            "is_preview": false,
            "cloud_build_id": null,
            "build_error": (row.phase == Phase::Error).then_some("the build failed"),
        }),
        Shelf::Apps | Shelf::Applications => json!({
            "app_id": app.id,
            "trigger": trigger(row, unknowns),
            "steps": steps(row),
            "docker_image_url": (!hides_image).then(|| row.release.image_url(&app.name)),
            "git_type": is_git.then_some("github"),
        }),
    };
    if let (Value::Object(shown), Value::Object(more)) = (&mut shown, more) {
        shown.extend(more);
    }
    shown
}

/// The answer of a deployment's logs, a line a step.
pub(super) fn logs(app: &App, row: &Deployment) -> Value {
    let line = |nth: usize, at: Option<i64>, message: &str| {
        at.map(|at| {
            let time = rfc3339(at).replace('T', " ").replace('Z', "");
            json!({ "id": format!("{}-{nth}", row.id), "message": message, "service": "APP_DEPLOYMENT",
                    "severity": if row.phase == Phase::Error { "ERROR" } else { "INFO" }, "timestamp": time,
                    "tags": { "idApp": app.id }, "attributes": {} })
        })
    };
    let lines = [
        line(0, Some(row.created_ms), "created"),
        line(1, row.started_ms, "started"),
        line(2, ended_ms(row), status(app, row)),
    ];
    lines.into_iter().flatten().collect()
}

/// An application's only process.
pub(super) fn process(app: &App) -> Value {
    json!({
        "id": process_id(app),
        "app_id": app.id,
        "key": "web",
        "type": "web",
        "display_name": "Web process",
        "entrypoint": "npm start",
        "port": 8080,
        "is_ingress_enabled": true,
        "ingress_protocol": "http",
        "scaling_strategy": { "type": "manual", "config": { "instanceCount": 1 } },
        "resource_type_id": uuid(0, "resource type", 0),
        "resource_type_name": "s1",
        "cpu_limit": 500,
        "memory_limit": 512,
        "schedule": null,
        "time_zone": null,
        "job_start_policy": null,
        "liveness_probe": null,
        "readiness_probe": { "exec": null, "tcpSocket": null,
                             "httpGet": { "path": "/healthz", "port": 8080, "host": null, "scheme": "HTTP" } },
        "internal_hostname": format!("{}-web.lab.test", app.name),
        "created_at": rfc3339(app.created_ms),
        "updated_at": rfc3339(app.created_ms),
    })
}

pub(super) fn process_id(app: &App) -> String {
    uuid(0, &app.id, 0)
}

/// The key that was used. What else `/me` says, and how, is not known to us.
pub(super) fn key(token: Option<&Token>) -> Value {
    let name = match token.map(|token| token.scope) {
        Some(Scope::Update) => "lab",
        Some(Scope::Read) | None => "lab, read only",
    };
    json!({ "name": name, "expires_at": null, "company_id": company(), "status": "active" })
}

/// "Reflecting the most recent deployment" \[OAS\].
fn status_of_app(app: &App) -> &'static str {
    match app.deployments.last().map(|row| status(app, row)) {
        Some("waiting" | "inProgress") => "deploymentInProgress",
        Some("failed") => "deploymentFailed",
        Some("cancelled" | "skipped") => "deploymentCancelled",
        _ => "deploymentSuccess",
    }
}

/// Nobody is told that another one went live. What was cancelled before its turn is skipped, where there is such a word.
fn status(app: &App, row: &Deployment) -> &'static str {
    match row.phase {
        Phase::PendingBuild => "waiting",
        Phase::Building | Phase::PendingDeploy | Phase::Deploying => "inProgress",
        Phase::Active | Phase::Superseded => "success",
        Phase::Error => "failed",
        Phase::Canceled if row.started_ms.is_none() && app.kind.shelf() == Shelf::Applications => "skipped",
        Phase::Canceled => "cancelled",
    }
}

/// Whether a row keeps back its image, and its commit.
fn hidden(row: &Deployment, unknowns: Unknowns) -> (bool, bool) {
    if !matches!(row.cause, Cause::Rollback { .. }) {
        return (false, false);
    }
    match unknowns.null_image {
        NullImage::Never => (false, false),
        NullImage::UntilItEnds => (!row.phase.is_terminal(), !row.phase.is_terminal()),
        NullImage::ForEver => (true, true),
        NullImage::ImageForEver => (true, false),
    }
}

/// A free text \[OAS\]. The platform's own doings do not occur on Sevalla.
fn trigger(row: &Deployment, unknowns: Unknowns) -> &'static str {
    match (&row.cause, unknowns.rollback_trigger) {
        (Cause::Push, _) => "AUTO_DEPLOY_ON_PUSH",
        (Cause::Restart, _) => "RESTART",
        (Cause::Rollback { .. }, RollbackTrigger::RollbackDeployment) => "ROLLBACK_DEPLOYMENT",
        (Cause::Rollback { .. }, RollbackTrigger::Unheard) => "ARTIFACT_REUSE",
        _ => "MANUAL_DEPLOY",
    }
}

fn steps(row: &Deployment) -> Value {
    if row.build.is_some() { json!(["checkout", "build", "rollout"]) } else { json!(["rollout"]) }
}

fn ended_ms(row: &Deployment) -> Option<i64> {
    row.live_ms.or_else(|| row.phase.is_terminal().then_some(row.updated_ms))
}

fn updated_ms(app: &App) -> i64 {
    let newest = app.deployments.last();
    newest.map_or(app.created_ms, |row| ended_ms(row).unwrap_or(row.updated_ms))
}

fn source(app: &App) -> &'static str {
    match app.kind.source() {
        Some(Source::PublicGit) => "publicGit",
        Some(Source::DockerImage) => "dockerImage",
        Some(Source::PrivateGit | Source::StaticSite) | None => "privateGit",
    }
}

fn is_git(app: &App) -> bool {
    app.kind.source() != Some(Source::DockerImage)
}

fn repository(app: &App) -> String {
    format!("https://git.lab.test/{}", app.name)
}

fn company() -> String {
    uuid(0, "company", 0)
}

/// RFC 3339 with milliseconds.
pub(super) fn rfc3339(ms: i64) -> String {
    format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap_or_default())
}
