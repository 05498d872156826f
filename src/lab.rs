//! The lab: a built-in platform behind `rearguard demo`, `rearguard lab` and the tests.
//!
//! A stateful model, not a script of expected calls: apps whose deployments move through their phases in time,
//! the rollback verbs with their pin, the apps' own sites, faults between platform and caller, people who
//! interfere, and a ledger of every write as it was received and whether it was carried out. An app is on
//! DigitalOcean or on Sevalla ([`AppKind`]); what either leaves undocumented is a switch in [`Unknowns`].
//!
//! ```text
//! HTTP /v2/*  ─ digitalocean ┐                       ┌ model   (pure, explicit time)
//! HTTP /v3/*  ─ sevalla      │                       │
//! HTTP /sites/*, /up ─ site  ├─ lock ─ world ────────┼ faults, rate limits
//! HTTP /lab/* ─ control      │  (never across await) └ ledger  (the oracle)
//! Lab's own methods          ┘
//! ```
//!
//! One mutex holds it all, unlike in the daemon: there is one model, every operation on it is short and
//! synchronous, and tests want to look at all of it at one instant. Time is tokio's, so paused tests pass.

mod app;
mod control;
mod deliver;
mod digitalocean;
mod fault;
mod gate;
mod handle;
mod kind;
mod ledger;
mod model;
mod rate;
mod release;
mod request;
mod sevalla;
mod site;
mod sleep;
mod traffic;
mod unknowns;
mod vitals;
mod world;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

pub use app::{AppState, Cause, Deployment, Phase, STEPS, Who};
pub use control::Action;
pub use fault::{Fault, Kind, Target, When};
pub use kind::{AppKind, Source};
pub use ledger::{Entry, Ledger, Operation};
pub use model::Durations;
pub use rate::{RateLimit, Tiers};
pub use release::{Fate, Health, Image, Lingering, Release};
#[cfg(test)]
pub(crate) use request::Request;
pub use sleep::Sleep;
pub use unknowns::{
    ActiveAt, Allowed, Busy, ClonedFrom, Hint, InstanceNames, NullImage, Pin, Replaced, RevertCause,
    RevertTo, RollbackRule, RollbackTrigger, Shown, Unknowns, WhilePinned, Zeros,
};
pub use vitals::Vitals;
use world::World;

/// The guard's token: may read and write.
pub const GUARD_TOKEN: &str = "dop_v1_lab_guard";
/// A read-only token, still the guard's.
pub const READ_TOKEN: &str = "dop_v1_lab_read";
/// A colleague's token: what it does is in the ledger as a person's.
pub const PERSON_TOKEN: &str = "dop_v1_lab_person";

/// What the lab starts with.
#[derive(Clone, Debug)]
pub struct LabConfig {
    /// Where to listen; a loopback address, port 0 for any.
    pub listen: SocketAddr,
    /// Ids follow from it.
    pub seed: u64,
    /// How long things take.
    pub durations: Durations,
    /// The open questions, answered.
    pub unknowns: Unknowns,
    /// How many successful deployments one can roll back to.
    pub revision_limit: usize,
    /// What each token may call.
    pub rate_limit: RateLimit,
    /// Who may call.
    pub tokens: Vec<Token>,
    /// The lab's clock at the start; the wall clock's time when absent.
    pub epoch: Option<jiff::Timestamp>,
}

impl Default for LabConfig {
    fn default() -> Self {
        let token = |value: &str, scope, who| Token { value: value.to_owned(), scope, who };
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            seed: 1,
            durations: Durations::default(),
            unknowns: Unknowns::default(),
            revision_limit: 10,
            rate_limit: RateLimit::default(),
            tokens: vec![
                token(GUARD_TOKEN, Scope::Update, Who::Guard),
                token(READ_TOKEN, Scope::Read, Who::Guard),
                token(PERSON_TOKEN, Scope::Update, Who::Person),
            ],
            epoch: None,
        }
    }
}

/// A token the lab knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// What comes after `Bearer`.
    pub value: String,
    /// What it may do.
    pub scope: Scope,
    /// Whose it is.
    pub who: Who,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// `app:read`.
    Read,
    /// `app:read` and `app:update`.
    Update,
}

/// Why the lab did not do something.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The lab has no authentication of its own.
    #[error("listen on {0}: the lab listens on a loopback address only")]
    NotLoopback(SocketAddr),
    /// The listener could not be opened.
    #[error("listen")]
    Listen(#[from] std::io::Error),
    /// The listener's address makes no URL.
    #[error("name the lab's address")]
    Address(#[from] url::ParseError),
    /// An app of that name exists, or did.
    #[error("create app {0}: the name is taken")]
    NameTaken(String),
    /// Letters, digits and dashes only.
    #[error("create app {0:?}: a name is made of letters, digits and dashes")]
    BadName(String),
    /// No app of that name.
    #[error("find app {0}")]
    NoSuchApp(String),
    /// No deployment of that id or version.
    #[error("find deployment {0}")]
    NoSuchDeployment(String),
    /// The platform refused what a person asked.
    #[error("do what was asked (status {status}): {message}")]
    Refused {
        /// The status an API call would have been given.
        status: u16,
        /// The platform's words.
        message: String,
    },
}

/// The lab's clock, in milliseconds since the Unix epoch.
type Clock = Box<dyn Fn() -> i64 + Send + Sync>;

/// A handle on a lab. Its methods mirror the control API and are not async: each takes the lock once.
#[derive(Clone)]
pub struct Lab {
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    clock: Clock,
    base: String,
    stop: CancellationToken,
}

/// A lab that serves. Dropping it closes the lab without waiting for its connections.
pub struct RunningLab {
    /// Where its HTTP is: `http://127.0.0.1:PORT/`.
    pub base_url: Url,
    /// The address it listens on.
    pub addr: SocketAddr,
    lab: Lab,
    serving: Option<JoinHandle<()>>,
}

impl Lab {
    fn on(config: &LabConfig, clock: Clock, base: String, stop: CancellationToken) -> Self {
        let world = Mutex::new(World::new(config, clock()));
        Self { shared: Arc::new(Shared { world, clock, base, stop }) }
    }

    /// A lab without a listener, on a clock of somebody else's: it is asked by [`Lab::answer`].
    #[cfg(test)]
    pub(crate) fn in_process(config: &LabConfig, clock: Clock) -> Self {
        Self::on(config, clock, "http://lab.test".to_owned(), CancellationToken::new())
    }

    /// Opens the listener and serves.
    ///
    /// # Errors
    /// If the address is not a loopback one or cannot be listened on.
    pub async fn start(config: LabConfig) -> Result<RunningLab, LabError> {
        if !config.listen.ip().is_loopback() {
            return Err(LabError::NotLoopback(config.listen));
        }
        let listener = TcpListener::bind(config.listen).await?;
        let addr = listener.local_addr()?;
        let base = format!("http://{addr}");
        let epoch_ms = config.epoch.unwrap_or_else(jiff::Timestamp::now).as_millisecond();
        let stop = CancellationToken::new();
        let started = Instant::now();
        let clock = Box::new(move || {
            epoch_ms.saturating_add(i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX))
        });
        let lab = Self::on(&config, clock, base.clone(), stop.clone());
        let router = site::router(&lab);
        let serving = tokio::spawn(async move {
            let stopped = stop.cancelled_owned();
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::warn!(%error, "the lab stopped serving");
            }
        });
        Ok(RunningLab { base_url: Url::parse(&base)?, addr, lab, serving: Some(serving) })
    }
}

impl RunningLab {
    /// The handle, to keep or give away.
    pub fn handle(&self) -> Lab {
        self.lab.clone()
    }

    /// Where the app's site is, with a slash at its end.
    ///
    /// # Errors
    /// If the name makes no URL.
    pub fn site(&self, app: &str) -> Result<Url, LabError> {
        Ok(self.base_url.join(&format!("sites/{app}/"))?)
    }

    /// Ends what hangs, lets the rest finish, and closes.
    pub async fn stop(mut self) {
        self.lab.shared.stop.cancel();
        if let Some(mut serving) = self.serving.take() {
            // A caller that never reads its answer must not keep the lab from stopping.
            if tokio::time::timeout(Duration::from_secs(1), &mut serving).await.is_err() {
                serving.abort();
            }
        }
    }
}

impl Deref for RunningLab {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl Drop for RunningLab {
    fn drop(&mut self) {
        self.lab.shared.stop.cancel();
    }
}

#[cfg(test)]
mod tests;
