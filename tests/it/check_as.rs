//! `rearguard check --as PID` of the built binary: what it takes on of the process, what it gives up of root, whom it refuses.
//!
//! What takes another user takes root and setpriv, and is skipped without, with a line that says so.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use crate::binary::{output, rearguard};
use crate::world::{PATIENCE, Settings, World};

/// Nobody's numbers.
const USER: u32 = 61_301;
const GROUP: u32 = 61_302;
const FURTHER: u32 = 61_303;

/// To be followed by where the journal is.
const CONFIG: &str = "\
listen: 127.0.0.1:0
platforms: [{ name: ocean, kind: digitalocean, token_env: T }]
apps: [{ name: web, platform: ocean, id: x, probes: [{ name: home, url: 'https://a.example/' }], \
rules: [{ name: down, probe: home, consecutive_failures: 3 }] }]
state: ";

/// A process that is killed when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Says so past what keeps a test's words back.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// What is found, as soon as it is.
fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A folder that every user may do anything in, with the binary in it and a `rearguard run` that has read its configuration
/// and waits for ever for the authorities that it trusts.
struct Waiting {
    folder: TempDir,
    process: Option<Killed>,
}

impl Waiting {
    /// None, with a line that says why, where this user cannot have it.
    fn new(words: &[&str]) -> Option<Self> {
        let tried = Command::new("setpriv").args(["--reuid=61301", "--clear-groups", "true"]).output();
        if !tried.is_ok_and(|tried| tried.status.success()) {
            skipped("only root, with setpriv, begins a process of another user");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let own = env!("CARGO_BIN_EXE_rearguard");
        let binary = folder.path().join("rearguard");
        fs::hard_link(own, &binary).or_else(|_| fs::copy(own, &binary).map(drop)).unwrap();
        let mut waiting = Self { folder, process: None };
        fs::write(waiting.config(), format!("{CONFIG}{}\n", waiting.journal().display())).unwrap();
        // Nobody writes into it.
        let pipe = waiting.folder.path().join("authorities");
        assert!(Command::new("mkfifo").arg("-m644").arg(&pipe).status().unwrap().success());
        let mut command = Command::new(words[0]);
        let place = waiting.folder.path().to_str().unwrap();
        command
            .args(words[1..].iter().map(|word| word.replace("FOLDER", place)))
            .arg(&binary)
            .args(["run", "--config"])
            .arg(waiting.config());
        command.env("T", "a-token").env("SSL_CERT_FILE", &pipe).env_remove("SSL_CERT_DIR");
        command.stdin(Stdio::null()).stderr(Stdio::null());
        waiting.process = Some(Killed(command.spawn().unwrap()));
        wait_for("the journal", || waiting.journal().exists().then_some(()));
        Some(waiting)
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("rearguard.yaml")
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("rearguard.db")
    }

    fn may_read(&self, mode: u32, group: u32) {
        chown(self.config(), Some(0), Some(group)).unwrap();
        fs::set_permissions(self.config(), Permissions::from_mode(mode)).unwrap();
    }

    /// A check as this process by root, who is in root's group as a person is.
    fn check(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.arg("--groups=0").arg(env!("CARGO_BIN_EXE_rearguard"));
        let process = self.process.as_ref().unwrap().0.id().to_string();
        command.args(["check", "--as", &process]).env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }
}

/// How it ended, and what it complained of.
fn said(ended: &Output) -> (Option<i32>, String) {
    (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
}

/// What stands behind a key in `/proc/PID/status`.
fn status(process: u32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Parent and session of a process.
fn origin(process: &str) -> Option<(u32, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut numbers = text.rsplit_once(") ")?.1.split(' ').skip(1).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.nth(1)??))
}

/// The process that this one began, when it checks.
fn begun_by(process: u32) -> Option<u32> {
    fs::read_dir("/proc").unwrap().find_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let (parent, _) = origin(&name)?;
        let words = fs::read_to_string(Path::new("/proc").join(&name).join("cmdline")).ok()?;
        let is_it = parent == process && words.starts_with("rearguard\0check\0--as\0");
        // It has become what it is to be, and ends with who asked for it.
        let begun = name.parse().ok().filter(|_| is_it)?;
        (status(begun, "NoNewPrivs") == "1" && status(begun, "Threads") != "1").then_some(begun)
    })
}

fn as_user() -> Vec<String> {
    let groups = format!("--groups={FURTHER}");
    ["setpriv", &format!("--reuid={USER}"), &format!("--regid={GROUP}"), &groups].map(str::to_owned).to_vec()
}

fn of_user() -> Option<Waiting> {
    let words = as_user();
    Waiting::new(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_check_as_another_user_reads_what_its_groups_may_and_not_what_roots_may() {
    let Some(waiting) = of_user() else { return };
    for (mode, group, is_read) in
        [(0o640, 0, false), (0o640, GROUP, true), (0o640, FURTHER, true), (0o600, FURTHER, false)]
    {
        waiting.may_read(mode, group);
        let (code, said) = said(&waiting.check().output().unwrap());
        if is_read {
            assert_eq!((code, said.as_str()), (Some(0), ""), "group {group}");
        } else {
            assert!(code == Some(78) && said.contains("Permission denied"), "group {group}: {said}");
        }
    }
}

#[test]
fn a_check_as_another_user_has_given_up_all_that_root_is_before_it_reads() {
    let Some(waiting) = of_user() else { return };
    let mut check = waiting.check();
    let mut check = Killed(check.arg("--start").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let begun = wait_for("the check", || begun_by(check.0.id()));
    for (key, value) in [
        ("Uid", [USER; 4].map(|id| id.to_string()).join(" ")),
        ("Gid", [GROUP; 4].map(|id| id.to_string()).join(" ")),
        ("Groups", FURTHER.to_string()),
        ("NoNewPrivs", "1".to_owned()),
    ] {
        assert_eq!(status(begun, key), value, "{key}");
    }
    for key in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(begun, key), "0".repeat(16), "{key}");
    }
    assert_eq!(origin(&begun.to_string()), Some((check.0.id(), begun)), "a session of its own");
    // What may be traced is its user's, and else root's.
    let whose = fs::metadata(format!("/proc/{begun}/environ")).unwrap().uid();
    assert_eq!(whose, 0, "it cannot be traced");
    assert_eq!(check.0.try_wait().unwrap(), None, "it waits as the daemon does");
    check.0.kill().unwrap();
    wait_for("the end of what was begun", || {
        let words = fs::read(format!("/proc/{begun}/cmdline")).unwrap_or_default();
        words.is_empty().then_some(())
    });
}

#[test]
fn who_is_between_two_users_or_root_in_a_sandbox_is_not_taken_on() {
    let between = format!("--euid={USER}");
    let (between, bound) = (["setpriv", &between], ["setpriv", "--bounding-set=-sys_time"]);
    let (has_mounts, plain) = (["unshare", "--mount"], ["env"]);
    let own_root = "mkdir FOLDER/root && mount --rbind / FOLDER/root && \
        exec chroot FOLDER/root setpriv --reuid=61301 --regid=61302 --clear-groups \"$@\"";
    let own_root = ["unshare", "--mount", "sh", "-c", own_root, "sh"];
    let may_mount = Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|it| it.success());
    for (words, why) in [
        (&plain[..], None),
        (&between[..], Some("it is on its way to another user or group")),
        (&bound[..], Some("it is root in a sandbox")),
        (&has_mounts[..], Some("it is root in a sandbox")),
        (&own_root[..], Some("it has a root folder of its own")),
    ] {
        if words[0] == "unshare" && !may_mount {
            skipped("nobody has mounts of his own here");
            continue;
        }
        let Some(waiting) = Waiting::new(words) else { return };
        let (code, said) = said(&waiting.check().output().unwrap());
        match why {
            Some(why) => assert!(code == Some(1) && said.contains(why), "{words:?}: {said}"),
            None => assert_eq!((code, said.as_str()), (Some(0), "")),
        }
    }
}

#[test]
fn nothing_is_run_that_only_the_process_sees() {
    let mut words = as_user();
    words.pop();
    // What is looked for in /proc is its own there.
    let own = "mkdir -p FOLDER/proc/self && printf '#!/bin/sh\ntouch FOLDER/was-run\n' > FOLDER/proc/self/exe && \
        chmod 755 FOLDER/proc/self/exe && mount --bind FOLDER/proc /proc && exec \"$@\"";
    words.extend(
        ["--clear-groups", "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", own, "sh"]
            .map(str::to_owned),
    );
    let may = Command::new("setpriv")
        .args(["--reuid=61301", "--regid=61302", "--clear-groups", "unshare", "--user", "--map-root-user"])
        .args(["--mount", "mount", "--bind", "/tmp", "/proc"])
        .status();
    if !may.is_ok_and(|it| it.success()) {
        return skipped("nobody but root has mounts of his own here");
    }
    let Some(waiting) = Waiting::new(&words.iter().map(String::as_str).collect::<Vec<_>>()) else { return };
    let answer = said(&waiting.check().output().unwrap());
    assert_eq!(answer, (Some(0), String::new()));
    assert!(!waiting.folder.path().join("was-run").exists());
    let (code, said) = said(&waiting.check().arg("--online").output().unwrap());
    assert!(code == Some(1) && said.contains("--online would run what it alone sees"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_as_a_daemon_that_runs_sees_what_that_one_sees() {
    let world = World::new().await;
    let whole = world.yaml(&Settings::default());
    let of_variable =
        whole.replace(&format!(" token_file: {}", world.path("token").display()), " token_env: ITS_TOKEN");
    let (file, other) = (world.path("rearguard.yaml"), world.path("other.yaml"));
    fs::write(&file, &of_variable).unwrap();
    let mut daemon = rearguard();
    daemon
        .args(["--log-level", "error", "run", "--config", "rearguard.yaml"])
        .env("ITS_TOKEN", "a-token")
        // The loader complains of it wherever it is asked for it.
        .env("LD_PRELOAD", "/not/there.so")
        .current_dir(file.parent().unwrap())
        .stderr(Stdio::null());
    let mut daemon = Killed(daemon.spawn().unwrap());
    let process = daemon.0.id();
    let check = |process: u32, more: &[&str]| {
        let process = process.to_string();
        let mut command = rearguard();
        // Another configuration for whoever asks.
        command.env("REARGUARD_CONFIG", "/not/there").current_dir("/");
        said(&command.args(["check", "--start", "--as", &process]).args(more).output().unwrap())
    };
    let path = file.to_str().unwrap();
    let said = output(&["check", "--start", "--config", path]);
    assert_eq!(said.status.code(), Some(78), "without its environment there is no token");
    assert_eq!(check(process, &[]), (Some(0), String::new()));
    fs::write(&file, format!("{of_variable}nonsense: true\n")).unwrap();
    let said = check(process, &[]);
    assert!(said.0 == Some(78) && said.1.starts_with("rearguard.yaml:"), "{said:?}");
    // Who names a configuration means that one.
    fs::write(&other, &of_variable).unwrap();
    assert_eq!(check(process, &["--config", "other.yaml"]), (Some(0), String::new()));
    let said = check(std::process::id(), &[]);
    assert!(said.0 == Some(1) && said.1.contains("it is no `rearguard run`"), "{said:?}");
    daemon.0.kill().unwrap();
    daemon.0.wait().unwrap();
    let said = check(process, &[]);
    assert!(said.0 == Some(1) && said.1.contains("there is none"), "{said:?}");
}
