//! RollingBack: the rollback deployment is followed to a terminal phase, and its pin with it.

use std::time::Duration;

use super::super::capability::{PinKind, Targeting};
use super::super::effect::Reason;
use super::super::observation::{AppView, Cause, Deployment, Observation, Phase};
use super::super::policy::Policy;
use super::super::state::{Incident, Live, Outcome, PinSight, Stage};
use super::super::story::Event;
use super::draft::Draft;
use super::{Decision, creating, restarting, soaking};
use crate::clock::Moment;
use crate::ids::DeploymentId;

/// A rollback that is not live after this long needs a person. The longest one reported took two minutes;
/// a static site that has to be rebuilt takes longer.
pub(in super::super) const ROLL_BACK_WITHIN: Duration = Duration::from_secs(30 * 60);
/// How long a pin may stay unseen after the platform accepted the rollback: reads may lag behind writes.
const PIN_WITHIN: Duration = Duration::from_secs(90);
/// A pin that was seen has to be missing in two reads this far apart before a person is believed to have acted.
const PIN_GONE_FOR: Duration = Duration::from_secs(3);

/// The rollback exists.
pub(super) fn begin(
    policy: &Policy,
    mut draft: Draft,
    target: Deployment,
    rollback: Deployment,
    seen: &Observation<'_>,
) -> Decision {
    stage(&mut draft, target, rollback, seen);
    look(policy, draft, seen)
}

fn stage(draft: &mut Draft, target: Deployment, rollback: Deployment, seen: &Observation<'_>) {
    let awaited = PinSight::Awaited { since: seen.at };
    let pin = match (draft.incident.capabilities.pin, &mut draft.ledger.soft_pin) {
        (PinKind::Hard, _) => awaited,
        (_, Some(pin)) if pin.is_there => {
            pin.holds = Some(rollback.id.clone());
            awaited
        }
        _ => PinSight::Absent,
    };
    let deadline = seen.at + ROLL_BACK_WITHIN;
    draft.stage(Stage::RollingBack { target, rollback, pin, deadline });
}

/// Follows it.
pub(super) fn look(policy: &Policy, mut draft: Draft, seen: &Observation<'_>) -> Decision {
    let Stage::RollingBack { target, rollback, mut pin, deadline } = draft.incident.stage.clone() else {
        return draft.done(None, None);
    };
    let Some(view) = seen.app.since(draft.incident.opened_at) else {
        return wait(draft, deadline, Some(Reason::Blind), seen);
    };
    if let Some((target, other)) = another_of_ours(&draft, &rollback, view, seen) {
        return follow_instead(draft, target, other, seen);
    }
    if let Some(made) = soaking::restarted_late(&draft, &rollback, seen) {
        return soaking::go_on_as(draft, made, seen);
    }
    match sight(&mut pin, &rollback.id, view, seen.app.read_at().unwrap_or(seen.at)) {
        Sight::Kept => {}
        Sight::Lost(reason) => return lost(draft, reason, seen),
    }
    let current = current(&rollback, view, seen);
    if let Some(wrong) = wrong_target(&draft.incident, &current, &target) {
        draft.tell(wrong);
        return draft.close(Outcome::Held, Reason::WrongTarget, seen);
    }
    match current.phase {
        Phase::Error | Phase::Canceled => {
            return draft.close(Outcome::Failed, Reason::RollbackFailed, seen);
        }
        Phase::Superseded => return lost(draft, Reason::Superseded, seen),
        Phase::Active => return live(policy, draft, &target, current, pin, seen),
        Phase::InProgress | Phase::Unknown => {}
    }
    if is_overtaken(&rollback, &draft, view) {
        return lost(draft, Reason::Superseded, seen);
    }
    draft.stage(Stage::RollingBack { target, rollback, pin, deadline });
    wait(draft, deadline, None, seen)
}

/// Waits, and gives it up in the end.
fn wait(mut draft: Draft, deadline: Moment, waiting: Option<Reason>, seen: &Observation<'_>) -> Decision {
    match patience(deadline, seen) {
        Patience::Until(wake_at) => draft.done(Some(wake_at), waiting),
        Patience::Over => draft.close(Outcome::Held, Reason::RollbackFailed, seen),
        Patience::Anew => {
            if let Stage::RollingBack { deadline, .. } = &mut draft.incident.stage {
                *deadline = seen.at;
            }
            draft.done(None, waiting)
        }
    }
}

/// How long something that was to be live is waited for.
pub(super) enum Patience {
    /// No longer.
    Over,
    /// Until then.
    Until(Moment),
    /// From now on, for the read that nobody was there to send.
    Anew,
}

/// Until the deadline, and beyond it for a first read after it: what came about while nobody looked is not given up on. Only
/// a platform that stays out of reach ends the wait without one.
pub(super) fn patience(deadline: Moment, seen: &Observation<'_>) -> Patience {
    let last = deadline + ROLL_BACK_WITHIN;
    match seen.app.since(deadline) {
        Some(_) => Patience::Over,
        None if seen.at < deadline => Patience::Until(deadline),
        None if seen.at < last => Patience::Until(last),
        None if seen.app.fault.is_some() => Patience::Over,
        None => Patience::Anew,
    }
}

/// What a read says about a pin that should be ours.
pub(super) enum Sight {
    /// Nothing speaks against it.
    Kept,
    /// It is gone or another one is there.
    Lost(Reason),
}

/// Takes the read of `view`, sent at `read_at`, into account.
pub(super) fn sight(pin: &mut PinSight, rollback: &DeploymentId, view: &AppView, read_at: Moment) -> Sight {
    match (&view.pinned, *pin) {
        // What the journal alone says, where a read does not, takes nothing back that another read said.
        (Some(pinned), PinSight::Missing { .. })
            if pinned == rollback && view.capabilities.pin == PinKind::Soft && view.pushes.is_none() => {}
        (Some(pinned), _) if pinned == rollback => *pin = PinSight::Seen,
        (None, PinSight::Absent) => {}
        (Some(_), _) => return Sight::Lost(Reason::ForeignPin),
        (None, PinSight::Awaited { since }) if read_at.since(since) >= PIN_WITHIN => {
            return Sight::Lost(Reason::Superseded);
        }
        (None, PinSight::Awaited { .. }) => {}
        (None, PinSight::Seen) => *pin = PinSight::Missing { since: read_at },
        (None, PinSight::Missing { since }) if read_at.since(since) >= PIN_GONE_FOR => {
            return Sight::Lost(Reason::Superseded);
        }
        (None, PinSight::Missing { .. }) => {}
    }
    Sight::Kept
}

/// The rollback deployment as the freshest read shows it.
pub(super) fn current(rollback: &Deployment, view: &AppView, seen: &Observation<'_>) -> Deployment {
    if let Some(active) = view.active.as_ref().filter(|active| active.id == rollback.id) {
        return Deployment { phase: Phase::Active, ..active.clone() };
    }
    let listed = seen.history.value().into_iter().flatten().find(|entry| entry.id == rollback.id);
    listed.unwrap_or(rollback).clone()
}

/// What came back is held against what was wanted, as soon as it can be told to be something else. Where the platform was
/// not told which deployment to go back to it has to be told by the time it is live; where it was, its word that it
/// repeats that one is enough, and so is no word at all.
pub(super) fn wrong_target(incident: &Incident, now: &Deployment, wanted: &Deployment) -> Option<Event> {
    let (got, expected) = (&now.artifact, &wanted.artifact);
    // Of what nobody knew what it runs, which the operator accepted, nothing can be told afterwards either.
    let is_checked = incident.capabilities.targeting.is_checked();
    if expected.code.is_empty() || !is_checked && now.cloned_from.as_ref() == Some(&wanted.id) {
        return None;
    }
    // What both may have been made from tells neither from the other.
    let leaving = match wanted.id == incident.accused.id {
        true => incident.stage.rollback_made().map(|rollback| &rollback.artifact),
        false => Some(&incident.accused.artifact),
    };
    let is_told_apart =
        got.shares_code_with(expected) || leaving.is_none_or(|leaving| got.differs_from(leaving));
    let cannot_be_told =
        is_checked && now.phase == Phase::Active && !(got.can_be_held_against(expected) && is_told_apart);
    // What a row that does not say its code yet was made from may be what is at hand and not what it goes back to.
    let is_said = now.phase == Phase::Active || got.shares_code_with(expected);
    (is_said && got.differs_from(expected) || cannot_be_told).then(|| Event::WrongTarget {
        deployment: now.id.clone(),
        expected: expected.code.clone(),
        got: got.code.clone(),
        is_accused: got.same_as(&incident.accused.artifact) && wanted.id != incident.accused.id,
    })
}

/// Whether something newer than our rollback is live.
pub(super) fn is_overtaken(rollback: &Deployment, draft: &Draft, view: &AppView) -> bool {
    view.active
        .as_ref()
        .is_some_and(|active| active.id != draft.incident.accused.id && active.came_after(rollback.age_key()))
}

/// Ends the incident whose rollback is not the last word any more. That is a person's doing, unless what is live instead may
/// be what came of a request without an answer: which of the two was taken for ours before is not known then, and what the
/// platform picked, or restarted, may be anything.
pub(super) fn lost(mut draft: Draft, reason: Reason, seen: &Observation<'_>) -> Decision {
    match came_instead(&draft, seen) {
        Some((other, is_restart)) => {
            draft.tell(Event::PerhapsOurs { deployments: vec![other.id.clone()], is_restart });
            // That it is live, or what it is, is no person's answer to the hold.
            match other.cause {
                Cause::Restart => restarting::note(&mut draft, other),
                _ => draft.note_perhaps_ours(&other.id),
            }
            draft.close(Outcome::Held, Reason::WrongTarget, seen)
        }
        None => draft.close(Outcome::Superseded, reason, seen),
    }
}

/// What is live instead of our rollback, where it may be what the platform picked, or restarted, for a request without an
/// answer, and whether that was the request for a restart.
fn came_instead<'a>(draft: &Draft, seen: &Observation<'a>) -> Option<(&'a Deployment, bool)> {
    let Incident { requests, capabilities, accused, restart_lost, .. } = &draft.incident;
    let rollback = draft.incident.stage.rollback_made()?;
    let view = seen.app.value().filter(|_| capabilities.pin != PinKind::Hard)?;
    let active = view.active.as_ref().filter(|_| is_overtaken(rollback, draft, view))?;
    let is_picked = capabilities.targeting == Targeting::PlatformPicks
        && !requests.targets.is_empty()
        && (requests.made(active).is_some()
            || !requests.picked([active].into_iter(), &accused.artifact).is_empty());
    let is_restarted = *restart_lost && restarting::can_be(&draft.incident, active);
    (is_picked || is_restarted).then_some((active, !is_picked))
}

/// The other one, where two requests of ours were applied, the first one late. The one that is pinned counts; where the
/// platform pins none, the later one, which is what will be live. A person's who went back to the same then is no other
/// one to anybody.
pub(super) fn another_of_ours(
    draft: &Draft,
    rollback: &Deployment,
    view: &AppView,
    seen: &Observation<'_>,
) -> Option<(Deployment, Deployment)> {
    let counts = |found: &Deployment| match draft.incident.capabilities.pin {
        PinKind::Hard => view.pinned.as_ref() == Some(&found.id),
        PinKind::Soft | PinKind::Absent => {
            (found.id == rollback.id || found.came_after(rollback.age_key()))
                && !matches!(found.phase, Phase::Error | Phase::Canceled)
        }
    };
    // Beyond as many as were asked for without an answer, what goes back to the same is a colleague's.
    let may_be_ours = |found: &Deployment| {
        draft.ledger.made_for(&found.id).is_some()
            || draft.found(rollback) < draft.incident.requests.targets.len()
    };
    let ours = creating::all_ours(&draft.incident, seen);
    let mut newest_first = ours.iter().rev().filter(|(_, found)| may_be_ours(found));
    let (target, found) = newest_first.find(|(_, found)| counts(found))?;
    (found.id != rollback.id).then(|| ((*target).clone(), (*found).clone()))
}

/// Goes on with that one, as soon as the app is seen to be pinned to it where we are the ones who know.
pub(super) fn follow_instead(
    mut draft: Draft,
    target: Deployment,
    other: Deployment,
    seen: &Observation<'_>,
) -> Decision {
    creating::count(&mut draft, &other, seen);
    draft.tell(Event::Adopted { call: "create_rollback".to_owned(), deployment: Some(other.id.clone()) });
    stage(&mut draft, target, other, seen);
    draft.done(None, None)
}

fn live(
    policy: &Policy,
    mut draft: Draft,
    target: &Deployment,
    rollback: Deployment,
    pin: PinSight,
    seen: &Observation<'_>,
) -> Decision {
    let live = Live { id: rollback.id.clone(), created_ms: rollback.created_ms, since: seen.at };
    let until = seen.at + policy.soak.period;
    draft.tell(Event::SoakBegan {
        rollback: rollback.id.clone(),
        seconds: policy.soak.period.as_secs(),
        min_samples: policy.soak.min_samples,
    });
    draft.stage(Stage::Soaking {
        target: target.id.clone(),
        rollback,
        live,
        pin,
        until,
        give_up: None,
        restored_at: None,
    });
    draft.done(Some(until), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::capability::{Capabilities, Pushes};
    use crate::decision::observation::Artifact;
    use crate::decision::scenarios::{World, policy};

    fn at(millis: i64) -> Moment {
        Moment::from_millis(millis)
    }

    /// What is known of the pin after a read at `read_at` that shows `pinned`, or why it is lost.
    fn seen(mut pin: PinSight, pinned: Option<&str>, read_at: i64) -> Result<PinSight, Reason> {
        let view = AppView { pinned: pinned.map(DeploymentId::from), ..AppView::default() };
        match sight(&mut pin, &"ours".into(), &view, at(read_at)) {
            Sight::Kept => Ok(pin),
            Sight::Lost(reason) => Err(reason),
        }
    }

    #[test]
    fn a_pin_is_believed_to_be_gone_when_it_was_awaited_or_missed_for_long() {
        let awaited = PinSight::Awaited { since: at(0) };
        let missing = PinSight::Missing { since: at(0) };
        for pin in [awaited, missing, PinSight::Seen] {
            assert_eq!(seen(pin, Some("ours"), 1), Ok(PinSight::Seen));
            assert_eq!(seen(pin, Some("theirs"), 1), Err(Reason::ForeignPin));
        }
        assert_eq!(seen(PinSight::Seen, None, 7), Ok(PinSight::Missing { since: at(7) }));
        assert_eq!(seen(awaited, None, 89_999), Ok(awaited));
        assert_eq!(seen(awaited, None, 90_000), Err(Reason::Superseded));
        assert_eq!(seen(missing, None, 2_999), Ok(missing));
        assert_eq!(seen(missing, None, 3_000), Err(Reason::Superseded));
    }

    #[test]
    fn what_the_journal_alone_says_of_a_pin_takes_nothing_back() {
        let missing = PinSight::Missing { since: at(0) };
        let after = |kind, pushes, pinned: &str| {
            let capabilities = Capabilities { pin: kind, ..Capabilities::default() };
            let view = AppView { pinned: Some(pinned.into()), pushes, capabilities, ..AppView::default() };
            let mut pin = missing;
            let kept = matches!(sight(&mut pin, &"ours".into(), &view, at(1)), Sight::Kept);
            kept.then_some(pin)
        };
        assert_eq!(after(PinKind::Soft, None, "ours"), Some(missing));
        assert_eq!(after(PinKind::Soft, Some(Pushes::Paused), "ours"), Some(PinSight::Seen));
        assert_eq!(after(PinKind::Hard, None, "ours"), Some(PinSight::Seen));
        assert_eq!(after(PinKind::Soft, None, "theirs"), None);
    }

    #[test]
    fn what_is_under_way_is_no_other_one_by_what_it_may_have_been_made_from() {
        let mut world = World::with_bad_release(policy());
        world.run_to_stage("rolling_back");
        let mut incident = world.state.incident().expect("an incident").clone();
        incident.capabilities.targeting = Targeting::PlatformPicks;
        let artifact = |what: &str, source: &str| Artifact {
            code: vec![(what.to_owned(), source.to_owned())],
            source: vec![("commit".to_owned(), source.to_owned())],
            ..Artifact::default()
        };
        let wanted =
            Deployment { id: "wanted".into(), artifact: artifact("image", "c1"), ..incident.accused.clone() };
        let now = |phase| Deployment {
            phase,
            cloned_from: None,
            artifact: artifact("commit", "c2"),
            ..wanted.clone()
        };
        assert_eq!(wrong_target(&incident, &now(Phase::InProgress), &wanted), None);
        assert!(wrong_target(&incident, &now(Phase::Active), &wanted).is_some());
    }

    #[test]
    fn a_platform_that_pins_has_its_time_to_show_the_pin() {
        let mut world = World::with_bad_release(policy());
        world.run_to_stage("rolling_back");
        let Some(Stage::RollingBack { pin, .. }) = world.state.incident().map(|open| &open.stage) else {
            panic!("{:?}", world.state)
        };
        assert!(matches!(pin, PinSight::Awaited { .. }), "{pin:?}");
    }

    #[test]
    fn a_commit_that_both_were_made_from_tells_neither_from_the_other() {
        // A row without an image has its commit as all that is said of its code.
        let of = |image: &str, commit: &str| {
            let image = (!image.is_empty()).then(|| ("image".to_owned(), image.to_owned()));
            let mut said = image.into_iter().chain([("commit".to_owned(), commit.to_owned())]);
            Artifact {
                code: said.next().into_iter().collect(),
                source: said.collect(),
                ..Artifact::default()
            }
        };
        let mut world = World::with_bad_release(policy());
        world.run_to_stage("rolling_back");
        let mut incident = world.state.incident().expect("an incident").clone();
        incident.capabilities.targeting = Targeting::PlatformPicks;
        let wrong = |incident: &Incident, wanted: &Artifact, got: Artifact| {
            let wanted = Deployment { artifact: wanted.clone(), ..incident.accused.clone() };
            let wanted = Deployment { id: "wanted".into(), ..wanted };
            let now = Deployment { artifact: got, phase: Phase::Active, cloned_from: None, ..wanted.clone() };
            wrong_target(incident, &now, &wanted).is_some()
        };
        // Two images of one commit, and a row that names no image.
        let wanted = of("image-1", "c1");
        incident.accused.artifact = of("image-2", "c1");
        assert!(wrong(&incident, &wanted, of("", "c1")));
        assert!(!wrong(&incident, &wanted, of("image-1", "c1")));
        assert!(wrong(&incident, &wanted, of("image-2", "c1")));
        // Of two commits the row's says which it is.
        incident.accused.artifact = of("image-2", "c2");
        assert!(!wrong(&incident, &wanted, of("", "c1")));
        assert!(wrong(&incident, &wanted, of("", "c2")));
    }
}
