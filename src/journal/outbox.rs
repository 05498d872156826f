//! What is to be told, as the journal keeps it: written with the decision it is about, and there until every channel has
//! it or is given up on.

use jiff::Timestamp;

use crate::clock::Moment;
use crate::ids::ChannelName;

/// Something to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Tells it from every other, and follows from what happened alone: a second one with the same key is none.
    pub key: String,
    /// Notices of one thread reach a channel in the order in which they were written: the incident's id, or the key where
    /// it belongs to none.
    pub thread: String,
    /// When it happened, on the steady clock.
    pub made: Moment,
    /// The same on the wall clock.
    pub wall: Timestamp,
    /// The event, as JSON.
    pub event: String,
    /// Whom it is for. With none it is not kept.
    pub channels: Vec<ChannelName>,
}

/// A notice that a channel does not have yet, and that waits for no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Names this notice for this channel.
    pub id: i64,
    /// The notice's key.
    pub key: String,
    /// Its thread.
    pub thread: String,
    /// When it happened.
    pub made: Moment,
    /// Not to be tried before.
    pub due: Moment,
    /// How often it was tried.
    pub attempts: u32,
    /// How often it was refused.
    pub refusals: u32,
    /// The event, as JSON.
    pub event: String,
    /// What the channel noted of the thread.
    pub mark: Option<String>,
}

/// What waits for a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// How many notices.
    pub waiting: u64,
    /// The first of each thread, soonest due first; no more than were asked for.
    pub heads: Vec<Pending>,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The channel has it.
    Delivered {
        /// What is noted of the thread from now on.
        mark: Option<String>,
    },
    /// The channel will never take it.
    Refused,
    /// It was tried for too long.
    Expired,
    /// It is to be tried again.
    Later {
        /// Not before.
        due: Moment,
        /// The channel refused it this time.
        is_refusal: bool,
    },
}
