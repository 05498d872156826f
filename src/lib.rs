//! rearguard guards deployments: it watches apps on a platform and their health URLs, and when a rule shows that a
//! newly live deployment is bad it rolls back, soaks, and commits or reverts.
//!
//! # The flow, on one screen
//!
//! ```text
//!   platform ──poll──> slice ┐                                   ┌─> metrics, log
//!   probes ──> samples ──────┤ observe                           │
//!   controls: "is it me?" ───┤    │                              │
//!   people: pause, approve ──┘    v                              │
//!                            decide(policy, state, seen) ──> Change: state, effect, reason, story
//!                                 ^                              │
//!                                 │                              v
//!                              answer <── perform <── journal (state and intent in one transaction)
//!                                           │
//!                                           └─ fresh read, guards, one write, never sent again blindly
//! ```
//!
//! # The rooms, in reading order
//!
//! * [`decision`]: the pure core. What to do, and why; no clock, no I/O. Start here.
//! * [`detection`]: arithmetic, when a release is provably worse than the one before it.
//! * [`platform`], [`probe`], [`journal`]: what the shell speaks to, each behind a trait.
//! * [`daemon`]: the shell. One task an app; it observes, records, then acts.
//! * [`notify`]: people are told, at least once and in order.
//! * [`config`]: the operator's file, parsed into types that cannot be wrong.
//! * [`power`]: what an app's rules could notice of a bad release, and how soon.
//! * [`telling`]: an incident as people read it: text, Markdown, a picture.
//! * [`server`], [`metrics`], [`cli`]: what is seen from outside.
//! * [`lab`]: a platform of our own, behind `demo`, `lab` and the tests.
//! * `sim`: all of it but the sockets under seeded faults, people and crashes; compiled for tests only.
//! * `fuzzing`: whatever comes from outside, tried by chance; compiled for tests and fuzzed builds only.
//! * [`clock`], [`ids`], [`systemd`], [`telemetry`]: small things everybody uses.

pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod decision;
pub mod detection;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod ids;
pub mod journal;
pub mod lab;
pub mod metrics;
pub mod notify;
pub mod platform;
pub mod power;
pub mod probe;
pub mod server;
#[cfg(test)]
mod sim;
pub mod systemd;
pub mod telemetry;
pub mod telling;

/// The tests allocate as the binary does.
#[cfg(all(test, feature = "jemalloc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
