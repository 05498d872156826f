//! Everything that comes from outside, one entry point a kind: what is tried by chance, and what has to hold.
//!
//! A kind of input has one function that takes any bytes, brings them to the code that reads such input in
//! production, and asserts what rearguard promises about the outcome. The fuzz targets in `fuzz/` call these
//! functions for as long as somebody lets them, and the property tests below for a moment in every `cargo test`: the
//! corpora, and what chance makes of them.
//!
//! The inputs are text where that is possible, so that a finding can be read, shortened and kept under a name. Compiled
//! for tests and for fuzzed builds only.

mod api;
mod config;
mod journal;
mod platform;
#[cfg(test)]
mod tests;

pub use api::api;
pub use config::config;
pub use journal::journal;
pub use platform::platform;

/// What no answer and no error may show. Corpora and dictionaries know it.
const SECRET: &str = "s3cr3t-0123456789";

/// Whether people see one line where `text` is written, and none of it turns around.
fn is_one_line(text: &str) -> bool {
    let hidden = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.chars().any(hidden)
}

/// The first line and what follows it.
fn line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    (&text[..end], text.get(end + 1..).unwrap_or_default())
}
