//! What a person orders: a rollback whatever the rules say, or the end of a rollback that is held. The steps are those of
//! every incident (validation, the journal, a soak); what the person takes upon themselves is the judgement, and with it
//! the limits and the freeze windows that keep automation from acting. Mode observe and a pause stop them too.

use super::super::Decision;
use super::super::capability::Support;
use super::super::effect::{Reason, Verb};
use super::super::observation::{AppView, Observation, Reading, Request};
use super::super::pin;
use super::super::policy::{Mode, Policy};
use super::super::state::{
    Asked, Ending, Hold, Incident, Live, Order, PinSight, Requests, Settle, Situation, Stage, State,
};
use super::super::story::Event;
use super::draft::Draft;
use super::{VALIDATE_WITHIN, soaking, validating};
use crate::ids::{Caller, DeploymentId, IncidentId};

/// Why a person's order does not fit where the app stands. Nothing is done then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Mode observe writes nothing, whoever asks.
    #[error("the app is only observed (mode: observe); in mode approve a person's word counts")]
    Observed,
    /// A pause is for everybody.
    #[error("the app is paused, by a word or a file that its status names; end that first")]
    Paused,
    /// The platform has not shown the app yet.
    #[error("the platform has not shown yet what is live")]
    Blind,
    /// An incident is under way.
    #[error("incident {id} is {stage}")]
    Open {
        /// Which.
        id: IncidentId,
        /// How far it is.
        stage: &'static str,
    },
    /// The incident is over.
    #[error("incident {0} is closed")]
    Closed(IncidentId),
    /// A rollback pins the app already.
    #[error("the app is pinned to rollback {0}; commit or revert that first")]
    Pinned(DeploymentId),
    /// Pushes are paused for the sake of a rollback that is held.
    #[error("pushes are paused for rollback {0}, which is held; resume the app first")]
    PushesPaused(DeploymentId),
    /// What is asked for is what is live.
    #[error("deployment {0} is the live one")]
    IsLive(DeploymentId),
    /// No rollback of ours is live and unsettled.
    #[error("there is no rollback of rearguard's to settle")]
    NothingToSettle,
    /// What is held is not live, or is not pinned any more, so it is settled at the platform.
    #[error("what is held cannot be settled from here: its rollback is not the live deployment")]
    NotLive,
    /// The platform knows no way back.
    #[error("the platform has no way to undo a rollback of this app")]
    NoRevert,
}

/// Whether an order fits where the app stands, by the last read of it.
pub fn fits(
    policy: &Policy,
    state: &State,
    app: &Reading<AppView>,
    is_paused: bool,
    request: &Request,
) -> Result<(), Misfit> {
    // A pin that only the journal knows of is one to whoever asks, too.
    let shown = pin::shown(state, app);
    let view = shown.as_ref().unwrap_or(app).value();
    let open = |open: &Incident| Misfit::Open { id: open.id.clone(), stage: open.stage.word() };
    match request {
        Request::Approve | Request::Reject | Request::Resume => return Ok(()),
        Request::Rollback { .. } | Request::Commit | Request::Revert => {}
    }
    if policy.mode == Mode::Observe {
        return Err(Misfit::Observed);
    }
    if is_paused {
        return Err(Misfit::Paused);
    }
    let Some((view, active)) = view.and_then(|view| Some((view, view.active.as_ref()?))) else {
        return Err(Misfit::Blind);
    };
    match (request, &state.situation) {
        (Request::Rollback { .. }, Situation::Incident(incident)) => Err(open(incident)),
        (Request::Rollback { to, .. }, _) => match (&view.pinned, to) {
            (Some(pin), _) if state.ledger.soft_pin.is_some() => Err(Misfit::PushesPaused(pin.clone())),
            (Some(pin), _) => Err(Misfit::Pinned(pin.clone())),
            (None, Some(to)) if *to == active.id => Err(Misfit::IsLive(to.clone())),
            (None, _) => Ok(()),
        },
        (_, Situation::Incident(incident)) => match incident.stage {
            Stage::Soaking { .. } => can_end(incident, request),
            _ => Err(open(incident)),
        },
        (_, Situation::Held(hold)) => {
            let kept = hold.kept.as_ref().ok_or(Misfit::NothingToSettle)?;
            let rollback = kept.stage.rollback();
            let is_kept = hold.pin.is_none() || hold.pin.as_ref() == rollback && view.pinned == hold.pin;
            if rollback != Some(&active.id) || !is_kept {
                return Err(Misfit::NotLive);
            }
            can_end(kept, request)
        }
        _ => Err(Misfit::NothingToSettle),
    }
}

fn can_end(incident: &Incident, request: &Request) -> Result<(), Misfit> {
    match request {
        Request::Revert if incident.capabilities.revert == Support::Absent => Err(Misfit::NoRevert),
        _ => Ok(()),
    }
}

/// Begins what a person ordered, where it fits and no incident is open.
pub(in crate::decision) fn begin(policy: &Policy, state: &State, seen: &Observation<'_>) -> Option<Decision> {
    let request = seen.operator.request.as_ref()?;
    // While a call is owed nothing else is decided; the word waits for its answer.
    if state.owed().is_some() {
        return None;
    }
    fits(policy, state, seen.app, seen.operator.paused, request).ok()?;
    match (request, &state.situation) {
        (Request::Rollback { .. }, _) => roll_back(policy, state, request, seen),
        (Request::Commit | Request::Revert, Situation::Held(hold)) => settle(policy, state, hold, seen),
        _ => None,
    }
}

/// An incident without a rule, about what is live.
fn roll_back(policy: &Policy, state: &State, request: &Request, seen: &Observation<'_>) -> Option<Decision> {
    let Request::Rollback { to, accept } = request else { return None };
    let view = seen.app.value()?;
    let active = view.active.clone()?;
    let known = state.live().filter(|live| live.id == active.id).cloned();
    let now = Live { id: active.id.clone(), created_ms: active.created_ms, since: seen.at };
    let watch = match &state.situation {
        Situation::Watching(watch) if watch.live.id == active.id => Some(watch),
        _ => None,
    };
    let was = Box::new(state.situation.clone());
    let order = Order::Rollback { to: to.clone(), accept: *accept, was };
    let incident = Incident {
        id: IncidentId::asked(&policy.app, &active.id, seen.at),
        opened_at: seen.at,
        first_failure_at: seen.at,
        rule: None,
        evidence: None,
        asked: Some(Asked { by: caller(seen), order }),
        ending: None,
        live: known.unwrap_or(now),
        former: watch.map(|watch| watch.former.clone()).unwrap_or_default(),
        restart_lost: false,
        before: watch.map(|watch| watch.before.clone()).unwrap_or_default(),
        begun: watch.map_or(0, |watch| watch.begun),
        bad_before: watch.map(|watch| watch.bad_before.clone()).unwrap_or_default(),
        tried: Vec::new(),
        requests: Requests::default(),
        setbacks: 0,
        approved: true,
        end_waits: None,
        prediction: None,
        capabilities: view.capabilities,
        restartable: None,
        stage: Stage::Validating { target: None, call: None, deadline: seen.at + VALIDATE_WITHIN },
        accused: active,
    };
    let mut draft = Draft::new(state.ledger.clone(), incident);
    draft.tell_word(seen);
    draft.rule(Verb::Rollback, Reason::Requested);
    Some(validating::look(policy, draft, seen))
}

/// An incident that brings a rollback to its end which another one left.
fn settle(policy: &Policy, state: &State, hold: &Hold, seen: &Observation<'_>) -> Option<Decision> {
    let kept = hold.kept.as_deref()?;
    let (Stage::Soaking { target, rollback, live, .. }
    | Stage::Committing { target, rollback, live, .. }
    | Stage::Reverting { target, rollback, live, .. }) = kept.stage.clone()
    else {
        return None;
    };
    let pin = if hold.pin.is_some() { PinSight::Seen } else { PinSight::Absent };
    let stage =
        Stage::Soaking { target, rollback, live, pin, until: seen.at, give_up: None, restored_at: None };
    let incident = Incident {
        id: IncidentId::asked(&policy.app, &kept.accused.id, seen.at),
        opened_at: seen.at,
        first_failure_at: seen.at,
        rule: None,
        evidence: None,
        asked: Some(Asked { by: caller(seen), order: Order::Settle }),
        // What may come of them yet is remembered since that one ended.
        requests: Requests::default(),
        stage,
        ..kept.clone()
    };
    Some(soaking::look(policy, Draft::new(state.ledger.clone(), incident), seen))
}

/// The end of the soak that a person asks for now.
pub(super) fn ending(seen: &Observation<'_>) -> Option<Ending> {
    let settle = match seen.operator.request.as_ref()? {
        Request::Commit => Settle::Commit,
        Request::Revert => Settle::Revert,
        _ => return None,
    };
    Some(Ending { settle, by: caller(seen) })
}

/// Whose word it is.
pub(in super::super) fn caller(seen: &Observation<'_>) -> Caller {
    seen.operator.by.clone().unwrap_or_else(|| Caller::from("somebody"))
}

impl Draft {
    /// Puts a person's word into the story.
    pub(super) fn tell_word(&mut self, seen: &Observation<'_>) {
        if let Some(request) = seen.operator.request.clone() {
            let live = &self.incident.accused;
            let (live, title) = (live.id.clone(), live.title.clone());
            let target = match &self.incident.stage {
                Stage::AwaitingApproval { target, .. } => Some(target.id.clone()),
                _ => None,
            };
            self.tell(Event::Asked { request, by: caller(seen), live, title, target });
        }
    }
}
