//! `rearguard schema`.

use super::{Error, SchemaArgs};
use crate::config;
use crate::notify::event;

pub(super) fn run(args: &SchemaArgs) -> Result<String, Error> {
    let text = if args.event {
        serde_json::to_string_pretty(&event::schema())
    } else {
        serde_json::to_string_pretty(&config::schema())
    };
    text.map(|text| text + "\n")
        .map_err(|error| Error::Internal(format!("failed to print the schema: {error}")))
}
