//! What rearguard asks of a platform, and how a platform's failures are classed.
//!
//! An adapter translates; it decides nothing. Reads never write, writes are sent once and never retried here:
//! whatever is not surely known comes back as [`PlatformError::Ambiguous`], and the core reads before it acts.

pub mod digitalocean;
pub mod http;
pub mod pace;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::decision::effect::Validation;
use crate::decision::observation::{AppView, Deployment};
use crate::ids::{DeploymentId, PlatformAppId};

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
    /// [`list_apps`](super::Platform::list_apps); one request a page.
    pub const LIST_APPS: &str = "list_apps";
    /// [`app`](super::Platform::app).
    pub const GET_APP: &str = "get_app";
    /// [`deployments`](super::Platform::deployments).
    pub const LIST_DEPLOYMENTS: &str = "list_deployments";
    /// [`validate_rollback`](super::Platform::validate_rollback).
    pub const VALIDATE_ROLLBACK: &str = "validate_rollback";
    /// [`create_rollback`](super::Platform::create_rollback).
    pub const CREATE_ROLLBACK: &str = "create_rollback";
    /// [`commit_rollback`](super::Platform::commit_rollback).
    pub const COMMIT_ROLLBACK: &str = "commit_rollback";
    /// [`revert_rollback`](super::Platform::revert_rollback).
    pub const REVERT_ROLLBACK: &str = "revert_rollback";

    /// Every operation.
    pub const ALL: [&str; 7] = [
        LIST_APPS,
        GET_APP,
        LIST_DEPLOYMENTS,
        VALIDATE_ROLLBACK,
        CREATE_ROLLBACK,
        COMMIT_ROLLBACK,
        REVERT_ROLLBACK,
    ];
}

/// The apps of an account.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Those that could be read.
    pub apps: Vec<(PlatformAppId, AppView)>,
    /// Each entry could be read, so an app that is not among them does not exist.
    pub is_whole: bool,
}

/// One account on a platform that runs apps.
pub trait Platform: Send + Sync + 'static {
    /// Every app of the account, in as few calls as pages allow. One call when nothing is going on.
    fn list_apps(&self) -> Call<'_, Listed>;
    /// One app, read afresh.
    fn app<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, AppView>;
    /// The app's newest deployments, newest first by creation.
    fn deployments<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, Vec<Deployment>>;
    /// Asks whether a rollback to `target` would be accepted. Writes nothing.
    fn validate_rollback<'a>(
        &'a self,
        app: &'a PlatformAppId,
        target: &'a DeploymentId,
    ) -> Call<'a, Validation>;
    /// Rolls back to `target`, pinning the app, and gives the new deployment.
    fn create_rollback<'a>(
        &'a self,
        app: &'a PlatformAppId,
        target: &'a DeploymentId,
    ) -> Call<'a, Deployment>;
    /// Accepts the rollback and unpins.
    fn commit_rollback<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, ()>;
    /// Undoes the rollback and unpins; gives the deployment made for it where the platform says.
    fn revert_rollback<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, Option<DeploymentId>>;
    /// What is left of the rate limit and how the account's poll should pace itself.
    fn budget(&self) -> Budget;
    /// Reads the token again; called after the platform refused it.
    fn reload_token(&self);
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
            Self::NotConnected(_) | Self::Ambiguous(_) => None,
            Self::RateLimited { .. } => Some(429),
            Self::Denied { status } | Self::Refused { status, .. } => Some(*status),
            Self::NotFound => Some(404),
        }
    }
}
