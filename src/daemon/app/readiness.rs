//! When an app's task asks for its readiness to roll back, and what it shows of the answer.

use std::sync::Arc;
use std::time::Duration;

use super::App;
use crate::clock::Moment;
use crate::daemon::ready::{Question, Readiness, ask};
use crate::decision::effect::Reason;
use crate::decision::observation::AppView;
use crate::decision::policy::Mode;
use crate::decision::readiness::{Known, is_quiet, standing};
use crate::platform::pace::{is_for_acting, reads_a_question};

/// A question that could not be put, or whose answer may be different in a moment, is put again after this time at the
/// latest.
const AGAIN: Duration = Duration::from_secs(60);

impl App {
    /// Whether a question may be put at all: the app is to be rolled back if need be, and it is quiet.
    pub(super) fn may_ask(&self) -> bool {
        // What is in the way whatever the answer would be, is shown without one.
        let is_clear = |view: &AppView| {
            view.active.is_some()
                && view.in_progress.is_none()
                && view.pinned.is_none()
                && self.config.policy.arms(view.capabilities)
        };
        !self.account.config.readiness.is_zero()
            && self.config.policy.mode != Mode::Observe
            && self.asking.is_none()
            && self.performing.is_none()
            && !self.is_retiring
            && self.view.fault.is_none()
            && self.view.value().is_some_and(is_clear)
            && self.state.as_ref().is_some_and(is_quiet)
            && !self.is_paused()
    }

    /// Puts the question when it is due. What is left of the rate limit is for acting.
    pub(super) fn ask_readiness(&mut self, now: Moment) {
        if now < self.next_question || !self.may_ask() {
            return;
        }
        let budget = self.account.platform.budget();
        if is_for_acting(budget) || budget.hold_reads.is_some() {
            self.next_question = now + AGAIN;
            return;
        }
        let (Some(state), Some(view)) = (&self.state, self.view.value()) else { return };
        let (turns, reads) = (&self.account.questions, reads_a_question(view.capabilities.validate));
        let turn = match std::mem::replace(&mut self.has_turn, true) {
            false => turns.question(now, budget, reads),
            // Its turn has come, unless a release is judged meanwhile.
            true => turns.put_off(now, budget, reads).unwrap_or(now),
        };
        if turn > now {
            self.next_question = turn;
            return;
        }
        (self.has_turn, self.next_question) = (false, now + self.account.config.readiness);
        self.asking = Some(Box::pin(ask(Question {
            config: Arc::clone(&self.config),
            platform: Arc::clone(&self.account.platform),
            turns: Arc::clone(&self.account.questions),
            clock: Arc::clone(&self.shell.clock),
            state: state.clone(),
            view: view.clone(),
        })));
    }

    pub(super) fn take_readiness(&mut self, readiness: Option<Readiness>) {
        self.asking = None;
        // The list of deployments may lag behind what is live, and a token that was refused is being replaced.
        let is_final = |readiness: &Readiness| {
            !readiness.is_cut_short
                && !matches!(
                    readiness.obstacle,
                    Some((Reason::NoTarget | Reason::InProgress | Reason::Denied, _))
                )
        };
        if !readiness.as_ref().is_some_and(is_final) {
            self.next_question = self.next_question.min(self.shell.clock.now() + AGAIN);
        }
        if let Some(readiness) = readiness {
            self.readiness = Some(Box::new(readiness));
        }
    }

    /// What was found out is about the deployment that was live then.
    pub(super) fn forget_old_readiness(&mut self, now: Moment) {
        let live = self.view.value().and_then(|view| view.active.as_ref()).map(|active| &active.id);
        if self.readiness.as_ref().is_some_and(|readiness| Some(&readiness.live) != live) {
            self.readiness = None;
            self.next_question = self.next_question.min(now);
        }
    }

    /// What was found out is about what the app was to be then, and an answer that is under way is to that question. A turn
    /// that it has already is as good for the new one.
    pub(super) fn forget_readiness(&mut self, now: Moment) {
        (self.readiness, self.asking) = (None, None);
        if !self.has_turn {
            self.next_question = now;
        }
    }

    /// Why a rollback would not be made now, or nobody knows, with the platform's code or words for it; none when it
    /// would. What can be told without a question is told as it is now, and an answer only as long as it is renewed.
    pub(in crate::daemon) fn unreadiness(&self) -> Option<(Reason, &str)> {
        let Some(state) = &self.state else { return Some((Reason::Blind, "")) };
        let paused = self.is_paused();
        let known = Known { state, view: &self.view, paused, fleet: self.shell.fleet.stands() };
        let now = self.shell.clock.now();
        if let Err(bar) = standing(&self.config.policy, known, now) {
            return Some(bar);
        }
        self.answered(now)
    }

    /// What is in the way besides, where that is a limit: a person's order heeds none.
    pub(in crate::daemon) fn beside_a_limit(&self) -> Option<(Reason, &str)> {
        match self.unreadiness() {
            Some((Reason::Cooldown | Reason::Budget, _)) => self.answered(self.shell.clock.now()),
            _ => None,
        }
    }

    /// What the answer to the last question comes to.
    fn answered(&self, now: Moment) -> Option<(Reason, &str)> {
        let round = self.account.config.readiness + self.account.questions.queue(now);
        match &self.readiness {
            Some(readiness) if !readiness.is_old(now, round) => {
                readiness.obstacle.as_ref().map(|(reason, detail)| (*reason, detail.as_str()))
            }
            _ => Some((Reason::Blind, "")),
        }
    }
}
