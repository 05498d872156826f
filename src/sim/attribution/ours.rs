//! It is us, or it is everyone.

use std::time::Duration;

use super::scenario::{
    APP, LEAD, Label, Lost, SIBLING, STATUS, Says, Scenario, WORSE, answers, cut_off, down, fault, push,
    scenario, sites_cut_off,
};
use super::told::UNSEEN;
use crate::lab::{Fault, Kind, Release, Target, When};
use crate::sim::course::Event;

fn us(name: &'static str) -> Scenario {
    scenario(Label::Us, name)
}

fn everyone(name: &'static str) -> Scenario {
    scenario(Label::Everyone, name)
}

const BLIND: Says = Says::Blind("control");
/// The app itself was seen to fail.
const FAILED: Says = Says::Counts("probes_total{probe=\"home\",result=\"status\"}");

pub(super) fn scenarios() -> Vec<Scenario> {
    [ours(), ours_alone(), everyones(), not_told()].into_iter().flatten().collect()
}

/// Our network, with control probes.
fn ours() -> Vec<Scenario> {
    vec![
        us("our network drops two seconds after the release went live")
            .between(2.0, 60.0, cut_off())
            .says(UNSEEN)
            .everywhere(),
        us("our network is gone from before the release goes live until it has been for two minutes")
            .between(-10.0, 120.0, cut_off())
            .says(UNSEEN)
            .says(Says::Blind("platform"))
            .everywhere(),
        us("our way to the sites is gone while the platform can be reached")
            .between(3.0, 240.0, sites_cut_off())
            .says(BLIND)
            .everywhere(),
        us("our resolver knows no names from the first samples of the release on")
            .between(1.0, 120.0, sites_cut_off())
            .set(|setting| setting.lost = Lost::NoName)
            .says(BLIND),
        us("our packets are swallowed, and everything takes too long")
            .between(1.0, 180.0, sites_cut_off())
            .set(|setting| setting.lost = Lost::Swallowed)
            .says(BLIND),
        us("our network drops again and again").every(12, (1.0, 9.0), 4.0, cut_off()).says(UNSEEN),
        us("our line loses every third connection, to the app and to the control alike")
            .at(0.0, lost_every(3, Target::Site))
            .at(0.0, lost_every(3, Target::Up))
            .says(BLIND)
            .everywhere(),
        us("our line loses every fifth connection, and nobody is in haste")
            .rules(WORSE)
            .at(0.0, lost_every(5, Target::Site))
            .at(0.0, lost_every(5, Target::Up))
            .says(BLIND),
        us("our packets are swallowed for a second and a half again and again")
            .set(|setting| setting.lost = Lost::Swallowed)
            .rules(WORSE)
            .every(60, (1.0, 7.0), 1.5, sites_cut_off())
            .says(BLIND),
        us("our packets are swallowed for two seconds every ten, as often as not between the controls")
            .set(|setting| setting.lost = Lost::Swallowed)
            .rules(WORSE)
            .every(90, (1.0, 10.0), 2.4, sites_cut_off())
            .for_seconds(900.0)
            .says(BLIND),
        us("our network comes and goes by the second")
            .every(30, (1.0, 3.0), 1.2, sites_cut_off())
            .says(BLIND),
        us("the way to the app breaks first and the one to the control a second later")
            .between(2.0, 90.0, answers(Target::Site, 502))
            .between(3.0, 91.0, sites_cut_off())
            .says(BLIND),
        us("the control fails first and the app right after it, and they come back together")
            .between(-4.0, 100.0, fault(Target::Up, Kind::Reset { applied: false }))
            .at(2.0, fault(Target::Site, Kind::Reset { applied: false })[0].clone())
            .says(BLIND),
        us("a gateway of our own answers 502 for the whole world")
            .between(1.0, 120.0, answers(Target::Site, 502))
            .at(0.8, answers(Target::Up, 502)[0].clone())
            .says(BLIND),
        us("our network drops, and the platform's API says nothing useful when it is back")
            .between(1.0, 60.0, cut_off())
            .between(61.0, 120.0, fault(Target::Api, Kind::Empty))
            .says(UNSEEN)
            .says(Says::Blind("platform")),
    ]
}

/// Every third connection, say, is reset.
fn lost_every(nth: u64, on: Target) -> Event {
    Event::Fault(Box::new(Fault::on(on, Kind::Reset { applied: false }).when(When::Every(nth))))
}

/// Our network without control probes, our machine, our clock.
fn ours_alone() -> Vec<Scenario> {
    vec![
        us("without control probes our network drops when the release goes live")
            .set(|setting| setting.has_controls = false)
            .between(1.0, 120.0, cut_off())
            .says(UNSEEN)
            .everywhere(),
        us("without control probes our network comes and goes")
            .set(|setting| (setting.has_controls, setting.siblings) = (false, 2))
            .every(10, (1.0, 12.0), 6.0, cut_off())
            .says(UNSEEN),
        us("the machine sleeps ten minutes in a watch, and its network is late when it wakes")
            .at(20.0, Event::Sleeps(Duration::from_secs(600)))
            .between(620.5, 650.0, cut_off())
            .for_seconds(1_200.0)
            .says(UNSEEN),
        us("the wall clock jumps a day ahead and back while our network is gone")
            .between(3.0, 63.0, [Event::Wall(86_400_000), Event::Wall(0)])
            .between(5.0, 90.0, cut_off())
            .says(UNSEEN),
    ]
}

/// The platform, and everything on it.
fn everyones() -> Vec<Scenario> {
    vec![
        everyone("the platform's edge answers 502 for every app, and its status page says so")
            .needs_platform()
            .set(|setting| setting.siblings = 2)
            .between(2.0, 300.0, answers(Target::Site, 502))
            .says(Says::Blind("dependency"))
            .everywhere(),
        siblings_asked("the platform's edge answers 502 for every app, and the others are asked")
            .between(2.0, 300.0, answers(Target::Site, 502))
            .everywhere(),
        everyone(
            "the platform's edge answers 502 for every app a minute and a half after the release went live",
        )
        .set(|setting| setting.siblings = 4)
        .between(90.0, 400.0, answers(Target::Site, 502))
        .says(Says::Blind("siblings"))
        .everywhere(),
        everyone("the platform's edge resets every connection to its apps, and nobody has control probes")
            .set(|setting| (setting.has_controls, setting.siblings) = (false, 3))
            .between(120.0, 420.0, fault(Target::Site, Kind::Reset { applied: false }))
            .says(Says::Blind("siblings")),
        siblings_asked("the platform's edge comes and goes for every app").every(
            8,
            (2.0, 40.0),
            15.0,
            answers(Target::Site, 503),
        ),
        siblings_asked("the platform's edge fails from a moment before the release goes live").between(
            -4.0,
            240.0,
            fault(Target::Site, Kind::Reset { applied: false }),
        ),
        everyone("the platform's status page is red, and the app fails")
            .needs_platform()
            .between(0.0, 400.0, down(STATUS))
            .between(1.0, 390.0, down(APP))
            .says(Says::Blind("dependency")),
        everyone("the platform's edge hiccups for ten seconds right after the release went live")
            .rules(WORSE)
            .between(1.0, 11.0, answers(Target::Site, 502))
            .says(FAILED)
            .everywhere(),
        released_together(
            "more apps than a few are released together, the platform's edge fails, and ours is in no haste",
        )
        .rules(WORSE)
        .says(Says::Counts("decisions_total{decision=\"refuse\",reason=\"storm\"}")),
    ]
}

/// Other apps of the account, which were not released, are asked when this one fails.
fn siblings_asked(name: &'static str) -> Scenario {
    everyone(name)
        .set(|setting| (setting.siblings, setting.keys) = (3, "siblings: 2"))
        .says(Says::Blind("siblings"))
}

/// Five other apps are released in the same minute, with a rule that is hasty, and then every site fails.
fn released_together(name: &'static str) -> Scenario {
    let ours = everyone(name).set(|setting| setting.siblings = 5);
    let ours = ours.between(4.0, 400.0, answers(Target::Site, 502));
    (SIBLING..SIBLING + 5).fold(ours, |ours, app| ours.at(-LEAD + 1.0, push(app, Release::good("v2")).1))
}

/// What nobody tells today.
fn not_told() -> Vec<Scenario> {
    vec![
        everyone("the platform's edge answers 502 for every app while controls elsewhere are well")
            .set(|setting| setting.siblings = 4)
            .between(2.0, 300.0, answers(Target::Site, 502))
            .gap("a release is held to be why the others fail, where it was never well for a minute and `siblings` does not say otherwise"),
        everyone("without control probes the platform's edge answers 502 for every app while its API is well")
            .set(|setting| (setting.has_controls, setting.siblings) = (false, 4))
            .between(2.0, 300.0, answers(Target::Site, 502))
            .gap("the same, and an answer of the platform's API speaks for our network"),
        released_together("more apps than a few are released together, the platform's edge fails, and all are in haste")
            .gap("the storm breaker lets three go before it opens"),
    ]
}
