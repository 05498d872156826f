//! The way of a log line to whoever reads it. Nobody waits for them for longer than a moment: a pipe that is not emptied, or a
//! terminal that is stopped, takes lines from the log and not the guard from its work.

use std::borrow::Cow;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// So long a line waits for room, once; those after it are dropped at once until there is some.
const MOMENT: Duration = Duration::from_millis(100);
/// What says that it has room takes as much as that without blocking (`PIPE_BUF`).
const AT_ONCE: usize = 4_096;

/// Lines on their way to one reader.
#[derive(Debug)]
pub(super) struct Lines(Mutex<Sent>);

#[derive(Debug)]
struct Sent {
    /// The last line found no room.
    is_stalled: bool,
    /// The last line that was begun has no end.
    is_cut: bool,
    /// How many were dropped, and not told of yet.
    dropped: u64,
}

impl Lines {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Sent { is_stalled: false, is_cut: false, dropped: 0 }))
    }

    /// Writes a line, or drops it.
    pub(super) fn put(&self, out: impl AsFd + Write, line: &[u8]) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.put(out, line);
    }

    /// How many lines were dropped since the last time that this was asked; none while there is still no room, since who
    /// tells of them would not be heard.
    pub(super) fn dropped(&self) -> u64 {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.is_stalled { 0 } else { std::mem::take(&mut sent.dropped) }
    }
}

impl Sent {
    fn put(&mut self, mut out: impl AsFd + Write, line: &[u8]) {
        let whole = if self.is_cut { Cow::Owned([b"\n", line].concat()) } else { Cow::Borrowed(line) };
        let mut left = &*whole;
        while !left.is_empty() {
            let patience = if self.is_stalled { Duration::ZERO } else { MOMENT };
            let some = &left[..left.len().min(AT_ONCE)];
            let written = match has_room(&out, patience) {
                true => out.write(some).unwrap_or(0),
                false => 0,
            };
            if written == 0 {
                // Nobody can be told of it: this is where one would be.
                self.is_cut |= left.len() < whole.len();
                self.is_stalled = true;
                self.dropped += 1;
                return;
            }
            left = &left[written..];
        }
        (self.is_stalled, self.is_cut) = (false, false);
    }
}

/// Whether it takes something without blocking, or breaks at once.
fn has_room(out: &impl AsFd, patience: Duration) -> bool {
    let timeout = Timespec::try_from(patience).ok();
    let mut polled = [PollFd::new(out, PollFlags::OUT)];
    loop {
        match poll(&mut polled, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(ready) => return ready > 0,
            // What cannot be asked is written to.
            Err(_) => return true,
        }
    }
}

/// Standard error, as the log writes to it.
#[derive(Debug)]
pub(super) struct Stderr(pub(super) &'static Lines);

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(io::stderr().lock(), line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read};

    use tokio::time::Instant;

    use super::*;

    fn put(lines: &Lines, out: &PipeWriter, line: &str) {
        lines.put(out, line.as_bytes());
    }

    /// Fills the pipe, and gives how many lines it took.
    fn fill(lines: &Lines, out: &PipeWriter, line: &str) -> usize {
        let mut taken = 0;
        loop {
            put(lines, out, line);
            if lines.0.lock().unwrap().is_stalled {
                return taken;
            }
            taken += 1;
        }
    }

    fn read(from: &mut PipeReader, count: usize) -> String {
        let mut bytes = vec![0; count];
        from.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn whoever_does_not_read_loses_lines_and_hears_how_many() {
        let (mut reader, out) = io::pipe().unwrap();
        let lines = Lines::new();
        let line = format!("{}\n", "a".repeat(99));
        let taken = fill(&lines, &out, &line);
        assert!(taken > 100, "{taken}");
        let began = Instant::now();
        for _ in 0..1_000 {
            put(&lines, &out, &line);
        }
        assert!(began.elapsed() < MOMENT * 5, "none of them waits: {:?}", began.elapsed());
        assert_eq!(lines.dropped(), 0, "there is nobody to tell");
        assert_eq!(read(&mut reader, taken * line.len()), line.repeat(taken));
        put(&lines, &out, "and on\n");
        assert_eq!(read(&mut reader, 7), "and on\n");
        assert_eq!((lines.dropped(), lines.dropped()), (1_001, 0));
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_run_into_the_next_one() {
        let (mut reader, out) = io::pipe().unwrap();
        let lines = Lines::new();
        let line = format!("{}\n", "b".repeat(2 * AT_ONCE));
        let taken = fill(&lines, &out, &line);
        let mut some = vec![0; 1 << 20];
        let count = reader.read(&mut some).unwrap();
        assert!(count > taken * line.len(), "some of it was written");
        put(&lines, &out, "and on\n");
        assert_eq!(read(&mut reader, 8), "\nand on\n");
        assert_eq!(lines.dropped(), 1);
    }

    #[test]
    fn without_a_reader_nothing_breaks() {
        let (reader, out) = io::pipe().unwrap();
        drop(reader);
        let lines = Lines::new();
        put(&lines, &out, "lost\n");
        assert!(lines.0.lock().unwrap().is_stalled);
    }
}
