//! How an incident ends: what is remembered of it, and the situation after it.

use super::super::super::capability::{PinKind, Pushes};
use super::super::super::effect::{Reason, Verb};
use super::super::super::observation::{AppView, Observation};
use super::super::super::quiet::what_runs;
use super::super::super::state::{
    Asked, Hold, Incident, Ledger, Live, Order, Outcome, Situation, SoftPin, Stage, State, Watch,
};
use super::super::super::story::Event;
use super::super::super::{Change, Closed, Decision};
use super::super::restarting;
use super::Draft;
use crate::ids::DeploymentId;

impl Draft {
    /// Ends the incident where the operator does not accept what the platform would pick.
    pub(in super::super) fn close_unarmed(mut self, seen: &Observation<'_>) -> Decision {
        self.tell(Event::Unarmed);
        self.close(Outcome::Refused, Reason::NotValid, seen)
    }

    /// Ends the incident.
    pub(in super::super) fn close(
        mut self,
        outcome: Outcome,
        reason: Reason,
        seen: &Observation<'_>,
    ) -> Decision {
        if reason == Reason::Rejected {
            self.tell_word(seen);
        }
        let detail = self.misnamed(reason);
        self.tell(Event::Closed { outcome, reason, detail });
        self.judge(outcome, reason);
        if let Some(rollback) = self.incident.stage.rollback_made()
            && (outcome, reason) == (Outcome::Committed, Reason::SoakHealthy)
        {
            // It was live and healthy for a whole soak: a target for the next incident.
            self.ledger.note_good(rollback.clone());
        }
        let rollback = self.incident.stage.rollback();
        // Superseded by another deployment it may still be pinned: then it is not settled, and a person has to.
        let is_pinned = seen.app.value().is_some_and(|view| view.pinned.as_ref() == rollback);
        let is_settled = match outcome {
            Outcome::Committed | Outcome::Reverted => true,
            // What is not live yet may become so, and where nothing pins it nobody would hear of that.
            Outcome::Superseded => !is_pinned && !self.may_go_live(),
            _ => false,
        };
        let returned = match &self.incident.stage {
            Stage::Returning { made, .. } if outcome == Outcome::Reverted => Some(&made.id),
            _ => None,
        };
        for made in rollback.filter(|_| is_settled).into_iter().chain(returned) {
            Ledger::note(&mut self.ledger.settled, (made.clone(), seen.at));
        }
        self.remember_lost(outcome, seen);
        match outcome {
            // What comes next is another release, or it has had its restart.
            Outcome::Committed | Outcome::Reverted | Outcome::Restarted => self.ledger.lost_restart = None,
            _ if restarting::is_lost(&self.incident) => {
                self.ledger.lost_restart = Some((seen.at, self.incident.accused.clone()));
            }
            _ => {}
        }
        if let Some(pin) = self.ledger.soft_pin.as_mut().filter(|_| outcome != Outcome::Held) {
            // Nothing needs it any more.
            pin.holds = None;
        }
        match outcome {
            // Decided, and counted, when the soak was judged, be it now or when the call was asked for.
            Outcome::Committed | Outcome::Reverted => {}
            Outcome::Observed if self.ruling.is_some() => {}
            _ => self.rule(verb_of(outcome), reason),
        }
        let state = State { situation: self.after(outcome, reason, seen), ledger: self.ledger };
        let closed = Closed { incident: self.incident, outcome, reason };
        let change = Change {
            state,
            effect: None,
            ruling: self.ruling,
            closed: Some(closed),
            story: self.story,
            about: None,
        };
        Decision::change(change)
    }

    /// Whether the rollback may become live unnoticed.
    fn may_go_live(&self) -> bool {
        matches!(self.incident.stage, Stage::RollingBack { .. })
            && self.incident.capabilities.pin != PinKind::Hard
    }

    /// Keeps the requests of which nothing was seen: what one of them makes later is ours.
    pub(in super::super) fn remember_lost(&mut self, outcome: Outcome, seen: &Observation<'_>) {
        let now = seen.at;
        let incident = &self.incident;
        let mut requests = incident.requests.clone();
        let found = self.found_by_reading().len();
        requests.before.extend(incident.stage.rollback().cloned());
        // Left once the order is seen to have come about; not where it was undone.
        let is_order =
            |asked: &Asked| matches!(asked.order, Order::Rollback { .. }) && outcome != Outcome::Reverted;
        let accused = incident.asked.as_ref().filter(|asked| is_order(asked)).map(|_| &incident.accused);
        requests.left = accused.map(|accused| (accused.id.clone(), accused.artifact.clone()));
        if requests.targets.len() <= found {
            return;
        }
        let lost = &mut self.ledger.lost;
        lost.push((now, incident.id.clone(), requests));
        if lost.len() > Ledger::KEEP_LOST {
            lost.remove(0);
        }
        // Pushes that somebody else had paused before are none of its doing.
        let view = seen.app.value();
        let is_soft = view.is_none_or(|view| view.capabilities.pin == PinKind::Soft);
        let is_paused = view.is_some_and(|view| view.pushes == Some(Pushes::Paused));
        let before = self.ledger.soft_pin.take();
        self.ledger.soft_pin = match before {
            None if !is_soft || is_paused || incident.capabilities.pin != PinKind::Soft => None,
            before => Some(SoftPin::of_rollback(before, &incident.id, now)),
        };
    }

    /// The code of why what a person named is nothing to go back to, where that is what it ends for.
    fn misnamed(&self, reason: Reason) -> String {
        let of_it = self.story.iter().rev().find_map(|event| match event {
            Event::TargetRefused { reason: refused, detail, .. } => Some((*refused, detail)),
            _ => None,
        });
        let code = of_it.filter(|(refused, _)| *refused == reason && reason == Reason::NoTarget);
        code.map_or_else(String::new, |(_, code)| code.clone())
    }

    /// What the outcome says about the accused deployment: condemned, unless something speaks for it. That another
    /// release came before it was dealt with does not: it was Bad when it was last seen.
    pub(in super::super) fn judge(&mut self, outcome: Outcome, reason: Reason) {
        let accused = &self.incident.accused;
        let fair = matches!(
            reason,
            Reason::BadBeforeDeployment
                | Reason::Recovered
                | Reason::Blind
                | Reason::Rejected
                | Reason::Restarted
        );
        // Going back did not help: the release was not the cause. Or a person, who asked for it, knows better.
        let cleared = outcome == Outcome::Reverted;
        if cleared {
            self.ledger.condemned.retain(|(id, _)| *id != accused.id);
            for (_, _, requests) in &mut self.ledger.lost {
                requests.left.take_if(|(id, _)| *id == accused.id);
            }
        }
        // A person's order that came to nothing says nothing of what is live.
        let fair = fair || self.incident.asked.is_some();
        if !cleared && (!fair || self.came_about()) {
            self.condemn();
        }
    }

    /// Whether there is a rollback of this incident: a person who ordered one left that release then, even where another one
    /// was live, or somebody else had acted, before it was found. One that comes to light later is dealt with then.
    fn came_about(&self) -> bool {
        let is_of_it = |(_, of): &(DeploymentId, _)| *of == self.incident.id;
        self.incident.stage.rollback().is_some()
            || self.incident.asked.is_some() && self.ledger.ours.iter().any(is_of_it)
    }

    /// The situation after the outcome.
    pub(in super::super) fn after(
        &self,
        outcome: Outcome,
        reason: Reason,
        seen: &Observation<'_>,
    ) -> Situation {
        let live = self.live();
        match outcome {
            Outcome::Held | Outcome::Failed => Situation::Held(Hold {
                why: reason,
                incident: self.incident.id.clone(),
                since: seen.at,
                live: live_now(live, seen),
                runs: what_runs(seen),
                pin: self.own_pin(seen.app.value()),
                kept: self.kept(),
            }),
            // The revert's deployment is on its way; whatever comes is to be learnt.
            Outcome::Reverted => Situation::Learning { live: Some(live) },
            // The release stays under watch.
            Outcome::Restarted => match &self.incident.restartable {
                Some(watch) => {
                    let (candidate, former) = (self.incident.accused.clone(), self.incident.former.clone());
                    Situation::Watching(Watch {
                        live,
                        candidate,
                        former,
                        was_restarted: true,
                        ..(**watch).clone()
                    })
                }
                None => Situation::Learning { live: Some(live) },
            },
            // A person's rollback, or ours that a person committed: to be learnt as well.
            Outcome::Superseded => Situation::Learning { live: Some(live) },
            // A person was content with it, which says nothing of how it fares.
            Outcome::Committed if reason == Reason::Requested => Situation::Learning { live: Some(live) },
            _ => match &self.incident.asked {
                // Nothing came of the order.
                Some(Asked { order: Order::Rollback { was, .. }, .. }) if outcome != Outcome::Committed => {
                    (**was).clone()
                }
                _ => Situation::Steady { live },
            },
        }
    }

    /// The incident without what it need not be kept for, where its rollback is live.
    fn kept(&self) -> Option<Box<Incident>> {
        let is_live = matches!(
            self.incident.stage,
            Stage::Soaking { .. } | Stage::Committing { .. } | Stage::Reverting { .. }
        );
        let kept = || Incident {
            asked: None,
            ending: None,
            end_waits: None,
            setbacks: 0,
            restartable: None,
            ..self.incident.clone()
        };
        is_live.then(|| Box::new(kept()))
    }

    pub(in super::super) fn live(&self) -> Live {
        match &self.incident.stage {
            Stage::Soaking { live, .. }
            | Stage::Committing { live, .. }
            | Stage::Reverting { live, .. }
            | Stage::Returning { live, .. } => live.clone(),
            _ => self.incident.live.clone(),
        }
    }

    pub(in super::super) fn own_pin(&self, view: Option<&AppView>) -> Option<DeploymentId> {
        match &self.ledger.soft_pin {
            Some(pin) => pin.holds.clone(),
            None => view?.pinned.clone().filter(|pin| self.ledger.made_for(pin).is_some()),
        }
    }
}

/// What is live at the end of an incident, which may be newer than what was accused.
fn live_now(live: Live, seen: &Observation<'_>) -> Live {
    let active = seen.app.value().and_then(|view| view.active.as_ref());
    match active.filter(|active| active.came_after((live.created_ms, &live.id))) {
        Some(active) => Live { id: active.id.clone(), created_ms: active.created_ms, since: seen.at },
        None => live,
    }
}

fn verb_of(outcome: Outcome) -> Verb {
    match outcome {
        Outcome::Committed => Verb::Commit,
        Outcome::Reverted => Verb::Revert,
        Outcome::Refused => Verb::Refuse,
        Outcome::Held | Outcome::Failed => Verb::Hold,
        Outcome::Superseded => Verb::Yield,
        Outcome::Observed => Verb::Observe,
        Outcome::Restarted => Verb::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::capability::Capabilities;
    use crate::decision::observation::{Accepted, Operator, Reading};
    use crate::decision::scenarios::{World, policy};

    /// An incident whose request for a rollback has no answer yet.
    fn asking() -> Incident {
        let mut world = World::with_bad_release(policy());
        world.latency = std::time::Duration::from_secs(4);
        world.run_to_stage("rolling_back");
        world.state.incident().expect("an incident").clone()
    }

    fn ordered(order: Order) -> Option<Asked> {
        Some(Asked { by: "ada".into(), order })
    }

    fn remember_lost(draft: &mut Draft, outcome: Outcome, app: &Reading<AppView>) {
        let (history, operator) = (Reading::never(), Operator::default());
        draft.remember_lost(
            outcome,
            &Observation {
                at: draft.incident.opened_at,
                app,
                other_was_live_at: None,
                history: &history,
                windows: &[],
                answer: None,
                operator: &operator,
            },
        );
    }

    #[test]
    fn what_a_lost_rollback_may_pause_is_looked_out_for_unless_somebody_had_paused_it_or_nobody_can() {
        let can = |pin| Capabilities { pin, ..Capabilities::default() };
        let (soft, absent) = (can(PinKind::Soft), can(PinKind::Absent));
        let view = |capabilities, pushes| AppView { capabilities, pushes, ..AppView::default() };
        let paused = Some(Pushes::Paused);
        let at = asking().opened_at;
        for (of_incident, view, is_known, is_looked_out_for) in [
            (soft, Some(view(soft, Some(Pushes::Deploy))), false, true),
            (soft, None, false, true),
            (soft, Some(view(soft, paused)), false, false),
            (soft, Some(view(soft, paused)), true, true),
            (soft, Some(view(absent, None)), false, false),
            (absent, Some(view(soft, None)), false, false),
            (absent, None, false, false),
        ] {
            let incident = Incident { capabilities: of_incident, ..asking() };
            let known = SoftPin::of(incident.id.clone());
            let ledger = Ledger { soft_pin: is_known.then_some(known), ..Ledger::default() };
            let mut draft = Draft::new(ledger, incident);
            let app = view.clone().map_or(Reading::never(), |view| Reading::known(at, view));
            remember_lost(&mut draft, Outcome::Held, &app);
            let rollback_at = draft.ledger.soft_pin.map(|pin| pin.rollback_at);
            assert_eq!(rollback_at, is_looked_out_for.then_some(Some(at)), "{of_incident:?} {view:?}");
        }
    }

    #[test]
    fn what_a_person_ordered_is_left_unless_it_was_undone() {
        let incident = asking();
        let accused = (incident.accused.id.clone(), incident.accused.artifact.clone());
        let was = || Box::new(Situation::Learning { live: None });
        let order = || ordered(Order::Rollback { to: None, accept: Accepted::default(), was: was() });
        for (asked, outcome, is_left) in [
            (order(), Outcome::Held, true),
            (order(), Outcome::Reverted, false),
            (ordered(Order::Settle), Outcome::Held, false),
            (None, Outcome::Held, false),
        ] {
            let mut draft = Draft::new(Ledger::default(), Incident { asked, ..incident.clone() });
            remember_lost(&mut draft, outcome, &Reading::never());
            let [(_, _, requests)] = &draft.ledger.lost[..] else { panic!("{:?}", draft.ledger.lost) };
            assert_eq!(requests.left, is_left.then(|| accused.clone()), "{outcome:?}");
        }
    }

    #[test]
    fn only_what_a_person_named_in_vain_has_a_code_of_its_own() {
        let refused = |reason, detail: &str| Event::TargetRefused {
            target: "d1".into(),
            reason,
            detail: detail.to_owned(),
        };
        let mut draft = Draft::new(Ledger::default(), asking());
        assert_eq!(draft.misnamed(Reason::NoTarget), "");
        draft.tell(refused(Reason::NoTarget, "never_live"));
        assert_eq!(draft.misnamed(Reason::NoTarget), "never_live");
        draft.tell(refused(Reason::NotValid, "exceeded_revision_limit"));
        assert_eq!(draft.misnamed(Reason::NotValid), "");
        assert_eq!(draft.misnamed(Reason::NoTarget), "");
    }

    #[test]
    fn the_watch_that_a_restart_would_go_on_with_is_not_kept() {
        let mut world = World::with_bad_release(policy());
        world.run_until(|world| matches!(world.state.situation, Situation::Watching(_)));
        let Situation::Watching(watch) = world.state.situation.clone() else { panic!("not watching") };
        world.run_to_stage("soaking");
        let incident = world.state.incident().expect("an incident").clone();
        let incident = Incident { restartable: Some(Box::new(watch)), ..incident };
        let kept = Draft::new(Ledger::default(), incident.clone()).kept().expect("it is live");
        assert_eq!(*kept, Incident { restartable: None, ..incident });
    }

    #[test]
    fn what_may_go_live_unnoticed_is_under_way_and_not_pinned() {
        let incident = asking();
        let stages = {
            let mut world = World::with_bad_release(policy());
            ["rolling_back", "soaking"].map(|stage| {
                world.run_to_stage(stage);
                world.state.incident().expect("an incident").stage.clone()
            })
        };
        let may = |stage: &Stage, pin| {
            let mut incident = Incident { stage: stage.clone(), ..incident.clone() };
            incident.capabilities.pin = pin;
            Draft::new(Ledger::default(), incident).may_go_live()
        };
        assert!(may(&stages[0], PinKind::Absent) && may(&stages[0], PinKind::Soft));
        assert!(!may(&stages[0], PinKind::Hard) && !may(&stages[1], PinKind::Absent));
    }
}
