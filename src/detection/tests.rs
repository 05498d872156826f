//! The arithmetic held against what has to be true of it, and against figures that were computed by something else.

mod fair;
mod latency;
mod promise;
mod vectors;
