//! What share of an app's requests failed between its newest two scrapes, by counters that a Prometheus server has.
//!
//! The raw points are asked for, and not a rate: each scrape counts once, at the time it was made, and a counter that began
//! anew is seen to. What cannot be told is Unknown: a server that does not answer, one that warns it knows a part, a clock
//! that disagrees with ours, no two scrapes, none lately ([`rounds`] has the rest). What the server has of the time before
//! anybody asked is read once, as if it had been asked all the time ([`recorded`]).

mod points;
pub(super) mod recorded;
mod rounds;

use std::time::Duration;

use self::points::{Question, Trouble};
use self::rounds::{Line, Point, Round, newest};
use super::network::Said;
use super::prometheus::{ANSWER_MAX, Prometheus, counted};
use crate::clock::Clock;
use crate::config::CountersAsk;
use crate::decision::sample::{BlindCause, SampleResult};

/// Errors are looked for so much longer: that a counter was there before the requests' scrapes has to be seen.
const FURTHER: Duration = Duration::from_secs(60);

/// Asks for both kinds of counters, requests first: the errors of their scrapes are there then.
pub(super) async fn ask(prometheus: &Prometheus, ask: &CountersAsk, clock: &dyn Clock) -> Said {
    match share(prometheus, ask, clock).await {
        Ok((share, age)) => Said { result: ask.judged(share), age: Some(age) },
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
    let (share, Round { at, interval, .. }) = judged(ask, &requests, &errors)?;
    let age = clock.wall().as_millisecond().saturating_sub(at);
    // Scrapes that are due did not come.
    if age > interval * 5 / 2 + 1_000 {
        return Err(BlindCause::Absent);
    }
    Ok((share, Duration::from_millis(u64::try_from(age).unwrap_or(0))))
}

/// What share of the requests failed in the newest round that these points show, if that can be told.
fn judged<L: AsRef<[Point]>>(
    ask: &CountersAsk,
    requests: &[L],
    errors: &[L],
) -> Result<(f64, Round), BlindCause> {
    if errors.is_empty() && !ask.none_is_good {
        return Err(BlindCause::Absent);
    }
    let round = newest(requests, errors)?;
    if round.requests <= 0.0 || round.requests < f64::from(ask.min_requests) {
        return Err(BlindCause::Absent);
    }
    Ok(((round.errors / round.requests).min(1.0), round))
}

/// The points of what `selector` names, as far back as that.
async fn lines(
    prometheus: &Prometheus,
    ask: &CountersAsk,
    (selector, back): (&str, Duration),
    clock: &dyn Clock,
) -> Result<Vec<Line>, BlindCause> {
    let question = Question { ask, selector, back, until: None, most: ANSWER_MAX };
    let lines = match question.put(prometheus, clock).await {
        Ok(answer) => answer.read(),
        Err(trouble) => Err(trouble),
    };
    let key = || counted(ask, selector);
    match lines {
        Ok(lines) => {
            prometheus.comes_to_something(&key());
            Ok(lines)
        }
        Err(Trouble::Clock) => Err(BlindCause::Clock),
        Err(trouble) => {
            prometheus.comes_to_nothing(key(), &question.query(), &trouble.in_words());
            Err(BlindCause::Source)
        }
    }
}

#[cfg(test)]
mod tests;
