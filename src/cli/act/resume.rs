//! What a person is told who resumed: what is over, and what still keeps hands off.

use jiff::Timestamp;

use super::Error;
use crate::decision::policy::Mode;
use crate::server::{AppStatus, RuleStatus};
use crate::telling::app::frozen_how;
use crate::telling::page::clean;

/// Of one app, as it was before the word and as it is after it. One that is paused all the same was not resumed, which is a
/// failure.
pub(super) fn one_is(before: &AppStatus, after: &AppStatus, now: Timestamp) -> Result<String, Error> {
    let app = &before.name;
    let (was_paused, was_held) = (before.paused, before.state == "held");
    let over = match (was_paused, was_held) {
        (true, _) => "its pause is over",
        (false, true) if before.pushes_paused => {
            "its hold is over, and pushes that rearguard kept from being deployed are let go"
        }
        (false, true) => "its hold is over, and what is pinned is yours to settle",
        (false, false) => return Ok(format!("{app} was neither paused nor held\n")),
    };
    let mut left = still(after, now);
    // A word ends one of them, and the pause comes first.
    if was_paused && was_held {
        left.push(format!("it is still held: `rearguard resume {app}` once more ends that"));
    }
    if after.paused {
        let message = format!("{app}: {over}, and it is still paused:\n{}", listed(&left));
        return Err(still_paused(&message));
    }
    let live = is_live(after).unwrap_or_default();
    if left.is_empty() {
        return Ok(format!("{app} is guarded again: {over}\n{live}"));
    }
    Ok(format!("{app}: {over}, and it is not wholly guarded yet:\n{}{live}", listed(&left)))
}

/// Of all of them, after the word. An app that is paused all the same was not resumed, which is a failure.
pub(super) fn all_are(apps: &[AppStatus], now: Timestamp) -> Result<String, Error> {
    let over = "the pause of everything is over and the storm breaker is closed";
    let paused: Vec<String> = apps.iter().filter(|app| app.paused).map(|app| app.name.to_string()).collect();
    let mut left = Vec::new();
    for app in apps {
        let held = (app.state == "held").then(|| format!("held: `rearguard resume {}` ends that", app.name));
        left.extend(still(app, now).into_iter().chain(held).map(|why| format!("{}: {why}", app.name)));
    }
    let live: String = apps.iter().filter_map(is_live).collect();
    if !paused.is_empty() {
        let who = match (paused.len(), apps.len()) {
            (some, all) if some == all => "every app is still paused".to_owned(),
            (1, _) => format!("{} is still paused", paused[0]),
            (some, all) => format!("{some} of {all} apps are still paused"),
        };
        let message = format!(
            "the storm breaker is closed and nobody's word pauses everything, but {who}:\n{}{live}",
            listed(&left)
        );
        return Err(still_paused(&message));
    }
    if left.is_empty() {
        return Ok(format!("{over}\n{live}"));
    }
    Ok(format!("{over}; what still keeps hands off:\n{}{live}", listed(&left)))
}

fn still_paused(message: &str) -> Error {
    Error::Refused { code: "still_paused".to_owned(), message: message.trim_end().to_owned() }
}

/// The pause and the freeze that are in force for an app.
fn still(app: &AppStatus, now: Timestamp) -> Vec<String> {
    let mut left = Vec::new();
    if app.paused {
        let pause = app.pause.as_ref();
        let file = pause.and_then(|pause| pause.file.as_deref());
        left.push(match pause.map(|pause| pause.scope.as_str()) {
            Some("everything") => "everything is paused: `rearguard resume --all` ends that".to_owned(),
            Some("file") => match file {
                Some(file) => format!("paused by the file `{}` beside the journal; remove it", clean(file)),
                // A daemon of an earlier release does not say which.
                None => {
                    format!(
                        "paused by a file beside the journal, `paused` or `paused-{}`; remove it",
                        app.name
                    )
                }
            },
            Some("unknown") => "paused until the journal can be read".to_owned(),
            _ => format!("paused: `rearguard resume {}` ends that", app.name),
        });
    }
    left.extend(app.freeze.as_ref().map(|freeze| format!("frozen: {}", frozen_how(freeze, now))));
    left
}

/// What has happened already is not undone by a word, which guards what comes. A pause keeps from what a person orders as well.
fn is_live(app: &AppStatus) -> Option<String> {
    let is_at_rest = matches!(app.state.as_str(), "steady" | "learning");
    let is_accused = app.mode != Mode::Observe && app.rules.iter().any(RuleStatus::accuses);
    (is_at_rest && is_accused && !app.paused).then(|| {
        let name = &app.name;
        format!(
            "{name}: what is live is bad, and is not rolled back by itself: `rearguard status {name}` says why, `rearguard \
             rollback {name}` orders one\n"
        )
    })
}

fn listed(left: &[String]) -> String {
    left.iter().map(|why| format!("  {why}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::made::app;
    use crate::server::{FreezeStatus, PauseStatus};

    fn now() -> Timestamp {
        "2026-11-21T02:15:09Z".parse().unwrap()
    }

    fn paused(scope: &str) -> AppStatus {
        let pause = PauseStatus { scope: scope.to_owned(), by: None, since: None, until: None, file: None };
        AppStatus { paused: true, pause: Some(pause), ..app("shop") }
    }

    fn frozen() -> AppStatus {
        let until = Some("2026-11-21T06:15:09Z".parse().unwrap());
        let freeze = FreezeStatus { rollback: true, commit: false, windows: vec!["night".to_owned()], until };
        AppStatus { freeze: Some(freeze), ..app("shop") }
    }

    #[test]
    fn that_what_is_live_is_bad_and_has_had_its_incident_is_said_with_it() {
        let bad = |state: &str, incident: Option<&str>| {
            let mut app =
                AppStatus { state: state.to_owned(), incident: incident.map(Into::into), ..app("shop") };
            app.rules[0].verdict = "bad".to_owned();
            app
        };
        let mut only_told = bad("steady", None);
        only_told.rules[0].only_tells = true;
        for (after, is_said) in [
            (bad("steady", None), true),
            (bad("learning", None), true),
            (bad("watching", None), false),
            (bad("incident", Some("shop-1a2b3c4d")), false),
            (AppStatus { mode: Mode::Observe, ..bad("steady", None) }, false),
            (only_told, false),
        ] {
            let said = one_is(&paused("app"), &after, now()).unwrap();
            assert!(
                said.starts_with("shop is guarded again: its pause is over\n"),
                "the next one is: {said}"
            );
            let words = "\nshop: what is live is bad, and is not rolled back by itself";
            assert_eq!(said.contains(words), is_said, "{said}");
            assert_eq!(
                all_are(std::slice::from_ref(&after), now()).unwrap().contains(words),
                is_said,
                "{said}"
            );
        }
    }

    #[test]
    fn what_is_live_and_bad_is_said_also_where_another_app_is_still_paused_and_not_of_one_that_is() {
        let bad = |mut app: AppStatus| {
            app.state = "steady".to_owned();
            app.rules[0].verdict = "bad".to_owned();
            app
        };
        let other = AppStatus { name: "web".into(), ..bad(paused("file")) };
        let said = all_are(&[bad(app("shop")), other], now()).unwrap_err().to_string();
        assert!(said.contains("web is still paused:\n"), "{said}");
        assert!(said.contains("\nshop: what is live is bad"), "{said}");
        assert!(!said.contains("web: what is live is bad"), "{said}");
    }

    #[test]
    fn an_app_is_said_to_be_guarded_again_only_where_nothing_else_keeps_hands_off() {
        let held = AppStatus { state: "held".to_owned(), ..app("shop") };
        let was_both = AppStatus { state: "held".to_owned(), ..paused("app") };
        let told = |before: &AppStatus, after: &AppStatus| one_is(before, after, now()).unwrap();
        assert_eq!(told(&app("shop"), &app("shop")), "shop was neither paused nor held\n");
        let said = told(&paused("app"), &app("shop"));
        assert_eq!(said, "shop is guarded again: its pause is over\n");
        let said = told(&held, &app("shop"));
        assert_eq!(said, "shop is guarded again: its hold is over, and what is pinned is yours to settle\n");
        for (before, after, why) in [
            (
                paused("app"),
                frozen(),
                "no restart, rollback or revert unless you order it; night ends in 4h 00m",
            ),
            (held.clone(), frozen(), "night ends in 4h 00m"),
            (was_both, held, "`rearguard resume shop` once more"),
        ] {
            let said = told(&before, &after);
            assert!(said.contains("not wholly guarded yet") && said.contains(why), "{why}: {said}");
            assert!(!said.contains("guarded again"), "{said}");
        }
    }

    #[test]
    fn who_resumes_an_app_that_goes_on_being_paused_is_told_by_what_and_fails() {
        let by_file = |name: &str| {
            let mut app = paused("file");
            app.pause.as_mut().unwrap().file = Some(name.to_owned());
            app
        };
        for (after, why) in [
            (paused("everything"), "rearguard resume --all"),
            (by_file("paused"), "paused by the file `paused` beside the journal; remove it"),
            (by_file("paused-shop"), "paused by the file `paused-shop` beside the journal; remove it"),
            (paused("file"), "`paused` or `paused-shop`; remove it"),
            (paused("unknown"), "until the journal can be read"),
        ] {
            let failed = one_is(&paused("app"), &after, now()).unwrap_err();
            assert_eq!(failed.exit_code(), crate::cli::ExitCode::Failed);
            let said = failed.to_string();
            assert!(said.starts_with("shop: its pause is over, and it is still paused:\n  "), "{said}");
            assert!(said.contains(why), "{why}: {said}");
        }
    }

    #[test]
    fn who_resumes_everything_is_told_what_is_left_and_of_whom() {
        let over = "the pause of everything is over and the storm breaker is closed";
        assert_eq!(all_are(&[app("shop")], now()).unwrap(), format!("{over}\n"));
        let held = AppStatus { state: "held".to_owned(), ..app("web") };
        let said = all_are(&[frozen(), held, app("mail")], now()).unwrap();
        assert!(
            said.starts_with(&format!("{over}; what still keeps hands off:\n  shop: frozen: ")),
            "{said}"
        );
        assert!(said.ends_with("  web: held: `rearguard resume web` ends that\n"), "{said}");
        assert!(!said.contains("mail"), "{said}");
    }

    #[test]
    fn who_resumes_everything_while_files_pause_is_told_so_and_fails() {
        let other = AppStatus { name: "mail".into(), ..paused("file") };
        for (apps, who) in [
            (vec![paused("file")], "every app is still paused"),
            (vec![paused("file"), app("web")], "shop is still paused"),
            (vec![paused("file"), app("web"), other], "2 of 3 apps are still paused"),
        ] {
            let failed = all_are(&apps, now()).unwrap_err();
            assert_eq!(failed.exit_code(), crate::cli::ExitCode::Failed);
            let said = failed.to_string();
            assert!(said.contains(who) && said.contains("`paused` or `paused-shop`; remove it"), "{said}");
            assert!(!said.contains("is over"), "{said}");
        }
    }
}
