//! What holds where the file says nothing, and the ranges of what it may say, each with its reason.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Figure;
use crate::decision::sample::Window;
use crate::decision::state::Ledger;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// This machine only: the API can act, and Prometheus is usually near.
pub(super) const LISTEN: &str = "127.0.0.1:9797";
/// Where systemd's `StateDirectory=rearguard` is.
pub(super) const STATE: &str = "/var/lib/rearguard/rearguard.db";
/// A weekend, and the Monday on which somebody sees that a channel is dead.
pub(super) const GIVE_UP: Duration = Duration::from_secs(3 * 86_400);
/// Slack's Web API.
pub(super) const SLACK_API: &str = "https://slack.com/api";
/// A quarter of a year: long enough to look back at an incident in the next review.
pub(super) const RETENTION: Duration = Duration::from_secs(90 * 86_400);
/// More than a handful of apps failing at once is the platform or the network, not their releases.
pub(super) const CONCURRENT_ROLLBACKS: u32 = 3;

/// The platform's public API, <https://docs.digitalocean.com/reference/api/>.
pub(super) const DIGITALOCEAN_API: &str = "https://api.digitalocean.com";
/// The platform's public API, <https://api.sevalla.com/v3/openapi.json>.
pub(super) const SEVALLA_API: &str = "https://api.sevalla.com/v3";
/// 240 polls an hour of the 5000 requests DigitalOcean allows, and a release is noticed well within its watch.
pub(super) const POLL: Duration = Duration::from_secs(15);
/// Lists of deployments take up to a few seconds; beyond ten nobody answers any more.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A write that was applied is visible within seconds; two polls make sure.
pub(super) const RECONCILE: Duration = Duration::from_secs(30);

/// Often enough to know before the next release, at two requests an app.
pub(super) const READINESS: Duration = Duration::from_secs(10 * 60);
/// A figure of a day changes once a day; a quarter of that is soon enough, at a request a hundred apps.
pub(super) const BANDWIDTH: Duration = Duration::from_secs(6 * 3_600);
/// Never: it needs a scope that a token for guarding does not have.
pub(super) const BALANCE: Duration = Duration::ZERO;

/// A failed sample counts only beside a control sample, which is asked for at once, so this need not be short.
pub(super) const CONTROL_PERIOD: Duration = Duration::from_secs(5);
/// As for a probe.
pub(super) const CONTROL_TIMEOUT: Duration = Duration::from_secs(2);

/// Where `siblings` is left out: so many other apps have to be there, and all of them to fail.
pub(crate) const EVERYONE: usize = 3;

/// Most bad releases show in the first minutes; half an hour covers caches that expire and jobs that start.
pub(crate) const WATCH: Duration = Duration::from_secs(30 * 60);
/// Cheap for the app, and quick enough that steady trouble is known before a release.
pub(crate) const PERIOD: Duration = Duration::from_secs(5);
/// Three failures in a row are seen in six seconds.
pub(super) const WATCH_PERIOD: Duration = Duration::from_secs(2);
/// Doubt is settled at one request a second, which no app minds.
pub(super) const BURST: Duration = Duration::from_secs(1);
/// A health endpoint that takes longer is as good as down for its users.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// App Platform sends traffic only to what passed its own health check.
pub(super) const SETTLE: Duration = Duration::ZERO;

/// A usual scrape interval: between two scrapes the same value would be counted twice.
pub(super) const FIGURE_PERIOD: Duration = Duration::from_secs(15);
/// As long as Prometheus itself looks back, <https://prometheus.io/docs/prometheus/latest/querying/basics/#staleness>.
pub(super) const MAX_AGE: Duration = Duration::from_secs(5 * 60);
/// Two scrapes at Prometheus' own default of a minute, and a little more.
pub(super) const COUNTED: Duration = Duration::from_secs(150);
/// One request is a share of nothing or of all; the share of each scrape counts alike all the same.
pub(super) const MIN_REQUESTS: u32 = 1;
/// Prometheus' own default between two scrapes: the first one counts what was of the release before as well.
pub(super) const COUNTED_SETTLE: Duration = MINUTE;

/// How long a platform's value may be of the release before.
pub(super) fn settle(figure: Figure) -> Duration {
    match figure {
        // Counted from the release on.
        Figure::RestartCount => Duration::ZERO,
        // Points of the platform's own example are two minutes apart, and may be of the time between them.
        Figure::CpuPercentage | Figure::MemoryPercentage => Duration::from_secs(120),
        // A point a minute; and what was live before is asked to stop, and ends, within that.
        _ => MINUTE,
    }
}

/// Certificates are renewed weeks ahead, as a rule a third of their time: who has a week left has missed it.
pub(super) const CERTIFICATE: Duration = Duration::from_secs(7 * 86_400);
/// They change a few times a year.
pub(super) const CERTIFICATE_PERIOD: Duration = MINUTE;
/// The thirty samples of a soak come in less than its ten minutes.
pub(super) const CERTIFICATE_WATCH_PERIOD: Duration = Duration::from_secs(15);

/// A minute's samples at the pace of a watch, twice.
pub(super) const OVER: Duration = Duration::from_secs(120);
/// With fewer, one unlucky sample weighs more than 5 %.
pub(super) const MIN_SAMPLES: u32 = 20;

/// One wrong rollback in a thousand releases: years, for most.
pub(crate) const FALSE_ROLLBACK_PROBABILITY: f64 = 0.001;
/// What users hardly notice; 10 % of failures are found in minutes.
pub(crate) const WORSE_BY: f64 = 0.02;
/// Nobody notices a page that takes a third longer, and the time of day alone does that much.
pub(crate) const SLOWER_BY: f64 = 0.5;
/// Users of an app that counts its errors notice less of them than a probe that fails does.
pub(crate) const MORE_ERRORS: f64 = 0.01;
/// A slow spell lasts longer than a lost connection does. Longer ones are learnt.
pub(crate) const SLOW_SPELL: Duration = Duration::from_secs(10);
/// An ordinary hiccup of a network. Longer ones are learnt.
pub(crate) const GLITCH: Duration = Duration::from_secs(5);
/// Two failures may be one event seen twice.
pub(crate) const MIN_FAILURES: u32 = 3;

/// Long enough for caches and connections to settle after the rollback, short enough that the pin goes soon.
pub(super) const SOAK: Duration = Duration::from_secs(10 * 60);
/// A minute's samples at the pace of a watch.
pub(super) const SOAK_SAMPLES: u32 = 30;

/// As long as a watch: what fails again within it was not cured by a rollback.
pub(super) const COOLDOWN: Duration = Duration::from_secs(30 * 60);
/// A third rollback within [`PER`] needs a person.
pub(super) const MAX_ROLLBACKS: u32 = 2;
/// A day, in which somebody looks.
pub(super) const PER: Duration = Duration::from_secs(86_400);

/// Times that are allowed.
pub(super) type Times = RangeInclusive<Duration>;

/// From a minute (for trying out) to a month, after which nobody wants to be told any more.
pub(super) const GIVE_UP_RANGE: Times = MINUTE..=Duration::from_secs(30 * 86_400);
/// From a minute (for trying out; nobody looks back at less than days) to ten years, which are for ever.
pub(super) const RETENTION_RANGE: Times = MINUTE..=Duration::from_secs(3_650 * 86_400);
/// Below 100 ms a platform's rate limit is gone in minutes; above an hour a watch could pass unseen.
pub(super) const POLL_RANGE: Times = Duration::from_millis(100)..=HOUR;
/// A request that may take minutes would hold up every app of its account.
pub(super) const REQUEST_TIMEOUT_RANGE: Times = Duration::from_millis(100)..=Duration::from_secs(120);
/// Long enough for a slow answer, at most an hour with the app's automation waiting.
pub(super) const RECONCILE_RANGE: Times = Duration::from_millis(100)..=HOUR;
/// More than ten requests a second to one URL is a load test.
pub(super) const PACE_RANGE: Times = Duration::from_millis(100)..=HOUR;
/// A sample keeps its latency in 32 bits of microseconds, a little over an hour; a minute is patient enough.
pub(super) const PROBE_TIMEOUT_RANGE: Times = Duration::from_millis(10)..=MINUTE;
/// As long as a bad release is looked after before anybody answers.
pub(super) const APPROVE_WITHIN: Duration = Duration::from_secs(30 * 60);
/// Below a minute nobody can answer; what nobody answers in a day is no question any more.
pub(super) const APPROVE_WITHIN_RANGE: Times = MINUTE..=DAY;
/// What is offered where somebody asks for a restart and says nothing sensible of the wait.
pub(super) const RESTART_FIRST: Duration = Duration::from_secs(90);
/// Long enough for a few samples; an hour with a bad release live is no attempt any more.
pub(super) const RESTART_FIRST_RANGE: Times = SECOND..=HOUR;
/// Once a minute costs more than the poll; what is older than a day says little of tonight.
pub(super) const READINESS_RANGE: Times = MINUTE..=DAY;
/// The figures are a day's or a billing's: more often shows nothing new, and what is asked for once a week is history.
pub(super) const FIGURES_RANGE: Times = Duration::from_secs(10 * 60)..=Duration::from_secs(7 * 86_400);
/// Below a scrape interval there is never a value; above an hour it says nothing of a watch.
pub(super) const MAX_AGE_RANGE: Times = Duration::from_secs(5)..=HOUR;
/// From those that are valid now to a year, longer than a public certificate is good for.
pub(super) const CERTIFICATE_RANGE: Times = Duration::ZERO..=Duration::from_secs(365 * 86_400);
/// A watch of days keeps accusing releases of what came after them.
pub(super) const WATCH_RANGE: Times = SECOND..=Duration::from_secs(7 * 86_400);
/// None, up to a day; an app that takes longer to start is better probed elsewhere.
pub(super) const SETTLE_RANGE: Times = Duration::ZERO..=DAY;
/// From one fast sample up to the longest watch. One that is longer than its app's watch counts what there is.
pub(super) const OVER_RANGE: Times = Duration::from_millis(100)..=Duration::from_secs(7 * 86_400);
/// Trouble that lasts longer than a minute is an incident, and no glitch.
pub(super) const GLITCH_RANGE: Times = Duration::ZERO..=MINUTE;
/// A latency below a millisecond is noise.
pub(super) const LATENCY_RANGE: Times = MS..=MINUTE;
/// A rollback has to show something, and a pin must not last for ever.
pub(super) const SOAK_RANGE: Times = SECOND..=Duration::from_secs(7 * 86_400);
/// None is allowed: `max_rollbacks` is there as well.
pub(super) const COOLDOWN_RANGE: Times = Duration::ZERO..=Duration::from_secs(30 * 86_400);
/// From a second (for trying out) to as long as anybody remembers.
pub(super) const PER_RANGE: Times = SECOND..=Duration::from_secs(365 * 86_400);

/// Numbers that are allowed.
pub(super) type Counts = RangeInclusive<u64>;

/// A thousand samples in a row are hours of outage.
pub(super) const CONSECUTIVE_RANGE: Counts = 1..=1_000;
/// No more than half of what a window can hold, so that samples that say nothing do not push the others out.
pub(super) const SAMPLES_RANGE: Counts = 1..=(Window::MAX / 2) as u64;
/// Zero would be mode observe; more than the ledger remembers could not be counted.
pub(super) const MAX_ROLLBACKS_RANGE: Counts = 1..=Ledger::KEEP as u64;
/// Zero would be mode observe for everything.
pub(super) const CONCURRENT_RANGE: Counts = 1..=10_000;
/// HTTP's three digits.
pub(super) const STATUS_RANGE: Counts = 100..=599;

/// Samples that are kept even when no rule needs them, so that people see how an app was.
pub(super) const WINDOW_FLOOR: usize = 32;
/// A streak passes over samples that say nothing: room for as many of those as of the others, and for a few more.
pub(super) const STREAK_SLACK: usize = 16;
/// A deployment is noticed a poll after it went live, and a poll may be missed: the samples from before it are
/// still there then.
pub(super) const POLLS_BACK: u32 = 2;
