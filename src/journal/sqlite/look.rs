//! What is seen of a journal without SQLite: whether this version could use it.
//!
//! SQLite would lock it, and make what is missing beside it; here nothing is written, made or locked, whoever looks and whether or
//! not a daemon uses it. What SQLite would see is in the log if it has the first page, and else in the file.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::super::JournalError;
use super::file::{Place, head};

/// SQLite's log, <https://sqlite.org/fileformat.html#the_write_ahead_log>.
const LOG_HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The last bit says how its sums are made.
const LOG_MAGIC: u32 = 0x377f_0682;
const LOG_PAGE_BYTES: std::ops::RangeInclusive<usize> = 512..=65_536;
/// In the header of the file, which is the begin of its first page.
const HEADER_USER_VERSION: usize = 60;

impl Place {
    /// Whether a start of this version could use what is there; there may be nothing. Not whether it is sound: that is for who has
    /// it for himself.
    pub(super) fn look(&self) -> Result<(), JournalError> {
        self.refuse_directory()?;
        let place = self.followed();
        // What a log had before it began anew is in the file, so the log comes first.
        let log = place.beside("-wal");
        let logged = logged_version(&log).map_err(|error| self.blocked(&log, &error))?;
        if !place.inspect()? {
            return Ok(());
        }
        let (header, _) = head(&place.file).map_err(|error| self.blocked(&place.file, &error))?;
        self.refuse_newer(logged.or_else(|| user_version(&header)).map_or(0, i64::from))
    }
}

/// The version that a reader finds in the log, if the first page is in it: that of the last whole transaction.
fn logged_version(path: &Path) -> io::Result<Option<i32>> {
    let mut log = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => BufReader::new(opened?),
    };
    let mut header = [0; LOG_HEADER_BYTES];
    if !fill(&mut log, &mut header)? {
        return Ok(None);
    }
    let (magic, page) = (number(&header[..4]), number(&header[8..12]) as usize);
    let mut sum = Sum { of: (0, 0), is_big_endian: magic & 1 == 1 };
    sum.add(&header[..24]);
    if magic & !1 != LOG_MAGIC || !LOG_PAGE_BYTES.contains(&page) || !sum.is(&header[24..]) {
        return Ok(None);
    }
    let mut frame = vec![0; FRAME_HEADER_BYTES + page];
    let (mut written, mut committed) = (None, None);
    while fill(&mut log, &mut frame)? {
        let (head, content) = frame.split_at(FRAME_HEADER_BYTES);
        sum.add(&head[..8]);
        sum.add(content);
        // Of the log's former life, or torn.
        if head[8..16] != header[16..24] || !sum.is(&head[16..]) {
            break;
        }
        if number(&head[..4]) == 1 {
            written = user_version(content);
        }
        // The last of a transaction says how large the file is after it.
        if number(&head[4..8]) != 0 {
            committed = written;
        }
    }
    Ok(committed)
}

fn user_version(first_page: &[u8]) -> Option<i32> {
    let bytes = first_page.get(HEADER_USER_VERSION..HEADER_USER_VERSION + 4)?;
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}

/// Whether there was as much as that.
fn fill(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The sum of all that is before it in the log.
struct Sum {
    of: (u32, u32),
    is_big_endian: bool,
}

impl Sum {
    /// Of a multiple of eight bytes.
    fn add(&mut self, bytes: &[u8]) {
        let word = |bytes: &[u8]| if self.is_big_endian { number(bytes) } else { number(bytes).swap_bytes() };
        for pair in bytes.chunks_exact(8) {
            self.of.0 = self.of.0.wrapping_add(word(&pair[..4])).wrapping_add(self.of.1);
            self.of.1 = self.of.1.wrapping_add(word(&pair[4..])).wrapping_add(self.of.0);
        }
    }

    fn is(&self, bytes: &[u8]) -> bool {
        (number(&bytes[..4]), number(&bytes[4..8])) == self.of
    }
}
