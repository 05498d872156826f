//! A person's word in an incident: what they ordered, how they end a soak, and what that makes of its limits.

use serde::{Deserialize, Serialize};

use super::{Incident, Situation, Stage};
use crate::decision::observation::{Accepted, Freeze};
use crate::decision::policy::{Mode, Policy};
use crate::ids::{Caller, DeploymentId};

/// A person's order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Whose.
    pub by: Caller,
    /// What for.
    pub order: Order,
}

/// What a person asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// To go back from what is live.
    Rollback {
        /// To this deployment, and no other.
        to: Option<DeploymentId>,
        /// What does not keep them from it.
        accept: Accepted,
        /// Where the app stood: there it goes back to where nothing comes of the order.
        was: Box<Situation>,
    },
    /// To commit or revert a rollback that is held.
    Settle,
}

/// How a person ends a soak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Which way.
    pub settle: Settle,
    /// Whose word.
    pub by: Caller,
}

/// The two ends of a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settle {
    /// It is accepted.
    Commit,
    /// It is undone.
    Revert,
}

impl Incident {
    /// How far rearguard may go in it: a person's order needs no asking, and mode observe stops that as well.
    pub fn mode(&self, policy: &Policy) -> Mode {
        match &self.rule {
            Some(rule) => policy.mode_for(rule),
            None if policy.mode == Mode::Observe => Mode::Observe,
            None => Mode::Enforce,
        }
    }

    /// The freeze windows that stop its next call: of those that are open, what nobody asked for.
    pub fn heeds(&self, policy: &Policy) -> Freeze {
        let is_ended = self.ending.is_some();
        match &self.stage {
            Stage::Soaking { .. } => Freeze { rollback: !is_ended, commit: !is_ended },
            Stage::Committing { .. } => Freeze { rollback: false, commit: !is_ended },
            Stage::Reverting { .. } | Stage::Returning { .. } => {
                Freeze { rollback: !is_ended, commit: false }
            }
            Stage::AwaitingApproval { .. }
            | Stage::Validating { .. }
            | Stage::Restarting { .. }
            | Stage::Pinning { .. }
            | Stage::Creating { .. }
            | Stage::RollingBack { .. } => {
                let is_asked = self.asked.is_some() || self.approved || self.mode(policy) != Mode::Enforce;
                Freeze { rollback: !is_asked, commit: false }
            }
        }
    }

    /// Whether it only brings a rollback of an earlier incident to its end.
    pub fn is_settlement(&self) -> bool {
        matches!(&self.asked, Some(Asked { order: Order::Settle, .. }))
    }

    /// What the person who asked for the rollback accepts of it.
    pub fn accepts(&self) -> Accepted {
        match &self.asked {
            Some(Asked { order: Order::Rollback { accept, .. }, .. }) => *accept,
            _ => Accepted::default(),
        }
    }

    /// The deployment that the person who asked named.
    pub fn named(&self) -> Option<&DeploymentId> {
        match &self.asked {
            Some(Asked { order: Order::Rollback { to, .. }, .. }) => to.as_ref(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::scenarios::{World, policy};

    const ROLLBACK: Freeze = Freeze { rollback: true, commit: false };
    const COMMIT: Freeze = Freeze { rollback: false, commit: true };
    const BOTH: Freeze = Freeze { rollback: true, commit: true };
    const NONE: Freeze = Freeze { rollback: false, commit: false };

    fn order() -> Asked {
        let was = Box::new(Situation::Learning { live: None });
        Asked { by: "ada".into(), order: Order::Rollback { to: None, accept: Accepted::default(), was } }
    }

    #[test]
    fn a_freeze_window_stops_what_is_next_and_nobody_asked_for() {
        let mut world = World::with_bad_release(policy());
        world.run_to_stage("rolling_back");
        let incident = world.state.incident().expect("an incident").clone();
        assert_eq!(incident.heeds(&policy()), ROLLBACK);
        assert_eq!(Incident { asked: Some(order()), ..incident.clone() }.heeds(&policy()), NONE);
        assert_eq!(Incident { approved: true, ..incident.clone() }.heeds(&policy()), NONE);
        assert_eq!(
            incident.heeds(&Policy { mode: Mode::Approve, ..policy() }),
            NONE,
            "somebody is asked yet"
        );
        world.run_to_stage("soaking");
        world.latency = std::time::Duration::from_secs(4);
        let soaking = world.state.incident().expect("an incident").clone();
        let mut undone = world.clone();
        undone.bad.insert(undone.platform.active.clone());
        undone.run_to_stage("reverting");
        let reverting = undone.state.incident().expect("an incident").clone();
        world.run_to_stage("committing");
        let committing = world.state.incident().expect("an incident").clone();
        let ending = || Some(Ending { settle: Settle::Commit, by: "ada".into() });
        for (incident, stops) in [(soaking, BOTH), (reverting, ROLLBACK), (committing, COMMIT)] {
            assert_eq!(incident.heeds(&policy()), stops, "{}", incident.stage.word());
            assert_eq!(Incident { ending: ending(), ..incident }.heeds(&policy()), NONE);
        }
    }

    #[test]
    fn an_order_goes_as_far_as_it_may_without_asking_and_settles_or_rolls_back() {
        let mut world = World::with_bad_release(policy());
        world.run_to_stage("rolling_back");
        let incident = world.state.incident().expect("an incident").clone();
        let mode = |incident: &Incident, mode| incident.mode(&Policy { mode, ..policy() });
        for by_rule in [Mode::Observe, Mode::Approve, Mode::Enforce] {
            assert_eq!(mode(&incident, by_rule), by_rule);
        }
        let ordered = Incident { rule: None, asked: Some(order()), ..incident.clone() };
        assert_eq!(mode(&ordered, Mode::Observe), Mode::Observe);
        assert_eq!(mode(&ordered, Mode::Approve), Mode::Enforce);
        let settles = Asked { order: Order::Settle, ..order() };
        let settlement = Incident { asked: Some(settles), ..ordered.clone() };
        assert!(settlement.is_settlement() && !ordered.is_settlement() && !incident.is_settlement());
    }
}
