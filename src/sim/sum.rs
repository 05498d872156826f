//! What courses came to, added up.

use std::collections::BTreeMap;

/// What a course came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) courses: usize,
    pub(super) incidents: BTreeMap<&'static str, usize>,
    pub(super) lives: usize,
    pub(super) events: BTreeMap<String, usize>,
    pub(super) rollbacks: usize,
    /// What people ordered and was not turned down.
    pub(super) orders: usize,
    /// Those of the events that are faults, whether they met anything or not.
    pub(super) faults: usize,
    /// How often a fault met a request, a visit, a use of the journal or a process, by its word.
    pub(super) struck: BTreeMap<String, usize>,
    /// How often a bad release was tried at the end, with nothing in the way.
    pub(super) drills: usize,
    pub(super) simulated_ms: i64,
    /// Two rollbacks for one release, the first of which came to light after its time: counted, not forbidden.
    pub(super) late_pairs: usize,
}

impl Sum {
    pub(super) fn incidents(&self) -> usize {
        self.incidents.values().sum()
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.courses += other.courses;
        self.lives += other.lives;
        self.rollbacks += other.rollbacks;
        self.orders += other.orders;
        self.faults += other.faults;
        self.drills += other.drills;
        self.simulated_ms += other.simulated_ms;
        self.late_pairs += other.late_pairs;
        for (word, count) in &other.incidents {
            *self.incidents.entry(word).or_default() += count;
        }
        for (word, count) in &other.struck {
            *self.struck.entry(word.clone()).or_default() += count;
        }
        for (word, count) in &other.events {
            *self.events.entry(word.clone()).or_default() += count;
        }
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { courses, lives, rollbacks, orders, late_pairs, .. } = self;
        let incidents = self.incidents();
        writeln!(
            f,
            "{courses} courses, {} h of simulated time, {lives} processes, {} faults drawn, which met {} requests, visits, uses of \
             the journal and processes, {} drills",
            self.simulated_ms / 3_600_000,
            self.faults,
            self.struck.values().sum::<usize>(),
            self.drills
        )?;
        writeln!(
            f,
            "{incidents} incidents, {rollbacks} rollbacks, {orders} orders taken, {late_pairs} pairs by late answers"
        )?;
        for (outcome, count) in &self.incidents {
            writeln!(f, "  {count:>9} {outcome}")?;
        }
        writeln!(f, "what faults met")?;
        for (word, count) in &self.struck {
            writeln!(f, "  {count:>9} {word}")?;
        }
        writeln!(f, "what happened")?;
        for (word, count) in &self.events {
            writeln!(f, "  {count:>9} {word}")?;
        }
        Ok(())
    }
}
