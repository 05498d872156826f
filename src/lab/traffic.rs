//! What a site answered of late, by the second: what the platform's own figures are made of.

use std::collections::VecDeque;

use super::release::Reply;

/// How far back it goes, in seconds.
const KEPT: i64 = 3600;

/// The answers of a site.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    answers: VecDeque<Answers>,
}

/// Answers that were alike, in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    /// Unix seconds.
    pub(crate) second: i64,
    pub(crate) reply: Reply,
    pub(crate) count: u32,
}

impl Traffic {
    /// One more answer at `now` (milliseconds).
    pub(crate) fn add(&mut self, now: i64, reply: Reply) {
        let second = now.div_euclid(1000);
        while self.answers.front().is_some_and(|oldest| oldest.second <= second - KEPT) {
            self.answers.pop_front();
        }
        match self.answers.back_mut() {
            Some(last) if (last.second, last.reply) == (second, reply) => last.count += 1,
            _ => self.answers.push_back(Answers { second, reply, count: 1 }),
        }
    }

    /// The answers from one second up to, and without, another.
    pub(crate) fn between(&self, from: i64, to: i64) -> impl Iterator<Item = &Answers> {
        self.answers.iter().filter(move |answers| (from..to).contains(&answers.second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_one_second_that_are_alike_are_counted_and_an_hour_is_kept() {
        let mut traffic = Traffic::default();
        let good = Reply { status: 200, latency_ms: 0 };
        let bad = Reply { status: 500, latency_ms: 0 };
        for (now, reply) in [(1_000, good), (1_999, good), (1_999, bad), (2_000, good)] {
            traffic.add(now, reply);
        }
        let counts = |traffic: &Traffic| -> Vec<_> {
            traffic.between(1, 3).map(|a| (a.second, a.reply.status, a.count)).collect()
        };
        assert_eq!(counts(&traffic), [(1, 200, 2), (1, 500, 1), (2, 200, 1)]);
        traffic.add(3_601_000, good);
        assert_eq!(counts(&traffic), [(2, 200, 1)]);
    }
}
