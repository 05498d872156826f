//! What comes of a request after the end of its incident: a rollback that nobody waits for any more undoes what a person
//! released since then, so a person is told.

use super::super::capability::{PinKind, Targeting};
use super::super::effect::Reason;
use super::super::incident::ROLL_BACK_WITHIN;
use super::super::observation::{AppView, Artifact, Deployment, Observation};
use super::super::policy::Policy;
use super::super::state::{Hold, Ledger, Lost, Requests, Situation, State};
use super::super::story::Event;
use super::super::{Change, Decision, pin};
use super::held::may_have_made;
use super::{is_stale, newly_live, what_runs, with_what_left};
use crate::clock::Moment;
use crate::ids::{DeploymentId, IncidentId};

/// Holds the app where what went live may be what came of a lost request: once for each deployment. A platform that pins
/// shows its rollbacks by that, and a pin is held wherever it comes from.
pub(super) fn held(policy: &Policy, state: &State, seen: &Observation<'_>) -> Option<Decision> {
    // What is live when an app is seen for the first time has not replaced anything.
    state.live()?;
    let next = newly_live(policy, state, seen)?;
    let view = seen.app.value()?;
    let active = view.active.as_ref()?;
    let mut ledger = with_what_left(policy, state, &next, seen);
    let (incident, told) = match ledger.made_for(&active.id) {
        Some(incident) => {
            // A restart of ours had its incident, and is what the app ran already.
            let is_rollback = !ledger.accused.contains(&active.id) && view.capabilities.pin != PinKind::Hard;
            // Where nothing is dated an old read may show it once more.
            let is_rollback = is_rollback && active.created_ms != 0;
            let is_settled = ledger.settled.iter().any(|(id, _)| *id == active.id);
            let incident = (is_rollback && !is_settled).then(|| incident.clone())?;
            (incident, Event::LeftOver { deployment: active.id.clone() })
        }
        None => {
            let incident = take(&mut ledger, view, active, seen.at)?;
            (incident, Event::PerhapsOurs { deployments: vec![active.id.clone()], is_restart: false })
        }
    };
    let (live, runs) = (next.live()?.clone(), what_runs(seen));
    let why = Reason::RollbackFailed;
    let hold = Hold { why, incident, since: seen.at, live, runs, pin: None, kept: None };
    Some(self::hold(hold, ledger, told))
}

/// Forgets lost requests whose time is over, once a read shows that nothing came of them in it: for an hour nobody may have
/// been able to look.
pub(in super::super) fn forget(state: &State, seen: &Observation<'_>) -> Option<State> {
    let view = seen.app.value().filter(|view| shows_nothing_new(state, view))?;
    // What is under way may be it, for as long as a rollback takes.
    let takes = if view.in_progress.is_some() { ROLL_BACK_WITHIN } else { pin::LAG };
    let awaits = |hold: &Hold, of: &IncidentId| {
        let is_ours = |pin| state.ledger.made_for(pin).is_some();
        hold.incident == *of && awaits_its_pin(hold) && !hold.pin.as_ref().is_some_and(is_ours)
    };
    let is_over = |(closed_at, of, _): &Lost| {
        let is_needed = matches!(&state.situation, Situation::Held(hold) if awaits(hold, of));
        !is_needed && seen.app.since(*closed_at + Ledger::LATEST + takes).is_some()
    };
    let mut ledger = state.ledger.clone();
    ledger.lost.retain(|lost| !is_over(lost));
    let is_less = ledger.lost.len() < state.ledger.lost.len();
    is_less.then(|| State { situation: state.situation.clone(), ledger })
}

/// Whether a held pin is of a rollback that is not live yet: what it is is not known until then.
pub(super) fn awaits_its_pin(hold: &Hold) -> bool {
    hold.pin.as_ref().is_some_and(|pin| *pin != hold.live.id)
}

/// Whether what is live is what was so before, and what is pinned is known.
fn shows_nothing_new(state: &State, view: &AppView) -> bool {
    let Ledger { settled, .. } = &state.ledger;
    let is_held = |pin: &DeploymentId| matches!(&state.situation, Situation::Held(hold) if hold.pin.as_ref() == Some(pin));
    let is_known = |id: &DeploymentId| {
        state.ledger.made_for(id).is_some() || settled.iter().any(|(known, _)| known == id) || is_held(id)
    };
    let is_live = |active: &Deployment| {
        state.live().is_some_and(|live| live.id == active.id || is_stale(active, live))
            || is_known(&active.id)
    };
    // One that is not live yet may be anything.
    let is_another_s =
        |pin: &DeploymentId| !state.ledger.lost.iter().any(|lost| may_have_made(lost, pin, view));
    view.active.as_ref().is_some_and(is_live)
        && view.pinned.as_ref().is_none_or(|pin| is_known(pin) || is_another_s(pin))
}

/// Takes what is live for what came of a lost request, where one can have made it. It may be a colleague's as well, so the
/// request is waited for as before. Gives the incident whose request it was.
pub(super) fn take(
    ledger: &mut Ledger,
    view: &AppView,
    active: &Deployment,
    now: Moment,
) -> Option<IncidentId> {
    let place = made_by(ledger, view, active)?;
    recount(ledger, place, now);
    Some(note(ledger, place, active))
}

/// Remembers what may be what came of the lost request at `place`: nobody else made it.
pub(super) fn note(ledger: &mut Ledger, place: usize, made: &Deployment) -> IncidentId {
    leave(ledger, place, Some(made));
    let (_, incident, requests) = &mut ledger.lost[place];
    let incident = incident.clone();
    requests.before.insert(made.id.clone());
    Ledger::note(&mut ledger.ours, (made.id.clone(), incident.clone()));
    incident
}

/// What a person ordered to be left is, unless what may be what came of the order may be that release once more.
pub(super) fn leave(ledger: &mut Ledger, place: usize, made: Option<&Deployment>) {
    let (_, _, requests) = &mut ledger.lost[place];
    let is_another =
        |made: &Deployment, ran| requests.made(made).is_some() || made.artifact.differs_from(ran);
    let is_left =
        requests.left.as_ref().is_some_and(|(_, ran)| made.is_none_or(|made| is_another(made, ran)));
    if let Some(left) = requests.left.take_if(|_| is_left) {
        Ledger::note(&mut ledger.condemned, left);
    }
}

/// Holds the app, and tells why in the incident whose request it is about.
pub(super) fn hold(hold: Hold, ledger: Ledger, told: Event) -> Decision {
    let about = Some(hold.incident.clone());
    let state = State { situation: Situation::Held(hold), ledger };
    Decision::change(Change { state, effect: None, ruling: None, closed: None, story: vec![told], about })
}

/// It counts from when it came to light, and once: it may have counted in its incident, for all that was known.
pub(super) fn recount(ledger: &mut Ledger, place: usize, now: Moment) {
    let (_, _, requests) = &mut ledger.lost[place];
    let is_counted = requests.counted.len() >= requests.targets.len();
    let before = is_counted.then(|| requests.counted.pop()).flatten();
    requests.counted.push(now);
    // Of several that came to light at that moment it is one.
    if let Some(place) = ledger.rollbacks.iter().position(|made| Some(*made) == before) {
        ledger.rollbacks.remove(place);
    }
    ledger.count_rollback(now);
}

/// Which of the lost requests, if any, that may still be applied can have made what is live.
pub(super) fn made_by(ledger: &Ledger, view: &AppView, active: &Deployment) -> Option<usize> {
    let can_be = |requests: &Requests, ran: &Artifact| !requests.picked([active].into_iter(), ran).is_empty();
    let may_be_of = |(_, _, requests): &Lost| {
        // What was accused is condemned by then, or ordered to be left. Who names the deployment may not be heeded.
        let mut left = ledger.condemned.iter().chain(&requests.left);
        let is_picked = view.capabilities.targeting != Targeting::ByCode
            && (can_be(requests, &Artifact::default()) || left.any(|(_, ran)| can_be(requests, ran)));
        is_picked || requests.made(active).is_some()
    };
    (view.capabilities.pin != PinKind::Hard).then(|| whose(ledger, Some(active), may_be_of))?
}

/// Which of the lost requests is taken to have made `made`, as far as that is known, of those that may have. Of several it is
/// one whose target that repeats for certain, then one whose order leaves a release: so nothing goes back to that.
pub(super) fn whose(
    ledger: &Ledger,
    made: Option<&Deployment>,
    may_be_of: impl Fn(&Lost) -> bool,
) -> Option<usize> {
    let is_certain = |requests: &Requests| made.is_some_and(|made| requests.made(made).is_some());
    let rank = |(_, _, requests): &Lost| (!is_certain(requests), requests.left.is_none());
    let fitting = ledger.lost.iter().enumerate().filter(|(_, lost)| may_be_of(lost));
    fitting.min_by_key(|(_, lost)| rank(lost)).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::made::deployment;
    use crate::decision::observation::{Cause, Operator, Reading};
    use crate::decision::state::Live;

    fn lost(incident: &IncidentId, target: &str, left: Option<&str>) -> Lost {
        let before = ["good".into(), "bad".into(), "earlier".into()].into();
        let left = left.map(|left| (left.into(), Artifact::default()));
        let requests = Requests { before, targets: vec![deployment(target)], left, ..Requests::default() };
        (Moment::from_millis(0), incident.clone(), requests)
    }

    fn of(accused: &str) -> IncidentId {
        IncidentId::of(&"shop".into(), &accused.into())
    }

    fn view(live: &str, pinned: Option<&str>) -> AppView {
        let active = Deployment { cause: Cause::Rollback, created_ms: 8, ..deployment(live) };
        AppView { active: Some(active), pinned: pinned.map(DeploymentId::from), ..AppView::default() }
    }

    /// Whether a read that shows this, so long after a request got lost, makes it forgotten.
    fn is_forgotten(
        minutes: i64,
        situation: impl FnOnce(Live) -> Situation,
        ledger: Ledger,
        shown: AppView,
    ) -> bool {
        let now = Moment::from_millis(minutes * 60_000);
        let known = Live { id: "bad".into(), created_ms: 7, since: Moment::from_millis(0) };
        let ledger = Ledger { lost: vec![lost(&of("bad"), "good", None)], ..ledger };
        let state = State { situation: situation(known), ledger };
        let (app, history, operator) = (Reading::known(now, shown), Reading::never(), Operator::default());
        let seen = Observation {
            at: now,
            app: &app,
            other_was_live_at: None,
            history: &history,
            windows: &[],
            answer: None,
            operator: &operator,
        };
        forget(&state, &seen).is_some()
    }

    #[test]
    fn a_request_is_forgotten_by_a_read_that_shows_nothing_new_and_by_no_other() {
        let is_forgotten =
            |ledger, shown| is_forgotten(120, |live| Situation::Steady { live }, ledger, shown);
        let none = Ledger::default;
        assert!(is_forgotten(none(), view("bad", None)));
        assert!(!is_forgotten(none(), view("new", None)), "it may be it");
        assert!(!is_forgotten(none(), view("bad", Some("new"))), "it may be its pin");
        assert!(is_forgotten(none(), view("bad", Some("earlier"))), "it was there before");
        let known = || Ledger { settled: vec![("new".into(), Moment::default())], ..Ledger::default() };
        assert!(is_forgotten(known(), view("new", None)));
        assert!(is_forgotten(known(), view("bad", Some("new"))));
    }

    #[test]
    fn what_is_under_way_may_be_what_came_of_a_request_for_as_long_as_a_rollback_takes() {
        let under_way = || AppView { in_progress: Some("new".into()), ..view("bad", None) };
        let is_forgotten = |minutes, shown| {
            is_forgotten(minutes, |live| Situation::Steady { live }, Ledger::default(), shown)
        };
        for (minutes, quiet, busy) in [(60, false, false), (80, true, false), (91, true, true)] {
            assert_eq!(is_forgotten(minutes, view("bad", None)), quiet, "after {minutes} minutes");
            assert_eq!(is_forgotten(minutes, under_way()), busy, "after {minutes} minutes");
        }
    }

    #[test]
    fn a_hold_of_a_pin_that_may_be_of_a_request_needs_it_until_the_pin_is_live_or_known_to_be_ours() {
        let hold = |pin: &str| {
            let (incident, pin) = (of("bad"), Some(pin.into()));
            move |live| {
                let (why, since, runs) = (Reason::RollbackFailed, Moment::default(), Artifact::default());
                Situation::Held(Hold { why, incident, since, live, runs, pin, kept: None })
            }
        };
        assert!(!is_forgotten(120, hold("new"), Ledger::default(), view("bad", Some("new"))));
        assert!(is_forgotten(120, hold("bad"), Ledger::default(), view("bad", Some("bad"))));
        let ours = Ledger { ours: vec![("new".into(), of("bad"))], ..Ledger::default() };
        assert!(is_forgotten(120, hold("new"), ours, view("bad", Some("new"))));
    }

    #[test]
    fn of_requests_that_may_have_made_something_the_one_is_taken_that_it_fits_for_certain() {
        let whose = |lost: Vec<Lost>, made: Option<&Deployment>| {
            whose(&Ledger { lost, ..Ledger::default() }, made, |_| true)
        };
        let made = Deployment { cloned_from: Some("good".into()), ..deployment("new") };
        let (fits, other) = (|left| lost(&of("a"), "good", left), |left| lost(&of("b"), "earlier", left));
        assert_eq!(whose(vec![other(Some("x")), fits(None)], Some(&made)), Some(1));
        assert_eq!(whose(vec![fits(None), fits(Some("x"))], Some(&made)), Some(1));
        assert_eq!(whose(vec![fits(None), other(Some("x"))], None), Some(1), "nothing is certain yet");
        assert_eq!(whose(vec![fits(None), fits(None)], Some(&made)), Some(0));
    }

    #[test]
    fn what_was_ordered_to_be_left_is_left_by_what_surely_goes_back_or_runs_something_else() {
        let runs = |code: &str| Artifact { code: vec![("web".into(), code.into())], ..Artifact::default() };
        let is_left = |cloned_from: &str, ran: &str| {
            let left = Some(("bad".into(), runs("c1")));
            let (at, incident, requests) = lost(&of("bad"), "good", None);
            let requests = Requests { left, ..requests };
            let mut ledger = Ledger { lost: vec![(at, incident, requests)], ..Ledger::default() };
            let cloned_from = Some(cloned_from.into());
            leave(
                &mut ledger,
                0,
                Some(&Deployment { cloned_from, artifact: runs(ran), ..deployment("new") }),
            );
            !ledger.condemned.is_empty()
        };
        assert!(is_left("good", "c1") && is_left("another", "c2"));
        assert!(!is_left("another", "c1"), "it may be that release once more");
    }

    #[test]
    fn each_request_counts_once_and_of_two_that_counted_at_the_same_moment_one_counts_anew() {
        let at = Moment::from_millis;
        let targets = vec![deployment("good"); 2];
        let requests = Requests { targets, counted: vec![at(2)], ..Requests::default() };
        let incident = IncidentId::of(&"shop".into(), &"bad".into());
        let mut ledger = Ledger {
            rollbacks: vec![at(1), at(2), at(2)],
            lost: vec![(at(3), incident, requests)],
            ..Ledger::default()
        };
        recount(&mut ledger, 0, at(8));
        assert_eq!(ledger.rollbacks, [at(1), at(2), at(2), at(8)], "one of the two had not counted yet");
        recount(&mut ledger, 0, at(9));
        assert_eq!(ledger.rollbacks, [at(1), at(2), at(2), at(9)]);
        ledger.lost[0].2.counted = vec![at(2), at(2)];
        recount(&mut ledger, 0, at(9));
        assert_eq!(ledger.rollbacks, [at(1), at(2), at(9), at(9)]);
    }
}
