//! Where people are told.

mod smtp;

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use super::platform::variable_name;
use super::{duration, is_loopback, items, name, refuse, shown, some, token_path, url};
use crate::config::leaf::{List, Text, Word};
use crate::config::notify::{CarrierConfig, ChannelConfig, ChannelKind, SecretUrl, UrlSource};
use crate::config::problem::Spot;
use crate::config::{TokenSource, defaults, raw};
use crate::ids::AppName;
use crate::notify::event::Kind;
use crate::notify::template::Template;

/// The keys that only some kinds have.
const KEYS: &[(&str, &[ChannelKind], Given)] = {
    use ChannelKind::{Alertmanager, Slack, Smtp, Webhook};
    &[
        ("url", &[Webhook, Slack, Alertmanager], |raw| raw.url.is_some()),
        ("url_file", &[Webhook, Slack], |raw| raw.url_file.is_some()),
        ("url_env", &[Webhook, Slack], |raw| raw.url_env.is_some()),
        ("secret_file", &[Webhook], |raw| raw.secret_file.is_some()),
        ("secret_env", &[Webhook], |raw| raw.secret_env.is_some()),
        ("token_file", &[Slack], |raw| raw.token_file.is_some()),
        ("token_env", &[Slack], |raw| raw.token_env.is_some()),
        ("channel", &[Slack], |raw| raw.channel.is_some()),
        ("api", &[Slack], |raw| raw.api.is_some()),
        ("host", &[Smtp], |raw| raw.host.is_some()),
        ("port", &[Smtp], |raw| raw.port.is_some()),
        ("tls", &[Smtp], |raw| raw.tls.is_some()),
        ("username", &[Smtp], |raw| raw.username.is_some()),
        ("password_file", &[Smtp], |raw| raw.password_file.is_some()),
        ("password_env", &[Smtp], |raw| raw.password_env.is_some()),
        ("from", &[Smtp], |raw| raw.from.is_some()),
        ("to", &[Smtp], |raw| raw.to.is_some()),
    ]
};

/// Whether a key stands there.
type Given = fn(&raw::Channel) -> bool;

/// The channels. `apps` are the names that may be told of; none where they are not all known.
pub(super) fn channels(
    spot: &Spot,
    list: Option<&List<raw::Channel>>,
    apps: Option<&BTreeSet<&str>>,
) -> Vec<ChannelConfig> {
    let mut taken = BTreeMap::new();
    let one = |(spot, raw): (Spot, &raw::Channel)| {
        let name = name(&spot.key("name"), raw.name.as_ref(), &mut taken);
        let kind = kind(&spot.key("kind"), raw.kind)?;
        others(&spot, raw, kind);
        let carrier = match kind {
            ChannelKind::Webhook => webhook(&spot, raw),
            ChannelKind::Slack => slack(&spot, raw),
            ChannelKind::Alertmanager => {
                let url = url(&spot.key("url"), raw.url.as_ref());
                url.map(|url| CarrierConfig::Alertmanager { url: SecretUrl(url) })
            }
            ChannelKind::Smtp => smtp::smtp(&spot, raw),
        };
        let range = &defaults::GIVE_UP_RANGE;
        let give_up = duration(&spot.key("give_up"), raw.give_up, defaults::GIVE_UP, range);
        let only = only(&spot.key("only"), raw.only.as_ref());
        let template = template(&spot.key("template"), raw.template.as_ref(), &only);
        let apps = told_of(&spot.key("apps"), raw.apps.as_ref(), apps);
        Some(ChannelConfig {
            name: name?.into(),
            carrier: carrier?,
            only,
            apps,
            template: template?,
            give_up: give_up?,
        })
    };
    items(spot, list).into_iter().filter_map(one).collect()
}

fn kind(spot: &Spot, kind: Option<Word<ChannelKind>>) -> Option<ChannelKind> {
    if kind.is_none() {
        spot.missing("webhook, slack, alertmanager or smtp");
    }
    kind.map(|Word(kind)| kind)
}

/// Keys of other kinds, and secrets.
fn others(spot: &Spot, raw: &raw::Channel, kind: ChannelKind) {
    for (secret, there) in [
        ("token", raw.token.is_some()),
        ("secret", raw.secret.is_some()),
        ("password", raw.password.is_some()),
    ] {
        let allowed = format!("{secret}_file and {secret}_env");
        let what =
            format!("secrets do not stand in this file; allowed are {allowed}, where the kind has them");
        refuse(&spot.key(secret), there, &what);
    }
    for (key, _, _) in KEYS.iter().filter(|(_, kinds, given)| given(raw) && !kinds.contains(&kind)) {
        let of_it = KEYS.iter().filter(|(_, kinds, _)| kinds.contains(&kind)).map(|(key, ..)| *key);
        let of_it = of_it.collect::<Vec<_>>().join(", ");
        spot.key(key).wrong_key(format!("is no key of this kind of channel; allowed are {of_it}"));
    }
}

fn webhook(spot: &Spot, raw: &raw::Channel) -> Option<CarrierConfig> {
    let url = place(spot, raw, "either url, url_file or url_env");
    let secret = source(spot, ("secret_file", &raw.secret_file), ("secret_env", &raw.secret_env))?;
    Some(CarrierConfig::Webhook { url: url?, secret })
}

fn slack(spot: &Spot, raw: &raw::Channel) -> Option<CarrierConfig> {
    let has_url = raw.url.is_some() || raw.url_file.is_some() || raw.url_env.is_some();
    let with_token = [("channel", raw.channel.is_some()), ("api", raw.api.is_some())];
    let token = source(spot, ("token_file", &raw.token_file), ("token_env", &raw.token_env))?;
    let Some(token) = token else {
        for (key, _) in with_token.iter().filter(|(_, there)| *there) {
            spot.key(key).wrong_key("goes with token_file or token_env; allowed is to leave it out");
        }
        let url = place(
            spot,
            raw,
            "either token_file or token_env, or url_file or url_env of an incoming webhook",
        )?;
        return Some(CarrierConfig::SlackHook { url });
    };
    if has_url {
        let key = [("url", raw.url.is_some()), ("url_file", raw.url_file.is_some())];
        let key = key.iter().find(|(_, there)| *there).map_or("url_env", |(key, _)| key);
        spot.key(key).wrong_key("stands beside a token; allowed is either an incoming webhook or a token");
    }
    let at = spot.key("channel");
    let channel = match &raw.channel {
        Some(Text(channel)) if !channel.trim().is_empty() && channel.len() <= 100 => Some(channel.clone()),
        Some(_) => {
            at.wrong("is not a channel; allowed is its id or its name");
            None
        }
        None => {
            at.missing("the id or the name of a channel in Slack");
            None
        }
    };
    let default = Text(defaults::SLACK_API.to_owned());
    let api = base(&spot.key("api"), raw.api.as_ref().unwrap_or(&default));
    Some(CarrierConfig::Slack { api: api?, token, channel: channel? })
}

/// A token is sent there.
fn base(spot: &Spot, text: &Text) -> Option<Url> {
    let mut base = url(spot, Some(text))?;
    if base.scheme() == "http" && !is_loopback(&base) {
        spot.wrong("would send the token in clear; allowed is https, or http on a loopback address");
        return None;
    }
    let path = base.path().trim_end_matches('/').to_owned();
    base.set_path(&path);
    Some(base)
}

/// Where a URL is found.
fn place(spot: &Spot, raw: &raw::Channel, either: &str) -> Option<UrlSource> {
    let kept = source(spot, ("url_file", &raw.url_file), ("url_env", &raw.url_env))?;
    match (&raw.url, kept) {
        (Some(_), None) => {
            url(&spot.key("url"), raw.url.as_ref()).map(|url| UrlSource::Written(SecretUrl(url)))
        }
        (None, Some(kept)) => Some(UrlSource::Kept(kept)),
        (Some(_), Some(_)) => {
            spot.key("url").wrong_key(format!("stands beside another one; allowed is {either}"));
            None
        }
        (None, None) => {
            if !["url", "url_file", "url_env"].iter().any(|key| spot.key(key).is_broken()) {
                spot.key("url").missing(either);
            }
            None
        }
    }
}

/// Where a secret is found, if it is anywhere; nothing at all where that is wrong.
#[expect(clippy::option_option, reason = "what is wrong is told apart from what is left out")]
fn source(
    spot: &Spot,
    (file_key, file): (&str, &Option<Text>),
    (env_key, env): (&str, &Option<Text>),
) -> Option<Option<TokenSource>> {
    match (file, env) {
        (Some(Text(path)), None) => {
            token_path(&spot.key(file_key), path).map(|path| Some(TokenSource::File(path)))
        }
        (None, Some(Text(variable))) => {
            variable_name(&spot.key(env_key), variable).map(|variable| Some(TokenSource::Env(variable)))
        }
        (Some(_), Some(_)) => {
            let either = format!("either {file_key} or {env_key}");
            spot.key(env_key).wrong_key(format!("stands beside {file_key}; allowed is {either}"));
            None
        }
        (None, None) => Some(None),
    }
}

fn only(spot: &Spot, list: Option<&List<Word<Kind>>>) -> BTreeSet<Kind> {
    if list.is_some() {
        some(spot, list, "at least one kind of event");
    }
    items(spot, list).into_iter().map(|(_, Word(kind))| *kind).collect()
}

fn told_of(spot: &Spot, list: Option<&List<Text>>, apps: Option<&BTreeSet<&str>>) -> BTreeSet<AppName> {
    if list.is_some() {
        some(spot, list, "at least one app");
    }
    let known = |(spot, Text(app)): (Spot, &Text)| {
        if apps.is_some_and(|apps| !apps.contains(app.as_str())) {
            spot.wrong(format!("there is no app \"{}\"; allowed are the names under apps", shown(app)));
        }
        AppName::from(app.as_str())
    };
    items(spot, list).into_iter().map(known).collect()
}

/// Tried on an event of each kind that it is for, so that it does not fail when it is needed.
#[expect(clippy::option_option, reason = "what is wrong is told apart from what is left out")]
fn template(spot: &Spot, text: Option<&Text>, only: &BTreeSet<Kind>) -> Option<Option<String>> {
    let Some(Text(text)) = text else { return Some(None) };
    match Template::new(text).and_then(|template| template.try_out(only)) {
        Ok(()) => Some(Some(text.clone())),
        Err(error) => {
            spot.wrong(format!("{error}; allowed is a template that each kind of event can be put into"));
            None
        }
    }
}
