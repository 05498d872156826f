//! Apps: identity, mode, and what the core decides by.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::platform::Platforms;
use super::probe::{Draft, Probes, probes};
use super::rule::{Surroundings, rules};
use super::{count, duration, items, name, some};
use crate::config::leaf::{Count, Flag, List, Text, Word};
use crate::config::problem::{Spot, shown};
use crate::config::span::spoken;
use crate::config::{AppConfig, defaults, raw};
use crate::config::{PlatformConfig, PlatformKind};
use crate::decision::policy::{
    Action, Limits, Mode, OnHealthy, OnMigrations, OnUnhealthy, OnWarnings, Policy, RollbackPolicy, Rule,
    SoakPolicy,
};

/// What of the rest of the file an app depends on.
pub(super) struct Context<'a> {
    pub(super) platforms: &'a Platforms,
    pub(super) retention: Option<Duration>,
}

pub(super) fn apps(spot: &Spot, list: Option<&List<raw::App>>, context: &Context) -> Vec<AppConfig> {
    some(spot, list, "a list of at least one app");
    let mut taken = BTreeMap::new();
    let mut guarded: BTreeMap<String, String> = BTreeMap::new();
    let mut apps = Vec::new();
    for (spot, raw) in items(spot, list) {
        if spot.is_full() {
            break;
        }
        // Whichever account it is seen through: ids are unique.
        if let Some(Text(id)) = &raw.id {
            let place = spot.path().to_string();
            let first = guarded.entry(id.to_ascii_lowercase()).or_insert_with(|| place.clone());
            if *first != place {
                spot.key("id").wrong(format!("is guarded by {first} already; allowed is once"));
            }
        }
        let name = name(&spot.key("name"), raw.name.as_ref(), &mut taken);
        let others = list
            .map_or(0, |list| list.0.iter().flatten().filter(|other| other.platform == raw.platform).count());
        apps.extend(app(&spot, raw, name, (context, others.saturating_sub(1))));
    }
    apps
}

fn app(
    spot: &Spot,
    raw: &raw::App,
    name: Option<String>,
    (context, others): (&Context, usize),
) -> Option<AppConfig> {
    let freeze = super::freeze::freeze(&spot.key("freeze"), raw.freeze.as_ref());
    let range = &defaults::APPROVE_WITHIN_RANGE;
    let approve_within =
        duration(&spot.key("approve_within"), raw.approve_within, defaults::APPROVE_WITHIN, range);
    let platform = platform(&spot.key("platform"), raw.platform.as_ref(), context.platforms);
    let account = platform
        .as_ref()
        .and_then(|name| context.platforms.valid.iter().find(|account| account.name.as_str() == name));
    let id = id(&spot.key("id"), raw.id.as_ref());
    let mode = word(raw.mode, Mode::Observe);
    let watch = duration(&spot.key("watch"), raw.watch, defaults::WATCH, &defaults::WATCH_RANGE);
    let restart_first = raw.restart_first.map(|given| {
        let range = &defaults::RESTART_FIRST_RANGE;
        duration(&spot.key("restart_first"), Some(given), defaults::RESTART_FIRST, range)
    });
    let is_tried = raw.restart_first.is_some();
    let components = raw.restart_components.as_ref();
    let restart_components = components_of(&spot.key("restart_components"), components, is_tried, account);
    let Probes { mut probes, names, nameless } =
        probes(&spot.key("probes"), raw.probes.as_ref(), watch, account.map(|account| account.kind));
    let soak = soak(&spot.key("soak"), raw.soak.as_ref());
    let poll = account.map_or(defaults::POLL, |account| account.poll);
    let around = Surroundings { watch, lookback: poll * defaults::POLLS_BACK, names: &names, nameless };
    let rules = rules(&spot.key("rules"), raw.rules.as_ref(), &mut probes, &around);
    let depends_on = depends_on(&spot.key("depends_on"), raw.depends_on.as_ref(), &probes, &around);
    accuse_the_release(&spot.key("depends_on"), &depends_on, &rules);
    let siblings = raw.siblings.map(|given| siblings(&spot.key("siblings"), given, others));
    let acts = mode != Mode::Observe && !spot.key("mode").is_broken();
    if acts && raw.rules.as_ref().is_none_or(|rules| rules.0.is_empty()) {
        spot.key("rules")
            .missing("at least one rule, or mode observe: without a rule nothing is ever rolled back");
    }
    if acts && !rules.is_empty() && rules.iter().all(|rule| rule.action == Action::Notify) {
        let remedy = "allowed is mode observe, or a rule whose action is approve or rollback";
        spot.key("rules").wrong(format!("all of them only notify, so nothing is ever rolled back; {remedy}"));
    }
    let limits = limits(&spot.key("limits"), raw.limits.as_ref(), context.retention);
    let soak = soak?;
    for probe in probes.iter_mut().flatten() {
        probe.make_room(2 * soak.min_samples as usize, around.lookback);
    }
    let probes: Vec<_> = probes.into_iter().flatten().map(Draft::finish).collect();
    let (name, limits, reconcile) = (name?, limits?, account?.reconcile);
    let rollback = raw.rollback.as_ref();
    let policy = Policy {
        app: name.as_str().into(),
        mode,
        watch: watch?,
        probes: probes.iter().map(super::probe::policy).collect(),
        rules,
        rollback: RollbackPolicy {
            warnings: word(rollback.and_then(|raw| raw.warnings), OnWarnings::Refuse),
            migrations: word(rollback.and_then(|raw| raw.migrations), OnMigrations::Hold),
        },
        soak,
        limits,
        reconcile,
        restart_first: restart_first.flatten(),
        approve_within: approve_within?,
        accept_platform_choice: raw.accept_platform_choice.is_some_and(|Flag(accepted)| accepted),
    };
    let depends_on = depends_on.into_iter().map(|(place, _)| place).collect();
    let (platform, id) = (platform?.into(), id?.into());
    Some(AppConfig {
        name: name.into(),
        platform,
        id,
        probes,
        depends_on,
        siblings: siblings.flatten(),
        restart_components,
        freeze,
        policy,
    })
}

/// The components to restart, each once, where a restart is tried and can be of some of them.
fn components_of(
    spot: &Spot,
    list: Option<&List<Text>>,
    is_tried: bool,
    account: Option<&PlatformConfig>,
) -> Vec<String> {
    let mut named: Vec<String> = Vec::new();
    let Some(list) = list else { return named };
    if list.0.is_empty() {
        spot.wrong("names no component; allowed is to leave it out, which restarts all of them");
    }
    if !is_tried {
        spot.wrong("no restart is tried without restart_first; allowed is to set that, or to leave this out");
    }
    if account.is_some_and(|account| account.kind == PlatformKind::Sevalla) {
        spot.wrong("Sevalla restarts an app as a whole; allowed is to leave it out");
    }
    for (spot, Text(name)) in items(spot, Some(list)) {
        if name.is_empty() || name.chars().any(char::is_control) {
            spot.wrong("is no component's name; allowed are the names in the app's spec");
        } else if named.contains(name) {
            spot.wrong(format!("the component {} is named twice; allowed is once", shown(name)));
        }
        named.push(name.clone());
    }
    named
}

/// How many other apps have to fail as well, of those that there are.
fn siblings(spot: &Spot, given: Count, others: usize) -> Option<u32> {
    if others == 0 && !spot.is_broken() {
        spot.wrong("no other app is guarded on this platform account; allowed is to leave it out");
        return None;
    }
    count(spot, Some(given), 0, &(0..=others as u64))
}

/// The probes of what the app needs: their places among the app's probes, and in the list.
fn depends_on(
    spot: &Spot,
    list: Option<&List<Text>>,
    probes: &[Option<Draft>],
    around: &Surroundings,
) -> Vec<(usize, usize)> {
    let mut named: Vec<(usize, usize)> = Vec::new();
    for (n, (spot, Text(name))) in items(spot, list).into_iter().enumerate() {
        if !around.names.contains(name) && !around.nameless {
            let there = listed(around.names);
            spot.wrong(format!("there is no probe \"{}\"; allowed is {there}", shown(name)));
        }
        let place = probes.iter().position(|probe| probe.as_ref().is_some_and(|probe| probe.name() == name));
        let Some(place) = place else { continue };
        if named.iter().any(|(other, _)| *other == place) {
            spot.wrong(format!("the probe {name} is named twice; allowed is once"));
        }
        if probes[place].as_ref().is_some_and(Draft::is_of_the_platform) {
            spot.wrong(format!(
                "{name} is measured of the app itself; allowed are probes of what the app needs"
            ));
        }
        named.push((place, n));
    }
    if !named.is_empty() && named.len() == probes.len() {
        spot.wrong("names every probe, so nothing asks the app itself; allowed is to leave one of them out");
    }
    named
}

/// What no release changes accuses none.
fn accuse_the_release(spot: &Spot, depends_on: &[(usize, usize)], rules: &[Rule]) {
    for (place, n) in depends_on {
        let is_on_it = |rule: &&Rule| {
            rule.action != Action::Notify && rule.tests.iter().any(|test| test.probe == *place)
        };
        if let Some(rule) = rules.iter().find(is_on_it) {
            let remedy = "allowed is action notify for that rule";
            spot.item(*n).wrong(format!(
                "accuses releases in the rule {}, although no release changes it; {remedy}",
                rule.name
            ));
        }
    }
}

pub(super) fn word<T>(given: Option<Word<T>>, default: T) -> T {
    given.map_or(default, |Word(word)| word)
}

fn platform(spot: &Spot, text: Option<&Text>, platforms: &Platforms) -> Option<String> {
    let Some(Text(name)) = text else {
        spot.missing("the name of a platform account");
        return None;
    };
    if !platforms.names.contains(name) && !platforms.nameless {
        let there = listed(&platforms.names);
        spot.wrong(format!("there is no platform \"{}\"; allowed is {there}", shown(name)));
        return None;
    }
    Some(name.clone())
}

/// The names that may be referred to, in one line.
pub(super) fn listed(names: &BTreeSet<String>) -> String {
    let first: Vec<&str> = names.iter().map(String::as_str).take(8).collect();
    match names.len() {
        0 => "nothing: there is none".to_owned(),
        1..=8 => first.join(", "),
        more => format!("{} and {} more", first.join(", "), more - first.len()),
    }
}

/// The id stands in the paths of requests.
fn id(spot: &Spot, text: Option<&Text>) -> Option<String> {
    let allowed = "the platform's id of the app, as in its address in the control panel";
    let Some(Text(id)) = text else {
        spot.missing(allowed);
        return None;
    };
    let fits = |c: char| c.is_ascii_graphic() && !"/?#%\\".contains(c);
    if id.is_empty() || id.len() > 128 || id.starts_with('.') || !id.chars().all(fits) {
        spot.wrong(format!("\"{}\" is not an app's id; allowed is {allowed}", shown(id)));
        return None;
    }
    // A UUID is the same in either case, and the platform writes it in the lower one.
    let is_uuid = id.len() == 36 && id.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    Some(if is_uuid { id.to_ascii_lowercase() } else { id.clone() })
}

fn soak(spot: &Spot, raw: Option<&raw::Soak>) -> Option<SoakPolicy> {
    let default = raw::Soak::default();
    let raw = raw.unwrap_or(&default);
    let period = duration(&spot.key("period"), raw.period, defaults::SOAK, &defaults::SOAK_RANGE);
    let (default, range) = (defaults::SOAK_SAMPLES, &defaults::SAMPLES_RANGE);
    let min_samples = count(&spot.key("min_samples"), raw.min_samples, default, range);
    Some(SoakPolicy {
        period: period?,
        min_samples: min_samples?,
        on_healthy: word(raw.on_healthy, OnHealthy::Commit),
        on_unhealthy: word(raw.on_unhealthy, OnUnhealthy::Revert),
    })
}

fn limits(spot: &Spot, raw: Option<&raw::Limits>, retention: Option<Duration>) -> Option<Limits> {
    let default = raw::Limits::default();
    let raw = raw.unwrap_or(&default);
    let time = |key: &str, given, default, range| duration(&spot.key(key), given, default, range);
    let cooldown = time("cooldown", raw.cooldown, defaults::COOLDOWN, &defaults::COOLDOWN_RANGE);
    let (default, range) = (defaults::MAX_ROLLBACKS, &defaults::MAX_ROLLBACKS_RANGE);
    let max_rollbacks = count(&spot.key("max_rollbacks"), raw.max_rollbacks, default, range);
    let per = time("per", raw.per, defaults::PER, &defaults::PER_RANGE);
    // What the journal has forgotten cannot be counted.
    for (key, time) in [("cooldown", cooldown), ("per", per)] {
        if let (Some(time), Some(retention)) = (time, retention)
            && time > retention
        {
            let (time, retention) = (spoken(time), spoken(retention));
            let what = format!(
                "{time} is longer than the journal remembers; allowed is up to retention, {retention}"
            );
            spot.key(key).wrong(what);
        }
    }
    Some(Limits { cooldown: cooldown?, max_rollbacks: max_rollbacks?, per: per? })
}
