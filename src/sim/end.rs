//! The end of a course in which the faults stop: everything is settled, and a drill shows that the guard still guards.

use std::time::Duration;

use super::disk::{Request, Trouble};
use super::happen::LEFT;
use super::judge;
use super::life::asked;
use super::machine::lock;
use super::run::Run;
use crate::daemon::Engine;
use crate::lab::{Action, Entry, Fate, GUARD_TOKEN, Health, Operation, Release};
use crate::server::{AppStatus, Backend};

/// What an incident may take at the most: half an hour each for a person's word, the rollback and an undoing of it, and
/// what a soak may.
const LONGEST_S: u64 = 3 * 30 * 60 + 10 * 60;

impl Run {
    /// All faults stop. Every incident has to end, every pin of ours to be in somebody's hands, and what comes next to
    /// be dealt with.
    pub(super) async fn comes_to_its_end(&mut self, engine: &mut Engine) {
        self.tell("-- all faults stop");
        self.calm(engine).await;
        let backend = asked(engine);
        let mut rounds = 0;
        while let Some(open) = self.an_open_incident(&backend).await {
            rounds += 1;
            assert!(rounds < LONGEST_S / 10, "no end of an incident: {open:?}\n{}", self.story());
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        judge::no_pin_is_forgotten(self, &backend.apps().await);
        for app in 0..self.shapes.len() {
            self.drill(app, &backend).await;
        }
    }

    /// The faults stop, and that is all: every pin of ours has to be in somebody's hands.
    pub(super) async fn settles(&mut self, engine: &mut Engine) {
        self.calm(engine).await;
    }

    async fn an_open_incident(&self, backend: &impl Backend) -> Option<AppStatus> {
        let statuses = backend.apps().await;
        statuses.into_iter().find(|app| app.state == "incident" || app.blind.as_deref() == Some("journal"))
    }

    /// One that the platform would show. What was deleted it does not show any more.
    async fn an_unread_app(&self, backend: &impl Backend) -> Option<AppStatus> {
        let statuses = backend.apps().await;
        let is_unread = |app: &AppStatus| {
            app.platform_fault.as_deref().is_some_and(|fault| fault != "not_found")
                || app.platform_read_at.is_none()
        };
        let is_there = |app: &AppStatus| {
            self.shapes
                .iter()
                .any(|shape| self.lab.app(&shape.site).is_ok_and(|there| there.id == app.id.as_str()))
        };
        statuses.into_iter().find(|app| is_unread(app) && is_there(app))
    }

    async fn calm(&mut self, engine: &mut Engine) {
        self.lab.clear_faults();
        self.lab.set_unknowns(|unknowns| (unknowns.reads_lag_ms, unknowns.late_apply_ms) = (0, None));
        self.machine.cut_off(false);
        self.machine.cut_off_sites(false);
        *lock(&self.disk.trouble) = Trouble::None;
        GUARD_TOKEN.clone_into(&mut lock(&self.token));
        for app in 0..self.shapes.len() {
            self.lift(Some(app), "observe");
            self.lift(Some(app), LEFT);
            (self.shapes[app].mode, self.shapes[app].is_there) = ("enforce", true);
            self.modes.push((app, self.machine.uptime_ms(), "enforce"));
            let site = &self.shapes[app].site;
            drop(self.lab.set_rollback_fate(site, Fate::Works));
            drop(self.lab.set_health(site, Health::Good));
            drop(self.lab.set_region(site, "ams"));
        }
        self.reload(engine);
        self.machine.nothing_awaits();
        if self.course.unknowns.reads_jump {
            // What was written before may still be missing from a read.
            tokio::time::sleep(Duration::from_millis(self.course.unknowns.reads_lag_ms)).await;
        }
        // Locks that were waited for are gone, and the journal is looked at every few seconds.
        tokio::time::sleep(Duration::from_secs(90)).await;
        let backend = asked(engine);
        // A poll that failed again and again is not repeated at once.
        let mut waits = 0;
        while let Some(unread) = self.an_unread_app(&backend).await {
            waits += 1;
            assert!(waits < 30, "not read again: {unread:?}\n{}", self.story());
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
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
        // One that was deleted has nothing to try any more.
        let Ok(state) = self.lab.app(&site) else { return };
        if state.in_progress.is_some() || state.pending.is_some() || state.pinned.is_some() {
            return;
        }
        self.resumes(Some(app), backend).await;
        // A person's rollback may have counted as ours where nobody could tell, and so does a request of ours of which nobody
        // knows whether it was sent.
        let is_rollback = |entry: &&Entry| entry.app == site && entry.operation == Operation::CreateRollback;
        let made = self.lab.ledger().entries.iter().filter(is_rollback).count();
        let app_id = &self.shapes[app].id;
        let is_unclear = |asked: &&Request| asked.app == *app_id && asked.is_unclear;
        let unclear = lock(&self.disk.requests).iter().filter(is_unclear).count();
        if made + unclear >= self.course.budget {
            return;
        }
        self.tell(&format!("-- drill of app {app}"));
        self.releases(app, Release::good("good again"), true).expect("a good release");
        tokio::time::sleep(Duration::from_secs(240)).await;
        let bad = self.releases(app, Release::bad("bad again"), true).expect("a bad release");
        tokio::time::sleep(Duration::from_secs(240)).await;
        if judge::has_to_roll_back(self) {
            self.drills += 1;
            judge::was_rolled_back(self, app, &bad);
        }
    }
}
