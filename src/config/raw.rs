//! The file as it is written. The comments on the fields are the operator's documentation: they stand in the
//! schema that `rearguard schema` prints.
//!
//! Nothing is required here and ranges are not checked: `validate` does both, so that one mistake does not hide
//! the next. Keys of type [`Unread`] are known only to be refused by name.

mod ask;
mod notify;
mod rule;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use ask::{Expect, ExpectJson, ExpectVersion, Grpc, OfPlatform, Tls};
pub(super) use notify::Channel;
pub(super) use rule::{Condition, FailureRatio, Latency, Regression, Rule};

use super::defaults::{CONCURRENT_RANGE, MAX_ROLLBACKS_RANGE, SAMPLES_RANGE};
use super::leaf::{Count, Flag, List, Number, Span, Text, Unread, Word};
use super::{Absent, PlatformKind};
use crate::decision::policy::{Mode, OnHealthy, OnMigrations, OnUnhealthy, OnWarnings};

/// Configuration of rearguard, which guards deployments: it watches each new one and rolls back those that fail.
/// Durations are written as 30s, 10m or 1h 30m.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping; allowed is a mapping with the keys platforms and apps")]
#[schemars(extend("required" = ["platforms", "apps"]))]
pub(super) struct File {
    /// Address and port of metrics, health, API and dashboard. Default: 127.0.0.1:9797, this machine only.
    pub(super) listen: Option<Text>,
    /// File of the journal, a SQLite database. It is created, and so is its directory, but not the one above that.
    /// Default: /var/lib/rearguard/rearguard.db
    pub(super) state: Option<Text>,
    /// How long incidents and decisions are kept in the journal; at least as long as every app's limits.per.
    /// Default: 90d
    pub(super) retention: Option<Span>,
    /// File with the bearer token for API calls that change something. Without it those calls are refused. A
    /// relative name is looked for in $CREDENTIALS_DIRECTORY first.
    pub(super) admin_token_file: Option<Text>,
    /// The platform accounts the apps run in.
    pub(super) platforms: Option<List<Platform>>,
    /// Places that are up whenever this machine's own network is. A failed sample of an app counts only while
    /// they answer. Default: none
    pub(super) control_probes: Option<List<Control>>,
    /// The apps that are guarded.
    pub(super) apps: Option<List<App>>,
    /// Limits across all apps.
    pub(super) limits: Option<FleetLimits>,
    /// Where people are told of what happens. Default: nowhere but in the log
    pub(super) notify: Option<List<Channel>>,
    /// Where people find this rearguard, for links in what they are told. Default: no links
    pub(super) external_url: Option<Text>,
    /// Times of the week in which no app is rolled back, or no rollback committed, unless a person orders it. Default: none
    pub(super) freeze: Option<List<Freeze>>,
    #[schemars(skip)]
    pub(super) admin_token: Option<Unread>,
}

/// An account on a platform.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a platform; allowed is a mapping with name, kind and token_file")]
#[schemars(extend(
    "required" = ["name", "kind"],
    "oneOf" = [{ "required": ["token_file"] }, { "required": ["token_env"] }]
))]
pub(super) struct Platform {
    /// Name by which apps refer to the account: letters, digits, - and _, at most 63.
    #[schemars(extend("pattern" = super::validate::NAME_PATTERN))]
    pub(super) name: Option<Text>,
    /// What the platform speaks.
    pub(super) kind: Option<Word<PlatformKind>>,
    /// File with the API token, read again when the platform refuses it. A relative name is looked for in
    /// $CREDENTIALS_DIRECTORY first. Either this or token_env.
    pub(super) token_file: Option<Text>,
    /// Environment variable with the API token. Either this or token_file.
    pub(super) token_env: Option<Text>,
    /// Base URL of the API; https, or http on a loopback address. Default: `https://api.digitalocean.com`, or
    /// `https://api.sevalla.com/v3`
    pub(super) api: Option<Text>,
    /// Time between polls of all apps' deployments. Sevalla is asked for each app on its own, at most 200 times a
    /// minute: sixty apps take 20s. Default: 15s
    pub(super) poll: Option<Span>,
    /// Limit of one request. Default: 10s
    pub(super) timeout: Option<Span>,
    /// How long an unanswered write is looked for on the platform before it counts as not applied. Less than 10s, or than
    /// `timeout`, is warned of. Default: 30s
    pub(super) reconcile: Option<Span>,
    /// How often each app's readiness to roll back is asked for in quiet times: to what, whether the platform would
    /// accept it, with which warnings. From 1m to 1d; 0s is never. Default: 10m
    pub(super) readiness: Option<Span>,
    /// How often the platform is asked what each app sent on the last whole day. From 10m to 7d; 0s is never. Default:
    /// 6h, and 0s on sevalla, which has no such figure
    pub(super) bandwidth: Option<Span>,
    /// How often the platform is asked for the account's balance, for which the token needs another scope
    /// (billing:read). From 10m to 7d; 0s is never, and all there is on sevalla. Default: 0s
    pub(super) balance: Option<Span>,
    #[schemars(skip)]
    pub(super) token: Option<Unread>,
}

/// A place that is up whenever this machine's own network is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a control probe; allowed is a mapping with url")]
#[schemars(extend("required" = ["url"]))]
pub(super) struct Control {
    /// An http or https URL that does not depend on the guarded apps.
    pub(super) url: Option<Text>,
    /// Time between samples. Default: 5s
    pub(super) period: Option<Span>,
    /// Limit of one sample. Default: 2s
    pub(super) timeout: Option<Span>,
}

/// An app that is guarded.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "an app; allowed is a mapping with name, platform, id, probes and rules"
)]
#[schemars(extend("required" = ["name", "platform", "id", "probes"]))]
pub(super) struct App {
    /// Name in metrics, incidents and commands: letters, digits, - and _, at most 63.
    #[schemars(extend("pattern" = super::validate::NAME_PATTERN))]
    pub(super) name: Option<Text>,
    /// Name of the platform account it runs in.
    pub(super) platform: Option<Text>,
    /// The platform's id of the app.
    #[schemars(extend("minLength" = 1))]
    pub(super) id: Option<Text>,
    /// How far rearguard may go: observe never writes, approve asks a person first, enforce acts. Default:
    /// observe
    pub(super) mode: Option<Word<Mode>>,
    /// How long after a deployment goes live its rules may roll it back. Default: 30m
    pub(super) watch: Option<Span>,
    /// How long a person is waited for in mode approve, before the incident ends in a hold. From 1m to 1d. Default: 30m
    pub(super) approve_within: Option<Span>,
    /// Try one rolling restart on the first firing of a rule, and wait this long before rolling back. Default: no
    /// restart
    pub(super) restart_first: Option<Span>,
    /// Restart these components alone, by their names in the app's spec (DigitalOcean). Default: all of them
    #[schemars(extend("minItems" = 1))]
    pub(super) restart_components: Option<List<Text>>,
    /// Roll back although the platform picks what it goes back to, and might pick the bad release again when it is
    /// asked twice (git apps on Sevalla). What came back is checked. Default: false, such an app is only watched
    pub(super) accept_platform_choice: Option<Flag>,
    /// What is asked of the app to know how it is.
    #[schemars(extend("minItems" = 1))]
    pub(super) probes: Option<List<Probe>>,
    /// Names of probes of things that the app needs and no release of it changes: a database, another app, the
    /// platform's status page. While one of them is not good, what fails says nothing of a release. Rules on them may
    /// only notify. Default: none
    pub(super) depends_on: Option<List<Text>>,
    /// While at least so many other apps of the same platform account fail as well that have no new release, what fails
    /// says nothing of a release: it may be the platform. 0 for an app that the others need: they are not asked. At most as many
    /// as there are. Default: all
    /// of them, and three at least, once the release has been well for a minute
    pub(super) siblings: Option<Count>,
    /// What counts as a bad release. May be left out only in mode observe.
    pub(super) rules: Option<List<Rule>>,
    /// What a rollback needs to be acceptable.
    pub(super) rollback: Option<Rollback>,
    /// What follows a rollback.
    pub(super) soak: Option<Soak>,
    /// How often rearguard may act on the app.
    pub(super) limits: Option<Limits>,
    /// Freeze windows of this app alone, beside those of all. Default: none
    pub(super) freeze: Option<List<Freeze>>,
}

/// A time of the week in which nothing is rolled back, or nothing committed, unless a person orders it. Written without
/// days it is there every day, or on those that days names; with days before both times once a week.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a freeze window; allowed is a mapping with name, from and to")]
#[schemars(extend("required" = ["name", "from", "to"]))]
pub(super) struct Freeze {
    /// Name in status and incidents: letters, digits, - and _, at most 63.
    #[schemars(extend("pattern" = super::validate::NAME_PATTERN))]
    pub(super) name: Option<Text>,
    /// When it begins: 22:00, or fri 17:00.
    #[schemars(extend("pattern" = FREEZE_PATTERN))]
    pub(super) from: Option<Text>,
    /// When it ends: 06:00 (of the next day if that is not after from), or mon 08:00.
    #[schemars(extend("pattern" = FREEZE_PATTERN))]
    pub(super) to: Option<Text>,
    /// The days on which a window without days in from and to begins: mon, tue, wed, thu, fri, sat, sun. Default: all
    pub(super) days: Option<List<Text>>,
    /// The IANA time zone whose clock shows these times, such as Europe/Berlin. Default: UTC
    pub(super) zone: Option<Text>,
    /// What is not done: rollback (nor restart, nor revert), commit, or both. Default: both
    #[schemars(extend("minItems" = 1))]
    pub(super) blocks: Option<List<Word<Block>>>,
}

/// What the edge of a freeze window looks like.
const FREEZE_PATTERN: &str = r"^((mon|tue|wed|thu|fri|sat|sun)\s+)?([01][0-9]|2[0-4]):[0-5][0-9]$";

/// What a freeze window keeps from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// What changes what runs.
    Rollback,
    /// The end of a soak that is healthy.
    Commit,
}

/// What is asked again and again to know how an app is: a page, a port, its certificates, a gRPC server's
/// health, a Prometheus server, or the app's own platform.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a probe; allowed is a mapping with name and url")]
#[schemars(extend(
    "required" = ["name"],
    "oneOf" = [
        { "required": ["url"] },
        { "required": ["tcp"] },
        { "required": ["tls"] },
        { "required": ["grpc"] },
        { "required": ["prometheus"] },
        { "required": ["platform"], "not": { "required": ["period"] } }
    ]
))]
pub(super) struct Probe {
    /// Name by which rules refer to the probe: letters, digits, - and _, at most 63.
    #[schemars(extend("pattern" = super::validate::NAME_PATTERN))]
    pub(super) name: Option<Text>,
    /// The http or https URL that is asked. Either this, tcp, tls, grpc, prometheus or platform.
    pub(super) url: Option<Text>,
    /// Extra headers of the request to url. Their values are never shown. Default: none
    pub(super) headers: Option<BTreeMap<String, Text>>,
    /// Host and port, such as db.example.com:5432. Good is a port that takes a connection, which is closed at once.
    pub(super) tcp: Option<Text>,
    /// How long the app's certificates are good for.
    pub(super) tls: Option<Tls>,
    /// Whether a gRPC server says that it serves.
    pub(super) grpc: Option<Grpc>,
    /// A figure that a Prometheus server has of the app.
    pub(super) prometheus: Option<Prometheus>,
    /// A figure that the app's own platform has of it. Asked in a watch, an incident and a soak, and never at rest.
    pub(super) platform: Option<OfPlatform>,
    /// Time between samples at rest. Default: 5s, 1m for tls, and 15s for prometheus; not for platform
    pub(super) period: Option<Span>,
    /// Time between samples while a new deployment is under watch. Default: the shorter of period and 2s, and 15s for
    /// tls, prometheus and platform
    pub(super) watch_period: Option<Span>,
    /// Time between samples for a while after a first failed one in a watch. Default: the shorter of
    /// watch_period and 1s, and 15s for tls, prometheus and platform
    pub(super) burst: Option<Span>,
    /// Limit of one sample; a sample that takes longer has failed. Default: 2s, and 10s for platform
    pub(super) timeout: Option<Span>,
    /// Samples this soon after a deployment goes live are set aside. Default: 0s, and max_age for prometheus, since a
    /// figure is of the release before for as long as the query looks back; 1m with errors and requests. For platform as
    /// long as its value may be of the release before: 2m for cpu_percentage and memory_percentage, 0s for restart_count,
    /// else 1m
    pub(super) settle: Option<Span>,
    /// What a good answer of url looks like. Default: any status from 200 to 299
    pub(super) expect: Option<Expect>,
    /// Where an answer of url names the version that gave it: a commit or its first seven digits or more, an image's tag or
    /// digest, or the deployment's id. What another release answered is set aside. Default: every answer counts
    pub(super) expect_version: Option<ExpectVersion>,
}

/// A figure that a Prometheus server has of the app: by an instant query, of which every series has to be within the limits
/// (of a range vector the newest value counts); or what share of requests failed between two scrapes, by two selectors of
/// counters.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a Prometheus query; allowed is a mapping with url, query, and at_least or at_most"
)]
#[schemars(extend(
    "required" = ["url"],
    "oneOf" = [
        { "required": ["query"], "anyOf": [{ "required": ["at_least"] }, { "required": ["at_most"] }] },
        { "required": ["errors", "requests"], "not": { "required": ["at_least"] } }
    ]
))]
pub(super) struct Prometheus {
    /// The server, such as `http://prometheus:9090`, with the path it is served under, if any.
    pub(super) url: Option<Text>,
    /// Extra request headers. Their values are never shown. Default: none
    pub(super) headers: Option<BTreeMap<String, Text>>,
    /// What is asked, in PromQL. What it looks back at should be no longer than settle, else the release before counts.
    /// Rules on it are consecutive_failures and failure_ratio.
    #[schemars(extend("minLength" = 1))]
    pub(super) query: Option<Text>,
    /// Instead of query: which counters are of errors, as a selector without a range, such as
    /// `http_requests_total{app="shop",code=~"5.."}`. Rules on it are regression, and with at_most also
    /// consecutive_failures and failure_ratio. period should be what is between two scrapes, and settle no shorter.
    #[schemars(extend("minLength" = 1))]
    pub(super) errors: Option<Text>,
    /// Which counters are of requests, errors among them, out of the same scrapes.
    #[schemars(extend("minLength" = 1))]
    pub(super) requests: Option<Text>,
    /// With fewer requests between two scrapes than this nobody can tell. Default: 1
    #[schemars(extend("minimum" = 1))]
    pub(super) min_requests: Option<Count>,
    /// The value is good when it is not below this.
    pub(super) at_least: Option<Number>,
    /// The value is good when it is not above this; with errors and requests a share from 0 to below 1, and none is bad
    /// without it.
    pub(super) at_most: Option<Number>,
    /// What it means when there is no series, or no number: unknown, good or bad. Bad is also what a server says that has
    /// just begun anew, or lost its targets. One that does not answer is always unknown. With errors and requests: whether no
    /// series of errors is good, as with an app that had none yet. Default: unknown
    pub(super) absent: Option<Word<Absent>>,
    /// How old the newest value of a series may be, from 5s to 1h; an older one is absent. Functions over a range are as
    /// old as their range. With errors and requests how far back two scrapes are looked for. Default: 5m, or 2m 30s with them
    pub(super) max_age: Option<Span>,
}

/// What a rollback needs to be acceptable.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a rollback policy; allowed is a mapping with warnings and migrations"
)]
pub(super) struct Rollback {
    /// What warnings of the platform's validation do: refuse the rollback, or accept them. Default: refuse
    pub(super) warnings: Option<Word<OnWarnings>>,
    /// What to do when a PRE_DEPLOY or POST_DEPLOY job differs between the two releases: hold until a person
    /// decides, or allow the rollback. Default: hold
    pub(super) migrations: Option<Word<OnMigrations>>,
}

/// What follows a rollback.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a soak; allowed is a mapping with period, min_samples, on_healthy and on_unhealthy"
)]
pub(super) struct Soak {
    /// How long the app is watched after the rollback is live. Default: 10m
    pub(super) period: Option<Span>,
    /// Fresh samples needed of each probe, besides the time, from 1 to 2048. Default: 30
    #[schemars(extend("minimum" = SAMPLES_RANGE.start(), "maximum" = SAMPLES_RANGE.end()))]
    pub(super) min_samples: Option<Count>,
    /// When the app is well: commit the rollback, or hold until a person does. Default: commit
    pub(super) on_healthy: Option<Word<OnHealthy>>,
    /// When the app is still unwell: revert the rollback, since the release was not the cause, or hold until a
    /// person decides. Default: revert
    pub(super) on_unhealthy: Option<Word<OnUnhealthy>>,
}

/// How often rearguard may act on an app.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "limits; allowed is a mapping with cooldown, max_rollbacks and per")]
pub(super) struct Limits {
    /// No new rollback this soon after the last one. Default: 30m
    pub(super) cooldown: Option<Span>,
    /// At most this many rollbacks within the time of per, from 1 to 32. Default: 2
    #[schemars(extend("minimum" = MAX_ROLLBACKS_RANGE.start(), "maximum" = MAX_ROLLBACKS_RANGE.end()))]
    pub(super) max_rollbacks: Option<Count>,
    /// The time max_rollbacks counts in. Default: 24h
    pub(super) per: Option<Span>,
}

/// Limits across all apps.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "limits; allowed is a mapping with concurrent_rollbacks")]
pub(super) struct FleetLimits {
    /// Storm breaker: when more apps than this want a rollback within a minute, none is started; from 1 to
    /// 10000. Default: 3
    #[schemars(extend("minimum" = CONCURRENT_RANGE.start(), "maximum" = CONCURRENT_RANGE.end()))]
    pub(super) concurrent_rollbacks: Option<Count>,
}
