//! One app's figures: a few hundred bytes of atomics, written by the app's own task and read by scrapes.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;
use crate::decision::effect::{DECISIONS, Reason, Verb};
use crate::decision::policy::Policy;
use crate::decision::readiness::REASONS;
use crate::decision::rule::{Reading, Verdict};
use crate::decision::sample::{BlindCause, Failure, Sample, SampleResult};
use crate::decision::state::{Outcome, Stage, State};
use crate::ids::AppName;

/// The `result` labels of `probes_total`.
pub const PROBE_RESULTS: [&str; 16] = [
    "good",
    "unknown",
    "dns",
    "connect",
    "tls",
    "timeout",
    "status",
    "body",
    "redirect",
    "protocol",
    "value",
    "absent",
    "not_serving",
    "grpc",
    "untrusted",
    "expiring",
];

/// Upper bounds of `probe_duration_seconds`, in microseconds.
pub(super) const DURATION_BUCKETS: [u32; 11] =
    [5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000];

/// One app's figures.
pub struct AppMetrics {
    app: AppName,
    pub(super) state: AtomicU8,
    /// A place in [`Stage::WORDS`] from 1 on, or 0 outside incidents.
    pub(super) stage: AtomicU8,
    pub(super) rules: Vec<RuleMetrics>,
    pub(super) probes: Vec<ProbeMetrics>,
    pub(super) decisions: Vec<AtomicU32>,
    pub(super) incidents: [AtomicU32; Outcome::ALL.len()],
    pub(super) rollbacks: [AtomicU32; Outcome::ALL.len()],
    /// Releases that went live.
    pub(super) released: AtomicU32,
    /// Deployments that failed before they went live.
    pub(super) failed: AtomicU32,
    pub(super) blind_ms: [AtomicU64; BlindCause::ALL.len()],
    pub(super) pinned: AtomicBool,
    pub(super) paused: AtomicBool,
    /// Why a rollback would not be made now: a place in [`REASONS`] from 1 on, or 0 when it would.
    pub(super) unready: AtomicU8,
    /// Bytes of the day, as bits; NaN while not known.
    bandwidth: AtomicU64,
    /// When the soak ends, as steady milliseconds; zero outside soaks.
    pub(super) soak_until: AtomicI64,
}

pub(super) struct RuleMetrics {
    pub(super) name: String,
    pub(super) threshold: f64,
    pub(super) verdict: AtomicU8,
    pub(super) value: AtomicU64,
}

pub(super) struct ProbeMetrics {
    pub(super) name: String,
    pub(super) results: [AtomicU32; PROBE_RESULTS.len()],
    pub(super) buckets: [AtomicU32; DURATION_BUCKETS.len() + 1],
    pub(super) sum_micros: AtomicU64,
}

impl AppMetrics {
    /// All series of `policy`'s app, at zero.
    pub fn new(policy: &Policy) -> Self {
        let rules = policy.rules.iter().map(|rule| RuleMetrics {
            name: rule.name.to_string(),
            threshold: threshold(rule),
            verdict: AtomicU8::new(index_of(&Verdict::ALL, &Verdict::Unknown)),
            value: AtomicU64::new(f64::NAN.to_bits()),
        });
        let probes = policy.probes.iter().map(|probe| ProbeMetrics {
            name: probe.name.to_string(),
            results: Default::default(),
            buckets: Default::default(),
            sum_micros: AtomicU64::new(0),
        });
        Self {
            app: policy.app.clone(),
            state: AtomicU8::new(0),
            stage: AtomicU8::new(0),
            rules: rules.collect(),
            probes: probes.collect(),
            decisions: DECISIONS.iter().map(|_| AtomicU32::new(0)).collect(),
            incidents: Default::default(),
            rollbacks: Default::default(),
            released: AtomicU32::new(0),
            failed: AtomicU32::new(0),
            blind_ms: Default::default(),
            pinned: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            unready: AtomicU8::new(1 + index_of(&REASONS, &Reason::Blind)),
            bandwidth: AtomicU64::new(f64::NAN.to_bits()),
            soak_until: AtomicI64::new(0),
        }
    }

    /// The series of `policy`, with the counts that `old` had: a counter goes on when a rule changes.
    pub fn following(policy: &Policy, old: &Self) -> Self {
        let new = Self::new(policy);
        carry(&old.decisions, &new.decisions);
        carry(&old.incidents, &new.incidents);
        carry(&old.rollbacks, &new.rollbacks);
        for (old, new) in old.blind_ms.iter().zip(&new.blind_ms) {
            new.store(old.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        new.released.store(old.released.load(Ordering::Relaxed), Ordering::Relaxed);
        new.failed.store(old.failed.load(Ordering::Relaxed), Ordering::Relaxed);
        new.state.store(old.state.load(Ordering::Relaxed), Ordering::Relaxed);
        new.stage.store(old.stage.load(Ordering::Relaxed), Ordering::Relaxed);
        for probe in &new.probes {
            let Some(old) = old.probes.iter().find(|old| old.name == probe.name) else { continue };
            carry(&old.results, &probe.results);
            carry(&old.buckets, &probe.buckets);
            probe.sum_micros.store(old.sum_micros.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        new
    }

    /// The word of the state that was shown last.
    pub fn state_word(&self) -> &'static str {
        State::WORDS.get(usize::from(self.state.load(Ordering::Relaxed))).copied().unwrap_or(State::WORDS[0])
    }

    /// The app's name.
    pub fn app(&self) -> &AppName {
        &self.app
    }

    /// Counts a sample of the probe at `probe`.
    pub fn sample(&self, probe: usize, sample: &Sample) {
        let Some(metrics) = self.probes.get(probe) else { return };
        let result = match sample.result {
            SampleResult::Good | SampleResult::Share(_) => "good",
            SampleResult::Unknown(_) => "unknown",
            SampleResult::Bad(failure) | SampleResult::Unvouched(failure) => failure_word(failure),
        };
        if let Some(n) = PROBE_RESULTS.iter().position(|word| *word == result) {
            metrics.results[n].fetch_add(1, Ordering::Relaxed);
        }
        let bucket = DURATION_BUCKETS.partition_point(|bound| *bound < sample.micros);
        metrics.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        metrics.sum_micros.fetch_add(sample.micros.into(), Ordering::Relaxed);
    }

    /// Counts a decision.
    pub fn decision(&self, verb: Verb, reason: Reason) {
        if let Some(n) = DECISIONS.iter().position(|pair| *pair == (verb, reason)) {
            self.decisions[n].fetch_add(1, Ordering::Relaxed);
        } else {
            tracing::error!(verb = verb.word(), reason = reason.word(), "a decision without a series");
        }
    }

    /// Counts a closed incident, and its rollback if one was created.
    pub fn closed(&self, outcome: Outcome, rolled_back: bool) {
        let n = usize::from(index_of(&Outcome::ALL, &outcome));
        self.incidents[n].fetch_add(1, Ordering::Relaxed);
        if rolled_back {
            self.rollbacks[n].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a release that went live.
    pub fn released(&self) {
        self.released.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a deployment that failed before it went live.
    pub fn deployment_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts time in which nobody could tell how the app is.
    pub fn blind(&self, cause: BlindCause, span: Duration) {
        let n = usize::from(index_of(&BlindCause::ALL, &cause));
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.blind_ms[n].fetch_add(millis, Ordering::Relaxed);
    }

    /// Shows what the app sent in a day, in bytes.
    #[expect(clippy::cast_precision_loss, reason = "exact up to eight petabytes a day")]
    pub fn show_bandwidth(&self, bytes: Option<u64>) {
        let bytes = bytes.map_or(f64::NAN, |bytes| bytes as f64);
        self.bandwidth.store(bytes.to_bits(), Ordering::Relaxed);
    }

    /// What was shown last; none while it is not known.
    pub(super) fn bandwidth(&self) -> Option<f64> {
        Some(f64::from_bits(self.bandwidth.load(Ordering::Relaxed))).filter(|bytes| !bytes.is_nan())
    }

    /// Shows why a rollback would not be made now; none when it would.
    pub fn show_unready(&self, reason: Option<Reason>) {
        let unready = reason.map_or(0, |reason| 1 + index_of(&REASONS, &reason));
        self.unready.store(unready, Ordering::Relaxed);
    }

    /// Shows where the app stands.
    pub fn show(
        &self,
        state: &State,
        readings: &[Reading],
        pinned: bool,
        paused: bool,
        soak_until: Option<Moment>,
    ) {
        self.state.store(index_of(&State::WORDS, &state.word()), Ordering::Relaxed);
        let stage = state.incident().map(|incident| incident.stage.word());
        let stage = stage.map_or(0, |stage| 1 + index_of(&Stage::WORDS, &stage));
        self.stage.store(stage, Ordering::Relaxed);
        for (metrics, reading) in self.rules.iter().zip(readings) {
            metrics.verdict.store(index_of(&Verdict::ALL, &reading.verdict), Ordering::Relaxed);
            metrics.value.store(reading.value.unwrap_or(f64::NAN).to_bits(), Ordering::Relaxed);
        }
        self.pinned.store(pinned, Ordering::Relaxed);
        self.paused.store(paused, Ordering::Relaxed);
        self.soak_until.store(soak_until.map_or(0, Moment::as_millis), Ordering::Relaxed);
    }
}

fn carry(old: &[AtomicU32], new: &[AtomicU32]) {
    for (old, new) in old.iter().zip(new) {
        new.store(old.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn threshold(rule: &crate::decision::policy::Rule) -> f64 {
    use crate::decision::policy::Condition;
    let [only] = rule.tests.as_slice() else { return rule.needed as f64 };
    match &only.condition {
        Condition::ConsecutiveFailures { count } => f64::from(*count),
        Condition::FailureRatio { above, .. } => *above,
        Condition::Latency { above, .. } => above.as_secs_f64(),
        Condition::Regression(regression) => 1.0 / regression.probability,
    }
}

fn failure_word(failure: Failure) -> &'static str {
    failure.word()
}

fn index_of<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|entry| entry == one).and_then(|n| u8::try_from(n).ok()).unwrap_or(0)
}
