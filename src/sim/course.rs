//! What happens in one simulated stretch of time: drawn from the seed before anything runs, or told.

mod draw;

use std::time::Duration;

use super::attribution::Setting;
use super::disk::Trouble;
use super::machine::Passage;
use crate::decision::observation::{Accepted, Request};
use crate::lab::{
    Action, AppKind, Durations, Fate, Fault, Health, Hint, Release, RollbackRule, Source, Unknowns,
};

pub(super) use draw::{ALL, CLOSE, CLOSE_OTHER, NEWEST, ORDERED, OTHER};

/// How long an unanswered write is looked for, in every course.
pub(super) const RECONCILE_MS: i64 = 30_000;
/// How long a rollback is watched, in every course.
pub(super) const SOAK_MS: i64 = 20_000;
/// And over how many answers, at the least.
pub(super) const MIN_SAMPLES: usize = 4;
/// How long an app is left alone after a rollback, in every course.
pub(super) const COOLDOWN_MS: i64 = 30_000;

/// What a person has rearguard do at once.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Rollback {
        /// To the deployment that is so far below the newest one; without it to what rearguard would choose.
        to: Option<usize>,
        accept: Accepted,
    },
    Commit,
    Revert,
}

/// Something that happens. Apps are counted from 0.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Push(usize, Box<Release>),
    Person(usize, Action),
    Health(usize, Health),
    Fault(Box<Fault>),
    NoFaults,
    CutOff(bool),
    Disk(Trouble),
    Token(bool),
    Pause(Option<usize>, bool),
    Ask(usize, Request),
    Order(usize, Order),
    Mode(usize, &'static str),
    Leaves(usize, bool),
    Renamed(usize),
    Dies(Passage),
    /// All of that happens right then.
    Meets(Passage, Vec<Event>),
    Killed,
    /// The machine, at once.
    Rebooted,
    Stopped,
    Sleeps(Duration),
    Wall(i64),
    /// What comes of rollbacks from now on.
    RollbackFate(usize, Fate),
    /// The app moves: what ran in its old region cannot be rolled back to.
    Region(usize, &'static str),
    /// The platform forgets the app.
    Deleted(usize),
    /// The sites and the control probes cannot be reached, the platform can.
    SitesCutOff(bool),
    /// The process dies, and its state with it.
    StateLost,
    /// The configuration says something else about every app.
    Policy {
        rules: &'static str,
        on_unhealthy: &'static str,
        migrations: &'static str,
    },
}

impl Event {
    /// Whether something is broken by it, and not by a person who does their work.
    pub(super) fn is_fault(&self) -> bool {
        match self {
            Self::Push(..)
            | Self::Person(..)
            | Self::Health(..)
            | Self::NoFaults
            | Self::CutOff(false)
            | Self::SitesCutOff(false)
            | Self::Disk(Trouble::None)
            | Self::Token(true)
            | Self::Pause(..)
            | Self::Ask(..)
            | Self::Order(..)
            | Self::Mode(..)
            | Self::Leaves(..)
            | Self::Renamed(_)
            | Self::Policy { .. }
            | Self::RollbackFate(_, Fate::Works) => false,
            Self::Region(_, region) => *region != "ams",
            Self::Wall(off_ms) => *off_ms != 0,
            Self::Meets(_, events) => events.iter().any(Self::is_fault),
            Self::Fault(_)
            | Self::CutOff(true)
            | Self::Disk(_)
            | Self::Token(false)
            | Self::Dies(_)
            | Self::Killed
            | Self::Rebooted
            | Self::Stopped
            | Self::Sleeps(_)
            | Self::RollbackFate(..)
            | Self::Deleted(_)
            | Self::SitesCutOff(true)
            | Self::StateLost => true,
        }
    }

    /// Its word, and for a fault of the platform that of its kind.
    pub(super) fn word(&self) -> String {
        let (group, said) = match self {
            Self::Fault(fault) => ("Fault ", format!("{:?}", fault.kind)),
            Self::Dies(passage) => ("Dies ", format!("{:?}", passage.point)),
            Self::Meets(_, events) => ("Meets ", events[0].word()),
            Self::Disk(trouble) => ("Disk ", format!("{trouble:?}")),
            Self::Person(_, action) => ("Person ", format!("{action:?}")),
            Self::Order(_, order) => ("Order ", format!("{order:?}")),
            other => ("", format!("{other:?}")),
        };
        let word = said.split(['(', ' ', '{']).next().unwrap_or_default();
        format!("{group}{word}")
    }
}

pub(super) const RULES: [&str; 2] = [
    "[{ name: down, probe: home, consecutive_failures: 3 }]",
    "[{ name: down, probe: home, consecutive_failures: 3 }, \
     { name: flaky, probe: home, failure_ratio: { above: 0.3, over: 30s, min_samples: 8 } }]",
];

/// The rule that is left where the other one is taken away.
const FLAKY: &str =
    "[{ name: flaky, probe: home, failure_ratio: { above: 0.3, over: 30s, min_samples: 8 } }]";

/// A course.
#[derive(Clone, Debug)]
pub(super) struct Course {
    /// The platform, and what the apps are made from.
    pub(super) kind: AppKind,
    pub(super) apps: usize,
    pub(super) modes: Vec<&'static str>,
    pub(super) rules: &'static str,
    pub(super) on_unhealthy: &'static str,
    pub(super) migrations: &'static str,
    /// How many rollbacks an app has in an hour.
    pub(super) budget: usize,
    pub(super) has_controls: bool,
    /// How fast the probes are under watch, and after a failure.
    pub(super) pace: (&'static str, &'static str),
    pub(super) unknowns: Unknowns,
    pub(super) durations: Durations,
    /// How far back the platform rolls.
    pub(super) revision_limit: usize,
    /// How often the platform is asked about all apps.
    pub(super) poll: &'static str,
    /// When what happens, in milliseconds since the machine's start.
    pub(super) events: Vec<(i64, Event)>,
    pub(super) length_ms: i64,
    /// The faults stop at the end, and everything has to come to its end.
    pub(super) is_liveness: bool,
    /// A restart is tried before a rollback.
    pub(super) restart_first: bool,
    /// A probe beside the page's.
    pub(super) other_probe: Option<&'static str>,
    /// Faults that would end may go on for ever, and nothing is settled at the end.
    pub(super) is_endless: bool,
    /// The minutes from which and to which a freeze window is open.
    pub(super) frozen: Option<(i64, i64)>,
    /// What the file says instead of all that.
    pub(super) setting: Option<Setting>,
}

impl Course {
    /// The platform picks what it goes back to.
    pub(super) fn platform_picks(&self) -> bool {
        matches!(self.kind, AppKind::Sevalla { source: Source::PrivateGit | Source::PublicGit, .. })
    }

    /// What it picks is what anybody would reckon, the one before the live one, or what it is told.
    pub(super) fn picks_as_reckoned(&self) -> bool {
        let is_static = matches!(self.kind, AppKind::Sevalla { source: Source::StaticSite, .. });
        let is_heeded = !is_static || self.unknowns.honour_site_target == Hint::Honoured;
        is_heeded && (!self.platform_picks() || self.unknowns.rollback_rule == RollbackRule::PreviousRow)
    }

    /// How many apps may want a rollback within a minute.
    pub(super) fn at_once(&self) -> usize {
        if self.apps > 2 { 2 } else { 3 }
    }
}
