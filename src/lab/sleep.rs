//! Apps that are put to sleep when nobody asks them anything [Sevalla: "scales down to zero after a period of
//! inactivity"]. How the request that wakes one is answered is not documented: here, like those that come before it is
//! up, with 503.

use serde::{Deserialize, Serialize};

/// When an app is put to sleep, and how long it takes to wake up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sleep {
    /// Without a request for so long.
    pub after_ms: u64,
    /// From the request that wakes it until it answers.
    pub wakes_in_ms: u64,
}

/// How an app that may sleep is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sleeper {
    pub(crate) habit: Option<Sleep>,
    asked_ms: i64,
    awake_ms: i64,
}

impl Sleeper {
    pub(crate) fn with(habit: Option<Sleep>, now: i64) -> Self {
        Self { habit, asked_ms: now, awake_ms: now }
    }

    /// Whether a request at `now` finds it up; one that does not wakes it. What went live at `live_ms` was up then.
    pub(crate) fn is_up(&mut self, now: i64, live_ms: i64) -> bool {
        let Some(Sleep { after_ms, wakes_in_ms }) = self.habit else { return true };
        let idle = now - self.asked_ms.max(live_ms);
        self.asked_ms = now;
        if idle >= i64::try_from(after_ms).unwrap_or(i64::MAX) {
            self.awake_ms = now.saturating_add_unsigned(wakes_in_ms);
        } else if live_ms >= self.awake_ms {
            self.awake_ms = live_ms;
        }
        now >= self.awake_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_app_sleeps_and_a_request_wakes_it() {
        let mut sleeper = Sleeper::with(Some(Sleep { after_ms: 1_000, wakes_in_ms: 300 }), 0);
        let up: Vec<bool> =
            [500, 1_499, 2_499, 2_798, 2_799, 3_700].map(|now| sleeper.is_up(now, 0)).to_vec();
        assert_eq!(up, [true, true, false, false, true, true]);
        assert!(sleeper.is_up(4_800, 4_700), "what has just gone live is up");
        assert!(Sleeper::default().is_up(i64::MAX, 0), "most never sleep");
    }
}
