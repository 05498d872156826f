//! Leave to send: a write is asked about once more when its connection is there, right before the request is written.
//!
//! A name, a connection and a TLS handshake may take seconds, and as long as the machine sleeps meanwhile. Whoever sends a
//! write says how to find out whether it may still be sent, and the connection asks that when it is made. A
//! connection that may not be used is closed unused, which is told apart from all that may have been sent.

use std::future::Future;
use std::sync::Arc;

/// Whether what is on its way may still be sent.
pub type Leave = Arc<dyn Fn() -> bool + Send + Sync>;

tokio::task_local! {
    /// A connection without a pool is made within the task, and the poll, of the request that it is for.
    static LEAVE: Leave;
}

/// Makes a call whose write is sent only if `leave` is still given once its connection is made.
pub async fn asking<F: Future>(leave: Leave, call: F) -> F::Output {
    LEAVE.scope(leave, call).await
}

/// The leave of what changes nothing, though it is sent like a write.
pub fn always() -> Leave {
    Arc::new(|| true)
}

/// Why a connection was not used. Display is what the platform's error says.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not sent: it may not be any more, now that there is a connection")]
pub(super) struct Withheld;

/// Asks for leave. A write for which nobody says how is not sent; the adapters' own tests make calls without.
pub(crate) fn ask() -> bool {
    LEAVE.try_with(|leave| leave()).unwrap_or(cfg!(test))
}
