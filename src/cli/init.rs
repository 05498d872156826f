//! `rearguard init`: asks a platform for its apps, and prints a configuration to start from.

mod written;

use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;

use super::{Error, InitArgs};
use crate::config::{self, PlatformConfig};
use crate::daemon::open_account;
use crate::platform::inventory::Found;
use crate::telemetry::Chain;

pub(super) async fn run(args: &InitArgs) -> Result<String, Error> {
    let account = account(args)?;
    let failed = |why: String| Error::Failed(why);
    let platform =
        open_account(&account, Arc::new(|_, _| {})).map_err(|error| failed(Chain(&error).to_string()))?;
    if stderr().is_terminal() {
        // It takes a while where a platform is asked about each app, and nobody minds when this line is lost.
        let _ = writeln!(stderr(), "asking {} for its apps ...", account.api);
    }
    let found = platform.inventory().await;
    let mut found = found.map_err(|error| failed(format!("ask for the apps: failed to {error}")))?.value;
    found.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    if !found.iter().any(is_watchable) {
        let names: Vec<String> = found.iter().map(written::why_not).collect();
        let names = if names.is_empty() { "the account has none".to_owned() } else { names.join("; ") };
        return Err(failed(format!("find an app that can be watched: {names}")));
    }
    Ok(written::configuration(args, &found))
}

/// Whether there is anything to probe.
fn is_watchable(found: &Found) -> bool {
    !found.pages.is_empty() || found.tells_health
}

/// The account, as the configuration will have it: what is wrong with the words is said as it would be there.
fn account(args: &InitArgs) -> Result<PlatformConfig, Error> {
    let head = written::platform(args);
    let app = "apps:\n  - name: any\n    platform: cloud\n    id: any\n    probes:\n      \
               - { name: home, url: \"https://localhost/\" }\n    rules:\n      \
               - { name: down, probe: home, consecutive_failures: 3 }\n";
    let config = config::parse("init", &format!("{head}{app}")).map_err(|problems| {
        let problems = problems.to_string();
        let said =
            problems.lines().map(|line| line.split_once("platforms[0].").map_or(line, |(_, rest)| rest));
        Error::Usage(said.collect::<Vec<_>>().join("\n"))
    })?;
    config.platforms.into_iter().next().ok_or_else(|| Error::Internal("the account got lost".to_owned()))
}

#[cfg(test)]
mod tests;
