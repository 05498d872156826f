//! Performs one effect: guards, one fresh read, at most one write, and an answer that is never a guess.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::apps::Seat;
use super::fleet::FleetLine;
use super::look::count_age_from_sending;
use super::pause::Paused;
use crate::clock::{Clock, Moment};
use crate::config::{AppConfig, freeze};
use crate::decision::capability::Pushes;
use crate::decision::effect::{Answer, Effect, Guard, Rejection};
use crate::decision::fleet::Permit;
use crate::decision::observation::{AppView, Freeze};
use crate::decision::policy::{Mode, Policy};
use crate::decision::state::{Stage, State};
use crate::ids::{AppName, PlatformAppId, RuleName};
use crate::platform::leave::{self, Leave};
use crate::platform::{Answered, Goal, Platform, PlatformError};

/// What an effect needs to be performed.
pub(super) struct Order {
    pub(super) app: AppName,
    pub(super) id: PlatformAppId,
    /// What the app was to be when it was decided on.
    pub(super) config: Arc<AppConfig>,
    pub(super) effect: Effect,
    pub(super) mandate: Mandate,
    pub(super) platform: Arc<dyn Platform>,
    pub(super) fleet: FleetLine,
    pub(super) paused: Paused,
    pub(super) seat: Seat,
    pub(super) stop: CancellationToken,
    pub(super) clock: Arc<dyn Clock>,
    /// When it was decided on. What it rests on is not fresh any more when that is long ago.
    pub(super) decided_at: Moment,
    /// The longest all of it may take; beyond, the answer is unresolved.
    pub(super) limit: Duration,
}

/// On whose word it is done, and what it is for.
#[derive(Clone, Debug, Default)]
pub(super) struct Mandate {
    /// It undoes a rollback of ours: what was begun is brought to its end, whatever else is the matter.
    pub(super) is_return: bool,
    /// A person asked for it by name, which is no sign of a storm.
    pub(super) is_asked: bool,
    /// The rule that has it done, where no person has said yes to that.
    pub(super) unasked: Option<RuleName>,
    /// The freeze windows that stop it.
    pub(super) heeds: Freeze,
}

impl Mandate {
    /// That of the call which `state` owes.
    pub(super) fn of(state: &State, policy: &Policy) -> Self {
        let Some(incident) = state.incident() else { return Self::default() };
        Self {
            is_return: matches!(incident.stage, Stage::Reverting { .. }),
            is_asked: incident.asked.is_some(),
            unasked: incident.rule.clone().filter(|_| !incident.approved),
            heeds: incident.heeds(policy),
        }
    }

    /// Whether it only brings to its end what was begun.
    fn is_an_end(&self, effect: &Effect) -> bool {
        self.is_return || matches!(effect, Effect::Unpin | Effect::Commit { .. } | Effect::Revert { .. })
    }
}

/// How old a decision may be when its call is sent, at the least: writing it down takes a moment, or a few seconds where
/// the journal is busy.
const DECIDED_WITHIN: Duration = Duration::from_secs(15);

/// What came of it.
pub(super) struct Performed {
    pub(super) answer: Answer,
    /// The fresh read before the write.
    pub(super) view: Option<(Moment, AppView)>,
    /// The calls made, for the incident's timeline.
    pub(super) calls: Vec<serde_json::Value>,
}

/// Performs `order`. Ends within its limit; nothing is sent any more once the process is stopping.
pub(super) async fn perform(order: Order) -> Performed {
    let order = Arc::new(order);
    let mut done = Performed { answer: Answer::Unresolved, view: None, calls: Vec::new() };
    let begun = order.clock.now();
    let fit = tokio::select! {
        biased;
        () = order.stop.cancelled() => Err(Unsent::By(Guard::Interrupted)),
        fit = tokio::time::timeout(order.limit, prepare(&order, &mut done)) => {
            fit.unwrap_or(Err(Unsent::By(Guard::Interrupted)))
        }
    };
    done.answer = match fit.and_then(|()| last_look(&order, begun).map_err(Unsent::By)) {
        Err(Unsent::By(guard)) => Answer::NotSent(guard),
        Err(Unsent::Denied) => Answer::NotApplied { why: Rejection::Denied, retry_after: None },
        Ok(left) => {
            let (leave, refused) = leave_of(&order, begun);
            let answer = tokio::time::timeout(left, leave::asking(leave, send(&order, &mut done))).await;
            match (answer, refused.get()) {
                // There was a connection, and it was closed unused.
                (Ok(Answer::NotApplied { why: Rejection::NotConnected, .. }), Some(guard)) => {
                    Answer::NotSent(*guard)
                }
                (answer, _) => answer.unwrap_or(Answer::Unresolved),
            }
        }
    };
    done
}

/// Why a call was not sent.
enum Unsent {
    By(Guard),
    /// The platform refuses the token.
    Denied,
}

/// Reads the app afresh, and asks for leave.
async fn prepare(order: &Order, done: &mut Performed) -> Result<(), Unsent> {
    let sent = order.clock.now();
    let fresh = order.platform.app(&order.id).await;
    note(done, "get_app", sent, order, &fresh);
    let view = match fresh {
        Ok(answered) => {
            let mut view = answered.value;
            count_age_from_sending(&mut view, order.clock.now().since(sent));
            view
        }
        Err(PlatformError::Denied { .. }) => {
            order.platform.reload_token();
            return Err(Unsent::Denied);
        }
        Err(_) => return Err(Unsent::By(Guard::Unreadable)),
    };
    let fits = fits(&order.effect, &view);
    done.view = Some((sent, view));
    if !fits {
        return Err(Unsent::By(Guard::Changed));
    }
    if !order.mandate.is_an_end(&order.effect) {
        let stands = order.mandate.is_asked.then(|| order.fleet.stands());
        let permit = match stands {
            Some(permit) => Some(permit),
            None => order.fleet.want(&order.id).await,
        };
        match permit {
            Some(Permit::Granted) => {}
            Some(Permit::Storm) => return Err(Unsent::By(Guard::Storm)),
            None => return Err(Unsent::By(Guard::Interrupted)),
        }
    }
    Ok(())
}

/// The last look before a connection is made, and once more before it is used: at everything that can be seen without
/// asking anybody, which may have changed since the decision. Gives the time that is left.
fn last_look(order: &Order, begun: Moment) -> Result<Duration, Guard> {
    let wanted = order.seat.wanted().as_ref().map(|wanted| Arc::clone(&wanted.config));
    let config = wanted.as_ref().unwrap_or(&order.config);
    if order.paused.is_paused_at_last(config, order.clock.now()) {
        return Err(Guard::Paused);
    }
    let frozen = freeze::at(&config.freeze, order.clock.wall()).blocks;
    let Mandate { heeds, unasked, .. } = &order.mandate;
    if frozen.rollback && heeds.rollback || frozen.commit && heeds.commit {
        return Err(Guard::Frozen);
    }
    let needs_asking = |rule| config.policy.mode_for(rule) != Mode::Enforce;
    let is_withheld = wanted.is_none() || unasked.as_ref().is_some_and(needs_asking);
    if config.policy.mode == Mode::Observe || is_withheld && !order.mandate.is_an_end(&order.effect) {
        return Err(Guard::Observe);
    }
    // A journal that took its time, a process that was stopped, a machine that slept: its timers may not have
    // noticed, this clock has. What was decided on before is decided on again.
    let now = order.clock.now();
    let left = order.limit.checked_sub(now.since(begun));
    let age = now.since(order.decided_at);
    if order.stop.is_cancelled() {
        return Err(Guard::Interrupted);
    }
    left.filter(|_| age <= DECIDED_WITHIN.max(order.limit)).ok_or_else(|| {
        let (app, call, seconds) = (&order.app, order.effect.word(), age.as_secs());
        tracing::warn!(%app, call, "not sent: it was decided {seconds} s ago; it is decided on again");
        Guard::Interrupted
    })
}

/// The same look for when there is a connection, since that may take long; and where it leaves what said no.
fn leave_of(order: &Arc<Order>, begun: Moment) -> (Leave, Arc<OnceLock<Guard>>) {
    let (order, refused) = (Arc::clone(order), Arc::new(OnceLock::new()));
    let told = Arc::clone(&refused);
    let leave = move || match last_look(&order, begun) {
        Ok(_) => true,
        Err(guard) => {
            let _ = told.set(guard);
            false
        }
    };
    (Arc::new(leave), refused)
}

async fn send(order: &Order, done: &mut Performed) -> Answer {
    let sent = order.clock.now();
    let (app, platform) = (&order.id, &order.platform);
    match &order.effect {
        Effect::Validate { accused, target } => {
            let got = platform.validate_rollback(app, Goal { accused, target, code: &[] }).await;
            note(done, "validate_rollback", sent, order, &got);
            got.map_or_else(|error| failed(order, &error), |got| Answer::Validated(got.value))
        }
        Effect::Pin { .. } => {
            let got = platform.pin(app).await;
            note(done, "pin", sent, order, &got);
            got.map_or_else(|error| failed(order, &error), |_| Answer::Pinned)
        }
        Effect::Unpin => {
            let got = platform.unpin(app).await;
            note(done, "unpin", sent, order, &got);
            got.map_or_else(|error| failed(order, &error), |_| Answer::Unpinned)
        }
        Effect::Restart { .. } => {
            let got = platform.restart(app, &order.config.restart_components).await;
            note(done, "restart", sent, order, &got);
            got.map_or_else(|error| failed(order, &error), |got| Answer::Restarted(got.value))
        }
        Effect::CreateRollback { accused, target, code } => {
            let got = platform.create_rollback(app, Goal { accused, target, code }).await;
            note(done, "create_rollback", sent, order, &got);
            got.map_or_else(|error| failed(order, &error), |got| Answer::Created(got.value))
        }
        Effect::Commit { .. } => {
            let got = platform.commit_rollback(app).await;
            note(done, "commit_rollback", sent, order, &got);
            got.map_or_else(|error| failed(order, &error), |_| Answer::Committed)
        }
        Effect::Revert { .. } => {
            let got = platform.revert_rollback(app).await;
            note(done, "revert_rollback", sent, order, &got);
            got.map_or_else(|error| failed(order, &error), |got| Answer::Reverted(got.value))
        }
    }
}

/// Whether the fresh picture is the one the decision was made for.
fn fits(effect: &Effect, view: &AppView) -> bool {
    match effect {
        Effect::Validate { accused, .. }
        | Effect::Pin { accused }
        | Effect::Restart { accused }
        | Effect::CreateRollback { accused, .. } => {
            view.active.as_ref().is_some_and(|active| active.id == *accused)
                && view.pinned.is_none()
                && view.in_progress.is_none()
                // Who pauses what is paused already could not tell whose pause it is.
                && (!matches!(effect, Effect::Pin { .. }) || view.pushes == Some(Pushes::Deploy))
        }
        Effect::Unpin => view.pushes == Some(Pushes::Paused),
        Effect::Commit { rollback } | Effect::Revert { rollback } => {
            view.pinned.as_ref() == Some(rollback)
                && view.active.as_ref().is_some_and(|active| active.id == *rollback)
        }
    }
}

fn failed(order: &Order, error: &PlatformError) -> Answer {
    tracing::warn!(app = %order.app, call = order.effect.word(), "failed to {error}");
    match error {
        PlatformError::NotConnected(_) => {
            Answer::NotApplied { why: Rejection::NotConnected, retry_after: None }
        }
        PlatformError::RateLimited { retry_after } => {
            Answer::NotApplied { why: Rejection::RateLimited, retry_after: *retry_after }
        }
        PlatformError::Denied { .. } => {
            order.platform.reload_token();
            Answer::NotApplied { why: Rejection::Denied, retry_after: None }
        }
        // What we settle was there a moment ago, so this is read before it is believed, and not sent for ever.
        PlatformError::NotFound if matches!(order.effect, Effect::Commit { .. } | Effect::Revert { .. }) => {
            Answer::Refused { status: 404, message: "not found".to_owned() }
        }
        PlatformError::NotFound => Answer::NotApplied { why: Rejection::NotFound, retry_after: None },
        PlatformError::Refused { status, message } => {
            Answer::Refused { status: *status, message: message.clone() }
        }
        PlatformError::Unsupported(what) => {
            Answer::Refused { status: 501, message: format!("the platform has no {what}") }
        }
        PlatformError::Ambiguous(_) => Answer::Unresolved,
    }
}

fn note<T>(
    done: &mut Performed,
    operation: &str,
    sent: Moment,
    order: &Order,
    got: &Result<Answered<T>, PlatformError>,
) {
    let seconds = order.clock.now().since(sent).as_secs_f64();
    done.calls.push(match got {
        Ok(answered) => json!({
            "operation": operation,
            "status": answered.status,
            "request_id": answered.request_id,
            "seconds": seconds,
        }),
        Err(error) => json!({
            "operation": operation,
            "status": error.status(),
            "error": format!("failed to {error}"),
            "seconds": seconds,
        }),
    });
}

#[cfg(test)]
mod tests;
