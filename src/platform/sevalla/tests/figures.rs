//! The figures: what is asked for, and what is made of the answers.

use super::*;
use crate::platform::Series;

/// 2026-11-21, a minute before noon.
const FROM: i64 = 1_795_262_340_000;
const SPAN: &str = "from=2026-11-21T11%3A59%3A00.000Z&to=2026-11-21T12%3A00%3A00.500Z";

async fn series(server: &Server, signal: Signal) -> Result<Vec<Series>, PlatformError> {
    at(server).series(&app(), signal, FROM..FROM + 60_500).await.map(|answered| answered.value.series)
}

fn line(label: &str, points: &[(i64, f64)]) -> Series {
    Series { component: String::new(), label: label.to_owned(), points: points.to_vec() }
}

fn of_process(label: &str, points: &[(i64, f64)]) -> Series {
    Series { component: label.to_owned(), ..line(label, points) }
}

#[tokio::test]
async fn requests_come_by_status_and_the_time_to_answer_as_p95() {
    let codes = ok(r#"[{"time":"2026-11-21T12:00:00.000Z","value":{"200":1,"500":"2","404":null}},
        {"time":"2026-11-21T11:59:00.000Z","value":{"200":150}},{"time":"x","value":{"200":9}},{"value":{}},7]"#);
    let server = Server::start(vec![codes]).await;
    let expected =
        [line("200", &[(FROM, 150.0), (FROM + 60_000, 1.0)]), line("500", &[(FROM + 60_000, 2.0)])];
    assert_eq!(series(&server, Signal::Requests).await.unwrap(), expected);
    let times = ok(r#"[{"time":"2026-11-21T11:59:00.000Z","value":42.5},{"time":"2026-11-21T11:59:00Z"}]"#);
    let missing = status("404 Not Found", "", "{}");
    let slow = Server::start(vec![missing, times]).await;
    assert_eq!(series(&slow, Signal::ResponseTime).await.unwrap(), [line("p95", &[(FROM, 42.5)])]);
    let metric =
        |place: &str, rest: &str| format!("GET /v3/{place}/app-1/metrics/{rest}&interval_in_seconds=60");
    assert_eq!(lines(&server), [metric("applications", &format!("status-codes?{SPAN}"))]);
    let rest = format!("response-time?{SPAN}");
    assert_eq!(
        lines(&slow),
        [metric("applications", &rest) + "&percent=95", metric("static-sites", &rest) + "&percent=95"]
    );
}

#[tokio::test]
async fn each_process_has_a_series_of_its_own_and_an_unknown_figure_is_none() {
    let processes = || {
        page(&[
            json!({"id": "p1", "key": "web", "display_name": "Web"}),
            json!({"id": "p2", "key": "worker", "display_name": null}),
            json!({"key": "nameless"}),
        ])
    };
    let metrics =
        |process: &str, name: &str| format!("GET /v3/applications/app-1/processes/{process}/metrics/{name}?");
    let list = "GET /v3/applications/app-1/processes?limit=100 ";
    let usage = ok(r#"[{"time":"2026-11-21T11:59:00.000Z","value":0.25}]"#);
    for (signal, name) in [(Signal::Cpu, "cpu-usage"), (Signal::Memory, "memory-usage")] {
        let (one, other) = (metrics("p1", name), metrics("p2", name));
        let routes = [(list, processes()), (one.as_str(), usage.clone()), (other.as_str(), ok("[]"))];
        let server = Server::routed(routes).await;
        let expected = [of_process("Web", &[(FROM, 0.25)]), of_process("worker", &[])];
        assert_eq!(series(&server, signal).await.unwrap(), expected);
        let asked = format!("{one}{SPAN}&interval_in_seconds=60");
        assert!(lines(&server).contains(&asked), "{:?}", lines(&server));
    }
    let exits = metrics("p1", "exit-codes");
    let codes = ok(r#"[{"time":"2026-11-21T11:59:00.000Z","value":"137","description":null}]"#);
    let server = Server::routed([(list, processes()), (exits.as_str(), codes)]).await;
    assert_eq!(series(&server, Signal::Exits).await.unwrap(), [of_process("Web", &[(FROM, 137.0)])]);
    assert!(lines(&server).contains(&format!("{exits}{SPAN}")));
}

#[tokio::test]
async fn a_series_that_cannot_be_read_is_a_failure_and_no_empty_one() {
    for act in [ok("{}"), ok(""), ok("7"), status("500 Internal Server Error", "", "")] {
        let server = Server::start(vec![act]).await;
        for signal in [Signal::Requests, Signal::ResponseTime, Signal::Cpu] {
            let error = series(&server, signal).await.unwrap_err();
            assert!(matches!(error, PlatformError::Ambiguous(_)), "{error:?}");
        }
    }
    let server = Server::start(vec![ok("[]")]).await;
    assert_eq!(series(&server, Signal::Restarts).await.unwrap_err(), PlatformError::Unsupported("series"));
    assert_eq!(lines(&server).len(), 0);
}
