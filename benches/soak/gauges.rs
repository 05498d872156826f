//! What is read of the daemon from outside, every two seconds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::guard::Process;

/// Time between two samples.
pub(crate) const EVERY: Duration = Duration::from_secs(2);

/// What a figure is called, and how it is read off a sample.
pub(crate) type Gauge = (&'static str, fn(&Sample) -> f64);

/// The figures, in the order they are shown.
pub(crate) const GAUGES: [Gauge; 7] = [
    ("resident memory, MB", |sample| sample.resident),
    ("  of that anonymous, MB", |sample| sample.anonymous),
    ("descriptors", |sample| sample.descriptors),
    ("threads", |sample| sample.threads),
    ("CPU, cores", |sample| sample.cores),
    ("journal file, MB", |sample| sample.journal),
    ("its write-ahead log, MB", |sample| sample.log),
];

/// One look.
pub(crate) struct Sample {
    pub(crate) at: Instant,
    resident: f64,
    anonymous: f64,
    descriptors: f64,
    threads: f64,
    cores: f64,
    journal: f64,
    log: f64,
}

/// Reads the gauges of a process and its journal.
pub(crate) struct Gauges {
    pid: u32,
    journal: PathBuf,
    last: (Instant, f64),
}

impl Gauges {
    pub(crate) fn new(process: &Process, folder: &Path) -> Self {
        let journal = folder.join("rearguard.db");
        Self { pid: process.0.id(), journal, last: (Instant::now(), process.cpu()) }
    }

    /// One look, now.
    pub(crate) fn look(&mut self, process: &Process) -> Sample {
        let (at, cpu) = (Instant::now(), process.cpu());
        let span = at.duration_since(self.last.0).as_secs_f64();
        let cores = if span > 0.0 { (cpu - self.last.1) / span } else { 0.0 };
        self.last = (at, cpu);
        Sample {
            at,
            resident: process.memory("VmRSS:"),
            anonymous: process.memory("RssAnon:"),
            descriptors: entries(&format!("/proc/{}/fd", self.pid)),
            threads: entries(&format!("/proc/{}/task", self.pid)),
            cores,
            journal: megabytes(&self.journal),
            log: megabytes(&self.journal.with_extension("db-wal")),
        }
    }
}

fn entries(folder: &str) -> f64 {
    std::fs::read_dir(folder).unwrap().count() as f64
}

fn megabytes(file: &Path) -> f64 {
    std::fs::metadata(file).map_or(0.0, |file| file.len() as f64 / 1e6)
}
