//! Slack: messages by its API, one thread an incident, or by an incoming webhook, which knows no threads.

use std::time::Duration;

use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::carrier::{Letter, Sent};
use super::event::Kind;
use super::wire::{Answer, Wire};
use crate::config::TokenSource;
use crate::config::notify::UrlSource;

/// A section takes 3,000 characters.
const LONGEST: usize = 2_900;
/// What Slack waits where it does not say how long: `chat.postMessage` takes about one message a second a channel.
const RATE_LIMITED: Duration = Duration::from_secs(30);

/// What Slack says of a message that it will never take. Everything else is about the token, the channel or Slack itself,
/// and may be mended.
const OF_THE_MESSAGE: [&str; 9] = [
    "invalid_arguments",
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_metadata_format",
    "invalid_payload",
    "metadata_too_large",
    "msg_blocks_too_long",
    "msg_too_long",
    "no_text",
];

/// An incoming webhook.
pub(super) struct SlackHook {
    url: UrlSource,
    wire: Wire,
}

impl SlackHook {
    pub(super) fn new(url: UrlSource) -> Self {
        Self { url, wire: Wire::default() }
    }

    pub(super) async fn send(&self, letter: &Letter<'_>) -> Sent {
        let url = match self.url.read() {
            Ok(url) => url,
            Err(error) => return Sent::failed(error),
        };
        match self.wire.post(url, &[], message(letter).to_string().into_bytes()).await {
            // It says why in one word.
            Ok(answer) => match (answer.judged(None), word(&answer)) {
                (Sent::Refused(why) | Sent::Failed { why, .. }, Some(word)) => {
                    said(&word, format!("{why}, {word}"), answer.retry_after)
                }
                (sent, _) => sent,
            },
            Err(why) => Sent::failed(why),
        }
    }
}

/// A bot that writes into one channel.
pub(super) struct Slack {
    api: Url,
    token: TokenSource,
    channel: String,
    wire: Wire,
}

/// What the API answers, with status 200 where something is wrong as well.
#[derive(Default, Deserialize)]
struct Posted {
    #[serde(default)]
    ok: bool,
    #[serde(default)]
    error: Option<String>,
    /// Names the message, and with that the thread below it.
    #[serde(default)]
    ts: Option<String>,
}

impl Slack {
    pub(super) fn new(api: Url, token: TokenSource, channel: String) -> Self {
        Self { api, token, channel, wire: Wire::default() }
    }

    pub(super) async fn send(&self, letter: &Letter<'_>) -> Sent {
        let mut message = message(letter);
        message["channel"] = json!(self.channel);
        message["unfurl_links"] = json!(false);
        // A message has no key of its own there; whoever looks for doubles finds it here.
        message["metadata"] =
            json!({ "event_type": "rearguard_event", "event_payload": { "key": letter.event.key } });
        match self.post(message.clone(), letter.mark).await {
            // Somebody deleted the thread's first message.
            Sent::Failed { why, .. } if letter.mark.is_some() && is_about_the_thread(&why) => {
                self.post(message, None).await
            }
            sent => sent,
        }
    }

    async fn post(&self, mut message: Value, thread: Option<&str>) -> Sent {
        if let Some(thread) = thread {
            message["thread_ts"] = json!(thread);
        }
        let mut url = self.api.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("chat.postMessage");
        }
        let token = match self.token.read() {
            Ok(token) => format!("Bearer {}", token.expose_secret()),
            Err(error) => return Sent::failed(error.to_string()),
        };
        if HeaderValue::from_str(&token).is_err() {
            return Sent::failed("its token has characters that no header can carry");
        }
        let body = message.to_string().into_bytes();
        let answer = match self.wire.post(url, &[("authorization", &token)], body).await {
            Ok(answer) => answer,
            Err(why) => return Sent::failed(why),
        };
        let posted: Posted = serde_json::from_slice(&answer.body).unwrap_or_default();
        match (posted.ok, answer.judged(None)) {
            (true, Sent::Delivered { .. }) => {
                // The first message is the thread's.
                Sent::Delivered { mark: thread.map(str::to_owned).or(posted.ts) }
            }
            (_, judged) => match posted.error.filter(|error| is_word(error)) {
                Some(error) => said(&error, format!("Slack answers {error}"), answer.retry_after),
                None if matches!(judged, Sent::Delivered { .. }) => {
                    Sent::failed("Slack's answer cannot be read")
                }
                None => judged,
            },
        }
    }
}

/// What a word of Slack's means for this message.
fn said(word: &str, why: String, retry_after: Option<Duration>) -> Sent {
    let is_rate = matches!(word, "ratelimited" | "rate_limited" | "message_limit_exceeded");
    match word {
        word if OF_THE_MESSAGE.contains(&word) => Sent::Refused(why),
        _ if is_rate => Sent::Failed { why, retry_after: retry_after.or(Some(RATE_LIMITED)) },
        _ => Sent::Failed { why, retry_after },
    }
}

fn is_about_the_thread(why: &str) -> bool {
    ["thread_not_found", "cannot_reply_to_message", "message_not_found"]
        .iter()
        .any(|word| why.ends_with(word))
}

/// The body of an incoming webhook's answer, where it is one of Slack's words.
fn word(answer: &Answer) -> Option<String> {
    let word = String::from_utf8_lossy(&answer.body).trim().to_owned();
    is_word(&word).then_some(word)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 60 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn message(letter: &Letter<'_>) -> Value {
    let mut lines: Vec<String> = letter.lines().iter().map(|line| escaped(line)).collect();
    if letter.text.is_none()
        && let Some(first) = lines.first_mut()
    {
        first.insert_str(0, sign(letter.event.kind));
    }
    let text = bounded(lines.join("\n"));
    json!({
        "text": text,
        "blocks": [{ "type": "section", "text": { "type": "mrkdwn", "text": text } }],
    })
}

fn sign(kind: Kind) -> &'static str {
    match kind {
        Kind::Fired | Kind::Storm | Kind::Held | Kind::WrongTarget => ":rotating_light: ",
        Kind::Asked | Kind::ApprovalNeeded => ":raised_hand: ",
        Kind::RollbackRequested | Kind::RollbackCreated | Kind::RollbackLive => ":rewind: ",
        Kind::Restored | Kind::Closed => ":white_check_mark: ",
        Kind::Noticed | Kind::DeploymentFailed | Kind::AppGone | Kind::PushesPaused => ":warning: ",
    }
}

/// Text that is nothing but text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// At most as much as Slack takes, without half of an escape at the end.
fn bounded(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        let half = text.rfind('&').filter(|at| text.len() - at < "&amp;".len() && !text[*at..].contains(';'));
        text.truncate(half.unwrap_or(text.len()));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
