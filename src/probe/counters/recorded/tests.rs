//! What a server recorded: the same rounds as who asked all the time would have found, or an error that says why not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::clock::SteadyClock;
use crate::config::Ask;
use crate::decision::sample::{Failure, SampleResult};
use crate::detection::counters::Step;
use crate::detection::power::Chance;
use crate::probe::Probe;
use crate::probe::network::Network;
use crate::probe::network::tests::asking;

const MAX_AGE: i64 = 150_000;

fn counters(url: &str, none_is_good: bool) -> CountersAsk {
    CountersAsk {
        url: url.parse().expect("a URL"),
        headers: BTreeMap::new(),
        errors: "errors".to_owned(),
        requests: "requests".to_owned(),
        at_most: None,
        min_requests: 2,
        none_is_good,
        max_age: Duration::from_millis(MAX_AGE as u64),
    }
}

/// Two instances that are scraped together, with what befalls such: restarts, scrapes that are missing, an error that has
/// never been before, a time without any request, an instance that goes and one that comes.
fn course(chance: &mut Chance) -> (Vec<Line>, Vec<Line>) {
    let mut lines: [Line; 4] = [const { Vec::new() }; 4];
    let (mut totals, mut has_failed) = ([0.0; 4], [false; 2]);
    for scrape in 0..240_i64 {
        let at = 1_000_000 + scrape * 15_000;
        // Nobody scraped for three minutes.
        if (100..112).contains(&scrape) {
            continue;
        }
        for instance in 0..2 {
            let is_there = instance == 0 || (20..180).contains(&scrape);
            if !is_there || chance.next() < 0.03 {
                continue;
            }
            if chance.next() < 0.03 {
                (totals[instance], totals[2 + instance], has_failed[instance]) = (0.0, 0.0, false);
            }
            let is_idle = (140..150).contains(&scrape);
            let more = if is_idle { 0.0 } else { (chance.next() * 30.0).floor() };
            totals[instance] += more;
            if chance.next() < 0.2 && more > 0.0 {
                totals[2 + instance] += (more * chance.next()).ceil();
                has_failed[instance] = true;
            }
            lines[instance].push((at, totals[instance]));
            if has_failed[instance] {
                lines[2 + instance].push((at, totals[2 + instance]));
            }
        }
    }
    let [one, other, errors, more] = lines;
    (vec![one, other], vec![errors, more].into_iter().filter(|line| !line.is_empty()).collect())
}

#[test]
fn the_past_has_the_rounds_that_who_asked_all_the_time_would_have_found() {
    let (mut found, mut none) = (0, 0);
    for seed in 1..40 {
        let (requests, errors) = course(&mut Chance::seeded(seed));
        let ask = counters("http://x/", seed % 2 == 0);
        let from = 1_000_000 + 15_000 * 10;
        let mut asked = BTreeMap::new();
        for scrape in 0..240 {
            let until = 1_000_000 + scrape * 15_000 + 1;
            let latest =
                requests.iter().filter_map(|line| before(line, until).last()).map(|point| point.0).max();
            let back = latest.unwrap_or(0) - MAX_AGE;
            let (shown, failed) = (seen(&requests, back, until), seen(&errors, back - 60_000, until));
            match judged(&ask, &shown, &failed) {
                Ok((share, round)) if round.at - MAX_AGE >= from => {
                    asked.insert(round.at, share);
                }
                Ok(_) => {}
                Err(_) => none += 1,
            }
        }
        let past = shares(&ask, &requests, &errors, from);
        assert!(past.is_sorted_by(|one, next| one.0 < next.0), "seed {seed}");
        found += past.len();
        for (at, share) in &past {
            assert_eq!(asked.get(at), Some(share), "seed {seed} at {at}");
        }
        assert!(past.len() + 3 >= asked.len(), "seed {seed}: {} of {}", past.len(), asked.len());
    }
    assert!(found > 4_000 && none > 500, "{found} {none}");
}

#[test]
fn each_scrape_is_in_one_round_however_many_instances_there_are() {
    let line = |offset: i64| (0..100).map(|n| (offset + n * 15_000, (n * 10) as f64)).collect::<Line>();
    let requests = [line(0), line(4_000), line(11_000)];
    let errors = [line(4_000)];
    let past = shares(&counters("http://x/", false), &requests, &errors, 0);
    let times: Vec<i64> = past.iter().map(|round| round.0).collect();
    assert!(times.windows(2).all(|two| two[1] - two[0] == 15_000), "{times:?}");
    assert!(past.iter().all(|round| (round.1 - 1.0 / 3.0).abs() < 1e-9), "{past:?}");
    assert!(times.len() >= 85 && times[0] >= MAX_AGE - 15_000, "{times:?}");
    // More instances than anybody has, each at a time of its own, without a round: it ends all the same.
    let many: Vec<Line> = (0..300).map(|n| vec![(n * 40, 1.0), (200_000 + n * 40, 2.0)]).collect();
    assert_eq!(shares(&counters("http://x/", true), &many, &[], -1_000_000), []);
}

/// What a server answers that is asked for a selector, so many seconds back, and until when.
type Says = Box<dyn Fn(&str, u64, f64) -> String + Send + Sync>;

/// A server, and what it was asked.
async fn server(off: i64, says: Says) -> (String, Arc<Mutex<Vec<(String, u64)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..read]).into_owned();
            let target = text.split(' ').nth(1).unwrap_or_default();
            let url = url::Url::parse(&format!("http://x{target}")).expect("a request");
            let of = |key: &str| {
                url.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
            };
            let (query, time) = (of("query").unwrap_or_default(), of("time").unwrap_or_default());
            let (selector, back) = query.trim_end_matches("s]").split_once('[').expect("a range");
            let (back, time) = (back.parse().expect("seconds"), time.parse().expect("a time"));
            noted.lock().expect("a list").push((selector.to_owned(), back));
            let body = says(selector, back, time);
            let date = Timestamp::from_second(Timestamp::now().as_second() + off).expect("a date");
            let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, asked)
}

/// Ten requests a scrape, every fifteen seconds, of which a tenth fail: the points of that time.
fn honest(selector: &str, back: u64, time: f64) -> String {
    let (to, each) = (time.floor() as i64, if selector == "errors" { 1 } else { 10 });
    let scrapes = (to - back as i64..=to).filter(|second| second % 15 == 0);
    let points: Vec<String> =
        scrapes.map(|second| format!(r#"[{second}.25,"{}"]"#, second / 15 * each)).collect();
    format!(
        r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":[{}]}}]}}}}"#,
        points.join(",")
    )
}

async fn asked(
    url: &str,
    back: Duration,
    at_most: Option<f64>,
) -> (Result<Vec<Sample>, RecordError>, Moment) {
    let clock = Arc::new(SteadyClock::resume(None));
    let network = Network::new(Arc::clone(&clock) as Arc<dyn Clock>).expect("a client");
    let probe = asking(Ask::Counters(CountersAsk { at_most, ..counters(url, false) }));
    let to = clock.now() - Duration::from_secs(8);
    (network.recorded(&probe, (to - back, to)).await, to)
}

#[tokio::test]
async fn what_a_server_recorded_is_as_old_as_its_scrapes_and_of_the_time_that_was_asked_for() {
    let (url, questions) = server(0, Box::new(honest)).await;
    let back = Duration::from_secs(3_600);
    let (samples, to) = asked(&url, back, None).await;
    let samples = samples.expect("an hour");
    assert_eq!(
        questions.lock().expect("a list").as_slice(),
        [("requests".to_owned(), 3_600), ("errors".to_owned(), 3_660)]
    );
    assert!((228..=231).contains(&samples.len()), "{}", samples.len());
    let is_a_tenth = |sample: &Sample| sample.result == SampleResult::Share(Step::of(0.1));
    assert!(samples.iter().all(is_a_tenth));
    let (first, last) = (samples[0].at, samples[samples.len() - 1].at);
    // This machine's two clocks agree in a test, but for what reading them takes.
    let reading = Duration::from_millis(100);
    assert!(first + reading >= to - back && last <= to + reading);
    assert!(to.since(first) > Duration::from_secs(3_400) && to.since(last) <= Duration::from_secs(16));
    assert!(samples.iter().all(|sample| ((sample.at.as_millis() + 500) % 15_000 - 750).abs() < 100));
    let bad = asked(&url, back, Some(0.05)).await.0.expect("an hour");
    assert!(bad.iter().all(|sample| sample.result == SampleResult::Bad(Failure::Share(Step::of(0.1)))));
}

#[tokio::test]
async fn what_is_too_much_for_an_answer_is_asked_for_half_as_far_back_and_not_for_ever() {
    let too_many = r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}"#;
    let limited = move |most: u64| {
        move |selector: &str, back: u64, time: f64| match back > most {
            true => too_many.to_owned(),
            false => honest(selector, back, time),
        }
    };
    let day = Duration::from_secs(24 * 3_600);
    let (url, questions) = server(0, Box::new(limited(30_000))).await;
    let (samples, to) = asked(&url, day, None).await;
    let samples = samples.expect("a quarter of a day");
    assert!(
        to.since(samples[0].at) > Duration::from_secs(21_000) && samples.len() > 1_400,
        "{}",
        samples.len()
    );
    let back: Vec<u64> = questions.lock().expect("a list").iter().map(|(_, back)| *back).collect();
    assert_eq!(back, [86_400, 43_200, 21_600, 21_660]);
    let (url, questions) = server(0, Box::new(limited(0))).await;
    let error = asked(&url, day, None).await.0.expect_err("nothing");
    assert!(matches!(&error, RecordError::TooMuch(words) if words.contains("too many samples")), "{error}");
    assert_eq!(questions.lock().expect("a list").len(), 5);
    // As well where the answer is longer than anything that is read.
    let long = |selector: &str, back: u64, time: f64| {
        honest(selector, back, time) + &" ".repeat(back as usize * 200)
    };
    let (url, _) = server(0, Box::new(long)).await;
    let samples = asked(&url, day, None).await.0.expect("less");
    assert!((1_300..1_450).contains(&samples.len()), "{}", samples.len());
}

#[tokio::test]
async fn what_is_no_answer_is_told_by_its_reason() {
    let hour = Duration::from_secs(3_600);
    let partial = |selector: &str, back: u64, time: f64| {
        honest(selector, back, time).replace(r#"{"status""#, r#"{"warnings":["a store is down"],"status""#)
    };
    let refused = |_: &str, _: u64, _: f64| {
        r#"{"status":"error","errorType":"bad_data","error":"parse error: no"}"#.to_owned()
    };
    let page = |_: &str, _: u64, _: f64| "<html>".to_owned();
    let gauge = |selector: &str, back: u64, time: f64| {
        honest(selector, back, time).replacen(r#","#, r#","NaN"],[9e9,"#, 2)
    };
    for (what, says, off, expected) in [
        ("a part", Box::new(partial) as Says, 0, RecordError::Partial),
        ("a refusal", Box::new(refused), 0, RecordError::Refused("parse error: no".to_owned())),
        ("a page", Box::new(page), 0, RecordError::Nonsense),
        ("no counter", Box::new(gauge), 0, RecordError::Nonsense),
        ("another time", Box::new(honest), 60, RecordError::Clock),
    ] {
        let (url, _) = server(off, says).await;
        assert_eq!(asked(&url, hour, None).await.0, Err(expected), "{what}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let url = format!("http://user:secret@{nobody}");
    let error = asked(&url, hour, None).await.0.expect_err("nobody is there");
    assert_eq!((&error, error.to_string().contains("secret")), (&RecordError::Silent, false));
    // No series of errors, which may be a typing error.
    let none = |selector: &str, back: u64, time: f64| match selector {
        "errors" => r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#.to_owned(),
        _ => honest(selector, back, time),
    };
    let (url, _) = server(0, Box::new(none)).await;
    assert_eq!(asked(&url, hour, None).await.0, Ok(Vec::new()));
}
