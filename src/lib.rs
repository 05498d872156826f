//! rearguard guards deployments. (The map of the flow comes here.)

pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod decision;
pub mod ids;
pub mod journal;
pub mod lab;
pub mod metrics;
pub mod platform;
pub mod probe;
pub mod server;
pub mod systemd;
pub mod telemetry;
