//! The sweeps: which trouble, in which course, for which N.

use std::ops::RangeInclusive;

use futures_util::{StreamExt, future, stream};
use rearguard::lab::Operation;

use crate::course::Course;
use crate::run::{Told, Trouble, run};
use crate::strace::{Counted, Disk};
use crate::table::Table;

/// How many runs at once: they mostly wait.
const AT_ONCE: usize = 8;

/// One sweep.
pub(crate) struct Sweep {
    pub(crate) what: &'static str,
    pub(crate) course: Course,
    trouble: fn(u32) -> Trouble,
    /// From which N on, and how many there are in an undisturbed run.
    points: RangeInclusive<u32>,
    /// In how many of them it is tried in the ordinary run.
    sample: u32,
}

/// Every sweep, sized by an undisturbed run of each course.
pub(crate) async fn all() -> Vec<Sweep> {
    let counted = Course::ALL.map(async |course| {
        let told = run(course, Trouble::None).await;
        assert!(told.broken.is_empty(), "undisturbed: {}\n{}", told.broken.join("\n"), told.story);
        (course, told.calls.unwrap())
    });
    let mut sweeps = Vec::new();
    for (course, counted) in future::join_all(counted).await {
        sweeps.extend(of_calls(course, &counted));
        if course == Course::Committed {
            sweeps.extend(of_locks(course));
        }
        sweeps.extend(of_receptions(course));
    }
    sweeps
}

/// The troubles that come at the Nth call. The start-up is the same in every course, and is part of the first one.
fn of_calls(course: Course, counted: &Counted) -> Vec<Sweep> {
    let is_first = course == Course::Committed;
    let sweep = |what, call, trouble, samples: (u32, u32)| {
        let calls = counted.of(call);
        let first = if is_first { 1 } else { calls.before_release + 1 };
        let sample = if is_first { samples.0 } else { samples.1 };
        Sweep { what, course, trouble, points: first..=calls.all, sample }
    };
    let sweeps = vec![
        sweep("killed at the Nth journal write", "pwrite64", |n| Trouble::Killed("pwrite64", n), (12, 4)),
        sweep("killed at the Nth journal sync", "fsync", |n| Trouble::Killed("fsync", n), (6, 2)),
        sweep("killed before the Nth send", "writev", |n| Trouble::Killed("writev", n), (8, 2)),
        sweep("killed before the Nth receive", "recvfrom", |n| Trouble::Killed("recvfrom", n), (8, 2)),
        sweep(
            "the disk is full for three writes",
            "pwrite64",
            |n| Trouble::Disk(Disk::FullFor(n, 3)),
            (8, 2),
        ),
        sweep("the disk is full until a restart", "pwrite64", |n| Trouble::Disk(Disk::FullFrom(n)), (6, 1)),
        sweep(
            "the disk is read-only until a restart",
            "pwrite64",
            |n| Trouble::Disk(Disk::ReadOnlyFrom(n)),
            (4, 1),
        ),
        sweep(
            "the Nth write is an I/O error",
            "pwrite64",
            |n| Trouble::Disk(Disk::Fails("pwrite64", n)),
            (6, 1),
        ),
        sweep("the Nth sync is an I/O error", "fsync", |n| Trouble::Disk(Disk::Fails("fsync", n)), (6, 2)),
        sweep(
            "the Nth read is an I/O error",
            "pread64",
            |n| Trouble::Disk(Disk::Fails("pread64", n)),
            (6, 1),
        ),
        sweep(
            "nothing is read until a restart",
            "pread64",
            |n| Trouble::Disk(Disk::UnreadableFrom(n)),
            (3, 1),
        ),
        sweep(
            "the Nth opening is an I/O error",
            "openat",
            |n| Trouble::Disk(Disk::Fails("openat", n)),
            (4, 1),
        ),
        sweep(
            "the Nth cut is an I/O error",
            "ftruncate",
            |n| Trouble::Disk(Disk::Fails("ftruncate", n)),
            (2, 1),
        ),
        sweep(
            "the Nth lock is refused, and 19 more",
            "fcntl",
            |n| Trouble::Disk(Disk::LockedFor(n, 20)),
            (6, 1),
        ),
        sweep("locked from the Nth lock on", "fcntl", |n| Trouble::Disk(Disk::LockedFrom(n)), (4, 1)),
    ];
    // Files are opened and cut at the start.
    sweeps.into_iter().filter(|sweep| !sweep.points.is_empty()).collect()
}

/// The journal is locked at some moment, for less and for more than a write waits.
fn of_locks(course: Course) -> Vec<Sweep> {
    let sweep = |what, trouble, last, sample| Sweep { what, course, trouble, points: 0..=last, sample };
    vec![
        sweep(
            "locked for 1 s, at N × 100 ms",
            |n| Trouble::Locked { after_ms: n * 100, for_ms: 1_000 },
            39,
            6,
        ),
        sweep(
            "locked for 6 s, at N × 200 ms",
            |n| Trouble::Locked { after_ms: n * 200, for_ms: 6_000 },
            19,
            3,
        ),
    ]
}

/// Killed at the moment the platform has a request, which it carries out or not.
fn of_receptions(course: Course) -> Vec<Sweep> {
    let trouble: fn(u32) -> Trouble = match course {
        Course::Committed => |n| {
            let asked = [Operation::ValidateRollback, Operation::CreateRollback, Operation::CommitRollback];
            Trouble::Received(asked[n as usize / 2], 1, n % 2 == 1)
        },
        Course::Reverted => |n| Trouble::Received(Operation::RevertRollback, 1, n == 1),
        Course::Restarted => |n| Trouble::Received(Operation::Restart, 1, n == 1),
        Course::Paused => |n| {
            // Pushes are paused, and let go in the end.
            let asked = [
                (Operation::SetAutoDeploy, 1),
                (Operation::CreateRollback, 1),
                (Operation::SetAutoDeploy, 2),
            ];
            let (operation, nth) = asked[n as usize / 2];
            Trouble::Received(operation, nth, n % 2 == 1)
        },
        Course::LostAnswer | Course::LostRequest => return Vec::new(),
    };
    let last = match course {
        Course::Committed | Course::Paused => 5,
        _ => 1,
    };
    vec![Sweep {
        what: "killed when a request has arrived",
        course,
        trouble,
        points: 0..=last,
        sample: last + 1,
    }]
}

/// Some points of every sweep, evenly spread.
pub(crate) async fn sample(sweeps: &[Sweep]) -> Table {
    let points = sweeps.iter().enumerate().flat_map(|(nth, sweep)| {
        let (first, last) = (*sweep.points.start(), *sweep.points.end());
        let count = sweep.sample.min(last - first + 1);
        // The middle of each of so many equal parts.
        (0..count).map(move |part| (nth, first + (last - first + 1) * (2 * part + 1) / (2 * count)))
    });
    let runs = points.map(async |(nth, n)| (nth, n, sweeps[nth].run(n).await));
    let mut runs = Box::pin(stream::iter(runs).buffer_unordered(AT_ONCE));
    let mut table = Table::new(sweeps);
    while let Some((nth, n, told)) = runs.next().await {
        table.count(nth, n, told);
    }
    (0..sweeps.len()).for_each(|nth| table.show(nth));
    table
}

/// Every point of every sweep: N = 1, 2, 3, ... until as many runs as there are at once did not meet their trouble.
/// One is not enough, since runs differ by a few calls.
pub(crate) async fn whole(sweeps: &[Sweep]) -> Table {
    let mut table = Table::new(sweeps);
    for (nth, sweep) in sweeps.iter().enumerate() {
        let (first, last) = (*sweep.points.start(), *sweep.points.end());
        let last = if (sweep.trouble)(first).is_at_a_call() { u32::MAX } else { last };
        let runs = (first..=last).map(async |n| (n, sweep.run(n).await));
        let mut runs = Box::pin(stream::iter(runs).buffered(AT_ONCE));
        let mut untouched = 0;
        while let Some((n, told)) = runs.next().await {
            untouched = if told.met.is_some() { 0 } else { untouched + 1 };
            table.count(nth, n, told);
            if untouched == AT_ONCE {
                break;
            }
        }
        table.show(nth);
    }
    table
}

impl Sweep {
    /// Its course and its trouble, as the table has them.
    pub(crate) fn name(&self) -> String {
        format!("{}, {}", self.course.word(), self.what)
    }

    async fn run(&self, n: u32) -> Told {
        run(self.course, (self.trouble)(n)).await
    }
}
