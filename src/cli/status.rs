//! `rearguard status`: every app, those that need somebody first.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::client::Client;
use super::page::clean;
use super::{Error, Page, StatusArgs, words};
use crate::decision::story::percent;
use crate::ids::AppName;
use crate::journal::IncidentRecord;
use crate::server::{AppStatus, ProbeStatus, RuleStatus};
use crate::telling::app::{self, is_calm, mode, next_steps, outlooks, urgency};

#[derive(Deserialize)]
struct Apps {
    apps: Vec<AppStatus>,
    /// The storm breaker is open. A daemon of an earlier release does not say.
    #[serde(default)]
    storm: bool,
}

#[derive(Deserialize)]
struct Incidents {
    incidents: Vec<IncidentRecord>,
}

/// The last incident of some apps.
type Last = BTreeMap<AppName, IncidentRecord>;

pub(super) async fn run(args: &StatusArgs, page: Page) -> Result<String, Error> {
    let client = Client::open(&args.server)?;
    let path: Vec<&str> = ["apps"].into_iter().chain(args.app.as_deref()).collect();
    let answer = client.get(&path, &[]).await?;
    if args.json {
        return Ok(format!("{answer:#}\n"));
    }
    if args.app.is_some() {
        let app: AppStatus = client.understand(answer)?;
        let last = last(&client, std::slice::from_ref(&app)).await;
        return Ok(block(&app, last.get(&app.name), page, Timestamp::now()));
    }
    let Apps { apps, storm } = client.understand(answer)?;
    let last = last(&client, &apps).await;
    let storm = if storm { storm_in_words(page) } else { String::new() };
    Ok(format!("{storm}{}", render(&apps, &last, page, Timestamp::now())))
}

/// Of so many apps at most the last incident is asked for: each is a question of its own.
const MOST_ASKED: usize = 8;

/// So many are asked for, of which orders that misnamed a deployment say nothing of the app.
const FEW: usize = 20;

/// The last incident of each app that is bad although none is open, unless a newer release is live: it says why nothing is done.
/// What cannot be had is left out.
async fn last(client: &Client, apps: &[AppStatus]) -> Last {
    let is_bad = |app: &&AppStatus| app.incident.is_none() && app.rules.iter().any(RuleStatus::accuses);
    let mut last = Last::new();
    for app in apps.iter().filter(is_bad).take(MOST_ASKED) {
        let query = [("app", app.name.to_string()), ("limit", FEW.to_string())];
        let Ok(answer) = client.get(&["incidents"], &query).await else { break };
        let Ok(Incidents { incidents }) = client.understand(answer) else { break };
        let mut told = incidents.into_iter().filter(|incident| !incident.is_misnamed());
        let newest = told.next().filter(|incident| is_about_what_is_live(app, incident));
        last.extend(newest.map(|incident| (app.name.clone(), incident)));
    }
    last
}

/// Whether an app's last incident says why nothing is done about what is live: also where that is the accused release, or the
/// rollback, under another id.
fn is_about_what_is_live(app: &AppStatus, incident: &IncidentRecord) -> bool {
    let of = [Some(&incident.bad_deployment), incident.rollback_deployment.as_ref()];
    !app.newer_release || app.live_deployment.is_some() && of.contains(&app.live_deployment.as_ref())
}

/// What keeps every app from being rolled back is said once, before them.
fn storm_in_words(page: Page) -> String {
    let why = "too many apps wanted a rollback at once: nothing new is rolled back until somebody resumes";
    let why = page.hang_after(&format!("{}  ", page.red("STORM")), 7, why);
    format!("{why}  next     {}\n\n", page.bold("rearguard resume --all"))
}

/// The apps, the most urgent first: a block for each that needs to be looked at, then a line for each calm one.
fn render(apps: &[AppStatus], last: &Last, page: Page, now: Timestamp) -> String {
    if apps.is_empty() {
        return "no app is guarded: the daemon's configuration names none\n".to_owned();
    }
    let mut apps: Vec<&AppStatus> = apps.iter().collect();
    apps.sort_by_key(|app| (urgency(app), app.name.clone()));
    let (calm, loud): (Vec<_>, Vec<_>) = apps.iter().copied().partition(|app| is_calm(app));
    let mut text = page.hang("", &app::summary(&apps));
    for app in loud {
        text.push('\n');
        text.push_str(&block(app, last.get(&app.name), page, now));
    }
    if !calm.is_empty() {
        text.push('\n');
        text.push_str(&lines(&calm, page, now));
    }
    text
}

fn block(app: &AppStatus, last: Option<&IncidentRecord>, page: Page, now: Timestamp) -> String {
    let state = app.state.to_uppercase();
    let state = match app.state.as_str() {
        "incident" => page.red(&state),
        "held" | "watching" => page.yellow(&state),
        _ => state,
    };
    let paused = if app.paused { page.yellow("  PAUSED") } else { String::new() };
    let frozen = if app.freeze.is_some() { page.yellow("  FROZEN") } else { String::new() };
    let mut text = format!(
        "{state}  {}{paused}{frozen}  {} on {}\n",
        page.bold(app.name.as_str()),
        mode(app.mode),
        app.platform
    );
    let facts = app::facts(app, now).into_iter();
    for (label, value) in facts.chain(last.map(|last| ("last", app::how_it_ended(last, now)))) {
        text.push_str(&page.hang(&format!("  {label:<8} "), &value));
    }
    text.push_str(&rules(&app.rules, page));
    for (n, outlook) in outlooks(app).iter().enumerate() {
        let label = if n == 0 { "notices" } else { "" };
        text.push_str(&page.hang(&format!("  {label:<8} "), &outlook.in_words));
    }
    text.push_str(&probes(&app.probes, page, now));
    let next = next_steps(app).into_iter();
    for next in next.chain(last.map(|last| format!("rearguard explain {}", last.id))) {
        // Set apart where there is room.
        let line = format!("  {:<8} {next}", "next");
        text.push_str(&if page.fits(&line) {
            format!("  {:<8} {}\n", "next", page.bold(&next))
        } else {
            page.bold(&page.hang(&format!("  {:<8} ", "next"), &next))
        });
    }
    text
}

/// The same for a calm app, in a few words: what is noticed of any of its probes.
fn outlook_in_short(app: &AppStatus) -> String {
    let of_failures =
        outlooks(app).iter().filter(|outlook| !outlook.shares.is_empty() || outlook.slow.is_none());
    let least = of_failures.map(|outlook| outlook.shares.last().map_or(f64::INFINITY, |last| last.failing));
    match least.reduce(f64::max) {
        None => String::new(),
        Some(share) if share > 1.0 => "notices nothing".to_owned(),
        Some(share) if share >= 1.0 => "notices no partial failure".to_owned(),
        Some(share) => format!("notices {} failing", percent(share)),
    }
}

/// A Good rule is a line of numbers; what is not Good also says what it is held to.
fn rules(rules: &[RuleStatus], page: Page) -> String {
    let name = rules.iter().map(|rule| rule.name.as_str().len()).max().unwrap_or(0);
    let line = |(n, rule): (usize, &RuleStatus)| {
        let label = if n == 0 { "rules" } else { "" };
        let padding = " ".repeat(8_usize.saturating_sub(rule.verdict.len()));
        let told = if rule.told_at.is_some() { "; told, and nothing done" } else { "" };
        let first =
            format!("  {label:<8} {}{padding}{:<name$}  ", verdict(&rule.verdict, page), rule.name.as_str());
        let numbers = page.hang_after(&first, 21 + name, &format!("{}{told}", rule.evidence));
        match rule.verdict.as_str() {
            "good" => numbers,
            _ => format!("{numbers}{}", page.dim(&page.hang(&" ".repeat(19), &rule.condition))),
        }
    };
    rules.iter().enumerate().map(line).collect()
}

fn verdict(word: &str, page: Page) -> String {
    match word {
        "bad" => page.red("BAD"),
        "good" => page.green("good"),
        other => page.yellow(other),
    }
}

fn probes(probes: &[ProbeStatus], page: Page, now: Timestamp) -> String {
    let name = probes.iter().map(|probe| probe.name.as_str().len()).max().unwrap_or(0);
    let line = |(n, probe): (usize, &ProbeStatus)| {
        let label = if n == 0 { "probes" } else { "" };
        let word = probe.result.as_deref().unwrap_or("silent");
        let result = match word {
            "good" => page.green(word),
            "unknown" | "silent" => page.yellow(word),
            _ => page.red(word),
        };
        let padding = " ".repeat(8_usize.saturating_sub(word.len()).max(1));
        let mut facts = vec![format!("{:<name$}", probe.name.as_str())];
        facts.extend(probe.detail.as_deref().map(clean));
        facts.extend(probe.complaint.as_deref().map(clean));
        facts.extend(probe.latency_seconds.map(|seconds| format!("{:.0} ms", seconds * 1e3)));
        facts.extend(probe.at.map(|at| words::ago(at, now)));
        let (facts, url) = (facts.join("  "), clean(&probe.url));
        let first = format!("  {label:<8} {result}{padding}");
        let columns = 11 + word.len() + padding.len();
        if columns + facts.chars().count() + 2 + url.chars().count() <= page.width {
            return format!("{first}{facts}  {}\n", page.dim(&url));
        }
        let below = page.dim(&page.hang(&" ".repeat(columns), &url));
        format!("{}{below}", page.hang_after(&first, columns, &facts))
    };
    probes.iter().enumerate().map(line).collect()
}

/// From this width on a calm app is one line whatever its length, for who reads by lines.
const ONE_LINE: usize = 100;

fn lines(apps: &[&AppStatus], page: Page, now: Timestamp) -> String {
    let name = apps.iter().map(|app| app.name.as_str().len()).max().unwrap_or(0);
    let rules = apps.iter().map(|app| verdicts(&app.rules).len()).max().unwrap_or(0);
    let notices = apps.iter().map(|app| outlook_in_short(app).len()).max().unwrap_or(0);
    let notices = if notices > 0 { notices + 2 } else { 0 };
    let line = |app: &&AppStatus| {
        let live = app.live_deployment.as_ref().map_or("not known", |id| id.as_str());
        let newest = app.probes.iter().filter_map(|probe| probe.at).max();
        let probed =
            newest.map_or("not probed yet".to_owned(), |at| format!("probed {}", words::ago(at, now)));
        let (rules_say, short) = (verdicts(&app.rules), outlook_in_short(app));
        let line = format!(
            "{:<name$}  live {live}  {rules_say:<rules$}  {short:<notices$}{probed}  ",
            app.name.as_str()
        );
        let (steady, mode) = (page.green("steady"), mode(app.mode));
        if page.width >= ONE_LINE || page.fits(&format!("steady  {line}{mode}")) {
            return format!("{steady}  {line}{}\n", page.dim(mode));
        }
        let facts = [format!("live {live}"), rules_say, short, probed, mode.to_owned()];
        let facts: Vec<&str> = facts.iter().map(String::as_str).filter(|fact| !fact.is_empty()).collect();
        format!("{steady}  {}\n{}", app.name, page.hang(&" ".repeat(8), &facts.join(", ")))
    };
    apps.iter().map(line).collect()
}

/// Only what is calm gets here, so there is no Bad among them.
fn verdicts(rules: &[RuleStatus]) -> String {
    let good = rules.iter().filter(|rule| rule.verdict == "good").count();
    match (good, rules.len()) {
        (_, 0) => "no rules".to_owned(),
        (good, all) if good == all => format!("{} good", words::count(all, "rule")),
        (good, all) => format!("{good} of {} good", words::count(all, "rule")),
    }
}

#[cfg(test)]
mod tests;
