//! What was read last, since when reads fail, and for how long the platform has said that there is no such thing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// The last successful read of something, and the fault since then if there is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading<T> {
    /// When the read that gave `value` was *sent*, and what it gave.
    pub last: Option<(Moment, T)>,
    /// Reads fail now.
    pub fault: Option<ReadFault>,
    /// The answers since the last successful read that said that there is no such thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

/// Answers in a row that said that there is no such thing, each of them near the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// When the read that gave the first of them was sent.
    pub since: Moment,
    /// And the latest.
    pub until: Moment,
    /// Reads have failed otherwise since then.
    pub is_broken: bool,
}

impl Missing {
    /// How far two such answers may be from each other where reads failed otherwise between them: longer than the slowest
    /// pace of a poll that fails, and far shorter than it takes to be believed.
    const NEAR: Duration = Duration::from_secs(10 * 60);

    /// With one more, of a read that was sent at `at`. Of the time of an outage it says nothing.
    fn goes_on(self, at: Moment) -> Self {
        match self.is_broken && at.since(self.until) > Self::NEAR {
            true => Self { since: at, until: at, is_broken: false },
            false => Self { until: at.max(self.until), is_broken: false, ..self },
        }
    }
}

impl<T> Reading<T> {
    /// Nothing read yet.
    pub const fn never() -> Self {
        Self { last: None, fault: None, missing: None }
    }

    /// A successful read sent at `at`.
    pub const fn known(at: Moment, value: T) -> Self {
        Self { last: Some((at, value)), fault: None, missing: None }
    }

    /// Takes a read into account that was sent at `at` and failed. It never erases the value.
    pub fn fail(&mut self, at: Moment, fault: ReadFault) {
        self.fault = Some(fault);
        self.missing = match (fault, self.missing) {
            (ReadFault::NotFound, Some(run)) => Some(run.goes_on(at)),
            (ReadFault::NotFound, None) => Some(Missing { since: at, until: at, is_broken: false }),
            (_, run) => run.map(|run| Missing { is_broken: true, ..run }),
        };
    }

    /// For how long the platform has said, after `from`, that there is no such thing: from one answer to another, since what
    /// nobody asked for and what was not answered says nothing. Zero where its latest word is another one.
    pub fn missing_for(&self, from: Moment) -> Duration {
        match (self.fault, self.missing) {
            (Some(ReadFault::NotFound), Some(run)) => {
                let since = self.read_at().map_or(from, |read_at| read_at.max(from)).max(run.since);
                run.until.since(since)
            }
            _ => Duration::ZERO,
        }
    }

    /// The value, however old.
    pub fn value(&self) -> Option<&T> {
        self.last.as_ref().map(|(_, value)| value)
    }

    /// The value, if its read was sent at `earliest` or later.
    pub fn since(&self, earliest: Moment) -> Option<&T> {
        self.last.as_ref().filter(|(at, _)| *at >= earliest).map(|(_, value)| value)
    }

    /// When the last successful read was sent.
    pub fn read_at(&self) -> Option<Moment> {
        self.last.as_ref().map(|(at, _)| *at)
    }
}

/// Why reads fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadFault {
    /// The platform cannot be reached or answers nonsense.
    Unreachable,
    /// The platform limits us.
    RateLimited,
    /// The token is refused (401, 403).
    Denied,
    /// There is no such app.
    NotFound,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For how many minutes there is no such thing after these reads, each at its minute.
    fn missing(reads: &[(u64, Option<ReadFault>)]) -> u64 {
        let at = |minute: u64| Moment::default() + Duration::from_secs(minute * 60);
        let mut reading = Reading::never();
        for (minute, fault) in reads {
            match fault {
                Some(fault) => reading.fail(at(*minute), *fault),
                None => reading = Reading::known(at(*minute), ()),
            }
        }
        reading.missing_for(at(2)).as_secs() / 60
    }

    #[test]
    fn what_is_missing_is_so_from_one_answer_to_another_and_not_across_an_outage() {
        const GONE: Option<ReadFault> = Some(ReadFault::NotFound);
        const DOWN: Option<ReadFault> = Some(ReadFault::Unreachable);
        assert_eq!(missing(&[(5, GONE), (15, GONE), (40, GONE)]), 35);
        assert_eq!(missing(&[(1, GONE), (40, GONE)]), 38, "counted from when it was asked for");
        assert_eq!(missing(&[(5, GONE), (10, DOWN), (15, GONE), (16, DOWN), (20, GONE)]), 15);
        assert_eq!(missing(&[(5, GONE), (10, DOWN), (15, GONE), (40, GONE)]), 35);
        assert_eq!(missing(&[(5, GONE), (10, DOWN), (16, GONE)]), 0, "too far from the one before");
        assert_eq!(missing(&[(5, GONE), (40, DOWN)]), 0, "the latest word is another one");
        assert_eq!(missing(&[(5, GONE), (10, None), (11, GONE), (12, GONE)]), 1);
        assert_eq!(missing(&[(5, GONE)]), 0);
    }
}
