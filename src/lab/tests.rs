//! The lab over its listener, as the daemon and the tests of other rooms see it.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

struct Http {
    lab: RunningLab,
    client: reqwest::Client,
}

fn client(timeout: Duration) -> reqwest::Client {
    // Every test installs it; the first one wins.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().timeout(timeout).retry(reqwest::retry::never());
    builder.redirect(reqwest::redirect::Policy::none()).no_proxy().build().expect("a client")
}

/// A lab whose deployments take next to no time, with a shop that runs v1.
async fn started(unknowns: Unknowns) -> Http {
    let durations = Durations { pending_ms: 1, build_ms: 5, deploy_ms: 5, rollback_ms: 5 };
    let lab = Lab::start(LabConfig { durations, unknowns, ..LabConfig::default() }).await.expect("a lab");
    lab.create_app("shop", Release::good("v1")).expect("a free name");
    Http { lab, client: client(Duration::from_secs(5)) }
}

impl Http {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.lab.base_url)
    }

    fn app_path(&self) -> String {
        format!("v2/apps/{}", self.lab.app("shop").expect("shop").id)
    }

    fn read(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(self.url(path)).bearer_auth(GUARD_TOKEN)
    }

    async fn seen(&self) -> reqwest::Result<reqwest::Response> {
        self.read(&self.app_path()).send().await
    }

    /// Asks for a rollback to v1, like the daemon would.
    async fn roll_back(&self) -> reqwest::Result<reqwest::Response> {
        let target = self.lab.app("shop").expect("shop").deployments[0].id.clone();
        let url = self.url(&format!("{}/rollback", self.app_path()));
        let body = json!({ "deployment_id": target, "skip_pin": false });
        self.client.post(url).bearer_auth(GUARD_TOKEN).json(&body).send().await
    }

    async fn visit(&self, page: &str) -> (u16, String) {
        self.visit_app("shop", page).await
    }

    async fn visit_app(&self, app: &str, page: &str) -> (u16, String) {
        let url = self.url(&format!("sites/{app}/{page}"));
        let response = self.client.get(url).send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("text"))
    }

    async fn control(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let method = method.parse().expect("a method");
        let request = self.client.request(method, self.url(&format!("lab/{path}")));
        let response = request.json(&body).send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    fn applied(&self) -> usize {
        self.lab.ledger().applied(Operation::CreateRollback, "shop").len()
    }
}

/// The body as text, or that it could not be read.
async fn text(sent: reqwest::Result<reqwest::Response>) -> Result<String, ()> {
    sent.map_err(drop)?.text().await.map_err(drop)
}

#[tokio::test]
async fn the_lab_listens_on_loopback_only() {
    let listen = "0.0.0.0:0".parse().expect("an address");
    let refused = Lab::start(LabConfig { listen, ..LabConfig::default() }).await;
    assert!(matches!(refused, Err(LabError::NotLoopback(_))));
}

#[tokio::test]
async fn a_site_follows_what_is_live_through_a_rollback() {
    let http = started(Unknowns::default()).await;
    assert_eq!(http.visit("healthz").await, (200, "ok v1\n".to_owned()));
    http.lab.push("shop", Release::with_health("v2", Health::Bad { status: 503 })).expect("a push");
    http.lab.settled("shop").await.expect("shop");
    assert_eq!(
        http.visit("status").await,
        (
            503,
            format!(
                r#"{{"commit":"{}","status":"failing","version":"v2"}}"#,
                Release::bad("v2").commit_hash()
            )
        )
    );
    let made: Value = http.roll_back().await.expect("sent").json().await.expect("JSON");
    let after = http.lab.settled("shop").await.expect("shop");
    assert_eq!(after.active.as_deref(), made["deployment"]["id"].as_str());
    assert_eq!(http.visit("").await, (200, "ok v1\n".to_owned()));
    http.lab.set_health("shop", Health::Slow { latency_ms: 30 }).expect("shop");
    let asked = Instant::now();
    assert_eq!(http.visit("healthz").await.0, 200);
    assert!(asked.elapsed() >= Duration::from_millis(30));
    http.lab.stop().await;
}

#[tokio::test]
async fn there_is_no_gap_while_a_deployment_goes_live() {
    let http = started(Unknowns::default()).await;
    http.lab.push("shop", Release::good("v2")).expect("a push");
    while http.lab.live_version("shop").expect("shop").as_deref() != Some("v2") {
        assert_eq!(http.visit("healthz").await.0, 200);
    }
}

#[tokio::test]
async fn a_status_fault_says_nothing_about_what_was_done() {
    for (code, applied) in [(500, false), (502, true), (503, false), (504, true), (418, false), (401, false)]
    {
        let http = started(Unknowns::default()).await;
        let kind = Kind::Status { code, applied };
        http.lab.fault(Fault::on(Target::Call(Operation::CreateRollback), kind).when(When::First(1)));
        assert_eq!(http.roll_back().await.expect("sent").status().as_u16(), code);
        assert_eq!(http.applied(), usize::from(applied));
        assert_eq!(http.lab.app("shop").expect("shop").pinned.is_some(), applied);
        assert_eq!(http.lab.ledger().received(Operation::CreateRollback, "shop").len(), 1);
        http.seen().await.expect("reads are spared").error_for_status().expect("200");
    }
}

#[tokio::test]
async fn a_reset_or_a_hang_may_come_before_or_after_it_was_done() {
    for applied in [false, true] {
        for kind in [Kind::Reset { applied }, Kind::Hang { applied }] {
            let mut http = started(Unknowns::default()).await;
            http.client = client(Duration::from_millis(600));
            http.lab.fault(Fault::on(Target::Writes, kind.clone()).of_app("shop"));
            let error = http.roll_back().await.expect_err("no answer");
            assert_eq!(error.is_timeout(), matches!(kind, Kind::Hang { .. }), "{error:?}");
            assert_eq!(http.applied(), usize::from(applied), "{kind:?}");
            http.lab.clear_faults();
            http.seen().await.expect("an answer");
            http.lab.stop().await;
        }
    }
}

#[tokio::test]
async fn a_rollback_can_be_applied_after_its_caller_gave_up() {
    let mut http = started(Unknowns { late_apply_ms: Some(1500), ..Unknowns::default() }).await;
    http.client = client(Duration::from_millis(100));
    http.roll_back().await.expect_err("no answer");
    assert_eq!((http.applied(), http.lab.app("shop").expect("shop").pinned), (0, None));
    while http.lab.app("shop").expect("shop").pinned.is_none() {
        tokio::task::yield_now().await;
    }
    let ledger = http.lab.ledger();
    let entry = ledger.applied(Operation::CreateRollback, "shop")[0];
    assert_eq!(entry.applied_ms, Some(entry.at_ms + 1500));
}

#[tokio::test]
async fn bodies_come_broken_in_every_way_asked_for() {
    let http = started(Unknowns::default()).await;
    let whole = text(http.seen().await).await.expect("a body");
    let with = async |kind: Kind| {
        let id = http.lab.fault(Fault::on(Target::Reads, kind));
        let sent = http.seen().await.expect("a head");
        assert!(http.lab.remove_fault(id));
        let status = sent.status().as_u16();
        (status, sent.headers().clone(), sent.bytes().await)
    };
    let (status, headers, body) = with(Kind::Html { code: 502 }).await;
    assert!(status == 502 && headers["content-type"] == "text/html" && body.is_ok());
    let echo = async |code| {
        let (status, headers, body) = with(Kind::Echo { code, applied: false }).await;
        let text = String::from_utf8(body.expect("a body").to_vec()).expect("text");
        (status, headers["x-request-id"] == GUARD_TOKEN, text.contains(&format!("Bearer {GUARD_TOKEN}")))
    };
    assert_eq!(echo(422).await, (422, true, true));
    assert_eq!(echo(200).await, (200, true, false));
    assert_eq!(with(Kind::Empty).await.2.expect("a body").len(), 0);
    assert_eq!(with(Kind::NoContent).await.0, 204);
    assert!(std::str::from_utf8(&with(Kind::InvalidUtf8).await.2.expect("a body")).is_err());
    let (status, headers, body) = with(Kind::Truncated).await;
    assert!(status == 200 && headers["content-length"] == whole.len().to_string().as_str());
    assert!(body.is_err(), "it breaks off");
    let huge = with(Kind::Huge { bytes: 1_000_000 }).await.2.expect("a body");
    assert_eq!(huge.len(), 1_000_000 + whole.len());
    let limited = with(Kind::TooManyRequests { retry_after: Some("1000000000".to_owned()) }).await;
    assert!(limited.0 == 429 && limited.1["retry-after"] == "1000000000");
    let (status, headers, _) = with(Kind::RedirectLoop).await;
    assert!(status == 302 && headers["location"] == "?again");
}

#[tokio::test]
async fn the_json_can_be_twisted() {
    let http = started(Unknowns::default()).await;
    http.lab.create_app("blog", Release::good("v1")).expect("a free name");
    let list = async |kind: Option<Kind>| -> Value {
        http.lab.clear_faults();
        if let Some(kind) = kind {
            http.lab.fault(Fault::on(Target::Call(Operation::ListApps), kind));
        }
        http.read("v2/apps").send().await.expect("sent").json().await.expect("JSON")
    };
    let right = list(None).await;
    assert_eq!((&right["apps"][0]["spec"]["name"], &right["meta"]["total"]), (&json!("shop"), &json!(2)));
    assert_eq!(list(Some(Kind::Reordered)).await["apps"][0]["spec"]["name"], "blog");
    assert_eq!(list(Some(Kind::Duplicated)).await["apps"].as_array().map(Vec::len), Some(4));
    assert_eq!(list(Some(Kind::WrongTotal)).await["meta"]["total"], 3);
    assert!(list(Some(Kind::WrongTypes)).await["apps"].is_object());
    let strange = list(Some(Kind::UnknownWords)).await;
    assert_eq!(strange["apps"][0]["active_deployment"]["phase"], "NEW_IN_2031");
    let nameless = list(Some(Kind::MissingIds)).await;
    assert_eq!(nameless["apps"][1].get("id"), None);
    assert_eq!(nameless["apps"][1]["active_deployment"].get("id"), None);
    assert!(list(Some(Kind::UnknownFields)).await["apps"][0].get("x_new_in_2031").is_some());
}

#[tokio::test]
async fn a_slow_loris_outlasts_its_callers_patience() {
    let mut http = started(Unknowns::default()).await;
    http.client = client(Duration::from_millis(500));
    http.lab.fault(Fault::on(Target::Site, Kind::SlowLoris { every_ms: 200 }));
    let sent = http.client.get(http.url("sites/shop/healthz")).send().await.expect("a head");
    assert_eq!(sent.status(), 200);
    assert!(sent.text().await.is_err_and(|error| error.is_timeout()));
    http.lab.fault(Fault::on(Target::Up, Kind::Delay { ms: 2000 }));
    let late = http.client.get(http.url("up")).send().await;
    assert!(late.is_err_and(|error| error.is_timeout()));
    http.lab.stop().await;
}

#[tokio::test]
async fn when_the_network_is_down_nothing_answers_but_the_control_api() {
    let http = started(Unknowns::default()).await;
    let reached = async |path: &str| http.client.get(http.url(path)).send().await.is_ok();
    assert!(reached("up").await && reached("sites/shop/healthz").await && http.seen().await.is_ok());
    assert_eq!(http.control("POST", "network", json!({ "up": false })).await, (200, json!({ "up": false })));
    assert!(!reached("up").await && !reached("sites/shop/healthz").await && http.seen().await.is_err());
    http.lab.set_network(true);
    assert!(reached("control").await);
}

#[tokio::test]
async fn a_person_works_through_the_control_api_and_is_told_from_the_guard() {
    let http = started(Unknowns::default()).await;
    let (status, made) = http.control("POST", "apps", json!({ "name": "blog" })).await;
    assert_eq!((status, &made["version"]), (200, &json!("v1")));
    assert_eq!(http.control("POST", "apps", json!({ "name": "blog" })).await.0, 409);
    let release = json!({ "version": "v2", "health": { "bad": { "status": 500 } } });
    assert_eq!(http.control("POST", "apps/shop/releases", release).await.0, 200);
    http.lab.settled("shop").await.expect("shop");
    http.roll_back().await.expect("sent").error_for_status().expect("200");
    http.lab.settled("shop").await.expect("shop");
    let person = async |action: Value| http.control("POST", "apps/shop/person", action).await;
    assert_eq!(person(json!({ "action": "commit" })).await, (200, json!({ "deployment": null })));
    assert_eq!(person(json!({ "action": "commit" })).await.0, 409);
    let (status, pin) = person(json!({ "action": "rollback", "to": "v2" })).await;
    assert_eq!(
        (status, http.lab.app("shop").expect("shop").pinned.as_deref()),
        (200, pin["deployment"].as_str())
    );
    assert_eq!(person(json!({ "action": "rollback", "to": "v9" })).await.0, 404);

    let ledger = http.lab.ledger();
    let by: Vec<_> = ledger.applied(Operation::CreateRollback, "shop").iter().map(|e| e.who).collect();
    assert_eq!(by, [Who::Guard, Who::Person]);
    assert_eq!(ledger.calls(Operation::CommitRollback), 0, "a person did not use the API");
    let (_, shown) = http.control("GET", "ledger", json!(null)).await;
    assert_eq!(shown["calls"]["create_rollback"], 1);
    let (_, state) = http.control("GET", "state", json!(null)).await;
    assert_eq!(state["apps"][0]["name"], "shop");
}

#[tokio::test]
async fn faults_and_switches_are_set_through_the_control_api() {
    let http = started(Unknowns::default()).await;
    let fault =
        json!({ "on": { "call": "get_app" }, "kind": { "status": { "code": 503 } }, "when": { "first": 1 } });
    let (_, added) = http.control("POST", "faults", fault).await;
    assert_eq!(http.seen().await.expect("sent").status(), 503);
    assert_eq!(http.seen().await.expect("sent").status(), 200);
    let (_, removed) = http.control("DELETE", &format!("faults/{}", added["id"]), json!(null)).await;
    assert_eq!(removed, json!({ "removed": true }));
    let switches = json!({ "cloned_from": "omitted", "refusal_status": 422 });
    let (status, now) = http.control("PUT", "unknowns", switches).await;
    assert_eq!((status, &now["cloned_from"], &now["zeros"]), (200, &json!("omitted"), &json!("omitted")));
}

#[tokio::test]
async fn an_app_that_was_deleted_is_not_found() {
    let http = started(Unknowns::default()).await;
    let path = http.app_path();
    http.lab.delete_app("shop").expect("shop");
    assert_eq!(http.read(&path).send().await.expect("sent").status(), 404);
    assert_eq!(http.visit("healthz").await.0, 404);
    let list: Value = http.read("v2/apps").send().await.expect("sent").json().await.expect("JSON");
    assert_eq!(list["meta"]["total"], 0);
}

#[tokio::test]
async fn a_person_makes_a_sevalla_app_and_works_on_it_through_the_control_api() {
    let http = started(Unknowns::default()).await;
    let kind = json!({ "sevalla": { "source": "private_git" } });
    let (status, made) = http.control("POST", "apps", json!({ "name": "blog", "kind": kind })).await;
    assert_eq!((status, &made["auto_deploy"]), (200, &json!(true)));
    let person = async |action: Value| http.control("POST", "apps/blog/person", action).await;
    let release = json!({ "version": "v2", "health": { "bad": { "status": 500 } } });
    assert!(person(json!({ "action": "push", "release": release })).await.1["deployment"].is_string());
    http.lab.settled("blog").await.expect("blog");
    assert_eq!(person(json!({ "action": "rollback", "to": "v1" })).await.0, 400, "the platform picks");
    let after = async |action: Value| {
        assert_eq!(person(action.clone()).await.0, 200, "{action}");
        http.lab.settled("blog").await.expect("blog").version.expect("something live")
    };
    assert_eq!(after(json!({ "action": "rollback" })).await, "v1");
    assert_eq!(after(json!({ "action": "restart" })).await, "v1");
    assert_eq!(after(json!({ "action": "set_auto_deploy", "on": false })).await, "v1");
    assert_eq!(after(json!({ "action": "push", "release": { "version": "v3" } })).await, "v1");
    assert_eq!(http.lab.app("blog").expect("blog").auto_deploy, Some(false));
    assert_eq!(after(json!({ "action": "deploy" })).await, "v3");
    let stuck = json!({ "version": "v4", "build": "sticks" });
    assert_eq!(after(json!({ "action": "push", "release": stuck })).await, "v3");
    assert_eq!(after(json!({ "action": "deploy" })).await, "v3");
    assert_eq!(after(json!({ "action": "cancel" })).await, "v3");
    assert_eq!(person(json!({ "action": "commit" })).await.0, 400);
    let ledger = http.lab.ledger();
    let entry = ledger.applied(Operation::SetAutoDeploy, "blog")[0];
    assert_eq!((entry.who, entry.auto_deploy_before), (Who::Person, Some(true)));
    assert_eq!(http.visit_app("blog", "healthz").await, (200, "ok v3\n".to_owned()));
    let (status, made) =
        http.control("POST", "apps", json!({ "name": "many", "kind": kind, "count": 3 })).await;
    assert_eq!((status, made), (200, json!({ "created": 3 })));
}

#[tokio::test]
async fn sevallas_answers_come_broken_in_its_own_form() {
    let http = started(Unknowns::default()).await;
    for name in ["blog", "wiki"] {
        let kind = AppKind::sevalla(Source::PrivateGit);
        http.lab.create_app_of(name, kind, Release::good("v1")).expect("a free name");
    }
    let sent = async |kind: Option<Kind>| {
        http.lab.clear_faults();
        if let Some(kind) = kind {
            http.lab.fault(Fault::on(Target::Call(Operation::ListApps), kind));
        }
        http.read("v3/applications").send().await.expect("a head")
    };
    let list = async |kind: Option<Kind>| -> Value { sent(kind).await.json().await.expect("JSON") };
    let right = list(None).await;
    assert_eq!((&right["data"][0]["name"], &right["total"]), (&json!("wiki"), &json!(2)));
    let error = list(Some(Kind::Status { code: 500, applied: false })).await;
    assert_eq!((&error["status"], error["data"]["code"].is_string()), (&json!(500), true));
    let limited = sent(Some(Kind::TooManyRequests { retry_after: None })).await;
    assert_eq!((limited.status().as_u16(), limited.headers().get("retry-after")), (429, None));
    let left = ["x-ratelimit-remaining", "x-ratelimit-reset"].map(|name| limited.headers()[name].clone());
    assert_eq!(left, ["0", "2"]);
    assert_eq!(list(Some(Kind::Reordered)).await["data"][0]["name"], "blog");
    assert_eq!(list(Some(Kind::Duplicated)).await["data"].as_array().map(Vec::len), Some(4));
    assert_eq!(list(Some(Kind::WrongTotal)).await["total"], 3);
    assert!(list(Some(Kind::WrongTypes)).await["data"].is_object());
    assert_eq!(list(Some(Kind::UnknownWords)).await["data"][1]["status"], "NEW_IN_2031");
    assert_eq!(list(Some(Kind::MissingIds)).await["data"][1].get("id"), None);
    assert!(list(Some(Kind::UnknownFields)).await["data"][0].get("x_new_in_2031").is_some());
    assert!(
        text(Ok(sent(Some(Kind::Html { code: 502 })).await)).await.is_ok_and(|page| page.starts_with('<'))
    );
    assert_eq!(text(Ok(sent(Some(Kind::Empty)).await)).await, Ok(String::new()));
    assert!(text(Ok(sent(Some(Kind::Truncated)).await)).await.is_err());
}

#[tokio::test]
async fn stopping_ends_what_hangs() {
    let http = started(Unknowns::default()).await;
    http.lab.fault(Fault::on(Target::Api, Kind::Hang { applied: false }));
    let request = http.read("v2/apps");
    let hanging = tokio::spawn(async move { request.send().await.is_err() });
    while http.lab.ledger().calls(Operation::ListApps) == 0 {
        tokio::task::yield_now().await;
    }
    let (lab, asked) = (http.lab, Instant::now());
    lab.stop().await;
    assert!(hanging.await.expect("no panic"));
    assert!(asked.elapsed() < Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn the_labs_clock_is_tokios_so_an_hour_passes_at_once() {
    let lab = Lab::start(LabConfig::default()).await.expect("a lab");
    lab.create_app("shop", Release::good("v1")).expect("a free name");
    let before = lab.now_ms();
    lab.push("shop", Release { build_ms: Some(3_600_000), ..Release::good("v2") }).expect("a push");
    assert_eq!(lab.settled("shop").await.expect("shop").version.as_deref(), Some("v2"));
    assert_eq!(lab.now_ms() - before, 3_600_000 + 2 * 100 + 2000);
}
