//! The configuration that `init` prints: valid as it stands, and commented where a person has to decide.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::super::InitArgs;
use super::super::page::clean;
use super::super::words::count;
use super::is_watchable;
use crate::config::PlatformKind;
use crate::platform::inventory::{Found, Page};

/// What the account is called in it.
const ACCOUNT: &str = "cloud";
/// The longest name there may be.
const NAME: usize = 63;

const HEAD: &str = "
listen: 127.0.0.1:9797                  # /metrics, /live, /ready and the API
# state: /var/lib/rearguard/rearguard.db  # the journal; this is the default
# admin_token_file: admin-token           # a token of your own, for pause, approve and whatever else changes something

# Places that are up whenever this machine's own network is, so that our own trouble is told from an app's. Name one or two:
# control_probes:
#   - url: https://www.example.com/

";

const RULES: &str =
    "    rules:                              # each may accuse a release for 30m (watch) after it went live
";

/// The account's part, with which the platform is asked as well.
pub(super) fn platform(args: &InitArgs) -> String {
    let kind = match args.platform {
        PlatformKind::DigitalOcean => "digitalocean",
        PlatformKind::Sevalla => "sevalla",
    };
    let mut text = format!("platforms:\n  - name: {ACCOUNT}\n    kind: {kind}\n");
    if let Some(variable) = &args.token_env {
        let _ = writeln!(text, "    token_env: {}", quoted(variable));
    }
    if let Some(file) = &args.token_file {
        let _ = writeln!(text, "    token_file: {}", quoted(&file.to_string_lossy()));
    }
    if let Some(api) = &args.api {
        let _ = writeln!(text, "    api: {}", quoted(api));
    }
    text
}

/// All of it.
pub(super) fn configuration(args: &InitArgs, found: &[Found]) -> String {
    let (watched, others): (Vec<&Found>, Vec<&Found>) = found.iter().partition(|found| is_watchable(found));
    let mut text = format!(
        "# What `rearguard init` found: {}, of which {} can be watched. In mode observe nothing is written to any of them.\n\
         # Next:  rearguard check --config rearguard.yaml --online    is it right, and what would it notice?\n\
         #        rearguard run --config rearguard.yaml               then `rearguard status` and `rearguard incidents`\n\
         # When you agree with what it would have done: mode approve asks you first, mode enforce acts. Both need a token\n\
         # that may write.\n",
        count(found.len(), "app"),
        watched.len(),
    );
    text.push_str(HEAD);
    text.push_str(&platform(args));
    text.push_str("\napps:\n");
    let mut names = BTreeSet::new();
    for found in watched {
        app(&mut text, found, &mut names);
    }
    for found in others {
        let _ = writeln!(text, "\n  # Left out: {}", why_not(found));
        let _ = writeln!(text, "  # - name: {}", unique(&found.name, &mut names));
        let _ = writeln!(text, "  #   platform: {ACCOUNT}\n  #   id: {}", quoted(found.id.as_str()));
    }
    text
}

/// An app in a few words, with why it is not watched.
pub(super) fn why_not(found: &Found) -> String {
    let notes =
        if found.notes.is_empty() { "nothing of it can be asked".to_owned() } else { found.notes.join(", ") };
    format!("{}: {notes}", clean(&found.name))
}

fn app(text: &mut String, found: &Found, names: &mut BTreeSet<String>) {
    if !names.is_empty() {
        text.push('\n');
    }
    for note in &found.notes {
        let _ = writeln!(text, "  # {}: {note}", clean(&found.name));
    }
    let _ = writeln!(text, "  - name: {}", unique(&found.name, names));
    let _ = writeln!(text, "    platform: {ACCOUNT}\n    id: {}", quoted(found.id.as_str()));
    text.push_str("    mode: observe                       # later approve or enforce\n");
    if found.platform_picks {
        text.push_str(
            "    # accept_platform_choice: true      # the platform picks what a rollback goes back to, which is compared\n    \
             #                                   # afterwards; without this line nothing is rolled back here\n",
        );
    }
    text.push_str("    probes:\n");
    let mut probes = BTreeSet::new();
    let mut rules = String::new();
    for page in &found.pages {
        probe(text, &mut rules, page, found.pages.len() == 1, &mut probes);
    }
    if found.pages.is_empty() {
        text.push_str(
            "      - { name: health, platform: { figure: health } }   # the platform's own word on it\n",
        );
        rules.push_str("      - { name: down, probe: health, consecutive_failures: 3 }\n");
    }
    text.push_str(RULES);
    text.push_str(&rules);
}

fn probe(text: &mut String, rules: &mut String, page: &Page, is_only: bool, taken: &mut BTreeSet<String>) {
    let wanted = if page.component.is_empty() { "home" } else { &page.component };
    let name = unique(wanted, taken);
    let why = if page.is_health_check {
        "the path that the platform's own health check asks"
    } else {
        "no health check that can be asked from outside: a page that needs the database says more than this one"
    };
    let _ = writeln!(text, "      - name: {name}\n        # {why}\n        url: {}", quoted(&page.url));
    let suffix = if is_only { String::new() } else { format!("-{name}") };
    for (rule, condition, what) in [
        ("down", "consecutive_failures: 3", "it is dead"),
        ("worse", "regression: {}", "it fails more often than the release before"),
    ] {
        let rule = unique(&format!("{rule}{suffix}"), &mut BTreeSet::new());
        let line = format!("- {{ name: {rule}, probe: {name}, {condition} }}");
        let _ = writeln!(rules, "      {line:<61} # {what}");
    }
}

/// A name as the configuration allows it, that nobody has yet.
fn unique(wanted: &str, taken: &mut BTreeSet<String>) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let name: String = wanted.chars().map(fits).take(NAME - 4).collect();
    // A plain word of YAML that is no word to it: a number, a truth, nothing.
    let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&name.to_ascii_lowercase().as_str());
    let name = if is_word { name } else { format!("app-{name}").chars().take(NAME - 4).collect() };
    let mut unique = name.clone();
    let mut number = 2;
    while !taken.insert(unique.clone()) {
        unique = format!("{name}-{number}");
        number += 1;
    }
    unique
}

/// A text from elsewhere: what JSON calls a string is one to YAML as well.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_allowed_and_nobody_else_s() {
        let mut taken = BTreeSet::new();
        let mut name = |wanted: &str| unique(wanted, &mut taken);
        assert_eq!(name("shop"), "shop");
        assert_eq!(name("shop"), "shop-2");
        assert_eq!(name("my shop: #1"), "my-shop---1");
        assert_eq!(name("on"), "app-on");
        assert_eq!(name("42"), "app-42");
        assert_eq!(name(""), "app-");
        assert!(name(&"x".repeat(200)).len() <= NAME);
        assert!(name(&"x".repeat(200)).len() <= NAME);
    }
}
