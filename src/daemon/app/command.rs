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
use crate::decision::observation::{Reading, Request};
use crate::decision::policy::Policy;
use crate::decision::rule::regression::Before;
use crate::decision::sample::Window;
use crate::decision::state::{Situation, Stage};
use crate::decision::version::Versions;
use crate::ids::{IncidentId, RuleName};
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
    /// A person's word, said at that moment, that a hold is over.
    Resume(Moment, oneshot::Sender<Result<(), ActionError>>),
}

/// A person's word, and where the answer goes.
pub(in super::super) struct Asked {
    pub(in super::super) incident: IncidentId,
    pub(in super::super) request: Request,
    pub(in super::super) reply: oneshot::Sender<Result<(), ActionError>>,
}

impl App {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Status(reply) => drop(reply.send(Box::new(status::of(self)))),
            Command::Known(reply) => drop(reply.send(self.known())),
            // Looked for whenever the loop comes round.
            Command::Look => {}
            Command::Request(asked) => {
                let Asked { incident, request, reply } = *asked;
                let taken = self.takes(&incident, request);
                if taken.is_ok() {
                    self.hear(request);
                }
                drop(reply.send(taken));
            }
            Command::Resume(said_at, reply) => {
                let meant = self.is_for_the_hold(said_at);
                if matches!(meant, Ok(true)) {
                    self.hear(Request::Resume);
                }
                drop(reply.send(meant.map(|_| ())));
            }
        }
    }

    /// A no outranks whatever is said before it was heard.
    fn hear(&mut self, request: Request) {
        if self.request != Some(Request::Reject) {
            self.request = Some(request);
        }
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
    fn takes(&self, incident: &IncidentId, request: Request) -> Result<(), ActionError> {
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
            Request::Resume => false,
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
