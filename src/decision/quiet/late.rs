//! What comes of a request after the end of its incident: a rollback that nobody waits for any more undoes what a person
//! released since then, so a person is told.

use std::time::Duration;

use super::super::capability::{PinKind, Targeting};
use super::super::effect::Reason;
use super::super::observation::{AppView, Artifact, Deployment, Observation};
use super::super::policy::Policy;
use super::super::state::{Hold, Ledger, Requests, Situation, State};
use super::super::story::Event;
use super::super::{Change, Decision};
use super::{newly_live, what_runs, with_what_left};
use crate::clock::Moment;
use crate::ids::IncidentId;

/// How long after the end of its incident a request may still be applied. The longest delay reported is minutes.
pub(super) const LATEST: Duration = Duration::from_secs(60 * 60);

/// Holds the app where what went live may be what came of a lost request: once for each deployment. A platform that pins
/// shows its rollbacks by that, and a pin is held wherever it comes from.
pub(super) fn held(policy: &Policy, state: &State, seen: &Observation<'_>) -> Option<Decision> {
    // What is live when an app is seen for the first time has not replaced anything.
    state.live()?;
    let next = newly_live(policy, state, seen)?;
    let view = seen.app.value()?;
    let active = view.active.as_ref().filter(|active| state.ledger.made_for(&active.id).is_none())?;
    let place = made_by(&state.ledger, view, active, seen.at)?;
    let mut ledger = with_what_left(policy, state, &next, seen);
    let (closed_at, incident, requests) = &mut ledger.lost[place];
    let (closed_at, incident) = (*closed_at, incident.clone());
    requests.before.insert(active.id.clone());
    recount(&mut ledger, closed_at, seen.at);
    Ledger::note(&mut ledger.ours, (active.id.clone(), incident.clone()));
    let (live, runs) = (next.live()?.clone(), what_runs(seen));
    let (why, about) = (Reason::RollbackFailed, Some(incident.clone()));
    let hold = Hold { why, incident, since: seen.at, live, runs, pin: None, kept: None };
    let story = vec![Event::PerhapsOurs { deployments: vec![active.id.clone()] }];
    let state = State { situation: Situation::Held(hold), ledger };
    Some(Decision::change(Change { state, effect: None, ruling: None, closed: None, story, about }))
}

/// Whether a lost request that may still be applied can have made what is live.
pub(super) fn is_lost_one(ledger: &Ledger, view: &AppView, active: &Deployment, now: Moment) -> bool {
    made_by(ledger, view, active, now).is_some()
}

/// It counts from when it came to light, and once: it may have counted at the end of its incident.
pub(super) fn recount(ledger: &mut Ledger, closed_at: Moment, now: Moment) {
    // Of several that came to light at that moment it is one.
    if let Some(place) = ledger.rollbacks.iter().position(|made| *made == closed_at) {
        ledger.rollbacks.remove(place);
    }
    ledger.count_rollback(now);
}

/// Which of the lost requests can have made it.
fn made_by(ledger: &Ledger, view: &AppView, active: &Deployment, now: Moment) -> Option<usize> {
    let can_be = |requests: &Requests, ran: &Artifact| !requests.picked([active].into_iter(), ran).is_empty();
    let may_be_of = |(closed_at, _, requests): &(Moment, IncidentId, Requests)| {
        // What was accused is condemned by then. Who names the deployment may not be heeded.
        let is_picked = view.capabilities.targeting != Targeting::ByCode
            && (can_be(requests, &Artifact::default())
                || ledger.condemned.iter().any(|(_, ran)| can_be(requests, ran)));
        now.since(*closed_at) <= LATEST && (is_picked || requests.made(active).is_some())
    };
    let mut lost = ledger.lost.iter();
    (view.capabilities.pin != PinKind::Hard).then(|| lost.position(may_be_of))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_rollbacks_that_were_counted_at_the_same_moment_one_counts_anew() {
        let at = Moment::from_millis;
        let mut ledger = Ledger { rollbacks: vec![at(1), at(2), at(2)], ..Ledger::default() };
        recount(&mut ledger, at(2), at(9));
        assert_eq!(ledger.rollbacks, [at(1), at(2), at(9)]);
        recount(&mut ledger, at(3), at(9));
        assert_eq!(ledger.rollbacks, [at(1), at(2), at(9), at(9)], "it had not counted yet");
    }
}
