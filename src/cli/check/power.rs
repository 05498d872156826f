//! What each app's rules could notice, and how soon: reckoned before a release has to be bad for it.

use std::collections::BTreeMap;

use super::super::Page;
use crate::config::{AppConfig, Config};
use crate::power::{known, outlooks, silent};

/// Lines are broken here: what is printed may be kept in a file.
const PAGE: Page = Page::plain(110);

/// A sentence or more for each app; nothing where no app has a rule that it would be about.
pub(super) fn what_would_be_noticed(config: &Config) -> String {
    // Most apps have the same rules at the same paces.
    let mut known = BTreeMap::new();
    let mut text = String::new();
    for app in &config.apps {
        let lines = known.entry(known::key(&app.policy, &app.probes)).or_insert_with(|| lines(app));
        for (n, line) in lines.iter().enumerate() {
            let name = if n == 0 { app.name.as_str() } else { "" };
            text.push_str(&PAGE.hang(&format!("  {name:<9} "), line));
        }
    }
    if text.is_empty() {
        return text;
    }
    format!(
        "\nwhat would be noticed within a watch: how long after going live half of the releases that fail this often\n\
         are found to be bad, with an hour known of a release before that never failed\n{text}"
    )
}

fn lines(app: &AppConfig) -> Vec<String> {
    let outlooks = outlooks(&app.policy, &app.probes, &known::assumed(&app.policy));
    let mut lines: Vec<String> = outlooks.into_iter().map(|outlook| outlook.in_words).collect();
    let silent = silent(&app.policy, &app.probes);
    if !silent.is_empty() {
        let names: Vec<&str> = silent.iter().map(|rule| rule.as_str()).collect();
        lines.push(format!(
            "{}: not tried out, no probe's failing requests or slow answers alone make it bad",
            names.join(", ")
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    /// Of an app for each of the rules.
    fn said(watch: &str, apps: &[&str]) -> String {
        let mut text = "platforms: [{ name: ocean, kind: digitalocean, token_env: T }]\napps:\n".to_owned();
        for (n, rules) in apps.iter().enumerate() {
            text += &format!(
                "  - name: shop{}\n    platform: ocean\n    id: x{n}\n    watch: {watch}\n    \
                 probes:\n      - {{ name: home, url: http://a.example/ }}\n      \
                 - {{ name: cart, url: http://a.example/cart }}\n    rules: {rules}\n",
                if n == 0 { String::new() } else { n.to_string() },
            );
        }
        what_would_be_noticed(&parse("f.yaml", &text).expect("it is right"))
    }

    #[test]
    fn each_app_says_what_would_be_noticed() {
        let slow = "{ name: slow, probe: home, latency: { quantile: 0.95, above: 800ms } }";
        let late = "{ probe: home, latency: { quantile: 0.5, above: 1s } }";
        let apps = [
            "[{ name: down, probe: home, consecutive_failures: 3 }]".to_owned(),
            format!("[{{ name: worse, probe: home, regression: {{}} }}, {slow}]"),
            format!("[{slow}, {{ name: mixed, all: [{{ probe: home, consecutive_failures: 3 }}, {late}] }}]"),
            "[{ name: tells, probe: home, consecutive_failures: 3, action: notify }]".to_owned(),
            "[{ name: down, probe: home, consecutive_failures: 3 }, \
              { name: both, all: [{ probe: home, failure_ratio: { above: 0.2 } }, \
              { probe: cart, failure_ratio: { above: 0.2 } }], action: approve }]"
                .to_owned(),
        ];
        insta::assert_snapshot!(said("5m", &apps.each_ref().map(String::as_str)).trim_start(), @r#"
        what would be noticed within a watch: how long after going live half of the releases that fail this often
        are found to be bad, with an hour known of a release before that never failed
          shop      all requests of home failing: noticed in about 3s; half of them: 13s; 20 %: 1m 56s, 3 of 10 never;
                    16 %: 4m 26s, 5 of 10 never; less: not within this watch (5m); one broken instance of several,
                    asked in turn: not
          shop1     all requests of home failing: noticed in about 26s; half of them: 46s; 20 %: 1m 30s; 10 %: 4m 23s,
                    5 of 10 never; less: not within this watch (5m); one broken instance, asked in turn, of 2: 20s, of
                    3: 28s, of 5: 35s, of 10: 1m 50s; answers just within the timeout: 39s
          shop2     answers of home just within the timeout: 39s
                    mixed: not tried out, no probe's failing requests or slow answers alone make it bad
          shop4     all requests of home failing: noticed in about 3s; half of them: 13s; 20 %: 1m 56s, 3 of 10 never;
                    16 %: 4m 26s, 5 of 10 never; less: not within this watch (5m); one broken instance of several,
                    asked in turn: not
                    all requests of every probe failing: noticed in about 21s; half of them: 22s; 20 %: 1m 3s, 2 of 10
                    never; 18 %: 4m 38s, 5 of 10 never; less: not within this watch (5m); one broken instance, asked
                    in turn, of 2: 21s, of 3: 22s, of 5: 26s, of 10: not; a person is asked then
        "#);
        let short = said("10s", &["[{ name: worse, probe: home, regression: {} }]"]);
        assert!(
            short.contains("not even all requests of home failing would be noticed within this watch (10s)"),
            "{short}"
        );
        assert_eq!(said("30m", &["[]"]), "");
    }
}
