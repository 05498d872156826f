//! `rearguard check --as PID`: a check that sees what the daemon sees which runs as that process.
//!
//! The binary begins anew with the user and groups of the process, its environment, the files that it sees (a service of
//! systemd has mounts of its own), the folder it is in and the configuration that it was told of. Whoever calls it may be
//! root, and the process may be anybody's, also one that somebody has broken into. So nothing of its environment and no file
//! that it sees is used before root's rights are given up; what is begun has a session of its own, without the caller's
//! terminal; what it says comes through a pipe, cleaned and bounded; and it has a minute.

use std::convert::Infallible;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write, stderr, stdout};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::CommandFactory;
use clap::parser::ValueSource;
use rustix::process::{
    Gid, Pid, Signal, Uid, geteuid, kill_process_group, set_parent_process_death_signal, setsid,
};
use rustix::thread::{
    LinkNameSpaceType, move_into_link_name_space, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use super::{CheckArgs, Error};
use crate::cli::{Cli, ExitCode};
use crate::telling::page::clean;

/// This very binary, also where its path leads nowhere in the view of the files that was taken on, or through a folder that is
/// closed to the user.
const OWN: &str = "/proc/self/exe";
/// Says to the process that is begun that it is the one that takes on what the other one is.
const WITHIN: &str = "REARGUARD_CHECK_WITHIN";
/// A check reads files; what takes longer waits for something.
const AT_MOST: Duration = Duration::from_secs(60);
const TURN: Duration = Duration::from_millis(10);
/// More is neither shown nor read of a process.
const MOST: u64 = 1 << 20;
/// What would make the loader, the C library or the allocator do something else than check.
const LOADERS: [&str; 5] = ["LD_", "GLIBC_TUNABLES", "GCONV_PATH", "MALLOC_", "_RJEM_MALLOC_CONF"];

/// Makes the check as the process would make it. A user and a view of the files are a thread's, so what takes them on is begun
/// anew and has one thread alone; here threads only hear what it says. To be asked before anything else is begun all the same,
/// since that one comes through here as well.
pub(in crate::cli) fn instead(args: &CheckArgs, process: NonZeroU32) -> Result<ExitCode, Error> {
    let failed = |what: String| Error::Failed(format!("check as process {process}: {what}"));
    if env::var_os(WITHIN).is_some() {
        let Err(why) = begin(args, process);
        return Err(failed(why));
    }
    let mut command = Command::new(OWN);
    command.arg0("rearguard").args(env::args_os().skip(1)).env(WITHIN, "1");
    overhear(&mut command, AT_MOST).map_err(failed)
}

/// Runs a process that begins a session of its own, until its end or as long as it may take, and prints what it says.
fn overhear(command: &mut Command, at_most: Duration) -> Result<ExitCode, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let (said, heard) = mpsc::channel();
    let pipes = child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>).into_iter();
    let pipes = pipes.chain(child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    for (nth, pipe) in pipes.enumerate() {
        let said = said.clone();
        thread::spawn(move || {
            let mut text = Vec::new();
            // What was said until then is said.
            _ = pipe.take(MOST).read_to_end(&mut text);
            _ = said.send((nth, text));
        });
    }
    drop(said);
    let mut ended = None;
    for _ in 0..at_most.as_millis() / TURN.as_millis() {
        ended = child.try_wait().map_err(|error| error.to_string())?;
        if ended.is_some() {
            break;
        }
        thread::sleep(TURN);
    }
    // Whatever it has left behind in its session.
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        _ = kill_process_group(group, Signal::KILL);
    }
    let mut texts = [String::new(), String::new()];
    while let Ok((nth, text)) = heard.recv_timeout(Duration::from_secs(1)) {
        texts[nth] =
            String::from_utf8_lossy(&text).lines().map(|line| format!("{}\n", clean(line))).collect();
    }
    // Nobody is left to be told when this fails.
    _ = stdout().write_all(texts[0].as_bytes()).and_then(|()| stdout().flush());
    _ = stderr().write_all(texts[1].as_bytes());
    match ended {
        None => {
            _ = child.kill();
            _ = child.wait();
            Err(format!("it has not ended within {} s", at_most.as_secs()))
        }
        Some(status) => ExitCode::of(status.code()).ok_or_else(|| format!("it ended with {status}")),
    }
}

fn begin(args: &CheckArgs, process: NonZeroU32) -> Result<Infallible, String> {
    // Away from the terminal, into which whoever has it for their own can type.
    setsid().map_err(|error| format!("begin a session: {error}"))?;
    let seen = Seen::of(process).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is none".to_owned(),
        io::ErrorKind::PermissionDenied => "it is another user's, and only root can".to_owned(),
        _ => error.to_string(),
    })?;
    let config = match told(env::args_os(), "check") {
        Some(Some(named)) => Some(named),
        _ => told(seen.words.iter().cloned(), "run")
            .ok_or("it is no `rearguard run` that this version knows")?,
    };
    let asked =
        [("--online", args.online), ("--start", args.start)].into_iter().filter(|(_, is_asked)| *is_asked);
    let named = config.into_iter().flat_map(|config| ["--config".into(), config.into_os_string()]);
    let words: Vec<OsString> =
        std::iter::once("check".into()).chain(asked.map(|(word, _)| word.into())).chain(named).collect();
    seen.take_on()?;
    // Which another user would have taken back.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("end with its parent: {error}"))?;
    let error = Command::new(OWN).arg0("rearguard").args(words).env_clear().envs(seen.environment).exec();
    Err(format!("begin anew: {error}"))
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
        // Held open, so that all of it is of one process, whoever gets its number next.
        let held = File::open(format!("/proc/{process}"))?;
        let of = |what: &str| format!("/proc/self/fd/{}/{what}", held.as_raw_fd());
        let status = String::from_utf8_lossy(&bounded(&of("status"))?).into_owned();
        let own = fs::read_to_string("/proc/self/status")?;
        let (Some(user), Some(group), Some(groups)) =
            (one(&status, "Uid"), one(&status, "Gid"), ids(&status, "Groups"))
        else {
            return Err(io::Error::other("it is on its way to another user or group"));
        };
        let is_elsewhere = fs::read_link(of("ns/mnt"))? != fs::read_link("/proc/self/ns/mnt")?;
        // There is nothing of root's to give up then, and what holds it we would not have.
        let is_held = ["CapPrm", "CapBnd", "Seccomp"].iter().any(|key| line(&status, key) != line(&own, key));
        if user == 0 && (is_elsewhere || is_held) {
            return Err(io::Error::other(
                "it is root in a sandbox, which cannot be taken on: restart it by hand",
            ));
        }
        let pairs = parts(&bounded(&of("environ"))?).into_iter().filter_map(|pair| {
            let at = pair.as_bytes().iter().position(|byte| *byte == b'=')?;
            let (name, value) = (&pair.as_bytes()[..at], &pair.as_bytes()[at + 1..]);
            let is_loaders = LOADERS.iter().any(|loader| name.starts_with(loader.as_bytes()));
            (!name.is_empty() && !is_loaders)
                .then(|| (OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned()))
        });
        Ok(Self {
            user: Uid::from_raw(user),
            group: Gid::from_raw(group),
            groups: groups.into_iter().map(Gid::from_raw).collect(),
            files: is_elsewhere.then(|| File::open(of("ns/mnt"))).transpose()?,
            folder: fs::read_link(of("cwd"))?,
            environment: pairs.collect(),
            words: parts(&bounded(&of("cmdline"))?),
        })
    }

    /// Makes this thread, and what it begins, see and be allowed what the process sees and is allowed.
    fn take_on(&self) -> Result<(), String> {
        let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
        if let Some(files) = &self.files {
            move_into_link_name_space(files.as_fd(), Some(LinkNameSpaceType::Mount))
                .map_err(|error| failed("take on its view of the files")(error.into()))?;
        }
        if geteuid().is_root() {
            set_thread_groups(&self.groups)
                .and_then(|()| set_thread_res_gid(self.group, self.group, self.group))
                .and_then(|()| set_thread_res_uid(self.user, self.user, self.user))
                .map_err(|error| failed("take on its user")(error.into()))?;
        }
        if geteuid() != self.user {
            return Err("it is another user's, and only root can".to_owned());
        }
        set_no_new_privs(true).map_err(|error| failed("give up new rights")(error.into()))?;
        env::set_current_dir(&self.folder).map_err(failed("go to the folder it is in"))
    }
}

/// What a file of a process has, where that is no more than it should be.
fn bounded(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        Err(io::Error::other("it says more of itself than can be true"))
    } else {
        Ok(bytes)
    }
}

fn line<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
}

fn ids(status: &str, key: &str) -> Option<Vec<u32>> {
    line(status, key)?.split_whitespace().map(|id| id.parse().ok()).collect()
}

/// The one id of a process whose real, effective, saved and file-system ids are the same.
fn one(status: &str, key: &str) -> Option<u32> {
    let all = ids(status, key)?;
    all.first().copied().filter(|first| all.len() == 4 && all.iter().all(|id| id == first))
}

/// What stands between the bytes of 0.
fn parts(bytes: &[u8]) -> Vec<OsString> {
    let whole = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    whole.split(|byte| *byte == 0).map(|part| OsString::from_vec(part.to_vec())).collect()
}

/// The configuration that these words name, if they are of this command; its environment may name another.
fn told(words: impl IntoIterator<Item = OsString>, command: &'static str) -> Option<Option<PathBuf>> {
    let matches = grammar(command).try_get_matches_from(words).ok()?;
    let (name, said) = matches.subcommand()?;
    // Not every command has one.
    (name == command).then(|| {
        let is_said = said.value_source("config") == Some(ValueSource::CommandLine);
        said.get_one("config").filter(|_| is_said).cloned()
    })
}

/// The words of a command, without the environment: ours says nothing of a process that has another.
fn grammar(command: &'static str) -> clap::Command {
    let without = |arg: clap::Arg| arg.env(None::<&'static str>);
    Cli::command().mut_args(without).mut_subcommand(command, |of| of.mut_args(without))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_between_two_users_has_none() {
        let status = "Name:\trearguard\nUid:\t7\t7\t7\t7\nGid:\t7\t0\t7\t7\nGroups:\t3 4 \n";
        assert_eq!((one(status, "Uid"), one(status, "Gid")), (Some(7), None));
        assert_eq!((ids(status, "Groups"), one(status, "Groups")), (Some(vec![3, 4]), None));
        assert_eq!(one("Uid:\t1000\t0\t0\t0\n", "Uid"), None);
    }

    #[test]
    fn a_configuration_is_told_by_words_of_the_command_and_by_no_other() {
        let told = |words: &str| told(words.split(' ').map(OsString::from), "run");
        assert_eq!(told("rearguard --log-level info run --config a.yaml"), Some(Some("a.yaml".into())));
        assert_eq!(told("rearguard run"), Some(None));
        assert_eq!((told("rearguard lab"), told("rearguard check"), told("sleep 5")), (None, None, None));
    }

    #[test]
    fn what_a_process_was_told_is_not_read_by_the_environment_of_who_asks() {
        fn of_environment(command: &clap::Command, name: &str) -> usize {
            let of = command.find_subcommand(name).unwrap();
            command.get_arguments().chain(of.get_arguments()).filter(|arg| arg.get_env().is_some()).count()
        }
        for name in ["run", "check"] {
            assert_ne!(of_environment(&Cli::command(), name), 0);
            assert_eq!(of_environment(&grammar(name), name), 0);
        }
    }

    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("process");
        let mut command = Command::new("sh");
        // In another group it is left, as in another session: that is what the one who begins it is there for.
        command.process_group(0).args(["-c", "sleep 60 & echo $! > \"$0\"; wait"]).arg(&file);
        let ended = overhear(&mut command, Duration::from_secs(2));
        assert_eq!(ended, Err("it has not ended within 2 s".to_owned()));
        let sleeping = fs::read_to_string(&file).unwrap();
        // It is gone, or on its way, or whoever takes on an orphan leaves it as a zombie.
        let status = fs::read_to_string(format!("/proc/{}/status", sleeping.trim())).unwrap_or_default();
        assert!(line(&status, "State").is_none_or(|state| !state.contains('S')), "{status}");
    }
}
