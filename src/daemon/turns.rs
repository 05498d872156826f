//! Whose turn it is to ask an account what nobody has to know at once: questions of readiness, and figures of apps under
//! watch. Together they take a quarter of the rate limit, each at a time of its own, so that however many want to ask, all
//! of them ask less often, and polls, the reads before a write and the writes find theirs left.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Moment;
use crate::platform::Budget;
use crate::platform::pace::time_of;

/// The turns of an account.
#[derive(Default)]
pub(super) struct Turns(Mutex<Free>);

/// When the next turn is free.
#[derive(Clone, Copy, Debug, Default)]
struct Free {
    question: Moment,
    figure: Moment,
    /// Of questions whose turn came while figures were read.
    put_off: Moment,
}

impl Turns {
    /// The next turn of a question that takes so many reads, from `now` on.
    pub(super) fn question(&self, now: Moment, budget: Budget, reads: u32) -> Moment {
        let mut free = self.free();
        let turn = free.question.max(free.figure).max(now);
        free.question = turn + gap(budget, reads);
        turn
    }

    /// The next turn of a figure that takes so many reads, from `now` on. A release is judged by it, so it goes before
    /// questions.
    pub(super) fn figure(&self, now: Moment, budget: Budget, reads: u32) -> Moment {
        let mut free = self.free();
        let turn = free.figure.max(now);
        free.figure = turn + gap(budget, reads);
        turn
    }

    /// A figure that took so many reads more than was thought.
    pub(super) fn figure_took(&self, now: Moment, budget: Budget, more: u32) {
        if more > 0 {
            self.figure(now, budget, more);
        }
    }

    /// When a question may be put whose turn is now; `None` where figures are not in its way.
    pub(super) fn put_off(&self, now: Moment, budget: Budget, reads: u32) -> Option<Moment> {
        let mut free = self.free();
        if free.figure <= now {
            return None;
        }
        let turn = free.put_off.max(free.figure);
        free.put_off = turn + gap(budget, reads);
        Some(turn)
    }

    /// How long whoever wants to put a question now has to wait for it.
    pub(super) fn queue(&self, now: Moment) -> Duration {
        let free = self.free();
        free.question.max(free.figure).since(now)
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Free> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long so many reads are the turn of nobody else. Where the limit is not known, nobody waits.
fn gap(budget: Budget, reads: u32) -> Duration {
    budget.limit.map_or(Duration::ZERO, |limit| time_of(reads, limit, budget.window))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::capability::Support;
    use crate::platform::pace::reads_a_question;

    const HOUR: Duration = Duration::from_secs(3_600);
    const BUDGET: Budget =
        Budget { limit: Some(5_000), window: HOUR, remaining: None, hold_reads: None, reads_a_poll: 0 };

    fn at(ms: i64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn a_thousand_apps_take_turns_within_a_quarter_of_the_limit() {
        let (turns, reads, now) = (Turns::default(), reads_a_question(Support::Native), at(1_000));
        assert_eq!(turns.question(now, BUDGET, reads), now);
        let last = (1..1_000).map(|_| turns.question(now, BUDGET, reads)).last().expect("turns");
        assert_eq!(last.since(now).as_secs(), 999 * 2 * 3_600 / 1_250);
        assert_eq!(turns.queue(now).as_secs(), 1_000 * 2 * 3_600 / 1_250);
        assert_eq!(turns.queue(now + HOUR * 2), Duration::ZERO);
        let later = now + HOUR * 5;
        assert_eq!(turns.question(later, BUDGET, reads), later, "nobody waits for turns that nobody took");
        let unknown = Turns::default();
        assert_eq!([1, 2].map(|_| unknown.question(now, Budget::default(), 6)), [now, now]);
    }

    #[test]
    fn figures_go_before_questions_out_of_the_same_quarter() {
        let (turns, now) = (Turns::default(), at(1_000));
        // Questions for an hour and more.
        let _booked: Vec<Moment> = (0..1_000).map(|_| turns.question(now, BUDGET, 2)).collect();
        let each = Duration::from_millis(2_880);
        let figures: Vec<Moment> = (0..100).map(|_| turns.figure(now, BUDGET, 1)).collect();
        assert_eq!(figures[0], now, "none of them waits for a question");
        assert_eq!(figures[99], now + each * 99, "and each for those before it");
        // Questions whose turn it is wait for the figures, and then for each other.
        let free = now + each * 100;
        assert_eq!(turns.put_off(now, BUDGET, 2), Some(free));
        assert_eq!(turns.put_off(now, BUDGET, 2), Some(free + each * 2));
        assert_eq!(turns.put_off(free, BUDGET, 2), None);
        let other = Turns::default();
        other.figure(now, BUDGET, 1);
        assert_eq!(other.question(now, BUDGET, 2), now + each);
    }

    #[test]
    fn a_figure_that_takes_more_reads_than_was_thought_pays_for_them() {
        let (turns, now) = (Turns::default(), at(1_000));
        assert_eq!(turns.figure(now, BUDGET, 2), now);
        turns.figure_took(now, BUDGET, 9);
        turns.figure_took(now, BUDGET, 0);
        assert_eq!(turns.figure(now, BUDGET, 2), now + Duration::from_millis(2_880) * 11);
    }
}
