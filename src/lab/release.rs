//! What an app can be made to run in the lab: a release, and how it fares.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::vitals::Vitals;

/// Something that can be deployed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Release {
    /// The version its site names.
    pub version: String,
    /// The commit it is built from. Empty: one that follows from the version. Two releases of one commit run
    /// the same code.
    pub commit: String,
    /// How its site answers while it is live.
    pub health: Health,
    /// How its site answers when a *rollback* brought it back, where that differs: the world has moved on.
    pub when_rolled_back: Option<Health>,
    /// How long the release before goes on answering once this one is live, with that status.
    pub lingering: Option<Lingering>,
    /// What the platform measures of it while it is live.
    pub vitals: Vitals,
    /// What comes of its build.
    pub build: Fate,
    /// How long the build takes; the lab's default when absent.
    pub build_ms: Option<u64>,
    /// What comes of its rollout.
    pub rollout: Fate,
    /// How long the rollout takes; the lab's default when absent.
    pub deploy_ms: Option<u64>,
    /// The run commands of its PRE_DEPLOY jobs (schema migrations).
    pub migrations: Vec<String>,
    /// What its environment says beside the code, where that is anything.
    pub setting: String,
    /// Its database configuration: a target with another one than the app's is refused.
    pub database: String,
    /// It has a static site, which a rollback rebuilds.
    pub static_site: bool,
    /// It is a container image rather than a build of a repository.
    pub image: Option<Image>,
}

/// A release that goes on answering although another one is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lingering {
    /// For how long.
    pub for_ms: u64,
    /// With what.
    pub status: u16,
}

/// A container image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The tag, which may move.
    pub tag: String,
    /// The digest, where the deployment recorded one.
    #[serde(default)]
    pub digest: Option<String>,
}

/// How a live deployment's site answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// 200, at once.
    #[default]
    Good,
    /// Always this status.
    Bad {
        /// The status.
        status: u16,
    },
    /// This share of the answers is a 500, spread evenly by a counter: the same requests fail in every run.
    Failing {
        /// From 0 to 1.
        ratio: f64,
    },
    /// 200, but late.
    Slow {
        /// How late.
        latency_ms: u64,
    },
    /// Good at first, bad once it has been live for a while.
    BadAfter {
        /// For how long it is good.
        after_ms: u64,
        /// The status from then on.
        status: u16,
    },
    /// Bad at first, good once it has been live for a while.
    GoodAfter {
        /// For how long it is bad.
        after_ms: u64,
        /// The status until then.
        status: u16,
    },
}

/// One answer of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) latency_ms: u64,
}

impl Health {
    /// The answer to the `nth` request (from 0), `live_ms` after going live.
    pub(crate) fn reply(self, nth: u64, live_ms: i64) -> Reply {
        let lived = |after_ms: u64| live_ms >= i64::try_from(after_ms).unwrap_or(i64::MAX);
        let at_once = |status| Reply { status, latency_ms: 0 };
        match self {
            Self::Good => at_once(200),
            Self::Bad { status } => at_once(status),
            Self::Failing { ratio } => at_once(if fails(nth, ratio) { 500 } else { 200 }),
            Self::Slow { latency_ms } => Reply { status: 200, latency_ms },
            Self::BadAfter { after_ms, status } => at_once(if lived(after_ms) { status } else { 200 }),
            Self::GoodAfter { after_ms, status } => at_once(if lived(after_ms) { 200 } else { status }),
        }
    }
}

/// Whether the running total of failures, `nth * ratio`, passes a whole number with this request.
fn fails(nth: u64, ratio: f64) -> bool {
    let whole = |n: u64| (n as f64 * ratio + 1e-9).floor();
    whole(nth + 1) > whole(nth)
}

/// What comes of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It ends well.
    #[default]
    Works,
    /// It ends in ERROR.
    Fails,
    /// It never ends.
    Sticks,
}

impl Default for Release {
    fn default() -> Self {
        Self {
            version: "v1".to_owned(),
            commit: String::new(),
            health: Health::Good,
            when_rolled_back: None,
            lingering: None,
            vitals: Vitals::default(),
            build: Fate::Works,
            build_ms: None,
            rollout: Fate::Works,
            deploy_ms: None,
            migrations: Vec::new(),
            setting: String::new(),
            database: "postgres 16".to_owned(),
            static_site: false,
            image: None,
        }
    }
}

impl Release {
    /// A healthy release.
    pub fn good(version: &str) -> Self {
        Self { version: version.to_owned(), ..Self::default() }
    }

    /// A release that answers 500.
    pub fn bad(version: &str) -> Self {
        Self::with_health(version, Health::Bad { status: 500 })
    }

    /// A release with the health given.
    pub fn with_health(version: &str, health: Health) -> Self {
        Self { health, ..Self::good(version) }
    }

    /// The commit it is built from, 40 hexadecimal digits where none was given.
    pub fn commit_hash(&self) -> String {
        if self.commit.is_empty() {
            hex(&Sha256::digest(format!("commit of {}", self.version)), 20)
        } else {
            self.commit.clone()
        }
    }

    /// Where its image is in a registry: the same release has the same image, whichever deployment it is of.
    pub fn image_url(&self, app: &str) -> String {
        match &self.image {
            Some(Image { digest: Some(digest), .. }) => format!("registry.lab.test/{app}@{digest}"),
            Some(Image { tag, digest: None }) => format!("registry.lab.test/{app}:{tag}"),
            None => {
                let commit = self.commit_hash();
                format!("registry.lab.test/{app}:{}", commit.get(..12).unwrap_or(&commit))
            }
        }
    }
}

/// The first `bytes` of a digest in hexadecimal.
pub(crate) fn hex(digest: &[u8], bytes: usize) -> String {
    let digits = digest.iter().take(bytes).flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_ratio_fails_the_same_share_in_the_same_places() {
        let failed = |ratio: f64| -> Vec<u64> {
            (0..10).filter(|nth| Health::Failing { ratio }.reply(*nth, 0).status == 500).collect()
        };
        assert_eq!(failed(0.2), [4, 9]);
        assert_eq!(failed(0.5), [1, 3, 5, 7, 9]);
        assert_eq!(failed(0.0), [] as [u64; 0]);
        assert_eq!(failed(1.0).len(), 10);
    }

    #[test]
    fn health_turns_when_its_time_has_come() {
        let late = Health::BadAfter { after_ms: 1000, status: 502 };
        assert_eq!((late.reply(0, 999).status, late.reply(0, 1000).status), (200, 502));
        let warm = Health::GoodAfter { after_ms: 1000, status: 503 };
        assert_eq!((warm.reply(0, 999).status, warm.reply(0, 1000).status), (503, 200));
        assert_eq!(Health::Slow { latency_ms: 7 }.reply(0, 0), Reply { status: 200, latency_ms: 7 });
    }

    #[test]
    fn health_is_written_the_way_the_control_api_documents_it() {
        let read = |text: &str| serde_json::from_str::<Health>(text).expect("health");
        assert_eq!(read(r#""good""#), Health::Good);
        assert_eq!(read(r#"{"bad":{"status":503}}"#), Health::Bad { status: 503 });
        assert_eq!(read(r#"{"slow":{"latency_ms":2000}}"#), Health::Slow { latency_ms: 2000 });
    }
}
