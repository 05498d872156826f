//! Readiness to roll back: in quiet times each app's platform is asked what a rollback would meet, so that an app that is
//! not ready says so before an incident and not during it. Nothing is written, and nothing is decided by the answer.

use std::sync::Arc;
use std::time::Duration;

use super::turns::Turns;
use crate::clock::{Clock, Moment};
use crate::config::AppConfig;
use crate::decision::capability::Support;
use crate::decision::effect::{Condition, Reason};
use crate::decision::observation::{AppView, Deployment};
use crate::decision::readiness;
use crate::decision::state::State;
use crate::ids::DeploymentId;
use crate::platform::leave;
use crate::platform::pace::{is_for_acting, reads_a_validation};
use crate::platform::{Goal, Platform, PlatformError};

/// An answer counts for so many rounds of questions: one of them may fail.
const ROUNDS: u32 = 2;

/// What was found out, and of which deployment.
#[derive(Clone, Debug)]
pub(super) struct Readiness {
    /// The deployment that a rollback would go back from.
    pub(super) live: DeploymentId,
    pub(super) asked_at: Moment,
    /// What it would go back to.
    pub(super) target: Option<Deployment>,
    /// What is in the way, and the platform's code or words for it.
    pub(super) obstacle: Option<(Reason, String)>,
    pub(super) warnings: Vec<Condition>,
    /// Who checked.
    pub(super) by: Support,
    /// Another target was not asked about that an incident would go on to.
    pub(super) is_cut_short: bool,
    /// How long a rollback takes, by the app's earlier ones.
    pub(super) expected: Option<Duration>,
}

impl Readiness {
    /// Whether it should have been found out anew before `now`, where that is done once in a `round`.
    pub(super) fn is_old(&self, now: Moment, round: Duration) -> bool {
        now.since(self.asked_at) > round * ROUNDS
    }
}

/// What a question needs.
pub(super) struct Question {
    pub(super) config: Arc<AppConfig>,
    pub(super) platform: Arc<dyn Platform>,
    pub(super) turns: Arc<Turns>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) state: State,
    pub(super) view: AppView,
}

/// Asks. `None` when it was not to be had: then the last answer stands, and gets old.
pub(super) async fn ask(question: Question) -> Option<Readiness> {
    let Question { config, platform, turns, clock, state, view } = question;
    let live = view.active.as_ref()?;
    let history = match platform.deployments(&config.id).await {
        Ok(answered) => answered.value,
        Err(error) => return unanswered(live.id.clone(), clock.now(), &error),
    };
    let blank = Readiness {
        live: live.id.clone(),
        asked_at: clock.now(),
        target: None,
        obstacle: None,
        warnings: Vec::new(),
        by: view.capabilities.validate,
        is_cut_short: false,
        expected: readiness::expected_ms(&history, view.capabilities).map(Duration::from_millis),
    };
    // One that is refused is followed by the next, as in an incident.
    let (mut tried, mut refused) = (Vec::new(), None);
    loop {
        let target = match readiness::target(&state, &view, &history, &tried) {
            Ok(target) => target,
            // That one was refused says more.
            Err(code) => {
                let none = || Readiness { obstacle: Some((Reason::NoTarget, code.to_owned())), ..blank };
                return Some(refused.unwrap_or_else(none));
            }
        };
        if readiness::is_barred(&config.policy, live, &target) {
            let obstacle = Some((Reason::Migration, String::new()));
            return Some(Readiness { target: Some(target), obstacle, ..blank });
        }
        if refused.is_some() && !may_go_on(&*platform, &turns, blank.by, clock.now()) {
            return cut_short(refused);
        }
        let goal = Goal { accused: &live.id, target: &target.id, code: &target.artifact.code };
        let asked = leave::asking(leave::always(), platform.validate_rollback(&config.id, goal));
        let answer = match asked.await {
            Ok(answered) => {
                let validation = answered.value;
                let obstacle = readiness::verdict(&config.policy, &validation).err();
                let (warnings, by) = (validation.warnings, validation.by);
                Readiness { target: Some(target.clone()), obstacle, warnings, by, ..blank.clone() }
            }
            Err(error) => {
                // That one was refused is known.
                let Some(unanswered) = unanswered(live.id.clone(), clock.now(), &error) else {
                    return cut_short(refused);
                };
                Readiness { target: Some(target.clone()), ..unanswered }
            }
        };
        match answer.obstacle {
            Some((reason @ (Reason::NotValid | Reason::Warnings), _)) => tried.push((target.id, reason)),
            _ => return Some(answer),
        }
        refused = Some(answer);
    }
}

fn cut_short(refused: Option<Readiness>) -> Option<Readiness> {
    refused.map(|refused| Readiness { is_cut_short: true, ..refused })
}

/// Whether there is something left of the rate limit to ask about another target, which then pays for it: whoever asks next
/// waits longer.
fn may_go_on(platform: &dyn Platform, turns: &Turns, by: Support, now: Moment) -> bool {
    let budget = platform.budget();
    if is_for_acting(budget) || budget.hold_reads.is_some() {
        return false;
    }
    turns.question(now, budget, reads_a_validation(by));
    true
}

/// A question that the platform refuses is an answer: in an incident it would be refused as well.
fn unanswered(live: DeploymentId, asked_at: Moment, error: &PlatformError) -> Option<Readiness> {
    let reason = match error {
        PlatformError::Denied { .. } => Reason::Denied,
        PlatformError::Refused { .. } | PlatformError::NotFound | PlatformError::Unsupported(_) => {
            Reason::NotValid
        }
        PlatformError::NotConnected(_) | PlatformError::Ambiguous(_) | PlatformError::RateLimited { .. } => {
            return None;
        }
    };
    Some(Readiness {
        live,
        asked_at,
        target: None,
        obstacle: Some((reason, format!("failed to {error}"))),
        warnings: Vec::new(),
        by: Support::Native,
        is_cut_short: false,
        expected: None,
    })
}

#[cfg(test)]
mod tests;
