//! Detection: when is a new release provably worse than the one before it?
//!
//! A betting score, the *evidence*, starts at 1 when a release goes live and is multiplied with every sample of it: up
//! where the sample failed, down where it did not, at odds that would be fair if the release failed as often as its
//! predecessor did, plus what the operator tolerates. Against a release that is no worse than that nobody can expect to
//! win. So the probability that the evidence *ever* reaches `1 / p` during a watch is at most `p`, however often it is
//! looked at and at whatever pace samples come (Ville's inequality). Where it does reach it, the rule is Bad.
//!
//! Three things make that practical:
//!
//! * Nobody knows how often the predecessor really fails, only what its [`baseline`] has shown. Every rate that fits with
//!   the baseline is held against the release, and the one that speaks best for it counts ([`evidence`]).
//! * Failures come in bursts that are nobody's fault. After a failure the next one is *excused* for about as long as
//!   such a glitch lasts ([`memory`]); how long they last is learnt from the predecessor ([`glitch`]).
//! * Nobody knows when a bad release begins to fail, nor how badly. Part of the stake is on "at once", part on later,
//!   and on several severities.
//!
//! A sample that failed is a round that is as bad as can be. Latency makes rounds of half a minute each ([`latency`],
//! [`blocks`]), and what an app counts itself one a scrape, as bad as the share of errors in it ([`counters`]).
//!
//! [`history`] keeps a day of samples in little room, [`values`] a day of latencies or shares. [`power`] has what trials of
//! it are made with. Everything here is arithmetic: nothing reads a clock, and the same samples give the same figures.
//! Constant work and memory a sample.
//!
//! Sources: betting on bounded means, Waudby-Smith and Ramdas, arXiv:2010.09686; e-detectors, Shin, Ramdas and Rinaldo,
//! arXiv:2203.03532; joint e-values as in universal inference, Wasserman, Ramdas and Balakrishnan, arXiv:1912.11436.

pub mod baseline;
pub mod blocks;
pub mod counters;
pub mod evidence;
pub mod glitch;
pub mod history;
pub mod latency;
pub mod memory;
pub mod power;
pub mod values;

#[cfg(test)]
mod tests;

/// One observation of an app: when, and how bad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// Seconds since some beginning.
    pub at: f64,
    /// From 0, all is well, to 1, all failed.
    pub badness: f64,
}

/// The share of probes that a release without a baseline worth the name is assumed to fail at most.
pub const ASSUMED: f64 = 0.2;
