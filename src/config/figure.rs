//! What a platform measures of an app, under the names that its own documents have for it.

use std::time::Duration;

use super::{Absent, Limits, PlatformKind};
use crate::decision::capability::Signal;

/// What is asked of the app's own platform.
#[derive(Clone, Debug, PartialEq)]
pub struct PlatformAsk {
    /// Which figure.
    pub figure: Figure,
    /// Of which component or process; of every one where there is none, and the worst counts.
    pub component: Option<String>,
    /// Values that are good.
    pub limits: Limits,
    /// What it means when there is no value.
    pub absent: Absent,
    /// How old the newest value may be.
    pub max_age: Duration,
}

/// A figure of a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// DigitalOcean: whether a component is healthy. Has no limits.
    Health,
    /// DigitalOcean: how often an instance was started anew since the release went live.
    RestartCount,
    /// DigitalOcean: of the processor that an instance may use, in percent.
    CpuPercentage,
    /// DigitalOcean: of the memory that an instance may use, in percent.
    MemoryPercentage,
    /// Sevalla: the share of answers with a status from 500 to 599.
    ServerErrors,
    /// Sevalla: the 95th percentile of the time to answer, in milliseconds.
    ResponseTime,
    /// Sevalla: how many processes ended badly since the release went live.
    ExitCodes,
    /// Sevalla: cores in use by a process.
    CpuUsage,
    /// Sevalla: bytes in use by a process.
    MemoryUsage,
}

impl Figure {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::RestartCount => "restart_count",
            Self::CpuPercentage => "cpu_percentage",
            Self::MemoryPercentage => "memory_percentage",
            Self::ServerErrors => "status_codes_5xx",
            Self::ResponseTime => "response_time",
            Self::ExitCodes => "exit_codes",
            Self::CpuUsage => "cpu_usage",
            Self::MemoryUsage => "memory_usage",
        }
    }

    /// What it is made from.
    pub fn signal(self) -> Signal {
        match self {
            Self::Health => Signal::Health,
            Self::RestartCount => Signal::Restarts,
            Self::CpuPercentage | Self::CpuUsage => Signal::Cpu,
            Self::MemoryPercentage | Self::MemoryUsage => Signal::Memory,
            Self::ServerErrors => Signal::Requests,
            Self::ResponseTime => Signal::ResponseTime,
            Self::ExitCodes => Signal::Exits,
        }
    }

    /// Whether it is told of the app as a whole only.
    pub fn is_of_the_whole_app(self) -> bool {
        matches!(self, Self::ServerErrors | Self::ResponseTime)
    }

    /// The requests that it takes where it has one process.
    pub fn reads(self) -> u32 {
        match self {
            // The list of processes, and the one.
            Self::ExitCodes | Self::CpuUsage | Self::MemoryUsage => 2,
            _ => 1,
        }
    }
}

impl PlatformKind {
    /// The figures that such a platform has.
    pub fn figures(self) -> &'static [Figure] {
        match self {
            Self::DigitalOcean => {
                &[Figure::Health, Figure::RestartCount, Figure::CpuPercentage, Figure::MemoryPercentage]
            }
            Self::Sevalla => &[
                Figure::ServerErrors,
                Figure::ResponseTime,
                Figure::ExitCodes,
                Figure::CpuUsage,
                Figure::MemoryUsage,
            ],
        }
    }
}
