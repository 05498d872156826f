//! Which apps a person paused: one set, written by the API, read right before every write.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard, watch};

use crate::ids::PlatformAppId;
use crate::journal::Journal;

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
    /// Those of them that the journal does not have yet.
    unwritten: BTreeSet<String>,
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

    /// Pauses or resumes an app, or all of them; resuming all resumes each. A pause is in force before it is written.
    pub(super) fn set(&self, app: Option<&PlatformAppId>, paused: bool) {
        let key = key(app);
        self.known.send_modify(|known| match (app, paused) {
            (_, true) => {
                known.unwritten.insert(key.to_owned());
                known.apps.insert(key.to_owned());
            }
            (Some(_), false) => {
                known.unwritten.remove(key);
                known.apps.remove(key);
            }
            (None, false) => {
                known.unwritten.clear();
                known.apps.clear();
            }
        });
    }

    /// Whether this one is paused, be everything paused or not.
    pub(super) fn has(&self, app: &PlatformAppId) -> bool {
        self.known.borrow().apps.contains(app.as_str())
    }

    /// The journal may have none of it.
    pub(super) fn is_unwritten(&self) {
        self.known.send_modify(|known| known.unwritten = known.apps.clone());
    }

    /// The journal has it.
    pub(super) fn is_written(&self, app: Option<&PlatformAppId>) {
        self.known.send_modify(|known| {
            known.unwritten.remove(key(app));
        });
    }

    /// Writes the pauses that the journal does not have yet.
    pub(super) async fn write_again(&self, journal: &dyn Journal) {
        let _turn = self.turn().await;
        let unwritten = self.known.borrow().unwritten.clone();
        for app in unwritten {
            match journal.set_paused(&app, true).await {
                Ok(()) => self.known.send_modify(|known| {
                    known.unwritten.remove(&app);
                }),
                Err(error) => {
                    return tracing::error!("failed to {error}; a pause is in force and not durable");
                }
            }
        }
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

/// How the journal calls it.
fn key(app: Option<&PlatformAppId>) -> &str {
    app.map_or(ALL, PlatformAppId::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::SqliteJournal;

    #[tokio::test]
    async fn what_is_in_force_is_written_again_once_the_journal_may_have_lost_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = SqliteJournal::open(folder.path().join("rearguard.db")).expect("a journal");
        let (paused, app) = (Paused::default(), PlatformAppId::from("id-shop"));
        paused.recall(Vec::new());
        paused.set(Some(&app), true);
        paused.write_again(&journal).await;
        assert_eq!(journal.restore().await.expect("read").paused, ["id-shop"]);
        // A resume that got no further than this.
        journal.set_paused("id-shop", false).await.expect("written");
        paused.write_again(&journal).await;
        assert_eq!(journal.restore().await.expect("read").paused, [""; 0]);
        paused.is_unwritten();
        paused.write_again(&journal).await;
        assert_eq!(journal.restore().await.expect("read").paused, ["id-shop"]);
        assert!(paused.has(&app) && paused.is_paused(&app));
    }
}
