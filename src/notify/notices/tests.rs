//! What is told of what, and by which key.

use super::*;
use crate::config;
use crate::decision::capability::PinKind;
use crate::decision::observation::Code;
use crate::decision::state::{CallStatus, Hold, Live, Outcome, SoftPin, State};
use crate::ids::AppName;
use crate::journal::made::{creating, deployment, incident, moment, steady, wall};

fn configured(mode: &str) -> AppConfig {
    let text = format!(
        "platforms: [{{ name: ocean, kind: digitalocean, token_env: T }}]\napps:\n  - name: web\n    platform: ocean\n    \
         id: id-of-web\n    mode: {mode}\n    probes: [{{ name: home, url: 'https://a.example/' }}]\n    \
         rules: [{{ name: errors, probe: home, consecutive_failures: 3 }}]\n"
    );
    config::parse("f.yaml", &text).unwrap().apps.remove(0)
}

fn change(state: State, story: Vec<Told>) -> Change {
    Change { state, effect: None, ruling: None, closed: None, story, about: None }
}

fn open() -> State {
    creating(&"web".into(), CallStatus::Owed)
}

fn events(config: &AppConfig, change: &Change) -> Vec<Event> {
    let app = AppName::from("web");
    let record = incident(&app, "bad", 10, change.closed.as_ref().map(|_| 20));
    let base = "https://guard.example.com/here".parse().unwrap();
    of(&Happened { config, change, record: Some(&record), wall: wall(30), external_url: Some(&base) })
}

fn reading() -> crate::decision::rule::Reading {
    open().incident().unwrap().evidence.clone().unwrap()
}

#[test]
fn each_step_that_people_wait_for_is_told_and_no_call_beside_it() {
    let (config, id) = (configured("enforce"), DeploymentId::from);
    let rollback = Effect::CreateRollback { accused: id("bad"), target: id("good"), code: Code::new() };
    let asked = |call: &Effect, attempt| Told::Call { call: call.clone(), attempt, pin: PinKind::Hard };
    let answered = |answer| Told::Answered { call: "create_rollback".to_owned(), answer };
    let adopted = |call: &str, made| Told::Adopted { call: call.to_owned(), deployment: made };
    let fired = Told::Fired {
        rule: "errors".into(),
        condition: String::new(),
        evidence: "5 of 8".to_owned(),
        reading: reading(),
        accused: id("bad"),
        title: String::new(),
    };
    let validate = Effect::Validate { accused: id("bad"), target: id("good") };
    let cases = [
        (fired, Some("fired")),
        (
            Told::Target {
                target: id("good"),
                title: String::new(),
                seen_good: true,
                named_by: None,
                was_bad: false,
            },
            None,
        ),
        (asked(&validate, 1), None),
        (asked(&rollback, 1), Some("rollback_requested")),
        (asked(&rollback, 2), None),
        (asked(&Effect::Commit { rollback: id("back") }, 1), None),
        (answered(Answer::Created(deployment("back"))), Some("rollback_created")),
        (answered(Answer::Unresolved), None),
        (answered(Answer::Committed), None),
        (adopted("create_rollback", Some(id("back"))), Some("rollback_created")),
        (adopted("commit", None), None),
        (Told::SoakBegan { rollback: id("back"), seconds: 60, min_samples: 5 }, Some("rollback_live")),
        (Told::Restored { after_seconds: 9.0 }, Some("restored")),
        (
            Told::WrongTarget {
                deployment: id("other"),
                expected: Code::new(),
                got: Code::new(),
                is_accused: true,
            },
            Some("wrong_target"),
        ),
        (Told::AppGone, Some("app_gone")),
        (Told::PausedPerhapsByUs, Some("pushes_paused")),
        (Told::LeftOver { deployment: id("back") }, Some("held")),
        (Told::PerhapsOurs { deployments: vec![id("back")], is_restart: false }, Some("held")),
        (Told::Unprotected, None),
        (
            Told::Closed { outcome: Outcome::Committed, reason: Reason::SoakHealthy, detail: String::new() },
            Some("closed"),
        ),
    ];
    for (told, expected) in cases {
        let found = events(&config, &change(open(), vec![told.clone()]));
        let words: Vec<&str> = found.iter().map(|event| event.kind.word()).collect();
        assert_eq!(words, expected.into_iter().collect::<Vec<_>>(), "{told:?}");
        for event in found {
            assert_eq!(event.text, format!("web on ocean: {}", told.text()));
            assert_eq!(
                event.links["incident"],
                format!(
                    "https://guard.example.com/here/incidents/{}",
                    incident(&"web".into(), "bad", 10, None).id
                )
            );
            assert_eq!(event.evidence.unwrap().words, "0 failures in a row, limit 3");
        }
    }
}

#[test]
fn a_key_follows_from_what_happened_alone() {
    let (config, id) = (configured("enforce"), DeploymentId::from);
    let story = vec![
        Told::SoakBegan { rollback: id("back"), seconds: 60, min_samples: 5 },
        Told::SoakBegan { rollback: id("other"), seconds: 60, min_samples: 5 },
        Told::Restored { after_seconds: 9.0 },
    ];
    let keys = || {
        events(&config, &change(open(), story.clone())).into_iter().map(|event| event.key).collect::<Vec<_>>()
    };
    let first = keys();
    assert_eq!(first, keys());
    let different: std::collections::BTreeSet<_> = first.iter().collect();
    assert_eq!(different.len(), 3, "{first:?}");
    assert!(first.iter().all(|key| key.bytes().all(|byte| byte.is_ascii_graphic())), "{first:?}");
    // Another release of the same name, or the same one accused again, is another incident.
    assert!(
        first[0].starts_with(&format!(
            "{}:{}:rollback_live:",
            incident(&"web".into(), "bad", 10, None).id,
            wall(10).as_millisecond()
        )),
        "{first:?}"
    );
    let failed = |name: &str| failed(&config, &deployment(name), None, wall(1)).key;
    assert_ne!(failed("a"), failed("b\r\nx"));
    assert!(failed("b\r\nx").bytes().all(|byte| byte.is_ascii_graphic()));
    assert_ne!(storm(moment(1), wall(1)).key, storm(moment(2), wall(1)).key);
}

#[test]
fn what_ends_in_a_hold_says_what_a_person_can_do() {
    let config = configured("enforce");
    let State { situation: Situation::Incident(mut last), .. } = open() else { panic!("no incident") };
    let live = steady().live().unwrap().clone();
    last.stage = Stage::Soaking {
        target: "good".into(),
        rollback: Deployment { id: live.id.clone(), ..deployment("back") },
        live: live.clone(),
        pin: crate::decision::state::PinSight::Seen,
        until: moment(15),
        give_up: None,
        restored_at: None,
    };
    let closed =
        crate::decision::Closed { incident: *last, outcome: Outcome::Held, reason: Reason::SoakUnhealthy };
    let restarted = Live { id: "restarted".into(), ..live.clone() };
    for (pin, is_kept, is_soft, live, expected) in [
        (Some("back"), true, false, &live, "rearguard commit web"),
        (Some("back"), true, false, &restarted, "commit or revert rollback back at the platform"),
        (Some("back"), false, false, &live, "commit or revert rollback back at the platform"),
        (Some("back"), false, true, &live, "deploy a newer release"),
        (None, false, false, &live, "deploy a newer release"),
    ] {
        let hold = Hold {
            why: Reason::SoakUnhealthy,
            incident: closed.incident.id.clone(),
            since: moment(20),
            live: live.clone(),
            runs: crate::decision::observation::Artifact::default(),
            pin: pin.map(DeploymentId::from),
            kept: is_kept.then(|| Box::new(closed.incident.clone())),
        };
        let mut state = State { situation: Situation::Held(hold), ..State::default() };
        let pause = || SoftPin {
            holds: pin.map(Into::into),
            until: moment(20),
            ..SoftPin::of(closed.incident.id.clone())
        };
        state.ledger.soft_pin = is_soft.then(pause);
        let story = vec![Told::Closed {
            outcome: Outcome::Held,
            reason: Reason::SoakUnhealthy,
            detail: String::new(),
        }];
        let found = events(&config, &Change { closed: Some(closed.clone()), ..change(state, story) });
        let [held] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(held.kind, Kind::Held);
        let case = held.incident.as_ref().unwrap();
        assert_eq!(
            (case.state.as_str(), case.bad_deployment.title.as_deref()),
            ("closed", Some("commit 9a4df0b pushed"))
        );
        assert!(held.next.as_ref().unwrap().contains(expected), "{held:?}");
    }
}

#[test]
fn who_named_what_is_nothing_to_go_back_to_is_told_of_that_and_not_that_there_is_nothing() {
    let State { situation: Situation::Incident(incident), .. } = open() else { panic!("no incident") };
    let closed =
        crate::decision::Closed { incident: *incident, outcome: Outcome::Refused, reason: Reason::NoTarget };
    for code in
        ["unknown_deployment", "same_artifact", "never_live", "artifact_unknown", "platform_picks_other"]
    {
        let detail = code.to_owned();
        let story = vec![
            Told::TargetRefused { target: "d9".into(), reason: Reason::NoTarget, detail: detail.clone() },
            Told::Closed { outcome: Outcome::Refused, reason: Reason::NoTarget, detail },
        ];
        let change = Change { closed: Some(closed.clone()), ..change(steady(), story) };
        let found = events(&configured("enforce"), &change);
        let [told] = found.as_slice() else { panic!("{found:?}") };
        assert!(told.text.contains("closed as refused: not going back to d9: "), "{}", told.text);
        assert!(told.text.ends_with(&format!("({code})")), "{}", told.text);
        assert!(!told.text.contains(Reason::NoTarget.meaning()), "{}", told.text);
    }
}

#[test]
fn a_person_who_is_asked_is_told_what_to_type() {
    let config = configured("approve");
    let mut state = open();
    if let Situation::Incident(incident) = &mut state.situation {
        incident.stage =
            Stage::AwaitingApproval { target: deployment("good"), since: moment(9), deadline: moment(99) };
    }
    let ruling =
        crate::decision::Ruling { verb: Verb::Wait, reason: Reason::AwaitingApproval, incident: None };
    let asking = Change { ruling: Some(ruling), ..change(state.clone(), Vec::new()) };
    let found = events(&config, &asking);
    let [asked] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(asked.kind, Kind::ApprovalNeeded);
    assert_eq!(asked.text, "web on ocean: may it be rolled back from bad to good (commit 9a4df0b pushed)?");
    let record = incident(&"web".into(), "bad", 10, None);
    let words = format!("rearguard approve {0} --target good, or rearguard reject {0}", record.id);
    assert_eq!(asked.next.as_deref(), Some(words.as_str()));
    // And until when.
    let record = IncidentRecord { approve_by: Some(wall(1_830)), ..record };
    let happened = Happened {
        config: &config,
        change: &asking,
        record: Some(&record),
        wall: wall(30),
        external_url: None,
    };
    let found = of(&happened);
    let [asked] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(asked.incident.as_ref().unwrap().approve_by, Some(wall(1_830)));
    let next = asked.next.as_deref().unwrap();
    let until = crate::telling::words::clock(wall(1_830));
    assert_eq!(next, format!("{words}; until {until}, 30m 00s left; then it is held"));
    // Whatever else changes while it waits asks nobody again.
    assert_eq!(events(&config, &change(state, Vec::new())), []);
}

#[test]
fn the_same_word_of_the_same_person_later_is_another_event() {
    let (config, app) = (configured("enforce"), AppName::from("web"));
    let record = incident(&app, "bad", 10, None);
    let key = |by: &str, seconds| {
        let told = Told::Asked {
            request: crate::decision::observation::Request::Commit,
            by: by.into(),
            live: "back".into(),
            title: String::new(),
            target: None,
        };
        let change = change(open(), vec![told]);
        let happened = Happened {
            config: &config,
            change: &change,
            record: Some(&record),
            wall: wall(seconds),
            external_url: None,
        };
        let found = of(&happened);
        let [asked] = found.as_slice() else { panic!("{found:?}") };
        (asked.kind, asked.key.clone())
    };
    assert_eq!(key("ada", 20), key("ada", 20));
    assert_ne!(key("ada", 20), key("ada", 21));
    assert_ne!(key("ada", 20), key("bob", 20));
}

#[test]
fn what_belongs_to_no_incident_is_told_by_itself() {
    let config = configured("enforce");
    let told =
        Told::Noticed { rule: "errors".into(), deployment: "d2".into(), evidence: "5 of 8".to_owned() };
    let change = change(steady(), vec![told]);
    let happened =
        Happened { config: &config, change: &change, record: None, wall: wall(1), external_url: None };
    let found = of(&happened);
    let [noticed] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((noticed.kind, noticed.incident.is_none()), (Kind::Noticed, true));
    assert_eq!(noticed.evidence.as_ref().unwrap().words, "5 of 8");
    let mut long = deployment("d9");
    long.title = "x".repeat(5_000);
    let lost = failed(&config, &long, Some(&"d1".into()), wall(1));
    assert!(lost.text.ends_with("failed before it went live; d1 goes on serving"), "{}", lost.text);
    assert!(lost.text.len() < 400);
}

#[test]
fn every_kind_has_every_key_and_comes_back_as_it_was() {
    let keys = |event: &Event| {
        let value = serde_json::to_value(event).unwrap();
        assert_eq!(serde_json::from_value::<Event>(value.clone()).unwrap(), *event);
        value.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let first = keys(&Event::sample(Kind::Fired));
    for (word, kind) in Kind::WORDS {
        assert_eq!((kind.word(), keys(&Event::sample(*kind))), (*word, first.clone()));
        assert_eq!(serde_json::to_value(kind).unwrap(), *word);
    }
}

#[test]
fn the_schema_of_an_event_is_made_of_what_is_sent() {
    let schema = crate::notify::event::schema();
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for (word, kind) in Kind::WORDS {
        let event = serde_json::to_value(Event::sample(*kind)).unwrap();
        let problems: Vec<String> = validator.iter_errors(&event).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{word}: {problems:?}");
        for key in event.as_object().unwrap().keys() {
            assert!(schema["properties"][key]["description"].is_string(), "{key} is not documented");
            let mut less = event.clone();
            less.as_object_mut().unwrap().remove(key);
            assert!(!validator.is_valid(&less), "{key} is always there");
        }
        let mut other = event.clone();
        other["schema"] = serde_json::json!(SCHEMA + 1);
        assert!(!validator.is_valid(&other));
        other = event;
        other["kind"] = serde_json::json!("eclipse");
        assert!(!validator.is_valid(&other));
    }
}
