//! The platform's own figures, as DigitalOcean's JSON.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::lab::deliver::Answer;
use crate::lab::kind::Shelf;
use crate::lab::model::Refusal;
use crate::lab::request::values;
use crate::lab::world::World;

/// What the account owes, in dollars.
const BALANCE: &str = "12.23";
/// What an app sends in a day, for each letter of its name.
const BYTES: u64 = 1_000_000_000;
/// How many apps may be asked for at once [OAS: `app_metrics_bandwidth_usage_request.app_ids`].
const APPS: usize = 100;

/// Each app's bytes of a day, yesterday where none is named. An app that is not there is left out \[inferred\].
pub(super) fn bandwidth(world: &World, body: &[u8]) -> Result<Answer, Refusal> {
    let bad = |message: &str| Refusal::new(400, message);
    let body: Value = serde_json::from_slice(body).map_err(|_| bad("failed to parse request body"))?;
    let asked = body.get("app_ids").and_then(Value::as_array).filter(|ids| (1..=APPS).contains(&ids.len()));
    let asked = asked.ok_or_else(|| bad("app_ids must have between 1 and 100 items"))?;
    let day = match body.get("date").and_then(Value::as_str) {
        Some(date) => date.get(..10).and_then(|day| day.parse().ok()).ok_or_else(|| bad("invalid date"))?,
        None => yesterday(world.now()),
    };
    let usage = asked.iter().filter_map(Value::as_str).filter_map(|id| {
        let app = &world.model.apps[world.model.on_shelf(Shelf::Apps, id)?];
        // 64 bits are text in JSON [OAS].
        Some(json!({ "app_id": id, "bandwidth_bytes": (app.name.len() as u64 * BYTES).to_string() }))
    });
    let usage: Vec<Value> = usage.collect();
    Ok(Answer::json(200, &json!({ "app_bandwidth_usage": usage, "date": format!("{day}T00:00:00Z") })))
}

/// The one line of an app's figure, in the words of Prometheus: as idle as it can be, at both ends of the time asked
/// about.
pub(super) fn series(world: &World, query: &str) -> Result<Answer, Refusal> {
    let asked = |key| values(query, key).next();
    let place = asked("app_id").and_then(|id| world.model.on_shelf(Shelf::Apps, id));
    place.ok_or_else(|| Refusal::new(404, "app not found"))?;
    let point = |key| asked(key).and_then(|seconds| seconds.parse::<i64>().ok()).map(|at| json!([at, "0"]));
    let points: Vec<Value> = ["start", "end"].into_iter().filter_map(point).collect();
    let line = json!({ "metric": { "app_component": "web" }, "values": points });
    Ok(Answer::json(
        200,
        &json!({ "status": "success", "data": { "resultType": "matrix", "result": [line] } }),
    ))
}

/// As of the last billing [OAS: `billing/models/balance.yml`].
pub(super) fn balance(world: &World) -> Answer {
    let generated = Timestamp::from_millisecond(world.now()).unwrap_or_default();
    let body = json!({
        "month_to_date_balance": "23.44", "account_balance": BALANCE, "month_to_date_usage": "11.21",
        "generated_at": generated.to_string(),
    });
    Answer::json(200, &body)
}

fn yesterday(now_ms: i64) -> Date {
    let today = Timestamp::from_millisecond(now_ms).unwrap_or_default().to_zoned(TimeZone::UTC).date();
    today.yesterday().unwrap_or(today)
}
