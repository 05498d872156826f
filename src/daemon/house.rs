//! Prunes the journal, tries it again after it failed, and shows the slowest loop.

mod left_behind;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Shell;
use super::backend::ShellBackend;
use super::pause::FILE;
use crate::clock::Moment;

/// How often the journal's health is looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// How often old incidents are looked for, at the least.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Within a short retention they are looked for this often: the journal is larger than it has to be by a part of that.
const PRUNES_A_RETENTION: u32 = 12;

/// Keeps house until stopped.
pub(super) async fn keep(
    backend: ShellBackend,
    retention: watch::Receiver<Duration>,
    stop: CancellationToken,
) {
    let shell = &backend.shell;
    let mut pruned_at: Option<Moment> = None;
    let mut are_named = false;
    let mut strangers = BTreeSet::new();
    loop {
        backend.show_slowest();
        // Once the journal can be read.
        are_named = are_named || left_behind::name(&backend).await;
        let kept = shell.paused.keep(&*shell.journal, (shell.clock.now(), shell.clock.wall())).await;
        if kept.is_err() {
            shell.journal_works(false);
        }
        name_strangers(&backend, &mut strangers);
        // That it can be read says nothing of a write that has just failed.
        if kept.is_ok()
            && !shell.is_journal_working.load(Ordering::Relaxed)
            && shell.journal.check().await.is_ok()
        {
            tracing::info!("the journal works again");
            shell.journal_works(true);
        }
        let now = shell.clock.now();
        let retention_now = *retention.borrow();
        if pruned_at.is_none_or(|pruned| now.since(pruned) >= prune_every(retention_now)) {
            pruned_at = Some(now);
            // In small steps, so nothing is lost when it is cut short.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = prune(shell, retention_now) => {}
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HOUSEKEEPING) => {}
        }
    }
}

/// How often old incidents are looked for.
fn prune_every(retention: Duration) -> Duration {
    (retention / PRUNES_A_RETENTION).min(PRUNE_EVERY)
}

async fn prune(shell: &Shell, retention: Duration) {
    let Ok(horizon) = shell.clock.wall().checked_sub(retention) else { return };
    match shell.journal.prune(horizon).await {
        Ok(0) => {}
        Ok(rows) => tracing::info!(rows, "old incidents and decisions are deleted"),
        Err(error) => tracing::warn!("failed to {error}"),
    }
}

/// Names the files beside the journal that are to pause an app and are named like none: whoever made them believes that
/// it is paused.
fn name_strangers(backend: &ShellBackend, known: &mut BTreeSet<String>) {
    let apps = backend.apps.borrow().clone();
    let names = apps.tasks.values().map(|app| app.config.name.as_str()).collect();
    let found = backend.shell.paused.strangers(&names);
    for name in found.difference(known) {
        let names = names.iter().copied().collect::<Vec<_>>().join(", ");
        tracing::error!(
            "the file {FILE}-{name} beside the journal pauses nothing: no app is called {name}; the apps are {names}"
        );
    }
    *known = found;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_retention_is_kept_to_and_a_long_one_is_looked_after_every_hour() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let every = [1, 60, 24 * 60, 90 * 24 * 60].map(|retention| prune_every(minutes(retention)));
        assert_eq!(every, [Duration::from_secs(5), minutes(5), minutes(60), minutes(60)]);
    }
}
