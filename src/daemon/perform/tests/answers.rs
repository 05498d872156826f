//! What is sent, and what is taken from each answer to it.

use super::*;

#[tokio::test]
async fn each_call_is_sent_once_and_its_answer_taken() {
    let cases = [
        (validate(), Answer::Validated(Validation { valid: true, ..Validation::default() })),
        (pin(), Answer::Pinned),
        (Effect::Unpin, Answer::Unpinned),
        (restart(), Answer::Restarted(deployment("made"))),
        (create(), Answer::Created(deployment("made"))),
        (commit(), Answer::Committed),
        (revert(), Answer::Reverted(Some("made".into()))),
    ];
    for (effect, answer) in cases {
        let scene = Scene::new();
        let (performed, sent, _) = scene.perform(effect.clone(), showing(fitting(&effect))).await;
        assert_eq!((performed.answer, sent), (answer, vec![effect.word()]));
        let (read_at, seen) = performed.view.expect("a fresh read");
        assert!(seen == fitting(&effect) && read_at <= scene.clock.now());
        let calls: Vec<_> = performed.calls.iter().map(|call| call["operation"].clone()).collect();
        assert_eq!(calls.len(), 2);
        assert_eq!((&calls[0], &performed.calls[1]["status"]), (&json!("get_app"), &json!(200)));
    }
}

#[tokio::test]
async fn a_restart_is_of_the_components_that_the_configuration_names() {
    let keys = "    restart_first: 90s\n    restart_components: [web]\n";
    let scene = Scene { keys, ..Scene::new() };
    let (_, sent, _) = scene.perform(restart(), showing(fitting(&restart()))).await;
    assert_eq!(sent, ["restart some"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_not_sent_or_not_answered() {
    let slow = Scripted { read_takes: LIMIT + Duration::from_secs(1), ..showing(fitting(&create())) };
    let (performed, sent, _) = Scene::new().perform(create(), slow).await;
    assert_eq!((performed.answer, sent), (Answer::NotSent(Guard::Interrupted), vec![]));
    // What the read took is not there for the call any more.
    let slow = |call_takes| Scripted {
        read_takes: Duration::from_secs(10),
        call_takes: Duration::from_secs(call_takes),
        ..showing(fitting(&create()))
    };
    let (performed, sent, _) = Scene::new().perform(create(), slow(6)).await;
    assert_eq!((performed.answer, sent), (Answer::Unresolved, vec!["create_rollback"]));
    let (performed, ..) = Scene::new().perform(create(), slow(4)).await;
    assert_eq!(performed.answer, Answer::Created(deployment("made")));
}

#[tokio::test]
async fn each_failure_of_a_call_says_what_is_sure() {
    let not_applied = |why, retry_after| Answer::NotApplied { why, retry_after };
    let wait = Some(Duration::from_secs(7));
    let refused = |status, message: &str| Answer::Refused { status, message: message.to_owned() };
    for effect in every() {
        let settles = matches!(effect, Effect::Commit { .. } | Effect::Revert { .. });
        let gone = if settles { refused(404, "not found") } else { not_applied(Rejection::NotFound, None) };
        let cases = [
            (PlatformError::NotConnected("no".into()), not_applied(Rejection::NotConnected, None), 0),
            (PlatformError::RateLimited { retry_after: wait }, not_applied(Rejection::RateLimited, wait), 0),
            (PlatformError::Denied { status: 403 }, not_applied(Rejection::Denied, None), 1),
            (PlatformError::NotFound, gone, 0),
            (PlatformError::Refused { status: 422, message: "no".into() }, refused(422, "no"), 0),
            (PlatformError::Ambiguous("reset".into()), Answer::Unresolved, 0),
        ];
        for (error, answer, reloads) in cases {
            let platform = Scripted { call_fails: Some(error.clone()), ..showing(fitting(&effect)) };
            let (performed, sent, reloaded) = Scene::new().perform(effect.clone(), platform).await;
            assert_eq!((performed.answer, sent, reloaded), (answer, vec![effect.word()], reloads), "{error}");
            assert_eq!(performed.calls[1]["status"], json!(error.status()));
        }
    }
}
