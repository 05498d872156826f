//! A rule in words: what makes it Bad, and what it measured.

use super::compared::{compared_in_words, time};
use super::plural;
use crate::decision::policy::{Condition, ProbePolicy, Rule, Signal, Test};
use crate::decision::rule::{Reading, Verdict};

/// A rule's condition in words, as the API shows it.
pub fn condition_in_words(rule: &Rule, probes: &[ProbePolicy]) -> String {
    if let [only] = rule.tests.as_slice() {
        return format!("bad {}", test_in_words(&only.condition));
    }
    let tests = rule.tests.iter();
    let tests: Vec<String> =
        tests.map(|test| format!("{} {}", name(test, probes), test_in_words(&test.condition))).collect();
    match tests.as_slice() {
        all if all.len() == rule.needed => format!("bad {}", all.join(" and ")),
        any if rule.needed == 1 => format!("bad {}", any.join(" or ")),
        some => format!("bad {} of {}: {}", rule.needed, some.len(), some.join("; ")),
    }
}

fn name<'a>(test: &Test, probes: &'a [ProbePolicy]) -> &'a str {
    probes.get(test.probe).map_or("?", |probe| probe.name.as_str())
}

fn test_in_words(condition: &Condition) -> String {
    match condition {
        Condition::ConsecutiveFailures { count } => format!("at {} in a row", plural(*count, "failure")),
        Condition::FailureRatio { above, over, min_samples } => format!(
            "when more than {} fail over {}, from {} on",
            percent(*above),
            humantime::format_duration(*over),
            plural(*min_samples, "sample"),
        ),
        Condition::Latency { quantile, above, over, min_samples } => format!(
            "when {} is above {} over {}, from {} on",
            quantile_in_words(*quantile),
            humantime::format_duration(*above),
            humantime::format_duration(*over),
            plural(*min_samples, "sample"),
        ),
        Condition::Regression(regression) => format!(
            "when it surely {} than the release before and {} more; wrong for at most {}",
            match regression.of {
                Signal::Failures => "fails more often",
                Signal::Latency => "takes longer",
                Signal::Shares => "has more errors",
            },
            percent(regression.worse_by),
            one_in(1.0 / regression.probability),
        ),
    }
}

/// What `rule` measured, beside its limit.
pub fn evidence_in_words(rule: &Rule, probes: &[ProbePolicy], reading: &Reading) -> String {
    match rule.tests.as_slice() {
        [only] => measured_in_words(&only.condition, reading),
        several => {
            let parts = several.iter().zip(&reading.parts);
            let said = parts.map(|(test, part)| {
                let measured = measured_in_words(&test.condition, part);
                format!("{} {}: {measured}", name(test, probes), part.verdict.word())
            });
            let said: Vec<String> = said.collect();
            let bad = reading.parts.iter().filter(|part| part.verdict == Verdict::Bad).count();
            format!("{bad} of {} are bad, limit {}: {}", several.len(), rule.needed, said.join("; "))
        }
    }
}

fn measured_in_words(condition: &Condition, reading: &Reading) -> String {
    let Some(value) = reading.value else { return "nothing measured".to_owned() };
    let samples = plural(reading.samples, "sample");
    match condition {
        Condition::ConsecutiveFailures { count } => {
            let noun = if (value - 1.0).abs() < f64::EPSILON { "failure" } else { "failures" };
            format!("{value:.0} {noun} in a row, limit {count}")
        }
        Condition::FailureRatio { above, .. } => {
            format!("{} of {samples} failed, limit {}", percent(value), percent(*above))
        }
        Condition::Latency { quantile, above, .. } => {
            let (name, limit) = (quantile_in_words(*quantile), humantime::format_duration(*above));
            format!("{name} is {} over {samples}, limit {limit}", time(value))
        }
        Condition::Regression(regression) => {
            let evidence = format!("evidence {} of the {:.0} it takes", figures(value), reading.threshold);
            match &reading.compared {
                Some(compared) => {
                    format!("{}; {evidence}", compared_in_words(regression.of, compared, reading.samples))
                }
                None => format!("{evidence}, from {samples}"),
            }
        }
    }
}

/// `1 in 1000`.
pub(crate) fn one_in(many: f64) -> String {
    format!("1 release in {many:.0}")
}

/// A figure that may be very small or very large, to what matters of it.
fn figures(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// `p95`, as latencies are spoken of.
pub(crate) fn quantile_in_words(quantile: f64) -> String {
    format!("p{}", percent(quantile).trim_end_matches(" %"))
}

/// A share in percent, without the noise of binary fractions.
pub(crate) fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::scenarios::policy;

    fn failures(probe: usize, count: u32) -> Test {
        Test { probe, condition: Condition::ConsecutiveFailures { count } }
    }

    #[test]
    fn several_tests_read_as_all_any_or_some_of_them() {
        let mut rule = policy().rules[0].clone();
        rule.tests = vec![failures(0, 1), failures(0, 2), failures(7, 3)];
        let probes = policy().probes;
        let said = |needed| condition_in_words(&Rule { needed, ..rule.clone() }, &probes);
        let [one, two, three] = ["home at 1 failure", "home at 2 failures", "? at 3 failures"];
        assert_eq!(said(1), format!("bad {one} in a row or {two} in a row or {three} in a row"));
        assert_eq!(said(2), format!("bad 2 of 3: {one} in a row; {two} in a row; {three} in a row"));
        assert_eq!(said(3), format!("bad {one} in a row and {two} in a row and {three} in a row"));
        let part = |verdict, value| Reading {
            verdict,
            value: Some(value),
            threshold: 1.0,
            samples: 3,
            first_failure_at: None,
            parts: Vec::new(),
            compared: None,
        };
        let parts = vec![part(Verdict::Bad, 1.0), part(Verdict::Good, 0.0), part(Verdict::Bad, 3.0)];
        let reading = Reading { parts, ..part(Verdict::Bad, 2.0) };
        assert_eq!(
            evidence_in_words(&Rule { needed: 2, ..rule.clone() }, &probes, &reading),
            "2 of 3 are bad, limit 2: home bad: 1 failure in a row, limit 1; home good: 0 failures in a row, \
             limit 2; ? bad: 3 failures in a row, limit 3"
        );
    }

    #[test]
    fn figures_have_as_many_digits_as_matter() {
        assert_eq!([0.04, 9.94, 10.0, 1234.5].map(figures), ["0.0", "9.9", "10", "1234"]);
    }
}
