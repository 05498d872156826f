//! An app as people read it: how urgent it is, what there is to say of it, and what somebody on call would type next. The
//! command line and the page print the same.

use jiff::Timestamp;

use super::page::clean;
use super::words;
use crate::decision::policy::Mode;
use crate::decision::story::{self, UNARMED};
use crate::journal::{IncidentRecord, PauseWord};
use crate::power::Outlook;
use crate::server::{AppStatus, FreezeStatus, Obstacle, PauseStatus, RollbackStatus};

/// 0 is the most urgent.
pub(crate) fn urgency(app: &AppStatus) -> usize {
    const ORDER: [&str; 5] = ["incident", "held", "watching", "learning", "steady"];
    let state = ORDER.iter().position(|word| *word == app.state).unwrap_or(2);
    // Among the quiet states, what is blind, pinned or Bad comes before what is not.
    if state > 1 && is_in_trouble(app) { 2 } else { state + usize::from(state > 1) }
}

pub(crate) fn is_calm(app: &AppStatus) -> bool {
    let is_unready = app.rollback.as_ref().is_some_and(|rollback| !rollback.ready && is_told(app, rollback));
    app.state == "steady"
        && !is_in_trouble(app)
        && !is_unready
        && !app.paused
        && app.in_progress_deployment.is_none()
        && app.failed_deployment.is_none()
}

/// How many there are, and how they stand.
pub(crate) fn summary(apps: &[&AppStatus]) -> String {
    let mut parts = Vec::new();
    for word in ["incident", "held", "watching", "learning", "steady"] {
        let many = apps.iter().filter(|app| app.state == word).count();
        if many > 0 {
            parts.push(format!("{many} {}", if word == "incident" { "in an incident" } else { word }));
        }
    }
    let paused = apps.iter().filter(|app| app.paused).count();
    let paused = if paused > 0 { format!("; {paused} paused") } else { String::new() };
    format!("{}: {}{paused}", words::count(apps.len(), "app"), parts.join(", "))
}

/// What there is to say of an app beside its rules and probes: each with its label.
pub(crate) fn facts(app: &AppStatus, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    facts.extend(app.pause.as_ref().map(|pause| ("paused", paused_how(pause, now))));
    facts.extend(app.freeze.as_ref().map(|freeze| ("frozen", frozen_how(freeze, now))));
    facts.extend(stage(app).map(|stage| ("stage", stage)));
    if let Some(word) = &app.waiting {
        facts.push((if app.state == "held" { "why" } else { "waits" }, words::reason(word)));
    }
    facts.extend(app.target_deployment.as_ref().map(|target| ("target", target.to_string())));
    facts.extend(app.approve_by.map(|at| ("until", words::approve_by(at, now))));
    if let Some(cause) = &app.blind {
        let because = app.blind_because.as_deref().unwrap_or_else(|| blindness(cause));
        facts.push(("blind", format!("{because}, so nothing is rolled back")));
    }
    if let Some(fault) = &app.platform_fault {
        let read = app.platform_read_at.map_or("never".to_owned(), |at| words::ago(at, now));
        facts.push(("platform", format!("{}; last read {read}", trouble(fault))));
    }
    facts.extend(deployments(app));
    if let Some(rollback) = app.rollback.as_ref().filter(|rollback| is_told(app, rollback)) {
        facts.push(("rollback", readiness(rollback, now)));
    }
    let words = app.pause_words.iter().enumerate();
    facts.extend(words.map(|(n, word)| (if n == 0 { "pauses" } else { "" }, pause_word(word, now))));
    facts
}

/// An incident that is over, in a line.
pub(crate) fn how_it_ended(incident: &IncidentRecord, now: Timestamp) -> String {
    let word = incident.outcome.map_or(incident.state.as_str(), |outcome| outcome.word()).replace('_', " ");
    let at = words::ago(incident.closed_at.unwrap_or(incident.opened_at), now);
    format!("{}: {word} {at}, {}", incident.id, incident.why())
}

/// What was said of a pause.
fn pause_word(word: &PauseWord, now: Timestamp) -> String {
    let by = word.by.as_ref().map_or(String::new(), |by| format!(" by {by}"));
    let lasts = word.lasts_seconds.map_or(String::new(), |seconds| format!(" for {}", words::span(seconds)));
    let done = if word.word == "pause" { "paused" } else { "resumed" };
    let of = match (word.scope.as_str(), done) {
        ("everything", "paused") => ", with everything",
        // No word ends what a file does.
        ("everything", _) => ", with everything but what a file pauses",
        _ => "",
    };
    format!("{done}{lasts}{by} {}{of}", words::ago(word.at, now))
}

/// Whether its rollback is live and unsettled, so that a person may commit or revert it from here.
pub(crate) fn can_be_settled(app: &AppStatus) -> bool {
    let ended = ["soak_healthy", "soak_unhealthy", "soak_unknown", "requested"];
    let is_left = app.waiting.as_deref().is_some_and(|why| ended.contains(&why));
    app.stage.as_deref() == Some("soaking")
        || app.state == "held" && app.pinned_deployment.is_some() && is_left
}

/// What a person on call would type next.
pub(crate) fn next_steps(app: &AppStatus) -> Vec<String> {
    let mut steps = Vec::new();
    if let Some(id) = &app.incident {
        if app.stage.as_deref() == Some("awaiting_approval") {
            let target = app.target_deployment.as_ref();
            let [yes, no] = words::answers(id.as_str(), target.map(|target| target.as_str()));
            steps.extend([yes, no]);
        }
        steps.push(format!("rearguard explain {id}"));
    }
    if can_be_settled(app) {
        steps.push(format!("rearguard commit {0}    or    rearguard revert {0}", app.name));
    }
    let scope = app.pause.as_ref().map(|pause| pause.scope.as_str());
    match scope {
        Some("everything") => steps.push("rearguard resume --all".to_owned()),
        Some("file" | "unknown") => {}
        _ if app.paused || app.state == "held" => steps.push(format!("rearguard resume {}", app.name)),
        _ => {}
    }
    steps
}

/// What could be noticed of a release; nothing while another matter is more urgent.
pub(crate) fn outlooks(app: &AppStatus) -> &[Outlook] {
    match app.state.as_str() {
        "incident" | "held" => &[],
        _ => app.detection.as_deref().unwrap_or_default(),
    }
}

pub(crate) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Approve => "approve",
        Mode::Enforce => "enforce",
    }
}

fn is_in_trouble(app: &AppStatus) -> bool {
    app.blind.is_some()
        || app.platform_fault.is_some()
        || app.pinned_deployment.is_some()
        || app.pushes_paused
        || app.rules.iter().any(|rule| rule.verdict == "bad")
}

/// What the state, the mode, the pause, the platform's fault or the storm says already, and what nobody was asked yet, is
/// not said again.
fn is_told(app: &AppStatus, rollback: &RollbackStatus) -> bool {
    match rollback.reason.as_deref() {
        _ if app.state == "held" => false,
        // What is in the way then is part of the incident.
        Some(_) if app.state == "incident" => false,
        Some("observe_mode" | "paused" | "storm") => false,
        Some("denied") => app.platform_fault.is_none(),
        // An answer that was not renewed.
        Some("blind") => rollback.asked_at.is_some() && app.platform_fault.is_none(),
        _ => true,
    }
}

/// Why a rollback would not be made.
fn obstacle(reason: &str, detail: Option<&str>) -> String {
    match (reason, detail) {
        ("blind", _) => "not known any more, the answer is too old".to_owned(),
        // The reason says what came of it, and this says why.
        (_, Some(UNARMED)) => UNARMED.to_owned(),
        (_, None) => words::reason(reason),
        (_, Some(detail)) => match story::obstacle(detail) {
            Some(meaning) => format!("{}: {meaning} ({detail})", words::reason(reason)),
            None => format!("{} ({})", words::reason(reason), clean(detail)),
        },
    }
}

/// Why a rollback would not be made now, and why a person's order would not be either.
fn not_ready(reason: &str, rollback: &RollbackStatus) -> String {
    let why = obstacle(reason, rollback.detail.as_deref());
    if !is_limit(reason) {
        return why;
    }
    // Limits keep automation from acting, and nobody else.
    match &rollback.beside {
        None => format!("{why}; who orders a rollback does not have to wait for that"),
        Some(Obstacle { reason, .. }) if reason == "blind" => {
            format!(
                "{why}; who orders a rollback does not wait for that, and what else is in the way is not known"
            )
        }
        Some(Obstacle { reason, detail }) => format!(
            "{why}; who orders a rollback does not wait for that, but there is another obstacle: {}",
            obstacle(reason, detail.as_deref())
        ),
    }
}

fn is_limit(reason: &str) -> bool {
    matches!(reason, "cooldown" | "budget")
}

/// What a rollback would meet, in a line.
pub(crate) fn readiness(rollback: &RollbackStatus, now: Timestamp) -> String {
    let mut facts = Vec::new();
    match (&rollback.reason, &rollback.target_deployment) {
        (Some(reason), target) => {
            facts.push(format!("NOT READY: {}", not_ready(reason, rollback)));
            let target = target.as_ref().filter(|_| reason != "blind" && is_of_the_answer(rollback));
            facts.extend(target.map(|target| format!("target {target}")));
        }
        (None, Some(target)) => facts.push(format!("ready: to {target}")),
        (None, None) => facts.push("ready".to_owned()),
    }
    let created = rollback.target_created_at.filter(|_| rollback.ready);
    facts.extend(created.map(|at| format!("created {}", words::ago(at, now))));
    facts.extend(rollback.expected_seconds.map(|seconds| format!("takes about {}", words::span(seconds))));
    if !rollback.warnings.is_empty() {
        facts.push(format!("warnings: {}", clean(&rollback.warnings.join(", "))));
    }
    if rollback.checked_by.as_deref() == Some("rearguard") {
        facts.push("checked by reading, the platform has no dry run".to_owned());
    }
    let asked = rollback.asked_at.filter(|_| is_of_the_answer(rollback));
    facts.extend(asked.map(|at| format!("asked {}", words::ago(at, now))));
    facts.join(", ")
}

/// Whether what is said was true when the platform was asked; the rest is so now, whenever that was.
fn is_of_the_answer(rollback: &RollbackStatus) -> bool {
    match rollback.reason.as_deref() {
        None | Some("blind" | "no_target" | "not_valid" | "warnings" | "migration") => true,
        // What is besides, also that there is nothing, it knows by the answer.
        Some(limit) if is_limit(limit) => {
            rollback.beside.as_ref().is_none_or(|beside| beside.reason != "blind")
        }
        Some(_) => false,
    }
}

/// By whom, and until when.
fn paused_how(pause: &PauseStatus, now: Timestamp) -> String {
    let what = match (pause.scope.as_str(), &pause.file) {
        ("everything", _) => "with everything else".to_owned(),
        ("file", Some(file)) => {
            format!("by the file `{}` beside the journal, until that is removed", clean(file))
        }
        ("file", None) => {
            "by a file beside the journal, `paused` or `paused-APP`, until that is removed".to_owned()
        }
        ("unknown", _) => "until the journal can be read".to_owned(),
        _ => String::new(),
    };
    let by = pause.by.as_ref().map(|by| format!("by {}", clean(by.as_str())));
    let since = pause.since.map(|since| format!("since {}", words::ago(since, now)));
    let until = pause.until.map(|until| format!("for another {}", words::span(seconds_to(until, now))));
    let what = (!what.is_empty()).then_some(what);
    [what, by, since, until].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What is not done unasked, and until when.
pub(crate) fn frozen_how(freeze: &FreezeStatus, now: Timestamp) -> String {
    let what = match (freeze.rollback, freeze.commit) {
        (true, true) => "no restart, rollback, revert or commit unless you order it",
        (true, false) => "no restart, rollback or revert unless you order it",
        _ => "no commit unless you order it",
    };
    let until = freeze.until.map(|until| {
        format!("; {} ends in {}", freeze.windows.join(", "), words::span(seconds_to(until, now)))
    });
    format!("{what}{}", until.unwrap_or_default())
}

fn seconds_to(until: Timestamp, now: Timestamp) -> f64 {
    until.duration_since(now).as_secs_f64().max(0.0)
}

/// Why nobody can tell how an app is.
fn blindness(cause: &str) -> &str {
    match cause {
        "control" => "the control probes fail too: it may be this machine's own network",
        "peers" => "all apps and the platform fail at once: it may be this machine's own network",
        "host" => "this machine cannot send the probes",
        "asleep" => "the app may have been asleep, and what wakes it says nothing of the release",
        "clock" => "this machine's clock is wrong, or the app's certificate is not valid yet",
        "overload" => "this machine is too busy to probe in time",
        "platform" => "the platform does not tell what is live",
        "journal" => "the journal does not work",
        "source" => "what measures the app does not answer",
        "absent" => "what measures the app has no value",
        "dependency" => "what the app depends on is not well either",
        "siblings" => "other apps of the account fail as well, which have no new release",
        "version" => "another release than the live one answers",
        "rate_limit" => "what is left of the platform's rate limit is for acting",
        "before" => "it was as bad before this release",
        other => other,
    }
}

fn trouble(fault: &str) -> &str {
    match fault {
        "unreachable" => "cannot be reached",
        "rate_limited" => "limits our rate",
        "denied" => "refuses our token",
        "not_found" => "does not know the app",
        other => other,
    }
}

fn stage(app: &AppStatus) -> Option<String> {
    let left = |what: &str, seconds: f64| format!("{what}, {} left", words::span(seconds));
    match (&app.stage, app.soak_remaining_seconds, app.watch_remaining_seconds) {
        (Some(stage), Some(seconds), _) => Some(left(&stage.replace('_', " "), seconds)),
        (Some(stage), None, _) => Some(stage.replace('_', " ")),
        (None, _, Some(seconds)) => Some(left("watching the new deployment", seconds)),
        _ if app.state == "learning" => Some("getting to know the live deployment".to_owned()),
        _ => None,
    }
}

pub(crate) fn deployments(app: &AppStatus) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let live = app.live_deployment.as_ref().map_or("not known", |id| id.as_str());
    let good = app.last_good_deployment.as_ref();
    let seen = if good.is_some() && good == app.live_deployment.as_ref() { ", seen to be good" } else { "" };
    lines.push(("live", format!("{live}{seen}")));
    if let Some(id) = &app.in_progress_deployment {
        lines.push(("coming", id.to_string()));
    }
    if let Some(id) = &app.failed_deployment {
        lines.push((
            "failed",
            format!("{id}, the newest, before it went live; there is nothing to roll back from"),
        ));
    }
    if let Some(id) = &app.pinned_deployment {
        // Of every kind of pin this is true; some keep more away than pushes.
        lines.push(("pinned", format!("{id}; pushes are not deployed until this rollback is settled")));
    } else if app.pushes_paused {
        let how = "rearguard keeps pushes from being deployed, and lets them go as soon as it may";
        lines.push(("pushes", how.to_owned()));
    }
    match good {
        Some(good) if seen.is_empty() => lines.push(("good", format!("{good}, the newest seen to be good"))),
        None if app.blind.as_deref() == Some("journal") => {
            lines.push(("good", "not known while the journal does not work".to_owned()));
        }
        None => lines.push((
            "good",
            match &app.left_good_deployment {
                Some(left) => {
                    format!(
                        "none to go back to: {left} was, until it was found to be bad or ordered to be left"
                    )
                }
                None => "none seen yet".to_owned(),
            },
        )),
        Some(_) => {}
    }
    lines
}
