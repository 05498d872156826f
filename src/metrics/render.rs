//! Renders everything as Prometheus text 0.0.4, family by family, a few hundred apps at a time.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use super::Metrics;
use super::app::{AppMetrics, DURATION_BUCKETS, PROBE_RESULTS};
use crate::clock::Moment;
use crate::decision::effect::DECISIONS;
use crate::decision::readiness::REASONS;
use crate::decision::rule::Verdict;
use crate::decision::sample::BlindCause;
use crate::decision::state::{Outcome, Stage, State};

/// How many apps are turned into the library's types at a time: bounds the memory a scrape takes.
const CHUNK: usize = 256;

/// Name, help, kind and maker of each family of an app.
type Family = (&'static str, &'static str, MetricType, fn(&AppMetrics, Moment, &mut Vec<Metric>));

/// The text of all families, as of `now`.
pub fn render(metrics: &Metrics, now: Moment) -> Result<Vec<u8>, prometheus::Error> {
    let encoder = TextEncoder::new();
    let mut text = Vec::with_capacity(16 * 1024);
    encoder.encode(&metrics.registry.gather(), &mut text)?;
    let apps: Vec<Arc<AppMetrics>> = metrics.apps.borrow().values().cloned().collect();
    for (name, help, kind, make) in FAMILIES {
        let mut is_headed = false;
        for chunk in apps.chunks(CHUNK) {
            let mut series = Vec::with_capacity(chunk.len() * 8);
            for app in chunk {
                make(app, now, &mut series);
            }
            let mut family = MetricFamily::default();
            family.set_name((*name).to_owned());
            family.set_help((*help).to_owned());
            family.set_field_type(*kind);
            family.set_metric(series);
            if family.get_metric().is_empty() {
                continue;
            }
            let mut part = Vec::with_capacity(chunk.len() * 256);
            encoder.encode(&[family], &mut part)?;
            // The header stands once, before the first chunk that has something.
            let skip = if mem::replace(&mut is_headed, true) { header_length(&part) } else { 0 };
            text.extend_from_slice(&part[skip..]);
        }
        if !is_headed {
            // A family is there although nothing in it is known now; the encoder refuses an empty one.
            let kind = format!("{kind:?}").to_lowercase();
            text.extend_from_slice(format!("# HELP {name} {help}\n# TYPE {name} {kind}\n").as_bytes());
        }
    }
    Ok(text)
}

fn header_length(text: &[u8]) -> usize {
    let mut length = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if !line.starts_with(b"#") {
            break;
        }
        length += line.len();
    }
    length
}

const FAMILIES: &[Family] = &[
    ("rearguard_app_state", "1 for the state the app is in.", MetricType::GAUGE, |app, _, out| {
        let current = usize::from(app.state.load(Ordering::Relaxed));
        for (n, word) in State::WORDS.iter().enumerate() {
            out.push(gauge(f64::from(u8::from(n == current)), &[("app", name(app)), ("state", word)]));
        }
    }),
    (
        "rearguard_incident_stage",
        "1 for the stage of the app's open incident; absent outside incidents.",
        MetricType::GAUGE,
        |app, _, out| {
            // Seven series an app, nearly always at zero, would be a tenth of all there are.
            let current = usize::from(app.stage.load(Ordering::Relaxed)).checked_sub(1);
            let word = current.and_then(|place| Stage::WORDS.get(place));
            out.extend(word.map(|word| gauge(1.0, &[("app", name(app)), ("stage", word)])));
        },
    ),
    (
        "rearguard_rule_verdict",
        "1 for the verdict of the rule on the live deployment.",
        MetricType::GAUGE,
        verdicts,
    ),
    (
        "rearguard_signal_value",
        "What the rule measures now, in the threshold's unit; NaN when nothing was measured.",
        MetricType::GAUGE,
        |app, _, out| {
            for rule in &app.rules {
                let value = f64::from_bits(rule.value.load(Ordering::Relaxed));
                out.push(gauge(value, &[("app", name(app)), ("rule", &rule.name)]));
            }
        },
    ),
    (
        "rearguard_signal_threshold",
        "What the rule's signal is held against: failures in a row, a ratio, or seconds.",
        MetricType::GAUGE,
        |app, _, out| {
            for rule in &app.rules {
                out.push(gauge(rule.threshold, &[("app", name(app)), ("rule", &rule.name)]));
            }
        },
    ),
    ("rearguard_probes_total", "Samples of a probe by result.", MetricType::COUNTER, |app, _, out| {
        for probe in &app.probes {
            for (word, count) in PROBE_RESULTS.iter().zip(&probe.results) {
                let labels = [("app", name(app)), ("probe", probe.name.as_str()), ("result", word)];
                out.push(counter(load(count), &labels));
            }
        }
    }),
    (
        "rearguard_probe_duration_seconds",
        "Time from sending a probe to its verdict.",
        MetricType::HISTOGRAM,
        durations,
    ),
    (
        "rearguard_rollbacks_total",
        "Rollbacks created, by the outcome of their incident; counted when it closes.",
        MetricType::COUNTER,
        |app, _, out| outcomes(app, &app.rollbacks, out),
    ),
    (
        "rearguard_decisions_total",
        "Decisions by reason; every refusal counts.",
        MetricType::COUNTER,
        |app, _, out| {
            for ((verb, reason), count) in DECISIONS.iter().zip(&app.decisions) {
                let labels = [("app", name(app)), ("decision", verb.word()), ("reason", reason.word())];
                out.push(counter(load(count), &labels));
            }
        },
    ),
    ("rearguard_incidents_total", "Incidents closed, by outcome.", MetricType::COUNTER, |app, _, out| {
        outcomes(app, &app.incidents, out);
    }),
    (
        "rearguard_rollback_ready",
        "1 when there is a target that the platform, asked in quiet times, would accept a rollback to.",
        MetricType::GAUGE,
        |app, _, out| out.push(flag(app, app.unready.load(Ordering::Relaxed) == 0)),
    ),
    (
        "rearguard_rollback_not_ready",
        "1 for the reason why a rollback would not be made now; blind while nobody was asked, or the answer is old.",
        MetricType::GAUGE,
        |app, _, out| {
            let current = usize::from(app.unready.load(Ordering::Relaxed));
            for (n, reason) in REASONS.iter().enumerate() {
                let labels = [("app", name(app)), ("reason", reason.word())];
                out.push(gauge(f64::from(u8::from(n + 1 == current)), &labels));
            }
        },
    ),
    (
        "rearguard_releases_total",
        "Releases that went live and came under watch; not rollbacks, restarts and the platform's upkeep.",
        MetricType::COUNTER,
        |app, _, out| out.push(counter(load(&app.released), &[("app", name(app))])),
    ),
    (
        "rearguard_deployments_failed_total",
        "Deployments that failed before they went live: nothing to roll back from.",
        MetricType::COUNTER,
        |app, _, out| out.push(counter(app.failed.load(Ordering::Relaxed).into(), &[("app", name(app))])),
    ),
    (
        "rearguard_pinned",
        "1 while the app is pinned to a rollback: nothing else can be deployed or, where rearguard pauses them, no pushes.",
        MetricType::GAUGE,
        |app, _, out| out.push(flag(app, app.pinned.load(Ordering::Relaxed))),
    ),
    ("rearguard_paused", "1 while an operator paused the app.", MetricType::GAUGE, |app, _, out| {
        out.push(flag(app, app.paused.load(Ordering::Relaxed)));
    }),
    (
        "rearguard_soak_remaining_seconds",
        "Time left of a soak; 0 outside soaks.",
        MetricType::GAUGE,
        |app, now, out| {
            let until = app.soak_until.load(Ordering::Relaxed);
            let left = if until == 0 { 0.0 } else { Moment::from_millis(until).since(now).as_secs_f64() };
            out.push(gauge(left, &[("app", name(app))]));
        },
    ),
    (
        "rearguard_app_bandwidth_bytes",
        "What the app sent on the last day that the platform has counted; absent while not known.",
        MetricType::GAUGE,
        |app, _, out| out.extend(app.bandwidth().map(|bytes| gauge(bytes, &[("app", name(app))]))),
    ),
    (
        "rearguard_blind_seconds_total",
        "Time in which nobody could tell how the app is, by cause.",
        MetricType::COUNTER,
        |app, _, out| {
            for (cause, millis) in BlindCause::ALL.iter().zip(&app.blind_ms) {
                let seconds = millis.load(Ordering::Relaxed) as f64 / 1e3;
                out.push(counter(seconds, &[("app", name(app)), ("cause", cause.word())]));
            }
        },
    ),
];

fn verdicts(app: &AppMetrics, _: Moment, out: &mut Vec<Metric>) {
    for rule in &app.rules {
        let current = usize::from(rule.verdict.load(Ordering::Relaxed));
        for (n, verdict) in Verdict::ALL.iter().enumerate() {
            let labels = [("app", name(app)), ("rule", rule.name.as_str()), ("verdict", verdict.word())];
            out.push(gauge(f64::from(u8::from(n == current)), &labels));
        }
    }
}

fn outcomes(app: &AppMetrics, counts: &[AtomicU32], out: &mut Vec<Metric>) {
    for (outcome, count) in Outcome::ALL.iter().zip(counts) {
        out.push(counter(load(count), &[("app", name(app)), ("outcome", outcome.word())]));
    }
}

fn durations(app: &AppMetrics, _: Moment, out: &mut Vec<Metric>) {
    for probe in &app.probes {
        let mut histogram = Histogram::default();
        let mut total = 0_u64;
        let mut buckets = Vec::with_capacity(DURATION_BUCKETS.len());
        for (n, count) in probe.buckets.iter().enumerate() {
            total += u64::from(count.load(Ordering::Relaxed));
            if let Some(bound) = DURATION_BUCKETS.get(n) {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(f64::from(*bound) / 1e6);
                bucket.set_cumulative_count(total);
                buckets.push(bucket);
            }
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_count(total);
        histogram.set_sample_sum(probe.sum_micros.load(Ordering::Relaxed) as f64 / 1e6);
        let mut metric = labelled(&[("app", name(app)), ("probe", &probe.name)]);
        metric.set_histogram(histogram);
        out.push(metric);
    }
}

fn name(app: &AppMetrics) -> &str {
    app.app().as_str()
}

fn load(count: &AtomicU32) -> f64 {
    f64::from(count.load(Ordering::Relaxed))
}

fn flag(app: &AppMetrics, on: bool) -> Metric {
    gauge(f64::from(u8::from(on)), &[("app", name(app))])
}

fn gauge(value: f64, labels: &[(&str, &str)]) -> Metric {
    let mut metric = labelled(labels);
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    metric.set_gauge(gauge);
    metric
}

fn counter(value: f64, labels: &[(&str, &str)]) -> Metric {
    let mut metric = labelled(labels);
    let mut counter = Counter::default();
    counter.set_value(value);
    metric.set_counter(counter);
    metric
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    Metric::from_label(pairs.collect())
}
