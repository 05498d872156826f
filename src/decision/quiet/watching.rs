//! Watching a candidate: what its rules say of it, whom that is told, and what becomes of it when its time is over.

use std::time::Duration;

use super::super::effect::{Reason, Verb};
use super::super::incident;
use super::super::observation::Observation;
use super::super::policy::{self, Action, Policy};
use super::super::rule::{self, Pace, Verdict};
use super::super::state::{Ledger, Live, Notice, Situation, State, Watch};
use super::super::story::{Event, evidence_in_words};
use super::super::{Change, Decision, Ruling};
use super::contains;
use crate::clock::Moment;
use crate::ids::DeploymentId;

/// How long the read is waited for that says whether it was live until the end of its watch.
const UNSEEN: Duration = Duration::from_secs(5 * 60);

/// Decides for a candidate that is under watch.
pub(super) fn under_watch(policy: &Policy, state: &State, watch: &Watch, seen: &Observation<'_>) -> Decision {
    if let Some(begun) = begun_anew(policy, watch, seen) {
        // Before anything is decided by it.
        let situation = Situation::Watching(Watch { begun, ..watch.clone() });
        return Decision::become_state(State { situation, ledger: state.ledger.clone() });
    }
    if seen.at >= watch.until {
        return match shown_until(&watch.live, seen) {
            Some(to) if to >= watch.until => end_of_watch(policy, state, watch, to, seen),
            _ if seen.at >= watch.until + UNSEEN => {
                end_of_watch(policy, state, watch, watch.live.since, seen)
            }
            // What answered since the last read may be a successor that nobody has noticed yet.
            _ => Decision { look: true, ..Decision::stay(Some(watch.until + UNSEEN)) },
        };
    }
    let readings = rule::read_all(policy, seen.windows, watch.live.since, seen.at, Pace::Watch);
    let (mut cleared, mut bad, mut is_unconfirmed) = (watch.bad_before.clone(), Vec::new(), false);
    for (rule, reading) in policy.rules.iter().zip(&readings) {
        match reading.verdict {
            Verdict::Bad if is_told(&state.ledger, watch, rule) => {}
            // Nobody is asked about what was so before, and what acts is left its watch.
            Verdict::Bad if rule.action == Action::Approve && watch.bad_before.contains(&rule.name) => {}
            Verdict::Bad => match confirmed(policy, &watch.live, rule, seen) {
                Some(reading) => bad.push((rule, reading)),
                None => is_unconfirmed = true,
            },
            Verdict::Good => {
                cleared.remove(&rule.name);
            }
            Verdict::Unknown => {}
        }
    }
    // The rule that leads furthest accuses, and of those that lead as far the first one. One that was Bad before can only
    // say that.
    let leads_to = |rule: &policy::Rule| (!watch.bad_before.contains(&rule.name), rule.action);
    let accusing = bad.iter().rev().max_by_key(|(rule, _)| leads_to(rule));
    // One that was Bad before waits for what is known of the others.
    if let Some((rule, reading)) = accusing.filter(|(rule, _)| leads_to(rule).0 || !is_unconfirmed) {
        return match rule.action {
            Action::Notify => tell(policy, state, watch, &bad, seen),
            Action::Approve | Action::Rollback => incident::open(policy, state, watch, rule, reading, seen),
        };
    }
    if is_unconfirmed {
        return Decision { look: true, ..Decision::stay(Some(watch.until)) };
    }
    if cleared.len() < watch.bad_before.len() {
        let watch = Watch { bad_before: cleared, ..watch.clone() };
        let situation = Situation::Watching(watch);
        return Decision::become_state(State { situation, ledger: state.ledger.clone() });
    }
    Decision::stay(Some(watch.until))
}

/// How often its samples were weighed anew, if that is more often than is known.
fn begun_anew(policy: &Policy, watch: &Watch, seen: &Observation<'_>) -> Option<u32> {
    let weighed = |rule: &policy::Rule| {
        let (_, probe) = rule.regression()?;
        let weighed = seen.windows.get(probe)?.gauge(&rule.name)?.weighed.as_ref()?;
        Some(weighed.begun)
    };
    policy.rules.iter().filter_map(weighed).max().filter(|begun| *begun > watch.begun)
}

/// What the rule read when the candidate was last seen to be live, if that was Bad. A deployment is accused only of
/// samples that were sent before a read which still shows it as the live one: later ones may be those of a
/// successor that nobody has noticed yet.
pub(in crate::decision) fn confirmed(
    policy: &Policy,
    live: &Live,
    rule: &policy::Rule,
    seen: &Observation<'_>,
) -> Option<rule::Reading> {
    let to = shown_until(live, seen)?;
    let reading = rule::read(rule, policy, seen.windows, (live.since, to), Pace::Watch);
    (reading.verdict == Verdict::Bad).then_some(reading)
}

/// Until when the last read shows that deployment as the live one: what answered later may be another one.
pub(in crate::decision) fn shown_until(live: &Live, seen: &Observation<'_>) -> Option<Moment> {
    let (read_at, view) = seen.app.last.as_ref()?;
    let is_live = view.active.as_ref().is_some_and(|active| active.id == live.id);
    // A sample sent at the very moment of the read is before its answer.
    is_live.then(|| (*read_at + Duration::from_millis(1)).min(seen.at))
}

/// Whether this rule only tells, and has done so of this release.
fn is_told(ledger: &Ledger, watch: &Watch, rule: &policy::Rule) -> bool {
    let is_it = |id: &DeploymentId| *id == watch.live.id || contains(&watch.former, id);
    let of_it = || ledger.notices.iter().filter(|notice| is_it(&notice.deployment));
    rule.action == Action::Notify
        // No more of one release than the list keeps.
        && (of_it().any(|notice| notice.rule == rule.name) || of_it().count() >= Ledger::KEEP)
}

/// Tells of the rules among `bad` that are there for no more than that. The watch goes on.
fn tell(
    policy: &Policy,
    state: &State,
    watch: &Watch,
    bad: &[(&policy::Rule, rule::Reading)],
    seen: &Observation<'_>,
) -> Decision {
    let (mut state, mut story) = (state.clone(), Vec::new());
    for (rule, reading) in bad.iter().filter(|(rule, _)| rule.action == Action::Notify) {
        // It may be one too many by now.
        if is_told(&state.ledger, watch, rule) {
            continue;
        }
        let (rule, evidence) = (rule.name.clone(), evidence_in_words(rule, &policy.probes, reading));
        let deployment = watch.live.id.clone();
        let event = Event::Noticed { rule: rule.clone(), deployment: deployment.clone(), evidence };
        story.push(event);
        Ledger::note(&mut state.ledger.notices, Notice { rule, deployment, at: seen.at });
    }
    let ruling = Ruling { verb: Verb::Notify, reason: Reason::RuleFired, incident: None };
    Decision::change(Change { state, effect: None, ruling: Some(ruling), closed: None, story, about: None })
}

/// A candidate whose rules are all Good at the end of its watch, by what answered until `to`, is good. One that could not be
/// judged goes on as something to be learnt: it never becomes good by the clock alone.
fn end_of_watch(
    policy: &Policy,
    state: &State,
    watch: &Watch,
    to: Moment,
    seen: &Observation<'_>,
) -> Decision {
    let readings = rule::read_all(policy, seen.windows, watch.live.since, to, Pace::Watch);
    let mut ledger = state.ledger.clone();
    let live = watch.live.clone();
    let situation = if policy.has_judging()
        && policy.judging(&readings).all(|(_, reading)| reading.verdict == Verdict::Good)
    {
        ledger.note_good(watch.candidate.clone());
        Situation::Steady { live }
    } else {
        Situation::Learning { live: Some(live) }
    };
    Decision::become_state(State { situation, ledger })
}
