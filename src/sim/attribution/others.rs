//! It was so before, a person did it, or nobody.

use std::time::Duration;

use super::scenario::{APP, BOTH, Label, SLOWER, Says, Scenario, WORSE, answers, down, health, scenario};
use crate::lab::{Action, Health, Release, Target, Vitals};
use crate::sim::course::Event;

/// The app itself was seen to fail.
const FAILED: Says = Says::Counts("probes_total{probe=\"home\",result=\"status\"}");
/// A rule has spoken, and has said that it did so before.
const REFUSED: Says = Says::Counts("decisions_total{decision=\"refuse\",reason=\"bad_before_deployment\"}");

fn before(name: &'static str) -> Scenario {
    scenario(Label::Before, name)
}

fn person(name: &'static str) -> Scenario {
    scenario(Label::Person, name)
}

fn nobody(name: &'static str) -> Scenario {
    scenario(Label::Nobody, name)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    [earlier(), people(), glitches(), deployments()].into_iter().flatten().collect()
}

fn earlier() -> Vec<Scenario> {
    let failing = |ratio| Health::Failing { ratio };
    vec![
        before("the release before failed altogether, and this one does")
            .at(-300.0, down(APP)[0].clone())
            .of(Release::bad("v2"))
            .says(REFUSED)
            .says(Says::Tells("the rule was bad already before"))
            .everywhere(),
        before("the release before failed one time in ten, and this one as often")
            .at(-850.0, health(APP, failing(0.1))[0].clone())
            .of(Release::with_health("v2", failing(0.1)))
            .rules(WORSE)
            .for_seconds(1_700.0)
            .says(FAILED)
            .says(Says::Reads("samples failed, where"))
            .everywhere(),
        before("the release before failed one time in three, and so does this one")
            .at(-600.0, health(APP, failing(0.34))[0].clone())
            .of(Release::with_health("v2", failing(0.34)))
            .rules("[{ name: flaky, probe: home, failure_ratio: { above: 0.2 } }]")
            .says(REFUSED),
        before("the app is as slow as it was")
            .at(-600.0, health(APP, Health::Slow { latency_ms: 1_200 })[0].clone())
            .of(Release::with_health("v2", Health::Slow { latency_ms: 1_200 }))
            .rules("[{ name: slow, probe: home, latency: { quantile: 0.95, above: 800ms } }]")
            .says(REFUSED),
        before("the processor was as busy before")
            .set(|setting| {
                setting.first.vitals = busy();
                setting.probes = &["{ name: cpu, platform: { figure: cpu_percentage, at_most: 80 } }"];
                setting.rules = "[{ name: busy, probe: cpu, consecutive_failures: 2 }]";
            })
            .of(Release { vitals: busy(), ..Release::good("v2") })
            .says(Says::Blind("before")),
        before("everything fails since twenty seconds before the release, for two minutes")
            .rules(WORSE)
            .between(-20.0, -0.5, answers(Target::Site, 503))
            .between(-0.4, 120.0, answers(Target::Site, 503))
            .says(FAILED)
            .says(Says::Reads("samples failed, where")),
        before("a release that was to mend it does not")
            .at(-120.0, down(APP)[0].clone())
            .of(Release::bad("v2"))
            .rules("[{ name: down, probe: home, consecutive_failures: 3 }]")
            .says(REFUSED),
        before("the same release is deployed again while the app is down")
            .at(-200.0, down(APP)[0].clone())
            .of(Release { commit: Release::good("v1").commit_hash(), ..Release::bad("v2") })
            .says(REFUSED),
    ]
}

fn busy() -> Vitals {
    Vitals { cpu_percentage: 95.0, ..Vitals::default() }
}

fn people() -> Vec<Scenario> {
    vec![
        person("a person rolls a bad release back before we do")
            .of(Release::bad("v2"))
            .at(2.0, Event::Person(APP, Action::Rollback { to: None, skip_pin: false }))
            .says(FAILED)
            .everywhere(),
        person("a person pushes what mends a bad release a second after it went live")
            .of(Release::bad("v2"))
            .at(1.0, Event::Push(APP, Box::new(Release::good("v3"))))
            .says(FAILED)
            .everywhere(),
        person("a person has paused us and breaks the app knowingly")
            .at(-60.0, Event::Pause(Some(APP), true))
            .of(Release::bad("v2"))
            .says(Says::Counts("decisions_total{decision=\"refuse\",reason=\"paused\"}")),
        person("a person restarts a good release, which fails for a few seconds")
            .rules(WORSE)
            .at(60.0, Event::Person(APP, Action::Restart))
            .between(66.0, 74.0, answers(Target::Site, 503))
            .says(FAILED),
        person("a person goes back to an older release, and that one is bad")
            .of(Release::good("v2"))
            .at(200.0, Event::Person(APP, Action::Rollback { to: None, skip_pin: false }))
            .at(230.0, down(APP)[0].clone())
            .says(FAILED),
        person("a person cancels a release that is being built")
            .at(-8.0, Event::Person(APP, Action::Cancel { deployment: None }))
            .between(1.0, 90.0, down(APP))
            .says(FAILED),
    ]
}

fn glitches() -> Vec<Scenario> {
    let slow = |latency_ms| health(APP, Health::Slow { latency_ms });
    vec![
        nobody("everything fails for fifteen seconds right after the release went live")
            .rules(WORSE)
            .between(1.0, 16.0, down(APP))
            .says(FAILED)
            .everywhere(),
        nobody("everything fails for a second")
            .every(5, (5.0, 61.3), 1.5, down(APP))
            .rules(BOTH)
            .says(FAILED),
        nobody("everything fails for twelve seconds every few minutes, as it did before")
            .rules(WORSE)
            .every(4, (-840.0, 200.0), 12.0, down(APP))
            .every(6, (30.0, 200.0), 12.0, down(APP))
            .for_seconds(1_500.0)
            .says(FAILED),
        nobody("one request in a hundred fails where none did")
            .rules(WORSE)
            .of(Release::with_health("v2", Health::Failing { ratio: 0.01 }))
            .for_seconds(1_700.0)
            .says(FAILED)
            .says(Says::Reads("samples failed, where")),
        nobody("a cold start is slow for half a minute")
            .rules(SLOWER)
            .between(0.1, 30.0, slow(1_500))
            .says(Says::Reads("slower good"))
            .everywhere(),
        nobody("a slow spell of fifteen seconds")
            .rules(SLOWER)
            .between(120.0, 135.0, slow(1_400))
            .says(Says::Reads("slower good")),
        nobody("the app is a fifth slower than it was")
            .rules(SLOWER)
            .at(-900.0, slow(400)[0].clone())
            .of(Release::with_health("v2", Health::Slow { latency_ms: 480 }))
            .says(Says::Reads("slower good")),
        nobody("the app fails before the release, and is well again when it goes live")
            .between(-90.0, -4.0, down(APP))
            .says(FAILED),
    ]
}

/// What was deployed is not what it seems.
fn deployments() -> Vec<Scenario> {
    let same = |setting: &str, health| Release {
        commit: Release::good("v1").commit_hash(),
        setting: setting.to_owned(),
        ..Release::with_health("v2", health)
    };
    vec![
        nobody("the same commit with another setting, and ten bad seconds")
            .of(same("other", Health::Good))
            .rules(WORSE)
            .between(3.0, 13.0, down(APP))
            .says(FAILED),
        nobody("the same release once more, and ten bad seconds")
            .by(Action::Deploy)
            .rules(WORSE)
            .between(3.0, 13.0, down(APP))
            .says(FAILED)
            .everywhere(),
        nobody("what ran well is deployed once more, without any change, and fails")
            .of(same("", Health::Bad { status: 500 }))
            .says(Says::Tells("there is no deployment to go back to")),
        nobody("the platform's upkeep makes a deployment, and the app fails after it")
            .by(Action::Maintenance)
            .between(1.0, 120.0, down(APP))
            .says(FAILED),
        nobody("the autoscaler makes a deployment, and the app fails after it")
            .by(Action::Autoscale)
            .between(1.0, 120.0, down(APP))
            .says(FAILED),
        nobody(
            "the machine sleeps a quarter of an hour while a good release is young, which fails meanwhile",
        )
        .at(8.0, Event::Sleeps(Duration::from_secs(900)))
        .between(900.0, 920.0, down(APP))
        .for_seconds(1_500.0)
        .rules(WORSE)
        .says(FAILED),
        nobody("the wall clock jumps by an hour, and ten bad seconds")
            .at(2.0, Event::Wall(-3_600_000))
            .rules(WORSE)
            .between(3.0, 13.0, down(APP))
            .says(FAILED),
        nobody("the platform limits how often we ask, and ten bad seconds")
            .between(1.0, 100.0, answers(Target::Api, 429))
            .at(20.0, down(APP)[0].clone())
            .at(30.0, down(APP)[1].clone())
            .rules(WORSE)
            .says(FAILED)
            .everywhere(),
    ]
}
