//! Turns a change into a journal entry, and tells the world about it once it is written.

use serde_json::json;

use super::Shell;
use crate::config::AppConfig;
use crate::decision::effect::{DECISIONS, Reason, Verb};
use crate::decision::observation::{Observation, RecordedObservation};
use crate::decision::policy::Policy;
use crate::decision::state::{Incident, Situation, Stage, State};
use crate::decision::story::Event;
use crate::decision::{Change, Closed};
use crate::ids::{IncidentId, PlatformAppId};
use crate::journal::{DecisionRecord, Entry, IncidentRecord, JournalError, Notice, TimelineEntry};
use crate::metrics::AppMetrics;
use crate::notify::notices::{self, Happened};

/// What an app's task keeps between decisions for the sake of the record.
#[derive(Default)]
pub(super) struct Recorder {
    /// The open incident as the journal shows it.
    incident: Option<IncidentRecord>,
    /// The calls behind the answer that is decided on next.
    pub(super) calls: Vec<serde_json::Value>,
}

impl Recorder {
    /// Reads an app's state, and its open incident's record.
    pub(super) async fn restore(
        &mut self,
        shell: &Shell,
        app: &PlatformAppId,
    ) -> Result<State, JournalError> {
        let (state, _open) = shell.journal.load(app).await?;
        let state = state.unwrap_or_default();
        self.incident = match state.incident() {
            Some(incident) => shell.journal.incident(&incident.id).await?.map(|(record, _)| record),
            None => None,
        };
        Ok(state)
    }

    /// Writes `change`, which `decide` made of `before` and `seen`.
    pub(super) async fn record(
        &mut self,
        shell: &Shell,
        config: &AppConfig,
        before: &State,
        seen: &Observation<'_>,
        change: &Change,
    ) -> Result<(), JournalError> {
        let wall = shell.clock.wall();
        let incident = match (incident_of(change), &change.about) {
            (Some((incident, closed)), _) => {
                Some(self.incident_record(shell, config, incident, closed, change, wall))
            }
            // What is still told of one that is over. It may be forgotten by now.
            (None, Some(id)) => shell.journal.incident(id).await?.map(|(record, _)| record),
            (None, None) => None,
        };
        let story = change.story.iter().filter(|_| incident.is_some());
        let timeline = story.map(|event| self.timeline_entry(event, wall)).collect();
        let notices = notices_of(shell, config, change, incident.as_ref(), wall);
        let entry = Entry {
            app: config.name.clone(),
            id: config.id.clone(),
            mark: shell.clock.mark(),
            wall,
            state: change.state.clone(),
            answered: seen.answer.cloned().filter(|_| before.owed().is_some()),
            effect: change.effect.clone(),
            decision: decision_record(&config.policy, before, seen, change),
            incident: incident.clone(),
            timeline,
            notices,
        };
        let is_told = !entry.notices.is_empty();
        shell.journal.record(entry).await?;
        if is_told {
            shell.post.ring();
        }
        self.calls.clear();
        self.incident = incident.filter(|record| record.closed_at.is_none());
        Ok(())
    }

    fn incident_record(
        &self,
        shell: &Shell,
        config: &AppConfig,
        incident: &Incident,
        closed: Option<&Closed>,
        change: &Change,
        wall: jiff::Timestamp,
    ) -> IncidentRecord {
        let last = self.incident.as_ref().filter(|record| record.id == incident.id);
        let detect = incident.opened_at.since(incident.first_failure_at).as_secs_f64();
        let restored = change.story.iter().find_map(|event| match event {
            Event::Restored { after_seconds } => Some(*after_seconds),
            _ => None,
        });
        let ruled = change.ruling.as_ref().map(|ruling| ruling.reason);
        IncidentRecord {
            id: incident.id.clone(),
            app: config.name.clone(),
            app_id: config.id.clone(),
            state: closed.map_or(incident.stage.word(), |_| "closed").to_owned(),
            outcome: closed.map(|closed| closed.outcome),
            reason: closed
                .map(|closed| closed.reason)
                .or(ruled)
                .or(last.map(|record| record.reason))
                .unwrap_or(Reason::RuleFired),
            detail: change.closing_detail(),
            rule: incident.rule.clone(),
            asked_by: incident.asked.as_ref().map(|asked| asked.by.clone()),
            opened_at: last.map_or(wall, |record| record.opened_at),
            closed_at: closed.map(|_| wall),
            approve_by: closed.is_none().then(|| approve_by(shell, incident)).flatten(),
            // What is accused later is the same release under another id: the upkeep of it, or a restart that may heal it.
            bad_deployment: last.map_or(&incident.accused.id, |record| &record.bad_deployment).clone(),
            target_deployment: incident.stage.target().cloned(),
            rollback_deployment: incident.stage.rollback().cloned(),
            time_to_detect_seconds: incident.rule.is_some().then_some(detect),
            time_to_restore_seconds: restored.or(last.and_then(|record| record.time_to_restore_seconds)),
        }
    }

    fn timeline_entry(&self, event: &Event, wall: jiff::Timestamp) -> TimelineEntry {
        let mut facts = serde_json::to_value(event).unwrap_or_default();
        if let (Event::Answered { .. }, Some(facts)) = (event, facts.as_object_mut()) {
            facts.insert("calls".to_owned(), json!(self.calls));
        }
        TimelineEntry { at: wall, event: event.word().to_owned(), text: event.text(), facts }
    }

    /// Logs and counts a change that is written.
    pub(super) fn announce(
        &self,
        shell: &Shell,
        config: &AppConfig,
        metrics: &AppMetrics,
        before: &State,
        change: &Change,
    ) {
        if let Some(ruling) = &change.ruling {
            metrics.decision(ruling.verb, ruling.reason);
        }
        if let Some(closed) = &change.closed {
            let made = closed.incident.stage.rollback().filter(|_| !closed.incident.is_settlement());
            metrics.closed(closed.outcome, made.is_some());
        }
        if is_release(before, &change.state) {
            metrics.released();
        }
        let incident = incident_of(change).map(|(incident, _)| incident);
        for event in &change.story {
            match event {
                Event::Fired { .. } => {
                    if let Some(incident) = incident {
                        let detect = incident.opened_at.since(incident.first_failure_at);
                        shell.metrics.time_to_detect.observe(detect.as_secs_f64());
                    }
                }
                Event::PredictionJudged { efficacy, .. } => {
                    shell.metrics.rollback_efficacy.with_label_values(&[efficacy.word()]).inc();
                }
                Event::Restored { after_seconds } => shell.metrics.time_to_restore.observe(*after_seconds),
                _ => {}
            }
        }
        let incident = incident.map(|incident| &incident.id).or(change.about.as_ref());
        log(config, before, change, incident);
    }
}

/// Whether a release went live in the place of what was live before, and came under watch. What is live at a first sight went
/// live before anybody looked.
fn is_release(before: &State, after: &State) -> bool {
    let Situation::Watching(watch) = &after.situation else { return false };
    // The candidate under another id is the same release.
    watch.candidate.cause.is_release()
        && watch.former.is_empty()
        && before.live().is_some_and(|live| live.id != watch.live.id)
}

/// Until when a person may answer, by the wall clock.
pub(super) fn approve_by(shell: &Shell, incident: &Incident) -> Option<jiff::Timestamp> {
    match incident.stage {
        Stage::AwaitingApproval { deadline, .. } => Some(shell.ahead(deadline)),
        _ => None,
    }
}

/// What is to be told of a change, to whom.
fn notices_of(
    shell: &Shell,
    config: &AppConfig,
    change: &Change,
    record: Option<&IncidentRecord>,
    wall: jiff::Timestamp,
) -> Vec<Notice> {
    let board = shell.post.board();
    if board.channels.is_empty() {
        return Vec::new();
    }
    let external_url = board.external_url.as_ref();
    let events = notices::of(&Happened { config, change, record, wall, external_url });
    let now = shell.clock.now();
    events.iter().filter_map(|event| board.notice(event, now, wall)).collect()
}

/// Waits that `decisions_total` counts.
pub(super) fn is_counted_wait(reason: Reason) -> bool {
    DECISIONS.contains(&(Verb::Wait, reason))
        // Counted as a ruling when the question is put.
        && reason != Reason::AwaitingApproval
}

fn incident_of(change: &Change) -> Option<(&Incident, Option<&Closed>)> {
    match &change.closed {
        Some(closed) => Some((&closed.incident, Some(closed))),
        None => change.state.incident().map(|incident| (incident, None)),
    }
}

/// What is needed to make the decision again. Kept for what was decided, not for what was merely learnt.
fn decision_record(
    policy: &Policy,
    before: &State,
    seen: &Observation<'_>,
    change: &Change,
) -> Option<DecisionRecord> {
    let ruling = change.ruling.as_ref()?;
    let json = |value: Result<String, serde_json::Error>| value.unwrap_or_default();
    Some(DecisionRecord {
        verb: ruling.verb,
        reason: ruling.reason,
        incident: ruling.incident.clone(),
        policy: json(serde_json::to_string(policy)),
        before: json(serde_json::to_string(before)),
        observation: json(serde_json::to_string(&RecordedObservation::from(seen))),
        after: json(serde_json::to_string(&change.state)),
    })
}

/// One line a transition.
fn log(config: &AppConfig, before: &State, change: &Change, incident: Option<&IncidentId>) {
    let stage =
        |state: &State| state.incident().map_or(state.word(), |incident| incident.stage.word()).to_owned();
    let (from, to) = (stage(before), stage(&change.state));
    if from == to && change.ruling.is_none() && change.story.is_empty() {
        return;
    }
    let reason = change.ruling.as_ref().map_or("", |ruling| ruling.reason.word());
    let incident = incident.map_or("", IncidentId::as_str);
    let live = change.state.live().map_or("", |live| live.id.as_str());
    tracing::info!(app = %config.name, incident, from, to, reason, live, "transition");
    for event in &change.story {
        tracing::info!(app = %config.name, incident, event = event.word(), "{}", event.text());
    }
}
