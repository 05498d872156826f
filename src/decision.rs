//! placeholder
pub mod effect;
pub mod observation;
pub mod policy;
pub mod rule;
pub mod sample;
pub mod state;
