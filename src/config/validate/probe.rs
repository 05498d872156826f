//! Probes: paces, and how many samples are kept. What they ask is `ask`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::ask::ask;
use super::{duration, items, name, some};
use crate::config::leaf::{List, Span, Text};
use crate::config::problem::Spot;
use crate::config::span::spoken;
use crate::config::{Ask, PlatformKind, ProbeConfig, defaults, raw};
use crate::decision::policy::{Asked, ProbePolicy};
use crate::decision::sample::Window;

/// An app's probes, and what its rules may refer to.
pub(super) struct Probes {
    /// By position in the file, none for one with a problem.
    pub(super) probes: Vec<Option<Draft>>,
    /// The names of all, those with a problem too.
    pub(super) names: BTreeSet<String>,
    /// A name is missing or wrong, so that a reference to nothing says nothing.
    pub(super) nameless: bool,
}

/// A probe whose window grows with what is asked of it.
pub(super) struct Draft(ProbeConfig);

impl Draft {
    pub(super) fn name(&self) -> &str {
        self.0.name.as_str()
    }

    pub(super) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// What the app counts, and whether a share of it may be bad.
    pub(super) fn counts(&self) -> Option<bool> {
        match &self.0.ask {
            Ask::Counters(counters) => Some(counters.at_most.is_some()),
            _ => None,
        }
    }

    pub(super) fn period(&self) -> Duration {
        self.0.period
    }

    pub(super) fn settle(&self) -> Duration {
        self.0.settle
    }

    pub(super) fn is_answered_by_the_app(&self) -> bool {
        self.0.ask.is_answered_by_the_app()
    }

    /// Whether it is about certificates, which no release changes.
    pub(super) fn is_about_certificates(&self) -> bool {
        matches!(self.0.ask, Ask::Tls(_))
    }

    /// Whether the app's own platform is asked.
    pub(super) fn is_of_the_platform(&self) -> bool {
        matches!(self.0.ask, Ask::Platform(_))
    }

    /// The shortest time between two samples.
    pub(super) fn fastest(&self) -> Duration {
        self.0.period.min(self.0.watch_period).min(self.0.burst)
    }

    /// The samples of this time at the fastest pace, both ends counted.
    pub(super) fn samples_in(&self, time: Duration) -> usize {
        usize::try_from(time.as_nanos().div_ceil(self.fastest().as_nanos().max(1)) + 1).unwrap_or(usize::MAX)
    }

    /// Keeps this many samples, and those of the time before.
    pub(super) fn make_room(&mut self, samples: usize, before: Duration) {
        let samples = samples.max(defaults::WINDOW_FLOOR).saturating_add(self.samples_in(before));
        self.0.window = self.0.window.max(samples).min(Window::MAX);
    }

    pub(super) fn finish(self) -> ProbeConfig {
        self.0
    }
}

/// What the core needs to know of a probe.
pub(super) fn policy(probe: &ProbeConfig) -> ProbePolicy {
    let ProbeConfig { name, ask, period, watch_period, timeout, settle, .. } = probe;
    let lag = match ask {
        Ask::Counters(counters) => counters.max_age,
        _ => Duration::ZERO,
    };
    let (period, watch_period, timeout, settle) = (*period, *watch_period, *timeout, *settle);
    let asked = if probe.ask.is_asked_at_rest() { Asked::Always } else { Asked::WhileJudging };
    ProbePolicy { name: name.clone(), period, watch_period, timeout, settle, lag, asked }
}

pub(super) fn probes(
    spot: &Spot,
    list: Option<&List<raw::Probe>>,
    watch: Option<Duration>,
    kind: Option<PlatformKind>,
) -> Probes {
    some(spot, list, "a list of at least one probe");
    let mut taken = BTreeMap::new();
    let mut probes = Vec::new();
    let mut nameless = spot.is_broken() || list.is_none();
    for (spot, raw) in items(spot, list) {
        let name = name(&spot.key("name"), raw.name.as_ref(), &mut taken);
        nameless |= !raw.name.as_ref().is_some_and(|Text(name)| taken.contains_key(name));
        probes.push(probe(&spot, raw, name, watch, kind).map(Draft));
    }
    nameless |= list.is_some_and(|list| list.0.len() > probes.len());
    Probes { probes, names: taken.into_keys().collect(), nameless }
}

fn probe(
    spot: &Spot,
    raw: &raw::Probe,
    name: Option<String>,
    watch: Option<Duration>,
    kind: Option<PlatformKind>,
) -> Option<ProbeConfig> {
    let ask = ask(spot, raw, kind);
    let time = |key: &str, given, default, range| duration(&spot.key(key), given, default, range);
    let pace = &defaults::PACE_RANGE;
    let is_at_rest = raw.platform.is_none();
    let [at_rest, in_watch, in_doubt] = match (raw.prometheus.is_some() || !is_at_rest, &raw.tls) {
        (true, _) => [defaults::FIGURE_PERIOD; 3],
        (false, Some(_)) => {
            let in_watch = defaults::CERTIFICATE_WATCH_PERIOD;
            [defaults::CERTIFICATE_PERIOD, in_watch, in_watch]
        }
        (false, None) => [defaults::PERIOD, defaults::WATCH_PERIOD, defaults::BURST],
    };
    if !is_at_rest && raw.period.is_some() {
        let what = "is for probes that are asked at rest, which a platform is not; allowed is watch_period";
        spot.key("period").wrong_key(what);
    }
    let period = match is_at_rest {
        true => time("period", raw.period, at_rest, pace),
        false => Some(raw.watch_period.map_or(at_rest, |Span(given)| given)),
    };
    // Without the slower pace the default of the faster one is unknown, but not what was given.
    let slower = period.unwrap_or(*pace.end());
    let watch_period = time("watch_period", raw.watch_period, slower.min(in_watch), pace);
    let slower = watch_period.unwrap_or(*pace.end());
    let burst = time("burst", raw.burst, slower.min(in_doubt), pace);
    not_above(&spot.key("watch_period"), watch_period, "period", period);
    not_above(&spot.key("burst"), burst, "watch_period", watch_period);
    let patient = if is_at_rest { defaults::PROBE_TIMEOUT } else { defaults::REQUEST_TIMEOUT };
    let timeout = time("timeout", raw.timeout, patient, &defaults::PROBE_TIMEOUT_RANGE);
    // A figure is of the release before for as long as its query looks back.
    let settles = match &ask {
        Some(Ask::Prometheus(figure)) => figure.max_age,
        Some(Ask::Counters(_)) => defaults::COUNTED_SETTLE,
        Some(Ask::Platform(ask)) => defaults::settle(ask.figure),
        _ => defaults::SETTLE,
    };
    let settle = time("settle", raw.settle, settles, &defaults::SETTLE_RANGE);
    if let (Some(settle), Some(watch)) = (settle, watch)
        && settle >= watch
    {
        let (settle, watch) = (spoken(settle), spoken(watch));
        let what = format!("{settle} would set the whole watch aside; allowed is less than watch, {watch}");
        spot.key("settle").wrong(what);
    }
    Some(ProbeConfig {
        name: name?.into(),
        ask: ask?,
        period: period?,
        watch_period: watch_period?,
        burst: burst?,
        timeout: timeout?,
        settle: settle?,
        window: 0,
    })
}

fn not_above(spot: &Spot, pace: Option<Duration>, other: &str, slower: Option<Duration>) {
    if let (Some(pace), Some(slower)) = (pace, slower)
        && pace > slower
    {
        let (pace, slower) = (spoken(pace), spoken(slower));
        spot.wrong(format!("{pace} is slower than {other}; allowed is up to {other}, {slower}"));
    }
}
