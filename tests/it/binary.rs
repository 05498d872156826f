//! The built binary: commands, signals, kill -9 and restart.

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rearguard::lab::{AppKind, Release, Source};
use tokio::time::Instant;

use crate::world::{APP, Api, PATIENCE, Settings, World};

pub(crate) fn rearguard() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rearguard"));
    command.env_remove("NOTIFY_SOCKET").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

pub(crate) fn output(args: &[&str]) -> Output {
    rearguard().args(args).output().unwrap()
}

/// A daemon in a process of its own. Killed when dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) api: Api,
}

impl Process {
    pub(crate) async fn start(world: &World, settings: &Settings) -> Self {
        Self::start_with(world, &world.yaml(settings)).await
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) async fn start_with(world: &World, text: &str) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(world.path("log")).unwrap();
        Self::start_by(rearguard().stderr(log), world, text).await
    }

    /// The same by a command of its own.
    pub(crate) async fn start_by(command: &mut Command, world: &World, text: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = text.replace("listen: 127.0.0.1:0", &format!("listen: 127.0.0.1:{port}"));
        std::fs::write(world.path("rearguard.yaml"), text).unwrap();
        let child = command.args(["run", "--config"]).arg(world.path("rearguard.yaml")).spawn().unwrap();
        let api = world.api(format!("http://127.0.0.1:{port}"));
        let mut process = Self { child, api };
        process.until_up(world).await;
        process
    }

    async fn until_up(&mut self, world: &World) {
        let deadline = Instant::now() + PATIENCE;
        while self.api.client.get(format!("{}/live", self.api.base)).send().await.is_err() {
            let ended = self.child.try_wait().unwrap();
            let log = || std::fs::read_to_string(world.path("log")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < deadline, "not up ({ended:?}):\n{}", log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits for the end, and gives the exit code.
    pub(crate) async fn end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_of_an_incident_a_restart_leads_to_the_same_end() {
    let moments = (0..24).map(|n| Duration::from_millis(120 * n));
    // Four at a time: enough to overlap, few enough not to starve each other on two cores.
    let moments: Vec<Duration> = moments.collect();
    for some in moments.chunks(4) {
        futures_util::future::join_all(some.iter().map(|moment| kill_after(*moment))).await;
    }
}

async fn kill_after(moment: Duration) {
    let world = World::new().await;
    let settings =
        Settings { watch: "30s", limits: "{ cooldown: 1h, max_rollbacks: 1 }", ..Settings::default() };
    let mut first = Process::start(&world, &settings).await;
    first.api.until("the live deployment", |app| app["live_deployment"].is_string()).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    tokio::time::sleep(Duration::from_millis(300) + moment).await;
    first.signal("-KILL");
    first.end().await;
    let second = Process::start(&world, &settings).await;
    let incident = second.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "killed after {moment:?}: {incident:#}");
    assert_eq!(world.writes(), (1, 1, 0), "killed after {moment:?}");
    assert_eq!(world.live_version().as_deref(), Some("v1"));
}

/// What takes a journal back to the schema of each earlier version, the newest one first.
const OLDER: [&str; 3] = [
    "DROP TABLE pause_words; PRAGMA user_version = 3",
    "DROP TABLE deliveries; DROP TABLE notices; DROP TABLE marks; PRAGMA user_version = 2",
    "ALTER TABLE paused DROP COLUMN pause; PRAGMA user_version = 1",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_update_in_the_middle_of_an_incident_goes_on_with_it() {
    for taken_back in 1..=OLDER.len() {
        let world = World::new().await;
        let soak = "{ period: 4s, min_samples: 5 }";
        let settings = Settings { watch: "30s", soak, ..Settings::default() };
        let mut old = Process::start(&world, &settings).await;
        old.api.until("the live deployment", |app| app["live_deployment"].is_string()).await;
        world.lab.push(APP, Release::bad("v2")).unwrap();
        old.api.until("a soak", |app| app["stage"] == "soaking").await;
        old.signal("-KILL");
        old.end().await;
        let journal = rusqlite::Connection::open(world.path("rearguard.db")).unwrap();
        for older in &OLDER[..taken_back] {
            journal.execute_batch(older).unwrap();
        }
        drop(journal);
        let new = Process::start(&world, &settings).await;
        let incident = new.api.until_closed().await;
        assert_eq!(incident["outcome"], "committed", "{taken_back} back: {incident:#}");
        assert_eq!(world.writes(), (1, 1, 0), "{taken_back} back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_costs_its_probes_and_nothing_else() {
    let world = World::new().await;
    let process = Process::start(&world, &Settings { watch: "60s", ..Settings::default() }).await;
    process.api.until("the live deployment", |app| app["live_deployment"].is_string()).await;
    world.lab.push(APP, Release::good("v2")).unwrap();
    process.api.until_state("watching").await;
    // Long enough for everything that is read once.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = process.api.metric("process_cpu_seconds_total").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let spent = process.api.metric("process_cpu_seconds_total").await - before;
    assert!(spent < 0.25, "{spent} CPU seconds in four");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_drains_within_five_seconds_and_exits_with_zero() {
    let world = World::new().await;
    let mut process = Process::start(&world, &Settings::default()).await;
    process.api.until("the live deployment", |app| app["live_deployment"].is_string()).await;
    let asked = Instant::now();
    process.signal("-TERM");
    assert_eq!(process.end().await, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_in_force_within_ten_seconds_and_a_bad_one_is_refused_whole() {
    let world = World::new().await;
    let process = Process::start(&world, &Settings::default()).await;
    let mode = |mode: &'static str| move |app: &serde_json::Value| app["mode"] == mode;
    process.api.until("enforce", mode("enforce")).await;
    let file = world.path("rearguard.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = Instant::now();
    std::fs::write(&file, text.replace("mode: enforce", "mode: observe")).unwrap();
    process.api.until("observe", mode("observe")).await;
    assert!(changed.elapsed() < Duration::from_secs(10));
    let loaded = "rearguard_config_last_reload_successful";
    assert_eq!(process.api.metric(loaded).await, 1.0);

    std::fs::write(&file, text.replace("mode: enforce", "mode: enforced")).unwrap();
    process.signal("-HUP");
    // What is in force is counted a moment later.
    let is_counted = async |successful: f64| {
        let deadline = Instant::now() + PATIENCE;
        while process.api.metric(loaded).await != successful {
            assert!(Instant::now() < deadline, "{loaded} does not become {successful}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    is_counted(0.0).await;
    assert_eq!(process.api.app().await["mode"], "observe");
    std::fs::write(&file, &text).unwrap();
    process.signal("-HUP");
    process.api.until("enforce again", mode("enforce")).await;
    is_counted(1.0).await;
}

#[test]
fn check_names_every_problem_and_exits_with_78() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.yaml");
    std::fs::write(&file, "lisen: 1\napps:\n  - name: shop\n    watch: soon\n").unwrap();
    let ended = output(&["check", "--config", file.to_str().unwrap()]);
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(78), "{said}");
    assert!(said.contains("bad.yaml:1:1: "), "{said}");
    assert!(said.contains("bad.yaml:4:12: apps[0].watch: "), "{said}");
    let run = output(&["run", "--config", file.to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(78));
}

#[test]
fn the_shipped_examples_pass_check_and_the_schema_is_printed() {
    for example in ["config/minimal.yaml", "config/full.yaml"] {
        let ended = output(&["check", "--config", example]);
        assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
        assert!(!ended.stdout.is_empty());
    }
    let schema = output(&["schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert!(schema["properties"]["apps"].is_object());
}

#[test]
fn a_proxy_to_the_platform_is_warned_of_where_nobody_else_vouches_for_the_network() {
    let said = |example: &str, proxy: &str| {
        let mut command = rearguard();
        command.env_remove("https_proxy").env_remove("ALL_PROXY").env_remove("all_proxy");
        let ended = command.args(["check", "--config", example]).env("HTTPS_PROXY", proxy).output().unwrap();
        String::from_utf8(ended.stdout).unwrap().contains("its API is reached through a proxy")
    };
    assert!(said("config/minimal.yaml", "http://proxy.example:3128"));
    assert!(!said("config/minimal.yaml", ""));
    assert!(!said("config/full.yaml", "http://proxy.example:3128"), "it has control probes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_init_prints_is_accepted_by_check_and_has_no_token() {
    let world = World::new().await;
    let lab = world.lab.base_url.as_str().trim_end_matches('/');
    let mut command = rearguard();
    command.args(["init", "--platform", "digitalocean", "--token-env", "LAB_TOKEN", "--api", lab]);
    let made = command.env("LAB_TOKEN", rearguard::lab::READ_TOKEN).output().unwrap();
    let text = String::from_utf8(made.stdout).unwrap();
    assert_eq!(made.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&made.stderr));
    assert!(!text.contains(rearguard::lab::READ_TOKEN) && made.stderr.is_empty());
    let file = world.path("made.yaml");
    std::fs::write(&file, text).unwrap();
    let mut command = rearguard();
    command.args(["check", "--online", "--config"]).arg(file).env("LAB_TOKEN", rearguard::lab::READ_TOKEN);
    let checked = command.output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stderr));
    // No way to name the token is no command.
    assert_eq!(output(&["init", "--platform", "sevalla"]).status.code(), Some(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_explained_in_every_form_and_its_decisions_come_out_identical() {
    let world = World::new().await;
    let process = Process::start(&world, &Settings::default()).await;
    process.api.until_state("steady").await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let incident = process.api.until_closed().await;
    let server = process.api.base.as_str();
    let picture = world.path("signal.svg");
    let ask = |words: &[&str]| {
        let ended = rearguard().args(words).args(["--server", server]).output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    };
    let id = incident["id"].as_str().unwrap();
    let text = ask(&["explain", id]);
    assert_eq!((&text, &text), (&ask(&["explain"]), &ask(&["explain", APP])), "the newest");
    assert!(text.contains("made again from what was recorded, came out identical"), "{text}");
    assert!(text.contains("> create_rollback: status 200, request") && !text.contains('\x1b'), "{text}");
    let json: serde_json::Value = serde_json::from_str(&ask(&["explain", id, "--json"])).unwrap();
    assert_eq!(json["replay"]["decisions"], json["replay"]["identical"]);
    for part in ["detect", "decide", "execute", "verify"] {
        assert!(json["durations"][part].is_number(), "{part}: {}", json["durations"]);
    }
    let at = |what: &str| {
        let marks = json["signal"]["marks"].as_array().unwrap();
        let mark = marks.iter().find(|mark| mark["what"] == what);
        let at = mark.unwrap_or_else(|| panic!("{what}: {marks:#?}"))["at"].as_str().unwrap();
        at.parse::<jiff::Timestamp>().unwrap()
    };
    assert!(at("live") < at("fired") && at("fired") < at("live_again") && at("live_again") < at("commit"));
    let markdown = ask(&["explain", id, "--markdown", "--svg", picture.to_str().unwrap()]);
    assert!(markdown.contains(&format!("]({})", picture.display())), "{markdown}");
    assert_eq!(ask(&["explain", id, "--svg", "-"]), std::fs::read_to_string(&picture).unwrap());
    let (status, served) = process.api.text(&format!("/api/v1/incidents/{id}/signal.svg")).await;
    assert_eq!((status, std::fs::read_to_string(picture).unwrap()), (200, served));
    assert!(ask(&["incidents", "--markdown"]).contains(&format!("| {id} | {APP} | committed | down |")));
}

#[test]
fn two_things_are_never_printed_at_once_and_no_tip_leads_nowhere() {
    for (words, said) in [
        (&["explain", "a", "--svg", "-", "--json"][..], "--svg - prints the picture alone"),
        (&["explain", "a", "--svg", "-", "--markdown"], "--svg - prints the picture alone"),
        (&["pause", "shop", "--json"], "unexpected argument '--json'"),
        (&["approve", "a", "--tarket", "b"], "a similar argument exists: '--target'"),
    ] {
        let ended = output(words);
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(64), "{words:?}: {told}");
        assert!(told.contains(said) && !told.contains("as a value"), "{words:?}: {told}");
        assert!(ended.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure_and_a_reader_that_went_away_is_none() {
    use std::io::Read;
    for words in [&["schema"][..], &["completions", "bash"], &["--help"], &["--version"], &["run", "--help"]]
    {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let ended = rearguard().args(words).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{words:?}: {said}");
        assert!(
            said.starts_with("rearguard: failed to write the output: No space left"),
            "{words:?}: {said}"
        );
        let piped = std::process::Stdio::piped;
        let mut left = rearguard().args(words).stdout(piped()).stderr(piped()).spawn().unwrap();
        drop(left.stdout.take());
        let mut said = String::new();
        left.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((left.wait().unwrap().code(), said.as_str()), (Some(0), ""), "{words:?}");
    }
}

#[test]
fn a_demo_that_nobody_reads_any_more_ends_at_once_and_a_lab_goes_on() {
    use std::io::{BufRead, BufReader, Read};
    let piped = || Stdio::piped();
    let began = Instant::now();
    let mut demo = rearguard().arg("demo").stdout(piped()).stderr(piped()).spawn().unwrap();
    drop(demo.stdout.take());
    let mut said = String::new();
    demo.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((demo.wait().unwrap().code(), said.as_str()), (Some(0), ""));
    assert!(began.elapsed() < Duration::from_secs(10));

    let words = ["lab", "--listen", "127.0.0.1:0"];
    let mut lab = rearguard().args(words).stdout(piped()).stderr(piped()).spawn().unwrap();
    let mut lines = BufReader::new(lab.stdout.take().unwrap()).lines();
    let api = lines.find_map(|line| line.unwrap().split_once("api ").map(|(_, api)| api.trim().to_owned()));
    drop(lines);
    let address = api.unwrap().replace("http://", "");
    assert!(std::net::TcpStream::connect(address).is_ok());
    assert_eq!(lab.try_wait().unwrap(), None);
    lab.kill().unwrap();
    lab.wait().unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = rearguard().args(words).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.starts_with("rearguard: failed to write the output: No space left"), "{said}");
    assert_eq!(ended.status.code(), Some(1));
}

#[test]
fn completions_and_manual_pages_are_printed_and_nothing_is_coloured_that_is_no_terminal() {
    for words in [&["completions", "bash"][..], &["man"], &["--help"], &["explain", "--help"], &["schema"]] {
        let ended = output(words);
        assert_eq!(ended.status.code(), Some(0), "{words:?}");
        let said = String::from_utf8(ended.stdout).unwrap();
        assert!(said.len() > 500 && !said.contains('\x1b'), "{words:?}");
    }
    assert_eq!(output(&["completions", "tcsh"]).status.code(), Some(64));
}

#[test]
fn the_demo_ends_within_a_minute_with_the_app_healthy() {
    the_demo_ends_well(
        "digitalocean",
        &["new deployments are blocked meanwhile", "rearguard  commit_rollback"],
    );
}

#[test]
fn the_demo_ends_as_well_where_pushes_are_paused_instead_of_a_pin() {
    let pause = ["pushes are not deployed meanwhile", "unpin: done, pushes are deployed again"];
    let switched = ["rearguard  set_auto_deploy off", "rearguard  set_auto_deploy on"];
    let said = the_demo_ends_well("sevalla", &[pause, switched].concat());
    assert!(!said.contains("blocked") && !said.contains("commit_rollback"), "{said}");
}

/// Gives what it said.
fn the_demo_ends_well(platform: &str, parts: &[&str]) -> String {
    let began = Instant::now();
    let ended = output(&["demo", "--platform", platform]);
    let took = began.elapsed();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{took:?}\n{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    assert!(took < Duration::from_secs(60), "{took:?}");
    for part in ["ended as committed", "shop runs v2 again and is not pinned: the next push deploys as usual"]
    {
        assert!(said.contains(part), "no {part} in\n{said}");
    }
    // In this order.
    let mut rest = said.as_str();
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { panic!("no {part} in\n{rest}\nof\n{said}") };
        rest = after;
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_without_certificates_is_named_as_such_and_plain_http_needs_none() {
    let world = World::new().await;
    std::fs::write(world.path("none.pem"), "").unwrap();
    let plain = world.yaml(&Settings::default());
    let lab = world.lab.base_url.as_str().trim_end_matches('/').to_owned();
    let check = |text: &str| {
        std::fs::write(world.path("rearguard.yaml"), text).unwrap();
        let mut command = rearguard();
        command.args(["check", "--online", "--config"]).arg(world.path("rearguard.yaml"));
        command.env("SSL_CERT_FILE", world.path("none.pem")).env("SSL_CERT_DIR", world.path("none"));
        command.output().unwrap()
    };
    let found = check(&plain);
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));

    let found = check(&plain.replace(&format!("api: {lab}"), "api: https://127.0.0.1:1"));
    let said = String::from_utf8_lossy(&found.stderr);
    assert!(
        !found.status.success() && said.contains("install ca-certificates or set SSL_CERT_FILE"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_start_would_lack_is_said_before_as_the_start_itself_says_it() {
    let world = World::new().await;
    let whole = world.yaml(&Settings::default());
    let token = format!(" token_file: {}", world.path("token").display());
    let (away, unset) =
        (whole.replace(&token, &format!("{token}.away")), whole.replace(&token, " token_env: NOT_THERE"));
    let wrong = world.path("mistyped.pem");
    // An address for documents (RFC 5737), which no machine has.
    let elsewhere = whole.replacen("listen: 127.0.0.1:0", "listen: 192.0.2.1:9797", 1);
    assert_ne!(elsewhere, whole);
    let ask = |words: &[&str], text: &str, authorities: Option<&std::path::Path>| {
        std::fs::write(world.path("rearguard.yaml"), text).unwrap();
        let mut command = rearguard();
        command.args(words).arg("--config").arg(world.path("rearguard.yaml"));
        if let Some(file) = authorities {
            command.env("SSL_CERT_FILE", file).env_remove("SSL_CERT_DIR");
        }
        let ended = command.args(["--log-level", "error"]).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        (ended.status.code(), said)
    };
    assert_eq!(ask(&["check", "--start"], &whole, None), (Some(0), String::new()));
    let (newer, directory) = (world.path("newer.db"), world.path("a-directory"));
    std::fs::create_dir(&directory).unwrap();
    drop(rearguard::journal::SqliteJournal::open(&newer).unwrap());
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let state = format!("state: {}", world.path("rearguard.db").display());
    let of_newer = whole.replace(&state, &format!("state: {}", newer.display()));
    let of_directory = whole.replace(&state, &format!("state: {}", directory.display()));
    assert!(of_newer != whole && of_directory != whole);
    for (text, authorities, code) in [
        (of_newer, None, 78),
        (of_directory, None, 78),
        (away, None, 78),
        (unset, None, 78),
        (elsewhere, None, 70),
        (whole.clone(), Some(wrong.as_path()), 70),
    ] {
        assert_eq!(ask(&["check"], &text, authorities), (Some(0), String::new()), "they may be elsewhere");
        let said = ask(&["check", "--start"], &text, authorities);
        assert_eq!(said.0, Some(code), "{}", said.1);
        assert_eq!(said, ask(&["run"], &text, authorities));
    }
}

#[test]
fn a_log_filter_of_the_environment_that_would_switch_logs_off_is_a_wrong_configuration() {
    for (words, variable, code) in
        [(&["schema"][..], "info  # more", 78), (&["schema", "--log-level", "info # more"], "info", 64)]
    {
        let ended = rearguard().args(words).env("RUST_LOG", variable).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        let name = if code == 78 { "RUST_LOG" } else { "--log-level" };
        assert_eq!(ended.status.code(), Some(code), "{said}");
        assert!(said.contains(name) && said.contains("on a line of its own"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_would_never_be_tried_is_told_of_where_the_app_is_asked_for() {
    for (kind, why) in [
        (AppKind::sevalla(Source::PrivateGit), Some("the platform would take what was restarted")),
        (AppKind::sevalla(Source::PublicGit), Some("the platform would take what was restarted")),
        (AppKind::sevalla(Source::StaticSite), Some("the platform has none for this app")),
        (AppKind::sevalla(Source::DockerImage), None),
        (AppKind::DigitalOcean, None),
    ] {
        let world = World::of(kind).await;
        let text = world.yaml(&Settings::default());
        let text = text.replace("    mode: enforce\n", "    mode: enforce\n    restart_first: 90s\n");
        std::fs::write(world.path("rearguard.yaml"), text).unwrap();
        let mut command = rearguard();
        command.args(["check", "--online", "--config"]).arg(world.path("rearguard.yaml"));
        let found = command.output().unwrap();
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let said = String::from_utf8(found.stdout).unwrap();
        let warning = said.lines().find(|line| line.contains("WARNING: restart_first does nothing here"));
        assert_eq!(warning.is_some(), why.is_some(), "{said}");
        assert!(warning.is_none_or(|warning| warning.contains(why.unwrap())), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_watched_and_not_rolled_back_is_told_of_before_at_the_start_and_when_it_becomes_so() {
    let world = World::of(AppKind::Sevalla { source: Source::PrivateGit, auto_deploy: None }).await;
    let text = world.yaml(&Settings::default()).replace("    accept_platform_choice: true\n", "");
    std::fs::write(world.path("rearguard.yaml"), &text).unwrap();
    let check = |more: &[&str]| {
        let mut command = rearguard();
        command.arg("check").args(more).arg("--config").arg(world.path("rearguard.yaml"));
        let found = command.output().unwrap();
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        String::from_utf8(found.stdout).unwrap()
    };
    let (offline, online) = (check(&[]), check(&["--online"]));
    assert!(offline.contains("is watched and not rolled back") && !offline.contains("WARNING"), "{offline}");
    assert!(online.contains("WARNING: it is watched and not rolled back"), "{online}");
    assert!(!online.contains("restart_first"), "{online}");

    let guard = Process::start_with(&world, &text).await;
    guard.api.until("the word", |app| app["rollback"]["reason"] == "not_valid").await;
    let told = || {
        let log = std::fs::read_to_string(world.path("log")).unwrap();
        log.matches("the app is watched and not rolled back").count()
    };
    assert_eq!(told(), 1);
    // Told again where a reload makes it so, and not where it leaves it so.
    let file = world.path("rearguard.yaml");
    let refusing = std::fs::read_to_string(&file).unwrap();
    let approving = refusing.replace("mode: enforce", "mode: approve");
    let accepting = refusing.replace("mode: enforce", "mode: enforce\n    accept_platform_choice: true");
    type Is = fn(&serde_json::Value) -> bool;
    let reloads: [(&str, Is, usize); 3] = [
        (&approving, |app| app["mode"] == "approve", 1),
        (&accepting, |app| app["mode"] == "enforce" && app["rollback"]["reason"] != "not_valid", 1),
        (&refusing, |app| app["rollback"]["reason"] == "not_valid", 2),
    ];
    for (text, is_in_force, times) in reloads {
        std::fs::write(&file, text).unwrap();
        guard.signal("-HUP");
        guard.api.until("the other configuration", is_in_force).await;
        assert_eq!(told(), times, "{text}");
    }
}
