//! The applications and static sites of a company, with their domains and what their processes are checked by.

use futures_util::stream::{self, StreamExt};
use serde::Deserialize;

use super::super::http::{ANSWER_LIMIT, Ask, LIST_LIMIT, Method, Reply, Unreadable, Want};
use super::super::inventory::{Found, Page, Route};
use super::super::json::{detail, each, lenient, parse};
use super::super::{Answered, PlatformError, operation};
use super::nature::{Kind, Source};
use super::{AT_ONCE, PAGE, Sevalla, wire};
use crate::ids::PlatformAppId;

/// Pages read at most: no list goes beyond this (`offset` has a maximum of 10,000).
const PAGES: u32 = 101;

/// What a list says, and of a static site where it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Listed {
    #[serde(deserialize_with = "lenient")]
    id: String,
    #[serde(deserialize_with = "lenient")]
    name: String,
    #[serde(deserialize_with = "lenient")]
    display_name: String,
    #[serde(deserialize_with = "lenient")]
    source: String,
    #[serde(deserialize_with = "lenient")]
    is_suspended: bool,
    #[serde(deserialize_with = "lenient")]
    hostname: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Domain {
    #[serde(deserialize_with = "lenient")]
    name: String,
    #[serde(deserialize_with = "lenient")]
    status: String,
    #[serde(rename = "type", deserialize_with = "lenient")]
    kind: String,
    #[serde(deserialize_with = "lenient")]
    is_enabled: bool,
    #[serde(deserialize_with = "lenient")]
    is_wildcard: bool,
    #[serde(deserialize_with = "lenient")]
    is_primary: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Process {
    #[serde(rename = "type", deserialize_with = "lenient")]
    kind: String,
    #[serde(deserialize_with = "lenient")]
    port: Option<u32>,
    #[serde(deserialize_with = "detail")]
    readiness_probe: Probe,
    #[serde(deserialize_with = "detail")]
    liveness_probe: Probe,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Probe {
    #[serde(rename = "httpGet", deserialize_with = "detail")]
    http_get: HttpGet,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HttpGet {
    #[serde(deserialize_with = "lenient")]
    path: Option<String>,
    #[serde(deserialize_with = "lenient")]
    port: Option<u32>,
}

impl Sevalla {
    /// Every application and static site. A company without static sites, or a token that may not see them, has none.
    pub(super) async fn found(&self) -> Result<Answered<Vec<Found>>, PlatformError> {
        let Answered { value: applications, status, request_id } = self.every(Kind::Application).await?;
        let sites = self.every(Kind::StaticSite).await.map(|sites| sites.value).unwrap_or_else(|error| {
            tracing::warn!("failed to {error}: static sites are left out");
            Vec::new()
        });
        let applications = applications.into_iter().map(|app| (Kind::Application, app));
        let all = applications.chain(sites.into_iter().map(|site| (Kind::StaticSite, site)));
        let each: Vec<_> = all.map(|(kind, app)| self.described(kind, app)).collect();
        let value = stream::iter(each).buffered(AT_ONCE).collect().await;
        Ok(Answered { value, status, request_id })
    }

    async fn every(&self, kind: Kind) -> Result<Answered<Vec<Listed>>, PlatformError> {
        let mut all = Vec::new();
        for number in 0..PAGES {
            let offset = u64::from(number) * u64::from(PAGE);
            let query = [("limit", PAGE.to_string()), ("offset", offset.to_string())];
            let ask = Ask {
                operation: operation::LIST_APPS,
                method: Method::Get,
                path: &[kind.collection()],
                query: &query,
                want: Want::Body(LIST_LIMIT),
            };
            let read = |reply: &Reply| {
                let page: wire::Page = parse(reply)?;
                Ok((each(&page.data, "app", named), page.data.len()))
            };
            let Answered { value: (apps, size), status, request_id } = self.http.call(ask, read).await?;
            all.extend(apps);
            if size < PAGE as usize {
                return Ok(Answered { value: all, status, request_id });
            }
        }
        Err(PlatformError::Ambiguous(format!(
            "the list of {} goes on after {PAGES} pages",
            kind.collection()
        )))
    }

    /// What cannot be read of an app leaves it without a page, and says so.
    async fn described(&self, kind: Kind, app: Listed) -> Found {
        let mut notes = Vec::new();
        let hosts = match kind {
            Kind::Application => self.part(&app.id, "domains", |domain: Domain| Some(domain)).await,
            Kind::StaticSite => self.hostname(&app).await,
        };
        let host = match hosts {
            Ok(domains) => front(domains),
            Err(error) => {
                tracing::debug!(app = app.name, "failed to {error}");
                notes.push("its domains could not be read");
                None
            }
        };
        let mut check = None;
        if kind == Kind::Application && host.is_some() {
            let processes = self.part(&app.id, "processes", |process: Process| Some(process)).await;
            check = processes.unwrap_or_default().iter().find_map(Process::check);
        }
        if host.is_none() && notes.is_empty() {
            notes.push("it has no public address");
        }
        if app.is_suspended {
            notes.push("it is suspended");
        }
        let route = Route { prefix: "/".to_owned(), keeps_prefix: Some(true) };
        let page = |host: String| Page::of("", &format!("https://{host}"), &route, check.as_deref());
        let is_built = matches!(Source::of(&app.source), Source::PrivateGit | Source::PublicGit);
        let names = [&app.display_name, &app.name, &app.id];
        let name = names.into_iter().find(|name| !name.is_empty()).cloned().unwrap_or_default();
        Found {
            name,
            pages: host.filter(|_| !app.is_suspended).map(page).into_iter().collect(),
            tells_health: false,
            platform_picks: kind == Kind::Application && is_built,
            notes,
            id: PlatformAppId::from(app.id),
        }
    }

    async fn part<T: for<'de> Deserialize<'de>>(
        &self,
        app: &str,
        what: &str,
        seen: impl Fn(T) -> Option<T>,
    ) -> Result<Vec<T>, PlatformError> {
        let query = [("limit", PAGE.to_string())];
        let ask = Ask {
            operation: operation::GET_APP,
            method: Method::Get,
            path: &[Kind::Application.collection(), app, what],
            query: &query,
            want: Want::Body(LIST_LIMIT),
        };
        let read = |reply: &Reply| {
            let page: wire::Page = parse(reply)?;
            Ok(each(&page.data, "part of an app", &seen))
        };
        Ok(self.http.call(ask, read).await?.value)
    }

    /// A static site says where it is itself, where it is read alone.
    async fn hostname(&self, site: &Listed) -> Result<Vec<Domain>, PlatformError> {
        let ask = Ask {
            operation: operation::GET_APP,
            method: Method::Get,
            path: &[Kind::StaticSite.collection(), &site.id],
            query: &[],
            want: Want::Body(ANSWER_LIMIT),
        };
        let read = |reply: &Reply| -> Result<Listed, Unreadable> { parse(reply) };
        let Listed { hostname, .. } = self.http.call(ask, read).await?.value;
        let domain =
            Domain { name: hostname, is_enabled: true, kind: "SYSTEM".to_owned(), ..Domain::default() };
        Ok(if domain.name.is_empty() { Vec::new() } else { vec![domain] })
    }
}

fn named(app: Listed) -> Option<Listed> {
    (!app.id.is_empty()).then_some(app)
}

/// The active primary domain, else another active one, else the one the platform gave it, where that is switched on.
fn front(domains: Vec<Domain>) -> Option<String> {
    let is_host = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.')
    };
    let rank = |domain: &Domain| match (domain.status == "ACTIVE", domain.is_primary, domain.kind.as_str()) {
        (true, true, _) => Some(0),
        (_, _, "SYSTEM") if domain.is_enabled => Some(2),
        (true, _, "CUSTOM") => Some(1),
        _ => None,
    };
    let hosts = domains.into_iter().filter(|domain| !domain.is_wildcard && is_host(&domain.name));
    let ranked = hosts.filter_map(|domain| Some((rank(&domain)?, domain.name)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, name)| name)
}

impl Process {
    /// The path that is asked whether it is ready, or at least alive, on the port that is reached from outside.
    fn check(&self) -> Option<String> {
        let probes = [&self.readiness_probe.http_get, &self.liveness_probe.http_get];
        let is_here = |get: &&HttpGet| get.port.is_none() || get.port == self.port;
        let mut paths = probes.into_iter().filter(is_here).filter_map(|get| get.path.clone());
        paths.find(|_| self.kind == "web")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str, status: &str, kind: &str, is_primary: bool) -> Domain {
        let (name, status, kind) = (name.to_owned(), status.to_owned(), kind.to_owned());
        Domain { name, status, kind, is_enabled: true, is_wildcard: false, is_primary }
    }

    #[test]
    fn the_active_primary_domain_comes_first_and_then_the_platform_s_own() {
        let own = || domain("shop.sevalla.example", "ACTIVE", "SYSTEM", false);
        let custom = |status, is_primary| domain("shop.example", status, "CUSTOM", is_primary);
        assert_eq!(front(vec![own(), custom("ACTIVE", true)]).as_deref(), Some("shop.example"));
        assert_eq!(front(vec![own(), custom("ACTIVE", false)]).as_deref(), Some("shop.example"));
        assert_eq!(front(vec![own(), custom("POINTING", true)]).as_deref(), Some("shop.sevalla.example"));
        assert_eq!(front(vec![custom("POINTING", true)]), None);
        assert_eq!(front(vec![Domain { is_enabled: false, ..own() }]), None);
        assert_eq!(front(vec![Domain { is_wildcard: true, ..custom("ACTIVE", true) }]), None);
        assert_eq!(front(vec![domain("a b\n", "ACTIVE", "CUSTOM", true)]), None);
    }

    #[test]
    fn a_check_is_asked_for_where_it_is_reached_from_outside() {
        let check = |json: &str| serde_json::from_str::<Process>(json).unwrap().check();
        let path = Some("/ready".to_owned());
        assert_eq!(
            check(r#"{"type":"web","port":80,"readiness_probe":{"httpGet":{"path":"/ready","port":80}}}"#),
            path
        );
        assert_eq!(
            check(r#"{"type":"web","liveness_probe":{"httpGet":{"path":"/ready"}},"readiness_probe":null}"#),
            path
        );
        assert_eq!(
            check(r#"{"type":"web","port":80,"readiness_probe":{"httpGet":{"path":"/r","port":9}}}"#),
            None
        );
        assert_eq!(check(r#"{"type":"worker","readiness_probe":{"httpGet":{"path":"/ready"}}}"#), None);
        assert_eq!(check(r#"{"type":"web","readiness_probe":{"exec":{"command":["true"]}}}"#), None);
    }
}
