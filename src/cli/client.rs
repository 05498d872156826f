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

use super::page::clean;
use super::{DEFAULT_CONFIG, Error, ServerArgs};
use crate::config::secret;
use crate::server::Done;
use crate::telemetry::Chain;

/// Where the daemon listens when its configuration does not say.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9797);
/// What the daemon says whose connections are all taken.
const NO_ROOM: &str = "too_many_connections";
/// What a daemon says that did not do what it was told, or says itself what is known of it. Whatever else of this kind is said
/// may be a proxy's word, and leaves that open.
const OWN: [&str; 3] = [NO_ROOM, "admin_token_unreadable", "journal_unavailable"];
/// What a proxy says whose daemon does not answer, as while that is restarted.
const GATEWAYS: [StatusCode; 3] =
    [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
/// Above the daemon's own limit of ten seconds, so that its word is heard.
const PATIENCE: Duration = Duration::from_secs(15);
/// A connection that is not made in this time is none, and nothing was sent on it.
const TO_CONNECT: Duration = Duration::from_secs(5);

/// A daemon's API.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    /// The file the admin token is in, where the environment does not hold the token itself.
    token_file: Option<PathBuf>,
}

/// What a request is for.
#[derive(Clone, Copy)]
enum Asked {
    Question,
    Change,
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
            .connect_timeout(TO_CONNECT)
            .timeout(PATIENCE)
            .build()
            .map_err(|error| Error::Internal(Chain(&error).to_string()))?;
        Ok(Self { http, base, token_file: whereabouts.admin_token_file })
    }

    /// What stands at this path. The token goes along only where the daemon has no room for whoever has none.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, Error> {
        let request = || self.http.request(Method::GET, self.url(path)).query(query);
        let (code, message) = match self.answer(request().send().await, Asked::Question).await {
            Err(Error::Unavailable { code, message }) if code == NO_ROOM => (code, message),
            answer => return answer,
        };
        let hint = match self.token() {
            Ok(Some(token)) => {
                let request = request().bearer_auth(token.expose_secret());
                return self.answer(request.send().await, Asked::Question).await;
            }
            Ok(None) => "$REARGUARD_ADMIN_TOKEN, or admin_token_file in --config FILE".to_owned(),
            Err(why) => why.to_string(),
        };
        let message = format!("{message}; with the admin token it gets through: {hint}");
        Err(Error::Unavailable { code, message })
    }

    /// Asks for a change, with the admin token and what is said with it. Never sent twice.
    pub(super) async fn post(&self, path: &[&str], said: Map<String, Value>) -> Result<Done, Error> {
        let mut request = self.http.request(Method::POST, self.url(path)).json(&said);
        if let Some(token) = self.token()? {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = self.answer(request.send().await, Asked::Change).await?;
        self.understand(answer).map_err(|error| self.unanswered(error.to_string()))
    }

    /// An answer's value as a type.
    pub(super) fn understand<T: DeserializeOwned>(&self, answer: Value) -> Result<T, Error> {
        serde_json::from_value(answer).map_err(|error| self.gibberish(error.to_string()))
    }

    async fn answer(&self, response: Result<Response, reqwest::Error>, asked: Asked) -> Result<Value, Error> {
        let lost = |error: reqwest::Error| {
            let (url, detail) = (self.base.to_string(), root_cause(&error));
            match asked {
                // What was never sent was not taken either.
                Asked::Change if !error.is_connect() => Error::Unanswered { url, detail },
                _ => Error::Unreachable { url, detail },
            }
        };
        let response = response.map_err(lost)?;
        let status = response.status();
        let body = response.bytes().await.map_err(lost)?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| match asked {
                Asked::Change => self.unanswered(format!("what answers is no daemon: {error}")),
                Asked::Question => self.gibberish(error.to_string()),
            });
        }
        let said = serde_json::from_slice::<Failure>(&body).ok().map(|Failure { error }| error);
        let is_change = matches!(asked, Asked::Change);
        let is_own = |code: &str| status == StatusCode::SERVICE_UNAVAILABLE && OWN.contains(&code);
        if is_change && status.is_server_error() && !said.as_ref().is_some_and(|said| is_own(&said.code)) {
            return Err(self.unanswered(before_it(status, said.as_ref())));
        }
        match said {
            Some(Complaint { code, message }) if status == StatusCode::SERVICE_UNAVAILABLE => {
                Err(Error::Unavailable { code, message })
            }
            said if GATEWAYS.contains(&status) => Err(Error::Unavailable {
                code: String::new(),
                message: format!("no answer from {}: {}", self.base, before_it(status, said.as_ref())),
            }),
            Some(Complaint { code, message }) => Err(Error::Refused { code, message }),
            None => Err(self.gibberish(format!("status {status} without an explanation"))),
        }
    }

    fn unanswered(&self, detail: String) -> Error {
        Error::Unanswered { url: self.base.to_string(), detail }
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
            return of_one_line(&token)
                .map(Some)
                .ok_or(Error::Usage(format!("$REARGUARD_ADMIN_TOKEN holds {NO_TOKEN}")));
        }
        let Some(path) = &self.token_file else { return Ok(None) };
        let unread = |detail: String| Error::Token { path: path.clone(), detail };
        let token = fs::read_to_string(path).map_err(|error| unread(error.to_string()))?;
        of_one_line(&token).map(Some).ok_or_else(|| unread(format!("it holds {NO_TOKEN}")))
    }
}

const NO_TOKEN: &str = "characters that no token has, such as a line break within it";

/// A token without what stands around it, where it can be sent.
fn of_one_line(token: &str) -> Option<SecretString> {
    let token = token.trim();
    token.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ').then(|| token.into())
}

/// What is said in the place of a daemon.
fn before_it(status: StatusCode, said: Option<&Complaint>) -> String {
    match said {
        Some(said) => format!("what answers says {status}: {}", clean(&said.message)),
        None => format!("what stands before it says {status}"),
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
