//! An account for a terminal, fit to be pasted into a channel.

use super::page::clean;
use super::{Account, Evidence, Page, spark};
use crate::decision::rule::Verdict;

/// Columns of a timeline's line before its sentence: the time, and the longest word there is.
const WORD: usize = 17;
/// On a narrower page sentences stand below their time and word.
const NARROW: usize = 56;

/// Headline, facts, evidence with its signal, durations, refusals, timeline, and the decisions made again.
pub(crate) fn text(account: &Account, page: Page) -> String {
    let word = account.word.to_uppercase();
    let word = if account.is_open() { page.red(&word) } else { page.bold(&word) };
    let mut text = format!("{word}  {}\n", page.bold(account.record.id.as_str()));
    text.push_str(&page.hang("", &account.headline));
    text.push_str(&page.hang("", &account.summary));
    text.push_str("\nFacts\n");
    for (label, value) in &account.facts {
        text.push_str(&page.hang(&format!("  {label:<10} "), value));
    }
    measured(&mut text, account, page);
    durations(&mut text, account, page);
    if !account.refusals.is_empty() {
        text.push_str("\nRefused\n");
        for refusal in &account.refusals {
            text.push_str(&page.hang("  ", refusal));
        }
    }
    timeline(&mut text, account, page);
    if let Some(replay) = &account.told.replay {
        text.push_str("\nDecisions\n");
        text.push_str(&page.hang("  ", &replay.text()));
    }
    text
}

fn measured(text: &mut String, account: &Account, page: Page) {
    if !account.evidence.is_empty() {
        text.push_str("\nEvidence at the decision\n");
        table(text, &account.evidence, page);
    }
    let Some(signal) = account.signal() else { return };
    let Some([line, below, legend]) = spark::spark(signal, page.width.saturating_sub(4)) else { return };
    text.push_str("\nSignal\n");
    text.push_str(&page.hang("  ", &spark::caption(signal)));
    text.push_str(&format!("  {line}\n  {below}\n"));
    text.push_str(&page.dim(&page.hang("  ", &legend)));
}

fn table(text: &mut String, evidence: &[Evidence], page: Page) {
    const HEAD: [&str; 6] = ["rule", "verdict", "value", "threshold", "samples", "window"];
    let rows: Vec<[String; 6]> = evidence.iter().map(row).collect();
    let widest =
        |n: usize| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0).max(HEAD[n].len());
    let widths: [usize; 6] = std::array::from_fn(widest);
    let line = |cells: &[String; 6]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = line(&HEAD.map(str::to_owned));
    if !rows.iter().map(line).chain([head.clone()]).all(|line| page.fits(&format!("  {line}"))) {
        return listed(text, &rows, page);
    }
    text.push_str(&format!("  {}\n", page.dim(&head)));
    for (row, evidence) in rows.iter().zip(evidence) {
        let line = line(row);
        let line = if evidence.verdict == Verdict::Bad { page.red(&line) } else { line };
        text.push_str(&format!("  {line}\n"));
    }
}

/// The same on a page that is too narrow for columns.
fn listed(text: &mut String, rows: &[[String; 6]], page: Page) {
    for [rule, verdict, value, threshold, samples, window] in rows {
        let facts = format!(
            "{rule}: {verdict}, value {value}, threshold {threshold}, samples {samples}, window {window}"
        );
        text.push_str(&page.hang("  ", &facts));
    }
}

/// One rule's cells, as every form shows them.
pub(crate) fn row(evidence: &Evidence) -> [String; 6] {
    [
        clean(evidence.rule.as_str()),
        evidence.verdict.word().to_owned(),
        evidence.measured(),
        evidence.limit(),
        evidence.samples.to_string(),
        evidence.window(),
    ]
}

fn durations(text: &mut String, account: &Account, page: Page) {
    text.push_str("\nDurations\n");
    for (label, took, what) in account.told.durations.parts() {
        text.push_str(&page.hang(&format!("  {label:<10} {took:<9} "), what));
    }
}

fn timeline(text: &mut String, account: &Account, page: Page) {
    text.push_str("\nTimeline\n");
    for line in &account.lines {
        let event = clean(&line.event);
        let first = format!("  {:>9} {event:<WORD$} ", format!("{:+.1}s", line.after));
        let indent = if page.width < NARROW { 2 } else { 12 + WORD };
        if page.width < NARROW {
            text.push_str(&format!("{}\n", first.trim_end()));
            text.push_str(&page.hang("    ", &line.text));
        } else {
            text.push_str(&page.hang(&first, &line.text));
        }
        let indent = " ".repeat(indent);
        for call in &line.calls {
            text.push_str(&page.dim(&page.hang(&format!("{indent} > "), &call.text(str::to_owned))));
        }
    }
}
