//! Rules: one condition each or several, on probes that exist, with windows that can be filled.

mod regression;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use regression::regression;

use super::app::{listed, word};
use super::probe::Draft;
use super::{count, duration, items, name};
use crate::config::leaf::{Count, List, Share, Span, Text};
use crate::config::problem::{Spot, shown};
use crate::config::span::spoken;
use crate::config::{defaults, raw};
use crate::decision::policy::{Action, Condition, Rule, Test};
use crate::decision::sample::Window;

/// The conditions on one probe.
const KEYS: [&str; 4] = ["consecutive_failures", "failure_ratio", "latency", "regression"];
const CONDITIONS: &str = "exactly one of consecutive_failures, failure_ratio, latency and regression";
/// What stands for several of them.
const OR_SEVERAL: &str = "or several conditions under all, under any, or under of with at_least";

/// What of its app a rule depends on.
pub(super) struct Surroundings<'a> {
    pub(super) watch: Option<Duration>,
    /// The time before a deployment went live whose samples are still wanted when that is noticed.
    pub(super) lookback: Duration,
    /// The app's probes, those with a problem too.
    pub(super) names: &'a BTreeSet<String>,
    /// A probe has no name.
    pub(super) nameless: bool,
}

pub(super) fn rules(
    spot: &Spot,
    list: Option<&List<raw::Rule>>,
    probes: &mut [Option<Draft>],
    around: &Surroundings,
) -> Vec<Rule> {
    let mut taken = BTreeMap::new();
    let mut rules = Vec::new();
    for (spot, raw) in items(spot, list) {
        let name = name(&spot.key("name"), raw.name.as_ref(), &mut taken);
        let action = word(raw.action, Action::Rollback);
        let tests = tests(&spot, raw, probes, around);
        if let Some((tests, needed)) = &tests {
            accuses_a_release(&spot, tests, *needed, action, probes);
        }
        let rule = |name: String, (tests, needed)| Rule { name: name.into(), tests, needed, action };
        rules.extend(name.zip(tests).map(|(name, tests)| rule(name, tests)));
    }
    rules
}

/// That a certificate runs out is no release's doing, and going back does not renew it.
fn accuses_a_release(spot: &Spot, tests: &[Test], needed: usize, action: Action, probes: &[Option<Draft>]) {
    let is_about_certificates = |test: &&Test| {
        probes.get(test.probe).and_then(Option::as_ref).is_some_and(Draft::is_about_certificates)
    };
    if action == Action::Rollback && tests.iter().filter(is_about_certificates).count() >= needed {
        let remedy = "allowed is action notify or approve, or all together with what the release answers";
        spot.wrong(format!(
            "would roll a release back for its certificates, which it does not change; {remedy}"
        ));
    }
}

/// What a rule tests, and how many of the tests have to be Bad.
fn tests(
    spot: &Spot,
    raw: &raw::Rule,
    probes: &mut [Option<Draft>],
    around: &Surroundings,
) -> Option<(Vec<Test>, usize)> {
    let lists = [("all", &raw.all), ("any", &raw.any), ("of", &raw.of)];
    let is_written = |key: &str, is_there: bool| is_there || spot.key(key).is_broken();
    let written: Vec<&str> =
        lists.iter().filter(|(key, list)| is_written(key, list.is_some())).map(|(key, _)| *key).collect();
    let is_counted = is_written("at_least", raw.at_least.is_some());
    if written.is_empty() && !is_counted {
        let test = test(spot, &raw.own(), OR_SEVERAL, probes, around);
        return test.map(|test| (vec![test], 1));
    }
    if let Some(second) = written.get(1) {
        spot.key(second)
            .wrong_key(format!("stands beside {}; allowed is one of all, any and of", written[0]));
    }
    let own = raw.own();
    let there = [own.probe.is_some()].into_iter().chain(named(&own));
    for (key, _) in ["probe"].into_iter().chain(KEYS).zip(there).filter(|(_, is_there)| *is_there) {
        let first = written.first().unwrap_or(&"at_least");
        spot.key(key)
            .wrong_key(format!("stands beside {first}; allowed is in one of the conditions of a list"));
    }
    if written == ["of"] {
        if !is_counted {
            spot.key("at_least").missing("how many of the conditions have to be bad");
        }
    } else if is_counted {
        match written.first() {
            Some(key) => spot
                .key("at_least")
                .wrong_key(format!("stands beside {key}; allowed is with the conditions under of")),
            None => spot.key("of").missing("a list of at least two conditions"),
        }
    }
    let mut all = Vec::new();
    let mut counts = Vec::new();
    for (key, list) in lists.iter().filter_map(|(key, list)| Some((*key, list.as_ref()?))) {
        all.extend(several(&spot.key(key), list, probes, around));
        counts.push((key, list.0.len()));
    }
    let [(key, count)] = counts.as_slice() else { return None };
    let needed = match *key {
        "all" => Some(*count),
        "any" => Some(1),
        _ => needed(&spot.key("at_least"), raw.at_least, *count),
    };
    needed.filter(|_| all.len() == *count).map(|needed| (all, needed))
}

/// The conditions of a list that have no problem.
fn several(
    spot: &Spot,
    list: &List<raw::Condition>,
    probes: &mut [Option<Draft>],
    around: &Surroundings,
) -> Vec<Test> {
    if list.0.len() < 2 {
        spot.wrong(format!(
            "has {} of them; allowed are at least two conditions",
            if list.0.is_empty() { "none" } else { "one" }
        ));
    }
    let (mut tests, mut has_regression) = (Vec::new(), false);
    for (spot, raw) in items(spot, Some(list)) {
        if raw.regression.is_some() && std::mem::replace(&mut has_regression, true) {
            let remedy = "allowed is one, and a rule of its own for another";
            spot.key("regression").wrong_key(format!("is the second regression in this rule; {remedy}"));
        }
        tests.extend(test(&spot, raw, "", probes, around));
    }
    tests
}

fn needed(spot: &Spot, given: Option<Count>, conditions: usize) -> Option<usize> {
    let Count(given) = given?;
    match usize::try_from(given) {
        Ok(needed) if (1..=conditions).contains(&needed) => return Some(needed),
        _ => spot.wrong(format!("{given} of {conditions} is out of range; allowed is 1 to {conditions}")),
    }
    None
}

fn test(
    spot: &Spot,
    raw: &raw::Condition,
    otherwise: &str,
    probes: &mut [Option<Draft>],
    around: &Surroundings,
) -> Option<Test> {
    let probe = probe(&spot.key("probe"), raw.probe.as_ref(), probes, around);
    let draft = probe.and_then(|probe| probes.get_mut(probe)).and_then(Option::as_mut);
    let condition = condition(spot, raw, otherwise, draft, around);
    Some(Test { probe: probe?, condition: condition? })
}

/// Which of [`KEYS`] are there.
fn named(raw: &raw::Condition) -> [bool; KEYS.len()] {
    [
        raw.consecutive_failures.is_some(),
        raw.failure_ratio.is_some(),
        raw.latency.is_some(),
        raw.regression.is_some(),
    ]
}

/// The position of the probe, none when it is not there or has a problem of its own.
fn probe(spot: &Spot, text: Option<&Text>, probes: &[Option<Draft>], around: &Surroundings) -> Option<usize> {
    let Some(Text(name)) = text else {
        spot.missing("the name of one of the app's probes");
        return None;
    };
    if !around.names.contains(name) && !around.nameless {
        let there = listed(around.names);
        spot.wrong(format!("there is no probe \"{}\" in this app; allowed is {there}", shown(name)));
    }
    probes.iter().position(|probe| probe.as_ref().is_some_and(|probe| probe.name() == name))
}

fn condition(
    spot: &Spot,
    raw: &raw::Condition,
    otherwise: &str,
    probe: Option<&mut Draft>,
    around: &Surroundings,
) -> Option<Condition> {
    let there = KEYS.into_iter().zip(named(raw));
    let named: Vec<&str> = there.filter_map(|(key, there)| there.then_some(key)).collect();
    let broken = KEYS.iter().any(|key| spot.key(key).is_broken());
    match named.as_slice() {
        [] if broken || spot.is_broken() => return None,
        [] => {
            let otherwise = if otherwise.is_empty() { String::new() } else { format!(", {otherwise}") };
            spot.wrong(format!("has no condition; allowed is {CONDITIONS}{otherwise}"));
        }
        [_, second, ..] => {
            spot.key(second)
                .wrong_key(format!("is one of {} conditions; allowed is {CONDITIONS}", named.len()));
        }
        [_] => {}
    }
    let whys = match probe.as_ref() {
        Some(probe) if probe.is_about_certificates() => Some([
            ("latency", "would measure who presents the certificates, and not the release"),
            ("regression", "would accuse a release of what it does not change"),
        ]),
        Some(probe) if probe.is_of_the_platform() => Some([
            ("latency", "would measure the platform's API, and not the app"),
            ("regression", "would count one failure as often as the platform looks back on it"),
        ]),
        Some(probe) if !probe.is_answered_by_the_app() => Some([
            ("latency", "would measure the Prometheus server, and not the app"),
            ("regression", "would count one failure as often as the query looks back on it"),
        ]),
        _ => None,
    };
    let counts = probe.as_ref().and_then(|probe| probe.counts());
    let whys = if counts.is_some() { None } else { whys };
    if let Some(has_limit) = counts {
        of_counters(spot, &named, has_limit);
    }
    if let Some(whys) = whys {
        for (key, why) in whys {
            if named.contains(&key) {
                let allowed = "allowed on such a probe are consecutive_failures and failure_ratio";
                spot.key(key).wrong_key(format!("{why}; {allowed}"));
            }
        }
    }
    let [one, two, three, four] = KEYS.map(|key| spot.key(key));
    let mut probe = probe;
    // All are looked at, so that what is wrong with the second is found too.
    let streak =
        raw.consecutive_failures.map(|raw| consecutive_failures(&one, raw, probe.as_deref_mut(), around));
    let ratio = raw.failure_ratio.as_ref().map(|raw| failure_ratio(&two, raw, probe.as_deref_mut(), around));
    let latency = raw.latency.as_ref().map(|raw| latency(&three, raw, probe.as_deref_mut(), around));
    let regression = raw.regression.as_ref().map(|raw| regression(&four, raw, probe, around));
    streak.or(ratio).or(latency).or(regression).flatten()
}

/// What counters say is a share, which is good or bad only where there is a limit.
fn of_counters(spot: &Spot, named: &[&str], has_limit: bool) {
    for key in named.iter().filter(|key| **key != "regression") {
        let what = match *key {
            "latency" => {
                "would measure the Prometheus server, and not the app; allowed on counters is regression"
            }
            _ if has_limit => continue,
            _ => {
                "has nothing that is bad; allowed on counters is regression, or this with at_most in the probe"
            }
        };
        spot.key(key).wrong_key(what);
    }
}

fn consecutive_failures(
    spot: &Spot,
    given: Count,
    probe: Option<&mut Draft>,
    around: &Surroundings,
) -> Option<Condition> {
    let count = count(spot, Some(given), 0, &defaults::CONSECUTIVE_RANGE)?;
    if let Some(probe) = probe {
        probe.make_room(2 * count as usize + defaults::STREAK_SLACK, around.lookback);
    }
    Some(Condition::ConsecutiveFailures { count })
}

fn failure_ratio(
    spot: &Spot,
    raw: &raw::FailureRatio,
    probe: Option<&mut Draft>,
    around: &Surroundings,
) -> Option<Condition> {
    let above = share(&spot.key("above"), raw.above, |share| (0.0..1.0).contains(&share), "0 to below 1");
    let (over, min_samples) = window(spot, (raw.over, raw.min_samples), probe, around);
    Some(Condition::FailureRatio { above: above?, over: over?, min_samples: min_samples? })
}

fn latency(
    spot: &Spot,
    raw: &raw::Latency,
    probe: Option<&mut Draft>,
    around: &Surroundings,
) -> Option<Condition> {
    let inside = |share| 0.0 < share && share < 1.0;
    let quantile = share(&spot.key("quantile"), raw.quantile, inside, "above 0 to below 1, such as 0.95");
    let at = spot.key("above");
    let above = match raw.above {
        None => {
            at.missing("a duration such as 800ms");
            None
        }
        above => duration(&at, above, Duration::ZERO, &defaults::LATENCY_RANGE),
    };
    // A good answer is never slower than the timeout, so that nothing would exceed this.
    if let (Some(above), Some(timeout)) = (above, probe.as_ref().map(|probe| probe.timeout()))
        && above >= timeout
    {
        let (above, timeout) = (spoken(above), spoken(timeout));
        at.wrong(format!("{above} is never exceeded by an answer in time; allowed is less than the probe's timeout, {timeout}"));
    }
    let (over, min_samples) = window(spot, (raw.over, raw.min_samples), probe, around);
    Some(Condition::Latency { quantile: quantile?, above: above?, over: over?, min_samples: min_samples? })
}

fn share(spot: &Spot, given: Option<Share>, fits: impl Fn(f64) -> bool, allowed: &str) -> Option<f64> {
    match given {
        None => spot.missing(&format!("a number, {allowed}")),
        Some(Share(share)) if !fits(share) => {
            spot.wrong(format!("{share} is out of range; allowed is {allowed}"));
        }
        Some(Share(share)) => return Some(share),
    }
    None
}

/// The window's length and least number of samples; both have to be possible at the probe's paces.
fn window(
    spot: &Spot,
    (over, min_samples): (Option<Span>, Option<Count>),
    probe: Option<&mut Draft>,
    around: &Surroundings,
) -> (Option<Duration>, Option<u32>) {
    let (over_at, least_at) = (spot.key("over"), spot.key("min_samples"));
    // What nobody wrote must not be too long for a short watch.
    let default = around.watch.map_or(defaults::OVER, |watch| watch.min(defaults::OVER));
    let over = duration(&over_at, over, default, &defaults::OVER_RANGE);
    let least = count(&least_at, min_samples, defaults::MIN_SAMPLES, &defaults::SAMPLES_RANGE);
    if let (Some(over), Some(probe)) = (over, probe) {
        let (most, pace) = (probe.samples_in(over), spoken(probe.fastest()));
        let kept = probe.samples_in(over + around.lookback);
        if kept > Window::MAX {
            let max = probe.fastest() * u32::try_from(Window::MAX - 2).unwrap_or(u32::MAX);
            let max = spoken(Duration::from_secs(max.saturating_sub(around.lookback).as_secs()));
            let remedy =
                format!("allowed is up to {max} at this pace: shorten over, or lengthen the probe's burst");
            let what =
                format!("{} at {pace} a sample is {kept} samples, more than {}", spoken(over), Window::MAX);
            over_at.wrong(format!("{what}; {remedy}"));
        } else if let Some(least) = least.filter(|least| *least as usize > most) {
            let remedy = format!("allowed is up to {most}: lengthen over, or lower min_samples");
            let over = spoken(over);
            least_at.wrong(format!("{over} never hold {least} samples, at {pace} a sample; {remedy}"));
        }
        probe.make_room(probe.samples_in(over), around.lookback);
    }
    (over, least)
}
