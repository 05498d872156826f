//! The whole lab behind one lock: the model, the faults, the rate limits and the ledger that records what came
//! of it all. Synchronous, so the lock is never held across an await; time is handed in.

use super::app::{App, AppState, Rendered, Who};
use super::fault::{Faults, Kind, Met};
use super::kind::AppKind;
use super::ledger::{Entry, Ledger, Operation};
use super::model::{Model, Refusal, Write, Written};
use super::rate::{RateLimit, Rates};
use super::release::{Fate, Health, Release};
use super::sleep::{Sleep, Sleeper};
use super::unknowns::Unknowns;
use super::vitals::Vitals;
use super::{LabConfig, LabError, Token};

/// Whether the network between the lab and its callers carries anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    Up,
    Down,
}

pub(crate) struct World {
    pub(crate) model: Model,
    pub(crate) faults: Faults,
    pub(crate) ledger: Ledger,
    pub(crate) network: Network,
    pub(crate) rates: Rates,
    pub(crate) rate_limit: RateLimit,
    pub(crate) tokens: Vec<Token>,
    /// Requests answered so far, for their ids.
    pub(crate) requests: u64,
    now: i64,
    /// Writes that will be carried out later, in no order.
    late: Vec<Late>,
}

/// A write nobody was answered, to be carried out.
struct Late {
    due: i64,
    place: usize,
    who: Who,
    write: Write,
    entry: usize,
}

/// A write on its way in.
pub(crate) struct Asked {
    pub(crate) place: usize,
    pub(crate) who: Who,
    pub(crate) operation: Operation,
    pub(crate) write: Write,
}

impl World {
    pub(crate) fn new(config: &LabConfig, now: i64) -> Self {
        Self {
            model: Model::new(config.seed, config.durations, config.unknowns, config.revision_limit),
            faults: Faults::default(),
            ledger: Ledger::default(),
            network: Network::Up,
            rates: Rates::default(),
            rate_limit: config.rate_limit,
            tokens: config.tokens.clone(),
            requests: 0,
            now,
            late: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> i64 {
        self.now
    }

    /// Brings everything to `now`, each thing at its own time.
    pub(crate) fn advance(&mut self, now: i64) {
        let now = now.max(self.now);
        while let Some(next) = self.next_late(now) {
            let late = self.late.swap_remove(next);
            self.model.advance(late.due);
            // Nobody waits for the answer.
            let _ = self.carry_out(late);
        }
        self.model.advance(now);
        self.now = now;
    }

    fn next_late(&self, now: i64) -> Option<usize> {
        let due = self.late.iter().enumerate().filter(|(_, late)| late.due <= now);
        due.min_by_key(|(_, late)| (late.due, late.entry)).map(|(place, _)| place)
    }

    /// Records a write and, unless a fault keeps it from the platform, carries it out.
    pub(crate) fn write(&mut self, asked: Asked, fault: Option<&Kind>) -> Written {
        let entry = self.record(&asked, fault);
        let Asked { place, who, write, .. } = asked;
        match fault {
            Some(Kind::AppliedLate { after_ms }) => {
                let due = self.now.saturating_add_unsigned(*after_ms);
                self.late.push(Late { due, place, who, write, entry });
                return Ok(None);
            }
            Some(kind) if !kind.applies() => {
                self.ledger.entries[entry].refused = Some("it never reached the platform".to_owned());
                return Ok(None);
            }
            _ => {}
        }
        self.carry_out(Late { due: self.now, place, who, write, entry })
    }

    fn carry_out(&mut self, Late { due, place, who, write, entry }: Late) -> Written {
        let before = self.model.apps[place].kind.auto_deploy();
        let written = self.model.write(due, place, who, write);
        self.settle(entry, place, due, before, &written);
        written
    }

    /// Records a write that the platform says it did, and never did.
    pub(crate) fn ignore(&mut self, asked: &Asked, fault: Option<&Kind>) {
        let entry = self.record(asked, fault);
        self.ledger.entries[entry].refused = Some("the platform ignored it".to_owned());
    }

    /// Records a write that is refused before anything looks at the app (token, unknown app).
    pub(crate) fn refuse(&mut self, app: &str, operation: Operation, who: Who, refusal: &Refusal) {
        let entry = Entry { refused: Some(refusal.message.clone()), ..self.blank(app, operation, who) };
        self.ledger.push(entry);
    }

    fn blank(&self, app: &str, operation: Operation, who: Who) -> Entry {
        Entry {
            seq: self.ledger.entries.len(),
            at_ms: self.now,
            app: app.to_owned(),
            operation,
            who,
            target: None,
            skip_pin: false,
            active_before: None,
            in_progress_before: None,
            pinned_before: None,
            auto_deploy_before: None,
            auto_deploy: None,
            applied_ms: None,
            deployment: None,
            refused: None,
            fault: None,
        }
    }

    fn record(&mut self, asked: &Asked, fault: Option<&Kind>) -> usize {
        let app = &self.model.apps[asked.place];
        let (target, skip_pin) = match &asked.write {
            Write::Rollback { target, skip_pin } => (Some(target.clone()), *skip_pin),
            Write::AutoRollback { target } => (Some(target.clone()), false),
            Write::Cancel { deployment } => (deployment.clone(), false),
            _ => (None, false),
        };
        let entry = Entry {
            target,
            skip_pin,
            active_before: app.id_at(app.active),
            in_progress_before: app.id_at(app.in_progress),
            pinned_before: app.id_at(app.pinned),
            auto_deploy_before: app.kind.auto_deploy(),
            auto_deploy: match asked.write {
                Write::SetAutoDeploy { on } => Some(on),
                _ => None,
            },
            fault: fault.map(Kind::name),
            ..self.blank(&app.name, asked.operation, asked.who)
        };
        self.ledger.push(entry)
    }

    fn settle(&mut self, entry: usize, place: usize, at: i64, before: Option<bool>, written: &Written) {
        let app = &self.model.apps[place];
        let entry = &mut self.ledger.entries[entry];
        match written {
            Ok(deployment) => {
                entry.applied_ms = Some(at);
                entry.deployment.clone_from(deployment);
                if entry.operation == Operation::CreateRollback {
                    let made = deployment.as_ref().and_then(|id| app.place_of(id));
                    let target = made.and_then(|made| app.deployments[made].goes_back_to());
                    entry.target = target.map(str::to_owned).or(entry.target.take());
                    entry.auto_deploy = app.kind.auto_deploy().filter(|_| app.kind.auto_deploy() != before);
                }
            }
            Err(refusal) => entry.refused = Some(refusal.message.clone()),
        }
    }

    /// The fault that strikes a call, the switch for late creation among them.
    pub(crate) fn strike(&mut self, met: Met, app: Option<&str>) -> Option<Kind> {
        let struck = self.faults.strike(met, app);
        let late = self.model.unknowns.late_apply_ms.filter(|_| met == Met::Call(Operation::CreateRollback));
        struck.or(late.map(|after_ms| Kind::AppliedLate { after_ms }))
    }

    pub(crate) fn create_app(
        &mut self,
        name: &str,
        kind: AppKind,
        release: Release,
    ) -> Result<AppState, LabError> {
        let taken = || LabError::NameTaken(name.to_owned());
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(LabError::BadName(name.to_owned()));
        }
        let place = self.model.create_app(self.now, name, kind, release).ok_or_else(taken)?;
        Ok(AppState::from(&self.model.apps[place]))
    }

    pub(crate) fn place(&self, name: &str) -> Result<usize, LabError> {
        self.model.by_name(name).ok_or_else(|| LabError::NoSuchApp(name.to_owned()))
    }

    /// Changes something about an app that is no write of anybody's.
    pub(crate) fn change(&mut self, name: &str, change: impl FnOnce(&mut App, i64)) -> Result<(), LabError> {
        let place = self.place(name)?;
        let app = &mut self.model.apps[place];
        change(app, self.now);
        app.rendered = Rendered::default();
        Ok(())
    }

    pub(crate) fn impose_health(&mut self, name: &str, health: Health) -> Result<(), LabError> {
        self.change(name, |app, now| app.imposed = Some((health, now)))
    }

    pub(crate) fn impose_vitals(&mut self, name: &str, vitals: Vitals) -> Result<(), LabError> {
        self.change(name, |app, now| app.imposed_vitals = Some((vitals, now)))
    }

    pub(crate) fn set_rollback_fate(&mut self, name: &str, fate: Fate) -> Result<(), LabError> {
        self.change(name, |app, _| app.rollback_fate = fate)
    }

    pub(crate) fn set_sleep(&mut self, name: &str, habit: Option<Sleep>) -> Result<(), LabError> {
        self.change(name, |app, now| app.sleeper = Sleeper::with(habit, now))
    }

    pub(crate) fn set_unknowns(&mut self, unknowns: Unknowns) {
        self.model.unknowns = unknowns;
        for app in &mut self.model.apps {
            app.rendered = Rendered::default();
            app.deployments.iter_mut().for_each(|row| row.rendered = None);
        }
    }
}
