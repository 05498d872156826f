//! The points of counters, as a Prometheus server has them: asked for, and read.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::DATE;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::rounds::Line;
use crate::clock::Clock;
use crate::config::CountersAsk;
use crate::platform::http::one_line;
use crate::probe::http::headers;
use crate::probe::prometheus::{
    COMPLAINT, Cut, IN_PART, NO_CONNECTION, NOT_PROMETHEUS, Prometheus, TOO_LONG, body, endpoint,
};

/// The clocks of this machine and of the server may be so far apart: a header has whole seconds, and a scrape that is taken
/// for later or sooner than it was speaks for the wrong release.
pub(super) const SKEW: Duration = Duration::from_secs(5);

/// What the server calls an error that is due to how much was asked for.
const EXECUTION: &str = "execution";

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) ask: &'a CountersAsk,
    /// Which counters.
    pub(super) selector: &'a str,
    /// How far back.
    pub(super) back: Duration,
    /// Until when, in milliseconds since 1970, where that is not now.
    pub(super) until: Option<i64>,
    /// The most of an answer that is read.
    pub(super) most: usize,
}

/// Why there are no points.
#[derive(Debug, PartialEq)]
pub(super) enum Trouble {
    /// The server does not answer, or breaks off.
    Silent,
    /// Its answer is none.
    Nonsense,
    /// It does not take the query, in its words.
    Refused(String),
    /// They are too many for it, in its words, or for us.
    TooMuch(Option<String>),
    /// It warns that it knows a part.
    Partial,
    /// Its clock disagrees with ours.
    Clock,
}

/// An answer that is not read yet.
pub(super) struct Answer {
    body: Vec<u8>,
    /// How far its clock is from ours, where it says what time it is.
    off: Option<Duration>,
}

impl Question<'_> {
    /// The query, without the time.
    pub(super) fn query(&self) -> String {
        format!("{}[{}s]", self.selector, self.back.as_secs())
    }

    /// Asks.
    pub(super) async fn put(&self, prometheus: &Prometheus, clock: &dyn Clock) -> Result<Answer, Trouble> {
        let mut url = endpoint(&self.ask.url);
        url.query_pairs_mut().append_pair("query", &self.query());
        if let Some(until) = self.until {
            let time = format!("{}.{:03}", until.div_euclid(1_000), until.rem_euclid(1_000));
            url.query_pairs_mut().append_pair("time", &time);
        }
        let headers = headers(&self.ask.headers).ok_or(Trouble::Silent)?;
        let response =
            prometheus.client.get(url).headers(headers).send().await.map_err(|_| Trouble::Silent)?;
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(date_of);
        let off = date.map(|date| clock.wall().duration_since(date).unsigned_abs());
        match body(response, self.most).await {
            Ok(body) => Ok(Answer { body, off }),
            Err(Cut::TooLong) => Err(Trouble::TooMuch(None)),
            Err(Cut::Broken) => Err(Trouble::Silent),
        }
    }
}

impl Trouble {
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Refused(complaint) | Self::TooMuch(Some(complaint)) => complaint.clone(),
            Self::TooMuch(None) => TOO_LONG.to_owned(),
            Self::Silent => NO_CONNECTION.to_owned(),
            Self::Nonsense => NOT_PROMETHEUS.to_owned(),
            Self::Partial => IN_PART.to_owned(),
            Self::Clock => "its clock and ours are too far apart".to_owned(),
        }
    }
}

impl Answer {
    /// Reads it: the points of each series, oldest first.
    pub(super) fn read(&self) -> Result<Vec<Line>, Trouble> {
        let envelope: Envelope<'_> = serde_json::from_slice(&self.body).map_err(|_| Trouble::Nonsense)?;
        if envelope.status != "success" {
            let complaint = envelope.error.map(|complaint| one_line(&complaint, COMPLAINT));
            return Err(match (envelope.kind.as_deref(), complaint) {
                (_, None) => Trouble::Nonsense,
                (Some(EXECUTION), complaint) => Trouble::TooMuch(complaint),
                (_, Some(complaint)) => Trouble::Refused(complaint),
            });
        }
        match self.off {
            None => return Err(Trouble::Nonsense),
            Some(off) if off > SKEW => return Err(Trouble::Clock),
            Some(_) => {}
        }
        match envelope.data {
            Some(Data::Matrix(series)) if envelope.warnings.is_empty() => {
                series.into_iter().map(|series| line(series).ok_or(Trouble::Nonsense)).collect()
            }
            Some(Data::Matrix(_)) => Err(Trouble::Partial),
            _ => Err(Trouble::Nonsense),
        }
    }
}

/// A date as HTTP has it.
fn date_of(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[derive(Deserialize)]
struct Envelope<'a> {
    status: String,
    #[serde(borrow)]
    data: Option<Data<'a>>,
    #[serde(rename = "errorType")]
    kind: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data<'a> {
    #[serde(borrow)]
    Matrix(Vec<Series<'a>>),
    Vector(IgnoredAny),
    Scalar(IgnoredAny),
    String(IgnoredAny),
}

#[derive(Deserialize)]
pub(super) struct Series<'a> {
    /// Numbers as text, which has nothing in it that is written otherwise in JSON.
    #[serde(default, borrow)]
    pub(super) values: Vec<(f64, &'a str)>,
}

/// The points of a series in milliseconds, if they are such.
pub(super) fn line(series: Series<'_>) -> Option<Line> {
    let point = |(at, text): (f64, &str)| {
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0)?;
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970")]
        let at = (at * 1_000.0).round() as i64;
        Some((at, value))
    };
    let line: Line = series.values.into_iter().map(point).collect::<Option<_>>()?;
    line.is_sorted_by(|one, next| one.0 < next.0).then_some(line)
}
