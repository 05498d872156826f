//! What happens in a course, one event after the other.

use super::course::Event;
use super::life::{End, asked};
use super::machine::lock;
use super::run::{Quiet, Run};
use crate::daemon::Engine;
use crate::decision::observation::Request;
use crate::ids::AppName;
use crate::lab::GUARD_TOKEN;
use crate::server::{ActionError, Backend};

impl Run {
    pub(super) async fn happens(&mut self, event: Event, engine: &mut Engine) -> Option<End> {
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
            Event::Dies(passage) => self.machine.dies_at(passage),
            Event::Meets(passage, events) => {
                self.machine.meets_at(passage);
                self.meeting = events;
            }
            Event::Killed => return Some(End::Died),
            Event::Stopped => return Some(End::Stopped),
            Event::Sleeps(span) => self.machine.sleeps(span),
            Event::Wall(off_ms) => self.machine.set_wall(off_ms),
            Event::RollbackFate(app, fate) => drop(self.lab.set_rollback_fate(&self.shapes[app].site, fate)),
            Event::Region(app, region) => drop(self.lab.set_region(&self.shapes[app].site, region)),
            Event::Deleted(app) => drop(self.lab.delete_app(&self.shapes[app].site)),
            Event::SitesCutOff(is_cut_off) => self.machine.cut_off_sites(is_cut_off),
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

    pub(super) async fn resumes(&mut self, app: Option<usize>, backend: &impl Backend) {
        self.lift(app, "paused");
        self.resumed.push((app, self.machine.uptime_ms()));
        let name = app.map(|app| AppName::from(self.shapes[app].name.as_str()));
        drop(backend.pause(name.as_ref(), false).await);
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
        for quiet in self.quiet.iter_mut().filter(|quiet| quiet.to_ms.is_none()) {
            if !quiet.is_durable || (self.loses_state && quiet.why == "paused") {
                quiet.to_ms = Some(now);
            }
        }
        if std::mem::take(&mut self.loses_state) {
            self.lost_ms.push(now);
            self.count_incidents();
            lock(&self.disk.intents).clear();
            for ending in ["db", "db-wal", "db-shm"] {
                drop(std::fs::remove_file(self.disk.file.with_extension(ending)));
            }
        }
    }

    pub(super) fn reload(&mut self, engine: &mut Engine) {
        engine.reload(self.config()).expect("taken into force");
    }
}
