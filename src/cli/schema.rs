//! `rearguard schema`.

use super::Error;
use crate::config;

pub(super) fn run() -> Result<String, Error> {
    let text = serde_json::to_string_pretty(&config::schema());
    text.map(|text| text + "\n")
        .map_err(|error| Error::Internal(format!("failed to print the schema: {error}")))
}
