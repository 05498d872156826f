//! What can go wrong in the store, and which answer it becomes.

use rusqlite::ErrorCode;

use super::super::JournalError;
use super::file::{DETAIL, Place};
use crate::ids::AppName;
use crate::platform::http::one_line;

/// Why one request failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite failed: the connection is not used again.
    Sqlite(rusqlite::Error),
    /// The entry breaks a rule of the journal: its own savepoint is rolled back, nothing else.
    Rule {
        /// Whose entry.
        app: AppName,
        /// Which rule.
        detail: String,
    },
    /// A row is there but this version cannot read it: the connection is fine, the row is not.
    Unreadable {
        /// Which row.
        what: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Rows of an app can each be read and contradict each other: the connection is fine, the rows are not.
    Torn {
        /// Which rows.
        what: String,
    },
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Fault {
    /// Turns SQLite's refusal of this entry's own rows into a broken rule: the disk and the file are fine, and
    /// the same entry would be refused again.
    pub(super) fn blame(self, app: &AppName) -> Self {
        match self {
            Self::Sqlite(error)
                if matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
                ) =>
            {
                Self::Rule { app: app.clone(), detail: error.to_string() }
            }
            other => other,
        }
    }
}

/// The answer to a request that broke a rule or met an unreadable row.
pub(super) fn refusal(place: &Place, fault: Fault) -> Result<JournalError, rusqlite::Error> {
    match fault {
        Fault::Sqlite(error) => Err(error),
        Fault::Rule { app, detail } => Ok(JournalError::Illegal { app, detail }),
        Fault::Unreadable { what, source } => {
            let why = one_line(&source.to_string(), DETAIL);
            Ok(place.unusable(format!("{what} cannot be read ({why}); start the version that wrote it")))
        }
        Fault::Torn { what } => Ok(place.damaged(&what)),
    }
}

/// What a failure of SQLite means for everybody who waits. It calls a file damaged of which the disk did not give it a page
/// to read, as well: whether it is, who opens it anew finds out.
pub(super) fn judge(place: &Place, error: &rusqlite::Error) -> JournalError {
    match error {
        rusqlite::Error::SqliteFailure(code, _) => match code.code {
            // Every statement is fixed and fits the schema: the file has lost a table, or a column is no JSON any more.
            ErrorCode::Unknown if code.extended_code == rusqlite::ffi::SQLITE_ERROR => {
                place.damaged(&error.to_string())
            }
            _ => place.unavailable(format!("{error} (SQLite code {})", code.extended_code)),
        },
        // This names the whole statement, which is no news to anybody.
        rusqlite::Error::SqlInputError { msg, .. } => place.damaged(msg),
        // A column of another type, or no row where there must be one: the file says something it cannot say.
        other => place.damaged(&other.to_string()),
    }
}

/// The same for who opens it.
pub(super) fn of_opening(place: &Place, error: &rusqlite::Error) -> JournalError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => place.damaged(&error.to_string()),
        _ => judge(place, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqlite_calls_damaged_is_so_for_who_opens_it_anew() {
        let place = Place::new("journal.db".into());
        for code in [rusqlite::ffi::SQLITE_CORRUPT, rusqlite::ffi::SQLITE_NOTADB] {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            assert!(matches!(judge(&place, &error), JournalError::Unavailable { .. }), "{error}");
            assert!(matches!(of_opening(&place, &error), JournalError::Unusable { .. }), "{error}");
        }
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        let error = rusqlite::Error::SqliteFailure(busy, None);
        assert!(matches!(of_opening(&place, &error), JournalError::Unavailable { .. }));
    }
}
