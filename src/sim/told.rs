//! Courses that are told instead of drawn: what the daemon does where its journal fails or a process ends at a certain
//! step, in figures that chance would blur.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tracing::Level;

use super::course::{Course, Event, RULES};
use super::disk::Trouble;
use super::judge;
use super::machine::{Passage, Point, lock};
use super::run::{Run, through};
use crate::decision::effect::Verb;
use crate::decision::observation::Request;
use crate::journal::{IncidentQuery, Journal, SqliteJournal};
use crate::lab::{AppKind, Durations, Fate, Fault, Health, Kind, Operation, Release, Target, Unknowns, Who};

/// When the bad release is pushed: `v1` was seen to be good by then.
pub(super) const PUSHED: i64 = 90_000;

pub(super) fn course(events: Vec<(i64, Event)>) -> Course {
    Course {
        kind: AppKind::DigitalOcean,
        apps: 1,
        modes: vec!["enforce"],
        rules: RULES[0],
        on_unhealthy: "hold",
        migrations: "hold",
        budget: 12,
        has_controls: true,
        pace: ("2s", "1s"),
        unknowns: Unknowns::default(),
        durations: Durations { pending_ms: 100, build_ms: 2_000, deploy_ms: 1_000, rollback_ms: 2_000 },
        revision_limit: 10,
        poll: "10s",
        events,
        length_ms: 240_000,
        is_liveness: false,
        restart_first: false,
        other_probe: None,
        is_endless: false,
        frozen: None,
        setting: None,
    }
}

pub(super) fn told(mut course: Course) -> Run {
    course.events.sort_by_key(|(at, _)| *at);
    let run = through(course, 1, false);
    judge::whole(&run);
    run
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As [`told`], with what it logs.
pub(super) fn logged(course: Course) -> (Run, String) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false);
    let subscriber = subscriber.with_writer(move || writer.clone()).finish();
    let run = tracing::subscriber::with_default(subscriber, || {
        // A place that logs for the first time while another test begins may be taken for one that nobody listens to.
        told(course.clone());
        tracing::callsite::rebuild_interest_cache();
        lock(&log.0).clear();
        told(course)
    });
    let text = String::from_utf8(lock(&log.0).clone()).expect("text");
    (run, text)
}

/// As [`told`], with what it logs, down to what is for the curious alone. A line may be missing where another test begins
/// to log at the same moment.
pub(super) fn overheard(course: Course) -> (Run, String) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false).with_max_level(Level::DEBUG);
    let subscriber = subscriber.with_writer(move || writer.clone()).finish();
    let run = tracing::subscriber::with_default(subscriber, || told(course));
    let text = String::from_utf8(lock(&log.0).clone()).expect("text");
    (run, text)
}

pub(super) fn bad_release(app: usize) -> Event {
    Event::Push(app, Box::new(Release::bad("v2")))
}

/// Once the so-many-th call was sent, its answer being on the way.
fn sent(nth: u32) -> Passage {
    Passage { point: Point::AfterSending, nth, then: None }
}

/// What the guard asked of an app and the platform did.
pub(super) fn calls(run: &Run, app: usize) -> Vec<Operation> {
    let site = &run.shapes[app].site;
    let entries = run.lab.ledger().entries.into_iter();
    let ours = entries.filter(|entry| entry.who == Who::Guard && entry.app == *site && entry.applied());
    ours.map(|entry| entry.operation).filter(|operation| !operation.is_read()).collect()
}

const ROLLED_BACK: [Operation; 2] = [Operation::CreateRollback, Operation::CommitRollback];

pub(super) fn opened(run: &Run) -> (SqliteJournal, Runtime) {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    (SqliteJournal::inline(&run.disk.file), runtime)
}

/// What the incidents have to tell.
pub(super) fn timelines(run: &Run) -> Vec<String> {
    let (journal, runtime) = opened(run);
    let mut lines = Vec::new();
    for record in runtime.block_on(journal.incidents(IncidentQuery::default())).expect("incidents") {
        let found = runtime.block_on(journal.incident(&record.id)).expect("an incident");
        lines.extend(found.into_iter().flat_map(|(_, timeline)| timeline).map(|entry| entry.text));
    }
    lines
}

fn tells(run: &Run, words: &str) -> bool {
    timelines(run).iter().any(|line| line.contains(words))
}

#[test]
fn a_bad_release_is_gone_and_its_rollback_committed() {
    let (run, log) = logged(course(vec![(PUSHED, bad_release(0))]));
    assert_eq!(calls(&run, 0), ROLLED_BACK);
    assert!(tells(&run, "the platform started deployment") && !tells(&run, "no conclusive answer"));
    // What is written down of it, for people and for running it again.
    let (journal, runtime) = opened(&run);
    let [record] = &runtime.block_on(journal.incidents(IncidentQuery::default())).expect("read")[..] else {
        panic!("not one incident")
    };
    assert!(
        record.time_to_detect_seconds.is_some_and(|seconds| (0.5..10.0).contains(&seconds)),
        "{record:?}"
    );
    assert!(
        record.time_to_restore_seconds.is_some_and(|seconds| (2.0..20.0).contains(&seconds)),
        "{record:?}"
    );
    let closed_after = record.closed_at.map(|at| at.duration_since(record.opened_at).as_secs());
    assert!(closed_after.is_some_and(|seconds| (20..60).contains(&seconds)), "{record:?}");
    let decisions = runtime.block_on(journal.decisions(&record.id)).expect("read");
    drop(journal);
    assert_eq!(
        decisions.iter().map(|decision| decision.verb).collect::<Vec<_>>(),
        [Verb::Rollback, Verb::Commit]
    );
    // What is counted.
    let figures = &run.scraped;
    for line in [
        r#"rearguard_decisions_total{app="app-0",decision="rollback",reason="rule_fired"} 1"#,
        r#"rearguard_decisions_total{app="app-0",decision="commit",reason="soak_healthy"} 1"#,
        r#"rearguard_incidents_total{app="app-0",outcome="committed"} 1"#,
        r#"rearguard_rollbacks_total{app="app-0",outcome="committed"} 1"#,
        "rearguard_time_to_detect_seconds_count 1",
        "rearguard_time_to_restore_seconds_count 1",
        "rearguard_journal_writable 1",
    ] {
        assert!(figures.lines().any(|found| found == line), "{line}\n{figures}");
    }
    // What is logged: a line a transition, and the story.
    let word = |line: &str, key: &str| {
        let text = line.split_once(&format!(" {key}=\"")).expect("a word").1;
        text.split('"').next().unwrap_or_default().to_owned()
    };
    let transitions: Vec<String> = log
        .lines()
        .filter(|line| line.contains(" transition app=") && !line.contains(r#"incident="""#))
        .map(|line| format!("{} {}", word(line, "from"), word(line, "to")))
        .collect();
    let expected = [
        "watching validating",
        "validating rolling_back",
        "rolling_back rolling_back",
        "rolling_back soaking",
        "soaking soaking",
        "soaking committing",
        "committing steady",
    ];
    assert_eq!(transitions, expected, "{log}");
    assert!(timelines(&run).iter().all(|line| log.contains(line)), "{log}");
}

#[test]
fn what_changes_nothing_that_is_seen_is_not_logged() {
    // The predecessor was bad, which the state remembers until it is good again.
    let events = vec![
        (PUSHED, Event::Health(0, Health::Bad { status: 500 })),
        (PUSHED + 20_000, Event::Push(0, Box::new(Release::good("v2")))),
        (PUSHED + 26_000, Event::Health(0, Health::Good)),
    ];
    let (_, log) = logged(course(events));
    assert!(log.contains(r#"from="steady" to="watching""#), "{log}");
    assert!(!log.contains(r#"from="watching" to="watching""#), "{log}");
}

#[test]
fn a_wait_is_counted_once() {
    let mut approve = course(vec![(PUSHED, bad_release(0))]);
    approve.modes = vec!["approve"];
    let mut under_way = course(vec![(PUSHED, bad_release(0))]);
    let stuck = Release { build: Fate::Sticks, ..Release::good("v3") };
    under_way.events.push((PUSHED + 3_000, Event::Push(0, Box::new(stuck))));
    for (course, reason) in [(approve, "awaiting_approval"), (under_way, "in_progress")] {
        let figures = told(course).scraped;
        let line = format!(r#"rearguard_decisions_total{{app="app-0",decision="wait",reason="{reason}"}} 1"#);
        assert!(figures.lines().any(|found| found == line), "{line}\n{figures}");
    }
}

#[test]
fn a_journal_that_fails_says_so_once_and_once_that_it_works_again() {
    let fails = "nothing is done until the journal works again";
    let events = vec![(80_000, Event::Disk(Trouble::Full)), (PUSHED, bad_release(0))];
    let (run, log) = logged(course(events.clone()));
    assert_eq!((calls(&run, 0), log.matches(fails).count()), (vec![], 1), "{log}");
    assert!(run.scraped.lines().any(|line| line == "rearguard_journal_writable 0"));
    let (run, log) = logged(course([events, vec![(PUSHED + 30_000, Event::Disk(Trouble::None))]].concat()));
    assert_eq!((calls(&run, 0), log.matches(fails).count()), (ROLLED_BACK.to_vec(), 1), "{log}");
    assert_eq!(log.matches("the journal works again\n").count(), 1, "{log}");
}

#[test]
fn an_answer_that_the_journal_did_not_take_is_decided_on_again_when_it_does() {
    for trouble in [Trouble::Full, Trouble::Dead] {
        let run = told(course(vec![
            (PUSHED, bad_release(0)),
            (PUSHED, Event::Meets(sent(2), vec![Event::Disk(trouble)])),
            (PUSHED + 40_000, Event::Disk(Trouble::None)),
        ]));
        assert_eq!(calls(&run, 0), ROLLED_BACK, "{trouble:?}");
        assert!(tells(&run, "the platform started deployment"), "{:#?}", timelines(&run));
        assert!(!tells(&run, "no conclusive answer"), "{:#?}", timelines(&run));
    }
}

#[test]
fn a_process_that_finds_a_call_without_an_answer_looks_for_it() {
    let dies = Event::Dies(sent(2));
    let run = told(course(vec![(PUSHED, bad_release(0)), (PUSHED, dies)]));
    assert_eq!((calls(&run, 0), run.lives), (ROLLED_BACK.to_vec(), 2));
    assert!(tells(&run, "create_rollback was applied after all"), "{:#?}", timelines(&run));
}

#[test]
fn slow_reads_do_not_keep_a_call_from_being_sent() {
    let slow = Fault::on(Target::Call(Operation::GetApp), Kind::Delay { ms: 4_000 });
    let run = told(course(vec![(PUSHED, bad_release(0)), (PUSHED, Event::Fault(Box::new(slow)))]));
    assert_eq!(calls(&run, 0), ROLLED_BACK);
}

#[test]
fn a_look_that_fails_is_not_repeated_with_every_sample() {
    let broken = Fault::on(Target::Call(Operation::GetApp), Kind::Status { code: 500, applied: false });
    let mut course = course(vec![(PUSHED, bad_release(0)), (PUSHED, Event::Fault(Box::new(broken)))]);
    (course.pace, course.length_ms) = (("500ms", "150ms"), PUSHED + 50_000);
    let run = told(course);
    assert_eq!(calls(&run, 0), []);
    let looks = run.wire.looks.load(Ordering::Relaxed);
    // Soon at first, then every three seconds for about 40, with what else is read in that time.
    assert!((30..70).contains(&looks), "{looks} reads");
}

/// The journal cannot be read when the process begins, from 65 s on, and can from 125 s on.
fn begins_blind(then: Vec<(i64, Event)>) -> Run {
    let blind = [
        (65_000, Event::Disk(Trouble::Dead)),
        (65_001, Event::Killed),
        (125_000, Event::Disk(Trouble::None)),
    ];
    told(course(blind.into_iter().chain(then).collect()))
}

#[test]
fn a_journal_that_cannot_be_read_is_tried_every_second() {
    let without = told(course(Vec::new())).disk.reads.load(Ordering::Relaxed);
    let reads = begins_blind(Vec::new()).disk.reads.load(Ordering::Relaxed) - without;
    // Each try, and what is read once it works.
    assert!((60..90).contains(&reads), "{reads} reads in a minute");
}

#[test]
fn who_is_paused_is_known_before_anything_is_done() {
    let release = (140_000, bad_release(0));
    let run = begins_blind(vec![release.clone()]);
    assert_eq!((calls(&run, 0), run.lives), (ROLLED_BACK.to_vec(), 2));
    // Nobody wakes at the very moment at which the next try is due.
    let run = begins_blind(vec![(100_500, Event::Sleeps(Duration::from_secs(5))), release.clone()]);
    assert_eq!(calls(&run, 0), ROLLED_BACK);
    let run = begins_blind(vec![(60_000, Event::Pause(Some(0), true)), release]);
    assert_eq!(calls(&run, 0), []);
    assert!(run.incidents.contains_key("refused"), "{:?}", run.incidents);
}

#[test]
fn a_process_that_began_at_a_wrong_time_begins_again_once_the_journal_says_so() {
    let run = begins_blind(vec![(64_000, Event::Wall(3_600_000)), (140_000, bad_release(0))]);
    assert_eq!((calls(&run, 0), run.lives), (ROLLED_BACK.to_vec(), 3));
    // A clock that is slewed is not wrong.
    let run = begins_blind(vec![(64_000, Event::Wall(2_000))]);
    assert_eq!(run.lives, 2);
}

#[test]
fn what_observe_mode_wanted_counts_for_the_storm_breaker_and_what_was_refused_does_not() {
    let releases = |modes: [&'static str; 3]| {
        let mut course = course(vec![
            (PUSHED, bad_release(0)),
            (PUSHED, bad_release(1)),
            (PUSHED + 15_000, bad_release(2)),
        ]);
        (course.apps, course.modes) = (3, modes.to_vec());
        course
    };
    let run = told(releases(["observe", "observe", "enforce"]));
    assert_eq!(calls(&run, 2), []);
    assert!(tells(&run, "(storm)"), "{:#?}", timelines(&run));
    let mut paused = releases(["enforce", "enforce", "enforce"]);
    paused.events.extend([0, 1].map(|app| (PUSHED - 1_000, Event::Pause(Some(app), true))));
    let run = told(paused);
    assert_eq!((calls(&run, 0), calls(&run, 1), calls(&run, 2)), (vec![], vec![], ROLLED_BACK.to_vec()));
}

#[test]
fn the_end_of_a_pause_does_not_take_over_a_pin_that_is_held_because_of_it() {
    let woken = PUSHED + 960_000;
    let run = told(Course {
        length_ms: 1_200_000,
        ..course(vec![
            (PUSHED, bad_release(0)),
            (PUSHED + 18_000, Event::Pause(Some(0), true)),
            // Nobody can tell how the rolled-back app is.
            (PUSHED + 20_000, Event::SitesCutOff(true)),
            (PUSHED + 60_000, Event::Sleeps(Duration::from_secs(900))),
            // The soak is given up at the same moment.
            (woken, Event::Pause(Some(0), false)),
            (woken + 60_000, Event::SitesCutOff(false)),
        ])
    });
    assert!(tells(&run, "(soak_unknown)"), "{:#?}", timelines(&run));
    assert_eq!(calls(&run, 0), ROLLED_BACK[..1]);
}

#[test]
fn a_hold_is_ended_by_a_word_for_it_and_by_no_other() {
    let held = |words: Vec<(i64, Event)>| {
        let mut events = vec![(PUSHED, bad_release(0))];
        // The rolled-back app is not healthy either.
        events.push((PUSHED + 14_000, Event::Health(0, Health::Bad { status: 500 })));
        events.extend(words);
        let run = told(course(events));
        // What `explain` shows of it: what was expected, and what came of it, with the good samples before it failed again.
        for told in [
            "(soak_unhealthy)",
            "going back is expected to take ",
            "100 % to 37.5 %; expected was at most 1 %",
        ] {
            assert!(tells(&run, told), "{told}: {:#?}", timelines(&run));
        }
        run.taken_over.len()
    };
    let (all, app) = (|paused| Event::Pause(None, paused), |paused| Event::Pause(Some(0), paused));
    assert_eq!(held(vec![(PUSHED + 90_000, all(true)), (PUSHED + 92_000, all(false))]), 0);
    assert_eq!(held(vec![(PUSHED + 90_000, app(true)), (PUSHED + 92_000, app(false))]), 0);
    assert_eq!(held(vec![(PUSHED + 90_000, app(false))]), 1);
}

#[test]
fn a_no_stands_for_the_release_that_it_was_said_of_and_for_no_newer_one() {
    let asked = |length_ms, mut events: Vec<(i64, Event)>| {
        events.push((PUSHED, bad_release(0)));
        let run = told(Course { modes: vec!["approve"], length_ms, ..course(events) });
        assert!(tells(&run, "(rejected)"), "{:#?}", timelines(&run));
        calls(&run, 0)
    };
    let (no, yes) = (Event::Ask(0, Request::Reject), Event::Ask(0, Request::Approve));
    let too_late = (PUSHED + 40_000, yes.clone());
    assert_eq!(asked(240_000, vec![(PUSHED + 30_000, no.clone()), too_late]), []);
    // The newer one is live by then, and no read has shown it yet.
    let woken = PUSHED + 630_000;
    let newer = vec![
        (PUSHED + 30_000, Event::Sleeps(Duration::from_secs(600))),
        (woken, Event::Push(0, Box::new(Release::bad("v3")))),
        (woken, Event::CutOff(true)),
        (woken + 5_000, no),
        (woken + 6_000, Event::CutOff(false)),
        (woken + 40_000, yes),
    ];
    assert_eq!(asked(woken + 150_000, newer), ROLLED_BACK);
}

#[test]
fn what_healed_while_the_machine_slept_is_not_rolled_back_on_what_was_seen_before() {
    // The decision to create was being written down.
    let written = Passage { point: Point::AfterWriting, nth: 3, then: None };
    let slept = vec![Event::Health(0, Health::Good), Event::Sleeps(Duration::from_secs(600))];
    let events = vec![(PUSHED, bad_release(0)), (PUSHED, Event::Meets(written, slept))];
    let run = told(Course { length_ms: 900_000, ..course(events) });
    assert_eq!(calls(&run, 0), []);
    assert!(tells(&run, "rolling back from") && tells(&run, "(recovered)"), "{:#?}", timelines(&run));
}

#[test]
fn the_machine_sleeps_through_an_incident_and_it_goes_on() {
    let sleeps = Event::Meets(sent(2), vec![Event::Sleeps(Duration::from_secs(600))]);
    let events = vec![(PUSHED, bad_release(0)), (PUSHED, sleeps)];
    let run = told(Course { length_ms: 900_000, ..course(events) });
    assert_eq!(calls(&run, 0), ROLLED_BACK);
}
