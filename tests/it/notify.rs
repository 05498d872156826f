//! What is told: at least once, in order within an incident, over kill -9, and without anybody waiting for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use rearguard::lab::{AppKind, Fate, Operation, Release, Source};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::binary::Process;
use crate::world::{APP, Api, Guard, PATIENCE, Settings, World};

/// A server that takes events, and keeps what came.
#[derive(Clone)]
struct Hook {
    heard: Arc<Mutex<Vec<Heard>>>,
    mood: Arc<Mutex<Mood>>,
    at: String,
}

/// One request.
#[derive(Clone, Debug)]
struct Heard {
    headers: HeaderMap,
    body: Bytes,
    answered: StatusCode,
}

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Fine,
    /// So many more failures, and then fine.
    Failing(u32),
    /// Never, until it is told otherwise.
    Silent,
}

impl Hook {
    async fn start(mood: Mood) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}/hook/secret-path?secret=query", listener.local_addr().unwrap());
        let hook = Self { heard: Arc::default(), mood: Arc::new(Mutex::new(mood)), at };
        let router = Router::new().route("/hook/secret-path", post(Self::hear)).with_state(hook.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        hook
    }

    async fn hear(State(hook): State<Self>, headers: HeaderMap, body: Bytes) -> StatusCode {
        let mood = {
            let mut mood = hook.mood.lock().unwrap();
            let now = *mood;
            if let Mood::Failing(left) = now {
                *mood = if left > 1 { Mood::Failing(left - 1) } else { Mood::Fine };
            }
            now
        };
        let answered = match mood {
            Mood::Fine => StatusCode::NO_CONTENT,
            Mood::Failing(_) => StatusCode::SERVICE_UNAVAILABLE,
            Mood::Silent => StatusCode::GATEWAY_TIMEOUT,
        };
        hook.heard.lock().unwrap().push(Heard { headers, body, answered });
        while mood == Mood::Silent && *hook.mood.lock().unwrap() == Mood::Silent {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        answered
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// The events that it took, in the order in which they came.
    fn taken(&self) -> Vec<Value> {
        let heard = self.heard();
        let taken = heard.iter().filter(|heard| heard.answered.is_success());
        taken.map(|heard| serde_json::from_slice(&heard.body).unwrap()).collect()
    }

    async fn until(&self, what: &str, is_there: impl Fn(&Self) -> bool) {
        // A fifth failure is followed by a pause of some sixteen seconds.
        let deadline = Instant::now() + 3 * PATIENCE;
        while !is_there(self) {
            let kinds = kinds(&self.taken());
            assert!(
                Instant::now() < deadline,
                "no {what} in time; {} heard, taken {kinds:?}",
                self.heard().len()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until_told(&self, kind: &str) {
        self.until(kind, |hook| kinds(&hook.taken()).iter().any(|told| told == kind)).await;
    }
}

fn kinds(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
}

async fn until_nothing_waits(api: &Api) {
    let deadline = Instant::now() + PATIENCE;
    while api.metric(PENDING).await != 0.0 {
        assert!(Instant::now() < deadline, "something waits for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The kinds of an incident that ends well.
const WHOLE: [&str; 6] =
    ["fired", "rollback_requested", "rollback_created", "rollback_live", "restored", "closed"];

/// A configuration that tells the hook.
fn telling(world: &World, settings: &Settings, channel: &str) -> String {
    format!("{}external_url: https://guard.example.com/\nnotify:\n  - {channel}\n", world.yaml(settings))
}

fn ops(hook: &Hook, more: &str) -> String {
    format!("{{ name: ops, kind: webhook, url: '{}'{more} }}", hook.at)
}

fn is_known(app: &Value) -> bool {
    app["live_deployment"].is_string()
}

/// A guard that knows the app.
async fn guard(world: &World, text: &str) -> Guard {
    let guard = world.daemon_of(text).await;
    guard.api.until("the live deployment", is_known).await;
    guard
}

const PENDING: &str = "rearguard_notifications_pending{channel=\"ops\"}";

fn told(result: &str) -> String {
    format!("rearguard_notifications_total{{channel=\"ops\",result=\"{result}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_fails_five_times_across_a_kill_has_each_event_in_order_and_once_by_key() {
    let world = World::new().await;
    let hook = Hook::start(Mood::Failing(5)).await;
    let settings = Settings { watch: "60s", ..Settings::default() };
    let text = telling(&world, &settings, &ops(&hook, ""));
    let mut first = Process::start_with(&world, &text).await;
    first.api.until("the live deployment", is_known).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    // Killed while it fails, in the middle of the incident.
    hook.until("a third try", |hook| hook.heard().len() >= 3).await;
    first.signal("-KILL");
    first.end().await;
    assert!(hook.taken().is_empty(), "it fails five times: {:?}", kinds(&hook.taken()));
    let second = Process::start_with(&world, &text).await;
    let incident = second.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    hook.until_told("closed").await;

    let failed = hook.heard().iter().filter(|heard| !heard.answered.is_success()).count();
    assert_eq!(failed, 5);
    let taken = hook.taken();
    assert_eq!(kinds(&taken), WHOLE);
    let keys: BTreeSet<&str> = taken.iter().map(|event| event["key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), taken.len(), "each once by its key: {keys:?}");
    for heard in hook.heard() {
        let event: Value = serde_json::from_slice(&heard.body).unwrap();
        assert_eq!(event["key"], heard.headers["idempotency-key"].to_str().unwrap());
        assert_eq!(event["kind"], heard.headers["x-rearguard-event"].to_str().unwrap());
    }
    let last = taken.last().unwrap();
    assert_eq!(last["incident"]["id"], incident["id"]);
    assert_eq!(
        last["links"]["incident"],
        format!("https://guard.example.com/incidents/{}", incident["id"].as_str().unwrap())
    );
    until_nothing_waits(&second.api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_that_stay_paused_for_an_app_that_left_the_configuration_while_rearguard_was_down_are_told_once()
 {
    let world = World::of(AppKind::Sevalla { source: Source::PrivateGit, auto_deploy: None }).await;
    let hook = Hook::start(Mood::Fine).await;
    let settings =
        Settings { soak: "{ period: 1s, min_samples: 2, on_healthy: hold }", ..Settings::default() };
    let text = telling(&world, &settings, &ops(&hook, ""));
    let mut first = Process::start_with(&world, &text).await;
    first.api.until_state("steady").await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    hook.until_told("held").await;
    first.signal("-KILL");
    first.end().await;
    let another = text.replace("name: shop\n", "name: other\n").replace(&world.id, "no-such-app");
    let is_left = |event: &&Value| event["text"].as_str().unwrap().contains("is not configured");
    let mut second = Process::start_with(&world, &another).await;
    hook.until("the word", |hook| hook.taken().iter().any(|event| is_left(&event))).await;
    // Of what is taken and not noted to be so, the next process cannot know.
    until_nothing_waits(&second.api).await;
    second.signal("-KILL");
    second.end().await;
    let said = "a held pin of an app that is not configured: pushes are paused, so none is deployed";
    let log = || std::fs::read_to_string(world.path("log")).unwrap();
    assert_eq!(log().matches(said).count(), 1, "{}", log());
    // Each start says it in the log, and people are woken once.
    let _third = Process::start_with(&world, &another).await;
    let deadline = Instant::now() + PATIENCE;
    while log().matches(said).count() < 2 {
        assert!(Instant::now() < deadline, "{}", log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let taken = hook.taken();
    let left: Vec<_> = taken.iter().filter(is_left).collect();
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!((&left[0]["kind"], &left[0]["app"]), (&json!("held"), &json!(APP)));
    let next = left[0]["next"].as_str().unwrap();
    assert!(next.contains("rearguard resume") && next.contains("switch automatic deployments on"), "{next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_says_what_happened_and_is_signed_and_names_no_secret() {
    let world = World::new().await;
    let hook = Hook::start(Mood::Fine).await;
    std::fs::write(world.path("secret"), "s3cr3t\n").unwrap();
    let secret = format!(", secret_file: {}", world.path("secret").display());
    let text = telling(&world, &Settings::default(), &ops(&hook, &secret));
    let process = Process::start_with(&world, &text).await;
    process.api.until_state("steady").await;
    let good = process.api.app().await["live_deployment"].as_str().unwrap().to_owned();
    let bad = world.lab.push(APP, Release::bad("v2")).unwrap().unwrap();
    hook.until_told("closed").await;
    let fired = &hook.taken()[0];
    assert_eq!((&fired["schema"], &fired["kind"], &fired["app"]), (&json!(1), &json!("fired"), &json!(APP)));
    assert_eq!((&fired["platform"], &fired["mode"]), (&json!("ocean"), &json!("enforce")));
    assert_eq!(fired["incident"]["bad_deployment"]["id"], bad.as_str());
    let evidence = &fired["evidence"];
    assert_eq!((&evidence["rule"], &evidence["threshold"]), (&json!("down"), &json!(3.0)));
    assert!(evidence["value"].as_f64().unwrap() >= 3.0, "{fired:#}");
    let words = fired["text"].as_str().unwrap();
    assert!(words.starts_with("shop on ocean: rule down fired on deployment"), "{words}");
    assert!(words.ends_with(" failures in a row, limit 3"), "{words}");
    assert!(fired["next"].as_str().unwrap().contains("rearguard pause shop"), "{fired:#}");
    let closed = hook.taken().pop().unwrap();
    assert_eq!(closed["incident"]["outcome"], "committed");
    assert_eq!(closed["incident"]["target_deployment"]["id"], good.as_str(), "{closed:#}");
    let live = &hook.taken()[3]["incident"];
    for deployment in ["bad_deployment", "target_deployment", "rollback_deployment"] {
        assert!(live[deployment]["title"].is_string(), "{deployment} in {live:#}");
    }

    // What `rearguard schema --event` prints is what is sent.
    let schema = crate::binary::output(&["schema", "--event"]).stdout;
    let validator = jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
    for event in hook.taken() {
        let problems: Vec<String> = validator.iter_errors(&event).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?}: {event:#}");
    }

    for heard in hook.heard() {
        let signature = heard.headers["x-rearguard-signature"].to_str().unwrap();
        let (at, given) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        assert_eq!(given, by_openssl("s3cr3t", at, &heard.body));
    }
    let (_, metrics) = process.api.text("/metrics").await;
    let log = std::fs::read_to_string(world.path("log")).unwrap();
    let api = process.api.get("/api/v1/incidents").await.to_string();
    for said in [&metrics, &log, &api] {
        for secret in ["secret-path", "secret=query", "s3cr3t"] {
            assert!(!said.contains(secret), "{secret} in {said}");
        }
    }
    assert_eq!(process.api.metric(&told("delivered")).await, WHOLE.len() as f64);
    let last = "rearguard_notification_last_success_timestamp_seconds{channel=\"ops\"}";
    assert!(process.api.metric(last).await > 1.7e9);
}

/// The same signature by somebody else's program.
fn by_openssl(secret: &str, at: &str, body: &[u8]) -> String {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-hmac", secret]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("openssl, which is part of every Debian");
    let mut input = child.stdin.take().unwrap();
    input.write_all(&[at.as_bytes(), b".", body].concat()).unwrap();
    drop(input);
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    said.split_whitespace().last().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_never_answers_holds_nothing_up_and_shows() {
    let world = World::new().await;
    let hook = Hook::start(Mood::Silent).await;
    let guard = guard(&world, &telling(&world, &Settings::default(), &ops(&hook, ""))).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    // All of it was done while the first event was still on its way.
    assert_eq!(world.writes(), (1, 1, 0));
    let ledger = world.lab.ledger();
    assert_eq!(ledger.applied(Operation::CommitRollback, APP).len(), 1);
    assert!(hook.taken().is_empty() && !hook.heard().is_empty());
    assert_eq!(kinds(&[serde_json::from_slice(&hook.heard()[0].body).unwrap()]), ["fired"]);
    assert!(
        hook.heard().iter().all(|heard| heard.headers["x-rearguard-event"] == "fired"),
        "nothing overtakes it"
    );
    assert_eq!(guard.api.metric(&told("delivered")).await, 0.0);
    let deadline = Instant::now() + PATIENCE;
    while guard.api.metric(PENDING).await < 6.0 {
        assert!(Instant::now() < deadline, "{} wait", guard.api.metric(PENDING).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    *hook.mood.lock().unwrap() = Mood::Fine;
    hook.until_told("closed").await;
    assert_eq!(kinds(&hook.taken()), WHOLE);
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_configuration_says_of_channels_is_in_force_at_once() {
    let world = World::new().await;
    let (dead, alive) = (Hook::start(Mood::Silent).await, Hook::start(Mood::Fine).await);
    let settings = Settings::default();
    let mut guard = guard(&world, &telling(&world, &settings, &ops(&dead, ""))).await;
    world.lab.push(APP, Release::bad("v2")).unwrap();
    guard.api.until_closed().await;
    guard.api.until_state("steady").await;
    dead.until("a try", |hook| !hook.heard().is_empty()).await;
    // The same channel at another place: what waited goes there.
    let only = ", only: [held, closed], template: '{{ app }} {{ kind }} {{ incident.outcome }}'";
    let moved = telling(&world, &settings, &ops(&alive, only));
    guard.daemon.reload(rearguard::config::parse("rearguard.yaml", &moved).unwrap()).await.unwrap();
    alive.until_told("closed").await;
    assert_eq!(kinds(&alive.taken()), WHOLE);
    assert_eq!(alive.taken().pop().unwrap()["text"], "shop closed committed");
    // From here on only what is asked for.
    world.lab.set_rollback_fate(APP, Fate::Fails).unwrap();
    world.lab.push(APP, Release::bad("v3")).unwrap();
    alive.until_told("held").await;
    assert_eq!(kinds(&alive.taken())[WHOLE.len()..], ["held"]);
    assert!(alive.taken().pop().unwrap()["next"].as_str().unwrap().contains("rearguard resume shop"));
    // A channel that is gone has no series.
    let gone = world.yaml(&settings);
    guard.daemon.reload(rearguard::config::parse("rearguard.yaml", &gone).unwrap()).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while guard.api.text("/metrics").await.1.contains("channel=\"ops\"") {
        assert!(Instant::now() < deadline, "it has series for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_no_incident_is_told_once_over_restarts() {
    let world = World::new().await;
    let hook = Hook::start(Mood::Fine).await;
    let rules = "[{ name: tells, probe: home, consecutive_failures: 2, action: notify }, { name: down, probe: home, consecutive_failures: 50 }]";
    let text = telling(&world, &Settings { rules, watch: "60s", ..Settings::default() }, &ops(&hook, ""));
    let guard = guard(&world, &text).await;
    let lost = world
        .lab
        .push(APP, Release { build: Fate::Fails, build_ms: Some(2_000), ..Release::good("v2") })
        .unwrap()
        .unwrap();
    hook.until_told("deployment_failed").await;
    let failed = hook.taken().pop().unwrap();
    assert_eq!(failed["deployment"]["id"], lost.as_str(), "{failed:#}");
    assert!(failed["incident"].is_null(), "{failed:#}");
    world.lab.push(APP, Release::bad("v3")).unwrap();
    hook.until_told("noticed").await;
    assert_eq!(hook.taken().pop().unwrap()["evidence"]["rule"], "tells");
    guard.daemon.stop().await;
    let guard = world.daemon_of(&text).await;
    guard.api.until("the live deployment", is_known).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(kinds(&hook.taken()), ["deployment_failed", "noticed"]);
    guard.daemon.stop().await;
}
