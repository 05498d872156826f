//! What TLS to an app is made of: the system's CA certificates, the wall clock, and how an app fails.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::Turn;
use super::blame::blame_io;
use super::connect::connect;
use super::resolve::Resolver;
use crate::clock::Clock;
use crate::decision::sample::{BlindCause, Failure, SampleResult};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecureError {
    #[error("load any CA certificate: install ca-certificates or set SSL_CERT_FILE")]
    NoCertificates,
    #[error("make a verifier of certificates")]
    Verifier(#[source] rustls::client::VerifierBuilderError),
    #[error("choose the versions of TLS")]
    Versions(#[source] rustls::Error),
}

/// Makes TLS sessions that trust the same certificates, by the same clock.
pub(super) struct Secure {
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
    clock: Arc<dyn Clock>,
}

/// Certificates are valid by the wall clock, as everybody else's machine reads it.
struct Wall(Arc<dyn Clock>);

impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wall")
    }
}

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.wall().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

impl Secure {
    /// One that trusts the system's CA certificates as they are now.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Result<Self, SecureError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // What cannot be read among hundreds is no reason to do without the others.
        roots.add_parsable_certificates(found.certs);
        Self::trusting(roots, clock)
    }

    pub(super) fn trusting(roots: RootCertStore, clock: Arc<dyn Clock>) -> Result<Self, SecureError> {
        if roots.is_empty() {
            return Err(SecureError::NoCertificates);
        }
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        Ok(Self { provider, verifier: verifier.map_err(SecureError::Verifier)?, clock })
    }

    /// For sessions of which each begins anew: one that is resumed shows the certificates of an earlier one.
    pub(super) fn afresh(&self) -> Result<TlsConnector, SecureError> {
        let mut config = self.config()?;
        config.resumption = Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// For talks in this protocol. Sessions are resumed.
    pub(super) fn speaking(&self, protocol: &str) -> Result<ClientConfig, SecureError> {
        let mut config = self.config()?;
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(config)
    }

    fn config(&self) -> Result<ClientConfig, SecureError> {
        let wall = Arc::new(Wall(Arc::clone(&self.clock)));
        let config = ClientConfig::builder_with_details(Arc::clone(&self.provider), wall)
            .with_safe_default_protocol_versions()
            .map_err(SecureError::Versions)?;
        let verifier = Arc::clone(&self.verifier) as Arc<dyn ServerCertVerifier>;
        // Not a way around the check: it is the check that rustls makes by itself, with roots that were read once.
        Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
    }

    /// What a session with these certificates would come to so much later.
    pub(super) fn later(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        later: Duration,
    ) -> SampleResult {
        let Some((own, others)) = chain.split_first() else { return SampleResult::Bad(Failure::Tls) };
        let Some(now) = Wall(Arc::clone(&self.clock)).current_time() else {
            return SampleResult::Unknown(BlindCause::Clock);
        };
        let then = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()).saturating_add(later));
        match self.verifier.verify_server_cert(own, others, name, &[], then) {
            Ok(_) => SampleResult::Good,
            Err(rustls::Error::InvalidCertificate(error)) => blame_certificate(&error),
            Err(_) => SampleResult::Bad(Failure::Tls),
        }
    }
}

/// The name that a certificate has to be for.
pub(super) fn server_name(host: &Host) -> Option<ServerName<'static>> {
    match host {
        Host::Domain(name) => ServerName::try_from(name.clone()).ok(),
        Host::Ipv4(address) => Some(ServerName::from(std::net::IpAddr::V4(*address))),
        Host::Ipv6(address) => Some(ServerName::from(std::net::IpAddr::V6(*address))),
    }
}

/// A connection that one can talk over, secured or not.
pub(super) trait Line: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

/// A connection to where a URL is, secured by `connector` where it is an https one.
pub(super) async fn open(
    resolver: &Resolver,
    connector: &TlsConnector,
    url: &Url,
    turn: Turn,
) -> Result<Box<dyn Line>, SampleResult> {
    // The configuration lets no other URL pass.
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return Err(SampleResult::Unknown(BlindCause::Host));
    };
    let host = host.to_owned();
    let stream = connect(resolver, &host, port, turn).await?;
    if url.scheme() != "https" {
        return Ok(Box::new(stream));
    }
    let Some(name) = server_name(&host) else { return Err(SampleResult::Bad(Failure::Tls)) };
    match connector.connect(name, stream).await {
        Ok(session) => Ok(Box::new(session)),
        Err(error) => Err(match blame_session(&error) {
            // Whoever asks for a page is not told which fault a certificate has.
            SampleResult::Bad(Failure::Expiring | Failure::Untrusted) => SampleResult::Bad(Failure::Tls),
            result => result,
        }),
    }
}

/// What it means that there is no session, told as closely as a certificate is of interest.
pub(super) fn blame_session(error: &io::Error) -> SampleResult {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(error)) => blame_certificate(error),
        Some(rustls::Error::FailedToGetCurrentTime) => SampleResult::Unknown(BlindCause::Clock),
        _ => blame_io(error, true).unwrap_or(SampleResult::Bad(Failure::Tls)),
    }
}

fn blame_certificate(error: &CertificateError) -> SampleResult {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            SampleResult::Bad(Failure::Expiring)
        }
        // A certificate of tomorrow is most often a clock of yesterday.
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            SampleResult::Unknown(BlindCause::Clock)
        }
        _ => SampleResult::Bad(Failure::Untrusted),
    }
}
