//! A real Prometheus server that scrapes an app, and a rule on what it measured. Skipped, with a note, where there is none.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rearguard::lab::Release;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::world::{APP, Settings, World};

/// A server of its own, ended when dropped.
struct Prometheus {
    child: Child,
    url: String,
}

impl Prometheus {
    /// One that scrapes `target` five times a second; none where it is not installed.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
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
                eprintln!("SKIPPED: no Prometheus to ask ({error}); install the package prometheus");
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

/// An app that counts: ten requests between two scrapes, of which none or all fail. It counts anew from nothing every
/// thirty scrapes.
async fn counting(bad: Arc<AtomicBool>) -> String {
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
            requests += 10;
            errors += if bad.load(Ordering::SeqCst) { 10 } else { 0 };
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

#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_counts_itself_is_held_against_the_release_before() {
    let world = World::new().await;
    let bad = Arc::new(AtomicBool::new(false));
    let target = counting(Arc::clone(&bad)).await;
    let Some(prometheus) = Prometheus::start(&world, &target) else { return };

    let rules = "[{ name: down, probe: home, consecutive_failures: 3 }, \
                  { name: worse, probe: counted, regression: { glitch: 0s } }]";
    let settings = Settings { rules, watch: "10s", ..Settings::default() };
    let figure = format!(
        "prometheus: {{ url: {}, errors: 'app_requests_total{{code=~\"5..\"}}', requests: app_requests_total, max_age: 5s }}",
        prometheus.url
    );
    let pace = "period: 200ms, watch_period: 200ms, burst: 200ms, timeout: 1s, settle: 0s";
    let yaml = world
        .yaml(&settings)
        .replace("    rules: ", &format!("      - {{ name: counted, {pace}, {figure} }}\n    rules: "));
    let guard = world.daemon_of(&yaml).await;
    guard.api.until_state("steady").await;
    let app = guard.api.until("a share", |app| app["probes"][1]["result"] == "good").await;
    assert_eq!(app["probes"][1]["detail"], "0 %", "{app:#}");

    // Its health page says that all is well, and it counts errors.
    world.lab.push(APP, Release::good("v2")).unwrap();
    guard.api.until_state("watching").await;
    bad.store(true, Ordering::SeqCst);
    guard.api.until("the rollback", |app| app["stage"] == "rolling_back").await;
    bad.store(false, Ordering::SeqCst);
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
    bad.store(true, Ordering::SeqCst);
    drop(prometheus);
    guard.api.until("no server", |app| app["probes"][1]["detail"] == "source").await;
    guard.api.until("a rule that says nothing", |app| app["rules"][1]["verdict"] == "unknown").await;
    assert_eq!(world.writes(), writes);
    guard.daemon.stop().await;
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
    drop(prometheus);
    guard.api.until("no server", |app| app["probes"][1]["detail"] == "source").await;
    guard.api.until("a rule that says nothing", |app| app["rules"][1]["verdict"] == "unknown").await;
    assert_eq!(world.writes(), writes);
    guard.daemon.stop().await;
}
