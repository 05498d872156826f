//! What could be noticed, in the words of somebody who is on call.

use std::time::Duration;

use super::{INSTANCES, Outlook, Prospect, SHARES, notices};
use crate::config::span::spoken;
use crate::config::{Ask, ProbeConfig};
use crate::decision::policy::{Action, Policy};
use crate::decision::story::percent;
use crate::ids::RuleName;

/// Where fewer of the releases are noticed, that is said beside the time.
const NEARLY_ALL: f64 = 0.95;

/// What fails less often than that is not tried.
const LEAST: f64 = SHARES[SHARES.len() - 1];

/// The outlook in a sentence, of failing requests and of slow answers as far as there are rules for them.
pub(super) fn sentence(
    outlook: &Outlook,
    failing: &[bool],
    probes: &[ProbeConfig],
    (fails, is_slow): (bool, bool),
) -> String {
    let whose = match &outlook.probe {
        _ if probes.len() == 1 => String::new(),
        Some(probe) => format!(" of {probe}"),
        None => " of every probe".to_owned(),
    };
    let within = format!("within this watch ({})", spoken(Duration::from_secs_f64(outlook.within_seconds)));
    let mut parts = Vec::new();
    if fails {
        let is_port = |ask: &Ask| matches!(ask, Ask::Tcp(_));
        let mut asked = probes.iter().zip(failing).filter(|(_, fails)| **fails).map(|(probe, _)| &probe.ask);
        let what = if asked.all(is_port) { "connections" } else { "requests" };
        parts.extend(shares(outlook, &format!("all {what}{whose} failing"), &within));
    }
    if is_slow {
        let whose = if fails { "" } else { &whose };
        let time = outlook.slow.as_ref().map_or(format!("not {within}"), time);
        parts.push(format!("answers{whose} just within the timeout: {time}"));
    }
    if outlook.action == Action::Approve {
        parts.push("a person is asked then".to_owned());
    }
    parts.join("; ")
}

fn shares(outlook: &Outlook, all: &str, within: &str) -> Vec<String> {
    let Some(least) = outlook.shares.last() else {
        return vec![format!("not even {all} would be noticed {within}")];
    };
    let mut parts = Vec::new();
    for prospect in &outlook.shares {
        let time = time(prospect);
        parts.push(match parts.is_empty() {
            true => format!("{all}: noticed in about {time}"),
            false if prospect.failing == 0.5 => format!("half of them: {time}"),
            false => format!("{}: {time}", percent(prospect.failing)),
        });
    }
    if least.failing > LEAST {
        parts.push(format!("less: not {within}"));
    }
    parts.push(instances(&outlook.instances));
    parts
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

/// The rules for which neither failing requests nor slow answers are ever enough.
pub fn silent(policy: &Policy, probes: &[ProbeConfig]) -> Vec<RuleName> {
    let failing: Vec<bool> = probes.iter().map(|probe| probe.ask.shows_failing_requests()).collect();
    let rules = policy.rules.iter().filter(|rule| !notices(rule, &failing));
    rules.map(|rule| rule.name.clone()).collect()
}
