//! Which apps a person paused: one set, written by the API, read right before every write.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::ids::AppName;

/// Stands for all apps.
pub(super) const ALL: &str = "*";

/// The paused apps. Clones see the same set.
#[derive(Clone)]
pub(super) struct Paused(Arc<watch::Sender<BTreeSet<String>>>);

impl Paused {
    /// As the journal remembers it.
    pub(super) fn new(apps: Vec<String>) -> Self {
        Self(Arc::new(watch::Sender::new(apps.into_iter().collect())))
    }

    /// Whether nothing may be written for `app`.
    pub(super) fn is_paused(&self, app: &AppName) -> bool {
        let set = self.0.borrow();
        set.contains(ALL) || set.contains(app.as_str())
    }

    /// Pauses or resumes an app, or all of them; resuming all resumes each.
    pub(super) fn set(&self, app: Option<&AppName>, paused: bool) {
        self.0.send_modify(|set| match (app, paused) {
            (Some(app), true) => drop(set.insert(app.to_string())),
            (Some(app), false) => drop(set.remove(app.as_str())),
            (None, true) => drop(set.insert(ALL.to_owned())),
            (None, false) => set.clear(),
        });
    }

    /// The apps in it, for the journal.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.borrow().iter().cloned().collect()
    }
}
