//! The newest scrapes of all instances, put together: how many requests there were, and how many errors.

use crate::decision::sample::BlindCause;
use crate::detection::counters::increase;

/// When a counter was scraped, in milliseconds since 1970, and what it was.
pub(super) type Point = (i64, f64);
/// A counter, oldest first.
pub(super) type Line = Vec<Point>;

/// The end of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ending {
    /// The oldest of the newest scrapes of all instances that are there.
    pub(super) at: i64,
    /// When the newest of them is.
    latest: i64,
    /// Milliseconds from one scrape to the next.
    interval: i64,
}

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
pub(super) fn newest<L: AsRef<[Point]>>(requests: &[L], errors: &[L]) -> Result<Round, BlindCause> {
    let ending = ending(requests).ok_or(BlindCause::Absent)?;
    let (end, interval, patience) = (ending.at, ending.interval, ending.patience());
    let requests = || requests.iter().map(AsRef::as_ref);
    let are_there = || requests().filter(|line| ending.is_of(line));
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
    let known = |at: i64| requests().any(|line| line.iter().any(|(known, _)| *known == at));
    let mut failed = 0.0;
    for line in errors.iter().map(AsRef::as_ref) {
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

/// When the newest round ends.
pub(super) fn ending<L: AsRef<[Point]>>(requests: &[L]) -> Option<Ending> {
    let interval = interval(requests)?;
    let lasts = || requests.iter().filter_map(|line| last(line.as_ref()));
    let latest = lasts().max()?;
    let ending = Ending { at: latest, latest, interval };
    let at = lasts().filter(|at| latest - at <= ending.patience()).min()?;
    Some(Ending { at, ..ending })
}

impl Ending {
    /// How late the next scrape may be until it is missing.
    fn patience(self) -> i64 {
        self.interval * 3 / 2
    }

    /// Whether this instance is there still.
    fn is_of(self, line: &[Point]) -> bool {
        last(line).is_some_and(|at| self.latest - at <= self.patience())
    }
}

/// When it was scraped the last time.
fn last(line: &[Point]) -> Option<i64> {
    line.last().map(|(at, _)| *at)
}

/// Whether a pair begins at that time.
fn is_before(pairs: &[Pair], at: i64) -> bool {
    pairs.iter().any(|pair| pair.from == at)
}

/// How far a counter of errors rose between the two scrapes.
fn risen(line: &[Point], pair: &Pair) -> Result<f64, BlindCause> {
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
fn interval<L: AsRef<[Point]>>(lines: &[L]) -> Option<i64> {
    let gaps = |line: &[Point]| line.windows(2).map(|two| two[1].0 - two[0].0).collect::<Vec<_>>();
    let mut gaps: Vec<i64> = lines.iter().flat_map(|line| gaps(line.as_ref())).collect();
    let middle = gaps.len() / 2;
    (!gaps.is_empty()).then(|| *gaps.select_nth_unstable(middle).1)
}
