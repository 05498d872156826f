//! A page of the app: one GET over a connection of its own, judged.
//!
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

use std::collections::BTreeMap;

use reqwest::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, ClientBuilder, Response, StatusCode, redirect, retry};
use url::Url;

use super::blame::blame;
use super::expect::{self, Body, Progress};
use super::resolve::Resolver;
use crate::config::{Expect, Header, HttpAsk};
use crate::decision::sample::{BlindCause, Failure, SampleResult};

#[cfg(test)]
mod tests;

/// What probes call themselves in an app's log.
const USER_AGENT: &str = concat!("rearguard/", env!("CARGO_PKG_VERSION"), " (+probe)");

/// Redirects followed. A health check that needs more is a loop.
const MAX_REDIRECTS: usize = 5;

/// Asks for pages.
pub(super) struct Http {
    pub(super) client: Client,
}

impl Http {
    /// One that trusts the system's CA certificates as they are now.
    pub(super) fn new(resolver: Resolver) -> Result<Self, reqwest::Error> {
        Self::build(resolver, |builder| builder)
    }

    fn build(
        resolver: Resolver,
        adjust: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, reqwest::Error> {
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
            .dns_resolver(resolver);
        Ok(Self { client: adjust(builder).build()? })
    }

    /// The whole exchange, redirects and all, without its timeout.
    pub(super) async fn exchange(&self, ask: &HttpAsk) -> SampleResult {
        // The configuration lets no such header pass; if one does, it is not the app's fault.
        let Some(mut headers) = headers(&ask.headers) else { return SampleResult::Unknown(BlindCause::Host) };
        let mut url = ask.url.clone();
        for redirects in 0..=MAX_REDIRECTS {
            let request = self.client.get(url.clone()).headers(headers.clone());
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) => return lost(blame(&error, &url), redirects),
            };
            let status = response.status();
            if expect::status(&ask.expect, status.as_u16()) {
                return body(response, &ask.expect, &url).await;
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

/// The operator's headers; none when one of them cannot be sent.
pub(super) fn headers(given: &BTreeMap<String, Header>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let mut value = HeaderValue::from_str(&value.0).ok()?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(headers)
}

/// Reads as much of the body as the verdict needs. Dropping the response closes the connection.
async fn body(mut response: Response, expect: &Expect, url: &Url) -> SampleResult {
    let (mut body, mut progress) = Body::new(expect);
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
