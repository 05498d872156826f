//! Points of counters, as a Prometheus server gives them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::network::Network;
use super::super::network::tests::asking;
use super::super::{Probe, Turn};
use super::points::{Series, line};
use super::*;
use crate::clock::SteadyClock;
use crate::config::Ask;
use crate::decision::sample::Failure;
use crate::detection::counters::Step;

/// A counter that is scraped every fifteen seconds, the last time at that second.
fn counter(last: i64, values: &[f64]) -> Line {
    let count = values.len() as i64;
    (0..).zip(values).map(|(n, value)| ((last - (count - 1 - n) * 15) * 1_000, *value)).collect()
}

fn counted(requests: &[Line], errors: &[Line]) -> Result<(i64, f64, f64), BlindCause> {
    newest(requests, errors).map(|round| (round.at / 1_000, round.requests, round.errors))
}

#[test]
fn what_came_between_two_scrapes_is_counted_over_all_instances() {
    let requests = [counter(100, &[5.0, 10.0, 30.0]), counter(107, &[0.0, 7.0, 17.0])];
    let errors = [counter(100, &[1.0, 1.0, 4.0]), counter(107, &[0.0, 0.0, 2.0])];
    assert_eq!(counted(&requests, &errors), Ok((100, 30.0, 5.0)));
    assert_eq!(counted(&requests, &[]), Ok((100, 30.0, 0.0)));
    // The first instance has its next scrape already: the same round is asked for again when the second one is missing,
    // and a scrape is in one round only.
    let ahead = [counter(115, &[5.0, 10.0, 30.0, 90.0]), counter(107, &[0.0, 7.0, 17.0])];
    assert_eq!(counted(&ahead, &[]), Ok((107, 70.0, 0.0)));
    let ahead = [counter(115, &[5.0, 10.0, 30.0, 90.0]), counter(122, &[0.0, 7.0, 17.0, 20.0])];
    assert_eq!(counted(&ahead, &[]), Ok((115, 63.0, 0.0)));
}

#[test]
fn a_counter_that_fell_or_is_new_began_from_nothing() {
    let restarted = [counter(100, &[90.0, 100.0, 20.0])];
    assert_eq!(counted(&restarted, &[counter(100, &[4.0, 5.0, 2.0])]), Ok((100, 20.0, 2.0)));
    assert_eq!(counted(&restarted, &[counter(85, &[4.0, 5.0])]), Ok((100, 20.0, 0.0)), "none since then");
    // The first error of an app, in both.
    let requests = [counter(100, &[90.0, 100.0, 110.0]), counter(100, &[3.0])];
    assert_eq!(counted(&requests, &[counter(100, &[3.0])]), Ok((100, 13.0, 3.0)));
    // An instance that is new has no scrape before, and nobody knows since when it counts.
    let requests = [counter(100, &[90.0, 100.0, 110.0]), counter(104, &[500.0])];
    assert_eq!(counted(&requests, &[counter(104, &[50.0])]), Ok((100, 10.0, 0.0)));
}

#[test]
fn what_is_missing_a_scrape_is_left_out_or_unknown() {
    let whole = counter(100, &[0.0, 10.0, 20.0, 30.0]);
    let mut missed = counter(103, &[0.0, 100.0, 200.0, 300.0]);
    missed.remove(2);
    assert_eq!(counted(&[whole.clone(), missed.clone()], &[missed]), Ok((100, 10.0, 0.0)));
    let gone = counter(60, &[0.0, 500.0]);
    assert_eq!(counted(&[whole.clone(), gone.clone()], &[gone]), Ok((100, 10.0, 0.0)));
    let absent = Err(BlindCause::Absent);
    assert_eq!(counted(&[], &[]), absent);
    assert_eq!(counted(&[counter(100, &[5.0])], &[]), absent, "one scrape");
    assert_eq!(
        counted(std::slice::from_ref(&whole), &[counter(85, &[0.0, 0.0])]),
        absent,
        "the newest has no errors"
    );
    let mut late = counter(100, &[0.0, 1.0, 2.0]);
    late.remove(1);
    assert_eq!(counted(std::slice::from_ref(&whole), &[late]), absent, "and the one before has none");
}

#[test]
fn what_makes_no_sense_is_no_answer() {
    let whole = counter(100, &[0.0, 10.0, 20.0]);
    let source = Err(BlindCause::Source);
    assert_eq!(
        counted(std::slice::from_ref(&whole), &[counter(100, &[7.0, 8.0, 3.0])]),
        source,
        "only errors fell"
    );
    assert_eq!(counted(&[whole], &[counter(97, &[1.0, 2.0, 3.0])]), source, "of other scrapes");
    let read = |values: &[(f64, &str)]| line(Series { values: values.to_vec() });
    assert_eq!(read(&[(1.5, "2"), (16.5, "2e3")]), Some(vec![(1_500, 2.0), (16_500, 2_000.0)]));
    for broken in ["NaN", "+Inf", "-1", "up"] {
        assert_eq!(read(&[(1.0, "2"), (2.0, broken)]), None, "{broken}");
    }
    assert_eq!(read(&[(2.0, "2"), (1.0, "3")]), None, "time runs backwards");
    assert_eq!(read(&[(2.0, "2"), (2.0, "3")]), None);
}

/// A server that answers what is asked of requests and of errors, with a date that is so many seconds off.
async fn server(requests: String, errors: String, off: i64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let asked = String::from_utf8_lossy(&request[..read]).into_owned();
            let body = if asked.contains("query=requests%5B150s%5D") { &requests } else { &errors };
            let date = Timestamp::now().as_second() + off;
            let date = Timestamp::from_second(date).expect("a date").strftime("%a, %d %b %Y %H:%M:%S GMT");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

/// Scrapes every fifteen seconds, the last one so many seconds ago.
fn matrix(ago: i64, values: &[&str]) -> String {
    let now = Timestamp::now().as_second() - ago;
    let count = values.len() as i64;
    let point = |(n, value): (i64, &&str)| format!(r#"[{},"{value}"]"#, now - (count - 1 - n) * 15);
    let points: Vec<String> = (0..).zip(values).map(point).collect();
    format!(
        r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":[{}]}}]}}}}"#,
        points.join(",")
    )
}

async fn sampled(url: &str, at_most: Option<f64>, none_is_good: bool) -> (SampleResult, Duration) {
    let clock = Arc::new(SteadyClock::resume(None));
    let network = Network::new(Arc::clone(&clock) as Arc<dyn Clock>).expect("a client");
    let ask = CountersAsk {
        url: url.parse().expect("a URL"),
        headers: BTreeMap::new(),
        errors: "errors".to_owned(),
        requests: "requests".to_owned(),
        at_most,
        min_requests: 2,
        none_is_good,
        max_age: Duration::from_secs(150),
    };
    let sample = network.sample(&asking(Ask::Counters(ask)), Turn::Any).await;
    (sample.result, clock.now().since(sample.at))
}

#[tokio::test]
async fn a_share_is_as_old_as_its_scrape_and_what_is_no_answer_is_unknown() {
    let requests = matrix(7, &["10", "30", "50"]);
    let errors = || matrix(7, &["1", "1", "6"]);
    let url = server(requests.clone(), errors(), 0).await;
    let (result, age) = sampled(&url, None, false).await;
    assert_eq!(result, SampleResult::Share(Step::of(0.25)));
    assert!((Duration::from_secs(6)..Duration::from_secs(10)).contains(&age), "{age:?}");
    assert_eq!(sampled(&url, Some(0.3), false).await.0, SampleResult::Share(Step::of(0.25)));
    assert_eq!(sampled(&url, Some(0.2), false).await.0, SampleResult::Bad(Failure::Share(Step::of(0.25))));

    let empty = || r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#.to_owned();
    let url = server(requests.clone(), empty(), 0).await;
    assert_eq!(sampled(&url, None, true).await.0, SampleResult::Share(Step::of(0.0)));
    let partial = requests.replace(r#"{"status""#, r#"{"warnings":["a store is down"],"status""#);
    let refused = r#"{"status":"error","errorType":"bad_data","error":"parse error: no"}"#.to_owned();
    let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#.to_owned();
    let (source, absent) = (BlindCause::Source, BlindCause::Absent);
    for (what, requests, errors, off, cause) in [
        ("no errors, or a typing error", requests.clone(), empty(), 0, absent),
        ("no requests", empty(), errors(), 0, absent),
        ("too few", matrix(7, &["10", "30", "31"]), errors(), 0, absent),
        ("none lately", matrix(60, &["10", "30", "50"]), matrix(60, &["1", "1", "6"]), 0, absent),
        ("a part of it", partial, errors(), 0, source),
        ("a refusal", requests.clone(), refused, 0, source),
        ("another kind", requests.clone(), scalar, 0, source),
        ("a page", "<html>".to_owned(), errors(), 0, source),
        ("no number", requests.clone(), matrix(7, &["1", "1", "NaN"]), 0, source),
        ("other scrapes", requests.clone(), matrix(3, &["1", "1", "6"]), 0, source),
        ("clocks that disagree", requests.clone(), errors(), 30, BlindCause::Clock),
    ] {
        let url = server(requests, errors, off).await;
        assert_eq!(sampled(&url, Some(0.0), false).await.0, SampleResult::Unknown(cause), "{what}");
    }
}
