//! What trials are made with: chance that comes out the same every time, and what many of them amount to.

/// How long each of many trials took. Those that came to nothing took for ever.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<f64>);

impl Times {
    /// One more trial, in seconds.
    pub fn add(&mut self, seconds: Option<f64>) {
        let seconds = seconds.unwrap_or(f64::INFINITY);
        let place = self.0.partition_point(|other| *other <= seconds);
        self.0.insert(place, seconds);
    }

    /// The one in the middle; none where that is for ever.
    pub fn median(&self) -> Option<f64> {
        self.0.get(self.0.len() / 2).copied().filter(|time| time.is_finite())
    }

    /// The share of them that came to something.
    pub fn found(&self) -> f64 {
        match self.0.len() {
            0 => 0.0,
            all => self.0.partition_point(|time| time.is_finite()) as f64 / all as f64,
        }
    }
}

/// Numbers from 0 to 1, the same ones every time (xorshift64*, Vigna, arXiv:1402.6246).
pub struct Chance(pub(super) u64);

impl Chance {
    /// From this seed on, which is not 0.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
