//! What is asked for, and what the answers are taken to say.

use super::*;
use crate::decision::capability::{PinKind, Targeting};

#[tokio::test]
async fn reads_are_what_the_platform_documents() {
    let server = serving(vec![], &application("privateGit", json!({})), &two()).await;
    let (platform, codes) = within(&server, AMPLE);
    platform.app(&app()).await.unwrap();
    platform.deployments(&app()).await.unwrap();
    let mut asked = lines(&server);
    asked[..2].sort();
    assert_eq!(
        asked,
        [
            "GET /v3/applications/app-1",
            "GET /v3/applications/app-1/deployments?limit=20",
            "GET /v3/applications/app-1/deployments?limit=100",
        ]
    );
    for request in server.requests() {
        assert!(request.contains(&format!("authorization: Bearer {TOKEN}")));
        assert!(request.contains("accept: application/json") && !request.contains("content-type"));
    }
    assert!(codes.lock().unwrap().iter().all(|(_, code)| code == "200"));
    assert_eq!(platform.app(&PlatformAppId::from("..")).await.unwrap_err(), PlatformError::NotFound);
    assert_eq!(lines(&server).len(), 3, "nothing is asked of an app that cannot be");
}

#[tokio::test]
async fn the_newest_success_is_live_and_what_is_newer_and_not_over_is_under_way() {
    let status = |id: &str, status: Value, day| row(id, "", day, json!({ "status": status }));
    let live = || status("live", json!("success"), 10);
    let table = [
        (vec![live()], Some("live"), None),
        (vec![], None, None),
        (vec![status("n", json!("failed"), 11), live()], Some("live"), None),
        (vec![status("n", json!("cancelled"), 11), live()], Some("live"), None),
        (vec![status("n", json!("skipped"), 11), live()], Some("live"), None),
        (vec![status("n", json!("waiting"), 11), live()], Some("live"), Some("n")),
        (vec![status("n", json!("inProgress"), 11), live()], Some("live"), Some("n")),
        (vec![status("n", json!(null), 11), live()], Some("live"), Some("n")),
        (vec![status("n", json!("of tomorrow"), 11), live()], Some("live"), Some("n")),
        (vec![status("n", json!("waiting"), 11)], None, Some("n")),
        (vec![live(), status("stuck", json!("inProgress"), 9)], Some("live"), None),
        // By creation and not by place, and each once.
        (vec![status("old", json!("success"), 9), live(), live()], Some("live"), None),
        (
            vec![status("n", json!("waiting"), 12), status("m", json!("inProgress"), 11), live()],
            Some("live"),
            Some("n"),
        ),
    ];
    for (rows, active, in_progress) in table {
        let view = view_of(&rows).await.unwrap();
        let id = |deployment: Option<&Deployment>| deployment.map(|deployment| deployment.id.to_string());
        assert_eq!(id(view.active.as_ref()).as_deref(), active, "{rows:?}");
        assert_eq!(view.in_progress.as_ref().map(|id| id.as_str()), in_progress, "{rows:?}");
        assert_eq!(view.pinned, None);
    }
}

#[tokio::test]
async fn a_deployment_is_what_its_row_says() {
    let rows = [
        row("e", "waiting", 9, json!({"docker_image_url": null, "trigger": "ROLLBACK_DEPLOYMENT"})),
        row("d", "success", 8, json!({"trigger": "RESTART"})),
        row("c", "success", 7, json!({"trigger": "OF_TOMORROW", "type": "manual"})),
        row("b", "skipped", 6, json!({"trigger": null, "commit_sha": null, "docker_image_url": ""})),
        row("a", "failed", 5, json!({"trigger": "OF_TOMORROW", "type": "automatic"})),
        row("z", "success", 4, json!({})),
        row("y", "success", 3, json!({"trigger": null, "type": "manual"})),
    ];
    let server = serving(vec![], &application("privateGit", json!({})), &rows).await;
    let list = at(&server).deployments(&app()).await.unwrap().value;
    let seen: Vec<_> = list
        .iter()
        .map(|entry| {
            let code = entry.artifact.code.first().map(|(name, runs)| format!("{name}={runs}"));
            (entry.id.as_str(), entry.phase, entry.cause, entry.complete, code.unwrap_or_default())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("e", Phase::InProgress, Cause::Rollback, false, "commit=c-e".to_owned()),
            ("d", Phase::Active, Cause::Restart, true, "image=registry/d".to_owned()),
            ("c", Phase::Superseded, Cause::Release, true, "image=registry/c".to_owned()),
            ("b", Phase::Canceled, Cause::Push, false, String::new()),
            ("a", Phase::Error, Cause::Release, false, "image=registry/a".to_owned()),
            ("z", Phase::Superseded, Cause::Push, true, "image=registry/z".to_owned()),
            ("y", Phase::Superseded, Cause::Release, true, "image=registry/y".to_owned()),
        ]
    );
    assert_eq!(list[0].created_ms, 1_794_218_400_000);
    assert_eq!(list[0].title, "ROLLBACK_DEPLOYMENT main: Fix (jane)");
    assert_eq!(list[3].title, "automatic main: Fix (jane)");
    for entry in &list {
        assert_eq!((entry.artifact.spec.as_str(), entry.artifact.migrations.as_str()), ("", ""));
        assert_eq!((entry.artifact.code.len() <= 1, &entry.cloned_from), (true, &None));
    }
    assert!(list[1].artifact.differs_from(&list[2].artifact));
}

#[tokio::test]
async fn a_row_is_told_by_its_image_and_by_its_commit_where_only_one_of_two_has_an_image() {
    let rows = [
        row("e", "success", 9, json!({"docker_image_url": null, "commit_sha": "c1"})),
        row("d", "success", 8, json!({"docker_image_url": "i1", "commit_sha": "c1"})),
        row("c", "success", 7, json!({"docker_image_url": "i1", "commit_sha": "c2"})),
        row("b", "success", 6, json!({"docker_image_url": "i2", "commit_sha": "c1"})),
        row("a", "success", 5, json!({"docker_image_url": "i1", "commit_sha": null})),
    ];
    let server = serving(vec![], &application("privateGit", json!({})), &rows).await;
    let list = at(&server).deployments(&app()).await.unwrap().value;
    let told = |a: usize, b: usize| {
        let (a, b) = (&list[a].artifact, &list[b].artifact);
        assert_eq!((a.same_as(b), a.differs_from(b)), (b.same_as(a), b.differs_from(a)));
        (a.same_as(b), a.differs_from(b))
    };
    let (same, other, unknown) = ((true, false), (false, true), (false, false));
    assert_eq!([told(0, 1), told(0, 2), told(0, 3), told(0, 4)], [same, other, same, unknown]);
    assert_eq!([told(1, 2), told(1, 3), told(1, 4), told(3, 4)], [same, other, same, other]);
}

#[tokio::test]
async fn a_title_is_one_short_line_whatever_it_is_made_of() {
    let bare =
        json!({"trigger": null, "type": null, "branch": null, "commit_message": null, "author_login": null});
    let table = [
        (bare.clone(), ""),
        (merged(bare.clone(), json!({"commit_message": "\n a\u{1b}b \n c"})), "ab"),
        (merged(bare.clone(), json!({"branch": "main"})), "main"),
        (merged(bare, json!({"author_login": "jane"})), "(jane)"),
    ];
    for (more, title) in table {
        let view = view_of(&[row("d", "success", 1, more)]).await.unwrap();
        assert_eq!(view.active.unwrap().title, title);
    }
    let long = row("d", "success", 1, json!({"commit_message": "x".repeat(1000)}));
    assert_eq!(view_of(&[long]).await.unwrap().active.unwrap().title.chars().count(), 120);
}

#[tokio::test]
async fn the_age_of_the_live_deployment_is_counted_on_the_platforms_clock() {
    let table = [
        (json!({"finished_at": "2026-11-21T11:59:30.500Z"}), Some(29_500)),
        (json!({"finished_at": "2026-11-21T12:00:00.900Z"}), Some(0)),
        (json!({"finished_at": null}), None),
        (json!({"finished_at": "yesterday"}), None),
    ];
    for (more, age) in table {
        let view = view_of(&[row("d", "success", 20, more.clone())]).await.unwrap();
        assert_eq!(view.active_age_ms, age, "{more}");
    }
}

#[tokio::test]
async fn pushes_are_told_only_where_they_can_be_paused() {
    let table = [
        ("privateGit", json!(true), Some(Pushes::Deploy), PinKind::Soft),
        ("privateGit", json!(false), Some(Pushes::Paused), PinKind::Soft),
        ("privateGit", json!("yes"), None, PinKind::Absent),
        ("publicGit", json!(true), None, PinKind::Absent),
        ("dockerImage", json!(true), None, PinKind::Absent),
        ("app", json!(true), None, PinKind::Absent),
        ("of tomorrow", json!(true), None, PinKind::Absent),
    ];
    for (source, auto_deploy, pushes, pin) in table {
        let app_json = application(source, json!({ "auto_deploy": auto_deploy }));
        let server = serving(vec![], &app_json, &two()).await;
        let view = at(&server).app(&app()).await.unwrap().value;
        assert_eq!((view.pushes, view.capabilities.pin), (pushes, pin), "{source}");
    }
}

#[tokio::test]
async fn what_is_live_can_come_back_exactly_where_its_address_has_a_digest() {
    let table = [
        ("dockerImage", "shop@sha256:9f86d081884c7d65", true),
        ("dockerImage", "shop:v2", false),
        ("dockerImage", "shop", false),
        ("privateGit", "shop@sha256:9f86d081884c7d65", false),
    ];
    for (source, image, is_exact) in table {
        let rows = [row("d", "success", 20, json!({ "docker_image_url": image }))];
        let server = serving(vec![], &application(source, json!({})), &rows).await;
        let view = at(&server).app(&app()).await.unwrap().value;
        assert_eq!(view.capabilities.revert_is_exact, is_exact, "{source} {image}");
    }
}

#[tokio::test]
async fn no_field_that_is_missing_or_strange_hides_the_app_but_an_id() {
    let strange = || [json!(null), json!(7), json!("\u{7}"), json!([]), json!({}), json!(true)];
    let full = row("d", "success", 1, json!({"is_preview": false}));
    for name in full.as_object().unwrap().keys().filter(|name| *name != "id") {
        let mut without = full.clone();
        without.as_object_mut().unwrap().remove(name);
        let rows = strange().into_iter().map(|odd| merged(full.clone(), json!({ name: odd })));
        for odd in rows.chain([without]) {
            let view = view_of(std::slice::from_ref(&odd)).await.unwrap();
            let is_seen = view.active.is_some() || view.in_progress.is_some();
            assert!(is_seen || odd["is_preview"] == true, "{odd}");
        }
    }
    let full = application("privateGit", json!({}));
    for name in full.as_object().unwrap().keys() {
        let mut without = full.clone();
        without.as_object_mut().unwrap().remove(name);
        let apps = strange().into_iter().map(|odd| merged(full.clone(), json!({ name: odd })));
        for odd in apps.chain([without]) {
            let server = serving(vec![], &odd, &two()).await;
            let view = at(&server).app(&app()).await;
            if name == "id" {
                assert!(matches!(view, Err(PlatformError::Ambiguous(_))), "{odd}");
            } else {
                assert_eq!(view.unwrap().value.active.unwrap().id, accused(), "{odd}");
            }
        }
    }
}

#[tokio::test]
async fn a_row_that_may_be_the_live_one_and_cannot_be_read_is_not_passed_over() {
    for odd in [json!(null), json!("x"), json!({"status": "success"}), json!({"id": 7}), json!({"id": ""})] {
        let live = row("live", "success", 10, json!({}));
        let first = view_of(&[odd.clone(), live.clone()]).await;
        assert!(matches!(first, Err(PlatformError::Ambiguous(_))), "{odd}");
        let behind = view_of(&[live, odd.clone()]).await.unwrap();
        assert_eq!(behind.active.unwrap().id.as_str(), "live", "{odd}");
    }
}

#[tokio::test]
async fn of_two_created_at_the_same_moment_the_one_listed_first_is_live() {
    for [first, second] in [["a", "b"], ["b", "a"]] {
        let rows = [first, second].map(|id| row(id, "success", 10, json!({})));
        assert_eq!(view_of(&rows).await.unwrap().active.unwrap().id.as_str(), first);
    }
}

#[tokio::test]
async fn the_live_one_is_found_behind_twenty_that_failed() {
    let failed: Vec<Value> = (0..20).map(|n| row(&format!("f{n}"), "failed", 20, json!({}))).collect();
    let all: Vec<Value> = failed.iter().cloned().chain([row("live", "success", 1, json!({}))]).collect();
    let first = "GET /v3/applications/app-1/deployments?limit=20 ";
    let app_json = application("privateGit", json!({}));
    let server = serving(vec![(first, paged(&failed, 21))], &app_json, &all).await;
    let view = at(&server).app(&app()).await.unwrap().value;
    assert_eq!(view.active.unwrap().id.as_str(), "live");
    assert_eq!(lines(&server).len(), 3);
}

#[tokio::test]
async fn what_is_no_application_is_a_static_site_and_remembered_as_one() {
    let site = json!({"id": "app-1", "source": "privateGit", "auto_deploy": true});
    let preview = row("preview", "success", 21, json!({"is_preview": true, "docker_image_url": null}));
    let live =
        row("live", "success", 20, json!({"is_preview": false, "trigger": null, "docker_image_url": null}));
    let server = Server::routed([(SITE, ok(&site.to_string())), (SITE_ROWS, page(&[preview, live]))]).await;
    let platform = at(&server);
    for _ in 0..2 {
        let view = platform.app(&app()).await.unwrap().value;
        assert_eq!(view.capabilities.targeting, Targeting::ById);
        assert_eq!(view.pushes, Some(Pushes::Deploy));
        let active = view.active.unwrap();
        assert_eq!(
            (active.id.as_str(), active.artifact.code),
            ("live", vec![("commit".into(), "c-live".into())])
        );
    }
    assert_eq!(lines(&server).len(), 2 + 2 + 2, "an application is asked for once");
    platform.deployments(&app()).await.unwrap();
    assert!(lines(&server)[6].starts_with("GET /v3/static-sites/app-1/deployments"));
}

#[tokio::test]
async fn what_is_remembered_is_looked_up_again_when_it_is_not_there() {
    let missing = || status("404 Not Found", "", r#"{"message":"Not found","status":404}"#);
    let rows = || page(&two());
    // An application; then nothing; then a static site.
    let server = Server::start(vec![rows(), missing(), missing(), missing(), rows()]).await;
    let platform = at(&server);
    let outcomes = [Ok(2), Err(PlatformError::NotFound), Ok(2), Ok(2)];
    for expected in outcomes {
        let list = platform.deployments(&app()).await;
        assert_eq!(list.map(|answered| answered.value.len()), expected);
    }
    let collections = lines(&server).into_iter().map(|line| line.split('/').nth(2).unwrap().to_owned());
    let (app, site) = ("applications", "static-sites");
    assert_eq!(collections.collect::<Vec<_>>(), [app, app, site, app, site, site]);
}

#[tokio::test]
async fn an_app_without_deployments_to_be_read_is_not_gone() {
    let app_json = ok(&application("privateGit", json!({})).to_string());
    let server = Server::routed([(APP, app_json)]).await;
    let error = at(&server).app(&app()).await.unwrap_err();
    assert!(matches!(error, PlatformError::Ambiguous(_)), "{error:?}");
}
