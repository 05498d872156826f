//! Time. Decisions count on a steady clock that no step of the wall clock moves; people read the wall clock.
//!
//! [`Moment`] is a point on the steady clock. It is anchored to UTC when the process starts and then advances
//! with CLOCK_BOOTTIME, which goes on while a machine sleeps (`Instant` stands still there). Every journal write
//! carries a [`Mark`], so a restart on the same boot continues the same time line exactly, whatever happened to
//! the wall clock meanwhile; after a reboot the wall clock bridges the gap, and never backwards.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on the steady clock, in milliseconds since the Unix epoch as anchored at start-up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(i64);

impl Moment {
    /// The moment `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// Where the steady clock stood at some instant: enough to continue it in the next process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The steady clock's reading.
    pub at: Moment,
    /// CLOCK_BOOTTIME at the same instant, in milliseconds.
    pub boottime_ms: i64,
    /// The kernel's boot id, empty where it cannot be read.
    pub boot_id: String,
}

impl Mark {
    /// How far a clock that gives this mark is from the time line of `last`: zero when it continues it.
    pub fn off(&self, last: &Self) -> Duration {
        let continued = anchor(Some(last), &self.boot_id, self.boottime_ms, self.at.as_millis());
        Duration::from_millis((self.at.as_millis() - self.boottime_ms).abs_diff(continued))
    }
}

/// The shell's source of time. The decision core never sees it: it is handed moments.
pub trait Clock: Send + Sync + 'static {
    /// The steady clock.
    fn now(&self) -> Moment;
    /// The wall clock, for people and for certificates, and for nothing else.
    fn wall(&self) -> jiff::Timestamp;
    /// What to write into the journal so that the next process continues this clock.
    fn mark(&self) -> Mark;
}

/// The clock of a running daemon.
#[derive(Debug)]
pub struct SteadyClock {
    /// Steady reading minus boot time, in milliseconds: constant for the life of the process.
    offset_ms: i64,
    boot_id: String,
}

impl SteadyClock {
    /// Continues the time line of `last`, or starts one at the wall clock's UTC.
    pub fn resume(last: Option<&Mark>) -> Self {
        let boot_id = read_boot_id();
        let offset_ms = anchor(last, &boot_id, boottime_ms(), jiff::Timestamp::now().as_millisecond());
        Self { offset_ms, boot_id }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Moment {
        Moment(boottime_ms() + self.offset_ms)
    }

    fn wall(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    fn mark(&self) -> Mark {
        let boottime_ms = boottime_ms();
        Mark { at: Moment(boottime_ms + self.offset_ms), boottime_ms, boot_id: self.boot_id.clone() }
    }
}

/// The offset from boot time to steady time.
pub(crate) fn anchor(last: Option<&Mark>, boot_id: &str, boottime_ms: i64, wall_ms: i64) -> i64 {
    match last {
        // Same boot: the boot-time clock itself tells how long the process was away.
        Some(mark) if !boot_id.is_empty() && mark.boot_id == boot_id && boottime_ms >= mark.boottime_ms => {
            mark.at.as_millis() - mark.boottime_ms
        }
        // Another boot: only the wall clock is left, but time never runs backwards.
        Some(mark) => wall_ms.max(mark.at.as_millis()) - boottime_ms,
        None => wall_ms - boottime_ms,
    }
}

fn boottime_ms() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

fn read_boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(at: i64, boottime_ms: i64, boot_id: &str) -> Mark {
        Mark { at: Moment(at), boottime_ms, boot_id: boot_id.to_owned() }
    }

    #[test]
    fn a_first_start_begins_at_the_wall_clock() {
        assert_eq!(anchor(None, "boot", 5_000, 1_000_000), 995_000);
    }

    #[test]
    fn a_restart_on_the_same_boot_ignores_a_stepped_wall_clock() {
        let last = mark(1_000_000, 5_000, "boot");
        // A minute later by boot time, while the wall clock jumped an hour either way.
        for wall in [1_000_000 + 3_660_000, 1_000_000 - 3_540_000] {
            assert_eq!(65_000 + anchor(Some(&last), "boot", 65_000, wall), 1_060_000);
        }
    }

    #[test]
    fn a_reboot_follows_the_wall_clock_but_never_backwards() {
        let last = mark(1_000_000, 5_000, "boot");
        assert_eq!(100 + anchor(Some(&last), "next", 100, 1_500_000), 1_500_000);
        assert_eq!(100 + anchor(Some(&last), "next", 100, 400_000), 1_000_000);
    }

    #[test]
    fn a_clock_that_began_without_the_mark_knows_how_far_it_is_off() {
        let last = mark(1_000_000, 5_000, "boot");
        assert_eq!(mark(1_060_000, 65_000, "boot").off(&last), Duration::ZERO);
        // The wall clock was an hour ahead, or behind, when the process began.
        assert_eq!(mark(4_660_000, 65_000, "boot").off(&last), Duration::from_secs(3_600));
        assert_eq!(mark(1_000_000 - 3_540_000, 65_000, "boot").off(&last), Duration::from_secs(3_600));
        // Over a reboot the wall clock is all there is, but time does not run backwards.
        assert_eq!(mark(9_000_000, 100, "next").off(&last), Duration::ZERO);
        assert_eq!(mark(400_000, 100, "next").off(&last), Duration::from_secs(600));
    }

    #[test]
    fn the_steady_clock_advances_from_a_mark() {
        let first = SteadyClock::resume(None);
        let second = SteadyClock::resume(Some(&first.mark()));
        assert!(second.now() >= first.mark().at - Duration::from_millis(50));
        assert!(second.now().since(first.now()) < Duration::from_secs(5));
    }
}
