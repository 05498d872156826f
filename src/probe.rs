//! Probes: one request, one [`Sample`], never an error.
//!
//! `schedule` says when the next sample of a probe is due, `network` takes it: `http` asks for a page, `expect` reads the
//! answer, `tcp` asks for a connection, `tls` for certificates, `grpc` for a server's health, `prometheus` for a figure,
//! `counters` for a share of errors, `platform` says what one of the app's own platform comes to; `resolve`, `connect` and `secure`
//! are the way there, `blame` says whose fault an error is. A sample
//! that fails is only believed (`belief`) after "is it me?" was asked: `control` asks places that are up whenever
//! our own network is, `peers` compares with the other apps and the platform where no such place is configured. And after
//! "is it something else?": `needs` asks what the app depends on, `siblings` the other apps of the account.
//! `waking` sets aside what an app answers that was asleep.

use std::future::Future;
use std::pin::Pin;

use crate::clock::Moment;
use crate::config::ProbeConfig;
use crate::decision::sample::Sample;

mod belief;
mod blame;
mod connect;
pub mod control;
mod counters;
mod expect;
mod grpc;
mod http;
pub mod needs;
pub mod network;
pub mod peers;
pub mod platform;
mod prometheus;
mod resolve;
pub mod schedule;
mod secure;
mod siblings;
mod tcp;
mod tls;
pub mod waking;

pub use belief::believed;
pub use counters::recorded::RecordError;
#[cfg(test)]
pub(crate) use http::answered;

/// Which of the addresses of a name is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Any that answers.
    Any,
    /// The nth sample of this probe: each address in its turn. Counted for each probe on its own, since three probes of a
    /// name with three addresses would else meet the same one for ever.
    Nth(u32),
}

/// Takes one sample.
pub trait Probe: Send + Sync + 'static {
    /// Sends the request and gives the sample, within the probe's timeout and a little more.
    fn sample<'a>(
        &'a self,
        probe: &'a ProbeConfig,
        turn: Turn,
    ) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>>;

    /// The same, with the version that the answer named: what asks for none is told none.
    fn versioned<'a>(
        &'a self,
        probe: &'a ProbeConfig,
        turn: Turn,
    ) -> Pin<Box<dyn Future<Output = Versioned> + Send + 'a>> {
        Box::pin(async move { (self.sample(probe, turn).await, None) })
    }

    /// Why it comes to nothing now, where whoever is asked can be asked why.
    fn complaint(&self, _probe: &ProbeConfig) -> Option<String> {
        None
    }

    /// What it would have found of the app from then to then, oldest first, where somebody has recorded that. Waits for its
    /// turn, and takes minutes at the most from then on. Of most kinds nobody has.
    fn recorded<'a>(
        &'a self,
        _probe: &'a ProbeConfig,
        _time: (Moment, Moment),
    ) -> Pin<Box<dyn Future<Output = Recorded> + Send + 'a>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// Samples that were recorded, oldest first.
pub type Recorded = Result<Vec<Sample>, RecordError>;

/// A sample, and the version that the answer named where it was asked for.
pub type Versioned = (Sample, Option<Box<str>>);

/// Somebody who can be asked whether our network works where no control probe is configured.
pub trait Witness: Send + Sync {
    /// Asks the platform, and tells the peers what came of it. Ends within seconds.
    fn ask(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

#[cfg(test)]
mod tests;
