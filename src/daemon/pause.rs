//! Which apps a person paused: one set, written by the API, read right before every write.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard, watch};

use crate::ids::PlatformAppId;

/// Stands for all apps.
pub(super) const ALL: &str = "*";

/// The paused apps, by the platform's ids of them. Clones see the same set.
#[derive(Clone, Default)]
pub(super) struct Paused {
    known: Arc<watch::Sender<Known>>,
    turns: Arc<Mutex<()>>,
}

/// Until the journal was read nobody knows who is paused.
#[derive(Default)]
struct Known {
    apps: BTreeSet<String>,
    is_complete: bool,
}

impl Paused {
    /// What the journal remembers, besides what was asked for meanwhile.
    pub(super) fn recall(&self, apps: Vec<String>) {
        self.known.send_modify(|known| {
            known.apps.extend(apps);
            known.is_complete = true;
        });
    }

    /// Whether nothing may be written for `app`: so it is for everybody while nobody knows.
    pub(super) fn is_paused(&self, app: &PlatformAppId) -> bool {
        let known = self.known.borrow();
        !known.is_complete || known.apps.contains(ALL) || known.apps.contains(app.as_str())
    }

    /// Whether everything is paused.
    pub(super) fn is_all(&self) -> bool {
        self.known.borrow().apps.contains(ALL)
    }

    /// Pauses or resumes an app, or all of them; resuming all resumes each.
    pub(super) fn set(&self, app: Option<&PlatformAppId>, paused: bool) {
        self.known.send_modify(|known| match (app, paused) {
            (Some(app), true) => drop(known.apps.insert(app.to_string())),
            (Some(app), false) => drop(known.apps.remove(app.as_str())),
            (None, true) => drop(known.apps.insert(ALL.to_owned())),
            (None, false) => known.apps.clear(),
        });
    }

    /// Waits until nobody else changes the set.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turns.lock().await
    }

    /// The ids in it, for the journal.
    pub(super) fn ids(&self) -> Vec<String> {
        self.known.borrow().apps.iter().cloned().collect()
    }
}
