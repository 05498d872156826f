//! The model in DigitalOcean's dialect: tokens, limits, paths, bodies and errors of the App Platform API.
//!
//! Everything is computed under the lab's lock by [`answer`]; sending it, with the fault that struck, is not.

mod render;
mod route;

use serde_json::{Value, json};

use super::app::Who;
use super::deliver::Answer;
use super::fault::{Kind, Met};
use super::ledger::Operation;
use super::model::{Refusal, Write};
use super::rate::{Standing, Verdict};
use super::world::{Asked, World};
use super::{Scope, Token};
pub(crate) use route::Request;
use route::{Call, Route, route};

/// What goes back, and the fault that happens to it on the way.
pub(crate) type Outgoing = (Answer, Option<Kind>);

/// Answers one request. The order is the real API's as far as anyone can tell \[inferred\]: path, rate limit,
/// token, app.
pub(crate) fn answer(world: &mut World, base: &str, request: &Request<'_>) -> Outgoing {
    world.requests += 1;
    let request_id = super::app::uuid(0, "request", usize::try_from(world.requests).unwrap_or(0));
    let token = request.token.and_then(|value| world.tokens.iter().find(|t| t.value == value).cloned());
    let counted = request.token.unwrap_or("");
    let standing = world.rates.call(counted, world.now(), world.rate_limit);
    let (mut answer, fault) = match route(request) {
        Route::Call(call) => admitted(world, base, request, &call, token.as_ref(), standing, &request_id),
        Route::BadId => (Answer::error(400, "invalid uuid", &request_id), None),
        Route::NotFound => (Answer::error(404, "not found", &request_id), None),
        Route::WrongMethod => (Answer::error(405, "method not allowed", &request_id), None),
    };
    answer.headers.push(("x-request-id", request_id));
    answer.headers.push(("date", render::http_date(world.now())));
    answer.headers.push(("ratelimit-limit", standing.limit.to_string()));
    answer.headers.push(("ratelimit-remaining", standing.remaining.to_string()));
    answer.headers.push(("ratelimit-reset", standing.reset.to_string()));
    (answer, fault)
}

/// A call the API knows: counted, faulted, admitted, answered.
fn admitted(
    world: &mut World,
    base: &str,
    request: &Request<'_>,
    call: &Call,
    token: Option<&Token>,
    standing: Standing,
    request_id: &str,
) -> Outgoing {
    world.ledger.count(call.operation);
    let place = call.app.as_deref().map(|id| world.model.by_id(id));
    let name = place.flatten().map(|place| world.model.apps[place].name.clone());
    let limited = standing.verdict != Verdict::Passed;
    let fault = if limited { None } else { world.strike(Met::Call(call.operation), name.as_deref()) };
    let outcome =
        within(standing, token).and_then(|()| permitted(token, call.operation)).and_then(|who| match place {
            Some(None) => Err((who, Refusal::new(404, "The resource you requested could not be found."))),
            Some(Some(place)) => Ok((who, Some(place))),
            None => Ok((who, None)),
        });
    let answered = match outcome {
        Err((who, refusal)) => {
            if !call.operation.is_read() {
                let app = name.or_else(|| call.app.clone()).unwrap_or_default();
                world.refuse(&app, call.operation, who, &refusal);
            }
            Err(refusal)
        }
        Ok((_, None)) => Ok(render::list_apps(world, base, request.host, call.page)),
        Ok((who, Some(place))) => perform(world, base, request, call, (place, who), fault.as_ref()),
    };
    let refused = |refusal: Refusal| Answer::error(refusal.status, &refusal.message, request_id);
    let mut answer = answered.unwrap_or_else(refused);
    if let Verdict::Burst(seconds) = standing.verdict {
        answer.headers.push(("retry-after", seconds.to_string()));
    }
    (answer, fault)
}

/// 429 over a limit.
fn within(standing: Standing, token: Option<&Token>) -> Result<(), (Who, Refusal)> {
    let who = token.map_or(Who::Person, |token| token.who);
    match standing.verdict {
        Verdict::Passed => Ok(()),
        Verdict::Burst(_) | Verdict::Spent => Err((who, Refusal::new(429, "API Rate limit exceeded."))),
    }
}

/// Who calls, if the token may. Without a token it is nobody, recorded as a person.
fn permitted(token: Option<&Token>, operation: Operation) -> Result<Who, (Who, Refusal)> {
    let Some(token) = token else {
        return Err((Who::Person, Refusal::new(401, "Unable to authenticate you")));
    };
    if operation.needs_update() && token.scope == Scope::Read {
        return Err((token.who, Refusal::new(403, "You are not authorized to perform this operation")));
    }
    Ok(token.who)
}

/// A permitted call on an app that exists.
fn perform(
    world: &mut World,
    base: &str,
    request: &Request<'_>,
    call: &Call,
    (place, who): (usize, Who),
    fault: Option<&Kind>,
) -> Result<Answer, Refusal> {
    let (now, unknowns) = (world.now(), world.model.unknowns);
    let deployment = call.deployment.as_deref();
    match call.operation {
        Operation::ListDeployments => {
            let app = world.model.apps[place].visible(now);
            return Ok(render::list_deployments(app, unknowns, request, call));
        }
        Operation::GetDeployment => {
            let app = world.model.apps[place].visible(now);
            let found = deployment.and_then(|id| app.place_of(id));
            let found = found.ok_or_else(|| Refusal::new(404, "deployment does not exist"))?;
            let shown = render::deployment(app, &app.deployments[found], unknowns);
            return Ok(Answer::json(200, &json!({ "deployment": shown })));
        }
        Operation::GetApp => return Ok(render::get_app(world, base, place)),
        Operation::ValidateRollback => {
            let (target, _) = rollback_request(request.body)?;
            let validation = world.model.validate(place, &target)?;
            return Ok(Answer::json(200, &render::validation(&validation, unknowns)));
        }
        _ => {}
    }
    let write = write(call, request.body).inspect_err(|refusal| {
        let name = world.model.apps[place].name.clone();
        world.refuse(&name, call.operation, who, refusal);
    })?;
    let asked = Asked { place, who, operation: call.operation, write };
    let made = world.write(asked, fault)?;
    Ok(written(world, place, call.operation, made.as_deref()))
}

/// The write a call asks for.
fn write(call: &Call, body: &[u8]) -> Result<Write, Refusal> {
    Ok(match call.operation {
        Operation::CancelDeployment => Write::Cancel { deployment: call.deployment.clone() },
        Operation::Restart => Write::Restart,
        Operation::CommitRollback => Write::Commit,
        Operation::RevertRollback => Write::Revert,
        Operation::CreateRollback => {
            let (target, skip_pin) = rollback_request(body)?;
            Write::Rollback { target, skip_pin }
        }
        _ => Write::Deploy,
    })
}

/// The answer to a write: the deployment it made, or for a commit nothing at all [OAS: "the response body is
/// empty"].
fn written(world: &World, place: usize, operation: Operation, made: Option<&str>) -> Answer {
    let app = &world.model.apps[place];
    let made = made.and_then(|id| app.place_of(id)).map(|which| &app.deployments[which]);
    match (operation, made) {
        (Operation::CommitRollback, _) => Answer::text(200, "application/json", String::new()),
        (_, Some(made)) => {
            let shown = render::deployment(app, made, world.model.unknowns);
            Answer::json(200, &json!({ "deployment": shown }))
        }
        (_, None) => Answer::json(200, &json!({})),
    }
}

/// The body of validate and create: a missing `skip_pin` is false, a missing deployment a 400 \[inferred\].
fn rollback_request(body: &[u8]) -> Result<(String, bool), Refusal> {
    let bad = |message: &str| Refusal::new(400, message);
    let body: Value = serde_json::from_slice(body).map_err(|_| bad("failed to parse request body"))?;
    let target = body.get("deployment_id").and_then(Value::as_str).unwrap_or("");
    if !route::is_uuid(target) {
        return Err(bad("invalid deployment_id: invalid uuid"));
    }
    let skip_pin = match body.get("skip_pin") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(skip_pin)) => *skip_pin,
        Some(_) => return Err(bad("skip_pin must be a bool")),
    };
    Ok((target.to_owned(), skip_pin))
}

#[cfg(test)]
mod tests;
