//! The surface over real sockets.

mod bounds;
mod commands;
mod exposition;
pub(super) mod fake;
mod telling;

use serde_json::json;

use fake::{TOKEN, Trouble, start};

#[tokio::test]
async fn apps_come_as_a_list_and_one_by_one_and_nothing_in_them_is_nan() {
    let server = start(Trouble::None).await;
    let answer = server.get("/api/v1/apps").await;
    assert_eq!(answer.status, 200);
    let list = answer.json();
    assert_eq!(list["apps"][0]["name"], "checkout");
    assert_eq!(list["apps"][0]["mode"], "enforce");
    assert_eq!(list["apps"][0]["rules"][0]["value"], json!(null));
    assert_eq!(list["apps"][0]["platform_read_at"], "1970-01-01T00:00:00Z");
    assert_eq!(server.get("/api/v1/apps/checkout").await.json(), list["apps"][0]);
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn incidents_come_as_a_list_and_one_by_one_with_their_timeline() {
    let server = start(Trouble::None).await;
    let list = server.get("/api/v1/incidents").await.json();
    assert_eq!(list["incidents"].as_array().unwrap().len(), 2);
    assert_eq!(list["incidents"][0]["outcome"], "committed");
    assert_eq!(list["incidents"][0]["time_to_restore_seconds"], json!(null));
    assert!(list["incidents"][0]["timeline"].is_array());
    let one = server.get("/api/v1/incidents?app=checkout&limit=1").await.json();
    assert_eq!(one["incidents"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/api/v1/incidents?app=other").await.json(), json!({ "incidents": [] }));
    let detail = server.get("/api/v1/incidents/checkout-1a2b3c4d").await.json();
    assert_eq!(detail["bad_deployment"], "d2");
    assert_eq!(detail["timeline"][0]["event"], "fired");
}

#[tokio::test]
async fn health_is_one_plain_line() {
    let server = start(Trouble::None).await;
    for path in ["/live", "/ready"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    }
    let answer = start(Trouble::NotLive).await.get("/live").await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "the loop of app checkout stands\n"));
    assert_eq!(start(Trouble::NotLive).await.get("/ready").await.status, 200);
    assert_eq!(start(Trouble::JournalFails).await.get("/ready").await.body, "the journal fails\n");
}

#[tokio::test]
async fn the_root_says_where_things_are() {
    let answer = start(Trouble::None).await.get("/").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    for path in ["/metrics", "/ready", "/api/v1/apps", "/api/v1/incidents"] {
        assert!(answer.body.contains(&format!("href=\"{path}\"")), "{path}");
    }
}

#[tokio::test]
async fn actions_reach_the_daemon_and_say_what_was_done() {
    let server = start(Trouble::None).await;
    let done = server.post("/api/v1/apps/checkout/pause", Some(TOKEN)).await;
    assert_eq!(done.status, 200);
    assert_eq!(
        done.json(),
        json!({ "done": "pause", "app": "checkout", "incident": null, "target_deployment": null })
    );
    server.post("/api/v1/apps/checkout/resume", Some(TOKEN)).await;
    server.post("/api/v1/pause", Some(TOKEN)).await;
    server.post("/api/v1/resume", Some(TOKEN)).await;
    let done = server.post("/api/v1/incidents/checkout-1a2b3c4d/approve", Some(TOKEN)).await;
    assert_eq!(done.status, 202);
    let incident = "checkout-1a2b3c4d";
    let approved = json!({ "done": "approve", "app": null, "incident": incident, "target_deployment": "d1" });
    assert_eq!(done.json(), approved);
    server.post("/api/v1/incidents/checkout-1a2b3c4d/reject", Some(TOKEN)).await;
    let acts = server.fake.acts.lock().unwrap();
    assert_eq!(
        *acts,
        [
            "checkout paused by somebody",
            "checkout resumed by somebody",
            "* paused by somebody",
            "* resumed by somebody",
            "checkout-1a2b3c4d Approve by somebody",
            "checkout-1a2b3c4d Reject by somebody",
        ]
    );
}

#[tokio::test]
async fn who_orders_what_is_said_in_the_body() {
    let server = start(Trouble::None).await;
    let told = |path: &str, body: &str| {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        );
        let server = &server;
        async move { server.say(&request).await }
    };
    let done =
        told("/api/v1/apps/checkout/rollback", r#"{"by": "ada", "to": "d1", "accept_migrations": true}"#);
    let done = done.await;
    assert_eq!(done.status, 202);
    assert_eq!(
        done.json(),
        json!({
            "done": "rollback", "app": "checkout", "incident": "checkout-1a2b3c4d", "target_deployment": null
        })
    );
    assert_eq!(told("/api/v1/apps/checkout/commit", "").await.status, 202);
    assert_eq!(told("/api/v1/apps/checkout/revert", "{}").await.status, 202);
    assert_eq!(told("/api/v1/apps/checkout/pause", r#"{"for_seconds": 7200}"#).await.status, 200);
    let acts = server.fake.acts.lock().unwrap().clone();
    assert_eq!(
        acts,
        [
            "checkout Rollback { to: Some(\"d1\"), accept: Accepted { warnings: false, migrations: true } } by ada",
            "checkout Commit by somebody",
            "checkout Revert by somebody",
            "checkout paused for 7200s by somebody",
        ]
    );
    for (path, body, why) in [
        ("/api/v1/apps/checkout/rollback", r#"{"too": "d1"}"#, "unknown field `too`"),
        ("/api/v1/apps/checkout/rollback", r#"{"to": 5}"#, "expected a string"),
        ("/api/v1/apps/checkout/rollback", r#"{"to": ""}"#, "`to` is not an id of a deployment"),
        ("/api/v1/apps/checkout/pause", r#"{"for_seconds": -1}"#, "allowed is 1 to 31622400"),
        ("/api/v1/apps/checkout/pause", r#"{"by": "a\nb"}"#, "by is no name"),
        ("/api/v1/apps/checkout/commit", "[1]", "the body is not what is allowed"),
        ("/api/v1/apps/checkout/rollback", "[null, null]", "the body is not what is allowed"),
        ("/api/v1/apps/checkout/commit", "{", "the body is not what is allowed"),
    ] {
        let answer = told(path, body).await;
        assert_eq!(answer.status, 400, "{body}");
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(why), "{body}: {message}");
    }
    assert_eq!(told("/api/v1/apps/nope/rollback", "{}").await.status, 404);
    assert_eq!(server.fake.acts.lock().unwrap().len(), 4, "nothing else was done");
}

#[tokio::test]
async fn nothing_changes_without_the_right_token() {
    let server = start(Trouble::None).await;
    for path in [
        "/api/v1/pause",
        "/api/v1/resume",
        "/api/v1/apps/checkout/rollback",
        "/api/v1/apps/checkout/commit",
        "/api/v1/apps/checkout/revert",
        "/api/v1/apps/checkout/pause",
        "/api/v1/apps/no-such-app/resume",
        "/api/v1/incidents/checkout-1a2b3c4d/approve",
        "/api/v1/incidents/checkout-1a2b3c4d/reject",
    ] {
        for token in [None, Some("wrong"), Some(""), Some(&TOKEN[1..])] {
            let answer = server.post(path, token).await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{path} {token:?}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
    assert!(server.fake.acts.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_an_admin_token_every_action_is_refused() {
    let answer = start(Trouble::NoToken).await.post("/api/v1/pause", Some(TOKEN)).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "no_admin_token"));
    let answer = start(Trouble::TokenUnreadable).await.post("/api/v1/pause", Some(TOKEN)).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "admin_token_unreadable"));
    assert!(!answer.body.contains("permission denied"));
}

#[tokio::test]
async fn what_is_not_there_is_a_json_404() {
    let server = start(Trouble::None).await;
    for (path, code) in [
        ("/nothing", "not_found"),
        ("/api/v1/", "not_found"),
        ("/api/v1/apps/", "not_found"),
        ("/api/v1/apps/no-such-app", "unknown_app"),
        ("/api/v1/incidents/none", "unknown_incident"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, code), "{path}");
    }
    let answer = server.post("/api/v1/apps/no-such-app/pause", Some(TOKEN)).await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "unknown_app"));
    let answer = server.post("/api/v1/incidents/none/approve", Some(TOKEN)).await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "unknown_incident"));
}

#[tokio::test]
async fn a_wrong_method_is_a_json_405_that_names_the_right_one() {
    let server = start(Trouble::None).await;
    for (answer, allowed) in [
        (server.get("/api/v1/pause").await, "POST"),
        (server.post("/api/v1/apps", None).await, "GET,HEAD"),
        (server.post("/metrics", Some(TOKEN)).await, "GET,HEAD"),
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"));
        assert_eq!(answer.headers["allow"], allowed);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_a_json_400() {
    let server = start(Trouble::None).await;
    for path in [
        "/api/v1/incidents?limit=0",
        "/api/v1/incidents?limit=1001",
        "/api/v1/incidents?limit=-1",
        "/api/v1/incidents?limit=many",
        "/api/v1/incidents?state=open",
        "/api/v1/apps/%ff",
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{path}");
    }
}

#[tokio::test]
async fn an_action_that_does_not_fit_is_a_conflict_in_the_daemons_words() {
    let server = start(Trouble::Refuses).await;
    let answer = server.post("/api/v1/incidents/checkout-1a2b3c4d/approve", Some(TOKEN)).await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "conflict"));
    assert_eq!(answer.json()["error"]["message"], "the incident awaits no approval");
}

#[tokio::test]
async fn a_failing_journal_is_a_503_and_the_rest_goes_on() {
    let server = start(Trouble::JournalFails).await;
    for path in ["/api/v1/incidents", "/api/v1/incidents/checkout-1a2b3c4d"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "journal_unavailable"));
    }
    assert_eq!(server.get("/api/v1/apps").await.status, 200);
    assert_eq!(server.get("/metrics").await.status, 200);
}
