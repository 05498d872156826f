//! Where people are told, and of what.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use url::Url;

use super::TokenSource;
use crate::ids::{AppName, ChannelName};
use crate::notify::event::{Event, Kind};

/// A place where people are told.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelConfig {
    /// Its name.
    pub name: ChannelName,
    /// How it is reached.
    pub carrier: CarrierConfig,
    /// Only of these things; of everything when empty.
    pub only: BTreeSet<Kind>,
    /// Only of these apps; of all of them, and of what concerns all of them, when empty.
    pub apps: BTreeSet<AppName>,
    /// Makes the text of an event, in minijinja; the event's own where there is none.
    pub template: Option<String>,
    /// An event that could not be delivered for so long is given up.
    pub give_up: Duration,
}

impl ChannelConfig {
    /// Whether the channel is told of such an event.
    pub fn wants(&self, event: &Event) -> bool {
        let is_of_them = |app: &AppName| self.apps.is_empty() || self.apps.contains(app);
        (self.only.is_empty() || self.only.contains(&event.kind))
            && event.app.as_ref().map_or(self.apps.is_empty(), is_of_them)
    }
}

/// How a channel is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum CarrierConfig {
    /// The event as JSON, by POST.
    Webhook {
        /// Where.
        url: UrlSource,
        /// What it is signed with.
        secret: Option<TokenSource>,
    },
    /// A message in Slack by an incoming webhook, which knows no threads.
    SlackHook {
        /// Where.
        url: UrlSource,
    },
    /// A message in Slack by its API: one thread an incident.
    Slack {
        /// The API.
        api: Url,
        /// A bot's token with `chat:write`.
        token: TokenSource,
        /// The channel's id or name.
        channel: String,
    },
    /// An alert while an incident is open.
    Alertmanager {
        /// The server, without `/api/v2`.
        url: SecretUrl,
    },
    /// Mail: one thread an incident.
    Smtp(SmtpConfig),
}

impl CarrierConfig {
    /// The word for its kind.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::SlackHook { .. } | Self::Slack { .. } => "slack",
            Self::Alertmanager { .. } => "alertmanager",
            Self::Smtp(_) => "smtp",
        }
    }

    /// Whatever secrets it needs.
    pub(super) fn secrets(&mut self) -> Vec<&mut TokenSource> {
        match self {
            Self::Webhook { url, secret } => url.kept().into_iter().chain(secret).collect(),
            Self::SlackHook { url } => Vec::from_iter(url.kept()),
            Self::Slack { token, .. } => vec![token],
            Self::Alertmanager { .. } => Vec::new(),
            Self::Smtp(smtp) => smtp.login.iter_mut().map(|(_, password)| password).collect(),
        }
    }
}

/// A mail server, and who writes to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct SmtpConfig {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the session is kept secret.
    pub tls: SmtpTls,
    /// User and password.
    pub login: Option<(String, TokenSource)>,
    /// The sender.
    pub from: String,
    /// The receivers; at least one.
    pub to: Vec<String>,
}

/// How a session with a mail server is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// It begins in clear, and nothing is said before TLS.
    Starttls,
    /// From the first byte on.
    Implicit,
    /// Not at all: to this machine only.
    None,
}

/// What kind of channel it is, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// See [`CarrierConfig`].
    Webhook,
    /// See [`CarrierConfig`].
    Slack,
    /// See [`CarrierConfig`].
    Alertmanager,
    /// See [`CarrierConfig`].
    Smtp,
}

/// A URL that may be a secret: only its scheme, host and port are ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(pub Url);

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a URL is found that may be a secret.
#[derive(Clone, Debug, PartialEq)]
pub enum UrlSource {
    /// In the configuration.
    Written(SecretUrl),
    /// Elsewhere, like a token.
    Kept(TokenSource),
}

impl UrlSource {
    fn kept(&mut self) -> Option<&mut TokenSource> {
        match self {
            Self::Written(_) => None,
            Self::Kept(source) => Some(source),
        }
    }
}
