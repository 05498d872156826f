//! The model in Sevalla's dialect (API v3): tiers, paths, bodies and errors.
//!
//! Everything is computed under the lab's lock by [`answer`]; sending it, with the fault that struck, is not.

mod figures;
mod render;
mod route;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Token;
use super::app::{App, Who};
use super::deliver::{Answer, Outgoing, http_date};
use super::fault::Kind;
use super::gate::{Admission, Knock, admit};
use super::kind::{Dialect, Shelf};
use super::ledger::Operation;
use super::model::{Refusal, Write};
use super::rate::{Standing, Verdict};
use super::request::{Request, is_uuid};
use super::unknowns::{Hint, Shown, Unknowns};
use super::world::{Asked, World};
use route::{Call, Figure, Route, route};

/// Answers one request.
pub(crate) fn answer(world: &mut World, request: &Request<'_>) -> Outgoing {
    let request_id = world.request_id();
    let token = world.token(request.token);
    let route = route(request);
    let standing = standing(world, request, &route, token.as_ref());
    let refused =
        |refusal: &Refusal| Answer::error(Dialect::Sevalla, refusal.status, &refusal.message, &request_id);
    let (mut answer, fault) = match route {
        Route::Call(call) => {
            let (answered, fault) = admitted(world, request, &call, token.as_ref(), standing);
            (answered.unwrap_or_else(|refusal| refused(&refusal)), fault)
        }
        Route::Malformed(message) => (refused(&Refusal::new(400, message)), None),
        Route::NotFound => (refused(&Refusal::new(404, "Route not found")), None),
    };
    answer.dialect = Dialect::Sevalla;
    answer.headers.push(("x-request-id", request_id));
    answer.headers.push(("date", http_date(world.now())));
    answer.headers.push(("x-ratelimit-limit", standing.limit.to_string()));
    answer.headers.push(("x-ratelimit-remaining", standing.remaining.to_string()));
    answer.headers.push(("x-ratelimit-reset", standing.reset.to_string()));
    (answer, fault)
}

/// Where the company stands: every token of the lab is of the same one. Who is nobody counts for nobody.
fn standing(world: &mut World, request: &Request<'_>, route: &Route, token: Option<&Token>) -> Standing {
    let service = match route {
        Route::Call(call) => call.app.as_deref(),
        Route::Malformed(_) | Route::NotFound => None,
    };
    let company = if token.is_some() { "company" } else { "nobody" };
    let (now, tiers) = (world.now(), world.rate_limit.sevalla);
    world.rates.in_tier(company, route::tier(request, route), service, now, tiers)
}

/// A call the API knows: let in and answered, or not.
fn admitted(
    world: &mut World,
    request: &Request<'_>,
    call: &Call,
    token: Option<&Token>,
    standing: Standing,
) -> (Result<Answer, Refusal>, Option<Kind>) {
    let is_limited = standing.verdict != Verdict::Passed;
    let app = call.app.as_deref();
    let knock = Knock { shelf: call.shelf, operation: call.operation, app, token, is_limited };
    let Admission { fault, outcome } = admit(world, knock);
    let answered = outcome.and_then(|(who, place)| match place {
        None if call.operation == Operation::GetKey => Ok(Answer::json(200, &render::key(token))),
        None => Ok(list(world, call)),
        Some(place) if call.operation.is_read() => read(world, request, call, place),
        Some(place) => change(world, request, call, (place, who), fault.as_ref()),
    });
    (answered, fault)
}

/// A page of every app on the shelf, newest first \[docs\].
fn list(world: &mut World, call: &Call) -> Answer {
    let now = world.now();
    let all: Vec<usize> = {
        let apps = world.model.apps.iter().enumerate().rev();
        apps.filter(|(_, app)| !app.deleted && app.kind.shelf() == call.shelf)
            .map(|(place, _)| place)
            .collect()
    };
    let shown = all.iter().skip(call.page.offset).take(call.page.limit);
    let shown: Vec<_> = shown.map(|place| render::listed(world.model.apps[*place].visible(now))).collect();
    Answer::rendered(render::page(&shown, all.len(), call.page))
}

/// What a read of an app that exists shows.
fn read(world: &mut World, request: &Request<'_>, call: &Call, place: usize) -> Result<Answer, Refusal> {
    let (now, unknowns) = (world.now(), world.model.unknowns);
    if call.operation == Operation::GetMetrics {
        let app = &world.model.apps[place];
        let figures = measured(app, request, call, now, unknowns.exit_codes)?;
        return Ok(Answer::json(200, &figures));
    }
    let app = world.model.apps[place].visible(now);
    let row = |app: &App| {
        let found = call.deployment.as_deref().and_then(|id| app.place_of(id));
        found.ok_or_else(|| Refusal::new(404, "Deployment not found"))
    };
    match call.operation {
        Operation::ListDeployments => {
            let newest_first = (0..app.deployments.len()).rev().skip(call.page.offset).take(call.page.limit);
            let shown: Vec<_> = newest_first.map(|row| render::row(app, row, unknowns)).collect();
            Ok(Answer::rendered(render::page(&shown, app.deployments.len(), call.page)))
        }
        Operation::GetDeployment => {
            let row = row(app)?;
            Ok(Answer::rendered(&*render::row(app, row, unknowns)))
        }
        Operation::GetLogs => Ok(Answer::json(200, &render::logs(app, &app.deployments[row(app)?]))),
        Operation::ListProcesses => {
            let process: Arc<str> = render::process(app).to_string().into();
            let shown: Vec<_> = [process].into_iter().skip(call.page.offset).collect();
            Ok(Answer::rendered(render::page(&shown, 1, call.page)))
        }
        Operation::ListDomains => {
            let domain: Arc<str> = render::domain(app).to_string().into();
            let shown: Vec<_> = [domain].into_iter().skip(call.page.offset).collect();
            Ok(Answer::rendered(render::page(&shown, 1, call.page)))
        }
        Operation::GetHook if unknowns.hook_enabled => {
            let url = format!("https://hook.lab.test/apps/{}/deploy/secret-of-the-lab", app.id);
            Ok(Answer::json(200, &json!({ "url": url })))
        }
        Operation::GetHook => Err(Refusal::new(404, "No deployment hook")),
        _ => Ok(Answer::rendered(&*render::whole(app))),
    }
}

fn measured(
    app: &App,
    request: &Request<'_>,
    call: &Call,
    now: i64,
    exit_codes: Shown,
) -> Result<Value, Refusal> {
    let not_found = || Refusal::new(404, "Not found");
    let figure = call.figure.ok_or_else(not_found)?;
    if figure == Figure::ExitCodes && exit_codes == Shown::Omitted {
        return Err(not_found());
    }
    if call.process.as_ref().is_some_and(|process| *process != render::process_id(app)) {
        return Err(not_found());
    }
    figures::figure(app, figure, request, now)
}

/// A write on an app that exists.
fn change(
    world: &mut World,
    request: &Request<'_>,
    call: &Call,
    (place, who): (usize, Who),
    fault: Option<&Kind>,
) -> Result<Answer, Refusal> {
    let unknowns = world.model.unknowns;
    let write = write(request, call, unknowns).inspect_err(|refusal| {
        let name = world.model.apps[place].name.clone();
        world.refuse(&name, call.operation, who, refusal);
    })?;
    let asked = Asked { place, who, operation: call.operation, write };
    if call.operation == Operation::SetAutoDeploy && unknowns.patch_ignored {
        world.ignore(&asked, fault);
        return Ok(Answer::json(200, &render::detail(&world.model.apps[place])));
    }
    let made = world.write(asked, fault)?;
    let app = &world.model.apps[place];
    let made = made.and_then(|id| app.place_of(&id)).map(|row| &app.deployments[row]);
    Ok(match (call.operation, made) {
        (Operation::SetAutoDeploy, _) => Answer::json(200, &render::detail(app)),
        (Operation::CancelDeployment, _) => {
            Answer::json(200, &json!({ "message": "Deployment is being cancelled" }))
        }
        (_, Some(made)) => {
            let status = if call.shelf == Shelf::StaticSites { 201 } else { 200 };
            Answer::json(status, &render::deployment(app, made, world.model.unknowns))
        }
        // A fault keeps it from the platform, and this from the caller.
        (_, None) => Answer::json(200, &json!({})),
    })
}

/// `POST /applications/{id}/deployments`. The branch is not the lab's concern: there is one.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NewDeployment {
    #[serde(rename = "branch")]
    _branch: Option<String>,
    docker_image: Option<String>,
    is_restart: bool,
}

/// `POST /static-sites/{id}/deployments`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NewSiteDeployment {
    #[serde(rename = "branch")]
    _branch: Option<String>,
    deployment_id: Option<String>,
}

/// `PATCH`, as far as the lab knows it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    auto_deploy: bool,
}

/// The write a call asks for.
fn write(request: &Request<'_>, call: &Call, unknowns: Unknowns) -> Result<Write, Refusal> {
    match call.operation {
        Operation::SetAutoDeploy => Ok(Write::SetAutoDeploy { on: body::<Patch>(request)?.auto_deploy }),
        Operation::CancelDeployment => Ok(Write::Cancel { deployment: call.deployment.clone() }),
        _ if route::is_picked_rollback(request) => rollback(request, unknowns.honour_deployment_id),
        _ if call.shelf == Shelf::StaticSites => {
            let target = body::<NewSiteDeployment>(request)?.deployment_id;
            match (target, unknowns.honour_site_target) {
                (None, _) | (Some(_), Hint::Ignored) => Ok(Write::Deploy),
                (Some(target), Hint::Honoured) => back_to(target),
                (Some(_), Hint::Refused) => Err(not_allowed()),
            }
        }
        _ => {
            let asked = body::<NewDeployment>(request)?;
            Ok(match asked.docker_image {
                _ if asked.is_restart => Write::Restart,
                Some(image) => Write::Redeploy { image },
                None => Write::Deploy,
            })
        }
    }
}

/// A rollback takes no body \[OAS\], and the official client sends one.
fn rollback(request: &Request<'_>, hint: Hint) -> Result<Write, Refusal> {
    let body: Value = serde_json::from_slice(request.body).unwrap_or_default();
    match (body["deployment_id"].as_str(), hint) {
        (None, _) | (Some(_), Hint::Ignored) => Ok(Write::PickedRollback),
        (Some(target), Hint::Honoured) => back_to(target.to_owned()),
        (Some(_), Hint::Refused) => Err(not_allowed()),
    }
}

fn not_allowed() -> Refusal {
    Refusal::new(400, "deployment_id is not allowed")
}

fn back_to(target: String) -> Result<Write, Refusal> {
    if is_uuid(&target) {
        Ok(Write::Rollback { target, skip_pin: false })
    } else {
        Err(Refusal::new(400, "deployment_id must be a uuid"))
    }
}

fn body<T: for<'de> Deserialize<'de>>(request: &Request<'_>) -> Result<T, Refusal> {
    serde_json::from_slice(request.body).map_err(|_| Refusal::new(400, "Invalid request body"))
}

#[cfg(test)]
mod tests;
