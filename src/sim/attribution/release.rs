//! The release did it, though excuses are near.

use super::scenario::{
    APP, BOTH, Label, NEED, SIBLING, SLOWER, STATUS, Says, Scenario, WORSE, answers, cut_off, down, fault,
    health, push, scenario, sites_cut_off,
};
use crate::lab::{Action, Health, Kind, Lingering, Operation, Release, Target, Vitals};
use crate::sim::course::Event;
use std::time::Duration;

fn broken() -> Release {
    Release::bad("v2")
}

fn failing(ratio: f64) -> Release {
    Release::with_health("v2", Health::Failing { ratio })
}

fn did(name: &'static str) -> Scenario {
    scenario(Label::Release, name).says(Says::Tells("fired on deployment")).for_seconds(1_500.0)
}

/// Restarts that the platform counts.
const RESTARTS: &[&str] = &["{ name: restarts, platform: { figure: restart_count, at_most: 0 } }"];

pub(super) fn scenarios() -> Vec<Scenario> {
    [alone(), near_others(), near_us(), not_told()].into_iter().flatten().collect()
}

/// It is bad in its own way.
fn alone() -> Vec<Scenario> {
    let dying = Vitals { restarts_every_ms: Some(20_000), ..Vitals::default() };
    let commit = Release::good("v1").commit_hash();
    let of_one_commit = Release { commit, setting: "wrong".to_owned(), ..broken() };
    vec![
        did("a release answers every request with 500").of(broken()).everywhere(),
        did("a release never answers in time")
            .of(Release::with_health("v2", Health::Slow { latency_ms: 30_000 }))
            .everywhere(),
        did("every fifth request to a release fails").of(failing(0.2)).rules(WORSE).everywhere(),
        did("one of two instances of a release is broken").of(failing(0.5)).rules(WORSE),
        did("a release breaks ten minutes after it went live")
            .of(Release::with_health("v2", Health::BadAfter { after_ms: 600_000, status: 500 }))
            .everywhere(),
        did("a changed setting breaks the same commit").of(of_one_commit),
        did("a release answers 404 where its page was")
            .of(Release::with_health("v2", Health::Bad { status: 404 })),
        did("a release takes three times as long, and fails nothing")
            .at(-900.0, health(APP, Health::Slow { latency_ms: 300 })[0].clone())
            .of(Release::with_health("v2", Health::Slow { latency_ms: 1_200 }))
            .rules(SLOWER),
        did("a release dies and is started again and again, and its page is well")
            .of(Release { vitals: dying, ..Release::good("v2") })
            .set(|setting| {
                setting.probes = RESTARTS;
                setting.rules = "[{ name: crashes, probe: restarts, consecutive_failures: 2 }]";
            }),
        did("a release was good for its first answers and fails from then on")
            .of(Release::with_health("v2", Health::BadAfter { after_ms: 20_000, status: 502 }))
            .rules(WORSE),
    ]
}

/// Others had their trouble, too.
fn near_others() -> Vec<Scenario> {
    let lingering = |status| Some(Lingering { for_ms: 20_000, status });
    vec![
        did("the database was down shortly before and is back when the release goes live")
            .needs_database()
            .between(-30.0, -8.0, down(NEED))
            .of(broken())
            .everywhere(),
        did("the database is down while the release goes live, and the release is bad without that")
            .needs_database()
            .between(-5.0, 40.0, down(NEED))
            .of(broken()),
        did("the database is slow and well, and the release is bad")
            .needs_database()
            .between(-5.0, 900.0, health(NEED, Health::Slow { latency_ms: 900 }))
            .of(broken()),
        did("something fails that the app does not need")
            .set(|setting| setting.probes = &["{ name: database, tcp: 'app-1:5432' }"])
            .between(-5.0, 900.0, down(NEED))
            .of(broken()),
        did("the platform's status page was red until a moment ago")
            .needs_platform()
            .between(-120.0, 15.0, down(STATUS))
            .of(broken()),
        did("the release before answered well for a while, by its own name, and then the bad one did")
            .set(|setting| setting.page = ("healthz", ", expect_version: { header: x-version }"))
            .of(Release { lingering: lingering(200), ..broken() }),
        did("another version failed first, and the release does so as well")
            .set(|setting| setting.page = ("status", ", expect_version: { header: x-version }"))
            .of(Release { lingering: lingering(502), ..broken() })
            .says(Says::Blind("version"))
            .everywhere(),
        did("a bad release says its name")
            .set(|setting| setting.page = ("healthz", ", expect_version: { header: x-version }"))
            .of(broken()),
        did("something before the app answers 502 for a bad release, and names no version")
            .set(|setting| setting.page = ("status", ", expect_version: { json: /version }"))
            .between(1.0, 1_200.0, fault(Target::Site, Kind::Html { code: 502 })),
        did("the release before failed at times, and this one fails half of the time")
            .at(-800.0, health(APP, Health::Failing { ratio: 0.05 })[0].clone())
            .of(failing(0.5))
            .rules(WORSE),
        did("the release before failed one time in fifty, and this one six times as often")
            .at(-800.0, health(APP, Health::Failing { ratio: 0.02 })[0].clone())
            .of(failing(0.12))
            .rules(WORSE),
        did("the app had a bad spell before the release, and was well again")
            .between(-400.0, -360.0, down(APP))
            .of(broken()),
        did("the app fails for half a minute until the release is live, which is bad ten minutes later")
            .between(-25.0, -0.5, down(APP))
            .of(Release::with_health("v2", Health::BadAfter { after_ms: 600_000, status: 500 })),
        did("another app is broken by its own release in the same minute")
            .set(|setting| setting.siblings = 2)
            .at(-15.0, push(SIBLING, Release::bad("v2")).1)
            .of(broken()),
        did("two other apps are broken by their own releases in the same minute")
            .set(|setting| setting.siblings = 3)
            .at(-15.5, push(SIBLING, Release::bad("v2")).1)
            .at(-15.0, push(SIBLING + 1, Release::bad("v2")).1)
            .of(broken()),
        did("two other apps are broken by their own releases, and are asked")
            .set(|setting| (setting.siblings, setting.keys) = (3, "siblings: 2"))
            .at(-15.5, push(SIBLING, Release::bad("v2")).1)
            .at(-15.0, push(SIBLING + 1, Release::bad("v2")).1)
            .of(broken()),
        did("two other apps run bad releases of their own for ten minutes, and are only observed")
            .set(|setting| (setting.siblings, setting.keys) = (3, "siblings: 2"))
            .at(-850.0, Event::Mode(SIBLING, "observe"))
            .at(-850.0, Event::Mode(SIBLING + 1, "observe"))
            .at(-600.5, push(SIBLING, Release::bad("v2")).1)
            .at(-600.0, push(SIBLING + 1, Release::bad("v2")).1)
            .of(broken()),
        did("three other apps need this one, whose release is bad from the first minute on")
            .set(|setting| setting.siblings = 3)
            .at(3.0, answers(Target::Site, 502)[0].clone())
            .of(broken()),
        did("three other apps need this one, which says so, and its release is bad ten minutes later")
            .set(|setting| (setting.siblings, setting.keys) = (3, "siblings: 0"))
            .at(601.0, answers(Target::Site, 502)[0].clone())
            .of(Release::with_health("v2", Health::BadAfter { after_ms: 600_000, status: 500 })),
        did("a release is bad two minutes later, and two of three other apps fail by themselves")
            .set(|setting| setting.siblings = 3)
            .at(-100.0, down(SIBLING)[0].clone())
            .at(100.0, down(SIBLING + 1)[0].clone())
            .of(Release::with_health("v2", Health::BadAfter { after_ms: 120_000, status: 500 })),
        did("the database was down for ten minutes, and a bad release follows when it is back")
            .needs_database()
            .between(-700.0, -100.0, down(NEED))
            .between(-699.0, -99.0, down(APP))
            .of(broken()),
        did("a page about the platform is wrong for an hour while the app is well, and a bad release follows")
            .needs_platform()
            .at(-800.0, down(STATUS)[0].clone())
            .of(broken()),
        did("a release fails half of the time from its first minute on, and three others with it")
            .rules("[{ name: flaky, probe: home, failure_ratio: { above: 0.2, over: 2m, min_samples: 60 } }]")
            .set(|setting| setting.siblings = 3)
            .at(70.0, answers(Target::Site, 502)[0].clone())
            .of(failing(0.5)),
        (1..12).fold(did("eleven other apps fail by themselves and one does not, and a release is bad two minutes later"), |it, app| {
            it.at(-100.0 + f64::from(app), down(SIBLING + app as usize)[0].clone())
        })
            .set(|setting| setting.siblings = 12)
            .of(Release::with_health("v2", Health::BadAfter { after_ms: 120_000, status: 500 })),
        did("a third of the database's answers fail as ever, and a release is dead")
            .needs_database()
            .at(-800.0, health(NEED, Health::Failing { ratio: 0.33 })[0].clone())
            .of(broken()),
        did("the database fails one time in ten, and a release is dead")
            .needs_database()
            .at(-800.0, health(NEED, Health::Failing { ratio: 0.1 })[0].clone())
            .of(broken()),
        did("nothing ever listens where the database is said to be, the app failed once, and a release is dead")
            .needs_database()
            .at(-800.0, down(NEED)[0].clone())
            .between(-700.0, -698.0, down(APP))
            .of(broken()),
        did("the database is well, and the release is slower")
            .needs_database()
            .rules("[{ name: slow, probe: home, latency: { quantile: 0.5, above: 800ms, over: 1m, min_samples: 10 } }]")
            .of(Release::with_health("v2", Health::Slow { latency_ms: 1_200 })),
        did("one other app fails by itself, where two have to")
            .set(|setting| (setting.siblings, setting.keys) = (3, "siblings: 2"))
            .at(-100.0, down(SIBLING)[0].clone())
            .of(broken()),
        did("the platform restarts a release for its upkeep, and it is as bad as before")
            .of(Release::with_health("v2", Health::BadAfter { after_ms: 60_000, status: 500 }))
            .at(20.0, Event::Person(APP, Action::Maintenance)),
    ]
}

/// What nobody tells today.
fn not_told() -> Vec<Scenario> {
    vec![
        did("three other apps need this one, and its release is bad ten minutes later")
            .set(|setting| setting.siblings = 3)
            .between(601.0, 3_000.0, answers(Target::Site, 502))
            .of(Release::with_health("v2", Health::BadAfter { after_ms: 600_000, status: 500 }))
            .for_seconds(2_400.0)
            .gap("a release that was well for a minute is not held to be why all others fail, unless `siblings: 0` says so"),
        did("the app fails for a minute and a half around its release, which is bad ten minutes later")
            .between(-25.0, -0.5, down(APP))
            .between(0.1, 65.0, down(APP))
            .at(600.0, down(APP)[0].clone())
            .gap("a release that a rule was bad before is not watched any more once that was said"),
    ]
}

/// We had our trouble, too.
fn near_us() -> Vec<Scenario> {
    vec![
        did("our network is gone for half a minute when a bad release goes live")
            .between(-2.0, 30.0, cut_off())
            .of(broken())
            .everywhere(),
        did("our way to the sites breaks once in a while, and a release is bad")
            .every(4, (1.0, 10.0), 2.0, sites_cut_off())
            .of(broken()),
        did("a control probe fails once when a bad release goes live")
            .between(0.0, 4.0, answers(Target::Up, 503))
            .of(broken()),
        did("without control probes the platform's answers speak for our network")
            .set(|setting| setting.has_controls = false)
            .of(broken())
            .everywhere(),
        did("the platform's API fails for a minute when a bad release goes live")
            .between(1.0, 60.0, answers(Target::Api, 500))
            .of(broken()),
        did("the platform refuses our reads for a minute when a bad release goes live")
            .between(-1.0, 60.0, answers(Target::Call(Operation::GetApp), 429))
            .of(broken()),
        did("the machine slept while a bad release went live")
            .at(-2.0, Event::Sleeps(Duration::from_secs(60)))
            .of(broken()),
        did("the wall clock jumps by an hour when a bad release goes live")
            .at(1.0, Event::Wall(3_600_000))
            .of(broken())
            .rules(BOTH),
    ]
}
