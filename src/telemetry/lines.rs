//! The way of a daemon's log lines to whoever reads them: a queue, and a thread that writes. Whoever logs does not wait for the
//! reader: a pipe that is not emptied and a terminal that hangs take lines from the log, and not the guard from its work.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

/// Lines that wait to be written; a busy guard logs a few in a second. More are dropped.
const MOST: usize = 1_024;

/// Lines on their way to one reader.
#[derive(Debug)]
pub(super) struct Lines {
    queue: SyncSender<Piece>,
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Piece {
    Line(Vec<u8>),
    /// Everything before it is written when this is answered.
    Mark(SyncSender<()>),
}

impl Lines {
    /// Lines that are written to `out` by a thread of their own, for as long as the process lives. Once they are written again,
    /// `tell` is given how many were not.
    pub(super) fn begin(out: impl Write + Send + 'static, tell: fn(u64)) -> io::Result<&'static Self> {
        let (queue, waiting) = sync_channel(MOST);
        let lines: &Self = Box::leak(Box::new(Self { queue, dropped: AtomicU64::new(0) }));
        thread::Builder::new().name("log".to_owned()).spawn(move || lines.write(&waiting, out, tell))?;
        Ok(lines)
    }

    /// Adds a line, or drops it.
    pub(super) fn put(&self, line: &[u8]) {
        if self.queue.try_send(Piece::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was put is written, for so long at most. Whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let (mark, written) = sync_channel(1);
        match self.queue.try_send(Piece::Mark(mark)) {
            Ok(()) => written.recv_timeout(limit).is_ok(),
            // Nobody has read for longer than that.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    fn write(&self, queue: &Receiver<Piece>, mut out: impl Write, tell: fn(u64)) {
        let mut is_heard = true;
        loop {
            let piece = match queue.try_recv() {
                Ok(piece) => piece,
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    if is_heard {
                        match self.dropped.swap(0, Ordering::Relaxed) {
                            0 => {}
                            lines => tell(lines),
                        }
                    }
                    let Ok(piece) = queue.recv() else { return };
                    piece
                }
            };
            match piece {
                Piece::Line(line) => {
                    is_heard = out.write_all(&line).is_ok();
                    if !is_heard {
                        self.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                }
                // Who has not waited needs no answer.
                Piece::Mark(mark) => drop(mark.try_send(())),
            }
        }
    }
}

/// What a subscriber writes a line to.
#[derive(Debug)]
pub(super) struct Queue(pub(super) &'static Lines);

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// More than a pipe and the queue hold together.
    fn fill(lines: &Lines, line: &str) -> u64 {
        for _ in 0..20_000 {
            lines.put(line.as_bytes());
        }
        lines.dropped.load(Ordering::Relaxed)
    }

    #[test]
    fn whoever_does_not_read_loses_lines_and_hears_how_many_once_they_read() {
        let (mut reader, out) = io::pipe().unwrap();
        static TOLD: AtomicU64 = AtomicU64::new(0);
        let lines = Lines::begin(out, |lines| TOLD.store(lines, Ordering::Relaxed)).unwrap();
        let line = format!("{}\n", "a".repeat(99));
        let dropped = fill(lines, &line);
        assert!(dropped > 10_000, "{dropped}");
        assert!(!lines.flush(Duration::ZERO), "nobody reads");
        let mut read = vec![0; (20_000 - usize::try_from(dropped).unwrap()) * line.len()];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), line.repeat(20_000 - usize::try_from(dropped).unwrap()));
        lines.put(b"and on\n");
        // The thread may be about to tell when the first mark is answered.
        assert!(lines.flush(LIMIT) && lines.flush(LIMIT));
        assert_eq!(TOLD.load(Ordering::Relaxed), dropped);
    }

    #[test]
    fn what_was_put_is_written_when_it_was_waited_for() {
        let (mut reader, out) = io::pipe().unwrap();
        let lines = Lines::begin(out, drop).unwrap();
        lines.put(b"one\n");
        lines.put(b"two\n");
        assert!(lines.flush(LIMIT));
        let mut read = [0; 8];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"one\ntwo\n");
    }

    #[test]
    fn without_a_reader_nothing_breaks() {
        let (reader, out) = io::pipe().unwrap();
        drop(reader);
        let lines = Lines::begin(out, |_| unreachable!("nobody hears it")).unwrap();
        for _ in 0..10 {
            lines.put(b"lost\n");
            assert!(lines.flush(LIMIT), "its thread goes on");
        }
    }
}
