//! What others ask of an app's task: how it is, a person's word, another configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::super::apps::Wanted;
use super::super::poll::Account;
use super::super::status;
use super::around::Around;
use super::{App, Probing};
use crate::clock::Moment;
use crate::config::AppConfig;
use crate::decision::Closed;
use crate::decision::fleet::Permit;
use crate::decision::incident;
use crate::decision::observation::{Reading, Request};
use crate::decision::policy::Policy;
use crate::decision::rule::regression::Before;
use crate::decision::sample::Window;
use crate::decision::state::{Situation, Stage, State};
use crate::decision::version::Versions;
use crate::ids::{Caller, IncidentId, RuleName};
use crate::metrics::AppMetrics;
use crate::probe::schedule::{Attention as Pacing, Pace, Schedule};
use crate::server::{ActionError, AppStatus};

/// What others may ask of an app's task. Small, since every app keeps room for a few.
pub(in super::super) enum Command {
    /// How the app is.
    Status(oneshot::Sender<Box<AppStatus>>),
    /// What is known of the release before, rounded.
    Known(oneshot::Sender<BTreeMap<RuleName, Before>>),
    /// What the app is to be has changed.
    Look,
    /// A person's word on an incident.
    Request(Box<Asked>),
    /// A person's order.
    Order(Box<Ordered>),
    /// A person's word, said at that moment, that a hold is over.
    Resume(Moment, Caller, oneshot::Sender<Result<(), ActionError>>),
}

/// A person's word, and where the answer goes.
pub(in super::super) struct Asked {
    pub(in super::super) incident: IncidentId,
    pub(in super::super) request: Request,
    pub(in super::super) by: Caller,
    pub(in super::super) reply: oneshot::Sender<Result<(), ActionError>>,
}

/// A person's order for the app: to roll it back, or to end a rollback.
pub(in super::super) struct Ordered {
    pub(in super::super) request: Request,
    pub(in super::super) by: Caller,
    /// Gets the incident that came of it, once that is in the journal.
    pub(in super::super) reply: oneshot::Sender<Result<IncidentId, ActionError>>,
}

/// A word that was heard.
pub(super) struct Word {
    pub(super) request: Request,
    pub(super) by: Caller,
    reply: Option<oneshot::Sender<Result<IncidentId, ActionError>>>,
}

impl App {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Status(reply) => drop(reply.send(Box::new(status::of(self)))),
            Command::Known(reply) => drop(reply.send(self.known())),
            // Looked for whenever the loop comes round.
            Command::Look => {}
            Command::Request(asked) => {
                let Asked { incident, request, by, reply } = *asked;
                let taken = self.takes(&incident, &request);
                if taken.is_ok() {
                    self.hear(Word { request, by, reply: None });
                }
                drop(reply.send(taken));
            }
            Command::Order(ordered) => {
                let Ordered { request, by, reply } = *ordered;
                match self.fits(&request) {
                    Ok(()) => self.hear(Word { request, by, reply: Some(reply) }),
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            Command::Resume(said_at, by, reply) => {
                let meant = self.is_for_the_hold(said_at);
                if matches!(meant, Ok(true)) {
                    self.hear(Word { request: Request::Resume, by, reply: None });
                }
                drop(reply.send(meant.map(|_| ())));
            }
        }
    }

    /// A no outranks whatever is said before it was heard; of the rest the last word counts.
    fn hear(&mut self, word: Word) {
        let is_no = |word: &Word| word.request == Request::Reject;
        let (kept, left) = match self.word.take() {
            Some(no) if is_no(&no) => (no, Some(word)),
            old => (word, old),
        };
        self.word = Some(kept);
        if let Some(reply) = left.and_then(|left| left.reply) {
            let why = "another word for this app came at the same moment; look what it led to, and ask again";
            drop(reply.send(Err(ActionError::Conflict(why.to_owned()))));
        }
    }

    /// Whether an order fits where the app stands.
    fn fits(&self, request: &Request) -> Result<(), ActionError> {
        let Some(state) = &self.state else { return Err(ActionError::Unavailable) };
        if matches!(request, Request::Rollback { .. }) && self.shell.fleet.stands() == Permit::Storm {
            let why =
                "too many apps wanted a rollback at once (storm); allowed is to resume everything first";
            return Err(ActionError::Conflict(why.to_owned()));
        }
        incident::fits(&self.config.policy, state, self.view.value(), self.is_paused(), request)
            .map_err(|misfit| ActionError::Conflict(format!("{}: {misfit}", self.config.name)))
    }

    /// Whether an order waits: while a call is owed nothing else is decided.
    pub(super) fn waits_for_an_answer(&self, decided: &State) -> bool {
        self.word.as_ref().is_some_and(|word| word.reply.is_some()) && decided.owed().is_some()
    }

    /// Whether there is a hold that a word said then can be meant for: one that began since nobody has seen yet.
    fn is_for_the_hold(&self, said_at: Moment) -> Result<bool, ActionError> {
        match self.state.as_ref().map(|state| &state.situation) {
            None => Err(ActionError::Unavailable),
            Some(Situation::Held(hold)) if hold.since >= said_at => Err(ActionError::Conflict(format!(
                "{} has just come to be held by incident {}; look at it first",
                self.config.name, hold.incident
            ))),
            situation => Ok(matches!(situation, Some(Situation::Held(_)))),
        }
    }

    /// Whether a person's word fits where the app stands.
    fn takes(&self, incident: &IncidentId, request: &Request) -> Result<(), ActionError> {
        let Some(state) = &self.state else { return Err(ActionError::Unavailable) };
        let open = state.incident().filter(|open| open.id == *incident);
        let Some(open) = open else {
            return Err(ActionError::Conflict(format!("incident {incident} is closed")));
        };
        let fits = match request {
            Request::Approve => matches!(open.stage, Stage::AwaitingApproval { .. }),
            Request::Reject => {
                matches!(open.stage, Stage::AwaitingApproval { .. } | Stage::Validating { .. })
            }
            Request::Resume | Request::Rollback { .. } | Request::Commit | Request::Revert => false,
        };
        if fits {
            return Ok(());
        }
        Err(ActionError::Conflict(format!("incident {incident} is {}", open.stage.word())))
    }

    /// Takes what the app is to be into force. One that left the configuration stays what it was until it may end.
    pub(super) fn take_seat(&mut self) {
        let wanted = self.seat.wanted().clone();
        self.is_retiring = wanted.is_none();
        if let Some(Wanted { config, account }) = wanted
            && !Arc::ptr_eq(&config, &self.config)
        {
            self.reconfigure(config, account);
        }
    }

    fn reconfigure(&mut self, config: Arc<AppConfig>, account: Account) {
        let now = self.shell.clock.now();
        // The app is the same one, or this would be another task; its name and its account may be others.
        self.slice = account.slices.of(&config.id);
        let is_same_platform = Arc::ptr_eq(&account.config, &self.account.config);
        self.account = account;
        let old = std::mem::replace(&mut self.config, config);
        if !is_same_platform {
            // The other one's turns are other ones.
            self.has_turn = false;
        }
        if !is_same_platform || is_asked_otherwise(&old.policy, &self.config.policy) {
            self.forget_readiness(now);
        }
        let is_same_account = old.platform == self.config.platform;
        if old.name != self.config.name {
            // Another name's series begin at zero.
            self.shell.metrics.forget_app(&self.metrics);
            self.metrics = Arc::new(AppMetrics::new(&self.config.policy));
            self.shell.metrics.show_app(Arc::clone(&self.metrics));
        } else if old.policy.rules != self.config.policy.rules || old.probes != self.config.probes {
            self.metrics = Arc::new(AppMetrics::following(&self.config.policy, &self.metrics));
            self.shell.metrics.show_app(Arc::clone(&self.metrics));
        }
        if old.policy.rules != self.config.policy.rules || old.probes != self.config.probes {
            self.measuring.begin_anew();
        }
        for probe in &old.probes {
            let is_asked_still =
                self.config.probes.iter().any(|new| new.name == probe.name && new.ask == probe.ask);
            if !is_asked_still {
                self.measuring.forget(&probe.name);
                self.records.forget(&probe.name);
            }
        }
        let needs = |app: &AppConfig| (app.depends_on.clone(), app.probes.clone());
        if needs(&old) != needs(&self.config) {
            self.around = Around::new(now);
        }
        if needs(&old) != needs(&self.config) || old.platform != self.config.platform {
            self.sampling = JoinSet::new();
            let config = Some(Arc::clone(&self.config));
            self.peer = Arc::new(self.shell.peers.join(longest_period(&self.config), config));
            self.plan_probes(now);
        }
        if !is_same_account {
            // What another account showed of it is not what this one shows.
            (self.view, self.history) = (Reading::never(), Reading::never());
            self.metrics.show_bandwidth(None);
            (self.other_was_live_at, self.former, self.looking) = (None, None, None);
        }
    }

    pub(super) fn plan_probes(&mut self, now: Moment) {
        self.windows = self.config.probes.iter().map(|probe| Window::new(probe.window)).collect();
        self.versions = vec![Versions::default(); self.windows.len()];
        let probes = self.config.probes.iter().map(|probe| Probing {
            schedule: Schedule::new(&self.config.name, &probe.name, Pace::from(probe), Pacing::Rest, now),
            is_under_way: false,
            taken: 0,
            reading: None,
            told: Arc::default(),
        });
        self.probes = probes.collect();
    }
}

/// The word was decided on: whoever gave an order hears which incident came of it.
pub(super) fn answer_word(
    word: &mut Option<Word>,
    (config, state): (&AppConfig, &State),
    closed: Option<&Closed>,
) {
    let Some(reply) = word.take().and_then(|word| word.reply) else { return };
    let incident = closed.map(|closed| &closed.incident).or(state.incident());
    let told = incident
        .map(|incident| incident.id.clone())
        .ok_or_else(|| ActionError::Conflict(format!("{} has just changed; look at it first", config.name)));
    drop(reply.send(told));
}

/// Whether another answer may be made of the same facts.
fn is_asked_otherwise(old: &Policy, new: &Policy) -> bool {
    let asked = |policy: &Policy| (policy.rollback, policy.mode, policy.accept_platform_choice);
    asked(old) != asked(new)
}

/// How long it may be until the app answers again. What is asked rarely because it never changes does not count beside
/// what is asked of the release.
pub(super) fn longest_period(config: &AppConfig) -> Duration {
    let probes = config.probes.iter().enumerate();
    let of_the_release = probes.filter(|(place, _)| config.is_of_the_release(*place));
    let longest = of_the_release.map(|(_, probe)| probe.period).max();
    longest.or(config.probes.iter().map(|probe| probe.period).max()).unwrap_or_default()
}
