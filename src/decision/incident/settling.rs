//! Committing and Reverting: the pin is settled, with one request that is looked for before it is sent again.

use super::super::effect::{Answer, Effect, Reason};
use super::super::observation::{AppView, Cause, Observation};
use super::super::policy::{Mode, Policy};
use super::super::state::{Call, CallStatus, Outcome, Settle, Stage};
use super::super::story::Event;
use super::draft::Draft;
use super::{Decision, rolling_back};

/// How often a commit or revert that left no trace is sent.
const MOST_SENT: u32 = 3;

/// Owes the request that ends the rollback that way.
pub(super) fn begin(policy: &Policy, draft: Draft, settle: Settle, seen: &Observation<'_>) -> Decision {
    send(policy, draft, settle, 1, seen)
}

/// Takes the platform's answer.
pub(super) fn answered(
    policy: &Policy,
    mut draft: Draft,
    seen: &Observation<'_>,
    answer: &Answer,
) -> Decision {
    match answer {
        Answer::Committed => return settled(draft, Settle::Commit, seen),
        Answer::Reverted(Some(made)) => {
            draft.note_ours(made.clone());
            return settled(draft, Settle::Revert, seen);
        }
        Answer::Reverted(None) => {
            // What it made is looked for. The platform has said that it is done, so it is not asked for again.
            if let Stage::Reverting { call, .. } = &mut draft.incident.stage {
                call.attempt = MOST_SENT;
            }
        }
        _ => {}
    }
    let status = draft.setback(answer, seen.at).unwrap_or_else(|| CallStatus::unresolved(answer, seen.at));
    set_status(&mut draft, status);
    look(policy, draft, seen)
}

/// Resolves a request whose answer was not conclusive, or sends it when its backoff is over.
pub(super) fn look(policy: &Policy, draft: Draft, seen: &Observation<'_>) -> Decision {
    let Some((settle, call)) = settle_and_call(&draft) else { return draft.done(None, None) };
    match call.status {
        CallStatus::Owed => draft.done(None, None),
        CallStatus::Backoff { until, why } if seen.at < until => draft.done(Some(until), Some(why)),
        CallStatus::Backoff { until, .. } => {
            let Some(view) = seen.app.since(until) else {
                let waiting = waiting(seen);
                return draft.done(None, Some(waiting));
            };
            if is_overtaken(&draft, view) {
                return draft.close(Outcome::Superseded, Reason::Superseded, seen);
            }
            if is_ours(&draft, view) {
                // Surely not applied, so the try does not count.
                return send(policy, draft, settle, call.attempt, seen);
            }
            gone(draft, settle, view, false, seen)
        }
        CallStatus::Unresolved { since, .. } => {
            let Some(view) = seen.app.since(since) else {
                let waiting = waiting(seen);
                return draft.done(None, Some(waiting));
            };
            if is_ours(&draft, view) {
                return still_pinned(policy, draft, settle, &call, seen);
            }
            gone(draft, settle, view, true, seen)
        }
    }
}

impl Settle {
    fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Revert => "revert",
        }
    }

    fn reason(self, draft: &Draft) -> Reason {
        match self {
            _ if draft.incident.ending.is_some() => Reason::Requested,
            Self::Commit => Reason::SoakHealthy,
            Self::Revert => Reason::SoakUnhealthy,
        }
    }

    fn outcome(self) -> Outcome {
        match self {
            Self::Commit => Outcome::Committed,
            Self::Revert => Outcome::Reverted,
        }
    }
}

fn settle_and_call(draft: &Draft) -> Option<(Settle, Call)> {
    match &draft.incident.stage {
        Stage::Committing { call, .. } => Some((Settle::Commit, call.clone())),
        Stage::Reverting { call, .. } => Some((Settle::Revert, call.clone())),
        _ => None,
    }
}

fn send(policy: &Policy, mut draft: Draft, settle: Settle, attempt: u32, seen: &Observation<'_>) -> Decision {
    if policy.mode == Mode::Observe {
        return draft.close(Outcome::Held, Reason::ObserveMode, seen);
    }
    if let Some(reason) = draft.barred(settle, seen) {
        return draft.end_waits(reason);
    }
    let (target, rollback, live) = match draft.incident.stage.clone() {
        Stage::Soaking { target, rollback, live, .. }
        | Stage::Committing { target, rollback, live, .. }
        | Stage::Reverting { target, rollback, live, .. } => (target, rollback, live),
        _ => return draft.done(None, None),
    };
    if settle == Settle::Revert {
        draft.tell_if_inexact();
    }
    let id = rollback.id.clone();
    let effect = match settle {
        Settle::Commit => Effect::Commit { rollback: id },
        Settle::Revert => Effect::Revert { rollback: id },
    };
    let call = draft.owe(effect, attempt, seen);
    draft.stage(match settle {
        Settle::Commit => Stage::Committing { target, rollback, live, call },
        Settle::Revert => Stage::Reverting { target, rollback, live, call, deadline: None },
    });
    draft.done(None, None)
}

fn set_status(draft: &mut Draft, status: CallStatus) {
    match &mut draft.incident.stage {
        Stage::Committing { call, .. } | Stage::Reverting { call, .. } => call.status = status,
        _ => {}
    }
}

fn is_ours(draft: &Draft, view: &AppView) -> bool {
    draft.incident.stage.rollback().is_some_and(|rollback| view.pinned.as_ref() == Some(rollback))
}

/// Whether something else went live over our pinned rollback, such as a restart or the platform's upkeep: a request for
/// what is not live any more is not sent, and the pin is a person's to settle.
fn is_overtaken(draft: &Draft, view: &AppView) -> bool {
    let rollback = match &draft.incident.stage {
        Stage::Committing { rollback, .. } | Stage::Reverting { rollback, .. } => rollback,
        _ => return false,
    };
    is_ours(draft, view) && rolling_back::is_overtaken(rollback, draft, view)
}

/// Why a read is waited for.
pub(super) fn waiting(seen: &Observation<'_>) -> Reason {
    match seen.app.fault {
        Some(super::super::observation::ReadFault::Denied) => Reason::Denied,
        _ => Reason::Blind,
    }
}

/// The pin is gone. If we asked for that it was us; if not, it was a person.
fn gone(mut draft: Draft, settle: Settle, view: &AppView, asked: bool, seen: &Observation<'_>) -> Decision {
    if view.pinned.is_some() || !asked {
        let reason = if view.pinned.is_some() { Reason::ForeignPin } else { Reason::Superseded };
        return draft.close(Outcome::Superseded, reason, seen);
    }
    let rollback = draft.incident.stage.rollback().cloned();
    let is_live = view.active.as_ref().map(|active| &active.id) == rollback.as_ref();
    let fits = match settle {
        Settle::Commit => is_live,
        // A revert puts another deployment on its way.
        Settle::Revert => !is_live || view.in_progress.is_some(),
    };
    if !fits {
        return draft.close(Outcome::Superseded, Reason::Superseded, seen);
    }
    if settle == Settle::Revert {
        // The deployment the revert made is no release to judge, whatever the platform calls it.
        let made = view.in_progress.as_ref().or(view.active.as_ref().map(|active| &active.id));
        if let Some(made) = made.filter(|made| Some(*made) != rollback.as_ref()) {
            let listed = seen.history.value().into_iter().flatten().chain(&view.active);
            let mut entries = listed.filter(|entry| entry.id == *made);
            if entries.any(|entry| matches!(entry.cause, Cause::Push | Cause::Restart | Cause::Platform)) {
                // Somebody has settled it another way, and that came after.
                return draft.close(Outcome::Superseded, Reason::Superseded, seen);
            }
            draft.note_ours(made.clone());
        }
    }
    draft.tell(Event::Adopted { call: settle.word().to_owned(), deployment: None });
    settled(draft, settle, seen)
}

/// The pin is still there: after a while, and a second look, the request counts as not applied.
fn still_pinned(
    policy: &Policy,
    mut draft: Draft,
    settle: Settle,
    call: &Call,
    seen: &Observation<'_>,
) -> Decision {
    let CallStatus::Unresolved { since, refused, .. } = call.status else { return draft.done(None, None) };
    let read_at = seen.app.read_at().unwrap_or(seen.at);
    let mut status = call.status.clone();
    if status.is_absent(read_at, policy.reconcile) {
        if let Some(reason) = draft.barred(settle, seen) {
            return draft.end_waits(reason);
        }
        draft.tell(Event::NotApplied { call: settle.word().to_owned() });
        if call.attempt >= MOST_SENT || refused.is_some() {
            let why = settle.reason(&draft);
            return draft.close(Outcome::Held, why, seen);
        }
        return send(policy, draft, settle, call.attempt + 1, seen);
    }
    set_status(&mut draft, status);
    draft.done(Some(since + policy.reconcile), Some(Reason::Blind))
}

/// The pin is settled the way we asked.
fn settled(draft: Draft, settle: Settle, seen: &Observation<'_>) -> Decision {
    let why = settle.reason(&draft);
    draft.close(settle.outcome(), why, seen)
}
