//! What is taken to be known of the release before.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Ask, ProbeConfig};
use crate::decision::policy::{Policy, ProbePolicy, Regression, Signal};
use crate::decision::rule::regression::Before;
use crate::detection::baseline::Baseline;
use crate::detection::blocks;
use crate::detection::latency::{Latencies, Usual};
use crate::detection::power::Chance;
use crate::ids::RuleName;

/// Where nothing is measured yet, as in a file that is only checked.
const AN_HOUR: Duration = Duration::from_secs(3_600);
/// So many stretches of time tell what is usual.
const STRETCHES: f64 = 60.0;
/// Numbers of samples that are told apart: from nothing over what makes a difference to a day of one every five seconds.
const ROUNDS: [u64; 12] = [0, 12, 30, 60, 120, 240, 360, 720, 1_440, 2_880, 5_760, 17_280];
/// First digits of shares, and of seconds, that are told apart.
const DIGITS: [f64; 8] = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];
/// Seconds of trouble that are told apart.
const GLITCHES: [f64; 9] = [0.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0];

/// As after an hour of a release before that never failed.
pub fn assumed(policy: &Policy) -> BTreeMap<RuleName, Before> {
    let rule = |rule: &crate::decision::policy::Rule| {
        let (regression, probe) = rule.regression()?;
        let rounds = (AN_HOUR.as_secs_f64() / policy.probes[probe].period.as_secs_f64()) as u64;
        let mut before = Before::default();
        match regression.of {
            Signal::Latency => before.usual = usual(&policy.probes[probe], regression),
            Signal::Failures | Signal::Shares => {
                before.baseline.add(0.0, rounds);
                before.glitch = Some(regression.glitch.as_secs_f64());
            }
        }
        Some((rule.name.clone(), before))
    };
    policy.rules.iter().filter_map(rule).collect()
}

/// As after an hour of answers that took between a fortieth and a thirteenth of the timeout.
fn usual(probe: &ProbePolicy, regression: &Regression) -> Option<Usual> {
    let (period, timeout) = (probe.period, probe.timeout.as_micros() as f64);
    let interval = period.as_millis() as i64;
    let mut chance = Chance::seeded(1);
    let mut latencies = Latencies::default();
    // Of a slow probe more than an hour, or nothing would be known to be usual, as it is after a day.
    let span = AN_HOUR.as_secs_f64().max(STRETCHES * blocks::length(period.as_secs_f64()));
    let samples = (span / period.as_secs_f64()) as i64;
    for n in 0..samples {
        let micros = timeout / 20.0 * (0.5 + chance.next());
        latencies.add(n * interval, Some(micros as u32), interval);
    }
    latencies.usual(0, period.as_secs_f64(), regression.glitch.as_secs_f64())
}

/// What two apps have to have in common for the same outlooks: all that they depend on but what is known of the release
/// before.
pub fn key(policy: &Policy, probes: &[ProbeConfig]) -> String {
    let probe = |probe: &ProbeConfig| {
        let is_answered = probe.ask.is_answered_by_the_release();
        let kind = match &probe.ask {
            Ask::Tcp(_) => "port".to_owned(),
            Ask::Counters(counters) => format!("counters {:?}", counters.at_most),
            _ => String::new(),
        };
        let paces = (probe.watch_period, probe.burst, probe.period, probe.timeout, probe.settle);
        format!("{} {is_answered} {kind} {paces:?} {}", probe.name, probe.window)
    };
    let probes: Vec<String> = probes.iter().map(probe).collect();
    format!("{:?} {:?} {probes:?}", policy.watch, policy.rules)
}

/// The same with a little less known, a little more trouble, so that a fleet of like apps, and an app from minute to
/// minute, has the same answer.
pub fn rounded(before: &mut Before) {
    less_known(&mut before.baseline);
    before.glitch.as_mut().into_iter().for_each(longer);
    if let Some(usual) = &mut before.usual {
        usual.change(|limit, baseline, glitch| {
            *limit = larger(*limit);
            less_known(baseline);
            longer(glitch);
        });
    }
}

fn less_known(baseline: &mut Baseline) {
    let rounds = ROUNDS.into_iter().rev().find(|known| *known <= baseline.rounds()).unwrap_or(0);
    let failed = (larger(baseline.rate()).min(1.0) * rounds as f64).ceil() as u64;
    let mut less = Baseline::default();
    less.add(0.0, rounds.saturating_sub(failed));
    less.add(1.0, failed.min(rounds));
    *baseline = less;
}

fn longer(glitch: &mut f64) {
    // What is a little above one of them by its arithmetic alone is that one.
    *glitch = GLITCHES.into_iter().find(|known| *glitch <= known + 0.05).unwrap_or(*glitch);
}

/// The next larger number that is told apart.
fn larger(number: f64) -> f64 {
    if number <= 0.0 {
        return 0.0;
    }
    let unit = 10_f64.powf(number.log10().floor());
    let larger = DIGITS.into_iter().map(|digit| digit * unit).find(|known| *known >= number * (1.0 - 1e-9));
    larger.unwrap_or(10.0 * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_usual_is_rounded_as_well() {
        let text = "platforms: [{ name: ocean, kind: digitalocean, token_env: T }]\napps: [{ name: shop, platform: ocean, \
                    id: x, probes: [{ name: home, url: http://a.example/ }], \
                    rules: [{ name: slower, probe: home, regression: { of: latency } }] }]\n";
        let app = crate::config::parse("f.yaml", text).unwrap().apps.remove(0);
        let exact = assumed(&app.policy).remove("slower").unwrap();
        let mut once = exact.clone();
        rounded(&mut once);
        exact.usual.clone().unwrap().change(|limit, _, _| assert!(*limit > 0.05 && *limit < 0.15, "{limit}"));
        once.usual.unwrap().change(|limit, baseline, glitch| {
            assert!(
                DIGITS.iter().any(|digit| (*limit * 10.0 - digit).abs() < 1e-9 || *limit == digit / 100.0),
                "{limit}"
            );
            assert!(ROUNDS.contains(&baseline.rounds()) && GLITCHES.contains(glitch));
        });
    }

    #[test]
    fn what_is_rounded_knows_no_more_and_excuses_no_less() {
        let cases = [
            ((0, 0), 5.0, (0, 0), 5.0),
            ((11, 0), 5.0, (0, 0), 5.0),
            ((900, 0), 6.0, (720, 0), 10.0),
            ((17_100, 171), 5.01, (5_760, 58), 5.0),
            ((17_100, 190), 47.0, (5_760, 87), 60.0),
            ((100, 90), 0.0, (60, 60), 0.0),
        ];
        for ((rounds, failed), glitch, expected, excused) in cases {
            let mut before = Before { glitch: Some(glitch), ..Before::default() };
            before.baseline.add(0.0, rounds - failed);
            before.baseline.add(1.0, failed);
            rounded(&mut before);
            let got = (before.baseline.rounds(), before.baseline.failed() as u64);
            assert_eq!((got, before.glitch), (expected, Some(excused)), "{rounds} {failed} {glitch}");
        }
    }
}
