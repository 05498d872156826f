//! What the platform counts.

use super::*;

/// The hour up to now.
fn hour(shop: &Shop) -> String {
    let now = shop.world.now();
    format!("from={}&to={}", render::rfc3339(now - 3_600_000), render::rfc3339(now).replace(':', "%3A"))
}

#[test]
fn the_figures_follow_what_was_live_and_what_its_site_was_asked() {
    let mut shop = shop_of(Source::PrivateGit, &LabConfig::default());
    shop.wait(120_000);
    shop.push(Release::with_health("v2", Health::Failing { ratio: 0.5 }));
    let span = hour(&shop);
    let codes = shop.get(&format!("/metrics/status-codes?{span}&interval_in_seconds=60"));
    let points = codes.as_array().expect("a list");
    assert_eq!(points.len(), 3, "nothing before it was live: {codes}");
    assert_eq!(points[1]["value"], json!({ "200": 60 }));
    assert_eq!(points[2]["value"], json!({ "200": 33, "500": 27 }), "v2 went live five seconds in");
    let top = shop.get(&format!("/metrics/top-status-codes?{span}&limit=1"));
    assert_eq!((top.as_array().map(Vec::len), &top[0]["status"]), (Some(1), &json!("200")));
    let per_minute = shop.get(&format!("/metrics/requests-per-minute?{span}"));
    assert_eq!(per_minute[1]["value"], 60.0);
    let average = shop.get(&format!("/metrics/response-time-avg?{span}"));
    assert!(average["average_response_time_ms"].as_f64().is_some_and(|ms| (20.0..30.0).contains(&ms)));

    let now = shop.world.now();
    shop.world.impose_health("shop", Health::Slow { latency_ms: 900 }).expect("shop");
    for _ in 0..600 {
        shop.world.model.apps[0].serve(now).expect("an answer");
    }
    shop.wait(60_000);
    let span = hour(&shop);
    let slow = shop.get(&format!("/metrics/response-time?{span}&percent=95"));
    let last = slow.as_array().and_then(|points| points.last()).expect("a point").clone();
    assert!(last["value"].as_f64().is_some_and(|ms| ms > 900.0), "{slow}");
    let per_minute = shop.get(&format!("/metrics/requests-per-minute?{span}"));
    let most = per_minute.as_array().expect("a list").iter().filter_map(|point| point["value"].as_f64());
    assert!(most.fold(0.0, f64::max) >= 600.0, "{per_minute}");
    for query in ["", "?from=x&to=y", "?from=2020-01-01T00:00:00Z&to=2023-01-01T00:00:00Z"] {
        assert_eq!(shop.try_to("GET", &format!("/metrics/status-codes{query}"), "").0, 400, "{query}");
    }
}

#[test]
fn a_process_has_figures_of_its_own_and_exit_codes_by_the_switch() {
    for exit_codes in [Shown::Omitted, Shown::Shown] {
        let mut shop = shop_with_v2(Unknowns { exit_codes, ..Unknowns::default() });
        let processes = shop.get("/processes");
        assert_eq!((&processes["total"], &processes["data"][0]["type"]), (&json!(1), &json!("web")));
        let id = processes["data"][0]["id"].as_str().expect("an id").to_owned();
        let span = hour(&shop);
        for figure in ["cpu-usage", "cpu-limit", "memory-usage", "memory-limit", "instance-count"] {
            let path = format!("/processes/{id}/metrics/{figure}?{span}");
            assert_eq!(shop.try_to("GET", &path, "").0, 400, "{figure}: the interval is required");
            let points = shop.get(&format!("{path}&interval_in_seconds=60"));
            assert!(points[0]["value"].as_f64().is_some_and(|value| value > 0.0), "{figure}: {points}");
        }
        let (status, exits) = shop.try_to("GET", &format!("/processes/{id}/metrics/exit-codes?{span}"), "");
        match exit_codes {
            Shown::Omitted => assert_eq!(status, 404),
            Shown::Shown => assert_eq!((status, &exits[0]["value"]), (200, &json!("137"))),
        }
        let other = crate::lab::app::uuid(9, "other", 0);
        let path = format!("/processes/{other}/metrics/exit-codes?{span}");
        assert_eq!(shop.try_to("GET", &path, "").0, 404);
    }
}
