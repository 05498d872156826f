//! The file: who may use it, whether it is ours and sound, how a new one comes about.
//!
//! A journal is made whole under another name and then renamed, so the file at the configured path is at every
//! instant absent, or complete. Whether it is ours is read from its header before SQLite opens it.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::super::JournalError;
use super::{fault, schema};
use crate::platform::http::one_line;

/// How long a write waits for another process, a backup for example, that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A write-ahead log that grew beyond this is cut back at its next reset.
const WAL_KEPT_BYTES: i64 = 16 * 1024 * 1024;
/// Pages kept in memory. What is written at a time is a few rows an app, and hardly anything is read back, so
/// SQLite's 2 MiB would only be filled.
const CACHE_KIB: i64 = 256;
/// More statements than the journal has.
const STATEMENTS: usize = 64;
/// The most that is said of what is wrong: SQLite reports damage in paragraphs, and a row may say anything.
pub(super) const DETAIL: usize = 300;
/// SQLite's file header, <https://sqlite.org/fileformat.html#the_database_header>.
const HEADER_BYTES: usize = 100;
const HEADER_MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER_APPLICATION_ID: usize = 68;
/// Who may write and read the file. SQLite opens one that says more than 2 for reading only, and every write fails.
const HEADER_VERSIONS: std::ops::Range<usize> = 18..20;
/// What [`fill`] sets.
const PAGE_BYTES: u64 = 4096;

/// What a file has to pass. The quick one compares no index with its table; where an app that is not found begins anew,
/// and a call that is not found is forgotten, that is done as well.
const CHECKS: [&str; 3] =
    ["PRAGMA quick_check(1)", "PRAGMA integrity_check(apps)", "PRAGMA integrity_check(effects)"];

/// What helps against a damaged file: the platform knows what is live, and a pin nobody remembers is left alone.
const START_ANEW: &str = "restore a backup, or move the file and its -wal aside and start again: rearguard then learns its apps anew";

/// Where the journal is and how it is opened.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// As it is configured, which is how people are told of it.
    pub(super) path: PathBuf,
    /// The file that is meant, once no link leads to it any more: whoever has one journal has one name for its lock.
    pub(super) file: PathBuf,
    pub(super) busy_timeout: Duration,
    /// A disk that is full at so many pages.
    #[cfg(test)]
    pub(super) page_limit: std::sync::Arc<std::sync::atomic::AtomicU32>,
}

/// Device and inode: which file a path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    fn of(found: &Metadata) -> Self {
        Self(found.dev(), found.ino())
    }
}

impl Place {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            file: path.clone(),
            path,
            busy_timeout: BUSY_TIMEOUT,
            #[cfg(test)]
            page_limit: std::sync::Arc::new(u32::MAX.into()),
        }
    }

    pub(super) fn unavailable(&self, detail: impl Into<String>) -> JournalError {
        JournalError::Unavailable { path: self.path.display().to_string(), detail: detail.into() }
    }

    pub(super) fn unusable(&self, detail: impl Into<String>) -> JournalError {
        JournalError::Unusable { path: self.path.display().to_string(), detail: detail.into() }
    }

    /// What was in use is not there any more, and what it says is known nowhere else.
    pub(super) fn vanished(&self) -> JournalError {
        self.unavailable(
            "it vanished while it was in use; put it back, or restart rearguard to begin a new one, which knows of no \
             incident, pin or pause",
        )
    }

    pub(super) fn damaged(&self, detail: &str) -> JournalError {
        self.unusable(format!("it is damaged ({}); {START_ANEW}", one_line(detail, DETAIL)))
    }

    /// The same place, with the file that it means now. Makes the folder where there is none.
    pub(super) fn resolved(&self) -> Result<Self, JournalError> {
        self.refuse_directory()?;
        self.make_directory()?;
        let file = self.without_links().map_err(|error| self.blocked(&self.path, &error))?;
        Ok(Self { file, ..self.clone() })
    }

    /// The same, as far as it can be told without making anything.
    pub(super) fn followed(&self) -> Self {
        let file = self.without_links().unwrap_or_else(|_| self.path.clone());
        Self { file, ..self.clone() }
    }

    fn without_links(&self) -> io::Result<PathBuf> {
        match fs::canonicalize(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        if fs::symlink_metadata(&self.path).is_ok() {
            // A new journal would take the link's place, and nobody would look for the old one there.
            return Err(io::Error::other("it is a link to what is not there"));
        }
        let name = self.path.file_name().unwrap_or_default();
        fs::canonicalize(self.directory()).map(|folder| folder.join(name))
    }

    /// Makes sure that no other daemon uses the journal for as long as the lock is kept. Taken before anything
    /// else: closing any descriptor of a file gives up the POSIX locks that SQLite holds on it.
    pub(super) fn lock(&self) -> Result<(File, Identity), JournalError> {
        let path = self.lock_file();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|error| self.blocked(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {
                let held = file.metadata().map_err(|error| self.blocked(&path, &error))?;
                Ok((file, Identity::of(&held)))
            }
            Err(TryLockError::WouldBlock) => Err(self.unavailable("another rearguard uses it")),
            Err(TryLockError::Error(error)) => Err(self.blocked(&path, &error)),
        }
    }

    /// Whether a lock is that of whoever comes now, and not of a file that was removed.
    pub(super) fn is_locked_by(&self, held: Identity) -> bool {
        fs::metadata(self.lock_file()).is_ok_and(|found| Identity::of(&found) == held)
    }

    fn lock_file(&self) -> PathBuf {
        self.beside(".lock")
    }

    /// Opens the journal, making a new one where there is none.
    pub(super) fn connect(&self) -> Result<(Connection, Identity), JournalError> {
        if !self.inspect()? {
            tracing::info!(journal = %self.path.display(), "there is no journal yet: a new one is made");
            self.create()?;
        }
        let connection = match self.open_existing() {
            // SQLite says so as well where the disk did not give it a page to read, and a person would throw a sound file away.
            Err(JournalError::Unusable { .. }) => {
                self.read_through()?;
                self.open_existing()?
            }
            opened => opened?,
        };
        let identity = self.identity().map_err(|error| self.blocked(&self.file, &error))?;
        Ok((connection, identity))
    }

    /// Reads every byte there is of it. No connection is open meanwhile, whose locks would go with the descriptor.
    fn read_through(&self) -> Result<(), JournalError> {
        for file in [self.file.clone(), self.beside("-wal")] {
            match File::open(&file).and_then(|mut bytes| io::copy(&mut bytes, &mut io::sink())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.blocked(&file, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Which file the path means now.
    pub(super) fn identity(&self) -> io::Result<Identity> {
        fs::metadata(&self.file).map(|found| Identity::of(&found))
    }

    pub(super) fn refuse_directory(&self) -> Result<(), JournalError> {
        if self.path.is_dir() {
            return Err(self.unusable("it is a directory; configure the path of a file in it"));
        }
        Ok(())
    }

    pub(super) fn refuse_newer(&self, version: i64) -> Result<(), JournalError> {
        if version > schema::VERSION {
            return Err(self.unusable(format!(
                "a newer rearguard wrote it (schema {version}, this one knows {}); start that version again, or \
                 restore the backup made before the upgrade",
                schema::VERSION
            )));
        }
        Ok(())
    }

    /// Whether there is a journal. An error where there is something else, which is then left as it is.
    pub(super) fn inspect(&self) -> Result<bool, JournalError> {
        let (header, length) = match head(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), 0),
            read => read.map_err(|error| self.blocked(&self.file, &error))?,
        };
        let log = fs::metadata(self.beside("-wal")).map_or(0, |log| log.len());
        match (header.is_empty(), log) {
            (true, 0) => return Ok(false),
            // SQLite would apply the log that was left behind to the new file.
            (true, _) => return Err(self.damaged("the file is gone and its -wal is still there")),
            (false, _) => {}
        }
        if !header.starts_with(HEADER_MAGIC) {
            return Err(self.unusable(format!("it is not a rearguard journal, or damaged; {START_ANEW}")));
        }
        let id = header.get(HEADER_APPLICATION_ID..HEADER_APPLICATION_ID + 4);
        match id {
            None => Err(self.damaged("its header is cut off")),
            Some(id) if id != schema::APPLICATION_ID.to_be_bytes() => {
                Err(self.unusable("it is the database of another program; configure another path"))
            }
            Some(_) if !header[HEADER_VERSIONS].iter().all(|version| [1, 2].contains(version)) => {
                Err(self.damaged("its header asks for a later SQLite than there is"))
            }
            // SQLite notices a missing page, not a missing part of one. While there is a log, the part is in it.
            Some(_) if log == 0 && length % PAGE_BYTES != 0 => Err(self.damaged("its last page is cut off")),
            Some(_) => Ok(true),
        }
    }

    /// Makes a new journal whole, then gives it its name.
    fn create(&self) -> Result<(), JournalError> {
        let draft = self.beside(".new");
        for stale in [draft.clone(), self.beside(".new-journal")] {
            match fs::remove_file(&stale) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.blocked(&stale, &error));
                }
                _ => {}
            }
        }
        // The mode is set here; SQLite gives its -wal and -shm files the mode of the database.
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        drop(options.open(&draft).map_err(|error| self.blocked(&draft, &error))?);
        fill(&draft).map_err(|error| fault::judge(self, &error))?;
        fs::rename(&draft, &self.file)
            .and_then(|()| File::open(folder_of(&self.file))?.sync_all())
            .map_err(|error| self.blocked(&self.file, &error))
    }

    fn open_existing(&self) -> Result<Connection, JournalError> {
        let failed = |error: rusqlite::Error| fault::of_opening(self, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.file, flags).map_err(failed)?;
        // Until the file is known to be sound, closing it writes nothing either.
        keep_log(&connection);
        configure(&connection, self.busy_timeout).map_err(failed)?;
        #[cfg(test)]
        connection
            .pragma_update(None, "max_page_count", self.page_limit.load(std::sync::atomic::Ordering::SeqCst))
            .map_err(failed)?;

        self.refuse_newer(schema::version(&connection).map_err(failed)?)?;
        for check in CHECKS {
            let verdict: String = connection.query_row(check, [], |row| row.get(0)).map_err(failed)?;
            if verdict != "ok" {
                return Err(self.damaged(&verdict));
            }
        }
        let mode: String = connection
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
            .map_err(failed)?;
        if mode != "wal" {
            return Err(self.unusable("its file system has no write-ahead log; use a local disk"));
        }
        schema::migrate(&mut connection).map_err(failed)?;
        // A journal that was copied into place may be readable by others. Where we do not own it, it stays so.
        _ = fs::set_permissions(&self.file, Permissions::from_mode(0o600));
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(failed)?;
        Ok(connection)
    }

    /// Makes the journal's directory, but not the one above it: that would hide a volume that is not mounted.
    fn make_directory(&self) -> Result<(), JournalError> {
        match DirBuilder::new().mode(0o700).create(self.directory()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !self.directory().is_dir() => {
                Err(self.blocked(self.directory(), &error))
            }
            _ => Ok(()),
        }
    }

    fn directory(&self) -> &Path {
        folder_of(&self.path)
    }

    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    pub(super) fn blocked(&self, path: &Path, error: &io::Error) -> JournalError {
        self.unavailable(format!("{}: {error}", path.display()))
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// From now on closing the connection leaves the write-ahead log as it is, for the next one to read.
pub(super) fn keep_log(connection: &Connection) {
    _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
}

/// A file's header and its length. The descriptor is closed again before SQLite opens the file.
pub(super) fn head(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut header = Vec::with_capacity(HEADER_BYTES);
    file.take(HEADER_BYTES as u64).read_to_end(&mut header)?;
    Ok((header, length))
}

fn fill(draft: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open(draft)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES as i64)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
    schema::migrate(&mut connection)?;
    connection.close().map_err(|(_, error)| error)
}

fn configure(connection: &Connection, busy_timeout: Duration) -> rusqlite::Result<()> {
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // A negative number counts in KiB.
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)
}
