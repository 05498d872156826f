//! A whole course: processes one after the other on one machine, until it is over, and then the judgement.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Builder;

use super::course::{BUDGET, Course, Event, RECONCILE_MS};
use super::disk::{Disk, Trouble};
use super::judge;
use super::life::{End, asked, live, parsed};
use super::machine::{EPOCH_MS, Machine, lock};
use super::wire::{Answers, Wire};
use crate::daemon::Engine;
use crate::decision::observation::Request;
use crate::decision::state::Outcome;
use crate::ids::AppName;
use crate::journal::{IncidentQuery, Journal, SqliteJournal};
use crate::lab::{Action, Fate, GUARD_TOKEN, Health, Lab, LabConfig, Release};
use crate::server::{ActionError, AppStatus, Backend};

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
    is_durable: bool,
    pub(super) why: &'static str,
}

/// See the module.
pub(super) struct Run {
    pub(super) course: Course,
    pub(super) machine: Arc<Machine>,
    pub(super) lab: Lab,
    pub(super) wire: Wire,
    pub(super) disk: Disk,
    pub(super) token: Arc<Mutex<String>>,
    pub(super) shapes: Vec<Shape>,
    pub(super) quiet: Vec<Quiet>,
    /// When people resumed which app, or all of them: what was pinned then is theirs.
    pub(super) resumed: Vec<(Option<usize>, i64)>,
    next: usize,
    lives: usize,
    is_told: bool,
    pub(super) lines: Vec<String>,
}

/// What a course came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) courses: usize,
    pub(super) incidents: BTreeMap<&'static str, usize>,
    pub(super) lives: usize,
    pub(super) events: BTreeMap<&'static str, usize>,
    pub(super) rollbacks: usize,
    pub(super) simulated_ms: i64,
    /// Two rollbacks for one release, the first of which came to light after its time: counted, not forbidden.
    pub(super) late_pairs: usize,
}

/// Runs the course of `seed` and judges it. Panics with its story where a promise is broken.
pub(super) fn run(seed: u64, is_told: bool) -> Sum {
    fastrand::seed(seed);
    let _log = is_told.then(|| {
        let log = tracing_subscriber::fmt().without_time().with_ansi(false).with_target(false);
        tracing::subscriber::set_default(log.with_test_writer().finish())
    });
    let folder = scratch();
    let course = Course::draw(seed);
    let machine = Arc::new(Machine::new(seed));
    let ticking = Arc::clone(&machine);
    let config = LabConfig {
        seed,
        durations: course.durations,
        unknowns: course.unknowns,
        epoch: None,
        ..LabConfig::default()
    };
    let (lab, router) = Lab::in_process(&config, Box::new(move || EPOCH_MS + ticking.uptime_ms()));
    let shape = |n: usize| {
        let site = format!("app-{n}");
        let id = lab.create_app(&site, Release::good("v1")).expect("a new app").id;
        Shape { name: site.clone(), site, id, mode: course.modes[n], is_there: true }
    };
    let shapes: Vec<Shape> = (0..course.apps).map(shape).collect();
    let observed = shapes.iter().enumerate().filter(|(_, shape)| shape.mode == "observe");
    let quiet = observed.map(|(app, _)| Quiet::of(Some(app), 0, true, "observe")).collect();
    let wire = Wire { machine: Arc::clone(&machine), lab: lab.clone(), router, answers: Answers::default() };
    let file = folder.path().join("rearguard.db");
    let disk = Disk { machine: Arc::clone(&machine), trouble: Arc::default(), file };
    let token = Arc::new(Mutex::new(GUARD_TOKEN.to_owned()));
    let mut run = Run {
        course,
        machine,
        lab,
        wire,
        disk,
        token,
        shapes,
        quiet,
        resumed: Vec::new(),
        next: 0,
        lives: 0,
        is_told,
        lines: Vec::new(),
    };
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
    let sum = run.sum();
    judge::whole(&run);
    sum
}

fn scratch() -> tempfile::TempDir {
    // The simulated disk fails by itself; a real one would only be slow.
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder")
}

impl Quiet {
    fn of(app: Option<usize>, from_ms: i64, is_durable: bool, why: &'static str) -> Self {
        Self { app, from_ms, to_ms: None, is_durable, why }
    }
}

impl Run {
    pub(super) fn tell(&mut self, line: &str) {
        let at = self.machine.uptime_ms();
        let line = format!("{:>5}.{:03}  {line}", at / 1_000, at % 1_000);
        if self.is_told {
            println!("{line}");
        }
        self.lines.push(line);
    }

    /// What the configuration file says now.
    pub(super) fn config(&self) -> crate::config::Config {
        let Course { rules, on_unhealthy, migrations, has_controls, pace: (watch, burst), .. } = &self.course;
        let mut text = format!(
            "listen: 127.0.0.1:0\nstate: {}\nlimits: {{ concurrent_rollbacks: {} }}\nplatforms:\n  - {{ name: ocean, \
             kind: digitalocean, token_file: /the/token, api: 'https://lab.test', poll: 10s, timeout: 5s, \
             reconcile: {RECONCILE_MS}ms }}\n",
            self.disk.file.display(),
            if self.course.apps > 2 { 2 } else { 3 },
        );
        if *has_controls {
            text.push_str("control_probes:\n  - { url: 'https://lab.test/up', period: 5s, timeout: 2s }\n");
        }
        text.push_str("apps:\n");
        for Shape { site, id, name, mode, .. } in self.shapes.iter().filter(|shape| shape.is_there) {
            writeln!(
                text,
                "  - name: {name}\n    platform: ocean\n    id: {id}\n    mode: {mode}\n    watch: 60s\n    \
                 probes: [{{ name: home, url: 'https://lab.test/sites/{site}/healthz', period: 10s, watch_period: {watch}, \
                 burst: {burst}, timeout: 2s }}]\n    rules: {rules}\n    rollback: {{ migrations: {migrations} }}\n    \
                 soak: {{ period: 20s, min_samples: 4, on_unhealthy: {on_unhealthy} }}\n    \
                 limits: {{ cooldown: 30s, max_rollbacks: {BUDGET}, per: 1h }}"
            )
            .expect("text");
        }
        parsed(&text)
    }

    /// Goes on with the course from where the last process left it.
    pub(super) async fn goes_on(&mut self, engine: &mut Engine) -> End {
        while let Some((at, event)) = self.course.events.get(self.next).cloned() {
            self.until(at).await;
            self.next += 1;
            if let Some(end) = self.happens(event, engine).await {
                return end;
            }
        }
        self.until(self.course.length_ms).await;
        if self.course.is_liveness {
            self.comes_to_its_end(engine).await;
        }
        End::Over
    }

    async fn until(&self, at_ms: i64) {
        let left = u64::try_from(at_ms - self.machine.uptime_ms()).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(left)).await;
    }

    async fn happens(&mut self, event: Event, engine: &mut Engine) -> Option<End> {
        self.tell(&format!("{event:?}"));
        let backend = asked(engine);
        match event {
            Event::Push(app, release) => drop(self.lab.push(&self.shapes[app].site, *release)),
            Event::Person(app, action) => drop(self.lab.person(&self.shapes[app].site, action)),
            Event::Health(app, health) => drop(self.lab.set_health(&self.shapes[app].site, health)),
            Event::Fault(fault) => drop(self.lab.fault(*fault)),
            Event::NoFaults => self.lab.clear_faults(),
            Event::CutOff(is_cut_off) => self.machine.cut_off(is_cut_off),
            Event::Disk(trouble) => *lock(&self.disk.trouble) = trouble,
            Event::Token(is_valid) => {
                let token = if is_valid { GUARD_TOKEN } else { "dop_v1_revoked" };
                token.clone_into(&mut lock(&self.token));
                // The lab knows one token: what it is not, it refuses.
            }
            Event::Pause(app, true) => {
                let name = app.map(|app| AppName::from(self.shapes[app].name.as_str()));
                let paused = backend.pause(name.as_ref(), true).await;
                let now = self.machine.uptime_ms();
                match paused {
                    Ok(()) => self.quiet.push(Quiet::of(app, now, true, "paused")),
                    Err(ActionError::NotDurable) => self.quiet.push(Quiet::of(app, now, false, "paused")),
                    Err(_) => {}
                }
            }
            Event::Pause(app, false) => self.resumes(app, &backend).await,
            Event::Ask(app, Request::Resume) => self.resumes(Some(app), &backend).await,
            Event::Ask(app, request) => {
                let name = AppName::from(self.shapes[app].name.as_str());
                if let Some(incident) = backend.app(&name).await.and_then(|app| app.incident) {
                    drop(backend.request(&incident, request).await);
                }
            }
            Event::Mode(app, mode) => {
                self.lift(Some(app), "observe");
                self.shapes[app].mode = mode;
                self.reload(engine);
                if mode == "observe" && self.shapes[app].is_there {
                    let now = self.machine.uptime_ms();
                    self.quiet.push(Quiet::of(Some(app), now, true, "observe"));
                }
            }
            Event::Leaves(app, leaves) => {
                let others = self.shapes.iter().filter(|shape| shape.is_there).count();
                if !leaves || others > 1 {
                    // Another mode than its task has comes into force with it.
                    if !leaves && self.shapes[app].mode != "observe" {
                        self.lift(Some(app), "observe");
                    }
                    self.shapes[app].is_there = !leaves;
                    self.reload(engine);
                }
            }
            Event::Renamed(app) => {
                let shape = &mut self.shapes[app];
                shape.name = if shape.name == shape.site {
                    format!("{}-renamed", shape.site)
                } else {
                    shape.site.clone()
                };
                self.reload(engine);
            }
            Event::Dies(point, passage) => self.machine.dies_at(point, passage),
            Event::Killed => return Some(End::Died),
            Event::Stopped => return Some(End::Stopped),
            Event::Sleeps(span) => self.machine.sleeps(span),
            Event::Wall(off_ms) => self.machine.set_wall(off_ms),
        }
        None
    }

    async fn resumes(&mut self, app: Option<usize>, backend: &impl Backend) {
        self.lift(app, "paused");
        self.resumed.push((app, self.machine.uptime_ms()));
        let name = app.map(|app| AppName::from(self.shapes[app].name.as_str()));
        drop(backend.pause(name.as_ref(), false).await);
    }

    /// What was quiet need not be from here on.
    fn lift(&mut self, app: Option<usize>, why: &str) {
        let now = self.machine.uptime_ms();
        for quiet in self.quiet.iter_mut().filter(|quiet| quiet.why == why && quiet.to_ms.is_none()) {
            if app.is_none() || quiet.app == app {
                quiet.to_ms = Some(now);
            }
        }
    }

    /// What was in force and not durable went with the process.
    fn ended(&mut self) {
        let now = self.machine.uptime_ms();
        for quiet in self.quiet.iter_mut().filter(|quiet| quiet.to_ms.is_none() && !quiet.is_durable) {
            quiet.to_ms = Some(now);
        }
    }

    fn reload(&mut self, engine: &mut Engine) {
        engine.reload(self.config()).expect("taken into force");
    }

    /// All faults stop. Every incident has to end, every pin of ours to be in somebody's hands, and what comes next to
    /// be dealt with.
    async fn comes_to_its_end(&mut self, engine: &mut Engine) {
        self.tell("-- all faults stop");
        self.calm(engine).await;
        let backend = asked(engine);
        let mut rounds = 0;
        while let Some(open) = self.an_open_incident(&backend).await {
            rounds += 1;
            assert!(rounds < 3 * 360, "no end of an incident: {open:?}\n{}", self.story());
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        judge::no_pin_is_forgotten(self, &backend.apps().await);
        for app in 0..self.shapes.len() {
            self.drill(app, &backend).await;
        }
    }

    async fn an_open_incident(&self, backend: &impl Backend) -> Option<AppStatus> {
        let statuses = backend.apps().await;
        statuses.into_iter().find(|app| app.state == "incident" || app.blind.as_deref() == Some("journal"))
    }

    async fn calm(&mut self, engine: &mut Engine) {
        self.lab.clear_faults();
        self.lab.set_unknowns(|unknowns| (unknowns.reads_lag_ms, unknowns.late_apply_ms) = (0, None));
        self.machine.cut_off(false);
        *lock(&self.disk.trouble) = Trouble::None;
        GUARD_TOKEN.clone_into(&mut lock(&self.token));
        for app in 0..self.shapes.len() {
            self.lift(Some(app), "observe");
            (self.shapes[app].mode, self.shapes[app].is_there) = ("enforce", true);
            let site = &self.shapes[app].site;
            drop(self.lab.set_rollback_fate(site, Fate::Works));
            drop(self.lab.set_health(site, Health::Good));
        }
        self.reload(engine);
        // What a crash was waiting for does not come any more.
        self.machine.end_of_crashes();
        // Locks that were waited for are gone, and the journal is looked at every few seconds.
        tokio::time::sleep(Duration::from_secs(90)).await;
        let backend = asked(engine);
        judge::no_pin_is_forgotten(self, &backend.apps().await);
        self.resumes(None, &backend).await;
    }

    /// A good release and then a bad one, while nothing is in the way.
    async fn drill(&mut self, app: usize, backend: &impl Backend) {
        let site = self.shapes[app].site.clone();
        for _ in 0..8 {
            drop(self.lab.person(&site, Action::Cancel { deployment: None }));
            tokio::time::sleep(Duration::from_secs(15)).await;
            drop(self.lab.person(&site, Action::Commit));
        }
        let state = self.lab.app(&site).expect("an app");
        if state.in_progress.is_some() || state.pending.is_some() || state.pinned.is_some() {
            return;
        }
        self.resumes(Some(app), backend).await;
        if judge::rollbacks_of(self, app, 3_600_000) >= BUDGET {
            return;
        }
        self.tell(&format!("-- drill of app {app}"));
        self.lab.push(&site, Release::good("good again")).expect("a good release");
        tokio::time::sleep(Duration::from_secs(240)).await;
        let bad = self
            .lab
            .push(&site, Release::bad("bad again"))
            .expect("a bad release")
            .expect("deployed at once");
        tokio::time::sleep(Duration::from_secs(180)).await;
        judge::was_rolled_back(self, app, &bad);
    }

    fn sum(&self) -> Sum {
        let mut sum = Sum { courses: 1, lives: self.lives, ..Sum::default() };
        sum.simulated_ms = self.machine.uptime_ms();
        for (_, event) in &self.course.events[..self.next] {
            let name = format!("{event:?}");
            let word: &'static str = judge::word_of(&name);
            *sum.events.entry(word).or_default() += 1;
        }
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let journal = SqliteJournal::inline(&self.disk.file);
        let query = IncidentQuery { limit: usize::MAX, ..IncidentQuery::default() };
        for incident in runtime.block_on(journal.incidents(query)).expect("incidents") {
            *sum.incidents.entry(incident.outcome.map_or("open", Outcome::word)).or_default() += 1;
        }
        sum.rollbacks = (0..self.shapes.len()).map(|app| judge::rollbacks_of(self, app, i64::MAX)).sum();
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

impl Sum {
    pub(super) fn add(&mut self, other: &Self) {
        self.courses += other.courses;
        self.lives += other.lives;
        self.rollbacks += other.rollbacks;
        self.simulated_ms += other.simulated_ms;
        self.late_pairs += other.late_pairs;
        for (word, count) in &other.incidents {
            *self.incidents.entry(word).or_default() += count;
        }
        for (word, count) in &other.events {
            *self.events.entry(word).or_default() += count;
        }
    }
}
