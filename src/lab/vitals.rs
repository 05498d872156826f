//! What the platform measures of an app besides what its site answers: how busy it is, and how often it died.

use serde::{Deserialize, Serialize};

use super::app::{App, Deployment};

/// How a live deployment fares by the platform's own figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vitals {
    /// Its process dies, and is started anew, each time so much has passed; never when absent.
    pub restarts_every_ms: Option<u64>,
    /// Of the processor that it may use.
    pub cpu_percentage: f64,
    /// Of the memory that it may use.
    pub memory_percentage: f64,
    /// Whether the platform holds it to be healthy; it does not know when absent.
    pub healthy: Option<bool>,
}

impl Default for Vitals {
    fn default() -> Self {
        Self { restarts_every_ms: None, cpu_percentage: 2.5, memory_percentage: 20.0, healthy: Some(true) }
    }
}

impl Vitals {
    /// How often it was started anew within so many milliseconds.
    pub(crate) fn restarts(&self, within_ms: i64) -> i64 {
        let every = self.restarts_every_ms.and_then(|every| i64::try_from(every).ok());
        every.filter(|every| *every > 0).map_or(0, |every| within_ms.max(0) / every)
    }
}

impl App {
    /// What was live at that moment, how it fared, and since when it fared so.
    pub(crate) fn vitals_at(&self, at: i64) -> Option<(&Deployment, Vitals, i64)> {
        let went_live = |row: &&Deployment| row.live_ms.filter(|live| *live <= at);
        let live = self.deployments.iter().filter(|row| went_live(row).is_some()).max_by_key(went_live)?;
        let imposed = self.imposed_vitals.filter(|(_, since)| *since <= at);
        let (vitals, since) = imposed.unwrap_or((live.release.vitals, live.live_ms.unwrap_or(at)));
        Some((live, vitals, since))
    }

    /// When its process died, from one moment up to, and without, another, oldest first.
    pub(crate) fn deaths(&self, from: i64, to: i64) -> Vec<i64> {
        let mut deaths = Vec::new();
        let ends = self.deployments.iter().filter_map(|row| row.live_ms).chain([to]).filter(|end| *end <= to);
        for end in ends {
            // As it fared until then.
            let Some((_, vitals, since)) = self.vitals_at(end - 1) else { continue };
            let Some(every) = vitals.restarts_every_ms.and_then(|every| i64::try_from(every).ok()) else {
                continue;
            };
            let died = (1..=vitals.restarts(end - 1 - since)).map(|nth| since + nth * every);
            deaths.extend(died.filter(|at| (from..to).contains(at)));
        }
        deaths.sort_unstable();
        deaths.dedup();
        deaths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_dies_as_often_as_it_was_told_and_never_otherwise() {
        let dying = Vitals { restarts_every_ms: Some(1_000), ..Vitals::default() };
        assert_eq!((dying.restarts(999), dying.restarts(1_000), dying.restarts(3_500)), (0, 1, 3));
        assert_eq!((dying.restarts(-5), Vitals::default().restarts(1_000_000)), (0, 0));
        let never = Vitals { restarts_every_ms: Some(0), ..dying };
        assert_eq!(never.restarts(1_000), 0);
        let read: Vitals = serde_json::from_str(r#"{"restarts_every_ms":1000}"#).expect("vitals");
        assert_eq!(read, dying);
    }
}
