//! The one shape of an error: `{"error": {"code", "message"}}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::ActionError;
use crate::journal::JournalError;

/// An answer that is not the one that was asked for.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    /// A fixed word for programs.
    code: &'static str,
    /// A sentence for people.
    pub(super) message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// `what` is `app` or `incident`.
    pub(super) fn unknown(what: &str) -> Self {
        let code = match what {
            "app" => "unknown_app",
            "incident" => "unknown_incident",
            _ => "not_found",
        };
        Self::new(StatusCode::NOT_FOUND, code, format!("there is no such {what}"))
    }
}

impl From<JournalError> for ApiError {
    fn from(error: JournalError) -> Self {
        Self::unavailable("journal_unavailable", format!("failed to {error}"))
    }
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::Unknown(what) => Self::unknown(what),
            ActionError::Conflict(why) => Self::new(StatusCode::CONFLICT, "conflict", why),
            ActionError::NotDurable => Self::unavailable(
                "journal_unavailable",
                "in force, but the journal does not take writes: it is tried again; until then a restart forgets it",
            ),
            ActionError::Unavailable => Self::unavailable(
                "journal_unavailable",
                "the journal does not take writes, so nothing was done",
            ),
            ActionError::Unsure => Self::unavailable(
                "journal_unavailable",
                "it could not be written down for certain: whether it was done is not known, so look before asking again",
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = (self.status, Json(body)).into_response();
        // For whoever would rather have a page than that.
        response.extensions_mut().insert(self.clone());
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
