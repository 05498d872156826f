//! `rearguard check --as PID`: a check that sees what the daemon sees which runs as that process.
//!
//! The binary begins anew with the environment of the process, and takes on its user and groups, the files that it sees (a
//! service of systemd has mounts of its own), the folder it is in and the configuration that it was told of. Whoever calls it
//! may be root, and the process may be anybody's, also one that somebody has broken into. So nothing of its environment and no
//! file that it sees is used before root's rights are given up, and nothing that it sees is ever run. What takes it on has a
//! session of its own, without the caller's terminal, and cannot be traced or looked into, not even by its new user; what it
//! says comes through a pipe, cleaned and bounded; and it has a minute.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write, stderr, stdout};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::CommandFactory;
use clap::parser::ValueSource;
use rustix::process::{
    DumpableBehavior, Gid, Pid, Signal, Uid, WaitId, WaitIdOptions, geteuid, getppid, kill_process_group,
    set_dumpable_behavior, set_parent_process_death_signal, setsid, waitid,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, LinkNameSpaceType, move_into_link_name_space, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::{CheckArgs, Error};
use crate::cli::{Cli, ExitCode};
use crate::telling::page::clean;

/// This very binary, as the caller sees it.
const OWN: &str = "/proc/self/exe";
/// Says to the process that is begun that it is the one that takes on what the other one is: its parent, and when the other one
/// began, so that it is no third one with the same number.
const WITHIN: &str = "REARGUARD_CHECK_WITHIN";
/// A check reads files; what takes longer waits for something.
const AT_MOST: Duration = Duration::from_secs(60);
/// What was killed is gone in no time, unless somebody else holds it: then it is left to whoever takes on orphans.
const TO_GO: Duration = Duration::from_secs(1);
const TURN: Duration = Duration::from_millis(10);
/// More is neither shown nor read of a process.
const MOST: u64 = 1 << 20;
/// What would make the loader, the C library or the allocator do something else than check.
const LOADERS: [&str; 5] = ["LD_", "GLIBC_TUNABLES", "GCONV_PATH", "MALLOC_", "_RJEM_MALLOC_CONF"];

/// Has the check made as the process would make it, and gives how that ended; or becomes as the process is, in the process that
/// is begun for that: then the check goes on as any other. A user and a view of the files are a thread's, so nothing else may
/// have been begun there.
pub(in crate::cli) fn instead(args: &mut CheckArgs) -> Option<Result<ExitCode, Error>> {
    let process = args.like.take()?;
    let failed = |what: String| Error::Failed(format!("check as process {process}: {what}"));
    if let Some(within) = env::var_os(WITHIN) {
        return match become_it(args, process, &within.to_string_lossy()) {
            Ok(()) => None,
            Err(why) => Some(Err(failed(why))),
        };
    }
    Some(begin(process).and_then(|mut command| overhear(&mut command, AT_MOST)).map_err(failed))
}

/// This binary with the same words, in the environment of the process.
fn begin(process: NonZeroU32) -> Result<Command, String> {
    let held = Held::open(process).map_err(no_look)?;
    let pairs = parts(&held.read("environ").map_err(no_look)?).into_iter().filter_map(|pair| {
        let at = pair.as_bytes().iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&pair.as_bytes()[..at], &pair.as_bytes()[at + 1..]);
        let is_loaders = LOADERS.iter().any(|loader| name.starts_with(loader.as_bytes()));
        (!name.is_empty() && !is_loaders)
            .then(|| (OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned()))
    });
    let within = format!("{} {}", process::id(), held.began().map_err(no_look)?);
    let mut command = Command::new(OWN);
    command.arg0("rearguard").args(env::args_os().skip(1)).env_clear().envs(pairs).env(WITHIN, within);
    Ok(command)
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
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("it has no number")?;
    let is_over = comes(at_most, || has_ended(id))?;
    // And whatever it has left behind in its session, if it has one yet. As long as nobody has heard of its end the number is its
    // own.
    _ = kill_process_group(id, Signal::KILL);
    _ = child.kill();
    let ended = reap(&mut child)?.filter(|_| is_over);
    let mut texts = [String::new(), String::new()];
    while let Ok((nth, text)) = heard.recv_timeout(Duration::from_secs(1)) {
        texts[nth] =
            String::from_utf8_lossy(&text).lines().map(|line| format!("{}\n", clean(line))).collect();
    }
    // Nobody is left to be told when this fails.
    _ = stdout().write_all(texts[0].as_bytes()).and_then(|()| stdout().flush());
    _ = stderr().write_all(texts[1].as_bytes());
    match ended {
        None => Err(format!("it has not ended within {} s", at_most.as_secs())),
        Some(status) => ExitCode::of(status.code()).ok_or_else(|| format!("it ended with {status}")),
    }
}

/// Whether it comes in this time.
fn comes(at_most: Duration, mut look: impl FnMut() -> Result<bool, String>) -> Result<bool, String> {
    for _ in 0..at_most.as_millis() / TURN.as_millis() {
        if look()? {
            return Ok(true);
        }
        thread::sleep(TURN);
    }
    look()
}

/// Whether a child has ended, which still has its number then.
fn has_ended(child: Pid) -> Result<bool, String> {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(child), look).map(|ended| ended.is_some()).map_err(|error| error.to_string())
}

/// How a child ended that was killed, or before that.
fn reap(child: &mut Child) -> Result<Option<ExitStatus>, String> {
    let mut ended = None;
    comes(TO_GO, || {
        ended = child.try_wait().map_err(|error| error.to_string())?;
        Ok(ended.is_some())
    })?;
    Ok(ended)
}

/// Takes on what the process is, and names the configuration that it was told of.
fn become_it(args: &mut CheckArgs, process: NonZeroU32, within: &str) -> Result<(), String> {
    // Away from the terminal, into which whoever has it for their own can type.
    setsid().map_err(|error| format!("begin a session: {error}"))?;
    let (parent, began) = within.split_once(' ').ok_or("it is not asked by itself")?;
    let held = Held::open(process).map_err(no_look)?;
    if held.began().map_err(no_look)? != began {
        return Err("there is none".to_owned());
    }
    let seen = Seen::of(&held).map_err(no_look)?;
    if args.online && seen.files.is_some() {
        // Names are looked up by what the C library finds there.
        return Err("--online would run what it alone sees: leave out either that or --as".to_owned());
    }
    seen.take_on()?;
    // Which another user would have taken back.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("end with its parent: {error}"))?;
    if getppid().map(|parent| parent.as_raw_nonzero().to_string()).as_deref() != Some(parent) {
        return Err("whoever asked is gone".to_owned());
    }
    // What is said to the check itself goes first, and what is said nowhere stands in the environment, which is that of the
    // process.
    if told(env::args_os(), "check").flatten().is_none() {
        let named = told(seen.words, "run").ok_or("it is no `rearguard run` that this version knows")?;
        if let Some(named) = named {
            args.config.config = named;
        }
    }
    Ok(())
}

/// Why nothing is to be seen of a process.
fn no_look(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is none".to_owned(),
        io::ErrorKind::PermissionDenied => "it is another user's, and only root can".to_owned(),
        _ => error.to_string(),
    }
}

/// A process, held open, so that all that is read is of one, whoever gets its number next.
struct Held(File);

impl Held {
    fn open(process: NonZeroU32) -> io::Result<Self> {
        File::open(format!("/proc/{process}")).map(Self)
    }

    fn path(&self, what: &str) -> String {
        format!("/proc/self/fd/{}/{what}", self.0.as_raw_fd())
    }

    fn read(&self, what: &str) -> io::Result<Vec<u8>> {
        bounded(&self.path(what))
    }

    fn link(&self, what: &str) -> io::Result<PathBuf> {
        fs::read_link(self.path(what))
    }

    /// When it began, in the kernel's words.
    fn began(&self) -> io::Result<String> {
        let text = String::from_utf8_lossy(&self.read("stat")?).into_owned();
        // The name before it may have anything in it.
        let began = text.rsplit_once(") ").and_then(|(_, behind)| behind.split(' ').nth(19));
        began.map(str::to_owned).ok_or_else(|| io::Error::other("the kernel does not say when it began"))
    }
}

/// What there is to see of a process.
struct Seen {
    user: Uid,
    group: Gid,
    groups: Vec<Gid>,
    /// Its view of the files, where that is another than ours.
    files: Option<File>,
    folder: PathBuf,
    words: Vec<OsString>,
}

impl Seen {
    fn of(held: &Held) -> io::Result<Self> {
        let status = String::from_utf8_lossy(&held.read("status")?).into_owned();
        let own = fs::read_to_string("/proc/self/status")?;
        let (Some(user), Some(group), Some(groups)) =
            (one(&status, "Uid"), one(&status, "Gid"), ids(&status, "Groups"))
        else {
            return Err(io::Error::other("it is on its way to another user or group"));
        };
        let is_elsewhere = held.link("ns/mnt")? != fs::read_link("/proc/self/ns/mnt")?;
        // There is nothing of root's to give up then, and what holds it we would not have.
        let is_held = ["CapPrm", "CapBnd", "Seccomp"].iter().any(|key| line(&status, key) != line(&own, key));
        if user == 0 && (is_elsewhere || is_held) {
            return Err(io::Error::other(
                "it is root in a sandbox, which cannot be taken on: restart it by hand",
            ));
        }
        let place = |path: &str| fs::metadata(path).map(|root| (root.dev(), root.ino()));
        let is_at = |path: &Path| held.link("root").map(|root| root == path);
        let has_own_root = match is_elsewhere {
            true => !is_at(Path::new("/"))?,
            false => {
                place(&held.path("root"))? != place("/proc/self/root")?
                    || !is_at(&fs::read_link("/proc/self/root")?)?
            }
        };
        if has_own_root {
            return Err(io::Error::other(
                "it has a root folder of its own, which cannot be taken on: restart it by hand",
            ));
        }
        Ok(Self {
            user: Uid::from_raw(user),
            group: Gid::from_raw(group),
            groups: groups.into_iter().map(Gid::from_raw).collect(),
            files: is_elsewhere.then(|| File::open(held.path("ns/mnt"))).transpose()?,
            folder: held.link("cwd")?,
            words: parts(&held.read("cmdline")?),
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
        if !self.user.is_root() {
            let none = CapabilitySet::empty();
            set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
                .map_err(|error| failed("give up its rights")(error.into()))?;
        }
        set_no_new_privs(true)
            .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
            .map_err(|error| failed("give up new rights")(error.into()))?;
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
