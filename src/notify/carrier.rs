//! The kinds of channels, and what a try can come to.

use std::time::Duration;

use jiff::Timestamp;

use super::alertmanager::Alertmanager;
use super::event::Event;
use super::slack::{Slack, SlackHook};
use super::smtp::Smtp;
use super::webhook::Webhook;
use crate::config::notify::CarrierConfig;

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(10);
/// How long a mail server may take for one mail: it answers a dozen times.
const MAIL: Duration = Duration::from_secs(30);

/// An event as it is sent.
pub(super) struct Letter<'a> {
    /// The event.
    pub(super) event: &'a Event,
    /// Its text by the operator's template.
    pub(super) text: Option<String>,
    /// What this channel noted of the thread.
    pub(super) mark: Option<&'a str>,
    /// The wall clock.
    pub(super) wall: Timestamp,
}

impl Letter<'_> {
    /// What people read, line by line.
    pub(super) fn lines(&self) -> Vec<String> {
        if let Some(text) = &self.text {
            return vec![text.clone()];
        }
        let mut lines = vec![self.event.text.clone()];
        lines.extend(self.event.next.iter().map(|next| format!("Next: {next}")));
        lines.extend(self.event.links.get("incident").cloned());
        lines
    }
}

/// What came of a try. Reasons never carry a secret, nor the channel's URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The channel has it.
    Delivered {
        /// What is noted of the thread from now on.
        mark: Option<String>,
    },
    /// The channel does not want this event.
    Refused(String),
    /// The channel is not there, or nobody is let in: worth trying again.
    Failed {
        /// Why.
        why: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
}

impl Sent {
    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::Failed { why: why.into(), retry_after: None }
    }
}

/// A channel that can be sent to.
pub(super) enum Carrier {
    Webhook(Webhook),
    SlackHook(SlackHook),
    Slack(Slack),
    Alertmanager(Alertmanager),
    Smtp(Box<Smtp>),
}

impl Carrier {
    pub(super) fn open(config: &CarrierConfig) -> Self {
        match config.clone() {
            CarrierConfig::Webhook { url, secret } => Self::Webhook(Webhook::new(url, secret)),
            CarrierConfig::SlackHook { url } => Self::SlackHook(SlackHook::new(url)),
            CarrierConfig::Slack { api, token, channel } => Self::Slack(Slack::new(api, token, channel)),
            CarrierConfig::Alertmanager { url } => Self::Alertmanager(Alertmanager::new(&url)),
            CarrierConfig::Smtp(config) => Self::Smtp(Box::new(Smtp::new(config))),
        }
    }

    /// How long a try may take.
    pub(super) fn limit(&self) -> Duration {
        if matches!(self, Self::Smtp(_)) { MAIL } else { REQUEST }
    }

    pub(super) async fn send(&self, letter: &Letter<'_>) -> Sent {
        match self {
            Self::Webhook(webhook) => webhook.send(letter).await,
            Self::SlackHook(hook) => hook.send(letter).await,
            Self::Slack(slack) => slack.send(letter).await,
            Self::Alertmanager(alertmanager) => alertmanager.send(letter).await,
            Self::Smtp(smtp) => smtp.send(letter).await,
        }
    }
}
