//! What the platforms' documents leave open, each a switch, so that the tests can pass under every answer.
//!
//! Nothing here may be relied upon: a guard that is right under one setting only is wrong.

use serde::{Deserialize, Serialize};

/// The answer to a question "does it, or is it refused".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    /// It does it.
    Accepts,
    /// A 4xx, and nothing happens.
    Refuses,
}

/// Whether a field appears in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// The field is there.
    Shown,
    /// The field is left out.
    Omitted,
}

/// What a rollback deployment names as the one it was cloned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClonedFrom {
    /// The deployment that was gone back to.
    Target,
    /// Where that is a rollback itself, the one it went back to, and so on: the deployment that was built.
    Built,
    /// Nothing.
    Omitted,
}

/// What a rollback does to a deployment that is in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Busy {
    /// The rollback waits for it to end.
    Queues,
    /// The rollback cancels it.
    Cancels,
    /// The rollback is refused.
    Refuses,
}

/// What becomes of a push, or a manual deployment, while the app is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhilePinned {
    /// It is refused with a 4xx (a hook sees the refusal).
    Refused,
    /// It is deployed once the app is unpinned.
    Queued,
    /// It is lost: a hook hears nothing, an API call is refused.
    Dropped,
}

/// The last phase of a deployment that another one replaced before its turn came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replaced {
    /// SUPERSEDED, though it never was live.
    Superseded,
    /// CANCELED.
    Canceled,
}

/// The pin once the rollback deployment ended in ERROR or CANCELED.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// The app stays pinned.
    Kept,
    /// The app is unpinned.
    Released,
}

/// What a revert deploys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevertTo {
    /// The release the app ran before the rollback, its build reused.
    SameBuild,
    /// The newest commit of the branch, built anew.
    BranchHead,
}

/// The `cause_details.type` of a revert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevertCause {
    /// MANUAL.
    Manual,
    /// MANUAL_ROLLBACK.
    ManualRollback,
}

/// How zero values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Zeros {
    /// Left out, as one recorded real answer does.
    Omitted,
    /// Written, as the API's own examples do.
    Written,
}

/// What Sevalla goes back to when it is asked to roll back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackRule {
    /// The newest successful deployment older than the live one.
    PreviousRow,
    /// The same, of those that run something else than the live one.
    PreviousDistinct,
    /// The newest successful deployment: the live one itself.
    LatestSuccess,
}

/// What becomes of a `deployment_id`. The official client sends one with a rollback of an application, of which the
/// OpenAPI document knows no body; a static site is documented to take one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// Nothing: the platform picks, or builds a site's branch anew.
    Ignored,
    /// It is gone back to.
    Honoured,
    /// A 400, and nothing happens.
    Refused,
}

/// When a rollback's deployment says neither its image nor its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NullImage {
    /// It always says them.
    Never,
    /// Until it has ended.
    UntilItEnds,
    /// It never says them.
    ForEver,
    /// It says its commit, where there is one, and never its image.
    ImageForEver,
}

/// The `trigger` of a rollback's deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackTrigger {
    /// `ROLLBACK_DEPLOYMENT`, as the documents have it in their prose.
    RollbackDeployment,
    /// `MANUAL_DEPLOY`, as in the documents' example.
    ManualDeploy,
    /// A word that nobody knows.
    Unheard,
}

/// Whose the time is at which an app says that its live deployment went live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActiveAt {
    /// The live one's.
    Own,
    /// That of the one that was live before: it is written later than the rest.
    Former,
}

/// What the instances of an app are called, whose figures are a series each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceNames {
    /// The same whichever deployment is live, as in the documents' example.
    Kept,
    /// New ones with each deployment.
    New,
}

/// Every open question, answered. The default is what we hold most likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Unknowns {
    /// A rollback of a pinned app. (Validate says `app_pinned`; whether create refuses is not documented.)
    pub create_when_pinned: Allowed,
    /// A rollback that validate would call invalid for another reason.
    pub create_when_invalid: Allowed,
    /// A rollback while a deployment is in progress.
    pub create_when_busy: Busy,
    /// A commit when the app is not pinned: also the second of two commits.
    pub commit_when_unpinned: Allowed,
    /// A revert when the app is not pinned: also the second of two reverts.
    pub revert_when_unpinned: Allowed,
    /// A commit or revert before the rollback deployment has ended.
    pub settle_before_terminal: Allowed,
    /// Pushes and manual deployments of a pinned app.
    pub push_while_pinned: WhilePinned,
    /// A restart of a pinned app.
    pub restart_while_pinned: Allowed,
    /// Maintenance and autoscaling of a pinned app.
    pub platform_while_pinned: Allowed,
    /// The pin after a failed rollback deployment.
    pub pin_after_failure: Pin,
    /// What a revert deploys.
    pub revert_to: RevertTo,
    /// How a revert names its cause.
    pub revert_cause: RevertCause,
    /// PRE_DEPLOY jobs of the target run again on a rollback.
    pub jobs_run_again: bool,
    /// What becomes of a pending deployment that a newer one replaces.
    pub pending_replaced: Replaced,
    /// `cloned_from` of a rollback deployment.
    pub cloned_from: ClonedFrom,
    /// `cause_details` (it is not in the OpenAPI document).
    pub cause_details: Shown,
    /// `previous_deployment_id` (it is not in the OpenAPI document).
    pub previous_deployment: Shown,
    /// Zero values, `"valid": false` among them.
    pub zeros: Zeros,
    /// `last_deployment_active_at` (it is not in the OpenAPI document).
    pub active_at: ActiveAt,
    /// Reads show the view of before a write for this long after it.
    pub reads_lag_ms: u64,
    /// Some reads lag, others do not: several replicas answer them.
    pub reads_jump: bool,
    /// Reads lag behind what the platform does by itself as well: what is live says that it is being deployed.
    pub steps_lag: bool,
    /// A `create_rollback` gets no answer and is applied this much later.
    pub late_apply_ms: Option<u64>,
    /// The status of a refusal for the app's state: 409, 412, 422 and 400 have all been guessed.
    pub refusal_status: u16,
    /// What instances are called in the platform's figures.
    pub instance_names: InstanceNames,
    /// How much time is between two points of a figure; two minutes in the documents' example.
    pub measured_every_ms: u64,
    /// How long it takes until a point is shown.
    pub measured_late_ms: u64,
    /// Sevalla: what a rollback goes back to.
    pub rollback_rule: RollbackRule,
    /// Sevalla: a target named in a rollback's body.
    pub honour_deployment_id: Hint,
    /// Sevalla: a target named in the deployment of a static site.
    pub honour_site_target: Hint,
    /// Sevalla: the status where there is nothing to go back to; 404 or 500 are all that is documented.
    pub nothing_to_roll_back: u16,
    /// Sevalla: when a rollback's deployment does not say what it runs.
    pub null_image: NullImage,
    /// Sevalla: the trigger of a rollback's deployment.
    pub rollback_trigger: RollbackTrigger,
    /// Sevalla: a change of `auto_deploy` gets its 200 and does not happen.
    pub patch_ignored: bool,
    /// Sevalla: what a rollback makes of `auto_deploy` where that means anything; nothing, where there is none.
    pub rollback_sets_auto_deploy: Option<bool>,
    /// Sevalla: applications have a deployment hook.
    pub hook_enabled: bool,
    /// Sevalla: the status of a cancel of what has ended.
    pub cancel_of_finished: u16,
    /// Sevalla: whether there are exit codes among a process's figures.
    pub exit_codes: Shown,
}

impl Default for Unknowns {
    fn default() -> Self {
        Self {
            create_when_pinned: Allowed::Refuses,
            create_when_invalid: Allowed::Refuses,
            create_when_busy: Busy::Queues,
            commit_when_unpinned: Allowed::Refuses,
            revert_when_unpinned: Allowed::Refuses,
            settle_before_terminal: Allowed::Refuses,
            push_while_pinned: WhilePinned::Dropped,
            restart_while_pinned: Allowed::Refuses,
            platform_while_pinned: Allowed::Refuses,
            pin_after_failure: Pin::Kept,
            revert_to: RevertTo::SameBuild,
            revert_cause: RevertCause::Manual,
            jobs_run_again: true,
            pending_replaced: Replaced::Superseded,
            cloned_from: ClonedFrom::Target,
            cause_details: Shown::Shown,
            previous_deployment: Shown::Shown,
            zeros: Zeros::Omitted,
            active_at: ActiveAt::Own,
            reads_lag_ms: 0,
            reads_jump: false,
            steps_lag: false,
            late_apply_ms: None,
            refusal_status: 409,
            instance_names: InstanceNames::Kept,
            measured_every_ms: 60_000,
            measured_late_ms: 0,
            rollback_rule: RollbackRule::PreviousRow,
            honour_deployment_id: Hint::Ignored,
            honour_site_target: Hint::Honoured,
            nothing_to_roll_back: 404,
            null_image: NullImage::Never,
            rollback_trigger: RollbackTrigger::RollbackDeployment,
            patch_ignored: false,
            rollback_sets_auto_deploy: None,
            hook_enabled: false,
            cancel_of_finished: 404,
            exit_codes: Shown::Omitted,
        }
    }
}
