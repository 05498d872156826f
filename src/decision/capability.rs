//! What a platform can do for one app. The core reads this, and contains no platform's name.
//!
//! It belongs to the app and not to the platform: what an app is made from decides, on some platforms, whether its
//! target can be named and whether its pushes can be paused.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What can be done for one app, as its platform stands. The default is a platform that does it all itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Who says what a rollback goes back to.
    pub targeting: Targeting,
    /// What keeps other deployments away from a rollback.
    pub pin: PinKind,
    /// The dry run.
    pub validate: Support,
    /// Accepting a rollback. Emulated: the pin is let go, and that is all.
    pub commit: Support,
    /// Undoing a rollback. Emulated: a rollback to what was live before.
    pub revert: Support,
    /// Whether what comes back by a revert is what ran before, and not a new build of it.
    pub revert_is_exact: bool,
    /// A rolling restart of what is live.
    pub restart: Support,
    /// Whether a rollback that may have been applied can be asked for again without leading somewhere else.
    pub resend_is_safe: bool,
    /// The figures that the platform keeps of it by itself.
    #[serde(default, skip_serializing_if = "Signals::is_empty")]
    pub signals: Signals,
}

impl Capabilities {
    /// Whether a restart may be tried before a rollback: where the platform picks, it would go back to the very release
    /// that was restarted.
    pub fn may_restart_first(self) -> bool {
        self.restart != Support::Absent && self.targeting != Targeting::PlatformPicks
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            targeting: Targeting::ById,
            pin: PinKind::Hard,
            validate: Support::Native,
            commit: Support::Native,
            revert: Support::Native,
            revert_is_exact: true,
            restart: Support::Native,
            resend_is_safe: true,
            signals: Signals::default(),
        }
    }
}

/// Who says what a rollback goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Targeting {
    /// We do, by the deployment's id.
    ById,
    /// We do, by what the deployment runs, an image for example.
    ByCode,
    /// The platform: it goes back to the successful deployment before the live one.
    PlatformPicks,
}

impl Targeting {
    /// Whether what came back has to be told to be what was wanted before it counts as a rollback. Where we name the
    /// deployment, that it surely is something else is enough to tell.
    pub fn is_checked(self) -> bool {
        self != Self::ById
    }
}

/// What keeps other deployments away from a rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinKind {
    #[default]
    /// The platform refuses every other deployment until a commit or revert.
    Hard,
    /// Nothing but pushes can be kept from deploying, which has to be asked for before and taken back after.
    Soft,
    /// Nothing does.
    Absent,
}

/// How a platform does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// It cannot be done.
    Absent,
    /// It is made of other calls and of reads.
    Emulated,
    /// The platform has a call for it.
    Native,
}

/// What a push to an app's branch does, where the platform says so and lets it be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pushes {
    /// It is deployed.
    Deploy,
    /// Nothing, for now.
    Paused,
}

/// A figure that a platform keeps of an app by itself, as points in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Requests answered in each interval, one series a status: its label is the status.
    Requests,
    /// The 95th percentile of the time to answer, in milliseconds.
    ResponseTime,
    /// Processor in use, one series an instance or process: in cores, or in percent of what it may use, as the
    /// platform counts. So a series can be held against itself only; the next is counted likewise.
    Cpu,
    /// Memory in use, one series an instance or process: in bytes, or in percent of what it may use.
    Memory,
    /// How often an instance has been started anew, one series an instance.
    Restarts,
    /// Exit codes, one series a process, each point one that ended.
    Exits,
    /// What the platform holds of each component now: 1 is healthy, 0 is not, and no point is that it does not know.
    Health,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 7] = [
        Self::Requests,
        Self::ResponseTime,
        Self::Cpu,
        Self::Memory,
        Self::Restarts,
        Self::Exits,
        Self::Health,
    ];

    /// The fixed word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::ResponseTime => "response_time",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Restarts => "restarts",
            Self::Exits => "exits",
            Self::Health => "health",
        }
    }
}

/// A set of signals; a list of words where it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals(u8);

impl Signals {
    /// These.
    pub const fn of(signals: &[Signal]) -> Self {
        let (mut set, mut number) = (0, 0);
        // A constant has no iterators.
        while number < signals.len() {
            set |= 1 << signals[number] as u8;
            number += 1;
        }
        Self(set)
    }

    /// Whether the signal is one of them.
    pub fn has(self, signal: Signal) -> bool {
        self.0 & (1 << signal as u8) != 0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl Serialize for Signals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(Signal::ALL.into_iter().filter(|signal| self.has(*signal)).map(Signal::word))
    }
}

/// A word that a later release wrote is passed over.
impl<'de> Deserialize<'de> for Signals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        let known = |signal: &Signal| words.iter().any(|word| word == signal.word());
        Ok(Self::of(&Signal::ALL.into_iter().filter(known).collect::<Vec<_>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_written_as_words_and_unknown_ones_are_passed_over() {
        let some = Signals::of(&[Signal::Memory, Signal::Requests]);
        assert_eq!(serde_json::to_string(&some).unwrap(), r#"["requests","memory"]"#);
        let read = |json| serde_json::from_str::<Signals>(json).unwrap();
        assert_eq!(read(r#"["memory","of_tomorrow","requests"]"#), some);
        assert!(some.has(Signal::Memory) && !some.has(Signal::Cpu) && read("[]").is_empty());
        let all = Signals::of(&Signal::ALL);
        assert_eq!(read(&serde_json::to_string(&all).unwrap()), all);
        let with_all = Capabilities { signals: all, ..Capabilities::default() };
        let written = serde_json::to_value(with_all).unwrap();
        assert_eq!(serde_json::from_value::<Capabilities>(written).unwrap(), with_all);
        // A journal of an earlier release has no such field.
        let mut old = serde_json::to_value(with_all).unwrap();
        old.as_object_mut().unwrap().remove("signals");
        assert_eq!(serde_json::from_value::<Capabilities>(old.clone()).unwrap(), Capabilities::default());
        // And one that nobody knows any more.
        old["pin_is_readable"] = serde_json::Value::Bool(true);
        assert_eq!(serde_json::from_value::<Capabilities>(old).unwrap(), Capabilities::default());
    }
}
