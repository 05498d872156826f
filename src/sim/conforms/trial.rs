//! A platform on trial: stories are told on it, and what does not hold is noted, so that one run says all of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Platform, sound};
use crate::decision::state::Outcome;
use crate::journal::{IncidentQuery, IncidentRecord, Journal, TimelineEntry};
use crate::lab::{AppState, Entry, Operation, Who};
use crate::server::AppStatus;
use crate::sim::course::Course;
use crate::sim::run::Run;
use crate::sim::told::{opened, overheard};

/// A platform on trial.
pub(super) struct Trial<'a> {
    pub(super) platform: &'a Platform,
    pub(super) broken: Vec<String>,
}

/// A story that was told to its end, with what it left behind.
pub(super) struct Tale {
    pub(super) run: Run,
    pub(super) log: String,
    /// The incidents, the newest first, each with its timeline and the number of decisions made in it.
    pub(super) incidents: Vec<(IncidentRecord, Vec<TimelineEntry>, usize)>,
    /// What was asked of the platform.
    pub(super) asked: Vec<Entry>,
}

impl<'a> Trial<'a> {
    pub(super) fn of(platform: &'a Platform) -> Self {
        Self { platform, broken: Vec::new() }
    }

    /// Tells the story and notes whatever has to hold however it ends, and does not. None if a promise is broken.
    pub(super) fn tell(&mut self, what: &str, course: Course) -> Option<Tale> {
        // What the judges say of the ledger they say by a panic.
        let told = catch_unwind(AssertUnwindSafe(|| overheard(course)));
        let (run, log) = match told {
            Ok(told) => told,
            Err(panic) => {
                let words = panic.downcast_ref::<String>().map_or("a panic", String::as_str);
                self.holds(what, false, words.lines().next().unwrap_or_default());
                return None;
            }
        };
        let tale = Tale::of(run, log);
        for complaint in sound::complaints(&tale, self.platform) {
            self.holds(what, false, &complaint);
        }
        Some(tale)
    }

    pub(super) fn holds(&mut self, what: &str, does: bool, otherwise: &str) {
        if !does {
            self.broken.push(format!("{}, {what}: {otherwise}", self.platform.name));
        }
    }
}

impl Tale {
    fn of(run: Run, log: String) -> Self {
        let (journal, runtime) = opened(&run);
        let records = runtime.block_on(journal.incidents(IncidentQuery::default())).expect("incidents");
        let whole = |record: IncidentRecord| {
            let found = runtime.block_on(journal.incident(&record.id)).expect("an incident");
            let decisions = runtime.block_on(journal.decisions(&record.id)).expect("decisions");
            (record, found.map(|(_, timeline)| timeline).unwrap_or_default(), decisions.len())
        };
        let incidents = records.into_iter().map(whole).collect();
        let entries = run.lab.ledger().entries.into_iter();
        let asked = entries.filter(|entry| entry.who == Who::Guard).collect();
        Self { run, log, incidents, asked }
    }

    /// How the app stood when all was over: what the guard shows, and what is so.
    pub(super) fn last(&self) -> &(AppStatus, AppState) {
        &self.run.last[0]
    }

    /// How the newest incident ended.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.incidents.first().and_then(|(record, ..)| record.outcome)
    }

    /// How many rollbacks the platform made for us.
    pub(super) fn rollbacks(&self) -> usize {
        let made = |entry: &&Entry| entry.operation == Operation::CreateRollback && entry.applied();
        self.asked.iter().filter(made).count()
    }

    /// Nothing came of a request, and the platform is one that must not be asked twice.
    pub(super) fn may_not_ask_again(&self) -> bool {
        self.run.course.platform_picks() && self.rollbacks() == 0
    }

    /// The newest incident's last word, and what the app is as.
    pub(super) fn end(&self) -> String {
        let newest = self.incidents.first().map(|(record, ..)| record);
        let reason = newest.map(|record| (record.outcome, record.reason));
        format!("{reason:?}, the app is {}", self.last().0.state)
    }
}
