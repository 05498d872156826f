//! The promises, judged from the platform's ledger and the journal's file.

use std::collections::BTreeMap;
use std::path::Path;

use rearguard::lab::{Entry, Lab, Ledger, Operation, Who};
use rusqlite::Connection;

use crate::course::Course;
use crate::world::{APP, World};

/// The journal's words for the platform's calls.
const WRITES: [&str; 6] = ["create_rollback", "commit", "revert", "restart", "pin", "unpin"];

/// The requests of one kind that arrived.
pub(crate) fn sent<'a>(ledger: &'a Ledger, word: &str) -> Vec<&'a Entry> {
    let (operation, auto_deploy) = match word {
        "create_rollback" => (Operation::CreateRollback, None),
        "commit" => (Operation::CommitRollback, None),
        "revert" => (Operation::RevertRollback, None),
        "restart" => (Operation::Restart, None),
        "pin" => (Operation::SetAutoDeploy, Some(false)),
        "unpin" => (Operation::SetAutoDeploy, Some(true)),
        word => panic!("no call is named {word}"),
    };
    let all = ledger.received(operation, APP).into_iter();
    all.filter(|entry| auto_deploy.is_none() || entry.auto_deploy == auto_deploy).collect()
}

/// What a process that ended has left: the file is sound, and has an intent for everything that was sent. Judged from
/// a copy, since looking at the file itself would change what the next process finds.
pub(crate) fn of_a_wreck(world: &World) -> Vec<String> {
    let copy = world.path("copy");
    let _ = std::fs::remove_dir_all(&copy);
    std::fs::create_dir(&copy).unwrap();
    for name in ["rearguard.db", "rearguard.db-wal"] {
        if world.path(name).exists() {
            std::fs::copy(world.path(name), copy.join(name)).unwrap();
        }
    }
    of_the_file(world, &copy.join("rearguard.db"))
}

fn of_the_file(world: &World, file: &Path) -> Vec<String> {
    if !file.exists() {
        return unintended(&world.lab, &BTreeMap::new());
    }
    let journal = Connection::open(file).unwrap();
    let verdict: String = journal
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap_or_else(|error| error.to_string());
    if verdict != "ok" {
        return vec![format!("the journal is damaged: {verdict}")];
    }
    unintended(&world.lab, &intents(&journal))
}

/// How many intents of each call a journal has.
pub(crate) fn intents(journal: &Connection) -> BTreeMap<String, Vec<i64>> {
    let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let sql = "SELECT json_extract(effect, '$.call'), opened_at FROM effects ORDER BY id";
    // A file that was left before its tables were made has none.
    let Ok(mut rows) = journal.prepare(sql) else { return found };
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    for row in rows {
        let (call, at): (String, i64) = row.unwrap();
        found.entry(call).or_default().push(at);
    }
    found
}

/// [I1] Nothing reaches the platform without an intent in the journal's file, written before.
pub(crate) fn unintended(lab: &Lab, intents: &BTreeMap<String, Vec<i64>>) -> Vec<String> {
    let ledger = lab.ledger();
    // The lab reads the wall clock once, at its start, and on a busy machine begins to count a while later.
    let lab_is_late_ms = jiff::Timestamp::now().as_millisecond() - lab.now_ms();
    let mut broken = Vec::new();
    for word in WRITES {
        let intended = intents.get(word).map_or(&[][..], Vec::as_slice);
        for (nth, sent) in sent(&ledger, word).into_iter().enumerate() {
            match intended.get(nth) {
                None => broken.push(format!("{word} was sent without an intent in the journal")),
                // Both are cut to the millisecond.
                Some(at) if *at > sent.at_ms + lab_is_late_ms + 2 => {
                    broken.push(format!("{word} was sent before its intent"))
                }
                Some(_) => {}
            }
        }
    }
    broken
}

/// What was deployed in a course.
pub(crate) struct Cast {
    pub(crate) good: String,
    pub(crate) bad: String,
}

/// What has to hold when everything has come to its end. `lost`: the call that never came to anything, if one was lost.
pub(crate) fn of_the_end(
    world: &World,
    course: Course,
    cast: &Cast,
    lost: Option<Operation>,
    is_held: bool,
) -> Vec<String> {
    let file = world.path("rearguard.db");
    let mut broken = of_the_file(world, &file);
    broken.extend(numbers(&world.lab.ledger(), course, lost, is_held));
    broken.extend(writes(&world.lab.ledger(), course, cast));
    broken.extend(app(world, course, is_held));
    broken.extend(rows(&Connection::open(file).unwrap(), cast));
    broken
}

fn unless(is_so: bool, what: impl FnOnce() -> String) -> Option<String> {
    (!is_so).then(what)
}

/// [I3, I4] Each call is carried out once, and sent again only where it was lost. That pushes are paused or let go can be
/// asked for twice without harm.
fn numbers(ledger: &Ledger, course: Course, lost: Option<Operation>, is_held: bool) -> Vec<String> {
    let mut broken = Vec::new();
    for word in WRITES {
        let all = sent(ledger, word);
        let (sent, applied) = (all.len(), all.iter().filter(|entry| entry.applied()).count());
        if matches!(word, "pin" | "unpin") && course == Course::Paused {
            broken.extend(unless(applied > 0, || format!("{word} was never applied")));
            continue;
        }
        if word == "restart" {
            // It is no part of the promise that there is one: where it was lost, the rollback comes without.
            let allowed = usize::from(course == Course::Restarted);
            broken.extend(unless(sent <= allowed, || format!("{word} was sent {sent} times, not {allowed}")));
            continue;
        }
        let is_create = word == "create_rollback";
        let wanted = usize::from(is_create || word == course.settled_by());
        let is_lost = all.first().is_some_and(|entry| lost == Some(entry.operation));
        let lost = usize::from(is_lost) + if is_create { course.requests_lost() } else { 0 };
        broken.extend(unless(applied == wanted || is_held && applied == 0, || {
            format!("{word} was applied {applied} times, not {wanted}")
        }));
        broken.extend(unless(sent <= wanted + lost, || {
            format!("{word} was sent {sent} times, and {lost} of them were lost")
        }));
    }
    broken
}

/// [I5, I6, I7, I10] What was asked for was right each time.
fn writes(ledger: &Ledger, course: Course, cast: &Cast) -> Vec<String> {
    let pin = made(ledger);
    // The release, or the same once more.
    let restarted =
        ledger.applied(Operation::Restart, APP).into_iter().filter_map(|entry| entry.deployment.as_ref());
    let accused: Vec<&String> = restarted.chain([&cast.bad]).collect();
    let is_accused = |live: &Option<String>| live.as_ref().is_some_and(|live| accused.contains(&live));
    let is_right = |entry: &Entry| match entry.operation {
        Operation::CreateRollback => {
            // What never came to anything has no target where the platform picks it.
            let is_picked = course == Course::Paused && entry.applied_ms.is_none();
            !entry.skip_pin
                && (is_picked || entry.target.as_ref() == Some(&cast.good))
                && is_accused(&entry.active_before)
        }
        Operation::Restart => entry.active_before.as_ref() == Some(&cast.bad),
        Operation::CommitRollback | Operation::RevertRollback => pin.is_some() && entry.pinned_before == pin,
        Operation::SetAutoDeploy => course == Course::Paused,
        _ => false,
    };
    let ours = ledger.by(Who::Guard).into_iter();
    ours.filter(|entry| !is_right(entry)).map(|entry| format!("a wrong write: {entry:?}")).collect()
}

/// The deployment that our rollback made.
fn made(ledger: &Ledger) -> Option<String> {
    let applied = ledger.applied(Operation::CreateRollback, APP);
    applied.into_iter().find_map(|entry| entry.deployment.clone())
}

/// [I9] The app runs what it should, and its pin is gone.
fn app(world: &World, course: Course, is_held: bool) -> Vec<String> {
    let app = world.lab.app(APP).unwrap();
    let is_rollback = course == Course::Reverted || app.active == made(&world.lab.ledger());
    let is_version = app.version.as_deref() == Some(course.version());
    [
        unless(app.pinned.is_none(), || format!("a pin is forgotten: {:?}", app.pinned)),
        unless(app.auto_deploy != Some(false), || "pushes stay paused".to_owned()),
        unless(is_held || is_version && is_rollback, || {
            format!("{:?} is live as {:?}", app.version, app.active)
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The calls that wait for their answer.
const OWED: &str =
    "SELECT count(*) FROM effects WHERE answer IS NULL AND json_extract(effect, '$.call') <> 'validate'";

/// How many there are.
pub(crate) fn owed(file: &Path) -> i64 {
    Connection::open(file).unwrap().query_row(OWED, [], |row| row.get(0)).unwrap()
}

/// [I26] Nothing is owed any more, and the release had one incident.
fn rows(journal: &Connection, cast: &Cast) -> Vec<String> {
    let count = |sql: &str, parameters: &[&str]| -> i64 {
        journal.query_row(sql, rusqlite::params_from_iter(parameters), |row| row.get(0)).unwrap()
    };
    let accusing = "SELECT count(*) FROM incidents WHERE json_extract(record, '$.bad_deployment') = ?1";
    let (owed, incidents) = (count(OWED, &[]), count(accusing, &[&cast.bad]));
    [
        unless(owed == 0, || format!("{owed} calls are owed at the end")),
        unless(incidents == 1, || format!("{incidents} incidents of one release")),
    ]
    .into_iter()
    .flatten()
    .collect()
}
