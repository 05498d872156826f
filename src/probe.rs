//! Probes: one request, one [`Sample`], never an error.
//!
//! A probe that fails is only believed after the control probes were heard: `control` answers "is it me?".

use std::future::Future;
use std::pin::Pin;

use crate::config::ProbeConfig;
use crate::decision::sample::Sample;

/// Takes one sample.
pub trait Probe: Send + Sync + 'static {
    /// Sends the request and gives the sample, within the probe's timeout and a little more.
    fn sample<'a>(&'a self, probe: &'a ProbeConfig) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>>;
}
