//! The newest scrapes of all instances, put together: how many requests there were, and how many errors.

use crate::decision::sample::BlindCause;
use crate::detection::counters::increase;

/// A counter: when it was scraped, in milliseconds since 1970, and what it was, oldest first.
pub(super) type Line = Vec<(i64, f64)>;

/// What came between two scrapes of each instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Round {
    /// When the first of the instances was scraped, as counters have it.
    pub(super) at: i64,
    /// Milliseconds from one scrape to the next.
    pub(super) interval: i64,
    pub(super) requests: f64,
    pub(super) errors: f64,
}

/// Two scrapes of an instance: all that is scraped at once has the same time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pair {
    from: i64,
    to: i64,
    /// A counter of it fell: it began anew.
    fell: bool,
}

/// What came between the newest two scrapes of each instance that `requests` shows, and the `errors` of the same scrapes.
///
/// Instances are scraped one after the other. The round ends with the scrape that is the oldest of all their newest ones, so
/// that a scrape belongs to one round, whenever it is asked. An instance that misses a scrape is left out, and one that is
/// gone soon is. A counter that is new in an instance that was there before began from 0.
pub(super) fn newest(requests: &[Line], errors: &[Line]) -> Result<Round, BlindCause> {
    let interval = interval(requests).ok_or(BlindCause::Absent)?;
    let patience = interval * 3 / 2;
    let last = |line: &Line| line.last().map(|(at, _)| *at);
    let latest = requests.iter().filter_map(last).max().ok_or(BlindCause::Absent)?;
    let are_there = || requests.iter().filter(|line| last(line).is_some_and(|at| latest - at <= patience));
    let end = are_there().filter_map(last).min().ok_or(BlindCause::Absent)?;
    let mut pairs: Vec<Pair> = Vec::new();
    let (mut all, mut new) = (0.0, Vec::new());
    for line in are_there() {
        let place = line.partition_point(|(at, _)| *at < end);
        let Some((to, value)) = line.get(place).copied() else { continue };
        let Some((from, before)) = place.checked_sub(1).and_then(|place| line.get(place)).copied() else {
            new.push((to, value));
            continue;
        };
        if to - from > patience {
            continue;
        }
        all += increase(before, value);
        match pairs.iter_mut().find(|pair| (pair.from, pair.to) == (from, to)) {
            Some(pair) => pair.fell |= value < before,
            None => pairs.push(Pair { from, to, fell: value < before }),
        }
    }
    if pairs.is_empty() {
        return Err(BlindCause::Absent);
    }
    let is_paired = |at: i64| pairs.iter().any(|pair| pair.to == at);
    all += new.iter().filter(|(at, _)| is_paired(*at)).map(|(_, value)| value).sum::<f64>();
    let known = |at: i64| requests.iter().any(|line| line.iter().any(|(known, _)| *known == at));
    let mut failed = 0.0;
    for line in errors {
        let pair = pairs.iter().find(|pair| line.iter().any(|(at, _)| *at == pair.to));
        match pair {
            Some(pair) => failed += risen(line, pair)?,
            // Of an instance that is left out.
            None if last(line)
                .is_none_or(|at| at < end - patience || known(at) && !is_before(&pairs, at)) => {}
            // It vanished with its process, which began anew.
            None if pairs.iter().any(|pair| pair.fell && last(line) == Some(pair.from)) => {}
            // A scrape that others have is missing, or they are not out of the same ones.
            None if last(line).is_some_and(known) => return Err(BlindCause::Absent),
            None => return Err(BlindCause::Source),
        }
    }
    Ok(Round { at: end, interval, requests: all, errors: failed })
}

/// Whether a pair begins at that time.
fn is_before(pairs: &[Pair], at: i64) -> bool {
    pairs.iter().any(|pair| pair.from == at)
}

/// How far a counter of errors rose between the two scrapes.
fn risen(line: &Line, pair: &Pair) -> Result<f64, BlindCause> {
    let place = line.partition_point(|(at, _)| *at < pair.to);
    let (_, value) = line.get(place).copied().ok_or(BlindCause::Absent)?;
    match place.checked_sub(1).and_then(|place| line.get(place)).copied() {
        None => Ok(value),
        // Only what begins anew as a whole does so.
        Some((from, before)) if from == pair.from && value < before && !pair.fell => Err(BlindCause::Source),
        Some((from, before)) if from == pair.from => Ok(increase(before, value)),
        // It was there, and not in the scrape before: it vanished with a process, or was missed.
        Some(_) if pair.fell => Ok(value),
        Some(_) => Err(BlindCause::Absent),
    }
}

/// Milliseconds between two scrapes, mostly.
fn interval(lines: &[Line]) -> Option<i64> {
    let gaps = |line: &Line| line.windows(2).map(|two| two[1].0 - two[0].0).collect::<Vec<_>>();
    let mut gaps: Vec<i64> = lines.iter().flat_map(gaps).collect();
    let middle = gaps.len() / 2;
    (!gaps.is_empty()).then(|| *gaps.select_nth_unstable(middle).1)
}
