//! The figures that Sevalla keeps of an app, a point a minute.

use std::collections::BTreeMap;
use std::ops::Range;

use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::http::{ANSWER_LIMIT, Ask, LIST_LIMIT, Method, Reply, Unreadable, Want, one_line};
use super::super::json::{each, lenient, list, millis, number, parse};
use super::super::{Answered, Measured, PlatformError, Series, Signal, operation};
use super::nature::Kind;
use super::{AT_ONCE, PAGE, Sevalla, wire};
use crate::ids::PlatformAppId;

/// Time from point to point, in seconds.
const INTERVAL: &str = "60";
/// The percentile of the time to answer.
const PERCENT: &str = "95";
/// The most of a series' name that is kept.
const LABEL: usize = 120;

impl Sevalla {
    pub(super) async fn requests(
        &self,
        app: &PlatformAppId,
        span: Range<i64>,
    ) -> Result<Answered<Measured>, PlatformError> {
        let query = query(&span, &[("interval_in_seconds", INTERVAL)]);
        self.of_its_kind(app, |kind| self.metric(kind, app, "status-codes", &query, by_status)).await
    }

    pub(super) async fn response_time(
        &self,
        app: &PlatformAppId,
        span: Range<i64>,
    ) -> Result<Answered<Measured>, PlatformError> {
        let query = query(&span, &[("interval_in_seconds", INTERVAL), ("percent", PERCENT)]);
        let read = |reply: &Reply| {
            let line =
                Series { component: String::new(), label: format!("p{PERCENT}"), points: points(reply)? };
            Ok(Measured { at_ms: reply.date_ms, series: vec![line] })
        };
        self.of_its_kind(app, |kind| self.metric(kind, app, "response-time", &query, read)).await
    }

    async fn metric<T>(
        &self,
        kind: Kind,
        app: &PlatformAppId,
        name: &str,
        query: &[(&str, String)],
        read: impl Fn(&Reply) -> Result<T, Unreadable>,
    ) -> Result<Answered<T>, PlatformError> {
        let path = [kind.collection(), app.as_str(), "metrics", name];
        self.figures(&path, query, read).await
    }

    /// One series a process. A static site has none.
    pub(super) async fn processes(
        &self,
        app: &PlatformAppId,
        signal: Signal,
        span: Range<i64>,
    ) -> Result<Answered<Measured>, PlatformError> {
        let (name, query) = match signal {
            Signal::Cpu => ("cpu-usage", query(&span, &[("interval_in_seconds", INTERVAL)])),
            Signal::Memory => ("memory-usage", query(&span, &[("interval_in_seconds", INTERVAL)])),
            // Each point is a process that ended: there is nothing to sum up.
            _ => ("exit-codes", query(&span, &[])),
        };
        let path = [Kind::Application.collection(), app.as_str(), "processes"];
        let limit = [("limit", PAGE.to_string())];
        let Answered { value: (at_ms, processes), status, request_id } = self
            .figures(&path, &limit, |reply| {
                let page = parse::<wire::Page>(reply)?;
                Ok((reply.date_ms, each(&page.data, "process", named)))
            })
            .await?;
        let reads: Vec<_> =
            processes.into_iter().map(|process| self.of_process(app, process, name, &query)).collect();
        let read: Vec<_> = stream::iter(reads).buffered(AT_ONCE).collect().await;
        let series: Result<Vec<Option<Series>>, PlatformError> = read.into_iter().collect();
        let value = Measured { at_ms, series: series?.into_iter().flatten().collect() };
        Ok(Answered { value, status, request_id })
    }

    /// `None` where the platform has no such figure: exit codes are younger than the rest.
    async fn of_process(
        &self,
        app: &PlatformAppId,
        (id, label): (String, String),
        name: &str,
        query: &[(&str, String)],
    ) -> Result<Option<Series>, PlatformError> {
        let path = [Kind::Application.collection(), app.as_str(), "processes", &id, "metrics", name];
        match self.figures(&path, query, points).await {
            Ok(Answered { value: points, .. }) => {
                Ok(Some(Series { component: label.clone(), label, points }))
            }
            Err(PlatformError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn figures<T>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        read: impl FnOnce(&Reply) -> Result<T, Unreadable>,
    ) -> Result<Answered<T>, PlatformError> {
        let want = Want::Body(if query.len() > 1 { LIST_LIMIT } else { ANSWER_LIMIT });
        self.http
            .call(Ask { operation: operation::SERIES, method: Method::Get, path, query, want }, read)
            .await
    }
}

fn query<'a>(span: &Range<i64>, more: &[(&'a str, &str)]) -> Vec<(&'a str, String)> {
    let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
    [("from", time(span.start)), ("to", time(span.end))].into_iter().chain(more).collect()
}

/// RFC 3339 with milliseconds, as the platform writes it.
fn time(ms: i64) -> String {
    // What is no time at all asks for the beginning of time.
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Process {
    #[serde(deserialize_with = "lenient")]
    id: String,
    #[serde(deserialize_with = "lenient")]
    key: String,
    #[serde(deserialize_with = "lenient")]
    display_name: String,
}

/// Its id and what it is called.
fn named(process: Process) -> Option<(String, String)> {
    let Process { id, key, display_name } = process;
    let name = [&display_name, &key, &id].into_iter().find(|name| !name.is_empty())?;
    let label = one_line(name, LABEL);
    (!id.is_empty()).then_some((id, label))
}

#[derive(Deserialize)]
struct Point<T> {
    #[serde(default, deserialize_with = "lenient")]
    time: String,
    value: T,
}

fn in_time<T: DeserializeOwned>(reply: &Reply) -> Result<Vec<(i64, T)>, Unreadable> {
    let mut points =
        each(&list(reply)?, "point", |point: Point<T>| Some((millis(&point.time)?, point.value)));
    points.sort_by_key(|(at, _)| *at);
    Ok(points)
}

/// A number at a time each, written as one or as a string.
fn points(reply: &Reply) -> Result<Vec<(i64, f64)>, Unreadable> {
    let points = in_time::<Value>(reply)?;
    Ok(points.into_iter().filter_map(|(at, value)| Some((at, number(&value)?))).collect())
}

/// `{"200": 150, "500": 3}` at a time each.
fn by_status(reply: &Reply) -> Result<Measured, Unreadable> {
    let mut statuses: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for (at, counts) in in_time::<BTreeMap<String, Value>>(reply)? {
        for (status, count) in counts {
            if let Some(count) = number(&count) {
                statuses.entry(one_line(&status, LABEL)).or_default().push((at, count));
            }
        }
    }
    let line = |(label, points)| Series { component: String::new(), label, points };
    Ok(Measured { at_ms: reply.date_ms, series: statuses.into_iter().map(line).collect() })
}
