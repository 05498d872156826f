//! The journal in one SQLite file: the default, with nothing to install and nothing to run.
//!
//! **What is in it.** `apps`: the state of each app. `effects`: the calls that were owed, each with its answer or
//! open; a partial unique index allows one open effect an app. `decisions` and `policies`: what `decide` was given
//! and answered, each policy's text once. `incidents` and `timeline`: what people are shown. `paused`: whom people
//! paused. `notices`, `deliveries` and `marks`: what is to be told, and which channel has it. `meta`: the mark of the
//! steady clock, the storm breaker. [`schema`] has the columns.
//!
//! **When `record` returns `Ok`** the entry survives a power cut: WAL with `synchronous=FULL`, answered after the
//! commit. The entry is there whole, the app's open effect is exactly what [`State::owed`] says, and every load
//! that is asked for later sees it. Writes are committed in the order in which they were asked for, as many at
//! once as wait.
//!
//! **What an error means.** `Illegal`: nothing of the entry was written, nothing else was touched, and the same
//! entry will be refused again. `Unavailable`: *it is not known whether the entry is there*: a commit can fail
//! after its bytes are on the disk. Do not act on it; load the app again and decide from what is found. The
//! connection that failed is never used again, the next request opens the file afresh, so a disk with room
//! again or a lock that is gone heals without a restart. `Unusable`: a person has to look; the file is left as it
//! is, and read again at the next request. A call that is dropped before it is answered is as ambiguous as
//! `Unavailable`, and is skipped if it had not begun.

mod fault;
mod file;
mod look;
mod outbox;
mod pauses;
mod prune;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod thread;
mod write;

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::oneshot;

use self::fault::Fault;
use self::file::Place;
#[cfg(any(test, fuzzing))]
pub(crate) use self::schema::VERSION;
use self::thread::{Access, Request, Store};
use super::{
    Call, DecisionRecord, Entry, IncidentQuery, IncidentRecord, Journal, JournalError, Notice, OpenEffect,
    Outbox, Pause, PauseWord, Restored, Settled, TimelineEntry,
};
use crate::clock::Moment;
use crate::decision::state::State;
use crate::ids::{Caller, ChannelName, IncidentId, PlatformAppId};

/// How long the end of a journal waits for its thread.
const FAREWELL: Duration = Duration::from_millis(500);

/// The journal in one SQLite file, owned by a thread of its own.
#[derive(Debug)]
pub struct SqliteJournal {
    place: Place,
    /// Absent while it is dropped: that ends the thread.
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    /// The store itself, where there is no thread.
    #[cfg(any(test, fuzzing))]
    inline: Option<std::sync::Mutex<Store>>,
}

impl SqliteJournal {
    /// Opens the journal at `path` now, on the calling thread, and makes it if there is none. Blocks for as long
    /// as the disk needs, and up to five seconds when another process holds the file.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        Self::at(Place::new(path.into()))
    }

    /// A journal that opens `path` at the first request and again after every failure. [`Journal::check`] tells
    /// whether it works. An error only where no thread can be started.
    pub fn lazy(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let place = Place::new(path.into());
        Self::start(Store::new(place.clone()), place)
    }

    /// Whether a start of this version would take what is at `path` for a journal, or finds none there: not whether it may write it,
    /// or make one. Nothing is written, made or locked, and a daemon that uses it is not disturbed, if it is another process: within one, closing a file gives up SQLite's locks on it.
    /// Blocks for as long as the disk needs.
    ///
    /// # Errors
    /// As of a start: `Unusable` where the file is none of ours or a newer version wrote it, `Unavailable` where it cannot be read.
    /// That it is damaged only a start finds.
    pub fn look(path: impl Into<PathBuf>) -> Result<(), JournalError> {
        Place::new(path.into()).look()
    }

    fn at(place: Place) -> Result<Self, JournalError> {
        let mut store = Store::new(place.clone());
        store.open()?;
        Self::start(store, place)
    }

    fn start(mut store: Store, place: Place) -> Result<Self, JournalError> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || store.serve(&receiver))
            .map_err(|error| place.unavailable(format!("start its thread: {error}")))?;
        Ok(Self {
            place,
            requests: Some(sender),
            thread: Some(thread),
            #[cfg(any(test, fuzzing))]
            inline: None,
        })
    }

    /// The same store without a thread: each request is served by whoever makes it, one after the other.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn inline(path: impl Into<PathBuf>) -> Self {
        let place = Place::new(path.into());
        let store = std::sync::Mutex::new(Store::new(place.clone()));
        Self { place, requests: None, thread: None, inline: Some(store) }
    }

    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Call<'_, T> {
        self.ask(Access::Read, work)
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Call<'_, T> {
        self.ask(Access::Write, work)
    }

    /// Sends the request at once and not when it is first waited for, so that what waits has no room for it: at a
    /// start ten thousand do.
    fn ask<T: Send + 'static>(
        &self,
        access: Access,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Call<'_, T> {
        let (reply, answer) = oneshot::channel();
        #[cfg(any(test, fuzzing))]
        if let Some(store) = &self.inline {
            let (sender, receiver) = mpsc::channel();
            _ = sender.send(Request::new(access, work, reply));
            drop(sender);
            store.lock().unwrap_or_else(std::sync::PoisonError::into_inner).serve(&receiver);
            return Box::pin(async {
                answer.await.unwrap_or_else(|_| Err(self.place.unavailable("not served")))
            });
        }
        // Where the thread is gone, either the request or its answer is dropped, and `answer` says so.
        if let Some(requests) = &self.requests {
            _ = requests.send(Request::new(access, work, reply));
        }
        Box::pin(async {
            answer.await.unwrap_or_else(|_| Err(self.place.unavailable("its thread has ended")))
        })
    }

    async fn prune_steps(&self, horizon: Timestamp) -> Result<u64, JournalError> {
        let horizon = horizon.as_millisecond();
        let mut rows = 0;
        for sql in prune::DELETIONS {
            loop {
                let (gone, more) = self.write(move |c| prune::delete(c, sql, horizon)).await?;
                rows += gone;
                if !more {
                    break;
                }
            }
        }
        while self.write(prune::shrink).await? {}
        self.read(prune::checkpoint).await?;
        Ok(rows)
    }
}

impl Drop for SqliteJournal {
    /// Waits for the batch under way and for the last checkpoint, so that the file can be opened again at once; but
    /// not for somebody else's lock, which would hold up the end of the process.
    fn drop(&mut self) {
        drop(self.requests.take());
        let Some(thread) = self.thread.take() else { return };
        for _ in 0..FAREWELL.as_millis() / 5 {
            if thread.is_finished() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Journal for SqliteJournal {
    fn restore(&self) -> Call<'_, Restored> {
        self.read(read::restore)
    }

    fn load<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, (Option<State>, Option<OpenEffect>)> {
        let app = app.clone();
        self.read(move |c| read::load(c, &app))
    }

    fn past<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, Option<String>> {
        let app = app.clone();
        self.read(move |c| read::past(c, &app))
    }

    fn keep_past<'a>(&'a self, app: &'a PlatformAppId, past: String) -> Call<'a, ()> {
        let app = app.clone();
        self.write(move |c| write::keep_past(c, &app, &past))
    }

    fn apps(&self) -> Call<'_, Vec<PlatformAppId>> {
        self.read(read::apps)
    }

    fn record(&self, entry: Entry) -> Call<'_, ()> {
        self.write(move |c| write::record(c, &entry))
    }

    fn set_storm(&self, since: Option<Moment>) -> Call<'_, ()> {
        self.write(move |c| write::set_storm(c, since))
    }

    fn pause<'a>(&'a self, app: &'a str, pause: Pause) -> Call<'a, ()> {
        let app = app.to_owned();
        self.write(move |c| pauses::begin(c, &app, &pause))
    }

    fn end_pause<'a>(&'a self, app: &'a str, by: Option<Caller>, at: Timestamp) -> Call<'a, ()> {
        let app = app.to_owned();
        self.write(move |c| pauses::end(c, &app, by.as_ref(), at))
    }

    fn pause_words<'a>(&'a self, app: &'a PlatformAppId, limit: usize) -> Call<'a, Vec<PauseWord>> {
        let app = app.clone();
        self.read(move |c| pauses::words(c, &app, limit))
    }

    fn incidents(&self, query: IncidentQuery) -> Call<'_, Vec<IncidentRecord>> {
        self.read(move |c| read::incidents(c, &query))
    }

    fn incident<'a>(&'a self, id: &'a IncidentId) -> Call<'a, Option<(IncidentRecord, Vec<TimelineEntry>)>> {
        let id = id.clone();
        self.read(move |c| read::incident(c, &id))
    }

    fn decisions<'a>(&'a self, id: &'a IncidentId) -> Call<'a, Vec<DecisionRecord>> {
        let id = id.clone();
        self.read(move |c| read::decisions(c, &id))
    }

    fn tell(&self, notices: Vec<Notice>) -> Call<'_, ()> {
        self.write(move |c| outbox::add(c, &notices))
    }

    fn outbox<'a>(&'a self, channel: &'a ChannelName, limit: usize) -> Call<'a, Outbox> {
        let channel = channel.clone();
        self.read(move |c| outbox::outbox(c, &channel, limit))
    }

    fn settle(&self, delivery: i64, at: Timestamp, settled: Settled) -> Call<'_, ()> {
        self.write(move |c| outbox::settle(c, delivery, at.as_millisecond(), &settled))
    }

    fn marks<'a>(&'a self, channel: &'a ChannelName) -> Call<'a, Vec<(String, String)>> {
        let channel = channel.clone();
        self.read(move |c| outbox::marks(c, &channel))
    }

    fn forget_mark<'a>(&'a self, channel: &'a ChannelName, thread: &'a str) -> Call<'a, ()> {
        let (channel, thread) = (channel.clone(), thread.to_owned());
        self.write(move |c| outbox::set_mark(c, channel.as_str(), &thread, None, 0))
    }

    fn keep_channels(&self, kept: Vec<ChannelName>) -> Call<'_, u64> {
        self.write(move |c| outbox::keep_channels(c, &kept))
    }

    fn prune(&self, horizon: Timestamp) -> Call<'_, u64> {
        Box::pin(self.prune_steps(horizon))
    }

    fn check(&self) -> Call<'_, ()> {
        self.write(write::touch)
    }
}
