//! The control API under `/lab`: how a person, a script or the demonstration arranges things. No token: the lab
//! listens on loopback only. It goes on working when the lab's network is "down".

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::app::{App, AppState, Who};
use super::fault::Fault;
use super::kind::{AppKind, Source};
use super::ledger::Operation;
use super::model::Write;
use super::rate::RateLimit;
use super::release::{Fate, Health, Release};
use super::sleep::Sleep;
use super::unknowns::Unknowns;
use super::vitals::Vitals;
use super::world::{Asked, Network, World};
use super::{Lab, LabError, Token};

/// What a person does, or the platform of its own accord. In the ledger it is told from what the guard does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// A push to the branch.
    Push {
        /// What is pushed.
        release: Box<Release>,
    },
    /// A manual deployment of the branch's newest commit.
    Deploy,
    /// A restart.
    Restart,
    /// Cancels a deployment.
    Cancel {
        /// Its id; the one in progress when absent.
        #[serde(default)]
        deployment: Option<String>,
    },
    /// A rollback: a pin the guard did not make.
    Rollback {
        /// The target's id, or the newest deployment of this version that was live; the deployment that was
        /// live before the live one when absent. An application on Sevalla takes none: the platform picks.
        #[serde(default)]
        to: Option<String>,
        /// Whether to commit at once.
        #[serde(default)]
        skip_pin: bool,
    },
    /// Accepts the rollback.
    Commit,
    /// Undoes the rollback.
    Revert,
    /// The platform's maintenance.
    Maintenance,
    /// The platform's autoscaler.
    Autoscale,
    /// Lets pushes be deployed, or keeps them from it, on Sevalla.
    SetAutoDeploy {
        /// Whether they are deployed.
        on: bool,
    },
    /// The platform's own rollback.
    AutoRollback {
        /// As in a rollback.
        #[serde(default)]
        to: Option<String>,
    },
}

/// Carries out what a person or the platform does.
pub(super) fn act(world: &mut World, name: &str, action: Action) -> Result<Option<String>, LabError> {
    let place = world.place(name)?;
    let app = &world.model.apps[place];
    let (operation, who, write) = match action {
        Action::Push { release } => (Operation::Push, Who::Person, Write::Push(Arc::from(release))),
        Action::Deploy => (Operation::CreateDeployment, Who::Person, Write::Deploy),
        Action::Restart => (Operation::Restart, Who::Person, Write::Restart),
        Action::Cancel { deployment } => {
            (Operation::CancelDeployment, Who::Person, Write::Cancel { deployment })
        }
        Action::Rollback { to, skip_pin } => {
            (Operation::CreateRollback, Who::Person, rollback(app, to, skip_pin)?)
        }
        Action::SetAutoDeploy { on } => (Operation::SetAutoDeploy, Who::Person, Write::SetAutoDeploy { on }),
        Action::Commit => (Operation::CommitRollback, Who::Person, Write::Commit),
        Action::Revert => (Operation::RevertRollback, Who::Person, Write::Revert),
        Action::Maintenance => (Operation::Maintenance, Who::Platform, Write::Maintenance),
        Action::Autoscale => (Operation::Autoscale, Who::Platform, Write::Autoscale),
        Action::AutoRollback { to } => {
            (Operation::AutoRollback, Who::Platform, Write::AutoRollback { target: target(app, to)? })
        }
    };
    world
        .write(Asked { place, who, operation, write }, None)
        .map_err(|refusal| LabError::Refused { status: refusal.status, message: refusal.message })
}

/// The rollback of a person on the app's platform.
fn rollback(app: &App, to: Option<String>, skip_pin: bool) -> Result<Write, LabError> {
    match (app.kind.source(), to) {
        (None | Some(Source::StaticSite), to) => Ok(Write::Rollback { target: target(app, to)?, skip_pin }),
        (Some(_), None) => Ok(Write::PickedRollback),
        (Some(_), Some(_)) => {
            let message = "the platform picks what an application goes back to".to_owned();
            Err(LabError::Refused { status: 400, message })
        }
    }
}

fn target(app: &App, to: Option<String>) -> Result<String, LabError> {
    let mut newest_first = app.deployments.iter().rev();
    let found = match &to {
        Some(to) => newest_first.find(|d| d.id == *to || (d.was_live() && d.release.version == *to)),
        None => {
            let live = app.active().map(|live| &live.id);
            newest_first.filter(|d| d.was_live()).find(|d| Some(&d.id) != live)
        }
    };
    found
        .map(|d| d.id.clone())
        .ok_or_else(|| LabError::NoSuchDeployment(to.unwrap_or_else(|| "before the live one".to_owned())))
}

pub(super) fn router() -> Router<Lab> {
    Router::new()
        .route("/apps", post(create_app))
        .route("/apps/{name}", get(app).delete(delete_app))
        .route("/apps/{name}/releases", post(push))
        .route("/apps/{name}/person", post(person))
        .route("/apps/{name}/health", put(health).post(health))
        .route("/apps/{name}/vitals", put(vitals).post(vitals))
        .route("/apps/{name}/rollback_fate", put(rollback_fate).post(rollback_fate))
        .route("/apps/{name}/sleep", put(sleep).post(sleep))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(remove_fault))
        .route("/unknowns", get(unknowns).put(set_unknowns).post(set_unknowns))
        .route("/tokens", put(set_tokens).post(set_tokens))
        .route("/rate_limit", put(set_rate_limit).post(set_rate_limit))
        .route("/network", put(network).post(network))
        .route("/state", get(state))
        .route("/ledger", get(ledger))
}

type Answered = Result<Json<Value>, (StatusCode, Json<Value>)>;

/// The control API's errors: 404 for what is not there, 409 for what cannot be, the platform's own for a refusal.
fn answered<T: Serialize>(result: Result<T, LabError>) -> Answered {
    let error = match result {
        Ok(value) => return Ok(Json(json!(value))),
        Err(error) => error,
    };
    let status = match &error {
        LabError::NoSuchApp(_) | LabError::NoSuchDeployment(_) => StatusCode::NOT_FOUND,
        LabError::Refused { status, .. } => StatusCode::from_u16(*status).unwrap_or(StatusCode::CONFLICT),
        LabError::BadName(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::CONFLICT,
    };
    Err((status, Json(json!({ "error": format!("failed to {error}") }))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewApp {
    name: String,
    /// DigitalOcean's when absent.
    #[serde(default)]
    kind: AppKind,
    #[serde(default)]
    release: Release,
    /// That many apps, named `{name}-00000` and on, each with version v1.
    #[serde(default)]
    count: Option<usize>,
}

async fn create_app(State(lab): State<Lab>, Json(new): Json<NewApp>) -> Answered {
    match new.count {
        Some(count) => {
            let created = lab.create_apps_of(&new.name, count, new.kind);
            answered(created.map(|()| json!({ "created": count })))
        }
        None => answered(lab.create_app_of(&new.name, new.kind, new.release)),
    }
}

async fn app(State(lab): State<Lab>, Path(name): Path<String>) -> Answered {
    answered(lab.app(&name))
}

async fn delete_app(State(lab): State<Lab>, Path(name): Path<String>) -> Answered {
    answered(lab.delete_app(&name))
}

async fn push(State(lab): State<Lab>, Path(name): Path<String>, Json(release): Json<Release>) -> Answered {
    answered(lab.push(&name, release).map(|id| json!({ "deployment": id })))
}

async fn person(State(lab): State<Lab>, Path(name): Path<String>, Json(action): Json<Action>) -> Answered {
    answered(lab.person(&name, action).map(|id| json!({ "deployment": id })))
}

async fn health(State(lab): State<Lab>, Path(name): Path<String>, Json(health): Json<Health>) -> Answered {
    answered(lab.set_health(&name, health))
}

async fn vitals(State(lab): State<Lab>, Path(name): Path<String>, Json(vitals): Json<Vitals>) -> Answered {
    answered(lab.set_vitals(&name, vitals))
}

async fn rollback_fate(State(lab): State<Lab>, Path(name): Path<String>, Json(fate): Json<Fate>) -> Answered {
    answered(lab.set_rollback_fate(&name, fate))
}

async fn sleep(
    State(lab): State<Lab>,
    Path(name): Path<String>,
    Json(habit): Json<Option<Sleep>>,
) -> Answered {
    answered(lab.set_sleep(&name, habit))
}

async fn add_fault(State(lab): State<Lab>, Json(fault): Json<Fault>) -> Answered {
    Ok(Json(json!({ "id": lab.fault(fault) })))
}

async fn faults(State(lab): State<Lab>) -> Answered {
    let list = lab.world(|world| world.faults.list());
    let list: Vec<Value> = list.iter().map(|(id, fault)| json!({ "id": id, "fault": fault })).collect();
    Ok(Json(json!(list)))
}

async fn remove_fault(State(lab): State<Lab>, Path(id): Path<u64>) -> Answered {
    Ok(Json(json!({ "removed": lab.remove_fault(id) })))
}

async fn clear_faults(State(lab): State<Lab>) -> Answered {
    lab.clear_faults();
    Ok(Json(json!({})))
}

async fn unknowns(State(lab): State<Lab>) -> Answered {
    Ok(Json(json!(lab.world(|world| world.model.unknowns))))
}

/// Switches that are left out go back to their default.
async fn set_unknowns(State(lab): State<Lab>, Json(unknowns): Json<Unknowns>) -> Answered {
    lab.set_unknowns(|current| *current = unknowns);
    Ok(Json(json!(unknowns)))
}

async fn set_tokens(State(lab): State<Lab>, Json(tokens): Json<Vec<Token>>) -> Answered {
    lab.set_tokens(tokens);
    Ok(Json(json!({})))
}

async fn set_rate_limit(State(lab): State<Lab>, Json(limit): Json<RateLimit>) -> Answered {
    lab.set_rate_limit(limit);
    Ok(Json(json!(limit)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkIs {
    up: bool,
}

async fn network(State(lab): State<Lab>, Json(network): Json<NetworkIs>) -> Answered {
    lab.set_network(network.up);
    Ok(Json(json!({ "up": network.up })))
}

async fn state(State(lab): State<Lab>) -> Answered {
    let state = lab.world(|world| {
        let apps: Vec<AppState> =
            world.model.apps.iter().filter(|app| !app.deleted).map(AppState::from).collect();
        json!({ "now_ms": world.now(), "network_up": world.network == Network::Up, "apps": apps })
    });
    Ok(Json(state))
}

async fn ledger(State(lab): State<Lab>) -> Answered {
    Ok(Json(json!(lab.ledger())))
}
