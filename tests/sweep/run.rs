//! One run: a course under one trouble, with somebody who starts the process again.

use std::time::Duration;

use rearguard::lab::{Fault, Kind, Operation, Release, Target, When};
use rusqlite::Connection;
use tokio::time::Instant;

use crate::course::Course;
use crate::guard::{End, Guard, trace};
use crate::judge::{self, Cast};
use crate::strace::{self, Counted, Disk, Injection};
use crate::world::{APP, World};

/// How long a whole course may take, with every restart.
const WHOLE: Duration = Duration::from_secs(60);
/// How long a process is left with a disk that stays full.
const WITH_A_FULL_DISK: Duration = Duration::from_secs(3);
/// How long it is left without a lock: longer than a write waits for one.
const WITHOUT_A_LOCK: Duration = Duration::from_secs(7);
/// How often is looked.
const PAUSE: Duration = Duration::from_millis(50);

/// What goes wrong in a run, once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// Nothing; the calls are counted.
    None,
    /// SIGKILL at the Nth of these calls.
    Killed(&'static str, u32),
    /// The disk.
    Disk(Disk),
    /// SIGKILL at the moment the platform has received this request, which it carries out or not; no answer is sent.
    Received(Operation, u64, bool),
    /// Another process holds the journal.
    Locked {
        /// From so long after the bad release was pushed.
        after_ms: u32,
        /// For so long.
        for_ms: u32,
    },
}

impl Trouble {
    /// Whether it comes at the Nth call of the process, and not at a moment or a request of its own.
    pub(crate) fn is_at_a_call(self) -> bool {
        matches!(self, Self::Killed(..) | Self::Disk(_))
    }

    fn injection(self) -> Option<Injection> {
        match self {
            Self::None => Some(Injection::Nothing),
            Self::Killed(call, n) => Some(Injection::Kill(call, n)),
            Self::Disk(disk) => Some(Injection::Disk(disk)),
            Self::Locked { .. } => Some(Injection::Locks),
            Self::Received(..) => None,
        }
    }
}

/// How far a course had come, by the platform's own records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The bad release was not pushed yet.
    Quiet,
    /// It was pushed, and nobody had asked for anything.
    Released,
    /// A rollback was asked about.
    Validated,
    /// The rollback was made, and the app is pinned.
    Pinned,
    /// The pin was settled.
    Settled,
}

impl Stage {
    pub(crate) const ALL: [(Self, &str); 5] = [
        (Self::Quiet, "before"),
        (Self::Released, "released"),
        (Self::Validated, "validated"),
        (Self::Pinned, "pinned"),
        (Self::Settled, "settled"),
    ];
}

/// What a run has to tell.
pub(crate) struct Told {
    /// How far the course had come when the trouble came, if it did.
    pub(crate) met: Option<Stage>,
    /// Whether it was killed as it was about to send one of the rollback's calls.
    pub(crate) was_calling: bool,
    pub(crate) took: Duration,
    /// The promises that were broken.
    pub(crate) broken: Vec<String>,
    /// What the platform saw and the daemon said.
    pub(crate) story: String,
    /// The calls, of an undisturbed run.
    pub(crate) calls: Option<Counted>,
}

struct Run {
    world: World,
    course: Course,
    trouble: Trouble,
    guard: Guard,
    /// The process is the first one: the one with the trouble.
    is_troubled: bool,
    pushed_at: Option<Instant>,
    /// When the trouble came, and how far the course had come.
    met: Option<(Instant, Stage)>,
    was_calling: bool,
    broken: Vec<String>,
    begun: Instant,
}

/// Goes through `course` under `trouble`.
pub(crate) async fn run(course: Course, trouble: Trouble) -> Told {
    let world = course.world().await;
    if let Trouble::Received(operation, nth, applied) = trouble {
        world.lab.fault(Fault::on(Target::Call(operation), Kind::Hang { applied }).when(When::Nth(nth)));
    }
    let guard = Guard::start(&world, course, trouble.injection());
    let mut run = Run {
        world,
        course,
        trouble,
        guard,
        is_troubled: true,
        pushed_at: None,
        met: None,
        was_calling: false,
        broken: Vec::new(),
        begun: Instant::now(),
    };
    let calls = run.whole().await.unwrap_or_else(|problem| {
        run.broken.push(problem);
        None
    });
    let story = if run.broken.is_empty() { String::new() } else { run.story() };
    let met = run.met.map(|(_, stage)| stage);
    Told { met, was_calling: run.was_calling, took: run.begun.elapsed(), broken: run.broken, story, calls }
}

impl Run {
    /// The course from its beginning to the end of the process; gives the calls if they are counted.
    async fn whole(&mut self) -> Result<Option<Counted>, String> {
        let good = self.world.lab.app(APP).unwrap().active.unwrap();
        while !self.guard.knows_the_app().await {
            self.look_after("an app that is known").await?;
        }
        let lines = Counted::lines(&trace(&self.world));
        let bad = self.world.lab.push(APP, Release::bad("v2")).unwrap().unwrap();
        self.pushed_at = Some(Instant::now());
        let cast = Cast { good, bad };
        let holder = self.hold_the_journal();
        let is_held = loop {
            let incident = self.guard.incident_of(&cast.bad).await;
            let outcome = incident.map(|incident| incident["outcome"].clone());
            match outcome {
                Some(outcome) if outcome == self.course.outcome() => break false,
                Some(outcome) if outcome == "held" && self.course.may_be_held() => break true,
                Some(outcome) if outcome.is_string() => {
                    return Err(format!("the incident ends as {outcome}"));
                }
                _ => self.look_after("an incident that is closed").await?,
            }
        };
        // The pause of pushes is let go after the incident.
        let file = self.world.path("rearguard.db");
        while !self.course.is_settled(&self.world)
            || !self.guard.knows_the_app().await
            || judge::owed(&file) > 0
        {
            self.look_after("a pin that is settled").await?;
        }
        if let Some(holder) = holder {
            self.broken.extend(holder.await.unwrap());
        }
        self.stop().await?;
        self.look_for_a_failed_call();
        while self.world.lab.app(APP).unwrap().in_progress.is_some() {
            self.in_time("a deployment that is over")?;
            tokio::time::sleep(PAUSE).await;
        }
        let lost = match self.trouble {
            Trouble::Received(operation, _, false) => Some(operation),
            _ => None,
        };
        self.broken.extend(judge::of_the_end(&self.world, self.course, &cast, lost, is_held));
        let is_counted = matches!(self.trouble, Trouble::None);
        Ok(is_counted.then(|| Counted::read(&trace(&self.world), lines)))
    }

    fn in_time(&self, what: &str) -> Result<(), String> {
        if self.begun.elapsed() < WHOLE { Ok(()) } else { Err(format!("not in time: {what}")) }
    }

    /// One pause of whoever looks after the process: starts it again when it has ended.
    async fn look_after(&mut self, what: &str) -> Result<(), String> {
        self.in_time(what)?;
        tokio::time::sleep(PAUSE).await;
        if self.is_troubled {
            self.make_trouble().await;
        }
        if let Some(end) = self.guard.ended() {
            self.take_the_end(end);
            self.guard = Guard::start(&self.world, self.course, None);
        }
        Ok(())
    }

    /// What is not strace's part: to see its doing, and kills by our own hand.
    async fn make_trouble(&mut self) {
        self.look_for_a_failed_call();
        let is_time = match self.trouble {
            Trouble::Received(operation, nth, _) => self.world.lab.ledger().calls(operation) >= nth,
            Trouble::Disk(Disk::FullFrom(_) | Disk::ReadOnlyFrom(_) | Disk::UnreadableFrom(_)) => {
                self.met.is_some_and(|(since, _)| since.elapsed() > WITH_A_FULL_DISK)
            }
            Trouble::Disk(Disk::LockedFrom(_)) => {
                self.met.is_some_and(|(since, _)| since.elapsed() > WITHOUT_A_LOCK)
            }
            _ => false,
        };
        if is_time {
            self.guard.signal("-KILL");
            self.guard.end().await;
        }
    }

    fn look_for_a_failed_call(&mut self) {
        let has_come = match self.trouble {
            Trouble::Disk(_) => strace::has_failed_a_call,
            Trouble::Locked { .. } => strace::was_locked_out,
            _ => return,
        };
        if self.met.is_none() && has_come(&trace(&self.world)) {
            self.meet();
        }
    }

    /// The trouble has come.
    fn meet(&mut self) {
        self.met = self.met.or(Some((Instant::now(), self.stage())));
    }

    fn take_the_end(&mut self, end: End) {
        if end == End::Killed && self.is_troubled {
            self.meet();
            if let Trouble::Killed("writev", _) = self.trouble {
                self.was_calling = strace::was_sending_a_call(&trace(&self.world));
            }
        } else {
            self.broken.push(format!("the process ends by itself: {end:?}"));
        }
        self.is_troubled = false;
        self.broken.extend(judge::of_a_wreck(&self.world));
    }

    /// Stops the process in order; one that dies of its trouble then is started once more.
    async fn stop(&mut self) -> Result<(), String> {
        loop {
            self.in_time("end of the process")?;
            self.guard.signal("-TERM");
            match self.guard.end().await {
                End::Exited(Some(0)) => return Ok(()),
                end => {
                    self.take_the_end(end);
                    self.guard = Guard::start(&self.world, self.course, None);
                    while !self.guard.knows_the_app().await {
                        self.look_after("an app that is known").await?;
                    }
                }
            }
        }
    }

    fn stage(&self) -> Stage {
        let ledger = self.world.lab.ledger();
        if self.course.is_settled(&self.world) {
            Stage::Settled
        } else if !ledger.applied(Operation::CreateRollback, APP).is_empty() {
            Stage::Pinned
        } else if ledger.calls(Operation::ValidateRollback) > 0 {
            Stage::Validated
        } else if self.pushed_at.is_some() {
            Stage::Released
        } else {
            Stage::Quiet
        }
    }

    /// Holds the journal from another connection, and gives what reached the platform meanwhile without an intent.
    fn hold_the_journal(&self) -> Option<tokio::task::JoinHandle<Vec<String>>> {
        let Trouble::Locked { after_ms, for_ms } = self.trouble else { return None };
        let (lab, file) = (self.world.lab.handle(), self.world.path("rearguard.db"));
        Some(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(after_ms.into())).await;
            let other = Connection::open(file).unwrap();
            other.busy_timeout(Duration::from_secs(5)).unwrap();
            other.execute_batch("BEGIN EXCLUSIVE").unwrap();
            tokio::time::sleep(Duration::from_millis(for_ms.into())).await;
            // Nothing was written meanwhile, so what was sent meanwhile has its intent from before.
            let broken = judge::unintended(&lab, &judge::intents(&other));
            other.execute_batch("ROLLBACK").unwrap();
            broken
        }))
    }

    fn story(&self) -> String {
        let app = self.world.lab.app(APP).unwrap();
        let entries = self.world.lab.ledger().entries;
        let entries: Vec<String> = entries.iter().map(|entry| format!("  {entry:?}")).collect();
        let log = std::fs::read_to_string(self.world.path("log")).unwrap_or_default();
        let calls = std::fs::read_to_string(trace(&self.world)).unwrap_or_default();
        let last: Vec<&str> = calls.lines().rev().take(12).collect();
        format!(
            "{:?} in {:?}\nlive {:?}, pinned {:?}\nledger:\n{}\nlast calls, newest first:\n{}\nlog:\n{log}",
            self.trouble,
            self.course,
            app.version,
            app.pinned,
            entries.join("\n"),
            last.join("\n"),
        )
    }
}
