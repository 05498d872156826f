//! How long trouble lasts that is nobody's fault, learnt from the release before.

use super::Round;
use super::baseline::Baseline;

/// Trouble that lasts longer is an incident of its own, and no glitch.
pub const LONGEST: f64 = 60.0;
/// How many observed rounds the configured length counts for.
const PRIOR: f64 = 3.0;
/// The most likely it is assumed to be that trouble goes on.
const MOST_LIKELY: f64 = 0.995;

/// The mean length of glitches in seconds: what `rounds`, one every `interval` seconds, show of it, and never less than
/// `floor`, which stands for what was not seen yet. A round is bad above `bad_line`. A floor of 0 turns all of it off.
///
/// Counts how often a bad round is followed by another one, takes the upper end of what that may be by chance, and leaves
/// out what bad rounds have in common because they are so many.
pub fn length(rounds: impl IntoIterator<Item = Round>, interval: f64, floor: f64, bad_line: f64) -> f64 {
    length_within(rounds, interval, (floor, LONGEST), bad_line)
}

fn length_within(
    rounds: impl IntoIterator<Item = Round>,
    interval: f64,
    (floor, longest): (f64, f64),
    bad_line: f64,
) -> f64 {
    if floor <= 0.0 {
        return 0.0;
    }
    let floor = floor.min(longest);
    let seen = count(rounds, interval, bad_line, longest);
    if seen.chances == 0 {
        return floor;
    }
    let share = seen.bad as f64 / seen.rounds as f64;
    let weight = seen.chances as f64 + PRIOR;
    let goes_on = (seen.went_on as f64 + PRIOR * (-interval / floor).exp()) / weight;
    let goes_on = (goes_on + (goes_on * (1.0 - goes_on) / weight).sqrt()).min(MOST_LIKELY);
    let own = if share < 1.0 { (goes_on - share) / (1.0 - share) } else { 0.0 };
    if own <= 0.0 {
        return floor;
    }
    (interval / (1.0 / own).ln()).clamp(floor, longest)
}

/// What rounds show of the release before: how often it was bad, by those that are `its` own and counted for themselves,
/// and how long glitches last, by `all` that there are, one every `interval` seconds. As [`length`] takes the rest, where
/// it may be worse by as much.
pub fn learnt(
    all: impl IntoIterator<Item = Round>,
    its: impl IntoIterator<Item = Round> + Clone,
    interval: f64,
    floor: f64,
    worse_by: f64,
) -> (Baseline, f64) {
    learnt_within(all, its, interval, (floor, LONGEST), worse_by)
}

/// The same, where trouble is a glitch unless it lasts longer than that.
pub(super) fn learnt_within(
    all: impl IntoIterator<Item = Round>,
    its: impl IntoIterator<Item = Round> + Clone,
    interval: f64,
    times: (f64, f64),
    worse_by: f64,
) -> (Baseline, f64) {
    let rate = Baseline::of(its.clone(), 0.0).rate();
    let glitch = length_within(all, interval, times, rate + worse_by);
    (Baseline::of(its, glitch), glitch)
}

#[derive(Default)]
struct Seen {
    rounds: u64,
    bad: u64,
    /// Bad rounds after which the next one could be seen.
    chances: u64,
    /// Those after which it was bad as well.
    went_on: u64,
}

fn count(rounds: impl IntoIterator<Item = Round>, interval: f64, bad_line: f64, longest: f64) -> Seen {
    let mut seen = Seen::default();
    // When the run of bad rounds began, when it was last seen, and how long it is.
    let mut run: Option<(f64, f64, u64)> = None;
    let is_close = |from: f64, to: f64| to - from <= 2.0 * interval;
    let end = |seen: &mut Seen, (began, last, length): (f64, f64, u64), good_at: Option<f64>| {
        if last - began <= longest {
            seen.went_on += length - 1;
            seen.chances += length - 1 + u64::from(good_at.is_some_and(|at| is_close(last, at)));
        }
    };
    for Round { at, badness } in rounds {
        let is_bad = badness > bad_line;
        (seen.rounds, seen.bad) = (seen.rounds + 1, seen.bad + u64::from(is_bad));
        run = match (run.take(), is_bad) {
            (Some((began, last, length)), true) if is_close(last, at) => Some((began, at, length + 1)),
            (before, true) => {
                if let Some(before) = before {
                    end(&mut seen, before, None);
                }
                Some((at, at, 1))
            }
            (Some(before), false) => {
                end(&mut seen, before, Some(at));
                None
            }
            (None, false) => None,
        };
    }
    if let Some(last) = run {
        end(&mut seen, last, None);
    }
    seen
}
