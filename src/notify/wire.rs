//! The HTTP under a channel: one POST, answered in a bounded number of bytes, without redirects and without retries.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, redirect, retry};
use secrecy::ExposeSecret;
use url::Url;

use super::carrier::Sent;
use crate::config::is_loopback;
use crate::config::notify::UrlSource;
use crate::platform::http::{install_tls, one_line};
use crate::platform::pace;

/// How long a connection may take, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// How much of an answer is read.
const ANSWER: usize = 64 * 1024;
/// How much of a reason is shown.
const WORDS: usize = 200;
/// Names rearguard to the channel.
const AGENT: &str = concat!("rearguard/", env!("CARGO_PKG_VERSION"));

/// Makes requests. A client is made when it is first needed, so that a system without certificates fails a channel and
/// not the daemon.
#[derive(Default)]
pub(super) struct Wire(Mutex<BTreeMap<(bool, bool), Client>>);

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// Its first 64 KiB.
    pub(super) body: Vec<u8>,
}

impl Wire {
    /// Sends JSON once. The error says why in one line, without the URL.
    pub(super) async fn post(
        &self,
        url: Url,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let client = self.client(&url)?;
        let mut all = HeaderMap::new();
        all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        all.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value).map_err(|_| format!("no value for {name}"))?;
            value.set_sensitive(*name == "authorization");
            all.insert(HeaderName::from_static(name), value);
        }
        let sent = client.post(url).headers(all).body(body).send().await;
        let mut answer = sent.map_err(|error| why(&error))?;
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let date = header(DATE).and_then(pace::http_date_ms);
        let retry_after = header(RETRY_AFTER).and_then(|value| pace::retry_after(value, date));
        let (status, mut body) = (answer.status().as_u16(), Vec::new());
        // What the status says holds, whatever becomes of the rest.
        while let Ok(Some(chunk)) = answer.chunk().await {
            let left = ANSWER - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(left)]);
            if chunk.len() >= left {
                break;
            }
        }
        Ok(Answer { status, retry_after, body })
    }

    fn client(&self, url: &Url) -> Result<Client, String> {
        let (is_plain, is_here) = (url.scheme() == "http", is_loopback(url));
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&(is_plain, is_here)) {
            return Ok(client.clone());
        }
        install_tls();
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(1);
        if is_plain {
            builder = builder.tls_certs_only([]);
        }
        if is_here {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| why(&error))?;
        clients.insert((is_plain, is_here), client.clone());
        Ok(client)
    }
}

impl Answer {
    /// What the status alone says. What a person may mend in the configuration, or at the other end, is tried for as long
    /// as any other failure: it says nothing of the event.
    pub(super) fn judged(&self, mark: Option<String>) -> Sent {
        let why = format!("it answers with status {}", self.status);
        match self.status {
            200..=299 => Sent::Delivered { mark },
            401 | 403 | 404 | 407 | 408 | 410 | 425 | 429 => {
                Sent::Failed { why, retry_after: self.retry_after }
            }
            400..=499 => Sent::Refused(why),
            _ => Sent::Failed { why, retry_after: self.retry_after },
        }
    }
}

impl UrlSource {
    /// The URL, read where it is. The error does not have it in it.
    pub(crate) fn read(&self) -> Result<Url, String> {
        let source = match self {
            Self::Written(url) => return Ok(url.0.clone()),
            Self::Kept(source) => source,
        };
        let text = source.read().map_err(|error| error.to_string())?;
        match Url::parse(text.expose_secret()) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
            _ => Err("what stands where its URL should be is not an http or https URL".to_owned()),
        }
    }
}

/// The innermost cause: the ones around it name the URL.
fn why(error: &reqwest::Error) -> String {
    let first: Option<&(dyn Error + 'static)> = error.source();
    let chain = std::iter::successors(first, |cause| (*cause).source());
    let cause = chain.last().map_or("the request could not be made".to_owned(), ToString::to_string);
    one_line(&cause, WORDS)
}
