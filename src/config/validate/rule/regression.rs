//! `regression`: what is compared, and how sure that has to be.

use std::time::Duration;

use super::{Surroundings, share};
use crate::config::leaf::Share;
use crate::config::problem::Spot;
use crate::config::span::spoken;
use crate::config::validate::app::word;
use crate::config::validate::probe::Draft;
use crate::config::validate::{count, duration};
use crate::config::{defaults, raw};
use crate::decision::policy::{Condition, Regression, Signal};
use crate::decision::rule::regression::PERIODS;
use crate::detection::blocks;
use crate::detection::latency::WARM_UP;

pub(super) fn regression(
    spot: &Spot,
    raw: &raw::Regression,
    probe: Option<&mut Draft>,
    around: &Surroundings,
) -> Option<Condition> {
    let or = |given: Option<Share>, default| given.or(Some(Share(default)));
    let likely = |share: f64| (1e-6..=0.1).contains(&share);
    let probability = share(
        &spot.key("false_rollback_probability"),
        or(raw.false_rollback_probability, defaults::FALSE_ROLLBACK_PROBABILITY),
        likely,
        "0.000001 to 0.1, such as 0.001",
    );
    let of = match probe.as_ref().and_then(|probe| probe.counts()) {
        Some(_) if raw.of.is_some() => {
            spot.key("of").wrong_key("is for what the app answers; allowed on counters is to leave it out");
            return None;
        }
        Some(_) => Signal::Shares,
        None => word(raw.of, Signal::default()),
    };
    let (by, most, allowed, glitch) = match of {
        Signal::Failures => (defaults::WORSE_BY, 0.5, "0 to 0.5, such as 0.02", defaults::GLITCH),
        Signal::Shares => (defaults::MORE_ERRORS, 0.5, "0 to 0.5, such as 0.01", defaults::GLITCH),
        Signal::Latency => (defaults::SLOWER_BY, 10.0, "0 to 10, such as 0.5", defaults::SLOW_SPELL),
    };
    let tolerable = |share: f64| (0.0..=most).contains(&share);
    let worse_by = share(&spot.key("worse_by"), or(raw.worse_by, by), tolerable, allowed);
    let glitch = duration(&spot.key("glitch"), raw.glitch, glitch, &defaults::GLITCH_RANGE);
    let min_failures = count(
        &spot.key("min_failures"),
        raw.min_failures,
        defaults::MIN_FAILURES,
        &defaults::CONSECUTIVE_RANGE,
    );
    if let (Signal::Latency, Some(probe), Some(least)) = (of, &probe, min_failures) {
        has_time(&spot.key("of"), probe, least, around.watch);
    }
    if let Some(probe) = probe {
        // What was not weighed yet, and what says how the app was lately.
        probe.make_room(PERIODS as usize + probe.samples_in(defaults::OVER), around.lookback);
    }
    Some(Condition::Regression(Regression {
        of,
        probability: probability?,
        worse_by: worse_by?,
        glitch: glitch?,
        min_failures: min_failures?,
    }))
}

/// That a release can be found to be slow within its watch.
fn has_time(spot: &Spot, probe: &Draft, least: u32, watch: Option<Duration>) {
    let block = Duration::from_secs_f64(blocks::length(probe.period().as_secs_f64()));
    // One more: it is known to be over by what comes after it.
    let needed = probe.settle() + Duration::from_secs_f64(WARM_UP) + block * (least + 1);
    if let Some(watch) = watch.filter(|watch| *watch < needed) {
        let (watch, needed, block) = (spoken(watch), spoken(needed), spoken(block));
        spot.wrong(format!(
            "latency is never found to be worse in a watch of {watch}; allowed is in one of at least {needed}, for {least} \
             stretches of {block}: lengthen watch, or lower min_failures"
        ));
    }
}
