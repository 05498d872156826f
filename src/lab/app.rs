//! An app of the lab and its deployments: the data the model moves.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::kind::AppKind;
use super::release::{Fate, Health, Lingering, Release, Reply, hex};
use super::sleep::Sleeper;
use super::traffic::Traffic;
use super::vitals::Vitals;

/// A deployment's phase [godo: `DeploymentPhase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// Waiting for a builder, or for its turn.
    PendingBuild,
    /// Building.
    Building,
    /// Built, waiting to be rolled out.
    PendingDeploy,
    /// Rolling out.
    Deploying,
    /// Live.
    Active,
    /// Another one went live after it, or took its place in the queue.
    Superseded,
    /// Failed.
    Error,
    /// Cancelled.
    Canceled,
}

impl Phase {
    /// Nothing more happens to it, other than being superseded.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Active | Self::Superseded | Self::Error | Self::Canceled)
    }

    /// The platform's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingBuild => "PENDING_BUILD",
            Self::Building => "BUILDING",
            Self::PendingDeploy => "PENDING_DEPLOY",
            Self::Deploying => "DEPLOYING",
            Self::Active => "ACTIVE",
            Self::Superseded => "SUPERSEDED",
            Self::Error => "ERROR",
            Self::Canceled => "CANCELED",
        }
    }
}

/// What brought a deployment about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A push to the branch.
    Push,
    /// `POST deployments`, or the app's creation.
    Manual,
    /// A rollback to the deployment named.
    Rollback {
        /// The target's id.
        target: String,
    },
    /// The image of an earlier deployment was asked for by its name.
    Redeploy {
        /// The newest deployment of that image.
        target: String,
    },
    /// The undoing of a rollback.
    Revert,
    /// A restart.
    Restart,
    /// The platform's maintenance.
    Maintenance,
    /// The platform's autoscaler.
    Autoscaled,
    /// The platform went back to the deployment named by itself.
    AutoRollback {
        /// The target's id.
        target: String,
    },
}

/// Who asked for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// A call with the guard's token.
    Guard,
    /// A person: a call with another token, or through the control API.
    Person,
    /// The platform itself.
    Platform,
}

/// One deployment.
#[derive(Clone, Debug, Serialize)]
pub struct Deployment {
    /// UUID-shaped.
    pub id: String,
    /// What it runs.
    pub release: Arc<Release>,
    /// What brought it about.
    pub cause: Cause,
    /// Who asked for it.
    pub who: Who,
    /// Where it stands.
    pub phase: Phase,
    /// Creation, in milliseconds on the lab's clock.
    pub created_ms: i64,
    /// The last change of phase.
    pub updated_ms: i64,
    /// When it stopped waiting.
    pub started_ms: Option<i64>,
    /// When it went live.
    pub live_ms: Option<i64>,
    /// The deployment that was live when it was created.
    pub previous: Option<String>,
    /// The region it was made for.
    pub region: String,
    /// Steps that have succeeded, of [`STEPS`]; stands still where it failed or was cancelled.
    pub steps_done: u8,
    /// How long the build takes and what comes of it; none where an earlier build is reused.
    #[serde(skip)]
    pub(crate) build: Option<(u64, Fate)>,
    /// How long the rollout takes and what comes of it.
    #[serde(skip)]
    pub(crate) rollout: (u64, Fate),
    /// Its JSON, until it changes.
    #[serde(skip)]
    pub(crate) rendered: Option<Arc<str>>,
}

/// Steps of a deployment, as in the one real answer we have seen.
pub const STEPS: u8 = 6;

impl Deployment {
    /// It was live at some time: what DigitalOcean calls successful.
    pub fn was_live(&self) -> bool {
        self.live_ms.is_some()
    }

    /// A person's or the guard's rollback made it, whichever way the platform has for one.
    pub fn is_rollback(&self) -> bool {
        matches!(self.cause, Cause::Rollback { .. } | Cause::Redeploy { .. })
    }

    /// The deployment that it repeats.
    pub fn goes_back_to(&self) -> Option<&str> {
        match &self.cause {
            Cause::Rollback { target } | Cause::Redeploy { target } | Cause::AutoRollback { target } => {
                Some(target)
            }
            _ => None,
        }
    }

    pub(crate) fn enter(&mut self, phase: Phase, at: i64) {
        self.phase = phase;
        self.updated_ms = at;
        self.rendered = None;
        if !phase.is_terminal() {
            self.started_ms = self.started_ms.or(Some(at));
        }
        self.steps_done = match phase {
            Phase::Building => 1,
            Phase::PendingDeploy => 3,
            Phase::Deploying => 4,
            Phase::Active => STEPS,
            Phase::PendingBuild | Phase::Superseded | Phase::Error | Phase::Canceled => self.steps_done,
        };
    }

    /// How its site answers when nothing overrides it.
    pub(crate) fn health(&self) -> Health {
        let when_rolled_back = self.release.when_rolled_back.filter(|_| self.goes_back_to().is_some());
        when_rolled_back.unwrap_or(self.release.health)
    }
}

/// The JSON of an app, as far as somebody asked for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rendered {
    /// Read alone.
    pub(crate) app: Option<Arc<str>>,
    /// In a list, where that says less.
    pub(crate) listed: Option<Arc<str>>,
}

/// One app. The `Option<usize>` fields are places in `deployments`.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: AppKind,
    pub(crate) region: String,
    pub(crate) created_ms: i64,
    /// Oldest first.
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) active: Option<usize>,
    pub(crate) in_progress: Option<usize>,
    /// Those that wait for their turn, first come first.
    pub(crate) queue: VecDeque<usize>,
    pub(crate) pinned: Option<usize>,
    /// The release the desired spec stands for: that of the newest deployment that was not a rollback, or of
    /// the target once a rollback is committed.
    pub(crate) spec: Arc<Release>,
    /// The newest commit of the branch, deployed or not.
    pub(crate) head: Arc<Release>,
    /// A push that waits for the pin to go.
    pub(crate) waiting_push: Option<(Arc<Release>, Who)>,
    /// What comes of rollbacks of this app.
    pub(crate) rollback_fate: Fate,
    /// A health that a person imposed on whatever is live, and since when.
    pub(crate) imposed: Option<(Health, i64)>,
    /// The same of what the platform measures of it.
    pub(crate) imposed_vitals: Option<(Vitals, i64)>,
    /// Deployments whose PRE_DEPLOY jobs ran.
    pub(crate) job_runs: Vec<String>,
    pub(crate) deleted: bool,
    /// Whether it is put to sleep, and is asleep.
    pub(crate) sleeper: Sleeper,
    /// Requests its site has answered.
    pub(crate) served: u64,
    /// What it answered of late, where the platform counts that.
    pub(crate) traffic: Traffic,
    /// When the deployment in progress takes its next step.
    pub(crate) due: Option<i64>,
    /// Its JSON, until something changes.
    pub(crate) rendered: Rendered,
    /// What reads still show after a write, and until when; oldest first.
    pub(crate) stale: Vec<(i64, Arc<App>)>,
    /// Reads in that time, where not all of them lag.
    pub(crate) jumps: Option<u64>,
}

impl App {
    pub(crate) fn active(&self) -> Option<&Deployment> {
        self.active.map(|place| &self.deployments[place])
    }

    /// The one whose turn comes next.
    pub(crate) fn pending(&self) -> Option<usize> {
        self.queue.front().copied()
    }

    pub(crate) fn place_of(&self, deployment: &str) -> Option<usize> {
        self.deployments.iter().position(|d| d.id == deployment)
    }

    /// The JSON of the deployment at `place`, made once.
    pub(crate) fn row(&mut self, place: usize, render: impl FnOnce(&Self, &Deployment) -> Value) -> Arc<str> {
        if let Some(kept) = &self.deployments[place].rendered {
            return Arc::clone(kept);
        }
        let rendered: Arc<str> = render(self, &self.deployments[place]).to_string().into();
        self.deployments[place].rendered = Some(Arc::clone(&rendered));
        rendered
    }

    pub(crate) fn id_at(&self, place: Option<usize>) -> Option<String> {
        place.map(|place| self.deployments[place].id.clone())
    }

    /// The next answer of its site, which follows the live deployment at each instant.
    pub(crate) fn serve(&mut self, now: i64) -> Option<(Reply, Arc<Release>)> {
        let live = self.active()?;
        let (health, since) =
            self.imposed.unwrap_or_else(|| (live.health(), live.live_ms.unwrap_or(live.updated_ms)));
        let release = Arc::clone(&live.release);
        let live_ms = live.live_ms.unwrap_or(live.updated_ms);
        if !self.sleeper.is_up(now, live_ms) {
            return Some((Reply { status: 503, latency_ms: 0 }, release));
        }
        if let Some(Lingering { for_ms, status }) = release.lingering
            && now - live_ms < i64::try_from(for_ms).unwrap_or(i64::MAX)
            && let Some(before) = self.before(live_ms)
        {
            return Some((Reply { status, latency_ms: 0 }, before));
        }
        let reply = health.reply(self.served, now - since);
        self.served += 1;
        if self.kind.source().is_some() {
            self.traffic.add(now, reply);
        }
        Some((reply, release))
    }

    /// What was live until then.
    fn before(&self, live_ms: i64) -> Option<Arc<Release>> {
        let earlier =
            self.deployments.iter().filter_map(|d| Some((d.live_ms.filter(|at| *at < live_ms)?, d)));
        earlier.max_by_key(|(at, _)| *at).map(|(_, deployment)| Arc::clone(&deployment.release))
    }

    /// What reads show at `now`.
    pub(crate) fn visible(&mut self, now: i64) -> &mut Self {
        self.stale.retain(|(until, _)| *until > now);
        let is_current = self.jumps.as_mut().is_some_and(|reads| {
            *reads += 1;
            // One bit of a number that has no pattern.
            (reads.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) & 1 == 1
        });
        if self.stale.is_empty() || is_current { self } else { Arc::make_mut(&mut self.stale[0].1) }
    }
}

/// What the control API and the tests see of an app.
#[derive(Clone, Debug, Serialize)]
pub struct AppState {
    /// The platform's id.
    pub id: String,
    /// Its name, also the name of its site.
    pub name: String,
    /// Its platform, and what it is made from.
    pub kind: AppKind,
    /// Whether pushes are deployed, where the platform has a switch for it.
    pub auto_deploy: Option<bool>,
    /// The version that is live.
    pub version: Option<String>,
    /// The live deployment.
    pub active: Option<String>,
    /// The deployment being built or rolled out.
    pub in_progress: Option<String>,
    /// The deployment whose turn comes next.
    pub pending: Option<String>,
    /// The deployment the app is pinned to.
    pub pinned: Option<String>,
    /// The version of the desired spec.
    pub spec_version: String,
    /// Deployments whose PRE_DEPLOY jobs ran, oldest first.
    pub job_runs: Vec<String>,
    /// Every deployment, oldest first.
    pub deployments: Vec<Deployment>,
}

impl AppState {
    /// The deployment of this id.
    pub fn deployment(&self, id: &str) -> Option<&Deployment> {
        self.deployments.iter().find(|d| d.id == id)
    }
}

impl From<&App> for AppState {
    fn from(app: &App) -> Self {
        Self {
            id: app.id.clone(),
            name: app.name.clone(),
            kind: app.kind,
            auto_deploy: app.kind.auto_deploy(),
            version: app.active().map(|live| live.release.version.clone()),
            active: app.id_at(app.active),
            in_progress: app.id_at(app.in_progress),
            pending: app.id_at(app.pending()),
            pinned: app.id_at(app.pinned),
            spec_version: app.spec.version.clone(),
            job_runs: app.job_runs.clone(),
            deployments: app.deployments.clone(),
        }
    }
}

/// A UUID-shaped id that follows from its arguments: the same lab gives the same ids in every run.
pub(crate) fn uuid(seed: u64, name: &str, nth: usize) -> String {
    let text = hex(&Sha256::digest(format!("{seed}/{name}/{nth}")), 16);
    let variant = ["8", "9", "a", "b"][usize::from(text.as_bytes()[16]) % 4];
    format!("{}-{}-4{}-{variant}{}-{}", &text[..8], &text[8..12], &text[13..16], &text[17..20], &text[20..32])
}
