//! The platform's own figures, as DigitalOcean's JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::lab::deliver::Answer;
use crate::lab::kind::Shelf;
use crate::lab::model::Refusal;
use crate::lab::request::values;
use crate::lab::unknowns::{InstanceNames, Unknowns, Zeros};
use crate::lab::world::World;

/// What the account owes, in dollars.
const BALANCE: &str = "12.23";
/// What an app sends in a day, for each letter of its name.
const BYTES: u64 = 1_000_000_000;
/// The one component of every app.
const COMPONENT: &str = "web";
/// The most points of a line \[a bound of the lab's own\].
const MOST_POINTS: i64 = 11_000;
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

/// A line an instance, of which there is one, in the words of Prometheus: points at the platform's own pace, as far as the
/// time asked about has any.
pub(super) fn series(world: &World, path: &str, query: &str) -> Result<Answer, Refusal> {
    let asked = |key| values(query, key).next();
    let place = asked("app_id").and_then(|id| world.model.on_shelf(Shelf::Apps, id));
    let app = &world.model.apps[place.ok_or_else(|| Refusal::new(404, "app not found"))?];
    let seconds = |key| asked(key).and_then(|seconds| seconds.parse::<i64>().ok());
    let (Some(start), Some(end)) = (seconds("start"), seconds("end")) else {
        return Err(Refusal::new(400, "start and end must be times"));
    };
    let Unknowns { measured_every_ms, measured_late_ms, instance_names, .. } = world.model.unknowns;
    let every = i64::try_from(measured_every_ms).unwrap_or(i64::MAX).max(1);
    let last = end.saturating_mul(1_000).min(world.now().saturating_sub_unsigned(measured_late_ms));
    let first = start.saturating_mul(1_000);
    if (last - first) / every > MOST_POINTS {
        return Err(Refusal::new(400, "the time is too long"));
    }
    let mut lines: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut at = first + (-first).rem_euclid(every);
    while at <= last {
        if let Some((live, vitals, since)) = app.vitals_at(at) {
            let value = match path.rsplit('/').next() {
                Some("cpu_percentage") => vitals.cpu_percentage.to_string(),
                Some("memory_percentage") => vitals.memory_percentage.to_string(),
                Some("restart_count") => vitals.restarts(at - since).to_string(),
                _ => return Err(Refusal::new(404, "not found")),
            };
            let name = match instance_names {
                InstanceNames::Kept => format!("{COMPONENT}-0"),
                InstanceNames::New => format!("{COMPONENT}-{}", live.id),
            };
            // Whole seconds where the pace is of whole seconds, as with the real one.
            let time = if every % 1_000 == 0 { json!(at / 1_000) } else { json!(at as f64 / 1_000.0) };
            lines.entry(name).or_default().push(json!([time, value]));
        }
        at += every;
    }
    let is_asked_for = asked("app_component").is_none_or(|component| component == COMPONENT);
    let line = |(name, values): (String, Vec<Value>)| {
        let metric =
            json!({ "app_component": COMPONENT, "app_component_instance": name, "app_uuid": app.id });
        json!({ "metric": metric, "values": values })
    };
    let lines: Vec<Value> = lines.into_iter().filter(|_| is_asked_for).map(line).collect();
    Ok(Answer::json(
        200,
        &json!({ "status": "success", "data": { "resultType": "matrix", "result": lines } }),
    ))
}

/// What the platform holds of the one component of an app.
pub(super) fn health(world: &World, place: usize) -> Answer {
    let (app, now) = (&world.model.apps[place], world.now());
    let component = app.vitals_at(now).map(|(_, vitals, _)| {
        let mut component = json!({
            "name": COMPONENT, "replicas_desired": 1,
            "cpu_usage_percent": vitals.cpu_percentage, "memory_usage_percent": vitals.memory_percentage,
        });
        match (vitals.healthy, world.model.unknowns.zeros) {
            (None, Zeros::Omitted) => {}
            (None, Zeros::Written) => component["state"] = json!("UNKNOWN"),
            (Some(healthy), _) => {
                component["state"] = json!(if healthy { "HEALTHY" } else { "UNHEALTHY" });
                component["replicas_ready"] = json!(i32::from(healthy));
            }
        }
        component
    });
    let components: Vec<Value> = component.into_iter().collect();
    Answer::json(200, &json!({ "app_health": { "components": components } }))
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
