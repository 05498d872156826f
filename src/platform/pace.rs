//! How fast an account may be polled: arithmetic on what the platform says of its rate limit. No clock, no I/O.
//!
//! Reads yield to writes: the poll slows down long before the limit is used up, so that a rollback, its guards and
//! its commit always find requests left. It slows down but never stops, since a guard that does not look cannot act.
//!
//! A limit is for a window of time that slides, or may: what is said of its end is when the *oldest* request leaves it,
//! not when it is empty. So the pace is reckoned on a whole window, and its end only says how long a 429 without
//! `retry-after` lasts.

use std::time::Duration;

use super::Budget;
use crate::decision::capability::Support;

/// The longest time between two polls, and the longest wait we let a platform ask of us: a guard that looks less
/// often than this is none.
pub const LONGEST: Duration = Duration::from_secs(5 * 60);

/// The share of the limit the poll leaves alone: a tenth.
const RESERVE_SHARE: u32 = 10;

/// The least the poll leaves alone: two rollbacks from validation to commit, each write with its reads.
const RESERVE_LEAST: u32 = 20;

/// The share of the limit below which the poll slows down: a fifth.
const LOW_SHARE: u32 = 5;

/// The share of the limit that questions of readiness and figures of apps under watch take together at most: a quarter. The
/// poll has its own.
pub const QUESTIONS_SHARE: u32 = 4;

/// The requests of a question of readiness whose first target is not refused: the app's deployments, and the dry run.
pub fn reads_a_question(validate: Support) -> u32 {
    1 + reads_a_validation(validate)
}

/// The requests of a dry run. One that is made of reads takes five: the app, its deployments, its hook, and the key by either
/// of two calls.
pub fn reads_a_validation(validate: Support) -> u32 {
    if validate == Support::Native { 1 } else { 5 }
}

/// The time that questions of readiness keep between them where `limit` requests are allowed in `window`.
pub fn between_questions(limit: u32, window: Duration, validate: Support) -> Duration {
    time_of(reads_a_question(validate), limit, window)
}

/// How long so many reads take of that share where `limit` requests are allowed in `window`.
pub fn time_of(reads: u32, limit: u32, window: Duration) -> Duration {
    window.saturating_mul(reads) / (limit / QUESTIONS_SHARE).max(1)
}

/// When to poll next, counted from the end of the last poll.
///
/// `configured` is the poll at rest, `consecutive_faults` how many polls in a row have failed, `jitter` a number in
/// `0.0..1.0` (anything else counts as the nearer end). Never less than `configured`; never more than [`LONGEST`],
/// unless `configured` itself is.
pub fn next_poll(configured: Duration, budget: Budget, consecutive_faults: u32, jitter: f64) -> Duration {
    let wanted = configured
        .max(stretched(budget))
        .max(backed_off(configured, consecutive_faults, jitter))
        .max(budget.hold_reads.unwrap_or_default());
    wanted.min(LONGEST.max(configured))
}

/// The shortest poll that takes no more than half of the limit: the other half is for acting, and for whoever shares it.
/// Zero where nobody knows.
pub fn fastest(budget: Budget) -> Duration {
    let half = budget.limit.unwrap_or(0) / 2;
    budget.window.saturating_mul(budget.reads_a_poll).checked_div(half).unwrap_or_default().min(LONGEST)
}

/// Whether what is left of the limit is the reserve, which is for acting.
pub fn is_for_acting(budget: Budget) -> bool {
    budget.remaining.is_some_and(|remaining| remaining <= reserve(budget))
}

fn reserve(budget: Budget) -> u32 {
    (budget.limit.unwrap_or(0) / RESERVE_SHARE).max(RESERVE_LEAST)
}

/// The poll at which what is left, without the reserve, lasts a whole window; after one of those without a request all of
/// it is there again. Zero while there is plenty.
fn stretched(budget: Budget) -> Duration {
    let Some(remaining) = budget.remaining else { return Duration::ZERO };
    let limit = budget.limit.unwrap_or(0);
    let reserve = reserve(budget);
    if remaining >= limit / LOW_SHARE && remaining > reserve {
        return Duration::ZERO;
    }
    let lasting = match remaining.saturating_sub(reserve) {
        0 => LONGEST,
        usable => budget.window.saturating_mul(budget.reads_a_poll.max(1)) / usable,
    };
    lasting.min(budget.window)
}

/// Doubles with every fault. Half of what is added is left to chance, so that several guardians of one account do
/// not come back at the same moment.
fn backed_off(configured: Duration, faults: u32, jitter: f64) -> Duration {
    let doubled =
        configured.saturating_mul(1_u32.checked_shl(faults.min(31)).unwrap_or(u32::MAX)).min(LONGEST);
    let chance = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
    configured.saturating_add(doubled.saturating_sub(configured).mul_f64(0.5 + 0.5 * chance))
}

/// What `retry-after` asks for: seconds, or an HTTP date set against `date_ms`, the answer's own `Date` in
/// milliseconds since the Unix epoch (RFC 9110, 10.2.3). Within zero and [`LONGEST`], whatever it says; `None` when
/// it cannot be understood.
pub fn retry_after(value: &str, date_ms: Option<i64>) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<f64>() {
        return if seconds.is_nan() { None } else { Some(at_most_longest(seconds)) };
    }
    let until = http_date_ms(value)?;
    Some(until_ms(until, date_ms?))
}

/// How long until `ratelimit-reset` (Unix seconds), on the platform's own clock; within zero and [`LONGEST`].
pub fn until_reset(value: &str, date_ms: Option<i64>) -> Option<Duration> {
    let reset = value.trim().parse::<i64>().ok()?;
    Some(until_ms(reset.saturating_mul(1000), date_ms?))
}

/// An HTTP date in milliseconds since the Unix epoch.
pub fn http_date_ms(value: &str) -> Option<i64> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    parser.parse_timestamp(value.trim()).ok().map(jiff::Timestamp::as_millisecond)
}

fn until_ms(until: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(until.saturating_sub(now)).unwrap_or(0)).min(LONGEST)
}

fn at_most_longest(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, LONGEST.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLL: Duration = Duration::from_secs(30);

    const HOUR: Duration = Duration::from_secs(3_600);

    fn left(remaining: u32) -> Budget {
        Budget {
            remaining: Some(remaining),
            limit: Some(5000),
            hold_reads: None,
            window: HOUR,
            reads_a_poll: 1,
        }
    }

    #[test]
    fn the_poll_stretches_so_that_what_is_left_without_the_reserve_lasts_an_hour() {
        let table = [
            (5000, 30),
            (1000, 30), // a fifth: not low yet
            (999, 30),  // 499 usable last an hour at one in 7 s
            (620, 30),  // exactly one in 30 s
            (560, 60),
            (520, 180),
            (510, 300), // 360 s, were it not for the longest
            (500, 300), // only the reserve is left
            (1, 300),
            (0, 300),
        ];
        for (remaining, seconds) in table {
            assert_eq!(next_poll(POLL, left(remaining), 0, 0.5).as_secs(), seconds, "{remaining} left");
        }
    }

    #[test]
    fn a_poll_of_many_requests_is_paced_by_all_of_them() {
        let minute = Duration::from_secs(60);
        let of = |remaining, reads_a_poll| Budget {
            remaining: Some(remaining),
            limit: Some(400),
            hold_reads: None,
            window: minute,
            reads_a_poll,
        };
        // 400 a minute, of which 200 are ours: 101 requests every 30.3 s.
        assert_eq!(fastest(of(400, 101)), Duration::from_millis(30_300));
        assert_eq!(fastest(of(400, 2)), Duration::from_millis(600));
        assert_eq!(fastest(of(400, u32::MAX)), LONGEST);
        assert_eq!(fastest(Budget { limit: Some(1), ..of(1, 9) }), Duration::ZERO);
        assert_eq!(fastest(Budget::default()), Duration::ZERO);
        // 39 usable requests of 10 a poll are not four polls a minute.
        let second = Duration::from_secs(1);
        assert_eq!(next_poll(second, of(79, 10), 0, 0.5).as_millis(), 15_384);
        for (remaining, reads_a_poll) in [(79, 101), (40, 1), (0, 101)] {
            assert_eq!(
                next_poll(second, of(remaining, reads_a_poll), 0, 0.5),
                minute,
                "then all of it is back"
            );
        }
    }

    #[test]
    fn an_unknown_budget_leaves_the_poll_alone_and_an_unknown_limit_keeps_the_least_reserve() {
        assert_eq!(next_poll(POLL, Budget::default(), 0, 0.0), POLL);
        let unknown = |remaining| Budget { remaining: Some(remaining), window: HOUR, ..Budget::default() };
        assert_eq!(next_poll(POLL, unknown(21), 0, 0.0), POLL);
        assert_eq!(next_poll(POLL, unknown(20), 0, 0.0), LONGEST);
    }

    #[test]
    fn faults_double_the_poll_up_to_five_minutes_and_chance_moves_half_of_it() {
        let table = [
            (0, 0.0, 30),
            (0, 1.0, 30),
            (1, 0.0, 45),
            (1, 1.0, 60),
            (2, 0.0, 75),
            (2, 1.0, 120),
            (5, 0.0, 165),
            (5, 1.0, 300),
            (u32::MAX, 1.0, 300),
            (1, f64::NAN, 45),
            (1, 7.0, 60),
            (1, -7.0, 45),
        ];
        for (faults, jitter, seconds) in table {
            assert_eq!(
                next_poll(POLL, Budget::default(), faults, jitter).as_secs(),
                seconds,
                "{faults} faults, jitter {jitter}"
            );
        }
    }

    #[test]
    fn a_wait_the_platform_asks_for_is_obeyed_within_reason() {
        let hold = |seconds| Budget { hold_reads: Some(Duration::from_secs(seconds)), ..Budget::default() };
        assert_eq!(next_poll(POLL, hold(7), 0, 0.0).as_secs(), 30);
        assert_eq!(next_poll(POLL, hold(90), 1, 0.0).as_secs(), 90);
        assert_eq!(next_poll(POLL, hold(1_000_000), 1, 0.0), LONGEST);
    }

    #[test]
    fn a_poll_configured_to_be_rare_stays_as_rare() {
        let rare = Duration::from_secs(900);
        assert_eq!(next_poll(rare, left(0), 9, 1.0), rare);
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_a_date_and_kept_within_reason() {
        let date = http_date_ms("Sat, 21 Nov 2026 12:00:00 GMT");
        assert_eq!(date, Some(1_795_262_400_000));
        let table = [
            ("0", Some(0)),
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("-3", Some(0)),
            ("1000000000", Some(300)),
            ("1e9", Some(300)),
            ("inf", Some(300)),
            ("NaN", None),
            ("Sat, 21 Nov 2026 12:01:00 GMT", Some(60)),
            ("Sat, 21 Nov 2026 11:00:00 GMT", Some(0)),
            ("Sat, 21 Nov 2099 11:00:00 GMT", Some(300)),
            ("soon", None),
            ("", None),
        ];
        for (value, seconds) in table {
            assert_eq!(retry_after(value, date).map(|wait| wait.as_secs()), seconds, "{value:?}");
        }
        assert_eq!(
            retry_after("Sat, 21 Nov 2026 12:01:00 GMT", None),
            None,
            "a date needs the platform's clock"
        );
    }

    #[test]
    fn the_reset_is_set_against_the_platforms_own_clock() {
        let date = Some(1_795_262_400_000);
        assert_eq!(until_reset("1795262445", date), Some(Duration::from_secs(45)));
        assert_eq!(until_reset("1", date), Some(Duration::ZERO));
        assert_eq!(until_reset("9223372036854775807", date), Some(LONGEST));
        assert_eq!(until_reset("tomorrow", date), None);
        assert_eq!(until_reset("1795262445", None), None);
    }

    proptest! {
        #[test]
        fn never_below_the_configured_poll_and_never_above_five_minutes(
            poll_ms in 1_u64..=300_000,
            remaining in proptest::option::of(any::<u32>()),
            limit in proptest::option::of(any::<u32>()),
            hold_s in proptest::option::of(any::<u64>()),
            reads_a_poll in any::<u32>(),
            faults in any::<u32>(),
            jitter in any::<f64>(),
        ) {
            let poll = Duration::from_millis(poll_ms);
            let budget = Budget { remaining, limit, hold_reads: hold_s.map(Duration::from_secs), window: HOUR, reads_a_poll };
            let next = next_poll(poll, budget, faults, jitter);
            prop_assert!(next >= poll && next <= LONGEST);
        }

        #[test]
        fn whatever_a_header_says_the_wait_is_within_reason(value in ".*", number in any::<f64>(), date in any::<i64>()) {
            for text in [value, number.to_string()] {
                prop_assert!(retry_after(&text, Some(date)).is_none_or(|wait| wait <= LONGEST));
                prop_assert!(until_reset(&text, Some(date)).is_none_or(|wait| wait <= LONGEST));
            }
        }

        #[test]
        fn fewer_requests_left_never_make_the_poll_faster(limit in 100_u32..10_000, a in 0_u32..10_000, b in 0_u32..10_000) {
            let of = |remaining| Budget { remaining: Some(remaining), limit: Some(limit), hold_reads: None, window: HOUR, reads_a_poll: 1 };
            let (few, many) = (a.min(b), a.max(b));
            prop_assert!(next_poll(POLL, of(few), 0, 0.0) >= next_poll(POLL, of(many), 0, 0.0));
        }
    }
}
