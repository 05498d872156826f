mod ready;

use super::*;
use crate::decision::effect::Reason;
use crate::decision::policy::Action;
use crate::decision::policy::Mode;
use crate::decision::story::UNARMED;
use crate::power::{Outlook, Prospect};
use crate::server::{Obstacle, RollbackStatus};
use crate::telling::app::{deployments, readiness};

fn app(name: &str, state: &str) -> AppStatus {
    let now = now();
    AppStatus {
        id: "4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf".into(),
        state: state.to_owned(),
        live_deployment: Some("b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d".into()),
        last_good_deployment: Some("b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d".into()),
        platform_read_at: Some(now),
        rules: vec![
            rule("down", "bad at 3 failures in a row", "good", "0 failures in a row, limit 3"),
            rule(
                "slow",
                "bad when p95 is above 800ms over 2m, from 20 samples on",
                "good",
                "p95 is 43ms over 60 samples, limit 800ms",
            ),
        ],
        probes: vec![ProbeStatus {
            name: "home".into(),
            url: "https://checkout.example.com/healthz".to_owned(),
            result: Some("good".to_owned()),
            detail: None,
            complaint: None,
            latency_seconds: Some(0.0314),
            at: Some(now - jiff::SignedDuration::from_millis(1_200)),
        }],
        ..crate::server::made::app(name)
    }
}

fn rule(name: &str, condition: &str, verdict: &str, evidence: &str) -> RuleStatus {
    RuleStatus {
        name: name.into(),
        condition: condition.to_owned(),
        verdict: verdict.to_owned(),
        value: Some(0.0),
        threshold: 3.0,
        samples: 12,
        evidence: evidence.to_owned(),
        only_tells: false,
        told_at: None,
    }
}

fn now() -> Timestamp {
    "2026-11-21T02:15:09Z".parse().unwrap()
}

fn soaking() -> AppStatus {
    AppStatus {
        incident: Some("checkout-1a2b3c4d".into()),
        stage: Some("soaking".to_owned()),
        soak_remaining_seconds: Some(492.0),
        live_deployment: Some("d3aa1111-7d6a-4f3c-8b7e-0d1f2a3b4c5d".into()),
        pinned_deployment: Some("d3aa1111-7d6a-4f3c-8b7e-0d1f2a3b4c5d".into()),
        ..app("checkout", "incident")
    }
}

fn awaiting() -> AppStatus {
    let mut app = AppStatus {
        mode: Mode::Approve,
        incident: Some("billing-00ff00ff".into()),
        stage: Some("awaiting_approval".to_owned()),
        waiting: Some("awaiting_approval".to_owned()),
        approve_by: Some(now() + jiff::SignedDuration::from_secs(1_632)),
        target_deployment: Some("e3aa1111-7d6a-4f3c-8b7e-0d1f2a3b4c5d".into()),
        live_deployment: Some("e4bb2222-7d6a-4f3c-8b7e-0d1f2a3b4c5d".into()),
        ..app("billing", "incident")
    };
    app.rules[0] = rule("down", "bad at 3 failures in a row", "bad", "5 failures in a row, limit 3");
    app.rules[1].verdict = "unknown".to_owned();
    app.rules[1].evidence = "nothing measured".to_owned();
    app.probes[0].result = Some("status".to_owned());
    app.probes[0].detail = Some("503".to_owned());
    app
}

#[test]
fn a_pause_of_pushes_that_is_still_owed_its_end_is_no_calm_line() {
    let app =
        AppStatus { pushes_paused: true, waiting: Some("observe_mode".to_owned()), ..app("shop", "steady") };
    let text = render(&[app], &Last::new(), Page::plain(100), now());
    assert!(text.contains("pushes   rearguard keeps pushes from being deployed"), "{text}");
    assert!(text.contains("waits    "), "{text}");
}

#[test]
fn an_app_in_trouble_gets_a_block_and_a_calm_one_a_line() {
    let held = AppStatus {
        incident: Some("web-99aa00bb".into()),
        waiting: Some("soak_unknown".to_owned()),
        platform_fault: Some("denied".to_owned()),
        platform_read_at: Some(now() - jiff::SignedDuration::from_secs(754)),
        blind: Some("control".to_owned()),
        paused: true,
        ..app("web", "held")
    };
    let watching = AppStatus {
        watch_remaining_seconds: Some(1_503.0),
        last_good_deployment: Some("a0000000-7d6a-4f3c-8b7e-0d1f2a3b4c5d".into()),
        ..app("search", "watching")
    };
    let mut quiet = app("mail", "steady");
    quiet.mode = Mode::Observe;
    quiet.rules[1].verdict = "unknown".to_owned();
    let apps = [app("catalog", "steady"), quiet, watching, held, awaiting(), soaking()];
    insta::assert_snapshot!(render(&apps, &Last::new(), Page::plain(100), now()), @r#"
    6 apps: 2 in an incident, 1 held, 1 watching, 2 steady; 1 paused

    INCIDENT  billing  approve on ocean
      stage    awaiting approval
      waits    a person is asked
      target   e3aa1111-7d6a-4f3c-8b7e-0d1f2a3b4c5d
      until    2026-11-21 02:42:21 UTC, 27m 12s left; then it is held
      live     e4bb2222-7d6a-4f3c-8b7e-0d1f2a3b4c5d
      good     b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d, the newest seen to be good
      rules    BAD     down  5 failures in a row, limit 3
                       bad at 3 failures in a row
               unknown slow  nothing measured
                       bad when p95 is above 800ms over 2m, from 20 samples on
      probes   status  home  503  31 ms  1.2s ago  https://checkout.example.com/healthz
      next     rearguard approve billing-00ff00ff --target e3aa1111-7d6a-4f3c-8b7e-0d1f2a3b4c5d
      next     rearguard reject billing-00ff00ff
      next     rearguard explain billing-00ff00ff

    INCIDENT  checkout  enforce on ocean
      stage    soaking, 8m 12s left
      live     d3aa1111-7d6a-4f3c-8b7e-0d1f2a3b4c5d
      pinned   d3aa1111-7d6a-4f3c-8b7e-0d1f2a3b4c5d; pushes are not deployed until this rollback is
               settled
      good     b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d, the newest seen to be good
      rules    good    down  0 failures in a row, limit 3
               good    slow  p95 is 43ms over 60 samples, limit 800ms
      probes   good    home  31 ms  1.2s ago  https://checkout.example.com/healthz
      next     rearguard explain checkout-1a2b3c4d
      next     rearguard commit checkout    or    rearguard revert checkout

    HELD  web  PAUSED  enforce on ocean
      why      nobody could tell whether the rolled-back app is healthy
      blind    the control probes fail too: it may be this machine's own network, so nothing is rolled
               back
      platform refuses our token; last read 12m 34s ago
      live     b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d, seen to be good
      rules    good    down  0 failures in a row, limit 3
               good    slow  p95 is 43ms over 60 samples, limit 800ms
      probes   good    home  31 ms  1.2s ago  https://checkout.example.com/healthz
      next     rearguard explain web-99aa00bb
      next     rearguard resume web

    WATCHING  search  enforce on ocean
      stage    watching the new deployment, 25m 03s left
      live     b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d
      good     a0000000-7d6a-4f3c-8b7e-0d1f2a3b4c5d, the newest seen to be good
      rules    good    down  0 failures in a row, limit 3
               good    slow  p95 is 43ms over 60 samples, limit 800ms
      probes   good    home  31 ms  1.2s ago  https://checkout.example.com/healthz

    steady  catalog  live b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d  2 rules good       probed 1.2s ago  enforce
    steady  mail     live b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d  1 of 2 rules good  probed 1.2s ago  observe
    "#);
}

#[test]
fn of_a_pin_only_that_is_said_which_is_true_where_nothing_but_pushes_is_stopped() {
    let lines = deployments(&soaking());
    let (_, pin) = lines.iter().find(|(label, _)| *label == "pinned").unwrap();
    assert!(pin.contains("pushes are not deployed") && !pin.contains("nothing"), "{pin}");
}

#[test]
fn the_most_urgent_comes_first() {
    let mut blind = app("blind", "steady");
    blind.blind = Some("control_failed".to_owned());
    let apps = [
        app("s", "steady"),
        app("l", "learning"),
        blind,
        app("w", "watching"),
        app("h", "held"),
        app("i", "incident"),
    ];
    let mut order: Vec<&AppStatus> = apps.iter().collect();
    order.sort_by_key(|app| urgency(app));
    let names: Vec<&str> = order.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, ["i", "h", "blind", "w", "l", "s"]);
}

#[test]
fn an_app_that_was_just_added_shows_what_is_not_known() {
    let mut fresh = app("new", "learning");
    fresh.live_deployment = None;
    fresh.last_good_deployment = None;
    fresh.rules.truncate(1);
    fresh.rules[0].value = None;
    fresh.rules[0].verdict = "unknown".to_owned();
    fresh.rules[0].samples = 0;
    fresh.probes[0] =
        ProbeStatus { result: None, latency_seconds: None, at: None, ..fresh.probes[0].clone() };
    insta::assert_snapshot!(render(&[fresh], &Last::new(), Page::plain(100), now()), @r#"
    1 app: 1 learning

    LEARNING  new  enforce on ocean
      stage    getting to know the live deployment
      live     not known
      good     none seen yet
      rules    unknown down  0 failures in a row, limit 3
                       bad at 3 failures in a row
      probes   silent  home  https://checkout.example.com/healthz
    "#);
}

#[test]
fn what_leaves_nobody_able_to_tell_is_named() {
    let mut shop = app("shop", "watching");
    shop.blind = Some("dependency".to_owned());
    shop.blind_because = Some("it depends on database, which fails (connect)".to_owned());
    shop.probes[0].result = Some("unknown".to_owned());
    shop.probes[0].detail = Some("absent".to_owned());
    shop.probes[0].complaint = Some("no number, only NaN".to_owned());
    let page = render(&[shop.clone()], &Last::new(), Page::plain(200), now());
    let line = |label: &str| page.lines().find(|line| line.trim_start().starts_with(label)).map(str::trim);
    let blind = "blind    it depends on database, which fails (connect), so nothing is rolled back";
    assert_eq!(line("blind"), Some(blind), "{page}");
    let probes = line("probes").expect("a line");
    assert!(probes.starts_with("probes   unknown home  absent  no number, only NaN  31 ms"), "{page}");
    shop.blind_because = None;
    let page = render(&[shop], &Last::new(), Page::plain(200), now());
    assert!(page.contains("what the app depends on is not well either, so nothing is rolled back"), "{page}");
}

#[test]
fn colours_are_there_only_when_asked_for() {
    let plain = render(&[awaiting(), soaking()], &Last::new(), Page::plain(100), now());
    let coloured = render(&[awaiting(), soaking()], &Last::new(), Page { width: 100, colour: true }, now());
    assert!(plain.is_ascii() && !plain.contains('\x1b'));
    let mut stripped = coloured.clone();
    for code in ["1", "2", "1;31", "33", "32", "0"] {
        stripped = stripped.replace(&format!("\x1b[{code}m"), "");
    }
    assert_eq!(stripped, plain, "colours move nothing");
    assert_ne!(coloured, plain);
}

#[test]
fn nothing_guarded_is_said_in_words() {
    assert!(render(&[], &Last::new(), Page::plain(100), now()).starts_with("no app is guarded"));
}

fn refused() -> IncidentRecord {
    serde_json::from_value(serde_json::json!({
        "id": "shop-1a2b3c4d", "app": "shop", "app_id": "1", "state": "closed", "outcome": "refused",
        "reason": "cooldown", "rule": "down", "opened_at": "2026-11-21T02:00:00Z",
        "closed_at": "2026-11-21T02:10:09Z", "bad_deployment": "d2", "target_deployment": null,
        "rollback_deployment": null, "time_to_detect_seconds": 6.0, "time_to_restore_seconds": null,
    }))
    .expect("a record")
}

#[test]
fn an_app_that_is_bad_and_in_no_incident_names_its_last_one() {
    let mut bad = app("shop", "steady");
    bad.rules[0] = rule("down", "bad at 3 failures in a row", "bad", "22 failures in a row, limit 3");
    let incident = refused();
    let text = block(&bad, Some(&incident), Page::plain(100), now());
    let last = "  last     shop-1a2b3c4d: refused 5m 00s ago, too soon after the last rollback\n";
    assert!(text.contains(last), "{text}");
    assert!(text.ends_with("  next     rearguard explain shop-1a2b3c4d\n"), "{text}");
    let detail = Some("unknown_deployment".to_owned());
    let misnamed = IncidentRecord { reason: Reason::NoTarget, detail, ..incident };
    let text = block(&bad, Some(&misnamed), Page::plain(200), now());
    assert!(text.contains("refused 5m 00s ago, the app has no such deployment among those"), "{text}");
}

#[tokio::test]
async fn the_last_incident_stays_unless_a_newer_release_is_live() {
    // Whatever is asked: the incident of d2, which was gone back from by d3, and after it an order to what is not there.
    let last = r#"{"incidents":[{"id":"shop-7cfa8179","app":"shop","app_id":"1","state":"closed","outcome":"refused",
        "reason":"no_target","detail":"unknown_deployment","rule":null,"asked_by":"kim","opened_at":"2026-11-21T02:12:00Z",
        "closed_at":"2026-11-21T02:12:00Z","bad_deployment":"d9","target_deployment":null,"rollback_deployment":null,
        "time_to_detect_seconds":null,"time_to_restore_seconds":null},
        {"id":"shop-1a2b3c4d","app":"shop","app_id":"1","state":"closed","outcome":"reverted",
        "reason":"requested","rule":"down","opened_at":"2026-11-21T02:00:00Z","closed_at":"2026-11-21T02:10:09Z",
        "bad_deployment":"d2","target_deployment":"d1","rollback_deployment":"d3","time_to_detect_seconds":6.0,
        "time_to_restore_seconds":null}]}"#;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Some(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut vec![0; 4096]).await.unwrap();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", last.len());
            stream.write_all(format!("{head}{last}").as_bytes()).await.unwrap();
        }
    });
    let client = Client::open(&crate::cli::ServerArgs { server, config: None }).unwrap();
    let live = |id: Option<&str>, newer_release: bool| {
        let mut app =
            AppStatus { newer_release, live_deployment: id.map(Into::into), ..app("shop", "steady") };
        app.rules[0].verdict = "bad".to_owned();
        app
    };
    for (what, app, is_told) in [
        ("the accused one", live(Some("d2"), false), true),
        ("the rollback", live(Some("d3"), false), true),
        ("what a revert made, a restart, an upkeep", live(Some("d4"), false), true),
        ("not known", live(None, false), true),
        ("of which the ledger has forgotten the incident", live(Some("d2"), true), true),
        ("a newer release", live(Some("d5"), true), false),
    ] {
        let last = super::last(&client, std::slice::from_ref(&app)).await;
        let told = last.get(&app.name).map(|incident| incident.id.as_str());
        assert_eq!(told, is_told.then_some("shop-1a2b3c4d"), "{what}");
    }
    let fine = app("shop", "steady");
    assert!(super::last(&client, &[fine]).await.is_empty(), "nothing to explain");
}

#[test]
fn only_an_order_to_what_is_nothing_to_go_back_to_says_nothing_of_the_app() {
    let order = |by: Option<&str>, detail: Option<&str>| IncidentRecord {
        reason: Reason::NoTarget,
        asked_by: by.map(|by| serde_json::from_value(by.into()).expect("a name")),
        detail: detail.map(str::to_owned),
        ..refused()
    };
    assert!(order(Some("kim"), Some("never_live")).is_misnamed());
    // Nobody named one: there is none.
    assert!(!order(Some("kim"), None).is_misnamed());
    assert!(!order(None, Some("never_live")).is_misnamed());
}

#[test]
fn a_storm_is_said_first_with_what_ends_it() {
    let said = storm_in_words(Page::plain(100));
    assert!(said.starts_with("STORM  ") && said.contains("next     rearguard resume --all\n"), "{said}");
}

#[test]
fn what_could_be_noticed_is_said_in_a_watch_and_in_short_of_a_calm_app() {
    let outlook = |failing: f64, in_words: &str| Outlook {
        probe: None,
        action: Action::Rollback,
        within_seconds: 1_800.0,
        shares: vec![Prospect { failing, seconds: 1_000.0, found: 0.75, rule: "worse".into() }],
        instances: Vec::new(),
        slow: None,
        in_words: in_words.to_owned(),
    };
    let words = "all requests failing: noticed in about 3s; half of them: 14s; 20 %: 29s; 6 %: 17m 40s, 2 of 10 never; \
                 less: not within this watch (30m); one broken instance of several, asked in turn: not";
    let notices = |app: AppStatus, failing: f64| AppStatus {
        detection: Some(vec![outlook(failing, words), outlook(0.01, "a second sentence")]),
        ..app
    };
    let watching = AppStatus { watch_remaining_seconds: Some(1_503.0), ..app("search", "watching") };
    let apps = [
        notices(watching, 0.06),
        notices(app("catalog", "steady"), 0.06),
        notices(app("blunt", "steady"), 1.0),
        app("mail", "steady"),
    ];
    insta::assert_snapshot!(render(&apps, &Last::new(), Page::plain(100), now()), @r#"
    4 apps: 1 watching, 3 steady

    WATCHING  search  enforce on ocean
      stage    watching the new deployment, 25m 03s left
      live     b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d, seen to be good
      rules    good    down  0 failures in a row, limit 3
               good    slow  p95 is 43ms over 60 samples, limit 800ms
      notices  all requests failing: noticed in about 3s; half of them: 14s; 20 %: 29s; 6 %: 17m 40s, 2
               of 10 never; less: not within this watch (30m); one broken instance of several, asked in
               turn: not
               a second sentence
      probes   good    home  31 ms  1.2s ago  https://checkout.example.com/healthz

    steady  blunt    live b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d  2 rules good  notices no partial failure  probed 1.2s ago  enforce
    steady  catalog  live b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d  2 rules good  notices 6 % failing         probed 1.2s ago  enforce
    steady  mail     live b2c53f0e-7d6a-4f3c-8b7e-0d1f2a3b4c5d  2 rules good                              probed 1.2s ago  enforce
    "#);
    // What is done about a bad one is more urgent.
    let urgent = render(&[notices(soaking(), 0.06)], &Last::new(), Page::plain(100), now());
    assert!(!urgent.contains("notices"), "{urgent}");
}

#[test]
fn what_stands_in_status_fits_the_page_down_to_sixty_columns() {
    for width in [60, 80, 99] {
        let text = render(
            &[app("catalog", "steady"), awaiting(), soaking()],
            &Last::new(),
            Page::plain(width),
            now(),
        );
        let text = format!("{}{text}", storm_in_words(Page::plain(width)));
        let lines = text.lines().filter(|line| line.split_whitespace().count() > 1);
        let long: Vec<&str> = lines.filter(|line| line.chars().count() > width).collect();
        assert!(long.is_empty(), "{width}: {long:#?}");
    }
}
