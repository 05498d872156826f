//! Which apps a person paused: one set, written by the API, read right before every write.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::ids::AppName;

/// Stands for all apps.
pub(super) const ALL: &str = "*";

/// The paused apps. Clones see the same set.
#[derive(Clone, Default)]
pub(super) struct Paused(Arc<watch::Sender<Known>>);

/// Until the journal was read nobody knows who is paused.
#[derive(Default)]
struct Known {
    apps: BTreeSet<String>,
    is_complete: bool,
}

impl Paused {
    /// What the journal remembers, besides what was asked for meanwhile.
    pub(super) fn recall(&self, apps: Vec<String>) {
        self.0.send_modify(|known| {
            known.apps.extend(apps);
            known.is_complete = true;
        });
    }

    /// Whether nothing may be written for `app`: so it is for everybody while nobody knows.
    pub(super) fn is_paused(&self, app: &AppName) -> bool {
        let known = self.0.borrow();
        !known.is_complete || known.apps.contains(ALL) || known.apps.contains(app.as_str())
    }

    /// Whether everything is paused.
    pub(super) fn is_all(&self) -> bool {
        self.0.borrow().apps.contains(ALL)
    }

    /// Pauses or resumes an app, or all of them; resuming all resumes each.
    pub(super) fn set(&self, app: Option<&AppName>, paused: bool) {
        self.0.send_modify(|known| match (app, paused) {
            (Some(app), true) => drop(known.apps.insert(app.to_string())),
            (Some(app), false) => drop(known.apps.remove(app.as_str())),
            (None, true) => drop(known.apps.insert(ALL.to_owned())),
            (None, false) => known.apps.clear(),
        });
    }

    /// The apps in it, for the journal.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.borrow().apps.iter().cloned().collect()
    }
}
