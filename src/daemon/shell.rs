//! What the tasks share: ways to the outside, figures, and what the journal remembers of people.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{Timestamp, Unit};
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;

use super::fleet::FleetLine;
use super::outlook::Desk;
use super::pause::Paused;
use crate::clock::{Clock, Moment};
use crate::journal::{Journal, JournalError};
use crate::metrics::Metrics;
use crate::notify::post::Post;
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
    /// How something is told.
    pub(super) post: Post,
    pub(super) outlooks: Desk,
    pub(super) is_journal_working: AtomicBool,
    /// What people and the storm breaker left in the journal was read.
    pub(super) is_recalled: OnceCell<()>,
    /// This process cannot go on, and the next one can.
    pub(super) must_restart: CancellationToken,
}

/// How far the clock may be off the last process's time line: a wall clock that is slewed, not one that was set.
const CLOCK_OFF_BY: Duration = Duration::from_secs(2);

/// Why what the last process left cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecallError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal could not be read when the clock was started, and the wall clock it was started by is off.
    #[error("continue the last process's time: the clock is off by {} s; a restart takes it over", .0.as_secs())]
    Clock(Duration),
}

impl Shell {
    /// Reads who is paused and whether there is a storm, where that was not possible at the start. Nobody acts before.
    pub(super) async fn recall(&self) -> Result<(), RecallError> {
        if self.is_recalled.initialized() {
            return Ok(());
        }
        // All who wait are answered by one attempt of the journal; the first of them makes it known.
        let restored = self.journal.restore().await?;
        let off = restored.mark.as_ref().map_or(Duration::ZERO, |last| self.clock.mark().off(last));
        if off > CLOCK_OFF_BY {
            // Every deadline in the journal would be off by as much.
            self.must_restart.cancel();
            return Err(RecallError::Clock(off));
        }
        let make_known = || async {
            self.fleet.recall(restored.storm_since).await;
            self.paused.recall(restored.paused);
        };
        self.is_recalled.get_or_init(make_known).await;
        Ok(())
    }

    /// A moment to come as people read it: by the wall clock, to the second, so that the same moment is the same whenever
    /// it is asked for.
    pub(super) fn ahead(&self, moment: Moment) -> Timestamp {
        let in_time = moment.since(self.clock.now());
        let at = self.clock.wall().checked_add(in_time).unwrap_or(Timestamp::MAX);
        at.round(Unit::Second).unwrap_or(at)
    }

    /// Notes whether the journal takes writes; says whether that is news.
    pub(super) fn journal_works(&self, works: bool) -> bool {
        self.metrics.journal_writable.set(i64::from(works));
        self.is_journal_working.swap(works, Ordering::Relaxed) != works
    }
}
