//! Where people are told, in words.

use std::fmt::{self, Write};

use super::spoken;
use crate::config::TokenSource;
use crate::config::notify::{CarrierConfig, ChannelConfig, SmtpConfig, UrlSource};

pub(super) fn write(out: &mut String, channel: &ChannelConfig) -> fmt::Result {
    let ChannelConfig { name, carrier, only, apps, template, give_up } = channel;
    write!(out, "\nchannel {name}: {} ", carrier.word())?;
    match carrier {
        CarrierConfig::Webhook { url, secret } => {
            let signed = match secret {
                Some(secret) => format!("signed with the secret in {}", place(secret)),
                None => "not signed".to_owned(),
            };
            writeln!(out, "at {}, {signed}", at(url))?;
        }
        CarrierConfig::SlackHook { url } => writeln!(out, "at {}", at(url))?,
        CarrierConfig::Slack { token, channel, .. } => {
            writeln!(out, "in {channel}, with the token in {}; one thread an incident", place(token))?;
        }
        CarrierConfig::Alertmanager { url } => writeln!(out, "at {url}; one alert an incident")?,
        CarrierConfig::Smtp(SmtpConfig { host, port, from, to, .. }) => {
            writeln!(out, "by {host}:{port} from {from} to {}", to.join(", "))?;
        }
    }
    let kinds: Vec<&str> = only.iter().map(|kind| kind.word()).collect();
    let what = if kinds.is_empty() { "everything".to_owned() } else { kinds.join(", ") };
    let names: Vec<&str> = apps.iter().map(|app| app.as_str()).collect();
    let whom = if names.is_empty() {
        String::new()
    } else {
        format!(", as far as it is about {}", names.join(", "))
    };
    writeln!(out, "  told      of {what}{whom}")?;
    let own = if template.is_some() { ", in its own words" } else { "" };
    writeln!(out, "            given up after {}{own}", spoken(*give_up))
}

fn at(url: &UrlSource) -> String {
    match url {
        UrlSource::Written(url) => url.to_string(),
        UrlSource::Kept(source) => format!("what {} says", place(source)),
    }
}

fn place(source: &TokenSource) -> String {
    match source {
        TokenSource::Env(variable) => format!("environment variable {variable}"),
        file => format!("file {}", file.place()),
    }
}
