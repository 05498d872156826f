//! What happens in a course, one event after the other.

use std::time::Duration;

use super::course::{Event, Order};
use super::life::{End, asked};
use super::machine::lock;
use super::run::{Heard, Ordered, Quiet, Run, Shape, Word};
use crate::daemon::Engine;
use crate::decision::observation::Request;
use crate::ids::AppName;
use crate::ids::Caller;
use crate::lab::{Action, GUARD_TOKEN, Release, Source};
use crate::server::{ActionError, Backend, Reply};

/// How long the API has a person wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// A process that is younger has not read its journal for certain.
const JUST_MS: i64 = 20_000;

/// Why nothing may be begun for an app that has left the configuration; what was begun is brought to its end.
pub(super) const LEFT: &str = "not configured";

impl Run {
    pub(super) async fn happens(&mut self, event: Event, engine: &mut Engine) -> Option<End> {
        self.tell(&format!("{event:?}"));
        let backend = asked(engine);
        match event {
            Event::Push(app, release) => {
                let hears_pushes = self.course.kind.source().is_none_or(Source::hears_pushes);
                drop(self.releases(app, *release, !hears_pushes));
            }
            Event::Person(app, action) => drop(self.lab.person(&self.shapes[app].site, action)),
            Event::Health(app, health) => drop(self.lab.set_health(&self.shapes[app].site, health)),
            Event::Fault(fault) => drop(self.lab.fault(*fault)),
            Event::NoFaults => self.lab.clear_faults(),
            Event::CutOff(is_cut_off) => {
                self.machine.cut_off(is_cut_off);
                self.note_return(!is_cut_off);
            }
            Event::Disk(trouble) => *lock(&self.disk.trouble) = trouble,
            Event::Token(is_valid) => {
                let token = if is_valid { GUARD_TOKEN } else { "dop_v1_revoked" };
                token.clone_into(&mut lock(&self.token));
                // The lab knows one token: what it is not, it refuses.
            }
            Event::Pause(app, true) => {
                let name = app.map(|app| AppName::from(self.shapes[app].name.as_str()));
                let paused = backend.pause(name.as_ref(), None, person()).await;
                let now = self.machine.uptime_ms();
                match paused {
                    Ok(()) => self.quiet.push(Quiet::of(app, now, true, "paused")),
                    Err(ActionError::NotDurable) => self.quiet.push(Quiet::of(app, now, false, "paused")),
                    Err(_) => {}
                }
            }
            Event::Pause(app, false) => self.resumes(app, &backend).await,
            Event::Ask(app, Request::Resume) => self.resumes(Some(app), &backend).await,
            Event::Ask(app, ref request) => self.asks(app, request.clone(), &backend).await,
            Event::Mode(app, mode) => {
                self.lift(Some(app), "observe");
                self.shapes[app].mode = mode;
                self.reload(engine);
                self.is_in_force(app);
            }
            Event::Order(app, ref order) => self.orders(app, order, &backend).await,
            Event::Leaves(app, leaves) => {
                let others = self.shapes.iter().filter(|shape| shape.is_there).count();
                if !leaves || others > 1 {
                    // Another mode than its task has comes into force with it.
                    if !leaves && self.shapes[app].mode != "observe" {
                        self.lift(Some(app), "observe");
                    }
                    self.shapes[app].is_there = !leaves;
                    self.reload(engine);
                    if leaves {
                        let now = self.machine.uptime_ms();
                        self.quiet.push(Quiet::of(Some(app), now, true, LEFT));
                    } else {
                        self.lift(Some(app), LEFT);
                    }
                    self.is_in_force(app);
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
            Event::Dies(passage) => self.machine.dies_at(passage),
            Event::Meets(passage, events) => {
                self.machine.meets_at(passage);
                self.meeting = events;
            }
            Event::Killed => return Some(End::Died),
            Event::Rebooted => {
                self.machine.reboots();
                return Some(End::Died);
            }
            Event::Stopped => return Some(End::Stopped),
            Event::Sleeps(span) => self.machine.sleeps(span),
            Event::Wall(off_ms) => self.machine.set_wall(off_ms),
            Event::RollbackFate(app, fate) => drop(self.lab.set_rollback_fate(&self.shapes[app].site, fate)),
            Event::Region(app, region) => drop(self.lab.set_region(&self.shapes[app].site, region)),
            Event::Deleted(app) => drop(self.lab.delete_app(&self.shapes[app].site)),
            Event::SitesCutOff(is_cut_off) => {
                self.machine.cut_off_sites(is_cut_off);
                self.note_return(!is_cut_off);
            }
            Event::StateLost => {
                self.loses_state = true;
                return Some(End::Died);
            }
            Event::Policy { rules, on_unhealthy, migrations } => {
                let course = &mut self.course;
                (course.rules, course.on_unhealthy, course.migrations) = (rules, on_unhealthy, migrations);
                self.reload(engine);
            }
        }
        None
    }

    /// A release goes out by a push, or where pushes are not heard, or somebody makes sure, by hand.
    pub(super) fn releases(&self, app: usize, release: Release, by_hand: bool) -> Option<String> {
        let site = &self.shapes[app].site;
        let pushed = self.lab.push(site, release).ok()?;
        match pushed {
            None if by_hand => self.lab.person(site, Action::Deploy).ok().flatten(),
            pushed => pushed,
        }
    }

    fn note_return(&mut self, has_returned: bool) {
        if has_returned {
            self.returns.push(self.machine.uptime_ms());
        }
    }

    /// A person's word on the app's open incident.
    async fn asks(&mut self, app: usize, request: Request, backend: &impl Backend) {
        let name = AppName::from(self.shapes[app].name.as_str());
        let Some(incident) = backend.app(&name).await.and_then(|app| app.incident) else { return };
        // Whoever asks and hears nothing, since the process ends, may have been heard.
        let nth = self.words.len();
        let at_ms = self.machine.uptime_ms();
        self.words.push(Word {
            app,
            at_ms,
            said: request.clone(),
            incident: incident.clone(),
            heard: Heard::Perhaps,
        });
        let heard = match in_time(backend.request(&incident, request, None, person())).await {
            Ok(_) => Heard::Durably,
            Err(ActionError::NotDurable) => Heard::ForNow,
            Err(ActionError::Unsure) => Heard::Perhaps,
            Err(ActionError::Unknown(_) | ActionError::Conflict(_) | ActionError::Unavailable) => {
                self.words.truncate(nth);
                return;
            }
        };
        (self.words[nth].at_ms, self.words[nth].heard) = (self.machine.uptime_ms(), heard);
    }

    /// A person has rearguard do something at once.
    async fn orders(&mut self, app: usize, order: &Order, backend: &impl Backend) {
        let Shape { site, name, .. } = &self.shapes[app];
        let name = AppName::from(name.as_str());
        let request = match *order {
            Order::Rollback { to, accept } => {
                let deployments = self.lab.record(site).deployments;
                let to = to.and_then(|nth| deployments.iter().nth_back(nth));
                Request::Rollback { to: to.map(|to| to.id.as_str().into()), accept }
            }
            Order::Commit => Request::Commit,
            Order::Revert => Request::Revert,
        };
        // As of a word: who hears nothing may have been heard.
        let nth = self.orders.len();
        let at_ms = self.machine.uptime_ms();
        self.orders.push(Ordered { app, at_ms, said: request.clone(), incident: None });
        match in_time(backend.order(&name, request, person())).await {
            Ok(incident) => self.orders[nth].incident = Some(incident),
            Err(ActionError::NotDurable | ActionError::Unsure) => {}
            Err(ActionError::Unknown(_) | ActionError::Conflict(_) | ActionError::Unavailable) => {
                self.orders.truncate(nth);
            }
        }
    }

    /// The app's mode is in force from now on, if the app is.
    fn is_in_force(&mut self, app: usize) {
        let (now, Shape { mode, is_there, .. }) = (self.machine.uptime_ms(), &self.shapes[app]);
        if !is_there {
            return;
        }
        self.modes.push((app, now, mode));
        if *mode == "observe" && !self.quiet.iter().any(|quiet| quiet.is_open(app, "observe")) {
            self.quiet.push(Quiet::of(Some(app), now, true, "observe"));
        }
    }

    pub(super) async fn resumes(&mut self, app: Option<usize>, backend: &impl Backend) {
        let statuses = backend.apps().await;
        let name = app.map(|app| AppName::from(self.shapes[app].name.as_str()));
        // It may be written although the answer says that it was not, or does not come: the next process will know.
        let mut unsettled = Vec::new();
        for quiet in self.quiet.iter_mut().filter(|quiet| quiet.why == "paused" && quiet.is_durable) {
            if quiet.to_ms.is_none() && (app.is_none() || quiet.app == app) {
                quiet.is_durable = false;
                unsettled.push((quiet.app, quiet.from_ms));
            }
        }
        // What is held then, and not paused, is theirs from now on. One that has just begun has not said yet what is held.
        let has_just_begun = self.ends.last().is_some_and(|end| self.machine.uptime_ms() - end < JUST_MS);
        let ends_hold = |name: &str| {
            let status = statuses.iter().find(|status| status.name.as_str() == name);
            has_just_begun || status.is_some_and(|status| status.state == "held" && !status.paused)
        };
        let shape = app.map(|app| &self.shapes[app]).filter(|shape| ends_hold(&shape.name));
        let pin = shape.and_then(|shape| self.lab.app(&shape.site).ok()?.pinned);
        let taken: Vec<String> = pin.into_iter().filter(|pin| !self.taken_over.contains(pin)).collect();
        self.taken_over.extend(taken.iter().cloned());
        match in_time(backend.resume(name.as_ref(), person())).await {
            Ok(()) => {}
            Err(ActionError::Unavailable | ActionError::Unsure) => return,
            Err(_) => {
                for quiet in &mut self.quiet {
                    quiet.is_durable |= unsettled.contains(&(quiet.app, quiet.from_ms));
                }
                self.taken_over.retain(|pin| !taken.contains(pin));
                return;
            }
        }
        self.lift(app, "paused");
        if app.is_none() {
            self.resumed_all.push(self.machine.uptime_ms());
        }
    }

    /// What was quiet need not be from here on.
    pub(super) fn lift(&mut self, app: Option<usize>, why: &str) {
        let now = self.machine.uptime_ms();
        for quiet in self.quiet.iter_mut().filter(|quiet| quiet.why == why && quiet.to_ms.is_none()) {
            if app.is_none() || quiet.app == app {
                quiet.to_ms = Some(now);
            }
        }
    }

    /// What was in force and not durable went with the process, and with the journal what was.
    pub(super) fn ended(&mut self) {
        let now = self.machine.uptime_ms();
        self.ends.push(now);
        for quiet in self.quiet.iter_mut().filter(|quiet| quiet.to_ms.is_none()) {
            if !quiet.is_durable || (self.loses_state && quiet.why == "paused") {
                quiet.to_ms = Some(now);
            }
        }
        if std::mem::take(&mut self.loses_state) {
            self.lost_ms.push(now);
            self.count_incidents();
            lock(&self.disk.intents).clear();
            lock(&self.wire.unread).clear();
            for ending in ["db", "db-wal", "db-shm"] {
                drop(std::fs::remove_file(self.disk.file.with_extension(ending)));
            }
        }
    }

    pub(super) fn reload(&mut self, engine: &mut Engine) {
        engine.reload(self.config()).expect("taken into force");
    }
}

/// People wait as long as the API lets them. What they do not hear of may be done all the same.
async fn in_time<T>(answer: Reply<'_, Result<T, ActionError>>) -> Result<T, ActionError> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or(Err(ActionError::Unsure))
}

/// Whose word it is.
fn person() -> Caller {
    Caller::from("a person")
}
