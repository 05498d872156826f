//! Talks to the running daemon.

use std::env;
use std::error::Error as StdError;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::Url;

use super::{DEFAULT_CONFIG, Error, ServerArgs};
use crate::config::secret;
use crate::server::Done;
use crate::telemetry::Chain;

/// Where the daemon listens when its configuration does not say.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9797);
/// Above the daemon's own limit of ten seconds, so that its word is heard.
const PATIENCE: Duration = Duration::from_secs(15);

/// A daemon's API.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    /// The file the admin token is in, where the environment does not hold the token itself.
    token_file: Option<PathBuf>,
    /// Questions are asked with the token as well, so that they get through where an order does.
    is_for_orders: bool,
}

/// The little of the configuration that is needed to find the daemon. Read without the rest being checked: a
/// broken configuration must not keep anybody from asking the daemon that still runs on the last good one.
#[derive(Default, Deserialize)]
struct Whereabouts {
    listen: Option<SocketAddr>,
    admin_token_file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Failure {
    error: Complaint,
}

#[derive(Deserialize)]
struct Complaint {
    code: String,
    message: String,
}

impl Client {
    /// The daemon that `args` name.
    pub(super) fn open(args: &ServerArgs) -> Result<Self, Error> {
        let whereabouts = match &args.config {
            Some(path) => read(path)?,
            None if Path::new(DEFAULT_CONFIG).exists() && args.server.is_none() => {
                read(Path::new(DEFAULT_CONFIG))?
            }
            // With --server the file is only good for its token, so it may be missing or closed to us.
            None => read(Path::new(DEFAULT_CONFIG)).unwrap_or_default(),
        };
        let base = match &args.server {
            Some(text) => parse(text)?,
            None => parse(&format!("http://{}", reachable(whereabouts.listen.unwrap_or(DEFAULT_LISTEN))?))?,
        };
        // Fails only when a provider is there already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            // A proxy for the outside world has no business between us and the daemon.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(|error| Error::Internal(Chain(&error).to_string()))?;
        Ok(Self { http, base, token_file: whereabouts.admin_token_file, is_for_orders: false })
    }

    /// The same, for orders and what is asked before and after them.
    pub(super) fn for_orders(args: &ServerArgs) -> Result<Self, Error> {
        Ok(Self { is_for_orders: true, ..Self::open(args)? })
    }

    /// What stands at this path.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, Error> {
        let mut request = self.http.request(Method::GET, self.url(path)).query(query);
        // Whether there is one is found out by the order.
        if let Some(token) = self.token().ok().flatten().filter(|_| self.is_for_orders) {
            request = request.bearer_auth(token.expose_secret());
        }
        self.answer(request.send().await).await
    }

    /// Asks for a change, with the admin token and what is said with it. Never sent twice.
    pub(super) async fn post(&self, path: &[&str], said: Map<String, Value>) -> Result<Done, Error> {
        let mut request = self.http.request(Method::POST, self.url(path)).json(&said);
        if let Some(token) = self.token()? {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = self.answer(request.send().await).await?;
        self.understand(answer)
    }

    /// An answer's value as a type.
    pub(super) fn understand<T: DeserializeOwned>(&self, answer: Value) -> Result<T, Error> {
        serde_json::from_value(answer).map_err(|error| self.gibberish(error.to_string()))
    }

    async fn answer(&self, response: Result<Response, reqwest::Error>) -> Result<Value, Error> {
        let unreachable = |error: reqwest::Error| Error::Unreachable {
            url: self.base.to_string(),
            detail: root_cause(&error),
        };
        let response = response.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.gibberish(error.to_string()));
        }
        match serde_json::from_slice::<Failure>(&body) {
            Ok(Failure { error }) if status == StatusCode::SERVICE_UNAVAILABLE => {
                Err(Error::Unavailable { message: error.message })
            }
            Ok(Failure { error }) => Err(Error::Refused { code: error.code, message: error.message }),
            Err(_) => Err(self.gibberish(format!("status {status} without an explanation"))),
        }
    }

    fn gibberish(&self, detail: String) -> Error {
        Error::Gibberish { url: self.base.to_string(), detail }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url
    }

    fn token(&self) -> Result<Option<SecretString>, Error> {
        if let Some(token) = env::var("REARGUARD_ADMIN_TOKEN").ok().filter(|token| !token.trim().is_empty()) {
            return Ok(Some(token.trim().into()));
        }
        let Some(path) = &self.token_file else { return Ok(None) };
        match fs::read_to_string(path) {
            Ok(token) => Ok(Some(token.trim().into())),
            Err(error) => Err(Error::Token { path: path.clone(), detail: error.to_string() }),
        }
    }
}

/// What the operating system said: the links before it only say that a request failed.
fn root_cause(error: &dyn StdError) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

fn read(path: &Path) -> Result<Whereabouts, Error> {
    let unreadable = |detail: String| Error::ConfigUnreadable { path: path.to_owned(), detail };
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    // The parser's message may quote the file, and with it what should not be shown.
    let mut whereabouts: Whereabouts = serde_yaml::from_str(&text)
        .map_err(|_| unreadable("it is no YAML, or listen is no address".to_owned()))?;
    if let Some(name) = &mut whereabouts.admin_token_file
        && let Ok(found) = secret::find(name, path.parent(), &|variable| env::var_os(variable))
    {
        *name = found;
    }
    Ok(whereabouts)
}

fn parse(text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    url.ok_or_else(|| {
        Error::Usage(format!("{text} is no server; allowed is http://HOST:PORT or https://HOST"))
    })
}

/// Where an address that is listened on is reached from the same machine.
fn reachable(listen: SocketAddr) -> Result<SocketAddr, Error> {
    if listen.port() == 0 {
        return Err(Error::AnyPort { listen });
    }
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests;
