//! Whether a figure stays where it is: a least-squares line through the means of blocks, and how far it can be trusted.
//!
//! Samples that follow each other closely say nearly the same thing twice, so a line through them looks surer than it
//! is. Means over a block are less alike; what one block still has of those before it widens the interval.

/// Fewer blocks than this tell nothing of a whole hour.
const FEWEST: usize = 12;

/// What of a block stands for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    /// Its mean.
    Mean,
    /// Its least sample: what is there when everything passing is gone, which is where a leak shows first.
    Least,
}

/// What became of one figure after the warm-up.
pub(crate) struct Trend {
    /// Mean over all blocks.
    pub(crate) mean: f64,
    /// Mean over the first quarter.
    pub(crate) first: f64,
    /// Mean over the last quarter.
    pub(crate) last: f64,
    /// The largest sample.
    pub(crate) most: f64,
    /// Change in an hour.
    pub(crate) slope: f64,
    /// Half the width of the slope's 95 % interval.
    pub(crate) doubt: f64,
    /// How many blocks there are.
    pub(crate) blocks: usize,
}

/// What is said of a trend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The whole interval is within the margin: shown to be flat.
    Flat,
    /// The interval has zero in it but is wider than the margin: nothing was seen, and not much could be.
    Unseen,
    /// It goes down, by more than the margin perhaps.
    Falls,
    /// It goes up, by more than the margin perhaps.
    Grows,
}

impl Verdict {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Unseen => "no slope seen",
            Self::Falls => "falls",
            Self::Grows => "GROWS",
        }
    }
}

impl Trend {
    /// The trend of samples, each with its time in hours, in blocks of so many hours. `None` with too few blocks.
    pub(crate) fn of(samples: &[(f64, f64)], block: f64, stands: Stands) -> Option<Self> {
        let blocks = blocks(samples, block, stands);
        let (count, n) = (blocks.len(), blocks.len() as f64);
        if count < FEWEST {
            return None;
        }
        let (at, mean) = (average(&blocks, |(at, _)| at), average(&blocks, |(_, value)| value));
        let spread: f64 = blocks.iter().map(|(x, _)| (x - at).powi(2)).sum();
        let slope = blocks.iter().map(|(x, y)| (x - at) * (y - mean)).sum::<f64>() / spread;
        let rest: Vec<f64> = blocks.iter().map(|(x, y)| y - mean - slope * (x - at)).collect();
        let squares: f64 = rest.iter().map(|rest| rest * rest).sum();
        let independent = (n / (1.0 + 2.0 * memory(&rest, squares))).max(5.0);
        let error = (squares / (n - 2.0) / spread * n / independent).sqrt();
        let quarter = count / 4;
        Some(Self {
            mean,
            first: average(&blocks[..quarter], |(_, value)| value),
            last: average(&blocks[count - quarter..], |(_, value)| value),
            most: samples.iter().map(|(_, value)| *value).fold(f64::MIN, f64::max),
            slope,
            doubt: error * student(independent - 2.0),
            blocks: count,
        })
    }

    /// The verdict, where a change of this share of the mean in an hour is as good as none.
    pub(crate) fn verdict(&self, margin: f64) -> Verdict {
        let (low, high) = (self.slope - self.doubt, self.slope + self.doubt);
        let margin = self.mean.abs() * margin;
        if -margin <= low && high <= margin {
            Verdict::Flat
        } else if low <= 0.0 && 0.0 <= high {
            Verdict::Unseen
        } else if low > 0.0 {
            Verdict::Grows
        } else {
            Verdict::Falls
        }
    }
}

/// How much of a block's deviation is found again in those after it: the correlations at one block's distance, two
/// blocks' and so on, summed as far as they are positive.
fn memory(rest: &[f64], squares: f64) -> f64 {
    let at =
        |lag: usize| rest.iter().zip(&rest[lag..]).map(|(one, other)| one * other).sum::<f64>() / squares;
    (1..rest.len() / 3).map(at).take_while(|correlation| *correlation > 0.0).sum()
}

/// The middle of each block that is whole, and what stands for it.
fn blocks(samples: &[(f64, f64)], block: f64, stands: Stands) -> Vec<(f64, f64)> {
    let stand = |block: &[(f64, f64)]| match stands {
        Stands::Mean => average(block, |(_, value)| value),
        Stands::Least => block.iter().map(|(_, value)| *value).fold(f64::MAX, f64::min),
    };
    let Some((start, _)) = samples.first().copied() else { return Vec::new() };
    let place = |at: f64| ((at - start) / block) as usize;
    let whole = samples.last().map_or(0, |(at, _)| place(*at));
    let means = samples
        .chunk_by(|(one, _), (other, _)| place(*one) == place(*other))
        .map(|block| (average(block, |(at, _)| at), stand(block)));
    means.filter(|(at, _)| place(*at) < whole).collect()
}

fn average(points: &[(f64, f64)], of: impl Fn((f64, f64)) -> f64) -> f64 {
    points.iter().map(|point| of(*point)).sum::<f64>() / points.len() as f64
}

/// The 97.5 % point of Student's distribution with `freedom` degrees, by its expansion around the normal one
/// (Abramowitz and Stegun, 26.7.5); within 1 % from three degrees on.
fn student(freedom: f64) -> f64 {
    let z = 1.959_964_f64;
    let terms = [
        z,
        (z.powi(3) + z) / 4.0,
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
    ];
    terms.iter().rev().fold(0.0, |sum, term| sum / freedom + term)
}
