//! What the tasks share: ways to the outside, figures, and what the journal remembers of people.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OnceCell, watch};

use super::fleet::FleetLine;
use super::pause::Paused;
use crate::clock::Clock;
use crate::journal::{Journal, JournalError};
use crate::metrics::Metrics;
use crate::probe::Probe;
use crate::probe::control::Controls;
use crate::probe::peers::Peers;

/// What every task needs.
pub(crate) struct Shell {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) metrics: Metrics,
    pub(super) probe: Arc<dyn Probe>,
    pub(super) controls: watch::Sender<Arc<Controls>>,
    pub(super) peers: Peers,
    pub(super) fleet: FleetLine,
    pub(super) paused: Paused,
    pub(super) is_journal_working: AtomicBool,
    /// What people and the storm breaker left in the journal was read.
    pub(super) is_recalled: OnceCell<()>,
}

impl Shell {
    /// Reads who is paused and whether there is a storm, where that was not possible at the start. Nobody acts before.
    pub(super) async fn recall(&self) -> Result<(), JournalError> {
        if self.is_recalled.initialized() {
            return Ok(());
        }
        // All who wait are answered by one attempt of the journal; the first of them makes it known.
        let restored = self.journal.restore().await?;
        let make_known = || async {
            self.fleet.recall(restored.storm_since).await;
            self.paused.recall(restored.paused);
        };
        self.is_recalled.get_or_init(make_known).await;
        Ok(())
    }

    /// Notes whether the journal takes writes; says whether that is news.
    pub(super) fn journal_works(&self, works: bool) -> bool {
        self.metrics.journal_writable.set(i64::from(works));
        self.is_journal_working.swap(works, Ordering::Relaxed) != works
    }
}
