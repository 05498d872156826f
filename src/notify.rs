//! People are told: of incidents, of rules that only tell, of deployments that failed, of storms.
//!
//! **What is promised.** Each event reaches each channel at least once, and those of one incident in the order in which
//! they happened. An event is written to the journal in the same transaction as the decision it is about
//! ([`crate::journal::Notice`]), and is owed to each channel that is configured then until the channel has it, over
//! restarts. Its `key` follows from what happened, so that whoever gets an event twice can tell. What a channel refuses,
//! or does not take for three days, is given up, counted and logged, and the next one goes out.
//!
//! **What is not.** Nothing waits for a channel: an app's task writes rows and rings a bell, and that is all. One task a
//! channel (`courier`) takes the first event of each incident that is due, tries it for ten seconds, and goes on; a
//! dead channel shows in `rearguard_notifications_pending`.
//!
//! # The signature of a webhook
//!
//! `X-Rearguard-Signature: t=UNIX,v1=HEX` where HEX is HMAC-SHA256, keyed with the secret, over the bytes of UNIX, a dot,
//! and the body as it came. To verify: take `t` and the raw body, compute the same, compare in constant time, and refuse a
//! `t` that is more than some minutes off. `Idempotency-Key` is the event's `key`.
//!
//! # The rooms
//!
//! * [`event`]: the documented event; `notices`: which things are told, and in which words.
//! * `post`: how tasks have something told; `office`: which couriers there are; `courier`: order, retries, giving up.
//! * `carrier`: the kinds of channels: `webhook`, `slack`, `alertmanager`, `smtp`; `wire`: the HTTP under three of them.
//! * `template`: texts by the operator's own words.

mod alertmanager;
mod carrier;
mod courier;
pub mod event;
pub(crate) mod notices;
pub(crate) mod office;
pub(crate) mod post;
mod slack;
mod smtp;
pub(crate) mod template;
mod webhook;
mod wire;
