//! What can be wrong with a channel.

use super::{MINIMAL, are_named, problems};
use crate::config::notify::{CarrierConfig, SmtpTls, UrlSource};
use crate::config::{TokenSource, parse, summary};

fn told(channel: &str) -> String {
    format!("{MINIMAL}notify:\n  - {{ name: ops, {channel} }}\n")
}

const HOOK: &str = "kind: webhook, url: 'https://user:hunter2@hooks.example.com/hunter2?key=hunter2'";
const MAIL: &str = "kind: smtp, host: mail.example.com, from: a@example.com, to: [b@example.com]";

#[test]
fn mistakes_in_a_channel_are_named_with_what_is_allowed() {
    let cases = [
        (
            told("url: 'https://a/'"),
            "notify[0].kind: is missing; allowed is webhook, slack, alertmanager or smtp",
        ),
        (
            told("kind: pager"),
            "notify[0].kind: \"pager\" is not a kind of channel; allowed are webhook, slack, alertmanager and smtp",
        ),
        (told("kind: webhook"), "notify[0].url: is missing; allowed is either url, url_file or url_env"),
        (told("kind: webhook, url: hunter2"), "notify[0].url: is not a URL"),
        (told(&format!("{HOOK}, url_env: A")), "notify[0].url: stands beside another one"),
        (
            told(&format!("{HOOK}, secret: hunter2")),
            "notify[0].secret: secrets do not stand in this file; allowed are secret_file and secret_env",
        ),
        (
            told(&format!("{HOOK}, secret_file: a, secret_env: B")),
            "notify[0].secret_env: stands beside secret_file",
        ),
        (
            told(&format!("{HOOK}, token_file: a")),
            "notify[0].token_file: is no key of this kind of channel; allowed are url, url_file, url_env, secret_file, secret_env",
        ),
        (
            told(&format!("{HOOK}, only: []")),
            "notify[0].only: is empty; allowed is at least one kind of event",
        ),
        (
            told(&format!("{HOOK}, only: [fire]")),
            "notify[0].only[0]: \"fire\" is not a kind of event; allowed are fired, asked, approval_needed,",
        ),
        (
            told(&format!("{HOOK}, apps: [chekout]")),
            "notify[0].apps[0]: there is no app \"chekout\"; allowed are the names under apps",
        ),
        (told(&format!("{HOOK}, give_up: 5s")), "notify[0].give_up: 5s is out of range"),
        (
            told(&format!("{HOOK}, template: '{{{{ txt }}}}'")),
            "notify[0].template: undefined value in line 1",
        ),
        (told(&format!("{HOOK}, template: '{{% if %}}'")), "notify[0].template: syntax error in line 1"),
        (
            told("kind: slack"),
            "notify[0].url: is missing; allowed is either token_file or token_env, or url_file or url_env",
        ),
        (told("kind: slack, token_env: T"), "notify[0].channel: is missing"),
        (
            told("kind: slack, token_env: T, channel: C1, url_env: U"),
            "notify[0].url_env: stands beside a token",
        ),
        (
            told("kind: slack, url_env: U, channel: C1"),
            "notify[0].channel: goes with token_file or token_env",
        ),
        (
            told("kind: slack, token_env: T, channel: C1, api: 'http://slack.example.com'"),
            "notify[0].api: would send the token in clear",
        ),
        (told("kind: alertmanager"), "notify[0].url: is missing"),
        (told("kind: smtp, from: a@example.com, to: [b@example.com]"), "notify[0].host: is missing"),
        (
            told("kind: smtp, host: 'mail.example.com:25', from: a@b.c, to: [b@c.d]"),
            "notify[0].host: is not a host",
        ),
        (told("kind: smtp, host: m.example.com, from: nobody, to: []"), "notify[0].from: is not an address"),
        (told("kind: smtp, host: m.example.com, from: a@b.example, to: []"), "notify[0].to: is empty"),
        (told(&format!("{MAIL}, tls: none")), "notify[0].tls: none would send mail in clear"),
        (told(&format!("{MAIL}, port: 70000")), "notify[0].port: 70000 is out of range"),
        (told(&format!("{MAIL}, username: u")), "notify[0].password_file: is missing"),
        (told(&format!("{MAIL}, password_env: P")), "notify[0].username: is missing"),
        (
            format!("{}  - {{ name: ops, {HOOK} }}\n", told(HOOK)),
            "notify[1].name: the name ops is taken by notify[0]",
        ),
        (
            format!("{MINIMAL}external_url: 'https://u:hunter2@a.example/'\n"),
            "external_url: has more than a host and a path in it",
        ),
    ];
    are_named(&cases);
    for (text, _) in &cases {
        let found = problems(text);
        assert_eq!(
            found.lines().count(),
            if text.contains("to: []") && text.contains("nobody") { 2 } else { 1 },
            "{found}"
        );
        assert!(!found.contains("hunter2"), "{found}");
    }
}

#[test]
fn channels_are_understood_and_their_urls_shown_by_host_only() {
    let text = format!(
        "{}  - {{ name: team, kind: slack, url_file: hook.url }}\n  - {{ name: mail, {MAIL}, tls: implicit }}\n",
        told(&format!("{HOOK}, only: [closed, held]"))
    );
    let config = parse("f.yaml", &text).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    let said = summary(&config);
    assert!(!said.contains("hunter2"), "{said}");
    for line in [
        "channel ops: webhook at https://hooks.example.com, not signed\n  told      of held, closed\n",
        "channel team: slack at what file hook.url says\n  told      of everything\n",
        "channel mail: smtp by mail.example.com:465 from a@example.com to b@example.com\n  told      of everything\n",
    ] {
        assert!(said.contains(line), "no {line} in\n{said}");
    }
    let [_, team, mail] = config.notify.as_slice() else { panic!("{:?}", config.notify) };
    let kept = UrlSource::Kept(TokenSource::Named { name: "hook.url".into(), folder: "".into() });
    assert_eq!(team.carrier, CarrierConfig::SlackHook { url: kept });
    let CarrierConfig::Smtp(mail) = &mail.carrier else { panic!("{mail:?}") };
    assert_eq!((mail.port, mail.tls), (465, SmtpTls::Implicit));
}
