use super::*;
use crate::config::{Config, PlatformKind};
use crate::decision::policy::Mode;
use crate::ids::PlatformAppId;
use crate::lab::{AppKind, GUARD_TOKEN, Lab, LabConfig, READ_TOKEN, Release, RunningLab, Source};
use crate::platform::inventory::Page;

async fn lab() -> RunningLab {
    crate::platform::http::install_tls();
    let lab = Lab::start(LabConfig::default()).await.unwrap();
    for name in ["shop", "cart"] {
        lab.create_app(name, Release { static_site: name == "cart", ..Release::good("v1") }).unwrap();
    }
    for (name, source) in
        [("blog", Source::PrivateGit), ("wiki", Source::DockerImage), ("docs", Source::StaticSite)]
    {
        lab.create_app_of(name, AppKind::sevalla(source), Release::good("v1")).unwrap();
    }
    lab
}

/// With the token in a file, read-only as it may be.
fn args(lab: &RunningLab, platform: PlatformKind, folder: &tempfile::TempDir) -> InitArgs {
    let file = folder.path().join("token");
    std::fs::write(&file, READ_TOKEN).unwrap();
    let base = lab.base_url.as_str().trim_end_matches('/');
    let api = match platform {
        PlatformKind::DigitalOcean => base.to_owned(),
        PlatformKind::Sevalla => format!("{base}/v3"),
    };
    InitArgs { platform, token_env: None, token_file: Some(file), api: Some(api) }
}

fn understood(text: &str) -> Config {
    config::parse("rearguard.yaml", text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

#[tokio::test]
async fn what_is_printed_for_digitalocean_is_a_configuration_that_only_observes() {
    let (lab, folder) = (lab().await, tempfile::tempdir().unwrap());
    let text = run(&args(&lab, PlatformKind::DigitalOcean, &folder)).await.unwrap();
    let config = understood(&text);
    let apps: Vec<_> = config.apps.iter().map(|app| (app.name.as_str(), app.policy.mode)).collect();
    assert_eq!(apps, [("cart", Mode::Observe), ("shop", Mode::Observe)]);
    let shop = &config.apps[1];
    assert_eq!(shop.id.as_str(), lab.app("shop").unwrap().id);
    let base = lab.base_url.as_str();
    assert_eq!(shop.probes.len(), 1);
    assert_eq!(shop.probes[0].ask.shown(), format!("{base}sites/shop/healthz"));
    assert!(text.contains("the path that the platform's own health check asks"), "{text}");
    assert!(![GUARD_TOKEN, READ_TOKEN].iter().any(|token| text.contains(token)), "{text}");
    // Nothing but reads.
    assert_eq!(lab.ledger().entries.len(), 0);
    lab.stop().await;
}

#[tokio::test]
async fn what_is_printed_for_sevalla_names_applications_and_static_sites_and_what_has_to_be_accepted() {
    let (lab, folder) = (lab().await, tempfile::tempdir().unwrap());
    let text = run(&args(&lab, PlatformKind::Sevalla, &folder)).await.unwrap();
    let config = understood(&text);
    let urls: Vec<_> = config.apps.iter().map(|app| (app.name.as_str(), app.probes[0].ask.shown())).collect();
    assert_eq!(
        urls,
        [
            ("blog", "https://blog.lab.test/healthz".to_owned()),
            ("docs", "https://docs.lab.test/".to_owned()),
            ("wiki", "https://wiki.lab.test/healthz".to_owned())
        ]
    );
    assert_eq!(text.matches("# accept_platform_choice: true").count(), 1, "{text}");
    // Taken at its word, it still is one.
    let accepting = text.replace("# accept_platform_choice: true", "accept_platform_choice: true");
    assert!(understood(&accepting).apps[0].policy.accept_platform_choice);
    lab.stop().await;
}

#[tokio::test]
async fn a_token_that_is_refused_and_one_that_is_not_there_are_named_and_never_shown() {
    let (lab, folder) = (lab().await, tempfile::tempdir().unwrap());
    let args = args(&lab, PlatformKind::DigitalOcean, &folder);
    std::fs::write(args.token_file.as_ref().unwrap(), "hunter2-is-no-token").unwrap();
    let error = run(&args).await.unwrap_err();
    assert!(error.to_string().contains("check the token"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let missing = InitArgs { token_file: Some(folder.path().join("nothing")), ..args };
    let error = run(&missing).await.unwrap_err();
    assert!(error.to_string().contains("read the token"), "{error}");
    lab.stop().await;
}

#[test]
fn what_is_wrong_with_the_words_is_said_as_the_configuration_would_say_it() {
    let args = |token_env: &str, api: Option<&str>| InitArgs {
        platform: PlatformKind::DigitalOcean,
        token_env: Some(token_env.to_owned()),
        token_file: None,
        api: api.map(str::to_owned),
    };
    let said = |args: &InitArgs| account(args).unwrap_err().to_string();
    let token = said(&args("dop_v1_hunter2 with blanks", None));
    assert!(token.starts_with("token_env: ") && !token.contains("hunter2"), "{token}");
    assert!(said(&args("TOKEN", Some("ftp://x"))).starts_with("api: "));
    assert!(account(&args("TOKEN", None)).is_ok());
}

#[test]
fn whatever_a_platform_calls_its_apps_the_configuration_is_valid() {
    let page = |component: &str, url: &str| Page {
        component: component.to_owned(),
        url: url.to_owned(),
        is_health_check: false,
    };
    let found = |id: &str, name: &str, pages: Vec<Page>| Found {
        id: PlatformAppId::from(id),
        name: name.to_owned(),
        tells_health: pages.is_empty() && id != "a3",
        platform_picks: true,
        pages,
        notes: vec!["it has no public address"],
    };
    let strange = [
        found(
            "a1",
            "on",
            vec![page("web", "https://x.example/a"), page("web", "https://x.example/?q=\"#\"")],
        ),
        found("a2", "worker\n  - name: evil\n    id: x", Vec::new()),
        found("a3", "left\nout: yes", Vec::new()),
        found("1e3", "on", vec![page("", "https://x.example/'%20{}")]),
    ];
    let args = InitArgs {
        platform: PlatformKind::DigitalOcean,
        token_env: Some("TOKEN".to_owned()),
        token_file: None,
        api: None,
    };
    let text = written::configuration(&args, &strange);
    let config = understood(&text);
    let names: Vec<_> = config.apps.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, ["app-on", "worker-----name--evil-----id--x", "app-on-2"], "{text}");
    let ids: Vec<_> = config.apps.iter().map(|app| app.id.as_str()).collect();
    assert_eq!(ids, ["a1", "a2", "1e3"]);
    assert!(config.apps.iter().all(|app| app.policy.mode == Mode::Observe));
    assert_eq!(config.apps[0].policy.rules.len(), 4);
    assert!(text.contains("# Left out: left out: yes: it has no public address"), "{text}");
}
