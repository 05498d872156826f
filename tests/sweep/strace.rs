//! Faults from outside: `strace` counts a thread's system calls and has the Nth one killed or failed.
//!
//! It counts for each thread by itself. The journal's calls are all made by one thread; those to the network are with
//! one worker thread, which an undisturbed run proves for both before anything is concluded from a count.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the disk does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Disk {
    /// It is full at the Nth write, and so many later has room again.
    FullFor(u32, u32),
    /// It is full from the Nth write on.
    FullFrom(u32),
    /// It takes no writes from the Nth one on, as one that is mounted read-only.
    ReadOnlyFrom(u32),
    /// The Nth of these calls is an I/O error.
    Fails(&'static str, u32),
    /// From the Nth read on each is an I/O error.
    UnreadableFrom(u32),
    /// From the Nth lock on so many are refused, as where somebody else has it.
    LockedFor(u32, u32),
    /// From the Nth on each lock is refused.
    LockedFrom(u32),
}

/// What is done to a process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Injection {
    /// Its calls are counted.
    Nothing,
    /// It is killed as it enters the Nth of these calls: before the call does anything.
    Kill(&'static str, u32),
    /// Its disk misbehaves.
    Disk(Disk),
    /// Its locks are watched.
    Locks,
}

/// The calls that are counted: `pwrite64` and `fsync` are the journal's, `writev` and `recvfrom` the network's. Of the others only
/// those to the journal's files are.
const COUNTED: &str = "pwrite64,fsync,writev,recvfrom,pread64,openat,ftruncate,fcntl";
const OF_THE_JOURNAL: [&str; 5] = ["pread64", READS, "openat", "ftruncate", "fcntl"];
/// SQLite's reads, and all others.
const READS: &str = "pread64,read";
/// What the journal's files are called.
const FILES: [&str; 6] = ["", "-wal", "-shm", "-journal", ".new", ".new-journal"];

impl Injection {
    /// The calls that are traced, and what becomes of which of them.
    fn expressions(self) -> (&'static str, Option<String>) {
        let failing =
            |call, error, when: String| (call, Some(format!("inject={call}:error={error}:when={when}")));
        match self {
            Self::Nothing => (COUNTED, None),
            Self::Locks => ("fcntl", None),
            Self::Kill(call, n) => (call, Some(format!("inject={call}:signal=SIGKILL:when={n}"))),
            Self::Disk(Disk::FullFor(n, times)) => {
                failing("pwrite64", "ENOSPC", format!("{n}..{}", n + times - 1))
            }
            Self::Disk(Disk::FullFrom(n)) => failing("pwrite64", "ENOSPC", format!("{n}+")),
            Self::Disk(Disk::ReadOnlyFrom(n)) => failing("pwrite64", "EROFS", format!("{n}+")),
            Self::Disk(Disk::Fails(call, n)) => failing(call, "EIO", n.to_string()),
            Self::Disk(Disk::UnreadableFrom(n)) => failing(READS, "EIO", format!("{n}+")),
            Self::Disk(Disk::LockedFor(n, times)) => {
                failing("fcntl", "EAGAIN", format!("{n}..{}", n + times - 1))
            }
            Self::Disk(Disk::LockedFrom(n)) => failing("fcntl", "EAGAIN", format!("{n}+")),
        }
    }

    /// The command that runs `program` so. The tracer is the grandchild: what is spawned is the program itself.
    pub(crate) fn command(self, program: &str, journal: &Path, log: &Path) -> Command {
        let (calls, inject) = self.expressions();
        let mut command = Command::new("strace");
        // Without --seccomp-bpf, with which strace 6.1 delivers a signal at the first call or never.
        command.args(["-D", "-f", "-q", "-s", "72", "-e", "signal=none", "-e"]);
        command.arg(format!("trace={calls}")).arg("-o").arg(log);
        if calls == COUNTED {
            // Says which file a descriptor is of.
            command.arg("-y");
        }
        if OF_THE_JOURNAL.contains(&calls) {
            // What is not traced is not counted, and nothing becomes of it.
            for file in FILES {
                command.arg("-P").arg(format!("{}{file}", journal.display()));
            }
        }
        if let Some(inject) = inject {
            command.arg("-e").arg(inject);
        }
        command.arg(program).env("TOKIO_WORKER_THREADS", "1");
        command
    }
}

/// Whether processes can be traced here: `strace` is installed, and is allowed to.
pub(crate) fn works() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    traced.is_ok_and(|status| status.success())
}

/// Whether a call was made to fail.
pub(crate) fn has_failed_a_call(log: &Path) -> bool {
    std::fs::read_to_string(log).is_ok_and(|log| log.contains("(INJECTED)"))
}

/// Whether a lock was refused, since somebody else had it.
pub(crate) fn was_locked_out(log: &Path) -> bool {
    std::fs::read_to_string(log).is_ok_and(|log| log.contains("= -1 EAGAIN"))
}

/// How the requests of a rollback begin, on either platform.
const CALLS: [&str; 3] = ["POST /v2/apps/", "POST /v3/applications/", "PATCH /v3/applications/"];

/// Whether the last thing the process did was to begin to send one of the rollback's calls.
pub(crate) fn was_sending_a_call(log: &Path) -> bool {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let last = log.lines().rev().find(|line| !line.contains("+++"));
    last.is_some_and(|line| line.contains("writev(") && CALLS.iter().any(|call| line.contains(call)))
}

/// How often a call was made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Calls {
    /// In the whole life of the process.
    pub(crate) all: u32,
    /// Until the bad release was pushed.
    pub(crate) before_release: u32,
}

/// The calls of an undisturbed run, by name.
pub(crate) struct Counted(BTreeMap<&'static str, Calls>);

impl Counted {
    pub(crate) fn of(&self, call: &str) -> Calls {
        self.0[call]
    }

    /// Reads a log, of which the first `before_release` lines were there when the bad release was pushed.
    pub(crate) fn read(log: &Path, before_release: usize) -> Self {
        let text = std::fs::read_to_string(log).unwrap();
        let count = |call: &'static str| {
            let mut calls = Calls::default();
            let mut threads = Vec::new();
            for (nth, line) in text.lines().enumerate() {
                let mut words = line.split_ascii_whitespace();
                let (Some(thread), Some(what)) = (words.next(), words.next()) else { continue };
                let is_of_interest = !OF_THE_JOURNAL.contains(&call) || line.contains("/rearguard.db");
                if is_of_interest && what.strip_prefix(call).is_some_and(|rest| rest.starts_with('(')) {
                    calls.all += 1;
                    calls.before_release += u32::from(nth < before_release);
                    threads.push(thread);
                }
            }
            threads.sort_unstable();
            threads.dedup();
            assert_eq!(threads.len(), 1, "{call} is called by {threads:?}: a count a thread misses some");
            (call, calls)
        };
        Self(COUNTED.split(',').map(count).collect())
    }

    /// How many lines a log has now.
    pub(crate) fn lines(log: &Path) -> usize {
        std::fs::read_to_string(log).map_or(0, |text| text.lines().count())
    }
}
