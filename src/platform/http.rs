//! The one HTTP client of every adapter: sends a request once, bounds what comes back, and classes what went wrong.
//!
//! Two clients, because reqwest re-sends and re-uses connections by default. Reads pool their connections. A write
//! gets a connection of its own and exactly one attempt: on a pooled connection that dies while the request is
//! under way nobody can tell whether it arrived. Once that connection is made it asks for [leave](super::leave).
//! Neither follows a redirect, since the token would travel along.

mod fault;
mod setup;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};
use url::Url;

pub use fault::{CODES, one_line};
use fault::{Fault, Refusal, code};
use setup::Token;
pub use setup::{StartError, install_tls, is_proxied};

use super::{Answered, Budget, PlatformError, pace};
use crate::config::PlatformConfig;

/// The largest answer to a list: 200 apps with four deployments each, every one with its spec, fit many times over.
pub const LIST_LIMIT: usize = 32 << 20;
/// The largest answer to anything else, and the most of an error's body that is read.
pub const ANSWER_LIMIT: usize = 1 << 20;

/// Names rearguard to the platform.
const AGENT: &str = concat!("rearguard/", env!("CARGO_PKG_VERSION"));
/// Reads the account's token. The error names the source of the token, never its content.
pub type TokenReader = Box<dyn Fn() -> Result<SecretString, String> + Send + Sync>;

/// Told of every request once, when its outcome is known: the operation (one of [`super::operation::ALL`]), and the
/// HTTP status or, where there is no conclusive one, one of [`CODES`].
pub type Observer = Arc<dyn Fn(&'static str, &str) + Send + Sync>;

/// What is asked of the platform.
pub(super) struct Ask<'a> {
    /// One of [`super::operation::ALL`].
    pub(super) operation: &'static str,
    /// How it is sent.
    pub(super) method: Method,
    /// Path below the API's base, one element a segment; each is percent-encoded.
    pub(super) path: &'a [&'a str],
    /// Query parameters.
    pub(super) query: &'a [(&'a str, String)],
    /// What of the answer is needed.
    pub(super) want: Want,
}

/// How something is asked.
pub(super) enum Method {
    /// A read: pooled, and held back while the platform asks for it.
    Get,
    /// A write: sent once on a connection of its own, with a JSON body where there is one.
    Post(Option<serde_json::Value>),
    /// The same with another verb.
    Patch(serde_json::Value),
    /// A read that asks in a body, as for a long list: held back like any other.
    Lookup(serde_json::Value),
}

impl Method {
    fn is_read(&self) -> bool {
        matches!(self, Self::Get | Self::Lookup(_))
    }
}

/// How a platform speaks of its rate limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The header with the limit itself.
    pub(super) limit: &'static str,
    /// The header with what is left of it.
    pub(super) remaining: &'static str,
    /// The header with its end.
    pub(super) reset: &'static str,
    /// What that header counts in.
    pub(super) reset_in: ResetIn,
    /// The time that a limit is for.
    pub(super) window: Duration,
    /// Writes have limits of their own, and what is said of those says nothing of reads.
    pub(super) are_apart: bool,
}

/// What the end of a rate limit is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResetIn {
    /// Seconds since the Unix epoch, on the platform's clock.
    EpochSeconds,
    /// Seconds from now on.
    SecondsLeft,
}

/// What of a successful answer is needed.
#[derive(Clone, Copy)]
pub(super) enum Want {
    /// All of it, in so many bytes at most: without it nothing is known.
    Body(usize),
    /// The status says it was done; the body is welcome but may be missing, broken or late.
    Extra(usize),
    /// The status says it was done; the body is not even read.
    Status,
}

/// A 2xx answer.
pub(super) struct Reply {
    /// The body, as far as it was wanted.
    pub(super) body: Vec<u8>,
    /// The platform's own clock, in milliseconds since the Unix epoch, from the `Date` header.
    pub(super) date_ms: Option<i64>,
    status: u16,
    request_id: Option<String>,
}

/// What about an answer could not be read; never a part of it.
pub(super) struct Unreadable(pub(super) String);

/// What the platform last said of its rate limit.
#[derive(Default)]
struct Meter {
    limit: Option<u32>,
    remaining: Option<u32>,
    held_until: Option<Instant>,
    /// What the platform's clock showed, and when it was heard.
    clock: Option<(i64, Instant)>,
}

/// The client of one account.
pub(super) struct Http {
    platform: String,
    base: Url,
    timeout: Duration,
    wire: Wire,
    /// Requests go through a proxy.
    is_proxied: bool,
    tokens: TokenReader,
    token: RwLock<Arc<Token>>,
    meter: Mutex<Meter>,
    limits: Limits,
    observer: Observer,
}

/// How a request gets to the platform.
enum Wire {
    /// Reads share connections, each write has one of its own.
    Net { reads: Client, writes: Client },
    #[cfg(any(test, fuzzing))]
    InProcess(InProcess),
}

/// A platform in this process, which answers or breaks off.
#[cfg(any(test, fuzzing))]
pub(crate) type InProcess = Arc<
    dyn Fn(reqwest::Request) -> futures_util::future::BoxFuture<'static, Result<Response, Broken>>
        + Send
        + Sync,
>;

/// Why a platform in this process does not answer.
#[cfg(any(test, fuzzing))]
pub(crate) enum Broken {
    NotConnected,
    Lost,
}

impl Wire {
    async fn send(&self, request: reqwest::Request, is_read: bool) -> Result<Response, Fault> {
        match self {
            Self::Net { reads, writes } => {
                let client = if is_read { reads } else { writes };
                client.execute(request).await.map_err(|error| Fault::sending(&error))
            }
            #[cfg(any(test, fuzzing))]
            Self::InProcess(platform) => platform(request).await.map_err(|broken| match broken {
                Broken::NotConnected => {
                    Fault::NotConnected { code: code::CONNECT, why: "refused".to_owned() }
                }
                Broken::Lost => Fault::lost(code::RESET, "broken off".to_owned()),
            }),
        }
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("platform", &self.platform).finish_non_exhaustive()
    }
}

impl Http {
    /// A client for the account, with its token read for the first time.
    pub(super) fn new(
        config: &PlatformConfig,
        limits: Limits,
        tokens: TokenReader,
        observer: Observer,
    ) -> Result<Self, StartError> {
        install_tls();
        let base = setup::base_of(&config.api)?;
        let (reads, writes) = setup::clients(&base, config.timeout)?;
        let http = Self::on(Wire::Net { reads, writes }, config, limits, tokens, observer)?;
        Ok(Self { is_proxied: is_proxied(&base), ..http })
    }

    /// The same over a platform in this process.
    #[cfg(any(test, fuzzing))]
    pub(super) fn in_process(
        platform: InProcess,
        config: &PlatformConfig,
        limits: Limits,
        tokens: TokenReader,
    ) -> Result<Self, StartError> {
        Self::on(Wire::InProcess(platform), config, limits, tokens, Arc::new(|_, _| {}))
    }

    fn on(
        wire: Wire,
        config: &PlatformConfig,
        limits: Limits,
        tokens: TokenReader,
        observer: Observer,
    ) -> Result<Self, StartError> {
        let base = setup::base_of(&config.api)?;
        let token = Token::new(tokens().map_err(StartError::Token)?)?;
        Ok(Self {
            platform: config.name.to_string(),
            base,
            timeout: config.timeout,
            wire,
            is_proxied: false,
            tokens,
            token: RwLock::new(Arc::new(token)),
            meter: Mutex::default(),
            limits,
            observer,
        })
    }

    /// Asks once, and gives what `decode` makes of a 2xx answer.
    ///
    /// Sends nothing and gives [`PlatformError::RateLimited`] for a read while the platform wants none.
    pub(super) async fn call<T>(
        &self,
        ask: Ask<'_>,
        decode: impl FnOnce(&Reply) -> Result<T, Unreadable>,
    ) -> Result<Answered<T>, PlatformError> {
        if ask.method.is_read()
            && let Some(left) = self.budget().hold_reads
        {
            return Err(PlatformError::RateLimited { retry_after: Some(left) });
        }
        let url = self.url(&ask)?;
        let token = self.token();
        let outcome = self.exchange(&ask, url, &token).await.and_then(|reply| match decode(&reply) {
            Ok(value) => Ok(Answered { value, status: reply.status, request_id: reply.request_id }),
            Err(Unreadable(what)) => Err(Fault::lost(code::DECODE, format!("unreadable answer: {what}"))),
        });
        match outcome {
            Ok(answered) => {
                (self.observer)(ask.operation, status_label(answered.status).as_str());
                Ok(answered)
            }
            Err(fault) => {
                (self.observer)(ask.operation, &fault.code());
                Err(fault.class(token.secret.expose_secret()))
            }
        }
    }

    /// What is left of the rate limit.
    pub(super) fn budget(&self) -> Budget {
        let meter = self.meter();
        let left = meter.held_until.map(|until| until.saturating_duration_since(Instant::now()));
        Budget {
            remaining: meter.remaining,
            limit: meter.limit,
            hold_reads: left.filter(|left| !left.is_zero()),
            window: self.limits.window,
            reads_a_poll: 0,
        }
    }

    /// Whether answers come the way that probes take, which use no proxy.
    pub(super) fn is_direct(&self) -> bool {
        !self.is_proxied
    }

    /// The platform's clock by its last answer, in milliseconds since the Unix epoch.
    pub(super) fn clock_ms(&self) -> Option<i64> {
        let (shown, heard) = self.meter().clock?;
        Some(shown.saturating_add(i64::try_from(heard.elapsed().as_millis()).unwrap_or(i64::MAX)))
    }

    /// Reads the token again. One that cannot be read or sent leaves the old one in place.
    pub(super) fn reload_token(&self) {
        let read = (self.tokens)().map_err(StartError::Token).and_then(Token::new);
        match read {
            Ok(token) => *self.token.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(token),
            Err(error) => {
                tracing::warn!(platform = self.platform, "keeping the old token: failed to {error}");
            }
        }
    }

    /// One line of the platform's words, without control characters or the token, and not longer than `limit`.
    pub(super) fn words(&self, text: &str, limit: usize) -> String {
        fault::words(text, self.token().secret.expose_secret(), limit)
    }

    async fn exchange(&self, ask: &Ask<'_>, url: Url, token: &Token) -> Result<Reply, Fault> {
        let deadline = Instant::now() + self.timeout;
        let late = || Fault::lost(code::TIMEOUT, format!("no answer within {:?}", self.timeout));
        let request = request(&ask.method, url, token);
        let sending = self.wire.send(request, ask.method.is_read());
        let response = timeout_at(deadline, sending).await.map_err(|_| late())??;

        let mut reply = Reply {
            body: Vec::new(),
            date_ms: header(response.headers(), "date").and_then(pace::http_date_ms),
            status: response.status().as_u16(),
            request_id: header(response.headers(), "x-request-id")
                .and_then(fault::request_id)
                .filter(|id| !id.contains(token.secret.expose_secret())),
        };
        let retry_after = self.note(&ask.method, &response, reply.date_ms);
        // By its bytes: one that is no text further on is a page all the same.
        let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let is_page = kind.to_ascii_lowercase().starts_with(b"text/html");
        let within = |limit| async move {
            timeout_at(deadline, body(response, limit)).await.map_err(|_| late()).and_then(|done| done)
        };
        if (200..300).contains(&reply.status) {
            // Somebody between us and the platform: what it says was done, nobody knows to be done.
            if is_page {
                return Err(Fault::lost(code::DECODE, "a web page instead of an answer".to_owned()));
            }
            match ask.want {
                Want::Body(limit) => reply.body = within(limit).await?,
                Want::Extra(limit) => reply.body = within(limit).await.unwrap_or_default(),
                Want::Status => {}
            }
            return Ok(reply);
        }
        let Reply { status, request_id, .. } = reply;
        let body = within(ANSWER_LIMIT).await.ok();
        Err(Fault::Status(Refusal { status, request_id, retry_after, body }))
    }

    /// Keeps what the answer says of the rate limit; gives how long a 429 wants us to wait.
    fn note(&self, method: &Method, response: &Response, date_ms: Option<i64>) -> Option<Duration> {
        let (headers, limits) = (response.headers(), &self.limits);
        let count = |name| header(headers, name).and_then(|value| value.trim().parse::<u32>().ok());
        let wait = (response.status().as_u16() == 429)
            .then(|| {
                let asked =
                    header(headers, "retry-after").and_then(|value| pace::retry_after(value, date_ms));
                let reset = header(headers, limits.reset).and_then(|value| match limits.reset_in {
                    ResetIn::EpochSeconds => pace::until_reset(value, date_ms),
                    ResetIn::SecondsLeft => pace::retry_after(value, None),
                });
                match limits.reset_in {
                    // Until a date it is when the oldest request expires, which says less than a wait.
                    ResetIn::EpochSeconds => asked.or(reset),
                    ResetIn::SecondsLeft => asked.max(reset),
                }
            })
            .flatten();
        let mut meter = self.meter();
        meter.clock = date_ms.map(|shown| (shown, Instant::now())).or(meter.clock);
        if limits.are_apart && !method.is_read() {
            return wait;
        }
        meter.limit = count(limits.limit).or(meter.limit);
        meter.remaining = count(limits.remaining).or(meter.remaining);
        meter.held_until = wait.map(|wait| Instant::now() + wait).or(meter.held_until);
        wait
    }

    fn url(&self, ask: &Ask<'_>) -> Result<Url, PlatformError> {
        // `url` drops dot segments, and the request would go somewhere else. There is nothing of such a name.
        if ask.path.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Err(PlatformError::NotFound);
        }
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(ask.path);
        }
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(ask.query);
        }
        Ok(url)
    }

    fn token(&self) -> Arc<Token> {
        Arc::clone(&self.token.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request(method: &Method, url: Url, token: &Token) -> reqwest::Request {
    let (method, body) = match method {
        Method::Get => (reqwest::Method::GET, None),
        Method::Post(body) => (reqwest::Method::POST, body.as_ref()),
        Method::Patch(body) => (reqwest::Method::PATCH, Some(body)),
        Method::Lookup(body) => (reqwest::Method::POST, Some(body)),
    };
    let mut request = reqwest::Request::new(method, url);
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, token.header.clone());
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if let Some(body) = body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.to_string().into());
    }
    request
}

/// The body, chunk by chunk, so that what is kept never exceeds `limit` whatever the headers say.
async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, Fault> {
    let too_large = || Fault::lost(code::TOO_LARGE, format!("answer of more than {limit} bytes"));
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Fault::receiving(&error))? {
        if chunk.len() > limit - body.len() {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn status_label(status: u16) -> reqwest::StatusCode {
    reqwest::StatusCode::from_u16(status).unwrap_or_default()
}
