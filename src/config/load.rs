//! From a file to a [`Config`], or to everything that is wrong with it.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::position::{self, Position};
use super::problem::{Findings, Problems};
use super::validate::validate;
use super::{Config, TokenSource, mirror};

/// The largest file that is read. Ten thousand apps need less; a file that is larger was not meant.
pub(super) const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Reads and checks a configuration file.
///
/// # Errors
/// Every problem of the file at once, each with its place.
pub fn load(path: &Path) -> Result<Config, Problems> {
    parse(&path.display().to_string(), &read(path)?)
}

/// Reads a configuration file without looking at what it says.
///
/// # Errors
/// One problem when the file cannot be read, is larger than 16 MiB or is not UTF-8.
pub fn read(path: &Path) -> Result<String, Problems> {
    let file = path.display().to_string();
    let refused = |what: String| Problems::whole(&file, Position::START, what);
    let bytes = bytes(path)
        .map_err(|error| refused(format!("cannot be read ({error}); allowed is a file that can be read")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refused("is larger than 16 MiB; allowed is up to 16 MiB".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        let last = valid.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let column = String::from_utf8_lossy(last).chars().count() + 1;
        Problems::whole(&file, Position { line, column }, "is not UTF-8 here; allowed is text in UTF-8")
    })
}

/// At most a byte more than allowed. A pipe or device would never end, or never begin.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Checks a configuration. `file` is how the file is named in problems, and in whose folder secrets with relative names
/// are looked for. A journal with a relative name is in the current folder.
///
/// # Errors
/// Every problem at once, each with its place.
pub fn parse(file: &str, text: &str) -> Result<Config, Problems> {
    // Editors of another system begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() as u64 > MAX_BYTES {
        return Err(Problems::whole(file, Position::START, "is larger than 16 MiB; allowed is up to 16 MiB"));
    }
    let mut config = right(file, text).map_or_else(|| step_by_step(file, text), Ok)?;
    if let Some(folder) = Path::new(file).parent() {
        secrets(&mut config).for_each(|source| source.look_in(folder));
    }
    // Whoever reads of it may be elsewhere than the daemon, whose folder is / under systemd.
    if let Ok(state) = std::path::absolute(&config.state) {
        config.state = state;
    }
    Ok(config)
}

/// All secrets that a configuration names.
fn secrets(config: &mut Config) -> impl Iterator<Item = &mut TokenSource> {
    let of_platforms = config.platforms.iter_mut().map(|platform| &mut platform.token);
    let of_channels = config.notify.iter_mut().flat_map(|channel| channel.carrier.secrets());
    config.admin_token_file.iter_mut().chain(of_platforms).chain(of_channels)
}

/// The long way: the configuration too, but above all what is wrong with it.
fn step_by_step(file: &str, text: &str) -> Result<Config, Problems> {
    let mut findings = Findings::default();
    let places = position::locate(file, text, &mut findings)?;
    let document = mirror::document(file, text)?;
    let file_as_written = mirror::fill(document, &mut findings);
    let findings = RefCell::new(findings);
    let config = file_as_written.and_then(|raw| validate(&raw, &findings));
    match (findings.into_inner().into_problems(file, &places), config) {
        (None, Some(config)) => Ok(config),
        (Some(problems), _) => Err(problems),
        // Cannot happen while every rejection is recorded; refusing is the safe answer.
        (None, None) => Err(Problems::whole(file, Position::START, "cannot be understood")),
    }
}

/// The configuration, when nothing is wrong with it. Whatever is, the long way finds and places, at several times the
/// memory.
fn right(file: &str, text: &str) -> Option<Config> {
    let mut findings = Findings::default();
    position::skim(file, text, &mut findings).ok().filter(|()| findings.is_empty())?;
    let raw = serde_yaml::from_str(text).ok()?;
    let findings = RefCell::new(findings);
    let config = validate(&raw, &findings)?;
    findings.into_inner().is_empty().then_some(config)
}

/// What each of the two ways makes of the text: they have to agree.
#[cfg(any(test, fuzzing))]
pub(crate) fn both_ways(file: &str, text: &str) -> (Option<Config>, Result<Config, Problems>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    (right(file, text), step_by_step(file, text))
}

#[cfg(test)]
mod tests;
