//! What a client may take.

use std::time::Duration;

/// The bounds of the surface. Fixed: nothing an operator would have to tune.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at once. A Prometheus pair, a dashboard and some people need a dozen.
    pub(super) connections: usize,
    /// Connections beyond those, for what must not be crowded out: health, metrics, and whoever has the admin token.
    pub(super) spare: usize,
    /// How many of the spare ones may be answered with metrics at once. Those take time to be read, health does not.
    pub(super) spare_scrapes: usize,
    /// How long a spare connection has for its request's head: nobody holds one by saying nothing.
    pub(super) spare_head_time: Duration,
    /// How long nobody's spare connection is given to another. Whoever asks has sent its request by then; and 32 places
    /// that change that often empty a listener's queue of a thousand in well under a second.
    pub(super) spare_grace: Duration,
    /// How long a spare connection may take in all. Above `request_time`, so that a word is answered.
    pub(super) spare_time: Duration,
    /// Streams of events at once. Each keeps a connection for as long as it is listened to: most of those are left to
    /// others.
    pub(super) streams: usize,
    /// Refusals being said at once; beyond them a connection is dropped without a word.
    pub(super) refusals: usize,
    /// From the start of a connection, or the end of an answer, to the end of the next request's head. Above
    /// Prometheus's usual 15 s, so that a scraper keeps its connection.
    pub(super) head_time: Duration,
    /// A request's line and headers.
    pub(super) head_bytes: usize,
    /// A request's body. No route needs one.
    pub(super) body_bytes: usize,
    /// Reading a body and making the answer.
    pub(super) request_time: Duration,
    /// How long an answer may wait for a client that does not read it.
    pub(super) stall_time: Duration,
    /// A read from the journal.
    pub(super) journal_time: Duration,
    /// What is left to open requests once the server is told to stop.
    pub(super) drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            spare: 32,
            spare_scrapes: 4,
            spare_head_time: Duration::from_secs(2),
            spare_grace: Duration::from_millis(20),
            spare_time: Duration::from_secs(12),
            streams: 64,
            refusals: 64,
            head_time: Duration::from_secs(20),
            head_bytes: 16 * 1024,
            body_bytes: 16 * 1024,
            request_time: Duration::from_secs(10),
            stall_time: Duration::from_secs(10),
            journal_time: Duration::from_secs(2),
            drain_time: Duration::from_secs(2),
        }
    }
}
