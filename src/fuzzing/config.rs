//! A configuration file: a [`Config`] in which everything fits, or problems that say where and give nothing away.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use serde_yaml::Value;

use super::{SECRET, is_one_line};
use crate::config::{self, Config, Problems};
use crate::decision::sample::Window;
use crate::platform::digitalocean::DigitalOcean;

/// The longest line a problem may have: a path as deep as the file may nest, and a list of names.
const LONGEST_LINE: usize = 4096;

/// Keys whose values are not shown when they are wrong.
const NOT_SHOWN_WHEN_WRONG: [&str; 11] = [
    "url",
    "api",
    "state",
    "headers",
    "token",
    "admin_token",
    "token_file",
    "token_env",
    "admin_token_file",
    "equals",
    "body_contains",
];

/// Any text is a configuration or has problems.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match config::both_ways("f.yaml", &text) {
        (Some(short), Ok(long)) => assert_eq!(short, long, "the short way reads something else"),
        (None, Err(_)) => {}
        (short, long) => panic!("the short way {short:?}, the long way {long:?}"),
    }
    match config::parse("f.yaml", &text) {
        Ok(config) => right(&text, &config),
        Err(problems) => wrong(&text, &problems),
    }
}

fn right(text: &str, config: &Config) {
    assert_eq!(config::parse("f.yaml", text).as_ref(), Ok(config), "read again it is another one");
    let wrong = schema_problem(text);
    assert_eq!(wrong, None, "it is right, and an editor would call it wrong");
    if stands_only_under(text, &["headers"]) {
        assert!(!config::summary(config).contains(SECRET), "the summary shows a header's value");
    }
    assert!(!config.apps.is_empty() && !config.platforms.is_empty());
    for platform in &config.platforms {
        let nobody = Arc::new(|_| unreachable!("nothing is sent"));
        let token = Box::new(|| Ok(SECRET.into()));
        DigitalOcean::in_process(nobody, platform, token).expect("an adapter for what is right");
    }
    for app in &config.apps {
        assert!(config.platforms.iter().any(|platform| platform.name == app.platform));
        assert_eq!(app.probes.len(), app.policy.probes.len());
        let mut tests = app.policy.rules.iter().flat_map(|rule| &rule.tests);
        assert!(tests.all(|test| test.probe < app.probes.len()));
        assert!(app.policy.rules.iter().all(|rule| (1..=rule.tests.len()).contains(&rule.needed)));
        for probe in &app.probes {
            assert!(!probe.burst.is_zero() && probe.burst <= probe.watch_period);
            assert!(probe.watch_period <= probe.period);
            assert!((1..=Window::MAX).contains(&probe.window));
        }
    }
}

fn wrong(text: &str, problems: &Problems) {
    let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
    assert!((1..=100).contains(&problems.iter().len()));
    let mut last = 0;
    for problem in problems.iter() {
        let shown = problem.to_string();
        let at = problem.position;
        assert!(is_one_line(&shown) && shown.len() < LONGEST_LINE, "{} bytes: {shown}", shown.len());
        assert!(at.column > 0 && (1..=lines + 1).contains(&at.line), "of {lines} lines: {shown}");
        assert!(last <= at.line, "not in the order of the file: {problems}");
        assert!(!problem.path.is_empty() && !problem.what.is_empty());
        assert_ne!(problem.what, "cannot be understood", "a rejection that was not recorded");
        last = at.line;
    }
    let shown = problems.to_string();
    if shown.contains(SECRET) {
        assert!(!stands_only_under(text, &NOT_SHOWN_WHEN_WRONG), "a secret is shown: {shown}");
        let unread = ["is not YAML", "cannot be read as YAML"];
        assert!(
            !problems.iter().any(|problem| {
                problem.what.contains(SECRET) && unread.iter().any(|words| problem.what.starts_with(words))
            }),
            "a secret is shown: {shown}"
        );
    }
}

/// Whether [`SECRET`] stands only in values below these keys. What is no YAML at all does not say.
fn stands_only_under(text: &str, keys: &[&str]) -> bool {
    fn below(value: &Value, hidden: bool, keys: &[&str]) -> bool {
        match value {
            Value::String(text) => hidden || !text.contains(SECRET),
            Value::Sequence(items) => items.iter().all(|item| below(item, hidden, keys)),
            Value::Mapping(entries) => entries.iter().all(|(key, value)| {
                let named = key.as_str().is_some_and(|key| keys.contains(&key));
                below(key, false, keys) && below(value, hidden || named, keys)
            }),
            _ => true,
        }
    }
    text.contains(SECRET) && serde_yaml::from_str(text).is_ok_and(|value| below(&value, false, keys))
}

/// What the schema has against a file that is right.
fn schema_problem(text: &str) -> Option<String> {
    static SCHEMA: OnceLock<jsonschema::Validator> = OnceLock::new();
    let schema = SCHEMA
        .get_or_init(|| jsonschema::validator_for(&config::schema()).expect("a schema that can be compiled"));
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file = json(serde_yaml::from_str(text).expect("it was read before"));
    let mut problems = String::new();
    for error in schema.iter_errors(&file) {
        _ = write!(problems, "{}: {error}; ", error.instance_path());
    }
    (!problems.is_empty()).then_some(problems)
}

/// As JSON, without what is null: that is as good as left out, and the schema recommends it to nobody. Only of an answer
/// null may be expected.
fn json(value: Value) -> serde_json::Value {
    match value {
        Value::Mapping(entries) => {
            let named = |key| match key {
                Value::String(key) => key,
                other => json(other).to_string(),
            };
            let entries =
                entries.into_iter().filter(|(key, value)| !value.is_null() || key.as_str() == Some("equals"));
            entries.map(|(key, value)| (named(key), json(value))).collect()
        }
        Value::Sequence(items) => items.into_iter().filter(|item| !item.is_null()).map(json).collect(),
        Value::Tagged(tagged) => json(tagged.value),
        plain => serde_json::to_value(plain).unwrap_or_default(),
    }
}
