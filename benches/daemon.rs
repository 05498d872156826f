//! What the built daemon costs and how fast it reacts, against the lab on loopback.
//!
//! ```text
//! cargo bench --bench daemon -- reaction   from the answer that makes a rule fire to the validation's arrival
//! cargo bench --bench daemon -- memory     resident memory at 100, 1,000 and 10,000 apps
//! cargo bench --bench daemon -- cpu        CPU seconds in 120 s at 1,000 targets, and API calls; and what a loop
//!                                          around reqwest costs that sends the same requests and does nothing else
//! cargo bench --bench daemon -- budget     reads a minute of so many apps on Sevalla at this poll, of the 400 allowed
//! cargo bench --bench daemon               all of them
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, reason = "the figures are the output")]

#[path = "shared/guard.rs"]
mod guard;

use std::fmt::Write as _;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use rearguard::lab::{
    AppKind, Durations, GUARD_TOKEN, Lab, LabConfig, Operation, RateLimit, Release, RunningLab, Source,
};
use tokio::time::{Instant, interval_at, sleep};

use guard::{BUILT, Daemon, Process};

/// The hidden word that makes this program its own yardstick.
const BARE: &str = "bare";

#[tokio::main]
async fn main() {
    rearguard::platform::http::install_tls();
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if let [BARE, base, count] = asked.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        bare(base, count.parse().unwrap()).await;
    }
    let wants = |name: &str| asked.is_empty() || asked.iter().any(|arg| arg == name);
    if wants("reaction") {
        reaction().await;
    }
    if wants("memory") {
        memory().await;
    }
    if wants("cpu") {
        cpu().await;
    }
    if wants("budget") {
        budget().await;
    }
}

/// CPU seconds that `process` uses within `span`.
async fn cpu_within(process: &Process, span: Duration) -> f64 {
    let before = process.cpu();
    sleep(span).await;
    process.cpu() - before
}

/// A daemon that polls `api` this often and asks for nothing else, with the rest of its configuration.
async fn start(api: &str, poll: &str, rest: &str) -> Daemon {
    let platform = format!("kind: digitalocean, api: {api}, poll: {poll}, readiness: 0s, bandwidth: 0s");
    start_on(&platform, rest).await
}

async fn start_on(platform: &str, rest: &str) -> Daemon {
    Daemon::start(BUILT, |folder, port| {
        let path = folder.display();
        format!(
            "listen: 127.0.0.1:{port}\nstate: {path}/rearguard.db\nplatforms:\n  - {{ name: ocean, \
             token_file: {path}/token, {platform} }}\n{rest}"
        )
    })
    .await
}

/// One scrape.
async fn metrics(daemon: &Daemon) -> String {
    daemon.client.get(format!("{}/metrics", daemon.base)).send().await.unwrap().text().await.unwrap()
}

/// Waits until the app's live deployment is known and its probe was answered.
async fn until_seen(daemon: &Daemon, app: &str) {
    loop {
        let url = format!("{}/api/v1/apps/{app}", daemon.base);
        let app: serde_json::Value = daemon.client.get(url).send().await.unwrap().json().await.unwrap();
        if app["live_deployment"].is_string() && app["probes"][0]["result"] == "good" {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn lab(count: usize) -> (RunningLab, String) {
    let lab = Lab::start(LabConfig::default()).await.unwrap();
    lab.create_apps("app", count).unwrap();
    let base = lab.base_url.as_str().trim_end_matches('/').to_owned();
    // The first pass over the list renders each app once; that is the lab's cost, not the daemon's.
    let client = reqwest::Client::new();
    for page in 1..=count.div_ceil(200) {
        let url = format!("{base}/v2/apps?per_page=200&page={page}");
        client.get(url).bearer_auth(GUARD_TOKEN).send().await.unwrap().bytes().await.unwrap();
    }
    (lab, base)
}

fn apps(lab: &RunningLab, base: &str, count: usize, period: &str) -> String {
    let mut text = String::from("apps:\n");
    for n in 0..count {
        let name = format!("app-{n:05}");
        let id = lab.app(&name).unwrap().id;
        let probe = format!("{{ name: home, url: {base}/sites/{name}/healthz, period: {period} }}");
        write!(
            text,
            "  - name: {name}\n    platform: ocean\n    id: {id}\n    mode: enforce\n    watch: 1s\n    probes: [{probe}]\n    \
             rules: [{{ name: down, probe: home, consecutive_failures: 3 }}]\n"
        )
        .unwrap();
    }
    text
}

/// Fleets on Sevalla at its documented limits, everything else as it is by default, side by side.
async fn budget() {
    const MINUTE: usize = 60;
    let (settle, seconds) = (Duration::from_secs(90), 240);
    println!("reads a minute on Sevalla, of 400 allowed, over {seconds} s:");
    println!("  apps  poll   a minute  busiest minute  refused (429)  apps read, seconds apart");
    // What takes half of the limit by `check`'s reckoning, and what takes more.
    let fleets = [(49, 15), (98, 30), (196, 60), (98, 15), (196, 15), (390, 15)];
    let rows = fleets.map(|(count, poll)| async move {
        let lab = Lab::start(LabConfig { rate_limit: RateLimit::DOCUMENTED, ..LabConfig::default() })
            .await
            .unwrap();
        lab.create_apps_of("app", count, AppKind::sevalla(Source::DockerImage)).unwrap();
        let base = lab.base_url.as_str().trim_end_matches('/');
        let platform = format!("kind: sevalla, api: {base}/v3, poll: {poll}s");
        let daemon = start_on(&platform, &apps(&lab, base, count, "30s")).await;
        sleep(settle).await;
        let reads = || lab.ledger().calls.values().sum::<u64>();
        let lists = || lab.ledger().calls(Operation::ListDeployments);
        let refused = async || {
            let text = metrics(&daemon).await;
            let is_refused = |line: &&str| line.contains("requests_total") && line.contains("code=\"429\"");
            let of = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
            text.lines().filter(is_refused).filter_map(of).sum::<f64>()
        };
        let (listed, refused_before) = (lists(), refused().await);
        let mut counts = vec![reads()];
        for _ in 0..seconds {
            sleep(Duration::from_secs(1)).await;
            counts.push(reads());
        }
        let all = counts[seconds] - counts[0];
        let busiest = counts.windows(MINUTE + 1).map(|minute| minute[MINUTE] - minute[0]).max().unwrap();
        let apart = (seconds * count) as f64 / (lists() - listed) as f64;
        let row = format!(
            "  {count:>4}  {poll:>3}s  {:>8.0}  {busiest:>14}  {:>13}  {apart:>8.0}",
            all as f64 * 60.0 / seconds as f64,
            refused().await - refused_before,
        );
        drop(daemon);
        lab.stop().await;
        row
    });
    for row in futures_util::future::join_all(rows).await {
        println!("{row}");
    }
}

async fn cpu() {
    let (count, seconds) = (1_000, 120);
    let (settle, span) = (Duration::from_secs(20), Duration::from_secs(seconds));
    let (lab, base) = lab(count).await;
    let mut bare = Command::new(std::env::current_exe().unwrap());
    let bare = Process(bare.args([BARE, &base, &count.to_string()]).spawn().unwrap());
    sleep(settle).await;
    let least = cpu_within(&bare, span).await;
    drop(bare);
    let daemon = start(&base, "15s", &apps(&lab, &base, count, "15s")).await;
    sleep(settle).await;
    let before = calls(&lab);
    let used = cpu_within(&daemon.process, span).await;
    let after = calls(&lab);
    println!("{count} targets, one probe each every 15 s, over {seconds} s:");
    println!("  CPU seconds       {used:>8.2}   (aim: at most 2)");
    println!("  a bare loop's     {least:>8.2}   (the daemon costs {:.1} times that)", used / least);
    let hourly = (after.0 - before.0) * 3_600 / seconds;
    println!("  list calls/hour   {hourly:>8}   (aim: 5 pages a poll, a poll every 15 s: 1,200)");
    println!("  other API calls   {:>8}   (aim: none)", after.1 - before.1);
}

/// The same requests as the daemon's probes, over a connection each as well, and nothing else.
async fn bare(base: &str, count: u32) {
    let client = reqwest::Client::builder()
        .default_headers(HeaderMap::from_iter([(CONNECTION, HeaderValue::from_static("close"))]))
        .pool_max_idle_per_host(0)
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .build()
        .unwrap();
    let (start, period) = (Instant::now(), Duration::from_secs(15));
    for n in 0..count {
        let client = client.clone();
        let url: url::Url = format!("{base}/sites/app-{n:05}/healthz").parse().unwrap();
        let mut due = interval_at(start + period * n / count, period);
        tokio::spawn(async move {
            loop {
                due.tick().await;
                assert!(client.get(url.clone()).send().await.unwrap().status().is_success());
            }
        });
    }
    std::future::pending::<()>().await;
}

/// Calls of the list, and all others.
fn calls(lab: &RunningLab) -> (u64, u64) {
    let ledger = lab.ledger();
    let list = ledger.calls(Operation::ListApps);
    (list, ledger.calls.values().sum::<u64>() - list)
}

async fn memory() {
    println!("resident memory, one probe each every 10 s:");
    for (count, aim) in [(100, "-"), (1_000, "25"), (10_000, "150")] {
        let (lab, base) = lab(count).await;
        let daemon = start(&base, "15s", &apps(&lab, &base, count, "10s")).await;
        sleep(Duration::from_secs(45)).await;
        let (quiet, peak) = (daemon.process.memory("VmRSS:"), daemon.process.memory("VmHWM:"));
        let began = Instant::now();
        let text = metrics(&daemon).await;
        let (took, scraped) = (began.elapsed().as_secs_f64() * 1e3, daemon.process.memory("VmRSS:"));
        println!(
            "  {count:>6} apps {quiet:>7.1} MB (aim {aim}; peak {peak:.1}); after a scrape of {:.1} MB in \
             {took:.0} ms: {scraped:.1} MB",
            text.len() as f64 / 1e6,
        );
    }
}

/// When the last failing answer was given, and when the first validation arrived.
#[derive(Clone)]
struct Watched {
    lab: String,
    client: reqwest::Client,
    answered: Arc<Mutex<Option<Instant>>>,
    validated: Arc<Mutex<Option<Instant>>>,
}

async fn reaction() {
    let rounds = 20;
    let mut millis = Vec::new();
    for _ in 0..rounds {
        millis.push(react().await);
    }
    millis.sort_by(f64::total_cmp);
    println!("from the answer that makes a rule fire to the arrival of the validation, {rounds} rounds:");
    let (median, worst) = (millis[rounds / 2], millis[rounds - 1]);
    println!("  median {median:.1} ms, worst {worst:.1} ms   (aim: under 20)");
}

async fn react() -> f64 {
    let durations = Durations { pending_ms: 10, build_ms: 50, deploy_ms: 50, rollback_ms: 100 };
    let lab = Lab::start(LabConfig { durations, ..LabConfig::default() }).await.unwrap();
    let id = lab.create_app("shop", Release::good("v1")).unwrap().id;
    let base = lab.base_url.as_str().trim_end_matches('/').to_owned();
    let (answered, validated) = (Arc::default(), Arc::default());
    let watched = Watched { lab: base.clone(), client: reqwest::Client::new(), answered, validated };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(relay).with_state(watched.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let rest = format!(
        "control_probes: [{{ url: {base}/up, period: 1s }}]\napps:\n  - name: shop\n    platform: ocean\n    \
         id: {id}\n    mode: enforce\n    probes: [{{ name: home, url: {front}/sites/shop/healthz, \
         period: 200ms }}]\n    rules: [{{ name: down, probe: home, consecutive_failures: 3 }}]\n"
    );
    let daemon = start(&front, "1s", &rest).await;
    until_seen(&daemon, "shop").await;
    lab.push("shop", Release::bad("v2")).unwrap();
    let began = Instant::now();
    while watched.validated.lock().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(60), "no validation");
        sleep(Duration::from_millis(5)).await;
    }
    let answered = watched.answered.lock().unwrap().unwrap();
    let validated = watched.validated.lock().unwrap().unwrap();
    drop(daemon);
    lab.stop().await;
    validated.duration_since(answered).as_secs_f64() * 1e3
}

/// Passes a request on to the lab, noting the two instants.
async fn relay(
    State(watched): State<Watched>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if uri.path().ends_with("/rollback/validate") {
        watched.validated.lock().unwrap().get_or_insert_with(Instant::now);
    }
    let mut asked = watched.client.request(method, format!("{}{uri}", watched.lab)).body(body);
    for name in ["authorization", "content-type"] {
        if let Some(value) = headers.get(name) {
            asked = asked.header(name, value);
        }
    }
    let answer = asked.send().await.unwrap();
    let (status, date) = (answer.status(), answer.headers().get("date").cloned());
    let bytes = answer.bytes().await.unwrap();
    let is_failure = uri.path().starts_with("/sites/") && status != StatusCode::OK;
    if is_failure && watched.validated.lock().unwrap().is_none() {
        *watched.answered.lock().unwrap() = Some(Instant::now());
    }
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    if let Some(date) = date {
        response.headers_mut().insert("date", date);
    }
    response
}
