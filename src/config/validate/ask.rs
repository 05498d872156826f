//! What a probe asks: exactly one thing, with its expectations and headers.

mod counters;

use std::collections::BTreeMap;

use counters::counters;
use reqwest::header::{HeaderName, HeaderValue};
use rustls::pki_types::ServerName;
use url::{Host, Url};

use super::figure;
use super::{count, duration, items, some, url};
use crate::config::leaf::{Json, Number, Text};
use crate::config::problem::{Spot, shown};
use crate::config::{
    Absent, Ask, Expect, ExpectJson, ExpectValue, GrpcAsk, Header, HttpAsk, Limits, PlatformKind,
    PrometheusAsk, TcpAsk, TlsAsk, VersionAt, defaults, raw,
};

/// Names of services are like shop.v1.Cart.
const SERVICE_MAX: usize = 256;

/// What may be asked.
const KINDS: &str = "exactly one of url, tcp, tls, grpc, prometheus and platform";

/// Headers that belong to the connection and not to the operator.
const RESERVED_HEADERS: [&str; 5] = ["connection", "content-length", "te", "transfer-encoding", "upgrade"];

/// What is asked: exactly one thing, of a platform of that kind where it is the platform that is asked.
pub(super) fn ask(spot: &Spot, raw: &raw::Probe, kind: Option<PlatformKind>) -> Option<Ask> {
    let [tcp_at, tls_at, grpc_at, figure_at, platform_at] =
        ["tcp", "tls", "grpc", "prometheus", "platform"].map(|key| spot.key(key));
    let there = [
        ("url", raw.url.is_some()),
        ("tcp", raw.tcp.is_some()),
        ("tls", raw.tls.is_some()),
        ("grpc", raw.grpc.is_some()),
        ("prometheus", raw.prometheus.is_some()),
        ("platform", raw.platform.is_some()),
    ];
    let named: Vec<&str> = there.iter().filter_map(|(key, there)| there.then_some(*key)).collect();
    if let [_, second, ..] = named.as_slice() {
        let what = format!("is one of {} things to ask; allowed is {KINDS}", named.len());
        spot.key(second).wrong_key(what);
    }
    let is_page = named.iter().all(|key| *key == "url");
    let of_pages = [
        ("headers", raw.headers.is_some()),
        ("expect", raw.expect.is_some()),
        ("expect_version", raw.expect_version.is_some()),
    ];
    for (key, there) in of_pages {
        if there && !is_page {
            spot.key(key).wrong_key("belongs to url; allowed is to leave it out");
        }
    }
    // All are looked at, so that what is wrong with the second is found too.
    let others = [
        raw.tcp
            .as_ref()
            .map(|text| address(&tcp_at, text).map(|(host, port)| Ask::Tcp(TcpAsk { host, port }))),
        raw.tls.as_ref().map(|raw| tls(&tls_at, raw).map(Ask::Tls)),
        raw.grpc.as_ref().map(|raw| grpc(&grpc_at, raw).map(Ask::Grpc)),
        raw.prometheus.as_ref().map(|raw| figure(&figure_at, raw)),
        raw.platform.as_ref().map(|raw| figure::figure(&platform_at, raw, kind).map(Ask::Platform)),
    ];
    // What is broken was reported, and is no reason to ask for a page.
    let is_broken = [tcp_at, tls_at, grpc_at, figure_at, platform_at].iter().any(Spot::is_broken);
    let other = others.into_iter().flatten().next().or(is_broken.then_some(None));
    let page = (is_page && other.is_none() || raw.url.is_some()).then(|| http(spot, raw).map(Ask::Http));
    other.or(page).flatten()
}

fn tls(spot: &Spot, raw: &raw::Tls) -> Option<TlsAsk> {
    let at = spot.key("address");
    let place = match &raw.address {
        Some(text) => address(&at, text),
        None => {
            at.missing("a host and a port such as shop.example.com:443");
            None
        }
    };
    let range = &defaults::CERTIFICATE_RANGE;
    let at_least = duration(&spot.key("at_least"), raw.at_least, defaults::CERTIFICATE, range);
    let server_name = match &raw.server_name {
        Some(Text(name)) => {
            let host = Host::parse(name).ok().filter(can_have_a_certificate);
            if host.is_none() {
                let what = format!(
                    "\"{}\" is not the name of a server; allowed is one such as shop.example.com",
                    shown(name)
                );
                spot.key("server_name").wrong(what);
            }
            Some(host?)
        }
        None => None,
    };
    let (host, port) = place?;
    if server_name.is_none() && !can_have_a_certificate(&host) {
        at.wrong("is a host that no certificate can be for; allowed is to say which as server_name");
        return None;
    }
    Some(TlsAsk { host, port, at_least: at_least?, server_name })
}

fn grpc(spot: &Spot, raw: &raw::Grpc) -> Option<GrpcAsk> {
    let at = spot.key("url");
    let url = url(&at, raw.url.as_ref());
    let is_bare = |url: &Url| {
        url.path() == "/" && url.query().is_none() && url.username().is_empty() && url.password().is_none()
    };
    if url.as_ref().is_some_and(|url| !is_bare(url)) {
        at.wrong("is more than a server; allowed is one such as https://shop.example.com:443, and the rest as service and headers");
    }
    let headers = headers(&spot.key("headers"), raw.headers.as_ref());
    let service = raw.service.as_ref().map(|Text(service)| service.clone());
    if service.as_ref().is_some_and(|service| service.is_empty() || service.len() > SERVICE_MAX) {
        let what = format!(
            "is none, or too long; allowed are 1 to {SERVICE_MAX} characters, or to leave it out for the whole server"
        );
        spot.key("service").wrong(what);
    }
    Some(GrpcAsk { url: url.filter(is_bare)?, service, headers: headers? })
}

/// Not every name that can be looked up, such as one with two dots in a row.
fn can_have_a_certificate(host: &Host) -> bool {
    match host {
        Host::Domain(name) => ServerName::try_from(name.as_str()).is_ok(),
        Host::Ipv4(_) | Host::Ipv6(_) => true,
    }
}

/// A host and a port.
fn address(spot: &Spot, Text(text): &Text) -> Option<(Host, u16)> {
    let parsed = text.rsplit_once(':').and_then(|(host, port)| {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port > 0)?;
        Some((Host::parse(host).ok()?, port))
    });
    if parsed.is_none() {
        // Somebody may have written a URL, with a password in it.
        let written = if text.contains('@') { "what stands here" } else { &format!("\"{}\"", shown(text)) };
        spot.wrong(format!(
            "{written} is not a host and a port; allowed are those such as db.example.com:5432"
        ));
    }
    parsed
}

/// A query, or counters.
fn figure(spot: &Spot, raw: &raw::Prometheus) -> Option<Ask> {
    let is_written = |key: &str, is_there: bool| is_there || spot.key(key).is_broken();
    let is_counted = is_written("errors", raw.errors.is_some())
        || is_written("requests", raw.requests.is_some())
        || is_written("min_requests", raw.min_requests.is_some());
    if is_counted {
        return counters(spot, raw).map(Ask::Counters);
    }
    prometheus(spot, raw).map(Ask::Prometheus)
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
pub(super) fn limits(spot: &Spot, at_least: Option<Number>, at_most: Option<Number>) -> Option<Limits> {
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
    let version = version(&spot.key("expect_version"), raw.expect_version.as_ref())?;
    Some(HttpAsk { url: url?, headers: headers?, expect: Expect { version, ..expect? } })
}

/// Where the version stands: nowhere, where nobody asks for it.
fn version(spot: &Spot, raw: Option<&raw::ExpectVersion>) -> Option<Option<VersionAt>> {
    let Some(raw) = raw.filter(|_| !spot.is_broken()) else { return (!spot.is_broken()).then_some(None) };
    match (&raw.header, &raw.json) {
        (Some(_), Some(_)) => spot.key("json").wrong_key("stands beside header; allowed is one of the two"),
        (None, None) => spot.key("header").missing("the name of a header, or json with a pointer"),
        (Some(Text(name)), None) => match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => return Some(Some(VersionAt::Header(name.to_string()))),
            Err(_) => spot
                .key("header")
                .wrong("is not the name of a header; allowed are letters, digits and -, such as x-version"),
        },
        (None, Some(text)) => {
            return pointer(&spot.key("json"), text).map(|pointer| Some(VersionAt::Json(pointer)));
        }
    }
    None
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
    Some(Expect { status, body_contains, json, version: None })
}

fn json(spot: &Spot, raw: &raw::ExpectJson) -> Option<ExpectJson> {
    let at = spot.key("pointer");
    let place = match &raw.pointer {
        None => {
            at.missing("an RFC 6901 pointer such as /status");
            None
        }
        Some(text) => pointer(&at, text),
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
    Some(ExpectJson { pointer: place?, value: value? })
}

/// A place in a JSON body.
fn pointer(spot: &Spot, Text(pointer): &Text) -> Option<String> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        spot.wrong(format!("\"{}\" is not a JSON pointer; allowed is one such as /status", shown(pointer)));
        return None;
    }
    Some(pointer.clone())
}
