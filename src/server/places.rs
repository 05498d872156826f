//! Who has a spare connection, and who has to give it up.
//!
//! Whoever holds connections says nothing; whoever asks for health sends its request's head within milliseconds. So where
//! every spare connection is taken, the oldest whose head has not come completely is let go for the new one, and some
//! hundred clients that hold connections and come back at once shut nobody out. One whose request is being answered is
//! never let go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const SILENT: u8 = 0;
const HEARD: u8 = 1;
const LET_GO: u8 = 2;

/// The place of a spare connection. Its conversation holds it to its end.
#[derive(Clone)]
pub(super) struct Place(Arc<Taken>);

struct Taken {
    since: Instant,
    /// Leaves `SILENT` once, for one of the two others.
    word: AtomicU8,
    ended: CancellationToken,
}

impl Place {
    fn new() -> Self {
        Self(Arc::new(Taken {
            since: Instant::now(),
            word: AtomicU8::new(SILENT),
            ended: CancellationToken::new(),
        }))
    }

    /// The request's head has come completely. Whether the place is still the connection's own: then it stays so.
    pub(super) fn is_heard(&self) -> bool {
        self.leave_silence(HEARD)
    }

    /// Waits until somebody else has the place.
    pub(super) async fn lost(&self) {
        self.0.ended.cancelled().await;
    }

    fn leave_silence(&self, word: u8) -> bool {
        let left = self.0.word.compare_exchange(SILENT, word, Ordering::AcqRel, Ordering::Acquire);
        left.is_ok() || left == Err(word)
    }

    fn is_silent(&self) -> bool {
        self.0.word.load(Ordering::Acquire) == SILENT
    }

    /// Its conversation has ended: nobody else holds it.
    fn is_over(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// The places there are, oldest first. Whoever accepts connections owns them.
pub(super) struct Places {
    taken: Vec<Place>,
    most: usize,
    /// Before this age nobody is let go: a head takes some time to come.
    grace: Duration,
}

impl Places {
    pub(super) fn new(most: usize, grace: Duration) -> Self {
        Self { taken: Vec::new(), most, grace }
    }

    /// A place for a connection that has come; none where all are being answered. Takes the grace at most: those who
    /// come meanwhile wait in the listener's queue, where their heads arrive.
    pub(super) async fn take(&mut self) -> Option<Place> {
        loop {
            self.taken.retain(|place| !place.is_over());
            if self.taken.len() < self.most {
                let place = Place::new();
                self.taken.push(place.clone());
                return Some(place);
            }
            let oldest = self.taken.iter().position(Place::is_silent)?;
            let left = self.grace.saturating_sub(self.taken[oldest].0.since.elapsed());
            if !left.is_zero() {
                sleep(left).await;
            } else if self.taken[oldest].leave_silence(LET_GO) {
                self.taken.remove(oldest).0.ended.cancel();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_millis(20);

    #[tokio::test(start_paused = true)]
    async fn the_oldest_that_says_nothing_gives_its_place_up_and_none_that_was_heard() {
        let mut places = Places::new(2, GRACE);
        let (asks, holds) = (places.take().await.unwrap(), places.take().await.unwrap());
        assert!(asks.is_heard());
        let began = Instant::now();
        let next = places.take().await.unwrap();
        assert_eq!(began.elapsed(), GRACE, "a head has that long to come");
        holds.lost().await;
        assert!(!holds.is_heard(), "too late");
        assert!(next.is_heard());
        assert!(places.take().await.is_none(), "both are being answered");
        drop(asks);
        assert!(places.take().await.is_some(), "one has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn where_none_is_kept_back_there_is_no_place() {
        assert!(Places::new(0, GRACE).take().await.is_none());
    }
}
