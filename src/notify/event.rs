//! What is told: the documented event behind every channel, in version 1.
//!
//! A webhook gets it as JSON, a template as its variables. Keys are only ever added; what has another meaning one day has
//! another `schema`. What does not apply is null, and every key is always there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::decision::effect::Reason;
use crate::decision::state::Outcome;
use crate::ids::{AppName, Caller, DeploymentId, IncidentId, PlatformName, RuleName};

/// The version of [`Event`] as it is written here.
pub const SCHEMA: u32 = 1;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal),* $(,)?) => {
        /// What happened. A closed list, which grows only here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $word)] $name),*
        }

        impl Kind {
            /// Every kind with its word.
            pub const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$name)),*];

            /// The fixed word.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

kinds! {
    /// A rule fired on a new deployment: the incident begins.
    Fired = "fired",
    /// A person gave their word: they approved, rejected, or ordered a rollback, a commit or a revert.
    Asked = "asked",
    /// A person is asked whether to roll back.
    ApprovalNeeded = "approval_needed",
    /// The rollback is asked of the platform.
    RollbackRequested = "rollback_requested",
    /// The platform has made the rollback deployment.
    RollbackCreated = "rollback_created",
    /// The rollback deployment is live, and its soak begins.
    RollbackLive = "rollback_live",
    /// The first good verdict after the rollback.
    Restored = "restored",
    /// The platform went back to something else than was wanted.
    WrongTarget = "wrong_target",
    /// The incident is over, and automation is off for the app until a person acts.
    Held = "held",
    /// The incident is over.
    Closed = "closed",
    /// A rule that only tells is bad on a new deployment.
    Noticed = "noticed",
    /// A deployment failed before it went live.
    DeploymentFailed = "deployment_failed",
    /// More apps than allowed want a rollback at once: nothing is begun until a person resumes.
    Storm = "storm",
    /// The platform has no such app any more.
    AppGone = "app_gone",
    /// Pushes are paused, by somebody or by a request of rearguard's that was lost: nobody but a person ends that.
    PushesPaused = "pushes_paused",
}

/// One thing that happened, for people and programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Tells this event from every other: the same again is the same event, delivered twice.
    pub key: String,
    /// What happened.
    pub kind: Kind,
    /// When, on the wall clock, in UTC.
    pub at: Timestamp,
    /// The app's name in the configuration; null for what concerns all of them.
    pub app: Option<AppName>,
    /// The name of its platform account.
    pub platform: Option<PlatformName>,
    /// `observe`, `approve` or `enforce`.
    pub mode: Option<String>,
    /// The incident that it belongs to, as it is after this.
    pub incident: Option<Case>,
    /// The deployment that it is about: the accused one in an incident.
    pub deployment: Option<Named>,
    /// What was measured when the rule fired.
    pub evidence: Option<Evidence>,
    /// A headline in one line.
    pub text: String,
    /// What happens next, or what a person can type.
    pub next: Option<String>,
    /// Where to read more, by name; empty without an `external_url`.
    pub links: BTreeMap<String, String>,
}

/// An incident in an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Case {
    /// Its id.
    pub id: IncidentId,
    /// The stage, `closed` at the end.
    pub state: String,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it is as it is.
    pub reason: Reason,
    /// The rule that fired; none where a person asked.
    pub rule: Option<RuleName>,
    /// Who asked, where no rule fired.
    #[serde(default)]
    pub asked_by: Option<Caller>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// While it awaits approval: until when. Without an answer it is held then.
    #[serde(default)]
    pub approve_by: Option<Timestamp>,
    /// The accused deployment.
    pub bad_deployment: Named,
    /// The deployment gone back to.
    pub target_deployment: Option<Named>,
    /// The deployment that does it.
    pub rollback_deployment: Option<Named>,
    /// From the first failing sample to the decision.
    pub time_to_detect_seconds: Option<f64>,
    /// From the first failing sample to the first good verdict after the rollback.
    pub time_to_restore_seconds: Option<f64>,
}

/// A deployment and the platform's words for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Named {
    /// Its id.
    pub id: DeploymentId,
    /// A commit's message, or what else the platform says of it; null where that is nothing.
    pub title: Option<String>,
}

/// What a rule measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The rule.
    pub rule: RuleName,
    /// What was measured, in the rule's unit.
    pub value: Option<f64>,
    /// What it is held to.
    pub threshold: Option<f64>,
    /// How many samples that rests on.
    pub samples: Option<u32>,
    /// The same in words.
    pub words: String,
}

/// The JSON Schema of an event as it is sent, made from the type itself. Keys are only added, so more of them are allowed.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Event>().to_value();
    schema["title"] = json!("what rearguard tells");
    schema["properties"]["schema"]["const"] = json!(SCHEMA);
    schema
}

impl Event {
    /// An event as it may be, for trying a template out.
    pub fn sample(kind: Kind) -> Self {
        let at = Timestamp::UNIX_EPOCH;
        let named = |id: &str, title: &str| Named { id: id.into(), title: Some(title.to_owned()) };
        let is_over = matches!(kind, Kind::Held | Kind::Closed);
        let is_of_an_incident = !matches!(kind, Kind::Noticed | Kind::DeploymentFailed | Kind::Storm);
        let case = Case {
            id: "shop-1a2b3c4d".into(),
            state: if is_over { "closed" } else { "rolling_back" }.to_owned(),
            outcome: is_over.then_some(Outcome::Held),
            reason: Reason::RuleFired,
            rule: Some("down".into()),
            asked_by: None,
            opened_at: at,
            closed_at: is_over.then_some(at),
            approve_by: (kind == Kind::ApprovalNeeded).then_some(at),
            bad_deployment: named("d2", "commit 2"),
            target_deployment: (kind != Kind::Fired).then(|| named("d1", "commit 1")),
            rollback_deployment: is_over.then(|| named("d3", "commit 1")),
            time_to_detect_seconds: Some(4.5),
            time_to_restore_seconds: None,
        };
        let of_an_app = kind != Kind::Storm;
        let evidence = Evidence {
            rule: "down".into(),
            value: Some(3.0),
            threshold: Some(3.0),
            samples: Some(3),
            words: "3 failures in a row, limit 3".to_owned(),
        };
        Self {
            schema: SCHEMA,
            key: format!("shop-1a2b3c4d:0:{}", kind.word()),
            kind,
            at,
            app: of_an_app.then(|| "shop".into()),
            platform: of_an_app.then(|| "ocean".into()),
            mode: of_an_app.then(|| "enforce".to_owned()),
            incident: is_of_an_incident.then_some(case),
            deployment: of_an_app.then(|| named("d2", "commit 2")),
            evidence: (is_of_an_incident || kind == Kind::Noticed).then_some(evidence),
            text: "shop on ocean: rule down fired".to_owned(),
            next: None,
            links: BTreeMap::new(),
        }
    }
}
