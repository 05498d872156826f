//! What an alert says, and when it ends.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::post;

use super::*;
use crate::decision::state::State;
use crate::journal::made::{answering, entry, incident, notice, owing, steady, wall};
use crate::journal::{Entry, Settled, SqliteJournal};

type Heard = Arc<Mutex<Vec<Value>>>;

async fn server() -> (Alertmanager, Heard) {
    let heard = Heard::default();
    let kept = Arc::clone(&heard);
    let take = move |body: String| async move {
        kept.lock().unwrap().push(serde_json::from_str::<Value>(&body).unwrap()[0].clone());
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/am/", listener.local_addr().unwrap()).parse().unwrap();
    let router = Router::new().route("/am/api/v2/alerts", post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (Alertmanager::new(&SecretUrl(url)), heard)
}

fn letter<'a>(event: &'a Event, mark: Option<&'a str>) -> Letter<'a> {
    Letter { event, text: None, mark, wall: wall(0) }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_one_alert_until_it_is_closed() {
    let (alertmanager, heard) = server().await;
    for kind in [Kind::Fired, Kind::RollbackLive, Kind::Held, Kind::Closed] {
        let sent = alertmanager.send(&letter(&Event::sample(kind), None)).await;
        let Sent::Delivered { mark } = sent else { panic!("{sent:?}") };
        assert_eq!(mark.is_some(), kind != Kind::Closed, "{kind:?}");
    }
    let heard = heard.lock().unwrap();
    let labels = json!({
        "alertname": "RearguardIncident", "severity": "critical", "app": "shop", "platform": "ocean",
        "incident": "shop-1a2b3c4d", "rule": "down",
    });
    assert!(heard.iter().all(|alert| alert["labels"] == labels), "{heard:#?}");
    let ends: Vec<&Value> = heard.iter().map(|alert| &alert["endsAt"]).collect();
    let later = json!(wall(300));
    assert_eq!(ends, [&later, &later, &later, &json!(wall(0))]);
    assert_eq!(heard[0]["annotations"]["evidence"], "3 failures in a row, limit 3");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_ends_by_itself() {
    let (alertmanager, heard) = server().await;
    for kind in [Kind::Noticed, Kind::DeploymentFailed] {
        let sent = alertmanager.send(&letter(&Event::sample(kind), None)).await;
        assert_eq!(sent, Sent::Delivered { mark: None });
    }
    let heard = heard.lock().unwrap();
    assert_eq!(heard[0]["labels"]["alertname"], "RearguardNotice");
    assert_ne!(heard[0]["labels"], heard[1]["labels"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_alerts_are_told_again_and_those_that_are_over_end() {
    let (alertmanager, heard) = server().await;
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(folder.path().join("journal.db")).unwrap();
    let ops = ChannelName::from("ops");
    let held = |app: &str| {
        let hold = crate::decision::state::Hold {
            why: crate::decision::effect::Reason::SoakUnhealthy,
            incident: IncidentId::of(&app.into(), &"bad".into()),
            since: crate::journal::made::moment(20),
            live: steady().live().unwrap().clone(),
            runs: crate::decision::observation::Artifact::default(),
            pin: None,
            kept: None,
        };
        State { situation: Situation::Held(hold), ..State::default() }
    };
    for app in ["open", "held", "closed"] {
        journal.record(owing(&app.into(), 1)).await.unwrap();
    }
    for app in ["held", "closed"] {
        let over = incident(&app.into(), "bad", 1, Some(20));
        journal.record(Entry { incident: Some(over), ..answering(&app.into(), 20) }).await.unwrap();
    }
    journal.record(entry(&"held".into(), 21, held("held"))).await.unwrap();
    journal.set_storm(Some(crate::journal::made::moment(5))).await.unwrap();
    let threads =
        ["open", "held", "closed"].map(|app| IncidentId::of(&app.into(), &"bad".into()).to_string());
    for (n, (thread, kind)) in threads
        .iter()
        .map(|thread| (thread.as_str(), Kind::Fired))
        .chain([("storm:1", Kind::Storm)])
        .enumerate()
    {
        journal.tell(vec![notice(thread, &format!("key-{n}"), 1, &["ops"])]).await.unwrap();
        let pending = journal.outbox(&ops, 9).await.unwrap().heads.pop().unwrap();
        let mut mark = alert(&Event::sample(kind), "told");
        mark["labels"]["thread"] = json!(thread);
        let settled = Settled::Delivered { mark: Some(mark.to_string()) };
        journal.settle(pending.id, wall(2), settled).await.unwrap();
    }
    let told = async || {
        heard.lock().unwrap().clear();
        alertmanager.refresh(&journal, &ops, wall(60)).await;
        let heard = heard.lock().unwrap().clone();
        let open = |alert: &Value| alert["endsAt"] == json!(wall(360));
        heard
            .iter()
            .map(|alert| (alert["labels"]["thread"].as_str().unwrap().to_owned(), open(alert)))
            .collect::<Vec<_>>()
    };
    let [open, held, closed] = &threads;
    let expected = [(open, true), (held, true), (closed, false), (&"storm:1".to_owned(), true)];
    assert_eq!(told().await, expected.map(|(thread, open)| (thread.clone(), open)));
    // A person has acted, the storm is over; what has ended is not told again.
    journal.record(entry(&"held".into(), 30, steady())).await.unwrap();
    journal.set_storm(None).await.unwrap();
    let expected = [(open, true), (held, false), (&"storm:1".to_owned(), false)];
    assert_eq!(told().await, expected.map(|(thread, open)| (thread.clone(), open)));
    assert_eq!(told().await, [(open.clone(), true)]);
}
