//! The one owner of the storm breaker. Apps ask it right before a rollback is validated and created.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Moment};
use crate::decision::fleet::{Fleet, Permit};
use crate::ids::AppName;
use crate::journal::Journal;
use crate::metrics::Metrics;

/// How apps reach the breaker.
#[derive(Clone)]
pub(super) struct FleetLine {
    asks: mpsc::Sender<Ask>,
    storm: watch::Receiver<Option<Moment>>,
}

enum Ask {
    Want(AppName, oneshot::Sender<Permit>),
    Resume(oneshot::Sender<()>),
}

/// Starts the owner. `most` apps may want a rollback at once.
pub(super) fn start(
    since: Option<Moment>,
    most: watch::Receiver<usize>,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    stop: CancellationToken,
) -> FleetLine {
    let (asks, mut inbox) = mpsc::channel(64);
    let (told, storm) = watch::channel(since);
    tokio::spawn(async move {
        let mut fleet = Fleet::new(since);
        metrics.storm.set(i64::from(since.is_some()));
        loop {
            let ask = tokio::select! {
                () = stop.cancelled() => return,
                ask = inbox.recv() => ask,
            };
            let before = fleet.storm_since();
            let reply: Box<dyn FnOnce() + Send> = match ask {
                None => return,
                Some(Ask::Want(app, reply)) => {
                    let permit = fleet.want(&app, clock.now(), *most.borrow());
                    Box::new(move || drop(reply.send(permit)))
                }
                Some(Ask::Resume(reply)) => {
                    fleet.resume();
                    Box::new(move || drop(reply.send(())))
                }
            };
            let now = fleet.storm_since();
            if now != before {
                if now.is_some() {
                    tracing::error!("storm: more apps want a rollback at once than allowed; nobody acts until resumed");
                }
                // In force at once; what the journal does not take is only lost over a restart.
                if let Err(error) = journal.set_storm(now).await {
                    tracing::error!(%error, "the storm breaker is not in the journal");
                }
                metrics.storm.set(i64::from(now.is_some()));
                told.send_replace(now);
            }
            reply();
        }
    });
    FleetLine { asks, storm }
}

impl FleetLine {
    /// `app` wants a rollback. A breaker that does not answer does not permit.
    pub(super) async fn want(&self, app: &AppName) -> Permit {
        let (reply, answer) = oneshot::channel();
        if self.asks.send(Ask::Want(app.clone(), reply)).await.is_err() {
            return Permit::Storm;
        }
        answer.await.unwrap_or(Permit::Storm)
    }

    /// A person closes the breaker.
    pub(super) async fn resume(&self) {
        let (reply, answer) = oneshot::channel();
        if self.asks.send(Ask::Resume(reply)).await.is_ok() {
            // The owner is gone only while the daemon stops.
            let _ = answer.await;
        }
    }

    /// Since when the breaker is open.
    pub(super) fn storm_since(&self) -> Option<Moment> {
        *self.storm.borrow()
    }
}
