//! Each guard right before a write.

use super::*;

#[tokio::test]
async fn nothing_is_sent_when_the_fresh_read_shows_another_picture() {
    let nothing_live = AppView { active: None, ..view("bad", None, None) };
    let not_live = AppView { active: None, ..view("ours", Some("ours"), None) };
    let before = [
        view("newer", None, None),
        view("bad", Some("theirs"), None),
        view("bad", None, Some("newer")),
        view("newer", Some("newer"), None),
        nothing_live,
    ];
    let after = [
        view("ours", None, None),
        view("ours", Some("theirs"), None),
        view("newer", Some("ours"), None),
        not_live,
    ];
    let paused =
        [AppView { pushes: Some(Pushes::Paused), ..view("bad", None, None) }, view("bad", None, None)];
    let deployed =
        [AppView { pushes: Some(Pushes::Deploy), ..view("bad", None, None) }, view("bad", None, None)];
    let cases = [
        (validate(), &before[..]),
        (restart(), &before),
        (pin(), &before),
        (pin(), &paused),
        (Effect::Unpin, &deployed),
        (create(), &before),
        (commit(), &after),
        (revert(), &after),
    ];
    for (effect, pictures) in cases {
        for picture in pictures {
            let (performed, sent, _) = Scene::new().perform(effect.clone(), showing(picture.clone())).await;
            assert_eq!(performed.answer, Answer::NotSent(Guard::Changed), "{effect:?} at {picture:?}");
            assert_eq!((sent, performed.view.map(|(_, seen)| seen).as_ref()), (vec![], Some(picture)));
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_when_the_fresh_read_fails() {
    let denied = Answer::NotApplied { why: Rejection::Denied, retry_after: None };
    let cases = [
        (PlatformError::Denied { status: 401 }, denied, 1),
        (PlatformError::Ambiguous("503".into()), Answer::NotSent(Guard::Unreadable), 0),
        (PlatformError::NotFound, Answer::NotSent(Guard::Unreadable), 0),
    ];
    for (error, answer, reloads) in cases {
        for effect in every() {
            let platform = Scripted { read_fails: Some(error.clone()), ..showing(fitting(&effect)) };
            let (performed, sent, reloaded) = Scene::new().perform(effect, platform).await;
            assert_eq!((performed.answer, sent, reloaded), (answer.clone(), vec![], reloads), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_stops_what_leads_to_a_rollback_and_nothing_that_settles_one() {
    for effect in every() {
        let scene = Scene { most: 0, ..Scene::new() };
        let (performed, sent, _) = scene.perform(effect.clone(), showing(fitting(&effect))).await;
        if matches!(effect, Effect::Unpin | Effect::Commit { .. } | Effect::Revert { .. }) {
            assert_eq!(sent, [effect.word()]);
        } else {
            assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Storm), vec![]));
        }
        // What undoes a rollback of ours settles it, whatever it is called.
        let scene =
            Scene { most: 0, mandate: Mandate { is_return: true, ..Mandate::default() }, ..Scene::new() };
        let (_, sent, _) = scene.perform(effect.clone(), showing(fitting(&effect))).await;
        assert_eq!(sent, [effect.word()]);
    }
}

#[tokio::test]
async fn what_comes_up_during_the_fresh_read_stops_the_call() {
    for effect in every() {
        let scene = Scene::new();
        let paused = scene.paused.clone();
        let pause = Box::new(move || {
            paused.pause(None, Pause::default(), Moment::from_millis(0)).expect("nothing stands")
        });
        let platform = Scripted { meanwhile: Some(pause), ..showing(fitting(&effect)) };
        let (performed, sent, _) = scene.perform(effect.clone(), platform).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Paused), vec![]));

        let scene = Scene::new();
        let stop = scene.stop.clone();
        let platform =
            Scripted { meanwhile: Some(Box::new(move || stop.cancel())), ..showing(fitting(&effect)) };
        let (performed, sent, _) = scene.perform(effect.clone(), platform).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Interrupted), vec![]));

        let scene = Scene { mode: "observe", ..Scene::new() };
        let (performed, sent, _) = scene.perform(effect.clone(), showing(fitting(&effect))).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Observe), vec![]));

        // The machine slept, and the timers have not noticed.
        let scene = Scene::new();
        let clock = Arc::clone(&scene.clock);
        let sleep = Box::new(move || {
            clock.1.fetch_add(15_001, Ordering::Relaxed);
        });
        let platform = Scripted { meanwhile: Some(sleep), ..showing(fitting(&effect)) };
        let (performed, sent, _) = scene.perform(effect.clone(), platform).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Interrupted), vec![]));

        // It slept while the decision was written down, so that what it rests on is old.
        let scene = Scene { written_in: LIMIT + Duration::from_millis(1), ..Scene::new() };
        let (performed, sent, _) = scene.perform(effect.clone(), showing(fitting(&effect))).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Interrupted), vec![]));
    }
}

#[tokio::test]
async fn what_comes_up_while_the_connection_is_made_stops_the_call() {
    for effect in every() {
        let during = |connecting: Box<dyn Fn() + Send + Sync>| Scripted {
            connecting: Some(connecting),
            ..showing(fitting(&effect))
        };
        let scene = Scene::new();
        let paused = scene.paused.clone();
        let pause = Box::new(move || {
            paused.pause(None, Pause::default(), Moment::from_millis(0)).expect("nothing stands")
        });
        let (performed, sent, _) = scene.perform(effect.clone(), during(pause)).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Paused), vec![]));

        let scene = Scene::new();
        let stop = scene.stop.clone();
        let platform = during(Box::new(move || stop.cancel()));
        let (performed, sent, _) = scene.perform(effect.clone(), platform).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Interrupted), vec![]));

        // The machine slept in the middle of the handshake.
        let scene = Scene::new();
        let clock = Arc::clone(&scene.clock);
        let platform = during(Box::new(move || {
            clock.1.fetch_add(15_001, Ordering::Relaxed);
        }));
        let (performed, sent, _) = scene.perform(effect.clone(), platform).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Interrupted), vec![]));
        assert_eq!(performed.calls.len(), 2, "it is in the timeline that it was about to be sent");
    }
}

#[tokio::test]
async fn a_file_that_was_put_there_during_the_fresh_read_stops_the_call() {
    for effect in every() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("paused");
        let paused = Paused::with_file(path.clone());
        paused.recall(Vec::new());
        let scene = Scene { paused, ..Scene::new() };
        let touch = Box::new(move || std::fs::write(&path, "").expect("touched"));
        let platform = Scripted { meanwhile: Some(touch), ..showing(fitting(&effect)) };
        let (performed, sent, _) = scene.perform(effect, platform).await;
        assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Paused), vec![]));
    }
}

#[tokio::test]
async fn a_freeze_window_that_opened_since_stops_the_call_unless_it_was_ordered() {
    let always = "freeze: [{ name: always, from: mon 00:00, to: mon 00:00, blocks: [rollback] }]\n";
    let heeds = |rollback, commit| Freeze { rollback, commit };
    for (heeds, stops) in [
        (heeds(true, false), true),
        (heeds(true, true), true),
        (heeds(false, true), false),
        (heeds(false, false), false),
    ] {
        let mandate = Mandate { heeds, ..Mandate::default() };
        let scene = Scene { freeze: always, mandate, ..Scene::new() };
        let (performed, sent, _) = scene.perform(create(), showing(fitting(&create()))).await;
        let is_stopped = performed.answer == Answer::NotSent(Guard::Frozen);
        assert_eq!((is_stopped, sent.is_empty()), (stops, stops), "{heeds:?}");
    }
}

#[tokio::test]
async fn what_a_person_ordered_is_no_sign_of_a_storm() {
    for (is_asked, answer) in [(false, Some(Answer::NotSent(Guard::Storm))), (true, None)] {
        // Not even one app may want a rollback.
        let mandate = Mandate { is_asked, ..Mandate::default() };
        let scene = Scene { most: 0, mandate, ..Scene::new() };
        let (performed, sent, _) = scene.perform(create(), showing(fitting(&create()))).await;
        assert_eq!(sent.is_empty(), answer.is_some());
        assert!(answer.is_none_or(|answer| answer == performed.answer));
    }
}

#[tokio::test]
async fn what_a_configuration_withholds_by_now_stops_what_leads_to_a_rollback_and_nothing_that_ends_one() {
    let unasked = || Mandate { unasked: Some("down".into()), ..Mandate::default() };
    let (asks, leaves) = (
        || Scene { mode: "approve", mandate: unasked(), ..Scene::new() },
        || Scene { has_left: true, mandate: unasked(), ..Scene::new() },
    );
    for effect in every() {
        let is_end = matches!(effect, Effect::Unpin | Effect::Commit { .. } | Effect::Revert { .. });
        for scene in [asks(), leaves()] {
            let (performed, sent, _) = scene.perform(effect.clone(), showing(fitting(&effect))).await;
            let is_stopped = performed.answer == Answer::NotSent(Guard::Observe);
            assert_eq!((is_stopped, sent.is_empty()), (!is_end, !is_end), "{effect:?}");
        }
        // A person has said yes, or the rule needs none.
        for (mode, mandate) in [("approve", Mandate::default()), ("enforce", unasked())] {
            let scene = Scene { mode, mandate, ..Scene::new() };
            let (_, sent, _) = scene.perform(effect.clone(), showing(fitting(&effect))).await;
            assert_eq!(sent.len(), 1, "{effect:?}");
        }
    }
    // A rollback from our own rollback.
    for scene in [asks(), leaves()] {
        let scene = Scene { mandate: Mandate { is_return: true, ..unasked() }, ..scene };
        assert_eq!(scene.perform(create(), showing(fitting(&create()))).await.1, ["create_rollback"]);
    }
}
