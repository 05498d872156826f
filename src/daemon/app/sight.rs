//! What an app's task knows of the platform, and when it reads the app itself.

use std::sync::Arc;
use std::time::Duration;

use super::super::look::{self, Looked};
use super::App;
use crate::clock::Moment;
use crate::decision::observation::{AppView, Deployment, ReadFault, Reading};
use crate::decision::policy::{Mode, Policy};
use crate::decision::state::{Attention, Situation, State};
use crate::decision::story::UNARMED;
use crate::decision::version;
use crate::platform::pace::{is_for_acting, next_poll};

/// The app itself is read this often in an incident, or as often as the account is polled if that is faster.
pub(super) const CLOSE_LOOK: Duration = Duration::from_secs(3);
/// A look that was wanted and failed is repeated after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl App {
    /// What the platform should be asked for next, if anything.
    pub(super) fn wanted(&self) -> Option<look::Wants> {
        let state = self.state.as_ref();
        match (state.map(State::attention), state.map(|state| &state.situation)) {
            (Some(Attention::Close), _) => Some(look::Wants::AppAndHistory),
            _ if self.wants_look => Some(look::Wants::AppAndHistory),
            // Its account may be polled no more.
            _ if self.is_retiring => Some(look::Wants::AppAndHistory),
            // Whether pushes are paused only the app itself shows.
            _ if state.is_some_and(|state| state.ledger.soft_pin.is_some() && !state.is_gone()) => {
                Some(look::Wants::AppAndHistory)
            }
            _ if self.wants_ending() => Some(look::Wants::History),
            // A candidate's predecessors are read once, so that they are at hand when a rule fires.
            (Some(Attention::Watch), Some(Situation::Watching(watch)))
                if self.history.read_at().is_none_or(|read| read < watch.live.since) =>
            {
                Some(look::Wants::History)
            }
            _ => None,
        }
    }

    /// Reads what is wanted, at a pace that leaves requests for acting. What the platform wants to be left alone for
    /// stays wanted.
    pub(super) fn look(&mut self, now: Moment) {
        let Some(wants) = self.wanted() else { return };
        let poll = self.account.config.poll;
        let is_close = self.state.as_ref().is_some_and(|state| state.attention() == Attention::Close);
        let pace = match wants {
            look::Wants::AppAndHistory if is_close || self.wants_look => poll.min(CLOSE_LOOK),
            look::Wants::AppAndHistory | look::Wants::History => poll,
        };
        let budget = self.account.platform.budget();
        self.next_look = now + next_poll(pace, budget, 0, 0.0);
        if budget.hold_reads.is_some() {
            return;
        }
        if wants == look::Wants::AppAndHistory {
            self.wants_look = false;
        }
        self.looked_at = now;
        let (platform, id) = (Arc::clone(&self.account.platform), self.config.id.clone());
        let (clock, turns) = (Arc::clone(&self.shell.clock), Arc::clone(&self.account.turns));
        self.looking = Some(Box::pin(look::look(platform, id, clock, wants, turns)));
    }

    /// When to look for what a decision waits for. Where looks fail, at a pace that slows down; and a soak at that of
    /// everything else, as well as who has no token or few requests left.
    pub(super) fn wanted_look(&self, state: &State, now: Moment) -> Moment {
        let fault = self.view.fault.or(self.history.fault);
        let can_wait = fault.is_some() && state.incident().is_some()
            || fault == Some(ReadFault::Denied)
            || is_for_acting(self.account.platform.budget());
        if can_wait {
            return self.next_look;
        }
        let pause = (LOOK_AGAIN * 2_u32.pow(self.failed_looks.min(8))).min(CLOSE_LOOK);
        self.next_look.min((self.looked_at + pause).max(now))
    }

    pub(super) fn take_look(&mut self, looked: Looked) {
        self.looking = None;
        if looked.view.is_some() {
            self.failed_looks = if looked.has_failed() { self.failed_looks.saturating_add(1) } else { 0 };
        }
        if looked.is_denied() {
            self.account.platform.reload_token();
        }
        if let Some(view) = looked.view {
            self.take_view(view);
        }
        if let Some(history) = looked.history {
            self.note_failed(&history);
            look::merge(&mut self.history, history);
        }
    }

    pub(super) fn take_view(&mut self, view: Reading<AppView>) {
        let live = |view: &AppView| view.active.as_ref().map(|active| active.id.clone());
        let active = |view: &AppView| view.active.clone();
        let former = self.view.value().and_then(active);
        let before = self.view.last.as_ref().map(|(at, view)| (*at, live(view)));
        let under_way = self.view.value().and_then(|view| view.in_progress.clone());
        let is_first = self.view.last.is_none();
        look::merge(&mut self.view, view);
        if is_first {
            self.tell_unarmed();
        }
        if let Some((at, before)) = before
            && before != self.view.value().and_then(live)
        {
            self.other_was_live_at = Some(at);
            self.former = former;
        }
        self.note_ending(under_way);
    }

    /// Whether an app that is to be rolled back would not be, as far as a read says.
    pub(super) fn is_unarmed(&self, policy: &Policy) -> bool {
        let is_armed = self.view.value().is_none_or(|view| policy.arms(view.capabilities));
        policy.mode != Mode::Observe && !is_armed
    }

    /// Says so from the start, and when another configuration makes it so.
    pub(super) fn tell_unarmed(&self) {
        if self.is_unarmed(&self.config.policy) {
            tracing::warn!(app = %self.config.name, "the app is watched and not rolled back: {UNARMED}");
        }
    }

    /// Sets aside what other releases than the one that is judged have answered to the probe at `place`.
    pub(super) fn set_aside(&mut self, place: usize) {
        let judged = self.state.as_ref().and_then(version::judged);
        let (Some(judged), Some(versions), Some(window)) = (
            judged,
            self.versions.get_mut(place).filter(|told| !told.is_empty()),
            self.windows.get_mut(place),
        ) else {
            return;
        };
        let known = self.state.iter().flat_map(|state| &state.ledger.good);
        let listed = self.history.value().into_iter().flatten();
        let others: Vec<&Deployment> = known.chain(listed).chain(&self.former).collect();
        versions.set_aside(judged, &others, window);
    }
}
