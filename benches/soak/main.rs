//! The soak: one daemon process over a thousand apps for an hour in which nothing is left in peace, and whether its
//! memory, descriptors and journal stay where they are.
//!
//! ```text
//! cargo bench --bench soak                            three minutes: does it work at all
//! cargo bench --bench soak -- --minutes 60            the soak; --warm-up 15 (minutes), --apps 1000, --csv FILE,
//!                                                     --binary FILE (another build of the daemon)
//! ```
//!
//! What takes minutes to months in production takes seconds: watches, soaks, cooldowns, budgets, and the journal's
//! retention, so that an hour sees each of them end hundreds of times. Thirty-two apps get a release every few
//! seconds, most of them bad in one way or another, while people interfere, the platform answers with everything but
//! what was asked, the network is cut off, the token revoked, and the configuration changed and changed back. Every
//! other app is released to once, in the warm-up, and is probed, polled and struck by the same faults.
//!
//! The warm-up is there for what is bounded but fills: an app's ledger keeps the newest 32 of everything, which takes
//! a busy app some minutes. A slope is told from noise as [`trend`] says. Ends with 1 if a figure grows or a promise
//! is broken.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, reason = "the figures are the output")]

mod faults;
mod gauges;
mod ground;
#[path = "../shared/guard.rs"]
mod guard;
mod judge;
mod people;
mod report;
mod trend;
mod visitors;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rearguard::lab::{Durations, Lab, LabConfig};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use gauges::{EVERY, GAUGES, Gauges, Sample};
use ground::{ADMIN, BUSY, Ground, Variant, busy, configuration, create_apps};
use guard::{BUILT, Daemon};
use judge::Broken;
use visitors::{Scrape, scrape, series};

/// How long everything has to come to rest at the end.
const REST: Duration = Duration::from_secs(90);

/// What was asked for.
struct Asked {
    /// How long it runs.
    length: Duration,
    /// How much of that is not looked at.
    warm_up: Duration,
    apps: usize,
    /// Where the samples are written to.
    csv: Option<String>,
    /// The daemon.
    binary: String,
}

impl Asked {
    fn read() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let value =
            |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1).cloned());
        let number = |name: &str| value(name).map(|value| value.parse::<f64>().expect("a number"));
        let minutes = |minutes: f64| Duration::from_secs_f64(minutes * 60.0);
        let length = minutes(number("--minutes").unwrap_or(3.0));
        Self {
            length,
            warm_up: number("--warm-up").map_or(length / 4, minutes),
            apps: value("--apps").map_or(1_000, |apps| apps.parse().expect("a number")),
            csv: value("--csv"),
            binary: value("--binary").unwrap_or_else(|| BUILT.to_owned()),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    // `cargo test --all-targets` runs benchmarks, too, without this word.
    if !std::env::args().any(|arg| arg == "--bench") {
        println!("not asked to: cargo bench --bench soak");
        return ExitCode::SUCCESS;
    }
    rearguard::platform::http::install_tls();
    let asked = Asked::read();
    let durations = Durations { pending_ms: 20, build_ms: 150, deploy_ms: 100, rollback_ms: 200 };
    let lab = Lab::start(LabConfig { durations, ..LabConfig::default() }).await.unwrap();
    create_apps(&lab, asked.apps);
    let lab_base = lab.base_url.as_str().trim_end_matches('/').to_owned();
    let mut port = 0;
    let daemon = Daemon::start(&asked.binary, |folder, at| {
        port = at;
        std::fs::write(folder.join("admin"), ADMIN).unwrap();
        configuration(&lab, &lab_base, asked.apps, (folder, at), Variant::First)
    })
    .await;
    let ground = Arc::new(Ground {
        lab: lab.handle(),
        lab_base,
        base: daemon.base.clone(),
        client: daemon.client.clone(),
        apps: asked.apps,
        stop: CancellationToken::new(),
        tally: Mutex::default(),
        trouble: Mutex::default(),
        paused: Mutex::default(),
        cuts: Mutex::default(),
        incidents: Mutex::default(),
    });
    let mut broken = Broken::default();
    run(&asked, &ground, daemon, port, &mut broken).await;
    lab.stop().await;
    for broken in &broken.0 {
        println!("BROKEN {broken}");
    }
    println!("{}", if broken.0.is_empty() { "every promise that was looked at is kept" } else { "NOT KEPT" });
    if broken.0.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(asked: &Asked, ground: &Arc<Ground>, daemon: Daemon, port: u16, broken: &mut Broken) {
    let mut gauges = Gauges::new(&daemon.process, daemon.folder.path());
    until_at_rest(ground).await;
    sleep(Duration::from_secs(20)).await;
    let before = gauges.look(&daemon.process);
    let (began, own) = (Instant::now(), own_cpu());
    let scrapes = Arc::new(Mutex::new(Vec::new()));
    let resting = CancellationToken::new();
    let mut answering = JoinSet::new();
    answering.spawn(people::answer_for_ever(Arc::clone(ground), resting.clone()));
    let mut tasks = start(asked, ground, &daemon, port, &scrapes);
    let mut samples = Vec::new();
    let mut known = None;
    let mut due = tokio::time::interval(EVERY);
    while began.elapsed() < asked.length {
        due.tick().await;
        samples.push(gauges.look(&daemon.process));
        if known.is_none() && began.elapsed() >= asked.warm_up {
            known = scrape(ground).await.map(|text| series(&text));
        }
        if samples.len() % 150 == 0 {
            progress(&samples, began);
        }
    }
    let busy = (own_cpu() - own) / began.elapsed().as_secs_f64();
    ground.stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    // Whatever was begun comes to its end; then the people go home, and nothing may be forgotten.
    let left = until_at_rest(ground).await;
    resting.cancel();
    while let Some(ended) = answering.join_next().await {
        ended.unwrap();
    }
    visitors::read_incidents(ground).await;
    let pins = judge::pins(ground, broken).await;
    let after = gauges.look(&daemon.process);
    let text = scrape(ground).await.expect("a scrape at the end");
    for path in ["/live", "/ready"] {
        if ground.status(path).await != 200 {
            broken.0.push(format!("{path} is not 200 at the end"));
        }
    }
    if !left.is_empty() {
        broken.0.push(format!("[I26] not at rest after {} s: {left:?}", REST.as_secs()));
    }
    let found = judge::ledger(ground, broken);
    report::figures(asked, began, &samples, &scrapes.lock().unwrap(), broken);
    report::at_rest(&before, &after);
    report::cardinality(&known.unwrap_or_default(), &series(&text));
    println!("the driver itself, lab and all, used {busy:.2} cores");
    report::ledger(&found, pins);
    report::tallies(ground, &text);
    report::end(daemon, &text, broken);
    report::write_csv(asked, began, &samples);
}

/// Starts everything that disturbs the daemon.
fn start(
    asked: &Asked,
    ground: &Arc<Ground>,
    daemon: &Daemon,
    port: u16,
    scrapes: &Arc<Mutex<Vec<Scrape>>>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for n in 0..BUSY {
        tasks.spawn(people::release_for_ever(Arc::clone(ground), n));
    }
    tasks.spawn(people::release_once(Arc::clone(ground), asked.warm_up * 9 / 10));
    for seed in 0..2 {
        tasks.spawn(faults::lay_for_ever(Arc::clone(ground), seed));
    }
    tasks.spawn(faults::cut_off_for_ever(Arc::clone(ground)));
    tasks.spawn(faults::revoke_for_ever(Arc::clone(ground)));
    let (folder, pid) = (daemon.folder.path().to_owned(), daemon.process.0.id());
    tasks.spawn(faults::reconfigure_for_ever(Arc::clone(ground), folder, port, pid));
    tasks.spawn(visitors::scrape_for_ever(Arc::clone(ground), Arc::clone(scrapes)));
    tasks.spawn(visitors::keep_incidents(Arc::clone(ground)));
    tasks.spawn(visitors::look_for_ever(Arc::clone(ground)));
    tasks.spawn(visitors::misbehave_for_ever(Arc::clone(ground)));
    tasks
}

/// Waits until no busy app is in an incident, held or pinned, and gives those that still are after [`REST`].
async fn until_at_rest(ground: &Ground) -> Vec<String> {
    let began = Instant::now();
    loop {
        let mut restless = Vec::new();
        for n in 0..BUSY {
            let app = ground.get(&format!("/api/v1/apps/{}", busy(n))).await.unwrap_or_default();
            let at_rest = matches!(app["state"].as_str(), Some("steady" | "learning"))
                && app["live_deployment"].is_string()
                && app["pinned_deployment"].is_null();
            if !at_rest {
                let keys =
                    ["state", "stage", "waiting", "pinned_deployment", "platform_fault", "platform_read_at"];
                restless.push(format!("{} {}", busy(n), keys.map(|key| app[key].to_string()).join(" ")));
            }
        }
        if restless.is_empty() || began.elapsed() > REST {
            return restless;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

fn progress(samples: &[Sample], began: Instant) {
    let Some(last) = samples.last() else { return };
    let mut line = format!("{:>4.0} min", began.elapsed().as_secs_f64() / 60.0);
    for (name, read) in GAUGES {
        write!(line, "  {} {:.1}", name.trim(), read(last)).unwrap();
    }
    println!("{line}");
}

/// CPU seconds of this process: the lab, the people and the visitors.
fn own_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
