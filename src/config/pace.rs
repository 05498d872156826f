//! How often a platform may be asked: what a poll of it costs, and whether the configured one fits.

use std::time::Duration;

use super::span::spoken;
use super::summary::plural;
use super::validate::is_loopback;
use super::{Config, PlatformConfig, PlatformKind};

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
    fn limit(self) -> (u64, Duration) {
        match self {
            // <https://docs.digitalocean.com/reference/api/reference/#section/Introduction/Rate-Limit>
            Self::DigitalOcean => (5_000, Duration::from_secs(3_600)),
            // Reads of a whole company, <https://api-docs.sevalla.com/v3/rate-limits>
            Self::Sevalla => (400, Duration::from_secs(60)),
        }
    }

    /// The fastest poll of so many apps that takes half of the limit. The other half is for incidents, and for whoever
    /// else uses the account.
    fn fastest_poll(self, apps: u64) -> Duration {
        let (limit, window) = self.limit();
        let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.requests_a_poll(apps).saturating_mul(window).div_ceil(limit / 2))
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
    // Whole seconds are what people write.
    let fits = Duration::from_secs(fastest.as_secs() + u64::from(fastest.subsec_nanos() > 0));
    Some(format!(
        "poll {} is too fast for {}: it takes {per_minute} requests a minute, and {half} are half of what the platform \
         allows; a poll of {} fits",
        spoken(platform.poll),
        plural(apps, "app"),
        spoken(fits),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    /// What is said of so many apps on one account of this kind and poll.
    fn said(kind: &str, poll: &str, apps: usize, api: &str) -> Vec<String> {
        let mut text = include_str!("../../config/minimal.yaml")
            .replace("kind: digitalocean", &format!("kind: {kind}\n    poll: {poll}\n    {api}"));
        let first = text[text.find("  - name: checkout").unwrap()..].to_owned();
        for n in 1..apps {
            text.push('\n');
            text.push_str(
                &first.replace("checkout", &format!("app-{n}")).replace("4f6c71e2", &format!("{n:08x}")),
            );
        }
        super::super::warnings(&parse("f.yaml", &text).unwrap())
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
}
