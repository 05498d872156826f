//! Why a command failed, and what the shell is told.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What the process ends with. sysexits.h where it has a number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// It was done.
    Done = 0,
    /// The command could not do what was asked: no daemon, no such incident, wrong token.
    Failed = 1,
    /// EX_USAGE: the command line makes no sense.
    Usage = 64,
    /// EX_SOFTWARE: a fault of rearguard itself.
    Internal = 70,
    /// EX_CONFIG: the configuration is wrong. Starting again does not help.
    Config = 78,
}

impl ExitCode {
    /// The one with this number.
    pub(super) fn of(number: Option<i32>) -> Option<Self> {
        let all = [Self::Done, Self::Failed, Self::Usage, Self::Internal, Self::Config];
        all.into_iter().find(|code| number == Some(*code as i32))
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command failed. Reads after "rearguard: ".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong; every problem, a line each.
    #[error("{0}")]
    Config(String),
    /// The configuration that should say where the daemon is cannot be read.
    #[error("failed to read {}: {detail}; --server URL says where the daemon is without it", path.display())]
    ConfigUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// The daemon takes whatever port is free, so its configuration does not say where it is.
    #[error(
        "listen is {listen}, which is any free port: where the daemon is stands in its log (\"rearguard is up\"), and is \
         told by --server URL or $REARGUARD_SERVER"
    )]
    AnyPort {
        /// What the configuration says.
        listen: SocketAddr,
    },
    /// Nobody answers.
    #[error(
        "no daemon answers at {url}: {detail}\n\
         is it running? another place is named by --server URL, $REARGUARD_SERVER, or listen in --config FILE"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        detail: String,
    },
    /// A word was sent, and no answer came.
    #[error(
        "no conclusive answer from {url}, so whether it was taken is not known: {detail}\n\
         look at `rearguard status` before it is given again"
    )]
    Unanswered {
        /// Where.
        url: String,
        /// Why.
        detail: String,
    },
    /// Something answers that is not a daemon of this version.
    #[error("what answers at {url} does not speak as a rearguard daemon of this version: {detail}")]
    Gibberish {
        /// Where.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The daemon said no.
    #[error("{message}{}", hint(code))]
    Refused {
        /// The daemon's fixed word.
        code: String,
        /// The daemon's sentence.
        message: String,
    },
    /// The daemon cannot answer just now.
    #[error("{message}")]
    Unavailable {
        /// The daemon's fixed word; empty where it was something before it that said so.
        code: String,
        /// The daemon's sentence.
        message: String,
    },
    /// What goes before a word failed, so it was not given.
    #[error("nothing was sent: {0}")]
    Unsent(Box<Self>),
    /// A word was taken, and what came of it cannot be told.
    #[error("{what}, and what comes of it is not known: {why}")]
    NotTold {
        /// What is known.
        what: String,
        /// Why.
        why: Box<Error>,
    },
    /// There is a token, but it cannot be read.
    #[error("failed to read the admin token from {}: {detail}; $REARGUARD_ADMIN_TOKEN may hold it", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// A fault of rearguard itself.
    #[error("{0}")]
    Internal(String),
    /// The demo or the lab did not come to its end.
    #[error("failed to {0}")]
    Failed(String),
}

impl Error {
    /// Whether the daemon may answer in a while, as one does that is being restarted.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable { .. })
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::Usage,
            Self::Config(_) => ExitCode::Config,
            Self::Internal(_) => ExitCode::Internal,
            _ => ExitCode::Failed,
        }
    }
}

/// What helps, on a line of its own.
fn hint(code: &str) -> &'static str {
    match code {
        "unauthorized" => {
            "\nthe token is taken from $REARGUARD_ADMIN_TOKEN, or from admin_token_file in --config FILE"
        }
        "no_admin_token" => "\nname a file in admin_token_file of the daemon's configuration",
        "unknown_incident" => "\n`rearguard incidents` lists those there are",
        "unknown_app" => "\n`rearguard status` lists those there are",
        _ => "",
    }
}
