//! Sevalla: applications and static sites.
//!
//! Paths and bodies are those of the OpenAPI description at <https://api.sevalla.com/v3/openapi.json>. The platform has
//! no dry run, no pin, no commit and no revert: `validate` is made of reads, the pin is a pause of `auto_deploy`, and a
//! rollback of an application that is built from Git goes back to what the *platform* picks, which is why whoever asks
//! for one holds what came back against what was wanted.

mod figures;
mod image;
mod inventory;
mod listing;
mod nature;
mod validate;
mod wire;
mod writes;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::http::{
    ANSWER_LIMIT, Ask, Http, LIST_LIMIT, Limits, Method, Observer, Reply, ResetIn, StartError, TokenReader,
    Unreadable, Want,
};
use super::inventory::Found;
use super::json::{missing, parse};
use super::{
    Answered, Budget, Call, Goal, Listed, Measured, Platform, PlatformError, Signal, operation, unsupported,
};
use crate::config::PlatformConfig;
use crate::decision::capability::Capabilities;
use crate::decision::effect::Validation;
use crate::decision::observation::{AppView, Deployment};
use crate::ids::PlatformAppId;
use nature::{Kind, Nature, Sleep, Source};
use wire::{History, Newest};

/// Items a page: the API's maximum.
const PAGE: u32 = 100;
/// Deployments that a poll looks at: the live one is the newest that succeeded.
const NEWEST: u32 = 20;

/// Reads under way at once.
const AT_ONCE: usize = 4;

/// Reads are limited to 400 a minute over the whole company, every kind of write to a number of its own
/// (<https://api-docs.sevalla.com/v3/rate-limits>). The reset is in seconds from now on.
const LIMITS: Limits = Limits {
    limit: "x-ratelimit-limit",
    remaining: "x-ratelimit-remaining",
    reset: "x-ratelimit-reset",
    reset_in: ResetIn::SecondsLeft,
    window: Duration::from_secs(60),
    are_apart: true,
};

/// A company on Sevalla.
#[derive(Debug)]
pub struct Sevalla {
    http: Http,
    /// What each id turned out to be.
    known: Mutex<HashMap<PlatformAppId, Known>>,
    /// Requests that the last list took.
    reads: AtomicU32,
}

/// What an app turned out to be, as far as it was said.
#[derive(Clone, Copy, Debug)]
struct Known {
    kind: Kind,
    source: Option<Source>,
    sleep: Option<Sleep>,
    /// A poll asked whether it sleeps and was not told: it does not ask again.
    is_asked: bool,
}

impl Sevalla {
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
        Self { http, known: Mutex::default(), reads: AtomicU32::new(0) }
    }

    async fn one_app(&self, app: &PlatformAppId) -> Result<Answered<AppView>, PlatformError> {
        self.of_its_kind(app, |kind| self.view(app, kind)).await
    }

    async fn view(&self, app: &PlatformAppId, kind: Kind) -> Result<Answered<AppView>, PlatformError> {
        let (detail, newest) = tokio::join!(self.detail(app, kind), self.newest(app, kind));
        let Answered { value: detail, status, request_id } = detail?;
        let newest = newest.map_err(without_deployments)?.value;
        let nature = self.learn(app, kind, &detail);
        let (pushes, pin) = detail.pushes(nature);
        let view = newest.view(nature);
        let value = AppView { pushes, capabilities: Capabilities { pin, ..view.capabilities }, ..view };
        Ok(Answered { value, status, request_id })
    }

    /// The app itself.
    async fn detail(&self, app: &PlatformAppId, kind: Kind) -> Result<Answered<wire::App>, PlatformError> {
        let ask = Ask {
            operation: operation::GET_APP,
            method: Method::Get,
            path: &[kind.collection(), app.as_str()],
            query: &[],
            want: Want::Body(ANSWER_LIMIT),
        };
        self.http
            .call(ask, |reply| {
                let answer: wire::App = parse(reply)?;
                if answer.id != app.as_str() { Err(missing("the app asked for")) } else { Ok(answer.whole()) }
            })
            .await
    }

    /// Its newest deployments, with the live one among them wherever that is near enough.
    async fn newest(&self, app: &PlatformAppId, kind: Kind) -> Result<Answered<Newest>, PlatformError> {
        let newest = self.listed_deployments(app, kind, NEWEST, wire::newest).await?;
        // The live one may be behind twenty that failed.
        if newest.value.live.is_none() && newest.value.size >= NEWEST as usize {
            return self.listed_deployments(app, kind, PAGE, wire::newest).await;
        }
        Ok(newest)
    }

    /// All of its newest deployments.
    async fn history(&self, app: &PlatformAppId, kind: Kind) -> Result<Answered<History>, PlatformError> {
        self.listed_deployments(app, kind, PAGE, wire::history).await
    }

    async fn listed_deployments<T>(
        &self,
        app: &PlatformAppId,
        kind: Kind,
        limit: u32,
        decode: fn(&Reply) -> Result<T, Unreadable>,
    ) -> Result<Answered<T>, PlatformError> {
        let ask = Ask {
            operation: operation::LIST_DEPLOYMENTS,
            method: Method::Get,
            path: &[kind.collection(), app.as_str(), "deployments"],
            query: &[("limit", limit.to_string())],
            want: Want::Body(LIST_LIMIT),
        };
        self.http.call(ask, decode).await
    }

    async fn every_deployment(
        &self,
        app: &PlatformAppId,
    ) -> Result<Answered<Vec<Deployment>>, PlatformError> {
        let Answered { value, status, request_id } =
            self.of_its_kind(app, |kind| self.history(app, kind)).await?;
        Ok(Answered { value: value.deployments, status, request_id })
    }

    /// Reads as what the app is known to be, or an application at first; and as the other where it is not that.
    async fn of_its_kind<T, F>(
        &self,
        app: &PlatformAppId,
        ask: impl Fn(Kind) -> F,
    ) -> Result<Answered<T>, PlatformError>
    where
        F: Future<Output = Result<Answered<T>, PlatformError>>,
    {
        let first = self.known().get(app).map_or(Kind::Application, |known| known.kind);
        match ask(first).await {
            Err(PlatformError::NotFound) => self.forget(app),
            outcome => return outcome,
        }
        let outcome = ask(first.other()).await?;
        self.learn(app, first.other(), &wire::App::default());
        Ok(outcome)
    }

    /// What the app is, read where it is not known.
    async fn nature(&self, app: &PlatformAppId) -> Result<Nature, PlatformError> {
        let known = self.known().get(app).copied();
        if let Some(Known { kind, source: Some(source), sleep, .. }) = known {
            return Ok(Nature { kind, source, sleep });
        }
        let read = async |kind| {
            let Answered { value: detail, status, request_id } = self.detail(app, kind).await?;
            Ok(Answered { value: self.learn(app, kind, &detail), status, request_id })
        };
        Ok(self.of_its_kind(app, read).await?.value)
    }

    /// Keeps what an app is. A list leaves things out: what was said before stands then.
    fn learn(&self, app: &PlatformAppId, kind: Kind, told: &wire::App) -> Nature {
        let mut known = self.known();
        let before = known.get(app).filter(|before| before.kind == kind);
        let source = told.source().or(before.and_then(|before| before.source));
        let sleep = told.sleep().or(before.and_then(|before| before.sleep));
        let is_asked = before.is_some_and(|before| before.is_asked);
        known.insert(app.clone(), Known { kind, source, sleep, is_asked });
        Nature { kind, source: source.unwrap_or(Source::Other), sleep }
    }

    /// Whether it is still to be asked whether the app is put to sleep.
    fn wants_sleep(&self, app: &PlatformAppId) -> bool {
        self.known().get(app).is_none_or(|known| known.sleep.is_none() && !known.is_asked)
    }

    /// Notes that it was asked, and nobody said.
    fn could_not_tell(&self, app: &PlatformAppId) {
        if let Some(known) = self.known().get_mut(app) {
            known.is_asked = true;
        }
    }

    fn forget(&self, app: &PlatformAppId) {
        self.known().remove(app);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PlatformAppId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An app that is there and its deployments not is a contradiction, and no app that is gone.
fn without_deployments(error: PlatformError) -> PlatformError {
    match error {
        PlatformError::NotFound => {
            PlatformError::Ambiguous("the app is there without deployments".to_owned())
        }
        error => error,
    }
}

impl Platform for Sevalla {
    fn list_apps<'a>(&'a self, wanted: &'a [PlatformAppId]) -> Call<'a, Listed> {
        Box::pin(self.list(wanted))
    }

    fn app<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, AppView> {
        Box::pin(self.one_app(app))
    }

    fn deployments<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, Vec<Deployment>> {
        Box::pin(self.every_deployment(app))
    }

    fn validate_rollback<'a>(&'a self, app: &'a PlatformAppId, goal: Goal<'a>) -> Call<'a, Validation> {
        Box::pin(self.of_its_kind(app, move |kind| self.validate(app, kind, goal)))
    }

    fn create_rollback<'a>(&'a self, app: &'a PlatformAppId, goal: Goal<'a>) -> Call<'a, Deployment> {
        Box::pin(self.create(app, goal))
    }

    fn restart<'a>(&'a self, app: &'a PlatformAppId, _components: &'a [String]) -> Call<'a, Deployment> {
        Box::pin(self.restart_live(app))
    }

    fn pin<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, ()> {
        Box::pin(self.deploy_pushes(operation::PIN, app, false))
    }

    fn unpin<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, ()> {
        Box::pin(self.deploy_pushes(operation::UNPIN, app, true))
    }

    fn series<'a>(&'a self, app: &'a PlatformAppId, signal: Signal, span: Range<i64>) -> Call<'a, Measured> {
        match signal {
            Signal::Requests => Box::pin(self.requests(app, span)),
            Signal::ResponseTime => Box::pin(self.response_time(app, span)),
            Signal::Cpu | Signal::Memory | Signal::Exits => Box::pin(self.processes(app, signal, span)),
            Signal::Restarts | Signal::Health => unsupported(operation::SERIES),
        }
    }

    /// Processes are listed, and each is asked for on its own.
    fn reads_of(&self, signal: Signal, series: usize) -> u32 {
        match signal {
            Signal::Cpu | Signal::Memory | Signal::Exits => {
                u32::try_from(series).unwrap_or(u32::MAX).saturating_add(1)
            }
            _ => 1,
        }
    }

    fn clock_ms(&self) -> Option<i64> {
        self.http.clock_ms()
    }

    fn inventory(&self) -> Call<'_, Vec<Found>> {
        Box::pin(self.found())
    }

    fn budget(&self) -> Budget {
        Budget { reads_a_poll: self.reads.load(Ordering::Relaxed), ..self.http.budget() }
    }

    fn speaks_for_our_network(&self) -> bool {
        self.http.is_direct()
    }

    fn reload_token(&self) {
        self.http.reload_token();
    }
}

#[cfg(test)]
mod tests;
