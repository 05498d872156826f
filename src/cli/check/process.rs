//! `rearguard check --as PID`: a check that sees what the daemon sees which runs as that process.
//!
//! The binary begins anew with the user and groups of the process, its environment, the files that it sees (a service of
//! systemd has mounts of its own), the folder it is in and the configuration that it was told of. Whoever calls it may be
//! root, and the process may be anybody's: nothing of its environment and no file that it sees is used before root's rights
//! are given up.

use std::convert::Infallible;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::num::NonZeroU32;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process;

use clap::CommandFactory;
use clap::parser::ValueSource;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{
    LinkNameSpaceType, move_into_link_name_space, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use super::{CheckArgs, Error};
use crate::cli::Cli;

/// Begins the check anew, as the process would make it. Comes back only with why that cannot be. Nothing else may run in this
/// process yet: a user and a view of the files are a thread's.
pub(in crate::cli) fn instead(args: &CheckArgs, process: NonZeroU32) -> Error {
    let Err(error) = begin(args, process);
    error
}

fn begin(args: &CheckArgs, process: NonZeroU32) -> Result<Infallible, Error> {
    let unseen = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Error::Failed(format!("check as process {process}: there is none")),
        io::ErrorKind::PermissionDenied => {
            Error::Failed(format!("check as process {process}, which is another user's: only root can"))
        }
        _ => Error::Failed(format!("check as process {process}: {error}")),
    };
    let seen = Seen::of(process).map_err(unseen)?;
    let config = match told(env::args_os(), "check") {
        Some(Some(named)) => Some(named),
        _ => told(seen.words.iter().cloned(), "run")
            .ok_or_else(|| Error::Failed(format!("check as process {process}: it is no `rearguard run`")))?,
    };
    let asked =
        [("--online", args.online), ("--start", args.start)].into_iter().filter(|(_, is_asked)| *is_asked);
    let named = config.into_iter().flat_map(|config| ["--config".into(), config.into_os_string()]);
    let words: Vec<OsString> =
        std::iter::once("check".into()).chain(asked.map(|(word, _)| word.into())).chain(named).collect();
    let own = env::current_exe().map_err(unseen)?;
    seen.take_on().map_err(unseen)?;
    Err(unseen(process::Command::new(own).args(words).env_clear().envs(seen.environment).exec()))
}

/// What there is to see of a process.
struct Seen {
    user: Uid,
    group: Gid,
    groups: Vec<Gid>,
    /// Its view of the files, where that is another than ours.
    files: Option<File>,
    folder: PathBuf,
    environment: Vec<(OsString, OsString)>,
    words: Vec<OsString>,
}

impl Seen {
    fn of(process: NonZeroU32) -> io::Result<Self> {
        let of = |what: &str| format!("/proc/{process}/{what}");
        let status = fs::read_to_string(of("status"))?;
        let ids = |key: &str| -> Option<Vec<u32>> {
            let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            line.split_whitespace().map(|id| id.parse().ok()).collect()
        };
        // The real one, the one in force, and two more.
        let in_force = |key| ids(key).and_then(|ids| ids.get(1).copied());
        let (Some(user), Some(group), Some(groups)) = (in_force("Uid"), in_force("Gid"), ids("Groups"))
        else {
            return Err(io::Error::other("its user cannot be read"));
        };
        let is_elsewhere = fs::read_link(of("ns/mnt"))? != fs::read_link("/proc/self/ns/mnt")?;
        let pairs = parts(&fs::read(of("environ"))?).into_iter().filter_map(|pair| {
            let at = pair.as_bytes().iter().position(|byte| *byte == b'=')?;
            let (name, value) = (&pair.as_bytes()[..at], &pair.as_bytes()[at + 1..]);
            (!name.is_empty())
                .then(|| (OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned()))
        });
        Ok(Self {
            user: Uid::from_raw(user),
            group: Gid::from_raw(group),
            groups: groups.into_iter().map(Gid::from_raw).collect(),
            files: is_elsewhere.then(|| File::open(of("ns/mnt"))).transpose()?,
            folder: fs::read_link(of("cwd"))?,
            environment: pairs.collect(),
            words: parts(&fs::read(of("cmdline"))?),
        })
    }

    /// Makes this thread, and what it begins, see and be allowed what the process sees and is allowed.
    fn take_on(&self) -> io::Result<()> {
        if let Some(files) = &self.files {
            move_into_link_name_space(files.as_fd(), Some(LinkNameSpaceType::Mount))?;
        }
        if geteuid().is_root() {
            set_thread_groups(&self.groups)?;
            set_thread_res_gid(self.group, self.group, self.group)?;
            set_thread_res_uid(self.user, self.user, self.user)?;
        }
        if geteuid() != self.user {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        set_no_new_privs(true)?;
        env::set_current_dir(&self.folder)
    }
}

/// What stands between the bytes of 0.
fn parts(bytes: &[u8]) -> Vec<OsString> {
    let whole = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    whole.split(|byte| *byte == 0).map(|part| OsString::from_vec(part.to_vec())).collect()
}

/// The configuration that these words name, if they are of this command; its environment may name another.
fn told(words: impl IntoIterator<Item = OsString>, command: &str) -> Option<Option<PathBuf>> {
    let matches = Cli::command().try_get_matches_from(words).ok()?;
    let (name, said) = matches.subcommand()?;
    let is_said = said.value_source("config") == Some(ValueSource::CommandLine);
    (name == command).then(|| said.get_one("config").filter(|_| is_said).cloned())
}
