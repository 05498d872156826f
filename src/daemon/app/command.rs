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
use crate::decision::Change;
use crate::decision::fleet::Permit;
use crate::decision::incident;
use crate::decision::observation::{Reading, Request};
use crate::decision::policy::Policy;
use crate::decision::rule::regression::Before;
use crate::decision::sample::Window;
use crate::decision::state::{Situation, Stage, State};
use crate::decision::story::Event;
use crate::decision::version::Versions;
use crate::ids::{Caller, DeploymentId, IncidentId, RuleName};
use crate::metrics::AppMetrics;
use crate::probe::schedule::{Attention as Pacing, Pace, Schedule};
use crate::server::{ActionError, AppStatus};

/// How long it takes a person to see that another target is asked about than the one they decided on.
const TO_SEE: Duration = Duration::from_secs(5);

/// As long as the names of all who say no at once may be, in bytes.
const MOST_NAMES: usize = 512;

/// What others may ask of an app's task. Small, since every app keeps room for a few.
pub(in super::super) enum Command {
    /// How the app is.
    Status(oneshot::Sender<Box<AppStatus>>),
    /// What is known of the release before, rounded.
    Known(oneshot::Sender<BTreeMap<RuleName, Before>>),
    /// What the app is to be has changed.
    Look,
    /// A person's word.
    Word(Box<Word>),
}

/// A person's word, and where the answer goes.
pub(in super::super) struct Word {
    pub(in super::super) request: Request,
    pub(in super::super) by: Caller,
    pub(in super::super) about: About,
    /// Get what it led to, once that is in the journal: one, and whoever said the same before it was heeded.
    pub(in super::super) replies: Vec<WordReply>,
}

/// Where the answer to a word goes.
pub(in super::super) type WordReply = oneshot::Sender<Result<Led, ActionError>>;

/// What a word led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Led {
    /// The incident, if any.
    pub(in super::super) incident: Option<IncidentId>,
    /// Of a yes: the deployment that it was asked about.
    pub(in super::super) target: Option<DeploymentId>,
}

/// What a person's word is about.
pub(in super::super) enum About {
    /// An incident; a yes perhaps to this target and no other.
    Incident(IncidentId, Option<DeploymentId>),
    /// The app: to roll it back, or to end a rollback.
    App,
    /// The hold that was there at that moment.
    Hold(Moment),
}

impl Word {
    /// Whoever said it hears what came of it. One that does not listen any more does not matter.
    fn answer(mut self, told: Result<Led, ActionError>) {
        self.tell(&told);
    }

    fn tell(&mut self, told: &Result<Led, ActionError>) {
        for reply in self.replies.drain(..) {
            drop(reply.send(told.clone()));
        }
    }

    /// Somebody else says the same: both names are in the journal then.
    fn join(&mut self, other: Self) {
        self.replies.extend(other.replies);
        let both = format!("{} and {}", self.by, other.by);
        let is_named = self.by.as_str().split(" and ").any(|name| name == other.by.as_str());
        if is_named {
            return;
        }
        self.by = if both.len() <= MOST_NAMES {
            both.into()
        } else {
            format!("{} and others", self.by.as_str().trim_end_matches(" and others")).into()
        };
    }

    /// Whether both are a no to the same incident.
    fn is_the_same_no(&self, other: &Self) -> bool {
        let no = |word: &Self| match &word.about {
            About::Incident(id, _) if word.request == Request::Reject => Some(id.clone()),
            _ => None,
        };
        no(self).is_some_and(|id| no(other) == Some(id))
    }
}

impl App {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Status(reply) => drop(reply.send(Box::new(status::of(self)))),
            Command::Known(reply) => drop(reply.send(self.known())),
            // Looked for whenever the loop comes round.
            Command::Look => {}
            Command::Word(word) => match self.state.as_ref().map(|state| self.fits(state, &word)) {
                None => self.hear_unknowing(*word),
                Some(Ok(true)) => self.hear(*word),
                Some(Ok(false)) => word.answer(Ok(Led::default())),
                Some(Err(error)) => word.answer(Err(error)),
            },
        }
    }

    /// Where the app stands is not known until the journal answers again. A no that is in force is so for whoever says it too.
    fn hear_unknowing(&mut self, mut word: Word) {
        match &mut self.word {
            Some(no) if no.is_the_same_no(&word) => {
                word.tell(&Err(ActionError::NotDurable));
                no.join(word);
            }
            _ => word.answer(Err(ActionError::Unavailable)),
        }
    }

    /// A no outranks whatever is said before it was heard, and whoever else says no says the same; of the rest the last word
    /// counts.
    fn hear(&mut self, word: Word) {
        let is_no = |word: &Word| word.request == Request::Reject;
        let (kept, left) = match self.word.take() {
            Some(mut no) if no.is_the_same_no(&word) => {
                no.join(word);
                (no, None)
            }
            Some(no) if is_no(&no) && !is_no(&word) => (no, Some(word)),
            old => (word, old),
        };
        self.word = Some(kept);
        if let Some(left) = left {
            let why = "another word for this app came at the same moment; look what it led to, and ask again";
            left.answer(Err(ActionError::Conflict(why.to_owned())));
        }
    }

    /// Whether a person's word fits where the app stands; false where there is nothing to be done for it.
    fn fits(&self, state: &State, word: &Word) -> Result<bool, ActionError> {
        match &word.about {
            About::Incident(id, meant) => {
                is_open_to(state, id, &word.request)?;
                self.is_what_was_asked(state, &word.request, meant.as_ref()).map(|()| true)
            }
            About::App => self.fits_the_app(state, &word.request).map(|()| true),
            About::Hold(said_at) => match &state.situation {
                // One that began since nobody has seen yet.
                Situation::Held(hold) if hold.since >= *said_at => Err(ActionError::Conflict(format!(
                    "{} has just come to be held by incident {}; look at it first",
                    self.config.name, hold.incident
                ))),
                situation => Ok(matches!(situation, Situation::Held(_))),
            },
        }
    }

    /// Whoever says yes says it to the target that they were shown: where that one turned out not to do, another one is
    /// asked about, and a yes that comes at once was meant for the first.
    fn is_what_was_asked(
        &self,
        state: &State,
        request: &Request,
        meant: Option<&DeploymentId>,
    ) -> Result<(), ActionError> {
        let Some(incident) = state.incident().filter(|_| *request == Request::Approve) else { return Ok(()) };
        let Stage::AwaitingApproval { target, since, .. } = &incident.stage else { return Ok(()) };
        let is_new = !incident.tried.is_empty() && self.shell.clock.now().since(*since) < TO_SEE;
        let why = match meant {
            Some(meant) if *meant == target.id => return Ok(()),
            Some(meant) => format!("asks about the target {}, and not about {meant}", target.id),
            None if is_new => format!("has just come to ask about another target, {}", target.id),
            None => return Ok(()),
        };
        Err(ActionError::Conflict(format!("incident {} {why}; look at it first", incident.id)))
    }

    fn fits_the_app(&self, state: &State, request: &Request) -> Result<(), ActionError> {
        if matches!(request, Request::Rollback { .. }) && self.shell.fleet.stands() == Permit::Storm {
            let why =
                "too many apps wanted a rollback at once (storm); allowed is to resume everything first";
            return Err(ActionError::Conflict(why.to_owned()));
        }
        incident::fits(&self.config.policy, state, &self.view, self.is_paused(), request)
            .map_err(|misfit| ActionError::Conflict(format!("{}: {misfit}", self.config.name)))
    }

    /// What was decided with the word is in the journal, or nothing was to be done: whoever said it hears what came of it,
    /// unless it waits for its turn.
    pub(super) fn settle_word(&mut self, decided: &State, change: Option<&Change>) {
        let Some(word) = self.word.take() else { return };
        let is_order = matches!(word.about, About::App);
        let is_owed = decided.owed().is_some();
        if is_owed && (is_order || change.is_none()) {
            // While a call is under way nothing else is decided.
            self.word = Some(word);
            return;
        }
        let closed = change.and_then(|change| change.closed.as_ref());
        let state = change.map_or(decided, |change| &change.state);
        let incident = closed.map(|closed| &closed.incident).or(state.incident());
        let led = || Led {
            incident: incident.map(|incident| incident.id.clone()),
            target: asked_about(decided).filter(|_| word.request == Request::Approve),
        };
        // Or it was given before.
        if change.is_some_and(|change| is_heeded(&word, change))
            || is_order && change.is_none() && incident.is_some()
        {
            let led = led();
            return word.answer(Ok(led));
        }
        match self.fits(state, &word) {
            // Something else came first.
            Ok(true) if change.is_some() => self.word = Some(word),
            // A word that changes nothing now is not kept for later.
            Ok(_) => word.answer(Err(self.has_changed())),
            Err(error) => word.answer(Err(closed.map_or(error, |closed| {
                ActionError::Conflict(format!(
                    "incident {} has just ended: {} ({})",
                    closed.incident.id,
                    closed.outcome.word(),
                    closed.reason.word()
                ))
            }))),
        }
    }

    fn has_changed(&self) -> ActionError {
        ActionError::Conflict(format!("{} has just changed; look at it first", self.config.name))
    }

    /// The journal may have what was decided with the word, or not. A no stands until it has; whatever else was said would
    /// have something done, and is to be said again.
    pub(super) fn word_not_written(&mut self) {
        let Some(mut word) = self.word.take() else { return };
        if word.request != Request::Reject {
            return word.answer(Err(ActionError::Unsure));
        }
        word.tell(&Err(ActionError::NotDurable));
        self.word = Some(word);
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
        let was_unarmed = self.is_unarmed(&old.policy);
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
        if !was_unarmed {
            self.tell_unarmed();
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

/// The target that a person is asked about.
fn asked_about(state: &State) -> Option<DeploymentId> {
    match &state.incident()?.stage {
        Stage::AwaitingApproval { target, .. } => Some(target.id.clone()),
        _ => None,
    }
}

/// Whether a person's word fits where the incident stands.
fn is_open_to(state: &State, incident: &IncidentId, request: &Request) -> Result<(), ActionError> {
    let Some(open) = state.incident().filter(|open| open.id == *incident) else {
        return Err(ActionError::Conflict(format!("incident {incident} is closed")));
    };
    let fits = match request {
        Request::Approve => matches!(open.stage, Stage::AwaitingApproval { .. }),
        Request::Reject => matches!(open.stage, Stage::AwaitingApproval { .. } | Stage::Validating { .. }),
        Request::Resume | Request::Rollback { .. } | Request::Commit | Request::Revert => false,
    };
    if fits {
        return Ok(());
    }
    Err(ActionError::Conflict(format!("incident {incident} is {}", open.stage.word())))
}

/// Whether the change is what the word asked for: its story says so.
fn is_heeded(word: &Word, change: &Change) -> bool {
    let is_it = |event: &Event| matches!(event, Event::Asked { request, by, .. } if (request, by) == (&word.request, &word.by));
    change.story.iter().any(is_it)
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
