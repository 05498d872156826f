//! Answers of a Prometheus server, as its documentation shapes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use super::super::network::Network;
use super::super::network::tests::asking;
use super::super::{Probe, Turn};
use super::*;
use crate::clock::SteadyClock;
use crate::config::{Ask, Limits};

fn ask(url: &str) -> PrometheusAsk {
    PrometheusAsk {
        url: url.parse().expect("a URL"),
        headers: BTreeMap::new(),
        query: "errors / requests".to_owned(),
        limits: Limits { at_least: None, at_most: Some(0.05) },
        absent: Absent::Unknown,
        max_age: Duration::from_secs(300),
    }
}

fn vector(values: &[&str]) -> String {
    let series = |value: &&str| format!(r#"{{"metric":{{"pod":"a"}},"value":[1763700000.123,"{value}"]}}"#);
    let series: Vec<String> = values.iter().map(series).collect();
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#, series.join(","))
}

#[test]
fn each_kind_of_answer_is_read() {
    let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{},"values":[[1,"0.5"],[2,"0.01"]]},{"metric":{},"values":[[1,"7"]]}]},"warnings":["slow"]}"#;
    let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1e-3"]}}"#;
    let text = r#"{"status":"success","data":{"resultType":"string","result":[1,"up"]}}"#;
    let refused = r#"{"status":"error","errorType":"bad_data","error":"parse error: no"}"#;
    let timed_out = r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#;
    let no_number = vector(&["0.01", "up"]);
    for (body, expected) in [
        (vector(&["0.01"]), Answer::Values(vec![0.01], Coverage::Whole)),
        (
            vector(&["0.01", "+Inf", "-Inf"]),
            Answer::Values(vec![0.01, f64::INFINITY, f64::NEG_INFINITY], Coverage::Whole),
        ),
        (vector(&[]), Answer::Values(vec![], Coverage::Whole)),
        (matrix.to_owned(), Answer::Values(vec![0.01, 7.0], Coverage::Partial)),
        (scalar.to_owned(), Answer::Values(vec![0.001], Coverage::Whole)),
        (text.to_owned(), Answer::Refused("the query gives text, and no number".to_owned())),
        (refused.to_owned(), Answer::Refused("parse error: no".to_owned())),
        (timed_out.to_owned(), Answer::Refused("query timed out".to_owned())),
        (no_number, Answer::None(NOT_PROMETHEUS)),
        ("<html>".to_owned(), Answer::None(NOT_PROMETHEUS)),
        ("{}".to_owned(), Answer::None(NOT_PROMETHEUS)),
        (
            r#"{"status":"success","data":{"resultType":"new","result":[]}}"#.to_owned(),
            Answer::None(NOT_PROMETHEUS),
        ),
        (r#"{"status":"success"}"#.to_owned(), Answer::None(NOT_PROMETHEUS)),
        (String::new(), Answer::None(NOT_PROMETHEUS)),
    ] {
        assert_eq!(read(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn every_series_has_to_be_within_the_limits_and_what_is_no_number_is_none() {
    let (good, value) = (SampleResult::Good, SampleResult::Bad(Failure::Value));
    for (values, absent, expected) in [
        (&[0.05][..], Absent::Bad, good),
        (&[0.06], Absent::Good, value),
        (&[0.01, 0.02, 0.9], Absent::Unknown, value),
        (&[0.01, f64::NAN], Absent::Bad, good),
        (&[f64::INFINITY], Absent::Good, value),
        (&[f64::NAN], Absent::Unknown, SampleResult::Unknown(BlindCause::Absent)),
        (&[], Absent::Unknown, SampleResult::Unknown(BlindCause::Absent)),
        (&[], Absent::Good, good),
        (&[f64::NAN, f64::NAN], Absent::Bad, SampleResult::Bad(Failure::Absent)),
    ] {
        let ask = PrometheusAsk { absent, ..ask("http://127.0.0.1") };
        assert_eq!(judge(&ask, values), expected, "{values:?} {absent:?}");
    }
}

#[test]
fn the_query_goes_to_the_api_below_the_path_of_the_server() {
    for (url, path) in [
        ("http://prom.example:9090", "/api/v1/query"),
        ("http://prom.example:9090/", "/api/v1/query"),
        ("http://prom.example/tools/prometheus/", "/tools/prometheus/api/v1/query"),
    ] {
        let address = address(&ask(url));
        assert_eq!(address.path(), path);
        assert_eq!(address.query(), Some("query=errors+%2F+requests&lookback_delta=300s"));
    }
}

/// A server that answers every request with this.
async fn server(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            if answer.is_empty() {
                // The connection stays open and silent.
                std::mem::forget(stream);
            }
        }
    });
    url
}

/// What comes of asking, and what is told of why nothing does.
async fn result(ask: PrometheusAsk) -> (SampleResult, Option<String>) {
    let network = Network::new(Arc::new(SteadyClock::resume(None))).expect("a client");
    let mut probe = asking(Ask::Prometheus(ask));
    probe.timeout = Duration::from_millis(300);
    let result = network.sample(&probe, Turn::Any).await.result;
    let told = network.prometheus.told().values().next().cloned();
    (result, told)
}

#[tokio::test]
async fn a_server_that_does_not_answer_says_nothing_of_the_app() {
    let answering = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    };
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let closed = format!("http://{}", socket.local_addr().expect("an address"));
    let blind = SampleResult::Unknown(BlindCause::Source);
    let bad = answering("400 Bad Request", r#"{"status":"error","errorType":"bad_data","error":"no"}"#);
    let long = answering("200 OK", &vector(&vec!["0.01"; 30_000]));
    let good = answering("200 OK", &vector(&["0.01"]));
    let partial =
        |value: &str| vector(&[value]).replace(r#"{"status""#, r#"{"warnings":["a store is down"],"status""#);
    for (what, url, expected, why) in [
        ("an answer", server(good).await, SampleResult::Good, ""),
        ("nobody listens", closed, blind, NO_CONNECTION),
        ("no such name", "http://nothing.invalid".to_owned(), blind, NO_CONNECTION),
        ("silence", server(String::new()).await, blind, NO_ANSWER),
        (
            "a value that is bad, of a part",
            server(answering("200 OK", &partial("0.9"))).await,
            blind,
            IN_PART,
        ),
        (
            "a value that is good, of a part",
            server(answering("200 OK", &partial("0.01"))).await,
            SampleResult::Good,
            "",
        ),
        ("a gateway", server(answering("502 Bad Gateway", "<html>")).await, blind, NOT_PROMETHEUS),
        ("a refused query", server(bad).await, blind, "no"),
        ("no HTTP", server("SSH-2.0-x\r\n".to_owned()).await, blind, NO_CONNECTION),
        (
            "more than anybody reads",
            server(long).await,
            blind,
            "an answer that is too long: select fewer series",
        ),
    ] {
        // Even where the operator says that what is absent is bad.
        let ask = PrometheusAsk { absent: Absent::Bad, ..ask(&url) };
        let told = Some(why).filter(|why| !why.is_empty()).map(str::to_owned);
        assert_eq!(result(ask).await, (expected, told), "{what}");
    }
    let absent = SampleResult::Unknown(BlindCause::Absent);
    for (values, why) in
        [(&[][..], "no series, or none with a value of the last 5m"), (&["NaN"], "no number, only NaN")]
    {
        let url = server(answering("200 OK", &vector(values))).await;
        assert_eq!(result(ask(&url)).await, (absent, Some(why.to_owned())));
    }
}
