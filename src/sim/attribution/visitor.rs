//! How the probes of these courses get to the lab: what came back is judged by the same code as over a real connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::Response;
use http_body_util::Full;

use super::scenario::Lost;
use crate::config::{Ask, ProbeConfig};
use crate::decision::sample::{BlindCause, Failure, Sample, SampleResult};
use crate::lab::Request;
use crate::probe::network::taken;
use crate::probe::{Probe, Turn, Versioned, answered};
use crate::sim::machine::ProcessClock;
use crate::sim::wire::Wire;

/// One process's way to the sites.
pub(super) struct Visitor {
    pub(super) wire: Wire,
    pub(super) clock: Arc<ProcessClock>,
    /// What becomes of a question while nothing gets out.
    pub(super) lost: Lost,
}

impl Visitor {
    async fn visit(&self, ask: &Ask, version: &mut Option<Box<str>>) -> SampleResult {
        let machine = &self.wire.machine;
        machine.takes(5..60).await;
        if machine.are_sites_cut_off() {
            return match self.lost {
                Lost::Refused => SampleResult::Bad(Failure::Connect),
                Lost::NoName => SampleResult::Bad(Failure::Dns),
                Lost::Swallowed => std::future::pending().await,
            };
        }
        let path = match ask {
            Ask::Http(ask) => ask.url.path().to_owned(),
            // A port is open while what is behind it is well.
            Ask::Tcp(ask) => format!("/sites/{}/", ask.host),
            _ => return SampleResult::Unknown(BlindCause::Source),
        };
        let asked =
            Request { method: "GET", path: &path, query: "", host: "localhost", token: None, body: &[] };
        let (parts, body) = self.wire.lab.answer(&asked).await.into_parts();
        // A connection that breaks brings nothing, not even what the lab has written down before that.
        let Ok(body) = axum::body::to_bytes(body, 1 << 20).await else {
            return SampleResult::Bad(Failure::Protocol);
        };
        let answer = Response::from_parts(parts, Full::new(body));
        let result = match ask {
            Ask::Http(ask) => {
                let (result, told) = answered(answer, ask).await;
                *version = told;
                result
            }
            _ if answer.status().is_success() => SampleResult::Good,
            _ => SampleResult::Bad(Failure::Connect),
        };
        machine.takes(5..60).await;
        if machine.are_sites_cut_off() { SampleResult::Bad(Failure::Protocol) } else { result }
    }
}

impl Probe for Visitor {
    fn sample<'a>(
        &'a self,
        probe: &'a ProbeConfig,
        turn: Turn,
    ) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>> {
        Box::pin(async move { self.versioned(probe, turn).await.0 })
    }

    fn versioned<'a>(
        &'a self,
        probe: &'a ProbeConfig,
        _: Turn,
    ) -> Pin<Box<dyn Future<Output = Versioned> + Send + 'a>> {
        Box::pin(async move {
            let mut version = None;
            let sample = taken(&*self.clock, probe, self.visit(&probe.ask, &mut version)).await;
            (sample, version)
        })
    }
}
