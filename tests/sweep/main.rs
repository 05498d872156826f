//! The crash sweep: the unmodified binary, made to fail at its Nth operation, for every N.
//!
//! A whole incident runs against the lab, once for each N, and at the Nth write of the journal, or the Nth send to the
//! network, the process is killed, or the disk is full, or an fsync fails. `strace` does it, so that nothing is built in
//! for it. After a kill the process is started again without faults, and everything has to come to its end. A sweep
//! is over when runs go through without meeting their trouble. What is believed is the platform's ledger and the
//! journal's file, never the daemon's view of itself.
//!
//! `cargo test` takes a few points of each sweep; `REARGUARD_SWEEP=all cargo test --test sweep` takes all of them, and
//! `REARGUARD_SWEEP='revert, killed before the Nth receive'` those of the sweeps whose name has these words in it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod course;
mod guard;
mod judge;
mod run;
mod strace;
mod sweep;
mod table;
#[expect(dead_code, reason = "the other tests need all of it")]
#[path = "../it/world.rs"]
mod world;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_at_whatever_operation_an_incident_comes_to_its_end_with_one_rollback() {
    if !strace::works() {
        table::say(
            "SKIPPED: the crash sweep needs strace, which is not installed here, or not allowed to trace",
        );
        return;
    }
    let mut sweeps = sweep::all().await;
    let table = match std::env::var("REARGUARD_SWEEP") {
        Err(_) => sweep::sample(&sweeps).await,
        Ok(which) => {
            sweeps.retain(|sweep| which == "all" || sweep.name().contains(&which));
            sweep::whole(&sweeps).await
        }
    };
    table.end();
}
