//! Releases drawn by chance, the same ones every time.

use crate::INTERVAL;

/// Numbers by chance (xorshift64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether each sample failed, by itself with this rate.
    pub(crate) fn samples(&mut self, count: usize, rate: f64) -> Vec<bool> {
        (0..count).map(|_| self.next() < rate).collect()
    }

    /// Samples of an app that never fails but in glitches, which last `mean` seconds and come every `every` seconds, both
    /// by chance, and in which everything fails.
    pub(crate) fn glitching(&mut self, count: usize, mean: f64, every: f64) -> Vec<bool> {
        let mut is_bad = self.next() < mean / (mean + every);
        let (ends, begins) = ((-INTERVAL / mean).exp(), (-INTERVAL / every).exp());
        (0..count)
            .map(|_| {
                let goes_on = if is_bad { ends } else { begins };
                is_bad ^= self.next() > goes_on;
                is_bad
            })
            .collect()
    }

    /// Latencies in seconds, log-normal around a tenth of a second, each with so much of the one before in it.
    pub(crate) fn latencies(&mut self, count: usize, spread: f64, like_before: f64) -> Vec<f64> {
        let fresh = (1.0 - like_before * like_before).sqrt();
        let mut state = self.normal();
        let mut next = || {
            state = like_before * state + fresh * self.normal();
            0.1 * (spread * state).exp()
        };
        (0..count).map(|_| next()).collect()
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.next()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.next()).cos()
    }
}
