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
//! * The request goes over hyper's connection itself and not through a client, which would choose the address: that is
//!   the probe's turn (`connect`), the same for all requests of a sample.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as HttpBody, Bytes};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT as NAME,
};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use reqwest::{Client, redirect, retry};
use rustls::ClientConfig;
use tokio_rustls::TlsConnector;
use url::Url;

use super::Turn;
use super::blame::blame;
use super::expect::{self, Body, Progress};
use super::resolve::Resolver;
use super::secure::{Line, open};
use crate::config::{Expect, Header, HttpAsk, VersionAt};
use crate::decision::sample::{BlindCause, Failure, SampleResult};

#[cfg(test)]
mod tests;

/// What probes call themselves in an app's log.
pub(super) const USER_AGENT: &str = concat!("rearguard/", env!("CARGO_PKG_VERSION"), " (+probe)");

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Redirects followed. A health check that needs more is a loop.
const MAX_REDIRECTS: usize = 5;

/// Asks for pages.
pub(super) struct Http {
    /// Knows how a request is written. It sends none.
    client: Client,
    resolver: Resolver,
    connector: TlsConnector,
}

/// A client for whoever is asked on the way, such as Prometheus. It is not the app, so any of its addresses will do.
pub(super) fn client(resolver: Resolver, tls: ClientConfig) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(USER_AGENT)
        .tls_backend_preconfigured(tls)
        // Lets the server close first, so that our ports do not fill up with connections in TIME_WAIT.
        .default_headers(HeaderMap::from_iter([(CONNECTION, CLOSE)]))
        .pool_max_idle_per_host(0)
        .retry(retry::never())
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .http1_only()
        .dns_resolver(resolver)
        .build()
}

/// What one request came to.
enum Step {
    Done(SampleResult),
    To(Url),
}

impl Http {
    pub(super) fn new(client: Client, resolver: Resolver, tls: ClientConfig) -> Self {
        Self { client, resolver, connector: TlsConnector::from(Arc::new(tls)) }
    }

    /// The whole exchange, redirects and all, without its timeout.
    /// `version` becomes the one that the answer names, as soon as it does.
    pub(super) async fn exchange(
        &self,
        ask: &HttpAsk,
        turn: Turn,
        version: &mut Option<Box<str>>,
    ) -> SampleResult {
        // The configuration lets no such header pass; if one does, it is not the app's fault.
        let Some(mut headers) = headers(&ask.headers) else { return SampleResult::Unknown(BlindCause::Host) };
        let mut url = ask.url.clone();
        for redirects in 0..=MAX_REDIRECTS {
            let Some(request) = self.request(&url, headers.clone()) else {
                return SampleResult::Unknown(BlindCause::Host);
            };
            let line = match open(&self.resolver, &self.connector, &url, turn).await {
                Ok(line) => line,
                Err(result) => return lost(result, redirects),
            };
            match talk(line, request, &ask.expect, &url, version).await {
                Step::Done(result) => return result,
                Step::To(next) => {
                    if next.origin() != url.origin() {
                        headers.clear();
                    }
                    url = next;
                }
            }
        }
        SampleResult::Bad(Failure::Redirect)
    }

    /// None for a URL that no request can be made of: the configuration's fault.
    fn request(&self, url: &Url, headers: HeaderMap) -> Option<Request<Empty<Bytes>>> {
        // It makes a header of a user and a password in the URL.
        let request = self.client.get(url.clone()).headers(headers).build().ok()?;
        let (mut parts, _) = Request::<reqwest::Body>::try_from(request).ok()?.into_parts();
        parts.uri = Uri::try_from(parts.uri.path_and_query()?.as_str()).ok()?;
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str()?),
            None => url.host_str()?.to_owned(),
        };
        let headers = &mut parts.headers;
        headers.entry(HOST).or_insert(HeaderValue::from_str(&host).ok()?);
        headers.entry(NAME).or_insert(HeaderValue::from_static(USER_AGENT));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        // Lets the server close first, so that our ports do not fill up with connections in TIME_WAIT.
        headers.insert(CONNECTION, CLOSE);
        Some(Request::from_parts(parts, Empty::new()))
    }
}

/// Sends the request and reads as much of the answer as the verdict needs. Then the connection is closed.
async fn talk(
    line: Box<dyn Line>,
    request: Request<Empty<Bytes>>,
    expect: &Expect,
    url: &Url,
    version: &mut Option<Box<str>>,
) -> Step {
    let (mut sender, connection) = match http1::handshake(TokioIo::new(line)).await {
        Ok(both) => both,
        Err(error) => return Step::Done(blame(&error)),
    };
    let exchange = async {
        match sender.send_request(request).await {
            Ok(response) => judged(response, expect, url, version).await,
            Err(error) => Step::Done(blame(&error)),
        }
    };
    driven(connection, exchange).await
}

/// What an answer comes to.
async fn judged<B>(response: Response<B>, expect: &Expect, url: &Url, version: &mut Option<Box<str>>) -> Step
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let status = response.status();
    if let Some(VersionAt::Header(name)) = &expect.version {
        let told = response.headers().get(name).and_then(|value| value.to_str().ok());
        *version = told.and_then(expect::version);
    }
    if expect::status(expect, status.as_u16()) {
        return Step::Done(body(response, expect, version).await);
    }
    match follow(status, response.headers(), url) {
        Follow::Answer => {
            if matches!(expect.version, Some(VersionAt::Json(_))) {
                // Whose failure it is. Whatever else the body says does not matter any more.
                body(response, expect, version).await;
            }
            Step::Done(SampleResult::Bad(Failure::Status(status.as_u16())))
        }
        Follow::Nowhere => Step::Done(SampleResult::Bad(Failure::Redirect)),
        Follow::To(next) => Step::To(next),
    }
}

/// What an answer comes to that came by another way than a connection of ours, and the version that it names.
#[cfg(test)]
pub(crate) async fn answered<B>(response: Response<B>, ask: &HttpAsk) -> (SampleResult, Option<Box<str>>)
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let mut version = None;
    match judged(response, &ask.expect, &ask.url, &mut version).await {
        Step::Done(result) => (result, version),
        Step::To(_) => (SampleResult::Bad(Failure::Redirect), version),
    }
}

/// What is exchanged over a connection that moves only while it is polled. It is gone when this is.
pub(super) async fn driven<T>(connection: impl Future, exchange: impl Future<Output = T>) -> T {
    let (mut connection, mut exchange) = (pin!(connection), pin!(exchange));
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // What it ended with is told to the exchange.
        _ = &mut connection => exchange.await,
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

/// Reads as much of the body as the verdict needs.
async fn body<B>(mut response: Response<B>, expect: &Expect, version: &mut Option<Box<str>>) -> SampleResult
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let (mut body, mut progress) = Body::new(expect);
    while progress == Progress::More {
        progress = match response.frame().await {
            // Trailers say nothing.
            Some(Ok(frame)) => frame.into_data().map_or(Progress::More, |piece| body.push(&piece)),
            None if body.end() => Progress::Good,
            None => Progress::Bad,
            Some(Err(error)) => return blame(&error),
        };
    }
    if let Some(VersionAt::Json(pointer)) = &expect.version {
        *version = body.version(pointer);
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

fn follow(status: StatusCode, headers: &HeaderMap, url: &Url) -> Follow {
    let redirects = matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if !redirects {
        return Follow::Answer;
    }
    let Some(location) = headers.get(LOCATION) else { return Follow::Answer };
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
