//! What is printed on: how wide, and whether it shows colours.

use std::ffi::OsStr;

/// Columns of what is no terminal: a file, a pipe, a ticket.
const DEFAULT_WIDTH: usize = 100;
/// Columns of a terminal that does not say how wide it is.
const TERMINAL_WIDTH: usize = 80;

/// The page a command writes.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Columns. Lines that people read break here; identities never break.
    pub width: usize,
    /// Whether colours are shown. The caller knows whether it is a terminal and what `NO_COLOR` says.
    pub colour: bool,
}

impl Page {
    /// A page as its reader has it: colours only on a terminal, and none where `NO_COLOR` stands with a value
    /// (<https://no-color.org>); as wide as `COLUMNS` says, else as the terminal says. `terminal` is none where there is
    /// no terminal, and holds its columns where it has told them.
    pub fn of(terminal: Option<Option<usize>>, no_color: Option<&OsStr>, columns: Option<&str>) -> Self {
        let told = |columns: &usize| *columns > 0;
        let width = columns.and_then(|columns| columns.parse().ok()).filter(told).unwrap_or(match terminal {
            Some(columns) => columns.filter(told).unwrap_or(TERMINAL_WIDTH),
            None => DEFAULT_WIDTH,
        });
        let colour = terminal.is_some() && no_color.is_none_or(OsStr::is_empty);
        Self { width: width.clamp(40, 160), colour }
    }

    /// A page without colours.
    pub const fn plain(width: usize) -> Self {
        Self { width, colour: false }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// `text` with `first` before its first line and as many blanks before the others.
    pub(crate) fn hang(self, first: &str, text: &str) -> String {
        let room = self.width.saturating_sub(first.len()).max(20);
        let mut lines = vec![String::new()];
        for word in clean(text).split(' ').filter(|word| !word.is_empty()) {
            let line = lines.last().map_or(0, |line| line.chars().count());
            if line > 0 && line + 1 + word.chars().count() > room {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
        }
        format!("{first}{}\n", lines.join(&format!("\n{}", " ".repeat(first.len()))))
    }

    /// The same where `first` has colours: it takes `columns` columns.
    pub(crate) fn hang_after(self, first: &str, columns: usize, text: &str) -> String {
        let hung = self.hang(&" ".repeat(columns), text);
        format!("{first}{}", hung.get(columns..).unwrap_or_default())
    }

    /// Whether a line that shows no colours has room.
    pub(crate) fn fits(self, line: &str) -> bool {
        line.chars().count() <= self.width
    }
}

/// Text from elsewhere without what a terminal would take for a command.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_whose_owner_does_not_mind() {
        let colour = |is_terminal: bool, no_color: Option<&str>| {
            let terminal = is_terminal.then_some(Some(80));
            Page::of(terminal, no_color.map(OsStr::new), None).colour
        };
        assert!(colour(true, None) && colour(true, Some("")));
        assert!(!colour(true, Some("1")) && !colour(true, Some("0")));
        assert!(!colour(false, None) && !colour(false, Some("")));
    }

    #[test]
    fn a_page_is_as_wide_as_columns_says_else_as_the_terminal_says() {
        let width = |columns| Page::of(None, None, columns).width;
        assert_eq!(
            [None, Some("72"), Some("7"), Some("7000"), Some("wide"), Some("0")].map(width),
            [100, 72, 40, 160, 100, 100]
        );
        let width = |terminal, columns| Page::of(Some(terminal), None, columns).width;
        assert_eq!(width(Some(132), None), 132);
        assert_eq!(width(Some(132), Some("72")), 72);
        // A serial console tells 0.
        assert_eq!([None, Some(0)].map(|terminal| width(terminal, None)), [80, 80]);
    }

    #[test]
    fn long_text_hangs_and_long_words_stay_whole() {
        let page = Page::plain(30);
        let text = page.hang("  live  ", "a deployment 4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf that is long");
        assert_eq!(
            text,
            "  live  a deployment\n        4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf\n        that is long\n"
        );
    }

    #[test]
    fn a_title_cannot_command_the_terminal() {
        assert_eq!(clean("fix\x1b[2J\r\nit\u{9b}1m"), "fix [2J  it 1m");
    }
}
