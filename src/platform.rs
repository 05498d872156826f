//! What rearguard asks of a platform, and how a platform's failures are classed.
//!
//! An adapter translates; it decides nothing. Reads never write, writes are sent once and never retried here:
//! whatever is not surely known comes back as [`PlatformError::Ambiguous`], and the core reads before it acts.

pub mod digitalocean;
pub mod http;
pub mod inventory;
mod json;
pub mod leave;
pub mod pace;
#[cfg(test)]
mod scripted;
pub mod sevalla;

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

pub use crate::decision::capability::Signal;
use crate::decision::effect::Validation;
use crate::decision::observation::{AppView, Deployment};
use crate::ids::{DeploymentId, PlatformAppId};
use inventory::Found;

/// The future of one platform call.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<Answered<T>, PlatformError>> + Send + 'a>>;

/// What a call gave, with what an incident's timeline shows of it.
#[derive(Clone, Debug)]
pub struct Answered<T> {
    /// The answer.
    pub value: T,
    /// HTTP status.
    pub status: u16,
    /// The platform's id of the request, for its support.
    pub request_id: Option<String>,
}

/// The calls of a platform, as fixed words for metrics.
pub mod operation {
    /// [`list_apps`](super::Platform::list_apps); one request a page, and where a list does not say what is live, one an
    /// app, as [`LIST_DEPLOYMENTS`].
    pub const LIST_APPS: &str = "list_apps";
    /// [`app`](super::Platform::app).
    pub const GET_APP: &str = "get_app";
    /// [`deployments`](super::Platform::deployments).
    pub const LIST_DEPLOYMENTS: &str = "list_deployments";
    /// [`validate_rollback`](super::Platform::validate_rollback); where it is made of reads, those of the app and its
    /// deployments count as such.
    pub const VALIDATE_ROLLBACK: &str = "validate_rollback";
    /// [`pin`](super::Platform::pin).
    pub const PIN: &str = "pin";
    /// [`unpin`](super::Platform::unpin).
    pub const UNPIN: &str = "unpin";
    /// [`restart`](super::Platform::restart).
    pub const RESTART: &str = "restart";
    /// [`create_rollback`](super::Platform::create_rollback).
    pub const CREATE_ROLLBACK: &str = "create_rollback";
    /// [`commit_rollback`](super::Platform::commit_rollback).
    pub const COMMIT_ROLLBACK: &str = "commit_rollback";
    /// [`revert_rollback`](super::Platform::revert_rollback).
    pub const REVERT_ROLLBACK: &str = "revert_rollback";
    /// [`series`](super::Platform::series), whichever signal it is.
    pub const SERIES: &str = "series";
    /// [`bandwidth`](super::Platform::bandwidth).
    pub const BANDWIDTH: &str = "bandwidth";
    /// [`balance`](super::Platform::balance).
    pub const BALANCE: &str = "balance";

    /// Every operation.
    pub const ALL: [&str; 13] = [
        LIST_APPS,
        GET_APP,
        LIST_DEPLOYMENTS,
        VALIDATE_ROLLBACK,
        PIN,
        UNPIN,
        RESTART,
        CREATE_ROLLBACK,
        COMMIT_ROLLBACK,
        REVERT_ROLLBACK,
        SERIES,
        BANDWIDTH,
        BALANCE,
    ];
}

/// The apps of an account.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Those that were read, and those of which it is known that they are there.
    pub apps: Vec<(PlatformAppId, Result<AppView, PlatformError>)>,
    /// Each entry could be read, so an app that is not among them does not exist.
    pub is_whole: bool,
}

/// What a rollback goes to.
#[derive(Clone, Copy, Debug)]
pub struct Goal<'a> {
    /// The deployment that is live until then.
    pub accused: &'a DeploymentId,
    /// The deployment to go back to.
    pub target: &'a DeploymentId,
    /// What that one runs, where the platform has to be told so.
    pub code: &'a [(String, String)],
}

/// A signal, as the platform has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// When it was asked, in milliseconds since the Unix epoch on the *platform's* clock, where it says: what the points'
    /// times are held against.
    pub at_ms: Option<i64>,
    /// Its lines; none where there is nothing to tell.
    pub series: Vec<Series>,
}

/// One line of a signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The component or process that it is of; empty where it is of the whole app, or the platform does not say.
    pub component: String,
    /// What it is of: a status, a process, an instance. The platform's word, on one line.
    pub label: String,
    /// When, in milliseconds since the Unix epoch on the *platform's* clock, and how much in the unit of the signal;
    /// oldest first.
    pub points: Vec<(i64, f64)>,
}

/// What apps sent to their users in a day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bandwidth {
    /// The day it is of, in UTC, where the platform says.
    pub day: Option<jiff::civil::Date>,
    /// Bytes of each app of which there is a figure.
    pub apps: Vec<(PlatformAppId, u64)>,
}

/// One account on a platform that runs apps.
pub trait Platform: Send + Sync + 'static {
    /// The apps of the account, `wanted` among them, in as few calls as the platform allows.
    fn list_apps<'a>(&'a self, wanted: &'a [PlatformAppId]) -> Call<'a, Listed>;
    /// One app, read afresh.
    fn app<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, AppView>;
    /// The app's newest deployments, newest first by creation.
    fn deployments<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, Vec<Deployment>>;
    /// Asks whether a rollback to `goal` would be accepted, or finds it out by reading. Writes nothing.
    fn validate_rollback<'a>(&'a self, app: &'a PlatformAppId, goal: Goal<'a>) -> Call<'a, Validation>;
    /// Rolls back to `goal`, pinning the app where the platform does that, and gives the new deployment.
    fn create_rollback<'a>(&'a self, app: &'a PlatformAppId, goal: Goal<'a>) -> Call<'a, Deployment>;
    /// Restarts the live deployment, rolling, and gives the deployment that does it. Only these components where some are
    /// named, which a platform that knows none of them does not heed.
    fn restart<'a>(&'a self, app: &'a PlatformAppId, components: &'a [String]) -> Call<'a, Deployment>;
    /// Keeps pushes from being deployed. Only for apps with a soft pin; so are the next.
    fn pin<'a>(&'a self, _app: &'a PlatformAppId) -> Call<'a, ()> {
        unsupported(operation::PIN)
    }
    /// Lets pushes be deployed again.
    fn unpin<'a>(&'a self, _app: &'a PlatformAppId) -> Call<'a, ()> {
        unsupported(operation::UNPIN)
    }
    /// Accepts the rollback and unpins. Only where the platform has a call for it; so is the next.
    fn commit_rollback<'a>(&'a self, _app: &'a PlatformAppId) -> Call<'a, ()> {
        unsupported(operation::COMMIT_ROLLBACK)
    }
    /// Undoes the rollback and unpins; gives the deployment made for it where the platform says.
    fn revert_rollback<'a>(&'a self, _app: &'a PlatformAppId) -> Call<'a, Option<DeploymentId>> {
        unsupported(operation::REVERT_ROLLBACK)
    }
    /// A signal of the app in a span of time, in milliseconds since the Unix epoch on the platform's clock. Which ones an
    /// app has is in its capabilities.
    fn series<'a>(
        &'a self,
        _app: &'a PlatformAppId,
        _signal: Signal,
        _span: Range<i64>,
    ) -> Call<'a, Measured> {
        unsupported(operation::SERIES)
    }
    /// The requests that an answer with so many series takes.
    fn reads_of(&self, _signal: Signal, _series: usize) -> u32 {
        1
    }
    /// The platform's clock by its last answer, in milliseconds since the Unix epoch; none before it gave one.
    fn clock_ms(&self) -> Option<i64> {
        None
    }
    /// What each of the apps sent, on the last whole day that the platform has counted. Writes nothing.
    fn bandwidth<'a>(&'a self, _apps: &'a [PlatformAppId]) -> Call<'a, Bandwidth> {
        unsupported(operation::BANDWIDTH)
    }
    /// The account's balance, in dollars.
    fn balance(&self) -> Call<'_, f64> {
        unsupported(operation::BALANCE)
    }
    /// Every app of the account, for a first configuration. Writes nothing.
    fn inventory(&self) -> Call<'_, Vec<Found>> {
        unsupported(operation::LIST_APPS)
    }
    /// What is left of the rate limit and how the account's poll should pace itself.
    fn budget(&self) -> Budget;
    /// Whether an answer says that our network works: not one that came through a proxy, which probes never use.
    fn speaks_for_our_network(&self) -> bool {
        true
    }
    /// Reads the token again; called after the platform refused it.
    fn reload_token(&self);
}

/// The answer of a platform that has no such call. The core reads capabilities and does not ask.
fn unsupported<T: Send>(operation: &'static str) -> Call<'static, T> {
    Box::pin(async move { Err(PlatformError::Unsupported(operation)) })
}

/// What is left of an account's rate limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Requests left in the platform's window, as of its last answer.
    pub remaining: Option<u32>,
    /// The window's size, as of its last answer.
    pub limit: Option<u32>,
    /// No read should be sent before this much time has passed (`retry-after`).
    pub hold_reads: Option<Duration>,
    /// The time that the limit is for.
    pub window: Duration,
    /// Requests that the last poll took; zero where there was none.
    pub reads_a_poll: u32,
}

/// Why a platform call failed. Display reads after "failed to" and never carries a token or a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// No connection was made, so nothing was sent.
    #[error("reach the platform: {0}")]
    NotConnected(String),
    /// Sent, but it is not known what came of it: timeout, broken connection, 5xx, unreadable answer.
    #[error("get a conclusive answer: {0}")]
    Ambiguous(String),
    /// 429.
    #[error("stay within the rate limit")]
    RateLimited {
        /// What the platform asked us to wait.
        retry_after: Option<Duration>,
    },
    /// 401 or 403.
    #[error("be accepted by the platform (status {status}): check the token and its scopes")]
    Denied {
        /// The HTTP status.
        status: u16,
    },
    /// The platform has no such call.
    #[error("{0}: the platform cannot do that")]
    Unsupported(&'static str),
    /// 404.
    #[error("find it on the platform (status 404)")]
    NotFound,
    /// Any other client error.
    #[error("be accepted by the platform (status {status}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The platform's words, shortened, free of secrets.
        message: String,
    },
}

impl PlatformError {
    /// The `code` label of `platform_requests_total` for a failure that has no status of its own.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::NotConnected(_) | Self::Ambiguous(_) | Self::Unsupported(_) => None,
            Self::RateLimited { .. } => Some(429),
            Self::Denied { status } | Self::Refused { status, .. } => Some(*status),
            Self::NotFound => Some(404),
        }
    }
}
