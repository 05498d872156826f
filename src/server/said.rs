//! What a person says with an action: an optional JSON body, the same for every client.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::routes::Shared;
use crate::decision::observation::Accepted;
use crate::ids::{Caller, DeploymentId};

/// Longer names are nobody's.
pub(super) const NAME_MOST: usize = 64;
/// Longer than any platform's id.
pub(super) const ID_MOST: usize = 256;
/// A pause that is to last longer has no end in sight: one without a time says so.
pub(crate) const PAUSE_MOST: Duration = Duration::from_secs(366 * 86_400);

/// The body of an action. An empty one says nothing, and every field may be left out.
pub(super) struct Said<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<Shared> for Said<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, ApiError> {
        // It was read within its bounds before it came here.
        let body = to_bytes(request.into_body(), shared.limits.body_bytes).await;
        let body = body.map_err(|_| ApiError::bad_request("the body could not be read"))?;
        if body.trim_ascii().is_empty() {
            return Ok(Self(T::default()));
        }
        // A list would be taken for the values of the keys, in their order.
        let said = serde_json::from_slice::<Map<String, Value>>(&body);
        let said = said.and_then(|said| serde_json::from_value(Value::Object(said)));
        said.map(Self)
            .map_err(|error| ApiError::bad_request(format!("the body is not what is allowed: {error}")))
    }
}

/// A word without more to it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "an object; allowed is by")]
pub(super) struct Plain {
    by: Option<String>,
}

/// A yes.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "an object; allowed are by and target_deployment")]
pub(super) struct Approving {
    by: Option<String>,
    target_deployment: Option<String>,
}

/// A pause.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "an object; allowed are by and for_seconds")]
pub(super) struct Pausing {
    by: Option<String>,
    for_seconds: Option<f64>,
}

/// An order to roll back.
#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "an object; allowed are by, to, accept_warnings and accept_migrations"
)]
pub(super) struct RollingBack {
    by: Option<String>,
    to: Option<String>,
    accept_warnings: bool,
    accept_migrations: bool,
}

impl Plain {
    pub(super) fn by(self) -> Result<Caller, ApiError> {
        caller(self.by)
    }
}

impl Approving {
    /// Who, and to which target, where only that one is meant.
    pub(super) fn by_and_target(self) -> Result<(Caller, Option<DeploymentId>), ApiError> {
        Ok((caller(self.by)?, deployment("target_deployment", self.target_deployment)?))
    }
}

impl Pausing {
    /// Who, and how long; without an end where nobody says.
    pub(super) fn by_and_for(self) -> Result<(Caller, Option<Duration>), ApiError> {
        let lasts = self.for_seconds.map(|seconds| {
            let span = Duration::try_from_secs_f64(seconds).ok();
            span.filter(|span| *span >= Duration::from_secs(1) && *span <= PAUSE_MOST).ok_or_else(|| {
                let most = PAUSE_MOST.as_secs();
                ApiError::bad_request(format!("for_seconds is {seconds}; allowed is 1 to {most}"))
            })
        });
        Ok((caller(self.by)?, lasts.transpose()?))
    }
}

impl RollingBack {
    /// Who, to what, and what does not keep them from it.
    pub(super) fn order(self) -> Result<(Caller, Option<DeploymentId>, Accepted), ApiError> {
        let to = deployment("to", self.to)?;
        let accept = Accepted { warnings: self.accept_warnings, migrations: self.accept_migrations };
        Ok((caller(self.by)?, to, accept))
    }
}

/// A deployment that is named under `key`.
fn deployment(key: &str, id: Option<String>) -> Result<Option<DeploymentId>, ApiError> {
    if id.as_ref().is_some_and(|id| !is_a_line(id, ID_MOST)) {
        return Err(ApiError::bad_request(format!("`{key}` is not an id of a deployment")));
    }
    Ok(id.map(DeploymentId::from))
}

/// Whether it is so many characters of a line, at least one, and all of them are to be seen.
fn is_a_line(text: &str, most: usize) -> bool {
    let is_unseen = |c: char| c.is_control() || is_invisible(c);
    !text.is_empty() && text.chars().count() <= most && !text.chars().any(is_unseen)
}

/// Whether it shows nothing, or turns around what stands beside it: a name with such a character looks like another
/// one. Those that Unicode says to ignore where they cannot be shown (`Default_Ignorable_Code_Point`), and those that
/// end a line or annotate.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Who says it, by their own account.
fn caller(by: Option<String>) -> Result<Caller, ApiError> {
    let Some(by) = by else { return Ok("somebody".into()) };
    if !is_a_line(&by, NAME_MOST) {
        let allowed = format!("by is no name; allowed are 1 to {NAME_MOST} printable characters");
        return Err(ApiError::bad_request(allowed));
    }
    Ok(by.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_it_is_one_short_line() {
        let said = |by: &str| caller(Some(by.to_owned())).ok().map(|by| by.to_string());
        assert_eq!(said("ada@desk").as_deref(), Some("ada@desk"));
        for wrong in ["", "a\nb", "\u{1b}[2J", &"x".repeat(NAME_MOST + 1)] {
            assert_eq!(said(wrong), None, "{wrong:?}");
        }
        for unseen in
            ['\u{200b}', '\u{200f}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{ad}', '\u{2028}', '\u{e0041}']
        {
            assert_eq!(said(&format!("a{unseen}da")), None, "{unseen:?}");
        }
        assert_eq!(said("Åsa Žižková 李").as_deref(), Some("Åsa Žižková 李"));
        assert_eq!(caller(None).ok(), Some("somebody".into()));
    }

    #[test]
    fn a_pause_lasts_a_second_to_a_year() {
        let lasts = |for_seconds| {
            let said = Pausing { by: None, for_seconds: Some(for_seconds) };
            said.by_and_for().ok().map(|(_, lasts)| lasts)
        };
        assert_eq!(lasts(7_200.0), Some(Some(Duration::from_secs(7_200))));
        for wrong in [0.0, -1.0, 0.5, 1e9, f64::NAN, f64::INFINITY] {
            assert_eq!(lasts(wrong), None, "{wrong}");
        }
    }
}
