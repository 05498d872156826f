//! The pause of pushes that stands in for a pin.

use serde::{Deserialize, Serialize};

use super::super::pin::{LAG, LATEST};
use super::Call;
use crate::clock::Moment;
use crate::ids::{DeploymentId, IncidentId};

/// Pushes that we keep from being deployed, or may be keeping from it, for the sake of a rollback. The platform does not
/// say whose doing that is, so it is remembered from before it is asked for until it is seen to be over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftPin {
    /// The incident it was for.
    pub incident: IncidentId,
    /// The rollback it protects; without one nothing needs it once the incident is over.
    pub holds: Option<DeploymentId>,
    /// The platform said that it is there.
    pub is_answered: bool,
    /// A read has shown it since.
    pub is_seen: bool,
    /// When it was last asked for, as far as that may have been done, or first seen: for a while after that a read may still
    /// be from before it.
    #[serde(default)]
    pub known_at: Moment,
    /// How long it is looked out for while reads do not show it: they may lag, and a lost request may be applied yet.
    pub until: Moment,
    /// Since it was asked for, a read has shown that it is not there. Until then a pause that is seen is ours, however late:
    /// nobody may have been able to look.
    #[serde(default)]
    pub seen_absent: bool,
    /// When the last request for it was lost.
    pub lost_at: Option<Moment>,
    /// When the last request of an earlier incident was lost that nobody waits for any more: what comes of it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_before: Option<Moment>,
    /// When it was known to be over: what was read before says nothing any more.
    #[serde(default)]
    pub over_at: Moment,
    /// The request to end it.
    pub release: Option<Call>,
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
            is_answered: false,
            is_seen: false,
            known_at: Moment::default(),
            until: Moment::default(),
            seen_absent: false,
            lost_at: None,
            lost_before: None,
            over_at: Moment::default(),
            release: None,
            tries: 0,
            let_go_at: None,
            is_app_gone: false,
            doubted_at: None,
        }
    }

    /// Whether a pause that is seen at `now` can be this one. Later it is a person's.
    pub fn may_be_ours(&self, now: Moment) -> bool {
        let is_awaited = self.is_there() || self.release.is_some() || now <= self.until || !self.seen_absent;
        is_awaited && self.doubted_at.is_none()
    }

    /// Whether pushes are paused, as far as anybody knows.
    pub fn is_there(&self) -> bool {
        self.is_answered || self.is_seen
    }

    /// Whether nothing came of it, nor can: it was for that incident alone, none of its requests was lost, nobody saw it.
    fn is_void(&self, incident: &IncidentId) -> bool {
        self.incident == *incident && self.lost_at.is_none() && !self.is_there()
    }

    /// A read shows it.
    pub fn see(&mut self, now: Moment) {
        if !self.is_there() {
            self.known_at = now;
        }
        self.is_seen = true;
    }

    /// From when on a read that is sent cannot be from before it.
    pub fn is_shown_from(&self) -> Moment {
        self.known_at + LAG
    }

    /// The platform says that it is there, for that incident.
    pub fn is_made(&mut self, incident: &IncidentId, now: Moment) {
        (self.is_answered, self.known_at) = (true, now);
        // What was left of an earlier one is looked out for as long as this one from now on.
        (self.incident, self.until) = (incident.clone(), self.until.max(now + LATEST));
        (self.release, self.tries, self.let_go_at) = (None, 0, None);
        (self.is_app_gone, self.doubted_at) = (false, None);
    }

    /// It was refused, which is no proof that it was not done. A pause that comes about later is a person's.
    pub fn is_refused(&mut self, incident: &IncidentId, now: Moment) {
        self.known_at = now;
        if self.is_void(incident) {
            (self.until, self.seen_absent) = (now + LAG, true);
        } else {
            self.until = self.until.max(now + LAG);
        }
    }

    /// Nobody knows what became of the request.
    pub fn is_lost(&mut self, now: Moment) {
        (self.lost_at, self.until, self.known_at) = (Some(now), now + LATEST, now);
        (self.seen_absent, self.let_go_at, self.doubted_at) = (false, None, None);
    }

    /// A read shows what was asked for at that attempt. If that was the first one, nothing can come of it any more.
    pub fn is_found(&mut self, incident: &IncidentId, attempt: u32, now: Moment) {
        (self.is_seen, self.known_at) = (true, now);
        if self.incident == *incident && attempt == 1 {
            self.lost_at = None;
        }
    }

    /// What is left of it where the request was surely not applied: of a void one what an earlier one may make yet, to be
    /// told of as before.
    pub fn without_request(self, incident: &IncidentId) -> Option<Self> {
        if !self.is_void(incident) {
            return Some(self);
        }
        let older = self.lost_before.is_some().then_some(self);
        older.map(|pin| Self { until: Moment::default(), seen_absent: true, ..pin })
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

    /// The same with something that is known of it, which is more than a request that failed.
    fn known() -> [SoftPin; 4] {
        [
            SoftPin { is_answered: true, ..pin() },
            SoftPin { is_seen: true, ..pin() },
            SoftPin { lost_at: Some(NOW), ..pin() },
            SoftPin { incident: incident("earlier"), ..pin() },
        ]
    }

    fn after(pin: &SoftPin, what: impl FnOnce(&mut SoftPin)) -> SoftPin {
        let mut after = pin.clone();
        what(&mut after);
        after
    }

    #[test]
    fn a_request_that_was_surely_not_applied_leaves_what_was_known_before() {
        let bad = incident("bad");
        assert_eq!(pin().without_request(&bad), None);
        for pin in known() {
            assert_eq!(pin.clone().without_request(&bad), Some(pin));
        }
        let older = SoftPin { lost_before: Some(NOW), until: NOW, ..pin() };
        let told = SoftPin { until: Moment::default(), seen_absent: true, ..older.clone() };
        assert_eq!(older.without_request(&bad), Some(told));
    }

    #[test]
    fn what_was_refused_is_looked_out_for_as_long_as_a_read_may_lag() {
        let refused = |pin: &SoftPin| after(pin, |pin| pin.is_refused(&incident("bad"), NOW));
        assert_eq!(refused(&pin()), SoftPin { until: NOW + LAG, seen_absent: true, known_at: NOW, ..pin() });
        for pin in known() {
            assert_eq!(refused(&pin), SoftPin { until: NOW + LAG, known_at: NOW, ..pin.clone() });
            let later = SoftPin { until: NOW + 2 * LAG, known_at: NOW, ..pin };
            assert_eq!(refused(&later), later);
        }
    }

    #[test]
    fn what_the_platform_says_is_there_begins_anew_and_is_looked_out_for_for_an_hour() {
        let release =
            Some(Call { attempt: 1, intended_at: NOW, status: crate::decision::state::CallStatus::Owed });
        let old = SoftPin {
            incident: incident("earlier"),
            release,
            tries: 3,
            let_go_at: Some(NOW),
            is_app_gone: true,
            doubted_at: Some(NOW),
            ..pin()
        };
        let made = |pin: &SoftPin| after(pin, |pin| pin.is_made(&incident("bad"), NOW));
        let there = SoftPin { is_answered: true, known_at: NOW, until: NOW + LATEST, ..pin() };
        assert_eq!(made(&old), there);
        let longer = SoftPin { until: NOW + 2 * LATEST, ..old };
        assert_eq!(made(&longer), SoftPin { until: NOW + 2 * LATEST, ..there });
    }

    #[test]
    fn it_is_known_since_it_was_asked_for_the_last_time_or_seen_for_the_first_time() {
        let seen = after(&pin(), |pin| pin.see(NOW));
        assert_eq!(seen, SoftPin { is_seen: true, known_at: NOW, ..pin() });
        assert_eq!(after(&seen, |pin| pin.see(NOW + LAG)), seen);
        // It was asked for once more since it was seen not to be there.
        assert_eq!(after(&seen, |pin| pin.is_made(&incident("bad"), NOW + LAG)).known_at, NOW + LAG);
        assert_eq!(after(&seen, |pin| pin.is_found(&incident("bad"), 2, NOW + LAG)).known_at, NOW + LAG);
        let answered = after(&pin(), |pin| pin.is_made(&incident("bad"), NOW));
        assert_eq!(after(&answered, |pin| pin.see(NOW + LAG)).known_at, NOW);
    }

    #[test]
    fn what_was_lost_may_come_about_within_an_hour_unless_it_was_asked_for_once_and_is_found() {
        let old = SoftPin { seen_absent: true, let_go_at: Some(NOW), doubted_at: Some(NOW), ..pin() };
        let lost = after(&old, |pin| pin.is_lost(NOW));
        assert_eq!(lost, SoftPin { lost_at: Some(NOW), until: NOW + LATEST, known_at: NOW, ..pin() });
        let found = |accused, attempt| after(&lost, |pin| pin.is_found(&incident(accused), attempt, NOW));
        let seen = SoftPin { is_seen: true, known_at: NOW, ..lost.clone() };
        assert_eq!(found("bad", 1), SoftPin { lost_at: None, ..seen.clone() });
        assert_eq!(found("bad", 2), seen);
        assert_eq!(found("later", 1), seen);
    }
}
