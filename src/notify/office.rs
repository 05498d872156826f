//! Which couriers there are: one a channel of the configuration in force.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::courier::Courier;
use super::post::{Board, Post};
use crate::clock::Clock;
use crate::config::notify::ChannelConfig;
use crate::ids::ChannelName;
use crate::journal::{Journal, Notice};
use crate::metrics::Metrics;

/// How soon the journal is tried again that took nothing.
const AGAIN: Duration = Duration::from_secs(1);

/// What couriers stand on.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) post: Post,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// The owner of the couriers.
pub(crate) struct Office {
    ground: Ground,
    couriers: BTreeMap<ChannelName, Posted>,
    /// There was somebody to tell since the start.
    had_channels: bool,
}

struct Posted {
    config: Arc<ChannelConfig>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Office {
    /// Opens it with nobody to tell, and with the clerk at its desk.
    pub(crate) fn open(ground: Ground, handed_in: mpsc::Receiver<Notice>) -> Self {
        let clerk = clerk(ground.clone(), handed_in);
        ground.tasks.spawn(clerk);
        Self { ground, couriers: BTreeMap::new(), had_channels: false }
    }

    /// Takes the channels of a configuration into force. What waits for one that is gone is forgotten.
    pub(crate) fn take(&mut self, channels: Vec<ChannelConfig>, external_url: Option<Url>) {
        let is_kept = |name: &ChannelName| channels.iter().any(|channel| channel.name == *name);
        let names: Vec<ChannelName> = self.couriers.keys().filter(|name| !is_kept(name)).cloned().collect();
        let gone: Vec<_> = names.iter().filter_map(|name| self.couriers.remove_entry(name)).collect();
        for config in &channels {
            self.post(Arc::new(config.clone()));
        }
        self.had_channels |= !channels.is_empty();
        self.ground.post.take(Board { channels, external_url });
        for (name, posted) in gone {
            posted.stop.cancel();
            self.ground.tasks.spawn(forget_series(self.ground.clone(), name, posted.task));
        }
        // Where nobody was told before, what may be left of others is left for when they come back, or is pruned.
        if self.had_channels {
            self.ground.tasks.spawn(forget_others(self.ground.clone()));
        }
    }

    /// A courier for a channel that is new or changed. It begins when the one before it has come to an end.
    fn post(&mut self, config: Arc<ChannelConfig>) {
        let before = match self.couriers.remove(&config.name) {
            Some(posted) if posted.config == config => {
                self.couriers.insert(config.name.clone(), posted);
                return;
            }
            before => before,
        };
        if let Some(before) = &before {
            before.stop.cancel();
        }
        self.ground.metrics.add_channel(config.name.as_str());
        let stop = self.ground.stop.child_token();
        let courier = Courier::new(&self.ground, Arc::clone(&config), stop.clone());
        let task = self.ground.tasks.spawn(async move {
            if let Some(before) = before {
                // It only tells when it is over.
                let _ = before.task.await;
            }
            courier.run().await;
        });
        self.couriers.insert(config.name.clone(), Posted { config, stop, task });
    }
}

/// Forgets the series of a channel that is gone, once nobody counts there any more.
async fn forget_series(ground: Ground, name: ChannelName, task: JoinHandle<()>) {
    // It only tells when it is over.
    let _ = task.await;
    if ground.post.board().channels.iter().all(|channel| channel.name != name) {
        ground.metrics.forget_channel(name.as_str());
    }
}

/// Writes what is handed in.
async fn clerk(ground: Ground, mut handed_in: mpsc::Receiver<Notice>) {
    loop {
        let notice = tokio::select! {
            biased;
            () = ground.stop.cancelled() => return,
            notice = handed_in.recv() => notice,
        };
        let Some(notice) = notice else { return };
        while ground.journal.tell(vec![notice.clone()]).await.is_err() {
            tokio::select! {
                biased;
                () = ground.stop.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
        ground.post.ring();
    }
}

/// Forgets what waits for channels that the configuration in force does not have.
async fn forget_others(ground: Ground) {
    loop {
        let kept = ground.post.board().channels.iter().map(|channel| channel.name.clone()).collect();
        match ground.journal.keep_channels(kept).await {
            Ok(0) => return,
            Ok(notices) => {
                return tracing::warn!(
                    notices,
                    "what waited for channels that are gone is not told any more"
                );
            }
            Err(_) => tokio::select! {
                biased;
                () = ground.stop.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            },
        }
    }
}
