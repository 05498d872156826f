//! The platform's own figures: shown where they are to be had, and never in the way of guarding.

use rearguard::config::parse;
use rearguard::lab::{Fault, Kind, Operation, RateLimit, Release, Target};

use crate::binary::Process;
use crate::world::{APP, Api, PATIENCE, Settings, World, known};

const BYTES: &str = "rearguard_app_bandwidth_bytes{app=\"shop\"} 4000000000";
const DOLLARS: &str = "rearguard_account_balance_dollars{platform=\"ocean\"} 12.23";

/// So seldom that a machine which was suspended meanwhile asks no more often.
fn asking() -> Settings {
    Settings { watch: "1s", figures: "bandwidth: 24h, balance: 24h", ..Settings::default() }
}

/// As [`asking`], with a watch in which a bad release can be accused.
fn accusing() -> Settings {
    Settings { watch: "5s", ..asking() }
}

/// Waits until the scrape is as it should be, and gives it.
async fn until_shown(api: &Api, what: &str, is_there: impl Fn(&str) -> bool) -> String {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let text = api.text("/metrics").await.1;
        if is_there(&text) {
            return text;
        }
        assert!(tokio::time::Instant::now() < deadline, "no {what} in time: {text}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Waits until the account was polled so many times more.
async fn polls(world: &World, more: u64) {
    let polls = || world.lab.ledger().calls(Operation::ListApps);
    let (before, deadline) = (polls(), tokio::time::Instant::now() + PATIENCE);
    while polls() < before + more {
        assert!(tokio::time::Instant::now() < deadline, "the account is not polled");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn asked(world: &World) -> (u64, u64) {
    let ledger = world.lab.ledger();
    (ledger.calls(Operation::GetBandwidth), ledger.calls(Operation::GetBalance))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_are_shown_with_their_day_and_go_with_their_app_and_their_key() {
    let world = World::new().await;
    let mut guard = known(&world, &asking()).await;
    let text =
        until_shown(&guard.api, "figures", |text| text.contains(BYTES) && text.contains(DOLLARS)).await;
    let day = "rearguard_app_bandwidth_day_timestamp_seconds{platform=\"ocean\"} ";
    let day: i64 = text.lines().find_map(|line| line.strip_prefix(day)).unwrap().parse().unwrap();
    let age = world.lab.now_ms() / 1000 - day;
    assert!(day % 86_400 == 0 && (86_400..2 * 86_400 + 60).contains(&age), "{day} is {age} s old");
    polls(&world, 2).await;
    assert_eq!(asked(&world), (1, 1), "each at its own pace, however often the account is polled");

    // Under another name there is no series of the old one, and the new one is asked for at once.
    let renamed = world.yaml(&asking()).replace("- name: shop", "- name: store");
    guard.daemon.reload(parse("rearguard.yaml", &renamed).unwrap()).await.unwrap();
    let store = "rearguard_app_bandwidth_bytes{app=\"store\"} 4000000000";
    let text = until_shown(&guard.api, "figure of the new name", |text| text.contains(store)).await;
    assert!(!text.contains("app=\"shop\""), "{text}");

    // What is not asked for any more is not shown either.
    let none = renamed.replace("bandwidth: 24h, balance: 24h", "bandwidth: 0s");
    guard.daemon.reload(parse("rearguard.yaml", &none).unwrap()).await.unwrap();
    until_shown(&guard.api, "scrape without figures", |text| {
        !text.contains("rearguard_app_bandwidth_bytes{") && !text.contains("rearguard_account_balance")
    })
    .await;
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_not_see_the_balance_is_told_of_once_and_guards_on() {
    let world = World::new().await;
    let denied = Kind::Status { code: 403, applied: false };
    world.lab.fault(Fault::on(Target::Call(Operation::GetBalance), denied));
    let guard = Process::start(&world, &accusing()).await;
    guard.api.until_state("steady").await;
    let text = until_shown(&guard.api, "bandwidth", |text| text.contains(BYTES)).await;
    assert!(!text.contains("rearguard_account_balance"), "{text}");
    world.lab.push(APP, Release::bad("v2")).unwrap();
    assert_eq!(guard.api.until_closed().await["outcome"], "committed");
    polls(&world, 2).await;
    assert_eq!((world.writes(), asked(&world)), ((1, 1, 0), (1, 1)));
    let blind = "rearguard_blind_seconds_total{app=\"shop\",cause=\"denied\"}";
    let text = guard.api.text("/metrics").await.1;
    assert!(!text.lines().any(|line| line.starts_with(blind) && !line.ends_with(" 0")), "{text}");
    let log = std::fs::read_to_string(world.path("log")).unwrap();
    let warnings = log.lines().filter(|line| line.contains("no balance until the next reload")).count();
    assert_eq!(warnings, 1, "{log}");
    assert!(log.contains("(status 403)"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_figure_is_asked_for_again_after_a_reload() {
    let world = World::new().await;
    let denied = Kind::Status { code: 403, applied: false };
    let fault = world.lab.fault(Fault::on(Target::Call(Operation::GetBalance), denied));
    let mut guard = known(&world, &asking()).await;
    until_shown(&guard.api, "bandwidth", |text| text.contains(BYTES)).await;
    polls(&world, 2).await;
    assert_eq!(asked(&world).1, 1);
    world.lab.remove_fault(fault);
    // The account is the same as before.
    let changed = world.yaml(&Settings { watch: "2s", ..asking() });
    guard.daemon.reload(parse("rearguard.yaml", &changed).unwrap()).await.unwrap();
    until_shown(&guard.api, "balance", |text| text.contains(DOLLARS)).await;
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_says_nothing_waits_for_its_next_turn_and_makes_nobody_blind() {
    let world = World::new().await;
    for call in [Operation::GetBandwidth, Operation::GetBalance] {
        world.lab.fault(Fault::on(Target::Call(call), Kind::Status { code: 500, applied: false }));
    }
    let guard = known(&world, &accusing()).await;
    polls(&world, 3).await;
    assert_eq!(asked(&world), (1, 1));
    let text = guard.api.text("/metrics").await.1;
    // The family is there, and nothing in it.
    assert!(text.contains("# TYPE rearguard_app_bandwidth_bytes gauge\n"), "{text}");
    assert!(!text.contains("rearguard_app_bandwidth_bytes{") && !text.contains("rearguard_account_balance"));
    world.lab.push(APP, Release::bad("v2")).unwrap();
    assert_eq!(guard.api.until_closed().await["outcome"], "committed");
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_the_rate_limit_for_acting_is_not_spent_on_figures() {
    let world = World::new().await;
    world.lab.set_rate_limit(RateLimit { per_hour: 20, ..RateLimit::DOCUMENTED });
    // Of what is left there is one poll in minutes; the first one has to do.
    let guard = world.daemon(&asking()).await;
    guard.api.until("read", |app| app["platform_read_at"] != serde_json::Value::Null).await;
    // Long enough for a few figures.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert_eq!(world.lab.ledger().calls(Operation::ListApps), 1);
    assert_eq!(asked(&world), (0, 0));
    guard.daemon.stop().await;
}
