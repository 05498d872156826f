//! What share of an app's requests failed between its newest two scrapes, by counters that a Prometheus server has.
//!
//! The raw points are asked for, and not a rate: each scrape counts once, at the time it was made, and a counter that began
//! anew is seen to. What cannot be told is Unknown: a server that does not answer, one that warns it knows a part, a clock
//! that disagrees with ours, no two scrapes, none lately ([`rounds`] has the rest).

mod rounds;

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::DATE;
use serde::Deserialize;
use serde::de::IgnoredAny;

use self::rounds::{Line, Round, newest};
use super::http::headers;
use super::network::Said;
use super::prometheus::{Prometheus, body, endpoint};
use crate::clock::Clock;
use crate::config::CountersAsk;
use crate::decision::sample::{BlindCause, Failure, SampleResult};
use crate::detection::counters::Step;

/// The clocks of this machine and of the server may be so far apart: a header has whole seconds, and a scrape that is taken
/// for later or sooner than it was speaks for the wrong release.
const SKEW: Duration = Duration::from_secs(5);
/// Errors are looked for so much longer: that a counter was there before the requests' scrapes has to be seen.
const FURTHER: Duration = Duration::from_secs(60);

/// Asks for both kinds of counters, requests first: the errors of their scrapes are there then.
pub(super) async fn ask(prometheus: &Prometheus, ask: &CountersAsk, clock: &dyn Clock) -> Said {
    match share(prometheus, ask, clock).await {
        Ok((share, age)) => {
            let step = Step::of(share);
            let result = match ask.at_most {
                Some(most) if share > most => SampleResult::Bad(Failure::Share(step)),
                _ => SampleResult::Share(step),
            };
            Said { result, age: Some(age) }
        }
        Err(cause) => Said::now(SampleResult::Unknown(cause)),
    }
}

async fn share(
    prometheus: &Prometheus,
    ask: &CountersAsk,
    clock: &dyn Clock,
) -> Result<(f64, Duration), BlindCause> {
    let requests = lines(prometheus, ask, (&ask.requests, ask.max_age), clock).await?;
    let errors = lines(prometheus, ask, (&ask.errors, ask.max_age + FURTHER), clock).await?;
    if errors.is_empty() && !ask.none_is_good {
        return Err(BlindCause::Absent);
    }
    let Round { at, interval, requests, errors } = newest(&requests, &errors)?;
    let age = clock.wall().as_millisecond().saturating_sub(at);
    // Scrapes that are due did not come.
    if age > interval * 5 / 2 + 1_000 {
        return Err(BlindCause::Absent);
    }
    let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
    if requests <= 0.0 || requests < f64::from(ask.min_requests) {
        return Err(BlindCause::Absent);
    }
    Ok(((errors / requests).min(1.0), age))
}

/// The points of what `selector` names, as far back as that.
async fn lines(
    prometheus: &Prometheus,
    ask: &CountersAsk,
    (selector, back): (&str, Duration),
    clock: &dyn Clock,
) -> Result<Vec<Line>, BlindCause> {
    let nothing = BlindCause::Source;
    let query = format!("{selector}[{}s]", back.as_secs());
    let mut url = endpoint(&ask.url);
    url.query_pairs_mut().append_pair("query", &query);
    let request = prometheus.client.get(url).headers(headers(&ask.headers).ok_or(nothing)?);
    let response = request.send().await.map_err(|_| nothing)?;
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
    let body = body(response).await.ok_or(nothing)?;
    let envelope: Envelope = serde_json::from_slice(&body).map_err(|_| nothing)?;
    let key = format!("{} {query}", ask.url);
    if envelope.status != "success" {
        if let Some(complaint) = envelope.error {
            prometheus.refused(key, &query, &complaint);
        }
        return Err(nothing);
    }
    prometheus.taken(&key);
    let date = date.and_then(|date| date_of(&date)).ok_or(nothing)?;
    if clock.wall().duration_since(date).unsigned_abs() > SKEW {
        return Err(BlindCause::Clock);
    }
    match envelope.data {
        Some(Data::Matrix(series)) if envelope.warnings.is_empty() => {
            series.into_iter().map(|series| line(series).ok_or(nothing)).collect()
        }
        _ => Err(nothing),
    }
}

/// A date as HTTP has it.
fn date_of(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<Data>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Matrix(Vec<Series>),
    Vector(IgnoredAny),
    Scalar(IgnoredAny),
    String(IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// The points of a series in milliseconds, if they are such.
fn line(series: Series) -> Option<Line> {
    let point = |(at, text): (f64, String)| {
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0)?;
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970")]
        let at = (at * 1_000.0).round() as i64;
        Some((at, value))
    };
    let line: Line = series.values.into_iter().map(point).collect::<Option<_>>()?;
    line.is_sorted_by(|one, next| one.0 < next.0).then_some(line)
}

#[cfg(test)]
mod tests;
