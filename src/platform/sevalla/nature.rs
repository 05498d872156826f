//! What an id stands for, and what can be done for such an app.

use crate::decision::capability::{Capabilities, PinKind, Signal, Signals, Support, Targeting};

/// The two kinds of what runs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Application,
    StaticSite,
}

impl Kind {
    /// The first segment of its paths.
    pub(super) fn collection(self) -> &'static str {
        match self {
            Self::Application => "applications",
            Self::StaticSite => "static-sites",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Application => Self::StaticSite,
            Self::StaticSite => Self::Application,
        }
    }
}

/// What an app is made from. An open set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    PrivateGit,
    PublicGit,
    DockerImage,
    /// A copy of another app, or a word we do not know.
    Other,
}

impl Source {
    pub(super) fn of(word: &str) -> Self {
        match word {
            "privateGit" => Self::PrivateGit,
            "publicGit" => Self::PublicGit,
            "dockerImage" => Self::DockerImage,
            _ => Self::Other,
        }
    }

    /// Whether `auto_deploy` means anything: it "only works with privateGit applications", and what is said of static
    /// sites names no other rule.
    pub(super) fn can_pause(self) -> bool {
        self == Self::PrivateGit
    }
}

/// Whether an app is put to sleep when nobody asks it anything. The next request wakes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    Never,
    /// After so many milliseconds without a request, where that is said.
    AfterIdle(Option<u64>),
}

/// What an app is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nature {
    pub(super) kind: Kind,
    pub(super) source: Source,
    /// Not known before a read of the app alone.
    pub(super) sleep: Option<Sleep>,
}

/// What is put to sleep, and it is not said when, may be asleep after this time. So may what nobody said anything of.
const SLEEPS_AFTER_MS: u64 = 60_000;

impl Nature {
    /// After how long without a request it may be asleep, if ever.
    pub(super) fn sleeps_after_ms(self) -> Option<u64> {
        match (self.kind, self.sleep) {
            (Kind::StaticSite, _) | (_, Some(Sleep::Never)) => None,
            (_, Some(Sleep::AfterIdle(after))) => Some(after.unwrap_or(SLEEPS_AFTER_MS)),
            (_, None) => Some(SLEEPS_AFTER_MS),
        }
    }

    /// What can be done for it. A second rollback of an app built from Git goes back to the successful deployment before
    /// the first one, which is the bad one: never asked for twice. The same image or the same id is.
    pub(super) fn capabilities(self) -> Capabilities {
        let Self { kind, source, .. } = self;
        let targeting = match (kind, source) {
            (Kind::StaticSite, _) => Targeting::ById,
            (Kind::Application, Source::DockerImage) => Targeting::ByCode,
            (Kind::Application, _) => Targeting::PlatformPicks,
        };
        let is_picked_by_us = targeting != Targeting::PlatformPicks;
        Capabilities {
            targeting,
            pin: if source.can_pause() { PinKind::Soft } else { PinKind::Absent },
            validate: Support::Emulated,
            commit: Support::Emulated,
            revert: Support::Emulated,
            // Whether a static site is built anew is not documented, what the platform picks is seen afterwards, and an
            // image is known by its address alone: that of what is live decides.
            revert_is_exact: false,
            restart: if kind == Kind::StaticSite { Support::Absent } else { Support::Native },
            resend_is_safe: is_picked_by_us,
            signals: match kind {
                Kind::Application => APPLICATION,
                Kind::StaticSite => STATIC_SITE,
            },
        }
    }
}

const APPLICATION: Signals =
    Signals::of(&[Signal::Requests, Signal::ResponseTime, Signal::Cpu, Signal::Memory, Signal::Exits]);
/// Nothing of it runs.
const STATIC_SITE: Signals = Signals::of(&[Signal::Requests, Signal::ResponseTime]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_done_follows_from_what_an_app_is_made_from() {
        use Kind::{Application, StaticSite};
        let table = [
            (Application, "privateGit", Targeting::PlatformPicks, PinKind::Soft, false),
            (Application, "publicGit", Targeting::PlatformPicks, PinKind::Absent, false),
            (Application, "dockerImage", Targeting::ByCode, PinKind::Absent, true),
            (Application, "app", Targeting::PlatformPicks, PinKind::Absent, false),
            (Application, "of tomorrow", Targeting::PlatformPicks, PinKind::Absent, false),
            (StaticSite, "privateGit", Targeting::ById, PinKind::Soft, true),
            (StaticSite, "", Targeting::ById, PinKind::Absent, true),
        ];
        for (kind, word, targeting, pin, resend_is_safe) in table {
            let can = Nature { kind, source: Source::of(word), sleep: None }.capabilities();
            assert_eq!(
                (can.targeting, can.pin, can.resend_is_safe),
                (targeting, pin, resend_is_safe),
                "{word}"
            );
            assert_eq!(
                (can.validate, can.commit, can.revert),
                (Support::Emulated, Support::Emulated, Support::Emulated)
            );
            assert!(!can.revert_is_exact, "not by what an app is made from alone");
            assert_eq!(can.restart == Support::Native, kind == Application);
            assert_eq!(can.signals.has(Signal::Cpu), kind == Application);
            assert!(can.signals.has(Signal::Requests));
        }
    }
}
