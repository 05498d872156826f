use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::cli::{ResumeArgs, ServerArgs, SettleArgs, WordArgs, act};

/// An order is looked at for so long where nothing is expected to come of it: no more than a look or two.
const SHORT: Duration = Duration::from_millis(1);
/// And where something is: longer than any of it takes.
const LONG: Duration = Duration::from_secs(60);

/// The incident in this state, as the API shows it.
fn incident(state: &str, outcome: Option<Outcome>) -> String {
    let shown = serde_json::json!({
        "id": "shop-1a2b3c4d", "app": "shop", "app_id": "1", "state": state, "outcome": outcome, "reason": "requested",
        "rule": null, "opened_at": "2026-11-21T02:00:00Z", "closed_at": outcome.map(|_| "2026-11-21T02:10:09Z"),
        "bad_deployment": "d2", "target_deployment": "d1", "rollback_deployment": "d3", "time_to_detect_seconds": null,
        "time_to_restore_seconds": null, "timeline": [],
    });
    shown.to_string()
}

/// What a daemon says that has no room for another question.
const BUSY: &str =
    r#"{"error":{"code":"too_many_connections","message":"all connections are taken; try again"}}"#;

/// A daemon that gives one of these answers after the other, and the last of them from then on; and how many it gave.
async fn daemon(answers: Vec<(u16, String)>) -> (ServerArgs, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let given = Arc::new(AtomicUsize::new(0));
    let count = given.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            hear(&mut stream).await;
            let n = count.fetch_add(1, Ordering::SeqCst);
            let (status, body) = &answers[n.min(answers.len() - 1)];
            let head =
                format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    (ServerArgs { server: Some(url), config: None }, given)
}

async fn answering(answers: Vec<(u16, String)>) -> (Client, Arc<AtomicUsize>) {
    let (args, given) = daemon(answers).await;
    (Client::open(&args).unwrap(), given)
}

/// Reads a request to its end.
async fn hear(stream: &mut TcpStream) {
    let mut asked = String::new();
    loop {
        let mut some = vec![0; 4096];
        let length = stream.read(&mut some).await.unwrap();
        asked.push_str(std::str::from_utf8(&some[..length]).unwrap());
        let Some((head, body)) = asked.split_once("\r\n\r\n") else { continue };
        let of = head.to_lowercase().split_once("content-length: ").map(|(_, rest)| rest.to_owned());
        let wanted = of.and_then(|rest| rest.lines().next()?.parse().ok()).unwrap_or(0);
        if body.len() >= wanted {
            return;
        }
    }
}

fn given(from: &'static str, wanted: Outcome) -> Given<'static> {
    Given { id: "shop-1a2b3c4d", from, wanted }
}

#[tokio::test]
async fn an_order_is_under_way_only_once_the_incident_has_left_where_it_found_it() {
    for (from, next) in [("validating", "rolling_back"), ("soaking", "committing")] {
        let (client, _) = answering(vec![(200, incident(from, None))]).await;
        let begun = begin(&client, given(from, Outcome::Committed), SHORT).await.unwrap();
        assert!(matches!(begun, Begun::NotYet), "{from}: {begun:?}");
        let then = vec![(200, incident(from, None)), (200, incident(next, None))];
        let (client, looks) = answering(then).await;
        let begun = begin(&client, given(from, Outcome::Committed), LONG).await.unwrap();
        assert!(matches!(begun, Begun::UnderWay), "{from}: {begun:?}");
        assert_eq!(looks.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn what_is_over_at_once_is_told_by_how_it_ended() {
    let over = vec![(200, incident("soaking", None)), (200, incident("closed", Some(Outcome::Reverted)))];
    let (client, _) = answering(over.clone()).await;
    let begun = begin(&client, given("soaking", Outcome::Reverted), LONG).await.unwrap();
    assert!(matches!(&begun, Begun::Over(told) if told.contains("reverted after")), "{begun:?}");
    let (client, _) = answering(over).await;
    let error = begin(&client, given("soaking", Outcome::Committed), LONG).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { code, .. } if code == "other_outcome"), "{error}");
}

#[tokio::test]
async fn only_of_a_daemon_that_cannot_be_reached_is_an_order_said_to_be_taken_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::open(&ServerArgs { server: Some(url), config: None }).unwrap();
    let begun = begin(&client, given("soaking", Outcome::Reverted), SHORT).await.unwrap();
    assert!(matches!(begun, Begun::Silent), "{begun:?}");
    let (client, _) = answering(vec![(503, BUSY.to_owned())]).await;
    let begun = begin(&client, given("soaking", Outcome::Reverted), SHORT).await.unwrap();
    assert!(matches!(begun, Begun::Silent), "{begun:?}");
    let refusal = r#"{"error":{"code":"unknown_incident","message":"there is no such incident"}}"#;
    for (status, body) in [(404, refusal), (200, "<html>"), (200, "{}")] {
        let (client, looks) = answering(vec![(status, body.to_owned())]).await;
        let error = begin(&client, given("soaking", Outcome::Reverted), LONG).await.unwrap_err();
        assert!(matches!(error, Error::NotTold { .. }), "{error}");
        assert!(
            error.to_string().starts_with("it is taken as part of incident shop-1a2b3c4d, and "),
            "{error}"
        );
        assert_eq!(looks.load(Ordering::SeqCst), 1, "{body}");
    }
}

#[tokio::test]
async fn a_commit_or_a_revert_that_waits_in_the_soak_is_not_said_to_be_under_way() {
    let given = |verb: &str| {
        let done = serde_json::json!({ "done": verb, "app": "shop", "incident": "shop-1a2b3c4d" });
        vec![(200, done.to_string()), (200, incident("soaking", None))]
    };
    let args = async |verb: &str| {
        let (server, _) = daemon(given(verb)).await;
        SettleArgs { app: "shop".to_owned(), wait: false, word: WordArgs { by: None, server } }
    };
    let (commit, revert) = (args("commit").await, args("revert").await);
    let (commit, revert) = tokio::join!(act::commit(&commit), act::revert(&revert));
    for (verb, said) in [("commit", commit.unwrap()), ("revert", revert.unwrap())] {
        let begin = format!("{verb} of shop is taken, and nothing is sent yet as far as is known; ");
        assert!(said.starts_with(&begin), "{said}");
    }
}

#[tokio::test]
async fn who_waits_for_the_end_waits_while_the_daemon_cannot_answer_and_is_told_what_is_known_where_it_never_will()
 {
    let over = incident("closed", Some(Outcome::Reverted));
    let (client, looks) = answering(vec![(503, BUSY.to_owned()), (200, over)]).await;
    let told = follow(&client, "shop-1a2b3c4d", Outcome::Reverted).await.unwrap();
    assert!(told.contains("reverted after"), "{told}");
    assert_eq!(looks.load(Ordering::SeqCst), 2);
    let (client, _) = answering(vec![(200, "<html>".to_owned())]).await;
    let error = follow(&client, "shop-1a2b3c4d", Outcome::Reverted).await.unwrap_err();
    assert!(error.to_string().starts_with("it is taken as part of incident shop-1a2b3c4d, and "), "{error}");
}

#[tokio::test]
async fn who_resumes_is_told_that_the_word_is_taken_where_nothing_more_is_known() {
    let done = (200, serde_json::json!({ "done": "resume", "app": null }).to_string());
    let (server, _) = daemon(vec![done, (503, BUSY.to_owned())]).await;
    let args = ResumeArgs { app: None, all: true, word: WordArgs { by: None, server } };
    let error = act::resume(&args).await.unwrap_err();
    let said = "the word to resume is taken, and what comes of it is not known: all connections are taken";
    assert!(error.to_string().starts_with(said), "{error}");
}
