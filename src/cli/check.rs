//! `rearguard check`: the validation of the start, what was understood, and what the rules could notice; with `--online`
//! each platform is asked.

mod power;

use std::fmt::Write as _;
use std::sync::Arc;

use super::words::count;
use super::{CheckArgs, Error};
use crate::config::{self, Config, PlatformConfig};
use crate::daemon::open_account;
use crate::decision::policy::Mode;
use crate::decision::story::UNARMED;
use crate::telemetry::Chain;

pub(super) async fn run(args: &CheckArgs) -> Result<String, Error> {
    let config = config::load(&args.config.config).map_err(|problems| Error::Config(problems.to_string()))?;
    let mut understood = config::summary(&config);
    understood.push_str(&power::what_would_be_noticed(&config));
    if !args.online {
        return Ok(understood);
    }
    let mut wrong = Vec::new();
    for platform in &config.platforms {
        match ask(platform, &config).await {
            Ok(text) => understood.push_str(&text),
            Err(text) => wrong.push(text),
        }
    }
    if wrong.is_empty() { Ok(understood) } else { Err(Error::Config(wrong.join("\n"))) }
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
    }
    if missing.is_empty() { Ok(text) } else { Err(missing.join("\n")) }
}
