//! The thread that owns the connection: it takes what waits, writes it in one transaction, then answers.

use std::fs::File;
use std::sync::mpsc::Receiver;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::super::JournalError;
use super::fault::{self, Fault};
use super::file::{self, Identity, Place};

/// The most requests one transaction takes: few enough that the first of them is answered within milliseconds,
/// many enough that an fsync is shared by a whole fleet's start.
const BATCH: usize = 256;

const REPLACED: &str = "the file was removed or replaced while it was in use";
const LOCK_LOST: &str = "its .lock was removed or replaced, so that another rearguard may use it as well";

/// One request, and where its answer goes.
pub(super) struct Request {
    access: Access,
    job: Box<dyn Job>,
}

/// Whether a request changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Runs outside a transaction, before the writes that wait with it.
    Read,
    /// Runs in a savepoint of the batch's transaction.
    Write,
}

impl Request {
    pub(super) fn new<T, F>(access: Access, work: F, reply: oneshot::Sender<Result<T, JournalError>>) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        Self { access, job: Box::new(Task { work: Some(work), result: None, reply }) }
    }
}

/// What a request's work came to.
enum Ran {
    /// Its changes stay.
    Kept,
    /// Its changes are undone, the others' stay.
    Undone,
    /// The connection cannot be trusted any more.
    Broken(rusqlite::Error),
}

trait Job: Send {
    fn run(&mut self, place: &Place, connection: &Connection) -> Ran;
    /// Answers with what `run` gave, or with the failure of all.
    fn answer(self: Box<Self>, failure: Option<&JournalError>);
}

struct Task<T, F> {
    work: Option<F>,
    result: Option<Result<T, JournalError>>,
    reply: oneshot::Sender<Result<T, JournalError>>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
{
    fn run(&mut self, place: &Place, connection: &Connection) -> Ran {
        let Some(work) = self.work.take() else { return Ran::Undone };
        // Nobody waits any more, so somebody may load already: a write that came after that load would be lost
        // on them.
        if self.reply.is_closed() {
            return Ran::Undone;
        }
        match work(connection).map_err(|fault| fault::refusal(place, fault)) {
            Ok(value) => {
                self.result = Some(Ok(value));
                Ran::Kept
            }
            Err(Ok(refusal)) => {
                self.result = Some(Err(refusal));
                Ran::Undone
            }
            Err(Err(error)) => Ran::Broken(error),
        }
    }

    fn answer(self: Box<Self>, failure: Option<&JournalError>) {
        let result = match failure {
            Some(failure) => Some(Err(failure.clone())),
            None => self.result,
        };
        if let Some(result) = result {
            _ = self.reply.send(result);
        }
    }
}

/// The journal as its thread holds it.
#[derive(Debug)]
pub(super) struct Store {
    place: Place,
    /// Kept through every reopening of the same file.
    held: Option<Held>,
    open: Option<(Connection, Identity)>,
    /// A journal was open, so that one which is missing is no new one.
    was_open: bool,
}

/// The sole right to a journal.
#[derive(Debug)]
struct Held {
    _lock: File,
    /// Which file that is.
    lock: Identity,
    /// Where the journal truly is.
    place: Place,
}

impl Held {
    fn of(place: &Place) -> Result<Self, JournalError> {
        let place = place.resolved()?;
        let (file, lock) = place.lock()?;
        if !place.is_locked_by(lock) {
            return Err(place.unavailable(LOCK_LOST));
        }
        Ok(Self { _lock: file, lock, place })
    }
}

impl Store {
    /// Nothing is opened before the first request.
    pub(super) fn new(place: Place) -> Self {
        Self { place, held: None, open: None, was_open: false }
    }

    /// Opens the file if it is not open, and notices when it was taken away.
    pub(super) fn open(&mut self) -> Result<(), JournalError> {
        if let Some((_, opened)) = &self.open
            && self.place.identity().ok() != Some(*opened)
        {
            return Err(self.lose(REPLACED));
        }
        if self.held.as_ref().is_some_and(|held| !held.place.is_locked_by(held.lock)) {
            return Err(self.lose(LOCK_LOST));
        }
        if self.open.is_some() {
            return Ok(());
        }
        let found = self.place.followed();
        if self.was_open && !found.inspect()? {
            return Err(self.place.vanished());
        }
        if self.held.as_ref().is_some_and(|held| held.place.file != found.file) {
            return Err(self.lose(REPLACED));
        }
        let held = match self.held.take() {
            Some(held) => held,
            None => Held::of(&self.place)?,
        };
        let opened = held.place.connect();
        self.held = Some(held);
        self.open = Some(opened?);
        self.was_open = true;
        Ok(())
    }

    /// Gives up what is not ours any more. The lock too: it was beside the old file, perhaps on a volume that is not
    /// mounted any more.
    fn lose(&mut self, why: &str) -> JournalError {
        self.abandon();
        self.held = None;
        self.place.unavailable(why)
    }

    /// Serves requests until nobody can send any more.
    pub(super) fn serve(&mut self, requests: &Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let batch = std::iter::once(first).chain(requests.try_iter()).take(BATCH);
            // Reads first: those who sent them do not wait for a write.
            let (reads, writes): (Vec<_>, Vec<_>) = batch.partition(|request| request.access == Access::Read);
            let mut groups = [reads, writes].into_iter();
            while let Some(mut group) = groups.next() {
                let failure = self.run(&mut group).err();
                if failure.is_some() {
                    // Those who wait would only wait for the same failure, one time-out after the other. They
                    // are taken before anybody is answered: whoever asks after that finds the file afresh.
                    group.extend(groups.by_ref().flatten());
                    group.extend(requests.try_iter());
                }
                group.into_iter().for_each(|request| request.job.answer(failure.as_ref()));
            }
        }
    }

    /// Runs requests of one kind. After a failure it is not known what is on the disk, and the connection may
    /// hold pages the disk does not: it is closed, and the next request reads the file afresh.
    fn run(&mut self, requests: &mut [Request]) -> Result<(), JournalError> {
        let Some(access) = requests.first().map(|request| request.access) else { return Ok(()) };
        self.open()?;
        let Some((connection, _)) = &self.open else { return Ok(()) };
        let ran = match access {
            Access::Read => read(&self.place, connection, requests),
            Access::Write => write(&self.place, connection, requests),
        };
        ran.map_err(|error| {
            let failure = fault::judge(&self.place, &error);
            self.abandon();
            failure
        })
    }

    /// Closes the connection without writing anything through it.
    fn abandon(&mut self) {
        if let Some((connection, _)) = self.open.take() {
            file::keep_log(&connection);
        }
    }
}

fn read(place: &Place, connection: &Connection, requests: &mut [Request]) -> rusqlite::Result<()> {
    for request in requests {
        if let Ran::Broken(error) = request.job.run(place, connection) {
            return Err(error);
        }
    }
    Ok(())
}

/// One transaction for all, one savepoint for each. IMMEDIATE: a transaction that begins as a reader would be
/// refused at once when it turns into a writer, without waiting for whoever holds the file.
fn write(place: &Place, connection: &Connection, requests: &mut [Request]) -> rusqlite::Result<()> {
    let step = |sql: &str| connection.prepare_cached(sql)?.execute([]).map(drop);
    step("BEGIN IMMEDIATE")?;
    for request in requests {
        step("SAVEPOINT entry")?;
        match request.job.run(place, connection) {
            Ran::Kept => {}
            Ran::Undone => step("ROLLBACK TO entry")?,
            Ran::Broken(error) => return Err(error),
        }
        step("RELEASE entry")?;
    }
    step("COMMIT")
}
