//! One incident with all there is to tell of it, and its picture.

use serde_json::json;

use super::fake::{Trouble, start};
use crate::decision::{Tale, told};

fn path() -> String {
    format!("/api/v1/incidents/{}", told(Tale::Committed).0.id)
}

#[tokio::test]
async fn one_incident_has_its_durations_its_evidence_its_signal_and_its_decisions_made_again() {
    let server = start(Trouble::None).await;
    let detail = server.get(&path()).await.json();
    assert_eq!(detail["replay"], json!({ "decisions": 2, "identical": 2, "unreadable": 0, "differing": [] }));
    assert_eq!(
        detail["durations"],
        json!({ "detect": 4.001, "decide": 2.0, "execute": 60.0, "verify": 602.0 })
    );
    assert_eq!(detail["evidence"][0]["rule"], "down");
    assert_eq!(
        (&detail["evidence"][0]["fired"], &detail["evidence"][0]["unit"]),
        (&json!(true), &json!("failures"))
    );
    assert_eq!(detail["evidence"][1]["window_seconds"], 120.0);
    assert_eq!(
        (&detail["signal"]["threshold"], &detail["signal"]["unit"]),
        (&json!(3.0), &json!("failures"))
    );
    let points = detail["signal"]["points"].as_array().unwrap();
    assert!(points.len() > 100 && points.iter().all(|point| point["at"].is_string()));
    // Without decisions there is none of it, and no list has more than the durations.
    let bare = server.get("/api/v1/incidents/checkout-1a2b3c4d").await.json();
    assert_eq!((bare.get("signal"), bare.get("evidence")), (None, None));
    assert_eq!((&bare["replay"]["decisions"], &bare["durations"]["detect"]), (&json!(0), &json!(6.0)));
    let listed = &server.get("/api/v1/incidents").await.json()["incidents"][0];
    assert!(listed["durations"].is_object() && listed.get("replay").is_none());
}

#[tokio::test]
async fn the_picture_is_one_that_may_do_nothing() {
    let server = start(Trouble::None).await;
    let answer = server.get(&format!("{}/signal.svg", path())).await;
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "image/svg+xml"));
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    let policy = &answer.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'") && policy.ends_with("sandbox"), "{policy}");
    assert!(answer.body.starts_with("<svg ") && answer.body.ends_with("</svg>\n"));
    let none = server.get("/api/v1/incidents/checkout-1a2b3c4d/signal.svg").await;
    assert_eq!((none.status, none.code().as_str()), (404, "no_signal"));
    let unknown = server.get("/api/v1/incidents/nope/signal.svg").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "unknown_incident"));
    let failing = start(Trouble::JournalFails).await.get(&path()).await;
    assert_eq!((failing.status, failing.code().as_str()), (503, "journal_unavailable"));
}
