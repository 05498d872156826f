//! What was done, as a table, and what was broken.

use std::collections::BTreeMap;
use std::io::Write;

use tokio::time::Instant;

use crate::course::Course;
use crate::run::{Stage, Told};
use crate::sweep::Sweep;

/// At most so many broken runs are told whole.
const STORIES: usize = 3;

/// Says a line that is seen without `--nocapture` as well.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// One sweep.
struct Row {
    what: &'static str,
    course: Course,
    runs: u32,
    /// Runs that met their trouble, by how far the course had come then: the crash points.
    met: BTreeMap<Stage, u32>,
    /// Of those, the ones killed as they were about to send a call of the rollback.
    at_calls: u32,
    seconds: f64,
    broken: Vec<String>,
}

impl Row {
    fn points(&self) -> u32 {
        self.met.values().sum()
    }
}

/// Every sweep.
pub(crate) struct Table {
    begun: Instant,
    rows: Vec<Row>,
}

fn line(course: &str, what: &str, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>9}")).collect();
    say(&format!("{course:<13}{what:<35}{}", cells.join(" ")));
}

impl Table {
    pub(crate) fn new(sweeps: &[Sweep]) -> Self {
        let row = |sweep: &Sweep| Row {
            what: sweep.what,
            course: sweep.course,
            runs: 0,
            met: BTreeMap::new(),
            at_calls: 0,
            seconds: 0.0,
            broken: Vec::new(),
        };
        Self { begun: Instant::now(), rows: sweeps.iter().map(row).collect() }
    }

    pub(crate) fn count(&mut self, nth: usize, n: u32, told: Told) {
        let row = &mut self.rows[nth];
        row.runs += 1;
        row.seconds += told.took.as_secs_f64();
        row.at_calls += u32::from(told.was_calling);
        if let Some(stage) = told.met {
            *row.met.entry(stage).or_default() += 1;
        }
        if !told.broken.is_empty() {
            let promises = told.broken.join("; ");
            say(&format!("BROKEN: {}, {}, N = {n}: {promises}", row.course.word(), row.what));
            row.broken.push(format!("{promises}\n{}", told.story));
        }
    }

    fn head() {
        let stages = Stage::ALL.map(|(_, word)| word);
        let cells = ["runs", "points"].into_iter().chain(stages).chain(["at calls", "broken", "s a run"]);
        line("\ncourse", " trouble", &cells.map(str::to_owned).collect::<Vec<_>>());
    }

    /// Shows a row: its runs, its crash points, how far the course had come at each.
    pub(crate) fn show(&self, nth: usize) {
        if nth == 0 {
            Self::head();
        }
        let row = &self.rows[nth];
        let mut cells = vec![row.runs.to_string(), row.points().to_string()];
        cells.extend(Stage::ALL.map(|(stage, _)| row.met.get(&stage).copied().unwrap_or(0).to_string()));
        let mean = row.seconds / f64::from(row.runs.max(1));
        cells.extend([row.at_calls.to_string(), row.broken.len().to_string(), format!("{mean:.1}")]);
        line(row.course.word(), row.what, &cells);
    }

    /// Sums up, and fails when a promise was broken or a trouble never came.
    pub(crate) fn end(self) {
        let runs: u32 = self.rows.iter().map(|row| row.runs).sum();
        let points: u32 = self.rows.iter().map(Row::points).sum();
        let broken: Vec<&str> = self.rows.iter().flat_map(|row| &row.broken).map(String::as_str).collect();
        say(&format!(
            "{points} crash points in {runs} runs, {} of them broke a promise; {:.0} s",
            broken.len(),
            self.begun.elapsed().as_secs_f64(),
        ));
        let idle: Vec<&str> = self.rows.iter().filter(|row| row.points() == 0).map(|row| row.what).collect();
        assert!(idle.is_empty(), "{idle:?} never came: that proves nothing");
        let stories = broken.iter().take(STORIES).copied().collect::<Vec<_>>().join("\n\n");
        assert!(broken.is_empty(), "{} runs broke a promise\n{stories}", broken.len());
    }
}
