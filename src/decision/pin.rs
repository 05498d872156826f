//! A pin that the platform does not keep: the pause of pushes, which we asked for and owe the app the end of.
//!
//! It outlives its incident. Whatever that came to, and whoever acted meanwhile, pushes are let go again once nothing
//! needs their pause, unless a person has let them go already: that is seen and left alone.

use std::time::Duration;

use super::capability::{PinKind, Pushes};
use super::effect::{Answer, Effect, Guard, Reason, Rejection};
use super::incident::GONE_AFTER;
use super::observation::{AppView, Observation, Reading};
use super::policy::{Mode, Policy};
use super::state::{Call, CallStatus, SoftPin, State};
use super::story::Event;
use super::{Change, Decision};
use crate::clock::Moment;

/// How long after it was asked for a pause may still come about. The longest delay reported of a write is minutes.
pub(super) const LATEST: Duration = Duration::from_secs(60 * 60);
/// How long after it was asked for it may come about where pushes were let go meanwhile. Sooner than [`LATEST`], since from
/// then on it is likelier by far that a person paused them.
const SOON: Duration = Duration::from_secs(5 * 60);
/// How far reads may lag behind a write.
pub(super) const LAG: Duration = Duration::from_secs(90);
/// The longest time between two tries to end it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What is read of an app, with the pin that only the journal knows of: the app stands as pinned to the rollback that
/// the pause is for, until a read shows that pushes are deployed.
pub(super) fn shown(state: &State, app: &Reading<AppView>) -> Option<Reading<AppView>> {
    let pin = state.ledger.soft_pin.as_ref()?;
    let (read_at, view) = app.last.as_ref()?;
    let holds = pin.holds.as_ref()?;
    // A read that may be from before the pause says nothing of its end.
    let is_over = view.pushes == Some(Pushes::Deploy) && *read_at >= pin.is_shown_from();
    if is_over || view.pinned.is_some() {
        return None;
    }
    let view = AppView { pinned: Some(holds.clone()), ..view.clone() };
    Some(Reading { last: Some((*read_at, view)), fault: app.fault, missing: app.missing })
}

/// What the end of a pause that nothing needs any more waits for.
pub(super) fn waits(policy: &Policy, state: &State, seen: &Observation<'_>) -> Option<Reason> {
    let pin = state.ledger.soft_pin.as_ref().filter(|pin| pin.holds.is_none() && !pin.is_app_gone)?;
    if pin.doubted_at.is_some() {
        return Some(Reason::ForeignPin);
    }
    if !pin.is_there {
        return None;
    }
    match &pin.release {
        _ if seen.operator.paused => Some(Reason::Paused),
        _ if policy.mode == Mode::Observe => Some(Reason::ObserveMode),
        Some(Call { status: CallStatus::Backoff { why, .. }, .. }) => Some(*why),
        _ => None,
    }
}

/// Lets pushes go, outside incidents, when nothing needs their pause. `None` when there is nothing to be decided.
pub(super) fn let_go(policy: &Policy, state: &State, seen: &Observation<'_>) -> Option<Decision> {
    let pin = state.ledger.soft_pin.as_ref()?;
    if let Some(Call { status: CallStatus::Owed, .. }) = &pin.release {
        let Some(answer) = seen.answer else { return Some(Decision::stay(None)) };
        return Some(answered(state, pin, answer, seen));
    }
    match (pin.is_app_gone, is_gone(seen)) {
        // What is no more than told is owed nothing.
        (false, true) if !pin.may_be_ours(seen.at) => {
            return Some(become_pin(state, pin, None, Vec::new(), None));
        }
        // It may come back, paused as it was.
        (false, true) => {
            let new = SoftPin { release: None, tries: 0, is_app_gone: true, ..pin.clone() };
            return Some(become_pin(state, pin, Some(new), vec![Event::AppGone], None));
        }
        (true, false) if seen.app.fault.is_none() && seen.app.last.is_some() => {
            let new = SoftPin { is_app_gone: false, ..pin.clone() };
            return Some(become_pin(state, pin, Some(new), Vec::new(), None));
        }
        (true, _) => return None,
        (false, false) if pin.holds.is_some() => return None,
        (false, false) => {}
    }
    let is_shown = || seen.app.since(pin.is_shown_from()).is_some();
    let view = seen.app.since(pin.over_at)?;
    let Some(pushes) = view.pushes else {
        // Of an app that pushes cannot be kept from any more nothing is ever shown.
        let is_over = view.capabilities.pin != PinKind::Soft
            && !pin.may_be_ours(seen.at)
            && !pin.is_to_be_told(seen.at);
        return is_over.then(|| become_pin(state, pin, None, Vec::new(), None));
    };
    let waits_until = match &pin.release {
        Some(Call { status: CallStatus::Backoff { until, .. }, .. }) => Some(*until),
        _ => None,
    };
    match pushes {
        // The read before the request was sent says nothing of what became of it.
        Pushes::Paused if waits_until.is_some_and(|until| seen.app.since(until).is_none()) => None,
        Pushes::Paused if pin.may_be_ours(seen.at) => try_again(policy, state, pin, seen),
        Pushes::Paused => doubted(state, pin, seen.at),
        // From before the pause, for all that is known.
        Pushes::Deploy if pin.is_there && !is_shown() => None,
        Pushes::Deploy if pin.doubted_at.is_some() => {
            // A read from before the pause says nothing of it.
            let is_over = pin.doubted_at.is_some_and(|since| seen.app.since(since + LAG).is_some());
            // A pause that a person has ended was theirs: ours may come yet, and is told then.
            let awaited = || SoftPin { doubted_at: None, ..pin.clone() };
            let left = pin.is_to_be_told(seen.at).then(awaited);
            is_over.then(|| become_pin(state, pin, left, Vec::new(), None))
        }
        Pushes::Deploy if pin.is_there => {
            Some(over(state, pin, seen_over(pin, seen.at), Sureness::ByRead, seen.at))
        }
        // Only a read that a request would show by now says that it left nothing.
        Pushes::Deploy if !pin.seen_absent => {
            let new = || SoftPin { seen_absent: true, ..pin.clone() };
            is_shown().then(|| become_pin(state, pin, Some(new()), Vec::new(), None))
        }
        // Nothing comes of it after its time.
        Pushes::Deploy => {
            let is_settled = settled_from(pin).is_some_and(|from| seen.app.since(from).is_some());
            let is_over = is_settled || seen.at > pin.until;
            if is_over && pin.is_to_be_told(seen.at) {
                // It is not waited for any more, but what comes of it is told.
                let until = pin.until.min(seen.at);
                let new = SoftPin { until, ..pin.clone() };
                return (new != *pin).then(|| become_pin(state, pin, Some(new), Vec::new(), None));
            }
            is_over.then(|| become_pin(state, pin, None, Vec::new(), None))
        }
    }
}

/// A pause that comes too late to be taken for ours is a person's, and nobody undoes that. Where a lost request of ours may
/// have made it this is told, for an hour.
fn doubted(state: &State, pin: &SoftPin, now: Moment) -> Option<Decision> {
    match pin.doubted_at {
        Some(since) if now.since(since) <= LATEST => None,
        // No read from after the time in which it may come about has shown that it did not.
        None if pin.lost_at.or(pin.rollback_at).is_some() => {
            let new = SoftPin { doubted_at: Some(now), ..pin.clone() };
            Some(become_pin(state, pin, Some(new), vec![Event::PausedPerhapsByUs], None))
        }
        _ => Some(become_pin(state, pin, None, Vec::new(), None)),
    }
}

/// How it is known that pushes are deployed again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sureness {
    /// The platform said that it did it.
    Answered,
    /// A read shows it, which may lag behind the pause.
    ByRead,
}

/// Whether the platform has said for long that there is no such app: nothing is owed to it any more.
pub(super) fn is_gone(seen: &Observation<'_>) -> bool {
    seen.app.missing_for(Moment::default()) >= GONE_AFTER
}

/// Asks for the end, unless it has to wait.
fn try_again(policy: &Policy, state: &State, pin: &SoftPin, seen: &Observation<'_>) -> Option<Decision> {
    let mut shown = pin.clone();
    shown.see(seen.at);
    if seen.operator.paused || policy.mode == Mode::Observe {
        // That it is there is known from now on, however long the end has to wait.
        return (!pin.is_there).then(|| become_pin(state, pin, Some(shown), Vec::new(), None));
    }
    let attempt = pin.tries + 1;
    let release = Call { attempt, intended_at: seen.at, status: CallStatus::Owed };
    let new = SoftPin { release: Some(release), tries: attempt, ..shown };
    // What goes on for days is told less and less often.
    let event = Event::Call { call: Effect::Unpin, attempt, pin: PinKind::Soft };
    let story = if attempt.is_power_of_two() { vec![event] } else { Vec::new() };
    Some(become_pin(state, pin, Some(new), story, Some(Effect::Unpin)))
}

/// Takes the platform's answer. The same request does no harm when it is repeated, so whatever it was, if it was not a
/// yes the app is read and asked for again.
fn answered(state: &State, pin: &SoftPin, answer: &Answer, seen: &Observation<'_>) -> Decision {
    let told = Event::Answered { call: Effect::Unpin.word().to_owned(), answer: answer.clone() };
    let Some(call) = &pin.release else { return Decision::stay(None) };
    if *answer == Answer::Unpinned {
        return over(state, pin, told, Sureness::Answered, seen.at);
    }
    let asked = match answer {
        Answer::NotApplied { retry_after, .. } => *retry_after,
        _ => None,
    };
    let doubling = Duration::from_secs(1 << pin.tries.min(6));
    let wait = asked.unwrap_or(doubling).clamp(Duration::from_secs(1), LONGEST_WAIT);
    let why = match answer {
        Answer::NotApplied { why: Rejection::Denied, .. } => Reason::Denied,
        Answer::NotSent(Guard::Paused) => Reason::Paused,
        _ => Reason::Blind,
    };
    let status = CallStatus::Backoff { until: seen.at + wait, why };
    let release = Call { status, ..call.clone() };
    // A fresh read has shown that there is nothing to end any more.
    if *answer == Answer::NotSent(Guard::Changed) {
        return become_pin(state, pin, Some(SoftPin { release: None, ..pin.clone() }), vec![told], None);
    }
    let is_surely_not_applied = matches!(answer, Answer::NotSent(_) | Answer::NotApplied { .. });
    let tried_at = if is_surely_not_applied { pin.tried_at } else { Some(seen.at) };
    let story = if pin.tries.is_power_of_two() { vec![told] } else { Vec::new() };
    become_pin(state, pin, Some(SoftPin { release: Some(release), tried_at, ..pin.clone() }), story, None)
}

/// From when on a read of pushes that are deployed settles what was lost, where they were let go since.
fn settled_from(pin: &SoftPin) -> Option<Moment> {
    let (let_go_at, lost_at) = (pin.let_go_at?, pin.lost_at?);
    Some((let_go_at + LAG).max(lost_at + SOON))
}

/// Whose doing it is that a read shows the end of it: ours, where we have asked for that lately and nobody knows what became
/// of it.
fn seen_over(pin: &SoftPin, now: Moment) -> Event {
    match pin.tried_at {
        Some(tried_at) if now <= tried_at + SOON => {
            Event::Adopted { call: Effect::Unpin.word().to_owned(), deployment: None }
        }
        _ => Event::LetGoByOthers,
    }
}

/// The pause is over.
fn over(state: &State, pin: &SoftPin, event: Event, sureness: Sureness, now: Moment) -> Decision {
    become_pin(state, pin, left_over(pin, sureness, now), vec![event], None)
}

/// What is left of a pause that is over. What was lost of its requests is settled by that but for a short while: a pause that
/// is seen later is a person's, who means it.
fn left_over(pin: &SoftPin, sureness: Sureness, now: Moment) -> Option<SoftPin> {
    let first = pin.let_go_at.unwrap_or(now);
    // What came about meanwhile is seen by the first read that does not lag.
    let late = pin.lost_at.map(|lost_at| (lost_at + SOON).max(first + 2 * LAG));
    let comes_late = late.filter(|until| *until > now);
    // What comes later than that is no more than told.
    let is_told = pin.is_to_be_told(now).then_some(now);
    // A read that still shows it may be from before our own request, however often that is repeated, and nothing is told on one
    // that lags.
    let is_sure = sureness == Sureness::ByRead && comes_late.is_some();
    let shown_after = if is_sure { Duration::from_millis(1) } else { LAG };
    comes_late.or(is_told).map(|until| SoftPin {
        is_there: false,
        seen_absent: true,
        let_go_at: Some(first),
        until,
        over_at: now + shown_after,
        release: None,
        tried_at: None,
        tries: 0,
        ..pin.clone()
    })
}

/// What a read leaves of it in an incident, and whose doing that is: it is over where the read says so and is not from
/// before it.
pub(super) fn unless_over(pin: SoftPin, seen: &Observation<'_>) -> (Option<SoftPin>, Option<Event>) {
    let read = seen.app.since(pin.is_shown_from()).and_then(|view| view.pushes);
    if read != Some(Pushes::Deploy) {
        return (Some(pin), None);
    }
    if !pin.is_there {
        // A request that would have come about by now never will.
        let may_come = |lost_at: &Moment| seen.app.since(*lost_at + LATEST + LAG).is_none();
        let (lost_at, rollback_at) = (pin.lost_at.filter(may_come), pin.rollback_at.filter(may_come));
        return (Some(SoftPin { seen_absent: true, lost_at, rollback_at, ..pin }), None);
    }
    let told = seen_over(&pin, seen.at);
    // What may come yet of its requests protects nothing until it is seen.
    (left_over(&SoftPin { holds: None, ..pin }, Sureness::ByRead, seen.at), Some(told))
}

fn become_pin(
    state: &State,
    old: &SoftPin,
    new: Option<SoftPin>,
    story: Vec<Event>,
    effect: Option<Effect>,
) -> Decision {
    let mut state = state.clone();
    state.ledger.soft_pin = new;
    Decision::change(Change {
        state,
        effect,
        ruling: None,
        closed: None,
        story,
        about: Some(old.incident.clone()),
    })
}

#[cfg(test)]
mod tests;
