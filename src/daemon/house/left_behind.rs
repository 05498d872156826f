//! What nobody follows any more, since its app left the configuration while rearguard was down: what was pinned or paused
//! stays so until a person settles it, or the app is configured again.

use super::super::backend::ShellBackend;
use crate::clock::Moment;
use crate::decision::capability::PinKind;
use crate::decision::state::{Ledger, Lost, Situation, State};
use crate::ids::IncidentId;
use crate::journal::JournalError;
use crate::notify::notices;

/// What somebody has to see to.
#[derive(Debug, PartialEq, Eq)]
struct Left<'a> {
    /// The incident that it is of.
    incident: &'a IncidentId,
    what: &'static str,
    /// What that keeps from being deployed.
    keeps: &'static str,
    /// What a person can do at the platform.
    settle: &'static str,
    /// What comes of it once the app is configured again.
    again: &'static str,
}

/// Names all of it, in the log and to the channels. Whether the journal could be read.
pub(super) async fn name(backend: &ShellBackend) -> bool {
    let shell = &backend.shell;
    let journal = &shell.journal;
    // A journal that cannot be read now says so in every app's own words.
    let Ok(known) = journal.apps().await else { return false };
    let apps = backend.apps.borrow().clone();
    for id in known.iter().filter(|id| !apps.tasks.contains_key(*id)) {
        let state = match journal.load(id).await {
            Ok((state, _)) => state,
            Err(JournalError::Unavailable { .. }) => return false,
            Err(error) => {
                tracing::error!(%id, "failed to {error}; whether it left something behind is not known");
                continue;
            }
        };
        let now = shell.clock.now();
        let Some(left) = state.as_ref().and_then(|state| left_behind(state, now)) else { continue };
        let incident = left.incident;
        // It may be forgotten by now.
        let Ok(record) = journal.incident(incident).await else { return false };
        let record = record.map(|(record, _)| record);
        let app = record.as_ref().map_or("", |record| record.app.as_str());
        let rollback = record.as_ref().and_then(|record| record.rollback_deployment.as_ref());
        let rollback = rollback.map_or("none", |rollback| rollback.as_str());
        let text = format!("{} of an app that is not configured: {}", left.what, left.keeps);
        let next =
            format!("configure the app again{}; or settle it at the platform: {}", left.again, left.settle);
        tracing::error!(%app, %id, %incident, rollback, "{text}; {next}");
        if let Some(record) = &record {
            let wall = shell.clock.wall();
            let event = notices::left_behind(record, &text, &next, wall);
            shell.post.hand_in(&event, shell.clock.now(), wall);
        }
    }
    true
}

fn left_behind(state: &State, now: Moment) -> Option<Left<'_>> {
    let pin = state.ledger.soft_pin.as_ref().filter(|pin| pin.may_be_ours(now));
    let is_paused = pin.is_some_and(|pin| pin.is_there && !state.is_gone());
    let may_come = |(lost_at, ..): &&Lost| now.since(*lost_at) <= Ledger::LATEST;
    match &state.situation {
        Situation::Incident(incident) => {
            let has_hard_pin = incident.capabilities.pin == PinKind::Hard;
            let (keeps, settle) = match pin {
                Some(_) if is_paused => (PAUSED, SWITCH_ON),
                Some(_) => (PERHAPS_PAUSED, SWITCH_ON),
                None if has_hard_pin && incident.stage.rollback().is_some() => (PINNED, ANSWER),
                None if has_hard_pin => {
                    ("if a rollback was made, its pin blocks every other deployment", ANSWER)
                }
                None => ("nothing is kept from being deployed", "see what is live there"),
            };
            let again = ", and it is followed to its end";
            Some(Left { incident: &incident.id, what: "an open incident", keeps, settle, again })
        }
        Situation::Held(hold) if hold.pin.is_some() && !state.is_gone() => {
            // A pause of pushes stands in for a pin: the app is shown as pinned to the rollback that it is for.
            let (keeps, settle, again) = match pin.is_some_and(|pin| pin.holds == hold.pin) {
                true => (PAUSED, SWITCH_ON, ": rearguard resume lets pushes go"),
                false => (PINNED, ANSWER, ": rearguard commit or rearguard revert"),
            };
            Some(Left { incident: &hold.incident, what: "a held pin", keeps, settle, again })
        }
        _ if state.is_gone() => None,
        _ => match (pin, state.ledger.lost.iter().rfind(may_come)) {
            (Some(pin), _) => Some(Left {
                incident: &pin.incident,
                what: "a pause of pushes",
                keeps: if is_paused { PAUSED } else { PERHAPS_PAUSED },
                settle: SWITCH_ON,
                again: ", and pushes are let go, where it is held after rearguard resume",
            }),
            (None, Some((_, incident, _))) => Some(Left {
                incident,
                what: "a request for a rollback without an answer",
                keeps: "it may be carried out yet, and its pin may block every other deployment",
                settle: ANSWER,
                again: ", and it is looked out for",
            }),
            (None, None) => None,
        },
    }
}

const PERHAPS_PAUSED: &str = "pushes may be paused";
const PAUSED: &str = "pushes are paused, so none is deployed";
const PINNED: &str = "a pin blocks every other deployment";
const SWITCH_ON: &str = "switch automatic deployments on";
const ANSWER: &str = "commit or revert the rollback";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::effect::Reason;
    use crate::decision::observation::Artifact;
    use crate::decision::state::{CallStatus, Hold, Live, Requests, SoftPin};
    use crate::journal::made;

    fn soft(is_there: bool) -> SoftPin {
        let (id, now) = (IncidentId::of(&"shop".into(), &"bad".into()), Moment::from_millis(0));
        SoftPin { is_there, until: now, ..SoftPin::of(id) }
    }

    fn held() -> State {
        let now = Moment::from_millis(0);
        let situation = Situation::Held(Hold {
            why: Reason::SoakHealthy,
            incident: IncidentId::of(&"shop".into(), &"bad".into()),
            since: now,
            live: Live { id: "back".into(), created_ms: 7, since: now },
            runs: Artifact::default(),
            pin: Some("back".into()),
            kept: None,
        });
        State { situation, ..State::default() }
    }

    const SOON: Moment = Moment::from_millis(1_000);
    const LATER: Moment = Moment::from_millis(3_601_000);

    #[test]
    fn a_pause_of_pushes_is_left_behind_as_long_as_it_may_be_there() {
        let pause = |keeps: &'static str| Some(("a pause of pushes", keeps));
        let until = |until| SoftPin { until, seen_absent: true, ..soft(false) };
        let table = [
            (soft(true), pause(PAUSED)),
            (soft(false), pause(PERHAPS_PAUSED)),
            (until(LATER), pause(PERHAPS_PAUSED)),
            (until(SOON), None),
        ];
        for (pin, what) in table {
            let mut state = State::default();
            state.ledger.soft_pin = Some(pin.clone());
            assert_eq!(left_behind(&state, LATER).map(|left| (left.what, left.keeps)), what, "{pin:?}");
        }
        assert_eq!(left_behind(&State::default(), LATER), None);
    }

    #[test]
    fn a_request_for_a_rollback_is_left_behind_as_long_as_it_may_be_carried_out() {
        let mut state = State::default();
        let of = |accused: &str| IncidentId::of(&"shop".into(), &accused.into());
        state.ledger.lost =
            ["first", "last"].map(|accused| (SOON, of(accused), Requests::default())).to_vec();
        assert_eq!(left_behind(&state, LATER).map(|left| left.incident.clone()), Some(of("last")));
        assert_eq!(left_behind(&state, LATER + std::time::Duration::from_millis(1)), None);
    }

    #[test]
    fn it_is_said_what_is_kept_from_being_deployed_and_what_ends_that() {
        let pause = |state: State, is_there| {
            let mut state = state;
            state.ledger.soft_pin = Some(SoftPin { holds: Some("back".into()), ..soft(is_there) });
            state
        };
        let open = || made::creating(&"shop".into(), CallStatus::Owed);
        let without_pin = || {
            let mut state = open();
            if let Situation::Incident(incident) = &mut state.situation {
                incident.capabilities.pin = PinKind::Absent;
            }
            state
        };
        let table = [
            (held(), "a held pin", PINNED, ANSWER, "rearguard commit"),
            (pause(held(), true), "a held pin", PAUSED, SWITCH_ON, "rearguard resume"),
            (open(), "an open incident", "if a rollback was made", ANSWER, "followed"),
            (pause(open(), true), "an open incident", PAUSED, SWITCH_ON, "followed"),
            (pause(open(), false), "an open incident", "pushes may be paused", SWITCH_ON, "followed"),
            (without_pin(), "an open incident", "nothing is kept", "see what", "followed"),
        ];
        for (state, what, keeps, settle, again) in &table {
            let left = left_behind(state, SOON).unwrap();
            let is_so =
                left.what == *what && left.keeps.starts_with(keeps) && left.settle.starts_with(settle);
            assert!(is_so && left.again.contains(again), "{left:?}");
        }
    }
}
