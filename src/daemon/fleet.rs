//! The one owner of the storm breaker. Apps ask it right before a rollback is validated and created.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Moment};
use crate::decision::fleet::{Fleet, Permit};
use crate::ids::PlatformAppId;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::notify::notices;
use crate::notify::post::Post;

/// How soon the journal is tried again when it did not take the breaker's state.
const WRITE_AGAIN: Duration = Duration::from_secs(5);

/// How the breaker is reached.
#[derive(Clone)]
pub(super) struct FleetLine {
    asks: mpsc::Sender<Ask>,
    is_storm: Arc<AtomicBool>,
}

enum Ask {
    Want(PlatformAppId, oneshot::Sender<Permit>),
    Resume(oneshot::Sender<Permit>),
    Recall(Option<Moment>, oneshot::Sender<Permit>),
}

/// What the owner needs.
pub(super) struct FleetOwner {
    /// The breaker is open since then, by the journal.
    pub(super) since: Option<Moment>,
    /// How many apps may want a rollback at once.
    pub(super) most: watch::Receiver<usize>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
    pub(super) post: Post,
    pub(super) stop: CancellationToken,
}

impl FleetOwner {
    /// Starts the owner.
    pub(super) fn start(self) -> FleetLine {
        let (asks, inbox) = mpsc::channel(64);
        let is_storm = Arc::new(AtomicBool::new(self.since.is_some()));
        tokio::spawn(self.run(inbox, Arc::clone(&is_storm)));
        FleetLine { asks, is_storm }
    }

    async fn run(self, mut inbox: mpsc::Receiver<Ask>, is_storm: Arc<AtomicBool>) {
        let mut fleet = Fleet::new(self.since);
        // What the journal says. In force is what `fleet` says, until a restart.
        let mut written = self.since;
        self.metrics.storm.set(i64::from(self.since.is_some()));
        // The process before may have died before it was told. What was told is known by its key.
        self.tell(self.since);
        loop {
            let before = fleet.storm_since();
            let ask = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                ask = inbox.recv() => ask,
                () = tokio::time::sleep(WRITE_AGAIN), if before != written => {
                    written = self.write(before, written).await;
                    continue;
                }
            };
            let reply = match ask {
                None => return,
                Some(Ask::Want(app, reply)) => {
                    fleet.want(&app, self.clock.now(), *self.most.borrow());
                    reply
                }
                Some(Ask::Resume(reply)) => {
                    fleet.resume();
                    reply
                }
                Some(Ask::Recall(since, reply)) => {
                    (fleet, written) = (Fleet::new(since), since);
                    reply
                }
            };
            let since = fleet.storm_since();
            is_storm.store(since.is_some(), Ordering::Relaxed);
            self.metrics.storm.set(i64::from(since.is_some()));
            if since != before {
                self.tell(since);
            }
            if since != written {
                if before.is_none() {
                    tracing::error!(
                        "storm: more apps want a rollback at once than allowed; nobody acts until resumed"
                    );
                }
                written = self.write(since, written).await;
            }
            // Whoever asked may have given up waiting.
            let _ = reply.send(fleet.permit());
        }
    }

    /// Has a storm told.
    fn tell(&self, since: Option<Moment>) {
        let Some(since) = since else { return };
        let wall = self.clock.wall();
        self.post.hand_in(&notices::storm(since, wall), self.clock.now(), wall);
    }

    /// Writes what is in force; gives what the journal says then.
    async fn write(&self, since: Option<Moment>, written: Option<Moment>) -> Option<Moment> {
        match self.journal.set_storm(since).await {
            Ok(()) => since,
            Err(error) => {
                tracing::error!("failed to {error}; it is tried again");
                written
            }
        }
    }
}

impl FleetLine {
    /// `app` wants a rollback. `None` when the process is stopping: that permits nothing, and is no storm either.
    pub(super) async fn want(&self, app: &PlatformAppId) -> Option<Permit> {
        self.ask(|reply| Ask::Want(app.clone(), reply)).await
    }

    /// A person closes the breaker.
    pub(super) async fn resume(&self) -> Option<Permit> {
        self.ask(Ask::Resume).await
    }

    /// What the journal says of the breaker, where it could not be read at the start.
    pub(super) async fn recall(&self, since: Option<Moment>) -> Option<Permit> {
        self.ask(|reply| Ask::Recall(since, reply)).await
    }

    /// What the breaker would say now, to whoever only shows it.
    pub(super) fn stands(&self) -> Permit {
        if self.is_storm.load(Ordering::Relaxed) { Permit::Storm } else { Permit::Granted }
    }

    async fn ask(&self, ask: impl FnOnce(oneshot::Sender<Permit>) -> Ask) -> Option<Permit> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(ask(reply)).await.ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SteadyClock;
    use crate::journal::SqliteJournal;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_storm_that_the_journal_does_not_take_is_written_once_it_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rearguard.db");
        let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::open(&path).expect("a journal"));
        journal.check().await.expect("a file");
        let other = rusqlite::Connection::open(&path).expect("opened");
        other.execute_batch("BEGIN IMMEDIATE").expect("locked");
        let (_most, most) = watch::channel(1);
        let owner = FleetOwner {
            since: None,
            most,
            journal: Arc::clone(&journal),
            clock: Arc::new(SteadyClock::resume(None)),
            metrics: Metrics::new(&[]).expect("metrics"),
            post: Post::open().0,
            stop: CancellationToken::new(),
        };
        let line = owner.start();
        assert_eq!(line.want(&"id-web".into()).await, Some(Permit::Granted));
        assert_eq!(line.want(&"id-api".into()).await, Some(Permit::Storm), "in force all the same");
        assert_eq!(line.stands(), Permit::Storm);
        assert_eq!(journal.restore().await.expect("read").storm_since, None);
        other.execute_batch("ROLLBACK").expect("unlocked");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while journal.restore().await.expect("read").storm_since.is_none() {
            assert!(tokio::time::Instant::now() < deadline, "the storm was never written");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_storm_is_told_and_by_the_next_process_under_the_same_key() {
        let text = "platforms: [{ name: o, kind: digitalocean, token_env: T }]\napps: [{ name: a, platform: o, id: i, \
                    probes: [{ name: h, url: 'https://a.example/' }] }]\n\
                    notify: [{ name: ops, kind: webhook, url: 'https://a.example/' }]\n";
        let channels = crate::config::parse("f.yaml", text).expect("a configuration").notify;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rearguard.db");
        let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::open(&path).expect("a journal"));
        let mut keys = Vec::new();
        for is_again in [false, true] {
            let (post, mut handed_in) = Post::open();
            post.take(crate::notify::post::Board { channels: channels.clone(), external_url: None });
            let (_most, most) = watch::channel(1);
            let owner = FleetOwner {
                since: journal.restore().await.expect("read").storm_since,
                most,
                journal: Arc::clone(&journal),
                clock: Arc::new(SteadyClock::resume(None)),
                metrics: Metrics::new(&[]).expect("metrics"),
                post,
                stop: CancellationToken::new(),
            };
            let line = owner.start();
            if !is_again {
                for app in ["id-web", "id-api"] {
                    line.want(&app.into()).await;
                }
            }
            keys.push(handed_in.recv().await.expect("a notice").key);
        }
        assert!(keys[0].starts_with("storm:") && keys[0] == keys[1], "{keys:?}");
    }
}
