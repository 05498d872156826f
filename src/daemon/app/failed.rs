//! A deployment that failed before it went live: told and never acted on, since what was live before goes on serving.

use std::time::Duration;

use super::App;
use crate::clock::Moment;
use crate::decision::observation::{Deployment, Phase, Reading};
use crate::ids::DeploymentId;
use crate::notify::notices;

/// How long it is asked how a deployment ended that is not under way any more.
const ASK_FOR: Duration = Duration::from_secs(5 * 60);

/// What is known of deployments that did not go live.
#[derive(Default)]
pub(in super::super) struct Failed {
    /// One that was under way and is not any more, nor is it live: how it ended is asked until then.
    ended: Option<(DeploymentId, Moment)>,
    /// The newest deployment of all, if it failed.
    pub(in super::super) newest: Option<DeploymentId>,
    /// Those that were told, as long as the platform lists them; none before the first look, which tells of no old ones.
    told: Option<Vec<DeploymentId>>,
}

impl App {
    /// Whether it is to be asked how a deployment ended.
    pub(super) fn wants_ending(&self) -> bool {
        self.failed.ended.is_some()
    }

    /// Takes note of what became of `before`, the deployment that was under way when the app was read the last time.
    pub(super) fn note_ending(&mut self, before: Option<DeploymentId>) {
        let now = self.shell.clock.now();
        let Some(view) = self.view.value() else { return };
        let is_there = |id: &DeploymentId| {
            view.active.as_ref().is_some_and(|active| active.id == *id)
                || view.in_progress.as_ref() == Some(id)
        };
        if let Some(before) = before.filter(|id| !is_there(id)) {
            self.failed.ended = Some((before, now + ASK_FOR));
            self.next_look = self.next_look.min(now);
        }
        if view.in_progress.is_some() {
            self.failed.newest = None;
        }
    }

    /// Tells of each deployment that failed, once.
    pub(super) fn note_failed(&mut self, history: &Reading<Vec<Deployment>>) {
        let (Some(entries), Some(view), Some(state)) = (history.value(), self.view.value(), &self.state)
        else {
            return;
        };
        let now = self.shell.clock.now();
        let is_known = |(id, until): &(DeploymentId, Moment)| {
            let is_over = |entry: &Deployment| {
                !matches!(entry.phase, Phase::InProgress | Phase::Unknown) && entry.id == *id
            };
            now >= *until || entries.iter().any(is_over)
        };
        let awaited = self.failed.ended.as_ref().map(|(id, _)| id.clone());
        if self.failed.ended.as_ref().is_some_and(is_known) {
            self.failed.ended = None;
        }
        let live = view.active.as_ref();
        // What became of our own is told by its incident.
        let since = since(entries, live);
        let failed: Vec<&Deployment> = since
            .iter()
            .copied()
            .filter(|entry| entry.phase == Phase::Error && state.ledger.made_for(&entry.id).is_none())
            .collect();
        let newest =
            since.first().filter(|newest| failed.first().is_some_and(|failed| failed.id == newest.id));
        self.failed.newest = newest.map(|entry| entry.id.clone());
        let live = live.map_or("nothing", |live| live.id.as_str());
        let is_first = self.failed.told.is_none();
        let told = self.failed.told.get_or_insert_default();
        told.retain(|id| entries.iter().any(|entry| entry.id == *id));
        for entry in failed.into_iter().rev() {
            if told.contains(&entry.id) {
                continue;
            }
            told.push(entry.id.clone());
            if is_first && awaited.as_ref() != Some(&entry.id) {
                continue;
            }
            let (app, deployment, title) = (&self.config.name, &entry.id, &entry.title);
            tracing::warn!(
                %app, %deployment, %live, %title,
                "a deployment failed before it went live; what was live before it goes on serving"
            );
            self.metrics.deployment_failed();
            let (wall, live) = (self.shell.clock.wall(), view.active.as_ref().map(|live| &live.id));
            self.shell.post.hand_in(&notices::failed(&self.config, entry, live, wall), now, wall);
        }
    }
}

/// The deployments that came after the live one, by their dates, and where there are none by the platform's order, which
/// is newest first.
fn since<'a>(entries: &'a [Deployment], live: Option<&'a Deployment>) -> Vec<&'a Deployment> {
    let place = live.and_then(|live| entries.iter().position(|entry| entry.id == live.id));
    let is_later = |(at, entry): &(usize, &Deployment)| match live {
        Some(live) if entry.created_ms != 0 && live.created_ms != 0 => entry.created_ms > live.created_ms,
        Some(_) => place.is_none_or(|place| *at < place),
        None => true,
    };
    entries.iter().enumerate().filter(is_later).map(|(_, entry)| entry).collect()
}
