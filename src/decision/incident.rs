//! An incident, from a rule firing to an outcome. One file a step below this one.
//!
//! Every step is a function of the whole picture; none of them remembers a change. A step that owes a call
//! stands still until the answer is in.

mod approval;
mod asked;
mod creating;
mod draft;
mod pinning;
mod restarting;
mod returning;
mod rolling_back;
mod settling;
mod soaking;
mod validating;

use std::time::Duration;

use super::Decision;
use super::capability::{Capabilities, Support};
use super::effect::{Answer, Effect, Reason, Verb};
use super::limits;
use super::observation::{Deployment, Freeze, Observation, Operator, Request};
use super::policy::{Mode, Policy, Rule};
use super::rule::{self, Pace, Reading, Verdict};
use super::state::{Incident, Ledger, Outcome, Requests, Stage, State, Watch};
use super::story::{Event, condition_in_words, evidence_in_words};
use super::target::{self, Pick};
use crate::ids::IncidentId;

pub use asked::{Misfit, fits};
pub(super) use asked::{begin, caller};
use draft::Draft;
pub(super) use rolling_back::ROLL_BACK_WITHIN;
pub(super) use validating::accept;

/// How long a target is looked for, validated and waited for before the incident ends in a refusal. A colleague's
/// deployment may take this long to build; a token may take this long to be replaced.
const VALIDATE_WITHIN: Duration = Duration::from_secs(30 * 60);

/// How long the platform has to say that there is no such app before nothing more is expected of it.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(30 * 60);

/// Opens the incident of `watch`'s candidate, which `rule` accuses.
pub(super) fn open(
    policy: &Policy,
    state: &State,
    watch: &Watch,
    rule: &Rule,
    reading: &Reading,
    seen: &Observation<'_>,
) -> Decision {
    let accused = &watch.candidate;
    let capabilities = seen.app.value().map(|view| view.capabilities).unwrap_or_default();
    let incident = Incident {
        id: IncidentId::of(&policy.app, &accused.id),
        opened_at: seen.at,
        first_failure_at: reading.first_failure_at.unwrap_or(seen.at),
        rule: Some(rule.name.clone()),
        evidence: Some(reading.clone()),
        asked: None,
        ending: None,
        accused: accused.clone(),
        live: watch.live.clone(),
        former: watch.former.clone(),
        restart_lost: false,
        before: watch.before.clone(),
        begun: watch.begun,
        bad_before: watch.bad_before.clone(),
        tried: Vec::new(),
        requests: Requests::default(),
        setbacks: 0,
        approved: false,
        end_waits: None,
        prediction: None,
        capabilities,
        restartable: is_restartable(policy, watch, capabilities).then(|| Box::new(watch.clone())),
        stage: Stage::Validating { target: None, call: None, deadline: seen.at + VALIDATE_WITHIN },
    };
    let mut draft = Draft::new(state.ledger.clone(), incident);
    Ledger::note(&mut draft.ledger.accused, accused.id.clone());
    draft.tell(Event::Fired {
        rule: rule.name.clone(),
        condition: condition_in_words(rule, &policy.probes),
        evidence: evidence_in_words(rule, &policy.probes, reading),
        reading: reading.clone(),
        accused: accused.id.clone(),
        title: accused.title.clone(),
    });
    if watch.bad_before.contains(&rule.name) {
        return draft.close(Outcome::Refused, Reason::BadBeforeDeployment, seen);
    }
    if !policy.arms(capabilities) {
        draft.tell(Event::Unarmed);
    }
    if policy.mode == Mode::Observe {
        return observed(policy, draft, seen);
    }
    if !policy.arms(capabilities) {
        return draft.close(Outcome::Refused, Reason::NotValid, seen);
    }
    // Where a person is asked, a freeze window is theirs to overrule.
    let is_asked = draft.incident.mode(policy) == Mode::Approve;
    let freeze = if is_asked { Freeze::default() } else { seen.operator.freeze };
    let operator = Operator { freeze, ..seen.operator.clone() };
    if let Err(reason) = limits::permit(&policy.limits, &draft.ledger, &operator, seen.at) {
        return draft.close(Outcome::Refused, reason, seen);
    }
    if seen.app.value().is_some_and(|view| view.pinned.is_some()) {
        return draft.close(Outcome::Refused, Reason::ForeignPin, seen);
    }
    draft.rule(Verb::Rollback, Reason::RuleFired);
    let had_one = watch.was_restarted && capabilities.may_restart_first();
    if policy.restart_first.is_some() && (had_one || !capabilities.may_restart_first()) {
        draft.tell(Event::RestartSkipped { restart: capabilities.restart, had_one });
    }
    validating::look(policy, draft, seen)
}

/// Whether a restart may be tried: one that was restarted by us has had its chance.
fn is_restartable(policy: &Policy, watch: &Watch, capabilities: Capabilities) -> bool {
    policy.restart_first.is_some() && capabilities.may_restart_first() && !watch.was_restarted
}

/// What observe mode would have done: the same choice of a target, and no call.
fn observed(policy: &Policy, mut draft: Draft, seen: &Observation<'_>) -> Decision {
    let history = seen.history.value().map(Vec::as_slice);
    if let Pick::Target(target) = target::pick(&draft.ledger, (&draft.incident).into(), history) {
        draft.tell_target(&target);
        draft.set_target(target);
    }
    if let Err(reason) = limits::permit(&policy.limits, &draft.ledger, seen.operator, seen.at) {
        // Recorded, since enforce would have refused here.
        draft.rule(Verb::Refuse, reason);
    }
    draft.close(Outcome::Observed, Reason::ObserveMode, seen)
}

/// Decides for an app with an open incident.
pub(super) fn decide(
    policy: &Policy,
    state: &State,
    incident: &Incident,
    seen: &Observation<'_>,
) -> Decision {
    let owed = state.owed();
    if owed.is_some() && seen.answer.is_none() {
        return Decision::stay(None);
    }
    let is_pausing = matches!(owed, Some(Effect::Pin { .. }));
    let mut draft = Draft::new(state.ledger.clone(), incident.clone());
    let answer = owed.and_then(|call| {
        let answer = seen.answer?;
        draft.tell(Event::Answered { call: call.word().to_owned(), answer: answer.clone() });
        Some(answer)
    });
    let undecided = matches!(incident.stage, Stage::AwaitingApproval { .. } | Stage::Validating { .. });
    if undecided {
        draft = match unless_withheld(policy, draft, seen) {
            Ok(draft) => draft,
            Err(end) => return end,
        };
    }
    if answer.is_none() && is_gone(incident, seen) {
        draft.tell(Event::AppGone);
        return draft.close(Outcome::Held, Reason::Blind, seen);
    }
    draft.follow_restart(seen);
    if !is_pausing {
        // The read that its answer comes with is from before the request: a pause that it shows is not what came of that.
        draft.see_pin(seen);
    }
    match incident.stage {
        Stage::AwaitingApproval { .. } => approval::look(policy, draft, seen),
        Stage::Validating { .. } => match answer {
            Some(answer) => validating::answered(policy, draft, seen, answer),
            None => validating::look(policy, draft, seen),
        },
        Stage::Restarting { .. } => match answer {
            Some(answer) => restarting::answered(policy, draft, seen, answer),
            None => restarting::look(policy, draft, seen),
        },
        Stage::Pinning { .. } => match answer {
            Some(answer) => pinning::answered(policy, draft, seen, answer),
            None => pinning::look(policy, draft, seen),
        },
        Stage::Creating { .. } => match answer {
            Some(answer) => creating::answered(policy, draft, seen, answer),
            None => creating::look(policy, draft, seen),
        },
        Stage::RollingBack { .. } => rolling_back::look(policy, draft, seen),
        Stage::Soaking { .. } => soaking::look(policy, draft, seen),
        Stage::Reverting { .. } if incident.capabilities.revert != Support::Native => match answer {
            Some(answer) => returning::answered(policy, draft, seen, answer),
            None => returning::look(policy, draft, seen),
        },
        Stage::Returning { .. } => returning::follow(draft, seen),
        Stage::Committing { .. } | Stage::Reverting { .. } => match answer {
            Some(answer) => settling::answered(policy, draft, seen, answer),
            None => settling::look(policy, draft, seen),
        },
    }
}

/// Whether a call is unanswered and the app it was for is not there any more. The steps without such a call have their
/// own ends.
fn is_gone(incident: &Incident, seen: &Observation<'_>) -> bool {
    let call = match &incident.stage {
        Stage::Restarting { call, .. }
        | Stage::Pinning { call, .. }
        | Stage::Creating { call, .. }
        | Stage::Committing { call, .. }
        | Stage::Reverting { call, .. } => call,
        _ => return false,
    };
    seen.app.missing_for(call.intended_at) >= GONE_AFTER
}

/// Goes on, unless another configuration took the right to act away before the rollback is asked for: that is the end.
fn unless_withheld(policy: &Policy, mut draft: Draft, seen: &Observation<'_>) -> Result<Draft, Decision> {
    if seen.operator.has_left {
        draft.tell(Event::Unconfigured);
        return Err(draft.close(Outcome::Superseded, Reason::Superseded, seen));
    }
    if draft.incident.mode(policy) == Mode::Observe {
        return Err(draft.close(Outcome::Observed, Reason::ObserveMode, seen));
    }
    if is_disarmed(policy, &draft.incident) {
        return Err(draft.close_unarmed(seen));
    }
    Ok(draft)
}

/// As [`unless_withheld`], and a person is asked first where the configuration says so by now and nobody has said yes.
fn unless_withheld_or_asked(
    policy: &Policy,
    draft: Draft,
    target: &Deployment,
    seen: &Observation<'_>,
) -> Result<Draft, Decision> {
    let draft = unless_withheld(policy, draft, seen)?;
    if draft.incident.mode(policy) == Mode::Approve && !draft.incident.approved {
        return Err(approval::ask(policy, draft, target.clone(), seen));
    }
    Ok(draft)
}

/// Whether the operator does not accept, or not any more, what the platform would pick. A person who ordered the rollback
/// has accepted it.
fn is_disarmed(policy: &Policy, incident: &Incident) -> bool {
    incident.asked.is_none() && !policy.arms(incident.capabilities)
}

/// What keeps an incident from going on before its rollback exists.
enum Obstacle {
    /// It is over.
    Close(Outcome, Reason),
    /// Not now.
    Wait(Reason),
}

/// The picture an incident needs in order to go on toward its rollback: the accused deployment is still live and
/// still Bad, nobody pinned the app, nothing is under way, nobody said no.
fn obstacle(policy: &Policy, incident: &Incident, seen: &Observation<'_>) -> Option<Obstacle> {
    if let Some(reason) = no_go(policy, incident, seen) {
        return Some(Obstacle::Close(Outcome::Refused, reason));
    }
    let view = seen.app.value();
    let Some((view, active)) = view.and_then(|view| Some((view, view.active.as_ref()?))) else {
        return Some(Obstacle::Wait(Reason::Blind));
    };
    if active.id != incident.accused.id {
        return Some(if active.came_after(incident.accused.age_key()) {
            Obstacle::Close(Outcome::Superseded, Reason::Superseded)
        } else {
            Obstacle::Wait(Reason::Blind)
        });
    }
    if view.pinned.is_some() {
        return Some(Obstacle::Close(Outcome::Superseded, Reason::ForeignPin));
    }
    if view.in_progress.is_some() {
        return Some(Obstacle::Wait(Reason::InProgress));
    }
    if incident.asked.is_some() {
        // A person judged it.
        return None;
    }
    match verdict_of(policy, incident, seen) {
        // What healed it may be our own request, applied and not seen yet.
        Verdict::Good if !incident.requests.targets.is_empty() => Some(Obstacle::Wait(Reason::Recovered)),
        Verdict::Good => Some(Obstacle::Close(Outcome::Refused, Reason::Recovered)),
        Verdict::Unknown => Some(Obstacle::Wait(Reason::Blind)),
        Verdict::Bad => None,
    }
}

/// A word that ends an incident before anything was written: a pause, a freeze window that is no matter of the person
/// who asked, a no.
fn no_go(policy: &Policy, incident: &Incident, seen: &Observation<'_>) -> Option<Reason> {
    match seen.operator {
        operator if operator.paused => Some(Reason::Paused),
        operator if operator.request == Some(Request::Reject) => Some(Reason::Rejected),
        operator if operator.freeze.rollback && incident.heeds(policy).rollback => Some(Reason::Freeze),
        _ => None,
    }
}

/// The reason that an answer refuses the incident with: a guard stopped the call that a person, or its time, has to lift.
fn refusal(answer: &Answer) -> Option<Reason> {
    match answer {
        Answer::NotSent(guard) => guard.refuses(),
        _ => None,
    }
}

/// What the rule that fired says now. A rule that a reload removed says nothing.
fn verdict_of(policy: &Policy, incident: &Incident, seen: &Observation<'_>) -> Verdict {
    reading_of(policy, incident, seen).map_or(Verdict::Unknown, |(_, reading)| reading.verdict)
}

/// The rule that fired, with what it reads now; none where a reload removed it.
fn reading_of<'a>(
    policy: &'a Policy,
    incident: &Incident,
    seen: &Observation<'_>,
) -> Option<(&'a Rule, Reading)> {
    let mine = policy.rules.iter().find(|rule| incident.is_of(rule))?;
    let span = (incident.live.since, seen.at);
    Some((mine, rule::read(mine, policy, seen.windows, span, Pace::Watch)))
}
