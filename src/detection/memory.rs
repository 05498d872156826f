//! How far the recent past excuses trouble now.

/// What excuses trouble: the last failures, fading. A failure excuses another one right after it whole, and one a while
/// later with `exp(-gap / glitch)` of it. A round in which all was well halves what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    glitch: f64,
    excuse: f64,
    at: f64,
}

impl Memory {
    /// Trouble lasts about `glitch` seconds; with 0 nothing is excused.
    pub fn new(glitch: f64) -> Self {
        Self { glitch, ..Self::default() }
    }

    /// How far trouble at that second is excused, from 0 to 1.
    pub fn excuse(&self, at: f64) -> f64 {
        if self.glitch <= 0.0 || self.excuse == 0.0 {
            return 0.0;
        }
        self.excuse * (-(at - self.at).max(0.0) / self.glitch).exp()
    }

    /// Notes what a round was like.
    pub fn note(&mut self, at: f64, badness: f64) {
        (self.excuse, self.at) = (badness.max(self.excuse(at) / 2.0), at);
    }
}
