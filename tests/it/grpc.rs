//! A real gRPC server with the standard health service, and a rule on what it says. Skipped, with a note, where there is
//! none: `.ci/run` installs it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use rearguard::lab::Release;

use crate::world::{APP, Settings, World};

/// grpc's own implementation, in Python. Ended when dropped.
struct Server {
    child: Child,
    said: BufReader<ChildStdout>,
    url: String,
}

impl Server {
    fn start(args: &[&str]) -> Option<Self> {
        let child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target/grpc/bin/python"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/grpc_server.py"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        match child {
            Ok(mut child) => {
                let said = BufReader::new(child.stdout.take().unwrap());
                let mut server = Self { child, said, url: String::new() };
                server.url = format!("http://127.0.0.1:{}", server.hear());
                Some(server)
            }
            Err(error) => {
                // Not by a macro, of which a test that passes keeps what it says back.
                let line = format!(
                    "SKIPPED: no gRPC server to ask ({error}); make a venv in target/grpc with grpcio-health-checking\n"
                );
                let _ = std::io::stderr().write_all(line.as_bytes());
                None
            }
        }
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn set(&mut self, service: &str, status: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{service} {status}").unwrap();
        assert_eq!(self.hear(), "set");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The configuration with more probes in it, by name, server and what else is asked.
fn yaml(world: &World, probes: &[(&str, &Server, &str)]) -> String {
    let rules = "[{ name: down, probe: home, consecutive_failures: 3 }, \
                  { name: cart, probe: cart, consecutive_failures: 3 }]";
    let settings = Settings { rules, watch: "10s", ..Settings::default() };
    let pace = "period: 200ms, watch_period: 200ms, burst: 200ms, timeout: 1s";
    let probe = |(name, server, service): &(&str, &Server, &str)| {
        format!("      - {{ name: {name}, {pace}, grpc: {{ url: {}{service} }} }}\n", server.url)
    };
    let probes: String = probes.iter().map(probe).collect();
    world.yaml(&settings).replace("    rules: ", &format!("{probes}    rules: "))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_grpc_server_says_of_itself_rolls_a_release_back() {
    let Some(mut server) = Server::start(&[]) else { return };
    server.set("shop.Cart", "SERVING");
    let world = World::new().await;
    let probes = [("cart", &server, ", service: shop.Cart"), ("whole", &server, "")];
    let guard = world.daemon_of(&yaml(&world, &probes)).await;
    guard.api.until_state("steady").await;
    let app = guard.api.until("what each probe found", |app| {
        (0..3).all(|n| app["probes"][n]["result"] == "good") && !app["last_good_deployment"].is_null()
    });
    assert_eq!(app.await["probes"][1]["url"], format!("{}/", server.url));

    // Its health page says that all is well.
    world.lab.push(APP, Release::good("v2")).unwrap();
    guard.api.until_state("watching").await;
    server.set("shop.Cart", "NOT_SERVING");
    guard.api.until("the rollback", |app| app["stage"] == "rolling_back").await;
    server.set("shop.Cart", "SERVING");
    let incident = guard.api.until_closed().await;
    assert_eq!(
        (&incident["outcome"], &incident["rule"]),
        (&"committed".into(), &"cart".into()),
        "{incident:#}"
    );
    assert_eq!(world.live_version().as_deref(), Some("v1"));
    drop(server);
    guard.api.until("no server", |app| app["probes"][1]["result"] == "connect").await;
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_grpc_server_does_not_know_is_told_apart() {
    let (Some(server), Some(without)) = (Server::start(&[]), Server::start(&["without"])) else { return };
    let world = World::new().await;
    let probes = [("cart", &server, ", service: shop.Nothing"), ("none", &without, "")];
    let guard = world.daemon_of(&yaml(&world, &probes)).await;
    // Not found, and no health service at all.
    for (n, result, detail) in [(1, "grpc", "5"), (2, "unknown", "source")] {
        let is_there = |app: &serde_json::Value| {
            app["probes"][n]["result"] == result && app["probes"][n]["detail"] == detail
        };
        guard.api.until(detail, is_there).await;
    }
    guard.daemon.stop().await;
}
