//! The dialect, without a network: requests in, answers out.

use super::*;
use crate::lab::app::Who;
use crate::lab::kind::AppKind;
use crate::lab::release::Release;
use crate::lab::unknowns::{ClonedFrom, InstanceNames, Shown, Unknowns, Zeros};
use crate::lab::vitals::Vitals;
use crate::lab::{GUARD_TOKEN, LabConfig, READ_TOKEN, RateLimit};

const BASE: &str = "http://127.0.0.1:1";

fn world(config: LabConfig) -> World {
    let mut world = World::new(&config, 1_700_000_000_123);
    world.create_app("shop", AppKind::DigitalOcean, Release::good("v1")).expect("a free name");
    world
}

fn ask(world: &mut World, token: Option<&str>, method: &str, path: &str, body: &str) -> Answer {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let request = Request { method, path, query, host: "127.0.0.1:1", token, body: body.as_bytes() };
    answer(world, BASE, &request).0
}

fn get(world: &mut World, path: &str) -> Value {
    let answer = ask(world, Some(GUARD_TOKEN), "GET", path, "");
    assert_eq!(answer.status, 200, "{path}");
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn post(world: &mut World, path: &str, body: &str) -> (u16, Value) {
    let answer = ask(world, Some(GUARD_TOKEN), "POST", path, body);
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
}

fn header(answer: &Answer, name: &str) -> Option<String> {
    answer.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone())
}

/// The shop after v2 went live, with its path and the id of v1.
fn shop_with_v2(unknowns: Unknowns) -> (World, String, String) {
    let mut world = world(LabConfig { unknowns, ..LabConfig::default() });
    let place = world.place("shop").expect("shop");
    let v1 = world.model.apps[place].deployments[0].id.clone();
    let write = Write::Push(Release::bad("v2").into());
    world.write(Asked { place, who: Who::Person, operation: Operation::Push, write }, None).expect("a push");
    world.advance(world.now() + 60_000);
    let path = format!("/v2/apps/{}", world.model.apps[place].id);
    (world, path, v1)
}

#[test]
fn tokens_are_checked_and_a_read_only_one_may_not_even_validate() {
    let (mut world, path, _) = shop_with_v2(Unknowns::default());
    let nobody = ask(&mut world, None, "GET", &path, "");
    let error: Value = serde_json::from_slice(&nobody.body).expect("JSON");
    assert_eq!((nobody.status, &error["id"]), (401, &json!("unauthorized")));
    assert_eq!(error["request_id"].as_str().map(str::to_owned), header(&nobody, "x-request-id"));
    assert_eq!(ask(&mut world, Some("dop_v1_wrong"), "GET", &path, "").status, 401);
    assert_eq!(ask(&mut world, Some(READ_TOKEN), "GET", &path, "").status, 200);
    for verb in ["/rollback/validate", "/rollback", "/rollback/commit", "/rollback/revert", "/restart"] {
        let denied = ask(&mut world, Some(READ_TOKEN), "POST", &format!("{path}{verb}"), "{}");
        assert_eq!(denied.status, 403, "{verb}");
    }
    assert!(world.ledger.by(Who::Guard).iter().all(|entry| !entry.applied()));
    assert_eq!(world.ledger.by(Who::Guard).len(), 4, "all but validate are writes");
}

#[test]
fn what_is_measured_follows_what_is_live_at_the_platforms_own_pace() {
    for instance_names in [InstanceNames::Kept, InstanceNames::New] {
        let unknowns = Unknowns { instance_names, measured_late_ms: 30_000, ..Unknowns::default() };
        let mut world = world(LabConfig { unknowns, ..LabConfig::default() });
        let place = world.place("shop").expect("shop");
        let dying = Vitals { restarts_every_ms: Some(50_000), healthy: Some(false), ..Vitals::default() };
        let release = Release { vitals: dying, ..Release::good("v2") };
        world.advance(world.now() + 120_000);
        let write = Write::Push(release.into());
        let asked = Asked { place, who: Who::Person, operation: Operation::Push, write };
        world.write(asked, None).expect("a push");
        world.advance(world.now() + 300_000);
        let (id, now) = (world.model.apps[place].id.clone(), world.now() / 1_000);
        let query = format!("app_id={id}&start={}&end={now}", now - 600);
        let path = "/v2/monitoring/metrics/apps";
        let counts = get(&mut world, &format!("{path}/restart_count?{query}"));
        let lines = counts["data"]["result"].as_array().expect("lines");
        let newest = |line: &&Value| line["values"].as_array().and_then(|points| points.last()?[0].as_i64());
        let last = lines.iter().max_by_key(newest).expect("a line");
        let points = last["values"].as_array().expect("points");
        assert!(
            points.iter().all(|point| point[0].as_i64().is_some_and(|at| at % 60 == 0 && at <= now - 30))
        );
        assert!(points.last().expect("a point")[1].as_str().is_some_and(|count| count > "2"), "{points:?}");
        match instance_names {
            InstanceNames::Kept => {
                assert_eq!((lines.len(), &last["metric"]["app_component_instance"]), (1, &json!("web-0")));
            }
            InstanceNames::New => assert_eq!(lines.len(), 2, "{lines:?}"),
        }
        let other = get(&mut world, &format!("{path}/cpu_percentage?{query}&app_component=job"));
        assert_eq!(other["data"]["result"], json!([]));
        assert_eq!(ask(&mut world, Some(GUARD_TOKEN), "GET", &format!("{path}/odd?{query}"), "").status, 404);
        let health = get(&mut world, &format!("/v2/apps/{id}/health"));
        assert_eq!(health["app_health"]["components"][0]["state"], "UNHEALTHY");
        world.impose_vitals("shop", Vitals { healthy: None, ..dying }).expect("shop");
        let health = get(&mut world, &format!("/v2/apps/{id}/health"));
        assert!(health["app_health"]["components"][0].get("state").is_none(), "{health}");
    }
}

#[test]
fn the_accounts_figures_are_of_yesterday_or_of_the_day_asked_for() {
    let (mut world, path, _) = shop_with_v2(Unknowns::default());
    let id = path.rsplit('/').next().unwrap().to_owned();
    let nobody = "00000000-0000-4000-8000-000000000000";
    let bandwidth = "/v2/apps/metrics/bandwidth_daily";
    let (status, answer) = post(&mut world, bandwidth, &json!({ "app_ids": [id, nobody] }).to_string());
    let usage = json!([{ "app_id": id, "bandwidth_bytes": "4000000000" }]);
    // The lab's clock stands in the night of 14 November 2023.
    assert_eq!(status, 200);
    assert_eq!(answer, json!({ "app_bandwidth_usage": usage, "date": "2023-11-13T00:00:00Z" }));
    let body = json!({ "app_ids": [id], "date": "2023-11-01T07:00:00Z" }).to_string();
    assert_eq!(post(&mut world, bandwidth, &body).1["date"], "2023-11-01T00:00:00Z");
    assert_eq!(post(&mut world, bandwidth, r#"{ "app_ids": [] }"#).0, 400);
    assert_eq!(get(&mut world, "/v2/customers/my/balance")["account_balance"], "12.23");
    let cpu = "/v2/monitoring/metrics/apps/cpu_percentage?start=60&end=120&app_id=";
    let lines = get(&mut world, &format!("{cpu}{id}"))["data"]["result"].clone();
    assert_eq!(lines, json!([]), "nothing was live then");
    assert_eq!(ask(&mut world, Some(GUARD_TOKEN), "GET", &format!("{cpu}{nobody}"), "").status, 404);
    assert_eq!(world.ledger.calls(Operation::GetBandwidth), 3);
    assert_eq!(world.ledger.calls(Operation::GetBalance), 1);
}

#[test]
fn a_whole_rollback_leaves_its_trace_in_the_answers_and_the_ledger() {
    let (mut world, path, v1) = shop_with_v2(Unknowns::default());
    let body = json!({ "deployment_id": v1, "skip_pin": false }).to_string();
    let (status, validation) = post(&mut world, &format!("{path}/rollback/validate"), &body);
    assert_eq!((status, validation), (200, json!({ "valid": true })));

    let (status, made) = post(&mut world, &format!("{path}/rollback"), &body);
    let made = &made["deployment"];
    assert_eq!((status, &made["cloned_from"], &made["phase"]), (200, &json!(v1), &json!("PENDING_BUILD")));
    assert_eq!(made["cause_details"]["type"], "MANUAL_ROLLBACK");
    assert_eq!(made["cause_details"]["digitalocean_user_action"]["name"], "ROLLBACK_APP");
    assert_eq!(made["progress"].get("success_steps"), None, "zero values are left out");
    let app = get(&mut world, &path)["app"].clone();
    assert_eq!(app["pinned_deployment"]["id"], made["id"]);
    assert_eq!(app["in_progress_deployment"]["id"], made["id"]);

    world.advance(world.now() + 60_000);
    assert_eq!(get(&mut world, &path)["app"]["active_deployment"]["id"], made["id"]);
    let commit = ask(&mut world, Some(GUARD_TOKEN), "POST", &format!("{path}/rollback/commit"), "");
    assert_eq!((commit.status, commit.body.len()), (200, 0));
    assert_eq!(get(&mut world, &path)["app"].get("pinned_deployment"), None);
    assert_eq!(post(&mut world, &format!("{path}/rollback/commit"), "").0, 409);

    let ledger = &world.ledger;
    let created = ledger.applied(Operation::CreateRollback, "shop");
    assert_eq!(created.len(), 1);
    assert_eq!((created[0].target.as_ref(), created[0].who), (Some(&v1), Who::Guard));
    assert_eq!(created[0].pinned_before, None);
    assert_eq!(ledger.applied(Operation::CommitRollback, "shop").len(), 1);
    assert_eq!(ledger.received(Operation::CommitRollback, "shop").len(), 2);
    assert_eq!(ledger.calls(Operation::ValidateRollback), 1);
}

#[test]
fn an_invalid_rollback_is_a_200_that_says_so_in_either_spelling() {
    for (zeros, spelled) in [(Zeros::Omitted, None), (Zeros::Written, Some(&json!(false)))] {
        let (mut world, path, v1) = shop_with_v2(Unknowns { zeros, ..Unknowns::default() });
        let body = json!({ "deployment_id": v1 }).to_string();
        assert_eq!(post(&mut world, &format!("{path}/rollback"), &body).0, 200);
        let (status, no) = post(&mut world, &format!("{path}/rollback/validate"), &body);
        assert_eq!((status, no.get("valid")), (200, spelled));
        assert_eq!(no["error"]["code"], "app_pinned");
    }
}

#[test]
fn what_the_documents_leave_out_can_be_left_out() {
    let unknowns = Unknowns {
        cloned_from: ClonedFrom::Omitted,
        cause_details: Shown::Omitted,
        previous_deployment: Shown::Omitted,
        ..Unknowns::default()
    };
    let (mut world, path, v1) = shop_with_v2(unknowns);
    let body = json!({ "deployment_id": v1 }).to_string();
    let (_, made) = post(&mut world, &format!("{path}/rollback"), &body);
    for field in ["cloned_from", "cause_details", "previous_deployment_id"] {
        assert_eq!(made["deployment"].get(field), None, "{field}");
    }
}

#[test]
fn what_a_rollback_was_cloned_from_is_its_target_or_what_that_one_goes_back_to() {
    for cloned_from in [ClonedFrom::Target, ClonedFrom::Built] {
        let (mut world, path, v1) = shop_with_v2(Unknowns { cloned_from, ..Unknowns::default() });
        let mut back_to = |target: &str| {
            let body = json!({ "deployment_id": target }).to_string();
            let made = post(&mut world, &format!("{path}/rollback"), &body).1["deployment"].clone();
            world.advance(world.now() + 60_000);
            post(&mut world, &format!("{path}/rollback/commit"), "");
            made
        };
        let first = back_to(&v1);
        let again = back_to(first["id"].as_str().unwrap());
        let expected = if cloned_from == ClonedFrom::Target { &first["id"] } else { &json!(v1) };
        assert_eq!((&first["cloned_from"], &again["cloned_from"]), (&json!(v1), expected));
    }
}

#[test]
fn deployments_come_newest_first_in_pages_and_by_type() {
    let (mut world, path, v1) = shop_with_v2(Unknowns::default());
    let all = get(&mut world, &format!("{path}/deployments"));
    assert_eq!(all["meta"]["total"], 2);
    assert_eq!(all["links"], json!({ "pages": {} }));
    assert_eq!(all["deployments"][1]["id"], json!(v1));
    let page = get(&mut world, &format!("{path}/deployments?per_page=1&page=2"));
    assert_eq!(page["deployments"][0]["id"], json!(v1));
    assert_eq!(page["links"]["pages"]["prev"], json!(format!("{BASE}{path}/deployments?page=1&per_page=1")));
    let pushed = get(&mut world, &format!("{path}/deployments?deployment_types=DEPLOY_ON_PUSH"));
    assert_eq!(pushed["meta"]["total"], 1);
    let one = get(&mut world, &format!("{path}/deployments/{v1}"));
    assert_eq!((&one["deployment"]["phase"], &one["deployment"]["id"]), (&json!("SUPERSEDED"), &json!(v1)));
}

#[test]
fn times_are_those_of_the_labs_clock_with_nine_digits() {
    let mut world = world(LabConfig::default());
    let answer = ask(&mut world, Some(GUARD_TOKEN), "GET", "/v2/apps?per_page=200", "");
    assert_eq!(header(&answer, "date").as_deref(), Some("Tue, 14 Nov 2023 22:13:20 GMT"));
    let list: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(list["apps"][0]["last_deployment_active_at"], "2023-11-14T22:13:20.123000000Z");
    assert_eq!(list["apps"][0]["spec"]["name"], "shop");
}

#[test]
fn the_rate_limit_is_announced_and_enforced() {
    let rate_limit = RateLimit { per_hour: 3, per_minute: 2, ..RateLimit::default() };
    let mut world = world(LabConfig { rate_limit, ..LabConfig::default() });
    let first = ask(&mut world, Some(GUARD_TOKEN), "GET", "/v2/apps", "");
    assert_eq!(header(&first, "ratelimit-limit").as_deref(), Some("3"));
    assert_eq!(header(&first, "ratelimit-remaining").as_deref(), Some("2"));
    assert_eq!(header(&first, "ratelimit-reset").as_deref(), Some("1700003600"));
    ask(&mut world, Some(GUARD_TOKEN), "GET", "/v2/apps", "");
    let burst = ask(&mut world, Some(GUARD_TOKEN), "GET", "/v2/apps", "");
    assert_eq!((burst.status, header(&burst, "retry-after").as_deref()), (429, Some("61")));
    world.advance(world.now() + 120_000);
    assert_eq!(ask(&mut world, Some(GUARD_TOKEN), "GET", "/v2/apps", "").status, 200);
    world.advance(world.now() + 120_000);
    let spent = ask(&mut world, Some(GUARD_TOKEN), "GET", "/v2/apps", "");
    assert_eq!((spent.status, header(&spent, "retry-after")), (429, None));
    assert_eq!(world.ledger.calls(Operation::ListApps), 5);
}

#[test]
fn bad_ids_and_bodies_are_a_400_and_unknown_ones_a_404() {
    let (mut world, path, _) = shop_with_v2(Unknowns::default());
    let other = super::super::app::uuid(9, "other", 0);
    for (path, body, status) in [
        (format!("/v2/apps/{other}/rollback"), "{}".to_owned(), 404),
        ("/v2/apps/shop/rollback".to_owned(), "{}".to_owned(), 400),
        (format!("{path}/rollback"), "{".to_owned(), 400),
        (format!("{path}/rollback"), r#"{"deployment_id":"v1"}"#.to_owned(), 400),
        (format!("{path}/rollback"), json!({ "deployment_id": other }).to_string(), 404),
    ] {
        assert_eq!(post(&mut world, &path, &body).0, status, "{path} {body}");
    }
}

#[test]
fn one_seed_gives_the_same_ids_in_every_run() {
    let ids = |seed| {
        let world = world(LabConfig { seed, ..LabConfig::default() });
        let app = &world.model.apps[0];
        (app.id.clone(), app.deployments[0].id.clone())
    };
    assert_eq!(ids(3), ids(3));
    assert_ne!(ids(3), ids(4));
    assert!(is_uuid(&ids(3).0) && is_uuid(&ids(3).1));
    assert_ne!(ids(3).0, ids(3).1);
}

#[test]
fn ten_thousand_apps_are_listed_from_what_is_already_rendered() {
    let mut world = World::new(&LabConfig::default(), 0);
    for nth in 0..10_000 {
        let name = format!("app-{nth:05}");
        world.create_app(&name, AppKind::DigitalOcean, Release::good("v1")).expect("a free name");
    }
    let page = get(&mut world, "/v2/apps?per_page=200&page=50");
    assert_eq!(page["meta"]["total"], 10_000);
    assert_eq!(page["apps"].as_array().map(Vec::len), Some(200));
    assert_eq!(page["links"]["pages"].get("next"), None);
    assert_eq!(page["apps"][199]["spec"]["name"], "app-09999");
    let rendered = world.model.apps.iter().filter(|app| app.rendered.app.is_some()).count();
    assert_eq!(rendered, 200);
}

/// What the ledger says was done is what the model shows was done, under every fault.
mod the_ledger_is_an_oracle {
    use proptest::prelude::*;

    use super::*;
    use crate::lab::app::Cause;
    use crate::lab::fault::{Fault, Target, When};

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![
            any::<bool>().prop_map(|applied| Kind::Status { code: 502, applied }),
            any::<bool>().prop_map(|applied| Kind::Hang { applied }),
            any::<bool>().prop_map(|applied| Kind::Reset { applied }),
            (0..4000u64).prop_map(|after_ms| Kind::AppliedLate { after_ms }),
            Just(Kind::Truncated),
            Just(Kind::TooManyRequests { retry_after: None }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn of_every_rollback(
            calls in prop::collection::vec((0..5usize, 0..3000i64), 1..40),
            faults in prop::collection::vec((kinds(), 1..4u64), 0..3),
        ) {
            let (mut world, path, v1) = shop_with_v2(Unknowns::default());
            for (kind, every) in faults {
                world.faults.add(Fault::on(Target::Writes, kind).when(When::Every(every)));
            }
            let body = json!({ "deployment_id": v1 }).to_string();
            let verbs = ["rollback", "rollback/commit", "rollback/revert", "restart", "deployments"];
            for (verb, wait) in &calls {
                post(&mut world, &format!("{path}/{}", verbs[*verb]), &body);
                world.advance(world.now() + wait);
            }
            world.advance(world.now() + 60_000);

            let app = &world.model.apps[0];
            let made = |wanted: fn(&Cause) -> bool| app.deployments.iter().filter(|d| wanted(&d.cause)).count();
            let applied = |operation| world.ledger.applied(operation, "shop").len();
            prop_assert_eq!(applied(Operation::CreateRollback), made(|c| matches!(c, Cause::Rollback { .. })));
            prop_assert_eq!(applied(Operation::RevertRollback), made(|c| *c == Cause::Revert));
            prop_assert_eq!(applied(Operation::Restart), made(|c| *c == Cause::Restart));
            let settled = applied(Operation::CommitRollback) + applied(Operation::RevertRollback);
            prop_assert_eq!(applied(Operation::CreateRollback) - settled, usize::from(app.pinned.is_some()));
            prop_assert_eq!(world.ledger.entries.len(), calls.len() + 1, "every write is in it once");
            for entry in world.ledger.entries.iter().filter(|entry| entry.applied()) {
                prop_assert!(entry.deployment.as_ref().is_none_or(|id| app.place_of(id).is_some()));
                prop_assert_eq!(&entry.refused, &None);
            }
        }
    }
}
