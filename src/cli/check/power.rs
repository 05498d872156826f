//! What the `regression` rules could notice, and in what time: reckoned before a release has to be bad for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::super::words::span;
use crate::config::Config;
use crate::decision::policy::{Policy, ProbePolicy, Regression, Signal};
use crate::decision::rule::regression::probability;
use crate::decision::story::percent;
use crate::detection::baseline::Baseline;
use crate::detection::blocks;
use crate::detection::evidence::Question;
use crate::detection::latency::{self, LEVELS};
use crate::detection::power::time_to_notice;

/// Shares of requests that fail, and what they are called.
const RATES: [(f64, &str); 4] = [(1.0, "all"), (0.5, "half"), (0.2, "20 %"), (0.1, "10 %")];
/// What should be found; where it is not, that is said.
const SHOULD_BE_FOUND: f64 = 0.2;
/// The release before is taken to have been watched this long, without a failure.
const BEFORE: Duration = Duration::from_secs(3_600);

/// A line for each `regression` rule; nothing where there is none.
pub(super) fn what_would_be_noticed(config: &Config) -> String {
    // Most apps have the same rules at the same paces.
    let mut known = BTreeMap::new();
    let mut text = String::new();
    for app in &config.apps {
        for rule in &app.policy.rules {
            let Some((regression, probe)) = rule.regression() else { continue };
            let probe = &app.policy.probes[probe];
            let question = question(&app.policy, probe, regression);
            let (of, least) = (regression.of, regression.min_failures);
            let key = format!("{of:?} {question:?} {:?} {:?}", probe.period, (probe.watch_period, least));
            let line = known.entry(key).or_insert_with(|| match of {
                Signal::Failures | Signal::Shares => line(question, probe, least),
                Signal::Latency => line_of_latency(question, probe, least),
            });
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {} {}: {line}", app.name, rule.name);
        }
    }
    if text.is_empty() {
        return text;
    }
    format!(
        "\nhow soon half of the releases that fail this often would be noticed, from their first sample on,\n\
         after an hour of the release before without a failure\n{text}"
    )
}

fn question(policy: &Policy, probe: &ProbePolicy, regression: &Regression) -> Question {
    Question {
        worse_by: regression.worse_by,
        glitch: regression.glitch.as_secs_f64(),
        watch: policy.watch.saturating_sub(probe.settle).as_secs_f64(),
        probability: probability(policy, regression, 0),
    }
}

/// Of stretches of time that are slow, after an hour with as many as make up what is usual.
fn line_of_latency(question: Question, probe: &ProbePolicy, min_failures: u32) -> String {
    let block = blocks::length(probe.period.as_secs_f64());
    let share = question.probability / LEVELS.len() as f64;
    let asked = Question { worse_by: latency::WORSE_BY, probability: share, ..question };
    // How often the newer half of them exceeds what is read from the older one.
    let befores = LEVELS.map(|level| {
        let all = (BEFORE.as_secs_f64() / block / 2.0).round();
        let slow = (all * (1.0 - level)).round();
        let mut before = Baseline::default();
        before.add(1.0, slow as u64);
        before.add(0.0, (all - slow) as u64);
        before
    });
    let noticed = [(1.0, "all"), (0.5, "half")].map(|(rate, name)| {
        let times = befores.iter().filter_map(|before| {
            let after = time_to_notice(before, asked, block, rate, min_failures.into())?;
            // The first one has to be over, and what is cold is left out.
            Some(after + block + latency::WARM_UP)
        });
        let soonest = times.min_by(f64::total_cmp).filter(|after| *after <= question.watch);
        format!("{name} {}", soonest.map_or("not".to_owned(), span))
    });
    let (much, length) = (percent(question.worse_by), span(block));
    format!("{} of the stretches of {length} more than {much} slower than most before", noticed.join(", "))
}

fn line(question: Question, probe: &ProbePolicy, min_failures: u32) -> String {
    let mut before = Baseline::default();
    before.add(0.0, (BEFORE.as_secs_f64() / probe.period.as_secs_f64()) as u64);
    let interval = probe.watch_period.as_secs_f64();
    let noticed = RATES.map(|(rate, name)| {
        let after = time_to_notice(&before, question, interval, rate, min_failures.into());
        (rate, name, after)
    });
    let words = noticed.map(|(_, name, after)| match after {
        Some(after) => format!("{name} {}", span(after)),
        None => format!("{name} not"),
    });
    let is_blunt = noticed.iter().any(|(rate, _, after)| *rate >= SHOULD_BE_FOUND && after.is_none());
    let remedy = match is_blunt {
        true => "; a longer watch, a shorter watch_period or a smaller worse_by would notice more",
        false => "",
    };
    format!("{}{remedy}", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn said(watch: &str, rules: &str) -> String {
        said_of(watch, &[rules])
    }

    /// Of an app for each of the rules.
    fn said_of(watch: &str, apps: &[&str]) -> String {
        let mut text = "platforms: [{ name: ocean, kind: digitalocean, token_env: T }]\napps:\n".to_owned();
        for (n, rules) in apps.iter().enumerate() {
            text += &format!(
                "  - name: shop{}\n    platform: ocean\n    id: x{n}\n    watch: {watch}\n    \
                 probes: [{{ name: home, url: http://a.example/ }}]\n    rules: {rules}\n",
                if n == 0 { String::new() } else { n.to_string() },
            );
        }
        what_would_be_noticed(&parse("f.yaml", &text).expect("it is right"))
    }

    #[test]
    fn each_rule_says_what_it_would_find_and_one_that_finds_little_says_what_helps() {
        assert_eq!(said("30m", "[{ name: down, probe: home, consecutive_failures: 3 }]"), "");
        let text = said("30m", "[{ name: worse, probe: home, regression: {} }]");
        assert!(text.contains("\n  shop worse: all 2"), "{text}");
        assert!(
            text.contains(", half ") && text.contains(", 20 % 2m ") && text.contains(", 10 % "),
            "{text}"
        );
        assert!(!text.contains("% not") && !text.contains("longer watch"), "{text}");
        let short = said("1m", "[{ name: worse, probe: home, regression: {} }]");
        assert!(short.contains("20 % not, 10 % not; a longer watch, a shorter watch_period"), "{short}");
        let text = said("30m", "[{ name: slower, probe: home, regression: { of: latency } }]");
        let all = text.split_once("\n  shop slower: all ").map(|said| said.1).unwrap_or_default();
        assert!(all.starts_with("2m") || all.starts_with("3m"), "{text}");
        assert!(all.ends_with("of the stretches of 30s more than 50 % slower than most before\n"), "{text}");
        // Two rules share the probability, so each finds less.
        let two = "[{ name: a, probe: home, regression: {} }, { name: b, probe: home, regression: {} }]";
        let one = "[{ name: a, probe: home, regression: {} }]";
        let both = said_of("30m", &[one, two]);
        let figures: Vec<&str> =
            both.lines().filter_map(|line| line.split_once(": all ")).map(|said| said.1).collect();
        let [alone, first, second] = figures.as_slice() else { panic!("{both}") };
        assert!(alone != first && first == second, "{both}");
    }
}
