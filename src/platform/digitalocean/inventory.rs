//! The apps of an account as their specs describe them (`GET /v2/apps`; `app_spec` in the OpenAPI description).

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::http::{Ask, LIST_LIMIT, Method, Reply, Unreadable, Want};
use super::super::inventory::{Found, Page, Route};
use super::super::json::{detail, each, lenient, missing, parse};
use super::super::{Answered, PlatformError, operation};
use super::{APPS_A_PAGE, DigitalOcean, PAGES, wire};
use crate::ids::PlatformAppId;

impl DigitalOcean {
    /// Every app, with where it can be asked.
    pub(super) async fn found(&self) -> Result<Answered<Vec<Found>>, PlatformError> {
        let (mut all, mut known) = (Vec::new(), HashSet::new());
        for number in 1..=PAGES {
            let query = [("per_page", APPS_A_PAGE.to_owned()), ("page", number.to_string())];
            let ask = Ask {
                operation: operation::LIST_APPS,
                method: Method::Get,
                path: &["v2", "apps"],
                query: &query,
                want: Want::Body(LIST_LIMIT),
            };
            let Answered { value: (apps, goes_on), status, request_id } = self.http.call(ask, page).await?;
            let size = apps.len();
            all.extend(apps.into_iter().filter(|app: &Found| known.insert(app.id.clone())));
            if !goes_on || size == 0 {
                return Ok(Answered { value: all, status, request_id });
            }
        }
        Err(PlatformError::Ambiguous(format!("the list of apps goes on after {PAGES} pages")))
    }
}

fn page(reply: &Reply) -> Result<(Vec<Found>, bool), Unreadable> {
    let page: wire::AppsPage = parse(reply)?;
    let goes_on = page.has_next() == Some(true);
    let entries: Vec<&RawValue> = page.entries().ok_or_else(|| missing("a list of apps"))?;
    Ok((each(&entries, "app", App::found), goes_on))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct App {
    #[serde(deserialize_with = "lenient")]
    id: String,
    #[serde(deserialize_with = "lenient")]
    live_url: String,
    /// The same without the path of a component.
    #[serde(deserialize_with = "lenient")]
    live_url_base: String,
    #[serde(deserialize_with = "detail")]
    active_deployment: Active,
    #[serde(deserialize_with = "detail")]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Active {
    #[serde(deserialize_with = "lenient")]
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(deserialize_with = "lenient")]
    name: String,
    #[serde(deserialize_with = "lenient")]
    services: Vec<Component>,
    #[serde(deserialize_with = "lenient")]
    static_sites: Vec<Component>,
    #[serde(deserialize_with = "detail")]
    ingress: Ingress,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Component {
    #[serde(deserialize_with = "lenient")]
    name: String,
    #[serde(deserialize_with = "lenient")]
    http_port: Option<u32>,
    #[serde(deserialize_with = "lenient")]
    health_check: HealthCheck,
    /// The older way to say it.
    #[serde(deserialize_with = "lenient")]
    routes: Vec<SpecRoute>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct HealthCheck {
    #[serde(deserialize_with = "lenient")]
    http_path: Option<String>,
    /// Where it is not the component's `http_port`.
    #[serde(deserialize_with = "lenient")]
    port: Option<u32>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct SpecRoute {
    #[serde(deserialize_with = "lenient")]
    path: String,
    #[serde(deserialize_with = "lenient")]
    preserve_path_prefix: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ingress {
    #[serde(deserialize_with = "lenient")]
    rules: Vec<Rule>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rule {
    #[serde(rename = "match", deserialize_with = "lenient")]
    matches: Match,
    #[serde(deserialize_with = "lenient")]
    component: Target,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Match {
    #[serde(deserialize_with = "lenient")]
    path: Prefix,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Prefix {
    #[serde(deserialize_with = "lenient")]
    prefix: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    #[serde(deserialize_with = "lenient")]
    name: String,
    #[serde(deserialize_with = "lenient")]
    preserve_path_prefix: bool,
    #[serde(deserialize_with = "lenient")]
    rewrite: Option<String>,
}

impl App {
    /// None without an id.
    fn found(self) -> Option<Found> {
        if self.id.is_empty() {
            return None;
        }
        let pages = self.pages();
        let mut notes = Vec::new();
        if self.active_deployment.id.is_empty() {
            notes.push("nothing is deployed at the moment");
        }
        if pages.is_empty() {
            notes.push("it has no public address, so the platform is asked whether it is healthy");
        }
        let name = if self.spec.name.is_empty() { self.id.clone() } else { self.spec.name };
        let id = PlatformAppId::from(self.id);
        Some(Found { id, name, pages, tells_health: true, platform_picks: false, notes })
    }

    /// The services first: a static site is seldom what breaks.
    fn pages(&self) -> Vec<Page> {
        let bases = [&self.live_url_base, &self.live_url];
        let Some(base) = bases.into_iter().find(|url| is_url(url)) else { return Vec::new() };
        let components: Vec<&Component> = self.spec.services.iter().chain(&self.spec.static_sites).collect();
        let is_alone = components.len() == 1;
        let page = |component: &&Component| {
            let route = self.spec.ingress.route(&component.name).or_else(|| component.route(is_alone))?;
            Some(Page::of(&component.name, base, &route, component.check()))
        };
        components.iter().filter_map(page).collect()
    }
}

impl Component {
    /// The path of its health check, where it is asked on the port that is reached from outside.
    fn check(&self) -> Option<&str> {
        let is_elsewhere = self.health_check.port.is_some() && self.health_check.port != self.http_port;
        self.health_check.http_path.as_deref().filter(|_| !is_elsewhere)
    }

    /// Its first route; an app's only component has all requests by default.
    fn route(&self, is_alone: bool) -> Option<Route> {
        let first = self.routes.first();
        let route = first.map(|route| Route {
            prefix: route.path.clone(),
            keeps_prefix: Some(route.preserve_path_prefix),
        });
        route.or_else(|| is_alone.then(|| Route { prefix: "/".to_owned(), keeps_prefix: Some(false) }))
    }
}

impl Ingress {
    fn route(&self, component: &str) -> Option<Route> {
        let rule = self.rules.iter().find(|rule| rule.component.name == component)?;
        let keeps = rule.component.rewrite.is_none().then_some(rule.component.preserve_path_prefix);
        Some(Route { prefix: rule.matches.path.prefix.clone(), keeps_prefix: keeps })
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str) -> Found {
        serde_json::from_str::<App>(json).unwrap().found().unwrap()
    }

    fn urls(found: &Found) -> Vec<(&str, bool)> {
        found.pages.iter().map(|page| (page.url.as_str(), page.is_health_check)).collect()
    }

    #[test]
    fn each_component_that_is_reached_has_its_page() {
        let app = found(
            r#"{"id":"a1","live_url":"https://x.example/api","live_url_base":"https://x.example",
                "active_deployment":{"id":"d1"},
                "spec":{"name":"shop",
                  "services":[
                    {"name":"api","http_port":8080,"health_check":{"http_path":"/healthz"}},
                    {"name":"admin","http_port":8080,"health_check":{"http_path":"/up","port":9000},
                     "routes":[{"path":"/admin","preserve_path_prefix":true}]},
                    {"name":"inner","internal_ports":[80]}],
                  "static_sites":[{"name":"site"}],
                  "ingress":{"rules":[
                    {"match":{"path":{"prefix":"/api"}},"component":{"name":"api"}},
                    {"match":{"path":{"prefix":"/"}},"component":{"name":"site"}}]}}}"#,
        );
        assert_eq!((app.name.as_str(), app.notes.len()), ("shop", 0));
        assert_eq!(
            urls(&app),
            [
                ("https://x.example/api/healthz", true),
                ("https://x.example/admin/", false),
                ("https://x.example/", false)
            ]
        );
    }

    #[test]
    fn a_worker_has_no_page_and_what_is_strange_hides_nothing() {
        let app = found(r#"{"id":"a1","spec":{"name":"mailer","workers":[{"name":"w"}]}}"#);
        assert!(app.pages.is_empty() && app.tells_health);
        assert_eq!(app.notes.len(), 2);
        let app = found(
            r#"{"id":"a1","live_url":"https://x.example","spec":{"services":[{"name":"web","health_check":7}]}}"#,
        );
        assert_eq!((app.name.as_str(), urls(&app)), ("a1", vec![("https://x.example/", false)]));
        assert_eq!(serde_json::from_str::<App>(r#"{"spec":{"name":"x"}}"#).unwrap().found(), None);
    }
}
