//! The operator's configuration: parsed, checked whole, and turned into types that cannot be wrong.
//!
//! `raw` mirrors the file, `mirror` fills it, `position` knows where everything stands, `validate` turns the
//! mirror into [`Config`], `problem` collects what is wrong on the way. [`secret`] reads tokens, [`reload`]
//! notices a changed file, `summary` says what was understood.

pub(crate) mod defaults;
mod figure;
pub mod freeze;
mod leaf;
mod load;
mod mirror;
pub mod notify;
mod pace;
mod position;
mod problem;
mod raw;
pub mod reload;
mod schema;
pub mod secret;
pub(crate) mod span;
mod suggest;
mod summary;
mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use crate::decision::policy::Policy;
use crate::decision::sample::{Failure, SampleResult};
use crate::detection::counters::Step;
use crate::ids::{AppName, PlatformAppId, PlatformName, ProbeName};

pub use figure::{Figure, PlatformAsk};
pub use freeze::FreezeWindow;
#[cfg(any(test, fuzzing))]
pub(crate) use load::both_ways;
pub use load::{load, parse, read};
pub use position::Position;
pub use problem::{Problem, Problems};
pub use schema::schema;
pub use summary::{summary, warnings};
pub(crate) use validate::is_loopback;

/// A configuration in which everything refers to something that exists and every value is possible.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where metrics, API and health are served.
    pub listen: SocketAddr,
    /// The journal's file.
    pub state: PathBuf,
    /// How long incidents and decisions are kept.
    pub retention: Duration,
    /// File with the bearer token for calls that change something.
    pub admin_token_file: Option<TokenSource>,
    /// Platform accounts.
    pub platforms: Vec<PlatformConfig>,
    /// Places that are up whenever our own network is.
    pub control_probes: Vec<ControlProbe>,
    /// The guarded apps.
    pub apps: Vec<AppConfig>,
    /// More apps than this wanting a rollback within a minute is a storm.
    pub concurrent_rollbacks: usize,
    /// Where people are told.
    pub notify: Vec<notify::ChannelConfig>,
    /// Where people find this rearguard.
    pub external_url: Option<Url>,
}

/// An account on a platform.
#[derive(Clone, Debug, PartialEq)]
pub struct PlatformConfig {
    /// Its name.
    pub name: PlatformName,
    /// What it speaks.
    pub kind: PlatformKind,
    /// Where its token is found.
    pub token: TokenSource,
    /// Base URL of its API, without a trailing slash.
    pub api: Url,
    /// Time between polls at rest.
    pub poll: Duration,
    /// Limit of one request.
    pub timeout: Duration,
    /// How long an unanswered write is looked for.
    pub reconcile: Duration,
    /// How often each app's readiness to roll back is asked for in quiet times; never when zero.
    pub readiness: Duration,
    /// How often the apps' daily bandwidth is asked for; never when zero.
    pub bandwidth: Duration,
    /// How often the account's balance is asked for; never when zero.
    pub balance: Duration,
}

/// What a platform speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PlatformKind {
    /// DigitalOcean App Platform.
    #[value(name = "digitalocean")]
    DigitalOcean,
    /// Sevalla.
    Sevalla,
}

/// Where a token is found. The token itself never stands in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// A file, read again when the platform refuses the token.
    File(PathBuf),
    /// A file with a relative name, which may stand in several places.
    Named {
        /// As it is written.
        name: PathBuf,
        /// The folder of the configuration that names it.
        folder: PathBuf,
    },
    /// An environment variable.
    Env(String),
}

/// A place that is up whenever our own network is.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlProbe {
    /// Where.
    pub url: Url,
    /// Time between samples.
    pub period: Duration,
    /// Limit of one sample.
    pub timeout: Duration,
}

/// A guarded app.
#[derive(Clone, Debug, PartialEq)]
pub struct AppConfig {
    /// Its name.
    pub name: AppName,
    /// The account it runs in.
    pub platform: PlatformName,
    /// Its id there.
    pub id: PlatformAppId,
    /// How it is probed, in the order of the policy's probes.
    pub probes: Vec<ProbeConfig>,
    /// Which of the probes ask what the app needs and no release of it changes.
    pub depends_on: BTreeSet<usize>,
    /// While so many other apps of the account fail as well that have no new release, none is accused; with 0 they are never
    /// asked. Without a number it takes all of them, and a release that was well for a while.
    pub siblings: Option<u32>,
    /// Which of its components are restarted before a rollback; all of them where none is named.
    pub restart_components: Vec<String>,
    /// When nothing is rolled back or committed unless a person orders it: its own windows, and those of all apps.
    pub freeze: Vec<FreezeWindow>,
    /// What the core decides by.
    pub policy: Policy,
}

impl AppConfig {
    /// Whether what the probe at `place` is told comes from the release that is live.
    pub fn is_of_the_release(&self, place: usize) -> bool {
        let asks_it = |probe: &ProbeConfig| probe.ask.is_answered_by_the_release();
        !self.depends_on.contains(&place) && self.probes.get(place).is_some_and(asks_it)
    }

    /// Whether it is something that the app needs which is asked like this.
    pub fn needs(&self, ask: &Ask) -> bool {
        self.depends_on.iter().any(|place| self.probes.get(*place).is_some_and(|need| need.ask == *ask))
    }
}

/// A probe.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeConfig {
    /// Its name.
    pub name: ProbeName,
    /// What is asked, and what is a good answer.
    pub ask: Ask,
    /// Time between samples at rest.
    pub period: Duration,
    /// Time between samples while a release is under watch.
    pub watch_period: Duration,
    /// Time between samples for a while after a first failed one in a watch.
    pub burst: Duration,
    /// Limit of one sample.
    pub timeout: Duration,
    /// Samples this soon after going live are set aside.
    pub settle: Duration,
    /// How many samples its rules and the soak need at hand.
    pub window: usize,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// A page of the app.
    Http(HttpAsk),
    /// Whether a port takes connections.
    Tcp(TcpAsk),
    /// How long certificates are good for.
    Tls(TlsAsk),
    /// Whether a gRPC server serves.
    Grpc(GrpcAsk),
    /// What a Prometheus server measures of the app.
    Prometheus(PrometheusAsk),
    /// What the app counts, as a Prometheus server has it.
    Counters(CountersAsk),
    /// What the app's own platform measures of it.
    Platform(PlatformAsk),
}

impl Ask {
    /// Whether the app itself answers. What somebody else says of it is not its latency, does not keep it awake, and
    /// vouches for nobody's way to it.
    pub fn is_answered_by_the_app(&self) -> bool {
        match self {
            Self::Http(_) | Self::Tcp(_) | Self::Tls(_) | Self::Grpc(_) => true,
            Self::Prometheus(_) | Self::Counters(_) | Self::Platform(_) => false,
        }
    }

    /// Whether it is asked while no release is judged. A platform's figures cost requests of the account, which thousands
    /// of apps at rest would use up.
    pub fn is_asked_at_rest(&self) -> bool {
        !matches!(self, Self::Platform(_))
    }

    /// Whether it is the release that is live that answers. Certificates are as good as they were when it came, whatever
    /// it does, and whoever presents them is awake while the app sleeps.
    pub fn is_answered_by_the_release(&self) -> bool {
        match self {
            Self::Http(_) | Self::Tcp(_) | Self::Grpc(_) => true,
            Self::Tls(_) | Self::Prometheus(_) | Self::Counters(_) | Self::Platform(_) => false,
        }
    }

    /// Whether it shows how many of the release's requests fail, its own or those of its users.
    pub fn shows_failing_requests(&self) -> bool {
        self.is_answered_by_the_release() || matches!(self, Self::Counters(_))
    }

    /// What is asked as people may read it: without user information and query, which may be secrets.
    pub fn shown(&self) -> String {
        match self {
            Self::Http(ask) => without_secrets(&ask.url),
            Self::Tcp(ask) => format!("tcp://{}:{}", ask.host, ask.port),
            Self::Tls(ask) => format!("tls://{}:{}", ask.host, ask.port),
            Self::Grpc(ask) => without_secrets(&ask.url),
            Self::Prometheus(ask) => without_secrets(&ask.url),
            Self::Counters(ask) => without_secrets(&ask.url),
            Self::Platform(PlatformAsk { figure, component: None, .. }) => {
                format!("platform:{}", figure.word())
            }
            Self::Platform(PlatformAsk { figure, component: Some(name), .. }) => {
                format!("platform:{} of {name}", figure.word())
            }
        }
    }
}

fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    // Neither can fail for an http URL, which the configuration makes sure of.
    let _ = (url.set_username(""), url.set_password(None));
    url.to_string()
}

/// A GET request.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpAsk {
    /// What is asked.
    pub url: Url,
    /// Extra request headers. Values may be secrets and are never shown.
    pub headers: BTreeMap<String, Header>,
    /// What a good answer looks like.
    pub expect: Expect,
}

/// A connection, which is closed again without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpAsk {
    /// Whom.
    pub host: Host,
    /// Where.
    pub port: u16,
}

/// A TLS session, which is closed again without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsAsk {
    /// Whom.
    pub host: Host,
    /// Where.
    pub port: u16,
    /// How long the certificates have to be good for.
    pub at_least: Duration,
    /// The name they have to be for; the host where there is none.
    pub server_name: Option<Host>,
}

/// A question for the health of a gRPC server.
#[derive(Clone, Debug, PartialEq)]
pub struct GrpcAsk {
    /// Whom, without a path.
    pub url: Url,
    /// Whose health; that of the whole server where there is none.
    pub service: Option<String>,
    /// Extra metadata. Values may be secrets and are never shown.
    pub headers: BTreeMap<String, Header>,
}

/// An instant query.
#[derive(Clone, Debug, PartialEq)]
pub struct PrometheusAsk {
    /// The server, without `/api/v1`. May have a user and a password in it.
    pub url: Url,
    /// Extra request headers. Values may be secrets and are never shown.
    pub headers: BTreeMap<String, Header>,
    /// What is asked, in PromQL.
    pub query: String,
    /// Values that are good.
    pub limits: Limits,
    /// What it means when there is no value.
    pub absent: Absent,
    /// How old the newest value may be.
    pub max_age: Duration,
}

/// Two sets of counters, and what share the ones are of the others between two scrapes.
#[derive(Clone, Debug, PartialEq)]
pub struct CountersAsk {
    /// The server, without `/api/v1`. May have a user and a password in it.
    pub url: Url,
    /// Extra request headers. Values may be secrets and are never shown.
    pub headers: BTreeMap<String, Header>,
    /// Which counters are of errors, as a selector of PromQL.
    pub errors: String,
    /// Which are of requests.
    pub requests: String,
    /// The largest share that is good, where any is bad.
    pub at_most: Option<f64>,
    /// With fewer requests between two scrapes than this nobody can tell.
    pub min_requests: u32,
    /// No series of errors are no errors.
    pub none_is_good: bool,
    /// How far back two scrapes are looked for.
    pub max_age: Duration,
}

impl CountersAsk {
    /// What a share of failed requests is.
    pub fn judged(&self, share: f64) -> SampleResult {
        let step = Step::of(share);
        match self.at_most {
            Some(most) if share > most => SampleResult::Bad(Failure::Share(step)),
            _ => SampleResult::Share(step),
        }
    }
}

/// Between which numbers a value is good. At least one of the two is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Not below this.
    pub at_least: Option<f64>,
    /// Not above this.
    pub at_most: Option<f64>,
}

impl Limits {
    /// Whether a value is good. What is not a number is not.
    pub fn hold(&self, value: f64) -> bool {
        !value.is_nan()
            && self.at_least.is_none_or(|least| value >= least)
            && self.at_most.is_none_or(|most| value <= most)
    }
}

/// What it means when there is no value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absent {
    /// Nobody can tell.
    #[default]
    Unknown,
    /// Nothing went wrong, as with errors that are counted from the first one on.
    Good,
    /// The app does not even say how it is.
    Bad,
}

/// A header's value, which Debug does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Header(pub String);

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

/// What a good answer looks like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expect {
    /// These statuses; any 2xx when empty.
    pub status: Vec<u16>,
    /// The body contains this, within its first 64 KiB.
    pub body_contains: Option<String>,
    /// The body is JSON with this value at this place.
    pub json: Option<ExpectJson>,
    /// Where it says which version has answered: another release's answer says nothing.
    pub version: Option<VersionAt>,
}

/// Where an answer names the version that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionAt {
    /// In this header, in lower case.
    Header(String),
    /// At this RFC 6901 pointer of a JSON body.
    Json(String),
}

/// A JSON value that has to be there.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectJson {
    /// RFC 6901 pointer, `/status`.
    pub pointer: String,
    /// What has to stand there.
    pub value: ExpectValue,
}

/// A value that has to stand somewhere.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpectValue {
    /// This one.
    Equals(serde_json::Value),
    /// A number within limits.
    Within(Limits),
}
