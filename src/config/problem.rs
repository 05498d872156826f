//! What is wrong with a configuration, and where: every problem at once, each on one line.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use super::position::{Places, Position};

/// The most problems that are reported of one file. A file with more is not the file that was meant.
pub(super) const MAX_PROBLEMS: usize = 100;

/// Keys and values longer than this are cut where they are shown: a line of noise hides the other problems.
const MAX_SHOWN: usize = 40;

/// Everything wrong with a configuration file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// The one problem that keeps a file from being looked at any further.
    pub(super) fn whole(file: &str, position: Position, what: impl Into<String>) -> Self {
        Self(vec![Problem {
            file: file.into(),
            position,
            path: Path::default().to_string(),
            what: what.into(),
        }])
    }

    /// Each problem.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// One problem, displayed as `FILE:LINE:COLUMN: PATH: what is wrong; what is allowed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// Where in the file.
    pub position: Position,
    /// Where in the document, `apps[0].soak.period`.
    pub path: String,
    /// What is wrong, and what is allowed.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, position, path, what } = self;
        let line = format!("{file}:{}:{}: {path}: {what}", position.line, position.column);
        f.write_str(&line.chars().map(visible).collect::<String>())
    }
}

/// A place in the document. Displayed as `apps[0].soak.period`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(pub(super) Vec<Step>);

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    pub(super) fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.into()))
    }

    pub(super) fn parent(&self) -> Self {
        Self(self.0.split_last().map(|(_, rest)| rest.to_vec()).unwrap_or_default())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(document)");
        }
        for (n, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    f.write_str(if n == 0 { "" } else { "." })?;
                    f.write_str(&if key.is_empty() { "\"\"".to_owned() } else { shown(key) })?;
                }
            }
        }
        Ok(())
    }
}

/// Text from the file as it may stand in a line for people: not endless.
pub(super) fn shown(text: &str) -> String {
    let end = text.chars().nth(MAX_SHOWN).map(|_| '…');
    text.chars().take(MAX_SHOWN).chain(end).collect()
}

/// Control characters, ends of lines and turns of the writing direction would make another line of this one.
fn visible(c: char) -> char {
    let turns = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    if c.is_control() || turns { char::REPLACEMENT_CHARACTER } else { c }
}

/// What of a place in the document a problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The value.
    Value,
    /// The key before it.
    Key,
    /// Nothing stands there: the mapping in which it is missing.
    Missing,
}

/// The problems found so far, and the places that are known to be broken and not worth a second report.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<(Path, Part, String)>,
    placed: Vec<(Path, Position, String)>,
    broken: BTreeSet<Path>,
}

impl Findings {
    /// Records a problem.
    pub(super) fn add(&mut self, path: Path, part: Part, what: String) {
        self.broken.insert(path.clone());
        self.found.push((path, part, what));
    }

    /// Records a problem whose place in the file is known already.
    pub(super) fn add_at(&mut self, path: Path, position: Position, what: String) {
        self.placed.push((path, position, what));
    }

    /// Nothing more is said about this place.
    pub(super) fn silence(&mut self, path: Path) {
        self.broken.insert(path);
    }

    pub(super) fn is_broken(&self, path: &Path) -> bool {
        !self.broken.is_empty()
            && (0..=path.0.len()).any(|end| self.broken.contains(&Path(path.0[..end].to_vec())))
    }

    /// Nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty() && self.placed.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= MAX_PROBLEMS
    }

    /// The problems with their places, in the order of the file; none when there are none.
    pub(super) fn into_problems(self, file: &str, places: &Places) -> Option<Problems> {
        let placed = self.found.into_iter().map(|(path, part, what)| {
            let position = match part {
                Part::Value => places.value(&path),
                Part::Key => places.key(&path),
                Part::Missing => places.value(&path.parent()),
            };
            (path, position, what)
        });
        let problem = |(path, position, what): (Path, Position, String)| Problem {
            file: file.into(),
            position,
            path: path.to_string(),
            what,
        };
        let mut problems: Vec<Problem> = self.placed.into_iter().chain(placed).map(problem).collect();
        problems.sort_by_key(|problem| problem.position);
        let full = problems.len() >= MAX_PROBLEMS;
        problems.truncate(MAX_PROBLEMS);
        if let Some(last) = problems.last_mut().filter(|_| full) {
            last.what.push_str(&format!(" (these are {MAX_PROBLEMS} problems, there may be more)"));
        }
        (!problems.is_empty()).then_some(Problems(problems))
    }
}

/// A place in the document while it is validated.
#[derive(Clone, Debug)]
pub(super) struct Spot<'a> {
    findings: &'a RefCell<Findings>,
    path: Path,
}

impl<'a> Spot<'a> {
    pub(super) fn root(findings: &'a RefCell<Findings>) -> Self {
        Self { findings, path: Path::default() }
    }

    pub(super) fn key(&self, key: &str) -> Self {
        Self { findings: self.findings, path: self.path.key(key) }
    }

    pub(super) fn item(&self, index: usize) -> Self {
        Self { findings: self.findings, path: self.path.with(Step::Index(index)) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a problem was found here or above.
    pub(super) fn is_broken(&self) -> bool {
        self.findings.borrow().is_broken(&self.path)
    }

    /// Whether enough problems were found to stop looking.
    pub(super) fn is_full(&self) -> bool {
        self.findings.borrow().is_full()
    }

    /// The value here is wrong.
    pub(super) fn wrong(&self, what: impl Into<String>) {
        self.findings.borrow_mut().add(self.path.clone(), Part::Value, what.into());
    }

    /// The key here is wrong, whatever its value.
    pub(super) fn wrong_key(&self, what: impl Into<String>) {
        self.findings.borrow_mut().add(self.path.clone(), Part::Key, what.into());
    }

    /// Something has to stand here; nothing is said where something wrong stood.
    pub(super) fn missing(&self, allowed: &str) {
        if !self.is_broken() {
            let what = format!("is missing; allowed is {allowed}");
            self.findings.borrow_mut().add(self.path.clone(), Part::Missing, what);
        }
    }
}
