//! The HTTP probe: one GET over a connection of its own, judged.
//!
//! * The timeout spans everything: name, connection, TLS, redirects, and the body as far as it is needed.
//! * The body is read only when something is expected of it, and only until that is found, at most 64 KiB. Without
//!   such an expectation the verdict is there with the status: an app whose health page never ends its body is not
//!   down. With one, a body that ends without it is `Body`, one that breaks off before is `Protocol`, one that
//!   dawdles is `Timeout`.
//! * A status that is expected is the answer, even a redirect. Any other redirect is followed, up to five times;
//!   from HTTPS to HTTP never. Configured headers stay with the origin they were written for: reqwest drops
//!   `Authorization` and cookies at a change of host, but not an `X-Api-Key`, so redirects are followed here.
//! * Nothing is kept between probes but the TLS sessions of rustls (256 of them): a resumed session is not checked
//!   against a certificate that expired meanwhile, until the server's ticket does.
//!
//! Addresses of both families are tried 300 ms apart (hyper-util's happy eyeballs), so an IPv6 black hole costs that
//! much. Addresses of one family are tried in turn, without a limit of their own: where the first is a black hole the
//! probe ends in `Timeout`, as it does for the app's users.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, ClientBuilder, Response, StatusCode, redirect, retry};
use rustix::io::Errno;
use tokio::time::Instant;
use url::Url;

use super::Probe;
use super::expect::{self, Body, Progress};
use super::resolve::{LookupError, Resolver};
use crate::clock::Clock;
use crate::config::ProbeConfig;
use crate::decision::sample::{BlindCause, Failure, Sample, SampleResult};

#[cfg(test)]
mod tests;

/// What probes call themselves in an app's log.
const USER_AGENT: &str = concat!("rearguard/", env!("CARGO_PKG_VERSION"), " (+probe)");

/// Redirects followed. A health check that needs more is a loop.
const MAX_REDIRECTS: usize = 5;

/// A probe that ends so long after its timeout was held up with the rest of the process, and so was one whose two
/// clocks disagree by as much: only one of them goes on while the machine sleeps.
const HELD_UP: Duration = Duration::from_secs(1);

/// A timer that fires so late is a sign that the answer may be waiting unread: such a timeout accuses nobody. Timers
/// are good to a millisecond; an idle machine stays below ten.
const LATE_TIMER: Duration = Duration::from_millis(250);

/// Errors that say that this host could not send the probe.
const HOST_AT_FAULT: [Errno; 10] = [
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOMEM,
    Errno::NOBUFS,
    Errno::ADDRNOTAVAIL,
    Errno::NETUNREACH,
    Errno::NETDOWN,
    Errno::ACCESS,
    Errno::PERM,
    // Without IPv6 in the kernel there is no such socket.
    Errno::AFNOSUPPORT,
];

/// Why probes cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum HttpProbeError {
    /// Most often there are no CA certificates on this system.
    #[error("set up the HTTP client of the probes (are CA certificates installed?)")]
    Client(#[source] reqwest::Error),
}

/// Sends HTTP probes. One for the whole process, shared behind an `Arc`.
pub struct HttpProbe {
    client: Client,
    clock: Arc<dyn Clock>,
}

impl HttpProbe {
    /// A probe that trusts the system's CA certificates as they are now. Installs ring as the process's TLS provider
    /// unless there is one.
    ///
    /// # Errors
    /// When the client cannot be built, as on a system without CA certificates.
    pub fn new(clock: Arc<dyn Clock>) -> Result<Self, HttpProbeError> {
        Self::build(clock, |builder| builder)
    }

    fn build(
        clock: Arc<dyn Clock>,
        adjust: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, HttpProbeError> {
        // An error says that somebody installed one before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            .user_agent(USER_AGENT)
            // Lets the server close first, so that our ports do not fill up with connections in TIME_WAIT.
            .default_headers(HeaderMap::from_iter([(CONNECTION, HeaderValue::from_static("close"))]))
            .pool_max_idle_per_host(0)
            .retry(retry::never())
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .http1_only()
            .dns_resolver(Resolver::new());
        let client = adjust(builder).build().map_err(HttpProbeError::Client)?;
        Ok(Self { client, clock })
    }

    /// The whole exchange, redirects and all, without its timeout.
    async fn exchange(&self, probe: &ProbeConfig) -> SampleResult {
        // The configuration lets no such header pass; if one does, it is not the app's fault.
        let Some(mut headers) = headers(probe) else { return SampleResult::Unknown(BlindCause::Host) };
        let mut url = probe.url.clone();
        for redirects in 0..=MAX_REDIRECTS {
            let request = self.client.get(url.clone()).headers(headers.clone());
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) => return lost(blame(&error, &url), redirects),
            };
            let status = response.status();
            if expect::status(&probe.expect, status.as_u16()) {
                return body(response, probe, &url).await;
            }
            let next = match follow(&response, &url) {
                Follow::Answer => return SampleResult::Bad(Failure::Status(status.as_u16())),
                Follow::Nowhere => return SampleResult::Bad(Failure::Redirect),
                Follow::To(next) => next,
            };
            if next.origin() != url.origin() {
                headers.clear();
            }
            url = next;
        }
        SampleResult::Bad(Failure::Redirect)
    }
}

impl Probe for HttpProbe {
    fn sample<'a>(&'a self, probe: &'a ProbeConfig) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>> {
        Box::pin(async move {
            let at = self.clock.now();
            let started = Instant::now();
            let result = tokio::time::timeout(probe.timeout, self.exchange(probe))
                .await
                .unwrap_or(SampleResult::Bad(Failure::Timeout));
            let elapsed = started.elapsed();
            let steady = self.clock.now().since(at);
            let result = if held_up(result, probe.timeout, elapsed, steady) {
                SampleResult::Unknown(BlindCause::Overload)
            } else {
                result
            };
            Sample { at, micros: u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX), result }
        })
    }
}

/// Whether the process was held up while the probe was under way, so that its result says nothing of the app.
fn held_up(result: SampleResult, timeout: Duration, elapsed: Duration, steady: Duration) -> bool {
    let late = elapsed.max(steady).saturating_sub(timeout);
    let timed_out = result == SampleResult::Bad(Failure::Timeout);
    late > HELD_UP || steady.abs_diff(elapsed) > HELD_UP || timed_out && late > LATE_TIMER
}

fn headers(probe: &ProbeConfig) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(probe.headers.len());
    for (name, value) in &probe.headers {
        let mut value = HeaderValue::from_str(&value.0).ok()?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(headers)
}

/// Reads as much of the body as the verdict needs. Dropping the response closes the connection.
async fn body(mut response: Response, probe: &ProbeConfig, url: &Url) -> SampleResult {
    let (mut body, mut progress) = Body::new(&probe.expect);
    while progress == Progress::More {
        progress = match response.chunk().await {
            Ok(Some(piece)) => body.push(&piece),
            Ok(None) if body.end() => Progress::Good,
            Ok(None) => Progress::Bad,
            Err(error) => return blame(&error, url),
        };
    }
    if progress == Progress::Good { SampleResult::Good } else { SampleResult::Bad(Failure::Body) }
}

/// Where an answer of an unexpected status leads.
enum Follow {
    /// It is the final answer.
    Answer,
    /// A redirect that cannot be followed, or must not be.
    Nowhere,
    To(Url),
}

fn follow(response: &Response, url: &Url) -> Follow {
    let redirects = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if !redirects {
        return Follow::Answer;
    }
    let Some(location) = response.headers().get(LOCATION) else { return Follow::Answer };
    let next = std::str::from_utf8(location.as_bytes()).ok().and_then(|text| url.join(text).ok());
    match next {
        Some(next) if next.scheme() == "https" || next.scheme() == "http" && url.scheme() == "http" => {
            Follow::To(next)
        }
        _ => Follow::Nowhere,
    }
}

/// A redirect to where nobody is counts as a bad redirect, not as an app without a name or a port.
fn lost(result: SampleResult, redirects: usize) -> SampleResult {
    match result {
        SampleResult::Bad(Failure::Dns | Failure::Connect) if redirects > 0 => {
            SampleResult::Bad(Failure::Redirect)
        }
        result => result,
    }
}

/// Whose fault an error is, read from the types along its chain of causes and never from their text.
fn blame(error: &reqwest::Error, url: &Url) -> SampleResult {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error_here) = cause {
        if let Some(lookup) = error_here.downcast_ref::<LookupError>() {
            return blame_lookup(lookup);
        }
        if error_here.is::<rustls::Error>() {
            return SampleResult::Bad(Failure::Tls);
        }
        let io = error_here.downcast_ref::<io::Error>();
        if let Some(result) = io.and_then(|io| blame_io(io, error.is_connect() && url.scheme() == "https")) {
            return result;
        }
        // An io::Error that wraps another error skips it in `source`.
        cause = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error_here.source(),
        };
    }
    if error.is_builder() {
        // A URL that no request can be made of: the configuration's fault.
        SampleResult::Unknown(BlindCause::Host)
    } else if error.is_connect() {
        SampleResult::Bad(Failure::Connect)
    } else {
        SampleResult::Bad(Failure::Protocol)
    }
}

fn blame_lookup(error: &LookupError) -> SampleResult {
    match error {
        LookupError::Busy => SampleResult::Unknown(BlindCause::Host),
        LookupError::Failed(io) if is_host_at_fault(io) => SampleResult::Unknown(BlindCause::Host),
        LookupError::Failed(_) => SampleResult::Bad(Failure::Dns),
    }
}

/// None when the error's kind alone does not tell.
fn blame_io(error: &io::Error, securing: bool) -> Option<SampleResult> {
    if is_host_at_fault(error) {
        return Some(SampleResult::Unknown(BlindCause::Host));
    }
    match error.kind() {
        // The kernel gave up on the connection before the probe did.
        io::ErrorKind::TimedOut => Some(SampleResult::Bad(Failure::Timeout)),
        // A connection that was there and went away before it was secured.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            if securing =>
        {
            Some(SampleResult::Bad(Failure::Tls))
        }
        _ => None,
    }
}

fn is_host_at_fault(error: &io::Error) -> bool {
    let fault = |code| HOST_AT_FAULT.iter().any(|errno| errno.raw_os_error() == code);
    error.raw_os_error().is_some_and(fault)
}
