//! What is refused in a rule.

use super::{added, are_named};

/// The minimal file with a probe of certificates and a rule.
fn on_certificates(rule: &str) -> String {
    let probe = "      - { name: cert, tls: { address: \"a.example:443\" } }";
    added("rule", rule).replacen("    probes:", &format!("    probes:\n{probe}"), 1)
}

/// Two conditions.
const TWO: &str = "{ probe: home, consecutive_failures: 3 }, { probe: home, consecutive_failures: 9 }";

#[test]
fn mistakes_in_a_rule_are_named_with_what_is_allowed() {
    let cases = [
        (
            added("rule", "{ name: r, probe: home, regression: { false_rollback_probability: 0.5 } }"),
            "regression.false_rollback_probability: 0.5 is out of range; allowed is 0.000001 to 0.1, such as 0.001",
        ),
        (
            added("rule", "{ name: r, probe: home, regression: { of: weather } }"),
            "regression.of: \"weather\" is not what is compared; allowed are failures and latency",
        ),
        (
            added("rule", "{ name: r, probe: home, regression: { of: latency, worse_by: 11 } }"),
            "regression.worse_by: 11 is out of range; allowed is 0 to 10, such as 0.5",
        ),
        (
            added("rule", "{ name: r, probe: home, regression: { of: latency } }").replacen(
                "    probes:",
                "    watch: 2m\n    probes:",
                1,
            ),
            "regression.of: latency is never found to be worse in a watch of 2m; allowed is in one of at least 2m 30s, for 3 \
             stretches of 30s: lengthen watch, or lower min_failures",
        ),
        (
            added("rule", "{ name: r, probe: home, regression: { worse_by: 2 } }"),
            "regression.worse_by: 2 is out of range; allowed is 0 to 0.5, such as 0.02",
        ),
        (
            added("rule", "{ name: r, probe: home, regression: { glitch: 5m } }"),
            "regression.glitch: 5m is out of range; allowed is 0s to 1m",
        ),
        (
            added("rule", "{ name: r, probe: home, regression: { min_failures: 0 } }"),
            "regression.min_failures: 0 is out of range; allowed is 1 to 1000",
        ),
        (
            added("rule", "{ name: r, probe: home, failure_ratio: { above: 1.0 } }"),
            "above: 1 is out of range; allowed is 0 to below 1",
        ),
        (
            added("rule", "{ name: r, probe: home, failure_ratio: { above: 0.1, over: 10s } }"),
            "10s never hold 20 samples, at 1s a sample",
        ),
        (
            added("rule", "{ name: r, probe: home, latency: { quantile: 1, above: 1s } }"),
            "quantile: 1 is out of range",
        ),
        (
            added("rule", "{ name: r, probe: home, latency: { quantile: 0.5, above: 2s } }"),
            "less than the probe's timeout, 2s",
        ),
        (added("rule", "{ name: r, probe: home }"), "rules[0]: has no condition; allowed is exactly one of"),
        (added("rule", "{ name: r, all: [] }"), "all: has none of them; allowed are at least two conditions"),
        (
            added("rule", "{ name: r, all: [{ probe: home, consecutive_failures: 3 }] }"),
            "rules[0].all: has one of them; allowed are at least two conditions",
        ),
        (
            added("rule", "{ name: r, at_least: 1 }"),
            "rules[0].of: is missing; allowed is a list of at least two",
        ),
        (
            added("rule", &format!("{{ name: r, of: [{TWO}] }}")),
            "rules[0].at_least: is missing; allowed is how many of the conditions have to be bad",
        ),
        (
            added("rule", &format!("{{ name: r, at_least: 3, of: [{TWO}] }}")),
            "at_least: 3 of 2 is out of range; allowed is 1 to 2",
        ),
        (
            added("rule", &format!("{{ name: r, at_least: 0, of: [{TWO}] }}")),
            "at_least: 0 of 2 is out of range; allowed is 1 to 2",
        ),
        (
            added("rule", &format!("{{ name: r, at_least: 1, any: [{TWO}] }}")),
            "at_least: stands beside any; allowed is with the conditions under of",
        ),
        (
            added("rule", &format!("{{ name: r, all: [{TWO}], any: [{TWO}] }}")),
            "any: stands beside all; allowed is one of all, any and of",
        ),
        (
            added("rule", &format!("{{ name: r, probe: home, all: [{TWO}] }}")),
            "probe: stands beside all; allowed is in one of the conditions of a list",
        ),
        (
            added("rule", &format!("{{ name: r, consecutive_failures: 3, any: [{TWO}] }}")),
            "consecutive_failures: stands beside any; allowed is in one of the conditions of a list",
        ),
        (
            added(
                "rule",
                "{ name: r, any: [{ probe: home, regression: {} }, { probe: home, regression: {} }] }",
            ),
            "any[1].regression: is the second regression in this rule; allowed is one",
        ),
        (
            added("rule", "{ name: r, any: [{ probe: home, consecutive_failures: 3 }, { probe: home }] }"),
            "any[1]: has no condition; allowed is exactly one of",
        ),
        (
            added(
                "rule",
                "{ name: r, any: [{ probe: home, all: [] }, { probe: home, consecutive_failures: 0 }] }",
            ),
            "unknown key `all`",
        ),
        (
            on_certificates("{ name: r, probe: cert, consecutive_failures: 1 }"),
            "rules[0]: would roll a release back for its certificates, which it does not change; allowed is action notify",
        ),
        (
            on_certificates(&format!(
                "{{ name: r, any: [{{ probe: cert, consecutive_failures: 1 }}, {TWO}] }}"
            )),
            "rules[0]: would roll a release back for its certificates",
        ),
        (
            on_certificates(
                "{ name: r, all: [{ probe: cert, regression: {} }, { probe: home, consecutive_failures: 3 }] }",
            ),
            "all[0].regression: would accuse a release of what it does not change",
        ),
        (added("rule", "{ name: r, action: page, probe: home, consecutive_failures: 3 }"), "not an action"),
    ];
    are_named(&cases);
}
