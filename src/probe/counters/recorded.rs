//! What a question at each moment of the past would have found: for who has just begun to ask.
//!
//! One question for the points of both kinds of counters, as far back as is wanted. What is too much for one answer is asked
//! for half as far back. The scrapes are gone through by the code that reads the newest ones, as if the later ones were not
//! there yet.

use std::time::Duration;

use super::points::{Question, SKEW, Trouble};
use super::rounds::{Line, Point, ending};
use super::{FURTHER, judged};
use crate::clock::{Clock, Moment};
use crate::config::CountersAsk;
use crate::decision::sample::Sample;
use crate::probe::prometheus::Prometheus;

/// The most of an answer that is read: the scrapes of fifty counters in a day, one every fifteen seconds.
const ANSWER_MAX: usize = 8 * 1024 * 1024;
/// What is said of a longer one.
const TOO_LONG: &str = "it is longer than 8 MiB";
/// How often it is asked for half as much: an hour and a half of a day.
const HALVINGS: u32 = 4;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Moments that are gone through at most: of more nothing is kept.
const MOST: usize = 6_000;

/// Why nothing is known of the past.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// No answer, or none in time.
    #[error("get an answer of the server within {} s", PATIENCE.as_secs())]
    Silent,
    /// An answer without counters in it.
    #[error("find counters in the server's answer")]
    Nonsense,
    /// The server does not take the question.
    #[error("have the query taken, which the server refuses: {0}")]
    Refused(String),
    /// Even the least that is asked for is too much.
    #[error("get even an hour or two of it in one answer, select fewer series: {0}")]
    TooMuch(String),
    /// Nobody knows what is missing.
    #[error("get more than a part, as the server warns")]
    Partial,
    /// Its times mean other times here.
    #[error("agree with the server on the time: the clocks are more than {} s apart", SKEW.as_secs())]
    Clock,
}

impl From<Trouble> for RecordError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Silent => Self::Silent,
            Trouble::Nonsense => Self::Nonsense,
            Trouble::Refused(complaint) => Self::Refused(complaint),
            Trouble::TooMuch(complaint) => Self::TooMuch(complaint.unwrap_or_else(|| TOO_LONG.to_owned())),
            Trouble::Partial => Self::Partial,
            Trouble::Clock => Self::Clock,
        }
    }
}

/// The samples of that time, oldest first: of its newest part, where there is a limit to what is told at once.
pub(in crate::probe) async fn recorded(
    prometheus: &Prometheus,
    ask: &CountersAsk,
    (from, to): (Moment, Moment),
    clock: &dyn Clock,
) -> Result<Vec<Sample>, RecordError> {
    let mut halved = 0;
    loop {
        let back = to.since(from) / 2_u32.pow(halved);
        match tokio::time::timeout(PATIENCE, once(prometheus, ask, (back, to), clock)).await {
            Ok(Err(Trouble::TooMuch(_))) if halved < HALVINGS => halved += 1,
            Ok(answer) => return answer.map_err(RecordError::from),
            Err(_) => return Err(RecordError::Silent),
        }
    }
}

async fn once(
    prometheus: &Prometheus,
    ask: &CountersAsk,
    (back, to): (Duration, Moment),
    clock: &dyn Clock,
) -> Result<Vec<Sample>, Trouble> {
    // Times of the server are those of our wall clock, which may have been another one when they were taken.
    let ahead = clock.now().as_millis() - clock.wall().as_millisecond();
    let until = Some(to.as_millis() - ahead);
    let lines = async |selector: &str, back| {
        let question = Question { ask, selector, back, until, most: ANSWER_MAX };
        let answer = question.put(prometheus, clock).await?;
        elsewhere(move || answer.read()).await?
    };
    let requests: Vec<Line> = lines(&ask.requests, back).await?;
    let errors: Vec<Line> = lines(&ask.errors, back + FURTHER).await?;
    let (from, ask) = ((to - back).as_millis() - ahead, ask.clone());
    let reading = move || {
        let sample = |(at, share)| Sample {
            at: Moment::from_millis(at + ahead),
            micros: 0,
            result: ask.judged(share),
        };
        shares(&ask, &requests, &errors, from).into_iter().map(sample).collect()
    };
    elsewhere(reading).await
}

/// Does what may take a second where nobody waits for it.
async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Trouble::Nonsense)
}

/// The share of each round whose question would not have looked back to before `from`, oldest first.
pub(super) fn shares(ask: &CountersAsk, requests: &[Line], errors: &[Line], from: i64) -> Vec<(i64, f64)> {
    let [age, further] =
        [ask.max_age, FURTHER].map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
    let mut found = Vec::new();
    let mut until = i64::MAX;
    for _ in 0..MOST {
        let Some(latest) =
            requests.iter().filter_map(|line| before(line, until).last()).map(|point| point.0).max()
        else {
            break;
        };
        let back = latest.saturating_sub(age);
        if back < from {
            break;
        }
        let requests = seen(requests, back, until);
        let Some(ending) = ending(&requests) else {
            until = latest;
            continue;
        };
        let errors = seen(errors, back.saturating_sub(further), until);
        if let Ok((share, round)) = judged(ask, &requests, &errors) {
            found.push((round.at, share));
        }
        until = ending.at;
    }
    found.reverse();
    found
}

/// The points before `until`.
fn before(line: &[Point], until: i64) -> &[Point] {
    &line[..line.partition_point(|(at, _)| *at < until)]
}

/// What a server shows of `lines` that looks back so far.
fn seen(lines: &[Line], back: i64, until: i64) -> Vec<&[Point]> {
    let shown = lines.iter().map(|line| {
        let line = before(line, until);
        &line[line.partition_point(|(at, _)| *at < back)..]
    });
    shown.filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests;
