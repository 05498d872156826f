//! The figures: what is asked for, and what is made of the answers.

use super::*;
use crate::platform::Series;
use crate::platform::scripted::{Act, ok, status};

#[tokio::test]
async fn a_series_is_one_an_instance_and_what_is_no_number_is_left_out() {
    let body = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{"app_component":"web","app_component_instance":"web-1","app_uuid":"x"},
         "values":[[1635386940,"0.5"],[1635386880,"0.25"],[1635386910.5,2],[1,"NaN"],[2],"odd",null,["x","1"]]},
        {"metric":{"app_component":"job"},"values":7}, {"metric":null}, "odd"]}}"#;
    let server = Server::start(vec![ok(body)]).await;
    let (platform, codes) = at(&server, AMPLE);
    let series = platform.series(&app(), Signal::Restarts, 1_500..2_999).await.unwrap().value.series;
    let line = |component: &str, label: &str, points| Series {
        component: component.to_owned(),
        label: label.to_owned(),
        points,
    };
    let points = vec![(1_635_386_880_000, 0.25), (1_635_386_910_500, 2.0), (1_635_386_940_000, 0.5)];
    assert_eq!(series, [line("web", "web-1", points), line("job", "job", vec![]), line("", "", vec![])]);
    let line = server.requests()[0].lines().next().map(str::to_owned).unwrap();
    assert_eq!(line, "GET /v2/monitoring/metrics/apps/restart_count?app_id=app-1&start=1&end=2 HTTP/1.1");
    for signal in [Signal::Requests, Signal::ResponseTime, Signal::Exits] {
        assert_eq!(
            platform.series(&app(), signal, 0..1).await.unwrap_err(),
            PlatformError::Unsupported("series")
        );
    }
    assert_eq!(codes.lock().unwrap().len(), 1, "what the platform does not have is not asked for");
}

#[tokio::test]
async fn health_is_a_point_a_component_as_of_now_and_none_where_its_word_is_not_known() {
    let list = r#"{"name":"web","state":"HEALTHY","cpu_usage_percent":30,"replicas_ready":2},
        {"name":"job","state":"UNHEALTHY"}, {"name":"worker","state":"UNKNOWN"}, {"name":"cache"},
        {"name":"next","state":"OF_TOMORROW"}, {"state":null}, null, 7"#;
    let at = 1_795_262_400_000;
    let wrapped = format!(r#"{{"app_health":{{"components":[{list}]}}}}"#);
    // The description's own example has no envelope.
    let bare = format!(r#"{{"components":[{list}]}}"#);
    let undated = Act::Send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{wrapped}").into_bytes());
    let server = Server::start(vec![ok(&wrapped), ok(&bare), undated, ok(r#"{"app_health":{}}"#)]).await;
    let (platform, _) = super::at(&server, AMPLE);
    let named = |name: &str, held: Option<f64>| Series {
        component: name.to_owned(),
        label: name.to_owned(),
        points: held.map(|held| (at, held)).into_iter().collect(),
    };
    let expected = [
        named("web", Some(1.0)),
        named("job", Some(0.0)),
        named("worker", None),
        named("cache", None),
        named("next", None),
        named("", None),
    ];
    assert_eq!(platform.clock_ms(), None);
    for _ in 0..2 {
        let measured = platform.series(&app(), Signal::Health, 0..1).await.unwrap().value;
        assert_eq!((measured.at_ms, measured.series.as_slice()), (Some(at), expected.as_slice()));
    }
    assert!(platform.clock_ms().is_some_and(|now| (at..at + 60_000).contains(&now)));
    let undated = platform.series(&app(), Signal::Health, 0..1).await.unwrap().value;
    assert!(undated.series.iter().all(|series| series.points.is_empty()), "at no time at all");
    assert_eq!(platform.series(&app(), Signal::Health, 0..1).await.unwrap().value.series, []);
    let line = server.requests()[0].lines().next().map(str::to_owned).unwrap();
    assert_eq!(line, "GET /v2/apps/app-1/health HTTP/1.1");
}

#[tokio::test]
async fn what_is_no_health_is_no_answer() {
    for body in ["{}", "", "[]", r#"{"app_health":null}"#, r#"{"app_health":[]}"#, r#"{"components":7}"#] {
        let server = Server::start(vec![ok(body)]).await;
        let health = at(&server, AMPLE).0.series(&app(), Signal::Health, 0..1).await;
        assert!(matches!(health, Err(PlatformError::Ambiguous(_))), "{body}: {health:?}");
    }
    for (code, expected) in [("403 Forbidden", 403), ("401 Unauthorized", 401)] {
        let server = Server::start(vec![status(code, "", r#"{"id":"forbidden","message":"no"}"#)]).await;
        let health = at(&server, AMPLE).0.series(&app(), Signal::Health, 0..1).await;
        assert_eq!(health.unwrap_err(), PlatformError::Denied { status: expected });
    }
}

#[tokio::test]
async fn bandwidth_is_asked_for_a_hundred_apps_at_a_time_and_for_one_day() {
    let of = |usage: &str, date: &str| ok(&format!(r#"{{"app_bandwidth_usage":[{usage}],"date":"{date}"}}"#));
    let first = r#"{"app_id":"a","bandwidth_bytes":"513668"},{"app_id":"b","bandwidth_bytes":7},
        {"app_id":"c","bandwidth_bytes":"-1"},{"app_id":"d"},{"bandwidth_bytes":"1"},null"#;
    let server = Server::start(vec![
        of(first, "2026-11-20T00:00:00Z"),
        of(r#"{"app_id":"e","bandwidth_bytes":"9"}"#, "2026-11-20T23:59:59Z"),
        ok(r#"{"date":"odd"}"#),
    ])
    .await;
    let (platform, _) = at(&server, AMPLE);
    let apps: Vec<PlatformAppId> = (0..101).map(|n| PlatformAppId::from(format!("app-{n}"))).collect();
    let seen = platform.bandwidth(&apps).await.unwrap().value;
    let day = jiff::civil::date(2026, 11, 20);
    assert_eq!(seen.day, Some(day));
    assert_eq!(seen.apps, [("a".into(), 513_668), ("b".into(), 7), ("e".into(), 9)]);
    let bodies: Vec<serde_json::Value> = server
        .requests()
        .iter()
        .map(|request| serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap())
        .collect();
    assert_eq!(bodies[0]["app_ids"].as_array().unwrap().len(), 100);
    assert!(bodies[0].get("date").is_none());
    assert_eq!(bodies[1], json!({"app_ids": ["app-100"], "date": "2026-11-20T00:00:00Z"}));
    assert_eq!(platform.bandwidth(&apps[..1]).await.unwrap().value, Bandwidth::default());
    assert_eq!(platform.bandwidth(&[]).await.unwrap().value, Bandwidth::default());
    assert_eq!(server.requests().len(), 3, "of no app nothing is asked");
}

#[tokio::test]
async fn a_figure_of_another_day_or_of_none_is_left_out() {
    let of = |app: &str, date: &str| {
        ok(&format!(
            r#"{{"app_bandwidth_usage":[{{"app_id":"{app}","bandwidth_bytes":"9"}}],"date":"{date}"}}"#
        ))
    };
    let (first, other) = ("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z");
    let day = Some(jiff::civil::date(2026, 11, 20));
    let table: [(_, _, &[&str]); 4] = [
        ([first, other, first], day, &["a", "c"]),
        ([first, "odd", ""], day, &["a"]),
        (["", first, other], day, &["b"]),
        (["", "odd", ""], None, &[]),
    ];
    for (dates, day, kept) in table {
        let answers = ["a", "b", "c"].into_iter().zip(dates).map(|(app, date)| of(app, date));
        let server = Server::start(answers.collect()).await;
        let (platform, _) = at(&server, AMPLE);
        let apps: Vec<PlatformAppId> = (0..201).map(|n| PlatformAppId::from(format!("app-{n}"))).collect();
        let seen = platform.bandwidth(&apps).await.unwrap().value;
        let kept = kept.iter().map(|app| (PlatformAppId::from(*app), 9)).collect();
        assert_eq!(seen, Bandwidth { day, apps: kept }, "{dates:?}");
    }
}

#[tokio::test]
async fn bandwidth_is_a_read_that_waits_while_the_platform_wants_none() {
    let server = Server::start(vec![status("429 Too Many Requests", "Retry-After: 30\r\n", "{}")]).await;
    let (platform, _) = at(&server, AMPLE);
    for _ in 0..2 {
        let error = platform.bandwidth(&[app()]).await.unwrap_err();
        assert!(matches!(error, PlatformError::RateLimited { retry_after: Some(_) }), "{error:?}");
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_balance_is_a_number_or_no_answer() {
    for (body, expected) in [
        (r#"{"month_to_date_balance":"23.44","account_balance":"-12.23","generated_at":"x"}"#, Some(-12.23)),
        (r#"{"account_balance":0}"#, Some(0.0)),
        (r#"{"account_balance":"a lot"}"#, None),
        (r#"{"account_balance":"inf"}"#, None),
        (r#"{"account_balance":null}"#, None),
        ("{}", None),
    ] {
        let server = Server::start(vec![ok(body)]).await;
        let balance = at(&server, AMPLE).0.balance().await.map(|answered| answered.value);
        assert_eq!(balance.clone().ok(), expected, "{body}");
        assert!(expected.is_some() || matches!(balance, Err(PlatformError::Ambiguous(_))), "{body}");
    }
}
