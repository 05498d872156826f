//! What an app of the lab is: on which platform, and made from what.

use serde::{Deserialize, Serialize};

/// The platform of an app, and what it is made from where that decides what can be done for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AppKind {
    /// An app of App Platform, under `/v2`.
    #[default]
    #[serde(rename = "digitalocean")]
    DigitalOcean,
    /// An application or a static site, under `/v3`.
    Sevalla {
        /// What it is made from.
        source: Source,
        /// Whether pushes are deployed; what is usual for the source when absent.
        #[serde(default)]
        auto_deploy: Option<bool>,
    },
}

/// What an app on Sevalla is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A repository that Sevalla hears pushes of.
    PrivateGit,
    /// A repository that it does not.
    PublicGit,
    /// A container image.
    DockerImage,
    /// A repository that makes a static site: a resource of its own.
    StaticSite,
}

/// A list of the API that an app is on. It is not visible through any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shelf {
    /// `/v2/apps`.
    Apps,
    /// `/v3/applications`.
    Applications,
    /// `/v3/static-sites`.
    StaticSites,
}

/// How a platform says that something went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    #[default]
    DigitalOcean,
    Sevalla,
}

impl Source {
    /// Sevalla hears pushes, and deploys them unless it is told not to ["only works with privateGit
    /// applications"; static sites have the same switch].
    pub const fn hears_pushes(self) -> bool {
        matches!(self, Self::PrivateGit | Self::StaticSite)
    }
}

impl AppKind {
    /// An app on Sevalla made from `source`, as it is when nobody changed anything.
    pub const fn sevalla(source: Source) -> Self {
        Self::Sevalla { source, auto_deploy: Some(source.hears_pushes()) }
    }

    /// With what was left out.
    pub(crate) fn settled(self) -> Self {
        match self {
            Self::Sevalla { source, auto_deploy: None } => Self::sevalla(source),
            settled => settled,
        }
    }

    /// What it is made from, on Sevalla.
    pub fn source(self) -> Option<Source> {
        match self {
            Self::DigitalOcean => None,
            Self::Sevalla { source, .. } => Some(source),
        }
    }

    /// Whether its `auto_deploy` is on; none where there is no such thing.
    pub fn auto_deploy(self) -> Option<bool> {
        match self {
            Self::DigitalOcean => None,
            Self::Sevalla { auto_deploy, .. } => auto_deploy,
        }
    }

    /// Whether a push to its branch makes a deployment.
    pub(crate) fn deploys_pushes(self) -> bool {
        self.source().is_none_or(|source| source.hears_pushes() && self.auto_deploy() == Some(true))
    }

    pub(crate) fn shelf(self) -> Shelf {
        match self.source() {
            None => Shelf::Apps,
            Some(Source::StaticSite) => Shelf::StaticSites,
            Some(Source::PrivateGit | Source::PublicGit | Source::DockerImage) => Shelf::Applications,
        }
    }
}

impl Shelf {
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Apps => Dialect::DigitalOcean,
            Self::Applications | Self::StaticSites => Dialect::Sevalla,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_written_the_way_the_control_api_documents_it() {
        let read = |text: &str| serde_json::from_str::<AppKind>(text).map(AppKind::settled).ok();
        assert_eq!(read(r#""digitalocean""#), Some(AppKind::DigitalOcean));
        let git = read(r#"{"sevalla":{"source":"private_git"}}"#);
        assert_eq!(git, Some(AppKind::sevalla(Source::PrivateGit)));
        let quiet = read(r#"{"sevalla":{"source":"static_site","auto_deploy":false}}"#);
        assert_eq!(quiet.and_then(AppKind::auto_deploy), Some(false));
        assert_eq!(read(r#"{"sevalla":{"source":"private_git","autodeploy":true}}"#), None);
    }

    #[test]
    fn only_what_hears_pushes_deploys_them_unless_told_otherwise() {
        let deploys = [Source::PrivateGit, Source::PublicGit, Source::DockerImage, Source::StaticSite]
            .map(|source| AppKind::sevalla(source).deploys_pushes());
        assert_eq!(deploys, [true, false, false, true]);
        let told = AppKind::Sevalla { source: Source::PublicGit, auto_deploy: Some(true) };
        assert!(!told.deploys_pushes(), "it has no effect there");
        assert!(AppKind::DigitalOcean.deploys_pushes());
    }
}
