//! How long an app's certificates are good for: a TLS handshake, and nothing else.
//!
//! Good when whoever verifies them would still do so in `at_least`: the certificates are verified a second time as of then.
//! So it is the chain that clients build that counts. A certificate that is sent along and that nobody needs may have
//! expired long ago, as that of DST Root CA X3 had. Which certificates are trusted is what the system says, as for a page.

use std::sync::Arc;

use tokio_rustls::TlsConnector;

use super::Turn;
use super::connect::connect;
use super::resolve::Resolver;
use super::secure::{Secure, SecureError, blame_session, server_name};
use crate::config::TlsAsk;
use crate::decision::sample::{BlindCause, SampleResult};

/// Looks at certificates.
pub(super) struct Tls {
    secure: Arc<Secure>,
    connector: TlsConnector,
}

impl Tls {
    pub(super) fn new(secure: Arc<Secure>) -> Result<Self, SecureError> {
        Ok(Self { connector: secure.afresh()?, secure })
    }

    /// Good when the certificates that are presented now would be accepted now, and in `at_least`.
    pub(super) async fn ask(&self, resolver: &Resolver, ask: &TlsAsk, turn: Turn) -> SampleResult {
        // The configuration lets no name pass that cannot be asked for.
        let Some(name) = server_name(ask.server_name.as_ref().unwrap_or(&ask.host)) else {
            return SampleResult::Unknown(BlindCause::Host);
        };
        let stream = match connect(resolver, &ask.host, ask.port, turn).await {
            Ok(stream) => stream,
            Err(result) => return result,
        };
        let session = match self.connector.connect(name.clone(), stream).await {
            Ok(session) => session,
            Err(error) => return blame_session(&error),
        };
        let chain = session.get_ref().1.peer_certificates().unwrap_or_default();
        self.secure.later(chain, &name, ask.at_least)
    }
}

#[cfg(test)]
mod tests;
