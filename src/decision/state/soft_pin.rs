//! The pause of pushes that stands in for a pin.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::pin::{LAG, LATEST};
use super::Call;
use crate::clock::Moment;
use crate::ids::{DeploymentId, IncidentId};

/// Pushes that we keep from being deployed, or may be keeping from it, for the sake of a rollback. The platform does not
/// say whose doing that is, so it is remembered from before it is asked for until it is seen to be over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftPin {
    /// The incident it was last asked for.
    pub incident: IncidentId,
    /// The rollback it protects; without one nothing needs it once the incident is over.
    pub holds: Option<DeploymentId>,
    /// Pushes are paused, as far as anybody knows: the platform said so, or a read has shown it.
    pub is_there: bool,
    /// When it was last asked for, as far as that may have been done, or first seen: for a while after that a read may still
    /// be from before it. Never where nothing can have come of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_at: Option<Moment>,
    /// How long it is looked out for while it is not there: reads may lag, and a lost request may be applied yet.
    pub until: Moment,
    /// Since it was asked for, a read has shown that it is not there. Until then a pause that is seen is ours, however late:
    /// nobody may have been able to look.
    #[serde(default)]
    pub seen_absent: bool,
    /// When the last request for it was lost.
    pub lost_at: Option<Moment>,
    /// Another one may have been under way then: one that is found is not all that may come.
    #[serde(default)]
    pub lost_again: bool,
    /// When it was known to be over: what was read before says nothing any more.
    #[serde(default)]
    pub over_at: Moment,
    /// When a rollback was asked for without it, or was lost, which may pause pushes itself: what comes of that is told, and never
    /// undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_at: Option<Moment>,
    /// The request to end it.
    pub release: Option<Call>,
    /// When its end was last asked for, as far as that may have been done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<Moment>,
    /// How often its end was tried.
    #[serde(default)]
    pub tries: u32,
    /// When pushes were let go for the first time since then: a lost request is not waited for much longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub let_go_at: Option<Moment>,
    /// The platform said for long that there is no such app: nothing is owed to it until a read shows it again.
    #[serde(default)]
    pub is_app_gone: bool,
    /// When pushes were seen to be paused, too late to be surely ours: that is told, and nobody lets them go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubted_at: Option<Moment>,
}

impl SoftPin {
    /// One that is about to be asked for. How long it is looked out for follows from the answer.
    pub fn of(incident: IncidentId) -> Self {
        Self {
            incident,
            holds: None,
            is_there: false,
            known_at: None,
            until: Moment::default(),
            seen_absent: false,
            lost_at: None,
            rollback_at: None,
            lost_again: false,
            over_at: Moment::default(),
            release: None,
            tried_at: None,
            tries: 0,
            let_go_at: None,
            is_app_gone: false,
            doubted_at: None,
        }
    }

    /// What the rollback itself may make of pushes, where it is asked for without a pause, or is lost: the platform does not say.
    /// A pause that is seen is told then, since nobody can tell whose doing it was.
    pub fn of_rollback(before: Option<Self>, incident: &IncidentId, now: Moment) -> Self {
        // A read that still shows one may be from before.
        let fresh = || Self { seen_absent: true, over_at: now + LAG, ..Self::of(incident.clone()) };
        let pin = before.unwrap_or_else(fresh);
        let incident = if pin.is_there { pin.incident } else { incident.clone() };
        Self { incident, known_at: pin.known_at.or(Some(now)), rollback_at: Some(now), ..pin }
    }

    /// Whether a pause that is seen at `now` can be this one. Later it is a person's.
    pub fn may_be_ours(&self, now: Moment) -> bool {
        let is_awaited = self.is_there || now <= self.until || !self.seen_absent;
        is_awaited && self.doubted_at.is_none()
    }

    /// Whether a lost request may still be applied.
    pub fn may_come(&self, now: Moment) -> bool {
        self.lost_at.is_some_and(|lost_at| now <= lost_at + LATEST)
    }

    /// Whether something may still come about that is told, be it of a lost request or of a rollback.
    pub fn is_to_be_told(&self, now: Moment) -> bool {
        self.may_come(now) || self.rollback_at.is_some_and(|rollback_at| now <= rollback_at + LATEST)
    }

    /// A read shows it.
    pub fn see(&mut self, now: Moment) {
        if !self.is_there {
            (self.is_there, self.known_at) = (true, Some(now));
        }
    }

    /// From when on a read that is sent cannot be from before it.
    pub fn is_shown_from(&self) -> Moment {
        self.known_at.map_or(Moment::default(), |known_at| known_at + LAG)
    }

    /// The platform says that it is there, for that incident.
    pub fn is_made(&mut self, incident: &IncidentId, now: Moment) {
        self.is_there = true;
        self.is_asked(incident, now, LAG);
        self.is_app_gone = false;
    }

    /// It was refused, which is no proof that it was not done: a read says whether it is there, soon. A pause that comes about
    /// later is a person's, unless an earlier request has made it or may have.
    pub fn is_refused(&mut self, incident: &IncidentId, now: Moment) {
        self.seen_absent = self.known_at.is_none() || self.seen_absent && !self.is_there;
        self.is_there = false;
        self.is_asked(incident, now, LAG);
    }

    /// Nobody knows what became of the request.
    pub fn is_lost(&mut self, incident: &IncidentId, now: Moment) {
        (self.lost_again, self.lost_at, self.seen_absent) = (self.may_come(now), Some(now), false);
        self.is_asked(incident, now, LATEST);
    }

    /// A request for it may have been applied, for that incident, or is within that time.
    fn is_asked(&mut self, incident: &IncidentId, now: Moment, within: Duration) {
        (self.incident, self.known_at) = (incident.clone(), Some(now));
        self.until = self.until.max(now + within);
        (self.release, self.tried_at, self.tries) = (None, None, 0);
        (self.let_go_at, self.doubted_at) = (None, None);
    }

    /// A read shows what was lost. If it was the only request that was, nothing can come of it any more.
    pub fn is_found(&mut self, now: Moment) {
        (self.is_there, self.known_at) = (true, Some(now));
        self.lost_at.take_if(|_| !self.lost_again);
    }

    /// What is left of it where the request was surely not applied: what was known before.
    pub fn without_request(self) -> Option<Self> {
        self.known_at.is_some().then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_millis(100_000_000);

    fn incident(accused: &str) -> IncidentId {
        IncidentId::of(&"shop".into(), &accused.into())
    }

    fn pin() -> SoftPin {
        SoftPin::of(incident("bad"))
    }

    /// The same for an earlier incident, an hour and more ago.
    fn earlier() -> SoftPin {
        SoftPin { known_at: Some(NOW - 2 * LATEST), ..SoftPin::of(incident("earlier")) }
    }

    fn after(pin: &SoftPin, what: impl FnOnce(&mut SoftPin, &IncidentId)) -> SoftPin {
        let mut after = pin.clone();
        what(&mut after, &incident("bad"));
        after
    }

    #[test]
    fn a_request_that_was_surely_not_applied_leaves_what_was_known_before() {
        assert_eq!(pin().without_request(), None);
        assert_eq!(earlier().without_request(), Some(earlier()));
    }

    #[test]
    fn what_was_refused_is_looked_out_for_as_long_as_a_read_may_lag() {
        let refused = |pin: &SoftPin| after(pin, |pin, id| pin.is_refused(id, NOW));
        let asked = SoftPin { until: NOW + LAG, known_at: Some(NOW), ..pin() };
        assert_eq!(refused(&pin()), SoftPin { seen_absent: true, ..asked.clone() });
        // Whether an earlier one is there is not known either, and nobody may have been able to look since.
        let ended = SoftPin { tried_at: Some(NOW), tries: 3, ..earlier() };
        let old = SoftPin { let_go_at: Some(NOW), doubted_at: Some(NOW), ..ended };
        for seen_absent in [false, true] {
            let there = SoftPin { is_there: true, seen_absent, ..old.clone() };
            assert_eq!(refused(&there), asked);
        }
        let absent = SoftPin { seen_absent: true, ..old };
        assert_eq!(refused(&absent), SoftPin { seen_absent: true, ..asked.clone() });
        let later = SoftPin { until: NOW + LATEST, lost_at: Some(NOW), ..earlier() };
        assert_eq!(refused(&later), SoftPin { until: NOW + LATEST, lost_at: Some(NOW), ..asked });
    }

    #[test]
    fn what_the_platform_says_is_there_begins_anew() {
        let release =
            Some(Call { attempt: 1, intended_at: NOW, status: crate::decision::state::CallStatus::Owed });
        let old = SoftPin {
            release,
            tries: 3,
            let_go_at: Some(NOW),
            is_app_gone: true,
            doubted_at: Some(NOW),
            ..earlier()
        };
        let made = after(&old, |pin, id| pin.is_made(id, NOW));
        let there = SoftPin { is_there: true, known_at: Some(NOW), until: NOW + LAG, ..pin() };
        assert_eq!(made, there);
    }

    #[test]
    fn a_pause_that_may_be_the_rollbacks_own_is_not_ours_unless_another_one_may_come() {
        let of_rollback = |before| SoftPin::of_rollback(before, &incident("bad"), NOW);
        let asked = SoftPin { known_at: Some(NOW), rollback_at: Some(NOW), ..pin() };
        let told = SoftPin { seen_absent: true, over_at: NOW + LAG, ..asked.clone() };
        assert_eq!(of_rollback(None), told);
        assert_eq!(of_rollback(Some(pin())), asked);
        assert!(!told.may_be_ours(NOW) && !told.may_come(NOW));
        assert!(told.is_to_be_told(NOW + LATEST) && !told.is_to_be_told(NOW + LATEST + LAG));
        let lost = after(&pin(), |pin, id| pin.is_lost(id, NOW - LAG));
        let there = SoftPin { is_there: true, ..earlier() };
        assert_eq!(of_rollback(Some(there.clone())).incident, there.incident);
        assert_eq!(of_rollback(Some(earlier())).incident, pin().incident);
        let later = SoftPin { rollback_at: Some(NOW), ..lost.clone() };
        assert_eq!(of_rollback(Some(lost)), later);
        assert!(later.may_be_ours(NOW));
    }

    #[test]
    fn it_is_known_since_it_was_asked_for_the_last_time_or_seen_for_the_first_time() {
        let seen = after(&pin(), |pin, _| pin.see(NOW));
        assert_eq!(seen, SoftPin { is_there: true, known_at: Some(NOW), ..pin() });
        assert_eq!(after(&seen, |pin, _| pin.see(NOW + LAG)), seen);
        // It was asked for once more since it was seen not to be there.
        let later = Some(NOW + LAG);
        assert_eq!(after(&seen, |pin, id| pin.is_made(id, NOW + LAG)).known_at, later);
        assert_eq!(after(&seen, |pin, _| pin.is_found(NOW + LAG)).known_at, later);
        assert_eq!(pin().is_shown_from(), Moment::default());
        assert_eq!(seen.is_shown_from(), NOW + LAG);
    }

    #[test]
    fn what_was_lost_may_come_about_within_an_hour_unless_it_is_the_only_one_and_is_found() {
        let lost_at = |pin: &SoftPin, at| after(pin, |pin, id| pin.is_lost(id, at));
        let old = SoftPin { seen_absent: true, let_go_at: Some(NOW), doubted_at: Some(NOW), ..earlier() };
        let lost = lost_at(&old, NOW);
        let known_at = Some(NOW);
        assert_eq!(lost, SoftPin { lost_at: Some(NOW), until: NOW + LATEST, known_at, ..pin() });
        assert!(lost.may_come(NOW + LATEST) && !lost.may_come(NOW + LATEST + LAG) && !pin().may_come(NOW));
        let found = |pin: &SoftPin, at| after(pin, |pin, _| pin.is_found(at));
        let there = SoftPin { is_there: true, known_at: Some(NOW + LAG), ..lost.clone() };
        assert_eq!(found(&lost, NOW + LAG), SoftPin { lost_at: None, ..there });
        // Which of two it is cannot be told.
        let again = lost_at(&lost, NOW + LATEST);
        assert_eq!((again.lost_again, again.lost_at), (true, Some(NOW + LATEST)));
        assert_eq!(found(&again, NOW + LATEST).lost_at, again.lost_at);
        // The one before that cannot come any more.
        let long_after = lost_at(&again, NOW + 3 * LATEST);
        assert_eq!(found(&long_after, NOW + 3 * LATEST).lost_at, None);
    }
}
