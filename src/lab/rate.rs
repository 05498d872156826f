//! The rate limit of a token [OAS: `description.yml`]: an hour and a minute, both sliding.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

/// How many calls a token has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    /// In an hour.
    pub per_hour: u32,
    /// In a minute (the burst limit).
    pub per_minute: u32,
}

impl RateLimit {
    /// What DigitalOcean documents.
    pub const DOCUMENTED: Self = Self { per_hour: 5000, per_minute: 250 };
}

impl Default for RateLimit {
    /// Wide enough for tests that poll many times a second.
    fn default() -> Self {
        Self { per_hour: 10_000_000, per_minute: 1_000_000 }
    }
}

/// Where a token stands after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Unix seconds at which the oldest call counted expires: not a full reset.
    pub(crate) reset: i64,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// Over the burst limit; the seconds until a call passes. Only here is `retry-after` sent.
    Burst(i64),
    /// Over the hour's limit.
    Spent,
}

const HOUR: i64 = 3600;
const MINUTE: i64 = 60;

#[derive(Debug, Default)]
pub(crate) struct Rates {
    tokens: HashMap<String, Calls>,
}

/// Calls that passed, by the second, with running totals.
#[derive(Debug, Default)]
struct Calls {
    hour: VecDeque<(i64, u32)>,
    in_hour: u32,
    minute: VecDeque<(i64, u32)>,
    in_minute: u32,
}

impl Rates {
    /// Counts a call at `now` (milliseconds) unless it is over a limit.
    pub(crate) fn call(&mut self, token: &str, now: i64, limit: RateLimit) -> Standing {
        let calls = match self.tokens.get_mut(token) {
            Some(calls) => calls,
            None => self.tokens.entry(token.to_owned()).or_default(),
        };
        let second = now.div_euclid(1000);
        expire(&mut calls.hour, &mut calls.in_hour, second - HOUR);
        expire(&mut calls.minute, &mut calls.in_minute, second - MINUTE);
        let verdict = if calls.in_hour >= limit.per_hour {
            Verdict::Spent
        } else if calls.in_minute >= limit.per_minute {
            let oldest = calls.minute.front().map_or(second, |(at, _)| *at);
            Verdict::Burst((oldest + MINUTE + 1 - second).max(1))
        } else {
            add(&mut calls.hour, &mut calls.in_hour, second);
            add(&mut calls.minute, &mut calls.in_minute, second);
            Verdict::Passed
        };
        Standing {
            limit: limit.per_hour,
            remaining: limit.per_hour.saturating_sub(calls.in_hour),
            reset: calls.hour.front().map_or(second, |(at, _)| *at) + HOUR,
            verdict,
        }
    }
}

fn expire(calls: &mut VecDeque<(i64, u32)>, total: &mut u32, until: i64) {
    while let Some((_, count)) = calls.front().copied().filter(|(at, _)| *at < until) {
        *total -= count;
        calls.pop_front();
    }
}

fn add(calls: &mut VecDeque<(i64, u32)>, total: &mut u32, second: i64) {
    *total += 1;
    match calls.back_mut() {
        Some((at, count)) if *at == second => *count += 1,
        _ => calls.push_back((second, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_limit_says_when_to_come_back_and_the_hour_does_not() {
        let mut rates = Rates::default();
        let limit = RateLimit { per_hour: 4, per_minute: 3 };
        for left in [3, 2, 1] {
            let standing = rates.call("t", 10_000, limit);
            assert_eq!((standing.remaining, standing.verdict), (left, Verdict::Passed));
        }
        let burst = rates.call("t", 20_000, limit);
        assert_eq!(burst.verdict, Verdict::Burst(51));
        assert_eq!(burst.reset, 10 + HOUR);
        assert_eq!(rates.call("other", 20_000, limit).verdict, Verdict::Passed);
        assert_eq!(rates.call("t", 71_000, limit).verdict, Verdict::Passed);
        assert_eq!(rates.call("t", 300_000, limit).verdict, Verdict::Spent);
        assert_eq!(rates.call("t", (10 + HOUR + 1) * 1000, limit).verdict, Verdict::Passed);
    }
}
