//! Tokens: read from a file or the environment when they are needed, never kept in the configuration.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::TokenSource;

/// The largest file that is taken for a token. Tokens have a hundred bytes or so.
const MAX_BYTES: u64 = 64 * 1024;

/// Where systemd puts credentials, see systemd.exec(5), `LoadCredential=`.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// Where they are kept beside the configuration, see deploy/systemd: who checks by hand has not been given them.
const BESIDE: &str = "credentials";

/// Why there is no token. Names the place and the remedy, never the content.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be opened or read.
    #[error("read token file {path}: it has to exist and be readable for the user rearguard runs as")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A relative name of which there is no file in any place that is looked at.
    #[error("read token file {}: it has to exist and be readable for the user rearguard runs as, {}", .name.display(), or(.places))]
    Nowhere {
        /// As it is written.
        name: PathBuf,
        /// Where it was looked for, in this order.
        places: Vec<PathBuf>,
    },
    /// A directory, pipe or device.
    #[error("read token file {0}: it is not a regular file")]
    NotAFile(PathBuf),
    /// More than 64 KiB.
    #[error("read token file {0}: it is larger than 64 KiB, which no token is")]
    TooLarge(PathBuf),
    /// The environment variable is not set.
    #[error("read token: environment variable {0} is not set; set it, or use token_file")]
    NotSet(String),
    /// Nothing but line ends.
    #[error("read token: {0} is empty; put the token in it")]
    Empty(String),
    /// Something that cannot stand in a request's header.
    #[error("read token: {0} has characters that no token has; put the token alone on one line in it")]
    NotAToken(String),
}

impl TokenSource {
    /// Reads the token.
    ///
    /// # Errors
    /// When it is not there, or is not a token.
    pub fn read(&self) -> Result<SecretString, TokenError> {
        self.read_with(&|name| std::env::var_os(name))
    }

    fn read_with(&self, env: &dyn Fn(&str) -> Option<OsString>) -> Result<SecretString, TokenError> {
        match self {
            Self::Env(variable) => {
                let value = env(variable).ok_or_else(|| TokenError::NotSet(variable.clone()))?;
                token(value.into_encoded_bytes(), format!("environment variable {variable}"))
            }
            Self::File(path) => from_file(&find(path, None, env)?),
            Self::Named { name, folder } => from_file(&find(name, Some(folder), env)?),
        }
    }

    /// Where it is found, as the configuration writes it.
    pub(super) fn place(&self) -> std::path::Display<'_> {
        match self {
            Self::File(name) | Self::Named { name, .. } => name.display(),
            Self::Env(variable) => Path::new(variable).display(),
        }
    }

    /// A file with a relative name is looked for beside the configuration, too, which is in `folder`.
    pub(super) fn look_in(&mut self, folder: &Path) {
        if let Self::File(name) = self
            && name.is_relative()
        {
            *self = Self::Named { name: std::mem::take(name), folder: folder.into() };
        }
    }
}

/// The file that a path stands for. `$CREDENTIALS_DIRECTORY/NAME` is a credential of systemd. A relative path is looked
/// for among those, in the current folder, in the one of the configuration and in `credentials` beside that.
///
/// # Errors
/// When it is in none of several places. What is there and cannot be read is found.
pub(crate) fn find(
    path: &Path,
    folder: Option<&Path>,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, TokenError> {
    let directory = env(CREDENTIALS).filter(|directory| !directory.is_empty()).map(PathBuf::from);
    if let Some(directory) = &directory {
        for prefix in ["$CREDENTIALS_DIRECTORY", "${CREDENTIALS_DIRECTORY}"] {
            if let Ok(name) = path.strip_prefix(prefix) {
                return Ok(directory.join(name));
            }
        }
    }
    if path.is_absolute() {
        return Ok(path.into());
    }
    let beside = folder.into_iter().flat_map(|folder| [folder.to_owned(), folder.join(BESIDE)]);
    let mut places: Vec<PathBuf> = directory.into_iter().chain([PathBuf::new()]).chain(beside).collect();
    // The configuration may stand in the current folder.
    places.dedup();
    let is_missing = |path: &Path| {
        std::fs::metadata(path)
            .is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
    };
    let found = places.iter().map(|place| place.join(path)).find(|path| !is_missing(path));
    found.ok_or_else(|| TokenError::Nowhere { name: path.into(), places })
}

/// Folders as a sentence names them.
fn or(places: &[PathBuf]) -> String {
    let name = |place: &PathBuf| place.display().to_string();
    let named = |place| Some(name(place)).filter(|name| !name.is_empty());
    let names = places.iter().map(|place| named(place).unwrap_or_else(|| "the current folder".to_owned()));
    format!("in {}", names.collect::<Vec<_>>().join(" or "))
}

fn from_file(path: &Path) -> Result<SecretString, TokenError> {
    token(contents(path)?, format!("file {}", path.display()))
}

fn contents(path: &Path) -> Result<Vec<u8>, TokenError> {
    let unreadable = |source| TokenError::Unreadable { path: path.into(), source };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(TokenError::NotAFile(path.into()));
    }
    warn_when_public(path, &metadata);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(TokenError::TooLarge(path.into()));
    }
    Ok(bytes)
}

fn warn_when_public(path: &Path, metadata: &Metadata) {
    if metadata.permissions().mode() & 0o004 != 0 {
        let path = path.display();
        tracing::warn!(%path, "token file is readable for every user of this machine; chmod o-r it");
    }
}

/// Tokens travel in a header: visible ASCII, without the line end that editors leave.
fn token(mut bytes: Vec<u8>, place: String) -> Result<SecretString, TokenError> {
    while bytes.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Err(TokenError::Empty(place));
    }
    if !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(TokenError::NotAToken(place));
    }
    String::from_utf8(bytes).map(SecretString::from).map_err(|_| TokenError::NotAToken(place))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read(source: &TokenSource, env: &[(&str, &str)]) -> Result<String, String> {
        let env = |name: &str| env.iter().find(|known| known.0 == name).map(|known| known.1.into());
        match source.read_with(&env) {
            Ok(token) => Ok(token.expose_secret().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_token_is_one_line_of_visible_characters() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let cases: [(&[u8], Result<&str, &str>); 8] = [
            (b"dop_v1_abc", Ok("dop_v1_abc")),
            (b"dop_v1_abc\r\n\n", Ok("dop_v1_abc")),
            (b"", Err("is empty")),
            (b"\n", Err("is empty")),
            (b"two words", Err("has characters that no token has")),
            (b"two\nlines", Err("has characters that no token has")),
            (b"caf\xc3\xa9", Err("has characters that no token has")),
            (&[b'x'; 65 * 1024], Err("larger than 64 KiB")),
        ];
        for (content, expected) in cases {
            std::fs::write(&path, content).unwrap();
            match (read(&TokenSource::File(path.clone()), &[]), expected) {
                (Ok(token), Ok(expected)) => assert_eq!(token, expected),
                (Err(error), Err(expected)) => {
                    assert!(error.contains(expected), "{error}");
                    assert!(error.contains(path.to_str().unwrap()), "{error}");
                    assert!(!error.contains("two"), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_is_not_a_file_that_can_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let missing = read(&TokenSource::File(directory.path().join("none")), &[]).unwrap_err();
        assert!(missing.contains("none: it has to exist"), "{missing}");
        let not_a_file = read(&TokenSource::File(directory.path().into()), &[]).unwrap_err();
        assert!(not_a_file.contains("not a regular file"), "{not_a_file}");
    }

    #[test]
    fn a_variable_has_to_be_set_and_not_empty() {
        let source = TokenSource::Env("TOKEN".to_owned());
        assert_eq!(read(&source, &[("TOKEN", "abc")]).as_deref(), Ok("abc"));
        assert!(read(&source, &[]).unwrap_err().contains("TOKEN is not set"));
        assert!(read(&source, &[("TOKEN", "")]).unwrap_err().contains("variable TOKEN is empty"));
    }

    #[test]
    fn a_credential_of_systemd_stands_for_a_file() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("do.token"), "from-systemd\n").unwrap();
        let env = [(CREDENTIALS, directory.path().to_str().unwrap())];
        for path in ["do.token", "$CREDENTIALS_DIRECTORY/do.token", "${CREDENTIALS_DIRECTORY}/do.token"] {
            let source = TokenSource::File(path.into());
            assert_eq!(read(&source, &env).as_deref(), Ok("from-systemd"), "{path}");
        }
        let elsewhere = directory.path().join("other");
        std::fs::write(&elsewhere, "absolute").unwrap();
        assert_eq!(read(&TokenSource::File(elsewhere), &env).as_deref(), Ok("absolute"));
        assert!(read(&TokenSource::File("not-there".into()), &env).is_err());
    }
    #[test]
    fn a_relative_name_is_looked_for_in_four_places_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let (given, etc) = (directory.path().join("given"), directory.path().join("etc"));
        std::fs::create_dir_all(etc.join("credentials")).unwrap();
        std::fs::create_dir(&given).unwrap();
        let mut source = TokenSource::File("do-token".into());
        source.look_in(&etc);
        let env = [(CREDENTIALS, given.to_str().unwrap())];

        let nowhere = read(&source, &env).unwrap_err();
        let places = format!(
            "in {} or the current folder or {} or {}/credentials",
            given.display(),
            etc.display(),
            etc.display()
        );
        assert!(nowhere.starts_with("read token file do-token: it has to exist"), "{nowhere}");
        assert!(nowhere.ends_with(&places), "{nowhere}");
        // The last one first: each that comes before hides it.
        for folder in [etc.join("credentials"), etc, given.clone()] {
            std::fs::write(folder.join("do-token"), folder.to_str().unwrap().replace('/', "-")).unwrap();
            assert_eq!(read(&source, &env), Ok(folder.to_str().unwrap().replace('/', "-")));
        }
    }

    #[test]
    fn the_current_folder_comes_before_the_configuration_s() {
        let directory = tempfile::tempdir().unwrap();
        // Tests run in the crate's folder, which has this file.
        std::fs::write(directory.path().join("clippy.toml"), "beside").unwrap();
        let found = find(Path::new("clippy.toml"), Some(directory.path()), &|_| None);
        assert_eq!(found.unwrap(), Path::new("clippy.toml"));
    }

    #[test]
    fn a_path_that_is_written_out_is_looked_for_nowhere_else() {
        let directory = tempfile::tempdir().unwrap();
        let mut source = TokenSource::File(directory.path().join("none"));
        source.look_in(Path::new("/etc/rearguard"));
        assert_eq!(source, TokenSource::File(directory.path().join("none")));
    }
}
