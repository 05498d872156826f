//! A line of text that shows a signal wherever text can be pasted.

use jiff::{SignedDuration, Timestamp};

use super::signal::{Marked, Point, Signal};
use super::{Unit, words};
use crate::decision::rule::Verdict;

/// Steps of a column's height.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Rows of failures are shown up to so many times their limit; what is longer stands at the edge.
const ROWS: f64 = 4.0;
/// A column of which nobody can tell.
const UNKNOWN: char = '?';
/// A column without a sample.
const NOTHING: char = ' ';

/// The signal in three lines: the columns, what happened below them, and what the letters mean.
pub(super) fn spark(signal: &Signal, width: usize) -> Option<[String; 3]> {
    let (first, last) = signal.span()?;
    let scale = Scale { first, last, width: width.clamp(20, 72) };
    let mut columns: Vec<Vec<Point>> = vec![Vec::new(); scale.width];
    for point in &signal.points {
        columns[scale.column(point.at)].push(*point);
    }
    let peak = shown_peak(signal);
    let line = line(signal, &columns, peak);
    let mut below = vec![NOTHING; scale.width];
    let mut legend = Vec::new();
    for mark in &signal.marks {
        let Some(letter) = letter(mark.what) else { continue };
        let mut place = scale.column(mark.at);
        // Beside one that stands there already.
        while below.get(place).is_some_and(|taken| *taken != NOTHING) {
            place += 1;
        }
        below.resize(below.len().max(place + 1), NOTHING);
        below[place] = letter;
        legend.push(format!("{letter} {}", mark.what.text()));
    }
    let below: String = below.into_iter().collect();
    Some([line.trim_end().to_owned(), below.trim_end().to_owned(), legend.join(", ")])
}

/// What the line shows, from when to when, and its highest.
pub(super) fn caption(signal: &Signal) -> String {
    let limit = signal.unit.show(signal.threshold);
    let mut text = format!("{} of probe {}, limit {limit}", signal.measure, signal.probe);
    let worst = signal.points.iter().filter(|point| point.value.is_some());
    let worst = worst.max_by(|a, b| a.value.partial_cmp(&b.value).unwrap_or(std::cmp::Ordering::Equal));
    if let Some(Point { at, value: Some(value), .. }) = worst {
        text.push_str(&format!("; highest {} at {}", signal.unit.show(*value), at.strftime("%H:%M:%S")));
        if let Some(most) = cut_at(signal) {
            text.push_str(&format!(", drawn up to {}", signal.unit.show(most)));
        }
    }
    if let (Some(first), Some(last)) = (signal.points.first(), signal.points.last()) {
        text.push_str(&format!("; {} to {}", words::clock(first.at), last.at.strftime("%H:%M:%S")));
    }
    text
}

/// The caption, and when what happened: a picture of it for who does not see one.
pub(crate) fn described(signal: &Signal) -> String {
    let marks = signal.marks.iter().filter(|mark| !mark.what.text().is_empty());
    let marks: Vec<String> =
        marks.map(|mark| format!("{} {}", mark.what.text(), mark.at.strftime("%H:%M:%S"))).collect();
    let marks = if marks.is_empty() { String::new() } else { format!(". Marked: {}", marks.join(", ")) };
    format!("{}{marks}.", caption(signal))
}

/// What higher values are drawn at, where there are any.
pub(super) fn cut_at(signal: &Signal) -> Option<f64> {
    let shown = shown_peak(signal);
    (peak(signal) > shown).then_some(shown)
}

/// The highest that is shown. How long a row of failures gets says how long it was not rolled back, and would hide where
/// its limit is.
pub(super) fn shown_peak(signal: &Signal) -> f64 {
    let peak = peak(signal).max(signal.threshold);
    if signal.unit == Unit::Failures { peak.min(signal.threshold * ROWS) } else { peak }
}

/// The highest there was.
pub(super) fn peak(signal: &Signal) -> f64 {
    signal.points.iter().filter_map(|point| point.value).fold(0.0, f64::max)
}

/// A column's height, and where samples are further apart than columns, the one before as long as it holds.
fn line(signal: &Signal, columns: &[Vec<Point>], peak: f64) -> String {
    let usual = signal.usual_step();
    let mut held: Option<(Point, char)> = None;
    let (first, last) = signal.span().unwrap_or_default();
    let wide = last.duration_since(first).as_secs_f64() / columns.len() as f64;
    let height = |(n, points): (usize, &Vec<Point>)| {
        if let Some(point) = points.last() {
            let shown = column(points, peak);
            held = Some((*point, shown));
            return shown;
        }
        let begins = first.checked_add(SignedDuration::from_secs_f64(n as f64 * wide)).unwrap_or(first);
        let holds = |point: &Point| begins.duration_since(point.at).as_secs_f64() < usual;
        let is_last = |point: &Point| signal.points.last().is_some_and(|last| last.at == point.at);
        held.filter(|(point, _)| holds(point) && !is_last(point)).map_or(NOTHING, |(_, shown)| shown)
    };
    columns.iter().enumerate().map(height).collect()
}

struct Scale {
    first: Timestamp,
    last: Timestamp,
    width: usize,
}

impl Scale {
    fn column(&self, at: Timestamp) -> usize {
        let all = self.last.duration_since(self.first).as_secs_f64();
        let part = at.duration_since(self.first).as_secs_f64() / if all > 0.0 { all } else { 1.0 };
        step(part, self.width)
    }
}

/// Which of `steps` equal steps a part between 0 and 1 falls into.
fn step(part: f64, steps: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small number")]
    let step = (part.clamp(0.0, 1.0) * steps as f64) as usize;
    step.min(steps - 1)
}

fn column(points: &[Point], peak: f64) -> char {
    let value = points.iter().filter_map(|point| point.value).reduce(f64::max);
    match value {
        Some(value) => STEPS[step(value / if peak > 0.0 { peak } else { 1.0 }, STEPS.len())],
        None if points.iter().any(|point| point.verdict == Verdict::Unknown) => UNKNOWN,
        // A failure that is not measured, as of latencies.
        None if points.iter().any(|point| point.verdict == Verdict::Bad) => 'x',
        None => NOTHING,
    }
}

fn letter(what: Marked) -> Option<char> {
    Some(match what {
        Marked::Live => 'L',
        Marked::Fired => 'F',
        Marked::RollbackAsked => 'R',
        Marked::LiveAgain => 'B',
        Marked::Commit => 'C',
        Marked::Revert => 'V',
        Marked::Closed => 'E',
        Marked::Other => return None,
    })
}
