//! By which names this server is asked for.
//!
//! A listener on loopback has no other guard for what can be read than that only this machine reaches it. A page of anywhere
//! in a browser of this machine reaches it too, once its own name is made to lead here (DNS rebinding): the browser then
//! takes the server for the page's own. What gives such a request away is its `Host`. So where the listener is on loopback,
//! only addresses, names of this machine and the host of `external_url` are served. Health and metrics always are: they are
//! asked for by whatever name a Service or a scrape has. A listener that others can reach is guarded by who can reach it,
//! and serves any name.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::OwnName;
use super::error::ApiError;
use super::spare;

/// Which names are served.
#[derive(Clone)]
pub(super) enum Hosts {
    /// Whatever is asked for.
    Any,
    /// This machine's own, and the one that people were given.
    OfThisMachine(OwnName),
}

impl Hosts {
    /// Those for a listener at this address.
    pub(super) fn of(listener: IpAddr, own: OwnName) -> Self {
        if listener.to_canonical().is_loopback() { Self::OfThisMachine(own) } else { Self::Any }
    }

    fn serve(&self, host: &str) -> bool {
        let Self::OfThisMachine(own) = self else { return true };
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        is_address
            || name == "localhost"
            || name.ends_with(".localhost")
            || own().is_some_and(|own| own.trim_end_matches('.').eq_ignore_ascii_case(&name))
    }
}

/// Serves what is asked for by a name of ours.
pub(super) async fn by_name(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    if spare::PATHS.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let named = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    // Browsers always send one, and a URI that is whole outranks it.
    let named = request.uri().authority().map(Authority::as_str).or(named);
    if named.is_none_or(|host| hosts.serve(host)) {
        return next.run(request).await;
    }
    ApiError::new(
        StatusCode::MISDIRECTED_REQUEST,
        "unknown_host",
        "this listener is on loopback and serves localhost, addresses and the host of external_url; \
         set external_url to where people find this, or have a proxy send one of those as Host",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_loopback_listener_serves_names_of_this_machine_and_the_one_that_people_were_given() {
        let own: OwnName = Arc::new(|| Some("guard.example.com".to_owned()));
        let hosts = Hosts::of([127, 0, 0, 1].into(), own.clone());
        for host in [
            "localhost",
            "LOCALHOST:9797",
            "localhost.",
            "guard.localhost:9797",
            "127.0.0.1:9797",
            "127.8.0.1",
            "[::1]:9797",
            "192.0.2.7:8080",
            "guard.example.com",
            "Guard.Example.com:443",
        ] {
            assert!(hosts.serve(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9797",
            "a b",
            "x@localhost.b",
        ] {
            assert!(!hosts.serve(host), "{host}");
        }
        let mapped = "::ffff:127.0.0.1".parse().unwrap();
        for (listener, is_open) in
            [([0, 0, 0, 0].into(), true), ([10, 1, 2, 3].into(), true), (mapped, false)]
        {
            assert_eq!(Hosts::of(listener, own.clone()).serve("rearguard.ops.svc"), is_open, "{listener}");
        }
    }
}
