//! The dry run.

use super::*;
use crate::decision::capability::Support;

const HOOK: &str = "GET /v3/applications/app-1/deployment-hook ";
const ME: &str = "GET /v3/api-keys/me ";
const KEY: &str = "GET /v3/api-keys/validate ";

/// Requests by how they begin, with their answers.
type Routes = Vec<(&'static str, Act)>;

async fn validated(server: &Server) -> Validation {
    let goal = Goal { accused: &accused(), target: &target(), code: &[] };
    let seen = at(server).validate_rollback(&app(), goal).await.unwrap().value;
    assert_eq!(writes(server), []);
    assert_eq!((seen.by, seen.valid), (Support::Emulated, seen.error.is_none()));
    seen
}

/// The error's code, and those of the warnings; advice in brackets. What is said of every app is left out.
fn codes(validation: &Validation) -> (String, Vec<String>) {
    let error = validation.error.as_ref();
    let shown = |warning: &crate::decision::effect::Condition| match warning.is_advice {
        true => format!("({})", warning.code),
        false => warning.code.clone(),
    };
    for said in validation.warnings.iter().chain(error) {
        assert!(said.message.len() > 20, "a person reads it: {said:?}");
    }
    let mut warnings: Vec<String> = validation.warnings.iter().map(shown).collect();
    let always = warnings.iter().position(|code| code == "(settings_stay)").expect("what stays is said");
    warnings.remove(always);
    (error.map(|error| error.code.clone()).unwrap_or_default(), warnings)
}

async fn said(app: &Value, rows: &[Value]) -> (String, Vec<String>) {
    codes(&validated(&serving(vec![], app, rows).await).await)
}

#[tokio::test]
async fn what_speaks_against_a_rollback_is_named_the_gravest_first() {
    let good = |more| row("good", "success", 19, more);
    let bad = |more| row("bad", "success", 20, more);
    let same = || json!({"docker_image_url": "registry/bad"});
    let waiting = || row("new", "waiting", 21, json!({}));
    let git = "privateGit";
    let nothing = || json!({});
    let table = [
        (git, nothing(), two(), ""),
        (git, json!({"is_suspended": true, "status": "deleting"}), vec![], "app_suspended"),
        (git, json!({"status": "deleting"}), two(), "app_deleting"),
        (git, json!({"status": "appDeletionFailed"}), two(), "app_deleting"),
        (git, json!({"status": "deletionFailed"}), two(), "app_deleting"),
        (git, nothing(), vec![], "not_live"),
        (git, nothing(), vec![row("bad", "failed", 20, json!({})), good(nothing())], "not_live"),
        (
            git,
            nothing(),
            vec![row("newer", "success", 21, json!({})), bad(nothing()), good(nothing())],
            "not_live",
        ),
        (git, nothing(), vec![bad(nothing())], "no_previous_success"),
        (git, nothing(), vec![bad(nothing()), row("good", "failed", 19, json!({}))], "no_previous_success"),
        (git, nothing(), vec![bad(nothing()), good(same())], "same_artifact"),
        // A restart of the bad one lies between.
        (
            git,
            nothing(),
            vec![
                bad(nothing()),
                row("between", "success", 19, same()),
                row("good", "success", 18, json!({})),
            ],
            "platform_picks_other",
        ),
        (
            git,
            nothing(),
            vec![bad(nothing()), row("between", "success", 19, json!({}))],
            "platform_picks_other",
        ),
        // What it picks runs the same as what is wanted.
        (
            git,
            nothing(),
            vec![
                bad(nothing()),
                row("between", "success", 19, json!({"docker_image_url": "registry/good"})),
                row("good", "success", 18, json!({})),
            ],
            "",
        ),
        (git, nothing(), vec![waiting(), bad(nothing()), good(nothing())], "deployment_in_progress"),
        (
            git,
            nothing(),
            vec![row("new", "of tomorrow", 21, json!({})), bad(nothing()), good(nothing())],
            "deployment_in_progress",
        ),
        // Who names the image does not care what lies between, nor whether the target is in the list.
        (
            "dockerImage",
            nothing(),
            vec![
                bad(nothing()),
                row("between", "success", 19, json!({})),
                row("good", "success", 18, json!({})),
            ],
            "",
        ),
        ("dockerImage", nothing(), vec![bad(nothing())], ""),
        ("dockerImage", nothing(), vec![bad(nothing()), good(same())], "same_artifact"),
        ("of tomorrow", nothing(), vec![bad(nothing())], "no_previous_success"),
    ];
    for (source, app, rows, expected) in table {
        let (error, _) = said(&application(source, app.clone()), &rows).await;
        assert_eq!(error, expected, "{source} {app} {rows:?}");
    }
}

#[tokio::test]
async fn that_nobody_can_tell_what_runs_is_a_warning_and_what_is_always_so_is_advice() {
    let unsaid = || json!({"docker_image_url": null, "commit_sha": null});
    let by_commit = || json!({"docker_image_url": null});
    let rows = |bad, good| vec![row("bad", "success", 20, bad), row("good", "success", 19, good)];
    let git = application("privateGit", json!({}));
    let unknown = vec!["artifact_unknown".to_owned()];
    assert_eq!(said(&git, &two()).await.1, Vec::<String>::new());
    assert_eq!(said(&git, &rows(json!({}), unsaid())).await.1, unknown);
    assert_eq!(said(&git, &rows(unsaid(), json!({}))).await.1, unknown);
    assert_eq!(said(&git, &rows(by_commit(), json!({}))).await.1, Vec::<String>::new(), "by their commits");
    let by_image = || json!({"commit_sha": null});
    assert_eq!(said(&git, &rows(by_commit(), by_image())).await.1, unknown, "an image and a commit");
    assert_eq!(said(&git, &rows(by_commit(), by_commit())).await.1, Vec::<String>::new());
    let public = application("publicGit", json!({"hibernation_enabled": true}));
    let always = ["(auto_deploy_not_pausable)", "(hibernation_enabled)"];
    assert_eq!(said(&public, &two()).await, (String::new(), always.map(str::to_owned).to_vec()));
    let old = row("good", "success", 20, json!({"created_at": "2026-10-21T11:00:00Z"}));
    let young = row("good", "success", 20, json!({"created_at": "2026-10-22T13:00:00Z"}));
    let live = || row("bad", "success", 21, json!({}));
    assert_eq!(said(&git, &[live(), old]).await.1, ["(target_age)"]);
    assert_eq!(said(&git, &[live(), young]).await.1, Vec::<String>::new());
}

#[tokio::test]
async fn a_tag_may_have_been_moved_which_is_advice_and_latest_surely_was_which_is_a_warning() {
    let digest = "registry.example.com:5000/shop:v1@sha256:9f86d081884c7d659a2feaa0c55ad015";
    let table = [
        ("dockerImage", digest, None),
        ("dockerImage", "registry.example.com:5000/shop:v1", Some("(image_source_missing_digest)")),
        ("dockerImage", "shop:stable", Some("(image_source_missing_digest)")),
        ("dockerImage", "shop:latest", Some("image_source_missing_digest")),
        ("dockerImage", "registry.example.com:5000/shop", Some("image_source_missing_digest")),
        // An image that the platform built itself is its own affair.
        ("privateGit", "shop:latest", None),
    ];
    for (source, image, expected) in table {
        let app_json = application(source, json!({}));
        let good = row("good", "success", 19, json!({ "docker_image_url": image }));
        let rows = [row("bad", "success", 20, json!({})), good];
        let about = |warnings: Vec<String>| {
            let about = warnings.into_iter().find(|code| code.contains("digest"));
            assert_eq!(about.as_deref(), expected, "{source} {image}");
        };
        about(said(&app_json, &rows).await.1);
        // It is so of a target that is no longer listed as well.
        let server = serving(vec![], &app_json, &rows[..1]).await;
        let code = [("image".to_owned(), image.to_owned())];
        let goal = Goal { accused: &accused(), target: &target(), code: &code };
        about(codes(&at(&server).validate_rollback(&app(), goal).await.unwrap().value).1);
    }
}

#[tokio::test]
async fn the_hook_and_the_key_are_said_where_they_can_be_read_and_missed_where_not() {
    let hook = || ok(r#"{"url":"https://hook.sevalla.com/apps/app-1/deploy/secret"}"#);
    let key = |expires: &str| ok(&format!(r#"{{"name":"k","expires_at":{expires},"status":"active"}}"#));
    let failing = || status("500 Internal Server Error", "", "https://hook.sevalla.com/secret");
    let bad_id = || status("400 Bad Request", "", "{}");
    let soon = r#""2026-12-05T11:59:59Z""#;
    let table: Vec<(Routes, Vec<&str>)> = vec![
        (vec![], vec![]),
        (vec![(HOOK, hook())], vec!["(deploy_hook_enabled)"]),
        (vec![(HOOK, failing()), (ME, failing())], vec![]),
        (vec![(ME, key(soon))], vec!["(key_expires_soon)"]),
        (vec![(KEY, key(soon))], vec!["(key_expires_soon)"]),
        (vec![(ME, bad_id()), (KEY, key(soon))], vec!["(key_expires_soon)"]),
        (vec![(ME, key(r#""2026-11-20T00:00:00Z""#))], vec!["(key_expires_soon)"]),
        (vec![(ME, key(r#""2026-12-05T12:00:00Z""#))], vec![]),
        (vec![(ME, key("null")), (KEY, key(soon))], vec![]),
        (vec![(ME, key("7")), (HOOK, status("403 Forbidden", "", ""))], vec![]),
    ];
    for (routes, expected) in table {
        let server = serving(routes, &application("privateGit", json!({})), &two()).await;
        let validation = validated(&server).await;
        assert_eq!(codes(&validation), (String::new(), expected.into_iter().map(str::to_owned).collect()));
        assert!(!format!("{validation:?}").contains("hook.sevalla"));
    }
}

#[tokio::test]
async fn a_static_site_is_named_by_its_id_and_has_no_hook() {
    let site = ok(r#"{"id":"app-1","source":"privateGit","auto_deploy":true}"#);
    let rows = [row("bad", "success", 20, json!({})), row("between", "success", 19, json!({}))];
    let server = Server::routed([(SITE, site), (SITE_ROWS, page(&rows))]).await;
    let validation = validated(&server).await;
    assert_eq!(codes(&validation), (String::new(), vec![]));
    assert!(lines(&server).iter().all(|line| !line.contains("static-sites/app-1/deployment-hook")));
}

#[tokio::test]
async fn a_validation_that_cannot_be_read_is_none() {
    let goal = Goal { accused: &accused(), target: &target(), code: &[] };
    let failing = || status("500 Internal Server Error", "", "");
    for route in [APP, ROWS] {
        let app_json = application("privateGit", json!({}));
        let server = serving(vec![(route, failing())], &app_json, &two()).await;
        let error = at(&server).validate_rollback(&app(), goal).await.unwrap_err();
        assert!(matches!(error, PlatformError::Ambiguous(_)), "{error:?}");
    }
}
