//! Rules that cannot be Bad while they matter, however bad the release is.

use std::time::Duration;

use super::known;
use super::trial::{Failing, Ground};
use crate::config::ProbeConfig;
use crate::config::span::spoken;
use crate::decision::policy::{Policy, Rule, Test};
use crate::detection::power::Chance;

/// When the first sample comes is chance: one of these is early, and one is late.
const STARTS: usize = 5;

/// One of the times that came of them.
type Which = fn(&mut dyn Iterator<Item = Duration>) -> Option<Duration>;

/// What is wrong with rules that are never Bad within the watch, a sentence each.
pub fn concerns(policy: &Policy, probes: &[ProbeConfig]) -> Vec<String> {
    let rules = 0..policy.rules.len();
    rules.filter_map(|rule| concern(policy, probes, rule)).collect()
}

fn concern(policy: &Policy, probes: &[ProbeConfig], rule: usize) -> Option<String> {
    let is_ever = when(policy, probes, rule, |times| times.next()).is_some();
    if is_ever || reach(policy, probes) < policy.watch {
        return None;
    }
    let Rule { name, .. } = &policy.rules[rule];
    let watch = spoken(policy.watch);
    let mut longer = policy.clone();
    loop {
        longer.watch *= 2;
        if let Some(after) = when(&longer, probes, rule, |times| times.max()) {
            let fits = spoken(Duration::from_secs(after.as_secs() + 1));
            return Some(format!(
                "rule {name} is never bad within the watch of {watch}: at the pace of its probe it takes {fits} from going \
                 live on; a watch of {fits} fits, or a faster pace"
            ));
        }
        if reach(&longer, probes) < longer.watch {
            return Some(format!(
                "rule {name} is never bad, however long the watch is: at the pace of its probe it never has the samples that \
                 it needs; fewer of them, or a shorter watch_period, fit"
            ));
        }
    }
}

/// How much of the watch can be looked at.
fn reach(policy: &Policy, probes: &[ProbeConfig]) -> Duration {
    Ground::new(policy, probes, &known::assumed(policy)).within()
}

/// How long after going live the rule can be Bad: so many of its tests are, each under what is worst for it. Of several
/// starts, which the first sample makes different, `which` says the one that is meant.
fn when(policy: &Policy, probes: &[ProbeConfig], rule: usize, which: Which) -> Option<Duration> {
    let tests = policy.rules[rule].tests.iter();
    let mut times: Vec<Duration> =
        tests.filter_map(|test| when_of(policy, probes, (rule, test), which)).collect();
    times.sort_unstable();
    times.get(policy.rules[rule].needed.saturating_sub(1)).copied()
}

fn when_of(
    policy: &Policy,
    probes: &[ProbeConfig],
    (rule, test): (usize, &Test),
    which: Which,
) -> Option<Duration> {
    let mut policy = policy.clone();
    (policy.rules[rule].tests, policy.rules[rule].needed) = (vec![test.clone()], 1);
    let ground = Ground::new(&policy, probes, &known::assumed(&policy));
    let all = vec![true; probes.len()];
    let failing = match test.condition.is_about_time() {
        true => Failing::slow(&all),
        false => Failing::by_chance(&all, 1.0),
    };
    let mut chance = Chance::seeded(1);
    let watches = (0..STARTS).filter_map(|trial| ground.watch(&failing, &[rule], trial, &mut chance));
    which(&mut watches.map(|(after, _)| after))
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, parse, summary, warnings};

    fn config(watch: &str, probe: &str, rule: &str) -> Config {
        let text = format!(
            "platforms: [{{ name: ocean, kind: digitalocean, token_env: T }}]\napps:\n  - name: shop\n    \
             platform: ocean\n    id: x\n    watch: {watch}\n    \
             probes: [{{ name: home, url: http://a.example/{probe} }}]\n    rules: [{{ name: it, {rule} }}]\n"
        );
        parse("f.yaml", &text).expect("it is right")
    }

    fn said(watch: &str, probe: &str, rule: &str) -> Vec<String> {
        let config = config(watch, probe, rule);
        let (warnings, summary) = (warnings(&config), summary(&config));
        assert!(
            warnings.iter().all(|warning| summary.contains(warning.split_once(": ").expect("a place").1))
        );
        warnings
    }

    /// Says that it takes about so many seconds, and that a watch that is as long fits.
    fn takes(watch: &str, probe: &str, rule: &str, seconds: u64) {
        let said = said(watch, probe, rule);
        let [said] = said.as_slice() else { panic!("{watch} {rule}: {said:?}") };
        let begin = format!(
            "app shop: rule it is never bad within the watch of {watch}: at the pace of its probe it takes "
        );
        let rest = said.strip_prefix(&begin).unwrap_or_else(|| panic!("{said}"));
        let (fits, rest) = rest.split_once(" from going live on; ").expect("how long it takes");
        assert_eq!(rest, format!("a watch of {fits} fits, or a faster pace"));
        let took = humantime::parse_duration(fits).expect("a time").as_secs();
        // The first sample comes within two seconds, and whole seconds are told.
        assert!((seconds..=seconds + 3).contains(&took), "{rule}: {took} s, and not {seconds} s");
        assert_eq!(super::tests::said(fits, probe, rule), [""; 0], "{fits} fits");
    }

    #[test]
    fn a_rule_that_cannot_be_bad_within_its_watch_is_said_with_one_that_fits() {
        let three = "probe: home, consecutive_failures: 3";
        takes("2s", "", three, 2);
        takes("31s", ", settle: 30s", three, 32);
        // A minute of closer looks, and then the pace of the watch.
        let many = "probe: home, consecutive_failures: 100";
        takes("2m", "", many, 138);
        takes("50s", "", "probe: home, failure_ratio: { above: 0.5, over: 2m, min_samples: 60 }", 59);
        takes("10s", "", "probe: home, regression: {}", 24);
        // A slow answer makes nobody look closer.
        takes("30s", "", "probe: home, latency: { quantile: 0.95, above: 800ms, over: 2m }", 38);
        let slower = config("2h", ", period: 1m", "probe: home, regression: { of: latency }");
        assert_eq!(warnings(&slower), [""; 0], "a slow probe needs more than an hour to know what is usual");
        // Of several conditions the slowest that is needed counts.
        let of = |needed| format!("at_least: {needed}, of: [{{ {three} }}, {{ {three} }}, {{ {many} }}]");
        assert_eq!(said("1m", "", &of(2)), [""; 0]);
        takes("1m", "", &of(3), 138);
    }

    #[test]
    fn a_rule_that_never_has_its_samples_is_said() {
        let never = [
            "app shop: rule it is never bad, however long the watch is: at the pace of its probe it never has the samples that \
             it needs; fewer of them, or a shorter watch_period, fit",
        ];
        // The file's own check counts on the fastest pace, which lasts for a minute.
        let ratio =
            |least| format!("probe: home, failure_ratio: {{ above: 0.5, over: 2m, min_samples: {least} }}");
        assert_eq!(said("30m", "", &ratio(100)), never);
        assert_eq!(said("30m", "", &ratio(90)), [""; 0]);
        let slow = "probe: home, latency: { quantile: 0.95, above: 800ms, over: 2m, min_samples: 70 }";
        assert_eq!(said("30m", "", slow), never);
    }
}
