//! How often a platform may be asked: what a poll of it and a question of readiness cost, and whether the configured paces
//! fit.

use std::time::Duration;

use super::defaults::REQUEST_TIMEOUT;
use super::span::spoken;
use super::summary::plural;
use super::validate::is_loopback;
use super::{AppConfig, Ask, Config, PlatformConfig, PlatformKind};
use crate::decision::capability::Support;
use crate::decision::policy::Asked;
use crate::decision::policy::Mode;
use crate::platform::pace::{LONGEST, QUESTIONS_SHARE, between_questions, reads_a_question, time_of};

/// For so long at least a platform may be at a write whose answer was lost. No document says for how long; a request is given
/// as much by default, and a shorter `timeout` of ours ends nothing there.
const WRITTEN_WITHIN: Duration = REQUEST_TIMEOUT;

impl PlatformKind {
    /// Requests of one poll, as far as the configuration tells: other apps of the account only add pages.
    fn requests_a_poll(self, apps: u64) -> u64 {
        match self {
            // Pages of 200 apps, each with what is live.
            Self::DigitalOcean => apps.div_ceil(200).max(1),
            // Pages of 100 apps, and what is live of each on its own.
            Self::Sevalla => apps + apps.div_ceil(100).max(1),
        }
    }

    /// How many requests the platform allows in how long.
    fn limit(self) -> (u32, Duration) {
        match self {
            // <https://docs.digitalocean.com/reference/api/reference/#section/Introduction/Rate-Limit>
            Self::DigitalOcean => (5_000, Duration::from_secs(3_600)),
            // Reads of a whole company, <https://api-docs.sevalla.com/v3/rate-limits>
            Self::Sevalla => (400, Duration::from_secs(60)),
        }
    }

    /// Who checks what a rollback would meet.
    fn validate(self) -> Support {
        match self {
            Self::DigitalOcean => Support::Native,
            Self::Sevalla => Support::Emulated,
        }
    }

    /// How long it takes to ask so many apps for their readiness once, in turns.
    fn round_of_questions(self, apps: u64) -> Duration {
        let (limit, window) = self.limit();
        let apps = u32::try_from(apps).unwrap_or(u32::MAX);
        between_questions(limit, window, self.validate()).saturating_mul(apps)
    }

    /// The fastest poll of so many apps that takes half of the limit. The other half is for incidents, and for whoever
    /// else uses the account.
    fn fastest_poll(self, apps: u64) -> Duration {
        let (limit, window) = self.limit();
        let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(
            self.requests_a_poll(apps).saturating_mul(window).div_ceil(u64::from(limit / 2)),
        )
    }
}

/// What is wrong with a poll that is too fast, as a sentence.
pub(super) fn too_fast(config: &Config, platform: &PlatformConfig) -> Option<String> {
    let apps = config.apps.iter().filter(|app| app.platform == platform.name).count() as u64;
    let fastest = platform.kind.fastest_poll(apps);
    // One on this machine is no account but the lab, which counts nobody's requests unless told to.
    if platform.poll >= fastest || is_loopback(&platform.api) {
        return None;
    }
    let per_minute =
        u128::from(platform.kind.requests_a_poll(apps)) * 60_000 / platform.poll.as_millis().max(1);
    let (limit, window) = platform.kind.limit();
    let half = u128::from(limit / 2) * 60 / u128::from(window.as_secs());
    let fits = in_seconds(fastest);
    Some(format!(
        "poll {} is too fast for {}: it takes {per_minute} requests a minute, and {half} are half of what the platform \
         allows; a poll of {} fits",
        spoken(platform.poll),
        plural(apps, "app"),
        spoken(fits),
    ))
}

/// How often each app is really asked for its readiness. In mode observe none is.
pub(super) fn readiness(config: &Config, platform: &PlatformConfig) -> Duration {
    if is_loopback(&platform.api) {
        return platform.readiness;
    }
    platform.readiness.max(in_seconds(platform.kind.round_of_questions(asked(config, platform))))
}

/// What is wrong with a readiness that is asked for too often, as a sentence.
pub(super) fn too_often(config: &Config, platform: &PlatformConfig) -> Option<String> {
    let (wanted, real) = (platform.readiness, readiness(config, platform));
    if wanted.is_zero() || real == wanted {
        return None;
    }
    let apps = asked(config, platform);
    let reads = u128::from(reads_a_question(platform.kind.validate()));
    let per_minute = u128::from(apps) * reads * 60_000 / wanted.as_millis().max(1);
    let (limit, window) = platform.kind.limit();
    let share = u64::from(limit / QUESTIONS_SHARE) * 60 / window.as_secs();
    Some(format!(
        "readiness {} is too often for {}: it takes {per_minute} requests a minute, and {share} are the quarter of what the \
         platform allows that it may take, so each app is asked about every {real}; a readiness of {real} fits",
        spoken(wanted),
        plural(apps, "app"),
        real = spoken(real),
    ))
}

/// How often each of an account's figures is read at least, should all of its apps be under watch at once. Zero where
/// there are none, or nobody counts.
fn round_of_figures(apps: &[AppConfig], platform: &PlatformConfig) -> Duration {
    if is_loopback(&platform.api) {
        return Duration::ZERO;
    }
    let (limit, window) = platform.kind.limit();
    time_of(reads_of_figures(apps, platform), limit, window)
}

/// What reading each of an account's figures once takes.
fn reads_of_figures(apps: &[AppConfig], platform: &PlatformConfig) -> u32 {
    let of_it = apps.iter().filter(|app| app.platform == platform.name);
    let reads = of_it.flat_map(|app| &app.probes).map(|probe| match &probe.ask {
        Ask::Platform(ask) => ask.figure.reads(),
        _ => 0,
    });
    reads.fold(0, u32::saturating_add)
}

/// Lets figures speak for as long as it takes until they are read again when all apps are under watch at once, as far as
/// there is sense in that: what is asked less often than a poll may be says nothing.
pub(super) fn stretch(apps: &mut [AppConfig], platforms: &[PlatformConfig]) {
    for platform in platforms {
        let round = round_of_figures(apps, platform).min(LONGEST);
        let of_it = apps.iter_mut().filter(|app| app.platform == platform.name);
        for probe in of_it.flat_map(|app| &mut app.policy.probes) {
            if probe.asked == Asked::WhileJudging {
                (probe.period, probe.watch_period) = (probe.period.max(round), probe.watch_period.max(round));
            }
        }
    }
}

/// What is wrong with figures that are read too often for all of them, as a sentence.
pub(super) fn too_many(config: &Config, platform: &PlatformConfig) -> Option<String> {
    let of_it = config.apps.iter().filter(|app| app.platform == platform.name);
    let figures: Vec<Duration> = of_it
        .flat_map(|app| &app.probes)
        .filter(|probe| matches!(probe.ask, Ask::Platform(_)))
        .map(|probe| probe.watch_period.min(probe.burst))
        .collect();
    let (wanted, round) = (figures.iter().min()?, round_of_figures(&config.apps, platform));
    if *wanted >= round {
        return None;
    }
    let (limit, window) = platform.kind.limit();
    let share = u64::from(limit / QUESTIONS_SHARE) * 60 / window.as_secs();
    let reads = reads_of_figures(&config.apps, platform);
    let fits = spoken(in_seconds(round));
    Some(format!(
        "{} of the platform, every {} in a watch, are too many should all of its apps be under watch at once: reading each \
         once takes {reads} requests, and {share} a minute are the quarter of what the platform allows that they may take, \
         so each is then read about every {fits}; a watch_period and burst of {fits} fit",
        plural(figures.len() as u64, "figure"),
        spoken(*wanted),
    ))
}

/// What is wrong with a `reconcile` that is over before a write has to be, as a sentence.
pub(super) fn too_short(_: &Config, platform: &PlatformConfig) -> Option<String> {
    let least = platform.timeout.max(WRITTEN_WITHIN);
    if platform.reconcile >= least || is_loopback(&platform.api) {
        return None;
    }
    Some(format!(
        "reconcile {} is shorter than the platform may take over a write: one whose answer was lost may count as not applied \
         while it is being carried out, and be sent again; a reconcile of {} fits",
        spoken(platform.reconcile),
        spoken(least),
    ))
}

/// How many apps are asked for their readiness.
fn asked(config: &Config, platform: &PlatformConfig) -> u64 {
    let is_asked = |app: &&AppConfig| app.platform == platform.name && app.policy.mode != Mode::Observe;
    config.apps.iter().filter(is_asked).count() as u64
}

/// Whole seconds are what people write.
fn in_seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs() + u64::from(span.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, parse};

    /// What is said of so many apps on one account of this kind and poll.
    fn said(kind: &str, poll: &str, apps: usize, api: &str) -> Vec<String> {
        super::super::warnings(&config(kind, &format!("poll: {poll}\n    {api}"), apps, "observe"))
    }

    fn config(kind: &str, keys: &str, apps: usize, mode: &str) -> Config {
        let mut text = include_str!("../../config/minimal.yaml")
            .replace("kind: digitalocean", &format!("kind: {kind}\n    {keys}"))
            .replace("mode: observe", &format!("mode: {mode}"));
        let first = text[text.find("  - name: checkout").unwrap()..].to_owned();
        for n in 1..apps {
            text.push('\n');
            text.push_str(
                &first.replace("checkout", &format!("app-{n}")).replace("4f6c71e2", &format!("{n:08x}")),
            );
        }
        parse("f.yaml", &text).unwrap()
    }

    #[test]
    fn a_poll_that_takes_more_than_half_of_the_limit_is_said_with_one_that_fits() {
        let none: [&str; 0] = [];
        assert_eq!(said("sevalla", "15s", 49, ""), none);
        assert_eq!(
            said("sevalla", "15s", 60, ""),
            [
                "platform ocean: poll 15s is too fast for 60 apps: it takes 244 requests a minute, and 200 are half of \
              what the platform allows; a poll of 19s fits"
            ]
        );
        assert_eq!(said("sevalla", "19s", 60, ""), none);
        assert_eq!(said("sevalla", "500ms", 1, "").len(), 1);
        assert_eq!(said("digitalocean", "2s", 200, ""), none);
        assert_eq!(
            said("digitalocean", "1s", 1, ""),
            [
                "platform ocean: poll 1s is too fast for 1 app: it takes 60 requests a minute, and 41 are half of what \
              the platform allows; a poll of 2s fits"
            ]
        );
        assert_eq!(said("digitalocean", "2s", 201, "").len(), 1, "a second page");
        assert_eq!(said("digitalocean", "1s", 1, "api: http://127.0.0.1:8080"), none, "the lab");
    }

    #[test]
    fn a_reconcile_that_is_over_before_a_write_has_to_be_is_said_with_one_that_fits() {
        let said = |keys: &str, api: &str| said("digitalocean", &format!("15s\n    {keys}"), 1, api);
        let none: [&str; 0] = [];
        for fits in ["reconcile: 10s", "timeout: 2s\n    reconcile: 10s", "timeout: 30s"] {
            assert_eq!(said(fits, ""), none, "{fits}");
        }
        assert_eq!(
            said("reconcile: 5s", ""),
            [
                "platform ocean: reconcile 5s is shorter than the platform may take over a write: one whose answer was lost \
                 may count as not applied while it is being carried out, and be sent again; a reconcile of 10s fits"
            ]
        );
        let longer = said("timeout: 1m", "");
        assert!(longer.len() == 1 && longer[0].ends_with("a reconcile of 1m fits"), "{longer:?}");
        assert_eq!(said("reconcile: 1s", "api: http://127.0.0.1:8080"), none, "the lab");
    }

    #[test]
    fn figures_that_cannot_all_be_read_so_often_are_said_with_the_pace_there_is() {
        let with = |kind: &str, figure: &str, apps, api: &str| {
            let mut text = include_str!("../../config/minimal.yaml")
                .replace("kind: digitalocean", &format!("kind: {kind}\n    poll: 1m\n    {api}"));
            let probe = format!("- name: figure\n        platform: {{ {figure} }}\n      - name: home");
            text = text.replace("- name: home", &probe);
            let first = text[text.find("  - name: checkout").unwrap()..].to_owned();
            for n in 1..apps {
                text.push('\n');
                text.push_str(
                    &first.replace("checkout", &format!("app-{n}")).replace("4f6c71e2", &format!("{n:08x}")),
                );
            }
            let config = parse("f.yaml", &text).unwrap();
            let policy = &config.apps[0].policy.probes[0];
            assert_eq!(policy.period, policy.watch_period);
            (super::super::warnings(&config), policy.watch_period.as_millis())
        };
        // One request each, and a quarter of 5,000 an hour.
        let restarts = "figure: restart_count, at_most: 2";
        assert_eq!(with("digitalocean", restarts, 5, ""), (vec![], 15_000));
        let (warnings, period) = with("digitalocean", restarts, 50, "");
        assert_eq!(
            warnings,
            [
                "platform ocean: 50 figures of the platform, every 15s in a watch, are too many should all of its apps be \
                 under watch at once: reading each once takes 50 requests, and 20 a minute are the quarter of what the \
                 platform allows that they may take, so each is then read about every 2m 24s; a watch_period and burst of \
                 2m 24s fit"
            ]
        );
        assert_eq!(period, 144_000, "and speaks for so long");
        assert_eq!(with("digitalocean", restarts, 500, "").1, 300_000, "but not for as long as one likes");
        let api = "api: http://127.0.0.1:8080";
        assert_eq!(with("digitalocean", restarts, 50, api), (vec![], 15_000), "the lab");
        // The list and a process, and a quarter of 400 a minute.
        assert_eq!(with("sevalla", "figure: exit_codes, at_most: 2", 12, "").0.len(), 0);
        assert_eq!(with("sevalla", "figure: exit_codes, at_most: 2", 13, "").0.len(), 1);
    }

    #[test]
    fn a_readiness_that_cannot_be_kept_is_said_with_the_pace_there_is() {
        let said = |kind, keys, apps, mode| {
            let config = config(kind, keys, apps, mode);
            let summary = super::super::summary(&config);
            let line = summary
                .lines()
                .find(|line| line.contains("readiness to roll back"))
                .unwrap()
                .trim()
                .to_owned();
            let warnings = super::super::warnings(&config);
            assert!(warnings.iter().all(|warning| summary.contains(warning.split_once(": ").unwrap().1)));
            (line, warnings)
        };
        let kept = |every: &str| format!("readiness to roll back asked for every {every} in quiet times");
        let real =
            |every: &str| format!("readiness to roll back asked for about every {every} in quiet times");
        let none: Vec<String> = Vec::new();
        // Two requests an app, and a quarter of 5,000 an hour.
        assert_eq!(said("digitalocean", "", 104, "enforce"), (kept("10m"), none.clone()));
        assert_eq!(
            said("digitalocean", "", 1_000, "enforce"),
            (
                real("1h 36m"),
                vec![
                    "platform ocean: readiness 10m is too often for 1000 apps: it takes 200 requests a minute, and 20 are \
                     the quarter of what the platform allows that it may take, so each app is asked about every 1h 36m; \
                     a readiness of 1h 36m fits"
                        .to_owned()
                ]
            )
        );
        assert_eq!(
            said("digitalocean", "readiness: 1h 36m", 1_000, "enforce"),
            (kept("1h 36m"), none.clone())
        );
        assert_eq!(
            said("digitalocean", "", 1_000, "observe"),
            (kept("10m"), none.clone()),
            "nobody is asked"
        );
        // Six requests an app, and a quarter of 400 a minute.
        assert_eq!(
            said("sevalla", "readiness: 1m", 49, "enforce"),
            (
                real("2m 57s"),
                vec![
                    "platform ocean: readiness 1m is too often for 49 apps: it takes 294 requests a minute, and 100 are the \
                     quarter of what the platform allows that it may take, so each app is asked about every 2m 57s; a \
                     readiness of 2m 57s fits"
                        .to_owned()
                ]
            )
        );
        let lab = "readiness: 1m\n    api: http://127.0.0.1:8080";
        assert_eq!(said("sevalla", lab, 49, "enforce"), (kept("1m"), none));
    }
}
