//! What the templates are given: the facts of `telling`, and what a person may order.

use jiff::Timestamp;
use minijinja::{Value, context};

use crate::decision::state::Outcome;
use crate::ids::{AppName, DeploymentId};
use crate::journal::IncidentRecord;
use crate::server::AppStatus;
use crate::telling::{Account, app, spark, text, words};

/// Where everything is resumed.
const RESUME_ALL: &str = "/api/v1/resume";

/// Something a person may order, once there is a token.
struct Action {
    label: String,
    path: String,
    /// What is asked before it is done.
    question: String,
    /// It is what the app waits for.
    primary: bool,
    /// It may be for a time.
    lasts: bool,
    /// The deployment that it is about, and no other.
    target: Option<String>,
}

impl Action {
    fn new(label: &str, path: String, question: String) -> Self {
        Self { label: label.to_owned(), path, question, primary: false, lasts: false, target: None }
    }
}

/// An app.
pub(super) fn app(app: &AppStatus, now: Timestamp) -> Value {
    let class = match app.state.as_str() {
        "incident" => "bad",
        "held" | "watching" => "warn",
        _ if app::is_calm(app) => "good",
        _ => "warn",
    };
    let mut tags = Vec::new();
    tags.extend(app.paused.then_some("paused"));
    tags.extend(app.freeze.as_ref().map(|_| "frozen"));
    let rules: Vec<Value> = app
        .rules
        .iter()
        .map(|rule| {
            let told = if rule.told_at.is_some() { "; told, and nothing done" } else { "" };
            let evidence = format!("{}{told} ({})", rule.evidence, rule.condition);
            context! { name => rule.name.as_str(), verdict => rule.verdict.clone(), evidence }
        })
        .collect();
    let probes: Vec<Value> = app
        .probes
        .iter()
        .map(|probe| {
            let mut details: Vec<String> = Vec::new();
            details.extend(probe.detail.clone());
            details.extend(probe.complaint.clone());
            details.extend(probe.latency_seconds.map(|seconds| format!("{:.0} ms", seconds * 1e3)));
            details.extend(probe.at.map(|at| words::ago(at, now)));
            let result = probe.result.as_deref().unwrap_or("silent");
            context! { name => probe.name.as_str(), result, detail => details.join(", "), url => probe.url.clone() }
        })
        .collect();
    let outlooks: Vec<String> = app::outlooks(app).iter().map(|outlook| outlook.in_words.clone()).collect();
    context! {
        name => app.name.as_str(),
        state => app.state.clone(),
        class,
        tags,
        mode => app::mode(app.mode),
        platform => app.platform.as_str(),
        facts => pairs(&app::facts(app, now)),
        incident => app.incident.as_ref().map(|id| id.as_str()),
        rules,
        probes,
        outlooks,
        actions => shown(actions(app), &app.name),
    }
}

/// What may be ordered for an app as it stands.
fn actions(app: &AppStatus) -> Vec<Action> {
    let (name, mut actions) = (&app.name, Vec::new());
    let of_app = |verb: &str| format!("/api/v1/apps/{name}/{verb}");
    let is_held = app.state == "held";
    if let Some(id) = &app.incident
        && app.stage.as_deref() == Some("awaiting_approval")
    {
        actions.extend(answers(id.as_str(), name, app.target_deployment.as_ref()));
    }
    if app::can_be_settled(app) {
        let commit = format!("Accept the rollback of {name} now?");
        let revert = format!("Undo the rollback of {name} now, back to the newest release?");
        actions.push(Action::new("Commit the rollback", of_app("commit"), commit));
        actions.push(Action::new("Revert the rollback", of_app("revert"), revert));
    }
    let scope = app.pause.as_ref().map(|pause| pause.scope.as_str());
    match scope {
        Some("app") => {
            actions.push(Action::new("End the pause", of_app("resume"), format!("Guard {name} again?")));
        }
        Some("everything") => {
            let question = "Resume everything: end every pause and close the storm breaker?".to_owned();
            actions.push(Action::new("Resume everything", RESUME_ALL.to_owned(), question));
        }
        Some(_) => {}
        None => {
            let question = format!("Pause {name}: write nothing for it?");
            actions.push(Action { lasts: true, ..Action::new("Pause", of_app("pause"), question) });
        }
    }
    if is_held && scope.is_none() {
        let question = format!("End the hold of {name}? What rearguard pinned it does not settle any more.");
        actions.push(Action::new("End the hold", of_app("resume"), question));
    }
    let is_free = app.state != "incident" && app.pinned_deployment.is_none() && !app.paused;
    if is_free && app.mode != crate::decision::policy::Mode::Observe {
        actions.push(Action::new("Roll back", of_app("rollback"), rollback_question(app)));
    }
    actions
}

/// What is asked before a rollback that a person orders.
fn rollback_question(app: &AppStatus) -> String {
    let (name, rollback) = (&app.name, app.rollback.as_ref());
    let target = rollback.and_then(|rollback| rollback.target_deployment.as_ref());
    let goes_on = "It is validated, watched and committed as always.";
    if rollback.and_then(|rollback| rollback.picked_by.as_deref()) == Some("platform") {
        let picks = target.map_or("which rearguard does not know yet".to_owned(), |id| {
            format!("by what rearguard knows {id}; if it is another one, it is held for you")
        });
        return format!("Roll {name} back now? The platform picks what it goes back to, {picks}. {goes_on}");
    }
    let to = target.map_or(String::new(), |id| format!(" to {id}"));
    format!("Roll {name} back{to} now? {goes_on}")
}

/// Labels with what they are of.
fn pairs(facts: &[(&'static str, String)]) -> Vec<Value> {
    let pair = |(label, value): &(&'static str, String)| {
        Value::from(vec![Value::from(*label), Value::from(value.as_str())])
    };
    facts.iter().map(pair).collect()
}

/// Actions on an app as the templates have them.
fn shown(actions: Vec<Action>, of: &AppName) -> Vec<Value> {
    let each = actions.into_iter().map(|Action { label, path, question, primary, lasts, target }| {
        // Said of each app alike: who does not see the page is told of which. This one is of all of them.
        let name = if path == RESUME_ALL { label.clone() } else { format!("{label}: {of}") };
        context! { label, name, path, question, primary, lasts, target }
    });
    each.collect()
}

/// A yes and a no to what waits for one. Where the target is shown the yes is to that one.
fn answers(id: &str, app: &AppName, target: Option<&DeploymentId>) -> [Action; 2] {
    let path = |verb: &str| format!("/api/v1/incidents/{id}/{verb}");
    let to = target.map_or(String::new(), |target| format!(" to {target}"));
    let yes = Action::new("Approve the rollback", path("approve"), format!("Roll {app} back{to}?"));
    let no = Action::new("Reject it", path("reject"), "Leave the release live?".to_owned());
    [Action { primary: true, target: target.map(ToString::to_string), ..yes }, no]
}

/// An incident in the list.
pub(super) fn incident_row(record: &IncidentRecord) -> Value {
    let time = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), words::span);
    let asked = record.asked_by.as_ref().map_or("(ordered)".to_owned(), |by| format!("(ordered by {by})"));
    context! {
        id => record.id.as_str(),
        word => record.outcome.map_or(record.state.as_str(), |outcome| outcome.word()).replace('_', " "),
        rule => record.rule.as_ref().map_or(asked, ToString::to_string),
        opened => record.opened_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        detect => time(record.time_to_detect_seconds),
        restore => time(record.time_to_restore_seconds),
        why => record.why(),
    }
}

/// An incident in full.
pub(super) fn incident(account: &Account) -> Value {
    let record = &account.record;
    let class = match record.outcome {
        None => "bad",
        Some(Outcome::Committed | Outcome::Restarted) => "good",
        Some(_) => "warn",
    };
    let actions: Vec<Action> = match (record.outcome, record.state.as_str()) {
        (None, "awaiting_approval") => {
            answers(record.id.as_str(), &record.app, record.target_deployment.as_ref()).into()
        }
        (None, "soaking") => {
            let path = |verb: &str| format!("/api/v1/apps/{}/{verb}", record.app);
            let commit = format!("Accept the rollback of {} now?", record.app);
            let revert = format!("Undo the rollback of {} now, back to the newest release?", record.app);
            vec![
                Action::new("Commit the rollback", path("commit"), commit),
                Action::new("Revert the rollback", path("revert"), revert),
            ]
        }
        _ => Vec::new(),
    };
    let lines: Vec<Value> = account
        .lines
        .iter()
        .map(|line| {
            let calls: Vec<String> = line.calls.iter().map(|call| call.text(str::to_owned)).collect();
            let after = format!("{:+.1} s", line.after);
            context! { at => line.at.to_string(), after, event => line.event.clone(), text => line.text.clone(), calls }
        })
        .collect();
    let evidence: Vec<Value> = account
        .evidence
        .iter()
        .map(|evidence| {
            let [rule, verdict, value, threshold, samples, window] = text::row(evidence);
            context! { rule, verdict, value, threshold, samples, window }
        })
        .collect();
    let durations: Vec<Value> = account
        .told
        .durations
        .parts()
        .into_iter()
        .map(|(name, took, what)| Value::from(vec![Value::from(name), Value::from(took), Value::from(what)]))
        .collect();
    let signal = account.signal().map(|signal| {
        let alt = spark::described(signal);
        let caption = format!("What rule {} measured, against its limit (the dashed line).", signal.rule);
        // Another picture where there is more to see.
        context! { alt, caption, stamp => format!("{}-{}", signal.points.len(), signal.marks.len()) }
    });
    context! {
        id => record.id.as_str(),
        class,
        word => account.word.clone(),
        headline => account.headline.clone(),
        summary => account.summary.clone(),
        facts => pairs(&account.facts),
        refusals => account.refusals.clone(),
        evidence,
        durations,
        replay => account.told.replay.as_ref().map(|replay| replay.text()),
        lines,
        signal,
        actions => shown(actions, &record.app),
    }
}
