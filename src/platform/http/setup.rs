//! What the client is made of: TLS, certificates, connections, the token.

use std::time::Duration;

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::HeaderValue;
use reqwest::{Client, ClientBuilder, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use tower::BoxError;
use tower::util::MapResultLayer;
use url::Url;

use super::super::leave::{self, Withheld};
use super::fault;

/// The longest time a connection may take, TLS handshake included. Also never more than half of the request's
/// limit, so that a connection that was not made is told apart from an answer that did not come.
const CONNECT_LONGEST: Duration = Duration::from_secs(10);

/// Why an adapter could not be made. Display reads after "failed to" and never carries the token.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system has no certificate authorities, as in a container made from scratch.
    #[error("load any CA certificate: install ca-certificates or set SSL_CERT_FILE")]
    NoCertificates,
    /// The client could not be made for another reason.
    #[error("set up the HTTP client: {0}")]
    Client(String),
    /// The API's URL cannot be used.
    #[error("use the API's URL: {0}")]
    Api(&'static str),
    /// The token cannot be read.
    #[error("read the token: {0}")]
    Token(String),
    /// The token cannot stand in a header.
    #[error("use the token: it is empty, or has characters a header cannot carry")]
    TokenShape,
}

/// Chooses ring for every TLS connection of the process. To be called before the first client is made, by main and
/// by tests; calling it again changes nothing.
pub fn install_tls() {
    // An error means that a provider is installed already, which is what was wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A token as it is sent.
pub(super) struct Token {
    pub(super) secret: SecretString,
    pub(super) header: HeaderValue,
}

impl Token {
    pub(super) fn new(secret: SecretString) -> Result<Self, StartError> {
        if secret.expose_secret().is_empty() {
            return Err(StartError::TokenShape);
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {}", secret.expose_secret()))
            .map_err(|_| StartError::TokenShape)?;
        header.set_sensitive(true);
        Ok(Self { secret, header })
    }
}

/// The API's base, without what must not reach an error or a header: userinfo would be sent as credentials.
pub(super) fn base_of(api: &Url) -> Result<Url, StartError> {
    if !matches!(api.scheme(), "http" | "https") || api.host_str().is_none_or(str::is_empty) {
        return Err(StartError::Api("it is not an http or https URL"));
    }
    if !api.username().is_empty() || api.password().is_some() {
        return Err(StartError::Api("it carries a user name or password"));
    }
    let mut base = api.clone();
    base.set_query(None);
    base.set_fragment(None);
    Ok(base)
}

/// Connections that wait for the next read. Some thirty kilobytes each, and reads come a few at a time.
const IDLE_CONNECTIONS: usize = 2;

/// The client for reads and the client for writes.
pub(super) fn clients(base: &Url, timeout: Duration) -> Result<(Client, Client), StartError> {
    let built = |builder: ClientBuilder| builder.build().map_err(|error| fault::start(&error));
    Ok((
        built(client(base, timeout).pool_max_idle_per_host(IDLE_CONNECTIONS))?,
        built(for_writes(client(base, timeout)))?,
    ))
}

/// A connection for each request, which asks whether it may be used once it is made. With nothing pooled it is made in
/// the task of the request (hyper-util 0.1, `one_connection_for`), where [`leave`] finds the answer.
pub(super) fn for_writes(builder: ClientBuilder) -> ClientBuilder {
    builder.pool_max_idle_per_host(0).connector_layer(MapResultLayer::new(with_leave))
}

fn with_leave<T>(connected: Result<T, BoxError>) -> Result<T, BoxError> {
    connected.and_then(|connection| if leave::ask() { Ok(connection) } else { Err(Withheld.into()) })
}

pub(super) fn client(base: &Url, timeout: Duration) -> ClientBuilder {
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .connect_timeout((timeout / 2).min(CONNECT_LONGEST));
    if base.scheme() == "http" {
        // No certificates are needed, so an image without any can still run the built-in platform.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(base) {
        builder = builder.no_proxy();
    }
    builder
}

/// Whether requests to an API go through a proxy of the environment. Asks whom the clients ask.
pub fn is_proxied(api: &Url) -> bool {
    goes_through(&Matcher::from_system(), api)
}

fn goes_through(proxies: &Matcher, api: &Url) -> bool {
    let uri = Uri::try_from(api.as_str());
    !is_loopback(api) && uri.is_ok_and(|uri| proxies.intercept(&uri).is_some())
}

fn is_loopback(base: &Url) -> bool {
    match base.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_through_a_proxy_is_what_the_environment_says() {
        let proxies = Matcher::builder().https("http://proxy.example:3128").no(".internal.example").build();
        for (api, expected) in [
            ("https://api.digitalocean.com", true),
            ("https://api.sevalla.com/v3", true),
            ("https://api.internal.example", false),
            ("http://api.example", false),
            ("https://localhost:8443", false),
            ("https://127.0.0.1:8443", false),
            ("https://[::1]:8443", false),
        ] {
            assert_eq!(goes_through(&proxies, &api.parse().unwrap()), expected, "{api}");
        }
        let none = Matcher::builder().build();
        assert!(!goes_through(&none, &"https://api.digitalocean.com".parse().unwrap()));
    }
}
