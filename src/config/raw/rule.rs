//! What counts as a bad release, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::defaults::{CONSECUTIVE_RANGE, SAMPLES_RANGE};
use crate::config::leaf::{Count, List, Share, Span, Text, Word};
use crate::decision::policy::{Action, Signal};

/// A rule: when a release counts as bad, by one condition on one probe or by several of them, and what is done then.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a rule; allowed is a mapping with name, probe and one condition")]
#[schemars(extend(
    "required" = ["name"],
    "oneOf" = [
        { "required": ["probe", "consecutive_failures"] },
        { "required": ["probe", "failure_ratio"] },
        { "required": ["probe", "latency"] },
        { "required": ["probe", "regression"] },
        { "required": ["all"], "not": { "required": ["probe"] } },
        { "required": ["any"], "not": { "required": ["probe"] } },
        { "required": ["at_least", "of"], "not": { "required": ["probe"] } }
    ]
))]
pub(in crate::config) struct Rule {
    /// Name in incidents and metrics: letters, digits, - and _, at most 63.
    #[schemars(extend("pattern" = crate::config::validate::NAME_PATTERN))]
    pub(in crate::config) name: Option<Text>,
    /// What is done when it is bad, as far as the app's mode allows: rollback; approve, a person is asked; notify, it is
    /// told once a release and nothing else, nor does the rule count in a soak. Default: rollback
    pub(in crate::config) action: Option<Word<Action>>,
    /// Bad when all of these conditions are. Each is a mapping with probe and one condition, as a rule itself.
    #[schemars(extend("minItems" = 2))]
    pub(in crate::config) all: Option<List<Condition>>,
    /// Bad when any of these conditions is.
    #[schemars(extend("minItems" = 2))]
    pub(in crate::config) any: Option<List<Condition>>,
    /// Bad when at least so many of the conditions under of are.
    #[schemars(extend("minimum" = 1))]
    pub(in crate::config) at_least: Option<Count>,
    /// The conditions that at_least counts.
    #[schemars(extend("minItems" = 2))]
    pub(in crate::config) of: Option<List<Condition>>,
    /// Name of the probe, one of the same app.
    pub(in crate::config) probe: Option<Text>,
    /// Condition: this many failed samples in a row, from 1 to 1000.
    #[schemars(extend("minimum" = CONSECUTIVE_RANGE.start(), "maximum" = CONSECUTIVE_RANGE.end()))]
    pub(in crate::config) consecutive_failures: Option<Count>,
    /// Condition: too large a share of the samples in a window failed.
    pub(in crate::config) failure_ratio: Option<FailureRatio>,
    /// Condition: good answers take too long.
    pub(in crate::config) latency: Option<Latency>,
    /// Condition: it is provably worse than the release before.
    pub(in crate::config) regression: Option<Regression>,
}

impl Rule {
    /// The one condition that stands in the rule itself.
    pub(in crate::config) fn own(&self) -> Condition {
        Condition {
            probe: self.probe.clone(),
            consecutive_failures: self.consecutive_failures,
            failure_ratio: self.failure_ratio.clone(),
            latency: self.latency.clone(),
            regression: self.regression.clone(),
        }
    }
}

/// One of the conditions of a rule that has several: a probe and what is bad of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a condition; allowed is a mapping with probe and one condition")]
#[schemars(extend(
    "required" = ["probe"],
    "oneOf" = [
        { "required": ["consecutive_failures"] },
        { "required": ["failure_ratio"] },
        { "required": ["latency"] },
        { "required": ["regression"] }
    ]
))]
pub(in crate::config) struct Condition {
    /// Name of the probe, one of the same app.
    pub(in crate::config) probe: Option<Text>,
    /// This many failed samples in a row, from 1 to 1000.
    #[schemars(extend("minimum" = CONSECUTIVE_RANGE.start(), "maximum" = CONSECUTIVE_RANGE.end()))]
    pub(in crate::config) consecutive_failures: Option<Count>,
    /// Too large a share of the samples in a window failed.
    pub(in crate::config) failure_ratio: Option<FailureRatio>,
    /// Good answers take too long.
    pub(in crate::config) latency: Option<Latency>,
    /// It is provably worse than the release before. One of these a rule.
    pub(in crate::config) regression: Option<Regression>,
}

/// Too large a share of the samples in a window failed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a failure ratio; allowed is a mapping with above, over and min_samples"
)]
#[schemars(extend("required" = ["above"]))]
pub(in crate::config) struct FailureRatio {
    /// The share that has to be exceeded, from 0 to below 1.
    #[schemars(extend("exclusiveMaximum" = 1))]
    pub(in crate::config) above: Option<Share>,
    /// The window, not longer than the app's watch. Default: the shorter of watch and 2m
    pub(in crate::config) over: Option<Span>,
    /// With fewer samples than this in the window nothing is concluded, from 1 to 2048. Default: 20
    #[schemars(extend("minimum" = SAMPLES_RANGE.start(), "maximum" = SAMPLES_RANGE.end()))]
    pub(in crate::config) min_samples: Option<Count>,
}

/// Good answers take too long.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a latency condition; allowed is a mapping with quantile, above, over and min_samples"
)]
#[schemars(extend("required" = ["quantile", "above"]))]
pub(in crate::config) struct Latency {
    /// Which of the answers' latencies, ordered by length, above 0 and below 1: 0.5 is the median, 0.95 all but the slowest 5 %.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub(in crate::config) quantile: Option<Share>,
    /// The latency that has to be exceeded, shorter than the probe's timeout.
    pub(in crate::config) above: Option<Span>,
    /// The window, not longer than the app's watch. Default: the shorter of watch and 2m
    pub(in crate::config) over: Option<Span>,
    /// With fewer good samples than this in the window nothing is concluded, from 1 to 2048. Default: 20
    #[schemars(extend("minimum" = SAMPLES_RANGE.start(), "maximum" = SAMPLES_RANGE.end()))]
    pub(in crate::config) min_samples: Option<Count>,
}

/// It is provably worse than the release before: samples of the two are compared, however often they are looked at, with a
/// known probability of being wrong.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a regression; allowed is a mapping with of, false_rollback_probability, worse_by, glitch and min_failures"
)]
pub(in crate::config) struct Regression {
    /// What is compared: failures, how often samples fail; or latency, how long good answers take, by the medians of half
    /// minutes, or of five periods where those are longer. Of latency the first 30s of a release are left out. Of a
    /// probe with errors and requests it is always the share of errors. Default: failures
    pub(in crate::config) of: Option<Word<Signal>>,
    /// How likely it may be, for each release, that it is accused although it is not worse, from 0.000001 to 0.1. Rules
    /// of the same app share it: of 10 parts failures have 5, shares of errors 3 and latency 2, as far as there are such. Default:
    /// 0.001
    #[schemars(extend("minimum" = 1e-6, "maximum" = 0.1))]
    pub(in crate::config) false_rollback_probability: Option<Share>,
    /// How much worse it may be before anybody minds. Of failures and shares of errors: how much larger the share, from 0 to
    /// 0.5. Of latency: by what part of the usual one, from 0 to 10. Default: 0.02 of failures, 0.01 of shares of errors,
    /// 0.5 of latency (half as long again)
    #[schemars(extend("maximum" = 10))]
    pub(in crate::config) worse_by: Option<Share>,
    /// How long trouble lasts that is nobody's fault, up to 1m; more where the release before shows more. 0s for none.
    /// Default: 5s, and 10s of latency
    pub(in crate::config) glitch: Option<Span>,
    /// With fewer failures, or slow half minutes, than this nobody is accused, from 1 to 1000. Default: 3
    #[schemars(extend("minimum" = CONSECUTIVE_RANGE.start(), "maximum" = CONSECUTIVE_RANGE.end()))]
    pub(in crate::config) min_failures: Option<Count>,
}
