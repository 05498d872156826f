//! What is written, and what its answers are taken to say.

use super::*;

/// A server on which every write is answered by `act`.
async fn writing(source: &str, act: Act) -> Server {
    let other = vec![("POST ", act.clone()), ("PATCH ", act)];
    serving(other, &application(source, json!({})), &two()).await
}

fn made() -> Act {
    ok(&row("new", "waiting", 21, json!({"trigger": "ROLLBACK_DEPLOYMENT", "finished_at": null})).to_string())
}

/// Every write there is, by name. The app has to be from a private repository.
async fn write(platform: &Sevalla, name: &str) -> Result<(), PlatformError> {
    let (app, accused, target) = (app(), accused(), target());
    let goal = Goal { accused: &accused, target: &target, code: &[] };
    match name {
        "create_rollback" => platform.create_rollback(&app, goal).await.map(drop),
        "restart" => platform.restart(&app, &[]).await.map(drop),
        "pin" => platform.pin(&app).await.map(drop),
        "unpin" => platform.unpin(&app).await.map(drop),
        other => panic!("no such write: {other}"),
    }
}

const WRITES: [&str; 4] = ["create_rollback", "restart", "pin", "unpin"];

#[tokio::test]
async fn a_rollback_is_asked_for_by_what_the_app_is_made_from() {
    let image: &[(String, String)] = &[("image".into(), "registry/good".into())];
    let commit: &[(String, String)] = &[("commit".into(), "c-good".into())];
    let rollback = Some(("POST /v3/applications/app-1/deployments/rollback", json!(null)));
    let by_image =
        Some(("POST /v3/applications/app-1/deployments", json!({"docker_image": "registry/good"})));
    let table = [
        ("privateGit", &[][..], rollback.clone()),
        ("publicGit", &[], rollback.clone()),
        ("app", &[], rollback.clone()),
        ("of tomorrow", &[], rollback),
        ("dockerImage", image, by_image),
        // There is no image to name, or the source was another one when this was decided on.
        ("dockerImage", &[], None),
        ("dockerImage", commit, None),
        ("privateGit", image, None),
    ];
    for (source, code, expected) in table {
        let server = writing(source, made()).await;
        let platform = at(&server);
        let goal = Goal { accused: &accused(), target: &target(), code };
        let created = platform.create_rollback(&app(), goal).await;
        let sent: Vec<_> = writes(&server)
            .into_iter()
            .map(|(line, body)| (line, serde_json::from_str::<Value>(&body).unwrap_or_default()))
            .collect();
        match expected {
            Some((line, body)) => {
                assert_eq!(sent, [(line.to_owned(), body)], "{source}");
                let created = created.unwrap().value;
                assert_eq!(
                    (created.id.as_str(), created.phase, created.cause),
                    ("new", Phase::InProgress, Cause::Rollback)
                );
            }
            None => {
                assert_eq!(created.unwrap_err(), PlatformError::Unsupported("create_rollback"), "{source}");
                assert_eq!(sent, [], "{source}");
            }
        }
    }
}

#[tokio::test]
async fn a_static_site_goes_back_by_id_and_cannot_be_restarted() {
    let made = status("201 Created", "", &row("new", "waiting", 21, json!({})).to_string());
    let site = ok(r#"{"id":"app-1","auto_deploy":true}"#);
    let server = Server::routed([("POST ", made), (SITE, site)]).await;
    let platform = at(&server);
    let goal = Goal { accused: &accused(), target: &target(), code: &[] };
    let created = platform.create_rollback(&app(), goal).await.unwrap();
    assert_eq!((created.status, created.value.id.as_str()), (201, "new"));
    let body = r#"{"deployment_id":"good"}"#.to_owned();
    assert_eq!(writes(&server), [("POST /v3/static-sites/app-1/deployments".to_owned(), body)]);
    assert_eq!(platform.restart(&app(), &[]).await.unwrap_err(), PlatformError::Unsupported("restart"));
    assert_eq!(writes(&server).len(), 1);
}

#[tokio::test]
async fn a_restart_and_a_pause_are_what_the_platform_documents() {
    let server = writing("privateGit", made()).await;
    write(&at(&server), "restart").await.unwrap();
    let line = "POST /v3/applications/app-1/deployments".to_owned();
    assert_eq!(writes(&server), [(line, r#"{"is_restart":true}"#.to_owned())]);
    for (name, value) in [("pin", false), ("unpin", true)] {
        let server = writing("privateGit", ok(&format!(r#"{{"auto_deploy":{value}}}"#))).await;
        write(&at(&server), name).await.unwrap();
        let body = format!(r#"{{"auto_deploy":{value}}}"#);
        assert_eq!(writes(&server), [("PATCH /v3/applications/app-1".to_owned(), body)]);
    }
}

#[tokio::test]
async fn a_pause_that_is_ignored_is_no_pause() {
    for (name, other) in [("pin", true), ("unpin", false)] {
        let server = writing("privateGit", ok(&format!(r#"{{"auto_deploy":{other}}}"#))).await;
        let message = format!("the platform ignored it: auto_deploy is still {other}");
        assert_eq!(write(&at(&server), name).await, Err(PlatformError::Refused { status: 200, message }));
        // One that does not say may have been heard.
        for body in ["{}", r#"{"auto_deploy":null}"#, r#"{"auto_deploy":"false"}"#, "[]", ""] {
            let server = writing("privateGit", ok(body)).await;
            let outcome = write(&at(&server), name).await;
            assert!(matches!(outcome, Err(PlatformError::Ambiguous(_))), "{name} {body}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn what_was_made_has_an_id_or_nobody_knows_what_was_done() {
    let nameless = ["", "{}", "[]", "7", r#"{"id":null}"#, r#"{"id":7}"#, r#"{"id":"#, r#"{"message":"ok"}"#];
    for body in nameless {
        for name in ["create_rollback", "restart"] {
            let server = writing("privateGit", ok(body)).await;
            let outcome = write(&at(&server), name).await;
            assert!(matches!(outcome, Err(PlatformError::Ambiguous(_))), "{name} {body}: {outcome:?}");
            assert_eq!(writes(&server).len(), 1);
        }
    }
    let server = writing("privateGit", status("202 Accepted", "", r#"{"id":"new"}"#)).await;
    assert_eq!(write(&at(&server), "create_rollback").await, Ok(()));
}

#[tokio::test]
async fn every_write_is_sent_once_and_its_failure_is_classed_and_shows_no_secret() {
    let echo = format!(
        r#"{{"message":"Bad Request","status":400,"data":{{"code":"err-7","message":"no {TOKEN}"}}}}"#
    );
    let page = "<html>https://hook.sevalla.com/apps/a/deploy/secret</html>";
    let refused = |status| PlatformError::Refused {
        status,
        message: "Bad Request: no [token] (err-7) (request 0af7)".to_owned(),
    };
    let ambiguous = |said: &str| PlatformError::Ambiguous(said.to_owned());
    let head = "X-Request-Id: 0af7\r\n";
    let table: Vec<(Act, Option<PlatformError>, &str)> = vec![
        (status("400 Bad Request", head, &echo), Some(refused(400)), "400"),
        (status("409 Conflict", head, &echo), Some(refused(409)), "409"),
        (status("422 Unprocessable", head, &echo), Some(refused(422)), "422"),
        (status("401 Unauthorized", "", &echo), Some(PlatformError::Denied { status: 401 }), "401"),
        (status("403 Forbidden", "", page), Some(PlatformError::Denied { status: 403 }), "403"),
        (status("404 Not Found", "", &echo), Some(PlatformError::NotFound), "404"),
        (status("404 Not Found", "", page), Some(ambiguous("status 404")), "404"),
        (
            status("429 Too Many Requests", "", ""),
            Some(PlatformError::RateLimited { retry_after: None }),
            "429",
        ),
        (status("500 Internal Server Error", "", "oops"), Some(ambiguous("status 500")), "500"),
        (status("302 Found", "Location: /v3\r\n", ""), Some(ambiguous("status 302")), "302"),
        (status("200 OK", "Content-Type: text/html\r\n", page), None, "decode"),
        (Act::Reset, None, "reset"),
        (Act::Stall(Vec::new()), None, "timeout"),
    ];
    for (act, expected, code) in table {
        for name in WRITES {
            let server = writing("privateGit", act.clone()).await;
            let (platform, codes) = within(&server, if code == "timeout" { SHORT } else { AMPLE });
            let outcome = write(&platform, name).await.unwrap_err();
            match &expected {
                Some(expected) => assert_eq!(&outcome, expected, "{name}"),
                None => assert!(matches!(outcome, PlatformError::Ambiguous(_)), "{name} {code}: {outcome:?}"),
            }
            let shown = format!("{outcome} {outcome:?} {platform:?}");
            assert!(!shown.contains("planted") && !shown.contains("hook.sevalla"), "{shown}");
            assert_eq!(writes(&server).len(), 1, "{name} {code}");
            assert_eq!(codes.lock().unwrap().last(), Some(&(name, code.to_owned())));
        }
    }
}

#[tokio::test]
async fn a_write_that_finds_nothing_has_the_app_looked_up_again() {
    let server = writing("privateGit", status("404 Not Found", "", "{}")).await;
    let platform = at(&server);
    for _ in 0..2 {
        assert_eq!(write(&platform, "pin").await, Err(PlatformError::NotFound));
    }
    let asked = lines(&server).iter().filter(|line| *line == "GET /v3/applications/app-1").count();
    assert_eq!((asked, writes(&server).len()), (2, 2));
}

#[tokio::test]
async fn what_the_platform_has_no_call_for_is_not_asked() {
    let server = writing("privateGit", made()).await;
    let platform = at(&server);
    assert_eq!(
        platform.commit_rollback(&app()).await.unwrap_err(),
        PlatformError::Unsupported("commit_rollback")
    );
    assert_eq!(
        platform.revert_rollback(&app()).await.unwrap_err(),
        PlatformError::Unsupported("revert_rollback")
    );
    assert_eq!(platform.balance().await.unwrap_err(), PlatformError::Unsupported("balance"));
    assert_eq!(platform.bandwidth(&[]).await.unwrap_err(), PlatformError::Unsupported("bandwidth"));
    assert_eq!(lines(&server).len(), 0);
}
