//! The dialect, without a network: requests in, answers out.

mod figures;
mod oracle;
mod rollbacks;

use super::*;
use crate::lab::fault::{Fault, Target, When};
use crate::lab::kind::{AppKind, Source};
use crate::lab::release::{Health, Image, Release};
use crate::lab::unknowns::{NullImage, RollbackRule, RollbackTrigger, Unknowns};
use crate::lab::{GUARD_TOKEN, LabConfig, READ_TOKEN, RateLimit};

struct Shop {
    world: World,
    path: String,
}

/// A shop made from `source` that runs v1.
fn shop_of(source: Source, config: &LabConfig) -> Shop {
    let mut world = World::new(config, 1_700_000_000_123);
    let app = world.create_app("shop", AppKind::sevalla(source), Release::good("v1")).expect("a free name");
    let shelf = if source == Source::StaticSite { "static-sites" } else { "applications" };
    Shop { world, path: format!("/v3/{shelf}/{}", app.id) }
}

/// A shop from a repository after v2, a bad one, went live.
fn shop_with_v2(unknowns: Unknowns) -> Shop {
    let mut shop = shop_of(Source::PrivateGit, &LabConfig { unknowns, ..LabConfig::default() });
    shop.push(Release::bad("v2"));
    shop
}

impl Shop {
    fn ask(&mut self, token: Option<&str>, method: &str, path: &str, body: &str) -> Answer {
        let path = if path.starts_with("/v3") { path.to_owned() } else { format!("{}{path}", self.path) };
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let request = Request { method, path, query, host: "", token, body: body.as_bytes() };
        answer(&mut self.world, &request).0
    }

    fn try_to(&mut self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let answer = self.ask(Some(GUARD_TOKEN), method, path, body);
        (answer.status, serde_json::from_slice(&answer.body).expect("JSON"))
    }

    fn get(&mut self, path: &str) -> Value {
        let (status, shown) = self.try_to("GET", path, "");
        assert_eq!(status, 200, "{path}: {shown}");
        shown
    }

    fn post(&mut self, path: &str, body: &Value) -> Value {
        let (status, shown) = self.try_to("POST", path, &body.to_string());
        assert!(status < 300, "{path}: {shown}");
        shown
    }

    fn roll_back(&mut self) -> Value {
        let (status, made) = self.try_to("POST", "/deployments/rollback", "");
        assert_eq!(status, 200, "{made}");
        made
    }

    fn rows(&mut self) -> Vec<Value> {
        self.get("/deployments")["data"].as_array().expect("a list").clone()
    }

    fn push(&mut self, release: Release) {
        let write = Write::Push(release.into());
        self.world
            .write(Asked { place: 0, who: Who::Person, operation: Operation::Push, write }, None)
            .expect("a push");
        self.wait(60_000);
    }

    fn wait(&mut self, ms: i64) {
        self.world.advance(self.world.now() + ms);
    }

    fn live(&self) -> String {
        self.world.model.apps[0].active().expect("live").release.version.clone()
    }
}

fn header(answer: &Answer, name: &str) -> Option<String> {
    answer.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone())
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn tokens_are_checked_and_a_read_only_one_writes_nothing() {
    let mut shop = shop_with_v2(Unknowns::default());
    let nobody = shop.ask(None, "GET", "", "");
    let error: Value = serde_json::from_slice(&nobody.body).expect("JSON");
    assert_eq!(
        (nobody.status, &error["status"], &error["message"]),
        (401, &json!(401), &json!("Unauthorized"))
    );
    assert!(error["data"]["code"].as_str().is_some_and(|code| code.starts_with("err-")));
    assert_eq!(shop.ask(Some("wrong"), "GET", "", "").status, 401);
    for path in
        ["", "/deployments", "/processes", "/v3/applications", "/v3/api-keys/me", "/v3/api-keys/validate"]
    {
        assert_eq!(shop.ask(Some(READ_TOKEN), "GET", path, "").status, 200, "{path}");
    }
    let row = shop.rows()[0]["id"].as_str().expect("an id").to_owned();
    for (method, path) in [
        ("PATCH", String::new()),
        ("POST", "/deployments".to_owned()),
        ("POST", "/deployments/rollback".to_owned()),
        ("POST", format!("/deployments/{row}/cancel")),
    ] {
        assert_eq!(shop.ask(Some(READ_TOKEN), method, &path, "{}").status, 403, "{method} {path}");
    }
    let by_guard = shop.world.ledger.by(Who::Guard);
    assert!(by_guard.len() == 4 && by_guard.iter().all(|entry| !entry.applied()));
    let key = shop.get("/v3/api-keys/validate");
    assert_eq!((&key["status"], &key["expires_at"]), (&json!("active"), &Value::Null));
}

#[test]
fn a_deployment_has_all_of_its_keys_and_many_are_null() {
    let mut shop = shop_with_v2(Unknowns::default());
    shop.post("/deployments", &json!({ "branch": "main" }));
    let row = shop.rows()[0].clone();
    let mut expected = vec![
        "id",
        "app_id",
        "status",
        "type",
        "trigger",
        "steps",
        "docker_image_url",
        "git_type",
        "repo_url",
        "branch",
        "commit_sha",
        "commit_message",
        "author_login",
        "author_img",
        "started_at",
        "finished_at",
        "created_at",
        "updated_at",
    ];
    expected.sort_unstable();
    assert_eq!(keys(&row), expected);
    assert_eq!(
        (&row["status"], &row["type"], &row["trigger"]),
        (&json!("waiting"), &json!("manual"), &json!("MANUAL_DEPLOY"))
    );
    assert_eq!((&row["started_at"], &row["finished_at"]), (&Value::Null, &Value::Null));
    assert_eq!(row["steps"], json!(["checkout", "build", "rollout"]));
    assert_eq!(shop.get("")["status"], "deploymentInProgress");
    shop.wait(150);
    assert_eq!(shop.rows()[0]["status"], "inProgress");
    shop.wait(60_000);
    let row = shop.rows()[0].clone();
    assert_eq!((&row["status"], &row["finished_at"]), (&json!("success"), &row["updated_at"]));
    assert_eq!(shop.rows()[1]["updated_at"], shop.rows()[1]["finished_at"], "nobody is told of a successor");
    assert_eq!(shop.get("")["status"], "deploymentSuccess");
}

#[test]
fn rows_come_most_recent_first_in_pages() {
    let mut shop = shop_with_v2(Unknowns::default());
    let all = shop.get("/deployments?limit=100");
    assert_eq!((&all["total"], &all["offset"], &all["limit"]), (&json!(2), &json!(0), &json!(100)));
    assert_eq!(all["data"][0]["trigger"], "AUTO_DEPLOY_ON_PUSH");
    assert_eq!(all["data"][0]["type"], "automatic");
    assert_eq!(all["data"][1]["created_at"], "2023-11-14T22:13:20.123Z");
    let second = shop.get("/deployments?limit=1&offset=1");
    assert_eq!(second["data"], json!([all["data"][1]]));
    let one = shop.get(&format!("/deployments/{}", all["data"][1]["id"].as_str().expect("an id")));
    assert_eq!(one, all["data"][1]);
    assert_eq!(shop.try_to("GET", "/deployments?limit=101", "").0, 400);
    let other = crate::lab::app::uuid(9, "other", 0);
    assert_eq!(shop.try_to("GET", &format!("/deployments/{other}"), "").0, 404);
    assert_eq!(shop.try_to("GET", &format!("/v3/applications/{other}"), "").0, 404);
    assert_eq!(shop.try_to("GET", "/v3/applications/shop", "").0, 400);
}

#[test]
fn auto_deploy_is_changed_or_the_change_is_ignored_and_the_ledger_knows() {
    for patch_ignored in [false, true] {
        let mut shop = shop_with_v2(Unknowns { patch_ignored, ..Unknowns::default() });
        let (status, app) = shop.try_to("PATCH", "", r#"{"auto_deploy":false}"#);
        assert_eq!((status, &app["auto_deploy"]), (200, &json!(patch_ignored)));
        assert_eq!(shop.get("")["auto_deploy"], json!(patch_ignored));
        let entry = shop.world.ledger.received(Operation::SetAutoDeploy, "shop")[0].clone();
        assert_eq!((entry.applied(), entry.auto_deploy_before), (!patch_ignored, Some(true)));
        shop.push(Release::good("v3"));
        assert_eq!(shop.live(), if patch_ignored { "v3" } else { "v2" });
    }
    let mut shop = shop_with_v2(Unknowns::default());
    for body in [r#"{"display_name":"x"}"#, r#"{"auto_deploy":"no"}"#, "{}", ""] {
        assert_eq!(shop.try_to("PATCH", "", body).0, 400, "{body}");
    }
}

#[test]
fn a_rollback_leaves_pushes_alone_or_pauses_them_or_lets_them_go_and_the_ledger_knows_what_it_changed() {
    for before in [true, false] {
        for rollback_sets_auto_deploy in [None, Some(false), Some(true)] {
            let mut shop = shop_with_v2(Unknowns { rollback_sets_auto_deploy, ..Unknowns::default() });
            shop.try_to("PATCH", "", &json!({ "auto_deploy": before }).to_string());
            shop.roll_back();
            let after = rollback_sets_auto_deploy.unwrap_or(before);
            assert_eq!(shop.get("")["auto_deploy"], json!(after));
            let entry = shop.world.ledger.received(Operation::CreateRollback, "shop")[0].clone();
            assert_eq!(entry.auto_deploy, (after != before).then_some(after));
        }
    }
    // It means nothing there.
    let pauses = Unknowns { rollback_sets_auto_deploy: Some(false), ..Unknowns::default() };
    let mut image = shop_of(Source::DockerImage, &LabConfig { unknowns: pauses, ..LabConfig::default() });
    image.push(Release::good("v2"));
    image.post("/deployments", &json!({}));
    image.wait(60_000);
    let before = image.get("")["auto_deploy"].clone();
    image.roll_back();
    assert_eq!(image.get("")["auto_deploy"], before);
}

#[test]
fn there_is_a_hook_only_if_the_switch_says_so() {
    let mut shop = shop_with_v2(Unknowns::default());
    assert_eq!(shop.try_to("GET", "/deployment-hook", "").0, 404);
    let mut shop = shop_with_v2(Unknowns { hook_enabled: true, ..Unknowns::default() });
    assert!(shop.get("/deployment-hook")["url"].as_str().is_some_and(|url| url.contains("/deploy/")));
}

#[test]
fn what_waits_is_skipped_what_runs_is_cancelled_and_what_ended_is_refused() {
    for cancel_of_finished in [404, 409] {
        let mut shop = shop_with_v2(Unknowns { cancel_of_finished, ..Unknowns::default() });
        let rows = [(); 3].map(|()| shop.post("/deployments", &json!({}))["id"].clone());
        shop.wait(150);
        let path = |row: &Value| format!("/deployments/{}", row.as_str().expect("an id"));
        for (row, status) in [(&rows[1], "skipped"), (&rows[0], "cancelled")] {
            let said = shop.post(&format!("{}/cancel", path(row)), &json!({}));
            assert_eq!(said, json!({ "message": "Deployment is being cancelled" }));
            assert_eq!(shop.get(&path(row))["status"], status);
            let again = shop.try_to("POST", &format!("{}/cancel", path(row)), "").0;
            assert_eq!(again, cancel_of_finished);
        }
        shop.wait(60_000);
        assert_eq!(shop.get(&path(&rows[2]))["status"], "success");
        let ledger = &shop.world.ledger;
        assert_eq!(ledger.applied(Operation::CancelDeployment, "shop").len(), 2);
    }
}

#[test]
fn a_static_site_is_a_resource_of_its_own_and_goes_back_by_id() {
    let mut site = shop_of(Source::StaticSite, &LabConfig::default());
    site.push(Release::good("v2"));
    site.push(Release::bad("v3"));
    assert_eq!(site.get("/v3/applications")["total"], 0);
    assert_eq!(site.get("/v3/static-sites")["data"][0]["name"], "shop");
    let app_path = site.path.replace("static-sites", "applications");
    assert_eq!(site.try_to("GET", &app_path, "").0, 404);
    assert_eq!(site.get("")["auto_deploy"], true);
    let oldest = site.rows()[2].clone();
    let mut expected = vec![
        "id",
        "static_site_id",
        "status",
        "type",
        "repo_url",
        "branch",
        "is_preview",
        "author_login",
        "author_img",
        "commit_sha",
        "commit_message",
        "cloud_build_id",
        "build_error",
        "created_at",
        "updated_at",
        "finished_at",
        "started_at",
    ];
    expected.sort_unstable();
    assert_eq!(keys(&oldest), expected);
    let body = json!({ "deployment_id": oldest["id"] }).to_string();
    let (status, made) = site.try_to("POST", "/deployments", &body);
    assert_eq!((status, &made["commit_sha"]), (201, &oldest["commit_sha"]));
    site.wait(60_000);
    assert_eq!(site.live(), "v1");
    assert_eq!(site.try_to("POST", "/deployments/rollback", "").0, 404);
    assert_eq!(site.try_to("POST", "/deployments", r#"{"deployment_id":"v1"}"#).0, 400);
    assert_eq!(site.try_to("PATCH", "", r#"{"auto_deploy":false}"#).1["auto_deploy"], false);
    let applied = site.world.ledger.applied(Operation::CreateRollback, "shop");
    assert_eq!(applied[0].target.as_deref(), oldest["id"].as_str());
}

#[test]
fn the_apps_of_one_platform_are_not_visible_through_the_others_api() {
    let mut shop = shop_with_v2(Unknowns::default());
    let other =
        shop.world.create_app("blog", AppKind::DigitalOcean, Release::good("v1")).expect("a free name");
    let list = shop.get("/v3/applications");
    assert_eq!((&list["total"], &list["data"][0]["name"]), (&json!(1), &json!("shop")));
    assert_eq!(shop.try_to("GET", &format!("/v3/applications/{}", other.id), "").0, 404);
    let id = shop.path.rsplit('/').next().expect("an id").to_owned();
    let mut ask_other = |path: &str| {
        let (path, token) = (path, Some(GUARD_TOKEN));
        let request = Request { method: "GET", path, query: "", host: "", token, body: b"" };
        crate::lab::digitalocean::answer(&mut shop.world, "http://127.0.0.1:1", &request).0
    };
    assert_eq!(ask_other(&format!("/v2/apps/{id}")).status, 404);
    let list: Value = serde_json::from_slice(&ask_other("/v2/apps").body).expect("JSON");
    assert_eq!((&list["meta"]["total"], &list["apps"][0]["id"]), (&json!(1), &json!(other.id)));
}

#[test]
fn applications_are_listed_newest_first_in_pages() {
    let mut shop = shop_with_v2(Unknowns::default());
    for name in ["blog", "wiki"] {
        shop.wait(1000);
        let kind = AppKind::sevalla(Source::PublicGit);
        shop.world.create_app(name, kind, Release::good("v1")).expect("a free name");
    }
    let page = shop.get("/v3/applications?limit=2&offset=1");
    let names: Vec<_> =
        page["data"].as_array().expect("a list").iter().map(|app| app["name"].clone()).collect();
    assert_eq!((names, &page["total"]), (vec![json!("blog"), json!("shop")], &json!(3)));
    let mut expected = vec![
        "id",
        "name",
        "display_name",
        "status",
        "type",
        "source",
        "is_suspended",
        "created_at",
        "updated_at",
    ];
    expected.sort_unstable();
    assert_eq!(keys(&page["data"][0]), expected);
    assert_eq!(shop.get("").as_object().map(serde_json::Map::len), Some(32));
}

#[test]
fn the_rate_limits_are_announced_and_enforced_by_tier() {
    let config = LabConfig { rate_limit: RateLimit::DOCUMENTED, ..LabConfig::default() };
    let mut shop = shop_of(Source::PrivateGit, &config);
    let limits = |answer: &Answer| {
        ["limit", "remaining", "reset"].map(|what| match what {
            "limit" => header(answer, "x-ratelimit-limit"),
            "remaining" => header(answer, "x-ratelimit-remaining"),
            _ => header(answer, "x-ratelimit-reset"),
        })
    };
    let said = |parts: [&str; 3]| parts.map(|part| Some(part.to_owned()));
    let read = shop.ask(Some(READ_TOKEN), "GET", "", "");
    assert_eq!(limits(&read), said(["400", "399", "60"]));
    assert_eq!(header(&read, "date").as_deref(), Some("Tue, 14 Nov 2023 22:13:20 GMT"));
    assert!(header(&read, "x-request-id").is_some_and(|id| is_uuid(&id)));
    let read = shop.ask(Some(GUARD_TOKEN), "GET", "", "");
    assert_eq!(limits(&read), said(["400", "398", "60"]), "the company's, not the token's");
    for _ in 0..10 {
        shop.post("/deployments", &json!({ "is_restart": true }));
    }
    shop.wait(20_000);
    let spent = shop.ask(Some(GUARD_TOKEN), "POST", "/deployments/rollback", "");
    assert_eq!((spent.status, limits(&spent)), (429, said(["10", "0", "40"])));
    assert_eq!(header(&spent, "retry-after"), None);
    assert!(shop.world.ledger.received(Operation::CreateRollback, "shop")[0].refused.is_some());
    let patched = shop.ask(Some(GUARD_TOKEN), "PATCH", "", r#"{"auto_deploy":false}"#);
    assert_eq!((patched.status, limits(&patched)), (200, said(["10", "9", "60"])));
    let row = shop.rows()[0]["id"].as_str().expect("an id").to_owned();
    let logs = shop.ask(Some(GUARD_TOKEN), "GET", &format!("/deployments/{row}/logs"), "");
    assert_eq!((logs.status, limits(&logs)), (200, said(["30", "29", "60"])));
    let other = shop.ask(Some(GUARD_TOKEN), "POST", "/suspend", "");
    assert_eq!((other.status, limits(&other)), (404, said(["30", "29", "60"])));
    shop.wait(40_000);
    assert_eq!(shop.try_to("POST", "/deployments", r#"{"is_restart":true}"#).0, 200);
}

#[test]
fn reads_lag_behind_a_write_and_a_rollback_can_be_applied_late() {
    let mut shop = shop_with_v2(Unknowns { reads_lag_ms: 50, ..Unknowns::default() });
    shop.roll_back();
    assert_eq!(shop.rows().len(), 2);
    shop.try_to("PATCH", "", r#"{"auto_deploy":false}"#);
    assert_eq!(shop.get("")["auto_deploy"], true);
    shop.wait(50);
    assert_eq!((shop.rows().len(), &shop.get("")["auto_deploy"]), (3, &json!(false)));

    let mut shop = shop_with_v2(Unknowns { late_apply_ms: Some(500), ..Unknowns::default() });
    shop.try_to("POST", "/deployments/rollback", "");
    assert_eq!(shop.rows().len(), 2);
    shop.wait(500);
    assert_eq!(shop.rows().len(), 3);
    let entry = shop.world.ledger.applied(Operation::CreateRollback, "shop")[0].clone();
    assert_eq!(entry.applied_ms, Some(entry.at_ms + 500));
    assert_eq!(entry.target.as_deref(), shop.rows()[2]["id"].as_str());
}

#[test]
fn some_reads_lag_and_others_do_not_where_replicas_answer() {
    let unknowns = Unknowns { reads_lag_ms: 60, reads_jump: true, ..Unknowns::default() };
    let mut shop = shop_with_v2(unknowns);
    shop.roll_back();
    let seen: Vec<usize> = (0..40).map(|_| shop.rows().len()).collect();
    assert!(seen.windows(2).any(|two| two == [3, 2]), "{seen:?}");
}

#[test]
fn a_fault_keeps_a_write_from_the_platform_or_its_answer_from_the_caller() {
    for (kind, applied) in [
        (Kind::Status { code: 500, applied: false }, 0),
        (Kind::Status { code: 500, applied: true }, 1),
        (Kind::Hang { applied: true }, 1),
        (Kind::Reset { applied: false }, 0),
        (Kind::TooManyRequests { retry_after: None }, 0),
        (Kind::Truncated, 1),
    ] {
        for operation in [Operation::CreateRollback, Operation::Restart, Operation::SetAutoDeploy] {
            let mut shop = shop_with_v2(Unknowns::default());
            shop.world.faults.add(Fault::on(Target::Call(operation), kind.clone()).when(When::First(1)));
            match operation {
                Operation::CreateRollback => shop.ask(Some(GUARD_TOKEN), "POST", "/deployments/rollback", ""),
                Operation::Restart => {
                    shop.ask(Some(GUARD_TOKEN), "POST", "/deployments", r#"{"is_restart":true}"#)
                }
                _ => shop.ask(Some(GUARD_TOKEN), "PATCH", "", r#"{"auto_deploy":false}"#),
            };
            assert_eq!(shop.world.ledger.applied(operation, "shop").len(), applied, "{kind:?} {operation:?}");
            let entry = shop.world.ledger.received(operation, "shop")[0];
            assert_eq!(entry.fault, Some(kind.name()));
        }
    }
}
