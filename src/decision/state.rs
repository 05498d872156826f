//! What rearguard remembers of an app: the journal stores exactly this.

mod asked;
mod newer;
mod outcome;
mod requests;
mod soft_pin;
mod stage;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::effect::{Effect, Reason};
use super::observation::{Artifact, Cause, Deployment};
use super::rule::Pace;
use super::rule::regression::Before;
use super::target;
use crate::clock::Moment;
use crate::ids::{DeploymentId, IncidentId, RuleName};

pub use asked::{Asked, Ending, Order, Settle};
pub use outcome::Outcome;
pub use requests::Requests;
pub use soft_pin::SoftPin;
pub use stage::{Call, CallStatus, Incident, PinSight, Stage};

/// An app's state: the situation it is in, and what must outlive situations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Where the app stands.
    pub situation: Situation,
    /// What was learnt and done so far.
    pub ledger: Ledger,
}

/// Where an app stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "situation", rename_all = "snake_case")]
pub enum Situation {
    /// Its live deployment is not known yet, or not known to be good.
    Learning {
        /// The live deployment, once it was read.
        live: Option<Live>,
    },
    /// Nothing to judge.
    Steady {
        /// The live deployment.
        live: Live,
    },
    /// A release went live and its rules may accuse it.
    Watching(Watch),
    /// Something is being done about a bad release.
    Incident(Box<Incident>),
    /// Automation is off until a person acts.
    Held(Hold),
}

impl Situation {
    /// The deployment whose samples count now, and since when.
    pub fn live(&self) -> Option<&Live> {
        match self {
            Self::Learning { live } => live.as_ref(),
            Self::Steady { live } => Some(live),
            Self::Watching(watch) => Some(&watch.live),
            Self::Held(hold) => Some(&hold.live),
            Self::Incident(incident) => Some(match &incident.stage {
                Stage::Soaking { live, .. }
                | Stage::Committing { live, .. }
                | Stage::Reverting { live, .. }
                | Stage::Returning { live, .. } => live,
                _ => &incident.live,
            }),
        }
    }
}

impl Default for Situation {
    fn default() -> Self {
        Self::Learning { live: None }
    }
}

/// A live deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Which.
    pub id: DeploymentId,
    /// When it was created, on the platform's clock: an older one is a stale answer, not news.
    pub created_ms: i64,
    /// Since when its samples count.
    pub since: Moment,
}

/// A release under watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// The live deployment.
    pub live: Live,
    /// What it runs.
    pub candidate: Deployment,
    /// When the watch ends.
    pub until: Moment,
    /// The rules that were Bad already when it went live and have not been Good since.
    pub bad_before: BTreeSet<RuleName>,
    /// The ids that the same release had before the platform, or a restart, deployed it again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<DeploymentId>,
    /// We restarted it already.
    #[serde(default)]
    pub was_restarted: bool,
    /// What was known of the release before, for each rule that asks for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub before: BTreeMap<RuleName, Before>,
    /// How often its samples had to be weighed anew, as after a restart of rearguard.
    #[serde(default)]
    pub begun: u32,
}

/// Automation is off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Why.
    pub why: Reason,
    /// The incident that ended in it.
    pub incident: IncidentId,
    /// Since when.
    pub since: Moment,
    /// The deployment that was live then: a newer release is a person's answer.
    pub live: Live,
    /// What that one ran, where it is known.
    #[serde(default)]
    pub runs: Artifact,
    /// The pin that we made and that stays until a person commits or reverts.
    pub pin: Option<DeploymentId>,
    /// The incident as it was, where its rollback is live: what a person needs to commit or revert it by us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Box<Incident>>,
}

/// Requests whose incident is over: when it ended, which it was, and what was asked for.
pub type Lost = (Moment, IncidentId, Requests);

/// What outlives situations. Bounded: each list keeps its newest entries, [`Ledger::KEEP`] where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Deployments that were seen to be good, oldest first; [`Ledger::KEEP_GOOD`] of them.
    pub good: Vec<Deployment>,
    /// Deployments that are nothing to go back to, with what they ran where that is known: an incident found them bad, or
    /// they failed until they were replaced and were never seen to be good.
    pub condemned: Vec<(DeploymentId, Artifact)>,
    /// Deployments that have had their incident.
    pub accused: Vec<DeploymentId>,
    /// Deployments that we made, newest last, and for which incident.
    pub ours: Vec<(DeploymentId, IncidentId)>,
    /// Those of them whose pin was settled: committed, reverted, or taken over by a person.
    /// Since when it should be gone; for ever where a person took it over with the word to go on.
    pub settled: Vec<(DeploymentId, Moment)>,
    /// Requests that left no trace by the end of their incident, and when that was: they may be applied yet.
    pub lost: Vec<Lost>,
    /// The release whose restart had no answer when its incident ended, with no rollback committed or reverted, and when that was:
    /// the restart may be what came after it, or come yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_restart: Option<(Moment, Deployment)>,
    /// When rollbacks were created, newest last.
    pub rollbacks: Vec<Moment>,
    /// The pause of pushes that we owe the app the end of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_pin: Option<SoftPin>,
    /// What rules told that do no more than that, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    /// When the last incident or hold ended: how the app was before that says nothing of how it should be.
    #[serde(default, skip_serializing_if = "is_never")]
    pub quiet_since: Moment,
}

fn is_never(moment: &Moment) -> bool {
    *moment == Moment::default()
}

/// What a rule said of a release that does no more than say so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The rule.
    pub rule: RuleName,
    /// The release.
    pub deployment: DeploymentId,
    /// When.
    pub at: Moment,
}

impl Ledger {
    /// How many entries a list keeps. As many rollbacks may be allowed in a period.
    pub const KEEP: usize = 32;

    /// How many good deployments are kept: each with all it ran, and the platform itself goes back ten deployments.
    pub const KEEP_GOOD: usize = 12;

    /// How many incidents' lost requests are kept: each is as large as the list of deployments.
    pub const KEEP_LOST: usize = 4;

    /// How long after the end of its incident a request may still be applied. The longest delay reported is minutes.
    pub const LATEST: Duration = Duration::from_secs(60 * 60);

    /// The incident that `deployment` was made for, if it is ours.
    pub fn made_for(&self, deployment: &DeploymentId) -> Option<&IncidentId> {
        self.ours.iter().find(|(id, _)| id == deployment).map(|(_, incident)| incident)
    }

    /// Whether a release that is live since then may be what a lost request for a restart made: the same code under what the app's
    /// spec had become by then, or, where it met a newer release that stands in `listed`, that one's. It is judged as the release
    /// that it may as well be, but it had its restart.
    pub fn may_have_restarted(&self, release: &Deployment, since: Moment, listed: &[Deployment]) -> bool {
        let Some((lost_at, was)) = &self.lost_restart else { return false };
        let is_met = |met: &Deployment| {
            let is_between = met.came_after(was.age_key()) && release.came_after(met.age_key());
            is_between && release.artifact.same_as(&met.artifact)
        };
        since.since(*lost_at) <= Self::LATEST
            && release.cause == Cause::Release
            && release.came_after(was.age_key())
            && (!release.artifact.differs_from(&was.artifact) || listed.iter().any(is_met))
    }

    /// The newest deployment that was seen to be good, and neither it nor what it runs condemned since.
    pub fn last_good(&self) -> Option<&DeploymentId> {
        self.good.iter().rfind(|good| !self.is_left(good)).map(|good| &good.id)
    }

    /// Where nothing else was seen to be good: the newest that was, and is nothing to go back to any more.
    pub fn left_good(&self) -> Option<&DeploymentId> {
        self.good.last().filter(|_| self.good.iter().all(|good| self.is_left(good))).map(|good| &good.id)
    }

    fn is_left(&self, good: &Deployment) -> bool {
        target::is_condemned(self, &good.id, &good.artifact)
    }

    /// Adds a deployment that was seen to be good.
    pub fn note_good(&mut self, good: Deployment) {
        Self::note(&mut self.good, good);
        if self.good.len() > Self::KEEP_GOOD {
            self.good.remove(0);
        }
    }

    /// A rollback counts for the limits from `now` on. Two that come to light at the same moment are two.
    pub fn count_rollback(&mut self, now: Moment) {
        self.rollbacks.push(now);
        if self.rollbacks.len() > Self::KEEP {
            self.rollbacks.remove(0);
        }
    }

    /// Adds to one of the lists, unless it is in there, and forgets the oldest beyond the bound.
    pub fn note<T: PartialEq>(list: &mut Vec<T>, entry: T) {
        if !list.contains(&entry) {
            list.push(entry);
        }
        if list.len() > Self::KEEP {
            list.remove(0);
        }
    }
}

/// How closely the shell has to look at an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// The account's poll is enough.
    Rest,
    /// A release is under watch: faster probes, and its history once.
    Watch,
    /// The app itself is read again and again, with its deployments.
    Close,
}

impl State {
    /// The contract's word for the situation.
    pub fn word(&self) -> &'static str {
        match self.situation {
            Situation::Learning { .. } => "learning",
            Situation::Steady { .. } => "steady",
            Situation::Watching(_) => "watching",
            Situation::Incident(_) => "incident",
            Situation::Held(_) => "held",
        }
    }

    /// Every word of [`State::word`].
    pub const WORDS: [&'static str; 5] = ["learning", "steady", "watching", "incident", "held"];

    /// The deployment whose samples count now, and since when.
    pub fn live(&self) -> Option<&Live> {
        self.situation.live()
    }

    /// The open incident.
    pub fn incident(&self) -> Option<&Incident> {
        match &self.situation {
            Situation::Incident(incident) => Some(incident),
            _ => None,
        }
    }

    /// How closely the shell has to look.
    pub fn attention(&self) -> Attention {
        match &self.situation {
            Situation::Learning { .. } | Situation::Steady { .. } | Situation::Held(_) => Attention::Rest,
            Situation::Watching(_) => Attention::Watch,
            // A soak is followed through the account's poll: the pin and the live deployment are all it needs.
            Situation::Incident(incident) => match incident.stage {
                Stage::Soaking { pin: PinSight::Seen | PinSight::Absent, .. } => Attention::Watch,
                _ => Attention::Close,
            },
        }
    }

    /// How fresh the samples of the app are by now.
    pub fn pace(&self) -> Pace {
        if self.attention() == Attention::Rest { Pace::Rest } else { Pace::Watch }
    }

    /// Whether pushes were paused by us and the platform has said for long that there is no such app: it may come back, and
    /// nothing is owed until then.
    pub fn is_gone(&self) -> bool {
        self.ledger.soft_pin.as_ref().is_some_and(|pin| pin.is_app_gone)
    }

    /// The effect that is owed by this state: what a restart finds unanswered.
    pub fn owed(&self) -> Option<Effect> {
        let (effect, call) = self.request()?;
        (call.status == CallStatus::Owed).then_some(effect)
    }

    /// The request that this state waits for the answer or the outcome of, and how far it is.
    pub fn request(&self) -> Option<(Effect, &Call)> {
        match self.incident() {
            Some(incident) => incident.request(),
            None => Some((Effect::Unpin, self.ledger.soft_pin.as_ref()?.release.as_ref()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::made;
    use crate::decision::scenarios::{World, policy};

    #[test]
    fn a_list_keeps_its_newest_entries_and_none_twice() {
        let mut list = Vec::new();
        for n in 0..Ledger::KEEP {
            Ledger::note(&mut list, n);
            Ledger::note(&mut list, n);
        }
        assert_eq!((list.len(), list[0]), (Ledger::KEEP, 0));
        Ledger::note(&mut list, Ledger::KEEP);
        assert_eq!((list.len(), list[0], list.last()), (Ledger::KEEP, 1, Some(&Ledger::KEEP)));
        Ledger::note(&mut list, Ledger::KEEP + 1);
        assert_eq!((list.len(), list[0]), (Ledger::KEEP, 2));
    }

    #[test]
    fn as_many_good_ones_and_rollbacks_are_remembered_as_there_is_room_for() {
        let mut ledger = Ledger::default();
        let ids: Vec<_> = (0..=Ledger::KEEP_GOOD).map(|n| format!("d{n}")).collect();
        for id in &ids {
            ledger.note_good(made::deployment(id));
        }
        let good: Vec<_> = ledger.good.iter().map(|good| good.id.as_str()).collect();
        assert_eq!(good, ids[1..]);
        let at = |n: usize| Moment::from_millis(i64::try_from(n).unwrap());
        (0..=Ledger::KEEP).for_each(|n| ledger.count_rollback(at(n)));
        assert_eq!(ledger.rollbacks, (1..=Ledger::KEEP).map(at).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_good_is_left_by_what_it_runs_too_and_where_nothing_else_was_good_it_is_named() {
        let mut world = World::with_bad_release(policy());
        world.run_to_close();
        let good = world.state.ledger.good.clone();
        let (first, last) = (&good[0], &good[good.len() - 1]);
        assert!(
            first.id != last.id && first.artifact.same_as(&last.artifact),
            "the rollback runs what it went back to"
        );
        let mut ledger = world.state.ledger.clone();
        assert_eq!((ledger.last_good(), ledger.left_good()), (Some(&last.id), None));
        // Somebody ordered the older one to be left: the newer one is nothing else.
        ledger.condemned.push((first.id.clone(), first.artifact.clone()));
        assert_eq!((ledger.last_good(), ledger.left_good()), (None, Some(&last.id)));
        let nothing = Ledger::default();
        assert_eq!((nothing.last_good(), nothing.left_good()), (None, None));
    }

    #[test]
    fn what_counts_as_live_and_how_closely_it_is_looked_at_follow_the_step() {
        let mut world = World::with_bad_release(policy());
        let accused = world.platform.active.clone();
        world.run_to_stage("rolling_back");
        assert_eq!(world.state.live().map(|live| &live.id), Some(&accused));
        assert_eq!((world.state.attention(), world.state.pace()), (Attention::Close, Pace::Watch));
        for stage in ["soaking", "committing"] {
            world.run_to_stage(stage);
            assert_eq!(world.state.live().map(|live| &live.id), Some(&world.platform.active));
            assert_ne!(world.platform.active, accused);
            let attention = if stage == "soaking" { Attention::Watch } else { Attention::Close };
            assert_eq!(world.state.attention(), attention);
            world.latency = std::time::Duration::from_secs(4);
        }
        world.run_to_close();
        assert_eq!((world.state.attention(), world.state.pace()), (Attention::Rest, Pace::Rest));
        assert!(State::WORDS.contains(&world.state.word()));
    }
}
