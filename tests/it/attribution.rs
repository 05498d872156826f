//! Whose fault it is: what another release answers, or what the app needs, accuses no release.

use rearguard::lab::{ActiveAt, Health, Lingering, Release, Unknowns};
use tokio::net::TcpListener;

use crate::world::{APP, Settings, World, known};

const RATHER_QUICK: &str = "period: 200ms, timeout: 500ms";

/// The configuration with keys added to the app's one probe.
fn asking(world: &World, settings: &Settings, keys: &str) -> String {
    world.yaml(settings).replace(RATHER_QUICK, &format!("{RATHER_QUICK}, {keys}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_release_before_answers_accuses_only_where_nobody_asks_which_release_it_is() {
    let settings = Settings { watch: "6s", ..Settings::default() };
    for (keys, is_accused) in [
        ("settle: 0s", true),
        ("expect_version: { header: X-Version }", false),
        ("expect_version: { json: /version }", true),
    ] {
        let world = World::new().await;
        let guard = world.daemon_of(&asking(&world, &settings, keys)).await;
        guard.api.until("a good release", |app| !app["last_good_deployment"].is_null()).await;
        let lingering = Some(Lingering { for_ms: 3_000, status: 502 });
        let good = world.lab.push(APP, Release { lingering, ..Release::good("v2") }).unwrap().unwrap();
        if is_accused {
            let incident = guard.api.until_closed().await;
            assert_eq!(incident["bad_deployment"], good.as_str(), "{keys}");
        } else {
            guard.api.until("v2 known to be good", |app| app["last_good_deployment"] == good.as_str()).await;
            assert_eq!(world.writes(), (0, 0, 0));
            let blind = "rearguard_blind_seconds_total{app=\"shop\",cause=\"version\"}";
            assert!(guard.api.metric(blind).await > 1.0);
            // Its own failures count all the same.
            world.lab.push(APP, Release::bad("v3")).unwrap();
            let incident = guard.api.until_closed().await;
            assert_eq!((incident["outcome"].as_str(), world.writes()), (Some("committed"), (1, 1, 0)));
        }
        guard.daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_fails_with_what_it_depends_on_accuses_no_release() {
    let world = World::new().await;
    let database = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = database.local_addr().unwrap();
    let settings = Settings { watch: "6s", ..Settings::default() };
    let needs = format!(
        "      - {{ name: database, tcp: \"{address}\", period: 200ms }}\n    depends_on: [database]\n    rules: "
    );
    let guard = world.daemon_of(&world.yaml(&settings).replace("    rules: ", &needs)).await;
    guard.api.until("a good release", |app| !app["last_good_deployment"].is_null()).await;
    let good = world.lab.push(APP, Release::good("v2")).unwrap().unwrap();
    guard.api.until_state("watching").await;
    drop(database);
    world.lab.set_health(APP, Health::Bad { status: 500 }).unwrap();
    let blind = "rearguard_blind_seconds_total{app=\"shop\",cause=\"dependency\"}";
    guard.api.until("nobody can tell", |app| app["blind"] == "dependency").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(guard.api.metric(blind).await > 1.0);
    world.lab.set_health(APP, Health::Good).unwrap();
    let _database = TcpListener::bind(address).await.unwrap();
    guard.api.until("v2 known to be good", |app| app["last_good_deployment"] == good.as_str()).await;
    assert_eq!(
        (world.writes(), guard.api.get("/api/v1/incidents").await["incidents"].as_array().map(Vec::len)),
        ((0, 0, 0), Some(0))
    );
    // Now that it is well again, what fails is the release's.
    world.lab.push(APP, Release::bad("v3")).unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!(incident["outcome"], "committed", "{incident:#}");
    guard.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_watched_although_the_platform_says_when_the_one_before_went_live() {
    let world = World::with(Unknowns { active_at: ActiveAt::Former, ..Unknowns::default() }).await;
    // By the time of the release before, the watch is long over when this one is first seen.
    let guard = known(&world, &Settings::default()).await;
    let bad = world.lab.push(APP, Release::bad("v2")).unwrap().unwrap();
    let incident = guard.api.until_closed().await;
    assert_eq!((incident["bad_deployment"].as_str(), world.writes()), (Some(bad.as_str()), (1, 1, 0)));
    guard.daemon.stop().await;
}
