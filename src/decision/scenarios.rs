//! The decision core under scripts: a model platform, a clock, samples at a pace, and a shell in miniature that
//! journals, performs and answers. What is judged is what the platform's ledger says, not what the core believes.

mod judge;
mod later;
mod left;
mod pins;
mod platform;
mod world;

mod actions;
mod asked;
mod calls;
mod course;
mod explore;
mod freezes;
mod held;
mod lost_restarts;
mod named;
mod owed;
mod people;
mod picked;
mod picks;
mod pushes;
mod recorded;
mod refusals;
mod regressions;
mod restarts;
mod returns;
mod settled;
mod settling;
mod shares;
mod slower;
mod soaks;
mod taken_for;
mod told;
mod walk;
mod watching;
mod whose_pause;
mod years;

pub(crate) use told::{Records, Tale, told};
pub(super) use world::{World, policy};
