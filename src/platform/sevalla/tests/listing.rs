//! The poll.

use super::*;
use crate::decision::capability::PinKind;

fn named(id: &str, source: &str) -> Value {
    application(source, json!({ "id": id }))
}

fn ids(names: &[&str]) -> Vec<PlatformAppId> {
    names.iter().map(|name| PlatformAppId::from(*name)).collect()
}

/// What came of each app: what is live in it, or why not.
fn shown(listed: &Listed) -> Vec<(String, Result<Option<String>, PlatformError>)> {
    let live = |view: &AppView| view.active.as_ref().map(|active| active.id.to_string());
    listed
        .apps
        .iter()
        .map(|(id, view)| (id.to_string(), view.as_ref().map(live).map_err(Clone::clone)))
        .collect()
}

fn rows_of(id: &str) -> String {
    format!("GET /v3/applications/{id}/deployments?limit=20 ")
}

#[tokio::test]
async fn each_app_fails_for_itself_and_pages_are_read_until_all_are_found() {
    let full: Vec<Value> = (0..100).map(|n| named(&format!("a{n}"), "publicGit")).collect();
    let (a, b, c) = (rows_of("a7"), rows_of("b1"), rows_of("b2"));
    let server = Server::routed([
        ("GET /v3/applications?limit=100&offset=0 ", paged(&full, 103)),
        (
            "GET /v3/applications?limit=100&offset=100 ",
            paged(&[named("b1", "privateGit"), named("b2", "dockerImage"), named("b3", "app")], 103),
        ),
        (a.as_str(), page(&two())),
        (b.as_str(), status("500 Internal Server Error", "", "")),
        (c.as_str(), page(&[])),
    ])
    .await;
    let platform = at(&server);
    let wanted = ids(&["b2", "a7", "b1"]);
    let listed = platform.list_apps(&wanted).await.unwrap().value;
    assert!(listed.is_whole);
    assert_eq!(
        shown(&listed),
        [
            ("a7".to_owned(), Ok(Some("bad".to_owned()))),
            ("b1".to_owned(), Err(PlatformError::Ambiguous("status 500".into()))),
            ("b2".to_owned(), Ok(None)),
        ]
    );
    assert_eq!(lines(&server).len(), 2 + 3, "no static sites, and nothing of the other apps");
    assert_eq!(platform.budget().reads_a_poll, 5);
    let view = listed.apps[0].1.as_ref().unwrap();
    assert_eq!((view.capabilities.pin, view.pushes), (PinKind::Absent, None));

    // What was found on the first page needs no second one, and then nobody knows what is on it.
    let server = Server::routed([(APPS, paged(&full, 103)), (a.as_str(), page(&two()))]).await;
    let listed = at(&server).list_apps(&ids(&["a7"])).await.unwrap().value;
    assert!(!listed.is_whole);
    assert_eq!((shown(&listed).len(), lines(&server).len()), (1, 2));
}

#[tokio::test]
async fn what_is_no_application_is_looked_for_among_the_static_sites() {
    let site = json!({"id": "app-1", "auto_deploy": true});
    let server = Server::routed([
        (APPS, page(&[named("other", "app")])),
        (SITES, page(&[json!({"id": "else"}), site])),
        (SITE_ROWS, page(&two())),
        (SITE, ok(r#"{"id":"app-1","source":"privateGit","auto_deploy":true}"#)),
    ])
    .await;
    let platform = at(&server);
    let wanted = ids(&["app-1", "gone"]);
    let pin_of = async || {
        let listed = platform.list_apps(&wanted).await.unwrap().value;
        assert!(listed.is_whole, "the one that is gone is not there");
        assert_eq!(shown(&listed), [("app-1".to_owned(), Ok(Some("bad".to_owned())))]);
        listed.apps[0].1.as_ref().unwrap().capabilities.pin
    };
    assert_eq!(pin_of().await, PinKind::Absent, "a list may leave out the source");
    assert_eq!(lines(&server).len(), 3);
    platform.app(&app()).await.unwrap();
    assert_eq!(pin_of().await, PinKind::Soft, "what was said elsewhere stands");
}

#[tokio::test]
async fn a_list_is_whole_only_if_nothing_was_passed_over() {
    let apps = |data: Value, rest: &str| ok(&format!(r#"{{"data":{data}{rest}}}"#));
    let one = || json!([named("other", "app")]);
    let failing = || status("503 Unavailable", "", "");
    let none = || page(&[]);
    let table = [
        (vec![apps(one(), r#","total":1"#)], none(), true),
        (vec![page(&[])], none(), true),
        (vec![apps(one(), "")], none(), false),
        (vec![apps(one(), r#","total":"many""#)], none(), false),
        (vec![apps(json!([{"name": "no id"}]), r#","total":1"#)], none(), false),
        (vec![apps(json!(["odd"]), r#","total":1"#)], none(), false),
        // More is announced and nothing comes, or cannot be read; or there is more than is ever said.
        (vec![apps(one(), r#","total":2"#), page(&[])], none(), false),
        (vec![apps(one(), r#","total":2"#), failing()], none(), false),
        // One came or went between two pages.
        (vec![apps(one(), r#","total":2"#), apps(one(), r#","total":3"#)], none(), false),
        (vec![apps(one(), r#","total":2"#), apps(json!([]), r#","total":1"#)], none(), false),
        (vec![apps(one(), r#","total":2"#), apps(one(), r#","total":2"#)], none(), true),
        (vec![apps(one(), r#","total":10000"#), page(&[])], none(), false),
        (vec![apps(one(), r#","total":1"#)], failing(), false),
    ];
    for (pages, sites, is_whole) in table {
        let offsets =
            ["GET /v3/applications?limit=100&offset=0 ", "GET /v3/applications?limit=100&offset=1 "];
        let routes = offsets.into_iter().zip(pages).chain([(SITES, sites)]);
        let server = Server::routed(routes).await;
        let listed = at(&server).list_apps(&ids(&["wanted"])).await.unwrap().value;
        assert_eq!((listed.apps.len(), listed.is_whole), (0, is_whole), "{:?}", lines(&server));
    }
}

#[tokio::test]
async fn a_list_without_end_has_one() {
    let server = Server::routed([(APPS, paged(&[named("again", "app")], 9_999))]).await;
    let error = at(&server).list_apps(&ids(&["wanted"])).await.unwrap_err();
    assert!(matches!(error, PlatformError::Ambiguous(_)), "{error:?}");
    assert_eq!(lines(&server).len(), 200);
}

#[tokio::test]
async fn a_first_page_that_fails_fails_the_list() {
    let server = Server::start(vec![status("401 Unauthorized", "", "")]).await;
    let error = at(&server).list_apps(&ids(&["a"])).await.unwrap_err();
    assert_eq!(error, PlatformError::Denied { status: 401 });
    assert_eq!(lines(&server).len(), 1);
}

#[tokio::test]
async fn whether_an_app_is_put_to_sleep_is_asked_of_twenty_in_a_poll_until_it_is_known_of_all() {
    let names: Vec<String> = (0..25).map(|n| format!("a{n}")).collect();
    let listed: Vec<Value> = names.iter().map(|name| json!({ "id": name, "source": "publicGit" })).collect();
    let routes: Vec<(String, Act)> = names
        .iter()
        .flat_map(|name| {
            let detail = ok(&named(name, "publicGit").to_string());
            [(rows_of(name), page(&two())), (format!("GET /v3/applications/{name} "), detail)]
        })
        .collect();
    let routes = routes.iter().map(|(line, act)| (line.as_str(), act.clone()));
    let server = Server::routed([(APPS, page(&listed))].into_iter().chain(routes)).await;
    let platform = at(&server);
    let wanted: Vec<PlatformAppId> = names.iter().map(|name| PlatformAppId::from(name.as_str())).collect();
    for (asked, budget) in [(20, 46), (5, 31), (0, 26)] {
        let before = lines(&server);
        platform.list_apps(&wanted).await.unwrap();
        let sent = lines(&server).split_off(before.len());
        let details = sent.iter().filter(|line| !line.contains('?')).count();
        assert_eq!((details, sent.len()), (asked, 26 + asked), "{sent:#?}");
        assert_eq!(platform.budget().reads_a_poll, budget);
    }
}

#[tokio::test]
async fn an_app_of_which_nobody_knows_whether_it_sleeps_may_sleep() {
    let bare = json!({ "id": "app-1", "source": "publicGit" });
    let fails = (APP, status("500 Internal Server Error", "", ""));
    let server = Server::routed([(APPS, page(&[bare])), fails, (ROWS, page(&two()))]).await;
    let platform = at(&server);
    for asked in [1, 1] {
        let listed = platform.list_apps(&[app()]).await.unwrap().value;
        assert_eq!(listed.apps[0].1.as_ref().unwrap().sleeps_after_ms, Some(60_000));
        let details = lines(&server).iter().filter(|line| line.as_str() == APP.trim_end()).count();
        assert_eq!(details, asked);
    }
    // What a read of the app alone says nothing of is not so.
    let server =
        serving(vec![], &application("publicGit", json!({ "hibernation_enabled": null })), &two()).await;
    let view = at(&server).app(&app()).await.unwrap().value;
    assert_eq!(view.sleeps_after_ms, None);
    let sleeps = json!({ "hibernation_enabled": true, "hibernate_after_seconds": 300 });
    let server = serving(vec![], &application("publicGit", sleeps), &two()).await;
    assert_eq!(at(&server).app(&app()).await.unwrap().value.sleeps_after_ms, Some(300_000));
}
