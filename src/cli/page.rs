//! What is printed on: how wide, and whether it shows colours.

/// The page a command writes.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Columns. Lines that people read break here; identities never break.
    pub width: usize,
    /// Whether colours are shown. The caller knows whether it is a terminal and what `NO_COLOR` says.
    pub colour: bool,
}

impl Page {
    /// A page without colours.
    pub const fn plain(width: usize) -> Self {
        Self { width, colour: false }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// `text` with `first` before its first line and as many blanks before the others.
    pub(super) fn hang(self, first: &str, text: &str) -> String {
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
}

/// Text from elsewhere without what a terminal would take for a command.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
