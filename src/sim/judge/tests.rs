//! A judge that cannot speak is none: each is shown a course that went well, in which something is forged.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::decision::state::Outcome;
use crate::ids::IncidentId;
use crate::lab::{Action, Health, Release};
use crate::sim::course::{Course, Event};
use crate::sim::run::{Ordered, Quiet};
use crate::sim::told::{PUSHED, bad_release, course, told};

/// A bad release of two is rolled back, and that committed.
fn rolled_back() -> Course {
    let mut course = course(vec![(PUSHED, bad_release(0))]);
    (course.apps, course.modes) = (2, vec!["enforce", "enforce"]);
    course
}

/// The same on a platform that pins by a pause of pushes, where a restart is tried first.
fn elsewhere() -> Course {
    let kind = AppKind::sevalla(Source::PrivateGit);
    Course { kind, ..rolled_back() }
}

fn restarted() -> Course {
    Course { restart_first: true, ..rolled_back() }
}

/// What a judge said, if anything.
fn said(course: Course, forge: impl FnOnce(&mut Run), judge: impl FnOnce(&Run)) -> Option<String> {
    let mut run = told(course);
    forge(&mut run);
    let verdict = catch_unwind(AssertUnwindSafe(|| judge(&run)));
    let panic = verdict.err()?;
    let text = panic.downcast_ref::<String>().cloned();
    Some(text.or(panic.downcast_ref::<&str>().map(ToString::to_string)).expect("text"))
}

/// The place of the guard's last write of that kind.
fn place(entries: &[Entry], operation: Operation) -> usize {
    let is_it = |entry: &Entry| entry.who == Who::Guard && entry.operation == operation && entry.applied();
    entries.iter().rposition(is_it).unwrap_or_else(|| panic!("no {operation:?} in {entries:#?}"))
}

/// Changes the guard's last write of that kind.
fn alter(run: &Run, operation: Operation, change: impl FnOnce(&mut Entry)) {
    run.lab.forge(|entries| {
        let place = place(entries, operation);
        change(&mut entries[place]);
    });
}

/// Writes the guard's last write of that kind once more, so much later, with a change.
fn again(run: &Run, operation: Operation, after_ms: i64, change: impl FnOnce(&mut Entry)) {
    run.lab.forge(|entries| {
        let mut entry = entries[place(entries, operation)].clone();
        entry.at_ms += after_ms;
        entry.applied_ms = Some(entry.at_ms);
        change(&mut entry);
        entries.push(entry);
    });
}

/// The last entry accuses what was live then, as the journal has it.
fn accuses_what_is_live(run: &Run) {
    let last = run.lab.ledger().entries.pop().expect("an entry");
    let accused = last.active_before.expect("a live one");
    let another = crate::sim::disk::Request { accused, at_ms: last.at_ms, ..request(run) };
    lock(&run.disk.requests).push(another);
    lock(&run.wire.asked).push((run.shapes[0].id.clone(), last.at_ms - EPOCH_MS));
}

/// Whoever the last entry accuses gave bad answers just before.
fn answers_badly(run: &Run) {
    let last = run.lab.ledger().entries.pop().expect("an entry");
    let asked_ms = lock(&run.wire.asked).last().expect("asked for").1;
    let answers = (1..4).map(|n| (asked_ms - n * 1_000, false));
    lock(&run.wire.answers)
        .entry(last.active_before.clone().expect("a live one"))
        .or_default()
        .extend(answers);
}

fn request(run: &Run) -> crate::sim::disk::Request {
    lock(&run.disk.requests).last().cloned().expect("a request")
}

fn incident(run: &Run) -> IncidentId {
    request(run).incident.expect("an incident")
}

const CREATE: Operation = Operation::CreateRollback;
const COMMIT: Operation = Operation::CommitRollback;

type Told = fn() -> Course;
type Forge = fn(&mut Run);

/// The minute of the last write of that kind.
fn around(run: &Run, operation: Operation) -> (i64, i64) {
    let ledger = run.lab.ledger();
    let minute = (ledger.entries[place(&ledger.entries, operation)].at_ms - EPOCH_MS) / 60_000;
    (minute, minute + 1)
}

/// What is forged, and what has to be said of it.
const FORGED: &[(&str, Told, Forge)] = &[
    ("a rollback without a pin", rolled_back, |run| alter(run, CREATE, |entry| entry.skip_pin = true)),
    ("two rollbacks for one release", rolled_back, |run| again(run, CREATE, 40_000, |_| {})),
    ("two rollbacks for one release", rolled_back, |run| {
        // When the first one is live.
        again(run, CREATE, 40_000, |entry| entry.active_before.clone_from(&entry.deployment));
    }),
    ("a release with", rolled_back, |run| lock(&run.wire.answers).clear()),
    ("a release that has healed is rolled back", rolled_back, |run| {
        let asked_ms = lock(&run.wire.asked).last().expect("asked for").1;
        let answers = (0..30).map(|n| (asked_ms - 2_000 * n, n < 25)).collect();
        lock(&run.wire.answers).insert(request(run).accused, answers);
    }),
    ("is rolled back, and", rolled_back, |run| {
        lock(&run.disk.requests).last_mut().expect("a request").accused = "another".to_owned();
    }),
    ("a target that was never live, or is the accused", rolled_back, |run| {
        alter(run, CREATE, |entry| entry.target.clone_from(&entry.active_before));
    }),
    ("a rollback or restart while something else is being deployed", rolled_back, |run| {
        alter(run, CREATE, |entry| entry.in_progress_before.clone_from(&entry.active_before));
    }),
    ("back to a release that was rolled back from", rolled_back, |run| {
        again(run, CREATE, 40_000, |entry| std::mem::swap(&mut entry.target, &mut entry.active_before));
        accuses_what_is_live(run);
        answers_badly(run);
    }),
    ("a pin is settled that is not ours", rolled_back, |run| {
        alter(run, CREATE, |entry| entry.who = Who::Person);
        lock(&run.disk.requests).clear();
    }),
    ("a pin is settled that is not ours", rolled_back, |run| {
        let at_ms =
            run.lab.ledger().entries.iter().find(|entry| entry.operation == COMMIT).expect("a commit").at_ms;
        run.lost_ms.push(at_ms - EPOCH_MS - 1_000);
    }),
    ("a rollback is kept after", rolled_back, |run| alter(run, COMMIT, |entry| entry.at_ms -= 2_000)),
    ("a rollback is undone after", rolled_back, |run| {
        alter(run, COMMIT, |entry| entry.operation = Operation::RevertRollback);
    }),
    ("a write in a freeze window", rolled_back, |run| run.course.frozen = Some(around(run, CREATE))),
    ("a write in a freeze window", rolled_back, |run| run.course.frozen = Some(around(run, COMMIT))),
    ("decided otherwise", rolled_back, |run| run.differing.push("an incident".to_owned())),
    ("what is settled is settled once more", rolled_back, |run| {
        again(run, COMMIT, 1_000, |entry| entry.pinned_before = None);
    }),
    ("a rollback although somebody else has pinned the app", rolled_back, |run| {
        alter(run, CREATE, |entry| entry.pinned_before.clone_from(&entry.target));
    }),
    ("a rollback is rolled back", person_rolled_back, |run| {
        let entries = run.lab.ledger().entries;
        let rollback = entries.iter().find(|entry| entry.who == Who::Person && entry.operation == CREATE);
        let made = rollback.and_then(|entry| entry.deployment.clone());
        again(run, CREATE, 120_000, |entry| entry.active_before = made);
        accuses_what_is_live(run);
        answers_badly(run);
    }),
    ("a rollback is rolled back", rolled_back, |run| {
        again(run, CREATE, 50_000, |entry| entry.active_before.clone_from(&entry.deployment));
        accuses_what_is_live(run);
        answers_badly(run);
    }),
    ("a write while paused", rolled_back, |run| run.quiet.push(Quiet::of(Some(0), 0, true, "paused"))),
    ("a write while not configured", rolled_back, |run| run.quiet.push(Quiet::of(Some(0), 0, true, LEFT))),
    ("more rollbacks than the budget has", rolled_back, |run| run.course.budget = 0),
    ("a rollback within the cooldown", rolled_back, |run| {
        again(run, CREATE, 20_000, |entry| entry.active_before = Some("another".to_owned()));
        accuses_what_is_live(run);
    }),
    ("a rollback without a yes", rolled_back, |run| run.modes = vec![(0, 0, "approve")]),
    ("a rollback after a no", rolled_back, |run| {
        let sent =
            run.lab.ledger().entries.iter().find(|entry| entry.operation == CREATE).map(|entry| entry.at_ms);
        let at_ms = sent.expect("a rollback") - EPOCH_MS - 1;
        let (said, incident) = (Request::Reject, incident(run));
        run.words.push(Word { app: 0, at_ms, said, incident, heard: Heard::Durably });
    }),
    ("more apps at once than the storm breaker lets", rolled_back, |run| {
        for app in ["a", "b", "c"] {
            again(run, CREATE, 1_000, |entry| entry.app = app.to_owned());
        }
    }),
    ("sent again without a read", rolled_back, |run| lock(&run.wire.repeated).push("a write".to_owned())),
    ("writes that the journal does not have", rolled_back, |run| {
        lock(&run.wire.unannounced).push("a write".to_owned());
    }),
    ("the token stands in", rolled_back, |run| {
        std::fs::write(run.disk.file.with_extension("db-wal"), GUARD_TOKEN).expect("written");
    }),
    ("a task panicked", rolled_back, |_| drop(catch_unwind(|| panic!("a task")))),
    ("is accused with", rolled_back, |run| run.accused.push("nobody".to_owned())),
    ("an order that nobody gave", rolled_back, |run| {
        lock(&run.disk.requests).last_mut().expect("a request").ordered = Some(None);
    }),
    ("an order goes to something else than was named", rolled_back, |run| {
        order(run);
        lock(&run.disk.requests).last_mut().expect("a request").ordered = Some(Some("named".to_owned()));
        run.orders[0].said = Request::Rollback { to: Some("named".into()), accept: Default::default() };
    }),
    ("the order to revert ended as committed", rolled_back, |run| {
        let incident = incident(run);
        run.orders.push(Ordered {
            app: 0,
            at_ms: 0,
            said: Request::Revert,
            incident: Some(incident.clone()),
        });
        run.outcomes.insert(incident, Outcome::Committed);
    }),
    ("and counts as a success", rolled_back, |run| {
        let mut requests = lock(&run.disk.requests);
        let request = requests.last_mut().expect("a request");
        request.target.clone_from(&request.accused);
    }),
    ("pushes are let go that a person paused", elsewhere, |run| {
        let paused = |entry: &mut Entry| entry.who = Who::Person;
        run.lab.forge(|entries| {
            let pause = entries.iter_mut().find(|entry| entry.auto_deploy == Some(false)).expect("a pause");
            paused(pause);
        });
        lock(&run.disk.pauses).clear();
    }),
    ("a release is restarted twice", restarted, |run| again(run, Operation::Restart, 40_000, |_| {})),
];

fn person_rolled_back() -> Course {
    let mut course = rolled_back();
    course.length_ms = 300_000;
    course.events.push((PUSHED + 60_000, Event::Push(0, Box::new(Release::good("v3")))));
    let back = Action::Rollback { to: None, skip_pin: false };
    course.events.push((PUSHED + 80_000, Event::Person(0, back)));
    course.events.push((PUSHED + 100_000, Event::Health(0, Health::Good)));
    course
}

/// A person ordered what was done.
fn order(run: &mut Run) {
    let (said, incident) = (Request::Rollback { to: None, accept: Default::default() }, incident(run));
    lock(&run.disk.requests).last_mut().expect("a request").ordered = Some(None);
    run.orders.push(Ordered { app: 0, at_ms: 0, said, incident: Some(incident) });
}

#[test]
fn each_judge_of_a_whole_course_notices_what_is_forged() {
    for (expected, course, forge) in FORGED {
        let said =
            said(course(), forge, whole).unwrap_or_else(|| panic!("nothing is said of it: {expected}"));
        let told = said.lines().next().unwrap_or_default();
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn an_order_that_is_carried_out_twice_is_noticed() {
    let twice = |run: &mut Run| {
        order(run);
        again(run, CREATE, 40_000, |_| {});
    };
    let said = said(rolled_back(), twice, |run| orders::each_was_given_and_heeded(run, 0)).expect("said");
    assert!(said.starts_with("two rollbacks for one order"), "{said}");
}

#[test]
fn a_pin_and_a_pause_that_nobody_was_told_of_are_forgotten() {
    // Its commit did not happen, for all that the platform shows.
    for (course, expected) in [(rolled_back(), "a pin is forgotten"), (elsewhere(), "pushes stay paused")] {
        // The rolled-back app is not healthy either, so that it is held.
        let mut course = course;
        course.events.push((PUSHED + 14_000, Event::Health(0, Health::Bad { status: 500 })));
        let judge = |run: &Run| {
            let mut statuses: Vec<AppStatus> = run.last.iter().map(|(status, _)| status.clone()).collect();
            for status in &mut statuses {
                (status.state, status.paused) = ("steady".into(), false);
            }
            // Long after it came about.
            run.machine.sleeps(std::time::Duration::from_secs(600));
            no_pin_is_forgotten(run, &statuses);
        };
        let said = said(course, |_| {}, judge).unwrap_or_else(|| panic!("nothing is said: {expected}"));
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn a_bad_release_that_stays_or_goes_late_is_noticed() {
    let bad = |run: &Run| lock(&run.disk.requests)[0].accused.clone();
    let table: [(&str, Forge); 2] = [
        ("a bad release in quiet times is not rolled back", |run| run.lab.forge(Vec::clear)),
        ("ms after it was live", |run| alter(run, CREATE, |entry| entry.at_ms += 100_000)),
    ];
    for (expected, forge) in table {
        let said = said(rolled_back(), forge, |run| was_rolled_back(run, 0, &bad(run)));
        let said = said.unwrap_or_else(|| panic!("nothing is said: {expected}"));
        assert!(said.lines().next().is_some_and(|told| told.contains(expected)), "{expected}: {said}");
    }
}
