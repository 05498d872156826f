//! Slack as it answers, on loopback.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use super::*;
use crate::config::notify::SecretUrl;
use crate::notify::event::Event;

type Script = Arc<Mutex<Vec<(u16, &'static str)>>>;
type Heard = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

/// Answers as it is told, in turn.
async fn server(script: &[(u16, &'static str)]) -> (Url, Heard) {
    let heard = Heard::default();
    let script: Script = Arc::new(Mutex::new(script.iter().rev().copied().collect()));
    async fn hear(
        State((heard, script)): State<(Heard, Script)>,
        headers: HeaderMap,
        body: String,
    ) -> (StatusCode, HeaderMap, &'static str) {
        heard.lock().unwrap().push((headers, serde_json::from_str(&body).unwrap()));
        let (status, body) = script.lock().unwrap().pop().unwrap_or((200, "ok"));
        let mut more = HeaderMap::new();
        if status == 429 {
            more.insert("retry-after", "7".parse().unwrap());
        }
        (StatusCode::from_u16(status).unwrap(), more, body)
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api", listener.local_addr().unwrap()).parse().unwrap();
    let router = Router::new()
        .route("/api/chat.postMessage", post(hear))
        .route("/api", post(hear))
        .with_state((Arc::clone(&heard), script));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, heard)
}

fn letter<'a>(event: &'a Event, mark: Option<&'a str>) -> Letter<'a> {
    Letter { event, text: None, mark, wall: jiff::Timestamp::UNIX_EPOCH }
}

fn slack(api: Url) -> (Slack, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "xoxb-secret\n").unwrap();
    (Slack::new(api, TokenSource::File(file.path().into()), "C024BE91L".to_owned()), file)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_messages_of_an_incident_are_one_thread() {
    let ok = r#"{"ok":true,"channel":"C024BE91L","ts":"1503435956.000247"}"#;
    let (api, heard) = server(&[(200, ok), (200, r#"{"ok":true,"ts":"1503435999.000001"}"#)]).await;
    let (slack, _file) = slack(api);
    let event = Event::sample(Kind::Fired);
    let first = Some("1503435956.000247".to_owned());
    assert_eq!(slack.send(&letter(&event, None)).await, Sent::Delivered { mark: first.clone() });
    assert_eq!(slack.send(&letter(&event, first.as_deref())).await, Sent::Delivered { mark: first });
    let heard = heard.lock().unwrap();
    let ((headers, one), (_, two)) = (&heard[0], &heard[1]);
    assert_eq!(headers["authorization"], "Bearer xoxb-secret");
    assert_eq!((&one["channel"], &one["thread_ts"]), (&json!("C024BE91L"), &Value::Null));
    assert_eq!(two["thread_ts"], "1503435956.000247");
    assert_eq!(one["metadata"]["event_payload"]["key"], event.key.as_str());
    assert_eq!(one["blocks"][0]["text"]["text"], one["text"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_status_200_may_be_a_failure() {
    let failed = |why: &str, retry_after| Sent::Failed { why: format!("Slack answers {why}"), retry_after };
    let cases = [
        (200, r#"{"ok":false,"error":"channel_not_found"}"#, failed("channel_not_found", None)),
        (200, r#"{"ok":false,"error":"invalid_auth"}"#, failed("invalid_auth", None)),
        (
            200,
            r#"{"ok":false,"error":"msg_too_long"}"#,
            Sent::Refused("Slack answers msg_too_long".to_owned()),
        ),
        (200, r#"{"ok":false,"error":"ratelimited"}"#, failed("ratelimited", Some(RATE_LIMITED))),
        (429, r#"{"ok":false,"error":"ratelimited"}"#, failed("ratelimited", Some(Duration::from_secs(7)))),
        (200, "<html>", Sent::failed("Slack's answer cannot be read")),
        (200, r#"{"ok":false,"error":"Bearer xoxb-secret"}"#, Sent::failed("Slack's answer cannot be read")),
        (503, "", Sent::failed("it answers with status 503")),
        (503, r#"{"ok":true,"ts":"1.2"}"#, Sent::failed("it answers with status 503")),
    ];
    let script: Vec<_> = cases.iter().map(|(status, body, _)| (*status, *body)).collect();
    let (api, _) = server(&script).await;
    let (slack, _file) = slack(api);
    let event = Event::sample(Kind::Fired);
    for (status, body, expected) in cases {
        assert_eq!(slack.send(&letter(&event, None)).await, expected, "{status} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_was_deleted_begins_anew() {
    let gone = r#"{"ok":false,"error":"thread_not_found"}"#;
    let (api, heard) = server(&[(200, gone), (200, r#"{"ok":true,"ts":"2.2"}"#)]).await;
    let (slack, _file) = slack(api);
    let sent = slack.send(&letter(&Event::sample(Kind::Closed), Some("1.1"))).await;
    assert_eq!(sent, Sent::Delivered { mark: Some("2.2".to_owned()) });
    assert_eq!(heard.lock().unwrap()[1].1["thread_ts"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incoming_webhook_says_why_in_a_word() {
    let (url, heard) =
        server(&[(200, "ok"), (400, "invalid_payload"), (404, "no_service"), (500, "!")]).await;
    let hook = SlackHook::new(UrlSource::Written(SecretUrl(url)));
    let event = Event::sample(Kind::Fired);
    let mut said = Vec::new();
    for _ in 0..4 {
        said.push(hook.send(&letter(&event, None)).await);
    }
    let expected = [
        Sent::Delivered { mark: None },
        Sent::Refused("it answers with status 400, invalid_payload".to_owned()),
        Sent::failed("it answers with status 404, no_service"),
        Sent::failed("it answers with status 500"),
    ];
    assert_eq!(said, expected);
    assert!(heard.lock().unwrap()[0].1["text"].as_str().unwrap().contains("rule down fired"));
}

#[test]
fn text_of_others_is_text_and_not_longer_than_slack_takes() {
    let mut event = Event::sample(Kind::Fired);
    event.text = "<!channel> & <https://evil.example.com|click>".to_owned();
    let said = message(&letter(&event, None))["text"].as_str().unwrap().to_owned();
    assert!(said.ends_with("&lt;!channel&gt; &amp; &lt;https://evil.example.com|click&gt;"), "{said}");
    for letters in ["x", "&", "é", "a<"] {
        event.text = letters.repeat(5_000);
        let said = message(&letter(&event, None))["text"].as_str().unwrap().to_owned();
        assert!(said.chars().count() <= 3_000, "{letters}");
        let last = said.trim_end_matches('…').rsplit_once('&').map_or("", |(_, last)| last);
        assert!(last.is_empty() || last.contains(';'), "half an escape at the end: {last}");
    }
}
