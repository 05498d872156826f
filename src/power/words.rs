//! What could be noticed, in the words of somebody who is on call.

use std::time::Duration;

use super::{INSTANCES, Outlook, Prospect, SHARES, may_notice};
use crate::config::span::spoken;
use crate::config::{Ask, ProbeConfig};
use crate::decision::policy::{Action, Policy};
use crate::decision::story::percent;
use crate::ids::RuleName;

/// Where fewer of the releases are noticed, that is said beside the time.
const NEARLY_ALL: f64 = 0.95;

/// What fails less often than that is not tried.
const LEAST: f64 = SHARES[SHARES.len() - 1];

/// The outlook in a sentence.
pub(super) fn sentence(outlook: &Outlook, failing: &[bool], probes: &[ProbeConfig]) -> String {
    let is_port = |ask: &Ask| matches!(ask, Ask::Tcp(_));
    let asked = || probes.iter().zip(failing).filter(|(_, fails)| **fails).map(|(probe, _)| &probe.ask);
    let what = if asked().all(is_port) { "connections" } else { "requests" };
    let whose = match &outlook.probe {
        _ if probes.len() == 1 => String::new(),
        Some(probe) => format!(" of {probe}"),
        None => " of every probe".to_owned(),
    };
    let within = spoken(Duration::from_secs_f64(outlook.within_seconds));
    let Some(least) = outlook.shares.last() else {
        return format!("not even all {what}{whose} failing would be noticed within this watch ({within})");
    };
    let mut parts = Vec::new();
    for prospect in &outlook.shares {
        let time = time(prospect);
        parts.push(match parts.is_empty() {
            true => format!("all {what}{whose} failing: noticed in about {time}"),
            false if prospect.failing == 0.5 => format!("half of them: {time}"),
            false => format!("{}: {time}", percent(prospect.failing)),
        });
    }
    if least.failing > LEAST {
        parts.push(format!("less: not within this watch ({within})"));
    }
    parts.push(instances(&outlook.instances));
    if outlook.action == Action::Approve {
        parts.push("a person is asked then".to_owned());
    }
    parts.join("; ")
}

/// How soon, and how surely.
fn time(prospect: &Prospect) -> String {
    let seconds = prospect.seconds;
    // Nobody counts on a second of ten minutes.
    let unit = if seconds >= 600.0 { 10.0 } else { 1.0 };
    let time = spoken(Duration::from_secs_f64((seconds / unit).ceil().max(1.0) * unit));
    match prospect.found {
        found if found >= NEARLY_ALL => time,
        found => format!("{time}, {:.0} of 10 never", ((1.0 - found) * 10.0).ceil()),
    }
}

/// What a broken instance among several comes to.
fn instances(noticed: &[Prospect]) -> String {
    let one = |of: u32| {
        let is_it = |prospect: &&Prospect| (prospect.failing * f64::from(of) - 1.0).abs() < 1e-9;
        let time = noticed.iter().find(is_it).map_or_else(|| "not".to_owned(), time);
        format!("of {of}: {time}")
    };
    match noticed {
        [] => "one broken instance of several, asked in turn: not".to_owned(),
        _ => format!("one broken instance, asked in turn, {}", INSTANCES.map(one).join(", ")),
    }
}

/// The rules for which failing requests are never enough.
pub fn silent(policy: &Policy, probes: &[ProbeConfig]) -> Vec<RuleName> {
    let failing: Vec<bool> = probes.iter().map(|probe| probe.ask.is_answered_by_the_release()).collect();
    let rules = policy.rules.iter().filter(|rule| !may_notice(rule, &failing));
    rules.map(|rule| rule.name.clone()).collect()
}
