//! What becomes of a call: the guard before it, the answer that was written for it, and what the platform does.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::judge;
use super::super::platform::Who;
use super::{Reply, World};
use crate::clock::Moment;
use crate::decision::capability::Pushes;
use crate::decision::effect::{Answer, Effect, Guard};
use crate::decision::policy::Mode;

impl World {
    /// What the shell does right before a write: a fresh read, and nothing is sent when the picture changed.
    fn guard(&mut self, effect: &Effect) -> Option<Guard> {
        if !effect.mutates() {
            return None;
        }
        if self.operator.paused {
            return Some(Guard::Paused);
        }
        let freeze = self.operator.freeze;
        let heeds = self.state.incident().map(|incident| incident.heeds(&self.policy)).unwrap_or_default();
        if freeze.rollback && heeds.rollback || freeze.commit && heeds.commit {
            return Some(Guard::Frozen);
        }
        if self.fault.is_some() {
            return Some(Guard::Unreadable);
        }
        self.look();
        let view = self.app.value().expect("read just now");
        let fits = match effect {
            Effect::CreateRollback { accused, .. }
            | Effect::Pin { accused }
            | Effect::Restart { accused } => {
                view.active.as_ref().map(|active| &active.id) == Some(accused)
                    && view.pinned.is_none()
                    && view.in_progress.is_none()
                    && (!matches!(effect, Effect::Pin { .. }) || view.pushes == Some(Pushes::Deploy))
            }
            Effect::Unpin => view.pushes == Some(Pushes::Paused),
            Effect::Commit { rollback } | Effect::Revert { rollback } => {
                view.pinned.as_ref() == Some(rollback)
            }
            Effect::Validate { .. } => true,
        };
        (!fits).then_some(Guard::Changed)
    }

    /// Sends the call; gives the answer, unless it takes its time.
    pub(super) fn perform(&mut self, effect: &Effect) -> Option<Answer> {
        self.effects.push((self.at, effect.clone()));
        assert_ne!(
            self.policy.mode,
            Mode::Observe,
            "a call in observe mode: {effect:?}\n{}",
            self.transcript()
        );
        assert!(!(self.operator.paused && effect.mutates()), "a write while paused");
        let freeze = self.operator.freeze;
        let heeds = self.state.incident().map(|incident| incident.heeds(&self.policy)).unwrap_or_default();
        let is_frozen = freeze.rollback && heeds.rollback || freeze.commit && heeds.commit;
        assert!(!(is_frozen && effect.mutates()), "a write in a freeze window:\n{}", self.transcript());
        assert!(self.outstanding.is_none(), "a call while another one is unanswered");
        judge::effect(self, effect);
        let reply = self.script.get_mut(effect.word()).and_then(VecDeque::pop_front);
        let answer = match self.guard(effect) {
            Some(guard) => Answer::NotSent(guard),
            None => self.answer(effect, reply.unwrap_or(Reply::Normal)),
        };
        if self.latency.is_zero() {
            return Some(answer);
        }
        self.outstanding = Some((self.at + self.latency, answer));
        None
    }

    fn answer(&mut self, effect: &Effect, reply: Reply) -> Answer {
        if matches!((effect, &reply), (Effect::Pin { .. }, Reply::Lost { .. } | Reply::Refused { .. })) {
            self.lost_pins.push(self.at);
        }
        match reply {
            Reply::Normal => self.apply(effect, self.at),
            Reply::Overtaken => {
                self.release();
                self.apply(effect, self.at)
            }
            Reply::Lost { applied_after } => {
                match applied_after {
                    Some(Duration::ZERO) => drop(self.apply(effect, self.at)),
                    Some(after) => self.late.push((self.at + after, self.at, effect.clone())),
                    None => {}
                }
                Answer::Unresolved
            }
            Reply::Not(why, retry_after) => Answer::NotApplied { why, retry_after },
            Reply::Refused { status, applied } => {
                if applied {
                    self.refused.push(self.at);
                    drop(self.apply(effect, self.at));
                }
                Answer::Refused { status, message: "no".to_owned() }
            }
            Reply::Guarded(guard) => Answer::NotSent(guard),
        }
    }

    pub(super) fn apply_late(&mut self) {
        let now = self.at;
        let (due, rest) = std::mem::take(&mut self.late).into_iter().partition(|(at, _, _)| *at <= now);
        self.late = rest;
        let due: Vec<(Moment, Moment, Effect)> = due;
        for (_, asked_at, effect) in due {
            drop(self.apply(&effect, asked_at));
        }
    }

    fn apply(&mut self, effect: &Effect, asked_at: Moment) -> Answer {
        let refused = |message: &str| Answer::Refused { status: 409, message: message.to_owned() };
        let at = self.at;
        match effect {
            Effect::Validate { target, .. } => Answer::Validated(self.platform.validate(target)),
            Effect::Pin { .. } => {
                self.platform.set_pushes(Who::Rearguard, Pushes::Paused, at);
                Answer::Pinned
            }
            Effect::Unpin => {
                self.platform.set_pushes(Who::Rearguard, Pushes::Deploy, at);
                Answer::Unpinned
            }
            Effect::Restart { .. } => Answer::Restarted(self.platform.restart(Who::Rearguard, at)),
            Effect::CreateRollback { accused, target, .. } => {
                let is_return = self.platform.our_rollbacks().contains(accused);
                let made = self.platform.rollback(Who::Rearguard, target, asked_at, at);
                if is_return && made.is_some() {
                    self.platform.returned.push(accused.clone());
                } else if made.is_some() {
                    self.created.push((accused.clone(), asked_at, at));
                }
                made.map_or_else(|| refused("already pinned"), Answer::Created)
            }
            // Neither says which pin it is for: a late one reaches whatever is there.
            Effect::Commit { .. } if self.is_lied_to => Answer::Committed,
            Effect::Commit { .. } => match self.platform.commit(Who::Rearguard, at) {
                true => Answer::Committed,
                false => refused("not pinned"),
            },
            Effect::Revert { .. } if self.is_lied_to => Answer::Reverted(None),
            Effect::Revert { .. } => match self.platform.revert(Who::Rearguard, at) {
                Some(id) => Answer::Reverted((!self.is_terse).then_some(id)),
                None => refused("not pinned"),
            },
        }
    }
}
