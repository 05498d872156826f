//! How a release is beside the one before it, in the units of what was compared.

use super::{percent, plural};
use crate::decision::policy::Signal;
use crate::decision::rule::Compared;

/// How a release is beside the one before it.
pub(super) fn compared_in_words(of: Signal, compared: &Compared, rounds: u32) -> String {
    let Compared { bad, usual, limit, seen } = *compared;
    match of {
        Signal::Failures => {
            let samples = plural(rounds, "sample");
            format!("{bad} of {samples} failed, where {} may", percent(limit))
        }
        Signal::Shares => {
            let (scrapes, seen, limit) = (plural(rounds, "scrape"), percent(seen), percent(limit));
            format!(
                "{seen} of the requests failed on average of {scrapes}, {bad} of them bad, where {limit} may"
            )
        }
        // Nothing is known to be usual.
        Signal::Latency if limit == 0.0 => {
            format!("{} and no release before to compare them with", stretches(rounds))
        }
        Signal::Latency => {
            let slow = if bad > 0 { format!(" ({} on average)", time(seen)) } else { String::new() };
            let (limit, usual) = (time(limit), time(usual));
            format!(
                "{bad} of {} slower than {limit}{slow}, where most of the release before took up to {usual}",
                stretches(rounds)
            )
        }
    }
}

fn stretches(count: u32) -> String {
    if count == 1 { "1 stretch".to_owned() } else { format!("{count} stretches") }
}

/// Seconds, as latencies are spoken of.
pub(crate) fn time(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0}ms", seconds * 1e3) } else { format!("{seconds:.1}s") }
}
