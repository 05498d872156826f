//! What Prometheus scrapes.
//!
//! Process-wide families live in a [`prometheus::Registry`] of our own. An app has some eighty series, and ten
//! thousand apps would cost gigabytes as one library object a series, so an app's figures are a few hundred bytes
//! of atomics ([`AppMetrics`]) that become the library's types only while they are rendered, a few hundred apps
//! at a time. A scrape touches neither the journal nor a platform.

mod app;
mod notifications;
mod process;
mod render;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus::core::Collector;
use prometheus::{Gauge, GaugeVec, Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};
use tokio::sync::watch;

use crate::decision::prediction::Efficacy;
use crate::ids::AppName;
use crate::platform::http::CODES;
use crate::platform::operation;

pub use app::{AppMetrics, PROBE_RESULTS};
use notifications::Notifications;
pub use notifications::Notified;
pub use render::render;

/// The statuses that are there from the start, beside every word of [`CODES`]; others appear when they happen.
const STATUSES: [&str; 12] =
    ["200", "400", "401", "403", "404", "409", "412", "429", "500", "502", "503", "504"];
/// Detection: from a burst's second to the end of a long watch.
const DETECT_BUCKETS: [f64; 12] =
    [1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0];
/// Restoration: a rollback takes one to two minutes on the platform.
const RESTORE_BUCKETS: [f64; 11] =
    [5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0];

/// Every family that is not an app's.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Requests to platforms, by platform, operation and status or failure.
    pub platform_requests: IntCounterVec,
    /// Requests left in the platform's window.
    pub rate_limit_remaining: GaugeVec,
    /// From the first failing sample to the decision.
    pub time_to_detect: Histogram,
    /// From the first failing sample to the first Good verdict after the rollback.
    pub time_to_restore: Histogram,
    /// Rollbacks whose soak is over, by what they did.
    pub rollback_efficacy: IntCounterVec,
    /// The account's balance, by platform; no series while it is not known.
    pub balance: GaugeVec,
    /// The day that the apps' bandwidth is of, by platform; no series while none is known.
    pub bandwidth_day: GaugeVec,
    /// 1 while the configuration in force is the one in the file.
    pub reload_successful: IntGauge,
    /// The storm breaker is open.
    pub storm: IntGauge,
    /// The journal takes writes.
    pub journal_writable: IntGauge,
    last_tick: Gauge,
    notifications: Notifications,
    apps: watch::Sender<Arc<BTreeMap<AppName, Arc<AppMetrics>>>>,
}

impl Metrics {
    /// All families, registered. `platforms` get their series at zero.
    pub fn new(platforms: &[&str]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let version = Opts::new("rearguard_build_info", "Always 1; the version that runs.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        let build = IntGauge::with_opts(version)?;
        build.set(1);
        let metrics = Self {
            platform_requests: IntCounterVec::new(
                Opts::new(
                    "rearguard_platform_requests_total",
                    "Requests to a platform by operation and HTTP status, or kind of failure.",
                ),
                &["platform", "operation", "code"],
            )?,
            rate_limit_remaining: GaugeVec::new(
                Opts::new(
                    "rearguard_platform_rate_limit_remaining",
                    "Requests the platform still allows in its window, as of its last answer.",
                ),
                &["platform"],
            )?,
            balance: GaugeVec::new(
                Opts::new(
                    "rearguard_account_balance_dollars",
                    "The account's balance as of the last billing, as the platform says; absent while not known.",
                ),
                &["platform"],
            )?,
            bandwidth_day: GaugeVec::new(
                Opts::new(
                    "rearguard_app_bandwidth_day_timestamp_seconds",
                    "Unix time at which the day began, in UTC, that the platform's apps' bandwidth is of.",
                ),
                &["platform"],
            )?,
            time_to_detect: histogram(
                "rearguard_time_to_detect_seconds",
                "From the first failing sample of the accused deployment to the decision.",
                &DETECT_BUCKETS,
            )?,
            time_to_restore: histogram(
                "rearguard_time_to_restore_seconds",
                "From the first failing sample to the first Good verdict after the rollback was live.",
                &RESTORE_BUCKETS,
            )?,
            rollback_efficacy: IntCounterVec::new(
                Opts::new(
                    "rearguard_rollback_efficacy_total",
                    "Rollbacks whose soak is over, by what they did to what the rule that fired measures.",
                ),
                &["result"],
            )?,
            reload_successful: IntGauge::new(
                "rearguard_config_last_reload_successful",
                "1 when the last attempt to load the configuration succeeded.",
            )?,
            storm: IntGauge::new(
                "rearguard_storm",
                "1 while the storm breaker is open: no rollback is created until an operator resumes.",
            )?,
            journal_writable: IntGauge::new(
                "rearguard_journal_writable",
                "1 while the journal takes writes; nothing is done to a platform otherwise.",
            )?,
            last_tick: Gauge::new(
                "rearguard_last_tick_timestamp_seconds",
                "Unix time at which the slowest of all loops last came round.",
            )?,
            notifications: Notifications::new()?,
            apps: watch::Sender::new(Arc::default()),
            registry,
        };
        metrics.register(build)?;
        for efficacy in Efficacy::ALL {
            metrics.rollback_efficacy.with_label_values(&[efficacy.word()]).inc_by(0);
        }
        for platform in platforms {
            metrics.add_platform(platform);
        }
        Ok(metrics)
    }

    fn register(&self, build: IntGauge) -> Result<(), prometheus::Error> {
        let registry = &self.registry;
        registry.register(Box::new(build))?;
        registry.register(Box::new(self.platform_requests.clone()))?;
        registry.register(Box::new(self.rate_limit_remaining.clone()))?;
        registry.register(Box::new(self.balance.clone()))?;
        registry.register(Box::new(self.bandwidth_day.clone()))?;
        registry.register(Box::new(self.time_to_detect.clone()))?;
        registry.register(Box::new(self.time_to_restore.clone()))?;
        registry.register(Box::new(self.rollback_efficacy.clone()))?;
        registry.register(Box::new(self.reload_successful.clone()))?;
        registry.register(Box::new(self.storm.clone()))?;
        registry.register(Box::new(self.journal_writable.clone()))?;
        registry.register(Box::new(self.last_tick.clone()))?;
        self.notifications.register(registry)?;
        registry.register(Box::new(process::Process::new()))
    }

    /// A platform's series at zero.
    pub fn add_platform(&self, platform: &str) {
        for operation in operation::ALL {
            for code in STATUSES.iter().chain(&CODES) {
                self.platform_requests.with_label_values(&[platform, operation, code]);
            }
        }
        self.rate_limit_remaining.with_label_values(&[platform]);
    }

    /// Forgets a platform that left the configuration.
    pub fn forget_platform(&self, platform: &str) {
        // An error means that the series is not there, which is what is wanted.
        let _ = self.rate_limit_remaining.remove_label_values(&[platform]);
        show(&self.balance, platform, None);
        show(&self.bandwidth_day, platform, None);
        for family in self.platform_requests.collect() {
            for series in family.get_metric() {
                let label = |name| {
                    let found = series.get_label().iter().find(|label| label.name() == name);
                    found.map_or("", |label| label.value())
                };
                if label("platform") == platform {
                    let values = [platform, label("operation"), label("code")];
                    let _ = self.platform_requests.remove_label_values(&values);
                }
            }
        }
    }

    /// The figures of an app.
    pub fn of_app(&self, app: &AppName) -> Option<Arc<AppMetrics>> {
        self.apps.borrow().get(app).cloned()
    }

    /// Shows `metrics` under its app's name. Series of the same app that were shown before are replaced.
    pub fn show_app(&self, metrics: Arc<AppMetrics>) {
        self.apps.send_modify(|apps| {
            Arc::make_mut(apps).insert(metrics.app().clone(), metrics);
        });
    }

    /// Forgets an app that left the configuration, unless another one shows itself under its name already.
    pub fn forget_app(&self, metrics: &Arc<AppMetrics>) {
        self.apps.send_if_modified(|apps| {
            let is_shown = apps.get(metrics.app()).is_some_and(|shown| Arc::ptr_eq(shown, metrics));
            if is_shown {
                Arc::make_mut(apps).remove(metrics.app());
            }
            is_shown
        });
    }

    /// Notes when the slowest loop last came round.
    pub fn set_last_tick(&self, unix_seconds: f64) {
        self.last_tick.set(unix_seconds);
    }
}

/// Shows a platform's figure, or nothing where it is not known.
pub fn show(family: &GaugeVec, platform: &str, value: Option<f64>) {
    match value {
        Some(value) => family.with_label_values(&[platform]).set(value),
        // An error means that the series is not there, which is what is wanted.
        None => drop(family.remove_label_values(&[platform])),
    }
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
}

/// A loop's sign of life: the steady clock's milliseconds at its last round.
#[derive(Debug, Default)]
pub struct Heartbeat(AtomicI64);

impl Heartbeat {
    /// The loop came round.
    pub fn beat(&self, now: crate::clock::Moment) {
        self.0.store(now.as_millis(), Ordering::Relaxed);
    }

    /// When it last did.
    pub fn last(&self) -> crate::clock::Moment {
        crate::clock::Moment::from_millis(self.0.load(Ordering::Relaxed))
    }
}
