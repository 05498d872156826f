//! `/api/v1/openapi.json`: the API as a document. The shapes are those of the types that are sent, so they cannot differ; the
//! paths are written down here, and a test holds them against the routes.

use std::sync::LazyLock;

use axum::Json;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::said::{ID_MOST, NAME_MOST, PAUSE_MOST};
use super::{AppStatus, Done, IncidentDetail};
use crate::journal::IncidentRecord;

/// A line of text without control characters and what is not to be seen: what `said::is_a_line` takes.
const LINE: &str = concat!(
    r"^[^\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f",
    r"\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb",
    "\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]+$"
);

/// Every app.
#[derive(Serialize, JsonSchema)]
struct Apps {
    apps: Vec<AppStatus>,
    /// The storm breaker is open: nothing is rolled back until somebody resumes everything.
    storm: bool,
}

/// Incidents, newest first.
#[derive(Serialize, JsonSchema)]
struct Incidents {
    incidents: Vec<IncidentDetail>,
}

/// Why something was not done.
#[derive(Serialize, JsonSchema)]
struct Failure {
    error: Complaint,
}

/// A fixed word for programs, and a sentence for people.
#[derive(Serialize, JsonSchema)]
struct Complaint {
    code: String,
    message: String,
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

pub(super) async fn openapi() -> Json<&'static Value> {
    Json(&DOCUMENT)
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings.with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut shapes = settings.into_generator();
    let paths = paths(&mut shapes);
    // Told in events, by itself.
    shapes.subschema_for::<IncidentRecord>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "rearguard",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT", "identifier": "MIT" },
            "description": "Guards deployments: what it sees, decides and does, and what people order. Times are RFC 3339 \
                            in UTC, durations seconds, deployments the platform's ids. Keys are only added.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": shapes.take_definitions(true),
            "securitySchemes": { "admin": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn paths(shapes: &mut SchemaGenerator) -> Value {
    let name = parameter("name", "The app's name in the configuration.");
    let id = parameter("id", "The incident's id.");
    let list = json!([
        { "name": "app", "in": "query", "description": "Only of this app.", "schema": { "type": "string" } },
        { "name": "limit", "in": "query", "description": "At most so many.",
          "schema": { "type": "integer", "minimum": 1, "maximum": 1000, "default": 50 } },
    ]);
    let mut paths = Map::new();
    let mut put = |path: &str, verb: &str, operation: Value| {
        let entry = paths.entry(path.to_owned()).or_insert_with(|| json!({}));
        entry[verb] = operation;
    };
    put("/api/v1/apps", "get", read::<Apps>(shapes, "Every app", json!([]), &[]));
    put("/api/v1/apps/{name}", "get", read::<AppStatus>(shapes, "One app", json!([name]), &["400", "404"]));
    put("/api/v1/incidents", "get", read::<Incidents>(shapes, "Incidents, newest first", list, &["400"]));
    let whole = "One incident with its timeline, its signal and its decisions made again";
    put("/api/v1/incidents/{id}", "get", read::<IncidentDetail>(shapes, whole, json!([id]), &["400", "404"]));
    let picture = "The incident's signal against its threshold, as a picture";
    put("/api/v1/incidents/{id}/signal.svg", "get", as_text(shapes, picture, "image/svg+xml", json!([id])));
    let events =
        "Server-sent events: everything (`apps`), then what changes (`app`, `gone`, `incident`, `storm`)";
    put("/api/v1/events", "get", as_text(shapes, events, "text/event-stream", json!([])));
    for (verb, what) in [
        ("pause", "Write nothing for the app, for a time or until it is resumed"),
        ("resume", "End the app's pause, or its hold"),
        ("rollback", "Roll the app back, whatever its rules say"),
        ("commit", "Accept the app's rollback now"),
        ("revert", "Undo the app's rollback now"),
    ] {
        let operation = order(shapes, what, json!([name]), verb);
        put(&format!("/api/v1/apps/{{name}}/{verb}"), "post", operation);
    }
    put("/api/v1/pause", "post", order(shapes, "Write nothing for any app", json!([]), "pause"));
    let all = "End every pause and close the storm breaker";
    put("/api/v1/resume", "post", order(shapes, all, json!([]), "resume"));
    put(
        "/api/v1/incidents/{id}/approve",
        "post",
        order(shapes, "Let the rollback go on", json!([id]), "approve"),
    );
    put(
        "/api/v1/incidents/{id}/reject",
        "post",
        order(shapes, "Leave the release live", json!([id]), "reject"),
    );
    Value::Object(paths)
}

fn parameter(name: &str, what: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": what, "schema": { "type": "string", "minLength": 1 } })
}

/// Something that is read.
fn read<T: JsonSchema>(shapes: &mut SchemaGenerator, what: &str, parameters: Value, more: &[&str]) -> Value {
    let shape = shapes.subschema_for::<T>();
    let answer = json!({ "description": what, "content": { "application/json": { "schema": shape } } });
    let mut responses = failures(shapes, more);
    responses.insert("200".to_owned(), answer);
    json!({ "summary": what, "parameters": parameters, "responses": responses })
}

/// Something that is no JSON.
fn as_text(shapes: &mut SchemaGenerator, what: &str, kind: &str, parameters: Value) -> Value {
    let mut responses = failures(shapes, &["400", "404"]);
    let answer = json!({ "description": what, "content": { kind: { "schema": { "type": "string" } } } });
    responses.insert("200".to_owned(), answer);
    json!({ "summary": what, "parameters": parameters, "responses": responses })
}

/// Something that is changed: 200 where it is in force by then, 202 where it is handed on.
fn order(shapes: &mut SchemaGenerator, what: &str, parameters: Value, verb: &str) -> Value {
    let status = if matches!(verb, "pause" | "resume") { "200" } else { "202" };
    let shape = shapes.subschema_for::<Done>();
    let answer = json!({ "description": "Taken", "content": { "application/json": { "schema": shape } } });
    let mut responses = failures(shapes, &["400", "401", "403", "404", "408", "409", "413"]);
    responses.insert(status.to_owned(), answer);
    json!({
        "summary": what,
        "parameters": parameters,
        "security": [{ "admin": [] }],
        "requestBody": { "required": false, "content": { "application/json": { "schema": body(verb) } } },
        "responses": responses,
    })
}

/// What may be said with it.
fn body(verb: &str) -> Value {
    let line = |most: usize, what: &str| json!({ "type": ["string", "null"], "minLength": 1, "maxLength": most, "pattern": LINE, "description": what });
    let mut properties = Map::new();
    properties.insert("by".to_owned(), line(NAME_MOST, "Who says it, for the journal."));
    if verb == "pause" {
        let what = "How long; without it until resumed.";
        let lasts = json!({ "type": ["number", "null"], "minimum": 1, "maximum": PAUSE_MOST.as_secs(), "description": what });
        properties.insert("for_seconds".to_owned(), lasts);
    }
    if verb == "approve" {
        let what = "Only where this is still what would be gone back to; otherwise a 409.";
        properties.insert("target_deployment".to_owned(), line(ID_MOST, what));
    }
    if verb == "rollback" {
        properties.insert(
            "to".to_owned(),
            line(ID_MOST, "To this deployment; without it to what rearguard would choose."),
        );
        for (name, what) in [
            ("accept_warnings", "Whatever the platform warns of."),
            ("accept_migrations", "Although a migration job differs between the two specs."),
        ] {
            let flag = json!({ "type": "boolean", "default": false, "description": what });
            properties.insert(name.to_owned(), flag);
        }
    }
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// What can go wrong anywhere, and what can there.
fn failures(shapes: &mut SchemaGenerator, more: &[&str]) -> Map<String, Value> {
    let shape: Schema = shapes.subschema_for::<Failure>();
    let described = |status: &str| match status {
        "400" => "What was asked makes no sense",
        "401" => "Without the admin token",
        "403" => "No admin token is configured",
        "404" => "There is no such thing",
        "408" => "The body did not arrive in time",
        "409" => "It does not fit where the app or the incident stands; the message says why",
        "413" => "The body is too large",
        "500" => "A fault of rearguard itself",
        _ => "Not now: the journal does not answer, or there is no room",
    };
    let statuses = more.iter().copied().chain(["500", "503"]);
    let each = statuses.map(|status| {
        let content = json!({ "application/json": { "schema": shape } });
        (status.to_owned(), json!({ "description": described(status), "content": content }))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use crate::server::tests::fake::{Trouble, start};

    #[tokio::test]
    async fn every_path_of_the_document_is_a_route_and_every_shape_is_there() {
        let server = start(Trouble::None).await;
        let document = server.get("/api/v1/openapi.json").await.json();
        let text = document.to_string();
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        for (path, verbs) in document["paths"].as_object().unwrap() {
            for verb in verbs.as_object().unwrap().keys().filter(|_| path != "/api/v1/events") {
                let path = path.replace("{name}", "checkout").replace("{id}", "checkout-1a2b3c4d");
                let answer = match verb.as_str() {
                    "get" => server.get(&path).await,
                    _ => server.post(&path, None).await,
                };
                let is_known = answer.status != 405 && !answer.body.contains("nothing at this path");
                assert!(is_known, "{verb} {path}: {}", answer.body);
                assert!(
                    verbs[verb]["responses"][answer.status.to_string()].is_object(),
                    "{verb} {path}: {}",
                    answer.status
                );
            }
        }
    }

    #[tokio::test]
    async fn what_is_answered_has_the_shape_that_is_documented() {
        let server = start(Trouble::None).await;
        let document = server.get("/api/v1/openapi.json").await.json();
        for (path, asked) in [
            ("/api/v1/apps", "/api/v1/apps"),
            ("/api/v1/apps/{name}", "/api/v1/apps/checkout"),
            ("/api/v1/incidents", "/api/v1/incidents"),
            ("/api/v1/incidents/{id}", "/api/v1/incidents/checkout-1a2b3c4d"),
        ] {
            let mut shape = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
                ["schema"]
                .clone();
            shape["components"] = document["components"].clone();
            let validator = jsonschema::validator_for(&shape).expect("a schema");
            let answer = server.get(asked).await.json();
            let problems: Vec<String> =
                validator.iter_errors(&answer).map(|error| error.to_string()).collect();
            assert!(problems.is_empty(), "{asked}: {problems:?}");
        }
    }
}
