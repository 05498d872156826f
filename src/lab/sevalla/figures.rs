//! What the platform counts of an application: the answers of its site, and those to users who ask it once a second
//! whether anybody looks or not. All of it follows from what was live, and when.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use url::form_urlencoded;

use super::render::rfc3339;
use super::route::Figure;
use crate::lab::app::{App, Deployment};
use crate::lab::model::Refusal;
use crate::lab::request::Request;

/// The longest time that can be asked for, in seconds \[a bound of the lab's own\].
const LONGEST: i64 = 24 * 3600;

/// A user's request takes this long where the release is not slow, in milliseconds.
const QUICK_MS: u64 = 20;

/// The time that is asked about, in Unix seconds, and how it is cut.
struct Span {
    from: i64,
    to: i64,
    interval: i64,
    limit: usize,
    /// As in "p95"; the mean when absent.
    percent: Option<u64>,
}

/// Some answers that were alike.
#[derive(Clone, Copy)]
struct Sample {
    status: u16,
    latency_ms: u64,
    count: u64,
}

/// The figure as of `now` (milliseconds), or why it cannot be asked for like this.
pub(super) fn figure(app: &App, figure: Figure, request: &Request<'_>, now: i64) -> Result<Value, Refusal> {
    let span = span(figure, request.query)?;
    let points = points(app, &span, now);
    Ok(match figure {
        Figure::StatusCodes => series(&points, |samples| json!(by_status(samples.iter()))),
        Figure::ResponseTime => series(&points, |samples| json!(latency(samples, span.percent))),
        Figure::AverageResponseTime => {
            let all: Vec<Sample> = points.into_values().flatten().collect();
            json!({ "average_response_time_ms": latency(&all, None) })
        }
        Figure::RequestsPerMinute => {
            series(&points, |samples| json!(per_second(samples, span.interval) * 60.0))
        }
        Figure::TopStatusCodes => top(by_status(points.values().flatten()), span.limit),
        Figure::CpuUsage => {
            series(&points, |samples| json!(0.02 + per_second(samples, span.interval) / 200.0))
        }
        Figure::CpuLimit => series(&points, |_| json!(0.5)),
        Figure::MemoryUsage => series(&points, |samples| json!((128 << 20) + requests(samples) * 1024)),
        Figure::MemoryLimit => series(&points, |_| json!(512 << 20)),
        Figure::InstanceCount => series(&points, |_| json!(1)),
        Figure::ExitCodes => exits(app, &points, &span, now),
    })
}

fn span(figure: Figure, query: &str) -> Result<Span, Refusal> {
    let bad = |message: &str| Refusal::new(400, message);
    let text = |key| form_urlencoded::parse(query.as_bytes()).find(|(k, _)| k == key).map(|(_, v)| v);
    let moment = |key| {
        let moment = text(key).and_then(|text| text.parse::<jiff::Timestamp>().ok());
        moment.map(jiff::Timestamp::as_second).ok_or_else(|| bad("from and to must be times"))
    };
    let number = |key| match text(key) {
        None => Ok(None),
        Some(text) => text.parse::<i64>().map(Some).map_err(|_| bad("a number was expected")),
    };
    let (from, to) = (moment("from")?, moment("to")?);
    if to - from > LONGEST {
        return Err(bad("the time is too long"));
    }
    let interval = match number("interval_in_seconds")? {
        None if figure.needs_interval() => return Err(bad("interval_in_seconds is required")),
        Some(..1) => return Err(bad("interval_in_seconds must be positive")),
        interval => interval.unwrap_or(60),
    };
    let percent = number("percent")?;
    if percent.is_some_and(|percent| !(1..=99).contains(&percent)) {
        return Err(bad("percent must be from 1 to 99"));
    }
    let limit = number("limit")?.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(10);
    Ok(Span { from, to, interval, limit, percent: percent.and_then(|percent| u64::try_from(percent).ok()) })
}

/// The answers by the start of their interval, up to now; where there were none there is no point.
fn points(app: &App, span: &Span, now: i64) -> BTreeMap<i64, Vec<Sample>> {
    let to = span.to.min(now.div_euclid(1000));
    let of_users = (span.from..to).filter_map(|second| Some((second, of_a_user(app, second)?)));
    let of_the_site = app.traffic.between(span.from, to).map(|answers| {
        let latency_ms = QUICK_MS + answers.reply.latency_ms;
        let sample = Sample { status: answers.reply.status, latency_ms, count: answers.count.into() };
        (answers.second, sample)
    });
    let mut points: BTreeMap<i64, Vec<Sample>> = BTreeMap::new();
    for (second, sample) in of_users.chain(of_the_site) {
        let start = second - (second - span.from).rem_euclid(span.interval);
        points.entry(start).or_default().push(sample);
    }
    points
}

/// What a user was answered in that second, if anything was live.
fn of_a_user(app: &App, second: i64) -> Option<Sample> {
    let (at, nth) = (second * 1000, u64::try_from(second).unwrap_or(0));
    let went_live = |row: &&Deployment| row.live_ms.filter(|live| *live <= at);
    let live = app.deployments.iter().filter(|row| went_live(row).is_some()).max_by_key(went_live)?;
    let imposed = app.imposed.filter(|(_, since)| *since <= at);
    let (health, since) = imposed.unwrap_or_else(|| (live.health(), live.live_ms.unwrap_or(at)));
    let reply = health.reply(nth, at - since);
    Some(Sample { status: reply.status, latency_ms: QUICK_MS + nth % 7 + reply.latency_ms, count: 1 })
}

fn series(points: &BTreeMap<i64, Vec<Sample>>, value: impl Fn(&[Sample]) -> Value) -> Value {
    let point = |(start, samples): (&i64, &Vec<Sample>)| json!({ "time": rfc3339(start * 1000), "value": value(samples) });
    points.iter().map(point).collect()
}

fn requests(samples: &[Sample]) -> u64 {
    samples.iter().map(|sample| sample.count).sum()
}

fn per_second(samples: &[Sample], interval: i64) -> f64 {
    requests(samples) as f64 / interval as f64
}

fn by_status<'a>(samples: impl Iterator<Item = &'a Sample>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for sample in samples {
        *counts.entry(sample.status.to_string()).or_default() += sample.count;
    }
    counts
}

/// The most frequent first.
fn top(counts: BTreeMap<String, u64>, limit: usize) -> Value {
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
        .into_iter()
        .take(limit)
        .map(|(status, total)| json!({ "status": status, "total": total }))
        .collect()
}

/// Milliseconds \[inferred: the unit\].
fn latency(samples: &[Sample], percent: Option<u64>) -> f64 {
    let all = requests(samples);
    let Some(percent) = percent else {
        let total: u64 = samples.iter().map(|sample| sample.latency_ms * sample.count).sum();
        return total as f64 / all.max(1) as f64;
    };
    let mut sorted = samples.to_vec();
    sorted.sort_by_key(|sample| sample.latency_ms);
    let mut seen = 0;
    let reaches = |sample: &&Sample| {
        seen += sample.count;
        seen * 100 >= all * percent
    };
    sorted.iter().find(reaches).map_or(0.0, |sample| sample.latency_ms as f64)
}

/// A process that answers 5xx dies of it, once an interval; and one dies as its release says.
fn exits(app: &App, points: &BTreeMap<i64, Vec<Sample>>, span: &Span, now: i64) -> Value {
    let failed = points.iter().filter(|(_, samples)| samples.iter().any(|sample| sample.status >= 500));
    let mut exits: Vec<(i64, &str)> = failed.map(|(start, _)| (start * 1000, "137")).collect();
    let died = app.deaths(span.from * 1000, (span.to * 1000).min(now));
    exits.extend(died.into_iter().map(|at| (at, "1")));
    exits.sort_unstable();
    exits
        .into_iter()
        .map(|(at, code)| json!({ "time": rfc3339(at), "value": code, "description": null }))
        .collect()
}
