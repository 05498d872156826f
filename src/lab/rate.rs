//! Rate limits. DigitalOcean's are a token's [OAS: `description.yml`]: an hour and a minute, both sliding. Sevalla's
//! are a company's, by what is asked and for some of it by the service [docs: rate limits]: a minute, sliding
//! \[inferred\].

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

/// How many calls a token has, or a company.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    /// In an hour.
    pub per_hour: u32,
    /// In a minute (the burst limit).
    pub per_minute: u32,
    /// Sevalla's.
    pub sevalla: Tiers,
}

/// How many calls a company has on Sevalla in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tiers {
    /// Reads, other than of logs.
    pub read: u32,
    /// What makes or ends deployments, for each service.
    pub deployment: u32,
    /// Changes of a service, for each.
    pub mutation: u32,
    /// Any other write.
    pub write: u32,
    /// Reads of logs.
    pub logs: u32,
}

impl RateLimit {
    /// What the platforms document.
    pub const DOCUMENTED: Self = Self {
        per_hour: 5000,
        per_minute: 250,
        sevalla: Tiers { read: 400, deployment: 10, mutation: 10, write: 30, logs: 30 },
    };
}

/// The tier that a call on Sevalla is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    Read,
    Deployment,
    Mutation,
    Write,
    Logs,
}

impl Tier {
    fn limit(self, tiers: Tiers) -> u32 {
        match self {
            Self::Read => tiers.read,
            Self::Deployment => tiers.deployment,
            Self::Mutation => tiers.mutation,
            Self::Write => tiers.write,
            Self::Logs => tiers.logs,
        }
    }

    /// Each service has its own.
    fn is_of_a_service(self) -> bool {
        matches!(self, Self::Deployment | Self::Mutation)
    }
}

impl Default for RateLimit {
    /// Wide enough for tests that poll many times a second.
    fn default() -> Self {
        Self { per_hour: 10_000_000, per_minute: 1_000_000, sevalla: Tiers::default() }
    }
}

impl Default for Tiers {
    fn default() -> Self {
        const WIDE: u32 = 1_000_000;
        Self { read: WIDE, deployment: WIDE, mutation: WIDE, write: WIDE, logs: WIDE }
    }
}

/// Where a caller stands after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// When the oldest call counted expires, which is not a full reset: in Unix seconds, and for a tier in seconds
    /// from now.
    pub(crate) reset: i64,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// Over the burst limit; the seconds until a call passes. Only here is `retry-after` sent.
    Burst(i64),
    /// Over the hour's limit, or a tier's.
    Spent,
}

const HOUR: i64 = 3600;
const MINUTE: i64 = 60;

#[derive(Debug, Default)]
pub(crate) struct Rates {
    callers: HashMap<String, Calls>,
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
        let calls = self.of(token);
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

    /// Counts a call of a company on Sevalla at `now` (milliseconds) unless it is over its tier's limit.
    pub(crate) fn in_tier(
        &mut self,
        company: &str,
        tier: Tier,
        service: Option<&str>,
        now: i64,
        tiers: Tiers,
    ) -> Standing {
        let service = service.filter(|_| tier.is_of_a_service()).unwrap_or_default();
        let calls = self.of(&format!("{company}/{tier:?}/{service}"));
        let (second, limit) = (now.div_euclid(1000), tier.limit(tiers));
        expire(&mut calls.minute, &mut calls.in_minute, second - MINUTE + 1);
        let verdict = if calls.in_minute >= limit {
            Verdict::Spent
        } else {
            add(&mut calls.minute, &mut calls.in_minute, second);
            Verdict::Passed
        };
        let oldest = calls.minute.front().map_or(second, |(at, _)| *at);
        let remaining = limit.saturating_sub(calls.in_minute);
        Standing { limit, remaining, reset: oldest + MINUTE - second, verdict }
    }

    fn of(&mut self, caller: &str) -> &mut Calls {
        self.callers.entry(caller.to_owned()).or_default()
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
        let limit = RateLimit { per_hour: 4, per_minute: 3, ..RateLimit::default() };
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
    #[test]
    fn a_tier_is_a_companys_and_some_are_a_services() {
        let (mut rates, tiers) = (Rates::default(), RateLimit::DOCUMENTED.sevalla);
        let mut ask = |tier, service, now| rates.in_tier("c", tier, Some(service), now, tiers);
        for left in (0..10).rev() {
            assert_eq!(ask(Tier::Deployment, "shop", 10_000).remaining, left);
        }
        let spent = ask(Tier::Deployment, "shop", 30_000);
        assert_eq!((spent.limit, spent.remaining, spent.reset), (10, 0, 40), "seconds from now");
        assert_eq!(spent.verdict, Verdict::Spent);
        assert_eq!(ask(Tier::Mutation, "shop", 30_000).verdict, Verdict::Passed);
        assert_eq!(ask(Tier::Deployment, "blog", 30_000).verdict, Verdict::Passed);
        assert_eq!(ask(Tier::Deployment, "shop", 70_000).verdict, Verdict::Passed);
        let reads = [ask(Tier::Read, "shop", 0), ask(Tier::Read, "blog", 0)].map(|read| read.remaining);
        assert_eq!(reads, [399, 398]);
        assert_eq!((ask(Tier::Write, "", 0).limit, ask(Tier::Logs, "", 0).limit), (30, 30));
    }
}
