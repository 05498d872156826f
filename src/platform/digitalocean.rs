//! DigitalOcean App Platform.
//!
//! Every path and body here is fixed by the OpenAPI description at <https://github.com/digitalocean/openapi>
//! (`specification/resources/apps`), and the four rollback calls by what it says of `apps_rollback_app_request`.

mod canonical;
mod figures;
mod inventory;
mod validation;
mod wire;

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::http::{
    ANSWER_LIMIT, Ask, Http, LIST_LIMIT, Limits, Method, Observer, Reply, ResetIn, StartError, TokenReader,
    Unreadable, Want,
};
use super::inventory::Found;
use super::json::{each, missing, parse};
use super::{
    Answered, Bandwidth, Budget, Call, Goal, Listed, Measured, Platform, PlatformError, Signal, operation,
};
use crate::config::PlatformConfig;
use crate::decision::effect::Validation;
use crate::decision::observation::{AppView, Deployment};
use crate::ids::{DeploymentId, PlatformAppId};
use canonical::Specs;

/// Apps a page: the API's maximum (`parameters.yml`, `per_page`).
const APPS_A_PAGE: &str = "200";
/// Deployments looked at: the platform goes back at most ten successful ones, and failed ones lie between.
const DEPLOYMENTS: &str = "30";
/// Pages read at most, 40,000 apps: an end to a list that has none.
const PAGES: u32 = 200;
/// The most of a validation's text that is kept.
const CONDITION_TEXT: usize = 200;

/// 5,000 requests in any hour and 250 in any minute, over all calls
/// (<https://docs.digitalocean.com/reference/api/api-reference/#section/Introduction/Rate-Limit>). `retry-after` comes
/// only with the limit of the minute.
const LIMITS: Limits = Limits {
    limit: "ratelimit-limit",
    remaining: "ratelimit-remaining",
    reset: "ratelimit-reset",
    reset_in: ResetIn::EpochSeconds,
    window: Duration::from_secs(60 * 60),
    are_apart: false,
};

/// An account on DigitalOcean.
#[derive(Debug)]
pub struct DigitalOcean {
    http: Http,
    /// The pages of the last list.
    pages: AtomicU32,
    specs: Mutex<Specs>,
}

impl DigitalOcean {
    /// The account of `config`. Reads the token once, from `tokens`; tells `observer` of every request.
    ///
    /// # Errors
    ///
    /// When the token cannot be read or sent, the API's URL cannot be used, or TLS cannot be set up.
    pub fn new(config: &PlatformConfig, tokens: TokenReader, observer: Observer) -> Result<Self, StartError> {
        Ok(Self::over(Http::new(config, LIMITS, tokens, observer)?))
    }

    /// The same over a platform in this process.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn in_process(
        platform: super::http::InProcess,
        config: &PlatformConfig,
        tokens: TokenReader,
    ) -> Result<Self, StartError> {
        Ok(Self::over(Http::in_process(platform, config, LIMITS, tokens)?))
    }

    fn over(http: Http) -> Self {
        Self { http, pages: AtomicU32::new(0), specs: Mutex::default() }
    }

    fn specs(&self) -> MutexGuard<'_, Specs> {
        self.specs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn every_app(&self) -> Result<Answered<Listed>, PlatformError> {
        let mut known = HashSet::new();
        let mut all = Listed { apps: Vec::new(), is_whole: true };
        for number in 1..=PAGES {
            let query = [("per_page", APPS_A_PAGE.to_owned()), ("page", number.to_string())];
            let ask = Ask {
                operation: operation::LIST_APPS,
                method: Method::Get,
                path: &["v2", "apps"],
                query: &query,
                want: Want::Body(LIST_LIMIT),
            };
            let page = self.http.call(ask, |reply| apps(reply, &mut self.specs())).await?;
            let Answered { value: Page { apps, size, has_next }, status, request_id } = page;
            all.is_whole &= apps.len() == size;
            // A page shifts when an app is made or deleted meanwhile: what was seen first is kept.
            let apps = apps.into_iter().filter(|(id, _)| known.insert(id.clone()));
            all.apps.extend(apps.map(|(id, view)| (id, Ok(view))));
            if has_next != Some(true) || size == 0 {
                // An empty page that announces another is no end either.
                all.is_whole &= has_next == Some(false);
                self.pages.store(number, Ordering::Relaxed);
                return Ok(Answered { value: all, status, request_id });
            }
        }
        Err(PlatformError::Ambiguous(format!("the list of apps goes on after {PAGES} pages")))
    }

    async fn one_app(&self, app: &PlatformAppId) -> Result<Answered<AppView>, PlatformError> {
        let ask = Ask {
            operation: operation::GET_APP,
            method: Method::Get,
            path: &["v2", "apps", app.as_str()],
            query: &[],
            // Up to four deployments, each with its spec.
            want: Want::Body(LIST_LIMIT),
        };
        self.http
            .call(ask, |reply| {
                let answer: wire::AppAnswer = parse(reply)?;
                let seen = answer.app.0.seen(reply.date_ms, &mut self.specs());
                let (id, view) = seen.ok_or_else(|| missing("an app with an id"))?;
                if id != *app {
                    return Err(missing("the app asked for"));
                }
                Ok(view)
            })
            .await
    }

    async fn newest(&self, app: &PlatformAppId) -> Result<Answered<Vec<Deployment>>, PlatformError> {
        let ask = Ask {
            operation: operation::LIST_DEPLOYMENTS,
            method: Method::Get,
            path: &["v2", "apps", app.as_str(), "deployments"],
            query: &[("per_page", DEPLOYMENTS.to_owned())],
            want: Want::Body(LIST_LIMIT),
        };
        self.http.call(ask, |reply| deployments(reply, &mut self.specs())).await
    }

    /// A call that changes something, or would: sent once.
    fn write<'a>(
        operation: &'static str,
        path: &'a [&'a str],
        body: Option<serde_json::Value>,
        want: Want,
    ) -> Ask<'a> {
        Ask { operation, method: Method::Post(body), path, query: &[], want }
    }

    async fn validate(
        &self,
        app: &PlatformAppId,
        target: &DeploymentId,
    ) -> Result<Answered<Validation>, PlatformError> {
        let path = ["v2", "apps", app.as_str(), "rollback", "validate"];
        let body = Some(rollback_to(target));
        let ask = Self::write(operation::VALIDATE_ROLLBACK, &path, body, Want::Body(ANSWER_LIMIT));
        self.http
            .call(ask, |reply| {
                let answer: validation::Validation = parse(reply)?;
                Ok(answer.seen(|text| self.http.words(text, CONDITION_TEXT)))
            })
            .await
    }

    async fn create(
        &self,
        app: &PlatformAppId,
        target: &DeploymentId,
    ) -> Result<Answered<Deployment>, PlatformError> {
        let path = ["v2", "apps", app.as_str(), "rollback"];
        let body = Some(rollback_to(target));
        let ask = Self::write(operation::CREATE_ROLLBACK, &path, body, Want::Body(ANSWER_LIMIT));
        self.http.call(ask, |reply| new_deployment(reply, &mut self.specs())).await
    }

    /// One instance after the other, of these components, or of all where none is named.
    async fn restart_some(
        &self,
        app: &PlatformAppId,
        components: &[String],
    ) -> Result<Answered<Deployment>, PlatformError> {
        let path = ["v2", "apps", app.as_str(), "restart"];
        let body = if components.is_empty() { json!({}) } else { json!({ "components": components }) };
        let ask = Self::write(operation::RESTART, &path, Some(body), Want::Body(ANSWER_LIMIT));
        self.http.call(ask, |reply| new_deployment(reply, &mut self.specs())).await
    }

    async fn commit(&self, app: &PlatformAppId) -> Result<Answered<()>, PlatformError> {
        let path = ["v2", "apps", app.as_str(), "rollback", "commit"];
        // "The action was successful and the response body is empty."
        let ask = Self::write(operation::COMMIT_ROLLBACK, &path, None, Want::Status);
        self.http.call(ask, |_| Ok(())).await
    }

    async fn revert(&self, app: &PlatformAppId) -> Result<Answered<Option<DeploymentId>>, PlatformError> {
        let path = ["v2", "apps", app.as_str(), "rollback", "revert"];
        let ask = Self::write(operation::REVERT_ROLLBACK, &path, None, Want::Extra(ANSWER_LIMIT));
        // The status says that it was done. Which deployment it made can be read from the app.
        self.http
            .call(ask, |reply| Ok(new_deployment(reply, &mut Specs::default()).ok().map(|made| made.id)))
            .await
    }
}

impl Platform for DigitalOcean {
    fn list_apps<'a>(&'a self, _wanted: &'a [PlatformAppId]) -> Call<'a, Listed> {
        Box::pin(self.every_app())
    }

    fn app<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, AppView> {
        Box::pin(self.one_app(app))
    }

    fn deployments<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, Vec<Deployment>> {
        Box::pin(self.newest(app))
    }

    fn validate_rollback<'a>(&'a self, app: &'a PlatformAppId, goal: Goal<'a>) -> Call<'a, Validation> {
        Box::pin(self.validate(app, goal.target))
    }

    fn create_rollback<'a>(&'a self, app: &'a PlatformAppId, goal: Goal<'a>) -> Call<'a, Deployment> {
        Box::pin(self.create(app, goal.target))
    }

    fn restart<'a>(&'a self, app: &'a PlatformAppId, components: &'a [String]) -> Call<'a, Deployment> {
        Box::pin(self.restart_some(app, components))
    }

    fn commit_rollback<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, ()> {
        Box::pin(self.commit(app))
    }

    fn revert_rollback<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, Option<DeploymentId>> {
        Box::pin(self.revert(app))
    }

    fn series<'a>(&'a self, app: &'a PlatformAppId, signal: Signal, span: Range<i64>) -> Call<'a, Measured> {
        match signal {
            Signal::Health => Box::pin(self.health(app)),
            _ => Box::pin(self.metric(app, signal, span)),
        }
    }

    fn clock_ms(&self) -> Option<i64> {
        self.http.clock_ms()
    }

    fn bandwidth<'a>(&'a self, apps: &'a [PlatformAppId]) -> Call<'a, Bandwidth> {
        Box::pin(self.daily(apps))
    }

    fn balance(&self) -> Call<'_, f64> {
        Box::pin(self.account_balance())
    }

    fn inventory(&self) -> Call<'_, Vec<Found>> {
        Box::pin(self.found())
    }

    fn budget(&self) -> Budget {
        Budget { reads_a_poll: self.pages.load(Ordering::Relaxed), ..self.http.budget() }
    }

    fn speaks_for_our_network(&self) -> bool {
        self.http.is_direct()
    }

    fn reload_token(&self) {
        self.http.reload_token();
    }
}

/// The body of validate and create. Without the pin the rollback would be committed at once, and the next push
/// would bring the bad release back before anybody has looked: `skip_pin` is false, always, and always said.
fn rollback_to(target: &DeploymentId) -> serde_json::Value {
    json!({ "deployment_id": target.as_str(), "skip_pin": false })
}

/// A page of apps.
struct Page {
    apps: Vec<(PlatformAppId, AppView)>,
    /// How many it had, readable or not.
    size: usize,
    /// Whether another follows, where that can be read.
    has_next: Option<bool>,
}

fn apps(reply: &Reply, specs: &mut Specs) -> Result<Page, Unreadable> {
    let page: wire::AppsPage = parse(reply)?;
    let has_next = page.has_next();
    let entries = page.entries().ok_or_else(|| missing("a list of apps"))?;
    let size = entries.len();
    let apps = each(&entries, "app", |app: wire::App| app.seen(reply.date_ms, specs));
    Ok(Page { apps, size, has_next })
}

/// Newest first by creation; by position in the list only those that were created at the same moment.
fn deployments(reply: &Reply, specs: &mut Specs) -> Result<Vec<Deployment>, Unreadable> {
    let page: wire::DeploymentsPage = parse(reply)?;
    let entries = page.entries().ok_or_else(|| missing("a list of deployments"))?;
    let mut list = each(&entries, "deployment", |deployment: wire::Deployment| deployment.seen(specs));
    let mut known = HashSet::new();
    list.retain(|deployment| known.insert(deployment.id.clone()));
    list.sort_by_key(|deployment| Reverse(deployment.created_ms));
    Ok(list)
}

fn new_deployment(reply: &Reply, specs: &mut Specs) -> Result<Deployment, Unreadable> {
    let answer: wire::DeploymentAnswer = parse(reply)?;
    answer.deployment.0.seen(specs).ok_or_else(|| missing("a deployment with an id"))
}

#[cfg(test)]
mod tests;
