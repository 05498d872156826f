//! The storm breaker: when more apps than a few want a rollback at once, it is not the deployments.
//!
//! Pure like the rest. The daemon owns one [`Fleet`], tells it when an app wants a rollback, and asks it right
//! before a rollback is created. Once open, the breaker stays open until a person closes it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Moment;
use crate::ids::PlatformAppId;

/// Apps that want a rollback within this time want it "at once". One minute: the operator's contract.
pub const AT_ONCE: Duration = Duration::from_secs(60);

/// What the fleet says to an app that wants a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Go on.
    Granted,
    /// Nothing new may be created until a person resumes.
    Storm,
}

/// Which apps want a rollback, and whether that is too many.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// When each app last wanted a rollback; entries older than [`AT_ONCE`] are dropped.
    wanting: BTreeMap<PlatformAppId, Moment>,
    /// The breaker is open since then.
    storm_since: Option<Moment>,
}

impl Fleet {
    /// The fleet as the journal remembers it.
    pub fn new(storm_since: Option<Moment>) -> Self {
        Self { wanting: BTreeMap::new(), storm_since }
    }

    /// `app` wants a rollback at `now`; at most `most` apps may want one at once.
    pub fn want(&mut self, app: &PlatformAppId, now: Moment, most: usize) -> Permit {
        self.wanting.retain(|_, wanted| now.since(*wanted) < AT_ONCE);
        self.wanting.insert(app.clone(), now);
        if self.storm_since.is_none() && self.wanting.len() > most {
            self.storm_since = Some(now);
        }
        self.permit()
    }

    /// Whether something new may be created.
    pub fn permit(&self) -> Permit {
        if self.storm_since.is_some() { Permit::Storm } else { Permit::Granted }
    }

    /// Since when the breaker is open.
    pub fn storm_since(&self) -> Option<Moment> {
        self.storm_since
    }

    /// A person closes the breaker.
    pub fn resume(&mut self) {
        self.storm_since = None;
        self.wanting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1_000)
    }

    #[test]
    fn more_apps_than_allowed_within_a_minute_open_the_breaker_until_a_person_closes_it() {
        let mut fleet = Fleet::new(None);
        for (second, app) in ["a", "b", "a", "c"].into_iter().enumerate() {
            let second = i64::try_from(second).unwrap();
            assert_eq!(fleet.want(&app.into(), at(second), 3), Permit::Granted);
        }
        assert_eq!(fleet.want(&"d".into(), at(10), 3), Permit::Storm);
        assert_eq!(fleet.want(&"e".into(), at(3_600), 3), Permit::Storm);
        fleet.resume();
        assert_eq!(fleet.want(&"e".into(), at(3_700), 3), Permit::Granted);
    }

    #[test]
    fn apps_that_want_it_one_after_the_other_are_no_storm() {
        let mut fleet = Fleet::new(None);
        for n in 0..20 {
            assert_eq!(fleet.want(&format!("app-{n}").into(), at(n * 30), 3), Permit::Granted);
        }
    }

    #[test]
    fn an_app_that_wanted_one_a_minute_ago_does_not_count_any_more() {
        let mut fleet = Fleet::new(None);
        assert_eq!(fleet.want(&"a".into(), at(0), 1), Permit::Granted);
        assert_eq!(fleet.want(&"b".into(), at(60), 1), Permit::Granted);
        assert_eq!(fleet.want(&"c".into(), at(119), 1), Permit::Storm);
    }

    #[test]
    fn an_open_breaker_says_since_when_and_outlives_the_process() {
        let mut fleet = Fleet::new(None);
        fleet.want(&"a".into(), at(0), 1);
        assert_eq!(fleet.storm_since(), None);
        fleet.want(&"b".into(), at(5), 1);
        fleet.want(&"c".into(), at(9), 1);
        assert_eq!(fleet.storm_since(), Some(at(5)));
        let next = Fleet::new(fleet.storm_since());
        assert_eq!((next.permit(), next.storm_since()), (Permit::Storm, Some(at(5))));
    }
}
