//! A real Prometheus server that scrapes an app, and a rule on what it measured. Skipped, with a note, where there is none.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rearguard::lab::Release;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::binary::Process;
use crate::world::{APP, Settings, World};

/// A server of its own, ended when dropped.
struct Prometheus {
    child: Child,
    url: String,
}

impl Prometheus {
    /// One that scrapes `target` five times a second; none where it is not installed.
    fn start(world: &World, target: &str) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\n\
             scrape_configs: [{{ job_name: app, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
        );
        std::fs::write(world.path("prometheus.yml"), text).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", world.path("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", world.path("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Some(Self { child, url: format!("http://127.0.0.1:{port}") }),
            Err(error) => {
                // Not by a macro, of which a test that passes keeps what it says back.
                let line =
                    format!("SKIPPED: no Prometheus to ask ({error}); install the package prometheus\n");
                let _ = std::io::stderr().write_all(line.as_bytes());
                None
            }
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The app's own metrics: a share of errors that is high while `bad` says so. Nobody answers any more once `gone` is true.
async fn exporter(bad: Arc<AtomicBool>, gone: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while !gone.load(Ordering::SeqCst) {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let ratio = if bad.load(Ordering::SeqCst) { 0.31 } else { 0.01 };
            let body = format!("app_errors_ratio{{pod=\"a\"}} 0\napp_errors_ratio{{pod=\"b\"}} {ratio}\n");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// An app that counts: a hundred requests between two scrapes, of which so many fail. It counts anew from nothing every
/// thirty scrapes.
async fn counting(bad: Arc<AtomicU32>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut scrapes, mut requests, mut errors) = (0, 0, 0);
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            scrapes += 1;
            if scrapes % 30 == 0 {
                (requests, errors) = (0, 0);
            }
            requests += 100;
            errors += bad.load(Ordering::SeqCst);
            let body = format!(
                "app_requests_total{{code=\"200\"}} {}\napp_requests_total{{code=\"500\"}} {errors}\n",
                requests - errors
            );
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// The configuration with what the app counts in it.
fn counted(world: &World, settings: &Settings, url: &str) -> String {
    let figure = format!(
        "prometheus: {{ url: {}, errors: 'app_requests_total{{code=~\"5..\"}}', requests: app_requests_total, max_age: 5s }}",
        url
    );
    let pace = "period: 200ms, watch_period: 200ms, burst: 200ms, timeout: 1s, settle: 0s";
    let probe = format!("      - {{ name: counted, {pace}, {figure} }}\n    rules: ");
    world.yaml(settings).replace("    rules: ", &probe)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_counts_itself_is_held_against_the_release_before() {
    let world = World::new().await;
    let bad = Arc::new(AtomicU32::new(0));
    let target = counting(Arc::clone(&bad)).await;
    let Some(prometheus) = Prometheus::start(&world, &target) else { return };

    let rules = "[{ name: down, probe: home, consecutive_failures: 3 }, \
                  { name: worse, probe: counted, regression: { glitch: 0s } }]";
    let settings = Settings { rules, watch: "10s", ..Settings::default() };
    let yaml = counted(&world, &settings, &prometheus.url);
    let guard = world.daemon_of(&yaml).await;
    guard.api.until_state("steady").await;
    let app = guard.api.until("a share", |app| app["probes"][1]["result"] == "good").await;
    assert_eq!(app["probes"][1]["detail"], "0 %", "{app:#}");

    // Its health page says that all is well, and it counts errors.
    world.lab.push(APP, Release::good("v2")).unwrap();
    guard.api.until_state("watching").await;
    bad.store(100, Ordering::SeqCst);
    guard.api.until("the rollback", |app| app["stage"] == "rolling_back").await;
    bad.store(0, Ordering::SeqCst);
    let incident = guard.api.until_closed().await;
    assert_eq!(
        (&incident["outcome"], &incident["rule"]),
        (&"committed".into(), &"worse".into()),
        "{incident:#}"
    );
    assert!(incident.to_string().contains("of the requests failed on average of"), "{incident:#}");
    assert_eq!(world.live_version().as_deref(), Some("v1"));

    // Nobody measures any more: nothing is known, nothing is done.
    let writes = world.writes();
    world.lab.push(APP, Release::good("v3")).unwrap();
    guard.api.until_state("watching").await;
    bad.store(100, Ordering::SeqCst);
    drop(prometheus);
    guard.api.until("no server", |app| app["probes"][1]["detail"] == "source").await;
    guard
        .api
        .until("why it says nothing", |app| {
            app["probes"][1]["complaint"] == "no connection, or none that lasts"
        })
        .await;
    guard.api.until("a rule that says nothing", |app| app["rules"][1]["verdict"] == "unknown").await;
    assert_eq!(world.writes(), writes);
    guard.daemon.stop().await;
}

/// How many scrapes a server has recorded in the last minute.
async fn scrapes(prometheus: &Prometheus) -> usize {
    let query = "count_over_time(app_requests_total{code=\"200\"}[1m])";
    let url =
        reqwest::Url::parse_with_params(&format!("{}/api/v1/query", prometheus.url), [("query", query)]);
    let Ok(answer) = reqwest::get(url.unwrap()).await else { return 0 };
    // Until it is up it says so in plain words.
    let answer: serde_json::Value = answer.json().await.unwrap_or_default();
    answer["data"]["result"][0]["value"][1].as_str().map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_begins_late_knows_what_was_recorded_before_and_finds_what_it_would_not_have() {
    let world = World::new().await;
    let bad = Arc::new(AtomicU32::new(0));
    let target = counting(Arc::clone(&bad)).await;
    let Some(prometheus) = Prometheus::start(&world, &target) else { return };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while scrapes(&prometheus).await < 220 {
        assert!(tokio::time::Instant::now() < deadline, "nothing is scraped");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let rules = "[{ name: worse, probe: counted, regression: { glitch: 0s } }]";
    let settings = Settings { rules, watch: "25s", ..Settings::default() };
    let yaml = counted(&world, &settings, &prometheus.url);
    let guard = Process::start_with(&world, &yaml).await;
    guard.api.until_state("steady").await;
    let log = || std::fs::read_to_string(world.path("log")).unwrap();
    let told = "asked Prometheus what it recorded";
    guard.api.until("what was recorded", |_| log().contains(told)).await;
    let line = log().lines().find(|line| line.contains(told)).unwrap().to_owned();
    let taken = serde_json::from_str::<serde_json::Value>(&line).unwrap()["taken"].as_u64();
    assert!(taken.is_some_and(|taken| (80..180).contains(&taken)), "{line}");

    // With little known of the release before, it is assumed to fail one time in five, and nobody would be accused.
    world.lab.push(APP, Release::good("v2")).unwrap();
    guard.api.until_state("watching").await;
    bad.store(19, Ordering::SeqCst);
    guard.api.until("the rollback", |app| app["stage"] == "rolling_back").await;
    bad.store(0, Ordering::SeqCst);
    let incident = guard.api.until_closed().await;
    assert_eq!(
        (&incident["outcome"], &incident["rule"]),
        (&"committed".into(), &"worse".into()),
        "{incident:#}"
    );
    assert_eq!(world.live_version().as_deref(), Some("v1"));
    assert_eq!(log().matches(told).count(), 1, "{}", log());
}

/// A server that says what an app counts now, five times a second, and nothing of what it counted before; with how often it
/// was asked for that.
async fn forgetful() -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..read]).into_owned();
            let (now, each) = (jiff::Timestamp::now(), if text.contains("5..") { 0 } else { 10 });
            let body = if text.contains("&time=") {
                count.fetch_add(1, Ordering::SeqCst);
                r#"{"status":"error","errorType":"bad_data","error":"no more than an hour"}"#.to_owned()
            } else {
                let last = now.as_millisecond() / 200;
                let point = |n: i64| format!(r#"[{}.{:03},"{}"]"#, n / 5, n % 5 * 200, n * each);
                let points: Vec<String> = (last - 20..=last).map(point).collect();
                let series = format!(r#"{{"metric":{{}},"values":[{}]}}"#, points.join(","));
                format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}}}"#)
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                now.strftime("%a, %d %b %Y %H:%M:%S GMT"),
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_to_be_had_of_the_past_is_asked_for_once_and_never_while_a_release_is_judged() {
    let world = World::new().await;
    let (address, asked) = forgetful().await;
    let settings = Settings {
        rules: "[{ name: worse, probe: counted, regression: { glitch: 0s } }]",
        watch: "25s",
        ..Settings::default()
    };
    let yaml = counted(&world, &settings, &format!("http://me:sesame@{address}"));
    let guard = Process::start_with(&world, &yaml).await;
    guard.api.until_state("watching").await;
    guard.api.until("a share", |app| app["probes"][1]["detail"] == "0 %").await;
    let judged = guard.api.until("the end of the watch", |app| {
        let is_quiet = app["state"] != "watching";
        assert!(is_quiet || asked.load(Ordering::SeqCst) == 0, "asked while a release is judged");
        is_quiet
    });
    assert_eq!(judged.await["state"], "steady");
    // What was measured in the watch is known, and asked for by nobody.
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    drop(guard);
    for file in ["rearguard.db", "rearguard.db-wal", "rearguard.db-shm"] {
        // Another machine takes over, which has never seen the app.
        let _ = std::fs::remove_file(world.path(file));
    }
    let guard = Process::start_with(&world, &yaml).await;
    guard.api.until_state("steady").await;
    let log = || std::fs::read_to_string(world.path("log")).unwrap();
    let told =
        "learnt from now on: failed to have the query taken, which the server refuses: no more than an hour";
    guard.api.until("the reason", |_| log().contains(told)).await;
    world.lab.push(APP, Release::good("v2")).unwrap();
    guard.api.until_state("watching").await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!((asked.load(Ordering::SeqCst), log().matches(told).count()), (1, 1));
    assert!(!log().contains("sesame"), "{}", log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_prometheus_measures_rolls_a_release_back_and_its_silence_does_not() {
    let world = World::new().await;
    let (bad, gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let target = exporter(Arc::clone(&bad), Arc::clone(&gone)).await;
    let Some(prometheus) = Prometheus::start(&world, &target) else { return };

    let rules = "[{ name: down, probe: home, consecutive_failures: 3 }, \
                  { name: errors, probe: errors, consecutive_failures: 3 }]";
    let settings = Settings { rules, watch: "10s", ..Settings::default() };
    let figure = format!(
        "prometheus: {{ url: {}, query: app_errors_ratio, at_most: 0.05, max_age: 5s }}",
        prometheus.url
    );
    let pace = "period: 200ms, watch_period: 200ms, burst: 200ms, timeout: 1s, settle: 0s";
    let yaml = world.yaml(&settings).replace(
        "    rules: ",
        &format!(
            "      - {{ name: errors, {pace}, {figure} }}\n      \
             - {{ name: port, {pace}, tcp: \"{}\" }}\n    rules: ",
            world.lab.base_url.authority()
        ),
    );
    let guard = world.daemon_of(&yaml).await;
    guard.api.until_state("steady").await;
    let app = guard.api.until("what each probe found", |app| {
        (0..3).all(|n| app["probes"][n]["result"] == "good") && !app["last_good_deployment"].is_null()
    });
    let app = app.await;
    assert_eq!(app["probes"][1]["url"], format!("{}/", prometheus.url));
    assert_eq!(app["probes"][2]["url"], format!("tcp://{}", world.lab.base_url.authority()));

    // Its health page says that all is well.
    world.lab.push(APP, Release::good("v2")).unwrap();
    guard.api.until_state("watching").await;
    bad.store(true, Ordering::SeqCst);
    guard.api.until("the rollback", |app| app["stage"] == "rolling_back").await;
    bad.store(false, Ordering::SeqCst);
    let incident = guard.api.until_closed().await;
    assert_eq!(
        (&incident["outcome"], &incident["rule"]),
        (&"committed".into(), &"errors".into()),
        "{incident:#}"
    );
    assert_eq!(world.live_version().as_deref(), Some("v1"));

    // A release whose app cannot be scraped, and then one that nobody measures: nothing is known, nothing is done.
    let writes = world.writes();
    world.lab.push(APP, Release::good("v3")).unwrap();
    guard.api.until_state("watching").await;
    gone.store(true, Ordering::SeqCst);
    guard.api.until("no figure", |app| app["probes"][1]["detail"] == "absent").await;
    let complains = |app: &serde_json::Value, of| {
        app["probes"][1]["complaint"].as_str().is_some_and(|why| why.starts_with(of))
    };
    guard.api.until("why there is none", |app| complains(app, "no series")).await;
    drop(prometheus);
    guard.api.until("no server", |app| app["probes"][1]["detail"] == "source").await;
    guard.api.until("why it says nothing", |app| complains(app, "no connection")).await;
    guard.api.until("a rule that says nothing", |app| app["rules"][1]["verdict"] == "unknown").await;
    assert_eq!(world.writes(), writes);
    guard.daemon.stop().await;
}
