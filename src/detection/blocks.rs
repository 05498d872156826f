//! Latencies of a stretch of time, taken together: one slow answer is nothing, half a minute of them is.

/// Seconds. Long enough that two blocks in a row have little to do with each other.
const LENGTH: f64 = 30.0;
/// A block has room for as many samples.
const INTERVALS: f64 = 5.0;
/// With fewer a median says nothing.
const FEWEST: usize = 3;

/// How long a block is, in seconds, with a sample every `interval` seconds.
pub fn length(interval: f64) -> f64 {
    LENGTH.max(INTERVALS * interval)
}

/// Samples that belong together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// When it ended, in seconds.
    pub end: f64,
    /// The latency in the middle; `None` where too few samples succeeded.
    pub median: Option<f64>,
}

/// Puts samples into blocks of the same length.
///
/// At most one sample an interval: those that come faster, such as those after a failure, are left out by their time
/// alone. A median of many is steadier than one of few, so what is compared has to be taken at the same pace.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocks {
    length: f64,
    interval: f64,
    /// The number of the block that is being filled, counted from second 0.
    number: Option<f64>,
    /// When the last sample was taken.
    last: f64,
    latencies: Vec<f64>,
}

impl Blocks {
    /// Blocks of `length` seconds, with at most a sample every `interval` seconds.
    pub fn new(length: f64, interval: f64) -> Self {
        Self { length, interval, number: None, last: f64::NEG_INFINITY, latencies: Vec::new() }
    }

    /// Whether it takes a sample every so many seconds.
    pub fn is_every(&self, interval: f64) -> bool {
        self.interval == interval
    }

    /// Takes the next sample, which was sent at that second; without a latency it failed. Gives the block before, if that
    /// is over now.
    pub fn take(&mut self, at: f64, latency: Option<f64>) -> Option<Block> {
        // A tenth less: no timer is exact.
        if at - self.last < self.interval * 0.9 {
            return None;
        }
        let number = (at / self.length).floor();
        let ended = if self.number == Some(number) { None } else { self.end() };
        (self.number, self.last) = (Some(number), at);
        self.latencies.extend(latency);
        ended
    }

    /// Ends the block that is being filled. `None` where there is none.
    pub fn end(&mut self) -> Option<Block> {
        let end = (self.number.take()? + 1.0) * self.length;
        let median = median(&mut self.latencies);
        self.latencies.clear();
        Some(Block { end, median })
    }
}

fn median(latencies: &mut [f64]) -> Option<f64> {
    let count = latencies.len();
    if count < FEWEST {
        return None;
    }
    latencies.sort_by(f64::total_cmp);
    let upper = latencies[count / 2];
    Some(if count % 2 == 1 { upper } else { f64::midpoint(latencies[count / 2 - 1], upper) })
}

/// The value that a share `level` of `values` does not exceed. `None` without any.
pub fn quantile(mut values: Vec<f64>, level: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a length")]
    let place = (level * values.len() as f64).ceil() as usize;
    values.get(place.saturating_sub(1)).copied()
}
