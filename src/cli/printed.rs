//! What a command prints while it goes on, to a reader that may go away meanwhile.

use std::fmt::Display;
use std::io::{self, Write, stdout};
use std::sync::OnceLock;

/// Standard output. After a failure nothing is printed any more: `println!` would panic.
#[derive(Debug, Default)]
pub(super) struct Printed {
    failure: OnceLock<io::Error>,
}

impl Printed {
    /// Prints a line.
    pub(super) fn line(&self, text: impl Display) {
        self.line_to(&mut stdout(), text);
    }

    fn line_to(&self, out: &mut impl Write, text: impl Display) {
        if self.failure.get().is_some() {
            return;
        }
        if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
            // Nobody else sets it: the command prints from one place.
            let _ = self.failure.set(error);
        }
    }

    /// Whether anybody reads what is printed.
    pub(super) fn is_read(&self) -> bool {
        self.failure.get().is_none()
    }

    /// What kept it from being printed. A reader that went away (`| head`) is no failure.
    pub(super) fn failure(&self) -> Option<String> {
        let failure = self.failure.get().filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
        failure.map(|error| format!("write the output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed(io::ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is_one() {
        let printed = Printed::default();
        let mut page = Vec::new();
        printed.line_to(&mut page, "a");
        assert_eq!((page.as_slice(), printed.is_read(), printed.failure()), (&b"a\n"[..], true, None));
        printed.line_to(&mut Closed(io::ErrorKind::BrokenPipe), "b");
        assert_eq!((printed.is_read(), printed.failure()), (false, None));
        printed.line_to(&mut page, "c");
        assert_eq!(page, b"a\n", "nothing more");
        let printed = Printed::default();
        printed.line_to(&mut Closed(io::ErrorKind::StorageFull), "b");
        assert!(printed.failure().unwrap().starts_with("write the output: "));
    }
}
