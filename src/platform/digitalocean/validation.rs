//! The answer to a validation, in JSON and as the core sees it.

use serde::Deserialize;

use super::super::json::Object;
use crate::decision::capability::Support;
use crate::decision::effect;

/// The answer to `rollback/validate`. Strict: a warning that is overlooked is a rollback that should not be.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Validation {
    valid: Option<bool>,
    error: Option<Object<Condition>>,
    warnings: Option<Vec<Object<Condition>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    code: Option<String>,
    message: Option<String>,
}

impl Validation {
    /// The validation, its texts cleaned by `words`. An error beside `valid: true` is an error.
    pub(super) fn seen(self, words: impl Fn(&str) -> String) -> effect::Validation {
        let condition = |Object(condition): Object<Condition>| effect::Condition {
            code: words(&condition.code.unwrap_or_default()),
            message: words(&condition.message.unwrap_or_default()),
            is_advice: false,
        };
        effect::Validation {
            valid: self.valid.unwrap_or(false) && self.error.is_none(),
            error: self.error.map(condition),
            warnings: self.warnings.unwrap_or_default().into_iter().map(condition).collect(),
            by: Support::Native,
        }
    }
}
