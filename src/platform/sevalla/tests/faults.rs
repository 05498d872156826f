//! Reads that fail, and the platform's limits.

use super::*;

type Fits = fn(&PlatformError) -> bool;

#[tokio::test]
async fn every_failure_of_a_read_is_classed() {
    let table: Vec<(Act, Fits)> = vec![
        (status("401 Unauthorized", "", "{}"), |e| matches!(e, PlatformError::Denied { status: 401 })),
        (status("403 Forbidden", "", "no"), |e| matches!(e, PlatformError::Denied { status: 403 })),
        (status("404 Not Found", "", "{}"), |e| matches!(e, PlatformError::NotFound)),
        (status("404 Not Found", "", "<html>"), |e| matches!(e, PlatformError::Ambiguous(_))),
        (status("400 Bad Request", "", "no"), |e| matches!(e, PlatformError::Refused { status: 400, .. })),
        (status("500 Internal Server Error", "", "oops"), |e| matches!(e, PlatformError::Ambiguous(_))),
        (ok("{"), |e| matches!(e, PlatformError::Ambiguous(_))),
        (ok("[]"), |e| matches!(e, PlatformError::Ambiguous(_))),
        (ok(r#"{"data":7,"id":[]}"#), |e| matches!(e, PlatformError::Ambiguous(_))),
        (ok(""), |e| matches!(e, PlatformError::Ambiguous(_))),
        (Act::Reset, |e| matches!(e, PlatformError::Ambiguous(_))),
        (Act::Stall(Vec::new()), |e| matches!(e, PlatformError::Ambiguous(_))),
    ];
    for (act, fits) in table {
        let server = Server::start(vec![act]).await;
        let (platform, _) = within(&server, SHORT);
        let goal = Goal { accused: &accused(), target: &target(), code: &[] };
        let app = app();
        let errors = [
            platform.list_apps(std::slice::from_ref(&app)).await.map(drop),
            platform.app(&app).await.map(drop),
            platform.deployments(&app).await.map(drop),
            platform.validate_rollback(&app, goal).await.map(drop),
            platform.create_rollback(&app, goal).await.map(drop),
            platform.pin(&app).await.map(drop),
        ];
        for error in errors {
            let error = error.unwrap_err();
            assert!(fits(&error), "{error:?}");
        }
        assert_eq!(writes(&server), [], "what is not known is not written to");
    }
}

#[tokio::test]
async fn a_429_holds_reads_back_for_as_many_seconds_as_are_left() {
    let table = [
        ("x-ratelimit-reset: 2\r\n", Some(2)),
        ("Retry-After: 7\r\nx-ratelimit-reset: 2\r\n", Some(7)),
        ("Retry-After: 1\r\nx-ratelimit-reset: 9\r\n", Some(9)),
        // An epoch second would be half a century.
        ("x-ratelimit-reset: 1795262430\r\n", Some(300)),
        ("x-ratelimit-reset: soon\r\n", None),
    ];
    for (headers, seconds) in table {
        let counts = "x-ratelimit-limit: 400\r\nx-ratelimit-remaining: 0\r\n";
        let limited = status("429 Too Many Requests", &format!("{counts}{headers}"), "{}");
        let server = Server::start(vec![limited]).await;
        let platform = at(&server);
        let retry_after = seconds.map(Duration::from_secs);
        let error = platform.deployments(&app()).await.unwrap_err();
        assert_eq!(error, PlatformError::RateLimited { retry_after }, "{headers}");
        let budget = platform.budget();
        assert_eq!((budget.limit, budget.remaining), (Some(400), Some(0)));
        assert_eq!(budget.window, Duration::from_secs(60));
        assert_eq!(budget.hold_reads.is_some(), seconds.is_some());
        if seconds.is_some() {
            let held = platform.app(&app()).await.unwrap_err();
            assert!(matches!(held, PlatformError::RateLimited { retry_after: Some(_) }), "{held:?}");
            assert_eq!(lines(&server).len(), 1, "a held read is not sent");
        }
    }
}

#[tokio::test]
async fn what_is_said_of_the_limit_of_writes_says_nothing_of_reads() {
    let counts = "x-ratelimit-limit: 10\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: 50\r\n";
    let limited = status("429 Too Many Requests", counts, "{}");
    let rows = "Content-Type: application/json\r\nx-ratelimit-limit: 400\r\nx-ratelimit-remaining: 398\r\n";
    let detail = status("200 OK", rows, &application("privateGit", json!({})).to_string());
    let server = Server::routed([("PATCH ", limited), (APP, detail), (ROWS, page(&two()))]).await;
    let platform = at(&server);
    let error = platform.pin(&app()).await.unwrap_err();
    assert_eq!(error, PlatformError::RateLimited { retry_after: Some(Duration::from_secs(50)) });
    let budget = platform.budget();
    assert_eq!((budget.limit, budget.remaining, budget.hold_reads), (Some(400), Some(398), None));
    assert!(platform.app(&app()).await.is_ok());
}
