//! Whether an app could be rolled back now, and to what.

use super::*;

fn unready(reason: &str, detail: Option<&str>) -> AppStatus {
    let rollback = RollbackStatus {
        ready: false,
        reason: Some(reason.to_owned()),
        detail: detail.map(str::to_owned),
        beside: None,
        target_deployment: None,
        target_title: None,
        picked_by: None,
        target_created_at: None,
        warnings: Vec::new(),
        checked_by: None,
        expected_seconds: None,
        asked_at: None,
    };
    AppStatus { rollback: Some(rollback), ..app("shop", "steady") }
}

#[test]
fn why_an_app_is_not_ready_is_said_in_words_and_by_its_code() {
    let cases = [
        ("no_target", None, "there is no deployment to go back to"),
        (
            "no_target",
            Some("platform_picks_other"),
            "there is no deployment to go back to: the platform would go back to something else than what was seen to \
             be good (platform_picks_other)",
        ),
        (
            "not_valid",
            Some("database_config_conflict"),
            "the platform would not accept the rollback (database_config_conflict)",
        ),
        ("not_valid", Some(UNARMED), UNARMED),
        (
            "cooldown",
            None,
            "too soon after the last rollback; who orders a rollback does not have to wait for that",
        ),
        (
            "budget",
            None,
            "too many rollbacks in the period; who orders a rollback does not have to wait for that",
        ),
    ];
    for (reason, detail, words) in cases {
        let app = unready(reason, detail);
        assert!(!is_calm(&app), "{reason}");
        let line = readiness(app.rollback.as_ref().unwrap(), now());
        assert_eq!(line, format!("NOT READY: {words}"));
    }
}

#[test]
fn what_else_is_in_the_way_of_an_order_is_said_with_a_limit_of_time() {
    let said = |reason: &str, detail: Option<&str>| {
        let beside = Some(Obstacle { reason: reason.to_owned(), detail: detail.map(str::to_owned) });
        let asked_at = Some(now() - jiff::SignedDuration::from_secs(89));
        let status = unready("cooldown", None).rollback.expect("a status");
        readiness(&RollbackStatus { beside, asked_at, ..status }, now())
    };
    let limit = "NOT READY: too soon after the last rollback; who orders a rollback does not wait for that, ";
    for (reason, detail, words) in [
        (
            "not_valid",
            Some("database_config_conflict"),
            "but there is another obstacle: the platform would not accept the rollback (database_config_conflict), asked 1m \
             29s ago",
        ),
        (
            "no_target",
            None,
            "but there is another obstacle: there is no deployment to go back to, asked 1m 29s ago",
        ),
        // Whatever it is.
        ("denied", None, "but there is another obstacle: the platform refuses our token, asked 1m 29s ago"),
        ("blind", None, "and what else is in the way is not known"),
    ] {
        assert_eq!(said(reason, detail), format!("{limit}{words}"));
    }
}

#[test]
fn how_old_an_answer_is_is_said_of_what_was_answered_and_not_of_what_is_so_now() {
    let said = |reason: Option<&str>| {
        let status = unready("in_progress", None).rollback.expect("a status");
        let asked_at = Some(now() - jiff::SignedDuration::from_secs(89));
        readiness(&RollbackStatus { reason: reason.map(str::to_owned), asked_at, ..status }, now())
    };
    // That nothing is in the way besides a limit was answered as well.
    for reason in [None, Some("no_target"), Some("warnings"), Some("blind"), Some("cooldown")] {
        assert!(said(reason).ends_with(", asked 1m 29s ago"), "{reason:?}: {}", said(reason));
    }
    assert_eq!(said(Some("in_progress")), "NOT READY: another deployment is under way");
}

#[test]
fn what_would_be_gone_back_to_is_said_with_what_is_in_the_way_as_far_as_the_answer_is_of_it() {
    let said = |reason: &str| {
        let status = unready(reason, None).rollback.expect("a status");
        readiness(&RollbackStatus { target_deployment: Some("d1".into()), ..status }, now())
    };
    for (reason, is_said) in
        [("migration", true), ("cooldown", true), ("in_progress", false), ("blind", false)]
    {
        assert_eq!(said(reason).ends_with(", target d1"), is_said, "{}", said(reason));
    }
}

#[test]
fn what_is_good_is_not_known_rather_than_not_there_while_the_journal_does_not_work() {
    let unseen = AppStatus { last_good_deployment: None, ..app("shop", "steady") };
    let line = |app: &AppStatus| render(std::slice::from_ref(app), &Last::new(), Page::plain(100), now());
    let learning = AppStatus { state: "learning".to_owned(), ..unseen.clone() };
    assert!(line(&learning).contains("good     none seen yet"), "{}", line(&learning));
    let silent = AppStatus { blind: Some("journal".to_owned()), ..unseen };
    assert!(
        line(&silent).contains("good     not known while the journal does not work"),
        "{}",
        line(&silent)
    );
}

#[test]
fn what_was_good_and_was_left_by_an_order_is_not_said_never_to_have_been_seen() {
    let left = AppStatus {
        last_good_deployment: None,
        left_good_deployment: Some("d1".into()),
        ..app("shop", "steady")
    };
    let lines = deployments(&left);
    let (_, good) = lines.iter().find(|(label, _)| *label == "good").unwrap();
    assert_eq!(good, "none to go back to: d1 was, until it was found to be bad or ordered to be left");
}

#[test]
fn what_is_said_already_is_not_said_again_as_a_readiness() {
    let is_said = |app: &AppStatus| {
        render(std::slice::from_ref(app), &Last::new(), Page::plain(100), now()).contains("NOT READY")
    };
    for reason in ["observe_mode", "paused", "storm", "blind"] {
        assert!(!is_said(&unready(reason, None)), "{reason}");
    }
    assert!(!is_said(&AppStatus { state: "held".to_owned(), ..unready("soak_unknown", None) }));
    assert!(!is_said(&AppStatus { state: "incident".to_owned(), ..unready("in_progress", None) }));
    let denied = AppStatus { platform_fault: Some("denied".to_owned()), ..unready("denied", None) };
    assert!(!is_said(&denied));
    assert!(is_said(&AppStatus { platform_fault: None, ..denied }), "a call was refused, and reads are not");
    let mut old = unready("blind", None);
    old.rollback.as_mut().unwrap().asked_at = Some(now() - jiff::SignedDuration::from_mins(50));
    assert!(is_said(&old));
}
