//! What the platform was asked and what it did: the oracle of the tests, never the daemon's own view.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::app::Who;

/// What can be asked of a platform, here by its path at DigitalOcean where that has one, and what happens to it without being asked through the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `GET /v2/apps`.
    ListApps,
    /// `GET /v2/apps/{id}`.
    GetApp,
    /// `GET .../deployments`.
    ListDeployments,
    /// `GET .../deployments/{id}`.
    GetDeployment,
    /// `POST .../rollback/validate`.
    ValidateRollback,
    /// `POST /v2/apps/metrics/bandwidth_daily`.
    GetBandwidth,
    /// `GET /v2/customers/my/balance`.
    GetBalance,
    /// `POST .../deployments`.
    CreateDeployment,
    /// `POST .../deployments/{id}/cancel`.
    CancelDeployment,
    /// `POST .../restart`. Sevalla: `POST .../deployments` with `is_restart`.
    Restart,
    /// `POST .../rollback`. Sevalla: `POST .../deployments/rollback`, and `POST .../deployments` with what is to come
    /// back: a `docker_image`, or for a static site a `deployment_id`.
    CreateRollback,
    /// `POST .../rollback/commit`.
    CommitRollback,
    /// `POST .../rollback/revert`.
    RevertRollback,
    /// Sevalla: `PATCH /v3/applications/{id}` or `/v3/static-sites/{id}`.
    SetAutoDeploy,
    /// Sevalla: `GET .../deployments/{id}/logs`.
    GetLogs,
    /// Sevalla: `GET .../deployment-hook`.
    GetHook,
    /// Sevalla: `GET .../processes`.
    ListProcesses,
    /// Sevalla: `GET .../domains`.
    ListDomains,
    /// `GET /v2/apps/{id}/health`.
    GetHealth,
    /// `GET /v2/monitoring/metrics/apps/...`. Sevalla: `GET .../metrics/...`, of an app or of one of its processes.
    GetMetrics,
    /// Sevalla: `GET /v3/api-keys/me` or `/v3/api-keys/validate`.
    GetKey,
    /// A push to the branch: not an API call.
    Push,
    /// The platform's maintenance.
    Maintenance,
    /// The platform's autoscaler.
    Autoscale,
    /// The platform's own rollback.
    AutoRollback,
}

impl Operation {
    /// It writes nothing. Validation is one of these, though it needs a token that may write.
    pub fn is_read(self) -> bool {
        matches!(
            self,
            Self::ListApps
                | Self::GetApp
                | Self::ListDeployments
                | Self::GetDeployment
                | Self::ValidateRollback
                | Self::GetBandwidth
                | Self::GetBalance
                | Self::GetLogs
                | Self::GetHook
                | Self::ListProcesses
                | Self::ListDomains
                | Self::GetMetrics
                | Self::GetHealth
                | Self::GetKey
        )
    }

    /// It needs the scope `app:update` [OAS: `security` of each operation; validate is among them].
    pub fn needs_update(self) -> bool {
        !self.is_read() || self == Self::ValidateRollback
    }
}

/// A write as it was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its place in the ledger, from 0.
    pub seq: usize,
    /// When it was received, in milliseconds on the lab's clock.
    pub at_ms: i64,
    /// The app's name; the id as it was sent where there is no such app.
    pub app: String,
    /// What was asked.
    pub operation: Operation,
    /// Who asked.
    pub who: Who,
    /// Rollback: the target, which is what the platform picked where it does. Cancel: the deployment.
    pub target: Option<String>,
    /// Rollback: `skip_pin` as it was sent.
    pub skip_pin: bool,
    /// The live deployment before.
    pub active_before: Option<String>,
    /// The deployment in progress before.
    pub in_progress_before: Option<String>,
    /// The pin before.
    pub pinned_before: Option<String>,
    /// Whether pushes were deployed before, where the platform has a switch for it.
    pub auto_deploy_before: Option<bool>,
    /// Whether pushes are deployed from then on. Set auto deploy: what was asked for. Rollback: where it changed that.
    pub auto_deploy: Option<bool>,
    /// When it was carried out, if it was. Later than `at_ms` for a late apply.
    pub applied_ms: Option<i64>,
    /// The deployment it made.
    pub deployment: Option<String>,
    /// Why it was not carried out.
    pub refused: Option<String>,
    /// The fault in whose shadow it happened.
    pub fault: Option<String>,
}

impl Entry {
    /// The platform did it, whatever the caller was told.
    pub fn applied(&self) -> bool {
        self.applied_ms.is_some()
    }
}

/// Every write in the order of its arrival, and how often each operation was called.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ledger {
    /// Every write.
    pub entries: Vec<Entry>,
    /// Calls of the API received, reads and writes, refused and faulted ones included.
    pub calls: BTreeMap<Operation, u64>,
}

impl Ledger {
    /// The writes of this kind that were carried out on the app, by whomever.
    pub fn applied(&self, operation: Operation, app: &str) -> Vec<&Entry> {
        self.received(operation, app).into_iter().filter(|entry| entry.applied()).collect()
    }

    /// The writes of this kind that arrived for the app, carried out or not.
    pub fn received(&self, operation: Operation, app: &str) -> Vec<&Entry> {
        self.entries.iter().filter(|entry| entry.operation == operation && entry.app == app).collect()
    }

    /// Every write of this caller, on any app.
    pub fn by(&self, who: Who) -> Vec<&Entry> {
        self.entries.iter().filter(|entry| entry.who == who).collect()
    }

    /// How often the API was asked this.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.calls.get(&operation).copied().unwrap_or(0)
    }

    pub(crate) fn count(&mut self, operation: Operation) {
        *self.calls.entry(operation).or_default() += 1;
    }

    pub(crate) fn push(&mut self, entry: Entry) -> usize {
        self.entries.push(entry);
        self.entries.len() - 1
    }
}
