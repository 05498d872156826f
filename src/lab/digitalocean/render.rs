//! The model as DigitalOcean's JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::route::{Call, Page};
use crate::lab::app::{App, Cause, Deployment, Phase, STEPS, Who, uuid};
use crate::lab::deliver::Answer;
use crate::lab::kind::Shelf;
use crate::lab::model::{Condition, Validation};
use crate::lab::release::Release;
use crate::lab::request::Request;
use crate::lab::unknowns::{ActiveAt, ClonedFrom, RevertCause, Shown, Unknowns, Zeros};
use crate::lab::world::World;

pub(super) fn get_app(world: &mut World, base: &str, place: usize) -> Answer {
    let (now, unknowns) = (world.now(), world.model.unknowns);
    let body = format!("{{\"app\":{}}}", app(world.model.apps[place].visible(now), unknowns, base));
    Answer::rendered(body)
}

/// One page of every app. The JSON of an app is kept until the app changes, so that ten thousand idle apps are
/// copied rather than rendered.
pub(super) fn list_apps(world: &mut World, base: &str, host: &str, page: Page) -> Answer {
    let (now, unknowns) = (world.now(), world.model.unknowns);
    let is_shown = |app: &&App| !app.deleted && app.kind.shelf() == Shelf::Apps;
    let total = world.model.apps.iter().filter(is_shown).count();
    let mut body = String::from("{\"apps\":[");
    let shown = world.model.apps.iter_mut().filter(|app| is_shown(&&**app));
    for (nth, shown) in shown.skip((page.number - 1) * page.size).take(page.size).enumerate() {
        body.push_str(if nth > 0 { "," } else { "" });
        body.push_str(&app(shown.visible(now), unknowns, base));
    }
    let links = links(&format!("http://{host}/v2/apps?"), page, total);
    let _ = write!(body, "],\"links\":{links},\"meta\":{{\"total\":{total}}}}}");
    Answer::rendered(body)
}

/// Newest first [app_action, terraform: both take element 0 as the latest].
pub(super) fn list_deployments(
    app: &mut App,
    unknowns: Unknowns,
    request: &Request<'_>,
    call: &Call,
) -> Answer {
    let wanted = |place: &usize| {
        let cause = cause_type(&app.deployments[*place].cause, unknowns);
        call.types.is_empty() || call.types.iter().any(|wanted| wanted == cause)
    };
    let all: Vec<usize> = (0..app.deployments.len()).rev().filter(wanted).collect();
    let page = call.page;
    let shown = all.iter().skip((page.number - 1) * page.size).take(page.size);
    let shown: Vec<Arc<str>> = shown.map(|place| kept(app, *place, unknowns)).collect();
    let mut url = format!("http://{}{}?", request.host, request.path);
    for wanted in &call.types {
        let _ = write!(url, "deployment_types={wanted}&");
    }
    let links = links(&url, page, all.len());
    let (shown, total) = (shown.join(","), all.len());
    let body = format!("{{\"deployments\":[{shown}],\"links\":{links},\"meta\":{{\"total\":{total}}}}}");
    Answer::rendered(body)
}

fn kept(app: &mut App, place: usize, unknowns: Unknowns) -> Arc<str> {
    app.row(place, |app, made| deployment(app, made, unknowns))
}

/// Absolute addresses, absent when everything fits.
fn links(url: &str, page: Page, total: usize) -> Value {
    let last = total.div_ceil(page.size).max(1);
    let to = |number: usize| json!(format!("{url}page={number}&per_page={}", page.size));
    let mut pages = Map::new();
    if page.number > 1 {
        pages.insert("first".to_owned(), to(1));
        pages.insert("prev".to_owned(), to(page.number - 1));
    }
    if page.number < last {
        pages.insert("next".to_owned(), to(page.number + 1));
        pages.insert("last".to_owned(), to(last));
    }
    json!({ "pages": pages })
}

fn app(app: &mut App, unknowns: Unknowns, base: &str) -> Arc<str> {
    if let Some(rendered) = &app.rendered.app {
        return Arc::clone(rendered);
    }
    let live = went_live(app, unknowns.active_at);
    let last = app.deployments.last().map(|last| last.created_ms);
    let url = format!("{base}/sites/{}", app.name);
    let value = json!({
        "id": app.id,
        "owner_uuid": uuid(0, "owner", 0),
        "spec": spec(app, &app.region, &app.spec),
        "default_ingress": url,
        "live_url": url,
        "live_url_base": url,
        "live_domain": "localhost",
        "created_at": rfc3339(app.created_ms),
        "updated_at": rfc3339(app.created_ms),
        "last_deployment_created_at": last.map(rfc3339),
        "last_deployment_active_at": live.map(rfc3339),
        "region": { "slug": app.region, "label": "Amsterdam", "flag": "netherlands",
                    "continent": "Europe", "data_centers": ["ams3"], "default": app.region == "ams" },
        "tier_slug": "basic",
        "project_id": uuid(0, "project", 0),
    });
    let Value::Object(fields) = shown(value, unknowns) else { return "{}".into() };
    let fields = fields.into_iter().map(|(key, value)| (key, value.to_string().into()));
    let mut fields: BTreeMap<String, Arc<str>> = fields.collect();
    let rows = [
        ("active_deployment", app.active),
        ("in_progress_deployment", app.in_progress),
        ("pending_deployment", app.pending()),
        ("pinned_deployment", app.pinned),
    ];
    for (key, place) in rows {
        fields.extend(place.map(|place| (key.to_owned(), kept(app, place, unknowns))));
    }
    let fields: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    let rendered: Arc<str> = format!("{{{}}}", fields.join(",")).into();
    app.rendered.app = Some(Arc::clone(&rendered));
    rendered
}

/// When the live deployment went live, or the one before it.
fn went_live(app: &App, whose: ActiveAt) -> Option<i64> {
    let own = app.active()?.live_ms;
    match whose {
        ActiveAt::Own => own,
        ActiveAt::Former => {
            app.deployments.iter().filter_map(|made| made.live_ms).filter(|at| Some(*at) < own).max()
        }
    }
}

/// A deployment as every call shows it.
pub(super) fn deployment(app: &App, made: &Deployment, unknowns: Unknowns) -> Value {
    let cloned_from = match unknowns.cloned_from {
        ClonedFrom::Target => made.goes_back_to(),
        ClonedFrom::Built => made.goes_back_to().map(|target| built(app, target)),
        ClonedFrom::Omitted => None,
    };
    let component = component(made);
    let jobs: Vec<Value> = job_names(&made.release)
        .map(|(name, _)| json!({ "name": name, "source_commit_hash": component["source_commit_hash"] }))
        .collect();
    let value = json!({
        "id": made.id,
        "spec": spec(app, &made.region, &made.release),
        "services": [component],
        "jobs": jobs,
        "phase": made.phase.as_str(),
        "phase_last_updated_at": rfc3339(made.updated_ms),
        "created_at": rfc3339(made.created_ms),
        "updated_at": rfc3339(made.updated_ms),
        "cause": cause_text(made),
        "cloned_from": cloned_from,
        "previous_deployment_id":
            made.previous.as_ref().filter(|_| unknowns.previous_deployment == Shown::Shown),
        "cause_details":
            (unknowns.cause_details == Shown::Shown).then(|| cause_details(app, made, unknowns)),
        "progress": progress(made),
        "tier_slug": "basic",
        "timing": { "pending": "0.1s", "build_total": made.build.map(|(ms, _)| seconds(ms)),
                    "deploying": seconds(made.rollout.0) },
    });
    shown(value, unknowns)
}

/// The deployment whose build the one of this id runs.
fn built<'a>(app: &'a App, id: &'a str) -> &'a str {
    let deployment = app.place_of(id).map(|place| &app.deployments[place]);
    deployment.and_then(Deployment::goes_back_to).map_or(id, |target| built(app, target))
}

fn component(made: &Deployment) -> Value {
    match &made.release.image {
        Some(image) => json!({ "name": "web", "source_image_digest": image.digest }),
        None => json!({ "name": "web", "source_commit_hash": made.release.commit_hash() }),
    }
}

fn job_names(release: &Release) -> impl Iterator<Item = (String, &String)> {
    release.migrations.iter().enumerate().map(|(nth, run)| (format!("migrate-{}", nth + 1), run))
}

/// The spec follows the release in what a spec holds: jobs, databases, image. The commit is not in it.
fn spec(app: &App, region: &str, release: &Release) -> Value {
    let repository = json!({ "repo": format!("lab/{}", app.name), "branch": "main", "deploy_on_push": true });
    let mut web = json!({ "name": "web", "instance_count": 1, "instance_size_slug": "apps-s-1vcpu-0.5gb",
                          "http_port": 8080, "routes": [{ "path": "/" }],
                          "health_check": { "http_path": "/healthz" } });
    match &release.image {
        Some(image) => {
            web["image"] = json!({ "registry_type": "DOCR", "repository": app.name, "tag": image.tag,
                                   "digest": image.digest, "deploy_on_push": {} });
        }
        None => web["github"] = repository.clone(),
    }
    if !release.setting.is_empty() {
        web["envs"] = json!([{ "key": "SETTING", "value": release.setting, "scope": "RUN_TIME" }]);
    }
    let jobs: Vec<Value> = job_names(release)
        .map(|(name, run)| json!({ "name": name, "kind": "PRE_DEPLOY", "run_command": run, "github": repository }))
        .collect();
    let sites =
        if release.static_site { json!([{ "name": "site", "github": repository }]) } else { json!([]) };
    let (engine, version) = release.database.split_once(' ').unwrap_or((&release.database, ""));
    json!({ "name": app.name, "region": region, "services": [web], "jobs": jobs, "static_sites": sites,
            "databases": [{ "name": "db", "engine": engine.to_uppercase(), "version": version }] })
}

fn progress(made: &Deployment) -> Value {
    let failed = u8::from(made.phase == Phase::Error);
    let running = u8::from(matches!(made.phase, Phase::Building | Phase::Deploying));
    let names =
        ["build", "build.components", "build.finalize", "deploy", "deploy.components", "deploy.finalize"];
    let steps: Vec<Value> = (0..STEPS)
        .map(|nth| {
            let status = match nth {
                nth if nth < made.steps_done => "SUCCESS",
                nth if nth < made.steps_done + failed => "ERROR",
                nth if nth < made.steps_done + running => "RUNNING",
                _ => "PENDING",
            };
            let ended = made.live_ms.filter(|_| nth + 1 == STEPS && nth < made.steps_done);
            json!({ "name": names[usize::from(nth)], "status": status, "ended_at": ended.map(rfc3339) })
        })
        .collect();
    json!({ "pending_steps": STEPS - made.steps_done - failed - running, "running_steps": running,
            "success_steps": made.steps_done, "error_steps": failed, "total_steps": STEPS, "steps": steps })
}

/// Free text [OAS: examples]; that of a rollback is not known \[inferred\].
fn cause_text(made: &Deployment) -> String {
    match &made.cause {
        Cause::Push => {
            let commit = made.release.commit_hash();
            let short = commit.get(..7).unwrap_or(&commit);
            format!("commit {short} pushed to github/lab/{}", made.release.version)
        }
        Cause::Manual => "manual".to_owned(),
        Cause::Rollback { target } | Cause::Redeploy { target } => format!("rollback to deployment {target}"),
        Cause::Revert => "rollback reverted".to_owned(),
        Cause::Restart => "app restarted".to_owned(),
        Cause::Maintenance => "app platform maintenance".to_owned(),
        Cause::Autoscaled => "autoscaled".to_owned(),
        Cause::AutoRollback { target } => format!("automatic rollback to deployment {target}"),
    }
}

fn cause_type(cause: &Cause, unknowns: Unknowns) -> &'static str {
    match cause {
        Cause::Push => "DEPLOY_ON_PUSH",
        Cause::Manual | Cause::Restart => "MANUAL",
        Cause::Rollback { .. } | Cause::Redeploy { .. } => "MANUAL_ROLLBACK",
        Cause::Revert => match unknowns.revert_cause {
            RevertCause::Manual => "MANUAL",
            RevertCause::ManualRollback => "MANUAL_ROLLBACK",
        },
        Cause::Maintenance => "MAINTENANCE",
        Cause::Autoscaled => "AUTOSCALED",
        Cause::AutoRollback { .. } => "AUTO_ROLLBACK",
    }
}

/// [godo: `DeploymentCauseDetails`]; that API rollbacks carry a user action is inferred.
fn cause_details(app: &App, made: &Deployment, unknowns: Unknowns) -> Value {
    let action = match &made.cause {
        Cause::Manual => Some("CREATE_DEPLOYMENT"),
        Cause::Rollback { .. } => Some("ROLLBACK_APP"),
        Cause::Revert => Some("REVERT_APP_ROLLBACK"),
        Cause::Restart => Some("RESTART"),
        _ => None,
    };
    let who = match made.who {
        Who::Guard => "guard",
        Who::Person | Who::Platform => "colleague",
    };
    let action = action.map(|name| {
        json!({ "user": { "uuid": uuid(0, who, 0), "email": format!("{who}@example.com"), "full_name": who },
                "name": name })
    });
    let push = (made.cause == Cause::Push).then(|| {
        json!({ "github": { "repo": format!("lab/{}", app.name), "branch": "main", "deploy_on_push": true },
                "commit_sha": made.release.commit_hash(), "commit_message": made.release.version })
    });
    let scaled = (made.cause == Cause::Autoscaled).then(|| json!({ "autoscaled": true }));
    json!({ "type": cause_type(&made.cause, unknowns), "digitalocean_user_action": action,
            "git_push": push, "autoscaler": scaled })
}

pub(super) fn validation(validation: &Validation, unknowns: Unknowns) -> Value {
    let condition = |c: &Condition| {
        let components = if c.components.is_empty() { Value::Null } else { json!(c.components) };
        json!({ "code": c.code, "message": c.message, "components": components })
    };
    let warnings: Vec<Value> = validation.warnings.iter().map(condition).collect();
    let value = json!({ "valid": validation.error.is_none(), "error": validation.error.as_ref().map(condition),
                        "warnings": warnings });
    shown(value, unknowns)
}

/// Without nulls, and unless the switch says otherwise without zero values (proto3 style, seen in a real answer).
/// Empty objects stay.
fn shown(value: Value, unknowns: Unknowns) -> Value {
    let zero = |value: &Value| match value {
        Value::Null => true,
        _ if unknowns.zeros == Zeros::Written => false,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(_) => false,
    };
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter(|(_, value)| !zero(value));
            Value::Object(kept.map(|(key, value)| (key, shown(value, unknowns))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(|value| shown(value, unknowns)).collect()),
        other => other,
    }
}

/// A duration as in `timing` [real: `"3.67s"`]; what was planned, whether or not it came to that.
fn seconds(ms: u64) -> String {
    format!("{}s", Duration::from_millis(ms).as_secs_f64())
}

/// RFC 3339 with nine fractional digits.
fn rfc3339(ms: i64) -> String {
    format!("{:.9}", jiff::Timestamp::from_millisecond(ms).unwrap_or_default())
}
