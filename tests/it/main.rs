//! The daemon and the built binary against the lab, over real sockets.
//!
//! The oracle is the platform's own ledger, never the daemon's view of itself. Times are short and nothing
//! depends on how long a step takes: tests wait for a state, with a generous limit.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod alertmanager;
mod apps;
mod attribution;
mod befalls;
mod binary;
mod check_as;
mod faults;
mod figures;
mod grpc;
mod measured;
mod notify;
mod orders;
mod people;
mod prometheus;
mod ready;
mod shell;
mod stories;
mod systemd;
mod world;
