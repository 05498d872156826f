//! The figures that DigitalOcean keeps: of an app over time, of an app's day, of the account.

use std::ops::Range;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::super::http::{ANSWER_LIMIT, Ask, LIST_LIMIT, Method, Reply, Unreadable, Want};
use super::super::json::{Count, Object, detail, each, lenient, missing, number, parse};
use super::super::{Answered, Bandwidth, Measured, PlatformError, Series, Signal, operation};
use super::DigitalOcean;
use crate::decision::capability::Signals;
use crate::ids::PlatformAppId;
use crate::platform::http::one_line;

/// What `/v2/monitoring/metrics/apps` has, and what the app says of its components. Requests, latency and errors exist as
/// alert rules only.
pub(super) const SIGNALS: Signals =
    Signals::of(&[Signal::Cpu, Signal::Memory, Signal::Restarts, Signal::Health]);

/// Apps asked for at once: the API's maximum (`app_metrics_bandwidth_usage_request.app_ids`, `maxItems`).
const APPS_AT_ONCE: usize = 100;
/// The most of a series' name that is kept.
const LABEL: usize = 120;

impl DigitalOcean {
    /// Cpu and memory in percent of what the component may use.
    pub(super) async fn metric(
        &self,
        app: &PlatformAppId,
        signal: Signal,
        span: Range<i64>,
    ) -> Result<Answered<Measured>, PlatformError> {
        let name = match signal {
            Signal::Cpu => "cpu_percentage",
            Signal::Memory => "memory_percentage",
            Signal::Restarts => "restart_count",
            _ => return Err(PlatformError::Unsupported(operation::SERIES)),
        };
        let seconds = |ms: i64| ms.div_euclid(1000).to_string();
        let ask = Ask {
            operation: operation::SERIES,
            method: Method::Get,
            path: &["v2", "monitoring", "metrics", "apps", name],
            query: &[("app_id", app.to_string()), ("start", seconds(span.start)), ("end", seconds(span.end))],
            want: Want::Body(LIST_LIMIT),
        };
        self.http.call(ask, matrix).await
    }

    /// What the platform holds of each component now; of one whose state is not a word we know it does not say.
    pub(super) async fn health(&self, app: &PlatformAppId) -> Result<Answered<Measured>, PlatformError> {
        let ask = Ask {
            operation: operation::SERIES,
            method: Method::Get,
            path: &["v2", "apps", app.as_str(), "health"],
            query: &[],
            want: Want::Body(ANSWER_LIMIT),
        };
        self.http.call(ask, components).await
    }

    /// In as few calls as it takes, all of them for the day that the first one is of. An answer for another day, or for
    /// one that it does not name, tells nothing of that day, so its figures are left out.
    pub(super) async fn daily(&self, apps: &[PlatformAppId]) -> Result<Answered<Bandwidth>, PlatformError> {
        let mut all =
            Answered { value: Bandwidth { day: None, apps: Vec::new() }, status: 200, request_id: None };
        for some in apps.chunks(APPS_AT_ONCE) {
            let ids: Vec<&str> = some.iter().map(PlatformAppId::as_str).collect();
            let body = match all.value.day {
                Some(day) => json!({ "app_ids": ids, "date": format!("{day}T00:00:00Z") }),
                None => json!({ "app_ids": ids }),
            };
            let ask = Ask {
                operation: operation::BANDWIDTH,
                method: Method::Lookup(body),
                path: &["v2", "apps", "metrics", "bandwidth_daily"],
                query: &[],
                want: Want::Body(ANSWER_LIMIT),
            };
            let Answered { value, status, request_id } = self.http.call(ask, bandwidth).await?;
            (all.status, all.request_id) = (status, request_id);
            let Some(day) = value.day else { continue };
            if *all.value.day.get_or_insert(day) == day {
                all.value.apps.extend(value.apps);
            }
        }
        Ok(all)
    }

    /// As of the most recent billing: the month's usage so far is not in it.
    pub(super) async fn account_balance(&self) -> Result<Answered<f64>, PlatformError> {
        let ask = Ask {
            operation: operation::BALANCE,
            method: Method::Get,
            path: &["v2", "customers", "my", "balance"],
            query: &[],
            want: Want::Body(ANSWER_LIMIT),
        };
        self.http
            .call(ask, |reply| {
                let answer: Balance = parse(reply)?;
                number(&answer.account_balance).ok_or_else(|| missing("a balance"))
            })
            .await
    }
}

/// `GET /v2/monitoring/metrics/apps/...`, in the words of Prometheus.
#[derive(Deserialize)]
struct Matrix<'a> {
    #[serde(borrow)]
    data: Object<MatrixData<'a>>,
}

#[derive(Deserialize)]
struct MatrixData<'a> {
    #[serde(borrow)]
    result: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    #[serde(deserialize_with = "detail")]
    metric: Names,
    #[serde(deserialize_with = "lenient")]
    values: Vec<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Names {
    #[serde(deserialize_with = "lenient")]
    app_component: String,
    #[serde(deserialize_with = "lenient")]
    app_component_instance: String,
}

fn matrix(reply: &Reply) -> Result<Measured, Unreadable> {
    let Matrix { data: Object(MatrixData { result }) } = parse(reply)?;
    let series = each(&result, "series", |line: Line| {
        let Names { app_component, app_component_instance } = line.metric;
        let name = [&app_component_instance, &app_component].into_iter().find(|name| !name.is_empty());
        let label = one_line(name.unwrap_or(&app_component), LABEL);
        let mut points: Vec<(i64, f64)> = line.values.iter().filter_map(point).collect();
        points.sort_by_key(|(at, _)| *at);
        Some(Series { component: one_line(&app_component, LABEL), label, points })
    });
    Ok(Measured { at_ms: reply.date_ms, series })
}

/// `GET /v2/apps/{id}/health`. The description's own example leaves the envelope out.
#[derive(Deserialize)]
struct AppHealth<'a> {
    #[serde(borrow)]
    app_health: Option<Object<Components<'a>>>,
    #[serde(borrow)]
    components: Option<Vec<&'a RawValue>>,
}

/// An empty list may be left out.
#[derive(Deserialize)]
struct Components<'a> {
    #[serde(borrow, default)]
    components: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ComponentHealth {
    #[serde(deserialize_with = "lenient")]
    name: String,
    #[serde(deserialize_with = "lenient")]
    state: String,
}

fn components(reply: &Reply) -> Result<Measured, Unreadable> {
    let AppHealth { app_health, components } = parse(reply)?;
    let list = app_health.map(|Object(wrapped)| wrapped.components).or(components);
    let list = list.ok_or_else(|| missing("a list of components"))?;
    let series = each(&list, "component", |component: ComponentHealth| {
        let name = one_line(&component.name, LABEL);
        let held = match component.state.as_str() {
            "HEALTHY" => Some(1.0),
            "UNHEALTHY" => Some(0.0),
            _ => None,
        };
        let points = reply.date_ms.zip(held).into_iter().collect();
        Some(Series { component: name.clone(), label: name, points })
    });
    Ok(Measured { at_ms: reply.date_ms, series })
}

/// `[1635386880, "0.25"]`, with a fraction of a second where there is one.
fn point(pair: &serde_json::Value) -> Option<(i64, f64)> {
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of this age fit, the rest is cut off")]
    let millis = |seconds: f64| (seconds * 1000.0).round() as i64;
    Some((millis(number(pair.get(0)?)?), number(pair.get(1)?)?))
}

#[derive(Deserialize)]
struct Daily<'a> {
    #[serde(borrow)]
    app_bandwidth_usage: Option<Vec<&'a RawValue>>,
    #[serde(default, deserialize_with = "lenient")]
    date: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    #[serde(deserialize_with = "lenient")]
    app_id: String,
    #[serde(deserialize_with = "lenient")]
    bandwidth_bytes: Option<Count>,
}

fn bandwidth(reply: &Reply) -> Result<Bandwidth, Unreadable> {
    let daily: Daily = parse(reply)?;
    // An empty list may be left out, as all zero values; an answer without a day either is none.
    let list = daily.app_bandwidth_usage.or_else(|| (!daily.date.is_empty()).then(Vec::new));
    let apps = each(&list.ok_or_else(|| missing("a list of figures"))?, "bandwidth", |usage: Usage| {
        let bytes = u64::try_from(usage.bandwidth_bytes?.0).ok()?;
        (!usage.app_id.is_empty()).then(|| (PlatformAppId::from(usage.app_id), bytes))
    });
    // "Only the date component of the timestamp" means anything.
    Ok(Bandwidth { day: daily.date.get(..10).and_then(|day| day.parse().ok()), apps })
}

/// `GET /v2/customers/my/balance`: money comes as a string.
#[derive(Deserialize)]
struct Balance {
    #[serde(default)]
    account_balance: serde_json::Value,
}
