//! `rearguard check`: the validation of the start, and what was understood; with `--online` each platform is asked.
#![expect(clippy::print_stdout, reason = "what was understood is this command's output")]

use std::path::Path;
use std::sync::Arc;

use super::ExitCode;
use crate::config::{self, Config, PlatformConfig};
use crate::daemon::open_account;
use crate::telemetry::Chain;

/// Checks the file at `path`.
pub async fn run(path: &Path, online: bool) -> ExitCode {
    let config = match config::load(path) {
        Ok(config) => config,
        Err(problems) => {
            super::complain(&problems.to_string());
            return ExitCode::Config;
        }
    };
    print!("{}", config::summary(&config));
    if !online {
        return ExitCode::Success;
    }
    let mut worst = ExitCode::Success;
    for platform in &config.platforms {
        if !ask(platform, &config).await {
            worst = ExitCode::Config;
        }
    }
    worst
}

/// Asks one platform for its apps, and whether the configured ones are among them.
async fn ask(platform: &PlatformConfig, config: &Config) -> bool {
    let name = &platform.name;
    let account = match open_account(platform, Arc::new(|_, _| {})) {
        Ok(account) => account,
        Err(error) => {
            super::complain(&format!("platform {name}: failed to {}", Chain(&error)));
            return false;
        }
    };
    let listed = match account.list_apps().await {
        Ok(answered) => answered.value,
        Err(error) => {
            super::complain(&format!("platform {name}: failed to {error}"));
            return false;
        }
    };
    println!("platform {name} answers: {} apps", listed.len());
    let mut all_there = true;
    for app in config.apps.iter().filter(|app| app.platform == *name) {
        match listed.iter().find(|(id, _)| *id == app.id) {
            Some((_, view)) => {
                let live = view.active.as_ref().map_or("none", |active| active.id.as_str());
                let pin = if view.pinned.is_some() { ", pinned by a rollback" } else { "" };
                println!("  app {}: live deployment {live}{pin}", app.name);
            }
            None => {
                all_there = false;
                super::complain(&format!("  app {}: the platform has no app with id {}", app.name, app.id));
            }
        }
    }
    all_there
}
