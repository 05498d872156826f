//! AwaitingApproval: a person is asked before the first call of the incident. It keeps measuring meanwhile and
//! withdraws by itself when the app heals or somebody else acts.

use super::super::effect::{Reason, Verb};
use super::super::observation::{Deployment, Observation, Request};
use super::super::policy::{Mode, Policy, Rule};
use super::super::quiet;
use super::super::rule::{self, Pace, Reading, Verdict};
use super::super::state::{Outcome, Stage};
use super::super::story::{Event, condition_in_words, evidence_in_words};
use super::draft::Draft;
use super::{Decision, Obstacle, VALIDATE_WITHIN, obstacle};

/// Asks.
pub(super) fn ask(policy: &Policy, mut draft: Draft, target: Deployment, seen: &Observation<'_>) -> Decision {
    draft.tell_target(&target);
    let deadline = seen.at + policy.approve_within;
    draft.stage(Stage::AwaitingApproval { target, since: seen.at, deadline });
    draft.rule(Verb::Wait, Reason::AwaitingApproval);
    draft.done(Some(deadline), Some(Reason::AwaitingApproval))
}

/// Waits for the answer.
pub(super) fn look(policy: &Policy, mut draft: Draft, seen: &Observation<'_>) -> Decision {
    let Stage::AwaitingApproval { target, deadline, .. } = draft.incident.stage.clone() else {
        return draft.done(None, None);
    };
    if let Some((rule, reading)) = needs_no_asking(policy, &draft, seen) {
        draft.tell(Event::Escalated {
            rule: rule.name.clone(),
            condition: condition_in_words(rule, &policy.probes),
            evidence: evidence_in_words(rule, &policy.probes, &reading),
            reading: reading.clone(),
        });
        let incident = &mut draft.incident;
        (incident.rule, incident.evidence) = (Some(rule.name.clone()), Some(reading));
        let deadline = seen.at + VALIDATE_WITHIN;
        draft.stage(Stage::Validating { target: Some(target), call: None, deadline });
        draft.rule(Verb::Rollback, Reason::RuleFired);
        return super::validating::look(policy, draft, seen);
    }
    if let Some(Obstacle::Close(outcome, reason)) = obstacle(policy, &draft.incident, seen) {
        return draft.close(outcome, reason, seen);
    }
    let is_asked_no_more = draft.incident.mode(policy) == Mode::Enforce;
    if seen.operator.request == Some(Request::Approve) || is_asked_no_more {
        if !is_asked_no_more {
            draft.tell_word(seen);
            draft.incident.approved = true;
        }
        let deadline = seen.at + VALIDATE_WITHIN;
        draft.stage(Stage::Validating { target: Some(target), call: None, deadline });
        draft.rule(Verb::Rollback, Reason::RuleFired);
        return super::validating::look(policy, draft, seen);
    }
    if seen.at >= deadline {
        return draft.close(Outcome::Held, Reason::ApprovalExpired, seen);
    }
    draft.done(Some(deadline), Some(Reason::AwaitingApproval))
}

/// Another rule than the one that a person is asked about, which has become Bad meanwhile and is to be acted on at once.
fn needs_no_asking<'a>(
    policy: &'a Policy,
    draft: &Draft,
    seen: &Observation<'_>,
) -> Option<(&'a Rule, Reading)> {
    let incident = &draft.incident;
    let acts = |rule: &&Rule| {
        policy.mode_for(&rule.name) == Mode::Enforce
            && !incident.is_of(rule)
            && !incident.bad_before.contains(&rule.name)
    };
    let span = (incident.live.since, seen.at);
    let is_bad =
        |rule: &&Rule| rule::read(rule, policy, seen.windows, span, Pace::Watch).verdict == Verdict::Bad;
    let confirmed = |rule| Some((rule, quiet::confirmed(policy, &incident.live, rule, seen)?));
    policy.rules.iter().filter(acts).filter(is_bad).find_map(confirmed)
}
