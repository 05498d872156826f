//! Platform accounts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use url::Url;

use super::{duration, is_loopback, is_token, items, name, refuse, some, token_path, url};
use crate::config::defaults::Times;
use crate::config::leaf::{List, Span, Text, Word};
use crate::config::problem::Spot;
use crate::config::{PlatformConfig, PlatformKind, TokenSource, defaults, raw};

/// The accounts, and what apps may refer to.
pub(super) struct Platforms {
    /// Those without a problem.
    pub(super) valid: Vec<PlatformConfig>,
    /// The names of all, those with a problem too: an app that refers to one of those is not wrong.
    pub(super) names: BTreeSet<String>,
    /// A name is missing or wrong, so that a reference to nothing says nothing.
    pub(super) nameless: bool,
}

pub(super) fn platforms(spot: &Spot, list: Option<&List<raw::Platform>>) -> Platforms {
    some(spot, list, "a list of at least one platform account");
    let mut taken = BTreeMap::new();
    let mut valid = Vec::new();
    let mut nameless = spot.is_broken() || list.is_none();
    let mut seen = 0;
    for (spot, raw) in items(spot, list) {
        seen += 1;
        let name = name(&spot.key("name"), raw.name.as_ref(), &mut taken);
        nameless |= !raw.name.as_ref().is_some_and(|Text(name)| taken.contains_key(name));
        valid.extend(platform(&spot, raw, name));
    }
    nameless |= list.is_some_and(|list| list.0.len() > seen);
    Platforms { valid, names: taken.into_keys().collect(), nameless }
}

fn platform(spot: &Spot, raw: &raw::Platform, name: Option<String>) -> Option<PlatformConfig> {
    let kind = kind(&spot.key("kind"), raw.kind);
    let token = token(spot, raw);
    let api = api(&spot.key("api"), raw.api.as_ref(), kind);
    let time = |key: &str, given, default, range| duration(&spot.key(key), given, default, range);
    let poll = time("poll", raw.poll, defaults::POLL, &defaults::POLL_RANGE);
    let range = &defaults::REQUEST_TIMEOUT_RANGE;
    let timeout = time("timeout", raw.timeout, defaults::REQUEST_TIMEOUT, range);
    let reconcile = time("reconcile", raw.reconcile, defaults::RECONCILE, &defaults::RECONCILE_RANGE);
    let readiness =
        or_never(&spot.key("readiness"), raw.readiness, defaults::READINESS, &defaults::READINESS_RANGE);
    let bandwidth = figure(&spot.key("bandwidth"), raw.bandwidth, defaults::BANDWIDTH, kind);
    let balance = figure(&spot.key("balance"), raw.balance, defaults::BALANCE, kind);
    Some(PlatformConfig {
        name: name?.into(),
        kind: kind?,
        token: token?,
        api: api?,
        poll: poll?,
        timeout: timeout?,
        reconcile: reconcile?,
        readiness: readiness?,
        bandwidth: bandwidth?,
        balance: balance?,
    })
}

fn kind(spot: &Spot, kind: Option<Word<PlatformKind>>) -> Option<PlatformKind> {
    if kind.is_none() {
        spot.missing("digitalocean or sevalla");
    }
    kind.map(|Word(kind)| kind)
}

fn token(spot: &Spot, raw: &raw::Platform) -> Option<TokenSource> {
    let secret = "secrets do not stand in this file; allowed are token_file and token_env";
    refuse(&spot.key("token"), raw.token.is_some(), secret);
    let either = "either token_file or token_env";
    match (&raw.token_file, &raw.token_env) {
        (Some(Text(path)), None) => token_path(&spot.key("token_file"), path).map(TokenSource::File),
        (None, Some(Text(variable))) => variable_name(&spot.key("token_env"), variable).map(TokenSource::Env),
        (Some(_), Some(_)) => {
            spot.key("token_env").wrong_key(format!("stands beside token_file; allowed is {either}"));
            None
        }
        (None, None) => {
            let broken = ["token", "token_env"].iter().any(|key| spot.key(key).is_broken());
            if !broken {
                spot.key("token_file").missing(either);
            }
            None
        }
    }
}

/// Not shown when it is wrong: the token itself may have been written there.
pub(super) fn variable_name(spot: &Spot, text: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit());
    if starts && text.len() <= 64 && text.chars().all(fits) && !is_token(text) {
        return Some(text.to_owned());
    }
    let allowed = "the name of one, such as DIGITALOCEAN_TOKEN, with the token in its value";
    spot.wrong(format!("is not the name of an environment variable; allowed is {allowed}"));
    None
}

fn api(spot: &Spot, text: Option<&Text>, kind: Option<PlatformKind>) -> Option<Url> {
    if spot.is_broken() {
        return None;
    }
    // Of a kind that is wrong itself nothing is left out that could be said.
    let default = Text(match kind {
        Some(PlatformKind::Sevalla) => defaults::SEVALLA_API.to_owned(),
        Some(PlatformKind::DigitalOcean) | None => defaults::DIGITALOCEAN_API.to_owned(),
    });
    let mut api = url(spot, Some(text.unwrap_or(&default)))?;
    if api.scheme() == "http" && !is_loopback(&api) {
        spot.wrong("would send the token in clear; allowed is https, or http on a loopback address");
        return None;
    }
    if !api.username().is_empty() || api.password().is_some() {
        spot.wrong("has a user or password in it; allowed is a plain base URL");
        return None;
    }
    if api.query().is_some() || api.fragment().is_some() {
        spot.wrong("has a query or fragment; allowed is a plain base URL");
        return None;
    }
    let path = api.path().trim_end_matches('/').to_owned();
    api.set_path(&path);
    Some(api)
}

/// Zero is never.
fn or_never(spot: &Spot, given: Option<Span>, default: Duration, range: &Times) -> Option<Duration> {
    let wanted = given.map_or(default, |Span(given)| given);
    if wanted.is_zero() && !spot.is_broken() {
        return Some(wanted);
    }
    duration(spot, given, default, range)
}

/// How often a figure of the platform's own is asked for: never, where it has none.
fn figure(
    spot: &Spot,
    given: Option<Span>,
    default: Duration,
    kind: Option<PlatformKind>,
) -> Option<Duration> {
    if kind != Some(PlatformKind::Sevalla) {
        return or_never(spot, given, default, &defaults::FIGURES_RANGE);
    }
    if given.is_some_and(|Span(given)| !given.is_zero()) {
        spot.wrong("is nothing that sevalla can be asked for; allowed is 0s");
        return None;
    }
    or_never(spot, given, Duration::ZERO, &defaults::FIGURES_RANGE)
}
