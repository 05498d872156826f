//! What the operator asked for, in the form the core decides by: one [`Policy`] an app.
//!
//! Built only by the configuration's validation, so it cannot be wrong, and stored in the journal with each
//! decision made under it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::capability::{Capabilities, Targeting};
use crate::ids::{AppName, ProbeName, RuleName};

/// Everything `decide` knows about one app's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The app's name.
    pub app: AppName,
    /// How far rearguard may go.
    pub mode: Mode,
    /// How long after a deployment goes live its rules may roll it back.
    pub watch: Duration,
    /// The probes, in the order of [`super::observation::Observation::windows`].
    pub probes: Vec<ProbePolicy>,
    /// The rules.
    pub rules: Vec<Rule>,
    /// What a rollback needs to be acceptable.
    pub rollback: RollbackPolicy,
    /// What follows a rollback.
    pub soak: SoakPolicy,
    /// How often rearguard may act.
    pub limits: Limits,
    /// How long an unanswered write is looked for before it counts as not applied (a platform setting).
    pub reconcile: Duration,
    /// A restart is tried before a rollback, and the app looked at again after this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_first: Option<Duration>,
    /// How long a person is waited for.
    #[serde(default = "half_an_hour")]
    pub approve_within: Duration,
    /// Roll back although the platform picks the target, and may pick another one when it is asked again.
    #[serde(default)]
    pub accept_platform_choice: bool,
}

/// What was waited for a person before that could be chosen.
fn half_an_hour() -> Duration {
    Duration::from_secs(30 * 60)
}

impl Policy {
    /// How far rearguard may go where this rule is Bad: as far as both the app's mode and the rule's action allow.
    pub fn mode_for(&self, rule: &RuleName) -> Mode {
        let rule = self.rules.iter().find(|known| known.name == *rule);
        rule.map_or(self.mode, |rule| self.mode.min(rule.action.mode()))
    }

    /// The rules that say how an app is, with what `readings` has of them. One that only tells speaks for nobody: it leads
    /// neither toward a rollback nor away from one.
    pub fn judging<'a, R>(&'a self, readings: &'a [R]) -> impl Iterator<Item = (&'a Rule, &'a R)> {
        self.rules.iter().zip(readings).filter(|(rule, _)| rule.action != Action::Notify)
    }

    /// Whether the rule can be judged at rest: each probe that it names is asked then.
    pub fn is_judged_at_rest(&self, rule: &Rule) -> bool {
        let is_asked = |test: &Test| self.probes.get(test.probe).is_none_or(|probe| probe.asked.is_always());
        rule.tests.iter().all(is_asked)
    }

    /// Whether anything can say that a release is good. Without a rule at all its age has to do, for an app that is only
    /// observed; rules that only tell are none that say so.
    pub fn has_judging(&self) -> bool {
        self.rules.is_empty() || self.judging(&self.rules).next().is_some()
    }

    /// Whether a rollback may be asked for where a platform can do that much. One that picks the target by itself, and
    /// picks another one when it is asked again, needs the operator's word for it.
    pub fn arms(&self, capabilities: Capabilities) -> bool {
        capabilities.targeting != Targeting::PlatformPicks
            || capabilities.resend_is_safe
            || self.accept_platform_choice
    }
}

/// How far rearguard may go for an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Reads only; records what it would have done.
    Observe,
    /// Asks a person before the first write of an incident.
    Approve,
    /// Acts by itself.
    Enforce,
}

/// What the core needs to know of a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbePolicy {
    /// The probe's name.
    pub name: ProbeName,
    /// Time between samples at rest: the longest a healthy probe is ever silent, besides its timeout.
    pub period: Duration,
    /// Time between samples while a release is under watch or an incident is open, at the most.
    pub watch_period: Duration,
    /// The longest one sample may take.
    pub timeout: Duration,
    /// Samples this soon after a deployment goes live are set aside.
    pub settle: Duration,
    /// How much older than when it was asked what it says may be.
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    pub lag: Duration,
    /// When it is asked.
    #[serde(default, skip_serializing_if = "Asked::is_always")]
    pub asked: Asked,
}

/// When a probe is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// At rest as well.
    #[default]
    Always,
    /// Only in a watch, an incident or a soak: at rest nothing is known of it.
    WhileJudging,
}

impl Asked {
    fn is_always(&self) -> bool {
        *self == Self::Always
    }
}

/// When a release is bad: so many of some tests are Bad, mostly one of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The rule's name.
    pub name: RuleName,
    /// What is tested; at least one, and no more than one [`Condition::Regression`] among them.
    pub tests: Vec<Test>,
    /// How many of them have to be Bad.
    pub needed: usize,
    /// What is done then.
    pub action: Action,
}

impl Rule {
    /// A rule with one test, which asks for a rollback.
    pub fn of(name: &str, probe: usize, condition: Condition) -> Self {
        let tests = vec![Test { probe, condition }];
        Self { name: name.into(), tests, needed: 1, action: Action::Rollback }
    }

    /// Its test against the release before, if it has one, and the position of that test's probe.
    pub fn regression(&self) -> Option<(&Regression, usize)> {
        self.tests.iter().find_map(|test| match &test.condition {
            Condition::Regression(regression) => Some((regression, test.probe)),
            _ => None,
        })
    }
}

/// One condition on one probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// Position of its probe in [`Policy::probes`].
    pub probe: usize,
    /// What makes it Bad.
    pub condition: Condition,
}

/// What is done when a rule is Bad, as far as the app's mode allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is told, once a release, and nothing else.
    Notify,
    /// A person is asked.
    Approve,
    /// The release is rolled back.
    #[default]
    Rollback,
}

impl Action {
    fn mode(self) -> Mode {
        match self {
            Self::Notify => Mode::Observe,
            Self::Approve => Mode::Approve,
            Self::Rollback => Mode::Enforce,
        }
    }
}

/// What makes a rule Bad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// This many failed samples in a row.
    ConsecutiveFailures {
        /// At least 1.
        count: u32,
    },
    /// More than this share of the samples in a window failed.
    FailureRatio {
        /// Share between 0 and 1; Bad when exceeded.
        above: f64,
        /// The window's length.
        over: Duration,
        /// Fewer samples than this in the window are Unknown.
        min_samples: u32,
    },
    /// A quantile of the latency of the good samples in a window is too high.
    Latency {
        /// Between 0 and 1.
        quantile: f64,
        /// Bad when the quantile exceeds this.
        above: Duration,
        /// The window's length.
        over: Duration,
        /// Fewer samples than this in the window are Unknown.
        min_samples: u32,
    },
    /// It is provably worse than the release before.
    Regression(Regression),
}

impl Condition {
    /// It is about how long answers take, and not about whether they fail.
    pub fn is_about_time(&self) -> bool {
        match self {
            Self::Latency { .. } => true,
            Self::Regression(regression) => regression.of == Signal::Latency,
            Self::ConsecutiveFailures { .. } | Self::FailureRatio { .. } => false,
        }
    }
}

/// When a release counts as provably worse than the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    /// What of the probe is compared.
    #[serde(default)]
    pub of: Signal,
    /// How likely it may be, for each release, that it is accused although it is not worse. Between 0 and 1.
    pub probability: f64,
    /// How much worse it may be before anybody minds: by how much the share of failures may be larger, or by what part
    /// of what was usual a latency.
    pub worse_by: f64,
    /// How long trouble lasts that is nobody's fault, where the release before did not show more of it.
    pub glitch: Duration,
    /// Fewer failures, or slow stretches of time, than this accuse nobody.
    pub min_failures: u32,
}

/// What of a probe is held against what it was in the release before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// How often it fails.
    #[default]
    Failures,
    /// How long good answers take.
    Latency,
    /// What share of its requests the app itself counts as errors.
    Shares,
}

impl Signal {
    /// Its part of the probability beside signals of other kinds: more for what wanders less by itself.
    pub fn weight(self) -> f64 {
        match self {
            Self::Failures => 5.0,
            Self::Latency => 2.0,
            Self::Shares => 3.0,
        }
    }
}

/// What a rollback needs to be acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackPolicy {
    /// What the platform's warnings do.
    pub warnings: OnWarnings,
    /// What a changed migration job does.
    pub migrations: OnMigrations,
}

/// What warnings of the platform's validation do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnWarnings {
    /// A warned target is not used.
    Refuse,
    /// Warnings are recorded and accepted.
    Accept,
}

/// What a PRE_DEPLOY or POST_DEPLOY job that differs between accused and target does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMigrations {
    /// Hold: old code on a new schema may be worse than the bad release.
    Hold,
    /// Roll back all the same.
    Allow,
}

/// What follows a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoakPolicy {
    /// How long the rolled-back app is watched.
    pub period: Duration,
    /// Fresh samples needed of each probe, besides the time.
    pub min_samples: u32,
    /// What a healthy soak leads to.
    pub on_healthy: OnHealthy,
    /// What an unhealthy soak leads to.
    pub on_unhealthy: OnUnhealthy,
}

/// What a healthy soak leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnHealthy {
    /// Accept the rollback and unpin.
    Commit,
    /// Keep the pin until a person acts.
    Hold,
}

/// What an unhealthy soak leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnhealthy {
    /// Undo the rollback: it did not help, so the release was not the cause.
    Revert,
    /// Keep the pin until a person acts.
    Hold,
}

/// How often rearguard may act on an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// No new rollback this soon after the last one.
    pub cooldown: Duration,
    /// At most this many rollbacks ...
    pub max_rollbacks: u32,
    /// ... within this time.
    pub per: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::scenarios::policy;

    #[test]
    fn what_was_waited_for_a_person_before_that_could_be_chosen_is_half_an_hour() {
        let mut written = serde_json::to_value(policy()).unwrap();
        written.as_object_mut().unwrap().remove("approve_within");
        let old: Policy = serde_json::from_value(written).unwrap();
        assert_eq!(old.approve_within, Duration::from_secs(1_800));
    }

    #[test]
    fn a_condition_is_about_time_or_about_failures() {
        let over = Duration::from_secs(60);
        let regression = |of| {
            let glitch = Duration::from_secs(5);
            Condition::Regression(Regression {
                of,
                probability: 0.001,
                worse_by: 0.1,
                glitch,
                min_failures: 3,
            })
        };
        for (condition, is_about_time) in [
            (Condition::ConsecutiveFailures { count: 3 }, false),
            (Condition::FailureRatio { above: 0.1, over, min_samples: 1 }, false),
            (Condition::Latency { quantile: 0.9, above: over, over, min_samples: 1 }, true),
            (regression(Signal::Failures), false),
            (regression(Signal::Latency), true),
            (regression(Signal::Shares), false),
        ] {
            assert_eq!(condition.is_about_time(), is_about_time, "{condition:?}");
        }
    }
}
