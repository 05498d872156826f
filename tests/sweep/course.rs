//! The incidents that are gone through: what happens in each, and what the platform has to have seen at its end.

use rearguard::lab::{
    Allowed, AppKind, Fault, Health, Kind, Operation, Release, Source, Target, Unknowns, When,
};

use crate::judge;
use crate::world::{Settings, World};

/// A whole incident, from a bad release to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// The rollback helps, and is committed.
    Committed,
    /// Going back does not help, and is undone.
    Reverted,
    /// The platform makes the rollback and its answer is lost.
    LostAnswer,
    /// The request for the rollback is lost.
    LostRequest,
    /// A restart is tried first and does not help; the rollback does, and is committed.
    Restarted,
    /// On a platform that pins nothing: pushes are paused, the rollback helps, and they are let go. Where nobody knows whether
    /// the rollback was made a person is asked, since that platform goes back once more each time.
    Paused,
}

impl Course {
    pub(crate) const ALL: [Self; 6] =
        [Self::Committed, Self::Reverted, Self::LostAnswer, Self::LostRequest, Self::Restarted, Self::Paused];

    /// A word for people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Committed => "commit",
            Self::Reverted => "revert",
            Self::LostAnswer => "lost answer",
            Self::LostRequest => "lost request",
            Self::Restarted => "restart",
            Self::Paused => "pause",
        }
    }

    /// The world it happens in. Its platform would roll a pinned app back a second time, if it were asked to.
    pub(crate) async fn world(self) -> World {
        if self == Self::Paused {
            return World::of(AppKind::sevalla(Source::PrivateGit)).await;
        }
        let unknowns = Unknowns { create_when_pinned: Allowed::Accepts, ..Unknowns::default() };
        let mut first = Release::good("v1");
        if self == Self::Reverted {
            first.when_rolled_back = Some(Health::Bad { status: 503 });
        }
        let world = World::running(first, unknowns).await;
        if let Some(applied) = self.hangs() {
            let create = Target::Call(Operation::CreateRollback);
            world.lab.fault(Fault::on(create, Kind::Hang { applied }).when(When::First(1)));
        }
        world
    }

    /// The fastest settings that are allowed, and one rollback in a day.
    pub(crate) fn settings(self) -> Settings {
        let soak = match self {
            Self::Reverted => "{ period: 10s, min_samples: 1, on_unhealthy: revert }",
            _ => "{ period: 1s, min_samples: 1 }",
        };
        Settings {
            // One key more.
            mode: if self == Self::Restarted { "enforce\n    restart_first: 1s" } else { "enforce" },
            watch: "60s",
            soak,
            limits: "{ cooldown: 1h, max_rollbacks: 1 }",
            rules: "[{ name: down, probe: home, consecutive_failures: 1 }]",
            reconcile: "300ms",
            ..Settings::default()
        }
    }

    /// What settles the pin, in the journal's word.
    pub(crate) fn settled_by(self) -> &'static str {
        match self {
            Self::Reverted => "revert",
            Self::Paused => "unpin",
            _ => "commit",
        }
    }

    /// The incident's outcome in the journal's word.
    pub(crate) fn outcome(self) -> &'static str {
        if self == Self::Reverted { "reverted" } else { "committed" }
    }

    /// Whether it may end in a person's hands as well.
    pub(crate) fn may_be_held(self) -> bool {
        self == Self::Paused
    }

    /// What the app runs at the end.
    pub(crate) fn version(self) -> &'static str {
        if self == Self::Reverted { "v2" } else { "v1" }
    }

    /// How many requests for a rollback never came to anything.
    pub(crate) fn requests_lost(self) -> usize {
        usize::from(self == Self::LostRequest)
    }

    fn hangs(self) -> Option<bool> {
        match self {
            Self::LostAnswer => Some(true),
            Self::LostRequest => Some(false),
            Self::Committed | Self::Reverted | Self::Restarted | Self::Paused => None,
        }
    }

    /// Whether the platform has done all that this course is about.
    pub(crate) fn is_settled(self, world: &World) -> bool {
        judge::sent(&world.lab.ledger(), self.settled_by()).iter().any(|entry| entry.applied())
    }
}
