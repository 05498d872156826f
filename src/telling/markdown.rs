//! An account as GitHub's Markdown, for a ticket: tables, a list, and a line of text that shows the signal where no picture
//! can be.

use super::page::clean;
use super::{Account, spark, text};

/// The account; `picture` is where its signal can be seen, as a link says it.
pub(crate) fn markdown(account: &Account, picture: Option<&str>) -> String {
    let id = code(account.record.id.as_str());
    let mut md = format!("## Incident {id}: {}\n\n{}\n\n", account.word, escape(&account.headline));
    md.push_str(&format!("{}\n\n", escape(&account.summary)));
    md.push_str("| | |\n| --- | --- |\n");
    for (label, value) in &account.facts {
        md.push_str(&format!("| {label} | {} |\n", escape(value)));
    }
    signal(&mut md, account, picture);
    if !account.evidence.is_empty() {
        md.push_str("\n### Evidence at the decision\n\n");
        md.push_str("| rule | verdict | value | threshold | samples | window |\n");
        md.push_str("| --- | --- | ---: | ---: | ---: | --- |\n");
        for evidence in &account.evidence {
            let cells = text::row(evidence).map(|cell| escape(&cell));
            md.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
    }
    md.push_str("\n### Durations\n\n| part | took | from, to |\n| --- | ---: | --- |\n");
    for (label, took, what) in account.told.durations.parts() {
        md.push_str(&format!("| {label} | {took} | {what} |\n"));
    }
    if !account.refusals.is_empty() {
        md.push_str("\n### Refused\n\n");
        for refusal in &account.refusals {
            md.push_str(&format!("- {}\n", escape(refusal)));
        }
    }
    timeline(&mut md, account);
    if let Some(replay) = &account.told.replay {
        md.push_str(&format!("\n### Decisions\n\n{}\n", escape(&replay.text())));
    }
    md
}

fn signal(md: &mut String, account: &Account, picture: Option<&str>) {
    let Some(signal) = account.signal() else { return };
    md.push_str("\n### Signal\n\n");
    let caption = spark::caption(signal);
    if let Some(picture) = picture {
        md.push_str(&format!("![{}]({})\n\n", escape(&caption), target(picture)));
    }
    md.push_str(&format!("{}\n", escape(&caption)));
    if let Some([line, below, legend]) = spark::spark(signal, 72) {
        md.push_str(&format!("\n```text\n{line}\n{below}\n{legend}\n```\n"));
    }
}

fn timeline(md: &mut String, account: &Account) {
    md.push_str("\n### Timeline\n\n");
    for line in &account.lines {
        let (at, event) = (line.at.strftime("%H:%M:%S"), code(&line.event));
        md.push_str(&format!("- {at} ({:+.1}s) {event} {}\n", line.after, escape(&line.text)));
        for call in &line.calls {
            md.push_str(&format!("  - {}\n", escape_but(&call.text(code))));
        }
    }
}

/// Text from elsewhere as Markdown that says just that: no markup, no link, nobody called by name.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in clean(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // No backslash keeps a name or a number from being linked, but a joiner of no width does.
            '@' | '#' => escaped.extend([c, '\u{2060}']),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' | '$' => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
    }
    escaped.replace("://", "\\://").replace("www.", "www\\.")
}

/// As [`escape`], but for what stands in code already.
fn escape_but(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { format!("`{part}`") } else { escape(part) }).collect()
}

/// An identity, as code. What would end the code is left out.
fn code(text: &str) -> String {
    format!("`{}`", clean(text).replace('`', "'").replace('|', "/"))
}

/// A link's target.
fn target(path: &str) -> String {
    let mut target = String::new();
    for c in clean(path).chars() {
        match c {
            ' ' => target.push_str("%20"),
            '(' => target.push_str("%28"),
            ')' => target.push_str("%29"),
            '<' => target.push_str("%3C"),
            '>' => target.push_str("%3E"),
            _ => target.push(c),
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_platform_says_is_no_markup_no_link_and_calls_nobody() {
        assert_eq!(
            escape("fix | <img src=x> [a](b) *now* `x` @ops #12 https://a.example www.b.example\nnext"),
            "fix \\| &lt;img src=x&gt; \\[a\\](b) \\*now\\* \\`x\\` @\u{2060}ops #\u{2060}12 https\\://a.example www\\.b.example next"
        );
        assert_eq!(code("a`b|c"), "`a'b/c`");
        assert_eq!(target("my (old) picture.svg"), "my%20%28old%29%20picture.svg");
    }
}
