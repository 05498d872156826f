//! The promises, judged from the lab's own ledger: what the daemon believes of itself is never asked, but for whether
//! it knows of a pin.

use std::collections::BTreeMap;
use std::path::Path;

use rearguard::lab::{AppState, Cause, Entry, GUARD_TOKEN, Health, Operation, Who};
use rusqlite::{Connection, OpenFlags};

use crate::ground::{BUDGET, BUSY, Ground, OBSERVE, RECONCILE_MS, RETENTION_MS, STRICT, busy, idle};

/// A write may be on its way that long after the last look before it.
const ON_ITS_WAY_MS: i64 = 1_500;

/// What is not as it was promised.
#[derive(Default)]
pub(crate) struct Broken(pub(crate) Vec<String>);

impl Broken {
    fn note(&mut self, promise: &str, what: impl std::fmt::Debug) {
        self.0.push(format!("{promise}: {what:?}"));
    }
}

/// What was found besides.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) rollbacks: usize,
    pub(crate) commits: usize,
    pub(crate) reverts: usize,
    /// Second rollbacks of one release whose first request the platform carried out after its time.
    pub(crate) late_pairs: usize,
    /// Healthy releases rolled back from because they were measured to be slow.
    pub(crate) slow: usize,
    /// Healthy releases that went live while the rollback of their predecessor was on its way.
    pub(crate) crossed: usize,
    /// Pins of a person's that were settled as ours: somebody went back while our request was cut off.
    pub(crate) alike: Vec<String>,
}

struct App {
    name: String,
    state: AppState,
    /// The guard's writes.
    ours: Vec<Entry>,
}

/// Every promise that the ledger can tell of.
pub(crate) fn ledger(ground: &Ground, broken: &mut Broken) -> Found {
    let mut by_app: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in ground.lab.ledger().entries {
        by_app.entry(entry.app.clone()).or_default().push(entry);
    }
    let mut found = Found::default();
    let names = (0..BUSY).map(|n| (Some(n), busy(n))).chain((0..ground.apps - BUSY).map(|n| (None, idle(n))));
    for (n, name) in names {
        let all = by_app.remove(&name).unwrap_or_default();
        let ours = all.iter().filter(|entry| entry.who == Who::Guard).cloned().collect();
        let state = ground.lab.app(&name).unwrap();
        let app = App { name, state, ours };
        let applied = |operation| app.ours.iter().filter(|e| e.operation == operation && e.applied()).count();
        found.rollbacks += applied(Operation::CreateRollback);
        found.commits += applied(Operation::CommitRollback);
        found.reverts += applied(Operation::RevertRollback);
        for entry in app.ours.iter().filter(|entry| entry.skip_pin) {
            broken.note("[I10] a rollback without a pin", entry);
        }
        found.late_pairs += one_rollback_for_one_release(&app, broken);
        targets(&app, broken);
        only_our_own_pins(ground, &app, &mut found, broken);
        accused_fairly(ground, &app, &mut found, broken);
        quiet(ground, &app, n, broken);
        if n.is_some_and(|n| STRICT.contains(&n)) {
            within_the_budget(&app, broken);
        }
    }
    found
}

/// What the incident said whose `key` is this deployment.
fn story(ground: &Ground, key: &str, deployment: &str) -> String {
    let incidents = ground.incidents.lock().unwrap();
    let Some(incident) = incidents.values().find(|incident| incident[key] == deployment) else {
        return "its incident was not read in time".to_owned();
    };
    let lines = incident["timeline"].as_array().into_iter().flatten();
    let lines: Vec<String> = lines.map(|line| format!("{} {}", line["at"], line["text"])).collect();
    lines.join("\n    ")
}

impl App {
    fn rollbacks(&self) -> Vec<&Entry> {
        self.ours.iter().filter(|e| e.operation == Operation::CreateRollback && e.applied()).collect()
    }
}

/// Whether a request was carried out so late that it had been given up on.
fn came_late(entry: &Entry) -> bool {
    entry.applied_ms.unwrap_or(entry.at_ms) - entry.at_ms + ON_ITS_WAY_MS >= RECONCILE_MS
}

/// [I3, I4] One rollback for one release. Gives the second ones that the platform's lateness explains.
fn one_rollback_for_one_release(app: &App, broken: &mut Broken) -> usize {
    let (all, mut late) = (app.rollbacks(), 0);
    for (n, second) in all.iter().enumerate() {
        for first in all[..n].iter().filter(|first| first.active_before == second.active_before) {
            if came_late(first) {
                late += 1;
            } else {
                broken.note("[I3] two rollbacks for one release", (first, second));
            }
        }
    }
    late
}

/// [I5] The target was live, is not the accused, and was not rolled back from before.
fn targets(app: &App, broken: &mut Broken) {
    let all = app.rollbacks();
    let reverted: Vec<&Option<String>> =
        settled(app, Operation::RevertRollback).map(|e| &e.pinned_before).collect();
    for (n, entry) in all.iter().enumerate() {
        let target = entry.target.as_deref().unwrap_or("");
        let was_live = app.state.deployment(target).is_some_and(|target| target.live_ms.is_some());
        if !was_live || entry.active_before.as_deref() == Some(target) {
            broken.note("[I5] a target that was never live, or is the accused", entry);
        }
        // A revert says that going back did not help: the release was not the cause.
        let accused = all[..n].iter().find(|before| {
            before.active_before.as_deref() == Some(target) && !reverted.contains(&&before.deployment)
        });
        if let Some(before) = accused {
            broken.note("[I5] back to a release that was rolled back from", (before, entry));
        }
    }
}

fn settled(app: &App, operation: Operation) -> impl Iterator<Item = &Entry> {
    app.ours.iter().filter(move |entry| entry.operation == operation && entry.applied())
}

/// [I7] Commit and revert only for a pin that we made, or that a person asked for in the same words while our own
/// request was unanswered, which nobody can tell apart.
fn only_our_own_pins(ground: &Ground, app: &App, found: &mut Found, broken: &mut Broken) {
    for entry in settled(app, Operation::CommitRollback).chain(settled(app, Operation::RevertRollback)) {
        let Some(pin) = &entry.pinned_before else { continue };
        let target = app.state.deployment(pin).and_then(|pin| match &pin.cause {
            Cause::Rollback { target } => Some(target.clone()),
            _ => None,
        });
        let is_ours = app.ours.iter().any(|made| made.deployment.as_ref() == Some(pin));
        let same = |e: &Entry| e.operation == Operation::CreateRollback && e.target == target;
        let made = app.state.deployment(pin).map_or(0, |pin| pin.created_ms);
        let cuts = ground.cuts.lock().unwrap();
        let is_cut_off = cuts.iter().any(|(from, to)| *from <= made + 5_000 && *to >= made - 15_000);
        if !is_ours && is_cut_off {
            // The request never came to the ledger.
            found.alike.push(story(ground, "rollback_deployment", pin));
        } else if !is_ours && !app.ours.iter().any(|e| same(e) && e.seq < entry.seq && e.fault.is_some()) {
            let incident = story(ground, "rollback_deployment", pin);
            broken.note("[I7] a pin is settled that is not ours", (entry, incident));
        }
    }
}

/// [I6, I14, I16] What is rolled back is a release that can answer badly, or one whose site was in trouble; and no
/// rollback.
fn accused_fairly(ground: &Ground, app: &App, found: &mut Found, broken: &mut Broken) {
    let trouble = ground.trouble.lock().unwrap();
    let stretches = trouble.get(&app.name).map_or(&[][..], Vec::as_slice);
    for entry in app.rollbacks() {
        let Some(accused) = entry.active_before.as_deref().and_then(|id| app.state.deployment(id)) else {
            broken.note("[I6] a rollback from nothing", entry);
            continue;
        };
        if accused.is_rollback() && !came_late(entry) {
            broken.note("[I8] a rollback is rolled back", entry);
        }
        let live = accused.live_ms.unwrap_or(i64::MAX);
        let in_trouble = stretches.iter().any(|(from, to)| *to >= live && *from <= entry.at_ms);
        if accused.release.health == Health::Good && !in_trouble && !came_late(entry) {
            let incident = story(ground, "bad_deployment", &accused.id);
            // On a machine with too much to do a healthy site is slow indeed; and what goes live while a write is on
            // its way is met by it.
            if incident.contains("rule slow fired") {
                found.slow += 1;
            } else if entry.at_ms - live < ON_ITS_WAY_MS {
                found.crossed += 1;
            } else {
                broken
                    .note("[I14] a healthy release is rolled back", (entry, &accused.cause, live, incident));
            }
        }
    }
}

/// [I11] Nothing is written in mode observe, nor while paused.
fn quiet(ground: &Ground, app: &App, n: Option<usize>, broken: &mut Broken) {
    let paused = ground.paused.lock().unwrap();
    let paused = paused.get(&app.name).map_or(&[][..], Vec::as_slice);
    for entry in app.ours.iter().filter(|entry| !entry.operation.is_read()) {
        if n.is_some_and(|n| OBSERVE.contains(&n)) {
            broken.note("[I11] a write in mode observe", entry);
        }
        if paused.iter().any(|(from, to)| entry.at_ms > from + ON_ITS_WAY_MS && entry.at_ms <= *to) {
            broken.note("[I11] a write while paused", entry);
        }
    }
}

/// [I12] No more rollbacks in a while than the budget has.
fn within_the_budget(app: &App, broken: &mut Broken) {
    let all = app.rollbacks();
    for (n, entry) in all.iter().enumerate() {
        let recent =
            all[..=n].iter().filter(|before| before.at_ms > entry.at_ms - BUDGET.1 && !came_late(before));
        if recent.count() > BUDGET.0 {
            broken.note("[I12] more rollbacks than the budget has", entry);
        }
    }
}

/// [I9] A pin of ours that is still there is in the hands of a person who was told. Asked once everything is at rest.
pub(crate) async fn pins(ground: &Ground, broken: &mut Broken) -> usize {
    let entries = ground.lab.ledger().entries;
    let mut left = 0;
    for name in (0..BUSY).map(busy).chain((0..ground.apps - BUSY).map(idle)) {
        let Some(pin) = ground.lab.app(&name).unwrap().pinned else { continue };
        left += 1;
        let made = entries.iter().find(|entry| entry.deployment.as_ref() == Some(&pin));
        if made.is_none_or(|made| made.who != Who::Guard) {
            continue;
        }
        let status = ground.get(&format!("/api/v1/apps/{name}")).await.unwrap_or_default();
        if !matches!(status["state"].as_str(), Some("held" | "incident")) {
            broken.note("[I9] a pin of ours is forgotten", (made, status));
        }
    }
    left
}

/// [I13] The token stands in no file of the daemon's and in no scrape.
pub(crate) fn secrets(folder: &Path, scrape: &str, broken: &mut Broken) {
    let token = GUARD_TOKEN.as_bytes();
    for file in ["rearguard.db", "rearguard.db-wal", "log"] {
        let bytes = std::fs::read(folder.join(file)).unwrap_or_default();
        if bytes.windows(token.len()).any(|window| window == token) {
            broken.note("[I13] the token stands in", file);
        }
    }
    if scrape.contains(GUARD_TOKEN) {
        broken.note("[I13] the token stands in", "/metrics");
    }
}

/// The journal once the daemon has ended: whether it is sound, and how much of everything it holds.
pub(crate) fn journal(folder: &Path, broken: &mut Broken) -> Vec<(String, i64)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let journal = Connection::open_with_flags(folder.join("rearguard.db"), flags).unwrap();
    let one =
        |sql: &str| journal.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).unwrap().unwrap_or(0);
    let verdict: String = journal.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    if verdict != "ok" {
        broken.note("the journal is damaged", verdict);
    }
    let open = one("SELECT count(*) FROM effects WHERE answer IS NULL");
    if open > 0 {
        broken.note("effects are open at the end", open);
    }
    let now = jiff::Timestamp::now().as_millisecond();
    let oldest = one("SELECT min(closed_at) FROM incidents");
    if oldest > 0 && now - oldest > RETENTION_MS + RETENTION_MS / 2 {
        broken.note("an incident is kept beyond its time, in milliseconds", now - oldest);
    }
    let tables = ["apps", "incidents", "timeline", "decisions", "effects", "policies"];
    let mut rows: Vec<(String, i64)> = tables
        .iter()
        .map(|table| (format!("rows of {table}"), one(&format!("SELECT count(*) FROM {table}"))))
        .collect();
    for list in ["good", "condemned", "accused", "ours", "settled", "lost", "rollbacks"] {
        let longest = one(&format!("SELECT max(json_array_length(state, '$.ledger.{list}')) FROM apps"));
        if longest > 32 {
            broken.note("a list of a ledger is longer than 32", (list, longest));
        }
        rows.push((format!("longest list {list} of a ledger"), longest));
    }
    rows.push(("bytes of the largest state".to_owned(), one("SELECT max(length(state)) FROM apps")));
    rows.push(("bytes of the mean decision".to_owned(), one("SELECT CAST(avg(length(before) + length(observation) + length(after)) AS INTEGER) FROM decisions")));
    rows
}
