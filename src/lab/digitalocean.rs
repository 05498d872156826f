//! The model in DigitalOcean's dialect: tokens, limits, paths, bodies and errors of the App Platform API.
//!
//! Everything is computed under the lab's lock by [`answer`]; sending it, with the fault that struck, is not.

mod figures;
mod render;
mod route;

use serde_json::{Value, json};

use super::Token;
use super::app::Who;
use super::deliver::{Answer, Outgoing, http_date};
use super::fault::Kind;
use super::gate::{Admission, Knock, admit};
use super::kind::{Dialect, Shelf};
use super::ledger::Operation;
use super::model::{Refusal, Write};
use super::rate::{Standing, Verdict};
use super::request::{Request, is_uuid};
use super::world::{Asked, World};
use route::{Call, Route, route};

/// Answers one request. The order is the real API's as far as anyone can tell \[inferred\]: path, rate limit,
/// token, app.
pub(crate) fn answer(world: &mut World, base: &str, request: &Request<'_>) -> Outgoing {
    let request_id = world.request_id();
    let token = world.token(request.token);
    let counted = request.token.unwrap_or("");
    let standing = world.rates.call(counted, world.now(), world.rate_limit);
    let refused = |status, message| Answer::error(Dialect::DigitalOcean, status, message, &request_id);
    let (mut answer, fault) = match route(request) {
        Route::Call(call) => admitted(world, base, request, &call, token.as_ref(), standing, &request_id),
        Route::BadId => (refused(400, "invalid uuid"), None),
        Route::NotFound => (refused(404, "not found"), None),
        Route::WrongMethod => (refused(405, "method not allowed"), None),
    };
    answer.headers.push(("x-request-id", request_id));
    answer.headers.push(("date", http_date(world.now())));
    answer.headers.push(("ratelimit-limit", standing.limit.to_string()));
    answer.headers.push(("ratelimit-remaining", standing.remaining.to_string()));
    answer.headers.push(("ratelimit-reset", standing.reset.to_string()));
    (answer, fault)
}

/// A call the API knows: let in and answered, or not.
fn admitted(
    world: &mut World,
    base: &str,
    request: &Request<'_>,
    call: &Call,
    token: Option<&Token>,
    standing: Standing,
    request_id: &str,
) -> Outgoing {
    let is_limited = standing.verdict != Verdict::Passed;
    let app = call.app.as_deref();
    let knock = Knock { shelf: Shelf::Apps, operation: call.operation, app, token, is_limited };
    let Admission { fault, outcome } = admit(world, knock);
    let answered = outcome.and_then(|(who, place)| match place {
        None => match call.operation {
            Operation::GetBandwidth => figures::bandwidth(world, request.body),
            Operation::GetMetrics => figures::series(world, request.path, request.query),
            Operation::GetBalance => Ok(figures::balance(world)),
            _ => Ok(render::list_apps(world, base, request.host, call.page)),
        },
        Some(place) => perform(world, base, request, call, (place, who), fault.as_ref()),
    });
    let refused =
        |refusal: Refusal| Answer::error(Dialect::DigitalOcean, refusal.status, &refusal.message, request_id);
    let mut answer = answered.unwrap_or_else(refused);
    if let Verdict::Burst(seconds) = standing.verdict {
        answer.headers.push(("retry-after", seconds.to_string()));
    }
    (answer, fault)
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
        Operation::GetHealth => return Ok(figures::health(world, place)),
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
    if !is_uuid(target) {
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
