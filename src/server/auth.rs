//! Who may change something: whoever holds the admin token.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::error::ApiError;
use super::routes::{Peer, Shared};

/// Seconds between two lines about calls without the token, at the least.
const TOLD_EVERY: i64 = 20;

/// Reads the admin token: `Ok(None)` when the configuration names none, an error in words when the file cannot
/// be read. Called for each request that changes something, so a rotated file counts at once.
pub type AdminToken = Arc<dyn Fn() -> Result<Option<SecretString>, String> + Send + Sync>;

/// Proof that the request carries the admin token. The first argument of every route that changes something.
pub(super) struct Admin {
    /// Where the request came from.
    pub(super) peer: Peer,
}

/// What a request carries that was found to have the token before it came to its route.
#[derive(Clone, Copy)]
pub(super) struct Admitted;

impl FromRequestParts<Shared> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<Peer>().copied().unwrap_or_default();
        if parts.extensions.get::<Admitted>().is_none() {
            shared.gate.admit(&parts.headers, peer, parts.uri.path())?;
        }
        Ok(Self { peer })
    }
}

/// Knows the token, and who comes without it.
pub(super) struct Gate {
    token: AdminToken,
    wrong: Count,
    unreadable: Count,
}

impl Gate {
    pub(super) fn new(token: AdminToken) -> Self {
        Self { token, wrong: Count::new(), unreadable: Count::new() }
    }

    /// Lets through whoever carries the admin token, by the head of a request, and says to the others what is missing.
    pub(super) fn admit(&self, headers: &HeaderMap, peer: Peer, path: &str) -> Result<Admitted, ApiError> {
        let wanted = (self.token)().map_err(|why| {
            if let Some(calls) = self.unreadable.more() {
                tracing::error!(
                    error = why,
                    calls,
                    "the admin token cannot be read: every action is refused"
                );
            }
            ApiError::unavailable(
                "admin_token_unreadable",
                "the admin token cannot be read; the log says why",
            )
        })?;
        match wanted.as_ref().map(|token| token.expose_secret().trim()).filter(|token| !token.is_empty()) {
            None => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "no_admin_token",
                "no admin_token_file is configured, so calls that change something are refused",
            )),
            Some(wanted) if given(headers).is_some_and(|given| same(given, wanted.as_bytes())) => {
                Ok(Admitted)
            }
            Some(_) => {
                if let Some(calls) = self.wrong.more() {
                    tracing::warn!(peer = %peer, path, calls, "a call without the admin token");
                }
                Err(ApiError::new(
                    StatusCode::UNAUTHORIZED,
                    "unauthorized",
                    "this call needs the admin token: Authorization: Bearer TOKEN",
                ))
            }
        }
    }

    /// Whether a question carries the admin token. Whoever gives none asks as anybody may, and no file is read for it.
    pub(super) fn is_admin(&self, headers: &HeaderMap, peer: Peer, path: &str) -> bool {
        given(headers).is_some() && self.admit(headers, peer, path).is_ok()
    }
}

/// Counts, so that whoever tries tokens out does not write the log.
struct Count {
    began: Instant,
    /// Seconds after `began` at which it was last told; below zero before the first time.
    told: AtomicI64,
    /// Calls since.
    calls: AtomicU64,
}

impl Count {
    fn new() -> Self {
        Self { began: Instant::now(), told: AtomicI64::new(-TOLD_EVERY), calls: AtomicU64::new(0) }
    }

    /// One more; how many there were since it was last told, where it is time to tell it again.
    fn more(&self) -> Option<u64> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let now = i64::try_from(self.began.elapsed().as_secs()).unwrap_or(i64::MAX);
        let told = self.told.load(Ordering::Relaxed);
        let is_due = now.saturating_sub(told) >= TOLD_EVERY;
        let is_ours = || self.told.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        (is_due && is_ours()).then(|| self.calls.swap(0, Ordering::Relaxed))
    }
}

fn given(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Compares digests instead of texts, and all of them: the time it takes tells nothing about the token.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let (given, wanted) = (Sha256::digest(given), Sha256::digest(wanted));
    let difference = given.iter().zip(wanted.iter()).fold(0_u8, |all, (a, b)| black_box(all | (a ^ b)));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bearer_scheme_is_read() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b"Bear"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_without_the_token_are_told_three_times_a_minute_at_most_and_counted() {
        let calls = Count::new();
        assert_eq!(calls.more(), Some(1), "the first one is told at once");
        for _ in 0..1_000 {
            assert_eq!(calls.more(), None);
        }
        tokio::time::advance(std::time::Duration::from_secs(20)).await;
        assert_eq!(calls.more(), Some(1_001));
        assert_eq!(calls.more(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_token_of_a_question_counts_apart_from_a_file_that_cannot_be_read() {
        let call = |gate: &Gate, given: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(given.map(|given| (header::AUTHORIZATION, given.parse().unwrap())));
            gate.is_admin(&headers, Peer::default(), "/")
        };
        let reads = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&reads);
        let gate = Gate::new(Arc::new(move || match counted.fetch_add(1, Ordering::Relaxed) {
            0 => Err("read it".to_owned()),
            _ => Ok(Some("right".into())),
        }));
        assert!(!call(&gate, None));
        assert_eq!(reads.load(Ordering::Relaxed), 0, "who gives none has no file read");
        assert!(!call(&gate, Some("Bearer right")) && call(&gate, Some("Bearer right")));
        assert_eq!(gate.unreadable.more(), None, "that was told");
        // And nobody has come with a wrong one yet.
        assert_eq!(gate.wrong.calls.load(Ordering::Relaxed), 0);
        assert!(!call(&gate, Some("Bearer wrong")));
        assert_eq!(gate.wrong.more(), None, "that was told");
    }

    #[test]
    fn tokens_are_the_same_only_when_every_byte_is() {
        assert!(same(b"secret", b"secret"));
        for other in [&b"secres"[..], b"secre", b"secrets", b"", b"Secret"] {
            assert!(!same(other, b"secret"));
        }
    }
}
