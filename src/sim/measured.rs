//! Courses in which the platform itself measures the app: restarts since the release went live.

use super::course::{Course, Event};
use super::run::{Run, through};
use super::told::{PUSHED, calls, course, told};
use crate::lab::{Fault, InstanceNames, Kind, Operation, Release, Target, Unknowns, Vitals};

/// Restarts, four times as often as a poll.
const RESTARTS: &str = "{ name: restarts, watch_period: 2500ms, burst: 2500ms, timeout: 2s, platform: { figure: restart_count, at_most: 0, max_age: 30s } }";

/// What a rule makes of them at once.
const AT_ONCE: &str = "[{ name: down, probe: home, consecutive_failures: 3 }, { name: crashes, probe: restarts, consecutive_failures: 1 }]";

fn measured(events: Vec<(i64, Event)>) -> Course {
    let unknowns =
        Unknowns { measured_every_ms: 100, instance_names: InstanceNames::New, ..Unknowns::default() };
    Course { rules: AT_ONCE, other_probe: Some(RESTARTS), unknowns, ..course(events) }
}

/// A release whose page is well, and which dies each time so much has passed.
fn dying(version: &str, restarts_every_ms: u64) -> Event {
    let vitals = Vitals { restarts_every_ms: Some(restarts_every_ms), ..Vitals::default() };
    Event::Push(0, Box::new(Release { vitals, ..Release::good(version) }))
}

/// Not judged as a whole: there, only what pages answered speaks for or against a release.
fn lived(mut course: Course) -> Run {
    course.events.sort_by_key(|(at, _)| *at);
    through(course, 1, false)
}

#[test]
fn a_release_that_is_started_again_and_again_is_gone() {
    let run = lived(measured(vec![(PUSHED, dying("v2", 4_000))]));
    assert_eq!(calls(&run, 0), [Operation::CreateRollback, Operation::CommitRollback]);
}

#[test]
fn a_platform_that_does_not_say_leaves_the_release_alone() {
    let refused = Kind::Status { code: 403, applied: false };
    let fault = Fault::on(Target::Call(Operation::GetMetrics), refused);
    let run = told(measured(vec![(0, Event::Fault(Box::new(fault))), (PUSHED, dying("v2", 4_000))]));
    assert!(run.lab.ledger().calls(Operation::GetMetrics) > 10);
    assert_eq!(calls(&run, 0), []);
}

/// Whenever the next release comes: what was measured of the one before until that was noticed speaks against nobody.
#[test]
fn what_was_measured_of_one_release_is_not_held_against_the_next() {
    let mut overtaken = 0;
    for after in (0..5_000).step_by(250) {
        // It is live three seconds after it was pushed, and dies for the first time half a minute later.
        let next = PUSHED + 30_000 + after;
        let good = Event::Push(0, Box::new(Release::good("v3")));
        let run = lived(measured(vec![(PUSHED, dying("v2", 30_000)), (next, good)]));
        let entries = run.lab.ledger().entries;
        let v3 = run.lab.app(&run.shapes[0].site).expect("the app");
        // A push that comes after the rollback is refused.
        let Some(v3) = v3.deployments.iter().find(|row| row.release.version == "v3") else { continue };
        overtaken += 1;
        let accused = entries.iter().any(|entry| {
            entry.operation == Operation::CreateRollback && entry.active_before.as_ref() == Some(&v3.id)
        });
        assert!(!accused, "pushed {after} ms later: {}", run.story());
    }
    assert!(overtaken > 10, "{overtaken}");
}
