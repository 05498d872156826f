//! A whole course: processes one after the other on one machine, until it is over, and then the judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Builder;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use super::course::{Course, Event};
use super::disk::{Disk, Intents};
use super::judge;
use super::life::{End, asked, live};
use super::machine::{EPOCH_MS, Machine, lock};
use super::panics;
use super::sum::Sum;
use super::wire::{Answers, Wire};
use crate::clock::Moment;
use crate::config::Config;
use crate::daemon::Engine;
use crate::decision::observation::Request;
use crate::decision::state::Outcome;
use crate::ids::IncidentId;
use crate::journal::{IncidentQuery, Journal, SqliteJournal};
use crate::lab::{AppState, GUARD_TOKEN, Lab, LabConfig, Release};
use crate::metrics::{Metrics, render};
use crate::server::{AppStatus, Backend};
use crate::telling::replayed;

/// How an app stands in the configuration.
pub(super) struct Shape {
    /// Its name in the lab, which never changes.
    pub(super) site: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) mode: &'static str,
    pub(super) is_there: bool,
}

/// A time in which nothing may be written for an app.
#[derive(Clone, Debug)]
pub(super) struct Quiet {
    /// All of them where there is none.
    pub(super) app: Option<usize>,
    pub(super) from_ms: i64,
    pub(super) to_ms: Option<i64>,
    pub(super) is_durable: bool,
    pub(super) why: &'static str,
}

/// A person's word on an incident.
pub(super) struct Word {
    pub(super) app: usize,
    pub(super) at_ms: i64,
    pub(super) said: Request,
    pub(super) incident: IncidentId,
    pub(super) heard: Heard,
}

/// A person's order, and the incident that came of it, where they heard of one.
pub(super) struct Ordered {
    pub(super) app: usize,
    pub(super) at_ms: i64,
    pub(super) said: Request,
    pub(super) incident: Option<IncidentId>,
}

/// What a person was told of their word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is in the journal.
    Durably,
    /// It stands, and a restart forgets it.
    ForNow,
    /// Nobody knows.
    Perhaps,
}

impl Word {
    /// Whether it was said of the release that has this deployment. The id of an incident follows from the name of the
    /// app, which is in it, and from who is accused.
    pub(super) fn is_about(&self, deployment: &str) -> bool {
        let incident = self.incident.as_str();
        let name = incident.rsplit_once('-').map_or(incident, |(name, _)| name);
        IncidentId::of(&name.into(), &deployment.into()) == self.incident
    }
}

/// See the module.
pub(super) struct Run {
    _folder: tempfile::TempDir,
    pub(super) course: Course,
    /// What the configuration said of an unhealthy rollback at first.
    pub(super) began_with: &'static str,
    pub(super) machine: Arc<Machine>,
    pub(super) lab: Lab,
    pub(super) wire: Wire,
    pub(super) disk: Disk,
    pub(super) token: Arc<Mutex<String>>,
    pub(super) shapes: Vec<Shape>,
    pub(super) quiet: Vec<Quiet>,
    /// The pins that were held when a person said that it goes on: they are theirs.
    pub(super) taken_over: BTreeSet<String>,
    /// What people said.
    pub(super) words: Vec<Word>,
    /// What people ordered, without what was not done.
    pub(super) orders: Vec<Ordered>,
    /// Which mode was in force for an app from when on.
    pub(super) modes: Vec<(usize, i64, &'static str)>,
    /// When people said that it goes on for all.
    pub(super) resumed_all: Vec<i64>,
    /// When processes ended.
    pub(super) ends: Vec<i64>,
    /// When our own network came back.
    pub(super) returns: Vec<i64>,
    /// What happens when the process passes the point that is waited for.
    pub(super) meeting: Vec<Event>,
    /// What has happened so, by its word.
    pub(super) met: Vec<String>,
    /// When the state was lost, and with it what was known of rollbacks and pins.
    pub(super) lost_ms: Vec<i64>,
    /// The state goes with the process.
    pub(super) loses_state: bool,
    /// What became of the incidents, by the word of their outcome, as far as counted.
    pub(super) incidents: BTreeMap<&'static str, usize>,
    /// The figures of the present process.
    pub(super) metrics: Option<Metrics>,
    /// What a scrape would have shown at the end of the course, before all faults stop.
    pub(super) scraped: String,
    /// How each app that was in force stood then: what the guard shows, and what is so.
    pub(super) last: Vec<(AppStatus, AppState)>,
    /// What became of each, as far as counted.
    pub(super) outcomes: BTreeMap<IncidentId, Outcome>,
    /// Whom they were about.
    pub(super) accused: Vec<String>,
    /// The rollbacks that were kept.
    pub(super) succeeded: Vec<String>,
    /// The incidents whose decisions come out otherwise when they are made again from what the journal has of them.
    pub(super) differing: Vec<String>,
    /// How often a drill was held at the end.
    pub(super) drills: usize,
    /// What each text of the configuration file says: the same one is in force for many processes.
    pub(super) configs: Mutex<BTreeMap<String, Config>>,
    next: usize,
    pub(super) lives: usize,
    is_told: bool,
    pub(super) lines: Vec<String>,
}

/// Runs the course of `seed` and judges it. Panics with its story where a promise is broken.
pub(super) fn run(seed: u64, is_told: bool) -> Sum {
    let run = through(Course::draw(seed), seed, is_told);
    let sum = run.sum();
    judge::whole(&run);
    sum
}

/// The time of lines of the log, as that of the course.
struct Uptime(Arc<Machine>);

impl FormatTime for Uptime {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", seconds(self.0.uptime_ms()))
    }
}

fn seconds(millis: i64) -> String {
    format!("{:>5}.{:03}", millis / 1_000, millis % 1_000)
}

/// Runs `course`, with what chance is left drawn from `seed`.
pub(super) fn through(course: Course, seed: u64, is_told: bool) -> Run {
    fastrand::seed(seed);
    panics::none_yet();
    let mut run = begun(course, seed, is_told);
    let _log = is_told.then(|| {
        let log = tracing_subscriber::fmt().with_ansi(false).with_target(false);
        let log = log.with_timer(Uptime(Arc::clone(&run.machine)));
        tracing::subscriber::set_default(log.with_test_writer().finish())
    });
    loop {
        run.lives += 1;
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let end = runtime.block_on(live(&mut run));
        drop(runtime);
        run.tell(&format!("-- the process has ended: {end:?}"));
        if end == End::Over {
            break;
        }
        run.ended();
        // Whoever starts it again takes a moment.
        run.machine.sleeps(Duration::from_millis(200 + 37 * (seed % 100)));
    }
    run.count_incidents();
    run
}

/// A machine, a platform and its apps, before the first process.
pub(super) fn begun(course: Course, seed: u64, is_told: bool) -> Run {
    let folder = scratch();
    let machine = Arc::new(Machine::new(seed));
    let ticking = Arc::clone(&machine);
    let config = LabConfig {
        seed,
        durations: course.durations,
        unknowns: course.unknowns,
        epoch: None,
        revision_limit: course.revision_limit,
        ..LabConfig::default()
    };
    let lab = Lab::in_process(&config, Box::new(move || EPOCH_MS + ticking.uptime_ms()));
    let first = course.setting.as_ref().map_or_else(|| Release::good("v1"), |setting| setting.first.clone());
    let shape = |n: usize| {
        let site = format!("app-{n}");
        let id = lab.create_app_of(&site, course.kind, first.clone()).expect("a new app").id;
        Shape { name: site.clone(), site, id, mode: course.modes[n], is_there: true }
    };
    let shapes: Vec<Shape> = (0..course.apps).map(shape).collect();
    let observed = shapes.iter().enumerate().filter(|(_, shape)| shape.mode == "observe");
    let quiet = observed.map(|(app, _)| Quiet::of(Some(app), 0, true, "observe")).collect();
    let modes = shapes.iter().enumerate().map(|(app, shape)| (app, 0, shape.mode)).collect();
    let intents = Intents::default();
    let wire = Wire {
        machine: Arc::clone(&machine),
        lab: lab.clone(),
        answers: Answers::default(),
        intents: Arc::clone(&intents),
        unannounced: Arc::default(),
        unread: Arc::default(),
        repeated: Arc::default(),
        asked: Arc::default(),
        pushes_shown: Arc::default(),
        failed: Arc::default(),
        looks: Arc::default(),
    };
    let file = folder.path().join("rearguard.db");
    let disk = Disk {
        machine: Arc::clone(&machine),
        trouble: Arc::default(),
        file,
        intents,
        requests: Arc::default(),
        pauses: Arc::default(),
        let_go: Arc::default(),
        doubts: Arc::default(),
        decisions: Arc::default(),
        reads: Arc::default(),
    };
    let token = Arc::new(Mutex::new(GUARD_TOKEN.to_owned()));
    Run {
        _folder: folder,
        began_with: course.on_unhealthy,
        course,
        machine,
        lab,
        wire,
        disk,
        token,
        shapes,
        quiet,
        taken_over: BTreeSet::new(),
        words: Vec::new(),
        orders: Vec::new(),
        modes,
        resumed_all: Vec::new(),
        ends: Vec::new(),
        returns: Vec::new(),
        meeting: Vec::new(),
        met: Vec::new(),
        lost_ms: Vec::new(),
        loses_state: false,
        incidents: BTreeMap::new(),
        metrics: None,
        scraped: String::new(),
        last: Vec::new(),
        outcomes: BTreeMap::new(),
        accused: Vec::new(),
        succeeded: Vec::new(),
        differing: Vec::new(),
        drills: 0,
        configs: Mutex::default(),
        next: 0,
        lives: 0,
        is_told,
        lines: Vec::new(),
    }
}

fn scratch() -> tempfile::TempDir {
    // The simulated disk fails by itself; a real one would only be slow.
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder")
}

impl Quiet {
    pub(super) fn of(app: Option<usize>, from_ms: i64, is_durable: bool, why: &'static str) -> Self {
        Self { app, from_ms, to_ms: None, is_durable, why }
    }

    pub(super) fn is_open(&self, app: usize, why: &str) -> bool {
        self.to_ms.is_none() && self.why == why && self.app == Some(app)
    }
}

impl Run {
    pub(super) fn tell(&mut self, line: &str) {
        let line = format!("{}  {line}", seconds(self.machine.uptime_ms()));
        if self.is_told {
            println!("{line}");
        }
        self.lines.push(line);
    }

    /// Whether what was known at one time may have been lost by another, both of the platform's clock.
    pub(super) fn is_lost_between(&self, from: i64, to: i64) -> bool {
        self.lost_ms.iter().any(|lost| (from..=to).contains(&(lost + EPOCH_MS)))
    }

    /// How long after a write the platform's reads may still show what was before.
    pub(super) fn lag_ms(&self) -> i64 {
        i64::try_from(self.course.unknowns.reads_lag_ms).unwrap_or(i64::MAX)
    }

    /// Goes on with the course from where the last process left it.
    pub(super) async fn goes_on(&mut self, engine: &mut Engine) -> End {
        while let Some((at, event)) = self.course.events.get(self.next).cloned() {
            if let Some(end) = self.until(at, engine).await {
                return end;
            }
            self.next += 1;
            if let Some(end) = self.happens(event, engine).await {
                return end;
            }
        }
        if let Some(end) = self.until(self.course.length_ms, engine).await {
            return end;
        }
        let metrics = self.metrics.as_ref().expect("a process");
        let figures = render(metrics, Moment::default()).expect("rendered");
        self.scraped = String::from_utf8(figures).expect("text");
        for status in asked(engine).apps().await {
            let of_it = self.shapes.iter().find(|shape| status.id.as_str() == shape.id);
            self.last.extend(of_it.map(|shape| (status, self.lab.record(&shape.site))));
        }
        if self.course.is_liveness {
            self.comes_to_its_end(engine).await;
        } else if !self.course.is_endless {
            self.settles(engine).await;
        }
        End::Over
    }

    /// Waits. What the process meets meanwhile happens at once.
    async fn until(&mut self, at_ms: i64, engine: &mut Engine) -> Option<End> {
        let machine = Arc::clone(&self.machine);
        loop {
            let left = u64::try_from(at_ms - machine.uptime_ms()).unwrap_or(0);
            machine.looks_out(true);
            let has_met = tokio::select! {
                biased;
                () = machine.met.notified() => true,
                () = tokio::time::sleep(Duration::from_millis(left)) => false,
            };
            machine.looks_out(false);
            if !has_met && !machine.has_met() {
                return None;
            }
            if machine.has_met()
                && let Some(end) = self.meets(engine).await
            {
                return Some(end);
            }
        }
    }

    /// What happens at the point the process has come to begins before it goes on. It may need the process to end.
    async fn meets(&mut self, engine: &mut Engine) -> Option<End> {
        let machine = Arc::clone(&self.machine);
        let meeting = std::mem::take(&mut self.meeting);
        self.met.extend(meeting.first().map(|event| format!("Met {}", event.word())));
        for event in meeting {
            let mut happening = Box::pin(self.happens(event, engine));
            let begun = tokio::select! {
                biased;
                end = &mut happening => Some(end),
                () = tokio::task::yield_now() => None,
            };
            let end = match begun {
                Some(end) => end,
                None => {
                    machine.goes_on();
                    happening.await
                }
            };
            if end.is_some() {
                return end;
            }
        }
        machine.goes_on();
        None
    }

    /// Counts what the journal has of them.
    pub(super) fn count_incidents(&mut self) {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let journal = SqliteJournal::inline(&self.disk.file);
        let query = IncidentQuery { limit: usize::MAX, ..IncidentQuery::default() };
        for incident in runtime.block_on(journal.incidents(query)).expect("incidents") {
            let decisions = runtime.block_on(journal.decisions(&incident.id)).expect("decisions");
            let replay = replayed(&decisions);
            let is_same = replay.identical == replay.decisions;
            self.differing.extend((!is_same).then(|| format!("{}: {:?}", incident.id, replay.differing)));
            let outcome = incident.outcome.map_or("open", Outcome::word);
            *self.incidents.entry(outcome).or_default() += 1;
            if let Some(outcome) = incident.outcome {
                self.outcomes.insert(incident.id.clone(), outcome);
            }
            // What a person orders to be left is accused of nothing.
            if incident.asked_by.is_none() {
                self.accused.push(incident.bad_deployment.to_string());
            }
            if incident.outcome == Some(Outcome::Committed) {
                self.succeeded.extend(incident.rollback_deployment.map(|id| id.to_string()));
            }
        }
    }

    fn sum(&self) -> Sum {
        let mut sum = Sum { courses: 1, lives: self.lives, drills: self.drills, ..Sum::default() };
        sum.simulated_ms = self.machine.uptime_ms();
        for (_, event) in &self.course.events[..self.next] {
            *sum.events.entry(event.word()).or_default() += 1;
            sum.faults += usize::from(event.is_fault());
        }
        for word in &self.met {
            *sum.events.entry(word.clone()).or_default() += 1;
        }
        sum.struck = self.lab.struck();
        for (word, count) in lock(&self.machine.struck).iter() {
            *sum.struck.entry((*word).to_owned()).or_default() += count;
        }
        sum.incidents.clone_from(&self.incidents);
        sum.orders = self.orders.len();
        sum.rollbacks = (0..self.shapes.len()).map(|app| judge::rollbacks_of(self, app)).sum();
        sum.late_pairs = judge::late_pairs(self);
        sum
    }

    /// Everything that happened, and what the platform was asked for.
    pub(super) fn story(&self) -> String {
        let mut text = format!("{:#?}\n", Course { events: Vec::new(), ..self.course.clone() });
        text.push_str(&self.lines.join("\n"));
        text.push_str("\nthe ledger:\n");
        for entry in &self.lab.ledger().entries {
            let at = entry.at_ms - EPOCH_MS;
            let applied = entry.applied_ms.map(|at| at - EPOCH_MS);
            writeln!(
                text,
                "{:>5}.{:03}  {} {:?} {:?} target {:?} active {:?} pinned {:?} applied {:?} made {:?} refused {:?} {:?}",
                at / 1_000, at % 1_000, entry.app, entry.who, entry.operation, entry.target, entry.active_before,
                entry.pinned_before, applied, entry.deployment, entry.refused, entry.fault
            )
            .expect("text");
        }
        text
    }
}
