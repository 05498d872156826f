//! What is asked for, and what the answers are taken to say.

use super::*;
use crate::decision::effect::Condition;
use crate::decision::observation::{Cause, Phase};
use crate::platform::scripted::{Server, ok, status};

#[tokio::test]
async fn requests_are_what_the_platform_documents_and_never_skip_the_pin() {
    let made = r#"{"deployment":{"id":"new","phase":"PENDING_BUILD"}}"#;
    let body = r#"{"apps":[],"app":{"id":"app-1"},"deployments":[],"valid":true,"deployment":{"id":"new"},
        "data":{"result":[]},"app_bandwidth_usage":[],"account_balance":"1.5"}"#;
    let server = Server::start(vec![ok(body)]).await;
    let (platform, _) = at(&server, AMPLE);
    for name in operations() {
        call(&platform, name).await.unwrap();
    }
    let requests = server.requests();
    let lines: Vec<&str> = requests.iter().filter_map(|request| request.lines().next()).collect();
    assert_eq!(
        lines,
        [
            "GET /v2/apps?per_page=200&page=1 HTTP/1.1",
            "GET /v2/apps/app-1 HTTP/1.1",
            "GET /v2/apps/app-1/deployments?per_page=30 HTTP/1.1",
            "POST /v2/apps/app-1/rollback/validate HTTP/1.1",
            "POST /v2/apps/app-1/restart HTTP/1.1",
            "POST /v2/apps/app-1/rollback HTTP/1.1",
            "POST /v2/apps/app-1/rollback/commit HTTP/1.1",
            "POST /v2/apps/app-1/rollback/revert HTTP/1.1",
            "GET /v2/monitoring/metrics/apps/cpu_percentage?app_id=app-1&start=0&end=60 HTTP/1.1",
            "POST /v2/apps/metrics/bandwidth_daily HTTP/1.1",
            "GET /v2/customers/my/balance HTTP/1.1",
        ]
    );
    for (request, name) in requests.iter().zip(operations()) {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("authorization: Bearer {TOKEN}")));
        assert!(head.contains(&format!("user-agent: rearguard/{}", env!("CARGO_PKG_VERSION"))));
        if matches!(name, operation::VALIDATE_ROLLBACK | operation::CREATE_ROLLBACK) {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body, json!({"deployment_id": "dep-1", "skip_pin": false}));
        } else {
            let expected = match name {
                operation::RESTART => "{}",
                operation::BANDWIDTH => r#"{"app_ids":["app-1"]}"#,
                _ => "",
            };
            assert_eq!(body, expected);
        }
    }

    let server = Server::start(vec![ok(made)]).await;
    let (platform, _) = at(&server, AMPLE);
    platform.restart(&app(), &["web".to_owned(), "worker".to_owned()]).await.unwrap();
    assert!(server.requests()[0].ends_with(r#"{"components":["web","worker"]}"#), "{:?}", server.requests());

    let server = Server::start(vec![ok(made)]).await;
    let (platform, _) = account(&format!("http://{}/base/", server.address), AMPLE);
    let created =
        platform.create_rollback(&PlatformAppId::from("../a b/é?x#y"), to(&target())).await.unwrap();
    assert_eq!((created.value.id, created.value.phase), ("new".into(), Phase::InProgress));
    let line = server.requests()[0].lines().next().map(str::to_owned);
    assert_eq!(line.unwrap(), "POST /base/v2/apps/..%2Fa%20b%2F%C3%A9%3Fx%23y/rollback HTTP/1.1");
    let error = platform.commit_rollback(&PlatformAppId::from("..")).await.unwrap_err();
    assert_eq!(error, PlatformError::NotFound);
    assert_eq!(server.requests().len(), 1, "nothing is asked of an app that cannot be");
}

#[tokio::test]
async fn a_web_page_is_no_answer_even_where_the_status_would_do() {
    for name in [operation::COMMIT_ROLLBACK, operation::REVERT_ROLLBACK, operation::CREATE_ROLLBACK] {
        for kind in ["Text/HTML; charset=utf-8", "text/html; charset=\u{e9}"] {
            let head = format!("Content-Type: {kind}\r\n");
            let server = Server::start(vec![status("200 OK", &head, "<html>Sign in</html>")]).await;
            let (platform, _) = at(&server, AMPLE);
            assert!(is_ambiguous(&call(&platform, name).await), "{name}, {kind}");
        }
    }
}

#[tokio::test]
async fn a_list_is_whole_when_it_says_that_nothing_follows_and_not_when_nobody_can_tell() {
    let table = [
        (r#""meta":{"total":1}"#, true),
        (r#""links":null"#, true),
        (r#""links":{"pages":null}"#, true),
        (r#""links":{"pages":{"next":""}}"#, true),
        (r#""links":{"pages":{"next":7}}"#, false),
        (r#""links":{"pages":["https://api.example.com/v2/apps?page=2"]}"#, false),
        (r#""links":"https://api.example.com/v2/apps?page=2""#, false),
    ];
    for (links, is_whole) in table {
        let server = Server::start(vec![ok(&format!(r#"{{"apps":[{{"id":"a"}}],{links}}}"#))]).await;
        let (platform, _) = at(&server, AMPLE);
        let listed = platform.list_apps(&[]).await.unwrap().value;
        assert_eq!((listed.apps.len(), listed.is_whole), (1, is_whole), "{links}");
    }
    let empty = ok(r#"{"apps":[],"links":{"pages":{"next":"https://api.example.com/v2/apps?page=2"}}}"#);
    let server = Server::start(vec![empty]).await;
    assert!(!at(&server, AMPLE).0.list_apps(&[]).await.unwrap().value.is_whole);
}

#[tokio::test]
async fn pages_are_counted_by_us_and_an_app_is_taken_once() {
    let next = r#""links":{"pages":{"next":"https://evil.example/v2/apps?page=9"}}"#;
    let page = |ids: &str| ok(&format!(r#"{{"apps":[{ids}],{next}}}"#));
    let one = page(
        r#"{"id":"a","active_deployment":{"id":"first"}},{"name":"no id"},"strange",{"id":"b","pinned_deployment":7}"#,
    );
    let two = page(r#"{"id":"a","active_deployment":{"id":"second"}},{"id":"c"}"#);
    let server = Server::start(vec![one, two, page("")]).await;
    let (platform, codes) = at(&server, AMPLE);
    let listed = platform.list_apps(&[]).await.unwrap().value;
    assert!(!listed.is_whole);
    let ids: Vec<&str> = listed.apps.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["a", "c"], "an app whose pin cannot be read is left out, not shown without one");
    assert_eq!(listed.apps[0].1.as_ref().unwrap().active.as_ref().unwrap().id.as_str(), "first");
    assert_eq!(codes.lock().unwrap().len(), 3);
    assert!(server.requests()[2].starts_with("GET /v2/apps?per_page=200&page=3 "));

    let endless = Server::start(vec![page(r#"{"id":"a"}"#)]).await;
    let (platform, _) = at(&endless, AMPLE);
    assert!(is_ambiguous(&call(&platform, operation::LIST_APPS).await));
    assert_eq!(endless.requests().len(), PAGES as usize);
}

#[tokio::test]
async fn a_fault_on_a_later_page_is_a_fault_of_the_list() {
    let first = ok(r#"{"apps":[{"id":"a"}],"links":{"pages":{"next":"x"}}}"#);
    let server = Server::start(vec![first, status("502 Bad Gateway", "", "")]).await;
    let (platform, _) = at(&server, AMPLE);
    assert!(is_ambiguous(&call(&platform, operation::LIST_APPS).await));
}

#[tokio::test]
async fn an_app_is_seen_with_its_pin_its_age_and_what_is_under_way() {
    let body = r#"{"app":{"id":"app-1","spec":{"name":"web"},"region":7,
        "active_deployment":{"id":"live","phase":"ACTIVE","created_at":"2026-11-21T11:00:00.123456789Z",
            "cause":"commit 9a4df0b\n pushed to github/o/r",
            "cause_details":{"type":"DEPLOY_ON_PUSH","digitalocean_user_action":null}},
        "in_progress_deployment":{"id":"live","phase":"DEPLOYING"},
        "pending_deployment":{"id":"coming","phase":"SOMETHING_NEW"},
        "pinned_deployment":{"id":"pin"},
        "last_deployment_active_at":"2026-11-21T11:59:30.5Z"}}"#;
    let server = Server::start(vec![status("200 OK", "X-Request-Id: r-1\r\n", body)]).await;
    let (platform, _) = at(&server, AMPLE);
    let seen = platform.app(&app()).await.unwrap();
    assert_eq!((seen.status, seen.request_id.as_deref()), (200, Some("r-1")));
    let view = seen.value;
    assert_eq!(view.active_age_ms, Some(29_500));
    assert_eq!(view.in_progress, Some("coming".into()));
    assert_eq!(view.pinned, Some("pin".into()));
    let active = view.active.unwrap();
    assert_eq!((active.phase, active.cause, active.complete), (Phase::Active, Cause::Push, true));
    assert_eq!(active.created_ms, 1_795_258_800_123);
    assert_eq!(active.title, "commit 9a4df0b pushed to github/o/r");
}

#[tokio::test]
async fn an_answer_about_another_app_is_not_believed() {
    let server = Server::start(vec![ok(r#"{"app":{"id":"app-2"}}"#)]).await;
    let (platform, _) = at(&server, AMPLE);
    assert!(is_ambiguous(&call(&platform, operation::GET_APP).await));
}

#[tokio::test]
async fn deployments_come_newest_first_whatever_their_place() {
    let body = r#"{"deployments":[
        {"id":"b","created_at":"2026-11-20T10:00:00Z"},
        {"id":"old","created_at":"2026-11-19T10:00:00Z"},
        {"id":"a","created_at":"2026-11-20T10:00:00Z"},
        {"id":"new","created_at":"2026-11-21T10:00:00Z","phase":"SUPERSEDED"},
        {"id":"new","created_at":"2026-11-01T10:00:00Z"},
        {"created_at":"2026-11-22T10:00:00Z"}, null, "x",
        {"id":"never","created_at":"0001-01-01T00:00:00Z"}]}"#;
    let server = Server::start(vec![ok(body)]).await;
    let (platform, _) = at(&server, AMPLE);
    let list = platform.deployments(&app()).await.unwrap().value;
    let ids: Vec<&str> = list.iter().map(|deployment| deployment.id.as_str()).collect();
    assert_eq!(ids, ["new", "b", "a", "old", "never"]);
    assert_eq!(list[0].phase, Phase::Superseded);
}

#[tokio::test]
async fn a_validation_says_no_unless_it_says_yes() {
    let validate = async |body: &str| {
        let server = Server::start(vec![ok(body)]).await;
        at(&server, AMPLE).0.validate_rollback(&app(), to(&target())).await.map(|answered| answered.value)
    };
    assert_eq!(validate("{}").await, Ok(Validation::default()));
    assert!(validate(r#"{"valid":true,"error":null,"warnings":null}"#).await.unwrap().valid);
    let told =
        format!(r#"{{"valid":true,"warnings":[{{"code":"new_code","message":"say\n{TOKEN}"}},{{}}]}}"#);
    let seen = validate(&told).await.unwrap();
    let code = |code: &str, message: &str| Condition {
        code: code.into(),
        message: message.into(),
        is_advice: false,
    };
    assert_eq!(seen.warnings, [code("new_code", "say [token]"), code("", "")]);
    let contradiction = validate(r#"{"valid":true,"error":{"code":"app_pinned"}}"#).await.unwrap();
    assert_eq!((contradiction.valid, contradiction.error), (false, Some(code("app_pinned", ""))));
    for strange in
        [r#"{"valid":1}"#, r#"{"warnings":"x"}"#, r#"{"warnings":[7]}"#, r#"{"error":["a"]}"#, "[true]"]
    {
        assert!(matches!(validate(strange).await, Err(PlatformError::Ambiguous(_))), "{strange}");
    }
}

#[tokio::test]
async fn a_revert_gives_the_deployment_where_the_answer_names_it() {
    let server = Server::start(vec![ok(r#"{"deployment":{"id":"back"}}"#), ok(r#"{"deployment":{}}"#)]).await;
    let (platform, _) = at(&server, AMPLE);
    assert_eq!(platform.revert_rollback(&app()).await.unwrap().value, Some("back".into()));
    assert_eq!(platform.revert_rollback(&app()).await.unwrap().value, None);
}
