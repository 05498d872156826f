//! Probes: paces, expectations, headers, and how many samples are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use url::Host;

use super::{count, duration, items, name, some, url};
use crate::config::leaf::{Json, List, Number, Text};
use crate::config::problem::{Spot, shown};
use crate::config::span::spoken;
use crate::config::{
    Absent, Ask, Expect, ExpectJson, ExpectValue, Header, HttpAsk, Limits, ProbeConfig, PrometheusAsk,
    TcpAsk, defaults, raw,
};
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

    pub(super) fn is_answered_by_the_app(&self) -> bool {
        self.0.ask.is_answered_by_the_app()
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
    let ask = ask(spot, raw);
    let time = |key: &str, given, default, range| duration(&spot.key(key), given, default, range);
    let pace = &defaults::PACE_RANGE;
    let [at_rest, in_watch, in_doubt] = match &raw.prometheus {
        Some(_) => [defaults::FIGURE_PERIOD; 3],
        None => [defaults::PERIOD, defaults::WATCH_PERIOD, defaults::BURST],
    };
    let period = time("period", raw.period, at_rest, pace);
    // Without the slower pace the default of the faster one is unknown, but not what was given.
    let slower = period.unwrap_or(*pace.end());
    let watch_period = time("watch_period", raw.watch_period, slower.min(in_watch), pace);
    let slower = watch_period.unwrap_or(*pace.end());
    let burst = time("burst", raw.burst, slower.min(in_doubt), pace);
    not_above(&spot.key("watch_period"), watch_period, "period", period);
    not_above(&spot.key("burst"), burst, "watch_period", watch_period);
    let timeout = time("timeout", raw.timeout, defaults::PROBE_TIMEOUT, &defaults::PROBE_TIMEOUT_RANGE);
    // A figure is of the release before for as long as its query looks back.
    let settles = match &ask {
        Some(Ask::Prometheus(figure)) => figure.max_age,
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

/// What is asked: exactly one thing.
fn ask(spot: &Spot, raw: &raw::Probe) -> Option<Ask> {
    const KINDS: [&str; 3] = ["url", "tcp", "prometheus"];
    let there = [raw.url.is_some(), raw.tcp.is_some(), raw.prometheus.is_some()];
    let named: Vec<&str> = KINDS.iter().zip(there).filter_map(|(key, there)| there.then_some(*key)).collect();
    if let [_, second, ..] = named.as_slice() {
        let what = format!(
            "is one of {} things to ask; allowed is exactly one of url, tcp and prometheus",
            named.len()
        );
        spot.key(second).wrong_key(what);
    }
    let is_page = raw.tcp.is_none() && raw.prometheus.is_none();
    for (key, there) in [("headers", raw.headers.is_some()), ("expect", raw.expect.is_some())] {
        if there && !is_page {
            spot.key(key).wrong_key("belongs to url; allowed is to leave it out");
        }
    }
    // All are looked at, so that what is wrong with the second is found too.
    let tcp = raw.tcp.as_ref().map(|text| tcp(&spot.key("tcp"), text).map(Ask::Tcp));
    let figure =
        raw.prometheus.as_ref().map(|raw| prometheus(&spot.key("prometheus"), raw).map(Ask::Prometheus));
    // What is broken was reported, and is no reason to ask for a page.
    let other =
        tcp.or(figure).or(["tcp", "prometheus"].iter().any(|key| spot.key(key).is_broken()).then_some(None));
    let page = (is_page && other.is_none() || raw.url.is_some()).then(|| http(spot, raw).map(Ask::Http));
    other.or(page).flatten()
}

fn tcp(spot: &Spot, Text(text): &Text) -> Option<TcpAsk> {
    let parsed = text.rsplit_once(':').and_then(|(host, port)| {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port > 0)?;
        Some(TcpAsk { host: Host::parse(host).ok()?, port })
    });
    if parsed.is_none() {
        let what = format!(
            "\"{}\" is not a host and a port; allowed are those such as db.example.com:5432",
            shown(text)
        );
        spot.wrong(what);
    }
    parsed
}

fn prometheus(spot: &Spot, raw: &raw::Prometheus) -> Option<PrometheusAsk> {
    let url = url(&spot.key("url"), raw.url.as_ref());
    let headers = headers(&spot.key("headers"), raw.headers.as_ref());
    let at = spot.key("query");
    let query = match &raw.query {
        Some(Text(query)) if query.trim().is_empty() => {
            at.wrong("is empty; allowed is a query in PromQL");
            None
        }
        Some(Text(query)) => Some(query.clone()),
        None => {
            at.missing("a query in PromQL");
            None
        }
    };
    let limits = limits(spot, raw.at_least, raw.at_most);
    if limits.is_none() && raw.at_least.is_none() && raw.at_most.is_none() {
        spot.key("at_most").missing("a number, here or as at_least");
    }
    let max_age = duration(&spot.key("max_age"), raw.max_age, defaults::MAX_AGE, &defaults::MAX_AGE_RANGE);
    let absent = raw.absent.map_or_else(Absent::default, |word| word.0);
    Some(PrometheusAsk {
        url: url?,
        headers: headers?,
        query: query?,
        limits: limits?,
        absent,
        max_age: max_age?,
    })
}

/// The limits of a number, none where there are none or no number is within them.
fn limits(spot: &Spot, at_least: Option<Number>, at_most: Option<Number>) -> Option<Limits> {
    let limits =
        Limits { at_least: at_least.map(|number| number.0), at_most: at_most.map(|number| number.0) };
    for (key, limit) in [("at_least", limits.at_least), ("at_most", limits.at_most)] {
        if limit.is_some_and(|limit| !limit.is_finite()) {
            spot.key(key).wrong("is not finite; allowed is a number such as 0.05");
            return None;
        }
    }
    match (limits.at_least, limits.at_most) {
        (None, None) => return None,
        (Some(least), Some(most)) if least > most => {
            spot.key("at_least").wrong(format!("{least} is above at_most, {most}; allowed is up to {most}"));
            return None;
        }
        _ => {}
    }
    Some(limits)
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
    let is_limited = raw.at_least.is_some() || raw.at_most.is_some();
    let value = match &raw.equals {
        Some(_) if is_limited => {
            spot.key("equals")
                .wrong_key("stands beside limits; allowed is either equals, or at_least and at_most");
            None
        }
        Some(Json(value)) => Some(ExpectValue::Equals(value.clone())),
        None if is_limited => limits(spot, raw.at_least, raw.at_most).map(ExpectValue::Within),
        None => {
            spot.key("equals").missing("the value that has to stand there, or at_least or at_most");
            None
        }
    };
    Some(ExpectJson { pointer: pointer?, value: value? })
}
