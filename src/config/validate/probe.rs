//! Probes: paces, expectations, headers, and how many samples are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};

use super::{count, duration, items, name, some, url};
use crate::config::leaf::{List, Text};
use crate::config::problem::{Spot, shown};
use crate::config::span::spoken;
use crate::config::{Ask, Expect, ExpectJson, Header, HttpAsk, ProbeConfig, defaults, raw};
use crate::decision::policy::ProbePolicy;
use crate::decision::sample::Window;

/// Headers that belong to the connection and not to the operator.
const RESERVED_HEADERS: [&str; 5] = ["connection", "content-length", "te", "transfer-encoding", "upgrade"];

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
    let ProbeConfig { name, period, watch_period, timeout, settle, .. } = probe;
    let (period, watch_period, timeout, settle) = (*period, *watch_period, *timeout, *settle);
    ProbePolicy { name: name.clone(), period, watch_period, timeout, settle }
}

pub(super) fn probes(spot: &Spot, list: Option<&List<raw::Probe>>, watch: Option<Duration>) -> Probes {
    some(spot, list, "a list of at least one probe");
    let mut taken = BTreeMap::new();
    let mut probes = Vec::new();
    let mut nameless = spot.is_broken() || list.is_none();
    for (spot, raw) in items(spot, list) {
        let name = name(&spot.key("name"), raw.name.as_ref(), &mut taken);
        nameless |= !raw.name.as_ref().is_some_and(|Text(name)| taken.contains_key(name));
        probes.push(probe(&spot, raw, name, watch).map(Draft));
    }
    nameless |= list.is_some_and(|list| list.0.len() > probes.len());
    Probes { probes, names: taken.into_keys().collect(), nameless }
}

fn probe(
    spot: &Spot,
    raw: &raw::Probe,
    name: Option<String>,
    watch: Option<Duration>,
) -> Option<ProbeConfig> {
    let ask = http(spot, raw);
    let time = |key: &str, given, default, range| duration(&spot.key(key), given, default, range);
    let pace = &defaults::PACE_RANGE;
    let period = time("period", raw.period, defaults::PERIOD, pace);
    // Without the slower pace the default of the faster one is unknown, but not what was given.
    let slower = period.unwrap_or(*pace.end());
    let watch_period = time("watch_period", raw.watch_period, slower.min(defaults::WATCH_PERIOD), pace);
    let slower = watch_period.unwrap_or(*pace.end());
    let burst = time("burst", raw.burst, slower.min(defaults::BURST), pace);
    not_above(&spot.key("watch_period"), watch_period, "period", period);
    not_above(&spot.key("burst"), burst, "watch_period", watch_period);
    let timeout = time("timeout", raw.timeout, defaults::PROBE_TIMEOUT, &defaults::PROBE_TIMEOUT_RANGE);
    let settle = time("settle", raw.settle, defaults::SETTLE, &defaults::SETTLE_RANGE);
    if let (Some(settle), Some(watch)) = (settle, watch)
        && settle >= watch
    {
        let (settle, watch) = (spoken(settle), spoken(watch));
        let what = format!("{settle} would set the whole watch aside; allowed is less than watch, {watch}");
        spot.key("settle").wrong(what);
    }
    Some(ProbeConfig {
        name: name?.into(),
        ask: Ask::Http(ask?),
        period: period?,
        watch_period: watch_period?,
        burst: burst?,
        timeout: timeout?,
        settle: settle?,
        window: 0,
    })
}

fn http(spot: &Spot, raw: &raw::Probe) -> Option<HttpAsk> {
    let url = url(&spot.key("url"), raw.url.as_ref());
    let headers = headers(&spot.key("headers"), raw.headers.as_ref());
    let expect = expect(&spot.key("expect"), raw.expect.as_ref());
    Some(HttpAsk { url: url?, headers: headers?, expect: expect? })
}

fn not_above(spot: &Spot, pace: Option<Duration>, other: &str, slower: Option<Duration>) {
    if let (Some(pace), Some(slower)) = (pace, slower)
        && pace > slower
    {
        let (pace, slower) = (spoken(pace), spoken(slower));
        spot.wrong(format!("{pace} is slower than {other}; allowed is up to {other}, {slower}"));
    }
}

/// Names and values that can be sent. Values are never shown.
fn headers(spot: &Spot, raw: Option<&BTreeMap<String, Text>>) -> Option<BTreeMap<String, Header>> {
    let mut headers = BTreeMap::new();
    let mut fine = true;
    for (key, Text(value)) in raw.into_iter().flatten() {
        let spot = spot.key(key);
        let what = match (HeaderName::from_bytes(key.as_bytes()), HeaderValue::from_str(value)) {
            (Err(_), _) => "is not the name of a header; allowed are letters, digits and -",
            (Ok(name), _) if RESERVED_HEADERS.contains(&name.as_str()) => {
                "belongs to the connection; allowed are other headers"
            }
            (_, Err(_)) => "is not the value of a header; allowed is text in one line",
            (Ok(name), Ok(_)) => match headers.insert(name.to_string(), Header(value.clone())) {
                Some(_) => "stands twice, in another case; allowed is once",
                None => continue,
            },
        };
        spot.wrong_key(what);
        fine = false;
    }
    fine.then_some(headers)
}

fn expect(spot: &Spot, raw: Option<&raw::Expect>) -> Option<Expect> {
    if spot.is_broken() {
        return None;
    }
    let Some(raw) = raw else { return Some(Expect::default()) };
    let list = raw.status.as_ref();
    let at = spot.key("status");
    if list.is_some() {
        some(&at, list, "at least one status");
    }
    let status = items(&at, list).into_iter();
    let status = status.filter_map(|(spot, status)| count(&spot, Some(*status), 0, &defaults::STATUS_RANGE));
    let status: Vec<u16> = status.filter_map(|status| u16::try_from(status).ok()).collect();
    let body_contains = raw.body_contains.as_ref().map(|text| text.0.clone());
    if body_contains.as_ref().is_some_and(String::is_empty) {
        spot.key("body_contains").wrong("is empty and in every body; allowed is some text");
    }
    let json = match &raw.json {
        Some(raw) => Some(json(&spot.key("json"), raw)?),
        None => None,
    };
    Some(Expect { status, body_contains, json })
}

fn json(spot: &Spot, raw: &raw::ExpectJson) -> Option<ExpectJson> {
    let at = spot.key("pointer");
    let pointer = match &raw.pointer {
        None => {
            at.missing("an RFC 6901 pointer such as /status");
            None
        }
        Some(Text(pointer)) if !pointer.is_empty() && !pointer.starts_with('/') => {
            at.wrong(format!("\"{}\" is not a JSON pointer; allowed is one such as /status", shown(pointer)));
            None
        }
        Some(Text(pointer)) => Some(pointer.clone()),
    };
    if raw.equals.is_none() {
        spot.key("equals").missing("the value that has to stand there");
    }
    Some(ExpectJson { pointer: pointer?, equals: raw.equals.as_ref()?.0.clone() })
}
