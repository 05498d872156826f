//! Which of the things that happen are told, and in which words.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use url::Url;

use super::event::{Case, Event, Evidence, Kind, Named, SCHEMA};
use crate::clock::Moment;
use crate::config::AppConfig;
use crate::decision::Change;
use crate::decision::effect::{Answer, Effect, Reason, Verb};
use crate::decision::observation::Deployment;
use crate::decision::policy::Mode;
use crate::decision::state::{Hold, Incident, Outcome, Situation, Stage};
use crate::decision::story::{Event as Told, evidence_in_words, misnamed};
use crate::ids::{DeploymentId, RuleName};
use crate::journal::IncidentRecord;
use crate::telling::words;

/// Titles are cut after so many characters: they come from whoever pushes.
const TITLE: usize = 200;

/// A change, and what is known beside it.
pub(crate) struct Happened<'a> {
    /// The app as it is configured.
    pub(crate) config: &'a AppConfig,
    /// What was decided.
    pub(crate) change: &'a Change,
    /// The incident that it belongs to, as it is after it.
    pub(crate) record: Option<&'a IncidentRecord>,
    /// The wall clock.
    pub(crate) wall: Timestamp,
    /// Where people find this rearguard.
    pub(crate) external_url: Option<&'a Url>,
}

/// What is told of a change, in the order in which it happened.
pub(crate) fn of(happened: &Happened<'_>) -> Vec<Event> {
    let mut events: Vec<Event> =
        happened.change.story.iter().filter_map(|told| happened.event(told)).collect();
    if let Some((target, asked)) = happened.question() {
        events.push(happened.make(Kind::ApprovalNeeded, target.as_str(), asked));
    }
    events
}

/// That a deployment failed before it went live.
pub(crate) fn failed(
    config: &AppConfig,
    failed: &Deployment,
    live: Option<&DeploymentId>,
    wall: Timestamp,
) -> Event {
    let live = live.map_or(String::new(), |live| format!("; {live} goes on serving"));
    let title = title(&failed.title).map_or(String::new(), |title| format!(" ({title})"));
    Event {
        key: format!("{}:{}:{}", config.name, Kind::DeploymentFailed.word(), hash(failed.id.as_str())),
        text: format!("{}deployment {}{title} failed before it went live{live}", whose(config), failed.id),
        deployment: Some(named(failed)),
        next: Some("nothing: what was live before it was not touched".to_owned()),
        ..blank(Kind::DeploymentFailed, Some(config), wall)
    }
}

/// That the storm breaker is open.
pub(crate) fn storm(since: Moment, wall: Timestamp) -> Event {
    Event {
        key: format!("{}:{}", Kind::Storm.word(), since.as_millis()),
        text: "storm: more apps want a rollback at once than allowed; no rollback is begun".to_owned(),
        next: Some("rearguard resume --all, once it is known what they have in common".to_owned()),
        ..blank(Kind::Storm, None, wall)
    }
}

/// That an incident left something at the platform, and its app is not configured any more. Told once an incident, however
/// often rearguard starts. Which platform it was is not in the journal.
pub(crate) fn left_behind(record: &IncidentRecord, text: &str, next: &str, wall: Timestamp) -> Event {
    let (what, case) = (hash("left behind"), case(record, None, &[]));
    Event {
        key: format!("{}:{}:{}:{what}", record.id, record.opened_at.as_millisecond(), Kind::Held.word()),
        app: Some(record.app.clone()),
        text: format!("{}: {text}", record.app),
        deployment: Some(case.bad_deployment.clone()),
        incident: Some(case),
        next: Some(next.to_owned()),
        ..blank(Kind::Held, None, wall)
    }
}

impl Happened<'_> {
    /// What is told of one thing that happened, if anything.
    fn event(&self, told: &Told) -> Option<Event> {
        let stage = self.incident().map(|incident| &incident.stage);
        // A revert that is made of a rollback is told when it is done, like any other.
        let is_return = matches!(stage, Some(Stage::Reverting { .. } | Stage::Returning { .. }));
        let (kind, what) = match told {
            Told::Call { .. } | Told::Answered { .. } | Told::Adopted { .. } if is_return => return None,
            Told::Fired { .. } => (Kind::Fired, ""),
            Told::Noticed { rule, deployment, evidence } => {
                return Some(self.noticed(rule, deployment, evidence, told.text()));
            }
            Told::Call { call: Effect::CreateRollback { target, .. }, attempt: 1, .. } => {
                (Kind::RollbackRequested, target.as_str())
            }
            Told::Answered { answer: Answer::Created(made), .. } => (Kind::RollbackCreated, made.id.as_str()),
            Told::Adopted { call, deployment: Some(made) } if call == "create_rollback" => {
                (Kind::RollbackCreated, made.as_str())
            }
            Told::SoakBegan { rollback, .. } => (Kind::RollbackLive, rollback.as_str()),
            Told::Restored { .. } => (Kind::Restored, ""),
            Told::WrongTarget { deployment, .. } => (Kind::WrongTarget, deployment.as_str()),
            Told::Asked { by, request, .. } => {
                // The same person may say the same again later in the same incident.
                let what = format!("{by} {request:?} {}", self.wall.as_millisecond());
                return Some(self.make(Kind::Asked, &what, told.text()));
            }
            Told::AppGone => (Kind::AppGone, ""),
            Told::PausedPerhapsByUs => {
                // It may come about once more, after somebody has let them go.
                let what = self.wall.as_millisecond().to_string();
                return Some(self.make(Kind::PushesPaused, &what, told.text()));
            }
            // What comes about later opens a hold of its own.
            Told::LeftOver { deployment } => (Kind::Held, deployment.as_str()),
            // Told with its end where the incident is open.
            Told::PerhapsOurs { deployments, .. } if self.change.closed.is_none() => {
                (Kind::Held, deployments.first().map_or("", DeploymentId::as_str))
            }
            Told::Closed { outcome, .. } => {
                let is_held = matches!(self.change.state.situation, Situation::Held(_));
                let kind = if is_held { Kind::Held } else { Kind::Closed };
                return Some(self.make(kind, outcome.word(), self.closed(*outcome, told)));
            }
            _ => return None,
        };
        Some(self.make(kind, what, told.text()))
    }

    /// How an incident ended, with what a person named where that is nothing to go back to.
    fn closed(&self, outcome: Outcome, told: &Told) -> String {
        let is_misnamed = |told: &&Told| match told {
            Told::TargetRefused { reason, detail, .. } => misnamed(*reason, detail).is_some(),
            _ => false,
        };
        match self.change.story.iter().find(is_misnamed) {
            Some(why) => format!("closed as {}: {}", outcome.word(), why.text()),
            None => told.text(),
        }
    }

    /// A question to a person that this change puts: the target it is about, and the question.
    fn question(&self) -> Option<(DeploymentId, String)> {
        let ruling = self.change.ruling.as_ref()?;
        let is_asked = (ruling.verb, ruling.reason) == (Verb::Wait, Reason::AwaitingApproval);
        let incident = self.change.state.incident().filter(|_| is_asked)?;
        let Stage::AwaitingApproval { target, .. } = &incident.stage else { return None };
        let title = title(&target.title).map_or(String::new(), |title| format!(" ({title})"));
        let (from, to) = (&incident.accused.id, &target.id);
        Some((to.clone(), format!("may it be rolled back from {from} to {to}{title}?")))
    }

    /// An event of the incident. `what` tells it from others of the same kind.
    fn make(&self, kind: Kind, what: &str, text: String) -> Event {
        let config = self.config;
        let what = if what.is_empty() { String::new() } else { format!(":{}", hash(what)) };
        let incident = self.incident();
        let case = self.record.map(|record| case(record, incident, &self.change.state.ledger.good));
        let mut links = BTreeMap::new();
        let mut prefix = format!("{}:{}", config.name, config.id);
        if let Some(record) = self.record {
            // An id may come again where a restart seemed to heal; when it was opened does not.
            prefix = format!("{}:{}", record.id, record.opened_at.as_millisecond());
            if let Some(link) = self.external_url.and_then(|base| link(base, record.id.as_str())) {
                links.insert("incident".to_owned(), link);
            }
        }
        Event {
            key: format!("{prefix}:{}{what}", kind.word()),
            text: format!("{}{text}", whose(config)),
            deployment: case.as_ref().map(|case| case.bad_deployment.clone()),
            incident: case,
            evidence: incident.and_then(|incident| evidence(config, incident)),
            next: self.next(kind),
            links,
            ..blank(kind, Some(config), self.wall)
        }
    }

    fn noticed(&self, rule: &RuleName, deployment: &DeploymentId, words: &str, text: String) -> Event {
        let what = hash(&format!("{deployment} {rule}"));
        Event {
            key: format!("{}:{}:{what}", self.config.name, Kind::Noticed.word()),
            text: format!("{}{text}", whose(self.config)),
            deployment: Some(Named { id: deployment.clone(), title: None }),
            evidence: Some(Evidence {
                rule: rule.clone(),
                value: None,
                threshold: None,
                samples: None,
                words: words.to_owned(),
            }),
            next: Some("nothing: this rule only tells".to_owned()),
            ..blank(Kind::Noticed, Some(self.config), self.wall)
        }
    }

    fn incident(&self) -> Option<&Incident> {
        let closed = self.change.closed.as_ref().map(|closed| &closed.incident);
        closed.or_else(|| self.change.state.incident())
    }

    /// What happens next, or what a person can do.
    fn next(&self, kind: Kind) -> Option<String> {
        let app = &self.config.name;
        let id = self.record.map(|record| &record.id);
        let is_over = self.change.closed.is_some();
        Some(match kind {
            Kind::Fired if is_over => return None,
            Kind::Fired => match self.config.policy.mode {
                Mode::Observe => "nothing: mode observe only tells".to_owned(),
                Mode::Approve => "a person is asked before anything is done".to_owned(),
                Mode::Enforce => {
                    format!("it is rolled back if that is possible; rearguard pause {app} stops that")
                }
            },
            Kind::ApprovalNeeded => {
                let id = id?;
                let by = self.record.and_then(|record| record.approve_by);
                let by =
                    by.map_or(String::new(), |by| format!("; until {}", words::approve_by(by, self.wall)));
                // Whoever reads it later says yes to what it named, and to nothing that came after.
                let target = self.record.and_then(|record| record.target_deployment.as_ref());
                let [yes, no] = words::answers(id.as_str(), target.map(|target| target.as_str()));
                format!("{yes}, or {no}{by}")
            }
            Kind::RollbackRequested => {
                format!("the platform deploys it; rearguard pause {app} lets nothing follow")
            }
            Kind::RollbackCreated => "it is watched once it is live".to_owned(),
            Kind::RollbackLive => "it is settled at the end of the soak".to_owned(),
            Kind::Restored => "the soak goes on".to_owned(),
            Kind::WrongTarget => "a person has to see what runs there".to_owned(),
            Kind::Held => match &self.change.state.situation {
                Situation::Held(hold)
                    if hold
                        .kept
                        .as_ref()
                        .is_some_and(|kept| kept.stage.rollback() == Some(&hold.live.id)) =>
                {
                    format!("rearguard commit {app}, or rearguard revert {app}; or rearguard resume {app}")
                }
                Situation::Held(Hold { pin: Some(pin), .. })
                    if self.change.state.ledger.soft_pin.is_none() =>
                {
                    format!("commit or revert rollback {pin} at the platform; or rearguard resume {app}")
                }
                _ => format!("rearguard resume {app}, or deploy a newer release"),
            },
            Kind::PushesPaused => "let pushes be deployed at the platform, if nobody paused them".to_owned(),
            Kind::AppGone => "take the app out of the configuration, or correct its id".to_owned(),
            Kind::Asked | Kind::Closed | Kind::Noticed | Kind::DeploymentFailed | Kind::Storm => return None,
        })
    }
}

/// An event of which only the kind is known.
fn blank(kind: Kind, config: Option<&AppConfig>, at: Timestamp) -> Event {
    let mode = |config: &AppConfig| match config.policy.mode {
        Mode::Observe => "observe",
        Mode::Approve => "approve",
        Mode::Enforce => "enforce",
    };
    Event {
        schema: SCHEMA,
        key: String::new(),
        kind,
        at,
        app: config.map(|config| config.name.clone()),
        platform: config.map(|config| config.platform.clone()),
        mode: config.map(|config| mode(config).to_owned()),
        incident: None,
        deployment: None,
        evidence: None,
        text: String::new(),
        next: None,
        links: BTreeMap::new(),
    }
}

fn case(record: &IncidentRecord, incident: Option<&Incident>, good: &[Deployment]) -> Case {
    let known = |id: &DeploymentId| {
        let incident = incident?;
        let mut all = std::iter::once(&incident.accused)
            .chain(good)
            .chain(&incident.requests.targets)
            .chain(deployments(&incident.stage));
        all.find(|deployment| deployment.id == *id).and_then(|deployment| title(&deployment.title))
    };
    let named = |id: &DeploymentId| Named { id: id.clone(), title: known(id) };
    Case {
        id: record.id.clone(),
        state: record.state.clone(),
        outcome: record.outcome,
        reason: record.reason,
        rule: record.rule.clone(),
        asked_by: record.asked_by.clone(),
        opened_at: record.opened_at,
        closed_at: record.closed_at,
        approve_by: record.approve_by,
        bad_deployment: named(&record.bad_deployment),
        target_deployment: record.target_deployment.as_ref().map(named),
        rollback_deployment: record.rollback_deployment.as_ref().map(named),
        time_to_detect_seconds: record.time_to_detect_seconds,
        time_to_restore_seconds: record.time_to_restore_seconds,
    }
}

/// The deployments that a stage knows by more than their ids.
fn deployments(stage: &Stage) -> Vec<&Deployment> {
    match stage {
        Stage::AwaitingApproval { target, .. }
        | Stage::Pinning { target, .. }
        | Stage::Creating { target, .. } => vec![target],
        Stage::RollingBack { target, rollback, .. } => vec![target, rollback],
        Stage::Validating { target, .. } | Stage::Restarting { target, .. } => target.iter().collect(),
        Stage::Soaking { rollback, .. }
        | Stage::Committing { rollback, .. }
        | Stage::Reverting { rollback, .. }
        | Stage::Returning { rollback, .. } => vec![rollback],
    }
}

/// What the rule measured, where one fired.
fn evidence(config: &AppConfig, incident: &Incident) -> Option<Evidence> {
    let (reading, policy) = (incident.evidence.as_ref()?, &config.policy);
    // The rule may have left the configuration since it fired.
    let rule = policy.rules.iter().find(|rule| incident.is_of(rule));
    Some(Evidence {
        rule: incident.rule.clone()?,
        value: reading.value.filter(|value| value.is_finite()),
        threshold: Some(reading.threshold).filter(|threshold| threshold.is_finite()),
        samples: Some(reading.samples),
        words: rule.map(|rule| evidence_in_words(rule, &policy.probes, reading)).unwrap_or_default(),
    })
}

fn named(deployment: &Deployment) -> Named {
    Named { id: deployment.id.clone(), title: title(&deployment.title) }
}

fn title(title: &str) -> Option<String> {
    let short: String = title.chars().take(TITLE).collect();
    (!short.is_empty()).then_some(short)
}

/// `shop on ocean: `.
fn whose(config: &AppConfig) -> String {
    format!("{} on {}: ", config.name, config.platform)
}

fn link(base: &Url, incident: &str) -> Option<String> {
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(["incidents", incident]);
    Some(url.to_string())
}

/// A few letters for whatever text: a key stands in headers, and a platform's ids may be anything.
pub(super) fn hash(text: &str) -> String {
    Sha256::digest(text).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
