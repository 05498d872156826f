//! A figure that a Prometheus server has of the app: one instant query, held against limits.
//!
//! A server that does not answer, or refuses the query, says nothing of the app: the sample is Unknown. So is, unless the
//! operator said otherwise, an answer without a number: no series, none that is younger than `max_age`, or only NaN.
//! Every series has to be within the limits, so that one instance of several is seen. The API:
//! <https://prometheus.io/docs/prometheus/latest/querying/api/>.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use reqwest::{Client, Response};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::Semaphore;
use url::Url;

use super::http::headers;
use crate::config::span::spoken;
use crate::config::{Absent, Ask, CountersAsk, PrometheusAsk};
use crate::decision::sample::{BlindCause, Failure, SampleResult};
use crate::platform::http::one_line;

/// The most of an answer that is read: thousands of series, where one is meant.
pub(super) const ANSWER_MAX: usize = 1024 * 1024;

/// The most of a server's complaint that is told.
pub(super) const COMPLAINT: usize = 200;

/// How many ask for what servers have of the past, at once: such an answer may be long.
const PASTS: usize = 2;

/// Asks Prometheus servers.
pub(super) struct Prometheus {
    pub(super) client: Client,
    /// Whose turn it is to ask for the past.
    pub(super) turns: Semaphore,
    /// What was told last of queries that come to nothing.
    told: Mutex<BTreeMap<String, String>>,
}

/// Why an answer is not whole.
pub(super) enum Cut {
    /// It is longer than it may be.
    TooLong,
    /// It broke off.
    Broken,
}

/// What a server says.
#[derive(Debug, PartialEq)]
enum Answer {
    /// The newest value of each series, and whether the server warns that some of them may be missing.
    Values(Vec<f64>, Coverage),
    /// It does not take the query, in its words.
    Refused(String),
    /// Nothing that can be understood, or nothing at all.
    None(&'static str),
}

/// Why there is no answer.
pub(super) const NO_CONNECTION: &str = "no connection, or none that lasts";
pub(super) const NO_ANSWER: &str = "no answer in time";
pub(super) const NOT_PROMETHEUS: &str = "an answer that no Prometheus gives, such as a page of HTML";
pub(super) const TOO_LONG: &str = "an answer that is too long: select fewer series";
pub(super) const IN_PART: &str = "some series may be missing, as the server warns";

/// Whether a server says all it should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coverage {
    Whole,
    /// It warns, as one does that reads from several stores of which one is down.
    Partial,
}

impl Prometheus {
    pub(super) fn new(client: Client) -> Self {
        Self { client, turns: Semaphore::new(PASTS), told: Mutex::default() }
    }

    /// Asks, and holds the answer against the limits.
    pub(super) async fn query(&self, ask: &PrometheusAsk) -> SampleResult {
        let answer = answer(&self.client, ask).await;
        let result = match &answer {
            Answer::Values(values, _) => judge(ask, values),
            Answer::Refused(_) | Answer::None(_) => SampleResult::Unknown(BlindCause::Source),
        };
        let why = match (&answer, result) {
            (Answer::Refused(complaint), _) => complaint.clone(),
            (Answer::None(why), _) => (*why).to_owned(),
            (Answer::Values(_, Coverage::Partial), SampleResult::Bad(_)) => {
                self.comes_to_nothing(key(ask), &ask.query, IN_PART);
                return SampleResult::Unknown(BlindCause::Source);
            }
            (Answer::Values(values, _), SampleResult::Unknown(_)) if values.is_empty() => {
                format!("no series, or none with a value of the last {}", spoken(ask.max_age))
            }
            (Answer::Values(..), SampleResult::Unknown(_)) => "no number, only NaN".to_owned(),
            (Answer::Values(..), _) => {
                self.comes_to_something(&key(ask));
                return result;
            }
        };
        self.comes_to_nothing(key(ask), &ask.query, &why);
        result
    }

    /// There was no answer in time.
    pub(super) fn was_silent(&self, ask: &Ask) {
        match ask {
            Ask::Prometheus(ask) => self.comes_to_nothing(key(ask), &ask.query, NO_ANSWER),
            Ask::Counters(ask) => {
                self.comes_to_nothing(counted(ask, &ask.requests), &ask.requests, NO_ANSWER);
            }
            _ => {}
        }
    }

    /// Why what is asked comes to nothing now, as it was told.
    pub(super) fn complaint(&self, ask: &Ask) -> Option<String> {
        let keys = match ask {
            Ask::Prometheus(ask) => vec![key(ask)],
            Ask::Counters(ask) => vec![counted(ask, &ask.errors), counted(ask, &ask.requests)],
            _ => Vec::new(),
        };
        let told = self.told();
        keys.iter().find_map(|key| told.get(key).cloned())
    }

    /// Tells why a query comes to nothing, in the server's words where it has some: once, until it is for another reason.
    pub(super) fn comes_to_nothing(&self, key: String, query: &str, why: &str) {
        let why = one_line(why, COMPLAINT);
        if self.told().get(&key) != Some(&why) {
            tracing::warn!(query, "failed to learn anything from Prometheus: {why}");
            self.told().insert(key, why);
        }
    }

    /// A query comes to something: the next time that it does not is news.
    pub(super) fn comes_to_something(&self, key: &str) {
        self.told().remove(key);
    }

    fn told(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(ask: &PrometheusAsk) -> String {
    format!("{} {}", ask.url, ask.query)
}

/// One of the two that are counted.
pub(super) fn counted(ask: &CountersAsk, selector: &str) -> String {
    format!("{} {selector}", ask.url)
}

fn judge(ask: &PrometheusAsk, values: &[f64]) -> SampleResult {
    let mut numbers = values.iter().filter(|value| !value.is_nan()).peekable();
    if numbers.peek().is_none() {
        return match ask.absent {
            Absent::Unknown => SampleResult::Unknown(BlindCause::Absent),
            Absent::Good => SampleResult::Good,
            Absent::Bad => SampleResult::Bad(Failure::Absent),
        };
    }
    if numbers.all(|number| ask.limits.hold(*number)) {
        SampleResult::Good
    } else {
        SampleResult::Bad(Failure::Value)
    }
}

async fn answer(client: &Client, ask: &PrometheusAsk) -> Answer {
    let Some(headers) = headers(&ask.headers) else { return Answer::None("headers that cannot be sent") };
    let request = client.get(address(ask)).headers(headers);
    let Ok(response) = request.send().await else { return Answer::None(NO_CONNECTION) };
    match body(response, ANSWER_MAX).await {
        Ok(body) => read(&body),
        Err(Cut::Broken) => Answer::None(NO_CONNECTION),
        Err(Cut::TooLong) => Answer::None(TOO_LONG),
    }
}

/// Where queries are asked.
pub(super) fn endpoint(server: &Url) -> Url {
    let mut url = server.clone();
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}/api/v1/query"));
    url
}

/// Where the query is asked. The age of the newest value is the server's to judge: it knows when it was scraped.
fn address(ask: &PrometheusAsk) -> Url {
    let mut url = endpoint(&ask.url);
    let age = format!("{}s", ask.max_age.as_secs());
    url.query_pairs_mut().append_pair("query", &ask.query).append_pair("lookback_delta", &age);
    url
}

/// The whole answer, if it is no longer than that.
pub(super) async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, Cut> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|_| Cut::Broken)? {
        body.extend_from_slice(&piece);
        if body.len() > most {
            return Err(Cut::TooLong);
        }
    }
    Ok(body)
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
    Vector(Vec<Series>),
    Matrix(Vec<Series>),
    Scalar(Point),
    String(IgnoredAny),
}

/// A series: with one value, or, of a range vector, with many, the newest last.
#[derive(Deserialize)]
struct Series {
    value: Option<Point>,
    #[serde(default)]
    values: Vec<Point>,
}

/// A time and a value, which is text so that it may be NaN.
type Point = (IgnoredAny, String);

fn read(body: &[u8]) -> Answer {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(body) else { return Answer::None(NOT_PROMETHEUS) };
    let number = |(_, text): Point| text.parse::<f64>().ok();
    let newest = |series: Series| series.value.or(series.values.into_iter().next_back()).and_then(number);
    let values: Option<Vec<f64>> = match envelope.data {
        Some(Data::Vector(series) | Data::Matrix(series)) => series.into_iter().map(newest).collect(),
        Some(Data::Scalar(point)) => number(point).map(|value| vec![value]),
        Some(Data::String(_)) => return Answer::Refused("the query gives text, and no number".to_owned()),
        None => None,
    };
    match (envelope.status.as_str(), values, envelope.error) {
        ("success", Some(values), _) if envelope.warnings.is_empty() => {
            Answer::Values(values, Coverage::Whole)
        }
        ("success", Some(values), _) => Answer::Values(values, Coverage::Partial),
        ("error", _, Some(error)) => Answer::Refused(error),
        _ => Answer::None(NOT_PROMETHEUS),
    }
}

#[cfg(test)]
mod tests;
