//! The arithmetic held against what has to be true of it, and against figures that were computed by something else.

/// What the product ships with, so that what is measured here is that.
#[path = "../config/defaults.rs"]
#[allow(dead_code, reason = "the configuration uses the rest")]
mod defaults;
mod fair;
mod latency;
mod promise;
mod vectors;
