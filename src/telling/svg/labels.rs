//! Labels of what happened, in rows, so that none stands on another or on another's line.

use jiff::Timestamp;

use super::super::signal::{Mark, Marked};

/// Width of a letter, on average.
const LETTER: f64 = 6.9;
/// Between two labels.
const APART: f64 = 10.0;

/// One label.
pub(super) struct Label {
    pub(super) x: f64,
    pub(super) row: usize,
    /// It stands to the left of its line.
    pub(super) leans_left: bool,
    pub(super) text: String,
    span: (f64, f64),
}

/// About how wide a text is.
pub(super) fn width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// A label for each mark; `right` is where they have to end.
pub(super) fn place(marks: &[Mark], x: impl Fn(Timestamp) -> f64, right: f64) -> Vec<Label> {
    let mut labels: Vec<Label> = shown(marks).map(|mark| label(x(mark.at), mark, right)).collect();
    // From the outside inward: a line begins at its own row, so what comes later goes below what it would cross.
    labels.sort_by(|a, b| {
        let key = |label: &Label| (label.leans_left, if label.leans_left { -label.x } else { label.x });
        key(a).partial_cmp(&key(b)).unwrap_or(std::cmp::Ordering::Equal)
    });
    for n in 0..labels.len() {
        let (before, rest) = labels.split_at_mut(n);
        let Some(next) = rest.first_mut() else { break };
        let covers = |other: &&Label| other.span.0 - 2.0 <= next.x && next.x <= other.span.1 + 2.0;
        next.row = before.iter().filter(covers).map(|other| other.row + 1).max().unwrap_or(0);
        let is_taken = |row, span: (f64, f64)| {
            let meets = |other: &&Label| {
                other.row == row && other.span.0 < span.1 + APART && span.0 < other.span.1 + APART
            };
            before.iter().any(|other| meets(&other))
        };
        while is_taken(next.row, next.span) {
            next.row += 1;
        }
    }
    labels
}

/// What is worth a label: the end is where the rollback was settled.
fn shown(marks: &[Mark]) -> impl Iterator<Item = &Mark> {
    let is_settled = marks.iter().any(|mark| matches!(mark.what, Marked::Commit | Marked::Revert));
    marks.iter().filter(move |mark| {
        let is_told_already = is_settled && mark.what == Marked::Closed;
        !is_told_already && !mark.what.text().is_empty()
    })
}

fn label(x: f64, mark: &Mark, right: f64) -> Label {
    let text = format!("{} {}", mark.what.text(), mark.at.strftime("%H:%M:%S"));
    let wide = width(&text) + 5.0;
    let leans_left = x + wide > right;
    let span = if leans_left { (x - wide, x) } else { (x, x + wide) };
    Label { x, row: 0, leans_left, text, span }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_stands_on_another_or_on_the_line_of_another() {
        let all = [
            Marked::Live,
            Marked::Fired,
            Marked::RollbackAsked,
            Marked::LiveAgain,
            Marked::Revert,
            Marked::Closed,
        ];
        for seed in 0..500_u64 {
            let mut chance = fastrand::Rng::with_seed(seed);
            let mut seconds: Vec<i64> = all.iter().map(|_| chance.i64(0..900)).collect();
            seconds.sort_unstable();
            let at = |second| Timestamp::from_second(second).unwrap();
            let marks: Vec<Mark> = all
                .iter()
                .zip(&seconds)
                .map(|(what, second)| Mark { at: at(*second), what: *what })
                .collect();
            let labels = place(&marks, |at| at.as_second() as f64, 900.0);
            for (n, one) in labels.iter().enumerate() {
                assert!(one.span.1 <= 900.0, "{seed}");
                for other in labels.iter().skip(n + 1) {
                    let overlap = one.span.0 < other.span.1 && other.span.0 < one.span.1;
                    assert!(one.row != other.row || !overlap, "{seed}: {} and {}", one.text, other.text);
                }
            }
        }
    }
}
