//! Line and column of every place in the document, and what is refused before its content is looked at: syntax
//! errors, more than one document, tags, nesting and repetition without end.
//!
//! `serde_yaml` says nothing about places, so the text is read a second time as a stream of events.

use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Marker, Parser};

use super::problem::{Findings, Path, Problems, Step};

/// Deepest nesting. The configuration itself needs eight levels; the YAML reader ends at 128.
const MAX_DEPTH: usize = 32;

/// Most values once aliases are followed, against a few lines that stand for gigabytes. Tens of thousands of apps
/// of twenty keys each fit.
const MAX_VALUES: usize = 1_000_000;

/// So many bytes of text count as one value more: a long text that is repeated is gigabytes too.
const BYTES_A_VALUE: usize = 64;

/// What ends a line in YAML 1.1, which `serde_yaml` reads, and is a letter like any other in YAML 1.2, which the places are
/// read with. Nobody sees them in an editor.
const BREAKS_OF_ONE_VERSION: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// A line and a column, both counted from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Position {
    /// Where a file begins.
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

impl From<&Marker> for Position {
    fn from(marker: &Marker) -> Self {
        Self { line: marker.line().max(1), column: marker.col() + 1 }
    }
}

/// Where everything stands.
#[derive(Debug)]
pub(super) struct Places(Place);

#[derive(Debug)]
struct Place {
    key: Position,
    value: Position,
    children: BTreeMap<Step, Place>,
}

impl Places {
    /// Where the value stands, or the nearest thing around it.
    pub(super) fn value(&self, path: &Path) -> Position {
        self.nearest(path).value
    }

    /// Where the key before the value stands, or the nearest thing around it.
    pub(super) fn key(&self, path: &Path) -> Position {
        self.nearest(path).key
    }

    fn nearest(&self, path: &Path) -> &Place {
        let mut place = &self.0;
        for step in &path.0 {
            match place.children.get(step) {
                Some(child) => place = child,
                None => break,
            }
        }
        place
    }
}

/// Reads the places of a document. Keys that stand twice go to `findings`.
pub(super) fn locate(file: &str, text: &str, findings: &mut Findings) -> Result<Places, Problems> {
    walk(file, text, findings, true)
}

/// Refuses what [`locate`] refuses, and keeps no places: those of ten thousand apps take fifty megabytes.
pub(super) fn skim(file: &str, text: &str, findings: &mut Findings) -> Result<(), Problems> {
    walk(file, text, findings, false).map(|_| ())
}

fn walk(file: &str, text: &str, findings: &mut Findings, keep: bool) -> Result<Places, Problems> {
    if let Some((before, rest)) = text.find(BREAKS_OF_ONE_VERSION).map(|at| text.split_at(at)) {
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let found = u32::from(rest.chars().next().unwrap_or_default());
        let what = format!("has the invisible line break U+{found:04X} here; allowed are usual line ends");
        return Err(Problems::whole(file, Position { line, column }, what));
    }
    let mut parser = Parser::new_from_str(text);
    let mut walk =
        Walk { file, findings, keep, stack: Vec::new(), root: None, sizes: HashMap::new(), documents: 0 };
    while let Some(event) = parser.next_event() {
        match event {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => walk.see(event, Position::from(&span.start))?,
            Err(error) => {
                // The parser's words are its own: of the file it quotes a character at most.
                let what = format!("is not YAML: {}; allowed is one YAML document", error.info());
                return Err(walk.refused(Position::from(error.marker()), what));
            }
        }
    }
    let empty = "the file is empty; allowed is a mapping with the keys platforms and apps";
    walk.root.map(Places).ok_or_else(|| Problems::whole(file, Position::START, empty))
}

struct Walk<'a> {
    file: &'a str,
    findings: &'a mut Findings,
    /// Finished mappings and lists keep what is below them.
    keep: bool,
    stack: Vec<Frame>,
    root: Option<Place>,
    /// Values below each anchor, once aliases are followed. An anchor without a size is still open.
    sizes: HashMap<usize, usize>,
    documents: usize,
}

/// A mapping or sequence that is not at its end yet.
struct Frame {
    place: Place,
    next: Next,
    anchor: usize,
    size: usize,
}

enum Next {
    Key,
    Value(String, Position),
    Item(usize),
}

impl Walk<'_> {
    fn see(&mut self, event: Event<'_>, at: Position) -> Result<(), Problems> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(self.refused(at, "a second document begins; allowed is one document"));
                }
            }
            Event::Scalar(_, _, _, Some(tag))
            | Event::SequenceStart(_, Some(tag))
            | Event::MappingStart(_, Some(tag))
                if !tag.is_yaml_core_schema() =>
            {
                return Err(self.refused(at, "has a YAML tag (!); allowed are plain values"));
            }
            Event::Scalar(text, _, anchor, _) => {
                let size = 1 + text.len() / BYTES_A_VALUE;
                if let Some(Frame { next: next @ Next::Key, size: around, .. }) = self.stack.last_mut() {
                    *around = around.saturating_add(size);
                    *next = Next::Value(text.into_owned(), at);
                    self.refuse_twice(at);
                    return Ok(());
                }
                // The place of an empty value is wherever the next thing stands; its key is nearer.
                let at = if text.is_empty() { self.key_position().unwrap_or(at) } else { at };
                self.sizes.insert(anchor, size);
                self.place(Place { key: at, value: at, children: BTreeMap::new() }, size)?;
            }
            Event::Alias(anchor) => {
                let Some(size) = self.sizes.get(&anchor).copied() else {
                    return Err(self.refused(at, "an alias refers to itself; allowed are plain values"));
                };
                self.refuse_as_key(at)?;
                self.place(Place { key: at, value: at, children: BTreeMap::new() }, size)?;
            }
            Event::MappingStart(anchor, _) => self.open(Next::Key, anchor, at)?,
            Event::SequenceStart(anchor, _) => self.open(Next::Item(0), anchor, at)?,
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(frame) = self.stack.pop() {
                    self.sizes.insert(frame.anchor, frame.size);
                    self.place(frame.place, frame.size)?;
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, next: Next, anchor: usize, at: Position) -> Result<(), Problems> {
        self.refuse_as_key(at)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.refused(at, format!("is nested too deep; allowed are {MAX_DEPTH} levels")));
        }
        let place = Place { key: at, value: at, children: BTreeMap::new() };
        self.stack.push(Frame { place, next, anchor, size: 1 });
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, mut place: Place, size: usize) -> Result<(), Problems> {
        let at = place.value;
        if !self.keep {
            place.children = BTreeMap::new();
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(place);
            return Ok(());
        };
        frame.size = frame.size.saturating_add(size);
        let full = frame.size > MAX_VALUES;
        match std::mem::replace(&mut frame.next, Next::Key) {
            Next::Item(index) => {
                frame.next = Next::Item(index + 1);
                if self.keep {
                    frame.place.children.insert(Step::Index(index), place);
                }
            }
            Next::Value(key, position) => {
                place.key = position;
                frame.place.children.insert(Step::Key(key), place);
            }
            Next::Key => {}
        }
        if full {
            let what = format!("stands for too many values; allowed are {MAX_VALUES}");
            return Err(self.refused(at, what));
        }
        Ok(())
    }

    fn key_position(&self) -> Option<Position> {
        match self.stack.last()?.next {
            Next::Value(_, position) => Some(position),
            Next::Key | Next::Item(_) => None,
        }
    }

    fn refuse_as_key(&mut self, at: Position) -> Result<(), Problems> {
        match self.stack.last() {
            Some(Frame { next: Next::Key, .. }) => {
                Err(self.refused(at, "a list, a mapping or an alias stands as a key; allowed is text"))
            }
            _ => Ok(()),
        }
    }

    /// A key that stood in this mapping before is a problem, but the rest of the file is read all the same.
    fn refuse_twice(&mut self, at: Position) {
        let Some(Frame { next: Next::Value(key, _), place, .. }) = self.stack.last() else { return };
        let Some(first) = place.children.get(&Step::Key(key.clone())) else { return };
        let what = format!("stands twice, first in line {}; allowed is once", first.key.line);
        let path = self.path();
        // Reported by its own position: the places keep only one of the two.
        self.findings.add_at(path, at, what);
    }

    /// The path of what is being read.
    fn path(&self) -> Path {
        let step = |frame: &Frame| match &frame.next {
            Next::Key => None,
            Next::Value(key, _) => Some(Step::Key(key.clone())),
            Next::Item(index) => Some(Step::Index(*index)),
        };
        Path(self.stack.iter().map_while(step).collect())
    }

    fn refused(&self, at: Position, what: impl Into<String>) -> Problems {
        let mut problems = Problems::whole(self.file, at, what);
        problems.0.iter_mut().for_each(|problem| problem.path = self.path().to_string());
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Places {
        locate("f.yaml", text, &mut Findings::default()).unwrap()
    }

    fn path(steps: &[&str]) -> Path {
        Path(
            steps
                .iter()
                .map(|step| step.parse().map_or_else(|_| Step::Key((*step).into()), Step::Index))
                .collect(),
        )
    }

    #[test]
    fn every_value_and_key_has_its_line_and_column() {
        let text =
            "a: 1\nlist:\n  - name: x\n    flow: { p: [10, \"z\"] }\nempty:\nalias: &x {q: 1}\nuse: *x\n";
        let places = places(text);
        type Case<'a> = (&'a [&'a str], (usize, usize), (usize, usize));
        let cases: [Case; 9] = [
            (&["a"], (1, 1), (1, 4)),
            (&["list", "0"], (3, 5), (3, 5)),
            (&["list", "0", "name"], (3, 5), (3, 11)),
            (&["list", "0", "flow", "p", "1"], (4, 21), (4, 21)),
            (&["empty"], (5, 1), (5, 1)),
            (&["use"], (7, 1), (7, 6)),
            (&["use", "q"], (7, 1), (7, 6)),
            (&["list", "0", "nothing", "there"], (3, 5), (3, 5)),
            (&[], (1, 1), (1, 1)),
        ];
        for (steps, key, value) in cases {
            let found = (places.key(&path(steps)), places.value(&path(steps)));
            let expected = [key, value].map(|(line, column)| Position { line, column });
            assert_eq!([found.0, found.1], expected, "{steps:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_configuration_is_refused_with_its_place() {
        let deep = "[".repeat(100);
        let bomb = (1..20).fold("a0: &a0 [x, x, x]\n".to_owned(), |text, n| {
            let before = n - 1;
            text + &format!("a{n}: &a{n} [*a{before}, *a{before}, *a{before}]\n")
        });
        let cases = [
            ("", "f.yaml:1:1: (document): the file is empty"),
            ("# nothing\n", "f.yaml:1:1: (document): the file is empty"),
            ("a: 1\n# b\u{85}a: 2\n", "f.yaml:2:4: (document): has the invisible line break U+0085 here"),
            ("a: [1\nb: 2\n", "is not YAML: "),
            ("a: 1\n---\nb: 2\n", "f.yaml:2:1: (document): a second document begins"),
            ("a:\n  b: !secret x\n", "f.yaml:2:6: a.b: has a YAML tag"),
            ("x: 1\n\"\": !secret x\n", "f.yaml:2:5: \"\": has a YAML tag"),
            ("a: &a [*a]\n", "f.yaml:1:8: a[0]: an alias refers to itself"),
            ("? [1, 2]\n: 3\n", "f.yaml:1:3: (document): a list, a mapping or an alias stands as a key"),
            (&deep, "is nested too deep"),
            (&bomb, "stands for too many values"),
        ];
        for (text, expected) in cases {
            let problems = locate("f.yaml", text, &mut Findings::default()).unwrap_err().to_string();
            assert!(problems.contains(expected), "{text:?}: {problems}");
        }
    }
}
