//! How the tasks have something told: they ask who is to be told, write that down, and ring the bell.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use url::Url;

use super::event::Event;
use crate::clock::Moment;
use crate::config::notify::ChannelConfig;
use crate::journal::Notice;

/// How many notices wait at most that belong to no decision, where the journal does not take them.
const WAITING: usize = 256;

/// Who is told, by the configuration in force.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// The channels.
    pub(crate) channels: Vec<ChannelConfig>,
    /// Where people find this rearguard.
    pub(crate) external_url: Option<Url>,
}

impl Board {
    /// The notice of an event, where anybody wants it.
    pub(crate) fn notice(&self, event: &Event, made: Moment, wall: Timestamp) -> Option<Notice> {
        let wanted = self.channels.iter().filter(|channel| channel.wants(event));
        let channels: Vec<_> = wanted.map(|channel| channel.name.clone()).collect();
        if channels.is_empty() {
            return None;
        }
        let thread = event.incident.as_ref().map_or(&*event.key, |case| case.id.as_str()).to_owned();
        let key = event.key.clone();
        // It is made of text and numbers: it can be written.
        let event = serde_json::to_string(event).ok()?;
        Some(Notice { key, thread, made, wall, event, channels })
    }
}

/// What every task has of it.
#[derive(Clone)]
pub(crate) struct Post {
    board: watch::Sender<Arc<Board>>,
    bell: watch::Sender<()>,
    desk: mpsc::Sender<Notice>,
}

impl Post {
    /// With nobody to tell yet; and what is handed in at the desk.
    pub(crate) fn open() -> (Self, mpsc::Receiver<Notice>) {
        let (desk, handed_in) = mpsc::channel(WAITING);
        let post = Self { board: watch::Sender::new(Arc::default()), bell: watch::Sender::new(()), desk };
        (post, handed_in)
    }

    /// Who is told now.
    pub(crate) fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board.borrow())
    }

    /// Takes another board into force.
    pub(crate) fn take(&self, board: Board) {
        self.board.send_replace(Arc::new(board));
    }

    /// Something was written that is to be told.
    pub(crate) fn ring(&self) {
        self.bell.send_replace(());
    }

    pub(super) fn bell(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    /// Has an event told that belongs to no decision. It is written as soon as the journal takes it, by somebody else: the
    /// caller does not wait.
    pub(crate) fn hand_in(&self, event: &Event, made: Moment, wall: Timestamp) {
        let Some(notice) = self.board().notice(event, made, wall) else { return };
        if self.desk.try_send(notice).is_err() {
            tracing::error!(
                key = event.key,
                "what is to be told cannot be written down: the journal takes nothing"
            );
        }
    }
}
