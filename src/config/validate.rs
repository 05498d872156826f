//! From the mirror to a [`Config`] that cannot be wrong: what is required is there, names refer to something,
//! values are possible. Goes on after a problem, so that all are found.

mod app;
mod ask;
mod figure;
mod freeze;
mod notify;
mod platform;
mod probe;
mod rule;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::defaults::{self, Counts, Times};
use super::leaf::{Count, List, Span, Text};
use super::problem::{Findings, Spot, shown};
use super::span::spoken;
use super::{Config, ControlProbe, TokenSource, pace, raw};

/// What a name looks like: it stands in metric labels, commands and paths of the API.
pub(super) const NAME_PATTERN: &str = "^[A-Za-z0-9_-]{1,63}$";

/// The configuration, unless a problem was found.
pub(super) fn validate(file: &raw::File, findings: &RefCell<Findings>) -> Option<Config> {
    let spot = Spot::root(findings);
    let secret = "secrets do not stand in this file; allowed is admin_token_file";
    refuse(&spot.key("admin_token"), file.admin_token.is_some(), secret);
    let listen = listen(&spot.key("listen"), file.listen.as_ref());
    let state = state(&spot.key("state"), file.state.as_ref());
    let retention =
        duration(&spot.key("retention"), file.retention, defaults::RETENTION, &defaults::RETENTION_RANGE);
    let admin_token_file = spot.key("admin_token_file");
    let admin_token_file = file
        .admin_token_file
        .as_ref()
        .and_then(|text| token_path(&admin_token_file, &text.0))
        .map(TokenSource::File);
    let platforms = platform::platforms(&spot.key("platforms"), file.platforms.as_ref());
    let control_probes = control_probes(&spot.key("control_probes"), file.control_probes.as_ref());
    let context = app::Context { platforms: &platforms, retention };
    let mut apps = app::apps(&spot.key("apps"), file.apps.as_ref(), &context);
    let of_all = freeze::freeze(&spot.key("freeze"), file.freeze.as_ref());
    for app in &mut apps {
        app.freeze.extend(of_all.iter().cloned());
    }
    pace::stretch(&mut apps, &platforms.valid);
    let concurrent_rollbacks = count(
        &spot.key("limits").key("concurrent_rollbacks"),
        file.limits.as_ref().and_then(|limits| limits.concurrent_rollbacks),
        defaults::CONCURRENT_ROLLBACKS,
        &defaults::CONCURRENT_RANGE,
    );
    let known: BTreeSet<&str> = apps.iter().map(|app| app.name.as_str()).collect();
    let written = file.apps.as_ref().map_or(0, |apps| apps.0.len());
    let known = (known.len() == written).then_some(&known);
    let channels = notify::channels(&spot.key("notify"), file.notify.as_ref(), known);
    let external_url = external_url(&spot.key("external_url"), file.external_url.as_ref());
    Some(Config {
        listen: listen?,
        state: state?,
        retention: retention?,
        admin_token_file,
        platforms: platforms.valid,
        control_probes,
        apps,
        concurrent_rollbacks: usize::try_from(concurrent_rollbacks?).ok()?,
        notify: channels,
        external_url,
    })
}

fn listen(spot: &Spot, text: Option<&Text>) -> Option<SocketAddr> {
    let text = text.map_or(defaults::LISTEN, |text| text.0.as_str());
    let listen = text.parse().ok();
    if listen.is_none() {
        let allowed = "an address and a port such as 127.0.0.1:9797 or [::1]:9797";
        spot.wrong(format!("\"{}\" is not an address to listen on; allowed is {allowed}", shown(text)));
    }
    listen
}

/// What was written is not shown: a database's address has a password in it.
fn state(spot: &Spot, text: Option<&Text>) -> Option<PathBuf> {
    let text = text.map_or(defaults::STATE, |text| text.0.as_str());
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        spot.wrong("a PostgreSQL journal is not available yet; allowed is the path of a SQLite file");
    } else if text.is_empty() || text.contains("://") || text.contains('\0') || text.ends_with('/') {
        spot.wrong("is not a path; allowed is the path of a SQLite file");
    } else {
        return Some(text.into());
    }
    None
}

fn control_probes(spot: &Spot, list: Option<&List<raw::Control>>) -> Vec<ControlProbe> {
    let probe = |(spot, raw): (Spot, &raw::Control)| {
        let url = url(&spot.key("url"), raw.url.as_ref());
        let range = &defaults::PACE_RANGE;
        let period = duration(&spot.key("period"), raw.period, defaults::CONTROL_PERIOD, range);
        let range = &defaults::PROBE_TIMEOUT_RANGE;
        let timeout = duration(&spot.key("timeout"), raw.timeout, defaults::CONTROL_TIMEOUT, range);
        Some(ControlProbe { url: url?, period: period?, timeout: timeout? })
    };
    items(spot, list).into_iter().filter_map(probe).collect()
}

/// People and programs get it, so it has no user and no password in it.
fn external_url(spot: &Spot, text: Option<&Text>) -> Option<Url> {
    let found = url(spot, Some(text?))?;
    let is_plain = found.username().is_empty() && found.password().is_none() && found.query().is_none();
    if !is_plain || found.fragment().is_some() {
        spot.wrong(
            "has more than a host and a path in it; allowed is a URL such as https://rearguard.example.com",
        );
        return None;
    }
    Some(found)
}

/// A key that may not be there.
fn refuse(spot: &Spot, there: bool, what: &str) {
    if there {
        spot.wrong_key(what);
    }
}

/// The items of a list with their places; an empty item is a problem.
fn items<'a, 'b, T>(spot: &Spot<'a>, list: Option<&'b List<T>>) -> Vec<(Spot<'a>, &'b T)> {
    let items = list.map(|list| list.0.as_slice()).unwrap_or_default();
    let item = |(index, item): (usize, &'b Option<T>)| {
        let spot = spot.item(index);
        if item.is_none() {
            spot.missing("an item after each dash");
        }
        item.as_ref().map(|item| (spot, item))
    };
    items.iter().enumerate().filter_map(item).collect()
}

/// A list that may not be empty or absent.
fn some<T>(spot: &Spot, list: Option<&List<T>>, allowed: &str) {
    match list {
        None => spot.missing(allowed),
        Some(list) if list.0.is_empty() => spot.wrong(format!("is empty; allowed is {allowed}")),
        Some(_) => {}
    }
}

/// A name, unique among those in `taken`.
fn name(spot: &Spot, text: Option<&Text>, taken: &mut BTreeMap<String, String>) -> Option<String> {
    let allowed = "1 to 63 letters, digits, - and _";
    let Some(Text(name)) = text else {
        spot.missing(allowed);
        return None;
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
        spot.wrong(format!("\"{}\" is not a name; allowed are {allowed}", shown(name)));
        return None;
    }
    if let Some(first) = taken.get(name) {
        spot.wrong(format!("the name {name} is taken by {first}; allowed is a name of its own"));
        return None;
    }
    taken.insert(name.clone(), spot.path().parent().to_string());
    Some(name.clone())
}

/// A duration within its range, none when it is wrong.
fn duration(spot: &Spot, given: Option<Span>, default: Duration, range: &Times) -> Option<Duration> {
    if spot.is_broken() {
        return None;
    }
    let duration = given.map_or(default, |given| given.0);
    if range.contains(&duration) {
        return Some(duration);
    }
    let (from, to) = (spoken(*range.start()), spoken(*range.end()));
    spot.wrong(format!("{} is out of range; allowed is {from} to {to}", spoken(duration)));
    None
}

/// A number within its range, none when it is wrong.
fn count(spot: &Spot, given: Option<Count>, default: u32, range: &Counts) -> Option<u32> {
    if spot.is_broken() {
        return None;
    }
    let count = given.map_or(u64::from(default), |given| given.0);
    if range.contains(&count) {
        return u32::try_from(count).ok();
    }
    spot.wrong(format!("{count} is out of range; allowed is {} to {}", range.start(), range.end()));
    None
}

/// An http or https URL with a host. It is never shown: it may have a password in it.
fn url(spot: &Spot, text: Option<&Text>) -> Option<Url> {
    let allowed = "an http or https URL such as https://shop.example.com/healthz";
    let Some(Text(text)) = text else {
        spot.missing(allowed);
        return None;
    };
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => return Some(url),
        Ok(url) if url.has_host() => spot.wrong(format!("is a URL of another scheme; allowed is {allowed}")),
        // `localhost:8080/x` is a URL, of the scheme localhost.
        Ok(_) => spot.wrong(format!("is not a URL with a host; allowed is {allowed}")),
        Err(error) => spot.wrong(format!("is not a URL ({error}); allowed is {allowed}")),
    }
    None
}

/// Whether what is sent there stays on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// The path of a file with a token. Not shown when it is wrong: the token itself may have been written there.
fn token_path(spot: &Spot, text: &str) -> Option<PathBuf> {
    if text.is_empty() || text.contains('\0') || is_token(text) {
        spot.wrong("is not the path of a file; allowed is the path of a file with the token in it");
        return None;
    }
    Some(text.into())
}

/// Whether this is a token of DigitalOcean itself and not where it is found.
fn is_token(text: &str) -> bool {
    ["dop_v1_", "doo_v1_", "dor_v1_"].iter().any(|prefix| text.starts_with(prefix))
}
