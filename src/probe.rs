//! Probes: one request, one [`Sample`], never an error.
//!
//! `schedule` says when the next sample of a probe is due, `http` takes it, `expect` reads the answer. A sample
//! that fails is only believed after somebody asked "is it me?": `control` asks places that are up whenever
//! our own network is, `peers` compares with the other apps and the platform where no such place is configured.

use std::future::Future;
use std::pin::Pin;

use crate::config::ProbeConfig;
use crate::decision::sample::Sample;

mod expect;
pub mod http;
pub mod peers;
mod resolve;
pub mod schedule;

/// Takes one sample.
pub trait Probe: Send + Sync + 'static {
    /// Sends the request and gives the sample, within the probe's timeout and a little more.
    fn sample<'a>(&'a self, probe: &'a ProbeConfig) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>>;
}
