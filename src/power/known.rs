//! What is taken to be known of the release before.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Ask, ProbeConfig};
use crate::decision::policy::Policy;
use crate::decision::rule::regression::Before;
use crate::detection::baseline::Baseline;
use crate::ids::RuleName;

/// Where nothing is measured yet, as in a file that is only checked.
const AN_HOUR: Duration = Duration::from_secs(3_600);
/// Numbers of samples that are told apart: from nothing over what makes a difference to a day of one every five seconds.
const ROUNDS: [u64; 12] = [0, 12, 30, 60, 120, 240, 360, 720, 1_440, 2_880, 5_760, 17_280];
/// First digits of shares that are told apart.
const DIGITS: [f64; 8] = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];
/// Seconds of trouble that are told apart.
const GLITCHES: [f64; 9] = [0.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0];

/// As after an hour of a release before that never failed.
pub fn assumed(policy: &Policy) -> BTreeMap<RuleName, Before> {
    let rule = |rule: &crate::decision::policy::Rule| {
        let (regression, probe) = rule.regression()?;
        let rounds = (AN_HOUR.as_secs_f64() / policy.probes[probe].period.as_secs_f64()) as u64;
        let mut before = Before::default();
        before.baseline.add(0.0, rounds);
        before.glitch = Some(regression.glitch.as_secs_f64());
        Some((rule.name.clone(), before))
    };
    policy.rules.iter().filter_map(rule).collect()
}

/// What two apps have to have in common for the same outlooks: all that they depend on but what is known of the release
/// before.
pub fn key(policy: &Policy, probes: &[ProbeConfig]) -> String {
    let probe = |probe: &ProbeConfig| {
        let (is_answered, is_port) =
            (probe.ask.is_answered_by_the_release(), matches!(probe.ask, Ask::Tcp(_)));
        let paces = (probe.watch_period, probe.burst, probe.period, probe.timeout, probe.settle);
        format!("{} {is_answered} {is_port} {paces:?} {}", probe.name, probe.window)
    };
    let probes: Vec<String> = probes.iter().map(probe).collect();
    format!("{:?} {:?} {probes:?}", policy.watch, policy.rules)
}

/// The same with a little less known, a little more trouble, so that a fleet of like apps, and an app from minute to
/// minute, has the same answer.
pub fn rounded(before: &mut Before) {
    let rounds = ROUNDS.into_iter().rev().find(|known| *known <= before.baseline.rounds()).unwrap_or(0);
    let failed = (share(before.baseline.rate()) * rounds as f64).ceil() as u64;
    let mut baseline = Baseline::default();
    baseline.add(0.0, rounds.saturating_sub(failed));
    baseline.add(1.0, failed.min(rounds));
    before.baseline = baseline;
    before.glitch = before.glitch.map(|glitch| {
        // What is a little above one of them by its arithmetic alone is that one.
        GLITCHES.into_iter().find(|known| glitch <= known + 0.05).unwrap_or(glitch)
    });
}

/// The next larger share that is told apart.
fn share(rate: f64) -> f64 {
    if rate <= 0.0 {
        return 0.0;
    }
    let unit = 10_f64.powf(rate.log10().floor());
    let larger = DIGITS.into_iter().map(|digit| digit * unit).find(|share| *share >= rate * (1.0 - 1e-9));
    larger.unwrap_or(10.0 * unit).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

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
