//! The one owner of the storm breaker. Apps ask it right before a rollback is validated and created.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Moment};
use crate::decision::fleet::{Fleet, Permit};
use crate::ids::AppName;
use crate::journal::Journal;
use crate::metrics::Metrics;

/// How the breaker is reached.
#[derive(Clone)]
pub(super) struct FleetLine(mpsc::Sender<Ask>);

enum Ask {
    Want(AppName, oneshot::Sender<Permit>),
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
    pub(super) stop: CancellationToken,
}

impl FleetOwner {
    /// Starts the owner.
    pub(super) fn start(self) -> FleetLine {
        let (asks, inbox) = mpsc::channel(64);
        tokio::spawn(self.run(inbox));
        FleetLine(asks)
    }

    async fn run(self, mut inbox: mpsc::Receiver<Ask>) {
        let mut fleet = Fleet::new(self.since);
        self.metrics.storm.set(i64::from(self.since.is_some()));
        loop {
            let ask = tokio::select! {
                () = self.stop.cancelled() => return,
                ask = inbox.recv() => ask,
            };
            let mut before = fleet.storm_since();
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
                    // The journal says so already.
                    (fleet, before) = (Fleet::new(since), since);
                    self.metrics.storm.set(i64::from(since.is_some()));
                    reply
                }
            };
            if fleet.storm_since() != before {
                self.note(fleet.storm_since()).await;
            }
            // Whoever asked may have given up waiting.
            let _ = reply.send(fleet.permit());
        }
    }

    async fn note(&self, since: Option<Moment>) {
        if since.is_some() {
            tracing::error!(
                "storm: more apps want a rollback at once than allowed; nobody acts until resumed"
            );
        }
        self.metrics.storm.set(i64::from(since.is_some()));
        // In force all the same; what the journal does not take is lost only over a restart.
        if let Err(error) = self.journal.set_storm(since).await {
            tracing::error!("failed to {error}");
        }
    }
}

impl FleetLine {
    /// `app` wants a rollback. `None` when the process is stopping: that permits nothing, and is no storm either.
    pub(super) async fn want(&self, app: &AppName) -> Option<Permit> {
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

    async fn ask(&self, ask: impl FnOnce(oneshot::Sender<Permit>) -> Ask) -> Option<Permit> {
        let (reply, answer) = oneshot::channel();
        self.0.send(ask(reply)).await.ok()?;
        answer.await.ok()
    }
}
