//! One round: decide, record, and begin what is owed; and what the journal has to say before the first one.

use std::sync::Arc;
use std::time::Duration;

use super::super::perform::{Mandate, Order, Performed, perform};
use super::super::shell::RecallError;
use super::App;
use super::around::unjudged;
use super::show::note_waiting;
use crate::clock::Moment;
use crate::config::freeze;
use crate::decision::decide;
use crate::decision::effect::{Answer, Effect, Reason};
use crate::decision::measuring::Shown;
use crate::decision::observation::{Observation, Operator, Reading};
use crate::decision::state::{CallStatus, State};
use crate::journal::JournalError;

/// How long the journal is left alone after it failed.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);
/// How long an app is left alone whose own entry or row is at fault, which only a person can mend.
const OWN_RETRY: Duration = Duration::from_secs(60);
/// How long a drain waits for the answer to a call that was sent.
const DRAIN: Duration = Duration::from_millis(3_500);
/// A decision leads to another one at most this often in a row; the rest waits for the next round.
const MOST_IN_A_ROW: usize = 8;

impl App {
    /// Decides until nothing changes any more.
    pub(super) async fn round(&mut self) {
        if self.state.is_none() && !self.restore().await {
            return;
        }
        for _ in 0..MOST_IN_A_ROW {
            for place in 0..self.windows.len() {
                // Another release may be judged by now.
                self.set_aside(place);
            }
            let Some(state) = self.state.take() else { return };
            let shown = Shown { app: &self.view, other_was_live_at: self.other_was_live_at };
            self.measuring.weigh(&self.config.policy, &state, shown, &mut self.windows);
            let word = self.word.as_ref();
            let operator = Operator {
                paused: self.is_paused(),
                has_left: self.is_retiring,
                freeze: freeze::at(&self.config.freeze, self.shell.clock.wall()).blocks,
                request: word.map(|word| word.request.clone()),
                by: word.map(|word| word.by.clone()),
            };
            let answer = self.answer.take();
            let seen = Observation {
                at: self.shell.clock.now(),
                app: &self.view,
                other_was_live_at: self.other_was_live_at,
                history: &self.history,
                windows: &self.windows,
                answer: answer.as_ref(),
                operator: &operator,
            };
            let (decided_at, decision) = (seen.at, decide(&self.config.policy, &state, &seen));
            self.wake_at = decision.wake_at;
            note_waiting(&self.metrics, &mut self.waiting, decision.waiting);
            if decision.look && self.looking.is_none() {
                (self.wants_look, self.next_look) = (true, self.wanted_look(&state, seen.at));
            }
            let Some(change) = decision.change else {
                self.settle_word(&state, None);
                self.state = Some(state);
                return;
            };
            let recorded = self.recorder.record(&self.shell, &self.config, &state, &seen, &change).await;
            if let Err(error) = recorded {
                self.word_not_written();
                self.journal_failed(&RecallError::from(error)).await;
                // What the platform answered is not lost: it is decided on again once the journal is back.
                self.answer = answer;
                return;
            }
            self.shell.journal_works(true);
            self.settle_word(&state, Some(&change));
            if change.closed.as_ref().is_some_and(|closed| closed.reason == Reason::ObserveMode) {
                // What observe mode wanted counts for the storm breaker, too.
                let _ = self.shell.fleet.want(&self.config.id).await;
            }
            self.recorder.announce(&self.shell, &self.config, &self.metrics, &state, &change);
            if change.closed.is_some() || change.effect.is_none() {
                // Something is over, or waits for what only the platform can show.
                self.wants_look = change.closed.is_some();
                self.next_look = self.shell.clock.now();
            }
            self.performed = owed(&change.state);
            self.measuring.moved(&state, &change.state);
            let unjudged = unjudged(&state, &change.state);
            let mandate = Mandate::of(&change.state, &self.config.policy);
            self.begin(change.effect, mandate, decided_at);
            self.forget_figures(&state, &change.state);
            self.state = Some(change.state);
            if let Some(live) = unjudged {
                self.tell_unjudged(&live);
            }
        }
        self.wake_at = Some(self.shell.clock.now());
    }

    /// Reads the state from the journal. An effect that is open there may have been sent: its answer is unresolved.
    async fn restore(&mut self) -> bool {
        let now = self.shell.clock.now();
        if now < self.journal_retry {
            return false;
        }
        let restored = match self.shell.recall().await {
            Ok(()) => self.recorder.restore(&self.shell, &self.config.id).await.map_err(RecallError::from),
            Err(error) => Err(error),
        };
        match restored {
            Ok(state) => {
                let owed = owed(&state);
                if self.performed != owed {
                    // The write that failed is there after all: the answer was decided on, and is no other call's.
                    (self.answer, self.performed) = (None, owed.clone());
                }
                if owed.is_some() && self.answer.is_none() && self.performing.is_none() {
                    self.answer = Some(Answer::Unresolved);
                    self.next_look = now;
                }
                self.state = Some(state);
                self.recall_past().await;
                true
            }
            Err(error) => {
                self.journal_failed(&error).await;
                false
            }
        }
    }

    /// Stands still until the journal works again: for everybody, or for this app alone.
    async fn journal_failed(&mut self, error: &RecallError) {
        self.state = None;
        // What was to be decided on then is decided on after the retry: a moment in the past would wake the loop for ever.
        self.wake_at = None;
        let is_its_own = match error {
            RecallError::Journal(JournalError::Unavailable { .. }) | RecallError::Clock(_) => false,
            // A row that cannot be read, or an entry that cannot be: the others may well go on.
            RecallError::Journal(JournalError::Unusable { .. } | JournalError::Illegal { .. }) => {
                self.shell.journal.check().await.is_ok()
            }
        };
        let app = &self.config.name;
        if is_its_own {
            tracing::error!(%app, "failed to {error}; nothing is done for this app");
        } else if self.shell.journal_works(false) {
            tracing::error!(%app, "failed to {error}; nothing is done until the journal works again");
        }
        let pause = if is_its_own { OWN_RETRY } else { JOURNAL_RETRY };
        self.journal_retry = self.shell.clock.now() + pause;
    }

    pub(super) fn take_answer(&mut self, performed: Performed) {
        self.performing = None;
        // Whatever came of it, the next look at the platform is worth having soon.
        self.next_look = self.shell.clock.now();
        if let Some((sent, view)) = performed.view {
            self.take_view(Reading::known(sent, view));
        }
        self.recorder.calls = performed.calls;
        self.answer = Some(performed.answer);
    }

    /// Lets a call that was sent come to its answer, and records it; what does not answer in time is found open
    /// by the next process.
    pub(super) async fn drain(&mut self) {
        while let Some(performing) = self.performing.take() {
            let Ok(performed) = tokio::time::timeout(DRAIN, performing).await else { return };
            self.take_answer(performed);
            // What is decided on that answer is recorded, and told at once that it was not sent.
            self.round().await;
        }
    }

    fn begin(&mut self, effect: Option<Effect>, mandate: Mandate, decided_at: Moment) {
        let Some(effect) = effect else { return };
        let order = Order {
            app: self.config.name.clone(),
            id: self.config.id.clone(),
            effect,
            mandate,
            config: Arc::clone(&self.config),
            platform: Arc::clone(&self.account.platform),
            fleet: self.shell.fleet.clone(),
            paused: self.shell.paused.clone(),
            seat: self.seat.clone(),
            stop: self.stop.clone(),
            clock: Arc::clone(&self.shell.clock),
            decided_at,
            limit: self.account.config.timeout * 3,
        };
        self.performing = Some(Box::pin(perform(order)));
    }
}

/// The call that `state` owes, told from every other by when it was decided.
fn owed(state: &State) -> Option<(Effect, Moment)> {
    let (effect, call) = state.request()?;
    (call.status == CallStatus::Owed).then_some((effect, call.intended_at))
}
