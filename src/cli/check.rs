//! `rearguard check`: the validation of the start, what was understood, and what the rules could notice; with `--online`
//! each platform is asked, with `--start` all is read that a start reads, with `--as` all of it as a daemon would that runs.

mod power;
mod process;

use std::fmt::Write as _;
use std::sync::Arc;

pub(super) use self::process::instead;
use super::run::not_started;
use super::words::count;
use super::{CheckArgs, Error, proxy};
use crate::config::notify::{CarrierConfig, UrlSource};
use crate::config::{self, Config, PlatformConfig, TokenSource};
use crate::daemon::{open_account, read_needs};
use crate::decision::policy::Mode;
use crate::decision::story::{Event, UNARMED};
use crate::telemetry::Chain;

pub(super) async fn run(args: &CheckArgs) -> Result<String, Error> {
    let config = config::load(&args.config.config).map_err(|problems| Error::Config(problems.to_string()))?;
    if args.start {
        read_needs(&config).map_err(|error| not_started(&error))?;
    }
    let mut understood = config::summary(&config);
    understood.push_str(&power::what_would_be_noticed(&config));
    for why in out_of_reach(&config).into_iter().chain(proxy::concerns(&config)) {
        // Writing to a string cannot fail.
        let _ = writeln!(understood, "\nWARNING: {why}");
    }
    let unreadable = unreadable_secrets(&config);
    if !args.online {
        // They may be elsewhere than where a configuration is checked.
        for why in unreadable {
            let _ = writeln!(understood, "\nWARNING: {why}");
        }
        return Ok(understood);
    }
    let mut wrong = unreadable;
    for platform in &config.platforms {
        match ask(platform, &config).await {
            Ok(text) => understood.push_str(&text),
            Err(text) => wrong.push(text),
        }
    }
    if wrong.is_empty() { Ok(understood) } else { Err(Error::Config(wrong.join("\n"))) }
}

/// Which secrets stand where whoever checks may read them, and the user of the shipped unit may not.
fn out_of_reach(config: &Config) -> Vec<String> {
    let of_platforms = config.platforms.iter().map(|platform| &platform.token);
    let of_channels = config.notify.iter().flat_map(|channel| secrets_of(&channel.carrier));
    let all = config.admin_token_file.iter().chain(of_platforms).chain(of_channels);
    let paths = all.filter_map(|source| if let TokenSource::File(path) = source { Some(path) } else { None });
    let unreachable = paths.filter(|path| path.starts_with("/etc/rearguard"));
    let remedy = "put it into /etc/rearguard/credentials, name it here without a folder, and, but for do-token and \
                  admin-token, name it in the unit with LoadCredential=";
    unreachable
        .map(|path| {
            format!("{}: a service of systemd has a user that cannot read it there; {remedy}", path.display())
        })
        .collect()
}

/// The secrets of a channel that stand in a file or the environment.
fn secrets_of(carrier: &CarrierConfig) -> Vec<&TokenSource> {
    fn kept(url: &UrlSource) -> Option<&TokenSource> {
        if let UrlSource::Kept(source) = url { Some(source) } else { None }
    }
    match carrier {
        CarrierConfig::Webhook { url, secret } => kept(url).into_iter().chain(secret).collect(),
        CarrierConfig::SlackHook { url } => Vec::from_iter(kept(url)),
        CarrierConfig::Slack { token, .. } => vec![token],
        CarrierConfig::Alertmanager { .. } => Vec::new(),
        CarrierConfig::Smtp(smtp) => smtp.login.iter().map(|(_, word)| word).collect(),
    }
}

/// Which secrets of the channels cannot be read here, and why; never what is in them.
fn unreadable_secrets(config: &Config) -> Vec<String> {
    let read = |source: &TokenSource| source.read().err().map(|error| format!("failed to {}", Chain(&error)));
    let url = |place: &UrlSource| match place {
        UrlSource::Written(_) => None,
        UrlSource::Kept(source) => read(source).or_else(|| place.read().err()),
    };
    let mut wrong = Vec::new();
    for channel in &config.notify {
        let why = match &channel.carrier {
            CarrierConfig::Webhook { url: place, secret } => {
                [url(place), secret.as_ref().and_then(read)].into_iter().flatten().collect()
            }
            CarrierConfig::SlackHook { url: place } => Vec::from_iter(url(place)),
            CarrierConfig::Slack { token, .. } => Vec::from_iter(read(token)),
            CarrierConfig::Alertmanager { .. } => Vec::new(),
            CarrierConfig::Smtp(smtp) => Vec::from_iter(smtp.login.as_ref().and_then(|(_, word)| read(word))),
        };
        wrong.extend(why.into_iter().map(|why| format!("channel {}: {why}", channel.name)));
    }
    wrong
}

/// Asks one platform for its apps, and whether the configured ones are among them.
async fn ask(platform: &PlatformConfig, config: &Config) -> Result<String, String> {
    let name = &platform.name;
    let account = open_account(platform, Arc::new(|_, _| {}))
        .map_err(|error| format!("platform {name}: failed to {}", Chain(&error)))?;
    let wanted: Vec<_> =
        config.apps.iter().filter(|app| app.platform == *name).map(|app| app.id.clone()).collect();
    let listed = account.list_apps(&wanted).await;
    let listed = listed.map_err(|error| format!("platform {name}: failed to {error}"))?;
    let mut text = format!("\nplatform {name} answers, {}\n", count(listed.value.apps.len(), "app"));
    let readable = if listed.value.is_whole { "" } else { "readable " };
    let mut missing = Vec::new();
    for app in config.apps.iter().filter(|app| app.platform == *name) {
        let found = listed.value.apps.iter().find(|(id, _)| *id == app.id);
        let Some((_, view)) = found else {
            missing.push(format!(
                "platform {name}: app {}: there is no {}app with id {}",
                app.name, readable, app.id
            ));
            continue;
        };
        let view = match view {
            Ok(view) => view,
            Err(error) => {
                missing.push(format!("platform {name}: app {}: failed to {error}", app.name));
                continue;
            }
        };
        let live = view.active.as_ref().map_or("none", |active| active.id.as_str());
        let pin = if view.pinned.is_some() { ", pinned by a rollback" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  app {}: live deployment {live}{pin}", app.name);
        if app.policy.mode != Mode::Observe && !app.policy.arms(view.capabilities) {
            let _ = writeln!(text, "    WARNING: it is watched and not rolled back: {UNARMED}");
        }
        if app.policy.restart_first.is_some() && !view.capabilities.may_restart_first() {
            let why = Event::RestartSkipped { restart: view.capabilities.restart, had_one: false }.text();
            let _ = writeln!(text, "    WARNING: restart_first does nothing here: {why}");
        }
    }
    if missing.is_empty() { Ok(text) } else { Err(missing.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_only_whoever_checks_can_read_is_warned_of_with_the_remedy() {
        let text = include_str!("../../config/full.yaml");
        let config = config::parse("/etc/rearguard/rearguard.yaml", text).unwrap();
        assert_eq!(out_of_reach(&config), [""; 0], "names without a folder are found");
        let mut text = text.to_owned();
        let names = ["admin-token", "do-token", "hook-secret", "slack-token", "smtp-password"];
        for name in names {
            text =
                text.replace(&format!("_file: {name}"), &format!("_file: /etc/rearguard/credentials/{name}"));
        }
        let said = out_of_reach(&config::parse("f.yaml", &text).unwrap());
        assert_eq!(said.len(), names.len(), "{said:#?}");
        for (why, name) in said.iter().zip(names) {
            let begin = format!("/etc/rearguard/credentials/{name}: a service of systemd");
            assert!(why.starts_with(&begin) && why.contains("LoadCredential="), "{why}");
        }
        let elsewhere = text.replace("/etc/rearguard/credentials/", "/run/secrets/rearguard/");
        assert_eq!(out_of_reach(&config::parse("f.yaml", &elsewhere).unwrap()), [""; 0]);
    }

    #[test]
    fn what_channels_cannot_be_let_in_with_is_named_by_its_place_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let keep = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        keep("good", "letmein-0123456789\n");
        keep("empty", "\n");
        keep("two-lines", "letmein\n0123456789\n");
        keep("no-url", "letmein-0123456789");
        let at = folder.path().display();
        let text = format!(
            "platforms: [{{ name: ocean, kind: digitalocean, token_env: T }}]\n\
             apps: [{{ name: web, platform: ocean, id: x, probes: [{{ name: home, url: 'https://a.example/' }}], \
             rules: [{{ name: down, probe: home, consecutive_failures: 3 }}] }}]\nnotify:\n  \
             - {{ name: fine, kind: webhook, url: 'https://a.example/', secret_file: {at}/good }}\n  \
             - {{ name: hook, kind: webhook, url_file: {at}/no-url, secret_file: {at}/missing }}\n  \
             - {{ name: team, kind: slack, token_file: {at}/two-lines, channel: C024BE91L }}\n  \
             - {{ name: mail, kind: smtp, host: mail.example.com, from: a@example.com, to: [b@example.com], username: a, password_file: {at}/empty }}\n"
        );
        let config = config::parse("f.yaml", &text).unwrap_or_else(|problems| panic!("{problems}"));
        let said = unreadable_secrets(&config);
        let expected = [
            ("channel hook: ", "is not an http or https URL"),
            ("channel hook: failed to read token file ", "missing"),
            ("channel team: failed to read token: file ", "two-lines has characters that no token has"),
            ("channel mail: failed to read token: file ", "empty is empty"),
        ];
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (why, (begin, part)) in said.iter().zip(expected) {
            assert!(why.starts_with(begin) && why.contains(part), "{begin}: {why}");
            assert!(!why.contains("letmein") && !why.contains("0123456789"), "{why}");
        }
    }
}
