//! What every store of decisions must do, tried on the trait alone. A store is held to it by
//! `contract::tests!(make)`, where `make()` gives a [`Bench`].

mod outbox;

use std::sync::Arc;
use std::time::Duration;

use super::made::{
    answering, creating, decision, entry, id_of, incident, line, mark, moment, owing, rollback, steady, wall,
};
use super::{DecisionRecord, Entry, IncidentQuery, Journal, JournalError, OpenEffect, Restored, Whose};
use crate::decision::effect::{Answer, Effect, Reason};
use crate::decision::state::{CallStatus, Situation};
use crate::ids::{AppName, IncidentId, PlatformAppId};
use crate::journal::{Pause, PauseWord};

/// An empty store that can be opened again and again.
pub(super) trait Bench {
    /// Opens the store; the one opened before is dropped already.
    fn open(&self) -> Arc<dyn Journal>;
}

macro_rules! tests {
    ($make:expr; $($name:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            crate::journal::contract::$name(&$make).await;
        })*
    };
    ($make:expr) => {
        crate::journal::contract::tests!($make;
            an_entry_comes_back_whole,
            an_app_that_was_never_written_has_no_state,
            a_restart_finds_the_open_effect,
            an_answer_closes_the_effect_and_makes_room_for_the_next,
            an_unresolved_call_counts_as_answered,
            a_second_open_effect_is_illegal,
            an_answer_to_nothing_is_illegal,
            a_state_must_owe_what_is_open,
            a_timeline_without_its_incident_is_illegal,
            a_state_that_could_not_be_loaded_is_illegal,
            an_illegal_entry_changes_nothing,
            entries_of_one_app_are_kept_in_order,
            many_apps_write_at_once,
            the_mark_never_goes_back,
            how_an_app_fared_is_kept,
            the_storm_and_pauses_survive_a_restart,
            what_was_said_of_pauses_is_kept_when_they_are_over,
            incidents_come_newest_first_and_no_more_than_asked_for,
            an_incident_is_updated_in_place_and_its_timeline_grows,
            prune_keeps_open_incidents_and_what_is_young,
            prune_takes_more_than_one_step,
            check_passes_on_a_store_that_works,
            a_notice_is_written_with_its_decision_or_not_at_all,
            a_notice_that_is_known_is_not_kept_again,
            the_first_of_each_thread_is_given_and_the_next_after_it,
            what_a_channel_notes_of_a_thread_is_there_for_its_next_notice,
            what_waits_for_a_channel_that_is_gone_is_forgotten,
            prune_keeps_what_is_still_to_be_told,
        );
    };
}
pub(super) use outbox::*;
pub(super) use tests;

fn illegal(result: Result<(), JournalError>, app: &AppName) {
    match result {
        Err(JournalError::Illegal { app: named, .. }) => assert_eq!(&named, app),
        other => panic!("{other:?} instead of Illegal"),
    }
}

pub(super) async fn an_entry_comes_back_whole(bench: &dyn Bench) {
    let (journal, app) = (bench.open(), AppName::from("web"));
    let written = owing(&app, 10);
    journal.record(written.clone()).await.expect("recorded");

    let open = OpenEffect { effect: rollback(), opened_at: moment(10) };
    assert_eq!(journal.load(&id_of(&app)).await, Ok((Some(written.state.clone()), Some(open))));
    let record = written.incident.expect("an incident");
    let id = record.id.clone();
    assert_eq!(journal.incident(&id).await, Ok(Some((record.clone(), written.timeline))));
    assert_eq!(journal.incidents(IncidentQuery::default()).await, Ok(vec![record]));
    assert_eq!(journal.decisions(&id).await, Ok(vec![written.decision.expect("a decision")]));
    assert_eq!(journal.restore().await.expect("restored").mark, Some(mark(10)));
}

pub(super) async fn an_app_that_was_never_written_has_no_state(bench: &dyn Bench) {
    let journal = bench.open();
    assert_eq!(journal.load(&"web".into()).await, Ok((None, None)));
    assert_eq!(journal.incident(&"web-00000000".into()).await, Ok(None));
    assert_eq!(journal.restore().await, Ok(Restored::default()));
    assert_eq!(journal.apps().await, Ok(Vec::new()));
}

pub(super) async fn a_restart_finds_the_open_effect(bench: &dyn Bench) {
    let app = AppName::from("web");
    let journal = bench.open();
    journal.record(owing(&app, 10)).await.expect("recorded");
    drop(journal);

    assert_eq!(bench.open().apps().await, Ok(vec![id_of(&app)]));
    let (state, open) = bench.open().load(&id_of(&app)).await.expect("loaded");
    assert_eq!(state.and_then(|state| state.owed()), Some(rollback()));
    assert_eq!(open, Some(OpenEffect { effect: rollback(), opened_at: moment(10) }));
}

pub(super) async fn an_answer_closes_the_effect_and_makes_room_for_the_next(bench: &dyn Bench) {
    let (journal, app) = (bench.open(), AppName::from("web"));
    journal.record(owing(&app, 10)).await.expect("recorded");
    journal.record(answering(&app, 11)).await.expect("answered");
    assert_eq!(journal.load(&id_of(&app)).await, Ok((Some(steady()), None)));

    journal.record(owing(&app, 12)).await.expect("owed again");
    // One entry may do both: the answer came, and the same call is owed again.
    let answered = Some(Answer::NotSent(crate::decision::effect::Guard::Paused));
    journal.record(Entry { answered, ..owing(&app, 13) }).await.expect("answered and owed");
    let (_, open) = journal.load(&id_of(&app)).await.expect("loaded");
    assert_eq!(open.map(|open| open.opened_at), Some(moment(13)));
}

pub(super) async fn an_unresolved_call_counts_as_answered(bench: &dyn Bench) {
    let (journal, app) = (bench.open(), AppName::from("web"));
    journal.record(owing(&app, 10)).await.expect("recorded");
    let status = CallStatus::Unresolved { since: moment(11), absent_since: None, refused: None };
    let state = creating(&app, status);
    let after = Entry { answered: Some(Answer::Unresolved), ..entry(&app, 11, state.clone()) };
    journal.record(after).await.expect("recorded");
    assert_eq!(journal.load(&id_of(&app)).await, Ok((Some(state), None)));
}

pub(super) async fn a_second_open_effect_is_illegal(bench: &dyn Bench) {
    let (journal, app) = (bench.open(), AppName::from("web"));
    journal.record(owing(&app, 10)).await.expect("recorded");
    illegal(journal.record(owing(&app, 11)).await, &app);
    // Another app's effect is its own.
    journal.record(owing(&"api".into(), 12)).await.expect("recorded");
}

pub(super) async fn an_answer_to_nothing_is_illegal(bench: &dyn Bench) {
    let (journal, app) = (bench.open(), AppName::from("web"));
    illegal(journal.record(answering(&app, 10)).await, &app);
}

pub(super) async fn a_state_must_owe_what_is_open(bench: &dyn Bench) {
    let (journal, app) = (bench.open(), AppName::from("web"));
    let owed = creating(&app, CallStatus::Owed);
    illegal(journal.record(entry(&app, 1, owed.clone())).await, &app);
    illegal(journal.record(Entry { effect: Some(rollback()), ..entry(&app, 2, steady()) }).await, &app);
    let other = Effect::CreateRollback { accused: "bad".into(), target: "older".into(), code: Vec::new() };
    illegal(journal.record(Entry { effect: Some(other), ..entry(&app, 3, owed.clone()) }).await, &app);

    // While the call is under way the state may be written again, but not forget it.
    journal.record(owing(&app, 4)).await.expect("recorded");
    journal.record(entry(&app, 5, owed)).await.expect("still owed");
    illegal(journal.record(entry(&app, 6, steady())).await, &app);
}

pub(super) async fn a_timeline_without_its_incident_is_illegal(bench: &dyn Bench) {
    let (journal, app) = (bench.open(), AppName::from("web"));
    let timeline = vec![line(1, "fired")];
    illegal(journal.record(Entry { timeline, ..entry(&app, 1, steady()) }).await, &app);
    let foreign = Some(incident(&"api".into(), "bad", 1, None));
    illegal(journal.record(Entry { incident: foreign, ..entry(&app, 1, steady()) }).await, &app);
}

pub(super) async fn a_state_that_could_not_be_loaded_is_illegal(bench: &dyn Bench) {
    let (journal, app) = (bench.open(), AppName::from("web"));
    let mut state = creating(&app, CallStatus::Backoff { until: moment(20), why: Reason::Blind });
    if let Situation::Incident(incident) = &mut state.situation {
        incident.evidence.as_mut().expect("a reading").threshold = f64::INFINITY;
    }
    illegal(journal.record(entry(&app, 1, state)).await, &app);
}

pub(super) async fn an_illegal_entry_changes_nothing(bench: &dyn Bench) {
    let (journal, app) = (bench.open(), AppName::from("web"));
    journal.record(entry(&app, 1, steady())).await.expect("recorded");
    // Its answer is the first thing wrong with it; its effect, the last.
    illegal(journal.record(Entry { answered: Some(Answer::Committed), ..owing(&app, 2) }).await, &app);
    illegal(journal.record(Entry { effect: None, ..owing(&app, 3) }).await, &app);

    assert_eq!(journal.load(&id_of(&app)).await, Ok((Some(steady()), None)));
    assert_eq!(journal.incidents(IncidentQuery::default()).await, Ok(vec![]));
    assert_eq!(journal.decisions(&IncidentId::of(&app, &"bad".into())).await, Ok(vec![]));
    assert_eq!(journal.restore().await.expect("restored").mark, Some(mark(1)));
}

/// Asks for all of them before any is answered, in this order.
async fn all(journal: &Arc<dyn Journal>, entries: Vec<Entry>) -> Vec<Result<(), JournalError>> {
    let calls: futures_util::stream::FuturesOrdered<_> =
        entries.into_iter().map(|entry| journal.record(entry)).collect();
    futures_util::StreamExt::collect(calls).await
}

pub(super) async fn entries_of_one_app_are_kept_in_order(bench: &dyn Bench) {
    let (journal, app) = (bench.open(), AppName::from("web"));
    // Out of order, each of these but the illegal ones would be refused.
    let entries = (0..400).map(|i| match i % 4 {
        0 => owing(&app, i),
        1 => owing(&app, i),
        2 => answering(&app, i),
        _ => entry(&app, i, steady()),
    });
    for (i, result) in all(&journal, entries.collect()).await.into_iter().enumerate() {
        match i % 4 {
            1 => illegal(result, &app),
            _ => assert_eq!(result, Ok(()), "entry {i}"),
        }
    }
    let id = IncidentId::of(&app, &"bad".into());
    let (_, timeline) = journal.incident(&id).await.expect("read").expect("there");
    assert_eq!(timeline.len(), 200);
    assert!(timeline.is_sorted_by_key(|line| line.at));
}

pub(super) async fn many_apps_write_at_once(bench: &dyn Bench) {
    let journal = bench.open();
    let tasks: Vec<_> = (0..500)
        .map(|i| {
            let (journal, app) = (journal.clone(), AppName::from(format!("app-{i}")));
            tokio::spawn(async move {
                journal.record(owing(&app, i)).await.expect("recorded");
                let (_, open) = journal.load(&id_of(&app)).await.expect("loaded");
                assert!(open.is_some(), "a load sees what was recorded before it");
                journal.record(answering(&app, i)).await.expect("answered");
                illegal(journal.record(answering(&app, i)).await, &app);
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no task fails");
    }
    let all =
        journal.incidents(IncidentQuery { limit: 9_999, ..IncidentQuery::default() }).await.expect("read");
    assert_eq!(all.len(), 500);
}

pub(super) async fn the_mark_never_goes_back(bench: &dyn Bench) {
    let journal = bench.open();
    journal.record(entry(&"web".into(), 20, steady())).await.expect("recorded");
    journal.record(entry(&"api".into(), 10, steady())).await.expect("recorded");
    assert_eq!(journal.restore().await.expect("restored").mark, Some(mark(20)));
}

pub(super) async fn how_an_app_fared_is_kept(bench: &dyn Bench) {
    let (journal, web) = (bench.open(), PlatformAppId::from("web"));
    assert_eq!(journal.past(&web).await, Ok(None));
    for past in ["[1]", "[2]"] {
        journal.keep_past(&web, past.to_owned()).await.expect("kept");
    }
    drop(journal);
    let journal = bench.open();
    assert_eq!(journal.past(&web).await, Ok(Some("[2]".to_owned())));
    assert_eq!(journal.past(&"api".into()).await, Ok(None));
    assert_eq!(journal.apps().await, Ok(Vec::new()), "it is no state");
}

pub(super) async fn the_storm_and_pauses_survive_a_restart(bench: &dyn Bench) {
    let journal = bench.open();
    journal.set_storm(Some(moment(3))).await.expect("storm");
    let until = |seconds| Pause { until: Some(moment(seconds)), by: Some("ada".into()), ..Pause::default() };
    for (app, pause) in [("web", Pause::default()), ("*", Pause::default()), ("web", until(9))] {
        journal.pause(app, pause).await.expect("paused");
    }
    drop(journal);

    let journal = bench.open();
    let found = journal.restore().await.expect("restored");
    assert_eq!(found.storm_since, Some(moment(3)));
    let all = ("*".to_owned(), Pause::default());
    assert_eq!(found.paused, [all.clone(), ("web".to_owned(), until(9))], "the last word counts");
    journal.set_storm(None).await.expect("calm");
    let end = |app: &'static str, by: Option<&str>, at| {
        let ended = journal.end_pause(app, by.map(Into::into), wall(at));
        async { ended.await.expect("resumed") }
    };
    end("web", None, 10).await;
    end("api", Some("ada"), 11).await;
    let found = journal.restore().await.expect("restored");
    assert_eq!((found.storm_since, found.paused), (None, vec![all]));
    journal.pause("web", until(20)).await.expect("paused");
    end("*", None, 12).await;
    let found = journal.restore().await.expect("restored").paused;
    assert_eq!(found, [("web".to_owned(), until(20))], "what has run out ends alone");
    end("*", Some("ada"), 13).await;
    assert_eq!(journal.restore().await.expect("restored").paused, [], "a word on everything is one on each");
}

pub(super) async fn what_was_said_of_pauses_is_kept_when_they_are_over(bench: &dyn Bench) {
    let journal = bench.open();
    let lasts = Some(Duration::from_secs(60));
    let pause = |at| Pause { by: Some("ada".into()), since: Some(wall(at)), lasts, ..Pause::default() };
    for _ in 0..2 {
        journal.pause("web", pause(1)).await.expect("written again, since the first time may have failed");
    }
    journal.pause("api", pause(2)).await.expect("paused");
    journal.pause("*", Pause { lasts: None, ..pause(3) }).await.expect("paused");
    journal.end_pause("web", None, wall(61)).await.expect("over");
    journal.end_pause("*", Some("bob".into()), wall(62)).await.expect("resumed");
    drop(journal);

    let journal = bench.open();
    let words = journal.pause_words(&"web".into(), 9).await.expect("read");
    let by = |word: &PauseWord| word.by.clone().expect("somebody").to_string();
    let told: Vec<_> = words
        .iter()
        .map(|word| (word.at, word.word.as_str(), word.scope.as_str(), by(word), word.lasts_seconds))
        .collect();
    let (ada, bob) = (|| "ada".to_owned(), || "bob".to_owned());
    let expected = [
        (wall(62), "resume", "everything", bob(), None),
        (wall(3), "pause", "everything", ada(), None),
        (wall(1), "pause", "app", ada(), Some(60.0)),
    ];
    assert_eq!(told, expected);
    assert_eq!(journal.pause_words(&"web".into(), 2).await.expect("read"), words[..2]);
    journal.prune(wall(62)).await.expect("pruned");
    assert_eq!(journal.pause_words(&"web".into(), 9).await.expect("read"), words[..1]);
}

pub(super) async fn incidents_come_newest_first_and_no_more_than_asked_for(bench: &dyn Bench) {
    let journal = bench.open();
    let (web, api) = (AppName::from("web"), AppName::from("api"));
    let mut entries = Vec::new();
    for i in 0..120 {
        for app in [&web, &api] {
            let incident = Some(incident(app, &format!("bad-{i}"), i, Some(i)));
            entries.push(Entry { incident, ..entry(app, i, steady()) });
        }
    }
    assert!(all(&journal, entries).await.iter().all(Result::is_ok));

    let all = journal.incidents(IncidentQuery::default()).await.expect("read");
    assert_eq!(all.len(), 100);
    assert!(all.is_sorted_by(|newer, older| newer.opened_at >= older.opened_at));
    let of = |whose| IncidentQuery { whose, limit: 3, only_open: false };
    let of_web = journal.incidents(of(Whose::App(id_of(&web)))).await.expect("read");
    assert_eq!(journal.incidents(of(Whose::Named(web.clone()))).await, Ok(of_web.clone()));
    let open = journal.incidents(IncidentQuery { only_open: true, ..IncidentQuery::default() }).await;
    assert!(open.expect("read").iter().all(|incident| incident.closed_at.is_none()));
    let bad: Vec<_> = of_web.iter().map(|record| (&record.app, record.bad_deployment.as_str())).collect();
    assert_eq!(bad, [(&web, "bad-119"), (&web, "bad-118"), (&web, "bad-117")]);
}

pub(super) async fn an_incident_is_updated_in_place_and_its_timeline_grows(bench: &dyn Bench) {
    let (journal, app) = (bench.open(), AppName::from("web"));
    journal.record(owing(&app, 10)).await.expect("recorded");
    let closed = incident(&app, "bad", 10, Some(20));
    let last =
        Entry { incident: Some(closed.clone()), timeline: vec![line(20, "outcome")], ..answering(&app, 20) };
    journal.record(last).await.expect("recorded");

    let (found, timeline) = journal.incident(&closed.id).await.expect("read").expect("there");
    assert_eq!(found, closed);
    let events: Vec<_> = timeline.iter().map(|line| line.event.as_str()).collect();
    assert_eq!(events, ["fired", "target", "outcome"]);
}

pub(super) async fn prune_keeps_open_incidents_and_what_is_young(bench: &dyn Bench) {
    let journal = bench.open();
    let apps = ["closed", "young", "open"].map(AppName::from);
    let [closed, young, open] = &apps;
    for app in &apps {
        journal.record(owing(app, 10)).await.expect("recorded");
    }
    for (app, at) in [(closed, 20), (young, 40)] {
        let incident = Some(incident(app, "bad", 10, Some(at)));
        journal.record(Entry { incident, ..answering(app, at) }).await.expect("recorded");
    }
    let loose = DecisionRecord { incident: None, ..decision(closed, &steady()) };
    let loose = Entry { decision: Some(loose), ..entry(closed, 5, steady()) };
    journal.record(loose).await.expect("recorded");

    // One incident, its decision, its effect and two lines of timeline; the decision of no incident.
    assert_eq!(journal.prune(wall(30)).await, Ok(6));
    assert_eq!(journal.prune(wall(30)).await, Ok(0));
    for (app, kept) in [(closed, false), (young, true), (open, true)] {
        let id = IncidentId::of(app, &"bad".into());
        assert_eq!(journal.incident(&id).await.expect("read").is_some(), kept, "{app}");
        assert_eq!(journal.decisions(&id).await.expect("read").len(), usize::from(kept), "{app}");
        let (state, effect) = journal.load(&id_of(app)).await.expect("loaded");
        assert!(state.is_some(), "a state is never pruned");
        assert_eq!(effect.is_some(), app == open, "an open effect is never pruned");
    }
}

pub(super) async fn prune_takes_more_than_one_step(bench: &dyn Bench) {
    let (journal, app) = (bench.open(), AppName::from("web"));
    let entries = (0..1_200).map(|i| {
        let decision = Some(DecisionRecord { incident: None, ..decision(&app, &steady()) });
        Entry { decision, ..entry(&app, i, steady()) }
    });
    assert!(all(&journal, entries.collect()).await.iter().all(Result::is_ok));
    // The policy goes with the last decision that was made by it.
    assert_eq!(journal.prune(wall(1_199)).await, Ok(1_199));
    assert_eq!(journal.prune(wall(5_000)).await, Ok(2));
}

pub(super) async fn check_passes_on_a_store_that_works(bench: &dyn Bench) {
    let journal = bench.open();
    assert_eq!(journal.check().await, Ok(()));
    assert_eq!(journal.check().await, Ok(()));
}
