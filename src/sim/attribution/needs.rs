//! It is what the app needs, or another version that has answered.

use super::scenario::{
    APP, BOTH, Label, NEED, SLOWER, STATUS, Says, Scenario, WORSE, down, health, scenario,
};
use crate::lab::{Health, Lingering, Release};

const NEEDY: Says = Says::Blind("dependency");
const OTHER: Says = Says::Blind("version");

fn need(name: &'static str) -> Scenario {
    scenario(Label::Need, name).needs_database().says(NEEDY)
}

fn version(name: &'static str) -> Scenario {
    scenario(Label::Version, name).says(OTHER)
}

/// What was live before goes on answering.
fn lingers(seconds: u64, status: u16) -> Release {
    let lingering = Some(Lingering { for_ms: seconds * 1_000, status });
    Release { lingering, ..Release::good("v2") }
}

pub(super) fn scenarios() -> Vec<Scenario> {
    [needs(), versions(), not_told()].into_iter().flatten().collect()
}

fn needs() -> Vec<Scenario> {
    vec![
        need("the database dies two seconds after the release went live")
            .between(2.0, 300.0, down(NEED))
            .between(2.0, 299.0, down(APP))
            .everywhere(),
        need("the database dies a moment before the release goes live, and the app with it")
            .between(-3.0, 400.0, down(NEED))
            .between(0.1, 399.0, down(APP))
            .everywhere(),
        need("the database is down from long before the release until long after")
            .between(-300.0, 590.0, down(NEED))
            .between(-299.0, -0.5, down(APP))
            .between(0.1, 580.0, down(APP)),
        need("the database dies and does not come back, and the app with it")
            .between(20.0, 900.0, down(NEED))
            .between(20.5, 900.0, down(APP))
            .for_seconds(300.0)
            .says(Says::Because("it depends on database, which fails (connect)")),
        need("the database comes and goes, and the app with it")
            .every(10, (5.0, 20.0), 10.0, down(NEED))
            .every(10, (5.5, 20.0), 9.0, down(APP)),
        need("the database hangs instead of failing")
            .between(2.0, 300.0, health(NEED, Health::Slow { latency_ms: 10_000 }))
            .between(3.0, 299.0, down(APP)),
        need("the database is down and the app answers nothing in time")
            .between(2.0, 300.0, down(NEED))
            .between(3.0, 295.0, health(APP, Health::Slow { latency_ms: 30_000 })),
        need("one of two things is down that the app needs")
            .set(|setting| {
                setting.probes = &[
                    "{ name: database, tcp: 'app-1:5432' }",
                    "{ name: payments, url: 'https://lab.test/sites/app-2/healthz' }",
                ];
                setting.keys = "depends_on: [database, payments]";
            })
            .between(2.0, 300.0, down(STATUS))
            .between(3.0, 299.0, down(APP)),
        need("half of the app's requests need what is down")
            .between(10.0, 400.0, down(NEED))
            .between(10.5, 399.0, health(APP, Health::Failing { ratio: 0.5 }))
            .rules(BOTH),
        need("the app takes ten seconds to get over its database's end")
            .between(2.0, 120.0, down(NEED))
            .between(2.5, 130.0, down(APP))
            .rules(WORSE),
        need("the app takes a minute to get over its database's end")
            .between(2.0, 60.0, down(NEED))
            .between(2.5, 120.0, down(APP))
            .everywhere(),
        need("the database is slow beyond its timeout, and makes the app slow that needs it")
            .set(|setting| setting.probes = &["{ name: database, tcp: 'app-1:5432', timeout: 500ms }"])
            .rules(SLOWER)
            .between(60.0, 900.0, health(NEED, Health::Slow { latency_ms: 1_500 }))
            .between(60.0, 900.0, health(APP, Health::Slow { latency_ms: 1_600 }))
            .for_seconds(900.0),
        need("the database is slow, and the app slower than it may ever be")
            .set(|setting| setting.probes = &["{ name: database, tcp: 'app-1:5432', timeout: 500ms }"])
            .rules("[{ name: slow, probe: home, latency: { quantile: 0.5, above: 800ms, over: 1m, min_samples: 10 } }]")
            .between(30.0, 400.0, health(NEED, Health::Slow { latency_ms: 1_000 }))
            .between(30.0, 400.0, health(APP, Health::Slow { latency_ms: 1_200 })),
    ]
}

fn versions() -> Vec<Scenario> {
    let named = |name, release| {
        version(name)
            .set(|setting| setting.page = ("healthz", ", expect_version: { header: x-version }"))
            .of(release)
    };
    vec![
        named("the release before goes on failing for two minutes, by its own name", lingers(120, 502))
            .everywhere(),
        version("the release before goes on failing, and says in JSON who it is")
            .set(|setting| setting.page = ("status", ", expect_version: { json: /commit }"))
            .of(lingers(120, 503)),
        named(
            "the release before answers 502 for half a minute, as instances do that are being stopped",
            lingers(30, 502),
        ),
        named("a cache goes on giving out what the bad release before has answered", lingers(90, 500))
            .at(-300.0, down(APP)[0].clone()),
        named("the old instances fail for a quarter of an hour", lingers(900, 504)).for_seconds(1_200.0),
    ]
}

/// What nobody tells today.
fn not_told() -> Vec<Scenario> {
    vec![
        need("the database is slow, and answers in time")
            .rules(SLOWER)
            .between(60.0, 900.0, health(NEED, Health::Slow { latency_ms: 1_500 }))
            .between(60.0, 900.0, health(APP, Health::Slow { latency_ms: 1_600 }))
            .for_seconds(900.0)
            .gap("what it may take is what its probe's timeout says, which is 2 s"),
    ]
}
