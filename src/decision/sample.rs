//! One result of a probe, and the bounded record of the latest ones that rules read.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rule::regression::{Before, Weighed};
use crate::clock::Moment;
use crate::detection::counters::Step;
use crate::ids::RuleName;

/// One result of a probe. Twenty-four bytes: ten thousand apps keep theirs in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When the request was sent; what decides to which deployment the sample belongs.
    pub at: Moment,
    /// Microseconds until the verdict: of a figure since it was measured.
    pub micros: u32,
    /// What came of it.
    pub result: SampleResult,
}

impl Sample {
    /// Time until the verdict.
    pub fn latency(&self) -> Duration {
        Duration::from_micros(self.micros.into())
    }

    /// When the verdict was there.
    pub fn finished(&self) -> Moment {
        self.at + self.latency()
    }
}

/// What came of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleResult {
    /// The app answered as expected.
    Good,
    /// What share of its requests failed, with nothing against it.
    Share(Step),
    /// The app is at fault.
    Bad(Failure),
    /// It failed, and nobody was asked whether the fault is ours: enough to know that an app was bad before, and not to
    /// accuse anybody.
    Unvouched(Failure),
    /// Nobody can tell: the fault may be ours.
    Unknown(BlindCause),
}

impl SampleResult {
    /// Whether it failed, be it vouched for or not.
    pub fn has_failed(self) -> bool {
        matches!(self, Self::Bad(_) | Self::Unvouched(_))
    }

    /// Whether nothing was wrong: it was good, or a share of failed requests that nobody minds.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Good | Self::Share(_))
    }

    /// How bad it was, from 0 to 1: the share of requests that failed where that was measured.
    pub fn badness(self) -> f64 {
        self.share().unwrap_or(f64::from(u8::from(self.has_failed())))
    }

    /// The share of requests that failed, where that was measured.
    pub fn share(self) -> Option<f64> {
        match self {
            Self::Share(step) | Self::Bad(Failure::Share(step)) | Self::Unvouched(Failure::Share(step)) => {
                Some(step.share())
            }
            _ => None,
        }
    }
}

/// How an app failed a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Its name did not resolve.
    Dns,
    /// No connection.
    Connect,
    /// No TLS session.
    Tls,
    /// No complete answer in time.
    Timeout,
    /// A status that was not expected.
    Status(u16),
    /// A body that was not expected.
    Body,
    /// Too many redirects, or one to nowhere.
    Redirect,
    /// An answer that is not HTTP, or that broke off.
    Protocol,
    /// A figure outside its limits.
    Value,
    /// A share of requests that failed which is too large.
    Share(Step),
    /// No figure where there has to be one.
    Absent,
    /// It says that it does not serve.
    NotServing,
    /// A status of gRPC other than good.
    Grpc(u8),
    /// A certificate that nobody vouches for, or that is for another name.
    Untrusted,
    /// A certificate that has expired, or will sooner than it may.
    Expiring,
    /// The platform holds it to be unhealthy.
    Unhealthy,
}

impl Failure {
    /// The fixed word for metrics and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::Body => "body",
            Self::Redirect => "redirect",
            Self::Protocol => "protocol",
            Self::Value | Self::Share(_) => "value",
            Self::Absent => "absent",
            Self::NotServing => "not_serving",
            Self::Grpc(_) => "grpc",
            Self::Untrusted => "untrusted",
            Self::Expiring => "expiring",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// Why nobody can tell. The labels of `blind_seconds_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlindCause {
    /// The control probes fail as well: our own network.
    Control,
    /// No control probe is configured, and the platform and all apps fail together.
    Peers,
    /// This host could not send the probe (no descriptor, no route, no memory).
    Host,
    /// The app may have been asleep, and an answer that wakes it says nothing of the release.
    Asleep,
    /// This process was held up (stopped, suspended, overloaded) while the probe was under way.
    Overload,
    /// The platform's API does not answer, so it is not known which deployment is live.
    Platform,
    /// The journal cannot be written, so nothing may be done.
    Journal,
    /// Who measures the app does not answer, or does not take the question.
    Source,
    /// Who measures the app has no value.
    Absent,
    /// The clock of this machine is wrong, or the app's certificate begins later.
    Clock,
    /// What the app needs is not well either.
    Dependency,
    /// Other apps of the account fail as well, which have no new release.
    Siblings,
    /// Another release than the one that is live has answered.
    Version,
    /// What is left of the platform's rate limit is for acting.
    RateLimit,
    /// It was as bad before the release, so it says nothing of it.
    Before,
}

impl BlindCause {
    /// Every cause, in the order metrics show them.
    pub const ALL: [Self; 15] = [
        Self::Control,
        Self::Peers,
        Self::Host,
        Self::Asleep,
        Self::Overload,
        Self::Platform,
        Self::Journal,
        Self::Source,
        Self::Absent,
        Self::Clock,
        Self::Dependency,
        Self::Siblings,
        Self::Version,
        Self::RateLimit,
        Self::Before,
    ];

    /// The fixed word for metrics and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Peers => "peers",
            Self::Host => "host",
            Self::Asleep => "asleep",
            Self::Overload => "overload",
            Self::Platform => "platform",
            Self::Journal => "journal",
            Self::Source => "source",
            Self::Absent => "absent",
            Self::Clock => "clock",
            Self::Dependency => "dependency",
            Self::Siblings => "siblings",
            Self::Version => "version",
            Self::RateLimit => "rate_limit",
            Self::Before => "before",
        }
    }
}

/// The latest samples of one probe, oldest first, at most [`Window::MAX`] of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    samples: VecDeque<Sample>,
    /// How many samples are kept.
    capacity: usize,
    /// What samples that may be gone amount to, for the rules that ask for that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    gauges: BTreeMap<RuleName, Gauge>,
}

/// What the samples of a probe amount to, for one rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gauge {
    /// What is known of the release that is live, should another one follow.
    pub before: Option<Before>,
    /// What the samples of the release under watch amount to.
    pub weighed: Option<Weighed>,
}

/// Times of the same scrape differ by what reading two clocks takes.
const SAME_SCRAPE: Duration = Duration::from_millis(50);

impl Window {
    /// The most samples a window may hold: 96 KiB. The configuration refuses a rule that would need more.
    pub const MAX: usize = 4096;

    /// An empty window for `capacity` samples, which is cut to [`Window::MAX`].
    pub fn new(capacity: usize) -> Self {
        Self { samples: VecDeque::new(), capacity: capacity.clamp(1, Self::MAX), gauges: BTreeMap::new() }
    }

    /// Adds the newest sample and forgets the oldest one beyond the capacity. Samples arrive in the order of
    /// their `at`, since a probe has at most one request under way; one that is older than the newest is dropped. A share is
    /// as old as its scrape: that nobody could tell meanwhile is over with it, and one that is there already is not added.
    pub fn push(&mut self, sample: Sample) {
        if sample.result.share().is_some() {
            while self
                .samples
                .back()
                .is_some_and(|last| last.at > sample.at && matches!(last.result, SampleResult::Unknown(_)))
            {
                self.samples.pop_back();
            }
        }
        if self.samples.back().is_some_and(|last| last.at > sample.at) {
            return;
        }
        if self.samples.len() >= self.capacity {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Whether it has this share already: that of a scrape counts once, however often it is asked for.
    pub fn has_share(&self, sample: &Sample) -> bool {
        let is_share = |known: &&Sample| known.result.share().is_some();
        sample.result.share().is_some()
            && self.samples.iter().rev().find(is_share).is_some_and(|last| sample.at <= last.at + SAME_SCRAPE)
    }

    /// All samples, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Sample> {
        self.samples.iter()
    }

    /// The samples sent within `[from, to)`, oldest first.
    pub fn between(&self, from: Moment, to: Moment) -> impl DoubleEndedIterator<Item = &Sample> {
        let start = self.samples.partition_point(|sample| sample.at < from);
        let end = self.samples.partition_point(|sample| sample.at < to);
        self.samples.range(start..end.max(start))
    }

    /// Sees the samples sent at that moment in another light.
    pub fn revise(&mut self, at: Moment, result: impl Fn(&Sample) -> SampleResult) {
        let start = self.samples.partition_point(|sample| sample.at < at);
        for sample in self.samples.range_mut(start..).take_while(|sample| sample.at == at) {
            sample.result = result(sample);
        }
    }

    /// What the samples amount to for a rule.
    pub fn gauge(&self, rule: &RuleName) -> Option<&Gauge> {
        self.gauges.get(rule)
    }

    /// As [`Window::gauge`], to be set.
    pub fn gauge_mut(&mut self, rule: &RuleName) -> &mut Gauge {
        self.gauges.entry(rule.clone()).or_default()
    }

    /// The newest sample.
    pub fn last(&self) -> Option<&Sample> {
        self.samples.back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: i64) -> Sample {
        Sample { at: Moment::from_millis(at), micros: 2_500_000, result: SampleResult::Good }
    }

    fn times<'a>(samples: impl Iterator<Item = &'a Sample>) -> Vec<i64> {
        samples.map(|sample| sample.at.as_millis()).collect()
    }

    #[test]
    fn what_nobody_could_tell_is_over_with_the_share_that_is_older_and_not_with_one_of_its_moment() {
        let unknown = SampleResult::Unknown(BlindCause::Control);
        let share = SampleResult::Share(Step::of(0.5));
        for (at, kept) in [(5, [5].as_slice()), (7, &[7, 7]), (9, &[7, 9])] {
            let mut window = Window::new(16);
            window.push(Sample { result: unknown, ..sample(7) });
            window.push(Sample { result: share, ..sample(at) });
            assert_eq!(times(window.iter()), kept);
        }
    }

    #[test]
    fn an_app_is_well_by_a_sample_that_is_good_or_a_share() {
        let well = |result: SampleResult| result.is_well();
        assert!(well(SampleResult::Good) && well(SampleResult::Share(Step::of(1.0))));
        assert!(
            !well(SampleResult::Bad(Failure::Timeout)) && !well(SampleResult::Unvouched(Failure::Timeout))
        );
        assert!(!well(SampleResult::Unknown(BlindCause::Control)));
    }

    #[test]
    fn a_sample_is_finished_when_its_latency_is_over() {
        assert_eq!(sample(1_000).latency(), Duration::from_millis(2_500));
        assert_eq!(sample(1_000).finished(), Moment::from_millis(3_500));
    }

    #[test]
    fn a_share_counts_once_and_ends_that_nobody_could_tell() {
        assert_eq!(size_of::<Sample>(), 24);
        let share = |at, share| Sample {
            at: Moment::from_millis(at),
            micros: 1,
            result: SampleResult::Share(Step::of(share)),
        };
        let mut window = Window::new(9);
        window.push(share(1_000, 0.5));
        assert_eq!(window.last().and_then(|last| last.result.share()), Some(0.5));
        assert!(window.has_share(&share(1_001, 0.25)) && window.has_share(&share(900, 0.25)));
        assert!(!window.has_share(&share(1_200, 0.25)) && !window.has_share(&sample(1_000)));
        for at in [2_000, 3_000] {
            window.push(Sample { result: SampleResult::Unknown(BlindCause::Absent), ..sample(at) });
        }
        assert!(window.has_share(&share(1_000, 0.5)), "nothing new was scraped meanwhile");
        window.push(share(2_500, 0.25));
        assert_eq!(times(window.iter()), [1_000, 2_000, 2_500]);
        window.push(sample(2_400));
        assert_eq!(times(window.iter()), [1_000, 2_000, 2_500]);
    }

    #[test]
    fn a_window_keeps_the_newest_in_order_and_drops_what_comes_too_late() {
        let mut window = Window::new(3);
        for at in [10, 20, 20, 15, 30] {
            window.push(sample(at));
        }
        assert_eq!(times(window.iter()), [20, 20, 30]);
        assert_eq!(window.last().map(|last| last.at), Some(Moment::from_millis(30)));
    }

    #[test]
    fn a_span_has_its_first_moment_and_not_its_last() {
        let mut window = Window::new(Window::MAX);
        for at in [10, 20, 30, 40] {
            window.push(sample(at));
        }
        let between = |from, to| times(window.between(Moment::from_millis(from), Moment::from_millis(to)));
        assert_eq!(between(20, 40), [20, 30]);
        assert_eq!(between(21, 41), [30, 40]);
        assert_eq!(between(40, 20), [0_i64; 0]);
    }
}
